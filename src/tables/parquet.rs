//! Parquet, without arrow: scalar columns and lists of one level (vectors); VOParquet units.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};

use parquet::basic::{LogicalType, Type as Physical};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{ByteArray, DataType, FixedLenByteArray};
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, FileReader, SerializedFileReader};
use parquet::schema::types::ColumnDescriptor;

use super::column::{Column, ColumnInfo, ColumnType, Values};
use super::{BadRow, Block, MAX_COLUMNS, Table, TableError, rows_within_budget, votable};

const FORMAT: &str = "Parquet";
/// Footer key of VOParquet 1.0: a VOTable without data that describes the columns.
const VO_PARQUET_KEY: &str = "IVOA.VOTable-Parquet.content";
/// Rows looked at to learn how long the lists of a column are.
const ROWS_FOR_LENGTH: usize = 1000;

pub struct ParquetTable<R: ChunkReader + 'static> {
    file: SerializedFileReader<R>,
    columns: Vec<ColumnInfo>,
    leaves: Vec<Leaf>,
    n_rows: u64,
    selected: Vec<usize>,
    group: usize,
    /// Of the row group `group`: one reader per selected column, and the rows they have left.
    readers: Vec<ColumnReader>,
    rows_left: usize,
    row: u64,
}

/// Where a column stands in the schema.
#[derive(Debug, Clone, Copy)]
struct Leaf {
    index: usize,
    max_def: i16,
    is_list: bool,
    /// Definition level from which on a list has an element here, if perhaps a null one.
    element_def: i16,
    /// Divides integers of a decimal type.
    scale: Option<i32>,
}

impl ParquetTable<File> {
    pub fn new(file: File) -> Result<Self, TableError> {
        Self::from_chunks(file)
    }
}

impl<R: ChunkReader + 'static> ParquetTable<R> {
    pub fn from_chunks(chunks: R) -> Result<Self, TableError> {
        let file = guarded(|| SerializedFileReader::new(chunks))?;
        let metadata = file.metadata();
        let schema = metadata.file_metadata().schema_descr();
        let (mut columns, mut leaves) = (Vec::new(), Vec::new());
        for (index, descriptor) in schema.columns().iter().enumerate() {
            if let Some((leaf, info)) = describe(index, descriptor) {
                leaves.push(leaf);
                columns.push(info);
            }
        }
        if columns.is_empty() || columns.len() > MAX_COLUMNS {
            return Err(malformed(format!("{} columns that can be read", columns.len())));
        }
        let vo_table = metadata.file_metadata().key_value_metadata().and_then(|pairs| {
            pairs.iter().find(|pair| pair.key == VO_PARQUET_KEY).and_then(|pair| pair.value.as_deref())
        });
        if let Some(document) = vo_table {
            for field in votable::fields_of(document)? {
                if let Some(column) = columns.iter_mut().find(|column| column.name == field.name) {
                    column.unit = field.unit;
                    column.ucd = field.ucd;
                    column.description = field.description;
                }
            }
        }
        let n_rows = u64::try_from(metadata.file_metadata().num_rows()).unwrap_or(0);
        let selected = (0..columns.len()).collect();
        let mut table = Self {
            file,
            columns,
            leaves,
            n_rows,
            selected,
            group: 0,
            readers: Vec::new(),
            rows_left: 0,
            row: 0,
        };
        table.find_lengths()?;
        Ok(table)
    }

    /// The length of a vector column is that of its first list with values.
    fn find_lengths(&mut self) -> Result<(), TableError> {
        if self.file.num_row_groups() == 0 {
            return Ok(());
        }
        for (leaf, info) in self.leaves.iter().zip(&mut self.columns).filter(|(leaf, _)| leaf.is_list) {
            let levels = guarded(|| {
                let mut reader = self.file.get_row_group(0)?.get_column_reader(leaf.index)?;
                Ok(read_records(&mut reader, ROWS_FOR_LENGTH)?.levels)
            })?;
            info.len = levels.lists(leaf).map(|elements| elements.len()).find(|&len| len > 0).unwrap_or(1);
            if info.len > MAX_COLUMNS {
                return Err(malformed(format!("column `{}` has {} values per row", info.name, info.len)));
            }
        }
        Ok(())
    }

    fn next_group(&mut self) -> Result<bool, TableError> {
        while self.rows_left == 0 {
            if self.group == self.file.num_row_groups() {
                return Ok(false);
            }
            let (readers, rows) = guarded(|| {
                let group = self.file.get_row_group(self.group)?;
                let readers = self.selected.iter().map(|&i| group.get_column_reader(self.leaves[i].index));
                Ok((readers.collect::<Result<Vec<_>, _>>()?, group.metadata().num_rows()))
            })?;
            self.readers = readers;
            self.rows_left = usize::try_from(rows).unwrap_or(0);
            self.group += 1;
        }
        Ok(true)
    }
}

