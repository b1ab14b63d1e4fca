//! Pictures and sound of media files.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;
use image::RgbaImage;

use super::{Frame, MediaError, RATE, Shape, start};

/// A decoder that says nothing for so long is stuck. Generous: it is meant for hangs, not for slow machines.
const STUCK: Duration = Duration::from_secs(120);

/// How long to wait for a sample before the bus is asked what is wrong.
const GLANCE: gst::ClockTime = gst::ClockTime::from_mseconds(50);

/// The pictures of a file, decoded while they are read: a handful are held.
pub(crate) struct Pictures(Decoding);

impl Pictures {
    /// Opens a file; `shape`'s rate does not matter.
    pub fn open(path: &Path, shape: Shape) -> Result<Self, MediaError> {
        start()?;
        let scale = element("videoscale", "gstreamer1.0-plugins-base")?;
        let convert = element("videoconvert", "gstreamer1.0-plugins-base")?;
        let sink = gst_app::AppSink::builder().caps(&shape.caps()).max_buffers(4).sync(false).build();
        Decoding::start(path, gst::StreamType::VIDEO, &[convert, scale], sink).map(Self)
    }

    /// The next picture and its time since the beginning, in seconds; `None` after the last, or when the file has none.
    pub fn next(&mut self) -> Result<Option<(f64, Frame)>, MediaError> {
        let Some(sample) = self.0.next()? else { return Ok(None) };
        let time = running_time(&sample).unwrap_or_default();
        Ok(sample.buffer_owned().map(|buffer| (time, buffer)))
    }
}

/// The sound of a file, mono at [`RATE`], at most `seconds` of it; `None` when it has none.
pub(crate) fn sound(path: &Path, seconds: f64) -> Result<Option<Vec<f32>>, MediaError> {
    start()?;
    let caps = gst::Caps::builder("audio/x-raw")
        .field("format", "F32LE")
        .field("rate", RATE as i32)
        .field("channels", 1i32)
        .field("layout", "interleaved")
        .build();
    let convert = element("audioconvert", "gstreamer1.0-plugins-base")?;
    let resample = element("audioresample", "gstreamer1.0-plugins-base")?;
    let sink = gst_app::AppSink::builder().caps(&caps).max_buffers(16).sync(false).build();
    let mut decoding = Decoding::start(path, gst::StreamType::AUDIO, &[convert, resample], sink)?;
    let most = (seconds * f64::from(RATE)).round() as usize;
    let mut heard = None;
    while let Some(sample) = decoding.next()? {
        let samples = heard.get_or_insert_with(|| {
            // Sound that begins later than the file does.
            let late = (running_time(&sample).unwrap_or_default() * f64::from(RATE)).round() as usize;
            vec![0.0; late.min(most)]
        });
        let Some(map) = sample.buffer().and_then(|buffer| buffer.map_readable().ok()) else { continue };
        samples.extend(map.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])));
        if samples.len() >= most {
            samples.truncate(most);
            break;
        }
    }
    Ok(heard)
}

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Probe {
    /// How long it lasts.
    pub seconds: f64,
    /// Whether it has pictures.
    pub sight: bool,
    /// The largest sample, of 1; `None` without sound.
    pub peak: Option<f32>,
}

/// Reads a file's first picture and all of its sound.
pub(crate) fn probe(path: &Path) -> Result<Probe, MediaError> {
    let mut pictures = Pictures::open(path, Shape { width: 16, height: 16, fps: 1 })?;
    let sight = pictures.next()?.is_some();
    let said = pictures.0.pipeline.query_duration::<gst::ClockTime>();
    drop(pictures);
    let heard = sound(path, LONGEST)?;
    let loud = |samples: &Vec<f32>| samples.iter().fold(0.0f32, |peak, sample| peak.max(sample.abs()));
    let lasts = heard.as_ref().map_or(0.0, |samples| samples.len() as f64 / f64::from(RATE));
    let seconds = said.map_or(lasts, |said| said.nseconds() as f64 / 1e9);
    Ok(Probe { seconds, sight, peak: heard.as_ref().map(loud) })
}

/// Seconds of sound that are looked through.
const LONGEST: f64 = 600.0;

/// An SVG drawing in its own size.
pub(crate) fn drawing(path: &Path) -> Result<RgbaImage, MediaError> {
    start()?;
    let bad = |reason: &str| MediaError::Decode { path: path.to_owned(), reason: reason.to_owned() };
    let source = element("filesrc", "gstreamer1.0")?;
    source.set_property("location", path);
    let draw = element("rsvgdec", "gstreamer1.0-plugins-bad")?;
    let convert = element("videoconvert", "gstreamer1.0-plugins-base")?;
    let caps = gst::Caps::builder("video/x-raw").field("format", "RGBA").build();
    let sink = gst_app::AppSink::builder().caps(&caps).sync(false).build();
    let pipeline = gst::Pipeline::new();
    let all = [&source, &draw, &convert, sink.upcast_ref()];
    pipeline.add_many(all).and_then(|()| gst::Element::link_many(all)).map_err(|e| bad(&e.to_string()))?;
    let mut decoding = Decoding::run(path, pipeline, sink)?;
    let sample = decoding.next()?.ok_or_else(|| bad("it draws nothing"))?;
    let structure = sample.caps().and_then(|caps| caps.structure(0)).ok_or_else(|| bad("it has no size"))?;
    let size = |name| structure.get::<i32>(name).ok().and_then(|size| u32::try_from(size).ok());
    let (Some(width), Some(height)) = (size("width"), size("height")) else {
        return Err(bad("it has no size"));
    };
    let map = sample.buffer().and_then(|buffer| buffer.map_readable().ok());
    let pixels = map.map(|map| map.to_vec()).unwrap_or_default();
    RgbaImage::from_raw(width, height, pixels).ok_or_else(|| bad("its pixels are not all there"))
}

