//! What was found out about checkpoints: rows of numbers, the evidence behind them, and the parts of a
//! validation that is still at work.

use rusqlite::{OptionalExtension, params};
use serde_json::Value;

use super::error::StoreError;
use super::ids::{RunId, ValidationId};
use super::models::parse_json;
use super::runs::Artifact;
use super::training::Checkpoint;
use super::{ProductKind, Store, verify_blob};
use crate::hash::ContentHash;

/// One number of a validation; `parameter` and `subset` are empty for all together.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    pub metric: String,
    pub parameter: String,
    pub subset: String,
    pub value: f64,
    pub low: Option<f64>,
    pub high: Option<f64>,
    pub p_value: Option<f64>,
}

/// What was found out about a checkpoint.
#[derive(Debug, Clone, Copy)]
pub struct ValidationSpec<'a> {
    pub name: Option<&'a str>,
    pub checkpoint: &'a Checkpoint,
    /// What was examined and how, a JSON object.
    pub config: &'a Value,
    /// Findings beyond the metrics, a JSON object.
    pub report: Option<&'a Value>,
    pub metrics: &'a [Metric],
    /// Ranks, coverages and the like, packed by [`super::encode_arrays`].
    pub arrays: Option<&'a [u8]>,
}

/// A validation as the catalog has it.
#[derive(Debug, Clone)]
pub struct Validation {
    pub id: ValidationId,
    pub hash: ContentHash,
    pub name: Option<String>,
    pub report: Option<Value>,
    pub metrics: Vec<Metric>,
    /// Verified.
    pub arrays: Option<Vec<u8>>,
}

/// What a validation is called by its content: the same checkpoint and configuration are the same.
fn hash_of(checkpoint: &Checkpoint, config: &Value) -> ContentHash {
    ContentHash::of_parts([checkpoint.hash.as_bytes().as_slice(), config.to_string().as_bytes()])
}

impl Store {
    /// Keeps the findings about a checkpoint; the same checkpoint and configuration are the same validation.
    /// Parts kept while it was at work go.
    pub fn put_validation(
        &mut self,
        run: RunId,
        spec: &ValidationSpec<'_>,
    ) -> Result<ValidationId, StoreError> {
        let ValidationSpec { name, checkpoint, config, report, metrics, arrays } = *spec;
        let hash = hash_of(checkpoint, config);
        let known = self.conn.query_row("SELECT 1 FROM validation WHERE hash = ?1", [hash], |_| Ok(()));
        if let (None, Some(name)) = (known.optional()?, name) {
            self.check_name_free("validation", "validation", name)?;
        }
        let tx = self.conn.transaction()?;
        let inserted = tx.execute(
            "INSERT INTO validation (hash, name, checkpoint_id, config, report, run_id, data_hash, data) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (hash) DO NOTHING",
            params![
                hash,
                name,
                checkpoint.id,
                config.to_string(),
                report.map(Value::to_string),
                run,
                arrays.map(ContentHash::of_bytes),
                arrays
            ],
        )?;
        let id =
            tx.query_row("SELECT validation_id FROM validation WHERE hash = ?1", [hash], |row| row.get(0))?;
        if inserted > 0 {
            for m in metrics {
                tx.prepare_cached(
                    "INSERT INTO validation_metric (validation_id, metric, parameter, subset, value, low, high, p_value) \
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                )?
                .execute(params![id, m.metric, m.parameter, m.subset, m.value, m.low, m.high, m.p_value])?;
            }
        }
        tx.execute("DELETE FROM validation_part WHERE validation_hash = ?1", [hash])?;
        tx.commit()?;
        let label = checkpoint.name.clone().unwrap_or_default();
        self.add_run_input(run, &Artifact::product(ProductKind::Checkpoint, label, checkpoint.hash))?;
        self.add_run_output(
            run,
            &Artifact::product(ProductKind::Validation, name.unwrap_or("validation"), hash),
        )?;
        Ok(id)
    }

    /// The validation of this checkpoint and configuration, if it is complete.
    pub fn find_validation(
        &self,
        checkpoint: &Checkpoint,
        config: &Value,
    ) -> Result<Option<Validation>, StoreError> {
        let hash = hash_of(checkpoint, config);
        let sql = "SELECT validation_id FROM validation WHERE hash = ?1";
        let id: Option<ValidationId> = self.conn.query_row(sql, [hash], |row| row.get(0)).optional()?;
        id.map_or(Ok(None), |id| self.validation(id))
    }

    /// One validation with its numbers and evidence, verified.
    pub fn validation(&self, id: ValidationId) -> Result<Option<Validation>, StoreError> {
        let found = self
            .conn
            .query_row(
                "SELECT hash, name, report, data, data_hash FROM validation WHERE validation_id = ?1",
                [id],
                |row| {
                    let data: (Option<Vec<u8>>, Option<ContentHash>) = (row.get(3)?, row.get(4)?);
                    Ok((row.get(0)?, row.get(1)?, row.get::<_, Option<String>>(2)?, data))
                },
            )
            .optional()?;
        let Some((hash, name, report, (arrays, expected))) = found else { return Ok(None) };
        if let (Some(bytes), Some(expected)) = (arrays.as_deref(), expected) {
            verify_blob(|| format!("validation {id}"), bytes, expected)?;
        }
        let report = report.map(|text| parse_json(|| format!("validation {id}"), &text)).transpose()?;
        let mut statement = self.conn.prepare_cached(
            "SELECT metric, parameter, subset, value, low, high, p_value FROM validation_metric \
             WHERE validation_id = ?1 ORDER BY metric, parameter, subset",
        )?;
        let rows = statement.query_map(params![id], |row| {
            Ok(Metric {
                metric: row.get(0)?,
                parameter: row.get(1)?,
                subset: row.get(2)?,
                value: row.get(3)?,
                low: row.get(4)?,
                high: row.get(5)?,
                p_value: row.get(6)?,
            })
        })?;
        let metrics = rows.collect::<rusqlite::Result<_>>()?;
        Ok(Some(Validation { id, hash, name, report, metrics, arrays }))
    }

    /// Keeps a part of a validation at work: `part` counts from 0 within `section`.
    pub fn put_validation_part(
        &mut self,
        checkpoint: &Checkpoint,
        config: &Value,
        (section, part): (&str, u64),
        data: &[u8],
    ) -> Result<(), StoreError> {
        self.conn.execute(
            "INSERT OR REPLACE INTO validation_part (validation_hash, section, part, checkpoint_id, data_hash, data) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![
                hash_of(checkpoint, config),
                section,
                part as i64,
                checkpoint.id,
                ContentHash::of_bytes(data),
                data
            ],
        )?;
        Ok(())
    }

    /// A part kept by [`Self::put_validation_part`], verified, if it was reached.
    pub fn validation_part(
        &self,
        checkpoint: &Checkpoint,
        config: &Value,
        (section, part): (&str, u64),
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let sql = "SELECT data, data_hash FROM validation_part \
                   WHERE validation_hash = ?1 AND section = ?2 AND part = ?3";
        let key = params![hash_of(checkpoint, config), section, part as i64];
        let found: Option<(Vec<u8>, ContentHash)> =
            self.conn.query_row(sql, key, |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        let Some((data, expected)) = found else { return Ok(None) };
        verify_blob(|| format!("part {part} of a validation"), &data, expected)?;
        Ok(Some(data))
    }
}
