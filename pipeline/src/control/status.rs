//! Whether the daemon is alive, and whether it does its work.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::Serialize;
use tokio::sync::watch;

use super::streams::StreamBoard;
use crate::outbox::Trouble;
use crate::sink::DeliveryState;
use crate::stream::StreamState;

/// One call of the model never takes so long; a model that does hangs.
const HANGS: Duration = Duration::from_secs(600);

/// How far the model is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ModelState {
    /// Being loaded.
    #[default]
    Loading,
    /// Waits for windows.
    Idle,
    /// Works on a batch.
    Working {
        /// Since then.
        since: Instant,
    },
    /// Gone; the daemon ends.
    Failed(String),
}

/// How far the daemon is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The outbox is being opened, then the model is being loaded.
    Starting,
    /// Streams are watched.
    Running,
    /// It was told to stop, or has to end.
    Stopping,
}

/// What works and what does not; shared.
#[derive(Debug, Default)]
pub struct Status {
    /// How each stream is.
    pub streams: StreamBoard,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    model: ModelState,
    stopping: bool,
    delivery: Option<watch::Receiver<DeliveryState>>,
    outbox: Option<watch::Receiver<Option<Trouble>>>,
    clips: Option<watch::Receiver<Option<Trouble>>>,
}

/// The answer of `/healthz`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Health {
    /// Should it be left running?
    pub healthy: bool,
    /// Why not.
    pub reason: Option<String>,
}

/// The answer of `/readyz`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Readiness {
    /// Is the model loaded, can records be stored, and do they get through?
    pub ready: bool,
    /// Why not.
    pub reasons: Vec<String>,
    /// Since when and why clips of events are dropped, when they are. That does not make the daemon unready: events are not touched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clips: Option<String>,
    /// How each stream is. A lost stream does not make the daemon unready: the others go on.
    pub streams: BTreeMap<String, StreamState>,
}

impl Status {
    /// How far the model is.
    pub fn model(&self, state: ModelState) {
        self.lock().model = state;
    }

    /// Where to look whether records get through.
    pub fn delivery(&self, state: watch::Receiver<DeliveryState>) {
        self.lock().delivery = Some(state);
    }

    /// Where to look whether records can be stored.
    pub fn outbox(&self, trouble: watch::Receiver<Option<Trouble>>) {
        self.lock().outbox = Some(trouble);
    }

    /// Where to look whether clips can be kept.
    pub fn clips(&self, trouble: watch::Receiver<Option<Trouble>>) {
        self.lock().clips = Some(trouble);
    }

    /// It was told to stop.
    pub fn stopping(&self) {
        self.lock().stopping = true;
    }

    /// How far the daemon is in its life.
    pub fn phase(&self) -> Phase {
        let inner = self.lock();
        match inner.model {
            _ if inner.stopping => Phase::Stopping,
            ModelState::Loading => Phase::Starting,
            ModelState::Failed(_) => Phase::Stopping,
            ModelState::Idle | ModelState::Working { .. } => Phase::Running,
        }
    }

    /// Should it be left running?
    pub fn health(&self) -> Health {
        let reason = match &self.lock().model {
            ModelState::Failed(reason) => Some(format!("the model has failed: {reason}")),
            ModelState::Working { since } if since.elapsed() > HANGS => {
                Some(format!("the model has worked on one batch for {} s", since.elapsed().as_secs()))
            }
            _ => None,
        };
        Health { healthy: reason.is_none(), reason }
    }

    /// Does it do its work?
    pub fn readiness(&self) -> Readiness {
        let inner = self.lock();
        let mut reasons = Vec::new();
        match &inner.model {
            ModelState::Loading => reasons.push("the model is being loaded".to_owned()),
            ModelState::Failed(reason) => reasons.push(format!("the model has failed: {reason}")),
            ModelState::Idle | ModelState::Working { .. } => {}
        }
        match inner.delivery.as_ref().map(|state| state.borrow().clone()) {
            None => reasons.push("the delivery has not started".to_owned()),
            Some(DeliveryState::Unreachable { since, reason }) => {
                reasons.push(format!("nothing is delivered since {}: {reason}", since.to_rfc3339()));
            }
            Some(DeliveryState::Starting | DeliveryState::Connected) => {}
        }
        if let Some(Trouble { since, reason }) =
            inner.outbox.as_ref().and_then(|trouble| trouble.borrow().clone())
        {
            reasons.push(format!("no record is stored since {}: {reason}", since.to_rfc3339()));
        }
        if inner.stopping {
            reasons.push("it is shutting down".to_owned());
        }
        let clips = inner.clips.as_ref().and_then(|trouble| trouble.borrow().clone());
        let clips = clips.map(|Trouble { since, reason }| {
            format!("clips are dropped since {}: {reason}", since.to_rfc3339())
        });
        Readiness { ready: reasons.is_empty(), reasons, clips, streams: self.streams.states() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timeline::UtcTime;

    #[test]
    fn ready_means_a_model_and_a_way_out() {
        let status = Status::default();
        assert_eq!((status.readiness().reasons.len(), status.phase()), (2, Phase::Starting));
        status.model(ModelState::Idle);
        assert_eq!(status.phase(), Phase::Running, "whether records get through or not");
        let delivery = watch::Sender::new(DeliveryState::Starting);
        status.delivery(delivery.subscribe());
        assert!(status.readiness().ready);
        delivery.send_replace(DeliveryState::Unreachable { since: UtcTime(0), reason: "refused".into() });
        let readiness = status.readiness();
        assert!(
            !readiness.ready
                && readiness.reasons[0].contains("since 1970")
                && readiness.reasons[0].ends_with("refused")
        );
        delivery.send_replace(DeliveryState::Connected);
        let outbox = watch::Sender::new(None);
        status.outbox(outbox.subscribe());
        assert!(status.readiness().ready);
        outbox.send_replace(Some(Trouble { since: UtcTime(0), reason: "the disk is full".into() }));
        let readiness = status.readiness();
        assert!(
            !readiness.ready
                && readiness.reasons[0].contains("since 1970")
                && readiness.reasons[0].ends_with("the disk is full")
        );
        outbox.send_replace(None);
        status.streams.state("cam", StreamState::Lost { reason: "away".into() });
        assert!(status.readiness().ready, "a lost stream is not the daemon's fault");
        status.stopping();
        assert!(!status.readiness().ready && status.phase() == Phase::Stopping);
    }

    #[test]
    fn it_is_healthy_unless_the_model_is_gone() {
        let status = Status::default();
        assert!(status.health().healthy);
        status.model(ModelState::Working { since: Instant::now() });
        assert!(status.health().healthy);
        status.model(ModelState::Failed("out of memory".into()));
        assert_eq!(status.health().reason.as_deref(), Some("the model has failed: out of memory"));
    }
}
