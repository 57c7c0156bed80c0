//! VOTable 1.1 to 1.5: TABLEDATA, BINARY and BINARY2, with units, UCDs and null values.
//!
//! Nothing outside the file is ever fetched, entities of a DTD are not expanded, and no token larger
//! than [`super::MAX_TOKEN_BYTES`] is held.

use std::io::BufRead;

use quick_xml::XmlVersion;
use quick_xml::events::{BytesStart, Event};

use super::column::{Column, ColumnInfo, ColumnType};
use super::ecsv::push_scalar;
use super::{BadRow, Block, MAX_COLUMNS, Table, TableError, rows_within_budget};
use binary::StreamBytes;
use budget::Budget;

mod binary;
mod budget;

const FORMAT: &str = "VOTable";

pub struct VoTable<R: BufRead> {
    xml: quick_xml::Reader<Budget<R>>,
    buffer: Vec<u8>,
    fields: Vec<Field>,
    columns: Vec<ColumnInfo>,
    n_rows: Option<u64>,
    selected: Vec<usize>,
    row: u64,
    data: Data,
    failure: Option<TableError>,
}

/// Where the rows come from.
enum Data {
    Cells,
    Binary {
        stream: StreamBytes,
        null_flags: bool,
    },
    /// At the end, or a table without data.
    Finished,
}

