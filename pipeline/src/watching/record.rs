//! Everything that is published, on its way to the outbox.

use crate::outbox::{Message, Topic};
use crate::record::{CoverageRecord, ErrorRecord, EventRecord, Phase, Run};
use crate::timeline::UtcTime;

/// Anything that is published.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// One state of an event.
    Event(EventRecord),
    /// Whether a span was watched.
    Coverage {
        /// The span.
        record: CoverageRecord,
        /// Which run of the stream tells it.
        run: Run,
    },
    /// Something went wrong.
    Error(ErrorRecord),
}

impl Record {
    /// As it goes into the outbox.
    pub(crate) fn message(&self) -> Message {
        match self {
            Self::Event(event) => event.message(),
            Self::Coverage { record, run } => record.message(*run),
            Self::Error(error) => error.message(),
        }
    }
}

/// For the message of an event's first record: its stream, and the seconds from the capture of its start to `at`.
pub(crate) fn onset(message: &Message, at: UtcTime) -> Option<(String, f64)> {
    if message.topic != Topic::Events {
        return None;
    }
    let event: EventRecord = serde_json::from_slice(&message.payload).ok()?;
    let start = UtcTime::from_rfc3339(&event.start.utc)?;
    (event.phase == Phase::Started).then(|| (event.stream_id, at.seconds_since(start)))
}
