//! Text tables: comma, tab, semicolon, bar or blanks between fields; RFC 4180 quotes; ECSV's types.
//!
//! A quote that never closes costs one row, not the rest of the file: where joining lines does not
//! give a whole record, the first line is reported and reading goes on after it.

use std::collections::VecDeque;
use std::io::BufRead;

use csv_core::{ReadRecordResult, ReaderBuilder};

use super::column::{Column, ColumnInfo, ColumnType, Values, parse_number, shorten};
use super::{BadRow, Block, MAX_COLUMNS, Table, TableError, ecsv, read_line, rows_within_budget};

/// A quoted field may hold line breaks, up to this many bytes in all.
const MAX_RECORD_BYTES: usize = 1 << 20;

pub struct DelimitedTable<R> {
    format: &'static str,
    lines: Lines<R>,
    delimiter: Delimiter,
    columns: Vec<ColumnInfo>,
    selected: Vec<usize>,
    row: u64,
    fields: Fields,
    /// What went wrong after the rows of the block that was given out last.
    failure: Option<TableError>,
}

impl<R: BufRead> DelimitedTable<R> {
    /// Reads the header: the first line that is no comment (`#`), or the last comment where numbers follow
    /// it. Without `delimiter` it is the one of tab, comma, semicolon, bar that the header has most of, else
    /// blanks.
    pub fn new(reader: R, delimiter: Option<char>) -> Result<Self, TableError> {
        let mut lines = Lines::new(reader);
        let mut comment: Option<String> = None;
        let first = loop {
            let Some(line) = lines.next()? else { return Err(TableError::Empty) };
            match line.strip_prefix(b"#") {
                Some(text) => comment = Some(String::from_utf8_lossy(text).into_owned()),
                None if line.trim_ascii().is_empty() => {}
                None => break line,
            }
        };
        let number = lines.number;
        let header = std::str::from_utf8(&first)
            .map_err(|_| TableError::Line { line: number, what: "the header is not UTF-8".to_owned() })?;
        let delimiter = match delimiter {
            Some(' ') => Delimiter::Blanks,
            Some(c) if c.is_ascii() && c != '"' && c != '\n' => Delimiter::Byte(c as u8),
            Some(c) => {
                return Err(TableError::Malformed {
                    format: "CSV",
                    what: format!("`{}` cannot be a delimiter", c.escape_debug()),
                });
            }
            None => Delimiter::find(header),
        };
        let mut fields = Fields::default();
        let malformed = |line, what: &str| TableError::Line { line, what: what.to_owned() };
        if !fields.split(&first, delimiter) {
            return Err(malformed(number, "a quote in the header never closes"));
        }
        let mut names = fields.to_strings();
        if names.iter().any(|name| matches!(parse_number(name), Ok(Some(_)))) {
            // Numbers: this is data, and its header can only be the comment before it.
            let n_fields = names.len();
            let commented = comment.filter(|text| fields.split(text.trim().as_bytes(), delimiter));
            names = commented.map(|_| fields.to_strings()).unwrap_or_default();
            if names.len() != n_fields {
                return Err(malformed(
                    number,
                    "the first line holds numbers; a line with column names must come first",
                ));
            }
            lines.push_back(vec![first]);
        }
        if names.len() > MAX_COLUMNS {
            return Err(malformed(number, &format!("{} columns are more than {MAX_COLUMNS}", names.len())));
        }
        let columns: Vec<_> = names
            .iter()
            .enumerate()
            .map(|(i, name)| match name.trim() {
                "" => format!("column_{}", i + 1),
                name => name.to_owned(),
            })
            .map(|name| ColumnInfo::new(name, ColumnType::Untyped))
            .collect();
        let format = if delimiter == Delimiter::Byte(b'\t') { "TSV" } else { "CSV" };
        Ok(Self::from_parts(format, lines, delimiter, columns))
    }

    /// An ECSV file: its YAML header gives names, types and units.
    pub fn ecsv(reader: R) -> Result<Self, TableError> {
        let mut lines = Lines::new(reader);
        let mut header = Vec::new();
        let names_line = loop {
            let Some(line) = lines.next()? else {
                return Err(TableError::Malformed {
                    format: "ECSV",
                    what: "no line with column names".to_owned(),
                });
            };
            match line.strip_prefix(b"#") {
                Some(text) => header.push(String::from_utf8_lossy(text).into_owned()),
                None if line.trim_ascii().is_empty() => {}
                None => break line,
            }
        };
        let header = ecsv::parse_header(&header)?;
        let mut fields = Fields::default();
        if !fields.split(&names_line, header.delimiter) {
            let what = "a quote in the line of column names never closes".to_owned();
            return Err(TableError::Line { line: lines.number, what });
        }
        let names = fields.to_strings();
        let declared: Vec<_> = header.columns.iter().map(|column| column.name.clone()).collect();
        if names != declared {
            let what = format!(
                "column names {} differ from those of the header {}",
                shorten(&names.join(" ")),
                shorten(&declared.join(" "))
            );
            return Err(TableError::Line { line: lines.number, what });
        }
        Ok(Self::from_parts("ECSV", lines, header.delimiter, header.columns))
    }

