//! Windows out of time lines, with the questions that the daemon asks and the answers that are true.
//!
//! A window lies where the daemon's may lie: on the grid of its slots. What happens is cut at its edges; an event of
//! which less than [`SHORTEST`] is left is neither told nor asked for.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::path::Path;

use avicuna_corpus::Modality;
use avicuna_corpus::features::Rows;
use avicuna_corpus::pu_valor::{Segment, Timeline};
use avicuna_models::manifest::{PromptSpec, WindowSpec};
use avicuna_models::prompt::Template;
use avicuna_models::slots::Slot;
use avicuna_models::vocabulary::Vocabulary;
use avicuna_pipeline::stream::Medium;
use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::TrainError;
use super::config::Windows as Settings;
use super::features::Features;
use super::source::{Sample, Source};
use crate::labels::VIDEO;

/// Seconds of an event inside the window.
const SHORTEST: f64 = 0.5;

/// The windows of one corpus directory.
pub(super) struct Windows {
    timelines: Vec<Timeline>,
    /// Every label of the corpus, to ask for what does not happen.
    labels: Vec<String>,
    features: Features,
    window: WindowSpec,
    prompt: PromptSpec,
    /// Knows what is a kind of what.
    vocabulary: Option<Vocabulary>,
    settings: Settings,
}

/// Where one sense of a window comes from.
#[derive(Clone, Copy)]
struct View<'a> {
    timeline: &'a Timeline,
    /// Its first instant, in seconds of the video.
    start: f64,
}

/// An event as one window has it; seconds from its start.
#[derive(Debug, Clone, PartialEq)]
struct Event {
    label: String,
    start: f64,
    end: f64,
    seen: bool,
    heard: bool,
}

impl Windows {
    /// Reads `DIR/timelines.jsonl`.
    pub(super) fn open(
        corpus: &Path,
        features: Features,
        (window, prompt, vocabulary): (WindowSpec, PromptSpec, Option<Vocabulary>),
        settings: Settings,
    ) -> Result<Self, TrainError> {
        let mut timelines: Vec<Timeline> = Vec::new();
        for (number, timeline) in (1..).zip(Timeline::all(corpus)?) {
            let timeline = timeline?;
            if timeline.segments.iter().any(|s| !(s.start.is_finite() && s.end > s.start)) {
                let reason = format!(
                    "line {number}: `{}` has a segment that does not end after its start",
                    timeline.id
                );
                return Err(TrainError::malformed(&corpus.join(Timeline::FILE), reason));
            }
            timelines.push(timeline);
        }
        let names: BTreeSet<String> =
            timelines.iter().flat_map(|t| &t.segments).map(Segment::event).collect();
        let labels = names.into_iter().collect();
        Ok(Self { timelines, labels, features, window, prompt, vocabulary, settings })
    }

    fn timeline(&self, index: usize) -> &Timeline {
        &self.timelines[index / self.settings.per_video]
    }

