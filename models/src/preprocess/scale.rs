//! Frames that the decoder already scaled to the encoder's size.

use super::{FrameError, check_bytes, normalised};
use crate::sample::RgbFrame;

/// `(x / 255 - mean) / std` of every pixel, `[3, height, width]`: red, green, blue. The frame keeps its size; whether
/// the encoder takes it is for the caller to check.
///
/// # Errors
/// When the frame has not the bytes for its size.
pub fn tensor(frame: &RgbFrame, mean: [f32; 3], std: [f32; 3]) -> Result<Vec<f32>, FrameError> {
    check_bytes(frame)?;
    let tables = normalised(mean, std);
    let pixels = frame.data.as_chunks::<3>().0;
    let mut tensor = Vec::with_capacity(frame.data.len());
    for (colour, table) in tables.iter().enumerate() {
        tensor.extend(pixels.iter().map(|pixel| table[usize::from(pixel[colour])]));
    }
    Ok(tensor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_become_planes() {
        let frame =
            RgbFrame { width: 2, height: 2, data: vec![0, 255, 51, 0, 255, 51, 0, 255, 51, 255, 0, 51] };
        let tensor = tensor(&frame, [0.0, 0.5, 0.2], [1.0, 0.5, 2.0]).expect("2x2");
        let expected = [0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, -1.0, 0.0, 0.0, 0.0, 0.0];
        for (index, (x, y)) in tensor.iter().zip(expected).enumerate() {
            assert!((x - y).abs() < 1e-6, "{index}: {x} {y}");
        }
    }

    #[test]
    fn a_frame_without_its_bytes_is_refused() {
        let frame = |width, height, bytes| RgbFrame { width, height, data: vec![0; bytes] };
        let tensor = |frame| tensor(&frame, [0.0; 3], [1.0; 3]).map(|_| ());
        assert_eq!(tensor(frame(4, 3, 36)), Ok(()));
        assert_eq!(tensor(frame(4, 4, 47)), Err(FrameError::Bytes { width: 4, height: 4, bytes: 47 }));
        assert_eq!(tensor(frame(0, 4, 0)), Err(FrameError::Bytes { width: 0, height: 4, bytes: 0 }));
        assert!(tensor(frame(usize::MAX, 4, 0)).is_err());
    }
}
