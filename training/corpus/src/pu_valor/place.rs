//! Random temporal scaling and permutation: from a group of clips to a time line.

use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::sources::key;
use super::{Gap, Group, PuValorError, Segment, Sources, Span, Timeline};
use crate::Clip;
use crate::seeded;

/// How clips become a video. [`Scaling::paper`] is what the paper does; the rest goes beyond it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scaling {
    /// Seconds an event lasts, each whole number equally likely.
    pub lengths: Span,
    /// Background between two events.
    pub gaps: Option<Gaps>,
    /// Events that begin before the last one ends.
    pub overlaps: Option<Overlaps>,
    /// How likely each event comes back once more, never next to itself and with a length of its own.
    pub repeats: f64,
    /// Every second variant has the events and lengths of the one before, in another order.
    pub reorder: bool,
}

/// Background between two events.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gaps {
    /// How likely, between any two.
    pub probability: f64,
    /// For how long.
    pub seconds: Span,
}

/// Events that begin before the last one ends; never more than two at a time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Overlaps {
    /// How likely, for any two neighbours without a gap.
    pub probability: f64,
    /// For how long, as far as both events are longer than that.
    pub seconds: Span,
}

impl Scaling {
    /// Lengths uniform over 5 to 20 s, nothing between the events, nothing twice.
    pub fn paper() -> Self {
        Self { lengths: Span::new(5, 20), gaps: None, overlaps: None, repeats: 0.0, reorder: false }
    }

    /// For the packaged clips: some background between events, and some events twice.
    pub fn packaged() -> Self {
        let gaps = Gaps { probability: 0.3, seconds: Span::new(1, 6) };
        Self { gaps: Some(gaps), repeats: 0.15, ..Self::paper() }
    }

    /// Errors when a setting makes no sense.
    pub fn check(&self) -> Result<(), PuValorError> {
        let wrong = |setting, reason| Err(PuValorError::Setting { setting, reason });
        for (setting, span) in [
            ("lengths", Some(self.lengths)),
            ("gaps", self.gaps.map(|gaps| gaps.seconds)),
            ("overlaps", self.overlaps.map(|overlaps| overlaps.seconds)),
        ] {
            match span {
                Some(span) if span.min == 0 => {
                    return wrong(setting, format!("is {span} s; it must be at least one second"));
                }
                Some(span) if span.min > span.max || span.max > 86_400 => {
                    return wrong(setting, format!("is {span} s; it must rise, up to a day"));
                }
                _ => {}
            }
        }
        for (setting, probability) in [
            ("gaps", self.gaps.map(|gaps| gaps.probability)),
            ("overlaps", self.overlaps.map(|overlaps| overlaps.probability)),
            ("repeats", Some(self.repeats)),
        ] {
            if let Some(probability) = probability
                && !(0.0..=1.0).contains(&probability)
            {
                return wrong(setting, format!("is {probability}; a probability lies between 0 and 1"));
            }
        }
        Ok(())
    }
}

/// Draws one video of a group.
pub fn timeline(
    group: &Group,
    variant: u32,
    sources: &Sources<'_>,
    scaling: &Scaling,
    seed: u64,
) -> Result<Timeline, PuValorError> {
    // A reordered variant draws what its model drew, and then another order.
    let model = if scaling.reorder { variant - variant % 2 } else { variant };
    let mut rng = seeded::rng(seed, &format!("timeline/{}/{model}", group.id));
    let mut events = Vec::with_capacity(group.clips.len());
    for id in &group.clips {
        events.push(Event { clip: sources.clip(id)?, length: draw(scaling.lengths, &mut rng) });
    }
    events.shuffle(&mut rng);
    repeat(&mut events, scaling, &mut rng);
    if model != variant {
        rng = seeded::rng(seed, &format!("reorder/{}/{variant}", group.id));
        reorder(&mut events, &mut rng);
    }
    let (segments, gaps) = place(&events, scaling, &mut rng);
    Ok(Timeline {
        id: format!("{}-{variant:02}", group.id),
        group: group.id.clone(),
        variant,
        duration: segments.last().map_or(0.0, |segment| segment.end),
        segments,
        gaps,
        absent: Vec::new(),
    })
}

/// A clip and how many seconds it gets.
#[derive(Clone, Copy)]
struct Event<'a> {
    clip: &'a Clip,
    length: u32,
}

impl Event<'_> {
    fn same(&self, other: &Self) -> bool {
        key(self.clip) == key(other.clip)
    }
}

fn draw(span: Span, rng: &mut ChaCha8Rng) -> u32 {
    rng.random_range(span.min..=span.max)
}

/// Lets some events come back, where they do not stand next to themselves.
fn repeat(events: &mut Vec<Event<'_>>, scaling: &Scaling, rng: &mut ChaCha8Rng) {
    if scaling.repeats == 0.0 {
        return;
    }
    for event in events.clone() {
        if !rng.random_bool(scaling.repeats) {
            continue;
        }
        let again = Event { length: draw(scaling.lengths, rng), ..event };
        let apart = |at: &usize| {
            let neighbours = [at.checked_sub(1), Some(*at)].into_iter().flatten();
            !neighbours.filter_map(|n| events.get(n)).any(|neighbour| neighbour.same(&again))
        };
        let places: Vec<usize> = (0..=events.len()).filter(apart).collect();
        if !places.is_empty() {
            events.insert(places[rng.random_range(0..places.len())], again);
        }
    }
}

/// Puts the events in another order, in which none stands next to itself either.
fn reorder(events: &mut Vec<Event<'_>>, rng: &mut ChaCha8Rng) {
    const TRIES: usize = 8;
    for _ in 0..TRIES {
        let mut other = events.clone();
        other.shuffle(rng);
        let apart = !other.windows(2).any(|pair| pair[0].same(&pair[1]));
        let moved = other.iter().zip(&*events).any(|(new, old)| !new.same(old) || new.length != old.length);
        if apart && moved {
            *events = other;
            return;
        }
    }
    // Backwards, neighbours stay neighbours.
    events.reverse();
}

/// Lays the events on the time line.
fn place(events: &[Event<'_>], scaling: &Scaling, rng: &mut ChaCha8Rng) -> (Vec<Segment>, Vec<Gap>) {
    let mut segments: Vec<Segment> = Vec::with_capacity(events.len());
    let mut gaps = Vec::new();
    // Where the last event ends, and from where on it is alone.
    let (mut end, mut alone) = (0, 0);
    for (index, event) in events.iter().enumerate() {
        let mut start = end;
        if index > 0 {
            if let Some(gap) = scaling.gaps.filter(|gap| rng.random_bool(gap.probability)) {
                start = end + draw(gap.seconds, rng);
                gaps.push(Gap { start: end.into(), end: start.into() });
            } else if let Some(overlap) =
                scaling.overlaps.filter(|overlap| rng.random_bool(overlap.probability))
            {
                // Both begin and end on their own, and a third one is never there.
                let most = (end - alone).min(event.length).saturating_sub(1).min(overlap.seconds.max);
                if overlap.seconds.min <= most {
                    start = end - rng.random_range(overlap.seconds.min..=most);
                }
            }
        }
        alone = end.max(start);
        end = start + event.length;
        segments.push(Segment {
            clip: event.clip.id.clone(),
            label: event.clip.label.clone(),
            caption: event.clip.caption.clone(),
            modality: event.clip.modality,
            start: start.into(),
            end: end.into(),
            scale: f64::from(event.length) / event.clip.duration,
        });
    }
    (segments, gaps)
}
