//! Makes a corpus directory, whole or in shards.
//!
//! A shard makes its part of the lists in `parts/`; [`merge`] puts the parts of all shards together. A build without shards
//! is one shard and its merge, so both ways give the same bytes. A part that is complete and was made with the same settings
//! is kept, so a build that was stopped goes on where it was.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use avicuna_models::whole;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::annotations::Labels;
use super::dialogue;
use super::record::Record;
use super::{Group, PuValorError, Sizes, Sources, groups, queries, timeline};
use crate::cluster::Clusters;
use crate::{Clip, seeded};

mod merge;
mod shard;

pub use merge::merge;
pub use shard::Shard;

pub use super::settings::Settings;

/// How a shard went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Built {
    /// Videos of the shard.
    pub videos: usize,
    /// Whether they were there already.
    pub kept: bool,
}

/// Counts of a part that its lists do not show.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Counts {
    groups: usize,
    videos: usize,
    dialogues: BTreeMap<dialogue::Kind, usize>,
    queries: BTreeMap<queries::Kind, usize>,
}

/// Groups whose videos are made together, before any is written.
const BATCH: usize = 512;

/// Draws the groups of a corpus.
pub fn draw_groups(
    clips: &[Clip],
    clusters: &Clusters,
    settings: &Settings,
) -> Result<Vec<Group>, PuValorError> {
    settings.check()?;
    let sources = Sources::new(clips, &clusters.clusters)?;
    let sizes = Sizes::paper(settings.clips_per_group)?;
    groups::draw(&sources, &clusters.clusters, &sizes, settings.groups, settings.seed)
}

