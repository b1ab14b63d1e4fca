//! What is asked of the history.

use std::sync::Arc;

use avicuna_pipeline::answer::label_key;
use avicuna_pipeline::record::{CoverageRecord, EventRecord, Phase, WindowRecord};
use avicuna_pipeline::stream::Modality;
use avicuna_pipeline::timeline::UtcTime;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, params_from_iter};
use serde::de::DeserializeOwned;

use super::HistoryError;
use super::told::Told;

/// A span of capture time, both ends optional.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// What ends before it is left out.
    pub from: Option<UtcTime>,
    /// What starts at it or after is left out.
    pub to: Option<UtcTime>,
}

/// Which events.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct EventFilter {
    /// Of one stream.
    pub stream: Option<String>,
    /// Of one label, as [`label_key`](avicuna_pipeline::answer::label_key) has it.
    pub label: Option<String>,
    /// That overlap this.
    pub span: Span,
    /// Of one modality.
    pub modality: Option<Modality>,
    /// At least so sure.
    pub min_score: Option<f64>,
    /// In this phase now.
    pub phase: Option<Phase>,
    /// After this one.
    pub after: Option<Cursor>,
    /// At most so many.
    pub limit: usize,
}

/// A place in a list of events, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// Start of the last event that was given.
    pub start_ms: i64,
    /// Its id.
    pub event_id: String,
}

impl Cursor {
    /// As clients carry it.
    pub fn text(&self) -> String {
        format!("{}-{}", self.start_ms, self.event_id)
    }

    /// Of what a client brings back; `None` when it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let at = text.char_indices().skip(1).find(|(_, c)| *c == '-')?.0;
        let (start, id) = (&text[..at], &text[at + 1..]);
        let event_id = (!id.is_empty() && id.len() <= 200).then(|| id.to_owned())?;
        Some(Self { start_ms: start.parse().ok()?, event_id })
    }
}

/// An event in its last state, and its review where there is one.
#[derive(Debug, Clone, PartialEq)]
pub struct EventRow {
    /// The last record.
    pub event: EventRecord,
    /// The review as JSON.
    pub review: Option<String>,
    /// Its place in the list.
    pub cursor: Cursor,
}

/// Conditions and their values.
#[derive(Default)]
pub(super) struct Where {
    conditions: Vec<&'static str>,
    /// In the order of their places.
    pub values: Vec<Value>,
}

impl Where {
    fn and(&mut self, condition: &'static str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.conditions.push(condition);
            self.values.push(value.into());
        }
    }

    pub fn stream(&mut self, stream: Option<String>) {
        self.and("stream = ?", stream);
    }

    /// A condition without a value.
    pub fn holds(&mut self, condition: &'static str) {
        self.conditions.push(condition);
    }

    /// What starts from one millisecond on and before another.
    pub fn start(&mut self, from: i64, to: i64) {
        self.and("start_ms >= ?", Some(from));
        self.and("start_ms < ?", Some(to));
    }

    /// What an event is, whenever and wherever it is.
    pub fn kind(&mut self, filter: &EventFilter) {
        self.and("key = ?", filter.label.as_deref().map(label_key));
        self.and("modality = ?", filter.modality.map(|modality| modality.name().to_owned()));
        self.and("score >= ?", filter.min_score);
        self.and("phase = ?", filter.phase.map(|phase| phase.name().to_owned()));
    }

    fn span(&mut self, span: Span) {
        self.and("end_ms > ?", span.from.map(UtcTime::milliseconds));
        self.and("start_ms < ?", span.to.map(UtcTime::milliseconds));
    }

    pub fn sql(&self) -> String {
        if self.conditions.is_empty() { "1".to_owned() } else { self.conditions.join(" AND ") }
    }
}

/// Events, newest first.
pub fn events(file: &Connection, filter: &EventFilter) -> Result<Vec<EventRow>, HistoryError> {
    let mut wanted = Where::default();
    wanted.stream(filter.stream.clone());
    wanted.span(filter.span);
    wanted.kind(filter);
    if let Some(Cursor { start_ms, event_id }) = &filter.after {
        wanted.conditions.push("(start_ms, event_id) < (?, ?)");
        wanted.values.extend([Value::from(*start_ms), Value::from(event_id.clone())]);
    }
    let sql = format!(
        "SELECT event_id, start_ms, payload, (SELECT review FROM reviews WHERE reviews.event_id = events.event_id)
         FROM events WHERE {} ORDER BY start_ms DESC, event_id DESC LIMIT {}",
        wanted.sql(),
        filter.limit
    );
    let mut statement = file.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(wanted.values))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let cursor = Cursor { event_id: row.get(0)?, start_ms: row.get(1)? };
        let event = serde_json::from_str(row.get_ref(2)?.as_str().map_err(rusqlite::Error::from)?)?;
        found.push(EventRow { event, review: row.get(3)?, cursor });
    }
    Ok(found)
}

