//! The catalog's commands as a user sees them: what they print, say and return.

use std::path::Path;
use std::process::{Command, Output};

use sedflow::galaxy::{BandPhot, ExtraValue, GalaxyRecord, SkyPosition};
use sedflow::hash::ContentHash;
use sedflow::store::{
    BandSpec, ExtraColumn, FilterCurve, IngestSpec, RunId, RunSpec, RunState, Store, StoreError, SurveySpec,
};
use serde_json::{Value, json};

fn sedflow(catalog: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sedflow")).arg("-C").arg(catalog).args(arguments).output().unwrap()
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

#[track_caller]
fn ok(output: Output) -> String {
    assert!(output.status.success(), "{}{}", stdout(&output), stderr(&output));
    stdout(&output).to_owned()
}

#[track_caller]
fn fails(output: &Output, expected: &str) {
    assert_eq!(output.status.code(), Some(1), "{}", stdout(output));
    assert!(stderr(output).starts_with("error: ") && stderr(output).contains(expected), "{}", stderr(output));
}

const EVIL: &str = "'; DROP TABLE galaxy; --\u{1b}[31m\u{202e}";

fn curve(name: &'static str) -> FilterCurve<'static> {
    FilterCurve {
        name,
        hash: ContentHash::of_bytes(name.as_bytes()),
        wave_pivot_aa: 6180.0,
        wave_aa: &[5500.0, 6200.0, 7000.0],
        response: &[0.0, 0.5, 0.0],
    }
}

/// Three galaxies of the survey `nsa`, one with a hostile identifier.
fn ingest(store: &mut Store, run: RunId) -> Result<((), RunState), StoreError> {
    let config = json!({"file": "nsa.fits"});
    let curve = curve("sdss2010-r");
    let filter = store.put_filter(run, &curve)?;
    let band = BandSpec { name: "r".to_owned(), filter: Some((filter, curve.hash)), ucd: None };
    let band_set = store.put_band_set(run, "r", &[band])?;
    let survey =
        store.put_survey(run, &SurveySpec { name: "nsa", band_set, description: None, reference: None })?;
    let extra = [ExtraColumn { name: "MASS".to_owned(), unit: None, ucd: None, description: None }];
    let spec = IngestSpec {
        survey,
        survey_name: "nsa",
        file_name: "nsa.fits",
        file_hash: ContentHash::of_bytes(b"file"),
        n_bytes: 4,
        format: "fits",
        layout: "nsa-v0",
        config: &config,
        extinction: "already applied by the survey",
        extra: &extra,
    };
    let ingest = store.begin_ingest(run, &spec)?;
    let galaxy = |row: u64, object_id: &str| GalaxyRecord {
        object_id: object_id.to_owned(),
        source_row: row,
        position: Some(SkyPosition { ra_deg: 187.0 + row as f64, dec_deg: 12.0 }),
        redshift: Some(0.01 * (row + 1) as f64),
        redshift_err: None,
        photometry: vec![BandPhot { flux_nmgy: Some(100.0), ivar_nmgy: Some(1.0), flags: 16 }],
        extra: vec![ExtraValue::Float(1e10 * (row + 1) as f64)],
        cuts_failed: 0,
    };
    store.commit_ingest_batch(
        ingest.id,
        3,
        &[galaxy(0, "140"), galaxy(1, "141"), galaxy(2, EVIL)],
        &[],
        &[],
    )?;
    store.finish_ingest(ingest.id)?;
    Ok(((), RunState::Done))
}

fn catalog(path: &Path) {
    let spec = RunSpec { command: "ingest", config: &json!({}), seed: None, resumes: None };
    Store::create(path).unwrap().recorded(&spec, ingest).unwrap();
}

#[test]
fn init_makes_a_file_that_check_finds_sound_and_never_overwrites_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    ok(sedflow(&path, &["init"]));
    let checked = ok(sedflow(&path, &["check"]));
    assert!(checked.lines().all(|line| line.starts_with("ok ")), "{checked}");
    fails(&sedflow(&path, &["init"]), "exists already");
    let left: Vec<_> =
        std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["a.db"], "one file, no log or lock beside it");
    fails(&sedflow(&dir.path().join("b.db"), &["log"]), "`sedflow init` makes one");
}

