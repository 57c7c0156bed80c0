//! Posterior sets side by side: what each was made from, which galaxies it has, their summaries.

use std::sync::OnceLock;

use rusqlite::{OptionalExtension, params};
use serde_json::Value;

use super::answers::Outline;
use super::error::StoreError;
use super::ids::{GalaxyId, PosteriorId, PosteriorSetId};
use super::models::parse_json;
use super::posteriors::SUMMARY_PARAMETERS;
use super::{ProductKind, Store};
use crate::hash::ContentHash;

/// A product that a set was made with, as people know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ingredient {
    pub name: String,
    pub hash: ContentHash,
}

/// A posterior set and everything its posteriors depend on but the galaxies.
#[derive(Debug, Clone, PartialEq)]
pub struct SetFacts {
    pub id: PosteriorSetId,
    pub hash: ContentHash,
    pub name: String,
    pub complete: bool,
    /// Hash of all its rows, once it is complete.
    pub content: Option<ContentHash>,
    pub checkpoint: Option<Ingredient>,
    pub sed_model: Ingredient,
    pub prior: Ingredient,
    pub seed: u64,
    pub n_draws: u64,
    pub config: Value,
    /// Programs of the runs that made it (`0.1.0 (5f3a...)`), each once.
    pub programs: Vec<String>,
    pub begun_utc: String,
    pub n_answers: u64,
    pub n_reasons: u64,
}

/// One galaxy of a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Place of the galaxy's survey in [`Store::surveys`].
    pub survey: u16,
    pub object_id: Box<str>,
    pub galaxy: GalaxyId,
    pub posterior: PosteriorId,
    /// How the posterior was made; `None` where there is only a reason.
    pub method: Option<super::Method>,
    pub reason: Option<Box<str>>,
    /// The stored draws, by hash; else of the draws that the recipe must give.
    pub draws: Option<ContentHash>,
    pub stored: bool,
}

impl Store {
    /// All sets, newest first.
    pub fn set_facts(&self) -> Result<Vec<SetFacts>, StoreError> {
        let mut statement = self.conn.prepare_cached(
            "SELECT s.posterior_set_id, s.hash, s.name, s.complete, s.content_hash, c.name, c.hash, m.name, m.hash, \
             p.name, p.hash, s.seed, s.n_draws, s.config, r.started_utc, \
             (SELECT count(method) FROM posterior a WHERE a.posterior_set_id = s.posterior_set_id), \
             (SELECT count(*) - count(method) FROM posterior a WHERE a.posterior_set_id = s.posterior_set_id) \
             FROM posterior_set s LEFT JOIN checkpoint c USING (checkpoint_id) \
             JOIN sed_model m ON m.sed_model_id = s.sed_model_id JOIN prior p ON p.prior_id = s.prior_id \
             JOIN run r ON r.run_id = s.run_id ORDER BY s.posterior_set_id DESC",
        )?;
        let rows = statement.query_map([], |row| {
            let checkpoint_hash: Option<ContentHash> = row.get(6)?;
            let checkpoint_name: Option<String> = row.get(5)?;
            let facts = SetFacts {
                id: row.get(0)?,
                hash: row.get(1)?,
                name: row.get(2)?,
                complete: row.get(3)?,
                content: row.get(4)?,
                checkpoint: checkpoint_hash
                    .map(|hash| Ingredient { name: checkpoint_name.unwrap_or_else(|| hash.short()), hash }),
                sed_model: Ingredient { name: row.get(7)?, hash: row.get(8)? },
                prior: Ingredient { name: row.get(9)?, hash: row.get(10)? },
                seed: row.get::<_, i64>(11)? as u64,
                n_draws: row.get::<_, i64>(12)? as u64,
                config: Value::Null,
                programs: vec![],
                begun_utc: row.get(14)?,
                n_answers: row.get::<_, i64>(15)? as u64,
                n_reasons: row.get::<_, i64>(16)? as u64,
            };
            Ok((facts, row.get::<_, String>(13)?))
        })?;
        let mut programs = self.conn.prepare_cached(
            "SELECT DISTINCT r.program_version || ' (' || substr(r.git_commit, 1, 12) || ')' FROM run_output o \
             JOIN run r USING (run_id) WHERE o.kind = ?1 AND o.hash = ?2 ORDER BY 1",
        )?;
        rows.map(|row| {
            let (mut facts, config) = row?;
            facts.config = parse_json(|| format!("posterior set {}", facts.name), &config)?;
            let made = programs
                .query_map(params![ProductKind::PosteriorSet.as_str(), facts.hash], |row| row.get(0))?;
            facts.programs = made.collect::<rusqlite::Result<_>>()?;
            Ok(facts)
        })
        .collect()
    }

    /// The galaxies of a set, in no order.
    pub fn set_members(&self, set: PosteriorSetId) -> Result<Vec<Member>, StoreError> {
        let surveys = self.surveys()?;
        let mut statement = self.conn.prepare_cached(
            "SELECT g.survey_id, g.object_id, g.galaxy_id, p.posterior_id, p.method, p.reason, \
             coalesce(p.samples_hash, p.draws_hash), p.samples_hash IS NOT NULL \
             FROM posterior p JOIN galaxy g USING (galaxy_id) WHERE p.posterior_set_id = ?1",
        )?;
        let rows = statement.query_map([set], |row| {
            let survey: super::SurveyId = row.get(0)?;
            let method: Option<String> = row.get(4)?;
            Ok(Member {
                survey: surveys.iter().position(|known| known.id == survey).unwrap_or(0) as u16,
                object_id: row.get::<_, String>(1)?.into_boxed_str(),
                galaxy: row.get(2)?,
                posterior: row.get(3)?,
                method: method.as_deref().and_then(super::Method::parse),
                reason: row.get::<_, Option<String>>(5)?.map(String::into_boxed_str),
                draws: row.get(6)?,
                stored: row.get(7)?,
            })
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// The summary of a posterior, in the order of [`SUMMARY_PARAMETERS`]; `None` where there is none.
    pub fn outlines(&self, id: PosteriorId) -> Result<Option<Vec<Outline>>, StoreError> {
        static SQL: OnceLock<String> = OnceLock::new();
        let sql = SQL.get_or_init(|| {
            let suffixes = ["mean", "std", "q025", "q16", "q50", "q84", "q975"];
            let columns: Vec<String> = SUMMARY_PARAMETERS
                .iter()
                .flat_map(|parameter| suffixes.map(|suffix| format!("{parameter}_{suffix}")))
                .collect();
            format!("SELECT {} FROM posterior_summary WHERE posterior_id = ?1", columns.join(", "))
        });
        let mut statement = self.conn.prepare_cached(sql)?;
        let read = |row: &rusqlite::Row<'_>| {
            (0..SUMMARY_PARAMETERS.len())
                .map(|parameter| super::answers::read_outline(row, 7 * parameter))
                .collect()
        };
        Ok(statement.query_row([id], read).optional()?)
    }
}
