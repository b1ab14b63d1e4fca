//! What happens in a video, and when: before anybody sees or hears it.

use super::draw::Draw;
use super::habits::Habit;
use super::things::Things;

/// Videos in which nothing happens.
const EMPTY: f64 = 0.12;
/// The most events of a video. Some of them will not be told.
const EVENTS: usize = 12;
/// The most things that are dealt to one.
const CAST: usize = 10;
/// The most at a time, in each sense.
const AT_ONCE: usize = 3;
/// Seconds between two events of the same kind: after less they would be told as one.
const APART: f64 = 2.0;
/// Who is heard is also seen so often, in scenes where that is not settled by what else happens.
const COMPANION: f64 = 0.5;
/// Events begin and end at so many times in a second.
const GRAIN: f64 = 100.0;

/// One video.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Scene {
    /// Seconds.
    pub seconds: f64,
    /// Not sorted.
    pub events: Vec<Event>,
    /// Steady noise, in decibels over a sound of usual loudness.
    pub noise: f64,
}

/// One thing, for a while.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Event {
    pub thing: usize,
    pub seen: Option<Part>,
    pub heard: Option<Part>,
}

/// What one sense has of an event. Times are seconds of the video.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Part {
    pub start: f64,
    pub end: f64,
    /// When it is really there: short pauses do not end an event.
    pub on: Vec<(f64, f64)>,
}

/// The senses that have a thing.
#[derive(Clone, Copy)]
struct Senses {
    seen: bool,
    heard: bool,
}

impl Event {
    pub(super) fn start(&self) -> f64 {
        self.parts().map(|part| part.start).fold(f64::INFINITY, f64::min)
    }

    pub(super) fn end(&self) -> f64 {
        self.parts().map(|part| part.end).fold(0.0, f64::max)
    }

    fn parts(&self) -> impl Iterator<Item = &Part> {
        self.seen.iter().chain(&self.heard)
    }

    fn shares_a_sense(&self, other: &Self) -> bool {
        self.seen.is_some() && other.seen.is_some() || self.heard.is_some() && other.heard.is_some()
    }
}

/// How many things a video is dealt.
pub(super) fn size(draw: &mut Draw) -> usize {
    if draw.chance(EMPTY) { 0 } else { draw.index(1..CAST + 1) }
}

impl Scene {
    /// Lets the things of `cast` happen in a video of `seconds`.
    pub(super) fn new(cast: &[usize], things: &Things, seconds: f64, draw: &mut Draw) -> Self {
        let noise = match draw.uniform(0.0, 1.0) {
            quiet if quiet < 0.45 => draw.uniform(-45.0, -20.0),
            usual if usual < 0.75 => draw.uniform(-20.0, -8.0),
            _ => draw.uniform(-8.0, 3.0),
        };
        let mut scene = Self { seconds, events: Vec::new(), noise };
        for thing in cast {
            scene.happens(*thing, things, draw);
        }
        scene
    }

    fn happens(&mut self, thing: usize, things: &Things, draw: &mut Draw) {
        let senses = senses(thing, things, draw);
        let habit = if senses.heard { things.all[thing].habit } else { Habit::Silent };
        let length = habit.length(self.seconds, draw);
        // Seen all along, and heard for a part of the time: two events of the same name.
        let apart = senses.seen && senses.heard && length > 8.0 && draw.chance(0.2);
        if apart {
            let short = habit.length(length / 2.0, draw);
            self.place(thing, Habit::Silent, Senses { seen: true, heard: false }, length, things, draw);
            self.place(thing, habit, Senses { seen: false, heard: true }, short, things, draw);
            return;
        }
        let again =
            if habit != Habit::Steady && length < 10.0 && draw.chance(0.3) { draw.index(1..4) } else { 0 };
        for _ in 0..=again {
            let length = length * draw.uniform(0.7, 1.3);
            if !self.place(thing, habit, senses, length, things, draw) {
                return;
            }
        }
        let with = things.all[thing].with.filter(|with| things.sees(*with));
        if let Some(with) = with.filter(|_| senses.heard && draw.chance(COMPANION)) {
            self.accompany(with, things, draw);
        }
    }

