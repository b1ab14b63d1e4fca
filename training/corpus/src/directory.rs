//! The lists of a corpus whose videos are whole: nothing is clustered, and a video is its own clip.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use avicuna_models::whole;
use serde_json::{Value, json};

use super::{CATALOGUE, Catalogue, Clip, CorpusError, Modality, Split};
use crate::pu_valor::annotations::{Annotation, Annotations, VERSION, Video};
use crate::pu_valor::dialogue::small;
use crate::pu_valor::queries::{Evidence, Kind, Query};
use crate::pu_valor::statistics::{Counter, Statistics};
use crate::pu_valor::{Gap, Segment, Timeline};

/// What a corpus directory is written of.
pub(super) struct Directory<'a> {
    /// What `corpus.json` calls it.
    pub preset: &'a str,
    pub seed: u64,
    pub split: Split,
    pub settings: Value,
    /// Of every label the number is its place here.
    pub labels: BTreeSet<&'a str>,
    pub timelines: &'a [Timeline],
    /// The file of each time line's video.
    pub media: &'a [PathBuf],
    pub queries: &'a [Query],
}

impl Directory<'_> {
    /// Writes everything but the videos; `card` writes what `CARD.md` says.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write(&self, out: &Path, card: impl FnOnce(&Statistics) -> String) -> Result<(), CorpusError> {
        let Self { preset, seed, split, settings, timelines, queries, .. } = self;
        let (mut counter, mut counts) = (Counter::default(), BTreeMap::new());
        timelines.iter().for_each(|timeline| counter.add(timeline));
        queries.iter().for_each(|query| *counts.entry(query.kind).or_insert(0) += 1);
        let statistics = counter.finish(counts, BTreeMap::new());
        let clips = timelines.iter().zip(self.media).map(|(timeline, media)| self.clip(timeline, media));
        Catalogue { clips: clips.collect(), skipped: Vec::new() }.write(&out.join(CATALOGUE))?;
        let lines: String = timelines.iter().map(|timeline| format!("{}\n", json!(timeline))).collect();
        let corpus = json!({
            "format": 1, "preset": preset, "seed": seed, "split": split, "videos": timelines.len(),
            "settings": settings,
        });
        let save = |name: &str, text: String| {
            let path = out.join(name);
            whole::write(&path, text).map_err(CorpusError::write(&path))
        };
        save(Timeline::FILE, lines)?;
        save("annotations.json", format!("{}\n", json!(self.annotations())))?;
        save("queries.json", format!("{:#}\n", json!(queries)))?;
        save("statistics.json", format!("{:#}\n", json!(statistics)))?;
        save("corpus.json", format!("{corpus:#}\n"))?;
        save("CARD.md", card(&statistics))
    }

    /// A video as a clip of the catalogue, so that `avicuna dataset features` finds it.
    fn clip(&self, timeline: &Timeline, media: &Path) -> Clip {
        let labels: BTreeSet<&str> = timeline.segments.iter().map(Segment::key).collect();
        let labels: Vec<&str> = labels.into_iter().collect();
        let what = if labels.is_empty() { "nothing that has a name".to_owned() } else { labels.join(", ") };
        Clip {
            id: timeline.id.clone(),
            media: media.to_owned(),
            duration: timeline.duration,
            caption: format!("A video with {what}."),
            label: None,
            modality: Modality::Both,
            split: self.split,
            tags: vec![self.preset.to_owned()],
        }
    }

    fn annotations(&self) -> Annotations {
        let numbers: BTreeMap<&str, usize> = self.labels.iter().enumerate().map(|(n, l)| (*l, n)).collect();
        let annotation = |segment: &Segment| Annotation {
            segment: [segment.start, segment.end],
            label: segment.key().to_owned(),
            label_id: numbers.get(segment.key()).copied().unwrap_or(numbers.len()),
            modality: segment.modality,
        };
        let video = |timeline: &Timeline| {
            let annotations = timeline.segments.iter().map(annotation).collect();
            let video = Video { duration: timeline.duration, subset: self.split, annotations };
            (timeline.id.clone(), video)
        };
        Annotations { version: VERSION.to_owned(), database: self.timelines.iter().map(video).collect() }
    }
}

/// A time line of these events; the same label to the same senses is one segment where less than `hole` seconds are between.
pub(super) fn timeline(id: &str, duration: f64, segments: Vec<Segment>, hole: f64) -> Timeline {
    let segments = joined(segments, hole);
    let gaps = gaps(&segments, duration);
    Timeline {
        id: id.to_owned(),
        group: id.to_owned(),
        variant: 0,
        duration,
        segments,
        gaps,
        absent: Vec::new(),
    }
}

/// One event of a video that is its own clip; times are cut to milliseconds.
pub(super) fn segment(
    clip: &str,
    label: &str,
    caption: &str,
    modality: Modality,
    [start, end]: [f64; 2],
) -> Segment {
    let milli = |seconds: f64| (seconds * 1000.0).round() / 1000.0;
    Segment {
        clip: clip.to_owned(),
        label: Some(label.to_owned()),
        caption: caption.to_owned(),
        modality,
        start: milli(start),
        end: milli(end),
        scale: 1.0,
    }
}

/// Asks, as number `number` of a video's queries, for a label that does not happen in it.
pub(super) fn absent(video: &str, number: usize, label: &str) -> Query {
    Query {
        id: format!("{video}/q{number:02}"),
        video: video.to_owned(),
        label: label.to_owned(),
        question: small::ground_question(label),
        segments: Vec::new(),
        kind: Kind::Absent,
        modality: Evidence::Both,
    }
}

fn joined(mut segments: Vec<Segment>, hole: f64) -> Vec<Segment> {
    segments.sort_by(|a, b| a.start.total_cmp(&b.start).then(a.end.total_cmp(&b.end)));
    let mut joined: Vec<Segment> = Vec::new();
    for segment in segments {
        let same = |other: &&mut Segment| {
            let near = segment.start <= other.end || segment.start - other.end < hole;
            other.label == segment.label && other.modality == segment.modality && near
        };
        match joined.iter_mut().rev().find(same) {
            Some(other) => other.end = other.end.max(segment.end),
            None => joined.push(segment),
        }
    }
    joined
}

fn gaps(segments: &[Segment], seconds: f64) -> Vec<Gap> {
    let (mut gaps, mut end) = (Vec::new(), 0.0);
    let ends = segments.iter().map(|segment| (segment.start, segment.end));
    for (from, to) in ends.chain([(seconds, seconds)]) {
        if from > end {
            gaps.push(Gap { start: end, end: from });
        }
        end = to.max(end);
    }
    gaps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_joined_and_gaps_lie_between() {
        let one =
            |label: &str, start: f64, end: f64| segment("x", label, "X.", Modality::Audio, [start, end]);
        let all = vec![one("a", 5.0, 6.0), one("b", 1.0, 9.0), one("a", 2.0, 4.5), one("a", 7.0, 8.0)];
        let spans = |hole: f64| -> Vec<(f64, f64)> {
            let timeline = timeline("v", 10.0, all.clone(), hole);
            assert_eq!(timeline.gaps, [Gap { start: 0.0, end: 1.0 }, Gap { start: 9.0, end: 10.0 }]);
            timeline.segments.iter().map(|segment| (segment.start, segment.end)).collect()
        };
        assert_eq!(spans(1.0), [(1.0, 9.0), (2.0, 6.0), (7.0, 8.0)]);
        assert_eq!(spans(0.0), [(1.0, 9.0), (2.0, 4.5), (5.0, 6.0), (7.0, 8.0)]);
    }
}
