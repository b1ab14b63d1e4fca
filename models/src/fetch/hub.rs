//! Files from the Hugging Face Hub.

use std::path::{Path, PathBuf};

use hf_hub::api::sync::ApiBuilder;
use hf_hub::{Cache, Repo, RepoType};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::error::FetchError;
use super::progress::Report;
use super::web::{Source, Trouble, Web};
use crate::manifest::Hub;

/// How often a repository's new name is followed.
const RENAMED: usize = 5;

/// The file in the cache that other programs of the user fill.
pub(super) fn known(wanted: &Hub) -> Option<PathBuf> {
    check(wanted).ok()?;
    Cache::from_env().repo(repo(wanted)).get(&wanted.file)
}

/// Downloads the file to `folder`, going on where an earlier download broke off. `expected` is its sha256, if known.
///
/// `HF_ENDPOINT` names another hub, `HF_HOME` the user's cache with its token, `HF_TOKEN` a token.
pub(super) fn download(
    web: &Web,
    wanted: &Hub,
    folder: &Path,
    expected: Option<&str>,
    report: Report<'_>,
) -> Result<PathBuf, FetchError> {
    let found = Found::of(web, wanted)?;
    found.download(web, wanted, folder, expected, report)
}

/// As [`download`], checked by what the hub says of the file: of large ones that is the sha256.
pub(super) fn download_whole(
    web: &Web,
    wanted: &Hub,
    folder: &Path,
    report: Report<'_>,
) -> Result<PathBuf, FetchError> {
    let found = Found::of(web, wanted)?;
    let sum = found.tag.trim_start_matches("W/").trim_matches('"');
    let expected = Some(sum).filter(|sum| sum.len() == 64 && sum.bytes().all(|b| b.is_ascii_hexdigit()));
    let path = found.download(web, wanted, folder, expected, report)?;
    let checked = super::check(&path, expected, &wanted.file);
    if checked.is_err() {
        // If it stays, the next try says so again.
        let _removed = std::fs::remove_file(&path);
    }
    checked.map(|()| path)
}

/// A file of the hub that was asked for once.
struct Found {
    url: String,
    token: Option<String>,
    /// What the hub calls its content.
    tag: String,
}

impl Found {
    fn of(web: &Web, wanted: &Hub) -> Result<Self, FetchError> {
        check(wanted)?;
        let (url, token) = (address(wanted)?, token());
        let tag = tag(web, wanted, &Source { url: &url, token: token.as_deref() })?;
        Ok(Self { url, token, tag })
    }

    fn download(
        &self,
        web: &Web,
        wanted: &Hub,
        folder: &Path,
        expected: Option<&str>,
        report: Report<'_>,
    ) -> Result<PathBuf, FetchError> {
        let Self { url, token, tag } = self;
        // A revision may be a branch, whose file changes: a part of the old one is not gone on with.
        let path = folder.join(hex::encode(Sha256::digest(format!("{url} {tag}"))));
        let from = Source { url, token: token.as_deref() };
        web.download(&from, &path, expected, report).map_err(|trouble| failed(wanted, trouble))?;
        Ok(path)
    }
}

/// The commit that a revision stands for, and the paths of its files.
pub(super) fn list(web: &Web, name: &str, revision: &str) -> Result<(String, Vec<String>), FetchError> {
    #[derive(Deserialize)]
    struct Answer {
        sha: String,
        siblings: Vec<Sibling>,
    }
    #[derive(Deserialize)]
    struct Sibling {
        rfilename: String,
    }
    let place =
        Hub { repo: name.to_owned(), revision: revision.to_owned(), file: "list".to_owned(), sha256: None };
    check(&place)?;
    let (any, all) = (address(&place)?, Hub { file: "the list of files".to_owned(), ..place });
    let endpoint = any.split(&format!("/{name}/resolve/")).next().unwrap_or_default();
    let url = format!("{endpoint}/api/{}", repo(&all).api_url());
    let text = web.text(&Source { url: &url, token: token().as_deref() });
    let text = text.map_err(|trouble| failed(&all, trouble))?;
    let answer: Answer = serde_json::from_str(&text).map_err(|error| {
        wrong(&all, format!("the answer is no list ({error}); check HF_ENDPOINT if it is set"))
    })?;
    Ok((answer.sha, answer.siblings.into_iter().map(|sibling| sibling.rfilename).collect()))
}

/// Where a file is.
fn address(wanted: &Hub) -> Result<String, FetchError> {
    let api = ApiBuilder::from_env().with_progress(false).build();
    Ok(api.map_err(|e| wrong(wanted, e.to_string()))?.repo(repo(wanted)).url(&wanted.file))
}

fn repo(wanted: &Hub) -> Repo {
    Repo::with_revision(wanted.repo.clone(), RepoType::Model, wanted.revision.clone())
}

/// What the hub calls this content of the file.
fn tag(web: &Web, wanted: &Hub, from: &Source<'_>) -> Result<String, FetchError> {
    let mut url = from.url.to_owned();
    for _ in 0..=RENAMED {
        let response =
            web.probe(&Source { url: &url, ..*from }).map_err(|trouble| failed(wanted, trouble))?;
        let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
        // Where the content lies on another host, the hub's own answer has the tag.
        let moved = header("location").filter(|to| to.starts_with('/') && !to.starts_with("//"));
        match moved.filter(|_| response.status().is_redirection()) {
            Some(to) => url = format!("{}{to}", host(&url)),
            None => {
                let tag = header("x-linked-etag").or_else(|| header("etag"));
                return tag.map(str::to_owned).ok_or_else(|| {
                    wrong(wanted, "the answer names no version of the file; check HF_ENDPOINT".into())
                });
            }
        }
    }
    Err(wrong(wanted, "its address is redirected again and again; check HF_ENDPOINT".into()))
}

/// An address up to its host.
fn host(url: &str) -> &str {
    let start = url.find("://").map_or(0, |at| at + 3);
    let end = url[start..].find('/').map_or(url.len(), |at| start + at);
    &url[..end]
}

/// Refuses names that make no address.
pub(super) fn check(wanted: &Hub) -> Result<(), FetchError> {
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

fn failed(wanted: &Hub, trouble: Trouble) -> FetchError {
    let reason = match trouble {
        Trouble::Status(401 | 403, _) => format!(
            "access is refused; accept the model's licence on its page and put your token into HF_TOKEN (revision `{}`)",
            wanted.revision
        ),
        Trouble::Status(404, _) => format!(
            "there is no such repository, revision `{}` or file; check the names, and HF_ENDPOINT if it is set",
            wanted.revision
        ),
        Trouble::Status(status, _) => {
            format!("the server answered with status {status}; try again later")
        }
        Trouble::Broken(reason) => format!("{reason}; run the command again to go on where it stopped"),
        Trouble::Senseless(reason) => format!("{reason}; check HF_ENDPOINT if it is set"),
        Trouble::Disk(error) => return error,
    };
    wrong(wanted, reason)
}

/// The user's token: of the environment, or the one that `huggingface-cli login` has written to `HF_HOME`.
fn token() -> Option<String> {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
    let from_file = || std::fs::read_to_string(set("HF_TOKEN_PATH")?).ok();
    let own = set("HF_TOKEN").or_else(from_file).map(|token| token.trim().to_owned());
    own.or_else(|| Cache::from_env().token())
}

#[cfg(test)]
mod tests {
    use super::host;

    #[test]
    fn an_address_is_cut_behind_its_host() {
        assert_eq!(host("http://127.0.0.1:80/a/b"), "http://127.0.0.1:80");
        assert_eq!(host("https://hub"), "https://hub");
    }
}
