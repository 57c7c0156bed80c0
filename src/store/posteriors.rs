//! Posterior sets: per galaxy an answer or a reason, a summary in columns, and the draws as a blob.

use std::fmt::Write as _;
use std::sync::OnceLock;

use rusqlite::{OptionalExtension, Row, params};
use serde_json::Value;

use super::error::StoreError;
use super::ids::{CheckpointId, GalaxyId, PosteriorId, PosteriorSetId, PriorId, RunId, SedModelId};
use super::models::parse_json;
use super::runs::Artifact;
use super::{ProductKind, Store, verify_blob};
use crate::hash::ContentHash;

/// The parameters that `posterior_summary` has columns for: the model's 12, then the derived properties.
pub const SUMMARY_PARAMETERS: [&str; 17] = [
    "log_mstar",
    "beta1",
    "beta2",
    "beta3",
    "beta4",
    "fburst",
    "tburst",
    "log_gamma1",
    "log_gamma2",
    "tau_bc",
    "tau_ism",
    "n_dust",
    "log_sfr_1gyr",
    "log_sfr_100myr",
    "log_z_mw",
    "t_age_mw_gyr",
    "log_mstar_surviving",
];

/// The derived ones among them.
pub const DERIVED_SUMMARIES: usize = 5;

/// Suffixes of the columns of one parameter, in the order of [`Summary`].
pub(super) const SUFFIXES: [&str; 9] =
    ["mean", "std", "q025", "q16", "q50", "q84", "q975", "map", "edge_frac"];

/// A marginal posterior in numbers; NaN where not computed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Summary {
    pub mean: f64,
    pub std: f64,
    pub q025: f64,
    pub q16: f64,
    pub q50: f64,
    pub q84: f64,
    pub q975: f64,
    /// Its value in the draw of highest posterior density.
    pub map: f64,
    /// Fraction of draws within 1 % of an edge of the prior.
    pub edge_frac: f64,
}

impl Summary {
    fn numbers(&self) -> [f64; 9] {
        [self.mean, self.std, self.q025, self.q16, self.q50, self.q84, self.q975, self.map, self.edge_frac]
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    Npe,
    NpeIs,
    Mcmc,
}

impl Method {
    pub const fn as_str(self) -> &'static str {
        match self {
            Method::Npe => "npe",
            Method::NpeIs => "npe+is",
            Method::Mcmc => "mcmc",
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        [Method::Npe, Method::NpeIs, Method::Mcmc].into_iter().find(|method| method.as_str() == text)
    }
}

/// A set to be made. The same name and recipe are the same set, which goes on where it was.
#[derive(Debug, Clone, Copy)]
pub struct PosteriorSetSpec<'a> {
    /// Name and version: `nsa-v1.0`.
    pub name: &'a str,
    pub checkpoint: Option<CheckpointId>,
    pub sed_model: SedModelId,
    pub prior: PriorId,
    /// Everything else the draws depend on, a JSON object.
    pub config: &'a Value,
    pub seed: u64,
    pub n_draws: u64,
    /// Names of the columns of the draws.
    pub parameters: &'a [&'a str],
}

#[derive(Debug, Clone)]
pub struct PosteriorSet {
    pub id: PosteriorSetId,
    pub hash: ContentHash,
    pub name: String,
    pub checkpoint: Option<CheckpointId>,
    pub sed_model: SedModelId,
    pub prior: PriorId,
    pub config: Value,
    pub seed: u64,
    pub n_draws: u64,
    pub parameters: Vec<String>,
    pub complete: bool,
}

/// One galaxy's answer, or the reason there is none (`method` is `None`, `n_draws` 0).
#[derive(Debug, Clone, Default)]
pub struct PosteriorRow {
    pub galaxy: GalaxyId,
    pub method: Option<Method>,
    /// Reason codes separated by spaces; also beside an answer.
    pub reason: Option<String>,
    pub n_draws: u64,
    pub n_bands: u32,
    pub ess: Option<f64>,
    pub efficiency: Option<f64>,
    pub pareto_k: Option<f64>,
    pub ln_evidence: Option<f64>,
    pub ln_evidence_err: Option<f64>,
    pub r_hat: Option<f64>,
    pub acceptance: Option<f64>,
    pub ood_score: Option<f64>,
    pub chi2_best: Option<f64>,
    pub ppc_p_value: Option<f64>,
    /// How `samples` is packed: [`crate::codec::CODEC`], or `sda1` in older sets.
    pub codec: Option<String>,
    pub codec_ks: Option<f64>,
    /// Hash of the draws, where they can be made again from the recipe.
    pub draws_hash: Option<ContentHash>,
    pub samples: Option<Vec<u8>>,
    /// What the draws are made from again.
    pub recipe: Option<Vec<u8>>,
    /// One per name of [`SUMMARY_PARAMETERS`], or none at all.
    pub summary: Vec<Summary>,
}

