//! The way of records out of the streams: one bounded queue.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;

use super::checkpoint::Checkpoint;
use super::record::Record;
use crate::control::WindowTrace;
use crate::outbox::{Begun, Message, Outbox, Whole};
use crate::record::{Run, StreamRecord, WindowRecord};
use crate::stream::StreamId;
use crate::timeline::UtcTime;

/// Calls that may wait; each holds the records of one window.
const QUEUE: usize = 64;

/// What is known of a stream of a fleet with the records that it goes along with.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Known {
    /// Whose.
    pub stream: StreamId,
    /// Of the settings that it is watched with.
    pub settings: String,
    /// What is left for another daemon; `None` when the stream is not watched any more, by anybody.
    pub left: Option<Left>,
}

/// How a stream of a fleet stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Left {
    /// Its last run; `None` before the first window.
    pub run: Option<Run>,
    /// What another daemon goes on from; `None` where there is nothing to go on with.
    pub checkpoint: Option<Box<Checkpoint>>,
    /// Why it ended by itself, once it did.
    pub over: Option<String>,
}

/// Records that are made durable together.
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
    /// Of a stream of a fleet.
    pub known: Option<Known>,
    /// Of the windows that gave them, where anybody wants to see where their time went.
    pub traces: Vec<WindowTrace>,
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
    /// Streams whose records go another way.
    ways: Ways,
}

/// Streams whose records go a way of their own. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ways(Arc<Mutex<HashMap<StreamId, mpsc::Sender<Parcel>>>>);

impl Ways {
    /// The records of `stream` go to `way` from now on.
    pub fn open(&self, stream: StreamId, way: mpsc::Sender<Parcel>) {
        self.lock().insert(stream, way);
    }

    /// They have none any more.
    pub fn close(&self, stream: &StreamId) {
        self.lock().remove(stream);
    }

    fn of(&self, stream: &StreamId) -> Option<mpsc::Sender<Parcel>> {
        self.lock().get(stream).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<StreamId, mpsc::Sender<Parcel>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Publisher {
    /// One that whoever holds the receiver serves.
    pub fn channel(outbox: Option<Outbox>) -> (Self, mpsc::Receiver<Parcel>) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        (Self { sender, outbox, ways: Ways::default() }, receiver)
    }

    /// The same, but for streams that `ways` knows.
    pub fn beside(self, ways: Ways) -> Self {
        Self { ways, ..self }
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
        self.sender.send(Parcel { records, ..Parcel::default() }).await.is_ok()
    }

    /// As [`publish`](Self::publish), for one stream.
    pub async fn send(&self, stream: &StreamId, parcel: Parcel) -> bool {
        let Parcel { records, windows, streams, whole, known, .. } = &parcel;
        let is_over =
            known.as_ref().is_some_and(|known| known.left.as_ref().is_none_or(|left| left.over.is_some()));
        if records.is_empty() && windows.is_empty() && streams.is_empty() && whole.is_none() && !is_over {
            return true;
        }
        match (self.ways.of(stream), known) {
            (Some(way), _) => way.send(parcel).await.is_ok(),
            // It was taken away from this daemon, which tells nothing of it any more.
            (None, Some(_)) => false,
            (None, None) => self.sender.send(parcel).await.is_ok(),
        }
    }
}
