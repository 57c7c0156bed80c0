//! The exact path: a galaxy's spectrum at the resolution of the grid.

use std::ops::Range;

use multiversion::multiversion;

use super::dust::{DiffuseTerms, birth_cloud_depth};
use super::params::Galaxy;
use super::photometry::BandWeights;
use super::{SedError, SedModel};
use crate::constants::C_KM_PER_S;

/// Kernel widths integrated on either side of a wavelength.
const KERNEL_REACH: f64 = 6.0;

/// Largest velocity dispersion answered, km/s.
const DISPERSION_MAX: f64 = 1e4;

/// Flux density as observed; linear between its samples.
#[derive(Debug, Clone, PartialEq)]
pub struct Spectrum {
    /// Observed wavelengths, Angstrom, ascending.
    pub wave_obs_aa: Vec<f64>,
    /// erg/s/cm2/Angstrom.
    pub flam: Vec<f64>,
}

impl SedModel {
    /// Rest-frame luminosity per solar mass formed, Lsun/A at the grid's wavelengths.
    pub fn rest_luminosity(&self, galaxy: &Galaxy, zred: f64) -> Result<Vec<f64>, SedError> {
        self.check(galaxy, zred)?;
        let n = self.grid().wave_aa.len();
        Ok(self.luminosity(galaxy, zred, 0..n))
    }

    /// The observed spectrum at the grid's wavelengths.
    pub fn spectrum(&self, galaxy: &Galaxy, zred: f64) -> Result<Spectrum, SedError> {
        let mut flam = self.rest_luminosity(galaxy, zred)?;
        let scale = self.flux_scale(galaxy, zred);
        flam.iter_mut().for_each(|f| *f *= scale);
        let wave_obs_aa = self.grid().wave_aa.iter().map(|w| w * (1.0 + zred)).collect();
        Ok(Spectrum { wave_obs_aa, flam })
    }

    /// Luminosity at all the grid's wavelengths, computed only where `bands` look, zero elsewhere.
    pub(super) fn band_luminosity(&self, galaxy: &Galaxy, zred: f64, bands: &[BandWeights]) -> Vec<f64> {
        let mut lum = vec![0.0; self.grid().wave_aa.len()];
        for range in merged(bands.iter().map(BandWeights::range).collect()) {
            lum[range.clone()].copy_from_slice(&self.luminosity(galaxy, zred, range));
        }
        lum
    }

    /// Lsun/A per solar mass formed at some of the grid's wavelengths.
    fn luminosity(&self, galaxy: &Galaxy, zred: f64, range: Range<usize>) -> Vec<f64> {
        let grid = self.grid();
        let (n_age, n_wave) = (grid.age_yr.len(), grid.wave_aa.len());
        // Shares of the grid's populations, [met, age], outside and inside birth clouds.
        let mut shares = [vec![0.0; grid.z_abs.len() * n_age], vec![0.0; grid.z_abs.len() * n_age]];
        for p in self.history(galaxy, zred).populations() {
            let young = usize::from(p.age_gyr < self.birth_cloud_age_gyr());
            let (age, met) = (self.axes().age(p.age_gyr), self.axes().metallicity(p.z_abs));
            for (j, of_met) in [(met.lower, 1.0 - met.fraction), (met.upper, met.fraction)] {
                shares[young][j * n_age + age.lower] += p.mass * of_met * (1.0 - age.fraction);
                shares[young][j * n_age + age.upper] += p.mass * of_met * age.fraction;
            }
        }
        let [mut old, young] = shares.map(|shares| {
            let mut sum = vec![0.0; range.len()];
            for (ssp, share) in shares.into_iter().enumerate().filter(|(_, share)| *share != 0.0) {
                let row = &grid.lum[ssp * n_wave..][range.clone()];
                add_scaled(&mut sum, share, row);
            }
            sum
        });
        for ((old, young), &wave_aa) in old.iter_mut().zip(young).zip(&grid.wave_aa[range]) {
            let clouds = (-galaxy.tau_bc * birth_cloud_depth(wave_aa)).exp();
            let diffuse = (-galaxy.tau_ism * DiffuseTerms::at(wave_aa).depth(galaxy.n_dust)).exp();
            *old = (*old + young * clouds) * diffuse;
        }
        old
    }
}

