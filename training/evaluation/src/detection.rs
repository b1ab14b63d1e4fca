//! Event detection as UnAV-100 measures it: mean average precision over tIoU thresholds 0.1, 0.2, ... 0.9.
//!
//! The rule, for one class and one threshold:
//!
//! 1. Truths that repeat another of the same video and class (both ends within 1 ms) count once.
//! 2. Detections of the class are taken by falling score. **Ties**: the earlier start first, then the earlier end, then
//!    the lesser video id, so that the order of a file decides nothing.
//! 3. A detection walks through the truths of its video and class by falling tIoU (ties: the earlier one first). Below
//!    the threshold it is a false positive; a truth that is taken already is passed by; the first other one is taken,
//!    and the detection is a true positive. Where no truth is left, or the video has none of the class, it is a false
//!    positive.
//! 4. Average precision is the area under the precision-recall curve made monotone, at every point where recall rises.
//!
//! The mean goes over the classes that have a truth; a class without detections counts as 0, and detections of classes
//! without any truth count for nothing (they are told in [`MeanAveragePrecision::of_other_labels`]). The reference agrees,
//! but for such detections, which it adds to another class when label numbers have gaps.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use super::segment::Segment;

/// An event that happens.
#[derive(Debug, Clone, PartialEq)]
pub struct Occurrence {
    /// In which video.
    pub video: String,
    /// What.
    pub label: String,
    /// When.
    pub segment: Segment,
}

/// An event that is said to happen.
#[derive(Debug, Clone, PartialEq)]
pub struct Detection {
    /// In which video.
    pub video: String,
    /// What.
    pub label: String,
    /// When.
    pub segment: Segment,
    /// Higher is surer. What is no number counts as the least sure.
    pub score: f64,
}

/// Mean average precision, all figures 0..=1.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MeanAveragePrecision {
    /// The tIoU thresholds.
    pub thresholds: Vec<f64>,
    /// At each threshold, the mean over the classes; 0 without classes.
    pub map: Vec<f64>,
    /// The mean of `map`.
    pub average: f64,
    /// At each threshold, the mean over the classes of the recall after the last detection.
    pub recall: Vec<f64>,
    /// Truths, without repetitions.
    pub truths: usize,
    /// Detections of classes that have truths.
    pub detections: usize,
    /// Detections of other classes, which count for nothing.
    pub of_other_labels: usize,
    /// In order of label.
    pub classes: Vec<ClassPrecision>,
}

/// One class.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClassPrecision {
    /// Its name.
    pub label: String,
    /// Its truths.
    pub truths: usize,
    /// Its detections.
    pub detections: usize,
    /// Average precision at each threshold.
    pub ap: Vec<f64>,
    /// Recall after the last detection, at each threshold.
    pub recall: Vec<f64>,
}

/// Truths of one video and class are the same when both their ends are so near, in seconds.
const SAME: f64 = 1e-3;
/// How many thresholds there are.
const THRESHOLDS: usize = 9;

/// The tIoU thresholds 0.1, 0.2, ... 0.9.
pub fn thresholds() -> [f64; THRESHOLDS] {
    // As equal steps from 0.1 to 0.9, in the last bit too.
    let mut thresholds = std::array::from_fn(|index| index as f64 * 0.1 + 0.1);
    thresholds[THRESHOLDS - 1] = 0.9;
    thresholds
}

/// Measures `found` against `truth`.
pub fn mean_average_precision(truth: &[Occurrence], found: &[Detection]) -> MeanAveragePrecision {
    let mut classes: BTreeMap<&str, Class<'_>> = BTreeMap::new();
    for truth in truth {
        classes.entry(&truth.label).or_default().add(truth);
    }
    let mut of_other_labels = 0;
    for found in found {
        match classes.get_mut(found.label.as_str()) {
            Some(class) => class.found.push(found),
            None => of_other_labels += 1,
        }
    }
    let classes: Vec<ClassPrecision> =
        classes.into_iter().map(|(label, class)| class.measure(label)).collect();
    let mean = |figures: fn(&ClassPrecision) -> &Vec<f64>| -> Vec<f64> {
        let at = |threshold| classes.iter().map(|class| figures(class)[threshold]).sum::<f64>();
        (0..THRESHOLDS).map(|threshold| at(threshold) / classes.len().max(1) as f64).collect()
    };
    let map = mean(|class| &class.ap);
    MeanAveragePrecision {
        thresholds: thresholds().to_vec(),
        average: map.iter().sum::<f64>() / THRESHOLDS as f64,
        map,
        recall: mean(|class| &class.recall),
        truths: classes.iter().map(|class| class.truths).sum(),
        detections: classes.iter().map(|class| class.detections).sum(),
        of_other_labels,
        classes,
    }
}

