//! When an event starts and ends, as far as several windows agree.
//!
//! A window that saw an edge inside it knows when it was; one that was cut there only knows that the event was going on.
//! So the edge is the median of those that saw it inside, unless too many windows cut it beyond that, which contradicts
//! them: then it is where the furthest of those cuts is.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::timeline::StreamTime;

/// What is kept of each kind. More than the windows that see one instant, and little enough for an event of hours.
const KEPT: usize = 64;

/// Which edge of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Side {
    /// An older window has seen more of what was before, so its word counts more, and the first ones are kept.
    Start,
    /// A newer window has seen more of what came after, so its word counts more, and the last ones are kept.
    End,
}

/// What the windows say of one edge, oldest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Edge {
    side: Side,
    inside: VecDeque<StreamTime>,
    cut: VecDeque<StreamTime>,
    newest_is_cut: bool,
}

impl Edge {
    pub fn new(side: Side, at: StreamTime, cut: bool) -> Self {
        let mut edge = Self { side, inside: VecDeque::new(), cut: VecDeque::new(), newest_is_cut: cut };
        edge.see(at, cut);
        edge
    }

    /// A window says that the edge is at `at`, or, if it was `cut` there, that it lies beyond.
    pub fn see(&mut self, at: StreamTime, cut: bool) {
        self.newest_is_cut = cut;
        let kept = if cut { &mut self.cut } else { &mut self.inside };
        match self.side {
            Side::Start if kept.len() == KEPT => {}
            Side::End if kept.len() == KEPT => {
                kept.pop_front();
                kept.push_back(at);
            }
            Side::Start | Side::End => kept.push_back(at),
        }
    }

    /// Takes back what places the edge before `time`. It is known to be later when a window that starts then sees the
    /// event; says nothing when that leaves nothing.
    pub fn refute_before(&mut self, time: StreamTime) {
        self.inside.retain(|at| *at >= time);
        self.cut.retain(|at| *at >= time);
    }

    /// Whether all that was said has been taken back.
    pub fn is_unknown(&self) -> bool {
        self.inside.is_empty() && self.cut.is_empty()
    }

    /// Where it is. `tolerance` is how far a cut may lie beyond without contradicting, in nanoseconds.
    pub fn time(&self, tolerance: i64) -> StreamTime {
        let Some(median) = median(&self.inside) else { return self.furthest(&self.cut) };
        let beyond = |cut: &&StreamTime| match self.side {
            Side::Start => cut.0 < median.0.saturating_sub(tolerance),
            Side::End => cut.0 > median.0.saturating_add(tolerance),
        };
        let against: VecDeque<StreamTime> = self.cut.iter().filter(beyond).copied().collect();
        let outvoted = match self.side {
            Side::Start => against.len() > self.inside.len(),
            Side::End => {
                against.len() > self.inside.len()
                    || (against.len() == self.inside.len() && self.newest_is_cut)
            }
        };
        if outvoted { self.furthest(&against) } else { median }
    }

    fn furthest(&self, times: &VecDeque<StreamTime>) -> StreamTime {
        let furthest = match self.side {
            Side::Start => times.iter().min(),
            Side::End => times.iter().max(),
        };
        furthest.copied().unwrap_or_default()
    }
}

/// The middle one, or the middle of the middle two.
fn median(times: &VecDeque<StreamTime>) -> Option<StreamTime> {
    let mut sorted: Vec<i64> = times.iter().map(|time| time.0).collect();
    sorted.sort_unstable();
    let upper = *sorted.get(sorted.len() / 2)?;
    let lower = sorted[(sorted.len() - 1) / 2];
    Some(StreamTime(lower.midpoint(upper)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOLERANCE: i64 = 5;

    fn time(side: Side, seen: &[(i64, bool)]) -> i64 {
        let (first, rest) = seen.split_first().expect("a case has at least one window");
        let mut edge = Edge::new(side, StreamTime(first.0), first.1);
        rest.iter().for_each(|(at, cut)| edge.see(StreamTime(*at), *cut));
        edge.time(TOLERANCE).0
    }

    #[test]
    fn a_cut_edge_is_as_far_as_any_window_saw() {
        assert_eq!(time(Side::End, &[(200, true), (220, true), (240, true)]), 240);
        assert_eq!(time(Side::Start, &[(0, true), (20, true), (40, true)]), 0);
    }

    #[test]
    fn an_edge_seen_inside_beats_cuts_that_do_not_contradict_it() {
        assert_eq!(time(Side::End, &[(200, true), (220, true), (231, false)]), 231);
        assert_eq!(time(Side::Start, &[(150, false), (160, true), (180, true), (200, true)]), 150);
        assert_eq!(time(Side::End, &[(200, true), (197, false)]), 197, "within the tolerance");
    }

    #[test]
    fn windows_that_saw_the_edge_inside_meet_in_the_middle() {
        assert_eq!(time(Side::End, &[(100, false), (110, false)]), 105);
        assert_eq!(time(Side::Start, &[(100, false), (104, false), (300, false)]), 104);
    }

    #[test]
    fn a_newer_window_that_saw_the_event_go_on_moves_its_end() {
        assert_eq!(time(Side::End, &[(150, false), (300, true)]), 300);
        assert_eq!(time(Side::End, &[(150, false), (300, true), (151, false)]), 150);
        assert_eq!(time(Side::End, &[(150, false), (150, false), (300, true)]), 150, "two against one");
    }

    #[test]
    fn a_window_that_begins_later_does_not_move_the_start() {
        assert_eq!(time(Side::Start, &[(150, false), (100, true)]), 150);
        assert_eq!(time(Side::Start, &[(150, false), (100, true), (120, true)]), 100, "two against one");
    }

    #[test]
    fn an_end_is_taken_back_when_a_later_window_sees_the_event() {
        let mut edge = Edge::new(Side::End, StreamTime(150), false);
        edge.see(StreamTime(300), true);
        edge.refute_before(StreamTime(200));
        edge.see(StreamTime(400), false);
        assert_eq!(edge.time(TOLERANCE).0, 400);
        edge.refute_before(StreamTime(500));
        assert!(edge.is_unknown());
    }

    #[test]
    fn an_event_of_hours_keeps_a_bounded_past() {
        let mut edge = Edge::new(Side::End, StreamTime(0), true);
        (0..10_000).for_each(|at| edge.see(StreamTime(at), at % 2 == 0));
        assert_eq!((edge.inside.len(), edge.cut.len()), (KEPT, KEPT));
        assert!(edge.time(TOLERANCE).0 > 9_000);
    }
}