impl Spectrum {
    /// The spectrum of stars whose velocities scatter by `sigma_km_s` (Gaussian) on top of the grid's own
    /// resolution.
    ///
    /// `lambda f_lambda`, linear between samples in ln lambda, is convolved exactly; beyond the ends the
    /// outermost samples stand for the rest. Errors where the dispersion is negative or absurd.
    pub fn broadened(&self, sigma_km_s: f64) -> Result<Self, SedError> {
        if !(0.0..=DISPERSION_MAX).contains(&sigma_km_s) {
            return Err(SedError::Dispersion { found: sigma_km_s });
        }
        if sigma_km_s == 0.0 {
            return Ok(self.clone());
        }
        let sigma = sigma_km_s / C_KM_PER_S;
        let u: Vec<f64> = self.wave_obs_aa.iter().map(|w| w.ln()).collect();
        let y: Vec<f64> = self.wave_obs_aa.iter().zip(&self.flam).map(|(w, f)| w * f).collect();
        let flam = u
            .iter()
            .zip(&self.wave_obs_aa)
            .map(|(&centre, wave)| gaussian_mean(&u, &y, centre, sigma) / wave)
            .collect();
        Ok(Self { wave_obs_aa: self.wave_obs_aa.clone(), flam })
    }

    /// Mean flux density in pixels centred on `wave_obs_aa`, whose edges lie half-way between centres: the
    /// energy between the outer edges is kept exactly. Pixels beyond the spectrum see zero there.
    ///
    /// Errors where the centres are fewer than 2, not ascending or not positive.
    pub fn resampled(&self, wave_obs_aa: &[f64]) -> Result<Self, SedError> {
        let edges = pixel_edges(wave_obs_aa)?;
        let cumulative = self.cumulative();
        let energy: Vec<f64> = edges.iter().map(|&edge| self.energy_below(&cumulative, edge)).collect();
        let flam =
            energy.windows(2).zip(edges.windows(2)).map(|(e, x)| (e[1] - e[0]) / (x[1] - x[0])).collect();
        Ok(Self { wave_obs_aa: wave_obs_aa.to_vec(), flam })
    }

    /// Energy below each sample, erg/s/cm2.
    fn cumulative(&self) -> Vec<f64> {
        let mut sum = 0.0;
        let steps = self.wave_obs_aa.windows(2).zip(self.flam.windows(2));
        let steps = steps.map(|(x, f)| 0.5 * (x[1] - x[0]) * (f[0] + f[1]));
        std::iter::once(0.0)
            .chain(steps.map(|step| {
                sum += step;
                sum
            }))
            .collect()
    }

    fn energy_below(&self, cumulative: &[f64], x: f64) -> f64 {
        let last = self.wave_obs_aa.len() - 1;
        let x = x.clamp(self.wave_obs_aa[0], self.wave_obs_aa[last]);
        let upper = self.wave_obs_aa.partition_point(|&w| w <= x).clamp(1, last);
        let (x0, x1) = (self.wave_obs_aa[upper - 1], self.wave_obs_aa[upper]);
        let (f0, f1) = (self.flam[upper - 1], self.flam[upper]);
        let f = f0 + (f1 - f0) * (x - x0) / (x1 - x0);
        cumulative[upper - 1] + 0.5 * (x - x0) * (f0 + f)
    }
}

/// Edges of pixels by their centres: half-way between, and as far outside the outermost.
fn pixel_edges(centres: &[f64]) -> Result<Vec<f64>, SedError> {
    let n = centres.len();
    if n < 2 {
        return Err(SedError::TooFewWavelengths { found: n });
    }
    let mut previous = 0.0;
    for (row, &found) in centres.iter().enumerate() {
        if !(found > previous && found.is_finite()) {
            return Err(SedError::Wavelengths { row: row + 1, previous, found });
        }
        previous = found;
    }
    let inner = centres.windows(2).map(|w| 0.5 * (w[0] + w[1]));
    let first = 1.5 * centres[0] - 0.5 * centres[1];
    let last = 1.5 * centres[n - 1] - 0.5 * centres[n - 2];
    Ok(std::iter::once(first).chain(inner).chain(std::iter::once(last)).collect())
}

/// Mean of the piecewise linear `y(u)` under a Gaussian.
fn gaussian_mean(u: &[f64], y: &[f64], centre: f64, sigma: f64) -> f64 {
    let last = u.len() - 1;
    let from = u.partition_point(|&u| u < centre - KERNEL_REACH * sigma).saturating_sub(1);
    let to = u.partition_point(|&u| u <= centre + KERNEL_REACH * sigma).min(last);
    let cdf = |t: f64| 0.5 * libm::erfc(-t * std::f64::consts::FRAC_1_SQRT_2);
    let pdf = |t: f64| (-0.5 * t * t).exp() * 0.398_942_280_401_432_7;
    let mut t0 = (u[from] - centre) / sigma;
    let (mut cdf0, mut pdf0) = (cdf(t0), pdf(t0));
    // What lies beyond the window counts as its outermost samples.
    let mut sum = y[from] * cdf0;
    for i in from..to {
        let t1 = (u[i + 1] - centre) / sigma;
        let (cdf1, pdf1) = (cdf(t1), pdf(t1));
        let slope = (y[i + 1] - y[i]) / (t1 - t0);
        // int (y0 + slope (t - t0)) pdf dt, with int t pdf dt = -pdf.
        sum += (y[i] - slope * t0) * (cdf1 - cdf0) + slope * (pdf0 - pdf1);
        (t0, cdf0, pdf0) = (t1, cdf1, pdf1);
    }
    sum + y[to] * (1.0 - cdf0)
}

