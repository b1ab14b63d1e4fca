//! From what the model said of windows to events, by the daemon's own tracker. Each question has a tracker of its own, so
//! that queries, which name what happens, do not help to detect it.

use std::sync::Arc;
use std::time::Duration;

use avicuna_models::manifest::PromptSpec;
use avicuna_models::slots::Slot;
use avicuna_pipeline::answer::{Localization, label_key};
use avicuna_pipeline::config::StreamConfig;
use avicuna_pipeline::record::{EventRecord, Latency, Phase};
use avicuna_pipeline::stream::{Modality, WindowId};
use avicuna_pipeline::timeline::{ClockAnchor, ClockQuality, StreamTime, UtcTime};
use avicuna_pipeline::track::{Seen, TrackConfig, Tracker, WindowFacts};
use serde::{Deserialize, Serialize};

use super::segment::Segment;
use super::watch::{Found, Settings, Watched, Window};

/// How windows become events.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Merging {
    /// Seconds between sightings of one label that are still one event.
    pub merge_gap: f64,
    /// What was told with a lower score when nothing was asked for counts for nothing.
    pub min_score: f64,
    /// Answers to queries with a lower score count for nothing.
    pub min_query_score: f64,
    /// How many windows must have seen an event.
    pub min_windows: u32,
    /// Whose word counts.
    pub voice: Voice,
}

/// Whose word counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Voice {
    /// The model's, as a stream tells it.
    #[default]
    Model,
    /// The LLM's alone.
    Llm,
    /// That of the encoders' own classes alone: the baseline.
    Taggers,
}

impl Merging {
    /// As a stream has them when its configuration says nothing.
    pub fn of(prompt: &PromptSpec) -> Self {
        let stream = StreamConfig::new("", "");
        let min_score = prompt.least_score(None);
        Self {
            merge_gap: stream.merge_gap.as_secs_f64(),
            min_score,
            min_query_score: prompt.least_query_score(None, min_score),
            min_windows: 1,
            voice: Voice::Model,
        }
    }
}

/// Something that happens, as it was told in the end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// When.
    pub segment: Segment,
    /// What.
    pub label: String,
    /// 0..=1.
    pub score: f64,
    /// How it was noticed.
    pub modality: Option<Modality>,
}

/// The events that the answers to one question tell of a video, in order of time; `question` is its place among the
/// answers of a window.
pub fn events(watched: &Watched, question: usize, settings: Settings, merging: Merging) -> Vec<Event> {
    tracked(watched, &[question], |_| true, settings, merging)
}

/// The events of `label` that a stream tells which asks for it and for everything: both answers in one tracker. `None`
/// unless both were asked.
pub fn events_of_stream(
    watched: &Watched,
    label: &str,
    settings: Settings,
    merging: Merging,
) -> Option<Vec<Event>> {
    let questions = [watched.question(None)?, watched.question(Some(label))?];
    let key = label_key(label);
    Some(tracked(watched, &questions, |found| label_key(&found.label) == key, settings, merging))
}

/// The events that the answers to `questions` tell, as far as they are `wanted`.
fn tracked(
    watched: &Watched,
    questions: &[usize],
    wanted: impl Fn(&Found) -> bool,
    settings: Settings,
    merging: Merging,
) -> Vec<Event> {
    let config = TrackConfig {
        merge_gap: span(merging.merge_gap),
        min_score: merging.min_score,
        min_query_score: merging.min_query_score,
        min_windows: merging.min_windows,
        ..TrackConfig::new(span(settings.window), span(settings.hop))
    };
    let mut tracker = Tracker::new(watched.video.as_str().into(), config);
    let mut records: Vec<EventRecord> = Vec::new();
    for window in &watched.windows {
        let mut localizations = Vec::new();
        for &question in questions {
            let queried = watched.question(None) != Some(question);
            let Some(said) = window.answers.get(question) else { continue };
            let found = match merging.voice {
                Voice::Model => &said.found,
                Voice::Llm => &said.llm,
                Voice::Taggers => &said.taggers,
            };
            let found = found.iter().filter(|found| wanted(found));
            localizations.extend(found.filter_map(|found| localization(found, &said.text, queried)));
        }
        records.extend(tracker.observe(&Seen { window: facts(watched, window), localizations }));
    }
    records.extend(tracker.finish(StreamTime::from_secs_f64(watched.seconds)));
    records.retain(|record| record.phase == Phase::Ended);
    records.sort_by(|one, other| one.start.stream.total_cmp(&other.start.stream));
    records.into_iter().map(event).collect()
}

/// What windows every `hop` seconds would have said; `hop` is a multiple of the hop they had.
pub fn thinned(watched: &Watched, hop: f64) -> Watched {
    let on_grid = |window: &&Window| {
        let hops = window.start / hop;
        (hops - hops.round()).abs() < 1e-6
    };
    let windows = watched.windows.iter().filter(on_grid).cloned().collect();
    Watched { windows, ..watched.clone() }
}

fn span(seconds: f64) -> Duration {
    Duration::from_nanos((seconds * 1e9).round() as u64)
}

fn event(record: EventRecord) -> Event {
    Event {
        segment: Segment::new(record.start.stream, record.end.stream),
        label: record.label,
        score: record.score,
        modality: Some(record.modality),
    }
}

