//! Readers of foreign bytes against mutated files: an error or rows, never a panic, never long.
//!
//! Deterministic: the same seed makes the same inputs. `cargo test` runs each target for a moment; for longer
//!
//!     SEDFLOW_FUZZ_SECONDS=600 cargo test --release --test fuzz -- fits --nocapture
//!
//! What fails is kept in `tests/data/fuzz/<target>/` and is part of the corpus from then on.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rand::Rng;
use sedflow::codec::{self, EncodeOptions};
use sedflow::expr::{Expr, Value};
use sedflow::fits::FitsFile;
use sedflow::hash::ContentHash;
use sedflow::infer::Recipe;
use sedflow::ingest::convert::convert;
use sedflow::ingest::map::{ColumnMap, CutFile};
use sedflow::ingest::plan::Plan;
use sedflow::rng::Streams;
use sedflow::store::{Array, Values, decode_arrays, encode_arrays};
use sedflow::tables::{DelimitedTable, ReadOptions, Table, VoTable, open};

/// Inputs per target where no time is given.
const INPUTS: u64 = 300;
/// Longer than any of these small inputs may take, on a busy machine.
const TOO_LONG: Duration = Duration::from_secs(10);

struct Target {
    name: &'static str,
    /// Words that mutations put in.
    words: &'static [&'static str],
    run: fn(&[u8]),
}

fn folder(target: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "data", "fuzz", target].iter().collect()
}

fn fuzz(target: &Target, mut corpus: Vec<Vec<u8>>) {
    let kept = folder(target.name);
    let mut names: Vec<PathBuf> =
        std::fs::read_dir(&kept).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    names.sort();
    corpus.extend(names.iter().map(|path| std::fs::read(path).unwrap()));
    let seconds = std::env::var("SEDFLOW_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok());
    let seed = std::env::var("SEDFLOW_FUZZ_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    let streams = Streams::new(seed, target.name);
    let started = Instant::now();
    for input in &corpus {
        check(target, input);
    }
    let mut n = 0;
    loop {
        match seconds {
            Some(seconds) if started.elapsed() >= Duration::from_secs(seconds) => break,
            None if n >= INPUTS => break,
            _ => {}
        }
        let mut random = Random(streams.at(n));
        let mut input = corpus[random.below(corpus.len())].clone();
        for _ in 0..=random.below(6) {
            mutate(&mut input, target.words, &corpus, &mut random);
        }
        check(target, &input);
        n += 1;
    }
    eprintln!("{}: {n} inputs in {:.0?}", target.name, started.elapsed());
}

fn check(target: &Target, input: &[u8]) {
    let started = Instant::now();
    let result = quietly(|| catch_unwind(AssertUnwindSafe(|| (target.run)(input))));
    let elapsed = started.elapsed();
    if result.is_err() || elapsed > TOO_LONG {
        let folder = folder(target.name);
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join(format!("crash-{}", ContentHash::of_bytes(input).short()));
        std::fs::write(&path, input).unwrap();
        panic!(
            "{}: {} after {elapsed:.1?}: {}",
            target.name,
            if result.is_err() { "panic" } else { "slow" },
            path.display()
        );
    }
}

/// Without the messages of panics that are caught (the parquet crate's are part of reading).
fn quietly<T>(work: impl FnOnce() -> T) -> T {
    static HOOK: Mutex<()> = Mutex::new(());
    let _one_at_a_time = HOOK.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let result = work();
    std::panic::set_hook(hook);
    result
}

struct Random(rand_chacha::ChaCha8Rng);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        (self.0.next_u64() % n.max(1) as u64) as usize
    }

    fn byte(&mut self) -> u8 {
        const EDGES: [u8; 12] = [0, 1, 0x7f, 0x80, 0xff, b' ', b'\n', b'"', b'\'', b'<', b'9', b'-'];
        if self.below(2) == 0 { EDGES[self.below(EDGES.len())] } else { self.below(256) as u8 }
    }
}

