//! `sedflow sed` as a user sees it: figures, files, messages, exit codes.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

const REFERENCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/sed_reference.csv");

fn sedflow(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sedflow")).args(arguments).output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Columns and rows of a CSV without quotes.
fn table(text: &str) -> (Vec<&str>, Vec<Vec<&str>>) {
    let mut lines = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
    (lines.next().unwrap(), lines.collect())
}

fn write(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

/// The reference's parameters alone, its first `n` rows.
fn parameters(n: usize) -> String {
    let reference = fs::read_to_string(REFERENCE).unwrap();
    let lines = reference.lines().take(n + 1);
    lines.map(|line| line.split(',').take(14).collect::<Vec<_>>().join(",") + "\n").collect()
}

/// Largest difference in magnitudes between columns of two tables, where the second is above 1e-6 nmgy.
fn worst_mag(found: &str, expected: &str, column: &str) -> f64 {
    let values = |text: &str| -> Vec<f64> {
        let (header, rows) = table(text);
        let at = header.iter().position(|name| *name == column).unwrap();
        rows.iter().map(|row| row[at].parse().unwrap()).collect()
    };
    let pairs = values(found).into_iter().zip(values(expected));
    pairs.filter(|(_, e)| *e > 1e-6).map(|(f, e)| (2.5 * (f / e).log10()).abs()).fold(0.0, f64::max)
}

#[test]
fn both_paths_reproduce_the_reference_through_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let params = write(folder.path(), "params.csv", &parameters(40));
    let reference: String =
        fs::read_to_string(REFERENCE).unwrap().lines().take(41).map(|line| line.to_owned() + "\n").collect();
    let bands = ["sdss2010-u", "sdss2010-r", "decam2014-z", "twomass-J"];
    for path in ["exact", "fast"] {
        let out = folder.path().join(format!("{path}.csv"));
        let out = out.to_str().unwrap();
        let bands_list = bands.join(",");
        let arguments = ["sed", "eval", "--params", &params, "--bands", &bands_list, "--path", path];
        let output = sedflow(&[&arguments[..], &["--out", out, "-q"]].concat());
        assert!(output.status.success(), "{}", stderr(&output));
        assert!(output.stdout.is_empty());
        let found = fs::read_to_string(out).unwrap();
        let (header, rows) = table(&found);
        assert_eq!(
            (rows.len(), &header[..2], header[14]),
            (40, &["log_mstar", "beta1"][..], "nmgy_sdss2010-u")
        );
        for band in bands {
            let worst = worst_mag(&found, &reference, &format!("nmgy_{band}"));
            assert!(worst < 0.003, "{path}, {band}: {worst}");
        }
    }
}

#[test]
fn columns_that_are_there_already_are_replaced_and_others_kept_as_they_were() {
    let folder = tempfile::tempdir().unwrap();
    let reference = fs::read_to_string(REFERENCE).unwrap();
    let mut lines = reference.lines();
    let text = format!("name,{}\n\"NGC 1, old\",{}\n", lines.next().unwrap(), lines.next().unwrap());
    let params = write(folder.path(), "ids.csv", &text);
    let arguments = ["sed", "eval", "--params", &params, "--bands", "sdss2010-g", "--format", "json"];
    let output = sedflow(&[&arguments[..], &["--absolute", "sdss2010-g"]].concat());
    let rows: Value = serde_json::from_slice(&output.stdout).unwrap();
    let row = rows[0].as_object().unwrap();
    assert_eq!(row["name"], "NGC 1, old");
    assert_eq!(row.keys().filter(|key| key.as_str() == "nmgy_sdss2010-g").count(), 1);
    assert!((row["nmgy_sdss2010-g"].as_f64().unwrap() / 0.936734799737677 - 1.0).abs() < 3e-3);
    assert_eq!(row["log_mstar"].as_f64(), Some(7.707136115230598));
    assert!((row["log_z_mw"].as_f64().unwrap() + 3.1862231259413627).abs() < 2e-3);
    assert!(row["absmag_sdss2010-g"].as_f64().unwrap() < -10.0);
}

#[test]
fn log_gammas_and_a_default_birth_cloud_age_are_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let text = "log_mstar,beta1,beta2,beta3,beta4,fburst,tburst,log_gamma1,log_gamma2,tau_bc,tau_ism,n_dust,redshift\n\
                10,0.25,0.25,0.25,0.25,0,5,-2.5,-2.5,1,0.5,-0.7,0.1\n";
    let params = write(folder.path(), "p.csv", text);
    let evaluate = |more: &[&str]| {
        let arguments = ["sed", "eval", "--params", &params, "--bands", "sdss2010-u"];
        String::from_utf8(sedflow(&[&arguments[..], more].concat()).stdout).unwrap()
    };
    let linear = text
        .replace("log_gamma", "gamma")
        .replace("-2.5,-2.5", "0.0031622776601683795,0.0031622776601683795");
    let linear = write(folder.path(), "linear.csv", &linear);
    let linear = sedflow(&["sed", "eval", "--params", &linear, "--bands", "sdss2010-u"]);
    let flux = |text: &str| table(text).1[0][13].parse::<f64>().unwrap();
    assert!((flux(&evaluate(&[])) / flux(std::str::from_utf8(&linear.stdout).unwrap()) - 1.0).abs() < 1e-9);
    // Younger birth clouds hide fewer stars.
    assert!(flux(&evaluate(&["--birth-cloud-age", "0.01"])) > flux(&evaluate(&[])));
}

