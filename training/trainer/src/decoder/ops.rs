//! What stands between the products: norms, rotations, the gate, each with its gradient, by rows on all threads.

use rayon::prelude::*;

use avicuna_models::splitmix::mixed;

/// Rows that one task takes at least.
const GRAIN: usize = 16;

/// `x / sqrt(mean(x^2) + eps) * weight` for every row of `weight.len()` values.
pub(super) fn norm(x: &[f32], weight: &[f32], eps: f32) -> Vec<f32> {
    let width = weight.len();
    let mut out = vec![0.0; x.len()];
    out.par_chunks_exact_mut(width).zip(x.par_chunks_exact(width)).with_min_len(GRAIN).for_each(
        |(out, x)| {
            let scale = inverse_root(x, eps);
            for ((out, x), weight) in out.iter_mut().zip(x).zip(weight) {
                *out = x * scale * weight;
            }
        },
    );
    out
}

/// Adds to `into` the gradient of [`norm`]'s input, where `gradient` is its output's.
pub(super) fn norm_gradient(into: &mut [f32], x: &[f32], gradient: &[f32], weight: &[f32], eps: f32) {
    let width = weight.len();
    into.par_chunks_exact_mut(width)
        .zip(x.par_chunks_exact(width).zip(gradient.par_chunks_exact(width)))
        .with_min_len(GRAIN)
        .for_each(|(into, (x, gradient))| {
            let scale = inverse_root(x, eps);
            let along: f32 = x.iter().zip(gradient).zip(weight).map(|((x, g), w)| x * g * w).sum();
            let back = along * scale * scale / width as f32;
            for (((into, x), g), w) in into.iter_mut().zip(x).zip(gradient).zip(weight) {
                *into += scale * (g * w - x * back);
            }
        });
}

fn inverse_root(x: &[f32], eps: f32) -> f32 {
    let square: f32 = x.iter().map(|x| x * x).sum();
    1.0 / (square / x.len() as f32 + eps).sqrt()
}

/// Cosines and sines of the rotations, and where each row stands in its sequence.
pub(super) struct Rotations<'a> {
    /// `[context, head_dim / 2]`
    pub(super) cos: &'a [f32],
    pub(super) sin: &'a [f32],
    pub(super) positions: &'a [usize],
    pub(super) head_dim: usize,
}

impl Rotations<'_> {
    /// Turns the first `heads` heads of every row of `width` values by its position; backwards for a gradient.
    pub(super) fn turn(&self, x: &mut [f32], width: usize, heads: usize, backwards: bool) {
        let half = self.head_dim / 2;
        x.par_chunks_exact_mut(width).zip(self.positions).with_min_len(GRAIN).for_each(|(row, &position)| {
            let (cos, sin) = (&self.cos[position * half..][..half], &self.sin[position * half..][..half]);
            for head in row.chunks_exact_mut(self.head_dim).take(heads) {
                let (first, second) = head.split_at_mut(half);
                for (((a, b), cos), sin) in first.iter_mut().zip(second).zip(cos).zip(sin) {
                    let sin = if backwards { -sin } else { *sin };
                    (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
                }
            }
        });
    }
}

/// `silu(gate) * up`, where a row of `gate_up` holds both, one after the other: `[n, 2 wide]` to `[n, wide]`.
pub(super) fn gated(gate_up: &[f32], wide: usize) -> Vec<f32> {
    let mut out = vec![0.0; gate_up.len() / 2];
    out.par_chunks_exact_mut(wide).zip(gate_up.par_chunks_exact(2 * wide)).with_min_len(GRAIN).for_each(
        |(out, row)| {
            let (gate, up) = row.split_at(wide);
            for ((out, gate), up) in out.iter_mut().zip(gate).zip(up) {
                *out = gate * up / (1.0 + exp(-gate));
            }
        },
    );
    out
}

