//! Binary tables: columns of any type, read in blocks of rows.

use std::sync::Arc;

use super::image::words;
use super::{FitsError, FitsFile, Hdu, Header};

/// Longest row read, bytes.
pub const MAX_ROW_BYTES: u64 = 16 << 20;
/// Bytes a block of rows takes where the caller leaves the number of rows to us.
const BLOCK_BYTES: u64 = 4 << 20;
/// Longest array read from the heap, bytes.
const MAX_ARRAY_BYTES: u64 = 64 << 20;

/// How one value of a column is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// L
    Logical,
    /// X
    Bit,
    /// B, 8 bits without sign
    U8,
    /// I
    I16,
    /// J
    I32,
    /// K
    I64,
    /// E
    F32,
    /// D
    F64,
    /// A
    Text,
    /// C, two F32
    Complex64,
    /// M, two F64
    Complex128,
}

/// What a column's values are once scale and offset are applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NumberType {
    Logical,
    /// Integers, those without sign included (stored with an offset).
    Integer,
    Real,
    Text,
    Bits,
    /// Pairs of reals, read as twice as many reals.
    Complex,
}

/// One column of a binary table.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// TTYPE, or `colN` where there is none.
    pub name: String,
    /// TUNIT; empty if not given.
    pub unit: String,
    /// TCOMM, or the comment on the TTYPE card.
    pub comment: String,
    /// TUCD.
    pub ucd: String,
    pub kind: Kind,
    /// Values in a row: letters of a text, elements of a vector; of the descriptor 1 if `variable`.
    pub repeat: usize,
    /// TDIM, first axis fastest; empty if not given.
    pub dim: Vec<usize>,
    /// Arrays of varying length, in the heap; true where the descriptor has 64-bit numbers (Q).
    pub variable: Option<bool>,
    /// TNULL: the stored integer that means missing.
    pub null: Option<i64>,
    scale: f64,
    zero: f64,
    offset: usize,
    width: usize,
    number: usize,
}

/// Columns and size of a binary table.
#[derive(Debug, Clone, PartialEq)]
pub struct BinTable {
    pub columns: Vec<Column>,
    pub rows: u64,
    pub row_bytes: usize,
    heap_at: u64,
    heap_bytes: u64,
}

/// Consecutive rows, as stored.
#[derive(Debug, Clone)]
pub struct RowBlock {
    table: Arc<BinTable>,
    hdu: usize,
    first: u64,
    rows: usize,
    bytes: Vec<u8>,
}

impl Kind {
    fn from_letter(letter: u8) -> Option<Self> {
        Some(match letter {
            b'L' => Kind::Logical,
            b'X' => Kind::Bit,
            b'B' => Kind::U8,
            b'I' => Kind::I16,
            b'J' => Kind::I32,
            b'K' => Kind::I64,
            b'E' => Kind::F32,
            b'D' => Kind::F64,
            b'A' => Kind::Text,
            b'C' => Kind::Complex64,
            b'M' => Kind::Complex128,
            _ => return None,
        })
    }

    /// Bytes that many values take.
    fn bytes(self, values: usize) -> Option<usize> {
        let width = match self {
            Kind::Bit => return Some(values.div_ceil(8)),
            Kind::Logical | Kind::U8 | Kind::Text => 1,
            Kind::I16 => 2,
            Kind::I32 | Kind::F32 => 4,
            Kind::I64 | Kind::F64 | Kind::Complex64 => 8,
            Kind::Complex128 => 16,
        };
        values.checked_mul(width)
    }

    fn describe(self) -> &'static str {
        match self {
            Kind::Logical => "logicals",
            Kind::Bit => "bits",
            Kind::U8 | Kind::I16 | Kind::I32 | Kind::I64 => "integers",
            Kind::F32 | Kind::F64 => "reals",
            Kind::Text => "text",
            Kind::Complex64 | Kind::Complex128 => "complex numbers",
        }
    }
}

