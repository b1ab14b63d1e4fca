//! Dialogues of [`super::Style::Paper`].

use rand::RngExt;
use rand::seq::{IndexedRandom, SliceRandom};
use rand_chacha::ChaCha8Rng;

use super::wording::{
    CAPTION, CAPTION_HEARD, CAPTION_SEEN, DENSE, FIRST, GROUND, HEAR, LONGER, LONGEST, NEVER, NEXT, PREVIOUS,
    SEE, UNHEARD, UNSEEN,
};
use super::{Dialogue, Happening, Kind, Scene, fill, intervals, perceived, times};
use crate::Modality;
use crate::pu_valor::caption::{closed, sentence};

/// Draws the name of an event that the video does not have.
pub(super) type Absent<'a> = dyn FnMut(&mut ChaCha8Rng) -> Option<String> + 'a;

/// Grounding first, of an event that comes back where there is one; then other kinds, each once before any comes again.
pub(super) fn write(
    scene: &Scene<'_>,
    absent: &mut Absent<'_>,
    count: usize,
    rng: &mut ChaCha8Rng,
) -> Vec<Dialogue> {
    let mut asked = scene.shuffled(rng);
    asked.sort_by_key(|event| event.once());
    let mut asked = asked.into_iter().cycle();
    let mut dialogues: Vec<Dialogue> = Vec::with_capacity(count);
    if count > 0 {
        dialogues.extend(asked.next().map(|event| ground(event, scene, Modality::Both, rng)));
    }
    while dialogues.len() < count {
        let before = dialogues.len();
        let mut kinds = [Kind::Single, Kind::Absent, Kind::Caption, Kind::Dense, Kind::Order, Kind::Duration];
        kinds.shuffle(rng);
        for kind in kinds {
            let written = match kind {
                Kind::Single | Kind::Multi => asked.next().map(|event| {
                    let sense = [Modality::Both, Modality::Audio, Modality::Visual].choose(rng).copied();
                    ground(event, scene, sense.unwrap_or(Modality::Both), rng)
                }),
                Kind::Absent => absent(rng).map(|event| never(&event, rng)),
                Kind::Caption => Some(caption(scene, rng)),
                Kind::Dense => Some(dense(scene, rng)),
                Kind::Order => order(scene, rng),
                Kind::Duration => duration(scene, rng),
            };
            dialogues.extend(written);
        }
        if dialogues.len() == before {
            break;
        }
    }
    dialogues.truncate(count);
    dialogues
}

/// When it happens, can be heard or can be seen.
fn ground(event: &Happening<'_>, scene: &Scene<'_>, sense: Modality, rng: &mut ChaCha8Rng) -> Dialogue {
    let name = event.first.event();
    let (templates, nowhere): (&[&str], &[&str]) = match sense {
        Modality::Both => (&GROUND, &NEVER),
        Modality::Audio => (&HEAR, &UNHEARD),
        Modality::Visual => (&SEE, &UNSEEN),
    };
    let found: Vec<usize> = event
        .segments
        .iter()
        .copied()
        .filter(|index| perceived(scene.segment(*index).modality, sense))
        .collect();
    let question = fill(templates, &[("{event}", &name)], rng);
    let (kind, answer) = match found.len() {
        0 => (Kind::Absent, fill(nowhere, &[], rng)),
        1 => (Kind::Single, intervals(&found)),
        _ => (Kind::Multi, intervals(&found)),
    };
    Dialogue { kind, question, answer }
}

fn never(event: &str, rng: &mut ChaCha8Rng) -> Dialogue {
    let templates: &[&str] = [&GROUND[..], &HEAR[..], &SEE[..]].choose(rng).copied().unwrap_or(&GROUND);
    let question = fill(templates, &[("{event}", event)], rng);
    Dialogue { kind: Kind::Absent, question, answer: fill(&NEVER, &[], rng) }
}

