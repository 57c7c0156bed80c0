//! `sedflow export`: products of the catalog in the formats of other programs.

use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::Args;

use super::draws::Remaker;
use super::find::selected_by_draws;
use super::galaxies::parse_cone;
use super::listen::Terminal;
use super::plot::posterior_set;
use super::{Context, Outcome};
use crate::exchange::columns::{Column, Columns, FluxUnit, Origin, What};
use crate::exchange::dialect::{self, LogUnits, Names};
use crate::exchange::names::Alphabet;
use crate::exchange::source::Source;
use crate::exchange::{self, ExchangeError, Field, Job, Meta, Rows, arrays, hats, latex, qp, zarr};
use crate::output::for_eyes;
use crate::progress::Progress;
use crate::store::{Candidate, Cone, GalaxyId, Mode, PROGRAM_VERSION, PosteriorSet, Selection, Store};

#[derive(Debug, Args)]
pub struct ExportArgs {
    /// File or folder to write
    output: PathBuf,
    /// What the rows hold, separated by commas [default: galaxies,photometry,summaries]
    #[arg(long, value_name = "WHAT", value_delimiter = ',')]
    what: Vec<What>,
    /// Format [default: by the ending of the output's name]
    #[arg(long, value_name = "FORMAT")]
    format: Option<Format>,
    /// Posterior set [default: the current one]
    #[arg(long)]
    set: Option<String>,
    /// Which galaxies: an SQL condition, or one that asks of draws: "P(log_mstar > 11) > 0.9"
    #[arg(long = "where", value_name = "CONDITION")]
    condition: Option<String>,
    /// Circle on the sky, degrees
    #[arg(long, value_name = "RA,DEC,RADIUS", value_parser = parse_cone, allow_hyphen_values = true)]
    cone: Option<Cone>,
    /// At most so many galaxies
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// These columns alone, separated by commas, in place of --what
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    columns: Vec<String>,
    /// Unit of fluxes
    #[arg(long, value_name = "UNIT", default_value = "njy")]
    flux_unit: FluxUnit,
    /// How the unit of a logarithm is written [default: none in FITS, VOTable, Parquet, ECSV and HATS, so that astropy
    /// reads them without a warning; log in the others]
    #[arg(long, value_name = "HOW")]
    log_units: Option<LogUnits>,
    /// Whose names the columns have
    #[arg(long, value_name = "PROGRAM", default_value = "catalog")]
    names: Names,
    /// Most rows of a HATS partition
    #[arg(long, value_name = "N", default_value_t = 500_000, value_parser = clap::value_parser!(u64).range(1..))]
    partition_rows: u64,
    /// Add a margin cache of this width to a HATS catalog
    #[arg(long, value_name = "ARCSEC", value_parser = parse_margin)]
    margin: Option<f64>,
    /// Replace what the output's name stands for
    #[arg(long)]
    overwrite: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// FITS binary table
    Fits,
    /// VOTable 1.4, BINARY2
    Votable,
    /// Parquet with VOParquet metadata
    Parquet,
    /// Comma-separated values, described in FILE-metadata.json
    Csv,
    /// Enhanced CSV of astropy
    Ecsv,
    /// HDF5: with the keys and shapes of the SEDflow NSA catalog, or one array per column with --what or --columns
    Hdf5,
    /// NumPy archive, one array per column
    Npz,
    /// Zarr store of the draws as ArviZ's InferenceData
    Zarr,
    /// Folder of qp ensembles, one per parameter
    Qp,
    /// LaTeX table of chosen galaxies
    Latex,
    /// HATS catalog: Parquet files by cells of the sky, for lsdb
    Hats,
}

impl Format {
    /// What the readers of this format know.
    fn log_units(self) -> LogUnits {
        match self {
            Format::Fits | Format::Votable | Format::Parquet | Format::Ecsv | Format::Hats => LogUnits::None,
            _ => LogUnits::Log,
        }
    }

    /// Whether the columns may be called anything.
    fn names_are_free(self) -> bool {
        !matches!(self, Format::Zarr | Format::Qp | Format::Latex)
    }

