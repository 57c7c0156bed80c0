//! What quantisation did to draws: distances of marginals, errors of moments and correlations.

use super::floats::{from_sortable, radix_sort, sortable};
use super::header::Role;
use super::quantise::Quantised;

/// No marginal of 10,000 draws or more may move by more than this (Kolmogorov-Smirnov distance).
pub const KS_LIMIT: f64 = 0.005;
/// With fewer (effective) draws the limit grows as their own sampling error, of which it is a quarter.
const FULL: f64 = 1e4;

/// Errors of quantised draws against the draws.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Achieved {
    /// Largest KS distance of a column.
    pub ks: f64,
    /// Largest shift of a mean, in standard deviations of its column.
    pub mean: f64,
    /// Largest relative change of a standard deviation.
    pub sd: f64,
    /// Largest change of a correlation coefficient of two columns.
    pub correlation: f64,
    /// KS distance of each column (0 for weights).
    pub column_ks: Vec<f64>,
    /// What a column's KS distance may be at most.
    pub ks_limit: f64,
}

impl Achieved {
    pub(super) fn of(columns: &[(&str, &[f32])], quantised: &Quantised, weight: Option<usize>) -> Self {
        let n = quantised.n;
        if n == 0 {
            return Self { column_ks: vec![0.0; columns.len()], ks_limit: KS_LIMIT, ..Self::default() };
        }
        let values = quantised.values();
        let after: Vec<&[f32]> = values.chunks_exact(n).collect();
        let before: Vec<&[f32]> = columns.iter().map(|(_, values)| *values).collect();
        let is_weight = |i: usize| quantised.columns[i].role == Role::Weight;
        let mut scratch = Scratch::default();
        // Resampled draws come several times, with equal values in every column.
        let mut n_effective: f64 = 1.0;
        let column_ks: Vec<f64> = (0..columns.len())
            .map(|i| match weight {
                _ if is_weight(i) => 0.0,
                Some(w) => weighted_ks(before[i], before[w], after[i], after[w]),
                None => {
                    let (distance, n_distinct) = ks(before[i], after[i], &mut scratch);
                    n_effective = n_effective.max(n_distinct);
                    distance
                }
            })
            .collect();
        let places: Vec<usize> = (0..columns.len()).filter(|&i| !is_weight(i)).collect();
        let of = |all: &[&[f32]]| {
            let chosen: Vec<&[f32]> = places.iter().map(|&i| all[i]).collect();
            Moments::of(&chosen, weight.map(|w| all[w]))
        };
        let (old, new) = (of(&before), of(&after));
        // Effective number of draws after Kish (1965).
        let effective = |weights: &[f32]| {
            let (sum, square) = weights.iter().fold((0.0, 0.0), |(sum, square), &w| {
                (sum + f64::from(w), square + f64::from(w) * f64::from(w))
            });
            if square > 0.0 { sum * sum / square } else { 1.0 }
        };
        let n_effective = weight.map_or(n_effective, |w| effective(before[w]));
        // Columns without spread, and numbers that are not finite, have no such errors.
        let largest = |values: &mut dyn Iterator<Item = f64>| {
            values.filter(|v| v.is_finite()).fold(0.0, |most: f64, v| most.max(v.abs()))
        };
        Self {
            ks: largest(&mut column_ks.iter().copied()),
            mean: largest(&mut (0..places.len()).map(|i| (new.mean[i] - old.mean[i]) / old.sd[i])),
            sd: largest(&mut (0..places.len()).map(|i| new.sd[i] / old.sd[i] - 1.0)),
            correlation: largest(&mut old.correlation.iter().zip(&new.correlation).map(|(a, b)| a - b)),
            column_ks,
            ks_limit: KS_LIMIT * (FULL / n_effective).sqrt().max(1.0),
        }
    }
}

#[derive(Default)]
struct Scratch {
    a: Vec<u32>,
    b: Vec<u32>,
    spare: Vec<u32>,
}

/// KS distance of two samples of the same size; NaN counts as larger than all numbers.
pub fn ks_distance(a: &[f32], b: &[f32]) -> f64 {
    ks(a, b, &mut Scratch::default()).0
}

/// The distance, and `n^2 / sum m^2` of values of `a` that come m times.
fn ks(a: &[f32], b: &[f32], scratch: &mut Scratch) -> (f64, f64) {
    let Scratch { a: x, b: y, spare } = scratch;
    for (keys, values) in [(&mut *x, a), (&mut *y, b)] {
        keys.clear();
        keys.extend(values.iter().map(|&v| sortable(v)));
        radix_sort(keys, spare);
    }
    let (mut i, mut j, mut most, mut square) = (0, 0, 0, 0);
    while let Some(&value) = x.get(i).into_iter().chain(y.get(j)).min() {
        let first = i;
        while x.get(i) == Some(&value) {
            i += 1;
        }
        square += (i - first).pow(2);
        while y.get(j) == Some(&value) {
            j += 1;
        }
        most = most.max(i.abs_diff(j));
    }
    let n = a.len().max(1) as f64;
    (most as f64 / n, n * n / square.max(1) as f64)
}

/// Values with their weights, by value.
fn by_value(values: &[f32], weights: &[f32]) -> Vec<(u32, f64)> {
    let mut pairs: Vec<(u32, f64)> =
        values.iter().zip(weights).map(|(&v, &w)| (sortable(v), f64::from(w))).collect();
    pairs.sort_by_key(|pair| pair.0);
    pairs
}