/// The truths and detections of one class.
#[derive(Default)]
struct Class<'a> {
    /// By video, each once.
    truths: HashMap<&'a str, Vec<Segment>>,
    found: Vec<&'a Detection>,
}

impl<'a> Class<'a> {
    fn add(&mut self, truth: &'a Occurrence) {
        let known = self.truths.entry(&truth.video).or_default();
        let new = truth.segment;
        let same = |old: &Segment| (old.start - new.start).abs() <= SAME && (old.end - new.end).abs() <= SAME;
        if !known.iter().any(same) {
            known.push(new);
        }
    }

    fn measure(mut self, label: &str) -> ClassPrecision {
        for truths in self.truths.values_mut() {
            truths.sort_by(Segment::by_time);
        }
        self.found.sort_by(|one, other| {
            let sure = |found: &Detection| if found.score.is_nan() { f64::NEG_INFINITY } else { found.score };
            sure(other)
                .total_cmp(&sure(one))
                .then_with(|| one.segment.by_time(&other.segment))
                .then_with(|| one.video.cmp(&other.video))
        });
        let truths = self.truths.values().map(Vec::len).sum();
        let hits = self.hits();
        let curves = hits.iter().map(|hits| curve(hits, truths));
        let (ap, recall) = curves
            .map(|(precision, recall)| {
                (average_precision(&precision, &recall), recall.last().copied().unwrap_or_default())
            })
            .unzip();
        ClassPrecision { label: label.to_owned(), truths, detections: self.found.len(), ap, recall }
    }

    /// For each threshold, which detections are true positives.
    fn hits(&self) -> [Vec<bool>; THRESHOLDS] {
        let thresholds = thresholds();
        let mut hits = std::array::from_fn(|_| vec![false; self.found.len()]);
        let mut taken: HashMap<&str, [Vec<bool>; THRESHOLDS]> = HashMap::new();
        for (index, found) in self.found.iter().enumerate() {
            let Some(truths) = self.truths.get(found.video.as_str()) else { continue };
            let ious: Vec<f64> = truths.iter().map(|truth| found.segment.iou(*truth)).collect();
            let mut nearest: Vec<usize> = (0..truths.len()).collect();
            nearest.sort_by(|one, other| ious[*other].total_cmp(&ious[*one]));
            let taken = taken
                .entry(&found.video)
                .or_insert_with(|| std::array::from_fn(|_| vec![false; truths.len()]));
            for (at, threshold) in thresholds.iter().enumerate() {
                let free = nearest
                    .iter()
                    .take_while(|truth| ious[**truth] >= *threshold)
                    .find(|truth| !taken[at][**truth]);
                if let Some(truth) = free {
                    taken[at][*truth] = true;
                    hits[at][index] = true;
                }
            }
        }
        hits
    }
}

/// Precision and recall after each detection.
fn curve(hits: &[bool], truths: usize) -> (Vec<f64>, Vec<f64>) {
    let mut right = 0usize;
    let points = hits.iter().enumerate().map(|(index, hit)| {
        right += usize::from(*hit);
        (right as f64 / (index + 1) as f64, right as f64 / truths as f64)
    });
    points.unzip()
}

