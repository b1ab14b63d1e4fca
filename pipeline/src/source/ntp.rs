//! The sender's wall clock from RTCP sender reports, carried over to running time, and the running time that packets get by it.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gstreamer as gst;
use gstreamer::prelude::*;

use super::rtcp::{Report, at_rtp, be32, sender_report};
use super::steady::Steady;
use crate::stream::Medium;
use crate::timeline::UtcTime;

/// For each track, the sender's UTC minus running time, once it is known. GStreamer 1.22 hands out the
/// sender's clock only for RFC 7273 streams, so the reports are read where the jitter buffer sees them and RTP time
/// stamps where they leave it.
#[derive(Debug, Default)]
pub(super) struct NtpMap {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// By SSRC.
    reports: HashMap<u32, Report>,
    offsets: [Option<i64>; 2],
    steady: [Steady; 2],
}

/// More senders than this on one stream are forgotten and learnt anew.
const MOST_SENDERS: usize = 16;
impl NtpMap {
    /// The sender's wall clock at a running time in nanoseconds.
    pub fn at(&self, track: Medium, running: i64) -> Option<UtcTime> {
        let offset = self.lock().offsets[track as usize]?;
        Some(UtcTime(running + offset))
    }

    /// The sender's UTC minus running time, known otherwise than from reports. The first track that knows it speaks for both.
    pub fn set_once(&self, track: Medium, offset: i64) {
        let mut state = self.lock();
        if state.offsets == [None; 2] {
            state.offsets[track as usize] = Some(offset);
        }
    }

    /// Watches a jitter buffer or an RTSP source that was added to the graph.
    pub fn watch(self: &Arc<Self>, element: &gst::Element) {
        match element.factory().map(|factory| factory.name()).as_deref() {
            Some("rtpjitterbuffer") => {
                let map = Arc::clone(self);
                element.connect("handle-sync", false, move |args| {
                    let sync = args.get(1)?.get::<gst::Structure>().ok()?;
                    let buffer = sync.get::<gst::Buffer>("sr-buffer").ok()?;
                    let report = buffer.map_readable().ok().and_then(|packet| sender_report(&packet));
                    if let Some((ssrc, report)) = report {
                        map.report(ssrc, report);
                    }
                    None
                });
            }
            Some("rtspsrc") => {
                let map = Arc::clone(self);
                element.connect_pad_added(move |_, pad| map.watch_pad(pad));
            }
            _ => {}
        }
    }

    fn watch_pad(self: &Arc<Self>, pad: &gst::Pad) {
        let map = Arc::clone(self);
        let mask = gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST;
        pad.add_probe(mask, move |pad, info| {
            let place = |buffer: &mut gst::Buffer| {
                if let Some(pts) = map.packet(pad, buffer) {
                    buffer.make_mut().set_pts(pts);
                }
            };
            if let Some(buffer) = info.buffer_mut() {
                place(buffer);
            } else if let Some(list) = info.buffer_list_mut() {
                list.make_mut().foreach_mut(|mut buffer, _| {
                    place(&mut buffer);
                    ControlFlow::Continue(Some(buffer))
                });
            }
            gst::PadProbeReturn::Ok
        });
    }

    /// One RTP packet as it leaves the jitter buffer; returns the time stamp that it gets.
    fn packet(&self, pad: &gst::Pad, buffer: &gst::BufferRef) -> Option<gst::ClockTime> {
        let pts = buffer.pts()?;
        let mut header = [0u8; 12];
        buffer.copy_to_slice(0, &mut header).ok()?;
        let (rtp, ssrc) = (be32(&header, 4)?, be32(&header, 8)?);
        let caps = pad.current_caps()?;
        let caps = caps.structure(0)?;
        let track = match caps.get::<&str>("media").ok()? {
            "audio" => Medium::Audio,
            "video" => Medium::Video,
            _ => return None,
        };
        let rate = i64::from(caps.get::<i32>("clock-rate").ok()?.max(1));
        let segment = pad.sticky_event::<gst::event::Segment>(0)?;
        let said =
            segment.segment().downcast_ref::<gst::ClockTime>()?.to_running_time(pts)?.nseconds() as i64;
        let mut state = self.lock();
        let utc = state.reports.get(&ssrc).map(|report| at_rtp(*report, rtp, rate));
        // Pictures are reordered, so they go where the sound is, whose packets come in order.
        let sound = state.offsets[Medium::Audio as usize].filter(|_| track == Medium::Video);
        let aim = utc.zip(sound).map(|(utc, offset)| utc - offset);
        let running = state.steady[track as usize].place(rtp, rate, said, aim);
        if let Some(utc) = utc {
            state.offsets[track as usize] = Some(utc - running);
        }
        let stamp = i64::try_from(pts.nseconds()).ok()?.saturating_add(running - said);
        Some(gst::ClockTime::from_nseconds(u64::try_from(stamp).unwrap_or(0)))
    }

    fn report(&self, ssrc: u32, report: Report) {
        let mut state = self.lock();
        if state.reports.len() >= MOST_SENDERS && !state.reports.contains_key(&ssrc) {
            state.reports.clear();
        }
        state.reports.insert(ssrc, report);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
