//! Loops over arrays that are not matrix products, compiled for the widest vectors at hand.
//!
//! Arrays are feature-major: a row per unit, a column per example.

use multiversion::multiversion;

use super::buffer::Buffer;
use super::config::Activation;
use super::kernel::VECTOR;
use crate::vmath;

/// Hyperbolic tangent, absolute error below 2e-7.
#[inline(always)]
pub(crate) fn tanh(x: f32) -> f32 {
    1.0 - 2.0 / (vmath::exp(2.0 * x) + 1.0)
}

#[inline(always)]
fn elu(x: f32) -> f32 {
    if x > 0.0 { x } else { vmath::exp(x) - 1.0 }
}

/// `values = activation(values)`.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx512bw+avx2+fma", "x86_64+avx2+fma"))]
pub(crate) fn activate(activation: Activation, values: &mut [f32]) {
    match activation {
        Activation::Relu => values.iter_mut().for_each(|v| *v = v.max(0.0)),
        Activation::Tanh => values.iter_mut().for_each(|v| *v = tanh(*v)),
        Activation::Elu => values.iter_mut().for_each(|v| *v = elu(*v)),
    }
}

/// `out = activation(values)`.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx512bw+avx2+fma", "x86_64+avx2+fma"))]
pub(crate) fn activate_into(activation: Activation, values: &[f32], out: &mut [f32]) {
    let pairs = values.iter().zip(out);
    match activation {
        Activation::Relu => pairs.for_each(|(v, o)| *o = v.max(0.0)),
        Activation::Tanh => pairs.for_each(|(v, o)| *o = tanh(*v)),
        Activation::Elu => pairs.for_each(|(v, o)| *o = elu(*v)),
    }
}

/// `gradient *= activation'`, from the activation's output.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx512bw+avx2+fma", "x86_64+avx2+fma"))]
pub(crate) fn chain(activation: Activation, output: &[f32], gradient: &mut [f32]) {
    let pairs = output.iter().zip(gradient);
    match activation {
        Activation::Relu => pairs.for_each(|(o, g)| *g = if *o > 0.0 { *g } else { 0.0 }),
        Activation::Tanh => pairs.for_each(|(o, g)| *g *= 1.0 - o * o),
        Activation::Elu => pairs.for_each(|(o, g)| *g *= if *o > 0.0 { 1.0 } else { o + 1.0 }),
    }
}

/// `inout = gradient * activation'(inout)`, where `inout` holds the activation's output.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx512bw+avx2+fma", "x86_64+avx2+fma"))]
pub(crate) fn chain_into(activation: Activation, gradient: &[f32], inout: &mut [f32]) {
    let pairs = inout.iter_mut().zip(gradient);
    match activation {
        Activation::Relu => pairs.for_each(|(o, g)| *o = if *o > 0.0 { *g } else { 0.0 }),
        Activation::Tanh => pairs.for_each(|(o, g)| *o = g * (1.0 - *o * *o)),
        Activation::Elu => pairs.for_each(|(o, g)| *o = g * if *o > 0.0 { 1.0 } else { *o + 1.0 }),
    }
}

/// `sum += gradient * activation'(output)`.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx512bw+avx2+fma", "x86_64+avx2+fma"))]
pub(crate) fn chain_add(activation: Activation, output: &[f32], gradient: &[f32], sum: &mut [f32]) {
    let triples = output.iter().zip(gradient).zip(sum);
    match activation {
        Activation::Relu => triples.for_each(|((o, g), s)| *s += if *o > 0.0 { *g } else { 0.0 }),
        Activation::Tanh => triples.for_each(|((o, g), s)| *s += g * (1.0 - o * o)),
        Activation::Elu => triples.for_each(|((o, g), s)| *s += g * if *o > 0.0 { 1.0 } else { o + 1.0 }),
    }
}

/// Each row of `values` `[bias.len(), n]` filled with its bias.
pub(crate) fn fill_rows(bias: &[f32], n: usize, values: &mut [f32]) {
    for (row, bias) in values.chunks_exact_mut(n).zip(bias) {
        row.fill(*bias);
    }
}

/// `sums += ` the sum of each row of `values` `[sums.len(), n]`.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx512bw+avx2+fma", "x86_64+avx2+fma"))]
pub(crate) fn add_row_sums(values: &[f32], n: usize, sums: &mut [f32]) {
    for (row, sum) in values.chunks_exact(n).zip(sums) {
        // Sixteen partial sums in a fixed order: vectors on any machine, the same bits.
        let mut partial = [0.0_f32; 16];
        let mut pieces = row.chunks_exact(16);
        for piece in &mut pieces {
            for (p, v) in partial.iter_mut().zip(piece) {
                *p += v;
            }
        }
        for (p, v) in partial.iter_mut().zip(pieces.remainder()) {
            *p += v;
        }
        *sum += partial.iter().sum::<f32>();
    }
}

/// `out += other`.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx512bw+avx2+fma", "x86_64+avx2+fma"))]
pub(crate) fn add(out: &mut [f32], other: &[f32]) {
    out.iter_mut().zip(other).for_each(|(o, v)| *o += v);
}

