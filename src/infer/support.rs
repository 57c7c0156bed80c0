//! Whether a galaxy looks like those the network was trained on: stated rules and a distance.

use ndarray::{Array1, Array2, ArrayView2};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::reason::Reason;
use crate::features::{FeatureSpec, short_band};
use crate::noise::{MAG_PER_RELATIVE, NoiseModel, nmgy_to_mag};

/// A galaxy with an error this many standard deviations above the median is outside (the paper's rule).
const SIGMA_HIGH: f64 = 3.0;
/// ... and by more than this factor: where errors are all floor, 3 standard deviations are next to nothing.
const SIGMA_HIGH_FACTOR: f64 = 1.2;
/// An error below this fraction of the band's smallest median is outside.
const SIGMA_LOW: f64 = 0.5;
/// Fraction of training galaxies outside the colour range at each end: 99.9 % are inside.
const COLOR_TAIL: f64 = 0.0005;

#[derive(Debug, Error, PartialEq)]
#[error("{found} training galaxies are too few to say what is typical: expected at least {needed}")]
pub struct SupportError {
    pub found: usize,
    pub needed: usize,
}

/// What the training set covers, stored with the checkpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Support {
    /// Redshifts simulated.
    pub zred: (f64, f64),
    /// The 99.9 % range of each colour of neighbouring bands, asinh magnitudes.
    pub colors: Vec<(f64, f64)>,
    /// Mean of each feature.
    pub mean: Vec<f64>,
    /// Lower triangle, row by row, of the inverse Cholesky factor of the features' covariance.
    pub whitening: Vec<f64>,
    /// 50, 99 and 99.9 % quantiles of the distance over the training set.
    pub distance: [f64; 3],
}

impl Support {
    /// From features `[n, n_feature]` of training galaxies with all bands.
    ///
    /// Errors where there are fewer than 100 of them.
    pub fn of(spec: &FeatureSpec, x: ArrayView2<f32>, zred: (f64, f64)) -> Result<Self, SupportError> {
        let (n, d) = x.dim();
        if n < 100 {
            return Err(SupportError { found: n, needed: 100 });
        }
        let x = x.mapv(f64::from);
        let n_bands = spec.bands().len();
        let colors = (1..n_bands)
            .map(|feature| {
                let mut values = x.column(feature).to_vec();
                values.sort_by(f64::total_cmp);
                let at = |p: f64| values[((n - 1) as f64 * p).round() as usize];
                (at(COLOR_TAIL), at(1.0 - COLOR_TAIL))
            })
            .collect();
        let mean: Array1<f64> = x.sum_axis(ndarray::Axis(0)) / n as f64;
        let centred = &x - &mean;
        let mut covariance = centred.t().dot(&centred) / n as f64;
        for i in 0..d {
            // A feature without spread, such as a mask that is always set, must not divide by zero.
            covariance[[i, i]] += 1e-6;
        }
        let whitening = inverse_cholesky(&covariance);
        let mut support = Self { zred, colors, mean: mean.to_vec(), whitening, distance: [0.0; 3] };
        let mut distances: Vec<f64> = x
            .rows()
            .into_iter()
            .map(|row| support.distance_of(&row.iter().map(|&v| v as f32).collect::<Vec<_>>()))
            .collect();
        distances.sort_by(f64::total_cmp);
        support.distance = [0.5, 0.99, 0.999].map(|p| distances[((n - 1) as f64 * p).round() as usize]);
        Ok(support)
    }

    /// Mahalanobis distance of features from the training set.
    pub fn distance_of(&self, x: &[f32]) -> f64 {
        let mut sum = 0.0;
        let mut at = 0;
        for i in 0..self.mean.len() {
            let row = &self.whitening[at..at + i + 1];
            let component: f64 = row
                .iter()
                .zip(x.iter().zip(&self.mean))
                .map(|(w, (x, mean))| w * (f64::from(*x) - mean))
                .sum();
            at += i + 1;
            sum += component * component;
        }
        sum.sqrt()
    }

    /// How unusual a galaxy is: its distance over that of the 99.9 % quantile of the training set.
    pub fn score(&self, x: &[f32]) -> f64 {
        self.distance_of(x) / self.distance[2].max(1e-9)
    }

    /// All rules a galaxy breaks. `flux`, `sigma` `[n_band]` in nanomaggies, `x` its features.
    pub fn reasons(
        &self,
        spec: &FeatureSpec,
        noise: &NoiseModel,
        (flux, sigma, observed): (&[f64], &[f64], u64),
        zred: f64,
        x: &[f32],
    ) -> Vec<Reason> {
        let mut reasons = Vec::new();
        if !(self.zred.0..=self.zred.1).contains(&zred) {
            reasons.push(Reason::ZRange);
        }
        let has = |band: usize| observed >> band & 1 == 1;
        for (i, band) in noise.bands.iter().enumerate().filter(|(i, _)| has(*i)) {
            let name = short_band(&band.band).to_owned();
            let (faintest, brightest) = band.flux_range_nmgy();
            if flux[i] < faintest {
                reasons.push(Reason::MagFaint(name));
                continue;
            }
            if flux[i] > brightest {
                reasons.push(Reason::MagBright(name));
                continue;
            }
            let sigma_mag = MAG_PER_RELATIVE * sigma[i] / flux[i];
            let (median, sd) = band.sigma_mag(nmgy_to_mag(flux[i]));
            let least = band.sigma_median.iter().copied().fold(f64::INFINITY, f64::min);
            if sigma_mag > (median + SIGMA_HIGH * sd).max(SIGMA_HIGH_FACTOR * median) {
                reasons.push(Reason::SigmaHigh(name));
            } else if sigma_mag < SIGMA_LOW * least {
                reasons.push(Reason::SigmaLow(name));
            }
        }
        for (i, &(blue, red)) in self.colors.iter().enumerate() {
            if has(i) && has(i + 1) {
                let names = || {
                    let band = |at: usize| short_band(&spec.bands()[at]).to_owned();
                    format!("{}-{}", band(i), band(i + 1))
                };
                let color = f64::from(x[i + 1]);
                if color < blue {
                    reasons.push(Reason::ColorBlue(names()));
                } else if color > red {
                    reasons.push(Reason::ColorRed(names()));
                }
            }
        }
        reasons
    }
}

