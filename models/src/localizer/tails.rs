//! The ids of questions: the same few are asked about every window.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::prompt::Template;
use crate::tokenizer::{Tokenizer, TokenizerError};

/// Questions that are remembered. Users may ask anything, so this must end somewhere.
const CAPACITY: usize = 1024;

/// The ids behind the audio-visual sequence, by question.
pub(super) struct Tails {
    template: Template,
    known: Mutex<HashMap<String, Arc<[u32]>>>,
}

impl Tails {
    pub(super) fn new(template: Template) -> Self {
        Self { template, known: Mutex::default() }
    }

    /// The ids for `question`, tokenised at its first use.
    pub(super) fn of(&self, tokenizer: &Tokenizer, question: &str) -> Result<Arc<[u32]>, TokenizerError> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ids) = known.get(question) {
            return Ok(ids.clone());
        }
        let ids: Arc<[u32]> = self.template.tail(tokenizer, question)?.into();
        if known.len() >= CAPACITY {
            known.clear();
        }
        known.insert(question.to_owned(), ids.clone());
        Ok(ids)
    }
}
