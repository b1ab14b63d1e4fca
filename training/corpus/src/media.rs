//! Media files in and out through GStreamer: pictures of one shape, mono sound, MP4 files that are the same bytes every time.

mod boxes;
mod encode;
mod read;
mod shape;
mod stretch;

use std::path::PathBuf;

pub(crate) use self::encode::{Encoder, Quality};
pub(crate) use self::read::{Pictures, Probe, drawing, probe, sound};
pub(crate) use self::shape::{Frame, Shape, beside};
pub(crate) use self::stretch::{repeated, stretch};

/// Samples per second of all sound.
pub(crate) const RATE: u32 = 48_000;

/// Starts GStreamer, if it is not; everything that makes its objects begins with this.
fn start() -> Result<(), MediaError> {
    gstreamer::init().map_err(|error| MediaError::Start { reason: error.to_string() })
}

/// Why media cannot be read or written.
#[derive(Debug, Clone, thiserror::Error)]
pub enum MediaError {
    /// GStreamer does not start.
    #[error("GStreamer does not start: {reason}")]
    Start {
        /// What it said.
        reason: String,
    },
    /// A GStreamer plugin is missing.
    #[error(
        "the GStreamer element {element} is missing; install the Debian package {package}, or run `make setup`"
    )]
    Element {
        /// Its name.
        element: &'static str,
        /// Where it comes from.
        package: &'static str,
    },
    /// A file cannot be decoded.
    #[error("{path} cannot be decoded: {reason}", path = path.display())]
    Decode {
        /// Which.
        path: PathBuf,
        /// What GStreamer said.
        reason: String,
    },
    /// A decoder is silent.
    #[error("{path} cannot be decoded: nothing came out of it for {seconds} s; is the machine overloaded?", path = path.display())]
    Stuck {
        /// Which file.
        path: PathBuf,
        /// How long.
        seconds: u64,
    },
    /// A file cannot be written.
    #[error("{path} cannot be written: {reason}", path = path.display())]
    Encode {
        /// Which.
        path: PathBuf,
        /// What GStreamer or the system said.
        reason: String,
    },
    /// Pictures of this shape cannot be encoded.
    #[error(
        "pictures of {width}x{height} at {fps} a second are not possible; width must be a multiple of 8, height of 2, both at least 16, the rate 1 to 240"
    )]
    Shape {
        /// Pixels.
        width: usize,
        /// Pixels.
        height: usize,
        /// Pictures per second.
        fps: u32,
    },
}
