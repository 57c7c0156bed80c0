//! Posterior predictive checks (Gelman, Meng & Stern 1996): is the observed photometry what the
//! posterior predicts?

use crate::special::chi2_survival;

/// What the model fluxes of a galaxy's draws say of its observed ones.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Predictive {
    /// Chi-squared of the draw that fits best.
    pub chi2_best: f64,
    /// Probability of a chi-squared as large in data repeated from the posterior: the mean over draws
    /// of the tail beyond each one's chi-squared.
    pub p_value: f64,
    pub n_bands: u32,
}

/// Chi-squared of observed fluxes under one model: bands whose bit of `observed` is set count.
pub fn chi2(model_nmgy: &[f64], flux_nmgy: &[f64], sigma_nmgy: &[f64], observed: u64) -> f64 {
    let pulls = model_nmgy.iter().zip(flux_nmgy).zip(sigma_nmgy).map(|((m, f), s)| (f - m) / s);
    let counts = |band: usize| band < 64 && observed >> band & 1 == 1;
    pulls.enumerate().filter(|(band, _)| counts(*band)).map(|(_, pull)| pull * pull).sum()
}

impl Predictive {
    /// From the chi-squared of each draw, with `weights` or equal ones where empty.
    ///
    /// Errors are Gaussian and known, so that the tail of repeated data is that of a chi-squared of as
    /// many degrees of freedom as bands. The p-values of right models are not uniform: the same data
    /// made the posterior, so they lean to the middle, and are to be read against those of mocks.
    pub fn of(chi2: &[f64], weights: &[f64], n_bands: u32) -> Self {
        let finite = chi2.iter().copied().filter(|c| c.is_finite());
        let (mut tail, mut total) = (0.0, 0.0);
        for (i, &chi2) in chi2.iter().enumerate() {
            let weight = if weights.is_empty() { 1.0 } else { weights.get(i).copied().unwrap_or(0.0) };
            total += weight;
            // A draw without a model flux predicts nothing.
            tail += weight * if chi2.is_finite() { chi2_survival(chi2, n_bands as usize) } else { 0.0 };
        }
        Self {
            chi2_best: finite.fold(f64::INFINITY, f64::min),
            p_value: if n_bands == 0 { f64::NAN } else { tail / total },
            n_bands,
        }
    }
}

/// The fraction of `reference` at or below `value`, ties counted half, kept off 0 and 1 by half a count:
/// a p-value whose distribution is that of the reference.
pub fn empirical_p_value(sorted_reference: &[f64], value: f64) -> f64 {
    let below = sorted_reference.partition_point(|r| *r < value) as f64;
    let ties = sorted_reference.partition_point(|r| *r <= value) as f64 - below;
    (below + 0.5 * ties + 0.5) / (sorted_reference.len() as f64 + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Streams;
    use rand_distr::{Distribution, StandardNormal};

    #[test]
    fn only_observed_bands_count() {
        let found = chi2(&[1.0, 2.0, 3.0], &[2.0, 2.0, f64::NAN], &[0.5, 1.0, 1.0], 0b011);
        assert_eq!(found, 4.0);
    }

    #[test]
    fn a_posterior_of_one_point_has_uniform_p_values() {
        let streams = Streams::new(2, "predictive test");
        let p: Vec<f64> = (0..1000)
            .map(|i| {
                let mut rng = streams.at(i);
                let flux: Vec<f64> = (0..5)
                    .map(|_| {
                        let e: f64 = StandardNormal.sample(&mut rng);
                        10.0 + 2.0 * e
                    })
                    .collect();
                let one = chi2(&[10.0; 5], &flux, &[2.0; 5], u64::MAX);
                Predictive::of(&[one], &[], 5).p_value
            })
            .collect();
        assert!(crate::validate::uniformity::ks_test(&p).p_value > 0.01);
        // Of a model that is off by 5 sigma in one band they are small.
        let off = chi2(&[10.0, 10.0, 10.0, 10.0, 20.0], &[10.0; 5], &[2.0; 5], u64::MAX);
        assert!(Predictive::of(&[off], &[], 5).p_value < 1e-3);
    }

    #[test]
    fn weights_choose_among_draws_and_the_best_is_the_smallest() {
        let found = Predictive::of(&[100.0, 0.0, f64::NAN], &[0.0, 1.0, 0.0], 4);
        assert_eq!((found.chi2_best, found.p_value), (0.0, 1.0));
        assert!(Predictive::of(&[1.0], &[], 0).p_value.is_nan());
        assert_eq!(Predictive::of(&[f64::NAN], &[], 3).p_value, 0.0);
    }

    #[test]
    fn an_empirical_p_value_never_is_zero_or_one() {
        let reference = [0.1, 0.2, 0.2, 0.4];
        assert_eq!(empirical_p_value(&reference, 0.0), 0.1);
        assert_eq!(empirical_p_value(&reference, 0.2), 0.5);
        assert_eq!(empirical_p_value(&reference, 1.0), 0.9);
    }
}
