//! Is the file what it should be? Every finding says what is wrong and how to mend it.

use std::path::Path;

use rusqlite::{Connection, MAIN_DB};

use super::error::StoreError;
use super::ids::RunId;
use super::schema::{self, CURRENT};
use super::{files, functions, lock};
use crate::hash::ContentHash;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    Ok,
    /// Nothing is wrong, but somebody should know.
    Note,
    Error,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub severity: Severity,
    /// What was looked at: `schema`, `integrity`, `checksums`, ...
    pub subject: &'static str,
    pub text: String,
    pub mend: Option<String>,
}

/// At most this many findings of one kind are spelled out; the rest are counted.
const SPELLED_OUT: usize = 20;

const RESTORE: &str = "restore the file from a copy; `sqlite3 FILE .recover` may save what is left";

/// Examines a catalog file without changing it. Errors only where the file cannot be read at all.
pub fn check_file(path: &Path) -> Result<Vec<Finding>, StoreError> {
    let mut checker = Checker { findings: Vec::new() };
    let (conn, version) = match files::connect_existing(path) {
        Ok(opened) => opened,
        Err(error @ (StoreError::Missing { .. } | StoreError::Io { .. })) => return Err(error),
        Err(error) => {
            let text = match &error {
                StoreError::Sqlite(cause) => cause.to_string(),
                other => other.to_string(),
            };
            checker.error("file", text, Some(RESTORE.to_owned()));
            return Ok(checker.findings);
        }
    };
    let known = CURRENT.version();
    if version > known {
        let text = format!("the schema is version {version}, this program knows up to {known}");
        checker.error("schema", text, Some("update sedflow".to_owned()));
        return Ok(checker.findings);
    }
    conn.pragma_update(None, "query_only", true)?;
    functions::register(&conn)?;
    checker.step("integrity", |c| integrity(&conn, c));
    if version < known {
        let mend = "any other command migrates the file, keeping a copy beside it";
        checker.note("schema", format!("the schema is version {version} of {known}"), Some(mend.to_owned()));
        return Ok(checker.findings);
    }
    checker.step("schema", |c| objects(&conn, version, c));
    checker.step("foreign keys", |c| foreign_keys(&conn, c));
    checker.step("checksums", |c| checksums(&conn, c));
    checker.step("dictionary", |c| dictionary(&conn, c));
    checker.step("counts", |c| counts(&conn, c));
    let alive = lock::is_held(path);
    checker.step("runs", |c| runs(&conn, alive, c));
    Ok(checker.findings)
}

struct Checker {
    findings: Vec<Finding>,
}

impl Checker {
    fn add(&mut self, severity: Severity, subject: &'static str, text: String, mend: Option<String>) {
        self.findings.push(Finding { severity, subject, text, mend });
    }

    fn ok(&mut self, subject: &'static str, text: impl Into<String>) {
        self.add(Severity::Ok, subject, text.into(), None);
    }

    fn note(&mut self, subject: &'static str, text: String, mend: Option<String>) {
        self.add(Severity::Note, subject, text, mend);
    }

    fn error(&mut self, subject: &'static str, text: String, mend: Option<String>) {
        self.add(Severity::Error, subject, text, mend);
    }

    /// Runs one examination; where the file is too damaged for it, that is the finding.
    fn step(&mut self, subject: &'static str, examine: impl FnOnce(&mut Checker) -> Result<(), StoreError>) {
        if let Err(error) = examine(self) {
            self.error(subject, format!("could not be examined: {error}"), Some(RESTORE.to_owned()));
        }
    }

    fn errors(&mut self, subject: &'static str, mut texts: Vec<String>, mend: &str) {
        let n = texts.len();
        texts.truncate(SPELLED_OUT);
        for text in texts {
            self.error(subject, text, Some(mend.to_owned()));
        }
        if n > SPELLED_OUT {
            self.error(subject, format!("and {} more", n - SPELLED_OUT), None);
        }
    }
}

fn strings(conn: &Connection, sql: &str) -> Result<Vec<String>, StoreError> {
    let mut statement = conn.prepare(sql)?;
    Ok(statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?)
}

fn integrity(conn: &Connection, c: &mut Checker) -> Result<(), StoreError> {
    let found = strings(conn, "PRAGMA integrity_check")?;
    if found == ["ok"] {
        c.ok("integrity", "every page and index of the file is sound");
    } else {
        c.errors("integrity", found, RESTORE);
    }
    Ok(())
}

