//! What the encoders' own classes say of a window: for each phrase of the vocabulary, how sure they are of it in each slot.
//!
//! It is the first block of the embeddings that the LLM reads ([`crate::encoder::Encoder::evidence`]), kept beside its answers so that
//! both can be heard.

mod presence;

pub use presence::{Presence, PresenceError};

use serde::{Deserialize, Serialize};

use crate::encoder::Rows;
use crate::sample::Embedding;
use crate::vocabulary::Vocabulary;

/// What is lower in every slot says nothing and is not kept.
const FLOOR: f32 = 0.02;

/// What the encoders say of a window. Phrases that they hardly believe in are left out.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Evidence {
    /// Of frames, in the order of the vocabulary.
    pub seen: Vec<Course>,
    /// Of clips, in the order of the vocabulary.
    pub heard: Vec<Course>,
}

/// How sure the encoders are of one phrase along a window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Course {
    /// Its place in [`Vocabulary::phrases`].
    pub phrase: usize,
    /// 0..=1 by slot; 0 where there was no sample.
    pub slots: Vec<f32>,
}

impl Evidence {
    /// Of the embeddings of a window, whose first columns are those of `vocabulary`.
    pub fn of(rows: &Rows, vocabulary: &Vocabulary) -> Self {
        Self {
            seen: courses(&rows.visual, vocabulary.seen()),
            heard: courses(&rows.audio, vocabulary.heard()),
        }
    }
}

fn courses(rows: &[Option<Embedding>], columns: &[usize]) -> Vec<Course> {
    let at = |row: &Option<Embedding>, column: usize| {
        row.as_ref().and_then(|row| row.get(column)).copied().unwrap_or(0.0)
    };
    let course = |(column, phrase): (usize, &usize)| {
        let slots: Vec<f32> = rows.iter().map(|row| at(row, column)).collect();
        slots.iter().any(|value| *value >= FLOOR).then_some(Course { phrase: *phrase, slots })
    };
    columns.iter().enumerate().filter_map(course).collect()
}
