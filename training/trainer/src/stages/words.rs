//! Adapters that start at the LLM's own words: a ridge regression from features to the embeddings of what they show.
//!
//! Without such a start a small LLM hears noise in every audio-visual token, and learns for long only what answers look
//! like. With it, the tokens say from the beginning what is there, if roughly, and where.

use std::collections::HashMap;
use std::path::Path;

use avicuna_corpus::features::called;
use avicuna_models::tokenizer::{Specials, Tokenizer};
use avicuna_models::vocabulary::Vocabulary;
use avicuna_pipeline::stream::Medium;

use super::TrainError;
use super::adapters::adapter;
use super::source::{Sample, Source, random};
use crate::decoder::{Projection, Trainable};

/// Samples that the regression looks at.
const SAMPLES: usize = 600;
/// How much of each token is the word for its sense, so that the LLM can tell the two apart.
const SENSE_SHARE: f32 = 0.3;
/// Strength of the ridge, as a share of the features' mean square.
const RIDGE: f64 = 0.02;

/// Directions in the LLM's embedding space.
pub(super) struct Directions<'a> {
    llm: &'a Trainable,
    tokenizer: &'a Tokenizer,
    /// Length of a word's embedding: the mean of the LLM's.
    size: f32,
    known: HashMap<String, Vec<f32>>,
}

impl<'a> Directions<'a> {
    pub(super) fn new(llm: &'a Trainable, tokenizer: &'a Tokenizer) -> Result<Self, TrainError> {
        let vocab = llm.config().vocab as u32;
        let (mut sum, mut count) = (0.0, 0u32);
        for id in (0..vocab).step_by(17) {
            sum += llm.embedding(id)?.iter().map(|x| f64::from(x * x)).sum::<f64>();
            count += 1;
        }
        let size = (sum / f64::from(count.max(1))).sqrt() as f32;
        Ok(Self { llm, tokenizer, size, known: HashMap::new() })
    }

    /// The mean of the pieces of `text`, without an article before it, at a word's own length.
    fn word(&mut self, text: &str) -> Result<&[f32], TrainError> {
        if !self.known.contains_key(text) {
            let bare = ["a ", "an ", "the "].iter().find_map(|article| text.strip_prefix(article));
            let ids =
                self.tokenizer.encode(&format!(" {}", bare.unwrap_or(text).trim()), Specials::AsText)?;
            let mut mean = vec![0.0; self.llm.config().hidden];
            for id in &ids {
                mean.iter_mut().zip(self.llm.embedding(*id)?).for_each(|(mean, x)| *mean += x);
            }
            let length = mean.iter().map(|x| x * x).sum::<f32>().sqrt().max(1e-12);
            let scale = self.size / length;
            mean.iter_mut().for_each(|x| *x *= scale);
            self.known.insert(text.to_owned(), mean);
        }
        Ok(&self.known[text])
    }

    /// What a token that shows `texts` should look like.
    fn token(&mut self, texts: &[String], sense: Medium) -> Result<Vec<f32>, TrainError> {
        let mut out = vec![0.0; self.llm.config().hidden];
        let mut add =
            |word: &[f32], share: f32| out.iter_mut().zip(word).for_each(|(out, x)| *out += share * x);
        for text in texts {
            add(self.word(text)?, 1.0 / texts.len() as f32);
        }
        if texts.is_empty() {
            add(self.word("nothing")?, 1.0);
        }
        add(self.word(kind(sense))?, SENSE_SHARE);
        Ok(out)
    }
}

/// How long a token is that shows one phrase for certain, in words.
const CERTAIN: f32 = 1.3;

/// An adapter of shape (hidden, phrases) that says the phrases themselves, each as loud as the evidence for it.
pub(super) fn phrases(
    sense: Medium,
    [hidden, dim]: [usize; 2],
    vocabulary: &Vocabulary,
    directions: &mut Directions<'_>,
) -> Result<Projection, TrainError> {
    let columns = if sense == Medium::Video { vocabulary.seen() } else { vocabulary.heard() };
    if columns.len() != dim {
        return Err(TrainError::run(
            Path::new("model.adapters"),
            format!(
                "\"vocabulary\" needs embeddings that are the evidence for its {} phrases; {} ones have {dim} values",
                columns.len(),
                called(sense)
            ),
        ));
    }
    let mut weight = vec![0.0; hidden * dim];
    for (column, phrase) in columns.iter().enumerate() {
        let word = directions.word(&vocabulary.phrases()[*phrase].text)?;
        word.iter().enumerate().for_each(|(row, value)| weight[row * dim + column] = CERTAIN * value);
    }
    let kind = directions.word(kind(sense))?;
    let bias = kind.iter().map(|value| SENSE_SHARE * value).collect();
    Ok(adapter(sense, [hidden, dim], weight, bias))
}

