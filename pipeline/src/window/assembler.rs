//! Collects a stream's events and lets windows go when they are complete.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use avicuna_models::sample::{AudioClip, EncodeOnce, RgbFrame};

use super::missing::{self, Carried, Missing};
use super::notes::{Clock, Clocks, Gap, Gaps};
use super::sound::Sound;
use super::{Closed, Slots, SpecError, StreamId, Window, WindowId, WindowSpec};
use crate::source::{SourceEvent, TimedAudio, TimedFrame};
use crate::timeline::{StreamTime, Track, UtcTime};

/// A window is given up on when the newest frame or sample is so far (and the patience) past what it waits for: the
/// other track trails more than any source lets it, and memory is bounded.
pub(super) const LEAD: Duration = Duration::from_secs(20);

/// What an [`Assembler`] did not use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Unused {
    /// Frames that came after a window that shows their time had closed.
    pub late_frames: u64,
    /// Samples that came after all windows that hear them had closed.
    pub late_samples: u64,
    /// Frames of a grid point that had one.
    pub repeated_frames: u64,
    /// Samples of an instant that had one.
    pub repeated_samples: u64,
}

/// One stream's events in, its windows out.
#[derive(Debug)]
pub struct Assembler {
    stream: StreamId,
    spec: WindowSpec,
    shape: Shape,
    frames: BTreeMap<i64, Frame>,
    clips: BTreeMap<i64, Clip>,
    sound: Sound,
    clocks: Clocks,
    gaps: Gaps,
    /// By [`Track`].
    carried: [Carried; 2],
    progress: Option<i64>,
    /// The next window's index.
    next: i64,
    /// The end of the last window that closed: what is known of the time before does not change any more.
    settled: i64,
    /// Where the stream ended.
    ended: Option<i64>,
    unused: Unused,
}

/// The spec in nanoseconds.
#[derive(Debug, Clone, Copy)]
struct Shape {
    length: i64,
    hop: i64,
    /// Slot periods by [`Track`]; 0 for what the model does not take.
    periods: [i64; 2],
    counts: [i64; 2],
    clip: i64,
    clip_samples: usize,
    /// How far clips reach past the end of their window.
    tail: i64,
    patience: i64,
}

#[derive(Debug)]
struct Frame {
    cell: Arc<EncodeOnce<RgbFrame>>,
    stream: StreamTime,
    capture: UtcTime,
}

#[derive(Debug)]
struct Clip {
    cell: Arc<EncodeOnce<AudioClip>>,
    /// Of its last sample.
    capture: Option<UtcTime>,
}

fn nanos(span: Duration) -> i64 {
    i64::try_from(span.as_nanos()).unwrap_or(i64::MAX)
}

impl Shape {
    fn new(spec: &WindowSpec) -> Self {
        let period = |grid: Option<crate::timeline::Grid>| grid.map_or(0, |grid| nanos(grid.period()));
        let (audio, clip) = (period(spec.audio_grid()), nanos(spec.clip));
        // Where slots or clips begin between two samples, their ends are rounded up to a sample apart.
        let rate = i64::from(spec.sample_rate.max(1));
        let whole = |half_nanos: i64| (i128::from(half_nanos) * i128::from(rate)) % 2_000_000_000 == 0;
        let exact = whole(2 * audio) && whole(2 * clip) && whole(audio - clip);
        let sample = if exact { 0 } else { 1_000_000_000 / rate + 1 };
        let tail = if audio > 0 { ((clip - audio).max(0) + 1) / 2 + sample } else { 0 };
        Self {
            length: nanos(spec.length),
            hop: nanos(spec.hop),
            periods: [audio, period(spec.visual_grid())],
            counts: [spec.audio_slots as i64, spec.visual_slots as i64],
            clip,
            clip_samples: spec.clip_samples(),
            tail,
            patience: nanos(spec.patience),
        }
    }

    fn start(&self, index: i64) -> i64 {
        index.saturating_mul(self.hop)
    }

    fn end(&self, index: i64) -> i64 {
        self.start(index).saturating_add(self.length)
    }

    /// How many windows end at or before `time`.
    fn ending_by(&self, time: i64) -> i64 {
        let room = time.saturating_sub(self.length);
        if room < 0 { 0 } else { room / self.hop + 1 }
    }

    /// The first slot that starts at or after `time`.
    fn slot(&self, track: Track, time: i64) -> i64 {
        let period = self.periods[track as usize].max(1);
        time.div_euclid(period) + i64::from(time.rem_euclid(period) != 0)
    }

    fn slot_start(&self, track: Track, slot: i64) -> i64 {
        slot.saturating_mul(self.periods[track as usize])
    }
}

impl Assembler {
    /// A stream that has not begun; window 0 starts at stream time 0.
    pub fn new(stream: StreamId, spec: WindowSpec) -> Result<Self, SpecError> {
        let spec = spec.validated()?;
        let shape = Shape::new(&spec);
        let mut assembler = Self {
            stream,
            spec,
            shape,
            frames: BTreeMap::new(),
            clips: BTreeMap::new(),
            sound: Sound::new(spec.sample_rate, i64::MIN),
            clocks: Clocks::default(),
            gaps: Gaps::default(),
            carried: [Carried::default(); 2],
            progress: None,
            next: 0,
            settled: 0,
            ended: None,
            unused: Unused::default(),
        };
        assembler.prune();
        Ok(assembler)
    }

