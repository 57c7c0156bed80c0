//! The main job through the binary: simulate, train, infer, look; stopped at any moment, the same command
//! goes on and ends the same; what cannot be done is said in a sentence.

mod common;

use std::path::Path;

use common::{interrupt_after, kill_after, query, refused, run, sedflow, sound, start, text, wait_until};

/// A network that trains in a second.
const TINY: [&str; 8] = ["--layers", "1", "--hidden", "16", "--width", "32", "--blocks", "1"];

const SUMMARIES: &str = "SELECT g.object_id, p.reason, q.log_mstar_q50, q.tau_ism_q16, q.t_age_mw_gyr_q84, \
                         q.n_dust_map FROM posterior p JOIN galaxy g USING (galaxy_id) \
                         LEFT JOIN posterior_summary q USING (posterior_id) ORDER BY g.galaxy_id";

fn sample(folder: &Path) {
    run(folder, &["-q", "-C", "c.db", "init"]);
    run(folder, &["-q", "-C", "c.db", "ingest", "--sample"]);
}

/// Waits until a table has so many rows, or the command has ended.
fn wait_for_rows(folder: &Path, table: &str, rows: usize, child: &mut std::process::Child) {
    let sql = format!("SELECT count(*) FROM {table}");
    wait_until(&format!("{rows} rows of {table}"), || {
        let output = sedflow(folder, &["-C", "c.db", "query", "--format", "csv", &sql]).output().unwrap();
        let found = text(&output.stdout).lines().nth(1).and_then(|n| n.parse::<usize>().ok());
        found.is_some_and(|found| found >= rows) || child.try_wait().unwrap().is_some()
    });
}

#[test]
fn an_inference_stopped_and_killed_ends_as_one_that_was_not() {
    let (calm, rough) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let infer = ["-q", "-C", "c.db", "infer", "--method", "npe", "--draws", "40", "--name", "set"];
    for folder in [calm.path(), rough.path()] {
        sample(folder);
    }
    run(calm.path(), &infer);
    for milliseconds in [20, 150, 400] {
        kill_after(rough.path(), &infer, milliseconds);
        sound(rough.path(), "c.db");
    }
    let stopped = interrupt_after(rough.path(), &infer, 350);
    let code = stopped.status.code();
    assert!(matches!(code, Some(0 | 130)), "{code:?}: {}", text(&stopped.stderr));
    run(rough.path(), &infer);
    let tables = [calm.path(), rough.path()].map(|folder| query(folder, "c.db", SUMMARIES));
    assert!(tables[0].lines().count() == 1000 && tables[0].len() > 40_000);
    assert_eq!(tables[0], tables[1]);
    // A set that is complete is left alone, and says which galaxies it lacks.
    std::fs::write(
        rough.path().join("one.csv"),
        "id,z,mag_u,sigma_u,mag_g,sigma_g,mag_r,sigma_r,mag_i,sigma_i,mag_z,\
        sigma_z,ebv\n1,0.1,19,.07,18,.03,17,.02,17,.02,17,.04,0\n",
    )
    .unwrap();
    let layout = concat!(env!("CARGO_MANIFEST_DIR"), "/samples/maps/magnitudes.toml");
    run(rough.path(), &["-q", "-C", "c.db", "ingest", "--layout", layout, "one.csv"]);
    let again = sedflow(rough.path(), &infer[1..]).output().unwrap();
    assert!(
        text(&again.stderr).contains("1 that came since need a set of another --name"),
        "{}",
        text(&again.stderr)
    );
    sound(rough.path(), "c.db");
}

#[test]
fn a_simulation_stopped_and_killed_has_the_rows_of_one_that_was_not() {
    let (calm, rough) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let simulate = ["-q", "-C", "c.db", "simulate", "--n", "12000", "--seed", "3", "--name", "set"];
    run(calm.path(), &[&simulate[..], &["--threads", "1"]].concat());
    for chunks in [1, 2, 4] {
        let mut child = start(rough.path(), &simulate);
        wait_for_rows(rough.path(), "training_chunk", chunks, &mut child);
        let _ = child.kill();
        child.wait().unwrap();
    }
    interrupt_after(rough.path(), &simulate, 500);
    run(rough.path(), &simulate);
    let chunks = "SELECT chunk, n_rows, hex(data_hash) FROM training_chunk ORDER BY chunk";
    let rejects = "SELECT hex(hash), complete, n_rows FROM training_set";
    for sql in [chunks, rejects] {
        assert_eq!(query(calm.path(), "c.db", sql), query(rough.path(), "c.db", sql));
    }
    assert_eq!(query(calm.path(), "c.db", chunks).lines().count(), 12);
    sound(rough.path(), "c.db");
}

