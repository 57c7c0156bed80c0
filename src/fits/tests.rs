use std::io::{Read, Write};
use std::path::PathBuf;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

fn fixture(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests/data/fits", name].iter().collect()
}

fn whole(file: &mut FitsFile, hdu: usize) -> RowBlock {
    file.read_rows(hdu, 0, 1000).unwrap()
}

fn column(block: &RowBlock, name: &str) -> usize {
    block.table().column(name).unwrap()
}

/// The bytes of a fixture, changed, as a file of its own.
fn changed(name: &str, change: impl Fn(&mut Vec<u8>)) -> (TempDir, PathBuf) {
    let mut bytes = std::fs::read(fixture(name)).unwrap();
    change(&mut bytes);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("changed.fits");
    std::fs::write(&path, bytes).unwrap();
    (folder, path)
}

/// Replaces one card's text; the replacement is padded to the card.
fn card_replaced(name: &str, from: &str, to: &str) -> (TempDir, PathBuf) {
    changed(name, |bytes| {
        let at = bytes.windows(from.len()).position(|w| w == from.as_bytes()).unwrap();
        let start = at - at % CARD;
        bytes[start..start + CARD].copy_from_slice(format!("{to:80}").as_bytes());
    })
}

fn open_error(path: &std::path::Path) -> String {
    FitsFile::open(path).unwrap_err().to_string()
}

#[test]
fn every_column_type_astropy_writes_is_read() {
    for name in ["types.fits", "types.fits.gz"] {
        let mut file = FitsFile::open(&fixture(name)).unwrap();
        assert_eq!(file.hdus().len(), 2);
        assert_eq!(file.find("types").unwrap(), 1);
        let block = whole(&mut file, 1);
        assert_eq!(block.rows(), 3);
        let f64s = |name: &str| block.f64s(column(&block, name)).unwrap();
        let i64s = |name: &str| block.i64s(column(&block, name)).unwrap();
        assert_eq!(block.bools(column(&block, "flag")).unwrap(), [Some(true), Some(false), Some(true)]);
        let bits = block.bits(column(&block, "bits")).unwrap();
        assert_eq!(
            bits[..12],
            [true, false, true, false, true, false, true, false, true, false, true, false]
        );
        assert_eq!(bits[22..], [true; 11]);
        assert_eq!(i64s("byte"), [Some(0), Some(128), Some(255)]);
        assert_eq!(i64s("short"), [Some(-32768), None, Some(32767)]);
        assert!(f64s("short")[1].is_nan());
        assert_eq!(i64s("int"), [Some(-(1 << 31)), Some(0), Some((1 << 31) - 1)]);
        assert_eq!(i64s("long"), [Some(i64::MIN), Some(7), Some(i64::MAX)]);
        assert_eq!(f64s("float")[0], 1.5);
        assert!(f64s("float")[1].is_nan());
        assert_eq!(f64s("float")[2], f64::NEG_INFINITY);
        assert_eq!(f64s("double"), [std::f64::consts::PI, 0.0, 1e300]);
        assert_eq!(block.texts(column(&block, "text")).unwrap(), ["abc", "", "it's 6"]);
        assert_eq!(f64s("complex"), [1.0, 2.0, 3.0, -4.0, 0.0, 0.0]);
        assert_eq!(f64s("dcomplex"), [1.0, 2.0, 3.0, -4.0, 0.0, 0.0]);
        assert_eq!(f64s("vector"), (0..15).map(f64::from).collect::<Vec<_>>());
        assert_eq!(f64s("matrix"), (0..18).map(f64::from).collect::<Vec<_>>());
        assert_eq!(i64s("ubyte_signed"), [Some(-128), Some(0), Some(127)]);
        assert_eq!(i64s("ushort"), [Some(0), Some(40000), Some(65535)]);
        assert_eq!(i64s("uint"), [Some(0), Some(3_000_000_000), Some((1 << 32) - 1)]);
        assert_eq!(i64s("ulong"), [Some(0), Some(1 << 62), Some(i64::MAX)]);
        assert_eq!(f64s("scaled"), [10.0, 10.5, 20.0]);
        assert!(f64s("empty").is_empty());
        let info = |name: &str| &block.table().columns[column(&block, name)];
        assert_eq!((info("int").unit.as_str(), info("int").ucd.as_str()), ("deg", "pos.eq.ra"));
        assert_eq!(info("int").comment, "right ascension");
        assert_eq!((info("matrix").repeat, info("matrix").dim.as_slice()), (6, [3, 2].as_slice()));
        assert_eq!(info("scaled").number_type(), NumberType::Real);
        assert_eq!(info("uint").number_type(), NumberType::Integer);
        let long = file.hdus()[1].header.text("LONGTEXT").unwrap().unwrap();
        assert!(long.starts_with("a text that is") && long.ends_with("holds, with a 'quote' in it"));
    }
}

