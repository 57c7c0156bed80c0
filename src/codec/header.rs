//! The header of packed draws, and which columns it takes to unpack some.

use std::ops::Range;

use super::achieved::Achieved;
use super::pack::unpack_column;
use super::quantise::{MAX_ROWS, Quantised, QuantisedColumn, Scale, Stick, place_column};
use super::{CodecError, MAX_VALUES, position};

pub(super) const MAGIC: &[u8; 4] = b"SDP1";
/// Bytes that say how long the header is.
pub const HEADER_PREFIX: usize = 8;
/// Column numbers fit a byte, and one number means "none".
pub const MAX_COLUMNS: usize = 254;
pub(super) const NO_COLUMN: u8 = 255;

/// Bytes before the columns, of one column without its name, and of the checksum.
const FIXED: usize = 32;
const PER_COLUMN: usize = 34;
const CHECKSUM: usize = 4;
const SORTED: u8 = 1;

/// What a column of packed draws holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Role {
    /// The value itself.
    Plain = 0,
    /// A fraction of what the columns of this role right before it leave of 1.
    Stick = 1,
    /// What such columns leave: nothing is stored.
    Rest = 2,
    /// The draw's importance weight.
    Weight = 3,
}

/// What a column's bin numbers are guessed from: `bias + ((w0 q0 + w1 q1) >> 10)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Guess {
    pub from: [u8; 2],
    pub weights: [i16; 2],
    pub bias: i32,
}

impl Guess {
    pub const NONE: Guess = Guess { from: [NO_COLUMN; 2], weights: [0; 2], bias: 0 };

    pub fn sources(&self) -> impl Iterator<Item = (usize, i64)> {
        let pairs = self.from.into_iter().zip(self.weights);
        pairs.filter(|(from, _)| *from != NO_COLUMN).map(|(from, w)| (usize::from(from), i64::from(w)))
    }
}

/// One column as the header describes it.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnInfo {
    pub name: String,
    pub role: Role,
    pub(super) scale: Scale,
    pub(super) top: u32,
    pub(super) sorted: bool,
    pub(super) guess: Guess,
    pub(super) checksum: u32,
    start: usize,
    length: usize,
}

impl ColumnInfo {
    /// Where its bytes lie in the blob.
    pub fn range(&self) -> Range<usize> {
        self.start..self.start + self.length
    }

    /// Width of a bin, in the column's unit (a stick's is a fraction); none where bits are kept.
    pub fn step(&self) -> Option<f64> {
        match self.scale {
            Scale::Bins { low, high } => {
                Some((f64::from(high) - f64::from(low)) / f64::from(self.top.max(1)))
            }
            Scale::Bits { .. } => None,
        }
    }

    /// Bytes per bin number.
    pub(super) fn planes(&self) -> usize {
        planes(self.top)
    }
}

pub(super) fn planes(top: u32) -> usize {
    (u32::BITS - top.leading_zeros()).div_ceil(8) as usize
}

/// The header of packed draws.
#[derive(Debug, Clone, PartialEq)]
pub struct Header {
    pub n: usize,
    /// Chains, one after the other; 0 if the order of rows says nothing.
    pub n_chains: usize,
    /// Errors of the quantised draws, as measured when they were packed (without `column_ks` and `ks_limit`).
    pub achieved: Achieved,
    pub columns: Vec<ColumnInfo>,
    /// Bytes of the header, and of header and columns.
    pub header_bytes: usize,
    pub total_bytes: usize,
}

/// Length of the header whose first [`HEADER_PREFIX`] bytes these are.
pub fn header_len(prefix: &[u8]) -> Result<usize, CodecError> {
    let magic = prefix.get(..4).unwrap_or(prefix);
    if magic != MAGIC {
        return Err(CodecError::Magic { found: magic.to_vec() });
    }
    let Some(Ok(length)) = prefix.get(4..8).map(<[u8; 4]>::try_from) else {
        return Err(CodecError::Length { expected: HEADER_PREFIX as u64, found: prefix.len() as u64 });
    };
    let length = u32::from_le_bytes(length);
    let limit = FIXED + CHECKSUM + MAX_COLUMNS * (PER_COLUMN + 1 + 255);
    if (length as usize) < FIXED + CHECKSUM || length as usize > limit {
        return Err(CodecError::Header { what: "its own length", found: length.into() });
    }
    Ok(length as usize)
}

