//! Importance sampling: weights of draws from `q` that make them draws from a target, and what they are worth.
//!
//! `w_i = target(u_i) / q(u_i)`. The largest weights are smoothed by the quantiles of a generalized Pareto
//! distribution fitted to them (PSIS: Vehtari et al. 2024, JMLR 25, 72); its shape k says how heavy
//! their tail is: above 0.7 the weighted draws cannot be trusted, whatever their number. Numbers that
//! say how good the draws are come from the weights as they are, not as smoothed.

use rand::{Rng, RngExt};
use thiserror::Error;

#[derive(Debug, Error, PartialEq)]
pub enum WeightError {
    #[error("{targets} target densities for {proposals} draws")]
    Length { targets: usize, proposals: usize },
    #[error("the target density is 0 at all {0} draws")]
    AllZero(usize),
}

/// Weighted draws.
#[derive(Debug, Clone, PartialEq)]
pub struct Weights {
    /// Smoothed and normalised: they sum to 1 `[n]`.
    pub weights: Vec<f64>,
    /// Effective number of draws, `(sum w)^2 / sum w^2`.
    pub ess: f64,
    /// `ess / n`. Biased upwards where the draws missed the largest weights: see [`pareto_k`](Self::pareto_k).
    pub efficiency: f64,
    /// Shape of the tail of the weights; infinite where it cannot be told.
    pub pareto_k: f64,
    /// `ln` of the mean weight, which is the evidence where the target is likelihood times prior, and its
    /// standard error.
    pub ln_evidence: f64,
    pub ln_evidence_err: f64,
}

/// Weights of draws with target density `ln_target` `[n]` (up to a factor) and proposal density `ln_q` `[n]`.
///
/// Errors where every weight is 0. A density that is NaN counts as 0.
pub fn weigh(ln_target: &[f64], ln_q: &[f32]) -> Result<Weights, WeightError> {
    let n = ln_target.len();
    if n != ln_q.len() {
        return Err(WeightError::Length { targets: n, proposals: ln_q.len() });
    }
    let mut ln_w: Vec<f64> = ln_target.iter().zip(ln_q).map(|(t, &q)| t - f64::from(q)).collect();
    ln_w.iter_mut().filter(|w| w.is_nan()).for_each(|w| *w = f64::NEG_INFINITY);
    let top = ln_w.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if !top.is_finite() {
        return Err(WeightError::AllZero(n));
    }
    let mut weights: Vec<f64> = ln_w.iter().map(|w| (w - top).exp()).collect();
    let sum: f64 = weights.iter().sum();
    let square: f64 = weights.iter().map(|w| w * w).sum();
    let ess = sum * sum / square;
    let pareto_k = smooth_tail(&mut weights);
    let smoothed: f64 = weights.iter().sum();
    weights.iter_mut().for_each(|w| *w /= smoothed);
    let count = n as f64;
    Ok(Weights {
        weights,
        ess,
        efficiency: ess / count,
        pareto_k,
        ln_evidence: top + (sum / count).ln(),
        // sd(w) / mean(w) / sqrt(n), from the weights' first two moments.
        ln_evidence_err: (1.0 / ess - 1.0 / count).max(0.0).sqrt(),
    })
}

/// Fewest draws from which a tail is fitted.
const MIN_TAIL: usize = 5;

/// Replaces the largest of `weights` (at most 1) by the fitted tail's quantiles; returns its shape.
fn smooth_tail(weights: &mut [f64]) -> f64 {
    let n = weights.len();
    let tail = (0.2 * n as f64).min(3.0 * (n as f64).sqrt()).ceil() as usize;
    if tail < MIN_TAIL || n <= tail {
        return f64::INFINITY;
    }
    let mut order: Vec<u32> = (0..n as u32).collect();
    let by_weight = |a: &u32, b: &u32| weights[*a as usize].total_cmp(&weights[*b as usize]);
    let (_, &mut at_cut, largest) = order.select_nth_unstable_by(n - tail - 1, by_weight);
    largest.sort_unstable_by(by_weight);
    let cut = weights[at_cut as usize].max(f64::MIN_POSITIVE);
    let excess: Vec<f64> = largest.iter().map(|&i| weights[i as usize] - cut).collect();
    if excess[tail - 1] <= 1e-4 * cut {
        // All alike, as where target and proposal are one: no tail at all.
        return 0.0;
    }
    if excess[(tail - 1) / 4] <= 0.0 {
        // Most of the draws have no weight to speak of.
        return f64::INFINITY;
    }
    let (k, sigma) = fit_pareto(&excess);
    if k.is_finite() {
        for (rank, &i) in largest.iter().enumerate() {
            let p = (rank as f64 + 0.5) / tail as f64;
            weights[i as usize] = (cut + pareto_quantile(p, k, sigma)).min(1.0);
        }
    }
    k
}

