//! SQL functions of every connection: mathematics, medians, magnitudes and angles.
//!
//! They are registered here, rather than asked of SQLite's build, so that queries work in any build. All
//! are pure; a value outside a function's domain gives NULL, as in SQLite's own.

use rusqlite::functions::{Aggregate, Context, FunctionFlags};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Result};

use crate::sky;

pub(super) const PURE: FunctionFlags = FunctionFlags::SQLITE_UTF8
    .union(FunctionFlags::SQLITE_DETERMINISTIC)
    .union(FunctionFlags::SQLITE_INNOCUOUS);

type Unary = fn(f64) -> f64;
type Binary = fn(f64, f64) -> f64;

const UNARY: [(&str, Unary); 22] = [
    ("sqrt", f64::sqrt),
    ("exp", f64::exp),
    ("ln", f64::ln),
    ("log", f64::log10),
    ("log10", f64::log10),
    ("log2", f64::log2),
    ("ceil", f64::ceil),
    ("floor", f64::floor),
    ("trunc", f64::trunc),
    ("sin", f64::sin),
    ("cos", f64::cos),
    ("tan", f64::tan),
    ("asin", f64::asin),
    ("acos", f64::acos),
    ("atan", f64::atan),
    ("sinh", f64::sinh),
    ("cosh", f64::cosh),
    ("tanh", f64::tanh),
    ("radians", f64::to_radians),
    ("degrees", f64::to_degrees),
    // AB magnitude of a flux in nanomaggies, and back
    ("ab_mag", |flux_nmgy| 22.5 - 2.5 * flux_nmgy.log10()),
    ("nmgy", |ab_mag| 10f64.powf(0.4 * (22.5 - ab_mag))),
];

const BINARY: [(&str, Binary); 6] = [
    ("pow", f64::powf),
    ("power", f64::powf),
    ("mod", |a, b| a % b),
    ("atan2", f64::atan2),
    ("hypot", f64::hypot),
    ("log", |base, x| x.ln() / base.ln()),
];

pub(super) fn register(conn: &Connection) -> Result<()> {
    for (name, function) in UNARY {
        conn.create_scalar_function(name, 1, PURE, move |c| Ok(number(c, 0).map(function).and_then(finite)))?;
    }
    for (name, function) in BINARY {
        conn.create_scalar_function(name, 2, PURE, move |c| {
            Ok(number(c, 0).zip(number(c, 1)).map(|(a, b)| function(a, b)).and_then(finite))
        })?;
    }
    conn.create_scalar_function("pi", 0, PURE, |_| Ok(std::f64::consts::PI))?;
    // angle between two directions, all in degrees
    conn.create_scalar_function("separation_deg", 4, PURE, |c| {
        let angles = (number(c, 0).zip(number(c, 1))).zip(number(c, 2).zip(number(c, 3)));
        Ok(angles.map(|((ra1, dec1), (ra2, dec2))| sky::separation_deg(ra1, dec1, ra2, dec2)))
    })?;
    conn.create_aggregate_function("median", 1, PURE, Percentile)?;
    conn.create_aggregate_function("percentile", 2, PURE, Percentile)?;
    conn.create_aggregate_function("stddev", 1, PURE, StdDev)?;
    let last = super::post::SharedLast::default();
    super::post::register(conn, &last)?;
    super::draws_table::register(conn, last)
}

/// The argument as a number; `None` for NULL, text and blobs.
pub(super) fn number(context: &Context<'_>, index: usize) -> Option<f64> {
    match context.get_raw(index) {
        ValueRef::Integer(value) => Some(value as f64),
        ValueRef::Real(value) => Some(value),
        _ => None,
    }
}

fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}

/// `median(x)` and `percentile(x, p)` with p in 0..100, linear between the sorted values; NULLs are passed over.
struct Percentile;

impl Aggregate<(Vec<f64>, f64), Option<f64>> for Percentile {
    fn init(&self, _: &mut Context<'_>) -> Result<(Vec<f64>, f64)> {
        Ok((Vec::new(), 50.0))
    }

