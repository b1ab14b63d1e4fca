//! Hearing records as they are kept, from any point on, in order and each once.

use std::collections::VecDeque;
use std::sync::Arc;

use avicuna_pipeline::record::{EventRecord, Modality, Phase};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use super::{History, HistoryError, query};

/// Records that are read at once from the file.
const PAGE: usize = 256;

/// The word for alerts where records have their topic's.
pub(super) const ALERTS: &str = "alerts";

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
    /// Whose.
    pub stream: String,
    /// Of an event: its label, score and modality.
    pub event: Option<Gist>,
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

impl Told {
    /// A record of a topic; `None` when it is none of ours.
    pub(super) fn new(seq: i64, topic: &str, stream: String, payload: String) -> Option<Self> {
        let (what, event) = match topic {
            "events" => {
                let event: EventRecord = serde_json::from_str(&payload).ok()?;
                let gist = Gist { label: event.label, score: event.score, modality: event.modality };
                (What::Event(event.phase), Some(gist))
            }
            "coverage" => (What::Coverage, None),
            "errors" => (What::Error, None),
            ALERTS => (What::Alert, None),
            _ => return None,
        };
        Some(Self { seq, what, stream, event, payload })
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
}

impl Listener {
    /// Hears what comes after the record `last`; `behind` when some of it may be in the file already.
    pub(super) fn new(
        history: History,
        live: broadcast::Receiver<Arc<Told>>,
        last: i64,
        behind: bool,
    ) -> Self {
        Self { history, live, last, page: VecDeque::new(), behind }
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
                let (page, more) =
                    self.history.read(move |file| query::records_after(file, after, PAGE)).await?;
                self.behind = more;
                self.page = page.into();
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
