//! Which decoded frame stands for which grid point, decided before any pixel is converted; and sound made contiguous.

use std::time::Duration;

use crate::timeline::{Grid, GridIndex, StreamTime};

/// A frame and the grid points it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picked<F> {
    /// The frame.
    pub frame: F,
    /// The frame's own stream time.
    pub stream: StreamTime,
    /// First grid point.
    pub first: GridIndex,
    /// Last grid point.
    pub last: GridIndex,
}

/// Gives every grid point the latest frame at or before it. That is known when the next frame comes, so one frame is
/// always held.
#[derive(Debug)]
pub struct Picker<F> {
    grid: Grid,
    held: Option<Held<F>>,
    /// Grid points before this one are done.
    next: GridIndex,
}

#[derive(Debug)]
struct Held<F> {
    frame: F,
    stream: StreamTime,
    first: GridIndex,
    duration: Option<Duration>,
}

impl<F> Picker<F> {
    /// Nothing held yet.
    pub fn new(grid: Grid) -> Self {
        Self { grid, held: None, next: GridIndex(i64::MIN) }
    }

    /// Takes the next frame and returns the one before, if it stands for a grid point. `duration` is what the source
    /// says of it. After a `restart` the first frame also stands for a grid point up to half a period before it, unless
    /// that lies before `floor`.
    pub fn push(
        &mut self,
        frame: F,
        stream: StreamTime,
        duration: Option<Duration>,
        restart: bool,
        floor: StreamTime,
    ) -> Option<Picked<F>> {
        let mut first = self.grid.ceil(stream);
        if restart || (self.held.is_none() && self.next.0 == i64::MIN) {
            let before = self.grid.floor(stream);
            let at = self.grid.at(before);
            if at >= floor && stream.since(at) <= self.grid.period() / 2 {
                first = before;
            }
        }
        let until = stream.min(self.grid.at(first));
        let picked = self.release(until);
        self.held = Some(Held { frame, stream, first: first.max(self.next), duration });
        picked
    }

    /// The held frame stands for no grid point before this instant.
    pub fn due(&self) -> Option<StreamTime> {
        self.held.as_ref().map(|held| self.grid.at(held.first))
    }

    /// No frame follows for now (the end, or another format): returns the held one for as long as it lasts.
    pub fn finish(&mut self) -> Option<Picked<F>> {
        let held = self.held.as_ref()?;
        let until = held.stream.plus(held.duration.unwrap_or_default().max(Duration::from_nanos(1)));
        self.release(until)
    }

    /// The held frame stands for grid points before `until`, but for no longer than it may be repeated.
    fn release(&mut self, until: StreamTime) -> Option<Picked<F>> {
        let held = self.held.take()?;
        let hold = (2 * self.grid.period()).max(held.duration.unwrap_or_default());
        let until = until.min(held.stream.plus(hold));
        let last = GridIndex(self.grid.ceil(until).0 - 1);
        if last < held.first {
            return None;
        }
        self.next = GridIndex(last.0 + 1);
        Some(Picked { frame: held.frame, stream: held.stream, first: held.first, last })
    }
}

/// Gives audio buffers the times their samples say: time stamps that wander by less than [`Joiner::TOLERANCE`] do not
/// break a run, a hole starts a new one, an overlap is cut off.
#[derive(Debug)]
pub struct Joiner {
    rate: u32,
    run: Option<(StreamTime, u64)>,
}

impl Joiner {
    /// Time stamps may differ from the sample count by this much, in nanoseconds.
    pub const TOLERANCE: i64 = 40_000_000;

    /// For samples of this rate.
    pub fn new(rate: u32) -> Self {
        Self { rate: rate.max(1), run: None }
    }

    /// Returns the stream time of the first sample that is left; `None` when none is.
    pub fn join(&mut self, stream: StreamTime, samples: &mut Vec<f32>) -> Option<StreamTime> {
        let (start, count) = match self.run {
            Some((start, count)) => (start, count),
            None => (stream, 0),
        };
        let expected = StreamTime(start.0 + self.span(count));
        let ahead = stream.0 - expected.0;
        let (start, count, at) = if ahead >= Self::TOLERANCE {
            (stream, 0, stream)
        } else {
            if ahead <= -Self::TOLERANCE {
                let overlap = (i128::from(-ahead) * i128::from(self.rate) / 1_000_000_000) as usize;
                samples.drain(..overlap.min(samples.len()));
            }
            (start, count, expected)
        };
        self.run = Some((start, count + samples.len() as u64));
        (!samples.is_empty()).then_some(at)
    }

