//! A user's own bandpass curves and SSP grid through the binary: kept in the catalog, chosen by name, recorded by
//! hash, found again by every later command, and missed in a sentence.

use std::path::Path;
use std::process::{Command, Output};

use sedflow::ssp::SspGrid;
use tempfile::TempDir;

const LAYOUT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/ssp/fsps_layout.fits");
/// The name in that file.
const GRID: &str = "fsps_mist_miles_chabrier";
const SMALL: [&str; 10] = ["--layers", "1", "--hidden", "8", "--width", "8", "--blocks", "1", "--steps", "5"];

struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn file(&self, name: &str, text: &str) {
        std::fs::write(self.path().join(name), text).unwrap();
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sedflow"));
        command.current_dir(self.path()).env_remove("SEDFLOW_CATALOG").args(arguments).output().unwrap()
    }

    #[track_caller]
    fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    #[track_caller]
    fn fails(&self, arguments: &[&str], expected: &[&str]) {
        let output = self.run(arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
        for part in expected {
            assert!(said.contains(part), "{arguments:?}: no `{part}` in {said}");
        }
    }

    /// Two curves and a grid of one's own, as files.
    fn with_files() -> Self {
        let place = Self::new();
        place.file("g.txt", "# unit: nm\n# counts: energy\n400 0\n450 0.9\n500 1\n550 0.1\n");
        place.file("r.txt", "# unit: nm\n# counts: energy\n560 0\n600 1\n650 0.8\n700 0\n");
        place.ok(&["-q", "ssp", "import", "--from", "fsps", LAYOUT, "--out", "own.ssp"]);
        place
    }

    fn add_curves(&self) {
        self.ok(&[
            "filter",
            "add",
            "g.txt",
            "--name",
            "mycam-g",
            "--description",
            "my g",
            "--source",
            "the lab",
        ]);
        self.ok(&["filter", "add", "r.txt", "--name", "mycam-r"]);
    }
}

const PARAMS: &str = "log_mstar,beta1,beta2,beta3,beta4,fburst,tburst,log_gamma1,log_gamma2,tau_bc,tau_ism,n_dust,redshift\n\
                      10,0.25,0.25,0.25,0.25,0,5,-2.5,-2.5,1,0.5,-0.7,0.1\n";

/// The flux in a column of one row of CSV.
fn number(csv: &str, column: &str) -> f64 {
    let mut lines = csv.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let at = lines.next().unwrap().iter().position(|name| *name == column).unwrap();
    lines.next().unwrap()[at].parse().unwrap()
}

#[test]
fn a_curve_is_kept_once_under_a_name_of_its_own() {
    let place = Place::with_files();
    place.add_curves();
    place.ok(&["filter", "add", "g.txt", "--name", "mycam-g"]);
    place
        .fails(&["filter", "add", "r.txt", "--name", "mycam-g"], &["another curve called mycam-g", "--name"]);
    place.fails(&["filter", "add", "r.txt", "--name", "other-r"], &["has this curve already, as mycam-r"]);
    place.fails(
        &["filter", "add", "r.txt", "--name", "sdss2010-r"],
        &["comes with the program as another curve"],
    );
    let list = place.ok(&["filter", "list", "--format", "json"]);
    let list: serde_json::Value = serde_json::from_str(&list).unwrap();
    let mine = list.as_array().unwrap().iter().find(|band| band["band"] == "mycam-g").unwrap();
    assert_eq!((&mine["description"], &mine["source"]), (&"my g".into(), &"the lab".into()));
    // by name, by hash, and as the file it came from
    let hash = &mine["hash"].as_str().unwrap()[..12];
    place.file("p.csv", PARAMS);
    let flux = |bands: &str| place.ok(&["-q", "sed", "eval", "--params", "p.csv", "--bands", bands]);
    assert_eq!(flux("mycam-g,sdss2010-r"), flux(&format!("{hash},sdss2010-r")));
    place.ok(&["filter", "add", "g.txt", "--name", "mycam-g", "--out", "."]);
    assert_eq!(flux("mycam-g"), flux("./mycam-g.ecsv"));
    place.fails(
        &["sed", "eval", "--params", "p.csv", "--bands", "mycam-q"],
        &[
            "mycam-q: no such band among the 56 shipped ones",
            "nor a curve of the catalog (it has mycam-g, mycam-r)",
        ],
    );
    assert!(place.ok(&["why", "filter:mycam-r"]).contains("file r.txt"));
    assert!(!place.ok(&["gc"]).contains("filter"), "what was added by name is no garbage");
}

