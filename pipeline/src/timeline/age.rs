//! How long ago something was captured, though the system's clock may have been set since.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::UtcTime;

/// The clock was set if it and the monotonic one part by more than this, in nanoseconds.
const SET: i64 = 1_000_000_000;
/// Nothing waits for longer than this to be looked at.
const KEPT: Duration = Duration::from_secs(600);

/// Compares the system's clock with the monotonic one.
#[derive(Debug)]
pub struct Ages {
    /// Both clocks when they were last compared.
    last: (Instant, UtcTime),
    /// By how many nanoseconds the system's clock was set, and when that was seen.
    steps: VecDeque<(Instant, i64)>,
}

impl Ages {
    /// Both clocks now.
    pub fn new(now: Instant, utc: UtcTime) -> Self {
        Self { last: (now, utc), steps: VecDeque::new() }
    }

    /// Seconds since `capture`, both clocks being at `now` and `utc`; 0 for what is to come. What was dated before the clock was set, and what was
    /// dated after it, both lie close to now on one of the two times: the nearer is meant.
    pub fn since(&mut self, capture: UtcTime, now: Instant, utc: UtcTime) -> f64 {
        let (before, utc_before) = std::mem::replace(&mut self.last, (now, utc));
        let passed = i64::try_from(now.duration_since(before).as_nanos()).unwrap_or(i64::MAX);
        let step = (utc.0.saturating_sub(utc_before.0)).saturating_sub(passed);
        if step.abs() > SET {
            self.steps.push_back((now, step));
        }
        while self.steps.front().is_some_and(|(seen, _)| now.duration_since(*seen) > KEPT) {
            self.steps.pop_front();
        }
        let told = utc.0.saturating_sub(capture.0);
        // Dated before the last step, before the last two, and so on.
        let corrected = self.steps.iter().rev().scan(told, |age, (_, step)| {
            *age = age.saturating_sub(*step);
            Some(*age)
        });
        let nearest = std::iter::once(told).chain(corrected).min_by_key(|age| (age.unsigned_abs(), *age < 0));
        nearest.unwrap_or(told).max(0) as f64 / 1e9
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    #[test]
    fn a_step_of_the_clock_makes_nothing_older_or_younger() {
        for step in [3 * 3600, -3 * 3600, 2, -2] {
            let (start, utc) = (Instant::now(), UtcTime(1_800_000_000 * SECOND));
            let at = |second: i64| start + Duration::from_secs(second as u64);
            let mut ages = Ages::new(start, utc);
            // Captured at 9 s, looked at half a second later, and again after the clock was set at 10 s.
            let captured = utc.offset(9 * SECOND);
            let half = Duration::from_millis(500);
            assert_eq!(ages.since(captured, at(9) + half, utc.offset(9 * SECOND + SECOND / 2)), 0.5);
            let set = utc.offset(step * SECOND);
            assert_eq!(ages.since(captured, at(10), set.offset(10 * SECOND)), 1.0, "{step}");
            // What is dated by the new time is as old as it says.
            assert_eq!(ages.since(set.offset(11 * SECOND), at(12), set.offset(12 * SECOND)), 1.0, "{step}");
        }
    }

    #[test]
    fn what_is_old_stays_old_and_what_is_to_come_is_not_negative() {
        let (start, utc) = (Instant::now(), UtcTime(1_800_000_000 * SECOND));
        let mut ages = Ages::new(start, utc);
        let later = start + Duration::from_secs(100);
        assert_eq!(ages.since(utc, later, utc.offset(100 * SECOND)), 100.0);
        assert_eq!(ages.since(utc.offset(200 * SECOND), later, utc.offset(100 * SECOND)), 0.0);
    }
}