    fn step(&self, context: &mut Context<'_>, (values, percent): &mut (Vec<f64>, f64)) -> Result<()> {
        if context.len() > 1 {
            *percent = number(context, 1).filter(|p| (0.0..=100.0).contains(p)).ok_or_else(|| {
                rusqlite::Error::UserFunctionError(
                    "the second argument of percentile() lies in 0..100".into(),
                )
            })?;
        }
        values.extend(number(context, 0));
        Ok(())
    }

    fn finalize(&self, _: &mut Context<'_>, state: Option<(Vec<f64>, f64)>) -> Result<Option<f64>> {
        Ok(state.and_then(|(mut values, percent)| {
            if values.is_empty() {
                return None;
            }
            let place = percent / 100.0 * (values.len() - 1) as f64;
            let (low, fraction) = (place.floor() as usize, place.fract());
            let (_, at_low, above) = values.select_nth_unstable_by(low, f64::total_cmp);
            let at_low = *at_low;
            let next = above.iter().copied().min_by(f64::total_cmp).unwrap_or(at_low);
            Some(if fraction == 0.0 { at_low } else { at_low + fraction * (next - at_low) })
        }))
    }
}

/// Sample standard deviation by Welford's recurrence; NULL for fewer than two values.
struct StdDev;

impl Aggregate<(f64, f64, f64), Option<f64>> for StdDev {
    fn init(&self, _: &mut Context<'_>) -> Result<(f64, f64, f64)> {
        Ok((0.0, 0.0, 0.0))
    }

    fn step(&self, context: &mut Context<'_>, (n, mean, m2): &mut (f64, f64, f64)) -> Result<()> {
        if let Some(value) = number(context, 0) {
            *n += 1.0;
            let delta = value - *mean;
            *mean += delta / *n;
            *m2 += delta * (value - *mean);
        }
        Ok(())
    }

    fn finalize(&self, _: &mut Context<'_>, state: Option<(f64, f64, f64)>) -> Result<Option<f64>> {
        Ok(state.filter(|(n, ..)| *n > 1.0).map(|(n, _, m2)| (m2 / (n - 1.0)).sqrt()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(sql: &str) -> Option<f64> {
        let conn = Connection::open_in_memory().unwrap();
        register(&conn).unwrap();
        conn.query_row(&format!("SELECT {sql}"), [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn functions_have_their_values_and_null_outside_their_domain() {
        for (sql, expected) in [
            ("sqrt(9.0)", Some(3.0)),
            ("log10(1000)", Some(3.0)),
            ("log(2, 8)", Some(3.0)),
            ("pow(2, 10)", Some(1024.0)),
            ("ab_mag(1.0)", Some(22.5)),
            ("nmgy(20.0)", Some(10.0)),
            ("separation_deg(0, 0, 90, 0)", Some(90.0)),
            ("sqrt(-1)", None),
            ("ln(0)", None),
            ("sqrt(NULL)", None),
            ("sqrt('nine')", None),
            ("pow(10, 400)", None),
        ] {
            match (value(sql), expected) {
                (Some(found), Some(expected)) => assert!((found - expected).abs() < 1e-12, "{sql}"),
                (found, expected) => assert_eq!(found, expected, "{sql}"),
            }
        }
    }

    #[test]
    fn aggregates_pass_over_null_and_interpolate() {
        let of = |function: &str, values: &str| {
            value(&format!("{function} FROM (SELECT column1 AS x FROM (VALUES {values}))"))
        };
        assert_eq!(of("median(x)", "(3), (1), (NULL), (2)"), Some(2.0));
        assert_eq!(of("median(x)", "(1), (2)"), Some(1.5));
        assert_eq!(of("median(x)", "(NULL)"), None);
        assert_eq!(of("percentile(x, 25)", "(0), (1), (2), (3), (4)"), Some(1.0));
        assert_eq!(of("stddev(x)", "(1), (2), (3)"), Some(1.0));
        assert_eq!(of("stddev(x)", "(1)"), None);
    }
}
