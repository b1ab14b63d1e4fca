//! Has clips cut and keeps them: from an event's wish to the store. Nothing waits for it.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, Semaphore, mpsc, oneshot, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::PATIENCE;
use super::fate::{Absent, Fates};
use super::follow::Wanted;
use super::found::Found;
use super::index::{Index, Key};
use super::store::{Piece, Store, StoreError, encoded, make};
use crate::config::ClipsConfig;
use crate::control::Control;
use crate::outbox::Trouble;
use crate::source::cut::{CLIP, Container, Cut, CutOrder, Made, SNAPSHOT, SPECTROGRAM};
use crate::stream::StreamId;
use crate::timeline::UtcTime;

/// Clips that may be under way at once, waiting for their end included.
const UNDER_WAY: usize = 256;
/// Files that go to the store at once.
const UPLOADS: usize = 4;
/// How often the age of what is kept is looked at.
const TIDY: Duration = Duration::from_secs(60);
/// How often it is looked whether the last clips are done.
const LOOK: Duration = Duration::from_millis(100);
/// What says of a clip what it is.
pub(super) const ABOUT: &str = "about.json";

/// The evidence of events. Clones share it.
#[derive(Debug, Clone)]
pub struct Clips {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    config: ClipsConfig,
    store: Store,
    work: PathBuf,
    control: Arc<Control>,
    under_way: AtomicUsize,
    uploads: Semaphore,
    state: Mutex<State>,
    /// More was kept.
    kept: Notify,
    trouble: watch::Sender<Option<Trouble>>,
}

#[derive(Debug, Default)]
struct State {
    index: Index,
    fates: Fates,
    /// The store was listed: what it holds is known.
    is_listed: bool,
}

/// What a clip's file is, and what became of the rest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct About {
    stream_id: String,
    event_id: String,
    #[serde(flatten)]
    pub made: Made,
}

impl Clips {
    /// Opens the store; `None` where none is configured.
    ///
    /// # Errors
    /// When a folder cannot be used, or the store is none.
    pub fn open(
        config: &ClipsConfig,
        outbox: &Path,
        control: Arc<Control>,
    ) -> Result<Option<Self>, StoreError> {
        if config.store.is_none() {
            return Ok(None);
        }
        // Of its own, as what a killed daemon was making is deleted.
        let (store, place) = (Store::open(config)?, config.work(outbox));
        let work = place.join("cuts");
        let _none = std::fs::remove_dir_all(&work);
        make(&place)?;
        make(&work)?;
        let trouble = watch::Sender::new(None);
        control.status.clips(trouble.subscribe());
        let inner = Inner {
            config: config.clone(),
            store,
            work,
            control,
            under_way: AtomicUsize::new(0),
            uploads: Semaphore::new(UPLOADS),
            state: Mutex::default(),
            kept: Notify::new(),
            trouble,
        };
        Ok(Some(Self { inner: Arc::new(inner) }))
    }

    /// Where a stream's clips are made: in a folder of its own, for its source writes there.
    pub(crate) fn work(&self, stream: &StreamId) -> PathBuf {
        let work = self.inner.work_of(stream);
        if let Err(error) = std::fs::create_dir_all(&work) {
            tracing::warn!(%stream, %error, folder = %work.display(), "no clips can be made");
        }
        work
    }

