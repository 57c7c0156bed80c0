//! Exports through the binary: what comes out, and that it comes back in as it was.

mod common;
mod synthetic;

use std::path::Path;
use std::process::Command;

use common::{query, refused, run, sedflow, text};
use sedflow::exchange::columns::{Columns, FluxUnit, What};
use sedflow::exchange::fields::Kind;
use sedflow::exchange::hdf5::{Dataset, Dtype, Group, H5Writer};
use sedflow::filters;
use sedflow::galaxy::{BandPhot, ExtraValue, GalaxyRecord, SkyPosition, phot_flag};
use sedflow::hash::ContentHash;
use sedflow::store::{
    BandSpec, CutSpec, ExtraColumn, FilterCurve, IngestSpec, Mode, PosteriorRow, RunSpec, Store, SurveySpec,
};
use sedflow::tables::{ReadOptions, open};
use serde_json::json;
use synthetic::{Synthetic, posterior};

const EVIL: &str = "a\u{1b}[31m, \"quoted\" 100 %\u{202e} 日本";
const N: usize = 40;
const N_DRAWS: usize = 300;

/// A catalog of two surveys with everything that is hard to write: NULLs, limits, flags, odd names and texts.
fn odd_catalog(path: &Path) {
    let mut store = Store::create(path).unwrap();
    let spec = RunSpec { command: "test", config: &json!({}), seed: None, resumes: None };
    let run = store.begin_run(&spec).unwrap();
    for (survey, bands) in [("odd survey é", vec!["r", "Ks 2"]), ("other", vec!["r"])] {
        let mut specs = Vec::new();
        for band in &bands {
            let curve = filters::shipped("sdss2010-r").unwrap();
            let known = *band == "r";
            let filter = known.then(|| {
                let curve = FilterCurve {
                    name: curve.name(),
                    hash: curve.hash(),
                    wave_pivot_aa: curve.pivot_aa(),
                    wave_aa: curve.wave_aa(),
                    response: curve.response(),
                };
                (store.put_filter(run, &curve).unwrap(), curve.hash)
            });
            let ucd = known.then(|| "em.opt.R".to_owned());
            specs.push(BandSpec { name: (*band).to_owned(), filter, ucd });
        }
        let band_set = store.put_band_set(run, survey, &specs).unwrap();
        let spec = SurveySpec { name: survey, band_set, description: None, reference: None };
        let id = store.put_survey(run, &spec).unwrap();
        let definition = json!({ "require": "flux_r > 0" });
        for name in ["bright", "clean"] {
            let cut = CutSpec { name, definition: &definition, description: "of a test" };
            store.put_cut(run, id, &cut).unwrap();
        }
        let extra = |name: &str, unit: Option<&str>| ExtraColumn {
            name: name.to_owned(),
            unit: unit.map(str::to_owned),
            ucd: unit.map(|_| "phys.size".to_owned()),
            description: unit.map(|_| "größe & <mass>".to_owned()),
        };
        let extra = [
            extra("größe", Some("kpc")),
            extra("note\u{1b}[1m", None),
            extra("count", None),
            extra("NOTE", None),
        ];
        let spec = IngestSpec {
            survey: id,
            survey_name: survey,
            file_name: "odd.fits",
            file_hash: ContentHash::of_bytes(survey.as_bytes()),
            n_bytes: 0,
            format: "fits",
            layout: "odd",
            config: &json!({}),
            extinction: "corrected with a map of é",
            extra: &extra,
        };
        let ingest = store.begin_ingest(run, &spec).unwrap();
        let galaxies: Vec<GalaxyRecord> = (0..N).map(|row| odd_galaxy(row, bands.len())).collect();
        store.commit_ingest_batch(ingest.id, N as u64, &galaxies, &[], &[]).unwrap();
        store.finish_ingest(ingest.id).unwrap();
    }
}