impl PosteriorRow {
    /// What tells how good the posterior is, each with its name; what its method does not have is left out.
    pub fn quality(&self) -> impl Iterator<Item = (&'static str, f64)> {
        [
            ("effective draws", self.ess),
            ("sampling efficiency", self.efficiency),
            ("Pareto k", self.pareto_k),
            ("ln evidence", self.ln_evidence),
            ("R-hat", self.r_hat),
            ("acceptance", self.acceptance),
            ("χ² of the best draw", self.chi2_best),
            ("predictive p", self.ppc_p_value),
            ("distance to training", self.ood_score),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
    }
}

/// A row read back, its samples verified.
#[derive(Debug, Clone)]
pub struct StoredPosterior {
    pub id: PosteriorId,
    pub set: PosteriorSetId,
    pub row: PosteriorRow,
}

const POSTERIOR_COLUMNS: &str = "posterior_id, posterior_set_id, galaxy_id, method, reason, n_draws, n_bands, ess, \
     efficiency, pareto_k, ln_evidence, ln_evidence_err, r_hat, acceptance, ood_score, chi2_best, ppc_p_value, codec, \
     codec_ks, draws_hash, samples_hash, samples, recipe_hash, recipe";

/// `log_mstar_mean, log_mstar_std, ...`, all 153.
fn summary_columns() -> &'static str {
    static COLUMNS: OnceLock<String> = OnceLock::new();
    COLUMNS.get_or_init(|| {
        let columns =
            SUMMARY_PARAMETERS.iter().flat_map(|p| SUFFIXES.iter().map(move |s| format!("{p}_{s}")));
        columns.collect::<Vec<_>>().join(", ")
    })
}

fn insert_summary_sql() -> &'static str {
    static SQL: OnceLock<String> = OnceLock::new();
    SQL.get_or_init(|| {
        let mut sql = format!(
            "INSERT INTO posterior_summary (posterior_id, posterior_set_id, galaxy_id, {}) VALUES (?1, ?2, ?3",
            summary_columns()
        );
        for i in 0..SUMMARY_PARAMETERS.len() * SUFFIXES.len() {
            let _ = write!(sql, ", ?{}", i + 4);
        }
        sql + ")"
    })
}

impl Store {
    /// Registers a posterior set, or finds it. Errors with [`StoreError::NameTaken`] if the name has another recipe.
    pub fn begin_posterior_set(
        &mut self,
        run: RunId,
        spec: &PosteriorSetSpec<'_>,
    ) -> Result<PosteriorSet, StoreError> {
        let config = spec.config.to_string();
        let hash_of = |table: &str, id: i64| -> Result<Vec<u8>, StoreError> {
            let sql = format!("SELECT hash FROM {table} WHERE {table}_id = ?1");
            Ok(self.conn.query_row(&sql, [id], |row| row.get(0))?)
        };
        let parameters = Value::from(spec.parameters.to_vec()).to_string();
        let checkpoint = match spec.checkpoint {
            Some(id) => hash_of("checkpoint", id.0)?,
            None => vec![],
        };
        let hash = ContentHash::of_parts([
            spec.name.as_bytes(),
            &checkpoint,
            &hash_of("sed_model", spec.sed_model.0)?,
            &hash_of("prior", spec.prior.0)?,
            config.as_bytes(),
            &spec.seed.to_le_bytes(),
            &spec.n_draws.to_le_bytes(),
            parameters.as_bytes(),
        ]);
        if let Ok(checkpoint) = <[u8; 32]>::try_from(checkpoint) {
            let checkpoint = ContentHash::from_bytes(checkpoint);
            self.add_run_input(run, &Artifact::product(ProductKind::Checkpoint, "", checkpoint))?;
        }
        let known = "SELECT posterior_set_id FROM posterior_set WHERE hash = ?1";
        let known: Option<PosteriorSetId> =
            self.conn.query_row(known, [hash], |row| row.get(0)).optional()?;
        let id = match known {
            Some(id) => id,
            None => {
                self.check_name_free("posterior_set", "posterior set", spec.name)?;
                self.conn.execute(
                    "INSERT INTO posterior_set (hash, name, checkpoint_id, sed_model_id, prior_id, config, seed, n_draws, \
                     parameters, run_id) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
                    params![
                        hash,
                        spec.name,
                        spec.checkpoint,
                        spec.sed_model,
                        spec.prior,
                        config,
                        spec.seed as i64,
                        spec.n_draws as i64,
                        parameters,
                        run
                    ],
                )?;
                PosteriorSetId(self.conn.last_insert_rowid())
            }
        };
        self.add_run_output(run, &Artifact::product(ProductKind::PosteriorSet, spec.name, hash))?;
        self.posterior_set(id)
    }

