//! An encoder that is put together from several graphs: each takes the sample in its own way and runs at its own rate; what they say
//! becomes one row.

use std::path::Path;

use super::runtime::{Interface, Model};
use super::{EncoderError, Prepared, Runtime};
use crate::manifest::OutputSpec;
use crate::sample::{Embedding, Encoding};
use crate::vocabulary::Vocabulary;

mod layout;

use layout::Layout;

/// From a sample to the input of a graph.
type Tensor<I> = Box<dyn Fn(&I) -> Result<Vec<f32>, EncoderError> + Send + Sync>;

/// One graph of an encoder.
pub(super) struct Part<I> {
    model: Model,
    tensor: Tensor<I>,
}

impl<I> Part<I> {
    pub(super) fn load(
        path: &Path,
        interface: &Interface<'_>,
        runtime: &Runtime,
        tensor: Tensor<I>,
    ) -> Result<Self, EncoderError> {
        Ok(Self { model: Model::load(runtime, path, interface)?, tensor })
    }
}

/// The encoder of one modality: samples in, embeddings `[dim]` out.
pub struct Encoder<I> {
    parts: Vec<Part<I>>,
    layout: Layout,
}

impl<I: Sync> Encoder<I> {
    pub(super) fn new(
        name: &'static str,
        parts: Vec<Part<I>>,
        outputs: &[&OutputSpec],
        vocabulary: Option<&Vocabulary>,
        dim: usize,
    ) -> Result<Self, EncoderError> {
        let layout = Layout::new(outputs, vocabulary);
        if layout.dim() != dim {
            let reason =
                format!("its parts and the vocabulary make {} columns, `dim` is {dim}", layout.dim());
            return Err(EncoderError::Columns { part: name, reason });
        }
        Ok(Self { parts, layout })
    }

    /// How often each part runs: on one of so many slots.
    pub fn rates(&self) -> impl Iterator<Item = usize> {
        self.layout.rates()
    }

    /// How many columns of an embedding, from the first on, are evidence for the vocabulary's phrases.
    pub fn evidence(&self) -> usize {
        self.layout.evidence()
    }

    /// One embedding `[dim]` of all parts for each sample, or what is wrong with that sample.
    pub fn encode(&self, samples: &[&I]) -> Vec<Result<Embedding, EncoderError>> {
        let all: Vec<(&I, u32)> = samples.iter().map(|sample| (*sample, u32::MAX)).collect();
        let merge =
            |encoding: Encoding| self.rows(&[Some(&encoding)]).remove(0).expect("one row for one sample");
        self.encode_parts(&all).into_iter().map(|encoding| encoding.map(merge)).collect()
    }

    /// What the parts whose bits are set make of each sample, or what is wrong with that sample.
    pub fn encode_parts(&self, samples: &[(&I, u32)]) -> Vec<Result<Encoding, EncoderError>> {
        let mut rows: Vec<Result<Vec<f32>, EncoderError>> =
            samples.iter().map(|_| Ok(vec![0.0; self.layout.width()])).collect();
        for (number, part) in self.parts.iter().enumerate() {
            let wanted: Vec<usize> =
                (0..samples.len()).filter(|index| samples[*index].1 >> number & 1 == 1).collect();
            for chunk in wanted.chunks(part.model.max_batch()) {
                let inputs: Vec<&I> = chunk.iter().map(|index| samples[*index].0).collect();
                let outputs = part.model.encode(part.model.prepare(&inputs, |input| (part.tensor)(input)));
                for (index, output) in chunk.iter().zip(outputs) {
                    match (&mut rows[*index], output) {
                        (Ok(row), Ok(output)) => self.layout.put(row, number, &output),
                        (row @ Ok(_), Err(error)) => *row = Err(error),
                        (Err(_), _) => {}
                    }
                }
            }
        }
        let ran = |(row, (_, ran)): (Result<Vec<f32>, EncoderError>, &(&I, u32))| {
            row.map(|row| Encoding { row: row.into(), ran: *ran })
        };
        rows.into_iter().zip(samples).map(ran).collect()
    }

    /// The embeddings of a window's slots: what a part did not say of a slot is what it said last, or, before its first word, first.
    pub fn rows(&self, slots: &[Option<&Encoding>]) -> Vec<Option<Embedding>> {
        self.layout.rows(slots)
    }

    /// The first half of a call of an encoder of one part: samples to input tensors.
    pub fn prepare(&self, samples: &[&I]) -> Prepared {
        self.parts[0].model.prepare(samples, |sample| (self.parts[0].tensor)(sample))
    }

    /// The second half: the graph itself, in one call.
    pub fn encode_prepared(&self, samples: Prepared) -> Vec<Result<Embedding, EncoderError>> {
        self.parts[0].model.encode(samples)
    }
}