/// Shape and scale of a generalized Pareto distribution of ascending positive `x`: the estimate of Zhang
/// & Stephens (2009, Technometrics 51, 316) with the weak prior on k of Vehtari et al. (2024).
fn fit_pareto(x: &[f64]) -> (f64, f64) {
    let n = x.len();
    let count = n as f64;
    let grid = 30 + (count.sqrt() as usize);
    let quarter = x[((count / 4.0 + 0.5) as usize).clamp(1, n) - 1];
    let theta: Vec<f64> = (1..=grid)
        .map(|j| {
            let spread = 1.0 - (grid as f64 / (j as f64 - 0.5)).sqrt();
            1.0 / x[n - 1] + spread / (3.0 * quarter)
        })
        .collect();
    let shape = |theta: f64| x.iter().map(|x| (-theta * x).ln_1p()).sum::<f64>() / count;
    let ln_l: Vec<f64> = theta
        .iter()
        .map(|&theta| {
            let k = shape(theta);
            count * ((-theta / k).ln() - k - 1.0)
        })
        .collect();
    let top = ln_l.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let (mut sum, mut mean) = (0.0, 0.0);
    for (ln_l, theta) in ln_l.iter().zip(&theta) {
        let weight = (ln_l - top).exp();
        if weight.is_finite() {
            sum += weight;
            mean += weight * theta;
        }
    }
    let theta = mean / sum;
    let k = shape(theta);
    let sigma = -k / theta;
    // The prior counts as 10 observations at 1/2.
    (k * count / (count + 10.0) + 5.0 / (count + 10.0), sigma)
}

fn pareto_quantile(p: f64, k: f64, sigma: f64) -> f64 {
    if k.abs() < 1e-12 { -sigma * (-p).ln_1p() } else { sigma * (-k * (-p).ln_1p()).exp_m1() / k }
}

