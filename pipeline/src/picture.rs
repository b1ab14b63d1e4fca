//! Pictures for people, of frames that were decoded for the model.

use avicuna_models::sample::RgbFrame;

/// How good a JPEG is, 1 to 100.
const QUALITY: u8 = 85;

/// Why a frame becomes no picture.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PictureError {
    /// JPEG counts pixels in 16 bits.
    #[error("a picture of {width}x{height} pixels is too large for JPEG")]
    TooLarge {
        /// Pixels per row.
        width: usize,
        /// Rows.
        height: usize,
    },
    /// The encoder refuses.
    #[error("the picture cannot be encoded: {0}")]
    Encoder(String),
}

/// A frame as JPEG.
///
/// # Errors
/// When it is larger than 65,535 pixels one way, or its data has another size than it says.
pub fn jpeg(frame: &RgbFrame) -> Result<Vec<u8>, PictureError> {
    let (width, height) = (frame.width, frame.height);
    let (Ok(across), Ok(down)) = (u16::try_from(width), u16::try_from(height)) else {
        return Err(PictureError::TooLarge { width, height });
    };
    let mut encoded = Vec::new();
    jpeg_encoder::Encoder::new(&mut encoded, QUALITY)
        .encode(&frame.data, across, down, jpeg_encoder::ColorType::Rgb)
        .map_err(|error| PictureError::Encoder(error.to_string()))?;
    Ok(encoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_becomes_a_jpeg_or_says_why_not() {
        let frame = |width, height, bytes| RgbFrame { width, height, aspect: 1.0, data: vec![128; bytes] };
        let encoded = jpeg(&frame(16, 8, 384)).expect("a picture");
        assert!(encoded.starts_with(&[0xff, 0xd8]) && encoded.ends_with(&[0xff, 0xd9]), "{encoded:?}");
        assert!(matches!(jpeg(&frame(16, 8, 3)), Err(PictureError::Encoder(_))));
        let large = PictureError::TooLarge { width: 70_000, height: 1 };
        assert_eq!(jpeg(&frame(70_000, 1, 0)), Err(large));
    }
}
