//! The lists of classes that encoders are published with.

use serde::Deserialize;

/// AudioSet's 527 display names in the order of `class_labels_indices.csv` (CC BY 4.0).
const AUDIOSET: &str = include_str!("audioset.txt");
/// The names of ImageNet's 1,000 classes in their usual order.
const IMAGENET: &str = include_str!("imagenet.txt");
/// The names of COCO's 80 classes in their usual order, without the ten numbers that are not used.
const COCO: &str = include_str!("coco.txt");

/// A list of classes, and how an encoder's numbers for them are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Classes {
    /// 527 sounds, each with a probability of its own.
    Audioset,
    /// 1,000 things, of which a picture shows one: the probabilities add up to 1.
    Imagenet,
    /// 80 things, each present with a probability of its own.
    Coco,
}

impl Classes {
    /// All lists.
    pub const ALL: [Self; 3] = [Self::Audioset, Self::Imagenet, Self::Coco];

    /// As vocabularies and manifests spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Audioset => "audioset",
            Self::Imagenet => "imagenet",
            Self::Coco => "coco",
        }
    }

    /// The classes' names in the order of the encoder's outputs.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let list = match self {
            Self::Audioset => AUDIOSET,
            Self::Imagenet => IMAGENET,
            Self::Coco => COCO,
        };
        list.lines()
    }

    /// What two classes of one phrase say together: either of things that exclude each other, or the surer of two opinions.
    pub fn join(self, one: f32, other: f32) -> f32 {
        if self == Self::Imagenet { (one + other).min(1.0) } else { one.max(other) }
    }
}
