//! How good clusters are: how alike their members are, and how unlike others.

use std::collections::BTreeMap;

use rayon::prelude::*;
use serde::Serialize;

use super::Embeddings;
use super::embeddings::{dot, norm};

/// Numbers about a partition. Similarities are cosines.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Quality {
    /// Clusters.
    pub clusters: usize,
    /// Rows.
    pub rows: usize,
    /// The mean similarity of two members of one cluster.
    pub within: f64,
    /// The mean similarity of two rows of different clusters.
    pub between: f64,
    /// How often a row is more like the mean of its own cluster (without itself) than of any other, of those sampled.
    pub at_home: f64,
    /// Clusters by their sizes.
    pub sizes: BTreeMap<usize, usize>,
    /// The mean similarity of members, for each cluster that has two or more.
    #[serde(skip)]
    pub cohesion: Vec<f64>,
}

/// Rows that [`Quality::at_home`] looks at, and clusters that it compares them with: exact for small sets.
const LOOKED_AT: usize = 2000;

/// Measures a partition. All but `at_home`, which samples large sets, is exact.
pub fn measure(embeddings: &Embeddings, clusters: &[Vec<u32>]) -> Quality {
    let sums: Vec<Vec<f64>> = clusters.par_iter().map(|rows| embeddings.sum(rows)).collect();
    // Of unit rows, the square of the sum is the number of rows and the similarities of all ordered pairs.
    let (mut pairs_within, mut within) = (0.0, 0.0);
    let (mut rows, mut total) = (0.0, vec![0.0; embeddings.dim()]);
    let mut cohesion = Vec::new();
    let mut sizes = BTreeMap::new();
    for (members, sum) in clusters.iter().zip(&sums) {
        let size = members.len() as f64;
        let similarity = norm(sum).powi(2) - size;
        let pairs = size * (size - 1.0);
        within += similarity;
        pairs_within += pairs;
        rows += size;
        if pairs > 0.0 {
            cohesion.push(similarity / pairs);
        }
        total.iter_mut().zip(sum).for_each(|(total, value)| *total += value);
        *sizes.entry(members.len()).or_default() += 1;
    }
    let pairs_between = rows * (rows - 1.0) - pairs_within;
    let between = norm(&total).powi(2) - rows - within;
    let mean = |sum: f64, count: f64| if count > 0.0 { sum / count } else { 0.0 };
    Quality {
        clusters: clusters.len(),
        rows: rows as usize,
        within: mean(within, pairs_within),
        between: mean(between, pairs_between),
        at_home: at_home(embeddings, clusters, &sums),
        sizes,
        cohesion,
    }
}

fn at_home(embeddings: &Embeddings, clusters: &[Vec<u32>], sums: &[Vec<f64>]) -> f64 {
    let members: Vec<(usize, u32)> = clusters
        .iter()
        .enumerate()
        .flat_map(|(cluster, rows)| rows.iter().map(move |row| (cluster, *row)))
        .collect();
    let every = |count: usize| count.div_ceil(LOOKED_AT).max(1);
    let means: Vec<Vec<f32>> = sums
        .iter()
        .map(|sum| {
            let length = norm(sum).max(f64::MIN_POSITIVE);
            sum.iter().map(|value| (value / length) as f32).collect()
        })
        .collect();
    let looked: Vec<_> = members.iter().step_by(every(members.len())).collect();
    let others: Vec<usize> = (0..clusters.len()).step_by(every(clusters.len())).collect();
    let home = looked.par_iter().filter(|(own, row)| {
        let row = embeddings.row(*row);
        let rest: Vec<f64> = sums[*own].iter().zip(row).map(|(sum, value)| sum - f64::from(*value)).collect();
        let length = norm(&rest);
        let product: f64 = rest.iter().zip(row).map(|(rest, value)| rest * f64::from(*value)).sum();
        let near = if length > 0.0 { product / length } else { 0.0 };
        others.iter().all(|other| other == own || f64::from(dot(&means[*other], row)) < near)
    });
    home.count() as f64 / looked.len().max(1) as f64
}

/// The rows that are most like `row`, the nearest first, without itself: `(similarity, row)`.
pub fn nearest(embeddings: &Embeddings, row: u32, count: usize) -> Vec<(f32, u32)> {
    let rows: Vec<u32> = (0..embeddings.len() as u32).filter(|other| *other != row).collect();
    let likeness = embeddings.project(&rows, embeddings.row(row));
    let mut found: Vec<(f32, u32)> = likeness.into_iter().zip(rows).collect();
    found.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    found.truncate(count);
    found
}