#[test]
fn init_killed_at_any_moment_can_be_done_again() {
    let dir = tempfile::tempdir().unwrap();
    for attempt in 0..20 {
        let path = dir.path().join(format!("{attempt}.db"));
        let mut child = Command::new(env!("CARGO_BIN_EXE_sedflow")).arg("init").arg(&path).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_micros(500 * attempt * attempt / 4));
        child.kill().unwrap();
        child.wait().unwrap();
        let again = sedflow(&path, &["init"]);
        assert!(again.status.success() || stderr(&again).contains("exists already"), "{}", stderr(&again));
        ok(sedflow(&path, &["check"]));
    }
}

#[test]
fn galaxies_are_listed_by_condition_cone_and_limit() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    catalog(&path);
    let csv =
        |arguments: &[&str]| ok(sedflow(&path, &[&["galaxies", "--format", "csv"], arguments].concat()));
    let heavy = ["--columns", "object_id,mag_r,MASS", "--where", "MASS < 2.5e10 and redshift > 0.01"];
    assert_eq!(csv(&heavy), "object_id,mag_r,MASS\n141,17.5,20000000000.0\n");
    assert_eq!(csv(&["--columns", "object_id", "--cone", "186.9,12,0.2"]), "object_id\n140\n");
    assert_eq!(csv(&["--columns", "object_id", "--cone", "10,-12,0.2"]), "object_id\n");
    let limited = sedflow(&path, &["galaxies", "--limit", "2", "--columns", "galaxy_id"]);
    assert!(stderr(&limited).contains("2 of 3 galaxies"), "{}", stderr(&limited));
    fails(&sedflow(&path, &["galaxies", "--where", "1) UNION SELECT (1"]), "is not a condition on galaxies");
    fails(&sedflow(&path, &["galaxies", "--columns", "weight"]), "there is no column `weight`");
    // of many names the nearest, and where the rest is
    fails(&sedflow(&path, &["galaxies", "--columns", "redshit"]), " are redshift, redshift_err, ");
    fails(&sedflow(&path, &["galaxies", "--columns", "redshit"]), "--list-columns` lists them");
}

#[test]
fn an_identifier_comes_out_as_it_went_in_and_acts_as_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    catalog(&path);
    let sql = "SELECT object_id FROM galaxy WHERE object_id = :id";
    let param = format!("id={EVIL}");
    let query = |format| ok(sedflow(&path, &["query", sql, "--param", &param, "--format", format]));
    assert_eq!(query("csv"), format!("object_id\n{EVIL}\n"));
    assert_eq!(query("tsv"), format!("object_id\n{EVIL}\n"));
    assert_eq!(serde_json::from_str::<Value>(&query("json")).unwrap(), json!([{"object_id": EVIL}]));
    assert_eq!(serde_json::from_str::<Value>(&query("jsonl")).unwrap(), json!({"object_id": EVIL}));
    let table = query("table");
    assert!(table.contains("--\\u{1b}[31m\\u{202e}") && !table.contains('\u{1b}'), "{table}");
    let shown = ok(sedflow(&path, &["show", EVIL]));
    assert!(shown.contains("\\u{1b}") && !shown.contains('\u{1b}'), "{shown}");
    fails(&sedflow(&path, &["show", "\u{1b}[2Jnothing"]), "\\u{1b}[2Jnothing");
    assert_eq!(
        ok(sedflow(&path, &["query", "SELECT count(*) AS n FROM galaxy", "--format", "csv"])),
        "n\n3\n"
    );
}

#[test]
fn a_query_only_reads() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    catalog(&path);
    fails(&sedflow(&path, &["query", "DELETE FROM galaxy"]), "a query is one SELECT");
    fails(&sedflow(&path, &["query", "VACUUM INTO 'copy.db'"]), "a query is one SELECT");
    let misspelt = sedflow(&path, &["query", "SELECT redshft FROM galaxy"]);
    fails(&misspelt, "no such column: redshft in `SELECT redshft FROM galaxy`");
    let misspelt = sedflow(&path, &["galaxies", "--where", "redshft < 1"]);
    fails(&misspelt, "this is not a condition on galaxies: no such column: redshft (character 1)");
    assert!(stderr(&misspelt).ends_with("    redshft < 1\n    ^\n"), "{}", stderr(&misspelt));
    fails(&sedflow(&path, &["query", "SELECT :a", "--param", "b=1"]), "no --param gives");
}

