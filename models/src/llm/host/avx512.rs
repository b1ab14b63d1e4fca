//! The inner loops in AVX-512 instructions, its byte products (VNNI) among them.
//!
//! Public functions here are `unsafe` for one reason only: the processor must have these instructions, of which
//! [`super::simd::Isa`] is the token. Slices are indexed through pointers where the lengths are asserted at entry.

#![cfg(target_arch = "x86_64")]

use std::arch::x86_64::*;

use super::attention::{self, Query, Span};
use super::blocks::{Activations, BLOCK, PANEL, PanelBlock};
use super::lanes::Avx512;

/// [`super::blocks::panel_product`] for `ROWS` rows at once.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
pub unsafe fn panel_product<const ROWS: usize>(
    panel: &[PanelBlock],
    rows: &Activations,
    first: usize,
    out: &mut [[f32; PANEL]; ROWS],
) {
    let blocks = panel.len();
    assert!(rows.q.len() >= (first + ROWS) * blocks * BLOCK, "too few activations");
    assert!(rows.scale.len() >= (first + ROWS) * blocks && rows.sum.len() >= (first + ROWS) * blocks);
    let mut sums = [_mm512_setzero_ps(); ROWS];
    for (index, block) in panel.iter().enumerate() {
        // SAFETY: a block holds 8 groups of 64 weight bytes, aligned as it is: 64 bytes of steps and minima stand before
        // them. By the asserts each row has 32 bytes of activations, a scale and a sum at this place.
        unsafe {
            let weights: [__m512i; 8] =
                std::array::from_fn(|group| _mm512_load_si512(block.q.as_ptr().add(group * 64).cast()));
            let step = halves(&block.step);
            let min = halves(&block.min);
            for (row, sums) in sums.iter_mut().enumerate() {
                let at = (first + row) * blocks + index;
                let activations = rows.q.as_ptr().add(at * BLOCK).cast::<i32>();
                let mut dot = _mm512_setzero_si512();
                for (group, weights) in weights.iter().enumerate() {
                    let four = _mm512_set1_epi32(activations.add(group).read_unaligned());
                    dot = _mm512_dpbusd_epi32(dot, *weights, four);
                }
                let scale = _mm512_set1_ps(*rows.scale.get_unchecked(at));
                let sum = _mm512_set1_ps(*rows.sum.get_unchecked(at));
                let scaled = _mm512_fmadd_ps(_mm512_mul_ps(step, scale), _mm512_cvtepi32_ps(dot), *sums);
                *sums = _mm512_fmadd_ps(min, sum, scaled);
            }
        }
    }
    for (out, sums) in out.iter_mut().zip(&sums) {
        // SAFETY: `out` holds 16 values.
        unsafe { _mm512_storeu_ps(out.as_mut_ptr(), *sums) };
    }
}

/// 16 values of half precision.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn halves(values: &[u16; PANEL]) -> __m512 {
    // SAFETY: the array holds 16 values of 16 bits; they need not be aligned.
    unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(values.as_ptr().cast())) }
}

attention::compiled!(Avx512, "avx512f");
