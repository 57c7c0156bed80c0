//! Two sets of draws of one posterior against each other, one quantity at a time.

/// How far apart two sets of draws of one quantity are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Difference {
    /// 1-Wasserstein distance in standard deviations of the second set.
    pub wasserstein: f64,
    /// First median minus second, in standard deviations of the second set.
    pub median_shift: f64,
    /// Ratio of the half-widths of the central 68 %, first over second.
    pub width_ratio: f64,
    /// Two-sample Kolmogorov-Smirnov distance.
    pub ks: f64,
}

impl Difference {
    /// Of `a` against `b`, neither empty, values finite; NaN where that is not so.
    pub fn of(a: &[f32], b: &[f32]) -> Self {
        let sorted = |values: &[f32]| {
            let mut values: Vec<f64> = values.iter().map(|&v| f64::from(v)).collect();
            values.sort_by(f64::total_cmp);
            values
        };
        let (a, b) = (sorted(a), sorted(b));
        let usable = |values: &[f64]| !values.is_empty() && values.iter().all(|v| v.is_finite());
        if !usable(&a) || !usable(&b) {
            return Self {
                wasserstein: f64::NAN,
                median_shift: f64::NAN,
                width_ratio: f64::NAN,
                ks: f64::NAN,
            };
        }
        let sd = spread(&b);
        let half = |values: &[f64]| 0.5 * (quantile(values, 0.84) - quantile(values, 0.16));
        // Two constants are as wide as each other.
        let ratio = |a: f64, b: f64| if a == b { 1.0 } else { a / b };
        let in_sd = |distance: f64| if distance == 0.0 { 0.0 } else { distance / sd };
        Self {
            wasserstein: in_sd(wasserstein_sorted(&a, &b)),
            median_shift: in_sd(quantile(&a, 0.5) - quantile(&b, 0.5)),
            width_ratio: ratio(half(&a), half(&b)),
            ks: ks_sorted(&a, &b),
        }
    }
}

/// 1-Wasserstein distance of two sets of numbers, in their units: the area between their cumulative
/// distributions. NaN where one is empty or holds a number that is not finite.
pub fn wasserstein(a: &[f64], b: &[f64]) -> f64 {
    let sorted = |values: &[f64]| {
        let mut values = values.to_vec();
        values.sort_by(f64::total_cmp);
        values
    };
    wasserstein_sorted(&sorted(a), &sorted(b))
}

fn wasserstein_sorted(a: &[f64], b: &[f64]) -> f64 {
    // Sorted, so that anything not finite is at an end.
    let finite =
        |values: &[f64]| [values.first(), values.last()].iter().all(|v| v.is_some_and(|v| v.is_finite()));
    if !finite(a) || !finite(b) {
        return f64::NAN;
    }
    let (mut i, mut j) = (0, 0);
    let mut area = 0.0;
    let mut at = a[0].min(b[0]);
    while i < a.len() || j < b.len() {
        let gap = (i as f64 / a.len() as f64 - j as f64 / b.len() as f64).abs();
        let next = match (a.get(i), b.get(j)) {
            (Some(&x), Some(&y)) => x.min(y),
            (Some(&x), None) => x,
            (None, Some(&y)) => y,
            (None, None) => break,
        };
        area += gap * (next - at);
        at = next;
        while a.get(i) == Some(&next) {
            i += 1;
        }
        while b.get(j) == Some(&next) {
            j += 1;
        }
    }
    area
}

fn ks_sorted(a: &[f64], b: &[f64]) -> f64 {
    let (mut i, mut j) = (0, 0);
    let mut distance: f64 = 0.0;
    while i < a.len() && j < b.len() {
        let next = a[i].min(b[j]);
        while a.get(i) == Some(&next) {
            i += 1;
        }
        while b.get(j) == Some(&next) {
            j += 1;
        }
        distance = distance.max((i as f64 / a.len() as f64 - j as f64 / b.len() as f64).abs());
    }
    distance
}

/// Standard deviation of values.
fn spread(values: &[f64]) -> f64 {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt()
}

/// Quantile of sorted values, linear between neighbours; NaN of none.
pub fn quantile(sorted: &[f64], p: f64) -> f64 {
    if sorted.is_empty() {
        return f64::NAN;
    }
    let place = p.clamp(0.0, 1.0) * (sorted.len() - 1) as f64;
    let lower = place.floor() as usize;
    let upper = (lower + 1).min(sorted.len() - 1);
    let (low, high) = (sorted[lower], sorted[upper]);
    // Also of infinite values.
    if place == lower as f64 || low == high { low } else { low + (place - lower as f64) * (high - low) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::special::norm_quantile;

    fn normal(n: usize, mean: f64, sd: f64) -> Vec<f64> {
        (0..n).map(|i| mean + sd * norm_quantile((i as f64 + 0.5) / n as f64)).collect()
    }

    #[test]
    fn distance_of_shifted_and_stretched_normals_is_the_closed_form() {
        let standard = normal(2000, 0.0, 1.0);
        assert!((wasserstein(&normal(2000, 0.3, 1.0), &standard) - 0.3).abs() < 1e-12);
        // Stretching by s moves quantile p by (s - 1) z: the mean of |z| is sqrt(2 / pi).
        let stretched = wasserstein(&normal(500, 0.0, 1.5), &standard);
        assert!((stretched - 0.5 * (2.0 / std::f64::consts::PI).sqrt()).abs() < 5e-3, "{stretched}");
        assert_eq!(wasserstein(&[1.0, 1.0, 2.0], &[1.0, 1.0, 2.0]), 0.0);
        assert_eq!(wasserstein(&[0.0], &[1.0, 3.0]), 2.0);
        assert!(wasserstein(&[], &[1.0]).is_nan() && wasserstein(&[f64::NAN, 0.0], &[1.0]).is_nan());
    }

    #[test]
    fn a_difference_is_in_units_of_the_second_set() {
        let to_f32 = |v: Vec<f64>| v.into_iter().map(|x| x as f32).collect::<Vec<_>>();
        let (a, b) = (to_f32(normal(1000, 11.0, 0.3)), to_f32(normal(1500, 10.8, 0.2)));
        let found = Difference::of(&a, &b);
        assert!((found.median_shift - 1.0).abs() < 0.01, "{found:?}");
        assert!((found.width_ratio - 1.5).abs() < 0.01, "{found:?}");
        assert!(found.wasserstein > 0.95 && found.wasserstein < 1.2, "{found:?}");
        assert!((found.ks - 0.36).abs() < 0.03, "{found:?}");
        let same = Difference::of(&[2.0; 5], &[2.0; 9]);
        assert_eq!(same, Difference { wasserstein: 0.0, median_shift: 0.0, width_ratio: 1.0, ks: 0.0 });
        assert!(Difference::of(&[f32::NAN, 1.0], &b).wasserstein.is_nan());
    }

    #[test]
    fn quantiles_interpolate() {
        assert_eq!(quantile(&[1.0, 2.0, 4.0], 0.75), 3.0);
        assert_eq!(quantile(&[1.0], 0.3), 1.0);
        assert!(quantile(&[], 0.3).is_nan());
    }
}
