//! The reference's training records: conversations about videos, whole or put together of trimmed clips.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use avicuna_corpus::features::Rows;
use avicuna_corpus::{CATALOGUE, Modality};
use avicuna_pipeline::stream::Medium;
use rand_chacha::ChaCha8Rng;
use serde::Deserialize;

use super::TrainError;
use super::config::{Form, Timing};
use super::features::Features;
use super::source::{Sample, Source};
use crate::labels::VIDEO;
use crate::resample::{self, Rule, Split, SubVideo};

/// The file of the records in a corpus directory.
pub(super) const FILE: &str = "records.json";

/// The records of one corpus directory.
pub(super) struct Records {
    path: PathBuf,
    records: Vec<Record>,
    features: Features,
    split: Split,
    form: Form,
    timing: Timing,
}

#[derive(Debug, Clone, Deserialize)]
struct Record {
    id: String,
    conversations: Vec<Turn>,
    #[serde(default)]
    meta: Meta,
}

/// A line of the catalogue.
#[derive(Debug, Clone, Deserialize)]
struct Clip {
    id: String,
    caption: String,
    modality: Modality,
}

#[derive(Debug, Clone, Deserialize)]
struct Turn {
    from: String,
    value: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Meta {
    /// Seconds.
    duration: Option<f64>,
    /// Seconds that the marks in the conversations stand for.
    token: BTreeMap<String, f64>,
    sub_videos: Vec<String>,
    scale: Vec<f64>,
}

impl Records {
    /// The captions of `DIR`: of its clips, where there is a catalogue of them, else of its records.
    pub(super) fn captions(corpus: &Path, features: Features, split: Split) -> Result<Self, TrainError> {
        let path = corpus.join(CATALOGUE);
        if !path.exists() {
            return Self::open(corpus, features, split, (Form::Captions, Timing::Scaled));
        }
        let text = std::fs::read_to_string(&path).map_err(|e| TrainError::read(&path, e))?;
        let mut records = Vec::new();
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let clip: Clip = serde_json::from_str(line)
                .map_err(|e| TrainError::malformed(&path, format!("line {}: {e}", number + 1)))?;
            let there = match clip.modality {
                Modality::Both => true,
                Modality::Visual => features.wanted(Medium::Video),
                Modality::Audio => features.wanted(Medium::Audio),
            };
            if there {
                let turn = |from: &str, value: String| Turn { from: from.to_owned(), value };
                let conversations = vec![turn("human", VIDEO.to_owned()), turn("gpt", clip.caption)];
                records.push(Record { id: clip.id, conversations, meta: Meta::default() });
            }
        }
        Ok(Self { path, records, features, split, form: Form::Captions, timing: Timing::Scaled })
    }

    /// Reads `DIR/records.json`.
    pub(super) fn open(
        corpus: &Path,
        features: Features,
        split: Split,
        (form, timing): (Form, Timing),
    ) -> Result<Self, TrainError> {
        let path = corpus.join(FILE);
        let text = std::fs::read(&path).map_err(|e| TrainError::read(&path, e))?;
        let records: Vec<Record> =
            serde_json::from_slice(&text).map_err(|e| TrainError::malformed(&path, e.to_string()))?;
        let records = Self { path, records, features, split, form, timing };
        records.records.iter().try_for_each(|record| records.check(record))?;
        Ok(records)
    }

    fn wrong(&self, record: &Record, reason: impl std::fmt::Display) -> TrainError {
        TrainError::malformed(&self.path, format!("record `{}` {reason}", record.id))
    }

    fn check(&self, record: &Record) -> Result<(), TrainError> {
        let wrong = |reason: &str| Err(self.wrong(record, reason));
        let turns = &record.conversations;
        if turns.is_empty() || !turns.len().is_multiple_of(2) {
            return wrong("has turns that do not come in pairs of `human` and `gpt`");
        }
        if turns.iter().zip(["human", "gpt"].iter().cycle()).any(|(turn, from)| turn.from != *from) {
            return wrong("has turns that are not `human` and `gpt` in turn");
        }
        let Meta { duration, token, sub_videos, scale } = &record.meta;
        if sub_videos.len() != scale.len() {
            return wrong("has not one `scale` for each of its `sub_videos`");
        }
        if scale.iter().any(|scale| !(scale.is_finite() && *scale > 0.0)) {
            return wrong("has a `scale` that is not above 0");
        }
        if !token.is_empty() && !duration.is_some_and(|duration| duration > 0.0) {
            return wrong("has marks for times but no `duration` above 0");
        }
        Ok(())
    }

