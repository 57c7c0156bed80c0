use std::path::PathBuf;

use super::*;
use crate::fits::{Card, Cells, ColumnDef, FitsWriter, Value};
use crate::tables::{ReadOptions, open};

/// A file with an empty table, then `rows` galaxies: id without sign, 5 fluxes, name, redshift with a null.
fn write(directory: &tempfile::TempDir, rows: usize) -> PathBuf {
    let path = directory.path().join("table.fits");
    let mut file = FitsWriter::create(&path, &[]).unwrap();
    let table = file.table("EMPTY", vec![ColumnDef::new("x", Kind::F64)], &[]).unwrap();
    table.finish().unwrap();
    let columns = vec![
        ColumnDef::new("id", Kind::I64),
        ColumnDef::new("FLUX", Kind::F32)
            .vector(5, &[])
            .unit("nanomaggy")
            .comment("model fluxes")
            .ucd("phot.flux"),
        ColumnDef::text("name", 8),
        ColumnDef::new("n", Kind::I32).null(-1),
        ColumnDef::new("ok", Kind::Logical),
    ];
    let mut table = file.table("GALAXIES", columns, &[]).unwrap();
    let ids: Vec<i64> = (0..rows as i64).collect();
    let flux: Vec<f32> = (0..5 * rows).map(|i| i as f32 + 0.5).collect();
    let names: Vec<String> = (0..rows).map(|i| format!("g'{i};--")).collect();
    let n: Vec<Option<i64>> = (0..rows as i64).map(|i| (i % 2 == 0).then_some(i)).collect();
    let ok: Vec<bool> = (0..rows).map(|i| i % 3 == 0).collect();
    let cells =
        [Cells::I64(&ids), Cells::F32(&flux), Cells::Text(&names), Cells::Nullable(&n), Cells::Bool(&ok)];
    table.write(rows, &cells).unwrap();
    table.finish().unwrap();
    file.finish().unwrap();
    path
}

#[test]
fn columns_carry_type_length_unit_and_the_first_table_with_rows_is_taken() {
    let directory = tempfile::tempdir().unwrap();
    let path = write(&directory, 10);
    let mut table = open(&path, &ReadOptions::default()).unwrap();
    assert_eq!((table.format(), table.n_rows()), ("FITS", Some(10)));
    let flux = &table.columns()[1];
    assert_eq!((flux.name.as_str(), flux.kind, flux.len), ("FLUX", ColumnType::Float32, 5));
    assert_eq!((flux.unit.as_deref(), flux.ucd.as_deref()), (Some("nanomaggy"), Some("phot.flux")));
    table.select(&[3, 1, 2, 4]);
    let mut seen = 0;
    while let Some(block) = table.next_block(4).unwrap() {
        for (row, &number) in block.row_numbers.iter().enumerate() {
            let i = number - 1;
            assert_eq!(block.columns[0].number(row), Ok((i % 2 == 0).then_some(i as f64)));
            assert_eq!(block.columns[1].number(5 * row + 4), Ok(Some(5.0 * i as f64 + 4.5)));
            assert_eq!(block.columns[2].text(row), Some(format!("g'{i};--")));
            assert_eq!(block.columns[3].number(row), Ok(Some(f64::from(u8::from(i % 3 == 0)))));
            seen += 1;
        }
    }
    assert_eq!(seen, 10);
}

#[test]
fn a_table_is_chosen_by_name_or_number() {
    let directory = tempfile::tempdir().unwrap();
    let path = write(&directory, 3);
    assert_eq!(FitsTable::open(&path, Some("empty")).unwrap().n_rows, 0);
    assert_eq!(FitsTable::open(&path, Some("2")).unwrap().n_rows, 3);
    let message = FitsTable::open(&path, Some("STARS")).err().unwrap().to_string();
    assert!(message.contains("2 `GALAXIES`"), "{message}");
}

#[test]
fn a_file_cut_short_gives_its_whole_rows_and_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let path = write(&directory, 1000);
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() - 20_000]).unwrap();
    let mut table = FitsTable::open(&path, None).unwrap();
    let mut rows = 0;
    let error = loop {
        match table.next_block(64) {
            Ok(Some(block)) => rows += block.n_rows() as u64,
            Ok(None) => panic!("the end came without a word"),
            Err(error) => break error,
        }
    };
    assert!((400..1000).contains(&rows), "{rows}");
    assert!(matches!(error, TableError::Truncated { expected: 1000, found } if found == rows), "{error}");
}

#[test]
fn text_that_is_not_utf8_costs_its_row() {
    let directory = tempfile::tempdir().unwrap();
    let path = write(&directory, 5);
    let mut bytes = std::fs::read(&path).unwrap();
    let at = bytes.windows(4).position(|window| window == b"g'2;").unwrap();
    bytes[at] = 0xe9;
    std::fs::write(&path, bytes).unwrap();
    let block = FitsTable::open(&path, None).unwrap().next_block(10).unwrap().unwrap();
    assert_eq!(block.row_numbers, [1, 2, 4, 5]);
    assert_eq!(block.bad, [BadRow { row: 3, reason: "column name: not UTF-8".to_owned() }]);
    assert_eq!(block.columns[2].text(2).as_deref(), Some("g'3;--"));
}

#[test]
fn integers_without_sign_keep_all_their_bits() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("unsigned.fits");
    let mut file = FitsWriter::create(&path, &[]).unwrap();
    let shift = Card::new("TZERO1", Value::Real(2_f64.powi(63)), "");
    let mut table = file.table("T", vec![ColumnDef::new("id", Kind::I64)], &[shift]).unwrap();
    table.write(3, &[Cells::I64(&[i64::MIN, 0, i64::MAX])]).unwrap();
    table.finish().unwrap();
    file.finish().unwrap();
    let block = FitsTable::open(&path, None).unwrap().next_block(10).unwrap().unwrap();
    let ids: Vec<_> = (0..3).map(|row| block.columns[0].text(row).unwrap()).collect();
    assert_eq!(ids, ["0", "9223372036854775808", "18446744073709551615"]);
}

#[test]
fn what_is_no_table_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.fits");
    FitsWriter::create(&path, &[]).unwrap().finish().unwrap();
    assert!(matches!(FitsTable::open(&path, None), Err(TableError::NoTable { .. })));
    std::fs::write(&path, b"\x1f\x8b not gzip at all").unwrap();
    assert!(open(&path, &ReadOptions::default()).is_err());
}
