//! Matrix products on slices, single-threaded (rows of batches are what is shared out among threads).

use super::kernel::{COLS, Kernel, ROWS, Tile, VECTOR, pieces, widest};

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
        Self::columns(data, rows, cols, cols)
    }

    /// The first `cols` columns of `data` `[rows, stride]`.
    pub fn columns(data: &'a [f32], rows: usize, stride: usize, cols: usize) -> Self {
        assert!(data.len() == rows * stride && cols <= stride, "a view stays within its data");
        Self { data, rows, cols, row_stride: stride, col_stride: 1 }
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
///
/// `b` is not transposed, and its rows are readable to the next multiple of [`VECTOR`] columns.
pub(crate) fn product(out: &mut [f32], a: View, b: View, accumulate: bool) {
    assert_eq!(a.cols, b.rows, "inner dimensions agree");
    assert_eq!(out.len(), a.rows * b.cols, "the product fits its destination");
    assert!(
        b.rows == 0 || b.col_stride == 1 && b.cols.next_multiple_of(VECTOR) <= b.row_stride,
        "rows of the right-hand side have room for whole vectors"
    );
    let kernel = widest();
    let mut col = 0;
    while col < b.cols {
        let cols = COLS.min(b.cols - col);
        if cols.is_multiple_of(VECTOR) {
            let out = Columns { data: &mut out[col..], stride: b.cols };
            columns(kernel, out, a, (b, col, cols), accumulate);
        } else {
            ragged(kernel, (&mut out[col..], b.cols), a, (b, col, cols), accumulate);
        }
        col += cols;
    }
}

struct Columns<'a> {
    data: &'a mut [f32],
    stride: usize,
}

/// Whole vectors of columns: `cols` of them from `col` of `b` on.
fn columns(kernel: Kernel, out: Columns, a: View, (b, col, cols): (View, usize, usize), accumulate: bool) {
    let mut row = 0;
    for rows in pieces(a.rows) {
        // The next rows of `a`, or the next lines of its rows, will be wanted soon.
        let from = a.data.as_ptr().wrapping_add(row * a.row_stride);
        let (ahead, ahead_step) = if a.row_stride == 1 {
            (from.wrapping_add(2 * VECTOR), size_of::<f32>() * a.col_stride)
        } else {
            (from.wrapping_add(rows * a.row_stride), size_of::<f32>() * rows)
        };
        let tile = Tile {
            rows,
            cols,
            inner: a.cols,
            a: from,
            a_row: a.row_stride,
            a_step: a.col_stride,
            b: b.data.as_ptr().wrapping_add(col),
            b_step: b.row_stride,
            out: out.data.as_mut_ptr().wrapping_add(row * out.stride),
            out_row: out.stride,
            accumulate,
            ahead,
            ahead_step,
        };
        // SAFETY: the views lie within their slices (checked where they are made, kept by `t`); rows of
        // `b` are readable to whole vectors and `out` has room (checked by the caller, for ragged
        // columns too); `out` is borrowed mutably, so that it overlaps neither.
        unsafe { kernel(&tile) };
        row += rows;
    }
}

/// A last few columns that are not whole vectors, by way of a copy of the destination.
fn ragged(
    kernel: Kernel,
    (out, stride): (&mut [f32], usize),
    a: View,
    (b, col, cols): (View, usize, usize),
    accumulate: bool,
) {
    let whole = cols.next_multiple_of(VECTOR);
    let mut copy = [0.0; ROWS * COLS];
    let mut row = 0;
    for rows in pieces(a.rows) {
        let some = View { data: &a.data[row * a.row_stride..], rows, ..a };
        if accumulate {
            for r in 0..rows {
                copy[r * whole..r * whole + cols].copy_from_slice(&out[(row + r) * stride..][..cols]);
            }
        }
        let part = Columns { data: &mut copy[..rows * whole], stride: whole };
        columns(kernel, part, some, (b, col, whole), accumulate);
        for r in 0..rows {
            out[(row + r) * stride..][..cols].copy_from_slice(&copy[r * whole..r * whole + cols]);
        }
        row += rows;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_agree_with_the_definition_for_all_shapes_and_transposes() {
        for (m, k, n) in [
            (7_usize, 5_usize, 16_usize),
            (13, 20, 9),
            (6, 1, 64),
            (1, 33, 130),
            (50, 4, 100),
            (3, 0, 5),
            (0, 2, 3),
        ] {
            let stride = n.next_multiple_of(VECTOR);
            let a: Vec<f32> = (0..m * k).map(|i| (i as f32 * 0.7).sin()).collect();
            let at: Vec<f32> = (0..m * k).map(|i| a[(i % m) * k + i / m]).collect();
            let b: Vec<f32> = (0..k * stride).map(|i| (i as f32 * 0.3).cos()).collect();
            let b_view = View::columns(&b, k, stride, n);
            for a_view in [View::new(&a, m, k), View::new(&at, k, m).t()] {
                for (accumulate, start) in [(true, 1.0), (false, 0.0)] {
                    let mut out = vec![1.0; m * n];
                    product(&mut out, a_view, b_view, accumulate);
                    for i in 0..m {
                        for j in 0..n {
                            let truth: f32 = (0..k).map(|l| a[i * k + l] * b[l * stride + j]).sum();
                            let found = out[i * n + j];
                            assert!((found - start - truth).abs() < 1e-5, "{m} x {k} x {n}: {found}");
                        }
                    }
                }
            }
        }
    }
}
