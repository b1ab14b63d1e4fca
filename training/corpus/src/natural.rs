//! Scenes of minutes composed from natural clips: recordings of ESC-10 as events over a quiet room, before silent footage, and
//! footage with its own sound.
//!
//! ```text
//! recipe + media -> plan (events, shots, room) -> truth (time line, annotations, queries)
//!                                              -> film  (sound and pictures, MP4)
//! ```
//!
//! An event's true span is where its clip sounds (`sounding.rs`), a seen thing's where the recipe says so. All events of a scene
//! have the same level, the RMS of what is within 20 dB of their loudest 20 ms; that of the room is so many dB below it. [`build`] writes a corpus directory as
//! `avicuna eval` and `avicuna dataset features` read it.

mod film;
mod perform;
mod plan;
mod recipe;
mod room;
mod sounding;
mod truth;

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::json;

use self::plan::{Planner, Scene};
use self::recipe::Media;
pub use self::recipe::{Part, Recipe, Room, Sound, Source, Video};
use super::directory::Directory;
use super::{CorpusError, Split};
use crate::media::MediaError;
use crate::pu_valor::queries::Query;
use crate::pu_valor::{PuValorError, Timeline};
use avicuna_models::whole;

/// Pictures per second.
const FPS: u32 = 10;

/// What a folder's scenes were made of.
const MADE: &str = "made.json";

/// Which scenes are made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Options {
    /// Everything is drawn from it.
    pub seed: u64,
    /// Of which clips.
    pub split: Split,
    /// How many.
    pub videos: usize,
    /// Seconds of each, a whole number.
    pub seconds: u32,
    /// The power of an event over that of the background, in dB.
    pub snr: f64,
    /// Queries about what does not happen, for each scene.
    pub absent: usize,
}

impl Options {
    /// Five clean scenes of two minutes.
    pub fn new(seed: u64, split: Split) -> Self {
        Self { seed, split, videos: 5, seconds: 120, snr: 30.0, absent: 6 }
    }

    fn check(&self) -> Result<(), NaturalError> {
        let wrong = |setting, reason: &str| Err(NaturalError::Setting { setting, reason: reason.to_owned() });
        if self.videos == 0 {
            return wrong("videos", "is 0; make at least one");
        }
        if !(20..=86_400).contains(&self.seconds) {
            return wrong("seconds", "must be 20 to 86400");
        }
        if !(-60.0..=90.0).contains(&self.snr) {
            return wrong("snr", "must be -60 to 90 dB");
        }
        Ok(())
    }
}

