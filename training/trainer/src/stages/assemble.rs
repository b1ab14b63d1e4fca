//! From samples to a batch of the LLM's rows, and from the rows' gradients back to the adapters.

use avicuna_models::interleave::{Interleaver, Item};
use avicuna_models::prompt::Template;
use avicuna_models::tokenizer::{Specials, Tokenizer};
use avicuna_pipeline::stream::Medium;

use super::TrainError;
use super::adapters::Adapters;
use super::source::Sample;
use crate::decoder::{Batch, Layout, Target, Trainable};
use crate::labels::{Fidelity, Token, supervise};

/// Makes sequences.
pub(super) struct SampleAssembler {
    pub(super) tokenizer: Tokenizer,
    pub(super) template: Template,
    /// `None`: every row that there is, in its order, as captions have it.
    pub(super) interleaver: Option<Interleaver>,
    /// Rows of a sequence at most.
    pub(super) longest: usize,
}

/// One place of a sequence.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Place {
    Text(u32),
    /// The feature of a slot.
    Visual(usize),
    Audio(usize),
}

/// A sample as places, with what is to be predicted.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sequence {
    places: Vec<Place>,
    layout: Layout,
    targets: Vec<Target>,
    /// Rows that were cut off because it was too long.
    pub(super) cut: usize,
}

impl Sequence {
    /// Rows that teach something.
    pub(super) fn labels(&self) -> usize {
        self.targets.len()
    }

    /// Each conversation as a sequence of its own, with all that it shares in front: its places, and what is to be predicted of each by the
    /// one before it.
    pub(super) fn conversations(&self) -> impl Iterator<Item = Vec<(Place, Option<u32>)>> + '_ {
        let Layout { prefix, branches } = &self.layout;
        let mut labels = vec![None; self.places.len() + 1];
        for Target { row, id } in &self.targets {
            labels[row + 1] = Some(*id);
        }
        let mut from = *prefix;
        branches.iter().map(move |branch| {
            let own = from..from + branch;
            from = own.end;
            let rows = (0..*prefix).chain(own);
            rows.map(|row| (self.places[row], labels[row])).collect()
        })
    }
}

/// A batch, and which of its rows are whose features.
#[derive(Default)]
pub(super) struct Assembled {
    pub(super) batch: Batch,
    visual: Features,
    audio: Features,
}

#[derive(Default)]
struct Features {
    /// `[n, dim]`
    values: Vec<f32>,
    /// The row of the batch that each became.
    rows: Vec<usize>,
}

impl SampleAssembler {
    /// The sequence of a sample. Its conversations share everything up to the end of the audio-visual sequence.
    pub(super) fn sequence(&self, sample: &Sample) -> Result<Sequence, TrainError> {
        let video = self.video(sample)?;
        let mut sequence =
            Sequence { places: Vec::new(), layout: Layout::plain(0), targets: Vec::new(), cut: 0 };
        for (index, conversation) in sample.conversations.iter().enumerate() {
            let turns: Vec<&str> = conversation.iter().map(String::as_str).collect();
            let supervised = supervise(self.template, &self.tokenizer, &turns, Fidelity::Mended)
                .map_err(|source| TrainError::Conversation { id: sample.id.clone(), source })?;
            let at = supervised.tokens.iter().position(|token| *token == Token::Video);
            let shared = at.map_or(0, |at| at + 1);
            let text = |token: &Token| match token {
                Token::Text(id) => vec![Place::Text(*id)],
                Token::Video => video.clone(),
            };
            if index == 0 {
                sequence.places = supervised.tokens[..shared].iter().flat_map(text).collect();
                sequence.layout.prefix = sequence.places.len();
            }
            let branch = sequence.places.len();
            sequence.places.extend(supervised.tokens[shared..].iter().flat_map(text));
            for (offset, label) in supervised.labels[shared..].iter().enumerate() {
                // A label with nothing of its own before it would be predicted by another branch.
                let Some(id) = label.filter(|_| offset > 0 || sample.conversations.len() == 1) else {
                    continue;
                };
                if let Some(row) = (branch + offset).checked_sub(1) {
                    sequence.targets.push(Target { row, id });
                }
            }
            sequence.layout.branches.push(sequence.places.len() - branch);
        }
        self.cut(&mut sequence);
        Ok(sequence)
    }