impl Column {
    fn from_header(header: &Header, number: usize, offset: usize) -> Result<Self, FitsError> {
        let key = |stem: &str| format!("{stem}{number}");
        let text = |stem: &str| Ok::<_, FitsError>(header.text(&key(stem))?.unwrap_or("").to_owned());
        let hdu = header.hdu;
        let form =
            header.text(&key("TFORM"))?.ok_or_else(|| FitsError::Missing { hdu, key: key("TFORM") })?;
        let fail = || FitsError::Format { hdu, column: number, found: form.to_owned() };
        let (repeat, kind, variable) = parse_form(form).ok_or_else(fail)?;
        let width = match variable {
            Some(wide) => (if wide { 16 } else { 8 }) * repeat,
            None => kind.bytes(repeat).ok_or_else(fail)?,
        };
        let name = text("TTYPE")?;
        let mut comment = text("TCOMM")?;
        if comment.is_empty() {
            let card = header.cards.iter().find(|card| card.key == key("TTYPE"));
            comment = card.map(|card| card.comment.clone()).unwrap_or_default();
        }
        let scale = header.real(&key("TSCAL"))?.unwrap_or(1.0);
        let zero = header.real(&key("TZERO"))?.unwrap_or(0.0);
        // TNULL on a column of reals means nothing, but is seen.
        let null = if kind.is_integer() { header.integer(&key("TNULL"))? } else { None };
        let mut dim = Vec::new();
        if let Some(found) = header.text(&key("TDIM"))?.filter(|_| variable.is_none()) {
            dim = parse_dim(found)
                .filter(|dim| {
                    dim.iter().try_fold(1usize, |n, d| n.checked_mul(*d)).is_some_and(|n| n <= repeat)
                })
                .ok_or_else(|| FitsError::Dim { hdu, column: number, found: found.to_owned(), repeat })?;
        }
        Ok(Self {
            name: if name.is_empty() { format!("col{number}") } else { name },
            unit: text("TUNIT")?,
            comment,
            ucd: text("TUCD")?,
            kind,
            repeat,
            dim,
            variable,
            null,
            scale,
            zero,
            offset,
            width,
            number,
        })
    }

    /// What the values are once scaled.
    pub fn number_type(&self) -> NumberType {
        match self.kind {
            Kind::Logical => NumberType::Logical,
            Kind::Text => NumberType::Text,
            Kind::F32 | Kind::F64 => NumberType::Real,
            Kind::Bit => NumberType::Bits,
            Kind::Complex64 | Kind::Complex128 => NumberType::Complex,
            _ if self.integer_offset().is_some() => NumberType::Integer,
            _ => NumberType::Real,
        }
    }

    /// The offset of an integer column whose scale is 1 and whose offset is whole.
    fn integer_offset(&self) -> Option<i128> {
        let whole = self.zero.fract() == 0.0 && self.zero.abs() <= 9.3e18;
        (self.kind.is_integer() && self.scale == 1.0 && whole).then_some(self.zero as i128)
    }

    fn scaled(&self, stored: f64) -> f64 {
        if self.scale == 1.0 && self.zero == 0.0 { stored } else { self.zero + self.scale * stored }
    }

    fn integer(&self, stored: i64) -> f64 {
        if self.null == Some(stored) {
            return f64::NAN;
        }
        match self.integer_offset() {
            Some(offset) if offset != 0 => (i128::from(stored) + offset) as f64,
            _ => self.scaled(stored as f64),
        }
    }

    /// Appends a cell's values as f64; text cannot be.
    fn push_f64(&self, cell: &[u8], out: &mut Vec<f64>) -> Result<(), FitsError> {
        match self.kind {
            Kind::Logical => out.extend(cell.iter().map(|&b| logical(b).map_or(f64::NAN, f64::from))),
            Kind::U8 => out.extend(cell.iter().map(|&b| self.integer(i64::from(b)))),
            Kind::I16 => out.extend(words(cell).map(|b| self.integer(i64::from(i16::from_be_bytes(b))))),
            Kind::I32 => out.extend(words(cell).map(|b| self.integer(i64::from(i32::from_be_bytes(b))))),
            Kind::I64 => out.extend(words(cell).map(|b| self.integer(i64::from_be_bytes(b)))),
            Kind::F32 | Kind::Complex64 => {
                out.extend(words(cell).map(|b| self.scaled(f64::from(f32::from_be_bytes(b)))));
            }
            Kind::F64 | Kind::Complex128 => {
                out.extend(words(cell).map(|b| self.scaled(f64::from_be_bytes(b))))
            }
            Kind::Text | Kind::Bit => return Err(self.not("numbers")),
        }
        Ok(())
    }

