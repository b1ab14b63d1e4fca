//! A run's state on disk: one safetensors file, replaced as a whole.
//!
//! It holds every learning parameter as `value.NAME`, the optimizer's moments as `first.NAME` and `second.NAME`, and in
//! its header, as JSON, where the run stands. Random numbers need no state of their own: they follow from the seed and
//! that place.

use std::collections::HashMap;
use std::path::Path;

use avicuna_models::tensors::{Named, Stored, write_tensors};
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};

use super::TrainError;
use super::optimizer::AdamW;
use super::order::Step;
use crate::decoder::Parameter;

/// The file in a stage's folder.
pub(super) const FILE: &str = "checkpoint.safetensors";
/// That of scripts/train_parallel.py, which nobody else goes on from.
pub(super) const PARALLEL: &str = "parallel.safetensors";

/// The version of the layout.
const FORMAT: u32 = 1;

/// Where a run stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct State {
    pub(super) format: u32,
    /// Stage, seed, samples and batch: a run goes on only with the same.
    pub(super) of: String,
    pub(super) at: Step,
    /// Samples that were left out for want of features.
    pub(super) skipped: u64,
    /// Rows that were cut from sequences that were too long.
    pub(super) cut: u64,
    /// Seconds of training.
    pub(super) seconds: f64,
}

impl State {
    pub(super) fn new(of: String) -> Self {
        Self { format: FORMAT, of, at: Step::default(), skipped: 0, cut: 0, seconds: 0.0 }
    }
}

/// Writes the checkpoint of a stage.
pub(super) fn save(
    path: &Path,
    state: &State,
    parameters: &[&Parameter],
    optimizer: &AdamW,
) -> Result<(), TrainError> {
    let named = |kind: &str, parameter: &Parameter, values| Named {
        name: format!("{kind}.{}", parameter.name),
        shape: parameter.shape.to_vec(),
        values,
    };
    let mut tensors = Vec::with_capacity(3 * parameters.len());
    for (parameter, moments) in parameters.iter().zip(&optimizer.moments) {
        tensors.push(named("value", parameter, parameter.values.as_slice()));
        tensors.push(named("first", parameter, moments.first.as_slice()));
        tensors.push(named("second", parameter, moments.second.as_slice()));
    }
    let state = serde_json::to_string(state).expect("numbers and texts are JSON");
    let header = HashMap::from([("state".to_owned(), state)]);
    Ok(write_tensors(path, &tensors, Stored::F32, header)?)
}

/// Reads a checkpoint into `parameters` and `optimizer`. `of` is what the run is: see [`State::of`].
pub(super) fn load(
    path: &Path,
    of: &str,
    parameters: &mut [&mut Parameter],
    optimizer: &mut AdamW,
) -> Result<State, TrainError> {
    let bytes = std::fs::read(path).map_err(|e| TrainError::read(path, e))?;
    let damaged = |reason: String| TrainError::run(path, format!("is no checkpoint: {reason}"));
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|e| damaged(e.to_string()))?;
    let state = header.metadata().as_ref().and_then(|metadata| metadata.get("state"));
    let state = state.ok_or_else(|| damaged("its header has no state".into()))?;
    let state: State = serde_json::from_str(state).map_err(|e| damaged(e.to_string()))?;
    if state.format != FORMAT || state.of != of {
        let reason = format!(
            "is of another run ({}, not {of}); give its own configuration and data, or start anew in another --out",
            state.of
        );
        return Err(TrainError::run(path, reason));
    }
    let tensors = SafeTensors::deserialize(&bytes).map_err(|e| damaged(e.to_string()))?;
    let read = |name: String, into: &mut [f32]| -> Result<(), TrainError> {
        let tensor = tensors.tensor(&name).map_err(|e| damaged(format!("`{name}`: {e}")))?;
        if tensor.dtype() != Dtype::F32 || tensor.data().len() != 4 * into.len() {
            return Err(damaged(format!("`{name}` is of another size")));
        }
        for (into, bytes) in into.iter_mut().zip(tensor.data().as_chunks::<4>().0) {
            *into = f32::from_le_bytes(*bytes);
        }
        Ok(())
    };
    for (parameter, moments) in parameters.iter_mut().zip(&mut optimizer.moments) {
        read(format!("value.{}", parameter.name), &mut parameter.values)?;
        read(format!("first.{}", parameter.name), &mut moments.first)?;
        read(format!("second.{}", parameter.name), &mut moments.second)?;
    }
    Ok(state)
}
