//! Shards of a posterior set, made elsewhere, into one set: galaxies matched by survey and identifier.

use std::path::Path;

use rusqlite::limits::Limit;
use rusqlite::{Connection, params};
use serde_json::Value;

use super::error::StoreError;
use super::ids::{PosteriorSetId, RunId};
use super::posteriors::PosteriorSet;
use super::{Store, files};
use crate::hash::ContentHash;

/// Galaxies of one transaction.
const BATCH: i64 = 256;
/// At most this many conflicts of one kind are spelled out.
const SPELLED_OUT: usize = 10;

/// What a shard brought.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Merged {
    /// Answers and reasons that were not there.
    pub n_added: u64,
    /// Those that were, the same.
    pub n_known: u64,
    /// Galaxies that came with them.
    pub n_galaxies: u64,
}

/// Everything that two shards of one set have in common.
#[derive(Debug, Clone, PartialEq)]
pub struct SetIdentity {
    pub checkpoint: Option<ContentHash>,
    pub sed_model: ContentHash,
    pub prior: ContentHash,
    pub seed: u64,
    pub n_draws: u64,
    pub parameters: Vec<String>,
    /// The configuration without what differs between shards: which galaxies, and how draws are kept.
    pub config: Value,
}

/// Keys of a set's configuration that do not change its draws.
const FREE_KEYS: [&str; 5] = ["where", "of_set", "shard", "samples", "recipe"];

impl SetIdentity {
    /// Where two identities differ, in words.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let hash = |hash: Option<ContentHash>| hash.map_or("none".to_owned(), |hash| hash.short());
        let pairs = [
            ("checkpoint", hash(self.checkpoint), hash(other.checkpoint)),
            ("SED model", self.sed_model.short(), other.sed_model.short()),
            ("prior", self.prior.short(), other.prior.short()),
            ("seed", self.seed.to_string(), other.seed.to_string()),
            ("number of draws", self.n_draws.to_string(), other.n_draws.to_string()),
            ("columns", self.parameters.join(" "), other.parameters.join(" ")),
            ("configuration", self.config.to_string(), other.config.to_string()),
        ];
        let differ = pairs.into_iter().filter(|(_, a, b)| a != b);
        differ.map(|(what, a, b)| format!("its {what} is {b}, that of the first is {a}")).collect()
    }
}

impl Store {
    /// What a set has in common with its shards.
    pub fn set_identity(&self, set: &PosteriorSet) -> Result<SetIdentity, StoreError> {
        let hash = |table: &str, id: i64| -> Result<ContentHash, StoreError> {
            let sql = format!("SELECT hash FROM {table} WHERE {table}_id = ?1");
            Ok(self.conn.query_row(&sql, [id], |row| row.get(0))?)
        };
        let mut config = set.config.clone();
        if let Some(config) = config.as_object_mut() {
            FREE_KEYS.iter().for_each(|key| drop(config.shift_remove(*key)));
        }
        Ok(SetIdentity {
            checkpoint: set.checkpoint.map(|id| hash("checkpoint", id.0)).transpose()?,
            sed_model: hash("sed_model", set.sed_model.0)?,
            prior: hash("prior", set.prior.0)?,
            seed: set.seed,
            n_draws: set.n_draws,
            parameters: set.parameters.clone(),
            config,
        })
    }

