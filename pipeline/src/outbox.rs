//! The durable queue between the model and the sinks: one file, one writer thread.
//!
//! A message is in the file, synced, before [`Outbox::append`] returns, and leaves it only when the sink has acknowledged
//! it or it was given up for a stated reason. The counters live in the same transactions as the messages, so
//! `produced = acknowledged + spooled + sum(dropped)` holds at every instant and after every crash.

mod admission;
mod error;
mod runs;
mod store;
#[cfg(test)]
mod tests;
mod writer;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;

use serde::{Deserialize, Serialize};
use tokio::sync::{oneshot, watch};

use admission::Append;
pub use error::OutboxError;
pub(crate) use runs::{Begun, Whole};
use store::{Numbered, Opener, Store, open_file};
use writer::{Begin, Board, Request, Settle, Writer};

use crate::timeline::UtcTime;

/// `[outbox]` of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OutboxConfig {
    /// The file; its folder must exist.
    pub path: PathBuf,
    /// How many bytes of messages may wait for delivery. The file is somewhat larger.
    pub max_bytes: u64,
    /// What gives way when more would wait.
    pub when_full: WhenFull,
}

impl Default for OutboxConfig {
    fn default() -> Self {
        Self {
            path: PathBuf::from("avicuna-outbox.redb"),
            max_bytes: 1 << 30,
            when_full: WhenFull::default(),
        }
    }
}

/// What gives way when the outbox is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WhenFull {
    /// The oldest messages: after an outage consumers get the latest.
    #[default]
    DropOldest,
    /// The new messages: after an outage consumers get the beginning.
    DropNew,
    /// Nothing: [`Outbox::append`] waits for room, and with it everything before it.
    Block,
}

/// Which of the published topics a message belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Topic {
    /// Event records.
    Events,
    /// Coverage records.
    Coverage,
    /// Error records.
    Errors,
}

impl Topic {
    /// Every topic, in the order of their numbers on disk.
    pub const ALL: [Self; 3] = [Self::Events, Self::Coverage, Self::Errors];

    /// The topic's number on disk; never reused for another.
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Events => 0,
            Self::Coverage => 1,
            Self::Errors => 2,
        }
    }

    /// The word for logs and JSON lines.
    pub fn word(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Coverage => "coverage",
            Self::Errors => "errors",
        }
    }
}

/// One record on its way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Where it goes.
    pub topic: Topic,
    /// The stream's id. Messages with the same topic and key are delivered in the order of appending.
    pub key: String,
    /// CloudEvents `type`, as `avicuna.event.v1`.
    pub ce_type: String,
    /// CloudEvents `id`: consumers drop a second message with the same one.
    pub ce_id: String,
    /// CloudEvents `time`, RFC 3339.
    pub ce_time: String,
    /// The record as JSON.
    pub payload: Vec<u8>,
    /// What this is the latest state of, if it is a state. Only [`Outbox::append`] looks at it: a message that comes back
    /// out of the file has none.
    pub subject: Option<Subject>,
}

/// Something with a life, told in several messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// The same in all its messages, and in no other's.
    pub id: String,
    /// Is this its last message?
    pub is_over: bool,
}

/// Where every message ever appended is. `produced = acknowledged + spooled + sum(dropped)`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Accounting {
    /// Messages handed to the outbox since its file was created.
    pub produced: u64,
    /// Messages the sink has acknowledged.
    pub acknowledged: u64,
    /// Messages waiting in the file.
    pub spooled: u64,
    /// Messages given up, by reason.
    pub dropped: BTreeMap<String, u64>,
}

impl Accounting {
    /// Whether every message is somewhere.
    pub fn balanced(&self) -> bool {
        self.produced == self.acknowledged + self.spooled + self.dropped.values().sum::<u64>()
    }
}

/// The file cannot be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// Since when.
    pub since: UtcTime,
    /// What is wrong, what to do, and what happens to messages meanwhile.
    pub reason: String,
}

/// What became of one call of [`Outbox::append`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Appended {
    /// Messages of this call that are on disk now.
    pub stored: u64,
    /// Messages given up to make this call: older ones, or its own, as [`WhenFull`] says.
    pub dropped: u64,
}

