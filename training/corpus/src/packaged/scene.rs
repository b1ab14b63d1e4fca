//! One clip: a backdrop, a noise bed and one event that lasts from its beginning to its end.

use std::f64::consts::TAU;

use super::backdrop::{Backdrop, Family};
use super::dice::Dice;
use super::effect::performance;
use super::noise::{Bed, bed};
use super::sprite::{Canvas, sprite};
use super::stamps::{Class, Stamps};
use super::{HEIGHT, PackagedError, WIDTH};
use crate::{Modality, Split};

/// A cut-out that moves over the scene.
struct Actor {
    image: image::RgbaImage,
    centre: [f64; 2],
    swing: [f64; 2],
    speed: [f64; 2],
    phase: [f64; 2],
}

impl Actor {
    fn new(class: &Class, dice: &mut Dice, stamps: &Stamps, split: Split) -> Result<Self, PackagedError> {
        let height = HEIGHT as f64;
        let picture = stamps.picture(class.picture(split))?;
        let image = sprite(&picture, dice, (0.45 * height, 0.92 * height));
        Ok(Self {
            image,
            centre: [dice.uniform(0.25, 0.75), dice.uniform(0.4, 0.6)],
            swing: [dice.uniform(0.02, 0.22), dice.uniform(0.01, 0.1)],
            speed: [dice.uniform(0.3, 2.5), dice.uniform(0.3, 2.5)],
            phase: [dice.uniform(0.0, TAU), dice.uniform(0.0, TAU)],
        })
    }

    fn draw(&self, canvas: &mut Canvas, seconds: f64) {
        let place =
            |i: usize| self.centre[i] + self.swing[i] * (self.phase[i] + self.speed[i] * seconds).sin();
        let corner = |middle: f64, size: u32| (middle - f64::from(size) / 2.0) as i64;
        let x = corner(place(0) * WIDTH as f64, self.image.width());
        let y = corner(place(1) * HEIGHT as f64, self.image.height());
        canvas.paste(&self.image, x, y);
    }
}

/// A scene; everything about it follows from seed and id.
pub(super) struct Scene {
    backdrop: Backdrop,
    actor: Option<Actor>,
    sound: Vec<f32>,
}

impl Scene {
    /// The scene `id` of `count` samples; `event` is what happens in it, to which senses.
    pub fn new(
        seed: u64,
        id: &str,
        count: usize,
        event: Option<(&Class, Modality)>,
        stamps: &Stamps,
        split: Split,
    ) -> Result<Self, PackagedError> {
        let mut dice = picture_dice(seed, id);
        let backdrop = Backdrop::new(&mut dice, stamps, split)?;
        let seen = event.filter(|(_, sense)| *sense != Modality::Audio);
        let actor = seen.map(|(class, _)| Actor::new(class, &mut dice, stamps, split)).transpose()?;
        let mut dice = Dice::new(seed, &format!("{id}/sound"));
        let Bed { samples: mut sound, .. } = bed(count, &mut dice, stamps, split)?;
        if let Some((class, _)) = event.filter(|(_, sense)| *sense != Modality::Visual) {
            let heard = performance(&stamps.effect(class)?, count, &mut dice);
            sound.iter_mut().zip(heard).for_each(|(sample, heard)| *sample += heard);
        }
        sound.iter_mut().for_each(|sample| *sample = sample.clamp(-1.0, 1.0));
        Ok(Self { backdrop, actor, sound })
    }

    /// What the background of a scene is like, without making it.
    pub fn family(seed: u64, id: &str, split: Split) -> Family {
        Family::drawn(&mut picture_dice(seed, id), split)
    }

    /// The picture after so many seconds, packed RGB rows.
    pub fn picture(&self, seconds: f64) -> Vec<u8> {
        let mut canvas = self.backdrop.at(seconds);
        if let Some(actor) = &self.actor {
            actor.draw(&mut canvas, seconds);
        }
        canvas.data
    }

    /// The whole sound, mono at 48 kHz.
    pub fn sound(&self) -> &[f32] {
        &self.sound
    }
}

fn picture_dice(seed: u64, id: &str) -> Dice {
    Dice::new(seed, &format!("{id}/picture"))
}