/// Puts the gradient of [`gated`]'s input in the place of the input; `gradient` is its output's.
pub(super) fn gated_gradient(gate_up: &mut [f32], gradient: &[f32], wide: usize) {
    gate_up.par_chunks_exact_mut(2 * wide).zip(gradient.par_chunks_exact(wide)).with_min_len(GRAIN).for_each(
        |(row, gradient)| {
            let (gate, up) = row.split_at_mut(wide);
            for ((gate, up), g) in gate.iter_mut().zip(up).zip(gradient) {
                let sigmoid = 1.0 / (1.0 + exp(-*gate));
                let silu = *gate * sigmoid;
                (*gate, *up) = (g * *up * (sigmoid + silu * (1.0 - sigmoid)), g * silu);
            }
        },
    );
}

/// `into += x`.
pub(super) fn add(into: &mut [f32], x: &[f32]) {
    into.par_chunks_mut(1 << 14).zip(x.par_chunks(1 << 14)).for_each(|(into, x)| {
        into.iter_mut().zip(x).for_each(|(into, x)| *into += x);
    });
}

/// `e^x` to within 2e-7 of its size, without a branch, so that loops over it become vector instructions.
///
/// `x = n ln 2 + r` with `|r| <= ln 2 / 2`: `e^r` is its Taylor polynomial of degree 7, `2^n` goes to the exponent.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    // Adding and taking away 1.5 * 2^23 rounds to a whole number.
    const ROUND: f32 = 12_582_912.0;
    let x = x.clamp(-87.0, 88.0);
    let n = (x * std::f32::consts::LOG2_E + ROUND) - ROUND;
    let r = x - n * 0.693_359_4 - n * -2.121_944_4e-4;
    let mut power = 1.0 / 5040.0;
    for factor in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        power = power * r + factor;
    }
    power * f32::from_bits(((n as i32 + 127) as u32) << 23)
}

/// Which inputs a LoRA does not see in this step, by a number that names step, block and layer.
///
/// Nothing is stored: whoever computes a block again sees the same.
#[derive(Clone, Copy)]
pub(super) struct Dropout {
    /// Share of the inputs that are left out.
    pub(super) rate: f32,
    /// Different numbers, different choices.
    pub(super) key: u64,
}

impl Dropout {
    /// The same choice for another layer.
    pub(super) fn of(self, number: usize) -> Self {
        Self { key: mixed(self.key ^ mixed(number as u64 + 1)), ..self }
    }

    /// Zeroes what is left out, and makes the rest larger by as much.
    pub(super) fn apply(self, x: &mut [f32]) {
        let bound = (f64::from(self.rate) * 65_536.0) as u64;
        let keep = 1.0 / (1.0 - self.rate);
        x.par_chunks_mut(1 << 12).enumerate().for_each(|(chunk, x)| {
            for (index, four) in x.chunks_mut(4).enumerate() {
                let bits = mixed(self.key ^ ((chunk << 10) + index) as u64);
                for (place, x) in four.iter_mut().enumerate() {
                    *x *= if (bits >> (16 * place)) & 0xffff < bound { 0.0 } else { keep };
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_close_over_its_whole_range() {
        for step in -8600..=8700 {
            let x = step as f32 / 100.0;
            let exact = f64::from(x).exp();
            let off = (f64::from(exp(x)) - exact).abs() / exact;
            assert!(off < 4e-7, "e^{x} is off by {off}");
        }
        assert!(exp(f32::NEG_INFINITY) < 1e-37);
    }

    #[test]
    fn dropout_leaves_out_its_share_keeps_the_mean_and_repeats_itself() {
        let dropout = Dropout { rate: 0.25, key: 3 };
        let dropped = |dropout: Dropout| {
            let mut x = vec![1.0; 100_000];
            dropout.apply(&mut x);
            x
        };
        let x = dropped(dropout);
        let zeros = x.iter().filter(|x| **x == 0.0).count();
        assert!((24_000..26_000).contains(&zeros), "{zeros}");
        let mean = x.iter().map(|x| f64::from(*x)).sum::<f64>() / x.len() as f64;
        assert!((mean - 1.0).abs() < 0.02, "{mean}");
        assert_eq!(x, dropped(dropout));
        assert_ne!(x, dropped(dropout.of(1)));
        assert_ne!(dropped(dropout.of(2)), dropped(dropout.of(1)));
    }
}
