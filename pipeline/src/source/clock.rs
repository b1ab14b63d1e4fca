//! Capture time: the source's own wall clock where it gives one, else its time stamps anchored at arrival.

use crate::stream::Medium;
use crate::timeline::{ClockAnchor, ClockQuality, StreamTime, UtcTime};

/// A change that readers must know of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct ClockChange {
    pub clock: ClockQuality,
    pub av_offset_ms: Option<f64>,
    pub anchor: ClockAnchor,
}

/// Knows the capture time of every sample. Offsets are UTC minus stream time in nanoseconds.
#[derive(Debug, Default)]
pub(super) struct CaptureClock {
    live: bool,
    /// By the source's own clock, for each track.
    ntp: [Option<i64>; 2],
    /// By time stamps, anchored at arrival.
    pts: Option<i64>,
    /// The least delay seen since `since`, to follow a source whose clock runs slower or faster than ours.
    least: Option<i64>,
    since: i64,
    announced: Option<(ClockQuality, i64, Option<f64>)>,
    /// A playlist: samples come in bursts, the first of which is older than it looks.
    bursts: bool,
    /// In the first burst of a playlist: nothing is announced before it is over.
    settling: bool,
    /// The newest sample.
    newest: i64,
}

const SECOND: i64 = 1_000_000_000;
/// A source's clock further off than this is not set (many cameras count from 1900 or from power-on).
const NTP_SANE: i64 = 3600 * SECOND;
/// How long the least delay is observed before the anchor follows it.
const OBSERVE: i64 = 60 * SECOND;
/// Drift below this is left alone.
const DRIFT: i64 = SECOND / 10;
/// A playlist's anchor moves back by this part of the time that passes, so that capture times do not run back.
const SLEW: i64 = 10;
/// Changes of the source's clock above this are announced.
const STEP: i64 = SECOND / 50;
/// Changes of the measured offset above this are announced, in milliseconds.
const OFFSET_STEP_MS: f64 = 5.0;

impl CaptureClock {
    pub fn new(live: bool) -> Self {
        Self { live, ..Self::default() }
    }

    /// A new connection, or the time stamps jumped: everything known is void and what is known next is announced. A
    /// file keeps its anchor, so that its capture times run on.
    pub fn restart(&mut self) {
        let pts = self.pts.filter(|_| !self.live);
        *self = Self { live: self.live, pts, ..Self::default() };
    }

    /// The samples come from a playlist, the first ones in a burst.
    pub fn bursts(&mut self) {
        self.bursts = self.live;
        self.settling = self.live;
    }

    /// Must what was captured be dated anew once the first burst is over?
    pub fn is_settling(&self) -> bool {
        self.settling
    }

    /// The first burst is over: UTC minus stream time of all that came, and the change to be said before it. `None`: nothing came.
    pub fn settle(&mut self, from: StreamTime) -> Option<(i64, ClockChange)> {
        self.settling = false;
        let offset = self.pts?;
        self.announce(Medium::Video, ClockQuality::Pts, offset, from).map(|change| (offset, change))
    }

    /// Our own clock was set, and what arrives is `step` nanoseconds later by it than it would have been.
    pub fn stepped(&mut self, step: i64) {
        if self.live {
            for offset in [&mut self.pts, &mut self.least].into_iter().flatten() {
                *offset += step;
            }
        }
    }

    /// Capture time of a sample that arrived at `arrival`; `ntp` is the source's wall clock at its capture; `stamped`
    /// says whether it carried a time stamp. A change is returned before the sample it applies to.
    pub fn capture(
        &mut self,
        track: Medium,
        stream: StreamTime,
        arrival: UtcTime,
        ntp: Option<UtcTime>,
        stamped: bool,
    ) -> (UtcTime, Option<ClockChange>) {
        let delay = arrival.0 - stream.0;
        if let Some(ntp) = ntp {
            self.ntp[track as usize] = Some(ntp.0 - stream.0);
            self.settling = false;
        }
        self.follow(delay, stream);
        // Stream time is one for both tracks, so either track's clock serves a track that has none.
        let [audio, video] = self.ntp;
        let own = self.ntp[track as usize].or(video).or(audio);
        let own = own.filter(|offset| (offset - delay).abs() < NTP_SANE);
        let (clock, offset) = match own {
            Some(offset) => (ClockQuality::Ntp, offset),
            None if stamped => (ClockQuality::Pts, self.pts.unwrap_or(delay)),
            None => (ClockQuality::Arrival, delay),
        };
        let change = if self.settling { None } else { self.announce(track, clock, offset, stream) };
        (UtcTime(stream.0 + offset), change)
    }