/// The area under a precision-recall curve whose precision is made monotone, at every rise of recall.
pub fn average_precision(precision: &[f64], recall: &[f64]) -> f64 {
    let mut area = 0.0;
    let mut best = 0.0f64;
    // From the end, so that the best precision to come is known.
    for index in (0..precision.len().min(recall.len())).rev() {
        best = best.max(precision[index]);
        let before = if index == 0 { 0.0 } else { recall[index - 1] };
        area += (recall[index] - before) * best;
    }
    area
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn truth() -> impl Strategy<Value = Vec<Occurrence>> {
        let one = (0u8..4, 0u8..3, 0u32..50, 1u32..30).prop_map(|(video, label, start, length)| Occurrence {
            video: format!("v{video}"),
            label: format!("l{label}"),
            segment: Segment::new(f64::from(start), f64::from(start + length)),
        });
        prop::collection::vec(one, 1..20)
    }

    fn found() -> impl Strategy<Value = Vec<Detection>> {
        let one = (0u8..5, 0u8..4, 0u32..50, 1u32..30, 0u8..5);
        let one = one.prop_map(|(video, label, start, length, score)| Detection {
            video: format!("v{video}"),
            label: format!("l{label}"),
            segment: Segment::new(f64::from(start), f64::from(start + length)),
            score: f64::from(score) / 4.0,
        });
        prop::collection::vec(one, 0..30)
    }

    fn perfect(truth: &[Occurrence]) -> Vec<Detection> {
        let mut found: Vec<Detection> = Vec::new();
        for Occurrence { video, label, segment } in truth.iter().cloned() {
            let known = |old: &Detection| old.video == video && old.label == label && old.segment == segment;
            if !found.iter().any(known) {
                found.push(Detection { video, label, segment, score: 1.0 });
            }
        }
        found
    }

    #[test]
    fn a_detection_where_nothing_of_the_class_happens_costs_precision() {
        let truth = [Occurrence { video: "a".into(), label: "x".into(), segment: Segment::new(0.0, 10.0) }];
        let mut found = perfect(&truth);
        found.push(Detection { video: "elsewhere".into(), score: 2.0, ..found[0].clone() });
        let measured = mean_average_precision(&truth, &found);
        assert_eq!(measured.map, [0.5; 9]);
        found[1].label = "y".into();
        let measured = mean_average_precision(&truth, &found);
        assert_eq!((measured.average, measured.of_other_labels), (1.0, 1));
    }

    #[test]
    fn without_truth_there_is_no_class_and_no_precision() {
        let measured = mean_average_precision(&[], &[]);
        assert_eq!((measured.average, measured.classes.len()), (0.0, 0));
    }

    #[test]
    fn a_score_that_is_no_number_comes_last() {
        let truth = [Occurrence { video: "a".into(), label: "x".into(), segment: Segment::new(0.0, 10.0) }];
        let mut found = perfect(&truth);
        found.push(Detection { segment: Segment::new(20.0, 30.0), score: f64::NAN, ..found[0].clone() });
        assert_eq!(mean_average_precision(&truth, &found).average, 1.0);
    }

    proptest! {
        #[test]
        fn what_is_told_exactly_scores_1(truth in truth()) {
            let measured = mean_average_precision(&truth, &perfect(&truth));
            prop_assert!((measured.average - 1.0).abs() < 1e-12);
            prop_assert!(measured.recall.iter().all(|recall| (recall - 1.0).abs() < 1e-12));
        }

        #[test]
        fn the_order_of_the_files_decides_nothing(
            (truth, shuffled) in truth().prop_flat_map(|truth| (Just(truth.clone()), Just(truth).prop_shuffle())),
            (found, moved) in found().prop_flat_map(|found| (Just(found.clone()), Just(found).prop_shuffle())),
        ) {
            prop_assert_eq!(mean_average_precision(&truth, &found), mean_average_precision(&shuffled, &moved));
        }

        #[test]
        fn every_figure_is_between_0_and_1_and_falls_with_the_threshold(truth in truth(), found in found()) {
            let measured = mean_average_precision(&truth, &found);
            for class in &measured.classes {
                prop_assert!(class.ap.iter().chain(&class.recall).all(|figure| (0.0..=1.0).contains(figure)));
            }
            prop_assert!(measured.recall.windows(2).all(|pair| pair[0] >= pair[1] - 1e-12));
        }
    }
}
