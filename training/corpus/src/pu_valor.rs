//! Pseudo-untrimmed videos: random temporal scaling and permutation of clustered clips, with dialogues about their events.
//!
//! ```text
//! clips + clusters -> groups (k clips of one cluster) -> time lines (lengths, order, gaps, overlaps, repeats)
//!                     -> records (dialogues), annotations (UnAV-100), queries -> one corpus directory
//! ```
//!
//! Everything is drawn for each item from the seed and the item's id ([`crate::seeded`]), so a part of a corpus is the same
//! whoever makes it. Paper, section 3.2; what was measured of the released data is in [`Sizes::paper`].

use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Modality;

pub mod annotations;
pub mod build;
pub mod caption;
mod card;
pub mod dialogue;
pub mod groups;
mod place;
pub mod queries;
pub mod record;
mod settings;
mod sources;
pub mod statistics;
#[cfg(test)]
mod tests;

pub use groups::{Group, Sizes};
pub use place::{Gaps, Overlaps, Scaling, timeline};
pub use sources::Sources;

/// One pseudo-untrimmed video: which clip plays when, and how fast. A line of `timelines.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Timeline {
    /// The video's id, `GROUP-VARIANT`.
    pub id: String,
    /// The id of the group its clips are of.
    pub group: String,
    /// Counts the videos of a group, from 0.
    pub variant: u32,
    /// Seconds; a whole number.
    pub duration: f64,
    /// The events in the order of their starts; at most two at a time.
    pub segments: Vec<Segment>,
    /// Where only background is to be seen and heard. Segments and gaps together cover the video.
    pub gaps: Vec<Gap>,
    /// Labels of what somebody looked for and did not find, to be asked for before others that do not happen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub absent: Vec<String>,
}

/// One clip on a time line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Segment {
    /// The clip's id.
    pub clip: String,
    /// What happens, as a class, where the catalogue knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// What happens, in a sentence.
    pub caption: String,
    /// Whether it can be seen, heard or both.
    pub modality: Modality,
    /// Seconds of the video.
    pub start: f64,
    /// Seconds of the video.
    pub end: f64,
    /// Length here over the clip's own length: 2 plays at half speed.
    pub scale: f64,
}

/// Nothing but background.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Gap {
    /// Seconds of the video.
    pub start: f64,
    /// Seconds of the video.
    pub end: f64,
}

impl Segment {
    /// What questions call the event: its label, or else its caption as a phrase.
    pub fn event(&self) -> String {
        self.label.clone().unwrap_or_else(|| caption::phrase(&self.caption))
    }

    /// What two segments share when they show the same event.
    pub fn key(&self) -> &str {
        self.label.as_deref().unwrap_or(&self.caption)
    }

    /// Whole seconds.
    pub fn seconds(&self) -> u32 {
        (self.end - self.start).round() as u32
    }
}

impl Timeline {
    /// The file of the time lines in a corpus directory, one a line.
    pub const FILE: &str = "timelines.jsonl";

    /// Those of the corpus in `dir`, read as they are needed.
    ///
    /// # Errors
    /// When the file cannot be read; each item, when its line is no time line.
    pub fn all(dir: &Path) -> Result<impl Iterator<Item = Result<Self, PuValorError>>, PuValorError> {
        let path = dir.join(Self::FILE);
        let file = File::open(&path).map_err(PuValorError::read(&path))?;
        Ok((1..).zip(BufReader::new(file).lines()).map(move |(number, line)| {
            let line = line.map_err(PuValorError::read(&path))?;
            serde_json::from_str(&line).map_err(|e| PuValorError::Content {
                path: path.clone(),
                line: number,
                reason: e.to_string(),
            })
        }))
    }

    /// Whether two events happen at the same time somewhere.
    pub fn overlaps(&self) -> bool {
        self.segments.windows(2).any(|pair| pair[1].start < pair[0].end)
    }
}

/// Whole numbers from `min` to `max`, both included; written `5..20`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The least.
    pub min: u32,
    /// The most.
    pub max: u32,
}

impl Span {
    /// `min..max`, both included.
    pub const fn new(min: u32, max: u32) -> Self {
        Self { min, max }
    }

    /// Whether `value` is one of them.
    pub fn contains(self, value: u32) -> bool {
        (self.min..=self.max).contains(&value)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.min, self.max)
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no range; write LEAST..MOST, such as 5..20");
        let (min, max) = text.split_once("..").ok_or_else(wrong)?;
        let number = |text: &str| text.trim().parse().map_err(|_| wrong());
        let span = Self { min: number(min)?, max: number(max.trim_start_matches('='))? };
        if span.min > span.max { Err(format!("`{text}` ends before it begins")) } else { Ok(span) }
    }
}

impl Serialize for Span {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Why a corpus cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum PuValorError {
    /// A setting makes no sense.
    #[error("`{setting}` {reason}")]
    Setting {
        /// Its name.
        setting: &'static str,
        /// What is wrong, and what would be right.
        reason: String,
    },
    /// The clusters name a clip that the catalogue does not have.
    #[error(
        "the clusters name the clip `{clip}`, which the catalogue does not have; remove clusters.json and build again"
    )]
    UnknownClip {
        /// Its id.
        clip: String,
    },
    /// A cluster is too small for the groups that are asked for.
    #[error(
        "cluster {cluster} has {events} different events, but groups of {wanted} are asked for; allow larger clusters or smaller groups"
    )]
    SmallCluster {
        /// Its place in clusters.json.
        cluster: usize,
        /// How many different events its clips show.
        events: usize,
        /// The clips of the largest group.
        wanted: usize,
    },
    /// A file cannot be read or written.
    #[error("cannot {action} {path}: {source}", path = path.display())]
    Io {
        /// `read` or `write`.
        action: &'static str,
        /// The file.
        path: std::path::PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file does not hold what it should.
    #[error("{path}, line {line}: {reason}", path = path.display())]
    Content {
        /// The file.
        path: std::path::PathBuf,
        /// Counted from 1.
        line: usize,
        /// The field, and what is wrong.
        reason: String,
    },
    /// A shard is missing when the corpus is put together.
    #[error(
        "{dir} has shard {missing} of {of} not yet; run `avicuna dataset build --shard {missing}/{of}` with the same settings",
        dir = dir.display()
    )]
    MissingShard {
        /// The corpus directory.
        dir: std::path::PathBuf,
        /// From 1.
        missing: usize,
        /// All shards.
        of: usize,
    },
    /// Shards were made with different settings.
    #[error(
        "the shards in {dir} were not made with the same settings: shard {shard} differs from shard 1; build it again",
        dir = dir.display()
    )]
    MixedShards {
        /// The corpus directory.
        dir: std::path::PathBuf,
        /// From 1.
        shard: usize,
    },
}

impl PuValorError {
    fn read(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { action: "read", path: path.to_owned(), source }
    }

    fn write(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { action: "write", path: path.to_owned(), source }
    }
}
