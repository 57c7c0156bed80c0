//! A set made in shards, as a user sees it: planned, killed, found, run again, merged; no word different from one run.

use std::path::Path;
use std::process::Command;

use rusqlite::Connection;

mod common;
use common::{kill_after, query, refused, run, sound};

const ROADS: [&str; 8] = ["--method", "npe", "--draws", "40", "--name", "set", "--where", "redshift < 0.08"];

/// A catalog with the sample and no posteriors.
fn sample(folder: &Path, catalog: &str) {
    run(folder, &["-C", catalog, "init"]);
    run(folder, &["-C", catalog, "ingest", "--sample"]);
}

/// Every value of every row of the set, in the order of galaxies.
fn rows(folder: &Path, catalog: &str) -> Vec<String> {
    let conn = Connection::open(folder.join(catalog)).unwrap();
    let read = |table: &str, key: &str| -> Vec<String> {
        let sql = format!(
            "SELECT t.* FROM {table} t JOIN galaxy g USING (galaxy_id) WHERE posterior_set_id = \
             (SELECT posterior_set_id FROM posterior_set WHERE name = 'set') ORDER BY g.survey_id, g.object_id"
        );
        let mut statement = conn.prepare(&sql).unwrap();
        let names: Vec<String> = statement.column_names().into_iter().map(str::to_owned).collect();
        let mut rows = statement.query([]).unwrap();
        let mut all = Vec::new();
        while let Some(row) = rows.next().unwrap() {
            // numbers of rows and sets are the file's own
            let values =
                names.iter().enumerate().filter(|(_, name)| *name != key && *name != "posterior_set_id");
            all.push(values.map(|(i, name)| format!("{name}={:?} ", row.get_ref(i).unwrap())).collect());
        }
        all
    };
    let mut all = read("posterior", "posterior_id");
    all.extend(read("posterior_summary", "posterior_id"));
    let content = "SELECT hex(content_hash) FROM posterior_set WHERE name = 'set'";
    all.push(conn.query_row(content, [], |row| row.get(0)).unwrap());
    all
}

fn shard(folder: &Path, index: u32, n: u32) {
    let which = format!("{index}/{n}");
    run(folder, &["-C", "c.db", "infer", "--plan", "plan", "--shard", &which]);
}

#[test]
fn shards_one_killed_make_the_set_of_a_single_run() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    sample(folder, "c.db");
    std::fs::copy(folder.join("c.db"), folder.join("single.db")).unwrap();
    run(folder, &[&["-C", "single.db", "infer"], &ROADS[..]].concat());

    let plan = [&["-C", "c.db", "shard", "plan", "plan", "--shards", "5"], &ROADS[..]].concat();
    run(folder, &plan);
    // the same plan again is no other plan
    run(folder, &plan);
    refused(folder, &[&plan[..], &["--seed", "1"]].concat(), "another plan");
    let todo = |words: &[&str]| run(folder, &[&["shard", "status", "plan", "--todo"], words].concat());
    assert_eq!(todo(&[]), "1-5\n");

    // in no order; the second is killed on the way
    shard(folder, 4, 5);
    shard(folder, 1, 5);
    let second = ["-C", "c.db", "infer", "--plan", "plan", "--shard", "2/5"];
    kill_after(folder, &second, 120);
    // one dies while it makes its file
    std::fs::write(folder.join("plan/shard-0003-of-0005.db"), "").unwrap();
    shard(folder, 5, 5);
    assert_eq!(todo(&[]), "2-3\n");
    assert_eq!(todo(&["--lines"]), "2\n3\n");
    refused(folder, &["-C", "c.db", "merge", "--plan", "plan"], "not done: 2-3");
    shard(folder, 3, 5);
    shard(folder, 2, 5);
    // done already
    shard(folder, 2, 5);
    assert_eq!(todo(&[]), "");
    let status = run(folder, &["shard", "status", "plan"]);
    assert_eq!(status.matches("done").count(), 5, "{status}");

    run(folder, &["-C", "c.db", "merge", "--plan", "plan"]);
    let expected = rows(folder, "single.db");
    assert!(expected.len() > 300, "{}", expected.len());
    assert_eq!(rows(folder, "c.db"), expected);
    sound(folder, "c.db");
    // shards without a plan, merged in another order into a copy of the catalog
    sample(folder, "d.db");
    for index in ["1/2", "2/2"] {
        run(folder, &[&["-C", "d.db", "infer", "--shard", index], &ROADS[..]].concat());
    }
    run(folder, &["-C", "d.db", "merge", "shard-0002-of-0002.db", "shard-0001-of-0002.db"]);
    assert_eq!(rows(folder, "d.db"), expected);
}

