//! Simulation-based calibration (Talts et al. 2018, arXiv:1804.06788): ranks of truths among draws are
//! uniform where posteriors are right, and their histogram says in which way others are wrong.

use std::fmt;

use super::coverage::{Fraction, central_levels};
use super::uniformity::{Test, chi2_uniform, histogram, ks_test, normal_p_value, smooth_components};
use crate::special::norm_quantile;

/// Bins of a rank histogram.
pub const RANK_BINS: usize = 20;

/// Fraction of `draws` below `truth`, ties counted half, moved off the lattice of 1 / n so that it is
/// uniform where truth and draws come from one distribution.
///
/// `u` is a uniform number of the caller's.
pub fn rank_fraction(draws: &[f32], truth: f32, u: f64) -> f64 {
    let below = draws.iter().filter(|&&draw| draw < truth).count() as f64;
    let ties = draws.iter().filter(|&&draw| draw == truth).count() as f64;
    (below + u * (ties + 1.0)) / (draws.len() as f64 + 1.0)
}

/// [`rank_fraction`] among draws of unequal `weights` `[n]`, not negative and not all zero.
///
/// The truth counts as one more draw of the weight that draws have on average, `sum w^2 / sum w`: one
/// over the effective sample size. With few effective draws the ranks are uniform only roughly.
pub fn weighted_rank_fraction(draws: &[f32], weights: &[f64], truth: f32, u: f64) -> f64 {
    let (mut below, mut ties, mut total, mut square) = (0.0, 0.0, 0.0, 0.0);
    for (draw, weight) in draws.iter().zip(weights) {
        total += weight;
        square += weight * weight;
        if *draw < truth {
            below += weight;
        } else if *draw == truth {
            ties += weight;
        }
    }
    let own = if total > 0.0 { square / total } else { 1.0 };
    (below + u * (ties + own)) / (total + own)
}

/// What a rank histogram looks like, in the reading of Hahn & Melchior (2022, section 3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Shape {
    /// Flat, as far as so many mocks can tell.
    Uniform,
    /// A valley: truths fall outside the draws too often.
    TooNarrow,
    /// A hill: truths fall in the middle too often.
    TooWide,
    /// Rising: truths above the draws too often.
    DrawsLow,
    /// Falling: truths below the draws too often.
    DrawsHigh,
    /// Not flat, and none of the above alone.
    Irregular,
}

