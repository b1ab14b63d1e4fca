//! The tables. SQLite, because what is asked of a history differs from call to call, and because operators can look into
//! the file with any tool.

use avicuna_pipeline::answer::label_key;
use rusqlite::Connection;
use rusqlite::functions::FunctionFlags;

/// What makes a file of each version one of the next, the first one of nothing. The version is in the file's `user_version`.
const STEPS: [&str; 5] = [TABLES, SINKS, COUNTS, ANNOUNCED, KEYS];
const VERSION: usize = STEPS.len();

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

/// What version 3 changes: events are counted in the index alone.
const COUNTS: &str = "
DROP INDEX events_stream;
CREATE INDEX events_stream ON events (stream, start_ms, event_id, modality, score, phase, label);
";

/// What version 4 adds: the topics under which a broker keeps what it was told for Home Assistant.
const ANNOUNCED: &str = "
CREATE TABLE announced (sink TEXT, topic TEXT, PRIMARY KEY (sink, topic)) WITHOUT ROWID;
";

/// What version 5 changes: the events of a label are found, and counted, in an index, and not by looking at all.
const KEYS: &str = "
ALTER TABLE events ADD COLUMN key TEXT NOT NULL DEFAULT '';
UPDATE events SET key = label_key(label);
CREATE INDEX events_key ON events (key, start_ms, event_id, stream, modality, score, phase);
DROP INDEX events_stream;
CREATE INDEX events_stream ON events (stream, start_ms, event_id, modality, score, phase, key);
";

/// Makes the tables in a new file, and what one of an earlier version lacks.
///
/// # Errors
/// What SQLite says; a file of another version or program, in words.
pub(super) fn prepare(connection: &mut Connection) -> Result<(), Unfit> {
    settings(connection)?;
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if version == 0 && tables > 0 {
        return Err(Unfit::Foreign);
    }
    let lacks = usize::try_from(version).ok().and_then(|version| STEPS.get(version..));
    let lacks = lacks.ok_or(Unfit::Version(version))?;
    if lacks.is_empty() {
        return Ok(());
    }
    if version == 0 {
        // Only before the first table is made can a file be told to give space back.
        connection.execute_batch("PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL;")?;
    }
    let change = connection.transaction()?;
    for step in lacks {
        change.execute_batch(step)?;
    }
    change.pragma_update(None, "user_version", VERSION as i64)?;
    Ok(change.commit()?)
}

/// Every connection's settings.
pub(super) fn settings(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    // Which labels are the same is not for SQL to say; of events it is written down, for files of earlier versions it is asked here.
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    connection
        .create_scalar_function("label_key", 1, flags, |call| Ok(label_key(call.get_raw(0).as_str()?)))?;
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
    /// Another daemon keeps its history there.
    #[error("another process has it open; give each daemon a history.path of its own")]
    Taken,
    /// SQLite cannot read it.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
}