/// Ranges sorted and overlaps joined.
fn merged(mut ranges: Vec<Range<usize>>) -> Vec<Range<usize>> {
    ranges.sort_by_key(|range| range.start);
    let mut out: Vec<Range<usize>> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match out.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => out.push(range),
        }
    }
    out
}

#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl", "x86_64+avx2"))]
fn add_scaled(sum: &mut [f64], scale: f64, row: &[f32]) {
    for (sum, &value) in sum.iter_mut().zip(row) {
        *sum += scale * f64::from(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line of unit energy and width `sigma` in ln lambda, on a constant continuum.
    fn line(sigma: f64, continuum: f64) -> Spectrum {
        let wave_obs_aa: Vec<f64> = (0..8000).map(|i| 5000.0 + 0.125 * f64::from(i)).collect();
        let flam = wave_obs_aa
            .iter()
            .map(|w| {
                let t = (w / 5500.0).ln() / sigma;
                continuum + (-0.5 * t * t).exp() / (sigma * w * (2.0 * std::f64::consts::PI).sqrt())
            })
            .collect();
        Spectrum { wave_obs_aa, flam }
    }

    fn energy(s: &Spectrum) -> f64 {
        *s.cumulative().last().unwrap()
    }

    #[test]
    fn broadening_adds_widths_in_quadrature_and_keeps_the_energy() {
        let sigma = 100.0 / C_KM_PER_S;
        let narrow = line(sigma, 0.0);
        let wide = narrow.broadened(240.0).unwrap();
        let expected = line(260.0 / C_KM_PER_S, 0.0);
        let peak = expected.flam.iter().copied().fold(0.0, f64::max);
        for (a, b) in wide.flam.iter().zip(&expected.flam) {
            assert!((a - b).abs() < 1e-4 * peak);
        }
        assert!((energy(&wide) / energy(&narrow) - 1.0).abs() < 1e-6);
    }

    #[test]
    fn broadening_by_nothing_or_of_a_constant_changes_nothing() {
        let s = line(1e-3, 1.0);
        assert_eq!(s.broadened(0.0).unwrap(), s);
        let nearly = s.broadened(1e-3).unwrap();
        assert!(nearly.flam.iter().zip(&s.flam).all(|(a, b)| (a / b - 1.0).abs() < 1e-5));
        let flam = s.wave_obs_aa.iter().map(|w| 1.0 / w).collect();
        let constant = Spectrum { flam, ..s };
        let broad = constant.broadened(300.0).unwrap();
        assert!(broad.flam.iter().zip(&constant.flam).all(|(a, b)| (a / b - 1.0).abs() < 1e-9));
        assert_eq!(constant.broadened(-1.0), Err(SedError::Dispersion { found: -1.0 }));
        assert!(constant.broadened(f64::NAN).is_err());
    }

    #[test]
    fn resampling_keeps_the_energy_whatever_the_pixels() {
        let s = line(3e-4, 2e-3);
        let uneven: Vec<f64> = (0..150).map(|i| 5100.0 + f64::from(i) + 0.02 * f64::from(i * i)).collect();
        let edges = pixel_edges(&uneven).unwrap();
        let coarse = s.resampled(&uneven).unwrap();
        let sum: f64 = coarse.flam.iter().zip(edges.windows(2)).map(|(f, x)| f * (x[1] - x[0])).sum();
        let all = s.cumulative();
        let expected = s.energy_below(&all, edges[150]) - s.energy_below(&all, edges[0]);
        assert!((sum / expected - 1.0).abs() < 1e-12);
    }

    #[test]
    fn resampling_onto_itself_keeps_straight_lines() {
        let wave_obs_aa: Vec<f64> = (0..100).map(|i| 4000.0 + 2.0 * f64::from(i)).collect();
        let flam = wave_obs_aa.iter().map(|w| 3.0 + 0.1 * w).collect();
        let s = Spectrum { wave_obs_aa, flam };
        let same = s.resampled(&s.wave_obs_aa[1..99]).unwrap();
        assert!(same.flam.iter().zip(&s.flam[1..]).all(|(a, b)| (a / b - 1.0).abs() < 1e-12));
    }

    #[test]
    fn pixels_out_of_order_are_named() {
        let s = line(1e-3, 0.0);
        assert_eq!(s.resampled(&[5000.0]), Err(SedError::TooFewWavelengths { found: 1 }));
        let error = s.resampled(&[5000.0, 5002.0, 5001.0]).unwrap_err();
        assert_eq!(error, SedError::Wavelengths { row: 3, previous: 5002.0, found: 5001.0 });
    }
}
