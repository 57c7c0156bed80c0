//! The coordinates in which chains of a galaxy's posterior walk, and the jumps that its flow offers.
//!
//! Fluxes are proportional to the mass, so that measured ones tie the mass to all other parameters within a
//! per cent: in the flow's coordinates the posterior is a thin, bent sheet. Walkers carry instead of the mass
//! its distance from the mass that fits best given the others, in units of its error,
//! `v = (log M - log M_best(others)) / s`; with `s` a constant of the galaxy the Jacobian is that of the
//! prior's map alone. Autocorrelation times are some ten times shorter for it.

use super::mcmc::{Proposals, Target};
use super::posterior::{Datum, ExactPosterior, ln_standard_normal};
use crate::flow::ensemble::ConditionedEnsemble;
use crate::prior::Density;

/// Squared signal-to-noise ratio of all bands together from which the mass is well known.
const CLEAR: f64 = 100.0;
/// Draws of the flow made at a time.
const PROPOSED: usize = 960;

/// A galaxy's posterior as a target of chains; points are kept in the flow's coordinates.
pub struct Walk<'a, 'b> {
    posterior: &'b mut ExactPosterior<'a>,
    /// The prior of the mass, where it is free and the fluxes tell it within 10 %; elsewhere the coordinates
    /// are those of the flow.
    mass: Option<Density>,
    /// Standard error of log10 of the mass.
    step: f64,
    jumps: Option<(ConditionedEnsemble<'b>, u64, u64)>,
    /// Points evaluated last, and their coordinates of the flow.
    points: Vec<f64>,
    latent: Vec<f32>,
    ln_likelihood: Vec<f64>,
    /// log10 of the mass of each point, and its ln density.
    masses: Vec<f64>,
}

impl<'a, 'b> Walk<'a, 'b> {
    pub fn new(posterior: &'b mut ExactPosterior<'a>) -> Self {
        let mass = posterior.prior.spec().log_mstar;
        let (mut above, mut below) = (0.0, 0.0);
        for datum in posterior.likelihood.data() {
            if let Datum::Flux { flux_nmgy, sigma_nmgy } = *datum {
                let square = (flux_nmgy / sigma_nmgy).powi(2);
                if flux_nmgy > 0.0 { above += square } else { below += square }
            }
        }
        let is_free = !matches!(mass, Density::Fixed { .. });
        Self {
            posterior,
            mass: (is_free && above > CLEAR && above > below).then_some(mass),
            step: (std::f64::consts::LOG10_E / above.max(CLEAR).sqrt()).max(1e-6),
            jumps: None,
            points: Vec::new(),
            latent: Vec::new(),
            ln_likelihood: Vec::new(),
            masses: Vec::new(),
        }
    }

    /// The same with jumps to draws of a flow, from streams of `seed` that belong to `stream`.
    pub fn with_jumps(mut self, flow: ConditionedEnsemble<'b>, seed: u64, stream: u64) -> Self {
        self.jumps = Some((flow, seed, stream));
        self
    }

    /// Points of the walk from coordinates of the flow `[n, n_free]`.
    pub fn start(&mut self, latent: &[f32]) -> Vec<f64> {
        let d = self.n_dim();
        let mut points: Vec<f64> = latent.iter().map(|&u| f64::from(u)).collect();
        if self.mass.is_some() {
            let step = self.step;
            self.posterior.each_theta(latent, |likelihood, i, _, nmgy| {
                // A spectrum that no mass fits (negative fluxes) is as good as any other here.
                points[i * d] = likelihood.best_scale(nmgy).map_or(0.0, |scale| -scale.log10() / step);
            });
        }
        points
    }

    /// Moves points of the walk to the mass that fits best.
    pub fn with_best_mass(&self, points: &mut [f64]) {
        if self.mass.is_some() {
            points.iter_mut().step_by(self.n_dim()).for_each(|v| *v = 0.0);
        }
    }

