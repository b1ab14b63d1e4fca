//! What a scene is in front of: a background of one of nine families, some clutter, and a slowly panning camera.

use std::f64::consts::{PI, TAU};
use std::path::PathBuf;

use image::imageops::{self, FilterType};
use image::{ImageBuffer, Luma};

use super::dice::Dice;
use super::sprite::{Canvas, sprite};
use super::stamps::Stamps;
use super::{HEIGHT, PackagedError, WIDTH};
use crate::Split;

/// A background is larger than the picture by this much on each side, so that the camera can pan.
const MARGIN: usize = 60;
const FULL_WIDTH: usize = WIDTH + 2 * MARGIN;
const FULL_HEIGHT: usize = HEIGHT + 2 * MARGIN;

/// What backgrounds look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Family {
    Gradient,
    Clouds,
    Stripes,
    Checker,
    Landscape,
    Blobs,
    Grain,
    Rays,
    Mosaic,
}

use Family::{Blobs, Checker, Clouds, Gradient, Grain, Landscape, Mosaic, Rays, Stripes};

/// Families of every split.
const COMMON: [Family; 7] = [Gradient, Clouds, Stripes, Checker, Landscape, Blobs, Grain];
/// Families of test clips only, which are more than half of theirs.
const HELD_OUT: [Family; 2] = [Rays, Mosaic];

impl Family {
    /// One word for tags.
    pub fn word(self) -> &'static str {
        match self {
            Gradient => "gradient",
            Clouds => "clouds",
            Stripes => "stripes",
            Checker => "checker",
            Landscape => "landscape",
            Blobs => "blobs",
            Grain => "grain",
            Rays => "rays",
            Mosaic => "mosaic",
        }
    }

    /// To follow "in front of".
    pub fn phrase(self) -> &'static str {
        match self {
            Gradient => "a plain wall",
            Clouds => "a cloudy sky",
            Stripes => "a striped curtain",
            Checker => "a chequered floor",
            Landscape => "open country",
            Blobs => "coloured dots",
            Grain => "rough paper",
            Rays => "rays of light",
            Mosaic => "a mosaic",
        }
    }

    /// One of those of a split.
    pub fn drawn(dice: &mut Dice, split: Split) -> Self {
        *dice.pick(&Self::of(split))
    }

    /// Those of a split; one that stands there several times is drawn so many times as often.
    pub fn of(split: Split) -> Vec<Self> {
        let mut families = COMMON.to_vec();
        if split == Split::Test {
            families.extend([HELD_OUT; 4].concat());
        }
        families
    }
}

/// A background seen by a moving camera.
pub(crate) struct Backdrop {
    image: Canvas,
    phase: [f64; 2],
    speed: [f64; 2],
}

impl Backdrop {
    /// One with nothing in front of it and a camera that stands still: packed RGB rows of [`WIDTH`] x [`HEIGHT`].
    pub fn still(dice: &mut Dice, split: Split) -> Vec<u8> {
        let image = background(Family::drawn(dice, split), dice);
        image.part(MARGIN, MARGIN, WIDTH, HEIGHT).data
    }

    pub fn new(dice: &mut Dice, stamps: &Stamps, split: Split) -> Result<Self, PackagedError> {
        let family = Family::drawn(dice, split);
        let mut image = background(family, dice);
        for _ in 0..*dice.pick(&[0, 0, 1, 2, 3]) {
            let file: &PathBuf = dice.pick(stamps.distractors(split));
            let picture = stamps.picture(file)?;
            let height = HEIGHT as f64;
            let thing = sprite(&picture, dice, (0.15 * height, 0.4 * height));
            let x = dice.uniform(0.0, (FULL_WIDTH - 40) as f64) as i64;
            let y = dice.uniform(0.0, (FULL_HEIGHT - 40) as f64) as i64;
            image.paste(&thing, x, y);
        }
        let phase = [dice.uniform(0.0, TAU), dice.uniform(0.0, TAU)];
        let speed = [dice.uniform(0.0, 0.5), dice.uniform(0.0, 0.5)];
        Ok(Self { image, phase, speed })
    }

