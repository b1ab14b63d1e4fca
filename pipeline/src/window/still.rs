//! Pictures in which nothing has changed share one encoding. Pure.

use std::sync::Arc;

use avicuna_models::sample::{EncodeOnce, RgbFrame};

/// Pixels on each side of the parts that are compared: the noise of a sensor is gone in their mean, a thing that an encoder would see is not.
const SIDE: usize = 15;

/// Pictures that are shown by one, at most: should it be an unlucky one, it is not for long.
const MOST: usize = 20;

/// Finds pictures that are as the ones before.
#[derive(Debug)]
pub(super) struct Stills {
    /// By how much of 255 the mean of no part may differ; 0: pictures are not compared.
    tolerance: u8,
    last: Option<Last>,
}

/// The last picture that differed.
#[derive(Debug)]
struct Last {
    parts: Vec<[f32; 3]>,
    /// What those that are like it share, once there was one.
    shared: Option<Arc<EncodeOnce<RgbFrame>>>,
    shown: usize,
}

impl Stills {
    pub fn new(tolerance: u8) -> Self {
        Self { tolerance, last: None }
    }

    /// What encodes `frame`: a cell of its own where something has changed.
    ///
    /// The first that is like another has a cell of its own too, which all parts of the encoder look at, for it speaks for all that follow.
    pub fn cell(&mut self, frame: RgbFrame) -> Arc<EncodeOnce<RgbFrame>> {
        if self.tolerance == 0 {
            return Arc::new(EncodeOnce::new(frame));
        }
        let parts = parts(&frame);
        let tolerance = f32::from(self.tolerance);
        let last =
            self.last.as_mut().filter(|last| last.shown < MOST && is_alike(&last.parts, &parts, tolerance));
        let Some(last) = last else {
            self.last = Some(Last { parts, shared: None, shown: 0 });
            return Arc::new(EncodeOnce::new(frame));
        };
        last.shown += 1;
        match &last.shared {
            Some(shared) => Arc::clone(shared),
            None => {
                last.parts = parts;
                Arc::clone(last.shared.insert(Arc::new(EncodeOnce::whole(frame))))
            }
        }
    }
}

/// The mean colour of each part, row by row; those at the right and at the bottom may be smaller.
fn parts(frame: &RgbFrame) -> Vec<[f32; 3]> {
    let across = frame.width.div_ceil(SIDE);
    let mut parts = vec![[0.0; 3]; across * frame.height.div_ceil(SIDE)];
    for (y, row) in frame.data.chunks_exact((frame.width * 3).max(1)).enumerate() {
        let of_row = &mut parts[y / SIDE * across..][..across];
        for (part, pixels) in of_row.iter_mut().zip(row.chunks(SIDE * 3)) {
            let mut sum = [0u32; 3];
            for pixel in pixels.chunks_exact(3) {
                sum.iter_mut().zip(pixel).for_each(|(sum, value)| *sum += u32::from(*value));
            }
            let rows = SIDE.min(frame.height - y / SIDE * SIDE);
            let pixels = (pixels.len() / 3 * rows) as f32;
            part.iter_mut().zip(sum).for_each(|(mean, sum)| *mean += sum as f32 / pixels);
        }
    }
    parts
}

fn is_alike(one: &[[f32; 3]], other: &[[f32; 3]], tolerance: f32) -> bool {
    let differ = |(one, other): (&[f32; 3], &[f32; 3])| {
        one.iter().zip(other).any(|(one, other)| (one - other).abs() > tolerance)
    };
    one.len() == other.len() && !one.iter().zip(other).any(differ)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDTH: usize = 64;

    fn grey(value: u8) -> RgbFrame {
        RgbFrame { width: WIDTH, height: WIDTH, aspect: 1.0, data: vec![value; WIDTH * WIDTH * 3] }
    }

    /// With a square of another brightness.
    fn with(mut frame: RgbFrame, (left, top, side): (usize, usize, usize), value: u8) -> RgbFrame {
        for y in top..top + side {
            frame.data[(y * WIDTH + left) * 3..][..side * 3].fill(value);
        }
        frame
    }

    /// Which cell each picture has, numbered by their first appearance.
    fn cells(tolerance: u8, frames: impl IntoIterator<Item = RgbFrame>) -> Vec<usize> {
        let mut stills = Stills::new(tolerance);
        let mut seen: Vec<Arc<EncodeOnce<RgbFrame>>> = Vec::new();
        let mut number = |frame| {
            let cell = stills.cell(frame);
            seen.iter().position(|known| Arc::ptr_eq(known, &cell)).unwrap_or_else(|| {
                seen.push(cell);
                seen.len() - 1
            })
        };
        frames.into_iter().map(&mut number).collect()
    }

    #[test]
    fn what_does_not_change_is_encoded_twice_and_again_after_a_while() {
        assert_eq!(cells(3, vec![grey(90); 5]), [0, 1, 1, 1, 1]);
        assert_eq!(cells(0, vec![grey(90); 3]), [0, 1, 2]);
        let long = cells(3, vec![grey(90); 50]);
        assert_eq!((long[20], long[21], long[22], long[49]), (1, 2, 3, 5), "{long:?}");
    }

    #[test]
    fn noise_is_no_change_and_a_small_thing_is_one() {
        let noisy = |seed: u32| {
            let mut state = seed;
            let mut frame = grey(90);
            for value in &mut frame.data {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                *value = (86 + (state >> 24) % 9) as u8;
            }
            frame
        };
        assert_eq!(cells(3, (1..6).map(noisy)), [0, 1, 1, 1, 1]);
        let thing = || with(grey(90), (40, 50, 6), 140);
        assert_eq!(cells(3, [grey(90), grey(90), thing(), thing(), grey(90)]), [0, 1, 2, 3, 4]);
        let at_the_edge = with(grey(90), (61, 61, 3), 120);
        assert_eq!(cells(3, [grey(90), at_the_edge]), [0, 1], "parts at the edge are smaller");
    }

    #[test]
    fn slow_changes_are_compared_with_the_picture_that_is_shown() {
        assert_eq!(cells(5, (45..53).map(|half| grey(2 * half))), [0, 1, 1, 1, 2, 3, 3, 3]);
        let larger = RgbFrame { width: 32, height: 32, aspect: 1.0, data: vec![90; 32 * 32 * 3] };
        assert_eq!(cells(3, [grey(90), larger]), [0, 1]);
    }
}
