//! From the streams to the outbox: one thread, for the disk blocks.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::control::{Control, Stage, WindowTrace};
use crate::outbox::{Message, Outbox, OutboxError, Topic};
use crate::record::{StreamRecord, WindowRecord};
use crate::watching::Parcel;

/// Calls that share one sync of the disk.
const TOGETHER: usize = 32;

/// Looks over the daemon's shoulder: keeps what the sinks let go.
pub trait Observer: Send + Sync {
    /// What was put into the outbox, in order, and what became of windows and streams. Called on a thread that may
    /// block; while it does, records wait, as they do for the disk of the outbox. A message may be shown again: a daemon
    /// that was killed between the outbox and here shows at its next start what still waits for delivery.
    fn stored(&self, messages: &[Message], windows: &[WindowRecord], streams: &[StreamRecord]);
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
            let (mut streams, mut traced) = (Vec::new(), Vec::new());
            for parcel in std::iter::once(first).chain(more) {
                let from = messages.len();
                messages.extend(parcel.messages());
                control.traces.storing(&parcel.traces, &messages[from..]);
                traced.extend(parcel.traces);
                whole.extend(parcel.whole);
                windows.extend(parcel.windows);
                streams.extend(parcel.streams);
            }
            let started = Instant::now();
            // What a full outbox drops is counted there, and in the log.
            let _counted = outbox.append_last(&messages, whole)?;
            control.metrics.stage(Stage::Store, started.elapsed());
            traced.iter().for_each(WindowTrace::stored);
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