#[test]
fn rows_can_be_read_in_any_order_and_blocks_end_with_the_table() {
    for name in ["types.fits", "types.fits.gz"] {
        let mut file = FitsFile::open(&fixture(name)).unwrap();
        for (first, rows, expected) in [(2, 1, 1), (0, 2, 2), (1, 9, 2), (3, 1, 0), (u64::MAX, 1, 0)] {
            let block = file.read_rows(1, first, rows).unwrap();
            assert_eq!((block.first(), block.rows()), (first, expected));
            let values = block.i64s(column(&block, "byte")).unwrap();
            assert_eq!(values.first().copied(), [Some(0), Some(128), Some(255)].get(first as usize).copied());
        }
    }
}

#[test]
fn arrays_of_varying_length_come_from_the_heap() {
    let mut file = FitsFile::open(&fixture("heap.fits")).unwrap();
    let block = whole(&mut file, 1);
    let (ragged, wide, words) = (column(&block, "ragged"), column(&block, "wide"), column(&block, "words"));
    let arrays: Vec<Vec<f64>> = (0..3).map(|row| file.read_array(&block, row, ragged).unwrap()).collect();
    assert_eq!(arrays, [vec![1.5, 2.5], vec![], vec![3.5, 4.5, 5.5]]);
    let arrays: Vec<Vec<f64>> = (0..3).map(|row| file.read_array(&block, row, wide).unwrap()).collect();
    assert_eq!(arrays, [vec![1.0, 2.0, 3.0], vec![-4.0], vec![]]);
    let texts: Vec<String> = (0..3).map(|row| file.read_text(&block, row, words).unwrap()).collect();
    assert_eq!(texts, ["one", "", "three"]);
    let error = block.f64s(ragged).unwrap_err().to_string();
    assert_eq!(error, "column `ragged` holds arrays of varying length, not numbers");
}

#[test]
fn images_of_every_type_are_read() {
    let mut file = FitsFile::open(&fixture("images.fits")).unwrap();
    let (shape, values) = file.read_image(0).unwrap();
    assert_eq!((shape.bitpix, shape.axes.as_slice()), (8, [3, 2].as_slice()));
    assert_eq!(values, [0.0, 1.0, 255.0, 7.0, 8.0, 9.0]);
    for (hdu, name) in [(1, "I2"), (2, "I4"), (3, "I8"), (4, "F4"), (5, "F8")] {
        assert_eq!(file.find(name).unwrap(), hdu);
        assert_eq!(file.read_image(hdu).unwrap().1, [-1.0, 0.0, 1.0, 100.0, -100.0, 42.0], "{name}");
    }
    assert_eq!(file.read_image(6).unwrap().1, [0.0, 40000.0, 65535.0]);
    let blank = file.read_image(7).unwrap().1;
    assert!(blank[1].is_nan() && blank[0] == 1.0 && blank[2] == 3.0);
    assert_eq!(
        file.read_image(9).unwrap_err().to_string(),
        "there is no HDU 9: the file has 8, counted from 0"
    );
    assert_eq!(file.table(1).unwrap_err().to_string(), "HDU 1 is not a binary table: it is an image");
}

