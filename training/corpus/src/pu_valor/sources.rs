//! The clips that groups name, and events that a video does not show.

use std::collections::HashMap;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::caption::phrase;
use super::{PuValorError, Timeline};
use crate::Clip;

/// Looks clips up by their ids, and knows the cluster of each.
#[derive(Debug)]
pub struct Sources<'a> {
    by_id: HashMap<&'a str, (&'a Clip, usize)>,
    /// Every different event once, in the order of the clusters.
    events: Vec<Event<'a>>,
}

#[derive(Debug)]
struct Event<'a> {
    key: &'a str,
    labelled: bool,
    cluster: usize,
}

impl<'a> Sources<'a> {
    /// Takes the clips that `clusters` name.
    pub fn new(clips: &'a [Clip], clusters: &[Vec<String>]) -> Result<Self, PuValorError> {
        let all: HashMap<&str, &Clip> = clips.iter().map(|clip| (clip.id.as_str(), clip)).collect();
        let mut by_id = HashMap::new();
        let mut events: Vec<Event<'_>> = Vec::new();
        let mut known = HashMap::new();
        for (cluster, ids) in clusters.iter().enumerate() {
            for id in ids {
                let clip =
                    *all.get(id.as_str()).ok_or_else(|| PuValorError::UnknownClip { clip: id.clone() })?;
                by_id.insert(clip.id.as_str(), (clip, cluster));
                let key = key(clip);
                if known.insert(key, ()).is_none() {
                    events.push(Event { key, labelled: clip.label.is_some(), cluster });
                }
            }
        }
        Ok(Self { by_id, events })
    }

    /// The clip of this id.
    pub fn clip(&self, id: &str) -> Result<&'a Clip, PuValorError> {
        let found = self.by_id.get(id).map(|(clip, _)| *clip);
        found.ok_or_else(|| PuValorError::UnknownClip { clip: id.to_owned() })
    }

    /// An event that does not happen in `timeline`, as questions call it; `None` when there is none to be sure of.
    ///
    /// A label that the video does not have is absent. Captions of one cluster may mean the same, so an absent caption is
    /// one of another cluster.
    pub fn absent(&self, timeline: &Timeline, rng: &mut ChaCha8Rng) -> Option<String> {
        let first = timeline.segments.first()?;
        let own = self.by_id.get(first.clip.as_str()).map(|(_, cluster)| *cluster);
        // A video shows a few of many events: a handful of tries finds one that it does not show.
        (0..TRIES).find_map(|_| {
            let event = &self.events[rng.random_range(0..self.events.len())];
            let shown = timeline.segments.iter().any(|segment| segment.key() == event.key);
            let sure = event.labelled || Some(event.cluster) != own;
            (!shown && sure).then(|| event.name())
        })
    }
}

/// How often an absent event is looked for.
const TRIES: usize = 32;

impl Event<'_> {
    fn name(&self) -> String {
        if self.labelled { self.key.to_owned() } else { phrase(self.key) }
    }
}

/// What two clips share when they show the same event: the label, or else the caption.
pub(super) fn key(clip: &Clip) -> &str {
    clip.label.as_deref().unwrap_or(&clip.caption)
}