/// The word for what a sense gives.
fn kind(sense: Medium) -> &'static str {
    if sense == Medium::Video { "picture" } else { "sound" }
}

/// Names of the last columns of a feature, which are probabilities.
pub(super) struct Named {
    pub(super) labels: Vec<String>,
    pub(super) share: f32,
}

impl Named {
    /// Reads one name a line.
    pub(super) fn read(path: &Path, share: f32) -> Result<Self, TrainError> {
        let text = std::fs::read_to_string(path).map_err(|e| TrainError::read(path, e))?;
        let labels: Vec<String> = text.lines().map(str::trim).map(str::to_owned).collect();
        Ok(Self { labels, share })
    }
}

/// An adapter of `shape` (hidden, dim) that starts at words.
pub(super) fn start(
    sense: Medium,
    [hidden, dim]: [usize; 2],
    source: &dyn Source,
    directions: &mut Directions<'_>,
    named: Option<&Named>,
    seed: u64,
) -> Result<Projection, TrainError> {
    let columns = named.map_or(0, |named| named.labels.len());
    if columns > dim {
        return Err(TrainError::run(
            Path::new("model.words.labels"),
            format!("has {columns} names, but a feature has only {dim} values"),
        ));
    }
    let free = dim - columns;
    let mut words = Vec::with_capacity(columns);
    for label in named.iter().flat_map(|named| &named.labels) {
        words.push(
            directions.word(label)?.iter().map(|x| x * named.map_or(0.0, |n| n.share)).collect::<Vec<f32>>(),
        );
    }
    let mut regression = Regression::new(free, hidden);
    for (features, texts) in examples(sense, source, seed)? {
        let mut wanted = directions.token(&texts, sense)?;
        for (share, word) in features[free..].iter().zip(&words) {
            wanted.iter_mut().zip(word).for_each(|(wanted, word)| *wanted -= share * word);
        }
        regression.see(&features[..free], &wanted);
    }
    let (solved, bias) = regression.solve();
    let mut weight = vec![0.0; hidden * dim];
    for (row, weight) in weight.chunks_exact_mut(dim).enumerate() {
        weight[..free].copy_from_slice(&solved[row * free..(row + 1) * free]);
        weight[free..].iter_mut().zip(&words).for_each(|(weight, word)| *weight = word[row]);
    }
    Ok(adapter(sense, [hidden, dim], weight, bias))
}

/// A feature and what it shows.
type Example = (Vec<f32>, Vec<String>);

fn examples(sense: Medium, source: &dyn Source, seed: u64) -> Result<Vec<Example>, TrainError> {
    let mut examples = Vec::new();
    for turn in 0..source.len().min(SAMPLES) {
        // Spread over all of them, whatever their order.
        let index = turn * source.len() / source.len().min(SAMPLES);
        let mut random = random(seed, &["words", &source.id(index)]);
        let sample = match source.sample(index, &mut random) {
            Ok(sample) => sample,
            // Training itself counts it, or stops there.
            Err(TrainError::MissingFeatures { .. }) => continue,
            Err(error) => return Err(error),
        };
        let Sample { visual, audio, seen, heard, .. } = sample;
        let (tokens, texts) = if sense == Medium::Video { (visual, seen) } else { (audio, heard) };
        examples.extend(tokens.into_iter().zip(texts).filter_map(|(token, texts)| Some((token?, texts))));
    }
    if examples.is_empty() {
        return Err(TrainError::Empty {
            folders: format!("the stage's `data`, with {} features and words for them", called(sense)),
            hint: "use adapters = \"random\", or data that tells what its features show: `captions` or `windows`".into(),
        });
    }
    Ok(examples)
}

/// A ridge regression with centred inputs and outputs, from sums in double precision.
struct Regression {
    inputs: usize,
    outputs: usize,
    count: f64,
    x: Vec<f64>,
    y: Vec<f64>,
    /// The lower triangle of `x x^T`, `[inputs, inputs]`.
    xx: Vec<f64>,
    /// `[inputs, outputs]`
    xy: Vec<f64>,
}

impl Regression {
    fn new(inputs: usize, outputs: usize) -> Self {
        let (x, y) = (vec![0.0; inputs], vec![0.0; outputs]);
        let (xx, xy) = (vec![0.0; inputs * inputs], vec![0.0; inputs * outputs]);
        Self { inputs, outputs, count: 0.0, x, y, xx, xy }
    }