/// Makes one shard's part of the lists of `out`; `progress` gets the number of videos that were made since its last call.
pub fn build(
    out: &Path,
    clips: &[Clip],
    clusters: &Clusters,
    settings: &Settings,
    shard: Shard,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Built, PuValorError> {
    let groups = draw_groups(clips, clusters, settings)?;
    let mine = &groups[shard.range(groups.len())];
    let videos = mine.len() * settings.variants as usize;
    let part = Part::of(out, shard);
    forget_other_cuts(out, shard)?;
    let key = part_key(clips, clusters, settings);
    if part.is_done(&key) {
        progress(videos as u64);
        return Ok(Built { videos, kept: true });
    }
    let maker =
        Maker { sources: Sources::new(clips, &clusters.clusters)?, labels: Labels::of(clips), settings };
    let mut lists = part.open()?;
    let mut counts = Counts { groups: mine.len(), videos, ..Counts::default() };
    for batch in mine.chunks(BATCH) {
        let made: Result<Vec<Lines>, PuValorError> = batch
            .par_iter()
            .map(|group| {
                let lines = maker.make(group)?;
                progress(u64::from(settings.variants));
                Ok(lines)
            })
            .collect();
        for lines in made? {
            lists.add(&lines)?;
            counts.add(&lines.counts);
        }
    }
    lists.finish()?;
    part.finish(&Done { key, of: shard.of, settings: settings.clone(), counts })?;
    Ok(Built { videos, kept: false })
}

/// Removes parts of builds with another number of shards: a merge would not know which to take.
fn forget_other_cuts(out: &Path, shard: Shard) -> Result<(), PuValorError> {
    let dir = out.join("parts");
    let Ok(entries) = std::fs::read_dir(&dir) else { return Ok(()) };
    for entry in entries.flatten() {
        let name = entry.file_name();
        if !name.to_string_lossy().ends_with(&format!("-of-{:05}", shard.of)) {
            let path = entry.path();
            std::fs::remove_dir_all(&path).map_err(PuValorError::write(&path))?;
        }
    }
    Ok(())
}

/// What a part depends on, as one checksum.
fn part_key(clips: &[Clip], clusters: &Clusters, settings: &Settings) -> String {
    use sha2::{Digest, Sha256};
    let mut hasher = Sha256::new();
    let mut add = |bytes: &[u8]| {
        hasher.update((bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    add(env!("CARGO_PKG_VERSION").as_bytes());
    add(format!("{settings:?}").as_bytes());
    for clip in clips {
        add(format!("{clip:?}").as_bytes());
    }
    for cluster in &clusters.clusters {
        add(format!("{cluster:?}").as_bytes());
    }
    hex::encode(hasher.finalize())
}

/// The lists of a corpus, a line or an element for each video (or group, or query).
const LISTS: [&str; 5] = ["groups", "timelines", "records", "annotations", "queries"];

/// One group's lines for each of [`LISTS`].
#[derive(Default)]
struct Lines {
    texts: [Vec<u8>; LISTS.len()],
    counts: Counts,
}

impl Lines {
    fn add<T: Serialize>(&mut self, list: usize, value: &T) {
        // Types of ours always serialise, and memory takes every byte.
        let _written = serde_json::to_writer(&mut self.texts[list], value);
        self.texts[list].push(b'\n');
    }
}

impl Counts {
    fn add(&mut self, other: &Self) {
        for (kind, count) in &other.dialogues {
            *self.dialogues.entry(*kind).or_default() += count;
        }
        for (kind, count) in &other.queries {
            *self.queries.entry(*kind).or_default() += count;
        }
    }
}

/// Makes the videos of a group.
struct Maker<'a> {
    sources: Sources<'a>,
    labels: Labels<'a>,
    settings: &'a Settings,
}

impl Maker<'_> {
    fn make(&self, group: &Group) -> Result<Lines, PuValorError> {
        let Settings { seed, scaling, variants, style, dialogues, absent_queries, split, .. } = self.settings;
        let mut lines = Lines::default();
        lines.add(0, group);
        for variant in 0..*variants {
            let video = timeline(group, variant, &self.sources, scaling, *seed)?;
            let mut rng = seeded::rng(*seed, &format!("dialogues/{}", video.id));
            let talk = dialogue::write(&video, &self.sources, *style, *dialogues, &mut rng);
            let mut rng = seeded::rng(*seed, &format!("queries/{}", video.id));
            let asked = queries::ask(&video, &self.sources, *absent_queries, &mut rng);
            lines.add(1, &video);
            lines.add(2, &Record::new(&video, &talk));
            lines.add(3, &(&video.id, self.labels.annotate(&video, *split)));
            for query in &asked {
                lines.add(4, query);
                *lines.counts.queries.entry(query.kind).or_default() += 1;
            }
            for dialogue in &talk {
                *lines.counts.dialogues.entry(dialogue.kind).or_default() += 1;
            }
        }
        Ok(lines)
    }
}

/// The files of one shard.
struct Part {
    dir: PathBuf,
}

/// `part.json`: written last, so a part that has it is complete.
#[derive(Debug, Serialize, Deserialize)]
struct Done {
    key: String,
    of: usize,
    settings: Settings,
    counts: Counts,
}

impl Part {
    fn of(out: &Path, shard: Shard) -> Self {
        Self { dir: out.join("parts").join(format!("{:05}-of-{:05}", shard.index, shard.of)) }
    }

    fn list(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.jsonl"))
    }

    fn done(&self) -> Option<Done> {
        let text = std::fs::read_to_string(self.dir.join("part.json")).ok()?;
        serde_json::from_str(&text).ok()
    }

    fn is_done(&self, key: &str) -> bool {
        self.done().is_some_and(|done| done.key == key)
    }

    /// Opens the lists anew.
    fn open(&self) -> Result<Lists, PuValorError> {
        let done = self.dir.join("part.json");
        std::fs::create_dir_all(&self.dir).map_err(PuValorError::write(&self.dir))?;
        if done.exists() {
            std::fs::remove_file(&done).map_err(PuValorError::write(&done))?;
        }
        let open = |name: &str| {
            let path = self.list(name);
            let file = File::create(&path).map_err(PuValorError::write(&path))?;
            Ok((path, BufWriter::with_capacity(1 << 20, file)))
        };
        Ok(Lists(LISTS.iter().map(|name| open(name)).collect::<Result<_, PuValorError>>()?))
    }

    fn finish(&self, done: &Done) -> Result<(), PuValorError> {
        let text = serde_json::to_string(done).unwrap_or_default();
        write_whole(&self.dir.join("part.json"), text.as_bytes())
    }
}

/// The open lists of a part.
struct Lists(Vec<(PathBuf, BufWriter<File>)>);

impl Lists {
    fn add(&mut self, lines: &Lines) -> Result<(), PuValorError> {
        for ((path, file), text) in self.0.iter_mut().zip(&lines.texts) {
            file.write_all(text).map_err(PuValorError::write(path))?;
        }
        Ok(())
    }

    fn finish(self) -> Result<(), PuValorError> {
        for (path, mut file) in self.0 {
            file.flush().map_err(PuValorError::write(&path))?;
        }
        Ok(())
    }
}

/// Writes a file that is either whole or not there.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), PuValorError> {
    whole::write(path, bytes).map_err(PuValorError::write(path))
}
