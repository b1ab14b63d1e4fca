//! What is too old or too much goes.

use std::time::Duration;

use avicuna_pipeline::timeline::UtcTime;
use rusqlite::Connection;

use super::HistoryConfig;

/// Rows that go at once, so that no transaction holds others up for long.
const PIECE: usize = 2000;

/// Deletes what is older than the limits, then what is too much.
pub(super) fn tidy(
    connection: &mut Connection,
    config: &HistoryConfig,
    now: UtcTime,
) -> rusqlite::Result<()> {
    let before = |keep: Duration| now.milliseconds() - i64::try_from(keep.as_millis()).unwrap_or(i64::MAX);
    for (table, keep) in [
        ("windows", config.keep_windows),
        ("records", config.keep),
        ("events", config.keep),
        ("coverage", config.keep),
    ] {
        let limit = before(keep);
        let sql = format!(
            "DELETE FROM {table} WHERE {key} IN (SELECT {key} FROM {table} WHERE kept_ms < ?1 LIMIT {PIECE})",
            key = key(table)
        );
        while connection.execute(&sql, [limit])? == PIECE {}
    }
    while used(connection)? > config.max_bytes {
        if !drop_oldest(connection)? {
            break;
        }
    }
    // One page with each step.
    let mut vacuum = connection.prepare("PRAGMA incremental_vacuum")?;
    let mut freed = vacuum.query([])?;
    while freed.next()?.is_some() {}
    drop(freed);
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
}

fn key(table: &str) -> &'static str {
    if table == "events" { "event_id" } else { "rowid" }
}

/// Bytes of the pages in use.
fn used(connection: &Connection) -> rusqlite::Result<u64> {
    let pragma = |name: &str| connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0));
    let pages = pragma("page_count")? - pragma("freelist_count")?;
    Ok(u64::try_from(pages * pragma("page_size")?).unwrap_or(0))
}

/// A piece of what is told least: windows' answers first, then everything of the oldest time. `false` when there is nothing.
fn drop_oldest(connection: &Connection) -> rusqlite::Result<bool> {
    let oldest = |table: &str| {
        let key = key(table);
        let sql = format!(
            "DELETE FROM {table} WHERE {key} IN (SELECT {key} FROM {table} ORDER BY kept_ms LIMIT {PIECE})"
        );
        connection.execute(&sql, [])
    };
    if oldest("windows")? > 0 {
        return Ok(true);
    }
    let mut gone = 0;
    for table in ["records", "coverage", "events"] {
        gone += oldest(table)?;
    }
    Ok(gone > 0)
}
