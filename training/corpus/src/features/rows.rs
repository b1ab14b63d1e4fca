//! Rows of features in memory.

use half::f16;

/// Features of one modality of one file, one row for each slot.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rows {
    /// Row by row.
    pub values: Vec<f32>,
    /// Values of one row.
    pub dim: usize,
}

impl Rows {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.values.len().checked_div(self.dim).unwrap_or(0)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One of them. Panics where there is none at `index`.
    pub fn row(&self, index: usize) -> &[f32] {
        &self.values[index * self.dim..][..self.dim]
    }
}

/// Little-endian numbers of 32 bits.
pub(super) fn singles(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

/// Little-endian numbers of 16 bits.
pub(super) fn halves(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks::<2>().0.iter().map(|bytes| f16::from_le_bytes(*bytes).to_f32()).collect()
}
