//! FITS binary tables: TUNIT, TUCD, TCOMM, TNULL, checksums; draws as vector columns.

use std::path::Path;

use super::fields::{Field, Kind};
use super::names::{Alphabet, fit, mark_encoded, percent_encode};
use super::target::{at, check_free};
use super::{ExchangeError, Job, Rows, Values};
use crate::fits::{Card, Cells, ColumnDef, FitsError, FitsWriter, Kind as FitsKind, Value as HeaderValue};

/// Columns that the standard allows.
const MOST_COLUMNS: usize = 999;
/// Stands for a missing whole number.
const NULL: i64 = i64::MIN;

/// Maps names and texts to what FITS can hold. Returns the names changed.
pub fn adapt(fields: &mut [Field]) -> Vec<(String, String)> {
    mark_encoded(fields, true);
    let plain = |text: &str| -> String {
        text.chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' }).collect()
    };
    for field in fields.iter_mut() {
        let words = std::mem::take(&mut field.description);
        field.description = plain(&words);
        if words != field.description {
            field.notes.words = Some(words);
        }
        let unit = field.unit.take();
        field.unit = unit.as_deref().map(plain);
        if unit != field.unit {
            field.notes.unit = unit;
        }
        field.unit_in_words = field.unit_in_words.as_deref().map(plain);
        field.ucd = field.ucd.as_deref().map(plain);
    }
    fit(fields, Alphabet::Ascii)
}

/// Writes one table; the fields are [adapted](adapt).
pub fn write(job: Job<'_>, rows: Rows<'_>) -> Result<(), ExchangeError> {
    let Job { path, overwrite, fields, meta } = job;
    check_free(path, overwrite)?;
    if fields.len() > MOST_COLUMNS {
        let found = fields.len();
        return Err(ExchangeError::TooManyColumns { format: "FITS", limit: MOST_COLUMNS, found });
    }
    let named = |error| with_path(path, error);
    let pairs = meta.pairs.iter();
    let cards: Vec<Card> = pairs
        .map(|(key, value, comment)| Card::new(key, HeaderValue::Text(percent_encode(value)), comment))
        .collect();
    let mut file = FitsWriter::create(path, &cards).map_err(named)?;
    let mut table = file.table(&meta.name, fields.iter().map(column).collect(), &[]).map_err(named)?;
    rows(&mut |batch| {
        let held: Vec<Held> =
            fields.iter().zip(&batch.columns).map(|(field, values)| held(field, values)).collect();
        let cells: Vec<Cells<'_>> = held.iter().map(Held::cells).collect();
        table.write(batch.rows, &cells).map_err(named)
    })?;
    table.finish().map_err(named)?;
    file.finish().map_err(named)
}

pub(super) fn with_path(path: &Path, error: FitsError) -> ExchangeError {
    match error {
        FitsError::Io(source) => at(path)(source),
        other => other.into(),
    }
}

fn column(field: &Field) -> ColumnDef {
    let mut column = match field.kind {
        Kind::Int => ColumnDef::new(&field.name, FitsKind::I64),
        Kind::Float => ColumnDef::new(&field.name, FitsKind::F64),
        Kind::Text { bytes, .. } => ColumnDef::text(&field.name, bytes.max(1)),
        Kind::List { most, .. } => {
            ColumnDef::new(&field.name, FitsKind::F32).vector(most.max(1), &[most.max(1)])
        }
    };
    if field.kind == Kind::Int && field.nullable {
        column = column.null(NULL);
    }
    column
        .unit(field.unit.as_deref().unwrap_or(""))
        .ucd(field.ucd.as_deref().unwrap_or(""))
        .comment(&field.full_description())
}

/// A column in the form of the writer.
enum Held<'a> {
    Int(&'a [Option<i64>]),
    Float(&'a [f64]),
    Text(Vec<String>),
    Same(&'a [f32]),
    List(Vec<f32>),
}

impl Held<'_> {
    fn cells(&self) -> Cells<'_> {
        match self {
            Held::Int(values) => Cells::Nullable(values),
            Held::Float(values) => Cells::F64(values),
            Held::Text(values) => Cells::Text(values),
            Held::Same(values) => Cells::F32(values),
            Held::List(values) => Cells::F32(values),
        }
    }
}

fn held<'a>(field: &Field, values: &'a Values) -> Held<'a> {
    match (values, field.kind) {
        (Values::Int(values), _) => Held::Int(values),
        (Values::Float(values), _) => Held::Float(values),
        (Values::Text(values), _) => {
            let text = |text: &Option<String>| match text {
                None => String::new(),
                Some(text) if field.notes.encoded => percent_encode(text),
                Some(text) => text.clone(),
            };
            Held::Text(values.iter().map(text).collect())
        }
        (Values::Lists { values, .. }, Kind::List { same: true, most }) if most > 0 => Held::Same(values),
        (Values::Lists { lengths, values }, Kind::List { most, .. }) => {
            // Rows of fewer draws are filled up.
            let most = most.max(1);
            let mut filled = Vec::with_capacity(lengths.len() * most);
            let mut start = 0;
            for (row, length) in lengths.iter().enumerate() {
                let end = start + length.unwrap_or(0);
                filled.extend_from_slice(&values[start..end]);
                filled.resize((row + 1) * most, f32::NAN);
                start = end;
            }
            Held::List(filled)
        }
        (Values::Lists { values, .. }, _) => Held::Same(values),
    }
}