    /// Fills `latent`, `ln_likelihood` and `masses` for points of the walk.
    fn evaluate(&mut self, points: &[f64]) {
        if self.points == points {
            return;
        }
        self.points.clear();
        self.points.extend_from_slice(points);
        let d = self.n_dim();
        let n = points.len() / d;
        self.latent.clear();
        self.latent.extend(points.iter().map(|&u| u as f32));
        self.ln_likelihood.resize(n, 0.0);
        self.masses.resize(n, 0.0);
        let (ln_l, masses, step) = (&mut self.ln_likelihood, &mut self.masses, self.step);
        let Some(mass) = self.mass else {
            self.posterior.each_theta(&self.latent, |likelihood, i, _, nmgy| ln_l[i] = likelihood.ln(nmgy));
            return;
        };
        for u in self.latent.chunks_exact_mut(d) {
            u[0] = 0.0;
        }
        let support = mass.support();
        self.posterior.each_theta(&self.latent, |likelihood, i, theta, nmgy| {
            let away = step * points[i * d];
            ln_l[i] = f64::NEG_INFINITY;
            masses[i] = theta[0] + away;
            if let Some(scale) = likelihood.best_scale(nmgy) {
                masses[i] += scale.log10();
                if masses[i] > support.0 && masses[i] < support.1 {
                    let factor = scale * 10_f64.powf(away);
                    nmgy.iter_mut().for_each(|flux| *flux *= factor);
                    ln_l[i] = likelihood.ln(nmgy);
                }
            }
        });
        for (u, &log_mass) in self.latent.chunks_exact_mut(d).zip(&self.masses) {
            u[0] = mass.to_normal(log_mass) as f32;
        }
    }

    /// `ln` of the prior over the Jacobian: a standard normal, but in the mass its own density.
    fn ln_prior(&self, u: &[f32], log_mass: f64) -> f64 {
        match self.mass {
            Some(mass) => mass.ln_density(log_mass) + ln_standard_normal(&u[1..]),
            None => ln_standard_normal(u),
        }
    }
}

impl Target for Walk<'_, '_> {
    fn n_dim(&self) -> usize {
        self.posterior.map.n_free()
    }

    fn ln_density(&mut self, points: &[f64], out: &mut [f64]) {
        self.evaluate(points);
        let rows = self.latent.chunks_exact(self.n_dim()).zip(&self.masses).zip(&self.ln_likelihood);
        for (out, ((u, &log_mass), ln_l)) in out.iter_mut().zip(rows) {
            *out = if *ln_l == f64::NEG_INFINITY { *ln_l } else { ln_l + self.ln_prior(u, log_mass) };
        }
    }

    fn standard_normal_from(&self) -> usize {
        usize::from(self.mass.is_some())
    }

    fn keep(&mut self, points: &[f64], out: &mut Vec<f64>) {
        self.evaluate(points);
        out.extend(self.latent.iter().map(|&u| f64::from(u)));
    }

    fn propose(&mut self, proposals: &mut Proposals) -> bool {
        let Some((flow, seed, stream)) = &mut self.jumps else { return false };
        let (latent, ln_q) = flow.sample_with_ln_prob(PROPOSED, *seed, *stream);
        *seed = seed.wrapping_add(1);
        let Some(u) = latent.as_slice() else { return false };
        if !u.iter().chain(&ln_q).all(|value| value.is_finite()) {
            return false;
        }
        let points = self.start(u);
        let first = proposals.ln_density.len();
        proposals.ln_density.resize(first + ln_q.len(), 0.0);
        self.ln_density(&points, &mut proposals.ln_density[first..]);
        proposals.points.extend(points);
        let rows = self.latent.chunks_exact(self.n_dim()).zip(&self.ln_likelihood).zip(&ln_q);
        proposals.ln_weights.extend(rows.map(|((u, ln_l), q)| ln_l + ln_standard_normal(u) - f64::from(*q)));
        true
    }