/// A stored set on which a small network trains in a second.
fn training_set(folder: &Path) {
    run(folder, &["-q", "-C", "c.db", "simulate", "--n", "1500", "--seed", "1", "--name", "set"]);
}

#[test]
fn a_training_stopped_and_killed_ends_in_the_same_weights() {
    let (calm, rough) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let steps = ["--set", "set", "--batch", "100", "--steps", "3000", "--seed", "2"];
    let train = [&["-C", "c.db", "train", "--name", "tiny"], &TINY[..], &steps].concat();
    let infer = [
        "-q",
        "-C",
        "c.db",
        "infer",
        "--method",
        "npe",
        "--checkpoint",
        "tiny",
        "--draws",
        "20",
        "--where",
        "redshift < 0.03",
    ];
    for folder in [calm.path(), rough.path()] {
        sample(folder);
        training_set(folder);
    }
    run(calm.path(), &train);
    kill_after(rough.path(), &train, 300);
    let mut goes_on = false;
    for milliseconds in [900, 1200, 1500] {
        let stopped = interrupt_after(rough.path(), &train, milliseconds);
        goes_on |= text(&stopped.stderr).contains("going on after");
        kill_after(rough.path(), &train, 400);
    }
    let last = sedflow(rough.path(), &train).output().unwrap();
    assert!(last.status.success(), "{}", text(&last.stderr));
    assert!(goes_on || text(&last.stderr).contains("going on after"), "{}", text(&last.stderr));
    for folder in [calm.path(), rough.path()] {
        assert_eq!(query(folder, "c.db", "SELECT count(*) FROM checkpoint WHERE name = 'tiny'"), "1\n");
        run(folder, &infer);
    }
    let of_calm = query(calm.path(), "c.db", SUMMARIES);
    assert!(of_calm.lines().count() > 20, "{of_calm}");
    assert_eq!(of_calm, query(rough.path(), "c.db", SUMMARIES));
    let history = "SELECT epoch, n_examples, train_ln_prob, valid_ln_prob FROM training_history ORDER BY 1";
    assert_eq!(query(calm.path(), "c.db", history), query(rough.path(), "c.db", history));
    sound(rough.path(), "c.db");
}

#[test]
fn a_training_that_ended_is_taken_up_to_a_longer_limit_only_when_asked() {
    let folder = tempfile::tempdir().unwrap();
    training_set(folder.path());
    let train = |steps, more: &[&str]| {
        let fixed =
            ["-C", "c.db", "train", "--set", "set", "--name", "tiny", "--batch", "100", "--steps", steps];
        let arguments = [&fixed[..], &TINY, more].concat();
        sedflow(folder.path(), &arguments).output().unwrap()
    };
    assert!(train("150", &[]).status.success());
    let refused = train("300", &[]);
    assert!(text(&refused.stderr).contains("--resume goes on"), "{}", text(&refused.stderr));
    let longer = train("300", &["--resume"]);
    assert!(longer.status.success(), "{}", text(&longer.stderr));
    assert!(text(&longer.stderr).contains("going on after 150 steps"), "{}", text(&longer.stderr));
    let steps = "SELECT max(n_examples) FROM training_history";
    assert_eq!(query(folder.path(), "c.db", steps), "30000\n");
    // Both checkpoints are kept, under names that exist.
    let names = query(folder.path(), "c.db", "SELECT name FROM checkpoint ORDER BY 1");
    assert_eq!(names, "tiny\ntiny-2\n");
    let again = train("300", &["--resume"]);
    assert!(names.lines().any(|name| name == text(&again.stdout).trim()), "{}", text(&again.stdout));
    run(folder.path(), &["-q", "-C", "c.db", "plot", "training", "tiny", "tiny-2", "--out", "t.svg"]);
    assert!(std::fs::read_to_string(folder.path().join("t.svg")).unwrap().contains("examples seen"));
}

