//! `[control]` and `[history]`: the interface over HTTP, and what it remembers.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::durations;

/// `[control]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ControlConfig {
    /// `ADDRESS:PORT` of the interface, the probes and the metrics; `off` for none.
    pub listen: String,
    /// Who may call: a line `NAME ROLE HASH` for each token. Needed where others than this machine can reach `listen`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// A proxy in front has asked who it is, and says so in this header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trusted_proxy_header: Option<String>,
    /// Certificates in PEM, the server's own first: with them and `private_key` the interface speaks TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<PathBuf>,
    /// The key of the first certificate, in PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub private_key: Option<PathBuf>,
    /// Pages of other origins that may call from a browser; `"*"` for all.
    pub origins: Vec<String>,
    /// Connections at once; more are closed at once.
    pub max_clients: usize,
    /// Bytes of the largest body of a call.
    pub max_body: usize,
    /// What streams may be added by a call.
    pub allow: AllowConfig,
}

/// `[control.allow]`: where streams that are added by a call may come from. What stands in the file may come from anywhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AllowConfig {
    /// Kinds of address.
    pub schemes: Vec<String>,
    /// Hosts: names, addresses, networks as `10.0.0.0/8`, `*.example.org`, or `*` for all that are not this machine
    /// itself or its link.
    pub hosts: Vec<String>,
    /// Folders whose files may be watched.
    pub files: Vec<PathBuf>,
}

/// `[history]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HistoryConfig {
    /// The file; by default beside the outbox.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// Records are kept so long.
    #[serde(with = "durations")]
    pub keep: Duration,
    /// Windows' answers are kept so long.
    #[serde(with = "durations")]
    pub keep_windows: Duration,
    /// The file stays below about so many bytes.
    pub max_bytes: u64,
}

impl Default for ControlConfig {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:9464".to_owned(),
            token_file: None,
            trusted_proxy_header: None,
            certificate: None,
            private_key: None,
            origins: Vec::new(),
            max_clients: 1024,
            max_body: 1 << 20,
            allow: AllowConfig::default(),
        }
    }
}

impl Default for AllowConfig {
    fn default() -> Self {
        let schemes = ["rtsp", "rtspt", "rtspu", "rtsps", "rtmp", "rtmps", "srt", "http", "https", "test"];
        Self { schemes: schemes.map(str::to_owned).to_vec(), hosts: vec!["*".to_owned()], files: Vec::new() }
    }
}

impl Default for HistoryConfig {
    fn default() -> Self {
        let hours = |hours: u64| Duration::from_secs(3600 * hours);
        Self { path: None, keep: hours(30 * 24), keep_windows: hours(48), max_bytes: 1 << 30 }
    }
}

impl ControlConfig {
    /// Where to listen, if at all; `Err` when it is neither an address nor `off`.
    pub fn address(&self) -> Result<Option<SocketAddr>, std::net::AddrParseError> {
        if self.listen == "off" { Ok(None) } else { self.listen.parse().map(Some) }
    }

    /// Can only this machine reach it?
    pub fn is_private(&self) -> bool {
        self.address().is_ok_and(|address| address.is_none_or(|address| address.ip().is_loopback()))
    }
}

impl HistoryConfig {
    /// The file, beside the outbox where it is not set.
    pub fn path(&self, outbox: &Path) -> PathBuf {
        self.path.clone().unwrap_or_else(|| {
            let name = outbox.file_stem().unwrap_or_default().to_string_lossy();
            let name = name.strip_suffix("-outbox").unwrap_or(&name);
            outbox.with_file_name(format!("{name}-history.sqlite"))
        })
    }
}
