//! A part of a catalog's galaxies in a file of their own, and what tells one catalog's galaxies from another's.

use rusqlite::{params, params_from_iter};

use super::Store;
use super::error::StoreError;
use super::ids::{GalaxyId, RunId};
use super::select::Selection;
use crate::hash::ContentHash;

/// An ingest as another catalog can recognise it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IngestFact {
    pub hash: ContentHash,
    pub survey: String,
    pub file_name: String,
}

impl Store {
    /// Calls `visit` with identifier, survey and the survey's identifier of every selected galaxy, by identifier.
    pub fn visit_names(
        &self,
        selection: &Selection<'_>,
        visit: &mut dyn FnMut(GalaxyId, &str, &str),
    ) -> Result<(), StoreError> {
        let bound = self.selection_sql(selection, "galaxy_id, survey, object_id")?;
        let mut statement = self.conn.prepare(&bound.sql)?;
        let mut rows = statement.query(params_from_iter(bound.values))?;
        while let Some(row) = rows.next()? {
            let text = |i| -> Result<&str, StoreError> {
                Ok(row.get_ref(i)?.as_str().map_err(rusqlite::Error::from)?)
            };
            visit(row.get(0)?, text(1)?, text(2)?);
        }
        Ok(())
    }

    /// The ingests that galaxies came with, in order.
    pub fn ingest_facts(&self) -> Result<Vec<IngestFact>, StoreError> {
        let mut statement = self.conn.prepare(
            "SELECT i.hash, s.name, i.file_name FROM ingest i JOIN survey s USING (survey_id) ORDER BY ingest_id",
        )?;
        let rows = statement.query_map([], |row| {
            Ok(IngestFact { hash: row.get(0)?, survey: row.get(1)?, file_name: row.get(2)? })
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Bytes of the file, with what is still in its log.
    pub fn size_bytes(&self) -> Result<u64, StoreError> {
        let pragma = |name| self.conn.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        Ok((pragma("page_count")? * pragma("page_size")?) as u64)
    }

    /// Copies galaxies of another catalog, with photometry, bands and surveys, into this one, which has none yet;
    /// all or nothing. Columns of the input that were kept stay behind.
    ///
    /// Their ingests stay incomplete unless `whole`: a part of one must not pass for it.
    pub fn take_galaxies(
        &mut self,
        run: RunId,
        from: &Store,
        ids: &[GalaxyId],
        whole: bool,
    ) -> Result<(), StoreError> {
        self.attached(from.path(), |conn| {
            conn.execute_batch(
                "CREATE TEMP TABLE IF NOT EXISTS taken (galaxy_id INTEGER PRIMARY KEY); DELETE FROM temp.taken; \
                 BEGIN IMMEDIATE;",
            )?;
            {
                let mut insert = conn.prepare("INSERT INTO temp.taken VALUES (?1)")?;
                for id in ids {
                    insert.execute([id])?;
                }
            }
            const INGESTS: &str = "(SELECT DISTINCT ingest_id FROM shard.galaxy JOIN temp.taken USING (galaxy_id))";
            let surveys = format!("(SELECT survey_id FROM shard.ingest WHERE ingest_id IN {INGESTS})");
            let bands = format!("(SELECT band_set_id FROM shard.survey WHERE survey_id IN {surveys})");
            let copies = [
                (
                    "filter_curve",
                    "filter_id, hash, name, wave_pivot_aa, n_wave, curve, curve_hash, run_id",
                    format!("filter_id IN (SELECT filter_id FROM shard.band WHERE band_set_id IN {bands})"),
                ),
                ("band_set", "band_set_id, hash, name, run_id", format!("band_set_id IN {bands}")),
                (
                    "band",
                    "band_id, band_set_id, position, name, filter_id, ucd",
                    format!("band_set_id IN {bands}"),
                ),
                (
                    "survey",
                    "survey_id, name, band_set_id, description, reference, run_id",
                    format!("survey_id IN {surveys}"),
                ),
                (
                    "cut_rule",
                    "cut_id, survey_id, bit, name, definition, description, hash, run_id",
                    format!("survey_id IN {surveys}"),
                ),
                (
                    "ingest",
                    "ingest_id, survey_id, run_id, hash, file_name, file_hash, n_bytes, format, layout, config, \
                     extinction, n_read, n_kept, n_rejected, complete",
                    format!("ingest_id IN {INGESTS}"),
                ),
                (
                    "galaxy",
                    "galaxy_id, survey_id, ingest_id, source_row, object_id, ra_deg, dec_deg, healpix29, redshift, \
                     redshift_err, cuts_failed",
                    "galaxy_id IN (SELECT galaxy_id FROM temp.taken)".to_owned(),
                ),
                (
                    "photometry",
                    "galaxy_id, band_id, flux_nmgy, ivar_nmgy, flags",
                    "galaxy_id IN (SELECT galaxy_id FROM temp.taken)".to_owned(),
                ),
            ];
            for (table, columns, condition) in copies {
                let values = columns
                    .split(", ")
                    .map(|column| match column {
                        "run_id" => "?1",
                        // It takes no galaxies once it is complete.
                        "complete" => "0",
                        other => other,
                    })
                    .collect::<Vec<_>>()
                    .join(", ");
                let sql = format!(
                    "INSERT INTO main.{table} ({columns}) SELECT {values} FROM shard.{table} WHERE {condition}"
                );
                let mut insert = conn.prepare(&sql)?;
                if insert.parameter_count() > 0 { insert.execute([run])? } else { insert.execute([])? };
            }
            if whole {
                conn.execute("UPDATE main.ingest SET complete = 1", params![])?;
            }
            conn.execute_batch("COMMIT")?;
            Ok(())
        })
    }
}
