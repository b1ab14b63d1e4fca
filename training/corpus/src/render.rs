//! Media files of time lines, through GStreamer.
//!
//! Clips are decoded, re-timed to their segments and encoded again while they are read: a handful of pictures and the sound of two
//! segments are in memory, however long the video is. Both senses follow one time line: the picture of a segment is the clip's at
//! the same share of its length, and so is the sound when it is stretched.
//!
//! Where no clip plays there is background. Where two play at once, both are shown, side by side, and heard.

mod playing;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

pub(crate) use self::playing::Retimed;
use self::playing::{Ahead, Playing};
use crate::Clip;
use crate::media::{Encoder, Frame, MediaError, Quality, RATE, Shape, beside};
use crate::packaged::{self, Background as Empty, PackagedError, Scenery};
use crate::pu_valor::{Segment, Timeline};

/// What becomes of a clip's sound in a segment of another length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AudioScaling {
    /// It is made longer or shorter with its pitch kept.
    #[default]
    Stretch,
    /// It starts again at its end, or breaks off.
    LoopOrTrim,
}

/// What is seen and heard where no clip plays.
#[derive(Debug, Clone, Default)]
pub enum Background {
    /// Black, and silence.
    #[default]
    Black,
    /// The last picture, and silence.
    Freeze,
    /// An empty packaged scene with its noise, another one each time.
    Packaged(Scenery),
}

/// How videos are made.
#[derive(Debug, Clone)]
pub struct RenderOptions {
    /// Pixels; a multiple of 8.
    pub width: usize,
    /// Pixels; even.
    pub height: usize,
    /// Pictures per second.
    pub fps: u32,
    /// What becomes of sound.
    pub audio: AudioScaling,
    /// What is between clips.
    pub background: Background,
}

impl Default for RenderOptions {
    /// Like packaged clips, black between them.
    fn default() -> Self {
        let (width, height, fps) = (packaged::WIDTH, packaged::HEIGHT, 25);
        Self { width, height, fps, audio: AudioScaling::Stretch, background: Background::Black }
    }
}

