//! The two lanes of a time line, and rows in them for what overlaps.

use crate::record::EventRecord;
use crate::stream::Modality;

/// What is seen is drawn apart from what is heard; what is both, in both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    /// By the picture.
    Seen,
    /// By the sound.
    Heard,
}

impl Lane {
    /// Both, as they are drawn from above.
    pub const ALL: [Self; 2] = [Self::Seen, Self::Heard];

    /// As it is written beside the lane.
    pub fn name(self) -> &'static str {
        match self {
            Self::Seen => Modality::Visual.said(),
            Self::Heard => Modality::Audio.said(),
        }
    }

    /// Is an event of this modality in it?
    pub fn holds(self, modality: Modality) -> bool {
        match modality {
            Modality::Both => true,
            Modality::Visual => self == Self::Seen,
            Modality::Audio => self == Self::Heard,
        }
    }
}

/// A lane's events, by their place in `events`, in as few rows as let none overlap another: what begins first is in the
/// first row that is free.
pub(super) fn rows(events: &[EventRecord], lane: Lane) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> =
        (0..events.len()).filter(|&index| lane.holds(events[index].modality)).collect();
    order.sort_by(|&one, &other| events[one].start.stream.total_cmp(&events[other].start.stream));
    let mut rows: Vec<Vec<usize>> = Vec::new();
    for index in order {
        let start = events[index].start.stream;
        let is_free = |row: &&mut Vec<usize>| row.last().is_none_or(|&last| events[last].end.stream <= start);
        match rows.iter_mut().find(is_free) {
            Some(row) => row.push(index),
            None => rows.push(vec![index]),
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::report::tests::event;

    #[test]
    fn what_overlaps_gets_rows_of_its_own() {
        let events = [
            event("a", 0.0, 4.0, Modality::Visual),
            event("b", 2.0, 6.0, Modality::Both),
            event("c", 4.0, 5.0, Modality::Visual),
            event("d", 1.0, 2.0, Modality::Audio),
        ];
        assert_eq!(rows(&events, Lane::Seen), [vec![0, 2], vec![1]]);
        assert_eq!(rows(&events, Lane::Heard), [vec![3, 1]]);
        assert_eq!(rows(&[], Lane::Seen), Vec::<Vec<usize>>::new());
    }

    proptest! {
        #[test]
        fn no_row_overlaps_and_there_are_no_more_rows_than_overlap(spans in prop::collection::vec((0u8..50, 1u8..10), 0..40)) {
            let spans: Vec<(f64, f64)> =
                spans.into_iter().map(|(start, length)| (f64::from(start), f64::from(start + length))).collect();
            let events: Vec<EventRecord> =
                spans.iter().map(|&(start, end)| event("a", start, end, Modality::Audio)).collect();
            let rows = rows(&events, Lane::Heard);
            prop_assert_eq!(rows.iter().map(Vec::len).sum::<usize>(), events.len());
            for row in &rows {
                prop_assert!(row.windows(2).all(|pair| spans[pair[0]].1 <= spans[pair[1]].0));
            }
            let at_once = |time: f64| spans.iter().filter(|(start, end)| *start <= time && time < *end).count();
            let most = spans.iter().map(|(start, _)| at_once(*start)).max().unwrap_or(0);
            prop_assert_eq!(rows.len(), most);
        }
    }
}
