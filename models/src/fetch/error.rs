//! Why a part of a model could not be fetched: each message names the file or the address and what to do.

use std::path::{Path, PathBuf};

/// Why a part of a model could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The part is nowhere, and the manifest does not say where it comes from.
    #[error(
        "the model's {part} file `{file}` is missing from {dir}, and the manifest names no place to fetch it from; copy or train the model again",
        dir = dir.display()
    )]
    Nowhere {
        /// `vision`, `audio`, `llm`, `lora` or `adapters`.
        part: &'static str,
        /// Its name in the manifest.
        file: String,
        /// The model directory.
        dir: PathBuf,
    },
    /// A file of the user's is another one than the manifest means; it is left alone.
    #[error(
        "{path} has the sha256 {found}, the manifest says {expected}; it is damaged or of another version: delete it and pull again",
        path = path.display()
    )]
    Present {
        /// The file.
        path: PathBuf,
        /// The checksum it should have.
        expected: String,
        /// The checksum it has.
        found: String,
    },
    /// What came is not what the manifest means; it was thrown away.
    #[error(
        "what came for `{what}` has the sha256 {found}, the manifest says {expected}: it was changed at its source or damaged on the way, and is not kept; pull again, or correct the manifest"
    )]
    Checksum {
        /// What was fetched or made.
        what: String,
        /// The checksum it should have.
        expected: String,
        /// The checksum it has.
        found: String,
    },
    /// A wheel could not be had, or is not what it should be.
    #[error("cannot fetch from the wheel {wheel}: {reason}")]
    Wheel {
        /// `PACKAGE==VERSION`, or the wheel's path.
        wheel: String,
        /// What went wrong, and what to do.
        reason: String,
    },
    /// A crate or an npm package could not be had, or is not what it should be.
    #[error("cannot fetch from the {package}: {reason}")]
    Package {
        /// `crate NAME@VERSION`, `npm package NAME@VERSION`, or `archive` and its path.
        package: String,
        /// What went wrong, and what to do.
        reason: String,
    },
    /// The hub refused, or the connection broke.
    #[error("cannot fetch `{file}` of {repo} from the hub: {reason}")]
    Hub {
        /// `owner/name`.
        repo: String,
        /// The path in the repository.
        file: String,
        /// What went wrong, and what to do.
        reason: String,
    },
    /// An address did not deliver.
    #[error("cannot fetch {url}: {reason}")]
    Address {
        /// The address.
        url: String,
        /// What went wrong, and what to do.
        reason: String,
    },
    /// A conversion failed.
    #[error("cannot make `{file}` with {script}: {reason}")]
    Convert {
        /// The file to be made.
        file: String,
        /// The script.
        script: String,
        /// What went wrong, and what to do.
        reason: String,
    },
    /// The disk did not do what it was asked.
    #[error("cannot read or write {path}: {source}; check the free space, the path and its permissions", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl FetchError {
    pub(super) fn io(path: &Path, source: std::io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }
}
