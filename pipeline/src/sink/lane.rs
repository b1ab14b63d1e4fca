//! One topic's delivery: sessions with the sink, one after another, for as long as the program runs.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::Sink;
use super::courier::{Courier, Note};
use super::delivery::OnAck;
use super::session::Session;
use super::state::Board;
use crate::outbox::{Outbox, Topic};

/// How long a failure waits before the next try; doubles.
pub(super) const PAUSE: Duration = Duration::from_millis(250);
pub(super) const PAUSE_MAX: Duration = Duration::from_secs(5);

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

/// Why a session with a courier ended.
pub(super) enum End {
    Shutdown,
    /// Start again at once.
    Again,
    /// Start again after a pause.
    Trouble(String),
}

impl Lane {
    pub fn new(topic: Topic, outbox: Outbox, sink: Sink, board: Arc<Board>, on_ack: OnAck) -> Self {
        Self { topic, outbox, sink, board, on_ack, cursor: 0, search: None, pause: PAUSE }
    }

    /// Delivers until `shutdown`.
    pub async fn run(mut self, shutdown: CancellationToken) {
        while !shutdown.is_cancelled() {
            let trouble = match Courier::new(&self.sink, self.topic) {
                Ok((courier, notes)) => match self.session(courier, notes, &shutdown).await {
                    End::Shutdown => return,
                    End::Again => continue,
                    End::Trouble(reason) => reason,
                },
                Err(reason) => reason,
            };
            self.board.down(self.topic, trouble);
            tokio::select! {
                () = sleep(self.pause) => {}
                () = shutdown.cancelled() => return,
            }
            self.pause = (self.pause * 2).min(PAUSE_MAX);
        }
    }

    async fn session(
        &mut self,
        courier: Courier,
        notes: UnboundedReceiver<Note>,
        shutdown: &CancellationToken,
    ) -> End {
        let mut session = Session::new(self, courier, notes);
        let end = session.run(shutdown).await;
        session.close().await;
        end
    }
}
