//! Pictures of one shape, as encoders take them.

use gstreamer as gst;

use super::MediaError;

/// One picture: planar YUV 4:2:0 (I420, BT.601, limited range) without padding. Clones share the bytes.
pub(crate) type Frame = gst::Buffer;

/// What every picture of a file is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Pixels; a multiple of 8, so that no row is padded.
    pub width: usize,
    /// Pixels; even.
    pub height: usize,
    /// Pictures per second.
    pub fps: u32,
}

impl Shape {
    /// Itself, if it can be encoded.
    pub fn checked(self) -> Result<Self, MediaError> {
        let Self { width, height, fps } = self;
        let good = |size: usize, of: usize| (16..=8192).contains(&size) && size.is_multiple_of(of);
        if good(width, 8) && good(height, 2) && (1..=240).contains(&fps) {
            return Ok(self);
        }
        Err(MediaError::Shape { width, height, fps })
    }

    /// Bytes of a picture.
    pub fn bytes(self) -> usize {
        self.width * self.height * 3 / 2
    }

    /// As GStreamer writes it, without the rate.
    pub fn caps(self) -> gst::Caps {
        gst::Caps::builder("video/x-raw")
            .field("format", "I420")
            .field("width", self.width as i32)
            .field("height", self.height as i32)
            .field("pixel-aspect-ratio", gst::Fraction::new(1, 1))
            .field("colorimetry", "bt601")
            .build()
    }

    /// The sizes of the planes Y, U and V.
    fn planes(self) -> [(usize, usize); 3] {
        let half = (self.width / 2, self.height / 2);
        [(self.width, self.height), half, half]
    }

    /// A picture of one colour.
    pub fn black(self) -> Frame {
        let mut data = vec![16; self.bytes()];
        data[self.width * self.height..].fill(128);
        gst::Buffer::from_mut_slice(data)
    }

    /// A picture of packed RGB rows, three bytes a pixel.
    pub fn convert(self, rgb: &[u8]) -> Frame {
        let (width, height) = (self.width, self.height);
        debug_assert_eq!(rgb.len(), width * height * 3);
        let mut data = vec![0; self.bytes()];
        let (luma, chroma) = data.split_at_mut(width * height);
        let (blue, red) = chroma.split_at_mut(width * height / 4);
        // BT.601 for limited range, in 1/65536.
        for (y, pixel) in luma.iter_mut().zip(rgb.chunks_exact(3)) {
            let [r, g, b] = [pixel[0], pixel[1], pixel[2]].map(i32::from);
            *y = ((16_829 * r + 33_039 * g + 6_416 * b + (16 << 16) + 32_768) >> 16) as u8;
        }
        let rows = rgb.chunks_exact(width * 3 * 2);
        for ((rows, blue), red) in
            rows.zip(blue.chunks_exact_mut(width / 2)).zip(red.chunks_exact_mut(width / 2))
        {
            let (upper, lower) = rows.split_at(width * 3);
            for x in 0..width / 2 {
                let sum = |colour: usize| {
                    let at = x * 6 + colour;
                    [upper[at], upper[at + 3], lower[at], lower[at + 3]]
                        .into_iter()
                        .map(i32::from)
                        .sum::<i32>()
                };
                let (r, g, b) = (sum(0), sum(1), sum(2));
                let chroma = |r: i32, g: i32, b: i32| ((r + g + b + (128 << 18) + (1 << 17)) >> 18) as u8;
                blue[x] = chroma(-9_714 * r, -19_070 * g, 28_784 * b);
                red[x] = chroma(28_784 * r, -24_103 * g, -4_681 * b);
            }
        }
        gst::Buffer::from_mut_slice(data)
    }
}

/// `frames` side by side in one picture, each whole, in its own part of the width, black above and below.
pub(crate) fn beside(shape: Shape, frames: &[Frame]) -> Frame {
    let mut data = vec![16; shape.bytes()];
    data[shape.width * shape.height..].fill(128);
    let count = frames.len().max(1);
    for (number, frame) in frames.iter().enumerate() {
        let Ok(map) = frame.map_readable() else { continue };
        let mut start = 0;
        for (width, height) in shape.planes() {
            let plane = start..start + width * height;
            let (source, target) = (&map[plane.clone()], &mut data[plane]);
            shrink(source, target, (width, height), number, count);
            start += width * height;
        }
    }
    gst::Buffer::from_mut_slice(data)
}

/// Writes `source`, `count` times smaller, into part `number` of `target`; each pixel is the mean of those it stands for.
fn shrink(source: &[u8], target: &mut [u8], (width, height): (usize, usize), number: usize, count: usize) {
    let (small_width, small_height) = (width / count, height / count);
    let (left, top) = (number * small_width, (height - small_height) / 2);
    for y in 0..small_height {
        for x in 0..small_width {
            let mut sum = 0;
            for row in y * count..(y + 1) * count {
                let from = row * width + x * count;
                sum += source[from..from + count].iter().map(|&value| usize::from(value)).sum::<usize>();
            }
            target[(top + y) * width + left + x] = (sum / (count * count)) as u8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape { width: 16, height: 16, fps: 25 };

    fn bytes(frame: &Frame) -> Vec<u8> {
        frame.map_readable().expect("readable").to_vec()
    }

    #[test]
    fn colours_are_those_of_bt601() {
        gst::init().expect("GStreamer starts");
        // Red, green, blue, white, black, grey with their limited-range values from the standard.
        let known = [
            ([255, 0, 0], [81, 90, 240]),
            ([0, 255, 0], [145, 54, 34]),
            ([0, 0, 255], [41, 240, 110]),
            ([255, 255, 255], [235, 128, 128]),
            ([0, 0, 0], [16, 128, 128]),
            ([128, 128, 128], [126, 128, 128]),
        ];
        for (rgb, yuv) in known {
            let data = bytes(&SHAPE.convert(&rgb.repeat(256)));
            let found = [data[0], data[256], data[256 + 64]];
            let near = found.iter().zip(yuv).all(|(&found, wanted): (&u8, u8)| found.abs_diff(wanted) <= 1);
            assert!(near, "{rgb:?} became {found:?}, not {yuv:?}");
        }
        assert_eq!(bytes(&SHAPE.black()), bytes(&SHAPE.convert(&[0; 768])));
    }

    #[test]
    fn two_pictures_stand_side_by_side() {
        gst::init().expect("GStreamer starts");
        let white = SHAPE.convert(&[255; 768]);
        let data = bytes(&beside(SHAPE, &[SHAPE.black(), white]));
        let row = |y: usize| &data[y * 16..(y + 1) * 16];
        assert_eq!(row(0), [16; 16]);
        assert_eq!(row(8), [[16; 8], [235; 8]].concat());
        assert_eq!(row(15), [16; 16]);
    }

    #[test]
    fn shapes_that_encoders_refuse_are_refused_before() {
        assert!(Shape { width: 642, ..SHAPE }.checked().is_err());
        assert!(Shape { height: 0, ..SHAPE }.checked().is_err());
        assert!(Shape { fps: 0, ..SHAPE }.checked().is_err());
        assert_eq!(SHAPE.checked().expect("good"), SHAPE);
    }
}