fn objects(conn: &Connection, version: i64, c: &mut Checker) -> Result<(), StoreError> {
    let (found, expected) = (schema::objects(conn)?, schema::expected_objects()?);
    let mut wrong = Vec::new();
    for (object, sql) in expected {
        let (kind, name) = object;
        match found.get(object) {
            Some(same) if same == sql => {}
            Some(_) => wrong.push(format!("the {kind} `{name}` was changed")),
            None => wrong.push(format!("the {kind} `{name}` is missing")),
        }
    }
    for (kind, name) in found.keys().filter(|object| !expected.contains_key(*object)) {
        if kind == "trigger" {
            wrong.push(format!("there is a foreign trigger `{}`", name.escape_debug()));
        } else {
            c.note(
                "schema",
                format!("there is a foreign {kind} `{}`, which sedflow ignores", name.escape_debug()),
                None,
            );
        }
    }
    if wrong.is_empty() {
        c.ok(
            "schema",
            format!("version {version}, all {} tables, indexes, views and triggers as made", expected.len()),
        );
    }
    c.errors("schema", wrong, "undo the change with sqlite3, or restore the file from a copy");
    Ok(())
}

fn foreign_keys(conn: &Connection, c: &mut Checker) -> Result<(), StoreError> {
    let mut statement = conn.prepare("PRAGMA foreign_key_check")?;
    let broken = statement
        .query_map([], |row| {
            let (table, rowid, parent): (String, Option<i64>, String) =
                (row.get(0)?, row.get(1)?, row.get(2)?);
            let row = rowid.map_or(String::new(), |rowid| format!(" row {rowid}"));
            Ok(format!("{table}{row} refers to a row of {parent} that does not exist"))
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    if broken.is_empty() {
        c.ok("foreign keys", "every reference leads to a row");
    }
    c.errors("foreign keys", broken, "restore the file from a copy, or remove the rows with sqlite3");
    Ok(())
}

fn checksums(conn: &Connection, c: &mut Checker) -> Result<(), StoreError> {
    let mut n_blobs: u64 = 0;
    let mut damaged = Vec::new();
    for (table, column) in blob_columns()? {
        let sql =
            format!("SELECT rowid, {column}_hash FROM {table} WHERE {column} IS NOT NULL ORDER BY rowid");
        let mut statement = conn.prepare(&sql)?;
        let mut rows = statement.query([])?;
        let mut blob = None;
        while let Some(row) = rows.next()? {
            let (rowid, expected): (i64, ContentHash) = (row.get(0)?, row.get(1)?);
            n_blobs += 1;
            let open = match &mut blob {
                Some(blob) => blob,
                none => none.insert(conn.blob_open(MAIN_DB, table.as_str(), column.as_str(), rowid, true)?),
            };
            let found = open
                .reopen(rowid)
                .map_err(StoreError::from)
                .and_then(|()| ContentHash::of_reader(&mut *open).map_err(StoreError::Output));
            match found {
                Ok(found) if found == expected => {}
                Ok(found) => damaged.push(format!(
                    "{table}.{column} of {} has checksum {}, not {}",
                    owner(conn, &table, rowid)?,
                    found.short(),
                    expected.short()
                )),
                Err(error) => {
                    damaged.push(format!(
                        "{table}.{column} of {} is unreadable: {error}",
                        owner(conn, &table, rowid)?
                    ));
                    blob = None;
                }
            }
        }
    }
    if damaged.is_empty() {
        c.ok("checksums", format!("{n_blobs} blobs have the checksum they were stored with"));
    }
    c.errors(
        "checksums",
        damaged,
        "remove the product with `sedflow gc` and make it again, or restore the file",
    );
    Ok(())
}

/// Columns with a `_hash` beside them, by the dictionary of this program.
fn blob_columns() -> Result<Vec<(String, String)>, StoreError> {
    let entries = schema::dictionary()?;
    let is_hashed = |entry: &schema::DictionaryEntry| {
        let companion = format!("{}_hash", entry.column);
        entry.kind == "BLOB"
            && entries.iter().any(|other| other.table == entry.table && other.column == companion)
    };
    Ok(entries.iter().filter(|entry| is_hashed(entry)).map(|e| (e.table.clone(), e.column.clone())).collect())
}

/// Names the row for a person; a posterior by its galaxy.
fn owner(conn: &Connection, table: &str, rowid: i64) -> Result<String, StoreError> {
    if table != "posterior" {
        return Ok(format!("row {rowid}"));
    }
    let sql = "SELECT 'galaxy ' || g.object_id || ' of ' || s.name || ' in set ' || t.name FROM posterior p \
               JOIN galaxy g USING (galaxy_id) JOIN survey s USING (survey_id) \
               JOIN posterior_set t USING (posterior_set_id) WHERE p.posterior_id = ?1";
    Ok(conn.query_row(sql, [rowid], |row| row.get(0)).unwrap_or_else(|_| format!("row {rowid}")))
}

fn dictionary(conn: &Connection, c: &mut Checker) -> Result<(), StoreError> {
    let gaps = schema::dictionary_gaps(conn)?;
    if gaps.is_empty() {
        c.ok("dictionary", "every column is described");
    }
    c.errors("dictionary", gaps, "restore the table `dictionary` from a new catalog made by `sedflow init`");
    Ok(())
}

fn counts(conn: &Connection, c: &mut Checker) -> Result<(), StoreError> {
    let wrong = strings(
        conn,
        "SELECT printf('ingest %d says it kept %d galaxies and rejected %d rows, but %d and %d are there', \
           i.ingest_id, i.n_kept, i.n_rejected, ifnull(g.n, 0), ifnull(r.n, 0)) FROM ingest i \
         LEFT JOIN (SELECT ingest_id, count(*) AS n FROM galaxy GROUP BY ingest_id) g USING (ingest_id) \
         LEFT JOIN (SELECT ingest_id, count(*) AS n FROM ingest_reject GROUP BY ingest_id) r USING (ingest_id) \
         WHERE CASE WHEN EXISTS (SELECT 1 FROM setting WHERE key = 'release') \
           THEN i.n_kept < ifnull(g.n, 0) OR i.n_rejected < ifnull(r.n, 0) \
           ELSE i.n_kept <> ifnull(g.n, 0) OR i.n_rejected <> ifnull(r.n, 0) END \
         UNION ALL \
         SELECT printf('galaxy %s has photometry in %d of %d bands', g.object_id, \
           (SELECT count(*) FROM photometry p WHERE p.galaxy_id = g.galaxy_id), s.n) FROM galaxy g \
         JOIN (SELECT survey_id, count(*) AS n FROM survey JOIN band USING (band_set_id) GROUP BY survey_id) s USING (survey_id) \
         WHERE (SELECT count(*) FROM photometry p WHERE p.galaxy_id = g.galaxy_id) <> s.n",
    )?;
    if wrong.is_empty() {
        let n: i64 = conn.query_row("SELECT count(*) FROM galaxy", [], |row| row.get(0))?;
        c.ok("counts", format!("{n} galaxies, as many as the ingests say, each with all its bands"));
    }
    c.errors("counts", wrong, "rows were added or removed by another program; restore the file from a copy");
    Ok(())
}

fn runs(conn: &Connection, alive: bool, c: &mut Checker) -> Result<(), StoreError> {
    let mut interrupted = 0;
    let sql = "SELECT run_id, command, state FROM run r WHERE state IN ('running', 'interrupted') \
               AND NOT EXISTS (SELECT 1 FROM run_output o JOIN run_output later ON later.hash = o.hash \
                 JOIN run done ON done.run_id = later.run_id AND done.state = 'done' AND done.run_id > r.run_id \
                 WHERE o.run_id = r.run_id) ORDER BY run_id";
    let mut statement = conn.prepare(sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (run, command, state): (RunId, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        if state == "running" && alive {
            c.note("runs", format!("run {run} ({command}) is at work"), None);
        } else {
            interrupted += 1;
            let mend = format!("the same command goes on where it was; `sedflow show run:{run}` has it");
            c.note(
                "runs",
                format!("run {run} ({command}) was interrupted; what it committed is kept"),
                Some(mend),
            );
        }
    }
    // a training that simulates as it goes needs no rows of its set
    for (table, kind, kept) in
        [("training_set", "training set", "stored"), ("posterior_set", "posterior set", "true")]
    {
        let sql = format!(
            "SELECT coalesce(name, CAST({table}_id AS TEXT)) FROM {table} WHERE NOT complete AND {kept}"
        );
        for name in strings(conn, &sql)? {
            let mend = "the command that began it goes on with it, or `sedflow gc` removes it".to_owned();
            c.note("runs", format!("the {kind} {name} is not complete"), Some(mend));
        }
    }
    let orphans = strings(
        conn,
        "SELECT kind || ' ' || coalesce(name, id) FROM product p WHERE NOT EXISTS (SELECT 1 FROM run WHERE run_id = p.run_id)",
    )?;
    if interrupted == 0 && orphans.is_empty() {
        c.ok("runs", "every product has its run, and no run was interrupted and left");
    }
    let texts = orphans.into_iter().map(|name| format!("{name} has no run that made it")).collect();
    c.errors("runs", texts, "restore the file from a copy");
    Ok(())
}
