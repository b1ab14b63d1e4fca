//! What does not change from video to video: how well an encoder knows each thing, and what it takes it for.

use avicuna_models::vocabulary::{Classes, Vocabulary};

use super::draw::Draw;
use super::levels::{Encoder, Levels};
use super::neighbours;
use super::things::{Columns, Things};

/// Of what a thing is mistaken for: the share of what the encoder really takes it for, that of its own group, and that of what is
/// in most footage or stands for many things.
const NEAR: f64 = 0.6;
const SAME_GROUP: f64 = 0.15;
const COMMON: f64 = 0.15;
/// Of what is seen in nothing, the share of the last.
const COMMON_IN_NOTHING: f64 = 0.25;

/// Everything that videos are drawn from.
pub(super) struct World<'a> {
    pub things: &'a Things,
    pub levels: &'a Levels,
    pub tagger: Known<'a>,
    pub detector: Known<'a>,
    pub classifier: Known<'a>,
}

/// One encoder and the columns that it speaks for.
pub(super) struct Known<'a> {
    pub encoder: &'a Encoder,
    columns: &'a Columns,
    things: &'a Things,
    /// Whether it has classes for a column.
    pub has: Vec<bool>,
    /// Log-odds that each column has more or less than others, when its thing is there.
    pub there: Vec<f32>,
    /// Natural logarithm of what each column shows when it is not.
    pub floor: Vec<f32>,
    /// The columns of each column's group, itself among them.
    group: Vec<Vec<usize>>,
    /// What the encoder takes each column's thing for, the nearest first.
    near: Vec<Vec<usize>>,
    /// Log-odds of each column's thing that what it is a kind of has more or less.
    parent: Vec<f32>,
    common: Vec<usize>,
    all: Vec<usize>,
}

impl<'a> World<'a> {
    pub(super) fn new(vocabulary: &Vocabulary, things: &'a Things, levels: &'a Levels, seed: u64) -> Self {
        let known = |classes: Classes, encoder, columns| {
            Known::new(vocabulary, classes, encoder, columns, things, seed)
        };
        Self {
            things,
            levels,
            tagger: known(Classes::Audioset, &levels.tagger, &things.heard),
            detector: known(Classes::Coco, &levels.detector, &things.seen),
            classifier: known(Classes::Imagenet, &levels.classifier, &things.seen),
        }
    }
}

impl<'a> Known<'a> {
    fn new(
        vocabulary: &Vocabulary,
        classes: Classes,
        encoder: &'a Encoder,
        columns: &'a Columns,
        things: &'a Things,
        seed: u64,
    ) -> Self {
        let count = columns.things.len();
        let mut of_column = vec![0; count];
        for column in vocabulary.class_columns(classes).into_iter().flatten() {
            of_column[column] += 1;
        }
        let has: Vec<bool> = of_column.iter().map(|classes| *classes > 0).collect();
        let all: Vec<usize> = (0..count).filter(|column| has[*column]).collect();
        let is_common = |column: &usize| things.is_common(columns.things[*column]);
        let common = all.iter().copied().filter(is_common).collect();
        let groups = things.groups();
        let group = |column: usize| {
            let group = groups.get(things.all[columns.things[column]].group.as_str()).into_iter().flatten();
            group.filter_map(|thing| columns.of[*thing]).filter(|column| has[*column]).collect()
        };
        let mut known = Self {
            encoder,
            columns,
            things,
            there: Vec::with_capacity(count),
            floor: Vec::with_capacity(count),
            parent: Vec::with_capacity(count),
            group: (0..count).map(group).collect(),
            near: neighbours::columns(vocabulary, classes),
            has,
            common,
            all,
        };
        for (column, thing) in columns.things.iter().enumerate() {
            let mut draw = Draw::new(seed, &format!("{}/{}", classes.name(), things.all[*thing].text));
            known.there.push(encoder.of_thing * draw.normal());
            let common = if things.is_common(*thing) { encoder.floor_of_common } else { 0.0 };
            // A hundred breeds have a hundred times as much by chance as one.
            let by_chance = if classes == Classes::Imagenet { of_column[column].max(1) as f32 } else { 1.0 };
            let floor = encoder.floor + common + by_chance.ln();
            known.floor.push(floor + encoder.floor_of_thing * draw.normal());
            known.parent.push(encoder.parent + encoder.parent_of_thing * draw.normal());
        }
        known
    }

    /// Something that the column's thing is taken for: no kind of it, nor what it is a kind of.
    fn like(&self, column: usize, draw: &mut Draw) -> Option<usize> {
        let other = match draw.uniform(0.0, 1.0) {
            near if near < NEAR => self.nearby(column, draw),
            group if group < NEAR + SAME_GROUP => draw.pick(&self.group[column]),
            common if common < NEAR + SAME_GROUP + COMMON => draw.pick(&self.common),
            _ => draw.pick(&self.all),
        }?;
        (!self.things.related(self.columns.things[column], self.columns.things[other])).then_some(other)
    }

    /// One of its neighbours, the nearest most often.
    fn nearby(&self, column: usize, draw: &mut Draw) -> Option<usize> {
        let near = &self.near[column];
        let share = draw.uniform(0.0, 1.0);
        near.get((share * share * near.len() as f64) as usize).copied()
    }

    /// Some columns that the column's thing is taken for, in one event.
    pub(super) fn mistakes(&self, column: usize, draw: &mut Draw) -> Vec<usize> {
        let count = draw.index(0..self.encoder.mistakes + 1);
        (0..count).filter_map(|_| self.like(column, draw)).collect()
    }

    /// A column that is seen in nothing.
    pub(super) fn any(&self, draw: &mut Draw) -> Option<usize> {
        let from = if draw.chance(COMMON_IN_NOTHING) { &self.common } else { &self.all };
        draw.pick(from)
    }

    /// The columns of what the column's thing is a kind of, and the logarithm of how much more evidence each has.
    pub(super) fn above(&self, column: usize) -> impl Iterator<Item = (usize, f32)> {
        let above = self.things.kinds_above(self.columns.things[column]);
        let above = above.filter_map(|thing| self.columns.of[thing]).filter(|column| self.has[*column]);
        // The next kind above depends on the thing, too, though not in the same way.
        let turned = [1.0, -0.5, 0.25].into_iter().cycle();
        let middle = self.encoder.parent;
        above.zip(turned).map(move |(above, turn)| (above, middle + turn * (self.parent[column] - middle)))
    }

    /// The columns of the kinds of the column's thing.
    pub(super) fn kinds(&self, column: usize) -> Vec<usize> {
        let kinds = self.things.all[self.columns.things[column]].kinds.iter();
        kinds.filter_map(|thing| self.columns.of[*thing]).filter(|column| self.has[*column]).collect()
    }
}
