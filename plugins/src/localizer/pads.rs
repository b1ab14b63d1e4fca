//! What comes on the sink pads: samples, gaps, ends, flushes and questions about caps.

use std::time::Duration;

use avicuna_models::sample::RgbFrame;
use avicuna_pipeline::stream::Medium;
use avicuna_pipeline::timeline::StreamTime;
use avicuna_pipeline::window::Closed;
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer::subclass::prelude::*;

use super::imp::{CAT, Localizer, Running, lock};
use super::line::Job;

impl Localizer {
    pub(super) fn chain(
        &self,
        medium: Medium,
        buffer: &gst::Buffer,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        let pts = buffer.pts().ok_or_else(|| self.flow_error("a buffer has no time stamp"))?;
        let Some(at) = self.running_time(medium, pts) else {
            // Outside of the segment: not to be shown, so not to be seen.
            return Ok(gst::FlowSuccess::Ok);
        };
        let map = buffer.map_readable().map_err(|_| self.flow_error("a buffer cannot be read"))?;
        self.feed(|running| {
            running.line.check(running.epoch)?;
            Ok(match medium {
                Medium::Video => {
                    let frame = self
                        .rgb(&map)
                        .ok_or_else(|| self.flow_error("a picture has another size than its caps"))?;
                    running.intake.frame(frame, at, buffer.duration().map(Into::into))
                }
                Medium::Audio => {
                    let (samples, duration) =
                        self.mono(&map).ok_or_else(|| self.flow_error("sound came without caps"))?;
                    running.intake.samples(samples, at, duration)
                }
            })
        })?;
        Ok(gst::FlowSuccess::Ok)
    }

    /// Hands over the windows that close with what `put` puts in. Blocks while the model is busy and enough windows wait.
    fn feed(
        &self,
        put: impl FnOnce(&mut Running) -> Result<Vec<Closed>, gst::FlowError>,
    ) -> Result<(), gst::FlowError> {
        let (closed, line, epoch) = {
            let mut guard = lock(&self.running);
            let running = guard.as_mut().ok_or(gst::FlowError::Flushing)?;
            (put(running)?, running.line.clone(), running.epoch)
        };
        closed.into_iter().try_for_each(|closed| line.give(epoch, Job::Window(Box::new(closed))))
    }

    fn running_time(&self, medium: Medium, time: gst::ClockTime) -> Option<StreamTime> {
        let running = lock(&self.segments)[medium as usize].to_running_time(time)?;
        Some(StreamTime(i64::try_from(running.nseconds()).unwrap_or(i64::MAX)))
    }

    /// A packed copy of a picture; GStreamer's rows are padded to four bytes.
    fn rgb(&self, data: &[u8]) -> Option<RgbFrame> {
        let caps = self.video.current_caps()?;
        let structure = caps.structure(0)?;
        let side =
            |name| structure.get::<i32>(name).ok().and_then(|n| usize::try_from(n).ok()).filter(|n| *n > 0);
        let (width, height) = (side("width")?, side("height")?);
        let stride = (width * 3).next_multiple_of(4);
        if data.len() < stride * height {
            return None;
        }
        let data =
            data.chunks_exact(stride).take(height).flat_map(|row| &row[..width * 3]).copied().collect();
        // Where a pixel is no square, the picture was stretched.
        let pixel = structure.get::<gst::Fraction>("pixel-aspect-ratio").ok();
        let pixel = pixel.map_or(1.0, |pixel| pixel.numer().max(1) as f32 / pixel.denom().max(1) as f32);
        let aspect = width as f32 / height as f32 * pixel;
        Some(RgbFrame { width, height, aspect, data })
    }

    /// Samples, and how long they last.
    fn mono(&self, data: &[u8]) -> Option<(Vec<f32>, Duration)> {
        let rate: i32 = self.audio.current_caps()?.structure(0)?.get("rate").ok()?;
        let samples: Vec<f32> =
            data.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        let duration = Duration::from_secs_f64(samples.len() as f64 / f64::from(rate.max(1)));
        Some((samples, duration))
    }

    fn flow_error(&self, message: &str) -> gst::FlowError {
        gst::element_imp_error!(self, gst::StreamError::Format, ["{message}"]);
        gst::FlowError::Error
    }

