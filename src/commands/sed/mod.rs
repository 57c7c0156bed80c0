//! `sedflow sed`: the SED model on its own: photometry and derived properties of given galaxies, spectra.

mod eval;
mod input;
mod spectrum;

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use clap::Subcommand;

use super::{Context, Outcome};
use crate::filters::{self, Filter};
use crate::sed::SedModel;
use crate::ssp::SspGrid;

#[derive(Debug, Subcommand)]
pub enum SedCommand {
    /// Photometry and derived properties of the galaxies in a table
    Eval(eval::EvalArgs),
    /// Spectrum of one galaxy, as a table and as a figure
    Spectrum(spectrum::SpectrumArgs),
}

pub fn run(command: SedCommand, context: &Context) -> anyhow::Result<Outcome> {
    match command {
        SedCommand::Eval(args) => eval::run(args, context),
        SedCommand::Spectrum(args) => spectrum::run(args, context),
    }
}

/// Which model.
#[derive(Debug, clap::Args)]
pub struct ModelArgs {
    /// SSP grid file [default: the one that comes with the program]
    #[arg(long, value_name = "FILE")]
    grid: Option<PathBuf>,
    /// Age below which stars sit in their birth clouds, Gyr, where the galaxy does not say; 0.01 is the
    /// public provabgs code
    #[arg(long, value_name = "GYR", default_value_t = crate::sed::BIRTH_CLOUD_AGE_GYR)]
    birth_cloud_age: f64,
}

impl ModelArgs {
    pub fn model(&self) -> anyhow::Result<SedModel> {
        let grid = match &self.grid {
            None => SspGrid::shipped()?,
            Some(path) => {
                let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
                SspGrid::from_bytes(&bytes).with_context(|| format!("cannot use {}", path.display()))?
            }
        };
        Ok(SedModel::new(Arc::new(grid)).with_birth_cloud_age(self.birth_cloud_age)?)
    }
}

/// Shipped bands and curve files, in the order given.
fn bands(names: &[String]) -> anyhow::Result<Vec<Filter>> {
    names.iter().map(|name| Ok(filters::resolve(name)?)).collect()
}

/// Where results go: standard output, or a file that appears under its name only once it is whole.
enum Output {
    Stdout(BufWriter<io::Stdout>),
    File { file: BufWriter<File>, partial: PathBuf, path: PathBuf },
}

impl Output {
    fn create(path: Option<&Path>) -> anyhow::Result<Self> {
        let Some(path) = path else {
            return Ok(Output::Stdout(BufWriter::new(io::stdout())));
        };
        let mut partial = path.as_os_str().to_owned();
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        let file = File::create(&partial).with_context(|| format!("cannot write {}", partial.display()))?;
        Ok(Output::File { file: BufWriter::new(file), partial, path: path.to_owned() })
    }

    fn finish(self) -> anyhow::Result<()> {
        match self {
            Output::Stdout(mut out) => Ok(out.flush()?),
            Output::File { mut file, partial, path } => {
                file.flush().with_context(|| format!("cannot write {}", partial.display()))?;
                fs::rename(&partial, &path).with_context(|| format!("cannot write {}", path.display()))
            }
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Output::Stdout(out) => out.write(bytes),
            Output::File { file, .. } => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Output::Stdout(out) => out.flush(),
            Output::File { file, .. } => file.flush(),
        }
    }
}