    /// Brings the rows of a shard's set into `set`, with galaxies that this catalog does not have.
    ///
    /// Rows that are there already, the same, are passed over, so that doing it again does nothing. Errors with
    /// [`StoreError::Conflicts`], before anything of the shard is written, where the two say different things.
    pub fn merge_shard(
        &mut self,
        run: RunId,
        shard: &Store,
        shard_set: PosteriorSetId,
        set: PosteriorSetId,
    ) -> Result<Merged, StoreError> {
        let complete = self.posterior_set(set)?.complete;
        let name = shard.path().display().to_string();
        self.attached(shard.path(), |conn| {
            conn.execute_batch(
                "CREATE TEMP TABLE IF NOT EXISTS merging (shard_set INTEGER, main_set INTEGER, run INTEGER); \
                 DELETE FROM temp.merging;",
            )?;
            conn.execute("INSERT INTO temp.merging VALUES (?1, ?2, ?3)", params![shard_set, set, run])?;
            refuse(&name, ingest_conflicts(conn)?)?;
            refuse(&name, survey_conflicts(conn)?)?;
            let n_galaxies = adopt_ingests(conn, run)?;
            map_galaxies(conn)?;
            refuse(&name, galaxy_conflicts(conn)?)?;
            refuse(&name, posterior_conflicts(conn)?)?;
            let known: i64 = conn.query_row(
                "SELECT count(*) FROM temp.map_galaxy JOIN main.posterior q ON q.galaxy_id = main_id \
                 AND q.posterior_set_id = (SELECT main_set FROM temp.merging)",
                [],
                |row| row.get(0),
            )?;
            conn.execute(
                "DELETE FROM temp.map_galaxy WHERE main_id IN (SELECT galaxy_id FROM main.posterior \
                 WHERE posterior_set_id = (SELECT main_set FROM temp.merging))",
                [],
            )?;
            let new: i64 = conn.query_row("SELECT count(*) FROM temp.map_galaxy", [], |row| row.get(0))?;
            if complete && new > 0 {
                let text = format!(
                    "{new} galaxies of {name} are new, but the set is complete and takes no more: give another --name"
                );
                return Err(StoreError::Conflicts { conflicts: vec![text] });
            }
            let added = adopt_posteriors(conn)?;
            Ok(Merged { n_added: added, n_known: known as u64, n_galaxies })
        })
    }

    /// Runs `work` with another catalog attached as `shard`, for reading.
    pub(super) fn attached<T>(
        &mut self,
        other: &Path,
        work: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.conn.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 1)?;
        self.conn.execute("ATTACH ?1 AS shard", [files::read_only_uri(other)])?;
        let result = work(&self.conn);
        if !self.conn.is_autocommit() {
            self.conn.execute_batch("ROLLBACK")?;
        }
        self.conn.flush_prepared_statement_cache();
        self.conn.execute_batch("DETACH shard")?;
        self.conn.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
        result
    }
}

fn refuse(shard: &str, mut conflicts: Vec<String>) -> Result<(), StoreError> {
    if conflicts.is_empty() {
        return Ok(());
    }
    let n = conflicts.len();
    conflicts.truncate(SPELLED_OUT);
    if n > SPELLED_OUT {
        conflicts.push(format!("and {} more", n - SPELLED_OUT));
    }
    conflicts.insert(0, format!("{shard} contradicts what is here; nothing of it was merged:"));
    Err(StoreError::Conflicts { conflicts })
}