    /// Time stamps that drift against our clock: a sample cannot be captured after it arrived, so the anchor moves at
    /// once when that would be, or slowly where bursts tell little; and once a minute it moves to the least delay seen.
    fn follow(&mut self, delay: i64, stream: StreamTime) {
        let anchor = *self.pts.get_or_insert(delay);
        let advance = stream.0.saturating_sub(self.newest).max(0);
        self.newest = self.newest.max(stream.0);
        if !self.live {
            return;
        }
        let least = self.least.map_or(delay, |least| least.min(delay));
        self.least = Some(least);
        if delay < anchor - DRIFT {
            let slowly = self.bursts && !self.settling;
            self.pts = Some(if slowly { delay.max(anchor - advance / SLEW) } else { delay });
        }
        if stream.0 - self.since >= OBSERVE {
            if least - anchor > DRIFT {
                self.pts = Some(least);
            }
            self.least = None;
            self.since = stream.0;
        }
    }

    fn announce(
        &mut self,
        track: Medium,
        clock: ClockQuality,
        offset: i64,
        stream: StreamTime,
    ) -> Option<ClockChange> {
        // One track speaks for both, for two would alternate: the video if its own clock is known.
        let leads = track == Medium::Video || self.ntp[Medium::Video as usize].is_none();
        if !leads && self.announced.is_some() {
            return None;
        }
        // Sound and sight captured together have the same NTP time, so their offsets differ as their time stamps do.
        let [audio, video] = self.ntp;
        let av_offset_ms = audio.zip(video).map(|(audio, video)| (video - audio) as f64 / 1e6);
        let changed = self.announced.is_none_or(|(was, at, av)| {
            let step = if self.bursts { DRIFT } else { STEP };
            let moved = clock != ClockQuality::Arrival && (at - offset).abs() > step;
            let measured = match (av, av_offset_ms) {
                (Some(was), Some(now)) => (was - now).abs() > OFFSET_STEP_MS,
                (was, now) => was.is_some() != now.is_some(),
            };
            was != clock || moved || measured
        });
        changed.then(|| {
            self.announced = Some((clock, offset, av_offset_ms));
            let anchor = ClockAnchor { stream, utc: UtcTime(stream.0 + offset) };
            ClockChange { clock, av_offset_ms, anchor }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;
    const NOW: i64 = 1_800_000_000 * SECOND;

    fn at(
        clock: &mut CaptureClock,
        track: Medium,
        stream: i64,
        delay: i64,
        ntp: Option<i64>,
    ) -> (i64, Option<ClockChange>) {
        let (capture, change) =
            clock.capture(track, StreamTime(stream), UtcTime(NOW + stream + delay), ntp.map(UtcTime), true);
        (capture.0 - NOW - stream, change)
    }

    #[test]
    fn without_a_source_clock_time_stamps_are_anchored_at_the_first_arrival() {
        let mut clock = CaptureClock::new(true);
        let (offset, change) = at(&mut clock, Medium::Video, 0, 0, None);
        let change = change.expect("the first sample says which clock it is");
        assert_eq!((offset, change.clock, change.av_offset_ms), (0, ClockQuality::Pts, None));
        assert_eq!(change.anchor, ClockAnchor { stream: StreamTime(0), utc: UtcTime(NOW) });
        assert_eq!(
            at(&mut clock, Medium::Video, SECOND, 300 * MS, None),
            (0, None),
            "jitter is not capture time"
        );
        assert_eq!(at(&mut clock, Medium::Audio, SECOND, 20 * MS, None), (0, None));
    }

    #[test]
    fn the_anchor_follows_a_source_that_runs_slow_or_fast() {
        let mut clock = CaptureClock::new(true);
        at(&mut clock, Medium::Video, 0, 0, None);
        let (offset, change) = at(&mut clock, Medium::Video, 10 * SECOND, -500 * MS, None);
        assert_eq!(offset, -500 * MS, "nothing is captured after it arrived");
        assert!(change.is_some());
        for second in 11..140 {
            at(&mut clock, Medium::Video, second * SECOND, 400 * MS + (second % 3) * 100 * MS, None);
        }
        assert_eq!(at(&mut clock, Medium::Video, 140 * SECOND, 600 * MS, None).0, 400 * MS);
    }

    #[test]
    fn the_first_burst_of_a_playlist_is_dated_by_its_end_and_the_anchor_then_moves_slowly() {
        let mut clock = CaptureClock::new(true);
        clock.bursts();
        // Eight seconds that come within one.
        for second in 0..8 {
            let (_, change) = at(&mut clock, Medium::Video, second * SECOND, -second * SECOND * 7 / 8, None);
            assert_eq!(change, None);
        }
        let (offset, change) = clock.settle(StreamTime(0)).expect("something came");
        assert_eq!(offset - NOW, -7 * SECOND * 7 / 8);
        assert_eq!((change.clock, change.anchor.utc), (ClockQuality::Pts, UtcTime(offset)));
        // What comes sooner after it was made moves the anchor by a tenth of the time that passes.
        let least = at(&mut clock, Medium::Video, 8 * SECOND, offset - NOW - 2 * SECOND, None).0;
        assert_eq!(least, offset - NOW - SECOND / 10);
        // A playlist that says when it was captured needs none of this.
        clock.restart();
        clock.bursts();
        let (offset, change) = at(&mut clock, Medium::Video, 20 * SECOND, 0, Some(NOW + 14 * SECOND));
        assert_eq!((offset, change.map(|change| change.clock)), (-6 * SECOND, Some(ClockQuality::Ntp)));
    }

    #[test]
    fn a_step_of_our_own_clock_is_followed_at_once() {
        let mut clock = CaptureClock::new(true);
        at(&mut clock, Medium::Video, 0, 0, None);
        for step in [3 * 3600 * SECOND, -2 * 3600 * SECOND] {
            let (before, _) = at(&mut clock, Medium::Video, SECOND, 0, None);
            clock.stepped(step);
            let (offset, change) = at(&mut clock, Medium::Video, 2 * SECOND, before + step, None);
            assert_eq!(offset - before, step);
            assert!(change.is_some());
            clock.stepped(-step);
            at(&mut clock, Medium::Video, 3 * SECOND, 0, None);
        }
    }

    #[test]
    fn a_file_keeps_its_first_anchor() {
        let mut clock = CaptureClock::new(false);
        at(&mut clock, Medium::Video, 0, 0, None);
        assert_eq!(at(&mut clock, Medium::Video, 100 * SECOND, -99 * SECOND, None), (0, None));
        clock.restart();
        assert_eq!(at(&mut clock, Medium::Video, 101 * SECOND, -99 * SECOND, None).0, 0);
    }

    #[test]
    fn the_source_clock_wins_and_tells_sound_from_sight() {
        let mut clock = CaptureClock::new(true);
        at(&mut clock, Medium::Video, 0, 0, None);
        let (offset, change) = at(&mut clock, Medium::Video, SECOND, 0, Some(NOW + SECOND - 200 * MS));
        assert_eq!(offset, -200 * MS);
        assert_eq!(change.map(|change| (change.clock, change.av_offset_ms)), Some((ClockQuality::Ntp, None)));
        let (offset, change) = at(&mut clock, Medium::Audio, SECOND, 0, Some(NOW + SECOND - 230 * MS));
        assert_eq!((offset, change), (-230 * MS, None), "the video's clock speaks for both");
        let (_, change) = at(&mut clock, Medium::Video, 2 * SECOND, 0, Some(NOW + 2 * SECOND - 200 * MS));
        // A sound captured with a sight lies 30 ms later in stream time.
        assert_eq!(change.and_then(|change| change.av_offset_ms), Some(30.0));
    }

    #[test]
    fn a_clock_that_was_never_set_is_not_believed_but_still_measures_the_offset() {
        let mut clock = CaptureClock::new(true);
        let (offset, change) = at(&mut clock, Medium::Audio, 0, 0, Some(77 * SECOND));
        assert_eq!((offset, change.map(|change| change.clock)), (0, Some(ClockQuality::Pts)));
        let (_, change) = at(&mut clock, Medium::Video, 0, 0, Some(77 * SECOND + 10 * MS));
        assert_eq!(change.and_then(|change| change.av_offset_ms), Some(10.0));
    }

    #[test]
    fn without_time_stamps_arrival_is_all_there_is() {
        let mut clock = CaptureClock::new(true);
        let (capture, change) = clock.capture(Medium::Video, StreamTime(5), UtcTime(NOW), None, false);
        assert_eq!((capture, change.map(|change| change.clock)), (UtcTime(NOW), Some(ClockQuality::Arrival)));
    }
}