    /// Nanoseconds `count` samples last.
    fn span(&self, count: u64) -> i64 {
        (u128::from(count) * 1_000_000_000 / u128::from(self.rate)) as i64
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn grid() -> Grid {
        Grid::new(Duration::from_millis(250)).expect("positive")
    }

    fn at(ms: i64) -> StreamTime {
        StreamTime(ms * 1_000_000)
    }

    /// The grid points and frame times that frames at `times` (ms) give.
    fn picks(times: &[i64], duration: Option<u64>) -> Vec<(i64, i64)> {
        let mut picker = Picker::new(grid());
        let duration = duration.map(Duration::from_millis);
        let mut out: Vec<Picked<i64>> =
            times.iter().filter_map(|&time| picker.push(time, at(time), duration, false, at(0))).collect();
        out.extend(picker.finish());
        out.iter().flat_map(|p| (p.first.0..=p.last.0).map(|index| (index, p.frame))).collect()
    }

    #[test]
    fn every_grid_point_gets_the_latest_frame_at_or_before_it() {
        let times: Vec<i64> = (0..25).map(|frame| frame * 40).collect();
        assert_eq!(picks(&times, Some(40)), [(0, 0), (1, 240), (2, 480), (3, 720)]);
        let on_grid: Vec<i64> = (0..5).map(|frame| frame * 250).collect();
        assert_eq!(picks(&on_grid, Some(250)), [(0, 0), (1, 250), (2, 500), (3, 750), (4, 1000)]);
    }

    #[test]
    fn slow_sources_repeat_a_frame_for_as_long_as_it_lasts_or_two_periods() {
        assert_eq!(
            picks(&[0, 1000, 2000], Some(1000)),
            [
                (0, 0),
                (1, 0),
                (2, 0),
                (3, 0),
                (4, 1000),
                (5, 1000),
                (6, 1000),
                (7, 1000),
                (8, 2000),
                (9, 2000),
                (10, 2000),
                (11, 2000)
            ]
        );
        assert_eq!(picks(&[0, 1000], None), [(0, 0), (1, 0), (4, 1000)]);
    }

    #[test]
    fn fast_sources_lose_all_but_one_frame_of_a_period() {
        let times: Vec<i64> = (0..240).map(|frame| frame * 1000 / 120).collect();
        let picked = picks(&times, Some(8));
        assert_eq!(picked.len(), 8);
        assert!(picked.iter().all(|(index, frame)| frame <= &(index * 250) && index * 250 - frame < 9));
    }

    #[test]
    fn a_first_frame_that_is_a_little_late_stands_for_the_grid_point_before() {
        assert_eq!(picks(&[80, 120, 260], Some(40)), [(0, 80), (1, 120)]);
        assert_eq!(picks(&[200, 240, 260], Some(40)), [(1, 240)]);
    }

    proptest! {
        #[test]
        fn no_grid_point_comes_twice_and_none_shows_the_future(
            steps in prop::collection::vec((1i64..3000, any::<bool>()), 1..100),
        ) {
            let mut picker = Picker::new(grid());
            let (mut time, mut next) = (0, i64::MIN);
            for (step, restart) in steps {
                time += step;
                let duration = Some(Duration::from_millis(40));
                if let Some(picked) = picker.push(time, at(time), duration, restart, at(0)) {
                    prop_assert!(picked.first.0 >= next && picked.last >= picked.first);
                    prop_assert!(grid().at(picked.first).plus(grid().period() / 2) >= picked.stream);
                    prop_assert!(grid().at(picked.last) < at(time));
                    next = picked.last.0 + 1;
                }
            }
        }
    }

    #[test]
    fn sound_is_joined_over_jitter_cut_at_overlaps_and_broken_at_holes() {
        let mut joiner = Joiner::new(1000);
        let mut join = |ms: i64, count: usize| {
            let mut samples = vec![0.0; count];
            (joiner.join(at(ms), &mut samples).map(|time| time.0 / 1_000_000), samples.len())
        };
        assert_eq!(join(0, 100), (Some(0), 100));
        assert_eq!(join(120, 100), (Some(100), 100), "20 ms of jitter");
        assert_eq!(join(185, 100), (Some(200), 100));
        assert_eq!(join(250, 100), (Some(300), 50), "50 ms said twice");
        assert_eq!(join(200, 50), (None, 0));
        assert_eq!(join(500, 100), (Some(500), 100), "150 ms missing");
        assert_eq!(join(600, 100), (Some(600), 100));
    }
}
