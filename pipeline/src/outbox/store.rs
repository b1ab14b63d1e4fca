//! The file: messages and counters in one redb database, changed only together.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

use redb::{Database, ReadableDatabase, ReadableTable, Table, TableDefinition, TableError, TableHandle};

use super::runs::{Begun, RUNS, Runs, Value, Whole};
use super::{Accounting, Message, OutboxError, Subject, Topic};

/// Topic's number and message's number to the message. Numbers rise in the order of appending, over all topics.
const MESSAGES: TableDefinition<(u8, u64), Value> = TableDefinition::new("messages");
const COUNTERS: TableDefinition<&str, u64> = TableDefinition::new("counters");
/// Topic's number and the id of a subject that is not over, to its last message.
const OPEN: TableDefinition<(u8, &str), Value> = TableDefinition::new("open");
const DROPPED: TableDefinition<&str, u64> = TableDefinition::new("dropped");

/// Version of the tables above, stored as counter `format`.
const FORMAT: u64 = 1;
/// What a message costs in the file beside its text.
const OVERHEAD: u64 = 64;
/// The store's cache of pages; its default is a gigabyte.
const CACHE: usize = 32 << 20;

/// Size from which an emptied file is shrunk.
const WORTH_SHRINKING: u64 = 16 << 20;

/// The counters of the file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Ledger {
    /// Number of the next message.
    pub next: u64,
    /// Bytes of the messages waiting, with [`OVERHEAD`].
    pub bytes: u64,
    /// Changes ever committed.
    pub changes: u64,
    /// Where the messages are.
    pub accounting: Accounting,
}

/// Opens the database; called again after the disk failed, because redb then wants to be opened afresh.
pub(super) type Opener = Box<dyn Fn(Opening) -> Result<Database, redb::Error> + Send + Sync>;

/// Which opening of the file it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opening {
    /// When the program starts: the file may have been damaged since, so all of it is checked.
    First,
    /// After the disk failed. Checking would write, which a full disk does not allow.
    Again,
}

pub(super) struct Store {
    path: PathBuf,
    opener: Opener,
    /// `None` while it cannot be opened.
    database: RwLock<Option<Database>>,
}

/// A message's number and the message.
pub(crate) type Numbered = (u64, Message);

/// Bytes a message counts against the limit.
pub(super) fn size(message: &Message) -> u64 {
    let Message { topic: _, key, ce_type, ce_id, ce_time, payload, subject: _ } = message;
    OVERHEAD + (key.len() + ce_type.len() + ce_id.len() + ce_time.len() + payload.len()) as u64
}

fn stored_size((key, ce_type, ce_id, ce_time, payload): (&str, &str, &str, &str, &[u8])) -> u64 {
    OVERHEAD + (key.len() + ce_type.len() + ce_id.len() + ce_time.len() + payload.len()) as u64
}

/// Opens or creates `path`. A damaged file is an error here and not a surprise later.
pub(super) fn open_file(path: &Path, opening: Opening) -> Result<Database, redb::Error> {
    let is_new = !path.exists();
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE).set_check_integrity_on_open(opening == Opening::First);
    let database = builder.create(path)?;
    if is_new && let Some(folder) = path.parent() {
        // The file's name must survive a power cut as well as its content.
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(redb::Error::Io)?;
    }
    Ok(database)
}

impl Store {
    pub fn open(path: &Path, opener: Opener) -> Result<(Self, Ledger), OutboxError> {
        let explain = |error: redb::Error| OutboxError::explain(path, error);
        let database = opener(Opening::First).map_err(explain)?;
        let known = [MESSAGES.name(), OPEN.name(), COUNTERS.name(), DROPPED.name(), RUNS.name()];
        let read = database.begin_read().map_err(|error| OutboxError::explain(path, error))?;
        let tables = read.list_tables().map_err(|error| OutboxError::explain(path, error))?;
        if let Some(other) =
            tables.map(|table| table.name().to_owned()).find(|name| !known.contains(&name.as_str()))
        {
            return Err(OutboxError::Foreign {
                path: path.into(),
                detail: format!("it has a table {other}"),
            });
        }
        drop(read);
        let (path, database) = (path.to_path_buf(), RwLock::new(Some(database)));
        let store = Self { path, opener, database };
        let ledger = store.load()?;
        Ok((store, ledger))
    }

