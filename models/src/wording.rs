//! What a query in free words asks for: the phrases of the vocabulary whose wordings mean nearly the same.
//!
//! Every phrase's text and its other wordings have a vector of a sentence encoder, made once and kept in the model directory
//! (`avicuna models wordings`). A query is compared with all of them by the cosine of the angle between vectors.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use sha2::{Digest, Sha256};

use crate::sentence::{SentenceEncoder, SentenceError, SentenceFiles};
use crate::tensors::{FileError, Named, Stored, read_tensors, write_tensors};
use crate::vocabulary::Vocabulary;

/// The tensor `[wordings, dim]`.
const TENSOR: &str = "wordings";

/// Phrases that are this much less alike than the most alike one are meant too: who claps is applauded.
const MARGIN: f32 = 0.05;

/// Words before a subject that say how many there are, or ask whether.
const COUNTS: [&str; 20] = [
    "a", "an", "the", "some", "any", "one", "two", "three", "four", "several", "many", "few", "is", "are",
    "there", "does", "do", "this", "that", "young",
];

/// Why queries in free words cannot be understood.
#[derive(Debug, thiserror::Error)]
pub enum WordingError {
    /// The encoder.
    #[error(transparent)]
    Encoder(#[from] SentenceError),
    /// The vectors cannot be read or written.
    #[error("the wordings' vectors: {0}")]
    File(#[from] FileError),
    /// The vectors are of another vocabulary.
    #[error(
        "{path} is not of this vocabulary and sentence encoder ({found} wordings of {width} values, not {expected} of {dim}, or other words); \
         run `avicuna models wordings` on the model directory",
        path = path.display()
    )]
    Stale {
        /// The file.
        path: PathBuf,
        /// Its rows.
        found: usize,
        /// Its columns.
        width: usize,
        /// The vocabulary's wordings.
        expected: usize,
        /// The encoder's values.
        dim: usize,
    },
}

/// A phrase that a query means.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Meant {
    /// Its place in the vocabulary.
    pub phrase: usize,
    /// The cosine to its nearest wording; 1 where the query is one of them.
    pub similarity: f32,
}

/// What a query asks for.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Meaning {
    /// The phrases that mean nearly the same, the most alike first; none where it is about something else.
    pub phrases: Vec<Meant>,
    /// Who or what it is about by its first words, where the phrases are not surely what is asked for: "a woman" of "a woman plays
    /// chess".
    pub subject: Option<usize>,
}

/// Queries whose meaning is remembered.
const REMEMBERED: usize = 1024;

/// Understands queries.
pub struct Wording {
    /// The encoder is in memory while it reads: queries come when streams do, and it is larger than the language model's embeddings.
    files: SentenceFiles,
    known: Mutex<HashMap<String, Meaning>>,
    /// `[wordings, dim]`, each of length 1.
    rows: Vec<f32>,
    /// The phrase of each row.
    phrases: Vec<usize>,
    by_text: HashMap<String, usize>,
    least: f32,
    sure: f32,
}

impl Wording {
    /// With the sentence encoder of `files` and the vectors that [`write()`] left at `path`. Less alike than `least` is not alike; from
    /// `sure` on the whole of a query is understood.
    ///
    /// # Errors
    /// When there is no encoder in `files`, or the vectors are of other wordings.
    pub fn load(
        files: SentenceFiles,
        vocabulary: &Vocabulary,
        path: &Path,
        [least, sure]: [f32; 2],
    ) -> Result<Self, WordingError> {
        let (texts, phrases) = wordings(vocabulary);
        let tensors = read_tensors(path)?;
        let (expected, dim) = (texts.len(), SentenceEncoder::open(&files)?.dim());
        let stale = |found, width| WordingError::Stale { path: path.to_owned(), found, width, expected, dim };
        let tensor = tensors.get(&format!("{TENSOR}.{}", checksum(&texts))).ok_or_else(|| {
            let dims = tensors.values().next().map(|tensor| tensor.dims().to_vec()).unwrap_or_default();
            stale(dims.first().copied().unwrap_or(0), dims.get(1).copied().unwrap_or(0))
        })?;
        if tensor.dims() != [expected, dim] {
            return Err(stale(
                tensor.dims().first().copied().unwrap_or(0),
                tensor.dims().last().copied().unwrap_or(0),
            ));
        }
        let values =
            tensor.to_dtype(candle_core::DType::F32).and_then(|tensor| tensor.flatten_all()?.to_vec1());
        let mut rows: Vec<f32> = values.map_err(|e| FileError::malformed(path, e))?;
        rows.chunks_mut(dim).for_each(unit);
        let by_text = texts.iter().map(|text| plain(text)).zip(phrases.iter().copied()).collect();
        Ok(Self { files, known: Mutex::default(), rows, phrases, by_text, least, sure })
    }

