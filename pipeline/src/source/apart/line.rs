//! One stream's time over several processes, each of which begins at zero. Pure but for the wall's clock.

use std::time::{Duration, Instant};

use crate::source::event::{Losses, SourceEvent, TimedAudio, TimedFrame};
use crate::source::failure::Failure;
use crate::timeline::{ClockAnchor, ClockQuality, GridIndex, StreamTime, UtcTime};

/// No child says a time so far past where its stream is: an hour without a sample is a broken time stamp even in a file. So few windows does one
/// message make.
const AHEAD: Duration = Duration::from_secs(3660);

/// Moves what each child says to where the stream is. The first child's times are the stream's; those of a later one are moved by a
/// multiple of the grid's period, so that grid points stay grid points.
#[derive(Debug)]
pub struct Line {
    period: i64,
    /// Of the present child; `None` until it says a time.
    offset: Option<i64>,
    /// How far the stream's time has come, and when it was there.
    reached: StreamTime,
    reached_at: Instant,
    begun: UtcTime,
    /// A clock was said, so the reader can date what follows.
    dated: bool,
    /// Why nothing comes at present.
    outage: Option<String>,
    /// Connections of the children before, and the highest of this one.
    attempts: u32,
    attempt: u32,
    /// Losses of the children before, and of this one.
    lost_before: Losses,
    losses: Losses,
}

impl Line {
    /// A stream that has not begun, whose grid points are so far apart.
    pub fn new(period: Duration) -> Self {
        Self {
            period: i64::try_from(period.as_nanos()).unwrap_or(i64::MAX).max(1),
            offset: Some(0),
            reached: StreamTime::ZERO,
            reached_at: Instant::now(),
            begun: UtcTime::now(),
            dated: false,
            outage: None,
            attempts: 0,
            attempt: 0,
            lost_before: Losses::default(),
            losses: Losses::default(),
        }
    }

    /// Stream time minus the present child's; `None` where none has said a time yet.
    pub fn offset(&self) -> Option<i64> {
        self.offset
    }

    /// Is a child dead, and its successor has not said a time yet?
    pub fn is_away(&self) -> bool {
        self.offset.is_none()
    }

    /// The child died. A stream that never began begins with the outage, and the reader must know when that was.
    pub fn lost(&mut self, failure: &Failure) -> Vec<SourceEvent> {
        self.offset = None;
        self.outage = Some(format!("outage: {failure}"));
        self.attempts = self.attempts.saturating_add(self.attempt).saturating_add(1);
        self.attempt = 0;
        self.lost_before = sum(self.lost_before, self.losses);
        self.losses = Losses::default();
        if std::mem::replace(&mut self.dated, true) {
            return Vec::new();
        }
        let anchor = ClockAnchor { stream: StreamTime::ZERO, utc: self.begun };
        vec![SourceEvent::Clock { clock: ClockQuality::Arrival, av_offset_ms: None, anchor }]
    }

    /// The part of the outage that has passed and was not said yet.
    pub fn away(&mut self) -> Vec<SourceEvent> {
        self.away_until(self.now())
    }

    fn away_until(&mut self, to: StreamTime) -> Vec<SourceEvent> {
        let Some(reason) = self.outage.clone().filter(|_| to > self.reached) else { return Vec::new() };
        let gap = SourceEvent::Gap { from: self.reached, to, reason };
        self.reach(to);
        vec![gap, SourceEvent::Progress(to)]
    }

    /// What the present child says, at the stream's own times; before the first of a later child, the rest of the outage.
    /// An error where no source can have said that.
    pub fn place(&mut self, event: SourceEvent) -> Result<Vec<SourceEvent>, String> {
        let mut events = Vec::new();
        let first = begins(&event);
        let offset = self.offset.or_else(|| first.map(|first| self.behind(first)));
        if let Some(latest) = first.max(reaches(&event, self.period)) {
            self.check(StreamTime(latest.0.saturating_add(offset.unwrap_or(0))))?;
        }
        if let (None, Some(offset), Some(first)) = (self.offset, offset, first) {
            events = self.away_until(StreamTime(first.0.saturating_add(offset)));
            self.offset = Some(offset);
            self.outage = None;
        }
        let event = self.moved(event);
        self.dated |= matches!(event, SourceEvent::Clock { .. });
        if let Some(until) = reaches(&event, self.period) {
            self.reach(until);
        }
        events.push(event);
        Ok(events)
    }