#[test]
fn a_grid_is_kept_with_its_bytes_and_chosen_by_name_hash_or_file() {
    let place = Place::with_files();
    place.file("p.csv", PARAMS);
    place.fails(
        &["sed", "eval", "--params", "p.csv", "--bands", "sdss2010-r", "--grid", GRID],
        &["no SSP grid"],
    );
    place.fails(&["ssp", "add", LAYOUT], &["is a FITS file", "sedflow ssp import"]);
    place.ok(&["ssp", "add", "own.ssp"]);
    place.ok(&["ssp", "add", "own.ssp"]);
    let hash = SspGrid::read(&place.path().join("own.ssp")).unwrap().0.hash;
    let list = place.ok(&["ssp", "list"]);
    assert!(list.contains("bc03_miles_kroupa") && list.contains(&hash.short()), "{list}");
    assert!(place.ok(&["ssp", "info", GRID]).contains("Chabrier 2003"));
    let flux = |more: &[&str]| {
        let eval = ["-q", "sed", "eval", "--params", "p.csv", "--bands", "sdss2010-r"];
        number(&place.ok(&[&eval[..], more].concat()), "nmgy_sdss2010-r")
    };
    let own = flux(&["--grid", GRID]);
    assert_eq!((own, own), (flux(&["--grid", "own.ssp"]), flux(&["--grid", &hash.short()])));
    assert_eq!(flux(&[]), flux(&["--grid", "shipped"]));
    assert!((flux(&[]) / own - 1.0).abs() > 0.01, "another grid gives another flux");
    assert!(place.ok(&["check"]).contains("1 blobs have the checksum"));
    // a grid of the same name with other contents
    place.ok(&["-q", "ssp", "import", "--from", "fsps", LAYOUT, "--max-age-gyr", "5", "--out", "young.ssp"]);
    place.fails(&["ssp", "add", "young.ssp"], &["has another SSP grid called fsps_mist_miles_chabrier"]);
}

#[test]
fn a_curve_or_grid_that_cannot_be_is_refused_in_one_sentence() {
    let place = Place::with_files();
    let head = "# name: x\n# unit: angstrom\n# counts: photon\n";
    for (name, text, expected) in [
        ("nm-as-aa", format!("{head}500 1\n600 1\n"), "pivot wavelength 549.2 Angstrom"),
        (
            "descending",
            format!("{head}6000 1\n5000 1\n"),
            "line 5: wavelength 5000 is not above the 6000 before it",
        ),
        ("negative", format!("{head}5000 1\n6000 -1\n"), "line 5: response -1 is negative"),
        ("zero", format!("{head}5000 0\n6000 0\n"), "the response is zero everywhere"),
        ("words", format!("{head}5000 high\n"), "line 4: `high` where a response was expected"),
        (
            "furlong",
            head.replace("angstrom", "furlong") + "5000 1\n6000 1\n",
            "wavelength unit `furlong` is unknown",
        ),
        ("unsaid", "5000 1\n6000 1\n".to_owned(), "the file states no wavelength unit"),
    ] {
        place.file(name, &text);
        place.fails(&["filter", "add", name], &[name, expected]);
        place.fails(&["filter", "check", name], &[name, expected]);
    }
    place.fails(
        &["filter", "check", "nowhere"],
        &["error: nowhere: No such file or directory (os error 2)\n"],
    );
    assert!(!place.path().join("sedflow.db").exists(), "nothing was kept");

    let grid = std::fs::read(place.path().join("own.ssp")).unwrap();
    let damaged: Vec<u8> = grid.iter().enumerate().map(|(i, b)| if i == 900 { b ^ 1 } else { *b }).collect();
    let layout = std::fs::read(LAYOUT).unwrap();
    for (name, bytes, expected) in [
        ("cut.ssp", &grid[..900], "the file is cut short"),
        ("damaged.ssp", &damaged, "is damaged: its checksum is"),
        ("empty.ssp", &[], "not an SSP grid: it opens with ``, expected `sedfssp\\n`"),
    ] {
        std::fs::write(place.path().join(name), bytes).unwrap();
        for command in [&["ssp", "info", name][..], &["ssp", "add", name], &["train", "--grid", name]] {
            place.fails(command, &[name, expected]);
        }
    }
    std::fs::write(place.path().join("cut.fits"), &layout[..20_000]).unwrap();
    place.fails(&["ssp", "import", "--from", "fsps", "cut.fits"], &["there is no HDU called `LUM`"]);
    place.fails(&["ssp", "import", "--from", "bagpipes", LAYOUT], &["no HDU is called ZMET_...ZSOL"]);
    place
        .fails(&["ssp", "import", "--from", "fsps", "own.ssp"], &["not a FITS file: it opens with `sedfssp"]);
}

