//! The empirical noise model: magnitude errors as a survey has them, and noisy fluxes drawn with them.
//!
//! Per band, the median and the clipped standard deviation of `sigma_mag` in magnitude bins,
//! interpolated linearly. A noiseless flux `f` of magnitude `m` gets
//! `sigma_mag ~ N(mu(m), sd(m))`, `sigma_f = f sigma_mag ln(10)/2.5`, `f_noisy ~ N(f, sigma_f)`
//! (Hahn & Melchior 2022, section 3.2).

mod fit;

use std::fmt;

use rand::Rng;
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::hash::ContentHash;

pub use fit::{BandFit, FitOptions, FitReport, Unusable, fit};

/// Magnitude of one nanomaggy.
pub const MAG_OF_NMGY: f64 = 22.5;
/// A relative flux error of 1 in magnitudes: 2.5 / ln 10.
pub const MAG_PER_RELATIVE: f64 = 1.085_736_204_758_129_6;

#[derive(Debug, Error)]
pub enum NoiseError {
    #[error("not a noise model: {0}")]
    Json(#[from] serde_json::Error),
    #[error("noise model: band {band} has {what} {found} at bin {bin}, expected {expected}")]
    Value { band: String, what: &'static str, found: f64, bin: usize, expected: &'static str },
    #[error("noise model: band {band} has {found} values of {what} for {expected} magnitudes")]
    Length { band: String, what: &'static str, found: usize, expected: usize },
    #[error("noise model: no band, or a band without magnitude bins")]
    Empty,
    #[error("noise model has no band {band}; it has {}", has.join(", "))]
    NoBand { band: String, has: Vec<String> },
    #[error(
        "band {band}: {usable} of {rows} rows have a positive flux and inverse variance, \
         and no magnitude bin holds {needed} of them"
    )]
    TooFew { band: String, usable: usize, rows: usize, needed: usize },
}

/// Why a simulated galaxy could not have been in the survey.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rejection {
    /// The magnitude error drawn was not positive.
    NegativeSigma,
    /// The noisy flux was outside the observed range of its band.
    FluxRange,
    /// The model flux was not a positive number.
    BadFlux,
}

impl Rejection {
    pub const ALL: [Rejection; 3] = [Rejection::NegativeSigma, Rejection::FluxRange, Rejection::BadFlux];

    pub fn name(self) -> &'static str {
        match self {
            Rejection::NegativeSigma => "negative_sigma",
            Rejection::FluxRange => "flux_range",
            Rejection::BadFlux => "bad_flux",
        }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How many draws were rejected, by reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejections {
    pub negative_sigma: u64,
    pub flux_range: u64,
    pub bad_flux: u64,
}

impl Rejections {
    pub fn count(&mut self, reason: Rejection) {
        match reason {
            Rejection::NegativeSigma => self.negative_sigma += 1,
            Rejection::FluxRange => self.flux_range += 1,
            Rejection::BadFlux => self.bad_flux += 1,
        }
    }

    pub fn add(&mut self, other: &Rejections) {
        self.negative_sigma += other.negative_sigma;
        self.flux_range += other.flux_range;
        self.bad_flux += other.bad_flux;
    }

    pub fn total(&self) -> u64 {
        self.negative_sigma + self.flux_range + self.bad_flux
    }
}

/// Errors of one band as a function of magnitude.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BandNoise {
    /// Filter name, "sdss2010-u".
    pub band: String,
    /// Bin centres, AB magnitudes, ascending.
    pub mag: Vec<f64>,
    /// Median of `sigma_mag` in each bin.
    pub sigma_median: Vec<f64>,
    /// Clipped standard deviation of `sigma_mag` in each bin.
    pub sigma_sd: Vec<f64>,
    /// Rows behind each bin; 0 where the value was not measured but extrapolated.
    pub count: Vec<u64>,
    /// Magnitudes at which the survey has galaxies: brightest, faintest.
    pub mag_range: (f64, f64),
}

