//! A record as it was kept, for those who choose by what it is.

use avicuna_pipeline::config::RecordKind;
use avicuna_pipeline::record::{EventRecord, Phase};
use avicuna_pipeline::stream::Modality;

use crate::rules::Alert;

/// The word for alerts where records have their topic's.
pub(super) const ALERTS: &str = "alerts";
/// The word for states of streams.
pub(super) const STREAMS: &str = "streams";

/// What a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// An event's record.
    Event(Phase),
    /// A coverage record.
    Coverage,
    /// An error record.
    Error,
    /// A rule fired.
    Alert,
    /// A stream is in another state.
    Stream,
}

impl What {
    /// The name of the server-sent event.
    pub fn name(self) -> &'static str {
        match self {
            Self::Event(phase) => phase.name(),
            Self::Coverage => "coverage",
            Self::Error => "error",
            Self::Alert => "alert",
            Self::Stream => "stream",
        }
    }

    /// What sinks choose by.
    pub fn kind(self) -> RecordKind {
        match self {
            Self::Event(_) => RecordKind::Events,
            Self::Coverage => RecordKind::Coverage,
            Self::Error => RecordKind::Errors,
            Self::Alert => RecordKind::Alerts,
            Self::Stream => RecordKind::Streams,
        }
    }
}

/// A record that was kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    /// Its number: rises in the order of keeping, also over restarts.
    pub seq: i64,
    /// What it is.
    pub what: What,
    /// Names it among those of its topic; the same when it is told again.
    pub id: String,
    /// Whose.
    pub stream: String,
    /// Of an event: its label, score and modality.
    pub event: Option<Gist>,
    /// Of an alert: its rule, and whom it is for.
    pub alert: Option<Aim>,
    /// The record as JSON.
    pub payload: String,
}

/// What listeners choose events by.
#[derive(Debug, Clone, PartialEq)]
pub struct Gist {
    /// What happens.
    pub label: String,
    /// 0 to 1.
    pub score: f64,
    /// Seen or heard.
    pub modality: Modality,
}

/// What sinks choose alerts by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aim {
    /// The rule.
    pub rule: String,
    /// Sinks that are told; all when empty.
    pub targets: Vec<String>,
}

impl Told {
    /// A record of a topic; `None` when it is none of ours.
    pub(super) fn new(seq: i64, topic: &str, id: String, stream: String, payload: String) -> Option<Self> {
        let mut alert = None;
        let (what, event) = match topic {
            "events" => {
                let event: EventRecord = serde_json::from_str(&payload).ok()?;
                let gist = Gist { label: event.label, score: event.score, modality: event.modality };
                (What::Event(event.phase), Some(gist))
            }
            "coverage" => (What::Coverage, None),
            "errors" => (What::Error, None),
            ALERTS => {
                let Alert { rule_id: rule, targets, .. } = serde_json::from_str(&payload).ok()?;
                alert = Some(Aim { rule, targets });
                (What::Alert, None)
            }
            STREAMS => (What::Stream, None),
            _ => return None,
        };
        Some(Self { seq, what, id, stream, event, alert, payload })
    }
}
