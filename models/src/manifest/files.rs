//! The parts of a model on disk: where they lie, and whether they are the right ones.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::{FileRef, Manifest, ManifestError};

/// Where fetched files are kept: `$AVICUNA_CACHE`, or `~/.cache/avicuna`.
pub fn cache_dir() -> Result<PathBuf, ManifestError> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("AVICUNA_CACHE").or_else(|| Some(set("HOME")?.join(".cache/avicuna"))).ok_or(ManifestError::NoCache)
}

/// Where the default model lies in a checkout, seen from its root.
const DEFAULT: &str = "assets/models/avicuna-natural";
/// And where packages put it, seen from the program's folder; and the checkout's, seen from what was built in it.
const BESIDE: [&str; 2] = ["../share/avicuna/models/avicuna-natural", "../../assets/models/avicuna-natural"];

/// The directory of the default model: in the working directory's checkout, as it was installed with the program, or in the checkout that
/// the program was built in. Where there is none, the first.
pub fn default_model() -> PathBuf {
    let here = PathBuf::from(DEFAULT);
    if here.is_dir() {
        return here;
    }
    let program = std::env::current_exe().ok();
    let folder = program.as_deref().and_then(Path::parent);
    let beside = BESIDE.iter().filter_map(|place| folder?.join(place).canonicalize().ok());
    beside.into_iter().find(|place| place.is_dir()).unwrap_or(here)
}

/// The sha256 of a file in hexadecimal.
pub fn sha256_of(path: &Path) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 18];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok(hex::encode(hasher.finalize()));
        }
        hasher.update(&buffer[..read]);
    }
}

impl FileRef {
    /// Where it is looked for, in this order: the model directory, `cache/models/`, `cache/`.
    pub fn places(&self, dir: &Path, cache: &Path) -> Vec<PathBuf> {
        let mut places = vec![dir.join(&self.file)];
        for place in [cache.join("models").join(&self.file), cache.join(&self.file)] {
            // An absolute path is the same one everywhere.
            if !places.contains(&place) {
                places.push(place);
            }
        }
        places
    }
}

/// Parts of a model that were found and checked, each file once.
#[derive(Debug, Clone)]
pub struct Located(Vec<(FileRef, PathBuf)>);

impl Located {
    /// Where a file of the manifest is.
    ///
    /// # Panics
    /// When it is of no part that was looked for.
    pub fn path(&self, file: &FileRef) -> &Path {
        let found = self.0.iter().find(|(known, _)| known == file);
        &found.expect("`Manifest::locate_all` was told to look for the file's part").1
    }
}

impl Manifest {
    /// Finds the parts whose names are `wanted`, and checks that they are those the manifest means.
    ///
    /// # Errors
    /// Names the first one that is not, and what to do.
    pub fn locate_all(&self, cache: &Path, wanted: impl Fn(&str) -> bool) -> Result<Located, ManifestError> {
        let mut located: Vec<(FileRef, PathBuf)> = Vec::new();
        for (part, file) in self.parts().into_iter().filter(|(part, _)| wanted(part)) {
            if !located.iter().any(|(known, _)| known == file) {
                located.push((file.clone(), self.locate(part, file, cache)?));
            }
        }
        Ok(Located(located))
    }

    /// Finds a part, one of [`Manifest::parts`], and checks that it is the one the manifest means.
    pub fn locate(&self, part: &'static str, file: &FileRef, cache: &Path) -> Result<PathBuf, ManifestError> {
        let looked = file.places(&self.dir, cache);
        let Some(path) = looked.iter().find(|path| path.exists()).cloned() else {
            let remedy = match file.fetch {
                Some(_) => "run `avicuna models pull` (or `make setup`) to fetch it",
                None => "it is part of the model directory: copy or train the model again",
            };
            return Err(ManifestError::Missing { part, file: file.file.clone(), looked, remedy });
        };
        let Some(expected) = &file.sha256 else { return Ok(path) };
        let found = sha256_of(&path).map_err(|source| ManifestError::Read { path: path.clone(), source })?;
        if found.eq_ignore_ascii_case(expected) {
            Ok(path)
        } else {
            Err(ManifestError::Checksum { part, path, expected: expected.clone(), found })
        }
    }
}
