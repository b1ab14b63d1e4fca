//! `avicuna localize`: one file or stream, watched to its end.

mod table;

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use avicuna_models::localizer::Localizer;
use avicuna_models::manifest::default_model;
use avicuna_models::whole;
use avicuna_pipeline::config::StreamConfig;
use avicuna_pipeline::control::Control;
use avicuna_pipeline::record::EventRecord;
use avicuna_pipeline::report::{self, Media, Pictures, Report};
use avicuna_pipeline::stream::StreamState;
use avicuna_pipeline::timeline::UtcTime;
use avicuna_pipeline::watching::{self, Plan, Record, Watched};
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use tokio_util::sync::CancellationToken;

use super::alone::{self, Alone};

/// The longest pause between two attempts to reach a live source.
const PAUSE: Duration = Duration::from_secs(5);

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// A file, or the URI of anything that ends.
    source: String,
    /// When does this happen? May be given several times. Without it: what happens, and when?
    #[arg(long, value_name = "EVENT")]
    query: Vec<String>,
    /// The model directory.
    #[arg(long, default_value_os_t = default_model())]
    model: PathBuf,
    /// `auto`, `cpu` or `cuda:N`.
    #[arg(long, default_value = "auto")]
    device: String,
    /// Leave out what is less sure (0 to 1); by default the model's own least scores.
    #[arg(long, value_name = "SCORE", value_parser = score)]
    min_score: Option<f64>,
    /// Give up on a live source that brings nothing for so many seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    timeout: u64,
    /// As what it is printed; by default a table on a terminal, and JSON elsewhere.
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Write it here instead of printing it.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Write a page for a browser too, with a time line and pictures; it needs nothing but itself.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Table,
    /// All that is known: events, coverage, errors.
    Json,
    /// Comma-separated values, a line for each event.
    Csv,
    /// SubRip subtitles.
    Srt,
    /// WebVTT subtitles.
    Vtt,
    /// Annotations for ELAN.
    Eaf,
}

fn score(text: &str) -> Result<f64, String> {
    let score = text.parse::<f64>().ok().filter(|score| (0.0..=1.0).contains(score));
    score.ok_or_else(|| "a score is from 0 to 1".to_owned())
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    super::start_log(&alone::log());
    for path in [&arguments.out, &arguments.report].into_iter().flatten() {
        // Better than after an hour of watching.
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let is_there = folder.is_none_or(Path::is_dir);
        anyhow::ensure!(is_there, "{} cannot be written: its folder is not there", path.display());
        let is_watched = same(path, Path::new(&arguments.source));
        anyhow::ensure!(!is_watched, "{} is what is watched; write to another file", path.display());
    }
    let both = arguments.out.as_deref().zip(arguments.report.as_deref());
    anyhow::ensure!(
        both.is_none_or(|(one, other)| one != other),
        "--out and --report are one file; name two"
    );
    let stream = stream(arguments);
    let shown = stream.shown_uri();
    let Alone { localizer, plan } = alone::prepare(stream, &arguments.model, &arguments.device)?;
    let model = localizer.manifest().name.clone();
    let pictures =
        arguments.report.as_ref().map(|_| Arc::new(Mutex::new(Pictures::new(plan.windows.length))));

    let runtime = tokio::runtime::Runtime::new().context("the runtime does not start")?;
    let watched = runtime.block_on(watch(plan, localizer, &shown, pictures.as_ref()))?;
    runtime.shutdown_timeout(Duration::from_secs(1));
    let ended = watched.end.to_string();
    let report = report(watched.records, shown, model, ended.clone());
    // What cannot be written does not take the rest with it.
    let told = tell(arguments, &report);
    if let (Some(path), Some(pictures)) = (&arguments.report, pictures) {
        write(path, &report::page(&report, &lock(&pictures)))?;
    }
    told?;
    anyhow::ensure!(!watched.end.is_trouble(), "{ended}");
    Ok(ExitCode::SUCCESS)
}

/// Are these one file, by whatever names?
fn same(one: &Path, other: &Path) -> bool {
    let identity = |path: &Path| path.metadata().ok().map(|known| (known.dev(), known.ino()));
    identity(one).is_some_and(|one| identity(other) == Some(one))
}

fn stream(arguments: &Arguments) -> StreamConfig {
    let mut stream = StreamConfig::new("localize", &arguments.source);
    stream.detect = arguments.query.is_empty();
    stream.queries.clone_from(&arguments.query);
    stream.min_score = arguments.min_score;
    stream.min_query_score = arguments.min_score;
    let timeout = Duration::from_secs(arguments.timeout);
    stream.reconnect.give_up_after = Some(timeout);
    // Somebody waits.
    stream.reconnect.max = stream.reconnect.max.min(PAUSE);
    stream.stall_timeout = stream.stall_timeout.min(timeout.max(Duration::from_secs(1)));
    stream
}

