//! Parquet files. The parquet crate panics on some of them, which the reader turns into errors; libFuzzer takes
//! any panic for a crash, so this target runs in `tests/fuzz.rs` alone.

use std::sync::Arc;

use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, FloatType};
use sedflow::tables::{ReadOptions, open};

use super::{Boxed, drain, through_a_file};

pub fn run(bytes: &[u8]) {
    through_a_file(bytes, |path| {
        if let Ok(table) = open(path, &ReadOptions::default()) {
            drain(Boxed(table));
        }
    });
}

pub fn seeds() -> Vec<Vec<u8>> {
    let schema = "message t { required double z; optional binary id (STRING);
        optional group f (LIST) { repeated group list { optional float element; } } }";
    let schema = Arc::new(parquet::schema::parser::parse_message_type(schema).unwrap());
    let mut writer =
        parquet::file::writer::SerializedFileWriter::new(Vec::new(), schema, Arc::default()).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<DoubleType>().write_batch(&[0.1, 0.2, 0.3], None, None).unwrap();
    column.close().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    let ids = ["a", "b"].map(ByteArray::from);
    column.typed::<ByteArrayType>().write_batch(&ids, Some(&[1, 0, 1]), None).unwrap();
    column.close().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    column
        .typed::<FloatType>()
        .write_batch(&[1.0, 2.0, 3.0], Some(&[3, 3, 0, 3, 2]), Some(&[0, 1, 0, 0, 1]))
        .unwrap();
    column.close().unwrap();
    group.close().unwrap();
    vec![writer.into_inner().unwrap()]
}
