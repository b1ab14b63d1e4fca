//! One partition of a compacted topic, read to its end.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};
use tokio_util::sync::CancellationToken;

use super::FleetError;
use super::client::{Client, Context, PATIENCE};

/// A record: its number, and its value unless the key is gone.
pub(super) type Row = (i64, Option<Vec<u8>>);

/// The last record of each key that was committed before this call. Blocks; `stop` ends it early, with what was read.
pub(super) fn load(
    client: &Client,
    topic: &str,
    partition: i32,
    stop: &CancellationToken,
) -> Result<BTreeMap<String, Row>, FleetError> {
    let consumer: BaseConsumer<Context> = client.reader()?;
    let mut places = TopicPartitionList::new();
    let added = places.add_partition_offset(topic, partition, Offset::Beginning);
    added.and_then(|()| consumer.assign(&places)).map_err(|error| client.says(&error))?;
    let mut rows = BTreeMap::new();
    let mut heard = Instant::now();
    while !stop.is_cancelled() {
        match consumer.poll(Duration::from_millis(200)) {
            Some(Ok(message)) => {
                heard = Instant::now();
                if let Some(key) = message.key().and_then(|key| std::str::from_utf8(key).ok()) {
                    let value = message.payload().map(<[u8]>::to_vec);
                    rows.insert(key.to_owned(), (message.offset(), value));
                }
            }
            Some(Err(KafkaError::PartitionEOF(_))) => break,
            // The library tries again by itself; it is only asked how long.
            Some(Err(error)) if heard.elapsed() > PATIENCE => return Err(client.says(&error)),
            None if heard.elapsed() > PATIENCE => {
                let reason = format!("{topic}/{partition} does not come to an end");
                return Err(client.fails(reason));
            }
            Some(Err(_)) | None => {}
        }
    }
    Ok(rows)
}
