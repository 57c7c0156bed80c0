//! Names as users type them -> runs, surveys, galaxies and products; and what refers to what.

use rusqlite::{OptionalExtension, Row, params};

use super::error::StoreError;
use super::ids::{GalaxyId, RunId, SurveyId};
use super::{ProductKind, Store};
use crate::hash::ContentHash;

/// Any product, as the view `product` lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Product {
    pub kind: ProductKind,
    pub id: i64,
    pub name: Option<String>,
    pub hash: ContentHash,
    pub run: RunId,
}

impl Product {
    /// `checkpoint:3`, which [`Store::find_thing`] finds again.
    pub fn handle(&self) -> String {
        format!("{}:{}", self.kind.as_str(), self.id)
    }
}

/// What a name can stand for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Thing {
    Run(RunId),
    Survey { id: SurveyId, name: String },
    Galaxy { id: GalaxyId, survey: String, object_id: String },
    Product(Product),
}

impl Thing {
    pub fn handle(&self) -> String {
        match self {
            Thing::Run(id) => format!("run:{id}"),
            Thing::Survey { name, .. } => format!("survey:{name}"),
            Thing::Galaxy { survey, object_id, .. } => format!("galaxy:{survey}/{object_id}"),
            Thing::Product(product) => product.handle(),
        }
    }
}

/// Columns by which rows of one kind refer to another: (kind, its table and column, the kind referred to).
pub(super) const REFERENCES: [(ProductKind, &str, &str, ProductKind); 19] = {
    use ProductKind::*;
    [
        (SedModel, "sed_model", "ssp_grid_id", SspGrid),
        (TrainingSet, "training_set", "sed_model_id", SedModel),
        (TrainingSet, "training_set", "prior_id", Prior),
        (TrainingSet, "training_set", "noise_model_id", NoiseModel),
        (TrainingSet, "training_set", "band_set_id", BandSet),
        (Training, "training", "training_set_id", TrainingSet),
        (Checkpoint, "checkpoint", "training_id", Training),
        (Checkpoint, "checkpoint", "sed_model_id", SedModel),
        (Checkpoint, "checkpoint", "prior_id", Prior),
        (Checkpoint, "checkpoint", "noise_model_id", NoiseModel),
        (Checkpoint, "checkpoint", "band_set_id", BandSet),
        (Validation, "validation", "checkpoint_id", Checkpoint),
        (PosteriorSet, "posterior_set", "checkpoint_id", Checkpoint),
        (PosteriorSet, "posterior_set", "sed_model_id", SedModel),
        (PosteriorSet, "posterior_set", "prior_id", Prior),
        (Release, "release", "posterior_set_id", PosteriorSet),
        (BandSet, "band", "filter_id", Filter),
        // through the survey, as an ingest has its bands from there
        (Ingest, "ingest JOIN survey USING (survey_id)", "band_set_id", BandSet),
        // through its galaxies
        (PosteriorSet, "posterior JOIN galaxy USING (galaxy_id)", "ingest_id", Ingest),
    ]
};

fn read_product(row: &Row<'_>) -> rusqlite::Result<Product> {
    let kind: String = row.get(0)?;
    let kind = ProductKind::ALL.into_iter().find(|k| k.as_str() == kind);
    Ok(Product {
        kind: kind.ok_or(rusqlite::Error::InvalidQuery)?,
        id: row.get(1)?,
        name: row.get(2)?,
        hash: row.get(3)?,
        run: row.get(4)?,
    })
}

fn galaxy(id: GalaxyId, survey: String, object_id: &str) -> Thing {
    Thing::Galaxy { id, survey, object_id: object_id.to_owned() }
}

impl Store {
    /// What a name stands for: `run:3`, `survey:nsa`, `galaxy:140` or `galaxy:nsa/140`, `checkpoint:default` (a
    /// kind of product with its name, number or hash), or without the kind an identifier, name or hash.
    ///
    /// Errors with [`StoreError::Ambiguous`] where it could be several things.
    pub fn find_thing(&self, name: &str) -> Result<Thing, StoreError> {
        let candidates = match name.split_once(':') {
            Some(("run", id)) => self.find_runs(id)?,
            Some(("survey", survey)) => self.find_surveys(survey)?,
            Some(("galaxy", galaxy)) => self.find_galaxy_things(galaxy)?,
            Some((kind, rest)) if ProductKind::ALL.iter().any(|k| k.as_str() == kind) => {
                let found =
                    self.find_products(rest)?.into_iter().filter(|product| product.kind.as_str() == kind);
                found.map(Thing::Product).collect()
            }
            _ => {
                let mut all = self.find_galaxy_things(name)?;
                all.extend(self.find_surveys(name)?);
                // a bare number is no product's number
                if name.parse::<i64>().is_err() {
                    all.extend(self.find_products(name)?.into_iter().map(Thing::Product));
                }
                all
            }
        };
        match <[Thing; 1]>::try_from(candidates) {
            Ok([thing]) => Ok(thing),
            Err(several) if several.is_empty() => Err(StoreError::NoSuch {
                kind: "run, survey, galaxy or product",
                name: name.to_owned(),
                known: vec![],
            }),
            Err(several) => Err(StoreError::Ambiguous {
                name: name.to_owned(),
                candidates: several.iter().map(Thing::handle).collect(),
            }),
        }
    }

