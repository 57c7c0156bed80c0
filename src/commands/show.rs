//! `sedflow show`: what the catalog knows of one run, survey, galaxy or product.

mod galaxy;

use std::io::{self, Write};

use anyhow::bail;
use clap::Args;

use super::log::typed;
use super::{Context, Outcome};
use crate::output::{Cell, Format, for_eyes, print_rows};
use crate::store::{Mode, Product, QueryParam, Store, SurveyId, Thing};

#[derive(Debug, Args)]
pub struct ShowArgs {
    /// A galaxy's identifier, a survey, a product's name or hash; or kind:name, such as checkpoint:default,
    /// galaxy:nsa/140, run:3
    thing: String,
    /// Of a galaxy, the posterior set to show [default: the current one]
    #[arg(long)]
    set: Option<String>,
    /// Tables under headings, or one JSON object
    #[arg(long, value_name = "FORMAT", default_value = "table", value_parser = parse_format)]
    format: Format,
}

fn parse_format(text: &str) -> Result<Format, String> {
    match text {
        "table" => Ok(Format::Table),
        "json" => Ok(Format::Json),
        _ => Err("expected table or json".to_owned()),
    }
}

/// A part of the answer: a heading and rows. The text of a cell is kept as it is.
pub struct Sheet {
    pub title: String,
    pub columns: Vec<String>,
    pub rows: Vec<Vec<Value>>,
}

/// An owned cell.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Null,
    Int(i64),
    Real(f64),
    Text(String),
    Bytes(Vec<u8>),
}

impl Value {
    pub fn text(text: impl Into<String>) -> Self {
        Value::Text(text.into())
    }

    fn cell(&self) -> Cell<'_> {
        match self {
            Value::Null => Cell::Null,
            Value::Int(value) => Cell::Int(*value),
            Value::Real(value) => Cell::Real(*value),
            Value::Text(text) => Cell::text(text),
            Value::Bytes(bytes) => Cell::Bytes(bytes),
        }
    }
}

impl Sheet {
    pub fn new(title: &str, columns: &[&str]) -> Self {
        Self {
            title: title.to_owned(),
            columns: columns.iter().map(|&name| name.to_owned()).collect(),
            rows: vec![],
        }
    }

    /// A sheet of names and values.
    fn facts(title: &str, facts: Vec<(&str, Value)>) -> Self {
        let mut sheet = Self::new(title, &["what", "value"]);
        let known = facts.into_iter().filter(|(_, value)| *value != Value::Null);
        sheet.rows = known.map(|(name, value)| vec![Value::text(name), value]).collect();
        sheet
    }
}

pub fn run(args: ShowArgs, context: &Context) -> anyhow::Result<Outcome> {
    let store = context.open(Mode::Read)?;
    let thing = store.find_thing(&args.thing)?;
    if let (Some(set), false) = (&args.set, matches!(thing, Thing::Galaxy { .. })) {
        bail!("--set {set} is for galaxies, and {} is none", thing.handle());
    }
    let sheets = match thing {
        Thing::Run(run) => run_sheets(&store, run)?,
        Thing::Survey { id, name } => survey_sheets(&store, id, &name)?,
        Thing::Galaxy { id, .. } => {
            galaxy::show(&store, id, args.set.as_deref(), args.format)?;
            return Ok(Outcome::Done);
        }
        Thing::Product(product) => product_sheets(&store, &product)?,
    };
    print_sheets(&mut io::stdout().lock(), args.format, &sheets)?;
    Ok(Outcome::Done)
}

/// Prints sheets one below the other, empty ones left out; as JSON, one object with an array per sheet.
pub fn print_sheets(out: &mut impl Write, format: Format, sheets: &[Sheet]) -> io::Result<()> {
    let full = sheets.iter().filter(|sheet| !sheet.rows.is_empty());
    for (i, sheet) in full.enumerate() {
        let columns: Vec<&str> = sheet.columns.iter().map(String::as_str).collect();
        let rows: Vec<Vec<Cell<'_>>> =
            sheet.rows.iter().map(|row| row.iter().map(Value::cell).collect()).collect();
        if format == Format::Json {
            let title = serde_json::Value::from(sheet.title.as_str());
            write!(out, "{}{title}: ", if i == 0 { "{" } else { "," })?;
        } else {
            writeln!(out, "{}{}", if i > 0 { "\n" } else { "" }, for_eyes(sheet.title.as_bytes()))?;
        }
        print_rows(&mut *out, format, &columns, &rows)?;
    }
    if format == Format::Json {
        writeln!(out, "}}")?;
    }
    Ok(())
}

