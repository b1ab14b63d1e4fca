//! The published records. Their JSON Schemas under `config/` are generated from these types; a change of meaning needs a
//! new version in the CloudEvents type.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::stream::{Instant, Modality, Presence, StreamId};
use crate::timeline::{ClockQuality, UtcTime};

mod message;
pub mod review;
mod run;
mod stream;
#[cfg(test)]
mod tests;
mod window;

pub use stream::{StreamPhase, StreamRecord};
pub use window::{Answered, Found, WindowFate, WindowRecord};

pub use run::Run;

/// CloudEvents type of [`EventRecord`].
pub const EVENT_TYPE: &str = "avicuna.event.v1";
/// CloudEvents type of [`CoverageRecord`].
pub const COVERAGE_TYPE: &str = "avicuna.coverage.v1";
/// CloudEvents type of [`ErrorRecord`].
pub const ERROR_TYPE: &str = "avicuna.error.v1";

/// One state of one event. An event is `started` once, `updated` any number of times and `ended` once; `revision`
/// counts its records from 0.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EventRecord {
    /// Depends on stream, label and first start only: the same recording replayed gives the same id. Each run of a live
    /// stream, and the runs after one that was interrupted, have ids of their own.
    pub event_id: String,
    /// The stream's id in the configuration; also the Kafka key.
    pub stream_id: String,
    /// Where in its life the event is.
    pub phase: Phase,
    /// 0 for `started`, then one more in each record of this event.
    pub revision: u32,
    /// What happened, in the words of the question or, where that asked for everything, of the answer. The same in all
    /// records of an event.
    pub label: String,
    /// The answer's sentence the localization was read from.
    pub text: String,
    /// When the event starts.
    pub start: Instant,
    /// When the event ends, as far as seen yet.
    pub end: Instant,
    /// 0 to 1, how probable the model found it: of a query the token that decides that it happens, else the geometric
    /// mean of the tokens that say label and times; the best of the windows that saw it.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub score: f64,
    /// Which modality carries the evidence.
    pub modality: Modality,
    /// Where capture times come from.
    pub clock: ClockQuality,
    /// Audio time minus video time of samples captured together, in milliseconds; null when it cannot be measured.
    pub av_offset_ms: Option<f64>,
    /// The window whose answer this record rests on.
    pub window: WindowRef,
    /// Name of the model, from its manifest.
    pub model: String,
    /// What the window cost.
    pub latency_ms: Latency,
    /// Where the event can be looked at, once it is over; not there where nothing is kept of its stream's events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Box<Evidence>>,
}

/// Where an event can be looked at. The addresses are known before anything is there: until the event is over, and when what was to be kept
/// is lost or deleted, they answer 404 or 410 with the reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Evidence {
    /// A clip with the time before and after it: MP4, or Matroska where the codec does not go into MP4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "uri-reference"))]
    pub clip: Option<String>,
    /// The picture of its surest moment, JPEG.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "uri-reference"))]
    pub snapshot: Option<String>,
    /// The spectrogram of the clip's sound, PNG.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "uri-reference"))]
    pub spectrogram: Option<String>,
}

/// Where in its life an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// First seen.
    Started,
    /// Its times, score or modality changed.
    Updated,
    /// Over, or its stream is; no record follows.
    Ended,
}

impl Phase {
    /// Every phase, in the order of an event's life.
    pub const ALL: [Self; 3] = [Self::Started, Self::Updated, Self::Ended];

    /// As it stands in records and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Updated => "updated",
            Self::Ended => "ended",
        }
    }
}

/// The window an event record rests on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WindowRef {
    /// `STREAM/INDEX`.
    pub id: String,
    /// Seconds of stream time.
    pub start: f64,
    /// Seconds of stream time.
    pub end: f64,
}

/// Milliseconds a window spent in each stage, and from its closing to the record.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Latency {
    /// From capture (or arrival) of the window's last sample to its closing.
    pub decode: f64,
    /// Vision and audio encoders.
    pub encode: f64,
    /// Prefill and decoding of the answers.
    pub llm: f64,
    /// From the window's closing to the record.
    pub total: f64,
}

/// Whether a span of a stream was watched. The records of a stream cover its time without hole or overlap.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CoverageRecord {
    /// The stream's id in the configuration; also the Kafka key.
    pub stream_id: String,
    /// Start of the span.
    pub start: Instant,
    /// End of the span, exclusive.
    pub end: Instant,
    /// Did the model see this span?
    pub watched: bool,
    /// Was audio there?
    pub audio: Presence,
    /// Was video there?
    pub video: Presence,
    /// Why it was not watched, or what was missing; null when all was there.
    pub reason: Option<String>,
}

/// Something went wrong with a stream, an answer or the model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorRecord {
    /// The stream's id in the configuration; also the Kafka key.
    pub stream_id: String,
    /// Capture or wall-clock time, RFC 3339.
    #[schemars(extend("format" = "date-time"))]
    pub time: String,
    /// What kind of trouble.
    pub kind: ErrorKind,
    /// What happened and what to do, for a person.
    pub message: String,
    /// What could not be used, for inspection: an unparsed answer, say.
    pub detail: Option<String>,
}

/// What kind of trouble an [`ErrorRecord`] tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// The source is gone, or not there.
    Source,
    /// What it sends cannot be decoded.
    Decode,
    /// An encoder failed.
    Encode,
    /// The LLM failed.
    Llm,
    /// An answer, or a part of one, does not follow the grammar.
    Parse,
}

impl ErrorKind {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::Source, Self::Decode, Self::Encode, Self::Llm, Self::Parse];

    /// As it stands in records and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Decode => "decode",
            Self::Encode => "encode",
            Self::Llm => "llm",
            Self::Parse => "parse",
        }
    }
}

impl ErrorRecord {
    /// Trouble at `time`.
    pub fn new(
        stream: &StreamId,
        time: UtcTime,
        kind: ErrorKind,
        message: impl Into<String>,
        detail: Option<String>,
    ) -> Self {
        let (stream_id, time) = (stream.to_string(), time.to_rfc3339());
        Self { stream_id, time, kind, message: message.into(), detail }
    }
}
