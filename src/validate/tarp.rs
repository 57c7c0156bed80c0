//! TARP, tests of accuracy with random points (Lemos et al. 2023, arXiv:2302.03026): coverage of balls
//! around points chosen without regard to the truth, which sees errors in all parameters jointly.
//!
//! The mass of draws nearer to the point than the truth is uniform where posteriors are right. Points
//! drawn from the prior give the paper's test. They lie far outside a narrow posterior, of which their
//! balls cut a slice; balls around the posterior's mean in units of its standard deviations
//! ([`local_level`]) see its inner shape. The paper's theorem allows points that depend on the data.

use rand::RngExt;

use super::ranks::weighted_rank_fraction;
use super::uniformity::{Test, ks_test, ks_uniform};
use crate::rng::Streams;

/// Draws `[n, d]`, row after row, with weights `[n]`; equal where empty.
#[derive(Debug, Clone, Copy)]
pub struct Cloud<'a> {
    pub rows: &'a [f32],
    pub d: usize,
    pub weights: &'a [f64],
}

impl Cloud<'_> {
    pub fn len(&self) -> usize {
        self.rows.len() / self.d.max(1)
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The mass of `cloud` nearer to `point` `[d]` than `truth` `[d]`, distances in units of `scale` `[d]`.
///
/// `u` is a uniform number of the caller's, `distances` working memory.
pub fn level(
    cloud: &Cloud,
    truth: &[f32],
    point: &[f32],
    scale: &[f32],
    u: f64,
    distances: &mut Vec<f32>,
) -> f64 {
    let square = |row: &[f32]| -> f32 {
        row.iter().zip(point).zip(scale).map(|((t, p), s)| ((t - p) / s) * ((t - p) / s)).sum()
    };
    distances.clear();
    distances.extend(cloud.rows.chunks_exact(cloud.d.max(1)).map(square));
    let truth = square(truth);
    if cloud.weights.is_empty() {
        super::ranks::rank_fraction(distances, truth, u)
    } else {
        weighted_rank_fraction(distances, cloud.weights, truth, u)
    }
}

/// [`level`] around the mean of the draws, with distances in their standard deviations, both without
/// weights: draws of great weight would pull the point to themselves.
///
/// `distances` is working memory. NaN of fewer than 3 draws.
pub fn local_level(cloud: &Cloud, truth: &[f32], u: f64, distances: &mut Vec<f32>) -> f64 {
    if cloud.len() < 3 {
        return f64::NAN;
    }
    let (mean, scale) = moments(cloud);
    level(cloud, truth, &mean, &scale, u, distances)
}

/// Mean of each coordinate and its standard deviation, 1 where there is none.
fn moments(cloud: &Cloud) -> (Vec<f32>, Vec<f32>) {
    let n = cloud.len() as f64;
    let mut sums = vec![(0.0, 0.0); cloud.d];
    // From the first draw, so that a narrow posterior far from zero keeps its digits.
    let first = &cloud.rows[..cloud.d];
    for row in cloud.rows.chunks_exact(cloud.d) {
        for ((sum, value), origin) in sums.iter_mut().zip(row).zip(first) {
            let value = f64::from(value - origin);
            sum.0 += value;
            sum.1 += value * value;
        }
    }
    let of = |((sum, square), origin): ((f64, f64), &f32)| {
        let mean = sum / n;
        let sd = (square / n - mean * mean).max(0.0).sqrt() as f32;
        (origin + mean as f32, if sd > 0.0 && sd.is_finite() { sd } else { 1.0 })
    };
    sums.into_iter().zip(first).map(of).unzip()
}

/// Coverage over all mocks.
#[derive(Debug, Clone, PartialEq)]
pub struct Tarp {
    /// Largest distance of the coverage curve from the diagonal, with its KS p-value.
    pub deviation: Test,
    /// 95 % interval of the deviation over bootstrapped mocks.
    pub deviation_range: (f64, f64),
    /// Masses, the coverage at each, and its 95 % band over bootstrapped mocks.
    pub mass: Vec<f64>,
    pub coverage: Vec<f64>,
    pub low: Vec<f64>,
    pub high: Vec<f64>,
}

/// Steps of the coverage curve.
const STEPS: usize = 50;
/// Bootstrap samples of the mocks.
const RESAMPLES: u64 = 200;

impl Tarp {
    /// From the level of each mock. The bootstrap depends on `seed` alone.
    pub fn of(levels: &[f64], seed: u64) -> Self {
        let mut sorted: Vec<f64> =
            levels.iter().map(|level| if level.is_finite() { *level } else { 0.0 }).collect();
        sorted.sort_by(f64::total_cmp);
        let n = sorted.len();
        let mass: Vec<f64> = (0..=STEPS).map(|k| k as f64 / STEPS as f64).collect();
        let coverage = super::coverage::curve(&sorted, &mass);
        let streams = Streams::new(seed, "tarp bootstrap");
        let mut deviations = Vec::new();
        let mut curves: Vec<Vec<f64>> = vec![Vec::new(); mass.len()];
        for sample in 0..RESAMPLES {
            let mut rng = streams.at(sample);
            let drawn: Vec<f64> = (0..n).map(|_| sorted[rng.random_range(0..n)]).collect();
            deviations.push(ks_uniform(&drawn));
            let curve = super::coverage::curve(&drawn, &mass);
            curves.iter_mut().zip(curve).for_each(|(values, value)| values.push(value));
        }
        let ends = |values: &mut Vec<f64>| {
            values.sort_by(f64::total_cmp);
            let at = |p: f64| values[((values.len() - 1) as f64 * p).round() as usize];
            (at(0.025), at(0.975))
        };
        let (low, high) = curves.iter_mut().map(ends).unzip();
        let deviation_range = ends(&mut deviations);
        Self { deviation: ks_test(&sorted), deviation_range, mass, coverage, low, high }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_the_mass_nearer_than_the_truth() {
        let rows = [0.0, 0.0, 1.0, 0.0, 0.0, 3.0, 5.0, 5.0];
        let cloud = Cloud { rows: &rows, d: 2, weights: &[] };
        let mut memory = vec![];
        let at = |truth: &[f32], scale: &[f32], memory: &mut Vec<f32>| {
            level(&cloud, truth, &[0.0, 0.0], scale, 0.5, memory)
        };
        assert_eq!(at(&[0.0, 2.0], &[1.0, 1.0], &mut memory), 2.5 / 5.0);
        // In units of 1 and 4 the third draw is nearer than (1.5, 0).
        assert_eq!(at(&[1.5, 0.0], &[1.0, 4.0], &mut memory), 3.5 / 5.0);
        let heavy = Cloud { weights: &[0.0, 0.0, 1.0, 1.0], ..cloud };
        let found = level(&heavy, &[0.0, 2.0], &[0.0, 0.0], &[1.0, 1.0], 0.5, &mut memory);
        assert_eq!(found, 0.5 / 3.0);
    }

    #[test]
    fn the_local_level_does_not_depend_on_units() {
        let rows: Vec<f32> = (0..300).map(|i| ((i * 7919) % 1000) as f32 / 1000.0).collect();
        let scaled: Vec<f32> =
            rows.iter().enumerate().map(|(i, v)| if i % 3 == 1 { 1e3 * v } else { *v }).collect();
        let mut memory = vec![];
        let a = local_level(&Cloud { rows: &rows, d: 3, weights: &[] }, &[0.3, 0.4, 0.5], 0.5, &mut memory);
        let cloud = Cloud { rows: &scaled, d: 3, weights: &[] };
        assert_eq!(a, local_level(&cloud, &[0.3, 400.0, 0.5], 0.5, &mut memory));
        let constant = Cloud { rows: &[1.0; 12], d: 3, weights: &[] };
        assert!(local_level(&constant, &[1.0; 3], 0.5, &mut memory).is_finite());
        assert!(
            local_level(&Cloud { rows: &[1.0; 6], d: 3, weights: &[] }, &[1.0; 3], 0.5, &mut memory).is_nan()
        );
    }

    #[test]
    fn the_bootstrap_brackets_the_curve_and_repeats() {
        let levels: Vec<f64> = (0..500).map(|i| ((i * 211) % 500) as f64 / 500.0).collect();
        let tarp = Tarp::of(&levels, 1);
        assert_eq!(tarp, Tarp::of(&levels, 1));
        assert!(tarp.deviation.statistic < 0.005 && tarp.deviation.p_value > 0.99);
        for i in 1..STEPS {
            assert!(tarp.low[i] < tarp.coverage[i] && tarp.coverage[i] < tarp.high[i]);
        }
        let half = tarp.high[STEPS / 2] - tarp.low[STEPS / 2];
        assert!((half / (2.0 * 1.96 * (0.25_f64 / 500.0).sqrt()) - 1.0).abs() < 0.25, "{half}");
        let empty = Tarp::of(&[], 1);
        assert_eq!(empty.deviation.statistic, 0.0);
    }
}
