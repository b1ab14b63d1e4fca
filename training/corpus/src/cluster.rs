//! Event-based clustering of captions: embeddings, size-bounded clusters, a report of their quality.
//!
//! The paper groups clips whose captions are alike, so that the events of one video are hard to tell apart; which encoder and
//! which algorithm it used is not published. Here captions are embedded by all-MiniLM-L6-v2 ([`minilm`]) and cut into
//! clusters whose sizes lie within bounds ([`partition`]), always the same ones for the same seed.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::Clip;
use avicuna_models::whole;

mod bisect;
mod cache;
mod embeddings;
mod greedy;
pub mod minilm;
pub mod quality;
mod report;
#[cfg(test)]
mod tests;
pub mod words;

pub use cache::embed as embed_cached;
pub use embeddings::Embeddings;
pub use report::{Compared, plot, text};

/// How many events a cluster has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounds {
    /// The least.
    pub min: usize,
    /// The most.
    pub max: usize,
}

impl Bounds {
    /// For captions of a large catalogue: a cluster holds every size of group.
    pub const CAPTIONS: Self = Self { min: 16, max: 64 };

    /// For the packaged clips' 48 labels: two clusters of any halves, or so.
    pub const PACKAGED: Self = Self { min: 16, max: 32 };
}

/// How captions are put into clusters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// Halves the captions again and again by spherical 2-means, each cut where the bounds allow it.
    Bisect,
    /// Takes a caption and its nearest ones, then another of those that are left.
    Greedy,
    /// Any captions together: what clustering is to be measured against.
    Random,
}

/// What one event of a cluster is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// A label, with all its clips.
    Label,
    /// A caption, with all its clips.
    Caption,
}

/// `clusters.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clusters {
    /// How the clusters were made.
    pub method: Method,
    /// What they were drawn from.
    pub seed: u64,
    /// What made the embeddings.
    pub embedder: String,
    /// What is clustered.
    pub by: By,
    /// The sizes that were asked for, in events.
    pub sizes: Bounds,
    /// The checksum of everything the clusters depend on.
    pub key: String,
    /// The ids of the clips of each cluster.
    pub clusters: Vec<Vec<String>>,
}

/// Why captions cannot be clustered.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// No number of clusters fits.
    #[error(
        "{count} different captions or labels cannot be put into clusters of {min} to {max}{hint}; choose another range, or add clips",
        min = bounds.min,
        max = bounds.max
    )]
    Bounds {
        /// How many there are.
        count: usize,
        /// What was asked for.
        bounds: Bounds,
        /// What would fit.
        hint: String,
    },
    /// A text gave no direction to compare.
    #[error("the embedding of {what} number {row} is not a direction (its length is {length})")]
    Embedding {
        /// `caption`.
        what: &'static str,
        /// Counted from 0.
        row: usize,
        /// Its norm.
        length: f32,
    },
    /// Some clips have labels and some have not.
    #[error("clip `{clip}` has no label, but others have; cluster by captions, or give every clip a label")]
    Unlabelled {
        /// Its id.
        clip: String,
    },
    /// The caption encoder is not there, or not the right one.
    #[error("the caption encoder cannot be used: {reason}; run `avicuna dataset pull` to fetch it")]
    Encoder {
        /// What is wrong.
        reason: String,
    },
    /// A file cannot be read or written.
    #[error("cannot {action} {path}: {source}", path = path.display())]
    Io {
        /// `read` or `write`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file does not hold what it should.
    #[error("{path} cannot be used: {reason}; remove it to have it made again", path = path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// The place and the field.
        reason: String,
    },
    /// The plot could not be drawn.
    #[error("cannot draw {path}: {reason}", path = path.display())]
    Plot {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        reason: String,
    },
}

impl Clusters {
    /// Reads `clusters.json`.
    pub fn read(path: &Path) -> Result<Self, ClusterError> {
        let text = std::fs::read_to_string(path).map_err(|source| ClusterError::Io {
            action: "read",
            path: path.to_owned(),
            source,
        })?;
        serde_json::from_str(&text)
            .map_err(|e| ClusterError::Content { path: path.to_owned(), reason: e.to_string() })
    }

    /// Writes `clusters.json`, a cluster a line.
    pub fn write(&self, path: &Path) -> Result<(), ClusterError> {
        let json = |value: serde_json::Value| value.to_string();
        let lines: Vec<String> = self.clusters.iter().map(|ids| json(serde_json::json!(ids))).collect();
        let head = json(serde_json::json!({
            "method": self.method, "seed": self.seed, "embedder": self.embedder, "by": self.by, "sizes": self.sizes,
            "key": self.key,
        }));
        let head = head.strip_suffix('}').unwrap_or(&head);
        let text = format!("{head},\"clusters\":[\n{}\n]}}\n", lines.join(",\n"));
        let wrong = |source| ClusterError::Io { action: "write", path: path.to_owned(), source };
        whole::write(path, text).map_err(wrong)
    }
}

