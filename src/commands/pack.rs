//! Draws <-> named arrays: rounded to a small fraction of their spread, so that they compress.

use crate::infer::{Draws, N_COLUMNS};
use crate::prior::PARAMS;
use crate::sed::DERIVED_NAMES;
use crate::store::{Array, BlobError, decode_arrays, encode_arrays};

/// Name of this packing in the catalog.
pub const CODEC: &str = "sda1";
/// The rounding step is the power of two at or below the column's standard deviation times this.
const STEP_OF_SD: f32 = 1.0 / 128.0;
/// Most bytes a blob may unpack to.
const LIMIT: usize = 1 << 28;

/// Names of the columns of draws: parameters, then derived properties.
pub fn column_names() -> Vec<&'static str> {
    PARAMS.iter().map(|info| info.name).chain(DERIVED_NAMES).collect()
}

/// Packs the draws: one array `draws` `[17, n]`.
///
/// Values are rounded to a step of at most 1/128 of their column's standard deviation and stay within
/// the column's range, so a draw never leaves the prior.
pub fn pack(draws: &Draws) -> Result<Vec<u8>, BlobError> {
    let mut columns = draws.columns.clone();
    for column in columns.chunks_exact_mut(draws.n.max(1)) {
        round(column);
    }
    encode_arrays(&[Array::f32("draws", &[N_COLUMNS, draws.n], columns)])
}

/// Columns `[17][n]` of packed draws.
pub fn unpack(bytes: &[u8]) -> Result<Vec<Vec<f32>>, BlobError> {
    let arrays = decode_arrays(bytes, LIMIT)?;
    let draws = Array::find(&arrays, "draws")?;
    let n = draws.shape.get(1).copied().unwrap_or(0);
    Ok(draws.to_f32().chunks_exact(n.max(1)).map(<[f32]>::to_vec).collect())
}

fn round(column: &mut [f32]) {
    let n = column.len() as f64;
    let mean = column.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
    let variance = column.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / n;
    let sd = variance.sqrt() as f32;
    if !(sd.is_finite() && sd > 0.0) {
        return;
    }
    // A power of two leaves the low bits of every value zero, which is what compresses.
    let step = (sd * STEP_OF_SD).log2().floor().exp2();
    let (low, high) = column.iter().fold((f32::MAX, f32::MIN), |(low, high), &v| (low.min(v), high.max(v)));
    for value in column {
        *value = ((*value / step).round() * step).clamp(low, high);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array1, Array2};

    #[test]
    fn packed_draws_come_back_within_their_step_and_range() {
        let n = 3000;
        let value = |column: usize, i: usize| {
            10.0 * column as f32 + 0.01 * ((i * 7919 + column) % 1013) as f32 / 1013.0
        };
        let columns: Vec<f32> = (0..N_COLUMNS).flat_map(|c| (0..n).map(move |i| value(c, i))).collect();
        let draws = Draws {
            n,
            latent: Array2::zeros((0, 0)),
            ln_q: Array1::zeros(0),
            columns: columns.clone(),
            best: 0,
        };
        let blob = pack(&draws).unwrap();
        assert!(blob.len() < columns.len() * 2, "{} bytes", blob.len());
        let back = unpack(&blob).unwrap();
        assert_eq!(back.len(), column_names().len());
        for (column, original) in back.iter().zip(columns.chunks_exact(n)) {
            let (low, high) = original.iter().fold((f32::MAX, f32::MIN), |(a, b), &v| (a.min(v), b.max(v)));
            for (a, b) in column.iter().zip(original) {
                assert!((a - b).abs() <= 0.0029 / 128.0 && (low..=high).contains(a));
            }
        }
    }
}