/// The rows of a query of this program, with `:id` bound.
fn sheet_of(store: &Store, title: &str, sql: &str, id: i64) -> anyhow::Result<Sheet> {
    struct Collect(Sheet);
    impl crate::output::RowSink for Collect {
        fn columns(&mut self, names: &[String]) -> io::Result<()> {
            self.0.columns = names.to_vec();
            Ok(())
        }
        fn row(&mut self, cells: &[Cell<'_>]) -> io::Result<()> {
            let value = |cell: &Cell<'_>| match cell {
                Cell::Null => Value::Null,
                Cell::Int(value) => Value::Int(*value),
                Cell::Real(value) => Value::Real(*value),
                Cell::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
                Cell::Bytes(bytes) => Value::Bytes(bytes.to_vec()),
            };
            self.0.rows.push(cells.iter().map(value).collect());
            Ok(())
        }
    }
    let mut collect = Collect(Sheet::new(title, &[]));
    store.query(sql, &[QueryParam { name: "id".to_owned(), value: id.to_string() }], &mut collect)?;
    Ok(collect.0)
}

/// The one row of a query as names and values, large bytes left out.
fn facts_of(store: &Store, title: &str, sql: &str, id: i64) -> anyhow::Result<Sheet> {
    let sheet = sheet_of(store, title, sql, id)?;
    let mut facts = Sheet::new(title, &["what", "value"]);
    for row in sheet.rows {
        for (name, value) in sheet.columns.iter().zip(row) {
            let large = matches!(&value, Value::Bytes(bytes) if bytes.len() > 32);
            if value != Value::Null && !large {
                facts.rows.push(vec![Value::text(name.as_str()), value]);
            }
        }
    }
    Ok(facts)
}

fn run_sheets(store: &Store, id: crate::store::RunId) -> anyhow::Result<Vec<Sheet>> {
    let mut run = store.run(id)?;
    // as the list shows it: interrupted, where its process is gone
    if let Some(listed) = store.runs()?.into_iter().find(|listed| listed.id == id) {
        (run.state, run.elapsed_s) = (listed.state, listed.elapsed_s);
    }
    let text = |text: &str| Value::text(text);
    let optional = |text: &Option<String>| text.as_deref().map_or(Value::Null, Value::text);
    let facts = vec![
        ("command", Value::text(format!("sedflow {}", typed(&run.arguments)))),
        ("state", text(run.state.as_str())),
        ("message", optional(&run.message)),
        ("started", text(&run.started_utc)),
        ("ended", optional(&run.ended_utc)),
        ("seconds", run.elapsed_s.map_or(Value::Null, |s| Value::Real((s * 1000.0).round() / 1000.0))),
        ("seed", run.seed.map_or(Value::Null, |seed| Value::text(seed.to_string()))),
        ("resumes", run.resumes.map_or(Value::Null, |run| Value::text(format!("run:{run}")))),
        ("version", text(&run.program_version)),
        ("commit", text(&run.git_commit)),
        ("host", Value::text(format!("{} {}, {} cores", run.host_os, run.host_arch, run.host_cores))),
        ("process", Value::Int(run.process_id)),
        ("configuration", Value::text(run.config.to_string())),
    ];
    let io_sql = |table: &str| {
        format!(
            "SELECT kind, name, lower(hex(hash)) AS hash, n_bytes AS bytes FROM {table} WHERE run_id = :id ORDER BY position"
        )
    };
    Ok(vec![
        Sheet::facts(&format!("run {id}"), facts),
        sheet_of(store, "read", &io_sql("run_input"), id.0)?,
        sheet_of(store, "made", &io_sql("run_output"), id.0)?,
    ])
}

