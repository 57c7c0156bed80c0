//! The SED model: a galaxy's parameters and redshift -> spectrum, photometry, derived properties.
//!
//! PROVABGS (Hahn et al. 2022, arXiv:2202.01809): four SFH bases and a burst ([`sfh`]), two
//! metallicity-history bases, simple stellar populations interpolated on a grid ([`interp`]), two dust
//! components ([`dust`]). Two paths give one result: [`SedModel::spectrum`] at full resolution, and
//! [`PhotTable`] for photometry alone.

mod bins;
mod cache;
pub mod derived;
mod derived_table;
pub mod dust;
mod evaluate;
pub mod interp;
pub mod nodes;
pub mod params;
pub mod photometry;
pub mod sfh;
pub mod spectrum;
mod table;

use std::sync::Arc;

use thiserror::Error;

use crate::cosmology::{Cosmology, RedshiftError};
use crate::filters::Filter;
use crate::hash::ContentHash;
use crate::ssp::SspGrid;

pub use cache::{PhotCache, Request};
pub use derived::{DERIVED_NAMES, Derived, N_DERIVED};
pub use derived_table::{DerivedAt, DerivedTable};
pub use evaluate::{OneRedshift, Scratch};
pub use nodes::DustRange;
pub use params::{Galaxy, N_PARAM, PARAM_NAMES, ParamError, Theta};
pub use photometry::BandWeights;
pub use sfh::{Bases, History, Population};
pub use spectrum::Spectrum;
pub use table::{PhotOptions, PhotTable};

use interp::Axes;

/// Age below which populations sit in their birth clouds, Gyr (Hahn et al. 2022).
pub const BIRTH_CLOUD_AGE_GYR: f64 = 0.1;

/// Counts with every change of the model's figures; part of its hash.
const MODEL_VERSION: &[u8] = b"provabgs 1";

#[derive(Debug, Error, PartialEq)]
pub enum SedError {
    #[error(transparent)]
    Param(#[from] ParamError),
    #[error(transparent)]
    Redshift(#[from] RedshiftError),
    #[error("birth-cloud age is {found} Gyr, expected 0 or more")]
    BirthCloudAge { found: f64 },
    #[error(
        "band {band} covers {:.1}..{:.1} A, but at redshift {zred} the SSP grid covers {:.1}..{:.1} A",
        band_aa.0, band_aa.1, grid_aa.0, grid_aa.1
    )]
    Coverage { band: String, band_aa: (f64, f64), zred: f64, grid_aa: (f64, f64) },
    #[error("redshift {found} is outside the table's {from} to {to}")]
    OutsideTable { found: f64, from: f64, to: f64 },
    #[error(
        "wavelength {row} of the new grid is {found} A after {previous} A: expected ascending and positive"
    )]
    Wavelengths { row: usize, previous: f64, found: f64 },
    #[error("the new grid has {found} wavelengths, expected 2 or more")]
    TooFewWavelengths { found: usize },
    #[error("velocity dispersion is {found} km/s, expected 0 to 10000")]
    Dispersion { found: f64 },
}

/// A grid of simple stellar populations with everything that makes spectra of it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct SedModel {
    grid: Arc<SspGrid>,
    axes: Arc<Axes>,
    bases: Arc<Bases>,
    cosmology: Arc<Cosmology>,
    birth_cloud_age_gyr: f64,
}

impl SedModel {
    /// PROVABGS on `grid`, in Planck 2013's universe, with the paper's birth clouds.
    pub fn new(grid: Arc<SspGrid>) -> Self {
        Self {
            axes: Arc::new(Axes::new(&grid.age_yr, &grid.z_abs)),
            grid,
            bases: Arc::new(Bases::provabgs()),
            cosmology: Arc::new(Cosmology::planck13()),
            birth_cloud_age_gyr: BIRTH_CLOUD_AGE_GYR,
        }
    }

    /// The same model with other birth clouds (0.01 Gyr is the public provabgs code).
    ///
    /// Errors where the age is negative or not finite.
    pub fn with_birth_cloud_age(&self, age_gyr: f64) -> Result<Self, SedError> {
        if !(age_gyr >= 0.0 && age_gyr.is_finite()) {
            return Err(SedError::BirthCloudAge { found: age_gyr });
        }
        Ok(Self { birth_cloud_age_gyr: age_gyr, ..self.clone() })
    }

    pub fn grid(&self) -> &Arc<SspGrid> {
        &self.grid
    }

    pub fn axes(&self) -> &Axes {
        &self.axes
    }

    pub fn bases(&self) -> &Bases {
        &self.bases
    }

