//! Training sets in chunks, trainings with their history and state, checkpoints.

use rusqlite::{OptionalExtension, Row, params};
use serde_json::Value;

use super::error::StoreError;
use super::ids::{
    BandSetId, CheckpointId, NoiseModelId, PriorId, RunId, SedModelId, TrainingId, TrainingSetId,
};
use super::models::parse_json;
use super::runs::Artifact;
use super::{ProductKind, Store, verify_blob};
use crate::codec::{Array, MAX_DECODED_BYTES, decode_arrays};
use crate::hash::ContentHash;

/// A training set to be made. The same recipe, model, prior, noise, bands, seed and length are the same set.
#[derive(Debug, Clone, Copy)]
pub struct TrainingSetSpec<'a> {
    pub name: Option<&'a str>,
    pub sed_model: SedModelId,
    pub prior: PriorId,
    pub noise_model: Option<NoiseModelId>,
    pub band_set: BandSetId,
    /// Everything else the rows depend on, a JSON object.
    pub recipe: &'a Value,
    pub seed: u64,
    /// False where only the recipe is kept and rows are simulated when wanted.
    pub stored: bool,
    pub n_rows: u64,
}

#[derive(Debug, Clone)]
pub struct TrainingSet {
    pub id: TrainingSetId,
    pub hash: ContentHash,
    pub name: Option<String>,
    pub sed_model: SedModelId,
    pub prior: PriorId,
    pub noise_model: Option<NoiseModelId>,
    pub band_set: BandSetId,
    pub recipe: Value,
    pub seed: u64,
    pub stored: bool,
    pub n_rows: u64,
    pub complete: bool,
    /// Chunks committed so far: (chunk, first row, rows).
    pub chunks: Vec<(u64, u64, u64)>,
}

/// A training to be run. The same set and configuration are the same training, which resumes.
#[derive(Debug, Clone, Copy)]
pub struct TrainingSpec<'a> {
    pub name: Option<&'a str>,
    pub training_set: TrainingSetId,
    /// Search or ensemble it belongs to, and its number there.
    pub search: Option<(&'a str, u32)>,
    pub config: &'a Value,
}

/// One line of a training's history.
#[derive(Debug, Clone, PartialEq)]
pub struct Epoch {
    pub epoch: u64,
    pub n_examples: u64,
    pub train_ln_prob: Option<f64>,
    pub valid_ln_prob: Option<f64>,
    pub learning_rate: f64,
    pub elapsed_s: f64,
    pub examples_per_s: Option<f64>,
    pub note: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckpointKind {
    /// Density of parameters given photometry.
    Npe,
    /// Density of photometry given parameters.
    Nle,
}

impl CheckpointKind {
    pub const fn as_str(self) -> &'static str {
        match self {
            CheckpointKind::Npe => "npe",
            CheckpointKind::Nle => "nle",
        }
    }
}

/// A checkpoint to be kept; its hash is that of `data`.
#[derive(Debug, Clone, Copy)]
pub struct CheckpointSpec<'a> {
    pub name: Option<&'a str>,
    pub kind: CheckpointKind,
    pub architecture: &'a str,
    pub config: &'a Value,
    pub training: Option<TrainingId>,
    pub sed_model: SedModelId,
    pub prior: PriorId,
    pub noise_model: Option<NoiseModelId>,
    pub band_set: BandSetId,
    pub n_weights: u64,
    pub valid_ln_prob: Option<f64>,
    pub data: &'a [u8],
}

/// A checkpoint without its bytes, which [`Store::checkpoint_data`] reads and verifies.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    pub id: CheckpointId,
    pub hash: ContentHash,
    pub name: Option<String>,
    pub kind: CheckpointKind,
    pub architecture: String,
    pub config: Value,
    pub training: Option<TrainingId>,
    pub sed_model: SedModelId,
    pub prior: PriorId,
    pub noise_model: Option<NoiseModelId>,
    pub band_set: BandSetId,
    pub n_weights: u64,
    pub valid_ln_prob: Option<f64>,
}

