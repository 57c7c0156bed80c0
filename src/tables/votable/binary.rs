//! Rows of BINARY and BINARY2: big-endian values in base64, BINARY2 with a null flag per field.

use std::io::BufRead;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{FORMAT, Field, Primitive, Size, malformed};
use crate::tables::column::{Column, Values};
use crate::tables::{MAX_TOKEN_BYTES, TableError};

#[derive(Debug)]
pub(super) enum RowError {
    /// The stream ends inside the row.
    Ended,
    Table(TableError),
}

impl From<TableError> for RowError {
    fn from(error: TableError) -> Self {
        RowError::Table(error)
    }
}

/// Decodes base64 text up to the tag that ends it.
#[derive(Default)]
pub(super) struct StreamBytes {
    digits: Vec<u8>,
    bytes: Vec<u8>,
    position: usize,
    ended: bool,
}

impl StreamBytes {
    pub fn at_end(&mut self, source: &mut impl BufRead) -> Result<bool, TableError> {
        while self.position == self.bytes.len() && !self.ended {
            self.refill(source)?;
        }
        Ok(self.position == self.bytes.len())
    }

    fn refill(&mut self, source: &mut impl BufRead) -> Result<(), TableError> {
        let available = source.fill_buf()?;
        if available.is_empty() {
            self.ended = true;
        }
        let end = available.iter().position(|&byte| byte == b'<');
        self.ended |= end.is_some();
        let text = &available[..end.unwrap_or(available.len())];
        self.digits.extend(text.iter().filter(|byte| !byte.is_ascii_whitespace()));
        let consumed = text.len();
        source.consume(consumed);
        let whole = if self.ended { self.digits.len() } else { self.digits.len() / 4 * 4 };
        self.bytes.drain(..self.position);
        self.position = 0;
        STANDARD
            .decode_vec(&self.digits[..whole], &mut self.bytes)
            .map_err(|error| TableError::Malformed { format: FORMAT, what: format!("base64: {error}") })?;
        self.digits.drain(..whole);
        Ok(())
    }

    /// The next `n` bytes of a row.
    fn take(&mut self, source: &mut impl BufRead, n: usize) -> Result<&[u8], RowError> {
        if n > MAX_TOKEN_BYTES {
            return Err(malformed(format!("an array of {n} bytes in a row")).into());
        }
        while self.bytes.len() - self.position < n {
            if self.ended {
                return Err(RowError::Ended);
            }
            self.refill(source)?;
        }
        let start = self.position;
        self.position += n;
        Ok(&self.bytes[start..start + n])
    }
}

/// Adds one row to the columns `selected`.
pub(super) fn read_row(
    stream: &mut StreamBytes,
    source: &mut impl BufRead,
    null_flags: bool,
    fields: &[Field],
    selected: &[usize],
    out: &mut [Column],
) -> Result<(), RowError> {
    let flags = match null_flags {
        true => stream.take(source, fields.len().div_ceil(8))?.to_vec(),
        false => Vec::new(),
    };
    for (i, field) in fields.iter().enumerate() {
        let n = match field.size {
            Size::Fixed(n) => n,
            Size::Variable => {
                let count = stream.take(source, 4)?;
                u32::from_be_bytes([count[0], count[1], count[2], count[3]]) as usize
            }
        };
        let width = match field.primitive {
            Primitive::Bit => n.div_ceil(8),
            primitive => n.saturating_mul(width(primitive)),
        };
        let bytes = stream.take(source, width)?;
        let is_null = flags.get(i / 8).is_some_and(|byte| byte & (0x80 >> (i % 8)) != 0);
        for (_, column) in selected.iter().zip(out.iter_mut()).filter(|(chosen, _)| **chosen == i) {
            match (is_null, field.size, field.primitive) {
                (true, ..) => (0..column.len).for_each(|_| column.push_null()),
                (_, _, Primitive::Char | Primitive::UnicodeChar) => push_text(bytes, field.primitive, column),
                (_, Size::Variable, _) => push_as_text(bytes, field, n, column),
                (_, Size::Fixed(_), _) => (0..n).for_each(|k| push_value(bytes, field, k, column)),
            }
        }
    }
    Ok(())
}