    /// The windows' shape.
    pub fn spec(&self) -> &WindowSpec {
        &self.spec
    }

    /// What was not used, since the stream began.
    pub fn unused(&self) -> Unused {
        self.unused
    }

    /// Frames, clips and samples held now.
    pub fn held(&self) -> (usize, usize, usize) {
        (self.frames.len(), self.clips.len(), self.sound.len())
    }

    /// [`Assembler::push_at`] now.
    pub fn push(&mut self, event: SourceEvent) -> Vec<Closed> {
        self.push_at(event, Instant::now())
    }

    /// Takes one event and returns the windows that are complete with it, in order; `now` is their `closed`. After
    /// [`SourceEvent::Ended`] nothing is taken any more.
    pub fn push_at(&mut self, event: SourceEvent, now: Instant) -> Vec<Closed> {
        if self.ended.is_some() {
            return Vec::new();
        }
        match event {
            SourceEvent::Connected { has_audio, has_video, .. } => {
                self.carried[Track::Audio as usize].has = Some(has_audio);
                self.carried[Track::Video as usize].has = Some(has_video);
            }
            SourceEvent::Frame(frame) => self.frame(frame),
            SourceEvent::Audio(audio) => self.audio(audio),
            SourceEvent::Gap { from, to, reason } => self.gaps.push(Gap { from: from.0, to: to.0, reason }),
            SourceEvent::Progress(until) => self.progress = self.progress.max(Some(until.0)),
            SourceEvent::Clock { clock, av_offset_ms, anchor } => {
                self.clocks.push(Clock { anchor, clock, av_offset_ms });
            }
            // The gaps say what they cost; the daemon counts the rest.
            SourceEvent::Lost { .. } | SourceEvent::Losses(_) => {}
            SourceEvent::Ended { .. } => return self.flush(now),
        }
        self.close(self.shape.ending_by(self.complete_until()), now)
    }

    fn frame(&mut self, frame: TimedFrame) {
        let TimedFrame { at, stream, capture, frame } = frame;
        if self.shape.counts[Track::Video as usize] == 0 {
            return;
        }
        self.clocks.sample(stream, capture);
        let start = self.shape.slot_start(Track::Video, at.0);
        if start < self.settled {
            self.unused.late_frames += 1;
            return;
        }
        if self.frames.contains_key(&at.0) {
            self.unused.repeated_frames += 1;
            return;
        }
        self.carried[Track::Video as usize]
            .came(start, self.shape.slot_start(Track::Video, at.0.saturating_add(1)));
        // A slow source shows one frame at several grid points.
        let same = self.frames.last_key_value().filter(|(_, last)| last.stream == stream);
        let cell = same.map_or_else(|| Arc::new(EncodeOnce::new(frame)), |(_, last)| Arc::clone(&last.cell));
        self.frames.insert(at.0, Frame { cell, stream, capture });
    }

    fn audio(&mut self, audio: TimedAudio) {
        if self.shape.counts[Track::Audio as usize] == 0 || audio.samples.is_empty() {
            return;
        }
        self.clocks.sample(audio.stream, audio.capture);
        let start = audio.stream.0;
        let (end, refused) = self.sound.insert(audio);
        self.unused.late_samples += refused.late;
        self.unused.repeated_samples += refused.repeated;
        self.carried[Track::Audio as usize].came(start, self.sound.nanos(end));
    }

    /// Windows that end by this instant have all they can get.
    fn complete_until(&self) -> i64 {
        let said = self.progress.map(|until| until.saturating_sub(self.shape.patience));
        let tails = [self.shape.tail, 0];
        const AUDIO: usize = Track::Audio as usize;
        let mut complete = None::<i64>;
        for (track, carried) in self.carried.iter().enumerate() {
            if self.shape.counts[track] > 0 && carried.has != Some(false) {
                let came = carried.end.map(|end| match track {
                    // Time stamps are rounded; the sample they mean is not.
                    AUDIO => self.sound.reaches(self.sound.number(end)),
                    _ => end,
                });
                let known = came.max(said).unwrap_or(i64::MIN).saturating_sub(tails[track]);
                complete = Some(complete.map_or(known, |complete| complete.min(known)));
            }
        }
        let complete = complete.or(said).unwrap_or(i64::MIN);
        let newest = self.carried.iter().filter_map(|carried| carried.end).max().unwrap_or(i64::MIN);
        let wait = self.shape.tail.saturating_add(self.shape.patience).saturating_add(nanos(LEAD));
        complete.max(newest.saturating_sub(wait))
    }

