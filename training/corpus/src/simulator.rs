//! A simulator of what encoders say of the world: evidence for each phrase of a vocabulary, with time lines of what is true.
//!
//! A few hundred clips cannot teach a language model hundreds of things. What it reads, though, are the encoders' numbers for
//! them, and how those come and go can be measured on a few clips and drawn for all things: sure and unsure events, what they
//! are mistaken for, what they are a kind of, pauses, edges that a clip of two seconds blurs, noise, and footage in which nothing
//! happens. A corpus of such videos trains as any other does (`form = "windows"`), without media or clips.
//!
//! ```text
//! vocabulary -> settings (who is in a video) -> scene (what happens when) -> sight, sound (rows of evidence) -> truth (what is told)
//! ```
//!
//! ```text
//! DIR/timelines.jsonl            what is told: crate::pu_valor::Timeline
//! DIR/features/features.json     the steps and widths of the rows
//! DIR/features/visual/ID.npy     [n, phrases that can be seen] f16, from 0 to 1; a row each 0.5 s
//! DIR/features/audio/ID.npy      [n, phrases that can be heard] f16
//! DIR/simulated.json             what it was drawn from
//! ```
//!
//! The same seed, vocabulary and settings give the same bytes, however many threads there are. What is fitted on what is said in
//! docs/natural.md.

mod draw;
mod encode;
mod habits;
mod levels;
mod neighbours;
mod scene;
mod settings;
mod sight;
mod sound;
#[cfg(test)]
mod tests;
mod things;
mod truth;
mod world;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use avicuna_models::vocabulary::Vocabulary;
use rayon::prelude::*;
use serde::Serialize;

use self::draw::Draw;
use self::encode::Table;
pub use self::levels::{Encoder, Levels};
use self::scene::Scene;
use self::settings::Dealer;
use self::things::Things;
use self::world::World;
use crate::features::{Description, EncoderDescription, FeaturesError, Rows, files};
use crate::pu_valor::Timeline;
use avicuna_models::whole;

/// Seconds from one row to the next.
pub const STEP: f64 = 0.5;
/// The shortest video, in seconds.
pub const SHORTEST: u32 = 10;
/// The longest.
pub const LONGEST: u32 = 3600;

/// What is drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Everything is drawn from it.
    pub seed: u64,
    /// How many videos.
    pub videos: usize,
    /// Seconds of each, from [`SHORTEST`] to [`LONGEST`].
    pub seconds: u32,
    /// How sure the encoders are.
    pub levels: Levels,
}

/// What was drawn.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// Videos.
    pub videos: usize,
    /// Of them, those of which nothing is told.
    pub empty: usize,
    /// What is told of all.
    pub segments: usize,
    /// Of the vocabulary's phrases, how many are told at least once.
    pub phrases: usize,
}

