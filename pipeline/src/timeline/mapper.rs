//! From the source's time stamps to stream time: the rules for pauses, jumps, restarts and loops.

use std::time::Duration;

use super::{StreamTime, nanos};
use crate::stream::Medium;

/// How jumps of the source's time stamps are judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Time stamps further than this after the newest sample of either track are a jump.
    pub forward: Duration,
    /// Time stamps further than this before the end of their own track are a jump; less is late data.
    pub backward: Duration,
    /// Is the wall clock the judge of what was missed? If not, time stamps before the first sample count from zero and
    /// jumps leave no gap.
    pub live: bool,
}

impl Rules {
    /// A live source: 3 s ahead are a jump, and the wall clock says how long it took.
    pub const LIVE: Self =
        Self { forward: Duration::from_secs(3), backward: Duration::from_secs(1), live: true };
    /// A file: its time line is the truth, so only an hour without any sample is taken for a broken time stamp.
    pub const FILE: Self =
        Self { forward: Duration::from_secs(3600), backward: Duration::from_secs(1), live: false };
}

/// What the source says of one buffer, all in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Running time of the graph, which follows the source's time stamps.
    pub pts: i64,
    /// How long the buffer lasts; 0 when not known.
    pub duration: i64,
    /// A monotonic wall clock at arrival; zero when the source was started.
    pub wall: i64,
    /// The source's own wall clock at capture, if it gives one that can be trusted over an outage.
    pub ntp: Option<i64>,
}

/// A span of stream time of which nothing is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hole {
    /// First instant not covered.
    pub from: StreamTime,
    /// First instant covered again.
    pub to: StreamTime,
    /// What made it.
    pub cause: HoleCause,
}

/// What made a [`Hole`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoleCause {
    /// The connection was lost.
    Outage,
    /// Nothing arrived for a while, and time stamps agree.
    Pause,
    /// Time stamps jumped forward.
    Forward,
    /// Time stamps jumped back.
    Backward,
}

/// Where a buffer belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placed {
    /// At this stream time. `restart`: it does not follow from the track's buffer before; `hole`: time was missed.
    At {
        /// Stream time of the buffer's start.
        stream: StreamTime,
        /// A jump, an outage or a loop lies between this buffer and the track's last.
        restart: bool,
        /// The time missed, said once for both tracks.
        hole: Option<Hole>,
    },
    /// Before what this track has delivered already: to be dropped.
    Late,
}

/// Maps the time stamps of both tracks to stream time. Stream time never runs backwards within a track, and both tracks
/// keep their distance through every jump, because the second track to jump takes over the first one's new mapping.
#[derive(Debug)]
pub struct Timeline {
    rules: Rules,
    /// stream = pts + offset, for whoever restarts next; `None` before a live source's first sample.
    offset: Option<i64>,
    epoch: u64,
    /// Tracks of an older epoch than this one must take over the newest mapping, whatever their stamps say.
    all_from: u64,
    pending: Option<Pending>,
    tracks: [TrackState; 2],
    last: Option<Last>,
    /// Up to here holes were already reported while the source was away.
    reported: StreamTime,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pending {
    Outage,
    Loop,
}

#[derive(Debug, Clone, Copy, Default)]
struct TrackState {
    offset: i64,
    epoch: u64,
    end: Option<StreamTime>,
}

/// The newest sample of either track.
#[derive(Debug, Clone, Copy)]
struct Last {
    end: StreamTime,
    wall: i64,
    /// ntp minus stream time.
    ntp: Option<i64>,
}

/// A pause is confirmed by the wall clock when time stamps moved as far as it did, to within this.
const CONFIRMED: i64 = 1_000_000_000;
/// A source's own clock may differ from ours by this much over an outage before it is taken for reset.
const NTP_TRUST: i64 = 10_000_000_000;

impl Timeline {
    /// A stream that has not started. A file's time stamps are its stream time; a live source starts at zero with its
    /// first sample, or with the outage that came before it.
    pub fn new(rules: Rules) -> Self {
        Self {
            rules,
            offset: (!rules.live).then_some(0),
            epoch: 1,
            all_from: 1,
            pending: None,
            tracks: [TrackState::default(); 2],
            last: None,
            reported: StreamTime::ZERO,
        }
    }

    /// A live stream that another has watched up to `end`, which was at the wall time `wall`, before this one's zero: what
    /// lies between is an outage.
    pub fn resumed(rules: Rules, end: StreamTime, wall: i64) -> Self {
        Self {
            last: Some(Last { end, wall, ntp: None }),
            pending: Some(Pending::Outage),
            reported: end,
            ..Self::new(rules)
        }
    }

    /// The end of the newest sample; `None` before the first.
    pub fn end(&self) -> Option<StreamTime> {
        self.last.map(|last| last.end)
    }

    /// Up to here holes were reported; what comes before is late.
    pub fn reported(&self) -> StreamTime {
        self.reported
    }

    /// The connection is gone: the next sample comes after as much stream time as passes on the wall. `true`: there was
    /// none yet, and the stream of a live source begins with this outage, at the wall's zero.
    pub fn lost(&mut self) -> bool {
        let begins = self.last.is_none() && self.rules.live;
        if begins {
            self.last = Some(Last { end: StreamTime::ZERO, wall: 0, ntp: None });
        }
        if self.last.is_some() {
            self.pending = Some(Pending::Outage);
        }
        begins
    }