#[test]
fn why_walks_from_a_galaxy_to_its_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    catalog(&path);
    let why = ok(sedflow(&path, &["why", "140"]));
    let lines: Vec<&str> =
        why.lines().map(|line| line.trim_start_matches(['│', '├', '└', '─', ' '])).collect();
    assert_eq!(lines[0], "galaxy:nsa/140");
    assert!(lines[1].starts_with("ingest nsa.fits [ingest:1]"), "{why}");
    assert!(lines[2].starts_with("run 1 done: sedflow"), "{why}");
    assert!(lines[3].starts_with("file nsa.fits") && lines[3].ends_with("4 bytes"), "{why}");
    assert!(why.contains("filter sdss2010-r") && why.contains("(as above)"), "{why}");
    let prov: Value =
        serde_json::from_str(&ok(sedflow(&path, &["why", "140", "--format", "prov-json"]))).unwrap();
    let all = |part: &str| prov[part].as_object().unwrap().values().cloned().collect::<Vec<_>>();
    let file = all("entity").into_iter().find(|entity| entity["sedflow:kind"] == "file").unwrap();
    assert_eq!(file["prov:label"], "nsa.fits");
    let used = &all("used")[0];
    assert_eq!(used["prov:activity"], "sedflow:run.1");
    assert!(used["prov:entity"].as_str().unwrap().ends_with(file["sedflow:hash"].as_str().unwrap()));
    // every end of every relation is in the document
    for (relation, ends) in prov.as_object().unwrap().iter().filter(|(name, _)| name.starts_with("was")) {
        for end in ends.as_object().unwrap().values().flat_map(|ends| ends.as_object().unwrap().values()) {
            let id = end.as_str().unwrap();
            let there = ["entity", "activity", "agent"].iter().any(|part| !prov[part][id].is_null());
            assert!(there, "{relation}: {id}");
        }
    }
    let galaxy = ok(sedflow(&path, &["show", "nsa/140"]));
    assert!(galaxy.contains("ERROR_FLOOR") && galaxy.contains("already applied by the survey"), "{galaxy}");
    let run: Value =
        serde_json::from_str(&ok(sedflow(&path, &["show", "run:1", "--format", "json"]))).unwrap();
    assert_eq!(run["read"][0]["name"], "nsa.fits");
    assert!(ok(sedflow(&path, &["show", "nsa"])).contains("sdss2010-r"));
    assert!(ok(sedflow(&path, &["log", "--format", "csv"])).contains(",done,"));
}

#[test]
fn gc_removes_only_what_nothing_refers_to_and_only_when_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    catalog(&path);
    let spec = RunSpec { command: "filter", config: &json!({}), seed: None, resumes: None };
    Store::open_or_create(&path)
        .unwrap()
        .recorded(&spec, |store, run| {
            Ok::<_, StoreError>((store.put_filter(run, &curve("unused"))?, RunState::Done))
        })
        .unwrap();
    let listed = ok(sedflow(&path, &["gc", "--format", "csv"]));
    assert!(listed.lines().count() == 2 && listed.contains("filter:2,unused"), "{listed}");
    assert_eq!(ok(sedflow(&path, &["gc", "--format", "csv"])), listed, "nothing was removed");
    ok(sedflow(&path, &["gc", "--yes"]));
    assert_eq!(ok(sedflow(&path, &["gc", "--format", "csv"])).lines().count(), 1);
    fails(&sedflow(&path, &["gc", "filter:1", "--yes"]), "is referred to by band-set r");
    assert!(ok(sedflow(&path, &["why", "run:2"])).contains("run 2 done"));
    ok(sedflow(&path, &["gc", "ingest:1", "--yes"]));
    assert_eq!(
        ok(sedflow(&path, &["query", "SELECT count(*) AS n FROM photometry", "--format", "csv"])),
        "n\n0\n"
    );
    ok(sedflow(&path, &["check"]));
}

