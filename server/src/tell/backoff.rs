//! How long to wait before a receiver is tried again.

use std::time::Duration;

const INITIAL: Duration = Duration::from_millis(500);
const MAX: Duration = Duration::from_secs(60);
/// The part of each delay that is drawn at random, so that many sinks do not return at once.
const JITTER: f64 = 0.3;

/// Doubles with every try.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    tries: u32,
}

impl Backoff {
    /// It worked.
    pub fn reset(&mut self) {
        self.tries = 0;
    }

    /// Waits longer with every call, and as long as the receiver asks for, within limits.
    pub async fn wait(&mut self, asked: Option<Duration>) {
        let delay = self.delay(rand::random());
        tokio::time::sleep(asked.map_or(delay, |asked| asked.clamp(delay, MAX))).await;
    }

    fn delay(&mut self, random: f64) -> Duration {
        let whole = INITIAL.saturating_mul(1 << self.tries.min(10)).min(MAX);
        self.tries = self.tries.saturating_add(1);
        whole.mul_f64(1.0 - JITTER * random)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_a_minute_and_begin_anew() {
        let mut backoff = Backoff::default();
        let seconds: Vec<f64> = (0..9).map(|_| backoff.delay(0.0).as_secs_f64()).collect();
        assert_eq!(seconds, [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]);
        assert_eq!(backoff.delay(1.0), Duration::from_secs(42));
        backoff.reset();
        assert_eq!(backoff.delay(0.0), INITIAL);
    }

    #[tokio::test(start_paused = true)]
    async fn a_receiver_may_ask_for_more_but_not_for_ever() {
        for (asked, least, most) in [(3, 3.0, 3.1), (0, 0.35, 0.6), (86_400, 60.0, 60.1)] {
            let started = tokio::time::Instant::now();
            Backoff::default().wait(Some(Duration::from_secs(asked))).await;
            let waited = started.elapsed().as_secs_f64();
            assert!((least..=most).contains(&waited), "{asked} s: {waited}");
        }
    }
}
