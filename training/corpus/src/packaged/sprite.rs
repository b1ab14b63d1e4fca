//! Cut-out pictures: scaled, turned, recoloured and laid over others. All sizes in pixels.

use image::imageops::{self, FilterType};
use image::{ImageBuffer, Rgba, RgbaImage};

use super::dice::Dice;

/// Colours times their opacity, all 0..1: what may be averaged with its neighbours.
type Premultiplied = ImageBuffer<Rgba<f32>, Vec<f32>>;

/// A picture with random flip, size, stretch, rotation and colour. Its height, or three quarters of its width where that is more,
/// is between `least` and `most`.
pub(super) fn sprite(picture: &RgbaImage, dice: &mut Dice, (least, most): (f64, f64)) -> RgbaImage {
    let flipped = if dice.chance(0.5) { &imageops::flip_horizontal(picture) } else { picture };
    let side = dice.uniform(least, most);
    let (width, height) = (f64::from(picture.width()), f64::from(picture.height()));
    let factor = side / height.max(width * 0.75);
    let stretch = dice.uniform(0.88, 1.14);
    let size = |side: f64| (side as u32).max(8);
    let (width, height) = (size(width * factor * stretch), size(height * factor / stretch));
    let scaled = imageops::resize(&premultiplied(flipped), width, height, FilterType::Triangle);
    let mut turned = plain(&rotated(&scaled, dice.uniform(-14.0, 14.0)));
    recolour(&mut turned, dice);
    turned
}

fn premultiplied(image: &RgbaImage) -> Premultiplied {
    Premultiplied::from_fn(image.width(), image.height(), |x, y| {
        let [r, g, b, a] = image.get_pixel(x, y).0.map(|value| f32::from(value) / 255.0);
        Rgba([r * a, g * a, b * a, a])
    })
}

fn plain(image: &Premultiplied) -> RgbaImage {
    RgbaImage::from_fn(image.width(), image.height(), |x, y| {
        let [r, g, b, a] = image.get_pixel(x, y).0;
        let byte = |value: f32| (value * 255.0 + 0.5).clamp(0.0, 255.0) as u8;
        if a > 0.0 { Rgba([byte(r / a), byte(g / a), byte(b / a), byte(a)]) } else { Rgba([0; 4]) }
    })
}

/// Turned counter-clockwise about its middle, as large as it needs to be; values between pixels are mixed of the four around.
fn rotated(image: &Premultiplied, degrees: f64) -> Premultiplied {
    let (sin, cos) = degrees.to_radians().sin_cos();
    let (width, height) = (f64::from(image.width()), f64::from(image.height()));
    // A hair less: rounding must not make it a pixel larger than it is.
    let size = |side: f64| (side - 1e-6).ceil() as u32;
    let (new_width, new_height) =
        (size(width * cos.abs() + height * sin.abs()), size(width * sin.abs() + height * cos.abs()));
    Premultiplied::from_fn(new_width, new_height, |x, y| {
        let (dx, dy) = (
            f64::from(x) + 0.5 - f64::from(new_width) / 2.0,
            f64::from(y) + 0.5 - f64::from(new_height) / 2.0,
        );
        let (sx, sy) = (cos * dx - sin * dy + width / 2.0 - 0.5, sin * dx + cos * dy + height / 2.0 - 0.5);
        between(image, sx, sy)
    })
}

/// The value at a point between pixels; nothing lies outside.
fn between(image: &Premultiplied, x: f64, y: f64) -> Rgba<f32> {
    let (left, top) = (x.floor(), y.floor());
    let (right_share, lower_share) = ((x - left) as f32, (y - top) as f32);
    let mut sum = [0.0; 4];
    for (row, row_share) in [(top, 1.0 - lower_share), (top + 1.0, lower_share)] {
        for (column, share) in [(left, 1.0 - right_share), (left + 1.0, right_share)] {
            let inside = column >= 0.0
                && row >= 0.0
                && column < f64::from(image.width())
                && row < f64::from(image.height());
            if inside {
                let pixel = image.get_pixel(column as u32, row as u32);
                for (sum, value) in sum.iter_mut().zip(pixel.0) {
                    *sum += row_share * share * value;
                }
            }
        }
    }
    Rgba(sum)
}

/// Another brightness, contrast, saturation and tint.
fn recolour(image: &mut RgbaImage, dice: &mut Dice) {
    let (bright, contrast, saturation) =
        (dice.uniform(0.75, 1.25), dice.uniform(0.75, 1.25), dice.uniform(0.55, 1.45));
    let tint = [dice.uniform(0.9, 1.1), dice.uniform(0.9, 1.1), dice.uniform(0.9, 1.1)].map(|x| x as f32);
    let (bright, contrast, saturation) = (bright as f32, contrast as f32, saturation as f32);
    let lit = |pixel: &Rgba<u8>| [0, 1, 2].map(|i| (f32::from(pixel[i]) * bright).min(255.0));
    let grey = |[r, g, b]: [f32; 3]| 0.299 * r + 0.587 * g + 0.114 * b;
    // Of the whole rectangle, transparent corners too, which are black.
    let pixels = (image.width() * image.height()) as f64;
    let mean = (image.pixels().map(|pixel| f64::from(grey(lit(pixel)))).sum::<f64>() / pixels).round() as f32;
    for pixel in image.pixels_mut() {
        let colour = lit(pixel).map(|value| (mean + contrast * (value - mean)).clamp(0.0, 255.0));
        let grey = grey(colour);
        for i in 0..3 {
            let value = (grey + saturation * (colour[i] - grey)).clamp(0.0, 255.0);
            pixel[i] = (value * tint[i]).clamp(0.0, 255.0) as u8;
        }
    }
}