fn width(primitive: Primitive) -> usize {
    match primitive {
        Primitive::Bit | Primitive::Boolean | Primitive::UnsignedByte | Primitive::Char => 1,
        Primitive::Short | Primitive::UnicodeChar => 2,
        Primitive::Int | Primitive::Float => 4,
        Primitive::Long | Primitive::Double => 8,
    }
}

/// A value of a row; integers wide enough for all of them.
enum Scalar {
    Bool(bool),
    Int(i64),
    Float(f64),
}

/// Value `k` of an array; `None` where it is null.
fn value(bytes: &[u8], field: &Field, k: usize) -> Option<Scalar> {
    let at = k * width(field.primitive);
    let int = match field.primitive {
        Primitive::Bit => return Some(Scalar::Bool(bytes[k / 8] & (0x80 >> (k % 8)) != 0)),
        Primitive::Boolean => {
            return match bytes[k] {
                b'T' | b't' | b'1' => Some(Scalar::Bool(true)),
                b'F' | b'f' | b'0' => Some(Scalar::Bool(false)),
                _ => None,
            };
        }
        Primitive::Float => return Some(Scalar::Float(f64::from(f32::from_bits(bits(bytes, at, 4) as u32)))),
        Primitive::Double => return Some(Scalar::Float(f64::from_bits(bits(bytes, at, 8)))),
        Primitive::UnsignedByte => i64::from(bytes[at]),
        Primitive::Short => i64::from(bits(bytes, at, 2) as u16 as i16),
        Primitive::Int => i64::from(bits(bytes, at, 4) as u32 as i32),
        Primitive::Long => bits(bytes, at, 8) as i64,
        Primitive::Char | Primitive::UnicodeChar => return None,
    };
    (field.null != Some(int)).then_some(Scalar::Int(int))
}

/// `n` bytes from `at` as one big-endian number.
fn bits(bytes: &[u8], at: usize, n: usize) -> u64 {
    bytes[at..at + n].iter().fold(0, |bits, &byte| bits << 8 | u64::from(byte))
}

fn push_value(bytes: &[u8], field: &Field, k: usize, column: &mut Column) {
    match (value(bytes, field, k), &mut column.values) {
        (Some(Scalar::Bool(value)), Values::Bool(values)) => values.push(value),
        (Some(Scalar::Int(value)), Values::Int(values)) => values.push(value),
        (Some(Scalar::Float(value)), Values::Float(values)) => values.push(value),
        _ => return column.push_null(),
    }
    column.mark_valid();
}

fn push_text(bytes: &[u8], primitive: Primitive, column: &mut Column) {
    let text = match primitive {
        Primitive::UnicodeChar => {
            let units: Vec<u16> = bytes.chunks_exact(2).map(|c| u16::from_be_bytes([c[0], c[1]])).collect();
            String::from_utf16_lossy(&units)
        }
        _ => String::from_utf8_lossy(bytes).into_owned(),
    };
    // Strings of fixed width are filled up with zeros or blanks.
    let text = text.split('\0').next().unwrap_or_default().trim_end();
    if let Values::Text(texts) = &mut column.values {
        texts.push(text);
        column.mark_valid();
    }
}

fn push_as_text(bytes: &[u8], field: &Field, n: usize, column: &mut Column) {
    let words: Vec<String> = (0..n)
        .map(|k| match value(bytes, field, k) {
            Some(Scalar::Bool(value)) => value.to_string(),
            Some(Scalar::Int(value)) => value.to_string(),
            Some(Scalar::Float(value)) => value.to_string(),
            None => "NaN".to_owned(),
        })
        .collect();
    if let Values::Text(texts) = &mut column.values {
        texts.push(&words.join(" "));
        column.mark_valid();
    }
}