    fn not(&self, expected: &'static str) -> FitsError {
        let found = if self.variable.is_some() { "arrays of varying length" } else { self.kind.describe() };
        FitsError::ColumnKind { column: self.name.clone(), expected, found }
    }
}

impl Kind {
    fn is_integer(self) -> bool {
        matches!(self, Kind::U8 | Kind::I16 | Kind::I32 | Kind::I64)
    }
}

/// `rT`, or `rPT(max)` and `rQT(max)`: repeat, type, and whether and how it varies.
fn parse_form(form: &str) -> Option<(usize, Kind, Option<bool>)> {
    let form = form.trim();
    let digits = form.bytes().take_while(u8::is_ascii_digit).count();
    let repeat = if digits == 0 { 1 } else { form[..digits].parse().ok()? };
    let mut rest = form[digits..].bytes();
    let letter = rest.next()?;
    if matches!(letter, b'P' | b'Q') {
        let kind = Kind::from_letter(rest.next()?)?;
        return (repeat <= 1).then_some((repeat, kind, Some(letter == b'Q')));
    }
    Some((repeat, Kind::from_letter(letter)?, None))
}

fn parse_dim(text: &str) -> Option<Vec<usize>> {
    let inner = text.trim().strip_prefix('(')?.strip_suffix(')')?;
    inner.split(',').map(|n| n.trim().parse().ok()).collect()
}

fn logical(byte: u8) -> Option<bool> {
    match byte {
        b'T' => Some(true),
        b'F' => Some(false),
        _ => None,
    }
}

impl BinTable {
    pub(super) fn from_header(
        header: &Header,
        row_bytes: u64,
        rows: u64,
        heap: u64,
    ) -> Result<Self, FitsError> {
        let hdu = header.hdu;
        if row_bytes > MAX_ROW_BYTES {
            return Err(FitsError::TooLarge { hdu, what: "a row", found: row_bytes, limit: MAX_ROW_BYTES });
        }
        let fields = header.count("TFIELDS", 999)? as usize;
        let mut columns: Vec<Column> = Vec::with_capacity(fields);
        let mut offset = 0usize;
        for number in 1..=fields {
            let column = Column::from_header(header, number, offset)?;
            offset = offset.saturating_add(column.width);
            columns.push(column);
        }
        if offset as u64 != row_bytes {
            return Err(FitsError::RowWidth { hdu, columns: offset as u64, row: row_bytes });
        }
        // Rows of no bytes hold nothing, however many are stated.
        let rows = if row_bytes == 0 { 0 } else { rows };
        let body = row_bytes * rows;
        let heap_at = match header.get("THEAP") {
            Some(_) => header.count("THEAP", body.saturating_add(heap))?.max(body),
            None => body,
        };
        let heap_bytes = (body + heap).saturating_sub(heap_at);
        Ok(Self { columns, rows, row_bytes: row_bytes as usize, heap_at, heap_bytes })
    }

    /// Index of the column of that name; exactly so written first, then upper and lower case alike.
    pub fn column(&self, name: &str) -> Option<usize> {
        let exact = self.columns.iter().position(|column| column.name == name);
        exact.or_else(|| self.columns.iter().position(|column| column.name.eq_ignore_ascii_case(name)))
    }

    /// Rows that make a block of some megabytes.
    pub fn block_rows(&self) -> usize {
        (BLOCK_BYTES / self.row_bytes.max(1) as u64).clamp(1, 1 << 20) as usize
    }
}

impl FitsFile {
    /// Rows of a table that are whole in the file: fewer than it states if the file is cut short.
    pub fn whole_rows(&self, hdu: usize) -> Result<u64, FitsError> {
        let table = self.table(hdu)?;
        let present = self.hdu(hdu)?.present_bytes;
        Ok(present.checked_div(table.row_bytes as u64).map_or(table.rows, |rows| rows.min(table.rows)))
    }

