//! Sixteen f32 at a time, in whatever registers the processor has. The loops above are written once and compiled for each.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

/// Values in one [`Lanes`].
pub const LANES: usize = 16;

/// Sixteen f32.
///
/// # Safety
/// Every method needs the instructions of the implementing type. Functions that are generic over it are inlined into one that
/// is compiled with those instructions, and only a [`super::simd::Isa`] lets that one be called.
pub trait Lanes: Copy {
    /// Sixteen times `value`.
    unsafe fn splat(value: f32) -> Self;
    /// Reads sixteen values.
    unsafe fn load(from: &[f32; LANES]) -> Self;
    /// Writes sixteen values.
    unsafe fn store(self, to: &mut [f32; LANES]);
    /// `self + other`
    unsafe fn add(self, other: Self) -> Self;
    /// `self - other`
    unsafe fn sub(self, other: Self) -> Self;
    /// `self * other`
    unsafe fn mul(self, other: Self) -> Self;
    /// `self / other`
    unsafe fn div(self, other: Self) -> Self;
    /// `self * factor + summand`, rounded once or twice.
    unsafe fn mul_add(self, factor: Self, summand: Self) -> Self;
    /// The larger of each pair.
    unsafe fn max(self, other: Self) -> Self;
    /// The smaller of each pair.
    unsafe fn min(self, other: Self) -> Self;
    /// The nearest whole numbers.
    unsafe fn round(self) -> Self;
    /// `2^self` for whole numbers of -126..=127.
    unsafe fn power_of_two(self) -> Self;

    /// The sum of all sixteen, in pairs.
    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        let mut values = [0.0; LANES];
        // SAFETY: the caller vouches for the instructions, all that these need.
        unsafe { self.store(&mut values) };
        for width in [8, 4, 2, 1] {
            for i in 0..width {
                values[i] += values[i + width];
            }
        }
        values[0]
    }

    /// The largest of all sixteen.
    #[inline(always)]
    unsafe fn largest(self) -> f32 {
        let mut values = [0.0; LANES];
        // SAFETY: the caller vouches for the instructions, all that these need.
        unsafe { self.store(&mut values) };
        values.into_iter().fold(f32::NEG_INFINITY, f32::max)
    }

    /// `e^x` to about one unit in the last place, for x clamped to -87..88.
    ///
    /// `x = n ln 2 + r` with `|r| <= ln 2 / 2`; `e^r` is its Taylor polynomial of degree 7, `2^n` goes to the exponent.
    #[inline(always)]
    unsafe fn exp(self) -> Self {
        // SAFETY: the caller vouches for the instructions, all that these need.
        unsafe {
            let x = Self::splat(-87.0).max(Self::splat(88.0).min(self));
            let n = x.mul(Self::splat(std::f32::consts::LOG2_E)).round();
            // ln 2 in two parts: the first has trailing zeros, so that n times it is exact.
            let r = n.mul_add(Self::splat(-0.693_359_4), x);
            let r = n.mul_add(Self::splat(2.121_944_4e-4), r);
            let mut p = Self::splat(1.0 / 5040.0);
            for c in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
                p = p.mul_add(r, Self::splat(c));
            }
            p.mul(n.power_of_two())
        }
    }
}

/// Plain Rust, on every processor.
#[derive(Clone, Copy)]
pub struct Plain([f32; LANES]);

impl Plain {
    #[inline(always)]
    fn zip(self, other: Self, f: impl Fn(f32, f32) -> f32) -> Self {
        Self(std::array::from_fn(|i| f(self.0[i], other.0[i])))
    }
}

impl Lanes for Plain {
    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        Self([value; LANES])
    }
    #[inline(always)]
    unsafe fn load(from: &[f32; LANES]) -> Self {
        Self(*from)
    }
    #[inline(always)]
    unsafe fn store(self, to: &mut [f32; LANES]) {
        *to = self.0;
    }
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        self.zip(other, |a, b| a + b)
    }
    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        self.zip(other, |a, b| a - b)
    }
    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        self.zip(other, |a, b| a * b)
    }
    #[inline(always)]
    unsafe fn div(self, other: Self) -> Self {
        self.zip(other, |a, b| a / b)
    }
    #[inline(always)]
    unsafe fn mul_add(self, factor: Self, summand: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] * factor.0[i] + summand.0[i]))
    }
    #[inline(always)]
    unsafe fn max(self, other: Self) -> Self {
        self.zip(other, f32::max)
    }
    #[inline(always)]
    unsafe fn min(self, other: Self) -> Self {
        self.zip(other, f32::min)
    }
    #[inline(always)]
    unsafe fn round(self) -> Self {
        Self(self.0.map(f32::round_ties_even))
    }
    #[inline(always)]
    unsafe fn power_of_two(self) -> Self {
        Self(self.0.map(|n| f32::from_bits(((n as i32 + 127) << 23) as u32)))
    }
}

