//! Shared by the source tests: run a source, collect what it says, find the footage.
#![allow(dead_code, reason = "each test binary uses its part")]

pub mod bodies;
pub mod http;
pub mod media;
#[path = "../support/ports.rs"]
pub mod ports;
pub mod rtmp;
pub mod rtsp;

use std::path::PathBuf;
use std::time::Duration;

use avicuna_models::manifest::cache_dir;
use avicuna_pipeline::source::{End, Reconnect, SourceConfig, SourceEvent, TimedAudio, TimedFrame, spawn};
use avicuna_pipeline::timeline::{Grid, StreamTime};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Far more than any test needs: only a hang reaches it.
pub const HANG: Duration = Duration::from_secs(240);

/// What `make setup` puts into the cache.
pub fn cached(name: &str) -> PathBuf {
    let path = cache_dir().expect("a cache").join(name);
    assert!(path.exists(), "{} is missing: run `make setup`", path.display());
    path
}

/// Real footage.
pub fn media(name: &str) -> PathBuf {
    cached("media").join(name)
}

pub fn config(uri: impl Into<String>) -> SourceConfig {
    SourceConfig {
        grid: Grid::new(Duration::from_millis(250)),
        frame_size: 64,
        sample_rate: 16_000,
        reconnect: Reconnect {
            initial: Duration::from_millis(200),
            max: Duration::from_millis(500),
            jitter: 0.0,
            give_up_after: None,
        },
        stall_timeout: Duration::from_secs(60),
        ..SourceConfig::new("test", uri)
    }
}

pub fn live(uri: impl Into<String>) -> SourceConfig {
    SourceConfig { live: true, ..config(uri) }
}

/// A running source.
pub struct Running {
    pub events: mpsc::Receiver<SourceEvent>,
    pub shutdown: CancellationToken,
    pub task: JoinHandle<()>,
}

impl Running {
    pub fn start(config: SourceConfig) -> Self {
        let (sender, events) = mpsc::channel(16);
        let shutdown = CancellationToken::new();
        let task = spawn(config, sender, shutdown.clone());
        Self { events, shutdown, task }
    }

    pub async fn next(&mut self) -> SourceEvent {
        let next = tokio::time::timeout(HANG, self.events.recv()).await;
        next.expect("the source hangs").expect("the last event is Ended")
    }

    /// Collects events until one satisfies `enough`, which is the last one returned.
    pub async fn until(&mut self, mut enough: impl FnMut(&SourceEvent) -> bool) -> Vec<SourceEvent> {
        let mut seen = Vec::new();
        loop {
            let event = self.next().await;
            let done = enough(&event);
            if let (SourceEvent::Ended(end), false) = (&event, done) {
                panic!("ended too early: {end}");
            }
            seen.push(event);
            if done {
                return seen;
            }
        }
    }

    pub async fn stop(mut self) -> Vec<SourceEvent> {
        self.shutdown.cancel();
        let rest = self.until(|event| matches!(event, SourceEvent::Ended(_))).await;
        tokio::time::timeout(HANG, self.task).await.expect("the source hangs").expect("no panic");
        rest
    }
}

/// Everything a source says until it ends, and why it ended.
pub async fn all(config: SourceConfig) -> (Vec<SourceEvent>, End) {
    let mut running = Running::start(config);
    let mut events = running.until(|event| matches!(event, SourceEvent::Ended(_))).await;
    tokio::time::timeout(HANG, running.task).await.expect("the source hangs").expect("no panic");
    match events.pop() {
        Some(SourceEvent::Ended(end)) => (events, end),
        other => panic!("{other:?}"),
    }
}

pub fn frames(events: &[SourceEvent]) -> Vec<&TimedFrame> {
    fn frame(event: &SourceEvent) -> Option<&TimedFrame> {
        match event {
            SourceEvent::Frame(frame) => Some(frame),
            _ => None,
        }
    }
    events.iter().filter_map(frame).collect()
}

pub fn sounds(events: &[SourceEvent]) -> Vec<&TimedAudio> {
    fn sound(event: &SourceEvent) -> Option<&TimedAudio> {
        match event {
            SourceEvent::Audio(audio) => Some(audio),
            _ => None,
        }
    }
    events.iter().filter_map(sound).collect()
}

pub fn gaps(events: &[SourceEvent]) -> Vec<(StreamTime, StreamTime, &str)> {
    fn gap(event: &SourceEvent) -> Option<(StreamTime, StreamTime, &str)> {
        match event {
            SourceEvent::Gap { from, to, reason } => Some((*from, *to, reason)),
            _ => None,
        }
    }
    events.iter().filter_map(gap).collect()
}

/// Seconds of sound.
pub fn heard(events: &[SourceEvent], rate: u32) -> f64 {
    sounds(events).iter().map(|audio| audio.samples.len()).sum::<usize>() as f64 / f64::from(rate)
}

/// What holds of every source: frames rise, come from their grid point or up to half a period after it (the first of a
/// run), sound does not run back, nothing comes before declared progress, gaps do not overlap.
pub fn check(config: &SourceConfig, events: &[SourceEvent]) {
    let grid = config.grid;
    let (mut last_frame, mut sound, mut floor, mut gap_end) =
        (i64::MIN, i64::MIN, StreamTime(i64::MIN), StreamTime::ZERO);
    for event in events {
        match event {
            SourceEvent::Frame(frame) => {
                let grid = grid.expect("frames only with a grid");
                assert!(frame.at.0 > last_frame, "grid point {} after {last_frame}", frame.at.0);
                last_frame = frame.at.0;
                assert!(
                    frame.stream <= grid.at(frame.at).plus(grid.period() / 2),
                    "{:?} {:?}",
                    frame.at,
                    frame.stream
                );
                assert!(grid.at(frame.at) >= floor, "frame at {:?} after {floor:?} was over", frame.at);
                let size = config.frame_size as usize;
                assert_eq!((frame.frame.width, frame.frame.height), (size, size));
                assert_eq!(frame.frame.data.len(), size * size * 3);
            }
            SourceEvent::Audio(audio) => {
                assert!(audio.stream.0 >= sound, "sound runs back: {} < {sound}", audio.stream.0);
                let span = audio.samples.len() as i64 * 1_000_000_000 / i64::from(config.sample_rate);
                sound = audio.stream.0 + span - 1;
                assert!(!audio.samples.is_empty());
                assert!(audio.stream >= floor);
            }
            SourceEvent::Progress(until) => {
                assert!(*until > floor);
                floor = *until;
            }
            SourceEvent::Gap { from, to, .. } => {
                assert!(*from >= gap_end && to > from, "gap {from:?}..{to:?} after one to {gap_end:?}");
                gap_end = *to;
            }
            _ => {}
        }
    }
}
