//! Hearing records as they are kept, from any point on, in order and each once.

use std::collections::VecDeque;
use std::sync::Arc;

use avicuna_pipeline::config::RecordKind;
use avicuna_pipeline::record::{EventRecord, Modality, Phase};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use super::{History, HistoryError, query};
use crate::rules::Alert;

/// Records that are read at once from the file.
const PAGE: usize = 256;

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
            Self::Event(Phase::Started) => "started",
            Self::Event(Phase::Updated) => "updated",
            Self::Event(Phase::Ended) => "ended",
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

/// Hears records. It holds a page at most, however slowly it is read.
#[derive(Debug)]
pub struct Listener {
    history: History,
    live: broadcast::Receiver<Arc<Told>>,
    /// The last one that was heard.
    last: i64,
    /// Read in the file and not given out yet.
    page: VecDeque<Arc<Told>>,
    /// There may be more in the file than was heard live.
    behind: bool,
    /// Records that the history forgot before they were read, at most.
    missed: u64,
}

impl Listener {
    /// Hears what comes after the record `last`; `behind` when some of it may be in the file already.
    pub(super) fn new(
        history: History,
        live: broadcast::Receiver<Arc<Told>>,
        last: i64,
        behind: bool,
    ) -> Self {
        Self { history, live, last, page: VecDeque::new(), behind, missed: 0 }
    }

    /// How many records, of any kind, the history forgot before they were heard; since the last call.
    pub fn missed(&mut self) -> u64 {
        std::mem::take(&mut self.missed)
    }

    /// The next record; `None` when the history is closed.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn next(&mut self) -> Result<Option<Arc<Told>>, HistoryError> {
        loop {
            if let Some(told) = self.page.pop_front() {
                self.last = told.seq;
                return Ok(Some(told));
            }
            if self.behind {
                let after = self.last;
                let page = self.history.read(move |file| query::records_after(file, after, PAGE)).await?;
                self.behind = page.more;
                self.missed += page.missed;
                // What is gone is not looked for again.
                self.last += i64::try_from(page.missed).unwrap_or(0);
                self.page = page.records.into();
                if !self.page.is_empty() {
                    continue;
                }
            }
            match self.live.recv().await {
                Ok(told) if told.seq > self.last => self.page.push_back(told),
                Ok(_heard) => {}
                Err(RecvError::Lagged(_)) => self.behind = true,
                Err(RecvError::Closed) => return Ok(None),
            }
        }
    }
}
