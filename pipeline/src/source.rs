//! From a URI to timed frames and samples: one GStreamer graph per connection, decoded, dropped to the sampling grid,
//! scaled and resampled inside the graph, with one clock over reconnects, loops and jumps. `docs/ingest.md` states
//! every rule.

pub mod apart;
mod audio;
mod boxes;
mod branch;
pub mod choice;
mod clock;
mod complaints;
mod downmix;
mod end;
pub mod failure;
mod generate;
mod graph;
mod intake;
mod mailbox;
mod moov;
mod ntp;
pub mod pick;
mod policy;
mod program;
mod redact;
mod stamps;
pub mod uri;
mod video;
mod watch;

use std::fmt;
use std::time::Duration;

use avicuna_models::sample::RgbFrame;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use self::choice::TrackChoice;
use self::failure::Failure;
use crate::timeline::{ClockAnchor, ClockQuality, Grid, GridIndex, StreamTime, UtcTime};

/// How a source ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum End {
    /// A file or a test source was delivered to its end.
    OfFile,
    /// The shutdown token was cancelled, or nobody reads any more.
    Stopped,
    /// It cannot go on.
    Failed(Failure),
}

impl End {
    /// Did it end for another reason than its own end or the word to stop?
    pub fn is_trouble(&self) -> bool {
        matches!(self, Self::Failed(_))
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OfFile => f.write_str("end of file"),
            Self::Stopped => f.write_str("stopped"),
            Self::Failed(failure) => failure.fmt(f),
        }
    }
}

/// What a source says, in the order it happened. Frames and samples of the two modalities are each in order of
/// stream time; between the modalities the graph's queues may reorder them by a few seconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum SourceEvent {
    /// Samples arrive. Sent again with the same `attempt` when a modality appears later.
    Connected {
        /// 0 for the first connection of the stream, then one more for each.
        attempt: u32,
        /// Does the source carry audio we can decode?
        has_audio: bool,
        /// Does the source carry video we can decode?
        has_video: bool,
        /// As in [`SourceConfig::live`].
        live: bool,
        /// How long it lasts, where it is not live and says so.
        length: Option<Duration>,
    },
    /// The frame of one grid point.
    Frame(TimedFrame),
    /// Consecutive samples.
    Audio(TimedAudio),
    /// How stream time maps to capture time from `anchor` on.
    Clock {
        /// Where capture times come from.
        clock: ClockQuality,
        /// Stream time of a sound minus stream time of a sight captured together; `None` when it cannot be measured.
        av_offset_ms: Option<f64>,
        /// An instant on both clocks.
        anchor: ClockAnchor,
    },
    /// Nothing is known of `[from, to)`: an outage or a discontinuity of the source. Consecutive gaps of one outage
    /// touch. Samples before `from` may still follow.
    Gap {
        /// First instant that is not covered.
        from: StreamTime,
        /// First instant that may be covered again.
        to: StreamTime,
        /// `kind: words for a person`.
        reason: String,
    },
    /// Nothing before this instant will come any more.
    Progress(StreamTime),
    /// A live source is gone, or not there yet.
    Lost {
        /// Why.
        failure: Failure,
        /// When the next attempt starts.
        retry_in: Duration,
    },
    /// What was lost without a gap to show for it. Comes after a count rose, at most four times a second.
    Losses(Losses),
    /// The last event.
    Ended(End),
}

/// Counts since the stream started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Losses {
    /// Frames and audio buffers that came after their time was over.
    pub late: u64,
    /// Frames and audio buffers thrown away because the reader fell behind; a [`SourceEvent::Gap`] stands for them.
    pub shed: u64,
    /// Complaints of demuxers and decoders: what they say of it is in the log.
    pub damaged: u64,
}

/// How a picture that is not square becomes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Fit {
    /// The whole picture; its aspect ratio is not kept.
    #[default]
    Stretch,
    /// The shorter side fills the square and the middle is kept, as CLIP models want it.
    Crop,
}

/// The frame shown at one grid point: the latest one at or before it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TimedFrame {
    /// The grid point. Each comes at most once and they rise.
    pub at: GridIndex,
    /// The frame's own stream time.
    pub stream: StreamTime,
    /// The frame's own capture time.
    pub capture: UtcTime,
    /// `frame_size` x `frame_size` pixels, made square as [`SourceConfig::fit`] says.
    pub frame: RgbFrame,
}

/// Consecutive mono samples. Contiguous with the ones before unless time is missing in between.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TimedAudio {
    /// Stream time of the first sample.
    pub stream: StreamTime,
    /// Capture time of the first sample.
    pub capture: UtcTime,
    /// f32 in `[-1, 1]` at [`SourceConfig::sample_rate`].
    pub samples: Vec<f32>,
}

/// How a lost live source is tried again: after `initial`, then twice as long each time up to `max`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Reconnect {
    /// Delay before the first retry.
    pub initial: Duration,
    /// The longest delay.
    pub max: Duration,
    /// 0..=1: the part of each delay that is drawn at random, so that many streams do not return at once.
    pub jitter: f64,
    /// End the stream after so long without a sample; `None` tries for ever.
    pub give_up_after: Option<Duration>,
}

impl Default for Reconnect {
    fn default() -> Self {
        Self {
            initial: Duration::from_millis(500),
            max: Duration::from_secs(30),
            jitter: 0.3,
            give_up_after: None,
        }
    }
}

/// One stream to watch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SourceConfig {
    /// The stream's id, for logs.
    pub stream_id: String,
    /// Where it is; a path without a scheme is a file.
    pub uri: String,
    /// Live sources are never slowed down and are reconnected; others wait for the reader and end.
    pub live: bool,
    /// Start a file again at its end; stream time goes on.
    pub loop_file: bool,
    /// Play a file at its own speed instead of as fast as the reader takes it.
    pub realtime: bool,
    /// When to take frames; `None` decodes no video.
    pub grid: Option<Grid>,
    /// Width and height of the frames, in pixels.
    pub frame_size: u32,
    /// How the picture is made square.
    pub fit: Fit,
    /// Samples per second of the audio; 0 decodes no audio.
    pub sample_rate: u32,
    /// Which of several audio tracks.
    pub audio_track: TrackChoice,
    /// Which of several video tracks.
    pub video_track: TrackChoice,
    /// How long a network source may hold packets back to reorder them.
    pub latency: Duration,
    /// What to do when a live source is lost.
    pub reconnect: Reconnect,
    /// A source that delivers nothing for so long is lost.
    pub stall_timeout: Duration,
}

/// Watches one stream until it ends or `shutdown` is cancelled; the last event is [`SourceEvent::Ended`]. Needs a tokio
/// runtime. Dropping the receiver stops the source as well.
pub fn spawn(
    config: SourceConfig,
    sender: mpsc::Sender<SourceEvent>,
    shutdown: CancellationToken,
) -> JoinHandle<()> {
    tokio::spawn(watch::watch(config, sender, shutdown))
}