/// Every record of an event, oldest first; empty when it is not known.
pub fn revisions(file: &Connection, event_id: &str) -> Result<Vec<EventRecord>, HistoryError> {
    let sql = "SELECT payload FROM records WHERE subject = ?1 AND topic = 'events' ORDER BY seq";
    payloads(file, sql, vec![event_id.to_owned().into()])
}

/// An event's last state.
pub fn event(file: &Connection, event_id: &str) -> Result<Option<EventRecord>, HistoryError> {
    let sql = "SELECT payload FROM events WHERE event_id = ?1";
    Ok(payloads(file, sql, vec![event_id.to_owned().into()])?.pop())
}

/// The review of an event, as JSON.
pub fn review(file: &Connection, event_id: &str) -> Result<Option<String>, HistoryError> {
    let sql = "SELECT review FROM reviews WHERE event_id = ?1";
    Ok(file.query_row(sql, [event_id], |row| row.get(0)).optional()?)
}

/// Coverage that overlaps `span`, oldest first, at most `limit`.
pub fn coverage(
    file: &Connection,
    stream: Option<String>,
    span: Span,
    limit: usize,
) -> Result<Vec<CoverageRecord>, HistoryError> {
    spans(file, "coverage", stream, span, limit)
}

/// Windows that overlap `span`, oldest first, at most `limit`.
pub fn windows(
    file: &Connection,
    stream: Option<String>,
    span: Span,
    limit: usize,
) -> Result<Vec<WindowRecord>, HistoryError> {
    spans(file, "windows", stream, span, limit)
}

fn spans<T: DeserializeOwned>(
    file: &Connection,
    table: &str,
    stream: Option<String>,
    span: Span,
    limit: usize,
) -> Result<Vec<T>, HistoryError> {
    let mut wanted = Where::default();
    wanted.stream(stream);
    wanted.span(span);
    let sql = format!("SELECT payload FROM {table} WHERE {} ORDER BY start_ms LIMIT {limit}", wanted.sql());
    payloads(file, &sql, wanted.values)
}

fn payloads<T: DeserializeOwned>(
    file: &Connection,
    sql: &str,
    values: Vec<Value>,
) -> Result<Vec<T>, HistoryError> {
    let mut statement = file.prepare_cached(sql)?;
    let mut rows = statement.query(params_from_iter(values))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(serde_json::from_str(row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?)?);
    }
    Ok(found)
}

/// Records in a row.
#[derive(Debug)]
pub(super) struct Page {
    /// Oldest first.
    pub records: Vec<Arc<Told>>,
    /// May there be more?
    pub more: bool,
    /// How many between the number and the first one have been forgotten.
    pub missed: u64,
}

/// Records after a number, from `limit` rows.
pub(super) fn records_after(file: &Connection, after: i64, limit: usize) -> Result<Page, HistoryError> {
    // One view of the file for both questions.
    let file = &file.unchecked_transaction()?;
    let oldest: Option<i64> = file.query_row("SELECT min(seq) FROM records", [], |row| row.get(0))?;
    let last_gone = oldest.map_or_else(|| newest(file), |oldest| Ok(oldest - 1))?;
    let sql = "SELECT seq, topic, ce_id, stream, payload FROM records WHERE seq > ?1 ORDER BY seq LIMIT ?2";
    let mut statement = file.prepare_cached(sql)?;
    let mut rows = statement.query((after, limit as i64))?;
    let (mut found, mut count) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let topic: String = row.get(1)?;
        found.extend(Told::read(row.get(0)?, &topic, row.get(2)?, row.get(3)?, row.get(4)?).map(Arc::new));
        count += 1;
    }
    let missed = u64::try_from(last_gone - after).unwrap_or(0);
    Ok(Page { records: found, more: count == limit, missed })
}

/// The newest record's number; 0 when there is none.
pub(super) fn newest(file: &Connection) -> rusqlite::Result<i64> {
    // The sequence, not the rows: what was the newest may have been deleted for its age.
    let sql = "SELECT seq FROM sqlite_sequence WHERE name = 'records'";
    Ok(file.query_row(sql, [], |row| row.get(0)).optional()?.unwrap_or(0))
}

/// Streams that were added by calls: id and settings as JSON.
pub fn streams(file: &Connection) -> rusqlite::Result<Vec<(String, String)>> {
    let mut statement = file.prepare_cached("SELECT id, config FROM streams ORDER BY id")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    rows.collect()
}

