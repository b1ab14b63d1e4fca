//! How fast the model answers, by how long it took for the last windows.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Batches that are remembered.
const KEPT: usize = 256;
/// How far back the load is counted.
const MINUTE: Duration = Duration::from_secs(60);

/// The last batches: when, how many windows, and how long the model worked on them.
#[derive(Debug, Default)]
pub struct Pace(Mutex<VecDeque<(Instant, usize, Duration)>>);

impl Pace {
    /// The model has answered so many windows at `now`, after it worked for `took`.
    pub fn answered(&self, windows: usize, took: Duration, now: Instant) {
        let mut batches = self.lock();
        if batches.len() == KEPT {
            batches.pop_front();
        }
        batches.push_back((now, windows, took));
    }

    /// Windows a second that it could answer if it always had some; `None` before the first.
    pub fn capacity(&self) -> Option<f64> {
        let batches = self.lock();
        let windows: usize = batches.iter().map(|(_, windows, _)| windows).sum();
        let worked: Duration = batches.iter().map(|(.., took)| *took).sum();
        (!worked.is_zero()).then(|| windows as f64 / worked.as_secs_f64())
    }

    /// Windows a second that it answered in the last minute before `now`.
    pub fn load(&self, now: Instant) -> f64 {
        let batches = self.lock();
        let recent = batches.iter().filter(|(at, ..)| now.saturating_duration_since(*at) < MINUTE);
        recent.map(|(_, windows, _)| *windows).sum::<usize>() as f64 / MINUTE.as_secs_f64()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(Instant, usize, Duration)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capacity_is_by_the_time_worked_and_load_by_the_time_passed() {
        let (pace, start) = (Pace::default(), Instant::now());
        assert_eq!((pace.capacity(), pace.load(start)), (None, 0.0));
        for second in 0..60 {
            pace.answered(3, Duration::from_millis(500), start + Duration::from_secs(second));
        }
        assert_eq!(pace.capacity(), Some(6.0));
        let load = pace.load(start + Duration::from_secs(59));
        assert!((load - 3.0).abs() < 1e-9, "{load}");
        assert_eq!(pace.load(start + Duration::from_secs(200)), 0.0);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (pace, now) = (Pace::default(), Instant::now());
        (0..10_000).for_each(|_| pace.answered(1, Duration::from_millis(1), now));
        assert_eq!(pace.lock().len(), KEPT);
    }
}
