//! Releases: one read-only file with a posterior set and everything it was made from, under one hash.
//!
//! A release is a catalog like any other, with a row in `release` that says what it is. Its manifest lists
//! every table with the number and the hash of its rows; the release's content hash is that of the manifest.

use std::path::Path;

use rusqlite::limits::Limit;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, params};
use serde_json::{Map, Value, json};

use super::error::StoreError;
use super::ids::{GalaxyId, PosteriorSetId, RunId};
use super::models::parse_json;
use super::runs::Artifact;
use super::select::quoted;
use super::{ProductKind, Store, files, harden, schema};
use crate::hash::ContentHash;

/// Pages of a release: a posterior of 100 kB takes 7.
const PAGE_BYTES: i64 = 16384;
const MANIFEST_VERSION: u32 = 1;

/// How much goes into a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// Summaries and recipes: draws are made again by those who want them.
    Small,
    /// Everything that the set keeps, and the columns of the input that were kept.
    Full,
}

impl Profile {
    pub const fn as_str(self) -> &'static str {
        match self {
            Profile::Small => "small",
            Profile::Full => "full",
        }
    }
}

/// Unit and description of a column of the input that came without.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    pub column: String,
    /// `None` for a pure number, text or code.
    pub unit: Option<String>,
    pub description: String,
}

/// A release to be built.
#[derive(Debug, Clone)]
pub struct ReleaseSpec<'a> {
    /// Name and version, as a paper would quote it.
    pub name: &'a str,
    pub set: PosteriorSetId,
    /// The galaxies to be released, all of the set, and the condition that chose them.
    pub galaxies: &'a [GalaxyId],
    pub condition: Option<&'a str>,
    pub profile: Profile,
    pub licence: Option<&'a str>,
    pub citation: Option<&'a str>,
    pub doi: Option<&'a str>,
    pub described: &'a [Described],
    /// Paragraphs (title, text) for the reader.
    pub readme: &'a [(String, String)],
}

/// A release as its file, or the catalog that it was built from, knows it.
#[derive(Debug, Clone, PartialEq)]
pub struct Release {
    pub name: String,
    pub hash: ContentHash,
    pub set: PosteriorSetId,
    pub file_name: String,
    pub licence: Option<String>,
    pub citation: Option<String>,
    pub doi: Option<String>,
    pub manifest: Value,
}

/// What happens to a table on the way into a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// Rows for which this holds; children stand before parents whose completeness would lock them out.
    Where(&'static str),
    /// The schema's own, or written by the release.
    Own,
    /// Stays behind.
    Left,
}

const CHOSEN: &str = "galaxy_id IN (SELECT galaxy_id FROM temp.chosen)";
const INGESTS: &str = "ingest_id IN (SELECT ingest_id FROM source.galaxy WHERE galaxy_id IN (SELECT galaxy_id FROM temp.chosen))";
const SURVEYS: &str = "survey_id IN (SELECT survey_id FROM source.galaxy WHERE galaxy_id IN (SELECT galaxy_id FROM temp.chosen))";
const IN_SET: &str =
    "posterior_set_id = (SELECT id FROM temp.released) AND galaxy_id IN (SELECT galaxy_id FROM temp.chosen)";
const RUNS: &str = "run_id IN (SELECT run_id FROM temp.wanted)";

