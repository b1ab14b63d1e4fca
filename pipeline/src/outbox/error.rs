//! What can be wrong with the outbox's file, each with what to do.

use std::io;
use std::path::{Path, PathBuf};

/// Why the outbox cannot be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    /// Another process has the file open.
    #[error("outbox {}: another process has it open; each daemon needs an outbox.path of its own", path.display())]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// The file is something else, or of a version this program does not read.
    #[error("outbox {}: not an outbox of this program ({detail}); move the file away or change outbox.path", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What was found.
        detail: String,
    },
    /// The file is an outbox, but damaged.
    #[error(
        "outbox {}: damaged ({detail}); its undelivered messages cannot be read: move the file away to start with an \
         empty outbox",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        detail: String,
    },
    /// The folder of the file is not there.
    #[error("outbox {}: the folder {} does not exist; create it or change outbox.path", path.display(), folder.display())]
    MissingFolder {
        /// The file.
        path: PathBuf,
        /// Its folder.
        folder: PathBuf,
    },
    /// No space left.
    #[error("outbox {}: the disk is full; free some space or move outbox.path", path.display())]
    DiskFull {
        /// The file.
        path: PathBuf,
    },
    /// The system refused to open, read or write.
    #[error("outbox {}: it cannot be used ({source}); {}", path.display(), advice(source))]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The store failed in a way that is none of the above.
    #[error(
        "outbox {}: {detail}; look after its disk, and if the file is at fault move it away to start with an empty outbox",
        path.display()
    )]
    Store {
        /// The file.
        path: PathBuf,
        /// What the store said.
        detail: String,
    },
    /// The writer thread has ended.
    #[error("outbox {}: its writer has ended, the log says why; restart the daemon", path.display())]
    Closed {
        /// The file.
        path: PathBuf,
    },
}

/// What to do about what the system said.
fn advice(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::PermissionDenied => {
            "let the daemon's user read and write the file and its folder, or change outbox.path"
        }
        io::ErrorKind::ReadOnlyFilesystem => "mount its disk for writing, or change outbox.path",
        io::ErrorKind::IsADirectory => "outbox.path must name a file",
        _ => "look after its disk, or change outbox.path",
    }
}

impl OutboxError {
    /// Reads what the store or the system said about `path`.
    pub(super) fn explain(path: &Path, error: impl Into<redb::Error>) -> Self {
        let path = path.to_path_buf();
        match error.into() {
            redb::Error::DatabaseAlreadyOpen => Self::Locked { path },
            redb::Error::Corrupted(detail) => Self::Damaged { path, detail },
            redb::Error::UpgradeRequired(version) => {
                Self::Foreign { path, detail: format!("file format {version} of an older store") }
            }
            redb::Error::TableTypeMismatch { table, .. } => {
                Self::Foreign { path, detail: format!("table {table} holds something else") }
            }
            redb::Error::Io(source) => Self::explain_io(path, source),
            other => Self::Store { path, detail: other.to_string() },
        }
    }

    fn explain_io(path: PathBuf, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                Self::DiskFull { path }
            }
            io::ErrorKind::InvalidData => Self::Foreign { path, detail: source.to_string() },
            io::ErrorKind::NotFound => match path.parent() {
                Some(folder) if !folder.as_os_str().is_empty() && !folder.is_dir() => {
                    Self::MissingFolder { folder: folder.to_path_buf(), path }
                }
                _ => Self::Io { path, source },
            },
            _ => Self::Io { path, source },
        }
    }
}
