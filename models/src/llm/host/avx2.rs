//! The inner loops in AVX2, FMA and F16C instructions.
//!
//! Every function here is `unsafe` for one reason only: the processor must have these instructions, which
//! [`super::simd::Isa::detect`] finds out. Slices are indexed through pointers where the lengths are asserted at entry.

#![cfg(target_arch = "x86_64")]

use std::arch::x86_64::*;

use super::blocks::{ACTIVATION_MAX, Activations, BLOCK, PANEL, PanelBlock};
use super::simd::Part;

/// [`super::blocks::panel_product`] for `ROWS` rows at once.
#[target_feature(enable = "avx2,fma,f16c")]
pub unsafe fn panel_product<const ROWS: usize>(
    panel: &[PanelBlock],
    rows: &Activations,
    first: usize,
    out: &mut [[f32; PANEL]; ROWS],
) {
    let blocks = panel.len();
    assert!(rows.q.len() >= (first + ROWS) * blocks * BLOCK, "too few activations");
    assert!(rows.scale.len() >= (first + ROWS) * blocks && rows.sum.len() >= (first + ROWS) * blocks);
    let ones = _mm256_set1_epi16(1);
    let mut sums = [[_mm256_setzero_ps(); 2]; ROWS];
    for (index, block) in panel.iter().enumerate() {
        let mut dots = [[_mm256_setzero_si256(); 2]; ROWS];
        // SAFETY: a block holds 8 groups of 64 weight bytes, and each row 32 bytes of activations at this place.
        unsafe {
            let weights = block.q.as_ptr();
            let activations = rows.q.as_ptr();
            for pair in 0..4 {
                let at = weights.add(pair * 128);
                let w = [[load(at), load(at.add(32))], [load(at.add(64)), load(at.add(96))]];
                for (row, dots) in dots.iter_mut().enumerate() {
                    let a = activations.add(((first + row) * blocks + index) * BLOCK + pair * 8);
                    let a0 = _mm256_set1_epi32(a.cast::<i32>().read_unaligned());
                    let a1 = _mm256_set1_epi32(a.add(4).cast::<i32>().read_unaligned());
                    for half in 0..2 {
                        // Four products of at most 90 * 91 fit 16 bits.
                        let four = _mm256_add_epi16(
                            _mm256_maddubs_epi16(w[0][half], a0),
                            _mm256_maddubs_epi16(w[1][half], a1),
                        );
                        dots[half] = _mm256_add_epi32(dots[half], _mm256_madd_epi16(four, ones));
                    }
                }
            }
            for half in 0..2 {
                let step = halves(block.step.as_ptr().add(half * 8));
                let min = halves(block.min.as_ptr().add(half * 8));
                for row in 0..ROWS {
                    let at = (first + row) * blocks + index;
                    let scale = _mm256_set1_ps(*rows.scale.get_unchecked(at));
                    let sum = _mm256_set1_ps(*rows.sum.get_unchecked(at));
                    let dot = _mm256_cvtepi32_ps(dots[row][half]);
                    let scaled = _mm256_fmadd_ps(_mm256_mul_ps(step, scale), dot, sums[row][half]);
                    sums[row][half] = _mm256_fmadd_ps(min, sum, scaled);
                }
            }
        }
    }
    for (out, sums) in out.iter_mut().zip(&sums) {
        // SAFETY: `out` holds 16 values.
        unsafe {
            _mm256_storeu_ps(out.as_mut_ptr(), sums[0]);
            _mm256_storeu_ps(out.as_mut_ptr().add(8), sums[1]);
        }
    }
}

#[inline]
#[target_feature(enable = "avx2")]
unsafe fn load(at: *const u8) -> __m256i {
    unsafe { _mm256_loadu_si256(at.cast()) }
}

#[inline]
#[target_feature(enable = "avx2,f16c")]
unsafe fn halves(at: *const u16) -> __m256 {
    unsafe { _mm256_cvtph_ps(_mm_loadu_si128(at.cast())) }
}

