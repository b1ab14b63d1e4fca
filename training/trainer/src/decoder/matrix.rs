//! Products of row-major f32 matrices, as whole or in part, on all threads.

use gemm::Parallelism;

/// A matrix in somebody's memory: value `(i, j)` stands at `i * row + j * column`.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    data: &'a [f32],
    rows: usize,
    columns: usize,
    row: usize,
    column: usize,
}

impl<'a> View<'a> {
    /// `[rows, columns]` without gaps.
    pub(super) fn new(data: &'a [f32], rows: usize, columns: usize) -> Self {
        Self::part(data, rows, columns, columns)
    }

    /// The first `columns` of rows that are `row` values apart.
    pub(super) fn part(data: &'a [f32], rows: usize, columns: usize, row: usize) -> Self {
        Self { data, rows, columns, row, column: 1 }
    }

    /// Transposed.
    pub(super) fn t(self) -> Self {
        Self { rows: self.columns, columns: self.rows, row: self.column, column: self.row, ..self }
    }

    fn fits(&self) -> bool {
        let last = |n: usize| n.saturating_sub(1);
        let end = last(self.rows) * self.row + last(self.columns) * self.column + 1;
        self.rows == 0 || self.columns == 0 || end <= self.data.len()
    }
}

/// What a product does with what stood there before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Into {
    /// It is replaced.
    Set,
    /// It is added to.
    Add,
}

/// `out = scale a b`, or added to it; the rows of `out` are `row` values apart.
pub(super) fn product(
    out: &mut [f32],
    row: usize,
    (a, b): (View<'_>, View<'_>),
    scale: f32,
    into: Into,
    threads: usize,
) {
    let (m, n, k) = (a.rows, b.columns, a.columns);
    if m == 0 || n == 0 || k == 0 {
        return;
    }
    assert!(k == b.rows && a.fits() && b.fits(), "factors that fit");
    assert!((m - 1) * row + n <= out.len() && n <= row, "a place for the product");
    let parallelism = if threads > 1 { Parallelism::Rayon(threads) } else { Parallelism::None };
    let stride = |n: usize| n as isize;
    // SAFETY: the asserts above keep every access inside the three slices, and `out` is borrowed alone.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            stride(row),
            into == Into::Add,
            a.data.as_ptr(),
            stride(a.column),
            stride(a.row),
            b.data.as_ptr(),
            stride(b.column),
            stride(b.row),
            1.0,
            scale,
            false,
            false,
            false,
            parallelism,
        );
    }
}

/// `a b` on all threads, `[a's rows, b's columns]`.
pub(super) fn times(a: View<'_>, b: View<'_>) -> Vec<f32> {
    let mut out = vec![0.0; a.rows * b.columns];
    product(&mut out, b.columns, (a, b), 1.0, Into::Set, threads());
    out
}

/// Threads of the pool.
pub(super) fn threads() -> usize {
    rayon::current_num_threads()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_and_transposes_multiply_as_written() {
        // a = [1 2; 3 4] in rows of 3, b^T = [5 6; 7 8].
        let (a, b) = ([1., 2., 9., 3., 4.], [5., 6., 7., 8.]);
        let a = View::part(&a, 2, 2, 3);
        let b = View::new(&b, 2, 2);
        assert_eq!(times(a, b.t()), [17., 23., 39., 53.]);
        assert_eq!(times(a.t(), b), [26., 30., 38., 44.]);
        let mut out = [1.0, 1.0, -1.0, 1.0, 1.0];
        product(&mut out, 3, (a, b.t()), 2.0, Into::Add, 1);
        assert_eq!(out, [35., 47., -1., 79., 107.]);
    }
}