fn odd_galaxy(row: usize, n_bands: usize) -> GalaxyRecord {
    let x = (row as f64 + 0.3).sqrt() * 1.234_567_890_123;
    let phot = |band: usize| match (row + band) % 5 {
        0 => BandPhot { flux_nmgy: None, ivar_nmgy: None, flags: phot_flag::SENTINEL },
        1 => BandPhot { flux_nmgy: Some(x), ivar_nmgy: None, flags: phot_flag::UPPER_LIMIT },
        2 => BandPhot { flux_nmgy: Some(-x), ivar_nmgy: Some(1.0 / x), flags: phot_flag::NEGATIVE_FLUX },
        3 => BandPhot { flux_nmgy: Some(-99.0), ivar_nmgy: Some(x), flags: 1 << 10 | phot_flag::ERROR_FLOOR },
        _ => BandPhot { flux_nmgy: Some(x * 1e6), ivar_nmgy: Some(x * 1e-9), flags: 0 },
    };
    let note = match row % 4 {
        0 => ExtraValue::Null,
        1 => ExtraValue::Text(EVIL.to_owned()),
        2 => ExtraValue::Text(format!("%41 \\ ' < & {row}")),
        _ => ExtraValue::Text("00123".to_owned()),
    };
    GalaxyRecord {
        object_id: match row {
            0 => EVIL.to_owned(),
            1 => "0001".to_owned(),
            2 => "-7".to_owned(),
            3 => " blanks ".to_owned(),
            _ => format!("J{row}"),
        },
        source_row: row as u64,
        position: (!row.is_multiple_of(7))
            .then(|| SkyPosition { ra_deg: (x * 57.0) % 360.0, dec_deg: -80.0 + 0.1 * x }),
        redshift: (!row.is_multiple_of(3)).then_some(x * 0.01),
        redshift_err: (row % 6 == 1).then_some(1e-5 * x),
        photometry: (0..n_bands).map(phot).collect(),
        extra: vec![
            if row.is_multiple_of(4) { ExtraValue::Null } else { ExtraValue::Float(x) },
            note,
            if row.is_multiple_of(5) { ExtraValue::Null } else { ExtraValue::Int(i64::MAX - row as i64) },
            ExtraValue::Int(row as i64),
        ],
        cuts_failed: row as u64 % 4,
    }
}

/// All that an export should carry, in an order that does not depend on numbers given by a catalog.
fn contents(folder: &Path, catalog: &str) -> String {
    let galaxies = "SELECT s.name, g.object_id, g.source_row, g.ra_deg, g.dec_deg, g.healpix29, g.redshift, \
        g.redshift_err, g.cuts_failed, g.extra FROM galaxy g JOIN survey s USING (survey_id) ORDER BY 1, 3";
    let photometry = "SELECT s.name, g.object_id, b.position, b.name, b.ucd, c.name, p.flux_nmgy, p.ivar_nmgy, p.flags \
        FROM photometry p JOIN galaxy g USING (galaxy_id) JOIN survey s USING (survey_id) JOIN band b USING (band_id) \
        LEFT JOIN filter_curve c USING (filter_id) ORDER BY s.name, g.source_row, b.position";
    let extra = "SELECT s.name, e.name, e.unit, e.ucd, e.description FROM extra_column e JOIN ingest USING (ingest_id) \
        JOIN survey s USING (survey_id) ORDER BY s.name, e.position";
    let cuts = "SELECT s.name, c.bit, c.name, c.definition, c.description FROM cut_rule c JOIN survey s USING (survey_id) \
        ORDER BY 1, 2";
    let extinction = "SELECT s.name, i.extinction FROM ingest i JOIN survey s USING (survey_id) ORDER BY 1";
    [galaxies, photometry, extra, cuts, extinction].map(|sql| query(folder, catalog, sql)).join("\n")
}

#[test]
fn what_was_exported_is_ingested_again_without_loss() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    odd_catalog(&at.join("a.db"));
    let before = contents(at, "a.db");
    for format in ["fits", "vot", "parquet", "csv", "ecsv"] {
        let file = format!("a.{format}");
        run(at, &["-C", "a.db", "export", &file, "--flux-unit", "nmgy", "-q"]);
        let back = format!("{format}.db");
        run(at, &["-C", &back, "init"]);
        let said = run(at, &["-C", &back, "ingest", &file, "-q"]);
        assert!(said.contains("40 galaxies in survey other"), "{format}: {said}");
        let after = contents(at, &back);
        for (before, after) in before.lines().zip(after.lines()) {
            assert_eq!(before, after, "{format}");
        }
        assert_eq!(before, after, "{format}");
        common::sound(at, &back);
    }
}

