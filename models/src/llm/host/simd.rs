//! The inner loops by what the processor offers, found out at run time: AVX2 with FMA and F16C, or portable Rust.

use rayon::prelude::*;

use super::blocks::{self, Activations, BLOCK, PANEL, PanelBlock};

/// The instructions that the inner loops use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isa {
    /// Plain Rust, on every processor.
    Portable,
    /// 256-bit integers and floats. Constructed by [`Isa::detect`] only, where the processor has them.
    #[cfg(target_arch = "x86_64")]
    Avx2,
}

/// Keys and values of one head over a run of positions.
#[derive(Clone, Copy)]
pub struct Part<'a> {
    /// `[length, stride]`, the head's keys at `offset`.
    pub keys: &'a [f32],
    /// `[length, stride]`, the head's values at `offset`.
    pub values: &'a [f32],
    /// Width of all key heads together.
    pub stride: usize,
    /// Where this head starts in a row.
    pub offset: usize,
    /// Positions to attend to.
    pub length: usize,
}

impl<'a> Part<'a> {
    /// The head's keys at position `at`.
    #[inline(always)]
    pub fn key(&self, at: usize, width: usize) -> &'a [f32] {
        &self.keys[at * self.stride + self.offset..][..width]
    }

    /// The head's values at position `at`.
    #[inline(always)]
    pub fn value(&self, at: usize, width: usize) -> &'a [f32] {
        &self.values[at * self.stride + self.offset..][..width]
    }
}

impl Isa {
    /// The best that this processor has.
    pub fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c")
        {
            return Self::Avx2;
        }
        Self::Portable
    }

    /// One panel's outputs for the rows from `first` on, one for each of `out`.
    pub fn panel_product(
        self,
        panel: &[PanelBlock],
        rows: &Activations,
        first: usize,
        out: &mut [[f32; PANEL]],
    ) {
        match self {
            Self::Portable => blocks::panel_product(panel, rows, first, out),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => {
                let mut first = first;
                let (fours, rest) = out.as_chunks_mut::<4>();
                for four in fours {
                    // SAFETY: `Avx2` exists only where the processor has the instructions.
                    unsafe { super::avx2::panel_product::<4>(panel, rows, first, four) };
                    first += 4;
                }
                // The weights are read once for all that is left: three questions of a window are three rows.
                // SAFETY: as above.
                unsafe {
                    if let Ok(three) = <&mut [_; 3]>::try_from(&mut *rest) {
                        super::avx2::panel_product::<3>(panel, rows, first, three);
                    } else if let Ok(two) = <&mut [_; 2]>::try_from(&mut *rest) {
                        super::avx2::panel_product::<2>(panel, rows, first, two);
                    } else if let Ok(one) = <&mut [_; 1]>::try_from(rest) {
                        super::avx2::panel_product::<1>(panel, rows, first, one);
                    }
                }
            }
        }
    }

    /// Stores `rows [n, width]`, of which `inputs` leading values count, as blocks of activations. `prepare` may
    /// change a row before it is stored; it gets `inputs` values.
    pub fn quantise(
        self,
        rows: &[f32],
        width: usize,
        inputs: usize,
        into: &mut Activations,
        prepare: impl Fn(&mut [f32], &[f32]) + Sync,
    ) {
        let count = rows.len() / width;
        into.resize(count, inputs);
        type Row<'a> = ((&'a [f32], &'a mut [i8]), (&'a mut [f32], &'a mut [f32]));
        let one = |((row, q), (scale, sum)): Row<'_>| {
            let mut values = vec![0.0; inputs];
            prepare(&mut values, row);
            for (index, (x, q)) in values.chunks_exact(BLOCK).zip(q.chunks_exact_mut(BLOCK)).enumerate() {
                (scale[index], sum[index]) = match self {
                    Self::Portable => blocks::quantise_block(x, q),
                    #[cfg(target_arch = "x86_64")]
                    // SAFETY: `Avx2` exists only where the processor has the instructions.
                    Self::Avx2 => unsafe { super::avx2::quantise_block(x, q) },
                };
            }
        };
        let blocks = inputs / BLOCK;
        let (q, scale, sum) = (&mut into.q, &mut into.scale, &mut into.sum);
        if count < 8 {
            rows.chunks_exact(width)
                .zip(q.chunks_exact_mut(inputs))
                .zip(scale.chunks_exact_mut(blocks).zip(sum.chunks_exact_mut(blocks)))
                .for_each(one);
        } else {
            rows.par_chunks_exact(width)
                .zip(q.par_chunks_exact_mut(inputs))
                .zip(scale.par_chunks_exact_mut(blocks).zip(sum.par_chunks_exact_mut(blocks)))
                .with_min_len(8)
                .for_each(one);
        }
    }

    /// One query head against one key head: `out = softmax(q . keys) values`, the parts one after the other.
    /// `q` is scaled already; `scores` holds as many values as there are positions.
    pub fn attend(self, q: &[f32], parts: &[Part<'_>], scores: &mut [f32], out: &mut [f32]) {
        match self {
            Self::Portable => attend(q, parts, scores, out),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `Avx2` exists only where the processor has the instructions.
            Self::Avx2 => unsafe { super::avx2::attend(q, parts, scores, out) },
        }
    }

    /// `gate[i] = silu(gate[i]) * up[i]`.
    pub fn silu_times(self, gate: &mut [f32], up: &[f32]) {
        match self {
            Self::Portable => {
                for (gate, up) in gate.iter_mut().zip(up) {
                    *gate = *gate / (1.0 + (-*gate).exp()) * up;
                }
            }
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `Avx2` exists only where the processor has the instructions.
            Self::Avx2 => unsafe { super::avx2::silu_times(gate, up) },
        }
    }
}

fn attend(q: &[f32], parts: &[Part<'_>], scores: &mut [f32], out: &mut [f32]) {
    let width = q.len();
    let mut start = 0;
    for part in parts {
        for at in 0..part.length {
            scores[start + at] = q.iter().zip(part.key(at, width)).map(|(a, b)| a * b).sum();
        }
        start += part.length;
    }
    let top = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut total = 0.0;
    for score in scores.iter_mut() {
        *score = (*score - top).exp();
        total += *score;
    }
    out.fill(0.0);
    let mut start = 0;
    for part in parts {
        for at in 0..part.length {
            let weight = scores[start + at] / total;
            for (out, v) in out.iter_mut().zip(part.value(at, width)) {
                *out += weight * v;
            }
        }
        start += part.length;
    }
}
