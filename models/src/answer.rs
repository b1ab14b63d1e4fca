//! What the LLM said about one question, with the probability of each token.

use std::ops::Range;

/// The LLM's answer to one question on one window.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The decoded tokens, without the stop string.
    pub text: String,
    /// The tokens in their order; a stop token is not among them.
    pub tokens: Vec<AnswerToken>,
    /// Why the answer ended.
    pub finish: Finish,
}

/// One generated token.
#[derive(Debug, Clone, PartialEq)]
pub struct AnswerToken {
    /// Its id in the LLM's vocabulary.
    pub id: u32,
    /// Natural logarithm of its probability, given everything before it.
    pub logprob: f32,
    /// The bytes of [`Answer::text`] it stands for; empty when it only completes a character with its successor.
    pub bytes: Range<usize>,
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// The LLM said so.
    Stop,
    /// The answer reached its `max_new_tokens`: its last sentence may be cut.
    Length,
}
