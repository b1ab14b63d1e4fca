//! What a corpus holds, in numbers.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Group, PuValorError, Scaling, Sizes, Sources, Timeline, dialogue, queries, timeline};
use crate::seeded;
use crate::{Clip, Modality, Split};

/// `statistics.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Statistics {
    /// Groups of clips.
    pub groups: usize,
    /// Videos.
    pub videos: usize,
    /// Different clips in them.
    pub clips: usize,
    /// Different labels, or captions where there are no labels.
    pub events: usize,
    /// Hours of video.
    pub hours: f64,
    /// Seconds of a video.
    pub video_seconds: Summary,
    /// Seconds of a segment.
    pub segment_seconds: Summary,
    /// Segments of a video.
    pub segments_per_video: Summary,
    /// Videos by their number of segments.
    pub videos_by_segments: BTreeMap<usize, usize>,
    /// Videos by their seconds, in steps of [`STEP`]: the step's first second.
    pub videos_by_seconds: BTreeMap<u32, usize>,
    /// Segments that are seen and heard, heard only, seen only.
    pub modalities: Modalities,
    /// Stretches of background.
    pub gaps: usize,
    /// Neighbours that overlap.
    pub overlaps: usize,
    /// Segments whose event was there before in the same video.
    pub repeats: usize,
    /// Questions for evaluation.
    pub queries: BTreeMap<queries::Kind, usize>,
    /// Dialogues for training.
    pub dialogues: BTreeMap<dialogue::Kind, usize>,
}

/// The width of a bar in [`Statistics::videos_by_seconds`].
pub const STEP: u32 = 20;

/// Segments by the senses that tell of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Modalities {
    /// Seen and heard.
    pub both: usize,
    /// Heard only.
    pub audio: usize,
    /// Seen only.
    pub visual: usize,
}

/// A distribution in four numbers.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Summary {
    /// The mean.
    pub mean: f64,
    /// The median; the mean of both in the middle.
    pub median: f64,
    /// The least.
    pub min: f64,
    /// The most.
    pub max: f64,
}

impl Summary {
    /// Sums up whole numbers from a histogram.
    fn of(histogram: &BTreeMap<u32, usize>) -> Self {
        let count: usize = histogram.values().sum();
        if count == 0 {
            return Self::default();
        }
        let sum: f64 = histogram.iter().map(|(value, n)| f64::from(*value) * *n as f64).sum();
        // The value at a place in the sorted row of all values.
        let at = |place: usize| {
            let mut before = 0;
            let found = histogram.iter().find(|(_, n)| {
                before += **n;
                before > place
            });
            found.map_or(0.0, |(value, _)| f64::from(*value))
        };
        Self {
            mean: sum / count as f64,
            median: (at((count - 1) / 2) + at(count / 2)) / 2.0,
            min: at(0),
            max: at(count - 1),
        }
    }
}

/// Adds videos up.
#[derive(Debug, Default)]
pub struct Counter {
    groups: BTreeSet<String>,
    clips: BTreeSet<String>,
    events: BTreeSet<String>,
    videos: BTreeMap<u32, usize>,
    segments: BTreeMap<u32, usize>,
    sizes: BTreeMap<u32, usize>,
    modalities: Modalities,
    gaps: usize,
    overlaps: usize,
    repeats: usize,
}

impl Counter {
    /// Adds one video.
    pub fn add(&mut self, timeline: &Timeline) {
        remember(&mut self.groups, &timeline.group);
        *self.videos.entry(timeline.duration.round() as u32).or_default() += 1;
        *self.sizes.entry(timeline.segments.len() as u32).or_default() += 1;
        self.gaps += timeline.gaps.len();
        self.overlaps += timeline.segments.windows(2).filter(|pair| pair[1].start < pair[0].end).count();
        for (index, segment) in timeline.segments.iter().enumerate() {
            remember(&mut self.clips, &segment.clip);
            remember(&mut self.events, segment.key());
            *self.segments.entry(segment.seconds()).or_default() += 1;
            match segment.modality {
                Modality::Both => self.modalities.both += 1,
                Modality::Audio => self.modalities.audio += 1,
                Modality::Visual => self.modalities.visual += 1,
            }
            let again = timeline.segments[..index].iter().any(|earlier| earlier.key() == segment.key());
            self.repeats += usize::from(again);
        }
    }

