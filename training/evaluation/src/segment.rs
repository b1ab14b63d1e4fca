//! Spans of time and what can be computed of them exactly: overlaps, unions, matchings.

use serde::{Deserialize, Serialize};

/// A span of time in seconds, `[start, end]` in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(from = "[f64; 2]", into = "[f64; 2]")]
pub struct Segment {
    /// First instant.
    pub start: f64,
    /// Last instant.
    pub end: f64,
}

impl From<[f64; 2]> for Segment {
    fn from([start, end]: [f64; 2]) -> Self {
        Self { start, end }
    }
}

impl From<Segment> for [f64; 2] {
    fn from(segment: Segment) -> Self {
        [segment.start, segment.end]
    }
}

impl Segment {
    /// From `start` to `end` seconds.
    pub fn new(start: f64, end: f64) -> Self {
        Self { start, end }
    }

    /// Seconds; 0 where it ends before it starts.
    pub fn length(self) -> f64 {
        (self.end - self.start).max(0.0)
    }

    /// Seconds that both share.
    pub fn shared(self, other: Self) -> f64 {
        (self.end.min(other.end) - self.start.max(other.start)).max(0.0)
    }

    /// Intersection over union (tIoU), 0..=1; 0 where both are empty.
    pub fn iou(self, other: Self) -> f64 {
        let shared = self.shared(other);
        let union = self.length() + other.length() - shared;
        if union > 0.0 { shared / union } else { 0.0 }
    }

    /// Finite, and not ending before it starts.
    pub fn is_sound(self) -> bool {
        self.start.is_finite() && self.end.is_finite() && self.start <= self.end
    }

    /// By start, then by end.
    pub fn by_time(&self, other: &Self) -> std::cmp::Ordering {
        self.start.total_cmp(&other.start).then(self.end.total_cmp(&other.end))
    }
}

/// The time that `segments` cover: in order, apart from each other, without empty ones.
pub fn union(segments: &[Segment]) -> Vec<Segment> {
    let mut sorted: Vec<Segment> =
        segments.iter().copied().filter(|segment| segment.length() > 0.0).collect();
    sorted.sort_by(Segment::by_time);
    let mut union: Vec<Segment> = Vec::with_capacity(sorted.len());
    for segment in sorted {
        match union.last_mut() {
            Some(last) if segment.start <= last.end => last.end = last.end.max(segment.end),
            _ => union.push(segment),
        }
    }
    union
}

/// Intersection over union of the time that two sets of segments cover, however they are cut; 1 where both are empty.
pub fn union_iou(found: &[Segment], truth: &[Segment]) -> f64 {
    let (found, truth) = (union(found), union(truth));
    let length = |segments: &[Segment]| segments.iter().map(|segment| segment.length()).sum::<f64>();
    let (mut at, mut against, mut shared) = (0, 0, 0.0);
    while at < found.len() && against < truth.len() {
        shared += found[at].shared(truth[against]);
        if found[at].end < truth[against].end { at += 1 } else { against += 1 }
    }
    let all = length(&found) + length(&truth) - shared;
    // Sums of the same lengths in another order can differ in the last bit.
    if all > 0.0 { (shared / all).min(1.0) } else { 1.0 }
}

/// The most pairs `(found, truth)` with a tIoU of at least `threshold` such that each is in one pair only; in order of
/// `found`. Among several such matchings, the closest pairs are preferred one by one.
pub fn matches(found: &[Segment], truth: &[Segment], threshold: f64) -> Vec<(usize, usize)> {
    let near: Vec<Vec<usize>> = found
        .iter()
        .map(|segment| {
            let mut near: Vec<usize> =
                (0..truth.len()).filter(|index| segment.iou(truth[*index]) >= threshold).collect();
            near.sort_by(|one, other| segment.iou(truth[*other]).total_cmp(&segment.iou(truth[*one])));
            near
        })
        .collect();
    let mut of_truth = vec![None; truth.len()];
    for index in 0..found.len() {
        augment(index, &near, &mut of_truth, &mut vec![false; truth.len()]);
    }
    let taken = of_truth.iter().enumerate().filter_map(|(truth, found)| Some(((*found)?, truth)));
    let mut pairs: Vec<(usize, usize)> = taken.collect();
    pairs.sort_unstable();
    pairs
}