/// A FIELD as BINARY and TABLEDATA need it.
#[derive(Debug, Clone)]
struct Field {
    primitive: Primitive,
    size: Size,
    null: Option<i64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Primitive {
    Bit,
    Boolean,
    UnsignedByte,
    Short,
    Int,
    Long,
    Char,
    UnicodeChar,
    Float,
    Double,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Size {
    Fixed(usize),
    /// Rows say how many values they have.
    Variable,
}

impl<R: BufRead> VoTable<R> {
    /// Reads up to the rows of the table `wanted` (its name, ID or number from 1), or of the first one.
    pub fn new(reader: R, wanted: Option<&str>) -> Result<Self, TableError> {
        let xml = quick_xml::Reader::from_reader(Budget::new(reader));
        let mut table = Self {
            xml,
            buffer: Vec::new(),
            fields: Vec::new(),
            columns: Vec::new(),
            n_rows: None,
            selected: Vec::new(),
            row: 0,
            data: Data::Finished,
            failure: None,
        };
        table.read_header(wanted)?;
        table.selected = (0..table.columns.len()).collect();
        Ok(table)
    }

    fn read_header(&mut self, wanted: Option<&str>) -> Result<(), TableError> {
        let mut present: Vec<String> = Vec::new();
        let mut matches = false;
        let mut in_field = false;
        let mut description: Option<String> = None;
        let mut null_flags = false;
        loop {
            let event = next_event(&mut self.xml, &mut self.buffer)?;
            let (start, is_empty) = match &event {
                Event::Start(start) => (start, false),
                Event::Empty(start) => (start, true),
                Event::Text(text) => {
                    if let Some(description) = &mut description {
                        description.push_str(&text.xml10_content());
                    }
                    continue;
                }
                Event::GeneralRef(entity) => {
                    if let Some(description) = &mut description {
                        match entity.resolve_char_ref() {
                            Ok(Some(c)) => description.push(c),
                            _ => description
                                .push_str(quick_xml::escape::resolve_predefined_entity(entity).unwrap_or("")),
                        }
                    }
                    continue;
                }
                Event::End(end) => {
                    match end.local_name().as_ref() {
                        "FIELD" => in_field = false,
                        "DESCRIPTION" => {
                            if let (Some(text), true, Some(column)) =
                                (description.take(), in_field, self.columns.last_mut())
                            {
                                column.description = Some(text.trim().to_owned());
                            }
                        }
                        // A table without rows may have no DATA.
                        "TABLE" if matches => return Ok(()),
                        _ => {}
                    }
                    continue;
                }
                Event::Eof => {
                    return Err(match wanted {
                        Some(wanted) if !present.is_empty() => {
                            TableError::NoSuchTable { wanted: wanted.to_owned(), present }
                        }
                        _ => TableError::NoTable { format: FORMAT },
                    });
                }
                _ => continue,
            };
            let name = start.local_name().as_ref().to_owned();
            match name.as_str() {
                "TABLE" => {
                    let title = attribute(start, "name")?.or(attribute(start, "ID")?);
                    self.n_rows = attribute(start, "nrows")?.and_then(|n| n.parse().ok());
                    self.fields.clear();
                    self.columns.clear();
                    present.push(title.clone().unwrap_or_else(|| format!("{}", present.len() + 1)));
                    matches = wanted.is_none_or(|wanted| {
                        title.as_deref() == Some(wanted) || wanted == present.len().to_string()
                    });
                }
                "FIELD" if matches => {
                    in_field = !is_empty;
                    let (field, info) = read_field(start)?;
                    if self.columns.len() == MAX_COLUMNS {
                        return Err(malformed(format!("more than {MAX_COLUMNS} columns")));
                    }
                    self.fields.push(field);
                    self.columns.push(info);
                }
                "VALUES" if in_field => {
                    if let (Some(field), Some(null)) = (self.fields.last_mut(), attribute(start, "null")?) {
                        field.null = null.trim().parse().ok();
                    }
                }
                "DESCRIPTION" if in_field && !is_empty => description = Some(String::new()),
                "TABLEDATA" if matches => {
                    self.data = if is_empty { Data::Finished } else { Data::Cells };
                    return Ok(());
                }
                "BINARY" | "BINARY2" if matches => null_flags = name == "BINARY2",
                "STREAM" if matches => {
                    if let Some(href) = attribute(start, "href")? {
                        return Err(malformed(format!("the rows are elsewhere ({href}), not in this file")));
                    }
                    match attribute(start, "encoding")?.as_deref() {
                        Some("base64") => {}
                        other => {
                            let other = other.unwrap_or("none").to_owned();
                            return Err(malformed(format!(
                                "STREAM with encoding {other}; only base64 is read"
                            )));
                        }
                    }
                    if !is_empty {
                        self.data = Data::Binary { stream: StreamBytes::default(), null_flags };
                    }
                    return Ok(());
                }
                "FITS" | "PARQUET" if matches => {
                    return Err(malformed(format!("the rows are in {name} form; write them as BINARY2")));
                }
                _ => {}
            }
        }
    }

    /// Reads one TR into `cells`; false at the end of the table.
    fn next_cells(&mut self, cells: &mut Vec<String>) -> Result<bool, TableError> {
        let mut n_cells = 0;
        let mut in_cell = false;
        let mut in_row = false;
        loop {
            let event = next_event(&mut self.xml, &mut self.buffer)?;
            match &event {
                Event::Start(start) | Event::Empty(start) => match start.local_name().as_ref() {
                    "TR" if matches!(event, Event::Start(_)) => in_row = true,
                    "TR" => {
                        cells.clear();
                        return Ok(true);
                    }
                    "TD" if in_row => {
                        if n_cells == cells.len() {
                            cells.push(String::new());
                        }
                        cells[n_cells].clear();
                        n_cells += 1;
                        in_cell = matches!(event, Event::Start(_));
                        if n_cells > MAX_COLUMNS {
                            return Err(malformed(format!("row {} has too many cells", self.row + 1)));
                        }
                    }
                    _ => {}
                },
                Event::Text(text) if in_cell => cells[n_cells - 1].push_str(&text.xml10_content()),
                Event::CData(text) if in_cell => cells[n_cells - 1].push_str(&text.xml10_content()),
                Event::GeneralRef(entity) if in_cell => {
                    let text = match entity.resolve_char_ref() {
                        Ok(Some(c)) => c.to_string(),
                        _ => quick_xml::escape::resolve_predefined_entity(entity)
                            .ok_or_else(|| malformed(format!("unknown entity `&{};`", &**entity)))?
                            .to_owned(),
                    };
                    cells[n_cells - 1].push_str(&text);
                }
                Event::End(end) => match end.local_name().as_ref() {
                    "TD" => in_cell = false,
                    "TR" => {
                        cells.truncate(n_cells);
                        return Ok(true);
                    }
                    "TABLEDATA" => return Ok(false),
                    _ => {}
                },
                Event::Eof => return Err(self.cut_short()),
                _ => {}
            }
        }
    }

    fn cut_short(&self) -> TableError {
        match self.n_rows {
            Some(expected) => TableError::Truncated { expected, found: self.row },
            None => malformed(format!("the file ends inside the table, after {} rows", self.row)),
        }
    }

    fn fill(&mut self, block: &mut Block, max_rows: usize) -> Result<(), TableError> {
        let mut cells = Vec::new();
        while block.n_rows() + block.bad.len() < max_rows {
            let result = match &mut self.data {
                Data::Finished => return Ok(()),
                Data::Cells => {
                    if !self.next_cells(&mut cells)? {
                        self.data = Data::Finished;
                        return Ok(());
                    }
                    push_cells(&cells, &self.fields, &self.columns, &self.selected, &mut block.columns)
                }
                Data::Binary { stream, null_flags } => {
                    let source = self.xml.get_mut();
                    source.reset();
                    if stream.at_end(source)? {
                        self.data = Data::Finished;
                        return Ok(());
                    }
                    let flags = *null_flags;
                    binary::read_row(stream, source, flags, &self.fields, &self.selected, &mut block.columns)
                        .map_err(|error| match error {
                            binary::RowError::Ended => self.cut_short(),
                            binary::RowError::Table(error) => error,
                        })?;
                    Ok(())
                }
            };
            self.row += 1;
            match result {
                Ok(()) => block.row_numbers.push(self.row),
                Err(reason) => {
                    let good = block.n_rows();
                    block.columns.iter_mut().for_each(|column| column.truncate(good * column.len));
                    block.bad.push(BadRow { row: self.row, reason });
                }
            }
        }
        Ok(())
    }
}

impl<R: BufRead> Table for VoTable<R> {
    fn format(&self) -> &'static str {
        FORMAT
    }

    fn columns(&self) -> &[ColumnInfo] {
        &self.columns
    }

    fn n_rows(&self) -> Option<u64> {
        self.n_rows
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
        if let Err(failure) = self.fill(&mut block, max_rows) {
            let good = block.n_rows();
            block.columns.iter_mut().for_each(|column| column.truncate(good * column.len));
            self.data = Data::Finished;
            self.failure = Some(failure);
        }
        if block.n_rows() == 0 && block.bad.is_empty() {
            return self.failure.take().map_or(Ok(None), Err);
        }
        Ok(Some(block))
    }
}

/// The columns that a VOTable document declares for its first table; for formats that carry one as
/// metadata.
pub(super) fn fields_of(document: &str) -> Result<Vec<ColumnInfo>, TableError> {
    Ok(VoTable::new(document.as_bytes(), None)?.columns)
}

fn malformed(what: String) -> TableError {
    TableError::Malformed { format: FORMAT, what }
}

fn next_event<'b, R: BufRead>(
    xml: &mut quick_xml::Reader<Budget<R>>,
    buffer: &'b mut Vec<u8>,
) -> Result<Event<'b>, TableError> {
    buffer.clear();
    xml.get_mut().reset();
    let position = xml.buffer_position();
    xml.read_event_into(buffer).map_err(|error| malformed(format!("at byte {position}: {error}")))
}