/// Why messages are given up; the keys of [`Accounting::dropped`].
pub mod reason {
    /// It gave way to newer ones: `when_full = "drop-oldest"`.
    pub const FULL_OLDEST: &str = "outbox-full-oldest";
    /// It found no room: `when_full = "drop-new"`.
    pub const FULL_NEWEST: &str = "outbox-full-new";
    /// It still waited for room when the program stopped: `when_full = "block"`.
    pub const FULL_AT_SHUTDOWN: &str = "outbox-full-at-shutdown";
    /// It alone is larger than `outbox.max_bytes`.
    pub const LARGER_THAN_OUTBOX: &str = "larger-than-outbox";
    /// The disk of the outbox was full.
    pub const DISK_FULL: &str = "outbox-disk-full";
    /// The disk of the outbox failed.
    pub const DISK_FAILED: &str = "outbox-disk-failed";
    /// The sink takes no message of this size.
    pub const TOO_LARGE: &str = "too-large-for-broker";
    /// The sink does not accept this message, whatever is tried.
    pub const REJECTED: &str = "rejected-by-broker";
    /// All of them.
    pub const ALL: [&str; 8] = [
        FULL_OLDEST,
        FULL_NEWEST,
        FULL_AT_SHUTDOWN,
        LARGER_THAN_OUTBOX,
        DISK_FULL,
        DISK_FAILED,
        TOO_LARGE,
        REJECTED,
    ];
}

/// What a sink has decided about a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The sink has it.
    Delivered,
    /// The sink will never take it; one of [`reason`].
    Refused(&'static str),
}

/// The queue. Clones share it; when the last one goes, the file is closed.
#[derive(Clone)]
pub struct Outbox {
    shared: Arc<Shared>,
}

struct Shared {
    path: PathBuf,
    store: Arc<Store>,
    board: Arc<Board>,
    requests: Mutex<Option<mpsc::Sender<Request>>>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl Outbox {
    /// Opens or creates the file; what an earlier run left in it waits for delivery. Blocks on the disk.
    ///
    /// # Errors
    /// When another process has the file open, it is damaged or something else, its folder is missing, or the disk is
    /// full.
    pub fn open(config: &OutboxConfig) -> Result<Self, OutboxError> {
        let path = config.path.clone();
        Self::open_with(config, Box::new(move |opening| open_file(&path, opening)))
    }

    fn open_with(config: &OutboxConfig, opener: Opener) -> Result<Self, OutboxError> {
        let path = config.path.clone();
        let (store, ledger) = Store::open(&path, opener)?;
        let Accounting { spooled, .. } = ledger.accounting;
        if spooled > 0 {
            tracing::info!(spooled, path = %path.display(), "the outbox holds messages of an earlier run");
        }
        let accounting = watch::Sender::new(ledger.accounting.clone());
        let (trouble, next) = (watch::Sender::new(None), watch::Sender::new(ledger.next));
        let (store, board) = (Arc::new(store), Arc::new(Board { accounting, trouble, next }));
        let (requests, received) = mpsc::channel();
        let writer = Writer::new(store.clone(), board.clone(), config, ledger);
        let thread = std::thread::Builder::new().name("outbox".into()).spawn(move || writer.run(&received));
        let thread = thread.map_err(|source| OutboxError::Io { path: path.clone(), source })?;
        let (requests, writer) = (Mutex::new(Some(requests)), Mutex::new(Some(thread)));
        Ok(Self { shared: Arc::new(Shared { path, store, board, requests, writer }) })
    }

    /// Puts messages into the file, in order, behind all others. They are on disk when this returns, or counted as
    /// dropped. Calls of several threads share a sync of the disk; one call with many messages is cheapest.
    ///
    /// Blocks: call it from a blocking thread, as with `tokio::task::spawn_blocking`. With [`WhenFull::Block`] it waits
    /// for room, until [`Outbox::stop_waiting`]. A full or failing disk is not an error here: with [`WhenFull::Block`] it
    /// is waited for too, else the messages are dropped and counted.
    ///
    /// # Errors
    /// When the writer thread has ended.
    ///
    /// # Panics
    /// On an async worker thread, which must not block.
    pub fn append(&self, messages: &[Message]) -> Result<Appended, OutboxError> {
        self.append_last(messages, Vec::new())
    }

    /// As [`append`](Self::append); with these messages runs are `whole`, which is on disk with them, or not at all.
    pub(crate) fn append_last(
        &self,
        messages: &[Message],
        whole: Vec<Whole>,
    ) -> Result<Appended, OutboxError> {
        if messages.is_empty() && whole.is_empty() {
            return Ok(Appended::default());
        }
        let (reply, answer) = oneshot::channel();
        let (messages, outcome) = (messages.to_vec(), Appended::default());
        self.request(Request::Append(Append { messages, whole, reply, done: 0, outcome }));
        answer.blocking_recv().unwrap_or_else(|_| Err(OutboxError::Closed { path: self.shared.path.clone() }))
    }

    /// Ends every wait for room, now and from now on: what does not fit is dropped and counted. For shutdown.
    pub fn stop_waiting(&self) {
        self.request(Request::StopWaiting);
    }

    /// Where all messages are, now.
    pub fn accounting(&self) -> Accounting {
        self.shared.board.accounting.borrow().clone()
    }

    /// Where all messages are, as it changes.
    pub fn watch_accounting(&self) -> watch::Receiver<Accounting> {
        self.shared.board.accounting.subscribe()
    }

    /// Why nothing can be written to the file, while nothing can.
    pub fn watch_trouble(&self) -> watch::Receiver<Option<Trouble>> {
        self.shared.board.trouble.subscribe()
    }

    /// The last message of every subject whose last word never came into the file: what an earlier run left open when it
    /// was killed, or when the disk or the outbox was full at its end. Blocks on the disk.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn left_open(&self) -> Result<Vec<Message>, OutboxError> {
        self.shared.store.left_open()
    }

