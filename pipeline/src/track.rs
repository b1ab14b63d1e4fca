//! From the localizations of overlapping windows to events with a lifecycle: `started` once, `updated` when something
//! changed, `ended` once. `docs/events.md` draws the rules. Pure and deterministic: reads no clock, draws no number.

mod edge;
mod event;
mod identity;
mod order;
mod sighting;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use self::event::Event;
use self::identity::Identities;
pub use self::order::InOrder;
use self::sighting::{Sighting, sightings};
use crate::answer::{Localization, label_key};
use crate::record::{EventRecord, Latency, Run};
use crate::stream::{Presence, StreamId, WindowId};
use crate::timeline::{ClockAnchor, ClockQuality, StreamTime};
use crate::window::Window;

/// How localizations become events.
#[derive(Debug, Clone, PartialEq)]
pub struct TrackConfig {
    /// Length of the stream's windows.
    pub length: Duration,
    /// From the start of a window to the start of the next.
    pub hop: Duration,
    /// Sightings of one label in different windows are one event when they overlap or are at most this far apart.
    pub merge_gap: Duration,
    /// Localizations of what was not asked for count for nothing with a lower score.
    pub min_score: f64,
    /// [Answers to a query](Localization::queried) count for nothing with a lower score.
    pub min_query_score: f64,
    /// Localizations of these labels, by [`label_key`], count for nothing with a lower score than theirs, whatever else is set.
    pub min_label_scores: Arc<BTreeMap<String, f64>>,
    /// How many windows must have seen an event before it is published; at least 1.
    pub min_windows: u32,
    /// A start or end must move by more than this to be an update.
    pub tolerance: Duration,
    /// A score must rise by more than this to be an update.
    pub score_tolerance: f64,
    /// Which run of the stream it is, for the ids.
    pub run: Run,
}

impl TrackConfig {
    /// The defaults for windows of this shape: gap 1 s, no score and one window needed, tolerance 0.5 s and 0.1.
    pub fn new(length: Duration, hop: Duration) -> Self {
        Self {
            length,
            hop,
            merge_gap: Duration::from_secs(1),
            min_score: 0.0,
            min_query_score: 0.0,
            min_label_scores: Arc::default(),
            min_windows: 1,
            tolerance: Duration::from_millis(500),
            score_tolerance: 0.1,
            run: Run::default(),
        }
    }

    /// The score that a localization must have to count.
    pub fn least(&self, found: &Localization) -> f64 {
        match self.min_label_scores.get(&label_key(&found.label)) {
            Some(&of_label) => of_label,
            None if found.queried => self.min_query_score,
            None => self.min_score,
        }
    }

    /// Where the next window starts, after one that ends at `end`.
    fn next_start(&self, end: StreamTime) -> StreamTime {
        end.minus(self.length).plus(self.hop)
    }
}

/// What records say of the window they rest on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WindowFacts {
    /// Which.
    pub id: WindowId,
    /// Its first instant.
    pub start: StreamTime,
    /// `start + length`, also where the stream ends earlier: what slots count in.
    pub end: StreamTime,
    /// Maps its times to capture time.
    pub anchor: ClockAnchor,
    /// Where that capture time comes from.
    pub clock: ClockQuality,
    /// As in [`EventRecord::av_offset_ms`].
    pub av_offset_ms: Option<f64>,
    /// How much audio it held.
    pub audio: Presence,
    /// How much video it held.
    pub visual: Presence,
    /// Where it held either: in order and apart.
    pub held: Vec<Range<StreamTime>>,
    /// What it cost.
    pub latency: Latency,
    /// Name of the model that answered.
    #[serde(with = "crate::shared")]
    pub model: Arc<str>,
}

impl WindowFacts {
    /// Of a window that `model` has answered at this cost.
    pub fn of(window: &Window, latency: Latency, model: Arc<str>) -> Self {
        Self {
            id: window.id.clone(),
            start: window.start,
            end: window.end,
            anchor: window.anchor,
            clock: window.clock,
            av_offset_ms: window.av_offset_ms,
            audio: window.audio.presence,
            visual: window.visual.presence,
            held: window.held(),
            latency,
            model,
        }
    }

    /// Whether there was anything to see or hear during `found`. What a model tells of an instant of which it was given
    /// nothing rests on nothing.
    fn holds(&self, found: &Localization) -> bool {
        let (start, end) = (self.at(found.start.fraction()), self.at(found.end.end_fraction()));
        self.held.iter().any(|span| span.contains(&start) || (start..end).contains(&span.start))
    }

