//! What the generation loop needs of a LLaMA decoder, whichever way it computes.

use std::sync::Arc;

use candle_core::Tensor;

use super::config::Config;
use super::error::LlmError;

/// A LLaMA decoder that reads the rows of several sequences in one pass.
///
/// The rows are packed: those of the first sequence, then those of the second, ..., without padding. Linear layers see one
/// `[rows, hidden]` matrix; only attention knows which row belongs to whom.
pub(crate) trait Decoder: Send + Sync {
    /// Keys and values of one sequence.
    type Cache: Send + Sync;

    /// Its dimensions.
    fn config(&self) -> &Config;

    /// Bytes that the weights take in memory, the embedding table included.
    fn weight_bytes(&self) -> usize;

    /// The embeddings of `ids`: `[ids, hidden]`, f32.
    fn embed(&self, ids: &[u32]) -> Result<Tensor, LlmError>;

    /// A sequence that starts empty, or goes on after `prefix`, which it shares with others.
    fn cache(&self, prefix: Option<&Arc<Self::Cache>>) -> Self::Cache;

    /// Forgets the last `rows` rows that a sequence has read, which are its own.
    fn forget(&self, cache: &mut Self::Cache, rows: usize);

    /// Reads `rows [n, hidden]`, `n` being the sum of the segments' rows, appends to each segment's cache and returns the
    /// logits of what `output` names.
    fn forward(
        &self,
        rows: &Tensor,
        segments: &mut [Segment<'_, Self::Cache>],
        output: Output<'_>,
    ) -> Result<Option<Tensor>, LlmError>;
}

/// The part of the packed rows that belongs to one sequence.
pub(crate) struct Segment<'a, Cache> {
    /// What the sequence has read before; these rows are appended.
    pub cache: &'a mut Cache,
    /// How many rows, at least one.
    pub rows: usize,
}

/// Which rows' logits a pass is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Output<'a> {
    /// None: the pass only fills the caches.
    Nothing,
    /// So many last rows of each segment: `[their sum, vocab]`.
    Ends(&'a [usize]),
    /// All rows: `[n, vocab]`.
    All,
}

impl Output<'_> {
    /// The indices of the packed rows that it names, for segments of `lengths` rows.
    pub(crate) fn rows(self, lengths: impl Iterator<Item = usize>) -> Vec<u32> {
        let ends = lengths.scan(0, |end, rows| {
            *end += rows as u32;
            Some(*end)
        });
        match self {
            Self::Nothing => Vec::new(),
            Self::Ends(wanted) => ends.zip(wanted).flat_map(|(end, rows)| end - *rows as u32..end).collect(),
            Self::All => (0..ends.last().unwrap_or(0)).collect(),
        }
    }
}
