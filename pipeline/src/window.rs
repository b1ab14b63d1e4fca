//! From timed frames and samples to windows: which slots are filled, what is missing and why. `docs/windows.md` draws
//! the rules. Pure: reads no clock and does no I/O.

mod assembler;
mod missing;
mod notes;
mod shape;
mod sound;
mod spec;
mod still;
#[cfg(test)]
mod tests;

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use avicuna_models::sample::{AudioClip, EncodeOnce, RgbFrame};

pub use self::assembler::{Ahead, Assembler, Unused};
pub use self::spec::{SpecError, WindowSpec};
use crate::stream::{Presence, WindowId};
use crate::timeline::{ClockAnchor, ClockQuality, StreamTime, UtcTime};

/// What a window holds of one modality.
#[derive(Debug)]
pub struct Slots<I> {
    /// One for each of the model's tokens, in time order; `None` where there is nothing. Overlapping windows hold the
    /// same cell, so it is encoded once.
    pub slots: Vec<Option<Arc<EncodeOnce<I>>>>,
    /// How many are filled.
    pub presence: Presence,
    /// Why some are not, for a person; `None` when all are.
    pub reason: Option<String>,
}

impl<I> Clone for Slots<I> {
    fn clone(&self) -> Self {
        Self { slots: self.slots.clone(), presence: self.presence, reason: self.reason.clone() }
    }
}

impl<I> Slots<I> {
    /// How many slots are filled.
    pub fn filled(&self) -> usize {
        self.slots.iter().flatten().count()
    }
}

/// A span of a stream with something to see or hear, ready for the model.
#[derive(Debug, Clone)]
pub struct Window {
    /// Which.
    pub id: WindowId,
    /// Its first instant.
    pub start: StreamTime,
    /// `start + length`, exclusive.
    pub end: StreamTime,
    /// Where the stream ended, if it did so inside this window; else `end`.
    pub until: StreamTime,
    /// Maps the window's times to capture time: the newest anchor at or before its start.
    pub anchor: ClockAnchor,
    /// Where that capture time comes from.
    pub clock: ClockQuality,
    /// Stream time of a sound minus that of a sight captured together; `None` when it cannot be measured.
    pub av_offset_ms: Option<f64>,
    /// One frame for each visual slot.
    pub visual: Slots<RgbFrame>,
    /// One clip for each audio slot, centred on it.
    pub audio: Slots<AudioClip>,
    /// Capture time of the newest frame or sample in it.
    pub last_capture: UtcTime,
    /// When it was complete.
    pub closed: Instant,
}

impl Window {
    /// The spans of its filled slots, of either sense: in order, apart, and not empty.
    pub fn held(&self) -> Vec<Range<StreamTime>> {
        let (start, length) = (self.start.0, self.end.0.saturating_sub(self.start.0));
        let mut spans = filled(&self.visual.slots, start, length);
        spans.extend(filled(&self.audio.slots, start, length));
        spans.sort_by_key(|span| (span.start, span.end));
        spans.dedup_by(|next, kept| {
            let same = next.start <= kept.end;
            if same {
                kept.end = kept.end.max(next.end);
            }
            same
        });
        spans
    }
}

/// The spans of the filled ones among slots that divide `length` nanoseconds evenly.
fn filled<I>(slots: &[Option<I>], start: i64, length: i64) -> Vec<Range<StreamTime>> {
    let at =
        |slot: usize| StreamTime(start + (i128::from(length) * slot as i128 / slots.len() as i128) as i64);
    let filled = slots.iter().enumerate().filter(|(_, slot)| slot.is_some());
    filled.map(|(slot, _)| at(slot)..at(slot + 1)).collect()
}

/// What an [`Assembler`] lets go. The windows of a stream come in order of their index, none left out.
#[derive(Debug, Clone)]
pub enum Closed {
    /// To be asked about.
    Window(Window),
    /// Consecutive windows without a single filled slot, not for the model. One stands for as long as the reason lasts,
    /// so that a long outage is one entry and not thousands.
    Blind {
        /// The first of them.
        id: WindowId,
        /// How many they are; at least 1.
        windows: u64,
        /// Start of the first.
        start: StreamTime,
        /// End of the last.
        end: StreamTime,
        /// As in [`Window`], for the first.
        anchor: ClockAnchor,
        /// As in [`Window`], for the first.
        clock: ClockQuality,
        /// Why there is nothing, for a person.
        reason: String,
        /// As in [`Window`].
        closed: Instant,
    },
}

impl Closed {
    /// The (first) window.
    pub fn id(&self) -> &WindowId {
        match self {
            Self::Window(window) => &window.id,
            Self::Blind { id, .. } => id,
        }
    }

    /// How many windows this stands for.
    pub fn windows(&self) -> u64 {
        match self {
            Self::Window(_) => 1,
            Self::Blind { windows, .. } => *windows,
        }
    }
}