/// Two registers of AVX2 with FMA.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub struct Avx2([__m256; 2]);

/// One register of AVX-512.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub struct Avx512(__m512);

/// Methods of [`Avx2`] that do the same to both halves.
#[cfg(target_arch = "x86_64")]
macro_rules! halves {
    ($($name:ident = $instruction:ident($($other:ident),*);)*) => { $(
        #[inline(always)]
        unsafe fn $name(self $(, $other: Self)*) -> Self {
            // SAFETY: the caller vouches for the instructions, all that these need.
            unsafe {
                Self([$instruction(self.0[0] $(, $other.0[0])*), $instruction(self.0[1] $(, $other.0[1])*)])
            }
        }
    )* };
}

#[cfg(target_arch = "x86_64")]
impl Lanes for Avx2 {
    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        // SAFETY: the caller vouches for the instructions, all that these need.
        unsafe { Self([_mm256_set1_ps(value); 2]) }
    }
    #[inline(always)]
    unsafe fn load(from: &[f32; LANES]) -> Self {
        // SAFETY: the caller vouches for the instructions; sixteen values are there.
        unsafe { Self([_mm256_loadu_ps(from.as_ptr()), _mm256_loadu_ps(from.as_ptr().add(8))]) }
    }
    #[inline(always)]
    unsafe fn store(self, to: &mut [f32; LANES]) {
        // SAFETY: the caller vouches for the instructions; there is room for sixteen values.
        unsafe {
            _mm256_storeu_ps(to.as_mut_ptr(), self.0[0]);
            _mm256_storeu_ps(to.as_mut_ptr().add(8), self.0[1]);
        }
    }
    halves! {
        add = _mm256_add_ps(other);
        sub = _mm256_sub_ps(other);
        mul = _mm256_mul_ps(other);
        div = _mm256_div_ps(other);
        mul_add = _mm256_fmadd_ps(factor, summand);
        max = _mm256_max_ps(other);
        min = _mm256_min_ps(other);
    }
    #[inline(always)]
    unsafe fn round(self) -> Self {
        // SAFETY: the caller vouches for the instructions, all that these need.
        unsafe {
            Self(std::array::from_fn(|i| {
                _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(self.0[i])
            }))
        }
    }
    #[inline(always)]
    unsafe fn power_of_two(self) -> Self {
        // SAFETY: the caller vouches for the instructions, all that these need.
        unsafe {
            Self(std::array::from_fn(|i| {
                let exponent = _mm256_add_epi32(_mm256_cvtps_epi32(self.0[i]), _mm256_set1_epi32(127));
                _mm256_castsi256_ps(_mm256_slli_epi32::<23>(exponent))
            }))
        }
    }
}

/// Methods of [`Avx512`] that are one instruction.
#[cfg(target_arch = "x86_64")]
macro_rules! whole {
    ($($name:ident = $instruction:ident($($other:ident),*);)*) => { $(
        #[inline(always)]
        unsafe fn $name(self $(, $other: Self)*) -> Self {
            // SAFETY: the caller vouches for the instructions, all that these need.
            unsafe { Self($instruction(self.0 $(, $other.0)*)) }
        }
    )* };
}

#[cfg(target_arch = "x86_64")]
impl Lanes for Avx512 {
    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        // SAFETY: the caller vouches for the instructions, all that these need.
        unsafe { Self(_mm512_set1_ps(value)) }
    }
    #[inline(always)]
    unsafe fn load(from: &[f32; LANES]) -> Self {
        // SAFETY: the caller vouches for the instructions; sixteen values are there.
        unsafe { Self(_mm512_loadu_ps(from.as_ptr())) }
    }
    #[inline(always)]
    unsafe fn store(self, to: &mut [f32; LANES]) {
        // SAFETY: the caller vouches for the instructions; there is room for sixteen values.
        unsafe { _mm512_storeu_ps(to.as_mut_ptr(), self.0) }
    }
    whole! {
        add = _mm512_add_ps(other);
        sub = _mm512_sub_ps(other);
        mul = _mm512_mul_ps(other);
        div = _mm512_div_ps(other);
        mul_add = _mm512_fmadd_ps(factor, summand);
        max = _mm512_max_ps(other);
        min = _mm512_min_ps(other);
    }
    #[inline(always)]
    unsafe fn round(self) -> Self {
        // SAFETY: the caller vouches for the instructions, all that these need.
        unsafe { Self(_mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(self.0)) }
    }
    #[inline(always)]
    unsafe fn power_of_two(self) -> Self {
        // SAFETY: the caller vouches for the instructions, all that these need.
        unsafe {
            let exponent = _mm512_add_epi32(_mm512_cvtps_epi32(self.0), _mm512_set1_epi32(127));
            Self(_mm512_castsi512_ps(_mm512_slli_epi32::<23>(exponent)))
        }
    }
}
