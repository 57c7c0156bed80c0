//! Answers for galaxies that the network cannot speak for, as a user gets them.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};

const MAP: &str = "name = 'test'\nsurvey = 'test'\n[columns]\nid = 'id'\nra = 'ra'\ndec = 'dec'\nredshift = 'z'\n\
    [photometry]\nquantity = 'flux'\nunit = 'nmgy'\nerror = 'sigma'\nnegative_error_is_limit = true\n\
    [extinction]\nkind = 'corrected'\n";

/// Galaxy 28 of the shipped sample at redshift 0.1194: fluxes and errors in ugriz, nanomaggies.
const FLUX: [f64; 5] = [11.52, 66.07, 174.05, 264.11, 391.41];
const SIGMA: [f64; 5] = [1.543, 1.404, 3.443, 5.278, 12.546];

fn run(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sedflow"));
    command.current_dir(folder).args(["-q", "-C", "c.db"]).args(arguments).env_remove("SEDFLOW_CATALOG");
    command.output().unwrap()
}

fn done(folder: &Path, arguments: &[&str]) -> String {
    let output = run(folder, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A catalog of one good galaxy and of everything that can be wrong with one.
fn catalog(folder: &Path) {
    let mut map = MAP.to_owned();
    for band in ["u", "g", "r", "i", "z"] {
        map += &format!(
            "[[band]]\nname = '{band}'\nfilter = 'sdss2010-{band}'\nflux = 'f_{band}'\nerror = 'e_{band}'\n"
        );
    }
    let mut table = "id,ra,dec,z,f_u,f_g,f_r,f_i,f_z,e_u,e_g,e_r,e_i,e_z\n".to_owned();
    let mut row = |id: &str, z: f64, flux: [f64; 5], sigma: [f64; 5]| {
        let numbers: Vec<String> = flux.iter().chain(&sigma).map(f64::to_string).collect();
        table += &format!("{id},10,10,{z},{}\n", numbers.join(","));
    };
    let with = |mut values: [f64; 5], band: usize, value: f64| {
        values[band] = value;
        values
    };
    row("good", 0.1194, FLUX, SIGMA);
    row("no-u", 0.1194, with(FLUX, 0, -99.0), SIGMA);
    row("error-0", 0.1194, FLUX, with(SIGMA, 1, 0.0));
    row("limit", 0.1194, FLUX, with(SIGMA, 0, -1.0));
    row("noisy", 0.1194, FLUX, SIGMA.map(|s| 6.0 * s));
    row("all-missing", 0.1194, [-99.0; 5], SIGMA);
    row("all-errors-0", 0.1194, FLUX, [0.0; 5]);
    row("huge", 0.1194, with(FLUX, 2, 1e30), SIGMA);
    row("z-0", 0.0, FLUX, SIGMA);
    row("far", 0.3, FLUX, SIGMA);
    std::fs::write(folder.join("map.toml"), map).unwrap();
    std::fs::write(folder.join("t.csv"), table).unwrap();
    done(folder, &["init"]);
    done(folder, &["ingest", "--layout", "map.toml", "t.csv"]);
}

/// Method and reason of each galaxy in a set; a number that is neither finite nor NULL fails.
fn answers(folder: &Path, set: &str) -> BTreeMap<String, (String, String)> {
    let sql = format!(
        "SELECT object_id, coalesce(method, '-'), coalesce(reason, '-'), \
         coalesce(abs(log_mstar_mean), 0) < 100 AND coalesce(abs(t_age_mw_gyr_std), 0) < 100 AND \
         coalesce(chi2_best, 0) < 1e99 AND (method IS NULL) = (log_mstar_q50 IS NULL) \
         FROM posterior JOIN galaxy USING (galaxy_id) JOIN posterior_set USING (posterior_set_id) \
         LEFT JOIN posterior_summary USING (posterior_id) WHERE posterior_set.name = '{set}'"
    );
    let text = done(folder, &["query", "--format", "csv", &sql]);
    text.lines()
        .skip(1)
        .map(|line| {
            let cells: Vec<&str> = line.split(',').collect();
            assert_eq!(cells[3], "1", "{line}");
            (cells[0].to_owned(), (cells[1].to_owned(), cells[2].to_owned()))
        })
        .collect()
}

#[test]
fn every_galaxy_gets_an_answer_or_a_reason_and_roads_can_be_compared() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    catalog(folder);
    done(folder, &["infer", "--method", "npe", "--draws", "500", "--name", "first"]);
    let first = answers(folder, "first");
    assert_eq!(first.len(), 10);
    assert_eq!(first.values().filter(|(method, _)| method == "npe").count(), 1, "{first:?}");

    assert_eq!(done(folder, &["refine", "first", "--draws", "500"]), "first-auto\n");
    let refined = answers(folder, "first-auto");
    let has = |id: &str, method: &str, reason: &str| {
        let (m, r) = &refined[id];
        assert!(method.split('|').any(|method| m == method) && r.contains(reason), "{id}: {m} {r}");
    };
    has("good", "npe|npe+is|mcmc", "");
    has("no-u", "mcmc", "BAND_MISSING_u");
    has("error-0", "mcmc", "BAND_MISSING_g");
    has("limit", "mcmc", "UPPER_LIMIT_u");
    has("noisy", "npe+is|mcmc", "SIGMA_HIGH_r");
    has("far", "mcmc", "Z_RANGE");
    has("all-missing", "-", "BAND_MISSING_u BAND_MISSING_g");
    has("all-errors-0", "-", "BAND_MISSING_u BAND_MISSING_g");
    has("huge", "-", "MODEL_MISFIT");
    has("z-0", "-", "Z_RANGE");

    assert_eq!(done(folder, &["refine", "first", "--method", "is", "--draws", "500"]), "first-is\n");
    assert_eq!(answers(folder, "first-is")["good"].0, "npe+is");
    let text = done(folder, &["mcmc", "good", "--burn-in", "100", "--iterations", "300", "--draws", "500"]);
    assert!(text.contains("split R-hat") && text.contains("kept as set mcmc-good"), "{text}");
    assert_eq!(answers(folder, "mcmc-good")["good"].0, "mcmc");
    let overlay = ["plot", "corner", "good", "--overlay", "npe,is,mcmc", "--params", "log_mstar,tau_ism"];
    done(folder, &[&overlay[..], &["-o", "overlay.svg"]].concat());
    let figure = std::fs::read_to_string(folder.join("overlay.svg")).unwrap();
    assert!(figure.contains(">mcmc<") && figure.contains(">is<"));
}

#[test]
fn a_chain_that_has_nothing_to_walk_on_or_is_too_short_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    catalog(folder);
    let refused = |arguments: &[&str], part: &str| {
        let output = run(folder, arguments);
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && text.contains(part), "{arguments:?}: {text}");
    };
    refused(&["mcmc", "all-missing"], "BAND_MISSING_u");
    refused(&["mcmc", "huge"], "MODEL_MISFIT");
    refused(&["mcmc", "z-0"], "Z_RANGE");
    refused(
        &["mcmc", "good", "--walkers", "7"],
        "7 walkers for 11 coordinates: expected an even number of at least 22",
    );
    refused(&["mcmc", "nowhere"], "no galaxy nowhere");
    refused(&["mcmc", "good", "--model-error", "2"], "--model-error is 2");
    refused(&["refine", "none"], "none");
    refused(&["plot", "corner", "good", "--overlay", "is"], "run `sedflow refine --method is`");
    let short = ["mcmc", "good", "--burn-in", "20", "--iterations", "20", "--moves", "stretch", "--plain"];
    let text = done(folder, &short);
    assert!(text.contains("NOT converged") && text.contains("remarks: NOT_CONVERGED"), "{text}");
}
