//! The recipe: which natural sounds and footage there are, what they hold, and what their files must be.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::NaturalError;
use crate::{CorpusError, Split};

/// `config/natural.toml`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// The folds of each split; a sound's fold is the first digit of its file's name.
    pub folds: BTreeMap<Split, Vec<u32>>,
    /// Where the files come from.
    #[serde(rename = "source")]
    pub sources: Vec<Source>,
    /// Classes of sounds.
    #[serde(rename = "sound")]
    pub sounds: Vec<Sound>,
    /// Footage.
    #[serde(rename = "video", default)]
    pub videos: Vec<Video>,
    /// Quiet stretches of the sounds.
    #[serde(rename = "room", default)]
    pub rooms: Vec<Room>,
    /// Labels that never happen, with the family each is of.
    #[serde(default)]
    pub absent: BTreeMap<String, String>,
}

/// Where files come from.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// What sounds and footage call it.
    pub name: String,
    /// What it is, and whose.
    pub title: String,
    /// Where anybody can fetch it.
    pub address: String,
    /// On what terms.
    pub licence: String,
}

/// A class of sounds.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sound {
    /// What file names begin with: `CLASS__NAME`.
    pub class: String,
    /// The [`Source::name`].
    pub source: String,
    /// The folder of its files below the source's address.
    pub path: String,
    /// What a model should call it.
    pub label: String,
    /// In a sentence.
    pub caption: String,
    /// What is related shares it.
    pub family: String,
    /// Whether it goes on by itself, or comes and goes.
    pub steady: bool,
    /// The SHA-256 of each file, by name.
    pub files: BTreeMap<String, String>,
}

/// A file of footage.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Video {
    /// Its name.
    pub file: String,
    /// The [`Source::name`].
    pub source: String,
    /// Of the file.
    pub sha256: String,
    /// What is used of it.
    #[serde(rename = "part")]
    pub parts: Vec<Part>,
}

/// A part of a file of footage.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// What it may be used for.
    pub split: Split,
    /// Seconds of the file.
    pub start: f64,
    /// Seconds of the file.
    pub end: f64,
    /// Whether it may be shown over and over.
    #[serde(rename = "loop", default)]
    pub loops: bool,
    /// Whether its own sound belongs to it; then it is an event, seen and heard.
    #[serde(default)]
    pub sound: bool,
    /// What a model should call what is seen.
    pub label: String,
    /// In a sentence.
    pub caption: String,
    /// What is related shares it.
    pub family: String,
    /// When it is seen, in seconds of the file.
    pub seen: Vec<[f64; 2]>,
    /// Labels of what may be seen too, though nobody marked it.
    #[serde(default)]
    pub perhaps: Vec<String>,
}

impl Part {
    /// How long it lasts.
    pub fn seconds(&self) -> f64 {
        self.end - self.start
    }
}

/// A quiet stretch of a sound.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Room {
    /// `CLASS__NAME`, one of the sounds.
    pub file: String,
    /// Seconds of it.
    pub start: f64,
    /// Seconds of it.
    pub end: f64,
}

/// The folders of sounds and footage.
const SOUNDS: &str = "esc10";
const VIDEOS: &str = "video";

impl Recipe {
    /// The recipe that is part of the program.
    pub fn own() -> Self {
        toml::from_str(include_str!("../../../../config/natural.toml")).expect("a test reads natural.toml")
    }

    /// Reads a recipe.
    ///
    /// # Errors
    /// When it cannot be read, or says what cannot be.
    pub fn read(path: &Path) -> Result<Self, NaturalError> {
        let text = fs::read_to_string(path).map_err(CorpusError::read(path))?;
        let wrong = |reason| NaturalError::Recipe { path: path.to_owned(), reason };
        let recipe: Self = toml::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        recipe.check().map_err(wrong)?;
        Ok(recipe)
    }

    /// What is wrong with it, if anything is.
    pub fn check(&self) -> Result<(), String> {
        let sources: BTreeSet<&str> = self.sources.iter().map(|source| source.name.as_str()).collect();
        let named =
            self.sounds.iter().map(|sound| &sound.source).chain(self.videos.iter().map(|v| &v.source));
        for source in named {
            if !sources.contains(source.as_str()) {
                return Err(format!("there is no [[source]] \"{source}\""));
            }
        }
        for video in &self.videos {
            for part in &video.parts {
                let inside =
                    |[start, end]: &[f64; 2]| part.start <= *start && start < end && *end <= part.end;
                if part.start < 0.0 || part.start >= part.end || !part.seen.iter().all(inside) {
                    return Err(format!("{}: a part or what is seen in it is no span of time", video.file));
                }
            }
        }
        for room in &self.rooms {
            if room.start < 0.0 || room.end - room.start < 0.2 {
                return Err(format!("{}: a quiet stretch lasts at least 0.2 s", room.file));
            }
            if self.split_of(&room.file).is_none() || self.file_hash(&room.file).is_none() {
                return Err(format!("the quiet stretch {} is of no sound of any split", room.file));
            }
        }
        if self.sounds.iter().any(|sound| self.absent.contains_key(&sound.label)) {
            return Err("[absent] has the label of a sound".to_owned());
        }
        Ok(())
    }

