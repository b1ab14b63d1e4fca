//! Causal attention of packed sequences and its gradient, in blocks of query rows, without the weights in memory.

use rayon::prelude::*;

use super::matrix::{Into, View, product, threads};
use super::ops::exp;

/// Query rows of one block.
const BLOCK: usize = 64;

/// How the rows of one sequence see each other: `prefix` rows that each see those before it, then branches side by
/// side, which see the prefix and, of themselves, what comes before. Questions about one window are such branches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// Rows before the branches.
    pub prefix: usize,
    /// Rows of each branch; none for a plain sequence.
    pub branches: Vec<usize>,
}

impl Layout {
    /// One sequence without branches.
    pub fn plain(rows: usize) -> Self {
        Self { prefix: rows, branches: Vec::new() }
    }

    /// All its rows.
    pub fn rows(&self) -> usize {
        self.prefix + self.branches.iter().sum::<usize>()
    }

    /// For each row: where its branch starts; 0 in the prefix.
    pub(super) fn starts(&self) -> Vec<usize> {
        let mut starts = vec![0; self.prefix];
        for &branch in &self.branches {
            starts.extend(std::iter::repeat_n(starts.len(), branch));
        }
        starts
    }

    /// For each row: its place among the rows that it sees.
    pub(super) fn positions(&self) -> impl Iterator<Item = usize> {
        let (prefix, branches) = (self.prefix, self.branches.clone());
        let after = branches.into_iter().flat_map(move |branch| prefix..prefix + branch);
        (0..prefix).chain(after)
    }
}

/// The heads of a row `q | k | v`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Heads {
    pub(super) heads: usize,
    pub(super) kv_heads: usize,
    pub(super) dim: usize,
}

impl Heads {
    /// Values of one row.
    pub(super) fn width(&self) -> usize {
        (self.heads + 2 * self.kv_heads) * self.dim
    }

    /// Values of one row's queries.
    pub(super) fn queries(&self) -> usize {
        self.heads * self.dim
    }

    fn scale(&self) -> f32 {
        1.0 / (self.dim as f32).sqrt()
    }

    /// Where the query, the key and the value of query head `head` start in a row.
    fn places(&self, head: usize) -> (usize, usize, usize) {
        let kv = head / (self.heads / self.kv_heads);
        let (keys, values) = (self.queries(), self.queries() + self.kv_heads * self.dim);
        (head * self.dim, keys + kv * self.dim, values + kv * self.dim)
    }
}

/// What [`attend`] made.
pub(super) struct Mixed {
    /// `[n, heads * dim]`
    pub(super) values: Vec<f32>,
    /// The logarithm of each softmax's denominator, scores included: `[heads]` for each row.
    pub(super) norms: Vec<f32>,
}

/// Attention of every sequence: rows `q | k | v` of turned queries and keys in.
pub(super) fn attend(qkv: &[f32], sequences: &[Layout], heads: Heads) -> Mixed {
    let rows = qkv.len() / heads.width();
    let mut mixed = Mixed { values: vec![0.0; rows * heads.queries()], norms: vec![0.0; rows * heads.heads] };
    let mut tasks = Vec::with_capacity(sequences.len());
    let (mut values, mut norms, mut qkv) = (mixed.values.as_mut_slice(), mixed.norms.as_mut_slice(), qkv);
    for layout in sequences {
        let n = layout.rows();
        let (own_values, own_norms, own);
        (own_values, values) = values.split_at_mut(n * heads.queries());
        (own_norms, norms) = norms.split_at_mut(n * heads.heads);
        (own, qkv) = qkv.split_at(n * heads.width());
        tasks.push((layout, own, own_values, own_norms));
    }
    let inner = if tasks.len() == 1 { threads() } else { 1 };
    tasks.into_par_iter().with_max_len(1).for_each(|(layout, qkv, values, norms)| {
        attend_one(qkv, layout, heads, (values, norms), inner);
    });
    mixed
}

fn attend_one(
    qkv: &[f32],
    layout: &Layout,
    heads: Heads,
    (values, norms): (&mut [f32], &mut [f32]),
    threads: usize,
) {
    let (n, dim, width, out) = (layout.rows(), heads.dim, heads.width(), heads.queries());
    let starts = layout.starts();
    let mut scores = vec![0.0; BLOCK.min(n) * n];
    for head in 0..heads.heads {
        let (q, k, v) = heads.places(head);
        for first in (0..n).step_by(BLOCK) {
            let last = (first + BLOCK).min(n);
            let queries = View::part(&qkv[first * width + q..], last - first, dim, width);
            let keys = View::part(&qkv[k..], last, dim, width);
            product(&mut scores, last, (queries, keys.t()), heads.scale(), Into::Set, threads);
            for row in first..last {
                let scores = &mut scores[(row - first) * last..][..last];
                let top = seen(scores, row, layout.prefix, starts[row]);
                let total = top.1;
                norms[row * heads.heads + head] = top.0 + total.ln();
                scores.iter_mut().for_each(|score| *score /= total);
            }
            let weights = View::new(&scores[..(last - first) * last], last - first, last);
            let own = View::part(&qkv[v..], last, dim, width);
            let into = &mut values[first * out + head * dim..];
            product(into, out, (weights, own), 1.0, Into::Set, threads);
        }
    }
}

