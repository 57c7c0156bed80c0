//! Training through the binary: searches and ensembles, killed and taken up again, and what is refused.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

fn sedflow(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sedflow"));
    command.current_dir(folder).args(["-q", "-C", "c.db"]).args(arguments).env_remove("SEDFLOW_CATALOG");
    command
}

fn run(folder: &Path, arguments: &[&str]) -> String {
    let Output { status, stdout, stderr } = sedflow(folder, arguments).output().unwrap();
    assert!(status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap()
}

/// Runs a command and kills it after a while.
fn kill_after(folder: &Path, arguments: &[&str], milliseconds: u64) {
    let mut child = sedflow(folder, arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(milliseconds));
    // It may have ended already; the run after it must not care.
    let _ = child.kill();
    child.wait().unwrap();
}

fn refused(folder: &Path, arguments: &[&str]) -> String {
    let Output { status, stderr, .. } = sedflow(folder, arguments).output().unwrap();
    assert!(!status.success(), "{arguments:?} was accepted");
    String::from_utf8(stderr).unwrap()
}

fn query(folder: &Path, sql: &str) -> String {
    run(folder, &["query", "--format", "csv", sql])
}

/// A catalog with a prior of a narrow range of redshifts, for which simulations are quick to set up.
fn catalog() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), &["prior", "set", "near", "zred=uniform:0.05,0.06"]);
    folder
}

/// A training of a blink: a small flow on simulations made as it goes.
fn tiny<'a>(name: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = vec!["train", "--name", name, "--prior", "near", "--batch", "100", "--layers", "1"];
    arguments.extend(["--hidden", "16", "--width", "24", "--blocks", "1", "--seed", "3"]);
    arguments.extend(more);
    arguments
}

#[test]
fn a_search_records_every_trial_trains_the_best_and_can_be_killed() {
    let folder = catalog();
    let search = tiny("found", &["--steps", "60", "--search", "4"]);
    for milliseconds in [300, 600] {
        kill_after(folder.path(), &search, milliseconds);
    }
    assert_eq!(run(folder.path(), &search), "found\n");
    // Four trials on the first rung and two on the second; the winner's own training has no limit in its
    // definition, so that it can be resumed to a longer one.
    let rungs = query(
        folder.path(),
        "SELECT json_extract(config, '$.train.limit.steps') AS steps, count(*) AS n, count(DISTINCT trial) AS trials \
         FROM training WHERE search = 'found' GROUP BY steps ORDER BY steps",
    );
    assert_eq!(rungs, "steps,n,trials\n,1,1\n7,4,4\n20,2,2\n");
    let best = "SELECT count(*) AS n FROM training t WHERE search = 'found' AND trial = (SELECT \
                json_extract(config, '$.training.search.best') FROM checkpoint)";
    assert_eq!(query(folder.path(), best), "n\n3\n");
    let scored =
        "SELECT count(DISTINCT training_id) AS n FROM training_history WHERE valid_ln_prob IS NOT NULL";
    assert_eq!(query(folder.path(), scored), "n\n7\n");
    // The same command again finds all of it done.
    assert_eq!(run(folder.path(), &search), "found\n");
    assert_eq!(query(folder.path(), "SELECT name FROM checkpoint"), "name\nfound\n");
}

