//! Products of bfloat16 numbers, summed in single precision: by the instructions that AVX-512 has for them, and by plain ones on
//! processors without, which is slower and gives the same but for the rounding of the sums.
//!
//! A weight is stored as panels of [`PANEL`] output columns: for every pair of inputs the two numbers of each column side
//! by side, as one instruction takes them. Eight rows of the other factor meet a panel at a time, so that 24 sums stay
//! in registers.

/// Output columns of a panel.
const PANEL: usize = 48;
/// Rows that meet a panel together.
const ROWS: usize = 8;
/// Rows of one task.
const CHUNK: usize = 48;

/// The processor has AVX-512 with bfloat16: only [`Instructions::detect`] makes one.
#[derive(Clone, Copy)]
struct Instructions(());

impl Instructions {
    fn detect() -> Option<Self> {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bf16") {
            return Some(Self(()));
        }
        None
    }
}

/// A factor `[depth, columns]` in panels.
pub(super) struct Packed {
    /// `[panels, pairs of inputs, PANEL]`; what lies behind the last column is 0.
    data: Vec<u32>,
    depth: usize,
    columns: usize,
    instructions: Option<Instructions>,
}

impl Packed {
    /// Of values `value(d, c)`.
    pub(super) fn new(depth: usize, columns: usize, value: impl Fn(usize, usize) -> f32 + Sync) -> Self {
        use rayon::prelude::*;
        let pairs = depth.div_ceil(2);
        let mut data = vec![0; columns.div_ceil(PANEL) * pairs * PANEL];
        data.par_chunks_exact_mut((pairs * PANEL).max(1)).enumerate().for_each(|(panel, data)| {
            let columns = columns.min((panel + 1) * PANEL) - panel * PANEL;
            for (pair, data) in data.chunks_exact_mut(PANEL).enumerate() {
                for (column, both) in data[..columns].iter_mut().enumerate() {
                    let column = panel * PANEL + column;
                    let second = if 2 * pair + 1 < depth { value(2 * pair + 1, column) } else { 0.0 };
                    *both = together(value(2 * pair, column), second);
                }
            }
        });
        Self { data, depth, columns, instructions: Instructions::detect() }
    }

    /// `x [n, depth]` times this: `[n, columns]`.
    pub(super) fn product(&self, x: &[f32]) -> Vec<f32> {
        use rayon::prelude::*;
        let rows = x.len() / self.depth;
        let mut out = vec![0.0; rows * self.columns];
        let chunks = out.par_chunks_mut(CHUNK * self.columns).zip(x.par_chunks(CHUNK * self.depth));
        chunks.for_each(|(out, x)| self.chunk(x, out));
        out
    }

    fn chunk(&self, x: &[f32], out: &mut [f32]) {
        let pairs = self.depth.div_ceil(2);
        let mut rounded = Vec::with_capacity(x.len() / self.depth * pairs);
        for row in x.chunks_exact(self.depth) {
            let (even, rest) = row.as_chunks::<2>();
            rounded.extend(even.iter().map(|[a, b]| together(*a, *b)));
            rounded.extend(rest.first().map(|last| together(*last, 0.0)));
        }
        for (panel, weights) in self.data.chunks_exact(pairs * PANEL).enumerate() {
            let first = panel * PANEL;
            let columns = (self.columns - first).min(PANEL);
            let tiles = out.chunks_mut(ROWS * self.columns).zip(rounded.chunks(ROWS * pairs));
            for (out, rows) in tiles {
                let mut sums = [[0.0; PANEL]; ROWS];
                let count = rows.len() / pairs;
                match self.instructions {
                    #[cfg(target_arch = "x86_64")]
                    Some(has) => has.tiles(rows, weights, pairs, &mut sums[..count]),
                    _ => plain_tile(rows, weights, pairs, &mut sums[..count]),
                }
                for (out, sums) in out.chunks_exact_mut(self.columns).zip(&sums) {
                    out[first..first + columns].copy_from_slice(&sums[..columns]);
                }
            }
        }
    }
}

/// Two numbers, rounded to nearest even, the first in the lower half.
#[inline(always)]
fn together(a: f32, b: f32) -> u32 {
    rounded(a) >> 16 | rounded(b) & 0xffff_0000
}

/// The bits of the nearest bfloat16, in the upper half. What is no number stays none.
#[inline(always)]
fn rounded(x: f32) -> u32 {
    let bits = x.to_bits();
    let nearest = bits.wrapping_add(0x7fff + (bits >> 16 & 1));
    if x.is_nan() { bits | 0x0040_0000 } else { nearest }
}