    pub(super) fn query(&self, medium: Medium, pad: &gst::Pad, query: &mut gst::QueryRef) -> bool {
        let gst::QueryViewMut::Caps(caps) = query.view_mut() else {
            return gst::Pad::query_default(pad, Some(&*self.obj()), query);
        };
        let wanted = self.wanted(medium, pad);
        let answer = caps.filter().map_or(wanted.clone(), |filter| {
            filter.intersect_with_mode(&wanted, gst::CapsIntersectMode::First)
        });
        caps.set_result(&answer);
        true
    }

    /// What the loaded model takes; the template's caps before it is loaded.
    fn wanted(&self, medium: Medium, pad: &gst::Pad) -> gst::Caps {
        let mut caps = pad.pad_template_caps();
        let Some(model) = lock(&self.model).clone() else { return caps };
        let manifest = model.manifest();
        let fields = match medium {
            Medium::Video => manifest
                .vision
                .as_ref()
                .map(|vision| vec![("width", vision.input_size), ("height", vision.input_size)]),
            Medium::Audio => manifest.audio.as_ref().map(|audio| vec![("rate", audio.sample_rate)]),
        };
        for (name, value) in fields.into_iter().flatten() {
            caps.make_mut().set(name, i32::try_from(value).unwrap_or(i32::MAX));
        }
        caps
    }

    pub(super) fn event(&self, medium: Medium, pad: &gst::Pad, event: gst::Event) -> bool {
        match event.view() {
            gst::EventView::Segment(segment) => {
                let Ok(segment) = segment.segment().clone().downcast::<gst::ClockTime>() else {
                    gst::error!(CAT, obj = pad, "only segments in time are understood");
                    return false;
                };
                lock(&self.segments)[medium as usize] = segment;
                true
            }
            gst::EventView::Gap(gap) => {
                let (from, duration) = gap.get();
                let until = from + duration.unwrap_or(gst::ClockTime::ZERO);
                let Some(until) = self.running_time(medium, until) else { return true };
                self.feed(|running| Ok(running.intake.gap(medium, until))).is_ok()
            }
            gst::EventView::Eos(_) => self.end(medium),
            gst::EventView::FlushStart(_) => self.flush_start(medium, event),
            gst::EventView::FlushStop(_) => self.flush_stop(medium, event),
            // The source pad has caps and segments of its own.
            gst::EventView::Caps(_) | gst::EventView::StreamStart(_) | gst::EventView::Tag(_) => true,
            _ => gst::Pad::event_default(pad, Some(&*self.obj()), event),
        }
    }

    fn end(&self, medium: Medium) -> bool {
        let mut ended = None;
        // Where downstream takes nothing any more, it hears of the end all the same.
        let _refused = self.feed(|running| {
            let (closed, over) = running.intake.end(medium);
            ended = over.then(|| (running.line.clone(), running.epoch));
            Ok(closed)
        });
        ended.is_none_or(|(line, epoch)| line.give(epoch, Job::End).is_ok())
    }

    /// Everything that waits is dropped, once for all pads that the same flush comes to, and time begins anew.
    fn flush_start(&self, medium: Medium, event: gst::Event) -> bool {
        if let Some(running) = &mut *lock(&self.running) {
            let stale = running.intake.came(medium);
            if running.flush.replace(event.seqnum()) != Some(event.seqnum()) || stale {
                running.epoch = running.line.flush();
                if let Err(error) = running.intake.restart() {
                    gst::error!(CAT, imp = self, "windows cannot begin anew: {error}");
                }
            }
        }
        let first = {
            let mut flushing = lock(&self.flushing);
            let first = *flushing == [false; 2];
            flushing[medium as usize] = true;
            first
        };
        !first || self.src.push_event(event)
    }

    fn flush_stop(&self, medium: Medium, event: gst::Event) -> bool {
        lock(&self.segments)[medium as usize] = gst::FormattedSegment::new();
        let last = {
            let mut flushing = lock(&self.flushing);
            flushing[medium as usize] = false;
            *flushing == [false; 2]
        };
        if !last {
            return true;
        }
        // The worker pushes nothing of before the flush once it has this lock.
        let _worker_waits = self.src.stream_lock();
        self.src.push_event(event)
    }
}