/// Why a video cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// A segment's clip is not in the catalogue.
    #[error("the time line {timeline} plays the clip \"{clip}\", which the catalogue does not have")]
    UnknownClip {
        /// The time line.
        timeline: String,
        /// The clip.
        clip: String,
    },
    /// A time line is impossible.
    #[error("the time line {timeline} cannot be rendered: {reason}")]
    Timeline {
        /// The time line.
        timeline: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A folder cannot be made.
    #[error("{path} cannot be made ({source}); check free space and permissions", path = path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A clip cannot be read, or the video not be written.
    #[error(transparent)]
    Media(#[from] MediaError),
    /// The background cannot be made.
    #[error(transparent)]
    Packaged(#[from] PackagedError),
}

/// Makes the video of a time line: H.264 and AAC in MP4, the same bytes every time on the same machine.
///
/// # Errors
/// When a clip is not known or cannot be decoded, or the file not be written; nothing is left at `out` then.
pub fn video(
    timeline: &Timeline,
    clips: &BTreeMap<String, Clip>,
    out: &Path,
    options: &RenderOptions,
) -> Result<(), RenderError> {
    let shape = Shape { width: options.width, height: options.height, fps: options.fps };
    let schedule = schedule(timeline, clips, shape)?;
    let mut encoder = Encoder::create(out, shape, Quality::default())?;
    let mut between = Between { timeline, options, shape, empty: None, last: shape.black() };
    let mut ahead = Ahead::new(schedule, shape, options.audio);
    let mut playing: Vec<Playing> = Vec::new();
    for number in 0..frames(timeline.duration, shape.fps) {
        playing.retain(|playing| number < playing.end);
        playing.extend(ahead.starting(number)?);
        let mut shown = Vec::new();
        for playing in &mut playing {
            shown.extend(playing.picture(number)?);
        }
        let samples = at_sample(number, shape.fps)..at_sample(number + 1, shape.fps);
        let mut sound = vec![0.0; samples.len()];
        playing.iter().for_each(|playing| playing.mix(samples.start, &mut sound));
        if shown.is_empty() {
            let frame = between.background(number, playing.is_empty(), &mut sound)?;
            encoder.picture(&frame)?;
        } else {
            between.empty = None;
            let frame = if shown.len() == 1 { shown.remove(0) } else { beside(shape, &shown) };
            encoder.picture(&frame)?;
            between.last = frame;
        }
        encoder.sound(&sound)?;
    }
    encoder.finish()?;
    Ok(())
}

/// Makes `folder/ID.mp4` of every time line, several at a time; those that are there already are kept. `progress` is told how
/// many are there, and of how many, from several threads.
///
/// # Errors
/// The first one's; videos that were finished before stay.
pub fn all(
    timelines: &[Timeline],
    clips: &BTreeMap<String, Clip>,
    folder: &Path,
    options: &RenderOptions,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<(), RenderError> {
    fs::create_dir_all(folder).map_err(|source| RenderError::Folder { path: folder.to_owned(), source })?;
    let done = AtomicUsize::new(0);
    progress(0, timelines.len());
    timelines.par_iter().try_for_each(|timeline| {
        let out = folder.join(format!("{}.mp4", timeline.id));
        if !out.is_file() {
            video(timeline, clips, &out, options)?;
        }
        progress(done.fetch_add(1, Ordering::Relaxed) + 1, timelines.len());
        Ok(())
    })
}

/// The picture that begins at `seconds`, or is nearest to it.
fn frames(seconds: f64, fps: u32) -> u64 {
    (seconds * f64::from(fps)).round() as u64
}

/// The first sample of a picture's time.
fn at_sample(number: u64, fps: u32) -> usize {
    (number * u64::from(RATE) / u64::from(fps)) as usize
}

/// One segment, in pictures of the video.
struct Entry {
    clip: Clip,
    start: u64,
    end: u64,
}

/// The segments in order of their starts.
fn schedule(
    timeline: &Timeline,
    clips: &BTreeMap<String, Clip>,
    shape: Shape,
) -> Result<Vec<Entry>, RenderError> {
    let wrong = |reason: String| RenderError::Timeline { timeline: timeline.id.clone(), reason };
    if !timeline.duration.is_finite() || frames(timeline.duration, shape.fps) == 0 {
        return Err(wrong(format!("its duration is {} s", timeline.duration)));
    }
    let entry = |segment: &Segment| {
        let Segment { clip, start, end, .. } = segment;
        let found = clips
            .get(clip)
            .cloned()
            .ok_or_else(|| RenderError::UnknownClip { timeline: timeline.id.clone(), clip: clip.clone() })?;
        let inside = 0.0 <= *start && start < end && *end <= timeline.duration + 1e-6;
        if !inside {
            return Err(wrong(format!(
                "\"{clip}\" plays from {start} to {end} s of {} s",
                timeline.duration
            )));
        }
        Ok(Entry { clip: found, start: frames(*start, shape.fps), end: frames(*end, shape.fps) })
    };
    let mut entries = timeline.segments.iter().map(entry).collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(|entry| entry.start);
    Ok(entries)
}

/// What is shown and heard where no clip is.
struct Between<'a> {
    timeline: &'a Timeline,
    options: &'a RenderOptions,
    shape: Shape,
    /// The scene of the present gap, and the picture it began with.
    empty: Option<(Empty, u64)>,
    last: Frame,
}

/// Samples of a noise bed; longer gaps hear it again.
const BED: usize = 30 * RATE as usize;

impl Between<'_> {
    /// The picture; adds the background's sound to `sound` where no clip is `heard` either.
    fn background(&mut self, number: u64, silent: bool, sound: &mut [f32]) -> Result<Frame, RenderError> {
        let scenery = match &self.options.background {
            Background::Black => return Ok(self.shape.black()),
            Background::Freeze => return Ok(self.last.clone()),
            Background::Packaged(scenery) => scenery,
        };
        let rest = self.rest(number);
        let (empty, start) = match &mut self.empty {
            Some(present) => present,
            none => {
                let id = format!("{}/gap-{number}", self.timeline.id);
                none.insert((scenery.background(&id, BED.min(rest))?, number))
            }
        };
        let since = number - *start;
        if silent {
            let bed = empty.sound();
            let from = at_sample(number, self.shape.fps) - at_sample(*start, self.shape.fps);
            let heard = bed.iter().cycle().skip(from % bed.len().max(1));
            sound.iter_mut().zip(heard).for_each(|(sample, heard)| *sample += heard);
        }
        let rgb = empty.picture(since as f64 / f64::from(self.shape.fps));
        Ok(self.shape.convert(&self.fitted(rgb)))
    }

    /// Samples to the next segment's start, or to the end.
    fn rest(&self, number: u64) -> usize {
        let fps = self.shape.fps;
        let starts = self.timeline.segments.iter().map(|segment| frames(segment.start, fps));
        let end = starts.filter(|start| *start > number).min().unwrap_or(frames(self.timeline.duration, fps));
        at_sample(end, fps) - at_sample(number, fps)
    }

    /// A packaged picture in the size of this video.
    fn fitted(&self, rgb: Vec<u8>) -> Vec<u8> {
        if (self.shape.width, self.shape.height) == (packaged::WIDTH, packaged::HEIGHT) {
            return rgb;
        }
        let image = image::RgbImage::from_raw(packaged::WIDTH as u32, packaged::HEIGHT as u32, rgb);
        let image = image.expect("packaged pictures have their size");
        let (width, height) = (self.shape.width as u32, self.shape.height as u32);
        image::imageops::resize(&image, width, height, image::imageops::FilterType::Triangle).into_raw()
    }
}
