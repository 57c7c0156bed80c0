//! Facts about the catalog file itself: identity, versions, second writers, immutability, crafted files.

use std::path::PathBuf;

use serde_json::json;

use super::*;
use crate::galaxy::{BandPhot, ExtraValue, GalaxyRecord, SkyPosition};
use crate::hash::ContentHash;

pub(super) struct Temp {
    _dir: tempfile::TempDir,
    pub path: PathBuf,
}

pub(super) fn temp() -> Temp {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("catalog with 'quotes'; %.db");
    Temp { _dir: dir, path }
}

pub(super) fn galaxy(row: u64, object_id: &str) -> GalaxyRecord {
    GalaxyRecord {
        object_id: object_id.to_owned(),
        source_row: row,
        position: Some(SkyPosition {
            ra_deg: (row as f64 * 137.5) % 360.0,
            dec_deg: (row as f64 * 0.1) % 80.0,
        }),
        redshift: Some(0.01 + 1e-4 * row as f64),
        redshift_err: None,
        photometry: vec![
            BandPhot { flux_nmgy: Some(10.0), ivar_nmgy: Some(4.0), flags: 0 },
            BandPhot { flux_nmgy: None, ivar_nmgy: None, flags: crate::galaxy::phot_flag::SENTINEL },
        ],
        extra: vec![ExtraValue::Float(0.5), ExtraValue::Text("a \"b\"".to_owned())],
        cuts_failed: 0,
    }
}

/// A catalog with a survey of bands u and r and an ingest that is under way.
pub(super) fn ingesting(store: &mut Store) -> (RunId, IngestState) {
    let config = json!({"layout": "test"});
    let run =
        store.begin_run(&RunSpec { command: "ingest", config: &config, seed: None, resumes: None }).unwrap();
    let hash = ContentHash::of_bytes(b"curve");
    let curve = FilterCurve {
        name: "sdss2010-r",
        hash,
        wave_pivot_aa: 6180.0,
        wave_aa: &[5500.0, 6200.0, 7000.0],
        response: &[0.0, 0.5, 0.0],
    };
    let filter = store.put_filter(run, &curve).unwrap();
    let band = |name: &str, filter| BandSpec { name: name.to_owned(), filter, ucd: None };
    let bands = store.put_band_set(run, "ur", &[band("u", None), band("r", Some((filter, hash)))]).unwrap();
    let spec = SurveySpec { name: "test", band_set: bands, description: None, reference: None };
    let survey = store.put_survey(run, &spec).unwrap();
    let column = |name: &str| ExtraColumn { name: name.to_owned(), unit: None, ucd: None, description: None };
    let state = store
        .begin_ingest(
            run,
            &IngestSpec {
                survey,
                survey_name: "test",
                file_name: "test.fits",
                file_hash: ContentHash::of_bytes(b"file"),
                n_bytes: 4,
                format: "fits",
                layout: "test",
                config: &config,
                extinction: "none",
                extra: &[column("MASS"), column("it's")],
            },
        )
        .unwrap();
    (run, state)
}

#[test]
fn a_new_catalog_opens_again_and_is_never_overwritten() {
    let temp = temp();
    drop(Store::create(&temp.path).unwrap());
    assert!(matches!(Store::create(&temp.path), Err(StoreError::Exists { .. })));
    let store = Store::open(&temp.path, Mode::Read).unwrap();
    assert!(store.notes().is_empty());
    assert!(matches!(
        Store::open(&temp.path.with_extension("no"), Mode::Read),
        Err(StoreError::Missing { .. })
    ));
}

#[test]
fn an_ingest_goes_on_where_its_last_committed_batch_ended() {
    let temp = temp();
    let mut store = Store::create(&temp.path).unwrap();
    let (_, state) = ingesting(&mut store);
    let batch: Vec<_> = (0..3).map(|row| galaxy(row, &row.to_string())).collect();
    store.commit_ingest_batch(state.id, 3, &batch, &[], &[("seen".to_owned(), 2)]).unwrap();
    drop(store);

    let mut store = Store::open(&temp.path, Mode::Write).unwrap();
    assert_eq!(store.runs().unwrap()[0].state, RunState::Interrupted, "its process ended without a word");
    let (run, state) = ingesting(&mut store);
    assert_eq!((state.n_read, state.n_kept, state.complete), (3, 3, false));
    // the same row again, an identifier seen before, and a rejected row
    let gap = store.commit_ingest_batch(state.id, 3, &batch, &[], &[]);
    assert!(matches!(gap, Err(StoreError::BatchGap { expected: 3, found: 3, next: 3, .. })));
    let rejected = RejectedRow {
        source_row: 4,
        reason: "RA_RANGE".to_owned(),
        detail: None,
        object_id: Some("x".to_owned()),
    };
    let outcome = store
        .commit_ingest_batch(
            state.id,
            6,
            &[galaxy(3, "1"), galaxy(5, "5")],
            &[rejected],
            &[("seen".to_owned(), 1)],
        )
        .unwrap();
    assert_eq!(outcome.n_kept, 1);
    assert_eq!(outcome.duplicates[0].detail.as_deref(), Some("first seen in row 1 of test.fits"));
    let state = store.finish_ingest(state.id).unwrap();
    assert_eq!((state.n_read, state.n_kept, state.n_rejected, state.complete), (6, 4, 2, true));
    let counts = store.ingest_counts(state.id).unwrap();
    let count = |item: &str, n| (item.to_owned(), n);
    assert_eq!(
        counts,
        [count("rejected: DUPLICATE_ID", 1), count("rejected: RA_RANGE", 1), count("seen", 3)]
    );
    store.finish_run(run, RunState::Done, None).unwrap();
    assert!(matches!(store.finish_run(run, RunState::Failed, None), Err(StoreError::RunEnded { .. })));
    let late = store.commit_ingest_batch(state.id, 7, &[galaxy(6, "6")], &[], &[]).unwrap_err();
    assert!(late.to_string().contains("complete and immutable"), "{late}");
}

