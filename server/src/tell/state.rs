//! How a sink is, for those who ask, for the metrics and for the log.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use avicuna_pipeline::timeline::UtcTime;
use schemars::JsonSchema;
use serde::Serialize;

use super::Receipt;
use super::wanted::Wanted;
use crate::history::{History, HistoryError, query};

/// What kind of sink it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SinkKind {
    /// Posts records over HTTP.
    Webhook,
    /// Publishes records over MQTT.
    Mqtt,
}

/// Does it get through?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SinkState {
    /// The last try got through, or there was none yet.
    Up,
    /// It is tried again, for ever.
    Down,
}

/// How a sink is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SinkStatus {
    /// Its name.
    pub name: String,
    /// What kind of sink it is.
    pub kind: SinkKind,
    /// Whom it tells, without anything secret.
    pub to: String,
    /// Does it get through?
    pub state: SinkState,
    /// Since when, RFC 3339.
    #[schemars(extend("format" = "date-time"))]
    pub since: String,
    /// Why it does not get through.
    pub reason: Option<String>,
    /// Records of its kinds that it has not come to.
    pub waiting: u64,
    /// Records that its receiver has taken, since the start.
    pub delivered: u64,
    /// Records that its receiver has refused for good, since the start.
    pub refused: u64,
    /// Why the last one was.
    pub refusal: Option<String>,
    /// Records of any kind that the history forgot before it came to them, since the start.
    pub forgotten: u64,
}

/// How a sink is; shared by its task and those who ask.
#[derive(Debug)]
pub struct State {
    wanted: Wanted,
    kind: SinkKind,
    to: String,
    /// Number of the last record that it is done with.
    passed: AtomicI64,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    state: SinkState,
    since: UtcTime,
    reason: Option<String>,
    delivered: u64,
    refused: u64,
    refusal: Option<String>,
    /// The last answer was a refusal.
    refuses: bool,
    forgotten: u64,
}

impl State {
    pub(super) fn new(kind: SinkKind, wanted: Wanted, to: String) -> Self {
        let inner = Inner {
            state: SinkState::Up,
            since: UtcTime::now(),
            reason: None,
            delivered: 0,
            refused: 0,
            refusal: None,
            refuses: false,
            forgotten: 0,
        };
        Self { wanted, kind, to, passed: AtomicI64::new(0), inner: Mutex::new(inner) }
    }

    /// The sink's name.
    pub fn name(&self) -> &str {
        &self.wanted.sink
    }

    /// It is done with this record and all before.
    pub(super) fn passed(&self, seq: i64) {
        self.passed.store(seq, Ordering::Relaxed);
    }

    /// It does not get through; said in the log once for each outage.
    pub(super) fn down(&self, reason: &str) {
        let mut inner = self.lock();
        if inner.state == SinkState::Up {
            tracing::warn!(sink = self.name(), to = %self.to, reason, "a sink is down; what it is to tell waits");
            inner.since = UtcTime::now();
        }
        inner.state = SinkState::Down;
        inner.reason = Some(reason.to_owned());
    }

    /// It gets through.
    pub(super) fn up(&self) {
        let mut inner = self.lock();
        if inner.state == SinkState::Down {
            let now = UtcTime::now();
            let outage_s = now.seconds_since(inner.since);
            tracing::info!(sink = self.name(), to = %self.to, outage_s, "a sink is up again");
            (inner.state, inner.since, inner.reason) = (SinkState::Up, now, None);
        }
    }

    /// Its receiver answered for a record.
    pub(super) fn answered(&self, outcome: &Receipt) {
        self.up();
        let mut inner = self.lock();
        match outcome {
            Receipt::Delivered => {
                inner.delivered += 1;
                inner.refuses = false;
            }
            Receipt::Refused(reason) => {
                inner.refused += 1;
                let again = inner.refuses && inner.refusal.as_deref() == Some(reason);
                if again {
                    tracing::debug!(sink = self.name(), reason, "another record is refused and given up");
                } else {
                    tracing::warn!(sink = self.name(), reason, "a record is refused and given up");
                }
                inner.refuses = true;
                inner.refusal = Some(reason.clone());
            }
        }
    }

    /// The history forgot records before the sink came to them.
    pub(super) fn forgot(&self, count: u64) {
        let mut inner = self.lock();
        inner.forgotten += count;
        tracing::error!(
            sink = self.name(),
            count,
            "the history forgot records before this sink came to them; they are not told. Raise history.keep or \
             history.max_bytes where sinks may be down for long"
        );
    }

    /// How it is.
    ///
    /// # Errors
    /// When the history cannot be read.
    pub async fn status(&self, history: &History) -> Result<SinkStatus, HistoryError> {
        let passed = self.passed.load(Ordering::Relaxed);
        let topics = self.wanted.topics();
        let waiting = match history.newest() > passed {
            true => history.read(move |file| Ok(query::count_after(file, &topics, passed)?)).await?,
            false => 0,
        };
        let inner = self.lock();
        Ok(SinkStatus {
            name: self.name().to_owned(),
            kind: self.kind,
            to: self.to.clone(),
            state: inner.state,
            since: inner.since.to_rfc3339(),
            reason: inner.reason.clone(),
            waiting,
            delivered: inner.delivered,
            refused: inner.refused,
            refusal: inner.refusal.clone(),
            forgotten: inner.forgotten,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
