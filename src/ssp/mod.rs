//! Simple stellar populations: a grid of spectra over metallicity and age, checked, with where it comes from.

mod codec;
mod import;
mod rebin;

use std::path::Path;

use rayon::prelude::*;
use thiserror::Error;

pub use codec::FORMAT_VERSION;
pub use import::{ImportError, SHIPPED_MAX_AGE_YR, SHIPPED_ZONES, Trim};
pub use rebin::{Rebin, RebinError, Zones};

use crate::hash::ContentHash;

const SHIPPED: &[u8] = include_bytes!("../../models/bc03_miles_kroupa.ssp");

/// Most metallicities, ages and wavelengths, and most values in all, that a grid may have.
pub const MAX_SHAPE: [usize; 3] = [64, 2000, 200_000];
const MAX_VALUES: usize = 1 << 27;
/// Largest grid file read, bytes.
const MAX_FILE_BYTES: u64 = 1 << 29;

/// What the grid is made of and by whom; travels with every product made from it.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct SspOrigin {
    /// Short name: "bc03_miles_kroupa".
    pub name: String,
    /// Initial mass function: "Kroupa 2001".
    pub imf: String,
    pub isochrones: String,
    /// Spectral library or libraries.
    pub library: String,
    /// Package and version, or program and settings, the numbers come from.
    pub source: String,
    /// Paper or papers to cite, and the terms the numbers come under.
    pub licence: String,
    /// What was done to the numbers on the way: trimming, rebinning.
    pub processing: String,
    /// Solar luminosity the fluxes are in units of, erg/s.
    pub lsun_erg_s: f64,
}

/// SSP spectra per solar mass formed, on ascending metallicity, age and wavelength.
///
/// Between its points a grid is linear in log10 Z, in log10 age and in wavelength.
#[derive(Debug, Clone, PartialEq)]
pub struct SspGrid {
    pub origin: SspOrigin,
    /// Rest frame, Angstrom, `[n_wave]`.
    pub wave_aa: Vec<f64>,
    /// Ages, yr, above zero, `[n_age]`.
    pub age_yr: Vec<f64>,
    /// Absolute metallicities, `[n_met]`.
    pub z_abs: Vec<f64>,
    /// Lsun/Angstrom per Msun formed, `[n_met, n_age, n_wave]`.
    pub lum: Vec<f32>,
    /// Msun still in stars and remnants per Msun formed, `[n_met, n_age]`.
    pub living_mass: Vec<f64>,
    /// Hash of all of the above: of the origin, the axes and the hashes of the spectra.
    pub hash: ContentHash,
}

