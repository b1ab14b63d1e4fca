//! From how surely each thing is there to what an encoder says: with what it is a kind of, what it is mistaken for, and everything
//! that it sees in nothing.

use super::draw::{Draw, Walk, sigmoid};
use super::world::Known;

/// Evidence below this is the floor's.
const FAINT: f32 = 1e-3;
/// Kinds of a thing that are thought of when it cannot be told exactly, at most.
const GUESSES: usize = 4;
/// The share of rows with a spike, and how high that goes.
const SPIKE: (f64, f64) = (0.03, 0.6);
/// Deviation of the floor's logarithm from video to video.
const OF_VIDEO: f32 = 0.7;
/// What is not there has no more than this by itself.
const HIGHEST_FLOOR: f32 = 0.25;
/// Nobody is surer.
const SUREST: f32 = 0.98;
/// Deviation in time of the log-odds of a mistake.
const MISTAKEN: f32 = 0.8;

/// Evidence, row by row.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Table {
    pub rows: usize,
    pub dim: usize,
    pub values: Vec<f32>,
}

/// One thing that is there.
pub(super) struct Presence {
    pub column: usize,
    /// How much of it there is for each row, from 0 to 1: all in the middle, less at its edges.
    pub share: Vec<f32>,
    /// How surely, for each row; 0 where there is nothing of it.
    pub evidence: Vec<f32>,
}

impl Table {
    pub(super) fn zeros(rows: usize, dim: usize) -> Self {
        Self { rows, dim, values: vec![0.0; rows * dim] }
    }

    pub(super) fn at(&mut self, row: usize, column: usize) -> &mut f32 {
        &mut self.values[row * self.dim + column]
    }

    /// What several say of one thing is what the surest says.
    pub(super) fn raise(&mut self, row: usize, column: usize, evidence: f32) {
        let value = self.at(row, column);
        *value = value.max(evidence);
    }

    /// Evidence of one column.
    pub(super) fn column(&self, column: usize) -> impl Iterator<Item = f32> {
        self.values.iter().skip(column).step_by(self.dim.max(1)).copied()
    }

    /// Puts a spike on any one column of a few rows.
    pub(super) fn spike(&mut self, draw: &mut Draw) {
        for row in 0..self.rows {
            if self.dim > 0 && draw.chance(SPIKE.0) {
                let column = draw.index(0..self.dim);
                self.raise(row, column, draw.log_uniform(0.05, SPIKE.1) as f32);
            }
        }
    }
}

/// What an encoder says of what is there, with up to `spells` things that are not.
pub(super) fn encode(
    known: &Known<'_>,
    rows: usize,
    there: &[Presence],
    spells: usize,
    draw: &mut Draw,
) -> Table {
    let mut table = floor(known, rows, draw);
    for presence in there {
        spread(&mut table, known, presence, draw);
    }
    for _ in 0..draw.index(0..spells + 1) {
        spell(&mut table, known, draw);
    }
    table
}

/// What is said of what is not there.
fn floor(known: &Known<'_>, rows: usize, draw: &mut Draw) -> Table {
    let mut table = Table::zeros(rows, known.has.len());
    for column in (0..known.has.len()).filter(|column| known.has[*column]) {
        let middle = known.floor[column] + OF_VIDEO * draw.normal();
        let mut walk = Walk::new(known.encoder.keep, draw);
        for row in 0..rows {
            let value = (middle + known.encoder.floor_flicker * walk.step(draw)).exp();
            *table.at(row, column) = value.min(HIGHEST_FLOOR);
        }
    }
    table
}

/// Adds a thing, and what the encoder says besides.
fn spread(table: &mut Table, known: &Known<'_>, presence: &Presence, draw: &mut Draw) {
    let Presence { column, share, evidence } = presence;
    for (row, evidence) in evidence.iter().enumerate() {
        table.raise(row, *column, *evidence);
    }
    for (above, odds) in known.above(*column) {
        // Often surer than of the thing itself.
        let odds = odds + 0.4 * draw.normal();
        follow(table, above, evidence, odds.exp().min(1.5), known, draw);
    }
    let mut kinds = known.kinds(*column);
    for _ in 0..GUESSES.min(kinds.len()) {
        let kind = kinds.swap_remove(draw.index(0..kinds.len()));
        let part = draw.log_uniform(0.01, 0.15);
        follow(table, kind, evidence, part as f32, known, draw);
    }
    let (low, high) = known.encoder.mistaken;
    for other in known.mistakes(*column, draw) {
        mistake(table, other, share, draw.pareto(low, high) as f32, known, draw);
    }
}

/// Evidence that comes and goes with other evidence, so many times as much, with a flicker of its own.
fn follow(
    table: &mut Table,
    column: usize,
    evidence: &[f32],
    times: f32,
    known: &Known<'_>,
    draw: &mut Draw,
) {
    let mut walk = Walk::new(known.encoder.keep, draw);
    for (row, evidence) in evidence.iter().enumerate() {
        let step = walk.step(draw);
        if *evidence > FAINT {
            table.raise(row, column, (evidence * times * (0.3 * step).exp()).min(SUREST));
        }
    }
}

/// Evidence that is there while something else is, but does not rise and fall with how well that is known.
fn mistake(table: &mut Table, column: usize, share: &[f32], level: f32, known: &Known<'_>, draw: &mut Draw) {
    let middle = (level / (1.0 - level)).ln();
    let mut walk = Walk::new(known.encoder.keep, draw);
    for (row, share) in share.iter().enumerate() {
        let odds = middle + MISTAKEN * walk.step(draw);
        if *share > 0.0 {
            table.raise(row, column, share * sigmoid(odds));
        }
    }
}

/// For a while, something is taken for something.
fn spell(table: &mut Table, known: &Known<'_>, draw: &mut Draw) {
    let Some(column) = known.any(draw) else { return };
    // Cameras stand still, and rooms hum: often all the time.
    let rows = table.rows as f64;
    let length = draw.log_uniform(2.0, 2.0 * rows).clamp(1.0, rows) as usize;
    let start = draw.index(0..table.rows - length + 1);
    let mut share = vec![0.0; table.rows];
    share[start..start + length].fill(1.0);
    let (low, high) = known.encoder.mistaken;
    mistake(table, column, &share, draw.pareto(low, high) as f32, known, draw);
}