#[test]
fn mocks_exported_and_ingested_get_posteriors_that_hold_their_truths() {
    let folder = tempfile::tempdir().unwrap();
    let export = ["-q", "-C", "c.db", "simulate", "--n", "400", "--seed", "7", "--export", "mocks.parquet"];
    run(folder.path(), &export);
    let layout = concat!(env!("CARGO_MANIFEST_DIR"), "/samples/maps/mocks.toml");
    run(folder.path(), &["-q", "-C", "c.db", "ingest", "--layout", layout, "mocks.parquet"]);
    run(folder.path(), &["-q", "-C", "c.db", "infer", "--method", "npe", "--draws", "300"]);
    let inside = |name: &str, low: &str, high: &str| -> f64 {
        let sql = format!(
            "SELECT avg(g.extra->>'{name}' BETWEEN q.{name}_{low} AND q.{name}_{high}) FROM galaxy g \
             JOIN posterior_summary q USING (galaxy_id)"
        );
        query(folder.path(), "c.db", &sql).trim().parse().unwrap()
    };
    // Binomial standard deviations of 400: 0.011 and 0.023.
    for name in ["log_mstar", "tau_ism", "log_gamma1", "n_dust", "fburst"] {
        let (in_95, in_68) = (inside(name, "q025", "q975"), inside(name, "q16", "q84"));
        assert!((in_95 - 0.95).abs() < 0.04 && (in_68 - 0.68).abs() < 0.08, "{name}: {in_95}, {in_68}");
    }
    // A draw never leaves the prior, and its best draw is one of them.
    let outside = "SELECT count(*) FROM posterior_summary WHERE tau_ism_q025 < 0 OR tau_ism_q975 > 3 \
                   OR log_mstar_map < 7 OR log_mstar_map > 12.5 OR beta1_map < 0";
    assert_eq!(query(folder.path(), "c.db", outside), "0\n");
}

#[test]
fn a_set_is_sub_sampled_to_another_prior_and_exported() {
    let folder = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| run(folder.path(), &[&["-q", "-C", "c.db"], arguments].concat());
    run(&["simulate", "--n", "4000", "--seed", "4", "--name", "wide", "--export", "wide.npz"]);
    run(&["prior", "set", "young", "tburst=uniform:0.01,2", "tau_ism=truncated_normal:0.3,0.3,0,3"]);
    let pick = ["simulate", "--prior", "young", "--from", "wide", "--name", "narrow"];
    run(&[&pick[..], &["--export", "narrow.parquet"]].concat());
    // The same command finds the same set.
    assert_eq!(run(&pick).trim(), "narrow");
    let sizes = query(folder.path(), "c.db", "SELECT n_rows FROM training_set ORDER BY training_set_id");
    let sizes: Vec<usize> = sizes.lines().map(|n| n.parse().unwrap()).collect();
    assert!(sizes.len() == 2 && sizes[0] == 4000 && (50..1000).contains(&sizes[1]), "{sizes:?}");
    assert!(run(&["why", "training-set:narrow"]).contains("wide"));

    // The parquet file holds the rows, all of them inside the new prior.
    let layout = concat!(env!("CARGO_MANIFEST_DIR"), "/samples/maps/mocks.toml");
    run(&["ingest", "--layout", layout, "narrow.parquet"]);
    let inside = "SELECT count(*), min(extra->>'tburst') > 0.0099, max(extra->>'tburst') < 2.0001, \
                  avg(extra->>'tau_ism') < 0.6 FROM galaxy";
    assert_eq!(query(folder.path(), "c.db", inside), format!("{},1,1,1\n", sizes[1]));

    // The npz file is a zip archive of arrays with the shapes of the set.
    let npz = std::fs::read(folder.path().join("wide.npz")).unwrap();
    assert_eq!(npz[..4], *b"PK\x03\x04");
    for (name, shape) in [("theta", "(4000, 12)"), ("noisy_nmgy", "(4000, 5)"), ("zred", "(4000,)")] {
        let at = find(&npz, format!("{name}.npy").as_bytes()).unwrap();
        assert!(find(&npz[at..at + 200], shape.as_bytes()).is_some(), "{name}");
    }
    // what is there is not replaced unasked, and it is said before anything is simulated
    let again = ["simulate", "--n", "5000000", "--seed", "5", "--export", "wide.npz"];
    refused(folder.path(), &[&["-C", "c.db"], &again[..]].concat(), "exists already");
    let whole = npz.clone();
    run(&["simulate", "--n", "4000", "--seed", "4", "--name", "wide", "--export", "wide.npz", "--overwrite"]);
    assert!(std::fs::read(folder.path().join("wide.npz")).unwrap() == whole);
    refused(
        folder.path(),
        &["-C", "c.db", "simulate", "--n", "10", "--export", "x.csv"],
        "ends in .npz or .parquet",
    );
    refused(
        folder.path(),
        &["-C", "c.db", "simulate", "--stream", "--export", "x.npz"],
        "nothing to --export",
    );
    let elsewhere = ["-C", "c.db", "simulate", "--prior", "young", "--from", "nowhere"];
    refused(folder.path(), &elsewhere, "no training set `nowhere`");
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}