/// Makes of scores `e^(score - top)` where `row` sees, and 0 elsewhere. Returns the top and their sum.
fn seen(scores: &mut [f32], row: usize, prefix: usize, start: usize) -> (f32, f32) {
    let before = prefix.min(start);
    let largest = |scores: &[f32]| scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let top = largest(&scores[..before]).max(largest(&scores[start..=row]));
    scores[before..start].fill(0.0);
    scores[row + 1..].fill(0.0);
    let mut total = 0.0;
    for range in [0..before, start..row + 1] {
        let part = &mut scores[range];
        part.iter_mut().for_each(|score| *score = exp(*score - top));
        total += part.iter().sum::<f32>();
    }
    (top, total)
}

/// The gradient of `qkv`, where `gradient` is that of [`attend`]'s values.
pub(super) fn attend_gradient(
    qkv: &[f32],
    mixed: &Mixed,
    gradient: &[f32],
    sequences: &[Layout],
    heads: Heads,
) -> Vec<f32> {
    let mut out = vec![0.0; qkv.len()];
    let mut tasks = Vec::with_capacity(sequences.len());
    let (mut rest, mut start) = (out.as_mut_slice(), 0);
    for layout in sequences {
        let end = start + layout.rows();
        let own;
        (own, rest) = rest.split_at_mut(layout.rows() * heads.width());
        tasks.push((layout, own, start..end));
        start = end;
    }
    let inner = if tasks.len() == 1 { threads() } else { 1 };
    tasks.into_par_iter().with_max_len(1).for_each(|(layout, out, rows)| {
        let queries = rows.start * heads.queries()..rows.end * heads.queries();
        let one = Sequence {
            qkv: &qkv[rows.start * heads.width()..rows.end * heads.width()],
            values: &mixed.values[queries.clone()],
            norms: &mixed.norms[rows.start * heads.heads..rows.end * heads.heads],
            gradient: &gradient[queries],
            heads,
            threads: inner,
        };
        one.gradient(layout, out);
    });
    out
}

/// One sequence's share of [`attend_gradient`].
struct Sequence<'a> {
    qkv: &'a [f32],
    values: &'a [f32],
    norms: &'a [f32],
    gradient: &'a [f32],
    heads: Heads,
    threads: usize,
}

impl Sequence<'_> {
    fn gradient(&self, layout: &Layout, out: &mut [f32]) {
        let (n, heads) = (layout.rows(), self.heads);
        let (dim, width, wide) = (heads.dim, heads.width(), heads.queries());
        let starts = layout.starts();
        let mut weights = vec![0.0; BLOCK.min(n) * n];
        let mut steps = vec![0.0; BLOCK.min(n) * n];
        for head in 0..heads.heads {
            let (q, k, v) = heads.places(head);
            for first in (0..n).step_by(BLOCK) {
                let last = (first + BLOCK).min(n);
                let (rows, size) = (last - first, (last - first) * last);
                let queries = View::part(&self.qkv[first * width + q..], rows, dim, width);
                let keys = View::part(&self.qkv[k..], last, dim, width);
                let values = View::part(&self.qkv[v..], last, dim, width);
                let gradient = View::part(&self.gradient[first * wide + head * dim..], rows, dim, wide);
                product(&mut weights, last, (queries, keys.t()), heads.scale(), Into::Set, self.threads);
                product(&mut steps, last, (gradient, values.t()), 1.0, Into::Set, self.threads);
                for row in first..last {
                    let weights = &mut weights[(row - first) * last..][..last];
                    let norm = self.norms[row * heads.heads + head];
                    again(weights, norm, row, layout.prefix, starts[row]);
                    let own = row * wide + head * dim..row * wide + (head + 1) * dim;
                    let along: f32 =
                        self.values[own.clone()].iter().zip(&self.gradient[own]).map(|(a, b)| a * b).sum();
                    for (step, weight) in steps[(row - first) * last..][..last].iter_mut().zip(weights) {
                        *step = *weight * (*step - along);
                    }
                }
                let weights = View::new(&weights[..size], rows, last);
                let steps = View::new(&steps[..size], rows, last);
                let scale = heads.scale();
                product(&mut out[first * width + q..], width, (steps, keys), scale, Into::Set, self.threads);
                product(&mut out[k..], width, (steps.t(), queries), scale, Into::Add, self.threads);
                product(&mut out[v..], width, (weights.t(), gradient), 1.0, Into::Add, self.threads);
            }
        }
    }
}

/// The weights of a row from its scores and the logarithm of their sum.
fn again(scores: &mut [f32], norm: f32, row: usize, prefix: usize, start: usize) {
    let before = prefix.min(start);
    scores[before..start].fill(0.0);
    scores[row + 1..].fill(0.0);
    for range in [0..before, start..row + 1] {
        scores[range].iter_mut().for_each(|score| *score = exp(*score - norm));
    }
}