/// A survey in the own bands, through a column map that names the curves of the catalog.
fn ingest(place: &Place) {
    let mut csv = String::from("id,z,f_g,e_g,f_r,e_r\n");
    for i in 0..60 {
        let flux = 20.0 * 1.05f64.powi(i);
        csv += &format!(
            "{i},{},{flux},{},{},{}\n",
            0.02 + 0.002 * f64::from(i),
            0.05 * flux,
            2.0 * flux,
            0.08 * flux
        );
    }
    place.file("cam.csv", &csv);
    let mut map = "name = 'cam'\nsurvey = 'cam'\n[columns]\nid = 'id'\nredshift = 'z'\n[photometry]\nquantity = 'flux'\n\
                   unit = 'nmgy'\nerror = 'sigma'\n[extinction]\nkind = 'none'\n"
        .to_owned();
    for band in ["g", "r"] {
        map += &format!(
            "[[band]]\nname = '{band}'\nfilter = 'mycam-{band}'\nflux = 'f_{band}'\nerror = 'e_{band}'\n"
        );
    }
    place.file("cam.toml", &map);
    assert!(place.ok(&["ingest", "-n", "cam.csv", "--layout", "cam.toml"]).contains("mycam-g"));
    place.ok(&["-q", "ingest", "cam.csv", "--layout", "cam.toml"]);
}

#[test]
fn a_model_on_own_curves_and_grid_is_trained_and_used_and_says_what_it_misses_elsewhere() {
    let place = Place::with_files();
    place.add_curves();
    ingest(&place);
    place.ok(&["-q", "noise", "fit", "cam", "--min-count", "5"]);
    // from a file, which the catalog then keeps
    let train = [
        &["-q", "train", "--noise", "cam", "--grid", "own.ssp", "--name", "own", "--out", "own.ckpt"],
        &SMALL[..],
    ];
    place.ok(&train.concat());
    place.ok(&["-q", "simulate", "-n", "1200", "--noise", "cam", "--grid", GRID, "--name", "sims"]);
    place.ok(&[&["-q", "train", "--set", "sims", "--name", "stored"], &SMALL[..]].concat());
    std::fs::remove_file(place.path().join("own.ssp")).unwrap();
    for name in ["own", "stored"] {
        place.ok(&["-q", "infer", "--method", "npe", "--checkpoint", name, "--draws", "20"]);
        let count =
            "SELECT count(*) FROM posterior JOIN posterior_set USING (posterior_set_id) WHERE name = :n";
        let counted = place.ok(&["query", "--format", "csv", count, "--param", &format!("n={name}")]);
        assert!(counted.ends_with("\n60\n"), "{counted}");
        place.ok(&["-q", "validate", name, "--mocks", "5", "--draws", "20"]);
    }
    let drawn =
        "SELECT object_id FROM posterior JOIN galaxy USING (galaxy_id) WHERE method IS NOT NULL LIMIT 1";
    let drawn = place.ok(&["query", "--format", "csv", drawn]);
    place.ok(&["-q", "plot", "sed", drawn.lines().nth(1).expect("a galaxy with draws"), "--out", "sed.svg"]);
    let why = place.ok(&["why", "checkpoint:own"]);
    for part in ["file own.ssp", "file r.txt", GRID, "filter mycam-g"] {
        assert!(why.contains(part), "no `{part}` in {why}");
    }
    assert!(place.ok(&["check"]).lines().all(|line| line.starts_with("ok ")));

    let elsewhere = Place::with_files();
    std::fs::copy(place.path().join("own.ckpt"), elsewhere.path().join("own.ckpt")).unwrap();
    elsewhere.ok(&["-q", "init"]);
    let infer = ["infer", "--method", "npe", "--checkpoint", "own.ckpt"];
    let sentence = "which neither comes with the program nor is in the catalog";
    elsewhere.fails(
        &infer,
        &["checkpoint own was trained with the curve", "of mycam-g", sentence, "sedflow filter add"],
    );
    elsewhere.ok(&["filter", "add", "r.txt", "--name", "mycam-g"]);
    elsewhere.fails(&infer, &["mycam-g here is another curve"]);
    let elsewhere = Place::with_files();
    std::fs::copy(place.path().join("own.ckpt"), elsewhere.path().join("own.ckpt")).unwrap();
    elsewhere.add_curves();
    elsewhere
        .fails(&infer, &["was trained on the SSP grid", GRID, "Chabrier 2003", sentence, "sedflow ssp add"]);
    elsewhere.ok(&["ssp", "add", "own.ssp"]);
    elsewhere.ok(&["-q", "validate", "own.ckpt", "--mocks", "3", "--draws", "20"]);
}

#[test]
fn bands_of_two_systems_with_one_short_name_make_a_set() {
    let place = Place::new();
    let noise = r#"{"name": "two", "source": "made up", "bands": [BAND1, BAND2]}"#;
    let band = |name: &str| {
        format!(
            r#"{{"band": "{name}", "mag": [15, 22], "sigma_median": [0.02, 0.1], "sigma_sd": [0.002, 0.01],
                "count": [50, 50], "mag_range": [12, 24]}}"#
        )
    };
    let text = noise.replace("BAND1", &band("sdss2010-r")).replace("BAND2", &band("decam2014-r"));
    place.file("two.json", &text);
    place.ok(&["-q", "simulate", "-n", "50", "--noise", "two.json", "--name", "two"]);
    let names = place.ok(&["query", "--format", "csv", "SELECT name FROM band ORDER BY position"]);
    assert_eq!(names, "name\nsdss2010-r\ndecam2014-r\n");
}
