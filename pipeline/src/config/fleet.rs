//! `[fleet]`: several daemons that share their streams through the brokers.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::durations;

/// `[fleet]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FleetConfig {
    /// The consumer group that daemons share. Without it a daemon watches what its own file and its own callers name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// What this daemon is called; by default its host's name and a number that no other process has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub member: Option<String>,
    /// Where others reach its interface, as `http://node-1:9464`; shown to who asks for the fleet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// How the brokers hand out what is watched.
    pub protocol: FleetProtocol,
    /// Names of its topics.
    pub topics: FleetTopics,
    /// How many partitions the topics get where they are not there yet: more than there will ever be daemons.
    pub partitions: u16,
    /// How many copies of them are kept, of those that are not there yet; 0 leaves it to the brokers.
    pub replication: u16,
    /// A daemon that the brokers do not hear of for so long has lost its streams to others; with [`FleetProtocol::Consumer`] the brokers'
    /// own limit holds.
    #[serde(with = "durations")]
    pub session_timeout: Duration,
    /// How long a daemon that gives streams to another waits for answers to their windows.
    #[serde(with = "durations")]
    pub hand_over: Duration,
}

/// `[fleet] protocol`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FleetProtocol {
    /// The daemons agree among each other, cooperative-sticky: every broker knows it, and each daemon's own `session_timeout` holds.
    #[default]
    Classic,
    /// The brokers decide (KIP-848): fewer steps for all when one comes or goes. Needs Kafka 4, whose own session timeout holds.
    Consumer,
}

/// `[fleet.topics]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FleetTopics {
    /// What is watched: settings by stream.
    pub streams: String,
    /// What is known of it: checkpoints by stream.
    pub state: String,
    /// Who watches: a record for each daemon.
    pub members: String,
}

impl Default for FleetConfig {
    fn default() -> Self {
        Self {
            group: None,
            member: None,
            address: None,
            protocol: FleetProtocol::default(),
            topics: FleetTopics::default(),
            partitions: 24,
            replication: 0,
            session_timeout: Duration::from_secs(10),
            hand_over: Duration::from_secs(5),
        }
    }
}

impl Default for FleetTopics {
    fn default() -> Self {
        let named = |word: &str| format!("avicuna.{word}");
        Self { streams: named("streams"), state: named("state"), members: named("members") }
    }
}
