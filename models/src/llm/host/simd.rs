//! The inner loops by what the processor offers, found out at run time: AVX-512 with byte products, AVX2 with FMA and F16C,
//! or portable Rust.

use rayon::prelude::*;

use super::attention::{self, Query, Span};
use super::blocks::{self, Activations, BLOCK, PANEL, PanelBlock};
use super::lanes::Plain;
#[cfg(target_arch = "x86_64")]
use super::{avx2, avx512};

/// The instructions that the inner loops use: a token that says that this processor has them.
///
/// [`Isa::all`] alone makes one of more than plain Rust, after asking the processor; the field is private for that reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Isa(Level);

/// What an [`Isa`] stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    /// Plain Rust, on every processor.
    Portable,
    /// 256-bit integers and floats.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// 512-bit integers and floats with byte products (VNNI), and all of [`Level::Avx2`].
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

/// Calls a function that is generic over a number with one of 1..=8, which `$count` must be.
macro_rules! with_count {
    ($count:expr, $call:ident, $($n:literal)*) => {
        match $count {
            $($n => $call!($n),)*
            _ => {}
        }
    };
}

impl Isa {
    /// Plain Rust, which every processor has.
    pub fn portable() -> Self {
        Self(Level::Portable)
    }

    /// The best that this processor has.
    pub fn detect() -> Self {
        Self::all().pop().unwrap_or(Self::portable())
    }

    /// All that this processor has, the best one last.
    pub fn all() -> Vec<Self> {
        #[allow(unused_mut, reason = "other processors have one only")]
        let mut all = vec![Self::portable()];
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c")
        {
            all.push(Self(Level::Avx2));
            if is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512vnni")
            {
                all.push(Self(Level::Avx512));
            }
        }
        all
    }

    /// One panel's outputs for the rows from `first` on, one for each of `out`.
    pub fn panel_product(
        self,
        panel: &[PanelBlock],
        rows: &Activations,
        first: usize,
        out: &mut [[f32; PANEL]],
    ) {
        // As many rows at once as there are registers for their sums: the weights are read once for all of them.
        match self.0 {
            Level::Portable => blocks::panel_product(panel, rows, first, out),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => {
                for (index, out) in out.chunks_mut(4).enumerate() {
                    let first = first + 4 * index;
                    macro_rules! call {
                        ($n:literal) => {
                            // SAFETY: `Isa::all` makes this level only where the processor has AVX2, FMA and F16C.
                            unsafe { avx2::panel_product::<$n>(panel, rows, first, exactly(out)) }
                        };
                    }
                    with_count!(out.len(), call, 1 2 3 4);
                }
            }
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => {
                for (index, out) in out.chunks_mut(8).enumerate() {
                    let first = first + 8 * index;
                    macro_rules! call {
                        ($n:literal) => {
                            // SAFETY: `Isa::all` makes this level only where the processor has these parts of AVX-512.
                            unsafe { avx512::panel_product::<$n>(panel, rows, first, exactly(out)) }
                        };
                    }
                    with_count!(out.len(), call, 1 2 3 4 5 6 7 8);
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
                (scale[index], sum[index]) = match self.0 {
                    Level::Portable => blocks::quantise_block(x, q),
                    #[cfg(target_arch = "x86_64")]
                    // SAFETY: `Isa::all` makes both levels only where the processor has AVX2 and FMA.
                    Level::Avx2 | Level::Avx512 => unsafe { avx2::quantise_block(x, q) },
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

    /// [`attention::attend`] for up to [`attention::TILE`] queries.
    pub fn attend(self, queries: &[Query<'_>], spans: &[Span<'_>], scores: &mut Vec<f32>, out: &mut [f32]) {
        macro_rules! call {
            ($n:literal) => {{
                let queries: &[Query<'_>; $n] = queries.try_into().expect("the length was matched");
                // SAFETY: `Isa::all` makes a level only where the processor has its instructions.
                unsafe {
                    match self.0 {
                        Level::Portable => attention::attend::<Plain, $n>(queries, spans, scores, out),
                        #[cfg(target_arch = "x86_64")]
                        Level::Avx2 => avx2::attend(queries, spans, scores, out),
                        #[cfg(target_arch = "x86_64")]
                        Level::Avx512 => avx512::attend(queries, spans, scores, out),
                    }
                }
            }};
        }
        debug_assert!(queries.len() <= attention::TILE);
        with_count!(queries.len(), call, 1 2 3 4);
    }

    /// `gate[i] = silu(gate[i]) * up[i]`; both of the same length, a multiple of 16.
    pub fn silu_times(self, gate: &mut [f32], up: &[f32]) {
        // SAFETY: `Isa::all` makes a level only where the processor has its instructions.
        unsafe {
            match self.0 {
                Level::Portable => attention::silu_times::<Plain>(gate, up),
                #[cfg(target_arch = "x86_64")]
                Level::Avx2 => avx2::silu_times(gate, up),
                #[cfg(target_arch = "x86_64")]
                Level::Avx512 => avx512::silu_times(gate, up),
            }
        }
    }

    /// The sum of `e^(x[i] - top)`.
    pub fn sum_of_exp(self, x: &[f32], top: f32) -> f32 {
        // SAFETY: `Isa::all` makes a level only where the processor has its instructions.
        unsafe {
            match self.0 {
                Level::Portable => attention::sum_of_exp::<Plain>(x, top),
                #[cfg(target_arch = "x86_64")]
                Level::Avx2 => avx2::sum_of_exp(x, top),
                #[cfg(target_arch = "x86_64")]
                Level::Avx512 => avx512::sum_of_exp(x, top),
            }
        }
    }
}

/// `out` as the array that its length, which the caller has matched, makes it.
#[cfg(target_arch = "x86_64")]
fn exactly<const N: usize>(out: &mut [[f32; PANEL]]) -> &mut [[f32; PANEL]; N] {
    out.try_into().expect("the length was matched")
}
