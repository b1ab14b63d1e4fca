//! From the streams to the outbox: one bounded queue and one thread, for the disk blocks.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::record::Record;
use crate::control::{Control, Stage};
use crate::outbox::{Message, Outbox, OutboxError};
use crate::record::WindowRecord;

/// Calls that may wait; each holds the records of one window.
const QUEUE: usize = 64;
/// Calls that share one sync of the disk.
const TOGETHER: usize = 32;

/// What comes out of a stream at once.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// To be published.
    pub records: Vec<Record>,
    /// For whoever looks over the daemon's shoulder.
    pub windows: Vec<WindowRecord>,
}

impl From<Vec<Record>> for Batch {
    fn from(records: Vec<Record>) -> Self {
        Self { records, windows: Vec::new() }
    }
}

/// Looks over the daemon's shoulder: keeps what the sinks let go.
pub trait Observer: Send + Sync {
    /// What was put into the outbox, in order, and what became of windows. Called on a thread that may block; while it
    /// does, records wait, as they do for the disk of the outbox.
    fn stored(&self, messages: &[Message], windows: &[WindowRecord]);
}

/// Takes records on their way out. Clones share it; when the last one goes, its thread ends.
#[derive(Debug, Clone)]
pub(super) struct Publisher {
    sender: mpsc::Sender<Batch>,
}

impl Publisher {
    /// One that whoever holds the receiver serves.
    pub fn channel() -> (Self, mpsc::Receiver<Batch>) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        (Self { sender }, receiver)
    }

    /// Hands records over, in order; waits for room. `false` when nobody takes them any more.
    pub async fn publish(&self, batch: impl Into<Batch>) -> bool {
        let batch = batch.into();
        let empty = batch.records.is_empty() && batch.windows.is_empty();
        empty || self.sender.send(batch).await.is_ok()
    }
}

/// Puts what is published into the outbox, and shows it to `observer`, until every publisher is gone.
pub(super) fn store(
    mut batches: mpsc::Receiver<Batch>,
    outbox: Outbox,
    control: Arc<Control>,
    observer: Option<Arc<dyn Observer>>,
) -> JoinHandle<Result<(), OutboxError>> {
    tokio::task::spawn_blocking(move || {
        while let Some(first) = batches.blocking_recv() {
            let more = std::iter::from_fn(|| batches.try_recv().ok()).take(TOGETHER - 1);
            let (mut messages, mut windows) = (Vec::<Message>::new(), Vec::new());
            for batch in std::iter::once(first).chain(more) {
                messages.extend(batch.records.iter().map(Record::message));
                windows.extend(batch.windows);
            }
            let started = Instant::now();
            // What a full outbox drops is counted there, and in the log.
            let _counted = outbox.append(&messages)?;
            control.metrics.stage(Stage::Store, started.elapsed());
            if let Some(observer) = &observer {
                observer.stored(&messages, &windows);
            }
        }
        Ok(())
    })
}
