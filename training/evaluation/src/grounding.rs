//! When does this happen? Found segments of one query against its true ones.
//!
//! For queries whose event happens, all figures 0..=1:
//!
//! - **union mIoU**: intersection over union of the time that all found and all true segments cover, by interval
//!   arithmetic; the mean over the queries.
//! - **F1** at a tIoU threshold: found and true segments are matched one to one, as many pairs as possible
//!   ([`segment::matches`]); `2 * pairs / (found + true)`, both sums over all queries. `mean_f1` is the mean over the
//!   queries instead.
//! - **count F1**: `2 * sum(min(found, true)) / sum(found + true)` of the numbers of segments, whatever their times.
//! - **R@1** at a threshold: the share of queries whose surest segment (ties: the earliest) has that tIoU with a true one.
//! - **modality**: of the segments matched at 0.5, the share whose evidence (seen, heard, both) is told rightly.
//!
//! For queries whose event does not happen: **absence accuracy**, the share with nothing found. They are part of no other
//! figure.

pub mod single;

use avicuna_pipeline::stream::Modality;
use serde::Serialize;

use super::segment::{self, Segment};

/// A segment found for a query.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Located {
    /// When.
    pub segment: Segment,
    /// Higher is surer.
    pub score: f64,
    /// How it was noticed, where that is told.
    pub modality: Option<Modality>,
}

/// A query with its truth and what was found.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Answered {
    /// When it happens, and how it can be noticed where that is known.
    pub truth: Vec<(Segment, Option<Modality>)>,
    /// What was found.
    pub found: Vec<Located>,
}

/// One figure at each of the tIoU thresholds.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct AtThresholds {
    /// At 0.3.
    #[serde(rename = "0.3")]
    pub low: f64,
    /// At 0.5.
    #[serde(rename = "0.5")]
    pub middle: f64,
    /// At 0.7.
    #[serde(rename = "0.7")]
    pub high: f64,
}

/// The thresholds of [`AtThresholds`].
pub const THRESHOLDS: [f64; 3] = [0.3, 0.5, 0.7];

impl From<[f64; 3]> for AtThresholds {
    fn from([low, middle, high]: [f64; 3]) -> Self {
        Self { low, middle, high }
    }
}

/// Figures over queries whose event happens; all 0 without queries.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Grounding {
    /// How many.
    pub queries: usize,
    /// Their true segments.
    pub segments: usize,
    /// Segments found for them.
    pub found: usize,
    /// Mean intersection over union of the time covered.
    pub union_miou: f64,
    /// Over all segments.
    pub f1: AtThresholds,
    /// The mean of the queries' own.
    pub mean_f1: AtThresholds,
    /// Of the numbers of segments.
    pub count_f1: f64,
    /// Of the surest segments.
    pub recall_at_1: AtThresholds,
    /// Of the segments matched at 0.5 whose evidence is known: the share told rightly; `None` without any.
    pub modality_accuracy: Option<f64>,
}

/// Measures queries whose event happens; others are left out.
pub fn measure<'a>(queries: impl Iterator<Item = &'a Answered>) -> Grounding {
    let queries: Vec<&Answered> = queries.filter(|query| !query.truth.is_empty()).collect();
    let mean = |figure: &dyn Fn(&Answered) -> f64| {
        queries.iter().map(|query| figure(query)).sum::<f64>() / queries.len().max(1) as f64
    };
    let total = |count: &dyn Fn(&Answered) -> usize| queries.iter().map(|query| count(query)).sum::<usize>();
    let segments = total(&|query| query.truth.len());
    let found = total(&|query| query.found.len());
    let pairs = |threshold| total(&|query| query.matches(threshold).len());
    let told: Vec<bool> = queries.iter().flat_map(|query| query.modalities_told()).collect();
    Grounding {
        queries: queries.len(),
        segments,
        found,
        union_miou: mean(&|query| segment::union_iou(&query.found_segments(), &query.true_segments())),
        f1: THRESHOLDS.map(|threshold| f1(pairs(threshold), found, segments)).into(),
        mean_f1: THRESHOLDS.map(|threshold| mean(&|query| query.f1(threshold))).into(),
        count_f1: f1(total(&|query| query.found.len().min(query.truth.len())), found, segments),
        recall_at_1: THRESHOLDS.map(|threshold| mean(&|query| query.recall_at_1(threshold))).into(),
        modality_accuracy: share(&told),
    }
}