#[test]
fn a_galaxy_is_shown_with_its_photometry_summaries_and_histograms() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    run(here, &["-q", "demo", "--method", "npe", "--out", "c.db", "--draws", "100", "--show", "0"]);
    let shown = run(here, &["-C", "c.db", "show", "28"]);
    for part in
        ["sdss/28", "z = 0.11938", "KC5_LOGMASS", "ERROR_FLOOR", "sdss2010-u", "method npe: 100 draws"]
    {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let line = |name: &str| shown.lines().find(|line| line.starts_with(name)).unwrap();
    assert!(line("log_mstar ").contains("log(Msun)") && line("log_mstar ").contains("7 .. 12.5"));
    assert!(line("tau_bc ").contains("0 .. 3") && line("tau_bc ").contains('█'));
    assert!(line("t_age_mw_gyr ").contains("Gyr") && line("log_sfr_1gyr ").contains("log(Msun/yr)"));

    let json = run(here, &["-C", "c.db", "show", "28", "--format", "json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["parameters"].as_array().unwrap().len(), 17);
    assert_eq!(json["photometry"].as_array().unwrap().len(), 5);
    let fractions = json["histograms"].as_array().unwrap().iter();
    let total: f64 = fractions
        .filter(|bin| bin["parameter"] == "log_mstar")
        .map(|bin| bin["fraction"].as_f64().unwrap())
        .sum();
    assert!((0.99..=1.0001).contains(&total), "{total}");

    // One that the model cannot speak for has its reasons, in words.
    let sql = "SELECT g.object_id FROM posterior p JOIN galaxy g USING (galaxy_id) WHERE p.reason LIKE 'SIGMA_HIGH%'";
    let refused_one = query(here, "c.db", sql);
    let shown = run(here, &["-C", "c.db", "show", refused_one.lines().next().unwrap()]);
    assert!(shown.contains("no posterior") && shown.contains("the error is larger than"), "{shown}");
    refused(here, &["-C", "c.db", "show", "28", "--set", "other"], "no posterior set `other`");
    refused(here, &["-C", "c.db", "show", "sdss", "--set", "sdss-ugriz"], "--set sdss-ugriz is for galaxies");
    let without = ["-C", "c.db", "plot", "corner", refused_one.lines().next().unwrap()];
    refused(here, &without, "has no posterior in set sdss-ugriz: SIGMA_HIGH");

    // The figures are there, too.
    for kind in ["corner", "sed", "sfh"] {
        for ending in ["svg", "png"] {
            let out = format!("f-{kind}.{ending}");
            run(here, &["-q", "-C", "c.db", "plot", kind, "28", "--out", &out]);
            assert!(std::fs::metadata(here.join(&out)).unwrap().len() > 10_000, "{out}");
        }
    }
    let corner = [
        "-q",
        "-C",
        "c.db",
        "plot",
        "corner",
        "28",
        "--params",
        "log_mstar,t_age_mw_gyr",
        "--out",
        "two.svg",
    ];
    run(here, &corner);
    let svg = std::fs::read_to_string(here.join("two.svg")).unwrap();
    assert!(svg.contains("[Gyr]") && svg.contains("prior"), "labels are missing");
}

#[test]
fn what_cannot_be_done_is_said_in_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let refused =
        |arguments: &[&str], part: &str| refused(here, &[&["-C", "c.db"], arguments].concat(), part);
    refused(&["infer"], "there is no catalog at c.db");
    refused(&["prior", "set", "p", "tau_bc=uniform:3,0"], "lower bound 3 is not below upper bound 0");
    refused(&["prior", "set", "p", "fburst=uniform:0,2"], "reaches outside 0..1");
    refused(&["simulate", "--prior", "nowhere.json"], "no prior `nowhere.json`");
    refused(&["simulate", "--noise", "nowhere"], "no noise model `nowhere`");
    refused(&["simulate", "--n", "0"], "nothing to simulate");
    refused(&["simulate", "--bands", "sdss2010-x"], "sdss2010-x");
    refused(&["simulate", "--bands", "wise2010-W1"], "noise model has no band wise2010-W1");
    refused(&["train", "--set", "none"], "none");
    refused(&["train", "--budget", "soon"], "is not a length of time");
    refused(&["train", "--flow", "vae", "--steps", "1"], "vae");
    run(here, &["-C", "c.db", "prior", "set", "p", "tau_bc=uniform:0,1"]);
    refused(&["infer"], "the catalog has no survey yet");
    refused(&["noise", "fit", "nowhere"], "nowhere");
    std::fs::write(
        here.join("crossed.json"),
        r#"{"log_mstar": {"kind": "uniform", "lower": 12, "upper": 7}}"#,
    )
    .unwrap();
    refused(&["simulate", "--prior", "crossed.json"], "crossed.json");

    run(here, &["-q", "-C", "c.db", "simulate", "--n", "40", "--name", "small"]);
    refused(&["train", "--set", "small", "--steps", "5"], "too few");
    refused(&["simulate", "--n", "50", "--name", "small"], "exists already, made otherwise");

    run(here, &["-q", "-C", "c.db", "ingest", "--sample"]);
    refused(&["infer", "--draws", "0"], "--draws is 0");
    refused(&["infer", "--where", "redshfit < 1"], "redshfit");
    refused(&["infer", "--where", "redshift > 7"], "no galaxy is selected");
    assert_eq!(query(here, "c.db", "SELECT count(*) FROM posterior_set"), "0\n");
    refused(&["infer", "--checkpoint", "nowhere"], "no checkpoint `nowhere`");
    std::fs::write(here.join("garbage.ckpt"), b"PNG and other garbage").unwrap();
    refused(&["infer", "--checkpoint", "garbage.ckpt"], "garbage.ckpt");
    let shipped = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/models/sdss-ugriz.ckpt")).unwrap();
    std::fs::write(here.join("half.ckpt"), &shipped[..shipped.len() / 2]).unwrap();
    refused(&["infer", "--checkpoint", "half.ckpt"], "half.ckpt");
    refused(&["plot", "corner", "28"], "no posteriors yet");
    refused(&["plot", "corner", "nowhere"], "no galaxy nowhere");
    refused(&["show", "nowhere"], "nowhere");
    sound(here, "c.db");
}

#[test]
fn a_checkpoint_of_other_bands_is_refused_and_one_of_some_bands_gives_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    run(here, &["-q", "-C", "c.db", "init"]);
    let survey = |name: &str, band: &str, filter: &str| {
        let layout = format!(
            "name = \"{name}\"\nsurvey = \"{name}\"\n[columns]\nid = \"id\"\nredshift = \"z\"\n[photometry]\n\
             quantity = \"flux\"\nunit = \"nmgy\"\nerror = \"sigma\"\n[extinction]\nkind = \"none\"\n\
             [[band]]\nname = \"{band}\"\nfilter = \"{filter}\"\nflux = \"f\"\nerror = \"e\"\n"
        );
        std::fs::write(here.join("map.toml"), layout).unwrap();
        std::fs::write(here.join("t.csv"), format!("id,z,f,e\n{name}1,0.05,80,2\n")).unwrap();
        run(here, &["-q", "-C", "c.db", "ingest", "--layout", "map.toml", "t.csv"]);
    };
    survey("wise", "W1", "wise2010-W1");
    let said = "checkpoint sdss-ugriz was trained for sdss2010-u sdss2010-g sdss2010-r sdss2010-i sdss2010-z, but \
                wise has wise2010-W1";
    refused(here, &["-C", "c.db", "infer", "--method", "npe"], said);
    survey("one", "r", "sdss2010-r");
    run(here, &["-q", "-C", "c.db", "infer", "--method", "npe", "--draws", "10"]);
    let reasons = query(here, "c.db", "SELECT reason FROM posterior ORDER BY galaxy_id");
    let all = "BAND_MISSING_u BAND_MISSING_g BAND_MISSING_r BAND_MISSING_i BAND_MISSING_z";
    assert_eq!(reasons, format!("{all}\n{}\n", all.replace(" BAND_MISSING_r", "")));
}

