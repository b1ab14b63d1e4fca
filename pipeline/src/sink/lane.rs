//! One topic on its way: where it is in the outbox, and what the next session with the sink has to know.

use std::sync::Arc;
use std::time::Duration;

use super::courier::Sink;
use super::state::Board;
use crate::outbox::{Message, Outbox, Topic};
use crate::timeline::UtcTime;

/// How long a failure waits before the next try; doubles.
pub(super) const PAUSE: Duration = Duration::from_millis(250);
pub(super) const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Called for each message the sink has acknowledged, with the time of the acknowledgement. Must not block.
pub(super) type OnAck = Arc<dyn Fn(&Message, UtcTime) + Send + Sync>;

pub(super) struct Lane {
    pub topic: Topic,
    pub outbox: Outbox,
    pub sink: Sink,
    pub board: Arc<Board>,
    pub on_ack: OnAck,
    /// From this number on, messages are to be read.
    pub cursor: u64,
    /// While the message that brokers refuse is looked for.
    pub search: Option<Search>,
    pub pause: Duration,
}

/// Brokers refuse whole batches. Groups of half the size are tried, and halves of those, until a message is refused
/// alone: only that one is given up.
pub(super) struct Search {
    /// Number of the last message of the refused batch.
    pub last: u64,
    /// Messages that go together; the next group starts when all of them are delivered.
    pub group: usize,
    /// Messages the present group may still take.
    pub room: usize,
}

impl Lane {
    pub fn new(topic: Topic, outbox: Outbox, sink: Sink, board: Arc<Board>, on_ack: OnAck) -> Self {
        Self { topic, outbox, sink, board, on_ack, cursor: 0, search: None, pause: PAUSE }
    }
}
