//! Parquet with VOParquet 1.0 metadata: a VOTable without rows in the footer gives units, UCDs, descriptions.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use parquet::basic::{Compression, Encoding, LogicalType, Repetition, Type as Physical, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, FloatType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::{KeyValue, ParquetMetaData};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::types::{ColumnPath, Type, TypePtr};

use super::fields::{Field, Kind, Meta};
use super::names::{Alphabet, fit};
use super::target::{Target, at};
use super::{Batch, ExchangeError, Job, Rows, Values, votable};

/// Maps names to what the VOTable inside can hold. Returns the names changed.
pub fn adapt(fields: &mut [Field]) -> Vec<(String, String)> {
    fit(fields, Alphabet::Xml)
}

/// Writes one table, one row group per batch.
pub fn write(job: Job<'_>, rows: Rows<'_>) -> Result<(), ExchangeError> {
    let (target, mut out) = Target::create(job.path, job.overwrite)?;
    let named = |error| with_path(job.path, error);
    let mut writer = Writer::new(&mut out, job.fields, job.meta).map_err(named)?;
    rows(&mut |batch| writer.write(batch).map_err(named))?;
    writer.finish().map_err(named)?;
    target.commit(out)
}

/// The error with the file's name, where it is the system's.
pub fn with_path(path: &Path, error: ExchangeError) -> ExchangeError {
    match error {
        ExchangeError::Parquet(ParquetError::External(inner)) => match inner.downcast::<io::Error>() {
            Ok(source) => at(path)(*source),
            Err(inner) => ParquetError::External(inner).into(),
        },
        other => other,
    }
}

/// A Parquet file being written to anything.
pub struct Writer<'f, W: Write + Send> {
    file: SerializedFileWriter<W>,
    fields: &'f [Field],
}

impl<'f, W: Write + Send> Writer<'f, W> {
    pub fn new(out: W, fields: &'f [Field], meta: &Meta) -> Result<Self, ExchangeError> {
        let file = SerializedFileWriter::new(out, schema(fields)?, Arc::new(properties(fields, meta)?))?;
        Ok(Self { file, fields })
    }

    pub fn write(&mut self, batch: &Batch) -> Result<(), ExchangeError> {
        let mut group = self.file.next_row_group()?;
        for (field, values) in self.fields.iter().zip(&batch.columns) {
            let Some(mut column) = group.next_column()? else { break };
            write_column(&mut column, field, values)?;
            column.close()?;
        }
        group.close()?;
        Ok(())
    }

    /// Writes the file's footer; returns what it says.
    pub fn finish(self) -> Result<ParquetMetaData, ExchangeError> {
        Ok(self.file.close()?)
    }
}

/// The schema: every column but those never missing is optional, lists are of three levels.
pub fn schema(fields: &[Field]) -> Result<TypePtr, ExchangeError> {
    let mut columns = Vec::with_capacity(fields.len());
    for field in fields {
        let repetition = if field.nullable { Repetition::OPTIONAL } else { Repetition::REQUIRED };
        let scalar =
            |physical| Type::primitive_type_builder(&field.name, physical).with_repetition(repetition);
        let column = match field.kind {
            Kind::Int => scalar(Physical::INT64).build()?,
            Kind::Float => scalar(Physical::DOUBLE).build()?,
            Kind::Text { .. } => {
                scalar(Physical::BYTE_ARRAY).with_logical_type(Some(LogicalType::String)).build()?
            }
            Kind::List { .. } => {
                let element = Type::primitive_type_builder("element", Physical::FLOAT)
                    .with_repetition(Repetition::REQUIRED)
                    .build()?;
                let list = Type::group_type_builder("list")
                    .with_repetition(Repetition::REPEATED)
                    .with_fields(vec![Arc::new(element)])
                    .build()?;
                Type::group_type_builder(&field.name)
                    .with_repetition(Repetition::OPTIONAL)
                    .with_logical_type(Some(LogicalType::List))
                    .with_fields(vec![Arc::new(list)])
                    .build()?
            }
        };
        columns.push(Arc::new(column));
    }
    Ok(Arc::new(Type::group_type_builder("schema").with_fields(columns).build()?))
}