/// Prints the report, or writes it.
fn tell(arguments: &Arguments, report: &Report) -> anyhow::Result<()> {
    let on_terminal = arguments.out.is_none() && std::io::stdout().is_terminal();
    let format = arguments.format.unwrap_or(if on_terminal { Format::Table } else { Format::Json });
    let text = match format {
        Format::Table => {
            let width = if on_terminal { comfy_table::Table::new().width() } else { None };
            table::table(report, width) + "\n"
        }
        Format::Json => serde_json::to_string(report)? + "\n",
        Format::Csv => report::csv(report),
        Format::Srt => report::srt(report),
        Format::Vtt => report::vtt(report),
        Format::Eaf => {
            // What is no file has no place in an annotator.
            let media = Media::at(Path::new(&arguments.source)).ok();
            report::eaf(report, media.as_ref(), UtcTime::now())
        }
    };
    match &arguments.out {
        Some(path) => write(path, &text),
        None => super::print(&text),
    }
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    whole::write(path, text).with_context(|| format!("{} cannot be written", path.display()))
}

async fn watch(
    plan: Plan,
    localizer: Localizer,
    shown: &str,
    pictures: Option<&Arc<Mutex<Pictures>>>,
) -> anyhow::Result<Watched> {
    let stop = CancellationToken::new();
    let interrupted = stop.clone();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            interrupted.cancel();
        }
    });
    let control = Arc::new(Control::new());
    if let Some(pictures) = pictures.cloned() {
        control.status.streams.on_frame(move |at, frame| lock(&pictures).frame(at, frame));
    }
    let patience = plan.source.reconnect.give_up_after.filter(|_| plan.live);
    let mut progress = Progress::new(shown, control.clone(), patience)?;
    let note = |record: &Record| {
        progress.note(record);
        match (pictures, record) {
            (Some(pictures), Record::Event(event)) => lock(pictures).event(event),
            (Some(pictures), Record::Coverage { record, .. }) => lock(pictures).settled(record),
            _ => {}
        }
    };
    let watched = watching::watch(plan, localizer, control, note, stop).await;
    progress.bar.finish_and_clear();
    Ok(watched)
}

fn lock(pictures: &Mutex<Pictures>) -> MutexGuard<'_, Pictures> {
    pictures.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How far it is: a bar once the source has said how long it lasts. Hidden by itself where standard error is no terminal.
struct Progress {
    bar: ProgressBar,
    control: Arc<Control>,
    started: Instant,
    events: usize,
    /// How long a live source is tried.
    patience: Option<Duration>,
    /// It was said that it is away.
    told: bool,
}

impl Progress {
    fn new(shown: &str, control: Arc<Control>, patience: Option<Duration>) -> anyhow::Result<Self> {
        let bar = ProgressBar::new_spinner();
        bar.set_style(ProgressStyle::with_template("{spinner} {elapsed_precise} {prefix} {msg}")?);
        bar.set_prefix(shown.to_owned());
        bar.enable_steady_tick(Duration::from_millis(100));
        Ok(Self { bar, control, started: Instant::now(), events: 0, patience, told: false })
    }

    fn note(&mut self, record: &Record) {
        match record {
            Record::Event(event) if event.revision == 0 => self.events += 1,
            Record::Coverage { record, .. } => self.reached(record.end.stream),
            // A file that is not there ends at once, with the same words.
            Record::Error(error) if !std::mem::replace(&mut self.told, true) => {
                if let Some(timeout) = self.patience {
                    let said = format!("{}; it is tried again for {} s", error.message, timeout.as_secs());
                    self.bar.suspend(|| eprintln!("{said}"));
                }
            }
            _ => {}
        }
    }

    fn reached(&mut self, seconds: f64) {
        if self.bar.length().is_none()
            && let Some(length) = self.length()
        {
            self.bar.set_length(length.ceil() as u64);
            let bar = "{spinner} {elapsed_precise} {prefix} [{bar:30}] {pos} of {len} s, {eta} to go, {msg}";
            self.bar.set_style(
                ProgressStyle::with_template(bar).unwrap_or_else(|_| ProgressStyle::default_bar()),
            );
        }
        let speed = seconds / self.started.elapsed().as_secs_f64();
        let at = if self.bar.length().is_none() { format!("{seconds:.0} s, ") } else { String::new() };
        self.bar.set_message(format!("{at}{speed:.1} times as fast, {} events", self.events));
        self.bar.set_position(seconds as u64);
    }

    fn length(&self) -> Option<f64> {
        let streams = self.control.status.readiness().streams;
        streams.into_values().find_map(|state| match state {
            StreamState::Watching { length, .. } => length,
            _ => None,
        })
    }
}

fn report(records: Vec<Record>, source: String, model: String, ended: String) -> Report {
    let (mut events, mut coverage, mut errors) = (BTreeMap::new(), Vec::new(), Vec::new());
    for record in records {
        match record {
            Record::Event(event) => drop(events.insert(event.event_id.clone(), event)),
            Record::Coverage { record, .. } => coverage.push(record),
            Record::Error(error) => errors.push(error),
        }
    }
    let mut events: Vec<EventRecord> = events.into_values().collect();
    events.sort_by(|one, other| one.start.stream.total_cmp(&other.start.stream));
    let duration = coverage.last().map_or(0.0, |span| span.end.stream);
    Report { source, model, duration, events, coverage, errors, ended }
}
