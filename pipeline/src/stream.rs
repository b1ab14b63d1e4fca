//! The words that all rooms share: which stream, which window, which medium, how much of it, when.

use std::fmt;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A stream's id in the configuration. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StreamId(#[serde(with = "crate::shared")] Arc<str>);

impl StreamId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for StreamId {
    fn from(id: &str) -> Self {
        Self(id.into())
    }
}

impl From<String> for StreamId {
    fn from(id: String) -> Self {
        Self(id.into())
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One window of one stream. Prints as `STREAM/INDEX`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct WindowId {
    /// Whose.
    pub stream: StreamId,
    /// Counts from 0 without a hole; the window starts at `index * hop` in stream time.
    pub index: u64,
}

impl fmt::Display for WindowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.stream, self.index)
    }
}

/// One of the two media of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Medium {
    /// Sound.
    Audio,
    /// Sight.
    Video,
}

impl Medium {
    /// In one word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Audio => "audio",
            Self::Video => "video",
        }
    }
}

/// Which modality carries the evidence of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Modality {
    /// Heard.
    Audio,
    /// Seen.
    Visual,
    /// Seen and heard.
    Both,
}

impl Modality {
    /// As it stands in records.
    pub fn name(self) -> &'static str {
        match self {
            Self::Audio => "audio",
            Self::Visual => "visual",
            Self::Both => "both",
        }
    }

    /// As answers and people say it.
    pub fn said(self) -> &'static str {
        match self {
            Self::Audio => "heard",
            Self::Visual => "seen",
            Self::Both => "seen and heard",
        }
    }
}

/// How much of a modality a window holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Presence {
    /// Every slot is filled.
    Present,
    /// Some slots are filled.
    Partial,
    /// No slot is filled.
    Missing,
}

/// An instant on both clocks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Instant {
    /// Seconds of stream time.
    pub stream: f64,
    /// Capture time, RFC 3339.
    #[schemars(extend("format" = "date-time"))]
    pub utc: String,
}

/// How a stream is.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum StreamState {
    /// Nothing has arrived yet.
    Connecting,
    /// Samples arrive.
    Watching {
        /// Audio too?
        audio: bool,
        /// Video too?
        video: bool,
        /// Seconds it lasts, where that is known.
        #[serde(skip_serializing_if = "Option::is_none")]
        length: Option<f64>,
    },
    /// Away; it is tried again.
    Lost {
        /// Why.
        reason: String,
    },
    /// Over.
    Ended {
        /// Why.
        reason: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_modality_is_called_as_it_is_written() {
        for modality in [Modality::Audio, Modality::Visual, Modality::Both] {
            assert_eq!(serde_json::to_value(modality).expect("it is JSON"), modality.name());
        }
    }
}