#[test]
fn a_file_cut_short_gives_its_whole_rows_and_then_says_where_it_ends() {
    let full = std::fs::metadata(fixture("types.fits")).unwrap().len();
    assert_eq!(full, 11520);
    // Primary 2880, header 2 x 2880, three rows of 145 bytes.
    let (_folder, path) = changed("types.fits", |bytes| bytes.truncate(8640 + 2 * 145 + 7));
    let mut file = FitsFile::open(&path).unwrap();
    assert_eq!(file.whole_rows(1).unwrap(), 2);
    assert_eq!(file.read_rows(1, 0, 2).unwrap().rows(), 2);
    let expected = "HDU 1 needs 435 bytes up to byte 9075, but the file ends at byte 8937: it is cut short";
    assert_eq!(file.read_rows(1, 2, 1).unwrap_err().to_string(), expected);
    assert_eq!(file.read_rows(1, 0, 3).unwrap_err().to_string(), expected);
    let (_folder, path) = changed("types.fits", |bytes| bytes.truncate(4000));
    assert_eq!(open_error(&path), "HDU 1: the header has no END: the file is cut short after 14 cards");
    let (_folder, path) = changed("images.fits", |bytes| bytes.truncate(2880 + 3));
    let error = FitsFile::open(&path).unwrap().read_image(0).unwrap_err().to_string();
    assert_eq!(error, "HDU 0 needs 6 bytes up to byte 2886, but the file ends at byte 2883: it is cut short");
}

#[test]
fn a_file_cut_anywhere_is_never_a_panic() {
    for name in ["types.fits", "heap.fits"] {
        let bytes = std::fs::read(fixture(name)).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cut.fits");
        for length in (0..bytes.len()).step_by(97) {
            std::fs::write(&path, &bytes[..length]).unwrap();
            if let Ok(mut file) = FitsFile::open(&path) {
                read_all(&mut file);
            }
        }
    }
}

fn read_all(file: &mut FitsFile) {
    for hdu in 0..file.hdus().len() {
        let _ = file.read_image(hdu);
        let Ok(block) = file.read_rows(hdu, 0, 10) else { continue };
        for column in 0..block.table().columns.len() {
            let _ = (block.f64s(column), block.i64s(column), block.texts(column), block.bools(column));
            let _ = block.bits(column);
            for row in 0..block.rows() {
                let _ = (file.read_array(&block, row, column), file.read_text(&block, row, column));
            }
        }
    }
}

