//! Spectrum x bandpass -> AB maggies.
//!
//! `maggies = int f_lambda R lambda dlambda / int (3631 Jy c / lambda^2) R lambda dlambda` with R the
//! photon-counting response; f_lambda and R are linear between their samples, and the integrals are
//! trapezoids on the union of both sets of samples.

use super::SedError;
use crate::constants::{AB_ZERO_CGS, C_AA_PER_S};
use crate::filters::Filter;

/// A band's maggies as a weighted sum over the samples of a spectrum.
#[derive(Debug, Clone, PartialEq)]
pub struct BandWeights {
    /// The spectrum's first sample that counts.
    pub first: usize,
    /// Maggies per erg/s/cm2/A at sample `first + i`.
    pub weights: Vec<f64>,
}

impl BandWeights {
    /// Weights of `filter` for a spectrum sampled at `wave_aa` (rest frame, ascending) seen at `zred`.
    ///
    /// Errors with [`SedError::Coverage`] where the band responds beyond the redshifted samples.
    pub fn new(filter: &Filter, wave_aa: &[f64], zred: f64) -> Result<Self, SedError> {
        covered(filter, wave_aa, zred)?;
        let stretch = 1.0 + zred;
        let (lo, hi) = filter.support_aa();
        let n = wave_aa.len();
        // Samples around the support: the last at or below it, the first at or above it.
        let first = wave_aa.partition_point(|w| w * stretch <= lo).max(1) - 1;
        let end = (wave_aa.partition_point(|w| w * stretch < hi) + 1).min(n);
        let wave_aa = &wave_aa[first..end];
        let mut weights = vec![0.0; wave_aa.len()];
        let nodes = union(filter, wave_aa, stretch, (lo, hi));
        let mut zero_point = 0.0;
        let mut cell = 0;
        for (i, &(x, response)) in nodes.iter().enumerate() {
            let left = nodes[i.saturating_sub(1)].0;
            let right = nodes.get(i + 1).map_or(x, |node| node.0);
            let photons = 0.5 * (right - left) * x * response;
            zero_point += photons / (x * x);
            while cell + 2 < wave_aa.len() && wave_aa[cell + 1] * stretch <= x {
                cell += 1;
            }
            let (w0, w1) = (wave_aa[cell] * stretch, wave_aa[cell + 1] * stretch);
            let f = ((x - w0) / (w1 - w0)).clamp(0.0, 1.0);
            weights[cell] += photons * (1.0 - f);
            weights[cell + 1] += photons * f;
        }
        let scale = 1.0 / (AB_ZERO_CGS * C_AA_PER_S * zero_point);
        weights.iter_mut().for_each(|w| *w *= scale);
        Ok(Self { first, weights })
    }

    /// Maggies of a spectrum, erg/s/cm2/A at all samples.
    pub fn maggies(&self, flam: &[f64]) -> f64 {
        self.weights.iter().zip(&flam[self.first..]).map(|(w, f)| w * f).sum()
    }

    /// The spectrum's samples that count.
    pub fn range(&self) -> std::ops::Range<usize> {
        self.first..self.first + self.weights.len()
    }
}

/// Errors with [`SedError::Coverage`] where the band responds beyond samples at `wave_aa` seen at `zred`.
pub fn covered(filter: &Filter, wave_aa: &[f64], zred: f64) -> Result<(), SedError> {
    let band_aa = filter.support_aa();
    let seen = |wave: Option<&f64>| wave.map_or(f64::NAN, |w| w * (1.0 + zred));
    let grid_aa = (seen(wave_aa.first()), seen(wave_aa.last()));
    if wave_aa.len() >= 2 && grid_aa.0 <= band_aa.0 && band_aa.1 <= grid_aa.1 {
        return Ok(());
    }
    Err(SedError::Coverage { band: filter.name().to_owned(), band_aa, zred, grid_aa })
}

