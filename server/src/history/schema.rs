//! The tables. SQLite, because what is asked of a history differs from call to call, and because operators can look into
//! the file with any tool.

use rusqlite::Connection;

/// Version of the tables below, in the file's `user_version`.
const VERSION: i64 = 2;

const TABLES: &str = "
CREATE TABLE records (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    topic TEXT NOT NULL,
    ce_id TEXT NOT NULL,
    stream TEXT NOT NULL,
    subject TEXT,
    kept_ms INTEGER NOT NULL,
    payload TEXT NOT NULL,
    UNIQUE (topic, ce_id)
);
CREATE INDEX records_subject ON records (subject) WHERE subject IS NOT NULL;
CREATE TABLE events (
    event_id TEXT PRIMARY KEY,
    stream TEXT NOT NULL,
    label TEXT NOT NULL,
    modality TEXT NOT NULL,
    phase TEXT NOT NULL,
    score REAL NOT NULL,
    revision INTEGER NOT NULL,
    start_ms INTEGER NOT NULL,
    end_ms INTEGER NOT NULL,
    kept_ms INTEGER NOT NULL,
    payload TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX events_start ON events (start_ms, event_id);
CREATE INDEX events_stream ON events (stream, start_ms, event_id);
CREATE TABLE coverage (
    stream TEXT NOT NULL,
    start_ms INTEGER NOT NULL,
    end_ms INTEGER NOT NULL,
    kept_ms INTEGER NOT NULL,
    payload TEXT NOT NULL,
    seq INTEGER NOT NULL UNIQUE
);
CREATE INDEX coverage_stream ON coverage (stream, start_ms);
CREATE TABLE windows (
    stream TEXT NOT NULL,
    start_ms INTEGER NOT NULL,
    end_ms INTEGER NOT NULL,
    kept_ms INTEGER NOT NULL,
    payload TEXT NOT NULL
);
CREATE INDEX windows_stream ON windows (stream, start_ms);
CREATE INDEX windows_kept ON windows (kept_ms);
CREATE TABLE reviews (
    event_id TEXT PRIMARY KEY,
    reviewed_ms INTEGER NOT NULL,
    event TEXT NOT NULL,
    review TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE streams (id TEXT PRIMARY KEY, config TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE rules (id TEXT PRIMARY KEY, rule TEXT NOT NULL) WITHOUT ROWID;
";

/// What version 2 adds: how far each sink is, and how much waits for it.
const SINKS: &str = "
CREATE INDEX records_topic ON records (topic, seq);
CREATE TABLE positions (sink TEXT PRIMARY KEY, seq INTEGER NOT NULL) WITHOUT ROWID;
";

/// Makes the tables in a new file, and those that one of an earlier version lacks.
///
/// # Errors
/// What SQLite says; a file of another version or program, in words.
pub(super) fn prepare(connection: &mut Connection) -> Result<(), Unfit> {
    settings(connection)?;
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    match (version, tables) {
        (VERSION, _) => Ok(()),
        (0, 0) => {
            // Only before the first table is made can a file be told to give space back.
            connection.execute_batch("PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL;")?;
            let change = connection.transaction()?;
            change.execute_batch(TABLES)?;
            change.execute_batch(SINKS)?;
            change.pragma_update(None, "user_version", VERSION)?;
            Ok(change.commit()?)
        }
        (1, _) => {
            let change = connection.transaction()?;
            change.execute_batch(SINKS)?;
            change.pragma_update(None, "user_version", VERSION)?;
            Ok(change.commit()?)
        }
        (0, _) => Err(Unfit::Foreign),
        (version, _) => Err(Unfit::Version(version)),
    }
}

/// Every connection's settings.
pub(super) fn settings(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    // A power cut may cost the last moments; the outbox has them.
    connection.pragma_update(None, "synchronous", "NORMAL")
}

/// Why a file is no history.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// It belongs to something else.
    #[error("it is a database of another program; choose another history.path")]
    Foreign,
    /// It was made by another version of this program.
    #[error("it has format {0}, this program reads {VERSION}; choose another history.path")]
    Version(i64),
    /// SQLite cannot read it.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
}
