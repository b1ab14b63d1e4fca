//! How sure the LLM was of its words.

use std::ops::Range;

use avicuna_models::answer::AnswerToken;

/// The geometric mean probability, 0..=1, of the tokens that spell any of `ranges` (bytes of the answer); 0 when there
/// is none, or a probability is no number.
pub(super) fn of<'a>(tokens: &[AnswerToken], ranges: impl Iterator<Item = &'a Range<usize>> + Clone) -> f64 {
    let spells = |token: &&AnswerToken| ranges.clone().any(|range| touches(&token.bytes, range));
    let (sum, count) = tokens
        .iter()
        .filter(spells)
        .fold((0.0, 0u32), |(sum, count), token| (sum + f64::from(token.logprob), count + 1));
    let mean = sum / f64::from(count);
    if mean.is_nan() { 0.0 } else { mean.exp().clamp(0.0, 1.0) }
}

/// A token without bytes belongs to the character that its successor completes.
fn touches(token: &Range<usize>, range: &Range<usize>) -> bool {
    if token.is_empty() {
        range.contains(&token.start)
    } else {
        token.start < range.end && range.start < token.end
    }
}
