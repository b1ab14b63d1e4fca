//! That a stream is watched, was lost or is over: for whoever wants to be told. It is kept beside the daemon and not
//! published.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::stream::{StreamId, StreamState};
use crate::timeline::UtcTime;

/// A stream is in another state than before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StreamRecord {
    /// The stream's id in the configuration.
    pub stream_id: String,
    /// What it is now.
    pub state: StreamPhase,
    /// Since when, RFC 3339.
    #[schemars(extend("format" = "date-time"))]
    pub since: String,
    /// Why it is lost or ended; null while it is watched.
    pub reason: Option<String>,
}

/// What a stream is, as far as somebody is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum StreamPhase {
    /// Samples arrive.
    Watching,
    /// Away; it is tried again.
    Lost,
    /// Over.
    Ended,
}

impl StreamPhase {
    /// As it stands in records.
    pub fn name(self) -> &'static str {
        match self {
            Self::Watching => "watching",
            Self::Lost => "lost",
            Self::Ended => "ended",
        }
    }
}

impl StreamRecord {
    /// A state since `since`; `None` of one that nobody is told of: nothing has arrived yet.
    pub fn new(stream: &StreamId, state: &StreamState, since: UtcTime) -> Option<Self> {
        let (state, reason) = match state {
            StreamState::Connecting => return None,
            StreamState::Watching { .. } => (StreamPhase::Watching, None),
            StreamState::Lost { reason } => (StreamPhase::Lost, Some(reason.clone())),
            StreamState::Ended { reason } => (StreamPhase::Ended, Some(reason.clone())),
        };
        Some(Self { stream_id: stream.to_string(), state, since: since.to_rfc3339(), reason })
    }

    /// Names it: `STREAM/STATE/SINCE`.
    pub fn id(&self) -> String {
        format!("{}/{}/{}", self.stream_id, self.state.name(), self.since)
    }
}