    /// Cuts each branch to what fits.
    fn cut(&self, sequence: &mut Sequence) {
        let prefix = sequence.layout.prefix.min(self.longest);
        let room = self.longest - prefix;
        let mut keep: Vec<Option<usize>> = Vec::with_capacity(sequence.places.len());
        let (mut kept, mut at) = (0, 0);
        let mut take = |count: usize, of: usize, keep: &mut Vec<Option<usize>>| {
            for index in 0..of {
                keep.push((index < count).then(|| kept + index));
            }
            kept += count;
        };
        take(prefix, sequence.layout.prefix, &mut keep);
        for branch in &mut sequence.layout.branches {
            let count = (*branch).min(room);
            take(count, *branch, &mut keep);
            *branch = count;
        }
        sequence.layout.prefix = prefix;
        sequence.cut = keep.iter().filter(|place| place.is_none()).count();
        if sequence.cut == 0 {
            return;
        }
        sequence.places.retain(|_| {
            at += 1;
            keep[at - 1].is_some()
        });
        // A label goes with the row that it stands on, which is the one after the row that predicts it.
        sequence.targets.retain(|target| keep.get(target.row + 1).is_some_and(Option::is_some));
        for target in &mut sequence.targets {
            target.row = keep[target.row].unwrap_or(0);
        }
    }

    /// The places of the audio-visual sequence.
    fn video(&self, sample: &Sample) -> Result<Vec<Place>, TrainError> {
        let there = |tokens: &[Option<Vec<f32>>]| tokens.iter().map(Option::is_some).collect::<Vec<_>>();
        let (visual, audio) = (there(&sample.visual), there(&sample.audio));
        let Some(interleaver) = &self.interleaver else {
            let seen = (0..visual.len()).map(Place::Visual);
            return Ok(seen.chain((0..audio.len()).map(Place::Audio)).collect());
        };
        let mut places = Vec::new();
        for item in interleaver.sequence(&visual, &audio)? {
            match item {
                Item::Visual(slot) => places.push(Place::Visual(slot)),
                Item::Audio(slot) => places.push(Place::Audio(slot)),
                Item::Text(text) => {
                    let ids = self.tokenizer.encode(&text, Specials::AsText)?;
                    places.extend(ids.into_iter().map(Place::Text));
                }
            }
        }
        Ok(places)
    }
}

impl Assembled {
    /// The batch of several samples.
    pub(super) fn new(
        samples: &[(Sample, Sequence)],
        llm: &Trainable,
        adapters: &Adapters,
    ) -> Result<Self, TrainError> {
        let hidden = llm.config().hidden;
        let mut assembled = Self::default();
        for (sample, sequence) in samples {
            let start = assembled.batch.rows.len() / hidden;
            for place in &sequence.places {
                let row = assembled.batch.rows.len() / hidden;
                match place {
                    Place::Text(id) => assembled.batch.rows.extend(llm.embedding(*id)?),
                    Place::Visual(slot) => {
                        assembled.visual.push(&sample.visual[*slot], row);
                        assembled.batch.rows.resize((row + 1) * hidden, 0.0);
                    }
                    Place::Audio(slot) => {
                        assembled.audio.push(&sample.audio[*slot], row);
                        assembled.batch.rows.resize((row + 1) * hidden, 0.0);
                    }
                }
            }
            let moved = |target: &Target| Target { row: start + target.row, ..*target };
            assembled.batch.targets.extend(sequence.targets.iter().map(moved));
            assembled.batch.sequences.push(sequence.layout.clone());
        }
        for (sense, features) in [(Medium::Video, &assembled.visual), (Medium::Audio, &assembled.audio)] {
            let Some(adapter) = adapters.of(sense).filter(|_| !features.rows.is_empty()) else { continue };
            let projected = adapter.project(&features.values);
            for (row, projected) in features.rows.iter().zip(projected.chunks_exact(hidden)) {
                assembled.batch.rows[row * hidden..][..hidden].copy_from_slice(projected);
            }
        }
        Ok(assembled)
    }

    /// Rows of the batch.
    pub(super) fn rows(&self) -> usize {
        self.batch.sequences.iter().map(Layout::rows).sum()
    }

    /// Hands the gradient of the batch's rows to an adapter.
    pub(super) fn teach(&self, adapters: &mut Adapters, sense: Medium, rows: &[f32]) {
        let features = match sense {
            Medium::Video => &self.visual,
            Medium::Audio => &self.audio,
        };
        let Some(adapter) = adapters.of_mut(sense) else { return };
        let hidden = adapter.weight.shape[0];
        if features.rows.is_empty() {
            return;
        }
        let own: Vec<f32> =
            features.rows.iter().flat_map(|row| &rows[row * hidden..][..hidden]).copied().collect();
        adapter.learn(&features.values, &own);
    }
}

impl Features {
    fn push(&mut self, row: &Option<Vec<f32>>, at: usize) {
        self.values.extend(row.iter().flatten());
        self.rows.push(at);
    }
}
