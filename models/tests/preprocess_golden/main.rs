//! CLIP tensors, log-mels and segments against the reference's: `AVICUNA_GOLDEN`, or the fixtures.

mod frames;
#[path = "../golden/mod.rs"]
mod golden;
mod mels;
mod segments;
mod signals;

use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

type Anything = Result<(), Box<dyn std::error::Error>>;

fn list<'a>(of: &'a Value, name: &str) -> &'a Vec<Value> {
    of[name].as_array().unwrap_or_else(|| panic!("no list `{name}`"))
}

fn number(value: &Value) -> usize {
    value.as_u64().unwrap_or_else(|| panic!("{value} is not a count")) as usize
}

fn real(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is not a number"))
}

/// A tensor's shape and values; f16 and f32.
fn floats(tensors: &SafeTensors, name: &str) -> Result<(Vec<usize>, Vec<f32>), Box<dyn std::error::Error>> {
    let view = tensors.tensor(name)?;
    let values = match view.dtype() {
        Dtype::F32 => view.data().as_chunks::<4>().0.iter().map(|x| f32::from_le_bytes(*x)).collect(),
        Dtype::F16 => {
            view.data().as_chunks::<2>().0.iter().map(|x| half::f16::from_le_bytes(*x).to_f32()).collect()
        }
        other => panic!("{name} is {other:?}"),
    };
    Ok((view.shape().to_vec(), values))
}

/// Rows 0, `step`, 2 `step`, ... of `[rows, columns]`.
fn every(values: &[f32], columns: usize, step: usize) -> Vec<f32> {
    values.chunks(columns).step_by(step).flatten().copied().collect()
}

fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}
