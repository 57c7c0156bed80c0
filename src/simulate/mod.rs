//! Simulated galaxies: prior -> SED model -> noise -> features, row by row from a seed.
//!
//! Row `i` of seed `s` uses the random stream (s, i) alone, so the rows are equal whatever the batch
//! size, the order and the number of threads. A draw the survey could not have is rejected, counted,
//! and replaced by the next draw of the same row.

mod subsample;

use ndarray::Array2;
use rand::RngExt;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::features::{FeatureError, FeatureSpec, MAX_BANDS};
use crate::noise::{NoiseModel, NoiseSampler, Rejection, Rejections};
use crate::prior::{N_PARAM, Prior, param_index};
use crate::rng::Streams;
use crate::sed::{DustRange, PhotOptions, PhotTable, Scratch};

pub use subsample::{SubsampleError, Subsampler};

/// Rows made by one thread at a time.
const BLOCK: usize = 512;
/// A galaxy at redshift 0 has no distance; this is 4 kpc away.
const ZRED_MIN: f64 = 1e-6;
/// Draws tried for one row before giving up.
const MAX_ATTEMPTS: u32 = 100_000;

#[derive(Debug, Error)]
pub enum SimulateError {
    #[error(
        "row {row}: {MAX_ATTEMPTS} draws in a row were rejected ({} with a negative error, {} outside the \
         observed fluxes, {} without a flux): prior and noise model do not fit together",
        rejections.negative_sigma, rejections.flux_range, rejections.bad_flux
    )]
    NothingAccepted { row: u64, rejections: Rejections },
    #[error("the model has {photometry} bands, the noise model {noise}, the features {features}")]
    Bands { photometry: usize, noise: usize, features: usize },
    #[error("fraction of missing bands is {found}, expected 0 to below 1")]
    Missing { found: f64 },
    #[error("bands may be missing, but the feature definition has no mask")]
    NoMask,
    #[error("row {row}: {source}")]
    Features { row: u64, source: FeatureError },
}

/// Noiseless fluxes of parameter rows in a fixed set of bands.
pub trait Photometry: Sync {
    /// Working memory of one thread.
    type Scratch: Send;

    fn n_bands(&self) -> usize;

    fn scratch(&self) -> Self::Scratch;

    /// Writes nanomaggies to `out` `[n_band]`; NaN where the model has no answer.
    fn nanomaggies(&self, theta: &[f64; N_PARAM], zred: f64, scratch: &mut Self::Scratch, out: &mut [f64]);
}

impl Photometry for PhotTable {
    type Scratch = Scratch;

    fn n_bands(&self) -> usize {
        PhotTable::n_bands(self)
    }

    fn scratch(&self) -> Scratch {
        Scratch::default()
    }

    fn nanomaggies(&self, theta: &[f64; N_PARAM], zred: f64, scratch: &mut Scratch, out: &mut [f64]) {
        if PhotTable::nanomaggies(self, theta, zred, scratch, out).is_err() {
            out.fill(f64::NAN);
        }
    }
}

/// How a [`PhotTable`] is made for all the dust that a prior can draw.
pub fn table_options(prior: &Prior) -> PhotOptions {
    /// Of an unbounded density, the share of draws beyond which the table may be less exact.
    const TAIL: f64 = 1e-5;
    let reach = |name: &str| {
        param_index(name).map_or((0.0, 0.0), |param| {
            let (least, most) = prior.support(param);
            let least = if least.is_finite() { least } else { prior.quantile(param, TAIL) };
            (least, if most.is_finite() { most } else { prior.quantile(param, 1.0 - TAIL) })
        })
    };
    let dust =
        DustRange { tau_bc_max: reach("tau_bc").1, tau_ism_max: reach("tau_ism").1, n_dust: reach("n_dust") };
    PhotOptions { dust, ..PhotOptions::default() }
}

/// What of a simulation is not prior, SED model or noise; stored with every training set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Probability that a band was not observed, each on its own.
    pub missing: f64,
    /// Counts with every change of what a row holds.
    pub version: u32,
}

impl Default for Recipe {
    fn default() -> Self {
        Self { missing: 0.0, version: 1 }
    }
}

