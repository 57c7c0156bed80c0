//! Stellar grids, SED models, priors and noise models: what simulations depend on.

use rusqlite::{OptionalExtension, params};
use serde_json::Value;

use super::error::StoreError;
use super::ids::{NoiseModelId, PriorId, RunId, SedModelId, SspGridId};
use super::runs::Artifact;
use super::{ProductKind, Store, verify_blob};
use crate::hash::ContentHash;
use crate::noise::NoiseModel;
use crate::prior::{BetaPrior, Density, PARAMS, Prior, PriorSpec};

/// A grid of simple stellar populations, for the record or with its bytes.
#[derive(Debug, Clone, Copy)]
pub struct SspGridSpec<'a> {
    pub hash: ContentHash,
    pub name: &'a str,
    pub imf: &'a str,
    pub isochrones: &'a str,
    pub library: &'a str,
    pub lsun_erg_s: f64,
    /// `None` for the grid shipped with the program.
    pub bytes: Option<&'a [u8]>,
}

/// A product by name and content, as lists show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named<Id> {
    pub id: Id,
    pub name: String,
    pub hash: ContentHash,
}

/// A grid as the catalog lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownGrid {
    pub id: SspGridId,
    pub name: String,
    pub hash: ContentHash,
    pub imf: String,
    pub isochrones: String,
    pub library: String,
    /// Length of the grid in the catalog; `None` for one that came with the program.
    pub n_bytes: Option<u64>,
}

impl Store {
    /// Registers a grid; the same hash is the same grid. One registered without its bytes, when it came
    /// with the program, is given them.
    pub fn put_ssp_grid(&mut self, run: RunId, grid: &SspGridSpec<'_>) -> Result<SspGridId, StoreError> {
        if let Some(bytes) = grid.bytes {
            self.conn.execute(
                "UPDATE ssp_grid SET grid = ?2, grid_hash = ?3 WHERE hash = ?1 AND grid IS NULL",
                params![grid.hash, bytes, ContentHash::of_bytes(bytes)],
            )?;
        }
        self.conn.execute(
            "INSERT INTO ssp_grid (hash, name, imf, isochrones, library, lsun_erg_s, grid, grid_hash, run_id) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT (hash) DO NOTHING",
            params![
                grid.hash,
                grid.name,
                grid.imf,
                grid.isochrones,
                grid.library,
                grid.lsun_erg_s,
                grid.bytes,
                grid.bytes.map(ContentHash::of_bytes),
                run
            ],
        )?;
        self.id_of_hash("ssp_grid", "ssp_grid_id", grid.hash).map(SspGridId)
    }

    /// A stored grid's bytes; `None` for the grid shipped with the program.
    pub fn ssp_grid_bytes(&self, id: SspGridId) -> Result<Option<Vec<u8>>, StoreError> {
        let (name, bytes, hash): (String, Option<Vec<u8>>, Option<ContentHash>) = self.conn.query_row(
            "SELECT name, grid, grid_hash FROM ssp_grid WHERE ssp_grid_id = ?1",
            [id],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )?;
        if let Some((bytes, hash)) = bytes.as_deref().zip(hash) {
            verify_blob(|| format!("the grid `{name}`"), bytes, hash)?;
        }
        Ok(bytes)
    }

