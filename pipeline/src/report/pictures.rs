//! A picture of each event, of the moment of which the model was surest.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use avicuna_models::sample::RgbFrame;

use crate::picture;
use crate::record::{CoverageRecord, EventRecord};
use crate::timeline::StreamTime;

/// A picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    /// JPEG.
    pub jpeg: Vec<u8>,
    /// Width over height as it is to be shown.
    pub aspect: f32,
    /// Seconds of stream time.
    pub at: f64,
}

/// Holds the frames of one stream until the windows that show them are settled, and a picture of each event for ever.
#[derive(Debug)]
pub struct Pictures {
    /// Frames that an event may still be told of.
    frames: BTreeMap<StreamTime, RgbFrame>,
    /// How far before what is settled windows reach back.
    reach: Duration,
    events: HashMap<String, Best>,
}

#[derive(Debug)]
struct Best {
    score: f64,
    picture: Option<Picture>,
}

impl Pictures {
    /// Of a stream whose windows have this length.
    pub fn new(window: Duration) -> Self {
        Self { frames: BTreeMap::new(), reach: window * 2, events: HashMap::new() }
    }

    /// A frame came.
    pub fn frame(&mut self, at: StreamTime, frame: &RgbFrame) {
        self.frames.insert(at, frame.clone());
    }

    /// An event is told of: where it is surer than before, this is its moment, the middle of what the window shows of it.
    pub fn event(&mut self, event: &EventRecord) {
        let best = self.events.get(&event.event_id);
        if best.is_some_and(|best| best.score >= event.score) {
            return;
        }
        let shown = |time: f64| time.max(event.window.start).min(event.window.end);
        let middle = (shown(event.start.stream) + shown(event.end.stream)) / 2.0;
        // Where nothing was shown, what was shown of it before stays.
        let before = || best.and_then(|best| best.picture.clone());
        let picture = self.nearest(StreamTime::from_secs_f64(middle)).or_else(before);
        self.events.insert(event.event_id.clone(), Best { score: event.score, picture });
    }

    /// A span is settled: nothing that is still to be told of shows frames long before its end.
    pub fn settled(&mut self, span: &CoverageRecord) {
        let needed = StreamTime::from_secs_f64(span.end.stream).minus(self.reach);
        self.frames = self.frames.split_off(&needed);
    }

    /// An event's picture; none where nothing was to be seen.
    pub fn of(&self, event_id: &str) -> Option<&Picture> {
        self.events.get(event_id)?.picture.as_ref()
    }

    fn nearest(&self, time: StreamTime) -> Option<Picture> {
        let before = self.frames.range(..=time).next_back();
        let after = self.frames.range(time..).next();
        let far = |at: StreamTime| if at < time { time.since(at) } else { at.since(time) };
        let (at, frame) = before.into_iter().chain(after).min_by_key(|(at, _)| far(**at))?;
        // A frame from far away shows something else.
        if far(*at) > self.reach / 2 {
            return None;
        }
        match picture::jpeg(frame) {
            Ok(jpeg) => Some(Picture { jpeg, aspect: frame.aspect, at: at.as_secs_f64() }),
            Err(error) => {
                tracing::warn!(%error, "an event has no picture");
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::WindowRef;
    use crate::report::tests::{event, instant};
    use crate::stream::{Instant, Modality, Presence};

    fn pictures() -> Pictures {
        let mut pictures = Pictures::new(Duration::from_secs(10));
        for second in 0..40 {
            let frame = RgbFrame { width: 2, height: 2, aspect: 1.5, data: vec![second; 12] };
            pictures.frame(StreamTime::from_secs_f64(f64::from(second)), &frame);
        }
        pictures
    }

    fn told(score: f64, start: f64, end: f64, window: f64) -> EventRecord {
        let window = WindowRef { id: "w".into(), start: window, end: window + 10.0 };
        EventRecord { score, window, ..event("a dog", start, end, Modality::Both) }
    }

    #[test]
    fn an_event_shows_the_moment_of_which_the_model_was_surest() {
        let mut pictures = pictures();
        pictures.event(&told(0.5, 2.0, 8.0, 0.0));
        assert_eq!(pictures.of("a dog").map(|picture| (picture.at, picture.aspect)), Some((5.0, 1.5)));
        // Surer, by a window that shows its second half only.
        pictures.event(&told(0.9, 2.0, 14.0, 10.0));
        assert_eq!(pictures.of("a dog").map(|picture| picture.at), Some(12.0));
        pictures.event(&told(0.9, 2.0, 20.0, 15.0));
        assert_eq!(pictures.of("a dog").map(|picture| picture.at), Some(12.0), "no surer than before");
        assert_eq!(pictures.of("a cat"), None);
    }

    #[test]
    fn frames_are_held_no_longer_than_they_are_needed() {
        let mut pictures = pictures();
        let end = Instant { ..instant(30.0) };
        let span = CoverageRecord {
            stream_id: "s".into(),
            start: instant(0.0),
            end,
            watched: true,
            audio: Presence::Present,
            video: Presence::Present,
            reason: None,
        };
        pictures.settled(&span);
        assert_eq!(pictures.frames.len(), 30, "from 10 to 39 s");
        pictures.event(&told(0.5, 0.0, 1.0, 0.0));
        assert_eq!(pictures.of("a dog").map(|picture| picture.at), Some(10.0), "the nearest that is left");
        pictures.event(&told(0.6, 200.0, 201.0, 200.0));
        assert_eq!(
            pictures.of("a dog").map(|picture| picture.at),
            Some(10.0),
            "nothing of that time was shown"
        );
    }
}
