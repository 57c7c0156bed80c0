//! Releases and merged shards as a user sees them; killed at any moment, nothing is half there.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use rusqlite::Connection;

mod common;

fn sedflow(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sedflow"));
    command.current_dir(folder).arg("-q").args(arguments).env_remove("SEDFLOW_CATALOG");
    command
}

#[track_caller]
fn ok(folder: &Path, arguments: &[&str]) -> String {
    let output = sedflow(folder, arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[track_caller]
fn fails(folder: &Path, arguments: &[&str], expected: &[&str]) -> String {
    let output: Output = sedflow(folder, arguments).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {text}");
    for part in expected {
        assert!(text.contains(part), "{arguments:?}: `{part}` is not in: {text}");
    }
    text
}

/// Starts a command and kills it after a while; true if it had not ended.
fn killed(folder: &Path, arguments: &[&str], after: Duration) -> bool {
    let mut child = sedflow(folder, arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(after);
    let running = child.try_wait().unwrap().is_none();
    // It may end between the two; the run after it must not care.
    let _ = child.kill();
    child.wait().unwrap();
    running
}

/// A catalog with the sample and no posteriors.
fn sample(folder: &Path, catalog: &str) {
    ok(folder, &["-C", catalog, "init"]);
    ok(folder, &["-C", catalog, "ingest", "--sample"]);
}

fn infer(folder: &Path, catalog: &str, condition: &str, store: &str) {
    let words = [
        "-C", catalog, "infer", "--method", "npe", "--draws", "60", "--name", "set", "--where", condition,
        "--store", store,
    ];
    ok(folder, &words);
}

const NEAR: &str = "redshift < 0.06";
const ROWS: &str = "SELECT g.object_id, p.reason, p.n_draws, hex(p.draws_hash) AS hash, q.log_mstar_q50 FROM posterior p \
     JOIN galaxy g USING (galaxy_id) LEFT JOIN posterior_summary q USING (posterior_id) \
     WHERE p.posterior_set_id = (SELECT posterior_set_id FROM posterior_set WHERE name = 'set') ORDER BY g.object_id";

fn rows(folder: &Path, catalog: &str) -> String {
    ok(folder, &["-C", catalog, "query", "--format", "csv", ROWS])
}

/// Changes rows that a trigger guards, and leaves the trigger as it was.
fn tamper(catalog: &Path, table: &str, sql: &str) {
    let conn = Connection::open(catalog).unwrap();
    let name = format!("{table}_is_immutable");
    let find = "SELECT sql FROM sqlite_schema WHERE name = ?1";
    let trigger: String = conn.query_row(find, [&name], |row| row.get(0)).unwrap();
    conn.execute_batch(&format!("DROP TRIGGER {name}; {sql}; {trigger}")).unwrap();
}

/// Nothing half-written: every answer with its draws or recipe and its summary, and the file sound.
fn is_whole(folder: &Path, catalog: &str) -> bool {
    if !folder.join(catalog).exists() {
        return true;
    }
    let conn = Connection::open(folder.join(catalog)).unwrap();
    let made: i64 = conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).unwrap();
    if made == 0 {
        // killed before the catalog was there at all
        return true;
    }
    let halves: i64 = conn
        .query_row(
            "SELECT count(*) FROM posterior p LEFT JOIN posterior_summary q USING (posterior_id) \
             WHERE (p.method IS NULL) <> (q.posterior_id IS NULL) \
             OR p.method IS NOT NULL AND p.samples IS NULL AND p.recipe IS NULL",
            [],
            |row| row.get(0),
        )
        .unwrap();
    let sound: String = conn.query_row("PRAGMA quick_check", [], |row| row.get(0)).unwrap();
    halves == 0 && sound == "ok"
}

#[test]
fn a_release_is_read_verified_and_tells_what_was_changed() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    sample(folder, "c.db");
    infer(folder, "c.db", NEAR, "both");
    let build =
        ["-C", "c.db", "release", "build", "set", "--licence", "CC-BY-4.0", "--citation", "A & B 2026"];
    // a kept column of the input without a description
    fails(folder, &[&build[..], &["--out", "r.db"]].concat(), &["KC5_LOGMASS", "--describe"]);
    let described = [&build[..], &["--describe", "KC5_LOGMASS=log(solMass): mass by kcorrect"]].concat();
    let hash = ok(folder, &[&described[..], &["--out", "r.db"]].concat());
    assert_eq!(hash.trim().len(), 64);
    assert!(std::fs::metadata(folder.join("r.db")).unwrap().permissions().readonly());
    assert!(ok(folder, &["release", "verify", "r.db", "--sample", "5"]).starts_with(hash.trim()));
    let info = ok(folder, &["release", "info", "r.db"]);
    for part in [hash.trim(), "CC-BY-4.0", "A & B 2026", "not stated", "Where to begin"] {
        assert!(info.contains(part), "{part}: {info}");
    }
    // the same, built anew, is the same; another name's file is not overwritten
    ok(folder, &[&described[..], &["--out", "again.db"]].concat());
    assert!(ok(folder, &["release", "info", "again.db"]).contains(hash.trim()));
    ok(folder, &[&described[..], &["--out", "r.db"]].concat());
    fails(folder, &[&described[..], &["--name", "v2", "--out", "r.db"]].concat(), &["r.db exists"]);
    // a catalog like any other, for reading
    assert_eq!(rows(folder, "r.db"), rows(folder, "c.db"));
    let first = ok(folder, &["-C", "r.db", "query", "--format", "csv", "SELECT min(object_id) FROM galaxy"]);
    let first = first.lines().nth(1).unwrap();
    ok(folder, &["-C", "r.db", "plot", "corner", first, "--out", "corner.png"]);
    fails(folder, &["-C", "r.db", "infer"], &["is a release"]);
    ok(folder, &["check", "r.db"]);

    let changed = |sql: &str, expected: &[&str]| {
        let copy = folder.join("changed.db");
        std::fs::copy(folder.join("r.db"), &copy).unwrap();
        let mut permissions = std::fs::metadata(&copy).unwrap().permissions();
        #[allow(clippy::permissions_set_readonly_false, reason = "a file of this test")]
        permissions.set_readonly(false);
        std::fs::set_permissions(&copy, permissions).unwrap();
        Connection::open(&copy).unwrap().execute_batch(sql).unwrap();
        fails(folder, &["release", "verify", "changed.db", "--sample", "3"], expected);
        std::fs::remove_file(copy).unwrap();
    };
    changed(
        "DELETE FROM posterior_summary WHERE galaxy_id = (SELECT min(galaxy_id) FROM posterior_summary)",
        &["posterior_summary has"],
    );
    changed(
        "DROP TRIGGER galaxy_is_immutable; UPDATE galaxy SET redshift = redshift + 1e-9 WHERE rowid = 1",
        &["galaxy_is_immutable"],
    );
    changed("UPDATE setting SET value = 'other' WHERE key = 'current_posterior_set'", &["setting"]);
    changed("INSERT INTO readme VALUES (99, 'More', 'words')", &["readme"]);
    fails(folder, &["release", "verify", "c.db"], &["no release"]);
}

#[test]
fn a_small_release_holds_recipes_that_give_the_draws() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    sample(folder, "c.db");
    infer(folder, "c.db", NEAR, "draws");
    let small = |out: &str| {
        ["-C", "c.db", "release", "build", "set", "--profile", "small", "--out", out].map(str::to_owned)
    };
    let words = small("r.db");
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    fails(folder, &words, &["have no recipe", "--store recipe"]);
    std::fs::remove_file(folder.join("c.db")).unwrap();
    sample(folder, "c.db");
    infer(folder, "c.db", NEAR, "recipe");
    let subset = [&words[..], &["--where", "log_mstar_q50 > 10.5", "--name", "massive"]].concat();
    ok(folder, &subset);
    ok(folder, &["release", "verify", "r.db", "--sample", "4"]);
    let one = |sql: &str| ok(folder, &["-C", "r.db", "query", "--format", "csv", sql]);
    assert!(one("SELECT min(log_mstar_q50) FROM posterior_summary").lines().nth(1).unwrap() > "10.5");
    assert!(
        one("SELECT max(length(recipe)) + 64 <= 250 AND count(samples) = 0 FROM posterior").contains('1')
    );
    let object = one("SELECT object_id FROM galaxy LIMIT 1");
    let object = object.lines().nth(1).unwrap();
    // drawn again for the figure
    ok(folder, &["-C", "r.db", "plot", "corner", object, "--out", "c.svg"]);
    // a changed recipe is found out
    std::fs::copy(folder.join("c.db"), folder.join("changed.db")).unwrap();
    let change = "UPDATE posterior SET recipe = zeroblob(100) WHERE recipe IS NOT NULL";
    tamper(&folder.join("changed.db"), "posterior", change);
    fails(folder, &["-C", "changed.db", "plot", "corner", object], &["the recipe of galaxy", "checksum"]);
}

