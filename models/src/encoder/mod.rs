//! The ONNX encoders: a frame or a clip in, one embedding `[dim]` out, many at a time. An encoder may be put together from several
//! graphs, each with a rate of its own.

use std::path::PathBuf;

mod audio;
mod device;
mod gather;
mod parts;
mod runtime;
mod vision;

pub use audio::AudioEncoder;
pub use device::{DeviceChoice, Devices, Placement};
pub use gather::{Cells, Encoded, Encoders, EncodersError, Rows, Slots, Trouble};
pub use parts::Encoder;
pub use runtime::{Prepared, Runtime};
pub use vision::VisionEncoder;

/// Why an encoder could not be loaded or run.
#[derive(Debug, Clone, thiserror::Error)]
pub enum EncoderError {
    /// There is no usable ONNX Runtime.
    #[error(
        "cannot load ONNX Runtime: {tried}; run `make setup`, or set ORT_DYLIB_PATH to a libonnxruntime.so of version 1.{} or later",
        ort::MINOR_VERSION
    )]
    Library {
        /// Every place that was tried, and what was wrong there.
        tried: String,
    },
    /// The device that was asked for cannot be used.
    #[error("cannot use {device}: {reason}")]
    Device {
        /// `cuda:0`.
        device: String,
        /// What is missing, and what to do.
        reason: String,
    },
    /// The file is no ONNX model.
    #[error("the {part} encoder {path} cannot be loaded: {reason}; it is damaged or no ONNX model: fetch or export it again", path = path.display())]
    Load {
        /// `vision` or `audio`.
        part: &'static str,
        /// The file.
        path: PathBuf,
        /// What ONNX Runtime said.
        reason: String,
    },
    /// The model takes or returns something else than the manifest says.
    #[error("the {part} encoder {path} does not fit [{part}] of the manifest: {reason}", path = path.display())]
    Interface {
        /// `vision` or `audio`.
        part: &'static str,
        /// The file.
        path: PathBuf,
        /// What does not fit.
        reason: String,
    },
    /// The parts do not make the embedding that the manifest says.
    #[error("[{part}] of the manifest does not fit its parts: {reason}")]
    Columns {
        /// `vision` or `audio`.
        part: &'static str,
        /// What does not fit.
        reason: String,
    },
    /// A frame or clip is not what the model takes.
    #[error("the {part} encoder cannot take its input: {reason}")]
    Input {
        /// `vision` or `audio`.
        part: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// Computing failed.
    #[error("the {part} encoder failed: {reason}")]
    Run {
        /// `vision` or `audio`.
        part: &'static str,
        /// What ONNX Runtime said, or what is wrong with the result.
        reason: String,
    },
    /// Another thread took the sample and did not finish it.
    #[error(
        "another batch has been encoding this sample for {seconds} s; the machine is overloaded, or that batch hangs"
    )]
    Busy {
        /// How long this batch waited.
        seconds: u64,
    },
}
