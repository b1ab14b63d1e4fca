//! What a lane asks of a sink: send messages one after another, and report on each.

use rdkafka::error::RDKafkaErrorCode;
use tokio::sync::mpsc::UnboundedReceiver;

use super::{Sink, jsonl, kafka};
use crate::outbox::{Message, Topic};

/// Why a message was not delivered.
#[derive(Debug, Clone)]
pub(super) enum Failure {
    /// More tries cannot help, if it was the only message that was tried: brokers refuse whole batches.
    Refused { reason: &'static str, code: RDKafkaErrorCode },
    /// It may work later.
    Trouble(RDKafkaErrorCode),
    /// It may work later; in words.
    Failed(String),
}

/// What a courier reports.
#[derive(Debug)]
pub(super) enum Note {
    /// What became of the message with this number. Every message sent gets exactly one report.
    Report(u64, Result<(), Failure>),
    /// Something is wrong with the connection; the messages wait.
    Complaint(RDKafkaErrorCode, String),
}

/// Why a message could not even be handed over.
#[derive(Debug)]
pub(super) enum NotSent {
    /// Enough is in flight; try again after a report.
    Full,
    /// As in a report.
    Failed(Failure),
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
