//! Draws in the words that scenes are described in.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::seeded;

/// The random numbers of one thing.
pub(crate) struct Dice(ChaCha8Rng);

impl Dice {
    /// Those of `item`; see [`seeded::rng`].
    pub fn new(seed: u64, item: &str) -> Self {
        Self(seeded::rng(seed, item))
    }

    /// From `low` to `high`, each as likely.
    pub fn uniform(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.0.random::<f64>()
    }

    /// From 0 to `count` - 1, each as likely. `count` is not 0.
    pub fn index(&mut self, count: usize) -> usize {
        self.0.random_range(0..count)
    }

    /// One of `items`, each as likely. There is at least one.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.index(items.len())]
    }

    /// True so often.
    pub fn chance(&mut self, share: f64) -> bool {
        self.0.random::<f64>() < share
    }

    /// `count` draws of a normal distribution with mean 0 and deviation 1 (Box and Muller).
    pub fn normals(&mut self, count: usize) -> Vec<f32> {
        let mut normals = Vec::with_capacity(count + 1);
        while normals.len() < count {
            let (radius, angle) =
                (1.0 - self.0.random::<f32>(), std::f32::consts::TAU * self.0.random::<f32>());
            let radius = (-2.0 * radius.ln()).sqrt();
            normals.extend([radius * angle.cos(), radius * angle.sin()]);
        }
        normals.truncate(count);
        normals
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normals_are_normal() {
        let normals = Dice::new(1, "x").normals(100_001);
        assert_eq!(normals.len(), 100_001);
        let count = normals.len() as f32;
        let mean = normals.iter().sum::<f32>() / count;
        let square = normals.iter().map(|x| x * x).sum::<f32>() / count;
        let within = normals.iter().filter(|x| x.abs() < 1.0).count() as f32 / count;
        assert!(mean.abs() < 0.02 && (square - 1.0).abs() < 0.02 && (within - 0.6827).abs() < 0.01);
    }
}
