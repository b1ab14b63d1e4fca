//! A place for messages, and what a lane asks of it: send messages one after another, and report on each.

use tokio::sync::mpsc::UnboundedReceiver;

use super::jsonl::{self, JsonlSink};
use super::kafka::{self, KafkaSink};
use super::report::{NotSent, Note};
use crate::outbox::{Message, Topic};

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

/// One topic's way out.
pub(super) enum Courier {
    Kafka(kafka::Courier),
    Jsonl(jsonl::Courier),
}

impl Courier {
    /// A new one, and its reports.
    pub fn new(sink: &Sink, topic: Topic) -> Result<(Self, UnboundedReceiver<Note>), String> {
        match sink {
            Sink::Kafka(sink) => sink.courier(topic).map(|(courier, notes)| (Self::Kafka(courier), notes)),
            Sink::Jsonl(sink) => sink.courier().map(|(courier, notes)| (Self::Jsonl(courier), notes)),
        }
    }

    /// Hands a message over, behind those before. Does not block.
    pub fn send(&self, number: u64, message: &Message) -> Result<(), NotSent> {
        match self {
            Self::Kafka(courier) => courier.send(number, message),
            Self::Jsonl(courier) => courier.send(number, message),
        }
    }

    /// Asks whether messages would get through. Blocks a few seconds at most.
    pub fn probe(&self) -> Result<(), String> {
        match self {
            Self::Kafka(courier) => courier.probe(),
            // A file is there, or opening it failed.
            Self::Jsonl(_) => Ok(()),
        }
    }

    /// Ends it. What was not delivered is reported as failed. Blocks a moment.
    pub fn abandon(self) {
        match self {
            Self::Kafka(courier) => courier.abandon(),
            Self::Jsonl(courier) => courier.abandon(),
        }
    }
}
