//! One event: what the windows know of it, and where in its life it is.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::edge::{Edge, Side};
use super::sighting::{Sighting, both};
use super::{TrackConfig, WindowFacts};
use crate::record::{EventRecord, Phase, WindowRef};
use crate::stream::Modality;
use crate::timeline::{ClockAnchor, StreamTime};

/// Where in its life an event is. Ended events are not kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum State {
    /// Seen, but not by enough windows to be published.
    Candidate,
    /// Published: `started`, and `updated` as often as its revision says.
    Open(Published),
}

/// What consumers know of an event.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Published {
    revision: u32,
    start: StreamTime,
    end: StreamTime,
    score: f64,
    modality: Modality,
}

/// One event of one stream that is not over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Event {
    id: String,
    /// In the words of its first sighting.
    label: String,
    text: String,
    state: State,
    start: Edge,
    end: Edge,
    /// `start` and `end` as agreed on, kept because every sighting asks for them.
    times: (StreamTime, StreamTime),
    score: f64,
    said: Option<Modality>,
    held: Modality,
    /// How many windows saw it.
    windows: u32,
    /// Of the first window, for capture time of the start; later ones may have been anchored after an outage.
    anchor: ClockAnchor,
    /// The newest window that saw it.
    #[serde(with = "crate::shared")]
    window: Arc<WindowFacts>,
}

impl Event {
    /// Seen for the first time.
    pub fn new(id: String, sighting: &Sighting, window: &Arc<WindowFacts>) -> Self {
        Self {
            id,
            label: sighting.label.clone(),
            text: sighting.text.clone(),
            state: State::Candidate,
            start: Edge::new(Side::Start, sighting.start, sighting.start_cut),
            end: Edge::new(Side::End, sighting.end, sighting.end_cut),
            times: (sighting.start, sighting.end),
            score: sighting.score,
            said: sighting.said,
            held: sighting.held,
            windows: 1,
            anchor: window.anchor,
            window: window.clone(),
        }
    }

    /// Its first instant, as far as known.
    pub fn start_time(&self) -> StreamTime {
        self.times.0
    }

    /// Its last instant, as far as known.
    pub fn end_time(&self) -> StreamTime {
        self.times.1
    }

    /// Do consumers know it?
    pub fn is_published(&self) -> bool {
        matches!(self.state, State::Open(_))
    }

    /// Nanoseconds that it shares with a span; negative is the gap between them.
    pub fn overlap(&self, start: StreamTime, end: StreamTime) -> i128 {
        let (latest, earliest) = (self.start_time().max(start), self.end_time().min(end));
        i128::from(earliest.0) - i128::from(latest.0)
    }

    /// Whether it shares an instant with a span.
    pub fn overlaps(&self, start: StreamTime, end: StreamTime) -> bool {
        self.overlap(start, end) >= 0
    }

    /// One more window saw it.
    pub fn see(&mut self, sighting: &Sighting, window: &Arc<WindowFacts>, config: &TrackConfig) {
        self.end.refute_before(window.start);
        if self.overlaps(sighting.start, sighting.end) {
            self.start.see(sighting.start, sighting.start_cut);
            self.end.see(sighting.end, sighting.end_cut);
        } else if sighting.start > self.end_time() {
            // The next part of an event with a short pause: it says nothing of the start, and that the end was none.
            self.end = Edge::new(Side::End, sighting.end, sighting.end_cut);
        } else {
            self.start = Edge::new(Side::Start, sighting.start, sighting.start_cut);
            if self.end.is_unknown() {
                self.end = Edge::new(Side::End, sighting.end, sighting.end_cut);
            }
        }
        self.text.clone_from(&sighting.text);
        self.windows += 1;
        self.window = window.clone();
        self.learn(sighting.score, sighting.said, sighting.held);
        self.settle(config);
    }

    /// A second sighting in one window, of what is one event. It may make it longer.
    pub fn absorb(&mut self, sighting: &Sighting, config: &TrackConfig) {
        if sighting.start < self.start_time() {
            self.start.see(sighting.start, sighting.start_cut);
        }
        if sighting.end > self.end_time() {
            self.end.see(sighting.end, sighting.end_cut);
        }
        self.learn(sighting.score, sighting.said, sighting.held);
        self.settle(config);
    }

