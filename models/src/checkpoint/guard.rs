//! Parsers of other crates on files that nobody vouches for.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use crate::llm::LlmError;

/// Runs `parse` on the file at `path`. A panic in it, as some parsers answer to a damaged file, becomes an error; what it
/// leaves half done belongs to nobody else.
pub(crate) fn guarded<T>(path: &Path, parse: impl FnOnce() -> Result<T, LlmError>) -> Result<T, LlmError> {
    let outcome = catch_unwind(AssertUnwindSafe(parse));
    outcome.unwrap_or_else(|_| Err(LlmError::malformed(path, "its structure contradicts itself")))
}
