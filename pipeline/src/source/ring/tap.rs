//! Where the ring gets its units: in front of the decoders. Only what is decoded comes by there, parsed into access units, with its format.

use std::sync::{Arc, Mutex, PoisonError};

use gstreamer as gst;
use gstreamer::prelude::*;

use super::{Encoding, Ring};
use crate::stream::Medium;

/// Watches a decoder; lets a parser repeat what a decoder must know first, so that a clip can begin at any key frame. Other elements are left
/// alone.
pub(in crate::source) fn watch(element: &gst::Element, ring: &Arc<Ring>, generation: u64) {
    let Some(factory) = element.factory() else { return };
    if element.find_property("config-interval").is_some() && factory.has_type(gst::ElementFactoryType::PARSER)
    {
        element.set_property("config-interval", -1i32);
    }
    // A bin announces what is in it by itself.
    if !factory.has_type(gst::ElementFactoryType::DECODER) || element.is::<gst::Bin>() {
        return;
    }
    let is_audio = factory.has_type(gst::ElementFactoryType::MEDIA_AUDIO);
    let track = if is_audio { Medium::Audio } else { Medium::Video };
    if let Some(pad) = element.static_pad("sink") {
        ring.tap(track, generation);
        attach(&pad, Arc::clone(ring), generation);
    }
}

/// Watches sound that needs no decoder.
pub(in crate::source) fn raw(pad: &gst::Pad, ring: &Arc<Ring>, generation: u64) {
    if ring.tap(Medium::Audio, generation) {
        attach(pad, Arc::clone(ring), generation);
    }
}

/// Keeps what comes through a pad, if it is sound or pictures.
fn attach(pad: &gst::Pad, ring: Arc<Ring>, generation: u64) {
    let state = Mutex::new(Passing::default());
    let mask =
        gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST | gst::PadProbeType::EVENT_DOWNSTREAM;
    pad.add_probe(mask, move |pad, info| {
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        match &info.data {
            Some(gst::PadProbeData::Event(event)) => state.event(event),
            Some(gst::PadProbeData::Buffer(buffer)) => state.keep(pad, buffer, &ring, generation),
            Some(gst::PadProbeData::BufferList(list)) => {
                list.iter().for_each(|buffer| state.keep(pad, buffer, &ring, generation));
            }
            _ => {}
        }
        gst::PadProbeReturn::Ok
    });
}

/// What goes before the buffers of a pad.
#[derive(Default)]
struct Passing {
    format: Option<(Medium, gst::Caps)>,
    orientation: Option<String>,
    segment: Option<gst::FormattedSegment<gst::ClockTime>>,
}

impl Passing {
    fn event(&mut self, event: &gst::Event) {
        match event.view() {
            gst::EventView::Caps(caps) => self.format = format(&caps.caps_owned()),
            gst::EventView::Tag(tag) => self.turn(tag.tag()),
            gst::EventView::Segment(segment) => self.segment = segment.segment().downcast_ref().cloned(),
            _ => {}
        }
    }

    fn keep(&mut self, pad: &gst::Pad, buffer: &gst::BufferRef, ring: &Ring, generation: u64) {
        // They may have passed before anybody watched.
        if self.format.is_none() {
            self.format = pad.current_caps().and_then(|caps| format(&caps));
            let mut tags = (0..).map_while(|index| pad.sticky_event::<gst::event::Tag>(index));
            tags.by_ref().for_each(|tags| self.turn(tags.tag()));
        }
        if self.segment.is_none() {
            let sticky = pad.sticky_event::<gst::event::Segment>(0);
            self.segment = sticky.and_then(|event| event.segment().downcast_ref().cloned());
        }
        let (Some((track, caps)), Some(segment)) = (&self.format, &self.segment) else { return };
        let running = |stamp: gst::ClockTime| {
            let running = segment.to_running_time_full(stamp)?;
            let nanos = i64::try_from(running.abs().nseconds()).ok()?;
            Some(if running.is_negative() { -nanos } else { nanos })
        };
        let (pts, dts) = (buffer.pts().and_then(running), buffer.dts().and_then(running));
        let Some(pts) = pts.or(dts) else { return };
        let encoding = Encoding { caps: caps.clone(), orientation: self.orientation.clone() };
        ring.push(*track, generation, &encoding, buffer, (pts, dts));
    }

    fn turn(&mut self, tags: &gst::TagListRef) {
        if let Some(orientation) = tags.get::<gst::tags::ImageOrientation>() {
            let orientation = orientation.get();
            self.orientation = (orientation != "rotate-0").then(|| orientation.to_owned());
        }
    }
}

fn format(caps: &gst::Caps) -> Option<(Medium, gst::Caps)> {
    let name = caps.structure(0)?.name();
    let track = if name.starts_with("video/") || name.starts_with("image/") {
        Medium::Video
    } else if name.starts_with("audio/") {
        Medium::Audio
    } else {
        return None;
    };
    Some((track, caps.clone()))
}