/// `n` indices of draws in proportion to `weights`, in ascending order: systematic resampling, so that a
/// draw of weight w comes `n w` times, rounded up or down.
pub fn resample(weights: &[f64], n: usize, rng: &mut impl Rng) -> Vec<u32> {
    let total: f64 = weights.iter().sum();
    let step = total / n as f64;
    let start: f64 = rng.random();
    let mut chosen = Vec::with_capacity(n);
    let (mut sum, mut next) = (0.0, start * step);
    for (i, weight) in weights.iter().enumerate() {
        sum += weight;
        while next < sum && chosen.len() < n {
            chosen.push(i as u32);
            next = (chosen.len() as f64 + start) * step;
        }
    }
    // Rounding may leave the last step just beyond the sum.
    let last = weights.iter().rposition(|&w| w > 0.0).unwrap_or(0) as u32;
    chosen.resize(n, last);
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Streams;
    use crate::special::norm_ln_pdf;
    use rand_distr::{Distribution, StandardNormal};

    /// Draws of N(0, width) in `d` dimensions against a standard normal target times e^3.
    fn gaussian(n: usize, d: usize, width: f64, seed: u64) -> (Vec<f64>, Vec<f64>, Vec<f32>) {
        let mut rng = Streams::new(seed, "importance test").at(0);
        let (mut first, mut ln_t, mut ln_q) = (vec![], vec![], vec![]);
        for _ in 0..n {
            let (mut t, mut q) = (3.0, 0.0);
            for i in 0..d {
                let e: f64 = StandardNormal.sample(&mut rng);
                let x = width * e;
                if i == 0 {
                    first.push(x);
                }
                t += norm_ln_pdf(x);
                q += norm_ln_pdf(e) - width.ln();
            }
            ln_t.push(t);
            ln_q.push(q as f32);
        }
        (first, ln_t, ln_q)
    }

    #[test]
    fn draws_of_the_target_have_full_efficiency() {
        let (_, t, q) = gaussian(2000, 3, 1.0, 1);
        let w = weigh(&t, &q).unwrap();
        assert!((w.efficiency - 1.0).abs() < 1e-6 && w.pareto_k == 0.0, "{}", w.efficiency);
        assert!((w.ln_evidence - 3.0).abs() < 1e-5 && w.ln_evidence_err < 1e-3);
    }

    #[test]
    fn a_wider_proposal_has_its_closed_form_efficiency_and_recovers_the_target() {
        // For widths s > 1, E[w^2] = (s^2 / sqrt(2 s^2 - 1))^d where E[w] = 1.
        let (s, d, n) = (1.3_f64, 4, 20_000);
        let (x, t, q) = gaussian(n, d, s, 2);
        let w = weigh(&t, &q).unwrap();
        let truth = (s * s / (2.0 * s * s - 1.0).sqrt()).powi(-(d as i32));
        assert!((w.efficiency / truth - 1.0).abs() < 0.03, "{} for {truth}", w.efficiency);
        assert!((w.ln_evidence - 3.0).abs() < 4.0 * w.ln_evidence_err && w.ln_evidence_err < 0.01);
        assert!(w.pareto_k < 0.3, "{}", w.pareto_k);
        let variance: f64 = x.iter().zip(&w.weights).map(|(x, w)| w * x * x).sum();
        assert!((variance - 1.0).abs() < 0.03, "{variance}");
    }

    #[test]
    fn a_narrow_proposal_is_caught_by_its_tail() {
        // The ratio's tail is Pareto of shape 1 - s^2 in each dimension.
        for (s, k) in [(0.5, 0.75), (0.8, 0.36)] {
            let (_, t, q) = gaussian(40_000, 1, s, 3);
            let found = weigh(&t, &q).unwrap().pareto_k;
            assert!((found - k).abs() < 0.15, "width {s}: {found} for {k}");
        }
        let (_, t, q) = gaussian(4000, 6, 0.5, 4);
        assert!(weigh(&t, &q).unwrap().pareto_k > 0.7);
    }

    #[test]
    fn the_pareto_fit_recovers_its_parameters() {
        for (k, sigma) in [(-0.3, 1.0), (0.2, 3.0), (0.7, 0.1), (1.2, 1.0)] {
            let n = 2000;
            let x: Vec<f64> =
                (0..n).map(|i| pareto_quantile((f64::from(i) + 0.5) / f64::from(n), k, sigma)).collect();
            let (found, scale) = fit_pareto(&x);
            assert!(
                (found - k).abs() < 0.03 && (scale / sigma - 1.0).abs() < 0.05,
                "{found} {scale} for {k} {sigma}"
            );
        }
    }

    #[test]
    fn smoothing_tames_the_largest_weight() {
        let (_, t, q) = gaussian(1000, 6, 0.7, 5);
        let w = weigh(&t, &q).unwrap();
        let raw_top = {
            let ln: Vec<f64> = t.iter().zip(&q).map(|(t, q)| t - f64::from(*q)).collect();
            let top = ln.iter().copied().fold(f64::MIN, f64::max);
            1.0 / ln.iter().map(|l| (l - top).exp()).sum::<f64>()
        };
        let top = w.weights.iter().copied().fold(0.0, f64::max);
        assert!(
            top <= raw_top * 1.2 && (w.weights.iter().sum::<f64>() - 1.0).abs() < 1e-12,
            "{top} {raw_top}"
        );
    }

    #[test]
    fn nothing_divides_by_zero() {
        assert_eq!(weigh(&[f64::NEG_INFINITY; 3], &[0.0; 3]), Err(WeightError::AllZero(3)));
        assert_eq!(weigh(&[f64::NAN; 3], &[0.0; 3]), Err(WeightError::AllZero(3)));
        assert!(matches!(weigh(&[0.0; 3], &[0.0; 2]), Err(WeightError::Length { .. })));
        assert!(weigh(&[], &[]).is_err());
        // Likelihoods far below the smallest number still have their ratios.
        let ln_t: Vec<f64> = (0..100).map(|i| -1e6 - f64::from(i) * 0.01).collect();
        let w = weigh(&ln_t, &[0.0; 100]).unwrap();
        assert!(w.ess > 80.0 && w.ln_evidence < -1e6 + 1.0);
        // One draw holds all the weight.
        let mut ln_t = vec![-1e6; 100];
        ln_t[7] = 0.0;
        let w = weigh(&ln_t, &[0.0; 100]).unwrap();
        assert!((w.ess - 1.0).abs() < 1e-9 && w.pareto_k == f64::INFINITY);
    }

    #[test]
    fn resampling_is_in_proportion_and_gives_exactly_as_many() {
        let weights = [0.1, 0.0, 0.55, 0.35];
        let mut rng = Streams::new(1, "importance test").at(9);
        let chosen = resample(&weights, 1000, &mut rng);
        let count = |i: u32| chosen.iter().filter(|&&c| c == i).count() as f64;
        for (i, w) in weights.iter().enumerate() {
            assert!((count(i as u32) - 1000.0 * w).abs() <= 1.0, "{i}: {}", count(i as u32));
        }
        assert_eq!(chosen.len(), 1000);
        assert_eq!(resample(&[1.0], 3, &mut rng), [0, 0, 0]);
    }
}