#[test]
fn names_of_other_programs_are_undone_by_ingest() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    odd_catalog(&at.join("a.db"));
    let before = contents(at, "a.db");
    for names in ["cigale", "bagpipes", "desi"] {
        let (file, back) = (format!("{names}.fits"), format!("{names}.db"));
        run(at, &["-C", "a.db", "export", &file, "--flux-unit", "nmgy", "--names", names, "-q"]);
        run(at, &["-C", &back, "init"]);
        run(at, &["-C", &back, "ingest", &file, "-q"]);
        assert_eq!(before, contents(at, &back), "{names}");
    }
    with_posteriors(&at.join("b.db"));
    let header = |names: &str| {
        let file = format!("{names}.csv");
        run(at, &["-C", "b.db", "export", &file, "--names", names, "-q"]);
        let text = std::fs::read_to_string(at.join(file)).unwrap();
        text.lines().next().unwrap().split(',').map(str::to_owned).collect::<Vec<_>>()
    };
    let has = |names: &str, columns: &[&str]| {
        let header = header(names);
        assert!(columns.iter().all(|column| header.iter().any(|name| name == column)), "{header:?}");
    };
    has("cigale", &["id", "redshift", "bayes.log_mstar", "bayes.log_mstar_err", "best.tau_ism"]);
    has(
        "bagpipes",
        &["log_mstar_16", "log_mstar_50", "log_mstar_84", "log_evidence", "chisq_phot", "n_bands"],
    );
    has("desi", &["OBJECT_ID", "RA_DEG", "LOG_MSTAR_Q50"]);
    for output in [["a.zarr"], ["a.tex"], ["a.h5"]] {
        let words = [&["-C", "b.db", "export", "--names", "desi"][..], &output].concat();
        refused(at, &words, "names of its own");
    }
}

#[test]
fn fluxes_in_nanojansky_come_back_to_the_last_bit_but_one() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    run(at, &["-C", "a.db", "init"]);
    run(at, &["-C", "a.db", "ingest", "--sample", "-q"]);
    run(at, &["-C", "a.db", "export", "a.parquet", "-q"]);
    run(at, &["-C", "b.db", "init"]);
    run(at, &["-C", "b.db", "ingest", "a.parquet", "-q"]);
    let sql = "SELECT p.flux_nmgy, p.ivar_nmgy, p.flags FROM photometry p JOIN galaxy g USING (galaxy_id) \
               ORDER BY g.source_row, band_id";
    let numbers = |catalog: &str| -> Vec<f64> {
        let table = query(at, catalog, sql);
        table.lines().flat_map(|line| line.split(',')).map(|cell| cell.parse().unwrap_or(f64::NAN)).collect()
    };
    let (a, b) = (numbers("a.db"), numbers("b.db"));
    assert_eq!((a.len(), b.len()), (15_000, 15_000));
    let close = |a: f64, b: f64| a.is_nan() && b.is_nan() || (a - b).abs() <= f64::EPSILON * a.abs();
    assert!(a.iter().zip(&b).all(|(&a, &b)| close(a, b)));
    let filters =
        "SELECT b.name, b.ucd, c.name FROM band b JOIN filter_curve c USING (filter_id) ORDER BY position";
    assert_eq!(query(at, "a.db", filters), query(at, "b.db", filters));
}

#[test]
fn names_and_texts_that_a_format_cannot_hold_are_mapped_and_reported() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    odd_catalog(&at.join("a.db"));
    let output = sedflow(at, &["-C", "a.db", "export", "a.fits"]).output().unwrap();
    let said = text(&output.stderr);
    assert!(said.contains("column `größe` is called `gr__e`"), "{said}");
    assert!(said.contains("object_id are percent-encoded"), "{said}");
    assert!(!said.contains('\u{1b}'), "{said}");
}

