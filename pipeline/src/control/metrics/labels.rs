//! What counts and times are told apart by. Labels are few: the stream's id, and words from fixed lists.

use prometheus_client::encoding::EncodeLabelSet;

/// What becomes of clips.
pub(super) const CLIPS: [&str; 2] = ["kept", "dropped"];
/// What sources lose.
pub(super) const LOSSES: [&str; 3] = ["late", "shed", "damaged"];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct OfStream {
    pub stream: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct OfOutcome {
    pub stream: String,
    pub outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct OfPhase {
    pub stream: String,
    pub phase: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct OfKind {
    pub stream: String,
    pub kind: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct OfLoss {
    pub stream: String,
    pub kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct OfStage {
    pub stage: &'static str,
}

/// The stages of a window that are timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// From its closing until the model takes it.
    Queue,
    /// Encoders, for a batch.
    Encode,
    /// Prefill and answers, for a batch.
    Llm,
    /// Putting records into the outbox.
    Store,
}

impl Stage {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Encode => "encode",
            Self::Llm => "llm",
            Self::Store => "store",
        }
    }
}
