//! `sedflow ingest` as a user sees it: every format, bad files, hostile text, and a process killed at random.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};
use sedflow::fits::{Cells, ColumnDef, FitsFile, FitsWriter, Kind};
use sedflow::rng::Streams;
use tempfile::TempDir;

const EVIL: &str = "'; DROP TABLE galaxy; --\u{1b}[31m\u{202e}\"";

struct Catalog {
    directory: TempDir,
}

impl Catalog {
    fn new() -> Self {
        let catalog = Self { directory: tempfile::tempdir().unwrap() };
        assert!(catalog.run(&["init"]).status.success());
        catalog
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        std::fs::write(self.path(name), content).unwrap();
        self.path(name).display().to_string()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sedflow"));
        command.arg("-C").arg(self.path("catalog.db")).args(arguments);
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs, and returns what was printed where the exit code is the one expected.
    #[track_caller]
    fn expect(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let said =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        said
    }

    fn read(&self) -> Connection {
        Connection::open_with_flags(self.path("catalog.db"), OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap()
    }

    fn number(&self, sql: &str) -> i64 {
        self.read().query_row(sql, [], |row| row.get(0)).unwrap()
    }

    /// Everything that rows became, in the order of the input.
    fn galaxies(&self) -> Vec<String> {
        let sql = "SELECT g.source_row || ' ' || g.object_id || ' ' || quote(ra_deg) || ' ' || quote(dec_deg) || ' ' || \
                   quote(redshift) || ' ' || quote(extra) || ' ' || cuts_failed || ' ' || \
                   (SELECT group_concat(quote(flux_nmgy) || '/' || quote(ivar_nmgy) || '/' || flags, ' ') FROM \
                    (SELECT * FROM photometry p WHERE p.galaxy_id = g.galaxy_id ORDER BY band_id)) \
                   FROM galaxy g ORDER BY g.source_row";
        let connection = self.read();
        let mut statement = connection.prepare(sql).unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }
}

/// A table of galaxies that all formats can hold.
const MAP: &str = "name = 'test'\nsurvey = 'test'\n[columns]\nid = 'id'\nra = 'ra'\ndec = 'dec'\nredshift = 'z'\n\
    [photometry]\nquantity = 'flux'\nunit = 'uJy'\nerror = 'sigma'\n[extinction]\nkind = 'none'\n\
    [keep]\ncolumns = ['note']\n\
    [[band]]\nname = 'g'\nfilter = 'sdss2010-g'\nflux = ['f[0]', 'f_g']\nerror = ['e[0]', 'e_g']\n\
    [[band]]\nname = 'r'\nfilter = 'sdss2010-r'\nflux = ['f[1]', 'f_r']\nerror = ['e[1]', 'e_r']\n";

const IDS: [&str; 3] = ["a;b", EVIL, "émile"];
const RA: [f64; 3] = [0.0, 187.5, 359.99];
const DEC: [f64; 3] = [-90.0, 12.25, 45.0];
const Z: [f64; 3] = [0.05, 0.125, 0.5];
const FLUX: [f64; 6] = [10.5, 20.25, -3.0, 7.5, 1e3, 2e4];
const ERROR: [f64; 6] = [0.5, 0.25, 1.0, 0.0, 10.0, 20.0];
const NOTE: [&str; 3] = ["plain", "two words, a comma", "<&>"];

fn text_rows(separator: &str, quote: impl Fn(&str) -> String) -> String {
    (0..3)
        .map(|i| {
            let numbers = [RA[i], DEC[i], Z[i], FLUX[2 * i], ERROR[2 * i], FLUX[2 * i + 1], ERROR[2 * i + 1]];
            let mut fields = vec![quote(IDS[i])];
            fields.extend(numbers.map(|number| number.to_string()));
            fields.push(quote(NOTE[i]));
            fields.join(separator) + "\n"
        })
        .collect()
}

fn fits(path: &Path) {
    let columns = vec![
        ColumnDef::text("id", 64),
        ColumnDef::new("ra", Kind::F64),
        ColumnDef::new("dec", Kind::F64),
        ColumnDef::new("z", Kind::F64),
        ColumnDef::new("f", Kind::F64).vector(2, &[]).unit("uJy"),
        ColumnDef::new("e", Kind::F64).vector(2, &[]),
        ColumnDef::text("note", 32),
    ];
    // Our writer keeps to the standard, where text is printable ASCII; others do not, so the bytes of
    // what it would refuse are put in afterwards.
    let stand_in = |text: &str| {
        if text.chars().all(|c| (' '..='~').contains(&c)) { text.to_owned() } else { "@".repeat(text.len()) }
    };
    let text = |texts: [&str; 3]| texts.map(stand_in);
    let mut file = FitsWriter::create(path, &[]).unwrap();
    let mut table = file.table("T", columns, &[]).unwrap();
    let (ids, notes) = (text(IDS), text(NOTE));
    let cells = [
        Cells::Text(&ids),
        Cells::F64(&RA),
        Cells::F64(&DEC),
        Cells::F64(&Z),
        Cells::F64(&FLUX),
        Cells::F64(&ERROR),
        Cells::Text(&notes),
    ];
    table.write(3, &cells).unwrap();
    table.finish().unwrap();
    file.finish().unwrap();
    let mut bytes = std::fs::read(path).unwrap();
    for text in IDS.iter().filter(|text| stand_in(text) != **text) {
        let at =
            bytes.windows(text.len()).position(|window| window.iter().all(|byte| *byte == b'@')).unwrap();
        bytes[at..at + text.len()].copy_from_slice(text.as_bytes());
    }
    std::fs::write(path, bytes).unwrap();
}

fn parquet(path: &Path) {
    use parquet::data_type::{ByteArray, ByteArrayType, DoubleType};
    let schema =
        "message t { required binary id (STRING); required double ra; required double dec; required double z;
        required group f (LIST) { repeated group list { required double element; } }
        required group e (LIST) { repeated group list { required double element; } }
        required binary note (STRING); }";
    let schema = Arc::new(parquet::schema::parser::parse_message_type(schema).unwrap());
    let file = std::fs::File::create(path).unwrap();
    let mut writer = parquet::file::writer::SerializedFileWriter::new(file, schema, Arc::default()).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let mut position = 0;
    while let Some(mut column) = group.next_column().unwrap() {
        let doubles: [&[f64]; 7] = [&[], &RA, &DEC, &Z, &FLUX, &ERROR, &[]];
        let lists = (position == 4 || position == 5).then_some(([1_i16; 6], [0_i16, 1, 0, 1, 0, 1]));
        if position == 0 || position == 6 {
            let texts = if position == 0 { IDS } else { NOTE }.map(ByteArray::from);
            column.typed::<ByteArrayType>().write_batch(&texts, None, None).unwrap();
        } else {
            let (definition, repetition) = lists.as_ref().map(|(d, r)| (d.as_slice(), r.as_slice())).unzip();
            column.typed::<DoubleType>().write_batch(doubles[position], definition, repetition).unwrap();
        }
        column.close().unwrap();
        position += 1;
    }
    group.close().unwrap();
    writer.close().unwrap();
}

#[test]
fn one_table_in_every_format_gives_the_same_galaxies() {
    let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
    let header = "id,ra,dec,z,f_g,e_g,f_r,e_r,note\n";
    let xml = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('\u{1b}', "&#x1b;");
    let votable: String = (0..3)
        .map(|i| {
            let pair = |values: &[f64]| format!("{} {}", values[2 * i], values[2 * i + 1]);
            let cells = [
                xml(IDS[i]),
                RA[i].to_string(),
                DEC[i].to_string(),
                Z[i].to_string(),
                pair(&FLUX),
                pair(&ERROR),
                xml(NOTE[i]),
            ];
            format!("<TR><TD>{}</TD></TR>\n", cells.join("</TD><TD>"))
        })
        .collect();
    let double = "datatype='double'";
    let files: Vec<(&str, Vec<u8>)> = vec![
        ("a.csv", format!("{header}{}", text_rows(",", quoted)).into()),
        ("b.tsv", format!("{}{}", header.replace(',', "\t"), text_rows("\t", quoted)).into()),
        (
            "c.ecsv",
            format!(
                "# %ECSV 1.0\n# ---\n# datatype:\n# - {{name: id, datatype: string}}\n{}# - {{name: note, datatype: string}}\n{}{}",
                ["ra", "dec", "z", "f_g", "e_g", "f_r", "e_r"]
                    .map(|name| {
                        let unit = if name == "f_g" { ", unit: uJy" } else { "" };
                        format!("# - {{name: {name}{unit}, datatype: float64}}\n")
                    })
                    .concat(),
                header.replace(',', " "),
                text_rows(" ", quoted)
            )
            .into(),
        ),
        (
            "d.xml",
            format!(
                "<?xml version='1.0'?><VOTABLE><RESOURCE><TABLE><FIELD name='id' datatype='char' arraysize='*'/>\
                 <FIELD name='ra' {double}/><FIELD name='dec' {double}/><FIELD name='z' {double}/>\
                 <FIELD name='f' {double} arraysize='2' unit='uJy'/><FIELD name='e' {double} arraysize='2'/>\
                 <FIELD name='note' datatype='char' arraysize='*'/>\
                 <DATA><TABLEDATA>{votable}</TABLEDATA></DATA></TABLE></RESOURCE></VOTABLE>"
            )
            .into(),
        ),
        ("e.fits", Vec::new()),
        ("f.parquet", Vec::new()),
    ];
    let mut results = Vec::new();
    for (name, content) in &files {
        let catalog = Catalog::new();
        let map = catalog.file("map.toml", MAP);
        let file = catalog.file(name, content);
        match *name {
            "e.fits" => fits(&catalog.path(name)),
            "f.parquet" => parquet(&catalog.path(name)),
            _ => {}
        }
        let said = catalog.expect(0, &["ingest", &file, "--layout", &map]);
        assert!(said.contains("3 rows read, 3 galaxies"), "{name}: {said}");
        assert!(said.contains("r: zero error or ivar"), "{name}: {said}");
        results.push(catalog.galaxies());
    }
    for (result, (name, _)) in results.iter().zip(&files) {
        assert_eq!(result, &results[0], "{name}");
    }
    assert!(results[0][1].contains(EVIL), "{}", results[0][1]);
}

#[test]
fn hostile_text_comes_out_as_it_went_in_and_acts_as_nothing() {
    let catalog = Catalog::new();
    let map = catalog.file("map.toml", MAP);
    let evil = EVIL.replace('"', "\"\"");
    let header = "id,ra,dec,z,f_g,e_g,f_r,e_r,note";
    let csv = format!("{header}\n\"{evil}\",1,2,0.1,1,1,1,1,\"{evil}\"\n\"{evil}\",400,2,0.1,1,1,1,1,x\n");
    let file = catalog.file("evil.csv", csv);
    for arguments in [vec!["ingest", "-n", &file, "--layout", &map], vec!["ingest", &file, "--layout", &map]]
    {
        let said = catalog.expect(4, &arguments);
        assert!(!said.contains('\u{1b}') && !said.contains('\u{202e}'), "{said:?}");
    }
    let id: String = catalog.read().query_row("SELECT object_id FROM galaxy", [], |row| row.get(0)).unwrap();
    assert_eq!(id, EVIL);
    let note: String = catalog
        .read()
        .query_row("SELECT json_extract(extra, '$.note') FROM galaxy", [], |row| row.get(0))
        .unwrap();
    assert_eq!(note, EVIL);
    catalog.expect(0, &["check"]);
}

#[test]
fn a_file_is_ingested_once_under_whatever_name() {
    let catalog = Catalog::new();
    let map = catalog.file("map.toml", MAP);
    let csv = format!(
        "id,ra,dec,z,f_g,e_g,f_r,e_r,note\n{}",
        text_rows(",", |t| format!("\"{}\"", t.replace('"', "\"\"")))
    );
    let (first, copy) = (catalog.file("first.csv", &csv), catalog.file("copy.csv", &csv));
    catalog.expect(0, &["ingest", &first, "--layout", &map]);
    let said = catalog.expect(0, &["ingest", &copy, "--layout", &map]);
    assert!(said.contains("already ingested as") && said.contains("first.csv"), "{said}");
    let said = catalog.expect(0, &["ingest", &copy, "--layout", &map, "--survey", "other"]);
    assert!(
        said.contains("is in survey test already") && said.contains("3 galaxies in survey other"),
        "{said}"
    );
    // The same galaxies in another file are duplicates, each listed.
    let more = catalog.file("more.csv", format!("{csv}new,1,2,0.1,1,1,1,1,x\n"));
    let said = catalog.expect(4, &["ingest", &more, "--layout", &map]);
    assert!(
        said.contains("1 galaxies") && said.contains("DUPLICATE_ID") && said.contains("first.csv"),
        "{said}"
    );
    assert_eq!(catalog.number("SELECT count(*) FROM galaxy"), 7);
    catalog.expect(0, &["check"]);
}

#[test]
fn files_that_are_no_table_fail_with_a_sentence_and_leave_no_galaxy() {
    let catalog = Catalog::new();
    let map = catalog.file("map.toml", MAP);
    let directory = tempfile::tempdir().unwrap();
    fits(&directory.path().join("t.fits"));
    let good = std::fs::read(directory.path().join("t.fits")).unwrap();
    let patched = |from: &[u8], to: &[u8]| {
        let mut bytes = good.clone();
        let at = bytes.windows(from.len()).position(|window| window == from).unwrap();
        bytes[at..at + to.len()].copy_from_slice(to);
        bytes
    };
    for (name, content, words) in [
        ("empty.csv", Vec::new(), "empty"),
        ("blank.csv", b"\n \n".to_vec(), "empty"),
        ("zeros", vec![0; 10_000], "zero bytes"),
        ("header.csv", b"1,2\n3,4\n".to_vec(), "column names"),
        ("columns.csv", b"id,ra,dec,z,f_g,note\n1,2,3,4,5,6\n".to_vec(), "no column `e[0]`"),
        ("tform.fits", patched(b"'2D      '", b"'2Q(z)   '"), "TFORM5"),
        ("width.fits", patched(b"'2D      '", b"'3D      '"), "bytes a row"),
        ("cut.fits", good[..2880 + 400].to_vec(), "cut short"),
        ("unit.fits", patched(b"'uJy     '", b"'counts  '"), "counts"),
        ("broken.xml", b"<?xml version='1.0'?><VOTABLE><TABLE".to_vec(), "VOTable"),
        ("broken.parquet", b"PAR1 and then nothing".to_vec(), "Parquet"),
    ] {
        let file = catalog.file(name, content);
        let map = if name == "unit.fits" {
            catalog.file("nounit.toml", MAP.replace("unit = 'uJy'\n", ""))
        } else {
            map.clone()
        };
        for dry in [true, false] {
            let mut arguments = vec!["ingest", &file, "--layout", &map];
            arguments.extend(dry.then_some("-n"));
            let said = catalog.expect(1, &arguments);
            assert!(said.starts_with("error: ") && said.contains(words), "{name}: {said}");
        }
    }
    let said = catalog.expect(1, &["ingest", "nosuch.fits"]);
    assert!(said.contains("nosuch.fits"), "{said}");
    let said = catalog.expect(1, &["ingest", &catalog.file("x.csv", "a,b\n1,2\n")]);
    assert!(said.contains("no built-in layout fits its columns (a, b)"), "{said}");
    let said = catalog.expect(1, &["ingest", &catalog.file("y.csv", "a,b\n1,2\n"), "--layout", "nsa"]);
    assert!(said.contains("no layout `nsa`; there is nsa-v1"), "{said}");
    assert_eq!(catalog.number("SELECT count(*) FROM galaxy"), 0);
    catalog.expect(0, &["check"]);
}

#[test]
fn a_file_cut_short_gives_its_whole_rows() {
    let catalog = Catalog::new();
    let file = catalog.file("big.fits", "");
    many(&catalog.path("big.fits"), 2000);
    let bytes = std::fs::read(&file).unwrap();
    std::fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
    let said = catalog.expect(4, &["ingest", &file, "--batch", "300"]);
    assert!(said.contains("the file is cut short"), "{said}");
    let kept = catalog.number("SELECT count(*) FROM galaxy");
    assert!((500..1500).contains(&kept), "{kept}");
    let read = kept + catalog.number("SELECT count(*) FROM ingest_reject");
    assert_eq!(catalog.number("SELECT n_read FROM ingest"), read);
    assert_eq!(catalog.number("SELECT n FROM ingest_count WHERE item LIKE 'file cut short%'"), 2000 - read);
    catalog.expect(0, &["check"]);
}

#[test]
fn files_of_endless_size_are_refused_or_given_up() {
    let catalog = Catalog::new();
    let map = catalog.file("map.toml", MAP);
    let sparse = |name: &str, head: &[u8]| {
        let path = catalog.file(name, head);
        std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(10 << 30).unwrap();
        path
    };
    let started = Instant::now();
    let said = catalog.expect(1, &["ingest", &sparse("zeros", b"")]);
    assert!(said.contains("zero bytes"), "{said}");
    let said = catalog.expect(1, &["ingest", "-n", &sparse("z.csv", b"id,ra\n"), "--layout", &map]);
    assert!(said.contains("zero bytes"), "{said}");
    let long = format!("id,ra,dec,z,f_g,e_g,f_r,e_r,note\n{}", "1,2,3,0.1,1,1,1,1,x\n".repeat(1000));
    let said = catalog.expect(1, &["ingest", "-n", &sparse("l.csv", long.as_bytes()), "--layout", &map]);
    assert!(said.contains("longer than 16 MiB"), "{said}");
    // A header that announces what the file, being sparse, has: rows of zeros.
    fits(&catalog.path("rows.fits"));
    let mut bytes = std::fs::read(catalog.path("rows.fits")).unwrap();
    let at = bytes.windows(10).position(|window| window == b"NAXIS2  = ").unwrap();
    let rows = format!("{:>20}", 60_000_000);
    bytes[at + 10..at + 30].copy_from_slice(rows.as_bytes());
    let said = catalog.expect(1, &["ingest", "-n", &sparse("s.fits", &bytes), "--layout", &map]);
    assert!(said.contains("given up"), "{said}");
    assert!(started.elapsed() < Duration::from_secs(60), "{:?}", started.elapsed());
}

/// `rows` galaxies in the layout of the kcorrect sample.
fn many(path: &Path, rows: usize) {
    let vector = |name: &str| ColumnDef::new(name, Kind::F32).vector(5, &[]);
    let columns = vec![
        ColumnDef::new("OBJID", Kind::I64),
        ColumnDef::new("RA", Kind::F64),
        ColumnDef::new("DEC", Kind::F64),
        ColumnDef::new("Z", Kind::F32),
        vector("MODELFLUX"),
        vector("MODELFLUX_IVAR"),
        vector("EXTINCTION"),
    ];
    let ids: Vec<i64> = (0..rows as i64).map(|i| 1_237_648_720_000_000_000 + 7 * i).collect();
    let ra: Vec<f64> = (0..rows).map(|i| (i % 360) as f64).collect();
    // One row in a hundred is off the sky.
    let dec: Vec<f64> = (0..rows).map(|i| if i % 100 == 42 { 99.0 } else { (i % 90) as f64 }).collect();
    let z: Vec<f32> = (0..rows).map(|i| 0.01 + 0.19 * (i % 97) as f32 / 97.0).collect();
    let flux: Vec<f32> = (0..5 * rows).map(|i| 10.0 + (i % 1000) as f32).collect();
    let ivar = vec![1.0_f32; 5 * rows];
    let extinction = vec![0.1_f32; 5 * rows];
    let mut file = FitsWriter::create(path, &[]).unwrap();
    let mut table = file.table("T", columns, &[]).unwrap();
    let cells = [
        Cells::I64(&ids),
        Cells::F64(&ra),
        Cells::F64(&dec),
        Cells::F32(&z),
        Cells::F32(&flux),
        Cells::F32(&ivar),
        Cells::F32(&extinction),
    ];
    table.write(rows, &cells).unwrap();
    table.finish().unwrap();
    file.finish().unwrap();
}

#[test]
fn killed_at_random_an_ingest_leaves_whole_batches_and_goes_on() {
    const BATCH: i64 = 20;
    const ROWS: usize = 2000;
    let whole = Catalog::new();
    let file = whole.path("many.fits");
    many(&file, ROWS);
    let file = file.display().to_string();
    let arguments = ["-q", "ingest", &file, "--batch", &BATCH.to_string()];
    let started = Instant::now();
    whole.expect(4, &arguments);
    let once = started.elapsed();
    let expected = whole.galaxies();
    assert_eq!(expected.len(), ROWS - ROWS / 100);

    let mut rng = Streams::new(1, "kill").at(0);
    let mut unit = || {
        use rand::Rng;
        rng.next_u32() as f64 / f64::from(u32::MAX)
    };
    let mut kills = 0;
    let mut killed_inside = 0;
    let mut catalog = Catalog::new();
    while kills < 40 || killed_inside < 5 {
        let mut child =
            catalog.command(&arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(once.mul_f64(unit() * 0.6));
        // On Unix this is SIGKILL.
        child.kill().unwrap();
        let code = child.wait().unwrap().code();
        kills += 1;
        assert!(kills < 500, "the ingest is never caught at work");

        let connection = catalog.read();
        let text = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, String>(0)).unwrap();
        assert_eq!(text("PRAGMA integrity_check"), "ok");
        let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
        let n_read = number("SELECT coalesce(sum(n_read), 0) FROM ingest");
        let galaxies = number("SELECT count(*) FROM galaxy");
        let rejected = number("SELECT count(*) FROM ingest_reject");
        assert_eq!(galaxies, number("SELECT coalesce(sum(n_kept), 0) FROM ingest"));
        assert_eq!(rejected, number("SELECT coalesce(sum(n_rejected), 0) FROM ingest"));
        assert_eq!((n_read, n_read % BATCH), (galaxies + rejected, 0));
        assert_eq!(5 * galaxies, number("SELECT count(*) FROM photometry"));
        drop(connection);
        if n_read > 0 && n_read < ROWS as i64 {
            killed_inside += 1;
        }
        if code.is_some() || n_read == ROWS as i64 {
            // It came to its end: the result is the same, and there is more to kill.
            catalog.run(&arguments);
            assert_eq!(catalog.galaxies(), expected);
            catalog = Catalog::new();
        }
    }
    let output = catalog.run(&arguments);
    assert!(matches!(output.status.code(), Some(0 | 4)), "{output:?}");
    assert_eq!(catalog.galaxies(), expected);
    catalog.expect(0, &["check"]);
}

#[test]
fn the_shipped_sample_is_made_like_the_nasa_sloan_atlas() {
    let catalog = Catalog::new();
    let said = catalog.expect(0, &["ingest", "--sample"]);
    assert!(said.contains("1000 rows read, 1000 galaxies in survey sdss"), "{said}");
    let path = [env!("CARGO_MANIFEST_DIR"), "samples", "sdss_1000.fits"].iter().collect::<PathBuf>();
    let mut file = FitsFile::open(&path).unwrap();
    let block = file.read_rows(1, 0, 1000).unwrap();
    let column = |name: &str| block.f64s(block.table().column(name).unwrap()).unwrap();
    let (flux, ivar, extinction) = (column("MODELFLUX"), column("MODELFLUX_IVAR"), column("EXTINCTION"));
    let offset = [-0.036, 0.012, 0.010, 0.028, 0.040];
    let floor = [0.05, 0.02, 0.02, 0.02, 0.03];
    let connection = catalog.read();
    let mut statement = connection
        .prepare("SELECT flux_nmgy, ivar_nmgy FROM photometry JOIN galaxy USING (galaxy_id) ORDER BY source_row, band_id")
        .unwrap();
    let rows = statement.query_map([], |row| Ok((row.get::<_, f64>(0)?, row.get::<_, f64>(1)?))).unwrap();
    let mut n = 0;
    for (i, row) in rows.enumerate() {
        let (found, found_ivar) = row.unwrap();
        let factor = 10_f64.powf(0.4 * (extinction[i] - offset[i % 5]));
        let expected = flux[i] * factor;
        let variance = factor * factor / ivar[i] + (0.4 * 10_f64.ln() * floor[i % 5] * expected).powi(2);
        assert!(
            (found / expected - 1.0).abs() < 1e-12 && (found_ivar * variance - 1.0).abs() < 1e-12,
            "value {i}"
        );
        n += 1;
    }
    assert_eq!(n, 5000);
    assert_eq!(
        catalog.number("SELECT count(*) FROM galaxy WHERE json_extract(extra, '$.KC5_LOGMASS') > 8"),
        1000
    );
}

/// A file of the data beside the project, where there is one.
fn shared(name: &str) -> Option<String> {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "..", "shared", "data", name].iter().collect();
    if !path.exists() {
        eprintln!("{} is absent: nothing tested", path.display());
    }
    path.exists().then(|| path.display().to_string())
}