    /// What the camera sees after so many seconds.
    pub(super) fn at(&self, seconds: f64) -> Canvas {
        let place =
            |i: usize| (MARGIN as f64 * (1.0 + (self.phase[i] + self.speed[i] * seconds).sin())) as usize;
        self.image.part(place(0), place(1), WIDTH, HEIGHT)
    }
}

/// A colour of any hue, from greyish to saturated.
fn colour(dice: &mut Dice) -> [f32; 3] {
    let base = dice.uniform(20.0, 235.0);
    let hue = [dice.uniform(-1.0, 1.0), dice.uniform(-1.0, 1.0), dice.uniform(-1.0, 1.0)];
    let strength = dice.uniform(5.0, 90.0);
    hue.map(|part| (base + part * strength).clamp(0.0, 255.0) as f32)
}

/// Smooth noise in 0..1 with about `cells` bumps along the height, rows of `width`.
fn smooth(dice: &mut Dice, width: usize, height: usize, cells: usize) -> Vec<f32> {
    let columns = (cells as f64 * width as f64 / height as f64) as u32 + 2;
    let small = ImageBuffer::<Luma<f32>, Vec<f32>>::from_fn(columns, cells as u32 + 2, |_, _| {
        Luma([dice.uniform(0.0, 1.0) as f32])
    });
    imageops::resize(&small, width as u32, height as u32, FilterType::CatmullRom).into_raw()
}

/// A background of a family: three colours over values of 0..1, with some grain.
fn background(family: Family, dice: &mut Dice) -> Canvas {
    let [a, b, c] = [colour(dice), colour(dice), colour(dice)];
    let values = values(family, dice);
    let grain = dice.uniform(0.0, 8.0) as f32;
    let mut data = Vec::with_capacity(values.len() * 3);
    for (value, noise) in values.iter().zip(dice.normals(values.len())) {
        let (from, to, share) = if *value < 0.5 { (a, b, 2.0 * value) } else { (b, c, 2.0 * value - 1.0) };
        data.extend(
            (0..3).map(|i| (from[i] + (to[i] - from[i]) * share + grain * noise).clamp(0.0, 255.0) as u8),
        );
    }
    Canvas { width: FULL_WIDTH, height: FULL_HEIGHT, data }
}

/// A value for each pixel of a whole background.
fn each(mut value: impl FnMut(f64, f64) -> f64) -> Vec<f32> {
    let points = (0..FULL_HEIGHT).flat_map(|y| (0..FULL_WIDTH).map(move |x| (x as f64, y as f64)));
    points.map(|(x, y)| value(x, y) as f32).collect()
}