#[test]
fn a_second_writer_gets_a_sentence_and_a_reader_does_not_wait() {
    let temp = temp();
    let mut writer = Store::create(&temp.path).unwrap();
    let (run, state) = ingesting(&mut writer);
    let Err(error) = Store::open(&temp.path, Mode::Write) else { panic!("two writers") };
    assert!(error.to_string().contains(&format!("process {}, run {run}", std::process::id())), "{error}");
    let reader = Store::open(&temp.path, Mode::Read).unwrap();
    assert_eq!(reader.runs().unwrap()[0].state, RunState::Running);
    let count = |store: &Store| -> i64 {
        store.conn.query_row("SELECT count(*) FROM galaxy", [], |r| r.get(0)).unwrap()
    };
    let tx = writer.conn.transaction().unwrap();
    tx.execute("DELETE FROM setting", []).unwrap();
    assert_eq!(count(&reader), 0, "while a transaction is open");
    tx.rollback().unwrap();
    writer.commit_ingest_batch(state.id, 1, &[galaxy(0, "0")], &[], &[]).unwrap();
    assert_eq!(count(&reader), 1);
}

#[test]
fn products_are_immutable_even_to_other_programs() {
    let temp = temp();
    let mut store = Store::create(&temp.path).unwrap();
    let (_, state) = ingesting(&mut store);
    store.commit_ingest_batch(state.id, 1, &[galaxy(0, "0")], &[], &[]).unwrap();
    drop(store);
    let other = rusqlite::Connection::open(&temp.path).unwrap();
    for sql in [
        "UPDATE galaxy SET redshift = 1",
        "UPDATE photometry SET flux_nmgy = 1",
        "UPDATE filter_curve SET name = 'x'",
    ] {
        let error = other.execute(sql, []).unwrap_err().to_string();
        assert!(error.contains("immutable"), "{sql}: {error}");
    }
}

#[test]
fn a_file_that_is_no_catalog_is_named_as_what_it_is() {
    let temp = temp();
    let refused = |expected: &str| {
        let error = Store::open(&temp.path, Mode::Read).err().unwrap().to_string();
        assert!(error.contains(expected), "{error}");
    };
    std::fs::write(&temp.path, b"").unwrap();
    refused("it is empty");
    std::fs::write(&temp.path, vec![b'x'; 5000]).unwrap();
    refused("not an SQLite database");
    std::fs::remove_file(&temp.path).unwrap();
    rusqlite::Connection::open(&temp.path).unwrap().execute_batch("CREATE TABLE t (a)").unwrap();
    refused("its application id is 0x00000000, not 0x53454446");
    std::fs::remove_file(&temp.path).unwrap();
    std::fs::create_dir(&temp.path).unwrap();
    refused("it is not a file");
}

fn change(path: &Path, sql: &str) {
    rusqlite::Connection::open(path).unwrap().execute_batch(sql).unwrap();
}

