//! How many events there are, in pieces of time: what a day looks like, without its events.

use avicuna_pipeline::timeline::UtcTime;
use rusqlite::{Connection, params_from_iter};

use super::HistoryError;
use super::query::{EventFilter, Where};

/// Every stream of which there is an event. One after the other is looked up in the index: events are counted by it too, and it
/// begins with the stream.
const STREAMS: &str = "stream IN (
    WITH RECURSIVE known(stream) AS (
        SELECT min(stream) FROM events
        UNION ALL
        SELECT (SELECT min(stream) FROM events WHERE stream > known.stream) FROM known WHERE known.stream IS NOT NULL
    ) SELECT stream FROM known WHERE stream IS NOT NULL)";

/// Events of one stream that start in one piece of time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Count {
    /// Whose.
    pub stream: String,
    /// Which piece, from 0.
    pub bucket: u64,
    /// That are only seen.
    pub visual: u64,
    /// That are only heard.
    pub audio: u64,
    /// That are both.
    pub both: u64,
}

/// Counts the events that start from `from` on and before `to`, in pieces of `bucket` seconds, at least 1, from `from` on. By
/// stream and time, without empty ones, at most `limit`. Of the filter its span, place and limit do not matter.
pub fn counts(
    file: &Connection,
    filter: &EventFilter,
    (from, to): (UtcTime, UtcTime),
    bucket: u64,
    limit: usize,
) -> Result<Vec<Count>, HistoryError> {
    let mut wanted = Where::default();
    match &filter.stream {
        Some(stream) => wanted.stream(Some(stream.clone())),
        None => wanted.holds(STREAMS),
    }
    wanted.start(from.milliseconds(), to.milliseconds());
    wanted.kind(filter);
    let piece = i64::try_from(bucket.max(1)).unwrap_or(i64::MAX).saturating_mul(1000);
    let sql = format!(
        "SELECT stream, (start_ms - {begin}) / {piece} AS bucket, sum(modality = 'visual'), sum(modality = 'audio'),
                sum(modality = 'both')
         FROM events WHERE {} GROUP BY stream, bucket ORDER BY stream, bucket LIMIT {limit}",
        wanted.sql(),
        begin = from.milliseconds(),
    );
    let mut statement = file.prepare(&sql)?;
    let rows = statement.query_map(params_from_iter(wanted.values), |row| {
        let number = |column: usize| row.get::<_, i64>(column).map(|count| u64::try_from(count).unwrap_or(0));
        Ok(Count {
            stream: row.get(0)?,
            bucket: number(1)?,
            visual: number(2)?,
            audio: number(3)?,
            both: number(4)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// When the newest event that starts before `end` does, to the millisecond.
pub fn newest(file: &Connection, end: UtcTime) -> Result<Option<UtcTime>, HistoryError> {
    let sql = "SELECT max(start_ms) FROM events WHERE start_ms < ?1";
    let start: Option<i64> = file.query_row(sql, [end.milliseconds()], |row| row.get(0))?;
    Ok(start.map(|start| UtcTime(start.saturating_mul(1_000_000))))
}
