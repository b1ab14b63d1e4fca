//! Videos with times, as a corpus directory.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use rand::RngExt;
use serde_json::json;

use super::{Dataset, Names, Video, sentence};
use crate::directory::{self, Directory};
use crate::pu_valor::queries;
use crate::pu_valor::{PuValorError, Segment, Sources, Timeline};
use crate::seeded;
use crate::{CorpusError, Split};

/// What decides about a corpus of whole videos.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Where the videos come from.
    pub dataset: Dataset,
    /// Which of them.
    pub split: Split,
    /// What absent events are drawn from.
    pub seed: u64,
    /// Queries about what does not happen, for each video.
    pub absent: usize,
}

/// Writes `timelines.jsonl`, `annotations.json`, `queries.json`, `catalogue.jsonl` and the rest of a corpus directory, and links each
/// video's file as `videos/ID.mp4`, whatever kind it is: readers look at what is in it. Returns how many videos of the split there are.
///
/// # Errors
/// When there are none, or a file cannot be written.
pub fn write(videos: &[Video], names: &Names, settings: &Settings, out: &Path) -> Result<usize, ImportError> {
    let mine: Vec<&Video> = videos.iter().filter(|video| video.split == settings.split).collect();
    if mine.is_empty() {
        return Err(ImportError::Empty { dataset: settings.dataset, split: settings.split });
    }
    let folder = out.join("videos");
    fs::create_dir_all(&folder).map_err(CorpusError::write(&folder))?;
    let timelines: Vec<Timeline> = mine.iter().map(|video| timeline(video)).collect();
    // Of all splits, so that a label has one number in all of them.
    let labels: BTreeSet<&str> =
        videos.iter().flat_map(|video| &video.events).map(|event| event.label.as_str()).collect();
    let all: Vec<&str> = labels.iter().copied().collect();
    let (mut queries, mut media) = (Vec::new(), Vec::new());
    // Of its clips only absent events are drawn, which are drawn here.
    let none = Sources::new(&[], &[])?;
    for (video, timeline) in mine.iter().zip(&timelines) {
        let mut rng = seeded::rng(settings.seed, &format!("queries/{}", video.id));
        let mut asked = queries::ask(timeline, &none, 0, &mut rng);
        for label in &video.absent {
            asked.push(directory::absent(&video.id, asked.len(), label));
        }
        let happens: BTreeSet<&str> = timeline.segments.iter().map(Segment::key).collect();
        let unrelated = |label: &&str| !happens.iter().any(|other| names.related(label, other));
        let mut absent: Vec<&str> = all.iter().copied().filter(unrelated).collect();
        absent.retain(|label| !video.absent.iter().any(|known| known == label));
        for _ in 0..settings.absent.min(absent.len()) {
            let label = absent.swap_remove(rng.random_range(0..absent.len()));
            asked.push(directory::absent(&video.id, asked.len(), label));
        }
        queries.extend(asked);
        media.push(link(&video.media, &folder.join(format!("{}.mp4", video.id)))?);
    }
    let Settings { dataset, split, seed, absent } = *settings;
    let directory = Directory {
        preset: dataset.word(),
        seed,
        split,
        settings: json!({ "dataset": dataset.word(), "absent_queries": absent }),
        labels,
        timelines: &timelines,
        media: &media,
        queries: &queries,
    };
    directory.write(out, |statistics| {
        format!(
            "# {dataset}, {split}\n\nWhole videos with the dataset's own times; what they are used for is subject to its licence. Labels \
             are the vocabulary's where it has them.\n\n## What it holds\n\n{statistics}"
        )
    })?;
    Ok(mine.len())
}

fn timeline(video: &Video) -> Timeline {
    let segments = video.events.iter().map(|event| {
        let caption = sentence(&event.label);
        directory::segment(&video.id, &event.label, &caption, event.modality, [event.start, event.end])
    });
    let timeline = directory::timeline(&video.id, video.duration, segments.collect(), 0.0);
    Timeline { absent: video.absent.clone(), ..timeline }
}

/// Makes `at` a link to `media`, in the place of another one; media that are not there, but whose features may be, have none.
fn link(media: &Path, at: &Path) -> Result<PathBuf, CorpusError> {
    let media = std::path::absolute(media).map_err(CorpusError::read(media))?;
    if !media.is_file() {
        return Ok(media);
    }
    if fs::read_link(at).is_ok_and(|known| known == media) {
        return Ok(at.to_owned());
    }
    if fs::symlink_metadata(at).is_ok_and(|known| known.is_symlink()) {
        fs::remove_file(at).map_err(CorpusError::write(at))?;
    }
    symlink(&media, at).map_err(CorpusError::write(at))?;
    Ok(at.to_owned())
}

/// Why a corpus of whole videos cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// There is nothing to write.
    #[error("{dataset} has no usable video of the split {split}; choose another with --split")]
    Empty {
        /// The dataset.
        dataset: Dataset,
        /// The split.
        split: Split,
    },
    /// A list or link cannot be written.
    #[error(transparent)]
    Corpus(#[from] CorpusError),
    /// A query cannot be made.
    #[error(transparent)]
    PuValor(#[from] PuValorError),
}
