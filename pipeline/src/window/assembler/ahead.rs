//! What is there of the window that is being filled: it can be encoded before the window is whole.

use std::sync::Arc;

use avicuna_models::sample::{AudioClip, EncodeOnce, RgbFrame};

use super::{Assembler, Clip};
use crate::stream::Medium;

/// New frames, or new slots of sound, from which it is worth a call of the encoders.
const WORTH: usize = 4;
/// The most of either in one look: whoever closes a window meanwhile waits for it.
const MOST: usize = 8;

/// The cells of a window as far as they are there, by slot; those that are encoded too, as encoders do not run on each.
#[derive(Debug, Default)]
pub struct Ahead {
    /// Frames.
    pub visual: Vec<Option<Arc<EncodeOnce<RgbFrame>>>>,
    /// Clips whose every sample has come.
    pub audio: Vec<Option<Arc<EncodeOnce<AudioClip>>>>,
}

impl Assembler {
    /// What can be encoded now of the next window; `None` where that is not worth a call yet. Windows are the same whether anybody looks ahead or not.
    pub fn ahead(&mut self) -> Option<Ahead> {
        let sound = self.shape.counts[Medium::Audio as usize] > 0;
        let slot = self.shape.periods[Medium::Audio as usize];
        let heard = self.sound.end().map_or(0, |end| self.sound.nanos(end) - self.looked);
        if self.fresh < WORTH && !(sound && heard >= slot * WORTH as i64) {
            return None;
        }
        self.fresh = 0;
        self.looked = self.sound.end().map_or(self.looked, |end| self.sound.nanos(end));
        self.cut_whole();
        let start = self.shape.start(self.next);
        let visual = self.some(Medium::Video, start, |slot| self.frames.get(&slot).map(|frame| &frame.cell));
        let audio = self.some(Medium::Audio, start, |slot| self.clips.get(&slot).map(|clip| &clip.cell));
        let is_new = !is_encoded(&visual) || !is_encoded(&audio);
        is_new.then_some(Ahead { visual, audio })
    }

    /// Cuts the clips of the next window all of whose samples are there: nothing that is still to come changes them.
    fn cut_whole(&mut self) {
        if self.shape.counts[Medium::Audio as usize] == 0 {
            return;
        }
        let from = self.settled.max(self.shape.start(self.next));
        let (first, last) =
            (self.shape.slot(Medium::Audio, from), self.shape.slot(Medium::Audio, self.shape.end(self.next)));
        for slot in first..last {
            let (from, count) = (self.clip_from(slot), self.shape.clip_samples as i64);
            let is_whole = self.heard(slot) && self.sound.count(from, from + count) == count;
            if is_whole && !self.clips.contains_key(&slot) {
                let clip = self.clip(slot);
                self.clips.insert(slot, clip);
            }
        }
    }

    /// The clip of a slot, as it is now.
    pub(super) fn clip(&mut self, slot: i64) -> Clip {
        let (samples, capture) = self.sound.cut(self.clip_from(slot), self.shape.clip_samples);
        // A microphone that is off sounds the same all day.
        let cell = if samples.iter().all(|sample| *sample == 0.0) {
            let silence = || Arc::new(EncodeOnce::whole(AudioClip { samples }));
            Arc::clone(self.silence.get_or_insert_with(silence))
        } else {
            Arc::new(EncodeOnce::new(AudioClip { samples }))
        };
        Clip { cell, capture }
    }

    /// The cells of a window that starts at `start`, up to the last of the first [`MOST`] that are not encoded.
    fn some<'a, I: 'a>(
        &self,
        track: Medium,
        start: i64,
        cell: impl Fn(i64) -> Option<&'a Arc<EncodeOnce<I>>>,
    ) -> Vec<Option<Arc<EncodeOnce<I>>>> {
        let (first, count) = (self.shape.slot(track, start), self.shape.counts[track as usize]);
        let (mut cells, mut new, mut last) = (Vec::with_capacity(count as usize), 0, 0);
        for slot in first..first + count {
            let cell = cell(slot).cloned();
            new += usize::from(cell.as_ref().is_some_and(|cell| cell.encoding().is_none()));
            if new > MOST {
                break;
            }
            if cell.is_some() {
                last = cells.len() + 1;
            }
            cells.push(cell);
        }
        cells.truncate(last);
        cells
    }
}

fn is_encoded<I>(cells: &[Option<Arc<EncodeOnce<I>>>]) -> bool {
    cells.iter().flatten().all(|cell| cell.encoding().is_some())
}
