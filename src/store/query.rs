//! SQL from users, for reading only, row by row.

use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::types::{Value as SqlValue, ValueRef};
use rusqlite::{Statement, params_from_iter};

use super::error::{InSql, StoreError};
use super::select::{Selection, quoted};
use super::{Mode, Store};
use crate::output::{Cell, RowSink};

/// A value for a `:name` in a query, typed as it reads: integer, real, else text.
#[derive(Debug, Clone, PartialEq)]
pub struct QueryParam {
    pub name: String,
    pub value: String,
}

impl QueryParam {
    fn to_sql(&self) -> SqlValue {
        let as_integer = self.value.parse().map(SqlValue::Integer);
        let as_real = || self.value.parse().ok().filter(|value: &f64| value.is_finite()).map(SqlValue::Real);
        as_integer.ok().or_else(as_real).unwrap_or_else(|| SqlValue::Text(self.value.clone()))
    }
}

/// Reading is all a query may do, and of pragmas only those that tell.
fn authorize(context: AuthContext<'_>) -> Authorization {
    const PRAGMAS: [&str; 12] = [
        "table_info",
        "table_xinfo",
        "table_list",
        "index_list",
        "index_info",
        "index_xinfo",
        "foreign_key_list",
        "function_list",
        "application_id",
        "user_version",
        "page_count",
        "page_size",
    ];
    match context.action {
        AuthAction::Select | AuthAction::Read { .. } | AuthAction::Recursive => Authorization::Allow,
        AuthAction::Function { function_name } if !function_name.eq_ignore_ascii_case("load_extension") => {
            Authorization::Allow
        }
        AuthAction::Pragma { pragma_name, .. }
            if PRAGMAS.contains(&pragma_name.to_ascii_lowercase().as_str()) =>
        {
            Authorization::Allow
        }
        _ => Authorization::Deny,
    }
}