#[test]
fn a_second_writer_is_told_who_writes_and_readers_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    catalog(&path);
    let mut store = Store::open_or_create(&path).unwrap();
    store.begin_run(&RunSpec { command: "train", config: &json!({}), seed: Some(1), resumes: None }).unwrap();
    let expected = format!("process {}, run 2) is writing", std::process::id());
    fails(&sedflow(&path, &["gc", "--yes"]), &expected);
    assert!(ok(sedflow(&path, &["log", "--format", "csv"])).contains("running"));
    assert!(ok(sedflow(&path, &["check"])).contains("run 2 (train) is at work"));
    drop(store);
    assert!(ok(sedflow(&path, &["log", "--format", "csv"])).contains("interrupted"));
    assert!(
        ok(sedflow(&path, &["check"])).contains("run 2 (train) was interrupted; what it committed is kept")
    );
}

#[test]
fn check_names_damage_and_how_to_mend_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let checked = |bytes: &[u8], expected: &str| {
        std::fs::write(&path, bytes).unwrap();
        let output = sedflow(&path, &["check"]);
        assert_eq!(output.status.code(), Some(1), "{}", stdout(&output));
        assert!(
            stdout(&output).contains(expected) && stdout(&output).contains("mend: "),
            "{}",
            stdout(&output)
        );
    };
    catalog(&path);
    let sound = std::fs::read(&path).unwrap();
    // a flipped bit in the stored curve
    let start: Vec<u8> = [5500.0f64, 6200.0].iter().flat_map(|value| value.to_le_bytes()).collect();
    let at = sound.windows(start.len()).position(|window| window == start).unwrap();
    let mut flipped = sound.clone();
    flipped[at] ^= 1;
    checked(&flipped, "filter_curve.curve of row 1 has checksum");
    // the page with the galaxies, garbled at its head
    let at = sound.windows(10).position(|window| window == b"DROP TABLE").unwrap() / 8192 * 8192;
    let mut garbled = sound.clone();
    garbled[at..at + 16].fill(0xff);
    checked(&garbled, "ERROR  integrity");
    checked(&sound[..sound.len() / 3], "ERROR");
    checked(b"SIMPLE  =                    T", "not a sedflow catalog");
}

/// Catalogs of each schema there was, as the program of its time made them (`tests/data/README.md`).
const OLD: [(i64, &[u8]); 1] = [(1, include_bytes!("data/catalog-v1.db.zst"))];

#[test]
fn a_catalog_of_every_schema_there_was_opens_and_answers() {
    let dir = tempfile::tempdir().unwrap();
    for (version, packed) in OLD {
        let path = dir.path().join(format!("v{version}.db"));
        std::fs::write(&path, zstd::decode_all(packed).unwrap()).unwrap();
        let newest = {
            let path = dir.path().join(format!("new-{version}.db"));
            ok(sedflow(&path, &["init"]));
            user_version(&path)
        };
        let sql = "SELECT object_id, redshift, method, reason, round(log_mstar_q50, 4) AS m FROM galaxy \
                   JOIN posterior USING (galaxy_id) LEFT JOIN posterior_summary USING (posterior_id) ORDER BY 1";
        let answer = sedflow(&path, &["query", "--format", "csv", sql]);
        let expected = "object_id,redshift,method,reason,m\n140,0.0812,npe,,10.0447\n141,0.0521,npe,,9.7497\nfar,0.9,,Z_RANGE,\n";
        assert_eq!(stdout(&answer), expected, "{}", stderr(&answer));
        assert_eq!(user_version(&path), newest);
        let backup = dir.path().join(format!("v{version}.db.v{version}.bak"));
        assert_eq!(backup.exists(), version < newest);
        let migrated = format!("from schema version {version} to {newest}");
        assert_eq!(stderr(&answer).contains(&migrated), version < newest, "{}", stderr(&answer));
        if backup.exists() {
            assert_eq!(user_version(&backup), version);
        }
        let checked = ok(sedflow(&path, &["check"]));
        assert!(checked.lines().all(|line| line.starts_with("ok ")), "{checked}");
        // it is not only read: work on it goes on, and with what was made then
        ok(sedflow(
            &path,
            &["-q", "infer", "--method", "npe", "--checkpoint", "tiny", "--name", "again", "--draws", "20"],
        ));
        ok(sedflow(&path, &["gc"]));
    }
}

fn user_version(path: &Path) -> i64 {
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
    let connection = rusqlite::Connection::open_with_flags(path, flags).unwrap();
    connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap()
}
