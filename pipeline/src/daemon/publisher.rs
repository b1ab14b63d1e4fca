//! From the streams to the outbox: one bounded queue and one thread, for the disk blocks.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::record::Record;
use crate::control::{Control, Stage};
use crate::outbox::{Begun, Message, Outbox, OutboxError, Topic, Whole};
use crate::record::{Run, StreamRecord, WindowRecord};
use crate::stream::StreamId;
use crate::timeline::UtcTime;

/// Calls that may wait; each holds the records of one window.
const QUEUE: usize = 64;
/// Calls that share one sync of the disk.
const TOGETHER: usize = 32;

/// Records that go into the outbox together.
#[derive(Debug, Default)]
pub(super) struct Parcel {
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

/// Looks over the daemon's shoulder: keeps what the sinks let go.
pub trait Observer: Send + Sync {
    /// What was put into the outbox, in order, and what became of windows and streams. Called on a thread that may
    /// block; while it does, records wait, as they do for the disk of the outbox. A message may be shown again: a daemon
    /// that was killed between the outbox and here shows at its next start what still waits for delivery.
    fn stored(&self, messages: &[Message], windows: &[WindowRecord], streams: &[StreamRecord]);
}

/// Takes records on their way out. Clones share it; when the last one goes, its thread ends.
#[derive(Debug, Clone)]
pub(super) struct Publisher {
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

/// Puts what is published into the outbox, and shows it to `observer`, until every publisher is gone.
pub(super) fn store(
    mut parcels: mpsc::Receiver<Parcel>,
    outbox: Outbox,
    control: Arc<Control>,
    observer: Option<Arc<dyn Observer>>,
) -> JoinHandle<Result<(), OutboxError>> {
    tokio::task::spawn_blocking(move || {
        while let Some(first) = parcels.blocking_recv() {
            let more = std::iter::from_fn(|| parcels.try_recv().ok()).take(TOGETHER - 1);
            let (mut messages, mut windows, mut whole) = (Vec::<Message>::new(), Vec::new(), Vec::new());
            let mut streams = Vec::new();
            for parcel in std::iter::once(first).chain(more) {
                messages.extend(parcel.messages());
                whole.extend(parcel.whole);
                windows.extend(parcel.windows);
                streams.extend(parcel.streams);
            }
            let started = Instant::now();
            // What a full outbox drops is counted there, and in the log.
            let _counted = outbox.append_last(&messages, whole)?;
            control.metrics.stage(Stage::Store, started.elapsed());
            if let Some(observer) = &observer {
                observer.stored(&messages, &windows, &streams);
            }
        }
        Ok(())
    })
}

/// Shows what waits in the outbox, as an earlier run left it. Blocks on the disk.
pub(super) fn show_waiting(outbox: &Outbox, observer: &dyn Observer) -> Result<(), OutboxError> {
    const COUNT: usize = 256;
    const BYTES: u64 = 4 << 20;
    for topic in Topic::ALL {
        let mut from = 0;
        loop {
            let waiting = outbox.read(topic, from, COUNT, BYTES)?;
            let Some((last, _)) = waiting.last() else { break };
            from = last + 1;
            let messages: Vec<Message> = waiting.into_iter().map(|(_, message)| message).collect();
            observer.stored(&messages, &[], &[]);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::outbox::OutboxConfig;

    #[derive(Default)]
    struct Seen(Mutex<Vec<String>>);

    impl Observer for Seen {
        fn stored(&self, messages: &[Message], _windows: &[WindowRecord], _streams: &[StreamRecord]) {
            let ids = messages.iter().map(|message| message.ce_id.clone());
            self.0.lock().expect("nobody panics").extend(ids);
        }
    }

    #[test]
    fn what_waits_since_an_earlier_run_is_shown_in_order() {
        let folder = tempfile::tempdir().expect("a folder");
        let config = OutboxConfig { path: folder.path().join("o.redb"), ..OutboxConfig::default() };
        let message = |topic, number: usize| Message {
            topic,
            key: "cam".into(),
            ce_type: "t".into(),
            ce_id: format!("{}/{number}", Topic::word(topic)),
            ce_time: "2026-11-29T00:00:00Z".into(),
            payload: b"{}".to_vec(),
            subject: None,
        };
        let all: Vec<Message> =
            (0..600).flat_map(|n| [message(Topic::Events, n), message(Topic::Coverage, n)]).collect();
        Outbox::open(&config).expect("opens").append(&all).expect("appends");
        let seen = Seen::default();
        show_waiting(&Outbox::open(&config).expect("opens again"), &seen).expect("reads");
        let expected: Vec<String> = ["events", "coverage"]
            .iter()
            .flat_map(|topic| (0..600).map(move |n| format!("{topic}/{n}")))
            .collect();
        assert_eq!(*seen.0.lock().expect("nobody panics"), expected);
    }
}
