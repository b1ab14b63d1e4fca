//! From logits to a token: greedy, or drawn at a temperature from a seeded generator.

use super::host::sum_of_exp;
use crate::splitmix;

/// How tokens are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Sampling {
    /// The most probable token, the lowest id among equals.
    #[default]
    Greedy,
    /// Drawn with probabilities `softmax(logits / temperature)`.
    Temperature {
        /// Above 0; the paper uses 0.05.
        temperature: f32,
        /// Same seed, same answers.
        seed: u64,
    },
}

/// Chooses the tokens of one answer.
pub(crate) struct Sampler {
    sampling: Sampling,
    state: u64,
}

impl Sampler {
    /// `stream` tells apart answers that are drawn with the same seed.
    pub(crate) fn new(sampling: &Sampling, stream: u64) -> Self {
        let seed = match sampling {
            Sampling::Greedy => 0,
            Sampling::Temperature { seed, .. } => *seed,
        };
        Self { sampling: *sampling, state: seed ^ stream.wrapping_mul(0xd134_2543_de82_ef95) }
    }

    /// The chosen id and the natural logarithm of its probability at temperature 1. `logits` must not be empty.
    ///
    /// Only ids that are `allowed` are chosen, the lowest where none is. The probability is the model's own, among all ids: a
    /// rule that leaves one token makes nobody surer of it.
    pub(crate) fn sample(&mut self, logits: &[f32], allowed: impl Fn(u32) -> bool) -> (u32, f32) {
        let best = argmax(logits);
        let top = logits[best];
        let id = match self.sampling {
            Sampling::Temperature { temperature, .. } if temperature > 0.0 => {
                let barred: Vec<f32> =
                    (0..).zip(logits).map(|(id, l)| if allowed(id) { *l } else { NEVER }).collect();
                let best = argmax(&barred);
                self.draw(&barred, barred[best], temperature).unwrap_or(best)
            }
            // Mostly the best is allowed; only else the others are asked.
            _ if allowed(best as u32) => best,
            _ => best_allowed(logits, allowed),
        };
        (id as u32, logits[id] - top - sum_of_exp(logits, top).ln())
    }

    fn draw(&mut self, logits: &[f32], top: f32, temperature: f32) -> Option<usize> {
        let weight = |l: f32| f64::from(((l - top) / temperature).exp());
        let mut left = self.uniform() * logits.iter().map(|&l| weight(l)).sum::<f64>();
        logits.iter().position(|&l| {
            left -= weight(l);
            left < 0.0
        })
    }

    /// From 0 to 1, 1 excluded.
    fn uniform(&mut self) -> f64 {
        let number = splitmix::mixed(self.state);
        self.state = splitmix::next(self.state);
        (number >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// The logit of what must not be chosen.
const NEVER: f32 = f32::NEG_INFINITY;

/// The allowed id with the largest logit, the lowest among equals.
fn best_allowed(logits: &[f32], allowed: impl Fn(u32) -> bool) -> usize {
    let (mut best, mut top) = (0, NEVER);
    for (id, logit) in logits.iter().enumerate() {
        if *logit > top && allowed(id as u32) {
            (best, top) = (id, *logit);
        }
    }
    best
}

/// The index of the largest value, the first among equals; NaN is smaller than everything.
fn argmax(values: &[f32]) -> usize {
    // The largest first, many at a time; then where it is.
    let mut tops = [f32::NEG_INFINITY; 32];
    let (chunks, rest) = values.as_chunks::<32>();
    for chunk in chunks {
        for (top, value) in tops.iter_mut().zip(chunk) {
            *top = if value > top { *value } else { *top };
        }
    }
    let top = tops.iter().chain(rest).copied().fold(f32::NEG_INFINITY, f32::max);
    values.iter().position(|value| *value == top).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn any(_: u32) -> bool {
        true
    }

    #[test]
    fn only_allowed_ids_are_chosen_and_their_probability_is_the_models_own() {
        let logits = [1.0, 4.0, 2.0, 3.0];
        let total: f32 = logits.iter().map(|l: &f32| l.exp()).sum();
        for sampling in [Sampling::Greedy, Sampling::Temperature { temperature: 0.01, seed: 5 }] {
            let (id, logprob) = Sampler::new(&sampling, 0).sample(&logits, |id| id % 2 == 0);
            assert_eq!(id, 2, "{sampling:?}");
            assert!((logprob - (2.0 - total.ln())).abs() < 1e-5, "{logprob}");
        }
        let mut sampler = Sampler::new(&Sampling::Temperature { temperature: 9.0, seed: 5 }, 0);
        assert!((0..500).all(|_| sampler.sample(&logits, |id| id != 1).0 != 1));
    }

    #[test]
    fn greedy_takes_the_first_best_and_tells_its_probability() {
        let (id, logprob) =
            Sampler::new(&Sampling::Greedy, 0).sample(&[0.0, 1.0, 1.0, f32::NEG_INFINITY], any);
        assert_eq!(id, 1);
        let expected = (1f64.exp() / (1.0 + 2.0 * 1f64.exp())).ln() as f32;
        assert!((logprob - expected).abs() < 1e-6, "{logprob} {expected}");
    }

    #[test]
    fn the_best_is_found_wherever_it_stands() {
        for length in [1, 31, 32, 33, 64, 100] {
            for at in 0..length {
                let mut logits = vec![-1.0; length];
                logits[0] = f32::NAN;
                logits[at] = 2.0;
                logits[length - 1] = 2.0;
                assert_eq!(argmax(&logits), at, "{length}");
            }
        }
        assert_eq!(argmax(&[f32::NAN; 40]), 0);
    }

    #[test]
    fn draws_follow_the_probabilities_and_the_seed() {
        let logits = [0.0, 3f32.ln(), f32::NEG_INFINITY];
        let draw = |seed| {
            let mut sampler = Sampler::new(&Sampling::Temperature { temperature: 1.0, seed }, 0);
            (0..4000).map(|_| sampler.sample(&logits, any).0).collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        let ones = draw(7).iter().filter(|&&id| id == 1).count();
        assert!((2850..3150).contains(&ones), "{ones} of 4000, expected 3000");
        assert!(!draw(7).contains(&2));
    }

    #[test]
    fn a_low_temperature_is_greedy() {
        let mut sampler = Sampler::new(&Sampling::Temperature { temperature: 0.01, seed: 1 }, 3);
        assert!((0..100).all(|_| sampler.sample(&[0.0, 1.0, 0.5], any).0 == 1));
    }
}
