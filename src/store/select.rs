//! Typed selections of galaxies -> SQL and bound values, and galaxies read back.

use std::fmt::Write as _;

use rusqlite::types::Value as SqlValue;
use rusqlite::{OptionalExtension, params, params_from_iter};

use super::Store;
use super::browse::FROM_GALAXY;
use super::error::StoreError;
use super::ids::{BandSetId, GalaxyId, PosteriorSetId, SurveyId};
use super::posteriors::SUMMARY_PARAMETERS;
use crate::expr::{Bound, ExprError, Literal};
use crate::galaxy::{BandPhot, SkyPosition};
use crate::sky;

/// A circle on the sky, degrees.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cone {
    pub ra_deg: f64,
    pub dec_deg: f64,
    pub radius_deg: f64,
}

/// Which galaxies: those for which everything given here holds.
#[derive(Debug, Clone, Copy, Default)]
pub struct Selection<'a> {
    /// An SQL condition over the columns of [`Store::galaxy_columns`].
    pub condition: Option<&'a str>,
    /// Conditions made by [`Store::column_condition`], all of which must hold.
    pub bound: &'a [Bound],
    /// Only these.
    pub ids: Option<&'a [GalaxyId]>,
    pub cone: Option<Cone>,
    /// The posterior set whose summaries are columns; without, the current one.
    pub set: Option<PosteriorSetId>,
    /// Only galaxies that this set has neither an answer nor a reason for.
    pub not_in: Option<PosteriorSetId>,
    pub limit: Option<u64>,
}

/// A galaxy as the catalog has it, with its photometry in the order of its survey's bands.
#[derive(Debug, Clone, PartialEq)]
pub struct ObservedGalaxy {
    pub id: GalaxyId,
    pub survey: SurveyId,
    pub band_set: BandSetId,
    pub object_id: String,
    pub position: Option<SkyPosition>,
    pub redshift: Option<f64>,
    pub redshift_err: Option<f64>,
    pub cuts_failed: u64,
    pub photometry: Vec<BandPhot>,
}

/// SQL with the values to bind to its `?`s, in order.
#[derive(Debug, Clone)]
pub(super) struct BoundSql {
    pub sql: String,
    pub values: Vec<SqlValue>,
}

/// Columns of a selection beside [`Store::galaxy_columns`]: what it takes to get at the draws.
const POSTERIOR_COLUMNS: [(&str, &str); 6] = [
    ("posterior.id", "p.posterior_id"),
    ("posterior.codec", "p.codec"),
    ("posterior.codec_ks", "p.codec_ks"),
    ("posterior.stored", "p.samples_hash IS NOT NULL"),
    ("posterior.recipe", "p.recipe_hash IS NOT NULL"),
    ("samples", "p.samples"),
];

/// Quotes a name for SQL.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

