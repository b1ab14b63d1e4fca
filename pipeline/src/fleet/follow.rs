//! The thread that keeps the table: reads settings and members, all partitions, for as long as the daemon runs.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::FleetError;
use super::client::{Client, Context};
use super::table::Table;

/// How long the thread waits for the next record before it looks whether it is to end.
const TICK: Duration = Duration::from_millis(200);

/// The table, and that it changed. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Followed {
    table: Arc<Mutex<Table>>,
    changes: watch::Receiver<u64>,
}

impl Followed {
    /// What is known now.
    pub fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes with every record.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.clone()
    }
}

/// Starts following; ends with `stop`.
pub(super) fn follow(client: &Client, shares: i32, stop: CancellationToken) -> Result<Followed, FleetError> {
    let consumer: BaseConsumer<Context> = client.reader()?;
    let topics = client.fleet().topics.clone();
    let mut places = TopicPartitionList::new();
    let of_streams = (0..shares).map(|partition| (topics.streams.as_str(), partition));
    for (topic, partition) in of_streams.chain([(topics.members.as_str(), 0)]) {
        let added = places.add_partition_offset(topic, partition, Offset::Beginning);
        added.map_err(|error| client.says(&error))?;
    }
    consumer.assign(&places).map_err(|error| client.says(&error))?;
    let table = Arc::new(Mutex::new(Table::default()));
    let (told, changes) = watch::channel(0);
    let followed = Followed { table, changes };
    let own = followed.clone();
    let run = move || {
        while !stop.is_cancelled() {
            let message = match consumer.poll(TICK) {
                Some(Ok(message)) => message,
                Some(Err(error)) => {
                    tracing::debug!(%error, "the topics of the fleet");
                    continue;
                }
                None => continue,
            };
            let Some(key) = message.key().and_then(|key| std::str::from_utf8(key).ok()) else {
                tracing::warn!(
                    topic = message.topic(),
                    offset = message.offset(),
                    "a record without a readable key is left out"
                );
                continue;
            };
            let mut table = own.table();
            if message.topic() == topics.streams {
                table.stream(message.partition(), message.offset(), key, message.payload());
            } else {
                table.member(key, message.payload());
            }
            drop(table);
            told.send_modify(|changes| *changes += 1);
        }
    };
    let started = std::thread::Builder::new().name("fleet-table".into()).spawn(run);
    started.map_err(|error| client.fails(format!("no thread for the table: {error}")))?;
    Ok(followed)
}
