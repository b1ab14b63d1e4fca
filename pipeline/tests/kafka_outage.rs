//! Brokers that are not there yet, die and come back; our own process dying. Nothing is lost, and the order of each
//! stream is kept.

mod support;

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use avicuna_pipeline::outbox::{Outbox, OutboxConfig};
use avicuna_pipeline::sink::{Delivery, DeliveryState};
use support::*;
use tokio_util::sync::CancellationToken;
use tracing::field::Field;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// What is logged as a warning or an error, over all tests of this file.
static WARNINGS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Gathers [`WARNINGS`].
struct Gather;

impl Subscriber for Gather {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::WARN
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        let mut text = String::new();
        event.record(&mut |field: &Field, value: &dyn fmt::Debug| text += &format!("{field}={value:?} "));
        WARNINGS.lock().expect("no panic").push(text);
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// The warnings that name these brokers.
fn warnings(brokers: &str) -> Vec<String> {
    WARNINGS.lock().expect("no panic").iter().filter(|text| text.contains(brokers)).cloned().collect()
}

fn is_unreachable(delivery: &Delivery, brokers: &str) -> bool {
    matches!(delivery.state(), DeliveryState::Unreachable { reason, .. } if reason.contains(brokers))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_appears_late_and_dies_in_between_gets_everything() {
    tracing::subscriber::set_global_default(Gather).expect("the only one");
    let (folder, broker) = (tempfile::tempdir().expect("a folder"), Arc::new(Broker::place()));
    let config = kafka(&broker.brokers(), "outage");
    let outbox = Outbox::open(&outbox_config(&folder)).expect("opens");
    let delivery = Delivery::start(outbox.clone(), sink(&config), |_, _| {}, CancellationToken::new());
    let (keys, mut rounds) = (4, 500);
    append(&outbox, interleaved(keys, 0..rounds)).await;
    until(&outbox, "the absence is told", || is_unreachable(&delivery, &broker.brokers())).await;
    assert_eq!(outbox.accounting().spooled, 2000);

    // It appears.
    let start = |broker: &Arc<Broker>| {
        let broker = broker.clone();
        tokio::task::spawn_blocking(move || broker.start())
    };
    start(&broker).await.expect("starts");
    until(&outbox, "what waited is delivered", || outbox.accounting().spooled == 0).await;
    until(&outbox, "the sink answers", || delivery.state() == DeliveryState::Connected).await;

    // It dies and comes back while messages keep coming.
    let mut back = None;
    for step in 0..40 {
        append(&outbox, interleaved(keys, rounds..rounds + 50)).await;
        rounds += 50;
        match step {
            10 => broker.kill(),
            15 => back = Some(start(&broker)),
            _ => {}
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    back.expect("step 15 was").await.expect("starts again");
    assert!(delivery.flush(PATIENCE).await, "{:?} {:?}", outbox.accounting(), delivery.state());
    delivery.stop().await;
    let accounting = outbox.accounting();
    assert_eq!(accounting.acknowledged, (keys * rounds) as u64);
    let warnings = warnings(&broker.brokers());
    // Two outages; a broker that is just starting may look like a third.
    assert!((2..=3).contains(&warnings.len()), "{warnings:#?}");
    assert!(warnings.iter().all(|text| text.contains("check that Kafka runs there")), "{warnings:#?}");
    check_order(&consume(&broker.brokers(), &config.topics.events), keys, rounds);
}

/// Its host hangs: connections stay open, and nothing comes back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_hangs_is_noticed_and_waited_for() {
    let (folder, broker) = (tempfile::tempdir().expect("a folder"), Broker::place());
    broker.start();
    let config = kafka(&broker.brokers(), "hang");
    let outbox = Outbox::open(&outbox_config(&folder)).expect("opens");
    let delivery = Delivery::start(outbox.clone(), sink(&config), |_, _| {}, CancellationToken::new());
    append(&outbox, interleaved(3, 0..100)).await;
    until(&outbox, "it is delivered", || outbox.accounting().spooled == 0).await;
    broker.signal("STOP");
    append(&outbox, interleaved(3, 100..200)).await;
    until(&outbox, "the silence is told", || is_unreachable(&delivery, &broker.brokers())).await;
    broker.signal("CONT");
    assert!(delivery.flush(PATIENCE).await, "{:?} {:?}", outbox.accounting(), delivery.state());
    until(&outbox, "the sink answers", || delivery.state() == DeliveryState::Connected).await;
    delivery.stop().await;
    check_order(&consume(&broker.brokers(), &config.topics.events), 3, 200);
}

/// Our process dies with messages in flight: what the file holds is all that the next one has.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_sender_is_succeeded_without_loss() {
    let folder = tempfile::tempdir().expect("a folder");
    let broker =
        avicuna_pipeline::sink::EmbeddedBroker::start(&kafka("unused:1", "succession")).expect("starts");
    let config = kafka(&broker.bootstrap_servers(), "succession");
    let mut place = outbox_config(&folder);
    let (keys, rounds) = (3, 4000);
    let first = Outbox::open(&place).expect("opens");
    append(&first, interleaved(keys, 0..rounds)).await;
    let snapshot = folder.path().join("killed.redb");
    let (path, copy, is_copied) = (place.path.clone(), snapshot.clone(), Arc::new(AtomicBool::new(false)));
    let on_ack = {
        let is_copied = is_copied.clone();
        move |_: &_, _| {
            // The first acknowledgement is known to us and not yet to the file.
            if !is_copied.swap(true, Ordering::SeqCst) {
                std::fs::copy(&path, &copy).expect("copied");
            }
        }
    };
    let delivery = Delivery::start(first.clone(), sink(&config), on_ack, CancellationToken::new());
    assert!(delivery.flush(PATIENCE).await);
    delivery.stop().await;
    assert!(is_copied.load(Ordering::SeqCst));

    place.path = snapshot;
    let second = Outbox::open(&OutboxConfig { ..place }).expect("opens what the killed one left");
    assert!(second.accounting().balanced() && second.accounting().spooled > 0);
    deliver_all(&second, sink(&config)).await;
    // All of it twice, and a consumer that drops known ids sees each stream in order.
    let repeated = check_order(&consume(&broker.bootstrap_servers(), &config.topics.events), keys, rounds);
    assert!(repeated > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_without_a_broker_is_quick_and_keeps_everything() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = kafka("127.0.0.1:1", "nobody");
    let outbox = Outbox::open(&outbox_config(&folder)).expect("opens");
    append(&outbox, interleaved(2, 0..100)).await;
    let delivery = Delivery::start(outbox.clone(), sink(&config), |_, _| {}, CancellationToken::new());
    until(&outbox, "the absence is told", || is_unreachable(&delivery, "127.0.0.1:1")).await;
    assert!(!delivery.flush(Duration::from_millis(300)).await);
    tokio::time::timeout(Duration::from_secs(20), delivery.stop()).await.expect("ends");
    drop(outbox);
    assert_eq!(Outbox::open(&outbox_config(&folder)).expect("opens").accounting().spooled, 200);
}

/// The broker answers, and sends its clients to an address that is not known here.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_the_broker_advertises_in_vain_is_said_to_be_its_setting() {
    let (folder, broker) = (tempfile::tempdir().expect("a folder"), Broker::place());
    broker.start_with(&["advertised.listeners=PLAINTEXT://nowhere.invalid:9092".to_owned()]);
    let config = kafka(&broker.brokers(), "advertised");
    let outbox = Outbox::open(&outbox_config(&folder)).expect("opens");
    append(&outbox, interleaved(1, 0..10)).await;
    let delivery = Delivery::start(outbox.clone(), sink(&config), |_, _| {}, CancellationToken::new());
    let is_told = || match delivery.state() {
        DeliveryState::Unreachable { reason, .. } => {
            reason.contains("nowhere.invalid:9092")
                && reason.contains("the broker's setting advertised.listeners")
        }
        _ => false,
    };
    until(&outbox, "the broker's setting is named", is_told).await;
    delivery.stop().await;
}
