//! What really happens: `annotations.json` and `queries.json` of a corpus directory, and annotations of UnAV-100, which
//! have the same form.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use avicuna_pipeline::stream::Modality;
use serde::{Deserialize, Serialize};

use super::detection::Occurrence;
use super::segment::Segment;
use super::{EvaluationError, read_json};

/// `annotations.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Annotations {
    /// By video id.
    pub database: BTreeMap<String, Video>,
}

/// One video.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Video {
    /// Seconds.
    pub duration: f64,
    /// `train`, `validation` or `test`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subset: Option<String>,
    /// What happens in it.
    pub annotations: Vec<Annotation>,
}

/// One event. It has a label or its number, or both.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Annotation {
    /// When, in seconds.
    pub segment: Segment,
    /// What.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Its number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label_id: Option<i64>,
    /// Seen, heard or both, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modality: Option<Modality>,
}

/// How truth and predictions name a class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Naming {
    /// By `label`.
    Label,
    /// By `label_id`.
    Number,
}

impl Annotations {
    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read or has another form, and where a segment ends before it starts.
    pub fn read(path: &Path) -> Result<Self, EvaluationError> {
        let annotations: Self = read_json(path)?;
        for (id, video) in &annotations.database {
            let unsound = video.annotations.iter().position(|annotation| !annotation.segment.is_sound());
            if let Some(index) = unsound {
                let what = format!("database.{id}.annotations[{index}].segment is no span of time");
                return Err(EvaluationError::content(path, what));
            }
        }
        Ok(annotations)
    }

    /// Every event of a subset, or of all videos, by the name that predictions have for it.
    ///
    /// # Errors
    /// When an event has no such name.
    pub fn occurrences(
        &self,
        subset: Option<&str>,
        naming: Naming,
    ) -> Result<Vec<Occurrence>, EvaluationError> {
        let wanted = |video: &&Video| subset.is_none_or(|subset| video.subset.as_deref() == Some(subset));
        let videos = self.database.iter().filter(|(_, video)| wanted(video));
        let mut occurrences = Vec::new();
        for (id, video) in videos {
            for annotation in &video.annotations {
                let label = match naming {
                    Naming::Label => annotation.label.clone(),
                    Naming::Number => annotation.label_id.map(|number| number.to_string()),
                };
                let Some(label) = label else {
                    return Err(EvaluationError::Unnamed { video: id.clone(), naming });
                };
                occurrences.push(Occurrence { video: id.clone(), label, segment: annotation.segment });
            }
        }
        Ok(occurrences)
    }
}

/// One grounding question of `queries.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Query {
    /// Its name.
    pub id: String,
    /// The video it is about.
    pub video: String,
    /// The event it asks for.
    pub label: String,
    /// In words; the model is asked in its own, from its manifest.
    #[serde(default)]
    pub question: String,
    /// When it happens; empty: it does not.
    pub segments: Vec<Segment>,
    /// How often.
    pub kind: Kind,
    /// How it can be noticed.
    pub modality: QueryModality,
}

/// How often the event of a query happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Once.
    Single,
    /// Several times.
    Multi,
    /// Not at all.
    Absent,
}

/// How the event of a query can be noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum QueryModality {
    /// Seen and heard.
    Both,
    /// Only heard.
    Audio,
    /// Only seen.
    Visual,
    /// Now so, now otherwise.
    Mixed,
}

impl Kind {
    /// As in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Single => "single",
            Self::Multi => "multi",
            Self::Absent => "absent",
        }
    }
}

impl QueryModality {
    /// As in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Both => "both",
            Self::Audio => "audio",
            Self::Visual => "visual",
            Self::Mixed => "mixed",
        }
    }
}

/// A corpus with media to be watched and the truth about them.
#[derive(Debug, Clone, PartialEq)]
pub struct Corpus {
    /// The directory.
    pub dir: PathBuf,
    /// Its videos that are to be watched, and what happens in them.
    pub videos: BTreeMap<String, Video>,
    /// The questions about these videos, in the order of the file.
    pub queries: Vec<Query>,
}

impl Corpus {
    /// Reads `dir`, as `avicuna dataset build` makes it; `limit` keeps the first so many videos in order of their ids.
    ///
    /// # Errors
    /// When a file cannot be read or does not go with the others, or a video's media file is missing.
    pub fn read(dir: &Path, limit: Option<usize>) -> Result<Self, EvaluationError> {
        let path = dir.join("annotations.json");
        if !path.exists() {
            return Err(EvaluationError::NoCorpus { dir: dir.to_owned() });
        }
        let annotations = Annotations::read(&path)?;
        let limit = limit.unwrap_or(usize::MAX);
        let videos: BTreeMap<String, Video> = annotations.database.into_iter().take(limit).collect();
        let path = dir.join("queries.json");
        let mut queries: Vec<Query> = read_json(&path)?;
        queries.retain(|query| videos.contains_key(&query.video));
        for query in &queries {
            check(query)
                .map_err(|what| EvaluationError::content(&path, format!("query {}: {what}", query.id)))?;
        }
        let corpus = Self { dir: dir.to_owned(), videos, queries };
        if corpus.videos.is_empty() {
            return Err(EvaluationError::content(&dir.join("annotations.json"), "it names no video"));
        }
        let missing = corpus.videos.keys().map(|id| corpus.media(id)).find(|path| !path.is_file());
        match missing {
            Some(path) => Err(EvaluationError::Media { path }),
            None => Ok(corpus),
        }
    }

    /// The media file of a video.
    pub fn media(&self, id: &str) -> PathBuf {
        self.dir.join("videos").join(format!("{id}.mp4"))
    }

    /// The questions about a video.
    pub fn of<'a>(&'a self, video: &'a str) -> impl Iterator<Item = &'a Query> {
        self.queries.iter().filter(move |query| query.video == video)
    }

    /// Every event.
    ///
    /// # Errors
    /// When an event has no label.
    pub fn occurrences(&self) -> Result<Vec<Occurrence>, EvaluationError> {
        Annotations { database: self.videos.clone() }.occurrences(None, Naming::Label)
    }

    /// How a segment of a query can be noticed, where the annotations say so.
    pub fn modality(&self, query: &Query, segment: Segment) -> Option<Modality> {
        let near = |one: f64, other: f64| (one - other).abs() <= 1e-3;
        let same = |annotation: &&Annotation| {
            annotation.label.as_deref() == Some(&query.label)
                && near(annotation.segment.start, segment.start)
                && near(annotation.segment.end, segment.end)
        };
        let found = self.videos.get(&query.video)?.annotations.iter().find(same);
        let whole = match query.modality {
            QueryModality::Both => Some(Modality::Both),
            QueryModality::Audio => Some(Modality::Audio),
            QueryModality::Visual => Some(Modality::Visual),
            QueryModality::Mixed => None,
        };
        found.and_then(|annotation| annotation.modality).or(whole)
    }
}

/// What is wrong with a query.
fn check(query: &Query) -> Result<(), String> {
    let fits = match query.kind {
        Kind::Absent => query.segments.is_empty(),
        Kind::Single => query.segments.len() == 1,
        Kind::Multi => query.segments.len() > 1,
    };
    if !fits {
        return Err(format!("it is called {}, with {} segments", query.kind.name(), query.segments.len()));
    }
    match query.segments.iter().position(|segment| !segment.is_sound()) {
        Some(index) => Err(format!("segments[{index}] is no span of time")),
        None => Ok(()),
    }
}