#[test]
fn nothing_is_replaced_unasked_and_a_failed_export_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    odd_catalog(&at.join("a.db"));
    for file in ["a.fits", "a.vot", "a.parquet", "a.csv", "a.ecsv", "a.npz", "a.tex"] {
        std::fs::write(at.join(file), "mine").unwrap();
        refused(at, &["-C", "a.db", "export", file], "exists already");
        assert_eq!(std::fs::read(at.join(file)).unwrap(), b"mine");
        run(at, &["-C", "a.db", "export", file, "--overwrite", "-q"]);
        assert_ne!(std::fs::read(at.join(file)).unwrap(), b"mine", "{file}");
    }
    std::fs::create_dir(at.join("thesis")).unwrap();
    refused(at, &["-C", "a.db", "export", "thesis", "--format", "hats", "--overwrite"], "is not replaced");
    refused(at, &["-C", "a.db", "export", "thesis", "--format", "fits", "--overwrite"], "is not replaced");
    refused(at, &["-C", "a.db", "export", "a.bin"], "--format");
    refused(at, &["-C", "a.db", "export", "b.fits", "--columns", "nonsense"], "nonsense");
    refused(at, &["-C", "a.db", "export", "b.fits", "--what", "draws"], "no posterior set");
    refused(at, &["-C", "a.db", "export", "b.fits", "--where", "redshift > 9"], "no galaxy is selected");
    refused(at, &["-C", "a.db", "export", "no/such/b.fits"], "no/such/b.fits");
    let left = std::fs::read_dir(at).unwrap().map(|entry| entry.unwrap().file_name());
    let left: Vec<String> = left.map(|name| name.to_string_lossy().into_owned()).collect();
    assert!(left.iter().all(|name| !name.contains("partial") && !name.starts_with("b.")), "{left:?}");
}

/// Limits the size of files that a process may write, as a full disk does: a write beyond it fails.
#[test]
fn a_full_disk_leaves_no_half_file_or_folder() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    with_posteriors(&at.join("a.db"));
    // otherwise SQLite's own shared memory would be the first file that cannot be written
    let catalog = rusqlite::Connection::open(at.join("a.db")).unwrap();
    catalog.pragma_update(None, "journal_mode", "DELETE").unwrap();
    drop(catalog);
    let tables =
        ["a.fits", "a.vot", "a.parquet", "a.csv", "a.ecsv", "a.npz", "a.tex", "a.h5", "b.h5 --what galaxies"];
    let folders = [
        "a.zarr",
        "qp --format qp",
        "hats --format hats",
        "margin --format hats --margin 3600 --partition-rows 6",
    ];
    let tables = tables.iter().map(|output| (output, 1));
    // at the first file already, and at one of the large ones
    for (output, kib) in tables.chain(folders.iter().flat_map(|output| [(output, 1), (output, 8)])) {
        let script = format!(
            "ulimit -f {kib}; trap '' XFSZ; exec {} -C a.db export {output}",
            env!("CARGO_BIN_EXE_sedflow")
        );
        let output = Command::new("bash").current_dir(at).args(["-c", &script]).output().unwrap();
        let said = text(&output.stderr);
        let left = std::fs::read_dir(at).unwrap().map(|entry| entry.unwrap().file_name());
        let left: Vec<String> = left.map(|name| name.to_string_lossy().into_owned()).collect();
        assert_eq!(output.status.code(), Some(1), "{script}: {said} {left:?}");
        assert!(said.contains("error: ") && said.contains("cannot write"), "{script}: {said}");
        assert!(!said.contains("panicked"), "{script}: {said}");
        assert!(left.iter().all(|name| name.starts_with("a.db")), "{script}: {left:?}");
    }
}

/// A catalog with posteriors of most galaxies, some by importance, one with a reason alone.
fn with_posteriors(path: &Path) -> Vec<Vec<Vec<f32>>> {
    let mut catalog = Synthetic::new(path, N).unwrap();
    let mut draws = Vec::new();
    let mut row_of = |i: usize| {
        let posterior = posterior(i as u64, N_DRAWS);
        draws.push(posterior.columns);
        if i == 3 {
            return PosteriorRow { reason: Some("Z_RANGE".to_owned()), ..PosteriorRow::default() };
        }
        posterior.row
    };
    catalog.add_set("made-up", 1, N_DRAWS as u64, (1, N), &mut row_of).unwrap();
    draws
}

