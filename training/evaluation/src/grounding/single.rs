//! Grounding with one segment an answer, as VTimeLLM measures it, for figures beside published ones.
//!
//! The answer's first `12 to 34` or `12 and 34` counts, two digits each, wherever they stand (`100 to 200` holds
//! `00 to 20`); it is compared in hundredths of the video. The union is the hull of both spans, and the tIoU is rounded
//! to two decimals before it is averaged and compared. No such words: 0.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::THRESHOLDS;
use crate::{EvaluationError, task_lines};

/// The first span that an answer names, in hundredths of the video; its end may lie before its start.
pub fn first_span(answer: &str) -> Option<(u8, u8)> {
    let bytes = answer.as_bytes();
    (0..bytes.len()).find_map(|at| span(&bytes[at..]))
}

/// `12 to 34` or `12 and 34` at the beginning.
fn span(text: &[u8]) -> Option<(u8, u8)> {
    let (start, rest) = two_digits(text)?;
    let rest = rest.strip_prefix(b" to ").or_else(|| rest.strip_prefix(b" and "))?;
    Some((start, two_digits(rest)?.0))
}

fn two_digits(text: &[u8]) -> Option<(u8, &[u8])> {
    let (digits, rest) = text.split_first_chunk::<2>()?;
    digits.iter().all(u8::is_ascii_digit).then(|| ((digits[0] - b'0') * 10 + digits[1] - b'0', rest))
}

/// tIoU of an answer with the truth (`[start, end]` as fractions of the video), rounded to two decimals.
pub fn iou(answer: &str, truth: [f64; 2]) -> f64 {
    let Some((start, end)) = first_span(answer) else { return 0.0 };
    let (start, end) = (f64::from(start) / 100.0, f64::from(end) / 100.0);
    let shared = (end.min(truth[1]) - start.max(truth[0])).max(0.0);
    let hull = end.max(truth[1]) - start.min(truth[0]);
    // An answer that ends before it starts can leave a hull of nothing.
    if hull == 0.0 { 0.0 } else { two_decimals(shared / hull) }
}

/// Rounded half to even, by the exact value of the number.
fn two_decimals(value: f64) -> f64 {
    // Only eighths lie exactly between two hundredths.
    if (value * 8.0).fract() == 0.0 {
        return (value * 100.0).round_ties_even() / 100.0;
    }
    format!("{value:.2}").parse().unwrap_or(value)
}

/// Figures in percent.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Single {
    /// Answers.
    pub answers: usize,
    /// Of them, those that name no span.
    pub unparsed: usize,
    /// Mean tIoU.
    #[serde(rename = "mIoU")]
    pub miou: f64,
    /// Share of answers with a tIoU of at least 0.3.
    #[serde(rename = "R1@0.3")]
    pub low: f64,
    /// ... 0.5.
    #[serde(rename = "R1@0.5")]
    pub middle: f64,
    /// ... 0.7.
    #[serde(rename = "R1@0.7")]
    pub high: f64,
}

/// Measures answers, each with its truth; all 0 without any.
pub fn measure<'a>(answers: impl Iterator<Item = (&'a str, [f64; 2])>) -> Single {
    let answers: Vec<(&str, [f64; 2])> = answers.collect();
    let ious: Vec<f64> = answers.iter().map(|(answer, truth)| iou(answer, *truth)).collect();
    let percent = |sum: f64| sum / ious.len().max(1) as f64 * 100.0;
    let [low, middle, high] =
        THRESHOLDS.map(|threshold| percent(ious.iter().filter(|iou| **iou >= threshold).count() as f64));
    let unparsed = answers.iter().filter(|(answer, _)| first_span(answer).is_none()).count();
    Single { answers: ious.len(), unparsed, miou: percent(ious.iter().sum()), low, middle, high }
}

/// A line of a log of answers: `{"task": "grounding", "answer": "...", "gt": [0.1, 0.4]}`, truth in fractions.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Logged {
    /// What the model said.
    pub answer: String,
    /// The truth as fractions of the video.
    pub gt: [f64; 2],
}

/// The grounding lines of a log; lines of other tasks are left out.
///
/// # Errors
/// When the file cannot be read, or a line is no JSON or lacks a field.
pub fn read_log(path: &Path) -> Result<Vec<Logged>, EvaluationError> {
    task_lines(path, "grounding")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_span_counts_wherever_it_stands() {
        assert_eq!(first_span("From 10 to 35, and from 50 to 60."), Some((10, 35)));
        assert_eq!(first_span("100 to 200"), Some((0, 20)));
        assert_eq!(first_span("12 and 34"), Some((12, 34)));
        for none in ["from 5 to 10", "12  to 34", "12 To 34", "é12", "", "12 to 3"] {
            assert_eq!(first_span(none), None, "{none}");
        }
    }

    #[test]
    fn eighths_round_to_the_even_hundredth() {
        let cases = [(0.125, 0.12), (0.375, 0.38), (0.625, 0.62), (0.875, 0.88), (0.285, 0.28), (1.0, 1.0)];
        for (value, rounded) in cases {
            assert_eq!(two_decimals(value), rounded, "{value}");
        }
    }
}
