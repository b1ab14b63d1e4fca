//! What became of one window, told in full: why something was told, and why nothing was. It is kept beside the daemon and
//! not published.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::stream::{Instant, Modality, Presence};

/// One window, or several in a row that held nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WindowRecord {
    /// `STREAM/INDEX`.
    pub id: String,
    /// The stream's id in the configuration.
    pub stream_id: String,
    /// Its first instant.
    pub start: Instant,
    /// Its end, exclusive.
    pub end: Instant,
    /// What became of it.
    pub fate: WindowFate,
    /// Why, where it was not answered; or what was missing in it.
    pub reason: Option<String>,
    /// How much audio it held.
    pub audio: Presence,
    /// How much video it held.
    pub video: Presence,
    /// One for each question, in their order; none where it was not answered.
    pub answers: Vec<Answered>,
}

/// What became of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum WindowFate {
    /// The model answered.
    Answered,
    /// The model could not.
    Failed,
    /// It was given up for lack of time.
    Shed,
    /// There was nothing in it.
    Blind,
}

impl WindowFate {
    /// Every fate.
    pub const ALL: [Self; 4] = [Self::Answered, Self::Failed, Self::Shed, Self::Blind];

    /// As it stands in records and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Failed => "failed",
            Self::Shed => "shed",
            Self::Blind => "blind",
        }
    }
}

/// A question about a window, and what was answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Answered {
    /// The query; null where it was asked what happens.
    pub query: Option<String>,
    /// What the LLM said, word by word.
    pub text: String,
    /// What was read from it, the encoders' evidence heard beside it.
    pub found: Vec<Found>,
}

/// One occurrence in one window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Found {
    /// What happens.
    pub label: String,
    /// Seconds of stream time.
    pub start: f64,
    /// Seconds of stream time.
    pub end: f64,
    /// 0 to 1.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub score: f64,
    /// Which modality carries the evidence; null where the answer does not say.
    pub modality: Option<Modality>,
    /// The score from which it is told.
    pub least: f64,
}

impl Found {
    /// Is it sure enough to be told?
    pub fn is_told(&self) -> bool {
        self.score >= self.least
    }
}