    fn find_runs(&self, id: &str) -> Result<Vec<Thing>, StoreError> {
        let Ok(id) = id.parse::<i64>() else { return Ok(vec![]) };
        let known = self
            .conn
            .query_row("SELECT run_id FROM run WHERE run_id = ?1", [id], |row| row.get(0))
            .optional()?;
        Ok(known.map(Thing::Run).into_iter().collect())
    }

    fn find_surveys(&self, name: &str) -> Result<Vec<Thing>, StoreError> {
        let survey = self.find_survey(name)?;
        Ok(survey.map(|survey| Thing::Survey { id: survey.id, name: survey.name }).into_iter().collect())
    }

    fn find_galaxy_things(&self, name: &str) -> Result<Vec<Thing>, StoreError> {
        let mut found: Vec<Thing> =
            self.find_galaxies(name)?.into_iter().map(|(id, survey)| galaxy(id, survey, name)).collect();
        let Some((wanted, object_id)) = name.split_once('/') else { return Ok(found) };
        let within = self.find_galaxies(object_id)?.into_iter().filter(|(_, survey)| survey == wanted);
        found.extend(within.map(|(id, survey)| galaxy(id, survey, object_id)));
        Ok(found)
    }

    /// Products of that name, number or hash (at least four digits of it).
    fn find_products(&self, name: &str) -> Result<Vec<Product>, StoreError> {
        let is_hash = name.len() >= 4 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
        let sql = "SELECT kind, id, name, hash, run_id FROM product \
                   WHERE name = ?1 OR CAST(id AS TEXT) = ?1 OR (?2 AND lower(hex(hash)) LIKE lower(?1) || '%')";
        let mut statement = self.conn.prepare_cached(sql)?;
        let rows = statement.query_map(params![name, is_hash], read_product)?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// The product with that hash, if it is (still) there.
    pub fn product_of_hash(&self, hash: ContentHash) -> Result<Option<Product>, StoreError> {
        let sql = "SELECT kind, id, name, hash, run_id FROM product WHERE hash = ?1";
        Ok(self.conn.prepare_cached(sql)?.query_row([hash], read_product).optional()?)
    }

    /// All products, oldest first within each kind.
    pub fn products(&self) -> Result<Vec<Product>, StoreError> {
        let mut statement = self.conn.prepare_cached("SELECT kind, id, name, hash, run_id FROM product")?;
        Ok(statement.query_map([], read_product)?.collect::<rusqlite::Result<_>>()?)
    }

    /// The runs that made a product or added to it, in order.
    pub fn runs_of(&self, product: &Product) -> Result<Vec<RunId>, StoreError> {
        let sql = "SELECT run_id FROM run_output WHERE hash = ?1 AND kind = ?2 UNION SELECT ?3 ORDER BY 1";
        let mut statement = self.conn.prepare_cached(sql)?;
        let rows = statement
            .query_map(params![product.hash, product.kind.as_str(), product.run], |row| row.get(0))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// The products that this one is built on, by its own columns.
    pub fn parts_of(&self, product: &Product) -> Result<Vec<Product>, StoreError> {
        let mut parts = Vec::new();
        for (_, from, column, to) in REFERENCES.into_iter().filter(|(kind, ..)| *kind == product.kind) {
            let own = product.kind.as_str().replace('-', "_");
            let sql = format!(
                "SELECT kind, id, name, hash, run_id FROM product WHERE kind = ?1 \
                 AND id IN (SELECT {column} FROM {from} WHERE {own}_id = ?2)"
            );
            let mut statement = self.conn.prepare_cached(&sql)?;
            let rows = statement.query_map(params![to.as_str(), product.id], read_product)?;
            parts.extend(rows.collect::<rusqlite::Result<Vec<_>>>()?);
        }
        if product.kind == ProductKind::Checkpoint {
            let sql = "SELECT p.kind, p.id, p.name, p.hash, p.run_id FROM ensemble_member m \
                       JOIN product p ON p.kind = 'checkpoint' AND p.id = m.checkpoint_id \
                       WHERE m.ensemble = ?1 ORDER BY m.position";
            let mut statement = self.conn.prepare_cached(sql)?;
            let rows = statement.query_map([&product.name], read_product)?;
            parts.extend(rows.collect::<rusqlite::Result<Vec<_>>>()?);
        }
        Ok(parts)
    }

    /// The ingest that brought a galaxy, and the posterior sets it is in.
    pub fn products_of_galaxy(&self, galaxy: GalaxyId) -> Result<Vec<Product>, StoreError> {
        let sql = "SELECT kind, id, name, hash, run_id FROM product \
                   WHERE kind = 'ingest' AND id = (SELECT ingest_id FROM galaxy WHERE galaxy_id = ?1) \
                   OR kind = 'posterior-set' AND id IN (SELECT posterior_set_id FROM posterior WHERE galaxy_id = ?1)";
        let mut statement = self.conn.prepare_cached(sql)?;
        Ok(statement.query_map([galaxy], read_product)?.collect::<rusqlite::Result<_>>()?)
    }

    /// The ingests of a survey.
    pub fn products_of_survey(&self, survey: SurveyId) -> Result<Vec<Product>, StoreError> {
        let sql = "SELECT kind, id, name, hash, run_id FROM product \
                   WHERE kind = 'ingest' AND id IN (SELECT ingest_id FROM ingest WHERE survey_id = ?1)";
        let mut statement = self.conn.prepare_cached(sql)?;
        Ok(statement.query_map([survey], read_product)?.collect::<rusqlite::Result<_>>()?)
    }
}