/// Tables after those that their conditions name.
const TABLES: [(&str, Fate); 38] = [
    ("dictionary", Fate::Own),
    ("readme", Fate::Own),
    ("release", Fate::Own),
    ("setting", Fate::Own),
    ("photometry", Fate::Where(CHOSEN)),
    ("galaxy", Fate::Where(CHOSEN)),
    ("ingest_count", Fate::Where(INGESTS)),
    ("ingest_reject", Fate::Where(INGESTS)),
    ("extra_column", Fate::Where(INGESTS)),
    ("ingest", Fate::Where(INGESTS)),
    ("cut_rule", Fate::Where(SURVEYS)),
    ("survey", Fate::Where(SURVEYS)),
    ("posterior", Fate::Where(IN_SET)),
    ("posterior_summary", Fate::Where(IN_SET)),
    ("posterior_set", Fate::Where("posterior_set_id = (SELECT id FROM temp.released)")),
    ("checkpoint", Fate::Where("checkpoint_id IN (SELECT checkpoint_id FROM main.posterior_set)")),
    ("validation", Fate::Where("checkpoint_id IN (SELECT checkpoint_id FROM main.checkpoint)")),
    ("validation_metric", Fate::Where("validation_id IN (SELECT validation_id FROM main.validation)")),
    (
        "band_set",
        Fate::Where(
            "band_set_id IN (SELECT band_set_id FROM main.survey UNION SELECT band_set_id FROM main.checkpoint)",
        ),
    ),
    ("band", Fate::Where("band_set_id IN (SELECT band_set_id FROM main.band_set)")),
    ("filter_curve", Fate::Where("filter_id IN (SELECT filter_id FROM main.band)")),
    (
        "prior",
        Fate::Where(
            "prior_id IN (SELECT prior_id FROM main.posterior_set UNION SELECT prior_id FROM main.checkpoint)",
        ),
    ),
    ("prior_parameter", Fate::Where("prior_id IN (SELECT prior_id FROM main.prior)")),
    (
        "sed_model",
        Fate::Where(
            "sed_model_id IN (SELECT sed_model_id FROM main.posterior_set UNION SELECT sed_model_id FROM main.checkpoint)",
        ),
    ),
    ("ssp_grid", Fate::Where("ssp_grid_id IN (SELECT ssp_grid_id FROM main.sed_model)")),
    ("noise_model", Fate::Where("noise_model_id IN (SELECT noise_model_id FROM main.checkpoint)")),
    ("noise_bin", Fate::Where("noise_model_id IN (SELECT noise_model_id FROM main.noise_model)")),
    ("run", Fate::Where(RUNS)),
    ("run_input", Fate::Where(RUNS)),
    ("run_output", Fate::Where(RUNS)),
    ("training_set", Fate::Left),
    ("training_chunk", Fate::Left),
    ("training_reject", Fate::Left),
    ("training", Fate::Left),
    ("training_history", Fate::Left),
    ("training_state", Fate::Left),
    ("validation_part", Fate::Left),
    ("ensemble_member", Fate::Left),
];

/// What is copied otherwise than it stands: (table, column, SQL).
fn replaced(table: &str, column: &str, profile: Profile) -> Option<&'static str> {
    match (table, column) {
        ("checkpoint", "training_id") => Some("NULL"),
        ("posterior", "samples" | "samples_hash") if profile == Profile::Small => Some("NULL"),
        ("galaxy", "extra") if profile == Profile::Small => Some("NULL"),
        ("validation", "data" | "data_hash") if profile == Profile::Small => Some("NULL"),
        ("extra_column", "unit") => {
            Some("coalesce(unit, (SELECT unit FROM temp.described d WHERE d.name = extra_column.name))")
        }
        ("extra_column", "description") => Some(
            "coalesce(description, (SELECT text FROM temp.described d WHERE d.name = extra_column.name))",
        ),
        _ => None,
    }
}

/// Tables that only the full profile has.
const FULL_ONLY: [&str; 2] = ["ingest_reject", "extra_column"];