/// [`super::blocks::quantise_block`].
#[target_feature(enable = "avx2,fma")]
pub unsafe fn quantise_block(x: &[f32], q: &mut [i8]) -> (f32, f32) {
    assert!(x.len() == BLOCK && q.len() == BLOCK);
    // SAFETY: both slices hold 32 values.
    unsafe {
        let magnitude = _mm256_castsi256_ps(_mm256_set1_epi32(0x7fff_ffff));
        let v: [__m256; 4] = std::array::from_fn(|i| _mm256_loadu_ps(x.as_ptr().add(8 * i)));
        let abs = v.map(|v| _mm256_and_ps(v, magnitude));
        let largest = max_of(_mm256_max_ps(_mm256_max_ps(abs[0], abs[1]), _mm256_max_ps(abs[2], abs[3])));
        let scale = largest / ACTIVATION_MAX;
        let inverse = _mm256_set1_ps(if scale > 0.0 { 1.0 / scale } else { 0.0 });
        let i = v.map(|v| _mm256_cvtps_epi32(_mm256_mul_ps(v, inverse)));
        let total = _mm256_add_epi32(_mm256_add_epi32(i[0], i[1]), _mm256_add_epi32(i[2], i[3]));
        // Packing works inside 128-bit halves; the permutation puts the fours back in order.
        let words = [_mm256_packs_epi32(i[0], i[1]), _mm256_packs_epi32(i[2], i[3])];
        let bytes = _mm256_packs_epi16(words[0], words[1]);
        let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
        _mm256_storeu_si256(q.as_mut_ptr().cast(), _mm256_permutevar8x32_epi32(bytes, order));
        let lanes: [i32; 8] = std::mem::transmute(total);
        (scale, scale * lanes.iter().sum::<i32>() as f32)
    }
}

/// The sum of `a[i] * b[i]`; both of the same length.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn dot(a: &[f32], b: &[f32]) -> f32 {
    let length = a.len().min(b.len());
    let mut sums = [_mm256_setzero_ps(); 2];
    let mut at = 0;
    // SAFETY: `at + 16 <= length` at every load.
    unsafe {
        while at + 16 <= length {
            for (half, sum) in sums.iter_mut().enumerate() {
                let from = at + 8 * half;
                *sum = _mm256_fmadd_ps(
                    _mm256_loadu_ps(a.as_ptr().add(from)),
                    _mm256_loadu_ps(b.as_ptr().add(from)),
                    *sum,
                );
            }
            at += 16;
        }
        let mut total = sum_of(_mm256_add_ps(sums[0], sums[1]));
        while at < length {
            total += a[at] * b[at];
            at += 1;
        }
        total
    }
}

/// [`super::simd::Isa::attend`].
#[target_feature(enable = "avx2,fma")]
pub unsafe fn attend(q: &[f32], parts: &[Part<'_>], scores: &mut [f32], out: &mut [f32]) {
    let width = q.len();
    assert!(out.len() == width && scores.len() == parts.iter().map(|p| p.length).sum::<usize>());
    let mut start = 0;
    for part in parts {
        for (at, score) in scores[start..start + part.length].iter_mut().enumerate() {
            // SAFETY: same instructions as this function.
            *score = unsafe { dot(q, part.key(at, width)) };
        }
        start += part.length;
    }
    // SAFETY: same instructions as this function.
    unsafe { softmax(scores) };
    // Eight registers of the output stay put while the positions go by.
    let (wide, rest) = out.as_chunks_mut::<64>();
    for (index, out) in wide.iter_mut().enumerate() {
        // SAFETY: columns `64 index .. 64 index + 64` are in every row of the values.
        unsafe { mix::<8>(parts, scores, index * 64, width, out) };
    }
    let done = wide.len() * 64;
    let (narrow, rest) = rest.as_chunks_mut::<8>();
    for (index, out) in narrow.iter_mut().enumerate() {
        // SAFETY: as above, 8 columns.
        unsafe { mix::<1>(parts, scores, done + index * 8, width, out) };
    }
    let done = done + narrow.len() * 8;
    for (index, out) in rest.iter_mut().enumerate() {
        let values = parts.iter().flat_map(|p| (0..p.length).map(move |at| p.value(at, width)[done + index]));
        *out = scores.iter().zip(values).map(|(w, v)| w * v).sum();
    }
}

/// `out[i] = sum over the positions of weight * value[column + i]`, for `8 * REGISTERS` columns.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn mix<const REGISTERS: usize>(
    parts: &[Part<'_>],
    weights: &[f32],
    column: usize,
    width: usize,
    out: &mut [f32],
) {
    let mut sums = [_mm256_setzero_ps(); REGISTERS];
    let mut start = 0;
    // SAFETY: the caller's `column + 8 * REGISTERS <= width`, and `value` checks that `width` values are there.
    unsafe {
        for part in parts {
            for (at, weight) in weights[start..start + part.length].iter().enumerate() {
                let value = part.value(at, width).as_ptr().add(column);
                let weight = _mm256_set1_ps(*weight);
                for (index, sum) in sums.iter_mut().enumerate() {
                    *sum = _mm256_fmadd_ps(weight, _mm256_loadu_ps(value.add(8 * index)), *sum);
                }
            }
            start += part.length;
        }
        for (index, sum) in sums.iter().enumerate() {
            _mm256_storeu_ps(out.as_mut_ptr().add(8 * index), *sum);
        }
    }
}

/// Replaces `x` by `softmax(x)`.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn softmax(x: &mut [f32]) {
    let largest = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut total = _mm256_setzero_ps();
    let mut chunks = x.chunks_exact_mut(8);
    let mut tail = 0.0;
    // SAFETY: each chunk holds 8 values.
    unsafe {
        let top = _mm256_set1_ps(largest);
        for chunk in &mut chunks {
            let e = exp(_mm256_sub_ps(_mm256_loadu_ps(chunk.as_ptr()), top));
            _mm256_storeu_ps(chunk.as_mut_ptr(), e);
            total = _mm256_add_ps(total, e);
        }
        let rest = chunks.into_remainder();
        for value in rest {
            *value = (*value - largest).exp();
            tail += *value;
        }
        let scale = 1.0 / (sum_of(total) + tail);
        for value in x {
            *value *= scale;
        }
    }
}

