//! The exact posterior of one galaxy: likelihood of its fluxes given the SED model, times the prior.
//!
//! `ln L = sum_b ln N(F_b | f_b(theta), s_b)` over measured bands, `s_b^2 = sigma_b^2 + (e f_b)^2` with `e`
//! the fractional error of the model, and `ln Phi((F_b - f_b) / s_b)` for upper limits `F_b`. Where a noise
//! model is given, the errors are data too: `ln p(sigma_b | f_b)` of the model by which mocks are
//! made, which is what a network trained on those mocks has learned. In the coordinates of the flow the
//! prior is a standard normal.

use thiserror::Error;

use crate::noise::{MAG_PER_RELATIVE, NoiseModel, nmgy_to_mag};
use crate::prior::{N_PARAM, Prior, ThetaMap};
use crate::sed::{OneRedshift, Scratch, Theta};
use crate::special::{norm_ln_cdf, norm_ln_pdf};

/// Rows of coordinates mapped to parameters at a time.
const BLOCK: usize = 256;

#[derive(Debug, Error, PartialEq)]
pub enum LikelihoodError {
    #[error("band {band}: flux {flux_nmgy} nmgy with error {sigma_nmgy} nmgy is no measurement")]
    Datum { band: usize, flux_nmgy: f64, sigma_nmgy: f64 },
    #[error("no band was measured")]
    Nothing,
    #[error("the fractional error of the model is {found}, expected 0 to below 1")]
    ModelError { found: f64 },
    #[error("the galaxy has {found} bands, the noise model {expected}")]
    Bands { found: usize, expected: usize },
}

/// What one band says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Datum {
    /// A flux and its error, nanomaggies.
    Flux { flux_nmgy: f64, sigma_nmgy: f64 },
    /// The flux is below this, which has an error of `sigma_nmgy` (a 3-sigma limit: a third of it).
    Limit { limit_nmgy: f64, sigma_nmgy: f64 },
    /// Not observed.
    Nothing,
}

/// The likelihood of a galaxy's photometry as a function of noiseless fluxes.
#[derive(Debug, Clone)]
pub struct Likelihood<'a> {
    data: Vec<Datum>,
    model_error: f64,
    noise: Option<&'a NoiseModel>,
    n_measured: usize,
}

impl<'a> Likelihood<'a> {
    /// Errors are taken as given. One datum per band of the photometric table.
    ///
    /// Errors where a flux or error is not a finite measurement, or no band was measured.
    pub fn new(data: Vec<Datum>) -> Result<Self, LikelihoodError> {
        for (band, datum) in data.iter().enumerate() {
            if let Datum::Flux { flux_nmgy, sigma_nmgy } | Datum::Limit { limit_nmgy: flux_nmgy, sigma_nmgy } =
                *datum
                && !(flux_nmgy.is_finite() && sigma_nmgy.is_finite() && sigma_nmgy > 0.0)
            {
                return Err(LikelihoodError::Datum { band, flux_nmgy, sigma_nmgy });
            }
        }
        let n_measured = data.iter().filter(|datum| matches!(datum, Datum::Flux { .. })).count();
        if n_measured == 0 {
            return Err(LikelihoodError::Nothing);
        }
        Ok(Self { data, model_error: 0.0, noise: None, n_measured })
    }

    /// The same with a fractional error of the model's fluxes.
    pub fn with_model_error(mut self, fraction: f64) -> Result<Self, LikelihoodError> {
        if !(0.0..1.0).contains(&fraction) {
            return Err(LikelihoodError::ModelError { found: fraction });
        }
        self.model_error = fraction;
        Ok(self)
    }

    /// The same with the errors of measured bands as data, drawn as `noise` draws them.
    pub fn with_noise(mut self, noise: &'a NoiseModel) -> Result<Self, LikelihoodError> {
        if noise.bands.len() != self.data.len() {
            return Err(LikelihoodError::Bands { found: self.data.len(), expected: noise.bands.len() });
        }
        self.noise = Some(noise);
        Ok(self)
    }