impl Store {
    /// Galaxies of a set that a release must not be built of, one sentence each; empty if it may be.
    pub fn release_obstacles(&self, spec: &ReleaseSpec<'_>) -> Result<Vec<String>, StoreError> {
        let mut obstacles = Vec::new();
        let set = self.posterior_set(spec.set)?;
        if !set.complete {
            obstacles.push(format!(
                "the set `{}` is not complete: the `infer` that began it goes on with it",
                set.name
            ));
        }
        let mut row = self.conn.prepare_cached(
            "SELECT p.method IS NULL AND p.reason IS NULL, p.method IS NOT NULL AND p.recipe IS NULL, g.object_id \
             FROM galaxy g LEFT JOIN posterior p ON p.galaxy_id = g.galaxy_id AND p.posterior_set_id = ?1 \
             WHERE g.galaxy_id = ?2",
        )?;
        let (mut silent, mut without_recipe) = (Vec::new(), 0);
        for galaxy in spec.galaxies {
            let (no_answer, no_recipe, object): (bool, bool, String) =
                row.query_row(params![spec.set, galaxy], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
            without_recipe += u64::from(no_recipe);
            if no_answer {
                silent.push(object);
            }
        }
        if let Some(first) = silent.first() {
            obstacles.push(format!(
                "{} galaxies have neither an answer nor a reason in the set `{}`, the first is {first}",
                silent.len(),
                set.name
            ));
        }
        if spec.profile == Profile::Small && without_recipe > 0 {
            obstacles.push(format!(
                "{without_recipe} posteriors of the set `{}` have no recipe, which is all that the small profile keeps of \
                 draws: infer with --store recipe or both, or release with --profile full",
                set.name
            ));
        }
        obstacles.extend(schema::dictionary_gaps(&self.conn)?);
        if spec.profile == Profile::Full {
            obstacles.extend(self.undescribed_columns(spec)?);
        }
        Ok(obstacles)
    }

    fn undescribed_columns(&self, spec: &ReleaseSpec<'_>) -> Result<Vec<String>, StoreError> {
        let mut ingests = Vec::new();
        let mut of = self.conn.prepare_cached("SELECT ingest_id FROM galaxy WHERE galaxy_id = ?1")?;
        for galaxy in spec.galaxies {
            let ingest: i64 = of.query_row([galaxy], |row| row.get(0))?;
            if !ingests.contains(&ingest) {
                ingests.push(ingest);
            }
        }
        let mut missing = Vec::new();
        let mut columns = self.conn.prepare_cached(
            "SELECT name FROM extra_column WHERE ingest_id = ?1 AND description IS NULL ORDER BY position",
        )?;
        for ingest in ingests {
            for name in columns.query_map([ingest], |row| row.get::<_, String>(0))? {
                let name = name?;
                if !spec.described.iter().any(|column| column.column == name) && !missing.contains(&name) {
                    missing.push(name);
                }
            }
        }
        let sentence = |name: String| {
            format!("the input's column {name} has no description: give --describe '{name}=UNIT: what it is'")
        };
        Ok(missing.into_iter().map(sentence).collect())
    }

    /// Writes a release to `out`, which must not exist, and records it. Nothing is at `out` before all of it is.
    ///
    /// The same galaxies, set and words give the same content hash, whenever it is built.
    pub fn build_release(
        &mut self,
        run: RunId,
        out: &Path,
        spec: &ReleaseSpec<'_>,
    ) -> Result<Release, StoreError> {
        let taken = "SELECT hash FROM release WHERE name = ?1";
        let taken: Option<ContentHash> =
            self.conn.query_row(taken, [spec.name], |row| row.get(0)).optional()?;
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| StoreError::Io { path, source }
        };
        let (building, partial) = (files::with_suffix(out, ".building"), files::with_suffix(out, ".partial"));
        for left_over in [&building, &partial] {
            if left_over.exists() {
                std::fs::remove_file(left_over).map_err(io(left_over))?;
            }
        }
        let (release, conn) = self.fill_release(run, &building, out, spec)?;
        if taken.is_some_and(|hash| hash != release.hash) {
            let _ = std::fs::remove_file(&building);
            return Err(StoreError::NameTaken { kind: "release", name: spec.name.to_owned() });
        }
        // Tables and indexes one after the other, without a gap.
        conn.execute("VACUUM INTO ?1", [partial.to_string_lossy()])?;
        drop(conn);
        std::fs::remove_file(&building).map_err(io(&building))?;
        let file = std::fs::File::open(&partial).map_err(io(&partial))?;
        let n_bytes = file.metadata().map_err(io(&partial))?.len();
        file.sync_all().map_err(io(&partial))?;
        let mut permissions = file.metadata().map_err(io(&partial))?.permissions();
        permissions.set_readonly(true);
        std::fs::set_permissions(&partial, permissions).map_err(io(&partial))?;
        put_in_place(&partial, out).map_err(io(out))?;
        self.record_release(run, &release)?;
        let artifact = Artifact {
            n_bytes: Some(n_bytes),
            ..Artifact::product(ProductKind::Release, spec.name, release.hash)
        };
        self.add_run_output(run, &artifact)?;
        Ok(release)
    }

