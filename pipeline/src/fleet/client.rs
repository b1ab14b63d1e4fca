//! The client library, as a daemon of a fleet uses it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, FutureProducer, NoCustomPartitioner, ProducerContext};

use super::FleetError;
use crate::config::FleetConfig;
use crate::sink::{KafkaConfig, Topics, say};

/// How long a question to the brokers may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// Makes clients of one fleet. Clones share it.
#[derive(Clone)]
pub(crate) struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    connection: ClientConfig,
    brokers: String,
    topics: Topics,
    fleet: FleetConfig,
    group: String,
    member: String,
}

impl fmt::Debug for Client {
    /// Without the library's configuration, which holds secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("group", &self.inner.group).finish_non_exhaustive()
    }
}

impl Client {
    /// Of the fleet that `fleet` names; `None` when it names none.
    pub fn new(kafka: &KafkaConfig, fleet: &FleetConfig) -> Result<Option<Self>, FleetError> {
        let Some(group) = fleet.group.clone() else { return Ok(None) };
        let connection = kafka.connection().map_err(|error| FleetError::Client(error.to_string()))?;
        let inner = Inner {
            connection,
            brokers: kafka.brokers.clone(),
            topics: kafka.topics.clone(),
            member: fleet.member.clone().unwrap_or_else(own_name),
            fleet: fleet.clone(),
            group,
        };
        Ok(Some(Self { inner: Arc::new(inner) }))
    }

    /// The fleet's settings.
    pub fn fleet(&self) -> &FleetConfig {
        &self.inner.fleet
    }

    /// The consumer group.
    pub fn group(&self) -> &str {
        &self.inner.group
    }

    /// What this daemon is called.
    pub fn member(&self) -> &str {
        &self.inner.member
    }

    /// Where records go.
    pub fn topics(&self) -> &Topics {
        &self.inner.topics
    }

    /// What the brokers say.
    pub fn says(&self, error: &KafkaError) -> FleetError {
        FleetError::Brokers { brokers: self.inner.brokers.clone(), reason: say(error) }
    }

    /// They do something else than was asked.
    pub fn fails(&self, reason: String) -> FleetError {
        FleetError::Brokers { brokers: self.inner.brokers.clone(), reason }
    }

    /// A configuration with these properties more.
    pub(super) fn config(&self, more: &[(&str, &str)]) -> ClientConfig {
        let mut config = self.inner.connection.clone();
        config.set("client.id", &self.inner.member);
        for (name, value) in more {
            config.set(*name, *value);
        }
        config
    }

    /// A consumer that reads what is committed, and says where a partition ends. It is of no group.
    pub(super) fn reader(&self) -> Result<BaseConsumer<Context>, FleetError> {
        let config = self.config(&[
            // The library wants a name; nothing is committed under it.
            ("group.id", &self.inner.group),
            ("enable.auto.commit", "false"),
            ("enable.partition.eof", "true"),
            ("isolation.level", "read_committed"),
            ("auto.offset.reset", "earliest"),
            ("fetch.wait.max.ms", "100"),
        ]);
        BaseConsumer::from_config_and_context(&config, Context).map_err(|error| self.says(&error))
    }

    /// A producer whose transactions fence those of whoever had the partition before.
    pub(super) fn transactional(&self, partition: i32) -> Result<BaseProducer<Context>, FleetError> {
        let id = format!("{}/{partition}", self.inner.group);
        let config = self.config(&[
            ("transactional.id", &id),
            // Longer than brokers take to elect another leader; an unfinished transaction hides what comes after it for so long.
            ("transaction.timeout.ms", "30000"),
            ("message.timeout.ms", "30000"),
        ]);
        BaseProducer::from_config_and_context(&config, Context).map_err(|error| self.says(&error))
    }

    /// A producer of settings and of what daemons tell of themselves.
    pub(super) fn producer(&self) -> Result<FutureProducer<Context>, FleetError> {
        let config = self.config(&[
            ("acks", "all"),
            ("enable.idempotence", "true"),
            ("message.timeout.ms", "10000"),
            // As clients of other languages do it.
            ("partitioner", "murmur2_random"),
        ]);
        FutureProducer::from_config_and_context(&config, Context).map_err(|error| self.says(&error))
    }
}

/// The host's name and this process's number: no other process has both at once.
fn own_name() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = host.trim();
    format!("{}-{}", if host.is_empty() { "avicuna" } else { host }, std::process::id())
}

/// Sends what the library logs to our own log.
pub(super) struct Context;

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        tracing::debug!(target: "librdkafka", ?level, facility, text);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "librdkafka", %error, reason);
    }
}

impl ConsumerContext for Context {}

impl ProducerContext<NoCustomPartitioner> for Context {
    type DeliveryOpaque = ();

    /// The commit of a transaction says whether all of it was delivered.
    fn delivery(&self, _delivered: &DeliveryResult<'_>, (): ()) {}
}
