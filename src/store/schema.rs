//! The numbered migrations, what they make of a file, and the data dictionary.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::OnceLock;

use rusqlite::Connection;
use rusqlite_migration::{M, Migrations};

use super::error::StoreError;

/// `SEDF` in ASCII, at offset 68 of the file.
pub const APPLICATION_ID: i64 = 0x5345_4446;

const MIGRATIONS: &[&str] = &[
    concat!(include_str!("../../schema/0001_initial.sql"), include_str!("../../schema/0001_dictionary.sql")),
    include_str!("../../schema/0002_recipe.sql"),
    include_str!("../../schema/0003_ssp_grid_bytes.sql"),
    include_str!("../../schema/0004_validation_part.sql"),
    include_str!("../../schema/0005_release.sql"),
    include_str!("../../schema/0006_summary_index.sql"),
];

/// The migrations a program knows; tests bring their own.
#[derive(Clone, Copy)]
pub(super) struct Schema(&'static [&'static str]);

pub(super) const CURRENT: Schema = Schema(MIGRATIONS);

impl Schema {
    /// As it was when it had `n` migrations.
    #[cfg(test)]
    pub(super) fn at_version(self, n: usize) -> Self {
        Self(&self.0[..n])
    }

    /// One migration more.
    #[cfg(test)]
    pub(super) fn followed_by(self, sql: &'static str) -> Self {
        Self(Box::leak([self.0, &[sql]].concat().into_boxed_slice()))
    }

    pub(super) fn version(self) -> i64 {
        self.0.len() as i64
    }

    /// Brings a file to this schema in one transaction.
    pub(super) fn migrate(self, conn: &mut Connection) -> Result<(), rusqlite_migration::Error> {
        Migrations::from_iter(self.0.iter().map(|sql| M::up(sql))).to_latest(conn)
    }
}

/// (type, name) -> SQL of every object of a schema.
pub(super) type Objects = BTreeMap<(String, String), String>;

/// What `sqlite_schema` holds in a file that nobody else has changed.
pub(super) fn expected_objects() -> Result<&'static Objects, StoreError> {
    static OBJECTS: OnceLock<Objects> = OnceLock::new();
    if let Some(objects) = OBJECTS.get() {
        return Ok(objects);
    }
    let objects = objects(&in_memory()?)?;
    Ok(OBJECTS.get_or_init(|| objects))
}

/// An empty catalog in memory.
pub(super) fn in_memory() -> Result<Connection, StoreError> {
    let mut conn = Connection::open_in_memory()?;
    CURRENT
        .migrate(&mut conn)
        .map_err(|source| StoreError::Migration { path: ":memory:".into(), source: Box::new(source) })?;
    Ok(conn)
}

/// All objects with SQL text; SQLite's own tables and indexes (statistics, uniqueness) are left out.
///
/// A trigger is never SQLite's own, whatever it is called.
pub(super) fn objects(conn: &Connection) -> Result<Objects, StoreError> {
    let sql = "SELECT type, name, coalesce(sql, '') FROM sqlite_schema \
               WHERE NOT (type IN ('table', 'index') AND name LIKE 'sqlite\\_%' ESCAPE '\\')";
    let mut statement = conn.prepare(sql)?;
    let rows = statement.query_map([], |row| Ok(((row.get(0)?, row.get(1)?), row.get(2)?)))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// A row of the table `dictionary`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DictionaryEntry {
    pub table: String,
    pub column: String,
    pub kind: String,
    pub unit: Option<String>,
    pub ucd: Option<String>,
    pub description: String,
    pub null_meaning: Option<String>,
}

/// The dictionary in the order of the tables and columns it describes, as this program's schema has it.
pub fn dictionary() -> Result<Vec<DictionaryEntry>, StoreError> {
    read_dictionary(&in_memory()?)
}

