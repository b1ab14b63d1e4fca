//! What a source says.

use std::fmt;
use std::time::Duration;

use avicuna_models::sample::RgbFrame;
use serde::{Deserialize, Serialize};

use super::failure::Failure;
use super::format::Format;
use crate::timeline::{ClockAnchor, ClockQuality, GridIndex, StreamTime, UtcTime};

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
        /// As in [`SourceConfig::live`](super::SourceConfig::live).
        live: bool,
        /// How long it lasts, where it is not live and says so.
        length: Option<Duration>,
    },
    /// What a track is made of; after [`SourceEvent::Connected`], and again when it changes.
    Format(Format),
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

/// The frame shown at one grid point: the latest one at or before it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TimedFrame {
    /// The grid point. Each comes at most once and they rise.
    pub at: GridIndex,
    /// The frame's own stream time.
    pub stream: StreamTime,
    /// The frame's own capture time.
    pub capture: UtcTime,
    /// `frame_size` x `frame_size` pixels, made square as [`SourceConfig::fit`](super::SourceConfig::fit) says.
    pub frame: RgbFrame,
}

/// Consecutive mono samples. Contiguous with the ones before unless time is missing in between.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TimedAudio {
    /// Stream time of the first sample.
    pub stream: StreamTime,
    /// Capture time of the first sample.
    pub capture: UtcTime,
    /// f32 in `[-1, 1]` at [`SourceConfig::sample_rate`](super::SourceConfig::sample_rate).
    pub samples: Vec<f32>,
}
