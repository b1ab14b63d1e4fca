//! Pictures and sound to an MP4 file, H.264 and AAC, streaming: what is not yet encoded is bounded.

use std::fs;
use std::path::{Path, PathBuf};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;

use super::boxes::undate;
use super::read::{element, said};
use super::{Frame, MediaError, RATE, Shape, start};

/// How H.264 and AAC are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Quality {
    /// x264's constant rate factor: 0 (lossless) to 51.
    pub crf: u32,
    /// x264's name for its trade of time for size: `ultrafast` to `placebo`.
    pub preset: &'static str,
    /// Of the sound, per second.
    pub bits: i32,
}

impl Default for Quality {
    /// What the default model's training scenes were made with.
    fn default() -> Self {
        Self { crf: 26, preset: "fast", bits: 96_000 }
    }
}

/// The encoder's sound comes this many samples late; so many are not given to it at the beginning.
const LATE: usize = 1024;

/// How much the encoder may hold of either modality before the giver waits. Sound must not run out while x264 looks ahead.
const PICTURES_AHEAD: u64 = 8;
const SOUND_AHEAD: u64 = 20 * RATE as u64 * 4;

/// An MP4 file that is being written. It has its name when it is whole; dropped before, it is gone.
pub(crate) struct Encoder {
    pipeline: gst::Pipeline,
    video: gst_app::AppSrc,
    audio: gst_app::AppSrc,
    shape: Shape,
    out: PathBuf,
    part: PathBuf,
    /// Given so far.
    pictures: u64,
    samples: u64,
    /// Samples still to be left out at the beginning.
    late: usize,
    finished: bool,
}

impl Encoder {
    /// Begins `out`; its folder must be there.
    pub fn create(out: &Path, shape: Shape, quality: Quality) -> Result<Self, MediaError> {
        start()?;
        let shape = shape.checked()?;
        let mut part = out.as_os_str().to_owned();
        part.push(".part");
        let part = PathBuf::from(part);
        let pipeline = gst::Pipeline::new();
        let (video, audio) = build(&pipeline, shape, quality, &part)
            .map_err(|error| error.unwrap_or_else(|| failed(out, "the graph could not be linked")))?;
        let late = LATE;
        let encoder = Self {
            pipeline,
            video,
            audio,
            shape,
            out: out.to_owned(),
            part,
            pictures: 0,
            samples: 0,
            late,
            finished: false,
        };
        if encoder.pipeline.set_state(gst::State::Playing).is_err() {
            return Err(encoder.trouble());
        }
        Ok(encoder)
    }

    /// The next picture; waits while the encoder is busy.
    pub fn picture(&mut self, frame: &Frame) -> Result<(), MediaError> {
        let mut frame = frame.copy();
        let at =
            |number: u64| gst::ClockTime::from_nseconds(number * 1_000_000_000 / u64::from(self.shape.fps));
        let (start, end) = (at(self.pictures), at(self.pictures + 1));
        {
            let frame = frame.get_mut().expect("a fresh copy is not shared");
            frame.set_pts(start);
            frame.set_dts(gst::ClockTime::NONE);
            frame.set_duration(end - start);
        }
        self.pictures += 1;
        self.video.push_buffer(frame).map(drop).map_err(|_| self.trouble())
    }

    /// The next samples, in `[-1, 1]`; waits while the encoder is busy.
    pub fn sound(&mut self, samples: &[f32]) -> Result<(), MediaError> {
        let skipped = self.late.min(samples.len());
        self.late -= skipped;
        let samples = &samples[skipped..];
        if samples.is_empty() {
            return Ok(());
        }
        let bytes: Vec<u8> =
            samples.iter().flat_map(|sample| sample.clamp(-1.0, 1.0).to_le_bytes()).collect();
        let mut buffer = gst::Buffer::from_mut_slice(bytes);
        let at = |number: u64| gst::ClockTime::from_nseconds(number * 1_000_000_000 / u64::from(RATE));
        let (start, end) = (at(self.samples), at(self.samples + samples.len() as u64));
        {
            let buffer = buffer.get_mut().expect("a new buffer is not shared");
            buffer.set_pts(start);
            buffer.set_duration(end - start);
        }
        self.samples += samples.len() as u64;
        self.audio.push_buffer(buffer).map(drop).map_err(|_| self.trouble())
    }

