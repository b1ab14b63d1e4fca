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

/// [`tensor`] of the frame scaled to `size` by `size` pixels, `[3, size, size]`: each pixel is the mean of those around it, weighted by
/// a triangle as wide as two pixels of the coarser grid.
///
/// # Errors
/// When the frame has not the bytes for its size.
pub fn resized(frame: &RgbFrame, size: usize, mean: [f32; 3], std: [f32; 3]) -> Result<Vec<f32>, FrameError> {
    placed(frame, size, [size, size], mean, std)
}

/// [`resized`] to the largest size with the picture's own proportions that fits into the square, in its middle, with grey around it.
///
/// # Errors
/// When the frame has not the bytes for its size.
pub fn letterboxed(
    frame: &RgbFrame,
    size: usize,
    mean: [f32; 3],
    std: [f32; 3],
) -> Result<Vec<f32>, FrameError> {
    let aspect = if frame.aspect.is_finite() && frame.aspect > 0.0 { frame.aspect } else { 1.0 };
    let side = |share: f32| ((size as f32 * share.min(1.0)).round() as usize).clamp(1, size);
    placed(frame, size, [side(aspect), side(1.0 / aspect)], mean, std)
}

/// The frame scaled to `width` by `height` pixels in the middle of a grey square.
fn placed(
    frame: &RgbFrame,
    size: usize,
    [width, height]: [usize; 2],
    mean: [f32; 3],
    std: [f32; 3],
) -> Result<Vec<f32>, FrameError> {
    check_bytes(frame)?;
    let (across, down) = (taps(frame.width, width), taps(frame.height, height));
    // `[frame.height, width, 3]`
    let mut rows = Vec::with_capacity(frame.height * width * 3);
    for row in frame.data.chunks_exact(frame.width * 3) {
        let pixels = row.as_chunks::<3>().0;
        for (first, weights) in &across {
            let mut sum = [0f32; 3];
            for (pixel, weight) in pixels[*first..].iter().zip(weights) {
                (0..3).for_each(|colour| sum[colour] += f32::from(pixel[colour]) * weight);
            }
            rows.extend(sum);
        }
    }
    let (left, top) = ((size - width) / 2, (size - height) / 2);
    let grey: [f32; 3] = std::array::from_fn(|colour| (0.5 - mean[colour]) / std[colour]);
    let mut tensor: Vec<f32> = grey.iter().flat_map(|grey| std::iter::repeat_n(*grey, size * size)).collect();
    let mut line = vec![0f32; 3 * width];
    for (y, (first, weights)) in down.iter().enumerate() {
        line.fill(0.0);
        for (row, weight) in rows.chunks_exact(3 * width).skip(*first).zip(weights) {
            line.iter_mut().zip(row).for_each(|(sum, x)| *sum += x * weight);
        }
        for (x, pixel) in line.as_chunks::<3>().0.iter().enumerate() {
            for colour in 0..3 {
                let value = (pixel[colour] / 255.0 - mean[colour]) / std[colour];
                tensor[(colour * size + top + y) * size + left + x] = value;
            }
        }
    }
    Ok(tensor)
}

/// What each of `output` pixels is made of along one direction: the first of `input` pixels, and the weights from it on.
fn taps(input: usize, output: usize) -> Vec<(usize, Vec<f32>)> {
    let scale = input as f32 / output as f32;
    let reach = scale.max(1.0);
    let tap = |place: usize| {
        let centre = (place as f32 + 0.5) * scale;
        let first = (centre - reach).floor().max(0.0) as usize;
        let last = ((centre + reach).ceil() as usize).min(input);
        let weight = |pixel: usize| (1.0 - (pixel as f32 + 0.5 - centre).abs() / reach).max(0.0);
        let weights: Vec<f32> = (first..last).map(weight).collect();
        let total: f32 = weights.iter().sum();
        (first, weights.into_iter().map(|weight| weight / total).collect())
    };
    (0..output).map(tap).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_colour_stays_one_colour_and_halves_are_means() {
        let grey = RgbFrame { width: 9, height: 5, aspect: 1.0, data: vec![51; 9 * 5 * 3] };
        for size in [3, 5, 12] {
            let scaled = resized(&grey, size, [0.0; 3], [1.0; 3]).expect("all its bytes are there");
            assert_eq!(scaled.len(), 3 * size * size);
            assert!(scaled.iter().all(|x| (x - 0.2).abs() < 1e-5), "{size}: {scaled:?}");
        }
        // Left half black, right half white.
        let data = (0..4 * 4).flat_map(|pixel| [if pixel % 4 < 2 { 0 } else { 255 }; 3]).collect();
        let halves = resized(&RgbFrame { width: 4, height: 4, aspect: 1.0, data }, 2, [0.0; 3], [1.0; 3])
            .expect("4x4");
        assert!(
            halves[0] < 0.2 && halves[1] > 0.8 && (halves[0] + halves[1] - 1.0).abs() < 1e-5,
            "{halves:?}"
        );
    }

    #[test]
    fn a_letterbox_has_the_pictures_proportions_and_grey_around() {
        let white = |aspect| RgbFrame { width: 4, height: 4, aspect, data: vec![255; 4 * 4 * 3] };
        let rows = |aspect| {
            let tensor = letterboxed(&white(aspect), 8, [0.0; 3], [1.0; 3]).expect("all its bytes are there");
            let row = |y: usize| tensor[y * 8..][..8].iter().map(|x| u8::from(*x > 0.9)).sum::<u8>();
            (0..8).map(row).collect::<Vec<u8>>()
        };
        assert_eq!(rows(2.0), [0, 0, 8, 8, 8, 8, 0, 0]);
        assert_eq!(rows(0.5), [4; 8]);
        for whatever in [1.0, 0.0, f32::NAN, f32::INFINITY] {
            assert_eq!(rows(whatever), [8; 8], "{whatever}");
        }
        // A picture that is shown as a hair's breadth has a row all the same.
        assert_eq!(rows(1e9).iter().filter(|count| **count > 0).count(), 1);
    }

    #[test]
    fn colours_become_planes() {
        let frame = RgbFrame {
            width: 2,
            height: 2,
            aspect: 1.0,
            data: vec![0, 255, 51, 0, 255, 51, 0, 255, 51, 255, 0, 51],
        };
        let tensor = tensor(&frame, [0.0, 0.5, 0.2], [1.0, 0.5, 2.0]).expect("2x2");
        let expected = [0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, -1.0, 0.0, 0.0, 0.0, 0.0];
        for (index, (x, y)) in tensor.iter().zip(expected).enumerate() {
            assert!((x - y).abs() < 1e-6, "{index}: {x} {y}");
        }
    }

    #[test]
    fn a_frame_without_its_bytes_is_refused() {
        let frame = |width, height, bytes| RgbFrame { width, height, aspect: 1.0, data: vec![0; bytes] };
        let tensor = |frame| tensor(&frame, [0.0; 3], [1.0; 3]).map(|_| ());
        assert_eq!(tensor(frame(4, 3, 36)), Ok(()));
        assert_eq!(tensor(frame(4, 4, 47)), Err(FrameError::Bytes { width: 4, height: 4, bytes: 47 }));
        assert_eq!(tensor(frame(0, 4, 0)), Err(FrameError::Bytes { width: 0, height: 4, bytes: 0 }));
        assert!(tensor(frame(usize::MAX, 4, 0)).is_err());
    }
}