impl Store {
    /// Runs one reading statement and hands its rows to `sink`; returns their number. Every `:name` in it
    /// must be given, and everything given used.
    ///
    /// Errors with [`StoreError::NotReading`] for anything that would write; the catalog must be open for reading.
    pub fn query(&self, sql: &str, params: &[QueryParam], sink: &mut dyn RowSink) -> Result<u64, StoreError> {
        debug_assert_eq!(self.mode, Mode::Read);
        self.conn.authorizer(Some(authorize))?;
        let prepared = self.conn.prepare(sql);
        self.conn.authorizer(None::<fn(AuthContext<'_>) -> Authorization>)?;
        let mut statement = match prepared {
            Err(error)
                if error.sqlite_error_code()
                    == Some(rusqlite::ErrorCode::AuthorizationForStatementDenied) =>
            {
                return Err(StoreError::NotReading { sql: sql.to_owned() });
            }
            other => other.in_sql(sql)?,
        };
        if !statement.readonly() || statement.column_count() == 0 {
            return Err(StoreError::NotReading { sql: sql.to_owned() });
        }
        bind(&mut statement, params)?;
        stream(statement, sink).map_err(|error| match error {
            StoreError::Sqlite(error) => StoreError::Sql { sql: sql.to_owned(), error },
            other => other,
        })
    }

    /// Lists selected galaxies with these columns, in the order of their identifiers; returns their number.
    pub fn list_galaxies(
        &self,
        selection: &Selection<'_>,
        columns: &[String],
        sink: &mut dyn RowSink,
    ) -> Result<u64, StoreError> {
        let known: Vec<String> = self.galaxy_columns()?.into_iter().map(|(name, _)| name).collect();
        if let Some(unknown) = columns.iter().find(|name| !known.iter().any(|k| k.eq_ignore_ascii_case(name)))
        {
            return Err(StoreError::NoSuch { kind: "column", name: unknown.clone(), known });
        }
        let outputs = columns.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ");
        let bound = self.selection_sql(selection, &outputs)?;
        let mut statement = self.conn.prepare(&bound.sql)?;
        for (i, value) in bound.values.iter().enumerate() {
            statement.raw_bind_parameter(i + 1, value)?;
        }
        stream(statement, sink)
    }

    /// How many galaxies a selection holds, its limit apart.
    pub fn count_galaxies(&self, selection: &Selection<'_>) -> Result<u64, StoreError> {
        let selection = Selection { limit: None, ..*selection };
        let bound = self.selection_sql(&selection, "galaxy_id")?;
        let sql = format!("SELECT count(*) FROM ({})", bound.sql);
        let n: i64 = self.conn.prepare(&sql)?.query_row(params_from_iter(bound.values), |row| row.get(0))?;
        Ok(n as u64)
    }
}

fn bind(statement: &mut Statement<'_>, params: &[QueryParam]) -> Result<(), StoreError> {
    let mut used = vec![false; params.len()];
    for index in 1..=statement.parameter_count() {
        let name = statement.parameter_name(index).unwrap_or("?").to_owned();
        let bare = name.trim_start_matches([':', '@', '$']);
        let Some(place) = params.iter().position(|param| param.name == bare) else {
            return Err(StoreError::MissingParam { name });
        };
        used[place] = true;
        statement.raw_bind_parameter(index, params[place].to_sql())?;
    }
    match used.iter().position(|used| !used) {
        Some(unused) => Err(StoreError::UnusedParam { name: params[unused].name.clone() }),
        None => Ok(()),
    }
}

fn stream(mut statement: Statement<'_>, sink: &mut dyn RowSink) -> Result<u64, StoreError> {
    let names: Vec<String> = statement.column_names().into_iter().map(str::to_owned).collect();
    sink.columns(&names).map_err(StoreError::Output)?;
    let mut rows = statement.raw_query();
    let mut n_rows = 0;
    while let Some(row) = rows.next()? {
        let mut cells = Vec::with_capacity(names.len());
        for i in 0..names.len() {
            cells.push(match row.get_ref(i)? {
                ValueRef::Null => Cell::Null,
                ValueRef::Integer(value) => Cell::Int(value),
                ValueRef::Real(value) => Cell::Real(value),
                ValueRef::Text(text) => Cell::Text(text),
                ValueRef::Blob(bytes) => Cell::Bytes(bytes),
            });
        }
        sink.row(&cells).map_err(StoreError::Output)?;
        n_rows += 1;
    }
    Ok(n_rows)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{galaxy, ingesting, temp};
    use super::*;
    use crate::output::{Format, Writer};

    fn query(store: &Store, sql: &str, params: &[(&str, &str)]) -> Result<String, StoreError> {
        let params: Vec<_> = params
            .iter()
            .map(|(name, value)| QueryParam { name: (*name).to_owned(), value: (*value).to_owned() })
            .collect();
        let mut out = Vec::new();
        let mut writer = Writer::new(&mut out, Format::Csv);
        store.query(sql, &params, &mut writer)?;
        writer.finish().unwrap();
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn a_query_reads_with_bound_parameters_and_our_functions() {
        let temp = temp();
        let mut store = Store::create(&temp.path).unwrap();
        let (_, state) = ingesting(&mut store);
        let evil = "'; DROP TABLE galaxy; --\x1b[31m";
        store.commit_ingest_batch(state.id, 2, &[galaxy(0, "140"), galaxy(1, evil)], &[], &[]).unwrap();
        let store = store.reader().unwrap();
        let by_id = "SELECT galaxy_id FROM galaxy WHERE object_id = :id";
        assert_eq!(query(&store, by_id, &[("id", "140")]).unwrap(), "galaxy_id\n1\n");
        assert_eq!(query(&store, by_id, &[("id", evil)]).unwrap(), "galaxy_id\n2\n");
        assert_eq!(
            query(&store, "SELECT object_id FROM galaxy WHERE galaxy_id = 2", &[]).unwrap(),
            format!("object_id\n{evil}\n")
        );
        assert_eq!(query(&store, "SELECT median(sqrt(16.0)) AS m FROM galaxy", &[]).unwrap(), "m\n4.0\n");
        assert!(query(&store, "EXPLAIN QUERY PLAN SELECT * FROM galaxy", &[]).is_ok());
        assert!(
            query(&store, "SELECT name FROM pragma_table_info('galaxy')", &[]).unwrap().contains("redshift")
        );
        assert!(matches!(query(&store, by_id, &[]), Err(StoreError::MissingParam { .. })));
        assert!(matches!(query(&store, "SELECT 1", &[("x", "1")]), Err(StoreError::UnusedParam { .. })));
        let typo = query(&store, "SELECT redshft FROM galaxy", &[]).unwrap_err().to_string();
        assert!(typo.contains("no such column: redshft"), "{typo}");
    }

    #[test]
    fn a_query_cannot_write_anywhere() {
        let temp = temp();
        drop(Store::create(&temp.path).unwrap());
        let store = Store::open(&temp.path, Mode::Read).unwrap();
        for sql in [
            "DELETE FROM galaxy",
            "INSERT INTO setting VALUES ('a', 'b') RETURNING key",
            "CREATE TEMP TABLE t (a)",
            "PRAGMA journal_mode = DELETE",
            "PRAGMA writable_schema = ON",
            "PRAGMA query_only = 0",
            "ATTACH 'other.db' AS other",
            "VACUUM INTO 'copy.db'",
            "BEGIN",
            "",
            "-- nothing",
        ] {
            assert!(matches!(query(&store, sql, &[]), Err(StoreError::NotReading { .. })), "{sql}");
        }
        assert!(query(&store, "SELECT 1; DELETE FROM galaxy", &[]).is_err());
        let denied = query(&store, "SELECT load_extension('evil')", &[]).unwrap_err().to_string();
        assert!(denied.contains("not authorized"), "{denied}");
    }
}
