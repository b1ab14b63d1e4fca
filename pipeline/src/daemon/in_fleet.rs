//! A daemon's life in a fleet.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::keeper::Keeper;
use super::store::Observer;
use super::streams::Streams;
use crate::config::Config;
use crate::control::Control;
use crate::fleet::{Desk, FleetError};
use crate::outbox::Message;
use crate::timeline::UtcTime;
use crate::watching::{Parcel, Ways, onset};

/// Pause before brokers that did not answer are asked again.
const BROKERS_AGAIN: Duration = Duration::from_secs(3);

/// A daemon of a fleet: it watches what it is given.
pub(super) struct InFleet {
    pub streams: Streams,
    pub ways: Ways,
    pub control: Arc<Control>,
    /// Sees what is committed.
    pub observer: Option<Arc<dyn Observer>>,
}

impl InFleet {
    /// Until `stop`, and until everything is given away.
    pub async fn run(self, config: &Config, stop: CancellationToken) -> Result<(), FleetError> {
        let Self { streams, ways, control, observer } = self;
        let Some(desk) = desk(config, &stop).await? else { return Ok(()) };
        streams.of_fleet(desk.clone());
        let told = control.clone();
        let seen = move |messages: &[Message], parcel: &Parcel| {
            told.metrics.committed(messages.len());
            parcel.traces.iter().for_each(|trace| trace.step("deliver"));
            let now = UtcTime::now();
            for (stream, seconds) in messages.iter().filter_map(|message| onset(message, now)) {
                told.metrics.stream(&stream).onset(seconds);
            }
            if let Some(observer) = &observer {
                observer.stored(messages, &parcel.windows, &parcel.streams);
            }
        };
        Keeper::run(desk, streams, ways, control, Arc::new(seen), stop).await
    }
}

/// The fleet's desk, however long its brokers take to answer; `None` when it is stopped first.
async fn desk(config: &Config, stop: &CancellationToken) -> Result<Option<Desk>, FleetError> {
    loop {
        match Desk::open(&config.sink.kafka, &config.fleet).await {
            Err(error @ FleetError::Brokers { .. }) => {
                tracing::warn!(%error, "the fleet cannot be joined yet; trying again");
            }
            opened => return opened,
        }
        tokio::select! {
            () = tokio::time::sleep(BROKERS_AGAIN) => {}
            () = stop.cancelled() => return Ok(None),
        }
    }
}
