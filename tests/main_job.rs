//! The main job through the binary: killed at any moment, the same command goes on and ends the same.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

fn sedflow(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sedflow"));
    command.current_dir(folder).args(arguments).env_remove("SEDFLOW_CATALOG");
    command
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    let output = sedflow(folder, arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

/// Runs a command and kills it after a while.
fn kill_after(folder: &Path, arguments: &[&str], milliseconds: u64) {
    let mut child = sedflow(folder, arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(milliseconds));
    // It may have ended already; the run after it must not care.
    let _ = child.kill();
    child.wait().unwrap();
}

const INFER: [&str; 6] = ["-q", "-C", "c.db", "infer", "--draws", "40"];
const SUMMARIES: [&str; 6] = [
    "-C",
    "c.db",
    "query",
    "--format",
    "csv",
    "SELECT g.object_id, p.reason, q.log_mstar_q50, q.tau_ism_q16 FROM posterior p JOIN galaxy g USING (galaxy_id) \
     LEFT JOIN posterior_summary q USING (posterior_id) ORDER BY g.galaxy_id",
];

#[test]
fn an_inference_killed_again_and_again_ends_as_one_that_was_not() {
    let (calm, rough) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for folder in [calm.path(), rough.path()] {
        run(folder, &["-q", "demo", "--out", "c.db", "--draws", "1", "--show", "0"]);
    }
    run(calm.path(), &[&INFER[..], &["--name", "set"]].concat());
    for milliseconds in [150, 400, 700] {
        kill_after(rough.path(), &[&INFER[..], &["--name", "set"]].concat(), milliseconds);
    }
    run(rough.path(), &[&INFER[..], &["--name", "set"]].concat());
    let tables = [calm.path(), rough.path()].map(|folder| run(folder, &SUMMARIES).stdout);
    assert!(tables[0].len() > 20_000);
    assert_eq!(tables[0], tables[1]);
    // A set that is complete is left alone.
    run(rough.path(), &[&INFER[..], &["--name", "set"]].concat());
}

#[test]
fn what_cannot_be_done_is_said_in_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |arguments: &[&str], part: &str| {
        let output = sedflow(folder.path(), arguments).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && text.contains(part), "{arguments:?}: {text}");
    };
    refused(&["-C", "no.db", "infer"], "no.db");
    refused(
        &["-C", "c.db", "prior", "set", "p", "tau_bc=uniform:3,0"],
        "lower bound 3 is not below upper bound 0",
    );
    refused(&["-C", "c.db", "simulate", "--prior", "nowhere.json"], "no prior `nowhere.json`");
    refused(&["-C", "c.db", "simulate", "--noise", "nowhere"], "no noise model `nowhere`");
    refused(&["-C", "c.db", "train", "--set", "none"], "none");
    refused(&["-C", "c.db", "train", "--budget", "soon"], "is not a length of time");
    run(folder.path(), &["-C", "c.db", "prior", "set", "p", "tau_bc=uniform:0,1"]);
    refused(&["-C", "c.db", "infer"], "no galaxy is selected");
}
