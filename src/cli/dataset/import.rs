//! `avicuna dataset import`: public datasets, from their own annotations.

use std::path::PathBuf;

use anyhow::{Context, Result};
use avicuna_corpus::import::{self, Dataset, Files, Imported, Names, Settings};
use avicuna_corpus::{CATALOGUE, MediaCheck, ReadOptions, Skipped, Split, by_reason};
use avicuna_models::vocabulary::Vocabulary;
use clap::Args;

use super::source::SKIPPED;

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    lists: Lists,
    /// The dataset: audioset-strong, desed, unav100, llp, ave, vggsound, esc50 or valor.
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

/// The annotations of a dataset, and what its labels are called.
#[derive(Debug, Args)]
pub(super) struct Lists {
    /// The annotations of --dataset.
    #[arg(long, value_name = "FILE")]
    pub(super) list: Option<PathBuf>,
    /// The second file: AudioSet's mid_to_display_name.tsv, LLP's AVVP_eval_visual.csv; without it, looked for beside the list.
    #[arg(long, value_name = "FILE")]
    second_list: Option<PathBuf>,
    /// Call labels as this vocabulary does.
    #[arg(long, value_name = "FILE", default_value = "assets/models/avicuna-natural/vocabulary.toml")]
    vocabulary: PathBuf,
    /// Keep the dataset's own labels, in small letters.
    #[arg(long)]
    own_labels: bool,
}

impl Lists {
    pub(super) fn names(&self) -> Result<Names> {
        Ok(if self.own_labels { Names::own() } else { Names::of(Vocabulary::load(&self.vocabulary)?) })
    }

    /// What a dataset holds, with its labels' names.
    pub(super) fn read(
        &self,
        dataset: Dataset,
        media: &std::path::Path,
        names: &Names,
        options: &ReadOptions,
    ) -> Result<Imported> {
        let list =
            self.list.as_deref().with_context(|| format!("name the annotations of {dataset} with --list"))?;
        let files = Files { list, second: self.second_list.as_deref(), media };
        Ok(import::read(dataset, files, names, options)?)
    }
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

/// Says what was left out, and lists it in `out`.
pub(super) fn tell(skipped: &[Skipped], out: &std::path::Path) -> Result<()> {
    if !skipped.is_empty() {
        println!("{} were left out, see {SKIPPED}:", skipped.len());
        for (reason, count) in by_reason(skipped) {
            println!("  {count:6}  {reason}");
        }
    }
    let lines: Result<Vec<String>, _> = skipped.iter().map(serde_json::to_string).collect();
    std::fs::write(out.join(SKIPPED), lines?.into_iter().map(|line| line + "\n").collect::<String>())?;
    Ok(())
}
