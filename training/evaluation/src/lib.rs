//! Metrics and protocols: UnAV-100 mAP, grounding, dense captions, judged answers, ablations, tables and plots.
//!
//! | module | what it measures |
//! |---|---|
//! | [`detection`] | what happens, and when: mean average precision by the rule of UnAV-100 |
//! | [`grounding`] | when does this happen: union mIoU, F1, count F1, R@1, absence, modality |
//! | [`grounding::single`] | the same with one segment an answer, by the rule of VTimeLLM |
//! | [`captions`] | dense captions: METEOR, CIDEr, SODA_c |
//! | [`calibration`] | least scores, from what people said of events |
//! | [`judge`] | open-ended questions, judged by another model |
//!
//! All of these are pure but for the Java programs of `captions` and the endpoint of `judge`. `docs/evaluation.md` states
//! every rule in words. A corpus is measured through the real path:
//!
//! ```text
//! media -> watch (the daemon's code) -> cache (JSON lines) -> events (the daemon's tracker) -> predictions
//! truth (annotations, queries) -> report (tables, plots) <------------------------------------------+
//! ```

pub mod ablation;
pub mod cache;
pub mod calibration;
pub mod captions;
pub mod detection;
pub mod detections;
pub mod events;
pub mod grounding;
pub mod judge;
pub mod predictions;
pub mod report;
pub mod segment;
pub mod truth;
pub mod watch;

use std::io;
use std::path::{Path, PathBuf};

use avicuna_models::fetch::FetchError;
use avicuna_models::localizer::LocalizerError;
use avicuna_pipeline::config::ConfigError;
use serde::de::DeserializeOwned;

use self::truth::Naming;

/// Why something cannot be measured.
#[derive(Debug, thiserror::Error)]
pub enum EvaluationError {
    /// A file cannot be read or written.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file says something that it cannot mean.
    #[error("{path}: {what}", path = path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What, with its place in the file.
        what: String,
    },
    /// A folder without truth.
    #[error(
        "{dir} is no corpus to measure with: it has no annotations.json; make one with `avicuna dataset build` or `dataset import`",
        dir = dir.display()
    )]
    NoCorpus {
        /// The folder.
        dir: PathBuf,
    },
    /// A video has no media file.
    #[error(
        "{path} is missing; build the corpus with its videos rendered, as `avicuna dataset build` does for the test split",
        path = path.display()
    )]
    Media {
        /// Where it should be.
        path: PathBuf,
    },
    /// Truth and predictions name their classes differently.
    #[error(
        "an event of video {video} has no {}, which is how the predictions name their classes",
        if *naming == Naming::Label { "label" } else { "label_id" }
    )]
    Unnamed {
        /// The video of the event.
        video: String,
        /// How predictions name classes.
        naming: Naming,
    },
    /// An answer is about a video that nothing is known of.
    #[error("an answer is about the video {video}, which has no true captions")]
    UnknownVideo {
        /// Its id.
        video: String,
    },
    /// The model cannot be loaded.
    #[error("the model cannot be loaded: {0}")]
    Model(#[from] LocalizerError),
    /// The videos cannot be watched so.
    #[error(transparent)]
    Plan(#[from] ConfigError),
    /// The model has no such variant.
    #[error("`{variant}` cannot be watched: {reason}")]
    Variant {
        /// Its name.
        variant: String,
        /// Why not.
        reason: String,
    },
    /// A program that measures captions cannot be fetched.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// There is no Java.
    #[error("Java cannot be started ({source}); install a Java runtime, or name one in AVICUNA_JAVA")]
    Java {
        /// What the system said.
        source: io::Error,
    },
    /// A program that measures captions failed.
    #[error("{tool} failed: {reason}")]
    Tool {
        /// Which.
        tool: &'static str,
        /// What it said.
        reason: String,
    },
}

impl EvaluationError {
    fn io(path: &Path, source: io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }

    fn content(path: &Path, what: impl Into<String>) -> Self {
        Self::Content { path: path.to_owned(), what: what.into() }
    }
}

/// A JSON file.
fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, EvaluationError> {
    let bytes = std::fs::read(path).map_err(|source| EvaluationError::io(path, source))?;
    serde_json::from_slice(&bytes).map_err(|error| EvaluationError::content(path, error.to_string()))
}

/// The lines of a log of answers that are of one task: JSON objects with a `task`.
fn task_lines<T: DeserializeOwned>(path: &Path, task: &str) -> Result<Vec<T>, EvaluationError> {
    let text = std::fs::read_to_string(path).map_err(|source| EvaluationError::io(path, source))?;
    let mut of_task = Vec::new();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let wrong =
            |error: serde_json::Error| EvaluationError::content(path, format!("line {}: {error}", index + 1));
        let value: serde_json::Value = serde_json::from_str(line).map_err(wrong)?;
        if value["task"] == task {
            of_task.push(serde_json::from_value(value).map_err(wrong)?);
        }
    }
    Ok(of_task)
}
