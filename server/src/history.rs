//! What happened, for those who ask later: records, coverage and every window's answer, beside the sinks and without them.
//! Also what was made here: streams, rules and reviews.
//!
//! One thread writes; readers have connections of their own and never wait for it (write-ahead log). What is written is
//! told to everybody who listens, in the order of its number: a listener that fell behind, or was away, reads on in the
//! file.

pub mod counts;
mod keep;
mod live;
pub mod query;
mod schema;
#[cfg(test)]
mod tests;
mod told;
mod write;

use std::fs::{File, Permissions, TryLockError};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use avicuna_pipeline::outbox::Message;
use avicuna_pipeline::record::{StreamRecord, WindowRecord};
use rusqlite::{Connection, OpenFlags};
use tokio::sync::{broadcast, oneshot};

pub use live::Listener;
pub use query::{Cursor, EventFilter, EventRow, Span};
pub use schema::Unfit;
pub use told::{Aim, Told, What};
use write::{Job, Writer};

use crate::problem::Problem;
use crate::rules::Alert;

/// Jobs that may wait for the disk; each holds the records of a few windows.
const JOBS: usize = 256;
/// Records that a listener may be behind before it reads them in the file.
const RING: usize = 1024;
/// Connections that are kept for readers.
const READERS: usize = 8;

/// How long what is kept, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryConfig {
    /// The file.
    pub path: PathBuf,
    /// Records and coverage are kept so long.
    pub keep: Duration,
    /// Windows' answers are kept so long.
    pub keep_windows: Duration,
    /// The file stays below about so many bytes; windows' answers go first, then the oldest records.
    pub max_bytes: u64,
}

/// Why the history cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// It cannot be opened.
    #[error("{}: {source}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Unfit,
    },
    /// SQLite refuses.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    /// What is kept cannot be read.
    #[error("what is kept cannot be read: {0}")]
    Content(#[from] serde_json::Error),
    /// It is closed.
    #[error("it is closed")]
    Closed,
}

impl From<HistoryError> for Problem {
    fn from(error: HistoryError) -> Self {
        tracing::error!(%error, "the history cannot be used");
        Self::unavailable(format!("the history cannot be used: {error}"))
    }
}

/// The history. Clones share it; when the last one goes, the file is closed.
#[derive(Debug, Clone)]
pub struct History {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    jobs: Mutex<Option<mpsc::SyncSender<Job>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    readers: Mutex<Vec<Connection>>,
    live: broadcast::Sender<Arc<Told>>,
    lost: Arc<AtomicU64>,
    /// Number of the newest record.
    newest: Arc<AtomicI64>,
    /// Held as long as the file is open: two daemons would watch each other's streams.
    _lock: File,
}

/// Takes the file for this process. SQLite's own locks are let go of between writes.
fn lock(path: &Path) -> Result<File, Unfit> {
    let lock =
        File::options().create(true).truncate(false).write(true).open(path.with_added_extension("lock"));
    let lock = lock.map_err(|error| Unfit::Sqlite(io(error)))?;
    match lock.try_lock() {
        // Where the disk knows no locks, nobody can be asked.
        Ok(()) | Err(TryLockError::Error(_)) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(Unfit::Taken),
    }
}

