//! Unit vectors, a row for each text.

use rayon::prelude::*;

use super::ClusterError;

/// Rows of `dim` values, each of length 1, so that a dot product is a cosine.
#[derive(Debug, Clone, PartialEq)]
pub struct Embeddings {
    values: Vec<f32>,
    dim: usize,
}

/// Rows that are added up together. Fixed, so that sums do not depend on the number of threads.
const CHUNK: usize = 4096;

impl Embeddings {
    /// Takes rows of any length and makes them units. `values` is `[rows, dim]`.
    pub fn new(mut values: Vec<f32>, dim: usize) -> Result<Self, ClusterError> {
        let bad = values.par_chunks_mut(dim).enumerate().find_map_first(|(row, values)| {
            let length = dot(values, values).sqrt();
            if !(length.is_finite() && length > 0.0) {
                return Some(ClusterError::Embedding { what: "caption", row, length });
            }
            values.iter_mut().for_each(|value| *value /= length);
            None
        });
        match bad {
            Some(error) => Err(error),
            None => Ok(Self { values, dim }),
        }
    }

    /// How many rows.
    pub fn len(&self) -> usize {
        self.values.len() / self.dim
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Values of a row.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// One row.
    pub fn row(&self, row: u32) -> &[f32] {
        let start = row as usize * self.dim;
        &self.values[start..start + self.dim]
    }

    /// All rows, `[rows, dim]`.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The sum of some rows.
    pub(super) fn sum(&self, rows: &[u32]) -> Vec<f64> {
        let chunk = |rows: &[u32]| {
            let mut sum = vec![0.0; self.dim];
            for row in rows {
                sum.iter_mut().zip(self.row(*row)).for_each(|(sum, value)| *sum += f64::from(*value));
            }
            sum
        };
        if rows.len() <= CHUNK {
            return chunk(rows);
        }
        let sums: Vec<Vec<f64>> = rows.par_chunks(CHUNK).map(chunk).collect();
        let mut total = vec![0.0; self.dim];
        for sum in sums {
            total.iter_mut().zip(sum).for_each(|(total, value)| *total += value);
        }
        total
    }

    /// The dot product of each of `rows` with `direction`.
    pub(super) fn project(&self, rows: &[u32], direction: &[f32]) -> Vec<f32> {
        let one = |row: &u32| dot(self.row(*row), direction);
        if rows.len() <= CHUNK {
            return rows.iter().map(one).collect();
        }
        rows.par_iter().with_min_len(CHUNK / 4).map(one).collect()
    }
}

/// The dot product, in eight sums that the processor adds up side by side.
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 8;
    let mut sums = [0f32; LANES];
    let (a, b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest: f32 = a.remainder().iter().zip(b.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in a.zip(b) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum::<f32>() + rest
}

/// The length of a vector.
pub(super) fn norm(vector: &[f64]) -> f64 {
    vector.iter().map(|value| value * value).sum::<f64>().sqrt()
}
