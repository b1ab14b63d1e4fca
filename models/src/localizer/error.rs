//! Why a model could not be loaded, or a window not be answered.

use crate::adapter::AdapterError;
use crate::encoder::{EncoderError, EncodersError, Trouble};
use crate::evidence::PresenceError;
use crate::interleave::InterleaveError;
use crate::llm::LlmError;
use crate::manifest::ManifestError;
use crate::tokenizer::TokenizerError;
use crate::vocabulary::VocabularyError;
use crate::wording::WordingError;

/// Why a model could not be loaded, or a window not be answered.
#[derive(Debug, thiserror::Error)]
pub enum LocalizerError {
    /// The manifest, or a part that it names.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// An encoder.
    #[error(transparent)]
    Encoder(#[from] EncoderError),
    /// What the encoders' classes are called.
    #[error(transparent)]
    Vocabulary(#[from] VocabularyError),
    /// What queries mean.
    #[error(transparent)]
    Wording(#[from] WordingError),
    /// Where in its evidence something is there.
    #[error(transparent)]
    Presence(#[from] PresenceError),
    /// The adapters.
    #[error(transparent)]
    Adapter(#[from] AdapterError),
    /// The interleaver.
    #[error(transparent)]
    Interleave(#[from] InterleaveError),
    /// The language model.
    #[error(transparent)]
    Llm(#[from] LlmError),
    /// The tokenizer.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// The parts do not go together.
    #[error("{key} of the manifest does not go with the LLM: {reason}")]
    Mismatch {
        /// The key with its table.
        key: &'static str,
        /// What does not fit.
        reason: String,
    },
    /// The window cannot be answered as it is.
    #[error("the window cannot be answered: {0}")]
    Window(String),
    /// A sample of the window could not be encoded.
    #[error("{modality} sample {slot} of the window: {source}")]
    Sample {
        /// `visual` or `audio`.
        modality: &'static str,
        /// Its place in the window.
        slot: usize,
        /// Why.
        source: EncoderError,
    },
}

impl From<EncodersError> for LocalizerError {
    fn from(error: EncodersError) -> Self {
        match error {
            EncodersError::Encoder(error) => error.into(),
            EncodersError::Vocabulary(error) => error.into(),
        }
    }
}

impl From<Trouble> for LocalizerError {
    fn from(Trouble { modality, slot, error }: Trouble) -> Self {
        Self::Sample { modality, slot, source: error }
    }
}

impl From<candle_core::Error> for LocalizerError {
    fn from(error: candle_core::Error) -> Self {
        Self::Llm(error.into())
    }
}
