//! The two questions of the small default model, and answers that say what is seen and what is heard.
//!
//! `pipeline`'s `answer` reads these answers; a model that is trained on them speaks its grammar.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::paper::Absent;
use super::{Dialogue, Kind, Scene};
use crate::Modality;
use crate::pu_valor::caption::closed;

/// Asks for everything that happens.
pub const DETECT: &str = "What happens, and when?";

/// The answer to [`DETECT`] when nothing does.
pub const NOTHING: &str = "Nothing happens.";

/// The answer to [`ground_question`] when it does not.
pub const ABSENT: &str = "It does not happen.";

/// Groundings beside one detection: mostly two of what happens and one of what does not.
const GROUNDINGS: usize = 3;

/// Asks when `event` happens.
pub fn ground_question(event: &str) -> String {
    format!("At which intervals in the video can we observe {event}, in terms of both visuals and audio?")
}

/// One event of an answer: from when, to when (two digits or tokens), what, and which senses tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// As the answer spells it.
    pub start: String,
    /// As the answer spells it.
    pub end: String,
    /// The event's name.
    pub event: String,
    /// Which senses tell.
    pub modality: Modality,
}

/// `From 20 to 55, a dog, seen and heard. From 60 to 80, a violin, heard.`
pub fn detect_answer(told: &[Told]) -> String {
    let tell = |t: &Told| format!("From {} to {}, {}, {}.", t.start, t.end, t.event, t.modality.said());
    let sentences: Vec<String> = told.iter().map(tell).collect();
    if sentences.is_empty() { NOTHING.into() } else { sentences.join(" ") }
}

/// `From 20 to 55, seen and heard, and from 57 to 99, heard.`
pub fn ground_answer(told: &[Told]) -> String {
    let tell = |t: &Told| format!("from {} to {}, {}", t.start, t.end, t.modality.said());
    let parts: Vec<String> = told.iter().map(tell).collect();
    if parts.is_empty() { ABSENT.into() } else { closed(&parts.join(", and ")) }
}

/// Repeats one detection and three groundings, one of them absent, until there are `count`.
pub(super) fn write(
    scene: &Scene<'_>,
    absent: &mut Absent<'_>,
    count: usize,
    rng: &mut ChaCha8Rng,
) -> Vec<Dialogue> {
    let mut dialogues = Vec::with_capacity(count);
    let all: Vec<Told> = (0..scene.timeline.segments.len()).map(|index| told(scene, index)).collect();
    let mut asked = scene.shuffled(rng).into_iter().cycle();
    while dialogues.len() < count {
        dialogues.push(Dialogue { kind: Kind::Dense, question: DETECT.into(), answer: detect_answer(&all) });
        let missing = rng.random_range(0..GROUNDINGS);
        for turn in 0..GROUNDINGS {
            let nowhere = if turn == missing { absent(rng) } else { None };
            if let Some(event) = nowhere {
                let question = ground_question(&event);
                dialogues.push(Dialogue { kind: Kind::Absent, question, answer: ABSENT.into() });
            } else if let Some(event) = asked.next() {
                let found: Vec<Told> = event.segments.iter().map(|index| told(scene, *index)).collect();
                let question = ground_question(&event.first.event());
                dialogues.push(Dialogue { kind: event.kind(), question, answer: ground_answer(&found) });
            }
        }
    }
    dialogues.truncate(count);
    dialogues
}

/// A segment by its tokens.
fn told(scene: &Scene<'_>, index: usize) -> Told {
    let segment = scene.segment(index);
    Told {
        start: format!("<s{index}>"),
        end: format!("<e{index}>"),
        event: segment.event(),
        modality: segment.modality,
    }
}