impl Shape {
    pub const ALL: [Shape; 6] = [
        Shape::Uniform,
        Shape::TooNarrow,
        Shape::TooWide,
        Shape::DrawsLow,
        Shape::DrawsHigh,
        Shape::Irregular,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Shape::Uniform => "uniform",
            Shape::TooNarrow => "too narrow",
            Shape::TooWide => "too wide",
            Shape::DrawsLow => "draws low",
            Shape::DrawsHigh => "draws high",
            Shape::Irregular => "irregular",
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What the ranks of one quantity say.
#[derive(Debug, Clone, PartialEq)]
pub struct RankFindings {
    pub n: usize,
    pub ks: Test,
    pub chi2: Test,
    /// Standard normal numbers if all is well: where the ranks lean, and whether to the ends.
    pub slope: f64,
    pub curvature: f64,
    /// Mean offset of the truth from the draws in posterior standard deviations; above 0 where draws
    /// are too low.
    pub bias: f64,
    /// Spread of the truths in posterior standard deviations; above 1 where posteriors are too narrow.
    pub spread: f64,
    /// Truths in the central 68 and 95 % intervals.
    pub in_68: Fraction,
    pub in_95: Fraction,
    /// Bonferroni's p-value of the four tests together.
    pub p_value: f64,
    pub shape: Shape,
}

impl RankFindings {
    /// From the rank fractions of many mocks; `alpha` is the chance accepted of calling uniform ranks
    /// something else.
    ///
    /// Not finite ranks count as the worst: they are put at 0.
    pub fn of(ranks: &[f64], alpha: f64) -> Self {
        let ranks: Vec<f64> =
            ranks.iter().map(|rank| if rank.is_finite() { rank.clamp(0.0, 1.0) } else { 0.0 }).collect();
        let ks = ks_test(&ranks);
        let chi2 = chi2_uniform(&histogram(&ranks, RANK_BINS));
        let [slope, curvature] = smooth_components(&ranks);
        let (p_slope, p_curvature) = (normal_p_value(slope), normal_p_value(curvature));
        let p_value = (4.0 * ks.p_value.min(chi2.p_value).min(p_slope).min(p_curvature)).min(1.0);
        // In probits a right posterior's ranks are standard normal; beyond 5 sigma lies rounding.
        let probits: Vec<f64> = ranks.iter().map(|&rank| norm_quantile(rank).clamp(-5.0, 5.0)).collect();
        let n = probits.len().max(1) as f64;
        let bias = probits.iter().sum::<f64>() / n;
        let spread = (probits.iter().map(|z| (z - bias).powi(2)).sum::<f64>() / n).sqrt();
        let levels = central_levels(&ranks);
        let shape = if ranks.is_empty() || p_value >= alpha {
            Shape::Uniform
        } else if p_curvature < alpha && curvature.abs() >= slope.abs() {
            if curvature > 0.0 { Shape::TooNarrow } else { Shape::TooWide }
        } else if p_slope < alpha {
            if slope > 0.0 { Shape::DrawsLow } else { Shape::DrawsHigh }
        } else {
            Shape::Irregular
        };
        Self {
            n: ranks.len(),
            ks,
            chi2,
            slope,
            curvature,
            bias,
            spread,
            in_68: Fraction::within(&levels, 0.68),
            in_95: Fraction::within(&levels, 0.95),
            p_value,
            shape,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Streams;
    use crate::validate::uniformity::ks_uniform;
    use rand::RngExt;
    use rand_distr::{Distribution, StandardNormal};

    /// Ranks of 3,000 truths from N(0, 1) among 200 draws from N(shift, width).
    fn ranks(shift: f64, width: f64) -> Vec<f64> {
        let streams = Streams::new(4, "coverage test");
        (0..3000)
            .map(|i| {
                let mut rng = streams.at(i);
                let truth: f64 = StandardNormal.sample(&mut rng);
                let draws: Vec<f32> = (0..200)
                    .map(|_| {
                        let e: f64 = StandardNormal.sample(&mut rng);
                        (shift + width * e) as f32
                    })
                    .collect();
                rank_fraction(&draws, truth as f32, rng.random())
            })
            .collect()
    }

    #[test]
    fn every_way_to_be_wrong_has_its_shape_and_its_size() {
        let read = |shift, width| RankFindings::of(&ranks(shift, width), 0.01);
        let right = read(0.0, 1.0);
        assert_eq!(right.shape, Shape::Uniform, "{right:?}");
        assert!(right.bias.abs() < 0.06 && (right.spread - 1.0).abs() < 0.04, "{right:?}");
        assert!(right.in_68.holds(0.68) && right.in_95.holds(0.95), "{right:?}");
        for (shift, width, shape) in [
            (0.0, 0.85, Shape::TooNarrow),
            (0.0, 1.2, Shape::TooWide),
            (-0.15, 1.0, Shape::DrawsLow),
            (0.15, 1.0, Shape::DrawsHigh),
        ] {
            let found = read(shift, width);
            assert_eq!(found.shape, shape, "{found:?}");
            assert!((found.bias + shift / width).abs() < 0.06, "{found:?}");
            assert!((found.spread - 1.0 / width).abs() < 0.06, "{found:?}");
        }
        let middle: Vec<f64> =
            (0..3000).map(|i| 0.9 * f64::from(i) / 3000.0 + 0.1 * f64::from(i % 2)).collect();
        assert!(RankFindings::of(&middle, 0.01).ks.statistic > 0.02);
        assert_eq!(RankFindings::of(&[], 0.01).shape, Shape::Uniform);
    }

    #[test]
    fn constant_draws_equal_to_the_truth_rank_uniformly() {
        let ranks: Vec<f64> =
            (0..100).map(|i| rank_fraction(&[2.0; 9], 2.0, (f64::from(i) + 0.5) / 100.0)).collect();
        assert!(ks_uniform(&ranks) < 0.006);
    }

    #[test]
    fn equal_weights_change_nothing_and_weights_repair_draws_from_elsewhere() {
        let draws = [0.5, 1.0, -2.0, 0.1];
        for u in [0.0, 0.3, 1.0] {
            let plain = rank_fraction(&draws, 0.3, u);
            assert!((weighted_rank_fraction(&draws, &[0.7; 4], 0.3, u) - plain).abs() < 1e-12);
        }
        // Draws from N(0.4, 1.3) weighted to N(0, 1).
        let streams = Streams::new(8, "weighted ranks");
        let ranks: Vec<f64> = (0..2000)
            .map(|i| {
                let mut rng = streams.at(i);
                let truth: f64 = StandardNormal.sample(&mut rng);
                let draws: Vec<f64> = (0..200)
                    .map(|_| {
                        let e: f64 = StandardNormal.sample(&mut rng);
                        0.4 + 1.3 * e
                    })
                    .collect();
                let weights: Vec<f64> =
                    draws.iter().map(|t| (-0.5 * t * t + 0.5 * ((t - 0.4) / 1.3).powi(2)).exp()).collect();
                let draws: Vec<f32> = draws.iter().map(|&t| t as f32).collect();
                weighted_rank_fraction(&draws, &weights, truth as f32, rng.random())
            })
            .collect();
        let found = RankFindings::of(&ranks, 0.01);
        assert_eq!(found.shape, Shape::Uniform, "{found:?}");
    }

    #[test]
    fn ranks_that_are_no_numbers_are_not_taken_for_good_ones() {
        let mut ranks = ranks(0.0, 1.0);
        ranks[..600].fill(f64::NAN);
        assert_ne!(RankFindings::of(&ranks, 0.01).shape, Shape::Uniform);
    }
}
