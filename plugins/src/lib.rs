//! The windows and the localizer of AVicuna as a GStreamer element, for pipelines of one's own:
//!
//! ```text
//! gst-launch-1.0 uridecodebin3 uri=file:///tmp/scene.mp4 name=d \
//!     d. ! videoconvert ! videoscale ! video/x-raw,format=RGB ! l.video \
//!     d. ! audioconvert ! audioresample ! l.audio \
//!     avicunalocalizer name=l model=assets/models/avicuna-natural ! filesink location=/dev/stdout
//! ```

use gstreamer as gst;
use gstreamer::glib;

pub mod localizer;

pub use plugin::plugin_register_static;

mod plugin {
    #![allow(missing_docs, reason = "the macro's items have no place for them")]

    use super::{glib, gst, localizer};

    fn plugin_init(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
        localizer::register(plugin)
    }

    gst::plugin_define!(
        avicuna,
        env!("CARGO_PKG_DESCRIPTION"),
        plugin_init,
        env!("CARGO_PKG_VERSION"),
        // GStreamer's word for Apache-2.0 programs.
        "Apache-2.0",
        env!("CARGO_PKG_NAME"),
        env!("CARGO_PKG_NAME"),
        "https://arxiv.org/abs/2403.16276",
        "2026-11-24"
    );
}