/// Simulated galaxies: `n` rows of each array.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rows {
    pub n_bands: usize,
    pub n_free: usize,
    /// Coordinates of the prior `[n, n_free]`.
    pub latent: Vec<f32>,
    /// Parameters `[n, 12]`.
    pub theta: Vec<f32>,
    pub zred: Vec<f32>,
    /// Noiseless, noisy flux and error `[n, n_band]`, nanomaggies.
    pub flux_nmgy: Vec<f32>,
    pub noisy_nmgy: Vec<f32>,
    pub sigma_nmgy: Vec<f32>,
    /// Bit `i` says whether band `i` was observed.
    pub observed: Vec<u64>,
    pub rejections: Rejections,
}

impl Rows {
    pub fn len(&self) -> usize {
        self.zred.len()
    }

    pub fn is_empty(&self) -> bool {
        self.zred.is_empty()
    }

    /// Appends rows of the same shape.
    pub fn append(&mut self, mut other: Rows) {
        (self.n_bands, self.n_free) = (other.n_bands, other.n_free);
        self.latent.append(&mut other.latent);
        self.theta.append(&mut other.theta);
        self.zred.append(&mut other.zred);
        self.flux_nmgy.append(&mut other.flux_nmgy);
        self.noisy_nmgy.append(&mut other.noisy_nmgy);
        self.sigma_nmgy.append(&mut other.sigma_nmgy);
        self.observed.append(&mut other.observed);
        self.rejections.add(&other.rejections);
    }

    pub fn theta_row(&self, row: usize) -> [f64; N_PARAM] {
        std::array::from_fn(|param| f64::from(self.theta[row * N_PARAM + param]))
    }

    /// Features `[n, n_feature]` of the rows, by the function that real galaxies go through.
    pub fn features(&self, spec: &FeatureSpec) -> Result<Array2<f32>, SimulateError> {
        let (n, b) = (self.len(), self.n_bands);
        let mut x = Array2::zeros((n, spec.len()));
        let (mut flux, mut sigma) = ([0.0; MAX_BANDS], [0.0; MAX_BANDS]);
        for (row, mut x) in x.rows_mut().into_iter().enumerate() {
            for band in 0..b {
                flux[band] = f64::from(self.noisy_nmgy[row * b + band]);
                sigma[band] = f64::from(self.sigma_nmgy[row * b + band]);
            }
            let out = x.as_slice_mut().unwrap_or_default();
            let zred = f64::from(self.zred[row]);
            spec.compute(&flux[..b], &sigma[..b], self.observed[row], zred, out)
                .map_err(|source| SimulateError::Features { row: row as u64, source })?;
        }
        Ok(x)
    }

    /// Coordinates `[n, n_free]` as a table.
    pub fn latent_table(&self) -> Array2<f32> {
        Array2::from_shape_fn((self.len(), self.n_free), |(row, i)| self.latent[row * self.n_free + i])
    }
}

/// Makes simulated galaxies.
pub struct Simulator<'a, P: Photometry> {
    prior: &'a Prior,
    photometry: &'a P,
    noise: NoiseSampler,
    recipe: Recipe,
    rows: Streams,
    masks: Streams,
}

impl<'a, P: Photometry> Simulator<'a, P> {
    /// Errors if the noise model is of other bands than the photometry.
    pub fn new(
        prior: &'a Prior,
        photometry: &'a P,
        noise: &NoiseModel,
        recipe: Recipe,
        seed: u64,
    ) -> Result<Self, SimulateError> {
        let (bands, noise_bands) = (photometry.n_bands(), noise.bands.len());
        if bands != noise_bands {
            return Err(SimulateError::Bands { photometry: bands, noise: noise_bands, features: bands });
        }
        if !(0.0..1.0).contains(&recipe.missing) {
            return Err(SimulateError::Missing { found: recipe.missing });
        }
        Ok(Self {
            prior,
            photometry,
            noise: noise.sampler(),
            recipe,
            rows: Streams::new(seed, "simulate row"),
            masks: Streams::new(seed, "simulate mask"),
        })
    }