fn mutate(input: &mut Vec<u8>, words: &[&str], corpus: &[Vec<u8>], random: &mut Random) {
    let at = random.below(input.len() + 1);
    let magnitude = random.below(8);
    let span = 1 + random.below(1 << magnitude);
    let end = (at + span).min(input.len());
    match random.below(9) {
        0 if at < input.len() => input[at] ^= 1 << random.below(8),
        1 if at < input.len() => input[at] = random.byte(),
        2 => drop(input.drain(at..end)),
        3 => {
            let piece = input[at..end].to_vec();
            input.splice(at..at, piece);
        }
        4 => input.truncate(at),
        5 => {
            let other = &corpus[random.below(corpus.len())];
            let from = random.below(other.len() + 1);
            let to = (from + span).min(other.len());
            input.splice(at..end, other[from..to].iter().copied());
        }
        6 if !words.is_empty() => {
            let word = words[random.below(words.len())].bytes();
            // Fixed-width headers keep their width more often than not.
            let end = if random.below(3) == 0 { at } else { (at + word.len()).min(input.len()) };
            input.splice(at..end, word);
        }
        7 => {
            // A number becomes another one of the same width.
            if let Some(digit) = (at..input.len()).find(|&i| input[i].is_ascii_digit()) {
                let stop = (digit..input.len()).find(|&i| !input[i].is_ascii_digit()).unwrap_or(input.len());
                (digit..stop).for_each(|i| input[i] = b"0123456789999"[random.below(13)]);
            }
        }
        _ => {
            let bytes: Vec<u8> = (0..random.below(9)).map(|_| random.byte()).collect();
            input.splice(at..at, bytes);
        }
    }
    input.truncate(1 << 20);
}

fn drain(mut table: impl Table) {
    for _ in 0..1000 {
        match table.next_block(64) {
            Ok(Some(block)) => {
                for column in &block.columns {
                    assert_eq!(column.n_rows(), if column.len == 0 { 0 } else { block.n_rows() });
                    (0..column.n_rows() * column.len).for_each(|i| drop((column.number(i), column.text(i))));
                }
            }
            Ok(None) | Err(_) => return,
        }
    }
}

struct Boxed(Box<dyn Table>);

impl Table for Boxed {
    fn format(&self) -> &'static str {
        self.0.format()
    }
    fn columns(&self) -> &[sedflow::tables::ColumnInfo] {
        self.0.columns()
    }
    fn n_rows(&self) -> Option<u64> {
        self.0.n_rows()
    }
    fn select(&mut self, columns: &[usize]) {
        self.0.select(columns);
    }
    fn next_block(
        &mut self,
        rows: usize,
    ) -> Result<Option<sedflow::tables::Block>, sedflow::tables::TableError> {
        self.0.next_block(rows)
    }
}

/// Reads bytes through a file, as formats that need to seek do.
fn through_a_file(bytes: &[u8], read: impl FnOnce(&Path)) {
    thread_local! {
        static FOLDER: tempfile::TempDir = tempfile::tempdir().unwrap();
    }
    FOLDER.with(|folder| {
        let path = folder.path().join("input");
        std::fs::write(&path, bytes).unwrap();
        read(&path);
    });
}

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read([env!("CARGO_MANIFEST_DIR"), "tests", "data", "fits", name].iter().collect::<PathBuf>())
        .unwrap()
}

#[test]
fn fits() {
    let target = Target {
        name: "fits",
        words: &[
            "NAXIS   =",
            "NAXIS1  =",
            "NAXIS2  =",
            "PCOUNT  =",
            "TFIELDS =",
            "THEAP   =",
            "'1PE(9)  '",
            "'99999D  '",
            "'0A      '",
            "'16X     '",
            "'1QD(9)  '",
            "TNULL1  =",
            "TZERO1  =",
            "TDIM1   =",
            "'(2,2)   '",
            "END     ",
            "XTENSION= 'BINTABLE'",
            "-1",
            "9223372036854775807",
            "CONTINUE  'x&'",
            "1D400",
        ],
        run: |bytes| {
            through_a_file(bytes, |path| {
                if let Ok(mut file) = FitsFile::open(path) {
                    for hdu in 0..file.hdus().len() {
                        let _ = file.read_image(hdu);
                        let Ok(table) = file.table(hdu).cloned() else { continue };
                        let Ok(block) = file.read_rows(hdu, 0, 100) else { continue };
                        for (column, info) in
                            table.columns.iter().enumerate().filter(|(_, info)| info.variable.is_some())
                        {
                            let _ = info;
                            for row in 0..block.rows() {
                                let _ = (
                                    file.read_array(&block, row, column),
                                    file.read_text(&block, row, column),
                                );
                            }
                        }
                    }
                }
                if let Ok(table) = open(path, &ReadOptions::default()) {
                    drain(Boxed(table));
                }
            });
        },
    };
    let sample = include_bytes!("../samples/sdss_1000.fits");
    let corpus = vec![
        fixture("types.fits"),
        fixture("heap.fits"),
        fixture("images.fits"),
        sample[..5760 + 95 * 20].to_vec(),
    ];
    fuzz(&target, corpus);
}