impl Store {
    /// Registers a training set, or finds it and says which chunks are there.
    pub fn begin_training_set(
        &mut self,
        run: RunId,
        spec: &TrainingSetSpec<'_>,
    ) -> Result<TrainingSet, StoreError> {
        let recipe = spec.recipe.to_string();
        let hash_of = |table: &str, id: Option<i64>| -> Result<Vec<u8>, StoreError> {
            let Some(id) = id else { return Ok(vec![]) };
            let sql = format!("SELECT hash FROM {table} WHERE {table}_id = ?1");
            Ok(self.conn.query_row(&sql, [id], |row| row.get(0))?)
        };
        let hash = ContentHash::of_parts([
            hash_of("sed_model", Some(spec.sed_model.0))?.as_slice(),
            &hash_of("prior", Some(spec.prior.0))?,
            &hash_of("noise_model", spec.noise_model.map(|id| id.0))?,
            &hash_of("band_set", Some(spec.band_set.0))?,
            recipe.as_bytes(),
            &spec.seed.to_le_bytes(),
            &[u8::from(spec.stored)],
            &spec.n_rows.to_le_bytes(),
        ]);
        let known = "SELECT training_set_id FROM training_set WHERE hash = ?1";
        let known: Option<TrainingSetId> = self.conn.query_row(known, [hash], |row| row.get(0)).optional()?;
        let id = match known {
            Some(id) => id,
            None => {
                if let Some(name) = spec.name {
                    self.check_name_free("training_set", "training set", name)?;
                }
                self.conn.execute(
                    "INSERT INTO training_set (hash, name, sed_model_id, prior_id, noise_model_id, band_set_id, recipe, seed, \
                     stored, n_rows, run_id) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
                    params![
                        hash,
                        spec.name,
                        spec.sed_model,
                        spec.prior,
                        spec.noise_model,
                        spec.band_set,
                        recipe,
                        spec.seed as i64,
                        spec.stored,
                        spec.n_rows as i64,
                        run
                    ],
                )?;
                TrainingSetId(self.conn.last_insert_rowid())
            }
        };
        let label = spec.name.unwrap_or("training set");
        self.add_run_output(run, &Artifact::product(ProductKind::TrainingSet, label, hash))?;
        self.training_set(id)
    }

    /// Commits one chunk, packed by [`super::encode_arrays`], with the draws rejected while making it.
    pub fn put_training_chunk(
        &mut self,
        set: TrainingSetId,
        chunk: u64,
        first_row: u64,
        n_rows: u64,
        data: &[u8],
        rejected: &[(&str, u64)],
    ) -> Result<(), StoreError> {
        let tx = self.conn.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        tx.prepare_cached(
            "INSERT INTO training_chunk (training_set_id, chunk, first_row, n_rows, data_hash, data) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            set,
            chunk as i64,
            first_row as i64,
            n_rows as i64,
            ContentHash::of_bytes(data),
            data
        ])?;
        for (reason, n) in rejected {
            tx.prepare_cached(
                "INSERT INTO training_reject (training_set_id, chunk, reason, n) VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute(params![set, chunk as i64, reason, *n as i64])?;
        }
        tx.commit()?;
        self.still_there()
    }

