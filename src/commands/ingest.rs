//! `sedflow ingest`: survey tables into the catalog; `sedflow layouts`: the column maps built in.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};
use serde_json::json;

use super::listen::Terminal;
use super::{Context, Outcome, resolve};
use crate::filters::{self, Filter};
use crate::galaxy::phot_flag;
use crate::ingest::map::{ColumnMap, CutFile, Extinction};
use crate::ingest::plan::{ExtinctionPlan, Plan};
use crate::ingest::sedflow::{self, OfSurvey, Part};
use crate::ingest::survey::{Range, Report, survey};
use crate::ingest::{self, Job, SDSS_SAMPLE, Source, Summary, layouts};
use crate::output::for_eyes;
use crate::progress::Progress;
use crate::store::{Mode, RunSpec, RunState, Store, ingest_hash};
use crate::tables::{self, ReadOptions, Table, shorten};

#[derive(Debug, clap::Args)]
pub struct IngestArgs {
    /// FITS, CSV, TSV, ECSV, VOTable or Parquet files
    #[arg(required_unless_present = "sample", value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Ingest the shipped sample: 1,000 galaxies of the SDSS
    #[arg(long, conflicts_with = "files")]
    sample: bool,
    /// Built-in layout (`sedflow layouts`) or column map [default: found from the columns]
    #[arg(long, value_name = "NAME|FILE.toml")]
    layout: Option<String>,
    /// Survey the galaxies go into [default: as the layout says]
    #[arg(long, value_name = "NAME")]
    survey: Option<String>,
    /// Quality cuts to mark: `sdss-photo` or a file; may be given several times
    #[arg(long, value_name = "NAME|FILE.toml")]
    cuts: Vec<String>,
    /// Bands that cuts on several bands look at [default: as the file of cuts says]
    #[arg(long, value_name = "BANDS", value_delimiter = ',')]
    cut_bands: Option<Vec<String>>,
    /// Treat the fluxes as corrected for Galactic extinction, or leave them uncorrected, whatever the layout says
    #[arg(long, value_name = "corrected|none")]
    extinction: Option<ExtinctionChoice>,
    /// Table of a file with several: its name or number, from 1 [default: the first with rows]
    #[arg(long, value_name = "NAME|N")]
    table: Option<String>,
    /// Delimiter of a text table [default: found from its header]
    #[arg(long, value_name = "CHAR")]
    delimiter: Option<char>,
    /// Read everything and say what would happen; the catalog is not touched
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
    /// Rejected rows to list; the catalog keeps all of them
    #[arg(long, value_name = "N", default_value_t = 10)]
    show: usize,
    /// Rows that are committed together
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    batch: u32,
}

impl IngestArgs {
    /// The shipped sample.
    pub fn of_sample() -> Self {
        Self {
            files: vec![],
            sample: true,
            layout: None,
            survey: None,
            cuts: vec![],
            cut_bands: None,
            extinction: None,
            table: None,
            delimiter: None,
            dry_run: false,
            json: false,
            show: 10,
            batch: 20_000,
        }
    }

