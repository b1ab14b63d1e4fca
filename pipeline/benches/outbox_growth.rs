//! What an outbox costs by the number of messages that wait in it: storing them, opening it again, and delivering them to a
//! real broker, as after an outage.
//!
//! `cargo bench --workspace --bench outbox_growth [-- MESSAGES ...]`

mod records;
#[path = "../tests/support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use avicuna_pipeline::outbox::{Outbox, OutboxConfig};
use avicuna_pipeline::sink::Delivery;
use records::{BATCH, event, resident_mib};
use support::{Broker, append, kafka, outbox_config, sink};
use tokio_util::sync::CancellationToken;

/// Longest wait for a delivery.
const PATIENCE: Duration = Duration::from_secs(1800);

fn main() {
    let sizes: Vec<usize> = std::env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
    let sizes = if sizes.is_empty() { vec![1_000, 10_000, 100_000, 1_000_000] } else { sizes };
    let broker = Broker::shared();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime");
    // The broker warms up, and makes the topics.
    runtime.block_on(measure(&broker.brokers(), 20_000));
    for size in sizes {
        println!("{}", runtime.block_on(measure(&broker.brokers(), size)));
    }
}

async fn measure(brokers: &str, size: usize) -> serde_json::Value {
    let folder = tempfile::tempdir().expect("a folder");
    let config = OutboxConfig { max_bytes: 1 << 40, ..outbox_config(&folder) };
    let outbox = Outbox::open(&config).expect("opens");
    let before = resident_mib();
    let started = Instant::now();
    for from in (0..size).step_by(BATCH) {
        append(&outbox, (from..size.min(from + BATCH)).map(event).collect()).await;
    }
    let stored = size as f64 / started.elapsed().as_secs_f64();
    assert_eq!(outbox.accounting().spooled, size as u64);
    let storing_mib = resident_mib().saturating_sub(before);
    drop(outbox);
    let file_mib = std::fs::metadata(&config.path).expect("the file").len() >> 20;
    let started = Instant::now();
    let outbox = Outbox::open(&config).expect("opens");
    let opened_s = started.elapsed().as_secs_f64();
    let started = Instant::now();
    let sink = sink(&kafka(brokers, "growth"));
    let delivery = Delivery::start(outbox.clone(), sink, |_, _| {}, CancellationToken::new());
    assert!(delivery.flush(PATIENCE).await, "{:?}", delivery.state());
    let delivered = size as f64 / started.elapsed().as_secs_f64();
    delivery.stop().await;
    assert_eq!(outbox.accounting().acknowledged, size as u64);
    serde_json::json!({
        "messages": size, "stored_per_s": stored.round(), "file_mib": file_mib, "opened_s": opened_s,
        "delivered_per_s": delivered.round(), "storing_mib": storing_mib, "resident_mib": resident_mib()
    })
}
