//! What can go wrong in training: each message names the file or the sample and what to do.

use std::path::PathBuf;

use avicuna_corpus::features::RowsError;
use avicuna_corpus::pu_valor::PuValorError;
use avicuna_models::interleave::InterleaveError;
use avicuna_models::llm::LlmError;
use avicuna_models::manifest::ManifestError;
use avicuna_models::tensors::FileError;
use avicuna_models::tokenizer::TokenizerError;
use avicuna_pipeline::config::ConfigError;

use crate::labels::LabelError;

/// Why a stage could not be trained.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The manifest of the model that is trained.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The time lines of a corpus.
    #[error(transparent)]
    Corpus(#[from] PuValorError),
    /// A file of features.
    #[error(transparent)]
    Features(#[from] RowsError),
    /// The language model.
    #[error(transparent)]
    Llm(#[from] LlmError),
    /// A file of tensors.
    #[error(transparent)]
    File(#[from] FileError),
    /// The tokenizer.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// The interleaver.
    #[error(transparent)]
    Interleave(#[from] InterleaveError),
    /// A file of training data is not there or cannot be read.
    #[error("cannot read {path}: {source}; check the path of the stage's `data`", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file of training data is not what its name says.
    #[error("{path}: {reason}", path = path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Which record or line, and what is wrong with it.
        reason: String,
    },
    /// Features that a sample needs are not there.
    #[error("sample `{id}` has no features: {path} is missing; extract them with `avicuna dataset features`, or let such samples be left out with `missing = \"skip\"`", path = path.display())]
    MissingFeatures {
        /// The sample.
        id: String,
        /// The file that was looked for last.
        path: PathBuf,
    },
    /// A conversation cannot be learned from.
    #[error("sample `{id}`: {source}")]
    Conversation {
        /// The sample.
        id: String,
        /// Why.
        source: LabelError,
    },
    /// There is nothing to learn from.
    #[error("there is no sample to learn from in {folders}; {hint}")]
    Empty {
        /// The folders of the stage's `data`.
        folders: String,
        /// What to do.
        hint: String,
    },
    /// A file of the run cannot be written.
    #[error("cannot write {path}: {source}; the last checkpoint is whole: make room, then go on with --resume", path = path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// What a stage learns from cannot be written down.
    #[error("cannot write {path}: {source}; give --export a folder that can be written", path = path.display())]
    Export {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The loss or its gradient is no number.
    #[error(
        "step {step}: the {what} is {value} at a learning rate of {lr:e} (samples {samples}); nothing was learned from it. Go on from the last checkpoint with --resume and a smaller `lr`, or look at these samples' features"
    )]
    Diverged {
        /// The step, from 1.
        step: u64,
        /// `loss` or `gradient`.
        what: &'static str,
        /// NaN or infinite.
        value: f64,
        /// The learning rate of the step.
        lr: f64,
        /// The ids of its samples.
        samples: String,
    },
    /// The run does not fit the configuration, or the other way round.
    #[error("{path}: {reason}", path = path.display())]
    Run {
        /// The checkpoint or the folder of a stage.
        path: PathBuf,
        /// What does not fit and what to do.
        reason: String,
    },
    /// The loss plot.
    #[error("the loss plot could not be drawn: {0}")]
    Plot(String),
}

impl TrainError {
    /// Could others be learned from all the same?
    pub(super) fn is_of_one_sample(&self) -> bool {
        matches!(self, Self::MissingFeatures { .. } | Self::Conversation { .. })
    }

    pub(super) fn malformed(path: &std::path::Path, reason: impl Into<String>) -> Self {
        Self::Malformed { path: path.to_owned(), reason: reason.into() }
    }

    pub(super) fn read(path: &std::path::Path, source: std::io::Error) -> Self {
        Self::Read { path: path.to_owned(), source }
    }

    pub(super) fn write(path: &std::path::Path, source: std::io::Error) -> Self {
        Self::Write { path: path.to_owned(), source }
    }

    pub(super) fn export(path: &std::path::Path, source: std::io::Error) -> Self {
        Self::Export { path: path.to_owned(), source }
    }

    pub(super) fn run(path: &std::path::Path, reason: impl Into<String>) -> Self {
        Self::Run { path: path.to_owned(), reason: reason.into() }
    }
}