fn localization(found: &Found, text: &str, queried: bool) -> Option<Localization> {
    let [start, end] = found.slots;
    Some(Localization {
        label: found.label.clone(),
        text: text.to_owned(),
        start: Slot::new(start)?,
        end: Slot::new(end)?,
        score: found.score,
        queried,
        modality: found.modality,
    })
}

fn facts(watched: &Watched, window: &Window) -> WindowFacts {
    let time = StreamTime::from_secs_f64;
    WindowFacts {
        id: WindowId { stream: watched.video.as_str().into(), index: window.index },
        start: time(window.start),
        end: time(window.end),
        anchor: ClockAnchor { stream: StreamTime::ZERO, utc: UtcTime(0) },
        clock: ClockQuality::Pts,
        av_offset_ms: None,
        audio: window.audio,
        visual: window.visual,
        held: window.held.iter().map(|span| time(span[0])..time(span[1])).collect(),
        latency: Latency::default(),
        model: Arc::from(""),
    }
}

#[cfg(test)]
mod tests {
    use avicuna_pipeline::stream::Presence;

    use super::*;
    use crate::watch::Said;

    const MERGING: Merging = Merging {
        merge_gap: 1.0,
        min_score: 0.2,
        min_query_score: 0.95,
        min_windows: 1,
        voice: Voice::Model,
    };
    const SETTINGS: Settings = Settings { window: 20.0, hop: 10.0, audio: true, video: true };

    fn window(index: u64, found: &[(u8, u8, f64)]) -> Window {
        let start = index as f64 * 10.0;
        let found = found.iter().map(|(from, to, score)| Found {
            label: "a dog".into(),
            slots: [*from, *to],
            score: *score,
            modality: Some(Modality::Audio),
        });
        let found: Vec<Found> = found.collect();
        let said = Said { text: "From ...".into(), llm: found.clone(), taggers: Vec::new(), found };
        let (audio, visual) = (Presence::Present, Presence::Present);
        let end = start + 20.0;
        Window {
            index,
            start,
            end,
            audio,
            visual,
            held: vec![[start, end]],
            answers: vec![said],
            evidence: None,
        }
    }

    fn watched(windows: Vec<Window>) -> Watched {
        Watched {
            video: "v".into(),
            media: String::new(),
            detect: true,
            asked: Vec::new(),
            seconds: 40.0,
            unwatched: 0.0,
            unparsed: 0,
            trouble: Vec::new(),
            took: 0.0,
            windows,
        }
    }

    #[test]
    fn windows_that_see_one_event_tell_one_event() {
        let watched = watched(vec![
            window(0, &[(75, 99, 0.5)]),
            window(1, &[(25, 75, 0.9)]),
            window(2, &[(0, 25, 0.1)]),
        ]);
        let found = events(&watched, 0, SETTINGS, MERGING);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].segment, found[0].score), (Segment::new(15.0, 25.0), 0.9));
        assert_eq!(found[0].modality, Some(Modality::Audio));
    }

    #[test]
    fn answers_to_queries_have_a_least_score_of_their_own() {
        let mut watched = watched(vec![window(0, &[(25, 75, 0.9)])]);
        assert_eq!(events(&watched, 0, SETTINGS, MERGING).len(), 1);
        watched.detect = false;
        watched.asked.push("a dog".into());
        assert_eq!(events(&watched, 0, SETTINGS, MERGING), []);
        assert_eq!(events(&watched, 0, SETTINGS, Merging { min_query_score: 0.9, ..MERGING }).len(), 1);
    }

    #[test]
    fn a_stream_tells_of_a_label_what_either_question_found() {
        let asked = window(0, &[(75, 99, 0.99)]).answers;
        let mut windows = vec![window(0, &[]), window(1, &[(25, 75, 0.5), (80, 90, 0.1)])];
        let cat = Found { label: "A cat".into(), ..windows[1].answers[0].found[0].clone() };
        windows[1].answers[0].found.push(cat);
        windows[0].answers.extend(asked);
        windows[1].answers.push(Said { text: "It does not happen.".into(), ..Said::default() });
        let watched = Watched { asked: vec!["a dog".into()], ..watched(windows) };
        let told = events_of_stream(&watched, "a dog", SETTINGS, MERGING).expect("both were asked");
        assert_eq!(told.len(), 1);
        assert_eq!((told[0].segment, told[0].score), (Segment::new(15.0, 25.0), 0.99));
        let alone = |question| events(&watched, question, SETTINGS, MERGING).len();
        assert_eq!((alone(0), alone(1)), (2, 1));
        let deaf = Watched { detect: false, ..watched.clone() };
        assert_eq!(events_of_stream(&deaf, "a dog", SETTINGS, MERGING), None);
    }

    #[test]
    fn what_was_told_of_where_nothing_was_is_no_event() {
        let mut told = window(0, &[(60, 80, 0.9)]);
        told.held = vec![[0.0, 10.0]];
        assert_eq!(events(&watched(vec![told]), 0, SETTINGS, MERGING), []);
    }

    #[test]
    fn every_second_window_is_what_twice_the_hop_would_see() {
        let watched = watched(vec![window(0, &[]), window(1, &[(25, 75, 0.9)]), window(2, &[])]);
        let thin = thinned(&watched, 20.0);
        assert_eq!(thin.windows.iter().map(|window| window.index).collect::<Vec<_>>(), [0, 2]);
        assert_eq!(events(&thin, 0, Settings { hop: 20.0, ..SETTINGS }, MERGING), []);
    }
}