impl Header {
    /// Reads the header of a whole blob, and checks that the blob is as long as it says.
    pub fn parse(bytes: &[u8]) -> Result<Self, CodecError> {
        let header = Self::parse_head(bytes)?;
        if header.total_bytes != bytes.len() {
            let (expected, found) = (header.total_bytes as u64, bytes.len() as u64);
            return Err(CodecError::Length { expected, found });
        }
        Ok(header)
    }

    /// Reads a header; `bytes` may end right after it.
    pub fn parse_head(bytes: &[u8]) -> Result<Self, CodecError> {
        let header_bytes = header_len(bytes)?;
        let Some(head) = bytes.get(..header_bytes) else {
            return Err(CodecError::Length { expected: header_bytes as u64, found: bytes.len() as u64 });
        };
        let (body, checksum) = head.split_at(header_bytes - CHECKSUM);
        let mut reader = Reader { bytes: checksum };
        if reader.u32()? != crc32(body) {
            return Err(CodecError::HeaderChecksum);
        }
        let mut reader = Reader { bytes: &body[HEADER_PREFIX..] };
        let n = reader.u32()? as usize;
        let (n_columns, n_chains) = (usize::from(reader.u16()?), usize::from(reader.u16()?));
        let mut error = || -> Result<f64, CodecError> { Ok(f64::from(reader.f32()?)) };
        let achieved = Achieved {
            ks: error()?,
            mean: error()?,
            sd: error()?,
            correlation: error()?,
            column_ks: vec![],
            ks_limit: f64::NAN,
        };
        let header = |what, found: usize| Err(CodecError::Header { what, found: found as u64 });
        if n > MAX_ROWS {
            return header("the number of rows", n);
        }
        if n_columns == 0 || n_columns > MAX_COLUMNS {
            return header("the number of columns", n_columns);
        }
        if n_chains > 0 && !n.is_multiple_of(n_chains) {
            return header("the number of chains", n_chains);
        }
        if n * n_columns > MAX_VALUES {
            return Err(CodecError::TooLarge { claimed: (n * n_columns) as u64, limit: MAX_VALUES });
        }
        let mut columns: Vec<ColumnInfo> = Vec::with_capacity(n_columns);
        let mut start = header_bytes;
        for _ in 0..n_columns {
            let column = reader.column(start)?;
            start += column.length;
            columns.push(column);
        }
        if !reader.bytes.is_empty() {
            return header("bytes after its last column", reader.bytes.len());
        }
        let header = Self { n, n_chains, achieved, columns, header_bytes, total_bytes: start };
        header.check()?;
        Ok(header)
    }

    /// Refuses columns that could not be unpacked.
    fn check(&self) -> Result<(), CodecError> {
        for (i, column) in self.columns.iter().enumerate() {
            let wrong = |what| Err(CodecError::Header { what, found: i as u64 });
            let follows_stick = i > 0 && self.columns[i - 1].role == Role::Stick;
            if (column.role == Role::Rest) != (follows_stick && column.role != Role::Stick) {
                return wrong("a column that is not the rest of a simplex");
            }
            if column.role == Role::Rest && column.top > 0 {
                return wrong("data in the rest of a simplex, column");
            }
            if self.columns[..i].iter().any(|other| other.name == column.name) {
                return wrong("a second column of the same name, number");
            }
            if (column.planes() == 0 || self.n == 0) != (column.length == 0) {
                return wrong("the bytes of a column without data, number");
            }
            let known = |j: usize| {
                let earlier = self.columns[..i].get(j);
                earlier.is_some_and(|c| c.guess.sources().next().is_none() && c.role != Role::Rest)
            };
            if !column.guess.sources().all(|(j, _)| known(j))
                || column.sorted && column.guess.sources().next().is_some()
            {
                return wrong("a guess from an unfit column, for column");
            }
        }
        if self.columns.last().is_some_and(|column| column.role == Role::Stick) {
            return Err(CodecError::Header { what: "a last column that is part of a simplex", found: 1 });
        }
        Ok(())
    }

