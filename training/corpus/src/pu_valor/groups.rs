//! Groups: the clips of one cluster that play in the same videos.

use std::collections::VecDeque;

use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::sources::key;
use super::{PuValorError, Sources, Span};
use crate::seeded;

/// Clips of one cluster, all different events. A line of `groups.jsonl`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// `g000000` and on.
    pub id: String,
    /// The clips' ids.
    pub clips: Vec<String>,
}

/// How many clips a group has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sizes {
    span: Span,
    weights: Vec<u32>,
    total: u32,
}

impl Sizes {
    /// The numbers of clips that the released PU-VALOR uses.
    pub const PAPER: Span = Span::new(3, 16);

    /// The released data's distribution, cut to `span`.
    ///
    /// Its 25,270 durations are sums of 3 to 16 lengths: 4 to 14 about equally often, 3, 15 and 16 more rarely. The weights
    /// were chosen to give its mean of 119.6 s. Sizes that it does not have count as the common ones.
    pub fn paper(span: Span) -> Result<Self, PuValorError> {
        if span.min == 0 {
            let reason = format!("is {span}; a group has at least one clip");
            return Err(PuValorError::Setting { setting: "clips", reason });
        }
        let weight = |size| match size {
            3 => 4,
            15 => 13,
            16 => 8,
            _ => 16,
        };
        let weights: Vec<u32> = (span.min..=span.max).map(weight).collect();
        Ok(Self { span, total: weights.iter().sum(), weights })
    }

    /// The most clips a group may have.
    pub fn most(&self) -> usize {
        self.span.max as usize
    }

    /// The mean number of clips.
    pub fn mean(&self) -> f64 {
        let sum: u32 = (self.span.min..=self.span.max).zip(&self.weights).map(|(k, w)| k * w).sum();
        f64::from(sum) / f64::from(self.total)
    }

    /// Draws one number of clips.
    pub fn draw(&self, rng: &mut ChaCha8Rng) -> usize {
        let mut rest = rng.random_range(0..self.total);
        let mut size = self.span.min;
        for weight in &self.weights {
            if rest < *weight {
                break;
            }
            rest -= weight;
            size += 1;
        }
        size as usize
    }
}

/// Draws `count` groups of the clusters; without a count, as many as use every clip about once.
///
/// Each cluster gets groups in proportion to its clips. A cluster's events are dealt in a random order, and dealt anew when
/// all had their turn, so each plays about as often as the others; the clips of an event take turns.
pub fn draw(
    sources: &Sources<'_>,
    clusters: &[Vec<String>],
    sizes: &Sizes,
    count: Option<usize>,
    seed: u64,
) -> Result<Vec<Group>, PuValorError> {
    let mut decks = Vec::with_capacity(clusters.len());
    for (cluster, ids) in clusters.iter().enumerate() {
        let deck = Deck::new(sources, ids, seeded::rng(seed, &format!("cluster/{cluster}")))?;
        if deck.events.len() < sizes.most() {
            let events = deck.events.len();
            return Err(PuValorError::SmallCluster { cluster, events, wanted: sizes.most() });
        }
        decks.push(deck);
    }
    let clips: usize = decks.iter().map(Deck::clips).sum();
    let count = count.unwrap_or_else(|| (clips as f64 / sizes.mean()).round().max(1.0) as usize);
    let mut groups = Vec::with_capacity(count);
    let mut seen = 0;
    for deck in &mut decks {
        seen += deck.clips();
        // Up to here, as many groups as this share of the clips.
        let due = (seen as u128 * count as u128 / clips.max(1) as u128) as usize;
        while groups.len() < due {
            let size = sizes.draw(&mut deck.rng);
            groups.push(Group { id: format!("g{:06}", groups.len()), clips: deck.deal(size) });
        }
    }
    Ok(groups)
}

/// The events of one cluster, dealt like cards.
struct Deck<'a> {
    /// The clips of each event, the next one first.
    events: Vec<VecDeque<&'a str>>,
    /// Indices of events that have not had their turn.
    pile: VecDeque<usize>,
    rng: ChaCha8Rng,
}

impl<'a> Deck<'a> {
    fn new(sources: &Sources<'a>, ids: &[String], mut rng: ChaCha8Rng) -> Result<Self, PuValorError> {
        let mut events: Vec<VecDeque<&str>> = Vec::new();
        let mut places = std::collections::HashMap::new();
        for id in ids {
            let clip = sources.clip(id)?;
            let place = *places.entry(key(clip)).or_insert(events.len());
            if place == events.len() {
                events.push(VecDeque::new());
            }
            events[place].push_back(clip.id.as_str());
        }
        events.iter_mut().for_each(|clips| clips.make_contiguous().shuffle(&mut rng));
        Ok(Self { events, pile: VecDeque::new(), rng })
    }

    /// The next `size` events, all different: at most as many as there are.
    fn deal(&mut self, size: usize) -> Vec<String> {
        let mut hand: Vec<usize> = Vec::with_capacity(size);
        let mut held_back = Vec::new();
        while hand.len() < size.min(self.events.len()) {
            let Some(event) = self.pile.pop_front() else {
                let mut fresh: Vec<usize> = (0..self.events.len()).collect();
                fresh.shuffle(&mut self.rng);
                self.pile.extend(fresh);
                continue;
            };
            if hand.contains(&event) {
                held_back.push(event);
            } else {
                hand.push(event);
            }
        }
        // What came twice keeps its turn.
        held_back.into_iter().rev().for_each(|event| self.pile.push_front(event));
        hand.into_iter().map(|event| self.pick(event)).collect()
    }

    /// The event's next clip.
    fn pick(&mut self, event: usize) -> String {
        let clips = &mut self.events[event];
        clips.rotate_left(1);
        clips.back().copied().unwrap_or_default().to_owned()
    }

    fn clips(&self) -> usize {
        self.events.iter().map(VecDeque::len).sum()
    }
}
