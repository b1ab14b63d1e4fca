//! Where the settings of a fleet's streams are changed and read, and where its daemons tell of themselves.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::producer::{FutureProducer, FutureRecord};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::client::{Client, Context, PATIENCE};
use super::follow::{Followed, follow};
use super::overview::Overview;
use super::record::MemberRecord;
use super::table::{Setting, Table, View};
use super::{FleetError, topics};
use crate::config::{FleetConfig, StreamConfig};
use crate::sink::KafkaConfig;
use crate::timeline::UtcTime;

/// A daemon that was not heard of for so many of the intervals at which it speaks is taken for gone.
const SILENT: f64 = 3.5;
/// How often a daemon tells of itself.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(3);

/// A fleet's settings and members. Clones share it.
#[derive(Clone)]
pub struct Desk {
    inner: Arc<Inner>,
}

struct Inner {
    client: Client,
    shares: i32,
    followed: Followed,
    producer: FutureProducer<Context>,
    _follows: DropGuard,
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk").field("client", &self.inner.client).finish_non_exhaustive()
    }
}

impl Desk {
    /// Of the fleet that `fleet` names; `None` when it names none. Its topics are made where they are missing.
    ///
    /// # Errors
    /// When the brokers do not answer, or a topic is not as it must be.
    pub async fn open(kafka: &KafkaConfig, fleet: &FleetConfig) -> Result<Option<Self>, FleetError> {
        let Some(client) = Client::new(kafka, fleet)? else { return Ok(None) };
        let shares = topics::prepare(&client).await?;
        let stop = CancellationToken::new();
        let followed = follow(&client, shares, stop.clone())?;
        let producer = client.producer()?;
        let inner = Inner { client, shares, followed, producer, _follows: stop.drop_guard() };
        Ok(Some(Self { inner: Arc::new(inner) }))
    }

    /// Makes the clients of this daemon.
    pub(crate) fn client(&self) -> &Client {
        &self.inner.client
    }

    /// What this daemon is called.
    pub fn member(&self) -> &str {
        self.inner.client.member()
    }

    /// The consumer group.
    pub fn group(&self) -> &str {
        self.inner.client.group()
    }

    /// Into how many partitions the streams are shared out.
    pub fn shares(&self) -> i32 {
        self.inner.shares
    }

    /// Changes with every record of settings and members.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.inner.followed.changes()
    }

    /// What is known, looked at.
    pub fn look<T>(&self, at: impl FnOnce(&Table) -> T) -> T {
        at(&self.inner.followed.table())
    }

    /// What is known, told more of.
    pub(crate) fn learn(&self, with: impl FnOnce(&mut Table)) {
        with(&mut self.inner.followed.table());
    }

    /// Who watches what, now.
    pub fn overview(&self) -> Overview {
        self.look(|table| Overview::of(table, self.group(), self.shares(), UtcTime::now(), silence()))
    }

    /// One stream, and who watches it.
    pub fn view(&self, id: &str) -> Option<View> {
        self.look(|table| table.view(id, UtcTime::now(), silence()))
    }

    /// Writes the settings of a stream, and waits until they have come back.
    ///
    /// # Errors
    /// When the brokers do not take them, or they do not come back in time.
    pub async fn put(&self, config: &StreamConfig) -> Result<(), FleetError> {
        let value = serde_json::to_vec(config).map_err(|error| self.inner.client.fails(error.to_string()))?;
        let at = self.send(&self.inner.client.fleet().topics.streams, &config.id, Some(&value)).await?;
        self.seen(&config.id, |setting| {
            setting.is_some_and(|setting| (setting.partition, setting.offset) >= at)
        })
        .await
    }

    /// Takes a stream out, and waits until that has come back.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    pub async fn remove(&self, id: &str) -> Result<(), FleetError> {
        self.send(&self.inner.client.fleet().topics.streams, id, None).await?;
        self.seen(id, |setting| setting.is_none()).await
    }

    /// Tells the others of this daemon; without a record, that it has left.
    pub(crate) async fn tell(&self, record: Option<&MemberRecord>) -> Result<(), FleetError> {
        let value = record.map(serde_json::to_vec).transpose();
        let value = value.map_err(|error| self.inner.client.fails(error.to_string()))?;
        let topic = &self.inner.client.fleet().topics.members;
        self.send(topic, self.member(), value.as_deref()).await.map(drop)
    }

    /// Writes one record; says where it is.
    async fn send(&self, topic: &str, key: &str, value: Option<&[u8]>) -> Result<(i32, i64), FleetError> {
        let Inner { client, producer, .. } = &*self.inner;
        let record: FutureRecord<'_, str, [u8]> =
            FutureRecord { payload: value, ..FutureRecord::to(topic).key(key) };
        match producer.send(record, PATIENCE).await {
            Ok(delivery) => Ok((delivery.partition, delivery.offset)),
            Err((error, _)) => Err(client.says(&error)),
        }
    }

    async fn seen(&self, id: &str, is_so: impl Fn(Option<&Setting>) -> bool) -> Result<(), FleetError> {
        let mut changes = self.changes();
        let wait = async {
            while !self.look(|table| is_so(table.streams().get(id))) {
                if changes.changed().await.is_err() {
                    return;
                }
            }
        };
        let late = tokio::time::timeout(PATIENCE, wait).await;
        late.map_err(|_| FleetError::Late(PATIENCE.as_secs()))
    }
}

fn silence() -> f64 {
    HEARTBEAT.as_secs_f64() * SILENT
}
