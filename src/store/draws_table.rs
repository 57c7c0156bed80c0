//! `posterior_draws(samples)`: a posterior as a table, one row per draw.
//!
//! ```sql
//! SELECT avg(d.log_mstar) FROM posterior p, posterior_draws(p.samples) d WHERE p.galaxy_id = 28
//! ```
//!
//! Only the columns that the statement uses are unpacked.

use std::borrow::Cow;
use std::ffi::{CStr, CString, c_int};
use std::marker::PhantomData;
use std::sync::PoisonError;

use rusqlite::types::ValueRef;
use rusqlite::vtab::{
    Context, Filters, IndexConstraintOp, IndexInfo, Module, VTab, VTabConfig, VTabConnection, VTabCursor,
};
use rusqlite::{Connection, Error, Result, ffi};

use super::post::{SharedLast, wrong};
use super::posteriors::SUMMARY_PARAMETERS;
use crate::samples::Samples;

/// Columns: the number of the draw, its weight, the parameters, and hidden the packed draws.
const DRAW: c_int = 0;
const WEIGHT: c_int = 1;
const FIRST_PARAMETER: c_int = 2;
const SAMPLES: c_int = FIRST_PARAMETER + SUMMARY_PARAMETERS.len() as c_int;

pub(super) fn register(conn: &Connection, last: SharedLast) -> Result<()> {
    const MODULE: Module<'_, DrawsTable> = Module::eponymous_only_module();
    conn.create_module(c"posterior_draws", &MODULE, Some(last))
}

#[repr(C)]
struct DrawsTable {
    /// Base class. Must be first
    base: ffi::sqlite3_vtab,
    last: SharedLast,
}

// SAFETY: `repr(C)` with SQLite's own struct first, as rusqlite asks of a table.
unsafe impl<'vtab> VTab<'vtab> for DrawsTable {
    type Aux = SharedLast;
    type Cursor = DrawsCursor<'vtab>;

    fn connect(
        db: &mut VTabConnection,
        aux: Option<&SharedLast>,
        _module: &[u8],
        _database: &[u8],
        _table: &[u8],
        _arguments: &[&[u8]],
    ) -> Result<(Cow<'static, CStr>, Self)> {
        // no view of a file may use it: a query of the user's only
        db.config(VTabConfig::DirectOnly)?;
        let columns: String = SUMMARY_PARAMETERS.iter().map(|name| format!("{name} REAL, ")).collect();
        let sql = format!("CREATE TABLE x (draw INTEGER, weight REAL, {columns}samples HIDDEN)");
        let sql = CString::new(sql).map_err(wrong)?;
        Ok((
            Cow::Owned(sql),
            Self { base: ffi::sqlite3_vtab::default(), last: aux.cloned().unwrap_or_default() },
        ))
    }

    fn best_index(&self, info: &mut IndexInfo) -> Result<bool> {
        let wanted = info.constraints().position(|constraint| {
            constraint.column() == SAMPLES
                && constraint.is_usable()
                && constraint.operator() == IndexConstraintOp::SQLITE_INDEX_CONSTRAINT_EQ
        });
        let Some(wanted) = wanted else { return Ok(false) };
        let mut usage = info.constraint_usage(wanted);
        usage.set_argv_index(1);
        usage.set_omit(true);
        info.set_estimated_cost(10_000.0);
        info.set_estimated_rows(10_000);
        // which columns to unpack
        info.set_idx_num((info.col_used() & (i32::MAX as u64)) as c_int);
        Ok(true)
    }

    fn open(&mut self) -> Result<DrawsCursor<'_>> {
        let last = self.last.clone();
        Ok(DrawsCursor { last, ..DrawsCursor::default() })
    }
}

#[derive(Default)]
#[repr(C)]
struct DrawsCursor<'vtab> {
    /// Base class. Must be first
    base: ffi::sqlite3_vtab_cursor,
    last: SharedLast,
    samples: Option<Samples>,
    /// Where each parameter stands among the unpacked columns.
    places: Vec<Option<usize>>,
    n: usize,
    draw: usize,
    table: PhantomData<&'vtab DrawsTable>,
}

// SAFETY: `repr(C)` with SQLite's own struct first, as rusqlite asks of a cursor.
unsafe impl VTabCursor for DrawsCursor<'_> {
    fn filter(&mut self, used: c_int, _: Option<&str>, arguments: &Filters<'_>) -> Result<()> {
        (self.samples, self.n, self.draw) = (None, 0, 0);
        match arguments.iter().next() {
            None | Some(ValueRef::Null) => return Ok(()),
            Some(ValueRef::Blob(bytes)) => {
                let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
                let samples = last.samples(bytes)?;
                self.places = SUMMARY_PARAMETERS.iter().map(|name| samples.position(name)).collect();
                let is_used = |i: &usize| used & (1 << (FIRST_PARAMETER + *i as c_int)) != 0;
                let wanted: Vec<usize> =
                    (0..self.places.len()).filter(is_used).filter_map(|i| self.places[i]).collect();
                samples.load(&wanted).map_err(wrong)?;
                self.n = samples.n();
                self.samples = Some(samples.clone());
            }
            Some(_) => {
                let text = "the argument of posterior_draws() is the column `samples` of `posterior`";
                return Err(Error::UserFunctionError(text.into()));
            }
        }
        Ok(())
    }

    fn next(&mut self) -> Result<()> {
        self.draw += 1;
        Ok(())
    }

    fn eof(&self) -> bool {
        self.draw >= self.n
    }

    fn column(&self, context: &mut Context, column: c_int) -> Result<()> {
        let Some(samples) = &self.samples else { return context.set_result(&None::<f64>) };
        match column {
            DRAW => context.set_result(&(self.draw as i64)),
            WEIGHT => {
                let weight = samples.weights().and_then(|weights| weights.get(self.draw));
                context.set_result(&weight.map_or(1.0, |&weight| f64::from(weight)))
            }
            SAMPLES => context.set_result(&None::<f64>),
            parameter => {
                let place =
                    usize::try_from(parameter - FIRST_PARAMETER).ok().and_then(|i| *self.places.get(i)?);
                let value = place.and_then(|place| samples.column(place).get(self.draw));
                context.set_result(&value.map(|&value| f64::from(value)).filter(|value| !value.is_nan()))
            }
        }
    }

    fn rowid(&self) -> Result<i64> {
        Ok(self.draw as i64)
    }
}
