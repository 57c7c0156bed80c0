//! `sedflow sed eval`: parameters in a table -> the same rows with photometry and derived properties.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::ValueEnum;
use rayon::prelude::*;

use super::input::{Columns, InputGalaxy, RowProblem};
use super::{ModelArgs, Output};
use crate::commands::listen::Terminal;
use crate::commands::{Context, Outcome};
use crate::filters::Filter;
use crate::output::{Cell, Format, RowSink, Writer};
use crate::progress::{Event, Progress};
use crate::sed::photometry::covered;
use crate::sed::{BandWeights, DERIVED_NAMES, PhotCache, PhotOptions, Request, SedError, SedModel};
use crate::tables::{self, Block, Column, ColumnInfo, ColumnType, ReadOptions, Values};

#[derive(Debug, clap::Args)]
pub struct EvalArgs {
    /// Table with a galaxy per row (CSV, FITS, Parquet ...): log_mstar, beta1..beta4, fburst, tburst,
    /// log_gamma1 or gamma1, log_gamma2 or gamma2, tau_bc, tau_ism, n_dust, redshift, and, if it likes,
    /// birth_cloud_age_gyr
    #[arg(long, value_name = "FILE")]
    params: PathBuf,
    /// Bands: shipped ones and curves of the catalog (`sedflow filter list`), or curve files
    #[arg(long, value_name = "BAND,...", value_delimiter = ',', required = true)]
    bands: Vec<String>,
    /// Full resolution, or tabulated dust nodes (a thousand times faster for many galaxies)
    #[arg(long, value_enum, default_value_t = EvalPath::Exact)]
    path: EvalPath,
    /// Bands for absolute magnitudes (rest frame, attenuated), as columns absmag_BAND
    #[arg(long, value_name = "BAND,...", value_delimiter = ',')]
    absolute: Vec<String>,
    /// Where to write [default: standard output]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[arg(long, value_enum, default_value_t = Format::Csv)]
    format: Format,
    #[command(flatten)]
    model: ModelArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum EvalPath {
    Exact,
    Fast,
}

/// Rows evaluated at a time.
const ROWS: usize = 16_384;

/// Rejected rows that are listed one by one; further ones are counted.
const LISTED: u64 = 200;

pub fn run(args: EvalArgs, context: &Context) -> anyhow::Result<Outcome> {
    let (model, [filters, absolute]) = args.model.load([&args.bands, &args.absolute], context)?;
    // A band that no redshift can bring into the grid is a mistake in the command, not in a row.
    absolute.iter().try_for_each(|filter| covered(filter, &model.grid().wave_aa, 0.0))?;
    let name = args.params.display().to_string();
    let mut table =
        tables::open(&args.params, &ReadOptions::default()).with_context(|| format!("cannot read {name}"))?;
    let columns = Columns::find(table.columns()).with_context(|| name.clone())?;
    let mut evaluator = Evaluator::new(&model, &filters, &absolute, args.path);
    let echoed = echoed(table.columns(), &evaluator.names);
    let mut output = Output::create(args.out.as_deref())?;
    let mut writer = Writer::new(&mut output, args.format);
    let mut header: Vec<String> =
        echoed.iter().map(|&(column, _)| table.columns()[column].name.clone()).collect();
    header.extend(evaluator.names.iter().cloned());
    writer.columns(&header)?;
    let terminal = Terminal::new(context.quiet, &context.catalog);
    terminal.report(Event::Started { what: name.clone(), total: table.n_rows(), unit: "galaxies" });
    let mut rejected = Rejected { name, found: 0 };
    let mut done = 0;
    while let Some(block) = table.next_block(ROWS).context("cannot read on")? {
        if terminal.cancelled() {
            return Ok(Outcome::Interrupted);
        }
        block.bad.iter().for_each(|bad| rejected.list(bad.row, &bad.reason));
        let mut rows = Vec::with_capacity(block.n_rows());
        for (row, &number) in block.row_numbers.iter().enumerate() {
            match columns.galaxy(&block, row).and_then(|galaxy| evaluator.accept(galaxy)) {
                Ok(galaxy) => rows.push((row, galaxy)),
                Err(problem) => rejected.list(number, &problem),
            }
        }
        let galaxies: Vec<Accepted> = rows.iter().map(|(_, galaxy)| *galaxy).collect();
        for ((row, _), values) in rows.iter().zip(evaluator.evaluate(&galaxies)?) {
            write_row(&mut writer, &block, *row, &echoed, &values, args.format)?;
        }
        done += block.n_rows() as u64 + block.bad.len() as u64;
        terminal.report(Event::Advanced { done });
    }
    terminal.report(Event::Finished);
    writer.finish()?;
    output.finish()?;
    rejected.sum_up(done);
    Ok(if rejected.found == 0 { Outcome::Done } else { Outcome::SomeRejected })
}

/// Columns of the input that go out again: all scalar ones that are not computed here.
fn echoed(columns: &[ColumnInfo], computed: &[String]) -> Vec<(usize, ColumnType)> {
    let scalar = columns.iter().enumerate().filter(|(_, column)| column.len == 1);
    let given = scalar.filter(|(_, column)| !computed.contains(&column.name));
    given.map(|(i, column)| (i, column.kind)).collect()
}

/// A galaxy all of whose figures can be computed.
#[derive(Debug, Clone, Copy)]
struct Accepted {
    input: InputGalaxy,
    birth_cloud_age_gyr: f64,
}

struct Evaluator<'a> {
    model: &'a SedModel,
    filters: &'a [Filter],
    absolute: &'a [Filter],
    cache: Option<PhotCache>,
    /// Computed columns.
    names: Vec<String>,
}

