//! The draws' matrix product: a narrow panel of weights times a tile of columns held in registers.
//!
//! Every output is one chain of fused multiply-adds in the order of the inputs, whatever the vector
//! width, so draws have the same bits on every machine; `gemm` promises nothing of the kind.

/// Columns (draws) handled together.
pub(crate) const TILE: usize = 64;
/// Rows (units) handled together.
pub(crate) const ROWS: usize = 4;

/// Weights of consecutive units packed for [`Panel::multiply`]: `[row / ROWS, input, row % ROWS]`.
#[derive(Debug, Clone)]
pub(crate) struct Panel {
    packed: Vec<f32>,
    inputs: usize,
    pieces: usize,
}

impl Panel {
    /// `weights` `[rows, inputs]`, row-major; rows are padded with zeros to a multiple of [`ROWS`].
    pub fn new(weights: &[f32], rows: usize, inputs: usize) -> Self {
        let pieces = rows.div_ceil(ROWS);
        let mut packed = vec![0.0; pieces * inputs * ROWS];
        for row in 0..rows {
            for input in 0..inputs {
                packed[((row / ROWS) * inputs + input) * ROWS + row % ROWS] = weights[row * inputs + input];
            }
        }
        Self { packed, inputs, pieces }
    }

    /// `out += W x` for `x` `[inputs, TILE]` and `out` `[padded rows, TILE]`.
    pub fn multiply(&self, x: &[f32], out: &mut [f32]) {
        if self.inputs == 0 {
            return;
        }
        let x = &x[..self.inputs * TILE];
        let out = &mut out[..self.pieces * ROWS * TILE];
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f") {
                for (w, out) in self.pieces().zip(out.chunks_exact_mut(ROWS * TILE)) {
                    // SAFETY: the processor has AVX-512.
                    unsafe { piece_avx512(w, x, out) };
                }
                return;
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                for (w, out) in self.pieces().zip(out.chunks_exact_mut(ROWS * TILE)) {
                    // SAFETY: the processor has AVX2 and FMA.
                    unsafe { piece_avx2(w, x, out) };
                }
                return;
            }
        }
        for (w, out) in self.pieces().zip(out.chunks_exact_mut(ROWS * TILE)) {
            piece_portable(w, x, out);
        }
    }

    fn pieces(&self) -> impl Iterator<Item = &[f32]> {
        self.packed.chunks_exact(self.inputs * ROWS)
    }
}

fn piece_portable(w: &[f32], x: &[f32], out: &mut [f32]) {
    for (w, x) in w.chunks_exact(ROWS).zip(x.chunks_exact(TILE)) {
        for (w, out) in w.iter().zip(out.chunks_exact_mut(TILE)) {
            for (x, out) in x.iter().zip(out) {
                *out = w.mul_add(*x, *out);
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn piece_avx512(w: &[f32], x: &[f32], out: &mut [f32]) {
    use std::arch::x86_64::*;
    const LANES: usize = 16;
    assert_eq!(out.len(), ROWS * TILE);
    let mut sums = [[_mm512_setzero_ps(); TILE / LANES]; ROWS];
    for (r, row) in sums.iter_mut().enumerate() {
        for (c, sum) in row.iter_mut().enumerate() {
            // SAFETY: `out` holds ROWS * TILE numbers.
            *sum = unsafe { _mm512_loadu_ps(out.as_ptr().add(r * TILE + c * LANES)) };
        }
    }
    for (w, x) in w.chunks_exact(ROWS).zip(x.chunks_exact(TILE)) {
        let mut columns = [_mm512_setzero_ps(); TILE / LANES];
        for (c, column) in columns.iter_mut().enumerate() {
            // SAFETY: `x` is a chunk of TILE numbers.
            *column = unsafe { _mm512_loadu_ps(x.as_ptr().add(c * LANES)) };
        }
        for (row, w) in sums.iter_mut().zip(w) {
            let w = _mm512_set1_ps(*w);
            for (sum, column) in row.iter_mut().zip(columns) {
                *sum = _mm512_fmadd_ps(w, column, *sum);
            }
        }
    }
    for (r, row) in sums.iter().enumerate() {
        for (c, sum) in row.iter().enumerate() {
            // SAFETY: as for the loads.
            unsafe { _mm512_storeu_ps(out.as_mut_ptr().add(r * TILE + c * LANES), *sum) };
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn piece_avx2(w: &[f32], x: &[f32], out: &mut [f32]) {
    use std::arch::x86_64::*;
    const LANES: usize = 8;
    const PAIR: usize = 2;
    assert_eq!(out.len(), ROWS * TILE);
    assert!(x.len() / TILE >= w.len() / ROWS);
    for from in (0..TILE).step_by(PAIR * LANES) {
        let mut sums = [[_mm256_setzero_ps(); PAIR]; ROWS];
        for (r, row) in sums.iter_mut().enumerate() {
            for (c, sum) in row.iter_mut().enumerate() {
                // SAFETY: `out` holds ROWS * TILE numbers and `from` stays PAIR * LANES below TILE.
                *sum = unsafe { _mm256_loadu_ps(out.as_ptr().add(r * TILE + from + c * LANES)) };
            }
        }
        for (k, w) in w.chunks_exact(ROWS).enumerate() {
            let mut columns = [_mm256_setzero_ps(); PAIR];
            for (c, column) in columns.iter_mut().enumerate() {
                // SAFETY: `x` holds a row of TILE numbers per input (checked above).
                *column = unsafe { _mm256_loadu_ps(x.as_ptr().add(k * TILE + from + c * LANES)) };
            }
            for (row, w) in sums.iter_mut().zip(w) {
                let w = _mm256_set1_ps(*w);
                for (sum, column) in row.iter_mut().zip(columns) {
                    *sum = _mm256_fmadd_ps(w, column, *sum);
                }
            }
        }
        for (r, row) in sums.iter().enumerate() {
            for (c, sum) in row.iter().enumerate() {
                // SAFETY: as for the loads.
                unsafe { _mm256_storeu_ps(out.as_mut_ptr().add(r * TILE + from + c * LANES), *sum) };
            }
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
    fn every_vector_width_gives_the_same_bits() {
        let (rows, inputs) = (7, 13);
        let weights: Vec<f32> = (0..rows * inputs).map(|i| (i as f32 * 0.37).sin()).collect();
        let x: Vec<f32> = (0..inputs * TILE).map(|i| (i as f32 * 0.11).cos()).collect();
        let panel = Panel::new(&weights, rows, inputs);
        let mut out = vec![0.5; 8 * TILE];
        panel.multiply(&x, &mut out);
        let mut portable = vec![0.5; 8 * TILE];
        for (w, out) in panel.pieces().zip(portable.chunks_exact_mut(ROWS * TILE)) {
            piece_portable(w, &x, out);
        }
        assert_eq!(out, portable);
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            let mut narrow = vec![0.5; 8 * TILE];
            for (w, out) in panel.pieces().zip(narrow.chunks_exact_mut(ROWS * TILE)) {
                // SAFETY: the processor has AVX2 and FMA.
                unsafe { piece_avx2(w, &x, out) };
            }
            assert_eq!(out, narrow);
        }
        for row in 0..rows {
            for column in 0..TILE {
                let truth: f64 = (0..inputs)
                    .map(|i| f64::from(weights[row * inputs + i]) * f64::from(x[i * TILE + column]))
                    .sum();
                assert!((f64::from(out[row * TILE + column]) - 0.5 - truth).abs() < 1e-5);
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
