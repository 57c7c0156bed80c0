//! `sedflow sed`: the SED model on its own: photometry and derived properties of given galaxies, spectra.

mod eval;
mod input;
mod spectrum;

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Subcommand;

use super::{Context, Outcome, resolve, setup};
use crate::filters::Filter;
use crate::sed::SedModel;

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
    /// SSP grid: a .ssp file, or one of the catalog by name or hash [default: the one that comes with the
    /// program]
    #[arg(long, value_name = "NAME|FILE")]
    grid: Option<String>,
    /// Age below which stars sit in their birth clouds, Gyr, where the galaxy does not say; 0.01 is the
    /// public provabgs code
    #[arg(long, value_name = "GYR", default_value_t = crate::sed::BIRTH_CLOUD_AGE_GYR)]
    birth_cloud_age: f64,
}

impl ModelArgs {
    /// The model and the curves of several lists of bands, which may be in the catalog too.
    fn load<const N: usize>(
        &self,
        bands: [&[String]; N],
        context: &Context,
    ) -> anyhow::Result<(SedModel, [Vec<Filter>; N])> {
        let store = resolve::catalog_for(context, bands.iter().copied().flatten(), self.grid.as_deref())?;
        let grid = resolve::grid(store.as_ref(), self.grid.as_deref())?;
        let model = setup::sed_model(&grid, Some(self.birth_cloud_age))?;
        let mut filters = [const { Vec::new() }; N];
        for (filters, names) in filters.iter_mut().zip(bands) {
            *filters = resolve::filters(store.as_ref(), names)?;
        }
        context.remark(&format!(
            "SED model {} on the SSP grid {} ({})",
            model.hash().short(),
            grid.grid.origin.name,
            grid.grid.hash.short()
        ));
        Ok((model, filters))
    }
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