fn properties(fields: &[Field], meta: &Meta) -> Result<WriterProperties, ExchangeError> {
    let mut pairs = vec![
        KeyValue::new("IVOA.VOTable-Parquet.version".to_owned(), "1.0".to_owned()),
        KeyValue::new("IVOA.VOTable-Parquet.content".to_owned(), votable::description(fields, meta)),
    ];
    // astropy asks for the lengths of texts by its own keys, and warns without them.
    let lengths = fields.iter().filter_map(|field| match field.kind {
        Kind::Text { bytes, .. } => Some((format!("table::len::{}", field.name), bytes.max(1).to_string())),
        _ => None,
    });
    pairs.extend(lengths.map(|(key, length)| KeyValue::new(key, length)));
    pairs.extend(meta.pairs.iter().map(|(key, value, _)| KeyValue::new((*key).to_owned(), value.clone())));
    let mut builder = WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_created_by(format!("sedflow {}", crate::store::PROGRAM_VERSION))
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .set_dictionary_enabled(false)
        .set_key_value_metadata(Some(pairs));
    for field in fields {
        let path = |parts: &[&str]| ColumnPath::new(parts.iter().map(|part| (*part).to_owned()).collect());
        builder = match field.kind {
            Kind::Text { .. } | Kind::Int => {
                builder.set_column_dictionary_enabled(path(&[&field.name]), true)
            }
            // Bytes by significance: those of one exponent lie together.
            Kind::Float => builder.set_column_encoding(path(&[&field.name]), Encoding::BYTE_STREAM_SPLIT),
            Kind::List { .. } => {
                let list = path(&[&field.name, "list", "element"]);
                builder
                    .set_column_encoding(list.clone(), Encoding::BYTE_STREAM_SPLIT)
                    .set_column_statistics_enabled(list, EnabledStatistics::None)
            }
        };
    }
    Ok(builder.build())
}

fn write_column(
    column: &mut SerializedColumnWriter<'_>,
    field: &Field,
    values: &Values,
) -> Result<(), ExchangeError> {
    let missing = || ExchangeError::CannotHold {
        format: "Parquet",
        what: format!("a missing value in column {}", field.name),
    };
    /// Those that are there, and levels where some are not.
    fn there<T>(values: impl Iterator<Item = Option<T>>, nullable: bool) -> Option<(Vec<T>, Vec<i16>)> {
        let (mut kept, mut levels) = (Vec::new(), Vec::new());
        for value in values {
            if nullable {
                levels.push(i16::from(value.is_some()));
            }
            match value {
                Some(value) => kept.push(value),
                None if nullable => {}
                None => return None,
            }
        }
        Some((kept, levels))
    }
    let nullable = field.nullable;
    let some = |levels: &'_ [i16]| if nullable { Some(levels.to_vec()) } else { None };
    match values {
        Values::Int(values) => {
            let (kept, levels) = there(values.iter().copied(), nullable).ok_or_else(missing)?;
            column.typed::<Int64Type>().write_batch(&kept, some(&levels).as_deref(), None)?;
        }
        Values::Float(values) => {
            let values = values.iter().map(|&value| Some(value).filter(|value| !value.is_nan()));
            let (kept, levels) = there(values, nullable).ok_or_else(missing)?;
            column.typed::<DoubleType>().write_batch(&kept, some(&levels).as_deref(), None)?;
        }
        Values::Text(values) => {
            let values = values
                .iter()
                .map(|text| text.as_deref().map(|text| ByteArray::from(text.as_bytes().to_vec())));
            let (kept, levels) = there(values, nullable).ok_or_else(missing)?;
            column.typed::<ByteArrayType>().write_batch(&kept, some(&levels).as_deref(), None)?;
        }
        Values::Lists { lengths, values } => {
            let (mut definition, mut repetition) = (Vec::new(), Vec::new());
            for length in lengths {
                match *length {
                    None => {
                        definition.push(0);
                        repetition.push(0);
                    }
                    Some(0) => {
                        definition.push(1);
                        repetition.push(0);
                    }
                    Some(n) => {
                        definition.resize(definition.len() + n, 2);
                        repetition.push(0);
                        repetition.resize(repetition.len() + n - 1, 1);
                    }
                }
            }
            column.typed::<FloatType>().write_batch(values, Some(&definition), Some(&repetition))?;
        }
    }
    Ok(())
}