/// The share of queries without truth for which nothing was found; `None` without such queries. Others are left out.
pub fn absence_accuracy<'a>(queries: impl Iterator<Item = &'a Answered>) -> Option<f64> {
    let absent = queries.filter(|query| query.truth.is_empty());
    share(&absent.map(|query| query.found.is_empty()).collect::<Vec<_>>())
}

impl Answered {
    fn true_segments(&self) -> Vec<Segment> {
        self.truth.iter().map(|(segment, _)| *segment).collect()
    }

    fn found_segments(&self) -> Vec<Segment> {
        self.found.iter().map(|found| found.segment).collect()
    }

    fn matches(&self, threshold: f64) -> Vec<(usize, usize)> {
        segment::matches(&self.found_segments(), &self.true_segments(), threshold)
    }

    fn f1(&self, threshold: f64) -> f64 {
        f1(self.matches(threshold).len(), self.found.len(), self.truth.len())
    }

    fn recall_at_1(&self, threshold: f64) -> f64 {
        let surest = self.found.iter().max_by(|one, other| {
            one.score.total_cmp(&other.score).then_with(|| other.segment.by_time(&one.segment))
        });
        let hit =
            |found: &Located| self.truth.iter().any(|(segment, _)| found.segment.iou(*segment) >= threshold);
        f64::from(u8::from(surest.is_some_and(hit)))
    }

    /// Of the segments matched at 0.5 whose evidence is known: which are told rightly.
    fn modalities_told(&self) -> Vec<bool> {
        let told = |(found, truth): (usize, usize)| {
            self.truth[truth].1.map(|modality| self.found[found].modality == Some(modality))
        };
        self.matches(0.5).into_iter().filter_map(told).collect()
    }
}

/// `2 * pairs / (found + true)`; 0 where there is nothing at all.
fn f1(pairs: usize, found: usize, truths: usize) -> f64 {
    2.0 * pairs as f64 / (found + truths).max(1) as f64
}