const MAP: &str = include_str!("../src/ingest/layouts/cuts/sdss-photo.toml");
const KCORRECT: &str = include_str!("../src/ingest/layouts/kcorrect-sdss.toml");

#[test]
fn csv_map() {
    // A map, a line of percent signs, a table.
    const SEPARATOR: &[u8] = b"\n%%%\n";
    let target = Target {
        name: "csv_map",
        words: &[
            "[[band]]",
            "[[cut]]",
            "require = '",
            "fail = \"",
            "redshift",
            "snr_r",
            "{element}",
            "unit = 'uJy'",
            "'mag'",
            "'luptitude'",
            "softening = 1e-10",
            "kind = 'ebv'",
            "column = 'A'",
            "optional = true",
            "when = \"A > 1\"",
            "-9999",
            "nan",
            "1e308",
            "inf",
            "\"",
            "@row",
            "[0]",
            "\t",
            ",",
            "\u{e9}",
        ],
        run: |bytes| {
            let at =
                bytes.windows(SEPARATOR.len()).position(|window| window == SEPARATOR).unwrap_or(bytes.len());
            let (map, table) = (&bytes[..at], bytes.get(at + SEPARATOR.len()..).unwrap_or_default());
            let text = String::from_utf8_lossy(map);
            let _ = CutFile::parse(&text);
            let Ok(mut table) = DelimitedTable::new(table, None) else { return };
            let Ok(map) = ColumnMap::parse(&text) else { return drain(table) };
            let Ok(plan) = Plan::new(&map, table.columns()) else { return drain(table) };
            table.select(&plan.selected);
            while let Ok(Some(block)) = table.next_block(64) {
                let converted = convert(&plan, &block);
                assert_eq!(
                    converted.galaxies.len() + converted.rejected.len(),
                    block.n_rows() + block.bad.len()
                );
                for phot in converted.galaxies.iter().flat_map(|galaxy| &galaxy.photometry) {
                    assert!(phot.flux_nmgy.is_none_or(f64::is_finite));
                    assert!(phot.ivar_nmgy.is_none_or(|ivar| ivar.is_finite() && ivar > 0.0));
                    assert!(phot.flux_nmgy.is_some() || phot.ivar_nmgy.is_none());
                }
            }
        },
    };
    let map = "name = 'm'\nsurvey = 's'\n[columns]\nid = 'id'\nra = 'ra'\ndec = 'dec'\nredshift = ['z']\n[photometry]\n\
        quantity = 'flux'\nunit = 'nmgy'\nerror = 'sigma'\nnegative_error_is_limit = true\n[extinction]\nkind = 'a-band'\n\
        [[band]]\nname = 'r'\nfilter = 'sdss2010-r'\nflux = 'f'\nerror = 'e'\nextinction = 'A'\nab_offset = 0.01\n\
        error_floor = 0.02\n[[cut]]\nname = 'c'\nrequire = \"redshift > 0.1 and snr_r > 3 or name = 'x'\"\n";
    let csv = "id,ra,dec,z,f,e,A,name\n1,2,3,0.1,5,1,0.1,x\n\"a\"\"b\",2,3,,-99,-1,nan,\"two\nlines\"\nbad,400,3,0.1,5\n";
    let joined = |map: &str, csv: &str| [map.as_bytes(), SEPARATOR, csv.as_bytes()].concat();
    let kcorrect = "RA,DEC,Z,MODELFLUX[0],MODELFLUX_IVAR[0],EXTINCTION[0]\n1,2,3,4,5,6\n";
    fuzz(
        &target,
        vec![
            joined(map, csv),
            joined(KCORRECT, kcorrect),
            joined(MAP, "# id z\n1 2\n"),
            joined(map, &csv.replace(',', "\t")),
        ],
    );
}

