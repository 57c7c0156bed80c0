//! Expected coverage: how often credible regions of a stated mass hold the truth.
//!
//! Every truth has a level, the mass of the smallest region of its family that holds it: of central
//! intervals of one quantity, or of regions of highest density of all together (Hermans et al. 2022,
//! arXiv:2110.06581). Levels are uniform where posteriors are right.

use super::ranks::{Shape, rank_fraction, weighted_rank_fraction};
use super::uniformity::{Test, ks_test, normal_p_value, smooth_components};

/// A fraction of a number of cases with its 95 % interval (Wilson 1927).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fraction {
    pub value: f64,
    pub low: f64,
    pub high: f64,
}

impl Fraction {
    /// `hits` of `n`; NaN of no cases.
    pub fn new(hits: f64, n: usize) -> Self {
        if n == 0 {
            return Self { value: f64::NAN, low: f64::NAN, high: f64::NAN };
        }
        let (n, z2) = (n as f64, 1.959_964_f64.powi(2));
        let value = hits / n;
        let middle = (value + z2 / (2.0 * n)) / (1.0 + z2 / n);
        let half = (z2 * (value * (1.0 - value) / n + z2 / (4.0 * n * n))).sqrt() / (1.0 + z2 / n);
        Self { value, low: (middle - half).max(0.0), high: (middle + half).min(1.0) }
    }

    /// The fraction of `levels` up to `mass`: the coverage of regions of that mass.
    pub fn within(levels: &[f64], mass: f64) -> Self {
        Self::new(levels.iter().filter(|&&level| level <= mass).count() as f64, levels.len())
    }

    /// Whether the interval holds a value.
    pub fn holds(&self, value: f64) -> bool {
        self.low <= value && value <= self.high
    }
}

/// The level of each truth among central intervals, from its rank fraction.
pub fn central_levels(ranks: &[f64]) -> Vec<f64> {
    ranks.iter().map(|rank| (2.0 * rank - 1.0).abs()).collect()
}

/// The level of a truth among regions of highest density: the mass of draws denser than it.
///
/// `ln_density` `[n]` of the draws and `truth` are of one density, which need not be normalised;
/// `u` is a uniform number of the caller's.
pub fn density_level(ln_density: &[f32], truth: f32, u: f64) -> f64 {
    1.0 - rank_fraction(ln_density, truth, 1.0 - u)
}

/// [`density_level`] among draws of unequal weights.
pub fn weighted_density_level(ln_density: &[f32], weights: &[f64], truth: f32, u: f64) -> f64 {
    1.0 - weighted_rank_fraction(ln_density, weights, truth, 1.0 - u)
}

/// What the levels of many truths among regions of highest density say.
#[derive(Debug, Clone, PartialEq)]
pub struct LevelFindings {
    pub ks: Test,
    /// Mean level; above 1/2 where truths lie too far out.
    pub mean: f64,
    /// Truths in the regions of 68 and 95 %.
    pub in_68: Fraction,
    pub in_95: Fraction,
    /// Bonferroni's p-value of KS and the mean together.
    pub p_value: f64,
    pub shape: Shape,
}

impl LevelFindings {
    /// `alpha` is the chance accepted of calling uniform levels something else. Levels that are not
    /// finite count as 1, the worst.
    pub fn of(levels: &[f64], alpha: f64) -> Self {
        let levels: Vec<f64> =
            levels.iter().map(|level| if level.is_finite() { level.clamp(0.0, 1.0) } else { 1.0 }).collect();
        let ks = ks_test(&levels);
        let [slope, _] = smooth_components(&levels);
        let p_slope = normal_p_value(slope);
        let p_value = (2.0 * ks.p_value.min(p_slope)).min(1.0);
        let shape = if levels.is_empty() || p_value >= alpha {
            Shape::Uniform
        } else if p_slope < alpha {
            if slope > 0.0 { Shape::TooNarrow } else { Shape::TooWide }
        } else {
            Shape::Irregular
        };
        Self {
            ks,
            mean: levels.iter().sum::<f64>() / levels.len() as f64,
            in_68: Fraction::within(&levels, 0.68),
            in_95: Fraction::within(&levels, 0.95),
            p_value,
            shape,
        }
    }
}

/// Coverage of regions of each mass of `grid`.
pub fn curve(levels: &[f64], grid: &[f64]) -> Vec<f64> {
    let mut sorted = levels.to_vec();
    sorted.sort_by(f64::total_cmp);
    let n = sorted.len().max(1) as f64;
    grid.iter().map(|mass| sorted.partition_point(|level| level <= mass) as f64 / n).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_of_fractions_are_wilsons() {
        let half = Fraction::new(50.0, 100);
        assert!((half.low - 0.403_83).abs() < 1e-4 && (half.high - 0.596_17).abs() < 1e-4, "{half:?}");
        let none = Fraction::new(0.0, 10);
        assert!(none.low == 0.0 && (none.high - 0.277_53).abs() < 1e-4, "{none:?}");
        assert!(Fraction::new(0.0, 0).value.is_nan());
        assert!(half.holds(0.5) && !half.holds(0.61));
    }

    #[test]
    fn the_middle_rank_has_level_zero_and_the_last_level_one() {
        assert_eq!(central_levels(&[0.5, 1.0, 0.0, 0.25]), [0.0, 1.0, 1.0, 0.5]);
        assert_eq!(density_level(&[-1.0, -2.0, -3.0], -0.5, 0.0), 0.0);
        assert_eq!(density_level(&[-1.0, -2.0, -3.0], -4.0, 1.0), 1.0);
        assert_eq!(density_level(&[-1.0, -2.0, -3.0], -2.5, 0.5), 2.5 / 4.0);
    }

    #[test]
    fn levels_that_lean_outwards_are_of_narrow_posteriors() {
        let lean =
            |power: f64| -> Vec<f64> { (0..1000).map(|i| (f64::from(i) / 999.0).powf(power)).collect() };
        assert_eq!(LevelFindings::of(&lean(1.0), 0.01).shape, Shape::Uniform);
        assert_eq!(LevelFindings::of(&lean(0.8), 0.01).shape, Shape::TooNarrow);
        assert_eq!(LevelFindings::of(&lean(1.25), 0.01).shape, Shape::TooWide);
        assert_eq!(LevelFindings::of(&[f64::NAN; 50], 0.01).shape, Shape::TooNarrow);
        assert_eq!(LevelFindings::of(&[], 0.01).shape, Shape::Uniform);
    }

    #[test]
    fn coverage_counts_the_levels_up_to_each_mass() {
        assert_eq!(curve(&[0.1, 0.2, 0.9, 0.5], &[0.0, 0.2, 0.5, 1.0]), [0.0, 0.5, 0.75, 1.0]);
        assert_eq!(Fraction::within(&[0.1, 0.2, 0.9, 0.5], 0.68).value, 0.75);
    }
}
