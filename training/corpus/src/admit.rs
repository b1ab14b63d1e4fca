//! Which records of a foreign list become clips.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::{Catalogue, Clip, CorpusError, Modality, SHORTEST, Skipped, Split};
use crate::media::{MediaError, Probe, probe};

/// How closely media files are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MediaCheck {
    /// Not at all: for lists whose features are there already.
    Nothing,
    /// Files must be there.
    #[default]
    Exists,
    /// Files must be there and decode; what is silent or blind is known to be, and lengths are the files' own.
    Decode,
}

/// How a foreign list is read.
#[derive(Debug, Clone, PartialEq)]
pub struct ReadOptions {
    /// What its clips may be used for, where the list does not say.
    pub split: Split,
    /// How closely media files are looked at.
    pub media: MediaCheck,
    /// Seconds of a clip, where neither the list nor its file says.
    pub duration: f64,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self { split: Split::Train, media: MediaCheck::Exists, duration: 10.0 }
    }
}

/// A record as it stands in a list.
#[derive(Debug, Default)]
pub(super) struct Record {
    /// `line 7` or `record 7`, for those without an id.
    pub place: String,
    pub id: String,
    pub caption: String,
    pub media: Option<PathBuf>,
    /// Other names than the id that its file may have before the ending.
    pub stems: Vec<String>,
    pub duration: Option<f64>,
    pub label: Option<String>,
    pub modality: Option<Modality>,
    pub split: Option<Split>,
    pub tags: Vec<String>,
}

/// Endings of media files.
const ENDINGS: [&str; 14] =
    ["mp4", "mkv", "webm", "mov", "avi", "m4v", "ts", "wav", "flac", "mp3", "m4a", "ogg", "opus", "aac"];

/// Records, and what was left out of the list before it came to its media.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    records: Vec<Record>,
    skipped: Vec<Skipped>,
}

impl Candidates {
    pub fn add(&mut self, record: Record) {
        self.records.push(record);
    }

    pub fn skip(&mut self, id: &str, reason: String) {
        self.skipped.push(Skipped { id: id.to_owned(), reason });
    }

    /// See [`admit`].
    pub fn admit(self, list: &Path, folder: &Path, options: &ReadOptions) -> Result<Catalogue, CorpusError> {
        let mut catalogue = look(self.records, folder, options)?;
        catalogue.skipped.splice(0..0, self.skipped);
        if catalogue.clips.is_empty() {
            return Err(CorpusError::nothing(list, &catalogue.skipped));
        }
        Ok(catalogue)
    }
}

/// Makes clips of `records`; those that are none are skipped with a reason.
///
/// # Errors
/// When the folder cannot be read, or nothing is left.
pub(super) fn admit(
    list: &Path,
    records: Vec<Record>,
    folder: &Path,
    options: &ReadOptions,
) -> Result<Catalogue, CorpusError> {
    Candidates { records, skipped: Vec::new() }.admit(list, folder, options)
}

fn look(records: Vec<Record>, folder: &Path, options: &ReadOptions) -> Result<Catalogue, CorpusError> {
    let files = if options.media == MediaCheck::Nothing { BTreeMap::new() } else { media_files(folder)? };
    let mut admission = Admission { files, folder, options, ids: BTreeSet::new(), captions: BTreeSet::new() };
    let looked = |record: &Record| -> Option<Result<Probe, MediaError>> {
        let media = admission.media(record).ok().filter(|_| options.media == MediaCheck::Decode)?;
        Some(probe(&media))
    };
    let probes: Vec<_> = records.par_iter().map(looked).collect();
    let mut catalogue = Catalogue::default();
    for (record, probe) in records.into_iter().zip(probes) {
        let id = if record.id.is_empty() { record.place.clone() } else { record.id.clone() };
        match admission.clip(record, probe) {
            Ok(clip) => catalogue.clips.push(clip),
            Err(reason) => catalogue.skipped.push(Skipped { id, reason }),
        }
    }
    Ok(catalogue)
}

