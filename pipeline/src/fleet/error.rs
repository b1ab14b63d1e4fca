//! What goes wrong with a fleet.

/// Why a daemon cannot be of a fleet, or a call to one fails.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FleetError {
    /// The client library does not take its settings.
    #[error("sink.kafka.properties: {0}")]
    Client(String),
    /// The brokers do not answer, or refuse.
    #[error("the brokers {brokers}: {reason}")]
    Brokers {
        /// Which.
        brokers: String,
        /// What they say, or that they do not.
        reason: String,
    },
    /// A topic is not as it must be.
    #[error("the topic {topic} {problem}; {advice}")]
    Topic {
        /// Which.
        topic: String,
        /// What is wrong.
        problem: String,
        /// The command that mends it.
        advice: String,
    },
    /// What was written has not come back in time.
    #[error("the brokers took the settings, but they did not come back within {0} s; look again in a moment")]
    Late(u64),
}
