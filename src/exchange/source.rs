//! Rows of the catalog as batches: a first pass learns what texts and lists there are, a second one streams.

use std::sync::Arc;

use rayon::prelude::*;

use super::columns::{Column, Origin, Scale};
use super::fields::{Field, Kind};
use super::{Batch, ExchangeError, Values};
use crate::expr::Bound;
use crate::find::Remake;
use crate::progress::{Event, Progress};
use crate::samples::Samples;
use crate::store::{Candidate, ColumnValue, Readers, Selection, Store};

/// Bytes of the values of a batch, about.
const BATCH_BYTES: usize = 24 << 20;
const MOST_ROWS: usize = 32_768;

/// Galaxies of a catalog with some columns.
#[derive(Clone)]
pub struct Source<'a> {
    store: &'a Store,
    selection: Selection<'a>,
    /// A condition more.
    cells: Vec<Bound>,
    columns: Vec<Column>,
    /// Of each column of the catalog, where its value stands in [`Candidate::values`].
    places: Vec<Option<usize>>,
    names: Vec<String>,
    /// Parameters whose draws are columns.
    parameters: Vec<String>,
    remake: Option<Remake<'a>>,
    readers: Arc<Readers>,
    n_rows: u64,
    n_with_draws: u64,
}

/// What the first pass looks at in a text, an extra column or the draws.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    bytes: usize,
    beyond_ascii: bool,
    blanks: bool,
    wide: bool,
    missing: u64,
    texts: u64,
    reals: u64,
    whole: u64,
}

impl<'a> Source<'a> {
    /// Looks through the selection once. `remake` gives draws that only a recipe is kept of.
    ///
    /// Errors with [`ExchangeError::Empty`] where nothing is selected.
    pub fn new(
        store: &'a Store,
        selection: Selection<'a>,
        columns: Vec<Column>,
        remake: Option<Remake<'a>>,
    ) -> Result<Self, ExchangeError> {
        let mut source = Self {
            store,
            selection,
            columns,
            places: Vec::new(),
            names: Vec::new(),
            parameters: Vec::new(),
            remake,
            cells: Vec::new(),
            readers: Arc::new(store.readers()),
            n_rows: 0,
            n_with_draws: 0,
        };
        source = source.placed();
        source.look()?;
        Ok(source)
    }

    /// Finds out where each column's values come from.
    fn placed(mut self) -> Self {
        for column in &self.columns {
            let place = match &column.origin {
                Origin::Catalog { name, .. } | Origin::Extra { name } => {
                    self.names.push(name.clone());
                    Some(self.names.len() - 1)
                }
                Origin::Draws { name } => {
                    self.parameters.push(name.clone());
                    None
                }
            };
            self.places.push(place);
        }
        self
    }

    pub fn n_rows(&self) -> u64 {
        self.n_rows
    }

    /// Galaxies that have draws, where draws are columns.
    pub fn n_with_draws(&self) -> u64 {
        self.n_with_draws
    }

    pub fn fields(&self) -> Vec<Field> {
        self.columns.iter().map(|column| column.field.clone()).collect()
    }

