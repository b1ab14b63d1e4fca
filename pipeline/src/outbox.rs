//! The durable queue between the model and the sinks: one file, one writer thread.
//!
//! A message is in the file, synced, before [`Outbox::append`] returns, and leaves it only when the sink has acknowledged
//! it or it was given up for a stated reason. The counters live in the same transactions as the messages, so
//! `produced = acknowledged + spooled + sum(dropped)` holds at every instant and after every crash.

mod error;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use error::OutboxError;

/// `[outbox]` of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OutboxConfig {
    /// The file; its folder must exist.
    pub path: PathBuf,
    /// How many bytes of messages may wait for delivery. The file is somewhat larger.
    pub max_bytes: u64,
    /// What gives way when more would wait.
    pub when_full: WhenFull,
}

impl Default for OutboxConfig {
    fn default() -> Self {
        Self {
            path: PathBuf::from("avicuna-outbox.redb"),
            max_bytes: 1 << 30,
            when_full: WhenFull::default(),
        }
    }
}

/// What gives way when the outbox is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WhenFull {
    /// The oldest messages: after an outage consumers get the latest.
    #[default]
    DropOldest,
    /// The new messages: after an outage consumers get the beginning.
    DropNew,
    /// Nothing: [`Outbox::append`] waits for room, and with it everything before it.
    Block,
}

/// Which of the published topics a message belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Topic {
    /// Event records.
    Events,
    /// Coverage records.
    Coverage,
    /// Error records.
    Errors,
}

impl Topic {
    /// Every topic, in the order of their numbers on disk.
    pub const ALL: [Self; 3] = [Self::Events, Self::Coverage, Self::Errors];

    /// The topic's number on disk; never reused for another.
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Events => 0,
            Self::Coverage => 1,
            Self::Errors => 2,
        }
    }

    /// The word for logs and JSON lines.
    pub fn word(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Coverage => "coverage",
            Self::Errors => "errors",
        }
    }
}

/// One record on its way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Where it goes.
    pub topic: Topic,
    /// The stream's id. Messages with the same topic and key are delivered in the order of appending.
    pub key: String,
    /// CloudEvents `type`, as `avicuna.event.v1`.
    pub ce_type: String,
    /// CloudEvents `id`: consumers drop a second message with the same one.
    pub ce_id: String,
    /// CloudEvents `time`, RFC 3339.
    pub ce_time: String,
    /// The record as JSON.
    pub payload: Vec<u8>,
}

/// Where every message ever appended is. `produced = acknowledged + spooled + sum(dropped)`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Accounting {
    /// Messages handed to the outbox since its file was created.
    pub produced: u64,
    /// Messages the sink has acknowledged.
    pub acknowledged: u64,
    /// Messages waiting in the file.
    pub spooled: u64,
    /// Messages given up, by reason.
    pub dropped: BTreeMap<String, u64>,
}

impl Accounting {
    /// Whether every message is somewhere.
    pub fn balanced(&self) -> bool {
        self.produced == self.acknowledged + self.spooled + self.dropped.values().sum::<u64>()
    }
}

/// What became of one call of [`Outbox::append`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Appended {
    /// Messages of this call that are on disk now.
    pub stored: u64,
    /// Messages given up to make this call: older ones, or its own, as [`WhenFull`] says.
    pub dropped: u64,
}