#[test]
fn the_nasa_sloan_atlas_is_taken_as_it_is() {
    let Some(file) = shared("nsa_clusters_dev.fits") else { return };
    let catalog = Catalog::new();
    let said = catalog.expect(0, &["ingest", &file]);
    assert!(said.contains("2395 galaxies in survey nsa") && said.contains("not applied again"), "{said}");
    // Its first galaxy, r band, read with astropy: NMGY 102.641396, NMGY_IVAR 0.24104333.
    let sql = "SELECT flux_nmgy, ivar_nmgy FROM photometry JOIN galaxy USING (galaxy_id) JOIN band USING (band_id) \
               WHERE object_id = '112367' AND band.name = 'r'";
    let (flux, ivar): (f64, f64) =
        catalog.read().query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    assert_eq!((flux as f32, ivar as f32), (102.641_396, 0.241_043_33));
    assert_eq!(catalog.number("SELECT count(*) FROM photometry WHERE flux_nmgy IS NULL"), 293);
}

#[test]
fn the_cuts_on_sdss_flags_are_marked_and_nothing_is_deleted() {
    let Some(file) = shared("sdss_photo_flags_dev.fits") else { return };
    let catalog = Catalog::new();
    let said = catalog.expect(4, &["ingest", &file, "--cuts", "sdss-photo", "--cut-bands", "r", "--json"]);
    let json: serde_json::Value =
        serde_json::from_str(said.lines().find(|line| line.starts_with('{')).unwrap()).unwrap();
    let kept = json["kept"].as_i64().unwrap();
    assert_eq!(catalog.number("SELECT count(*) FROM galaxy"), kept);
    let mut file = FitsFile::open(Path::new(&file)).unwrap();
    let block = file.read_rows(1, 0, 2000).unwrap();
    let column = |name: &str| block.i64s(block.table().column(name).unwrap()).unwrap();
    let (flags, flags2) = (column("FLAGS"), column("FLAGS2"));
    let rows: Vec<usize> = {
        let connection = catalog.read();
        let mut statement = connection.prepare("SELECT source_row FROM galaxy").unwrap();
        statement
            .query_map([], |row| row.get::<_, i64>(0))
            .unwrap()
            .map(|row| row.unwrap() as usize)
            .collect()
    };
    // The masks of the SDSS documentation (photo flags, hexadecimal).
    let count = |test: &dyn Fn(i64, i64) -> bool| {
        rows.iter().filter(|&&row| test(flags[5 * row + 2].unwrap(), flags2[5 * row + 2].unwrap())).count()
            as i64
    };
    for (cut, expected) in [
        ("PEAKCENTER", count(&|flags, _| flags & 0x20 != 0)),
        ("NOPROFILE", count(&|flags, _| flags & 0x80 != 0)),
        ("SATURATED", count(&|flags, _| flags & 0x4_0000 != 0)),
        ("NOTCHECKED", count(&|flags, _| flags & 0x8_0000 != 0)),
        ("NOT_BINNED1", count(&|flags, _| flags & 0x1000_0000 == 0)),
        ("BAD_COUNTS_ERROR", count(&|_, flags2| flags2 & 0x100 != 0)),
        ("PSF_FLUX_INTERP", count(&|_, flags2| flags2 & 0x8000 != 0)),
        ("INTERP_CENTER_COSMIC_RAY", count(&|flags, flags2| flags2 & 0x1000 != 0 && flags & 0x1000 != 0)),
    ] {
        let sql = format!(
            "SELECT count(*) FROM galaxy WHERE cuts_failed >> (SELECT bit FROM cut_rule WHERE name = '{cut}') & 1"
        );
        assert_eq!(catalog.number(&sql), expected, "{cut}");
    }
}

/// Speed, by hand: `cargo test --release --test ingest -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn a_hundred_thousand_galaxies_in_five_seconds() {
    let catalog = Catalog::new();
    many(&catalog.path("many.fits"), 100_000);
    let file = catalog.path("many.fits").display().to_string();
    let started = Instant::now();
    catalog.expect(4, &["ingest", &file]);
    let elapsed = started.elapsed();
    eprintln!("100,000 galaxies x 5 bands: {elapsed:.2?}");
    assert!(elapsed < Duration::from_secs(5));
}
