//! Closing: what a window is made of when it goes, and what is forgotten then.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use avicuna_models::sample::EncodeOnce;

use super::super::missing::{self, Missing};
use super::super::notes::Clock;
use super::super::{Closed, Slots, Window};
use super::Assembler;
use crate::stream::{Medium, WindowId};
use crate::timeline::{StreamTime, UtcTime};

impl Assembler {
    /// Closes all windows before index `until`.
    pub(super) fn close_into(&mut self, closed: &mut Vec<Closed>, until: i64, now: Instant) {
        while self.next < until {
            let (start, end) = (self.shape.start(self.next), self.shape.end(self.next));
            if self.first_held(start) >= end {
                self.blind(closed, until, now);
            } else if let Some(window) = self.window(now) {
                closed.push(Closed::Window(window));
                self.passed(1);
            } else {
                self.blind(closed, self.next + 1, now);
            }
        }
    }

    /// When the first thing held at or after `start` is from.
    fn first_held(&self, start: i64) -> i64 {
        let shape = &self.shape;
        let frame = self.frames.range(shape.slot(Medium::Video, start)..).next();
        let clip = self.clips.range(shape.slot(Medium::Audio, start)..).next();
        let sample = self.sound.first_after(self.sound.number(start));
        let frame = frame.map(|(at, _)| shape.slot_start(Medium::Video, *at));
        let clip = clip.map(|(slot, _)| shape.slot_start(Medium::Audio, *slot));
        let sample = sample.map(|number| self.sound.nanos(number));
        [frame, clip, sample].into_iter().flatten().min().unwrap_or(i64::MAX)
    }

    /// Closes windows before index `until` that hold nothing, for one reason.
    fn blind(&mut self, closed: &mut Vec<Closed>, until: i64, now: Instant) {
        let index = self.next;
        let (start, end) = (self.shape.start(index), self.shape.end(index));
        // Windows that start before `same` are blind for the same reason.
        let (reason, same) = match self.gaps.over(start, end) {
            Some(gap) => (gap.reason.clone(), gap.to),
            None => {
                let gap = self.gaps.next_from(end).unwrap_or(i64::MAX);
                (missing::nothing(&self.carried), gap.saturating_sub(self.shape.length).saturating_add(1))
            }
        };
        let empty = self.shape.ending_by(self.first_held(start));
        let alike = self.shape.starting_before(same);
        let last = until.min(empty.max(index + 1)).min(alike.max(index + 1));
        let windows = (last - index) as u64;
        let over = self.ended.unwrap_or(i64::MAX);
        let until = StreamTime(self.shape.end(last - 1).min(over));
        self.passed(last - index);
        if let Some(Closed::Blind { windows: before, end, reason: why, .. }) = closed.last_mut()
            && *why == reason
        {
            *before += windows;
            *end = until;
            return;
        }
        let start = StreamTime(start);
        let Clock { anchor, clock, .. } = self.clocks.at(start);
        let id = WindowId { stream: self.stream.clone(), index: index as u64 };
        closed.push(Closed::Blind { id, windows, start, end: until, anchor, clock, reason, closed: now });
    }

    /// The next window, unless all its slots are empty.
    fn window(&mut self, now: Instant) -> Option<Window> {
        let (start, end) = (self.shape.start(self.next), self.shape.end(self.next));
        self.cut(end);
        let mut newest = None;
        let visual = self.slots(Medium::Video, start, &self.frames, &mut newest, |frame| {
            (&frame.cell, Some(frame.capture))
        });
        let audio =
            self.slots(Medium::Audio, start, &self.clips, &mut newest, |clip| (&clip.cell, clip.capture));
        if visual.filled() + audio.filled() == 0 {
            return None;
        }
        let start = StreamTime(start);
        let Clock { anchor, clock, av_offset_ms } = self.clocks.at(start);
        Some(Window {
            id: WindowId { stream: self.stream.clone(), index: self.next as u64 },
            start,
            end: StreamTime(end),
            until: StreamTime(self.ended.map_or(end, |over| over.min(end))),
            anchor,
            clock,
            av_offset_ms,
            visual,
            audio,
            last_capture: newest.unwrap_or(anchor.utc_at(start)),
            closed: now,
        })
    }

    /// Cuts the clips of the slots before `end` that no window has shown, and nobody has looked at ahead.
    fn cut(&mut self, end: i64) {
        if self.shape.counts[Medium::Audio as usize] == 0 {
            return;
        }
        let (first, last) =
            (self.shape.slot(Medium::Audio, self.settled), self.shape.slot(Medium::Audio, end));
        for slot in first..last {
            if !self.clips.contains_key(&slot) && self.heard(slot) {
                let clip = self.clip(slot);
                self.clips.insert(slot, clip);
            }
        }
    }

    fn slots<H, I>(
        &self,
        track: Medium,
        start: i64,
        held: &BTreeMap<i64, H>,
        newest: &mut Option<UtcTime>,
        cell: impl Fn(&H) -> (&Arc<EncodeOnce<I>>, Option<UtcTime>),
    ) -> Slots<I> {
        let (first, count) = (self.shape.slot(track, start), self.shape.counts[track as usize]);
        let mut missing = Missing::new(track, self.carried[track as usize], self.ended, &self.gaps);
        let mut slots = Vec::with_capacity(count as usize);
        for slot in first..first + count {
            let filled = held.get(&slot).map(&cell);
            match filled {
                Some((_, capture)) => *newest = (*newest).max(capture),
                None => {
                    missing.slot(self.shape.slot_start(track, slot), self.shape.slot_start(track, slot + 1))
                }
            }
            slots.push(filled.map(|(cell, _)| Arc::clone(cell)));
        }
        let (presence, reason) = missing.verdict(slots.len());
        Slots { slots, presence, reason }
    }

    /// `count` windows have closed.
    fn passed(&mut self, count: i64) {
        self.next = self.next.saturating_add(count);
        self.settled = self.shape.end(self.next - 1);
        self.prune();
    }

    /// Forgets what no window to come needs.
    pub(super) fn prune(&mut self) {
        let start = self.shape.start(self.next);
        self.frames = self.frames.split_off(&self.shape.slot(Medium::Video, start));
        self.clips = self.clips.split_off(&self.shape.slot(Medium::Audio, start));
        if self.shape.counts[Medium::Audio as usize] > 0 {
            let slot = self.shape.slot(Medium::Audio, self.settled);
            let own = self.sound.number(self.shape.slot_start(Medium::Audio, slot));
            self.sound.prune(self.clip_from(slot).min(own));
        }
        self.clocks.prune(StreamTime(start));
        self.gaps.prune(start);
    }
}