    /// Commits one batch of galaxies, all or nothing.
    pub fn commit_posteriors(
        &mut self,
        set: PosteriorSetId,
        rows: &[PosteriorRow],
    ) -> Result<(), StoreError> {
        let tx = self.conn.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        {
            let mut insert = tx.prepare_cached(
                "INSERT INTO posterior (posterior_set_id, galaxy_id, method, reason, n_draws, n_bands, ess, efficiency, \
                 pareto_k, ln_evidence, ln_evidence_err, r_hat, acceptance, ood_score, chi2_best, ppc_p_value, codec, \
                 codec_ks, draws_hash, samples_hash, samples, recipe_hash, recipe) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, \
                 ?21, ?22, ?23)",
            )?;
            let mut summarise = tx.prepare_cached(insert_summary_sql())?;
            for row in rows {
                insert.execute(params![
                    set,
                    row.galaxy,
                    row.method.map(Method::as_str),
                    row.reason,
                    row.n_draws as i64,
                    row.n_bands,
                    row.ess,
                    row.efficiency,
                    row.pareto_k,
                    row.ln_evidence,
                    row.ln_evidence_err,
                    row.r_hat,
                    row.acceptance,
                    row.ood_score,
                    row.chi2_best,
                    row.ppc_p_value,
                    row.codec,
                    row.codec_ks,
                    row.draws_hash,
                    row.samples.as_deref().map(ContentHash::of_bytes),
                    row.samples,
                    row.recipe.as_deref().map(ContentHash::of_bytes),
                    row.recipe,
                ])?;
                if row.summary.is_empty() {
                    continue;
                }
                if row.summary.len() != SUMMARY_PARAMETERS.len() {
                    return Err(StoreError::Shape {
                        what: format!("the summary of galaxy {}", row.galaxy),
                        expected: format!("{} parameters", SUMMARY_PARAMETERS.len()),
                        found: row.summary.len().to_string(),
                    });
                }
                let id = tx.last_insert_rowid();
                summarise.raw_bind_parameter(1, id)?;
                summarise.raw_bind_parameter(2, set)?;
                summarise.raw_bind_parameter(3, row.galaxy)?;
                // SQLite stores NaN as NULL
                for (i, number) in row.summary.iter().flat_map(Summary::numbers).enumerate() {
                    summarise.raw_bind_parameter(i + 4, number)?;
                }
                summarise.raw_execute()?;
            }
        }
        tx.commit()?;
        self.still_there()
    }

    /// Declares a set complete; it is immutable from here on. Returns the hash of all its rows.
    pub fn finish_posterior_set(&mut self, set: PosteriorSetId) -> Result<ContentHash, StoreError> {
        let mut parts: Vec<u8> = Vec::new();
        {
            let mut statement = self.conn.prepare(
                "SELECT s.name, g.object_id, p.method, p.reason, p.draws_hash, p.samples_hash \
                 FROM posterior p JOIN galaxy g USING (galaxy_id) JOIN survey s USING (survey_id) \
                 WHERE p.posterior_set_id = ?1 ORDER BY s.name, g.object_id",
            )?;
            let mut rows = statement.query([set])?;
            while let Some(row) = rows.next()? {
                let text = |i| row.get::<_, Option<String>>(i).map(Option::unwrap_or_default);
                let hash = |i| row.get::<_, Option<ContentHash>>(i);
                let (texts, draws, samples) = ([text(0)?, text(1)?, text(2)?, text(3)?], hash(4)?, hash(5)?);
                let row_hash =
                    ContentHash::of_parts(texts.iter().map(String::as_bytes).chain(
                        [draws, samples].iter().map(|h| h.as_ref().map_or(&[][..], |h| h.as_bytes())),
                    ));
                parts.extend(row_hash.as_bytes());
            }
        }
        let content = ContentHash::of_bytes(&parts);
        self.conn.execute(
            "UPDATE posterior_set SET complete = 1, content_hash = ?2 WHERE posterior_set_id = ?1",
            params![set, content],
        )?;
        Ok(content)
    }