/// Distance of the rows that [`transpose`] makes of columns of `len` numbers: whole vectors.
pub(crate) fn row_of_transpose(len: usize) -> usize {
    len.next_multiple_of(VECTOR)
}

/// The transpose of `from` `[rows, cols]` in rows [`row_of_transpose`] apart.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx512bw+avx2+fma", "x86_64+avx2+fma"))]
pub(crate) fn transpose(from: &[f32], rows: usize, cols: usize, out: &mut Buffer) {
    // A row of a block is a cache line, written whole.
    const SIDE: usize = 16;
    let stride = row_of_transpose(rows);
    out.resize(stride * cols);
    let (whole_rows, whole_cols) = (rows / SIDE * SIDE, cols / SIDE * SIDE);
    for row in (0..whole_rows).step_by(SIDE) {
        for col in (0..whole_cols).step_by(SIDE) {
            let mut block = [[0.0_f32; SIDE]; SIDE];
            for (r, block) in block.iter_mut().enumerate() {
                block.copy_from_slice(&from[(row + r) * cols + col..][..SIDE]);
            }
            for c in 0..SIDE {
                let column: [f32; SIDE] = std::array::from_fn(|r| block[r][c]);
                out[(col + c) * stride + row..][..SIDE].copy_from_slice(&column);
            }
        }
    }
    for row in 0..rows {
        let from_col = if row < whole_rows { whole_cols } else { 0 };
        for col in from_col..cols {
            out[col * stride + row] = from[row * cols + col];
        }
    }
}

/// Sum of squares, in f64 over pieces summed in f32.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx512bw+avx2+fma", "x86_64+avx2+fma"))]
pub(crate) fn sum_of_squares(values: &[f32]) -> f64 {
    let mut total = 0.0;
    for piece in values.chunks(1024) {
        let mut partial = [0.0_f32; 32];
        for chunk in piece.chunks(32) {
            for (p, v) in partial.iter_mut().zip(chunk) {
                *p += v * v;
            }
        }
        total += partial.iter().map(|p| f64::from(*p)).sum::<f64>();
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Activation; 3] = [Activation::Relu, Activation::Tanh, Activation::Elu];

    #[test]
    fn derivatives_agree_with_differences() {
        let xs: Vec<f32> = (0..101).map(|i| -4.0 + 0.08 * i as f32 + 0.013).collect();
        for activation in ALL {
            let eval = |shift: f32| {
                let mut out = vec![0.0; xs.len()];
                activate_into(activation, &xs.iter().map(|x| x + shift).collect::<Vec<_>>(), &mut out);
                out
            };
            let (low, mid, high) = (eval(-1e-2), eval(0.0), eval(1e-2));
            let mut gradient = vec![1.0; xs.len()];
            chain(activation, &mid, &mut gradient);
            let mut sum = vec![0.5; xs.len()];
            chain_add(activation, &mid, &vec![1.0; xs.len()], &mut sum);
            let mut inout = mid.clone();
            chain_into(activation, &vec![1.0; xs.len()], &mut inout);
            for i in 0..xs.len() {
                if xs[i].abs() < 0.02 {
                    continue;
                }
                let slope = (high[i] - low[i]) / 2e-2;
                assert!((gradient[i] - slope).abs() < 2e-4, "{activation:?} at {}", xs[i]);
                assert!((sum[i] - 0.5 - gradient[i]).abs() < 1e-6);
                assert_eq!(inout[i], gradient[i]);
            }
        }
    }

    #[test]
    fn tanh_agrees_with_f64() {
        for i in -2000..2000 {
            let x = i as f32 * 0.01;
            assert!((f64::from(tanh(x)) - f64::from(x).tanh()).abs() < 2e-7);
        }
    }

    #[test]
    fn a_transpose_is_one_at_any_shape() {
        for (rows, cols) in [(1, 1), (8, 16), (11, 48), (50, 23), (256, 32), (3, 7), (0, 4)] {
            let from: Vec<f32> = (0..rows * cols).map(|i| i as f32).collect();
            let mut out = Buffer::zeros(5);
            transpose(&from, rows, cols, &mut out);
            let stride = row_of_transpose(rows);
            assert!(out.len() == stride * cols && stride >= rows);
            for (i, value) in from.iter().enumerate() {
                assert_eq!(out[i % cols * stride + i / cols], *value);
            }
        }
    }

    #[test]
    fn row_sums_and_squares_agree_with_f64() {
        let values: Vec<f32> = (0..3 * 77).map(|i| (i as f32).sin()).collect();
        let mut sums = vec![1.0; 3];
        add_row_sums(&values, 77, &mut sums);
        for (row, sum) in values.chunks(77).zip(sums) {
            assert!((f64::from(sum) - 1.0 - row.iter().map(|v| f64::from(*v)).sum::<f64>()).abs() < 1e-5);
        }
        let truth: f64 = values.iter().map(|v| f64::from(*v).powi(2)).sum();
        assert!((sum_of_squares(&values) - truth).abs() < 1e-4);
    }
}