fn sentences(conn: &Connection, sql: &str) -> Result<Vec<String>, StoreError> {
    let mut statement = conn.prepare(sql)?;
    let rows = statement.query_map([], |row| row.get(0))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// The shard's surveys that the set's galaxies are of.
const ITS_SURVEYS: &str = "SELECT DISTINCT g.survey_id FROM shard.posterior p JOIN shard.galaxy g USING (galaxy_id) \
     WHERE p.posterior_set_id = (SELECT shard_set FROM temp.merging)";
const ITS_INGESTS: &str = "SELECT DISTINCT g.ingest_id FROM shard.posterior p JOIN shard.galaxy g USING (galaxy_id) \
     WHERE p.posterior_set_id = (SELECT shard_set FROM temp.merging)";

/// Ingests of which the shard holds a part and this catalog nothing: it is a shard of another catalog.
fn ingest_conflicts(conn: &Connection) -> Result<Vec<String>, StoreError> {
    sentences(
        conn,
        &format!(
            "SELECT printf('its galaxies are a part of the ingest %s (%s), which this catalog does not have (it has %s): \
             it is a shard of another catalog', lower(substr(hex(i.hash), 1, 12)), i.file_name, \
             ifnull((SELECT group_concat(lower(substr(hex(hash), 1, 12)), ', ') FROM main.ingest), 'none')) \
             FROM shard.ingest i WHERE NOT i.complete AND i.ingest_id IN ({ITS_INGESTS}) \
             AND i.hash NOT IN (SELECT hash FROM main.ingest)"
        ),
    )
}

fn survey_conflicts(conn: &Connection) -> Result<Vec<String>, StoreError> {
    let mut conflicts = sentences(
        conn,
        &format!(
            "SELECT printf('the survey %s has bands %s here, but %s there', m.name, mb.name, sb.name) \
             FROM shard.survey s JOIN main.survey m USING (name) \
             JOIN shard.band_set sb ON sb.band_set_id = s.band_set_id \
             JOIN main.band_set mb ON mb.band_set_id = m.band_set_id \
             WHERE sb.hash <> mb.hash AND s.survey_id IN ({ITS_SURVEYS})"
        ),
    )?;
    conflicts.extend(sentences(
        conn,
        &format!(
            "SELECT printf('cut %d of the survey %s is not the same', sc.bit, m.name) \
             FROM shard.survey s JOIN main.survey m USING (name) JOIN shard.cut_rule sc ON sc.survey_id = s.survey_id \
             LEFT JOIN main.cut_rule mc ON mc.survey_id = m.survey_id AND mc.bit = sc.bit \
             WHERE mc.hash IS NOT sc.hash AND s.survey_id IN ({ITS_SURVEYS})"
        ),
    )?);
    conflicts.extend(sentences(
        conn,
        &format!(
            "SELECT printf('galaxy %s/%s came here from %s, there from %s', ms.name, mg.object_id, mi.file_name, si.file_name) \
             FROM shard.ingest si JOIN shard.galaxy sg USING (ingest_id) JOIN shard.survey ss ON ss.survey_id = sg.survey_id \
             JOIN main.survey ms ON ms.name = ss.name \
             JOIN main.galaxy mg ON mg.survey_id = ms.survey_id AND mg.object_id = sg.object_id \
             JOIN main.ingest mi ON mi.ingest_id = mg.ingest_id \
             WHERE si.ingest_id IN ({ITS_INGESTS}) AND si.hash NOT IN (SELECT hash FROM main.ingest)"
        ),
    )?);
    Ok(conflicts)
}

/// Copies ingests that are not here, each whole and in one transaction. Returns the number of their galaxies.
fn adopt_ingests(conn: &Connection, run: RunId) -> Result<u64, StoreError> {
    let sql = format!(
        "SELECT ingest_id FROM shard.ingest WHERE ingest_id IN ({ITS_INGESTS}) \
         AND hash NOT IN (SELECT hash FROM main.ingest WHERE complete)"
    );
    let missing: Vec<i64> = {
        let mut statement = conn.prepare(&sql)?;
        statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?
    };
    let mut n_galaxies = 0;
    for ingest in missing {
        let known: bool = conn.query_row(
            "SELECT count(*) FROM main.ingest WHERE hash = (SELECT hash FROM shard.ingest WHERE ingest_id = ?1)",
            [ingest],
            |row| row.get(0),
        )?;
        if known {
            let text =
                "an ingest that the shard's galaxies are of is not complete here: run it again".to_owned();
            return Err(StoreError::Conflicts { conflicts: vec![text] });
        }
        conn.execute_batch("BEGIN IMMEDIATE")?;
        n_galaxies += adopt_ingest(conn, ingest, run)?;
        conn.execute_batch("COMMIT")?;
    }
    Ok(n_galaxies)
}

fn adopt_ingest(conn: &Connection, ingest: i64, run: RunId) -> Result<u64, StoreError> {
    const BANDS: &str = "(SELECT s.band_set_id FROM shard.ingest i JOIN shard.survey s USING (survey_id) WHERE i.ingest_id = ?1)";
    let both = params![ingest, run];
    conn.execute(
        &format!(
            "INSERT INTO main.filter_curve (hash, name, wave_pivot_aa, n_wave, curve, curve_hash, run_id) \
             SELECT hash, name, wave_pivot_aa, n_wave, curve, curve_hash, ?2 FROM shard.filter_curve \
             WHERE filter_id IN (SELECT filter_id FROM shard.band WHERE band_set_id = {BANDS}) ON CONFLICT DO NOTHING"
        ),
        both,
    )?;
    let new_set = conn.execute(
        &format!(
            "INSERT INTO main.band_set (hash, name, run_id) SELECT hash, name, ?2 FROM shard.band_set \
             WHERE band_set_id = {BANDS} ON CONFLICT DO NOTHING"
        ),
        both,
    )?;
    if new_set > 0 {
        conn.execute(
            &format!(
                "INSERT INTO main.band (band_set_id, position, name, filter_id, ucd) \
                 SELECT last_insert_rowid(), b.position, b.name, m.filter_id, b.ucd FROM shard.band b \
                 LEFT JOIN shard.filter_curve f USING (filter_id) LEFT JOIN main.filter_curve m ON m.hash = f.hash \
                 WHERE b.band_set_id = {BANDS} ORDER BY b.position"
            ),
            [ingest],
        )?;
    }
    let new_survey = conn.execute(
        "INSERT INTO main.survey (name, band_set_id, description, reference, run_id) \
         SELECT s.name, m.band_set_id, s.description, s.reference, ?2 FROM shard.ingest i JOIN shard.survey s USING (survey_id) \
         JOIN shard.band_set b USING (band_set_id) JOIN main.band_set m ON m.hash = b.hash \
         WHERE i.ingest_id = ?1 ON CONFLICT DO NOTHING",
        both,
    )?;
    if new_survey > 0 {
        conn.execute(
            "INSERT INTO main.cut_rule (survey_id, bit, name, definition, description, hash, run_id) \
             SELECT last_insert_rowid(), bit, name, definition, description, hash, ?2 FROM shard.cut_rule \
             WHERE survey_id = (SELECT survey_id FROM shard.ingest WHERE ingest_id = ?1) ORDER BY bit",
            both,
        )?;
    }
    conn.execute(
        "INSERT INTO main.ingest (survey_id, run_id, hash, file_name, file_hash, n_bytes, format, layout, config, \
         extinction, n_read, n_kept, n_rejected, complete) \
         SELECT m.survey_id, ?2, i.hash, i.file_name, i.file_hash, i.n_bytes, i.format, i.layout, i.config, i.extinction, \
         i.n_read, i.n_kept, i.n_rejected, 0 FROM shard.ingest i JOIN shard.survey s USING (survey_id) \
         JOIN main.survey m ON m.name = s.name WHERE i.ingest_id = ?1",
        both,
    )?;
    let here = conn.last_insert_rowid();
    for (table, columns) in [
        ("ingest_count", "item, n"),
        ("ingest_reject", "source_row, reason, detail, object_id"),
        ("extra_column", "position, name, unit, ucd, description"),
    ] {
        let sql = format!(
            "INSERT INTO main.{table} (ingest_id, {columns}) SELECT ?2, {columns} FROM shard.{table} WHERE ingest_id = ?1"
        );
        conn.execute(&sql, params![ingest, here])?;
    }
    let n = conn.execute(
        "INSERT INTO main.galaxy (survey_id, ingest_id, source_row, object_id, ra_deg, dec_deg, healpix29, redshift, \
         redshift_err, cuts_failed, extra) SELECT (SELECT survey_id FROM main.ingest WHERE ingest_id = ?2), ?2, source_row, \
         object_id, ra_deg, dec_deg, healpix29, redshift, redshift_err, cuts_failed, extra \
         FROM shard.galaxy WHERE ingest_id = ?1 ORDER BY source_row",
        params![ingest, here],
    )?;
    conn.execute(
        "INSERT INTO main.photometry (galaxy_id, band_id, flux_nmgy, ivar_nmgy, flags) \
         SELECT m.galaxy_id, mb.band_id, f.flux_nmgy, f.ivar_nmgy, f.flags FROM main.galaxy m \
         JOIN shard.galaxy g ON g.ingest_id = ?1 AND g.object_id = m.object_id \
         JOIN shard.photometry f ON f.galaxy_id = g.galaxy_id JOIN shard.band sb ON sb.band_id = f.band_id \
         JOIN main.survey s ON s.survey_id = m.survey_id \
         JOIN main.band mb ON mb.band_set_id = s.band_set_id AND mb.name = sb.name \
         WHERE m.ingest_id = ?2 ORDER BY m.galaxy_id, mb.position",
        params![ingest, here],
    )?;
    conn.execute("UPDATE main.ingest SET complete = 1 WHERE ingest_id = ?1", [here])?;
    Ok(n as u64)
}

/// Pairs the set's galaxies with those here.
fn map_galaxies(conn: &Connection) -> Result<(), StoreError> {
    conn.execute_batch(
        "DROP TABLE IF EXISTS temp.map_galaxy; \
         CREATE TEMP TABLE map_galaxy (place INTEGER PRIMARY KEY, shard_id INTEGER, main_id INTEGER UNIQUE); \
         INSERT INTO temp.map_galaxy (shard_id, main_id) \
         SELECT sg.galaxy_id, mg.galaxy_id FROM shard.posterior p JOIN shard.galaxy sg USING (galaxy_id) \
         JOIN shard.survey ss ON ss.survey_id = sg.survey_id JOIN main.survey ms ON ms.name = ss.name \
         JOIN main.galaxy mg ON mg.survey_id = ms.survey_id AND mg.object_id = sg.object_id \
         WHERE p.posterior_set_id = (SELECT shard_set FROM temp.merging) ORDER BY mg.galaxy_id;",
    )?;
    Ok(())
}

fn galaxy_conflicts(conn: &Connection) -> Result<Vec<String>, StoreError> {
    let mut conflicts = sentences(
        conn,
        "SELECT printf('galaxy %s/%s is not in this catalog', s.name, g.object_id) FROM shard.posterior p \
         JOIN shard.galaxy g USING (galaxy_id) JOIN shard.survey s USING (survey_id) \
         WHERE p.posterior_set_id = (SELECT shard_set FROM temp.merging) \
         AND g.galaxy_id NOT IN (SELECT shard_id FROM temp.map_galaxy)",
    )?;
    conflicts.extend(sentences(
        conn,
        "SELECT printf('galaxy %s/%s has redshift %s here, %s there', s.name, m.object_id, \
           ifnull(m.redshift, 'none'), ifnull(g.redshift, 'none')) FROM temp.map_galaxy \
         JOIN main.galaxy m ON m.galaxy_id = main_id JOIN shard.galaxy g ON g.galaxy_id = shard_id \
         JOIN main.survey s ON s.survey_id = m.survey_id WHERE m.redshift IS NOT g.redshift",
    )?);
    conflicts.extend(sentences(
        conn,
        "SELECT printf('galaxy %s/%s has other photometry in band %s', s.name, m.object_id, mb.name) FROM temp.map_galaxy \
         JOIN main.galaxy m ON m.galaxy_id = main_id JOIN main.survey s ON s.survey_id = m.survey_id \
         JOIN main.band mb ON mb.band_set_id = s.band_set_id \
         LEFT JOIN main.photometry a ON a.galaxy_id = main_id AND a.band_id = mb.band_id \
         JOIN shard.galaxy g ON g.galaxy_id = shard_id JOIN shard.survey ss ON ss.survey_id = g.survey_id \
         JOIN shard.band sb ON sb.band_set_id = ss.band_set_id AND sb.name = mb.name \
         LEFT JOIN shard.photometry b ON b.galaxy_id = shard_id AND b.band_id = sb.band_id \
         WHERE a.flux_nmgy IS NOT b.flux_nmgy OR a.ivar_nmgy IS NOT b.ivar_nmgy OR a.flags IS NOT b.flags",
    )?);
    Ok(conflicts)
}

/// Galaxies on which both have a word, and not the same. Draws and their recipe are the same word.
fn posterior_conflicts(conn: &Connection) -> Result<Vec<String>, StoreError> {
    sentences(
        conn,
        "SELECT printf('galaxy %s/%s: here %s, there %s', s.name, m.object_id, \
           iif(q.method IS NULL, q.reason, printf('%d draws of hash %s', q.n_draws, ifnull(substr(hex(q.draws_hash), 1, 12), 'unknown'))), \
           iif(p.method IS NULL, p.reason, printf('%d draws of hash %s', p.n_draws, ifnull(substr(hex(p.draws_hash), 1, 12), 'unknown')))) \
         FROM temp.map_galaxy JOIN main.galaxy m ON m.galaxy_id = main_id JOIN main.survey s USING (survey_id) \
         JOIN shard.posterior p ON p.galaxy_id = shard_id AND p.posterior_set_id = (SELECT shard_set FROM temp.merging) \
         JOIN main.posterior q ON q.galaxy_id = main_id AND q.posterior_set_id = (SELECT main_set FROM temp.merging) \
         WHERE p.method IS NOT q.method OR p.reason IS NOT q.reason OR p.n_draws <> q.n_draws \
         OR p.draws_hash IS NOT q.draws_hash \
         OR (p.samples_hash IS NOT NULL AND q.samples_hash IS NOT NULL AND p.samples_hash <> q.samples_hash)",
    )
}

/// Copies the rows of the galaxies that remain in the map, batch by batch.
fn adopt_posteriors(conn: &Connection) -> Result<u64, StoreError> {
    let columns = |table: &str, without: &[&str]| -> Result<Vec<String>, StoreError> {
        let sql = format!("SELECT name FROM pragma_table_info('{table}', 'main') ORDER BY cid");
        let mut names = sentences(conn, &sql)?;
        names.retain(|name| !without.contains(&name.as_str()));
        Ok(names)
    };
    let own = columns("posterior", &["posterior_id", "posterior_set_id", "galaxy_id"])?;
    let summary = columns("posterior_summary", &["posterior_id", "posterior_set_id", "galaxy_id"])?;
    let of = |prefix: &str, names: &[String]| {
        names.iter().map(|name| format!("{prefix}{name}")).collect::<Vec<_>>().join(", ")
    };
    let posteriors = format!(
        "INSERT INTO main.posterior (posterior_set_id, galaxy_id, {}) \
         SELECT (SELECT main_set FROM temp.merging), main_id, {} FROM temp.map_galaxy \
         JOIN shard.posterior p ON p.galaxy_id = shard_id AND p.posterior_set_id = (SELECT shard_set FROM temp.merging) \
         WHERE place > ?1 AND place <= ?2 ORDER BY place",
        of("", &own),
        of("p.", &own)
    );
    let summaries = format!(
        "INSERT INTO main.posterior_summary (posterior_id, posterior_set_id, galaxy_id, {}) \
         SELECT q.posterior_id, q.posterior_set_id, main_id, {} FROM temp.map_galaxy \
         JOIN main.posterior q ON q.galaxy_id = main_id AND q.posterior_set_id = (SELECT main_set FROM temp.merging) \
         JOIN shard.posterior_summary y ON y.galaxy_id = shard_id \
           AND y.posterior_set_id = (SELECT shard_set FROM temp.merging) \
         WHERE place > ?1 AND place <= ?2 ORDER BY place",
        of("", &summary),
        of("y.", &summary)
    );
    let last: Option<i64> = conn.query_row("SELECT max(place) FROM temp.map_galaxy", [], |row| row.get(0))?;
    let mut n = 0;
    let mut from = 0;
    while from < last.unwrap_or(0) {
        let range = params![from, from + BATCH];
        conn.execute_batch("BEGIN IMMEDIATE")?;
        n += conn.execute(&posteriors, range)? as u64;
        conn.execute(&summaries, range)?;
        conn.execute_batch("COMMIT")?;
        from += BATCH;
    }
    Ok(n)
}
