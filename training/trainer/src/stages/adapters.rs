//! The two adapters in training: where they start, and their gradient.

use std::path::Path;

use avicuna_corpus::features::called;
use avicuna_models::checkpoint::read_projector;
use avicuna_models::llm::LlmError;
use avicuna_models::tensors::{Named, read_tensors};
use avicuna_pipeline::stream::Medium;
use rand::RngExt;

use super::TrainError;
use super::source::random;
use crate::decoder::{Parameter, Projection};

/// Both adapters; `None`: the model lacks the sense.
#[derive(Debug, Clone)]
pub(super) struct Adapters {
    pub(super) vision: Option<Projection>,
    pub(super) audio: Option<Projection>,
}

impl Adapters {
    pub(super) fn of(&self, sense: Medium) -> Option<&Projection> {
        match sense {
            Medium::Video => self.vision.as_ref(),
            Medium::Audio => self.audio.as_ref(),
        }
    }

    pub(super) fn of_mut(&mut self, sense: Medium) -> &mut Option<Projection> {
        match sense {
            Medium::Video => &mut self.vision,
            Medium::Audio => &mut self.audio,
        }
    }

    /// Their tensors as a model directory names them.
    pub(super) fn named(&self) -> Vec<Named<'_>> {
        [tensors("vision", self.vision.as_ref()), tensors("audio", self.audio.as_ref())].concat()
    }

    /// Their tensors as the reference names them; `prefix` is what its kind of file puts before.
    pub(super) fn projectors(&self, prefix: &str, sense: Medium) -> Vec<Named<'_>> {
        tensors(&format!("{prefix}{}", projector(sense)), self.of(sense))
    }
}

fn tensors<'a>(name: &str, adapter: Option<&'a Projection>) -> Vec<Named<'a>> {
    let Some(Projection { weight, bias }) = adapter else { return Vec::new() };
    vec![
        Named { name: format!("{name}.weight"), shape: weight.shape.to_vec(), values: &weight.values },
        Named { name: format!("{name}.bias"), shape: vec![bias.shape[0]], values: &bias.values },
    ]
}

/// The reference's name of an adapter.
pub(super) fn projector(sense: Medium) -> &'static str {
    match sense {
        Medium::Video => "mm_projector",
        Medium::Audio => "mm_projector_a",
    }
}

/// An adapter of given values.
pub(super) fn adapter(
    sense: Medium,
    [hidden, dim]: [usize; 2],
    weight: Vec<f32>,
    bias: Vec<f32>,
) -> Projection {
    let name = match sense {
        Medium::Video => "vision",
        Medium::Audio => "audio",
    };
    Projection {
        weight: Parameter::new(format!("{name}.weight"), [hidden, dim], weight),
        bias: Parameter::new(format!("{name}.bias"), [hidden, 1], bias),
    }
}

/// One that starts uniform within `1 / sqrt(dim)` of 0.
pub(super) fn drawn(sense: Medium, shape: [usize; 2], seed: u64) -> Projection {
    let bound = 1.0 / (shape[1] as f32).sqrt();
    let mut random = random(seed, &["adapter", called(sense)]);
    let mut values = |count: usize| (0..count).map(|_| random.random_range(-bound..bound)).collect();
    let (weight, bias) = (values(shape[0] * shape[1]), values(shape[0]));
    adapter(sense, shape, weight, bias)
}

/// One that a file holds, under a model directory's or the reference's names. `None`: it holds none for this sense.
pub(super) fn read(sense: Medium, path: &Path, shape: [usize; 2]) -> Result<Option<Projection>, TrainError> {
    let own = match sense {
        Medium::Video => "vision",
        Medium::Audio => "audio",
    };
    let tensors = read_tensors(path)?;
    let (weight, bias) = match (tensors.get(&format!("{own}.weight")), tensors.get(&format!("{own}.bias"))) {
        (Some(weight), Some(bias)) => (weight.clone(), bias.clone()),
        _ => {
            let name = projector(sense);
            if !tensors.keys().any(|key| key.ends_with(&format!("{name}.weight"))) {
                return Ok(None);
            }
            let found = read_projector(path, name)?;
            (found.weight, found.bias)
        }
    };
    if weight.dims() != shape || bias.dims() != [shape[0]] {
        let reason = format!(
            "its {} adapter is {:?}; from the manifest's encoder to this LLM it must be {shape:?}",
            called(sense),
            weight.dims()
        );
        return Err(TrainError::run(path, reason));
    }
    let values = |tensor: &candle_core::Tensor| -> candle_core::Result<Vec<f32>> {
        tensor.to_dtype(candle_core::DType::F32)?.flatten_all()?.to_vec1()
    };
    let (weight, bias) = (values(&weight).map_err(LlmError::from)?, values(&bias).map_err(LlmError::from)?);
    Ok(Some(adapter(sense, shape, weight, bias)))
}
