//! `avicunalocalizer`: pictures and sounds in, event records as JSON out.
//!
//! | pad | caps | |
//! |---|---|---|
//! | `video` (sink) | `video/x-raw, format=RGB`, as wide and high as the model wants | may stay unlinked |
//! | `audio` (sink) | `audio/x-raw, format=F32LE, channels=1`, at the model's rate | may stay unlinked |
//! | `src` | `application/x-json` | one buffer for each record |
//!
//! Stream time is running time. The element works at the speed of the model and slows down what is upstream, so a live
//! source should have leaky queues before it. A GAP event lets time go on without a sample; a flush drops what waits, ends the
//! events that were begun and starts afresh; what downstream answers is told upstream with the next buffer. An event's buffer has the running time of the end of the window that it rests on.

use gstreamer as gst;
use gstreamer::glib;
use gstreamer::prelude::*;

mod imp;
mod intake;
mod line;
mod pads;
mod push;
mod settings;
mod worker;

glib::wrapper! {
    /// The element `avicunalocalizer`.
    pub struct Localizer(ObjectSubclass<imp::Localizer>) @extends gst::Element, gst::Object;
}

/// Makes the element known to GStreamer.
pub fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    gst::Element::register(Some(plugin), "avicunalocalizer", gst::Rank::NONE, Localizer::static_type())
}
