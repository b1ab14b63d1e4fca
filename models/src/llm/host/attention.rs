//! Attention of a few queries at once to the keys and values of one head, and the other loops over f32.
//!
//! Keys lie in panels of sixteen positions, so that sixteen scores come out of one register; up to four queries share what is
//! read. All functions that are generic over [`Lanes`] are `unsafe` for its reason only.

use super::lanes::{LANES, Lanes};

/// Queries that are worked on together.
pub const TILE: usize = 4;

/// Keys and values of one head, position after position.
#[derive(Clone, Default)]
pub struct Head {
    /// `[positions / 16, width]` of sixteen positions each, rounded up.
    keys: Vec<[f32; LANES]>,
    /// `[positions, width]`
    values: Vec<f32>,
    length: usize,
}

impl Head {
    /// Adds one position: `key [width]` and `value [width]`.
    pub fn push(&mut self, key: &[f32], value: &[f32]) {
        let (panel, lane) = (self.length / LANES, self.length % LANES);
        if lane == 0 {
            self.keys.resize((panel + 1) * key.len(), [0.0; LANES]);
        }
        for (keys, key) in self.keys[panel * key.len()..].iter_mut().zip(key) {
            keys[lane] = *key;
        }
        self.values.extend_from_slice(value);
        self.length += 1;
    }

    /// Takes the last `positions` back.
    pub fn forget(&mut self, positions: usize) {
        let Some(width) = self.values.len().checked_div(self.length) else { return };
        self.length = self.length.saturating_sub(positions);
        self.values.truncate(self.length * width);
        // What is left in the last panel is written over.
        self.keys.truncate(self.length.div_ceil(LANES) * width);
    }

    /// Positions.
    pub fn length(&self) -> usize {
        self.length
    }
}

/// One query and what it may see.
#[derive(Clone, Copy)]
pub struct Query<'a> {
    /// `[width]`, scaled.
    pub q: &'a [f32],
    /// It sees this many positions from the first.
    pub visible: usize,
}

/// The leading positions of a head.
#[derive(Clone, Copy)]
pub struct Span<'a> {
    head: &'a Head,
    length: usize,
}

impl<'a> Span<'a> {
    /// The first `length` positions of `head`, or all if it has fewer.
    pub fn new(head: &'a Head, length: usize) -> Self {
        Self { head, length: length.min(head.length) }
    }

    fn panels(&self) -> usize {
        self.length.div_ceil(LANES)
    }
}