    /// Deletes what is too old or too much, until `stop`.
    pub async fn tidy(&self, stop: CancellationToken) {
        let tidying = async {
            self.list().await;
            loop {
                self.delete_surplus().await;
                let _woken = timeout(TIDY, self.inner.kept.notified()).await;
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = tidying => {}
        }
    }

    /// An event of a stream goes on: its clip will be wanted.
    pub(crate) fn expect(&self, event: &str) {
        self.inner.lock().fates.set(event, Absent::NotYet);
    }

    /// Has a clip cut and keeps it. Comes back at once; what becomes of it is told to those who ask.
    pub(crate) fn order(&self, stream: &StreamId, wanted: Wanted, cuts: &mpsc::Sender<CutOrder>) {
        let under_way = self.inner.under_way.fetch_add(1, Ordering::Relaxed);
        if under_way >= UNDER_WAY {
            self.inner.under_way.fetch_sub(1, Ordering::Relaxed);
            return self.inner.drop_it(
                stream,
                &wanted.event,
                "busy",
                "too many clips are under way".to_owned(),
            );
        }
        self.inner.lock().fates.set(&wanted.event, Absent::NotYet);
        let (inner, stream, cuts) = (self.inner.clone(), stream.clone(), cuts.clone());
        tokio::spawn(async move {
            let folder = inner.work_of(&stream).join(format!("{}-{under_way}", wanted.event));
            let done = inner.make(&stream, &wanted, cuts, &folder).await;
            let _nothing = tokio::fs::remove_dir_all(&folder).await;
            inner.under_way.fetch_sub(1, Ordering::Relaxed);
            match done {
                Ok(()) => inner.control.metrics.clip(stream.as_str(), "kept"),
                Err((kind, reason)) => inner.drop_it(&stream, &wanted.event, kind, reason),
            }
        });
    }

    /// Waits until nothing is under way any more, for `patience` at most.
    pub(crate) async fn settle(&self, patience: Duration) {
        let settled = async {
            while self.inner.under_way.load(Ordering::Relaxed) > 0 {
                tokio::time::sleep(LOOK).await;
            }
        };
        if timeout(patience, settled).await.is_err() {
            tracing::warn!("clips that were under way when the daemon ended are lost");
        }
    }

    /// A piece of an event's evidence.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn find(&self, stream: &str, event: &str, piece: Piece) -> Result<Found, Absent> {
        let made = self.made(stream, event).await?;
        let (store, key) = (&self.inner.store, (stream.to_owned(), event.to_owned()));
        let remarks = || Absent::Dropped(made.remarks.join("; "));
        let (name, media_type) = match piece {
            Piece::Clip => {
                let clip = made.clip.as_ref().ok_or_else(remarks)?;
                (clip_name(clip.container), clip.container.media_type(clip.video.is_some()))
            }
            Piece::Snapshot => (SNAPSHOT.to_owned(), "image/jpeg"),
            Piece::Spectrogram => (SPECTROGRAM.to_owned(), "image/png"),
        };
        let meta = store.head(&key, &name).await.map_err(unanswered)?.ok_or_else(remarks)?;
        let (modified, tag) = (meta.modified, format!("{:x}-{:x}", meta.modified.0, meta.size));
        let file_name = format!("{event}-{name}");
        Ok(Found { store: store.clone(), key, name, media_type, file_name, size: meta.size, tag, modified })
    }

    /// What is kept of an event, in words and numbers.
    ///
    /// # Errors
    /// Why there is nothing.
    pub async fn made(&self, stream: &str, event: &str) -> Result<Made, Absent> {
        let key = (stream.to_owned(), event.to_owned());
        // What became of it is known without the store, too.
        let fate = |otherwise: Absent| self.inner.lock().fates.get(event).unwrap_or(otherwise);
        let kept = self.inner.store.get(&key, ABOUT, None).await.map_err(|error| fate(unanswered(error)))?;
        let about = kept.ok_or_else(|| fate(Absent::Unknown))?;
        let about: About =
            serde_json::from_slice(&about).map_err(|error| Absent::Store(error.to_string()))?;
        Ok(about.made)
    }

    async fn list(&self) {
        loop {
            match self.inner.store.list().await {
                Ok(found) => {
                    let mut state = self.inner.lock();
                    for (key, at, bytes) in found {
                        state.index.add(key, at, bytes);
                    }
                    state.is_listed = true;
                    drop(state);
                    return self.inner.count();
                }
                Err(error) => self.inner.troubled(Some(format!("it cannot be listed: {error}"))),
            }
            tokio::time::sleep(TIDY).await;
        }
    }

    async fn delete_surplus(&self) {
        let config = &self.inner.config;
        loop {
            let now = UtcTime::now();
            let Some(key) = self.inner.lock().index.surplus(now, config.max_age, config.max_bytes) else {
                return;
            };
            if let Err(error) = self.inner.store.delete(&key).await {
                return self.inner.troubled(Some(format!("nothing can be deleted: {error}")));
            }
            let mut state = self.inner.lock();
            let gone = state.index.remove(&key);
            let is_old = gone.is_some_and(|(at, _)| now.seconds_since(at) > config.max_age.as_secs_f64());
            let reason =
                if is_old { "it is older than clips.max_age" } else { "clips.max_bytes were reached" };
            state.fates.set(&key.1, Absent::Deleted(reason.to_owned()));
            drop(state);
            self.inner.count();
        }
    }
}

impl Inner {
    fn work_of(&self, stream: &StreamId) -> PathBuf {
        self.work.join(encoded(stream.as_str()))
    }

