//! Figures of files: nothing is watched.

use std::path::PathBuf;

use anyhow::Context;
use avicuna_evaluation::captions::{self, tools::Tools};
use avicuna_evaluation::detection::mean_average_precision;
use avicuna_evaluation::detections;
use avicuna_evaluation::grounding::single;
use avicuna_evaluation::report::table::{Table, detection_table};
use avicuna_evaluation::truth::Annotations;
use avicuna_models::fetch::Progress;
use avicuna_models::manifest::cache_dir;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::{shown, write_json};

#[derive(Debug, Args)]
pub struct Map {
    /// The truth, in the form of UnAV-100's annotations.
    #[arg(long, value_name = "FILE")]
    annotations: PathBuf,
    /// The detections: {"results": {VIDEO: [{segment, label, score}]}}, or rows or columns of video-id, t-start, t-end,
    /// label, score.
    #[arg(long, value_name = "FILE")]
    predictions: PathBuf,
    /// Only the truth of this subset: train, validation or test.
    #[arg(long)]
    subset: Option<String>,
    /// Where the figures are written.
    #[arg(long = "json", value_name = "OUT")]
    out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct Grounding {
    /// JSON lines {"task": "grounding", "answer": "...", "gt": [0.1, 0.4]}, the truth in fractions of the video.
    #[arg(long, value_name = "FILE")]
    log: PathBuf,
    /// Where the figures are written.
    #[arg(long = "json", value_name = "OUT")]
    out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct Captions {
    /// JSON lines {"task": "captioning", "video_id": "...", "answer": "..."}.
    #[arg(long, value_name = "FILE", required_unless_present = "fetch")]
    log: Option<PathBuf>,
    /// The true captions: {VIDEO: {duration, timestamps, sentences}}.
    #[arg(long, value_name = "FILE", required_unless_present = "fetch")]
    references: Option<PathBuf>,
    /// Only fetch what measuring needs.
    #[arg(long)]
    fetch: bool,
    /// Where the figures are written.
    #[arg(long = "json", value_name = "OUT")]
    out: Option<PathBuf>,
}

pub(super) fn map(arguments: &Map) -> anyhow::Result<()> {
    let (found, naming) = detections::read(&arguments.predictions)?;
    let annotations = Annotations::read(&arguments.annotations)?;
    let truth = annotations.occurrences(arguments.subset.as_deref(), naming)?;
    anyhow::ensure!(
        !truth.is_empty(),
        "{} holds no event of that subset; see --subset",
        arguments.annotations.display()
    );
    let measured = mean_average_precision(&truth, &found);
    write_json(arguments.out.as_ref(), &measured)?;
    println!("{}", shown(&detection_table(&measured)));
    Ok(())
}

pub(super) fn grounding(arguments: &Grounding) -> anyhow::Result<()> {
    let log = single::read_log(&arguments.log)?;
    let measured = single::measure(log.iter().map(|logged| (logged.answer.as_str(), logged.gt)));
    write_json(arguments.out.as_ref(), &measured)?;
    let mut table = Table::new(
        "Grounding, one segment an answer",
        &["answers", "unparsed", "mIoU", "R1@.3", "R1@.5", "R1@.7"],
    );
    let counts = [measured.answers, measured.unparsed].map(|count| count.to_string());
    let figures = [measured.miou, measured.low, measured.middle, measured.high];
    table.rows.push(counts.into_iter().chain(figures.map(|figure| format!("{figure:.2}"))).collect());
    println!("{}", shown(&table));
    Ok(())
}

pub(super) fn captions(arguments: &Captions) -> anyhow::Result<()> {
    let bar = ProgressBar::no_length();
    bar.set_style(ProgressStyle::with_template("{msg} {bytes}")?);
    let tools = Tools::fetch(&cache_dir()?, &mut |name, progress| {
        bar.set_message(name);
        if let Progress::Bytes(done, _) = progress {
            bar.set_position(done);
        }
    })?;
    bar.finish_and_clear();
    let (Some(log), Some(references)) = (&arguments.log, &arguments.references) else { return Ok(()) };
    let logged = captions::read_log(log)?;
    let references = captions::read_references(references)?;
    let measured = captions::measure(&logged, &references, &tools).context("captions cannot be measured")?;
    write_json(arguments.out.as_ref(), &measured)?;
    let mut table = Table::new("Dense captions", &["videos", "unparsed", "SODA_c", "METEOR", "CIDEr"]);
    let counts = [measured.videos, measured.unparsed].map(|count| count.to_string());
    let figures = [measured.soda_c, measured.meteor, measured.cider].map(|figure| format!("{figure:.2}"));
    table.rows.push(counts.into_iter().chain(figures).collect());
    println!("{}", shown(&table));
    Ok(())
}
