//! What happens in each scene: drawn, not yet made.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::NaturalError;
use super::perform::{Performance, Recording};
use super::recipe::{Media, Part};
use super::sounding;
use crate::Split;
use crate::media::{self, RATE};
use crate::packaged::Dice;

/// One scene.
pub(super) struct Scene {
    pub id: String,
    /// Seconds.
    pub seconds: f64,
    /// In order of their starts.
    pub events: Vec<Event>,
    /// One after the other, from 0 to the end.
    pub shots: Vec<Shot>,
    /// The quiet stretch beneath it.
    pub room: Arc<Recording>,
    /// Of its events, in dB of full scale.
    pub level: f64,
}

/// Something that is heard.
pub(super) struct Event {
    pub what: What,
    /// Seconds.
    pub start: f64,
    pub performance: Performance,
}

impl Event {
    pub fn end(&self) -> f64 {
        self.start + self.performance.len() as f64 / f64::from(RATE)
    }
}

/// What an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// A sound of this class.
    Sound(usize),
    /// Footage with its own sound, seen and heard.
    Film(Footage),
}

/// A part of a file of footage, by its places in the recipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Footage {
    pub video: usize,
    pub part: usize,
}

/// What is seen for a while, unless an event is.
pub(super) struct Shot {
    /// Seconds of the scene.
    pub start: f64,
    /// Seconds of the scene.
    pub end: f64,
    pub picture: Picture,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Picture {
    Black,
    /// The backdrop of this number.
    Still(usize),
    /// Silent footage from so many seconds of its file on.
    Film(Footage, f64),
}

/// How likely an event begins before the last one ends, and by how many seconds.
const OVERLAPS: f64 = 0.2;
const OVERLAP: (f64, f64) = (1.0, 4.0);
/// Seconds between two events, else.
const GAP: (f64, f64) = (1.5, 8.0);
/// Seconds of footage with sound that may be looped.
const FILM: (f64, f64) = (4.0, 10.0);
/// How likely a shot is black, or still.
const BLACK: f64 = 0.1;
const STILL: f64 = 0.4;
/// Least seconds of footage that is cut into.
const SHOWN: f64 = 20.0;
/// dB of full scale.
const LEVEL: (f64, f64) = (-26.0, -20.0);

/// Draws the scenes of a seed one after the other, so that every class and clip comes up about as often. The first scenes of a seed
/// are the same however many there are.
pub(super) struct Planner<'a> {
    media: &'a Media,
    split: Split,
    dice: Dice,
    classes: Bag<usize>,
    /// File names of each class.
    files: BTreeMap<usize, Bag<String>>,
    silent: Bag<Footage>,
    films: Vec<Footage>,
    rooms: Bag<usize>,
    shelf: BTreeMap<PathBuf, Arc<Recording>>,
}

impl<'a> Planner<'a> {
    pub fn new(media: &'a Media, seed: u64, split: Split) -> Result<Self, NaturalError> {
        let mut files: BTreeMap<usize, Vec<String>> = BTreeMap::new();
        for (class, _, name) in media.sounds(split) {
            files.entry(class).or_default().push(name.to_owned());
        }
        let recipe = media.recipe();
        let parts = recipe.videos.iter().enumerate().flat_map(|(video, file)| {
            file.parts.iter().enumerate().map(move |(part, own)| (Footage { video, part }, own))
        });
        let (films, silent): (Vec<_>, Vec<_>) =
            parts.filter(|(_, part)| part.split == split).partition(|(_, part)| part.sound);
        let only = |list: Vec<(Footage, &Part)>| list.into_iter().map(|(footage, _)| footage).collect();
        let of_split = |room: &usize| recipe.split_of(&recipe.rooms[*room].file) == Some(split);
        let rooms: Vec<usize> = (0..recipe.rooms.len()).filter(of_split).collect();
        if files.is_empty() || rooms.is_empty() {
            return Err(NaturalError::Empty { split });
        }
        Ok(Self {
            media,
            split,
            dice: Dice::new(seed, &format!("natural/{split}")),
            classes: Bag::new(files.keys().copied().collect()),
            files: files.into_iter().map(|(class, names)| (class, Bag::new(names))).collect(),
            silent: Bag::new(only(silent)),
            films: only(films),
            rooms: Bag::new(rooms),
            shelf: BTreeMap::new(),
        })
    }

