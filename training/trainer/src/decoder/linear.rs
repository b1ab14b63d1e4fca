//! Frozen linear layers that read the same input, run as one, each with its LoRA.

use avicuna_models::llm::Config;

use super::matrix::{Into, View, product, threads, times};
use super::ops::{Dropout, add};
use super::weight::Frozen;

/// Values to be learned, with their gradient.
#[derive(Debug, Clone)]
pub struct Parameter {
    /// Its name in files: PEFT's for a LoRA.
    pub name: String,
    /// Rows and columns; one column for a vector.
    pub shape: [usize; 2],
    /// Row by row.
    pub values: Vec<f32>,
    /// As long as `values`; what each pass adds.
    pub gradient: Vec<f32>,
}

impl Parameter {
    /// A parameter with no gradient yet.
    pub fn new(name: impl std::convert::Into<String>, shape: [usize; 2], values: Vec<f32>) -> Self {
        let gradient = vec![0.0; values.len()];
        Self { name: name.into(), shape, values, gradient }
    }
}

/// The names of a block's linear layers, those with the same input together.
pub(super) const GROUPS: [&[&str]; 4] = [
    &["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
    &["self_attn.o_proj"],
    &["mlp.gate_proj", "mlp.up_proj"],
    &["mlp.down_proj"],
];

/// Outputs and inputs of the layer `name` of [`GROUPS`].
pub(super) fn shape(config: &Config, name: &str) -> [usize; 2] {
    let (hidden, wide) = (config.hidden, config.intermediate);
    match name {
        "self_attn.q_proj" => [config.q_dim(), hidden],
        "self_attn.k_proj" | "self_attn.v_proj" => [config.kv_dim(), hidden],
        "self_attn.o_proj" => [hidden, config.q_dim()],
        "mlp.down_proj" => [hidden, wide],
        _ => [wide, hidden],
    }
}

/// `x W^T`, and for each layer its `scale (drop(x) A^T) B^T`.
pub(super) struct Linear {
    pub(super) weight: Frozen,
    pub(super) lora: Option<Pairs>,
}

/// The LoRA of layers with the same input.
pub(super) struct Pairs {
    /// `A [r, in]` and `B [out, r]` of each layer.
    pub(super) pairs: Vec<(Parameter, Parameter)>,
    pub(super) rank: usize,
    pub(super) scale: f32,
}

impl Pairs {
    /// All `A` one below the other, `[layers * r, in]`.
    fn stacked(&self) -> Vec<f32> {
        self.pairs.iter().flat_map(|(a, _)| a.values.iter().copied()).collect()
    }

    fn ranks(&self) -> usize {
        self.pairs.len() * self.rank
    }
}

/// What [`Linear::forward`] made.
pub(super) struct Output {
    /// `[n, out]`
    pub(super) y: Vec<f32>,
    /// `drop(x) A^T` of every layer, `[n, layers * r]`; empty without a LoRA.
    pub(super) low: Vec<f32>,
}

impl Linear {
    pub(super) fn outputs(&self) -> usize {
        self.weight.outputs()
    }

    fn inputs(&self) -> usize {
        self.weight.inputs()
    }

    /// `x [n, in]`
    pub(super) fn forward(&self, x: &[f32], dropout: Option<Dropout>) -> Output {
        let rows = x.len() / self.inputs();
        let mut y = self.weight.forward(x);
        let Some(lora) = &self.lora else { return Output { y, low: Vec::new() } };
        let dropped = dropped(x, dropout);
        let seen = View::new(dropped.as_deref().unwrap_or(x), rows, self.inputs());
        let stacked = lora.stacked();
        let low = times(seen, View::new(&stacked, lora.ranks(), self.inputs()).t());
        let (mut at, out) = (0, self.outputs());
        for (index, (_, b)) in lora.pairs.iter().enumerate() {
            let low = View::part(&low[index * lora.rank..], rows, lora.rank, lora.ranks());
            let b = View::new(&b.values, b.shape[0], lora.rank);
            product(&mut y[at..], out, (low, b.t()), lora.scale, Into::Add, threads());
            at += lora.pairs[index].1.shape[0];
        }
        Output { y, low }
    }

    /// The gradient of the input `x [n, in]`, where `gradient [n, out]` is the output's; adds to those of the LoRA.
    pub(super) fn backward(
        &mut self,
        x: &[f32],
        low: &[f32],
        gradient: &[f32],
        dropout: Option<Dropout>,
    ) -> Vec<f32> {
        let (inputs, out) = (self.inputs(), self.outputs());
        let rows = x.len() / inputs;
        let mut back = self.weight.backward(gradient);
        let Some(lora) = &mut self.lora else { return back };
        let (rank, ranks) = (lora.rank, lora.ranks());
        let mut steps = vec![0.0; rows * ranks];
        let mut at = 0;
        for (index, (_, b)) in lora.pairs.iter_mut().enumerate() {
            let own = View::part(&gradient[at..], rows, b.shape[0], out);
            let values = View::new(&b.values, b.shape[0], rank);
            product(&mut steps[index * rank..], ranks, (own, values), lora.scale, Into::Set, threads());
            let low = View::part(&low[index * rank..], rows, rank, ranks);
            product(&mut b.gradient, rank, (own.t(), low), lora.scale, Into::Add, threads());
            at += b.shape[0];
        }
        let dropped = dropped(x, dropout);
        let seen = View::new(dropped.as_deref().unwrap_or(x), rows, inputs);
        let moved = times(View::new(&steps, rows, ranks).t(), seen);
        for ((a, _), moved) in lora.pairs.iter_mut().zip(moved.chunks_exact(rank * inputs)) {
            a.gradient.iter_mut().zip(moved).for_each(|(into, moved)| *into += moved);
        }
        let stacked = lora.stacked();
        let (steps, stacked) = (View::new(&steps, rows, ranks), View::new(&stacked, ranks, inputs));
        match dropout {
            None => product(&mut back, inputs, (steps, stacked), 1.0, Into::Add, threads()),
            Some(dropout) => {
                let mut through = times(steps, stacked);
                dropout.apply(&mut through);
                add(&mut back, &through);
            }
        }
        back
    }
}

/// What the LoRA sees of `x`, where that is not all of it.
fn dropped(x: &[f32], dropout: Option<Dropout>) -> Option<Vec<f32>> {
    dropout.map(|dropout| {
        let mut x = x.to_vec();
        dropout.apply(&mut x);
        x
    })
}