fn caption(scene: &Scene<'_>, rng: &mut ChaCha8Rng) -> Dialogue {
    let index = rng.random_range(0..scene.timeline.segments.len());
    let segment = scene.segment(index);
    let templates: &[&str] = match segment.modality {
        Modality::Both => &CAPTION,
        Modality::Audio => &CAPTION_HEARD,
        Modality::Visual => &CAPTION_SEEN,
    };
    let question = fill(templates, &[("{times}", &times(index))], rng);
    Dialogue { kind: Kind::Caption, question, answer: sentence(&segment.caption) }
}

fn dense(scene: &Scene<'_>, rng: &mut ChaCha8Rng) -> Dialogue {
    let tell = |index: usize| format!("From <s{index}> to <e{index}>, {}.", scene.segment(index).event());
    let told: Vec<String> = (0..scene.timeline.segments.len()).map(tell).collect();
    Dialogue { kind: Kind::Dense, question: fill(&DENSE, &[], rng), answer: told.join(" ") }
}

/// First, next or previous: only of events that happen once, else the answer would depend on which time is meant.
fn order(scene: &Scene<'_>, rng: &mut ChaCha8Rng) -> Option<Dialogue> {
    let dialogue = |question, answer: &str| Dialogue { kind: Kind::Order, question, answer: closed(answer) };
    let once: Vec<usize> = once(scene);
    if rng.random_bool(0.5) {
        let pair: Vec<usize> = once.sample(rng, 2).copied().collect();
        let [one, other] = pair[..] else { return None };
        let names = [scene.segment(one).event(), scene.segment(other).event()];
        let first = usize::from(other < one);
        let question = fill(&FIRST, &[("{one}", &names[0]), ("{other}", &names[1])], rng);
        return Some(dialogue(question, &names[first]));
    }
    let asked = *once.choose(rng)?;
    let forward = rng.random_bool(0.5);
    let told = if forward { asked + 1 } else { asked.checked_sub(1)? };
    let answer = scene.timeline.segments.get(told)?;
    let (before, after) = (asked.min(told), asked.max(told));
    if scene.segment(after).start < scene.segment(before).end {
        return None;
    }
    let name = scene.segment(asked).event();
    let templates: &[&str] = if forward { &NEXT } else { &PREVIOUS };
    let question = fill(templates, &[("{event}", &name)], rng);
    Some(dialogue(question, &format!("{}, {}", answer.event(), times(told))))
}

/// Which is longer, where the difference is one that slots show.
fn duration(scene: &Scene<'_>, rng: &mut ChaCha8Rng) -> Option<Dialogue> {
    /// Hundredths of the video: a start and an end may each be off by half a slot.
    const CLEAR: f64 = 0.02;
    let length = |index: usize| {
        let segment = scene.segment(index);
        (segment.end - segment.start) / scene.timeline.duration
    };
    let dialogue =
        |question, answer: &str| Dialogue { kind: Kind::Duration, question, answer: closed(answer) };
    let mut longest: Vec<usize> = (0..scene.timeline.segments.len()).collect();
    longest.sort_by(|a, b| length(*b).total_cmp(&length(*a)));
    let clear = longest.len() < 2 || length(longest[0]) - length(longest[1]) > CLEAR;
    if clear && rng.random_bool(0.5) {
        let answer = format!("{}, {}", scene.segment(longest[0]).event(), times(longest[0]));
        return Some(dialogue(fill(&LONGEST, &[], rng), &answer));
    }
    let pair: Vec<usize> = once(scene).sample(rng, 2).copied().collect();
    let [one, other] = pair[..] else { return None };
    if (length(one) - length(other)).abs() <= CLEAR {
        return None;
    }
    let names = [scene.segment(one).event(), scene.segment(other).event()];
    let question = fill(&LONGER, &[("{one}", &names[0]), ("{other}", &names[1])], rng);
    Some(dialogue(question, &names[usize::from(length(other) > length(one))]))
}

/// The segments whose events happen once.
fn once(scene: &Scene<'_>) -> Vec<usize> {
    scene.events.iter().filter(|event| event.once()).map(|event| event.segments[0]).collect()
}