impl<'a> Evaluator<'a> {
    fn new(model: &'a SedModel, filters: &'a [Filter], absolute: &'a [Filter], path: EvalPath) -> Self {
        let cache = (path == EvalPath::Fast).then(|| PhotCache::new(model, filters, PhotOptions::default()));
        let names = filters
            .iter()
            .map(|filter| format!("nmgy_{}", filter.name()))
            .chain(DERIVED_NAMES.iter().map(|name| name.to_string()))
            .chain(absolute.iter().map(|filter| format!("absmag_{}", filter.name())))
            .collect();
        Self { model, filters, absolute, cache, names }
    }

    fn accept(&self, input: InputGalaxy) -> Result<Accepted, RowProblem> {
        self.model.cosmology().check(input.zred).map_err(|error| RowProblem::Value {
            column: "redshift".into(),
            found: error.found,
            expected: "above 0 and at most 20".into(),
        })?;
        let birth_cloud_age_gyr = input.birth_cloud_age_gyr.unwrap_or(self.model.birth_cloud_age_gyr());
        if birth_cloud_age_gyr < 0.0 {
            let column = "birth_cloud_age_gyr".into();
            let found = birth_cloud_age_gyr;
            return Err(RowProblem::Value { column, found, expected: "0 or more".into() });
        }
        let wave_aa = &self.model.grid().wave_aa;
        let covered = self.filters.iter().try_for_each(|filter| covered(filter, wave_aa, input.zred));
        covered.map_err(RowProblem::Model)?;
        Ok(Accepted { input, birth_cloud_age_gyr })
    }

    /// Values of the computed columns, per galaxy.
    fn evaluate(&mut self, galaxies: &[Accepted]) -> Result<Vec<Vec<f64>>, SedError> {
        let n_bands = self.filters.len();
        let fast = match &mut self.cache {
            None => None,
            Some(cache) => {
                let requests: Vec<Request> = galaxies
                    .iter()
                    .map(|g| Request {
                        theta: g.input.galaxy.theta(),
                        zred: g.input.zred,
                        birth_cloud_age_gyr: g.birth_cloud_age_gyr,
                    })
                    .collect();
                Some(cache.nanomaggies(&requests)?)
            }
        };
        let at_rest: Vec<BandWeights> = self.model.band_weights(self.absolute, 0.0)?;
        galaxies
            .par_iter()
            .enumerate()
            .map(|(i, Accepted { input: InputGalaxy { galaxy, zred, .. }, birth_cloud_age_gyr })| {
                let model = self.model.with_birth_cloud_age(*birth_cloud_age_gyr)?;
                let mut values = match &fast {
                    Some(nmgy) => nmgy[i * n_bands..][..n_bands].to_vec(),
                    None => model.nanomaggies(galaxy, *zred, self.filters)?,
                };
                values.extend(model.derived(galaxy, *zred)?.row());
                values.extend(model.absolute_magnitudes_with(galaxy, *zred, &at_rest)?);
                Ok(values)
            })
            .collect()
    }
}

fn write_row(
    writer: &mut impl RowSink,
    block: &Block,
    row: usize,
    echoed: &[(usize, ColumnType)],
    values: &[f64],
    format: Format,
) -> std::io::Result<()> {
    let cells: Vec<Cell<'_>> = echoed
        .iter()
        .map(|&(column, kind)| cell(&block.columns[column], kind, row, format))
        .chain(values.iter().map(|&value| Cell::Real(value)))
        .collect();
    writer.row(&cells)
}

/// A value of the input as it was; in JSON, text that is a number is written as one.
fn cell(column: &Column, kind: ColumnType, row: usize, format: Format) -> Cell<'_> {
    if !column.is_valid(row) {
        return Cell::Null;
    }
    match &column.values {
        Values::Bool(values) => Cell::text(if values[row] { "true" } else { "false" }),
        Values::Int(values) => Cell::Int(values[row]),
        Values::UInt(values) => i64::try_from(values[row]).map_or(Cell::Real(values[row] as f64), Cell::Int),
        // With the digits single precision has, not those of its double.
        Values::Float(values) if kind == ColumnType::Float32 => {
            Cell::Real((values[row] as f32).to_string().parse().unwrap_or(values[row]))
        }
        Values::Float(values) => Cell::Real(values[row]),
        Values::Text(texts) => {
            let text = texts.get(row);
            let number = || text.parse::<f64>().ok().filter(|value| value.is_finite());
            match format {
                Format::Json | Format::Jsonl => match text.parse::<i64>() {
                    Ok(integer) => Cell::Int(integer),
                    Err(_) => number().map_or(Cell::text(text), Cell::Real),
                },
                _ => Cell::text(text),
            }
        }
    }
}

/// Rows that were not computed, listed on standard error as they are met.
struct Rejected {
    name: String,
    found: u64,
}

impl Rejected {
    fn list(&mut self, row: u64, problem: &impl std::fmt::Display) {
        self.found += 1;
        if self.found <= LISTED {
            eprintln!("{}: row {row}: {problem}", self.name);
        }
    }

    fn sum_up(&self, rows: u64) {
        if self.found > 0 {
            let more = self.found.saturating_sub(LISTED);
            let unlisted = if more > 0 { format!(" ({more} not listed)") } else { String::new() };
            eprintln!("{}: {} of {rows} rows rejected{unlisted}, the others are done", self.name, self.found);
        }
    }
}