/// Finds `index` a truth, moving earlier ones to others where that makes room.
fn augment(index: usize, near: &[Vec<usize>], of_truth: &mut [Option<usize>], tried: &mut [bool]) -> bool {
    for &truth in &near[index] {
        if std::mem::replace(&mut tried[truth], true) {
            continue;
        }
        let free = match of_truth[truth] {
            None => true,
            Some(holder) => augment(holder, near, of_truth, tried),
        };
        if free {
            of_truth[truth] = Some(index);
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn segments() -> impl Strategy<Value = Vec<Segment>> {
        let one = (0u32..600, 0u32..200).prop_map(|(start, length)| {
            Segment::new(f64::from(start) / 10.0, f64::from(start + length) / 10.0)
        });
        prop::collection::vec(one, 0..8)
    }

    #[test]
    fn pieces_count_as_the_whole_they_cover() {
        let whole = [Segment::new(0.0, 10.0)];
        let pieces = [Segment::new(4.0, 10.0), Segment::new(0.0, 5.0), Segment::new(1.0, 2.0)];
        assert_eq!(union(&pieces), whole);
        assert_eq!(union_iou(&pieces, &whole), 1.0);
        assert_eq!(union_iou(&[Segment::new(0.0, 5.0)], &whole), 0.5);
        assert_eq!(union_iou(&[], &whole), 0.0);
        assert_eq!(union_iou(&[], &[]), 1.0);
    }

    #[test]
    fn a_matching_moves_a_pair_to_make_room_for_another() {
        let truth = [Segment::new(0.0, 10.0), Segment::new(0.0, 6.0)];
        let found = [Segment::new(0.0, 9.0), Segment::new(2.0, 10.0)];
        // The first is nearest to the first truth, but the second has no other.
        assert_eq!(matches(&found, &truth, 0.65), [(0, 1), (1, 0)]);
        assert_eq!(matches(&found, &truth, 0.95), []);
    }

    proptest! {
        #[test]
        fn overlaps_are_symmetric_and_between_0_and_1(found in segments(), truth in segments()) {
            let iou = union_iou(&found, &truth);
            prop_assert!((0.0..=1.0).contains(&iou));
            prop_assert!((iou - union_iou(&truth, &found)).abs() < 1e-12);
            for one in &found {
                for other in &truth {
                    prop_assert!((0.0..=1.0).contains(&one.iou(*other)));
                    prop_assert_eq!(one.iou(*other), other.iou(*one));
                }
            }
        }

        #[test]
        fn every_set_of_segments_covers_itself(segments in segments()) {
            prop_assert!((union_iou(&segments, &segments) - 1.0).abs() < 1e-12);
            prop_assert!((union_iou(&union(&segments), &segments) - 1.0).abs() < 1e-12);
        }

        #[test]
        fn the_union_agrees_with_counting_tenths(found in segments(), truth in segments()) {
            let covers = |set: &[Segment], at: f64| set.iter().any(|s| s.start < at && at < s.end);
            let (mut shared, mut all) = (0u32, 0u32);
            for tenth in 0..900 {
                let at = f64::from(tenth) / 10.0 + 0.05;
                let (one, other) = (covers(&found, at), covers(&truth, at));
                shared += u32::from(one && other);
                all += u32::from(one || other);
            }
            let counted = if all == 0 { 1.0 } else { f64::from(shared) / f64::from(all) };
            prop_assert!((union_iou(&found, &truth) - counted).abs() < 1e-9);
        }

        #[test]
        fn a_matching_is_one_to_one_and_no_smaller_than_the_greedy_one(
            found in segments(), truth in segments(), threshold in 0.05f64..0.95
        ) {
            let pairs = matches(&found, &truth, threshold);
            let distinct = |index: fn(&(usize, usize)) -> usize| {
                pairs.iter().map(index).collect::<std::collections::BTreeSet<_>>().len()
            };
            prop_assert_eq!(distinct(|pair| pair.0), pairs.len());
            prop_assert_eq!(distinct(|pair| pair.1), pairs.len());
            prop_assert!(pairs.iter().all(|(f, t)| found[*f].iou(truth[*t]) >= threshold));
            let mut taken = vec![false; truth.len()];
            let greedy = found.iter().filter(|segment| {
                let free = (0..truth.len()).find(|t| !taken[*t] && segment.iou(truth[*t]) >= threshold);
                free.map(|t| taken[t] = true).is_some()
            });
            prop_assert!(pairs.len() >= greedy.count());
        }
    }
}
