//! The packaged pictures and sounds: which there are, and each loaded once.

use std::collections::BTreeMap;
use std::fs;
use std::hash::Hash;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use image::imageops::{self, FilterType};
use image::{ImageReader, RgbaImage};
use serde::Deserialize;

use super::PackagedError;
use super::effect;
use crate::Split;
use crate::media;

/// Where the Debian package puts them.
pub const FOLDER: &str = "/usr/share/tuxpaint/stamps";

/// The Debian package.
pub const PACKAGE: &str = "tuxpaint-stamps-default";

/// Loaded pictures are at most so wide and high.
const LARGEST: u32 = 400;

/// Seconds that are read of a recording.
const LONGEST: f64 = 60.0;

/// A class: what it is called, looks and sounds like.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Class {
    /// With its article: "a frog".
    pub label: String,
    /// What it does to be heard, to follow the label in a sentence.
    pub does: String,
    sound: PathBuf,
    picture: PathBuf,
    held_out: Option<PathBuf>,
}

impl Class {
    /// Its picture in clips of this split, below the stamps' folder.
    pub fn picture(&self, split: Split) -> &Path {
        match (split, &self.held_out) {
            (Split::Test, Some(held_out)) => held_out,
            _ => &self.picture,
        }
    }

    /// Whether test clips show another picture of it than all others.
    pub fn has_held_out_picture(&self) -> bool {
        self.held_out.is_some()
    }