#[test]
fn shards_become_one_set_and_conflicts_are_named() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    sample(folder, "whole.db");
    infer(folder, "whole.db", NEAR, "both");
    for (shard, condition) in [("a.db", "redshift < 0.03"), ("b.db", "redshift >= 0.03 and redshift < 0.06")]
    {
        sample(folder, shard);
        infer(folder, shard, condition, "both");
    }
    // into a catalog with nothing in it: galaxies come along
    ok(folder, &["-C", "m.db", "merge", "a.db", "b.db"]);
    assert_eq!(rows(folder, "m.db"), rows(folder, "whole.db"));
    ok(folder, &["check", "m.db"]);
    ok(folder, &["-C", "m.db", "merge", "a.db", "b.db"]);
    assert_eq!(rows(folder, "m.db"), rows(folder, "whole.db"));
    // a release of a shard can be merged too, also one by one
    let described = "KC5_LOGMASS=log(solMass): mass";
    ok(folder, &["-C", "b.db", "release", "build", "set", "--describe", described, "--out", "b-release.db"]);
    ok(folder, &["-C", "n.db", "merge", "a.db", "--more"]);
    fails(folder, &["-C", "a.db", "release", "build", "none", "--out", "x.db"], &["none"]);

    // the same galaxies with another seed are another set
    sample(folder, "seed.db");
    let other = [
        "-C",
        "seed.db",
        "infer",
        "--method",
        "npe",
        "--draws",
        "60",
        "--name",
        "set",
        "--where",
        "redshift < 0.03",
        "--seed",
        "1",
    ];
    ok(folder, &other);
    fails(folder, &["-C", "m2.db", "merge", "a.db", "seed.db"], &["seed.db is no shard", "its seed is 1"]);
    // the same galaxy with other photometry
    std::fs::copy(folder.join("a.db"), folder.join("changed.db")).unwrap();
    let brighter = "UPDATE photometry SET flux_nmgy = flux_nmgy * 1.01 WHERE galaxy_id IN (SELECT galaxy_id FROM posterior)";
    tamper(&folder.join("changed.db"), "photometry", brighter);
    fails(
        folder,
        &["-C", "m.db", "merge", "changed.db"],
        &["other photometry in band", "nothing of it was merged"],
    );
    assert_eq!(rows(folder, "m.db"), rows(folder, "whole.db"));
    fails(folder, &["-C", "m.db", "merge", "m.db"], &["is the catalog that shards are merged into"]);
    fails(folder, &["-C", "m.db", "merge", "nowhere.db"], &["nowhere.db"]);
}