#[test]
fn votable() {
    let target = Target {
        name: "votable",
        words: &[
            "<TABLE>",
            "</TABLE>",
            "<TR>",
            "<TD>",
            "</TD>",
            "<FIELD name='a' datatype='int'/>",
            "arraysize='*'",
            "arraysize='2x3'",
            "<BINARY>",
            "<BINARY2>",
            "<STREAM encoding='base64'>",
            "AAAA",
            "====",
            "<![CDATA[",
            "&#x0;",
            "&lol;",
            "<!DOCTYPE",
            "<!--",
        ],
        run: |bytes| {
            if let Ok(table) = VoTable::new(bytes, None) {
                drain(table);
            }
        },
    };
    let head = "<?xml version='1.0'?><VOTABLE><RESOURCE><TABLE name='t' nrows='2'><FIELD name='id' datatype='char' arraysize='*'/>\
        <FIELD name='f' datatype='float' arraysize='2' unit='nJy'/><FIELD name='n' datatype='short'><VALUES null='-1'/></FIELD>\
        <FIELD name='b' datatype='bit' arraysize='9'/><DATA>";
    let tail = "</DATA></TABLE></RESOURCE></VOTABLE>";
    let rows =
        "<TABLEDATA><TR><TD>a&amp;b</TD><TD>1 2</TD><TD>-1</TD><TD>1 0 1 0 1 0 1 0 1</TD></TR></TABLEDATA>";
    let binary = "<BINARY><STREAM encoding='base64'>AAAAAWE/gAAAQAAAAAABgIA=</STREAM></BINARY>";
    let binary2 = "<BINARY2><STREAM encoding='base64'>AAAAAAFhP4AAAEAAAAAAAYCA</STREAM></BINARY2>";
    fuzz(&target, [rows, binary, binary2].map(|data| format!("{head}{data}{tail}").into_bytes()).to_vec());
}

#[test]
fn ecsv() {
    let target = Target {
        name: "ecsv",
        words: &[
            "# - {name: a, datatype: int64}",
            "subtype: 'float64[2]'",
            "delimiter: ','",
            "# datatype:",
            "\"[1,null]\"",
            "\"\"",
            "uint64",
        ],
        run: |bytes| {
            if let Ok(table) = DelimitedTable::ecsv(bytes) {
                drain(table);
            }
        },
    };
    let text = "# %ECSV 1.0\n# ---\n# delimiter: ','\n# datatype:\n# - {name: id, datatype: int64}\n\
        # - {name: f, unit: nJy, datatype: string, subtype: 'float64[2]'}\n# - {name: ok, datatype: bool}\n\
        # schema: astropy-2.0\nid,f,ok\n1,\"[1.5,2]\",True\n,\"[null,2]\",\n";
    fuzz(&target, vec![text.into()]);
}

#[test]
fn parquet() {
    use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, FloatType};
    let target = Target {
        name: "parquet",
        words: &["PAR1", "\u{1}\u{2}\u{3}"],
        run: |bytes| {
            through_a_file(bytes, |path| {
                if let Ok(table) = open(path, &ReadOptions::default()) {
                    drain(Boxed(table));
                }
            });
        },
    };
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
    fuzz(&target, vec![writer.into_inner().unwrap()]);
}

#[test]
fn expression() {
    let target = Target {
        name: "expression",
        words: &[
            "and", "or", "not", "is null", "(", ")", "**", "<=", "'", "\"", "[3]", "log10(", "bit(", "1e999",
            "0x", "a.b", "\u{e9}",
        ],
        run: |bytes| {
            let text = String::from_utf8_lossy(bytes);
            match Expr::parse(&text) {
                Ok(expr) => {
                    for value in [Value::Null, Value::Number(-1.5), Value::Text("x"), Value::Bool(true)] {
                        let _ = expr.eval(&|_| value);
                    }
                }
                Err(error) => {
                    assert!(error.at <= text.chars().count());
                    assert!(!error.to_string().is_empty());
                }
            }
        },
    };
    let seeds = [
        "log_mstar > 10.5 and log_sfr_1gyr - log_mstar < -11",
        "not bit(FLAGS[2], 18) or \"odd name\" is not null",
        "abs(-a ** 2) / sqrt(b + 1e-3) >= min(1, 0x10) and class = 'GALAXY'",
    ];
    fuzz(&target, seeds.map(|seed| seed.as_bytes().to_vec()).to_vec());
}