#[test]
fn bad_rows_are_listed_and_good_ones_computed() {
    let folder = tempfile::tempdir().unwrap();
    let text = parameters(8);
    let mut lines: Vec<Vec<String>> =
        text.lines().map(|line| line.split(',').map(str::to_owned).collect()).collect();
    for (row, column, value) in [
        (2, 9, "-0.5"),
        (3, 1, "0.9"),
        (4, 0, "nan"),
        (5, 6, "old"),
        (6, 12, "-0.1"),
        (7, 13, "-1"),
        (8, 7, "-3"),
    ] {
        lines[row][column] = value.to_owned();
    }
    let text: String = lines.iter().map(|fields| fields.join(",") + "\n").collect();
    let params = write(folder.path(), "bad.csv", &text);
    for path in ["exact", "fast"] {
        let output = sedflow(&["sed", "eval", "--params", &params, "--bands", "sdss2010-r", "--path", path]);
        assert_eq!(output.status.code(), Some(4));
        let stdout = String::from_utf8(output.stdout.clone()).unwrap();
        assert_eq!(table(&stdout).1.len(), 1);
        let said = stderr(&output);
        for expected in [
            "bad.csv: row 2: column tau_bc: found -0.5, expected a finite number, 0 or more",
            "bad.csv: row 3: column beta1 + beta2 + beta3 + beta4: found ",
            "bad.csv: row 4: column log_mstar: found `NaN`, expected a number",
            "bad.csv: row 5: column tburst: found `old`, expected a number",
            "bad.csv: row 6: column redshift: found -0.1, expected above 0 and at most 20",
            "bad.csv: row 7: column birth_cloud_age_gyr: found -1, expected 0 or more",
            "bad.csv: row 8: column gamma1: found -3, expected a finite number, 0 or more",
            "7 of 8 rows rejected",
        ] {
            assert!(said.contains(expected), "{path}: no `{expected}` in {said}");
        }
    }
}

#[test]
fn a_redshift_that_takes_a_band_out_of_the_grid_rejects_its_row_alone() {
    let folder = tempfile::tempdir().unwrap();
    let text = parameters(2);
    let (header, rows) = table(&text);
    let mut far: Vec<&str> = rows[1].clone();
    far[12] = "19.5";
    let text = [header.join(","), rows[0].join(","), far.join(",")].join("\n");
    let params = write(folder.path(), "far.csv", &text);
    for path in ["exact", "fast"] {
        let output = sedflow(&["sed", "eval", "--params", &params, "--bands", "galex-fuv", "--path", path]);
        assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
        assert!(stderr(&output).contains("row 2: band galex-fuv covers 13"), "{}", stderr(&output));
        assert!(stderr(&output).contains("at redshift 19.5 the SSP grid covers"), "{}", stderr(&output));
    }
}