    pub fn data(&self) -> &[Datum] {
        &self.data
    }

    /// Bands with a measured flux, which are those that [`Self::chi2`] sums over.
    pub fn n_measured(&self) -> usize {
        self.n_measured
    }

    /// `ln L` of noiseless fluxes `[n_band]`, nanomaggies; minus infinity where they are no fluxes.
    pub fn ln(&self, model_nmgy: &[f64]) -> f64 {
        let mut sum = 0.0;
        for (band, (datum, &f)) in self.data.iter().zip(model_nmgy).enumerate() {
            match *datum {
                Datum::Flux { flux_nmgy, sigma_nmgy } => {
                    let s = self.total_error(sigma_nmgy, f);
                    sum += norm_ln_pdf((flux_nmgy - f) / s) - s.ln();
                    if let Some(noise) = self.noise {
                        sum += ln_prob_sigma(noise, band, f, sigma_nmgy);
                    }
                }
                Datum::Limit { limit_nmgy, sigma_nmgy } => {
                    sum += norm_ln_cdf((limit_nmgy - f) / self.total_error(sigma_nmgy, f));
                }
                Datum::Nothing => {}
            }
        }
        if sum.is_nan() { f64::NEG_INFINITY } else { sum }
    }

    /// `sum ((F - f) / s)^2` over the measured bands.
    pub fn chi2(&self, model_nmgy: &[f64]) -> f64 {
        let of = |(datum, &f): (&Datum, &f64)| match *datum {
            Datum::Flux { flux_nmgy, sigma_nmgy } => {
                ((flux_nmgy - f) / self.total_error(sigma_nmgy, f)).powi(2)
            }
            _ => 0.0,
        };
        self.data.iter().zip(model_nmgy).map(of).sum()
    }

    /// The factor on all fluxes that fits the measured ones best; none where it is not positive.
    pub fn best_scale(&self, model_nmgy: &[f64]) -> Option<f64> {
        let (mut cross, mut square) = (0.0, 0.0);
        for (datum, &f) in self.data.iter().zip(model_nmgy) {
            if let Datum::Flux { flux_nmgy, sigma_nmgy } = *datum {
                let weight = self.total_error(sigma_nmgy, flux_nmgy).powi(-2);
                cross += weight * flux_nmgy * f;
                square += weight * f * f;
            }
        }
        let scale = cross / square;
        (scale.is_finite() && scale > 0.0).then_some(scale)
    }

    fn total_error(&self, sigma_nmgy: f64, model_nmgy: f64) -> f64 {
        if self.model_error == 0.0 { sigma_nmgy } else { sigma_nmgy.hypot(self.model_error * model_nmgy) }
    }
}

/// `ln p(sigma | f)` of one band, as [`crate::noise::NoiseSampler::ln_prob_sigma`].
fn ln_prob_sigma(noise: &NoiseModel, band: usize, flux_nmgy: f64, sigma_nmgy: f64) -> f64 {
    let per_flux = MAG_PER_RELATIVE / flux_nmgy;
    let (median, sd) = noise.bands[band].sigma_mag(nmgy_to_mag(flux_nmgy));
    let sd = sd.max(1e-12);
    norm_ln_pdf((per_flux * sigma_nmgy - median) / sd) + (per_flux / sd).ln()
}

/// The posterior of one galaxy at its redshift, with buffers of its own: one per thread.
pub struct ExactPosterior<'a> {
    at: OneRedshift<'a>,
    pub(super) likelihood: Likelihood<'a>,
    pub(super) prior: &'a Prior,
    pub(super) map: &'a ThetaMap,
    scratch: Scratch,
    nmgy: Vec<f64>,
    /// Parameters of a block, `[12, BLOCK]`.
    theta: Vec<f32>,
}

