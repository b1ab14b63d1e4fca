//! A folder as a store.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use super::{Meta, StoreError, make};
use crate::timeline::UtcTime;

/// What a file is called while it is written.
const PART: &str = ".part";

/// It must be there, and is not made again: a disk that is not mounted any more leaves an empty folder of another one.
#[derive(Debug)]
pub(super) struct Folder {
    root: PathBuf,
}

impl Folder {
    /// Makes it, where it is not there, in a folder that is.
    pub fn open(root: PathBuf) -> Result<Self, StoreError> {
        make(&root)?;
        Ok(Self { root })
    }

    /// Nobody sees a file before it is whole.
    pub fn put(&self, path: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.is_there()?;
        let path = self.root.join(path);
        let part = path.with_added_extension(&PART[1..]);
        let written = path
            .parent()
            .map_or(Ok(()), fs::create_dir_all)
            .and_then(|()| fs::write(&part, bytes))
            .and_then(|()| fs::rename(&part, &path));
        written.map_err(|error| {
            // It is in the way of nothing but room.
            let _gone = fs::remove_file(&part);
            wrong(&path, error)
        })
    }

    pub fn head(&self, path: &str) -> Result<Option<Meta>, StoreError> {
        self.is_there()?;
        let path = self.root.join(path);
        there(fs::metadata(&path).and_then(|meta| known(&meta))).map_err(|error| wrong(&path, error))
    }

    pub fn get(&self, path: &str, range: Option<Range<u64>>) -> Result<Option<Vec<u8>>, StoreError> {
        self.is_there()?;
        let path = self.root.join(path);
        there(read(&path, range)).map_err(|error| wrong(&path, error))
    }

    /// Deletes a folder with all its files, and the one that it is in, if nothing else is.
    pub fn delete(&self, path: &str) -> Result<(), StoreError> {
        self.is_there()?;
        let path = self.root.join(path);
        there(fs::remove_dir_all(&path)).map_err(|error| wrong(&path, error))?;
        // Others may be in it.
        let _kept = path.parent().map(fs::remove_dir);
        Ok(())
    }

    /// Every file two folders deep, by its path.
    pub fn list(&self) -> Result<Vec<(String, Meta)>, StoreError> {
        self.is_there()?;
        let mut found = Vec::new();
        walk(&self.root, "", 3, &mut found).map_err(|error| wrong(&self.root, error))?;
        Ok(found)
    }

    fn is_there(&self) -> Result<(), StoreError> {
        if self.root.is_dir() {
            return Ok(());
        }
        Err(wrong(&self.root, io::Error::new(ErrorKind::NotFound, "the folder is gone")))
    }
}

fn wrong(path: &Path, source: io::Error) -> StoreError {
    StoreError::Folder { path: path.to_owned(), source }
}

/// `None` of what is not there.
fn there<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn known(meta: &fs::Metadata) -> io::Result<Meta> {
    let since = meta.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    let modified = UtcTime(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX));
    Ok(Meta { size: meta.len(), modified })
}

fn read(path: &Path, range: Option<Range<u64>>) -> io::Result<Vec<u8>> {
    let Some(range) = range else { return fs::read(path) };
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(range.start))?;
    let mut bytes = Vec::new();
    file.take(range.end.saturating_sub(range.start)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Files `depth` levels down; what somebody else put elsewhere is left alone.
fn walk(folder: &Path, below: &str, depth: usize, found: &mut Vec<(String, Meta)>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let path = if below.is_empty() { name.clone() } else { format!("{below}/{name}") };
        let kind = entry.file_type()?;
        if depth > 1 && kind.is_dir() {
            // One that was deleted meanwhile holds nothing.
            there(walk(&entry.path(), &path, depth - 1, found))?;
        } else if depth == 1
            && kind.is_file()
            && let Some(meta) = there(entry.metadata().and_then(|meta| known(&meta)))?
        {
            found.push((path, meta));
        }
    }
    Ok(())
}
