//! Videos with events at known times.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::Names;
use crate::admit::{self, MediaCheck};
use crate::{CorpusError, Modality, ReadOptions, Skipped, Split};

/// Videos, and what was left out of them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Videos {
    /// In the order of their ids.
    pub videos: Vec<Video>,
    /// Videos and events, in the order in which they were found.
    pub skipped: Vec<Skipped>,
}

/// One video.
#[derive(Debug, Clone, PartialEq)]
pub struct Video {
    /// Its name in the dataset.
    pub id: String,
    /// Its file, of any kind.
    pub media: PathBuf,
    /// Seconds.
    pub duration: f64,
    /// What it may be used for.
    pub split: Split,
    /// What happens in it; may be nothing.
    pub events: Vec<Happening>,
    /// What somebody looked for in it and did not find, as it is called here.
    pub absent: Vec<String>,
}

/// One event.
#[derive(Debug, Clone, PartialEq)]
pub struct Happening {
    /// What it is called here.
    pub label: String,
    /// Whether it was marked by eye, by ear or both.
    pub modality: Modality,
    /// Seconds.
    pub start: f64,
    /// Seconds.
    pub end: f64,
}

/// Puts a dataset's videos together, event by event.
pub(super) struct Collector<'a> {
    names: &'a Names,
    options: &'a ReadOptions,
    folder: &'a Path,
    drafts: BTreeMap<String, Draft>,
    skipped: Vec<Skipped>,
}

struct Draft {
    /// Names that its file may have before the ending, the likeliest first.
    stems: Vec<String>,
    duration: f64,
    split: Split,
    events: Vec<Happening>,
}

impl<'a> Collector<'a> {
    pub fn new(names: &'a Names, folder: &'a Path, options: &'a ReadOptions) -> Self {
        Self { names, options, folder, drafts: BTreeMap::new(), skipped: Vec::new() }
    }

    /// Makes a video known; one that is known stays as it is.
    pub fn video(&mut self, id: &str, stems: Vec<String>, duration: f64, split: Split) {
        let events = Vec::new();
        self.drafts.entry(id.to_owned()).or_insert(Draft { stems, duration, split, events });
    }

    /// Adds an event to a video that is known. What ends after its video makes the video longer.
    pub fn event(&mut self, id: &str, label: &str, modality: Modality, start: f64, end: f64) {
        let mut skip = |reason: String| self.skipped.push(Skipped { id: id.to_owned(), reason });
        let Some(phrase) = self.names.phrase(label) else {
            return skip(format!("never told: {label}"));
        };
        if end <= start {
            return skip(format!("no span of time: {label} from {start} to {end} s"));
        }
        if let Some(draft) = self.drafts.get_mut(id) {
            draft.duration = draft.duration.max(end);
            draft.events.push(Happening { label: phrase, modality, start, end });
        }
    }

    /// The videos whose media are there.
    ///
    /// # Errors
    /// When the folder cannot be read, or nothing is left.
    pub fn finish(self, list: &Path) -> Result<Videos, CorpusError> {
        let Self { options, folder, drafts, mut skipped, .. } = self;
        let looked = options.media != MediaCheck::Nothing;
        let files = if looked { admit::media_files(folder)? } else { BTreeMap::new() };
        let mut videos = Vec::new();
        for (id, Draft { stems, duration, split, events }) in drafts {
            let found = stems.iter().find_map(|stem| files.get(stem)).cloned();
            let media = match found {
                Some(media) => media,
                None if !looked => folder.join(format!("{id}.mp4")),
                None => {
                    let reason = format!("no media file: {} with any ending", stems.join(" or "));
                    skipped.push(Skipped { id, reason });
                    continue;
                }
            };
            if id.contains(['/', '\\', '\0']) || id.starts_with('.') {
                skipped.push(Skipped { id, reason: "the id cannot name a file".to_owned() });
                continue;
            }
            videos.push(Video { id, media, duration, split, events, absent: Vec::new() });
        }
        if videos.is_empty() {
            return Err(CorpusError::nothing(list, &skipped));
        }
        Ok(Videos { videos, skipped })
    }
}
