//! Fitting the noise model to a catalog, whatever garbage some of its rows hold.

use ndarray::ArrayView2;
use serde::{Deserialize, Serialize};

use super::{BandNoise, MAG_PER_RELATIVE, NoiseError, NoiseModel, nmgy_to_mag};

/// How the bins are made.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct FitOptions {
    /// Width of a magnitude bin.
    pub bin_mag: f64,
    /// Rows a bin must have.
    pub min_count: usize,
    /// Values further than this many standard deviations from the median are clipped.
    pub clip_sigma: f64,
}

impl Default for FitOptions {
    fn default() -> Self {
        Self { bin_mag: 1.0, min_count: 20, clip_sigma: 3.0 }
    }
}

/// Rows of one band the fit could not use, by reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unusable {
    pub not_finite: u64,
    pub ivar_not_positive: u64,
    pub flux_not_positive: u64,
    /// In a magnitude bin with too few rows to say anything, or far from all others.
    pub outlying_bin: u64,
}

/// What the fit did with one band's rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BandFit {
    pub band: String,
    pub rows: u64,
    pub used: u64,
    /// Used rows that clipping left out of the standard deviation.
    pub clipped: u64,
    pub unusable: Unusable,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FitReport {
    pub bands: Vec<BandFit>,
}

/// Fits the errors of `bands` from observed `flux` and `ivar` `[n_galaxy, n_band]` (nanomaggies and
/// nanomaggies^-2).
///
/// Errors with [`NoiseError::TooFew`] if a band has no bin with enough rows.
pub fn fit(
    bands: &[String],
    flux: ArrayView2<f64>,
    ivar: ArrayView2<f64>,
    options: &FitOptions,
) -> Result<(NoiseModel, FitReport), NoiseError> {
    let mut fitted = Vec::new();
    let mut reports = Vec::new();
    for (i, name) in bands.iter().enumerate() {
        let mut report = BandFit {
            band: name.clone(),
            rows: flux.nrows() as u64,
            used: 0,
            clipped: 0,
            unusable: Unusable::default(),
        };
        let usable = usable_rows(flux.column(i).iter().zip(ivar.column(i)), &mut report.unusable);
        fitted.push(fit_band(name, usable, options, &mut report)?);
        reports.push(report);
    }
    let source = format!("fitted to {} galaxies", flux.nrows());
    Ok((NoiseModel { name: "fitted".into(), source, bands: fitted }, FitReport { bands: reports }))
}

/// (magnitude, sigma_mag) of the rows that have both.
fn usable_rows<'a>(
    rows: impl Iterator<Item = (&'a f64, &'a f64)>,
    unusable: &mut Unusable,
) -> Vec<(f64, f64)> {
    let mut usable = Vec::new();
    for (&flux, &ivar) in rows {
        if !(flux.is_finite() && ivar.is_finite()) {
            unusable.not_finite += 1;
        } else if ivar <= 0.0 {
            unusable.ivar_not_positive += 1;
        } else if flux <= 0.0 {
            unusable.flux_not_positive += 1;
        } else {
            let sigma_mag = MAG_PER_RELATIVE / (ivar.sqrt() * flux);
            if sigma_mag.is_finite() && sigma_mag > 0.0 {
                usable.push((nmgy_to_mag(flux), sigma_mag));
            } else {
                unusable.not_finite += 1;
            }
        }
    }
    usable
}

fn fit_band(
    name: &str,
    mut rows: Vec<(f64, f64)>,
    options: &FitOptions,
    report: &mut BandFit,
) -> Result<BandNoise, NoiseError> {
    rows.sort_by(|a, b| a.0.total_cmp(&b.0));
    let bin_of = |mag: f64| (mag / options.bin_mag).floor();
    let bins: Vec<&[(f64, f64)]> = rows.chunk_by(|a, b| bin_of(a.0) == bin_of(b.0)).collect();
    let full: Vec<&[(f64, f64)]> =
        bins.into_iter().filter(|bin| bin.len() >= options.min_count.max(2)).collect();
    let body = connected(&full);
    let mut band = BandNoise {
        band: name.to_owned(),
        mag: vec![],
        sigma_median: vec![],
        sigma_sd: vec![],
        count: vec![],
        mag_range: (f64::INFINITY, f64::NEG_INFINITY),
    };
    for bin in &full[body] {
        let mut sigma: Vec<f64> = bin.iter().map(|row| row.1).collect();
        let (median, sd, kept) = clipped(&mut sigma, options.clip_sigma);
        report.used += bin.len() as u64;
        report.clipped += (bin.len() - kept) as u64;
        band.mag.push((bin_of(bin[0].0) + 0.5) * options.bin_mag);
        band.sigma_median.push(median);
        band.sigma_sd.push(sd);
        band.count.push(bin.len() as u64);
        band.mag_range = (band.mag_range.0.min(bin[0].0), band.mag_range.1.max(bin[bin.len() - 1].0));
    }
    report.unusable.outlying_bin = rows.len() as u64 - report.used;
    if band.mag.is_empty() {
        return Err(NoiseError::TooFew {
            band: name.to_owned(),
            usable: rows.len(),
            rows: report.rows as usize,
            needed: options.min_count,
        });
    }
    Ok(band)
}

/// The bins that hang together with the fullest one: fillers such as a flux of 1e30 come in numbers,
/// but magnitudes away from any galaxy.
fn connected(bins: &[&[(f64, f64)]]) -> std::ops::Range<usize> {
    const GAP_MAG: f64 = 3.0;
    let Some(fullest) = (0..bins.len()).max_by_key(|&i| bins[i].len()) else { return 0..0 };
    let near = |i: usize| bins[i + 1][0].0 - bins[i][bins[i].len() - 1].0 < GAP_MAG;
    let start = (0..fullest).rev().take_while(|&i| near(i)).last().unwrap_or(fullest);
    let end = (fullest..bins.len() - 1).take_while(|&i| near(i)).last().map_or(fullest, |i| i + 1);
    start..end + 1
}

/// Median of all values, standard deviation of those within `clip` of it, and how many those are.
fn clipped(values: &mut [f64], clip: f64) -> (f64, f64, usize) {
    values.sort_by(f64::total_cmp);
    let median = median_sorted(values);
    let mut deviation: Vec<f64> = values.iter().map(|v| (v - median).abs()).collect();
    deviation.sort_by(f64::total_cmp);
    // Garbage can be so large that the plain standard deviation would never clip it; the median
    // deviation sees through up to half of it.
    let robust = 1.4826 * median_sorted(&deviation);
    let mut limit = if robust > 0.0 { 10.0 * robust } else { f64::INFINITY };
    let mut kept = values.len();
    let mut sd = 0.0;
    for _ in 0..20 {
        let inside: Vec<f64> = values.iter().copied().filter(|v| (v - median).abs() <= limit).collect();
        let n = inside.len() as f64;
        let mean = inside.iter().sum::<f64>() / n;
        sd = (inside.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt();
        if inside.len() == kept && limit.is_finite() && limit <= clip * sd * (1.0 + 1e-9) {
            break;
        }
        kept = inside.len();
        limit = clip * sd;
    }
    (median, sd, kept)
}

fn median_sorted(sorted: &[f64]) -> f64 {
    let n = sorted.len();
    if n % 2 == 1 { sorted[n / 2] } else { 0.5 * (sorted[n / 2 - 1] + sorted[n / 2]) }
}