#[test]
fn every_column_has_a_description_and_a_unit_or_says_that_it_has_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    with_posteriors(&path);
    let store = Store::open(&path, Mode::Read).unwrap();
    let set = store.current_posterior_set().unwrap().unwrap();
    let columns = Columns::new(&store, Some(&set), FluxUnit::Njy).unwrap();
    let exported = columns.of(&[What::Galaxies, What::Photometry, What::Summaries, What::Draws]);
    assert!(exported.len() > 190, "{}", exported.len());
    for column in exported {
        let field = &column.field;
        let text = field.full_description();
        assert!(
            text.len() >= 5 && text.is_ascii() && !text.contains("not described"),
            "{}: {text}",
            field.name
        );
        let counted = matches!(field.kind, Kind::Int | Kind::Text { .. });
        assert!(field.unit.is_some() || counted || text.contains("(no unit)"), "{}: {text}", field.name);
        assert!(field.ucd.is_some(), "{}", field.name);
    }
    let unit = |name: &str| columns.named(&[name.to_owned()]).unwrap()[0].field.unit.clone();
    assert_eq!(unit("log_mstar_q50").as_deref(), Some("log(solMass)"));
    assert_eq!(unit("flux_njy_r").as_deref(), Some("nJy"));
    assert_eq!(unit("t_age_mw_gyr_map").as_deref(), Some("Gyr"));
}

#[test]
fn draws_come_out_as_vectors_and_the_selection_holds() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let draws = with_posteriors(&at.join("a.db"));
    for file in ["d.fits", "d.parquet", "d.vot", "d.ecsv"] {
        run(at, &["-C", "a.db", "export", file, "--what", "draws", "--where", "method = 'npe'", "-q"]);
        let mut table = open(&at.join(file), &ReadOptions::default()).unwrap();
        let mass = table.columns().iter().position(|column| column.name == "log_mstar").unwrap();
        assert_eq!(table.columns()[mass].len, N_DRAWS, "{file}");
        table.select(&[mass]);
        let mut rows = 0;
        while let Some(block) = table.next_block(1000).unwrap() {
            for row in 0..block.n_rows() {
                // galaxy 3 has no draws and is not among these
                let galaxy = rows + usize::from(rows >= 3);
                let mean = |values: &mut dyn Iterator<Item = f64>| values.sum::<f64>() / N_DRAWS as f64;
                let found = mean(
                    &mut (0..N_DRAWS).map(|i| block.columns[0].number(row * N_DRAWS + i).unwrap().unwrap()),
                );
                let expected = mean(&mut draws[galaxy][0].iter().map(|&value| f64::from(value)));
                assert!((found - expected).abs() < 0.01, "{file} {galaxy}: {found} {expected}");
                rows += 1;
            }
        }
        assert_eq!(rows, N - 1, "{file}");
    }
    run(
        at,
        &[
            "-C",
            "a.db",
            "export",
            "p.csv",
            "--where",
            "P(log_mstar > 10) > 0.5",
            "--columns",
            "object_id",
            "-q",
        ],
    );
    let found = run(
        at,
        &["-C", "a.db", "find", "P(log_mstar > 10) > 0.5", "--columns", "object_id", "--format", "csv"],
    );
    assert_eq!(std::fs::read_to_string(at.join("p.csv")).unwrap(), found);
}

