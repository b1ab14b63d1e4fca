//! Which clips there are, and their files.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use avicuna_models::whole;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::backdrop::Family;
use super::dice::Dice;
use super::scene::Scene;
use super::stamps::{Class, FOLDER, Stamps};
use super::{HEIGHT, WIDTH};
use crate::media::{Encoder, Quality, RATE, Shape};
use crate::{CATALOGUE, Catalogue, Clip, CorpusError, Modality, Split, jsonl};

/// Seconds of every clip.
const SECONDS: f64 = 10.0;

/// Pictures per second.
const FPS: u32 = 25;

/// Where in a corpus directory the clips lie, and what they were made of.
const CLIPS: &str = "clips";
const MADE: &str = "clips/made.json";

/// Which clips are made.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Everything is drawn from it.
    pub seed: u64,
    /// What the clips may be used for.
    pub split: Split,
    /// Clips of each class.
    pub clips_per_label: usize,
    /// The classes; empty: all.
    pub labels: Vec<String>,
    /// Write the files of every `.1`th clip only, from the `.0`th on; the catalogue has all of them.
    pub shard: (usize, usize),
    /// Where the package's pictures and sounds lie.
    pub stamps: std::path::PathBuf,
}

impl Options {
    /// All classes, six clips of each.
    pub fn new(seed: u64, split: Split) -> Self {
        let (labels, stamps) = (Vec::new(), FOLDER.into());
        Self { seed, split, clips_per_label: 6, labels, shard: (0, 1), stamps }
    }
}

/// Is told how many clips are there, and of how many; from several threads.
pub type Progress<'a> = &'a (dyn Fn(usize, usize) + Sync);

/// Makes `dir/clips/*.mp4` and `dir/catalogue.jsonl`; clips that are there already are kept.
///
/// # Errors
/// When the package is missing, a label is not known, `dir` has clips of other settings, or a file cannot be written.
pub fn build(dir: &Path, options: &Options, progress: Progress<'_>) -> Result<Catalogue, CorpusError> {
    let stamps = Stamps::open(&options.stamps)?;
    let plans = plans(&stamps, options)?;
    let folder = dir.join(CLIPS);
    fs::create_dir_all(&folder).map_err(CorpusError::write(&folder))?;
    check_made(dir, options)?;
    let clips: Vec<Clip> = plans.iter().map(|plan| plan.clip(&folder, options)).collect();
    let catalogue = Catalogue { clips, skipped: Vec::new() };
    catalogue.write(&dir.join(CATALOGUE))?;
    let (first, step) = options.shard;
    let mine: Vec<_> = plans.iter().zip(&catalogue.clips).skip(first).step_by(step.max(1)).collect();
    let done = AtomicUsize::new(0);
    progress(0, mine.len());
    mine.par_iter().try_for_each(|(plan, clip)| {
        if !clip.media.is_file() {
            plan.write(&clip.media, options, &stamps)?;
        }
        progress(done.fetch_add(1, Ordering::Relaxed) + 1, mine.len());
        Ok::<_, CorpusError>(())
    })?;
    Ok(catalogue)
}

/// What decides about the bytes of a clip besides its id.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Made {
    format: u32,
    seed: u64,
    split: Split,
}

/// Clips of another seed have the same names: they must not be taken for these.
fn check_made(dir: &Path, options: &Options) -> Result<(), CorpusError> {
    let path = dir.join(MADE);
    let made = Made { format: 1, seed: options.seed, split: options.split };
    if path.is_file() {
        let text = fs::read_to_string(&path).map_err(CorpusError::read(&path))?;
        let found: Made = jsonl::document(&path, &text)?;
        if found == made {
            return Ok(());
        }
        let Made { seed, split, .. } = found;
        return Err(CorpusError::Other {
            dir: dir.to_owned(),
            found: format!("{split} clips of seed {seed}"),
        });
    }
    let text = serde_json::to_vec(&made).map_err(|error| CorpusError::write(&path)(error.into()))?;
    whole::write(&path, &text).map_err(CorpusError::write(&path))
}

/// One clip that is to be made.
struct ClipPlan<'a> {
    id: String,
    class: &'a Class,
    sense: Modality,
    family: Family,
}

fn plans<'a>(stamps: &'a Stamps, options: &Options) -> Result<Vec<ClipPlan<'a>>, CorpusError> {
    let known = |label: &String| stamps.classes().iter().any(|class| class.label == *label);
    if let Some(label) = options.labels.iter().find(|label| !known(label)) {
        let labels = stamps.classes().iter().map(|class| class.label.clone()).collect();
        return Err(CorpusError::UnknownLabel { label: label.clone(), labels });
    }
    let wanted = |class: &&Class| options.labels.is_empty() || options.labels.contains(&class.label);
    let plan = |class: &'a Class, number: usize| {
        let id = format!("{}-{}-{number:03}", class.slug(), options.split);
        let mut dice = Dice::new(options.seed, &id);
        let sense = match dice.uniform(0.0, 1.0) {
            share if share < 0.6 => Modality::Both,
            share if share < 0.8 => Modality::Audio,
            _ => Modality::Visual,
        };
        let family = Scene::family(options.seed, &id, options.split);
        ClipPlan { id, class, sense, family }
    };
    let classes = stamps.classes().iter().filter(wanted);
    Ok(classes
        .flat_map(|class| (0..options.clips_per_label).map(move |number| plan(class, number)))
        .collect())
}

