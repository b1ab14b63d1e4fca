//! The training records of the reference (FACTS of PU-VALOR: one conversation a video, times as tokens, sub-clips by id).
//!
//! Its loader joins the features of `sub_videos`, each stretched to `int(scale * 10)` rows, and puts two-digit slots in the
//! place of the tokens. So a scale here is tenths of the seconds a sub-clip lasts, whatever its own length is.

use std::collections::BTreeMap;

use avicuna_models::slots::Slot;
use serde::{Deserialize, Serialize};

use super::Timeline;
use super::dialogue::Dialogue;

/// What `source` says, which also makes the reference load audio.
pub const SOURCE: &str = "pseudo-valor";

/// The sub-clip that fills gaps. There need be no features of it: the reference then takes zeros.
pub const BACKGROUND: &str = "background";

/// Stands for the video in the first question.
pub const VIDEO: &str = "<video>\n";

/// Rows, and seconds, of a sub-clip whose scale is 1.
const ROWS: f64 = 10.0;

/// One video with its dialogues.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The video's id.
    pub id: String,
    /// [`SOURCE`].
    pub source: String,
    /// Questions and answers in turn.
    pub conversations: Vec<Turn>,
    /// What the loader needs to know.
    pub meta: Meta,
}

/// One side's words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turn {
    /// Whose.
    pub from: Speaker,
    /// With time tokens.
    pub value: String,
}

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Speaker {
    /// Asks.
    Human,
    /// Answers.
    Gpt,
}

/// What the loader needs to know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Meta {
    /// Seconds.
    pub duration: f64,
    /// Seconds of each time token.
    pub token: BTreeMap<String, f64>,
    /// Ids of the clips whose features follow each other.
    pub sub_videos: Vec<String>,
    /// Tenths of the seconds each of them lasts.
    pub scale: Vec<f64>,
}

impl Record {
    /// The record of a video.
    ///
    /// Gaps are sub-clips named [`BACKGROUND`]. Overlapping events are no row of sub-clips: such a video is its own and only
    /// sub-clip, which needs features of the rendered file.
    pub fn new(timeline: &Timeline, dialogues: &[Dialogue]) -> Self {
        let parts = if timeline.overlaps() {
            vec![(timeline.id.clone(), timeline.duration)]
        } else {
            parts(timeline)
        };
        let tokens = timeline.segments.iter().enumerate().flat_map(|(index, segment)| {
            [(format!("<s{index}>"), segment.start), (format!("<e{index}>"), segment.end)]
        });
        Self {
            id: timeline.id.clone(),
            source: SOURCE.into(),
            conversations: turns(dialogues),
            meta: Meta {
                duration: timeline.duration,
                token: tokens.collect(),
                scale: parts.iter().map(|(_, seconds)| seconds / ROWS).collect(),
                sub_videos: parts.into_iter().map(|(id, _)| id).collect(),
            },
        }
    }

    /// The conversation with two-digit slots in the place of the tokens.
    pub fn spoken(&self) -> Vec<Turn> {
        let speak = |turn: &Turn| {
            let value = self.meta.token.iter().fold(turn.value.clone(), |text, (token, seconds)| {
                text.replace(token, &Slot::of(*seconds, self.meta.duration).to_string())
            });
            Turn { from: turn.from, value }
        };
        self.conversations.iter().map(speak).collect()
    }
}

/// Clips and background one after the other, with their seconds.
fn parts(timeline: &Timeline) -> Vec<(String, f64)> {
    let clips = timeline.segments.iter().map(|s| (s.start, (s.clip.clone(), s.end - s.start)));
    let gaps = timeline.gaps.iter().map(|gap| (gap.start, (BACKGROUND.to_owned(), gap.end - gap.start)));
    let mut parts: Vec<_> = clips.chain(gaps).collect();
    parts.sort_by(|a, b| a.0.total_cmp(&b.0));
    parts.into_iter().map(|(_, part)| part).collect()
}

fn turns(dialogues: &[Dialogue]) -> Vec<Turn> {
    let mut turns = Vec::with_capacity(2 * dialogues.len());
    for (index, dialogue) in dialogues.iter().enumerate() {
        let video = if index == 0 { VIDEO } else { "" };
        turns.push(Turn { from: Speaker::Human, value: format!("{video}{}", dialogue.question) });
        turns.push(Turn { from: Speaker::Gpt, value: dialogue.answer.clone() });
    }
    turns
}
