//! What training learns from: samples, drawn by number with randomness of their own.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use sha2::{Digest, Sha256};

use super::TrainError;

/// One thing to learn.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Sample {
    pub(super) id: String,
    /// For each visual token its features; `None`: there is none, and the token is left out.
    pub(super) visual: Vec<Option<Vec<f32>>>,
    pub(super) audio: Vec<Option<Vec<f32>>>,
    /// Conversations about it, each of questions and answers in turn. Several are asked side by side.
    pub(super) conversations: Vec<Vec<String>>,
    /// What is there at each visual token, in words, as far as the data says; empty: nothing, or nobody knows.
    pub(super) seen: Vec<Vec<String>>,
    pub(super) heard: Vec<Vec<String>>,
}

/// Samples by number.
pub(super) trait Source {
    /// How many an epoch has.
    fn len(&self) -> usize;

    /// The name of a sample.
    fn id(&self, index: usize) -> String;

    /// A sample; `random` is its own in this epoch.
    fn sample(&self, index: usize, random: &mut ChaCha8Rng) -> Result<Sample, TrainError>;
}

/// Several sources, one after the other.
pub(super) struct Joined(pub(super) Vec<Box<dyn Source + Send + Sync>>);

impl Joined {
    fn find(&self, mut index: usize) -> (&(dyn Source + Send + Sync), usize) {
        let mut last = None;
        for source in &self.0 {
            if index < source.len() {
                return (source.as_ref(), index);
            }
            index -= source.len();
            last = Some(source.as_ref());
        }
        (last.expect("a stage has at least one folder"), index)
    }
}

impl Source for Joined {
    fn len(&self) -> usize {
        self.0.iter().map(|source| source.len()).sum()
    }

    fn id(&self, index: usize) -> String {
        let (source, index) = self.find(index);
        source.id(index)
    }

    fn sample(&self, index: usize, random: &mut ChaCha8Rng) -> Result<Sample, TrainError> {
        let (source, index) = self.find(index);
        source.sample(index, random)
    }
}

/// Randomness of its own for whatever `names` name: the same seed and names, the same numbers.
pub(super) fn random(seed: u64, names: &[&str]) -> ChaCha8Rng {
    let mut hash = Sha256::new_with_prefix(seed.to_le_bytes());
    for name in names {
        hash.update((name.len() as u64).to_le_bytes());
        hash.update(name.as_bytes());
    }
    ChaCha8Rng::from_seed(hash.finalize().into())
}
