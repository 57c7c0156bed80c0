//! The draws' matrix product: weights packed once, times a tile of columns.
//!
//! Every output is one chain of fused multiply-adds in the order of the inputs, so draws have the same
//! bits on every machine.

use super::kernel::{COLS, Tile, pieces, widest};

/// Columns (draws) handled together.
pub(crate) const TILE: usize = COLS;

/// Weights of consecutive units packed for [`Panel::multiply`], in pieces of rows, each `[input, row]`.
#[derive(Debug, Clone)]
pub(crate) struct Panel {
    packed: Vec<f32>,
    rows: usize,
    inputs: usize,
}

impl Panel {
    /// `weights` `[rows, inputs]`, row-major.
    pub fn new(weights: &[f32], rows: usize, inputs: usize) -> Self {
        let mut packed = Vec::with_capacity(rows * inputs);
        let mut row = 0;
        for n in pieces(rows) {
            for input in 0..inputs {
                packed.extend((row..row + n).map(|row| weights[row * inputs + input]));
            }
            row += n;
        }
        Self { packed, rows, inputs }
    }

    /// `out += W x` for `x` `[inputs, TILE]` and `out` `[rows, TILE]`.
    pub fn multiply(&self, x: &[f32], out: &mut [f32]) {
        assert!(x.len() >= self.inputs * TILE && out.len() >= self.rows * TILE);
        let kernel = widest();
        let (mut row, mut packed) = (0, self.packed.as_ptr());
        for rows in pieces(self.rows) {
            let weights = rows * self.inputs;
            let next = packed.wrapping_add(weights);
            let tile = Tile {
                rows,
                cols: TILE,
                inner: self.inputs,
                a: packed,
                a_row: 1,
                a_step: rows,
                b: x.as_ptr(),
                b_step: TILE,
                // SAFETY: `row` is at most the number of rows, for which `out` has room.
                out: unsafe { out.as_mut_ptr().add(row * TILE) },
                out_row: TILE,
                accumulate: true,
                // Weights are many more than the caches hold; the next piece's come while this one is multiplied.
                ahead: next,
                ahead_step: size_of::<f32>() * rows,
            };
            // SAFETY: `packed` has `weights` numbers from here on, `x` and `out` hold the inputs and rows
            // (checked above), and `out` is borrowed mutably.
            unsafe { kernel(&tile) };
            (row, packed) = (row + rows, next);
        }
    }
}

/// `sum_i a_i b_i` in sixteen chains of fused multiply-adds and a fixed tree.
#[multiversion::multiversion(targets(
    "x86_64+avx512f+avx512vl+avx512dq+avx512bw+avx2+fma",
    "x86_64+avx2+fma"
))]
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0_f32; 16];
    let (a_pieces, b_pieces) = (a.chunks_exact(16), b.chunks_exact(16));
    let (a_rest, b_rest) = (a_pieces.remainder(), b_pieces.remainder());
    for (a, b) in a_pieces.zip(b_pieces) {
        for i in 0..16 {
            sums[i] = a[i].mul_add(b[i], sums[i]);
        }
    }
    for (i, (a, b)) in a_rest.iter().zip(b_rest).enumerate() {
        sums[i] = a.mul_add(*b, sums[i]);
    }
    let mut width = 8;
    while width > 0 {
        for i in 0..width {
            sums[i] += sums[i + width];
        }
        width /= 2;
    }
    sums[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_output_is_one_chain_in_the_order_of_the_inputs() {
        for (rows, inputs) in [(1, 3), (2, 200), (5, 13), (7, 0), (12, 40), (13, 161), (50, 330)] {
            let weights: Vec<f32> = (0..rows * inputs).map(|i| (i as f32 * 0.37).sin()).collect();
            let x: Vec<f32> = (0..inputs * TILE).map(|i| (i as f32 * 0.11).cos()).collect();
            let mut out = vec![0.5; rows * TILE];
            Panel::new(&weights, rows, inputs).multiply(&x, &mut out);
            for row in 0..rows {
                for column in 0..TILE {
                    let chain = (0..inputs)
                        .fold(0.5_f32, |sum, i| weights[row * inputs + i].mul_add(x[i * TILE + column], sum));
                    assert_eq!(out[row * TILE + column], chain, "{rows} rows, {inputs} inputs");
                }
            }
        }
    }

    #[test]
    fn dot_agrees_with_f64() {
        for n in [0, 1, 15, 16, 37, 384] {
            let a: Vec<f32> = (0..n).map(|i| (i as f32).sin()).collect();
            let b: Vec<f32> = (0..n).map(|i| (i as f32 * 0.7).cos()).collect();
            let truth: f64 = a.iter().zip(&b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
            assert!((f64::from(dot(&a, &b)) - truth).abs() < 1e-4);
        }
    }
}