    fn ln_weights(&mut self, points: &[f64], out: &mut [f64]) {
        self.evaluate(points);
        let d = self.n_dim();
        let table = ndarray::ArrayView2::from_shape((out.len(), d), &self.latent);
        let ln_q = match (&self.jumps, table) {
            (Some((flow, ..)), Ok(table)) => flow.ln_prob(table).ok(),
            _ => None,
        };
        // Without the flow's density no walker may jump.
        let Some(ln_q) = ln_q else { return out.fill(f64::INFINITY) };
        for (((out, u), ln_l), q) in
            out.iter_mut().zip(self.latent.chunks_exact(d)).zip(&self.ln_likelihood).zip(&ln_q)
        {
            *out = ln_l + ln_standard_normal(u) - f64::from(*q);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filters;
    use crate::flow::ensemble::Ensemble;
    use crate::flow::{ConditionalFlow, FlowConfig};
    use crate::infer::posterior::Likelihood;
    use crate::prior::{Prior, PriorSpec};
    use crate::rng::{Streams, fill_standard_normal};
    use crate::sed::{PhotTable, SedModel};
    use crate::ssp::SspGrid;
    use std::sync::Arc;

    #[test]
    fn a_walk_is_the_posterior_in_other_coordinates() {
        let model = SedModel::new(Arc::new(SspGrid::shipped().unwrap()));
        let bands = ["sdss2010-g", "sdss2010-r"].map(|name| filters::shipped(name).unwrap());
        let table = PhotTable::at_one(&model, &bands, 0.1).unwrap();
        for log_mstar in [
            Density::Uniform { lower: 7.0, upper: 12.5 },
            Density::TruncatedNormal { mean: 10.0, sd: 1.0, lower: 8.0, upper: 12.0 },
            Density::Fixed { value: 10.3 },
        ] {
            let prior = Prior::new(PriorSpec { log_mstar, ..PriorSpec::default() }).unwrap();
            let (map, d) = (prior.theta_map(), prior.n_free());
            let flux = |flux_nmgy: f64| Datum::Flux { flux_nmgy, sigma_nmgy: 0.02 * flux_nmgy };
            let likelihood = Likelihood::new(vec![flux(50.0), flux(90.0)]).unwrap();
            let mut posterior =
                ExactPosterior::new(&prior, &map, table.at_redshift(0.1).unwrap(), likelihood);
            let n = 40;
            let mut u = vec![0.0; n * d];
            fill_standard_normal(&mut Streams::new(1, "walk test").at(0), &mut u);
            let mut ln_p = vec![0.0; n];
            posterior.ln_posterior_latent(&u, &mut ln_p);
            let flow = Ensemble::from(ConditionalFlow::untrained(FlowConfig::nsf(d, 1), 1).unwrap());
            let conditioned = flow.condition(ndarray::ArrayView1::from(&[0.0])).unwrap();
            let table = ndarray::ArrayView2::from_shape((n, d), &u).unwrap();
            let ln_q = conditioned.ln_prob(table).unwrap();
            let mut walk = Walk::new(&mut posterior).with_jumps(conditioned, 1, 1);
            let points = walk.start(&u);
            let mut kept = Vec::new();
            walk.keep(&points, &mut kept);
            let (mut weights, mut ln_density) = (vec![0.0; n], vec![0.0; n]);
            walk.ln_weights(&points, &mut weights);
            walk.ln_density(&points, &mut ln_density);
            let step = walk.step;
            let mut first = None;
            for i in 0..n {
                let row = &u[i * d..(i + 1) * d];
                assert!(row.iter().zip(&kept[i * d..]).all(|(a, b)| (f64::from(*a) - b).abs() < 2e-5));
                // Far from the mass that fits, single precision of the coordinates is worth something.
                if ln_p[i] < -1e4 {
                    continue;
                }
                let tolerance = 1e-4 * ln_p[i].abs().max(10.0);
                assert!((weights[i] - ln_p[i] + f64::from(ln_q[i])).abs() < tolerance, "{}", weights[i]);
                // The same density up to the Jacobian of the mass: normal over its own density.
                let theta = prior.theta(&row.iter().map(|&u| f64::from(u)).collect::<Vec<_>>());
                let jacobian = match walk.mass {
                    Some(mass) => mass.ln_density(theta[0]) + step.ln() - ln_standard_normal(&row[..1]),
                    None => step.ln(),
                };
                let constant = ln_density[i] + step.ln() - ln_p[i] - jacobian;
                let constant = constant - *first.get_or_insert(constant);
                assert!(constant.abs() < tolerance, "{constant}");
            }
            assert!(first.is_some());
            let mut proposals = Proposals::default();
            assert!(walk.propose(&mut proposals));
            assert_eq!(proposals.points.len(), PROPOSED * d);
            let mut again = vec![0.0; PROPOSED];
            walk.ln_weights(&proposals.points, &mut again);
            for (a, b) in again.iter().zip(&proposals.ln_weights) {
                assert!((a - b).abs() < 1e-3 * a.abs().max(10.0) || (!a.is_finite() && !b.is_finite()));
            }
        }
    }
}