/// Samples of curve and spectrum within the support, ascending, each once: observed Angstrom and
/// response there.
fn union(filter: &Filter, wave_aa: &[f64], stretch: f64, (lo, hi): (f64, f64)) -> Vec<(f64, f64)> {
    let (curve_aa, response) = (filter.wave_aa(), filter.response());
    let mut nodes = Vec::with_capacity(curve_aa.len() + wave_aa.len());
    let mut spectrum = wave_aa.iter().map(|w| w * stretch).filter(|&x| x >= lo).peekable();
    let from = curve_aa.partition_point(|&x| x < lo);
    let to = curve_aa.partition_point(|&x| x <= hi);
    for i in from..to {
        let x = curve_aa[i];
        while let Some(sample) = spectrum.next_if(|&sample| sample <= x) {
            if sample < x {
                let t = (sample - curve_aa[i - 1]) / (x - curve_aa[i - 1]);
                nodes.push((sample, response[i - 1] * (1.0 - t) + response[i] * t));
            }
        }
        nodes.push((x, response[i]));
    }
    nodes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filters::{shipped, shipped_names};

    /// f_lambda of a source of 1 maggie at all wavelengths, finely sampled.
    fn flat_ab() -> (Vec<f64>, Vec<f64>) {
        let wave: Vec<f64> = (0..60_000).map(|i| 800.0 * (1.0 + 1e-4f64).powi(i)).collect();
        let flam = wave.iter().map(|w| AB_ZERO_CGS * C_AA_PER_S / (w * w)).collect();
        (wave, flam)
    }

    #[test]
    fn a_flat_ab_source_is_1_maggie_in_every_band() {
        let (wave, flam) = flat_ab();
        for name in shipped_names() {
            let weights = BandWeights::new(&shipped(name).unwrap(), &wave, 0.0).unwrap();
            let maggies = weights.maggies(&flam);
            assert!((maggies - 1.0).abs() < 1e-7, "{name}: {maggies}");
        }
    }

    #[test]
    fn scaling_a_response_changes_nothing() {
        let filter = shipped("sdss2010-r").unwrap();
        let tripled = filter.response().iter().map(|r| 3.0 * r).collect();
        let tripled = Filter::new("tripled", filter.wave_aa().to_vec(), tripled).unwrap();
        let (wave, flam) = flat_ab();
        let a = BandWeights::new(&filter, &wave, 0.1).unwrap().maggies(&flam);
        let b = BandWeights::new(&tripled, &wave, 0.1).unwrap().maggies(&flam);
        assert!((a / b - 1.0).abs() < 1e-12);
    }

    #[test]
    fn a_band_beyond_the_redshifted_spectrum_is_refused_with_both_ranges() {
        let filter = shipped("sdss2010-u").unwrap();
        let wave: Vec<f64> = (2000..9000).map(f64::from).collect();
        assert!(BandWeights::new(&filter, &wave, 0.2).is_ok());
        let error = BandWeights::new(&filter, &wave, 1.0).unwrap_err().to_string();
        assert!(error.contains("sdss2010-u") && error.contains("4000"), "{error}");
        assert!(BandWeights::new(&filter, &wave[5000..], 0.0).is_err());
        assert!(BandWeights::new(&filter, &[], 0.0).is_err());
    }

    #[test]
    fn a_coarse_spectrum_is_integrated_as_the_straight_lines_it_is() {
        // f_lambda = lambda sampled twice: a band sees its photon-weighted mean wavelength.
        let filter = shipped("sdss2010-g").unwrap();
        let coarse = BandWeights::new(&filter, &[3000.0, 7000.0], 0.0).unwrap().maggies(&[3000.0, 7000.0]);
        let fine: Vec<f64> = (3000..=7000).map(f64::from).collect();
        let fine = BandWeights::new(&filter, &fine, 0.0).unwrap().maggies(&fine);
        assert!((coarse / fine - 1.0).abs() < 1e-5, "{coarse} {fine}");
    }
}
