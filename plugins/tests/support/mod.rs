//! What the element's tests share.

use std::path::PathBuf;

use gstreamer as gst;

pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate is in the workspace").to_owned()
}

pub fn model() -> String {
    root().join("assets/models/avicuna-small").display().to_string()
}

pub fn init() {
    gst::init().expect("GStreamer starts");
    gstavicuna::plugin_register_static().expect("the plugin registers");
}