    /// A run of `recording`, the key of its messages, begins: that is on disk when the answer comes. An error when it
    /// cannot be written down now. Does not block.
    pub(crate) fn begin(&self, recording: &str) -> oneshot::Receiver<Begun> {
        let (reply, answer) = oneshot::channel();
        self.request(Request::Begin(Begin { recording: recording.to_owned(), reply }));
        answer
    }

    /// The number of the next message; changes whenever messages were stored.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.shared.board.next.subscribe()
    }

    /// Waiting messages of `topic` from number `from` on, oldest first: at most `count`, and no more than fit `bytes`
    /// (but at least one). Blocks on the disk.
    pub(crate) fn read(
        &self,
        topic: Topic,
        from: u64,
        count: usize,
        bytes: u64,
    ) -> Result<Vec<Numbered>, OutboxError> {
        self.shared.store.read(topic, from, count, bytes)
    }

    /// Takes messages out of the file. Does not block; the answer comes when it is on disk, or an error when the writer
    /// thread has ended. A failing disk is tried again until it works.
    pub(crate) fn settle(&self, topic: Topic, settled: Vec<(u64, Verdict)>) -> oneshot::Receiver<()> {
        let (reply, answer) = oneshot::channel();
        self.request(Request::Settle(Settle { topic, settled, reply }));
        answer
    }

    fn request(&self, request: Request) {
        if let Some(requests) = &*self.shared.requests.lock().unwrap_or_else(PoisonError::into_inner) {
            // A writer that has ended drops the request, and with it the sender of the reply: the caller learns it there.
            let _ended = requests.send(request);
        }
    }
}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbox").field("path", &self.shared.path).finish_non_exhaustive()
    }
}

impl Drop for Shared {
    /// Closes the file cleanly: one that was not is checked at length when it is opened again.
    fn drop(&mut self) {
        drop(self.requests.get_mut().unwrap_or_else(PoisonError::into_inner).take());
        if let Some(writer) = self.writer.get_mut().unwrap_or_else(PoisonError::into_inner).take()
            && writer.join().is_err()
        {
            tracing::error!(path = %self.path.display(), "the outbox's writer panicked");
        }
    }
}