impl ClipPlan<'_> {
    fn clip(&self, folder: &Path, options: &Options) -> Clip {
        let sense = self.sense.name();
        Clip {
            id: self.id.clone(),
            media: folder.join(format!("{}.mp4", self.id)),
            duration: SECONDS,
            caption: self.caption(options),
            label: Some(self.class.label.clone()),
            modality: self.sense,
            split: options.split,
            tags: vec!["packaged".to_owned(), sense.to_owned(), format!("backdrop:{}", self.family.word())],
        }
    }

    /// A sentence about it; one of three for each sense.
    fn caption(&self, options: &Options) -> String {
        let (label, does, place) = (&self.class.label, &self.class.does, self.family.phrase());
        let mut dice = Dice::new(options.seed, &format!("{}/caption", self.id));
        let sentence = match (self.sense, dice.index(3)) {
            (Modality::Both, 0) => format!("{label} {does} in front of {place}."),
            (Modality::Both, 1) => format!("{label} that {does} moves about before {place}."),
            (Modality::Both, _) => format!("{label} can be seen before {place}, and {does}."),
            (Modality::Audio, 0) => format!("{label} {does} out of sight; only {place} can be seen."),
            (Modality::Audio, 1) => format!("{label} that cannot be seen {does}."),
            (Modality::Audio, _) => format!("{label} {does} somewhere, with {place} in view."),
            (Modality::Visual, 0) => format!("{label} moves without a sound in front of {place}."),
            (Modality::Visual, 1) => format!("{label} can be seen, but not heard, before {place}."),
            (Modality::Visual, _) => format!("{label} moves about silently before {place}."),
        };
        let mut letters = sentence.chars();
        let first = letters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
        first + letters.as_str()
    }

    fn write(&self, path: &Path, options: &Options, stamps: &Stamps) -> Result<(), CorpusError> {
        let count = (SECONDS * f64::from(RATE)) as usize;
        let event = Some((self.class, self.sense));
        let scene = Scene::new(options.seed, &self.id, count, event, stamps, options.split)?;
        let shape = Shape { width: WIDTH, height: HEIGHT, fps: FPS };
        let mut encoder = Encoder::create(path, shape, Quality::default())?;
        let chunks = scene.sound().chunks((RATE / FPS) as usize);
        for (number, samples) in chunks.enumerate() {
            let seconds = number as f64 / f64::from(FPS);
            encoder.picture(&shape.convert(&scene.picture(seconds)))?;
            encoder.sound(samples)?;
        }
        encoder.finish()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    fn catalogue(options: &Options) -> Vec<Clip> {
        let stamps = Stamps::open(&options.stamps).expect("the package is installed");
        let plans = plans(&stamps, options).expect("known labels");
        plans.iter().map(|plan| plan.clip(Path::new("clips"), options)).collect()
    }

    #[test]
    fn senses_and_labels_are_shared_out_as_they_should_be() {
        let clips = catalogue(&Options { clips_per_label: 40, ..Options::new(3, Split::Train) });
        assert_eq!(clips.len(), 48 * 40);
        let ids: BTreeSet<&str> = clips.iter().map(|clip| clip.id.as_str()).collect();
        assert_eq!(ids.len(), clips.len());
        let share =
            |sense| clips.iter().filter(|clip| clip.modality == sense).count() as f64 / clips.len() as f64;
        for (sense, wanted) in [(Modality::Both, 0.6), (Modality::Audio, 0.2), (Modality::Visual, 0.2)] {
            assert!((share(sense) - wanted).abs() < 0.04, "{sense:?}: {}", share(sense));
        }
        for clip in &clips {
            let name = clip.label.as_deref().and_then(|label| label.split_once(' ')).expect("an article").1;
            assert!(clip.caption.contains(name) && clip.caption.ends_with('.'), "{}", clip.caption);
        }
    }

    #[test]
    fn the_seed_decides_and_the_number_of_clips_does_not() {
        let some = |seed, clips_per_label| {
            let labels = vec!["a dog".to_owned(), "a saw".to_owned()];
            catalogue(&Options { clips_per_label, labels, ..Options::new(seed, Split::Test) })
        };
        let (few, many) = (some(1, 2), some(1, 5));
        assert_eq!(few, some(1, 2));
        assert_ne!(few, some(2, 2));
        assert!(few.iter().all(|clip| many.contains(clip)));
        assert_eq!(few[0].id, "dog-test-000");
    }

    #[test]
    fn unknown_labels_and_other_clips_are_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut options = Options { clips_per_label: 0, ..Options::new(1, Split::Test) };
        build(folder.path(), &options, &|_, _| ()).expect("nothing to do");
        options.seed = 2;
        let error = build(folder.path(), &options, &|_, _| ()).expect_err("other clips").to_string();
        assert!(error.contains("test clips of seed 1"), "{error}");
        options.labels = vec!["a unicorn".to_owned()];
        let error = build(folder.path(), &options, &|_, _| ()).expect_err("no class").to_string();
        assert!(error.contains("\"a unicorn\"") && error.contains("a zebra"), "{error}");
    }
}