    /// All grids, oldest first.
    pub fn ssp_grids(&self) -> Result<Vec<KnownGrid>, StoreError> {
        let sql = "SELECT ssp_grid_id, name, hash, imf, isochrones, library, length(grid) FROM ssp_grid \
                   ORDER BY ssp_grid_id";
        let mut statement = self.conn.prepare_cached(sql)?;
        let rows = statement.query_map([], |row| {
            Ok(KnownGrid {
                id: row.get(0)?,
                name: row.get(1)?,
                hash: row.get(2)?,
                imf: row.get(3)?,
                isochrones: row.get(4)?,
                library: row.get(5)?,
                n_bytes: row.get::<_, Option<i64>>(6)?.map(|n| n as u64),
            })
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Registers an SED model; the same hash is the same model. `definition` is a JSON object.
    pub fn put_sed_model(
        &mut self,
        run: RunId,
        name: &str,
        hash: ContentHash,
        grid: SspGridId,
        definition: &Value,
    ) -> Result<SedModelId, StoreError> {
        self.conn.execute(
            "INSERT INTO sed_model (hash, name, ssp_grid_id, definition, run_id) VALUES (?1, ?2, ?3, ?4, ?5) \
             ON CONFLICT (hash) DO NOTHING",
            params![hash, name, grid, definition.to_string(), run],
        )?;
        self.id_of_hash("sed_model", "sed_model_id", hash).map(SedModelId)
    }

    /// A model's name, hash and definition.
    pub fn sed_model(&self, id: SedModelId) -> Result<(Named<SedModelId>, SspGridId, Value), StoreError> {
        let (named, grid, text): (_, _, String) = self.conn.query_row(
            "SELECT sed_model_id, name, hash, ssp_grid_id, definition FROM sed_model WHERE sed_model_id = ?1",
            [id],
            |row| {
                Ok((
                    Named { id: row.get(0)?, name: row.get(1)?, hash: row.get(2)? },
                    row.get(3)?,
                    row.get(4)?,
                ))
            },
        )?;
        let definition = parse_json(|| format!("SED model {}", named.name), &text)?;
        Ok((named, grid, definition))
    }

    /// Registers a prior under a name; the same prior is registered once, under its first name.
    pub fn put_prior(&mut self, run: RunId, name: &str, prior: &Prior) -> Result<PriorId, StoreError> {
        let (hash, definition) = (prior.hash()?, prior.to_json()?);
        let tx = self.conn.transaction()?;
        let inserted = tx.execute(
            "INSERT INTO prior (hash, name, definition, run_id) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (hash) DO NOTHING",
            params![hash, name, definition, run],
        )?;
        let id: PriorId =
            tx.query_row("SELECT prior_id FROM prior WHERE hash = ?1", [hash], |row| row.get(0))?;
        if inserted > 0 {
            let mut statement = tx.prepare(
                "INSERT INTO prior_parameter (prior_id, position, parameter, kind, lower, upper, mean, sd, alpha, value) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            )?;
            for (position, row) in parameter_rows(prior.spec()).iter().enumerate() {
                let [lower, upper, mean, sd, alpha, value] = row.numbers;
                statement.execute(params![
                    id,
                    position as i64,
                    row.parameter,
                    row.kind,
                    lower,
                    upper,
                    mean,
                    sd,
                    alpha,
                    value
                ])?;
            }
        }
        tx.commit()?;
        if inserted > 0 {
            self.add_run_output(run, &Artifact::product(ProductKind::Prior, name, hash))?;
        }
        Ok(id)
    }

    pub fn prior(&self, id: PriorId) -> Result<(Named<PriorId>, Prior), StoreError> {
        let (named, text): (_, String) = self.conn.query_row(
            "SELECT prior_id, name, hash, definition FROM prior WHERE prior_id = ?1",
            [id],
            |row| Ok((Named { id: row.get(0)?, name: row.get(1)?, hash: row.get(2)? }, row.get(3)?)),
        )?;
        let prior = Prior::from_json(&text)?;
        check_definition("prior", &named.name, named.hash, prior.hash()?)?;
        Ok((named, prior))
    }

    /// The latest prior of that name, if any.
    pub fn find_prior(&self, name: &str) -> Result<Option<PriorId>, StoreError> {
        let sql = "SELECT prior_id FROM prior WHERE name = ?1 ORDER BY prior_id DESC LIMIT 1";
        Ok(self.conn.query_row(sql, [name], |row| row.get(0)).optional()?)
    }

    /// Registers a noise model; the same bands and numbers are registered once.
    pub fn put_noise_model(&mut self, run: RunId, model: &NoiseModel) -> Result<NoiseModelId, StoreError> {
        let (hash, definition) = (model.hash()?, model.to_json()?);
        let tx = self.conn.transaction()?;
        let inserted = tx.execute(
            "INSERT INTO noise_model (hash, name, source, definition, run_id) VALUES (?1, ?2, ?3, ?4, ?5) \
             ON CONFLICT (hash) DO NOTHING",
            params![hash, model.name, model.source, definition, run],
        )?;
        let id =
            tx.query_row("SELECT noise_model_id FROM noise_model WHERE hash = ?1", [hash], |row| row.get(0))?;
        if inserted > 0 {
            let mut statement = tx.prepare(
                "INSERT INTO noise_bin (noise_model_id, filter_name, mag, sigma_mag, sigma_mag_sd, n_galaxies) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?;
            for band in &model.bands {
                let bins = band.mag.iter().zip(&band.sigma_median).zip(&band.sigma_sd).zip(&band.count);
                for (((mag, sigma), sd), count) in bins {
                    statement.execute(params![id, band.band, mag, sigma, sd, *count as i64])?;
                }
            }
        }
        tx.commit()?;
        if inserted > 0 {
            self.add_run_output(run, &Artifact::product(ProductKind::NoiseModel, &model.name, hash))?;
        }
        Ok(id)
    }

    pub fn noise_model(&self, id: NoiseModelId) -> Result<(Named<NoiseModelId>, NoiseModel), StoreError> {
        let (named, text): (_, String) = self.conn.query_row(
            "SELECT noise_model_id, name, hash, definition FROM noise_model WHERE noise_model_id = ?1",
            [id],
            |row| Ok((Named { id: row.get(0)?, name: row.get(1)?, hash: row.get(2)? }, row.get(3)?)),
        )?;
        let model = NoiseModel::from_json(&text)?;
        check_definition("noise model", &named.name, named.hash, model.hash()?)?;
        Ok((named, model))
    }

    /// The latest noise model of that name, if any.
    pub fn find_noise_model(&self, name: &str) -> Result<Option<NoiseModelId>, StoreError> {
        let sql =
            "SELECT noise_model_id FROM noise_model WHERE name = ?1 ORDER BY noise_model_id DESC LIMIT 1";
        Ok(self.conn.query_row(sql, [name], |row| row.get(0)).optional()?)
    }

    /// Row of a content-addressed table; table and column are this program's own words.
    pub(super) fn id_of_hash(&self, table: &str, id: &str, hash: ContentHash) -> Result<i64, StoreError> {
        let sql = format!("SELECT {id} FROM {table} WHERE hash = ?1");
        Ok(self.conn.prepare_cached(&sql)?.query_row([hash], |row| row.get(0))?)
    }
}

pub(super) fn parse_json(what: impl FnOnce() -> String, text: &str) -> Result<Value, StoreError> {
    serde_json::from_str(text).map_err(|source| StoreError::Json { what: what(), source })
}

fn check_definition(
    kind: &str,
    name: &str,
    expected: ContentHash,
    found: ContentHash,
) -> Result<(), StoreError> {
    if expected == found {
        return Ok(());
    }
    let what = format!("the {kind} `{name}`");
    Err(StoreError::Checksum { what, expected: expected.short(), found: found.short() })
}

struct ParameterRow {
    parameter: &'static str,
    kind: &'static str,
    /// lower, upper, mean, sd, alpha, value
    numbers: [Option<f64>; 6],
}

fn parameter_rows(spec: &PriorSpec) -> Vec<ParameterRow> {
    let scalar = |parameter, density: &Density| {
        let (kind, numbers) = match *density {
            Density::Uniform { lower, upper } => {
                ("uniform", [Some(lower), Some(upper), None, None, None, None])
            }
            Density::LogUniform { lower, upper } => {
                ("log_uniform", [Some(lower), Some(upper), None, None, None, None])
            }
            Density::Normal { mean, sd } => ("normal", [None, None, Some(mean), Some(sd), None, None]),
            Density::TruncatedNormal { mean, sd, lower, upper } => {
                ("truncated_normal", [Some(lower), Some(upper), Some(mean), Some(sd), None, None])
            }
            Density::Fixed { value } => ("fixed", [None, None, None, None, None, Some(value)]),
        };
        ParameterRow { parameter, kind, numbers }
    };
    let beta = |i: usize, parameter| match spec.beta {
        BetaPrior::Dirichlet { alpha } => ParameterRow {
            parameter,
            kind: "dirichlet",
            numbers: [None, None, None, None, Some(alpha[i]), None],
        },
        BetaPrior::Fixed { value } => {
            ParameterRow { parameter, kind: "fixed", numbers: [None, None, None, None, None, Some(value[i])] }
        }
    };
    let name = |i: usize| PARAMS[i].name;
    let mut rows = vec![scalar(name(0), &spec.log_mstar)];
    rows.extend((0..4).map(|i| beta(i, name(1 + i))));
    let rest = [
        &spec.fburst,
        &spec.tburst,
        &spec.log_gamma1,
        &spec.log_gamma2,
        &spec.tau_bc,
        &spec.tau_ism,
        &spec.n_dust,
    ];
    rows.extend(rest.iter().enumerate().map(|(i, density)| scalar(name(5 + i), density)));
    rows.push(scalar("zred", &spec.zred));
    rows
}
