//! Tables of any format as one stream of typed blocks: CSV, TSV, ECSV, VOTable, Parquet, FITS.
//!
//! A table is read in blocks of rows, so that a file of any size needs little memory. A row that
//! cannot be read is reported in its block and skipped; only what makes the rest of the file
//! unreadable is an error.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use thiserror::Error;

mod column;
mod csvw;
mod delimited;
mod ecsv;
mod fits;
mod parquet;
mod votable;

pub use column::{Column, ColumnInfo, ColumnType, NotANumber, Texts, Values, shorten};
pub use delimited::DelimitedTable;
pub use fits::FitsTable;
pub use parquet::ParquetTable;
pub use votable::VoTable;

/// Longest line, field or XML token that is read; a longer one is an error rather than memory.
pub const MAX_TOKEN_BYTES: usize = 16 << 20;
/// More columns than any catalog has (FITS allows 999).
pub const MAX_COLUMNS: usize = 20_000;

#[derive(Debug, Error)]
pub enum TableError {
    #[error("cannot read the file: {0}")]
    Io(#[from] io::Error),
    #[error("the file is empty")]
    Empty,
    #[error("the file is of no known table format (FITS, Parquet, VOTable, ECSV, CSV or TSV): {found}")]
    UnknownFormat { found: String },
    #[error("{format}: {what}")]
    Malformed { format: &'static str, what: String },
    #[error("line {line}: {what}")]
    Line { line: u64, what: String },
    #[error("the file ends after {found} of {expected} rows")]
    Truncated { expected: u64, found: u64 },
    #[error("no table `{wanted}` in the file; it has {}", .present.join(", "))]
    NoSuchTable { wanted: String, present: Vec<String> },
    #[error("FITS: {0}")]
    Fits(#[from] crate::fits::FitsError),
    #[error("{format} file without a table")]
    NoTable { format: &'static str },
}

/// A row that could not be read, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadRow {
    /// Row in the table, from 1; bad rows count too.
    pub row: u64,
    pub reason: String,
}

/// Consecutive rows of a table.
#[derive(Debug, Clone, Default)]
pub struct Block {
    /// Of every row that is here, its number in the table, from 1.
    pub row_numbers: Vec<u64>,
    /// One per selected column, in the order of the selection.
    pub columns: Vec<Column>,
    pub bad: Vec<BadRow>,
}

impl Block {
    pub fn n_rows(&self) -> usize {
        self.row_numbers.len()
    }
}

/// A table read from its start to its end.
pub trait Table {
    /// "CSV", "FITS" ...
    fn format(&self) -> &'static str;

    fn columns(&self) -> &[ColumnInfo];

    /// Rows of the table, where the file says so.
    fn n_rows(&self) -> Option<u64>;

    /// Restricts later blocks to these columns (indices into [`Table::columns`], in this order).
    fn select(&mut self, columns: &[usize]);

    /// The next rows, about `max_rows` of them and at least one, or `None` at the end.
    ///
    /// Errors with [`TableError::Truncated`] after the last whole row of a file that is cut short.
    fn next_block(&mut self, max_rows: usize) -> Result<Option<Block>, TableError>;
}

/// Which table of a file, and how a text table is to be split.
#[derive(Debug, Clone, Default)]
pub struct ReadOptions {
    /// Name or number (from 1) of the table in a file with several; FITS extension, VOTable TABLE.
    pub table: Option<String>,
    /// Delimiter of a text table; found from the header where absent.
    pub delimiter: Option<char>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Fits,
    Parquet,
    VoTable,
    Ecsv,
    Delimited,
}

/// Opens the table in `path`, whose format is found from its first bytes, not its name.
pub fn open(path: &Path, options: &ReadOptions) -> Result<Box<dyn Table>, TableError> {
    let mut file = File::open(path)?;
    let mut head = vec![0; 8192];
    let read = read_up_to(&mut file, &mut head)?;
    head.truncate(read);
    let format = sniff(&head)?;
    file.seek(SeekFrom::Start(0))?;
    let reader = BufReader::with_capacity(1 << 18, file);
    Ok(match format {
        Format::Fits => Box::new(FitsTable::open(path, options.table.as_deref())?),
        Format::Parquet => Box::new(ParquetTable::new(reader.into_inner())?),
        Format::VoTable => Box::new(VoTable::new(reader, options.table.as_deref())?),
        Format::Ecsv => Box::new(DelimitedTable::ecsv(reader)?),
        Format::Delimited => {
            let mut table = DelimitedTable::new(reader, options.delimiter)?;
            if let Some(columns) = csvw::described(path, table.columns()) {
                table.describe(columns);
            }
            Box::new(table)
        }
    })
}

fn read_up_to(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..])? {
            0 => break,
            n => filled += n,
        }
    }
    Ok(filled)
}