#[cfg(unix)]
mod faults {
    use super::*;
    use std::process::{Command, Output};

    /// Runs a shell script in the folder, with the binary as `$SEDFLOW`.
    fn shell(folder: &Path, program: &[&str], script: &str) -> Output {
        let [program, arguments @ ..] = program else { panic!("no program") };
        let mut command = Command::new(program);
        command.args(arguments).arg(script).current_dir(folder);
        command.env("SEDFLOW", env!("CARGO_BIN_EXE_sedflow")).env_remove("SEDFLOW_CATALOG");
        command.output().unwrap()
    }

    const JOBS: [(&str, &str); 3] = [
        ("infer --method npe --draws 300 --name set", "SELECT count(*) FROM posterior"),
        ("simulate --n 15000 --seed 1 --name set", "SELECT sum(n_rows) FROM training_chunk"),
        (
            "train --name tiny --set set --steps 20 --batch 100 --width 512",
            "SELECT count(*) FROM checkpoint WHERE name = 'tiny'",
        ),
    ];

    #[test]
    fn a_file_that_may_not_grow_ends_work_with_a_sentence_and_the_same_command_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let here = folder.path();
        sample(here);
        for (job, count) in JOBS {
            // 512-byte blocks; the signal is ignored, so that writing fails instead.
            let script = format!("trap '' XFSZ; ulimit -f 2500; exec \"$SEDFLOW\" -q -C c.db {job}");
            let limited = shell(here, &["sh", "-c"], &script);
            let said = text(&limited.stderr);
            assert_eq!(limited.status.code(), Some(1), "{job}: {said}");
            assert!(said.contains("error: the catalog file could not be written"), "{job}: {said}");
            sound(here, "c.db");
            let arguments: Vec<&str> = ["-q", "-C", "c.db"].into_iter().chain(job.split(' ')).collect();
            run(here, &arguments);
            assert!(["1000\n", "15000\n", "1\n"].contains(&query(here, "c.db", count).as_str()), "{job}");
            sound(here, "c.db");
        }
    }

    #[test]
    fn a_full_disk_ends_work_with_a_sentence_and_the_same_command_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let here = folder.path();
        std::fs::create_dir(here.join("disk")).unwrap();
        let mount = "mount -t tmpfs -o size=18m tmpfs disk";
        let unshare = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"];
        let may_mount = Command::new("unshare").arg("--version").output().is_ok()
            && shell(here, &unshare, mount).status.success();
        if !may_mount {
            eprintln!("skipped: mounting a small file system is not allowed here");
            return;
        }
        let script = format!(
            "set -e; {mount}; cd disk; \"$SEDFLOW\" -q -C c.db init; \"$SEDFLOW\" -q -C c.db ingest --sample >/dev/null; \
             job='infer -q -C c.db --method npe --draws 800 --name set'; \
             if \"$SEDFLOW\" $job; then echo 'the disk was large enough'; exit 9; fi; \
             \"$SEDFLOW\" -C c.db check >&2; mount -o remount,size=200m tmpfs .; \"$SEDFLOW\" $job; \
             \"$SEDFLOW\" -C c.db check >&2; \
             \"$SEDFLOW\" -C c.db query --format csv 'SELECT count(*) FROM posterior'"
        );
        let output = shell(here, &unshare, &script);
        let said = text(&output.stderr);
        assert!(output.status.success(), "{said}");
        assert!(said.contains("error: the disk is full; what was committed is kept"), "{said}");
        assert!(text(&output.stdout).ends_with("1000\n"), "{}", text(&output.stdout));
    }

    #[test]
    fn a_catalog_lost_while_it_is_written_is_no_success() {
        let folder = tempfile::tempdir().unwrap();
        let here = folder.path();
        sample(here);
        let child = start(here, &["-q", "-C", "c.db", "infer", "--method", "npe", "--draws", "1000"]);
        let grown =
            |name: &str, bytes| std::fs::metadata(here.join(name)).is_ok_and(|file| file.len() > bytes);
        wait_until("the first batch", || grown("c.db-wal", 1_000_000));
        std::fs::remove_file(here.join("c.db")).unwrap();
        let output = child.wait_with_output().unwrap();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("c.db was removed or replaced while"), "{said}");
    }
}
