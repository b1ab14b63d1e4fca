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

/// What listeners choose a record by.
#[derive(Debug)]
pub(super) struct About {
    what: What,
    event: Option<Gist>,
    alert: Option<Aim>,
}

impl About {
    /// Of a record of a topic; `None` when it is none of ours.
    fn read(topic: &str, payload: &str) -> Option<Self> {
        match topic {
            "events" => serde_json::from_str(payload).ok().map(|event: EventRecord| Self::event(&event)),
            "coverage" => Some(What::Coverage.into()),
            "errors" => Some(What::Error.into()),
            ALERTS => serde_json::from_str(payload).ok().map(|alert: Alert| Self::alert(&alert)),
            STREAMS => Some(What::Stream.into()),
            _ => None,
        }
    }

    pub fn event(event: &EventRecord) -> Self {
        let gist = Gist { label: event.label.clone(), score: event.score, modality: event.modality };
        Self { event: Some(gist), ..What::Event(event.phase).into() }
    }

    pub fn alert(alert: &Alert) -> Self {
        let aim = Aim { rule: alert.rule_id.clone(), targets: alert.targets.clone() };
        Self { alert: Some(aim), ..What::Alert.into() }
    }
}

impl From<What> for About {
    fn from(what: What) -> Self {
        Self { what, event: None, alert: None }
    }
}

impl Told {
    /// A record that was kept.
    pub(super) fn new(seq: i64, about: About, id: String, stream: String, payload: String) -> Self {
        let About { what, event, alert } = about;
        Self { seq, what, id, stream, event, alert, payload }
    }

    /// A record of a topic, as it is read in the file; `None` when it is none of ours.
    pub(super) fn read(seq: i64, topic: &str, id: String, stream: String, payload: String) -> Option<Self> {
        About::read(topic, &payload).map(|about| Self::new(seq, about, id, stream, payload))
    }
}