#[test]
fn mistakes_in_the_command_or_the_table_as_a_whole_are_failures() {
    let folder = tempfile::tempdir().unwrap();
    let params = write(folder.path(), "p.csv", &parameters(1));
    let short = write(folder.path(), "short.csv", "log_mstar,beta1\n10,1\n");
    let grid = write(folder.path(), "grid.ssp", "sedfssp\n");
    let bad_curve =
        write(folder.path(), "x.txt", "# name: x\n# unit: angstrom\n# counts: photon\n5000 1\n4000 1\n");
    for (arguments, expected) in [
        (vec!["--params", &short, "--bands", "sdss2010-r"], "no column beta2, beta3"),
        (vec!["--params", &params, "--bands", "sdss2010-q"], "no such band"),
        (vec!["--params", &params, "--bands", &bad_curve], "ascend"),
        (vec!["--params", "nowhere.csv", "--bands", "sdss2010-r"], "cannot read nowhere.csv"),
        (vec!["--params", &params, "--bands", "sdss2010-r", "--grid", &grid], "cut short"),
        (vec!["--params", &params, "--bands", "sdss2010-r", "--birth-cloud-age=-1"], "birth-cloud age is -1"),
    ] {
        let output = sedflow(&[&["sed", "eval"][..], &arguments].concat());
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(expected), "{arguments:?}: {}", stderr(&output));
    }
}

#[test]
fn a_spectrum_is_written_as_csv_and_fits_and_drawn() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let fits = file("s.fits");
    let ok = |arguments: &[&str]| {
        let output = sedflow(&[&["sed", "spectrum"][..], arguments].concat());
        assert!(output.status.success(), "{}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    let csv = ok(&["--wave", "3600:9800:0.8", "--sigma", "150", "--redshift", "0.05"]);
    let (header, rows) = table(&csv);
    assert_eq!(header, ["wave_obs_aa", "wave_aa", "flam", "flux_nmgy"]);
    assert_eq!((rows.len(), rows[0][0]), (7751, "3600.0"));
    assert!(rows.iter().all(|row| row[2].parse::<f64>().unwrap() > 0.0));
    ok(&["--params", REFERENCE, "--row", "3", "--out", &fits]);
    let bytes = fs::read(&fits).unwrap();
    assert!(bytes.starts_with(b"SIMPLE  =") && bytes.windows(8).any(|card| card == b"SSPGRID "));
    for (name, magic) in [("s.png", &b"\x89PNG"[..]), ("s.svg", b"<svg")] {
        let path = file(name);
        assert!(ok(&["--params", REFERENCE, "--row", "3", "--plot", &path]).is_empty());
        let bytes = fs::read(&path).unwrap();
        assert!(bytes.windows(magic.len()).take(200).any(|window| window == magic), "{name}");
    }
    for (arguments, expected) in [
        (vec!["--params", REFERENCE, "--row", "301"], "no row 301"),
        (vec!["--beta", "0.5,0.5,0.5,0.5"], "beta1 + beta2 + beta3 + beta4 is 2, expected 1"),
        (vec!["--sigma=-3"], "velocity dispersion is -3"),
        (vec!["--plot", "figure.pdf"], "ends in .png or .svg"),
    ] {
        let output = sedflow(&[&["sed", "spectrum"][..], &arguments].concat());
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(stderr(&output).contains(expected), "{arguments:?}: {}", stderr(&output));
    }
    assert_eq!(sedflow(&["sed", "spectrum", "--wave", "5:4:1"]).status.code(), Some(2));
}

#[test]
fn the_benchmark_prints_json_lines_and_a_table() {
    let output = sedflow(&[
        "bench",
        "sed",
        "--galaxies",
        "2000",
        "--repeat",
        "1",
        "--compare",
        "50",
        "--zmax",
        "0.01",
        "--bands",
        "sdss2010-r",
    ]);
    assert!(output.status.success(), "{}", stderr(&output));
    let lines: Vec<Value> = String::from_utf8(output.stdout.clone())
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    for what in ["exact path", "fast path, one redshift", "fast path, random redshifts"] {
        let line = lines.iter().find(|line| line["what"] == what && line["threads"] == 1).unwrap();
        assert!(line["us_per_galaxy"].as_f64().unwrap() > 0.0);
    }
    assert!(
        lines.iter().any(|line| line["what"] == "fast - exact" && line["rms_mag"].as_f64().unwrap() < 1e-3)
    );
    assert!(stderr(&output).contains("us/galaxy"));
}
