//! SQL functions that look into packed draws: `post_mean(samples, 'log_mstar')`, `post_prob(samples, 'tau_ism > 1')`.
//!
//! All are pure. An expression is compiled once per statement, and the last posterior looked into is kept,
//! so that several functions on one row unpack each column once. No draws, no answer: NULL.

use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::functions::Context;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Error, Result};

use super::functions::PURE;
use crate::expr::{AggregateKind, Want};
use crate::samples::{DrawExpr, Samples, aggregate};

/// The posterior that was looked into last.
#[derive(Default)]
pub(super) struct Last {
    bytes: Vec<u8>,
    samples: Option<Samples>,
}

/// One for each connection.
pub(super) type SharedLast = Arc<Mutex<Last>>;

impl Last {
    /// The draws packed in `bytes`.
    pub fn samples(&mut self, bytes: &[u8]) -> Result<&mut Samples> {
        if self.bytes != bytes || self.samples.is_none() {
            self.samples = None;
            self.bytes.clear();
            self.bytes.extend_from_slice(bytes);
            self.samples = Some(Samples::new(bytes.to_vec()).map_err(wrong)?);
        }
        self.samples.as_mut().ok_or(Error::InvalidQuery)
    }
}

pub(super) fn wrong(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::UserFunctionError(Box::new(error))
}

fn wrong_text(text: String) -> Error {
    Error::UserFunctionError(text.into())
}

/// What the numbers after the expressions mean.
type Kind = fn(f64) -> AggregateKind;

/// Name, number of expressions, whether they are conditions, whether a number follows, what it computes.
const FUNCTIONS: [(&str, i32, Want, bool, Kind); 7] = [
    ("post_prob", 1, Want::Condition, false, |_| AggregateKind::Probability),
    ("post_mean", 1, Want::Number, false, |_| AggregateKind::Mean),
    ("post_sd", 1, Want::Number, false, |_| AggregateKind::Sd),
    ("post_quantile", 1, Want::Number, true, AggregateKind::Quantile),
    ("post_corr", 2, Want::Number, false, |_| AggregateKind::Correlation),
    ("post_hdi_low", 1, Want::Number, true, AggregateKind::HdiLow),
    ("post_hdi_high", 1, Want::Number, true, AggregateKind::HdiHigh),
];

pub(super) fn register(conn: &Connection, last: &SharedLast) -> Result<()> {
    for (name, n_expressions, want, number, kind) in FUNCTIONS {
        let n_arguments = 1 + n_expressions + i32::from(number);
        let last = last.clone();
        conn.create_scalar_function(name, n_arguments, PURE, move |context| {
            let expressions = (1..=n_expressions).map(|i| expression(context, i, want, name));
            let expressions = expressions.collect::<Result<Vec<_>>>()?;
            let level = if number { fraction(context, n_arguments - 1, name)? } else { 0.0 };
            with_samples(context, &last, name, |samples| {
                let value = aggregate(kind(level), &expressions, samples, &|_, _| None).map_err(wrong)?;
                Ok(Some(value).filter(|value| !value.is_nan()))
            })
        })?;
    }
    let last = last.clone();
    conn.create_scalar_function("post_hdi", 3, PURE, move |context| {
        let expression = expression(context, 1, Want::Number, "post_hdi")?;
        let mass = fraction(context, 2, "post_hdi")?;
        with_samples(context, &last, "post_hdi", |samples| {
            let column = expression.column(samples, &|_| None);
            let (low, high) = column.map_err(wrong)?.hdi(mass);
            Ok((low.is_finite() && high.is_finite()).then(|| format!("[{low:?},{high:?}]")))
        })
    })
}

/// The expression in an argument, compiled once per statement where it is the same for every row.
fn expression(context: &Context<'_>, argument: i32, want: Want, name: &str) -> Result<Arc<DrawExpr>> {
    if let Some(known) = context.get_aux::<DrawExpr>(argument)? {
        return Ok(known);
    }
    let ValueRef::Text(text) = context.get_raw(argument as usize) else {
        return Err(wrong_text(format!("{name}() takes an expression as text, such as 'log_mstar'")));
    };
    let text = std::str::from_utf8(text).map_err(wrong)?;
    context.set_aux(argument, DrawExpr::parse(text, want).map_err(wrong)?)
}

