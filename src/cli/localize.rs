//! `avicuna localize`: one file or stream, watched to its end.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use avicuna_models::localizer::{LoadOptions, Localizer};
use avicuna_pipeline::config::{Config, Loaded, LogConfig, LogLevel, Places, StreamConfig};
use avicuna_pipeline::daemon::{self, Record, Watched};
use avicuna_pipeline::record::{CoverageRecord, ErrorRecord, EventRecord, Modality};
use avicuna_pipeline::schedule::ScheduleConfig;
use avicuna_pipeline::source::{END_OF_FILE, STOPPED};
use clap::Args;
use comfy_table::{Table, presets};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// A file, or the URI of anything that ends.
    source: String,
    /// When does this happen? May be given several times. Without it: what happens, and when?
    #[arg(long, value_name = "EVENT")]
    query: Vec<String>,
    /// The model directory.
    #[arg(long, default_value = "assets/models/avicuna-small")]
    model: PathBuf,
    /// `auto`, `cpu` or `cuda:N`.
    #[arg(long, default_value = "auto")]
    device: String,
    /// Leave out what is less sure (0 to 1).
    #[arg(long, default_value_t = 0.2)]
    min_score: f64,
    /// JSON on a terminal too.
    #[arg(long)]
    json: bool,
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
    super::start_log(&LogConfig { level: LogLevel::Error, ..LogConfig::default() });
    let mut stream = StreamConfig::new("localize", &arguments.source);
    stream.detect = arguments.query.is_empty();
    stream.queries.clone_from(&arguments.query);
    stream.min_score = arguments.min_score;
    let shown = stream.shown_uri();
    let address = stream.address()?;
    address.check()?;
    let options = LoadOptions {
        device: arguments.device.parse().map_err(anyhow::Error::msg)?,
        threads: None,
        cache: None,
    };
    let config = Config { stream: vec![stream], ..Config::default() };
    let localizer = Localizer::load(&arguments.model, &options)
        .with_context(|| format!("the model in {} cannot be loaded", arguments.model.display()))?;
    let model = localizer.manifest().name.clone();
    let loaded = Loaded { config, places: Places::default() };
    let plans = daemon::plan(&loaded, localizer.manifest())?;
    let plan = plans.into_iter().next().context("one stream, one plan")?;

    let runtime = tokio::runtime::Runtime::new().context("the runtime does not start")?;
    let watched = runtime.block_on(watch(plan, localizer, &shown))?;
    runtime.shutdown_timeout(Duration::from_secs(1));
    let report = report(watched.records, &shown, &model, &watched.reason);
    if arguments.json || !std::io::stdout().is_terminal() {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        println!("{}", table(&report));
    }
    let ended = report.ended == END_OF_FILE || report.ended == STOPPED;
    anyhow::ensure!(ended, "{}", report.ended);
    Ok(ExitCode::SUCCESS)
}

async fn watch(plan: daemon::Plan, localizer: Localizer, shown: &str) -> anyhow::Result<Watched> {
    let stop = CancellationToken::new();
    let interrupted = stop.clone();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            interrupted.cancel();
        }
    });
    // Hidden by itself where standard error is no terminal.
    let progress = ProgressBar::new_spinner();
    progress.set_style(ProgressStyle::with_template("{spinner} {elapsed_precise} {msg}")?);
    progress.enable_steady_tick(Duration::from_millis(100));
    progress.set_message(shown.to_owned());
    let started = std::time::Instant::now();
    let mut events = 0;
    let show = |record: &Record| match record {
        Record::Event(event) if event.revision == 0 => events += 1,
        Record::Coverage { record, .. } => {
            let (at, speed) = (record.end.stream, record.end.stream / started.elapsed().as_secs_f64());
            progress.set_message(format!(
                "{shown}: watched {at:.0} s, {speed:.1} times as fast, {events} events"
            ));
        }
        _ => {}
    };
    let schedule = ScheduleConfig {
        max_batch: 4,
        linger: Duration::from_millis(20),
        queue_per_stream: 4,
        shed: Default::default(),
    };
    let watched = daemon::watch(plan, localizer, schedule, show, stop).await;
    progress.finish_and_clear();
    Ok(watched)
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
        let how = match event.modality {
            Modality::Audio => "heard",
            Modality::Visual => "seen",
            Modality::Both => "seen and heard",
        };
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
        text.push_str(&format!("\n{}: {}", error.kind, error.message));
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
