use std::sync::Arc;

use bytes::Bytes;
use parquet::data_type::{ByteArrayType, DoubleType, FloatType, Int64Type};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

use super::*;

const SCHEMA: &str = "message galaxies {
    required int64 id (INTEGER(64, false));
    optional binary name (STRING);
    optional double z;
    optional group flux (LIST) { repeated group list { optional float element; } }
}";

/// Four rows; the third has a vector of another length, the fourth a null vector.
fn file() -> Bytes {
    let vo_table =
        "<VOTABLE><TABLE><FIELD name='flux' datatype='float' arraysize='2' unit='nJy'/></TABLE></VOTABLE>";
    let pair = KeyValue::new(VO_PARQUET_KEY.to_owned(), vo_table.to_owned());
    let properties = WriterProperties::builder().set_key_value_metadata(Some(vec![pair])).build();
    let schema = Arc::new(parse_message_type(SCHEMA).unwrap());
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties)).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<Int64Type>().write_batch(&[1, -1, 3, 4], None, None).unwrap();
    column.close().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    let names = ["a'; DROP", "c", "d"].map(ByteArray::from);
    column.typed::<ByteArrayType>().write_batch(&names, Some(&[1, 0, 1, 1]), None).unwrap();
    column.close().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<DoubleType>().write_batch(&[0.1, 0.2, 0.3], Some(&[1, 1, 1, 0]), None).unwrap();
    column.close().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    column
        .typed::<FloatType>()
        .write_batch(&[1.5, 2.5, 3.5, 4.5], Some(&[3, 3, 2, 3, 3, 0]), Some(&[0, 1, 0, 1, 0, 0]))
        .unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.into_inner().unwrap().into()
}

#[test]
fn scalars_vectors_nulls_and_units_are_read() {
    for rows in [1, 100] {
        let mut table = ParquetTable::from_chunks(file()).unwrap();
        assert_eq!(table.n_rows(), Some(4));
        assert_eq!(table.columns()[3].unit.as_deref(), Some("nJy"));
        assert_eq!(table.columns()[3].len, 2);
        let (mut ids, mut fluxes, mut names, mut bad) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        while let Some(block) = table.next_block(rows).unwrap() {
            for row in 0..block.n_rows() {
                ids.push(block.columns[0].text(row).unwrap());
                names.push(block.columns[1].text(row));
                fluxes.push([0, 1].map(|k| block.columns[3].number(2 * row + k).unwrap()));
            }
            bad.extend(block.bad);
        }
        assert_eq!(ids, ["1", "18446744073709551615", "4"]);
        assert_eq!(names, [Some("a'; DROP".to_owned()), None, Some("d".to_owned())]);
        assert_eq!(fluxes, [[Some(1.5), Some(2.5)], [None, Some(3.5)], [None, None]]);
        assert_eq!(bad, [BadRow { row: 3, reason: "column flux: 1 values instead of 2".to_owned() }]);
    }
}

#[test]
fn a_selection_is_in_the_order_asked_for() {
    let mut table = ParquetTable::from_chunks(file()).unwrap();
    table.select(&[2, 0]);
    let block = table.next_block(100).unwrap().unwrap();
    assert_eq!(block.n_rows(), 4);
    assert_eq!((block.columns[0].number(0), block.columns[1].number(0)), (Ok(Some(0.1)), Ok(Some(1.0))));
}

#[test]
fn corrupt_files_are_errors() {
    let whole = file();
    for cut in [0, 4, 12, whole.len() / 2, whole.len() - 1] {
        assert!(ParquetTable::from_chunks(whole.slice(..cut)).is_err(), "{cut} bytes");
    }
    // Every single flipped byte: rows, an error, never a crash.
    for position in 4..whole.len() - 8 {
        let mut bytes = whole.to_vec();
        bytes[position] ^= 0xff;
        if let Ok(mut table) = ParquetTable::from_chunks(Bytes::from(bytes)) {
            while let Ok(Some(_)) = table.next_block(2) {}
        }
    }
}

#[test]
fn half_precision_is_exact() {
    for (bits, value) in [(0x3c00, 1.0), (0xc000, -2.0), (0x0001, 2_f64.powi(-24)), (0x7c00, f64::INFINITY)] {
        assert_eq!(half_to_f64(bits), value);
    }
    assert!(half_to_f64(0x7e00).is_nan());
}
