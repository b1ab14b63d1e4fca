//! What can go wrong with the LLM: each message names the file or the input and what to do.

use std::path::{Path, PathBuf};

use crate::tensors::FileError;
use crate::tokenizer::TokenizerError;

/// Why the LLM could not be loaded or asked.
#[derive(Debug, thiserror::Error)]
pub enum LlmError {
    /// A file cannot be read or written, or is not what its name says.
    #[error(transparent)]
    File(#[from] FileError),
    /// The model is a valid one, of a kind that this decoder does not run.
    #[error("{path} asks for {what}, which this LLaMA decoder does not support; use a LLaMA, Vicuna or SmolLM2 model", path = path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// The feature.
        what: String,
    },
    /// A weight is not in the file.
    #[error("{path} has no weight `{name}`; the file is incomplete or of another architecture", path = path.display())]
    MissingWeight {
        /// The file.
        path: PathBuf,
        /// The weight's name in Hugging Face's layout.
        name: String,
    },
    /// A weight has another shape than the configuration says.
    #[error("weight `{name}` of {path} has shape {found:?}, the configuration asks for {expected:?}; configuration and weights are of different models", path = path.display())]
    Shape {
        /// The file.
        path: PathBuf,
        /// The weight's name in Hugging Face's layout.
        name: String,
        /// Its shape in the file.
        found: Vec<usize>,
        /// The shape that follows from the configuration.
        expected: Vec<usize>,
    },
    /// The LoRA does not fit the base model.
    #[error("LoRA {path} does not fit the model: {reason}; use the LoRA that was trained on this base", path = path.display())]
    Lora {
        /// The LoRA's file.
        path: PathBuf,
        /// What does not fit.
        reason: String,
    },
    /// The tokenizer could not be built or read.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// Prompt and answer are longer than the model's context.
    #[error(
        "window {window}: prompt and answer take {needed} tokens, the model's context holds {context}; use fewer slots, a shorter question or a smaller answer limit"
    )]
    ContextLength {
        /// Index of the window in the batch.
        window: usize,
        /// Prefix, question and answer limit together.
        needed: usize,
        /// The model's context length.
        context: usize,
    },
    /// The input cannot be processed as it is.
    #[error("bad input for the LLM: {0}")]
    Input(String),
    /// What the model computed for the next token is no numbers: an answer made of that would be an invention.
    #[error(
        "the LLM computed numbers that are not finite; a sample or a weight that is none leads to this: look at what the stream shows, and fetch or import the model again if it happens with others too"
    )]
    NotFinite,
    /// The tensor library failed.
    #[error("computing with the LLM failed: {0}")]
    Compute(#[from] candle_core::Error),
}

impl LlmError {
    /// Wraps what the system said about `path`.
    pub(crate) fn read(path: &Path, source: std::io::Error) -> Self {
        FileError::read(path, source).into()
    }

    /// Wraps what the system said about writing `path`.
    pub(crate) fn write(path: &Path, source: std::io::Error) -> Self {
        FileError::write(path, source).into()
    }

    /// Says what is wrong with the content of `path`.
    pub(crate) fn malformed(path: &Path, reason: impl std::fmt::Display) -> Self {
        FileError::malformed(path, reason).into()
    }
}
