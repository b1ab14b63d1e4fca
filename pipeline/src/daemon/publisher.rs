//! From the streams to the outbox: one bounded queue and one thread, for the disk blocks.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::record::Record;
use crate::control::{Control, Stage};
use crate::outbox::{Message, Outbox, OutboxError};

/// Calls that may wait; each holds the records of one window.
const QUEUE: usize = 64;
/// Calls that share one sync of the disk.
const TOGETHER: usize = 32;

/// Takes records on their way out. Clones share it; when the last one goes, its thread ends.
#[derive(Debug, Clone)]
pub(super) struct Publisher {
    sender: mpsc::Sender<Vec<Record>>,
}

impl Publisher {
    /// One that whoever holds the receiver serves.
    pub fn channel() -> (Self, mpsc::Receiver<Vec<Record>>) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        (Self { sender }, receiver)
    }

    /// Hands records over, in order; waits for room. `false` when nobody takes them any more.
    pub async fn publish(&self, records: Vec<Record>) -> bool {
        records.is_empty() || self.sender.send(records).await.is_ok()
    }
}

/// Puts what is published into the outbox until every publisher is gone.
pub(super) fn store(
    mut records: mpsc::Receiver<Vec<Record>>,
    outbox: Outbox,
    control: Arc<Control>,
) -> JoinHandle<Result<(), OutboxError>> {
    tokio::task::spawn_blocking(move || {
        while let Some(first) = records.blocking_recv() {
            let more = std::iter::from_fn(|| records.try_recv().ok()).take(TOGETHER - 1);
            let messages: Vec<Message> =
                std::iter::once(first).chain(more).flatten().map(|record| record.message()).collect();
            let started = Instant::now();
            // What a full outbox drops is counted there, and in the log.
            let _counted = outbox.append(&messages)?;
            control.metrics.stage(Stage::Store, started.elapsed());
        }
        Ok(())
    })
}