    /// By the ending of a name.
    fn of(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_string_lossy().to_lowercase();
        let ending = |(ending, format): &(&str, Self)| name.ends_with(ending).then_some(*format);
        [
            (".fits", Format::Fits),
            (".fit", Format::Fits),
            (".vot", Format::Votable),
            (".votable", Format::Votable),
            (".xml", Format::Votable),
            (".parquet", Format::Parquet),
            (".parq", Format::Parquet),
            (".ecsv", Format::Ecsv),
            (".csv", Format::Csv),
            (".hdf5", Format::Hdf5),
            (".h5", Format::Hdf5),
            (".npz", Format::Npz),
            (".zarr", Format::Zarr),
            (".tex", Format::Latex),
        ]
        .iter()
        .find_map(ending)
    }
}

pub fn run(args: ExportArgs, context: &Context) -> anyhow::Result<Outcome> {
    let store = context.open(Mode::Read)?;
    let format = match args.format.or_else(|| Format::of(&args.output)) {
        Some(format) => format,
        None => bail!("the name {} tells no format; say --format", args.output.display()),
    };
    let set = match (&args.set, store.current_posterior_set()?) {
        (Some(name), _) => Some(posterior_set(&store, Some(name))?),
        (None, current) => current,
    };
    let chosen = Chosen::new(&args, &store, set.as_ref(), context)?;
    let terminal = Terminal::new(context.quiet, &context.catalog);
    let bands;
    let columns = match format {
        Format::Hdf5 if args.what.is_empty() && args.columns.is_empty() => {
            if set.is_none() {
                bail!("the catalog has no posterior set; name the columns of galaxies with --what galaxies");
            }
            let all = Columns::new(&store, set.as_ref(), FluxUnit::Nmgy)?;
            let (columns, found) = arrays::sedflow_columns(&all)?;
            bands = Some(found);
            columns
        }
        _ => {
            bands = None;
            columns(&args, format, &store, set.as_ref())?
        }
    };
    let mut columns = columns;
    dialect::write_log_units(&mut columns, args.log_units.unwrap_or(format.log_units()));
    if args.names != Names::Catalog && (bands.is_some() || !format.names_are_free()) {
        bail!(
            "this format has names of its own: --names is for tables{}",
            match format {
                Format::Hdf5 => " (HDF5: with --what or --columns)",
                _ => "",
            }
        );
    }
    dialect::rename(&mut columns, args.names);
    let meta = meta(set.as_ref());
    let source = chosen.source(&store, columns)?;
    let mut fields = source.fields();
    let changed = adapt(format, &mut fields);
    let job = Job { path: &args.output, overwrite: args.overwrite, fields: &fields, meta: &meta };
    let result = match (format, &bands) {
        (Format::Hdf5, Some(bands)) => arrays::write_sedflow_hdf5(job, bands, &source, &terminal),
        (Format::Hats, _) => {
            let options = hats::Options { rows: args.partition_rows, margin_arcsec: args.margin };
            write_hats(job, &source, options, context, &terminal)
        }
        _ => write(format, job, &source, &terminal),
    };
    if matches!(&result, Err(ExchangeError::Stopped)) {
        return Ok(Outcome::Interrupted);
    }
    result?;
    for (old, new) in changed {
        let (old, new) = (for_eyes(old.as_bytes()), for_eyes(new.as_bytes()));
        context
            .remark(&format!("note: column `{old}` is called `{new}`, as the format cannot hold its name"));
    }
    for field in fields.iter().filter(|field| field.notes.encoded) {
        context.remark(&format!(
            "note: texts of column {} are percent-encoded, as the format holds ASCII alone",
            for_eyes(field.name.as_bytes())
        ));
    }
    context.remark(&format!(
        "{}: {} galaxies, {} columns",
        args.output.display(),
        source.n_rows(),
        fields.len()
    ));
    Ok(Outcome::Done)
}

