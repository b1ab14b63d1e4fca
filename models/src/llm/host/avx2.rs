//! The inner loops in AVX2, FMA and F16C instructions.
//!
//! Public functions here are `unsafe` for one reason only: the processor must have these instructions, of which
//! [`super::simd::Isa`] is the token. Slices are indexed through pointers where the lengths are asserted at entry.

#![cfg(target_arch = "x86_64")]

use std::arch::x86_64::*;

use super::attention::{self, Query, Span};
use super::blocks::{ACTIVATION_MAX, Activations, BLOCK, PANEL, PanelBlock};
use super::lanes::Avx2;

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
        // SAFETY: a block holds 8 groups of 64 weight bytes and 16 steps and minima. By the asserts each row has 32 bytes of
        // activations, a scale and a sum at this place.
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
    // SAFETY: the caller vouches for 32 bytes at this address; they need not be aligned.
    unsafe { _mm256_loadu_si256(at.cast()) }
}

#[inline]
#[target_feature(enable = "avx2,f16c")]
unsafe fn halves(at: *const u16) -> __m256 {
    // SAFETY: the caller vouches for eight values of 16 bits at this address; they need not be aligned.
    unsafe { _mm256_cvtph_ps(_mm_loadu_si128(at.cast())) }
}

/// [`super::blocks::quantise_block`].
#[target_feature(enable = "avx2,fma")]
pub unsafe fn quantise_block(x: &[f32], q: &mut [i8]) -> (f32, f32) {
    assert!(x.len() == BLOCK && q.len() == BLOCK);
    // SAFETY: by the assert both slices hold 32 values. The cast only renames a register's 256 bits as eight numbers.
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

#[inline]
#[target_feature(enable = "avx2")]
unsafe fn max_of(v: __m256) -> f32 {
    let four = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
    let two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    _mm_cvtss_f32(_mm_max_ss(two, _mm_shuffle_ps::<1>(two, two)))
}

attention::compiled!(Avx2, "avx2,fma");