    /// Shows who is heard in the latest event.
    fn accompany(&mut self, with: usize, things: &Things, draw: &mut Draw) {
        let Some(event) = self.events.last() else { return };
        let start = event.start() - draw.log_uniform(0.5, 30.0);
        let end = event.end() + draw.log_uniform(0.5, 30.0);
        let seen = self.part(Habit::Silent, start, end, draw);
        self.add(Event { thing: with, seen: Some(seen), heard: None }, things);
    }

    /// Finds a time for an event, if there is one.
    fn place(
        &mut self,
        thing: usize,
        habit: Habit,
        senses: Senses,
        length: f64,
        things: &Things,
        draw: &mut Draw,
    ) -> bool {
        (0..12).any(|_| {
            // Some are under way when the video begins, or go on after its end.
            let start = draw.uniform(-0.3 * length, self.seconds - (0.7 * length).min(self.seconds));
            let event = self.event(thing, habit, senses, (start, start + length), draw);
            self.add(event, things)
        })
    }

    fn event(
        &self,
        thing: usize,
        habit: Habit,
        senses: Senses,
        (start, end): (f64, f64),
        draw: &mut Draw,
    ) -> Event {
        let shifted = |at: f64, draw: &mut Draw| {
            let most = (0.15 * (end - start)).min(1.5);
            at + most * f64::from(draw.normal()).clamp(-1.0, 1.0)
        };
        let heard = senses.heard.then(|| {
            // A mouth opens before it speaks; a car is heard before it comes.
            let (start, end) =
                if senses.seen { (shifted(start, draw), shifted(end, draw)) } else { (start, end) };
            self.part(habit, start, end, draw)
        });
        let seen = senses.seen.then(|| self.part(Habit::Silent, start, end, draw));
        Event { thing, seen, heard }
    }

    fn part(&self, habit: Habit, start: f64, end: f64, draw: &mut Draw) -> Part {
        let grid = |time: f64| (time * GRAIN).round() / GRAIN;
        let start = grid(start.clamp(0.0, self.seconds - 0.5));
        let end = grid(end.clamp(start + 0.5, self.seconds));
        Part { start, end, on: habit.sounding(start, end, draw) }
    }

    /// Adds the event where there is room for it.
    fn add(&mut self, event: Event, things: &Things) -> bool {
        let room = self.events.len() < EVENTS
            && self.events.iter().all(|other| {
                !things.related(other.thing, event.thing)
                    || !other.shares_a_sense(&event)
                    || other.end() + APART <= event.start()
                    || event.end() + APART <= other.start()
            })
            && self.has_room(&event, |event| event.seen.as_ref())
            && self.has_room(&event, |event| event.heard.as_ref());
        if room {
            self.events.push(event);
        }
        room
    }

    fn has_room(&self, event: &Event, sense: impl Fn(&Event) -> Option<&Part>) -> bool {
        let Some(new) = sense(event) else { return true };
        let others: Vec<&Part> = self
            .events
            .iter()
            .filter_map(&sense)
            .filter(|part| part.start < new.end && new.start < part.end)
            .collect();
        // It is fullest where something begins.
        let begins = others.iter().map(|part| part.start.max(new.start)).chain([new.start]);
        begins
            .into_iter()
            .all(|at| others.iter().filter(|part| part.start <= at && at < part.end).count() < AT_ONCE)
    }
}

fn senses(thing: usize, things: &Things, draw: &mut Draw) -> Senses {
    match (things.sees(thing), things.hears(thing)) {
        (true, true) => match draw.uniform(0.0, 1.0) {
            both if both < 0.55 => Senses { seen: true, heard: true },
            seen if seen < 0.75 => Senses { seen: true, heard: false },
            _ => Senses { seen: false, heard: true },
        },
        (seen, heard) => Senses { seen, heard },
    }
}