    /// The galaxies of the selection in a range of cells of order 29.
    pub fn within(&self, (first, last): (u64, u64)) -> Source<'a> {
        // Whole numbers of that size have no place among the values that are bound.
        let sql =
            format!("galaxy_id IN (SELECT galaxy_id FROM galaxy WHERE healpix29 BETWEEN {first} AND {last})");
        Source { cells: vec![Bound { sql, values: Vec::new() }], ..self.clone() }
    }

    /// One column alone, which must be of the catalog.
    pub fn column(&self, column: usize) -> Source<'a> {
        let chosen = self.columns.get(column).cloned().into_iter().collect();
        Source {
            places: Vec::new(),
            names: Vec::new(),
            parameters: Vec::new(),
            columns: chosen,
            ..self.clone()
        }
        .placed()
    }

    fn look(&mut self) -> Result<(), ExchangeError> {
        let looked_at: Vec<usize> = (0..self.columns.len())
            .filter(|&i| {
                let column = &self.columns[i];
                let looked_at = match column.field.kind {
                    Kind::Text { .. } => true,
                    Kind::Int => column.field.nullable,
                    Kind::Float | Kind::List { .. } => false,
                };
                looked_at || matches!(column.origin, Origin::Extra { .. })
            })
            .collect();
        let names: Vec<String> =
            looked_at.iter().filter_map(|&i| self.places[i].map(|place| self.names[place].clone())).collect();
        let mut seen = vec![Seen::default(); names.len()];
        let (mut n, mut n_with_draws, mut most, mut least) = (0_u64, 0, 0, u64::MAX);
        let draws = !self.parameters.is_empty();
        let remakes = self.remake.is_some();
        self.store.candidates(&self.selection, &names, &[], &mut |galaxy| {
            n += 1;
            if draws {
                let there = galaxy.posterior.as_ref().filter(|p| p.stored || p.recipe && remakes);
                let n_draws = there.map_or(0, |posterior| posterior.n_draws);
                n_with_draws += u64::from(n_draws > 0);
                most = most.max(n_draws);
                least = least.min(n_draws);
            }
            for (seen, value) in seen.iter_mut().zip(&galaxy.values) {
                match value {
                    ColumnValue::Null => seen.missing += 1,
                    ColumnValue::Integer(value) => {
                        seen.whole += 1;
                        seen.wide |= value.unsigned_abs() > 1 << 53;
                    }
                    ColumnValue::Number(_) => seen.reals += 1,
                    ColumnValue::Text(text) => {
                        seen.texts += 1;
                        seen.bytes = seen.bytes.max(text.len());
                        seen.beyond_ascii |= !text.bytes().all(|b| (0x20..0x7f).contains(&b));
                        seen.blanks |= text.trim() != text;
                    }
                }
            }
            Ok::<_, ExchangeError>(true)
        })?;
        if n == 0 {
            return Err(ExchangeError::Empty);
        }
        (self.n_rows, self.n_with_draws) = (n, n_with_draws);
        for (seen, i) in seen.into_iter().zip(looked_at) {
            let column = &mut self.columns[i];
            let plain = !seen.beyond_ascii;
            let text = |bytes| Kind::Text { bytes, plain, blanks: seen.blanks };
            (column.field.gaps, column.field.wide) = (seen.missing > 0, seen.wide);
            column.field.kind = match &column.origin {
                // Numbers among texts are written as texts; at most 24 characters.
                Origin::Extra { .. } if seen.texts > 0 && seen.reals + seen.whole > 0 => {
                    text(seen.bytes.max(24))
                }
                Origin::Extra { .. } if seen.texts > 0 => text(seen.bytes),
                Origin::Extra { .. } if seen.whole > 0 && seen.reals == 0 => Kind::Int,
                Origin::Extra { .. } => Kind::Float,
                _ if column.field.kind == Kind::Int => Kind::Int,
                _ => text(seen.bytes),
            };
        }
        let kind = Kind::List { most: most as usize, same: most == least };
        for column in self.columns.iter_mut().filter(|c| matches!(c.origin, Origin::Draws { .. })) {
            column.field.kind = kind;
        }
        Ok(())
    }

    /// Rows that make a batch of moderate size.
    pub fn batch_rows(&self) -> usize {
        let bytes = |column: &Column| match column.field.kind {
            Kind::Int | Kind::Float => 16,
            Kind::Text { bytes, .. } => 24 + bytes,
            Kind::List { most, .. } => 4 * most,
        };
        let row: usize = self.columns.iter().map(bytes).sum();
        (BATCH_BYTES / row.max(1)).clamp(1, MOST_ROWS)
    }

    /// Hands all rows to `take` in batches, by ascending number of the galaxy. Draws are unpacked on all cores.
    pub fn stream(
        &self,
        progress: &dyn Progress,
        take: &mut dyn FnMut(&Batch) -> Result<(), ExchangeError>,
    ) -> Result<(), ExchangeError> {
        self.candidates(progress, self.batch_rows(), &mut |galaxies| take(&self.batch(galaxies)?))
    }

    /// The same in batches of exactly `rows` galaxies, the last apart.
    pub fn stream_by(
        &self,
        rows: usize,
        progress: &dyn Progress,
        take: &mut dyn FnMut(&Batch) -> Result<(), ExchangeError>,
    ) -> Result<(), ExchangeError> {
        self.candidates(progress, rows.max(1), &mut |galaxies| take(&self.batch(galaxies)?))
    }

    fn candidates(
        &self,
        progress: &dyn Progress,
        rows: usize,
        take: &mut dyn FnMut(&[Candidate]) -> Result<(), ExchangeError>,
    ) -> Result<(), ExchangeError> {
        progress.report(Event::Started {
            what: "exporting".to_owned(),
            total: Some(self.n_rows),
            unit: "galaxies",
        });
        let mut waiting: Vec<Candidate> = Vec::new();
        let mut done = 0;
        let mut settle = |waiting: &mut Vec<Candidate>| {
            if progress.cancelled() {
                return Err(ExchangeError::Stopped);
            }
            take(waiting)?;
            done += waiting.len() as u64;
            waiting.clear();
            progress.report(Event::Advanced { done });
            Ok(())
        };
        let selection = Selection { bound: &self.cells, ..self.selection };
        let mut go = || {
            self.store.candidates(&selection, &self.names, &[], &mut |galaxy| {
                waiting.push(galaxy);
                if waiting.len() == rows {
                    settle(&mut waiting)?;
                }
                Ok::<_, ExchangeError>(true)
            })?;
            if waiting.is_empty() { Ok(()) } else { settle(&mut waiting) }
        };
        let result = go();
        progress.report(Event::Finished);
        result
    }

    fn batch(&self, galaxies: &[Candidate]) -> Result<Batch, ExchangeError> {
        let samples = self.samples(galaxies)?;
        let places = &self.places;
        let column = |(i, column): (usize, &Column)| match (&column.origin, places[i]) {
            (Origin::Draws { name }, _) => lists(name, &samples),
            (Origin::Catalog { scale, .. }, Some(place)) => {
                scalars(galaxies, place, column.field.kind, *scale)
            }
            (_, Some(place)) => scalars(galaxies, place, column.field.kind, Scale::One),
            (_, None) => Values::of(column.field.kind),
        };
        let columns: Vec<Values> = self.columns.par_iter().enumerate().map(column).collect();
        Ok(Batch { rows: galaxies.len(), columns })
    }

    fn samples(&self, galaxies: &[Candidate]) -> Result<Vec<Option<Samples>>, ExchangeError> {
        if self.parameters.is_empty() {
            return Ok(Vec::new());
        }
        let names: Vec<&str> = self.parameters.iter().map(String::as_str).collect();
        let (readers, remake) = (&self.readers, self.remake);
        let read = |galaxy: &Candidate| {
            let Some(posterior) = &galaxy.posterior else { return Ok(None) };
            if posterior.stored {
                return readers.with(|store| Ok(store.samples(posterior.id, Some(&names))?));
            }
            let Some(remake) = remake.filter(|_| posterior.recipe) else { return Ok(None) };
            readers.with(|store| {
                remake(store, galaxy)
                    .map_err(|source| ExchangeError::Remake { galaxy: galaxy.galaxy, source })
            })
        };
        galaxies.par_iter().map(read).collect()
    }
}

