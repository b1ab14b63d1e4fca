//! Clips while they play: decoded ahead, re-timed.

use std::collections::VecDeque;
use std::path::Path;
use std::thread::JoinHandle;

use super::{AudioScaling, Entry, RenderError, at_sample};
use crate::Clip;
use crate::media::{Frame, MediaError, Pictures, RATE, Shape, repeated, sound, stretch};

/// A segment that plays.
pub(super) struct Playing {
    /// Its first picture.
    start: u64,
    /// The first picture after it.
    pub end: u64,
    pictures: Retimed,
    /// Samples for the whole segment; empty when the clip has none.
    sound: Vec<f32>,
    fps: u32,
    /// Seconds of the clip for one second of the segment.
    speed: f64,
}

impl Playing {
    fn open(entry: &Entry, shape: Shape, scaling: AudioScaling) -> Result<Self, MediaError> {
        let Entry { clip, start, end } = entry;
        let wanted = at_sample(*end, shape.fps) - at_sample(*start, shape.fps);
        let sound = match whole(clip)? {
            Some(sound) if scaling == AudioScaling::Stretch => stretch(&sound, wanted),
            Some(sound) => repeated(&sound, wanted),
            None => Vec::new(),
        };
        let seconds = (end - start).max(1) as f64 / f64::from(shape.fps);
        let pictures = Retimed::open(&clip.media, shape)?;
        Ok(Self { start: *start, end: *end, pictures, sound, fps: shape.fps, speed: clip.duration / seconds })
    }

    /// Its picture while the video shows picture `number`; `None` when the clip has no pictures.
    pub fn picture(&mut self, number: u64) -> Result<Option<Frame>, MediaError> {
        let since = (number - self.start) as f64 / f64::from(self.fps);
        self.pictures.at(since * self.speed)
    }

    /// Adds its sound to samples of the video from `from` on.
    pub fn mix(&self, from: usize, samples: &mut [f32]) {
        let own = from - at_sample(self.start, self.fps);
        let heard = self.sound.get(own..).unwrap_or_default();
        samples.iter_mut().zip(heard).for_each(|(sample, heard)| *sample += heard);
    }
}

/// All of a clip's sound, as long as the clip.
fn whole(clip: &Clip) -> Result<Option<Vec<f32>>, MediaError> {
    let mut heard = sound(&clip.media, clip.duration)?;
    if let Some(sound) = &mut heard {
        sound.resize((clip.duration * f64::from(RATE)).round() as usize, 0.0);
    }
    Ok(heard)
}

/// The pictures of a clip at any rising times.
pub(crate) struct Retimed {
    pictures: Pictures,
    shown: Option<Frame>,
    next: Option<(f64, Frame)>,
    ended: bool,
}

/// Times are as exact as this, in seconds: a picture is not left out for a rounding error.
const EXACT: f64 = 1e-3;

impl Retimed {
    /// Opens a file.
    pub fn open(media: &Path, shape: Shape) -> Result<Self, MediaError> {
        Ok(Self { pictures: Pictures::open(media, shape)?, shown: None, next: None, ended: false })
    }

    /// The picture shown `seconds` after the clip's beginning: the last one that begins at or before it.
    pub fn at(&mut self, seconds: f64) -> Result<Option<Frame>, MediaError> {
        loop {
            if self.next.is_none() && !self.ended {
                self.next = self.pictures.next()?;
                self.ended = self.next.is_none();
            }
            let due =
                self.next.as_ref().is_some_and(|(at, _)| *at <= seconds + EXACT || self.shown.is_none());
            if !due {
                return Ok(self.shown.clone());
            }
            self.shown = self.next.take().map(|(_, frame)| frame);
        }
    }
}

/// Opens segments one ahead of when they are needed, in a thread of its own.
pub(super) struct Ahead {
    waiting: VecDeque<Entry>,
    opening: Option<(u64, JoinHandle<Result<Playing, MediaError>>)>,
    shape: Shape,
    scaling: AudioScaling,
}

impl Ahead {
    pub fn new(entries: Vec<Entry>, shape: Shape, scaling: AudioScaling) -> Self {
        let mut ahead = Self { waiting: entries.into(), opening: None, shape, scaling };
        ahead.open();
        ahead
    }

    /// The segments that begin with picture `number`.
    pub fn starting(&mut self, number: u64) -> Result<Vec<Playing>, RenderError> {
        let mut playing = Vec::new();
        while let Some((_, opening)) = self.opening.take_if(|(start, _)| *start <= number) {
            match opening.join() {
                Ok(opened) => playing.push(opened?),
                Err(panic) => std::panic::resume_unwind(panic),
            }
            self.open();
        }
        Ok(playing)
    }

    fn open(&mut self) {
        let (shape, scaling) = (self.shape, self.scaling);
        self.opening = self.waiting.pop_front().map(|entry| {
            let start = entry.start;
            (start, std::thread::spawn(move || Playing::open(&entry, shape, scaling)))
        });
    }
}