#[test]
fn headers_that_cannot_be_are_named() {
    let cases = [
        (
            "TFORM5  = 'J",
            "TFORM5  = '1Z'",
            "HDU 1, column 5: TFORM5 `1Z` is no table format such as 1D, 5E or 20A",
        ),
        ("TFORM5  = 'J", "TFORM5  = '2J'", "HDU 1: the columns take 149 bytes a row, NAXIS1 says 145"),
        (
            "TFORM5  = 'J",
            "TFORM5  = '99999999999999999999J'",
            "HDU 1, column 5: TFORM5 `99999999999999999999J` is no table format such as 1D, 5E or 20A",
        ),
        ("TFORM5  = 'J", "COMMENT gone", "HDU 1: keyword TFORM5 is missing"),
        (
            "NAXIS   =                    2",
            "NAXIS   = 12345",
            "HDU 1: NAXIS is 12345, expected a count within bounds",
        ),
        (
            "NAXIS   =                    2",
            "NAXIS   = -1",
            "HDU 1: NAXIS is -1, expected a count within bounds",
        ),
        (
            "NAXIS1  =",
            "NAXIS1  = 9223372036854775807",
            "HDU 1: its sizes multiply to more bytes than any file has",
        ),
        (
            "NAXIS1  =",
            "NAXIS1  = 99999999",
            "HDU 1: a row of 99999999 bytes, more than the 16777216 this program reads",
        ),
        ("TFIELDS =", "TFIELDS = 1000", "HDU 1: TFIELDS is 1000, expected a count within bounds"),
        ("TDIM13  =", "TDIM13  = '(3,3)'", "HDU 1, column 13: TDIM13 `(3,3)` does not fit 6 values"),
        (
            "BITPIX  =                    8 / array data",
            "BITPIX  = 7",
            "HDU 0: BITPIX is 7, expected 8, 16, 32, 64, -32 or -64",
        ),
        ("PCOUNT  =", "PCOUNT  = 'x'", "HDU 1: PCOUNT is 'x', expected an integer"),
        (
            "XTENSION=",
            "XTENSIUM= 1",
            "HDU 1: expected an extension (`XTENSION=`) at byte 2880, found `XTENSIUM= `",
        ),
        ("SIMPLE  =", "PSIMPLE = T", "not a FITS file: it opens with `PSIMPLE = `, expected `SIMPLE  =`"),
    ];
    for (from, to, expected) in cases {
        let (_folder, path) = card_replaced("types.fits", from, to);
        assert_eq!(open_error(&path), expected, "{to}");
    }
}

#[test]
fn a_table_of_absurd_length_is_cut_short_and_takes_no_memory() {
    let (_folder, path) = card_replaced("types.fits", "NAXIS2  =", "NAXIS2  = 50000000000000");
    let mut file = FitsFile::open(&path).unwrap();
    assert_eq!(file.whole_rows(1).unwrap(), 2880 / 145);
    assert_eq!(file.read_rows(1, 0, 5).unwrap().rows(), 5);
    assert!(
        file.read_rows(1, 1 << 40, 5)
            .unwrap_err()
            .to_string()
            .ends_with("ends at byte 11520: it is cut short")
    );
    let error = file.read_rows(1, 0, usize::MAX).unwrap_err().to_string();
    assert_eq!(
        error,
        "HDU 1: a block of rows of 7250000000000000 bytes, more than the 16777216 this program reads"
    );
}

#[test]
fn a_sparse_file_of_ten_gigabytes_is_read_a_block_at_a_time() {
    let (_folder, path) = card_replaced("types.fits", "NAXIS2  =", "NAXIS2  = 70000000");
    std::fs::File::options().write(true).open(&path).unwrap().set_len(10_500_000_000).unwrap();
    let mut file = FitsFile::open(&path).unwrap();
    assert_eq!(file.whole_rows(1).unwrap(), 70_000_000);
    let last = file.read_rows(1, 69_999_999, 10).unwrap();
    assert_eq!(last.i64s(column(&last, "byte")).unwrap(), [Some(0)]);
}

#[test]
fn heap_descriptors_that_point_outside_are_named() {
    let (_folder, path) = changed("heap.fits", |bytes| {
        // Row 1, after the 4 bytes of `id`: number and offset of `ragged`.
        let data = bytes.windows(8).position(|w| w == [0, 0, 0, 1, 0, 0, 0, 2]).unwrap();
        bytes[data + 4..data + 8].copy_from_slice(&i32::MAX.to_be_bytes());
    });
    let mut file = FitsFile::open(&path).unwrap();
    let block = whole(&mut file, 1);
    let error = file.read_array(&block, 0, column(&block, "ragged")).unwrap_err().to_string();
    assert_eq!(error, "row 1, column `ragged`: 2147483647 values at byte 0 of a heap of 44 bytes");
}

