//! A frozen weight, held for products with its rows and with its columns.

use std::sync::Arc;

use candle_core::Tensor;

use super::matrix::{View, times};
use crate::llm::LlmError;

/// `[out, in]`, not learned: no gradient of its own is ever computed.
pub(super) struct Frozen {
    values: Arc<Vec<f32>>,
    outputs: usize,
    inputs: usize,
}

impl Frozen {
    /// The matrices `parts`, all `[_, inputs]`, one below the other.
    pub(super) fn new(parts: &[Tensor], inputs: usize) -> Result<Self, LlmError> {
        let mut values = Vec::new();
        for part in parts {
            values.extend(part.flatten_all()?.to_vec1::<f32>()?);
        }
        Ok(Self::shared(&Arc::new(values), inputs))
    }

    /// A matrix that others use as well.
    pub(super) fn shared(values: &Arc<Vec<f32>>, inputs: usize) -> Self {
        Self { outputs: values.len() / inputs, values: values.clone(), inputs }
    }

    pub(super) fn outputs(&self) -> usize {
        self.outputs
    }

    pub(super) fn inputs(&self) -> usize {
        self.inputs
    }

    /// `x W^T`: `[n, in]` to `[n, out]`.
    pub(super) fn forward(&self, x: &[f32]) -> Vec<f32> {
        times(View::new(x, x.len() / self.inputs, self.inputs), self.view().t())
    }

    /// `y W`: `[n, out]` to `[n, in]`, which takes a gradient from the output to the input.
    pub(super) fn backward(&self, y: &[f32]) -> Vec<f32> {
        times(View::new(y, y.len() / self.outputs, self.outputs), self.view())
    }

    fn view(&self) -> View<'_> {
        View::new(&self.values, self.outputs, self.inputs)
    }
}
