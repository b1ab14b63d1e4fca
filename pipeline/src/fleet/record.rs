//! The records of the fleet's own topics.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::config::StreamConfig;
use crate::record::Run;
use crate::timeline::UtcTime;
use crate::watching::Checkpoint;

/// What is kept of a stream between two transactions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Kept {
    /// Of the settings that it was watched with, as [`digest`] says.
    pub settings: String,
    /// Who watched it last.
    pub member: String,
    /// Its last run.
    pub run: Option<Run>,
    /// What another daemon goes on from; `None` where its events are ended.
    pub checkpoint: Option<Box<Checkpoint>>,
    /// Why it ended by itself, once it did: with the same settings it is not watched again.
    pub over: Option<String>,
}

/// A daemon, as it tells the others every few seconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MemberRecord {
    /// What it is called.
    pub member: String,
    /// Where its interface is reached.
    pub address: Option<String>,
    /// When it said this, RFC 3339.
    #[schemars(extend("format" = "date-time"))]
    pub at: String,
    /// Partitions that it has.
    pub partitions: Vec<i32>,
    /// Streams that it watches, with how they are.
    pub streams: BTreeMap<String, ShareRecord>,
    /// Windows a second that its model could answer, by how long it took for the last ones; null before the first.
    pub capacity: Option<f64>,
    /// Windows a second that its streams give it.
    pub load: f64,
}

/// One of a daemon's streams.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ShareRecord {
    /// `connecting`, `watching`, `lost`, `ended`.
    pub state: String,
    /// Why it is not watched, where it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Seconds from the capture of its newest sample that was answered for until that was done; null before the first window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag: Option<f64>,
}

impl MemberRecord {
    /// Has it been silent for longer than `seconds`?
    pub fn is_silent(&self, now: UtcTime, seconds: f64) -> bool {
        UtcTime::from_rfc3339(&self.at).is_none_or(|at| now.seconds_since(at) > seconds)
    }
}

/// The same for the same settings only.
pub(crate) fn digest(config: &StreamConfig) -> String {
    let text = serde_json::to_vec(config).unwrap_or_default();
    hex::encode(&Sha256::digest(text)[..8])
}