    /// A window that starts on the grid of slots, inside the video where that is long enough.
    fn view<'a>(&self, timeline: &'a Timeline, random: &mut ChaCha8Rng) -> View<'a> {
        let slots = self.window.visual_tokens.max(self.window.audio_tokens).max(1);
        let step = self.window.seconds / slots as f64;
        let room = ((timeline.duration - self.window.seconds) / step).floor();
        let start = if room < 1.0 { 0.0 } else { random.random_range(0..=room as u64) as f64 * step };
        View { timeline, start }
    }

    /// A window of any video, for its sound. `None` when an event of `seen` is in it, too: who saw and heard it at
    /// different times could not say so.
    fn other_sound(&self, seen: View<'_>, random: &mut ChaCha8Rng) -> Option<View<'_>> {
        let heard = self.view(&self.timelines[random.random_range(0..self.timelines.len())], random);
        let labels: BTreeSet<String> = self.segments(seen).map(Segment::event).collect();
        self.segments(heard).all(|segment| !labels.contains(&segment.event())).then_some(heard)
    }

    /// What happens in a window.
    fn segments<'a>(&self, view: View<'a>) -> impl Iterator<Item = &'a Segment> {
        let end = view.start + self.window.seconds;
        view.timeline.segments.iter().filter(move |s| s.start < end && s.end > view.start)
    }

    fn events(&self, view: View<'_>, sees: bool, hears: bool) -> Vec<Event> {
        let event = |segment: &Segment| Event {
            label: segment.event(),
            start: segment.start - view.start,
            end: segment.end - view.start,
            seen: sees && segment.modality != Modality::Audio,
            heard: hears && segment.modality != Modality::Visual,
        };
        self.segments(view).map(event).filter(|event| event.seen || event.heard).collect()
    }

    /// The features of the tokens of one sense.
    fn tokens(&self, view: View<'_>, sense: Medium) -> Result<Vec<Option<Vec<f32>>>, TrainError> {
        let View { timeline, start } = view;
        let count = self.count(sense);
        if let Some(rows) = self.features.rows(sense, &timeline.id)? {
            let step = self.features.step(sense).unwrap_or(self.window.seconds / count as f64);
            let row = |time: f64| {
                let row = (time / step).round() as usize;
                (time < timeline.duration && row < rows.len()).then(|| rows.row(row).to_vec())
            };
            return Ok(self.times(start, count).map(row).collect());
        }
        let clips = self
            .segments(view)
            .map(|segment| Ok((segment, self.features.needed(sense, &segment.clip, &timeline.id)?)));
        let clips: Vec<(&Segment, Option<Rows>)> = clips.collect::<Result<_, TrainError>>()?;
        let row = |time: f64| {
            let (segment, rows) = clips.iter().find(|(s, _)| s.start <= time && time < s.end)?;
            let rows = rows.as_ref().filter(|rows| !rows.is_empty())?;
            let share = (time - segment.start) / (segment.end - segment.start);
            Some(rows.row(((share * rows.len() as f64) as usize).min(rows.len() - 1)).to_vec())
        };
        Ok(self.times(start, count).map(row).collect())
    }

    fn count(&self, sense: Medium) -> usize {
        match sense {
            Medium::Video => self.window.visual_tokens,
            Medium::Audio => self.window.audio_tokens,
        }
    }

    /// When the slots of a window begin, in seconds of the video.
    fn times(&self, start: f64, count: usize) -> impl Iterator<Item = f64> {
        let step = self.window.seconds / count.max(1) as f64;
        (0..count).map(move |slot| start + slot as f64 * step)
    }

    /// What the window's `tokens` show at each slot's beginning.
    fn told(&self, events: &[Event], count: usize, there: impl Fn(&Event) -> bool) -> Vec<Vec<String>> {
        let at = |time: f64| {
            let now = events.iter().filter(|e| there(e) && e.start <= time && time < e.end);
            now.map(|event| event.label.clone()).collect()
        };
        self.times(0.0, count).map(at).collect()
    }

    /// The questions of a window: for everything, then for single events, of which some do not happen; what was looked for in vain comes
    /// before the others.
    fn conversations(
        &self,
        events: &[Event],
        looked_for: &[String],
        random: &mut ChaCha8Rng,
    ) -> Vec<Vec<String>> {
        let seconds = self.window.seconds;
        let length = |e: &&Event| e.end.min(seconds) - e.start.max(0.0) >= SHORTEST;
        let mut told: Vec<&Event> = events.iter().filter(length).collect();
        told.sort_by(|a, b| {
            (a.start.max(0.0), a.end).partial_cmp(&(b.start.max(0.0), b.end)).expect("numbers")
        });
        let mut happens: Vec<&str> = told.iter().map(|e| e.label.as_str()).collect();
        happens.sort_unstable();
        happens.dedup();
        happens.shuffle(random);
        let asked = self.settings.grounding;
        let few = if random.random_bool(0.9) { asked.saturating_sub(1) } else { asked };
        happens.truncate(few.max(1).min(asked));
        let mut absent: Vec<&str> = self.labels.iter().map(String::as_str).collect();
        let is_absent = |label: &&str| events.iter().all(|e| !self.akin(&e.label, label));
        absent.retain(is_absent);
        absent.shuffle(random);
        let in_vain: Vec<&str> = looked_for.iter().map(String::as_str).filter(is_absent).collect();
        absent.retain(|label| !in_vain.contains(label));
        absent.splice(..0, in_vain);
        absent.truncate(asked - happens.len());
        let gap = if self.prompt.template == Template::ChatMl { "\n" } else { "\n " };
        let question = |text: &str| format!("{VIDEO}{gap}{text}");
        let detect = self.prompt.detect.iter().map(|text| vec![question(text), self.detected(&told)]);
        let ground = happens.iter().chain(&absent).map(|label| {
            let own: Vec<&Event> = told.iter().copied().filter(|e| e.label == *label).collect();
            vec![question(&self.prompt.ground_question(label)), self.grounded(&own)]
        });
        detect.chain(ground).collect()
    }

    /// Whether one is the other or a kind of it: where a dog barks, "an animal" is not absent.
    fn akin(&self, one: &str, other: &str) -> bool {
        let find = |text: &str| self.vocabulary.as_ref().and_then(|words| words.find(text));
        let related = || {
            let (words, one, other) = (self.vocabulary.as_ref()?, find(one)?, find(other)?);
            Some(words.is_a(one, other) || words.is_a(other, one))
        };
        one == other || related().unwrap_or(false)
    }

    fn detected(&self, events: &[&Event]) -> String {
        let tell = |e: &&Event| format!("From {}, {}, {}.", self.interval(e), e.label, e.senses());
        let told: Vec<String> = events.iter().map(tell).collect();
        if told.is_empty() { self.prompt.nothing.clone() } else { told.join(" ") }
    }

    fn grounded(&self, events: &[&Event]) -> String {
        let tell = |e: &&Event| format!("rom {}, {}", self.interval(e), e.senses());
        let told: Vec<String> = events.iter().map(tell).collect();
        if told.is_empty() { self.prompt.absent.clone() } else { format!("F{}.", told.join(", and f")) }
    }

    fn interval(&self, event: &Event) -> String {
        let seconds = self.window.seconds;
        format!("{} to {}", Slot::of(event.start, seconds), Slot::of(event.end, seconds))
    }
}

