//! Questions and answers about the events of a time line.
//!
//! Texts name times by the tokens `<s0>`, `<e0>`, `<s1>` ...: start and end of the segment of that number. Whoever reads a
//! record puts two-digit slots in their place ([`super::record::Record::spoken`]). [`Style::Paper`] asks in many words about
//! grounding, captions, order, duration and absence; [`Style::Small`] asks what the small default model is asked.

use rand::seq::{IndexedRandom, SliceRandom};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::caption::closed;
use super::{Segment, Sources, Timeline};
use crate::Modality;

mod paper;
pub mod small;
mod wording;

/// Which set of templates a corpus uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Style {
    /// Many wordings, all kinds, times only in grounding answers, as the paper has them.
    Paper,
    /// The two questions of the small default model; answers say what is seen and what is heard.
    Small,
}

/// What a dialogue is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// When does an event happen? Once.
    Single,
    /// When does an event happen? More than once.
    Multi,
    /// When does an event happen that does not?
    Absent,
    /// What happens in a segment?
    Caption,
    /// What happens, and when?
    Dense,
    /// What comes before or after what?
    Order,
    /// What lasts longer?
    Duration,
}

/// One question with its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dialogue {
    /// What it is about.
    pub kind: Kind,
    /// What the user asks.
    pub question: String,
    /// What the model is to answer.
    pub answer: String,
}

/// Writes `count` dialogues about a video, the first of them about when something happens.
pub fn write(
    timeline: &Timeline,
    sources: &Sources<'_>,
    style: Style,
    count: usize,
    rng: &mut ChaCha8Rng,
) -> Vec<Dialogue> {
    let scene = Scene::of(timeline);
    if scene.events.is_empty() {
        return Vec::new();
    }
    match style {
        Style::Paper => paper::write(&scene, &mut |rng| sources.absent(timeline, rng), count, rng),
        Style::Small => small::write(&scene, &mut |rng| sources.absent(timeline, rng), count, rng),
    }
}

/// A video as dialogues see it: every different event once, with its segments.
pub(super) struct Scene<'a> {
    timeline: &'a Timeline,
    /// In the order of their first segments.
    pub(super) events: Vec<Happening<'a>>,
}

/// One event with the numbers of its segments in the order of time.
pub(super) struct Happening<'a> {
    pub(super) first: &'a Segment,
    pub(super) segments: Vec<usize>,
}

impl<'a> Scene<'a> {
    pub(super) fn of(timeline: &'a Timeline) -> Self {
        let mut events: Vec<Happening<'_>> = Vec::new();
        for (index, segment) in timeline.segments.iter().enumerate() {
            match events.iter_mut().find(|event| event.first.key() == segment.key()) {
                Some(event) => event.segments.push(index),
                None => events.push(Happening { first: segment, segments: vec![index] }),
            }
        }
        Self { timeline, events }
    }

    fn segment(&self, index: usize) -> &'a Segment {
        &self.timeline.segments[index]
    }

    /// The events in a random order.
    fn shuffled(&self, rng: &mut ChaCha8Rng) -> Vec<&Happening<'a>> {
        let mut events: Vec<_> = self.events.iter().collect();
        events.shuffle(rng);
        events
    }
}

impl Happening<'_> {
    fn kind(&self) -> Kind {
        if self.segments.len() == 1 { Kind::Single } else { Kind::Multi }
    }

    fn once(&self) -> bool {
        self.segments.len() == 1
    }
}

/// `from <s3> to <e3>`.
fn times(index: usize) -> String {
    format!("from <s{index}> to <e{index}>")
}

/// `From <s0> to <e0>, and from <s3> to <e3>.`
fn intervals(segments: &[usize]) -> String {
    let told: Vec<String> = segments.iter().map(|index| times(*index)).collect();
    closed(&told.join(", and "))
}

/// One of `templates` with its holes filled.
fn fill(templates: &[&str], holes: &[(&str, &str)], rng: &mut ChaCha8Rng) -> String {
    let template = templates.choose(rng).copied().unwrap_or_default();
    holes.iter().fold(template.to_owned(), |text, (hole, value)| text.replace(hole, value))
}

/// Whether something with `modality` can be perceived by `sense`: seen, heard, or either of them.
fn perceived(modality: Modality, sense: Modality) -> bool {
    matches!((modality, sense), (Modality::Both, _) | (_, Modality::Both)) || modality == sense
}
