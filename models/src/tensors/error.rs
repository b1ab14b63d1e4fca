//! What can go wrong with a file of a model: each message names it and what to do.

use std::path::{Path, PathBuf};

/// Why a file of a model cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// A file or folder is not there or cannot be read.
    #[error("cannot read {path}: {source}; check the path and its permissions, or run `make setup` to fetch the models", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {path}: {source}; check the free space, the path and its permissions", path = path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file is there but is not what its name says.
    #[error("{path} is damaged or in an unknown layout: {reason}; fetch or export it again", path = path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What was found wrong.
        reason: String,
    },
}

impl FileError {
    /// Wraps what the system said about `path`.
    pub(crate) fn read(path: &Path, source: std::io::Error) -> Self {
        Self::Read { path: path.to_owned(), source }
    }

    /// Wraps what the system said about writing `path`.
    pub(crate) fn write(path: &Path, source: std::io::Error) -> Self {
        Self::Write { path: path.to_owned(), source }
    }

    /// Says what is wrong with the content of `path`.
    pub(crate) fn malformed(path: &Path, reason: impl std::fmt::Display) -> Self {
        Self::Malformed { path: path.to_owned(), reason: reason.to_string() }
    }
}
