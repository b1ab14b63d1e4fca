//! From decoded frames and samples to what the encoders take (FACTS 8).

pub mod clip;
pub mod mel;
pub mod scale;
pub mod segments;

use crate::sample::RgbFrame;

/// Why a frame cannot become a tensor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Its bytes do not make `width * height` pixels.
    #[error("a frame of {width}x{height} pixels has {bytes} bytes, not {width} * {height} * 3")]
    Bytes {
        /// Pixels per row.
        width: usize,
        /// Rows.
        height: usize,
        /// Bytes found.
        bytes: usize,
    },
}

/// Checks that `frame` has pixels, and the bytes for them.
fn check_bytes(frame: &RgbFrame) -> Result<(), FrameError> {
    let (width, height, bytes) = (frame.width, frame.height, frame.data.len());
    let expected = width.checked_mul(height).and_then(|pixels| pixels.checked_mul(3));
    if expected != Some(bytes) || bytes == 0 {
        return Err(FrameError::Bytes { width, height, bytes });
    }
    Ok(())
}

/// The normalised value of every 8-bit value, one table for each colour: `(x / 255 - mean) / std`.
fn normalised(mean: [f32; 3], std: [f32; 3]) -> [[f32; 256]; 3] {
    std::array::from_fn(|colour| std::array::from_fn(|x| (x as f32 / 255.0 - mean[colour]) / std[colour]))
}
