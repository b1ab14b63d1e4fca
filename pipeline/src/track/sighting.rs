//! What one window says of one label, in stream time.

use std::collections::BTreeMap;

use super::WindowFacts;
use crate::answer::{Localization, label_key};
use crate::stream::{Modality, Presence};
use crate::timeline::StreamTime;

/// One occurrence of a label in one window.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sighting {
    /// In the answer's words.
    pub label: String,
    /// The answer's sentence.
    pub text: String,
    /// First instant.
    pub start: StreamTime,
    /// Last instant.
    pub end: StreamTime,
    /// It starts where the window does: it may have started before.
    pub start_cut: bool,
    /// It ends where the window does: it may go on.
    pub end_cut: bool,
    /// The best of its localizations.
    pub score: f64,
    /// What the answers say of the evidence.
    pub said: Option<Modality>,
    /// What the window held.
    pub held: Modality,
}

/// The occurrences in one window, by label key and in order of time. Localizations of one label that overlap or touch,
/// as when two questions find the same event, are one occurrence; those that do not stay apart.
pub(super) fn sightings(window: &WindowFacts, found: &[&Localization]) -> BTreeMap<String, Vec<Sighting>> {
    let mut by_label: BTreeMap<String, Vec<Sighting>> = BTreeMap::new();
    for found in found {
        by_label.entry(label_key(&found.label)).or_default().push(sighting(window, found));
    }
    for sightings in by_label.values_mut() {
        sightings.sort_by_key(|sighting| (sighting.start, sighting.end));
        sightings.dedup_by(|next, kept| {
            let same = next.start <= kept.end;
            if same {
                join(kept, next);
            }
            same
        });
    }
    by_label
}

fn sighting(window: &WindowFacts, found: &Localization) -> Sighting {
    Sighting {
        label: found.label.clone(),
        text: found.text.clone(),
        start: window.at(found.start.fraction()),
        end: window.at(found.end.end_fraction()),
        start_cut: found.start.fraction() == 0.0,
        end_cut: found.end.end_fraction() == 1.0,
        score: found.score,
        said: found.modality,
        held: held(window),
    }
}

/// `next` starts no earlier than `kept`.
fn join(kept: &mut Sighting, next: &Sighting) {
    if next.score > kept.score {
        kept.text.clone_from(&next.text);
        kept.score = next.score;
    }
    kept.end = kept.end.max(next.end);
    kept.end_cut |= next.end_cut;
    kept.said = both(kept.said, next.said);
}

/// The evidence of an answer that says nothing of it: what the window held.
fn held(window: &WindowFacts) -> Modality {
    match (window.visual, window.audio) {
        (Presence::Missing, Presence::Present | Presence::Partial) => Modality::Audio,
        (Presence::Present | Presence::Partial, Presence::Missing) => Modality::Visual,
        _ => Modality::Both,
    }
}

/// The evidence of two sightings of one event.
pub(super) fn both(one: Option<Modality>, other: Option<Modality>) -> Option<Modality> {
    match (one, other) {
        (Some(one), Some(other)) if one != other => Some(Modality::Both),
        _ => one.or(other),
    }
}
