//! Mends the index of an MP4 file before GStreamer's demuxer reads it. The demuxer leaves out tracks shorter than a fifth of the
//! film, which it takes for previews, counts the time that recorders leave empty in front of all tracks as part of the film, and loses PCM.

mod index;
mod reader;
mod runs;
mod tree;

use std::sync::{Mutex, PoisonError};

use gstreamer as gst;
use gstreamer::prelude::*;

use self::reader::{Reader, Step};

/// Watches what a demuxer for MP4 files reads, if this is one; other elements are left alone.
pub(super) fn mend(element: &gst::Element) {
    if element.factory().is_none_or(|factory| factory.name() != "qtdemux") {
        return;
    }
    let Some(pad) = element.static_pad("sink") else { return };
    pad.add_probe(gst::PadProbeType::PULL | gst::PadProbeType::BUFFER, |_, info| {
        if let Some(gst::PadProbeData::Buffer(buffer)) = &mut info.data {
            pulled(buffer);
        }
        gst::PadProbeReturn::Ok
    });
    let reader = Mutex::new(Reader::default());
    let mask = gst::PadProbeType::PUSH | gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM;
    pad.add_probe(mask, move |pad, info| match &info.data {
        Some(gst::PadProbeData::Buffer(_)) => pushed(&reader, info),
        Some(gst::PadProbeData::Event(event)) => {
            let event = event.clone();
            told(&reader, pad, &event);
            gst::PadProbeReturn::Ok
        }
        _ => gst::PadProbeReturn::Ok,
    });
}

/// From a file the demuxer asks for the index as a whole.
fn pulled(buffer: &mut gst::Buffer) {
    if buffer.map_readable().is_ok_and(|map| index::is_whole(&map))
        && let Ok(mut map) = buffer.make_mut().map_writable()
    {
        index::mend(&mut map);
    }
}

/// From a network it comes in pieces, which are held until it is whole. A piece that is held is `Handled`: GStreamer would release a
/// `Drop`ped one once more.
fn pushed(reader: &Mutex<Reader>, info: &mut gst::PadProbeInfo<'_>) -> gst::PadProbeReturn {
    let Some(gst::PadProbeData::Buffer(buffer)) = info.data.take() else {
        return gst::PadProbeReturn::Handled;
    };
    match lock(reader).piece(buffer) {
        Step::Pass(buffer) => {
            info.data = Some(gst::PadProbeData::Buffer(buffer));
            gst::PadProbeReturn::Ok
        }
        Step::Hold => gst::PadProbeReturn::Handled,
    }
}

/// A segment says where in the file the next piece is; at the end what is held goes on as it is.
fn told(reader: &Mutex<Reader>, pad: &gst::Pad, event: &gst::Event) {
    match event.view() {
        gst::EventView::Segment(segment) => {
            let start =
                segment.segment().downcast_ref::<gst::format::Bytes>().and_then(|bytes| bytes.start());
            lock(reader).seek(start.map(|start| *start));
        }
        gst::EventView::Eos(_) => {
            let held = lock(reader).finish();
            if let Some(held) = held
                && let Err(error) = pad.chain(held)
            {
                tracing::debug!(%error, "the end of an index that broke off did not get through");
            }
        }
        _ => {}
    }
}

fn lock(reader: &Mutex<Reader>) -> std::sync::MutexGuard<'_, Reader> {
    reader.lock().unwrap_or_else(PoisonError::into_inner)
}
