//! The end of an RTP stream, led round the jitter buffer.
//!
//! At the end GStreamer's jitter buffer (1.22 and later) waits for its timers on a condition that its timer thread waits
//! on as well, and whoever signals it wakes one of the two. Now and then, on a busy machine at one end of a stream in fourteen,
//! the other sleeps for ever, and the graph with it. So the jitter buffer is not told: the end goes on behind it when what it
//! held has left.

use gstreamer as gst;
use gstreamer::glib;
use gstreamer::prelude::*;

/// How long after its latency a packet may still be on its way out of the jitter buffer.
const MARGIN: gst::ClockTime = gst::ClockTime::from_mseconds(100);

/// Watches a jitter buffer that was added to the graph; other elements are left alone.
pub(super) fn lead_round(element: &gst::Element) {
    if element.factory().is_none_or(|factory| factory.name() != "rtpjitterbuffer") {
        return;
    }
    let (Some(sink), Some(src)) = (element.static_pad("sink"), element.static_pad("src")) else { return };
    let (buffer, src) = (element.downgrade(), src.downgrade());
    sink.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
        let Some(gst::PadProbeData::Event(event)) = &info.data else { return gst::PadProbeReturn::Ok };
        let Some(buffer) = buffer.upgrade().filter(|_| event.type_() == gst::EventType::Eos) else {
            return gst::PadProbeReturn::Ok;
        };
        let latency = gst::ClockTime::from_mseconds(buffer.property::<u32>("latency").into());
        match push_later(src.clone(), event.clone(), latency + MARGIN) {
            Ok(_) => {
                // GStreamer would release a `Drop`ped event once more.
                info.data = None;
                gst::PadProbeReturn::Handled
            }
            Err(error) => {
                tracing::warn!(%error, "the end of a stream cannot be put off; the jitter buffer gets it");
                gst::PadProbeReturn::Ok
            }
        }
    });
}

/// Pushes `event` out of `pad` after `wait`, in the clock's own thread.
fn push_later(
    pad: glib::WeakRef<gst::Pad>,
    event: gst::Event,
    wait: gst::ClockTime,
) -> Result<gst::ClockSuccess, gst::ClockError> {
    let clock = gst::SystemClock::obtain();
    let due = clock.new_single_shot_id(clock.time() + wait);
    due.wait_async(move |_, _, _| {
        if !pad.upgrade().is_some_and(|pad| pad.push_event(event)) {
            tracing::debug!("the end of a stream came after its graph was stopped");
        }
    })
}