/// The galaxies that the command line chooses.
struct Chosen<'a> {
    args: &'a ExportArgs,
    set: Option<&'a PosteriorSet>,
    ids: Option<Vec<GalaxyId>>,
    remake: Option<Box<Remaking>>,
}

type Made = Result<Option<crate::samples::Samples>, Box<dyn std::error::Error + Send + Sync>>;
type Remaking = dyn Fn(&Store, &Candidate) -> Made + Sync;

impl<'a> Chosen<'a> {
    fn new(
        args: &'a ExportArgs,
        store: &Store,
        set: Option<&'a PosteriorSet>,
        context: &Context,
    ) -> anyhow::Result<Self> {
        let all = Selection {
            condition: args.condition.as_deref(),
            cone: args.cone,
            set: set.map(|set| set.id),
            limit: args.limit,
            ..Selection::default()
        };
        let mut ids = selected_by_draws(store, args.condition.as_deref(), &all, Some(context))?;
        if ids.is_none() && args.limit.is_some() {
            // A limit holds for the whole, not for its parts.
            ids = Some(store.select_galaxies(&all)?);
        }
        if let (Some(ids), Some(limit)) = (&mut ids, args.limit) {
            ids.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        }
        let remaker = set.map(|set| Remaker::of_set(store, set)).transpose()?.flatten();
        let remake = remaker.map(|remaker| -> Box<Remaking> {
            Box::new(move |store: &Store, galaxy: &Candidate| remaker.samples(store, galaxy))
        });
        Ok(Self { args, set, ids, remake })
    }

    fn selection(&self) -> Selection<'_> {
        let set = self.set.map(|set| set.id);
        match &self.ids {
            Some(ids) => Selection { ids: Some(ids), set, ..Selection::default() },
            None => Selection {
                condition: self.args.condition.as_deref(),
                cone: self.args.cone,
                set,
                limit: self.args.limit,
                ..Selection::default()
            },
        }
    }

    fn source<'s>(&'s self, store: &'s Store, columns: Vec<Column>) -> Result<Source<'s>, ExchangeError> {
        Source::new(store, self.selection(), columns, self.remake.as_deref())
    }
}

fn parse_margin(text: &str) -> Result<f64, String> {
    let width: f64 = text.parse().map_err(|_| format!("`{text}` is not a number of arc seconds"))?;
    if width > 0.0 && width <= 3600.0 {
        Ok(width)
    } else {
        Err("expected 0 < width <= 3600 arc seconds".to_owned())
    }
}

fn columns(
    args: &ExportArgs,
    format: Format,
    store: &Store,
    set: Option<&PosteriorSet>,
) -> anyhow::Result<Vec<Column>> {
    let columns = Columns::new(store, set, args.flux_unit)?;
    if !args.columns.is_empty() && !args.what.is_empty() {
        bail!("--columns and --what both say which columns; give one of them");
    }
    let of_posteriors = |what: &What| matches!(what, What::Summaries | What::Draws);
    let of_draws = matches!(format, Format::Zarr | Format::Qp);
    if set.is_none() && (args.what.iter().any(of_posteriors) || of_draws) {
        bail!("the catalog has no posterior set, so there are no summaries or draws to export");
    }
    let mut chosen = match (args.columns.as_slice(), args.what.as_slice()) {
        ([], []) => match (format, set) {
            (Format::Zarr | Format::Qp, _) => columns.of(&[What::Draws]),
            (Format::Latex, Some(_)) => columns.named(&for_paper(&columns))?,
            (_, Some(_)) => columns.of(&[What::Galaxies, What::Photometry, What::Summaries]),
            (_, None) => columns.of(&[What::Galaxies, What::Photometry]),
        },
        ([], what) => columns.of(what),
        (names, _) => columns.named(names)?,
    };
    // What these formats cannot do without.
    let needed: &[&str] = match format {
        Format::Hats => &["ra_deg", "dec_deg", "healpix29"],
        Format::Zarr | Format::Qp => &["object_id"],
        _ => &[],
    };
    for name in needed {
        if chosen.iter().all(|column| column.field.name != *name) {
            chosen.extend(columns.named(&[(*name).to_owned()])?);
        }
    }
    if of_draws && !chosen.iter().any(|column| matches!(column.origin, Origin::Draws { .. })) {
        bail!("this format is for draws: --what draws, or name parameters with --columns");
    }
    Ok(chosen)
}

