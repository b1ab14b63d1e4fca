//! CIDEr with clipped counts and a penalty for another length (CIDEr-D, sigma 6), scaled by 10 as usual.

use std::collections::{HashMap, HashSet};

/// The longest run of words that counts.
const LONGEST: usize = 4;
const SIGMA: f64 = 6.0;

/// Runs of words with how often they occur.
type Counts<'a> = HashMap<Vec<&'a str>, f64>;

/// The mean score of `(caption, true caption)` pairs, all tokenized; each true caption is one document.
///
/// A single pair scores 0: what occurs in every document tells nothing.
pub(super) fn score(pairs: &[(&str, &str)]) -> f64 {
    let counts: Vec<(Counts<'_>, Counts<'_>)> =
        pairs.iter().map(|(found, truth)| (count(found), count(truth))).collect();
    let mut documents: HashMap<&[&str], f64> = HashMap::new();
    for (_, truth) in &counts {
        let runs: HashSet<&[&str]> = truth.keys().map(Vec::as_slice).collect();
        for run in runs {
            *documents.entry(run).or_default() += 1.0;
        }
    }
    let weigher = Weigher { documents, all: (pairs.len() as f64).ln() };
    let sum: f64 =
        counts.iter().map(|(found, truth)| weigher.weigh(found).similarity(&weigher.weigh(truth))).sum();
    sum / pairs.len().max(1) as f64 * 10.0
}

fn count(text: &str) -> Counts<'_> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let mut counts = Counts::new();
    for length in 1..=LONGEST {
        for run in words.windows(length) {
            *counts.entry(run.to_vec()).or_default() += 1.0;
        }
    }
    counts
}

struct Weigher<'a> {
    /// How many true captions hold a run.
    documents: HashMap<&'a [&'a str], f64>,
    /// Logarithm of their number.
    all: f64,
}

/// Runs by their length, weighed by how rare they are.
struct Weighed<'a> {
    runs: [HashMap<&'a [&'a str], f64>; LONGEST],
    norms: [f64; LONGEST],
    /// Runs of two words, which stand for the length of the text.
    length: f64,
}

impl Weigher<'_> {
    fn weigh<'b>(&self, counts: &'b Counts<'b>) -> Weighed<'b> {
        let mut weighed = Weighed { runs: Default::default(), norms: [0.0; LONGEST], length: 0.0 };
        for (run, count) in counts {
            let documents = self.documents.get(run.as_slice()).copied().unwrap_or_default().max(1.0);
            let weight = count * (self.all - documents.ln());
            let kind = run.len() - 1;
            weighed.runs[kind].insert(run, weight);
            weighed.norms[kind] += weight * weight;
            if run.len() == 2 {
                weighed.length += count;
            }
        }
        weighed.norms = weighed.norms.map(f64::sqrt);
        weighed
    }
}

impl Weighed<'_> {
    fn similarity(&self, truth: &Self) -> f64 {
        let apart = self.length - truth.length;
        let penalty = (-apart * apart / (2.0 * SIGMA * SIGMA)).exp();
        let of = |kind: usize| {
            let shared: f64 = self.runs[kind]
                .iter()
                .map(|(run, weight)| {
                    let other = truth.runs[kind].get(run).copied().unwrap_or_default();
                    weight.min(other) * other
                })
                .sum();
            let norm = self.norms[kind] * truth.norms[kind];
            if norm == 0.0 { shared } else { shared / norm }
        };
        (0..LONGEST).map(of).sum::<f64>() / LONGEST as f64 * penalty
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_words_score_10_where_others_exist() {
        let same = [("a dog barks at night", "a dog barks at night"), ("b c d e", "b c d e")];
        assert!((score(&same) - 10.0).abs() < 1e-12);
        assert_eq!(score(&same[..1]), 0.0);
        assert_eq!(score(&[("x y", "a b"), ("a", "c")]), 0.0);
        assert_eq!(score(&[]), 0.0);
    }
}