fn lists(name: &str, samples: &[Option<Samples>]) -> Values {
    let (mut lengths, mut values) = (Vec::with_capacity(samples.len()), Vec::new());
    for samples in samples {
        let Some(samples) = samples else {
            lengths.push(None);
            continue;
        };
        let column = samples.position(name).map(|place| samples.column(place));
        match column {
            Some(column) => values.extend_from_slice(column),
            // Draws without weights weigh the same.
            None if name.contains("weight") => values.resize(values.len() + samples.n(), 1.0),
            None => values.resize(values.len() + samples.n(), f32::NAN),
        }
        lengths.push(Some(samples.n()));
    }
    Values::Lists { lengths, values }
}

fn scalars(galaxies: &[Candidate], place: usize, kind: Kind, scale: Scale) -> Values {
    let values = galaxies.iter().map(|galaxy| galaxy.values.get(place).unwrap_or(&ColumnValue::Null));
    match kind {
        Kind::Int => Values::Int(
            values
                .map(|value| match value {
                    ColumnValue::Integer(value) => Some(*value),
                    _ => None,
                })
                .collect(),
        ),
        Kind::Float | Kind::List { .. } => Values::Float(
            values
                .map(|value| match value {
                    ColumnValue::Integer(value) => *value as f64,
                    ColumnValue::Number(value) => scale.to(*value),
                    ColumnValue::Text(_) | ColumnValue::Null => f64::NAN,
                })
                .collect(),
        ),
        Kind::Text { .. } => Values::Text(
            values
                .map(|value| match value {
                    ColumnValue::Text(text) => Some(text.clone()),
                    ColumnValue::Integer(value) => Some(value.to_string()),
                    ColumnValue::Number(value) => Some(format!("{value:?}")),
                    ColumnValue::Null => None,
                })
                .collect(),
        ),
    }
}
