//! FITS binary tables, plain or gzip'd, in the terms of [`Table`].

use std::path::Path;

use super::column::{Column, ColumnInfo, ColumnType, Texts, Values};
use super::{BadRow, Block, Table, TableError};
use crate::fits::{FitsFile, Kind, MAX_ROW_BYTES, NumberType, RowBlock};

pub struct FitsTable {
    file: FitsFile,
    hdu: usize,
    columns: Vec<ColumnInfo>,
    /// Of each column, where it stands in the file's table.
    sources: Vec<Source>,
    selected: Vec<usize>,
    row_bytes: u64,
    /// As the header says, and as the file has.
    n_rows: u64,
    whole_rows: u64,
    row: u64,
}

#[derive(Debug, Clone, Copy)]
struct Source {
    column: usize,
    /// 64-bit integers without sign, which are stored shifted by 2^63.
    is_unsigned: bool,
}

impl FitsTable {
    /// The table `wanted` (its EXTNAME, or number of its HDU, where 1 is the first extension), else the first
    /// binary table with rows.
    pub fn open(path: &Path, wanted: Option<&str>) -> Result<Self, TableError> {
        let file = FitsFile::open(path)?;
        let hdu = choose(&file, wanted)?;
        let table = file.table(hdu)?.clone();
        let (mut columns, mut sources) = (Vec::new(), Vec::new());
        for (column, info) in table.columns.iter().enumerate() {
            // Arrays of varying length and columns of no values hold no photometry.
            if info.variable.is_some() || info.repeat == 0 {
                continue;
            }
            let zero = file.hdu(hdu)?.header.real(&format!("TZERO{}", column + 1))?.unwrap_or(0.0);
            let is_unsigned = info.kind == Kind::I64 && zero == 2_f64.powi(63);
            let (kind, len) = match (info.number_type(), info.kind) {
                (NumberType::Logical | NumberType::Bits, _) => (ColumnType::Bool, info.repeat),
                (NumberType::Integer, _) if is_unsigned => (ColumnType::UInt, info.repeat),
                (NumberType::Integer, _) => (ColumnType::Int, info.repeat),
                (NumberType::Real, Kind::F32) => (ColumnType::Float32, info.repeat),
                (NumberType::Real, _) => (ColumnType::Float64, info.repeat),
                (NumberType::Complex, _) => (ColumnType::Float64, 2 * info.repeat),
                (NumberType::Text, _) => (ColumnType::Text, 1),
            };
            let given = |text: &String| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
            columns.push(ColumnInfo {
                unit: given(&info.unit),
                ucd: given(&info.ucd),
                description: given(&info.comment),
                len,
                ..ColumnInfo::new(info.name.trim(), kind)
            });
            sources.push(Source { column, is_unsigned });
        }
        let whole_rows = file.whole_rows(hdu)?;
        let selected = (0..columns.len()).collect();
        let row_bytes = table.row_bytes as u64;
        Ok(Self { file, hdu, columns, sources, selected, row_bytes, n_rows: table.rows, whole_rows, row: 0 })
    }
}

fn choose(file: &FitsFile, wanted: Option<&str>) -> Result<usize, TableError> {
    let Some(wanted) = wanted else {
        let with_rows = file.tables().find(|(_, table)| table.rows > 0).or_else(|| file.tables().next());
        return with_rows.map(|(hdu, _)| hdu).ok_or(TableError::NoTable { format: "FITS" });
    };
    let names = || file.tables().map(|(hdu, _)| (hdu, file.hdus()[hdu].name.as_str()));
    let found = names()
        .find(|(_, name)| name.eq_ignore_ascii_case(wanted))
        .or_else(|| names().find(|(hdu, _)| wanted.parse() == Ok(*hdu)));
    found.map(|(hdu, _)| hdu).ok_or_else(|| TableError::NoSuchTable {
        wanted: wanted.to_owned(),
        present: names().map(|(hdu, name)| format!("{hdu} `{}`", super::shorten(name))).collect(),
    })
}