impl BandNoise {
    /// Median and standard deviation of `sigma_mag` at a magnitude; constant beyond the last bins.
    pub fn sigma_mag(&self, mag: f64) -> (f64, f64) {
        let last = self.mag.len() - 1;
        let upper = self.mag.partition_point(|&m| m < mag);
        if upper == 0 {
            return (self.sigma_median[0], self.sigma_sd[0]);
        }
        if upper > last {
            return (self.sigma_median[last], self.sigma_sd[last]);
        }
        let lower = upper - 1;
        let t = (mag - self.mag[lower]) / (self.mag[upper] - self.mag[lower]);
        let between = |v: &[f64]| v[lower] + t * (v[upper] - v[lower]);
        (between(&self.sigma_median), between(&self.sigma_sd))
    }

    /// Observed fluxes, nanomaggies: faintest, brightest.
    pub fn flux_range_nmgy(&self) -> (f64, f64) {
        (mag_to_nmgy(self.mag_range.1), mag_to_nmgy(self.mag_range.0))
    }
}

/// AB magnitude of a positive flux.
pub fn nmgy_to_mag(flux_nmgy: f64) -> f64 {
    MAG_OF_NMGY - 2.5 * flux_nmgy.log10()
}

/// Flux of an AB magnitude, nanomaggies.
pub fn mag_to_nmgy(mag: f64) -> f64 {
    10_f64.powf(0.4 * (MAG_OF_NMGY - mag))
}

/// A noise model as stored: JSON, one entry per band.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoiseModel {
    pub name: String,
    /// Where the numbers come from.
    pub source: String,
    pub bands: Vec<BandNoise>,
}

impl NoiseModel {
    /// The default: errors of the NASA-Sloan Atlas in ugriz (`models/noise-nsa.json`).
    pub fn shipped() -> Result<Self, NoiseError> {
        Self::from_json(include_str!("../../models/noise-nsa.json"))
    }

    /// From JSON text, checked.
    pub fn from_json(text: &str) -> Result<Self, NoiseError> {
        let model: Self = serde_json::from_str(text)?;
        model.check()?;
        Ok(model)
    }

    pub fn to_json(&self) -> Result<String, NoiseError> {
        Ok(serde_json::to_string(self)?)
    }

    /// Content address of what the model does: its bands, whatever its name.
    pub fn hash(&self) -> Result<ContentHash, NoiseError> {
        Ok(ContentHash::of_bytes(serde_json::to_string(&self.bands)?.as_bytes()))
    }

    pub fn band_names(&self) -> Vec<String> {
        self.bands.iter().map(|band| band.band.clone()).collect()
    }

    /// The model of these bands only, in this order. Errors if one is missing.
    pub fn for_bands<S: AsRef<str>>(&self, bands: &[S]) -> Result<Self, NoiseError> {
        let find = |name: &str| {
            self.bands
                .iter()
                .find(|band| band.band == name)
                .cloned()
                .ok_or_else(|| NoiseError::NoBand { band: name.to_owned(), has: self.band_names() })
        };
        let bands = bands.iter().map(|name| find(name.as_ref())).collect::<Result<_, _>>()?;
        Ok(Self { bands, ..self.clone() })
    }