#[test]
fn a_shard_of_another_checkpoint_or_catalog_is_refused_by_hash() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    sample(folder, "c.db");
    run(folder, &[&["-C", "c.db", "shard", "plan", "plan", "--shards", "40"], &ROADS[..]].concat());
    let one = ["infer", "--plan", "plan", "--shard", "1/40"];
    run(folder, &[&["-C", "c.db"], &one[..]].concat());

    // a catalog of the same galaxies from other files
    let table = run(
        folder,
        &[
            "-C",
            "c.db",
            "galaxies",
            "--columns",
            "object_id,ra_deg,dec_deg,redshift,flux_nmgy_r,ivar_nmgy_r",
            "--format",
            "csv",
        ],
    );
    std::fs::write(folder.join("t.csv"), table).unwrap();
    let map = "name = 'other'\nsurvey = 'nsa'\n[columns]\nid = ['object_id']\nra = 'ra_deg'\ndec = 'dec_deg'\n\
               redshift = ['redshift']\n[photometry]\nquantity = 'flux'\nunit = 'nmgy'\nerror = 'ivar'\n\
               [extinction]\nkind = 'corrected'\n[[band]]\nname = 'r'\nfilter = 'sdss2010-r'\n\
               flux = 'flux_nmgy_r'\nerror = 'ivar_nmgy_r'\n";
    std::fs::write(folder.join("map.toml"), map).unwrap();
    run(folder, &["-C", "other.db", "init"]);
    run(folder, &["-C", "other.db", "ingest", "--layout", "map.toml", "t.csv"]);
    let ingest = query(folder, "c.db", "SELECT lower(substr(hex(hash), 1, 12)) FROM ingest");
    refused(folder, &[&["-C", "other.db"], &one[..]].concat(), ingest.trim());
    refused(folder, &["-C", "other.db", "merge", "plan/shard-0001-of-0040.db"], ingest.trim());
    run(folder, &["-C", "empty.db", "init"]);
    refused(folder, &["-C", "empty.db", "merge", "plan/shard-0001-of-0040.db"], "a shard of another catalog");
    // its file holds other galaxies than another shard's
    std::fs::copy(folder.join("plan/shard-0001-of-0040.db"), folder.join("plan/shard-0002-of-0040.db"))
        .unwrap();
    refused(folder, &["-C", "c.db", "infer", "--plan", "plan", "--shard", "2/40"], "holds other galaxies");
    let status = run(folder, &["shard", "status", "plan"]);
    assert!(status.contains("wrong") && status.contains("other galaxies"), "{status}");
    refused(folder, &["-C", "c.db", "merge", "--plan", "plan"], "no shard of the plan");
    std::fs::remove_file(folder.join("plan/shard-0002-of-0040.db")).unwrap();

    // the plan's checkpoint is another by now
    let path = folder.join("plan/plan.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let plan: serde_json::Value = serde_json::from_str(&text).unwrap();
    let hash = plan["checkpoint"]["hash"].as_str().unwrap();
    std::fs::write(&path, text.replace(hash, &"0".repeat(64))).unwrap();
    refused(folder, &[&["-C", "c.db"], &one[..]].concat(), &hash[..12]);
    let status = run(folder, &["shard", "status", "plan"]);
    assert!(status.contains("by another checkpoint") && status.contains(&hash[..12]), "{status}");
    refused(folder, &["-C", "c.db", "merge", "--plan", "plan", "--more"], &hash[..12]);

    refused(folder, &["-C", "c.db", "infer", "--shard", "9/8"], "expected I/N");
    refused(folder, &["-C", "c.db", "infer", "--plan", "plan", "--shard", "1/8"], "the plan has 40 shards");
    refused(folder, &["-C", "c.db", "infer", "--plan", "nowhere", "--shard", "1/8"], "nowhere/plan.json");
    refused(folder, &["-C", "c.db", "infer", "--shard", "1/8", "--out", "c.db"], "is the catalog");
    std::fs::write(&path, "{}").unwrap();
    refused(folder, &["shard", "status", "plan"], "is no plan of shards");
}

