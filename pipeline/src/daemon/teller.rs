//! What a daemon of a fleet tells the others of itself, every few seconds, whatever else it does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::control::Control;
use crate::fleet::{Desk, HEARTBEAT, MemberRecord, ShareRecord};
use crate::stream::StreamState;
use crate::timeline::UtcTime;

/// The streams of each partition that a daemon has. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Shares(Arc<Mutex<BTreeMap<i32, BTreeSet<String>>>>);

impl Shares {
    /// The daemon has a partition, with these streams.
    pub fn set(&self, partition: i32, streams: impl IntoIterator<Item = String>) {
        self.lock().insert(partition, streams.into_iter().collect());
    }

    /// It has it no more.
    pub fn remove(&self, partition: i32) {
        self.lock().remove(&partition);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<i32, BTreeSet<String>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells until `stop`, and then that the daemon has left.
pub(super) async fn tell(desk: Desk, control: Arc<Control>, shares: Shares, stop: CancellationToken) {
    let mut ticks = interval(HEARTBEAT);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stop.cancelled() => break,
        }
        let record = record(&desk, &control, &shares);
        control.metrics.partitions(record.partitions.len());
        if let Err(error) = desk.tell(Some(&record)).await {
            tracing::debug!(%error, "telling the others");
        }
    }
    if let Err(error) = desk.tell(None).await {
        tracing::warn!(%error, "the others do not know yet that this daemon has left");
    }
}

fn record(desk: &Desk, control: &Control, shares: &Shares) -> MemberRecord {
    let states = control.status.streams.states();
    let shares = shares.lock();
    MemberRecord {
        member: desk.member().to_owned(),
        address: desk.client().fleet().address.clone(),
        at: UtcTime::now().to_rfc3339(),
        partitions: shares.keys().copied().collect(),
        streams: shares
            .values()
            .flatten()
            .map(|id| (id.clone(), share(states.get(id), control.metrics.lag(id))))
            .collect(),
        capacity: control.pace.capacity(),
        load: control.pace.load(Instant::now()),
    }
}

fn share(state: Option<&StreamState>, lag: Option<f64>) -> ShareRecord {
    let (state, reason) = match state {
        None | Some(StreamState::Connecting) => ("connecting", None),
        Some(StreamState::Watching { .. }) => ("watching", None),
        Some(StreamState::Lost { reason }) => ("lost", Some(reason)),
        Some(StreamState::Ended { reason }) => ("ended", Some(reason)),
    };
    ShareRecord { state: state.to_owned(), reason: reason.cloned(), lag }
}
