//! Frames of any size to CLIP's tensor: the short side scaled to the encoder's size, the middle cut out, normalised.

use super::{FrameError, check_bytes, normalised};
use crate::sample::RgbFrame;

/// The mean of CLIP's training pictures, red, green, blue, in `[0, 1]`.
pub const MEAN: [f32; 3] = [0.481_454_66, 0.457_827_5, 0.408_210_73];
/// The standard deviation of CLIP's training pictures, red, green, blue.
pub const STD: [f32; 3] = [0.268_629_54, 0.261_302_6, 0.275_777_1];

/// How a picture is scaled; all three are bicubic and differ by up to 1 in normalised units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resize {
    /// torchvision on a float tensor, as it does it today: widened kernel when shrinking (a = -0.5), not clamped, so
    /// that the result may leave `[0, 1]` beside sharp edges.
    Antialias,
    /// torchvision 0.13 on a float tensor: four pixels whatever the scale (a = -0.75), not clamped. The released
    /// features of AVicuna most likely follow it.
    NoAntialias,
    /// Pillow on 8-bit pixels, as OpenAI's own CLIP: widened kernel when shrinking (a = -0.5), each pass rounded and
    /// clipped to 8 bit.
    Pil,
}

/// Where the picture lies after scaling: its size, and the corner of the square in its middle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fit {
    /// Rows after scaling.
    pub height: usize,
    /// Pixels per row after scaling.
    pub width: usize,
    /// Rows above the square.
    pub top: usize,
    /// Pixels left of the square.
    pub left: usize,
}

impl Fit {
    /// The short side becomes `size`, the long one `int(size * long / short)`; half of what is over is cut at each
    /// side, rounded half to even at the top and left.
    pub fn new(height: usize, width: usize, size: usize) -> Self {
        let long = |long: usize, short: usize| size * long / short.max(1);
        let (height, width) =
            if width <= height { (long(height, width), size) } else { (size, long(width, height)) };
        let corner = |n: usize| (n.saturating_sub(size) as f64 / 2.0).round_ties_even() as usize;
        Self { height, width, top: corner(height), left: corner(width) }
    }
}

/// CLIP's input, `[3, size, size]`: red, green, blue.
///
/// # Errors
/// When the frame has not the bytes for its size.
pub fn tensor(frame: &RgbFrame, size: usize, resize: Resize) -> Result<Vec<f32>, FrameError> {
    check_bytes(frame)?;
    let fit = Fit::new(frame.height, frame.width, size);
    let across = taps(frame.width, fit.width, fit.left..fit.left + size, resize);
    let down = taps(frame.height, fit.height, fit.top..fit.top + size, resize);
    Ok(match resize {
        Resize::Pil => bytes(frame, &across, &down),
        Resize::Antialias | Resize::NoAntialias => floats(frame, &across, &down),
    })
}

/// What one scaled pixel is made of along one direction: the weights of the pixels from `first` on.
struct Taps {
    first: usize,
    weights: Vec<f64>,
}

/// The taps of the scaled pixels in `kept`, when `input` pixels become `output`.
fn taps(input: usize, output: usize, kept: std::ops::Range<usize>, resize: Resize) -> Vec<Taps> {
    let exact = input as f64 / output as f64;
    let single = f64::from(input as f32 / output as f32);
    let center = |i: usize, scale: f64| scale * (i as f64 + 0.5);
    // torch keeps the place of a scaled pixel in single precision, which shows.
    let rounded = |x: f64| f64::from(x as f32);
    match resize {
        Resize::Antialias => kept.map(|i| widened(input, single, rounded(center(i, single)))).collect(),
        Resize::Pil => kept.map(|i| widened(input, exact, center(i, exact))).collect(),
        Resize::NoAntialias => kept.map(|i| narrow(input, rounded(center(i, single) - 0.5))).collect(),
    }
}

/// The kernel covers two pixels of the coarser of both grids to each side.
fn widened(input: usize, scale: f64, center: f64) -> Taps {
    let stretch = scale.max(1.0);
    let first = (center - 2.0 * stretch + 0.5).max(0.0) as usize;
    let end = ((center + 2.0 * stretch + 0.5) as usize).min(input);
    let weight = |j: usize| bicubic((j as f64 - center + 0.5) / stretch, -0.5);
    let mut weights: Vec<f64> = (first..end).map(weight).collect();
    let total: f64 = weights.iter().sum();
    weights.iter_mut().for_each(|weight| *weight /= total);
    Taps { first, weights }
}

/// Four pixels, where those beyond the border count as the border pixel.
fn narrow(input: usize, at: f64) -> Taps {
    let below = at.floor();
    let last = input as isize - 1;
    let clamped = |offset: isize| (below as isize + offset).clamp(0, last) as usize;
    let first = clamped(-1);
    let mut weights = vec![0.0; clamped(2) - first + 1];
    for offset in -1..=2 {
        weights[clamped(offset) - first] += bicubic(at - below - offset as f64, -0.75);
    }
    Taps { first, weights }
}

/// The cubic convolution kernel.
fn bicubic(x: f64, a: f64) -> f64 {
    let x = x.abs();
    if x < 1.0 {
        ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * a
    } else {
        0.0
    }
}

