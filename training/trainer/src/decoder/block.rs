//! One block of the decoder, forwards and backwards.

use super::attention::{Heads, Layout, Mixed, attend, attend_gradient};
use super::linear::Linear;
use super::ops::{Dropout, Rotations, add, gated, gated_gradient, norm, norm_gradient};

/// `x += attention(norm(x)); x += feed_forward(norm(x))`
pub(super) struct Block {
    pub(super) attention_norm: Vec<f32>,
    pub(super) qkv: Linear,
    pub(super) output: Linear,
    pub(super) feed_forward_norm: Vec<f32>,
    pub(super) gate_up: Linear,
    pub(super) down: Linear,
}

/// What all blocks of one pass share.
pub(super) struct Pass<'a> {
    pub(super) sequences: &'a [Layout],
    pub(super) rotations: Rotations<'a>,
    pub(super) heads: Heads,
    pub(super) eps: f32,
    pub(super) dropout: Option<Dropout>,
}

/// What a block must know of its forward pass to go back: 33 MB for 1,440 rows of SmolLM2-135M.
pub(super) struct Saved {
    /// `[n, hidden]`, before the attention and before the feed-forward layer.
    input: Vec<f32>,
    middle: Vec<f32>,
    /// `[n, q + k + v]`, turned.
    qkv: Vec<f32>,
    mixed: Mixed,
    /// `[n, 2 wide]`
    gate_up: Vec<f32>,
    /// Of the four linear layers.
    low: [Vec<f32>; 4],
}

impl Pass<'_> {
    /// The choice for the linear layer `layer` of a block; `of` is the block's.
    fn drop(of: Option<Dropout>, layer: usize) -> Option<Dropout> {
        of.map(|dropout| dropout.of(layer))
    }
}

impl Block {
    /// The block's output for `x [n, hidden]`, and what its gradient needs.
    pub(super) fn forward(
        &self,
        x: Vec<f32>,
        pass: &Pass<'_>,
        dropout: Option<Dropout>,
    ) -> (Vec<f32>, Saved) {
        let normed = norm(&x, &self.attention_norm, pass.eps);
        let mut qkv = self.qkv.forward(&normed, Pass::drop(dropout, 0));
        drop(normed);
        let turned = pass.heads.heads + pass.heads.kv_heads;
        pass.rotations.turn(&mut qkv.y, pass.heads.width(), turned, false);
        let mixed = attend(&qkv.y, pass.sequences, pass.heads);
        let mut output = self.output.forward(&mixed.values, Pass::drop(dropout, 1));
        add(&mut output.y, &x);
        let middle = output.y;

        let normed = norm(&middle, &self.feed_forward_norm, pass.eps);
        let gate_up = self.gate_up.forward(&normed, Pass::drop(dropout, 2));
        drop(normed);
        let through = gated(&gate_up.y, self.gate_up.outputs() / 2);
        let mut down = self.down.forward(&through, Pass::drop(dropout, 3));
        add(&mut down.y, &middle);
        let low = [qkv.low, output.low, gate_up.low, down.low];
        (down.y, Saved { input: x, middle, qkv: qkv.y, mixed, gate_up: gate_up.y, low })
    }

    /// The gradient of the block's input, where `gradient` is its output's; adds to those of the LoRA.
    pub(super) fn backward(
        &mut self,
        saved: Saved,
        mut gradient: Vec<f32>,
        pass: &Pass<'_>,
        dropout: Option<Dropout>,
    ) -> Vec<f32> {
        let Saved { input, middle, qkv, mixed, mut gate_up, low } = saved;
        let wide = self.gate_up.outputs() / 2;
        let through = gated(&gate_up, wide);
        let back = self.down.backward(&through, &low[3], &gradient, Pass::drop(dropout, 3));
        gated_gradient(&mut gate_up, &back, wide);
        let normed = norm(&middle, &self.feed_forward_norm, pass.eps);
        let back = self.gate_up.backward(&normed, &low[2], &gate_up, Pass::drop(dropout, 2));
        norm_gradient(&mut gradient, &middle, &back, &self.feed_forward_norm, pass.eps);

        let back = self.output.backward(&mixed.values, &low[1], &gradient, Pass::drop(dropout, 1));
        let mut back = attend_gradient(&qkv, &mixed, &back, pass.sequences, pass.heads);
        let turned = pass.heads.heads + pass.heads.kv_heads;
        pass.rotations.turn(&mut back, pass.heads.width(), turned, true);
        let normed = norm(&input, &self.attention_norm, pass.eps);
        let back = self.qkv.backward(&normed, &low[0], &back, Pass::drop(dropout, 0));
        norm_gradient(&mut gradient, &input, &back, &self.attention_norm, pass.eps);
        gradient
    }

    pub(super) fn linears_mut(&mut self) -> [&mut Linear; 4] {
        [&mut self.qkv, &mut self.output, &mut self.gate_up, &mut self.down]
    }

    pub(super) fn linears(&self) -> [&Linear; 4] {
        [&self.qkv, &self.output, &self.gate_up, &self.down]
    }
}

impl Saved {
    /// All that is needed to compute the rest again.
    pub(super) fn input(self) -> Vec<f32> {
        self.input
    }
}