#[test]
fn an_unsigned_value_beyond_64_signed_bits_is_named() {
    let (_folder, path) = changed("types.fits", |bytes| {
        // Row 1 starts at 8640, `ulong` 135 bytes into it; zero is stored as the least signed number.
        bytes[8640 + 135] = 0;
    });
    let mut file = FitsFile::open(&path).unwrap();
    let block = whole(&mut file, 1);
    let error = block.i64s(column(&block, "ulong")).unwrap_err().to_string();
    assert_eq!(error, "row 1, column `ulong`: 9223372036854775808 does not fit 64 signed bits");
    assert_eq!(block.f64s(column(&block, "ulong")).unwrap()[0], 2f64.powi(63));
}

fn sample_columns() -> Vec<ColumnDef> {
    vec![
        ColumnDef::new("ra", Kind::F64)
            .unit("deg")
            .ucd("pos.eq.ra;meta.main")
            .comment("right ascension, J2000"),
        ColumnDef::new("flux", Kind::F32).vector(4, &[2, 2]).unit("nJy"),
        ColumnDef::new("id", Kind::I64),
        ColumnDef::new("class", Kind::I16).null(-1),
        ColumnDef::new("good", Kind::Logical),
        ColumnDef::text("name", 8),
    ]
}

fn write_sample(path: &std::path::Path, blocks: &[usize]) -> Result<u64, FitsError> {
    let note = Card::new("NOTE", Value::Text("it's a long note, ".repeat(9)), "");
    let mut writer = FitsWriter::create(path, &[note])?;
    writer.image("GRID", &[3, 2], &[1.0, -2.0, 3.5, 0.0, f64::NAN, 6.0], &[])?;
    let mut table = writer.table("SAMPLE", sample_columns(), &[Card::new("SEED", Value::Integer(7), "")])?;
    let mut done = 0;
    for &rows in blocks {
        let count = |i: usize| (done + i) as f64;
        let ra: Vec<f64> = (0..rows).map(|i| count(i) / 3.0).collect();
        let flux: Vec<f32> = (0..4 * rows).map(|i| (done * 4 + i) as f32).collect();
        let id: Vec<i64> = (0..rows).map(|i| i64::MAX - (done + i) as i64).collect();
        let class: Vec<Option<i64>> =
            (0..rows).map(|i| ((done + i) % 3 != 0).then_some((done + i) as i64)).collect();
        let good: Vec<bool> = (0..rows).map(|i| (done + i) % 2 == 0).collect();
        let name: Vec<String> = (0..rows).map(|i| format!("g{}", done + i)).collect();
        table.write(
            rows,
            &[
                Cells::F64(&ra),
                Cells::F32(&flux),
                Cells::I64(&id),
                Cells::Nullable(&class),
                Cells::Bool(&good),
                Cells::Text(&name),
            ],
        )?;
        done += rows;
    }
    let rows = table.finish()?;
    writer.finish()?;
    Ok(rows)
}

/// Sum of a whole HDU as big-endian 32-bit words with end-around carry: all ones where CHECKSUM is right.
fn hdu_sum(bytes: &[u8]) -> u32 {
    let total: u64 = bytes.chunks(4).map(|w| u64::from(u32::from_be_bytes(w.try_into().unwrap()))).sum();
    let folded = (total & 0xffff_ffff) + (total >> 32);
    ((folded & 0xffff_ffff) + (folded >> 32)) as u32
}

