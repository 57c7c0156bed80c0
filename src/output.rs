//! Rows as table, CSV, TSV, JSON or JSON lines: the one place that knows these formats.
//!
//! Rows are streamed. CSV, TSV and JSON carry text exactly as it is, as far as the format can; the table,
//! made for eyes, shows control and direction characters as escapes, so that data cannot command a terminal.
//!
//! | | NULL | real | text | bytes |
//! |---|---|---|---|---|
//! | table | `NULL` | 9 digits | escaped where it would act | hex to 32 bytes, then size |
//! | csv | empty (`""` is the empty text) | shortest exact | RFC 4180 | hex |
//! | tsv | empty | shortest exact | `\t`, `\n`, `\r`, `\\` | hex |
//! | json, jsonl | `null` | shortest exact, `1e999` for infinity | JSON | hex |

use std::collections::BTreeMap;
use std::io::{self, Write};

use unicode_width::UnicodeWidthStr;

/// Decimals that show two digits of an error.
pub fn decimals_of(error: f64) -> usize {
    if error.is_finite() && error > 0.0 { (1.0 - error.log10().floor()).clamp(0.0, 8.0) as usize } else { 3 }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    /// Aligned columns, for eyes
    #[default]
    Table,
    /// Comma-separated values with a header
    Csv,
    /// Tab-separated values with a header
    Tsv,
    /// One array of objects
    Json,
    /// One object per line
    Jsonl,
}