    /// By how much a child that begins at `first` is behind the stream: whole periods.
    fn behind(&self, first: StreamTime) -> i64 {
        let behind = self.now().0.saturating_sub(first.0).max(0);
        let periods = behind.div_euclid(self.period) + i64::from(behind.rem_euclid(self.period) != 0);
        periods.saturating_mul(self.period)
    }

    /// Can the stream have come so far?
    fn check(&self, latest: StreamTime) -> Result<(), String> {
        // Where nobody listened for hours, the first that is heard then tells of all of them.
        let now = self.now();
        if latest > now.plus(AHEAD) {
            let ahead = latest.since(now).as_secs();
            return Err(format!("a time that is {ahead} s ahead of the stream's"));
        }
        Ok(())
    }

    fn moved(&mut self, event: SourceEvent) -> SourceEvent {
        let offset = self.offset.unwrap_or(0);
        let at = |time: StreamTime| StreamTime(time.0.saturating_add(offset));
        match event {
            SourceEvent::Connected { attempt, has_audio, has_video, live, length } => {
                self.attempt = attempt;
                let attempt = self.attempts.saturating_add(attempt);
                SourceEvent::Connected { attempt, has_audio, has_video, live, length }
            }
            SourceEvent::Frame(frame) => SourceEvent::Frame(TimedFrame {
                at: GridIndex(frame.at.0.saturating_add(offset / self.period)),
                stream: at(frame.stream),
                ..frame
            }),
            SourceEvent::Audio(audio) => SourceEvent::Audio(TimedAudio { stream: at(audio.stream), ..audio }),
            SourceEvent::Clock { clock, av_offset_ms, anchor } => {
                let anchor = ClockAnchor { stream: at(anchor.stream), utc: anchor.utc };
                SourceEvent::Clock { clock, av_offset_ms, anchor }
            }
            SourceEvent::Gap { from, to, reason } => SourceEvent::Gap { from: at(from), to: at(to), reason },
            SourceEvent::Progress(time) => SourceEvent::Progress(at(time)),
            SourceEvent::Losses(losses) => {
                self.losses = losses;
                SourceEvent::Losses(sum(self.lost_before, losses))
            }
            same @ (SourceEvent::Format(_) | SourceEvent::Lost { .. } | SourceEvent::Ended(_)) => same,
        }
    }

    fn reach(&mut self, until: StreamTime) {
        if until > self.reached {
            self.reached = until;
            self.reached_at = Instant::now();
        }
    }

    /// Where the stream's time would be if it had gone on with the wall's.
    fn now(&self) -> StreamTime {
        self.reached.plus(self.reached_at.elapsed())
    }
}

/// The first time an event tells of.
fn begins(event: &SourceEvent) -> Option<StreamTime> {
    match event {
        SourceEvent::Frame(frame) => Some(frame.stream),
        SourceEvent::Audio(audio) => Some(audio.stream),
        SourceEvent::Clock { anchor, .. } => Some(anchor.stream),
        SourceEvent::Gap { from, .. } => Some(*from),
        SourceEvent::Progress(time) => Some(*time),
        _ => None,
    }
}

/// Up to where an event accounts for the stream's time.
fn reaches(event: &SourceEvent, period: i64) -> Option<StreamTime> {
    match event {
        SourceEvent::Frame(frame) => Some(StreamTime(frame.at.0.saturating_mul(period)).max(frame.stream)),
        SourceEvent::Audio(audio) => Some(audio.stream),
        SourceEvent::Gap { to, .. } => Some(*to),
        SourceEvent::Progress(time) => Some(*time),
        _ => None,
    }
}

