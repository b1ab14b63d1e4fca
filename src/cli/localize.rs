//! `avicuna localize`: one file or stream, watched to its end.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use avicuna_models::localizer::{LoadOptions, Localizer};
use avicuna_pipeline::config::{LogConfig, LogLevel, StreamConfig};
use avicuna_pipeline::control::Control;

use avicuna_pipeline::record::{CoverageRecord, ErrorRecord, EventRecord};
use avicuna_pipeline::stream::StreamState;
use avicuna_pipeline::watching::{self, Plan, Record, Watched};
use clap::Args;
use comfy_table::{Table, presets};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

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
    #[arg(long, default_value = "assets/models/avicuna-natural")]
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
    /// JSON on a terminal too.
    #[arg(long)]
    json: bool,
}

fn score(text: &str) -> Result<f64, String> {
    let score = text.parse::<f64>().ok().filter(|score| (0.0..=1.0).contains(score));
    score.ok_or_else(|| "a score is from 0 to 1".to_owned())
}

/// What is printed as JSON.
#[derive(Debug, Serialize)]
struct Report<'a> {
    source: &'a str,
    model: &'a str,
    /// Seconds of stream time that were accounted for.
    duration: f64,
    /// Each event in its last state, in order of start.
    events: Vec<EventRecord>,
    coverage: Vec<CoverageRecord>,
    errors: Vec<ErrorRecord>,
    /// Why it ended.
    ended: &'a str,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let log = LogConfig { level: LogLevel::Error, ..LogConfig::default() };
    super::start_log(&log);
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
    let shown = stream.shown_uri();
    let address = stream.address()?;
    address.check().map_err(|failure| anyhow::anyhow!(failure.message))?;
    let options = LoadOptions {
        device: arguments.device.parse().map_err(anyhow::Error::msg)?,
        threads: None,
        cache: None,
    };
    let localizer = Localizer::load(&arguments.model, &options)
        .with_context(|| format!("the model in {} cannot be loaded", arguments.model.display()))?;
    let model = localizer.manifest().name.clone();
    let mut plan = Plan::of(&stream, localizer.manifest())?;
    plan.apart = stream.is_apart().then(|| super::source::worker(&log)).transpose()?;

    let runtime = tokio::runtime::Runtime::new().context("the runtime does not start")?;
    let watched = runtime.block_on(watch(plan, localizer, &shown))?;
    runtime.shutdown_timeout(Duration::from_secs(1));
    let ended = watched.end.to_string();
    let report = report(watched.records, &shown, &model, &ended);
    if arguments.json || !std::io::stdout().is_terminal() {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        println!("{}", table(&report));
    }
    anyhow::ensure!(!watched.end.is_trouble(), "{ended}");
    Ok(ExitCode::SUCCESS)
}

async fn watch(plan: Plan, localizer: Localizer, shown: &str) -> anyhow::Result<Watched> {
    let stop = CancellationToken::new();
    let interrupted = stop.clone();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            interrupted.cancel();
        }
    });
    let control = Arc::new(Control::new());
    let patience = plan.source.reconnect.give_up_after.filter(|_| plan.live);
    let mut progress = Progress::new(shown, control.clone(), patience)?;
    let watched = watching::watch(plan, localizer, control, |record| progress.note(record), stop).await;
    progress.bar.finish_and_clear();
    Ok(watched)
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

fn report<'a>(records: Vec<Record>, source: &'a str, model: &'a str, ended: &'a str) -> Report<'a> {
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
    let duration = coverage.last().map_or(0.0, |record: &CoverageRecord| record.end.stream);
    Report { source, model, duration, events, coverage, errors, ended }
}

fn table(report: &Report<'_>) -> String {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY);
    table.set_header(["start", "end", "what", "how", "score"]);
    for event in &report.events {
        let how = event.modality.said();
        let (start, end) = (clock(event.start.stream), clock(event.end.stream));
        table.add_row([start, end, event.label.clone(), how.to_owned(), format!("{:.2}", event.score)]);
    }
    let unwatched: f64 = report
        .coverage
        .iter()
        .filter(|span| !span.watched)
        .map(|span| span.end.stream - span.start.stream)
        .sum();
    let mut text = format!(
        "{table}\n{} of {} watched by {}",
        clock(report.duration - unwatched),
        clock(report.duration),
        report.model
    );
    for error in &report.errors {
        text.push_str(&format!("\n{}: {}", error.kind.name(), error.message));
    }
    text
}

/// `1:02:03.4`, hours where there are any.
fn clock(seconds: f64) -> String {
    let tenths = (seconds.max(0.0) * 10.0).round() as u64;
    let (hours, minutes, rest) = (tenths / 36_000, tenths / 600 % 60, tenths % 600);
    let (seconds, tenth) = (rest / 10, rest % 10);
    if hours > 0 {
        format!("{hours}:{minutes:02}:{seconds:02}.{tenth}")
    } else {
        format!("{minutes}:{seconds:02}.{tenth}")
    }
}
