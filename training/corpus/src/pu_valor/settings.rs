//! What decides about the videos of a corpus.

use serde::{Deserialize, Serialize};

use super::dialogue::Style;
use super::{PuValorError, Scaling, Sizes, Span};
use crate::Split;

/// What decides about the videos of a corpus.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Where the clips come from, in a word.
    pub preset: String,
    /// What everything is drawn from.
    pub seed: u64,
    /// Which clips.
    pub split: Split,
    /// Clips of a group.
    pub clips_per_group: Span,
    /// Groups; `None`: as many as use every clip about once.
    pub groups: Option<usize>,
    /// Videos of a group.
    pub variants: u32,
    /// How clips become a video.
    pub scaling: Scaling,
    /// Dialogues of a video.
    pub dialogues: usize,
    /// Their templates.
    pub style: Style,
    /// Queries about absent events for each video.
    pub absent_queries: usize,
    /// Lines for the card that only the maker of the clips knows: what is held out, licences.
    pub facts: Vec<String>,
}

impl Settings {
    /// As the released PU-VALOR, as far as it is known.
    pub fn paper(seed: u64, split: Split) -> Self {
        Self {
            preset: "paper".into(),
            seed,
            split,
            clips_per_group: Sizes::PAPER,
            groups: None,
            variants: 10,
            scaling: Scaling::paper(),
            dialogues: 4,
            style: Style::Paper,
            absent_queries: 1,
            facts: Vec::new(),
        }
    }

    /// For the packaged clips: the small model's questions; few videos of those that are rendered to measure with.
    pub fn packaged(seed: u64, split: Split) -> Self {
        Self {
            preset: "packaged".into(),
            variants: if split == Split::Train { 10 } else { 1 },
            scaling: Scaling::packaged(),
            style: Style::Small,
            ..Self::paper(seed, split)
        }
    }

    pub(super) fn check(&self) -> Result<(), PuValorError> {
        let zero =
            |setting, what: &str| Err(PuValorError::Setting { setting, reason: format!("is 0; {what}") });
        self.scaling.check()?;
        if self.variants == 0 {
            return zero("variants", "a group gives at least one video");
        }
        if self.groups == Some(0) {
            return zero("groups", "ask for at least one");
        }
        if self.dialogues == 0 {
            return zero("dialogues", "a record holds at least one");
        }
        Ok(())
    }
}