    /// Number of the column called `name`.
    pub fn position(&self, name: &str) -> Result<usize, CodecError> {
        self.columns.iter().position(|column| column.name == name).map_or_else(
            || position(&self.columns.iter().map(|c| c.name.clone()).collect::<Vec<_>>(), name),
            Ok,
        )
    }

    /// Column of importance weights, if any.
    pub fn weight(&self) -> Option<usize> {
        self.columns.iter().position(|column| column.role == Role::Weight)
    }

    /// Columns whose bytes it takes to unpack the `wanted` ones, ascending.
    pub fn needed(&self, wanted: &[usize]) -> Vec<usize> {
        let mut needed = vec![false; self.columns.len()];
        for &column in wanted {
            for member in self.simplex_before(column).chain([column]) {
                needed[member] = true;
                self.columns[member].guess.sources().for_each(|(source, _)| needed[source] = true);
            }
        }
        (0..needed.len()).filter(|&i| needed[i] && self.columns[i].length > 0).collect()
    }

    /// Columns before `column` that its values are made with.
    fn simplex_before(&self, column: usize) -> Range<usize> {
        if !matches!(self.columns[column].role, Role::Stick | Role::Rest) {
            return column..column;
        }
        let sticks = self.columns[..column].iter().rev().take_while(|c| c.role == Role::Stick).count();
        column - sticks..column
    }

    /// Values `[wanted][n]` from the bytes of the [`Header::needed`] columns.
    ///
    /// # Panics
    /// If a wanted number is not one of a column.
    pub fn decode<'a>(
        &self,
        wanted: &[usize],
        bytes_of: &mut dyn FnMut(usize) -> Result<&'a [u8], CodecError>,
    ) -> Result<Vec<f32>, CodecError> {
        let mut bins: Vec<Option<Vec<u32>>> = vec![None; self.columns.len()];
        let mut values = vec![0.0; wanted.len() * self.n];
        let mut passed = Vec::new();
        for (&column, out) in wanted.iter().zip(values.chunks_exact_mut(self.n.max(1))) {
            let mut stick = Stick::default();
            for member in self.simplex_before(column).chain([column]) {
                self.load(member, &mut bins, bytes_of)?;
                let info = &self.columns[member];
                let Some(bins) = &bins[member] else { continue };
                let out = if member == column {
                    &mut *out
                } else {
                    passed.resize(self.n, 0.0);
                    passed.as_mut_slice()
                };
                place_column(info.role, info.scale, info.top, bins, member, &mut stick, out);
            }
        }
        Ok(values)
    }

    /// Bin numbers of a column, after those it is guessed from.
    fn load<'a>(
        &self,
        column: usize,
        bins: &mut [Option<Vec<u32>>],
        bytes_of: &mut dyn FnMut(usize) -> Result<&'a [u8], CodecError>,
    ) -> Result<(), CodecError> {
        if bins[column].is_some() {
            return Ok(());
        }
        let info = &self.columns[column];
        for (source, _) in info.guess.sources() {
            self.load(source, bins, bytes_of)?;
        }
        let loaded = if info.length == 0 {
            vec![0; self.n]
        } else {
            let source = |i: usize| bins[i].as_deref().unwrap_or_default();
            unpack_column(info, self.n, bytes_of(column)?, &source)?
        };
        bins[column] = Some(loaded);
        Ok(())
    }

    /// The bytes of a header; columns' starts are not written.
    pub(super) fn write(n: usize, n_chains: usize, achieved: &Achieved, columns: &[Written<'_>]) -> Vec<u8> {
        let mut head = MAGIC.to_vec();
        let names: usize = columns.iter().map(|written| written.column.name.len()).sum();
        let length = FIXED + columns.len() * (PER_COLUMN + 1) + names + CHECKSUM;
        head.extend((length as u32).to_le_bytes());
        head.extend((n as u32).to_le_bytes());
        head.extend((columns.len() as u16).to_le_bytes());
        head.extend((n_chains as u16).to_le_bytes());
        for error in [achieved.ks, achieved.mean, achieved.sd, achieved.correlation] {
            head.extend((error as f32).to_le_bytes());
        }
        for Written { column, guess, bytes } in columns {
            head.push(column.name.len() as u8);
            head.extend(column.name.as_bytes());
            let (kind, a, b) = column.scale.numbers();
            let flags = if column.sorted { SORTED } else { 0 };
            head.extend([column.role as u8, kind as u8, flags, 0]);
            [a, b, column.top].iter().for_each(|number| head.extend(number.to_le_bytes()));
            head.extend(guess.from);
            guess.weights.iter().for_each(|weight| head.extend(weight.to_le_bytes()));
            head.extend(guess.bias.to_le_bytes());
            head.extend((bytes.len() as u32).to_le_bytes());
            head.extend(crc32(bytes).to_le_bytes());
        }
        let checksum = crc32(&head);
        head.extend(checksum.to_le_bytes());
        head
    }
}

