//! Galaxies from a table: which column is which parameter, and what is wrong with a row.

use anyhow::{anyhow, bail};
use thiserror::Error;

use crate::sed::{Galaxy, PARAM_NAMES, ParamError, SedError};
use crate::tables::{Block, ColumnInfo, Values, shorten};

/// Columns of the parameters in a table.
#[derive(Debug, Clone)]
pub struct Columns {
    /// In the order of [`PARAM_NAMES`].
    params: [Parameter; PARAM_NAMES.len()],
    redshift: Parameter,
    birth_cloud_age: Option<Parameter>,
}

#[derive(Debug, Clone)]
struct Parameter {
    column: usize,
    name: String,
    /// `gamma1` rather than `log_gamma1`.
    is_linear: bool,
}

/// A galaxy of the input.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct InputGalaxy {
    pub galaxy: Galaxy,
    pub zred: f64,
    /// None where the table does not say.
    pub birth_cloud_age_gyr: Option<f64>,
}

/// Why a row was rejected.
#[derive(Debug, Error, PartialEq)]
pub enum RowProblem {
    #[error("column {column}: found `{found}`, expected a number")]
    NotANumber { column: String, found: String },
    #[error("column {column}: found {found}, expected {expected}")]
    Value { column: String, found: f64, expected: String },
    #[error("{0}")]
    Model(SedError),
}

impl Columns {
    /// Finds the parameters among a table's columns; errors with all that are missing.
    pub fn find(columns: &[ColumnInfo]) -> anyhow::Result<Self> {
        let find = |name: &str| columns.iter().position(|column| column.name == name);
        let mut missing = Vec::new();
        let mut parameter = |name: &'static str| {
            let linear = name.strip_prefix("log_").filter(|linear| linear.starts_with("gamma"));
            let found = find(name)
                .map(|column| (column, name, false))
                .or_else(|| linear.and_then(|linear| Some((find(linear)?, linear, true))));
            let (column, name, is_linear) = found.unwrap_or_else(|| {
                missing.push(linear.map_or(name.to_owned(), |linear| format!("{name} (or {linear})")));
                (0, name, false)
            });
            Parameter { column, name: name.to_owned(), is_linear }
        };
        let params = PARAM_NAMES.map(&mut parameter);
        let redshift = parameter("redshift");
        if !missing.is_empty() {
            let there: Vec<String> = columns.iter().take(40).map(|column| shorten(&column.name)).collect();
            bail!("no column {}; the table has {}", missing.join(", "), there.join(", "));
        }
        let name = "birth_cloud_age_gyr";
        let birth_cloud_age =
            find(name).map(|column| Parameter { column, name: name.to_owned(), is_linear: false });
        let used = params.iter().chain([&redshift]).chain(&birth_cloud_age);
        if let Some(vector) = used.map(|p| &columns[p.column]).find(|column| column.len != 1) {
            bail!("column {} has {} values a row, expected 1", shorten(&vector.name), vector.len);
        }
        Ok(Self { params, redshift, birth_cloud_age })
    }

    /// The galaxy of a block's row, checked.
    pub fn galaxy(&self, block: &Block, row: usize) -> Result<InputGalaxy, RowProblem> {
        let mut theta = [0.0; PARAM_NAMES.len()];
        for (value, parameter) in theta.iter_mut().zip(&self.params) {
            *value = parameter.value(block, row)?;
        }
        let mut galaxy = Galaxy::from_theta(&theta);
        for (i, parameter) in self.params[7..9].iter().enumerate() {
            if parameter.is_linear {
                galaxy.gamma[i] = theta[7 + i];
            }
        }
        let zred = self.redshift.value(block, row)?;
        galaxy.check().map_err(|ParamError { name, found, expected }| {
            // A gamma is checked as such; the message names what the table has.
            let column = self.params.iter().find(|p| p.name.strip_prefix("log_") == Some(name));
            let found = if column.is_some() { found.log10() } else { found };
            let column = column.map_or(name.to_owned(), |p| p.name.clone());
            RowProblem::Value { column, found, expected: expected.to_owned() }
        })?;
        let birth_cloud_age_gyr = match &self.birth_cloud_age {
            None => None,
            Some(parameter) => Some(parameter.value(block, row)?),
        };
        Ok(InputGalaxy { galaxy, zred, birth_cloud_age_gyr })
    }
}

impl Parameter {
    fn value(&self, block: &Block, row: usize) -> Result<f64, RowProblem> {
        let column = &block.columns[self.column];
        match column.number(row) {
            Ok(Some(value)) if value.is_finite() => Ok(value),
            Ok(Some(value)) => Err(self.not_a_number(value.to_string())),
            Ok(None) => Err(self.not_a_number(match &column.values {
                Values::Text(texts) => shorten(texts.get(row)),
                _ => "nothing".to_owned(),
            })),
            Err(error) => Err(self.not_a_number(shorten(&error.found))),
        }
    }

    fn not_a_number(&self, found: String) -> RowProblem {
        RowProblem::NotANumber { column: self.name.clone(), found }
    }
}

/// The galaxy in row `wanted` (from 1) of a table.
pub fn galaxy_of_row(table: &mut dyn crate::tables::Table, wanted: u64) -> anyhow::Result<InputGalaxy> {
    let columns = Columns::find(table.columns())?;
    while let Some(block) = table.next_block(4096)? {
        if let Some(bad) = block.bad.iter().find(|bad| bad.row == wanted) {
            bail!("row {wanted}: {}", bad.reason);
        }
        if let Some(row) = block.row_numbers.iter().position(|&number| number == wanted) {
            return columns.galaxy(&block, row).map_err(|problem| anyhow!("row {wanted}: {problem}"));
        }
    }
    bail!("the table has no row {wanted}")
}