    fn see(&mut self, x: &[f32], y: &[f32]) {
        use rayon::prelude::*;
        self.count += 1.0;
        self.x.iter_mut().zip(x).for_each(|(sum, x)| *sum += f64::from(*x));
        self.y.iter_mut().zip(y).for_each(|(sum, y)| *sum += f64::from(*y));
        let rows =
            self.xx.par_chunks_exact_mut(self.inputs.max(1)).zip(self.xy.par_chunks_exact_mut(self.outputs));
        rows.with_min_len(64).zip(x).enumerate().for_each(|(row, ((xx, xy), own))| {
            // Pictures' features are mostly zeros.
            if *own != 0.0 {
                let own = f64::from(*own);
                xx[..=row].iter_mut().zip(x).for_each(|(sum, x)| *sum += own * f64::from(*x));
                xy.iter_mut().zip(y).for_each(|(sum, y)| *sum += own * f64::from(*y));
            }
        });
    }

    /// Weights `[outputs, inputs]` and bias.
    fn solve(mut self) -> (Vec<f32>, Vec<f32>) {
        let (n, m) = (self.inputs, self.outputs);
        let mean = |sum: &f64| sum / self.count;
        let (mx, my): (Vec<f64>, Vec<f64>) =
            (self.x.iter().map(mean).collect(), self.y.iter().map(mean).collect());
        let mut trace = 0.0;
        for i in 0..n {
            for j in 0..=i {
                self.xx[i * n + j] -= self.count * mx[i] * mx[j];
            }
            for (xy, my) in self.xy[i * m..].iter_mut().zip(&my) {
                *xy -= self.count * mx[i] * my;
            }
            trace += self.xx[i * n + i];
        }
        let strength = RIDGE * trace / n.max(1) as f64 + 1e-9;
        (0..n).for_each(|i| self.xx[i * n + i] += strength);
        cholesky(&mut self.xx, n);
        substitute(&self.xx, &mut self.xy, n, m);
        let mut weight = vec![0.0; n * m];
        let mut bias = my;
        for (i, mean) in mx.iter().enumerate() {
            for (j, bias) in bias.iter_mut().enumerate() {
                weight[j * n + i] = self.xy[i * m + j] as f32;
                *bias -= mean * self.xy[i * m + j];
            }
        }
        (weight, bias.into_iter().map(|bias| bias as f32).collect())
    }
}

/// The lower triangle of a positive matrix becomes its Cholesky factor.
fn cholesky(a: &mut [f64], n: usize) {
    for i in 0..n {
        let (above, row) = a.split_at_mut(i * n);
        for j in 0..i {
            let other = &above[j * n..][..n];
            let dot: f64 = row[..j].iter().zip(&other[..j]).map(|(a, b)| a * b).sum();
            row[j] = (row[j] - dot) / other[j];
        }
        let square: f64 = row[..i].iter().map(|x| x * x).sum();
        row[i] = (row[i] - square).max(1e-12).sqrt();
    }
}

/// Solves `L L^T x = b` for the columns of `b [n, m]`, in its place.
fn substitute(l: &[f64], b: &mut [f64], n: usize, m: usize) {
    for i in 0..n {
        let (above, row) = b.split_at_mut(i * m);
        for (factor, other) in l[i * n..][..i].iter().zip(above.chunks_exact(m)) {
            row[..m].iter_mut().zip(other).for_each(|(x, other)| *x -= factor * other);
        }
        row[..m].iter_mut().for_each(|x| *x /= l[i * n + i]);
    }
    for i in (0..n).rev() {
        let (above, row) = b.split_at_mut(i * m);
        row[..m].iter_mut().for_each(|x| *x /= l[i * n + i]);
        for (factor, other) in l[i * n..][..i].iter().zip(above.chunks_exact_mut(m)) {
            other.iter_mut().zip(&row[..m]).for_each(|(other, x)| *other -= factor * x);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_linear_rule_is_found_again() {
        let mut regression = Regression::new(3, 2);
        let mut state = 1u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 24) as f32
        };
        for _ in 0..400 {
            let x = [next() * 4.0, next() * 4.0, next() * 4.0];
            regression.see(&x, &[2.0 * x[0] - x[2] + 3.0, x[1] - 1.0]);
        }
        let (weight, bias) = regression.solve();
        let expected = [2.0, 0.0, -1.0, 0.0, 1.0, 0.0];
        // The ridge makes everything smaller by its own share.
        for (found, expected) in weight.iter().zip(expected) {
            assert!((found - expected / (1.0 + RIDGE as f32)).abs() < 0.01, "{weight:?}");
        }
        assert!((bias[0] - 3.0).abs() < 0.1 && (bias[1] + 1.0).abs() < 0.1, "{bias:?}");
    }
}
