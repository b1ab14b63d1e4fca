//! Several files of one repository of the hub, as a folder in the cache.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::progress::{Progress, Report};
use super::{FetchError, Fetcher, hub, rename, share};
use crate::manifest::Hub;

/// A repository of the hub at a revision: `OWNER/NAME`, or `OWNER/NAME@REVISION`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    /// `owner/name`.
    pub repo: String,
    /// A branch, a tag or a commit; `main` where none is named.
    pub revision: String,
}

/// What a repository holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// The commit that the revision stands for.
    pub commit: String,
    /// The paths of its files, as the hub lists them.
    pub files: Vec<String>,
}

impl FromStr for Repository {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (repo, revision) = text.split_once('@').unwrap_or((text, "main"));
        let named = repo.split_once('/').is_some_and(|(owner, name)| !owner.is_empty() && !name.is_empty());
        if !named || revision.is_empty() {
            return Err(format!("\"{text}\" is no repository; write OWNER/NAME or OWNER/NAME@REVISION"));
        }
        Ok(Self { repo: repo.to_owned(), revision: revision.to_owned() })
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.repo, self.revision)
    }
}

impl Fetcher {
    /// What a repository holds.
    ///
    /// # Errors
    /// When the hub does not know it, or does not answer.
    pub fn list(&self, from: &Repository) -> Result<Listing, FetchError> {
        let (commit, files) = hub::list(&self.web, &from.repo, &from.revision)?;
        Ok(Listing { commit, files })
    }

    /// Sees to it that these files of a repository are in the cache, and returns the folder in which they lie as they lie there. `from` names a
    /// commit: files of a branch may be of several. `progress` gets each file's name with each step.
    ///
    /// # Errors
    /// When a file cannot be fetched, or is not what the hub says that it is.
    pub fn folder(
        &self,
        from: &Repository,
        files: &[String],
        progress: &mut dyn FnMut(&str, Progress),
    ) -> Result<PathBuf, FetchError> {
        let folder = self.cache.join("hub").join(from.repo.replace('/', "--")).join(&from.revision);
        for file in files {
            let wanted = Hub {
                repo: from.repo.clone(),
                revision: from.revision.clone(),
                file: file.clone(),
                sha256: None,
            };
            self.one(&wanted, &folder.join(file), &mut |step| progress(file, step))?;
        }
        Ok(folder)
    }

    fn one(&self, wanted: &Hub, target: &Path, progress: &mut dyn FnMut(Progress)) -> Result<(), FetchError> {
        hub::check(wanted)?;
        if target.is_file() {
            return Ok(());
        }
        let folder = target.parent().unwrap_or(target);
        std::fs::create_dir_all(folder).map_err(|error| FetchError::io(folder, error))?;
        // A commit's file never changes, so one that other programs of the user have fetched is the same.
        let is_commit = wanted.revision.len() == 40 && wanted.revision.bytes().all(|b| b.is_ascii_hexdigit());
        if let Some(known) = hub::known(wanted).filter(|_| is_commit) {
            return share(&known, target);
        }
        let path = hub::download_whole(&self.web, wanted, &self.downloads(), Report(progress))?;
        rename(&path, target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_has_an_owner_a_name_and_perhaps_a_revision() {
        let of = |text: &str| text.parse::<Repository>().map(|from| (from.repo, from.revision));
        let is = |repo: &str, revision: &str| Ok((repo.to_owned(), revision.to_owned()));
        assert_eq!(of("a/b"), is("a/b", "main"));
        assert_eq!(of("a/b@v1"), is("a/b", "v1"));
        for wrong in ["", "a", "a/", "/b", "a/b@"] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
    }
}