/// A new element; the error names the Debian package it is in.
pub(super) fn element(name: &'static str, package: &'static str) -> Result<gst::Element, MediaError> {
    let missing = |_| MediaError::Element { element: name, package };
    gst::ElementFactory::make(name).build().map_err(missing)
}

/// What an error message of the bus says, with the element's own words where it has some.
pub(super) fn said(error: &gst::message::Error) -> String {
    let message = error.error().message().trim_end_matches('.').to_owned();
    let detail = error.debug().and_then(|debug| debug.lines().last().map(|line| line.trim().to_owned()));
    match detail.filter(|detail| !detail.is_empty() && !detail.contains(".c(")) {
        Some(detail) => format!("{message} ({detail})"),
        None => message,
    }
}

fn running_time(sample: &gst::Sample) -> Option<f64> {
    let segment = sample.segment()?.downcast_ref::<gst::ClockTime>()?;
    let time = segment.to_running_time(sample.buffer()?.pts()?)?;
    Some(time.nseconds() as f64 / 1e9)
}

/// A running pipeline with one sink to read from.
struct Decoding {
    path: PathBuf,
    pipeline: gst::Pipeline,
    sink: gst_app::AppSink,
    /// What is looked for is not in the file.
    absent: Arc<AtomicBool>,
}

impl Decoding {
    /// Decodes the first stream of kind `wanted` through `elements` into `sink`, and no other.
    fn start(
        path: &Path,
        wanted: gst::StreamType,
        elements: &[gst::Element],
        sink: gst_app::AppSink,
    ) -> Result<Self, MediaError> {
        let bad = |reason: String| MediaError::Decode { path: path.to_owned(), reason };
        std::fs::File::open(path).map_err(|error| bad(error.to_string()))?;
        let absolute = std::path::absolute(path).map_err(|error| bad(error.to_string()))?;
        let uri = gst::glib::filename_to_uri(&absolute, None).map_err(|error| bad(error.to_string()))?;
        // Not uridecodebin3: of 1.22's, about one in fifty never begins with a file that it decodes the next time.
        let source = element("uridecodebin", "gstreamer1.0-plugins-base")?;
        source.set_property("uri", uri.as_str());
        let pipeline = gst::Pipeline::new();
        let chain: Vec<&gst::Element> = elements.iter().chain([sink.upcast_ref()]).collect();
        pipeline
            .add(&source)
            .and_then(|()| pipeline.add_many(chain.iter().copied()))
            .and_then(|()| gst::Element::link_many(chain.iter().copied()))
            .map_err(|error| bad(error.to_string()))?;
        let target =
            chain[0].static_pad("sink").ok_or_else(|| bad("an element has no sink pad".to_owned()))?;
        let kind = if wanted == gst::StreamType::AUDIO { "audio/" } else { "video/" };
        let first = target.downgrade();
        source.connect_pad_added(move |_, pad| {
            let Some(target) = first.upgrade() else { return };
            let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
            let is_wanted = caps.structure(0).is_some_and(|caps| caps.name().starts_with(kind));
            // A second pad of the kind, which none of the formats we read makes, is left alone.
            if is_wanted && !target.is_linked() && pad.link(&target).is_err() {
                tracing::debug!(pad = %pad.name(), "a decoded stream does not link");
            }
        });
        let absent = Arc::new(AtomicBool::new(false));
        let (first, found_none) = (target.downgrade(), absent.clone());
        source.connect_no_more_pads(move |_| {
            let linked = first.upgrade().is_some_and(|target| target.is_linked());
            found_none.store(!linked, Ordering::Release);
        });
        let mut decoding = Self::run(path, pipeline, sink)?;
        decoding.absent = absent;
        Ok(decoding)
    }

    fn run(path: &Path, pipeline: gst::Pipeline, sink: gst_app::AppSink) -> Result<Self, MediaError> {
        let absent = Arc::new(AtomicBool::new(false));
        let decoding = Self { path: path.to_owned(), pipeline, sink, absent };
        // A failure is on the bus, where `next` finds it.
        let _started = decoding.pipeline.set_state(gst::State::Playing);
        Ok(decoding)
    }

    fn next(&mut self) -> Result<Option<gst::Sample>, MediaError> {
        let began = Instant::now();
        while !self.is_absent() {
            if let Some(sample) = self.sink.try_pull_sample(GLANCE) {
                return Ok(Some(sample));
            }
            if self.sink.is_eos() {
                return self.listen().map(|()| None);
            }
            self.listen()?;
            if began.elapsed() > STUCK {
                let seconds = STUCK.as_secs();
                return Err(MediaError::Stuck { path: self.path.clone(), seconds });
            }
        }
        Ok(None)
    }

    /// Reads what the bus has said.
    fn listen(&mut self) -> Result<(), MediaError> {
        let Some(bus) = self.pipeline.bus() else { return Ok(()) };
        while let Some(message) = bus.pop_filtered(&[gst::MessageType::Error]) {
            if let gst::MessageView::Error(error) = message.view() {
                // A file of the other kind only leaves its demuxer with nothing to do.
                return if self.is_absent() { Ok(()) } else { Err(self.bad(said(error))) };
            }
        }
        Ok(())
    }

    fn is_absent(&self) -> bool {
        self.absent.load(Ordering::Acquire)
    }

    fn bad(&self, reason: String) -> MediaError {
        MediaError::Decode { path: self.path.clone(), reason }
    }
}

impl Drop for Decoding {
    fn drop(&mut self) {
        if let Err(error) = self.pipeline.set_state(gst::State::Null) {
            tracing::warn!(%error, "a pipeline did not stop");
        }
    }
}
