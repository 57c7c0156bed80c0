//! Matrix products on slices, single-threaded (rows of batches are what is shared out among threads).

use gemm_f32::gemm::f32::get_gemm_fn;

/// A row-major matrix view whose rows lie `stride` apart, or its transpose.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    data: &'a [f32],
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
}

impl<'a> View<'a> {
    /// `data` `[rows, cols]`, contiguous.
    pub fn new(data: &'a [f32], rows: usize, cols: usize) -> Self {
        assert_eq!(data.len(), rows * cols, "a view covers its data");
        Self { data, rows, cols, row_stride: cols, col_stride: 1 }
    }

    pub fn t(self) -> Self {
        Self {
            data: self.data,
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
        }
    }
}

/// `out = a b`, or `out += a b` where `accumulate`; `out` contiguous row-major `[a.rows, b.cols]`.
pub(crate) fn product(out: &mut [f32], a: View, b: View, accumulate: bool) {
    assert_eq!(a.cols, b.rows, "inner dimensions agree");
    assert_eq!(out.len(), a.rows * b.cols, "the product fits its destination");
    if out.is_empty() {
        return;
    }
    if a.cols == 0 {
        if !accumulate {
            out.fill(0.0);
        }
        return;
    }
    // SAFETY: the views cover their slices (checked in `new`, kept by `t`), `out` has room for
    // the product and, being borrowed mutably, overlaps neither; strides are in elements.
    unsafe {
        get_gemm_fn()(
            a.rows,
            b.cols,
            a.cols,
            out.as_mut_ptr(),
            1,
            b.cols as isize,
            accumulate,
            a.data.as_ptr(),
            a.col_stride as isize,
            a.row_stride as isize,
            b.data.as_ptr(),
            b.col_stride as isize,
            b.row_stride as isize,
            1.0,
            1.0,
            false,
            false,
            false,
            gemm_common::Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_agree_with_the_definition_for_all_transposes() {
        let (m, k, n) = (7, 5, 9);
        let a: Vec<f32> = (0..m * k).map(|i| (i as f32 * 0.7).sin()).collect();
        let b: Vec<f32> = (0..k * n).map(|i| (i as f32 * 0.3).cos()).collect();
        let transposed = |v: &[f32], rows: usize, cols: usize| -> Vec<f32> {
            (0..rows * cols).map(|i| v[(i % rows) * cols + i / rows]).collect()
        };
        let (at, bt) = (transposed(&a, m, k), transposed(&b, k, n));
        for (a_view, b_view) in [
            (View::new(&a, m, k), View::new(&b, k, n)),
            (View::new(&at, k, m).t(), View::new(&b, k, n)),
            (View::new(&a, m, k), View::new(&bt, n, k).t()),
        ] {
            let mut out = vec![1.0; m * n];
            product(&mut out, a_view, b_view, true);
            for i in 0..m {
                for j in 0..n {
                    let truth: f32 = (0..k).map(|l| a[i * k + l] * b[l * n + j]).sum();
                    assert!((out[i * n + j] - 1.0 - truth).abs() < 1e-5);
                }
            }
        }
    }

    #[test]
    fn an_empty_inner_dimension_gives_zero() {
        let mut out = [3.0; 4];
        product(&mut out, View::new(&[], 2, 0), View::new(&[], 0, 2), true);
        assert_eq!(out, [3.0; 4]);
        product(&mut out, View::new(&[], 2, 0), View::new(&[], 0, 2), false);
        assert_eq!(out, [0.0; 4]);
    }
}
