//! `sedflow filter`: list, show and check bandpass curves, and keep one in the catalog or as a file.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::{Context, Outcome, resolve, setup};
use crate::filters::{self, Counts, Filter, FilterProblem, Stated, WaveUnit};
use crate::store::{Artifact, ProductKind, RunSpec, RunState, Store};

#[derive(Debug, Subcommand)]
pub enum FilterCommand {
    /// Keep a curve in the catalog, under a name that bands can be given by; or convert it to a file
    Add(AddArgs),
    /// Say what a curve file holds, or what is wrong with it
    Check(CheckArgs),
    /// List the shipped bands and the catalog's own
    List(ListArgs),
    /// Print one band's figures, or its curve as CSV or JSON
    Show(ShowArgs),
}

/// What a curve file may leave unsaid.
#[derive(Debug, Args)]
pub struct StatedArgs {
    /// Unit of the wavelengths, where the file states none: angstrom, nm or micron
    #[arg(long, value_name = "UNIT", value_parser = parse_unit)]
    unit: Option<WaveUnit>,
    /// What the response counts, where the file does not say: photon or energy
    #[arg(long, value_name = "WHAT", value_parser = parse_counts)]
    counts: Option<Counts>,
    /// The band's name, such as sdss2010-u
    #[arg(long)]
    name: Option<String>,
}

#[derive(Debug, Args)]
pub struct AddArgs {
    /// ECSV, or a text file of two columns
    file: PathBuf,
    #[command(flatten)]
    stated: StatedArgs,
    /// What the curve is, in a sentence
    #[arg(long)]
    description: Option<String>,
    /// Where the curve comes from: a paper, an address
    #[arg(long)]
    source: Option<String>,
    /// Write NAME.ecsv (Angstrom, photon counting) into this folder, and leave the catalog alone
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Replace NAME.ecsv if it is there
    #[arg(long, requires = "out")]
    force: bool,
}

#[derive(Debug, Args)]
pub struct CheckArgs {
    /// ECSV, or a text file of two columns
    file: PathBuf,
    #[command(flatten)]
    stated: StatedArgs,
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Debug, Args)]
pub struct ListArgs {
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Debug, Args)]
pub struct ShowArgs {
    /// A shipped band, a curve of the catalog (see `sedflow filter list`) or a curve file
    band: String,
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    #[default]
    Table,
    Csv,
    Json,
}

fn parse_unit(text: &str) -> Result<WaveUnit, FilterProblem> {
    text.parse()
}

fn parse_counts(text: &str) -> Result<Counts, FilterProblem> {
    text.parse()
}

impl StatedArgs {
    fn stated(self) -> Stated {
        Stated { name: self.name, unit: self.unit, counts: self.counts, description: None, source: None }
    }
}

pub fn run(command: FilterCommand, context: &Context) -> anyhow::Result<Outcome> {
    match command {
        FilterCommand::Add(args) => add(args, context),
        FilterCommand::Check(args) => print_filters(&[read(args.file, args.stated.stated())?], args.format),
        FilterCommand::List(args) => list(args.format, context),
        FilterCommand::Show(args) => show(&args, context),
    }
}

fn read(file: PathBuf, mut stated: Stated) -> anyhow::Result<Filter> {
    let stem = file.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    match Filter::read(&file, &stated) {
        Err(error) if matches!(error.problem, FilterProblem::NoName) => {
            stated.name = stem;
            Ok(Filter::read(&file, &stated)?)
        }
        other => Ok(other?),
    }
}

fn add(args: AddArgs, context: &Context) -> anyhow::Result<Outcome> {
    let stated = Stated { description: args.description, source: args.source, ..args.stated.stated() };
    let filter = read(args.file.clone(), stated)?;
    let Some(folder) = &args.out else { return keep(&args.file, &filter, context) };
    let path = folder.join(format!("{}.ecsv", filter.name()));
    if path.exists() && !args.force {
        bail!("{} is there already; --force replaces it", path.display());
    }
    std::fs::write(&path, filter.to_ecsv()).with_context(|| format!("cannot write {}", path.display()))?;
    context.remark(&format!("wrote {}: say --bands {} to use it", path.display(), path.display()));
    Ok(Outcome::Done)
}

