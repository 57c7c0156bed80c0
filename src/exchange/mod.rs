//! Products of the catalog in the formats of other programs, streamed in batches of rows.
//!
//! [`columns`] says what the columns are, [`source`] reads them from the catalog, and each format is a function
//! of a [`Job`] and its [`Rows`]. A file appears under its name only once it is whole ([`target`]).

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::fits::FitsError;
use crate::store::{GalaxyId, StoreError};

pub mod arrays;
pub mod chains;
pub mod columns;
pub mod dialect;
pub mod fields;
pub mod fits;
pub mod hats;
pub mod hdf5;
pub mod latex;
pub mod names;
pub mod npz;
pub mod npz_read;
pub mod parquet;
pub mod qp;
pub mod source;
pub mod target;
pub mod text;
pub mod votable;
pub mod zarr;

pub use fields::{Field, Kind, Meta};
pub use target::{Folder, Target};

#[derive(Debug, Error)]
pub enum ExchangeError {
    #[error("{path} exists already; --overwrite replaces it")]
    Exists { path: PathBuf },
    #[error("{path} exists and is no {expected}, so it is not replaced")]
    NotOurs { path: PathBuf, expected: &'static str },
    #[error("cannot write {path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("FITS: {0}")]
    Fits(#[from] FitsError),
    #[error("Parquet: {0}")]
    Parquet(#[from] ::parquet::errors::ParquetError),
    #[error("{format} holds at most {limit} columns, and these are {found}: name fewer with --columns")]
    TooManyColumns { format: &'static str, limit: usize, found: usize },
    #[error("{format} cannot hold {what}")]
    CannotHold { format: &'static str, what: String },
    #[error("there is no column `{name}`; `sedflow galaxies --list-columns` lists them")]
    NoColumn { name: String },
    #[error("the draws of galaxy {galaxy} cannot be made again: {source}")]
    Remake { galaxy: GalaxyId, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("{path}: {what}")]
    Foreign { path: PathBuf, what: String },
    #[error("no galaxy is selected")]
    Empty,
    #[error("stopped")]
    Stopped,
}

/// Values of one column for the rows of a batch.
#[derive(Debug, Clone)]
pub enum Values {
    Int(Vec<Option<i64>>),
    /// NaN where missing.
    Float(Vec<f64>),
    Text(Vec<Option<String>>),
    /// Of each row a list, one after the other; a row without a list has length `None`.
    Lists {
        lengths: Vec<Option<usize>>,
        values: Vec<f32>,
    },
}

impl Values {
    pub fn of(kind: Kind) -> Self {
        match kind {
            Kind::Int => Values::Int(Vec::new()),
            Kind::Float => Values::Float(Vec::new()),
            Kind::Text { .. } => Values::Text(Vec::new()),
            Kind::List { .. } => Values::Lists { lengths: Vec::new(), values: Vec::new() },
        }
    }
}

impl Values {
    /// Some of the rows, in the order of their numbers here.
    pub fn rows(&self, rows: &[usize]) -> Self {
        match self {
            Values::Int(values) => Values::Int(rows.iter().map(|&row| values[row]).collect()),
            Values::Float(values) => Values::Float(rows.iter().map(|&row| values[row]).collect()),
            Values::Text(values) => Values::Text(rows.iter().map(|&row| values[row].clone()).collect()),
            Values::Lists { lengths, values } => {
                let mut starts = Vec::with_capacity(lengths.len());
                let mut at = 0;
                for length in lengths {
                    starts.push(at);
                    at += length.unwrap_or(0);
                }
                let list = |&row: &usize| &values[starts[row]..starts[row] + lengths[row].unwrap_or(0)];
                Values::Lists {
                    lengths: rows.iter().map(|&row| lengths[row]).collect(),
                    values: rows.iter().flat_map(list).copied().collect(),
                }
            }
        }
    }
}

/// Consecutive rows, by column.
#[derive(Debug, Clone)]
pub struct Batch {
    pub rows: usize,
    pub columns: Vec<Values>,
}

/// Takes the batches of a table one after the other.
pub type Take<'a> = &'a mut dyn FnMut(&Batch) -> Result<(), ExchangeError>;

/// Hands all batches of a table to what it is given.
pub type Rows<'a> = &'a mut dyn FnMut(Take<'_>) -> Result<(), ExchangeError>;

/// Where a table goes, and what it is.
#[derive(Debug, Clone, Copy)]
pub struct Job<'a> {
    pub path: &'a std::path::Path,
    pub overwrite: bool,
    pub fields: &'a [Field],
    pub meta: &'a Meta,
}