fn survey_sheets(store: &Store, id: SurveyId, name: &str) -> anyhow::Result<Vec<Sheet>> {
    let facts = "SELECT s.description, s.reference, s.run_id, \
                 (SELECT count(*) FROM galaxy WHERE survey_id = s.survey_id) AS galaxies, \
                 (SELECT count(*) FROM galaxy WHERE survey_id = s.survey_id AND cuts_failed = 0) AS passing_all_cuts \
                 FROM survey s WHERE s.survey_id = :id";
    let bands = "SELECT b.position, b.name AS band, f.name AS filter, f.wave_pivot_aa, b.ucd FROM survey s \
                 JOIN band b USING (band_set_id) LEFT JOIN filter_curve f USING (filter_id) \
                 WHERE s.survey_id = :id ORDER BY b.position";
    let cuts = "SELECT c.bit, c.name, c.description, (SELECT count(*) FROM galaxy g WHERE g.survey_id = c.survey_id \
                AND (g.cuts_failed >> c.bit) & 1) AS failed FROM cut_rule c WHERE c.survey_id = :id ORDER BY c.bit";
    let ingests = "SELECT ingest_id, file_name AS file, layout, extinction, n_read, n_kept, n_rejected, complete \
                   FROM ingest WHERE survey_id = :id ORDER BY ingest_id";
    Ok(vec![
        facts_of(store, &format!("survey {name}"), facts, id.0)?,
        sheet_of(store, "bands", bands, id.0)?,
        sheet_of(store, "cuts", cuts, id.0)?,
        sheet_of(store, "ingests", ingests, id.0)?,
    ])
}

fn product_sheets(store: &Store, product: &Product) -> anyhow::Result<Vec<Sheet>> {
    let table = match product.kind.as_str() {
        "filter" => "filter_curve".to_owned(),
        kind => kind.replace('-', "_"),
    };
    let id = format!("{}_id", product.kind.as_str().replace('-', "_"));
    let mut sheets = vec![facts_of(
        store,
        &product.handle(),
        &format!("SELECT * FROM {table} WHERE {id} = :id"),
        product.id,
    )?];
    let (title, sql) = match table.as_str() {
        "band_set" => (
            "bands",
            "SELECT b.position, b.name AS band, f.name AS filter, f.wave_pivot_aa FROM band b \
                                 LEFT JOIN filter_curve f USING (filter_id) WHERE b.band_set_id = :id ORDER BY 1",
        ),
        "ingest" => (
            "counts",
            "SELECT 'rejected: ' || reason AS item, count(*) AS n FROM ingest_reject \
                                WHERE ingest_id = :id GROUP BY reason \
                                UNION ALL SELECT item, n FROM ingest_count WHERE ingest_id = :id",
        ),
        "prior" => (
            "parameters",
            "SELECT parameter, kind, lower, upper, mean, sd, alpha, value FROM prior_parameter \
                                   WHERE prior_id = :id ORDER BY position",
        ),
        "noise_model" => (
            "bins",
            "SELECT filter_name AS filter, mag, sigma_mag, sigma_mag_sd, n_galaxies FROM noise_bin \
                                   WHERE noise_model_id = :id",
        ),
        "training_set" => (
            "chunks",
            "SELECT count(*) AS chunks, sum(n_rows) AS rows, sum(length(data)) AS bytes \
                                      FROM training_chunk WHERE training_set_id = :id HAVING count(*)",
        ),
        "training" => (
            "history",
            "SELECT epoch, n_examples, train_ln_prob, valid_ln_prob, learning_rate, elapsed_s, \
                                   examples_per_s, note FROM training_history WHERE training_id = :id ORDER BY epoch",
        ),
        "validation" => (
            "metrics",
            "SELECT metric, parameter, subset, value, low, high, p_value FROM validation_metric \
                                     WHERE validation_id = :id",
        ),
        "posterior_set" => (
            "answers",
            "SELECT method, reason, count(*) AS galaxies FROM posterior \
                                        WHERE posterior_set_id = :id GROUP BY method, reason ORDER BY 3 DESC",
        ),
        _ => return Ok(sheets),
    };
    sheets.push(sheet_of(store, title, sql, product.id)?);
    Ok(sheets)
}