    /// The release that [`Store::build_release`] would write, without writing it.
    pub fn describe_release(
        &self,
        run: RunId,
        out: &Path,
        spec: &ReleaseSpec<'_>,
    ) -> Result<Release, StoreError> {
        let building = files::with_suffix(out, ".building");
        let remove = || match std::fs::remove_file(&building) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(StoreError::Io { path: building.clone(), source: error })
            }
            _ => Ok(()),
        };
        remove()?;
        let release = self.fill_release(run, &building, out, spec)?.0;
        remove()?;
        Ok(release)
    }

    /// Remembers a release that lies in its file, unless it is known.
    pub fn record_release(&mut self, run: RunId, release: &Release) -> Result<(), StoreError> {
        insert_release(&self.conn, run, release)
    }

    /// Fills a new file at `building` with everything, and describes it.
    fn fill_release(
        &self,
        run: RunId,
        building: &Path,
        out: &Path,
        spec: &ReleaseSpec<'_>,
    ) -> Result<(Release, Connection), StoreError> {
        let mut conn = Connection::open(building)?;
        harden(&conn)?;
        conn.pragma_update(None, "page_size", PAGE_BYTES)?;
        // A file that is thrown away if anything goes wrong needs no journal on disk.
        conn.execute_batch("PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF;")?;
        schema::CURRENT.migrate(&mut conn).map_err(|source| StoreError::Migration {
            path: building.to_owned(),
            source: Box::new(source),
        })?;
        conn.execute_batch("PRAGMA foreign_keys = OFF; PRAGMA temp_store = MEMORY;")?;
        conn.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 1)?;
        conn.execute("ATTACH ?1 AS source", [files::read_only_uri(&self.path)])?;
        conn.execute_batch(
            "BEGIN; CREATE TEMP TABLE chosen (galaxy_id INTEGER PRIMARY KEY); CREATE TEMP TABLE released (id INTEGER); \
             CREATE TEMP TABLE wanted (run_id INTEGER PRIMARY KEY); \
             CREATE TEMP TABLE described (name TEXT PRIMARY KEY, unit TEXT, text TEXT);",
        )?;
        conn.execute("INSERT INTO temp.released VALUES (?1)", [spec.set])?;
        {
            let mut insert = conn.prepare("INSERT INTO temp.chosen VALUES (?1)")?;
            spec.galaxies.iter().try_for_each(|galaxy| insert.execute([galaxy]).map(|_| ()))?;
        }
        for column in spec.described {
            let values = params![column.column, column.unit, column.description];
            conn.execute("INSERT OR REPLACE INTO temp.described VALUES (?1, ?2, ?3)", values)?;
        }
        for (table, fate) in TABLES {
            let Fate::Where(condition) = fate else { continue };
            if table == "run" {
                want_runs(&conn)?;
            }
            if spec.profile == Profile::Full || !FULL_ONLY.contains(&table) {
                copy(&conn, table, condition, spec.profile)?;
            }
        }
        let set: String = conn.query_row("SELECT name FROM main.posterior_set", [], |row| row.get(0))?;
        conn.execute(
            "INSERT INTO main.setting VALUES ('current_posterior_set', ?1), ('release', ?2)",
            params![set, spec.name],
        )?;
        for (position, (title, text)) in spec.readme.iter().enumerate() {
            conn.execute("INSERT INTO readme VALUES (?1, ?2, ?3)", params![position as i64, title, text])?;
        }
        let manifest = json!({
            "version": MANIFEST_VERSION,
            "schema": schema::CURRENT.version(),
            "name": spec.name,
            "set": set,
            "profile": spec.profile.as_str(),
            "where": spec.condition,
            "licence": spec.licence,
            "citation": spec.citation,
            "doi": spec.doi,
            "tables": tables_of(&conn, None)?,
        });
        let release = Release {
            name: spec.name.to_owned(),
            hash: ContentHash::of_bytes(manifest.to_string().as_bytes()),
            set: spec.set,
            file_name: out.file_name().map_or(String::new(), |name| name.to_string_lossy().into_owned()),
            licence: spec.licence.map(str::to_owned),
            citation: spec.citation.map(str::to_owned),
            doi: spec.doi.map(str::to_owned),
            manifest,
        };
        // The run that builds the file is in it, but not under its hash: it differs each time.
        conn.execute("DELETE FROM temp.wanted", [])?;
        conn.execute("INSERT INTO temp.wanted VALUES (?1)", [run])?;
        conn.execute("DELETE FROM main.run WHERE run_id = ?1", [run])?;
        conn.execute(
            "INSERT INTO main.run SELECT run_id, command, arguments, config, seed, program_version, git_commit, host_arch, \
             host_os, host_cores, process_id, started_utc, strftime('%Y-%m-%dT%H:%M:%fZ', 'now'), 'done', message, NULL \
             FROM source.run WHERE run_id = ?1",
            [run],
        )?;
        insert_release(&conn, run, &release)?;
        conn.execute_batch("COMMIT; DETACH source; PRAGMA foreign_keys = ON; ANALYZE;")?;
        let broken: i64 =
            conn.query_row("SELECT count(*) FROM pragma_foreign_key_check", [], |row| row.get(0))?;
        if broken > 0 {
            return Err(StoreError::Shape {
                what: "the release".to_owned(),
                expected: "every reference to lead to a row of it".to_owned(),
                found: format!("{broken} that do not"),
            });
        }
        Ok((release, conn))
    }

    /// What this file says it is, if it is a release.
    pub fn own_release(&self) -> Result<Option<Release>, StoreError> {
        let sql = "SELECT r.name, r.hash, r.posterior_set_id, r.file_name, r.licence, r.citation, r.doi, r.manifest \
                   FROM setting JOIN release r ON r.name = setting.value WHERE setting.key = 'release'";
        let found = self
            .conn
            .query_row(sql, [], |row| {
                let release = Release {
                    name: row.get(0)?,
                    hash: row.get(1)?,
                    set: row.get(2)?,
                    file_name: row.get(3)?,
                    licence: row.get(4)?,
                    citation: row.get(5)?,
                    doi: row.get(6)?,
                    manifest: Value::Null,
                };
                Ok((release, row.get::<_, String>(7)?))
            })
            .optional()?;
        let Some((mut release, manifest)) = found else { return Ok(None) };
        release.manifest = parse_json(|| format!("the manifest of {}", release.name), &manifest)?;
        Ok(Some(release))
    }

    /// The paragraphs (title, text) of a release.
    pub fn readme(&self) -> Result<Vec<(String, String)>, StoreError> {
        let mut statement = self.conn.prepare("SELECT title, text FROM readme ORDER BY position")?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Where a release is not what its manifest and hash say, one sentence each.
    pub fn release_differences(&self) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT r.hash, r.manifest, r.run_id, r.name, r.licence, r.citation, r.doi \
                   FROM setting JOIN release r ON r.name = setting.value WHERE setting.key = 'release'";
        type Row = (ContentHash, String, RunId, [Option<String>; 4]);
        let found: Option<Row> = self
            .conn
            .query_row(sql, [], |row| {
                let words = [row.get(3)?, row.get(4)?, row.get(5)?, row.get(6)?];
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, words))
            })
            .optional()?;
        let Some((hash, text, run, words)) = found else {
            return Ok(vec!["the file is no release: it has no row in `release` that is its own".to_owned()]);
        };
        let mut differences = Vec::new();
        let of_text = ContentHash::of_bytes(text.as_bytes());
        if of_text != hash {
            differences.push(format!("the manifest has hash {of_text}, not the release's {hash}"));
        }
        let manifest = parse_json(|| "the manifest".to_owned(), &text)?;
        for (key, word) in ["name", "licence", "citation", "doi"].into_iter().zip(words) {
            let word = word.map_or(Value::Null, Value::String);
            if manifest[key] != word {
                differences
                    .push(format!("the release's {key} is {word}, the manifest says {}", manifest[key]));
            }
        }
        let found = tables_of(&self.conn, Some(run))?;
        let empty = Map::new();
        let expected = manifest["tables"].as_object().unwrap_or(&empty);
        for (table, entry) in expected {
            match found.get(table) {
                Some(same) if same == entry => {}
                Some(other) if other["rows"] != entry["rows"] => differences.push(format!(
                    "the table {table} has {} rows, the manifest says {}",
                    other["rows"], entry["rows"]
                )),
                Some(_) => differences.push(format!("rows of the table {table} were changed")),
                None => differences.push(format!("the table {table} is missing")),
            }
        }
        for table in found.keys().filter(|table| !expected.contains_key(*table)) {
            differences.push(format!("the table {table} is not in the manifest"));
        }
        Ok(differences)
    }
}