    /// Rows `first` (from 0) and on, at most `rows` of them and as many as there are; of none the block is empty.
    ///
    /// Errors if they are not all in the file, or take more than [`MAX_ROW_BYTES`] at once.
    pub fn read_rows(&mut self, hdu: usize, first: u64, rows: usize) -> Result<RowBlock, FitsError> {
        let table = Arc::clone(self.table(hdu)?);
        let rows = table.rows.saturating_sub(first).min(rows as u64);
        let width = table.row_bytes as u64;
        let total = rows.checked_mul(width).filter(|total| *total <= MAX_ROW_BYTES);
        let total = total.ok_or(FitsError::TooLarge {
            hdu,
            what: "a block of rows",
            found: rows.saturating_mul(width),
            limit: MAX_ROW_BYTES,
        })?;
        if rows > 0 && first + rows > self.whole_rows(hdu)? {
            let Hdu { data_at, data_bytes, present_bytes, .. } = self.hdu(hdu)?;
            let (end, found) = (data_at + data_bytes, data_at + present_bytes);
            return Err(FitsError::Truncated { hdu, needed: *data_bytes, end, found });
        }
        let mut bytes = vec![0; total as usize];
        if total > 0 {
            self.read_data(hdu, first * width, &mut bytes)?;
        }
        Ok(RowBlock { table, hdu, first, rows: rows as usize, bytes })
    }

    /// The array of varying length in one cell, as f64.
    pub fn read_array(&mut self, block: &RowBlock, row: usize, column: usize) -> Result<Vec<f64>, FitsError> {
        let (bytes, column) = self.read_heap(block, row, column)?;
        let mut out = Vec::new();
        column.push_f64(&bytes, &mut out)?;
        Ok(out)
    }

    /// The text of varying length in one cell.
    pub fn read_text(&mut self, block: &RowBlock, row: usize, column: usize) -> Result<String, FitsError> {
        let (bytes, column) = self.read_heap(block, row, column)?;
        if column.kind != Kind::Text {
            return Err(column.not("text"));
        }
        Ok(text(&bytes))
    }

    fn read_heap(
        &mut self,
        block: &RowBlock,
        row: usize,
        column: usize,
    ) -> Result<(Vec<u8>, Column), FitsError> {
        let cell = block.cell(row, column);
        let mut column = block.table.columns[column].clone();
        let (count, offset) = match (column.variable, cell) {
            (None, _) => return Err(column.not("arrays of varying length")),
            (Some(_), []) => (0, 0),
            (Some(false), _) => {
                let mut pair = words(cell).map(i32::from_be_bytes).map(i64::from);
                (pair.next().unwrap_or(0), pair.next().unwrap_or(0))
            }
            (Some(true), _) => {
                let mut pair = words(cell).map(i64::from_be_bytes);
                (pair.next().unwrap_or(0), pair.next().unwrap_or(0))
            }
        };
        let heap = block.table.heap_bytes;
        let fail = || FitsError::Heap {
            row: block.first + row as u64 + 1,
            column: block.table.columns[column.number - 1].name.clone(),
            count: count as u64,
            offset: offset as u64,
            heap,
        };
        let (count, offset) =
            (u64::try_from(count).map_err(|_| fail())?, u64::try_from(offset).map_err(|_| fail())?);
        column.repeat = count as usize;
        let bytes = column.kind.bytes(column.repeat).map(|bytes| bytes as u64);
        let inside = |bytes: &u64| offset.checked_add(*bytes).is_some_and(|end| end <= heap);
        let bytes = bytes.filter(|bytes| inside(bytes) && *bytes <= MAX_ARRAY_BYTES).ok_or_else(fail)?;
        let mut buffer = vec![0; bytes as usize];
        if bytes > 0 {
            self.read_data(block.hdu, block.table.heap_at + offset, &mut buffer)?;
        }
        Ok((buffer, column))
    }
}

