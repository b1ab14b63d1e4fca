//! Random numbers that belong to one item of a data set.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use sha2::{Digest, Sha256};

/// The generator of `item`: seeded with the SHA-256 of the seed and the item's name.
///
/// What is drawn for an item depends on nothing else: not on the order of the work, not on threads, not on shards.
pub fn rng(seed: u64, item: &str) -> ChaCha8Rng {
    let mut hasher = Sha256::new();
    hasher.update(seed.to_le_bytes());
    hasher.update(item.as_bytes());
    ChaCha8Rng::from_seed(hasher.finalize().into())
}

#[cfg(test)]
mod tests {
    use rand::Rng;

    use super::*;

    #[test]
    fn seed_and_item_decide() {
        let draw = |seed, item| rng(seed, item).next_u64();
        assert_eq!(draw(7, "g1/0"), draw(7, "g1/0"));
        assert_ne!(draw(7, "g1/0"), draw(8, "g1/0"));
        assert_ne!(draw(7, "g1/0"), draw(7, "g1/1"));
    }
}