/// A picture without transparency: packed RGB rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Canvas {
    pub width: usize,
    pub height: usize,
    /// Three bytes a pixel.
    pub data: Vec<u8>,
}

impl Canvas {
    /// Lays `sprite` over it with its upper left corner at (`x`, `y`), which may be outside.
    pub fn paste(&mut self, sprite: &RgbaImage, x: i64, y: i64) {
        let (width, height) = (i64::from(sprite.width()), i64::from(sprite.height()));
        let columns = (-x).clamp(0, width)..(self.width as i64 - x).clamp(0, width);
        let rows = (-y).clamp(0, height)..(self.height as i64 - y).clamp(0, height);
        for row in rows {
            for column in columns.clone() {
                let pixel = sprite.get_pixel(column as u32, row as u32);
                let alpha = u32::from(pixel[3]);
                if alpha == 0 {
                    continue;
                }
                let at = ((y + row) as usize * self.width + (x + column) as usize) * 3;
                for (below, above) in self.data[at..at + 3].iter_mut().zip(pixel.0) {
                    let mixed = u32::from(above) * alpha + u32::from(*below) * (255 - alpha);
                    *below = ((mixed + 127) / 255) as u8;
                }
            }
        }
    }

    /// The part of it with its upper left corner at (`x`, `y`); it lies inside.
    pub fn part(&self, x: usize, y: usize, width: usize, height: usize) -> Self {
        let rows = self.data.chunks_exact(self.width * 3).skip(y).take(height);
        let data = rows.flat_map(|row| &row[x * 3..(x + width) * 3]).copied().collect();
        Self { width, height, data }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A red disc of 40 pixels in the middle of nothing.
    fn disc() -> RgbaImage {
        RgbaImage::from_fn(60, 60, |x, y| {
            let inside = (f64::from(x) - 29.5).hypot(f64::from(y) - 29.5) < 20.0;
            if inside { Rgba([255, 0, 0, 255]) } else { Rgba([0, 255, 0, 0]) }
        })
    }

    #[test]
    fn a_quarter_turn_moves_every_pixel_to_its_place() {
        let image = RgbaImage::from_fn(7, 4, |x, y| Rgba([x as u8 * 30, y as u8 * 60, 9, 255]));
        let turned = plain(&rotated(&premultiplied(&image), 90.0));
        assert_eq!(turned.dimensions(), (4, 7));
        for (x, y, pixel) in turned.enumerate_pixels() {
            // Counter-clockwise: the right edge becomes the upper one.
            let source = image.get_pixel(6 - y, x);
            assert!(
                pixel.0.iter().zip(source.0).all(|(a, b)| a.abs_diff(b) <= 1),
                "{x},{y}: {pixel:?} {source:?}"
            );
        }
        assert_eq!(plain(&rotated(&premultiplied(&image), 0.0)), image);
    }

    #[test]
    fn the_colour_of_transparent_pixels_does_not_bleed() {
        let small = imageops::resize(&premultiplied(&disc()), 25, 25, FilterType::Triangle);
        let turned = plain(&rotated(&small, 11.0));
        for pixel in turned.pixels().filter(|pixel| pixel[3] > 0) {
            assert!(pixel[0] >= 250 && pixel[1] <= 5, "{pixel:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn sprites_have_the_size_they_should(width in 20u32..200, height in 20u32..200, seed in 0u64..1000) {
            let picture = RgbaImage::from_pixel(width, height, Rgba([90, 120, 150, 255]));
            let made = sprite(&picture, &mut Dice::new(seed, "x"), (162.0, 331.0));
            // Before it is turned by up to 14 degrees and stretched by up to 14%.
            let side = f64::from(height).max(f64::from(width) * 0.75);
            let (low, high) = (162.0 / side, 331.0 / side);
            let diagonal = f64::from(width).hypot(f64::from(height));
            prop_assert!(f64::from(made.height()) >= f64::from(height) * low / 1.15 - 2.0);
            prop_assert!(f64::from(made.width()) >= f64::from(width) * low * 0.87 - 2.0);
            prop_assert!(f64::from(made.width().max(made.height())) <= diagonal * high * 1.15 + 2.0);
        }

        #[test]
        fn pasting_stays_inside(x in -80i64..120, y in -80i64..120) {
            let grey = Canvas { width: 50, height: 40, data: vec![100; 6000] };
            let mut canvas = grey.clone();
            canvas.paste(&disc(), x, y);
            for row in 0..40i64 {
                for column in 0..50i64 {
                    let at = ((row * 50 + column) * 3) as usize;
                    let inside = ((column - x) as f64 - 29.5).hypot((row - y) as f64 - 29.5) < 20.0;
                    prop_assert_eq!(&canvas.data[at..at + 3], if inside { &[255, 0, 0] } else { &[100, 100, 100] });
                }
            }
        }
    }
}
