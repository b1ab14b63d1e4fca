//! A linear layer in 7-bit blocks, its panels shared out among the threads.

use rayon::prelude::*;

use super::blocks::{Activations, BlockMatrix, PANEL};
use super::simd::Isa;

/// What a product does with the values that are there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Store {
    /// Replaces them.
    Set,
    /// Adds to them: the residual connection.
    Add,
}

/// The address of the output matrix, for threads that write different columns of it.
#[derive(Clone, Copy)]
struct Columns(*mut f32);
// SAFETY: the address outlives the tasks that it is sent to, as `product` waits for them, and each panel's task writes its
// own 16 columns only.
unsafe impl Send for Columns {}
// SAFETY: tasks that share the address write different columns, as above, and none reads another's.
unsafe impl Sync for Columns {}

impl Columns {
    /// The address of the value at `index`.
    ///
    /// # Safety
    /// `index` must be inside the matrix.
    unsafe fn at(self, index: usize) -> *mut f32 {
        // SAFETY: the caller vouches for an index inside the matrix, which is one allocation.
        unsafe { self.0.add(index) }
    }
}

/// Rows that a panel is multiplied with before the next panel is fetched: their activations stay in the L2 cache.
const ROWS: usize = 64;

/// `out [rows, outputs] = activations [rows, inputs] * weight^T`, or added to `out`.
pub fn product(isa: Isa, weight: &BlockMatrix, activations: &Activations, out: &mut [f32], store: Store) {
    let (outputs, panels) = (weight.outputs(), weight.panels());
    let rows = out.len() / outputs;
    let columns = Columns(out.as_mut_ptr());
    let threads = rayon::current_num_threads();
    // A wake-up costs as much as a few hundred thousand products; larger work is cut finer, to even out the threads.
    let work = rows * outputs * weight.inputs();
    let pieces = if work < 1 << 23 { threads } else { 4 * threads };
    (0..panels).into_par_iter().with_min_len(panels.div_ceil(pieces)).for_each(|panel| {
        let blocks = weight.panel(panel);
        let lanes = PANEL.min(outputs - panel * PANEL);
        let mut sums = [[0.0; PANEL]; ROWS];
        for first in (0..rows).step_by(ROWS) {
            let count = ROWS.min(rows - first);
            isa.panel_product(blocks, activations, first, &mut sums[..count]);
            for (row, sums) in (first..).zip(&sums[..count]) {
                let at = row * outputs + panel * PANEL;
                // SAFETY: `row < rows` and the panel's columns end at `outputs`, so the values are inside `out`, which this
                // call borrows alone; no other panel has these columns.
                let target = unsafe { std::slice::from_raw_parts_mut(columns.at(at), lanes) };
                for (target, sum) in target.iter_mut().zip(sums) {
                    *target = if store == Store::Add { *target + sum } else { *sum };
                }
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::super::pseudo_random;
    use super::*;

    #[test]
    fn products_are_close_to_f32_and_equal_on_every_processor() {
        // Rows are taken up to eight at a time.
        for rows in 1..=11 {
            products_of(rows);
        }
    }

    fn products_of(rows: usize) {
        let (inputs, outputs) = (96, 41);
        let (w, x) = (pseudo_random(outputs * inputs, 1), pseudo_random(rows * inputs, 2));
        let mut weight = BlockMatrix::new(inputs);
        weight.push(&w);
        let run = |isa: Isa| {
            let mut activations = Activations::default();
            isa.quantise(&x, inputs, inputs, &mut activations, |to, from| to.copy_from_slice(from));
            let mut out = vec![1.0; rows * outputs];
            product(isa, &weight, &activations, &mut out, Store::Add);
            out
        };
        let portable = run(Isa::portable());
        for isa in Isa::all() {
            for (index, (a, b)) in portable.iter().zip(&run(isa)).enumerate() {
                assert!((a - b).abs() < 1e-5, "{isa:?} {index}: {a} {b}");
            }
        }
        for (index, a) in portable.iter().enumerate() {
            let (row, output) = (index / outputs, index % outputs);
            let pairs = x[row * inputs..].iter().zip(&w[output * inputs..]).take(inputs);
            let exact = 1.0 + pairs.map(|(a, b)| a * b).sum::<f32>();
            // Each of 96 products is off by about 0.5 % of 1/3, independently.
            assert!((a - exact).abs() < 0.15, "{index}: {a} {exact}");
        }
    }

    #[test]
    fn the_largest_products_do_not_overflow() {
        let mut weight = BlockMatrix::new(32);
        let mut row = [1.0; 32];
        row[5] = 0.0;
        weight.push(&row);
        for (sign, isa) in
            [1.0, -1.0].into_iter().flat_map(|sign| Isa::all().into_iter().map(move |isa| (sign, isa)))
        {
            let mut activations = Activations::default();
            isa.quantise(&[sign; 32], 32, 32, &mut activations, |to, from| to.copy_from_slice(from));
            let mut out = [0.0];
            product(isa, &weight, &activations, &mut out, Store::Set);
            assert!((out[0] - 31.0 * sign).abs() < 1e-2, "{}", out[0]);
        }
    }

    #[test]
    fn four_bit_weights_keep_their_value() {
        use super::super::blocks::PanelBlock;
        let (step, min) = (half::f16::from_f32(0.0123).to_f32(), half::f16::from_f32(-0.087).to_f32());
        let row: Vec<f32> = (0..32).map(|i| min + step * ((i * 7) % 16) as f32).collect();
        let mut weight = BlockMatrix::new(32);
        weight.push(&row);
        let block: &PanelBlock = &weight.panel(0)[0];
        for (input, w) in row.iter().enumerate() {
            assert!((block.weight(0, input) - w).abs() < step * 0.01, "{input}");
        }
    }
}