/// The media files of `folder` by the name before their ending. Of two with the same name, the first ending in our list.
pub(super) fn media_files(folder: &Path) -> Result<BTreeMap<String, PathBuf>, CorpusError> {
    let rank = |path: &Path| {
        let ending = path.extension().and_then(OsStr::to_str)?.to_ascii_lowercase();
        ENDINGS.iter().position(|known| *known == ending)
    };
    let mut found: BTreeMap<String, (usize, PathBuf)> = BTreeMap::new();
    for entry in std::fs::read_dir(folder).map_err(CorpusError::read(folder))? {
        let path = entry.map_err(CorpusError::read(folder))?.path();
        let (Some(rank), Some(stem)) = (rank(&path), path.file_stem().and_then(OsStr::to_str)) else {
            continue;
        };
        let stem = stem.to_owned();
        if found.get(&stem).is_none_or(|(other, _)| rank < *other) {
            found.insert(stem, (rank, path));
        }
    }
    Ok(found.into_iter().map(|(stem, (_, path))| (stem, path)).collect())
}

struct Admission<'a> {
    files: BTreeMap<String, PathBuf>,
    folder: &'a Path,
    options: &'a ReadOptions,
    ids: BTreeSet<String>,
    captions: BTreeSet<String>,
}

impl Admission<'_> {
    /// The clip, or why it is none. Reasons of one kind are the same up to a colon.
    fn clip(&mut self, record: Record, probe: Option<Result<Probe, MediaError>>) -> Result<Clip, String> {
        let caption = record.caption.split_whitespace().collect::<Vec<_>>().join(" ");
        if record.id.is_empty() {
            return Err("no id".to_owned());
        }
        if record.id.contains(['/', '\\', '\0']) || record.id.starts_with('.') {
            return Err("the id cannot name a file".to_owned());
        }
        if caption.is_empty() {
            return Err("the caption is empty".to_owned());
        }
        let media = self.media(&record)?;
        let probe = probe.transpose().map_err(|error| format!("it cannot be decoded: {error}"))?;
        let mut tags = record.tags;
        let sense = match probe {
            Some(probe) => perceived(&probe, &mut tags)?,
            None => Modality::Both,
        };
        let known = record.duration.or(probe.map(|probe| probe.seconds));
        let duration = known.unwrap_or(self.options.duration);
        if !duration.is_finite() || duration < SHORTEST {
            return Err(format!("shorter than {SHORTEST} s: {duration} s"));
        }
        if !self.ids.insert(record.id.clone()) {
            return Err("the id stands there twice".to_owned());
        }
        let label = record.label.filter(|label| !label.trim().is_empty());
        // Asked when this happens, nobody could say which of two clips is meant; clips with labels are asked for by these.
        if label.is_none() && !self.captions.insert(caption.to_lowercase()) {
            return Err("the caption stands there twice".to_owned());
        }
        Ok(Clip {
            id: record.id,
            media,
            duration,
            caption,
            label,
            modality: record.modality.unwrap_or(sense),
            split: record.split.unwrap_or(self.options.split),
            tags,
        })
    }

    fn media(&self, record: &Record) -> Result<PathBuf, String> {
        let named = record.media.as_ref().map(|media| self.folder.join(media));
        if self.options.media == MediaCheck::Nothing {
            return Ok(named.unwrap_or_else(|| self.folder.join(format!("{}.mp4", record.id))));
        }
        match named {
            Some(path) if path.is_file() => Ok(path),
            Some(path) => Err(format!("no media file: {} is not there", path.display())),
            None => {
                let found = std::iter::once(&record.id).chain(&record.stems).find_map(|s| self.files.get(s));
                found.cloned().ok_or_else(|| {
                    format!("no media file: {}.mp4, or with another ending, is not in the folder", record.id)
                })
            }
        }
    }
}

/// A sound that is never above this, of 1, is silence (-60 dB).
const SILENCE: f32 = 1e-3;

/// Which sense a file appeals to; says in `tags` what is missing.
fn perceived(probe: &Probe, tags: &mut Vec<String>) -> Result<Modality, String> {
    let heard = probe.peak.is_some_and(|peak| peak > SILENCE);
    if !heard {
        tags.push(if probe.peak.is_some() { "silent" } else { "no audio" }.to_owned());
    }
    if !probe.sight {
        tags.push("no video".to_owned());
    }
    match (probe.sight, heard) {
        (true, true) => Ok(Modality::Both),
        (true, false) => Ok(Modality::Visual),
        (false, true) => Ok(Modality::Audio),
        (false, false) => Err("there is nothing to see or hear".to_owned()),
    }
}