#[test]
fn killed_fifty_times_nothing_is_lost_and_nothing_is_half_written() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    sample(folder, "calm.db");
    infer(folder, "calm.db", NEAR, "both");
    let expected = rows(folder, "calm.db");
    let mut kills = 0;

    sample(folder, "c.db");
    let words = [
        "-C", "c.db", "infer", "--method", "npe", "--draws", "60", "--name", "set", "--where", NEAR,
        "--store", "both",
    ];
    for i in 0..20 {
        kills += u32::from(killed(folder, &words, Duration::from_millis(20 + 37 * (i % 8))));
        assert!(is_whole(folder, "c.db"), "after kill {i} of infer");
    }
    ok(folder, &words);
    assert_eq!(rows(folder, "c.db"), expected);

    for (shard, condition) in [("a.db", "redshift < 0.03"), ("b.db", "redshift >= 0.03 and redshift < 0.06")]
    {
        sample(folder, shard);
        infer(folder, shard, condition, "both");
    }
    let words = ["-C", "m.db", "merge", "a.db", "b.db"];
    for i in 0..20 {
        kills += u32::from(killed(folder, &words, Duration::from_millis(5 + 11 * i)));
        assert!(is_whole(folder, "m.db"), "after kill {i} of merge");
    }
    ok(folder, &words);
    assert_eq!(rows(folder, "m.db"), expected);

    let words = [
        "-C",
        "c.db",
        "release",
        "build",
        "set",
        "--describe",
        "KC5_LOGMASS=log(solMass): mass",
        "--out",
        "r.db",
    ];
    // spread over the time that a whole build takes here, until there were enough
    let started = Instant::now();
    ok(folder, &words);
    let calm = started.elapsed();
    std::fs::remove_file(folder.join("r.db")).unwrap();
    for i in 0..200_u32 {
        if kills >= 50 && i >= 12 {
            break;
        }
        kills += u32::from(killed(folder, &words, calm.mul_f64(f64::from(i % 13) / 13.0)));
        if folder.join("r.db").exists() {
            ok(folder, &["release", "verify", "r.db", "--sample", "1"]);
            std::fs::remove_file(folder.join("r.db")).unwrap();
        }
    }
    ok(folder, &words);
    ok(folder, &["release", "verify", "r.db", "--sample", "2"]);
    assert_eq!(rows(folder, "r.db"), expected);
    let left: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains(".building") || name.contains(".partial"))
        .collect();
    assert_eq!(left, Vec::<String>::new());
    assert!(kills >= 50, "{kills} kills came in time");
}

