//! Follows the events of all streams and prints each one when it is over.
//!
//! ```text
//! cargo run --example follow_events -- localhost:9092 avicuna.events [--until-end]
//! ```
//!
//! What a consumer has to know is in docs/events.md and docs/delivery.md: a record may come twice with the same `ce_id`, and of an event the
//! record with the highest revision holds.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use anyhow::{Context as _, bail};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use serde_json::Value;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (brokers, topic, until_end) = match arguments.as_slice() {
        [brokers, topic] => (brokers, topic, false),
        [brokers, topic, option] if option == "--until-end" => (brokers, topic, true),
        _ => bail!("usage: follow_events BROKERS TOPIC [--until-end]"),
    };
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "follow-events-rust")
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        // What a daemon of a fleet could not commit was never said.
        .set("isolation.level", "read_committed")
        .create()?;
    let known = consumer.fetch_metadata(Some(topic), Duration::from_secs(10)).context(brokers.clone())?;
    let known = known.topics().first().context("the brokers do not answer")?;
    if known.error().is_some() || known.partitions().is_empty() {
        bail!("{brokers} have no topic {topic}");
    }
    consumer.subscribe(&[topic])?;
    let (mut events, mut ended) = (Events::default(), BTreeSet::new());
    loop {
        match consumer.poll(None) {
            None => {}
            Some(Ok(message)) => {
                ended.remove(&message.partition());
                match events.take(&message) {
                    Ok(Some(line)) => println!("{line}"),
                    Ok(None) => {}
                    // One that nobody can read must not hold up all that follow.
                    Err(error) => {
                        let place = (message.partition(), message.offset());
                        eprintln!(
                            "follow_events: {topic}, partition {}, offset {}: {error:#}",
                            place.0, place.1
                        );
                    }
                }
                // After it was printed: who is killed here prints it again, and loses nothing.
                consumer.commit_message(&message, CommitMode::Async)?;
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                ended.insert(partition);
                // Of those that are this one's; others of its group may have more.
                let own = consumer.assignment()?;
                if until_end && own.elements().iter().all(|own| ended.contains(&own.partition())) {
                    return Ok(());
                }
            }
            Some(Err(error)) => eprintln!("follow_events: {error}"),
        }
    }
}

/// Events that go on, by their id: the highest revision that was seen.
#[derive(Default)]
struct Events(HashMap<String, i64>);

impl Events {
    /// What there is to say of a record, if it ends its event.
    fn take(&mut self, message: &BorrowedMessage) -> anyhow::Result<Option<String>> {
        let header = |name: &str| {
            let headers = message.headers()?.iter();
            let found = headers.filter(|header| header.key == name).find_map(|header| header.value);
            found.and_then(|value| std::str::from_utf8(value).ok())
        };
        // A newer major version is another type; what it says is not known here.
        if header("ce_type") != Some("avicuna.event.v1") {
            return Ok(None);
        }
        let record: Value =
            serde_json::from_slice(message.payload().unwrap_or_default()).context("no JSON")?;
        let id = record["event_id"].as_str().context("no event_id")?;
        let revision = record["revision"].as_i64().context("no revision")?;
        let known = self.0.entry(id.to_owned()).or_insert(-1);
        if revision <= *known {
            return Ok(None);
        }
        *known = revision;
        if record["phase"] != "ended" {
            return Ok(None);
        }
        let word = |pointer: &str| record.pointer(pointer).and_then(Value::as_str).unwrap_or("-");
        let (start, end) = (word("/start/utc"), word("/end/utc"));
        Ok(Some(format!("{}\t{start}\t{end}\t{}\t{}", word("/stream_id"), word("/modality"), word("/label"))))
    }
}