#[test]
fn a_hats_catalog_has_every_galaxy_once_and_its_margin_those_nearby() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    with_posteriors(&at.join("a.db"));
    let arguments = [
        "-C",
        "a.db",
        "export",
        "hats",
        "--format",
        "hats",
        "--partition-rows",
        "6",
        "--margin",
        "3600",
        "-q",
    ];
    run(at, &arguments);
    let read = |place: &str| std::fs::read_to_string(at.join("hats").join(place)).unwrap();
    assert!(read("primary/hats.properties").contains(&format!("hats_nrows={N}\n")));
    let info = read("primary/partition_info.csv");
    assert!(info.starts_with("Norder,Npix\n") && info.lines().count() > 6, "{info}");
    let mut ids = Vec::new();
    for line in info.lines().skip(1) {
        let (order, pixel) = line.split_once(',').unwrap();
        let (order, pixel): (u32, u64) = (order.parse().unwrap(), pixel.parse().unwrap());
        let file = format!(
            "hats/primary/dataset/Norder={order}/Dir={}/Npix={pixel}.parquet",
            pixel / 10_000 * 10_000
        );
        let mut table = open(&at.join(file), &ReadOptions::default()).unwrap();
        assert_eq!(table.columns()[0].name, "_healpix_29");
        let block = table.next_block(1000).unwrap().unwrap();
        let cells: Vec<u64> =
            (0..block.n_rows()).map(|row| block.columns[0].text(row).unwrap().parse().unwrap()).collect();
        assert!(cells.is_sorted() && cells.iter().all(|cell| cell >> (2 * (29 - order)) == pixel));
        ids.extend((0..block.n_rows()).map(|row| block.columns[2].text(row).unwrap()));
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), N);
    assert!(read("margin_3600arcs/hats.properties").contains("dataproduct_type=margin"));
    // the skymap counts every galaxy in the cell of order 8 that it lies in
    assert!(read("primary/hats.properties").contains("hats_skymap_order=8\n"));
    let mut map = open(&at.join("hats/primary/skymap.fits"), &ReadOptions::default()).unwrap();
    let block = map.next_block(1000).unwrap().unwrap();
    let number = |column: usize, row: usize| block.columns[column].number(row).unwrap().unwrap();
    assert_eq!((0..block.n_rows()).map(|row| number(1, row)).sum::<f64>(), N as f64);
    let pixels = query(at, "a.db", "SELECT DISTINCT healpix29 >> 42 FROM galaxy ORDER BY 1");
    let found: String = (0..block.n_rows()).map(|row| format!("{}\n", number(0, row))).collect();
    assert_eq!(found, pixels);
    refused(at, &arguments[..10], "exists already");
}

/// The light part of `tests/interop/run`, with what packages the Python has; CI names one with all.
#[test]
fn astropy_pyarrow_and_duckdb_read_what_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    with_posteriors(&at.join("a.db"));
    for file in ["a.fits", "a.vot", "a.parquet", "a.csv", "a.ecsv", "a.npz", "a.h5"] {
        run(at, &["-C", "a.db", "export", file, "-q"]);
    }
    run(at, &["-C", "a.db", "export", "d.parquet", "--what", "draws", "-q"]);
    run(at, &["-C", "a.db", "export", "d.fits", "--what", "draws", "-q"]);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/light.py");
    let Some(python) = common::python("sys") else { return };
    let mut command = Command::new(python);
    command.arg(script).arg(at);
    if std::env::var_os("SEDFLOW_PYTHON").is_some() {
        command.arg("--all");
    }
    let output = command.output().unwrap();
    println!("{}", text(&output.stdout));
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
}

/// The draws of a set's parameter at the quantile `q50`, by galaxy.
fn medians(at: &Path, set: &str, parameter: &str) -> Vec<f64> {
    let sql = format!(
        "SELECT q.{parameter}_q50 FROM posterior_summary q JOIN posterior_set s USING (posterior_set_id) \
         WHERE s.name = '{set}' ORDER BY q.galaxy_id"
    );
    query(at, "a.db", &sql).lines().map(|line| line.parse().unwrap_or(f64::NAN)).collect()
}

