//! `avicuna dataset simulate`: a corpus of what encoders would say.

use std::path::PathBuf;

use anyhow::Result;
use avicuna_corpus::simulator::{self, Levels, Settings};
use avicuna_models::vocabulary::Vocabulary;
use clap::Args;

use super::counter::Counter;

#[derive(Debug, Args)]
pub struct Arguments {
    /// The phrases: a model's `vocabulary.toml`.
    #[arg(long, value_name = "FILE")]
    vocabulary: PathBuf,
    /// What everything is drawn from.
    #[arg(long)]
    seed: u64,
    /// How many videos.
    #[arg(long)]
    videos: usize,
    /// Seconds of each.
    #[arg(long, default_value_t = 120)]
    seconds: u32,
    /// Mean evidence from which on an event is told; what has less is in the rows only.
    #[arg(long, value_name = "EVIDENCE", default_value_t = Levels::default().told)]
    told: f32,
    /// The corpus directory to write.
    #[arg(long)]
    out: PathBuf,
}

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let Arguments { vocabulary, seed, videos, seconds, told, out } = arguments;
    let vocabulary = Vocabulary::load(vocabulary)?;
    let levels = Levels { told: *told, ..Levels::default() };
    let settings = Settings { seed: *seed, videos: *videos, seconds: *seconds, levels };
    let counter = Counter::new("drawing videos")?;
    let progress = |done| counter.at(done as u64, *videos as u64);
    let report = simulator::simulate(&vocabulary, &settings, out, &progress)?;
    counter.end();
    println!(
        "{} videos, of which {} hold nothing; {} events of {} of {} phrases",
        report.videos,
        report.empty,
        report.segments,
        report.phrases,
        vocabulary.phrases().len()
    );
    println!("{} is complete", out.display());
    Ok(())
}
