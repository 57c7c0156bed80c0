//! Trainings, validations and work under way, in a row each: what a list of them shows.

use rusqlite::OptionalExtension;

use super::Store;
use super::error::StoreError;
use super::ids::{CheckpointId, RunId, TrainingId, ValidationId};
use super::models::parse_json;
use super::runs::RunState;

/// A training with how far it is.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainingRow {
    pub id: TrainingId,
    pub name: Option<String>,
    /// Name of the search it is a trial of, and which.
    pub search: Option<(String, u32)>,
    /// The run that worked on it last, unless that failed after another had not; and how that stands.
    pub run: RunId,
    pub state: RunState,
    pub epochs: u64,
    pub n_examples: u64,
    pub best_valid_ln_prob: Option<f64>,
    pub elapsed_s: f64,
    /// Whether a state to resume from is kept.
    pub resumable: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub struct ValidationRow {
    pub id: ValidationId,
    pub name: Option<String>,
    pub checkpoint: CheckpointId,
    pub checkpoint_name: String,
    pub config: serde_json::Value,
    pub begun_utc: String,
}

impl Store {
    /// All trainings, newest first.
    pub fn trainings(&self) -> Result<Vec<TrainingRow>, StoreError> {
        let alive = self.writer_is_alive();
        let mut statement = self.conn.prepare_cached(
            "SELECT t.training_id, t.name, t.search, t.trial, r.run_id, r.state, count(h.epoch), max(h.n_examples), \
             max(h.valid_ln_prob), max(h.elapsed_s), \
             EXISTS (SELECT 1 FROM training_state s WHERE s.training_id = t.training_id) \
             FROM training t LEFT JOIN training_history h USING (training_id) \
             JOIN run r ON r.run_id = coalesce((SELECT max(o.run_id) FROM run_output o JOIN run w USING (run_id) \
             WHERE o.hash = t.hash AND o.kind = 'training' AND w.state <> 'failed'), t.run_id) \
             GROUP BY t.training_id ORDER BY t.training_id DESC",
        )?;
        let rows = statement.query_map([], |row| {
            let search: Option<String> = row.get(2)?;
            let state: String = row.get(5)?;
            let row = TrainingRow {
                id: row.get(0)?,
                name: row.get(1)?,
                search: search.zip(row.get::<_, Option<u32>>(3)?),
                run: row.get(4)?,
                state: RunState::Running,
                epochs: row.get::<_, i64>(6)? as u64,
                n_examples: row.get::<_, Option<i64>>(7)?.unwrap_or(0) as u64,
                best_valid_ln_prob: row.get(8)?,
                elapsed_s: row.get::<_, Option<f64>>(9)?.unwrap_or(0.0),
                resumable: row.get(10)?,
            };
            Ok((row, state))
        })?;
        rows.map(|row| {
            let (mut row, state) = row?;
            row.state = match state.parse()? {
                RunState::Running if !alive => RunState::Interrupted,
                state => state,
            };
            Ok(row)
        })
        .collect()
    }

    /// All validations, newest first.
    pub fn validations(&self) -> Result<Vec<ValidationRow>, StoreError> {
        let mut statement = self.conn.prepare_cached(
            "SELECT v.validation_id, v.name, v.checkpoint_id, coalesce(c.name, substr(lower(hex(c.hash)), 1, 12)), \
             v.config, r.started_utc FROM validation v JOIN checkpoint c USING (checkpoint_id) \
             JOIN run r ON r.run_id = v.run_id ORDER BY v.validation_id DESC",
        )?;
        let rows = statement.query_map([], |row| {
            let config: String = row.get(4)?;
            let row = ValidationRow {
                id: row.get(0)?,
                name: row.get(1)?,
                checkpoint: row.get(2)?,
                checkpoint_name: row.get(3)?,
                config: serde_json::Value::Null,
                begun_utc: row.get(5)?,
            };
            Ok((row, config))
        })?;
        rows.map(|row| {
            let (mut row, config) = row?;
            row.config = parse_json(|| format!("validation {}", row.id), &config)?;
            Ok(row)
        })
        .collect()
    }

    /// Posteriors and reasons of the newest set that is not complete, and rows of the newest such ingest: how far
    /// work under way is, in words of (what, done).
    pub fn under_way(&self) -> Result<Vec<(String, u64)>, StoreError> {
        let mut all = Vec::new();
        let set = "SELECT s.name, (SELECT count(*) FROM posterior p WHERE p.posterior_set_id = s.posterior_set_id) \
                   FROM posterior_set s WHERE NOT s.complete ORDER BY s.posterior_set_id DESC LIMIT 1";
        let ingest =
            "SELECT file_name, n_read FROM ingest WHERE NOT complete ORDER BY ingest_id DESC LIMIT 1";
        for sql in [set, ingest] {
            let found: Option<(String, i64)> =
                self.conn.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
            all.extend(found.map(|(name, n)| (name, n as u64)));
        }
        Ok(all)
    }
}
