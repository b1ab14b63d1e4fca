//! Random numbers in the shapes that evidence comes in.

use std::ops::Range;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::seeded;

/// The random numbers of one item; see [`seeded::rng`].
pub(super) struct Draw {
    random: ChaCha8Rng,
    /// Normal numbers are made in pairs.
    spare: Option<f32>,
}

impl Draw {
    pub(super) fn new(seed: u64, item: &str) -> Self {
        Self { random: seeded::rng(seed, item), spare: None }
    }

    /// From `low` to `high`, each as likely.
    pub(super) fn uniform(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.random.random::<f64>()
    }

    /// From `low` to `high`, both above 0, each order of magnitude as likely.
    pub(super) fn log_uniform(&mut self, low: f64, high: f64) -> f64 {
        self.uniform(low.ln(), high.max(low).ln()).exp()
    }

    /// From `low` to `high`, both above 0: twice as much is half as frequent (Pareto).
    pub(super) fn pareto(&mut self, low: f64, high: f64) -> f64 {
        (low / (1.0 - self.random.random::<f64>())).min(high)
    }

    /// True so often.
    pub(super) fn chance(&mut self, share: f64) -> bool {
        self.random.random::<f64>() < share
    }

    /// One of `range`, which is not empty.
    pub(super) fn index(&mut self, range: Range<usize>) -> usize {
        self.random.random_range(range)
    }

    /// One of `items`; `None` where there is none.
    pub(super) fn pick<T: Copy>(&mut self, items: &[T]) -> Option<T> {
        (!items.is_empty()).then(|| items[self.index(0..items.len())])
    }

    /// Normal with mean 0 and deviation 1 (Box and Muller).
    pub(super) fn normal(&mut self) -> f32 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        // 1 is possible, 0 is not: its logarithm would be no number.
        let radius = (-2.0 * (1.0 - self.random.random::<f32>()).ln()).sqrt();
        let (sine, cosine) = (std::f32::consts::TAU * self.random.random::<f32>()).sin_cos();
        self.spare = Some(radius * sine);
        radius * cosine
    }
}

/// Noise with a memory: an autoregressive process of first order with mean 0 and deviation 1.
pub(super) struct Walk {
    now: f32,
    keep: f32,
}

impl Walk {
    /// `keep` is the correlation of one step with the next, from 0 to 1.
    pub(super) fn new(keep: f32, draw: &mut Draw) -> Self {
        Self { now: draw.normal(), keep }
    }

    /// Its value, and a step on.
    pub(super) fn step(&mut self, draw: &mut Draw) -> f32 {
        let now = self.now;
        self.now = self.keep * now + (1.0 - self.keep * self.keep).sqrt() * draw.normal();
        now
    }
}

/// The probability of log-odds.
pub(super) fn sigmoid(log_odds: f32) -> f32 {
    1.0 / (1.0 + (-log_odds).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_keeps_its_size_and_its_memory() {
        let mut draw = Draw::new(1, "walk");
        let mut walk = Walk::new(0.8, &mut draw);
        let values: Vec<f32> = (0..100_000).map(|_| walk.step(&mut draw)).collect();
        let count = values.len() as f32;
        let mean = values.iter().sum::<f32>() / count;
        let square = values.iter().map(|x| x * x).sum::<f32>() / count;
        let next = values.windows(2).map(|pair| pair[0] * pair[1]).sum::<f32>() / count;
        assert!(mean.abs() < 0.05 && (square - 1.0).abs() < 0.05 && (next - 0.8).abs() < 0.05);
    }

    #[test]
    fn draws_stay_in_their_range() {
        let mut draw = Draw::new(2, "range");
        for _ in 0..1000 {
            let long = draw.log_uniform(1.0, 120.0);
            assert!((1.0..=120.0).contains(&long));
            assert!((3..7).contains(&draw.index(3..7)));
        }
        assert_eq!(draw.pick::<u8>(&[]), None);
    }
}
