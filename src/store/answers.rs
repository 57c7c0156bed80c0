//! What it takes to answer questions about posteriors: galaxies with their summaries, and the draws of some.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use rusqlite::types::ValueRef;
use rusqlite::{MAIN_DB, OptionalExtension, Row, params_from_iter};

use super::error::StoreError;
use super::ids::{GalaxyId, PosteriorId};
use super::posteriors::Method;

use super::select::{Selection, quoted};
use super::{Mode, Store};
use crate::codec::{CODEC, HEADER_PREFIX, Header, header_len};
use crate::expr::{Bound, Expr, ExprError};
use crate::samples::Samples;

/// The value of a column, kept after its row is gone.
#[derive(Debug, Clone, PartialEq)]
pub enum ColumnValue {
    Null,
    Integer(i64),
    Number(f64),
    Text(String),
}

/// Mean, standard deviation and the quantiles at 2.5, 16, 50, 84 and 97.5 % of one parameter; NaN where not computed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outline {
    pub mean: f64,
    pub sd: f64,
    pub quantiles: [f64; 5],
}

/// A galaxy that may be an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    pub galaxy: GalaxyId,
    /// Its posterior, unless the set has none of it.
    pub posterior: Option<CandidatePosterior>,
    /// Of the columns asked for.
    pub values: Vec<ColumnValue>,
    /// Of the parameters asked for.
    pub outlines: Vec<Outline>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct CandidatePosterior {
    pub id: PosteriorId,
    pub method: Method,
    pub n_draws: u64,
    pub codec: Option<String>,
    /// Largest KS distance of a stored column from the draws that the summaries are of.
    pub codec_ks: Option<f64>,
    /// Whether the draws are in the catalog.
    pub stored: bool,
    /// Whether a recipe is, from which they can be made again.
    pub recipe: bool,
}

/// Connections that read while others do: each thread takes a free one, or opens one more.
pub struct Readers {
    path: PathBuf,
    free: Mutex<Vec<Store>>,
}

impl Readers {
    pub fn with<T, E: From<StoreError>>(&self, work: impl FnOnce(&Store) -> Result<T, E>) -> Result<T, E> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let store = match free {
            Some(store) => store,
            None => Store::open(&self.path, Mode::Read)?,
        };
        let result = work(&store);
        self.free.lock().unwrap_or_else(PoisonError::into_inner).push(store);
        result
    }
}

impl Store {
    pub fn readers(&self) -> Readers {
        Readers { path: self.path.clone(), free: Mutex::default() }
    }

    /// A condition on columns alone, for [`Selection::bound`].
    ///
    /// Errors, at the character, for what is no column of [`Store::galaxy_columns`].
    pub fn column_condition(&self, condition: &Expr) -> Result<Result<Bound, ExprError>, StoreError> {
        let known = self.galaxy_columns()?;
        let column = |name: &crate::expr::Name| {
            let found = known.iter().find(|(known, _)| known.eq_ignore_ascii_case(&name.name));
            found.filter(|_| name.element.is_none()).map(|(known, _)| quoted(known))
        };
        Ok(condition.to_sql(&column))
    }

    /// Hands the selected galaxies, by ascending number, to `take` until that says `false`.
    ///
    /// `columns` are of [`Store::galaxy_columns`], `parameters` of [`super::SUMMARY_PARAMETERS`].
    pub fn candidates<E: From<StoreError>>(
        &self,
        selection: &Selection<'_>,
        columns: &[String],
        parameters: &[&str],
        take: &mut dyn FnMut(Candidate) -> Result<bool, E>,
    ) -> Result<(), E> {
        let bound = self.selection_sql(selection, &outputs(columns, parameters))?;
        let mut statement = self.conn.prepare(&bound.sql).map_err(StoreError::from)?;
        let mut rows = statement.query(params_from_iter(bound.values)).map_err(StoreError::from)?;
        while let Some(row) = rows.next().map_err(StoreError::from)? {
            let candidate = read_candidate(row, columns.len(), parameters.len()).map_err(StoreError::from)?;
            if !take(candidate)? {
                break;
            }
        }
        Ok(())
    }

