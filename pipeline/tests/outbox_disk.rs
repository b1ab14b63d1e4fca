//! An end while the disk of the outbox fails. Alone in its process, whose files it makes unwritable.

mod support;

use std::time::Duration;

use avicuna_pipeline::outbox::Outbox;
use avicuna_pipeline::sink::{Delivery, JsonlSink};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use support::*;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// What a write beyond the limit raises, beside its error.
const SIGXFSZ: i32 = 25;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_delivered_and_cannot_be_written_down_holds_up_no_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let outbox = Outbox::open(&outbox_config(&folder)).expect("opens");
    append(&outbox, interleaved(1, 0..10)).await;
    let _heard = signal(SignalKind::from_raw(SIGXFSZ)).expect("it is caught");
    let before = getrlimit(Resource::Fsize);
    setrlimit(Resource::Fsize, Rlimit { current: Some(0), ..before }).expect("it is set");
    let sink = JsonlSink::new("/dev/null").expect("opens");
    let delivery = Delivery::start(outbox.clone(), sink, |_, _| {}, CancellationToken::new());
    assert!(!delivery.flush(Duration::from_secs(2)).await, "nothing can be written down");
    let ended = tokio::time::timeout(Duration::from_secs(60), delivery.stop()).await;
    setrlimit(Resource::Fsize, before).expect("it is lifted");
    assert!(ended.is_ok(), "the end waits for the disk");
    until(&outbox, "it is written down once it can be", || outbox.accounting().spooled == 0).await;
    assert_eq!(outbox.accounting().acknowledged, 10);
}