    /// The stream is over: what is left becomes windows as long as they show something new, and a blind end if a slot's
    /// time or more remains.
    fn flush(&mut self, now: Instant) -> Vec<Closed> {
        let ends = self.carried.iter().map(|carried| carried.end);
        let over =
            ends.chain([self.progress, self.gaps.end()]).flatten().max().unwrap_or(0).max(self.settled);
        self.ended = Some(over);
        let mut closed = Vec::new();
        let news = self.news();
        if news > self.settled {
            self.close_into(&mut closed, self.covering(news), now);
        }
        let slot = self.shape.periods.into_iter().filter(|period| *period > 0).min().unwrap_or(i64::MAX);
        if over.saturating_sub(self.settled) >= slot {
            // What is held was shown already.
            self.frames.clear();
            self.clips.clear();
            self.sound.prune(i64::MAX);
            self.close_into(&mut closed, self.covering(over), now);
        }
        closed
    }

    /// How many windows it takes to cover all before `time`.
    fn covering(&self, time: i64) -> i64 {
        let beyond = time.saturating_sub(self.shape.length).max(0);
        (beyond / self.shape.hop + i64::from(beyond % self.shape.hop != 0)).saturating_add(1)
    }

    /// The end of the last filled slot that no window has shown.
    fn news(&self) -> i64 {
        let seen = self
            .frames
            .last_key_value()
            .map(|(at, _)| self.shape.slot_start(Track::Video, at.saturating_add(1)));
        let mut heard = None;
        if self.shape.counts[Track::Audio as usize] > 0
            && let Some(end) = self.sound.end()
        {
            let first = self.shape.slot(Track::Audio, self.settled);
            let last = self.shape.slot(Track::Audio, self.sound.nanos(end)) - 1;
            let filled = (first..=last).rev().find(|slot| self.heard(*slot));
            heard = filled.map(|slot| self.shape.slot_start(Track::Audio, slot + 1));
        }
        seen.max(heard).unwrap_or(i64::MIN)
    }

    /// Is at least half of an audio slot's own time there?
    fn heard(&self, slot: i64) -> bool {
        let from = self.sound.number(self.shape.slot_start(Track::Audio, slot));
        let to = self.sound.number(self.shape.slot_start(Track::Audio, slot + 1));
        let there = self.sound.count(from, to);
        there > 0 && 2 * there >= to - from
    }

    /// The first sample of a slot's clip.
    fn clip_from(&self, slot: i64) -> i64 {
        let start = i128::from(self.shape.slot_start(Track::Audio, slot));
        let early = i128::from(self.shape.periods[Track::Audio as usize]) - i128::from(self.shape.clip);
        self.sound.half_number(2 * start + early)
    }

    fn close(&mut self, until: i64, now: Instant) -> Vec<Closed> {
        let mut closed = Vec::new();
        self.close_into(&mut closed, until, now);
        closed
    }

    /// Closes all windows before index `until`.
    fn close_into(&mut self, closed: &mut Vec<Closed>, until: i64, now: Instant) {
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
        let frame = self.frames.range(shape.slot(Track::Video, start)..).next();
        let clip = self.clips.range(shape.slot(Track::Audio, start)..).next();
        let sample = self.sound.first_after(self.sound.number(start));
        let frame = frame.map(|(at, _)| shape.slot_start(Track::Video, *at));
        let clip = clip.map(|(slot, _)| shape.slot_start(Track::Audio, *slot));
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
        let alike = self.covering_starts(same);
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

    /// How many windows start before `time`.
    fn covering_starts(&self, time: i64) -> i64 {
        if time <= 0 { 0 } else { (time - 1) / self.shape.hop + 1 }
    }

    /// The next window, unless all its slots are empty.
    fn window(&mut self, now: Instant) -> Option<Window> {
        let (start, end) = (self.shape.start(self.next), self.shape.end(self.next));
        self.cut(end);
        let mut newest = None;
        let visual = self.slots(Track::Video, start, &self.frames, &mut newest, |frame| {
            (&frame.cell, Some(frame.capture))
        });
        let audio =
            self.slots(Track::Audio, start, &self.clips, &mut newest, |clip| (&clip.cell, clip.capture));
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

    /// Cuts the clips of the slots before `end` that no window has shown.
    fn cut(&mut self, end: i64) {
        if self.shape.counts[Track::Audio as usize] == 0 {
            return;
        }
        let (first, last) = (self.shape.slot(Track::Audio, self.settled), self.shape.slot(Track::Audio, end));
        for slot in first..last {
            if self.heard(slot) {
                let (samples, capture) = self.sound.cut(self.clip_from(slot), self.shape.clip_samples);
                let cell = Arc::new(EncodeOnce::new(AudioClip { samples }));
                self.clips.insert(slot, Clip { cell, capture });
            }
        }
    }

    fn slots<H, I>(
        &self,
        track: Track,
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
    fn prune(&mut self) {
        let start = self.shape.start(self.next);
        self.frames = self.frames.split_off(&self.shape.slot(Track::Video, start));
        self.clips = self.clips.split_off(&self.shape.slot(Track::Audio, start));
        if self.shape.counts[Track::Audio as usize] > 0 {
            let slot = self.shape.slot(Track::Audio, self.settled);
            let own = self.sound.number(self.shape.slot_start(Track::Audio, slot));
            self.sound.prune(self.clip_from(slot).min(own));
        }
        self.clocks.prune(StreamTime(start));
        self.gaps.prune(start);
    }
}