/// The row of a release; one that is known stays as it is.
fn insert_release(conn: &Connection, run: RunId, release: &Release) -> Result<(), StoreError> {
    conn.execute(
        "INSERT INTO main.release (hash, name, posterior_set_id, file_name, licence, citation, doi, manifest, run_id) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT (hash) DO NOTHING",
        params![
            release.hash,
            release.name,
            release.set,
            release.file_name,
            release.licence,
            release.citation,
            release.doi,
            release.manifest.to_string(),
            run
        ],
    )?;
    Ok(())
}

/// Gives a whole file its name; a file that came to be there meanwhile is not replaced.
fn put_in_place(partial: &Path, out: &Path) -> std::io::Result<()> {
    match std::fs::hard_link(partial, out) {
        Ok(()) => std::fs::remove_file(partial),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Err(error),
        // a file system without links
        Err(_) if !out.exists() => std::fs::rename(partial, out),
        Err(error) => Err(error),
    }
}

/// Runs behind anything that was copied, and the runs that those resumed.
fn want_runs(conn: &Connection) -> Result<(), StoreError> {
    for table in table_names(conn)? {
        let has_run = "SELECT count(*) FROM pragma_table_info(?1, 'main') WHERE name = 'run_id'";
        let has_run: bool = conn.query_row(has_run, [&table], |row| row.get(0))?;
        if has_run && !table.starts_with("run") && table != "release" {
            let table = quoted(&table);
            let sql = format!("INSERT OR IGNORE INTO temp.wanted SELECT DISTINCT run_id FROM main.{table}");
            conn.execute(&sql, [])?;
        }
    }
    conn.execute_batch(
        "INSERT OR IGNORE INTO temp.wanted SELECT run_id FROM source.run_output WHERE hash IN ( \
           SELECT hash FROM main.posterior_set UNION SELECT hash FROM main.checkpoint UNION SELECT hash FROM main.ingest \
           UNION SELECT hash FROM main.validation); \
         WITH RECURSIVE earlier (run_id) AS (SELECT run_id FROM temp.wanted UNION \
           SELECT r.resumes_run_id FROM source.run r JOIN earlier USING (run_id) WHERE r.resumes_run_id IS NOT NULL) \
         INSERT OR IGNORE INTO temp.wanted SELECT run_id FROM earlier;",
    )?;
    Ok(())
}