#[test]
fn what_is_written_is_read_back_with_its_checksums_however_it_was_cut_into_blocks() {
    let folder = tempfile::tempdir().unwrap();
    let (one, many) = (folder.path().join("one.fits"), folder.path().join("many.fits"));
    assert_eq!(write_sample(&one, &[101]).unwrap(), 101);
    assert_eq!(write_sample(&many, &[1, 0, 60, 37, 3]).unwrap(), 101);
    let bytes = std::fs::read(&one).unwrap();
    assert_eq!(bytes, std::fs::read(&many).unwrap());
    assert_eq!(bytes.len() % 2880, 0);
    let mut file = FitsFile::open(&one).unwrap();
    let starts: Vec<usize> = file.hdus().iter().map(|hdu| hdu.data_at as usize).collect();
    let ends: Vec<usize> = file
        .hdus()
        .iter()
        .map(|hdu| (hdu.data_at + hdu.data_bytes).next_multiple_of(BLOCK) as usize)
        .collect();
    for (hdu, (from, to)) in [0].into_iter().chain(ends.iter().copied()).zip(ends.iter().copied()).enumerate()
    {
        assert_eq!(hdu_sum(&bytes[from..to]), u32::MAX, "CHECKSUM of HDU {hdu}");
        let stated = file.hdus()[hdu].header.text("DATASUM").unwrap().unwrap();
        assert_eq!(stated, hdu_sum(&bytes[starts[hdu]..to]).to_string(), "DATASUM of HDU {hdu}");
    }
    assert_eq!(
        file.hdus()[0].header.text("NOTE").unwrap().unwrap(),
        "it's a long note, ".repeat(9).trim_end()
    );
    assert_eq!(file.read_image(1).unwrap().1[..4], [1.0, -2.0, 3.5, 0.0]);
    let block = whole(&mut file, 2);
    let table = block.table();
    assert_eq!(table.columns[0].comment, "right ascension, J2000");
    assert_eq!(
        (table.columns[0].unit.as_str(), table.columns[0].ucd.as_str()),
        ("deg", "pos.eq.ra;meta.main")
    );
    assert_eq!(table.columns[1].dim, [2, 2]);
    assert_eq!(block.f64s(0).unwrap()[100], 100.0 / 3.0);
    assert_eq!(block.f64s(1).unwrap()[403], 403.0);
    assert_eq!(block.i64s(2).unwrap()[5], Some(i64::MAX - 5));
    assert_eq!(block.i64s(3).unwrap()[..4], [None, Some(1), Some(2), None]);
    assert_eq!(block.bools(4).unwrap()[..2], [Some(true), Some(false)]);
    assert_eq!(block.texts(5).unwrap()[100], "g100");
}

#[test]
fn a_file_appears_only_once_it_is_finished() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.fits");
    std::fs::write(&path, "before").unwrap();
    let mut writer = FitsWriter::create(&path, &[]).unwrap();
    writer.image("A", &[1], &[1.0], &[]).unwrap();
    drop(writer);
    assert_eq!(std::fs::read(&path).unwrap(), b"before");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn values_that_cannot_be_written_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = FitsWriter::create(&folder.path().join("out.fits"), &[]).unwrap();
    let columns = vec![ColumnDef::text("name", 3), ColumnDef::new("n", Kind::U8).null(255)];
    let mut table = writer.table("T", columns, &[]).unwrap();
    let mut message = |text: &str, n: Option<i64>| {
        table.write(1, &[Cells::Text(&[text.to_owned()]), Cells::Nullable(&[n])]).unwrap_err().to_string()
    };
    assert_eq!(message("long", None), "cannot write column `name`: 4 values, expected 3");
    assert_eq!(message("é", None), "cannot write text `é`: a table's text is printable ASCII");
    assert_eq!(
        message("abc", Some(256)),
        "cannot write column `n`: a value is outside its type, or is its null"
    );
    assert_eq!(
        message("abc", Some(255)),
        "cannot write column `n`: a value is outside its type, or is its null"
    );
    let error = table.write(2, &[Cells::Bool(&[true]), Cells::U8(&[1])]).unwrap_err().to_string();
    assert_eq!(error, "cannot write column `name`: 1 values, expected 6");
    table.finish().unwrap();
    let error = writer.image("I", &[2], &[1.0], &[]).unwrap_err().to_string();
    assert_eq!(error, "cannot write column `I`: 1 values, expected 2");
    let bad = Card::new("lower", Value::Integer(1), "");
    let error = writer.image("I", &[1], &[1.0], &[bad]).unwrap_err().to_string();
    assert_eq!(error, "cannot write card `lower`: a keyword has up to 8 of A-Z 0-9 - _");
}

