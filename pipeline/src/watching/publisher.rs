//! The way of records out of the streams: one bounded queue.

use tokio::sync::mpsc;

use super::record::Record;
use crate::outbox::{Begun, Message, Outbox, Whole};
use crate::record::{Run, StreamRecord, WindowRecord};
use crate::stream::StreamId;
use crate::timeline::UtcTime;

/// Calls that may wait; each holds the records of one window.
const QUEUE: usize = 64;

/// Records that go into the outbox together.
#[derive(Debug, Default)]
pub(crate) struct Parcel {
    /// In order.
    pub records: Vec<Record>,
    /// They were told before.
    pub repeats: bool,
    /// The run that has told all with them.
    pub whole: Option<Whole>,
    /// What became of windows, for whoever looks over the daemon's shoulder.
    pub windows: Vec<WindowRecord>,
    /// What became of the stream itself, for the same.
    pub streams: Vec<StreamRecord>,
}

impl Parcel {
    /// As they go into the outbox. What was told before has its last word there already, and waits for none.
    pub fn messages(&self) -> impl Iterator<Item = Message> + '_ {
        self.records.iter().map(Record::message).map(|message| match self.repeats {
            true => Message { subject: None, ..message },
            false => message,
        })
    }
}

/// Takes records on their way out. Clones share it; when the last one goes, its thread ends.
#[derive(Debug, Clone)]
pub(crate) struct Publisher {
    sender: mpsc::Sender<Parcel>,
    /// Remembers the runs; without it every run is a first one.
    outbox: Option<Outbox>,
}

impl Publisher {
    /// One that whoever holds the receiver serves.
    pub fn channel(outbox: Option<Outbox>) -> (Self, mpsc::Receiver<Parcel>) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        (Self { sender, outbox }, receiver)
    }

    /// A run of a recording begins, before its first record: which it is, and whether it repeats what was told.
    pub async fn begin(&self, stream: &StreamId) -> (Run, bool) {
        let Some(outbox) = &self.outbox else { return (Run::default(), false) };
        match outbox.begin(stream.as_str()).await {
            Ok(Begun { interruptions, told }) => (Run::Replay { interruptions }, told),
            // The disk fails, which the outbox says. What cannot be remembered must not be repeated.
            Err(_) => (Run::Once { began: UtcTime::now() }, false),
        }
    }

    /// Hands records over, in order; waits for room. `false` when nobody takes them any more.
    pub async fn publish(&self, records: Vec<Record>) -> bool {
        self.send(Parcel { records, ..Parcel::default() }).await
    }

    /// As [`publish`](Self::publish).
    pub async fn send(&self, parcel: Parcel) -> bool {
        let Parcel { records, windows, streams, whole, .. } = &parcel;
        let is_empty = records.is_empty() && windows.is_empty() && streams.is_empty() && whole.is_none();
        is_empty || self.sender.send(parcel).await.is_ok()
    }
}