    /// Takes what is said of the columns elsewhere: their types, units, descriptions.
    pub(super) fn describe(&mut self, columns: Vec<ColumnInfo>) {
        self.columns = columns;
    }

    fn from_parts(
        format: &'static str,
        lines: Lines<R>,
        delimiter: Delimiter,
        columns: Vec<ColumnInfo>,
    ) -> Self {
        let selected = (0..columns.len()).collect();
        Self { format, lines, delimiter, columns, selected, row: 0, fields: Fields::default(), failure: None }
    }

    /// Splits the next record into `self.fields`; `None` at the end of the file.
    fn next_record(&mut self) -> Result<Option<Result<(), String>>, TableError> {
        let first = loop {
            let Some(line) = self.lines.next()? else { return Ok(None) };
            let comment = self.delimiter == Delimiter::Blanks || self.format == "ECSV";
            if line.trim_ascii().is_empty() || (comment && line.first() == Some(&b'#')) {
                continue;
            }
            break line;
        };
        let number = self.lines.number;
        let expected = self.columns.len();
        if self.fields.split(&first, self.delimiter) {
            let found = self.fields.len();
            return Ok(Some(if found == expected {
                Ok(())
            } else {
                Err(format!("line {number} has {found} fields, the header {expected}"))
            }));
        }
        let mut record = first.clone();
        let mut joined = Vec::new();
        let mut whole = false;
        while record.len() < MAX_RECORD_BYTES {
            let Some(line) = self.lines.next()? else { break };
            record.push(b'\n');
            record.extend_from_slice(&line);
            joined.push(line);
            if self.fields.split(&record, self.delimiter) {
                whole = self.fields.len() == expected && quotes_end_fields(&record, self.delimiter);
                break;
            }
        }
        if whole {
            return Ok(Some(Ok(())));
        }
        self.lines.push_back(joined);
        Ok(Some(Err(format!("line {number} has a quote that does not close"))))
    }
}

impl<R: BufRead> Table for DelimitedTable<R> {
    fn format(&self) -> &'static str {
        self.format
    }

    fn columns(&self) -> &[ColumnInfo] {
        &self.columns
    }

    fn n_rows(&self) -> Option<u64> {
        None
    }

    fn select(&mut self, columns: &[usize]) {
        self.selected = columns.to_vec();
    }

    fn next_block(&mut self, max_rows: usize) -> Result<Option<Block>, TableError> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        let max_rows = rows_within_budget(&self.columns, &self.selected, max_rows);
        let columns = self.selected.iter().map(|&i| Column::empty(&self.columns[i])).collect();
        let mut block = Block { columns, ..Block::default() };
        while block.n_rows() + block.bad.len() < max_rows {
            let record = match self.next_record() {
                Ok(Some(record)) => record,
                Ok(None) => break,
                Err(failure) => {
                    self.failure = Some(failure);
                    break;
                }
            };
            self.row += 1;
            let row = self.row;
            let read = record.and_then(|()| {
                self.selected.iter().zip(&mut block.columns).try_for_each(|(&i, column)| {
                    push_field(self.fields.get(i), &self.columns[i], column)
                        .map_err(|reason| format!("column {}: {reason}", self.columns[i].name))
                })
            });
            match read {
                Ok(()) => block.row_numbers.push(row),
                Err(reason) => {
                    let good = block.n_rows();
                    block.columns.iter_mut().for_each(|column| column.truncate(good * column.len));
                    block.bad.push(BadRow { row, reason });
                }
            }
        }
        if block.n_rows() == 0 && block.bad.is_empty() {
            return self.failure.take().map_or(Ok(None), Err);
        }
        Ok(Some(block))
    }
}

/// Adds one field to its column, or says what is wrong with it.
fn push_field(field: &[u8], info: &ColumnInfo, column: &mut Column) -> Result<(), String> {
    let text = std::str::from_utf8(field)
        .map_err(|error| format!("not UTF-8 after `{}`", shorten(&utf8_start(field, error.valid_up_to()))))?;
    if let (ColumnType::Untyped | ColumnType::Text, Values::Text(texts)) = (info.kind, &mut column.values) {
        texts.push(text);
        column.mark_valid();
        return Ok(());
    }
    ecsv::push_typed(text, info, column)
}

fn utf8_start(field: &[u8], valid: usize) -> String {
    String::from_utf8_lossy(&field[..valid]).into_owned()
}