impl<R: ChunkReader + 'static> Table for ParquetTable<R> {
    fn format(&self) -> &'static str {
        FORMAT
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
        if !self.next_group()? {
            return Ok(None);
        }
        let rows = rows_within_budget(&self.columns, &self.selected, max_rows).min(self.rows_left);
        let mut columns = Vec::with_capacity(self.selected.len());
        // Of each row, what is wrong with it first.
        let mut reasons: Vec<Option<String>> = vec![None; rows];
        for (reader, &i) in self.readers.iter_mut().zip(&self.selected) {
            let (leaf, info) = (&self.leaves[i], &self.columns[i]);
            let records = guarded(|| read_records(reader, rows))?;
            let mut column = Column::empty(info);
            for (row, elements) in records.levels.rows(leaf, rows).into_iter().enumerate() {
                let Some(elements) = elements else {
                    return Err(TableError::Truncated {
                        expected: self.n_rows,
                        found: self.row + row as u64,
                    });
                };
                if let Err(reason) = push_row(&records.values, &elements, leaf, info, &mut column) {
                    reasons[row].get_or_insert(format!("column {}: {reason}", info.name));
                }
            }
            columns.push(column);
        }
        self.rows_left -= rows;
        let first = self.row + 1;
        self.row += rows as u64;
        let mut block = Block { columns, ..Block::default() };
        let is_good: Vec<bool> = reasons.iter().map(Option::is_none).collect();
        for (row, reason) in (first..).zip(reasons) {
            match reason {
                None => block.row_numbers.push(row),
                Some(reason) => block.bad.push(BadRow { row, reason }),
            }
        }
        if !block.bad.is_empty() {
            block.columns.iter_mut().for_each(|column| column.keep_rows(&is_good));
        }
        Ok(Some(block))
    }
}

fn malformed(what: String) -> TableError {
    TableError::Malformed { format: FORMAT, what }
}

/// Runs the parquet crate, which panics on some corrupt files instead of saying so.
fn guarded<T>(work: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, TableError> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(malformed(error.to_string())),
        Err(_) => Err(malformed("the file is corrupt".to_owned())),
    }
}

/// What a leaf of the schema is to us; `None` for maps, deeper lists and other things no catalog has.
fn describe(index: usize, descriptor: &ColumnDescriptor) -> Option<(Leaf, ColumnInfo)> {
    let parts = descriptor.path().parts();
    let is_list = match descriptor.max_rep_level() {
        0 => false,
        1 if parts.len() <= 3 => true,
        _ => return None,
    };
    let name = if is_list { parts.first()?.clone() } else { parts.join(".") };
    let mut scale = None;
    let unsigned = matches!(descriptor.logical_type_ref(), Some(LogicalType::Integer(int)) if !int.is_signed);
    let kind = match descriptor.physical_type() {
        Physical::BOOLEAN => ColumnType::Bool,
        Physical::INT32 | Physical::INT64 => match descriptor.logical_type_ref() {
            Some(LogicalType::Decimal(decimal)) => {
                scale = Some(decimal.scale);
                ColumnType::Float64
            }
            _ if unsigned && descriptor.physical_type() == Physical::INT64 => ColumnType::UInt,
            _ => ColumnType::Int,
        },
        Physical::FLOAT => ColumnType::Float32,
        Physical::DOUBLE => ColumnType::Float64,
        Physical::BYTE_ARRAY => ColumnType::Text,
        Physical::FIXED_LEN_BYTE_ARRAY => match descriptor.logical_type_ref() {
            Some(LogicalType::Float16) => ColumnType::Float32,
            _ => return None,
        },
        Physical::INT96 => return None,
    };
    let max_def = descriptor.max_def_level();
    let element_def = max_def - i16::from(descriptor.self_type().is_optional());
    Some((Leaf { index, max_def, is_list, element_def, scale }, ColumnInfo::new(name, kind)))
}

/// The levels of some records; empty where the schema needs none.
#[derive(Default)]
struct Levels {
    definition: Vec<i16>,
    repetition: Vec<i16>,
    n_values: usize,
}

impl Levels {
    /// Of every list, for each element the index of its value, or `None` for a null.
    fn lists(&self, leaf: &Leaf) -> impl Iterator<Item = Vec<Option<usize>>> {
        let mut next_value = 0;
        let mut position = 0;
        std::iter::from_fn(move || {
            if position >= self.repetition.len() {
                return None;
            }
            let mut elements = Vec::new();
            loop {
                let definition = self.definition.get(position).copied().unwrap_or(0);
                if definition >= leaf.element_def {
                    let is_there = definition == leaf.max_def && next_value < self.n_values;
                    elements.push(is_there.then_some(next_value));
                    next_value += usize::from(is_there);
                }
                position += 1;
                if self.repetition.get(position).is_none_or(|&level| level == 0) {
                    return Some(elements);
                }
            }
        })
    }

    /// The elements of `n` rows; `None` for rows that are not there.
    fn rows(&self, leaf: &Leaf, n: usize) -> Vec<Option<Vec<Option<usize>>>> {
        if leaf.is_list {
            let mut lists = self.lists(leaf);
            return (0..n).map(|_| lists.next()).collect();
        }
        let mut next_value = 0;
        (0..n)
            .map(|row| {
                let is_null = leaf.max_def > 0 && *self.definition.get(row)? < leaf.max_def;
                if is_null {
                    return Some(vec![None]);
                }
                let value = (next_value < self.n_values).then_some(next_value)?;
                next_value += 1;
                Some(vec![Some(value)])
            })
            .collect()
    }
}

