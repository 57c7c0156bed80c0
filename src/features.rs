//! What the network sees of a galaxy: one function for simulated and for observed photometry.
//!
//! Most of the information in fluxes at a known redshift is one overall brightness, which tracks
//! the mass, and colours, which do not care about distance. So the features are the asinh magnitude
//! (Lupton, Gunn & Szalay 1999) of a reference band with a distance modulus taken out, the colours
//! between neighbouring bands, the logarithm of each magnitude error and the logarithm of the
//! redshift; and, where a model allows missing bands, a mask. Scaling belongs to the flow.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::hash::ContentHash;
use crate::noise::{MAG_OF_NMGY, MAG_PER_RELATIVE};

/// Redshifts below this count as this, so that their logarithm stays finite.
const ZRED_MIN: f64 = 1e-4;
/// How many bands a mask can hold.
pub const MAX_BANDS: usize = 64;

#[derive(Debug, Error, PartialEq)]
pub enum FeatureError {
    #[error("band {band} is missing, and the model was made for galaxies with all its bands")]
    Missing { band: String },
    #[error("no band has a usable flux")]
    NoBand,
    #[error("band {band} has flux {flux_nmgy} nmgy with error {sigma_nmgy} nmgy")]
    NotFinite { band: String, flux_nmgy: f64, sigma_nmgy: f64 },
    #[error("redshift is {found}")]
    Redshift { found: f64 },
    #[error("feature definition: {found} {what} for {bands} bands")]
    Length { what: &'static str, found: usize, bands: usize },
    #[error("feature definition: reference band {found} of {bands}")]
    Reference { found: usize, bands: usize },
    #[error("feature definition: softening of band {band} is {found}, expected a positive flux")]
    Softening { band: String, found: f64 },
    #[error("feature definition has version {found}; this program knows version {known}")]
    Version { found: u32, known: u32 },
}

/// The definition of the features, stored with every checkpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeatureSpec {
    version: u32,
    /// Filter names in the order of the fluxes.
    bands: Vec<String>,
    /// The band whose magnitude stands for the brightness.
    reference: usize,
    /// Flux below which each asinh magnitude turns linear, nanomaggies.
    softening_nmgy: Vec<f64>,
    /// Whether bands may be missing; adds one 0/1 feature per band.
    mask: bool,
}

const VERSION: u32 = 1;

impl FeatureSpec {
    /// Features of `bands` with reference band `reference` (an index) and one softening flux per
    /// band, of the order of the faintest fluxes' errors.
    pub fn new(
        bands: Vec<String>,
        reference: usize,
        softening_nmgy: Vec<f64>,
        mask: bool,
    ) -> Result<Self, FeatureError> {
        let spec = Self { version: VERSION, bands, reference, softening_nmgy, mask };
        spec.check()?;
        Ok(spec)
    }

    /// Features for a noise model: the middle band is the reference, the softening is the flux
    /// error at the faint end.
    pub fn for_noise(noise: &crate::noise::NoiseModel, mask: bool) -> Result<Self, FeatureError> {
        let softening = noise
            .bands
            .iter()
            .map(|band| {
                let faint = band.mag[band.mag.len() - 1];
                crate::noise::mag_to_nmgy(faint) * band.sigma_mag(faint).0 / MAG_PER_RELATIVE
            })
            .collect();
        Self::new(noise.band_names(), noise.bands.len() / 2, softening, mask)
    }

    /// Refuses a definition read from a file that does not make sense.
    pub fn check(&self) -> Result<(), FeatureError> {
        let bands = self.bands.len();
        if self.version != VERSION {
            return Err(FeatureError::Version { found: self.version, known: VERSION });
        }
        if bands == 0 || bands > MAX_BANDS {
            return Err(FeatureError::Length { what: "names", found: bands, bands });
        }
        if self.softening_nmgy.len() != bands {
            let found = self.softening_nmgy.len();
            return Err(FeatureError::Length { what: "softening fluxes", found, bands });
        }
        if self.reference >= bands {
            return Err(FeatureError::Reference { found: self.reference, bands });
        }
        for (band, &found) in self.bands.iter().zip(&self.softening_nmgy) {
            if !(found.is_finite() && found > 0.0) {
                return Err(FeatureError::Softening { band: band.clone(), found });
            }
        }
        Ok(())
    }

    pub fn bands(&self) -> &[String] {
        &self.bands
    }

    /// Index of the band whose magnitude stands for the brightness.
    pub fn reference(&self) -> usize {
        self.reference
    }

    /// Whether galaxies may lack bands.
    pub fn allows_missing(&self) -> bool {
        self.mask
    }

    /// Number of features.
    pub fn len(&self) -> usize {
        2 * self.bands.len() + 1 + if self.mask { self.bands.len() } else { 0 }
    }

    pub fn is_empty(&self) -> bool {
        false
    }

