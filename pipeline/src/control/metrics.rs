//! What is counted and timed.

mod labels;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

pub use self::labels::Stage;

use self::labels::{CLIPS, LOSSES, OfKind, OfLoss, OfOutcome, OfPhase, OfStage, OfStream};
use super::books::Books;
use super::process::Process;
use crate::outbox::Outbox;
use crate::record::{ErrorKind, Phase, WindowFate};
use crate::source::Losses;

/// Seconds: a window's length and more may lie between an event's start and its record.
const ONSET: [f64; 14] =
    [0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0, 120.0, 300.0, 900.0, 3600.0];
/// Seconds of one stage.
const STAGE: [f64; 12] = [0.001, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0];
/// Windows in a batch.
const BATCH: [f64; 7] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0];

type Seconds = Gauge<f64, AtomicU64>;
type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

/// Everything that is counted and timed.
#[derive(Debug)]
pub struct Metrics {
    registry: std::sync::RwLock<Registry>,
    lag: Family<OfStream, Seconds>,
    up: Family<OfStream, Gauge>,
    windows: Family<OfOutcome, Counter>,
    events: Family<OfPhase, Counter>,
    errors: Family<OfKind, Counter>,
    reconnects: Family<OfStream, Counter>,
    unparsed: Family<OfStream, Counter>,
    losses: Family<OfLoss, Counter>,
    onset: Histograms<OfStream>,
    stages: Histograms<OfStage>,
    batch: Histogram,
    frames: Counter,
    clips: Counter,
    unchanged: Family<OfStream, Counter>,
    cut: Family<OfOutcome, Counter>,
    kept: Gauge,
    kept_bytes: Gauge,
    committed: Counter,
    fenced: Counter,
    partitions: Gauge,
}

impl Metrics {
    pub(super) fn new() -> Self {
        let metrics = Self {
            registry: std::sync::RwLock::default(),
            lag: Family::default(),
            up: Family::default(),
            windows: Family::default(),
            events: Family::default(),
            errors: Family::default(),
            reconnects: Family::default(),
            unparsed: Family::default(),
            losses: Family::default(),
            onset: Family::new_with_constructor(|| Histogram::new(ONSET)),
            stages: Family::new_with_constructor(|| Histogram::new(STAGE)),
            batch: Histogram::new(BATCH),
            frames: Counter::default(),
            clips: Counter::default(),
            unchanged: Family::default(),
            cut: Family::default(),
            kept: Gauge::default(),
            kept_bytes: Gauge::default(),
            committed: Counter::default(),
            fenced: Counter::default(),
            partitions: Gauge::default(),
        };
        metrics.register();
        metrics
    }

    fn register(&self) {
        let mut registry = self.write();
        registry.register_collector(Box::new(Process));
        let own = registry.sub_registry_with_prefix("avicuna");
        own.register_with_unit(
            "stream_lag",
            "From the capture of the newest settled sample until now, when a window is settled",
            Unit::Seconds,
            self.lag.clone(),
        );
        own.register("stream_up", "1 while samples arrive", self.up.clone());
        own.register(
            "windows",
            "Windows by what became of them: answered, shed, blind, failed",
            self.windows.clone(),
        );
        own.register("events", "Event records by phase", self.events.clone());
        own.register("errors", "Error records by kind", self.errors.clone());
        own.register("reconnects", "Connections after the first", self.reconnects.clone());
        let help = "What the source lost: buffers late or shed, complaints of decoders";
        own.register("source_losses", help, self.losses.clone());
        own.register("unparsed_answers", "Answers with parts that follow no rule", self.unparsed.clone());
        own.register_with_unit(
            "onset_to_publish",
            "From the capture of an event's start to the acknowledgement of its first record",
            Unit::Seconds,
            self.onset.clone(),
        );
        own.register_with_unit("stage", "Time in each stage", Unit::Seconds, self.stages.clone());
        own.register("batch_windows", "Windows in one call of the model", self.batch.clone());
        own.register("frames_encoded", "Frames that went through the visual encoder", self.frames.clone());
        let help = "Windows answered as the stream's last one that was read, as hardly anything differed";
        own.register("unchanged_windows", help, self.unchanged.clone());
        own.register("event_clips", "Clips of events: kept, or dropped", self.cut.clone());
        own.register("event_clips_kept", "Events of which something is kept", self.kept.clone());
        own.register_with_unit(
            "event_clips_kept",
            "What is kept of events",
            Unit::Bytes,
            self.kept_bytes.clone(),
        );
        own.register(
            "fleet_records",
            "Records of a fleet's streams that were committed",
            self.committed.clone(),
        );
        let help = "Records that were not committed, as another daemon had their partition";
        own.register("fleet_fenced_records", help, self.fenced.clone());
        own.register(
            "fleet_partitions",
            "Partitions of the fleet that this daemon has",
            self.partitions.clone(),
        );
        own.register("clips_encoded", "Clips that went through the audio encoder", self.clips.clone());
    }