    /// The label as part of file names: `fire-truck`.
    pub fn slug(&self) -> String {
        let name = self.label.split_once(' ').map_or(self.label.as_str(), |(_, name)| name);
        name.replace(' ', "-")
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Recipe {
    distractors: Distractors,
    talk: Talk,
    class: Vec<Class>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Distractors {
    folders: Vec<PathBuf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Talk {
    train: Vec<String>,
    test: Vec<String>,
}

fn recipe() -> Recipe {
    toml::from_str(include_str!("classes.toml")).expect("a test reads classes.toml")
}

/// The classes in their order.
pub fn classes() -> Vec<Class> {
    recipe().class
}

/// Things that are loaded once and then shared.
struct Shelf<K, V>(Mutex<BTreeMap<K, Arc<V>>>);

impl<K: Ord + Hash + Clone, V> Shelf<K, V> {
    fn get<E>(&self, key: K, load: impl FnOnce() -> Result<V, E>) -> Result<Arc<V>, E> {
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = lock().get(&key) {
            return Ok(Arc::clone(value));
        }
        // Not under the lock: others may load other things meanwhile. Loaded twice, the first one stays.
        let value = Arc::new(load()?);
        Ok(Arc::clone(lock().entry(key).or_insert(value)))
    }
}

/// All packaged pictures and sounds.
pub struct Stamps {
    folder: PathBuf,
    classes: Vec<Class>,
    /// Pictures that are no class, and recordings of talk, each for test and for the other splits.
    distractors: [Vec<PathBuf>; 2],
    talk: [Vec<PathBuf>; 2],
    pictures: Shelf<PathBuf, RgbaImage>,
    sounds: Shelf<PathBuf, Vec<f32>>,
    effects: Shelf<PathBuf, Vec<f32>>,
}

impl Stamps {
    /// Looks through `folder`, usually [`FOLDER`].
    ///
    /// # Errors
    /// When the package is not installed, or is another than these classes were made for.
    pub fn open(folder: &Path) -> Result<Self, PackagedError> {
        let missing = |what: &Path| PackagedError::Missing { what: what.to_owned() };
        if !folder.is_dir() {
            return Err(missing(folder));
        }
        let Recipe { distractors, talk, class: classes } = recipe();
        for class in &classes {
            for file in
                [Some(&class.sound), Some(&class.picture), class.held_out.as_ref()].into_iter().flatten()
            {
                let path = folder.join(file);
                if !path.is_file() {
                    return Err(missing(&path));
                }
            }
        }
        let mut things = Vec::new();
        for sub in &distractors.folders {
            things.extend(
                below(&folder.join(sub))?
                    .into_iter()
                    .filter(|path| path.extension().is_some_and(|e| e == "png")),
            );
        }
        things.sort();
        let (test, train) = things.into_iter().enumerate().partition::<Vec<_>, _>(|(i, _)| i % 4 == 3);
        let bare = |list: Vec<(usize, PathBuf)>| list.into_iter().map(|(_, path)| path).collect::<Vec<_>>();
        let distractors = [bare(train), bare(test)];
        let mut all = below(folder)?;
        all.retain(|path| path.extension().is_some_and(|ending| ending == "ogg"));
        all.sort();
        let talk = [&talk.train, &talk.test].map(|languages| spoken(&all, languages));
        for (what, list) in [("distractors", &distractors), ("talk", &talk)] {
            if list.iter().any(Vec::is_empty) {
                return Err(missing(&folder.join(what)));
            }
        }
        Ok(Self {
            folder: folder.to_owned(),
            classes,
            distractors,
            talk,
            pictures: Shelf(Mutex::default()),
            sounds: Shelf(Mutex::default()),
            effects: Shelf(Mutex::default()),
        })
    }

    /// The classes in their order.
    pub fn classes(&self) -> &[Class] {
        &self.classes
    }

    /// Pictures of things that are no class.
    pub fn distractors(&self, split: Split) -> &[PathBuf] {
        &self.distractors[usize::from(split == Split::Test)]
    }

    /// Recordings of talk.
    pub fn talk(&self, split: Split) -> &[PathBuf] {
        &self.talk[usize::from(split == Split::Test)]
    }

    /// A picture cropped to what is not transparent, at most 400 pixels wide and high. `path` may be below the folder.
    pub(super) fn picture(&self, path: &Path) -> Result<Arc<RgbaImage>, PackagedError> {
        let path = self.folder.join(path);
        self.pictures.get(path.clone(), || load_picture(&path))
    }

    /// A recording, mono at 48 kHz.
    pub(super) fn sound(&self, path: &Path) -> Result<Arc<Vec<f32>>, PackagedError> {
        let path = self.folder.join(path);
        self.sounds.get(path.clone(), || {
            let sound = media::sound(&path, LONGEST)?.filter(|sound| !sound.is_empty());
            sound.ok_or_else(|| PackagedError::Silent { path: path.clone() })
        })
    }

    /// A class's recording without its silences; see [`effect`].
    pub(super) fn effect(&self, class: &Class) -> Result<Arc<Vec<f32>>, PackagedError> {
        let whole = self.sound(&class.sound)?;
        self.effects.get(class.sound.clone(), || Ok(effect::dense(&whole)))
    }
}

/// All files below a folder.
fn below(folder: &Path) -> Result<Vec<PathBuf>, PackagedError> {
    let unreadable = |source| PackagedError::Read { path: folder.to_owned(), source };
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.is_dir() {
            files.extend(below(&path)?);
        } else {
            files.push(path);
        }
    }
    Ok(files)
}

/// Spoken descriptions in one of `languages`; those of letters and digits are left out.
fn spoken(recordings: &[PathBuf], languages: &[String]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for language in languages {
        let ending = format!("_desc_{language}.ogg");
        let speaks = |path: &&PathBuf| {
            let name = path.file_name().and_then(|name| name.to_str());
            name.is_some_and(|name| name.ends_with(&ending))
                && !path.components().any(|c| c.as_os_str() == "symbols")
        };
        found.extend(recordings.iter().filter(speaks).cloned());
    }
    found
}

fn load_picture(path: &Path) -> Result<RgbaImage, PackagedError> {
    let unreadable = |source| PackagedError::Read { path: path.to_owned(), source };
    let image = if path.extension().is_some_and(|ending| ending == "svg") {
        media::drawing(path)?
    } else {
        let reader =
            ImageReader::open(path).and_then(ImageReader::with_guessed_format).map_err(unreadable)?;
        let decoded =
            reader.decode().map_err(|source| PackagedError::Picture { path: path.to_owned(), source })?;
        decoded.into_rgba8()
    };
    let image = cropped(&image);
    let factor = f64::from(LARGEST) / f64::from(image.width().max(image.height()));
    if factor >= 1.0 {
        return Ok(image);
    }
    let size = |side: u32| (f64::from(side) * factor).round().max(1.0) as u32;
    Ok(imageops::resize(&image, size(image.width()), size(image.height()), FilterType::Lanczos3))
}

/// Without the margins that are as good as transparent.
fn cropped(image: &RgbaImage) -> RgbaImage {
    let seen = image.enumerate_pixels().filter(|(_, _, pixel)| pixel[3] > 16);
    let [mut left, mut top, mut right, mut bottom] = [u32::MAX, u32::MAX, 0, 0];
    for (x, y, _) in seen {
        (left, top, right, bottom) = (left.min(x), top.min(y), right.max(x), bottom.max(y));
    }
    if left > right {
        return image.clone();
    }
    imageops::crop_imm(image, left, top, right - left + 1, bottom - top + 1).to_image()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn there_are_48_classes_15_of_them_with_a_held_out_picture() {
        let classes = classes();
        let labels: BTreeSet<&str> = classes.iter().map(|class| class.label.as_str()).collect();
        assert_eq!((classes.len(), labels.len()), (48, 48));
        assert_eq!(classes.iter().filter(|class| class.has_held_out_picture()).count(), 15);
        let slugs: BTreeSet<String> = classes.iter().map(Class::slug).collect();
        assert!(slugs.len() == 48 && slugs.contains("fire-truck") && slugs.contains("owl"));
    }

    #[test]
    fn margins_are_cut_off() {
        let mut image = RgbaImage::new(20, 10);
        image.put_pixel(5, 3, image::Rgba([1, 2, 3, 255]));
        image.put_pixel(8, 7, image::Rgba([1, 2, 3, 200]));
        image.put_pixel(0, 0, image::Rgba([1, 2, 3, 10]));
        assert_eq!(cropped(&image).dimensions(), (4, 5));
        assert_eq!(cropped(&RgbaImage::new(3, 2)).dimensions(), (3, 2));
    }

    #[test]
    fn a_missing_package_is_named() {
        let error = Stamps::open(Path::new("/nowhere/stamps")).err().expect("not there");
        assert!(error.to_string().contains(PACKAGE), "{error}");
    }

    #[test]
    fn test_clips_share_no_distractor_and_no_voice_with_others() {
        let stamps = Stamps::open(Path::new(FOLDER)).expect("the package is installed");
        let both = |of: fn(&Stamps, Split) -> &[PathBuf]| {
            let set = |split| of(&stamps, split).iter().cloned().collect::<BTreeSet<_>>();
            (set(Split::Train), set(Split::Validation), set(Split::Test))
        };
        for of in [Stamps::distractors, Stamps::talk] {
            let (train, validation, test) = both(of);
            assert!(train.is_disjoint(&test) && !test.is_empty() && !train.is_empty());
            assert_eq!(train, validation);
        }
        for class in stamps.classes().iter().filter(|class| class.has_held_out_picture()) {
            assert_ne!(class.picture(Split::Train), class.picture(Split::Test));
            assert_eq!(class.picture(Split::Train), class.picture(Split::Validation));
        }
    }
}
