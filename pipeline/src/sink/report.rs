//! What a sink says of the messages that it was given.

use rdkafka::error::RDKafkaErrorCode;

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
