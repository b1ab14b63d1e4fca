//! Annotations in UnAV-100's format, with the modality of each event added.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Timeline;
use crate::{Clip, Modality, Split};

/// `annotations.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Annotations {
    /// Names the format's state.
    pub version: String,
    /// Videos by their ids.
    pub database: BTreeMap<String, Video>,
}

/// What [`Annotations::version`] says.
pub const VERSION: &str = "PU-VALOR 1";

/// One video.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Video {
    /// Seconds.
    pub duration: f64,
    /// `train`, `validation` or `test`.
    pub subset: Split,
    /// Its events.
    pub annotations: Vec<Annotation>,
}

/// One event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Annotation {
    /// Start and end in seconds.
    pub segment: [f64; 2],
    /// The class; the caption where the catalogue has no classes.
    pub label: String,
    /// The place of the label in the sorted list of all labels of the catalogue.
    pub label_id: usize,
    /// Whether it can be seen, heard or both.
    pub modality: Modality,
}

/// The numbers of labels.
#[derive(Debug)]
pub struct Labels<'a>(BTreeMap<&'a str, usize>);

impl<'a> Labels<'a> {
    /// Numbers all labels of a catalogue in the order of the alphabet.
    pub fn of(clips: &'a [Clip]) -> Self {
        let names: std::collections::BTreeSet<&str> = clips.iter().map(super::sources::key).collect();
        Self(names.into_iter().enumerate().map(|(id, name)| (name, id)).collect())
    }

    /// The annotations of a video.
    pub fn annotate(&self, timeline: &Timeline, subset: Split) -> Video {
        let annotations = timeline.segments.iter().filter_map(|segment| {
            // Every segment is of a clip of the catalogue.
            let label_id = *self.0.get(segment.key())?;
            Some(Annotation {
                segment: [segment.start, segment.end],
                label: segment.key().to_owned(),
                label_id,
                modality: segment.modality,
            })
        });
        Video { duration: timeline.duration, subset, annotations: annotations.collect() }
    }
}