    /// The counters on disk; creates them in a new file.
    pub fn load(&self) -> Result<Ledger, OutboxError> {
        let found = self.with_database(|database| match database.begin_read()?.open_table(COUNTERS) {
            Ok(counters) => Ok(Some(counters.get("format")?.map_or(0, |guard| guard.value()))),
            Err(TableError::TableDoesNotExist(_)) => Ok(None),
            Err(error) => Err(error.into()),
        });
        match found? {
            Some(FORMAT) => {}
            Some(format) => {
                let detail = format!("outbox format {format}, this program reads {FORMAT}");
                return Err(OutboxError::Foreign { path: self.path.clone(), detail });
            }
            None => self.with_database(create_tables)?,
        }
        self.with_database(|database| {
            let read = database.begin_read()?;
            let counters = read.open_table(COUNTERS)?;
            let count =
                |name: &str| Ok::<_, redb::Error>(counters.get(name)?.map_or(0, |guard| guard.value()));
            let mut dropped = BTreeMap::new();
            for row in read.open_table(DROPPED)?.iter()? {
                let (reason, count) = row?;
                dropped.insert(reason.value().to_owned(), count.value());
            }
            let (produced, acknowledged) = (count("produced")?, count("acknowledged")?);
            let accounting = Accounting { produced, acknowledged, spooled: count("spooled")?, dropped };
            Ok(Ledger {
                next: count("next")?,
                bytes: count("bytes")?,
                changes: count("changes")?,
                accounting,
            })
        })
    }

    /// Opens the file afresh after the disk failed.
    pub fn reopen(&self) -> Result<Ledger, OutboxError> {
        {
            let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
            // The old handle holds the lock on the file.
            drop(database.take());
            *database =
                Some((self.opener)(Opening::Again).map_err(|error| OutboxError::explain(&self.path, error))?);
        }
        self.load()
    }

    /// Changes messages and counters in one transaction, synced to disk when this returns. When `work` changes nothing,
    /// nothing is written, unless the counters in `ledger` are `newer` than those on disk.
    pub fn change(
        &self,
        ledger: &Ledger,
        newer: bool,
        work: impl FnOnce(&mut Change<'_>) -> Result<(), redb::Error>,
    ) -> Result<Ledger, OutboxError> {
        self.with_database(|database| {
            let write = database.begin_write()?;
            let (mut changed, runs_changed) = {
                let (messages, open) = (write.open_table(MESSAGES)?, write.open_table(OPEN)?);
                let runs = Runs { runs: write.open_table(RUNS)?, is_changed: false };
                let mut change = Change { messages, open, runs, ledger: ledger.clone() };
                work(&mut change)?;
                (change.ledger, change.runs.is_changed)
            };
            if changed == *ledger && !newer && !runs_changed {
                write.abort()?;
                return Ok(changed);
            }
            changed.changes += 1;
            {
                let Ledger { next, bytes, changes, accounting } = &changed;
                let mut counters = write.open_table(COUNTERS)?;
                for (name, count) in [
                    ("next", next),
                    ("bytes", bytes),
                    ("changes", changes),
                    ("produced", &accounting.produced),
                    ("acknowledged", &accounting.acknowledged),
                    ("spooled", &accounting.spooled),
                ] {
                    counters.insert(name, count)?;
                }
                let mut dropped = write.open_table(DROPPED)?;
                for (reason, count) in &accounting.dropped {
                    dropped.insert(reason.as_str(), count)?;
                }
            }
            write.commit()?;
            Ok(changed)
        })
    }

    /// Gives the space of an emptied file back to the disk. Readers wait meanwhile; with nothing in the file it is quick.
    pub fn shrink(&self) -> Result<(), OutboxError> {
        if std::fs::metadata(&self.path).map_or(0, |file| file.len()) < WORTH_SHRINKING {
            return Ok(());
        }
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        let Some(database) = database.as_mut() else { return Ok(()) };
        database.compact().map(|_| ()).map_err(|error| OutboxError::explain(&self.path, error))
    }

    /// Waiting messages of `topic` from number `from` on, oldest first: at most `count`, and no more than fit `bytes`
    /// (but at least one).
    pub fn read(
        &self,
        topic: Topic,
        from: u64,
        count: usize,
        bytes: u64,
    ) -> Result<Vec<Numbered>, OutboxError> {
        self.with_database(|database| {
            let mut found = Vec::new();
            let mut read = 0;
            let messages = database.begin_read()?.open_table(MESSAGES)?;
            for row in messages.range((topic.number(), from)..=(topic.number(), u64::MAX))?.take(count) {
                let (number, value) = row?;
                let value = value.value();
                read += stored_size(value);
                if read > bytes && !found.is_empty() {
                    break;
                }
                found.push((number.value().1, message(topic, value)));
            }
            Ok(found)
        })
    }

    /// The last messages of all subjects that are not over.
    pub fn left_open(&self) -> Result<Vec<Message>, OutboxError> {
        self.with_database(|database| {
            let open = match database.begin_read()?.open_table(OPEN) {
                // An outbox that has never changed since it was made.
                Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
                open => open?,
            };
            let mut found = Vec::new();
            for topic in Topic::ALL {
                let rest = (topic.number() + 1, "");
                for row in open.range((topic.number(), "")..rest)? {
                    found.push(message(topic, row?.1.value()));
                }
            }
            Ok(found)
        })
    }

    fn with_database<T>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, redb::Error>,
    ) -> Result<T, OutboxError> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let Some(database) = database.as_ref() else {
            return Err(OutboxError::Store {
                path: self.path.clone(),
                detail: "not open since the disk failed".into(),
            });
        };
        work(database).map_err(|error| OutboxError::explain(&self.path, error))
    }
}

