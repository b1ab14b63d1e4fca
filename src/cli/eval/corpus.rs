//! A corpus, watched and measured.

use std::path::{Path, PathBuf};

use anyhow::Context;
use avicuna_evaluation::EvaluationError;
use avicuna_evaluation::cache::{Cache, Head};
use avicuna_evaluation::events::{Merging, Voice};
use avicuna_evaluation::predictions::Predictions;
use avicuna_evaluation::report::Report;
use avicuna_evaluation::truth::Corpus;
use avicuna_evaluation::watch::{Settings, Watched, Watcher};
use avicuna_models::localizer::LoadOptions;
use avicuna_models::manifest::{Manifest, PromptSpec, default_model, sha256_of};
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};

use super::{beside, shown, write, write_json};

/// How a corpus is watched.
#[derive(Debug, Args)]
pub struct Watch {
    /// Drop a modality.
    #[arg(long, value_name = "MODALITY")]
    without: Option<Without>,
    /// Seconds of a window; by default what the model was trained with.
    #[arg(long)]
    window: Option<f64>,
    /// Seconds from one window to the next; by default half a window.
    #[arg(long)]
    hop: Option<f64>,
    #[command(flatten)]
    merging: MergingArguments,
    /// Measure what this file says instead of watching: {"results": ..., "grounding": ...}.
    #[arg(long, value_name = "FILE")]
    predictions: Option<PathBuf>,
}

/// What is measured, with what, and where the figures go.
#[derive(Debug, Args)]
pub struct Data {
    /// The corpus: annotations.json, queries.json and videos/, as `avicuna dataset build` makes them.
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// The model directory.
    #[arg(long, value_name = "DIR", default_value_os_t = default_model())]
    pub model: PathBuf,
    /// Where the figures are written. Tables (.md), plots (.svg), predictions and what was watched go beside it; a second
    /// run goes on where the first was stopped.
    #[arg(long = "json", value_name = "OUT")]
    pub out: PathBuf,
    /// Only the first so many videos.
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
    /// `auto`, `cpu` or `cuda:N`.
    #[arg(long, default_value = "auto")]
    pub device: String,
}

