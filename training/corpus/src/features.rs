//! Encoder features of clips and videos, made as the daemon makes them.
//!
//! A file is read through the daemon's own source, sampled on the model's grids, cut into the model's slots and encoded by the
//! model's encoders. Row `i` belongs to the slot that begins `i` times the step after the file's beginning; a row is zero where the
//! file has nothing. A modality that a file does not have has no file.
//!
//! ```text
//! OUT/features.json       which model and encoders, the steps, what was skipped and why
//! OUT/visual/ID.npy       [n, dim] f32, one row for each visual slot
//! OUT/audio/ID.npy        [m, dim] f32, one row for each audio slot
//! OUT/ID.safetensors      "visual" and "audio", in place of both
//! ```
//!
//! A run that was killed goes on where it was: a file has its name when it is whole.

mod decode;
pub(crate) mod files;
mod npy;
mod read;
mod rows;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use avicuna_models::encoder::{
    self, Cells, DeviceChoice, Devices, EncoderError, EncodersError, Runtime, Trouble,
};
use avicuna_models::manifest::{FileRef, Located, Manifest, ManifestError, OutputSpec, cache_dir, sha256_of};
use avicuna_models::sample::Embedding;
use avicuna_models::vocabulary::{Vocabulary, VocabularyError};

use self::decode::{Decoded, decode};
use self::files::Store;
pub use self::files::{Description, EncoderDescription, Format};
pub use self::npy::RowsFile;
pub use self::read::{RowsError, called};
pub use self::rows::Rows;
use crate::{Clip, Skipped};

/// A file to make features of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Media {
    /// Names its features.
    pub id: String,
    /// The file.
    pub path: PathBuf,
}

impl From<&Clip> for Media {
    fn from(clip: &Clip) -> Self {
        Self { id: clip.id.clone(), path: clip.media.clone() }
    }
}

/// How features are made.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// What files are written.
    pub format: Format,
    /// Files that are decoded at a time; 0: one for each core, two at most.
    pub decoders: usize,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Files that are finished, kept or skipped.
    pub done: usize,
    /// All files.
    pub of: usize,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// Files that got their features now.
    pub made: usize,
    /// Files that had them.
    pub kept: usize,
    /// Files that cannot be used, and why.
    pub skipped: Vec<Skipped>,
}

/// Why features cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum FeaturesError {
    /// The model directory.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// An encoder.
    #[error(transparent)]
    Encoder(#[from] EncoderError),
    /// What the encoders' classes are called.
    #[error(transparent)]
    Vocabulary(#[from] VocabularyError),
    /// The folder has features of something else.
    #[error("{folder} has features of {found}, not of {wanted}; choose another folder, or remove this one", folder = folder.display())]
    Other {
        /// Where.
        folder: PathBuf,
        /// What was found.
        found: String,
        /// What would be made.
        wanted: String,
    },
    /// A file cannot be read or written.
    #[error("{path} cannot be used ({source}); check free space and permissions", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A feature file cannot be written.
    #[error("{path} cannot be written: {reason}", path = path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Two files would share their features.
    #[error("two files are called \"{id}\"; ids must differ")]
    SameId {
        /// The id.
        id: String,
    },
}

/// The encoders of a model, and how its files are sampled.
pub struct Encoders {
    manifest: Manifest,
    encoders: encoder::Encoders,
    description: Description,
}

impl Encoders {
    /// Loads the encoders of the model in `dir`; its language model is not needed. `cache` is where fetched files lie; `None`: the
    /// usual place.
    ///
    /// # Errors
    /// Names the part, the file and what to do.
    pub fn load(dir: &Path, device: DeviceChoice, cache: Option<&Path>) -> Result<Self, FeaturesError> {
        let manifest = Manifest::load(dir)?;
        let cache = cache.map_or_else(cache_dir, |cache| Ok(cache.to_owned()))?;
        let runtime = Runtime::open(&cache, Devices::open(device)?.encoders, None)?;
        let located =
            manifest.locate_all(&cache, |part| matches!(part, "vision" | "audio" | "vocabulary"))?;
        let encoders = encoder::Encoders::load(&manifest, &located, &runtime)?;
        let vocabulary = encoders.vocabulary().map(|vocabulary| vocabulary.as_ref());
        let step = |tokens: usize| manifest.window.seconds / tokens as f64;
        let window = manifest.window;
        let mut description = Description { model: manifest.id(), ..Description::default() };
        if let Some(spec) = &manifest.vision {
            let files: Vec<_> = spec.parts.iter().map(|part| (&part.file, &part.output)).collect();
            let sha256 = checksum(&files, vocabulary, &located)?;
            let step_seconds = step(window.visual_tokens);
            description.vision = Some(EncoderDescription { sha256, dim: spec.dim, step_seconds });
        }
        if let Some(spec) = &manifest.audio {
            let files: Vec<_> = spec.parts.iter().map(|part| (&part.file, &part.output)).collect();
            let sha256 = checksum(&files, vocabulary, &located)?;
            let step_seconds = step(window.audio_tokens);
            description.audio = Some(EncoderDescription { sha256, dim: spec.dim, step_seconds });
        }
        Ok(Self { manifest, encoders, description })
    }
}

/// Of all that decides what an encoder's numbers mean: its files, and the vocabulary where they are evidence for its phrases.
fn checksum(
    files: &[(&FileRef, &OutputSpec)],
    vocabulary: Option<&Vocabulary>,
    located: &Located,
) -> Result<String, FeaturesError> {
    let mut sums = Vec::new();
    for (file, _) in files {
        let path = located.path(file);
        sums.push(sha256_of(path).map_err(|source| FeaturesError::File { path: path.to_owned(), source })?);
    }
    let words = files.iter().any(|(_, output)| output.classes.is_some());
    sums.extend(vocabulary.filter(|_| words).map(Vocabulary::fingerprint));
    Ok(sums.join("+"))
}

impl From<EncodersError> for FeaturesError {
    fn from(error: EncodersError) -> Self {
        match error {
            EncodersError::Encoder(error) => error.into(),
            EncodersError::Vocabulary(error) => error.into(),
        }
    }
}

/// Makes the features of `media` in `out`. Files that have theirs are not read again; files that cannot be decoded are skipped,
/// and said in the report and in `features.json`.
///
/// # Errors
/// When `out` has features of another model, or cannot be written.
pub fn extract(
    encoders: &Encoders,
    media: &[Media],
    out: &Path,
    options: &Options,
    progress: &dyn Fn(Progress),
) -> Result<Report, FeaturesError> {
    unique(media)?;
    let store = Store::open(out, &encoders.description, options.format)?;
    let todo: Vec<&Media> = media.iter().filter(|media| !store.has(&media.id)).collect();
    let mut report = Report { kept: media.len() - todo.len(), ..Report::default() };
    let of = media.len();
    progress(Progress { done: report.kept, of });
    let (next, decoders) = (AtomicUsize::new(0), decoders(options).min(todo.len()));
    // A window at a time waits for the encoders: memory does not grow with the files.
    let (sender, decoded) = mpsc::sync_channel::<(usize, Decoded)>(decoders);
    std::thread::scope(|scope| {
        for _ in 0..decoders {
            let (sender, todo, next) = (sender.clone(), &todo, &next);
            scope.spawn(move || {
                while let Some((number, media)) = take(next, todo) {
                    // Without a receiver the encoders failed, and that is what is told.
                    let give = |decoded| sender.send((number, decoded)).is_ok();
                    decode(media, &encoders.manifest, give);
                }
            });
        }
        drop(sender);
        let mut open: BTreeMap<usize, Gathered> = BTreeMap::new();
        for (number, decoded) in decoded {
            match decoded {
                Decoded::Window(window) => open.entry(number).or_default().add(encoders, &window)?,
                Decoded::End(trouble) => {
                    let (media, rows) = (todo[number], open.remove(&number).unwrap_or_default());
                    match trouble.or_else(|| rows.trouble()) {
                        Some(reason) => report.skipped.push(Skipped { id: media.id.clone(), reason }),
                        None => {
                            store.write(&media.id, &rows.tables(encoders))?;
                            report.made += 1;
                        }
                    }
                    let done = report.kept + report.made + report.skipped.len();
                    progress(Progress { done, of });
                }
            }
        }
        Ok::<_, FeaturesError>(())
    })?;
    report.skipped.sort_by(|one, other| one.id.cmp(&other.id));
    store.close(&encoders.description, &report.skipped)?;
    Ok(report)
}

fn unique(media: &[Media]) -> Result<(), FeaturesError> {
    let mut ids: Vec<&str> = media.iter().map(|media| media.id.as_str()).collect();
    ids.sort_unstable();
    match ids.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(FeaturesError::SameId { id: pair[0].to_owned() }),
        None => Ok(()),
    }
}

