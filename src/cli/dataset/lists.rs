//! The lists of public datasets: how they are read, and what of them was left out.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use avicuna_corpus::import::{self, Dataset, Files, Imported, Names};
use avicuna_corpus::{ReadOptions, Skipped, by_reason};
use avicuna_models::manifest::default_model;
use avicuna_models::vocabulary::Vocabulary;
use clap::Args;

/// What was left out is listed here.
pub(super) const SKIPPED: &str = "skipped.jsonl";

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
    #[arg(long, value_name = "FILE", default_value_os_t = default_model().join("vocabulary.toml"))]
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
        media: &Path,
        names: &Names,
        options: &ReadOptions,
    ) -> Result<Imported> {
        let list =
            self.list.as_deref().with_context(|| format!("name the annotations of {dataset} with --list"))?;
        let files = Files { list, second: self.second_list.as_deref(), media };
        Ok(import::read(dataset, files, names, options)?)
    }
}

/// Says what was left out, and lists it in `out`.
pub(super) fn tell(skipped: &[Skipped], out: &Path) -> Result<()> {
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