    /// The draws of a posterior as they are stored; `None` where they are not.
    ///
    /// With `names`, the bytes of those columns (and of the weights) alone are read and unpacked, and no others
    /// can be. Errors name the galaxy.
    pub fn samples(&self, id: PosteriorId, names: Option<&[&str]>) -> Result<Option<Samples>, StoreError> {
        let sql = "SELECT samples_hash IS NOT NULL, codec, posterior_set_id, galaxy_id FROM posterior \
                   WHERE posterior_id = ?1";
        let found = self.conn.prepare_cached(sql)?.query_row([id], |row| {
            Ok((row.get::<_, bool>(0)?, row.get::<_, Option<String>>(1)?, row.get(2)?, row.get(3)?))
        });
        let Some((true, codec, set, galaxy)) = found.optional()? else { return Ok(None) };
        let damaged = |source| self.damaged_draws(set, galaxy, source);
        let blob = self.conn.blob_open(MAIN_DB, "posterior", "samples", id.0, true)?;
        let mut bytes = vec![0; blob.len()];
        let names = names.filter(|_| codec.as_deref() == Some(CODEC) && blob.len() >= HEADER_PREFIX);
        let Some(names) = names else {
            blob.read_at_exact(&mut bytes, 0)?;
            return Samples::new(bytes).map(Some).map_err(damaged);
        };
        blob.read_at_exact(&mut bytes[..HEADER_PREFIX], 0)?;
        let length = header_len(&bytes).map_err(damaged)?.min(bytes.len());
        blob.read_at_exact(&mut bytes[HEADER_PREFIX..length], HEADER_PREFIX)?;
        let header = Header::parse(&bytes).map_err(damaged)?;
        let wanted = names.iter().filter_map(|name| header.position(name).ok()).chain(header.weight());
        let wanted: Vec<usize> = wanted.collect();
        for column in header.needed(&wanted) {
            let range = header.columns[column].range();
            blob.read_at_exact(&mut bytes[range.clone()], range.start)?;
        }
        let mut samples = Samples::packed(bytes, header);
        samples.load(&wanted).map_err(damaged)?;
        Ok(Some(samples))
    }

    /// How SQLite would go about a selection, and the SQL with its values.
    pub fn plan(
        &self,
        selection: &Selection<'_>,
        columns: &[String],
        parameters: &[&str],
    ) -> Result<Vec<String>, StoreError> {
        let bound = self.selection_sql(selection, &outputs(columns, parameters))?;
        let mut statement = self.conn.prepare(&format!("EXPLAIN QUERY PLAN {}", bound.sql))?;
        let steps = statement.query_map(params_from_iter(bound.values), |row| row.get(3))?;
        Ok(steps.collect::<rusqlite::Result<_>>()?)
    }
}

fn outputs(columns: &[String], parameters: &[&str]) -> String {
    let mut outputs = String::from(
        "galaxy_id, \"posterior.id\", method, n_draws, \"posterior.codec\", \"posterior.codec_ks\", \"posterior.stored\", \"posterior.recipe\"",
    );
    for name in columns {
        let _ = write!(outputs, ", {}", quoted(name));
    }
    for parameter in parameters {
        for suffix in ["mean", "std", "q025", "q16", "q50", "q84", "q975"] {
            let _ = write!(outputs, ", {}", quoted(&format!("{parameter}_{suffix}")));
        }
    }
    outputs
}

const FIXED_OUTPUTS: usize = 8;

fn read_candidate(row: &Row<'_>, n_columns: usize, n_parameters: usize) -> rusqlite::Result<Candidate> {
    let method: Option<String> = row.get(2)?;
    let posterior = match (row.get::<_, Option<PosteriorId>>(1)?, method.as_deref().and_then(Method::parse)) {
        (Some(id), Some(method)) => Some(CandidatePosterior {
            id,
            method,
            n_draws: row.get::<_, i64>(3)? as u64,
            codec: row.get(4)?,
            codec_ks: row.get(5)?,
            stored: row.get(6)?,
            recipe: row.get(7)?,
        }),
        _ => None,
    };
    let values = (FIXED_OUTPUTS..FIXED_OUTPUTS + n_columns)
        .map(|i| {
            Ok(match row.get_ref(i)? {
                ValueRef::Integer(value) => ColumnValue::Integer(value),
                ValueRef::Real(value) => ColumnValue::Number(value),
                ValueRef::Text(text) => ColumnValue::Text(String::from_utf8_lossy(text).into_owned()),
                ValueRef::Null | ValueRef::Blob(_) => ColumnValue::Null,
            })
        })
        .collect::<rusqlite::Result<_>>()?;
    let outlines = (0..n_parameters)
        .map(|parameter| read_outline(row, FIXED_OUTPUTS + n_columns + 7 * parameter))
        .collect::<rusqlite::Result<_>>()?;
    Ok(Candidate { galaxy: row.get(0)?, posterior, values, outlines })
}

/// Mean, standard deviation and five quantiles from a column on.
pub(super) fn read_outline(row: &Row<'_>, first: usize) -> rusqlite::Result<Outline> {
    let number = |i| Ok::<_, rusqlite::Error>(row.get::<_, Option<f64>>(i)?.unwrap_or(f64::NAN));
    let mut quantiles = [f64::NAN; 5];
    for (i, quantile) in quantiles.iter_mut().enumerate() {
        *quantile = number(first + 2 + i)?;
    }
    Ok(Outline { mean: number(first)?, sd: number(first + 1)?, quantiles })
}
