//! Files from the Hugging Face Hub.

use std::path::{Path, PathBuf};

use hf_hub::api::Progress;
use hf_hub::api::sync::{Api, ApiBuilder, ApiError};
use hf_hub::{Cache, Repo, RepoType};

use super::error::FetchError;
use super::progress::Report;
use crate::manifest::Hub;

/// How often a download that breaks off is taken up again.
const RESUMES: usize = 4;

/// The file in the cache that other programs of the user fill.
pub(super) fn known(wanted: &Hub) -> Option<PathBuf> {
    check(wanted).ok()?;
    let repo = Repo::with_revision(wanted.repo.clone(), RepoType::Model, wanted.revision.clone());
    Cache::from_env().repo(repo).get(&wanted.file)
}

/// Downloads the file to `folder`, going on where an earlier download broke off.
///
/// `HF_ENDPOINT` names another hub, `HF_HOME` the user's cache with its token, `HF_TOKEN` a token.
pub(super) fn download(wanted: &Hub, folder: &Path, report: Report<'_>) -> Result<PathBuf, FetchError> {
    check(wanted)?;
    let repo = Repo::with_revision(wanted.repo.clone(), RepoType::Model, wanted.revision.clone());
    let mut builder = ApiBuilder::from_env().with_progress(false).with_cache_dir(folder.to_owned());
    if let Some(token) = token() {
        builder = builder.with_token(Some(token));
    }
    let api = builder.build().map_err(|e| failed(wanted, e))?;
    let url = api.repo(repo.clone()).url(&wanted.file);
    let plain =
        |tag: &str| !tag.is_empty() && tag.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
    // The tag becomes a file name.
    let metadata = api.metadata(&url).map_err(|e| failed(wanted, e))?;
    if !plain(metadata.etag()) || !plain(metadata.commit_hash()) {
        return Err(wrong(wanted, format!("the server's tag `{}` is no file name", metadata.etag())));
    }
    let blob = Cache::new(folder.to_owned()).repo(repo.clone()).blob_path(metadata.etag());
    if blob.exists() {
        return Ok(blob);
    }
    take_up(wanted, &api, repo, blob, metadata.size() as u64, report)
}

fn take_up(
    wanted: &Hub,
    api: &Api,
    repo: Repo,
    blob: PathBuf,
    size: u64,
    mut report: Report<'_>,
) -> Result<PathBuf, FetchError> {
    let part = blob.with_extension("part");
    let length = || std::fs::metadata(&part).map_or(0, |m| m.len());
    let mut attempt = 0;
    loop {
        let before = length();
        // A part that is complete, or longer, has been spoiled; asking for what follows it would fail for ever.
        if before >= size && before > 0 {
            std::fs::remove_file(&part).map_err(|e| FetchError::io(&part, e))?;
        }
        let follow = Follow { report: report.again(), done: 0, total: 0 };
        match api.repo(repo.clone()).download_with_progress(&wanted.file, follow) {
            Ok(pointer) => {
                // The blob is taken away from here; a name that points to nothing would stop the next download.
                std::fs::remove_file(&pointer).map_err(|e| FetchError::io(&pointer, e))?;
                return Ok(blob);
            }
            Err(ApiError::RequestError(error)) if refusal(&error).is_some() => {
                return Err(failed(wanted, ApiError::RequestError(error)));
            }
            Err(_) if attempt < RESUMES && length() > before => attempt += 1,
            Err(error) => return Err(failed(wanted, error)),
        }
    }
}

/// Refuses names that make no address.
fn check(wanted: &Hub) -> Result<(), FetchError> {
    for text in [&wanted.repo, &wanted.revision, &wanted.file] {
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
        let climbs = text.split('/').any(|part| part.is_empty() || part == "." || part == "..");
        if climbs || !text.chars().all(plain) {
            return Err(wrong(wanted, format!("`{text}` is no name on the hub")));
        }
    }
    Ok(())
}

fn wrong(wanted: &Hub, reason: String) -> FetchError {
    FetchError::Hub { repo: wanted.repo.clone(), file: wanted.file.clone(), reason }
}

fn failed(wanted: &Hub, error: ApiError) -> FetchError {
    let status = match &error {
        ApiError::RequestError(error) => refusal(error),
        _ => None,
    };
    wrong(
        wanted,
        match status {
            Some(401 | 403) => format!(
                "access is refused; accept the model's licence on its page and put your token into HF_TOKEN (revision `{}`)",
                wanted.revision
            ),
            Some(404) => format!(
                "there is no such repository, revision `{}` or file; check the names, and HF_ENDPOINT if it is set",
                wanted.revision
            ),
            Some(status) => format!("the server answered with status {status}; try again later"),
            None => format!("{error}; run the command again to go on where it stopped"),
        },
    )
}

/// The status with which a server refused.
fn refusal(error: &ureq::Error) -> Option<u16> {
    match error {
        ureq::Error::StatusCode(status) => Some(*status),
        _ => None,
    }
}

/// The user's token, where `huggingface-cli login` has not written one to `HF_HOME`.
fn token() -> Option<String> {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
    let from_file = || std::fs::read_to_string(set("HF_TOKEN_PATH")?).ok();
    set("HF_TOKEN").or_else(from_file).map(|token| token.trim().to_owned())
}

/// Hands the hub's progress on.
struct Follow<'a> {
    report: Report<'a>,
    done: u64,
    total: u64,
}

impl Progress for Follow<'_> {
    fn init(&mut self, size: usize, _filename: &str) {
        (self.done, self.total) = (0, size as u64);
    }

    fn update(&mut self, size: usize) {
        self.done += size as u64;
        self.report.at(self.done, Some(self.total));
    }

    fn finish(&mut self) {}
}