impl Store {
    /// The columns that conditions and lists may name, each with its SQL over `galaxy g`, `survey s`,
    /// `posterior p` and `posterior_summary q`: the galaxy's own, flux, inverse variance and magnitude per
    /// band, extra columns of the input, and the current posterior set's summaries.
    pub fn galaxy_columns(&self) -> Result<Vec<(String, String)>, StoreError> {
        let mut columns: Vec<(String, String)> = [
            ("galaxy_id", "g.galaxy_id"),
            ("survey", "s.name"),
            ("object_id", "g.object_id"),
            ("ra_deg", "g.ra_deg"),
            ("dec_deg", "g.dec_deg"),
            ("redshift", "g.redshift"),
            ("redshift_err", "g.redshift_err"),
            ("cuts_failed", "g.cuts_failed"),
            ("healpix29", "g.healpix29"),
            ("ingest_id", "g.ingest_id"),
            ("source_row", "g.source_row"),
        ]
        .map(|(name, sql)| (name.to_owned(), sql.to_owned()))
        .to_vec();
        let mut taken: std::collections::BTreeSet<String> =
            columns.iter().map(|(name, _)| name.clone()).collect();
        let mut add = |name: String, sql: String| {
            if taken.insert(name.to_lowercase()) {
                columns.push((name, sql));
            }
        };
        let mut bands =
            self.conn.prepare_cached("SELECT DISTINCT name FROM band ORDER BY band_set_id, position")?;
        let bands =
            bands.query_map([], |row| row.get::<_, String>(0))?.collect::<rusqlite::Result<Vec<_>>>()?;
        for band in bands {
            let literal = format!("'{}'", band.replace('\'', "''"));
            let of = |what: &str| {
                format!(
                    "(SELECT {what} FROM photometry f JOIN band b USING (band_id) \
                     WHERE f.galaxy_id = g.galaxy_id AND b.band_set_id = s.band_set_id AND b.name = {literal})"
                )
            };
            add(format!("flux_nmgy_{band}"), of("f.flux_nmgy"));
            add(format!("ivar_nmgy_{band}"), of("f.ivar_nmgy"));
            add(format!("mag_{band}"), of("CASE WHEN f.flux_nmgy > 0 THEN ab_mag(f.flux_nmgy) END"));
            add(format!("phot_flags_{band}"), of("f.flags"));
        }
        for (name, sql) in [
            ("method", "p.method"),
            ("reason", "p.reason"),
            ("n_draws", "p.n_draws"),
            ("n_bands", "p.n_bands"),
            ("ess", "p.ess"),
            ("efficiency", "p.efficiency"),
            ("pareto_k", "p.pareto_k"),
            ("ln_evidence", "p.ln_evidence"),
            ("ln_evidence_err", "p.ln_evidence_err"),
            ("r_hat", "p.r_hat"),
            ("acceptance", "p.acceptance"),
            ("ood_score", "p.ood_score"),
            ("chi2_best", "p.chi2_best"),
            ("ppc_p_value", "p.ppc_p_value"),
        ] {
            add(name.to_owned(), sql.to_owned());
        }
        for parameter in SUMMARY_PARAMETERS {
            for suffix in super::posteriors::SUFFIXES {
                let name = format!("{parameter}_{suffix}");
                let sql = format!("q.{name}");
                add(name, sql);
            }
        }
        let mut extra = self
            .conn
            .prepare_cached("SELECT DISTINCT name FROM extra_column ORDER BY ingest_id, position")?;
        let extra =
            extra.query_map([], |row| row.get::<_, String>(0))?.collect::<rusqlite::Result<Vec<_>>>()?;
        for name in extra {
            // a JSON path with the key quoted; keys with quotes in them are found by query only
            if !name.contains('"') {
                let path = format!("$.\"{name}\"").replace('\'', "''");
                let sql = format!("(g.extra ->> '{path}')");
                add(name, sql);
            }
        }
        Ok(columns)
    }

    /// Columns of a selection that are not listed, except where the input has columns of such names.
    fn posterior_columns(&self) -> Result<Vec<(&'static str, &'static str)>, StoreError> {
        let listed = self.galaxy_columns()?;
        let free = |name: &str| !listed.iter().any(|(taken, _)| taken.eq_ignore_ascii_case(name));
        Ok(POSTERIOR_COLUMNS.into_iter().filter(|(name, _)| free(name)).collect())
    }

    /// The set whose summaries are a selection's columns.
    pub(super) fn set_of(&self, selection: &Selection<'_>) -> Result<Option<PosteriorSetId>, StoreError> {
        match selection.set {
            Some(set) => Ok(Some(set)),
            None => Ok(self.current_posterior_set()?.map(|set| set.id)),
        }
    }

    /// `SELECT outputs FROM galaxies WHERE selection ORDER BY galaxy_id`, over a table expression `galaxies`
    /// that has the columns of [`Store::galaxy_columns`].
    pub(super) fn selection_sql(
        &self,
        selection: &Selection<'_>,
        outputs: &str,
    ) -> Result<BoundSql, StoreError> {
        let mut bound = self.galaxies_sql(self.set_of(selection)?, FROM_GALAXY, &[], "1")?;
        let _ = write!(bound.sql, " SELECT {outputs} FROM galaxies WHERE 1");
        self.add_conditions(selection, &mut bound)?;
        bound.sql.push_str(" ORDER BY galaxy_id");
        if let Some(limit) = selection.limit {
            bound.sql.push_str(" LIMIT ?");
            bound.values.push(SqlValue::Integer(i64::try_from(limit).unwrap_or(i64::MAX)));
        }
        Ok(bound)
    }

