//! The inner loop of every matrix product: a few rows times a few vectors of columns, held in registers.
//!
//! Every output is one chain of fused multiply-adds in the order of the inner dimension, whatever the
//! vector width and however rows and columns are grouped, so products have the same bits on every machine.

/// Most rows of a tile.
pub(crate) const ROWS: usize = 6;
/// Most columns of a tile. Six rows of four vectors fill the registers of AVX-512.
pub(crate) const COLS: usize = 64;
/// Columns come in multiples of this.
pub(crate) const VECTOR: usize = 16;

/// `out[r, c] += sum_i a[r, i] b[i, c]` for a tile of at most [`ROWS`] rows and [`COLS`] columns.
#[derive(Clone, Copy)]
pub(crate) struct Tile {
    pub rows: usize,
    /// A multiple of [`VECTOR`].
    pub cols: usize,
    pub inner: usize,
    pub a: *const f32,
    /// Distance of two rows, and of two inner steps, of `a`; one of them is 1.
    pub a_row: usize,
    pub a_step: usize,
    pub b: *const f32,
    /// Distance of two inner steps of `b`, whose columns are neighbours.
    pub b_step: usize,
    pub out: *mut f32,
    pub out_row: usize,
    /// Sums start from `out` where true, else from zero.
    pub accumulate: bool,
    /// What will be needed after this tile: fetched into the cache, so many bytes further per inner step.
    /// Only a hint; it may point anywhere.
    pub ahead: *const f32,
    pub ahead_step: usize,
}

/// How tiles are computed on this machine.
pub(crate) type Kernel = unsafe fn(&Tile);

/// The widest kernel that this machine has.
pub(crate) fn widest() -> Kernel {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") {
            return avx512::tile;
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            return avx2::tile;
        }
    }
    portable
}

/// Any machine, slowly.
///
/// # Safety
///
/// `a`, `b` and `out` must hold the elements that the tile speaks of, and `out` overlap neither.
pub(crate) unsafe fn portable(tile: &Tile) {
    for r in 0..tile.rows {
        for c in 0..tile.cols {
            // SAFETY: all are elements of the tile.
            unsafe {
                let out = tile.out.add(r * tile.out_row + c);
                let mut sum = if tile.accumulate { *out } else { 0.0 };
                for i in 0..tile.inner {
                    let a = *tile.a.add(r * tile.a_row + i * tile.a_step);
                    sum = a.mul_add(*tile.b.add(i * tile.b_step + c), sum);
                }
                *out = sum;
            }
        }
    }
}

