//! A [`WindowSpec`] in whole nanoseconds of stream time.

use std::time::Duration;

use super::WindowSpec;
use crate::stream::Medium;
use crate::timeline::Grid;

/// The spec in nanoseconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    pub length: i64,
    pub hop: i64,
    /// Slot periods by [`Track`]; 0 for what the model does not take.
    pub periods: [i64; 2],
    pub counts: [i64; 2],
    pub clip: i64,
    pub clip_samples: usize,
    /// How far clips reach past the end of their window.
    pub tail: i64,
    pub patience: i64,
}

pub(super) fn nanos(span: Duration) -> i64 {
    i64::try_from(span.as_nanos()).unwrap_or(i64::MAX)
}

impl Shape {
    pub fn new(spec: &WindowSpec) -> Self {
        let period = |grid: Option<Grid>| grid.map_or(0, |grid| nanos(grid.period()));
        let (audio, clip) = (period(spec.audio_grid()), nanos(spec.clip));
        // Where slots or clips begin between two samples, their ends are rounded up to a sample apart.
        let rate = i64::from(spec.sample_rate.max(1));
        let whole = |half_nanos: i64| (i128::from(half_nanos) * i128::from(rate)) % 2_000_000_000 == 0;
        let exact = whole(2 * audio) && whole(2 * clip) && whole(audio - clip);
        let sample = if exact { 0 } else { 1_000_000_000 / rate + 1 };
        let tail = if audio > 0 { ((clip - audio).max(0) + 1) / 2 + sample } else { 0 };
        Self {
            length: nanos(spec.length),
            hop: nanos(spec.hop),
            periods: [audio, period(spec.visual_grid())],
            counts: [spec.audio_slots as i64, spec.visual_slots as i64],
            clip,
            clip_samples: spec.clip_samples(),
            tail,
            patience: nanos(spec.patience),
        }
    }

    pub fn start(&self, index: i64) -> i64 {
        index.saturating_mul(self.hop)
    }

    pub fn end(&self, index: i64) -> i64 {
        self.start(index).saturating_add(self.length)
    }

    /// How many windows end at or before `time`.
    pub fn ending_by(&self, time: i64) -> i64 {
        let room = time.saturating_sub(self.length);
        if room < 0 { 0 } else { room / self.hop + 1 }
    }

    /// The first slot that starts at or after `time`.
    pub fn slot(&self, track: Medium, time: i64) -> i64 {
        let period = self.periods[track as usize].max(1);
        time.div_euclid(period) + i64::from(time.rem_euclid(period) != 0)
    }

    pub fn slot_start(&self, track: Medium, slot: i64) -> i64 {
        slot.saturating_mul(self.periods[track as usize])
    }

    /// How many windows it takes to cover all before `time`.
    pub fn covering(&self, time: i64) -> i64 {
        let beyond = time.saturating_sub(self.length).max(0);
        (beyond / self.hop + i64::from(beyond % self.hop != 0)).saturating_add(1)
    }

    /// How many windows start before `time`.
    pub fn starting_before(&self, time: i64) -> i64 {
        if time <= 0 { 0 } else { (time - 1) / self.hop + 1 }
    }
}