impl RowBlock {
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of the first row in the table, from 0.
    pub fn first(&self) -> u64 {
        self.first
    }

    pub fn table(&self) -> &BinTable {
        &self.table
    }

    /// A cell as stored. Panics if there is no such row or column, as indexing does.
    pub fn cell(&self, row: usize, column: usize) -> &[u8] {
        let column = &self.table.columns[column];
        &self.bytes[row * self.table.row_bytes + column.offset..][..column.width]
    }

    fn cells(&self, column: usize) -> impl Iterator<Item = &[u8]> {
        (0..self.rows).map(move |row| self.cell(row, column))
    }

    fn fixed(&self, column: usize, expected: &'static str) -> Result<&Column, FitsError> {
        let column = &self.table.columns[column];
        if column.variable.is_some() { Err(column.not(expected)) } else { Ok(column) }
    }

    /// A column as f64, `[rows * repeat]`: scaled, missing as NaN, logicals as 0 and 1, complex numbers
    /// as two values each. Text and bits are errors.
    pub fn f64s(&self, column: usize) -> Result<Vec<f64>, FitsError> {
        let info = self.fixed(column, "numbers")?;
        let mut out = Vec::with_capacity(self.rows * info.repeat);
        self.cells(column).try_for_each(|cell| info.push_f64(cell, &mut out))?;
        Ok(out)
    }

    /// A column of integers exactly, `[rows * repeat]`, missing as `None`. Errors if it is not one
    /// ([`NumberType::Integer`]), or where a value without sign does not fit.
    pub fn i64s(&self, column: usize) -> Result<Vec<Option<i64>>, FitsError> {
        let info = self.fixed(column, "integers")?;
        let offset = info.integer_offset().ok_or_else(|| info.not("integers"))?;
        let mut out = Vec::with_capacity(self.rows * info.repeat);
        for (row, cell) in self.cells(column).enumerate() {
            let mut push = |stored: i64| {
                let found = i128::from(stored) + offset;
                let value = if info.null == Some(stored) {
                    None
                } else {
                    Some(i64::try_from(found).map_err(|_| FitsError::IntegerRange {
                        row: self.first + row as u64 + 1,
                        column: info.name.clone(),
                        found,
                    })?)
                };
                out.push(value);
                Ok::<(), FitsError>(())
            };
            match info.kind {
                Kind::U8 => cell.iter().try_for_each(|&b| push(i64::from(b)))?,
                Kind::I16 => words(cell).try_for_each(|b| push(i64::from(i16::from_be_bytes(b))))?,
                Kind::I32 => words(cell).try_for_each(|b| push(i64::from(i32::from_be_bytes(b))))?,
                _ => words(cell).try_for_each(|b| push(i64::from_be_bytes(b)))?,
            }
        }
        Ok(out)
    }

    /// A column of logicals, `[rows * repeat]`; missing is `None`.
    pub fn bools(&self, column: usize) -> Result<Vec<Option<bool>>, FitsError> {
        let info = self.fixed(column, "logicals")?;
        if info.kind != Kind::Logical {
            return Err(info.not("logicals"));
        }
        Ok(self.cells(column).flatten().map(|&b| logical(b)).collect())
    }

    /// A column of bits, `[rows * repeat]`.
    pub fn bits(&self, column: usize) -> Result<Vec<bool>, FitsError> {
        let info = self.fixed(column, "bits")?;
        if info.kind != Kind::Bit {
            return Err(info.not("bits"));
        }
        let bit = |cell: &[u8], i: usize| cell[i / 8] >> (7 - i % 8) & 1 == 1;
        Ok(self.cells(column).flat_map(|cell| (0..info.repeat).map(move |i| bit(cell, i))).collect())
    }

    /// A column of text, one string a row: up to the first NUL, trailing blanks removed.
    pub fn texts(&self, column: usize) -> Result<Vec<String>, FitsError> {
        let info = self.fixed(column, "text")?;
        if info.kind != Kind::Text {
            return Err(info.not("text"));
        }
        Ok(self.cells(column).map(text).collect())
    }
}

fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).trim_end_matches(' ').to_owned()
}