    fn check(&self) -> Result<(), NoiseError> {
        if self.bands.is_empty() {
            return Err(NoiseError::Empty);
        }
        for band in &self.bands {
            let expected = band.mag.len();
            if expected == 0 {
                return Err(NoiseError::Empty);
            }
            for (what, found) in [
                ("sigma_median", band.sigma_median.len()),
                ("sigma_sd", band.sigma_sd.len()),
                ("count", band.count.len()),
            ] {
                if found != expected {
                    return Err(NoiseError::Length { band: band.band.clone(), what, found, expected });
                }
            }
            let bad = |what, found, bin, expected| NoiseError::Value {
                band: band.band.clone(),
                what,
                found,
                bin,
                expected,
            };
            for bin in 0..expected {
                if !band.mag[bin].is_finite() || (bin > 0 && band.mag[bin] <= band.mag[bin - 1]) {
                    return Err(bad("magnitude", band.mag[bin], bin, "ascending finite magnitudes"));
                }
                if !(band.sigma_median[bin].is_finite() && band.sigma_median[bin] > 0.0) {
                    return Err(bad("sigma_median", band.sigma_median[bin], bin, "a positive number"));
                }
                if !(band.sigma_sd[bin].is_finite() && band.sigma_sd[bin] >= 0.0) {
                    return Err(bad("sigma_sd", band.sigma_sd[bin], bin, "a number not below 0"));
                }
            }
            let (bright, faint) = band.mag_range;
            if !(bright.is_finite() && faint.is_finite() && bright < faint) {
                return Err(bad("mag_range", bright, 0, "brightest below faintest"));
            }
        }
        Ok(())
    }

    /// The model with its flux limits worked out, ready to draw from.
    pub fn sampler(&self) -> NoiseSampler {
        NoiseSampler {
            ranges: self.bands.iter().map(BandNoise::flux_range_nmgy).collect(),
            bands: self.bands.clone(),
        }
    }
}

/// Draws errors and noisy fluxes.
#[derive(Debug, Clone)]
pub struct NoiseSampler {
    bands: Vec<BandNoise>,
    /// Observed fluxes of each band, nanomaggies.
    ranges: Vec<(f64, f64)>,
}

impl NoiseSampler {
    pub fn n_bands(&self) -> usize {
        self.bands.len()
    }

    /// Draws `noisy` and `sigma` `[n_band]` for a galaxy of noiseless `flux` `[n_band]`, all in
    /// nanomaggies, or says why the survey would not have it.
    pub fn draw(
        &self,
        flux: &[f64],
        rng: &mut impl Rng,
        noisy: &mut [f64],
        sigma: &mut [f64],
    ) -> Result<(), Rejection> {
        debug_assert!(flux.len() == self.bands.len() && noisy.len() == flux.len());
        for (i, band) in self.bands.iter().enumerate() {
            if !(flux[i].is_finite() && flux[i] > 0.0) {
                return Err(Rejection::BadFlux);
            }
            let (median, sd) = band.sigma_mag(nmgy_to_mag(flux[i]));
            let e: f64 = StandardNormal.sample(rng);
            let sigma_mag = median + sd * e;
            if sigma_mag <= 0.0 {
                return Err(Rejection::NegativeSigma);
            }
            sigma[i] = flux[i] * sigma_mag / MAG_PER_RELATIVE;
            let e: f64 = StandardNormal.sample(rng);
            noisy[i] = flux[i] + sigma[i] * e;
            let (faintest, brightest) = self.ranges[i];
            if !(faintest..=brightest).contains(&noisy[i]) {
                return Err(Rejection::FluxRange);
            }
        }
        Ok(())
    }

    /// Natural log of the density of the errors `sigma` given noiseless fluxes, both in
    /// nanomaggies: what the size of an error says about the flux behind it.
    pub fn ln_prob_sigma(&self, flux: &[f64], sigma: &[f64]) -> f64 {
        self.bands
            .iter()
            .zip(flux.iter().zip(sigma))
            .map(|(band, (&flux, &sigma))| {
                let (median, sd) = band.sigma_mag(nmgy_to_mag(flux));
                let sigma_mag = MAG_PER_RELATIVE * sigma / flux;
                let e = (sigma_mag - median) / sd.max(1e-12);
                // d sigma_mag / d sigma_f = MAG_PER_RELATIVE / flux.
                crate::special::norm_ln_pdf(e) - sd.max(1e-12).ln() + (MAG_PER_RELATIVE / flux).ln()
            })
            .sum()
    }
}

#[cfg(test)]
mod tests;
