//! Why a sink cannot be set up.

use std::path::PathBuf;

/// Why a sink cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// A property that would break what the delivery promises.
    #[error("sink.kafka.properties: \"{property}\" cannot be set: {reason}")]
    ReservedProperty {
        /// The property's name.
        property: String,
        /// What rests on it, and what to use instead.
        reason: &'static str,
    },
    /// A property that the client library does not know, or a value that it does not take.
    #[error("sink.kafka.properties: {0}")]
    Property(String),
    /// The client library refuses the configuration.
    #[error("sink.kafka: {0}")]
    Configuration(String),
    /// The JSON lines file cannot be opened.
    #[error(
        "sink.jsonl {}: {source}; let the daemon's user write there, in a folder that exists, or change sink.jsonl.path",
        path.display()
    )]
    JsonlFile {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The embedded broker does not start.
    #[error("the embedded broker does not start: {0}")]
    Embedded(String),
}
