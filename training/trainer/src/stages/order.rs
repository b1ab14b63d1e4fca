//! In which order samples are seen: every epoch all of them, shuffled by the seed.

use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use super::source::random;

/// Where in the data a run stands, and with it what all its random numbers are: they depend on seed, epoch, sample and
/// step alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Step {
    /// Steps that were made.
    pub(super) done: u64,
    /// The epoch, from 0.
    pub(super) epoch: u32,
    /// Samples of the epoch that were seen.
    pub(super) seen: usize,
}

/// The order of one epoch's samples.
pub(super) fn of_epoch(seed: u64, epoch: u32, samples: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..samples).collect();
    order.shuffle(&mut random(seed, &["order", &epoch.to_string()]));
    order
}

/// Steps of a whole run.
pub(super) fn steps(samples: usize, each: usize, epochs: u32) -> u64 {
    samples.div_ceil(each) as u64 * u64::from(epochs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_epoch_has_every_sample_once_in_an_order_of_its_own() {
        let (first, again, second) = (of_epoch(7, 0, 50), of_epoch(7, 0, 50), of_epoch(7, 1, 50));
        assert_eq!(first, again);
        assert_ne!(first, second);
        assert_ne!(first, of_epoch(8, 0, 50));
        let mut sorted = second;
        sorted.sort();
        assert_eq!(sorted, (0..50).collect::<Vec<_>>());
        assert_eq!(steps(50, 8, 2), 14);
    }
}
