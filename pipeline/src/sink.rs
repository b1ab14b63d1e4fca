//! Where messages go from the outbox: a Kafka cluster, JSON lines, or an embedded broker for the first run.

mod config;
mod courier;
mod delivery;
mod embedded;
mod jsonl;
mod kafka;
mod lane;
mod properties;
mod session;
mod state;
mod trouble;

pub use config::{KafkaConfig, Topics};
pub use delivery::Delivery;
pub use embedded::EmbeddedBroker;
pub use jsonl::JsonlSink;
pub use kafka::{KafkaSink, source};

use std::path::PathBuf;

use crate::timeline::UtcTime;

/// Why a sink cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// A property that would break what the delivery promises.
    #[error("sink.kafka.properties: \"{property}\" cannot be set: {reason}")]
    ReservedProperty {
        /// The property's name.
        property: String,
        /// What rests on it, and what to use instead.
        reason: &'static str,
    },
    /// A property that the client library does not know, or a value that it does not take.
    #[error("sink.kafka.properties: {0}")]
    Property(String),
    /// The client library refuses the configuration.
    #[error("sink.kafka: {0}")]
    Configuration(String),
    /// The JSON lines file cannot be opened.
    #[error(
        "sink.jsonl {}: {source}; let the daemon's user write there, in a folder that exists, or change sink.jsonl.path",
        path.display()
    )]
    JsonlFile {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The embedded broker does not start.
    #[error("the embedded broker does not start: {0}")]
    Embedded(String),
}

/// Whether messages get through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeliveryState {
    /// Not known yet: nothing has been tried.
    Starting,
    /// The sink answers.
    Connected,
    /// The sink does not take messages; they wait in the outbox.
    Unreachable {
        /// Since when.
        since: UtcTime,
        /// What is wrong, with the brokers or file it is wrong with, and what to do.
        reason: String,
    },
}

/// A place for messages.
#[derive(Debug, Clone)]
pub enum Sink {
    /// A Kafka cluster.
    Kafka(KafkaSink),
    /// JSON lines.
    Jsonl(JsonlSink),
}

impl From<KafkaSink> for Sink {
    fn from(sink: KafkaSink) -> Self {
        Self::Kafka(sink)
    }
}

impl From<JsonlSink> for Sink {
    fn from(sink: JsonlSink) -> Self {
        Self::Jsonl(sink)
    }
}