#[test]
fn catalogs_of_the_shared_data_open_where_they_are_present() {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/data"));
    if !folder.is_dir() {
        eprintln!("skipped: {} is absent", folder.display());
        return;
    }
    let mut file = FitsFile::open(&folder.join("sdss_gst_dev.fits")).unwrap();
    let (hdu, table) = file.tables().next().map(|(hdu, table)| (hdu, table.clone())).unwrap();
    assert_eq!(table.rows, 7000);
    let block = file.read_rows(hdu, 6990, 100).unwrap();
    assert_eq!(block.rows(), 10);
    let flux = block.f64s(table.column("MODELFLUX").unwrap()).unwrap();
    assert_eq!(flux.len(), 50);
    assert!(flux.iter().all(|f| f.is_finite()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn reals_and_texts_in_headers_come_back(x in prop::num::f64::NORMAL | prop::num::f64::ZERO, text in "[ -~]{0,300}") {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("h.fits");
        let cards = [Card::new("X", Value::Real(x), "a real"), Card::new("TEXT", Value::Text(text.clone()), "")];
        FitsWriter::create(&path, &cards).unwrap().finish().unwrap();
        let file = FitsFile::open(&path).unwrap();
        prop_assert_eq!(file.hdus()[0].header.get("X"), Some(&Value::Real(x)));
        // A string that ends in & reads as one continued, and blanks at its end do not count.
        prop_assert_eq!(file.hdus()[0].header.text("TEXT").unwrap().unwrap(), text.trim_end());
    }

    #[test]
    fn any_column_of_reals_comes_back(values in prop::collection::vec(prop::num::f64::ANY, 0..200), repeat in 1usize..5) {
        let rows = values.len() / repeat;
        let values = &values[..rows * repeat];
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.fits");
        let mut writer = FitsWriter::create(&path, &[]).unwrap();
        let mut table = writer.table("T", vec![ColumnDef::new("x", Kind::F64).vector(repeat, &[])], &[]).unwrap();
        table.write(rows, &[Cells::F64(values)]).unwrap();
        table.finish().unwrap();
        writer.finish().unwrap();
        let mut file = FitsFile::open(&path).unwrap();
        let back = file.read_rows(1, 0, 1000).unwrap().f64s(0).unwrap();
        prop_assert!(back.iter().zip(values).all(|(a, b)| a.to_bits() == b.to_bits()));
        prop_assert_eq!(back.len(), values.len());
    }

    #[test]
    fn bytes_flipped_anywhere_are_never_a_panic(at in 0usize..11520, byte in any::<u8>(), heap in any::<bool>()) {
        let name = if heap { "heap.fits" } else { "types.fits" };
        let (_folder, path) = changed(name, |bytes| { let n = bytes.len(); bytes[at % n] = byte; });
        if let Ok(mut file) = FitsFile::open(&path) {
            read_all(&mut file);
        }
    }

    #[test]
    fn gzip_damage_is_never_a_panic(at in 0usize..1103, byte in any::<u8>()) {
        let (_folder, path) = changed("types.fits.gz", |bytes| { let n = bytes.len(); bytes[at % n] = byte; });
        if let Ok(mut file) = FitsFile::open(&path) {
            read_all(&mut file);
        }
    }
}

#[test]
fn gzip_of_the_reader_is_gzip_of_the_world() {
    let mut plain = Vec::new();
    let gz = std::fs::File::open(fixture("types.fits.gz")).unwrap();
    flate2::read::GzDecoder::new(gz).read_to_end(&mut plain).unwrap();
    assert_eq!(plain, std::fs::read(fixture("types.fits")).unwrap());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cut.fits.gz");
    let gz = std::fs::read(fixture("types.fits.gz")).unwrap();
    std::fs::File::create(&path).unwrap().write_all(&gz[..gz.len() / 2]).unwrap();
    assert!(FitsFile::open(&path).is_err(), "half a gzip stream is an error, not half a table");
}
