//! Files from any HTTP address.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::error::FetchError;
use super::progress::Report;
use super::web::{Source, Trouble, Web};

/// Downloads `url` to `folder` and returns the file; one that is there already is taken. `expected` is its sha256, if known.
pub(super) fn download(
    web: &Web,
    url: &str,
    folder: &Path,
    expected: Option<&str>,
    report: Report<'_>,
) -> Result<PathBuf, FetchError> {
    let wrong = |reason: String| FetchError::Address { url: url.to_owned(), reason };
    if !url.starts_with("https://") && !url.starts_with("http://") {
        return Err(wrong("only http and https addresses can be fetched".into()));
    }
    let path = folder.join(hex::encode(Sha256::digest(url.as_bytes())));
    let outcome = web.download(&Source { url, token: None }, &path, expected, report);
    outcome.map_err(|trouble| match trouble {
        Trouble::Status(status, _) => {
            wrong(format!("the server answered with status {status}; check the address, or try again later"))
        }
        Trouble::Broken(reason) => wrong(format!("{reason}; pull again to go on where it stopped")),
        Trouble::Senseless(reason) => wrong(format!("{reason}; check the address")),
        Trouble::Disk(error) => error,
    })?;
    Ok(path)
}