impl History {
    /// Opens or creates the file. Blocks on the disk.
    ///
    /// # Errors
    /// When it is something else, or the disk refuses.
    pub fn open(config: &HistoryConfig) -> Result<Self, HistoryError> {
        let path = config.path.clone();
        let unfit = |source: Unfit| HistoryError::Open { path: path.clone(), source };
        let lock = lock(&path).map_err(&unfit)?;
        let mut connection = Connection::open(&path).map_err(|error| unfit(error.into()))?;
        schema::prepare(&mut connection).map_err(unfit)?;
        // The addresses of streams hold passwords.
        std::fs::set_permissions(&path, Permissions::from_mode(0o600))
            .map_err(|error| unfit(Unfit::Sqlite(io(error))))?;
        let (jobs, waiting) = mpsc::sync_channel(JOBS);
        let (live, _) = broadcast::channel(RING);
        let newest = query::newest(&connection).map_err(|error| unfit(error.into()))?;
        let (lost, newest) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicI64::new(newest)));
        let writer = Writer::new(connection, config.clone(), live.clone(), lost.clone(), newest.clone());
        let thread = std::thread::Builder::new().name("history".into()).spawn(move || writer.run(&waiting));
        let thread = thread.map_err(|error| unfit(Unfit::Sqlite(io(error))))?;
        Ok(Self {
            shared: Arc::new(Shared {
                path,
                jobs: Mutex::new(Some(jobs)),
                thread: Mutex::new(Some(thread)),
                readers: Mutex::default(),
                live,
                lost,
                newest,
                _lock: lock,
            }),
        })
    }

    /// Records that could not be kept since the start: a full disk, say.
    pub fn lost(&self) -> u64 {
        self.shared.lost.load(Ordering::Relaxed)
    }

    /// Reads on a connection of its own, on a thread that may block.
    ///
    /// # Errors
    /// What `read` says, or that the file cannot be opened.
    pub async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, HistoryError> + Send + 'static,
    ) -> Result<T, HistoryError> {
        let shared = self.shared.clone();
        let task = tokio::task::spawn_blocking(move || {
            let connection = shared.reader()?;
            let answer = read(&connection);
            shared.give_back(connection);
            answer
        });
        task.await.map_err(|_| HistoryError::Closed)?
    }

    /// Changes what was made here, in a transaction of its own, behind all records that came before.
    ///
    /// # Errors
    /// What `change` says; nothing is changed then.
    pub async fn change<T: Send + 'static>(
        &self,
        change: impl FnOnce(&Connection) -> Result<T, HistoryError> + Send + 'static,
    ) -> Result<T, HistoryError> {
        let (reply, answer) = oneshot::channel();
        let job = Job::Change(Box::new(move |connection| {
            let changed = connection.transaction().map_err(HistoryError::from).and_then(|transaction| {
                let changed = change(&transaction)?;
                transaction.commit()?;
                Ok(changed)
            });
            let _gone = reply.send(changed);
        }));
        let jobs = self.shared.jobs().ok_or(HistoryError::Closed)?;
        // Waits for room where the disk is behind.
        let sent = tokio::task::spawn_blocking(move || jobs.send(job)).await;
        sent.map_err(|_| HistoryError::Closed)?.map_err(|_| HistoryError::Closed)?;
        answer.await.map_err(|_| HistoryError::Closed)?
    }

    /// Number of the newest record.
    pub fn newest(&self) -> i64 {
        self.shared.newest.load(Ordering::Acquire)
    }

    /// Hears everything after the record of this number; `None`: everything from now on.
    pub fn listen(&self, after: Option<i64>) -> Listener {
        // In this order: what is kept in between is heard, or is older than now.
        let live = self.shared.live.subscribe();
        let newest = self.newest();
        Listener::new(self.clone(), live, after.unwrap_or(newest), after.is_some_and(|after| after < newest))
    }
}

impl History {
    /// Keeps what was published, what became of windows and streams, and what rules made of windows. Blocks while the disk
    /// is behind.
    pub fn keep(
        &self,
        messages: &[Message],
        windows: &[WindowRecord],
        streams: &[StreamRecord],
        alerts: Vec<Alert>,
    ) {
        let Some(jobs) = self.shared.jobs() else { return };
        let count = (messages.len() + streams.len() + alerts.len()) as u64;
        let (messages, windows, streams) = (messages.to_vec(), windows.to_vec(), streams.to_vec());
        if jobs.send(Job::Keep { messages, windows, streams, alerts }).is_err() {
            self.shared.lost.fetch_add(count, Ordering::Relaxed);
        }
    }
}

impl Shared {
    fn jobs(&self) -> Option<mpsc::SyncSender<Job>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn reader(&self) -> Result<Connection, HistoryError> {
        if let Some(connection) = self.readers.lock().unwrap_or_else(PoisonError::into_inner).pop() {
            return Ok(connection);
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        schema::settings(&connection)?;
        Ok(connection)
    }

    fn give_back(&self, connection: Connection) {
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        if readers.len() < READERS {
            readers.push(connection);
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        drop(self.jobs.get_mut().unwrap_or_else(PoisonError::into_inner).take());
        if let Some(thread) = self.thread.get_mut().unwrap_or_else(PoisonError::into_inner).take()
            && thread.join().is_err()
        {
            tracing::error!(path = %self.path.display(), "the history's writer panicked");
        }
    }
}

fn io(error: std::io::Error) -> rusqlite::Error {
    rusqlite::Error::ToSqlConversionFailure(Box::new(error))
}