    pub fn posterior_set(&self, id: PosteriorSetId) -> Result<PosteriorSet, StoreError> {
        let found = self.posterior_sets()?.into_iter().find(|set| set.id == id);
        found.ok_or_else(|| StoreError::NoSuch { kind: "posterior set", name: id.to_string(), known: vec![] })
    }

    /// All posterior sets, newest first.
    pub fn posterior_sets(&self) -> Result<Vec<PosteriorSet>, StoreError> {
        let mut statement = self.conn.prepare_cached(
            "SELECT posterior_set_id, hash, name, checkpoint_id, sed_model_id, prior_id, config, seed, n_draws, parameters, \
             complete FROM posterior_set ORDER BY posterior_set_id DESC",
        )?;
        let rows = statement.query_map([], |row| {
            let set = PosteriorSet {
                id: row.get(0)?,
                hash: row.get(1)?,
                name: row.get(2)?,
                checkpoint: row.get(3)?,
                sed_model: row.get(4)?,
                prior: row.get(5)?,
                config: Value::Null,
                seed: row.get::<_, i64>(7)? as u64,
                n_draws: row.get::<_, i64>(8)? as u64,
                parameters: vec![],
                complete: row.get(10)?,
            };
            Ok((set, row.get::<_, String>(6)?, row.get::<_, String>(9)?))
        })?;
        rows.map(|row| {
            let (mut set, config, parameters) = row?;
            let what = || format!("posterior set {}", set.name);
            set.parameters = serde_json::from_str(&parameters)
                .map_err(|source| StoreError::Json { what: what(), source })?;
            set.config = parse_json(what, &config)?;
            Ok(set)
        })
        .collect()
    }

    pub fn find_posterior_set(&self, name: &str) -> Result<PosteriorSet, StoreError> {
        let sets = self.posterior_sets()?;
        let known = sets.iter().map(|set| set.name.clone()).collect();
        sets.into_iter().find(|set| set.name == name).ok_or_else(|| StoreError::NoSuch {
            kind: "posterior set",
            name: name.to_owned(),
            known,
        })
    }

    /// Makes a set the one that `galaxies` and `find` read.
    pub fn set_current_posterior_set(&mut self, name: &str) -> Result<(), StoreError> {
        self.find_posterior_set(name)?;
        self.conn.execute("INSERT OR REPLACE INTO setting VALUES ('current_posterior_set', ?1)", [name])?;
        Ok(())
    }

    /// The current set: the one chosen, else the newest.
    pub fn current_posterior_set(&self) -> Result<Option<PosteriorSet>, StoreError> {
        let sql = "SELECT value FROM setting WHERE key = 'current_posterior_set'";
        let chosen: Option<String> = self.conn.query_row(sql, [], |row| row.get(0)).optional()?;
        let mut sets = self.posterior_sets()?;
        let place = chosen.and_then(|name| sets.iter().position(|set| set.name == name)).unwrap_or(0);
        Ok((!sets.is_empty()).then(|| sets.swap_remove(place)))
    }

    /// How many galaxies of a set have an answer, and how many only a reason.
    pub fn posterior_counts(&self, set: PosteriorSetId) -> Result<(u64, u64), StoreError> {
        let sql = "SELECT count(method), count(*) - count(method) FROM posterior WHERE posterior_set_id = ?1";
        Ok(self
            .conn
            .query_row(sql, [set], |row| Ok((row.get::<_, i64>(0)? as u64, row.get::<_, i64>(1)? as u64)))?)
    }

