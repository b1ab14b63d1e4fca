//! What keeps the ids of different runs of one stream apart.

use serde::{Deserialize, Serialize};

use crate::timeline::UtcTime;

/// Which run of a stream a record is of, as far as its ids say it.
///
/// A recording that is watched from its beginning to its end has the same ids, with the same contents, as often as it is
/// watched. A run that is interrupted has told of events and spans that the recording does not have: they end where the
/// run did. So the ids of an interrupted run are never used again: those after it say how many were interrupted. Once a run
/// has told all, that number stays, and every later run repeats it, or what it comes to of it: an interrupted repetition
/// tells nothing that was not told. Counting is enough, and keeps ids a function of the input and the history: an id that
/// were drawn anew for every run would make each replay a new set of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Run {
    /// Of what can be replayed, after so many interrupted runs.
    Replay {
        /// Runs of this stream that were interrupted before one told all, as the outbox remembers them.
        interruptions: u64,
    },
    /// With ids that no other run has: of a live stream, whose stream time begins anew with each run, or where the outbox
    /// cannot remember.
    Once {
        /// When it began.
        began: UtcTime,
    },
}

impl Default for Run {
    /// The first of a recording.
    fn default() -> Self {
        Self::Replay { interruptions: 0 }
    }
}

impl Run {
    /// What ids say of it: nothing for the first run of a recording and what repeats it.
    pub(crate) fn word(self) -> Option<String> {
        match self {
            Self::Replay { interruptions: 0 } => None,
            Self::Replay { interruptions } => Some(format!("after-{interruptions}")),
            Self::Once { began } => Some(began.milliseconds().to_string()),
        }
    }
}
