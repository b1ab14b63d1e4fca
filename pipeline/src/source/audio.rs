//! The audio branch: mono f32 samples at the model's rate, contiguous wherever the source is.

use std::sync::{Arc, Mutex, PoisonError};

use gstreamer as gst;
use gstreamer_app as gst_app;

use super::downmix::Downmix;
use super::event::{SourceEvent, TimedAudio};
use super::intake::{Arrived, Intake};
use super::ntp::NtpMap;
use super::pick::Joiner;
use crate::stream::Medium;
use crate::timeline::StreamTime;

/// The sink of the audio branch.
pub(super) struct AudioTap {
    intake: Arc<Intake>,
    generation: u64,
    rate: u32,
    ntp: Arc<NtpMap>,
    joiner: Mutex<Joiner>,
    downmix: Mutex<Downmix>,
}

impl AudioTap {
    pub fn new(intake: Arc<Intake>, generation: u64, rate: u32, ntp: Arc<NtpMap>) -> Arc<Self> {
        let (joiner, downmix) = (Mutex::new(Joiner::new(rate)), Mutex::new(Downmix::new(rate)));
        Arc::new(Self { intake, generation, rate, ntp, joiner, downmix })
    }

    /// Takes one buffer of resampled audio.
    pub fn sample(&self, sink: &gst_app::AppSink) -> Result<gst::FlowSuccess, gst::FlowError> {
        let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
        let buffer = sample.buffer().ok_or(gst::FlowError::Error)?;
        let mut samples = floats(buffer).ok_or(gst::FlowError::Error)?;
        if sample.caps().is_some_and(is_stereo) {
            let mut downmix = self.downmix.lock().unwrap_or_else(PoisonError::into_inner);
            samples = downmix.mix(&samples);
        }
        let pts = match (buffer.pts(), sample.segment().and_then(|s| s.downcast_ref::<gst::ClockTime>())) {
            (Some(stamp), Some(segment)) => match segment.to_running_time(stamp) {
                Some(time) => Some(time.nseconds() as i64),
                None => return Ok(gst::FlowSuccess::Ok),
            },
            (stamp, _) => stamp.map(|stamp| stamp.nseconds() as i64),
        };
        let ahead = buffer.pts().zip(pts).map_or(0, |(stamp, pts)| stamp.nseconds() as i64 - pts);
        let duration = self.span(samples.len());
        let ntp = pts.and_then(|pts| self.ntp.at(Medium::Audio, pts));
        let Some(timed) = self.intake.place(Medium::Audio, &Arrived { pts, ahead, duration, ntp }) else {
            return Ok(gst::FlowSuccess::Ok);
        };
        let joined = {
            let mut joiner = self.joiner.lock().unwrap_or_else(PoisonError::into_inner);
            if timed.restart {
                *joiner = Joiner::new(self.rate);
            }
            joiner.join(timed.stream, &mut samples)
        };
        for event in timed.before {
            self.push(event)?;
        }
        let Some(stream) = joined else { return Ok(gst::FlowSuccess::Ok) };
        self.intake.pace(self.generation, stream).map_err(|_| gst::FlowError::Flushing)?;
        let capture = timed.capture.offset(stream.0 - timed.stream.0);
        let until = StreamTime(stream.0 + self.span(samples.len()));
        self.push(SourceEvent::Audio(TimedAudio { stream, capture, samples }))?;
        self.intake.handed(Medium::Audio, until);
        Ok(gst::FlowSuccess::Ok)
    }

    fn push(&self, event: SourceEvent) -> Result<(), gst::FlowError> {
        self.intake.mailbox.push(self.generation, event).map_err(|_| gst::FlowError::Flushing)
    }

    /// Nanoseconds `count` samples last.
    fn span(&self, count: usize) -> i64 {
        (count as u64 * 1_000_000_000 / u64::from(self.rate.max(1))) as i64
    }
}

fn is_stereo(caps: &gst::CapsRef) -> bool {
    caps.structure(0).is_some_and(|caps| caps.get("channels") == Ok(2))
}

/// The samples of an F32LE buffer.
fn floats(buffer: &gst::BufferRef) -> Option<Vec<f32>> {
    let map = buffer.map_readable().ok()?;
    let (samples, _) = map.as_chunks::<4>();
    Some(samples.iter().map(|bytes| sane(f32::from_le_bytes(*bytes))).collect())
}

/// Files of floats may hold anything; one sample that is no number would make the whole window none.
fn sane(sample: f32) -> f32 {
    if sample.is_nan() { 0.0 } else { sample.clamp(-1.0, 1.0) }
}