    /// Galaxies of a set that another (if any) has neither an answer nor a reason for, in order.
    pub fn galaxies_of_set(
        &self,
        set: PosteriorSetId,
        not_in: Option<PosteriorSetId>,
    ) -> Result<Vec<GalaxyId>, StoreError> {
        let mut statement = self.conn.prepare_cached(
            "SELECT galaxy_id FROM posterior p WHERE posterior_set_id = ?1 AND NOT EXISTS (SELECT 1 FROM posterior o \
             WHERE o.posterior_set_id = ?2 AND o.galaxy_id = p.galaxy_id) ORDER BY galaxy_id",
        )?;
        let rows = statement.query_map(params![set, not_in], |row| row.get(0))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// The newest set that holds draws of a galaxy made by `method`.
    pub fn set_with_method(
        &self,
        galaxy: GalaxyId,
        method: Method,
    ) -> Result<Option<PosteriorSet>, StoreError> {
        let sql = "SELECT posterior_set_id FROM posterior WHERE galaxy_id = ?1 AND method = ?2 \
                   AND samples IS NOT NULL ORDER BY posterior_set_id DESC LIMIT 1";
        let found: Option<PosteriorSetId> =
            self.conn.query_row(sql, params![galaxy, method.as_str()], |row| row.get(0)).optional()?;
        found.map(|id| self.posterior_set(id)).transpose()
    }

    /// One galaxy's posterior in a set, its samples verified; `None` where the set does not have it (yet).
    pub fn posterior(
        &self,
        set: PosteriorSetId,
        galaxy: GalaxyId,
    ) -> Result<Option<StoredPosterior>, StoreError> {
        let sql = format!(
            "SELECT {POSTERIOR_COLUMNS} FROM posterior WHERE posterior_set_id = ?1 AND galaxy_id = ?2"
        );
        let found =
            self.conn.prepare_cached(&sql)?.query_row(params![set, galaxy], read_posterior).optional()?;
        let Some((mut posterior, [samples_hash, recipe_hash])) = found else { return Ok(None) };
        if let Some((samples, hash)) = posterior.row.samples.as_deref().zip(samples_hash) {
            verify_blob(|| format!("the posterior of galaxy {galaxy} in set {set}"), samples, hash)?;
        }
        if let Some((recipe, hash)) = posterior.row.recipe.as_deref().zip(recipe_hash) {
            verify_blob(|| format!("the recipe of galaxy {galaxy} in set {set}"), recipe, hash)?;
        }
        posterior.row.summary = self.posterior_summary(posterior.id)?;
        Ok(Some(posterior))
    }

    /// Summaries in the order of [`SUMMARY_PARAMETERS`]; empty where none were stored.
    pub fn posterior_summary(&self, id: PosteriorId) -> Result<Vec<Summary>, StoreError> {
        let sql = format!("SELECT {} FROM posterior_summary WHERE posterior_id = ?1", summary_columns());
        let summary = |row: &Row<'_>, parameter: usize| -> rusqlite::Result<Summary> {
            let number = |i: usize| -> rusqlite::Result<f64> {
                Ok(row.get::<_, Option<f64>>(parameter * SUFFIXES.len() + i)?.unwrap_or(f64::NAN))
            };
            Ok(Summary {
                mean: number(0)?,
                std: number(1)?,
                q025: number(2)?,
                q16: number(3)?,
                q50: number(4)?,
                q84: number(5)?,
                q975: number(6)?,
                map: number(7)?,
                edge_frac: number(8)?,
            })
        };
        let read =
            |row: &Row<'_>| (0..SUMMARY_PARAMETERS.len()).map(|p| summary(row, p)).collect::<Result<_, _>>();
        Ok(self.conn.prepare_cached(&sql)?.query_row([id], read).optional()?.unwrap_or_default())
    }
}

/// A posterior, and the hashes that its samples and recipe should have.
fn read_posterior(row: &Row<'_>) -> rusqlite::Result<(StoredPosterior, [Option<ContentHash>; 2])> {
    let method: Option<String> = row.get(3)?;
    let posterior = StoredPosterior {
        id: row.get(0)?,
        set: row.get(1)?,
        row: PosteriorRow {
            galaxy: row.get(2)?,
            method: method.as_deref().and_then(Method::parse),
            reason: row.get(4)?,
            n_draws: row.get::<_, i64>(5)? as u64,
            n_bands: row.get(6)?,
            ess: row.get(7)?,
            efficiency: row.get(8)?,
            pareto_k: row.get(9)?,
            ln_evidence: row.get(10)?,
            ln_evidence_err: row.get(11)?,
            r_hat: row.get(12)?,
            acceptance: row.get(13)?,
            ood_score: row.get(14)?,
            chi2_best: row.get(15)?,
            ppc_p_value: row.get(16)?,
            codec: row.get(17)?,
            codec_ks: row.get(18)?,
            draws_hash: row.get(19)?,
            samples: row.get(21)?,
            recipe: row.get(23)?,
            summary: vec![],
        },
    };
    Ok((posterior, [row.get(20)?, row.get(22)?]))
}
