//! Events per second through the outbox to a real broker, beside the client library's own producer with the same
//! properties on the same messages, in turns.
//!
//! `cargo bench -p avicuna-pipeline --bench outbox [-- EVENTS [ROUNDS]]`

mod records;
#[path = "../tests/support/mod.rs"]
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use avicuna_pipeline::outbox::{Message, Outbox, OutboxConfig};
use avicuna_pipeline::sink::{Delivery, KafkaConfig};
use rdkafka::ClientConfig;
use rdkafka::ClientContext;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, ProducerContext, ThreadedProducer};
use records::{BATCH, event, resident_mib};
use support::{Broker, append, kafka, outbox_config, sink};
use tokio_util::sync::CancellationToken;

fn main() {
    let mut numbers = std::env::args().skip(1).filter_map(|argument| argument.parse().ok());
    let (events, rounds) = (numbers.next().unwrap_or(100_000), numbers.next().unwrap_or(3));
    let messages: Vec<Message> = (0..events).map(event).collect();
    let bytes = messages.iter().map(|message| message.payload.len()).sum::<usize>() / events;
    println!("{events} events of {bytes} bytes, {rounds} rounds");
    let broker = Broker::shared();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    // The broker warms up, and makes the topics.
    let warm = &messages[..events.min(20_000)];
    own_producer(&kafka(&broker.brokers(), "own"), warm);
    runtime.block_on(through_outbox(&kafka(&broker.brokers(), "outbox"), warm));
    let (mut ours, mut own) = (Vec::new(), Vec::new());
    for round in 1..=rounds {
        let rate = |took: Duration| events as f64 / took.as_secs_f64();
        ours.push(rate(runtime.block_on(through_outbox(&kafka(&broker.brokers(), "outbox"), &messages))));
        own.push(rate(own_producer(&kafka(&broker.brokers(), "own"), &messages)));
        let (ours, own) = (ours[round - 1], own[round - 1]);
        println!("round {round}: outbox {ours:.0}/s, producer alone {own:.0}/s, ratio {:.2}", ours / own);
    }
    let (ours, own) = (median(ours), median(own));
    println!("median: outbox {ours:.0}/s, producer alone {own:.0}/s, ratio {:.2}", ours / own);
    let latency = runtime.block_on(latencies(&kafka(&broker.brokers(), "outbox"), 500));
    let at = |share: f64| latency[((latency.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    runtime.block_on(outage(&broker.brokers(), &messages));
    println!("one event at a time, append to acknowledgement: p50 {:.1} ms, p99 {:.1} ms", at(0.5), at(0.99));
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

async fn through_outbox(config: &KafkaConfig, messages: &[Message]) -> Duration {
    let folder = tempfile::tempdir().expect("a folder");
    let outbox = Outbox::open(&outbox_config(&folder)).expect("opens");
    let delivery = Delivery::start(outbox.clone(), sink(config), |_, _| {}, CancellationToken::new());
    let started = Instant::now();
    for batch in messages.chunks(BATCH) {
        append(&outbox, batch.to_vec()).await;
    }
    assert!(delivery.flush(Duration::from_secs(300)).await, "{:?}", delivery.state());
    let took = started.elapsed();
    delivery.stop().await;
    assert_eq!(outbox.accounting().acknowledged, messages.len() as u64);
    took
}

/// From a single append to its acknowledgement, sorted.
async fn latencies(config: &KafkaConfig, count: usize) -> Vec<Duration> {
    let folder = tempfile::tempdir().expect("a folder");
    let outbox = Outbox::open(&outbox_config(&folder)).expect("opens");
    let (acked, mut acks) = tokio::sync::mpsc::unbounded_channel();
    let on_ack = move |_: &_, _| acked.send(()).expect("the bench listens");
    let delivery = Delivery::start(outbox.clone(), sink(config), on_ack, CancellationToken::new());
    let mut taken = Vec::with_capacity(count);
    for index in 0..count {
        let started = Instant::now();
        append(&outbox, vec![event(index)]).await;
        acks.recv().await.expect("acknowledged");
        taken.push(started.elapsed());
    }
    delivery.stop().await;
    // The first one waited for the connection.
    taken.remove(0);
    taken.sort();
    taken
}

/// Fills the outbox while no broker answers, as in an outage of hours, and empties it.
async fn outage(brokers: &str, messages: &[Message]) {
    let folder = tempfile::tempdir().expect("a folder");
    let config = OutboxConfig { max_bytes: 1 << 30, ..outbox_config(&folder) };
    let outbox = Outbox::open(&config).expect("opens");
    let absent = sink(&kafka("127.0.0.1:1", "outbox"));
    let delivery = Delivery::start(outbox.clone(), absent, |_, _| {}, CancellationToken::new());
    let before = resident_mib();
    let (mut bytes, mut peak) = (0, before);
    for batch in messages.chunks(BATCH).cycle().take(messages.len().div_ceil(BATCH) * 5) {
        bytes += batch.iter().map(|message| message.payload.len()).sum::<usize>();
        append(&outbox, batch.to_vec()).await;
        peak = peak.max(resident_mib());
    }
    delivery.stop().await;
    let waiting = outbox.accounting().spooled;
    let killed = OutboxConfig { path: folder.path().join("killed.redb"), ..config.clone() };
    std::fs::copy(&config.path, &killed.path).expect("copied");
    drop(outbox);
    let mib = |bytes: u64| bytes >> 20;
    let size = |config: &OutboxConfig| mib(std::fs::metadata(&config.path).expect("the file").len());
    println!(
        "outage: {waiting} events, {} MiB of payload in a file of {} MiB; memory rose from {before} to at most {peak} MiB",
        mib(bytes as u64),
        size(&config)
    );
    for (config, how) in [(&config, "after a clean end"), (&killed, "as a killed process left it")] {
        let started = Instant::now();
        drop(Outbox::open(config).expect("opens"));
        println!("opened and closed {how} in {:.2} s", started.elapsed().as_secs_f64());
    }
    let outbox = Outbox::open(&config).expect("opens");
    let started = Instant::now();
    let delivery =
        Delivery::start(outbox.clone(), sink(&kafka(brokers, "outbox")), |_, _| {}, CancellationToken::new());
    assert!(delivery.flush(Duration::from_secs(300)).await, "{:?}", delivery.state());
    let rate = waiting as f64 / started.elapsed().as_secs_f64();
    delivery.stop().await;
    drop(outbox);
    println!(
        "delivered at {rate:.0}/s with at most {} MiB; the file has {} MiB now",
        resident_mib(),
        size(&config)
    );
}

struct Count(Arc<AtomicU64>);

impl ClientContext for Count {}

impl ProducerContext for Count {
    type DeliveryOpaque = ();
    fn delivery(&self, delivered: &DeliveryResult<'_>, (): ()) {
        assert!(delivered.is_ok());
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn own_producer(config: &KafkaConfig, messages: &[Message]) -> Duration {
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", &config.brokers);
    for (name, value) in
        [("acks", "all"), ("enable.idempotence", "true"), ("linger.ms", "5"), ("compression.type", "zstd")]
    {
        client.set(name, value);
    }
    let acked = Arc::new(AtomicU64::new(0));
    let producer =
        ThreadedProducer::from_config_and_context(&client, Count(acked.clone())).expect("a producer");
    let started = Instant::now();
    for message in messages {
        let mut record = BaseRecord::to(&config.topics.events)
            .key(&message.key)
            .payload(&message.payload)
            .headers(headers(message));
        while let Err((error, back)) = producer.send(record) {
            assert!(matches!(error, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull)), "{error}");
            std::thread::sleep(Duration::from_millis(1));
            record = back;
        }
    }
    while acked.load(Ordering::Relaxed) < messages.len() as u64 {
        std::thread::sleep(Duration::from_millis(1));
    }
    started.elapsed()
}

/// As many and as long as ours.
fn headers(message: &Message) -> OwnedHeaders {
    let source = format!("/avicuna/streams/{}", message.key);
    let attributes = [
        ("ce_specversion", "1.0"),
        ("ce_id", &message.ce_id),
        ("ce_source", &source),
        ("ce_type", &message.ce_type),
        ("ce_time", &message.ce_time),
        ("ce_subject", &message.key),
        ("content-type", "application/json"),
    ];
    let empty = OwnedHeaders::new_with_capacity(7);
    attributes
        .into_iter()
        .fold(empty, |headers, (key, value)| headers.insert(Header { key, value: Some(value) }))
}
