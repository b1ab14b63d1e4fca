//! Which clips a stream's events want, and when. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{ClipPlan, Piece};
use crate::record::{EventRecord, Evidence, Phase};
use crate::timeline::StreamTime;

/// How much of a stream a clip shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rolls {
    /// Before the event.
    pub pre: Duration,
    /// After it.
    pub post: Duration,
    /// Of a longer event its beginning.
    pub longest: Duration,
}

/// A clip that an event wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub event: String,
    pub from: StreamTime,
    pub to: StreamTime,
    pub surest: StreamTime,
}

/// The open events of one stream.
#[derive(Debug)]
pub(crate) struct Following {
    plan: ClipPlan,
    open: BTreeMap<String, Open>,
}

#[derive(Debug, Clone, Copy)]
struct Open {
    start: StreamTime,
    end: StreamTime,
    surest: StreamTime,
    score: f64,
    /// Its clip is ordered, as it is too long to wait for its end.
    is_cut: bool,
}

impl Following {
    /// Of a stream that has not begun.
    pub fn new(plan: ClipPlan) -> Self {
        Self { plan, open: BTreeMap::new() }
    }

    /// Where what will be kept of an event can be had, known before it is.
    pub fn evidence(&self, event: &str) -> Evidence {
        let at = |piece: Piece| Some(format!("{}/v1/events/{event}/{}", self.plan.public_url, piece.file()));
        let (audio, masked) = (self.plan.rules.audio, !self.plan.rules.mask.is_empty());
        let clip = audio || (self.plan.video && !masked);
        Evidence {
            clip: at(Piece::Clip).filter(|_| clip),
            snapshot: at(Piece::Snapshot).filter(|_| self.plan.video),
            spectrogram: at(Piece::Spectrogram).filter(|_| audio),
        }
    }

    /// Takes the next record of an event; returns the clip that it wants now.
    pub fn note(&mut self, event: &EventRecord) -> Option<Wanted> {
        let time = |seconds: f64| StreamTime((seconds * 1e9) as i64);
        let (start, end) = (time(event.start.stream), time(event.end.stream));
        let surest =
            middle(start.max(time(event.window.start)), end.min(time(event.window.end)), (start, end));
        let open = self.open.entry(event.event_id.clone()).or_insert(Open {
            start,
            end,
            surest,
            score: event.score,
            is_cut: false,
        });
        if event.score > open.score {
            (open.score, open.surest) = (event.score, surest);
        }
        (open.start, open.end) = (start, end);
        if event.phase != Phase::Ended {
            return None;
        }
        let open = self.open.remove(&event.event_id)?;
        (!open.is_cut).then(|| self.wanted(&event.event_id, &open))
    }

    /// The clips of events that go on for too long to wait for their end, once the stream's time has come to `reached`.
    pub fn due(&mut self, reached: StreamTime) -> Vec<Wanted> {
        let longest = self.plan.rolls.longest;
        let mut due = Vec::new();
        for (event, open) in &mut self.open {
            if !open.is_cut && open.start.plus(longest) <= reached {
                open.is_cut = true;
                due.push((event.clone(), *open));
            }
        }
        due.iter().map(|(event, open)| self.wanted(event, open)).collect()
    }

    fn wanted(&self, event: &str, open: &Open) -> Wanted {
        let Rolls { pre, post, longest } = self.plan.rolls;
        let end = open.end.min(open.start.plus(longest)).max(open.start);
        let surest = open.surest.max(open.start).min(end);
        Wanted {
            event: event.to_owned(),
            from: open.start.minus(pre).max(StreamTime::ZERO),
            to: end.plus(post),
            surest,
        }
    }
}