    async fn make(
        &self,
        stream: &StreamId,
        wanted: &Wanted,
        cuts: mpsc::Sender<CutOrder>,
        folder: &Path,
    ) -> Result<(), (&'static str, String)> {
        let local = |error: std::io::Error| ("work", format!("{}: {error}", folder.display()));
        tokio::fs::create_dir_all(folder).await.map_err(local)?;
        let folder = tokio::fs::canonicalize(folder).await.map_err(local)?;
        let Wanted { from, to, surest, .. } = *wanted;
        let (reply, answer) = oneshot::channel();
        let cut = Cut { from, to, surest, folder: folder.clone() };
        let gone = || ("cut", "its source is gone, and with it what it kept".to_owned());
        cuts.send((cut, reply)).await.map_err(|_| gone())?;
        // Who cuts the last clip of a source that is over must see that no more is wanted.
        drop(cuts);
        let answer = timeout(PATIENCE, answer).await.map_err(|_| ("cut", "it took too long".to_owned()))?;
        let made = answer.map_err(|_| gone())?.map_err(|reason| ("cut", reason))?;
        for remark in &made.remarks {
            tracing::debug!(%stream, event = wanted.event, remark, "a clip");
        }
        let key = (stream.to_string(), wanted.event.clone());
        let kept = self.keep(&key, made, &folder).await;
        if kept.is_err() {
            // Without a word on what it is, a part is of no use.
            let _unreachable = self.store.delete(&key).await;
        }
        match &kept {
            Ok(()) => self.troubled(None),
            Err((_, reason)) => self.troubled(Some(reason.clone())),
        }
        kept
    }

    /// Puts the files of a clip into the store, and last what says what they are.
    async fn keep(&self, key: &Key, made: Made, folder: &Path) -> Result<(), (&'static str, String)> {
        let _turn = self.uploads.acquire().await;
        let mut files = Vec::new();
        files.extend(made.clip.as_ref().map(|clip| (CLIP, clip_name(clip.container))));
        files.extend(made.snapshot.map(|_| (SNAPSHOT, SNAPSHOT.to_owned())));
        files.extend(made.spectrogram.then(|| (SPECTROGRAM, SPECTROGRAM.to_owned())));
        let mut bytes = 0;
        for (file, name) in files {
            let content = tokio::fs::read(folder.join(file)).await;
            let content = content.map_err(|error| ("work", error.to_string()))?;
            bytes += self.put(key, &name, content).await?;
        }
        let about = About { stream_id: key.0.clone(), event_id: key.1.clone(), made };
        let about = serde_json::to_vec(&about).map_err(|error| ("work", error.to_string()))?;
        bytes += self.put(key, ABOUT, about).await?;
        let mut state = self.lock();
        state.fates.clear(&key.1);
        // Until the store was listed it is in the list to come.
        if state.is_listed {
            // Cut again, by a repetition, it takes the place of what was there.
            state.index.remove(key);
            state.index.add(key.clone(), UtcTime::now(), bytes);
        }
        drop(state);
        self.count();
        self.kept.notify_one();
        Ok(())
    }

    async fn put(&self, key: &Key, name: &str, content: Vec<u8>) -> Result<u64, (&'static str, String)> {
        let bytes = content.len() as u64;
        self.store.put(key, name, content).await.map_err(|error| ("store", error.to_string()))?;
        Ok(bytes)
    }

    /// Evidence is lost.
    fn drop_it(&self, stream: &StreamId, event: &str, kind: &'static str, reason: String) {
        tracing::debug!(%stream, event, kind, reason, "a clip is dropped");
        self.control.metrics.clip(stream.as_str(), "dropped");
        self.lock().fates.set(event, Absent::Dropped(reason));
    }

    /// The store refuses, or works again: said once.
    fn troubled(&self, reason: Option<String>) {
        let before = self.trouble.borrow().clone();
        match (before, reason) {
            (None, Some(reason)) => {
                tracing::error!(
                    reason,
                    "the store of clips fails: clips are dropped until it works again; events are not touched"
                );
                self.trouble.send_replace(Some(Trouble { since: UtcTime::now(), reason }));
            }
            (Some(before), Some(reason)) if before.reason != reason => {
                self.trouble.send_replace(Some(Trouble { reason, ..before }));
            }
            (Some(_), None) => {
                tracing::info!("the store of clips works again");
                self.trouble.send_replace(None);
            }
            _ => {}
        }
    }

    fn count(&self) {
        let state = self.lock();
        self.control.metrics.clips_kept(state.index.len(), state.index.bytes());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unanswered(error: StoreError) -> Absent {
    Absent::Store(error.to_string())
}

pub(super) fn clip_name(container: Container) -> String {
    format!("{CLIP}.{}", container.extension())
}
