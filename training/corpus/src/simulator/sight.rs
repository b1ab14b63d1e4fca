//! What the detector and the classifier of pictures say.

use super::STEP;
use super::draw::{Draw, Walk, sigmoid};
use super::encode::{Presence, Table, encode};
use super::scene::{Part, Scene};
use super::world::{Known, World};

/// Rows for each picture that the detector looks at.
const DETECTOR_ROWS: usize = 2;

pub(super) fn see(scene: &Scene, world: &World<'_>, draw: &mut Draw) -> Table {
    let rows = (scene.seconds / STEP).round() as usize;
    let empty = scene.events.iter().all(|event| event.seen.is_none());
    let looked = rows.div_ceil(DETECTOR_ROWS);
    let there = presences(scene, world, &world.detector, looked, STEP * DETECTOR_ROWS as f64, draw);
    let spells = |(usual, nothing): (usize, usize)| if empty { nothing } else { usual };
    let detected = encode(&world.detector, looked, &there, spells(world.levels.detector.spells), draw);
    let there = presences(scene, world, &world.classifier, rows, STEP, draw);
    let mut table = encode(&world.classifier, rows, &there, spells(world.levels.classifier.spells), draw);
    shared(&mut table);
    for row in 0..rows {
        for column in 0..table.dim {
            let detected = detected.values[row / DETECTOR_ROWS * table.dim + column];
            table.raise(row, column, detected);
        }
    }
    table
}

/// Makes probabilities of things that exclude each other out of how sure each would be if it were alone.
fn shared(table: &mut Table) {
    for row in table.values.chunks_exact_mut(table.dim.max(1)) {
        let odds = |sure: f32| sure / (1.0 - sure.min(0.999));
        let all: f32 = 1.0 + row.iter().map(|sure| odds(*sure)).sum::<f32>();
        for value in row {
            *value = odds(*value) / all;
        }
    }
}

/// What of the scene an encoder knows, `step` seconds from picture to picture.
fn presences(
    scene: &Scene,
    world: &World<'_>,
    known: &Known<'_>,
    rows: usize,
    step: f64,
    draw: &mut Draw,
) -> Vec<Presence> {
    let mut there = Vec::new();
    for event in &scene.events {
        let column = world.things.seen.of[event.thing];
        let (Some(part), Some(column)) = (&event.seen, column) else { continue };
        if known.has[column] {
            there.push(presence(part, column, 1.0, known, rows, step, draw));
        } else if let Some((above, odds)) = known.above(column).next() {
            // A robin is no thing of the detector's, but a bird is.
            there.push(presence(part, above, odds.exp().min(1.0), known, rows, step, draw));
        }
    }
    there
}

/// One event, `sure` times as surely as events of the column's own thing.
fn presence(
    part: &Part,
    column: usize,
    sure: f32,
    known: &Known<'_>,
    rows: usize,
    step: f64,
    draw: &mut Draw,
) -> Presence {
    let event = known.encoder.there + known.there[column] + known.encoder.of_event * draw.normal();
    let mut walk = Walk::new(known.encoder.keep, draw);
    // Half in the picture at its edge.
    let (comes, goes) = (draw.uniform(0.3, 1.0) as f32, draw.uniform(0.3, 1.0) as f32);
    let share = |row: usize| {
        let time = row as f64 * step;
        match (part.start..part.end).contains(&time) {
            false => 0.0,
            true if time - step < part.start && part.start > 0.0 => comes,
            true if time + step >= part.end => goes,
            true => 1.0,
        }
    };
    let share: Vec<f32> = (0..rows).map(share).collect();
    let mut evidence = |share: &f32| {
        let odds = event + known.encoder.flicker * walk.step(draw);
        sure * share * sigmoid(odds)
    };
    let evidence = share.iter().map(&mut evidence).collect();
    Presence { column, share, evidence }
}