/// Keeps a curve in the catalog. Its name must be free, as it is what users, noise models and checkpoints say.
fn keep(file: &Path, filter: &Filter, context: &Context) -> anyhow::Result<Outcome> {
    let (name, hash) = (filter.name(), filter.hash());
    if let Ok(shipped) = filters::shipped(name)
        && shipped.hash() != hash
    {
        bail!(
            "{name} comes with the program as another curve ({}, this one is {}): say --name to give it another name",
            shipped.hash().short(),
            hash.short()
        );
    }
    let mut store = Store::open_or_create(&context.catalog)?;
    context.remark_all(store.notes());
    let known = store.filters()?;
    if let Some(other) = known.iter().find(|known| known.name == name && known.hash != hash) {
        bail!(
            "the catalog has another curve called {name} ({}, this one is {}): say --name to give it another name",
            other.hash.short(),
            hash.short()
        );
    }
    if let Some(same) = known.iter().find(|known| known.hash == hash)
        && same.name != name
    {
        bail!("the catalog has this curve already, as {}: use that name", same.name);
    }
    let config = json!({
        "file": file.display().to_string(), "name": name, "description": filter.description(),
        "source": filter.source(),
    });
    let spec = RunSpec { command: "filter add", config: &config, seed: None, resumes: None };
    store.recorded(&spec, |store, run| -> anyhow::Result<_> {
        let path = file.display().to_string();
        for input in resolve::files([path.as_str()])? {
            store.add_run_input(run, &input)?;
        }
        setup::register_filter(store, run, filter)?;
        store.add_run_output(run, &Artifact::product(ProductKind::Filter, name, hash))?;
        Ok(((), RunState::Done))
    })?;
    context.remark(&format!("{name} ({}) kept in {}", hash.short(), context.catalog.display()));
    Ok(Outcome::Done)
}

fn list(format: Format, context: &Context) -> anyhow::Result<Outcome> {
    let mut filters: Vec<Filter> =
        filters::shipped_names().map(filters::shipped).collect::<Result<_, _>>()?;
    if let Some(store) = context.open_if_there()? {
        filters.extend(resolve::own_filters(&store)?);
    }
    print_filters(&filters, format)
}

fn show(args: &ShowArgs, context: &Context) -> anyhow::Result<Outcome> {
    let store = resolve::catalog_for(context, [&args.band], None)?;
    let filter = resolve::filter(store.as_ref(), &args.band)?;
    let mut out = io::stdout().lock();
    match args.format {
        Format::Table => {
            for (key, value) in record(&filter) {
                writeln!(out, "{key:20} {}", plain(&value))?;
            }
        }
        Format::Csv => {
            writeln!(out, "wave_aa,response")?;
            for (w, r) in filter.wave_aa().iter().zip(filter.response()) {
                writeln!(out, "{w},{r}")?;
            }
        }
        Format::Json => {
            let mut value =
                Value::Object(record(&filter).into_iter().map(|(k, v)| (k.to_owned(), v)).collect());
            value["wave_aa"] = json!(filter.wave_aa());
            value["response"] = json!(filter.response());
            writeln!(out, "{value}")?;
        }
    }
    Ok(Outcome::Done)
}

/// A band's figures, in the order every format shows them.
fn record(filter: &Filter) -> Vec<(&'static str, Value)> {
    let tenth = |aa: f64| json!((aa * 10.0).round() / 10.0);
    let (from_aa, to_aa) = filter.support_aa();
    vec![
        ("band", json!(filter.name())),
        ("pivot_aa", tenth(filter.pivot_aa())),
        ("effective_width_aa", tenth(filter.effective_width_aa())),
        ("from_aa", tenth(from_aa)),
        ("to_aa", tenth(to_aa)),
        ("rows", json!(filter.wave_aa().len())),
        ("hash", json!(filter.hash().to_string())),
        ("description", json!(filter.description())),
        ("source", json!(filter.source())),
    ]
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn print_filters(filters: &[Filter], format: Format) -> anyhow::Result<Outcome> {
    let mut out = io::stdout().lock();
    match format {
        Format::Table => {
            writeln!(
                out,
                "{:14} {:>10} {:>9} {:>10} {:>10} {:>6}  {:12}  description",
                "band", "pivot_aa", "width_aa", "from_aa", "to_aa", "rows", "hash"
            )?;
            for filter in filters {
                let (from_aa, to_aa) = filter.support_aa();
                writeln!(
                    out,
                    "{:14} {:>10.1} {:>9.1} {:>10.1} {:>10.1} {:>6}  {:12}  {}",
                    filter.name(),
                    filter.pivot_aa(),
                    filter.effective_width_aa(),
                    from_aa,
                    to_aa,
                    filter.wave_aa().len(),
                    filter.hash().short(),
                    filter.description()
                )?;
            }
        }
        Format::Csv => {
            for (i, filter) in filters.iter().enumerate() {
                let record = record(filter);
                if i == 0 {
                    writeln!(out, "{}", record.iter().map(|(key, _)| *key).collect::<Vec<_>>().join(","))?;
                }
                let fields: Vec<String> = record.iter().map(|(_, value)| csv_field(&plain(value))).collect();
                writeln!(out, "{}", fields.join(","))?;
            }
        }
        Format::Json => {
            let rows: Vec<Value> = filters
                .iter()
                .map(|filter| {
                    Value::Object(record(filter).into_iter().map(|(k, v)| (k.to_owned(), v)).collect())
                })
                .collect();
            writeln!(out, "{}", serde_json::to_string_pretty(&rows)?)?;
        }
    }
    Ok(Outcome::Done)
}

fn csv_field(text: &str) -> String {
    if text.contains([',', '"', '\n']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}
