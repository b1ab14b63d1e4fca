//! `avicuna dataset features`: what the encoders make of clips and videos.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use avicuna_corpus::Catalogue;
use avicuna_corpus::features::{self, Encoders, Format, Media, Options};
use avicuna_models::encoder::DeviceChoice;
use avicuna_models::manifest::default_model;
use clap::{Args, ValueEnum};

use super::counter::Counter;

#[derive(Debug, Args)]
pub struct Arguments {
    /// The corpus directory.
    dir: PathBuf,
    /// Of which files.
    #[arg(long, default_value = "clips")]
    of: Of,
    /// The model directory; of its parts only the encoders are needed.
    #[arg(long, default_value_os_t = default_model())]
    model: PathBuf,
    /// Where they are written; without it, `features` in the corpus directory.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// `npy`, or `safetensors`.
    #[arg(long, default_value = "npy")]
    format: Format,
    /// `auto`, `cpu` or `cuda:N`.
    #[arg(long, default_value = "auto")]
    device: DeviceChoice,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Of {
    /// The clips of the catalogue.
    Clips,
    /// The rendered videos.
    Videos,
    /// Both.
    All,
}

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let media = media(arguments)?;
    let encoders = Encoders::load(&arguments.model, arguments.device, None)?;
    let out = arguments.out.clone().unwrap_or_else(|| arguments.dir.join("features"));
    let counter = Counter::new("encoding files")?;
    let progress = |progress: features::Progress| counter.at(progress.done as u64, progress.of as u64);
    let began = Instant::now();
    let options = Options { format: arguments.format, ..Options::default() };
    let report = features::extract(&encoders, &media, &out, &options, &progress)?;
    counter.end();
    println!(
        "{} files encoded in {:.0} s, {} were there already, {} skipped",
        report.made,
        began.elapsed().as_secs_f64(),
        report.kept,
        report.skipped.len()
    );
    for skipped in &report.skipped {
        println!("  {}: {}", skipped.id, skipped.reason);
    }
    ensure!(report.made + report.kept > 0, "no file could be used");
    Ok(())
}

fn media(arguments: &Arguments) -> Result<Vec<Media>> {
    let mut media = Vec::new();
    if arguments.of != Of::Videos {
        media.extend(Catalogue::read(&arguments.dir)?.clips.iter().map(Media::from));
    }
    if arguments.of != Of::Clips {
        let folder = arguments.dir.join("videos");
        let entries = std::fs::read_dir(&folder);
        let entries = entries.with_context(|| {
            format!("{} cannot be read; make the videos with `avicuna dataset render`", folder.display())
        })?;
        let mut videos = Vec::new();
        for entry in entries {
            let path = entry?.path();
            let id = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
            let id = id.filter(|_| path.extension().is_some_and(|ending| ending == "mp4"));
            videos.extend(id.map(|id| Media { id, path: path.clone() }));
        }
        videos.sort_by(|one, other| one.id.cmp(&other.id));
        media.extend(videos);
    }
    ensure!(!media.is_empty(), "{} has no media to encode", arguments.dir.display());
    Ok(media)
}