/// Values without the nulls.
enum Raw {
    Bool(Vec<bool>),
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    Float(Vec<f32>),
    Double(Vec<f64>),
    Bytes(Vec<ByteArray>),
    Fixed(Vec<FixedLenByteArray>),
}

struct Records {
    levels: Levels,
    values: Raw,
}

fn read_records(reader: &mut ColumnReader, n: usize) -> Result<Records, ParquetError> {
    fn read<T: DataType>(
        reader: &mut ColumnReaderImpl<T>,
        n: usize,
    ) -> Result<(Levels, Vec<T::T>), ParquetError> {
        let (mut levels, mut values) = (Levels::default(), Vec::new());
        reader.read_records(n, Some(&mut levels.definition), Some(&mut levels.repetition), &mut values)?;
        levels.n_values = values.len();
        Ok((levels, values))
    }
    let (levels, values) = match reader {
        ColumnReader::BoolColumnReader(reader) => read(reader, n).map(|(l, v)| (l, Raw::Bool(v))),
        ColumnReader::Int32ColumnReader(reader) => read(reader, n).map(|(l, v)| (l, Raw::Int32(v))),
        ColumnReader::Int64ColumnReader(reader) => read(reader, n).map(|(l, v)| (l, Raw::Int64(v))),
        ColumnReader::FloatColumnReader(reader) => read(reader, n).map(|(l, v)| (l, Raw::Float(v))),
        ColumnReader::DoubleColumnReader(reader) => read(reader, n).map(|(l, v)| (l, Raw::Double(v))),
        ColumnReader::ByteArrayColumnReader(reader) => read(reader, n).map(|(l, v)| (l, Raw::Bytes(v))),
        ColumnReader::FixedLenByteArrayColumnReader(reader) => {
            read(reader, n).map(|(l, v)| (l, Raw::Fixed(v)))
        }
        ColumnReader::Int96ColumnReader(_) => Err(ParquetError::NYI("INT96 timestamps".to_owned())),
    }?;
    Ok(Records { levels, values })
}

/// Adds a row's elements, always `info.len` of them; says what is wrong where it is.
fn push_row(
    raw: &Raw,
    elements: &[Option<usize>],
    leaf: &Leaf,
    info: &ColumnInfo,
    column: &mut Column,
) -> Result<(), String> {
    if elements.len() != info.len {
        (0..info.len).for_each(|_| column.push_null());
        return match elements.len() {
            0 => Ok(()),
            found => Err(format!("{found} values instead of {}", info.len)),
        };
    }
    let mut result = Ok(());
    for element in elements {
        let pushed = match element {
            None => Ok(false),
            Some(index) => push_value(raw, *index, leaf, column),
        };
        match pushed {
            Ok(true) => column.mark_valid(),
            Ok(false) => column.push_null(),
            Err(reason) => {
                column.push_null();
                result = Err(reason);
            }
        }
    }
    result
}

fn push_value(raw: &Raw, index: usize, leaf: &Leaf, column: &mut Column) -> Result<bool, String> {
    match (raw, &mut column.values) {
        (Raw::Bool(from), Values::Bool(to)) => to.push(from[index]),
        (Raw::Int32(from), Values::Int(to)) => to.push(i64::from(from[index])),
        (Raw::Int64(from), Values::Int(to)) => to.push(from[index]),
        (Raw::Int64(from), Values::UInt(to)) => to.push(from[index] as u64),
        (Raw::Int32(from), Values::Float(to)) => to.push(unscaled(f64::from(from[index]), leaf)),
        (Raw::Int64(from), Values::Float(to)) => to.push(unscaled(from[index] as f64, leaf)),
        (Raw::Float(from), Values::Float(to)) => to.push(f64::from(from[index])),
        (Raw::Double(from), Values::Float(to)) => to.push(from[index]),
        (Raw::Fixed(from), Values::Float(to)) => match from[index].data() {
            [low, high] => to.push(half_to_f64(u16::from_le_bytes([*low, *high]))),
            _ => return Ok(false),
        },
        (Raw::Bytes(from), Values::Text(to)) => match from[index].as_utf8() {
            Ok(text) => to.push(text),
            Err(_) => return Err("not UTF-8".to_owned()),
        },
        _ => return Ok(false),
    }
    Ok(true)
}

fn unscaled(value: f64, leaf: &Leaf) -> f64 {
    leaf.scale.map_or(value, |scale| value / 10_f64.powi(scale))
}

/// IEEE 754 half precision.
fn half_to_f64(bits: u16) -> f64 {
    let sign = if bits & 0x8000 == 0 { 1.0 } else { -1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 0x1f), f64::from(bits & 0x3ff));
    sign * match exponent {
        0 => fraction * 2_f64.powi(-24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1.0 + fraction / 1024.0) * 2_f64.powi(exponent - 15),
    }
}

#[cfg(test)]
mod tests;