/// What stands between two fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Delimiter {
    Byte(u8),
    /// Any run of blanks and tabs.
    Blanks,
}

impl Delimiter {
    fn find(header: &str) -> Self {
        let count = |delimiter: u8| header.bytes().filter(|&byte| byte == delimiter).count();
        // The later of equals wins; tab and comma are the usual ones.
        let best = [b'|', b';', b',', b'\t'].into_iter().max_by_key(|&delimiter| count(delimiter));
        match best {
            Some(delimiter) if count(delimiter) > 0 => Delimiter::Byte(delimiter),
            _ => Delimiter::Blanks,
        }
    }
}

/// Whether every quoted field ends where its quote does; where not, a stray quote has joined lines
/// that do not belong together.
fn quotes_end_fields(record: &[u8], delimiter: Delimiter) -> bool {
    let Delimiter::Byte(delimiter) = delimiter else { return true };
    let (mut at, mut at_field_start) = (0, true);
    while at < record.len() {
        if at_field_start && record[at] == b'"' {
            at += 1;
            while at < record.len() && (record[at] != b'"' || record.get(at + 1) == Some(&b'"')) {
                at += if record[at] == b'"' { 2 } else { 1 };
            }
            at += 1;
            if record.get(at).is_some_and(|&byte| byte != delimiter) {
                return false;
            }
            at_field_start = false;
        } else {
            at_field_start = record[at] == delimiter;
            at += 1;
        }
    }
    true
}

/// Lines with a number, and some of them to be read again.
struct Lines<R> {
    reader: R,
    again: VecDeque<Vec<u8>>,
    /// Of the line that came last, from 1.
    number: u64,
    buffer: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    fn new(reader: R) -> Self {
        Self { reader, again: VecDeque::new(), number: 0, buffer: Vec::new() }
    }

    fn next(&mut self) -> Result<Option<Vec<u8>>, TableError> {
        if let Some(line) = self.again.pop_front() {
            self.number += 1;
            return Ok(Some(line));
        }
        if !read_line(&mut self.reader, &mut self.buffer, self.number + 1)? {
            return Ok(None);
        }
        self.number += 1;
        let line = match self.buffer.strip_prefix(b"\xef\xbb\xbf") {
            Some(line) if self.number == 1 => line,
            _ => &self.buffer,
        };
        Ok(Some(line.to_vec()))
    }

    fn push_back(&mut self, lines: Vec<Vec<u8>>) {
        self.number -= lines.len() as u64;
        lines.into_iter().rev().for_each(|line| self.again.push_front(line));
    }
}

/// The fields of one record, unquoted.
#[derive(Default)]
struct Fields {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Fields {
    fn len(&self) -> usize {
        self.ends.len()
    }

    fn get(&self, index: usize) -> &[u8] {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.bytes[start..self.ends[index]]
    }

    fn to_strings(&self) -> Vec<String> {
        (0..self.len()).map(|i| String::from_utf8_lossy(self.get(i)).into_owned()).collect()
    }

    /// Splits a record without its line end; false where a quote does not close.
    fn split(&mut self, record: &[u8], delimiter: Delimiter) -> bool {
        self.ends.clear();
        self.bytes.clear();
        match delimiter {
            Delimiter::Blanks => self.split_blanks(record),
            Delimiter::Byte(byte) => self.split_csv(record, byte),
        }
    }

    fn split_csv(&mut self, record: &[u8], delimiter: u8) -> bool {
        let mut reader = ReaderBuilder::new().delimiter(delimiter).build();
        // Unquoting only ever shortens; every field ends at a delimiter or at the line's end.
        self.bytes.resize(record.len() + 1, 0);
        self.ends.resize(record.iter().filter(|&&byte| byte == delimiter).count() + 2, 0);
        let (mut read, mut written, mut ended) = (0, 0, 0);
        loop {
            let input = if read < record.len() { &record[read..] } else { b"\n" };
            let (result, n_in, n_out, n_ends) =
                reader.read_record(input, &mut self.bytes[written..], &mut self.ends[ended..]);
            read += n_in;
            written += n_out;
            ended += n_ends;
            match result {
                ReadRecordResult::Record => break,
                ReadRecordResult::InputEmpty if read <= record.len() => {}
                _ => return false,
            }
        }
        // A lone carriage return ends a record for csv-core; then it is no record of ours.
        if read < record.len() {
            return false;
        }
        self.ends.truncate(ended);
        self.bytes.truncate(written);
        true
    }

