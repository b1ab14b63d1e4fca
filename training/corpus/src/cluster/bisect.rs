//! Bisecting spherical k-means with bounds on the sizes.
//!
//! A set that is to become `m` clusters is cut in two, which are to become `m/2` and the rest. Which row goes where is decided
//! by its projection on the line between the two means; where the cut lies, by the bounds: each side must be able to become
//! its clusters. Within that, the cut is where k-means has it. Time is `O(n log n)`; memory, beside the rows, is a number for
//! each row.

use rand::RngExt;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;

use super::embeddings::norm;
use super::{Bounds, Embeddings};
use crate::seeded;

/// The means of a large set are found on so many of its rows.
const SAMPLE: usize = 16_384;

/// Beginnings that are tried for each cut; the best one is taken.
const STARTS: usize = 3;

/// Rounds of 2-means; it rarely needs more, and an unfinished one is still a cut.
const ROUNDS: usize = 12;

/// Sets below this are not worth a thread of their own.
const ALONE: usize = 2048;

/// Cuts all rows into `count` clusters.
pub(super) fn partition(embeddings: &Embeddings, count: usize, bounds: Bounds, seed: u64) -> Vec<Vec<u32>> {
    blocks(embeddings, count, bounds, seed, 1).into_iter().map(|block| block.rows).collect()
}

/// Rows that are to become so many clusters, and can.
pub(super) struct Block {
    pub(super) rows: Vec<u32>,
    pub(super) clusters: usize,
}

/// Cuts all rows until no block is to become more than `most` clusters.
pub(super) fn blocks(
    embeddings: &Embeddings,
    count: usize,
    bounds: Bounds,
    seed: u64,
    most: usize,
) -> Vec<Block> {
    let mut rows: Vec<u32> = (0..embeddings.len() as u32).collect();
    Cutter { embeddings, bounds, seed, most }.split(&mut rows, count, 1)
}

struct Cutter<'a> {
    embeddings: &'a Embeddings,
    bounds: Bounds,
    seed: u64,
    most: usize,
}

impl Cutter<'_> {
    /// `node` numbers the cuts as in a heap, so that each has random numbers of its own.
    fn split(&self, rows: &mut [u32], count: usize, node: u128) -> Vec<Block> {
        if count <= self.most {
            return vec![Block { rows: rows.to_vec(), clusters: count }];
        }
        let (first, second) = (count / 2, count - count / 2);
        let left = self.cut(rows, first, second, node);
        let alone = rows.len() < ALONE;
        let (left, right) = rows.split_at_mut(left);
        let mut one = || self.split(left, first, 2 * node);
        let mut other = || self.split(right, second, 2 * node + 1);
        let (mut blocks, more) = if alone { (one(), other()) } else { rayon::join(one, other) };
        blocks.extend(more);
        blocks
    }

    /// Puts those that become the `first` clusters before those that become the `second`; returns how many they are.
    fn cut(&self, rows: &mut [u32], first: usize, second: usize, node: u128) -> usize {
        let mut rng = seeded::rng(self.seed, &format!("clusters/bisect/{node}"));
        let sampled: Vec<u32>;
        let sample: &[u32] = if rows.len() > SAMPLE {
            sampled = rows.sample(&mut rng, SAMPLE).copied().collect();
            &sampled
        } else {
            rows
        };
        let share = |size: usize| size * sample.len() / rows.len();
        let allowed = self.allowed(rows.len(), first, second);
        let (least, most) = (share(allowed.0).max(1), share(allowed.1).min(sample.len() - 1).max(1));
        let (mut best, mut direction) = (f64::NEG_INFINITY, vec![0.0; self.embeddings.dim()]);
        for _ in 0..STARTS {
            let (cohesion, found) = self.two_means(sample, (least.min(most), most), &mut rng);
            if cohesion > best {
                (best, direction) = (cohesion, found);
            }
        }
        let projections = self.embeddings.project(rows, &direction);
        let mut keyed: Vec<(f32, u32)> = projections.into_iter().zip(rows.iter().copied()).collect();
        let nearer = keyed.iter().filter(|(value, _)| *value < 0.0).count();
        let left = nearer.clamp(allowed.0, allowed.1);
        // Equal projections are told apart by their rows: the cut does not depend on the order before.
        keyed.select_nth_unstable_by(left, |a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let (left_half, right_half) = keyed.split_at_mut(left);
        // A fixed order within each side, whatever the selection left.
        left_half.sort_unstable_by_key(|(_, row)| *row);
        right_half.sort_unstable_by_key(|(_, row)| *row);
        rows.iter_mut().zip(keyed).for_each(|(row, (_, sorted))| *row = sorted);
        left
    }

    /// How many of `rows` may go to the first side.
    fn allowed(&self, rows: usize, first: usize, second: usize) -> (usize, usize) {
        let Bounds { min, max } = self.bounds;
        let least = (first * min).max(rows.saturating_sub(second * max));
        let most = (first * max).min(rows - second * min);
        (least, most)
    }

    /// Two means of `sample`: how well they do, which is the summed lengths of both sides' sums, and the direction from the
    /// one to the other. A row whose dot product with that is negative is nearer to the first.
    fn two_means(&self, sample: &[u32], allowed: (usize, usize), rng: &mut ChaCha8Rng) -> (f64, Vec<f32>) {
        let embeddings = self.embeddings;
        // From a row to the one that is least like it.
        let start = embeddings.row(sample[rng.random_range(0..sample.len())]);
        let likeness = embeddings.project(sample, start);
        let far = likeness.iter().zip(sample).min_by(|a, b| a.0.total_cmp(b.0));
        let far = embeddings.row(far.map_or(sample[0], |(_, row)| *row));
        let mut direction: Vec<f32> = far.iter().zip(start).map(|(far, start)| far - start).collect();
        let mut best = f64::NEG_INFINITY;
        for _ in 0..ROUNDS {
            let projections = embeddings.project(sample, &direction);
            let mut keyed: Vec<(f32, u32)> = projections.into_iter().zip(sample.iter().copied()).collect();
            keyed.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            let nearer = keyed.partition_point(|(value, _)| *value < 0.0);
            let left = nearer.clamp(allowed.0, allowed.1);
            let order: Vec<u32> = keyed.into_iter().map(|(_, row)| row).collect();
            let (one, other) = (embeddings.sum(&order[..left]), embeddings.sum(&order[left..]));
            let (one_length, other_length) = (norm(&one), norm(&other));
            if one_length + other_length <= best {
                break;
            }
            best = one_length + other_length;
            // Opposite rows may add up to nothing, which has no direction.
            let (a, b) = (one_length.max(f64::MIN_POSITIVE), other_length.max(f64::MIN_POSITIVE));
            direction = one.iter().zip(&other).map(|(one, other)| (other / b - one / a) as f32).collect();
        }
        (best, direction)
    }
}
