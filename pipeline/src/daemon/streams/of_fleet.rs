//! The streams of a daemon that shares them with others: their settings are the brokers', what runs of them is its keeper's.

use std::time::Duration;

use tokio::time::timeout;

use super::{Listed, Origin, Streams, StreamsError};
use crate::config::StreamConfig;
use crate::fleet::{Desk, Setting, digest};
use crate::track::TrackConfig;
use crate::watching::{Leaving, Plan, Shift};
use crate::window::WindowSpec;

/// Settings that can be used, as others are listed.
pub(super) fn listed(setting: &Setting) -> Option<Listed> {
    let config = setting.config.as_deref().ok()?.clone();
    Some(Listed { config, origin: Origin::Fleet })
}

impl Streams {
    /// Its streams are those of this fleet.
    pub(in crate::daemon) fn of_fleet(&self, desk: Desk) {
        if let Some(place) = &self.inner.desk {
            // Said once.
            let _first = place.set(desk);
        }
    }

    /// The fleet that its streams are of, once its brokers have answered.
    pub fn fleet(&self) -> Option<&Desk> {
        self.inner.desk.as_ref()?.get()
    }

    /// Are its streams those of a fleet? They are kept by the brokers then, and by nobody else.
    pub fn are_shared(&self) -> bool {
        self.inner.desk.is_some()
    }

    /// The fleet's, if its streams are a fleet's.
    pub(super) fn desk(&self) -> Result<Option<&Desk>, StreamsError> {
        let Some(place) = &self.inner.desk else { return Ok(None) };
        let away = || StreamsError::Fleet("the brokers have not answered yet; try again".to_owned());
        place.get().map(Some).ok_or_else(away)
    }

    /// Watches a stream of a fleet, which this daemon was given.
    pub(in crate::daemon) async fn begin_shared(
        &self,
        config: &StreamConfig,
        shift: Shift,
    ) -> Result<(), StreamsError> {
        let plan = self.planned(config, Origin::Fleet).map_err(StreamsError::Invalid)?;
        self.watch(plan.on_shift(shift)).await
    }

    /// Goes on with a stream of a fleet by other settings; `false` when it has to be watched anew for them.
    pub(in crate::daemon) async fn retune_shared(&self, config: &StreamConfig) -> bool {
        match self.planned(config, Origin::Fleet) {
            Ok(plan) => {
                // Whoever takes it over goes on by these settings.
                let shift = Shift { settings: digest(config), ..Shift::default() };
                self.retune(&Plan { shift: Some(shift), ..plan }).await.unwrap_or(false)
            }
            Err(_) => false,
        }
    }

    /// Leaves a stream of a fleet and ends its events; windows that wait are answered first, if it does not take longer than
    /// `patience`.
    pub(in crate::daemon) async fn end_shared(&self, id: &str, patience: Duration) {
        if timeout(patience, self.leave(id, Leaving::Drained)).await.is_err() {
            // An engine that is gone has left it already.
            let _over = self.leave(id, Leaving::Now).await;
        }
    }

    /// Leaves a stream of a fleet for another daemon; windows that wait are answered first, if it does not take longer than
    /// `patience`: `false` when it does.
    pub(in crate::daemon) async fn hand_over(&self, id: &str, patience: Duration) -> bool {
        timeout(patience, self.leave(id, Leaving::HandedOver)).await.is_ok()
    }

    /// Waits no longer for answers to a stream that is handed over.
    pub(in crate::daemon) async fn drop_shared(&self, id: &str) {
        // An engine that is gone has left it already.
        let _over = self.leave(id, Leaving::Now).await;
    }

    /// How events are tracked in windows of the usual length: for what needs some length.
    pub(in crate::daemon) fn any_track(&self) -> TrackConfig {
        let windows = WindowSpec::of(&self.inner.manifest, None, None, Duration::ZERO);
        TrackConfig::new(windows.length, windows.hop)
    }
}
