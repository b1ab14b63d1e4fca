//! Embeddings without a model: words and parts of words, hashed to directions.

use std::collections::HashMap;

use sha2::{Digest, Sha256};

use super::{ClusterError, Embeddings};

/// What [`super::Clusters::embedder`] says of it.
pub const NAME: &str = "words";

/// Values of a row.
const DIM: usize = 256;

/// Letters of a part of a word.
const PART: usize = 4;

/// Embeds texts by the words they share, rare words counting more (inverse document frequency).
///
/// It knows no meaning: `dog` and `puppy` are strangers to each other. It needs no weights, which makes it what the model is
/// to be compared with, and a way out where the model cannot be fetched.
pub fn embed(texts: &[&str]) -> Result<Embeddings, ClusterError> {
    let features: Vec<Vec<String>> = texts.iter().map(|text| features(text)).collect();
    let mut documents: HashMap<&str, usize> = HashMap::new();
    for features in &features {
        for feature in features {
            *documents.entry(feature).or_default() += 1;
        }
    }
    let mut values = vec![0f32; texts.len() * DIM];
    for (row, features) in values.chunks_exact_mut(DIM).zip(&features) {
        for feature in features {
            let share = texts.len() as f32 / documents[feature.as_str()] as f32;
            let weight = 1.0 + share.ln();
            row.iter_mut().zip(signs(feature)).for_each(|(value, sign)| *value += sign * weight);
        }
    }
    Embeddings::new(values, DIM)
}

/// The different words of a text, and the parts of long ones. A text without words is a feature itself.
fn features(text: &str) -> Vec<String> {
    let lower = text.to_lowercase();
    let mut features: Vec<String> = Vec::new();
    for word in lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
        features.push(word.to_owned());
        let letters: Vec<char> = word.chars().collect();
        features.extend(letters.windows(PART).map(|part| format!("~{}", String::from_iter(part))));
    }
    if features.is_empty() {
        features.push(format!("={text}"));
    }
    features.sort_unstable();
    features.dedup();
    features
}

/// A direction for a feature: a sign for each value, from its hash.
fn signs(feature: &str) -> impl Iterator<Item = f32> {
    let hash: [u8; 32] = Sha256::digest(feature).into();
    (0..DIM).map(move |at| if hash[at / 8] >> (at % 8) & 1 == 1 { 1.0 } else { -1.0 })
}