/// What is clustered: different texts, each with the clips that it stands for.
#[derive(Debug)]
pub struct Events<'a> {
    /// Labels or captions.
    pub texts: Vec<&'a str>,
    /// The ids of the clips of each.
    pub clips: Vec<Vec<&'a str>>,
    /// Which of the two.
    pub by: By,
}

impl<'a> Events<'a> {
    /// The different events of a catalogue in its order: by their labels, where the clips have labels.
    pub fn of(clips: &'a [Clip]) -> Result<Self, ClusterError> {
        let labelled = clips.iter().any(|clip| clip.label.is_some());
        let mut events =
            Self { texts: Vec::new(), clips: Vec::new(), by: if labelled { By::Label } else { By::Caption } };
        let mut places: HashMap<&str, usize> = HashMap::new();
        for clip in clips {
            let text = match &clip.label {
                Some(label) => label.as_str(),
                None if labelled => return Err(ClusterError::Unlabelled { clip: clip.id.clone() }),
                None => clip.caption.as_str(),
            };
            let place = *places.entry(text).or_insert(events.texts.len());
            if place == events.texts.len() {
                events.texts.push(text);
                events.clips.push(Vec::new());
            }
            events.clips[place].push(clip.id.as_str());
        }
        Ok(events)
    }

    /// The checksum of everything that the clusters of these events depend on.
    pub fn key(&self, embedder: &str, method: Method, bounds: Bounds, seed: u64) -> String {
        let mut hasher = Sha256::new();
        let mut add = |text: &str| {
            hasher.update((text.len() as u64).to_le_bytes());
            hasher.update(text);
        };
        add(&format!("{embedder} {method:?} {bounds:?} {seed} {:?}", self.by));
        for (text, clips) in self.texts.iter().zip(&self.clips) {
            add(text);
            clips.iter().for_each(|clip| add(clip));
        }
        hex::encode(hasher.finalize())
    }

    /// The clusters of [`partition`], by the ids of their clips.
    pub fn named(
        &self,
        parts: &[Vec<u32>],
        embedder: &str,
        method: Method,
        bounds: Bounds,
        seed: u64,
    ) -> Clusters {
        let ids = |part: &Vec<u32>| {
            let clips = part.iter().flat_map(|event| &self.clips[*event as usize]);
            clips.map(|id| (*id).to_owned()).collect()
        };
        Clusters {
            method,
            seed,
            embedder: embedder.to_owned(),
            by: self.by,
            sizes: bounds,
            key: self.key(embedder, method, bounds, seed),
            clusters: parts.iter().map(ids).collect(),
        }
    }
}

/// Cuts the rows of `embeddings` into clusters whose sizes lie within `bounds`.
///
/// Each row is in one cluster; rows of a cluster are in rising order, and clusters in the order of their first rows. The same
/// rows and seed give the same clusters, whatever the number of threads.
pub fn partition(
    embeddings: &Embeddings,
    method: Method,
    bounds: Bounds,
    seed: u64,
) -> Result<Vec<Vec<u32>>, ClusterError> {
    let count = clusters_for(embeddings.len(), bounds)?;
    let mut clusters = match method {
        Method::Bisect => bisect::partition(embeddings, count, bounds, seed),
        Method::Greedy => greedy::partition(embeddings, count, bounds, seed),
        Method::Random => random(embeddings.len(), count, seed),
    };
    clusters.iter_mut().for_each(|cluster| cluster.sort_unstable());
    clusters.sort_unstable_by_key(|cluster| cluster.first().copied());
    Ok(clusters)
}

/// How many clusters: as near to the middle of the bounds as possible.
fn clusters_for(rows: usize, bounds: Bounds) -> Result<usize, ClusterError> {
    let Bounds { min, max } = bounds;
    let error = |hint| Err(ClusterError::Bounds { count: rows, bounds, hint });
    if min == 0 || min > max {
        return error(" (a range rises from at least 1)".into());
    }
    let (least, most) = (rows.div_ceil(max), rows / min);
    if rows == 0 || least > most {
        let hint = (most > 0).then(|| {
            let size = rows.div_ceil(most);
            format!(" ({most} of at least {min} would have up to {size})")
        });
        return error(hint.unwrap_or_default());
    }
    let middle = (min + max) as f64 / 2.0;
    Ok(((rows as f64 / middle).round() as usize).clamp(least, most))
}

/// The sizes of `count` clusters of `rows` in all, as equal as can be.
fn even_sizes(rows: usize, count: usize) -> impl Iterator<Item = usize> {
    let up_to = move |clusters: usize| (rows as u128 * clusters as u128 / count as u128) as usize;
    (0..count).map(move |cluster| up_to(cluster + 1) - up_to(cluster))
}

fn random(rows: usize, count: usize, seed: u64) -> Vec<Vec<u32>> {
    use rand::seq::SliceRandom;
    let mut order: Vec<u32> = (0..rows as u32).collect();
    order.shuffle(&mut crate::seeded::rng(seed, "clusters/random"));
    let mut order = order.into_iter();
    even_sizes(rows, count).map(|size| order.by_ref().take(size).collect()).collect()
}
