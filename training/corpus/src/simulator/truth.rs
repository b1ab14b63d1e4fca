//! What is told of a scene: what the evidence is there for.

use super::STEP;
use super::encode::Table;
use super::scene::{Event, Part, Scene};
use super::world::World;
use crate::Modality;
use crate::pu_valor::{Gap, Segment, Timeline};

/// The share of a sound during which its maker is seen, from which on both are one event that is seen and heard.
const WITH: f64 = 0.5;

/// The time line of a scene.
pub(super) fn timeline(id: &str, scene: &Scene, world: &World<'_>, seen: &Table, heard: &Table) -> Timeline {
    let told = |event: &Event| {
        let part = |part: &Option<Part>, columns: &[Option<usize>], table: &Table| {
            let (part, column) = (part.clone()?, columns[event.thing]?);
            (mean(table, column, &part) >= world.levels.told).then_some(part)
        };
        let seen = part(&event.seen, &world.things.seen.of, seen);
        let heard = part(&event.heard, &world.things.heard.of, heard);
        (seen.is_some() || heard.is_some()).then_some(Event { thing: event.thing, seen, heard })
    };
    let events: Vec<Event> = scene.events.iter().filter_map(told).collect();
    let mut segments: Vec<Segment> = events.iter().map(|event| segment(event, &events, world)).collect();
    segments.sort_by(|one, other| one.start.total_cmp(&other.start).then(one.end.total_cmp(&other.end)));
    Timeline {
        id: id.to_owned(),
        group: id.to_owned(),
        variant: 0,
        duration: scene.seconds,
        gaps: gaps(&segments, scene.seconds),
        segments,
        absent: Vec::new(),
    }
}

/// Mean evidence of a column while a part lasts; of the nearest row, where it lies between two.
pub(super) fn mean(table: &Table, column: usize, part: &Part) -> f32 {
    let row = |time: f64| (time / STEP).ceil() as usize;
    let from = row(part.start).min(table.rows.saturating_sub(1));
    let to = row(part.end).clamp(from + 1, table.rows.max(from + 1));
    let rows: Vec<f32> = table.column(column).skip(from).take(to - from).collect();
    rows.iter().sum::<f32>() / rows.len().max(1) as f32
}

fn segment(event: &Event, all: &[Event], world: &World<'_>) -> Segment {
    let thing = &world.things.all[event.thing];
    let (start, end) = (event.start(), event.end());
    let both = event.seen.is_some() && event.heard.is_some()
        || event.heard.is_some()
            && thing.with.is_some_and(|with| seen_for(with, start, end, all) >= WITH * (end - start));
    Segment {
        clip: thing.text.clone(),
        label: Some(thing.text.clone()),
        caption: thing.text.clone(),
        modality: match event.seen {
            _ if both => Modality::Both,
            Some(_) => Modality::Visual,
            None => Modality::Audio,
        },
        start,
        end,
        scale: 1.0,
    }
}

/// Seconds between `start` and `end` in which a thing is seen.
fn seen_for(thing: usize, start: f64, end: f64, all: &[Event]) -> f64 {
    let seen = all.iter().filter(|event| event.thing == thing).filter_map(|event| event.seen.as_ref());
    seen.map(|part| (part.end.min(end) - part.start.max(start)).max(0.0)).sum()
}

/// Where nothing happens. The segments are in the order of their starts.
fn gaps(segments: &[Segment], seconds: f64) -> Vec<Gap> {
    let (mut gaps, mut at) = (Vec::new(), 0.0);
    for segment in segments {
        if segment.start > at {
            gaps.push(Gap { start: at, end: segment.start });
        }
        at = segment.end.max(at);
    }
    if at < seconds {
        gaps.push(Gap { start: at, end: seconds });
    }
    gaps
}