    /// The split of a sound's file by its fold; `None`: it is not used.
    pub fn split_of(&self, file: &str) -> Option<Split> {
        let name = file.rsplit("__").next().unwrap_or(file);
        let fold = name.chars().next()?.to_digit(10)?;
        self.folds.iter().find(|(_, folds)| folds.contains(&fold)).map(|(split, _)| *split)
    }

    fn file_hash(&self, file: &str) -> Option<&String> {
        let (class, name) = file.split_once("__")?;
        self.sounds.iter().find(|sound| sound.class == class)?.files.get(name)
    }

    /// Every label of sounds and footage, with its family.
    pub fn labels(&self) -> BTreeMap<&str, &str> {
        let sounds = self.sounds.iter().map(|sound| (sound.label.as_str(), sound.family.as_str()));
        let parts = self.videos.iter().flat_map(|video| &video.parts);
        sounds.chain(parts.map(|part| (part.label.as_str(), part.family.as_str()))).collect()
    }
}

/// The media of a recipe in a folder; each file is compared with its checksum when it is asked for first.
pub(super) struct Media {
    folder: PathBuf,
    recipe: Recipe,
}

impl Media {
    /// Checks every file that `split` uses.
    ///
    /// # Errors
    /// When one is missing, or is not the recipe's.
    pub fn open(folder: &Path, recipe: Recipe, split: Split) -> Result<Self, NaturalError> {
        let media = Self { folder: folder.to_owned(), recipe };
        let address = |name: &str| {
            let source = media.recipe.sources.iter().find(|source| source.name == name);
            source.map(|source| source.address.clone()).unwrap_or_default()
        };
        for (_, sound, name) in media.sounds(split) {
            verify(&media.sound(&sound.class, name), &sound.files[name], || {
                format!("{}, {}/{name}", address(&sound.source), sound.path)
            })?;
        }
        for video in &media.recipe.videos {
            if video.parts.iter().any(|part| part.split == split) {
                verify(&media.video(&video.file), &video.sha256, || address(&video.source))?;
            }
        }
        Ok(media)
    }

    pub fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    /// Class, its number, and file names of a split's sounds.
    pub fn sounds(&self, split: Split) -> impl Iterator<Item = (usize, &Sound, &str)> {
        let all =
            self.recipe.sounds.iter().enumerate().flat_map(|(number, sound)| {
                sound.files.keys().map(move |name| (number, sound, name.as_str()))
            });
        all.filter(move |(_, _, name)| self.recipe.split_of(name) == Some(split))
    }

    pub fn sound(&self, class: &str, name: &str) -> PathBuf {
        self.folder.join(SOUNDS).join(format!("{class}__{name}"))
    }

    pub fn room(&self, room: &Room) -> PathBuf {
        self.folder.join(SOUNDS).join(&room.file)
    }

    pub fn video(&self, file: &str) -> PathBuf {
        self.folder.join(VIDEOS).join(file)
    }
}

fn verify(path: &Path, wanted: &str, address: impl Fn() -> String) -> Result<(), NaturalError> {
    if !path.is_file() {
        return Err(NaturalError::Missing { path: path.to_owned(), address: address() });
    }
    let found = hex::encode(Sha256::digest(fs::read(path).map_err(CorpusError::read(path))?));
    if found == wanted {
        return Ok(());
    }
    Err(NaturalError::Other { path: path.to_owned(), found, wanted: wanted.to_owned(), address: address() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recipe_is_sound_and_complete() {
        let recipe = Recipe::own();
        recipe.check().expect("nothing is wrong");
        assert_eq!(recipe.sounds.len(), 10);
        assert!(recipe.sounds.iter().all(|sound| sound.files.len() == 24));
        assert_eq!(recipe.split_of("dog_bark__1-30226-A.ogg"), Some(Split::Train));
        assert_eq!(recipe.split_of("3-155312-A.ogg"), Some(Split::Validation));
        assert_eq!(recipe.split_of("4-1-A.ogg"), None);
        for split in [Split::Train, Split::Validation] {
            let rooms = recipe.rooms.iter().filter(|room| recipe.split_of(&room.file) == Some(split));
            assert!(rooms.count() >= 3, "{split}");
        }
    }

    #[test]
    fn what_cannot_be_is_said() {
        let good = Recipe::own();
        let complaint = |change: fn(&mut Recipe)| {
            let mut recipe = good.clone();
            change(&mut recipe);
            recipe.check().expect_err("something is wrong")
        };
        assert!(complaint(|recipe| recipe.sounds[0].source = "x".into()).contains("no [[source]] \"x\""));
        assert!(
            complaint(|recipe| recipe.videos[0].parts[0].seen[0] = [3.0, 2.0]).contains("no span of time")
        );
        assert!(complaint(|recipe| recipe.rooms[0].file = "cat__1-x.ogg".into()).contains("no sound"));
        assert!(
            complaint(|recipe| drop(recipe.absent.insert("rain".into(), "water".into())))
                .contains("[absent]")
        );
    }
}