/// Runs where python3 has numpy and zstandard, and says so where not.
#[test]
fn the_python_reader_gives_the_same_draws() {
    let Some(python) = common::python("numpy, zstandard") else { return };
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    sample(folder, "c.db");
    infer(folder, "c.db", "redshift < 0.02", "both");
    ok(
        folder,
        &["-C", "c.db", "release", "build", "set", "--describe", "KC5_LOGMASS=-: mass", "--out", "r.db"],
    );
    let reader = concat!(env!("CARGO_MANIFEST_DIR"), "/python");
    let script = format!(
        "import sys, sqlite3; sys.path.insert(0, {reader:?}); import read_release\n\
         for g, blob in sqlite3.connect('r.db').execute('SELECT object_id, samples FROM posterior JOIN galaxy USING (galaxy_id) WHERE samples IS NOT NULL'):\n\
         \x20   for name, x in read_release.decode(blob).items(): print(g, name, x.tobytes().hex())\n"
    );
    let output = Command::new(python).current_dir(folder).args(["-c", &script]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let conn = Connection::open(folder.join("r.db")).unwrap();
    let mut statement = conn
        .prepare("SELECT object_id, samples FROM posterior JOIN galaxy USING (galaxy_id) WHERE samples IS NOT NULL")
        .unwrap();
    let mut found = statement.query([]).unwrap();
    let mut expected = String::new();
    let mut n = 0;
    while let Some(row) = found.next().unwrap() {
        let (object, blob): (String, Vec<u8>) = (row.get(0).unwrap(), row.get(1).unwrap());
        let draws = sedflow::codec::decode(&blob).unwrap();
        for (i, name) in draws.names.iter().enumerate() {
            let hex: String =
                draws.column(i).iter().flat_map(|x| x.to_le_bytes()).map(|b| format!("{b:02x}")).collect();
            expected.push_str(&format!("{object} {name} {hex}\n"));
        }
        n += 1;
    }
    assert!(n > 5 && text == expected, "the reader's draws are not the program's");
}