    /// Names of the features in order, such as `mag_r`, `u-g`, `ln_sigma_u`, `ln_zred`, `has_u`.
    pub fn names(&self) -> Vec<String> {
        let short: Vec<&str> = self.bands.iter().map(|band| short_band(band)).collect();
        let mut names = vec![format!("mag_{}", short[self.reference])];
        names.extend(short.windows(2).map(|pair| format!("{}-{}", pair[0], pair[1])));
        names.extend(short.iter().map(|band| format!("ln_sigma_{band}")));
        names.push("ln_zred".into());
        if self.mask {
            names.extend(short.iter().map(|band| format!("has_{band}")));
        }
        names
    }

    /// Content address of the definition.
    pub fn hash(&self) -> Result<ContentHash, serde_json::Error> {
        Ok(ContentHash::of_bytes(serde_json::to_string(self)?.as_bytes()))
    }

    /// Asinh magnitude of a flux in one band: AB magnitude where the flux is large.
    pub fn asinh_mag(&self, band: usize, flux_nmgy: f64) -> f64 {
        let b = self.softening_nmgy[band];
        MAG_OF_NMGY - MAG_PER_RELATIVE * ((flux_nmgy / (2.0 * b)).asinh() + b.ln())
    }

    /// Its error.
    pub fn asinh_mag_error(&self, band: usize, flux_nmgy: f64, sigma_nmgy: f64) -> f64 {
        let b = self.softening_nmgy[band];
        MAG_PER_RELATIVE * sigma_nmgy / flux_nmgy.hypot(2.0 * b)
    }

    /// Writes the features of one galaxy to `out` `[len]`.
    ///
    /// `flux_nmgy`, `sigma_nmgy` `[n_band]`; bit `i` of `observed` says whether band `i` was measured.
    /// Errors if the galaxy has no features: a band missing that the definition needs, or a number
    /// that is not finite or not positive where it must be.
    pub fn compute(
        &self,
        flux_nmgy: &[f64],
        sigma_nmgy: &[f64],
        observed: u64,
        zred: f64,
        out: &mut [f32],
    ) -> Result<(), FeatureError> {
        let n = self.bands.len();
        debug_assert!(flux_nmgy.len() == n && sigma_nmgy.len() == n && out.len() == self.len());
        if !(zred.is_finite() && zred >= 0.0) {
            return Err(FeatureError::Redshift { found: zred });
        }
        let has = |band: usize| observed >> band & 1 == 1;
        let mut mags = [0.0; MAX_BANDS];
        for band in 0..n {
            if !has(band) {
                if !self.mask {
                    return Err(FeatureError::Missing { band: self.bands[band].clone() });
                }
                continue;
            }
            let (flux_nmgy, sigma_nmgy) = (flux_nmgy[band], sigma_nmgy[band]);
            if !(flux_nmgy.is_finite() && sigma_nmgy.is_finite() && sigma_nmgy > 0.0) {
                let band = self.bands[band].clone();
                return Err(FeatureError::NotFinite { band, flux_nmgy, sigma_nmgy });
            }
            mags[band] = self.asinh_mag(band, flux_nmgy);
            let error = self.asinh_mag_error(band, flux_nmgy, sigma_nmgy);
            out[n + band] = error.ln() as f32;
        }
        // A missing magnitude is replaced by its neighbour's, so that colours stay moderate.
        if observed & (u64::MAX >> (64 - n)) == 0 {
            return Err(FeatureError::NoBand);
        }
        for band in (0..n).filter(|&band| !has(band)) {
            let nearest = (0..n).filter(|&other| has(other)).min_by_key(|&other| other.abs_diff(band));
            let Some(nearest) = nearest else { return Err(FeatureError::NoBand) };
            mags[band] = mags[nearest];
            out[n + band] = 0.0;
        }
        let zred = zred.max(ZRED_MIN);
        out[0] = (mags[self.reference] - distance_modulus_proxy(zred)) as f32;
        for band in 1..n {
            out[band] = (mags[band - 1] - mags[band]) as f32;
        }
        out[2 * n] = zred.ln() as f32;
        if self.mask {
            for band in 0..n {
                out[2 * n + 1 + band] = if has(band) { 1.0 } else { 0.0 };
            }
        }
        Ok(())
    }
}

/// 5 log10 of the luminosity distance to second order in redshift (deceleration -0.54), in units
/// of c/H0; a smooth stand-in that is the same whatever the cosmology.
pub fn distance_modulus_proxy(zred: f64) -> f64 {
    5.0 * (zred * (1.0 + 0.77 * zred)).log10()
}