/// The two numbers of [`together`].
#[inline(always)]
fn apart(both: u32) -> (f32, f32) {
    (f32::from_bits(both << 16), f32::from_bits(both & 0xffff_0000))
}

/// `sums[r] = row r of rows [n, pairs] times the panel`, on any processor.
fn plain_tile(rows: &[u32], panel: &[u32], pairs: usize, sums: &mut [[f32; PANEL]]) {
    for (row, sums) in rows.chunks_exact(pairs).zip(sums) {
        for (x, weights) in row.iter().zip(panel.as_chunks::<PANEL>().0) {
            let (x, next) = apart(*x);
            for (sum, both) in sums.iter_mut().zip(weights) {
                let (weight, next_weight) = apart(*both);
                *sum += next * next_weight;
                *sum += x * weight;
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
impl Instructions {
    /// As [`plain_tile`], of at most [`ROWS`] rows.
    fn tiles(self, rows: &[u32], panel: &[u32], pairs: usize, sums: &mut [[f32; PANEL]]) {
        // SAFETY: `self` is the proof that the processor has the instructions.
        unsafe {
            match <&mut [[f32; PANEL]; ROWS]>::try_from(&mut *sums) {
                Ok(sums) => tile(rows, panel, pairs, sums),
                Err(_) => {
                    for (row, sums) in rows.chunks_exact(pairs).zip(sums) {
                        tile(row, panel, pairs, std::array::from_mut(sums));
                    }
                }
            }
        }
    }
}

/// `sums[r] = row r of rows [N, pairs] times the panel`.
///
/// # Safety
/// The processor must have AVX-512 with bfloat16.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bf16")]
unsafe fn tile<const N: usize>(rows: &[u32], panel: &[u32], pairs: usize, sums: &mut [[f32; PANEL]; N]) {
    use std::arch::x86_64::*;
    assert!(rows.len() >= N * pairs && panel.len() >= pairs * PANEL, "whole rows and a whole panel");
    let mut acc = [[_mm512_setzero_ps(); 3]; N];
    // SAFETY: the assert keeps every load inside `rows` and `panel`; a row of `sums` holds 48 values. The casts only
    // rename registers.
    unsafe {
        let (rows, panel) = (rows.as_ptr(), panel.as_ptr());
        for pair in 0..pairs {
            let at = panel.add(pair * PANEL);
            let weights: [__m512bh; 3] =
                [0, 16, 32].map(|place| std::mem::transmute(_mm512_loadu_si512(at.add(place).cast())));
            for (row, acc) in acc.iter_mut().enumerate() {
                let x = _mm512_set1_epi32(rows.add(row * pairs + pair).read() as i32);
                let x: __m512bh = std::mem::transmute(x);
                for (acc, weights) in acc.iter_mut().zip(weights) {
                    *acc = _mm512_dpbf16_ps(*acc, x, weights);
                }
            }
        }
        for (sums, acc) in sums.iter_mut().zip(acc) {
            for (place, acc) in acc.into_iter().enumerate() {
                _mm512_storeu_ps(sums.as_mut_ptr().add(16 * place), acc);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_those_of_rounded_numbers_for_any_shape() {
        let number = |i: usize| ((i * 7919 + 13) % 1009) as f32 / 1009.0 - 0.5;
        let round = |x: f32| f32::from_bits(rounded(x) & 0xffff_0000);
        for (rows, depth, columns) in [(1, 1, 1), (8, 64, 48), (19, 33, 50), (61, 10, 97)] {
            let x: Vec<f32> = (0..rows * depth).map(number).collect();
            let weight = |d: usize, c: usize| number(1000 + d * columns + c);
            let packed = Packed::new(depth, columns, weight);
            let found = packed.product(&x);
            let plain = Packed { instructions: None, ..packed }.product(&x);
            for row in 0..rows {
                for column in 0..columns {
                    let exact: f32 =
                        (0..depth).map(|d| round(x[row * depth + d]) * round(weight(d, column))).sum();
                    for found in [&found, &plain].map(|out| out[row * columns + column]) {
                        assert!((found - exact).abs() < 1e-5, "{row} {column}: {found} {exact}");
                    }
                }
            }
        }
    }

    #[test]
    fn rounding_is_to_nearest_even_and_keeps_what_is_no_number() {
        let value = |x: f32| f32::from_bits(rounded(x) & 0xffff_0000);
        assert_eq!(value(1.0), 1.0);
        assert_eq!(value(f32::from_bits(0x3f80_8000)), 1.0);
        assert_eq!(value(f32::from_bits(0x3f81_8000)), f32::from_bits(0x3f82_0000));
        assert!(value(f32::NAN).is_nan() && value(f32::NEG_INFINITY) == f32::NEG_INFINITY);
    }
}
