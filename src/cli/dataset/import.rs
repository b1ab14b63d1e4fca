//! `avicuna dataset import`: public datasets, from their own annotations, and reviews.

use std::path::PathBuf;

use anyhow::{Context, Result};
use avicuna_corpus::import::{self, Dataset, Imported, Settings};
use avicuna_corpus::{CATALOGUE, MediaCheck, ReadOptions, Split};
use clap::Args;

use super::lists::{Lists, tell};

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    lists: Lists,
    /// The dataset: audioset-strong, desed, unav100, llp, ave, vggsound, esc50, valor or reviews.
    #[arg(long, value_name = "NAME")]
    dataset: Dataset,
    /// The folder with its media.
    #[arg(long, value_name = "DIR")]
    media: PathBuf,
    /// Take what has no media: its features may be there.
    #[arg(long)]
    without_media: bool,
    /// The videos to use, train, validation or test; those of a list that does not say are of this split.
    #[arg(long, default_value_t = Split::Train)]
    split: Split,
    /// Queries about what does not happen, for each video.
    #[arg(long, value_name = "N", default_value_t = 2)]
    absent_queries: usize,
    /// What these are drawn from.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// The corpus directory to write.
    #[arg(long)]
    out: PathBuf,
}

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let Arguments { lists, dataset, media, without_media, split, absent_queries, seed, out } = arguments;
    std::fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
    let check = if *without_media { MediaCheck::Nothing } else { MediaCheck::Exists };
    let options = ReadOptions { split: *split, media: check, ..ReadOptions::default() };
    let names = lists.names()?;
    match lists.read(*dataset, media, &names, &options)? {
        Imported::Clips(mut catalogue) => {
            let all = catalogue.clips.len();
            catalogue.clips.retain(|clip| clip.split == *split);
            println!("{} of {all} clips are in the split {split}", catalogue.clips.len());
            tell(&catalogue.skipped, out)?;
            let path = out.join(CATALOGUE);
            catalogue.write(&path)?;
            println!(
                "{} is complete; make videos of it with `avicuna dataset build --catalogue`",
                path.display()
            );
        }
        Imported::Videos(videos) => {
            tell(&videos.skipped, out)?;
            let settings =
                Settings { dataset: *dataset, split: *split, seed: *seed, absent: *absent_queries };
            let mine = import::write(&videos.videos, &names, &settings, out)?;
            println!("{mine} of {} videos are in the split {split}", videos.videos.len());
            println!("{} is complete", out.display());
        }
    }
    Ok(())
}