impl<'a> ExactPosterior<'a> {
    /// `map` is the prior's; `at` has the bands of `likelihood`.
    pub fn new(prior: &'a Prior, map: &'a ThetaMap, at: OneRedshift<'a>, likelihood: Likelihood<'a>) -> Self {
        let n_bands = likelihood.data.len();
        Self {
            at,
            likelihood,
            prior,
            map,
            scratch: Scratch::default(),
            nmgy: vec![0.0; n_bands],
            theta: vec![0.0; N_PARAM * BLOCK],
        }
    }

    pub fn likelihood(&self) -> &Likelihood<'a> {
        &self.likelihood
    }

    pub fn prior(&self) -> &'a Prior {
        self.prior
    }

    pub fn zred(&self) -> f64 {
        self.at.zred()
    }

    /// Noiseless fluxes of a parameter row, nanomaggies.
    pub fn nanomaggies(&mut self, theta: &Theta) -> &[f64] {
        self.at.nanomaggies(theta, &mut self.scratch, &mut self.nmgy);
        &self.nmgy
    }

    /// `ln L` of coordinates `u` `[n, n_free]` to `out` `[n]`.
    pub fn ln_likelihood(&mut self, u: &[f32], out: &mut [f64]) {
        self.each(u, out, |likelihood, nmgy| likelihood.ln(nmgy));
    }

    /// `ln L` and chi-squared of coordinates `u` `[n, n_free]`, each `[n]`.
    pub fn ln_likelihood_and_chi2(&mut self, u: &[f32], ln_l: &mut [f64], chi2: &mut [f64]) {
        let mut at = 0;
        self.each(u, ln_l, |likelihood, nmgy| {
            chi2[at] = likelihood.chi2(nmgy);
            at += 1;
            likelihood.ln(nmgy)
        });
    }

    /// `ln (L times prior)` in the coordinates, `u` `[n, n_free]` to `out` `[n]`.
    pub fn ln_posterior_latent(&mut self, u: &[f32], out: &mut [f64]) {
        self.ln_likelihood(u, out);
        for (out, u) in out.iter_mut().zip(u.chunks_exact(self.map.n_free().max(1))) {
            *out += ln_standard_normal(u);
        }
    }

    /// `ln L` of a parameter row.
    pub fn ln_likelihood_of(&mut self, theta: &Theta) -> f64 {
        self.at.nanomaggies(theta, &mut self.scratch, &mut self.nmgy);
        self.likelihood.ln(&self.nmgy)
    }

    /// `ln (L times prior)` in parameter space; minus infinity outside the prior.
    pub fn ln_posterior(&mut self, theta: &Theta) -> f64 {
        let prior = self.prior.ln_density(theta);
        if prior == f64::NEG_INFINITY { prior } else { prior + self.ln_likelihood_of(theta) }
    }

    fn each(&mut self, u: &[f32], out: &mut [f64], mut take: impl FnMut(&Likelihood, &[f64]) -> f64) {
        self.each_theta(u, |likelihood, i, _, nmgy| out[i] = take(likelihood, nmgy));
    }

    /// Hands over, for each row of coordinates `u` `[n, n_free]`: its number, parameters and fluxes.
    pub(super) fn each_theta(
        &mut self,
        u: &[f32],
        mut take: impl FnMut(&Likelihood, usize, &Theta, &mut [f64]),
    ) {
        let d = self.map.n_free();
        let mut first = 0;
        for u in u.chunks(BLOCK * d) {
            let n = u.len() / d;
            let theta = &mut self.theta[..N_PARAM * n];
            self.map.columns(u, theta);
            for i in 0..n {
                let row = std::array::from_fn(|param| f64::from(theta[param * n + i]));
                self.at.nanomaggies(&row, &mut self.scratch, &mut self.nmgy);
                take(&self.likelihood, first + i, &row, &mut self.nmgy);
            }
            first += n;
        }
    }
}