#[test]
fn an_ensemble_is_trained_kept_with_its_members_and_used_like_a_flow() {
    let (folder, other) = (catalog(), tempfile::tempdir().unwrap());
    let ensemble = tiny("three", &["--steps", "40", "--members", "3"]);
    kill_after(folder.path(), &ensemble, 500);
    assert_eq!(run(folder.path(), &[&ensemble[..], &["--out", "three.ckpt"]].concat()), "three\n");
    let members = query(
        folder.path(),
        "SELECT ensemble, position, c.name, round(weight, 6) AS weight FROM ensemble_member \
         JOIN checkpoint c USING (checkpoint_id) ORDER BY position",
    );
    assert_eq!(
        members,
        "ensemble,position,name,weight\nthree,0,three.1,0.333333\nthree,1,three.2,0.333333\nthree,2,three.3,0.333333\n"
    );
    // A mixture is never worse than its members are on average.
    let better = "SELECT (SELECT valid_ln_prob FROM checkpoint WHERE name = 'three') >= (SELECT avg(valid_ln_prob) \
                  FROM checkpoint WHERE name LIKE 'three._') AS better";
    assert_eq!(query(folder.path(), better), "better\n1\n");
    let architecture = "SELECT architecture FROM checkpoint WHERE name = 'three'";
    assert_eq!(query(folder.path(), architecture), "architecture\nensemble of 3 nsf\n");
    assert!(run(folder.path(), &["why", "checkpoint:three"]).contains("three.2"));
    run(folder.path(), &["plot", "training", "three", "--along", "seconds", "--out", "t.svg"]);
    assert!(std::fs::read_to_string(folder.path().join("t.svg")).unwrap().contains("three.3"));

    // The same draws from the catalog and from the file, anywhere, at any thread count.
    let few = ["--mocks", "20", "--draws", "30"];
    let ranks = run(folder.path(), &[&["validate", "three"], &few[..]].concat());
    let file = folder.path().join("three.ckpt");
    let elsewhere = ["--threads", "1", "validate", file.to_str().unwrap()];
    assert_eq!(run(other.path(), &[&elsewhere[..], &few].concat()), ranks);
    assert_ne!(run(folder.path(), &[&["validate", "three.1"], &few[..]].concat()), ranks);

    // Posteriors of real galaxies.
    run(folder.path(), &["demo", "--method", "npe", "--out", "c.db", "--draws", "1", "--show", "0"]);
    run(
        folder.path(),
        &["infer", "--method", "npe", "--checkpoint", "three", "--draws", "50", "--where", "redshift < 0.06"],
    );
    let posteriors = "SELECT count(*) > 10 AS many FROM posterior p JOIN posterior_set s USING (posterior_set_id) \
                      WHERE s.name = 'three' AND p.method = 'npe'";
    assert_eq!(query(folder.path(), posteriors), "many\n1\n");
}

#[test]
fn what_cannot_be_trained_is_said_in_a_sentence() {
    let folder = catalog();
    let cases: [(&[&str], &str); 10] = [
        (&["--search", "1"], "1 is not in 2..=1000"),
        (&["--members", "0"], "0 is not in 1..=64"),
        (&["--search", "3", "--resume"], "cannot be used with"),
        (&["--steps", "10", "--budget", "1m"], "cannot be used with"),
        (&["--budget", "soon"], "is not a length of time"),
        (&["--set", "nowhere"], "nowhere"),
        (&["--flow", "realnvp"], "unknown architecture `realnvp`: expected `nsf` or `maf`"),
        (&["--lr=-1"], "lr is -1, expected above 0"),
        (&["--hidden", "0"], "hidden is 0, expected widths of 1 to 16384"),
        (&["--flow", "maf", "--width", "20"], "which `maf` does not have"),
    ];
    for (more, part) in cases {
        let text = refused(folder.path(), &[&["train"], more].concat());
        assert!(text.contains(part), "{more:?}: {text}");
    }
    // A stored set smaller than a batch and its held-out part.
    run(folder.path(), &["simulate", "-n", "500", "--prior", "near", "--name", "small"]);
    let text = refused(folder.path(), &["train", "--set", "small", "--steps", "5"]);
    assert!(text.contains("500 examples are too few: at least 1050 are needed"), "{text}");
    // A rate that no flow survives: every trial fails, is recorded, and the first reason is given.
    let wild = tiny("wild", &["--set", "small", "--steps", "300", "--lr", "1e30", "--search", "2"]);
    let text = refused(folder.path(), &wild);
    assert!(text.contains("no candidate of the search could be trained"), "{text}");
    assert!(text.contains("lower the learning rate"), "{text}");
    let noted = "SELECT count(*) AS n FROM training_history WHERE note LIKE '%lower the learning rate'";
    assert_eq!(query(folder.path(), noted), "n\n2\n");
}