#[derive(Debug, Error)]
pub enum SspError {
    #[error("not an SSP grid: it opens with `{}`, expected `{}`", found.escape_ascii(), expected.escape_ascii())]
    Magic { found: Vec<u8>, expected: &'static [u8] },
    #[error("SSP grid format {found} is newer than the {known} this program knows")]
    Newer { found: u32, known: u32 },
    #[error("the SSP grid ends after {found} bytes, expected {expected}: the file is cut short")]
    Truncated { found: usize, expected: usize },
    #[error("the SSP grid is damaged: its checksum is {found}, expected {expected}")]
    Checksum { found: ContentHash, expected: ContentHash },
    #[error("the SSP grid's header is unreadable: {0}")]
    Header(#[from] serde_json::Error),
    #[error("the SSP grid's {part} cannot be decompressed to {expected} bytes")]
    Decompress { part: &'static str, expected: usize },
    #[error("cannot compress the SSP grid: {0}")]
    Compress(std::io::Error),
    #[error("{axis}: {found} points, expected 2 to {limit}")]
    Size { axis: &'static str, found: usize, limit: usize },
    #[error("{found} values in all, expected at most {limit}")]
    TooLarge { found: usize, limit: usize },
    #[error("{part}: {found} values, expected {expected}")]
    Shape { part: &'static str, found: usize, expected: usize },
    #[error("{axis} point {index} is {found}, expected a finite number above {above}")]
    Axis { axis: &'static str, index: usize, found: f64, above: f64 },
    #[error(
        "luminosity at metallicity {z_abs}, age {age_yr} yr, {wave_aa} Angstrom is {found}, expected a finite number of at least 0"
    )]
    Luminosity { z_abs: f64, age_yr: f64, wave_aa: f64, found: f32 },
    #[error("the spectrum at metallicity {z_abs}, age {age_yr} yr is zero everywhere")]
    Dark { z_abs: f64, age_yr: f64 },
    #[error("living mass at metallicity {z_abs}, age {age_yr} yr is {found}, expected 0 to 1")]
    LivingMass { z_abs: f64, age_yr: f64, found: f64 },
    #[error("the file has {found} bytes, more than any SSP grid's {limit}")]
    FileSize { found: u64, limit: u64 },
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error("solar luminosity {found} erg/s, expected 3.7e33 to 4.0e33")]
    Lsun { found: f64 },
}

impl SspGrid {
    /// The grid that comes with the program: BC03 (2016), MILES, Kroupa; see `models/README.md`.
    pub fn shipped() -> Result<Self, SspError> {
        Self::from_bytes(SHIPPED)
    }

    /// Reads a grid file; returns its bytes too, which [`SspGrid::from_bytes`] makes the grid of again.
    pub fn read(path: &Path) -> Result<(Self, Vec<u8>), SspError> {
        let found = std::fs::metadata(path)?.len();
        if found > MAX_FILE_BYTES {
            return Err(SspError::FileSize { found, limit: MAX_FILE_BYTES });
        }
        let bytes = std::fs::read(path)?;
        Ok((Self::from_bytes(&bytes)?, bytes))
    }

    /// A grid of the parts given, hashed; shapes as in the fields of [`SspGrid`].
    ///
    /// Errors name the first point whose value cannot be right.
    pub fn new(
        origin: SspOrigin,
        wave_aa: Vec<f64>,
        age_yr: Vec<f64>,
        z_abs: Vec<f64>,
        lum: Vec<f32>,
        living_mass: Vec<f64>,
    ) -> Result<Self, SspError> {
        let [most_met, most_age, most_wave] = MAX_SHAPE;
        check_axis("metallicity", &z_abs, most_met)?;
        check_axis("age", &age_yr, most_age)?;
        check_axis("wavelength", &wave_aa, most_wave)?;
        let (n_met, n_age, n_wave) = (z_abs.len(), age_yr.len(), wave_aa.len());
        if n_met * n_age * n_wave > MAX_VALUES {
            return Err(SspError::TooLarge { found: n_met * n_age * n_wave, limit: MAX_VALUES });
        }
        check_len("luminosity", lum.len(), n_met * n_age * n_wave)?;
        check_len("living mass", living_mass.len(), n_met * n_age)?;
        if !(3.7e33..=4.0e33).contains(&origin.lsun_erg_s) {
            return Err(SspError::Lsun { found: origin.lsun_erg_s });
        }
        for (row, &found) in living_mass.iter().enumerate() {
            if !(0.0..=1.0).contains(&found) {
                return Err(SspError::LivingMass {
                    z_abs: z_abs[row / n_age],
                    age_yr: age_yr[row % n_age],
                    found,
                });
            }
        }
        let place = |row: usize| (z_abs[row / n_age], age_yr[row % n_age]);
        let spectra: Vec<ContentHash> = lum
            .par_chunks_exact(n_wave)
            .enumerate()
            .map_init(Vec::new, |bytes, (row, spectrum)| {
                check_spectrum(spectrum, &wave_aa, place(row))?;
                bytes.resize(4 * n_wave, 0);
                bytes
                    .as_chunks_mut()
                    .0
                    .iter_mut()
                    .zip(spectrum)
                    .for_each(|(slot, l)| *slot = l.to_le_bytes());
                Ok(ContentHash::of_bytes(bytes))
            })
            .collect::<Result<_, SspError>>()?;
        let hash = hash(&origin, [&wave_aa, &age_yr, &z_abs, &living_mass], &spectra)?;
        Ok(Self { origin, wave_aa, age_yr, z_abs, lum, living_mass, hash })
    }

    /// `[n_met, n_age, n_wave]`.
    pub fn shape(&self) -> [usize; 3] {
        [self.z_abs.len(), self.age_yr.len(), self.wave_aa.len()]
    }

    /// One spectrum, Lsun/Angstrom per Msun formed, `[n_wave]`.
    pub fn spectrum(&self, met: usize, age: usize) -> &[f32] {
        let [_, n_age, n_wave] = self.shape();
        &self.lum[(met * n_age + age) * n_wave..][..n_wave]
    }
}

fn check_axis(axis: &'static str, points: &[f64], limit: usize) -> Result<(), SspError> {
    if !(2..=limit).contains(&points.len()) {
        return Err(SspError::Size { axis, found: points.len(), limit });
    }
    let mut above = 0.0;
    for (index, &found) in points.iter().enumerate() {
        if !(found > above && found.is_finite()) {
            return Err(SspError::Axis { axis, index, found, above });
        }
        above = found;
    }
    Ok(())
}

fn check_len(part: &'static str, found: usize, expected: usize) -> Result<(), SspError> {
    if found == expected { Ok(()) } else { Err(SspError::Shape { part, found, expected }) }
}

fn check_spectrum(spectrum: &[f32], wave_aa: &[f64], (z_abs, age_yr): (f64, f64)) -> Result<(), SspError> {
    // As bits, anything negative, infinite or NaN is above the greatest finite number.
    let greatest = f32::MAX.to_bits();
    let most = spectrum.iter().map(|l| l.to_bits()).fold(0, u32::max);
    if most > greatest {
        let worst = spectrum.iter().position(|l| l.to_bits() > greatest).unwrap_or(0);
        return Err(SspError::Luminosity { z_abs, age_yr, wave_aa: wave_aa[worst], found: spectrum[worst] });
    }
    if most == 0 { Err(SspError::Dark { z_abs, age_yr }) } else { Ok(()) }
}

fn hash(origin: &SspOrigin, axes: [&[f64]; 4], spectra: &[ContentHash]) -> Result<ContentHash, SspError> {
    let axis_bytes = |values: &[f64]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
    let mut parts = vec![b"ssp grid".to_vec(), serde_json::to_vec(origin)?];
    parts.extend(axes.map(axis_bytes));
    parts.push(spectra.iter().flat_map(|hash| *hash.as_bytes()).collect());
    Ok(ContentHash::of_parts(parts.iter().map(Vec::as_slice)))
}

#[cfg(test)]
mod tests;
