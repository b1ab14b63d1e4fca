//! The video branch: frames are chosen while they are raw, then converted and scaled, then copied once.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use avicuna_models::sample::RgbFrame;
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;
use gstreamer_video as gst_video;
use gstreamer_video::prelude::*;

use super::event::{SourceEvent, TimedFrame};
use super::intake::{Arrived, Intake};
use super::ntp::NtpMap;
use super::pick::{Picked, Picker};
use crate::stream::Medium;
use crate::timeline::{Grid, GridIndex, StreamTime, UtcTime};

/// Shared by the probe before the converter and the sink after it; both run in the branch's one streaming thread.
pub(super) struct VideoTap {
    intake: Arc<Intake>,
    generation: u64,
    grid: Grid,
    ntp: Arc<NtpMap>,
    state: Mutex<State>,
}

struct State {
    segment: Option<gst::FormattedSegment<gst::ClockTime>>,
    picker: Picker<Chosen>,
    /// Chosen frames inside the converter, in order.
    inside: VecDeque<Ticket>,
    /// The probe itself pushes a held frame: let it through.
    passing: bool,
}

/// A raw frame that may stand for a grid point.
struct Chosen {
    buffer: gst::Buffer,
    capture: UtcTime,
}

/// What the sink must know of the frame that comes out of the converter next.
struct Ticket {
    first: GridIndex,
    last: GridIndex,
    stream: StreamTime,
    capture: UtcTime,
    /// Grid points before this are done with this frame.
    until: StreamTime,
    after: Vec<SourceEvent>,
}

impl VideoTap {
    pub fn new(intake: Arc<Intake>, generation: u64, grid: Grid, ntp: Arc<NtpMap>) -> Arc<Self> {
        let state =
            State { segment: None, picker: Picker::new(grid), inside: VecDeque::new(), passing: false };
        Arc::new(Self { intake, generation, grid, ntp, state: Mutex::new(state) })
    }

    /// Watches the converter's sink pad.
    pub fn attach(self: &Arc<Self>, pad: &gst::Pad) {
        let tap = Arc::clone(self);
        let mask = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM;
        pad.add_probe(mask, move |pad, info| match &info.data {
            Some(gst::PadProbeData::Buffer(_)) => tap.buffer(info),
            Some(gst::PadProbeData::Event(event)) => {
                let event = event.clone();
                tap.event(pad, &event);
                gst::PadProbeReturn::Ok
            }
            _ => gst::PadProbeReturn::Ok,
        });
    }

    /// Holds the new frame back and lets the one before go on in its place, if it stands for a grid point. A frame that
    /// was taken is `Handled`: GStreamer would release a `Drop`ped one once more.
    fn buffer(&self, info: &mut gst::PadProbeInfo<'_>) -> gst::PadProbeReturn {
        let mut state = self.lock();
        if state.passing {
            return gst::PadProbeReturn::Ok;
        }
        let Some(gst::PadProbeData::Buffer(buffer)) = info.data.take() else {
            return gst::PadProbeReturn::Handled;
        };
        if buffer.flags().contains(gst::BufferFlags::CORRUPTED) {
            self.intake.mailbox.damaged();
        }
        let Some(arrived) = state.arrived(&buffer, &self.ntp) else { return gst::PadProbeReturn::Handled };
        let Some(timed) = self.intake.place(Medium::Video, &arrived) else {
            return gst::PadProbeReturn::Handled;
        };
        let duration = buffer.duration().map(Into::into);
        let chosen = Chosen { buffer, capture: timed.capture };
        let picked = state.picker.push(chosen, timed.stream, duration, timed.restart, timed.floor);
        let until = state.picker.due().map_or(timed.stream, |due| due.min(timed.stream));
        let Some(picked) = picked else {
            drop(state);
            return self.tell(timed.before, until);
        };
        info.data = Some(gst::PadProbeData::Buffer(state.enter(picked, until, timed.before)));
        gst::PadProbeReturn::Ok
    }

    fn tell(&self, events: Vec<SourceEvent>, until: StreamTime) -> gst::PadProbeReturn {
        for event in events {
            if self.intake.mailbox.push(self.generation, event).is_err() {
                return gst::PadProbeReturn::Handled;
            }
        }
        self.intake.handed(Medium::Video, until);
        gst::PadProbeReturn::Handled
    }

