//! Source clips and what is made of them: pseudo-untrimmed datasets (PU-VALOR), their media and their features.
//!
//! A [`Catalogue`] names trimmed clips with captions; [`packaged`] composes clips from packaged pictures and sounds, [`natural`]
//! scenes from natural ones. [`cluster`] groups clips whose captions are alike, [`pu_valor`] scales and permutes them to
//! untrimmed time lines with questions and answers, [`render`] makes media of a time line, [`features`] encodes it as the daemon
//! would; [`simulator`] draws such features without any media.
//!
//! [`Catalogue::read`] reads our own `catalogue.jsonl`, [`valor`] the annotations of VALOR-32K and VALOR-1M, [`table`] a CSV or JSON
//! lines table, [`import`] the annotations of public datasets. What cannot be used of a foreign list is left out and said in
//! [`Catalogue::skipped`]; a list that cannot be read at all is an error with its line and field.

mod admit;
pub mod cluster;
mod directory;
pub mod features;
pub mod import;
mod jsonl;
pub mod media;
pub mod natural;
pub mod packaged;
pub mod pu_valor;
pub mod render;
pub mod seeded;
pub mod simulator;
mod table;
mod valor;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

pub use avicuna_pipeline::stream::Modality;
use serde::{Deserialize, Serialize};

pub use self::admit::{MediaCheck, ReadOptions};
pub use self::table::read as table;
pub use self::valor::read as valor;
use crate::media::MediaError;

/// The name of the catalogue in a corpus directory.
pub const CATALOGUE: &str = "catalogue.jsonl";

/// The shortest clip that is any use, in seconds.
pub const SHORTEST: f64 = 1.0;

/// What a clip may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// To learn from.
    #[default]
    Train,
    /// To choose by.
    Validation,
    /// To measure with, and for nothing else.
    Test,
}

impl Split {
    /// As it is written in files and arguments.
    pub fn word(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for Split {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "train" => Ok(Self::Train),
            "validation" | "val" => Ok(Self::Validation),
            "test" => Ok(Self::Test),
            _ => Err(format!("\"{word}\" is no split; use train, validation or test")),
        }
    }
}

/// One trimmed clip: something that happens from its beginning to its end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Clip {
    /// Names it in time lines and records, and its feature files; no two clips of a catalogue share one.
    pub id: String,
    /// The media file. In a catalogue file relative to that file's folder, in memory relative to the working directory.
    pub media: PathBuf,
    /// Seconds.
    pub duration: f64,
    /// What happens in it, in a sentence.
    pub caption: String,
    /// What a model should call it, where there is a fixed list of labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Which sense the event appears to.
    pub modality: Modality,
    /// What it may be used for.
    pub split: Split,
    /// Anything else that is known of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
}

/// Something of a list that is not used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// The clip's id, or the line or number of the record where it has none.
    pub id: String,
    /// Why.
    pub reason: String,
}

/// Clips, and what was left out of them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Catalogue {
    /// In the order of the list they come from.
    pub clips: Vec<Clip>,
    /// In the same order.
    pub skipped: Vec<Skipped>,
}

impl Catalogue {
    /// Reads a `catalogue.jsonl`, or the one in a corpus directory.
    ///
    /// # Errors
    /// When it cannot be read, with line and field; when two clips have the same id. Media files are not looked at.
    pub fn read(path: &Path) -> Result<Self, CorpusError> {
        let path = if path.is_dir() { &path.join(CATALOGUE) } else { path };
        jsonl::read(path)
    }

    /// Writes a `catalogue.jsonl`; media in or below its folder are named relative to it.
    ///
    /// # Errors
    /// When the file cannot be written; what was there before is still there then.
    pub fn write(&self, path: &Path) -> Result<(), CorpusError> {
        jsonl::write(&self.clips, path)
    }

    /// The clips by id, as [`crate::render`] takes them.
    pub fn by_id(&self) -> BTreeMap<String, Clip> {
        self.clips.iter().map(|clip| (clip.id.clone(), clip.clone())).collect()
    }

    /// How often each reason for leaving something out occurs, the most frequent first.
    pub fn skipped_by_reason(&self) -> Vec<(&str, usize)> {
        by_reason(&self.skipped)
    }
}

/// How often each reason for leaving something out occurs, the most frequent first.
pub fn by_reason(skipped: &[Skipped]) -> Vec<(&str, usize)> {
    let mut counts = BTreeMap::new();
    for skipped in skipped {
        // The part before a colon is the same for all of a kind.
        let kind = skipped.reason.split(':').next().unwrap_or_default();
        *counts.entry(kind).or_insert(0) += 1;
    }
    let mut counts: Vec<(&str, usize)> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    counts
}

/// Why a corpus cannot be read or made.
#[derive(Debug, thiserror::Error)]
pub enum CorpusError {
    /// A file or folder cannot be read.
    #[error("{path} cannot be read ({source}); check the path and its permissions", path = path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file or folder cannot be written.
    #[error("{path} cannot be written ({source}); check free space and permissions", path = path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A list is not what it should be.
    #[error("{path}, line {line}, field {field}: {reason}", path = path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// Counts from 1.
        line: usize,
        /// The field's name, or its path in the document; `-` where there is none.
        field: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Nothing of a list can be used.
    #[error("{path} has no usable clip: {reasons}", path = path.display())]
    Nothing {
        /// The file.
        path: PathBuf,
        /// Why what is in it was left out.
        reasons: String,
    },
    /// A label that no packaged class has.
    #[error("there is no packaged class \"{label}\"; use one of {}", labels.join(", "))]
    UnknownLabel {
        /// As given.
        label: String,
        /// All there are.
        labels: Vec<String>,
    },
    /// A folder has clips of another seed or split.
    #[error("{dir} has {found} already; choose another folder, or remove its clips", dir = dir.display())]
    Other {
        /// The corpus directory.
        dir: PathBuf,
        /// What is in it.
        found: String,
    },
    /// Packaged clips cannot be made.
    #[error(transparent)]
    Packaged(#[from] packaged::PackagedError),
    /// A media file cannot be read or written.
    #[error(transparent)]
    Media(#[from] MediaError),
}

impl CorpusError {
    fn record(path: &Path, line: usize, field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Record { path: path.to_owned(), line, field: field.into(), reason: reason.into() }
    }

    fn nothing(path: &Path, skipped: &[Skipped]) -> Self {
        let counts = by_reason(skipped);
        let reasons: Vec<String> =
            counts.iter().map(|(reason, count)| format!("{count} x {reason}")).collect();
        let reasons = if reasons.is_empty() { "it is empty".to_owned() } else { reasons.join(", ") };
        Self::Nothing { path: path.to_owned(), reasons }
    }

    fn read(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        |source| Self::Read { path: path.to_owned(), source }
    }

    fn write(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        |source| Self::Write { path: path.to_owned(), source }
    }
}
