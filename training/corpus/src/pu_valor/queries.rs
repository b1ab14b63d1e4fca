//! Grounding questions with their truth, for evaluation.

use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::dialogue::{Scene, small};
use super::{Sources, Timeline};
use crate::Modality;

/// One question. An element of `queries.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Query {
    /// `VIDEO/qNN`.
    pub id: String,
    /// The video's id.
    pub video: String,
    /// The event, as the question calls it.
    pub label: String,
    /// In the words that the default models are asked with.
    pub question: String,
    /// Start and end in seconds of each time it happens; none when it does not.
    pub segments: Vec<[f64; 2]>,
    /// How many there are.
    pub kind: Kind,
    /// Which senses tell.
    pub modality: Evidence,
}

/// How often the event happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Once.
    Single,
    /// More than once.
    Multi,
    /// Never.
    Absent,
}

/// Which senses tell of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Evidence {
    /// Seen and heard, every time; also of an event that does not happen.
    Both,
    /// Heard, every time.
    Audio,
    /// Seen, every time.
    Visual,
    /// Not the same every time.
    Mixed,
}

impl From<Modality> for Evidence {
    fn from(sense: Modality) -> Self {
        match sense {
            Modality::Both => Self::Both,
            Modality::Audio => Self::Audio,
            Modality::Visual => Self::Visual,
        }
    }
}

/// Asks once for every different event of a video, and for `absent` events that it does not have.
pub fn ask(timeline: &Timeline, sources: &Sources<'_>, absent: usize, rng: &mut ChaCha8Rng) -> Vec<Query> {
    let mut queries = Vec::new();
    let mut add = |label: String, segments: Vec<[f64; 2]>, modality| {
        let kind = match segments.len() {
            0 => Kind::Absent,
            1 => Kind::Single,
            _ => Kind::Multi,
        };
        queries.push(Query {
            id: format!("{}/q{:02}", timeline.id, queries.len()),
            video: timeline.id.clone(),
            question: small::ground_question(&label),
            label,
            segments,
            kind,
            modality,
        });
    };
    for event in &Scene::of(timeline).events {
        let shown = event.segments.iter().map(|index| &timeline.segments[*index]);
        let same = shown.clone().all(|segment| segment.modality == event.first.modality);
        let modality = if same { event.first.modality.into() } else { Evidence::Mixed };
        add(event.first.event(), joined(shown.map(|segment| [segment.start, segment.end])), modality);
    }
    let mut asked: Vec<String> = Vec::new();
    for _ in 0..absent {
        if let Some(label) = sources.absent(timeline, rng).filter(|label| !asked.contains(label)) {
            add(label.clone(), Vec::new(), Evidence::Both);
            asked.push(label);
        }
    }
    queries
}

/// Intervals in the order of time; those that touch become one.
fn joined(intervals: impl Iterator<Item = [f64; 2]>) -> Vec<[f64; 2]> {
    let mut joined: Vec<[f64; 2]> = Vec::new();
    for [start, end] in intervals {
        match joined.last_mut() {
            Some(last) if start <= last[1] => last[1] = last[1].max(end),
            _ => joined.push([start, end]),
        }
    }
    joined
}
