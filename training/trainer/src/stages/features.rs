//! The features of a corpus directory, which `avicuna dataset features` left in its `features/`.

use std::path::{Path, PathBuf};

use avicuna_corpus::features::{Rows, called};
use avicuna_pipeline::stream::Medium;
use serde::Deserialize;

use super::TrainError;

/// Where the features of one corpus lie.
#[derive(Debug, Clone)]
pub(super) struct Features {
    folder: PathBuf,
    /// Width of a row; `None`: the model lacks the sense.
    visual: Option<usize>,
    audio: Option<usize>,
    steps: Steps,
}

/// `features.json`, as far as the grid goes.
#[derive(Debug, Clone, Default, Deserialize)]
struct Steps {
    vision: Option<Step>,
    audio: Option<Step>,
}

#[derive(Debug, Clone, Deserialize)]
struct Step {
    step_seconds: f64,
}

impl Features {
    /// Of the corpus directory `corpus`.
    pub(super) fn open(
        corpus: &Path,
        visual: Option<usize>,
        audio: Option<usize>,
    ) -> Result<Self, TrainError> {
        let folder = corpus.join("features");
        let path = folder.join("features.json");
        let steps = match std::fs::read(&path) {
            Ok(text) => {
                serde_json::from_slice(&text).map_err(|e| TrainError::malformed(&path, e.to_string()))?
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Steps::default(),
            Err(e) => return Err(TrainError::read(&path, e)),
        };
        Ok(Self { folder, visual, audio, steps })
    }

    /// Whether the model has the sense.
    pub(super) fn wanted(&self, sense: Medium) -> bool {
        self.dim(sense).is_some()
    }

    /// Seconds from one row to the next, where the features say so.
    pub(super) fn step(&self, sense: Medium) -> Option<f64> {
        let step = match sense {
            Medium::Video => &self.steps.vision,
            Medium::Audio => &self.steps.audio,
        };
        step.as_ref().map(|step| step.step_seconds).filter(|step| *step > 0.0)
    }

    /// The file for the video or clip `id`.
    pub(super) fn path(&self, sense: Medium, id: &str) -> PathBuf {
        Rows::path(&self.folder, sense, id)
    }

    /// The rows of a video or clip; `None` without a file, or without the sense.
    pub(super) fn rows(&self, sense: Medium, id: &str) -> Result<Option<Rows>, TrainError> {
        let Some(dim) = self.dim(sense) else { return Ok(None) };
        let Some(rows) = Rows::read(&self.folder, sense, id)? else { return Ok(None) };
        if rows.dim != dim {
            let found = rows.dim;
            let reason =
                format!("its rows are {found} wide, the manifest's {} encoder gives {dim}", called(sense));
            return Err(TrainError::malformed(&self.path(sense, id), reason));
        }
        Ok(Some(rows))
    }

    /// [`Self::rows`], which must be there if the model has the sense.
    pub(super) fn needed(&self, sense: Medium, id: &str, sample: &str) -> Result<Option<Rows>, TrainError> {
        let rows = self.rows(sense, id)?;
        if rows.is_none() && self.wanted(sense) {
            return Err(TrainError::MissingFeatures { id: sample.to_owned(), path: self.path(sense, id) });
        }
        Ok(rows)
    }

    fn dim(&self, sense: Medium) -> Option<usize> {
        match sense {
            Medium::Video => self.visual,
            Medium::Audio => self.audio,
        }
    }
}
