//! Reading what stands before the first token of an answer: as many sequences in one pass as fit.

use std::sync::Arc;

use candle_core::Tensor;

use super::decoder::{Decoder, Output, Segment};
use super::error::LlmError;

/// Rows of one prefill pass: enough to keep the matrix products busy, few enough to keep their results in cache.
const PREFILL_ROWS: usize = 1024;

/// The keys and values of every prefix; `None` for an empty one or one that nobody asks about.
pub(super) fn prefill<D: Decoder>(
    decoder: &D,
    prefixes: &[Tensor],
    questions: &[Vec<(Vec<u32>, usize)>],
) -> Result<Vec<Option<Arc<D::Cache>>>, LlmError> {
    let mut caches: Vec<Option<D::Cache>> = Vec::with_capacity(prefixes.len());
    let mut wanted = Vec::new();
    for (window, (prefix, questions)) in prefixes.iter().zip(questions).enumerate() {
        let used = prefix.dims()[0] > 0 && !questions.is_empty();
        caches.push(used.then(|| decoder.cache(None)));
        if used {
            wanted.push((window, prefix));
        }
    }
    let mut open: Vec<(&mut D::Cache, &Tensor)> =
        caches.iter_mut().flatten().zip(wanted.iter().map(|(_, prefix)| *prefix)).collect();
    let mut rest = open.as_mut_slice();
    while !rest.is_empty() {
        let lengths: Vec<usize> = rest.iter().map(|(_, prefix)| prefix.dims()[0]).collect();
        let count = fitting_lengths(&lengths);
        let (now, later) = rest.split_at_mut(count);
        let rows: Vec<&Tensor> = now.iter().map(|(_, prefix)| *prefix).collect();
        let rows = Tensor::cat(&rows, 0)?;
        let mut segments: Vec<_> = now
            .iter_mut()
            .zip(&lengths)
            .map(|((cache, _), &rows)| Segment { cache: &mut **cache, rows })
            .collect();
        decoder.forward(&rows, &mut segments, Output::Nothing)?;
        rest = later;
    }
    Ok(caches.into_iter().map(|cache| cache.map(Arc::new)).collect())
}

/// How many of the leading texts go into one pass.
pub(super) fn fitting(texts: &[&[u32]]) -> usize {
    fitting_lengths(&texts.iter().map(|text| text.len()).collect::<Vec<_>>())
}

/// How many of the leading sequences go into one pass: at least one, at most `PREFILL_ROWS` rows.
fn fitting_lengths(lengths: &[usize]) -> usize {
    let mut rows = 0;
    let fit = lengths.iter().take_while(|&&length| {
        rows += length;
        rows <= PREFILL_ROWS
    });
    fit.count().max(1)
}
