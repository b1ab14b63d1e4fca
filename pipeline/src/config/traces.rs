//! `[traces]`: who is shown where the time of windows goes.

use serde::{Deserialize, Serialize};

/// `[traces]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TracesConfig {
    /// A collector of OpenTelemetry that takes OTLP over HTTP, without its path; nobody is shown anything without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// What the daemon is called there.
    pub service: String,
    /// Which part of all windows is shown, from 0 to 1.
    pub share: f64,
}

impl Default for TracesConfig {
    fn default() -> Self {
        Self { endpoint: None, service: "avicuna".to_owned(), share: 1.0 }
    }
}
