//! Writing FITS: images and binary tables, rows streamed, checksums kept, the file in place only once whole.

use std::fs::File;
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::header::Value;
use super::{BLOCK, CARD, Card, FitsError, Kind};

/// A column to write.
#[derive(Debug, Clone)]
pub struct ColumnDef {
    name: String,
    kind: Kind,
    repeat: usize,
    dim: Vec<usize>,
    unit: String,
    comment: String,
    ucd: String,
    null: Option<i64>,
}

/// Values of one column for a block of rows, `[rows * repeat]`; texts one a row.
#[derive(Debug, Clone, Copy)]
pub enum Cells<'a> {
    F64(&'a [f64]),
    F32(&'a [f32]),
    I64(&'a [i64]),
    I32(&'a [i32]),
    I16(&'a [i16]),
    U8(&'a [u8]),
    /// Integers of any width with missing ones, written as the column's null.
    Nullable(&'a [Option<i64>]),
    Bool(&'a [bool]),
    Text(&'a [String]),
}

impl ColumnDef {
    /// A column of one value a row. Text needs its greatest length as `repeat`: see [`ColumnDef::text`].
    pub fn new(name: &str, kind: Kind) -> Self {
        let text = String::new;
        let name = name.to_owned();
        Self {
            name,
            kind,
            repeat: 1,
            dim: Vec::new(),
            unit: text(),
            comment: text(),
            ucd: text(),
            null: None,
        }
    }

    /// A column of text of up to `length` bytes.
    pub fn text(name: &str, length: usize) -> Self {
        Self { repeat: length, ..Self::new(name, Kind::Text) }
    }

    /// `repeat` values in each row, in the shape `dim` (first axis fastest) unless that is empty.
    pub fn vector(mut self, repeat: usize, dim: &[usize]) -> Self {
        self.repeat = repeat;
        self.dim = dim.to_vec();
        self
    }

    pub fn unit(mut self, unit: &str) -> Self {
        self.unit = unit.to_owned();
        self
    }

    /// What the column holds, in a sentence (TCOMM).
    pub fn comment(mut self, comment: &str) -> Self {
        self.comment = comment.to_owned();
        self
    }

    pub fn ucd(mut self, ucd: &str) -> Self {
        self.ucd = ucd.to_owned();
        self
    }

    /// The integer that stands for a missing value.
    pub fn null(mut self, null: i64) -> Self {
        self.null = Some(null);
        self
    }

    fn letter(&self) -> Result<(char, usize), FitsError> {
        Ok(match self.kind {
            Kind::Logical => ('L', 1),
            Kind::U8 => ('B', 1),
            Kind::I16 => ('I', 2),
            Kind::I32 => ('J', 4),
            Kind::I64 => ('K', 8),
            Kind::F32 => ('E', 4),
            Kind::F64 => ('D', 8),
            Kind::Text => ('A', 1),
            Kind::Bit | Kind::Complex64 | Kind::Complex128 => {
                return Err(self.refuse("bits and complex numbers are not written"));
            }
        })
    }

    fn refuse(&self, problem: &'static str) -> FitsError {
        FitsError::Write { what: "column", found: self.name.clone(), problem }
    }

    fn cards(&self, number: usize) -> Result<Vec<Card>, FitsError> {
        let (letter, _) = self.letter()?;
        let text = |stem: &str, value: &str, comment: &str| {
            card(&format!("{stem}{number}"), text_value(value), comment)
        };
        let mut cards =
            vec![text("TTYPE", &self.name, ""), text("TFORM", &format!("{}{letter}", self.repeat), "")];
        if !self.dim.is_empty() {
            if self.dim.iter().product::<usize>() != self.repeat {
                return Err(self.refuse("its axes do not multiply to its repeat"));
            }
            let axes: Vec<String> = self.dim.iter().map(usize::to_string).collect();
            cards.push(text("TDIM", &format!("({})", axes.join(",")), ""));
        }
        for (stem, value) in [("TUNIT", &self.unit), ("TCOMM", &self.comment), ("TUCD", &self.ucd)] {
            if !value.is_empty() {
                cards.push(text(stem, value, ""));
            }
        }
        if let Some(null) = self.null {
            cards.push(card(&format!("TNULL{number}"), Value::Integer(null), ""));
        }
        Ok(cards)
    }
}

fn text_value(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn card(key: &str, value: Value, comment: &str) -> Card {
    Card { key: key.to_owned(), value, comment: comment.to_owned() }
}

impl Card {
    /// A card to add to an HDU.
    pub fn new(key: &str, value: Value, comment: &str) -> Self {
        card(key, value, comment)
    }

    /// The card as 80 bytes, or more of them where its text is continued.
    fn bytes(&self) -> Result<Vec<u8>, FitsError> {
        let refuse = |problem| FitsError::Write { what: "card", found: self.key.clone(), problem };
        let legal = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '-' || c == '_';
        if self.key.len() > 8 || !self.key.chars().all(legal) {
            return Err(refuse("a keyword has up to 8 of A-Z 0-9 - _"));
        }
        let printable = |text: &str| text.bytes().all(|b| (0x20..0x7f).contains(&b));
        let key = &self.key;
        let value = match &self.value {
            Value::Text(text) if printable(text) => return self.text_bytes(text),
            Value::Text(_) => return Err(refuse("its text is not printable ASCII")),
            Value::Free(text) if printable(text) => {
                // Commentary, broken at 72 characters.
                let lines = text.as_bytes().chunks(72).map(|line| String::from_utf8_lossy(line).into_owned());
                let lines: String = lines.map(|line| format!("{:80}", format!("{key:8}{line}"))).collect();
                return Ok(if lines.is_empty() { format!("{key:80}") } else { lines }.into_bytes());
            }
            Value::Free(_) => return Err(refuse("its text is not printable ASCII")),
            Value::Logical(b) => format!("{:>20}", if *b { "T" } else { "F" }),
            Value::Integer(n) => format!("{n:>20}"),
            Value::Real(x) if x.is_finite() => format!("{:>20}", real(*x)),
            Value::Real(_) => return Err(refuse("a header holds finite numbers only")),
            Value::Undefined => String::new(),
        };
        let comment = if printable(&self.comment) { self.comment.as_str() } else { "" };
        let mut line = format!("{key:8}= {value}");
        if !comment.is_empty() {
            line.push_str(&format!(" / {comment}"));
        }
        line.truncate(CARD);
        Ok(format!("{line:80}").into_bytes())
    }

    fn text_bytes(&self, text: &str) -> Result<Vec<u8>, FitsError> {
        let key = &self.key;
        let quoted = text.replace('\'', "''");
        if quoted.len() <= 68 {
            let mut line = format!("{key:8}= {:20}", format!("'{quoted:8}'"));
            if !self.comment.is_empty() && self.comment.bytes().all(|b| (0x20..0x7f).contains(&b)) {
                line.push_str(&format!(" / {}", self.comment));
            }
            line.truncate(CARD);
            return Ok(format!("{line:80}").into_bytes());
        }
        let mut out = Vec::new();
        let mut rest = quoted.as_str();
        while !rest.is_empty() {
            let mut cut = rest.len().min(if rest.len() <= 68 { 68 } else { 67 });
            // A doubled quote must not be torn apart.
            if cut < rest.len() && rest[..cut].bytes().rev().take_while(|&b| b == b'\'').count() % 2 == 1 {
                cut -= 1;
            }
            let (piece, after) = rest.split_at(cut);
            let more = if after.is_empty() { "" } else { "&" };
            let start = if out.is_empty() { format!("{key:8}= ") } else { "CONTINUE  ".to_owned() };
            out.extend(format!("{:80}", format!("{start}'{piece}{more}'")).into_bytes());
            rest = after;
        }
        Ok(out)
    }
}

/// Shortest decimal that reads back the same, with a point, so that it is a real to any reader.
fn real(x: f64) -> String {
    if x == 0.0 || (1e-4..1e15).contains(&x.abs()) {
        return format!("{x:?}");
    }
    let text = format!("{x:E}");
    if text.contains('.') { text } else { text.replace('E', ".0E") }
}

/// A FITS file being written; it appears under its name at [`FitsWriter::finish`], and never if dropped before.
#[derive(Debug)]
pub struct FitsWriter {
    path: PathBuf,
    partial: PathBuf,
    file: BufWriter<File>,
    at: u64,
    finished: bool,
}

impl FitsWriter {
    /// Starts a file with an empty primary HDU that holds `cards`.
    pub fn create(path: &Path, cards: &[Card]) -> Result<Self, FitsError> {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let partial = path.with_file_name(format!(".{name}.{}.partial", std::process::id()));
        let file = BufWriter::with_capacity(1 << 20, File::create(&partial)?);
        let mut writer = Self { path: path.to_owned(), partial, file, at: 0, finished: false };
        let mut all = vec![
            card("SIMPLE", Value::Logical(true), "FITS standard 4.0"),
            card("BITPIX", Value::Integer(8), ""),
            card("NAXIS", Value::Integer(0), ""),
            card("EXTEND", Value::Logical(true), ""),
        ];
        all.extend_from_slice(cards);
        writer.header(&all, 0)?;
        Ok(writer)
    }

    /// Adds an image of reals, first axis fastest.
    pub fn image(
        &mut self,
        name: &str,
        axes: &[usize],
        values: &[f64],
        cards: &[Card],
    ) -> Result<(), FitsError> {
        let expected = axes.iter().product();
        if values.len() != expected {
            return Err(FitsError::WriteLength { column: name.to_owned(), found: values.len(), expected });
        }
        let mut all = vec![
            card("XTENSION", text_value("IMAGE"), ""),
            card("BITPIX", Value::Integer(-64), ""),
            card("NAXIS", Value::Integer(axes.len() as i64), ""),
        ];
        for (n, axis) in axes.iter().enumerate() {
            all.push(card(&format!("NAXIS{}", n + 1), Value::Integer(*axis as i64), ""));
        }
        all.extend([
            card("PCOUNT", Value::Integer(0), ""),
            card("GCOUNT", Value::Integer(1), ""),
            card("EXTNAME", text_value(name), ""),
        ]);
        all.extend_from_slice(cards);
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_be_bytes()).collect();
        let mut sum = Sum::default();
        sum.add(&bytes);
        self.header(&all, sum.value())?;
        self.file.write_all(&bytes)?;
        self.at += bytes.len() as u64;
        self.pad(0)
    }

    /// Adds a binary table, whose rows follow in blocks.
    pub fn table(
        &mut self,
        name: &str,
        columns: Vec<ColumnDef>,
        cards: &[Card],
    ) -> Result<TableWriter<'_>, FitsError> {
        if columns.len() > 999 {
            let problem = "a table has at most 999 columns";
            return Err(FitsError::Write { what: "table", found: name.to_owned(), problem });
        }
        let mut row_bytes = 0;
        for column in &columns {
            row_bytes += column.letter()?.1 * column.repeat;
        }
        let mut all = vec![
            card("XTENSION", text_value("BINTABLE"), ""),
            card("BITPIX", Value::Integer(8), ""),
            card("NAXIS", Value::Integer(2), ""),
            card("NAXIS1", Value::Integer(row_bytes as i64), "bytes in a row"),
            card("NAXIS2", Value::Integer(0), "rows"),
            card("PCOUNT", Value::Integer(0), ""),
            card("GCOUNT", Value::Integer(1), ""),
            card("TFIELDS", Value::Integer(columns.len() as i64), ""),
            card("EXTNAME", text_value(name), ""),
        ];
        for (i, column) in columns.iter().enumerate() {
            all.extend(column.cards(i + 1)?);
        }
        all.extend_from_slice(cards);
        let header_at = self.at;
        self.header(&all, 0)?;
        Ok(TableWriter {
            writer: self,
            cards: all,
            columns,
            header_at,
            row_bytes,
            rows: 0,
            sum: Sum::default(),
            buffer: Vec::new(),
        })
    }

    /// Flushes the file to disk and puts it in its place, over what was there.
    pub fn finish(mut self) -> Result<(), FitsError> {
        self.file.flush()?;
        self.file.get_ref().sync_all()?;
        std::fs::rename(&self.partial, &self.path)?;
        self.finished = true;
        Ok(())
    }

    /// Writes a header with its checksums; `data_sum` is the sum over the data to follow.
    fn header(&mut self, cards: &[Card], data_sum: u32) -> Result<(), FitsError> {
        let mut bytes = Vec::new();
        for card in cards {
            bytes.extend(card.bytes()?);
        }
        let checksum_at = bytes.len() + 11;
        bytes.extend(card("CHECKSUM", text_value("0000000000000000"), "HDU checksum").bytes()?);
        bytes.extend(card("DATASUM", text_value(&data_sum.to_string()), "data unit checksum").bytes()?);
        bytes.extend(format!("{:80}", "END").into_bytes());
        bytes.resize(bytes.len().next_multiple_of(BLOCK as usize), b' ');
        let mut sum = Sum::default();
        sum.add(&bytes);
        bytes[checksum_at..checksum_at + 16].copy_from_slice(&encode_checksum(!add(sum.value(), data_sum)));
        self.file.write_all(&bytes)?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    fn pad(&mut self, fill: u8) -> Result<(), FitsError> {
        let padding = self.at.next_multiple_of(BLOCK) - self.at;
        self.file.write_all(&vec![fill; padding as usize])?;
        self.at += padding;
        Ok(())
    }
}

impl Drop for FitsWriter {
    fn drop(&mut self) {
        if !self.finished {
            // Nothing more can be done about a partial file that will not go.
            let _ = std::fs::remove_file(&self.partial);
        }
    }
}

/// A binary table being written.
#[derive(Debug)]
pub struct TableWriter<'w> {
    writer: &'w mut FitsWriter,
    cards: Vec<Card>,
    columns: Vec<ColumnDef>,
    header_at: u64,
    row_bytes: usize,
    rows: u64,
    sum: Sum,
    buffer: Vec<u8>,
}

impl TableWriter<'_> {
    /// Appends `rows` rows, given by column.
    ///
    /// Errors if a column's values are of another type or number, or a text is too long or not ASCII.
    pub fn write(&mut self, rows: usize, cells: &[Cells]) -> Result<(), FitsError> {
        if cells.len() != self.columns.len() {
            let (found, expected) = (cells.len(), self.columns.len());
            return Err(FitsError::WriteLength { column: "(all)".into(), found, expected });
        }
        self.buffer.clear();
        self.buffer.resize(rows * self.row_bytes, 0);
        let mut offset = 0;
        for (column, cells) in self.columns.iter().zip(cells) {
            let width = column.letter()?.1 * column.repeat;
            let slots = self
                .buffer
                .chunks_exact_mut(self.row_bytes.max(1))
                .map(|row| &mut row[offset..offset + width]);
            fill(column, *cells, rows, slots)?;
            offset += width;
        }
        self.writer.file.write_all(&self.buffer)?;
        self.writer.at += self.buffer.len() as u64;
        self.sum.add(&self.buffer);
        self.rows += rows as u64;
        Ok(())
    }

    /// Completes the table: its number of rows and its checksums. Returns the rows.
    pub fn finish(mut self) -> Result<u64, FitsError> {
        self.writer.pad(0)?;
        let end = self.writer.at;
        if let Some(naxis2) = self.cards.iter_mut().find(|card| card.key == "NAXIS2") {
            naxis2.value = Value::Integer(self.rows as i64);
        }
        self.writer.file.flush()?;
        self.writer.file.seek(SeekFrom::Start(self.header_at))?;
        // The header is as long as it was: only numbers of fixed width changed.
        self.writer.header(&self.cards, self.sum.value())?;
        self.writer.file.seek(SeekFrom::Start(end))?;
        self.writer.at = end;
        Ok(self.rows)
    }
}

fn fill<'a>(
    column: &ColumnDef,
    cells: Cells,
    rows: usize,
    slots: impl Iterator<Item = &'a mut [u8]>,
) -> Result<(), FitsError> {
    let texts = matches!(cells, Cells::Text(_));
    let expected = if texts { rows } else { rows * column.repeat };
    let found = match cells {
        Cells::F64(v) => v.len(),
        Cells::F32(v) => v.len(),
        Cells::I64(v) => v.len(),
        Cells::I32(v) => v.len(),
        Cells::I16(v) => v.len(),
        Cells::U8(v) => v.len(),
        Cells::Nullable(v) => v.len(),
        Cells::Bool(v) => v.len(),
        Cells::Text(v) => v.len(),
    };
    if found != expected {
        return Err(FitsError::WriteLength { column: column.name.clone(), found, expected });
    }
    if column.repeat == 0 {
        return Ok(());
    }
    match (column.kind, cells) {
        (Kind::F64, Cells::F64(v)) => scatter(slots, column.repeat, v, |v| v.to_be_bytes()),
        (Kind::F32, Cells::F32(v)) => scatter(slots, column.repeat, v, |v| v.to_be_bytes()),
        (Kind::I64, Cells::I64(v)) => scatter(slots, column.repeat, v, |v| v.to_be_bytes()),
        (Kind::I32, Cells::I32(v)) => scatter(slots, column.repeat, v, |v| v.to_be_bytes()),
        (Kind::I16, Cells::I16(v)) => scatter(slots, column.repeat, v, |v| v.to_be_bytes()),
        (Kind::U8, Cells::U8(v)) => scatter(slots, column.repeat, v, |v| [*v]),
        (Kind::Logical, Cells::Bool(v)) => {
            scatter(slots, column.repeat, v, |v| [if *v { b'T' } else { b'F' }])
        }
        (_, Cells::Nullable(v)) => return fill_nullable(column, v, slots),
        (Kind::Text, Cells::Text(v)) => {
            for (slot, text) in slots.zip(v) {
                if text.len() > slot.len() {
                    let (found, expected) = (text.len(), slot.len());
                    return Err(FitsError::WriteLength { column: column.name.clone(), found, expected });
                }
                if !text.bytes().all(|b| (0x20..0x7f).contains(&b)) {
                    let problem = "a table's text is printable ASCII";
                    return Err(FitsError::Write { what: "text", found: text.clone(), problem });
                }
                slot[..text.len()].copy_from_slice(text.as_bytes());
            }
        }
        _ => return Err(column.refuse("its values are of another type")),
    }
    Ok(())
}

fn scatter<'a, T, const N: usize>(
    slots: impl Iterator<Item = &'a mut [u8]>,
    repeat: usize,
    values: &[T],
    bytes: impl Fn(&T) -> [u8; N],
) {
    for (slot, values) in slots.zip(values.chunks_exact(repeat)) {
        slot.as_chunks_mut::<N>().0.iter_mut().zip(values).for_each(|(slot, value)| *slot = bytes(value));
    }
}

fn fill_nullable<'a>(
    column: &ColumnDef,
    values: &[Option<i64>],
    slots: impl Iterator<Item = &'a mut [u8]>,
) -> Result<(), FitsError> {
    let (_, width) = column.letter()?;
    if !matches!(column.kind, Kind::U8 | Kind::I16 | Kind::I32 | Kind::I64) {
        return Err(column.refuse("its values are of another type"));
    }
    let (least, most) = match column.kind {
        Kind::U8 => (0, 255),
        Kind::I16 => (i64::from(i16::MIN), i64::from(i16::MAX)),
        Kind::I32 => (i64::from(i32::MIN), i64::from(i32::MAX)),
        _ => (i64::MIN, i64::MAX),
    };
    for (slot, values) in slots.zip(values.chunks_exact(column.repeat)) {
        for (slot, value) in slot.chunks_exact_mut(width).zip(values) {
            let stored = value
                .or(column.null)
                .ok_or_else(|| column.refuse("a value is missing and it has no null"))?;
            if !(least..=most).contains(&stored) || (value.is_some() && *value == column.null) {
                return Err(column.refuse("a value is outside its type, or is its null"));
            }
            slot.copy_from_slice(&stored.to_be_bytes()[8 - width..]);
        }
    }
    Ok(())
}

/// The FITS checksum: big-endian 32-bit words added with the carry brought round.
#[derive(Debug, Default)]
struct Sum {
    total: u64,
    /// Bytes of a word not yet whole.
    pending: Vec<u8>,
}

impl Sum {
    fn add(&mut self, mut bytes: &[u8]) {
        if !self.pending.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(4 - self.pending.len()));
            self.pending.extend_from_slice(now);
            bytes = later;
            if self.pending.len() == 4 {
                let word = self.pending.iter().fold(0, |word, &b| word << 8 | u64::from(b));
                self.total += word;
                self.pending.clear();
            }
        }
        let (words, rest) = bytes.as_chunks::<4>();
        for chunk in words.chunks(1 << 20) {
            self.total += chunk.iter().map(|w| u64::from(u32::from_be_bytes(*w))).sum::<u64>();
            self.total = (self.total & 0xffff_ffff) + (self.total >> 32);
        }
        self.pending.extend_from_slice(rest);
    }

    /// The sum so far; a word not whole counts as filled up with zeros.
    fn value(&self) -> u32 {
        let mut word = [0; 4];
        word[..self.pending.len()].copy_from_slice(&self.pending);
        fold(self.total + u64::from(u32::from_be_bytes(word)))
    }
}

fn fold(mut total: u64) -> u32 {
    while total >> 32 != 0 {
        total = (total & 0xffff_ffff) + (total >> 32);
    }
    total as u32
}

fn add(a: u32, b: u32) -> u32 {
    fold(u64::from(a) + u64::from(b))
}

/// Sixteen letters and digits that add up to the value (Seaman et al., appendix J of the standard).
fn encode_checksum(value: u32) -> [u8; 16] {
    let mut ascii = [0u8; 16];
    for (i, byte) in value.to_be_bytes().into_iter().enumerate() {
        let mut quarters = [byte / 4 + b'0'; 4];
        quarters[0] += byte % 4;
        // Pairs move apart until none is punctuation, their sum kept.
        let excluded = |c: u8| (0x3a..=0x40).contains(&c) || (0x5b..=0x60).contains(&c);
        while quarters.iter().any(|&c| excluded(c)) {
            for pair in quarters.chunks_exact_mut(2) {
                if excluded(pair[0]) || excluded(pair[1]) {
                    pair[0] += 1;
                    pair[1] -= 1;
                }
            }
        }
        for (j, quarter) in quarters.into_iter().enumerate() {
            ascii[4 * j + i] = quarter;
        }
    }
    ascii.rotate_right(1);
    ascii
}