    /// Writes what is left and gives the file its name.
    pub fn finish(mut self) -> Result<(), MediaError> {
        self.sound(&[0.0; LATE])?;
        let bus = self.pipeline.bus().expect("a pipeline has a bus");
        if self.video.end_of_stream().is_err() || self.audio.end_of_stream().is_err() {
            return Err(self.trouble());
        }
        let last = bus.timed_pop_filtered(None, &[gst::MessageType::Eos, gst::MessageType::Error]);
        if let Some(gst::MessageView::Error(error)) = last.as_ref().map(|message| message.view()) {
            return Err(failed(&self.out, said(error)));
        }
        if self.pipeline.set_state(gst::State::Null).is_err() {
            return Err(failed(&self.out, "the graph does not stop"));
        }
        undate(&self.part).map_err(|error| failed(&self.out, error))?;
        fs::rename(&self.part, &self.out).map_err(|error| failed(&self.out, error))?;
        self.finished = true;
        Ok(())
    }

    /// What the bus says about a refused sample.
    fn trouble(&self) -> MediaError {
        let wait = gst::ClockTime::from_seconds(5);
        let message =
            self.pipeline.bus().and_then(|bus| bus.timed_pop_filtered(wait, &[gst::MessageType::Error]));
        match message.as_ref().map(|message| message.view()) {
            Some(gst::MessageView::Error(error)) => failed(&self.out, said(error)),
            _ => failed(&self.out, "the encoder takes no more"),
        }
    }
}

impl Drop for Encoder {
    fn drop(&mut self) {
        if !self.finished {
            // Nothing can be done about a failure here, and the error that led here is the one to tell.
            let _stopped = self.pipeline.set_state(gst::State::Null);
            let _removed = fs::remove_file(&self.part);
        }
    }
}

fn failed(out: &Path, reason: impl ToString) -> MediaError {
    MediaError::Encode { path: out.to_owned(), reason: reason.to_string() }
}

/// The graph; `Err(None)` when elements do not link, which only a GStreamer we do not know would do.
fn build(
    pipeline: &gst::Pipeline,
    shape: Shape,
    quality: Quality,
    part: &Path,
) -> Result<(gst_app::AppSrc, gst_app::AppSrc), Option<MediaError>> {
    let mut caps = shape.caps();
    caps.make_mut().set("framerate", gst::Fraction::new(shape.fps as i32, 1));
    let video = source(&caps, PICTURES_AHEAD * shape.bytes() as u64);
    let x264 = element("x264enc", "gstreamer1.0-plugins-ugly")?;
    x264.set_property_from_str("pass", "qual");
    x264.set_property("quantizer", quality.crf.min(50));
    x264.set_property_from_str("speed-preset", quality.preset);
    // One thread, so that the bytes depend on no core count; files are made in parallel instead.
    x264.set_property("threads", 1u32);
    x264.set_property("key-int-max", 2 * shape.fps);
    x264.set_property("bframes", 0u32);
    x264.set_property("byte-stream", false);

    let caps = gst::Caps::builder("audio/x-raw")
        .field("format", "F32LE")
        .field("rate", RATE as i32)
        .field("channels", 1i32)
        .field("layout", "interleaved")
        .build();
    let audio = source(&caps, SOUND_AHEAD);
    let convert = element("audioconvert", "gstreamer1.0-plugins-base")?;
    let aac = element("avenc_aac", "gstreamer1.0-libav")?;
    aac.set_property("bitrate", quality.bits);

    let mux = element("mp4mux", "gstreamer1.0-plugins-good")?;
    let sink = element("filesink", "gstreamer1.0")?;
    sink.set_property("location", part);
    let link = |elements: &[&gst::Element]| gst::Element::link_many(elements).map_err(|_| None);
    let (first, second) = (video.upcast_ref(), audio.upcast_ref());
    pipeline.add_many([first, &x264, second, &convert, &aac, &mux, &sink]).map_err(|_| None)?;
    link(&[first, &x264, &mux, &sink])?;
    link(&[second, &convert, &aac, &mux])?;
    Ok((video, audio))
}

fn source(caps: &gst::Caps, most: u64) -> gst_app::AppSrc {
    gst_app::AppSrc::builder().caps(caps).format(gst::Format::Time).block(true).max_bytes(most).build()
}
