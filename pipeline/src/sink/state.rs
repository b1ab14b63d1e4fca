//! Whether messages get through, over all lanes; says so in the log once for each outage.

use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;

use crate::outbox::{Outbox, Topic};
use crate::timeline::UtcTime;

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

/// What one lane knows.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Line {
    Unknown,
    Up,
    Down { since: UtcTime, reason: String },
}

pub(super) struct Board {
    lines: Mutex<[Line; Topic::ALL.len()]>,
    state: watch::Sender<DeliveryState>,
    outbox: Outbox,
}

impl Board {
    pub fn new(outbox: Outbox) -> Self {
        let lines = Mutex::new([const { Line::Unknown }; Topic::ALL.len()]);
        Self { lines, state: watch::Sender::new(DeliveryState::Starting), outbox }
    }

    pub fn subscribe(&self) -> watch::Receiver<DeliveryState> {
        self.state.subscribe()
    }

    /// The lane of `topic` gets messages through.
    pub fn up(&self, topic: Topic) {
        self.set(topic, |_| Line::Up);
    }

    /// It does not.
    pub fn down(&self, topic: Topic, reason: String) {
        self.set(topic, |line| match line {
            Line::Down { since, .. } => Line::Down { since: *since, reason },
            _ => Line::Down { since: UtcTime::now(), reason },
        });
    }

    fn set(&self, topic: Topic, next: impl FnOnce(&Line) -> Line) {
        // The lock is held to the end: two lanes must not tell their news in the wrong order.
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let line = &mut lines[usize::from(topic.number())];
        let next = next(line);
        if *line == next {
            return;
        }
        *line = next;
        let state = combine(&*lines);
        let before = self.state.send_replace(state.clone());
        let waiting = || self.outbox.accounting().spooled;
        match (before, state) {
            (DeliveryState::Unreachable { .. }, DeliveryState::Unreachable { reason, .. }) => {
                tracing::debug!(reason, "still nothing is delivered");
            }
            (_, DeliveryState::Unreachable { reason, .. }) => {
                tracing::warn!(reason, "nothing is delivered; messages wait in the outbox");
            }
            (DeliveryState::Unreachable { since, .. }, DeliveryState::Connected) => {
                let after_s = UtcTime::now().seconds_since(since);
                tracing::info!(after_s, waiting = waiting(), "messages are delivered again");
            }
            (DeliveryState::Starting, DeliveryState::Connected) => {
                tracing::info!(waiting = waiting(), "messages are delivered");
            }
            _ => {}
        }
    }
}

/// The whole is up when nothing is down; the oldest trouble is told.
fn combine(lines: &[Line]) -> DeliveryState {
    let down = lines.iter().filter_map(|line| match line {
        Line::Down { since, reason } => Some((*since, reason)),
        _ => None,
    });
    match down.min_by_key(|(since, _)| *since) {
        Some((since, reason)) => DeliveryState::Unreachable { since, reason: reason.clone() },
        None if lines.contains(&Line::Up) => DeliveryState::Connected,
        None => DeliveryState::Starting,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbox::OutboxConfig;

    #[test]
    fn one_lane_down_is_down_and_keeps_its_beginning() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let config = OutboxConfig { path: folder.path().join("o.redb"), ..OutboxConfig::default() };
        let board = Board::new(Outbox::open(&config).expect("opens"));
        let state = board.subscribe();
        let state = || state.borrow().clone();
        assert_eq!(state(), DeliveryState::Starting);
        board.up(Topic::Events);
        assert_eq!(state(), DeliveryState::Connected);
        board.down(Topic::Errors, "first".into());
        let DeliveryState::Unreachable { since, reason } = state() else { panic!("{:?}", state()) };
        assert_eq!(reason, "first");
        board.down(Topic::Errors, "second".into());
        board.down(Topic::Events, "later".into());
        assert_eq!(state(), DeliveryState::Unreachable { since, reason: "second".into() });
        board.up(Topic::Errors);
        assert!(matches!(state(), DeliveryState::Unreachable { reason, .. } if reason == "later"));
        board.up(Topic::Events);
        assert_eq!(state(), DeliveryState::Connected);
    }
}