fn sum(one: Losses, other: Losses) -> Losses {
    Losses {
        late: one.late.saturating_add(other.late),
        shed: one.shed.saturating_add(other.shed),
        damaged: one.damaged.saturating_add(other.damaged),
    }
}

#[cfg(test)]
mod tests {
    use avicuna_models::sample::RgbFrame;

    use super::*;
    use crate::source::failure::Kind;

    const HALF: Duration = Duration::from_millis(500);

    fn connected(attempt: u32) -> SourceEvent {
        SourceEvent::Connected { attempt, has_audio: false, has_video: true, live: true, length: None }
    }

    fn placed(line: &mut Line, event: SourceEvent) -> Vec<SourceEvent> {
        line.place(event).expect("it can be")
    }

    fn frame(index: i64) -> SourceEvent {
        SourceEvent::Frame(TimedFrame {
            at: GridIndex(index),
            stream: StreamTime(index.saturating_mul(500_000_000)),
            capture: UtcTime(0),
            frame: RgbFrame { width: 0, height: 0, aspect: 1.0, data: Vec::new() },
        })
    }

    fn crash() -> Failure {
        Failure::new(Kind::Crashed, "cam: it died")
    }

    #[test]
    fn the_first_child_is_believed_as_it_is() {
        let mut line = Line::new(HALF);
        assert_eq!(placed(&mut line, frame(3)), [frame(3)]);
        assert!(!line.is_away());
    }

    #[test]
    fn a_later_child_goes_on_after_the_outage_on_the_grid() {
        let mut line = Line::new(HALF);
        placed(
            &mut line,
            SourceEvent::Clock {
                clock: ClockQuality::Pts,
                av_offset_ms: None,
                anchor: ClockAnchor { stream: StreamTime::ZERO, utc: UtcTime(0) },
            },
        );
        placed(&mut line, frame(7));
        assert_eq!(line.lost(&crash()), []);
        assert!(line.is_away());
        assert_eq!(placed(&mut line, connected(0)), [connected(1)]);
        let events = placed(&mut line, frame(0));
        let [SourceEvent::Gap { from, to, reason }, SourceEvent::Progress(until), SourceEvent::Frame(next)] =
            &events[..]
        else {
            panic!("{events:?}")
        };
        assert_eq!((from.as_secs_f64(), to, reason.as_str()), (3.5, until, "outage: crashed: cam: it died"));
        assert_eq!((next.at, next.stream), (GridIndex(8), *to));
        assert!(!line.is_away());
    }

    #[test]
    fn an_outage_is_said_once_and_losses_add_up() {
        let mut line = Line::new(HALF);
        let losses = |late| SourceEvent::Losses(Losses { late, shed: 0, damaged: 0 });
        assert_eq!(placed(&mut line, losses(2)), [losses(2)]);
        // Nothing ever came: the stream begins with the outage.
        assert!(matches!(line.lost(&crash())[..], [SourceEvent::Clock { .. }]));
        std::thread::sleep(Duration::from_millis(2));
        let (first, second) = (line.away(), line.away());
        let [SourceEvent::Gap { to, .. }, SourceEvent::Progress(_)] = &first[..] else { panic!("{first:?}") };
        if let [SourceEvent::Gap { from, .. }, _] = &second[..] {
            assert_eq!(from, to);
        }
        assert_eq!(placed(&mut line, losses(3)), [losses(5)]);
    }

    #[test]
    fn no_time_is_believed_that_lies_far_ahead() {
        let mut line = Line::new(HALF);
        placed(&mut line, connected(0));
        let hour = |hours: i64| SourceEvent::Progress(StreamTime(hours * 3_600_000_000_000));
        // A film is read faster than it plays.
        for hours in 1..5 {
            placed(&mut line, hour(hours));
        }
        assert!(line.place(hour(6)).is_err());
        let far = SourceEvent::Gap { from: StreamTime(0), to: StreamTime(i64::MAX), reason: String::new() };
        assert!(line.place(far).is_err());
        assert!(line.place(frame(i64::MAX)).is_err());
        assert_eq!(placed(&mut line, hour(5)), [hour(5)], "what is refused leaves nothing behind");
    }
}
