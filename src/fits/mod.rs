//! FITS files, read and written without help: headers, images, binary tables in blocks of rows.
//!
//! The standard is version 4.0 (Pence et al. 2010, A&A 524, A42; IAU FITS Working Group 2018).

mod header;
mod image;
mod reader;
mod table;
mod write;

use thiserror::Error;

pub use header::{Card, Header, Value};
pub use image::{ImageShape, MAX_IMAGE_VALUES};
pub use reader::{FitsFile, Hdu, HduKind, MAX_HDUS, MAX_HEADER_CARDS};
pub use table::{BinTable, Column, Kind, MAX_ROW_BYTES, NumberType, RowBlock};
pub use write::{Cells, ColumnDef, FitsWriter, TableWriter};

/// FITS files are whole numbers of these, bytes.
pub(crate) const BLOCK: u64 = 2880;
pub(crate) const CARD: usize = 80;

/// What is wrong with a FITS file; HDUs count from 0 (the primary), cards, columns and rows from 1.
#[derive(Debug, Error)]
pub enum FitsError {
    #[error("not a FITS file: it opens with `{found}`, expected `SIMPLE  =`")]
    NotFits { found: String },
    #[error("HDU {hdu}: expected an extension (`XTENSION=`) at byte {at}, found `{found}`")]
    NotExtension { hdu: usize, at: u64, found: String },
    #[error("HDU {hdu}: the header has no END: the file is cut short after {cards} cards")]
    NoEnd { hdu: usize, cards: usize },
    #[error("HDU {hdu}: the header has more than {limit} cards")]
    HeaderTooLong { hdu: usize, limit: usize },
    #[error("more than {limit} HDUs")]
    TooManyHdus { limit: usize },
    #[error("HDU {hdu}, card {card} `{text}`: {problem}")]
    Card { hdu: usize, card: usize, text: String, problem: &'static str },
    #[error("HDU {hdu}: keyword {key} is missing")]
    Missing { hdu: usize, key: String },
    #[error("HDU {hdu}: {key} is {found}, expected {expected}")]
    Keyword { hdu: usize, key: String, found: String, expected: &'static str },
    #[error("HDU {hdu}: its sizes multiply to more bytes than any file has")]
    Absurd { hdu: usize },
    #[error(
        "HDU {hdu} needs {needed} bytes up to byte {end}, but the file ends at byte {found}: it is cut short"
    )]
    Truncated { hdu: usize, needed: u64, end: u64, found: u64 },
    #[error("HDU {hdu}: {what} of {found} bytes, more than the {limit} this program reads")]
    TooLarge { hdu: usize, what: &'static str, found: u64, limit: u64 },
    #[error("HDU {hdu} is not {expected}: it is {found}")]
    WrongKind { hdu: usize, expected: &'static str, found: String },
    #[error("there is no HDU {hdu}: the file has {found}, counted from 0")]
    NoHdu { hdu: usize, found: usize },
    #[error("there is no HDU called `{name}`; the file has {}", found.join(", "))]
    NoName { name: String, found: Vec<String> },
    #[error("HDU {hdu}, column {column}: TFORM{column} `{found}` is no table format such as 1D, 5E or 20A")]
    Format { hdu: usize, column: usize, found: String },
    #[error("HDU {hdu}: the columns take {columns} bytes a row, NAXIS1 says {row}")]
    RowWidth { hdu: usize, columns: u64, row: u64 },
    #[error("HDU {hdu}, column {column}: TDIM{column} `{found}` does not fit {repeat} values")]
    Dim { hdu: usize, column: usize, found: String, repeat: usize },
    #[error("column `{column}` holds {found}, not {expected}")]
    ColumnKind { column: String, expected: &'static str, found: &'static str },
    #[error("row {row}, column `{column}`: {found} does not fit 64 signed bits")]
    IntegerRange { row: u64, column: String, found: i128 },
    #[error("row {row}, column `{column}`: {problem}")]
    Cell { row: u64, column: String, problem: &'static str },
    #[error("row {row}, column `{column}`: {count} values at byte {offset} of a heap of {heap} bytes")]
    Heap { row: u64, column: String, count: u64, offset: u64, heap: u64 },
    #[error("cannot write column `{column}`: {found} values, expected {expected}")]
    WriteLength { column: String, found: usize, expected: usize },
    #[error("cannot write {what} `{found}`: {problem}")]
    Write { what: &'static str, found: String, problem: &'static str },
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

#[cfg(test)]
mod tests;