fn copy(conn: &Connection, table: &str, condition: &str, profile: Profile) -> Result<(), StoreError> {
    let columns = columns_of(conn, table)?;
    let outputs: Vec<String> = columns
        .iter()
        .map(|column| replaced(table, column, profile).map_or_else(|| quoted(column), str::to_owned))
        .collect();
    let names: Vec<String> = columns.iter().map(|column| quoted(column)).collect();
    let sql = format!(
        "INSERT INTO main.{table} ({}) SELECT {} FROM source.{table} WHERE {condition} ORDER BY {}",
        names.join(", "),
        outputs.join(", "),
        if table == "posterior" || table == "posterior_summary" {
            "galaxy_id".into()
        } else {
            order_of(conn, table)?
        },
    );
    conn.execute(&sql, [])?;
    Ok(())
}

fn columns_of(conn: &Connection, table: &str) -> Result<Vec<String>, StoreError> {
    let mut statement = conn.prepare_cached("SELECT name FROM pragma_table_info(?1, 'main') ORDER BY cid")?;
    let rows = statement.query_map([table], |row| row.get(0))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// The columns of the primary key, for ORDER BY.
fn order_of(conn: &Connection, table: &str) -> Result<String, StoreError> {
    let sql = "SELECT name FROM pragma_table_info(?1, 'main') WHERE pk > 0 ORDER BY pk";
    let mut statement = conn.prepare_cached(sql)?;
    let keys = statement.query_map([table], |row| row.get::<_, String>(0))?;
    let keys: Vec<String> = keys.map(|key| key.map(|key| quoted(&key))).collect::<rusqlite::Result<_>>()?;
    Ok(if keys.is_empty() { "rowid".to_owned() } else { keys.join(", ") })
}

fn table_names(conn: &Connection) -> Result<Vec<String>, StoreError> {
    let sql = "SELECT name FROM main.sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' \
               ORDER BY name";
    let mut statement = conn.prepare(sql)?;
    let names = statement.query_map([], |row| row.get(0))?;
    Ok(names.collect::<rusqlite::Result<_>>()?)
}

/// Number and hash of the rows of every table but `release`; `without` is the run that built the file.
fn tables_of(conn: &Connection, without: Option<RunId>) -> Result<Map<String, Value>, StoreError> {
    let mut tables = Map::new();
    for table in table_names(conn)?.into_iter().filter(|table| table != "release") {
        let condition = match without {
            Some(run) if table.starts_with("run") => format!("run_id <> {run}"),
            _ => "1".to_owned(),
        };
        let columns: Vec<String> = columns_of(conn, &table)?.iter().map(|column| quoted(column)).collect();
        let sql = format!(
            "SELECT {} FROM main.{} WHERE {condition} ORDER BY {}",
            columns.join(", "),
            quoted(&table),
            order_of(conn, &table)?
        );
        let mut hasher = blake3::Hasher::new_derive_key("sedflow table v1");
        let mut statement = conn.prepare(&sql)?;
        let mut rows = statement.query([])?;
        let mut n_rows: u64 = 0;
        while let Some(row) = rows.next()? {
            for column in 0..columns.len() {
                hash_value(&mut hasher, row.get_ref(column)?);
            }
            n_rows += 1;
        }
        let hash = ContentHash::from_bytes(*hasher.finalize().as_bytes());
        tables.insert(table, json!({ "rows": n_rows, "hash": hash.to_string() }));
    }
    Ok(tables)
}

/// A byte for the type, then 8 bytes of a number, or length and bytes.
fn hash_value(hasher: &mut blake3::Hasher, value: ValueRef<'_>) {
    let (kind, number, bytes): (u8, u64, &[u8]) = match value {
        ValueRef::Null => (0, 0, &[]),
        ValueRef::Integer(i) => (1, i as u64, &[]),
        ValueRef::Real(x) => (2, x.to_bits(), &[]),
        ValueRef::Text(text) => (3, text.len() as u64, text),
        ValueRef::Blob(blob) => (4, blob.len() as u64, blob),
    };
    hasher.update(&[kind]);
    hasher.update(&number.to_le_bytes());
    hasher.update(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_has_a_fate_in_a_release() {
        let conn = schema::in_memory().unwrap();
        let mut known: Vec<&str> = TABLES.iter().map(|(table, _)| *table).collect();
        known.sort_unstable();
        assert_eq!(table_names(&conn).unwrap(), known, "say in TABLES what a release does with a new table");
    }
}