/// Lower triangle of the inverse of the Cholesky factor of a positive definite matrix.
fn inverse_cholesky(covariance: &Array2<f64>) -> Vec<f64> {
    let d = covariance.nrows();
    let mut factor = Array2::<f64>::zeros((d, d));
    for i in 0..d {
        for j in 0..=i {
            let sum: f64 = (0..j).map(|k| factor[[i, k]] * factor[[j, k]]).sum();
            let rest = covariance[[i, j]] - sum;
            factor[[i, j]] = if i == j { rest.max(1e-12).sqrt() } else { rest / factor[[j, j]] };
        }
    }
    let mut inverse = Array2::<f64>::zeros((d, d));
    for i in 0..d {
        inverse[[i, i]] = 1.0 / factor[[i, i]];
        for j in 0..i {
            let sum: f64 = (j..i).map(|k| factor[[i, k]] * inverse[[k, j]]).sum();
            inverse[[i, j]] = -sum / factor[[i, i]];
        }
    }
    (0..d).flat_map(|i| (0..=i).map(move |j| (i, j))).map(|at| inverse[at]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::mag_to_nmgy;
    use crate::rng::Streams;
    use rand_distr::{Distribution, StandardNormal};

    fn ugriz() -> (FeatureSpec, NoiseModel, Support) {
        let noise = NoiseModel::shipped().unwrap();
        let spec = FeatureSpec::for_noise(&noise, false).unwrap();
        let streams = Streams::new(1, "support test");
        let x = Array2::from_shape_fn((5000, 11), |(i, j)| {
            let e: f64 = StandardNormal.sample(&mut streams.at((i * 11 + j) as u64));
            (0.5 * e + j as f64 * 0.1) as f32
        });
        let support = Support::of(&spec, x.view(), (0.0, 0.2)).unwrap();
        (spec, noise, support)
    }

    #[test]
    fn distance_of_white_features_is_their_norm() {
        let (_, _, support) = ugriz();
        let x: Vec<f32> = (0..11).map(|j| j as f32 * 0.1).collect();
        assert!(support.distance_of(&x) < 0.2);
        let mut far = x.clone();
        far[3] += 5.0;
        assert!((support.distance_of(&far) - 10.0).abs() < 0.3, "{}", support.distance_of(&far));
        // The 99.9 % quantile of a chi distribution of 11 degrees of freedom.
        assert!((support.distance[2] - 5.59).abs() < 0.25, "{:?}", support.distance);
    }

    /// Changes fluxes, errors and redshift of a galaxy.
    type Change<'a> = &'a dyn Fn(&mut [f64], &mut [f64], &mut f64);

    #[test]
    fn every_rule_has_its_code() {
        let (spec, noise, support) = ugriz();
        let codes = |change: Change| {
            let mut flux: Vec<f64> = [18.5, 17.4, 16.8, 16.5, 16.4].map(mag_to_nmgy).to_vec();
            let mut sigma: Vec<f64> = flux
                .iter()
                .zip([0.067, 0.0212, 0.0210, 0.0215, 0.038])
                .map(|(f, s)| f * s / 1.0857)
                .collect();
            let mut zred = 0.05;
            change(&mut flux, &mut sigma, &mut zred);
            let mut x = vec![0.0; 11];
            spec.compute(&flux, &sigma, u64::MAX, zred, &mut x).unwrap();
            let reasons = support.reasons(&spec, &noise, (&flux, &sigma, u64::MAX), zred, &x);
            super::super::reason::join(&reasons).unwrap_or_default()
        };
        assert_eq!(codes(&|_, _, _| {}), "");
        assert_eq!(codes(&|_, _, z| *z = 0.3), "Z_RANGE");
        assert_eq!(codes(&|_, s, _| s[2] *= 1.3), "SIGMA_HIGH_r");
        assert_eq!(codes(&|_, s, _| s[1] *= 0.3), "SIGMA_LOW_g");
        assert!(codes(&|f, _, _| f[0] = mag_to_nmgy(23.0)).contains("MAG_FAINT_u"));
        assert!(codes(&|f, _, _| f[0] = mag_to_nmgy(23.0)).contains("COLOR_RED_u-g"));
        assert!(codes(&|f, _, _| f[4] = 1e9).contains("MAG_BRIGHT_z"));
    }
}