#[test]
fn an_estimate_is_measured_or_computed_from_given_rates() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    let given = ["--galaxies", "1000000000", "--rate", "10", "--bytes", "1500", "--merge-rate", "5000"];
    let words = ["shard", "plan", "--estimate", "--json", "--shards", "1000", "--cores", "10"];
    let value: serde_json::Value =
        serde_json::from_str(&run(folder, &[&words[..], &given].concat())).unwrap();
    let number = |part: &str| value["estimate"][part].as_f64().unwrap();
    assert!((number("core_hours") - 1e8 / 3600.0).abs() < 1e-6, "{value}");
    assert!((number("hours") - 1e4 / 3600.0).abs() < 1e-9, "{value}");
    assert!((number("gb_merged") - 1500.0).abs() < 1e-6, "{value}");

    let words = ["shard", "plan", "--estimate", "--shards", "1000", "--cores", "10"];
    let text = run(folder, &[&words[..], &given].concat());
    assert!(text.contains("rates, as given: 10.0 galaxies per core and second, 0 s to begin"), "{text}");

    sample(folder, "c.db");
    let words = ["-C", "c.db", "shard", "plan", "--estimate", "--json", "--shards", "10", "--measure", "30"];
    let roads = ["--method", "npe", "--draws", "100"];
    let value: serde_json::Value =
        serde_json::from_str(&run(folder, &[&words[..], &roads].concat())).unwrap();
    assert_eq!(
        (value["layout"]["galaxies"].as_u64(), value["measured_on"]["galaxies"].as_u64()),
        (Some(1000), Some(30))
    );
    let rate = |part: &str| value["rates"][part].as_f64().unwrap();
    // 1.2 kB of summaries and about as much for 100 packed draws of 17 columns, in pages of 8 kB
    assert!((1500.0..9000.0).contains(&rate("answer_bytes")), "{value}");
    assert!(rate("core_s_per_galaxy") > 0.0 && rate("merged_per_s") > 10.0, "{value}");
    refused(
        folder,
        &[
            "shard",
            "plan",
            "--estimate",
            "--shards",
            "3",
            "--galaxies",
            "9",
            "--rate",
            "0",
            "--bytes",
            "1",
            "--merge-rate",
            "1",
        ],
        "--rate is 0",
    );
}

/// Runs where GNU parallel is, and says so where not.
#[test]
fn shards_run_under_gnu_parallel() {
    let there = Command::new("parallel").arg("--version").output();
    if !there.is_ok_and(|output| output.status.success()) {
        eprintln!("not run: GNU parallel is not there");
        return;
    }
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    sample(folder, "c.db");
    std::fs::copy(folder.join("c.db"), folder.join("single.db")).unwrap();
    let roads = ["--method", "npe", "--draws", "20", "--name", "set", "--where", "redshift < 0.05"];
    run(folder, &[&["-C", "single.db", "infer"], &roads[..]].concat());
    run(folder, &[&["-C", "c.db", "shard", "plan", "plan", "--shards", "4"], &roads[..]].concat());
    let program = env!("CARGO_BIN_EXE_sedflow");
    let line = format!(
        "{program} shard status plan --todo --lines | parallel -j 2 {program} -C c.db --threads 1 infer --plan plan --shard {{}}/4"
    );
    let output = Command::new("sh").current_dir(folder).args(["-c", &line]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    run(folder, &["-C", "c.db", "merge", "--plan", "plan"]);
    assert_eq!(rows(folder, "c.db"), rows(folder, "single.db"));
}
