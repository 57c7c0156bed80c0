//! `sedflow sed spectrum`: the spectrum of one galaxy, as a table and as a figure.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use super::input::{InputGalaxy, galaxy_of_row};
use super::{ModelArgs, Output};
use crate::commands::{Context, Outcome};
use crate::fits::{Card, Cells, ColumnDef, FitsWriter, Kind, Value};
use crate::output::{Cell, Format, RowSink, Writer};
use crate::plot;
use crate::sed::{Galaxy, PARAM_NAMES, SedModel, Spectrum};
use crate::tables::{self, ReadOptions};
use crate::units::nmgy_from_flam;

#[derive(Debug, clap::Args)]
pub struct SpectrumArgs {
    /// Table with the galaxy, columns as for `sedflow sed eval`
    #[arg(long, value_name = "FILE")]
    params: Option<PathBuf>,
    /// The galaxy's row in the table, from 1
    #[arg(long, value_name = "N", default_value_t = 1, requires = "params")]
    row: u64,
    #[command(flatten)]
    galaxy: GalaxyArgs,
    /// Velocity dispersion of the stars, km/s, on top of the grid's resolution
    #[arg(long, value_name = "KM/S", default_value_t = 0.0)]
    sigma: f64,
    /// Observed wavelengths to resample to, keeping the energy: FROM:TO:STEP in Angstrom [default: the
    /// grid's own]
    #[arg(long, value_name = "FROM:TO:STEP", value_parser = parse_wave)]
    wave: Option<WaveGrid>,
    /// Bands drawn with the spectrum: shipped ones, curves of the catalog, or curve files
    #[arg(
        long,
        value_name = "BAND,...",
        value_delimiter = ',',
        default_value = "sdss2010-u,sdss2010-g,sdss2010-r,sdss2010-i,sdss2010-z"
    )]
    bands: Vec<String>,
    /// Where to write the spectrum; a FITS table if the name ends in .fits [default: standard output,
    /// unless there is a figure]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Format of what is not FITS
    #[arg(long, value_enum, default_value_t = Format::Csv)]
    format: Format,
    /// Draw the spectrum and the bands
    #[arg(long, value_name = "FILE.png|FILE.svg")]
    plot: Option<PathBuf>,
    #[command(flatten)]
    model: ModelArgs,
}

/// A galaxy from the command line; the defaults make an ordinary star-forming one.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Galaxy (without --params)")]
struct GalaxyArgs {
    #[arg(long, value_name = "Z", default_value_t = 0.1)]
    redshift: f64,
    /// log10 of the stellar mass formed, Msun
    #[arg(long, value_name = "DEX", default_value_t = 10.5)]
    log_mstar: f64,
    /// Weights of the four SFH bases, sum 1
    #[arg(long, value_name = "B1,B2,B3,B4", value_delimiter = ',', default_values_t = [0.25; 4])]
    beta: Vec<f64>,
    /// Fraction of the mass formed in the burst
    #[arg(long, value_name = "FRACTION", default_value_t = 0.0)]
    fburst: f64,
    /// Lookback time of the burst
    #[arg(long, value_name = "GYR", default_value_t = 5.0)]
    tburst: f64,
    /// Weight of the first metallicity-history basis, log10
    #[arg(long, value_name = "DEX", default_value_t = -2.5, allow_negative_numbers = true)]
    log_gamma1: f64,
    /// Weight of the second metallicity-history basis, log10
    #[arg(long, value_name = "DEX", default_value_t = -2.5, allow_negative_numbers = true)]
    log_gamma2: f64,
    /// Optical depth of birth clouds at 5500 A
    #[arg(long, value_name = "DEPTH", default_value_t = 0.5)]
    tau_bc: f64,
    /// Optical depth of the diffuse medium at 5500 A
    #[arg(long, value_name = "DEPTH", default_value_t = 0.3)]
    tau_ism: f64,
    /// Slope offset of the diffuse attenuation curve
    #[arg(long, value_name = "SLOPE", default_value_t = -0.7, allow_negative_numbers = true)]
    n_dust: f64,
}

#[derive(Debug, Clone, Copy)]
struct WaveGrid {
    from: f64,
    to: f64,
    step: f64,
}

/// Most wavelengths a new grid may have.
const MAX_WAVELENGTHS: f64 = 1e7;

fn parse_wave(text: &str) -> Result<WaveGrid, String> {
    let numbers: Result<Vec<f64>, _> = text.split(':').map(str::parse).collect();
    match numbers.as_deref() {
        Ok(&[from, to, step]) if from > 0.0 && to > from && step > 0.0 && to.is_finite() => {
            match (to - from) / step < MAX_WAVELENGTHS {
                true => Ok(WaveGrid { from, to, step }),
                false => Err(format!("more than {MAX_WAVELENGTHS:.0e} wavelengths")),
            }
        }
        _ => Err("expected FROM:TO:STEP in Angstrom, such as 3600:9800:0.8".into()),
    }
}

impl WaveGrid {
    fn centres(&self) -> Vec<f64> {
        let n = ((self.to - self.from) / self.step + 1e-9).floor() as usize;
        (0..=n).map(|i| self.from + i as f64 * self.step).collect()
    }
}