    fn part(&self, footage: Footage) -> &'a Part {
        &self.media.recipe().videos[footage.video].parts[footage.part]
    }

    /// The next scene, of whole seconds.
    pub fn scene(&mut self, id: String, seconds: f64) -> Result<Scene, NaturalError> {
        // Labels that may be seen without being marked, and so must not happen besides.
        let mut perhaps: BTreeSet<&str> = BTreeSet::new();
        let mut films = Vec::new();
        for film in self.films.clone() {
            let part = self.part(film);
            if self.dice.chance(0.5) && !perhaps.contains(part.label.as_str()) {
                perhaps.extend(part.perhaps.iter().map(String::as_str));
                films.push(film);
            }
        }
        let shots = self.shots(seconds, &mut perhaps);
        let events = self.events(seconds, &films, &perhaps)?;
        let any = |_: &usize| true;
        let room = self.rooms.draw(&mut self.dice, any).map(|room| self.room(room)).transpose()?;
        let room = room.ok_or(NaturalError::Empty { split: self.split })?;
        let level = self.dice.uniform(LEVEL.0, LEVEL.1);
        Ok(Scene { id, seconds, events, shots, room, level })
    }

    fn shots(&mut self, seconds: f64, perhaps: &mut BTreeSet<&'a str>) -> Vec<Shot> {
        let (mut shots, mut start) = (Vec::new(), 0.0);
        while start < seconds {
            let kind = self.dice.uniform(0.0, 1.0);
            let recipe = self.media.recipe();
            let label = |footage: &Footage| recipe.videos[footage.video].parts[footage.part].label.as_str();
            let film = if kind < STILL {
                None
            } else {
                self.silent.draw(&mut self.dice, |footage| !perhaps.contains(label(footage)))
            };
            let (picture, lasts) = match film {
                None if kind < BLACK => (Picture::Black, self.dice.uniform(8.0, 20.0)),
                None => (Picture::Still(shots.len()), self.dice.uniform(15.0, 40.0)),
                Some(film) => {
                    let part = self.part(film);
                    perhaps.extend(part.perhaps.iter().map(String::as_str));
                    if part.loops {
                        (Picture::Film(film, part.start), self.dice.uniform(10.0, 30.0))
                    } else {
                        let from = part.start + self.dice.uniform(0.0, (part.seconds() - SHOWN).max(0.0));
                        (Picture::Film(film, from), self.dice.uniform(20.0, 60.0).min(part.end - from))
                    }
                }
            };
            // Whole seconds: no picture begins between two of the video's.
            let end = (start + lasts.floor().max(1.0)).min(seconds);
            shots.push(Shot { start, end, picture });
            start = end;
        }
        shots
    }

    fn events(
        &mut self,
        seconds: f64,
        films: &[Footage],
        perhaps: &BTreeSet<&str>,
    ) -> Result<Vec<Event>, NaturalError> {
        let recipe = self.media.recipe();
        // After how many events each film comes.
        let mut due: Vec<(usize, Footage)> =
            films.iter().map(|film| (1 + self.dice.index(5), *film)).collect();
        let mut events: Vec<Event> = Vec::new();
        // Where the last event ends, and from where on it is alone.
        let (mut end, mut alone) = (self.dice.uniform(0.0, 4.0), 0.0f64);
        let mut family: Option<&str> = None;
        loop {
            let film = due.iter().position(|(after, _)| *after <= events.len()).map(|at| due.remove(at).1);
            let (what, performance) = match film {
                Some(film) => (What::Film(film), self.film(film)?),
                None => {
                    let fits = |class: &usize| {
                        let sound = &recipe.sounds[*class];
                        Some(sound.family.as_str()) != family && !perhaps.contains(sound.label.as_str())
                    };
                    let Some(class) = self.classes.draw(&mut self.dice, fits) else { break };
                    let Some(recording) = self.clip(class)? else { break };
                    let steady = recipe.sounds[class].steady;
                    (What::Sound(class), Performance::draw(recording, steady, &mut self.dice))
                }
            };
            let lasts = performance.len() as f64 / f64::from(RATE);
            // Both begin and end on their own, and a third one is never there. What is seen stands alone.
            let most = (end - alone).min(lasts) - 0.5;
            let was_film = matches!(events.last(), Some(Event { what: What::Film(_), .. }));
            let alone_in_picture = matches!(what, What::Film(_)) || was_film;
            let joins = self.dice.chance(OVERLAPS) && most > OVERLAP.0 && !alone_in_picture;
            let start = if joins && !events.is_empty() {
                end - self.dice.uniform(OVERLAP.0, OVERLAP.1.min(most))
            } else {
                end + self.dice.uniform(GAP.0, GAP.1)
            };
            let start = (start * 100.0).round() / 100.0;
            if start + lasts > seconds - 0.5 {
                break;
            }
            (alone, end) = (end.max(start), (start + lasts).max(end));
            family = match what {
                What::Sound(class) => Some(recipe.sounds[class].family.as_str()),
                What::Film(film) => Some(self.part(film).family.as_str()),
            };
            events.push(Event { what, start, performance });
        }
        Ok(events)
    }

    /// The next clip of a class that sounds; `None` when none does.
    fn clip(&mut self, class: usize) -> Result<Option<Arc<Recording>>, NaturalError> {
        let sound = &self.media.recipe().sounds[class];
        let Some(files) = self.files.get_mut(&class) else { return Ok(None) };
        for _ in 0..files.all.len() {
            let Some(name) = files.draw(&mut self.dice, |_| true) else { break };
            let path = self.media.sound(&sound.class, &name);
            let id = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
            let recording = match self.shelf.get(&path) {
                Some(known) => Arc::clone(known),
                None => {
                    let samples = heard(&path)?;
                    let spans = sounding::spans(&samples, sound.steady);
                    let recording = Arc::new(Recording { id, samples, spans });
                    self.shelf.insert(path, Arc::clone(&recording));
                    recording
                }
            };
            if !recording.spans.is_empty() {
                return Ok(Some(recording));
            }
        }
        Ok(None)
    }

    fn film(&mut self, film: Footage) -> Result<Performance, NaturalError> {
        let (part, file) = (self.part(film), &self.media.recipe().videos[film.video].file);
        let samples = heard(&self.media.video(file))?;
        let at = |seconds: f64| ((seconds * f64::from(RATE)) as usize).min(samples.len());
        let spans = part.seen.iter().map(|[start, end]| at(*start)..at(*end)).collect();
        let id = file.split('.').next().unwrap_or(file).to_owned();
        let recording = Arc::new(Recording { id, spans, samples });
        let seconds = self.dice.uniform(FILM.0, FILM.1);
        let loops = part.loops && recording.spans.len() == 1;
        Ok(if loops { Performance::looped(recording, seconds) } else { Performance::once(recording) })
    }

    fn room(&mut self, room: usize) -> Result<Arc<Recording>, NaturalError> {
        let room = &self.media.recipe().rooms[room];
        // Not from the shelf, where the whole clip is.
        let samples = heard(&self.media.room(room))?;
        let at = |seconds: f64| ((seconds * f64::from(RATE)) as usize).min(samples.len());
        let samples = samples[at(room.start)..at(room.end)].to_vec();
        Ok(Arc::new(Recording { id: room.file.clone(), spans: Vec::new(), samples }))
    }
}

