//! The thread that writes.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use avicuna_pipeline::answer::label_key;
use avicuna_pipeline::outbox::{Message, Topic};
use avicuna_pipeline::record::{CoverageRecord, EventRecord, StreamRecord, WindowRecord};
use avicuna_pipeline::timeline::UtcTime;
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use tokio::sync::broadcast;

use super::told::{ALERTS, About, STREAMS, Told, What};
use super::{HistoryConfig, keep};
use crate::rules::Alert;

/// Jobs that share a transaction.
const TOGETHER: usize = 64;
/// How often the file is looked at for what is too old or too much.
const TIDY: Duration = Duration::from_secs(60);
/// A disk that refuses is complained of so often.
const COMPLAIN: Duration = Duration::from_secs(60);

/// A change of what was made here.
pub(super) type Change = Box<dyn FnOnce(&mut Connection) + Send>;

/// What the writer is to do.
pub(super) enum Job {
    /// Keep these.
    Keep {
        /// In the order of the outbox.
        messages: Vec<Message>,
        /// What became of windows.
        windows: Vec<WindowRecord>,
        /// What became of streams.
        streams: Vec<StreamRecord>,
        /// What rules made of windows.
        alerts: Vec<Alert>,
    },
    /// Change something else.
    Change(Change),
}

/// What goes into one transaction.
#[derive(Default)]
struct Kept {
    messages: Vec<Message>,
    windows: Vec<WindowRecord>,
    streams: Vec<StreamRecord>,
    alerts: Vec<Alert>,
}

pub(super) struct Writer {
    connection: Connection,
    config: HistoryConfig,
    live: broadcast::Sender<Arc<Told>>,
    lost: Arc<AtomicU64>,
    newest: Arc<AtomicI64>,
    tidied: Option<Instant>,
    complained: Option<Instant>,
}

impl Writer {
    pub fn new(
        connection: Connection,
        config: HistoryConfig,
        live: broadcast::Sender<Arc<Told>>,
        lost: Arc<AtomicU64>,
        newest: Arc<AtomicI64>,
    ) -> Self {
        Self { connection, config, live, lost, newest, tidied: None, complained: None }
    }

