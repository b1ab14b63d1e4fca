//! Where messages go from the outbox: a Kafka cluster, JSON lines, or an embedded broker for the first run.

mod config;
mod courier;
mod delivery;
mod embedded;
mod error;
mod jsonl;
mod kafka;
mod lane;
mod properties;
mod report;
mod session;
mod state;
mod trouble;

pub(crate) use config::say;
pub use config::{KafkaConfig, Topics};
pub use courier::Sink;
pub use delivery::Delivery;
pub use embedded::EmbeddedBroker;
pub use error::SinkError;
pub use jsonl::JsonlSink;
pub(crate) use kafka::headers;
pub use kafka::{KafkaSink, source};
pub use state::DeliveryState;