/// One value. Text is bytes, as a database may hold text that is not UTF-8.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Cell<'a> {
    Null,
    Int(i64),
    Real(f64),
    Text(&'a [u8]),
    Bytes(&'a [u8]),
}

impl<'a> Cell<'a> {
    pub fn text(text: &'a str) -> Self {
        Cell::Text(text.as_bytes())
    }

    pub fn text_or_null(text: Option<&'a str>) -> Self {
        text.map_or(Cell::Null, Cell::text)
    }

    pub fn real_or_null(value: Option<f64>) -> Self {
        value.map_or(Cell::Null, Cell::Real)
    }
}

/// Who takes rows: first the columns, once, then the rows.
pub trait RowSink {
    fn columns(&mut self, names: &[String]) -> io::Result<()>;
    fn row(&mut self, cells: &[Cell<'_>]) -> io::Result<()>;
}

/// Rows whose widths are looked at before a table's first line is printed; later rows keep those widths.
const ROWS_TO_ALIGN: usize = 1000;

/// Writes rows in one format. [`Writer::finish`] ends the output; without it a table may be missing rows.
pub struct Writer<W: Write> {
    out: W,
    format: Format,
    names: Vec<String>,
    /// Each column's name as a JSON string, made unique.
    keys: Vec<String>,
    waiting: Vec<Vec<Shown>>,
    layout: Option<Vec<Column>>,
    n_rows: u64,
}

struct Shown {
    text: String,
    is_number: bool,
    is_null: bool,
}

struct Column {
    width: usize,
    right: bool,
}

impl<W: Write> Writer<W> {
    pub fn new(out: W, format: Format) -> Self {
        Self { out, format, names: vec![], keys: vec![], waiting: vec![], layout: None, n_rows: 0 }
    }

    /// Ends the output and returns the number of rows.
    pub fn finish(mut self) -> io::Result<u64> {
        match self.format {
            Format::Table => self.lay_out()?,
            Format::Json if self.n_rows == 0 => self.out.write_all(b"[]\n")?,
            Format::Json => self.out.write_all(b"\n]\n")?,
            _ => {}
        }
        self.out.flush()?;
        Ok(self.n_rows)
    }

    fn lay_out(&mut self) -> io::Result<()> {
        if self.layout.is_some() || self.names.is_empty() {
            return Ok(());
        }
        let columns: Vec<Column> = (0..self.names.len())
            .map(|i| {
                let cells = || self.waiting.iter().map(|row| &row[i]);
                Column {
                    width: cells()
                        .map(|cell| cell.text.width())
                        .chain([self.names[i].width()])
                        .max()
                        .unwrap_or(0),
                    right: cells().any(|cell| cell.is_number)
                        && cells().all(|cell| cell.is_number || cell.is_null),
                }
            })
            .collect();
        let header: Vec<Shown> = self
            .names
            .iter()
            .map(|name| Shown { text: name.clone(), is_number: false, is_null: false })
            .collect();
        write_line(&mut self.out, &columns, &header)?;
        let rule: Vec<Shown> = columns
            .iter()
            .map(|c| Shown { text: "-".repeat(c.width), is_number: false, is_null: false })
            .collect();
        write_line(&mut self.out, &columns, &rule)?;
        for row in self.waiting.drain(..) {
            write_line(&mut self.out, &columns, &row)?;
        }
        self.layout = Some(columns);
        Ok(())
    }
}

impl<W: Write> RowSink for Writer<W> {
    fn columns(&mut self, names: &[String]) -> io::Result<()> {
        self.names = names.iter().map(|name| for_eyes(name.as_bytes())).collect();
        let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
        self.keys = names
            .iter()
            .map(|name| {
                let n = seen.entry(name).and_modify(|n| *n += 1).or_insert(1);
                // an object cannot have a key twice
                let unique = if *n == 1 { name.clone() } else { format!("{name}_{n}") };
                json_string(unique.as_bytes())
            })
            .collect();
        match self.format {
            Format::Csv | Format::Tsv => {
                let cells: Vec<Cell<'_>> = names.iter().map(|name| Cell::text(name)).collect();
                separated(&mut self.out, self.format, &cells)
            }
            _ => Ok(()),
        }
    }

    fn row(&mut self, cells: &[Cell<'_>]) -> io::Result<()> {
        self.n_rows += 1;
        match self.format {
            Format::Table => {
                let shown: Vec<Shown> = cells.iter().map(show).collect();
                match &self.layout {
                    Some(columns) => write_line(&mut self.out, columns, &shown),
                    None => {
                        self.waiting.push(shown);
                        if self.waiting.len() >= ROWS_TO_ALIGN { self.lay_out() } else { Ok(()) }
                    }
                }
            }
            Format::Csv | Format::Tsv => separated(&mut self.out, self.format, cells),
            Format::Json => {
                self.out.write_all(if self.n_rows == 1 { b"[\n  " } else { b",\n  " })?;
                self.object(cells)
            }
            Format::Jsonl => {
                self.object(cells)?;
                self.out.write_all(b"\n")
            }
        }
    }
}

impl<W: Write> Writer<W> {
    fn object(&mut self, cells: &[Cell<'_>]) -> io::Result<()> {
        self.out.write_all(b"{")?;
        for (i, (key, cell)) in self.keys.iter().zip(cells).enumerate() {
            write!(self.out, "{}{key}: ", if i > 0 { ", " } else { "" })?;
            match cell {
                Cell::Null => self.out.write_all(b"null")?,
                Cell::Int(value) => write!(self.out, "{value}")?,
                Cell::Real(value) if value.is_nan() => self.out.write_all(b"null")?,
                Cell::Real(value) if value.is_infinite() => {
                    self.out.write_all(if *value > 0.0 { b"1e999" } else { b"-1e999" })?;
                }
                Cell::Real(value) => write!(self.out, "{value:?}")?,
                Cell::Text(text) => self.out.write_all(json_string(text).as_bytes())?,
                Cell::Bytes(bytes) => write!(self.out, "\"{}\"", hex(bytes))?,
            }
        }
        self.out.write_all(b"}")
    }
}

/// A list small enough to be held: what `show` and `log` print.
pub fn print_rows(
    out: impl Write,
    format: Format,
    columns: &[&str],
    rows: &[Vec<Cell<'_>>],
) -> io::Result<()> {
    let mut writer = Writer::new(out, format);
    writer.columns(&columns.iter().map(|&name| name.to_owned()).collect::<Vec<_>>())?;
    for row in rows {
        writer.row(row)?;
    }
    writer.finish().map(|_| ())
}

fn write_line(out: &mut impl Write, columns: &[Column], cells: &[Shown]) -> io::Result<()> {
    let mut line = String::new();
    for (i, (column, cell)) in columns.iter().zip(cells).enumerate() {
        if i > 0 {
            line.push_str("  ");
        }
        let padding = " ".repeat(column.width.saturating_sub(cell.text.width()));
        if column.right {
            line.push_str(&padding);
        }
        line.push_str(&cell.text);
        if !column.right {
            line.push_str(&padding);
        }
    }
    writeln!(out, "{}", line.trim_end())
}

fn show(cell: &Cell<'_>) -> Shown {
    let (text, is_number, is_null) = match cell {
        Cell::Null => ("NULL".to_owned(), false, true),
        Cell::Int(value) => (value.to_string(), true, false),
        Cell::Real(value) => (short_real(*value), true, false),
        Cell::Text(text) => (for_eyes(text), false, false),
        Cell::Bytes(bytes) if bytes.len() <= 32 => (hex(bytes), false, false),
        Cell::Bytes(bytes) => (format!("({} bytes)", bytes.len()), false, false),
    };
    Shown { text, is_number, is_null }
}

/// A whole number in groups of three digits: `12,345,678`.
pub fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Nine significant digits at most.
pub fn short_real(value: f64) -> String {
    // rounding by printing and reading back, so that 0.1 + 0.2 reads 0.3
    let rounded = format!("{value:.8e}").parse().unwrap_or(value);
    if rounded != 0.0 && !(1e-4..1e15).contains(&f64::abs(rounded)) {
        format!("{rounded:e}")
    } else {
        format!("{rounded}")
    }
}

/// Text with everything that would act on a terminal or hide from the eye written as an escape.
pub fn for_eyes(text: &[u8]) -> String {
    let mut shown = String::with_capacity(text.len());
    for chunk in text.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\n' => shown.push_str("\\n"),
                '\t' => shown.push_str("\\t"),
                '\r' => shown.push_str("\\r"),
                // controls, direction marks and overrides, zero-width characters, line separators
                c if c.is_control()
                    || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
                    || matches!(c, '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}') =>
                {
                    shown.extend(c.escape_unicode());
                }
                c => shown.push(c),
            }
        }
        for byte in chunk.invalid() {
            shown.push_str(&format!("\\x{byte:02x}"));
        }
    }
    shown
}

fn separated(out: &mut impl Write, format: Format, cells: &[Cell<'_>]) -> io::Result<()> {
    let separator = if format == Format::Csv { b"," } else { b"\t" };
    for (i, cell) in cells.iter().enumerate() {
        if i > 0 {
            out.write_all(separator)?;
        }
        match cell {
            // a line of nothing would read as no row
            Cell::Null if cells.len() == 1 && format == Format::Csv => out.write_all(b"NULL")?,
            Cell::Null => {}
            Cell::Int(value) => write!(out, "{value}")?,
            Cell::Real(value) => write!(out, "{value:?}")?,
            Cell::Text(text) if format == Format::Csv => csv_text(out, text)?,
            Cell::Text(text) => tsv_text(out, text)?,
            Cell::Bytes(bytes) => out.write_all(hex(bytes).as_bytes())?,
        }
    }
    out.write_all(b"\n")
}

fn csv_text(out: &mut impl Write, text: &[u8]) -> io::Result<()> {
    let plain = !text.is_empty() && !text.iter().any(|byte| matches!(byte, b'"' | b',' | b'\n' | b'\r'));
    if plain {
        return out.write_all(text);
    }
    out.write_all(b"\"")?;
    for part in text.split_inclusive(|&byte| byte == b'"') {
        out.write_all(part)?;
        if part.ends_with(b"\"") {
            out.write_all(b"\"")?;
        }
    }
    out.write_all(b"\"")
}

fn tsv_text(out: &mut impl Write, text: &[u8]) -> io::Result<()> {
    for &byte in text {
        match byte {
            b'\t' => out.write_all(b"\\t")?,
            b'\n' => out.write_all(b"\\n")?,
            b'\r' => out.write_all(b"\\r")?,
            b'\\' => out.write_all(b"\\\\")?,
            byte => out.write_all(&[byte])?,
        }
    }
    Ok(())
}

fn json_string(text: &[u8]) -> String {
    serde_json::Value::from(String::from_utf8_lossy(text)).to_string()
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_come_in_threes() {
        let texts = [0, 999, 1000, 12_345_678].map(grouped);
        assert_eq!(texts, ["0", "999", "1,000", "12,345,678"]);
    }

    fn written(format: Format, columns: &[&str], rows: &[Vec<Cell<'_>>]) -> String {
        let mut out = Vec::new();
        print_rows(&mut out, format, columns, rows).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn rows() -> Vec<Vec<Cell<'static>>> {
        vec![
            vec![Cell::text("a,\"b\"\n\\"), Cell::Int(1), Cell::Real(0.1 + 0.2), Cell::Bytes(&[0, 255])],
            vec![Cell::text(""), Cell::Null, Cell::Real(f64::INFINITY), Cell::Null],
        ]
    }

    #[test]
    fn each_format_keeps_values_null_and_empty_text_apart() {
        let columns = ["name", "n", "x", "b"];
        assert_eq!(
            written(Format::Csv, &columns, &rows()),
            "name,n,x,b\n\"a,\"\"b\"\"\n\\\",1,0.30000000000000004,00ff\n\"\",,inf,\n"
        );
        assert_eq!(
            written(Format::Tsv, &columns, &rows()),
            "name\tn\tx\tb\na,\"b\"\\n\\\\\t1\t0.30000000000000004\t00ff\n\t\tinf\t\n"
        );
        let json = written(Format::Json, &columns, &rows()).replace("1e999", "1e308");
        let parsed: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(parsed[0]["name"], "a,\"b\"\n\\");
        assert_eq!(parsed[0]["x"], 0.1 + 0.2);
        assert!(parsed[1]["n"].is_null());
        assert_eq!(written(Format::Jsonl, &columns, &rows()).lines().count(), 2);
        assert_eq!(
            written(Format::Table, &columns, &rows()),
            "name         n    x  b\n--------  ----  ---  ----\na,\"b\"\\n\\     1  0.3  00ff\n          NULL  inf  NULL\n"
        );
    }

    #[test]
    fn no_rows_are_a_header_or_an_empty_array() {
        assert_eq!(written(Format::Csv, &["a"], &[]), "a\n");
        assert_eq!(written(Format::Json, &["a"], &[]), "[]\n");
        assert_eq!(written(Format::Jsonl, &["a"], &[]), "");
        assert_eq!(written(Format::Table, &["a"], &[]), "a\n-\n");
    }

    #[test]
    fn data_cannot_command_a_terminal_from_a_table_but_stays_exact_in_csv() {
        let evil = "\x1b[2J\u{202e}x\u{9b}31m\x07";
        let row = [vec![Cell::text(evil)]];
        let table = written(Format::Table, &["id"], &row);
        assert!(table.contains("\\u{1b}[2J\\u{202e}x\\u{9b}31m\\u{7}"), "{table}");
        assert!(written(Format::Csv, &["id"], &row).contains(evil));
        let json: serde_json::Value = serde_json::from_str(&written(Format::Json, &["id"], &row)).unwrap();
        assert_eq!(json[0]["id"], evil);
        assert_eq!(for_eyes(b"a\xff"), "a\\xff");
    }

    #[test]
    fn columns_align_by_what_a_terminal_shows() {
        let rows = [vec![Cell::text("星系"), Cell::Int(1)], vec![Cell::text("M87"), Cell::Int(22)]];
        assert_eq!(written(Format::Table, &["name", "n"], &rows), "name   n\n----  --\n星系   1\nM87   22\n");
    }

    #[test]
    fn rows_beyond_those_aligned_are_all_written() {
        let text = "x".repeat(40);
        let rows: Vec<_> =
            (0..3000).map(|i| vec![if i < 2000 { Cell::Int(i) } else { Cell::text(&text) }]).collect();
        let table = written(Format::Table, &["a"], &rows);
        assert_eq!(table.lines().count(), 3002);
        assert!(table.ends_with(&format!("{text}\n")));
    }

    #[test]
    fn a_column_name_twice_is_two_keys() {
        assert_eq!(
            written(Format::Jsonl, &["a", "a"], &[vec![Cell::Int(1), Cell::Int(2)]]),
            "{\"a\": 1, \"a_2\": 2}\n"
        );
    }
}