/// The part of a filter's name after its system: "r" of "sdss2010-r".
pub fn short_band(name: &str) -> &str {
    name.rsplit_once('-').map_or(name, |(_, short)| short)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::mag_to_nmgy;

    fn ugriz(mask: bool) -> FeatureSpec {
        let bands = ["u", "g", "r", "i", "z"].map(|b| format!("sdss2010-{b}")).to_vec();
        FeatureSpec::new(bands, 2, vec![0.5; 5], mask).unwrap()
    }

    const MAGS: [f64; 5] = [18.0, 17.0, 16.5, 16.2, 16.0];

    fn features(spec: &FeatureSpec, dim: f64, observed: u64, zred: f64) -> Vec<f32> {
        let flux = MAGS.map(|mag| mag_to_nmgy(mag + dim));
        let sigma = flux.map(|flux| 0.03 * flux);
        let mut out = vec![f32::NAN; spec.len()];
        spec.compute(&flux, &sigma, observed, zred, &mut out).unwrap();
        out
    }

    #[test]
    fn bright_galaxies_have_their_colours_and_magnitude() {
        let spec = ugriz(false);
        assert_eq!(spec.names()[..6], ["mag_r", "u-g", "g-r", "r-i", "i-z", "ln_sigma_u"]);
        let x = features(&spec, -3.0, u64::MAX, 0.05);
        let expected = [13.5 - 5.0 * (0.05_f64 * 1.0385).log10(), 1.0, 0.5, 0.3, 0.2];
        for (found, expected) in x.iter().zip(expected) {
            assert!((f64::from(*found) - expected).abs() < 2e-4, "{found} for {expected}");
        }
        assert!((f64::from(x[5]) - (0.03 * MAG_PER_RELATIVE).ln()).abs() < 1e-3);
        assert!((x[10] - 0.05_f32.ln()).abs() < 1e-6);
    }

    #[test]
    fn dimming_moves_one_magnitude_and_no_colour() {
        let spec = ugriz(false);
        let (near, far) = (features(&spec, -3.0, u64::MAX, 0.05), features(&spec, -2.0, u64::MAX, 0.05));
        assert!((far[0] - near[0] - 1.0).abs() < 1e-4);
        for i in 1..5 {
            assert!((far[i] - near[i]).abs() < 1e-3);
        }
    }

    #[test]
    fn zero_and_negative_fluxes_have_features() {
        let spec = ugriz(false);
        for flux in [0.0, -2.0, 1e30] {
            let mut out = vec![0.0; 11];
            let fluxes = [flux, 10.0, 20.0, 30.0, 40.0];
            spec.compute(&fluxes, &[1.0; 5], u64::MAX, 0.0, &mut out).unwrap();
            assert!(out.iter().all(|x| x.is_finite()), "{flux}: {out:?}");
        }
    }

    #[test]
    fn a_missing_band_is_masked_where_allowed_and_refused_elsewhere() {
        let spec = ugriz(true);
        let x = features(&spec, 0.0, 0b11101, 0.1);
        assert_eq!(x[11..], [1.0, 0.0, 1.0, 1.0, 1.0]);
        assert!(x.iter().all(|x| x.is_finite()));
        let mut out = vec![0.0; 16];
        assert_eq!(spec.compute(&[1.0; 5], &[1.0; 5], 0, 0.1, &mut out), Err(FeatureError::NoBand));
        let mut out = vec![0.0; 11];
        assert_eq!(
            ugriz(false).compute(&[1.0; 5], &[1.0; 5], 0b11101, 0.1, &mut out),
            Err(FeatureError::Missing { band: "sdss2010-g".into() })
        );
    }

    #[test]
    fn numbers_no_galaxy_has_are_refused() {
        let spec = ugriz(false);
        let mut out = vec![0.0; 11];
        let mut compute = |flux: f64, sigma: f64, zred: f64| {
            spec.compute(&[flux, 1.0, 1.0, 1.0, 1.0], &[sigma, 1.0, 1.0, 1.0, 1.0], u64::MAX, zred, &mut out)
        };
        assert!(matches!(compute(f64::NAN, 1.0, 0.1), Err(FeatureError::NotFinite { .. })));
        assert!(matches!(compute(1.0, f64::INFINITY, 0.1), Err(FeatureError::NotFinite { .. })));
        assert!(matches!(compute(1.0, 0.0, 0.1), Err(FeatureError::NotFinite { .. })));
        assert!(matches!(compute(1.0, 1.0, -0.1), Err(FeatureError::Redshift { .. })));
        assert!(matches!(compute(1.0, 1.0, f64::NAN), Err(FeatureError::Redshift { .. })));
    }

    #[test]
    fn a_definition_survives_json_and_a_crooked_one_is_refused() {
        let spec = ugriz(true);
        let text = serde_json::to_string(&spec).unwrap();
        let back: FeatureSpec = serde_json::from_str(&text).unwrap();
        assert_eq!(back.hash().unwrap(), spec.hash().unwrap());
        assert_ne!(spec.hash().unwrap(), ugriz(false).hash().unwrap());
        assert!(FeatureSpec::new(vec!["r".into()], 1, vec![1.0], false).is_err());
        assert!(FeatureSpec::new(vec!["r".into()], 0, vec![0.0], false).is_err());
        assert!(FeatureSpec::new(vec![], 0, vec![], false).is_err());
    }
}
