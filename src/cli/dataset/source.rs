//! Where a corpus takes its clips from.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use avicuna_training::cluster::Bounds;
use avicuna_training::corpus::{Catalogue, Split};
use avicuna_training::pu_valor::build::Settings;
use clap::Args;

use super::split;

/// One of them must be given.
#[derive(Debug, Args)]
#[command(next_help_heading = "Clips")]
pub(super) struct Source {
    /// A catalogue.jsonl: a trimmed clip a line, with its caption.
    #[arg(long, value_name = "FILE")]
    catalogue: PathBuf,
    /// The clips to use: train, validation or test.
    #[arg(long, default_value = "train", value_parser = split)]
    pub(super) split: Split,
    /// What everything is drawn from.
    #[arg(long, default_value_t = 0)]
    pub(super) seed: u64,
}

impl Source {
    /// The clips of the split.
    pub(super) fn catalogue(&self, _out: &Path) -> Result<Catalogue> {
        let mut catalogue = Catalogue::read(&self.catalogue)?;
        let all = catalogue.clips.len();
        catalogue.clips.retain(|clip| clip.split == self.split);
        println!("{} of {all} clips are in the split", catalogue.clips.len());
        if catalogue.clips.is_empty() {
            bail!("{} has no clips of the split; choose another with --split", self.catalogue.display());
        }
        Ok(catalogue)
    }

    /// What its videos are like, where nothing else is asked for.
    pub(super) fn settings(&self) -> Settings {
        Settings::paper(self.seed, self.split)
    }

    /// Different captions (or labels) of a cluster, where nothing else is asked for.
    pub(super) fn cluster_size(&self) -> Bounds {
        Bounds { min: 16, max: 64 }
    }

    /// What its card says of its clips.
    pub(super) fn facts(&self) -> Vec<String> {
        Vec::new()
    }
}