fn decoders(options: &Options) -> usize {
    match options.decoders {
        0 => std::thread::available_parallelism().map_or(1, |cores| cores.get().min(2)),
        decoders => decoders,
    }
}

/// The next file nobody works on.
fn take<'a>(next: &AtomicUsize, todo: &[&'a Media]) -> Option<(usize, &'a Media)> {
    let number = next.fetch_add(1, Ordering::Relaxed);
    todo.get(number).map(|media| (number, *media))
}

/// Embeddings of one file by their row.
#[derive(Default)]
struct Gathered {
    visual: BTreeMap<usize, Embedding>,
    audio: BTreeMap<usize, Embedding>,
    bad: Option<String>,
}

impl Gathered {
    /// Encodes a window's samples. A sample the encoder refuses spoils its file; a broken encoder ends the run.
    fn add(&mut self, encoders: &Encoders, window: &decode::Window) -> Result<(), FeaturesError> {
        let decode::Window { visual: (first_frame, visual), audio: (first_clip, audio) } = window;
        let cells = Cells { visual, audio };
        let trouble = encoders.encoders.encode(&[cells]).troubles.pop().flatten();
        match trouble {
            None => {}
            Some(Trouble { error: error @ EncoderError::Input { .. }, .. }) => {
                self.bad = Some(error.to_string());
                return Ok(());
            }
            Some(Trouble { error, .. }) => return Err(error.into()),
        }
        let rows = encoders.encoders.rows(cells).unwrap_or_default();
        let there = |(row, embedding): (usize, Option<Embedding>)| Some((row, embedding?));
        self.visual.extend((*first_frame..).zip(rows.visual).filter_map(there));
        self.audio.extend((*first_clip..).zip(rows.audio).filter_map(there));
        Ok(())
    }

    /// Why the file is of no use.
    fn trouble(&self) -> Option<String> {
        let empty = self.visual.is_empty() && self.audio.is_empty();
        self.bad.clone().or_else(|| empty.then(|| "it has neither pictures nor sound".to_owned()))
    }

    fn tables(&self, encoders: &Encoders) -> [Option<Rows>; 2] {
        let Description { vision, audio, .. } = &encoders.description;
        [(&self.visual, vision), (&self.audio, audio)].map(|(rows, encoder)| {
            let (last, encoder) = (rows.keys().next_back()?, encoder.as_ref()?);
            let mut values = vec![0.0; (last + 1) * encoder.dim];
            for (row, embedding) in rows {
                values[row * encoder.dim..][..encoder.dim].copy_from_slice(embedding);
            }
            Some(Rows { values, dim: encoder.dim })
        })
    }
}