    /// The numbers of all that were added.
    pub fn finish(
        self,
        queries: BTreeMap<queries::Kind, usize>,
        dialogues: BTreeMap<dialogue::Kind, usize>,
    ) -> Statistics {
        let seconds: u64 = self.videos.iter().map(|(seconds, n)| u64::from(*seconds) * *n as u64).sum();
        let mut by_seconds = BTreeMap::new();
        for (seconds, count) in &self.videos {
            *by_seconds.entry(seconds / STEP * STEP).or_default() += count;
        }
        Statistics {
            groups: self.groups.len(),
            videos: self.videos.values().sum(),
            clips: self.clips.len(),
            events: self.events.len(),
            hours: seconds as f64 / 3600.0,
            video_seconds: Summary::of(&self.videos),
            segment_seconds: Summary::of(&self.segments),
            segments_per_video: Summary::of(&self.sizes),
            videos_by_segments: self.sizes.iter().map(|(size, n)| (*size as usize, *n)).collect(),
            videos_by_seconds: by_seconds,
            modalities: self.modalities,
            gaps: self.gaps,
            overlaps: self.overlaps,
            repeats: self.repeats,
            queries,
            dialogues,
        }
    }
}

fn remember(set: &mut BTreeSet<String>, name: &str) {
    if !set.contains(name) {
        set.insert(name.to_owned());
    }
}

/// The numbers of the corpus in `dir`: its own, or, when it has no `statistics.json`, those of its time lines.
pub fn read(dir: &Path) -> Result<Statistics, PuValorError> {
    let known = dir.join("statistics.json");
    if known.exists() {
        let text = std::fs::read_to_string(&known).map_err(PuValorError::read(&known))?;
        return serde_json::from_str(&text).map_err(|e| PuValorError::Content {
            path: known.clone(),
            line: e.line(),
            reason: e.to_string(),
        });
    }
    let mut counter = Counter::default();
    for timeline in Timeline::all(dir)? {
        counter.add(&timeline?);
    }
    Ok(counter.finish(BTreeMap::new(), BTreeMap::new()))
}

/// The numbers of videos drawn as the paper's were, of clips of 10 s that have no names.
pub fn paper(groups: usize, variants: u32, seed: u64) -> Result<Statistics, PuValorError> {
    let sizes = Sizes::paper(Sizes::PAPER)?;
    let clip = |index: usize| Clip {
        id: format!("c{index:02}"),
        media: Default::default(),
        duration: 10.0,
        caption: format!("event {index}"),
        label: None,
        modality: Modality::Both,
        split: Split::Train,
        tags: Vec::new(),
    };
    let clips: Vec<Clip> = (0..sizes.most()).map(clip).collect();
    let ids: Vec<String> = clips.iter().map(|clip| clip.id.clone()).collect();
    let sources = Sources::new(&clips, std::slice::from_ref(&ids))?;
    let scaling = Scaling::paper();
    let mut counter = Counter::default();
    for index in 0..groups {
        let id = format!("g{index:06}");
        let size = sizes.draw(&mut seeded::rng(seed, &id));
        let group = Group { id, clips: ids[..size].to_vec() };
        for variant in 0..variants {
            counter.add(&timeline(&group, variant, &sources, &scaling, seed)?);
        }
    }
    Ok(counter.finish(BTreeMap::new(), BTreeMap::new()))
}

/// A few lines for people; also valid Markdown.
impl fmt::Display for Statistics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Modalities { both, audio, visual } = self.modalities;
        writeln!(f, "| | mean | median | least | most |\n|---|---|---|---|---|")?;
        for (name, s) in [
            ("seconds of a video", self.video_seconds),
            ("segments of a video", self.segments_per_video),
            ("seconds of a segment", self.segment_seconds),
        ] {
            writeln!(f, "| {name} | {:.1} | {} | {} | {} |", s.mean, s.median, s.min, s.max)?;
        }
        writeln!(
            f,
            "\n- {} videos of {} groups, {:.1} hours; {} clips of {} different events",
            self.videos, self.groups, self.hours, self.clips, self.events
        )?;
        writeln!(f, "- segments: {both} seen and heard, {audio} heard only, {visual} seen only")?;
        writeln!(
            f,
            "- {} gaps of background, {} overlaps, {} events that come back",
            self.gaps, self.overlaps, self.repeats
        )?;
        writeln!(f, "- videos by segments: {}", row(&self.videos_by_segments))?;
        writeln!(f, "- videos by seconds, in steps of {STEP}: {}", row(&self.videos_by_seconds))?;
        if !self.dialogues.is_empty() {
            writeln!(f, "- dialogues: {}", row(&names(&self.dialogues)))?;
        }
        if !self.queries.is_empty() {
            writeln!(f, "- queries: {}", row(&names(&self.queries)))?;
        }
        Ok(())
    }
}

fn row<K: fmt::Display>(counts: &BTreeMap<K, usize>) -> String {
    let mut text = String::new();
    for (index, (key, count)) in counts.iter().enumerate() {
        let comma = if index == 0 { "" } else { ", " };
        // Writing to a string does not fail.
        let _written = write!(text, "{comma}{key}: {count}");
    }
    text
}

/// The kinds by their names in files.
fn names<K: fmt::Debug>(counts: &BTreeMap<K, usize>) -> BTreeMap<String, usize> {
    counts.iter().map(|(kind, count)| (format!("{kind:?}").to_lowercase(), *count)).collect()
}
