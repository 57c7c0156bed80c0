//! A likelihood examined as a posterior is: are magnitudes one more draw of the density it gives?

use anyhow::Context as _;
use rayon::prelude::*;

use super::mocks::Examine;
use crate::commands::setup::LoadedLikelihood;
use crate::infer::nle::{Scrambler, tables};
use crate::progress::Progress;
use crate::rng::Streams;
use crate::simulate::Rows;
use crate::validate::samples::quantile;
use crate::validate::{MockRow, Posterior, Scalar, Truth, examine};

pub struct LikelihoodExaminer<'a> {
    pub loaded: &'a LoadedLikelihood,
    pub draws: usize,
    pub seed: u64,
}

impl Examine for LikelihoodExaminer<'_> {
    fn name(&self) -> &str {
        &self.loaded.name
    }

    /// The magnitude of the reference band and the colours.
    fn names(&self) -> Vec<String> {
        let features = &self.loaded.nle.card().model.features;
        features.names().into_iter().take(features.bands().len()).collect()
    }

    fn examine(
        &self,
        rows: &Rows,
        first: u64,
        progress: &dyn Progress,
    ) -> anyhow::Result<Option<Vec<MockRow>>> {
        let nle = &self.loaded.nle;
        let features = &nle.card().model.features;
        let rows = &Scrambler::new(self.seed).rows(rows, first);
        let (photometry, conditions) = tables(rows, features)?;
        let ln_q = nle.flow().ln_prob(photometry.view(), conditions.view())?;
        let streams = Streams::new(self.seed, "validate rank");
        let n = rows.len();
        let of_mock = |i: usize| -> anyhow::Result<Option<MockRow>> {
            if progress.cancelled() {
                return Ok(None);
            }
            let number = first + i as u64;
            let sampled = nle.flow().sample_with_ln_prob(conditions.row(i), self.draws, self.seed, number);
            let (draws, draws_ln_q) = sampled.with_context(|| format!("mock {number}"))?;
            let columns: Vec<f32> = draws.t().iter().copied().collect();
            let posterior = Posterior {
                columns: &columns,
                rows: draws.as_slice().context("draws are not contiguous")?,
                ln_q: draws_ln_q.as_slice().context("densities are not contiguous")?,
                importance: None,
            };
            let own = photometry.row(i).to_vec();
            let truth = Truth { columns: &own, row: &own, ln_q: ln_q[i] };
            // Another galaxy's photometry is a draw of what all galaxies together have.
            let point = photometry.row((i + 1) % n).to_vec();
            let mut row = examine(&posterior, &truth, &point, &mut streams.at(number));
            let b = rows.n_bands;
            let of = |values: &[f32]| -> Vec<f64> {
                values[i * b..(i + 1) * b].iter().map(|&v| f64::from(v)).collect()
            };
            let (model, noisy, sigma) = (of(&rows.flux_nmgy), of(&rows.noisy_nmgy), of(&rows.sigma_nmgy));
            row.set(Scalar::LnExact, nle.exact_ln_prob(&model, &noisy, &sigma));
            // Covariates are what the density is conditioned on: noiseless fluxes, not observed ones.
            row.set(Scalar::Redshift, f64::from(rows.zred[i]));
            let reference = features.reference();
            row.set(Scalar::Magnitude, features.asinh_mag(reference, model[reference]));
            let mut ratios: Vec<f64> = model.iter().zip(&sigma).map(|(f, s)| f / s).collect();
            ratios.sort_by(f64::total_cmp);
            row.set(Scalar::SignalToNoise, quantile(&ratios, 0.5));
            Ok(Some(row))
        };
        (0..n).into_par_iter().map(of_mock).collect()
    }
}