    /// The stream time of a fraction of the window.
    /// The instant at this share of the window.
    pub fn at(&self, fraction: f64) -> StreamTime {
        let nanos = self.end.0.saturating_sub(self.start.0) as f64;
        StreamTime(self.start.0.saturating_add((fraction * nanos).round() as i64))
    }
}

/// What the answers to one window say, whatever was asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// The window.
    pub window: WindowFacts,
    /// Of all its answers.
    pub localizations: Vec<Localization>,
}

/// What a [`Tracker`] knows of a stream, to be kept: another goes on from it, as if it had seen the same windows.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Tracked {
    watermark: Option<StreamTime>,
    events: BTreeMap<String, Vec<Event>>,
    used: BTreeSet<(i64, String)>,
}

impl Tracked {
    /// How many events are published and not ended.
    pub fn open(&self) -> usize {
        self.events.values().flatten().filter(|event| event.is_published()).count()
    }
}

/// The events of one stream.
///
/// Windows must come in the order of their index, each once, be it to [`observe`](Self::observe) or to
/// [`blind`](Self::blind); [`InOrder`] helps. What comes late is left out.
#[derive(Debug)]
pub struct Tracker {
    config: TrackConfig,
    /// No window that is still to come starts before this.
    watermark: Option<StreamTime>,
    /// By label key; the events of one label are in order of time and do not overlap.
    events: BTreeMap<String, Vec<Event>>,
    identities: Identities,
    weak: u64,
    baseless: u64,
}

impl Tracker {
    /// A stream's beginning.
    pub fn new(stream: StreamId, config: TrackConfig) -> Self {
        let identities = Identities::new(stream, config.run);
        Self { config, watermark: None, events: BTreeMap::new(), identities, weak: 0, baseless: 0 }
    }

    /// Goes on with a stream of which another knew this.
    pub fn resumed(stream: StreamId, config: TrackConfig, tracked: Tracked) -> Self {
        let Tracked { watermark, events, used } = tracked;
        let mut tracker = Self { watermark, events, ..Self::new(stream, config) };
        tracker.identities.resume(used);
        tracker
    }

    /// What it knows.
    pub fn tracked(&self) -> Tracked {
        let Self { watermark, events, identities, .. } = self;
        Tracked { watermark: *watermark, events: events.clone(), used: identities.used().clone() }
    }

    /// From here on, what counts and what is merged follows `config`. Open events stay open; the shape of windows and the run
    /// stay what they were.
    pub fn retune(&mut self, config: &TrackConfig) {
        let TrackConfig { length, hop, run, .. } = self.config;
        self.config = TrackConfig { length, hop, run, ..config.clone() };
    }

    /// How many localizations were left out because of [`TrackConfig::min_score`] and
    /// [`TrackConfig::min_query_score`].
    pub fn weak(&self) -> u64 {
        self.weak
    }

    /// How many were left out because their window held nothing to see or hear there.
    pub fn baseless(&self) -> u64 {
        self.baseless
    }

    /// How many events are published and not ended.
    pub fn open(&self) -> usize {
        self.events.values().flatten().filter(|event| event.is_published()).count()
    }

    /// Takes what one window says. The records come in the order in which they are to be published.
    pub fn observe(&mut self, seen: &Seen) -> Vec<EventRecord> {
        let window = &seen.window;
        if self.is_late(window.start) {
            tracing::warn!(window = %window.id, "a window came after a later one; its localizations are left out");
            return Vec::new();
        }
        let mut records = self.advance(window.start);
        let strong = self.trusted(seen);
        for (key, sightings) in sightings(window, &strong) {
            let events = self.events.remove(&key).unwrap_or_default();
            let events = self.merge(&key, events, sightings, window, &mut records);
            if !events.is_empty() {
                self.events.insert(key, events);
            }
        }
        records.extend(self.publish());
        records.append(&mut self.advance(self.config.next_start(window.end)));
        records
    }

    /// Takes windows that were not answered: shed, blind or failed. `end` is the end of the last of them. They confirm
    /// nothing: an event that only they could have seen to go on ends where it was last seen.
    pub fn blind(&mut self, start: StreamTime, end: StreamTime) -> Vec<EventRecord> {
        if self.is_late(start) {
            return Vec::new();
        }
        self.advance(self.config.next_start(end))
    }

    /// The stream is over at `end`: every event ends, there at the latest.
    pub fn finish(&mut self, end: StreamTime) -> Vec<EventRecord> {
        let events = std::mem::take(&mut self.events).into_values().flatten();
        let mut records: Vec<EventRecord> = events.filter_map(|event| event.end(Some(end))).collect();
        in_order_of_time(&mut records);
        records
    }