#[test]
fn posteriors_made_elsewhere_become_a_set_to_compare_with() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    with_posteriors(&at.join("a.db"));
    run(at, &["-C", "a.db", "export", "a.h5", "-q"]);
    let said = run(at, &["-C", "a.db", "import", "a.h5", "--set", "again", "--method", "SEDflow", "-q"]);
    assert!(said.contains(&format!("{} galaxies in set again, made by SEDflow", N - 1)), "{said}");
    for parameter in ["log_mstar", "log_z_mw", "tau_ism", "log_sfr_1gyr"] {
        let (before, after) = (medians(at, "made-up", parameter), medians(at, "again", parameter));
        assert_eq!(before.len(), N - 1);
        assert!(before.iter().zip(&after).all(|(a, b)| (a - b).abs() < 0.02), "{parameter}");
    }
    let diff = run(at, &["-C", "a.db", "diff", "made-up", "again"]);
    assert!(diff.contains("log_mstar"), "{diff}");

    // a chain of two walkers whose first iterations are far away, as emcee has it, and the same as provabgs keeps it
    let chain: Vec<f64> = (0..200)
        .flat_map(|i| {
            let mass = if i < 100 { 8.0 } else { 10.0 + 0.001 * f64::from(i % 7) };
            [mass, 0.1, 0.2, 0.3, 0.4, 0.05, 3.0, 0.001, 0.002, 0.5, 0.4, -0.3]
        })
        .collect();
    let bytes: Vec<u8> = chain.iter().flat_map(|value| value.to_le_bytes()).collect();
    let member = sedflow::exchange::npz::Member::new("chain", "<f8", 8, &[100, 2, 12]);
    let mut writer =
        sedflow::exchange::npz::NpzWriter::create(&at.join("1000000005.npz"), false, &[member]).unwrap();
    writer.write(0, &bytes).unwrap();
    writer.finish().unwrap();
    let chain = Dataset::new("mcmc_chain0", Dtype::F64, &[100, 2, 12]);
    let root = Group { datasets: vec![chain], groups: vec![] };
    let file = H5Writer::create(&at.join("mcmc.hdf5"), false, &root).unwrap();
    file.write(0, 0, &bytes).unwrap();
    file.finish().unwrap();
    let import = |file: &str, set: &str, more: &[&str]| {
        let arguments =
            ["-C", "a.db", "import", file, "--set", set, "--method", "emcee", "--burn-in", "50", "-q"];
        run(at, &[&arguments[..], more].concat())
    };
    import("1000000005.npz", "by-emcee", &[]);
    import("mcmc.hdf5", "by-provabgs", &["--galaxy", "1000000006"]);
    for set in ["by-emcee", "by-provabgs"] {
        assert!((medians(at, set, "log_mstar")[0] - 10.003).abs() < 0.002);
        assert!((medians(at, set, "log_gamma1")[0] + 3.0).abs() < 1e-3);
        assert!(medians(at, set, "log_sfr_1gyr")[0].is_finite());
    }
    let method = "SELECT p.method, s.config ->> 'method' FROM posterior p JOIN posterior_set s USING (posterior_set_id) \
                  WHERE s.name = 'by-emcee'";
    assert_eq!(query(at, "a.db", method).trim(), "mcmc,emcee");
    common::sound(at, "a.db");

    // rows of fewer draws are filled up with NaN, as `export` does; a hole within is an error of whoever made it
    let (ids, masses) =
        (Dataset::new("NSAID", Dtype::I64, &[3]), Dataset::new("log_mstar", Dtype::F32, &[3, 10]));
    let root = Group { datasets: vec![ids, masses], groups: vec![] };
    let file = H5Writer::create(&at.join("short.h5"), false, &root).unwrap();
    let ids: Vec<u8> =
        [1_000_000_005_i64, 1_000_000_006, 1_000_000_007].iter().flat_map(|id| id.to_le_bytes()).collect();
    file.write(0, 0, &ids).unwrap();
    let mass = |i: usize| if (16..20).contains(&i) || i == 25 { f32::NAN } else { 10.0 + i as f32 / 100.0 };
    let masses: Vec<u8> = (0..30).flat_map(|i| mass(i).to_le_bytes()).collect();
    file.write(1, 0, &masses).unwrap();
    file.finish().unwrap();
    let said = run(at, &["-C", "a.db", "import", "short.h5", "--set", "short", "--method", "sedflow", "-q"]);
    assert!(said.contains("2 galaxies in set short") && said.contains("1 galaxies have no finite"), "{said}");
    let lengths = "SELECT p.n_draws FROM posterior p JOIN posterior_set s USING (posterior_set_id) \
                   WHERE s.name = 'short' ORDER BY galaxy_id";
    assert_eq!(query(at, "a.db", lengths), "10\n6\n");

    std::fs::write(at.join("bad.npz"), b"PK nothing").unwrap();
    std::fs::write(at.join("bad.h5"), b"\x89HDF\r\n\x1a\n and no more").unwrap();
    for (file, words) in
        [("bad.npz", "bad.npz"), ("bad.h5", "bad.h5"), ("a.db", "neither HDF5"), ("none", "none")]
    {
        refused(at, &["-C", "a.db", "import", file, "--set", "x", "--method", "y"], words);
    }
    refused(
        at,
        &["-C", "a.db", "import", "1000000005.npz", "--set", "y", "--method", "y", "--names", "a,b"],
        "2 names",
    );
    refused(
        at,
        &["-C", "a.db", "import", "a.h5", "--set", "again", "--method", "SEDflow"],
        "complete already",
    );
}