/// How windows become events; by default as the daemon does it.
#[derive(Debug, Args)]
pub struct MergingArguments {
    /// Seconds between sightings of one label that are still one event.
    #[arg(long)]
    merge_gap: Option<f64>,
    /// Leave out what is less sure (0 to 1).
    #[arg(long)]
    min_score: Option<f64>,
    /// Leave out answers to queries that are less sure (0 to 1).
    #[arg(long)]
    min_query_score: Option<f64>,
    /// How many windows must have seen an event.
    #[arg(long)]
    min_windows: Option<u32>,
    /// Measure one of the two voices of a model alone, by the same watching.
    #[arg(long, value_enum)]
    baseline: Option<Baseline>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Baseline {
    /// The encoders' own classes, without the LLM.
    Taggers,
    /// The LLM, without the evidence of the encoders' own classes.
    Llm,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Without {
    /// It is not heard.
    Audio,
    /// It is not seen.
    Video,
}

impl MergingArguments {
    pub fn merging(&self, prompt: &PromptSpec) -> Merging {
        let own = Merging::of(prompt);
        Merging {
            merge_gap: self.merge_gap.unwrap_or(own.merge_gap),
            min_score: self.min_score.unwrap_or(own.min_score),
            min_query_score: self.min_query_score.unwrap_or(own.min_query_score),
            min_windows: self.min_windows.unwrap_or(own.min_windows),
            voice: match self.baseline {
                None => Voice::Model,
                Some(Baseline::Taggers) => Voice::Taggers,
                Some(Baseline::Llm) => Voice::Llm,
            },
        }
    }
}

impl Data {
    pub fn corpus(&self) -> anyhow::Result<Corpus> {
        Ok(Corpus::read(&self.data, self.limit)?)
    }
}

pub(super) fn run(data: &Data, arguments: &Watch) -> anyhow::Result<()> {
    let corpus = data.corpus()?;
    let Data { model, out, device, .. } = data;
    let report = match &arguments.predictions {
        Some(path) => Report::new(&corpus, &Predictions::read(path)?)?,
        None => {
            let settings = |manifest: &Manifest| {
                let window = arguments.window.unwrap_or(manifest.window.seconds);
                let hop = arguments.hop.unwrap_or(window / 2.0);
                let without = |modality| arguments.without == Some(modality);
                let (audio, video) = (!without(Without::Audio), !without(Without::Video));
                Ok(Settings { window, hop, audio, video })
            };
            let seen = watch(&corpus, model, device, &beside(out, "windows.jsonl"), settings)?;
            let merging = arguments.merging.merging(&seen.prompt);
            let predictions = seen.predictions(&corpus, merging);
            write(&beside(out, "predictions.json"), &(serde_json::to_string(&predictions)? + "\n"))?;
            seen.report(&corpus, &predictions, merging)?
        }
    };
    write_json(Some(out), &report)?;
    write(&beside(out, "md"), &report.markdown())?;
    for (name, svg) in report.plots()? {
        write(&beside(out, &format!("{name}.svg")), &svg)?;
    }
    for table in report.tables() {
        println!("{}\n", shown(&table));
    }
    println!("{}", report.summary());
    Ok(())
}

/// A corpus that was watched.
pub struct Seen {
    pub model: String,
    pub prompt: PromptSpec,
    pub settings: Settings,
    pub watched: Vec<Watched>,
}

impl Seen {
    pub fn predictions(&self, corpus: &Corpus, merging: Merging) -> Predictions {
        Predictions::new(corpus, &self.watched, self.settings, merging)
    }

    pub fn report(
        &self,
        corpus: &Corpus,
        predictions: &Predictions,
        merging: Merging,
    ) -> anyhow::Result<Report> {
        let report = Report::new(corpus, predictions)?;
        Ok(report.of_model(&self.model, self.settings, merging, &self.watched))
    }
}

/// Watches every video of a corpus that `cache` does not know yet.
pub fn watch(
    corpus: &Corpus,
    model: &Path,
    device: &str,
    cache: &Path,
    settings: impl FnOnce(&Manifest) -> Result<Settings, EvaluationError>,
) -> anyhow::Result<Seen> {
    if let Some(folder) = cache.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    }
    let options =
        LoadOptions { device: device.parse().map_err(anyhow::Error::msg)?, threads: None, cache: None };
    let watcher = Watcher::load(model, &options, settings)?;
    let mut cache = Cache::open(cache, &Head::new(watcher.model(), watcher.settings()))?;
    let all = corpus.videos.values().map(|video| video.duration).sum::<f64>();
    // Hidden by itself where standard error is no terminal.
    let bar = ProgressBar::new(all.round() as u64);
    bar.set_style(ProgressStyle::with_template("[{bar:40}] {pos} of {len} s  {msg}  {eta} left")?);
    let (mut watched, mut done) = (Vec::new(), 0.0);
    for (id, video) in &corpus.videos {
        bar.set_message(id.clone());
        let media = corpus.media(id);
        let labels = labels(corpus, id);
        let checksum = sha256_of(&media).with_context(|| format!("{} cannot be read", media.display()))?;
        let seen = match cache.get(id, &checksum, &labels) {
            Some(known) => known.clone(),
            None => {
                let seen =
                    watcher.watch(id, &media, &labels, |at| bar.set_position((done + at).round() as u64))?;
                cache.add(&seen)?;
                seen
            }
        };
        watched.push(seen);
        done += video.duration;
        bar.set_position(done.round() as u64);
    }
    bar.finish_and_clear();
    let (model, prompt) = (watcher.model().to_owned(), watcher.manifest().prompt.clone());
    Ok(Seen { model, prompt, settings: watcher.settings(), watched })
}

/// What a video is asked for: each label once.
fn labels(corpus: &Corpus, video: &str) -> Vec<String> {
    let mut labels: Vec<String> = Vec::new();
    for query in corpus.of(video) {
        if !labels.contains(&query.label) {
            labels.push(query.label.clone());
        }
    }
    labels
}