pub(super) fn read_dictionary(conn: &Connection) -> Result<Vec<DictionaryEntry>, StoreError> {
    let sql = "SELECT d.table_name, d.column_name, d.type, d.unit, d.ucd, d.description, d.null_meaning \
               FROM dictionary d LEFT JOIN sqlite_schema s ON s.name = d.table_name \
               LEFT JOIN pragma_table_info(d.table_name) c ON c.name = d.column_name \
               ORDER BY s.type, s.rowid, c.cid, d.column_name";
    let mut statement = conn.prepare(sql)?;
    let rows = statement.query_map([], |row| {
        Ok(DictionaryEntry {
            table: row.get(0)?,
            column: row.get(1)?,
            kind: row.get(2)?,
            unit: row.get(3)?,
            ucd: row.get(4)?,
            description: row.get(5)?,
            null_meaning: row.get(6)?,
        })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Where the dictionary and the tables of this program's schema disagree, one sentence each. Those of others
/// are theirs to describe, and not even looked at: a view may fail when it is.
pub(super) fn dictionary_gaps(conn: &Connection) -> Result<Vec<String>, StoreError> {
    let ours: Vec<&str> = expected_objects()?.keys().map(|(_, name)| name.as_str()).collect();
    let ours = serde_json::Value::from(ours).to_string();
    let sql = "SELECT s.name, c.name, c.type, c.\"notnull\" OR c.pk, d.type, d.null_meaning, d.column_name IS NULL, s.type = 'view' \
               FROM sqlite_schema s JOIN pragma_table_info(s.name) c \
               LEFT JOIN dictionary d ON d.table_name = s.name AND d.column_name = c.name \
               WHERE s.type IN ('table', 'view') AND s.name IN (SELECT value FROM json_each(?1))";
    let mut gaps = Vec::new();
    let mut statement = conn.prepare(sql)?;
    let mut rows = statement.query([ours])?;
    while let Some(row) = rows.next()? {
        let (table, column, kind): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let (never_null, described, missing): (bool, Option<String>, bool) =
            (row.get(3)?, row.get(4)?, row.get(6)?);
        let null_meaning: Option<String> = row.get(5)?;
        let is_view: bool = row.get(7)?;
        if missing {
            gaps.push(format!("{table}.{column} is not in the dictionary"));
        } else if !is_view && described.as_deref() != Some(&kind) {
            gaps.push(format!(
                "{table}.{column} is {kind}, the dictionary says {}",
                described.unwrap_or_default()
            ));
        } else if !is_view && never_null == null_meaning.is_some() {
            let should = if never_null { "give no meaning of NULL" } else { "say what NULL means" };
            gaps.push(format!("{table}.{column}: the dictionary should {should}"));
        }
    }
    let sql = "SELECT d.table_name || '.' || d.column_name FROM dictionary d \
               WHERE NOT EXISTS (SELECT 1 FROM pragma_table_info(d.table_name) c WHERE c.name = d.column_name)";
    let mut statement = conn.prepare(sql)?;
    for name in statement.query_map([], |row| row.get::<_, String>(0))? {
        gaps.push(format!("the dictionary describes {}, which does not exist", name?));
    }
    Ok(gaps)
}

/// The text of `schema/README.md`: the dictionary as one table per table.
pub fn dictionary_markdown(entries: &[DictionaryEntry]) -> String {
    let mut text = String::from(include_str!("../../schema/README.head.md"));
    for table in entries.chunk_by(|a, b| a.table == b.table) {
        let _ = writeln!(text, "\n## {}\n", table[0].table);
        text.push_str(
            "| column | type | unit | UCD | description | NULL means |\n|---|---|---|---|---|---|\n",
        );
        for entry in table {
            let cell = |value: &Option<String>| value.as_deref().unwrap_or("").replace('|', "\\|");
            let _ = writeln!(
                text,
                "| `{}` | {} | {} | {} | {} | {} |",
                entry.column,
                entry.kind,
                cell(&entry.unit),
                cell(&entry.ucd),
                entry.description.replace('|', "\\|"),
                cell(&entry.null_meaning),
            );
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_migrations_apply_and_set_the_application_id() {
        let conn = in_memory().unwrap();
        let pragma = |name| conn.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).unwrap();
        assert_eq!(pragma("application_id"), APPLICATION_ID);
        assert_eq!(pragma("user_version"), CURRENT.version());
    }

    #[test]
    fn every_column_is_in_the_dictionary_and_every_entry_is_a_column() {
        assert_eq!(dictionary_gaps(&in_memory().unwrap()).unwrap(), Vec::<String>::new());
    }

    /// `UPDATE_SCHEMA=1 cargo test schema_readme` writes it.
    #[test]
    fn schema_readme_is_the_dictionary() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/schema/README.md");
        let text = dictionary_markdown(&dictionary().unwrap());
        if std::env::var_os("UPDATE_SCHEMA").is_some() {
            std::fs::write(path, &text).unwrap();
        }
        let found = std::fs::read_to_string(path).unwrap_or_default();
        assert!(found == text, "schema/README.md is stale: run UPDATE_SCHEMA=1 cargo test schema_readme");
    }

    #[test]
    fn every_table_is_strict_and_every_blob_is_a_hash_or_has_one() {
        let conn = in_memory().unwrap();
        for ((kind, name), sql) in objects(&conn).unwrap() {
            assert!(kind != "table" || sql.contains("STRICT"), "{name}");
        }
        let entries = dictionary().unwrap();
        for blob in entries.iter().filter(|entry| entry.kind == "BLOB" && !entry.column.ends_with("hash")) {
            let companion = format!("{}_hash", blob.column);
            assert!(
                entries.iter().any(|other| other.table == blob.table && other.column == companion),
                "{}.{} has no checksum",
                blob.table,
                blob.column
            );
        }
    }
}