fn attribute(start: &BytesStart, name: &str) -> Result<Option<String>, TableError> {
    let found = start.try_get_attribute(name).map_err(|error| malformed(error.to_string()))?;
    found
        .map(|attribute| match attribute.normalized_value(XmlVersion::Implicit1_0) {
            Ok(value) => Ok(value.into_owned()),
            Err(error) => Err(malformed(error.to_string())),
        })
        .transpose()
}

fn read_field(start: &BytesStart) -> Result<(Field, ColumnInfo), TableError> {
    let name = match (attribute(start, "name")?, attribute(start, "ID")?) {
        (Some(name), _) | (None, Some(name)) => name,
        (None, None) => return Err(malformed("a FIELD without name".to_owned())),
    };
    let datatype = attribute(start, "datatype")?.unwrap_or_default();
    let (primitive, pair) = match datatype.as_str() {
        "boolean" => (Primitive::Boolean, 1),
        "bit" => (Primitive::Bit, 1),
        "unsignedByte" => (Primitive::UnsignedByte, 1),
        "short" => (Primitive::Short, 1),
        "int" => (Primitive::Int, 1),
        "long" => (Primitive::Long, 1),
        "char" => (Primitive::Char, 1),
        "unicodeChar" => (Primitive::UnicodeChar, 1),
        "float" => (Primitive::Float, 1),
        "double" => (Primitive::Double, 1),
        "floatComplex" => (Primitive::Float, 2),
        "doubleComplex" => (Primitive::Double, 2),
        other => return Err(malformed(format!("column `{name}` is of unknown datatype `{other}`"))),
    };
    let arraysize = attribute(start, "arraysize")?;
    let size = match arraysize.as_deref().map(str::trim) {
        None | Some("") => Size::Fixed(pair),
        Some(text) if text.ends_with('*') => Size::Variable,
        Some(text) => {
            let product = text.split('x').try_fold(pair, |product: usize, part| {
                product
                    .checked_mul(part.trim().parse().ok()?)
                    .filter(|&n| n > 0 && n <= super::MAX_TOKEN_BYTES)
            });
            Size::Fixed(product.ok_or_else(|| malformed(format!("column `{name}` has arraysize `{text}`")))?)
        }
    };
    let is_text = matches!(primitive, Primitive::Char | Primitive::UnicodeChar);
    let (kind, len) = match (size, primitive) {
        _ if is_text => (ColumnType::Text, 1),
        // How long such an array is differs by row: kept as text.
        (Size::Variable, _) => (ColumnType::Text, 1),
        (Size::Fixed(len), Primitive::Boolean | Primitive::Bit) => (ColumnType::Bool, len),
        (Size::Fixed(len), Primitive::Float) => (ColumnType::Float32, len),
        (Size::Fixed(len), Primitive::Double) => (ColumnType::Float64, len),
        (Size::Fixed(len), _) => (ColumnType::Int, len),
    };
    if len > MAX_COLUMNS {
        return Err(malformed(format!("column `{name}` has {len} values per row")));
    }
    let info = ColumnInfo {
        unit: attribute(start, "unit")?,
        ucd: attribute(start, "ucd")?,
        len,
        ..ColumnInfo::new(name, kind)
    };
    Ok((Field { primitive, size, null: None }, info))
}

/// Adds one row of TABLEDATA, or says what is wrong with it.
fn push_cells(
    cells: &[String],
    fields: &[Field],
    columns: &[ColumnInfo],
    selected: &[usize],
    out: &mut [Column],
) -> Result<(), String> {
    if cells.len() != columns.len() {
        return Err(format!("{} cells, the table has {} columns", cells.len(), columns.len()));
    }
    for (&i, column) in selected.iter().zip(out) {
        let (cell, info) = (cells[i].as_str(), &columns[i]);
        let push = |text: &str, column: &mut Column| {
            let is_null = fields[i].null.is_some_and(|null| text.trim().parse() == Ok(null));
            push_scalar(if is_null { "" } else { text }, info.kind, column)
                .map_err(|reason| format!("column {}: {reason}", info.name))
        };
        if info.len == 1 {
            push(cell, column)?;
        } else if cell.trim().is_empty() {
            (0..info.len).for_each(|_| column.push_null());
        } else {
            let found = cell.split_ascii_whitespace().count();
            if found != info.len {
                return Err(format!("column {}: {found} values instead of {}", info.name, info.len));
            }
            cell.split_ascii_whitespace().try_for_each(|text| push(text, column))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