/// `ln N(u | 0, 1)` of a point.
pub fn ln_standard_normal(u: &[f32]) -> f64 {
    u.iter().map(|&u| norm_ln_pdf(f64::from(u))).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filters;
    use crate::rng::Streams;
    use crate::sed::{PhotTable, SedModel};
    use crate::ssp::SspGrid;
    use std::f64::consts::PI;
    use std::sync::Arc;

    fn flux(flux_nmgy: f64, sigma_nmgy: f64) -> Datum {
        Datum::Flux { flux_nmgy, sigma_nmgy }
    }

    #[test]
    fn measured_fluxes_have_a_gaussian_likelihood_and_limits_its_integral() {
        let likelihood = Likelihood::new(vec![
            flux(10.0, 2.0),
            Datum::Nothing,
            Datum::Limit { limit_nmgy: 3.0, sigma_nmgy: 1.0 },
        ])
        .unwrap();
        let gaussian = -0.5 * 2.25 - (2.0 * (2.0 * PI).sqrt()).ln();
        // P(X < 1) of a standard normal.
        let limit = 0.841_344_746_068_542_9_f64.ln();
        assert!((likelihood.ln(&[13.0, 99.0, 2.0]) - gaussian - limit).abs() < 1e-12);
        assert_eq!((likelihood.chi2(&[13.0, 99.0, 2.0]), likelihood.n_measured()), (2.25, 1));
        // A model far above the limit is improbable, not impossible.
        assert!(likelihood.ln(&[10.0, 0.0, 1e4]) < -1e7);
        assert_eq!(likelihood.ln(&[f64::NAN, 0.0, 1.0]), f64::NEG_INFINITY);
    }

    #[test]
    fn the_model_error_adds_in_quadrature_and_is_paid_for() {
        let plain = Likelihood::new(vec![flux(10.0, 3.0)]).unwrap();
        let wide = plain.clone().with_model_error(0.4).unwrap();
        // 3 and 0.4 * 10 make 5.
        assert!((wide.ln(&[10.0]) - (plain.ln(&[10.0]) - (5.0_f64 / 3.0).ln())).abs() < 1e-12);
        assert!((wide.chi2(&[10.0 + 1e-9]) - 0.0).abs() < 1e-12);
        assert!(plain.with_model_error(1.0).is_err());
    }

    #[test]
    fn errors_as_data_have_the_density_that_mocks_draw_them_from() {
        let noise = NoiseModel::shipped().unwrap();
        let (f, sigma) = ([40.0, 100.0, 150.0, 200.0, 220.0], [2.5, 2.1, 3.1, 4.2, 9.0]);
        let data: Vec<Datum> = f.iter().zip(&sigma).map(|(f, s)| flux(*f, *s)).collect();
        let given = Likelihood::new(data).unwrap();
        let modelled = given.clone().with_noise(&noise).unwrap();
        let model = [41.0, 99.0, 152.0, 201.0, 215.0];
        let truth = noise.sampler().ln_prob_sigma(&model, &sigma);
        assert!((modelled.ln(&model) - given.ln(&model) - truth).abs() < 1e-9);
        // A density: it integrates to 1 over the errors of one band.
        let of = |s: f64| ln_prob_sigma(&noise, 2, 150.0, s).exp();
        let step = 1e-3;
        let integral: f64 = (1..20_000).map(|i| of(f64::from(i) * step) * step).sum();
        assert!((integral - 1.0).abs() < 1e-3, "{integral}");
        assert!(Likelihood::new(vec![flux(1.0, 1.0)]).unwrap().with_noise(&noise).is_err());
    }

    #[test]
    fn mocks_of_a_flux_neither_raise_nor_lower_it_on_average() {
        let noise = NoiseModel::shipped().unwrap();
        let sampler = noise.sampler();
        let mut rng = Streams::new(11, "posterior test").at(7);
        for mag in [11.3, 14.3, 16.3, 17.3] {
            let f = [mag + 1.1, mag, mag - 0.4, mag - 0.6, mag - 0.8].map(crate::noise::mag_to_nmgy);
            let (mut noisy, mut sigma) = ([0.0; 5], [0.0; 5]);
            let (mut sum, mut square) = (0.0, 0.0);
            for _ in 0..40_000 {
                sampler.draw(&f, &mut rng, &mut noisy, &mut sigma).unwrap();
                let data = noisy.iter().zip(&sigma).map(|(&f, &s)| flux(f, s)).collect();
                let likelihood = Likelihood::new(data).unwrap().with_noise(&noise).unwrap();
                let at = |ln_factor: f64| likelihood.ln(&f.map(|f| f * ln_factor.exp()));
                let score = (at(1e-4) - at(-1e-4)) / 2e-4;
                sum += score;
                square += score * score;
            }
            let sigmas: f64 = sum / square.sqrt();
            assert!(sigmas.abs() < 4.0, "{mag}: {sigmas}");
        }
    }

    #[test]
    fn what_is_no_measurement_is_refused() {
        for (f, s) in [(f64::NAN, 1.0), (1.0, 0.0), (1.0, f64::INFINITY), (f64::INFINITY, 1.0), (1.0, -1.0)] {
            assert!(matches!(Likelihood::new(vec![flux(f, s)]), Err(LikelihoodError::Datum { band: 0, .. })));
        }
        assert_eq!(Likelihood::new(vec![Datum::Nothing; 5]).unwrap_err(), LikelihoodError::Nothing);
    }

    #[test]
    fn coordinates_and_parameters_have_one_posterior() {
        let model = SedModel::new(Arc::new(SspGrid::shipped().unwrap()));
        let bands = ["sdss2010-g", "sdss2010-r"].map(|name| filters::shipped(name).unwrap());
        let table = PhotTable::at_one(&model, &bands, 0.1).unwrap();
        let prior = Prior::default();
        let map = prior.theta_map();
        let likelihood = Likelihood::new(vec![flux(50.0, 2.0), flux(90.0, 3.0)]).unwrap();
        let at = table.at_redshift(0.1).unwrap();
        let mut posterior = ExactPosterior::new(&prior, &map, at, likelihood);
        // More rows than a block, not a multiple of it.
        let n = BLOCK + 37;
        let streams = Streams::new(3, "posterior test");
        let mut rows = vec![0.0; 11];
        let mut u = Vec::new();
        for i in 0..n {
            prior.draw_latent(&mut streams.at(i as u64), &mut rows);
            u.extend(rows.iter().map(|&u| u as f32));
        }
        let (mut ln_l, mut chi2, mut ln_p) = (vec![0.0; n], vec![0.0; n], vec![0.0; n]);
        posterior.ln_likelihood_and_chi2(&u, &mut ln_l, &mut chi2);
        posterior.ln_posterior_latent(&u, &mut ln_p);
        for i in (0..n).step_by(11) {
            let point: Vec<f64> = u[i * 11..(i + 1) * 11].iter().map(|&u| f64::from(u)).collect();
            let theta = prior.theta(&point);
            let exact = posterior.ln_likelihood_of(&theta);
            let tolerance = 1e-4 * exact.abs().max(1.0);
            assert!((ln_l[i] - exact).abs() < tolerance, "{} for {exact}", ln_l[i]);
            assert!((ln_l[i] + 0.5 * chi2[i] - ln_l[0] - 0.5 * chi2[0]).abs() < 1e-9);
            let change = ln_p[i] - posterior.ln_posterior(&theta);
            assert!((change - prior.ln_jacobian(&point)).abs() < tolerance + 1e-6, "{change}");
        }
        let mut outside = prior.theta(&[0.0; 11]);
        outside[0] = 20.0;
        assert_eq!(posterior.ln_posterior(&outside), f64::NEG_INFINITY);
    }
}
