//! Nearest-neighbour grouping: a row and those that are most like it, then the same with what is left.
//!
//! Exact grouping would take `O(n^2)`; so the rows are first cut into blocks by [`super::bisect`], and grouped within each.
//! Rows on the outskirts begin: those in the middle find neighbours among the last ones too.

use rayon::prelude::*;

use super::bisect::{self, Block};
use super::{Bounds, Embeddings, even_sizes};

/// Rows of a block, about.
const ROWS: usize = 8192;

/// Groups all rows into `count` clusters.
pub(super) fn partition(embeddings: &Embeddings, count: usize, bounds: Bounds, seed: u64) -> Vec<Vec<u32>> {
    let blocks = bisect::blocks(embeddings, count, bounds, seed, (ROWS / bounds.max).max(1));
    blocks.into_par_iter().flat_map_iter(|block| group(embeddings, block)).collect()
}

fn group(embeddings: &Embeddings, block: Block) -> Vec<Vec<u32>> {
    let mean: Vec<f32> = embeddings.sum(&block.rows).iter().map(|value| *value as f32).collect();
    let centrality = embeddings.project(&block.rows, &mean);
    let mut keyed: Vec<(f32, u32)> = centrality.into_iter().zip(block.rows.iter().copied()).collect();
    keyed.sort_unstable_by(by_value_then_row);
    let mut left: Vec<u32> = keyed.into_iter().map(|(_, row)| row).collect();
    let mut clusters = Vec::with_capacity(block.clusters);
    for size in even_sizes(block.rows.len(), block.clusters) {
        let first = embeddings.row(left[0]);
        let likeness = embeddings.project(&left[1..], first);
        // The most alike come first; what is left keeps its order.
        let mut near: Vec<(f32, u32)> =
            likeness.into_iter().map(|value| -value).zip(left[1..].iter().copied()).collect();
        if size - 1 < near.len() {
            near.select_nth_unstable_by(size - 1, by_value_then_row);
        }
        let mut cluster: Vec<u32> = near[..size - 1].iter().map(|(_, row)| *row).collect();
        cluster.push(left[0]);
        cluster.sort_unstable();
        left.retain(|row| cluster.binary_search(row).is_err());
        clusters.push(cluster);
    }
    clusters
}

fn by_value_then_row(a: &(f32, u32), b: &(f32, u32)) -> std::cmp::Ordering {
    a.0.total_cmp(&b.0).then(a.1.cmp(&b.1))
}