    /// Before the format or the segment changes, and at the end, the held frame goes on alone.
    fn event(&self, pad: &gst::Pad, event: &gst::Event) {
        match event.view() {
            gst::EventView::Caps(_) | gst::EventView::Eos(_) => self.flush(pad),
            gst::EventView::Segment(segment) => {
                self.flush(pad);
                self.lock().segment = segment.segment().downcast_ref::<gst::ClockTime>().cloned();
            }
            _ => {}
        }
    }

    fn flush(&self, pad: &gst::Pad) {
        let mut state = self.lock();
        let Some(picked) = state.picker.finish() else { return };
        let until = self.grid.at(picked.last);
        let buffer = state.enter(picked, until, Vec::new());
        state.passing = true;
        drop(state);
        let flow = pad.chain(buffer);
        self.lock().passing = false;
        if let Err(error) = flow {
            tracing::debug!(%error, "the last frame before a change did not get through");
        }
    }

    /// Takes one converted frame.
    pub fn sample(&self, sink: &gst_app::AppSink) -> Result<gst::FlowSuccess, gst::FlowError> {
        let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
        let ticket = self.lock().inside.pop_front();
        let ticket = ticket.ok_or(gst::FlowError::Error)?;
        let frame = rgb(&sample).ok_or(gst::FlowError::NotNegotiated)?;
        self.intake.pace(self.generation, ticket.stream).map_err(|_| gst::FlowError::Flushing)?;
        for index in ticket.first.0..=ticket.last.0 {
            let (at, stream, capture) = (GridIndex(index), ticket.stream, ticket.capture);
            let event = SourceEvent::Frame(TimedFrame { at, stream, capture, frame: frame.clone() });
            self.intake.mailbox.push(self.generation, event).map_err(|_| gst::FlowError::Flushing)?;
        }
        self.tell(ticket.after, ticket.until);
        Ok(gst::FlowSuccess::Ok)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn arrived(&self, buffer: &gst::Buffer, ntp: &NtpMap) -> Option<Arrived> {
        let stamp = buffer.pts().or(buffer.dts());
        let pts = match (stamp, &self.segment) {
            // Outside the segment: decoded only to reach the first frame asked for.
            (Some(stamp), Some(segment)) => Some(segment.to_running_time(stamp)?.nseconds() as i64),
            (Some(stamp), None) => Some(stamp.nseconds() as i64),
            (None, _) => None,
        };
        let ahead = stamp.zip(pts).map_or(0, |(stamp, pts)| stamp.nseconds() as i64 - pts);
        let duration = buffer.duration().map_or(0, |duration| duration.nseconds() as i64);
        let ntp = pts.and_then(|pts| ntp.at(Medium::Video, pts));
        Some(Arrived { pts, ahead, duration, ntp })
    }

    fn enter(&mut self, picked: Picked<Chosen>, until: StreamTime, after: Vec<SourceEvent>) -> gst::Buffer {
        let Picked { frame, stream, first, last } = picked;
        self.inside.push_back(Ticket { first, last, stream, capture: frame.capture, until, after });
        frame.buffer
    }
}

/// Width over height as a picture is to be shown: scaling keeps it by way of the shape of a pixel.
fn shown_aspect(info: &gst_video::VideoInfo) -> f32 {
    let (numerator, denominator) = (info.par().numer().max(1), info.par().denom().max(1));
    (info.width() as f32 * numerator as f32) / (info.height().max(1) as f32 * denominator as f32)
}

/// Copies a frame out of the graph, rows packed.
fn rgb(sample: &gst::Sample) -> Option<RgbFrame> {
    let info = gst_video::VideoInfo::from_caps(sample.caps()?).ok()?;
    let frame = gst_video::VideoFrameRef::from_buffer_ref_readable(sample.buffer()?, &info).ok()?;
    let (width, height) = (info.width() as usize, info.height() as usize);
    let stride = usize::try_from(*frame.plane_stride().first()?).ok()?;
    let plane = frame.plane_data(0).ok()?;
    let row = width * 3;
    let data = if stride == row {
        plane.get(..row * height)?.to_vec()
    } else {
        let mut data = Vec::with_capacity(row * height);
        for line in plane.chunks(stride).take(height) {
            data.extend_from_slice(line.get(..row)?);
        }
        data
    };
    Some(RgbFrame { width, height, aspect: shown_aspect(&info), data })
}
