//! `[clips]`: what is kept of an event to be looked at.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::durations;

/// What stands for a secret.
const HIDDEN: &str = "***";

/// `[clips]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClipsConfig {
    /// Where clips are kept: a folder, or `s3://BUCKET/PREFIX`. Without it there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store: Option<String>,
    /// What stands before the paths of the interface in records, as `https://avicuna.example.org`.
    pub public_url: String,
    /// A clip begins so long before its event.
    #[serde(with = "durations")]
    pub pre_roll: Duration,
    /// And ends so long after it.
    #[serde(with = "durations")]
    pub post_roll: Duration,
    /// Of a longer event the clip shows its beginning.
    #[serde(with = "durations")]
    pub longest: Duration,
    /// Of each stream so much is kept, encoded, to cut clips from.
    #[serde(with = "durations")]
    pub ring_time: Duration,
    /// And no more bytes than this.
    pub ring_bytes: usize,
    /// Older ones are deleted.
    #[serde(with = "durations")]
    pub max_age: Duration,
    /// When all together have more bytes, the oldest are deleted.
    pub max_bytes: u64,
    /// A folder where clips are made; by default beside the outbox.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub work: Option<PathBuf>,
    /// How an S3-compatible store is reached.
    pub s3: S3Config,
}

/// `[clips.s3]`. What is not said here comes from the environment: `AWS_ACCESS_KEY_ID` and its like.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct S3Config {
    /// Its address, where it is not Amazon's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Where the bucket is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Who calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_key_id: Option<String>,
    /// Its secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_access_key: Option<String>,
}

impl fmt::Debug for S3Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Config").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

impl Default for ClipsConfig {
    fn default() -> Self {
        Self {
            store: None,
            public_url: String::new(),
            pre_roll: Duration::from_secs(5),
            post_roll: Duration::from_secs(5),
            longest: Duration::from_secs(60),
            ring_time: Duration::from_secs(180),
            ring_bytes: 64 << 20,
            max_age: Duration::from_secs(7 * 24 * 3600),
            max_bytes: 10 << 30,
            work: None,
            s3: S3Config::default(),
        }
    }
}

impl ClipsConfig {
    /// The bucket and the prefix in it, where the store is no folder.
    pub fn bucket(&self) -> Option<(&str, &str)> {
        let place = self.store.as_deref()?.strip_prefix("s3://")?;
        Some(place.split_once('/').unwrap_or((place, "")))
    }

    /// The folder where clips are made.
    pub fn work(&self, outbox: &Path) -> PathBuf {
        self.work.clone().unwrap_or_else(|| outbox.with_file_name("avicuna-clips-work"))
    }

    /// With everything secret blotted out.
    pub fn redacted(&self) -> Self {
        let hidden = |secret: &String| if secret.is_empty() { String::new() } else { HIDDEN.to_owned() };
        let secret_access_key = self.s3.secret_access_key.as_ref().map(hidden);
        Self { s3: S3Config { secret_access_key, ..self.s3.clone() }, ..self.clone() }
    }
}