    pub fn cosmology(&self) -> &Cosmology {
        &self.cosmology
    }

    pub fn birth_cloud_age_gyr(&self) -> f64 {
        self.birth_cloud_age_gyr
    }

    /// Content address of all that determines the model's figures.
    pub fn hash(&self) -> ContentHash {
        self.hash_on(self.grid.hash)
    }

    /// What [`Self::hash`] would be on the grid of that hash.
    pub fn hash_on(&self, grid: ContentHash) -> ContentHash {
        ContentHash::of_parts([
            MODEL_VERSION,
            grid.as_bytes().as_slice(),
            self.bases.hash().as_bytes(),
            self.cosmology.hash().as_bytes(),
            &self.birth_cloud_age_gyr.to_le_bytes(),
        ])
    }

    /// Refuses parameters and redshifts without meaning.
    pub fn check(&self, galaxy: &Galaxy, zred: f64) -> Result<(), SedError> {
        galaxy.check()?;
        Ok(self.cosmology.check(zred)?)
    }

    /// What the galaxy had formed by the time it is seen.
    pub fn history(&self, galaxy: &Galaxy, zred: f64) -> History {
        History::new(&self.bases, galaxy, self.cosmology.age_gyr(zred))
    }

    /// Observed AB nanomaggies by the exact path, one per band.
    ///
    /// Errors where the parameters, the redshift or a band's coverage make none.
    pub fn nanomaggies(&self, galaxy: &Galaxy, zred: f64, filters: &[Filter]) -> Result<Vec<f64>, SedError> {
        let bands = self.band_weights(filters, zred)?;
        self.nanomaggies_with(galaxy, zred, &bands)
    }

    /// Weights of `filters` on this grid at `zred`, to be shared by galaxies of that redshift.
    pub fn band_weights(&self, filters: &[Filter], zred: f64) -> Result<Vec<BandWeights>, SedError> {
        filters.iter().map(|filter| BandWeights::new(filter, &self.grid.wave_aa, zred)).collect()
    }

    /// [`Self::nanomaggies`] with the bands' weights at `zred` already made.
    pub fn nanomaggies_with(
        &self,
        galaxy: &Galaxy,
        zred: f64,
        bands: &[BandWeights],
    ) -> Result<Vec<f64>, SedError> {
        self.check(galaxy, zred)?;
        let lum = self.band_luminosity(galaxy, zred, bands);
        let scale = crate::constants::NMGY_PER_MAGGIE * self.flux_scale(galaxy, zred);
        Ok(bands.iter().map(|band| scale * band.maggies(&lum)).collect())
    }

    /// Rest-frame AB absolute magnitudes, attenuated, one per band: as seen from 10 pc at rest.
    pub fn absolute_magnitudes(
        &self,
        galaxy: &Galaxy,
        zred: f64,
        filters: &[Filter],
    ) -> Result<Vec<f64>, SedError> {
        self.absolute_magnitudes_with(galaxy, zred, &self.band_weights(filters, 0.0)?)
    }

    /// [`Self::absolute_magnitudes`] with the bands' weights at redshift 0 already made.
    pub fn absolute_magnitudes_with(
        &self,
        galaxy: &Galaxy,
        zred: f64,
        bands: &[BandWeights],
    ) -> Result<Vec<f64>, SedError> {
        self.check(galaxy, zred)?;
        let lum = self.band_luminosity(galaxy, zred, bands);
        let scale = self.flux_at_10pc(galaxy);
        Ok(bands.iter().map(|band| -2.5 * (scale * band.maggies(&lum)).log10()).collect())
    }

    /// erg/s/cm2/A at the observer per Lsun/A of a galaxy of 1 Msun.
    fn flux_scale(&self, galaxy: &Galaxy, zred: f64) -> f64 {
        let distance_10pc = 1e5 * self.cosmology.luminosity_distance_mpc(zred);
        self.flux_at_10pc(galaxy) / (distance_10pc * distance_10pc * (1.0 + zred))
    }

    fn flux_at_10pc(&self, galaxy: &Galaxy) -> f64 {
        10f64.powf(galaxy.log_mstar) * self.lsun_at_10pc()
    }

    /// erg/s/cm2 at 10 pc of one of the grid's solar luminosities.
    pub(crate) fn lsun_at_10pc(&self) -> f64 {
        let distance_cm = 10.0 * crate::constants::PC_CM;
        self.grid.origin.lsun_erg_s / (4.0 * std::f64::consts::PI * distance_cm * distance_cm)
    }
}

#[cfg(test)]
mod tests;
