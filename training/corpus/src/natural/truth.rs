//! What happens in a scene, and what is asked about it.

use std::collections::BTreeSet;

use super::plan::{Picture, Scene, What};
use super::recipe::{Part, Recipe};
use super::sounding::HOLE;
use crate::media::RATE;
use crate::packaged::Dice;
use crate::pu_valor::queries::{self, Query};
use crate::pu_valor::{PuValorError, Segment, Sources, Timeline};
use crate::{Modality, directory};

/// Seconds: what is seen for less between two events is not told.
const GLIMPSE: f64 = 0.5;

/// The events of a scene. What is heard, seen or both is joined where it happens again within a second.
pub(super) fn timeline(scene: &Scene, recipe: &Recipe) -> Timeline {
    let mut segments: Vec<Segment> = Vec::new();
    let mut films: Vec<[f64; 2]> = Vec::new();
    for event in &scene.events {
        let clip = &event.performance.recording.id;
        let (label, caption, sense) = match event.what {
            What::Sound(class) => {
                let sound = &recipe.sounds[class];
                (&sound.label, &sound.caption, Modality::Audio)
            }
            What::Film(film) => {
                let part = &recipe.videos[film.video].parts[film.part];
                films.push([event.start, event.end()]);
                (&part.label, &part.caption, Modality::Both)
            }
        };
        for span in event.performance.spans() {
            let at = |sample: usize| event.start + sample as f64 / f64::from(RATE);
            segments.push(directory::segment(clip, label, caption, sense, [at(span.start), at(span.end)]));
        }
    }
    for shot in &scene.shots {
        let Picture::Film(film, from) = shot.picture else { continue };
        let file = &recipe.videos[film.video];
        let (part, clip) = (&file.parts[film.part], file.file.split('.').next().unwrap_or(&file.file));
        let lasts = part.end - from;
        let takes = ((shot.end - shot.start) / lasts).ceil() as usize;
        for (take, span) in (0..takes).flat_map(|take| part.seen.iter().map(move |span| (take, span))) {
            let begins = shot.start + take as f64 * lasts - from;
            let (start, end) = (begins + span[0].max(from), begins + span[1]);
            let shown = [start.max(shot.start), end.min(shot.end)];
            for shown in without(shown, &films) {
                if shown[1] - shown[0] >= GLIMPSE {
                    let Part { label, caption, .. } = part;
                    segments.push(directory::segment(clip, label, caption, Modality::Visual, shown));
                }
            }
        }
    }
    directory::timeline(&scene.id, scene.seconds, segments, HOLE)
}

/// What is left of `span` outside of `taken`, which is in order.
fn without(span: [f64; 2], taken: &[[f64; 2]]) -> Vec<[f64; 2]> {
    let mut left = Vec::new();
    let mut start = span[0];
    for [from, to] in taken.iter().filter(|[from, to]| *to > span[0] && *from < span[1]) {
        left.push([start, from.max(start)]);
        start = to.max(start);
    }
    left.push([start, span[1]]);
    left.retain(|[start, end]| start < end);
    left
}

/// Asks for every label of a scene, and for `absent` ones that neither happen nor are related to what does: half of them
/// labels that other scenes have.
pub(super) fn ask(
    scene: &Scene,
    timeline: &Timeline,
    recipe: &Recipe,
    absent: usize,
    seed: u64,
) -> Result<Vec<Query>, PuValorError> {
    let mut dice = Dice::new(seed, &format!("{}/absent", scene.id));
    // Of its clips only absent events are drawn, which are drawn here.
    let none = Sources::new(&[], &[])?;
    let mut asked = queries::ask(timeline, &none, 0, &mut crate::seeded::rng(seed, &scene.id));
    let happens: BTreeSet<&str> = timeline.segments.iter().map(Segment::key).collect();
    let labels = recipe.labels();
    let families: BTreeSet<&str> = happens.iter().filter_map(|label| labels.get(label).copied()).collect();
    let perhaps = perhaps(scene, recipe);
    let fits = |(label, family): &(&str, &str)| {
        !happens.contains(label) && !families.contains(family) && !perhaps.contains(label)
    };
    let mut own: Vec<&str> = labels.iter().map(|(l, f)| (*l, *f)).filter(fits).map(|(l, _)| l).collect();
    let never = recipe.absent.iter().map(|(label, family)| (label.as_str(), family.as_str()));
    let mut never: Vec<&str> = never.filter(fits).map(|(label, _)| label).collect();
    for number in 0..absent {
        let (first, second) =
            if number < absent / 2 { (&mut own, &mut never) } else { (&mut never, &mut own) };
        let list = if first.is_empty() { second } else { first };
        if list.is_empty() {
            break;
        }
        let label = list.swap_remove(dice.index(list.len())).to_owned();
        asked.push(directory::absent(&timeline.id, asked.len(), &label));
    }
    Ok(asked)
}

/// What may be seen in a scene without being marked.
fn perhaps<'a>(scene: &Scene, recipe: &'a Recipe) -> BTreeSet<&'a str> {
    let shown = scene.shots.iter().filter_map(|shot| match shot.picture {
        Picture::Film(film, _) => Some(film),
        _ => None,
    });
    let events = scene.events.iter().filter_map(|event| match event.what {
        What::Film(film) => Some(film),
        What::Sound(_) => None,
    });
    let parts = shown.chain(events).map(|film| &recipe.videos[film.video].parts[film.part]);
    parts.flat_map(|part| &part.perhaps).map(String::as_str).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_cut_out() {
        assert_eq!(without([2.0, 9.0], &[[0.0, 1.0], [3.0, 4.0], [8.0, 12.0]]), [[2.0, 3.0], [4.0, 8.0]]);
        assert!(without([2.0, 3.0], &[[0.0, 5.0]]).is_empty());
    }
}