fn message(topic: Topic, value: (&str, &str, &str, &str, &[u8])) -> Message {
    let (key, ce_type, ce_id, ce_time, payload) = value;
    let [key, ce_type, ce_id, ce_time] = [key, ce_type, ce_id, ce_time].map(str::to_owned);
    Message { topic, key, ce_type, ce_id, ce_time, payload: payload.to_vec(), subject: None }
}

fn create_tables(database: &Database) -> Result<(), redb::Error> {
    let write = database.begin_write()?;
    write.open_table(COUNTERS)?.insert("format", FORMAT)?;
    write.open_table(DROPPED)?;
    write.open_table(MESSAGES)?;
    Ok(write.commit()?)
}

/// A transaction under way.
pub(super) struct Change<'t> {
    messages: Table<'t, (u8, u64), Value>,
    open: Table<'t, (u8, &'static str), Value>,
    runs: Runs<'t>,
    ledger: Ledger,
}

impl Change<'_> {
    /// Bytes waiting now.
    pub fn bytes(&self) -> u64 {
        self.ledger.bytes
    }

    /// Whether it is the last word of a subject that consumers know, or will.
    pub fn is_awaited(&self, message: &Message) -> Result<bool, redb::Error> {
        let Some(Subject { id, is_over: true }) = &message.subject else { return Ok(false) };
        Ok(self.open.get((message.topic.number(), id.as_str()))?.is_some())
    }

    /// A run of a recording begins.
    pub fn begin(&mut self, recording: &str) -> Result<Begun, redb::Error> {
        self.runs.begin(recording)
    }

    /// A run of a recording has told all of it.
    pub fn end(&mut self, whole: &Whole) -> Result<(), redb::Error> {
        self.runs.end(whole, &self.open)
    }

    /// Puts a new message behind all others.
    pub fn append(&mut self, message: &Message) -> Result<(), redb::Error> {
        let Message { topic, key, ce_type, ce_id, ce_time, payload, subject } = message;
        let value = (key.as_str(), ce_type.as_str(), ce_id.as_str(), ce_time.as_str(), payload.as_slice());
        self.messages.insert((topic.number(), self.ledger.next), value)?;
        match subject {
            Some(Subject { id, is_over: true }) => drop(self.open.remove((topic.number(), id.as_str()))?),
            Some(Subject { id, is_over: false }) => {
                drop(self.open.insert((topic.number(), id.as_str()), value)?);
            }
            None => {}
        }
        self.ledger.next += 1;
        self.ledger.bytes += size(message);
        self.ledger.accounting.produced += 1;
        self.ledger.accounting.spooled += 1;
        Ok(())
    }

    /// Counts a new message that never gets in.
    pub fn refuse(&mut self, reason: &str) {
        self.ledger.accounting.produced += 1;
        self.count_dropped(reason);
    }

    /// Takes a delivered message out. One that gave way to newer ones meanwhile stays counted as dropped.
    pub fn acknowledge(&mut self, topic: Topic, number: u64) -> Result<(), redb::Error> {
        if self.remove(topic.number(), number)? {
            self.ledger.accounting.acknowledged += 1;
        }
        Ok(())
    }

    /// Gives a waiting message up.
    pub fn give_up(&mut self, topic: Topic, number: u64, reason: &str) -> Result<(), redb::Error> {
        if self.remove(topic.number(), number)? {
            self.count_dropped(reason);
        }
        Ok(())
    }

    /// Gives the oldest message of all topics up; `false` when there is none.
    pub fn give_up_oldest(&mut self, reason: &str) -> Result<bool, redb::Error> {
        let mut oldest: Option<(u8, u64)> = None;
        for topic in Topic::ALL {
            let mut waiting = self.messages.range((topic.number(), 0)..=(topic.number(), u64::MAX))?;
            if let Some(row) = waiting.next() {
                let found = row?.0.value();
                oldest = oldest.filter(|oldest| oldest.1 < found.1).or(Some(found));
            }
        }
        let Some((topic, number)) = oldest else { return Ok(false) };
        self.remove(topic, number)?;
        self.count_dropped(reason);
        Ok(true)
    }

    fn remove(&mut self, topic: u8, number: u64) -> Result<bool, redb::Error> {
        let Some(size) = self.messages.remove((topic, number))?.map(|value| stored_size(value.value()))
        else {
            return Ok(false);
        };
        self.ledger.bytes = self.ledger.bytes.saturating_sub(size);
        self.ledger.accounting.spooled -= 1;
        Ok(true)
    }

    fn count_dropped(&mut self, reason: &str) {
        *self.ledger.accounting.dropped.entry(reason.to_owned()).or_default() += 1;
    }
}
