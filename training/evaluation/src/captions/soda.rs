//! SODA_c of one video: the best matching in order of time.

use super::hull_iou;
use super::tools::Meteor;
use crate::EvaluationError;
use crate::segment::Segment;

/// F1 of the greatest sum of tIoU times METEOR over pairs in order of time; 0 where either side has no caption.
///
/// `found` and `truth` are tokenized and in order of start.
pub(super) fn f1(
    found: &[(Segment, String)],
    truth: &[(Segment, String)],
    meteor: &mut Meteor,
) -> Result<f64, EvaluationError> {
    if found.is_empty() || truth.is_empty() {
        return Ok(0.0);
    }
    let mut scores = Vec::with_capacity(truth.len());
    for (when, hypothesis) in truth {
        let pairs: Vec<(&str, &str)> =
            found.iter().map(|(_, said)| (hypothesis.as_str(), said.as_str())).collect();
        let meteors = meteor.each(&pairs)?;
        scores.push(
            found.iter().zip(meteors).map(|((said, _), score)| hull_iou(*said, *when) * score).collect(),
        );
    }
    let best = best_in_order(&scores);
    let (precision, recall) = (best / found.len() as f64, best / truth.len() as f64);
    Ok(if best > 0.0 { 2.0 * precision * recall / (precision + recall) } else { 0.0 })
}

/// The greatest sum of `scores[row][column]` over pairs whose rows and columns both rise.
fn best_in_order(scores: &[Vec<f64>]) -> f64 {
    let columns = scores.first().map_or(0, Vec::len);
    let mut above = vec![0.0; columns + 1];
    for row in scores {
        let mut best = vec![0.0; columns + 1];
        for (column, score) in row.iter().enumerate() {
            best[column + 1] = f64::max(above[column] + score, f64::max(above[column + 1], best[column]));
        }
        above = best;
    }
    above[columns]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_that_cross_do_not_count_both() {
        assert_eq!(best_in_order(&[vec![0.1, 0.9], vec![0.8, 0.2]]), 0.9);
        assert!((best_in_order(&[vec![0.9, 0.1], vec![0.2, 0.8]]) - 1.7).abs() < 1e-12);
        assert_eq!(best_in_order(&[]), 0.0);
    }
}