/// What a paper prints, where there is no wish.
fn for_paper(columns: &Columns) -> Vec<String> {
    let mut names: Vec<String> = ["object_id", "ra_deg", "dec_deg", "redshift"].map(str::to_owned).to_vec();
    for parameter in ["log_mstar_surviving", "log_sfr_1gyr", "log_z_mw", "t_age_mw_gyr", "tau_ism"] {
        names.extend(["q16", "q50", "q84"].map(|suffix| format!("{parameter}_{suffix}")));
    }
    names.retain(|name| columns.all.iter().any(|column| column.field.name == *name));
    names
}

fn write_hats(
    job: Job<'_>,
    source: &Source<'_>,
    options: hats::Options,
    context: &Context,
    progress: &dyn Progress,
) -> Result<(), ExchangeError> {
    let cell = source.fields().iter().position(|field| field.catalog_name() == "healpix29");
    let cell = cell.ok_or(ExchangeError::NoColumn { name: "healpix29".to_owned() })?;
    let (cells, without) = hats::write(job, source, cell, options, progress)?;
    if without > 0 {
        context.remark(&format!("note: {without} galaxies without a position are left out"));
    }
    context.remark(&format!("{} partitions", cells.len()));
    Ok(())
}

fn meta(set: Option<&PosteriorSet>) -> Meta {
    let mut pairs = vec![("CREATOR", format!("sedflow {PROGRAM_VERSION}"), "program that wrote the file")];
    if let Some(set) = set {
        pairs.push(("SEDFSET", set.name.clone(), "posterior set"));
        pairs.push(("SEDFHASH", set.hash.to_string(), "its hash"));
    }
    let description = match set {
        Some(set) => format!("Galaxies of a sedflow catalog with posterior set {}", set.name),
        None => "Galaxies of a sedflow catalog".to_owned(),
    };
    Meta { name: "sedflow".to_owned(), description, pairs }
}

fn adapt(format: Format, fields: &mut Vec<Field>) -> Vec<(String, String)> {
    let fit = exchange::names::fit;
    match format {
        Format::Fits => exchange::fits::adapt(fields),
        Format::Votable => exchange::votable::adapt(fields),
        Format::Parquet => exchange::parquet::adapt(fields),
        Format::Hats => hats::adapt(fields),
        Format::Csv | Format::Ecsv | Format::Latex => fit(fields, Alphabet::Any),
        // Names of files and of Python variables.
        Format::Hdf5 | Format::Npz | Format::Zarr | Format::Qp => fit(fields, Alphabet::Word),
    }
}

fn write(
    format: Format,
    job: Job<'_>,
    source: &Source<'_>,
    progress: &dyn Progress,
) -> Result<(), ExchangeError> {
    let rows: Rows<'_> = &mut |take| source.stream(progress, take);
    match format {
        Format::Fits => exchange::fits::write(job, rows),
        Format::Votable => exchange::votable::write(job, rows),
        Format::Parquet | Format::Hats => exchange::parquet::write(job, rows),
        Format::Csv => exchange::text::write_csv(job, rows),
        Format::Ecsv => exchange::text::write_ecsv(job, rows),
        Format::Hdf5 => arrays::write_hdf5(job, source, progress),
        Format::Npz => arrays::write_npz(job, source, progress),
        Format::Zarr => zarr::write(job, source, progress),
        Format::Qp => qp::write(job, source, progress),
        Format::Latex if source.n_rows() > latex::MOST_ROWS => Err(ExchangeError::CannotHold {
            format: "LaTeX",
            what: format!(
                "{} rows, more than any paper prints: choose with --where or --limit",
                source.n_rows()
            ),
        }),
        Format::Latex => latex::write(job, rows),
    }
}