impl Event {
    fn senses(&self) -> &'static str {
        match (self.seen, self.heard) {
            (true, true) => Modality::Both,
            (true, false) => Modality::Visual,
            _ => Modality::Audio,
        }
        .said()
    }
}

/// Adds noise of `share` of each row's own size.
fn perturb(tokens: &mut [Option<Vec<f32>>], share: f32, random: &mut ChaCha8Rng) {
    for row in tokens.iter_mut().flatten() {
        let size = (row.iter().map(|x| x * x).sum::<f32>() / row.len().max(1) as f32).sqrt() * share;
        for x in row {
            // Four uniform numbers make a bell that is good enough for noise; their variance is a third each.
            let bell: f32 =
                (0..4).map(|_| random.random_range(-1.0f32..1.0)).sum::<f32>() / (4f32 / 3.0).sqrt();
            *x += size * bell;
        }
    }
}

impl Source for Windows {
    fn len(&self) -> usize {
        self.timelines.len() * self.settings.per_video
    }

    fn id(&self, index: usize) -> String {
        format!("{}#{}", self.timeline(index).id, index % self.settings.per_video)
    }

    fn sample(&self, index: usize, random: &mut ChaCha8Rng) -> Result<Sample, TrainError> {
        let look = self.view(self.timeline(index), random);
        // Not drawn where it is not wanted, so that a seed's windows are what they were.
        let other = self.settings.other_sound > 0.0 && random.random_bool(self.settings.other_sound);
        let other = if other { self.other_sound(look, random) } else { None };
        let mut visual = self.tokens(look, Medium::Video)?;
        let mut audio = self.tokens(other.unwrap_or(look), Medium::Audio)?;
        let (mut sees, mut hears) = (!visual.is_empty(), !audio.is_empty());
        if sees && hears && random.random_bool(self.settings.drop_sense) {
            let blind = random.random_bool(0.5);
            (sees, hears) = (!blind, blind);
            let dropped = if blind { &mut visual } else { &mut audio };
            dropped.fill(None);
        }
        let events = match other {
            None => self.events(look, sees, hears),
            Some(listen) => [self.events(look, sees, false), self.events(listen, false, hears)].concat(),
        };
        if self.settings.noise > 0.0 {
            perturb(&mut visual, self.settings.noise, random);
            perturb(&mut audio, self.settings.noise, random);
        }
        Ok(Sample {
            id: self.id(index),
            conversations: self.conversations(&events, &look.timeline.absent, random),
            seen: self.told(&events, visual.len(), |event| event.seen),
            heard: self.told(&events, audio.len(), |event| event.heard),
            visual,
            audio,
        })
    }
}
