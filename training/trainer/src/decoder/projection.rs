//! An adapter that learns: from an encoder's embeddings to the LLM's.

use super::linear::Parameter;
use super::matrix::{Into, View, product, threads, times};

/// `x W^T + b`.
#[derive(Debug, Clone)]
pub struct Projection {
    /// `[hidden, dim]`
    pub weight: Parameter,
    /// `[hidden, 1]`
    pub bias: Parameter,
}

impl Projection {
    /// Width of what goes in.
    pub fn inputs(&self) -> usize {
        self.weight.shape[1]
    }

    /// `features [n, dim]` to `[n, hidden]`.
    pub fn project(&self, features: &[f32]) -> Vec<f32> {
        let [hidden, dim] = self.weight.shape;
        let weight = View::new(&self.weight.values, hidden, dim);
        let mut out = times(View::new(features, features.len() / dim, dim), weight.t());
        for row in out.chunks_exact_mut(hidden) {
            row.iter_mut().zip(&self.bias.values).for_each(|(out, bias)| *out += bias);
        }
        out
    }

    /// Adds to its gradient, where `gradient [n, hidden]` is that of [`Self::project`]'s rows for `features`.
    pub fn learn(&mut self, features: &[f32], gradient: &[f32]) {
        let [hidden, dim] = self.weight.shape;
        let rows = features.len() / dim;
        let (gradient_view, features) = (View::new(gradient, rows, hidden), View::new(features, rows, dim));
        product(&mut self.weight.gradient, dim, (gradient_view.t(), features), 1.0, Into::Add, threads());
        for row in gradient.chunks_exact(hidden) {
            self.bias.gradient.iter_mut().zip(row).for_each(|(into, row)| *into += row);
        }
    }
}
