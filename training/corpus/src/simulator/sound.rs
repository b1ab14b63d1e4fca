//! What the tagger of sounds says: clips of two seconds around each row, with noise and with other sounds.

use super::STEP;
use super::draw::{Draw, Walk, sigmoid};
use super::encode::{Presence, Table, encode};
use super::scene::{Part, Scene};
use super::world::World;

/// Seconds of the clip that a row is made of; its middle is the row's.
const CLIP: f64 = 2.0;
/// Decibels by which sounds differ.
const LOUDNESS: f32 = 5.0;

/// A sound on its way to the ear.
struct Sound<'a> {
    column: usize,
    part: &'a Part,
    /// Seconds of it that are enough.
    enough: f32,
    /// In decibels over the usual.
    loudness: f32,
    /// Seconds of it in each row's clip.
    covered: Vec<f32>,
}

pub(super) fn hear(scene: &Scene, world: &World<'_>, draw: &mut Draw) -> Table {
    let rows = (scene.seconds / STEP).round() as usize;
    let sound = |event: &super::scene::Event| {
        let (part, column) = (event.heard.as_ref()?, world.things.heard.of[event.thing]?);
        let enough = world.things.all[event.thing].habit.enough();
        Some((column, part.clone(), enough))
    };
    let heard: Vec<(usize, Part, f32)> = scene.events.iter().filter_map(sound).collect();
    let sounds: Vec<Sound<'_>> = heard
        .iter()
        .map(|(column, part, enough)| Sound {
            column: *column,
            part,
            enough: *enough,
            loudness: LOUDNESS * draw.normal(),
            covered: (0..rows).map(|row| covered(part, row)).collect(),
        })
        .collect();
    let there: Vec<Presence> =
        (0..sounds.len()).map(|index| presence(&sounds, index, scene.noise as f32, world, draw)).collect();
    // The louder the noise, the more is heard in it.
    let noise = sigmoid((scene.noise as f32 + 15.0) / 5.0);
    let (usual, empty) = world.levels.tagger.spells;
    let spells = if scene.events.is_empty() { empty } else { usual + (usual as f32 * noise) as usize };
    encode(&world.tagger, rows, &there, spells, draw)
}

/// Seconds of the part's sound in the clip around a row.
fn covered(part: &Part, row: usize) -> f32 {
    let middle = (row as f64 + 0.5) * STEP;
    let (from, to) = (middle - CLIP / 2.0, middle + CLIP / 2.0);
    part.on.iter().map(|(start, end)| (end.min(to) - start.max(from)).max(0.0)).sum::<f64>() as f32
}

/// How surely a sound is heard, among the others.
fn presence(sounds: &[Sound<'_>], index: usize, noise: f32, world: &World<'_>, draw: &mut Draw) -> Presence {
    let (known, levels) = (&world.tagger, world.levels);
    let sound = &sounds[index];
    let event = known.encoder.there + known.there[sound.column] + known.encoder.of_event * draw.normal();
    // Some sounds stand out of any noise, some drown in little.
    let drowns = draw.uniform(0.2, 1.8) as f32;
    let mut walk = Walk::new(known.encoder.keep, draw);
    let power = |decibels: f32| 10f32.powf(decibels / 10.0);
    let rows = sound.covered.len();
    debug_assert!(sound.part.end > sound.part.start, "an event lasts");
    let share: Vec<f32> = sound.covered.iter().map(|covered| reach(covered / sound.enough)).collect();
    let evidence = |row: usize| {
        let step = walk.step(draw);
        if share[row] <= 0.0 {
            return 0.0;
        }
        let others = sounds.iter().enumerate().filter(|(other, _)| *other != index);
        let others: f32 =
            others.map(|(_, other)| power(other.loudness) * other.covered[row] / CLIP as f32).sum();
        // At its edge there is less of it in the clip, and more of the rest.
        let own = power(sound.loudness) * (sound.covered[row] / sound.enough.min(CLIP as f32)).min(1.0);
        let over = 10.0 * (own / (others + power(noise))).log10();
        let odds = event - drowns * levels.loss(over) + known.encoder.flicker * step;
        sigmoid(odds) * share[row]
    };
    let evidence = (0..rows).map(evidence).collect();
    Presence { column: sound.column, share, evidence }
}

/// How much of a sound's evidence is there when so much of what is enough is in the clip.
fn reach(share: f32) -> f32 {
    if share > 0.0 { sigmoid((share - 0.68) / 0.15) } else { 0.0 }
}
