//! Delivery to a real broker, consumed by kcat.

mod support;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use avicuna_pipeline::outbox::{Outbox, Topic, reason};
use avicuna_pipeline::sink::{Delivery, DeliveryState, EmbeddedBroker, KafkaConfig};
use avicuna_pipeline::timeline::UtcTime;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use support::*;
use tokio_util::sync::CancellationToken;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_arrive_with_key_and_cloudevents_headers() {
    let (folder, broker) = (tempfile::tempdir().expect("a folder"), Broker::shared());
    let config = kafka(&broker.brokers(), "headers");
    let outbox = Outbox::open(&outbox_config(&folder)).expect("opens");
    append(&outbox, Topic::ALL.map(|topic| message(topic, "Tür 2", 7)).into()).await;
    let accounting = deliver_all(&outbox, sink(&config)).await;
    assert_eq!((accounting.produced, accounting.acknowledged, accounting.spooled), (3, 3, 0));
    for topic in Topic::ALL {
        let consumed = consume(&broker.brokers(), config.topics.name(topic));
        let [message] = consumed.as_slice() else { panic!("{consumed:?}") };
        assert_eq!(
            (message.key.as_str(), message.payload.as_str()),
            ("Tür 2", r#"{"stream_id":"Tür 2","revision":7}"#)
        );
        let expected = [
            ("ce_specversion", "1.0"),
            ("ce_id", "Tür 2#7"),
            ("ce_source", "/avicuna/streams/T%C3%BCr%202"),
            ("ce_type", &format!("avicuna.{}.v1", topic.word())),
            ("ce_time", "2026-11-24T02:45:39.120Z"),
            ("ce_subject", "Tür 2"),
            ("content-type", "application/json"),
        ];
        let expected: BTreeMap<_, _> =
            expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        assert_eq!(message.headers, expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_order_of_each_stream_is_kept_and_each_message_reported_once() {
    let (folder, broker) = (tempfile::tempdir().expect("a folder"), Broker::shared());
    let config = kafka(&broker.brokers(), "order");
    let outbox = Outbox::open(&outbox_config(&folder)).expect("opens");
    let started = UtcTime::now();
    let acked = Arc::new(Mutex::new(Vec::new()));
    let on_ack = {
        let acked = acked.clone();
        move |message: &_, at| acked.lock().expect("no panic").push((Clone::clone(message), at))
    };
    let delivery = Delivery::start(outbox.clone(), sink(&config), on_ack, CancellationToken::new());
    let (keys, rounds) = (5, 2000);
    for first in (0..rounds).step_by(100) {
        append(&outbox, interleaved(keys, first..first + 100)).await;
    }
    assert!(delivery.flush(PATIENCE).await, "{:?}", delivery.state());
    until(&outbox, "the sink answers", || delivery.state() == DeliveryState::Connected).await;
    delivery.stop().await;
    let consumed = consume(&broker.brokers(), &config.topics.events);
    assert_eq!(check_order(&consumed, keys, rounds), 0, "nothing failed, nothing is sent twice");
    let acked = acked.lock().expect("no panic");
    let mut ids: Vec<_> =
        acked.iter().map(|(message, _): &(avicuna_pipeline::outbox::Message, _)| &message.ce_id).collect();
    ids.sort();
    ids.dedup();
    assert_eq!((ids.len(), acked.len()), (keys * rounds, keys * rounds));
    assert!(acked.iter().all(|(_, at)| (started..=UtcTime::now()).contains(at)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_earlier_run_left_is_delivered() {
    let (folder, broker) = (tempfile::tempdir().expect("a folder"), Broker::shared());
    let config = kafka(&broker.brokers(), "leftover");
    let outbox = Outbox::open(&outbox_config(&folder)).expect("opens");
    append(&outbox, interleaved(3, 0..500)).await;
    drop(outbox);
    let outbox = Outbox::open(&outbox_config(&folder)).expect("opens again");
    assert_eq!(outbox.accounting().spooled, 1500);
    append(&outbox, interleaved(3, 500..600)).await;
    let accounting = deliver_all(&outbox, sink(&config)).await;
    assert_eq!((accounting.produced, accounting.acknowledged), (1800, 1800));
    assert_eq!(check_order(&consume(&broker.brokers(), &config.topics.events), 3, 600), 0);
}

/// The broker refuses the whole batch that one large message is in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_the_broker_refuses_is_dropped_alone() {
    let (folder, broker) = (tempfile::tempdir().expect("a folder"), Broker::shared());
    let config = kafka(&broker.brokers(), "refused");
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", broker.brokers()).create().expect("a client");
    let topic =
        NewTopic::new(&config.topics.events, 1, TopicReplication::Fixed(1)).set("max.message.bytes", "20000");
    let made = admin.create_topics([&topic], &AdminOptions::new()).await.expect("an answer");
    made[0].as_ref().expect("the topic is made");

    let outbox = Outbox::open(&outbox_config(&folder)).expect("opens");
    let mut messages = interleaved(2, 0..50);
    // One that the broker refuses, one that the client itself refuses. They do not compress.
    for (at, bytes) in [(30, 100_000), (70, 3_000_000)] {
        let mut large = message(Topic::Events, "cam-0", 0);
        large.ce_id = format!("large#{bytes}");
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        let noise = (0..bytes).map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            b'a' + (state >> 60) as u8
        });
        large.payload = [b"\"".to_vec(), noise.collect::<Vec<_>>(), b"\"".to_vec()].concat();
        messages.insert(at, large);
    }
    append(&outbox, messages).await;
    let accounting = deliver_all(&outbox, sink(&config)).await;
    assert_eq!((accounting.acknowledged, accounting.spooled), (100, 0));
    assert_eq!(accounting.dropped, BTreeMap::from([(reason::TOO_LARGE.to_owned(), 2)]));
    check_order(&consume(&broker.brokers(), &config.topics.events), 2, 50);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trouble_with_one_topic_does_not_hold_up_the_others() {
    let (folder, broker) = (tempfile::tempdir().expect("a folder"), Broker::shared());
    let mut config = kafka(&broker.brokers(), "lanes");
    config.topics.errors = "no topic may be called this!".to_owned();
    let outbox = Outbox::open(&outbox_config(&folder)).expect("opens");
    let mut messages = interleaved(2, 0..10);
    messages.insert(0, message(Topic::Errors, "cam-0", 0));
    append(&outbox, messages).await;
    let delivery = Delivery::start(outbox.clone(), sink(&config), |_, _| {}, CancellationToken::new());
    until(&outbox, "events pass", || outbox.accounting().acknowledged == 20).await;
    let refused = || matches!(delivery.state(), DeliveryState::Unreachable { reason, .. } if reason.contains("may be called"));
    until(&outbox, "the topic is named", refused).await;
    delivery.stop().await;
    assert_eq!(outbox.accounting().spooled, 1, "the error record waits");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_consumer_reads_from_the_embedded_broker() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = kafka("unused:1", "embedded");
    let broker = EmbeddedBroker::start(&config).expect("starts");
    let config = KafkaConfig { brokers: broker.bootstrap_servers(), ..config };
    let outbox = Outbox::open(&outbox_config(&folder)).expect("opens");
    append(&outbox, interleaved(3, 0..200)).await;
    deliver_all(&outbox, sink(&config)).await;
    let consumed = consume(&broker.bootstrap_servers(), &config.topics.events);
    check_order(&consumed, 3, 200);
    assert_eq!(consumed[0].headers["ce_type"], "avicuna.events.v1");
    for topic in [&config.topics.coverage, &config.topics.errors] {
        assert!(consume(&broker.bootstrap_servers(), topic).is_empty(), "the topic is there, and empty");
    }
}

#[test]
fn an_embedded_broker_ends_when_dropped() {
    let broker = EmbeddedBroker::start(&KafkaConfig::default()).expect("starts");
    let address = broker.bootstrap_servers();
    std::net::TcpStream::connect(&address).expect("it listens");
    drop(broker);
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while std::net::TcpStream::connect(&address).is_ok() {
        assert!(std::time::Instant::now() < deadline, "it still listens");
        std::thread::sleep(Duration::from_millis(20));
    }
}
