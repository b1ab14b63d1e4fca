//! `avicuna dataset stats`.

use std::path::PathBuf;

use anyhow::Result;
use avicuna_corpus::pu_valor::statistics::{self, Statistics};
use clap::Args;

#[derive(Debug, Args)]
pub struct Arguments {
    /// A corpus directory. Without it, videos are drawn as the paper's were, of clips of 10 s that have no names.
    dir: Option<PathBuf>,
    /// Groups to draw; the released data has 2,527.
    #[arg(long, default_value_t = 2527, conflicts_with = "dir")]
    groups: usize,
    /// Videos of each group; the released data has 10.
    #[arg(long, default_value_t = 10, conflicts_with = "dir")]
    variants: u32,
    /// What they are drawn from. Most draws share mean and median; this one's shortest and longest are like the released too.
    #[arg(long, default_value_t = 13, conflicts_with = "dir")]
    seed: u64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let statistics: Statistics = match &arguments.dir {
        Some(dir) => statistics::read(dir)?,
        None => statistics::paper(arguments.groups, arguments.variants, arguments.seed)?,
    };
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&statistics)?);
    } else {
        println!("{statistics}");
    }
    Ok(())
}