fn values(family: Family, dice: &mut Dice) -> Vec<f32> {
    let (width, height) = (FULL_WIDTH as f64, FULL_HEIGHT as f64);
    match family {
        Gradient => {
            let (sin, cos) = dice.uniform(0.0, TAU).sin_cos();
            let values = each(|x, y| x * cos + y * sin);
            let (low, high) = values.iter().fold((f32::MAX, f32::MIN), |(l, h), v| (l.min(*v), h.max(*v)));
            values.iter().map(|value| (value - low) / (high - low)).collect()
        }
        Clouds => {
            let mut sum = vec![0.0; FULL_WIDTH * FULL_HEIGHT];
            for (cells, share) in [(3, 1.0), (7, 0.5), (15, 0.25), (31, 0.125)] {
                for (sum, value) in sum.iter_mut().zip(smooth(dice, FULL_WIDTH, FULL_HEIGHT, cells)) {
                    *sum += share / 1.875 * value;
                }
            }
            sum
        }
        Stripes => {
            let (sin, cos) = dice.uniform(0.0, PI).sin_cos();
            let (period, hard) = (dice.uniform(20.0, 140.0), dice.chance(0.5));
            each(|x, y| {
                let value = 0.5 + 0.5 * ((x * cos + y * sin) * TAU / period).sin();
                if hard { f64::from(u8::from(value > 0.5)) } else { value }
            })
        }
        Checker => {
            let size = dice.uniform(25.0, 110.0);
            each(|x, y| ((x / size).floor() + (y / size).floor()).rem_euclid(2.0))
        }
        Landscape => {
            let horizon = height * dice.uniform(0.35, 0.75);
            let hills = smooth(dice, FULL_WIDTH, 8, 2);
            let cells = 8 + dice.index(52);
            let ground = smooth(dice, FULL_WIDTH, FULL_HEIGHT, cells);
            each(|x, y| {
                let edge = horizon + 60.0 * (f64::from(hills[x as usize]) - 0.5);
                let place = y as usize * FULL_WIDTH + x as usize;
                if y > edge { 0.75 + 0.25 * f64::from(ground[place]) } else { 0.25 * y / height }
            })
        }
        Blobs => {
            let blobs: Vec<[f64; 4]> = (0..8 + dice.index(22))
                .map(|_| {
                    let (radius, x, y) =
                        (dice.uniform(10.0, 70.0), dice.uniform(0.0, width), dice.uniform(0.0, height));
                    [radius, x, y, dice.uniform(0.3, 1.0)]
                })
                .collect();
            each(|x, y| {
                let value = |[radius, cx, cy, value]: &[f64; 4]| {
                    ((radius - (x - cx).hypot(y - cy)) / 6.0).clamp(0.0, 1.0) * value
                };
                blobs.iter().map(value).fold(0.0, f64::max)
            })
        }
        Grain => {
            let normals = dice.normals(FULL_WIDTH * FULL_HEIGHT);
            let slow = smooth(dice, FULL_WIDTH, FULL_HEIGHT, 4);
            let mixed = normals.iter().zip(slow).map(|(n, s)| 0.5 + 0.2 * n + 0.6 * (s - 0.5));
            mixed.map(|value| value.clamp(0.0, 1.0)).collect()
        }
        Rays => {
            let (y0, x0) = (dice.uniform(0.0, height), dice.uniform(0.0, width));
            let (count, phase) = ((6 + dice.index(18)) as f64, dice.uniform(0.0, 6.0));
            each(|x, y| 0.5 + 0.5 * ((y - y0).atan2(x - x0) * count + phase).sin())
        }
        Mosaic => {
            let points: Vec<[f64; 3]> = (0..20 + dice.index(40))
                .map(|_| [dice.uniform(0.0, height), dice.uniform(0.0, width), dice.uniform(0.0, 1.0)])
                .collect();
            each(|x, y| {
                let distance = |[py, px, _]: &[f64; 3]| (y - py).powi(2) + (x - px).powi(2);
                let nearest = points.iter().min_by(|a, b| distance(a).total_cmp(&distance(b)));
                nearest.map_or(0.0, |point| point[2])
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_family_fills_its_range() {
        for family in Family::of(Split::Test) {
            let mut dice = Dice::new(5, family.word());
            let values = values(family, &mut dice);
            assert_eq!(values.len(), FULL_WIDTH * FULL_HEIGHT);
            let (low, high) = values.iter().fold((f32::MAX, f32::MIN), |(l, h), v| (l.min(*v), h.max(*v)));
            assert!(low >= 0.0 && high <= 1.0 && high - low > 0.25, "{family:?}: {low} to {high}");
        }
    }

    #[test]
    fn held_out_families_are_in_test_clips_only() {
        for split in [Split::Train, Split::Validation] {
            assert!(!Family::of(split).iter().any(|family| HELD_OUT.contains(family)));
        }
        let test = Family::of(Split::Test);
        assert_eq!(test.iter().filter(|family| HELD_OUT.contains(family)).count(), 8);
        assert_eq!(test.len(), 15);
    }

    #[test]
    fn a_family_is_the_same_again_and_another_seed_is_not() {
        let draw = |seed| background(Clouds, &mut Dice::new(seed, "x"));
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }
}