fn sniff(head: &[u8]) -> Result<Format, TableError> {
    let unknown = |found: &str| Err(TableError::UnknownFormat { found: found.to_owned() });
    if head.is_empty() {
        return Err(TableError::Empty);
    }
    if head.starts_with(b"PAR1") {
        return Ok(Format::Parquet);
    }
    // FITS files are often gzip'd and read so; of other formats the FITS reader says that they are not.
    if head.starts_with(b"SIMPLE  =") || head.starts_with(&[0x1f, 0x8b]) {
        return Ok(Format::Fits);
    }
    if head.starts_with(&[0xff, 0xfe]) || head.starts_with(&[0xfe, 0xff]) {
        return unknown("it is UTF-16 text; save it as UTF-8");
    }
    if head.starts_with(b"\x89HDF") {
        return unknown("it is HDF5; write the table as FITS, Parquet or CSV");
    }
    if head.starts_with(b"SQLite format 3\0") {
        return unknown("it is an SQLite file");
    }
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    let trimmed = text.trim_ascii_start();
    if trimmed.starts_with(b"<?xml") || trimmed.starts_with(b"<VOTABLE") {
        return Ok(Format::VoTable);
    }
    if text.starts_with(b"# %ECSV") {
        return Ok(Format::Ecsv);
    }
    if head.contains(&0) {
        return unknown("it has zero bytes, so it is no text");
    }
    if trimmed.is_empty() {
        return Err(TableError::Empty);
    }
    Ok(Format::Delimited)
}

/// Reads one line without its end into `line`; false at the end of the file. Never holds more than
/// [`MAX_TOKEN_BYTES`].
fn read_line(reader: &mut impl BufRead, line: &mut Vec<u8>, number: u64) -> Result<bool, TableError> {
    line.clear();
    let read = reader.by_ref().take(MAX_TOKEN_BYTES as u64).read_until(b'\n', line)?;
    if read == MAX_TOKEN_BYTES && line.last() != Some(&b'\n') {
        return Err(TableError::Line {
            line: number,
            what: format!("longer than {} MiB", MAX_TOKEN_BYTES >> 20),
        });
    }
    if line.last() == Some(&b'\n') {
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
        }
    }
    Ok(read > 0)
}

/// The sum of what a number of columns of these types takes per row, to keep blocks small.
fn rows_within_budget(columns: &[ColumnInfo], selected: &[usize], max_rows: usize) -> usize {
    const BLOCK_VALUES: usize = 4 << 20;
    let per_row: usize = selected.iter().map(|&i| columns[i].len.max(1)).sum();
    max_rows.min(BLOCK_VALUES / per_row.max(1)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_is_found_from_the_first_bytes() {
        assert_eq!(sniff(b"SIMPLE  =                    T").unwrap(), Format::Fits);
        assert_eq!(sniff(b"PAR1....").unwrap(), Format::Parquet);
        assert_eq!(sniff(b"\xef\xbb\xbf <?xml version='1.0'?><VOTABLE>").unwrap(), Format::VoTable);
        assert_eq!(sniff(b"# %ECSV 1.0\n").unwrap(), Format::Ecsv);
        assert_eq!(sniff(b"id,ra\n1,2\n").unwrap(), Format::Delimited);
    }

    #[test]
    fn what_is_no_table_is_named() {
        assert!(matches!(sniff(b""), Err(TableError::Empty)));
        assert!(matches!(sniff(b" \n\n"), Err(TableError::Empty)));
        for (bytes, word) in [
            (b"\xff\xfei\0d\0".as_slice(), "UTF-16"),
            (b"\x89HDF\r\n", "HDF5"),
            (b"SQLite format 3\0", "SQLite"),
            (b"\0\0\0\0", "zero bytes"),
        ] {
            let message = sniff(bytes).unwrap_err().to_string();
            assert!(message.contains(word), "{message}");
        }
    }
}