/// A module with `tile` for one vector width of `$lanes` numbers, at most `$most` vectors of columns at once.
#[cfg(target_arch = "x86_64")]
macro_rules! vector_kernel {
    ($name:ident, $features:literal, $lanes:literal, $most:literal, [$($vectors:literal),*],
     $zero:ident, $load:ident, $store:ident, $set:ident, $fma:ident) => {
        pub(crate) mod $name {
            use std::arch::x86_64::*;

            use super::Tile;

            /// # Safety
            ///
            /// As for [`super::portable`]; the processor must have the features.
            #[target_feature(enable = $features)]
            pub(crate) unsafe fn tile(tile: &Tile) {
                let mut part = *tile;
                let mut col = 0;
                while col < tile.cols {
                    let vectors = ((tile.cols - col) / $lanes).min($most);
                    // SAFETY: `part` is the columns from `col` on, `vectors` of them, of a tile that is valid.
                    unsafe {
                        part.b = tile.b.add(col);
                        part.out = tile.out.add(col);
                        if tile.a_row == 1 {
                            rows::<true>(&part, vectors);
                        } else {
                            rows::<false>(&part, vectors);
                        }
                    }
                    col += vectors * $lanes;
                }
            }

            #[target_feature(enable = $features)]
            unsafe fn rows<const PACKED: bool>(tile: &Tile, vectors: usize) {
                macro_rules! with_rows {
                    ($rows:literal) => {
                        match vectors {
                            // SAFETY: the caller's.
                            $($vectors => unsafe { registers::<$rows, $vectors, PACKED>(tile) },)*
                            _ => debug_assert!(false, "{vectors} vectors of columns"),
                        }
                    };
                }
                match tile.rows {
                    1 => with_rows!(1),
                    2 => with_rows!(2),
                    3 => with_rows!(3),
                    4 => with_rows!(4),
                    5 => with_rows!(5),
                    6 => with_rows!(6),
                    rows => debug_assert!(false, "{rows} rows"),
                }
            }

            /// `R` rows of `C` vectors; `PACKED` where the rows of `a` are neighbours, else its inner steps are.
            #[target_feature(enable = $features)]
            unsafe fn registers<const R: usize, const C: usize, const PACKED: bool>(tile: &Tile) {
                let Tile { inner, a, b, b_step, out, out_row, .. } = *tile;
                let (a_row, a_step) = if PACKED { (1, tile.a_step) } else { (tile.a_row, 1) };
                let mut sums = [[$zero(); C]; R];
                // SAFETY: the elements are those of the tile (checked by whoever made it); prefetches
                // of an address outside do nothing.
                unsafe {
                    if tile.accumulate {
                        for (r, row) in sums.iter_mut().enumerate() {
                            for (c, sum) in row.iter_mut().enumerate() {
                                *sum = $load(out.add(r * out_row + c * $lanes));
                            }
                        }
                    }
                    for i in 0..inner {
                        _mm_prefetch::<_MM_HINT_T0>(tile.ahead.cast::<i8>().wrapping_add(i * tile.ahead_step));
                        let mut columns = [$zero(); C];
                        for (c, column) in columns.iter_mut().enumerate() {
                            *column = $load(b.add(i * b_step + c * $lanes));
                        }
                        for (r, row) in sums.iter_mut().enumerate() {
                            let weight = $set(*a.add(r * a_row + i * a_step));
                            for (sum, column) in row.iter_mut().zip(columns) {
                                *sum = $fma(weight, column, *sum);
                            }
                        }
                    }
                    for (r, row) in sums.iter().enumerate() {
                        for (c, sum) in row.iter().enumerate() {
                            $store(out.add(r * out_row + c * $lanes), *sum);
                        }
                    }
                }
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
vector_kernel!(
    avx512,
    "avx512f",
    16,
    4,
    [1, 2, 3, 4],
    _mm512_setzero_ps,
    _mm512_loadu_ps,
    _mm512_storeu_ps,
    _mm512_set1_ps,
    _mm512_fmadd_ps
);
#[cfg(target_arch = "x86_64")]
vector_kernel!(
    avx2,
    "avx2,fma",
    8,
    2,
    [1, 2],
    _mm256_setzero_ps,
    _mm256_loadu_ps,
    _mm256_storeu_ps,
    _mm256_set1_ps,
    _mm256_fmadd_ps
);

/// Rows of each piece of `rows`, as equal as can be and at most [`ROWS`].
pub(crate) fn pieces(rows: usize) -> impl Iterator<Item = usize> {
    let count = rows.div_ceil(ROWS);
    (0..count).map(move |piece| rows / count + usize::from(piece < rows % count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kernel_gives_the_same_bits_for_every_shape() {
        let numbers = |n: usize, step: f32| -> Vec<f32> { (0..n).map(|i| (i as f32 * step).sin()).collect() };
        for rows in 1..=ROWS {
            for cols in [16, 32, 48, 64] {
                for (inner, packed, accumulate) in
                    [(0, true, true), (1, false, false), (37, true, true), (37, false, true)]
                {
                    let (a, b) = (numbers(rows * inner.max(1), 0.37), numbers(inner.max(1) * 64, 0.11));
                    let run = |kernel: Kernel| {
                        let mut out = numbers(rows * 70, 0.7);
                        let tile = Tile {
                            rows,
                            cols,
                            inner,
                            a: a.as_ptr(),
                            a_row: if packed { 1 } else { inner },
                            a_step: if packed { rows } else { 1 },
                            b: b.as_ptr(),
                            b_step: 64,
                            out: out.as_mut_ptr(),
                            out_row: 70,
                            accumulate,
                            ahead: std::ptr::null(),
                            ahead_step: 0,
                        };
                        // SAFETY: the slices hold what the tile speaks of; only kernels the machine has are run.
                        unsafe { kernel(&tile) };
                        out
                    };
                    let truth = run(portable);
                    assert_eq!(run(widest()), truth, "{rows} x {cols}, {inner}");
                    #[cfg(target_arch = "x86_64")]
                    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                        assert_eq!(run(avx2::tile), truth, "{rows} x {cols}, {inner}");
                    }
                }
            }
        }
    }

    #[test]
    fn pieces_add_up_and_are_nearly_equal() {
        for rows in [0, 1, 6, 7, 50, 500] {
            let pieces: Vec<usize> = pieces(rows).collect();
            assert_eq!(pieces.iter().sum::<usize>(), rows);
            let (low, high) = (pieces.iter().min(), pieces.iter().max());
            assert!(high <= Some(&ROWS) && high.unwrap_or(&0) - low.unwrap_or(&0) <= 1);
        }
    }
}