    /// The file starts again: its time stamp zero comes at the end of the newest sample.
    pub fn looped(&mut self) {
        self.pending = Some(Pending::Loop);
    }

    /// The part of the present outage that was not reported yet, up to the wall time `wall`, once it is a second long; it
    /// counts as reported then.
    pub fn outage_until(&mut self, wall: i64) -> Option<Hole> {
        let last = self.last.filter(|_| self.pending == Some(Pending::Outage))?;
        let to = StreamTime(last.end.0.saturating_add((wall - last.wall).max(0)));
        let from = last.end.max(self.reported);
        (to.0 - from.0 >= CONFIRMED).then(|| {
            self.reported = to;
            Hole { from, to, cause: HoleCause::Outage }
        })
    }

    /// Places one buffer.
    pub fn place(&mut self, track: Medium, stamp: &Stamp) -> Placed {
        let mut hole = self.begin(stamp);
        let newest = self.end().unwrap_or_default();
        let mut state = self.tracks[track as usize];
        let latest = TrackState { offset: self.offset.unwrap_or(0), epoch: self.epoch, end: state.end };
        let moved = state.epoch != latest.epoch;
        let mut restart =
            moved && (state.epoch < self.all_from || self.jumps(&state, stamp, newest).is_some());
        if restart {
            state = latest;
        }
        if let Some(cause) = self.jumps(&state, stamp, newest) {
            hole = hole.or(self.jump(cause, stamp, newest));
            restart = true;
            state = TrackState { offset: self.offset.unwrap_or(0), epoch: self.epoch, end: state.end };
        }
        let stream = StreamTime(stamp.pts.saturating_add(state.offset));
        let over = stream.0.saturating_add(stamp.duration.max(0));
        let late = state.end.is_some_and(|end| match track {
            Medium::Audio => over <= end.0,
            Medium::Video => stream < end,
        });
        if late || stream < self.reported {
            self.tracks[track as usize] = state;
            return Placed::Late;
        }
        // The next frame must come after this one; its duration is only a promise.
        let next = if track == Medium::Video { stream.0 + 1 } else { over };
        state.end = Some(StreamTime(next).max(state.end.unwrap_or_default()));
        self.tracks[track as usize] = state;
        let end = StreamTime(over).max(newest);
        self.last = Some(Last { end, wall: stamp.wall, ntp: stamp.ntp.map(|ntp| ntp - stream.0) });
        Placed::At { stream, restart, hole }
    }

    /// Starts the stream, or starts it again after an outage or at a loop: sets the mapping both tracks take over.
    fn begin(&mut self, stamp: &Stamp) -> Option<Hole> {
        let Some(last) = self.last else {
            let offset = *self.offset.get_or_insert(-stamp.pts);
            self.tracks = [TrackState { offset, epoch: self.epoch, end: None }; 2];
            return None;
        };
        let hole = match self.pending.take()? {
            Pending::Loop => {
                self.restart_at(last.end.0);
                None
            }
            Pending::Outage => {
                let by_wall = last.end.0.saturating_add((stamp.wall - last.wall).max(0));
                let by_ntp = stamp.ntp.zip(last.ntp).map(|(ntp, offset)| ntp - offset);
                let confirmed = by_ntp.filter(|at| (at - by_wall).abs() < NTP_TRUST);
                let from = last.end.max(self.reported);
                let to = StreamTime(confirmed.unwrap_or(by_wall)).max(from);
                self.restart_at(to.0 - stamp.pts);
                self.reported = to;
                // The outage is accounted for; it must not be taken for a jump besides.
                self.last = Some(Last { end: to, ..last });
                (to > from).then_some(Hole { from, to, cause: HoleCause::Outage })
            }
        };
        self.all_from = self.epoch;
        hole
    }

    fn restart_at(&mut self, offset: i64) {
        self.offset = Some(offset);
        self.epoch += 1;
    }

    /// Does the stamp make no sense under the track's mapping?
    fn jumps(&self, state: &TrackState, stamp: &Stamp, newest: StreamTime) -> Option<HoleCause> {
        self.last?;
        let stream = stamp.pts.saturating_add(state.offset);
        if stream > newest.0.saturating_add(nanos(self.rules.forward)) {
            return Some(HoleCause::Forward);
        }
        let end = state.end?.0;
        (stream < end.saturating_sub(nanos(self.rules.backward))).then_some(HoleCause::Backward)
    }

    /// Decides where the source goes on after a jump.
    fn jump(&mut self, cause: HoleCause, stamp: &Stamp, newest: StreamTime) -> Option<Hole> {
        let elapsed = self.last.map_or(0, |last| (stamp.wall - last.wall).max(0));
        let stream = stamp.pts.saturating_add(self.offset.unwrap_or(0));
        let jump = stream.saturating_sub(newest.0);
        let (missed, cause) = match cause {
            _ if !self.rules.live => (0, cause),
            HoleCause::Forward if (jump - elapsed).abs() <= CONFIRMED => (jump, HoleCause::Pause),
            HoleCause::Forward => (elapsed.min(jump), cause),
            // The time between two buffers is no outage.
            _ => (if elapsed > CONFIRMED { elapsed } else { 0 }, cause),
        };
        let to = StreamTime(newest.0.saturating_add(missed));
        self.restart_at(to.0 - stamp.pts);
        // Less than a second is not worth a record; the frames and samples themselves show it.
        (missed >= CONFIRMED).then_some(Hole { from: newest, to, cause })
    }
}

#[cfg(test)]
mod tests;