/// The middle of what a window saw of an event; of the event itself where it saw nothing of what it is now.
fn middle(from: StreamTime, to: StreamTime, (start, end): (StreamTime, StreamTime)) -> StreamTime {
    let (from, to) = if from < to { (from, to) } else { (start, end) };
    StreamTime(from.0 + (to.0 - from.0) / 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Latency, WindowRef};
    use crate::source::RingConfig;
    use crate::source::cut::{ClipRules, Rectangle};
    use crate::stream::{Instant, Modality};
    use crate::timeline::ClockQuality;

    const SECOND: Duration = Duration::from_secs(1);

    fn following(mask: Vec<Rectangle>, audio: bool) -> Following {
        let ring = RingConfig { time: 180 * SECOND, bytes: 1 };
        let rolls = Rolls { pre: 5 * SECOND, post: 3 * SECOND, longest: 60 * SECOND };
        let rules = ClipRules { ring, mask, audio };
        Following::new(ClipPlan { rules, rolls, public_url: "https://a".to_owned(), video: true })
    }

    fn event(phase: Phase, (start, end): (f64, f64), window: (f64, f64), score: f64) -> EventRecord {
        let at = |stream| Instant { stream, utc: String::new() };
        EventRecord {
            event_id: "e".to_owned(),
            stream_id: "cam".to_owned(),
            phase,
            revision: 0,
            label: String::new(),
            text: String::new(),
            start: at(start),
            end: at(end),
            score,
            modality: Modality::Both,
            clock: ClockQuality::Pts,
            av_offset_ms: None,
            window: WindowRef { id: String::new(), start: window.0, end: window.1 },
            model: String::new(),
            latency_ms: Latency::default(),
            evidence: None,
        }
    }

    fn seconds(wanted: &Wanted) -> (f64, f64, f64) {
        (wanted.from.as_secs_f64(), wanted.to.as_secs_f64(), wanted.surest.as_secs_f64())
    }

    #[test]
    fn a_clip_is_wanted_at_the_end_with_its_rolls_and_the_surest_moment() {
        let mut following = following(Vec::new(), true);
        assert_eq!(following.note(&event(Phase::Started, (20.0, 30.0), (10.0, 30.0), 0.5)), None);
        assert_eq!(following.note(&event(Phase::Updated, (20.0, 36.0), (20.0, 40.0), 0.9)), None);
        let wanted = following.note(&event(Phase::Ended, (20.0, 36.0), (30.0, 50.0), 0.9)).expect("a clip");
        assert_eq!(seconds(&wanted), (15.0, 39.0, 28.0));
        assert_eq!(following.due(StreamTime(i64::MAX)), []);
    }

    #[test]
    fn a_clip_does_not_begin_before_the_stream() {
        let mut following = following(Vec::new(), true);
        let wanted = following.note(&event(Phase::Ended, (2.0, 4.0), (0.0, 20.0), 0.9)).expect("a clip");
        assert_eq!(seconds(&wanted), (0.0, 7.0, 3.0));
    }

    #[test]
    fn a_long_event_is_cut_before_its_end_and_only_once() {
        let mut following = following(Vec::new(), true);
        following.note(&event(Phase::Started, (100.0, 120.0), (100.0, 120.0), 0.5));
        following.note(&event(Phase::Updated, (100.0, 170.0), (150.0, 170.0), 0.8));
        assert_eq!(following.due(StreamTime(159_000_000_000)), []);
        let due = following.due(StreamTime(160_000_000_000));
        assert_eq!(due.iter().map(seconds).collect::<Vec<_>>(), [(95.0, 163.0, 160.0)]);
        assert_eq!(following.due(StreamTime(i64::MAX)), []);
        assert_eq!(following.note(&event(Phase::Ended, (100.0, 900.0), (880.0, 900.0), 0.8)), None);
    }

    #[test]
    fn uris_tell_what_may_be_shown() {
        let all = following(Vec::new(), true).evidence("e");
        assert_eq!(all.clip.as_deref(), Some("https://a/v1/events/e/clip.mp4"));
        assert_eq!(all.snapshot.as_deref(), Some("https://a/v1/events/e/snapshot.jpg"));
        assert_eq!(all.spectrogram.as_deref(), Some("https://a/v1/events/e/spectrogram.png"));
        let mask = vec![Rectangle([0.0, 0.0, 0.5, 0.5])];
        let sound = following(mask.clone(), true).evidence("e");
        assert!(sound.clip.is_some() && sound.snapshot.is_some());
        let picture = following(mask, false).evidence("e");
        assert_eq!((picture.clip, picture.spectrogram), (None, None));
        assert!(following(Vec::new(), false).evidence("e").spectrogram.is_none());
    }
}
