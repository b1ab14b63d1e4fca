//! The phrases of a vocabulary as the simulator sees them: which encoders know them, and how they are related.

use std::collections::HashMap;

use avicuna_models::vocabulary::{Classes, Phrase, Vocabulary};
use sha2::{Digest, Sha256};

use super::habits::Habit;

/// Everyday things come so many times as often as others.
const EVERYDAY: f64 = 3.0;
/// The share of events that are told by the name of their kind, such as "an animal", because nothing more exact is known.
const UNIDENTIFIED: f64 = 0.05;
/// A phrase with so many kinds of its own is a name for whatever cannot be told exactly.
const KINDS: usize = 3;

/// What is in most footage. As phrases of the shipped vocabulary; others are passed over.
const COMMON: [&str; 16] = [
    "a person",
    "a person speaks",
    "a person laughs",
    "a person sings",
    "a baby cries",
    "footsteps",
    "music",
    "a guitar",
    "a dog",
    "a cat",
    "a bird",
    "a car",
    "a truck",
    "rain",
    "wind",
    "water",
];

/// One phrase.
#[derive(Debug, Clone)]
pub(super) struct Thing {
    pub text: String,
    pub group: String,
    pub habit: Habit,
    /// What it is a kind of.
    pub is: Option<usize>,
    /// What is seen where it is heard.
    pub with: Option<usize>,
    /// Its kinds.
    pub kinds: Vec<usize>,
    /// How often it comes, beside others.
    pub weight: f64,
}

/// All phrases, and the columns of both senses.
#[derive(Debug, Clone)]
pub(super) struct Things {
    pub all: Vec<Thing>,
    pub seen: Columns,
    pub heard: Columns,
}

/// The columns of one sense.
#[derive(Debug, Clone)]
pub(super) struct Columns {
    /// The thing of each column.
    pub things: Vec<usize>,
    /// The column of each thing.
    pub of: Vec<Option<usize>>,
}

impl Things {
    pub(super) fn new(vocabulary: &Vocabulary) -> Self {
        let phrases = vocabulary.phrases();
        let mut all: Vec<Thing> = phrases.iter().map(thing).collect();
        for (index, phrase) in phrases.iter().enumerate() {
            if let Some(parent) = phrase.is {
                all[parent].kinds.push(index);
            }
        }
        let columns = |things: &[usize]| {
            let mut of = vec![None; phrases.len()];
            for (column, thing) in things.iter().enumerate() {
                of[*thing] = Some(column);
            }
            Columns { things: things.to_vec(), of }
        };
        let mut things = Self {
            all,
            seen: columns(vocabulary.columns_of(Classes::Coco)),
            heard: columns(vocabulary.columns_of(Classes::Audioset)),
        };
        things.weigh();
        things
    }

    fn weigh(&mut self) {
        let kinds = |thing: &Thing| thing.kinds.len() >= KINDS && !COMMON.contains(&thing.text.as_str());
        let (mut named, mut unidentified) = (0.0, 0);
        for index in 0..self.all.len() {
            // Without a column nothing could be known of it.
            let known = self.sees(index) || self.hears(index);
            let thing = &mut self.all[index];
            thing.weight = match () {
                () if !known => 0.0,
                () if COMMON.contains(&thing.text.as_str()) => EVERYDAY,
                () => 1.0,
            };
            if known && kinds(thing) {
                unidentified += 1;
            } else {
                named += thing.weight;
            }
        }
        let each = named * UNIDENTIFIED / (1.0 - UNIDENTIFIED) / f64::from(unidentified.max(1));
        for thing in self.all.iter_mut().filter(|thing| thing.weight > 0.0 && kinds(thing)) {
            thing.weight = each;
        }
    }

    pub(super) fn sees(&self, thing: usize) -> bool {
        self.seen.of[thing].is_some()
    }

    pub(super) fn hears(&self, thing: usize) -> bool {
        self.heard.of[thing].is_some()
    }

    /// Whether it is in most footage, or stands for many things.
    pub(super) fn is_common(&self, thing: usize) -> bool {
        let thing = &self.all[thing];
        COMMON.contains(&thing.text.as_str()) || thing.kinds.len() >= KINDS
    }

    /// What the thing is a kind of, then what that is, and so on.
    pub(super) fn kinds_above(&self, thing: usize) -> impl Iterator<Item = usize> {
        std::iter::successors(self.all[thing].is, |above| self.all[*above].is)
    }

    /// Whether one is the other, or a kind of it.
    pub(super) fn related(&self, one: usize, other: usize) -> bool {
        one == other
            || self.kinds_above(one).any(|above| above == other)
            || self.kinds_above(other).any(|above| above == one)
    }

    /// The things of each group.
    pub(super) fn groups(&self) -> HashMap<&str, Vec<usize>> {
        let mut groups: HashMap<&str, Vec<usize>> = HashMap::new();
        for (index, thing) in self.all.iter().enumerate() {
            groups.entry(&thing.group).or_default().push(index);
        }
        groups
    }

    /// The SHA-256 of what a sense's columns stand for, in hexadecimal digits.
    pub(super) fn fingerprint(&self, columns: &Columns) -> String {
        let mut hasher = Sha256::new();
        for thing in &columns.things {
            hasher.update(self.all[*thing].text.as_bytes());
            hasher.update(b"\n");
        }
        hex::encode(hasher.finalize())
    }
}

fn thing(phrase: &Phrase) -> Thing {
    Thing {
        text: phrase.text.clone(),
        group: phrase.group.clone(),
        habit: Habit::of(&phrase.text, &phrase.group, !phrase.audioset.is_empty()),
        is: phrase.is,
        with: phrase.with,
        kinds: Vec::new(),
        weight: 1.0,
    }
}