/// Seconds that are read of a recording.
const LONGEST: f64 = 60.0;

fn heard(path: &Path) -> Result<Vec<f32>, NaturalError> {
    let sound = media::sound(path, LONGEST)?.filter(|sound| !sound.is_empty());
    sound.ok_or_else(|| NaturalError::Silent { path: path.to_owned() })
}

/// Things that come up in random order, all of them before any comes up again.
struct Bag<T> {
    all: Vec<T>,
    left: Vec<T>,
}

impl<T: Clone> Bag<T> {
    fn new(all: Vec<T>) -> Self {
        Self { all, left: Vec::new() }
    }

    /// The next one that fits; `None` when none does.
    fn draw(&mut self, dice: &mut Dice, fits: impl Fn(&T) -> bool) -> Option<T> {
        if let Some(at) = self.left.iter().position(&fits) {
            return Some(self.left.remove(at));
        }
        let before = self.left.len();
        let mut more = self.all.clone();
        while !more.is_empty() {
            self.left.push(more.swap_remove(dice.index(more.len())));
        }
        let found = self.left[before..].iter().position(&fits);
        if found.is_none() {
            self.left.truncate(before);
        }
        found.map(|at| self.left.remove(before + at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_come_up_before_any_does_again() {
        let (mut bag, mut dice) = (Bag::new((0..5).collect()), Dice::new(1, "bag"));
        let drawn: Vec<i32> = (0..15).filter_map(|_| bag.draw(&mut dice, |_| true)).collect();
        for five in drawn.chunks(5) {
            assert_eq!(five.iter().collect::<BTreeSet<_>>().len(), 5, "{drawn:?}");
        }
        assert_eq!(bag.draw(&mut dice, |number| *number == 3), Some(3));
        assert_eq!(bag.draw(&mut dice, |number| *number == 9), None);
    }
}
