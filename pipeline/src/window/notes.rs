//! What the source said beside frames and samples: clocks and gaps.

use std::collections::VecDeque;

use crate::timeline::{ClockAnchor, ClockQuality, StreamTime, UtcTime};

/// Clock changes and gaps kept at most. A window's time sees a handful; a source gone mad may not fill the memory.
const MOST: usize = 64;

/// How stream time maps to capture time from `anchor` on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Clock {
    pub anchor: ClockAnchor,
    pub clock: ClockQuality,
    pub av_offset_ms: Option<f64>,
}

/// The clock changes that windows still need, by stream time.
#[derive(Debug, Default)]
pub(super) struct Clocks {
    known: VecDeque<Clock>,
    /// Stands in until the source says more.
    first_sample: Option<ClockAnchor>,
}

impl Clocks {
    pub fn push(&mut self, clock: Clock) {
        let position = self.known.partition_point(|known| known.anchor.stream <= clock.anchor.stream);
        self.known.insert(position, clock);
        if self.known.len() > MOST {
            self.known.remove(1);
        }
    }

    /// A sample came; the first one is remembered.
    pub fn sample(&mut self, stream: StreamTime, utc: UtcTime) {
        self.first_sample.get_or_insert(ClockAnchor { stream, utc });
    }

    /// The newest clock at or before `start`; before all of them, the first.
    pub fn at(&self, start: StreamTime) -> Clock {
        let position = self.known.partition_point(|known| known.anchor.stream <= start);
        self.known.get(position.saturating_sub(1)).copied().unwrap_or(Clock {
            anchor: self.first_sample.unwrap_or(ClockAnchor { stream: StreamTime::ZERO, utc: UtcTime(0) }),
            clock: ClockQuality::Arrival,
            av_offset_ms: None,
        })
    }

    /// Forgets what no window that starts at `start` or later needs.
    pub fn prune(&mut self, start: StreamTime) {
        while self.known.get(1).is_some_and(|second| second.anchor.stream <= start) {
            self.known.pop_front();
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Gap {
    pub from: i64,
    pub to: i64,
    pub reason: String,
}

/// The gaps that windows still need, as they were said.
#[derive(Debug, Default)]
pub(super) struct Gaps {
    known: VecDeque<Gap>,
}

impl Gaps {
    pub fn push(&mut self, gap: Gap) {
        if gap.from >= gap.to {
            return;
        }
        if let Some(last) = self.known.back_mut()
            && last.reason == gap.reason
            && last.from <= gap.from
            && gap.from <= last.to
        {
            last.to = last.to.max(gap.to);
            return;
        }
        self.known.push_back(gap);
        if self.known.len() > MOST {
            self.known.pop_front();
        }
    }

    /// The gap that takes the most of `[from, to)`.
    pub fn over(&self, from: i64, to: i64) -> Option<&Gap> {
        let overlap = |gap: &&Gap| gap.to.min(to).saturating_sub(gap.from.max(from));
        self.known.iter().filter(|gap| overlap(gap) > 0).max_by_key(overlap)
    }

    /// Where the next gap at or after `from` begins.
    pub fn next_from(&self, from: i64) -> Option<i64> {
        self.known.iter().map(|gap| gap.from).filter(|start| *start >= from).min()
    }

    /// The end of the latest gap.
    pub fn end(&self) -> Option<i64> {
        self.known.iter().map(|gap| gap.to).max()
    }

    /// Forgets what ends before `start`.
    pub fn prune(&mut self, start: i64) {
        self.known.retain(|gap| gap.to > start);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(second: i64) -> Clock {
        let anchor = ClockAnchor { stream: StreamTime(second), utc: UtcTime(second * 10) };
        Clock { anchor, clock: ClockQuality::Ntp, av_offset_ms: Some(second as f64) }
    }

    #[test]
    fn the_newest_clock_at_or_before_counts() {
        let mut clocks = Clocks::default();
        clocks.sample(StreamTime(1), UtcTime(77));
        clocks.sample(StreamTime(2), UtcTime(88));
        assert_eq!(
            (clocks.at(StreamTime(0)).anchor.utc, clocks.at(StreamTime(0)).clock),
            (UtcTime(77), ClockQuality::Arrival)
        );
        for second in [5, 20, 10] {
            clocks.push(clock(second));
        }
        let at = |clocks: &Clocks, start: i64| clocks.at(StreamTime(start)).anchor.stream.0;
        assert_eq!([0, 5, 9, 10, 30].map(|start| at(&clocks, start)), [5, 5, 5, 10, 20]);
        clocks.prune(StreamTime(12));
        assert_eq!([0, 19, 20].map(|start| at(&clocks, start)), [10, 10, 20]);
    }

    #[test]
    fn notes_are_bounded() {
        let (mut clocks, mut gaps) = (Clocks::default(), Gaps::default());
        for second in 0..1000 {
            clocks.push(clock(second));
            gaps.push(Gap { from: 2 * second, to: 2 * second + 1, reason: "pause".to_owned() });
        }
        assert_eq!((clocks.known.len(), gaps.known.len()), (MOST, MOST));
        assert_eq!(clocks.at(StreamTime(999)).anchor.stream, StreamTime(999));
        assert_eq!(gaps.end(), Some(1999));
    }

    #[test]
    fn pieces_of_one_outage_are_one_gap() {
        let mut gaps = Gaps::default();
        for second in 3..10 {
            gaps.push(Gap { from: second, to: second + 1, reason: "outage".to_owned() });
        }
        gaps.push(Gap { from: 12, to: 13, reason: "jump".to_owned() });
        assert_eq!(gaps.known.len(), 2);
        assert_eq!(gaps.over(0, 13).map(|gap| gap.reason.as_str()), Some("outage"));
        assert_eq!(gaps.over(10, 12), None);
        assert_eq!(gaps.next_from(10), Some(12));
        gaps.prune(10);
        assert_eq!(gaps.known.len(), 1);
    }
}