    /// Declares a training set complete; it is immutable from here on.
    pub fn finish_training_set(&mut self, set: TrainingSetId) -> Result<(), StoreError> {
        let hashes: Vec<ContentHash> = {
            let mut statement = self
                .conn
                .prepare("SELECT data_hash FROM training_chunk WHERE training_set_id = ?1 ORDER BY chunk")?;
            statement.query_map([set], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?
        };
        let content = ContentHash::of_parts(hashes.iter().map(|hash| hash.as_bytes().as_slice()));
        self.conn.execute(
            "UPDATE training_set SET complete = 1, content_hash = CASE WHEN stored THEN ?2 END WHERE training_set_id = ?1",
            params![set, content],
        )?;
        Ok(())
    }

    pub fn training_set(&self, id: TrainingSetId) -> Result<TrainingSet, StoreError> {
        let (mut set, recipe): (TrainingSet, String) = self.conn.query_row(
            "SELECT training_set_id, hash, name, sed_model_id, prior_id, noise_model_id, band_set_id, recipe, seed, stored, \
             n_rows, complete FROM training_set WHERE training_set_id = ?1",
            [id],
            |row| {
                let set = TrainingSet {
                    id: row.get(0)?,
                    hash: row.get(1)?,
                    name: row.get(2)?,
                    sed_model: row.get(3)?,
                    prior: row.get(4)?,
                    noise_model: row.get(5)?,
                    band_set: row.get(6)?,
                    recipe: Value::Null,
                    seed: row.get::<_, i64>(8)? as u64,
                    stored: row.get(9)?,
                    n_rows: row.get::<_, i64>(10)? as u64,
                    complete: row.get(11)?,
                    chunks: vec![],
                };
                Ok((set, row.get(7)?))
            },
        )?;
        set.recipe = parse_json(|| format!("training set {id}"), &recipe)?;
        let mut statement = self.conn.prepare_cached(
            "SELECT chunk, first_row, n_rows FROM training_chunk WHERE training_set_id = ?1 ORDER BY chunk",
        )?;
        let number = |row: &Row<'_>, i| row.get::<_, i64>(i).map(|n| n as u64);
        set.chunks = statement
            .query_map([id], |row| Ok((number(row, 0)?, number(row, 1)?, number(row, 2)?)))?
            .collect::<rusqlite::Result<_>>()?;
        Ok(set)
    }

    /// All training sets, newest first.
    pub fn training_sets(&self) -> Result<Vec<TrainingSet>, StoreError> {
        let mut statement =
            self.conn.prepare_cached("SELECT training_set_id FROM training_set ORDER BY 1 DESC")?;
        let ids = statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<Vec<_>>>()?;
        ids.into_iter().map(|id| self.training_set(id)).collect()
    }

    /// The set of that name, or whose hash begins with it.
    pub fn find_training_set(&self, name: &str) -> Result<TrainingSet, StoreError> {
        let sets = self.training_sets()?;
        let known = sets.iter().map(|set| set.name.clone().unwrap_or_else(|| set.hash.short())).collect();
        let matches = |set: &TrainingSet| {
            set.name.as_deref() == Some(name) || name.len() >= 4 && set.hash.to_string().starts_with(name)
        };
        sets.into_iter().find(matches).ok_or_else(|| StoreError::NoSuch {
            kind: "training set",
            name: name.to_owned(),
            known,
        })
    }

    /// The arrays of one chunk, verified.
    pub fn training_chunk(&self, set: TrainingSetId, chunk: u64) -> Result<Vec<Array>, StoreError> {
        let what = || format!("chunk {chunk} of training set {set}");
        let (data, hash): (Vec<u8>, ContentHash) = self
            .conn
            .prepare_cached(
                "SELECT data, data_hash FROM training_chunk WHERE training_set_id = ?1 AND chunk = ?2",
            )?
            .query_row(params![set, chunk as i64], |row| Ok((row.get(0)?, row.get(1)?)))?;
        verify_blob(what, &data, hash)?;
        decode_arrays(&data, MAX_DECODED_BYTES).map_err(|source| StoreError::Blob { what: what(), source })
    }

    /// Draws rejected over a whole set, by reason.
    pub fn training_rejects(&self, set: TrainingSetId) -> Result<Vec<(String, u64)>, StoreError> {
        let mut statement = self.conn.prepare_cached(
            "SELECT reason, sum(n) FROM training_reject WHERE training_set_id = ?1 GROUP BY reason ORDER BY reason",
        )?;
        let rows = statement.query_map([set], |row| Ok((row.get(0)?, row.get::<_, i64>(1)? as u64)))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Registers a training, or finds it. Epochs after its saved state are forgotten, as they will be run again.
    pub fn begin_training(&mut self, run: RunId, spec: &TrainingSpec<'_>) -> Result<TrainingId, StoreError> {
        let config = spec.config.to_string();
        let set = self.training_set(spec.training_set)?;
        let (search, trial) = spec.search.map_or(("", 0), |(search, trial)| (search, trial));
        let hash = ContentHash::of_parts([
            set.hash.as_bytes().as_slice(),
            config.as_bytes(),
            search.as_bytes(),
            &trial.to_le_bytes(),
        ]);
        self.add_run_input(
            run,
            &Artifact::product(ProductKind::TrainingSet, set.name.unwrap_or_default(), set.hash),
        )?;
        self.conn.execute(
            "INSERT INTO training (hash, name, training_set_id, search, trial, config, run_id) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (hash) DO NOTHING",
            params![
                hash,
                spec.name,
                spec.training_set,
                spec.search.map(|(search, _)| search),
                spec.search.map(|(_, trial)| trial),
                config,
                run
            ],
        )?;
        let id = TrainingId(self.id_of_hash("training", "training_id", hash)?);
        self.conn.execute(
            "DELETE FROM training_history WHERE training_id = ?1 AND epoch > \
             coalesce((SELECT epoch FROM training_state WHERE training_id = ?1), -1)",
            [id],
        )?;
        self.add_run_output(
            run,
            &Artifact::product(ProductKind::Training, spec.name.unwrap_or("training"), hash),
        )?;
        Ok(id)
    }

    /// Commits epochs, and with them the state to resume from (which replaces the one before).
    pub fn put_epochs(
        &mut self,
        training: TrainingId,
        epochs: &[Epoch],
        state: Option<(u64, &[u8])>,
    ) -> Result<(), StoreError> {
        let tx = self.conn.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        for epoch in epochs {
            tx.prepare_cached(
                "INSERT INTO training_history (training_id, epoch, n_examples, train_ln_prob, valid_ln_prob, learning_rate, \
                 elapsed_s, examples_per_s, note) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            )?
            .execute(params![
                training,
                epoch.epoch as i64,
                epoch.n_examples as i64,
                epoch.train_ln_prob,
                epoch.valid_ln_prob,
                epoch.learning_rate,
                epoch.elapsed_s,
                epoch.examples_per_s,
                epoch.note
            ])?;
        }
        if let Some((epoch, data)) = state {
            tx.prepare_cached(
                "INSERT OR REPLACE INTO training_state (training_id, epoch, saved_utc, data_hash, data) \
                 VALUES (?1, ?2, strftime('%Y-%m-%dT%H:%M:%fZ', 'now'), ?3, ?4)",
            )?
            .execute(params![training, epoch as i64, ContentHash::of_bytes(data), data])?;
        }
        Ok(tx.commit()?)
    }

    /// The last epoch saved and the state after it.
    pub fn training_state(&self, training: TrainingId) -> Result<Option<(u64, Vec<u8>)>, StoreError> {
        let found: Option<(i64, Vec<u8>, ContentHash)> = self
            .conn
            .query_row(
                "SELECT epoch, data, data_hash FROM training_state WHERE training_id = ?1",
                [training],
                |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
            )
            .optional()?;
        let Some((epoch, data, hash)) = found else { return Ok(None) };
        verify_blob(|| format!("the state of training {training}"), &data, hash)?;
        Ok(Some((epoch as u64, data)))
    }

    /// Forgets the state of a training that has ended and will not be resumed.
    pub fn drop_training_state(&mut self, training: TrainingId) -> Result<(), StoreError> {
        self.conn.execute("DELETE FROM training_state WHERE training_id = ?1", [training])?;
        Ok(())
    }

    pub fn training_history(&self, training: TrainingId) -> Result<Vec<Epoch>, StoreError> {
        let mut statement = self.conn.prepare_cached(
            "SELECT epoch, n_examples, train_ln_prob, valid_ln_prob, learning_rate, elapsed_s, examples_per_s, note \
             FROM training_history WHERE training_id = ?1 ORDER BY epoch",
        )?;
        let rows = statement.query_map([training], |row| {
            Ok(Epoch {
                epoch: row.get::<_, i64>(0)? as u64,
                n_examples: row.get::<_, i64>(1)? as u64,
                train_ln_prob: row.get(2)?,
                valid_ln_prob: row.get(3)?,
                learning_rate: row.get(4)?,
                elapsed_s: row.get(5)?,
                examples_per_s: row.get(6)?,
                note: row.get(7)?,
            })
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Keeps a checkpoint. The same bytes are the same checkpoint; a name can be given to one only.
    pub fn put_checkpoint(
        &mut self,
        run: RunId,
        spec: &CheckpointSpec<'_>,
    ) -> Result<CheckpointId, StoreError> {
        let hash = ContentHash::of_bytes(spec.data);
        let known = "SELECT checkpoint_id FROM checkpoint WHERE hash = ?1";
        let known: Option<CheckpointId> = self.conn.query_row(known, [hash], |row| row.get(0)).optional()?;
        let id = match known {
            Some(id) => id,
            None => {
                if let Some(name) = spec.name {
                    self.check_name_free("checkpoint", "checkpoint", name)?;
                }
                self.conn.execute(
                    "INSERT INTO checkpoint (hash, name, kind, architecture, config, training_id, sed_model_id, prior_id, \
                     noise_model_id, band_set_id, n_weights, valid_ln_prob, run_id, data_hash, data) \
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
                    params![
                        hash,
                        spec.name,
                        spec.kind.as_str(),
                        spec.architecture,
                        spec.config.to_string(),
                        spec.training,
                        spec.sed_model,
                        spec.prior,
                        spec.noise_model,
                        spec.band_set,
                        spec.n_weights as i64,
                        spec.valid_ln_prob,
                        run,
                        hash,
                        spec.data
                    ],
                )?;
                CheckpointId(self.conn.last_insert_rowid())
            }
        };
        if known.is_none() {
            let label = spec.name.unwrap_or(spec.architecture);
            self.add_run_output(run, &Artifact::product(ProductKind::Checkpoint, label, hash))?;
        }
        Ok(id)
    }

    /// All checkpoints, newest first, without their bytes.
    pub fn checkpoints(&self) -> Result<Vec<Checkpoint>, StoreError> {
        let mut statement = self.conn.prepare_cached(
            "SELECT checkpoint_id, hash, name, kind, architecture, config, training_id, sed_model_id, prior_id, \
             noise_model_id, band_set_id, n_weights, valid_ln_prob FROM checkpoint ORDER BY checkpoint_id DESC",
        )?;
        let rows = statement.query_map([], |row| {
            let kind: String = row.get(3)?;
            let checkpoint = Checkpoint {
                id: row.get(0)?,
                hash: row.get(1)?,
                name: row.get(2)?,
                kind: if kind == "nle" { CheckpointKind::Nle } else { CheckpointKind::Npe },
                architecture: row.get(4)?,
                config: Value::Null,
                training: row.get(6)?,
                sed_model: row.get(7)?,
                prior: row.get(8)?,
                noise_model: row.get(9)?,
                band_set: row.get(10)?,
                n_weights: row.get::<_, i64>(11)? as u64,
                valid_ln_prob: row.get(12)?,
            };
            Ok((checkpoint, row.get::<_, String>(5)?))
        })?;
        rows.map(|row| {
            let (mut checkpoint, config) = row?;
            checkpoint.config = parse_json(|| format!("checkpoint {}", checkpoint.id), &config)?;
            Ok(checkpoint)
        })
        .collect()
    }

    /// The checkpoint of that name, or whose hash begins with it.
    pub fn find_checkpoint(&self, name: &str) -> Result<Checkpoint, StoreError> {
        let all = self.checkpoints()?;
        let known = all.iter().map(|c| c.name.clone().unwrap_or_else(|| c.hash.short())).collect();
        let matches = |c: &Checkpoint| {
            c.name.as_deref() == Some(name) || name.len() >= 4 && c.hash.to_string().starts_with(name)
        };
        all.into_iter().find(matches).ok_or_else(|| StoreError::NoSuch {
            kind: "checkpoint",
            name: name.to_owned(),
            known,
        })
    }

    /// A checkpoint's bytes, verified.
    pub fn checkpoint_data(&self, id: CheckpointId) -> Result<Vec<u8>, StoreError> {
        let (data, hash): (Vec<u8>, ContentHash) = self.conn.query_row(
            "SELECT data, data_hash FROM checkpoint WHERE checkpoint_id = ?1",
            [id],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        verify_blob(|| format!("checkpoint {id}"), &data, hash)?;
        Ok(data)
    }

    /// Gives a checkpoint a name, which `gc` then keeps it for.
    pub fn name_checkpoint(&mut self, id: CheckpointId, name: &str) -> Result<(), StoreError> {
        self.check_name_free("checkpoint", "checkpoint", name)?;
        self.conn.execute("UPDATE checkpoint SET name = ?2 WHERE checkpoint_id = ?1", params![id, name])?;
        Ok(())
    }

    /// Records the members of the ensemble checkpoint called `ensemble`, in order, with their weights.
    pub fn put_ensemble(
        &mut self,
        run: RunId,
        ensemble: &str,
        members: &[(CheckpointId, f64)],
    ) -> Result<(), StoreError> {
        let tx = self.conn.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        for (position, (checkpoint, weight)) in members.iter().enumerate() {
            tx.prepare_cached(
                "INSERT INTO ensemble_member (ensemble, position, checkpoint_id, weight, run_id) \
                 VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (ensemble, position) DO NOTHING",
            )?
            .execute(params![ensemble, position as i64, checkpoint, weight, run])?;
        }
        Ok(tx.commit()?)
    }

    /// Members and weights of the ensemble checkpoint of that name; none where it is a single flow.
    pub fn ensemble_members(&self, ensemble: &str) -> Result<Vec<(CheckpointId, f64)>, StoreError> {
        let mut statement = self.conn.prepare_cached(
            "SELECT checkpoint_id, weight FROM ensemble_member WHERE ensemble = ?1 ORDER BY position",
        )?;
        let rows = statement.query_map([ensemble], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    pub(super) fn check_name_free(
        &self,
        table: &str,
        kind: &'static str,
        name: &str,
    ) -> Result<(), StoreError> {
        let sql = format!("SELECT 1 FROM {table} WHERE name = ?1");
        match self.conn.query_row(&sql, [name], |_| Ok(())).optional()? {
            Some(()) => Err(StoreError::NameTaken { kind, name: name.to_owned() }),
            None => Ok(()),
        }
    }
}