/// A column ready to be written.
pub(super) struct Written<'a> {
    pub column: &'a QuantisedColumn,
    pub guess: Guess,
    pub bytes: Vec<u8>,
}

impl Quantised {
    /// Bin numbers from packed bytes.
    pub fn unpack(bytes: &[u8]) -> Result<Self, CodecError> {
        let header = Header::parse(bytes)?;
        let mut bins = vec![None; header.columns.len()];
        for column in 0..header.columns.len() {
            header.load(column, &mut bins, &mut |i| Ok(&bytes[header.columns[i].range()]))?;
        }
        let columns = header.columns.into_iter().zip(bins).map(|(info, bins)| QuantisedColumn {
            name: info.name,
            role: info.role,
            scale: info.scale,
            top: info.top,
            sorted: info.sorted,
            bins: bins.unwrap_or_default(),
        });
        Ok(Self { n: header.n, n_chains: header.n_chains, columns: columns.collect() })
    }
}

pub(super) fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8], CodecError> {
        let Some((part, rest)) = self.bytes.split_at_checked(n) else {
            return Err(CodecError::Header {
                what: "bytes of a column that goes past its end",
                found: n as u64,
            });
        };
        self.bytes = rest;
        Ok(part)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], CodecError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn u16(&mut self) -> Result<u16, CodecError> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    fn u32(&mut self) -> Result<u32, CodecError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn f32(&mut self) -> Result<f32, CodecError> {
        Ok(f32::from_le_bytes(self.array()?))
    }

    fn column(&mut self, start: usize) -> Result<ColumnInfo, CodecError> {
        let [length] = self.array()?;
        let name = String::from_utf8_lossy(self.take(usize::from(length))?).into_owned();
        let [role, kind, flags, _] = self.array()?;
        let wrong = |what, found: u32| Err(CodecError::Header { what, found: found.into() });
        let role = match role {
            0 => Role::Plain,
            1 => Role::Stick,
            2 => Role::Rest,
            3 => Role::Weight,
            _ => return wrong("the role of a column", role.into()),
        };
        let (a, b, top) = (self.u32()?, self.u32()?, self.u32()?);
        let scale = match kind {
            0 => Scale::Bins { low: f32::from_bits(a), high: f32::from_bits(b) },
            1 if b < 32 => Scale::Bits { base: a, shift: b as u8 },
            _ => return wrong("the scale of a column", kind.into()),
        };
        if let Scale::Bins { low, high } = scale
            && !(low.is_finite() && high.is_finite() && low <= high)
        {
            return wrong("the range of a column", a);
        }
        let from = self.array()?;
        let weights = [self.array()?, self.array()?].map(i16::from_le_bytes);
        let bias = i32::from_le_bytes(self.array()?);
        let (length, checksum) = (self.u32()? as usize, self.u32()?);
        let guess = Guess { from, weights, bias };
        let sorted = flags & SORTED != 0;
        Ok(ColumnInfo { name, role, scale, top, sorted, guess, checksum, start, length })
    }
}