    /// `other`, which has grown into this event, is part of it.
    pub fn take_over(&mut self, other: &Self, config: &TrackConfig) {
        if other.start_time() < self.start_time() {
            self.start = other.start.clone();
            self.anchor = other.anchor;
        }
        if other.end_time() > self.end_time() {
            self.end = other.end.clone();
        }
        self.windows = self.windows.max(other.windows);
        if other.window.start > self.window.start {
            self.window = other.window.clone();
            self.text.clone_from(&other.text);
        }
        self.learn(other.score, other.said, other.held);
        self.settle(config);
    }

    fn learn(&mut self, score: f64, said: Option<Modality>, held: Modality) {
        self.score = self.score.max(score);
        self.said = both(self.said, said);
        self.held = both(Some(self.held), Some(held)).unwrap_or(held);
    }

    fn settle(&mut self, config: &TrackConfig) {
        let tolerance = i64::try_from(config.tolerance.as_nanos()).unwrap_or(i64::MAX);
        let (start, end) = (self.start.time(tolerance), self.end.time(tolerance));
        // Edges agreed on one by one can cross when the windows disagree on both.
        self.times = (start.min(end), end.max(start));
    }

    /// What the answers said of the evidence, or else what the windows held.
    fn modality(&self) -> Modality {
        self.said.unwrap_or(self.held)
    }

    /// `started` once enough windows saw it, then `updated` whenever it differs from what consumers know.
    pub fn publish(&mut self, config: &TrackConfig) -> Option<EventRecord> {
        let (phase, revision) = match &self.state {
            State::Candidate if self.windows < config.min_windows => return None,
            State::Candidate => (Phase::Started, 0),
            State::Open(known) if !self.differs(known, config) => return None,
            State::Open(known) => (Phase::Updated, known.revision.saturating_add(1)),
        };
        let (start, end) = self.times;
        self.state =
            State::Open(Published { revision, start, end, score: self.score, modality: self.modality() });
        Some(self.record(phase, revision))
    }

    /// Maps its end to capture time. A clock that was set back meanwhile must not make it end before it starts.
    fn end_anchor(&self, window: &WindowFacts) -> ClockAnchor {
        let start = self.anchor.utc_at(self.start_time());
        if window.anchor.utc_at(self.end_time()) < start { self.anchor } else { window.anchor }
    }

    /// `ended`, at `limit` at the latest; nothing when consumers do not know it.
    pub fn end(mut self, limit: Option<StreamTime>) -> Option<EventRecord> {
        let State::Open(known) = &self.state else { return None };
        let revision = known.revision.saturating_add(1);
        if let Some(limit) = limit {
            self.times.0 = self.times.0.min(limit);
            self.times.1 = self.times.1.min(limit);
        }
        Some(self.record(Phase::Ended, revision))
    }

    fn differs(&self, known: &Published, config: &TrackConfig) -> bool {
        let moved =
            |one: StreamTime, other: StreamTime| one.since(other).max(other.since(one)) > config.tolerance;
        moved(self.start_time(), known.start)
            || moved(self.end_time(), known.end)
            || self.score > known.score + config.score_tolerance
            || self.modality() != known.modality
    }

    fn record(&self, phase: Phase, revision: u32) -> EventRecord {
        let window = &self.window;
        EventRecord {
            event_id: self.id.clone(),
            stream_id: window.id.stream.to_string(),
            phase,
            revision,
            label: self.label.clone(),
            text: self.text.clone(),
            start: self.anchor.instant(self.start_time()),
            end: self.end_anchor(window).instant(self.end_time()),
            score: self.score,
            modality: self.modality(),
            clock: window.clock,
            av_offset_ms: window.av_offset_ms,
            window: WindowRef {
                id: window.id.to_string(),
                start: window.start.as_secs_f64(),
                end: window.end.as_secs_f64(),
            },
            model: window.model.to_string(),
            latency_ms: window.latency,
            // Whether anything is kept the stream knows.
            evidence: None,
        }
    }
}
