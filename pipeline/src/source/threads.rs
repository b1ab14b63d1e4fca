//! How many threads a decoder of pictures may have. By itself libav takes one for each core, each with pictures of its own in memory, and
//! gives a picture when all of them have one: a hundred cameras on a machine of many cores need neither.

use gstreamer as gst;
use gstreamer::prelude::*;

/// Pixels a second that one thread decodes on a slow machine: 1080p at 60 pictures a second.
const EACH: f64 = 1920.0 * 1088.0 * 60.0;

/// Pictures a second where the format does not say.
const USUAL: f64 = 30.0;

/// Gives a decoder of libav as many threads as its pictures need, once their size is known; other elements are left alone.
pub(super) fn limit(element: &gst::Element) {
    let is_libav = element.factory().is_some_and(|factory| factory.name().starts_with("avdec_"));
    if !is_libav || element.find_property("max-threads").is_none() {
        return;
    }
    let Some(pad) = element.static_pad("sink") else { return };
    let decoder = element.downgrade();
    pad.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
        if let Some(gst::PadProbeData::Event(event)) = &info.data
            && let gst::EventView::Caps(caps) = event.view()
            && let Some(decoder) = decoder.upgrade()
        {
            decoder.set_property("max-threads", threads(caps.caps()));
        }
        gst::PadProbeReturn::Ok
    });
}

fn threads(caps: &gst::CapsRef) -> i32 {
    let format = caps.structure(0);
    let size = |name| format.and_then(|format| format.get::<i32>(name).ok()).map_or(0.0, f64::from);
    let rate = format.and_then(|format| format.get::<gst::Fraction>("framerate").ok());
    let rate = rate.filter(|rate| rate.numer() > 0 && rate.denom() > 0);
    let rate = rate.map_or(USUAL, |rate| f64::from(rate.numer()) / f64::from(rate.denom()));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let needed = (size("width") * size("height") * rate / EACH).ceil();
    needed.clamp(1.0, cores.min(16) as f64) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_camera_needs_one_thread_and_a_large_one_more() {
        gst::init().expect("GStreamer is there");
        let of = |width: i32, height: i32, rate: i32| {
            let caps = gst::Caps::builder("video/x-h264").field("width", width).field("height", height);
            threads(&caps.field("framerate", gst::Fraction::new(rate, 1)).build())
        };
        let cores = std::thread::available_parallelism().map_or(1, usize::from) as i32;
        assert_eq!(
            [of(640, 360, 25), of(1920, 1080, 30), of(1920, 1080, 60), of(3840, 2160, 0)],
            [1, 1, 1, 2.min(cores)]
        );
        assert_eq!(of(3840, 2160, 60), 4.min(cores));
        assert_eq!(threads(&gst::Caps::builder("video/x-h264").build()), 1);
    }
}
