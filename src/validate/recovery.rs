//! Recovery of the truths of mocks: posterior medians against truths.

use super::samples::quantile;

/// Truth and posterior of one quantity, one entry per mock.
#[derive(Debug, Clone, Copy)]
pub struct Recovered<'a> {
    pub truth: &'a [f64],
    pub median: &'a [f64],
    /// 16 and 84 % quantiles.
    pub low: &'a [f64],
    pub high: &'a [f64],
}

/// How well medians find the truth, in the quantity's unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Recovery {
    pub n: usize,
    /// Median of median minus truth.
    pub bias: f64,
    /// Robust standard deviation of median minus truth (1.4826 times the median absolute deviation).
    pub scatter: f64,
    /// Fraction of medians further than 3 posterior standard deviations (half-widths of 68 %) off.
    pub outliers: f64,
    /// Pearson's correlation of medians and truths.
    pub correlation: f64,
    /// Median half-width of the central 68 %.
    pub width: f64,
    /// That over the same of the truths: what the data add to the prior is what it is below 1.
    pub width_over_prior: f64,
}

impl Recovery {
    /// NaN where there is nothing to say; mocks with numbers that are not finite are left out.
    pub fn of(all: Recovered) -> Self {
        let rows: Vec<[f64; 4]> = all
            .truth
            .iter()
            .zip(all.median)
            .zip(all.low.iter().zip(all.high))
            .map(|((&truth, &median), (&low, &high))| [truth, median, low, high])
            .filter(|row| row.iter().all(|v| v.is_finite()))
            .collect();
        let sorted = |f: &dyn Fn(&[f64; 4]) -> f64| {
            let mut values: Vec<f64> = rows.iter().map(f).collect();
            values.sort_by(f64::total_cmp);
            values
        };
        let bias = quantile(&sorted(&|r| r[1] - r[0]), 0.5);
        let width = quantile(&sorted(&|r| 0.5 * (r[3] - r[2])), 0.5);
        let truths = sorted(&|r| r[0]);
        let prior_width = 0.5 * (quantile(&truths, 0.84) - quantile(&truths, 0.16));
        let outliers = rows.iter().filter(|r| (r[1] - r[0]).abs() > 1.5 * (r[3] - r[2])).count();
        Self {
            n: rows.len(),
            bias,
            scatter: 1.4826 * quantile(&sorted(&|r| (r[1] - r[0] - bias).abs()), 0.5),
            outliers: outliers as f64 / rows.len() as f64,
            correlation: correlation(rows.iter().map(|r| (r[0], r[1]))),
            width,
            width_over_prior: width / prior_width,
        }
    }
}

/// Pearson's correlation of pairs; NaN where one side does not vary.
pub fn correlation(pairs: impl Iterator<Item = (f64, f64)> + Clone) -> f64 {
    let n = pairs.clone().count() as f64;
    let (sum_x, sum_y) = pairs.clone().fold((0.0, 0.0), |(a, b), (x, y)| (a + x, b + y));
    let (mean_x, mean_y) = (sum_x / n, sum_y / n);
    let (mut xx, mut yy, mut xy) = (0.0, 0.0, 0.0);
    for (x, y) in pairs {
        xx += (x - mean_x).powi(2);
        yy += (y - mean_y).powi(2);
        xy += (x - mean_x) * (y - mean_y);
    }
    if xx > 0.0 && yy > 0.0 { xy / (xx * yy).sqrt() } else { f64::NAN }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::special::norm_quantile;

    #[test]
    fn bias_scatter_and_outliers_are_those_put_in() {
        let n = 1000;
        let truth: Vec<f64> = (0..n).map(|i| f64::from((i * 389) % n) / f64::from(n)).collect();
        let noise: Vec<f64> = (0..n).map(|i| norm_quantile((f64::from(i) + 0.5) / f64::from(n))).collect();
        let mut median: Vec<f64> = truth.iter().zip(&noise).map(|(t, e)| t + 0.05 + 0.1 * e).collect();
        median[7] = 30.0;
        let low: Vec<f64> = median.iter().map(|m| m - 0.1).collect();
        let high: Vec<f64> = median.iter().map(|m| m + 0.1).collect();
        let found = Recovery::of(Recovered { truth: &truth, median: &median, low: &low, high: &high });
        assert!((found.bias - 0.05).abs() < 1e-3 && (found.scatter - 0.1).abs() < 2e-3, "{found:?}");
        assert!((found.width - 0.1).abs() < 1e-12 && (found.width_over_prior - 0.1 / 0.34).abs() < 1e-2);
        assert!(found.outliers >= 0.001 && found.outliers < 0.01, "{found:?}");
        let nan = [f64::NAN];
        assert_eq!(Recovery::of(Recovered { truth: &nan, median: &nan, low: &nan, high: &nan }).n, 0);
    }

    #[test]
    fn correlation_of_a_line_is_one() {
        let line = (0..10).map(|i| (f64::from(i), 3.0 - 2.0 * f64::from(i)));
        assert!((correlation(line) + 1.0).abs() < 1e-12);
        assert!(correlation([(1.0, 2.0), (1.0, 3.0)].into_iter()).is_nan());
    }
}