    fn read_options(&self) -> ReadOptions {
        ReadOptions { table: self.table.clone(), delimiter: self.delimiter }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum ExtinctionChoice {
    Corrected,
    None,
}

#[derive(Debug, clap::Args)]
pub struct LayoutsArgs {
    /// The layout or file of cuts to print, as TOML
    name: Option<String>,
}

pub fn layouts(args: LayoutsArgs, _: &Context) -> anyhow::Result<Outcome> {
    let mut out = std::io::stdout().lock();
    let Some(name) = args.name else {
        for (name, _) in layouts::LAYOUTS {
            let map = layouts::built_in(name).with_context(|| format!("no layout `{name}`"))??;
            writeln!(out, "{name:16} {}", map.description)?;
        }
        writeln!(out, "{:16} {}", sedflow::NAME, sedflow::DESCRIPTION)?;
        for (name, _) in layouts::CUTS {
            let cuts = layouts::built_in_cuts(name).with_context(|| format!("no cuts `{name}`"))??;
            writeln!(out, "{name:16} cuts: {}", cuts.description)?;
        }
        return Ok(Outcome::Done);
    };
    if name == sedflow::NAME {
        bail!(
            "the layout sedflow has no text: it is made from what a table that `sedflow export` wrote says of itself"
        );
    }
    let text = layouts::LAYOUTS.iter().chain(layouts::CUTS).find(|(known, _)| *known == name);
    let (_, text) = text.with_context(|| format!("no layout `{name}`; there is {}", layout_names()))?;
    out.write_all(text.as_bytes())?;
    Ok(Outcome::Done)
}

fn layout_names() -> String {
    layouts::LAYOUTS.iter().chain(layouts::CUTS).map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

pub fn run(args: IngestArgs, context: &Context) -> anyhow::Result<Outcome> {
    let terminal = Terminal::new(context.quiet, &context.catalog);
    if args.sample {
        return with_sample(|file| ingest_one(file, SAMPLE_NAME, &args, context, &terminal));
    }
    let mut outcome = Outcome::Done;
    for file in &args.files {
        let name = file.display().to_string();
        match ingest_one(file, &name, &args, context, &terminal).with_context(|| name.clone())? {
            Outcome::Done => {}
            Outcome::SomeRejected => outcome = Outcome::SomeRejected,
            Outcome::Interrupted => return Ok(Outcome::Interrupted),
        }
    }
    Ok(outcome)
}

fn ingest_one(
    file: &Path,
    name: &str,
    args: &IngestArgs,
    context: &Context,
    progress: &dyn Progress,
) -> anyhow::Result<Outcome> {
    let run = |part: Option<&Part>| {
        if args.dry_run {
            dry_run(file, name, args, part, context, progress)
        } else {
            ingest_file(file, name, args, part, context, progress)
        }
    };
    let Some(parts) = exported_parts(file, args)? else { return run(None) };
    let mut outcome = Outcome::Done;
    for part in &parts {
        match run(Some(part))? {
            Outcome::Done => {}
            Outcome::SomeRejected => outcome = Outcome::SomeRejected,
            Outcome::Interrupted => return Ok(Outcome::Interrupted),
        }
    }
    Ok(outcome)
}

/// The surveys in a file that `sedflow export` wrote, or all as one where the command line names the survey; `None`
/// for other files.
fn exported_parts(file: &Path, args: &IngestArgs) -> anyhow::Result<Option<Vec<Part>>> {
    if args.layout.as_deref().is_some_and(|name| name != sedflow::NAME) {
        return Ok(None);
    }
    let mut table = tables::open(file, &args.read_options())?;
    if !sedflow::recognises(table.columns()) {
        if args.layout.is_some() {
            bail!("it has not the columns of a table that `sedflow export` wrote with photometry");
        }
        return Ok(None);
    }
    let parts = sedflow::parts(table.as_mut())?;
    if args.survey.is_none() || parts.len() < 2 {
        return Ok(Some(parts));
    }
    let survey = String::new();
    let mut bands = Vec::new();
    for band in parts.into_iter().flat_map(|part| part.bands) {
        if !bands.contains(&band) {
            bands.push(band);
        }
    }
    Ok(Some(vec![Part { survey, bands }]))
}

/// What the catalog calls the shipped sample.
pub const SAMPLE_NAME: &str = "sdss_1000.fits (shipped with sedflow)";

/// Puts the shipped sample into a file of its own, so that it is read as any other, and removes it afterwards.
pub fn with_sample<T>(work: impl FnOnce(&Path) -> anyhow::Result<T>) -> anyhow::Result<T> {
    let path = std::env::temp_dir().join(format!("sedflow-sample-{}.fits", std::process::id()));
    let written = std::fs::File::create_new(&path).and_then(|mut file| file.write_all(SDSS_SAMPLE));
    let result = match written {
        Ok(()) => work(&path),
        Err(error) => {
            return Err(error).with_context(|| format!("cannot write the sample to {}", path.display()));
        }
    };
    // Left behind it would only take space.
    let _ = std::fs::remove_file(&path);
    result
}

/// Opens the table and finds what its columns mean.
fn prepare(
    file: &Path,
    args: &IngestArgs,
    part: Option<&Part>,
    context: &Context,
) -> anyhow::Result<(Box<dyn Table>, Plan)> {
    let mut table = tables::open(file, &args.read_options())?;
    let mut map = match (part, &args.layout) {
        (Some(part), _) => {
            let survey = Some(part.survey.as_str()).filter(|survey| !survey.is_empty());
            table = Box::new(OfSurvey::new(table, survey));
            let store = context.open_if_there()?;
            let known = store.map(|store| store.filters()).transpose()?.unwrap_or_default();
            let known =
                |name: &str| known.iter().any(|filter| filter.name == name) || filters::resolve(name).is_ok();
            sedflow::map(table.columns(), part, &known)
        }
        (None, Some(name)) => load_map(name)?,
        (None, None) => layouts::detect(table.columns())?.ok_or_else(|| no_layout(table.as_ref()))?,
    };
    if let Some(survey) = &args.survey {
        map.survey.clone_from(survey);
    }
    match args.extinction {
        Some(ExtinctionChoice::Corrected) => {
            map.extinction = Extinction::Corrected { by: "as the command line says".to_owned() };
        }
        Some(ExtinctionChoice::None) => map.extinction = Extinction::None,
        None => {}
    }
    for name in &args.cuts {
        let cuts = load_cuts(name)?;
        map.constants.extend(cuts.constants);
        map.cuts.extend(cuts.cuts);
    }
    if let Some(bands) = &args.cut_bands {
        for cut in map.cuts.iter_mut().filter(|cut| !cut.elements.is_empty()) {
            cut.bands = Some(bands.clone());
        }
    }
    let own = own_filters(&map, context)?;
    let find = |name: &str| match own.get(name) {
        Some(filter) => Ok(filter.clone()),
        None => filters::resolve(name),
    };
    let mut plan =
        Plan::with_filters(&map, table.columns(), &find).with_context(|| format!("layout {}", map.name))?;
    if let Some(part) = part {
        sedflow::complete(&mut plan, table.columns(), part);
    }
    Ok((table, plan))
}

/// The filters of a map that are neither shipped nor in files, but curves of the catalog.
fn own_filters(map: &ColumnMap, context: &Context) -> anyhow::Result<BTreeMap<String, Filter>> {
    let names: Vec<&String> = map.bands.iter().filter_map(|band| band.filter.as_ref()).collect();
    let mut own = BTreeMap::new();
    let Some(store) = resolve::catalog_for(context, names.iter().copied(), None)? else { return Ok(own) };
    let known = store.filters()?;
    for name in names.into_iter().filter(|name| known.iter().any(|filter| filter.name == **name)) {
        own.insert(name.clone(), resolve::filter(Some(&store), name)?);
    }
    Ok(own)
}

fn no_layout(table: &dyn Table) -> anyhow::Error {
    let names: Vec<String> = table
        .columns()
        .iter()
        .take(30)
        .map(|column| match column.len {
            1 => shorten(&column.name),
            n => format!("{}[{n}]", shorten(&column.name)),
        })
        .collect();
    let more = table.columns().len().saturating_sub(names.len());
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    anyhow!(
        "no built-in layout fits its columns ({}{more}); write a column map, starting from one of the layouts \
         (`sedflow layouts NAME > my.toml`), and give it with --layout my.toml",
        names.join(", ")
    )
}

fn load_map(name: &str) -> anyhow::Result<ColumnMap> {
    if let Some(map) = layouts::built_in(name) {
        return Ok(map?);
    }
    if !Path::new(name).exists() && !name.ends_with(".toml") {
        bail!("no layout `{name}`; there is {}, or a file of yours", layout_names());
    }
    let text = std::fs::read_to_string(name).with_context(|| format!("cannot read the column map {name}"))?;
    ColumnMap::parse(&text).with_context(|| format!("column map {name}"))
}

fn load_cuts(name: &str) -> anyhow::Result<CutFile> {
    if let Some(cuts) = layouts::built_in_cuts(name) {
        return Ok(cuts?);
    }
    let text = std::fs::read_to_string(name).with_context(|| format!("cannot read the cuts {name}"))?;
    CutFile::parse(&text).with_context(|| format!("cuts {name}"))
}

fn ingest_file(
    file: &Path,
    name: &str,
    args: &IngestArgs,
    part: Option<&Part>,
    context: &Context,
    progress: &dyn Progress,
) -> anyhow::Result<Outcome> {
    let (mut table, plan) = prepare(file, args, part, context)?;
    let say = |text: &str| {
        if !context.quiet {
            eprintln!("{}", plain(text));
        }
    };
    let mut store = Store::open(&context.catalog, Mode::Write)?;
    store.notes().iter().for_each(|note| say(&format!("note: {note}")));
    let source = Source::new(file, name).context("cannot read the file")?;
    let config = ingest::config(&plan, table.as_ref(), &args.read_options());
    let identity = ingest_hash(source.hash, &plan.map.survey, &plan.map.name, &config);
    let mut resumes = None;
    for known in store.ingests_of_file(source.hash)? {
        let same = known.state.hash == identity;
        let file_name = shorten(&known.file_name);
        if same && known.state.complete {
            let state = known.state;
            let text = format!(
                "already ingested as {file_name} into survey {} ({} galaxies, {} rejected rows, run {}, {}); nothing to do",
                shorten(&known.survey),
                state.n_kept,
                state.n_rejected,
                known.run,
                known.started_utc
            );
            if args.json {
                writeln!(
                    std::io::stdout(),
                    "{}",
                    json!({"file": source.name, "already": true, "survey": known.survey, "kept": state.n_kept, "rejected": state.n_rejected})
                )?;
            } else {
                writeln!(std::io::stdout(), "{text}")?;
            }
            return Ok(Outcome::Done);
        }
        if same {
            say(&format!("going on after row {} of an interrupted ingest", known.state.n_read));
            resumes = Some(known.run);
        } else {
            say(&format!(
                "note: the same file is in survey {} already, read as {file_name} with layout {} and other settings",
                shorten(&known.survey),
                known.layout
            ));
        }
    }
    plan.notes.iter().for_each(|note| say(&format!("note: {note}")));
    say(&format!("Galactic extinction: {}", plan.extinction));
    let spec = RunSpec { command: "ingest", config: &config, seed: None, resumes };
    let summary = store.recorded::<_, anyhow::Error>(&spec, |store, run| {
        let job = Job {
            source: &source,
            plan: &plan,
            config: &config,
            batch_rows: args.batch as usize,
            show: args.show,
        };
        let summary = ingest::ingest(store, run, &job, table.as_mut(), progress)?;
        let state = if summary.interrupted { RunState::Interrupted } else { RunState::Done };
        Ok((summary, state))
    })?;
    print_summary(&summary, &source, &plan, args)?;
    Ok(if summary.interrupted {
        Outcome::Interrupted
    } else if summary.state.n_rejected > 0 || summary.missing_rows.is_some_and(|n| n > 0) {
        Outcome::SomeRejected
    } else {
        Outcome::Done
    })
}

fn print_summary(summary: &Summary, source: &Source, plan: &Plan, args: &IngestArgs) -> anyhow::Result<()> {
    let state = &summary.state;
    let mut out = std::io::stdout().lock();
    if args.json {
        let rejected: Vec<_> = summary
            .rejected
            .iter()
            .map(|row| json!({"row": row.source_row, "reason": row.reason, "detail": row.detail, "object_id": row.object_id}))
            .collect();
        let counts: serde_json::Map<_, _> =
            summary.counts.iter().map(|(what, n)| (what.clone(), json!(n))).collect();
        let text = json!({
            "file": source.name,
            "hash": source.hash,
            "layout": plan.map.name,
            "survey": plan.map.survey,
            "read": state.n_read,
            "kept": state.n_kept,
            "rejected": state.n_rejected,
            "missing_rows": summary.missing_rows,
            "interrupted": summary.interrupted,
            "extinction": plan.extinction,
            "counts": counts,
            "rejected_rows": rejected,
        });
        writeln!(out, "{text}")?;
        return Ok(());
    }
    let survey = shorten(&plan.map.survey);
    writeln!(
        out,
        "{}: {} rows read, {} galaxies in survey {survey}, {} rows rejected",
        shorten(&source.name),
        state.n_read,
        state.n_kept,
        state.n_rejected
    )?;
    for (what, n) in &summary.counts {
        writeln!(out, "{n:>10}  {}", plain(what))?;
    }
    if let Some(missing) = summary.missing_rows {
        writeln!(out, "the file is cut short: {missing} rows that it announces are not there")?;
    }
    if !summary.rejected.is_empty() {
        writeln!(out, "rejected rows (counted from 0):")?;
    }
    for row in &summary.rejected {
        let detail = row.detail.as_deref().unwrap_or_default();
        print_rejected(&mut out, row.source_row, &row.reason, detail, row.object_id.as_deref())?;
    }
    let more = state.n_rejected.saturating_sub(summary.rejected.len() as u64);
    if more > 0 {
        writeln!(
            out,
            "  and {more} more: sedflow query \"SELECT * FROM ingest_reject WHERE ingest_id = {}\"",
            state.id.0
        )?;
    }
    Ok(())
}

fn print_rejected(
    out: &mut impl Write,
    row: u64,
    reason: &str,
    detail: &str,
    object_id: Option<&str>,
) -> std::io::Result<()> {
    let id = object_id.map_or(String::new(), |id| format!(" (id {})", shorten(id)));
    writeln!(out, "  row {row}: {reason}{id}: {}", plain(detail))
}

/// As it may be shown on a terminal, and not endless.
fn plain(text: &str) -> String {
    for_eyes(text.chars().take(400).collect::<String>().as_bytes())
}

fn dry_run(
    file: &Path,
    name: &str,
    args: &IngestArgs,
    part: Option<&Part>,
    context: &Context,
    progress: &dyn Progress,
) -> anyhow::Result<Outcome> {
    let (mut table, plan) = prepare(file, args, part, context)?;
    let total = table.columns().len();
    let format = table.format();
    let announced = table.n_rows();
    let report = survey(table.as_mut(), &plan, args.show, progress)?;
    let mut out = std::io::stdout().lock();
    if args.json {
        let rejected: Vec<_> = report
            .rejected
            .iter()
            .map(|row| json!({"row": row.source_row, "reason": row.reason, "detail": row.detail, "object_id": row.object_id}))
            .collect();
        let bands: Vec<_> = plan.bands.iter().map(|band| json!({
            "name": band.name, "filter": band.filter.as_ref().map(|filter| filter.name()), "flux": band.flux_column,
            "error": band.error_column, "unit": band.flux_unit, "ab_offset": band.ab_offset, "error_floor": band.error_floor,
        })).collect();
        let text = json!({
            "dry_run": true, "file": name, "format": format, "layout": plan.map.name,
            "survey": plan.map.survey, "columns": plan.matched, "bands": bands, "extinction": plan.extinction,
            "read": report.n_read, "kept": report.n_kept, "rejected": report.n_rejected,
            "missing_rows": report.missing_rows, "counts": report.counts.0, "rejected_rows": rejected,
        });
        writeln!(out, "{text}")?;
    } else {
        writeln!(
            out,
            "{}: {format}, {total} columns{}",
            plain(name),
            announced.map_or(String::new(), |n| format!(", {n} rows"))
        )?;
        print_plan(&mut out, &plan)?;
        print_report(&mut out, &plan, &report)?;
        writeln!(out, "nothing was written (--dry-run)")?;
    }
    if let Some(low) = report.given_up {
        return Err(low.into());
    }
    Ok(if report.interrupted {
        Outcome::Interrupted
    } else if report.n_rejected > 0 || report.missing_rows.is_some() {
        Outcome::SomeRejected
    } else {
        Outcome::Done
    })
}

fn print_plan(out: &mut impl Write, plan: &Plan) -> std::io::Result<()> {
    writeln!(out, "layout {}, into survey {}", shorten(&plan.map.name), shorten(&plan.map.survey))?;
    for (role, column) in &plan.matched {
        writeln!(out, "  {role:16} {}", shorten(column))?;
    }
    writeln!(
        out,
        "  {:8} {:16} {:24} {:24} {:8} {:>9} {:>6} {:>8}",
        "band", "filter", "flux", "error", "unit", "AB offset", "floor", "A/E(B-V)"
    )?;
    for band in &plan.bands {
        let filter = band.filter.as_ref().map_or("-", |filter| filter.name());
        let per_ebv = match band.extinction {
            ExtinctionPlan::Ebv(_, per_ebv) => format!("{per_ebv:.3}"),
            _ => "-".to_owned(),
        };
        writeln!(
            out,
            "  {:8} {filter:16} {:24} {:24} {:8} {:>+9.3} {:>6.3} {per_ebv:>8}",
            shorten(&band.name),
            shorten(&band.flux_column),
            shorten(band.error_column.as_deref().unwrap_or("-")),
            band.flux_unit,
            band.ab_offset,
            band.error_floor,
        )?;
    }
    writeln!(out, "Galactic extinction: {}", plan.extinction)?;
    if !plan.extra.is_empty() {
        let names: Vec<String> = plan.extra.iter().map(|extra| shorten(&extra.name)).collect();
        writeln!(out, "kept beside it ({}): {}", names.len(), names.join(", "))?;
    }
    for cut in &plan.cuts {
        writeln!(out, "cut {}: {}", shorten(&cut.name), plain(&cut.definition.to_string()))?;
    }
    plan.notes.iter().try_for_each(|note| writeln!(out, "note: {}", plain(note)))
}

fn print_report(out: &mut impl Write, plan: &Plan, report: &Report) -> std::io::Result<()> {
    writeln!(out, "{} rows: {} galaxies, {} rejected", report.n_read, report.n_kept, report.n_rejected)?;
    if let Some(missing) = report.missing_rows {
        writeln!(out, "the file is cut short: {missing} rows that it announces are not there")?;
    }
    let range = |range: &Range| match range.n {
        0 => "none".to_owned(),
        n => format!("{n} from {:.5} to {:.5}", range.min, range.max),
    };
    writeln!(out, "  {:16} {}", "redshift", range(&report.redshift))?;
    writeln!(out, "  {:16} {}", "RA (deg)", range(&report.ra_deg))?;
    writeln!(out, "  {:16} {}", "Dec (deg)", range(&report.dec_deg))?;
    for band in &report.bands {
        writeln!(
            out,
            "  {:16} AB mag: {}; S/N: {}",
            shorten(&band.name),
            range(&band.mag),
            range(&band.snr)
        )?;
    }
    for (what, n) in &report.counts.0 {
        writeln!(out, "{n:>10}  {}", plain(what))?;
    }
    for galaxy in report.first.iter().take(3) {
        write!(out, "  row {}: id {}", galaxy.source_row, shorten(&galaxy.object_id))?;
        if let Some(z) = galaxy.redshift {
            write!(out, ", redshift {z:.5}")?;
        }
        for (band, phot) in plan.bands.iter().zip(&galaxy.photometry) {
            match (phot.flux_nmgy, phot.ivar_nmgy) {
                (Some(flux), Some(ivar)) => {
                    write!(out, ", {} {flux:.4} +- {:.4}", band.name, ivar.powf(-0.5))?
                }
                (Some(flux), None) => write!(out, ", {} < {flux:.4}", band.name)?,
                _ => write!(out, ", {} {}", band.name, phot_flag::words(phot.flags).to_lowercase())?,
            }
        }
        writeln!(out, " (nmgy)")?;
    }
    if !report.rejected.is_empty() {
        writeln!(out, "rejected rows (counted from 0):")?;
    }
    for row in &report.rejected {
        print_rejected(out, row.source_row, row.reason, &row.detail, row.object_id.as_deref())?;
    }
    let more = report.n_rejected.saturating_sub(report.rejected.len() as u64);
    if more > 0 {
        writeln!(out, "  and {more} more (--show N lists more)")?;
    }
    Ok(())
}
