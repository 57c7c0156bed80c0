//! Validation through the binary: rows, figures and a report; killed and gone on; compared; refused in words.

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

fn refused(folder: &Path, arguments: &[&str], part: &str) {
    let output = sedflow(folder, arguments).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && text.contains(part), "{arguments:?}: {text}");
}

const SHORT: [&str; 7] = ["validate", "--mocks", "600", "--draws", "40", "--seed", "5"];

#[test]
fn a_validation_is_kept_with_its_checkpoint_and_shown_in_one_file() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let printed = run(folder, &[&SHORT[..], &["--report", "r.html", "--folder", "figures"]].concat());
    for part in ["log_mstar ", "t_age_mw_gyr", "all jointly", "efficiency", "KS of ranks", "TARP"] {
        assert!(printed.contains(part), "{part}: {printed}");
    }
    let html = std::fs::read_to_string(folder.join("r.html")).unwrap();
    assert!(html.contains("Validation of sdss-ugriz") && html.matches("<svg").count() >= 7);
    assert!(!html.contains("src=") && !html.contains("href=") && !html.contains("NaN"));
    for name in ["ranks", "pp", "pp-weighted", "coverage", "subsets-68", "recovery", "predictive"] {
        let png = std::fs::read(folder.join(format!("figures/{name}.png"))).unwrap();
        assert_eq!(png[..4], *b"\x89PNG");
        assert!(folder.join(format!("figures/{name}.svg")).exists());
    }
    let rows = run(
        folder,
        &[
            "query",
            "--format",
            "csv",
            "SELECT c.name, m.metric, m.parameter, m.value FROM validation_metric m JOIN validation USING (validation_id) \
             JOIN checkpoint c USING (checkpoint_id) WHERE m.subset = '' AND m.metric IN ('ks', 'tarp', 'ln_q', 'ks_is')",
        ],
    );
    assert_eq!(rows.lines().filter(|line| line.starts_with("sdss-ugriz,ks,")).count(), 17, "{rows}");
    assert!(rows.contains("sdss-ugriz,tarp,") && rows.contains("sdss-ugriz,ln_q,"));
    // The same again is read from the catalog.
    assert_eq!(run(folder, &SHORT), printed);
    let count = [
        "query",
        "--format",
        "csv",
        "SELECT count(*) FROM validation UNION SELECT count(*) FROM validation_part",
    ];
    assert_eq!(run(folder, &count).lines().skip(1).collect::<Vec<_>>(), ["0", "1"]);
    // A checkpoint beside itself, on the same mocks.
    std::fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/models/sdss-ugriz.ckpt"), folder.join("same.ckpt"))
        .unwrap();
    let compared = run(
        folder,
        &[&["validate", "--compare", "sdss-ugriz", "same.ckpt", "--report", "c.md"], &SHORT[1..]].concat(),
    );
    assert!(compared.contains("neither is better beyond chance"), "{compared}");
    let text = std::fs::read_to_string(folder.join("c.md")).unwrap();
    assert!(text.contains("side by side") && text.contains("data:image/svg+xml;base64,"));
}

#[test]
fn a_validation_killed_again_and_again_ends_as_one_that_was_not() {
    let (calm, rough) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let printed = run(calm.path(), &SHORT);
    for milliseconds in [400, 900, 1500] {
        let mut child =
            sedflow(rough.path(), &SHORT).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(milliseconds));
        let _ = child.kill();
        child.wait().unwrap();
    }
    assert_eq!(run(rough.path(), &SHORT), printed);
}

#[test]
fn a_likelihood_is_learned_examined_and_judges() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let small = ["--layers", "1", "--hidden", "16", "--width", "32", "--blocks", "1", "--batch", "200"];
    let name =
        run(folder, &[&["train", "--likelihood", "--name", "judge", "--steps", "150"], &small[..]].concat());
    assert_eq!(name, "judge\n");
    let kinds = ["query", "--format", "csv", "SELECT name, kind FROM checkpoint"];
    assert!(run(folder, &kinds).contains("judge,nle"));
    let printed = run(folder, &["validate", "judge", "--mocks", "300", "--draws", "60"]);
    for part in ["mag_r ", "u-g ", "exact ln density of the truths above ln q by"] {
        assert!(printed.contains(part), "{part}: {printed}");
    }
    let judged = run(
        folder,
        &["validate", "--mocks", "60", "--draws", "60", "--likelihood", "judge", "--galaxies", "0"],
    );
    assert!(judged.contains("judged by judge: predictive p-values of 60 mocks"), "{judged}");
    refused(folder, &["validate", "judge", "--mcmc", "3"], "is a likelihood");
    refused(folder, &["validate", "--likelihood", "sdss-ugriz", "--mocks", "9"], "is a posterior");
    refused(folder, &["infer", "--checkpoint", "judge"], "this is a likelihood");
    refused(folder, &["train", "--likelihood", "--members", "2", "--steps", "9"], "a likelihood is one flow");
}

#[test]
fn what_cannot_be_validated_is_said_in_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    refused(folder, &["validate", "--mocks", "1"], "--mocks is 1, expected at least 2");
    refused(folder, &["validate", "--draws", "2"], "--draws is 2, expected 3 to 1000000");
    refused(folder, &["validate", "--report", "r.pdf"], "the name of a report ends in .html or .md");
    refused(folder, &["validate", "--plot", "p.gif"], "ends in .png or .svg");
    refused(folder, &["validate", "nowhere"], "no checkpoint `nowhere`");
    refused(folder, &["validate", "--missing", "0.2"], "needs all its bands");
    refused(folder, &["validate", "--galaxies", "5"], "");
    refused(folder, &["validate", "--set", "none"], "none");
    refused(folder, &["validate", "--where", "redshift < 1", "--galaxies", "0"], "--galaxies is 0");
    std::fs::write(folder.join("broken.ckpt"), b"not a checkpoint").unwrap();
    refused(folder, &["validate", "--checkpoint", "broken.ckpt"], "broken.ckpt");
    run(folder, &["prior", "set", "other", "tau_bc=uniform:0,1"]);
    run(folder, &["simulate", "-n", "100", "--name", "mocks", "--seed", "9"]);
    run(folder, &["simulate", "-n", "100", "--name", "others", "--prior", "other"]);
    refused(folder, &["validate", "--set", "others"], "another prior");
    refused(folder, &["validate", "--set", "mocks", "--mocks", "101"], "has 100 rows");
    let printed = run(folder, &["validate", "--set", "mocks", "--draws", "40"]);
    assert!(printed.contains("open: more mocks would tell"), "{printed}");
}