    /// Rows `start .. start + n`, on all threads.
    pub fn rows(&self, start: u64, n: usize) -> Result<Rows, SimulateError> {
        let blocks: Vec<(u64, usize)> =
            (0..n).step_by(BLOCK).map(|offset| (start + offset as u64, BLOCK.min(n - offset))).collect();
        let parts: Vec<Rows> = blocks
            .into_par_iter()
            .map_init(|| self.photometry.scratch(), |scratch, (start, n)| self.block(start, n, scratch))
            .collect::<Result<_, _>>()?;
        let mut rows = Rows { n_bands: self.noise.n_bands(), n_free: self.prior.n_free(), ..Rows::default() };
        for part in parts {
            rows.append(part);
        }
        Ok(rows)
    }

    /// Rows `start .. start + n` on this thread.
    pub fn rows_here(&self, start: u64, n: usize) -> Result<Rows, SimulateError> {
        self.block(start, n, &mut self.photometry.scratch())
    }

    fn block(&self, start: u64, n: usize, scratch: &mut P::Scratch) -> Result<Rows, SimulateError> {
        let (n_bands, n_free) = (self.noise.n_bands(), self.prior.n_free());
        let mut rows = Rows {
            n_bands,
            n_free,
            latent: Vec::with_capacity(n * n_free),
            theta: Vec::with_capacity(n * N_PARAM),
            zred: Vec::with_capacity(n),
            flux_nmgy: Vec::with_capacity(n * n_bands),
            noisy_nmgy: Vec::with_capacity(n * n_bands),
            sigma_nmgy: Vec::with_capacity(n * n_bands),
            observed: Vec::with_capacity(n),
            rejections: Rejections::default(),
        };
        let mut u = vec![0.0; n_free];
        let (mut flux, mut noisy, mut sigma) = (vec![0.0; n_bands], vec![0.0; n_bands], vec![0.0; n_bands]);
        for row in start..start + n as u64 {
            let mut rng = self.rows.at(row);
            let mut refused = Rejections::default();
            let (theta, zred) = loop {
                self.prior.draw_latent(&mut rng, &mut u);
                // What is stored is f32; the fluxes belong to the stored values.
                u.iter_mut().for_each(|u| *u = f64::from(*u as f32));
                let theta = self.prior.theta(&u);
                let (nearest, furthest) = self.prior.zred_support();
                let zred = f64::from(self.prior.draw_zred(&mut rng) as f32);
                let zred = zred.clamp(nearest.max(ZRED_MIN), furthest);
                self.photometry.nanomaggies(&theta, zred, scratch, &mut flux);
                match self.noise.draw(&flux, &mut rng, &mut noisy, &mut sigma) {
                    Ok(()) => break (theta, zred),
                    Err(reason) => refused.count(reason),
                }
                if refused.total() >= u64::from(MAX_ATTEMPTS) {
                    return Err(SimulateError::NothingAccepted { row, rejections: refused });
                }
            };
            rows.rejections.add(&refused);
            rows.latent.extend(u.iter().map(|&u| u as f32));
            rows.theta.extend(theta.iter().map(|&value| value as f32));
            rows.zred.push(zred as f32);
            rows.flux_nmgy.extend(flux.iter().map(|&f| f as f32));
            rows.noisy_nmgy.extend(noisy.iter().map(|&f| f as f32));
            rows.sigma_nmgy.extend(sigma.iter().map(|&s| s as f32));
            rows.observed.push(self.mask(row));
        }
        Ok(rows)
    }

    /// Which bands of a row were observed: never none.
    fn mask(&self, row: u64) -> u64 {
        let all = u64::MAX >> (64 - self.noise.n_bands());
        if self.recipe.missing == 0.0 {
            return all;
        }
        let mut rng = self.masks.at(row);
        loop {
            let mask = (0..self.noise.n_bands())
                .filter(|_| rng.random::<f64>() >= self.recipe.missing)
                .fold(0, |mask, band| mask | 1 << band);
            if mask != 0 {
                return mask;
            }
        }
    }
}

/// The reasons draws were rejected, with their counts; for tables.
pub fn rejection_counts(rejections: &Rejections) -> Vec<(&'static str, u64)> {
    Rejection::ALL
        .into_iter()
        .map(|reason| {
            let count = match reason {
                Rejection::NegativeSigma => rejections.negative_sigma,
                Rejection::FluxRange => rejections.flux_range,
                Rejection::BadFlux => rejections.bad_flux,
            };
            (reason.name(), count)
        })
        .collect()
}

#[cfg(test)]
mod tests;