fn share(values: &[bool]) -> Option<f64> {
    let right = values.iter().filter(|value| **value).count();
    (!values.is_empty()).then(|| right as f64 / values.len() as f64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn answered(truth: &[(f64, f64)], found: &[(f64, f64, f64)]) -> Answered {
        let truth = truth.iter().map(|(start, end)| (Segment::new(*start, *end), Some(Modality::Both)));
        let found = found.iter().map(|(start, end, score)| Located {
            segment: Segment::new(*start, *end),
            score: *score,
            modality: Some(Modality::Both),
        });
        Answered { truth: truth.collect(), found: found.collect() }
    }

    #[test]
    fn a_segment_too_many_costs_f1_and_count_but_not_recall() {
        let query = answered(&[(0.0, 10.0)], &[(0.0, 10.0, 0.9), (20.0, 30.0, 0.5)]);
        let measured = measure([query].iter());
        assert_eq!((measured.f1.middle, measured.count_f1), (2.0 / 3.0, 2.0 / 3.0));
        assert_eq!((measured.union_miou, measured.recall_at_1.high), (0.5, 1.0));
        assert_eq!(measured.modality_accuracy, Some(1.0));
    }

    #[test]
    fn the_surest_segment_is_the_one_that_recall_asks_for() {
        let query = answered(&[(0.0, 10.0)], &[(0.0, 10.0, 0.5), (20.0, 30.0, 0.9)]);
        assert_eq!(measure([query].iter()).recall_at_1, [0.0; 3].into());
        let tied = answered(&[(0.0, 10.0)], &[(20.0, 30.0, 0.9), (0.0, 10.0, 0.9)]);
        assert_eq!(measure([tied].iter()).recall_at_1, [1.0; 3].into(), "the earliest of equals");
    }

    #[test]
    fn one_hull_over_two_events_is_one_segment_found() {
        let query = answered(&[(0.0, 10.0), (20.0, 30.0)], &[(0.0, 30.0, 0.5)]);
        let measured = measure([query].iter());
        assert!((measured.union_miou - 2.0 / 3.0).abs() < 1e-12);
        assert!((measured.f1.low - 2.0 / 3.0).abs() < 1e-12 && measured.f1.middle == 0.0);
        assert!((measured.count_f1 - 2.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn absent_events_are_judged_apart() {
        let silent = answered(&[], &[]);
        let wrong = answered(&[], &[(0.0, 1.0, 0.2)]);
        let there = answered(&[(0.0, 1.0)], &[]);
        let all = [silent, wrong, there];
        assert_eq!(absence_accuracy(all.iter()), Some(0.5));
        assert_eq!(measure(all.iter()).queries, 1);
        assert_eq!(absence_accuracy(all[2..].iter()), None);
    }

    #[test]
    fn a_modality_that_is_not_told_is_told_wrongly() {
        let mut query = answered(&[(0.0, 10.0)], &[(0.0, 10.0, 0.5)]);
        query.found[0].modality = None;
        assert_eq!(measure([query.clone()].iter()).modality_accuracy, Some(0.0));
        query.truth[0].1 = None;
        assert_eq!(measure([query].iter()).modality_accuracy, None);
    }

    proptest! {
        #[test]
        fn figures_are_between_0_and_1_and_the_truth_itself_scores_1(
            spans in prop::collection::vec((0u32..500, 1u32..100, 0u32..500, 1u32..100), 1..10)
        ) {
            let span = |start: u32, length: u32| (f64::from(start), f64::from(start + length));
            let query = |(a, b, c, d): &(u32, u32, u32, u32)| {
                let (start, end) = span(*c, *d);
                answered(&[span(*a, *b)], &[(start, end, 0.5)])
            };
            let queries: Vec<Answered> = spans.iter().map(query).collect();
            let measured = measure(queries.iter());
            let at = |figures: AtThresholds| [figures.low, figures.middle, figures.high];
            let figures = [at(measured.f1), at(measured.mean_f1), at(measured.recall_at_1)];
            prop_assert!(figures.iter().flatten().all(|figure| (0.0..=1.0).contains(figure)));
            prop_assert!(figures.iter().all(|at| at[0] >= at[1] && at[1] >= at[2]));
            let itself = |(a, b, _, _): &(u32, u32, u32, u32)| {
                let (start, end) = span(*a, *b);
                answered(&[(start, end)], &[(start, end, 0.1)])
            };
            let perfect: Vec<Answered> = spans.iter().map(itself).collect();
            let measured = measure(perfect.iter());
            prop_assert!((measured.union_miou - 1.0).abs() < 1e-12);
            prop_assert_eq!((measured.f1.high, measured.count_f1), (1.0, 1.0));
        }

        #[test]
        fn the_order_of_the_queries_and_of_what_was_found_decides_nothing(
            mut spans in prop::collection::vec((0u32..50, 1u32..20, 0u8..3), 2..9)
        ) {
            let found = |spans: &[(u32, u32, u8)]| -> Vec<(f64, f64, f64)> {
                let one = |(start, length, score): &(u32, u32, u8)| {
                    (f64::from(*start), f64::from(start + length), f64::from(*score))
                };
                spans.iter().map(one).collect()
            };
            let truth = [(5.0, 15.0), (20.0, 40.0)];
            let forwards = measure([answered(&truth, &found(&spans))].iter());
            spans.reverse();
            let backwards = measure([answered(&truth, &found(&spans))].iter());
            prop_assert!((forwards.union_miou - backwards.union_miou).abs() < 1e-12);
            prop_assert_eq!(forwards.f1, backwards.f1);
            prop_assert_eq!(forwards.recall_at_1, backwards.recall_at_1);
        }
    }
}