    /// What each of `queries` asks for; the encoder is loaded once for all that it did not read before.
    pub fn meanings(&self, queries: &[&str]) -> Result<Vec<Meaning>, WordingError> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut encoder = None;
        let mut meaning = |query: &&str| {
            if let Some(phrase) = self.by_text.get(&plain(query)) {
                let phrases = vec![Meant { phrase: *phrase, similarity: 1.0 }];
                return Ok(Meaning { phrases, subject: None });
            }
            if let Some(meaning) = known.get(*query) {
                return Ok(meaning.clone());
            }
            let encoder = match &encoder {
                Some(encoder) => encoder,
                None => encoder.insert(SentenceEncoder::open(&self.files)?),
            };
            let meaning = self.understand(query, encoder)?;
            if known.len() >= REMEMBERED {
                known.clear();
            }
            known.insert((*query).to_owned(), meaning.clone());
            Ok(meaning)
        };
        queries.iter().map(&mut meaning).collect()
    }

    fn understand(&self, query: &str, encoder: &SentenceEncoder) -> Result<Meaning, WordingError> {
        let phrases = self.alike(query, encoder)?;
        let understood = phrases.first().is_some_and(|meant| meant.similarity >= self.sure);
        let subject = if understood { None } else { self.subject(query, &phrases) };
        Ok(Meaning { phrases, subject })
    }

    /// The phrases with a wording nearly like `query`, the most alike first.
    fn alike(&self, query: &str, encoder: &SentenceEncoder) -> Result<Vec<Meant>, WordingError> {
        let mut vector = encoder.embed(&[query], &mut |_| {})?;
        unit(&mut vector);
        let mut best: HashMap<usize, f32> = HashMap::new();
        for (row, phrase) in self.rows.chunks_exact(vector.len()).zip(&self.phrases) {
            let cosine: f32 = row.iter().zip(&vector).map(|(a, b)| a * b).sum();
            let known = best.entry(*phrase).or_insert(cosine);
            *known = known.max(cosine);
        }
        let mut meant: Vec<Meant> = best
            .into_iter()
            .map(|(phrase, similarity)| Meant { phrase, similarity })
            .filter(|meant| meant.similarity >= self.least)
            .collect();
        meant.sort_by(|a, b| b.similarity.total_cmp(&a.similarity).then(a.phrase.cmp(&b.phrase)));
        let nearest = meant.first().map_or(0.0, |meant| meant.similarity);
        meant.retain(|meant| meant.similarity >= nearest - MARGIN);
        Ok(meant)
    }

    /// The phrase that the longest run of first words is a wording of, articles and numbers aside, and that is not meant anyway; the
    /// last word counts for a query without one, so that a chess player is a player.
    fn subject(&self, query: &str, meant: &[Meant]) -> Option<usize> {
        let query = plain(query);
        let words: Vec<&str> = query.split(' ').skip_while(|word| COUNTS.contains(word)).collect();
        let wording = |words: &[&str]| {
            let text = words.join(" ");
            let articles = ["", "a ", "an ", "some "];
            let known = articles.iter().find_map(|article| self.by_text.get(&format!("{article}{text}")));
            known.copied().filter(|known| meant.iter().all(|meant| meant.phrase != *known))
        };
        let first = (1..words.len()).rev().find_map(|length| wording(&words[..length]));
        first.or_else(|| wording(words.last().map(std::slice::from_ref)?))
    }
}

/// Writes the vectors of all wordings of `vocabulary` to `path`; `progress` gets the number done since its last call.
pub fn write(
    encoder: &SentenceEncoder,
    vocabulary: &Vocabulary,
    path: &Path,
    progress: &mut dyn FnMut(u64),
) -> Result<usize, WordingError> {
    let (texts, _) = wordings(vocabulary);
    let mut values = encoder.embed(&texts, progress)?;
    values.chunks_mut(encoder.dim()).for_each(unit);
    let name = format!("{TENSOR}.{}", checksum(&texts));
    let named = Named { name, shape: vec![texts.len(), encoder.dim()], values: &values };
    write_tensors(path, &[named], Stored::F16, HashMap::new())?;
    Ok(texts.len())
}

/// Every text that is compared with, and the phrase it stands for.
fn wordings(vocabulary: &Vocabulary) -> (Vec<&str>, Vec<usize>) {
    let phrases = vocabulary.phrases().iter().enumerate();
    let texts = phrases.flat_map(|(index, phrase)| {
        std::iter::once(&phrase.text).chain(&phrase.asked).map(move |text| (text.as_str(), index))
    });
    texts.unzip()
}

fn checksum(texts: &[&str]) -> String {
    let mut hash = Sha256::new();
    texts.iter().for_each(|text| hash.update(format!("{text:?}\n")));
    hex::encode(&hash.finalize()[..8])
}

/// Without what does not matter: case, spaces, marks at the end.
fn plain(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").to_lowercase().trim_end_matches(['.', '?', '!', ' ']).to_owned()
}

fn unit(vector: &mut [f32]) {
    let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt().max(1e-12);
    vector.iter_mut().for_each(|x| *x /= length);
}