fn fraction(context: &Context<'_>, argument: i32, name: &str) -> Result<f64> {
    match super::functions::number(context, argument as usize).filter(|p| (0.0..=1.0).contains(p)) {
        Some(value) => Ok(value),
        None => Err(wrong_text(format!("the last argument of {name}() is a number from 0 to 1"))),
    }
}

/// What `of` finds in the draws of the first argument; NULL where there are none.
fn with_samples<T>(
    context: &Context<'_>,
    last: &SharedLast,
    name: &str,
    of: impl FnOnce(&mut Samples) -> Result<Option<T>>,
) -> Result<Option<T>> {
    match context.get_raw(0) {
        ValueRef::Null => Ok(None),
        ValueRef::Blob(bytes) => {
            // a panic elsewhere leaves at worst half a posterior, which is not the one looked for
            let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
            of(last.samples(bytes)?)
        }
        _ => {
            Err(wrong_text(format!("the first argument of {name}() is the column `samples` of `posterior`")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{EncodeOptions, encode};
    use rusqlite::types::Value;

    /// A connection with a table `posterior` of four draws without and with weights, and one without draws.
    fn connection() -> Connection {
        let conn = Connection::open_in_memory().unwrap();
        super::super::functions::register(&conn).unwrap();
        conn.execute_batch("CREATE TABLE posterior (id INTEGER PRIMARY KEY, samples BLOB)").unwrap();
        let mass: &[f32] = &[10.0, 10.5, 11.0, 12.0];
        let columns: [(&str, &[f32]); 3] =
            [("log_mstar", mass), ("tau_ism", &[1.0, 0.5, 0.25, 0.0]), ("w", &[1.0, 1.0, 1.0, 5.0])];
        let options = EncodeOptions { lossless: true, ..EncodeOptions::default() };
        let weighted = EncodeOptions { weight: Some(2), ..options.clone() };
        for (id, blob) in [
            (1, Some(encode(&columns[..2], &options).unwrap().bytes)),
            (2, Some(encode(&columns, &weighted).unwrap().bytes)),
            (3, None),
        ] {
            conn.execute("INSERT INTO posterior VALUES (?1, ?2)", (id, blob)).unwrap();
        }
        conn
    }

    fn ask(conn: &Connection, what: &str, id: i64) -> std::result::Result<Value, String> {
        let sql = format!("SELECT {what} FROM posterior p WHERE id = {id}");
        conn.query_row(&sql, [], |row| row.get(0)).map_err(|error| error.to_string())
    }

    #[test]
    fn functions_look_into_packed_draws_and_heed_their_weights() {
        let conn = connection();
        for (what, plain, weighted) in [
            ("post_prob(samples, 'log_mstar > 10.9')", 0.5, 0.75),
            ("post_prob(samples, 'log_mstar > 10.2 and tau_ism >= 0.25')", 0.5, 0.25),
            ("post_mean(samples, 'log_mstar - 10')", 0.875, 1.4375),
            ("post_quantile(samples, 'log_mstar', 0.5)", 10.75, 11.0 + 1.0 / 6.0),
            ("post_hdi_low(samples, 'log_mstar', 0.5)", 10.0, 12.0),
            ("post_hdi_high(samples, 'log_mstar', 0.5)", 10.5, 12.0),
            ("post_corr(samples, 'tau_ism', '2 - tau_ism')", -1.0, -1.0),
        ] {
            for (id, expected) in [(1, plain), (2, weighted)] {
                let Ok(Value::Real(found)) = ask(&conn, what, id) else {
                    panic!("{what}: {:?}", ask(&conn, what, id))
                };
                assert!((found - expected).abs() < 1e-6, "{what} of {id}: {found}");
            }
            assert_eq!(ask(&conn, what, 3), Ok(Value::Null), "{what}");
        }
        let Ok(Value::Real(sd)) = ask(&conn, "post_sd(samples, 'tau_ism')", 1) else { panic!() };
        assert!((sd - (0.546_875_f64 / 3.0).sqrt()).abs() < 1e-6, "{sd}");
        let hdi = ask(&conn, "post_hdi(samples, 'log_mstar', 0.5)", 1);
        assert_eq!(hdi, Ok(Value::Text("[10.0,10.5]".into())));
        // several functions on several rows, one statement
        let sql = "SELECT group_concat(post_prob(samples, 'tau_ism > 0.3') || ' ' || post_mean(samples, 'tau_ism'), ';') \
                   FROM posterior WHERE post_prob(samples, 'tau_ism < 9') = 1";
        let all: String = conn.query_row(sql, [], |row| row.get(0)).unwrap();
        assert_eq!(all, "0.5 0.4375;0.25 0.21875");
    }

    #[test]
    fn what_is_wrong_is_said_and_pointed_at() {
        let conn = connection();
        for (what, expected) in [
            ("post_prob(samples, 'log_mass > 11')", "no parameter `log_mass`; there are log_mstar, tau_ism"),
            ("post_prob(samples, 'log_mstar')", "a condition is needed"),
            ("post_mean(samples, 11)", "takes an expression as text"),
            ("post_quantile(samples, 'tau_ism', 50)", "a number from 0 to 1"),
            ("post_mean('draws', 'tau_ism')", "the column `samples`"),
            ("post_mean(x'00112233', 'tau_ism')", "not with SDP1"),
            ("post_mean(substr(samples, 1, 90), 'tau_ism')", "bytes"),
        ] {
            let error = ask(&conn, what, 1).unwrap_err();
            assert!(error.contains(expected), "{what}: {error}");
        }
        let error = ask(&conn, "post_prob(samples, 'log_mstar >> 11')", 1).unwrap_err();
        assert!(error.ends_with("\n    log_mstar >> 11\n               ^"), "{error}");
    }

    #[test]
    fn a_posterior_is_a_table_of_its_draws() {
        let conn = connection();
        let of = |sql: &str| -> String { conn.query_row(sql, [], |row| row.get(0)).unwrap() };
        assert_eq!(
            of(
                "SELECT group_concat(x, ' ') FROM (SELECT p.id || ':' || d.log_mstar || ':' || d.weight AS x \
                FROM posterior p, posterior_draws(p.samples) d WHERE d.tau_ism < 0.3 AND p.id <> 3 ORDER BY x)"
            ),
            "1:11.0:1.0 1:12.0:1.0 2:11.0:1.0 2:12.0:5.0"
        );
        assert_eq!(of("SELECT sum(d.draw) || '' FROM posterior p, posterior_draws(p.samples) d"), "12");
        assert_eq!(of("SELECT count(*) || '' FROM posterior p, posterior_draws(p.samples) d"), "8");
        assert_eq!(of("SELECT count(d.beta1) || '' FROM posterior p, posterior_draws(p.samples) d"), "0");
        let joined = "SELECT avg(a.log_mstar - b.log_mstar) || '' FROM posterior p, posterior_draws(p.samples) a \
                      JOIN posterior_draws(p.samples) b ON b.draw = a.draw WHERE p.id = 1";
        assert_eq!(of(joined), "0.0");
        let wrong =
            conn.query_row("SELECT * FROM posterior_draws(7)", [], |_| Ok(())).unwrap_err().to_string();
        assert!(wrong.contains("the column `samples`"), "{wrong}");
        assert!(conn.prepare("SELECT * FROM posterior_draws").is_err());
    }

    #[test]
    fn a_view_may_not_hide_the_table_of_draws() {
        let conn = connection();
        conn.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false).unwrap();
        conn.execute_batch("CREATE VIEW sly AS SELECT d.* FROM posterior p, posterior_draws(p.samples) d")
            .unwrap();
        let error = conn.prepare("SELECT * FROM sly").unwrap_err().to_string();
        assert!(error.contains("unsafe use of virtual table"), "{error}");
    }
}
