//! What the encoders' classes are called: classes of AudioSet, ImageNet and COCO become phrases that are told and asked for.
//!
//! ```toml
//! [silent]                           # classes that are never told by themselves
//! audioset = ["Silence"]
//! imagenet = ["velvet"]
//!
//! [[phrase]]
//! text = "a dog"
//! group = "animals"
//! audioset = ["Dog", "Bark"]         # names as in the lists beside this file, each once in the whole vocabulary
//! imagenet = ["beagle"]
//! coco = ["dog"]
//! is = "an animal"                   # told only where nothing more exact is
//! asked = ["a doggy", "a dog barks"] # other wordings of queries
//!
//! [[phrase]]
//! text = "a person speaks"
//! group = "people"
//! audioset = ["Speech"]
//! with = "a person"                  # seen at the same time, it is what is heard
//! ```
//!
//! Evidence is one number from 0 to 1 for each phrase. A modality's evidence has a column for every phrase that the modality has
//! classes for, in the order of the file: [`Vocabulary::seen`], [`Vocabulary::heard`].

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest, Sha256};

mod check;
mod classes;

pub use classes::Classes;

/// Phrases, and which classes each stands for.
#[derive(Debug, Clone, PartialEq)]
pub struct Vocabulary {
    phrases: Vec<Phrase>,
    seen: Vec<usize>,
    heard: Vec<usize>,
    /// For each list, the phrase of each class; `None`: it is never told.
    of_class: HashMap<Classes, Vec<Option<usize>>>,
    by_text: HashMap<String, usize>,
}

/// One thing or happening that can be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Phrase {
    /// What is told, such as `a dog`.
    pub text: String,
    /// `animals`, `vehicles`, ...: what figures are grouped by.
    pub group: String,
    /// AudioSet's display names.
    pub audioset: Vec<String>,
    /// Names of ImageNet's classes.
    pub imagenet: Vec<String>,
    /// Names of COCO's classes.
    pub coco: Vec<String>,
    /// Other wordings of queries for it.
    pub asked: Vec<String>,
    /// The phrase that it is a kind of.
    pub is: Option<usize>,
    /// The phrase that is seen where this one can be heard.
    pub with: Option<usize>,
}

/// Why a vocabulary cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum VocabularyError {
    /// The file cannot be read.
    #[error("the vocabulary {path} cannot be read: {source}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is no TOML, or has other keys.
    #[error("the vocabulary {path} is not understood: {reason}", path = path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// With line and column.
        reason: String,
    },
    /// A phrase makes no sense.
    #[error("the vocabulary {path}: {place}: {reason}", path = path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// The phrase, or `[silent]`.
        place: String,
        /// What to change.
        reason: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    silent: Silent,
    #[serde(default)]
    phrase: Vec<Raw>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Silent {
    audioset: Vec<String>,
    imagenet: Vec<String>,
    coco: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    text: String,
    group: String,
    #[serde(default)]
    audioset: Vec<String>,
    #[serde(default)]
    imagenet: Vec<String>,
    #[serde(default)]
    coco: Vec<String>,
    #[serde(default)]
    asked: Vec<String>,
    is: Option<String>,
    with: Option<String>,
}

impl Vocabulary {
    /// Reads and checks a vocabulary.
    ///
    /// # Errors
    /// With the line, or the phrase and what is wrong with it.
    pub fn load(path: &Path) -> Result<Self, VocabularyError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| VocabularyError::Read { path: path.to_owned(), source })?;
        Self::parse(&text, path)
    }

    /// Reads the text of a vocabulary; `path` is where it came from, for messages.
    pub fn parse(text: &str, path: &Path) -> Result<Self, VocabularyError> {
        let file: File = toml::from_str(text).map_err(|error| VocabularyError::Syntax {
            path: path.to_owned(),
            reason: error.to_string().trim_end().to_owned(),
        })?;
        check::build(file).map_err(|(place, reason)| VocabularyError::Value {
            path: path.to_owned(),
            place,
            reason,
        })
    }

    /// In the order of the file.
    pub fn phrases(&self) -> &[Phrase] {
        &self.phrases
    }

    /// The phrase of each column of what is seen.
    pub fn seen(&self) -> &[usize] {
        &self.seen
    }

    /// The phrase of each column of what is heard.
    pub fn heard(&self) -> &[usize] {
        &self.heard
    }

    /// The columns of the modality that `classes` are of.
    pub fn columns_of(&self, classes: Classes) -> &[usize] {
        if classes == Classes::Audioset { &self.heard } else { &self.seen }
    }

    /// A checksum of what the columns mean: phrases and their classes, not their wordings.
    pub fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        for Phrase { text, audioset, imagenet, coco, .. } in &self.phrases {
            hash.update(format!("{text:?} {audioset:?} {imagenet:?} {coco:?}\n"));
        }
        hex::encode(hash.finalize())
    }

    /// The phrase with exactly this text.
    pub fn find(&self, text: &str) -> Option<usize> {
        self.by_text.get(text).copied()
    }

    /// For each class of the list, in its order, the column that it speaks for.
    pub fn class_columns(&self, classes: Classes) -> Vec<Option<usize>> {
        let columns: HashMap<usize, usize> =
            self.columns_of(classes).iter().enumerate().map(|(column, phrase)| (*phrase, column)).collect();
        let column = |phrase: &Option<usize>| phrase.and_then(|phrase| columns.get(&phrase).copied());
        self.of_class.get(&classes).into_iter().flatten().map(column).collect()
    }

    /// Whether `phrase` is `kind`, or a kind of it.
    pub fn is_a(&self, phrase: usize, kind: usize) -> bool {
        self.line(phrase).any(|own| own == kind)
    }

    /// The phrase, what it is a kind of, and so on.
    pub fn line(&self, phrase: usize) -> impl Iterator<Item = usize> {
        std::iter::successors(Some(phrase), |own| self.phrases[*own].is)
    }
}
