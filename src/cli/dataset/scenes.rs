//! `avicuna dataset scenes`: scenes of minutes, composed from natural clips.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result};
use avicuna_corpus::Split;
use avicuna_corpus::natural::{self, Options, Recipe};
use clap::Args;

use super::counter::Counter;

#[derive(Debug, Args)]
pub struct Arguments {
    /// The folder with `esc10/` and `video/`; config/natural.toml says what is in them and where it comes from.
    #[arg(long, value_name = "DIR")]
    natural: PathBuf,
    /// Another recipe than config/natural.toml, which is part of the program.
    #[arg(long, value_name = "FILE")]
    recipe: Option<PathBuf>,
    /// The clips to use: train or validation.
    #[arg(long, default_value_t = Split::Validation)]
    split: Split,
    /// What everything is drawn from.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// How many scenes.
    #[arg(long, value_name = "N", default_value_t = 5)]
    videos: usize,
    /// Seconds of each.
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    seconds: u32,
    /// The power of an event over that of the background.
    #[arg(long, value_name = "DB", default_value_t = 30.0, allow_negative_numbers = true)]
    snr: f64,
    /// Queries about what does not happen, for each scene.
    #[arg(long, value_name = "N", default_value_t = 6)]
    absent_queries: usize,
    /// The corpus directory to write.
    #[arg(long)]
    out: PathBuf,
}

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let Arguments { natural, recipe, split, seed, videos, seconds, snr, absent_queries, out } = arguments;
    let recipe = match recipe {
        Some(path) => Recipe::read(path)?,
        None => Recipe::own(),
    };
    std::fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
    let options = Options {
        seed: *seed,
        split: *split,
        videos: *videos,
        seconds: *seconds,
        snr: *snr,
        absent: *absent_queries,
    };
    let counter = Counter::new("making scenes")?;
    let progress = |done: usize, of: usize| counter.at(done as u64, of as u64);
    let began = Instant::now();
    let timelines = natural::build(natural, recipe, &options, out, &progress)?;
    counter.end();
    println!("{}", std::fs::read_to_string(out.join("CARD.md"))?);
    println!("{} scenes in {:.0} s", timelines.len(), began.elapsed().as_secs_f64());
    Ok(())
}
