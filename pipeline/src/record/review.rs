//! What people say of events.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::EventRecord;
use crate::answer::label_key;

/// Was it so?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It happened as it was told.
    Right,
    /// It did not happen.
    Wrong,
    /// It happened, but otherwise: `label`, `start` or `end` say how.
    Corrected,
}

/// What a person says of an event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewReview {
    /// Was it so?
    pub verdict: Verdict,
    /// What really happened.
    pub label: Option<String>,
    /// When it really started, seconds of stream time.
    pub start: Option<f64>,
    /// When it really ended, seconds of stream time.
    pub end: Option<f64>,
}

/// What a person said of an event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Review {
    /// What was said.
    #[serde(flatten)]
    pub said: NewReview,
    /// When, RFC 3339.
    #[schemars(extend("format" = "date-time"))]
    pub reviewed: String,
}

/// An event and what was said of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Reviewed {
    /// As it was when it was reviewed.
    pub event: EventRecord,
    /// What was said.
    pub review: Review,
}

/// Reviews, oldest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Reviews {
    /// Kept until they are withdrawn, longer than the events themselves.
    pub reviews: Vec<Reviewed>,
}

impl Reviewed {
    /// Did what was told happen? Other times make it no other event.
    pub fn is_right(&self) -> bool {
        let keeps = |label: &String| label_key(label) == label_key(&self.event.label);
        match self.review.said.verdict {
            Verdict::Right => true,
            Verdict::Wrong => false,
            Verdict::Corrected => self.review.said.label.as_ref().is_none_or(keeps),
        }
    }

    /// What happened, and when, in seconds of stream time; `None`: nothing did.
    pub fn truth(&self) -> Option<(&str, f64, f64)> {
        let (event, said) = (&self.event, &self.review.said);
        let label = said.label.as_deref().unwrap_or(&event.label);
        let times = (said.start.unwrap_or(event.start.stream), said.end.unwrap_or(event.end.stream));
        (said.verdict != Verdict::Wrong).then_some((label, times.0, times.1))
    }
}