/// Why scenes cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum NaturalError {
    /// A setting makes no sense.
    #[error("`{setting}` {reason}")]
    Setting {
        /// Its name.
        setting: &'static str,
        /// What would be right.
        reason: String,
    },
    /// A recipe cannot be used.
    #[error("{path} is no recipe of natural media: {reason}", path = path.display())]
    Recipe {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The recipe has nothing for this split.
    #[error("the recipe has no sounds, or no quiet stretch, of the split {split}; use train or validation")]
    Empty {
        /// Which.
        split: Split,
    },
    /// A file is not there.
    #[error("{path} is missing; it comes from {address}", path = path.display())]
    Missing {
        /// Which.
        path: PathBuf,
        /// Where it comes from.
        address: String,
    },
    /// A file is another than the recipe's.
    #[error("{path} has the sha256 {found}, not {wanted}; fetch it from {address}", path = path.display())]
    Other {
        /// Which.
        path: PathBuf,
        /// Its sha256.
        found: String,
        /// That of the recipe.
        wanted: String,
        /// Where the right one is.
        address: String,
    },
    /// A file has no sound.
    #[error("{path} has no sound", path = path.display())]
    Silent {
        /// Which.
        path: PathBuf,
    },
    /// A list cannot be read or written.
    #[error(transparent)]
    Corpus(#[from] CorpusError),
    /// A list cannot be made.
    #[error(transparent)]
    PuValor(#[from] PuValorError),
    /// A media file cannot be read or written.
    #[error(transparent)]
    Media(#[from] MediaError),
}

/// Makes the scenes of `options` in `out`, from the media in `folder`; videos that are there already are kept. `progress` is told how
/// many are there, and of how many, from several threads.
///
/// # Errors
/// When a media file is missing or not the recipe's, `out` has scenes of other settings, or a file cannot be written.
pub fn build(
    folder: &Path,
    recipe: Recipe,
    options: &Options,
    out: &Path,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<Vec<Timeline>, NaturalError> {
    options.check()?;
    let media = Media::open(folder, recipe, options.split)?;
    let mut planner = Planner::new(&media, options.seed, options.split)?;
    let videos = out.join("videos");
    fs::create_dir_all(&videos).map_err(CorpusError::write(&videos))?;
    check_made(out, options, media.recipe())?;
    let id = |number: usize| format!("natural-{}-{}-{number:02}", options.split, options.seed);
    let scenes = (0..options.videos).map(|number| planner.scene(id(number), options.seconds.into()));
    let scenes = scenes.collect::<Result<Vec<Scene>, _>>()?;
    let recipe = media.recipe();
    let timelines: Vec<Timeline> = scenes.iter().map(|scene| truth::timeline(scene, recipe)).collect();
    lists(out, &scenes, &timelines, recipe, options)?;
    let done = AtomicUsize::new(0);
    progress(0, scenes.len());
    scenes.par_iter().try_for_each(|scene| {
        let file = videos.join(format!("{}.mp4", scene.id));
        if !file.is_file() {
            film::write(scene, &media, options, &file)?;
        }
        progress(done.fetch_add(1, Ordering::Relaxed) + 1, scenes.len());
        Ok::<_, NaturalError>(())
    })?;
    Ok(timelines)
}

/// Scenes of other settings have the same names: they must not be taken for these.
fn check_made(out: &Path, options: &Options, recipe: &Recipe) -> Result<(), NaturalError> {
    let path = out.join(MADE);
    let made = json!({ "format": 1, "options": options, "recipe": fingerprint(recipe) });
    let text = format!("{made:#}\n");
    if path.is_file() {
        let found = fs::read_to_string(&path).map_err(CorpusError::read(&path))?;
        if found != text {
            let found = format!("scenes of other settings (see {MADE})");
            return Err(CorpusError::Other { dir: out.to_owned(), found }.into());
        }
        return Ok(());
    }
    save(&path, text.as_bytes())
}

fn fingerprint(recipe: &Recipe) -> String {
    use sha2::{Digest, Sha256};
    hex::encode(Sha256::digest(format!("{recipe:?}")))
}

fn save(path: &Path, bytes: &[u8]) -> Result<(), NaturalError> {
    Ok(whole::write(path, bytes).map_err(CorpusError::write(path))?)
}

/// Writes everything but the videos.
fn lists(
    out: &Path,
    scenes: &[Scene],
    timelines: &[Timeline],
    recipe: &Recipe,
    options: &Options,
) -> Result<(), NaturalError> {
    let mut queries: Vec<Query> = Vec::new();
    for (scene, timeline) in scenes.iter().zip(timelines) {
        queries.extend(truth::ask(scene, timeline, recipe, options.absent, options.seed)?);
    }
    let videos = out.join("videos");
    let media: Vec<PathBuf> = scenes.iter().map(|scene| videos.join(format!("{}.mp4", scene.id))).collect();
    let directory = Directory {
        preset: "natural",
        seed: options.seed,
        split: options.split,
        settings: json!(options),
        labels: recipe.labels().into_keys().collect(),
        timelines,
        media: &media,
        queries: &queries,
    };
    Ok(directory.write(out, |statistics| card(recipe, options, timelines, &statistics.to_string()))?)
}

/// `CARD.md`: what the scenes are, and whose clips are in them.
fn card(recipe: &Recipe, options: &Options, timelines: &[Timeline], statistics: &str) -> String {
    let mut text = format!(
        "# Natural scenes, {}\n\n\
         {} scenes of {} s, seed {}: natural recordings over a quiet room ({} dB below them), before silent footage, still \
         pictures or black, and footage with its own sound. An event is where its recording sounds; nothing was marked by ear. What \
         is seen was read off the footage.\n\n## Sources\n\n",
        options.split, options.videos, options.seconds, options.seed, options.snr
    );
    let used: BTreeSet<&str> = timelines
        .iter()
        .flat_map(|timeline| &timeline.segments)
        .map(|segment| segment.clip.as_str())
        .collect();
    for source in &recipe.sources {
        let Source { title, address, licence, .. } = source;
        // Writing to a string does not fail.
        let _written = writeln!(text, "- {title}. {licence}. <{address}>");
    }
    let used: Vec<&str> = used.into_iter().collect();
    let _written = writeln!(text, "\nClips: {}.\n\n## What it holds\n\n{statistics}", used.join(", "));
    text
}