    /// Until every sender is gone.
    pub fn run(mut self, jobs: &Receiver<Job>) {
        loop {
            match jobs.recv_timeout(TIDY) {
                Ok(first) => {
                    let more = std::iter::from_fn(|| jobs.try_recv().ok()).take(TOGETHER - 1);
                    self.work(std::iter::once(first).chain(more));
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if self.tidied.is_none_or(|tidied| tidied.elapsed() > TIDY) {
                self.tidied = Some(Instant::now());
                if let Err(error) = keep::tidy(&mut self.connection, &self.config, UtcTime::now()) {
                    self.complain("what is too old stays", &error);
                }
            }
        }
    }

    /// Keeps records together where no change stands between them.
    fn work(&mut self, jobs: impl Iterator<Item = Job>) {
        let mut kept = Kept::default();
        for job in jobs {
            match job {
                Job::Keep { messages, windows, streams, alerts } => {
                    kept.messages.extend(messages);
                    kept.streams.extend(streams);
                    kept.windows.extend(windows);
                    kept.alerts.extend(alerts);
                }
                Job::Change(change) => {
                    self.keep(std::mem::take(&mut kept));
                    change(&mut self.connection);
                }
            }
        }
        self.keep(kept);
    }

    fn keep(&mut self, kept: Kept) {
        let count = (kept.messages.len() + kept.streams.len() + kept.alerts.len()) as u64;
        if count == 0 && kept.windows.is_empty() {
            return;
        }
        match keep_all(&mut self.connection, kept) {
            Ok(told) => {
                if let Some(newest) = told.last() {
                    self.newest.store(newest.seq, Ordering::Release);
                }
                for told in told {
                    // Nobody may listen.
                    let _nobody = self.live.send(Arc::new(told));
                }
            }
            Err(error) => {
                self.lost.fetch_add(count, Ordering::Relaxed);
                self.complain("records are not kept", &error);
            }
        }
    }

    fn complain(&mut self, what: &str, error: &rusqlite::Error) {
        if self.complained.is_none_or(|complained| complained.elapsed() > COMPLAIN) {
            self.complained = Some(Instant::now());
            let path = self.config.path.display();
            tracing::error!(%path, %error, "the history: {what}; the sinks get everything all the same");
        }
    }
}

/// All or none; those that were not there before.
fn keep_all(connection: &mut Connection, kept: Kept) -> rusqlite::Result<Vec<Told>> {
    let now = UtcTime::now().milliseconds();
    let change = connection.transaction()?;
    let mut told = Vec::with_capacity(kept.messages.len());
    for message in kept.messages {
        told.extend(keep_message(&change, message, now)?);
    }
    for window in &kept.windows {
        keep_window(&change, window, now)?;
    }
    for stream in kept.streams {
        told.extend(keep_stream(&change, stream, now)?);
    }
    for alert in kept.alerts {
        told.extend(keep_alert(&change, alert, now)?);
    }
    change.commit()?;
    Ok(told)
}

fn keep_message(change: &Transaction<'_>, message: Message, now: i64) -> rusqlite::Result<Option<Told>> {
    let topic = message.topic.word();
    let Ok(payload) = String::from_utf8(message.payload) else { return Ok(None) };
    let subject = match message.topic {
        Topic::Events => message.ce_id.split_once('/').map(|(event, _revision)| event.to_owned()),
        Topic::Coverage | Topic::Errors => None,
    };
    let record = (topic, message.ce_id.as_str(), message.key.as_str(), subject, now, payload.as_str());
    let Some(seq) = insert(change, record)? else { return Ok(None) };
    let about = match message.topic {
        Topic::Events => keep_event(change, &payload, now)?,
        Topic::Coverage => {
            keep_coverage(change, &payload, seq, now)?;
            Some(What::Coverage.into())
        }
        Topic::Errors => Some(What::Error.into()),
    };
    Ok(about.map(|about| Told::new(seq, about, message.ce_id, message.key, payload)))
}

/// The number of a record that was not there; one that is was kept by an earlier run.
fn insert(
    change: &Transaction<'_>,
    record: (&str, &str, &str, Option<String>, i64, &str),
) -> rusqlite::Result<Option<i64>> {
    // Not OR IGNORE, which would use a number up: a hole looks like a record that was forgotten.
    let insert = "INSERT INTO records (topic, ce_id, stream, subject, kept_ms, payload)
                  SELECT ?1, ?2, ?3, ?4, ?5, ?6
                  WHERE NOT EXISTS (SELECT 1 FROM records WHERE topic = ?1 AND ce_id = ?2) RETURNING seq";
    change.prepare_cached(insert)?.query_row(record, |row| row.get(0)).optional()
}

fn keep_alert(change: &Transaction<'_>, alert: Alert, now: i64) -> rusqlite::Result<Option<Told>> {
    let payload = json(&alert)?;
    let record = (ALERTS, alert.alert_id.as_str(), alert.stream_id.as_str(), None, now, payload.as_str());
    let seq = insert(change, record)?;
    let about = About::alert(&alert);
    Ok(seq.map(|seq| Told::new(seq, about, alert.alert_id, alert.stream_id, payload)))
}

fn keep_stream(change: &Transaction<'_>, stream: StreamRecord, now: i64) -> rusqlite::Result<Option<Told>> {
    let (id, payload) = (stream.id(), json(&stream)?);
    let record = (STREAMS, id.as_str(), stream.stream_id.as_str(), None, now, payload.as_str());
    let seq = insert(change, record)?;
    Ok(seq.map(|seq| Told::new(seq, What::Stream.into(), id, stream.stream_id, payload)))
}

fn json(value: &impl serde::Serialize) -> rusqlite::Result<String> {
    serde_json::to_string(value).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

/// `None` when it is no event.
fn keep_event(change: &Transaction<'_>, payload: &str, now: i64) -> rusqlite::Result<Option<About>> {
    let Ok(event) = serde_json::from_str::<EventRecord>(payload) else { return Ok(None) };
    let upsert = "INSERT INTO events VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
        ON CONFLICT (event_id) DO UPDATE SET modality = ?4, phase = ?5, score = ?6, revision = ?7,
            start_ms = ?8, end_ms = ?9, kept_ms = ?10, payload = ?11
        WHERE excluded.revision > events.revision";
    change.prepare_cached(upsert)?.execute(params![
        event.event_id,
        event.stream_id,
        event.label,
        event.modality.name(),
        event.phase.name(),
        event.score,
        event.revision,
        instant(&event.start.utc, now),
        instant(&event.end.utc, now),
        now,
        payload,
        label_key(&event.label)
    ])?;
    Ok(Some(About::event(&event)))
}

fn keep_coverage(change: &Transaction<'_>, payload: &str, seq: i64, now: i64) -> rusqlite::Result<()> {
    let Ok(span) = serde_json::from_str::<CoverageRecord>(payload) else { return Ok(()) };
    change.prepare_cached("INSERT INTO coverage VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?.execute(params![
        span.stream_id,
        instant(&span.start.utc, now),
        instant(&span.end.utc, now),
        now,
        payload,
        seq
    ])?;
    Ok(())
}

fn keep_window(change: &Transaction<'_>, window: &WindowRecord, now: i64) -> rusqlite::Result<()> {
    let payload = json(window)?;
    change.prepare_cached("INSERT INTO windows VALUES (?1, ?2, ?3, ?4, ?5)")?.execute(params![
        window.stream_id,
        instant(&window.start.utc, now),
        instant(&window.end.utc, now),
        now,
        payload
    ])?;
    Ok(())
}

/// Milliseconds of an instant in RFC 3339, as all records have it.
fn instant(utc: &str, otherwise: i64) -> i64 {
    UtcTime::from_rfc3339(utc).map_or(otherwise, UtcTime::milliseconds)
}