#[test]
fn blob() {
    let target = Target {
        name: "blob",
        words: &[],
        run: |bytes| {
            const LIMIT: usize = 1 << 20;
            if let Ok(arrays) = decode_arrays(bytes, LIMIT) {
                for array in &arrays {
                    let (values, width) = match &array.values {
                        Values::F32(values) => (values.len(), 4),
                        Values::F64(values) => (values.len(), 8),
                    };
                    assert_eq!(values, array.shape.iter().product::<usize>());
                    assert!(values * width <= LIMIT);
                }
            }
        },
    };
    let arrays = [
        Array::f32("theta", &[3, 2], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
        Array::f64("x", &[4], vec![0.5; 4]),
        Array::f32("none", &[0], vec![]),
    ];
    let zeros = Array::f64("zeros", &[1000, 10], vec![0.0; 10_000]);
    fuzz(&target, vec![encode_arrays(&arrays).unwrap(), encode_arrays(&[zeros]).unwrap()]);
}

/// CRC-32 as zlib has it, bit by bit.
fn crc32(bytes: &[u8]) -> [u8; 4] {
    let step = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
    let crc = bytes.iter().fold(u32::MAX, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), step));
    (!crc).to_le_bytes()
}

/// Packed draws with their checksums made right, so that what lies behind them is reached.
fn resealed(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut sealed = bytes.to_vec();
    let number = |at: usize| {
        let field: [u8; 4] = bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(u32::from_le_bytes(field) as usize)
    };
    let header = number(4)?;
    let n_columns = usize::from(*bytes.get(12)?);
    let (mut at, mut start) = (32, header);
    for _ in 0..n_columns {
        at += 1 + usize::from(*bytes.get(at)?) + 34;
        let length = number(at.checked_sub(8)?)?;
        let Some(frame) = bytes.get(start..start.checked_add(length)?) else { break };
        sealed.get_mut(at - 4..at)?.copy_from_slice(&crc32(frame));
        start += length;
    }
    let checksum = crc32(sealed.get(..header.checked_sub(4)?)?);
    sealed.get_mut(header - 4..header)?.copy_from_slice(&checksum);
    Some(sealed)
}

#[test]
fn draws() {
    let target = Target {
        name: "draws",
        words: &["SDP1", "SDA1"],
        run: |bytes| {
            for bytes in [Some(bytes.to_vec()), resealed(bytes)].into_iter().flatten() {
                // A header may claim up to 2^28 values, which a test need not wait for.
                let n = bytes.get(8..12).map_or(0, |n| u32::from_le_bytes([n[0], n[1], n[2], n[3]]));
                if bytes.starts_with(b"SDP1") && n > 100_000 {
                    let _ = codec::Header::parse(&bytes);
                    continue;
                }
                if let Ok(draws) = codec::decode(&bytes) {
                    assert_eq!(draws.values.len(), draws.n * draws.names.len());
                    for (i, name) in draws.names.iter().enumerate() {
                        let alone = codec::decode_column(&bytes, name).unwrap();
                        let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
                        assert_eq!(bits(&alone), bits(draws.column(i)));
                    }
                    let _ = codec::hash_of(&bytes);
                }
            }
        },
    };
    let column = |scale: f32| (0..40).map(|i| scale * ((i * 17) % 40) as f32).collect::<Vec<f32>>();
    let (a, b) = (column(1.0), column(0.025));
    let rest: Vec<f32> = b.iter().map(|b| 1.0 - b).collect();
    let columns: [(&str, &[f32]); 4] = [("a", &a), ("b", &b), ("c", &rest), ("w", &a)];
    let options = EncodeOptions { simplex: Some(1..3), weight: Some(3), ..EncodeOptions::default() };
    let lossless = EncodeOptions { lossless: true, n_chains: 4, ..EncodeOptions::default() };
    let old = encode_arrays(&[Array::f32("draws", &[17, 2], vec![0.5; 34])]).unwrap();
    let seeds = [
        codec::encode(&columns, &options).unwrap().bytes,
        codec::encode(&columns[..2], &lossless).unwrap().bytes,
        old,
    ];
    fuzz(&target, seeds.to_vec());
}

#[test]
fn recipe() {
    let target = Target {
        name: "recipe",
        words: &["SDR1"],
        run: |bytes| {
            if let Ok(recipe) = Recipe::from_bytes(bytes) {
                assert_eq!(recipe.to_bytes(), bytes);
            }
        },
    };
    let recipe = Recipe {
        checkpoint: ContentHash::of_bytes(b"checkpoint"),
        features: vec![1.0; 11],
        zred: 0.1,
        seed: 1,
        stream: 2,
        n_draws: 100,
        steps_per_width: 32,
    };
    fuzz(&target, vec![recipe.to_bytes()]);
}