impl GalaxyArgs {
    fn galaxy(&self) -> anyhow::Result<InputGalaxy> {
        let &[b1, b2, b3, b4] = self.beta.as_slice() else {
            bail!("--beta has {} values, expected 4", self.beta.len());
        };
        let galaxy = Galaxy {
            log_mstar: self.log_mstar,
            beta: [b1, b2, b3, b4],
            fburst: self.fburst,
            tburst_gyr: self.tburst,
            gamma: [self.log_gamma1, self.log_gamma2].map(|log| 10f64.powf(log)),
            tau_bc: self.tau_bc,
            tau_ism: self.tau_ism,
            n_dust: self.n_dust,
        };
        Ok(InputGalaxy { galaxy, zred: self.redshift, birth_cloud_age_gyr: None })
    }
}

pub fn run(args: SpectrumArgs, context: &Context) -> anyhow::Result<Outcome> {
    let (model, [filters]) = args.model.load([&args.bands], context)?;
    let InputGalaxy { galaxy, zred, birth_cloud_age_gyr } = match &args.params {
        None => args.galaxy.galaxy()?,
        Some(path) => {
            let name = || path.display().to_string();
            let mut table = tables::open(path, &ReadOptions::default()).with_context(name)?;
            galaxy_of_row(table.as_mut(), args.row).with_context(name)?
        }
    };
    let model = model.with_birth_cloud_age(birth_cloud_age_gyr.unwrap_or(model.birth_cloud_age_gyr()))?;
    let full = model.spectrum(&galaxy, zred)?.broadened(args.sigma)?;
    let spectrum = match &args.wave {
        None => full.clone(),
        Some(grid) => full.resampled(&grid.centres())?,
    };
    if let Some(path) = &args.plot {
        let fluxes = model.nanomaggies(&galaxy, zred, &filters)?;
        let bands: Vec<_> = filters.iter().zip(fluxes).collect();
        let title = format!("log M* = {:.2}, z = {zred}", galaxy.log_mstar);
        plot::spectrum::spectrum(&spectrum, &bands, &title)?.save(path)?;
    }
    match &args.out {
        Some(path) if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("fits")) => {
            write_fits(path, &spectrum, &model, &galaxy, zred, args.sigma)
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        Some(path) => write_rows(Some(path), &spectrum, zred, args.format)?,
        None if args.plot.is_some() => {}
        None => write_rows(None, &spectrum, zred, args.format)?,
    }
    Ok(Outcome::Done)
}

fn write_rows(path: Option<&Path>, spectrum: &Spectrum, zred: f64, format: Format) -> anyhow::Result<()> {
    let mut output = Output::create(path)?;
    let mut writer = Writer::new(&mut output, format);
    writer.columns(&["wave_obs_aa", "wave_aa", "flam", "flux_nmgy"].map(str::to_owned))?;
    for (&wave, &flam) in spectrum.wave_obs_aa.iter().zip(&spectrum.flam) {
        let values = [wave, wave / (1.0 + zred), flam, nmgy_from_flam(flam, wave)];
        writer.row(&values.map(Cell::Real))?;
    }
    writer.finish()?;
    output.finish()
}

fn write_fits(
    path: &Path,
    spectrum: &Spectrum,
    model: &SedModel,
    galaxy: &Galaxy,
    zred: f64,
    sigma: f64,
) -> anyhow::Result<()> {
    let real = |key: &str, value: f64, comment: &str| Card::new(key, Value::Real(value), comment);
    let origin = &model.grid().origin;
    let mut cards = vec![
        real("REDSHIFT", zred, ""),
        real("SIGMA", sigma, "[km/s] velocity dispersion"),
        real("BCAGE", model.birth_cloud_age_gyr(), "[Gyr] birth clouds"),
        Card::new("SSPGRID", Value::Text(origin.name.clone()), "SSP grid"),
        Card::new("SSPHASH", Value::Text(model.grid().hash.to_string()), ""),
        Card::new("IMF", Value::Text(origin.imf.clone()), ""),
        real("LSUN", origin.lsun_erg_s, "[erg/s] solar luminosity of the grid"),
        Card::new("SEDMODEL", Value::Text(model.hash().to_string()), ""),
    ];
    for (i, (name, value)) in PARAM_NAMES.iter().zip(galaxy.theta()).enumerate() {
        cards.push(real(&format!("PAR{}", i + 1), value, name));
    }
    let mut writer = FitsWriter::create(path, &[])?;
    let columns = vec![
        ColumnDef::new("WAVE_OBS", Kind::F64).unit("Angstrom").comment("observed, vacuum").ucd("em.wl"),
        ColumnDef::new("FLAM", Kind::F64)
            .unit("erg/s/cm2/Angstrom")
            .comment("flux density")
            .ucd("phot.flux.density;em.wl"),
    ];
    let mut table = writer.table("SPECTRUM", columns, &cards)?;
    table.write(spectrum.flam.len(), &[Cells::F64(&spectrum.wave_obs_aa), Cells::F64(&spectrum.flam)])?;
    table.finish()?;
    Ok(writer.finish()?)
}