    /// From now on the accounting of this outbox is told, too.
    pub fn watch_outbox(&self, outbox: &Outbox) {
        self.write().sub_registry_with_prefix("avicuna").register_collector(Box::new(Books(outbox.clone())));
    }

    /// The part of one stream.
    pub fn stream(&self, id: &str) -> StreamMetrics<'_> {
        StreamMetrics { metrics: self, id: id.to_owned() }
    }

    /// A stage took so long.
    pub fn stage(&self, stage: Stage, took: Duration) {
        self.stages.get_or_create(&OfStage { stage: stage.word() }).observe(took.as_secs_f64());
    }

    /// How far behind a stream is, in seconds; `None` before its first window.
    pub fn lag(&self, stream: &str) -> Option<f64> {
        self.lag.get(&OfStream { stream: stream.to_owned() }).map(|lag| lag.get())
    }

    /// Records of a fleet's streams were committed.
    pub fn committed(&self, records: usize) {
        self.committed.inc_by(records as u64);
    }

    /// Records were not, as another daemon has their partition.
    pub fn fenced(&self, records: u64) {
        self.fenced.inc_by(records);
    }

    /// So many partitions of a fleet are this daemon's.
    pub fn partitions(&self, partitions: usize) {
        self.partitions.set(i64::try_from(partitions).unwrap_or(i64::MAX));
    }

    /// The model answered a batch.
    pub fn batch(&self, windows: usize) {
        self.batch.observe(windows as f64);
    }

    /// So much went through the encoders.
    pub fn encoded(&self, frames: usize, clips: usize) {
        self.frames.inc_by(frames as u64);
        self.clips.inc_by(clips as u64);
    }

    /// A clip of an event of a stream was `kept` or `dropped`.
    pub fn clip(&self, stream: &str, outcome: &'static str) {
        self.cut.get_or_create(&OfOutcome { stream: stream.to_owned(), outcome }).inc();
    }

    /// So much is kept of events.
    pub fn clips_kept(&self, events: usize, bytes: u64) {
        self.kept.set(i64::try_from(events).unwrap_or(i64::MAX));
        self.kept_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// Nothing is told of a stream any more.
    pub(super) fn forget(&self, stream: &str) {
        let label = OfStream { stream: stream.to_owned() };
        self.lag.remove(&label);
        self.up.remove(&label);
        self.reconnects.remove(&label);
        self.unparsed.remove(&label);
        self.unchanged.remove(&label);
        self.onset.remove(&label);
        for outcome in WindowFate::ALL.map(WindowFate::name) {
            self.windows.remove(&OfOutcome { stream: stream.to_owned(), outcome });
        }
        for outcome in CLIPS {
            self.cut.remove(&OfOutcome { stream: stream.to_owned(), outcome });
        }
        for phase in Phase::ALL.map(Phase::name) {
            self.events.remove(&OfPhase { stream: stream.to_owned(), phase });
        }
        for kind in ErrorKind::ALL {
            self.errors.remove(&OfKind { stream: stream.to_owned(), kind: kind.name().to_owned() });
        }
        for kind in LOSSES {
            self.losses.remove(&OfLoss { stream: stream.to_owned(), kind });
        }
    }

    /// Everything in the OpenMetrics text format.
    ///
    /// # Errors
    /// When a value cannot be written as text.
    pub fn render(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        let registry = self.registry.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        prometheus_client::encoding::text::encode(&mut text, &registry)?;
        Ok(text)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Registry> {
        self.registry.write().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// What is counted of one stream.
#[derive(Debug)]
pub struct StreamMetrics<'a> {
    metrics: &'a Metrics,
    id: String,
}

impl StreamMetrics<'_> {
    fn label(&self) -> OfStream {
        OfStream { stream: self.id.clone() }
    }

    /// Makes the counters that should be there from the start, at 0.
    pub fn announce(&self) {
        self.up(false);
        for fate in WindowFate::ALL {
            self.windows(fate, 0);
        }
        let label = self.label();
        drop(self.metrics.reconnects.get_or_create(&label));
        drop(self.metrics.unparsed.get_or_create(&label));
        drop(self.metrics.unchanged.get_or_create(&label));
    }

    /// Do samples arrive?
    pub fn up(&self, up: bool) {
        self.metrics.up.get_or_create(&self.label()).set(up.into());
    }

    /// Seconds from capture to now.
    pub fn lag(&self, seconds: f64) {
        self.metrics.lag.get_or_create(&self.label()).set(seconds);
    }

    /// What became of `count` windows.
    pub fn windows(&self, fate: WindowFate, count: u64) {
        let label = OfOutcome { stream: self.id.clone(), outcome: fate.name() };
        self.metrics.windows.get_or_create(&label).inc_by(count);
    }

    /// An event record.
    pub fn event(&self, phase: Phase) {
        let phase = phase.name();
        self.metrics.events.get_or_create(&OfPhase { stream: self.id.clone(), phase }).inc();
    }

    /// An error record.
    pub fn error(&self, kind: ErrorKind) {
        let kind = kind.name().to_owned();
        self.metrics.errors.get_or_create(&OfKind { stream: self.id.clone(), kind }).inc();
    }

    /// Connected again.
    pub fn reconnect(&self) {
        self.metrics.reconnects.get_or_create(&self.label()).inc();
    }

    /// What the source has lost since it began.
    pub fn losses(&self, losses: &Losses) {
        for (kind, count) in LOSSES.into_iter().zip([losses.late, losses.shed, losses.damaged]) {
            let label = OfLoss { stream: self.id.clone(), kind };
            self.metrics.losses.get_or_create(&label).inner().store(count, Ordering::Relaxed);
        }
    }

    /// A window was answered as the last one that was read.
    pub fn unchanged(&self) {
        self.metrics.unchanged.get_or_create(&self.label()).inc();
    }

    /// An answer had parts that follow no rule.
    pub fn unparsed(&self) {
        self.metrics.unparsed.get_or_create(&self.label()).inc();
    }

    /// An event's first record was acknowledged so many seconds after the event's start was captured.
    pub fn onset(&self, seconds: f64) {
        self.metrics.onset.get_or_create(&self.label()).observe(seconds.max(0.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbox::{Message, OutboxConfig, Topic};

    fn value(text: &str, start: &str) -> f64 {
        let line = text.lines().find(|line| line.starts_with(start));
        let line = line.unwrap_or_else(|| panic!("no {start} in\n{text}"));
        line.rsplit(' ').next().and_then(|value| value.parse().ok()).expect("a number")
    }

    #[test]
    fn what_happens_can_be_scraped() {
        let metrics = Metrics::new();
        let stream = metrics.stream("cam");
        stream.announce();
        stream.windows(WindowFate::Shed, 3);
        stream.event(Phase::Started);
        stream.onset(7.0);
        stream.lag(1.5);
        metrics.stage(Stage::Llm, Duration::from_millis(300));
        metrics.batch(2);
        metrics.encoded(40, 41);
        let text = metrics.render().expect("renders");
        for (start, expected) in [
            ("avicuna_windows_total{stream=\"cam\",outcome=\"shed\"}", 3.0),
            ("avicuna_windows_total{stream=\"cam\",outcome=\"answered\"}", 0.0),
            ("avicuna_reconnects_total{stream=\"cam\"}", 0.0),
            ("avicuna_events_total{stream=\"cam\",phase=\"started\"}", 1.0),
            ("avicuna_onset_to_publish_seconds_bucket{le=\"10.0\",stream=\"cam\"}", 1.0),
            ("avicuna_stream_lag_seconds{stream=\"cam\"}", 1.5),
            ("avicuna_stage_seconds_count{stage=\"llm\"}", 1.0),
            ("avicuna_batch_windows_sum", 2.0),
            ("avicuna_clips_encoded_total", 41.0),
        ] {
            assert_eq!(value(&text, start), expected, "{start}");
        }
        assert!(value(&text, "process_resident_memory_bytes") > 1e6);
        assert!(value(&text, "process_threads") >= 1.0 && value(&text, "process_open_fds") >= 3.0);
    }

    #[test]
    fn the_books_of_the_outbox_are_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("o.redb");
        let outbox =
            Outbox::open(&OutboxConfig { path, max_bytes: 1, ..OutboxConfig::default() }).expect("opens");
        let metrics = Metrics::new();
        metrics.watch_outbox(&outbox);
        let message = Message {
            topic: Topic::Events,
            key: "cam".into(),
            ce_type: "t".into(),
            ce_id: "i".into(),
            ce_time: "2026-11-24T00:00:00Z".into(),
            payload: b"{}".to_vec(),
            subject: None,
        };
        outbox.append(&[message]).expect("appends");
        let text = metrics.render().expect("renders");
        assert_eq!(value(&text, "avicuna_outbox_produced_total"), 1.0);
        assert_eq!(value(&text, "avicuna_outbox_spooled"), 0.0);
        assert_eq!(value(&text, "avicuna_outbox_dropped_total{reason=\"larger-than-outbox\"}"), 1.0);
        assert_eq!(value(&text, "avicuna_outbox_dropped_total{reason=\"rejected-by-broker\"}"), 0.0);
    }
}