fn weighted_ks(a: &[f32], wa: &[f32], b: &[f32], wb: &[f32]) -> f64 {
    let (x, y) = (by_value(a, wa), by_value(b, wb));
    let total = |pairs: &[(u32, f64)]| pairs.iter().map(|pair| pair.1).sum::<f64>().max(f64::MIN_POSITIVE);
    let (x_total, y_total) = (total(&x), total(&y));
    let (mut i, mut j, mut most, mut below_x, mut below_y) = (0, 0, 0.0f64, 0.0, 0.0);
    while let (Some(p), Some(q)) = (x.get(i), y.get(j)) {
        let value = p.0.min(q.0);
        while let Some(pair) = x.get(i).filter(|pair| pair.0 == value) {
            below_x += pair.1;
            i += 1;
        }
        while let Some(pair) = y.get(j).filter(|pair| pair.0 == value) {
            below_y += pair.1;
            j += 1;
        }
        most = most.max((below_x / x_total - below_y / y_total).abs());
    }
    most
}

/// The value below which a share `p` of the weight lies.
pub(super) fn weighted_quantile(values: &[f32], weights: &[f32], p: f64) -> f64 {
    let pairs = by_value(values, weights);
    let total: f64 = pairs.iter().map(|pair| pair.1).sum();
    let mut below = 0.0;
    for (value, weight) in &pairs {
        below += weight;
        if below >= p * total {
            return f64::from(from_sortable(*value));
        }
    }
    f64::NAN
}

/// Weighted moments of columns; correlations of all pairs.
struct Moments {
    mean: Vec<f64>,
    sd: Vec<f64>,
    correlation: Vec<f64>,
}

impl Moments {
    fn of(columns: &[&[f32]], weights: Option<&[f32]>) -> Self {
        let n = columns.first().map_or(0, |column| column.len());
        let total = weights.map_or(n as f64, |w| w.iter().map(|&w| f64::from(w)).sum());
        let (mut mean, mut sd) = (vec![], vec![]);
        // Standardised, times the root of the weight, so that correlations are plain products.
        let mut standard = vec![0.0f32; columns.len() * n];
        for (column, out) in columns.iter().zip(standard.chunks_exact_mut(n.max(1))) {
            let origin = f64::from(column[0]);
            let weight = |i: usize| weights.map_or(1.0, |w| f64::from(w[i]));
            let (mut sum, mut square) = (0.0, 0.0);
            for (i, &value) in column.iter().enumerate() {
                let (value, weight) = (f64::from(value) - origin, weight(i));
                sum += weight * value;
                square += weight * value * value;
            }
            let centre = sum / total;
            let spread = (square / total - centre * centre).max(0.0).sqrt();
            mean.push(origin + centre);
            sd.push(spread);
            for (i, (out, &value)) in out.iter_mut().zip(*column).enumerate() {
                *out = ((f64::from(value) - origin - centre) / spread * weight(i).sqrt()) as f32;
            }
        }
        let standard: Vec<&[f32]> = standard.chunks_exact(n.max(1)).collect();
        let pairs = (0..standard.len()).flat_map(|i| (0..i).map(move |j| (i, j)));
        let correlation = pairs.map(|(i, j)| f64::from(dot(standard[i], standard[j])) / total).collect();
        Self { mean, sd, correlation }
    }
}

/// Sum of products in 32 chains.
#[multiversion::multiversion(targets("x86_64+avx512f+avx512vl+avx2+fma", "x86_64+avx2+fma"))]
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0f32; 32];
    let (a_parts, b_parts) = (a.chunks_exact(32), b.chunks_exact(32));
    let rest: f32 = a_parts.remainder().iter().zip(b_parts.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in a_parts.zip(b_parts) {
        for i in 0..32 {
            sums[i] += a[i] * b[i];
        }
    }
    sums.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_those_of_the_distribution_functions() {
        assert_eq!(ks_distance(&[1.0, 2.0, 3.0, 4.0], &[4.0, 3.0, 2.0, 1.0]), 0.0);
        assert_eq!(ks_distance(&[1.0, 2.0, 3.0, 4.0], &[1.0, 2.5, 2.6, 4.0]), 0.25);
        assert_eq!(ks_distance(&[1.0, 1.0], &[2.0, 2.0]), 1.0);
        let (a, b) = ([1.0, 2.0, 3.0], [1.0, 2.0, 3.5]);
        assert!((weighted_ks(&a, &[1.0, 1.0, 2.0], &b, &[1.0, 1.0, 2.0]) - 0.5).abs() < 1e-12);
        assert!((weighted_ks(&a, &[1.0, 1.0, 0.0], &b, &[1.0, 1.0, 0.0])).abs() < 1e-12);
        assert_eq!(weighted_quantile(&a, &[1.0, 1.0, 2.0], 0.5), 2.0);
        assert_eq!(weighted_quantile(&a, &[1.0, 1.0, 2.0], 0.6), 3.0);
    }

    #[test]
    fn moments_are_weighted() {
        let (a, b) = ([0.0, 1.0, 7.0], [0.0, 2.0, -5.0]);
        let moments = Moments::of(&[&a, &b], Some(&[1.0, 1.0, 0.0]));
        assert!((moments.mean[0] - 0.5).abs() < 1e-12 && (moments.sd[1] - 1.0).abs() < 1e-12);
        assert!((moments.correlation[0] - 1.0).abs() < 1e-6);
    }
}