/// Why a corpus cannot be simulated.
#[derive(Debug, thiserror::Error)]
pub enum SimulatorError {
    /// A setting makes no sense.
    #[error("`{setting}` {reason}")]
    Setting {
        /// Its name.
        setting: &'static str,
        /// What is wrong, and what would be right.
        reason: String,
    },
    /// The vocabulary has no class of any encoder.
    #[error("the vocabulary has no phrase with classes that could be seen or heard")]
    NoClasses,
    /// The features cannot be written.
    #[error(transparent)]
    Features(#[from] FeaturesError),
    /// A file or folder cannot be written.
    #[error("{path} cannot be written ({source}); check free space and permissions", path = path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// `simulated.json`.
#[derive(Debug, Serialize)]
struct Note<'a> {
    seed: u64,
    videos: usize,
    seconds: u32,
    seen: usize,
    heard: usize,
    version: &'a str,
}

/// One video as it is written.
#[derive(Debug, Clone, PartialEq)]
struct Video {
    timeline: Timeline,
    seen: Table,
    heard: Table,
}

/// Writes a corpus of simulated videos into `out`; what is there of the same names is replaced. `progress` is told how many are
/// done.
///
/// # Errors
/// When a setting makes no sense, when the folder has features of another vocabulary, and when files cannot be written.
pub fn simulate(
    vocabulary: &Vocabulary,
    settings: &Settings,
    out: &Path,
    progress: &(dyn Fn(usize) + Sync),
) -> Result<Report, SimulatorError> {
    check(vocabulary, settings)?;
    let things = Things::new(vocabulary);
    let world = World::new(vocabulary, &things, &settings.levels, settings.seed);
    let store =
        files::Store::open(&out.join("features"), &description(&things), files::Format::Npy)?.in_halves();
    let casts = casts(&things, settings);
    let done = AtomicUsize::new(0);
    let made = casts.par_iter().enumerate().map(|(index, cast)| {
        let Video { timeline, seen, heard } = video(index, cast, &world, settings);
        let rows = |Table { dim, values, .. }: Table| (dim > 0).then_some(Rows { values, dim });
        store.write(&timeline.id, &[rows(seen), rows(heard)])?;
        progress(1 + done.fetch_add(1, Ordering::Relaxed));
        Ok(timeline)
    });
    let timelines = made.collect::<Result<Vec<Timeline>, SimulatorError>>()?;
    write(out, Timeline::FILE, &lines(&timelines))?;
    let note = Note {
        seed: settings.seed,
        videos: settings.videos,
        seconds: settings.seconds,
        seen: things.seen.things.len(),
        heard: things.heard.things.len(),
        version: env!("CARGO_PKG_VERSION"),
    };
    write(out, "simulated.json", &json(&note))?;
    Ok(report(&timelines))
}

fn check(vocabulary: &Vocabulary, settings: &Settings) -> Result<(), SimulatorError> {
    let wrong = |setting, reason| Err(SimulatorError::Setting { setting, reason });
    if settings.videos == 0 {
        return wrong("videos", "is 0; ask for one at least".to_owned());
    }
    if !(SHORTEST..=LONGEST).contains(&settings.seconds) {
        let reason = format!("is {}; use {SHORTEST} to {LONGEST}", settings.seconds);
        return wrong("seconds", reason);
    }
    if vocabulary.seen().is_empty() && vocabulary.heard().is_empty() {
        return Err(SimulatorError::NoClasses);
    }
    Ok(())
}

/// Who is in each video. One after the other: what is dealt depends on what was dealt before.
fn casts(things: &Things, settings: &Settings) -> Vec<Vec<usize>> {
    let mut dealer = Dealer::new(things);
    let cast = |index: usize| {
        let mut draw = Draw::new(settings.seed, &format!("cast/{index}"));
        let size = scene::size(&mut draw);
        dealer.deal(size, &mut draw)
    };
    (0..settings.videos).map(cast).collect()
}

fn video(index: usize, cast: &[usize], world: &World<'_>, settings: &Settings) -> Video {
    let id = format!("simulated-{}-{index:06}", settings.seed);
    let draw = |what: &str| Draw::new(settings.seed, &format!("{what}/{index}"));
    let scene = Scene::new(cast, world.things, f64::from(settings.seconds), &mut draw("scene"));
    let mut seen = sight::see(&scene, world, &mut draw("sight"));
    let mut heard = sound::hear(&scene, world, &mut draw("sound"));
    seen.spike(&mut draw("seen spikes"));
    heard.spike(&mut draw("heard spikes"));
    let timeline = truth::timeline(&id, &scene, world, &seen, &heard);
    Video { timeline, seen, heard }
}

fn description(things: &Things) -> Description {
    let encoder = |columns: &things::Columns| {
        let dim = columns.things.len();
        let sha256 = things.fingerprint(columns);
        (dim > 0).then_some(EncoderDescription { sha256, dim, step_seconds: STEP })
    };
    let model = format!("simulated-{}", env!("CARGO_PKG_VERSION"));
    Description { model, vision: encoder(&things.seen), audio: encoder(&things.heard) }
}

fn report(timelines: &[Timeline]) -> Report {
    let segments = || timelines.iter().flat_map(|timeline| &timeline.segments);
    let mut phrases: Vec<&str> = segments().map(|segment| segment.caption.as_str()).collect();
    phrases.sort_unstable();
    phrases.dedup();
    Report {
        videos: timelines.len(),
        empty: timelines.iter().filter(|timeline| timeline.segments.is_empty()).count(),
        segments: segments().count(),
        phrases: phrases.len(),
    }
}

fn json(value: &impl Serialize) -> Vec<u8> {
    // Numbers, words and lists of them always serialise.
    let mut text = serde_json::to_vec(value).unwrap_or_default();
    text.push(b'\n');
    text
}

fn lines(timelines: &[Timeline]) -> Vec<u8> {
    timelines.iter().flat_map(json).collect()
}

fn write(out: &Path, name: &str, bytes: &[u8]) -> Result<(), SimulatorError> {
    let path = out.join(name);
    let write = fs::create_dir_all(out).and_then(|()| whole::write(&path, bytes));
    write.map_err(|source| SimulatorError::Write { path, source })
}
