//! Where evidence is kept: a folder, or an S3-compatible store. `STREAM/EVENT/NAME`, with whatever a path does not take percent-encoded.

mod folder;
mod s3;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use self::folder::Folder;
use self::s3::S3;
use super::index::Key;
use crate::config::ClipsConfig;
use crate::percent;
use crate::timeline::UtcTime;

/// A part of an event's evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece {
    /// The clip.
    Clip,
    /// The picture.
    Snapshot,
    /// The spectrogram.
    Spectrogram,
}

impl Piece {
    /// Its name in the paths of the interface.
    pub fn file(self) -> &'static str {
        match self {
            Self::Clip => "clip.mp4",
            Self::Snapshot => "snapshot.jpg",
            Self::Spectrogram => "spectrogram.png",
        }
    }
}

/// Why a store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A folder cannot be made or used.
    #[error("{}: {source}", path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Nothing says who calls the store.
    #[error(
        "nobody knows who calls it: set clips.s3.access_key_id and clips.s3.secret_access_key, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    )]
    NoKey,
    /// A server refuses, or does not answer.
    #[error("{0}")]
    Server(String),
    /// Its thread ended.
    #[error("it is being closed")]
    Closed,
}

/// Makes a folder where there is none. What it lies in is not made: that may be a disk which is not mounted.
pub(super) fn make(folder: &Path) -> Result<(), StoreError> {
    match std::fs::create_dir(folder) {
        Err(source) if !folder.is_dir() => Err(StoreError::Folder { path: folder.to_owned(), source }),
        _ => Ok(()),
    }
}

/// What is known of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Meta {
    pub size: u64,
    pub modified: UtcTime,
}

/// A file of the list of everything.
pub(super) type Listed = (Key, UtcTime, u64);

/// A store. Clones share it. Everything blocks, and runs on threads that may.
#[derive(Debug, Clone)]
pub(super) struct Store(Arc<Place>);

#[derive(Debug)]
enum Place {
    Folder(Folder),
    S3(S3),
}

impl Store {
    /// Opens it; a folder is made. Nothing is asked of a server yet.
    pub fn open(config: &ClipsConfig) -> Result<Self, StoreError> {
        let place = match config.bucket() {
            Some((bucket, prefix)) => Place::S3(S3::new(bucket, prefix, &config.s3)?),
            None => Place::Folder(Folder::open(config.store.as_deref().unwrap_or_default().into())?),
        };
        Ok(Self(Arc::new(place)))
    }

    /// Keeps a file.
    pub async fn put(&self, key: &Key, name: &str, bytes: Vec<u8>) -> Result<(), StoreError> {
        let path = path(key, name);
        self.run(move |place| match place {
            Place::Folder(folder) => folder.put(&path, &bytes),
            Place::S3(s3) => s3.put(&path, &bytes),
        })
        .await
    }

    /// What is known of a file; `None` where there is none.
    pub async fn head(&self, key: &Key, name: &str) -> Result<Option<Meta>, StoreError> {
        let path = path(key, name);
        self.run(move |place| match place {
            Place::Folder(folder) => folder.head(&path),
            Place::S3(s3) => s3.head(&path),
        })
        .await
    }

    /// Some bytes of a file, all of them where `range` is none; `None` where there is none.
    pub async fn get(
        &self,
        key: &Key,
        name: &str,
        range: Option<Range<u64>>,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let path = path(key, name);
        self.run(move |place| match place {
            Place::Folder(folder) => folder.get(&path, range),
            Place::S3(s3) => s3.get(&path, range),
        })
        .await
    }

    /// Deletes all that is kept of an event.
    pub async fn delete(&self, key: &Key) -> Result<(), StoreError> {
        let path = format!("{}/{}", encoded(&key.0), encoded(&key.1));
        self.run(move |place| match place {
            Place::Folder(folder) => folder.delete(&path),
            Place::S3(s3) => s3.delete(&path),
        })
        .await
    }

    /// Everything that is kept.
    pub async fn list(&self) -> Result<Vec<Listed>, StoreError> {
        let files = self.run(|place| match place {
            Place::Folder(folder) => folder.list(),
            Place::S3(s3) => s3.list(),
        });
        let key = |(path, meta): (String, Meta)| Some((key(&path)?, meta.modified, meta.size));
        Ok(files.await?.into_iter().filter_map(key).collect())
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Place) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let place = self.0.clone();
        tokio::task::spawn_blocking(move || work(&place)).await.map_err(|_| StoreError::Closed)?
    }
}

fn path(key: &Key, name: &str) -> String {
    format!("{}/{}/{name}", encoded(&key.0), encoded(&key.1))
}

/// An id as a part of a path that leads nowhere else.
pub(super) fn encoded(id: &str) -> String {
    let plain = percent::component(id);
    if plain.chars().all(|c| c == '.') { plain.replace('.', "%2E") } else { plain }
}

/// Whose file it is; `None` for what is none of ours.
fn key(path: &str) -> Option<Key> {
    let mut parts = path.split('/');
    let (stream, event, _name) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() { None } else { Some((percent::decoded(stream)?, percent::decoded(event)?)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("clips");
        let config =
            ClipsConfig { store: Some(path.to_str().expect("UTF-8").to_owned()), ..ClipsConfig::default() };
        (folder, Store::open(&config).expect("it opens"))
    }

    #[tokio::test]
    async fn what_is_kept_is_found_listed_and_deleted_whatever_the_stream_is_called() {
        let (folder, store) = folder();
        let keys: Vec<Key> = ["yard", "a\"b'<é>", "..", "100%41"]
            .iter()
            .map(|stream| ((*stream).to_owned(), "e1".to_owned()))
            .collect();
        for key in &keys {
            store.put(key, "clip.mp4", (0..10).collect()).await.expect("kept");
            let part = store.get(key, "clip.mp4", Some(2..5)).await.expect("read");
            assert_eq!(part, Some(vec![2, 3, 4]));
            let meta = store.head(key, "clip.mp4").await.expect("looked").expect("there");
            assert!(meta.size == 10 && UtcTime::now().seconds_since(meta.modified).abs() < 60.0);
        }
        let mut listed: Vec<Key> =
            store.list().await.expect("listed").into_iter().map(|(key, ..)| key).collect();
        let mut sorted = keys.clone();
        listed.sort();
        sorted.sort();
        assert_eq!(listed, sorted);
        assert!(!folder.path().join("e1").exists(), "no id leads out of the folder");
        for key in &keys {
            store.delete(key).await.expect("deleted");
            store.delete(key).await.expect("what is gone is gone");
            assert_eq!(store.head(key, "clip.mp4").await.expect("looked"), None);
            assert_eq!(store.get(key, "clip.mp4", None).await.expect("read"), None);
        }
        assert_eq!(std::fs::read_dir(folder.path().join("clips")).expect("it is there").count(), 0);
    }

    #[tokio::test]
    async fn a_folder_that_is_gone_is_not_made_again() {
        let (folder, store) = folder();
        std::fs::remove_dir(folder.path().join("clips")).expect("it is empty");
        let key = ("yard".to_owned(), "e1".to_owned());
        let error = store.put(&key, "clip.mp4", vec![7]).await.expect_err("it is gone").to_string();
        assert!(error.contains("the folder is gone"), "{error}");
        assert!(!folder.path().join("clips").exists());
    }
}
