use super::map::ColumnMap;
use super::plan::{Plan, PlanError};
use super::*;
use crate::galaxy::phot_flag;
use crate::progress::Silent;
use crate::store::Store;
use crate::tables::DelimitedTable;

const HEAD: &str = "name = 'test'\nsurvey = 'test'\n[columns]\nid = ['id', '@row']\nra = ['ra']\ndec = ['dec']\n\
                    redshift = ['z']\nredshift_err = ['z_err']\n";

/// A map of one band `r` in column `f` with error `e`.
fn map(photometry: &str, extinction: &str, band: &str) -> ColumnMap {
    let text = format!(
        "{HEAD}[photometry]\n{photometry}\n[extinction]\n{extinction}\n[[band]]\nname = 'r'\nfilter = 'sdss2010-r'\n\
         flux = 'f'\nerror = 'e'\n{band}\n"
    );
    ColumnMap::parse(&text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

const NMGY_IVAR: &str = "quantity = 'flux'\nunit = 'nmgy'\nerror = 'ivar'";
const NONE: &str = "kind = 'none'";

fn read(map: &ColumnMap, csv: &str) -> Converted {
    let mut table = DelimitedTable::new(csv.as_bytes(), None).unwrap();
    let plan = Plan::new(map, table.columns()).unwrap_or_else(|error| panic!("{error}"));
    table.select(&plan.selected);
    convert(&plan, &table.next_block(1000).unwrap().unwrap())
}

/// Flux and sigma in nanomaggies of one row.
fn flux(map: &ColumnMap, csv: &str) -> (f64, f64) {
    let converted = read(map, csv);
    assert!(converted.rejected.is_empty(), "{:?}", converted.rejected);
    let phot = converted.galaxies[0].photometry[0];
    (phot.flux_nmgy.unwrap(), phot.ivar_nmgy.unwrap().powf(-0.5))
}

fn assert_near(found: (f64, f64), expected: (f64, f64)) {
    let near = |a: f64, b: f64| (a / b - 1.0).abs() < 1e-9;
    assert!(near(found.0, expected.0) && near(found.1, expected.1), "{found:?} instead of {expected:?}");
}

#[test]
fn the_same_galaxy_in_every_unit_is_the_same() {
    // AB 17.5 is 100 nmgy; an error of 0.1 mag is 9.21 % of it.
    let expected = (100.0, 100.0 * 0.1 * units::FLUX_PER_MAG);
    let relative = 0.1 * units::FLUX_PER_MAG;
    for (unit, one) in [
        ("nmgy", 100.0),
        ("maggies", 1e-7),
        ("Jy", 3.631e-4),
        ("mJy", 0.3631),
        ("uJy", 363.1),
        ("nJy", 3.631e5),
        ("erg s-1 cm-2 Hz-1", 3.631e-27),
    ] {
        for (error, value) in [("sigma", one * relative), ("ivar", (one * relative).powi(-2)), ("mag", 0.1)] {
            let map = map(&format!("quantity = 'flux'\nunit = '{unit}'\nerror = '{error}'"), NONE, "");
            assert_near(flux(&map, &format!("id,f,e\n1,{one},{value}\n")), expected);
        }
    }
    let ab = map("quantity = 'mag'\nunit = 'AB'\nerror = 'sigma'", NONE, "");
    assert_near(flux(&ab, "id,f,e\n1,17.5,0.1\n"), expected);
    let vega = map("quantity = 'mag'\nunit = 'Vega'\nerror = 'sigma'", NONE, "vega_to_ab = 0.5");
    assert_near(flux(&vega, "id,f,e\n1,17.0,0.1\n"), expected);
}

#[test]
fn luptitudes_are_those_of_sdss() {
    // SDSS r: b = 1.2e-10; zero flux is 24.80 (Lupton, Gunn & Szalay 1999; SDSS DR algorithms page).
    let map = map("quantity = 'luptitude'\nunit = 'AB'\nerror = 'sigma'", NONE, "softening = 1.2e-10");
    let zero = -2.5 * 1.2e-10_f64.log10();
    assert!((zero - 24.80).abs() < 0.005);
    let (faint, sigma) = flux(&map, &format!("id,f,e\n1,{zero},0.1\n"));
    assert!(faint.abs() < 1e-12);
    assert!((sigma - 0.1 * units::FLUX_PER_MAG * 0.24).abs() < 1e-12, "{sigma}");
    // For bright objects they are Pogson magnitudes.
    let (bright, sigma) = flux(&map, "id,f,e\n1,15.0,0.02\n");
    assert!(
        (bright / 1000.0 - 1.0).abs() < 1e-6
            && (sigma / bright / 0.02 / units::FLUX_PER_MAG - 1.0).abs() < 1e-6
    );
    assert!(flux(&map, "id,f,e\n1,25.5,0.5\n").0 < 0.0);
}

#[test]
fn extinction_offsets_and_floors_are_applied_once_and_in_that_order() {
    let expect = |factor: f64, floor: f64| {
        let f = 100.0 * factor;
        (f, ((2.0 * factor).powi(2) + (units::FLUX_PER_MAG * floor * f).powi(2)).sqrt())
    };
    let csv = "id,f,e,A,T,ebv\n1,100,0.25,0.5,0.8,0.1\n";
    assert_near(flux(&map(NMGY_IVAR, "kind = 'corrected'", ""), csv), expect(1.0, 0.0));
    let a_band = map(NMGY_IVAR, "kind = 'a-band'", "extinction = 'A'\nab_offset = 0.01\nerror_floor = 0.02");
    assert_near(flux(&a_band, csv), expect(10_f64.powf(0.4 * (0.5 - 0.01)), 0.02));
    let transmission = map(NMGY_IVAR, "kind = 'transmission'", "extinction = 'T'");
    assert_near(flux(&transmission, csv), expect(1.25, 0.0));
    let ebv = map(NMGY_IVAR, "kind = 'ebv'\ncolumn = 'ebv'", "");
    assert_near(flux(&ebv, csv), expect(10_f64.powf(0.4 * 0.1 * 2.285), 0.0));
    let stated = map(NMGY_IVAR, "kind = 'ebv'\ncolumn = 'ebv'", "a_per_ebv = 3");
    assert_near(flux(&stated, csv), expect(10_f64.powf(0.4 * 0.3), 0.0));
}

#[test]
fn the_error_may_be_the_floor_alone() {
    let map = map("quantity = 'mag'\nunit = 'AB'\nerror = 'none'", NONE, "error_floor = 0.1");
    assert_near(flux(&map, "id,f,e\n1,17.5,\n"), (100.0, 10.0 * units::FLUX_PER_MAG));
}

#[test]
fn unusable_values_leave_the_band_out_and_are_counted() {
    let map = map(NMGY_IVAR, "kind = 'a-band'", "extinction = 'A'");
    let rows = [
        ("nan,1,0", phot_flag::NOT_FINITE, "r: not finite"),
        ("inf,1,0", phot_flag::NOT_FINITE, "r: not finite"),
        ("5,nan,0", phot_flag::NOT_FINITE, "r: not finite"),
        ("5,inf,0", phot_flag::NOT_FINITE, "r: not finite"),
        ("1e308,1,40", phot_flag::NOT_FINITE, "r: not finite"),
        ("-99,1,0", phot_flag::SENTINEL, "r: sentinel value"),
        ("-9999,1,0", phot_flag::SENTINEL, "r: sentinel value"),
        ("5,-9999.0,0", phot_flag::SENTINEL, "r: sentinel value"),
        (",1,0", phot_flag::SENTINEL, "r: no value"),
        ("5,,0", phot_flag::SENTINEL, "r: no value"),
        ("5,0,0", phot_flag::NO_ERROR, "r: zero error or ivar"),
        ("5,-2,0", phot_flag::NO_ERROR, "r: negative error or ivar"),
        ("5,1,nan", phot_flag::SENTINEL, "r: no extinction value"),
        ("5,1,-99", phot_flag::SENTINEL, "r: no extinction value"),
        ("5,1,99", phot_flag::SENTINEL, "r: no extinction value"),
    ];
    for (row, flag, count) in rows {
        let converted = read(&map, &format!("f,e,A\n{row}\n"));
        assert_eq!(converted.rejected, []);
        let phot = converted.galaxies[0].photometry[0];
        assert_eq!((phot.flux_nmgy, phot.ivar_nmgy, phot.flags), (None, None, flag), "{row}");
        assert_eq!(converted.counts.0.get(count), Some(&1), "{row}: {:?}", converted.counts);
    }
    let negative = read(&map, "f,e,A\n-5,1,0\n");
    assert_eq!(negative.galaxies[0].photometry[0].flux_nmgy, Some(-5.0));
    assert_eq!(negative.galaxies[0].photometry[0].flags, phot_flag::NEGATIVE_FLUX);
}

#[test]
fn magnitude_codes_mean_no_value() {
    let map = map("quantity = 'mag'\nunit = 'AB'\nerror = 'sigma'", NONE, "");
    for code in ["99", "99.99", "-99", "100", "nan"] {
        let converted = read(&map, &format!("id,f,e\n1,{code},0.1\n"));
        assert_eq!(converted.galaxies[0].photometry[0].flux_nmgy, None, "{code}");
    }
}

#[test]
fn a_negative_error_is_a_limit_only_where_the_map_says_so() {
    let cigale =
        map("quantity = 'flux'\nunit = 'mJy'\nerror = 'sigma'\nnegative_error_is_limit = true", NONE, "");
    let limit = read(&cigale, "id,f,e\n1,0.003631,-0.001\n").galaxies[0].photometry[0];
    assert!((limit.flux_nmgy.unwrap() - 1.0).abs() < 1e-12);
    assert_eq!((limit.ivar_nmgy, limit.flags), (None, phot_flag::UPPER_LIMIT));
    let plain = map("quantity = 'flux'\nunit = 'mJy'\nerror = 'sigma'", NONE, "");
    let phot = read(&plain, "id,f,e\n1,0.003631,-0.001\n").galaxies[0].photometry[0];
    assert_eq!((phot.flux_nmgy, phot.flags), (None, phot_flag::NO_ERROR));
}

#[test]
fn rows_that_are_no_galaxy_are_rejected_with_a_reason() {
    let map = map(NMGY_IVAR, NONE, "");
    let csv = "id,ra,dec,z,f,e\n\
               good,10,20,0.1,5,1\n\
               a,400,20,0.1,5,1\n\
               b,-1,20,0.1,5,1\n\
               c,10,91,0.1,5,1\n\
               d,10,20,-0.5,5,1\n\
               e,10,20,1e9,5,1\n\
               f,ten,20,0.1,5,1\n\
               g,10,20,0.1,bright,1\n\
               ,10,20,0.1,5,1\n\
               h,10,20,0.1,5\n\
               last,360,-90,0.1,5,1\n";
    let converted = read(&map, csv);
    let kept: Vec<_> = converted.galaxies.iter().map(|g| (g.object_id.as_str(), g.source_row)).collect();
    assert_eq!(kept, [("good", 0), ("last", 10)]);
    assert_eq!(converted.galaxies[1].position.unwrap().ra_deg, 0.0);
    let reasons: Vec<_> = converted.rejected.iter().map(|r| (r.source_row, r.reason)).collect();
    assert_eq!(
        reasons,
        [
            (1, "RA_RANGE"),
            (2, "RA_RANGE"),
            (3, "DEC_RANGE"),
            (4, "REDSHIFT_RANGE"),
            (5, "REDSHIFT_RANGE"),
            (6, "NOT_A_NUMBER"),
            (7, "NOT_A_NUMBER"),
            (8, "NO_ID"),
            (9, "UNREADABLE"),
        ]
    );
    assert_eq!(converted.rejected[6].detail, "band r: `bright` is not a number");
    assert_eq!(converted.rejected[0].object_id.as_deref(), Some("a"));
}

#[test]
fn odd_redshifts_and_positions_are_kept_and_counted() {
    let map = map(NMGY_IVAR, NONE, "");
    let csv = "id,ra,dec,z,z_err,f,e\n\
               blue,1,2,-0.001,0.1,5,1\nfar,1,2,0.7,-1,5,1\nnone,1,2,nan,,5,1\ncode,-99,2,-9999,,5,1\n";
    let converted = read(&map, csv);
    assert_eq!(converted.rejected, []);
    let redshifts: Vec<_> = converted.galaxies.iter().map(|g| g.redshift).collect();
    assert_eq!(redshifts, [Some(-0.001), Some(0.7), None, None]);
    assert_eq!(converted.galaxies[1].redshift_err, None);
    assert_eq!(converted.galaxies[3].position, None);
    let counts: Vec<_> = converted.counts.0.iter().map(|(what, n)| (what.as_str(), *n)).collect();
    assert_eq!(
        counts,
        [
            ("position: missing", 1),
            ("redshift error: negative, dropped", 1),
            ("redshift: above 0.2 (the default model's range), kept", 1),
            ("redshift: missing", 2),
            ("redshift: negative, kept", 1),
        ]
    );
}

#[test]
fn nothing_is_guessed_about_columns_and_units() {
    let plan = |map: &ColumnMap, header: &str| {
        let table = DelimitedTable::new(header.as_bytes(), None).unwrap();
        Plan::new(map, table.columns()).err().map(|error| error.to_string()).unwrap_or_default()
    };
    let no_unit = map("quantity = 'flux'\nerror = 'sigma'", NONE, "");
    assert!(plan(&no_unit, "id,f,e\n").contains("has no unit, and none is guessed"));
    let vega = map("quantity = 'mag'\nunit = 'Vega'\nerror = 'sigma'", NONE, "");
    assert!(plan(&vega, "id,f,e\n").contains("vega_to_ab"));
    let plain = map(NMGY_IVAR, NONE, "");
    let message = plan(&plain, "id,flux_r,e\n");
    assert!(
        message.contains("no column `f` for flux of band `r`") && message.contains("flux_r"),
        "{message}"
    );
    let ebv = map(NMGY_IVAR, "kind = 'ebv'\ncolumn = 'EBV'", "");
    assert!(plan(&ebv, "id,f,e\n").contains("E(B-V)"));

    let mut columns = DelimitedTable::new("id,f,e\n".as_bytes(), None).unwrap().columns().to_vec();
    columns[1].unit = Some("counts".to_owned());
    let error = Plan::new(&no_unit, &columns).unwrap_err();
    assert!(matches!(error, PlanError::UnknownUnit { .. }), "{error}");
    columns[1].unit = Some("uJy".to_owned());
    assert!(matches!(Plan::new(&plain, &columns).unwrap_err(), PlanError::OtherUnit { .. }));
    let plan = Plan::new(&no_unit, &columns).unwrap();
    assert_eq!(plan.bands[0].flux_unit, "uJy");
}

#[test]
fn cuts_mark_and_delete_nothing() {
    let mut map = map(NMGY_IVAR, NONE, "");
    let cuts = "name = 'c'\n[constants]\nSATURATED = 18\n\
        [[cut]]\nname = 'z'\nrequire = 'redshift > 0.004 and redshift < 0.2'\n\
        [[cut]]\nname = 'snr'\nrequire = 'snr_r > 3'\n\
        [[cut]]\nname = 'saturated'\nfail = 'bit(flags, SATURATED)'\n\
        [[cut]]\nname = 'class'\nrequire = \"class = 'GALAXY'\"\n";
    map.cuts = map::CutFile::parse(cuts).unwrap().cuts;
    map.constants = map::CutFile::parse(cuts).unwrap().constants;
    let csv = "id,z,f,e,flags,class\n1,0.1,10,1,0,GALAXY\n2,0.5,1,1,262144,STAR\n3,,10,0,,GALAXY\n";
    let converted = read(&map, csv);
    let failed: Vec<u64> = converted.galaxies.iter().map(|galaxy| galaxy.cuts_failed).collect();
    // What is missing fails a requirement and passes a flag.
    assert_eq!(failed, [0b0000, 0b1111, 0b0011]);
    assert_eq!(converted.counts.0["cut z: failed"], 2);

    map.cuts[0].require = Some("redshfit > 0".to_owned());
    let table = DelimitedTable::new(csv.as_bytes(), None).unwrap();
    let message = Plan::new(&map, table.columns()).unwrap_err().to_string();
    assert!(
        message.contains("cut `z`") && message.contains("`redshfit`") && message.contains('^'),
        "{message}"
    );
}

#[test]
fn extra_columns_come_out_as_they_went_in() {
    let map = map(NMGY_IVAR, NONE, "");
    let csv = "id,f,e,name,n,x,code,empty\n1,5,1,\"a'; DROP TABLE \u{1b}[31m\",007,1.50,-9999,\n";
    let converted = read(&map, csv);
    use crate::galaxy::ExtraValue::{Float, Null, Text};
    assert_eq!(
        converted.galaxies[0].extra,
        [Text("a'; DROP TABLE \u{1b}[31m".to_owned()), Text("007".to_owned()), Float(1.5), Null, Null]
    );
}

#[test]
fn a_band_is_observed_only_where_its_condition_holds() {
    let mut map = map(NMGY_IVAR, NONE, "when = [\"nosuch = 1\", \"photsys = 'N'\"]");
    map.keep.columns = map::KeepColumns::Word(map::KeepWord::None);
    let converted = read(&map, "id,f,e,photsys\n1,5,1,N\n2,5,1,S\n");
    let fluxes: Vec<_> = converted.galaxies.iter().map(|galaxy| galaxy.photometry[0].flux_nmgy).collect();
    assert_eq!(fluxes, [Some(5.0), None]);
}

/// A catalog in a new directory, and an ingest of `csv` into it.
struct Bench {
    store: Store,
    _directory: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::create(&directory.path().join("catalog.db")).unwrap();
        Self { store, _directory: directory }
    }

    fn ingest(
        &mut self,
        map: &ColumnMap,
        csv: &str,
        batch: usize,
        progress: &dyn Progress,
    ) -> Result<Summary, IngestError> {
        let mut table = DelimitedTable::new(csv.as_bytes(), None).unwrap();
        let plan = Plan::new(map, table.columns()).unwrap();
        let source = Source {
            name: "test.csv".to_owned(),
            hash: ContentHash::of_bytes(csv.as_bytes()),
            n_bytes: csv.len() as u64,
        };
        let config = config(&plan, &table, &ReadOptions::default());
        let spec = crate::store::RunSpec { command: "ingest", config: &config, seed: None, resumes: None };
        let run = self.store.begin_run(&spec).unwrap();
        let summary = {
            let job = Job { source: &source, plan: &plan, config: &config, batch_rows: batch, show: 10 };
            ingest(&mut self.store, run, &job, &mut table, progress)
        };
        self.store.finish_run(run, crate::store::RunState::Done, None).unwrap();
        summary
    }
}

fn rows(n: usize) -> String {
    let mut csv = "id,ra,dec,z,f,e\n".to_owned();
    for i in 0..n {
        match i % 10 {
            3 => csv.push_str(&format!("g{i},{i},400,0.1,5,1\n")),
            7 => csv.push_str("ragged,1\n"),
            _ => csv.push_str(&format!("g{i},{},0.5,0.1,{i},1\n", i % 360)),
        }
    }
    csv
}

#[test]
fn the_catalog_holds_good_rows_and_the_reasons_of_bad_ones() {
    let (mut bench, map) = (Bench::new(), map(NMGY_IVAR, NONE, ""));
    let mut csv = rows(100);
    csv.push_str("g5,1,2,0.1,5,1\n");
    let summary = bench.ingest(&map, &csv, 7, &Silent).unwrap();
    assert_eq!((summary.state.n_read, summary.state.n_kept, summary.state.n_rejected), (101, 80, 21));
    assert!(summary.state.complete && !summary.already);
    let count = |what: &str| summary.counts.iter().find(|(item, _)| item == what).map(|(_, n)| *n);
    assert_eq!(count("rejected: DEC_RANGE"), Some(10));
    assert_eq!(count("rejected: UNREADABLE"), Some(10));
    assert_eq!(count("rejected: DUPLICATE_ID"), Some(1));
    assert_eq!(summary.rejected[0].source_row, 3);

    let again = bench.ingest(&map, &csv, 7, &Silent).unwrap();
    assert!(again.already);
    assert_eq!(again.state, summary.state);
}

/// Asks to stop after so many batches.
struct StopAfter(std::sync::atomic::AtomicUsize);

impl Progress for StopAfter {
    fn report(&self, event: Event) {
        if matches!(event, Event::Advanced { .. }) {
            self.0.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
        }
    }

    fn cancelled(&self) -> bool {
        self.0.load(std::sync::atomic::Ordering::SeqCst) == 0
    }
}

#[test]
fn an_interrupted_ingest_goes_on_to_the_same_catalog() {
    let (map, csv) = (map(NMGY_IVAR, NONE, ""), rows(100));
    let whole = Bench::new().ingest(&map, &csv, 1000, &Silent).unwrap();
    for (first_batch, then) in [(7, 7), (7, 40), (33, 5), (1, 1000)] {
        let mut bench = Bench::new();
        let stop = StopAfter(2.into());
        let part = bench.ingest(&map, &csv, first_batch, &stop).unwrap();
        assert!(part.interrupted && !part.state.complete);
        assert_eq!(part.state.n_read, 2 * first_batch as u64);
        let rest = bench.ingest(&map, &csv, then, &Silent).unwrap();
        assert_eq!(rest.resumed_at, part.state.n_read);
        assert_eq!(
            (rest.state.n_read, rest.state.n_kept, rest.state.n_rejected, rest.state.complete),
            (whole.state.n_read, whole.state.n_kept, whole.state.n_rejected, true)
        );
        assert_eq!(rest.counts, whole.counts);
    }
}

#[test]
fn a_file_of_hardly_any_usable_row_is_given_up() {
    let map = map(NMGY_IVAR, NONE, "");
    let rows = convert::ROWS_BEFORE_GIVING_UP as usize + 10;
    for (row, reason) in [(",1,1\n", "NO_ID"), ("7,1,1\n", "DUPLICATE_ID")] {
        let csv = format!("id,f,e\n{}", row.repeat(rows));
        let error = Bench::new().ingest(&map, &csv, 20_000, &Silent).unwrap_err();
        assert!(error.to_string().contains(reason), "{error}");
    }
}