    /// `WITH galaxies AS (...)`: the columns of [`Store::galaxy_columns`], those of the posterior and `more`, over
    /// `tables` where `only` holds; the set is the value `?1`.
    pub(super) fn galaxies_sql(
        &self,
        set: Option<PosteriorSetId>,
        tables: &str,
        more: &[(&str, &str)],
        only: &str,
    ) -> Result<BoundSql, StoreError> {
        let mut sql = String::from("WITH galaxies AS (SELECT ");
        for (i, (name, expression)) in self.galaxy_columns()?.iter().enumerate() {
            // writing to a String does not fail
            let _ = write!(sql, "{}{expression} AS {}", if i > 0 { ", " } else { "" }, quoted(name));
        }
        for (name, expression) in self.posterior_columns()?.iter().chain(more) {
            let _ = write!(sql, ", {expression} AS {}", quoted(name));
        }
        let _ = write!(sql, " FROM {tables} WHERE {only})");
        let set = set.map_or(SqlValue::Null, |set| SqlValue::Integer(set.0));
        Ok(BoundSql { sql, values: vec![set] })
    }

    /// ` AND ...` for everything a selection asks.
    pub(super) fn add_conditions(
        &self,
        selection: &Selection<'_>,
        bound: &mut BoundSql,
    ) -> Result<(), StoreError> {
        let BoundSql { sql, values } = bound;
        if let Some(cone) = selection.cone {
            // A join with the ranges goes by the index once for each; as many ORs would be scanned for.
            let ranges = sky::cone_ranges(cone.ra_deg, cone.dec_deg, cone.radius_deg);
            let _ = write!(
                sql,
                " AND galaxy_id IN (WITH cells (first, last) AS (VALUES {}) SELECT c.galaxy_id FROM cells CROSS JOIN \
                 galaxy c ON c.healpix29 BETWEEN cells.first AND cells.last \
                 WHERE separation_deg(c.ra_deg, c.dec_deg, ?, ?) <= ?)",
                vec!["(?, ?)"; ranges.len()].join(", ")
            );
            let cells = ranges.iter().flat_map(|range| [*range.start(), *range.end()]);
            values.extend(cells.map(|cell| SqlValue::Integer(cell as i64)));
            values.extend([cone.ra_deg, cone.dec_deg, cone.radius_deg].map(SqlValue::Real));
        }
        if let Some(ids) = selection.ids {
            sql.push_str(" AND galaxy_id IN (SELECT value FROM json_each(?))");
            let list: Vec<String> = ids.iter().map(GalaxyId::to_string).collect();
            values.push(SqlValue::Text(format!("[{}]", list.join(","))));
        }
        for bound in selection.bound {
            let _ = write!(sql, " AND {}", bound.sql);
            values.extend(bound.values.iter().map(|value| match value {
                Literal::Number(number) => SqlValue::Real(*number),
                Literal::Text(text) => SqlValue::Text(text.clone()),
            }));
        }
        if let Some(not_in) = selection.not_in {
            sql.push_str(
                " AND galaxy_id NOT IN (SELECT galaxy_id FROM posterior WHERE posterior_set_id = ?)",
            );
            values.push(SqlValue::Integer(not_in.0));
        }
        if let Some(condition) = selection.condition {
            self.check_condition(condition)?;
            // the line break ends a comment in the condition
            let _ = write!(sql, " AND ({condition}\n)");
        }
        Ok(())
    }