    fn split_blanks(&mut self, record: &[u8]) -> bool {
        let mut rest = record.trim_ascii();
        while !rest.is_empty() {
            if let Some(quoted) = rest.strip_prefix(b"\"") {
                let mut i = 0;
                loop {
                    match (quoted.get(i), quoted.get(i + 1)) {
                        (None, _) => return false,
                        (Some(b'"'), Some(b'"')) => {
                            self.bytes.push(b'"');
                            i += 2;
                        }
                        (Some(b'"'), _) => break,
                        (Some(&byte), _) => {
                            self.bytes.push(byte);
                            i += 1;
                        }
                    }
                }
                rest = &quoted[i + 1..];
            } else {
                let end = rest.iter().position(u8::is_ascii_whitespace).unwrap_or(rest.len());
                self.bytes.extend_from_slice(&rest[..end]);
                rest = &rest[end..];
            }
            self.ends.push(self.bytes.len());
            rest = rest.trim_ascii_start();
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8]) -> (Vec<String>, Vec<Vec<String>>, Vec<BadRow>) {
        let mut table = DelimitedTable::new(text, None).unwrap();
        let names = table.columns().iter().map(|column| column.name.clone()).collect();
        let (mut rows, mut bad) = (Vec::new(), Vec::new());
        while let Some(block) = table.next_block(2).unwrap() {
            for row in 0..block.n_rows() {
                let text = |column: &Column| match &column.values {
                    Values::Text(texts) => texts.get(row).to_owned(),
                    _ => unreachable!("CSV is text"),
                };
                rows.push(block.columns.iter().map(text).collect());
            }
            bad.extend(block.bad);
        }
        (names, rows, bad)
    }

    #[test]
    fn every_usual_delimiter_is_found() {
        for text in ["id,ra\n1,2\n", "id\tra\n1\t2\n", "id;ra\n1;2", "id|ra\r\n1|2\r\n", "id  ra\n 1   2\n"] {
            let (names, rows, bad) = read(text.as_bytes());
            assert_eq!(
                (names, rows),
                (vec!["id".into(), "ra".into()], vec![vec!["1".into(), "2".into()]]),
                "{text}"
            );
            assert!(bad.is_empty());
        }
    }

    #[test]
    fn quotes_hold_delimiters_quotes_and_line_breaks() {
        let (_, rows, bad) = read(b"id,note\n\"a;'\"\"b\"\"\",\"x,\ny\"\nc,\n");
        assert_eq!(rows, [["a;'\"b\"", "x,\ny"], ["c", ""]]);
        assert!(bad.is_empty());
    }

    #[test]
    fn a_commented_header_is_found() {
        let (names, rows, _) = read(b"# made by hand\n# id redshift\n1 0.1\n# pause\n2 0.2\n");
        assert_eq!(names, ["id", "redshift"]);
        assert_eq!(rows, [["1", "0.1"], ["2", "0.2"]]);
        let error = DelimitedTable::new(b"1,0.1\n2,0.2\n".as_slice(), None).err().unwrap();
        assert!(error.to_string().contains("column names"), "{error}");
    }

    #[test]
    fn ragged_rows_are_reported_and_the_others_kept() {
        let (_, rows, bad) = read(b"a,b\n1,2\n3\n4,5,6\n7,8\n");
        assert_eq!(rows, [["1", "2"], ["7", "8"]]);
        assert_eq!(bad.iter().map(|b| b.row).collect::<Vec<_>>(), [2, 3]);
        assert_eq!(bad[1].reason, "line 4 has 3 fields, the header 2");
    }

    #[test]
    fn an_open_quote_costs_one_row() {
        let (_, rows, bad) = read(b"a,b\n1,\"2\n3,4\n5,\"6\"\n7,8\n");
        assert_eq!(rows, [["3", "4"], ["5", "6"], ["7", "8"]]);
        assert_eq!((bad.len(), bad[0].row), (1, 1));
        assert!(bad[0].reason.contains("line 2"), "{}", bad[0].reason);
    }

    #[test]
    fn rows_that_are_not_utf8_are_reported() {
        let (_, rows, bad) = read(b"id,n\n1,caf\xe9\n2,ok\n");
        assert_eq!(rows, [["2", "ok"]]);
        assert_eq!(bad, [BadRow { row: 1, reason: "column n: not UTF-8 after `caf`".into() }]);
    }

    #[test]
    fn a_line_without_end_is_an_error_not_memory() {
        let endless = std::io::BufReader::new(std::io::repeat(b'x'));
        let error = DelimitedTable::new(endless, None).err().unwrap();
        assert!(error.to_string().contains("longer than 16 MiB"), "{error}");
    }

    #[test]
    fn empty_and_header_only_files_hold_nothing() {
        assert!(matches!(DelimitedTable::new(b"".as_slice(), None), Err(TableError::Empty)));
        let (names, rows, bad) = read(b"\xef\xbb\xbfid,ra\n");
        assert_eq!((names, rows.len(), bad.len()), (vec!["id".to_owned(), "ra".to_owned()], 0, 0));
    }
}