/// The rows of the frame that some tap takes.
fn rows(down: &[Taps]) -> std::ops::Range<usize> {
    let first = down.first().map_or(0, |taps| taps.first);
    first..down.last().map_or(first, |taps| taps.first + taps.weights.len())
}

/// Both passes in single precision on `x / 255`.
fn floats(frame: &RgbFrame, across: &[Taps], down: &[Taps]) -> Vec<f32> {
    let single = |taps: &Taps| -> Vec<f32> { taps.weights.iter().map(|w| *w as f32).collect() };
    let weights: Vec<Vec<f32>> = across.iter().map(single).collect();
    let unit: [f32; 256] = std::array::from_fn(|x| x as f32 / 255.0);
    let (rows, stride) = (rows(down), 3 * across.len());
    // `[rows, size, 3]`
    let mut scaled = Vec::with_capacity(rows.len() * stride);
    for y in rows.clone() {
        let row = frame.data[y * frame.width * 3..][..frame.width * 3].as_chunks::<3>().0;
        for (taps, weights) in across.iter().zip(&weights) {
            let mut sum = [0f32; 3];
            for (pixel, weight) in row[taps.first..].iter().zip(weights) {
                for colour in 0..3 {
                    sum[colour] += unit[usize::from(pixel[colour])] * weight;
                }
            }
            scaled.extend(sum);
        }
    }
    let mut tensor = vec![0.0; 3 * down.len() * across.len()];
    let mut line = vec![0f32; stride];
    for (y, taps) in down.iter().enumerate() {
        line.fill(0.0);
        for (row, weight) in scaled[(taps.first - rows.start) * stride..].chunks(stride).zip(single(taps)) {
            line.iter_mut().zip(row).for_each(|(sum, x)| *sum += x * weight);
        }
        for (x, pixel) in line.as_chunks::<3>().0.iter().enumerate() {
            for colour in 0..3 {
                let index = (colour * down.len() + y) * across.len() + x;
                tensor[index] = (pixel[colour] - MEAN[colour]) / STD[colour];
            }
        }
    }
    tensor
}

/// Pillow keeps its weights as integers of this many binary places.
const PLACES: u32 = 22;

/// Both passes on 8-bit pixels with integer weights, as Pillow does them.
fn bytes(frame: &RgbFrame, across: &[Taps], down: &[Taps]) -> Vec<f32> {
    let fixed = |taps: &Taps| -> Vec<i64> {
        let place = |w: &f64| (w * f64::from(1u32 << PLACES)).round() as i64;
        taps.weights.iter().map(place).collect()
    };
    let rounded = |sum: i64| ((sum + (1 << (PLACES - 1))) >> PLACES).clamp(0, 255) as u8;
    let weights: Vec<Vec<i64>> = across.iter().map(fixed).collect();
    let (rows, stride) = (rows(down), 3 * across.len());
    let mut scaled = Vec::with_capacity(rows.len() * stride);
    for y in rows.clone() {
        let row = frame.data[y * frame.width * 3..][..frame.width * 3].as_chunks::<3>().0;
        for (taps, weights) in across.iter().zip(&weights) {
            let mut sum = [0i64; 3];
            for (pixel, weight) in row[taps.first..].iter().zip(weights) {
                for colour in 0..3 {
                    sum[colour] += i64::from(pixel[colour]) * weight;
                }
            }
            scaled.extend(sum.map(rounded));
        }
    }
    let tables = normalised(MEAN, STD);
    let mut tensor = vec![0.0; 3 * down.len() * across.len()];
    let mut line = vec![0i64; stride];
    for (y, taps) in down.iter().enumerate() {
        line.fill(0);
        for (row, weight) in scaled[(taps.first - rows.start) * stride..].chunks(stride).zip(fixed(taps)) {
            line.iter_mut().zip(row).for_each(|(sum, x)| *sum += i64::from(*x) * weight);
        }
        for (x, pixel) in line.as_chunks::<3>().0.iter().enumerate() {
            for colour in 0..3 {
                let index = (colour * down.len() + y) * across.len() + x;
                tensor[index] = tables[colour][usize::from(rounded(pixel[colour]))];
            }
        }
    }
    tensor
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert, proptest};

    use super::*;

    #[test]
    fn a_frame_without_its_bytes_is_refused() {
        let frame = RgbFrame { width: 4, height: 3, aspect: 1.0, data: vec![0; 35] };
        let error = FrameError::Bytes { width: 4, height: 3, bytes: 35 };
        assert_eq!(tensor(&frame, 2, Resize::Pil), Err(error));
    }

    proptest! {
        #[test]
        fn one_colour_stays_one_colour(
            width in 1usize..90, height in 1usize..90, size in 1usize..24, pixel in any::<[u8; 3]>(),
        ) {
            let frame = RgbFrame { width, height, aspect: 1.0, data: pixel.repeat(width * height) };
            let tables = normalised(MEAN, STD);
            for resize in [Resize::Antialias, Resize::NoAntialias, Resize::Pil] {
                let found = tensor(&frame, size, resize).expect("all its bytes are there");
                prop_assert!(found.len() == 3 * size * size);
                for (colour, plane) in found.chunks(size * size).enumerate() {
                    let expected = tables[colour][usize::from(pixel[colour])];
                    prop_assert!(plane.iter().all(|x| (x - expected).abs() < 1e-4), "{resize:?} {plane:?}");
                }
            }
        }
    }
}
