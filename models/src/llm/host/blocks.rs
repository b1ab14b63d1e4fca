//! Linear layers over weights in 7-bit blocks: the format, and the products in portable Rust.
//!
//! A block is 32 inputs of one output: each weight is `min + step * q` with `q` in `0..=90`. Activations are 32-wide
//! blocks too, `scale * a` with `a` in `-91..=91`. The two bounds are chosen together: AVX2 multiplies unsigned by signed
//! bytes and adds neighbours in 16 bits, so four products, `4 * 90 * 91 = 32760`, may be added before they
//! have to be widened. And 90 is a multiple of 15: a weight that was stored in 4-bit blocks (Q4_1) keeps its value.

use half::f16;

/// Inputs of one block.
pub const BLOCK: usize = 32;
/// Outputs whose blocks lie side by side: two AVX2 registers of 32-bit sums.
pub const PANEL: usize = 16;
/// The largest `q` of a weight.
const WEIGHT_MAX: f32 = 90.0;
/// The largest `|a|` of an activation.
pub const ACTIVATION_MAX: f32 = 91.0;

/// One block of each of the 16 outputs of a panel: 9 bits a weight, read front to back.
#[derive(Clone)]
#[repr(C, align(64))]
pub struct PanelBlock {
    /// f16 bits, one for each output.
    pub step: [u16; PANEL],
    /// f16 bits, one for each output.
    pub min: [u16; PANEL],
    /// `q[group][output][4]`: the weights of four neighbouring inputs stand together for each output.
    pub q: [u8; BLOCK * PANEL],
}

/// A linear layer `[outputs, inputs]` in 7-bit blocks.
pub struct BlockMatrix {
    outputs: usize,
    inputs: usize,
    /// `[outputs / PANEL, inputs / BLOCK]`; outputs past the end are zero.
    panels: Vec<PanelBlock>,
}

impl BlockMatrix {
    /// Whether a layer with that many inputs can be stored in blocks.
    pub fn fits(inputs: usize) -> bool {
        inputs > 0 && inputs.is_multiple_of(BLOCK)
    }

    /// An empty layer of `inputs` inputs, a multiple of [`BLOCK`], to which [`Self::push`] adds outputs.
    pub fn new(inputs: usize) -> Self {
        debug_assert!(Self::fits(inputs), "{inputs} inputs do not make whole blocks");
        Self { outputs: 0, inputs, panels: Vec::new() }
    }

    /// Adds the outputs of `weight [n, inputs]`, row by row, after those that are there.
    pub fn push(&mut self, weight: &[f32]) {
        let blocks = self.inputs / BLOCK;
        let zero = PanelBlock { step: [0; PANEL], min: [0; PANEL], q: [0; BLOCK * PANEL] };
        for row in weight.chunks_exact(self.inputs) {
            let (panel, lane) = (self.outputs / PANEL, self.outputs % PANEL);
            if lane == 0 {
                self.panels.resize((panel + 1) * blocks, zero.clone());
            }
            let target = &mut self.panels[panel * blocks..];
            for (block, weights) in target.iter_mut().zip(row.chunks_exact(BLOCK)) {
                block.store(lane, weights);
            }
            self.outputs += 1;
        }
    }

    /// Number of outputs.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Number of inputs.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Number of panels.
    pub fn panels(&self) -> usize {
        self.outputs.div_ceil(PANEL)
    }

    /// The blocks of one panel, along the inputs.
    pub fn panel(&self, panel: usize) -> &[PanelBlock] {
        let blocks = self.inputs / BLOCK;
        &self.panels[panel * blocks..(panel + 1) * blocks]
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> usize {
        std::mem::size_of_val(self.panels.as_slice())
    }
}

impl PanelBlock {
    fn store(&mut self, lane: usize, weights: &[f32]) {
        let min = weights.iter().copied().fold(f32::INFINITY, f32::min);
        let max = weights.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let stored_min = f16::from_f32(min);
        let step = f16::from_f32((max - stored_min.to_f32()) / WEIGHT_MAX);
        self.min[lane] = stored_min.to_bits();
        self.step[lane] = step.to_bits();
        let inverse = if step.to_f32() > 0.0 { 1.0 / step.to_f32() } else { 0.0 };
        for (input, &weight) in weights.iter().enumerate() {
            // `as` saturates, and turns NaN into 0.
            let q = ((weight - stored_min.to_f32()) * inverse).round().clamp(0.0, WEIGHT_MAX) as u8;
            self.q[(input / 4) * 4 * PANEL + lane * 4 + input % 4] = q;
        }
    }

    /// The weight of one output for one input, as it is computed with.
    #[cfg(test)]
    pub fn weight(&self, lane: usize, input: usize) -> f32 {
        let q = self.q[(input / 4) * 4 * PANEL + lane * 4 + input % 4];
        f16::from_bits(self.min[lane]).to_f32() + f16::from_bits(self.step[lane]).to_f32() * f32::from(q)
    }
}

/// Rows of activations in blocks.
#[derive(Default)]
pub struct Activations {
    /// `[rows, inputs]`
    pub q: Vec<i8>,
    /// `[rows, inputs / BLOCK]`
    pub scale: Vec<f32>,
    /// `[rows, inputs / BLOCK]`: scale times the sum of the block's `q`, which `min` is multiplied by.
    pub sum: Vec<f32>,
}

impl Activations {
    /// Makes room for `rows` rows of `inputs` inputs.
    pub fn resize(&mut self, rows: usize, inputs: usize) {
        self.q.resize(rows * inputs, 0);
        self.scale.resize(rows * inputs / BLOCK, 0.0);
        self.sum.resize(rows * inputs / BLOCK, 0.0);
    }
}

/// Stores one block of activations; returns its scale and its scaled sum.
pub fn quantise_block(x: &[f32], q: &mut [i8]) -> (f32, f32) {
    let largest = x.iter().fold(0f32, |m, v| m.max(v.abs()));
    let scale = largest / ACTIVATION_MAX;
    let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
    let mut sum = 0i32;
    for (q, x) in q.iter_mut().zip(x) {
        *q = (x * inverse).round_ties_even() as i8;
        sum += i32::from(*q);
    }
    (scale, scale * sum as f32)
}

/// `out[r][o] = sum over the inputs of weight[o] * row[r]` for one panel and the rows `first..first + out.len()`.
pub fn panel_product(panel: &[PanelBlock], rows: &Activations, first: usize, out: &mut [[f32; PANEL]]) {
    let blocks = panel.len();
    for (row, out) in (first..).zip(out) {
        *out = [0.0; PANEL];
        for (index, block) in panel.iter().enumerate() {
            let at = row * blocks + index;
            let activations = &rows.q[at * BLOCK..(at + 1) * BLOCK];
            for (lane, out) in out.iter_mut().enumerate() {
                let mut dot = 0i32;
                for (group, four) in activations.chunks_exact(4).enumerate() {
                    let weights = &block.q[group * 4 * PANEL + lane * 4..][..4];
                    dot += four.iter().zip(weights).map(|(a, w)| i32::from(*a) * i32::from(*w)).sum::<i32>();
                }
                let step = f16::from_bits(block.step[lane]).to_f32();
                let min = f16::from_bits(block.min[lane]).to_f32();
                *out += step * rows.scale[at] * dot as f32 + min * rows.sum[at];
            }
        }
    }
}