impl Table for FitsTable {
    fn format(&self) -> &'static str {
        "FITS"
    }

    fn columns(&self) -> &[ColumnInfo] {
        &self.columns
    }

    fn n_rows(&self) -> Option<u64> {
        Some(self.n_rows)
    }

    fn select(&mut self, columns: &[usize]) {
        self.selected = columns.to_vec();
    }

    fn next_block(&mut self, max_rows: usize) -> Result<Option<Block>, TableError> {
        if self.row == self.whole_rows {
            return match self.whole_rows < self.n_rows {
                true => Err(TableError::Truncated { expected: self.n_rows, found: self.whole_rows }),
                false => Ok(None),
            };
        }
        let most = (MAX_ROW_BYTES / self.row_bytes.max(1)).max(1).min(self.whole_rows - self.row);
        let rows = max_rows.clamp(1, usize::try_from(most).unwrap_or(usize::MAX));
        let stored = self.file.read_rows(self.hdu, self.row, rows)?;
        let first = self.row + 1;
        self.row += stored.rows() as u64;
        let mut block = Block { row_numbers: (first..=self.row).collect(), ..Block::default() };
        let mut is_good = vec![true; stored.rows()];
        for &chosen in &self.selected {
            let (info, source) = (&self.columns[chosen], self.sources[chosen]);
            let mut bad = |row: usize, reason: String| {
                if std::mem::replace(&mut is_good[row], false) {
                    block.bad.push(BadRow { row: first + row as u64, reason });
                }
            };
            block.columns.push(read_column(&stored, source, info, &mut bad)?);
        }
        if !block.bad.is_empty() {
            block.bad.sort_by_key(|bad| bad.row);
            let mut good = is_good.iter();
            block.row_numbers.retain(|_| good.next() == Some(&true));
            block.columns.iter_mut().for_each(|column| column.keep_rows(&is_good));
        }
        Ok(Some(block))
    }
}

fn read_column(
    stored: &RowBlock,
    source: Source,
    info: &ColumnInfo,
    bad: &mut impl FnMut(usize, String),
) -> Result<Column, TableError> {
    let Source { column, is_unsigned } = source;
    let values = match (info.kind, stored.table().columns[column].kind) {
        (ColumnType::Bool, Kind::Bit) => Values::Bool(stored.bits(column)?),
        (ColumnType::Bool, _) => {
            let (values, valid) = split(stored.bools(column)?, false);
            return Ok(Column { values: Values::Bool(values), len: info.len, valid });
        }
        (ColumnType::Int, _) => {
            let (values, valid) = split(stored.i64s(column)?, 0);
            return Ok(Column { values: Values::Int(values), len: info.len, valid });
        }
        (ColumnType::UInt, _) if is_unsigned => {
            let null = stored.table().columns[column].null;
            let cells = (0..stored.rows()).flat_map(|row| stored.cell(row, column).as_chunks::<8>().0);
            let read = |bytes: &[u8; 8]| {
                let stored = i64::from_be_bytes(*bytes);
                (null != Some(stored)).then_some(stored as u64 ^ (1 << 63))
            };
            let (values, valid) = split(cells.map(read).collect(), 0);
            return Ok(Column { values: Values::UInt(values), len: info.len, valid });
        }
        (ColumnType::Text | ColumnType::Untyped | ColumnType::UInt, _) => {
            let mut texts = Texts::default();
            for row in 0..stored.rows() {
                let cell = stored.cell(row, column);
                let cell = cell.split(|&byte| byte == 0).next().unwrap_or_default().trim_ascii_end();
                match std::str::from_utf8(cell) {
                    Ok(text) => texts.push(text),
                    Err(_) => {
                        texts.push("");
                        bad(row, format!("column {}: not UTF-8", info.name));
                    }
                }
            }
            Values::Text(texts)
        }
        (ColumnType::Float32 | ColumnType::Float64, _) => Values::Float(stored.f64s(column)?),
    };
    Ok(Column::new(values, info.len))
}

/// Values and, where one is missing, which are there.
fn split<T: Copy>(values: Vec<Option<T>>, filler: T) -> (Vec<T>, Option<Vec<bool>>) {
    let valid = values.iter().any(Option::is_none).then(|| values.iter().map(Option::is_some).collect());
    (values.into_iter().map(|value| value.unwrap_or(filler)).collect(), valid)
}

#[cfg(test)]
mod tests;
