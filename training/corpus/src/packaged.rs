//! Trimmed clips composed from packaged pictures and sounds: something that moves, makes its sound, or both, before a background
//! of any kind, with clutter, noise and talk.
//!
//! What is made follows the recipe of the demo's scene (`training/small/{classes,picture,sound,scene}.py`): the same classes, families
//! and ranges, though other random numbers. Held out for test clips are two of nine families of backgrounds and two of seven of noise
//! (which test clips show and play more often than the others), a quarter of the distractors, two of six languages of talk, and for
//! 15 of the 48 classes a second picture. **Not** held out is the recording of a class, of which there is one: in test clips it
//! is played at another speed, tone, level and starting point over other noise. The other 33 classes have one picture, which test
//! clips show at another size, angle and colour before other backgrounds. Validation clips differ from training clips only by
//! what was drawn.

mod backdrop;
mod clips;
mod dice;
mod effect;
mod noise;
mod scene;
mod sprite;
mod stamps;

use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(super) use self::backdrop::Backdrop;
pub use self::clips::{Options, Progress, build};
pub(super) use self::dice::Dice;
pub(super) use self::effect::rms;
pub(super) use self::noise::{Noise, raw as noise};
pub use self::stamps::{Class, FOLDER, PACKAGE, Stamps, classes};
use super::Split;
use crate::media::MediaError;

/// Pictures are so wide.
pub const WIDTH: usize = 640;
/// Pictures are so high.
pub const HEIGHT: usize = 360;

/// What a data set card should say of packaged clips: where they come from, and what test clips share with the others.
pub const FACTS: [&str; 6] = [
    "Clips are composed from the pictures and sounds of the Debian package tuxpaint-stamps-default (GPL-2, Bill Kendrick and the \
     authors its files name); what is made from them is under the same licence.",
    "A clip lasts 10 s: a picture that moves before a background (60 % seen and heard, 20 % heard only, 20 % seen only), with \
     noise, clutter and, one in five, talk in languages that say nothing about the event.",
    "Held out for test clips: two of nine families of backgrounds and two of seven kinds of noise, a quarter of the pictures in \
     the clutter, two of six languages of talk, and a second picture of 15 of the 48 classes. No file of a test clip is in \
     another split.",
    "Not held out: the recording of a class. There is one; test clips play it at another speed, tone, level and starting point.",
    "Not held out: the picture of the other 33 classes. Test clips show it at another size, angle, stretch and colour.",
    "Validation clips are made like training clips, from other random numbers.",
];

/// Why packaged clips cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum PackagedError {
    /// The package is not installed, or not the one we know.
    #[error("{what} is missing; install the Debian package {PACKAGE} (apt install {PACKAGE}), or run `make setup`", what = what.display())]
    Missing {
        /// What was looked for.
        what: PathBuf,
    },
    /// A file or folder of the package cannot be read.
    #[error("{path} cannot be read ({source}); install {PACKAGE} again", path = path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A picture cannot be decoded.
    #[error("{path} is no usable picture ({source}); install {PACKAGE} again", path = path.display())]
    Picture {
        /// Which.
        path: PathBuf,
        /// Why.
        source: image::ImageError,
    },
    /// A recording has no sound.
    #[error("{path} has no sound; install {PACKAGE} again", path = path.display())]
    Silent {
        /// Which.
        path: PathBuf,
    },
    /// A recording or drawing cannot be decoded.
    #[error(transparent)]
    Media(#[from] MediaError),
}

/// Backgrounds with nothing in front of them, for the gaps between clips.
#[derive(Clone)]
pub struct Scenery {
    stamps: Arc<Stamps>,
    seed: u64,
    split: Split,
}

impl Scenery {
    /// Backgrounds of `split`, drawn from `seed`.
    pub fn new(stamps: Arc<Stamps>, seed: u64, split: Split) -> Self {
        Self { stamps, seed, split }
    }

    /// From the packaged stamps where the package puts them.
    ///
    /// # Errors
    /// When the package is not installed.
    pub fn open(seed: u64, split: Split) -> Result<Self, PackagedError> {
        Ok(Self::new(Arc::new(Stamps::open(Path::new(FOLDER))?), seed, split))
    }

    /// The background `id`, with a noise bed of `count` samples.
    pub(crate) fn background(&self, id: &str, count: usize) -> Result<Background, PackagedError> {
        scene::Scene::new(self.seed, id, count, None, &self.stamps, self.split).map(Background)
    }
}

impl std::fmt::Debug for Scenery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scenery")
            .field("seed", &self.seed)
            .field("split", &self.split)
            .finish_non_exhaustive()
    }
}

/// A background and what is heard before it.
pub(crate) struct Background(scene::Scene);

impl Background {
    /// What it looks like after so many seconds, packed RGB rows of [`WIDTH`] x [`HEIGHT`].
    pub fn picture(&self, seconds: f64) -> Vec<u8> {
        self.0.picture(seconds)
    }

    /// Its noise bed.
    pub fn sound(&self) -> &[f32] {
        self.0.sound()
    }
}
