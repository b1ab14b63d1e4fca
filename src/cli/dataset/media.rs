//! Media of a corpus: packaged clips, and videos of its time lines.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use avicuna_corpus::cluster::Bounds;
use avicuna_corpus::packaged::{self, FOLDER, Options, Scenery, Stamps};
use avicuna_corpus::pu_valor::Timeline;
use avicuna_corpus::pu_valor::build::Shard;
use avicuna_corpus::render::{self, AudioScaling, Background, RenderOptions};
use avicuna_corpus::{Catalogue, Split};
use clap::{Args, ValueEnum};

use super::counter::Counter;

/// Clips composed from packaged pictures and sounds.
#[derive(Debug, Args)]
#[command(next_help_heading = "Packaged clips")]
pub(super) struct Packaged {
    /// Clips of each class.
    #[arg(long, value_name = "N", default_value_t = 6)]
    clips_per_label: usize,
    /// Only this class, such as "a dog"; may be given several times.
    #[arg(long = "label", value_name = "LABEL")]
    labels: Vec<String>,
}

impl Packaged {
    /// Different labels of a cluster: few labels are one cluster.
    pub(super) fn cluster_size(&self) -> Bounds {
        let Bounds { min, max } = Bounds::PACKAGED;
        let labels = if self.labels.is_empty() { packaged::classes().len() } else { self.labels.len() };
        Bounds { min: min.min(labels), max: max.min(labels) }
    }

    /// Makes the clips in `out`, those that are not there yet.
    pub(super) fn clips(&self, out: &Path, seed: u64, split: Split) -> Result<Catalogue> {
        let mut options = Options::new(seed, split);
        options.clips_per_label = self.clips_per_label;
        options.labels.clone_from(&self.labels);
        let counter = Counter::new("composing clips")?;
        let began = Instant::now();
        let catalogue =
            packaged::build(out, &options, &|done: usize, of: usize| counter.at(done as u64, of as u64))?;
        counter.end();
        println!("{} clips in {:.0} s", catalogue.clips.len(), began.elapsed().as_secs_f64());
        Ok(catalogue)
    }
}

#[derive(Debug, Args)]
pub struct Arguments {
    /// The corpus directory.
    dir: PathBuf,
    #[command(flatten)]
    how: How,
    /// Make only this part of the videos, such as 2/8.
    #[arg(long, default_value = "1/1")]
    shard: Shard,
}

/// How videos are made.
#[derive(Debug, Args)]
#[command(next_help_heading = "Media")]
pub(super) struct How {
    /// What becomes of a clip's sound in a segment of another length.
    #[arg(long, default_value = "stretch")]
    sound: Sound,
    /// What is seen and heard where no clip plays; without it, packaged where the clips are, else black.
    #[arg(long)]
    between: Option<Between>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Sound {
    /// Made longer or shorter with its pitch kept.
    Stretch,
    /// Started again at its end, or broken off.
    Loop,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Between {
    /// An empty packaged scene with its noise.
    Packaged,
    /// Black, and silence.
    Black,
    /// The last picture, and silence.
    Freeze,
}

/// What of corpus.json is needed here.
#[derive(serde::Deserialize)]
struct Corpus {
    preset: String,
    seed: u64,
    split: Split,
}

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    render(&arguments.dir, &arguments.how, arguments.shard)
}

/// Makes the videos of a corpus, those that are not there yet.
pub(super) fn render(dir: &Path, how: &How, shard: Shard) -> Result<()> {
    let catalogue = Catalogue::read(dir)?;
    let timelines = Timeline::all(dir)?.collect::<Result<Vec<_>, _>>()?;
    let mine = &timelines[shard.range(timelines.len())];
    let options = how.options(dir)?;
    let counter = Counter::new("rendering videos")?;
    let progress = |done: usize, of: usize| counter.at(done as u64, of as u64);
    let began = Instant::now();
    render::all(mine, &catalogue.by_id(), &dir.join("videos"), &options, &progress)?;
    counter.end();
    let seconds: f64 = mine.iter().map(|timeline| timeline.duration).sum();
    let took = began.elapsed().as_secs_f64();
    println!("{} videos of {seconds:.0} s rendered in {took:.0} s", mine.len());
    Ok(())
}

impl How {
    fn options(&self, dir: &Path) -> Result<RenderOptions> {
        let path = dir.join("corpus.json");
        let text = fs::read(&path).with_context(|| format!("{} cannot be read", path.display()))?;
        let corpus: Corpus =
            serde_json::from_slice(&text).with_context(|| format!("{} is no corpus", path.display()))?;
        let usual = if corpus.preset == "packaged" { Between::Packaged } else { Between::Black };
        let background = match self.between.unwrap_or(usual) {
            Between::Packaged => {
                let stamps = Arc::new(Stamps::open(Path::new(FOLDER))?);
                Background::Packaged(Scenery::new(stamps, corpus.seed, corpus.split))
            }
            Between::Black => Background::Black,
            Between::Freeze => Background::Freeze,
        };
        let audio = match self.sound {
            Sound::Stretch => AudioScaling::Stretch,
            Sound::Loop => AudioScaling::LoopOrTrim,
        };
        Ok(RenderOptions { audio, background, ..RenderOptions::default() })
    }
}