    /// Questions and answers, times written as the LLM reads them.
    fn turns(&self, record: &Record) -> Vec<String> {
        let duration = record.meta.duration.unwrap_or(1.0);
        let text = |turn: &Turn| {
            let mut text = turn.value.replace("<image>", VIDEO).replace("<audio>", VIDEO);
            for (mark, seconds) in &record.meta.token {
                text = text.replace(mark, &resample::time_text(*seconds, duration, self.rule()));
            }
            text
        };
        record.conversations.iter().map(text).collect()
    }

    fn rule(&self) -> Rule {
        match self.timing {
            Timing::Scaled => Rule::Mended,
            Timing::Reference => Rule::Reference,
        }
    }

    /// A caption's picture or clip: all rows that there are, of the sense that there is.
    fn caption(&self, record: &Record) -> Result<Sample, TrainError> {
        let all = |sense| -> Result<Vec<Option<Vec<f32>>>, TrainError> {
            let rows = self.features.rows(sense, &record.id)?.unwrap_or_default();
            Ok((0..rows.len()).map(|row| Some(rows.row(row).to_vec())).collect())
        };
        let (visual, audio) = (all(Medium::Video)?, all(Medium::Audio)?);
        if visual.is_empty() && audio.is_empty() {
            let sense = if self.features.wanted(Medium::Video) { Medium::Video } else { Medium::Audio };
            let path = self.features.path(sense, &record.id);
            return Err(TrainError::MissingFeatures { id: record.id.clone(), path });
        }
        let turns = self.turns(record);
        let caption = vec![turns.last().cloned().unwrap_or_default()];
        let (seen, heard) = (vec![caption.clone(); visual.len()], vec![caption; audio.len()]);
        Ok(Sample { id: record.id.clone(), visual, audio, conversations: vec![turns], seen, heard })
    }

    /// A whole video that has features of its own. `None`: it has none.
    fn whole(&self, record: &Record) -> Result<Option<Sample>, TrainError> {
        let own = |sense| self.features.rows(sense, &record.id);
        let (visual, audio) = (own(Medium::Video)?, own(Medium::Audio)?);
        if visual.is_none() && audio.is_none() {
            return Ok(None);
        }
        let take =
            |rows: Option<Rows>, places: &dyn Fn(usize) -> Vec<Option<usize>>, tokens: usize| match rows {
                None => vec![None; tokens],
                Some(rows) => {
                    places(rows.len()).into_iter().map(|row| row.map(|row| rows.row(row).to_vec())).collect()
                }
            };
        let (split, rule) = (self.split, self.rule());
        let visual = take(visual, &|rows| resample::visual(rows, split.visual, rule), split.visual);
        let audio = take(audio, &|rows| resample::audio(rows, split.audio, rule), split.audio);
        let conversations = vec![self.turns(record)];
        Ok(Some(Sample { id: record.id.clone(), visual, audio, conversations, ..Sample::default() }))
    }

    /// A video that exists only as a list of clips.
    fn joined(&self, record: &Record) -> Result<Sample, TrainError> {
        let Meta { sub_videos, scale, .. } = &record.meta;
        let rows = |sense| -> Result<Vec<Option<Rows>>, TrainError> {
            sub_videos.iter().map(|clip| self.features.needed(sense, clip, &record.id)).collect()
        };
        let (seen, heard) = (rows(Medium::Video)?, rows(Medium::Audio)?);
        let subs: Vec<SubVideo> = scale
            .iter()
            .zip(seen.iter().zip(&heard))
            .map(|(scale, (seen, heard))| SubVideo {
                scale: *scale,
                visual: seen.as_ref().map(Rows::len),
                audio: heard.as_ref().map(Rows::len),
            })
            .collect();
        let (visual, audio) = resample::pseudo(&subs, self.split, self.rule());
        let take = |places: Vec<Option<(usize, usize)>>, clips: &[Option<Rows>]| {
            let row = |(clip, row): (usize, usize)| Some(clips[clip].as_ref()?.row(row).to_vec());
            places.into_iter().map(|place| place.and_then(row)).collect()
        };
        Ok(Sample {
            id: record.id.clone(),
            visual: take(visual, &seen),
            audio: take(audio, &heard),
            conversations: vec![self.turns(record)],
            ..Sample::default()
        })
    }
}

impl Source for Records {
    fn len(&self) -> usize {
        self.records.len()
    }

    fn id(&self, index: usize) -> String {
        self.records[index].id.clone()
    }

    fn sample(&self, index: usize, _random: &mut ChaCha8Rng) -> Result<Sample, TrainError> {
        let record = &self.records[index];
        if self.form == Form::Captions {
            return self.caption(record);
        }
        if let Some(sample) = self.whole(record)? {
            return Ok(sample);
        }
        if record.meta.sub_videos.is_empty() {
            let path = self.features.path(Medium::Video, &record.id);
            return Err(TrainError::MissingFeatures { id: record.id.clone(), path });
        }
        self.joined(record)
    }
}
