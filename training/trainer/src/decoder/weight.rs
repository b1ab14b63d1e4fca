//! A frozen weight, held for products with its rows and with its columns.

use std::sync::Arc;

use avicuna_models::llm::LlmError;
use candle_core::Tensor;

use super::bf16::Packed;
use super::matrix::{View, times};

/// How products with the base's weights are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Products {
    /// In single precision.
    #[default]
    Single,
    /// Of bfloat16 numbers, summed in single precision: twice as fast where a processor has instructions for them, slower
    /// where not.
    Bf16,
}

/// `[out, in]`, not learned: no gradient of its own is ever computed.
pub(super) struct Frozen {
    kind: Kind,
    outputs: usize,
    inputs: usize,
}

enum Kind {
    Single(Arc<Vec<f32>>),
    Bf16 { forward: Packed, backward: Packed },
}

impl Frozen {
    /// The matrices `parts`, all `[_, inputs]`, one below the other.
    pub(super) fn new(parts: &[Tensor], inputs: usize, products: Products) -> Result<Self, LlmError> {
        let mut values = Vec::new();
        for part in parts {
            values.extend(part.flatten_all()?.to_vec1::<f32>()?);
        }
        Ok(Self::shared(&Arc::new(values), inputs, products))
    }

    /// A matrix that others use as well.
    pub(super) fn shared(values: &Arc<Vec<f32>>, inputs: usize, products: Products) -> Self {
        let outputs = values.len() / inputs;
        let kind = match products {
            Products::Single => Kind::Single(values.clone()),
            Products::Bf16 => {
                let forward = Packed::new(inputs, outputs, |i, o| values[o * inputs + i]);
                let backward = Packed::new(outputs, inputs, |o, i| values[o * inputs + i]);
                Kind::Bf16 { forward, backward }
            }
        };
        Self { kind, outputs, inputs }
    }

    pub(super) fn outputs(&self) -> usize {
        self.outputs
    }

    pub(super) fn inputs(&self) -> usize {
        self.inputs
    }

    /// `x W^T`: `[n, in]` to `[n, out]`.
    pub(super) fn forward(&self, x: &[f32]) -> Vec<f32> {
        match &self.kind {
            Kind::Single(values) => {
                let weight = View::new(values, self.outputs, self.inputs);
                times(View::new(x, x.len() / self.inputs, self.inputs), weight.t())
            }
            Kind::Bf16 { forward, .. } => forward.product(x),
        }
    }

    /// `y W`: `[n, out]` to `[n, in]`, which takes a gradient from the output to the input.
    pub(super) fn backward(&self, y: &[f32]) -> Vec<f32> {
        match &self.kind {
            Kind::Single(values) => {
                let weight = View::new(values, self.outputs, self.inputs);
                times(View::new(y, y.len() / self.outputs, self.outputs), weight)
            }
            Kind::Bf16 { backward, .. } => backward.product(y),
        }
    }
}