#[test]
fn a_catalog_with_a_foreign_trigger_or_a_changed_object_is_refused() {
    for (sql, expected) in [
        ("CREATE TRIGGER evil AFTER INSERT ON run BEGIN DELETE FROM galaxy; END", "foreign trigger `evil`"),
        ("DROP VIEW product; CREATE VIEW product AS SELECT 1", "view `product` was changed"),
        ("DROP TRIGGER galaxy_is_immutable", "trigger `galaxy_is_immutable` is missing"),
        ("ALTER TABLE galaxy ADD COLUMN x TEXT", "table `galaxy` was changed"),
        // named as a table of ours
        (
            "CREATE TRIGGER galaxy AFTER INSERT ON run BEGIN DELETE FROM galaxy; END",
            "foreign trigger `galaxy`",
        ),
        (
            "CREATE TRIGGER evil AFTER INSERT ON run BEGIN DELETE FROM galaxy; END; PRAGMA writable_schema = ON; \
             UPDATE sqlite_schema SET name = 'sqlite_evil', sql = replace(sql, 'evil', 'sqlite_evil') WHERE name = 'evil'",
            "foreign trigger `sqlite_evil`",
        ),
    ] {
        let temp = temp();
        drop(Store::create(&temp.path).unwrap());
        change(&temp.path, sql);
        for mode in [Mode::Read, Mode::Write] {
            let error = Store::open(&temp.path, mode).err().unwrap().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}

#[test]
fn on_a_network_file_system_a_rollback_journal_is_used_and_the_user_told() {
    let temp = temp();
    let mut store = Store::create(&temp.path).unwrap();
    assert!(store.notes().is_empty());
    store.choose_journal_on(Some("NFS")).unwrap();
    assert!(store.notes()[0].contains("rollback journal, because it lies on NFS"), "{:?}", store.notes());
    let (_, state) = ingesting(&mut store);
    store.commit_ingest_batch(state.id, 1, &[galaxy(0, "0")], &[], &[]).unwrap();
    let mode: String = store.conn.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
    assert_eq!(mode, "delete");
}

#[test]
fn a_foreign_view_cannot_call_functions_with_side_effects_and_tables_of_others_are_let_be() {
    let temp = temp();
    drop(Store::create(&temp.path).unwrap());
    change(&temp.path, "CREATE TABLE notes (text); CREATE VIEW v AS SELECT load_extension('evil.so')");
    let store = Store::open(&temp.path, Mode::Read).unwrap();
    let error = store.conn.query_row("SELECT * FROM v", [], |_| Ok(())).unwrap_err().to_string();
    assert!(error.contains("unsafe use of load_extension"), "{error}");
    drop(store);
    let wrong: Vec<Finding> =
        check_file(&temp.path).unwrap().into_iter().filter(|f| f.severity == Severity::Error).collect();
    assert_eq!(wrong, [], "what is foreign is a note");
}

const NEXT: &str = "CREATE TABLE added (a INTEGER) STRICT;";
const BROKEN: &str = "CREATE TABLE added (a INTEGER) STRICT; INSERT INTO nowhere VALUES (1);";

fn user_version(path: &Path) -> i64 {
    let conn = rusqlite::Connection::open(path).unwrap();
    conn.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap()
}

#[test]
fn an_older_file_is_migrated_and_its_copy_kept() {
    let temp = temp();
    let mut store = Store::create(&temp.path).unwrap();
    let (_, state) = ingesting(&mut store);
    store.commit_ingest_batch(state.id, 1, &[galaxy(0, "0")], &[], &[]).unwrap();
    drop(store);
    let known = schema::CURRENT.version();
    let store = Store::open_with(&temp.path, Mode::Read, schema::CURRENT.followed_by(NEXT)).unwrap();
    let note = format!("from schema version {known} to {}", known + 1);
    assert!(store.notes()[0].contains(&note), "{:?}", store.notes());
    drop(store);
    assert_eq!(user_version(&temp.path), known + 1);
    let mut backup = temp.path.as_os_str().to_owned();
    backup.push(format!(".v{known}.bak"));
    let backup = Store::open(Path::new(&backup), Mode::Read).unwrap();
    let n: i64 = backup.conn.query_row("SELECT count(*) FROM galaxy", [], |row| row.get(0)).unwrap();
    assert_eq!(n, 1);

    let error = Store::open(&temp.path, Mode::Read).err().unwrap().to_string();
    let newer = format!("made by a newer program: its schema is version {}", known + 1);
    assert!(error.contains(&newer), "{error}");
}

#[test]
fn files_of_every_earlier_schema_open_and_answer() {
    for version in 1..schema::CURRENT.version() {
        let temp = temp();
        let mut conn = rusqlite::Connection::open(&temp.path).unwrap();
        schema::CURRENT.at_version(version as usize).migrate(&mut conn).unwrap();
        drop(conn);
        let store = Store::open(&temp.path, Mode::Read).unwrap();
        assert_eq!(store.posterior_sets().unwrap().len(), 0);
        assert_eq!(user_version(&temp.path), schema::CURRENT.version());
    }
}

#[test]
fn a_migration_that_fails_leaves_the_file_as_it_was() {
    let temp = temp();
    drop(Store::create(&temp.path).unwrap());
    let error = Store::open_with(&temp.path, Mode::Write, schema::CURRENT.followed_by(BROKEN)).err().unwrap();
    assert!(matches!(error, StoreError::Migration { .. }), "{error}");
    assert_eq!(user_version(&temp.path), schema::CURRENT.version());
    assert!(Store::open(&temp.path, Mode::Write).is_ok());
}
