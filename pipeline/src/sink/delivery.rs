//! Moves messages from the outbox to the sink: one lane for each topic, so that trouble with one does not hold up the
//! others.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::courier::{Courier, Sink};
use super::lane::{Lane, OnAck, PAUSE_MAX};
use super::report::Note;
use super::session::{End, Session};
use super::state::{Board, DeliveryState};
use crate::outbox::{Message, Outbox, Topic};
use crate::timeline::UtcTime;

/// The running delivery. Dropping it does not end it; the shutdown token does.
#[derive(Debug)]
pub struct Delivery {
    outbox: Outbox,
    lanes: JoinSet<()>,
    state: watch::Receiver<DeliveryState>,
    shutdown: CancellationToken,
}

impl Delivery {
    /// Starts delivering, oldest first. Messages of one topic and key arrive in the order of appending, also across
    /// failures and restarts; one may arrive twice, with the same CloudEvents id. Tries for as long as it takes.
    ///
    /// `on_ack` is called for each acknowledged message. `shutdown` ends the delivery; what it leaves stays in the outbox
    /// for the next. To deliver what can be delivered first, call [`Delivery::flush`] before.
    pub fn start(
        outbox: Outbox,
        sink: impl Into<Sink>,
        on_ack: impl Fn(&Message, UtcTime) + Send + Sync + 'static,
        shutdown: CancellationToken,
    ) -> Self {
        let sink = sink.into();
        let board = Arc::new(Board::new(outbox.clone()));
        let on_ack: OnAck = Arc::new(on_ack);
        let (state, mut lanes) = (board.subscribe(), JoinSet::new());
        for topic in Topic::ALL {
            let lane = Lane::new(topic, outbox.clone(), sink.clone(), board.clone(), on_ack.clone());
            lanes.spawn(lane.run(shutdown.clone()));
        }
        Self { outbox, lanes, state, shutdown }
    }

    /// Whether messages get through, now.
    pub fn state(&self) -> DeliveryState {
        self.state.borrow().clone()
    }

    /// Whether messages get through, as it changes.
    pub fn watch(&self) -> watch::Receiver<DeliveryState> {
        self.state.clone()
    }

    /// Waits until the outbox is empty, `patience` at most; `false` when something is left in it.
    pub async fn flush(&self, patience: Duration) -> bool {
        let mut accounting = self.outbox.watch_accounting();
        let empty = accounting.wait_for(|accounting| accounting.spooled == 0);
        matches!(tokio::time::timeout(patience, empty).await, Ok(Ok(_)))
    }

    /// Ends the delivery and waits for its tasks, a few seconds at most.
    pub async fn stop(mut self) {
        self.shutdown.cancel();
        while let Some(ended) = self.lanes.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a delivery task failed");
            }
        }
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        // The tasks end by themselves, in order, when the token says so; a `JoinSet` would cut them off.
        self.lanes.detach_all();
    }
}

impl Lane {
    /// Sessions with the sink, one after another, until `shutdown`.
    async fn run(mut self, shutdown: CancellationToken) {
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
        session.close(matches!(end, End::Shutdown)).await;
        end
    }
}
