//! How the encoders' own evidence is heard beside the LLM's answers, and how queries are understood. `docs/evidence.md` has the rule.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::FileRef;

/// How the encoders' evidence is heard. All numbers were chosen on validation data.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EvidenceSpec {
    /// When evidence of frames is an event.
    pub seen: Levels,
    /// When evidence of clips is an event.
    pub heard: Levels,
    /// Finds where in the course of what is heard it really is there ([`crate::evidence::Presence`]); without it the levels alone do.
    pub presence: Option<FileRef>,
    /// How far the encoders are to be believed where one sense alone notices something.
    pub priors: Priors,
    /// [`Levels::rival`] of groups of which one is hardly ever there beside another, or taken for it.
    pub rivals: BTreeMap<String, f64>,
    /// The score of what is told unasked.
    pub detect: Weights,
    /// The score of answers to queries.
    pub query: Weights,
    /// Of an answer's score, where nothing but the subject of the query is there, and what else it asks for is not surely understood.
    pub subject: f64,
}

/// What the encoders often take something else for, and what they hardly ever do: log odds that are added to the score of what is told
/// unasked and noticed by one sense only. By phrase, or else by group of phrases; 0 for all others.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Priors {
    /// Of what is seen and not heard.
    pub seen: BTreeMap<String, f64>,
    /// Of what is heard and not seen.
    pub heard: BTreeMap<String, f64>,
}

/// When evidence along a window is an event. Evidence goes from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Levels {
    /// What its surest half-second must reach on the mean of three.
    pub on: f64,
    /// Which share of `on`, `off` and `least` is enough for what is asked for.
    pub asked: f64,
    /// Where it certainly ends. Nothing to what is heard where there is `presence`; nor is `edge`.
    pub off: f64,
    /// It lasts while the evidence is at least this share of its surest.
    pub edge: f64,
    /// It lasts while it is likelier to be there than this, by `presence`.
    pub there: f64,
    /// Seconds of a hole that is no end.
    pub gap: f64,
    /// Seconds; what is shorter is a slip of the encoder.
    pub least: f64,
    /// Of what overlaps in one group: less than this share of the surest is taken for a confusion with it.
    pub rival: f64,
}

/// From evidence and what the LLM said to a probability: `1 / (1 + exp(-(bias + evidence * logit(e) + said * logit(s))))`, where
/// `unsaid` stands in for `said * logit(s)` of what the LLM did not say.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Weights {
    /// Of an event with both at one half.
    pub bias: f64,
    /// Added to `bias` for what is seen and not heard.
    pub seen: f64,
    /// Of the encoders' evidence.
    pub evidence: f64,
    /// Of the LLM's score.
    pub said: f64,
    /// In place of the LLM's score.
    pub unsaid: f64,
}

impl Default for EvidenceSpec {
    fn default() -> Self {
        Self {
            seen: Levels { on: 0.5, off: 0.25, least: 1.5, ..Levels::default() },
            heard: Levels::default(),
            presence: None,
            priors: Priors::default(),
            rivals: BTreeMap::new(),
            detect: Weights::default(),
            query: Weights::default(),
            subject: 0.6,
        }
    }
}

impl Default for Levels {
    fn default() -> Self {
        Self { on: 0.3, asked: 0.6, off: 0.08, edge: 0.35, there: 0.4, gap: 2.0, least: 0.0, rival: 0.6 }
    }
}

impl Default for Weights {
    fn default() -> Self {
        Self { bias: 0.5, seen: 0.0, evidence: 1.0, said: 0.3, unsaid: -0.5 }
    }
}

/// How queries in free words are understood.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WordingSpec {
    /// Phrases that are less alike are not meant; a cosine.
    pub least_similarity: f32,
    /// From this cosine on the whole of a query is understood; below it, it may be about its subject only.
    pub sure_similarity: f32,
    /// The vectors of all wordings.
    pub vectors: FileRef,
    /// The sentence encoder's `config.json`.
    pub config: FileRef,
    /// Its `tokenizer.json`.
    pub tokenizer: FileRef,
    /// Its `model.safetensors`.
    pub weights: FileRef,
}