/// `out[i] = softmax(queries[i] . keys) values` over the positions of `spans`, one span after the other; `out [Q, width]`.
///
/// The width is a multiple of [`LANES`], and every query sees at least one position. `scores` is room that is used again. A
/// query's result depends neither on the other queries nor on where one span ends and the next begins.
#[inline(always)]
pub unsafe fn attend<L: Lanes, const Q: usize>(
    queries: &[Query<'_>; Q],
    spans: &[Span<'_>],
    scores: &mut Vec<f32>,
    out: &mut [f32],
) {
    let width = queries[0].q.len();
    assert!(width.is_multiple_of(LANES) && queries.iter().all(|query| query.q.len() == width));
    assert!(out.len() == Q * width);
    let positions: usize = spans.iter().map(|span| span.length).sum();
    // A row of scores for each query, by position; the last panel of a span may reach over its end.
    let stride = positions.next_multiple_of(LANES) + LANES;
    scores.resize(Q * stride, 0.0);
    let mut start = 0;
    for span in spans {
        // SAFETY: the caller vouches for the instructions of `L`, all that is asked for.
        unsafe { score::<L, Q>(queries, span, scores, stride, start) };
        start += span.length;
    }
    for (query, scores) in queries.iter().zip(scores.chunks_exact_mut(stride)) {
        let visible = query.visible.min(positions);
        scores[visible..].fill(f32::NEG_INFINITY);
        // SAFETY: the caller vouches for the instructions of `L`, all that is asked for.
        unsafe { softmax::<L>(scores.as_chunks_mut().0) };
        scores[visible..].fill(0.0);
    }
    let mut column = 0;
    while column < width {
        // Sixteen registers of results stay put while the positions go by.
        // SAFETY: the caller vouches for the instructions of `L`, all that is asked for.
        unsafe {
            if width - column >= 4 * LANES {
                mix::<L, Q, 4>(spans, scores, stride, column, width, out);
                column += 4 * LANES;
            } else {
                mix::<L, Q, 1>(spans, scores, stride, column, width, out);
                column += LANES;
            }
        }
    }
}

/// The products of all queries with the keys of `span`, to the places from `start` on of `scores [Q, stride]`.
#[inline(always)]
unsafe fn score<L: Lanes, const Q: usize>(
    queries: &[Query<'_>; Q],
    span: &Span<'_>,
    scores: &mut [f32],
    stride: usize,
    start: usize,
) {
    let width = queries[0].q.len();
    let (keys, count) = (&span.head.keys, span.panels());
    let mut at = 0;
    while at < count {
        // Two panels at a time: with one, the sums would wait for each other.
        let both = at + 2 <= count;
        let first = &keys[at * width..(at + 1) * width];
        let second = if both { &keys[(at + 1) * width..(at + 2) * width] } else { first };
        // SAFETY: the caller vouches for the instructions of `L`, all that is asked for.
        unsafe {
            let mut sums = [[L::splat(0.0); 2]; Q];
            for (index, (first, second)) in first.iter().zip(second).enumerate() {
                let (first, second) = (L::load(first), L::load(second));
                for (query, sums) in queries.iter().zip(&mut sums) {
                    let q = L::splat(query.q[index]);
                    *sums = [q.mul_add(first, sums[0]), q.mul_add(second, sums[1])];
                }
            }
            for (index, sums) in sums.into_iter().enumerate() {
                let scores = &mut scores[index * stride + start + at * LANES..];
                let (panels, _) = scores.as_chunks_mut::<LANES>();
                sums[0].store(&mut panels[0]);
                if both {
                    sums[1].store(&mut panels[1]);
                }
            }
        }
        at += 2;
    }
}

/// Replaces `x` by `softmax(x)`.
#[inline(always)]
unsafe fn softmax<L: Lanes>(x: &mut [[f32; LANES]]) {
    // SAFETY: the caller vouches for the instructions of `L`, all that is asked for.
    unsafe {
        let mut top = L::splat(f32::NEG_INFINITY);
        for x in &*x {
            top = top.max(L::load(x));
        }
        let top = L::splat(top.largest());
        let mut total = L::splat(0.0);
        for x in &mut *x {
            let e = L::load(x).sub(top).exp();
            e.store(x);
            total = total.add(e);
        }
        let scale = L::splat(1.0 / total.sum());
        for x in x {
            L::load(x).mul(scale).store(x);
        }
    }
}

/// `out[i][column..] = sum over the positions of weights[i] * value`, for `R` times sixteen columns; `out [Q, width]`.
#[inline(always)]
unsafe fn mix<L: Lanes, const Q: usize, const R: usize>(
    spans: &[Span<'_>],
    weights: &[f32],
    stride: usize,
    column: usize,
    width: usize,
    out: &mut [f32],
) {
    // SAFETY: the caller vouches for the instructions of `L`, all that is asked for.
    unsafe {
        let mut sums = [[L::splat(0.0); R]; Q];
        let mut start = 0;
        for span in spans {
            let values = span.head.values.chunks_exact(width).take(span.length);
            for (at, value) in values.enumerate() {
                let (value, _) = value[column..column + R * LANES].as_chunks::<LANES>();
                let value: [L; R] = std::array::from_fn(|r| L::load(&value[r]));
                for (index, sums) in sums.iter_mut().enumerate() {
                    let weight = L::splat(weights[index * stride + start + at]);
                    for (sum, value) in sums.iter_mut().zip(value) {
                        *sum = weight.mul_add(value, *sum);
                    }
                }
            }
            start += span.length;
        }
        for (out, sums) in out.chunks_exact_mut(width).zip(sums) {
            let (out, _) = out[column..column + R * LANES].as_chunks_mut::<LANES>();
            for (out, sum) in out.iter_mut().zip(sums) {
                sum.store(out);
            }
        }
    }
}

/// `gate[i] = silu(gate[i]) * up[i]`; both of the same length, a multiple of [`LANES`].
#[inline(always)]
pub unsafe fn silu_times<L: Lanes>(gate: &mut [f32], up: &[f32]) {
    let ((gates, _), (ups, _)) = (gate.as_chunks_mut::<LANES>(), up.as_chunks::<LANES>());
    for (gate, up) in gates.iter_mut().zip(ups) {
        // SAFETY: the caller vouches for the instructions of `L`, all that is asked for.
        unsafe {
            let g = L::load(gate);
            let e = L::splat(0.0).sub(g).exp();
            g.div(L::splat(1.0).add(e)).mul(L::load(up)).store(gate);
        }
    }
}

/// The sum of `e^(x[i] - top)`.
#[inline(always)]
pub unsafe fn sum_of_exp<L: Lanes>(x: &[f32], top: f32) -> f32 {
    let (chunks, rest) = x.as_chunks::<LANES>();
    // SAFETY: the caller vouches for the instructions of `L`, all that is asked for.
    let total = unsafe {
        let top = L::splat(top);
        let mut total = L::splat(0.0);
        for x in chunks {
            total = total.add(L::load(x).sub(top).exp());
        }
        total.sum()
    };
    total + rest.iter().map(|x| (x - top).exp()).sum::<f32>()
}

/// The functions above for one kind of [`Lanes`], compiled with the instructions that it needs.
#[cfg(target_arch = "x86_64")]
macro_rules! compiled {
    ($lanes:ty, $features:literal) => {
        /// [`attention::attend`].
        #[target_feature(enable = $features)]
        pub unsafe fn attend<const Q: usize>(
            queries: &[Query<'_>; Q],
            spans: &[Span<'_>],
            scores: &mut Vec<f32>,
            out: &mut [f32],
        ) {
            // SAFETY: this function is compiled with the instructions of these lanes and called only where they are.
            unsafe { attention::attend::<$lanes, Q>(queries, spans, scores, out) }
        }

        /// [`attention::silu_times`].
        #[target_feature(enable = $features)]
        pub unsafe fn silu_times(gate: &mut [f32], up: &[f32]) {
            // SAFETY: this function is compiled with the instructions of these lanes and called only where they are.
            unsafe { attention::silu_times::<$lanes>(gate, up) }
        }

        /// [`attention::sum_of_exp`].
        #[target_feature(enable = $features)]
        pub unsafe fn sum_of_exp(x: &[f32], top: f32) -> f32 {
            // SAFETY: this function is compiled with the instructions of these lanes and called only where they are.
            unsafe { attention::sum_of_exp::<$lanes>(x, top) }
        }
    };
}
#[cfg(target_arch = "x86_64")]
pub(super) use compiled;

#[cfg(test)]
mod tests {
    use super::super::pseudo_random;
    use super::super::simd::Isa;
    use super::*;

    /// One query over plain lists of keys and values, in f64.
    fn expected(q: &[f32], keys: &[f32], values: &[f32], visible: usize) -> Vec<f64> {
        let width = q.len();
        let dot = |k: &[f32]| q.iter().zip(k).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
        let scores: Vec<f64> = keys.chunks_exact(width).take(visible).map(dot).map(f64::exp).collect();
        let total: f64 = scores.iter().sum();
        let column = |c: usize| {
            scores.iter().zip(values.chunks_exact(width)).map(|(s, v)| s * f64::from(v[c])).sum::<f64>()
                / total
        };
        (0..width).map(column).collect()
    }

    #[test]
    fn queries_see_what_they_may_on_every_processor() {
        // A shared prefix and what came after it; panels that are full, begun and missing.
        for (width, shared, own) in [(16, 5, 0), (64, 16, 3), (80, 33, 17), (128, 0, 20), (64, 31, 48)] {
            let total = shared + own;
            let (keys, values) = (pseudo_random(total * width, 1), pseudo_random(total * width, 2));
            let mut heads = [Head::default(), Head::default()];
            let mut whole = Head::default();
            for (at, (k, v)) in keys.chunks_exact(width).zip(values.chunks_exact(width)).enumerate() {
                heads[usize::from(at >= shared)].push(k, v);
                whole.push(k, v);
            }
            let spans = [Span::new(&heads[0], shared), Span::new(&heads[1], own)];
            let q = pseudo_random(TILE * width, 3);
            let visible = [total, 1, total / 2 + 1, total.min(shared + 1)];
            for isa in Isa::all() {
                for count in 1..=TILE {
                    let queries: Vec<Query<'_>> = q
                        .chunks_exact(width)
                        .zip(visible)
                        .take(count)
                        .map(|(q, visible)| Query { q, visible })
                        .collect();
                    let mut out = vec![0.0; count * width];
                    isa.attend(&queries, &spans, &mut Vec::new(), &mut out);
                    for (query, out) in queries.iter().zip(out.chunks_exact(width)) {
                        let expected = expected(query.q, &keys, &values, query.visible);
                        for (a, b) in out.iter().zip(expected) {
                            assert!((f64::from(*a) - b).abs() < 1e-5, "{isa:?} {width} {count}: {a} {b}");
                        }
                    }
                    // Not even the last bit depends on the neighbours, or on how the positions are shared.
                    let mut alone = vec![0.0; width];
                    isa.attend(&queries[..1], &spans, &mut Vec::new(), &mut alone);
                    assert_eq!(alone, out[..width], "{isa:?} {width} {count}");
                    let mut again = vec![0.0; count * width];
                    isa.attend(&queries, &[Span::new(&whole, total)], &mut Vec::new(), &mut again);
                    assert_eq!(again, out, "{isa:?} {width} {count}");
                }
            }
        }
    }

    #[test]
    fn exponentials_are_right_to_the_last_digits_on_every_processor() {
        let x: Vec<f32> = (0..333).map(|i| i as f32 * 0.25 - 60.0).collect();
        let top = 23.0;
        let exact: f64 = x.iter().map(|x| f64::from(x - top).exp()).sum();
        for isa in Isa::all() {
            let sum = f64::from(isa.sum_of_exp(&x, top));
            assert!((sum / exact - 1.0).abs() < 1e-6, "{isa:?}: {sum} {exact}");
            let mut gate: Vec<f32> = (0..48).map(|i| i as f32 * 0.5 - 12.0).collect();
            let before = gate.clone();
            isa.silu_times(&mut gate, &[2.0; 48]);
            for (x, y) in before.iter().zip(gate) {
                let exact = 2.0 * f64::from(*x) / (1.0 + f64::from(-x).exp());
                assert!((f64::from(y) - exact).abs() < 1e-6 * exact.abs().max(1.0), "{isa:?}: {y} {exact}");
            }
        }
    }
}