/// Keeps a stream's settings.
pub fn keep_stream(file: &Connection, id: &str, config: &str) -> rusqlite::Result<()> {
    file.execute("INSERT OR REPLACE INTO streams VALUES (?1, ?2)", [id, config]).map(drop)
}

/// Forgets a stream's settings.
pub fn forget_stream(file: &Connection, id: &str) -> rusqlite::Result<()> {
    file.execute("DELETE FROM streams WHERE id = ?1", [id]).map(drop)
}

/// Rules: id and rule as JSON.
pub fn rules(file: &Connection) -> rusqlite::Result<Vec<(String, String)>> {
    let mut statement = file.prepare_cached("SELECT id, rule FROM rules ORDER BY id")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    rows.collect()
}

/// Keeps a rule.
pub fn keep_rule(file: &Connection, id: &str, rule: &str) -> rusqlite::Result<()> {
    file.execute("INSERT OR REPLACE INTO rules VALUES (?1, ?2)", [id, rule]).map(drop)
}

/// Forgets a rule.
pub fn forget_rule(file: &Connection, id: &str) -> rusqlite::Result<()> {
    file.execute("DELETE FROM rules WHERE id = ?1", [id]).map(drop)
}

/// The number of the last record that a sink is done with.
pub fn position(file: &Connection, sink: &str) -> rusqlite::Result<Option<i64>> {
    file.query_row("SELECT seq FROM positions WHERE sink = ?1", [sink], |row| row.get(0)).optional()
}

/// Keeps how far a sink is.
pub fn keep_position(file: &Connection, sink: &str, seq: i64) -> rusqlite::Result<()> {
    file.prepare_cached("INSERT OR REPLACE INTO positions VALUES (?1, ?2)")?.execute((sink, seq)).map(drop)
}

/// The topics under which a sink's broker keeps an announcement.
pub fn announced(file: &Connection, sink: &str) -> rusqlite::Result<Vec<String>> {
    let mut statement = file.prepare_cached("SELECT topic FROM announced WHERE sink = ?1 ORDER BY topic")?;
    statement.query_map([sink], |row| row.get(0))?.collect()
}

/// Keeps that a sink's broker keeps an announcement.
pub fn keep_announced(file: &Connection, sink: &str, topic: &str) -> rusqlite::Result<()> {
    file.prepare_cached("INSERT OR IGNORE INTO announced VALUES (?1, ?2)")?.execute((sink, topic)).map(drop)
}

/// Keeps that it does not any more.
pub fn forget_announced(file: &Connection, sink: &str, topic: &str) -> rusqlite::Result<()> {
    let mut statement = file.prepare_cached("DELETE FROM announced WHERE sink = ?1 AND topic = ?2")?;
    statement.execute((sink, topic)).map(drop)
}

/// How many records of these topics come after a number.
pub fn count_after(file: &Connection, topics: &[&str], after: i64) -> rusqlite::Result<u64> {
    let mut statement = file.prepare_cached("SELECT count(*) FROM records WHERE topic = ?1 AND seq > ?2")?;
    let mut count = 0;
    for topic in topics {
        let of_topic: i64 = statement.query_row((topic, after), |row| row.get(0))?;
        count += u64::try_from(of_topic).unwrap_or(0);
    }
    Ok(count)
}

/// Keeps what was said of an event, and the event as it was then.
pub fn keep_review(
    file: &Connection,
    event: &EventRecord,
    review: &str,
    at: UtcTime,
) -> Result<(), HistoryError> {
    let kept = serde_json::to_string(event)?;
    let values = (&event.event_id, at.milliseconds(), kept, review);
    file.execute("INSERT OR REPLACE INTO reviews VALUES (?1, ?2, ?3, ?4)", values)?;
    Ok(())
}

/// Forgets what was said of an event.
pub fn forget_review(file: &Connection, event_id: &str) -> rusqlite::Result<()> {
    file.execute("DELETE FROM reviews WHERE event_id = ?1", [event_id]).map(drop)
}

/// Reviewed events and what was said of them as JSON, oldest first, at most `limit`.
pub fn reviews(file: &Connection, limit: usize) -> Result<Vec<(EventRecord, String)>, HistoryError> {
    let mut statement =
        file.prepare_cached("SELECT event, review FROM reviews ORDER BY reviewed_ms, event_id LIMIT ?1")?;
    let mut rows = statement.query([limit as i64])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let event = serde_json::from_str(row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?)?;
        found.push((event, row.get(1)?));
    }
    Ok(found)
}
