//! What exports say about columns beside the dictionary: extra columns, extinction, cuts.

use serde_json::Value;

use super::catalog::ExtraColumn;
use super::error::StoreError;
use super::models::parse_json;
use super::{CutSpec, Store};

/// A cut of a survey, as the catalog has it.
#[derive(Debug, Clone, PartialEq)]
pub struct KnownCut {
    pub survey: String,
    pub bit: u32,
    pub name: String,
    pub definition: Value,
    pub description: String,
}

impl KnownCut {
    pub fn spec(&self) -> CutSpec<'_> {
        CutSpec { name: &self.name, definition: &self.definition, description: &self.description }
    }
}

impl Store {
    /// Extra columns of all ingests; of several with one name, the first.
    pub fn extra_columns(&self) -> Result<Vec<ExtraColumn>, StoreError> {
        let sql = "SELECT name, unit, ucd, description FROM extra_column ORDER BY ingest_id, position";
        let mut statement = self.conn.prepare_cached(sql)?;
        let rows = statement.query_map([], |row| {
            Ok(ExtraColumn {
                name: row.get(0)?,
                unit: row.get(1)?,
                ucd: row.get(2)?,
                description: row.get(3)?,
            })
        })?;
        let mut columns: Vec<ExtraColumn> = Vec::new();
        for column in rows {
            let column = column?;
            if columns.iter().all(|known| known.name != column.name) {
                columns.push(column);
            }
        }
        Ok(columns)
    }

    /// Survey, and what was done about Galactic extinction in each different way.
    pub fn extinctions(&self) -> Result<Vec<(String, String)>, StoreError> {
        let sql = "SELECT s.name, group_concat(DISTINCT i.extinction) FROM ingest i JOIN survey s USING (survey_id) \
                   GROUP BY s.survey_id ORDER BY s.survey_id";
        let mut statement = self.conn.prepare_cached(sql)?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// The cuts of all surveys, by survey and bit.
    pub fn cuts(&self) -> Result<Vec<KnownCut>, StoreError> {
        let sql = "SELECT s.name, c.bit, c.name, c.definition, c.description FROM cut_rule c \
                   JOIN survey s USING (survey_id) ORDER BY s.survey_id, c.bit";
        let mut statement = self.conn.prepare_cached(sql)?;
        let rows = statement.query_map([], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get::<_, String>(2)?, row.get::<_, String>(3)?, row.get(4)?))
        })?;
        rows.map(|row| {
            let (survey, bit, name, definition, description) = row?;
            let definition = parse_json(|| format!("cut {name}"), &definition)?;
            Ok(KnownCut { survey, bit, name, definition, description })
        })
        .collect()
    }
}