    /// Refuses what is no single expression, such as `1) UNION SELECT (1`.
    fn check_condition(&self, condition: &str) -> Result<(), StoreError> {
        let names = self.galaxy_columns()?.into_iter().map(|(name, _)| name);
        let names = names.chain(self.posterior_columns()?.into_iter().map(|(name, _)| name.to_owned()));
        let names: Vec<String> = names.map(|name| format!("NULL AS {}", quoted(&name))).collect();
        let before = format!("WITH galaxies AS (SELECT {}) SELECT CASE WHEN\n", names.join(", "));
        let sql = format!("{before}{condition}\nTHEN 1 END FROM galaxies");
        let wrong = |error: rusqlite::Error| {
            let at = match &error {
                rusqlite::Error::SqlInputError { offset, .. } => usize::try_from(*offset).unwrap_or(0),
                _ => 0,
            };
            let at = at.saturating_sub(before.len());
            if at > condition.len() {
                // the word it stumbled over is one of ours
                let end = condition.trim_end().chars().count();
                return StoreError::Expression(ExprError::new(condition, end, "it ends too early"));
            }
            let at = condition.char_indices().take_while(|(byte, _)| *byte < at).count();
            StoreError::Expression(ExprError::new(condition, at, super::error::what(&error)))
        };
        self.conn.prepare(&sql).map_err(wrong)?;
        Ok(())
    }

    /// Identifiers of the selected galaxies, ascending.
    pub fn select_galaxies(&self, selection: &Selection<'_>) -> Result<Vec<GalaxyId>, StoreError> {
        let bound = self.selection_sql(selection, "galaxy_id")?;
        let mut statement = self.conn.prepare(&bound.sql)?;
        let ids = statement.query_map(params_from_iter(bound.values), |row| row.get(0))?;
        Ok(ids.collect::<rusqlite::Result<_>>()?)
    }

    /// The galaxies of these identifiers, in their order.
    pub fn observed_galaxies(&self, ids: &[GalaxyId]) -> Result<Vec<ObservedGalaxy>, StoreError> {
        let mut galaxy = self.conn.prepare_cached(
            "SELECT g.survey_id, s.band_set_id, g.object_id, g.ra_deg, g.dec_deg, g.redshift, g.redshift_err, g.cuts_failed \
             FROM galaxy g JOIN survey s USING (survey_id) WHERE g.galaxy_id = ?1",
        )?;
        let mut bands = self.conn.prepare_cached(
            "SELECT f.flux_nmgy, f.ivar_nmgy, f.flags FROM band b LEFT JOIN photometry f \
             ON f.band_id = b.band_id AND f.galaxy_id = ?1 WHERE b.band_set_id = ?2 ORDER BY b.position",
        )?;
        let mut galaxies = Vec::with_capacity(ids.len());
        for &id in ids {
            let found = galaxy
                .query_row([id], |row| {
                    let position: (Option<f64>, Option<f64>) = (row.get(3)?, row.get(4)?);
                    Ok(ObservedGalaxy {
                        id,
                        survey: row.get(0)?,
                        band_set: row.get(1)?,
                        object_id: row.get(2)?,
                        position: position
                            .0
                            .zip(position.1)
                            .map(|(ra_deg, dec_deg)| SkyPosition { ra_deg, dec_deg }),
                        redshift: row.get(5)?,
                        redshift_err: row.get(6)?,
                        cuts_failed: row.get::<_, i64>(7)? as u64,
                        photometry: vec![],
                    })
                })
                .optional()?;
            let mut found = found.ok_or_else(|| StoreError::NoSuch {
                kind: "galaxy",
                name: id.to_string(),
                known: vec![],
            })?;
            let rows = bands.query_map(params![id, found.band_set], |row| {
                Ok(BandPhot {
                    flux_nmgy: row.get(0)?,
                    ivar_nmgy: row.get(1)?,
                    flags: row.get::<_, Option<u32>>(2)?.unwrap_or(0),
                })
            })?;
            found.photometry = rows.collect::<rusqlite::Result<_>>()?;
            galaxies.push(found);
        }
        Ok(galaxies)
    }

    /// Galaxies with that identifier, with their survey's name; several surveys may use the same.
    pub fn find_galaxies(&self, object_id: &str) -> Result<Vec<(GalaxyId, String)>, StoreError> {
        let mut statement = self.conn.prepare_cached(
            "SELECT g.galaxy_id, s.name FROM survey s JOIN galaxy g USING (survey_id) WHERE g.object_id = ?1 ORDER BY 1",
        )?;
        let rows = statement.query_map([object_id], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }
}
