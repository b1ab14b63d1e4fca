//! Collects a stream's events and lets windows go when they are complete.

mod ahead;
mod close;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use avicuna_models::sample::{AudioClip, EncodeOnce, RgbFrame};

pub use self::ahead::Ahead;

use super::missing::Carried;
use super::notes::{Clock, Clocks, Gap, Gaps};
use super::shape::{Shape, nanos};
use super::sound::Sound;
use super::still::Stills;
use super::{Closed, SpecError, WindowSpec};
use crate::source::{SourceEvent, TimedAudio, TimedFrame};
use crate::stream::{Medium, StreamId};
use crate::timeline::{ClockAnchor, ClockQuality, StreamTime, UtcTime};

/// A window is given up on when the newest frame or sample is so far (and the patience) past what it waits for: the
/// other track trails more than any source lets it, and memory is bounded.
pub(super) const LEAD: Duration = Duration::from_secs(20);

/// Why a window lacks what windows before it have shown, where they are another daemon's.
const SEEN_ELSEWHERE: &str = "another daemon watched this";

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
    stills: Stills,
    /// What nothing at all sounds like.
    pub(super) silence: Option<Arc<EncodeOnce<AudioClip>>>,
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
    /// Frames that came since anybody looked ahead, and how far sound had come then.
    fresh: usize,
    looked: i64,
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
            stills: Stills::new(0),
            silence: None,
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
            fresh: 0,
            looked: 0,
        };
        assembler.prune();
        Ok(assembler)
    }

    /// Goes on with a stream of which another has closed the windows before `next`, the last of which ended at `reached`. What
    /// they held is not here.
    pub fn resumed(
        stream: StreamId,
        spec: WindowSpec,
        next: u64,
        reached: Option<ClockAnchor>,
    ) -> Result<Self, SpecError> {
        let mut assembler = Self::new(stream, spec)?;
        let Some(anchor) = reached.filter(|_| next > 0) else { return Ok(assembler) };
        assembler.next = i64::try_from(next).unwrap_or(i64::MAX);
        assembler.settled = assembler.shape.end(assembler.next - 1);
        assembler.clocks.push(Clock { anchor, clock: ClockQuality::Arrival, av_offset_ms: None });
        let (from, to) = (assembler.shape.start(assembler.next), anchor.stream.0);
        assembler.gaps.push(Gap { from, to, reason: SEEN_ELSEWHERE.to_owned() });
        assembler.progress = Some(to);
        assembler.prune();
        Ok(assembler)
    }

    /// With one encoding for pictures whose parts differ by no more than `tolerance` of 255; 0: each has its own.
    pub fn with_stills(mut self, tolerance: u8) -> Self {
        self.stills = Stills::new(tolerance);
        self
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
                self.carried[Medium::Audio as usize].has = Some(has_audio);
                self.carried[Medium::Video as usize].has = Some(has_video);
            }
            SourceEvent::Frame(frame) => self.frame(frame),
            SourceEvent::Audio(audio) => self.audio(audio),
            SourceEvent::Gap { from, to, reason } => self.gaps.push(Gap { from: from.0, to: to.0, reason }),
            SourceEvent::Progress(until) => self.progress = self.progress.max(Some(until.0)),
            SourceEvent::Clock { clock, av_offset_ms, anchor } => {
                self.clocks.push(Clock { anchor, clock, av_offset_ms });
            }
            // The gaps say what they cost; the daemon counts the rest. What a track was made of does not matter any more.
            SourceEvent::Lost { .. } | SourceEvent::Losses(_) | SourceEvent::Format(_) => {}
            SourceEvent::Ended(_) => return self.flush(now),
        }
        self.close(self.shape.ending_by(self.complete_until()), now)
    }

    fn frame(&mut self, frame: TimedFrame) {
        let TimedFrame { at, stream, capture, frame } = frame;
        if self.shape.counts[Medium::Video as usize] == 0 {
            return;
        }
        self.clocks.sample(stream, capture);
        let start = self.shape.slot_start(Medium::Video, at.0);
        if start < self.settled {
            self.unused.late_frames += 1;
            return;
        }
        if self.frames.contains_key(&at.0) {
            self.unused.repeated_frames += 1;
            return;
        }
        self.carried[Medium::Video as usize]
            .came(start, self.shape.slot_start(Medium::Video, at.0.saturating_add(1)));
        // A slow source shows one frame at several grid points.
        let same = self.frames.last_key_value().filter(|(_, last)| last.stream == stream);
        let cell = match same {
            Some((_, last)) => Arc::clone(&last.cell),
            None => self.stills.cell(frame),
        };
        self.frames.insert(at.0, Frame { cell, stream, capture });
        self.fresh += 1;
    }

    fn audio(&mut self, audio: TimedAudio) {
        if self.shape.counts[Medium::Audio as usize] == 0 || audio.samples.is_empty() {
            return;
        }
        self.clocks.sample(audio.stream, audio.capture);
        let start = audio.stream.0;
        let (end, refused) = self.sound.insert(audio);
        self.unused.late_samples += refused.late;
        self.unused.repeated_samples += refused.repeated;
        self.carried[Medium::Audio as usize].came(start, self.sound.nanos(end));
    }

    /// Windows that end by this instant have all they can get.
    fn complete_until(&self) -> i64 {
        let said = self.progress.map(|until| until.saturating_sub(self.shape.patience));
        let tails = [self.shape.tail, 0];
        const AUDIO: usize = Medium::Audio as usize;
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
            self.close_into(&mut closed, self.shape.covering(news), now);
        }
        let slot = self.shape.periods.into_iter().filter(|period| *period > 0).min().unwrap_or(i64::MAX);
        if over.saturating_sub(self.settled) >= slot {
            // What is held was shown already.
            self.frames.clear();
            self.clips.clear();
            self.sound.prune(i64::MAX);
            self.close_into(&mut closed, self.shape.covering(over), now);
        }
        closed
    }

    /// The end of the last filled slot that no window has shown.
    fn news(&self) -> i64 {
        let seen = self
            .frames
            .last_key_value()
            .map(|(at, _)| self.shape.slot_start(Medium::Video, at.saturating_add(1)));
        let mut heard = None;
        if self.shape.counts[Medium::Audio as usize] > 0
            && let Some(end) = self.sound.end()
        {
            let first = self.shape.slot(Medium::Audio, self.settled);
            let last = self.shape.slot(Medium::Audio, self.sound.nanos(end)) - 1;
            let filled = (first..=last).rev().find(|slot| self.heard(*slot));
            heard = filled.map(|slot| self.shape.slot_start(Medium::Audio, slot + 1));
        }
        seen.max(heard).unwrap_or(i64::MIN)
    }

    /// Is at least half of an audio slot's own time there?
    fn heard(&self, slot: i64) -> bool {
        let from = self.sound.number(self.shape.slot_start(Medium::Audio, slot));
        let to = self.sound.number(self.shape.slot_start(Medium::Audio, slot + 1));
        let there = self.sound.count(from, to);
        there > 0 && 2 * there >= to - from
    }

    /// The first sample of a slot's clip.
    fn clip_from(&self, slot: i64) -> i64 {
        let start = i128::from(self.shape.slot_start(Medium::Audio, slot));
        let early = i128::from(self.shape.periods[Medium::Audio as usize]) - i128::from(self.shape.clip);
        self.sound.half_number(2 * start + early)
    }

    fn close(&mut self, until: i64, now: Instant) -> Vec<Closed> {
        let mut closed = Vec::new();
        self.close_into(&mut closed, until, now);
        closed
    }
}