/// `gate[i] = silu(gate[i]) * up[i]`; both of the same length.
#[target_feature(enable = "avx2,fma")]
pub unsafe fn silu_times(gate: &mut [f32], up: &[f32]) {
    let mut gates = gate.chunks_exact_mut(8);
    let mut ups = up.chunks_exact(8);
    // SAFETY: each chunk holds 8 values.
    unsafe {
        let one = _mm256_set1_ps(1.0);
        for (gate, up) in (&mut gates).zip(&mut ups) {
            let g = _mm256_loadu_ps(gate.as_ptr());
            let e = exp(_mm256_sub_ps(_mm256_setzero_ps(), g));
            let silu = _mm256_div_ps(g, _mm256_add_ps(one, e));
            _mm256_storeu_ps(gate.as_mut_ptr(), _mm256_mul_ps(silu, _mm256_loadu_ps(up.as_ptr())));
        }
    }
    for (gate, up) in gates.into_remainder().iter_mut().zip(ups.remainder()) {
        *gate = *gate / (1.0 + (-*gate).exp()) * up;
    }
}

/// `e^x` to about one unit in the last place, for x clamped to -87..88.
///
/// `x = n ln 2 + r` with `|r| <= ln 2 / 2`; `e^r` is its Taylor polynomial of degree 7, `2^n` goes to the exponent.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn exp(x: __m256) -> __m256 {
    let x = _mm256_max_ps(_mm256_min_ps(x, _mm256_set1_ps(88.0)), _mm256_set1_ps(-87.0));
    let n = _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(_mm256_mul_ps(
        x,
        _mm256_set1_ps(std::f32::consts::LOG2_E),
    ));
    // ln 2 in two parts: the first has trailing zeros, so that n times it is exact.
    let r = _mm256_fnmadd_ps(n, _mm256_set1_ps(0.693_359_4), x);
    let r = _mm256_fnmadd_ps(n, _mm256_set1_ps(-2.121_944_4e-4), r);
    let coefficients = [1.0 / 5040.0, 1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0];
    let mut p = _mm256_set1_ps(coefficients[0]);
    for c in &coefficients[1..] {
        p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(*c));
    }
    let power = _mm256_slli_epi32::<23>(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)));
    _mm256_mul_ps(p, _mm256_castsi256_ps(power))
}

#[inline]
#[target_feature(enable = "avx2")]
unsafe fn sum_of(v: __m256) -> f32 {
    let four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
    let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps::<1>(two, two)))
}

#[inline]
#[target_feature(enable = "avx2")]
unsafe fn max_of(v: __m256) -> f32 {
    let four = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
    let two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    _mm_cvtss_f32(_mm_max_ss(two, _mm_shuffle_ps::<1>(two, two)))
}
