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
mod files;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use avicuna_models::encoder::{AudioEncoder, DeviceChoice, Devices, EncoderError, Runtime, VisionEncoder};
use avicuna_models::manifest::{Manifest, ManifestError, cache_dir, sha256_of};
use avicuna_models::sample::{AudioClip, Embedding, EncodeOnce, RgbFrame};

use self::decode::{Decoded, decode};
pub use self::files::{Description, EncoderDescription, Format};
use self::files::{Store, Table};
use crate::corpus::{Clip, Skipped};

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
    vision: Option<VisionEncoder>,
    audio: Option<AudioEncoder>,
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
        let hash = |path: &Path| {
            sha256_of(path).map_err(|source| FeaturesError::File { path: path.to_owned(), source })
        };
        let step = |tokens: usize| manifest.window.seconds / tokens as f64;
        let mut description = Description { model: manifest.id(), ..Description::default() };
        let mut vision = None;
        if let Some(spec) = &manifest.vision {
            let path = manifest.locate("vision", &spec.file, &cache)?;
            vision = Some(VisionEncoder::load(spec, &path, &runtime)?);
            let step_seconds = step(manifest.window.visual_tokens);
            description.vision =
                Some(EncoderDescription { sha256: hash(&path)?, dim: spec.dim, step_seconds });
        }
        let mut audio = None;
        if let Some(spec) = &manifest.audio {
            let path = manifest.locate("audio", &spec.file, &cache)?;
            audio = Some(AudioEncoder::load(spec, &path, &runtime)?);
            let step_seconds = step(manifest.window.audio_tokens);
            description.audio =
                Some(EncoderDescription { sha256: hash(&path)?, dim: spec.dim, step_seconds });
        }
        Ok(Self { manifest, vision, audio, description })
    }

    fn frames(&self, frames: &[&RgbFrame]) -> Vec<Result<Embedding, EncoderError>> {
        self.vision.as_ref().map(|encoder| encoder.encode(frames)).unwrap_or_default()
    }

    fn clips(&self, clips: &[&AudioClip]) -> Vec<Result<Embedding, EncoderError>> {
        self.audio.as_ref().map(|encoder| encoder.encode(clips)).unwrap_or_default()
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
        let mut open: BTreeMap<usize, Rows> = BTreeMap::new();
        for (number, decoded) in decoded {
            match decoded {
                Decoded::Window(window) => open.entry(number).or_default().add(encoders, window)?,
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
struct Rows {
    visual: BTreeMap<usize, Embedding>,
    audio: BTreeMap<usize, Embedding>,
    bad: Option<String>,
}

impl Rows {
    /// Encodes a window's samples.
    fn add(&mut self, encoders: &Encoders, window: decode::Window) -> Result<(), FeaturesError> {
        fill(&mut self.visual, &mut self.bad, window.visual, |frames| encoders.frames(frames))?;
        fill(&mut self.audio, &mut self.bad, window.audio, |clips| encoders.clips(clips))
    }

    /// Why the file is of no use.
    fn trouble(&self) -> Option<String> {
        let empty = self.visual.is_empty() && self.audio.is_empty();
        self.bad.clone().or_else(|| empty.then(|| "it has neither pictures nor sound".to_owned()))
    }

    fn tables(&self, encoders: &Encoders) -> [Option<Table>; 2] {
        let Description { vision, audio, .. } = &encoders.description;
        [(&self.visual, vision), (&self.audio, audio)].map(|(rows, encoder)| {
            let (last, encoder) = (rows.keys().next_back()?, encoder.as_ref()?);
            let mut data = vec![0.0; (last + 1) * encoder.dim];
            for (row, embedding) in rows {
                data[row * encoder.dim..][..encoder.dim].copy_from_slice(embedding);
            }
            Some(Table { rows: last + 1, dim: encoder.dim, data })
        })
    }
}

/// Encodes the samples of one modality. A sample the encoder refuses spoils its file; a broken encoder ends the run.
fn fill<I>(
    rows: &mut BTreeMap<usize, Embedding>,
    bad: &mut Option<String>,
    samples: Vec<(usize, std::sync::Arc<EncodeOnce<I>>)>,
    encode: impl Fn(&[&I]) -> Vec<Result<Embedding, EncoderError>>,
) -> Result<(), FeaturesError> {
    let taken: Vec<(usize, I)> =
        samples.into_iter().filter_map(|(row, sample)| Some((row, sample.take_input()?))).collect();
    let inputs: Vec<&I> = taken.iter().map(|(_, input)| input).collect();
    for ((row, _), embedding) in taken.iter().zip(encode(&inputs)) {
        match embedding {
            Ok(embedding) => drop(rows.insert(*row, embedding)),
            Err(error @ EncoderError::Input { .. }) => *bad = Some(error.to_string()),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