    /// The localizations that count; the others are counted.
    fn trusted<'a>(&mut self, seen: &'a Seen) -> Vec<&'a Localization> {
        let mut trusted = Vec::with_capacity(seen.localizations.len());
        for found in &seen.localizations {
            if !seen.window.holds(found) {
                self.baseless += 1;
                tracing::debug!(window = %seen.window.id, said = found.text, "nothing was there to see or hear");
            } else if found.score < self.config.least(found) {
                self.weak += 1;
            } else {
                trusted.push(found);
            }
        }
        trusted
    }

    fn is_late(&self, start: StreamTime) -> bool {
        self.watermark.is_some_and(|watermark| start < watermark)
    }

    /// No window will come that starts before `watermark`: what ended before it can no longer change.
    fn advance(&mut self, watermark: StreamTime) -> Vec<EventRecord> {
        self.watermark = self.watermark.max(Some(watermark));
        let mut records = Vec::new();
        for events in self.events.values_mut() {
            let over =
                events.extract_if(.., |event| event.end_time().plus(self.config.merge_gap) < watermark);
            records.extend(over.filter_map(|event| event.end(None)));
        }
        self.events.retain(|_, events| !events.is_empty());
        self.identities.forget_before(watermark);
        in_order_of_time(&mut records);
        records
    }

    /// Gives each sighting of one window to the event it overlaps most; the others begin events. Returns the label's
    /// events, in order and without overlap.
    fn merge(
        &mut self,
        key: &str,
        mut events: Vec<Event>,
        sightings: Vec<Sighting>,
        window: &WindowFacts,
        records: &mut Vec<EventRecord>,
    ) -> Vec<Event> {
        let facts = Arc::new(window.clone());
        let chosen = assign(&events, &sightings, self.config.merge_gap);
        let mut left = Vec::new();
        for (sighting, chosen) in sightings.into_iter().zip(chosen) {
            match chosen {
                Some(index) => events[index].see(&sighting, &facts, &self.config),
                None => left.push(sighting),
            }
        }
        // In one window two sightings are two events, unless what the windows agree on says that they are one.
        for sighting in left {
            match events.iter_mut().find(|event| event.overlaps(sighting.start, sighting.end)) {
                Some(event) => event.absorb(&sighting, &self.config),
                None => events.push(Event::new(self.identities.name(key, sighting.start), &sighting, &facts)),
            }
        }
        self.join(events, records)
    }

    /// Events of one label that have grown into each other become one: the published one, or else the earlier one, goes
    /// on, the other ends.
    fn join(&self, mut events: Vec<Event>, records: &mut Vec<EventRecord>) -> Vec<Event> {
        events.sort_by_key(Event::start_time);
        let mut apart: Vec<Event> = Vec::with_capacity(events.len());
        for mut event in events {
            while let Some(mut before) =
                apart.pop_if(|before| before.overlaps(event.start_time(), event.end_time()))
            {
                if !before.is_published() && event.is_published() {
                    std::mem::swap(&mut before, &mut event);
                }
                before.take_over(&event, &self.config);
                records.extend(event.end(None));
                event = before;
            }
            apart.push(event);
        }
        apart
    }

    /// The records of what is new or has changed.
    fn publish(&mut self) -> Vec<EventRecord> {
        let events = self.events.values_mut().flatten();
        let mut records: Vec<EventRecord> = events.filter_map(|event| event.publish(&self.config)).collect();
        in_order_of_time(&mut records);
        records
    }
}

/// For each sighting the event it continues: the pairs that overlap most find each other first, each event and each
/// sighting once.
fn assign(events: &[Event], sightings: &[Sighting], gap: Duration) -> Vec<Option<usize>> {
    let mut pairs = Vec::new();
    for (index, sighting) in sightings.iter().enumerate() {
        for (candidate, event) in events.iter().enumerate() {
            let overlap = event.overlap(sighting.start, sighting.end);
            // Negative overlap is the gap between the two.
            if overlap >= -i128::try_from(gap.as_nanos()).unwrap_or(i128::MAX) {
                pairs.push((std::cmp::Reverse(overlap), candidate, index));
            }
        }
    }
    pairs.sort_unstable();
    let (mut chosen, mut taken) = (vec![None; sightings.len()], vec![false; events.len()]);
    for (_, candidate, index) in pairs {
        if chosen[index].is_none() && !taken[candidate] {
            chosen[index] = Some(candidate);
            taken[candidate] = true;
        }
    }
    chosen
}

/// As a consumer would like to read them: by start. Each is of another event.
fn in_order_of_time(records: &mut [EventRecord]) {
    records.sort_by(|one, other| {
        one.start.stream.total_cmp(&other.start.stream).then_with(|| one.event_id.cmp(&other.event_id))
    });
}
