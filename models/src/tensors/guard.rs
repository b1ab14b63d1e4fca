//! Parsers of other crates on files that nobody vouches for.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use super::error::FileError;

/// Runs `parse` on the file at `path`. A panic in it, as some parsers answer to a damaged file, becomes an error; what it
/// leaves half done belongs to nobody else.
pub(crate) fn guarded<T, E: From<FileError>>(
    path: &Path,
    parse: impl FnOnce() -> Result<T, E>,
) -> Result<T, E> {
    let outcome = catch_unwind(AssertUnwindSafe(parse));
    outcome.unwrap_or_else(|_| Err(FileError::malformed(path, "its structure contradicts itself").into()))
}
