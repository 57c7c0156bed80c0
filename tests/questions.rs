//! Questions to posteriors, versions of them and what changed, as a user asks: answers, formats, errors.

mod synthetic;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use sedflow::draws::Column;
use sedflow::find::{Question, Tally, Vocabulary, find};
use sedflow::store::{GalaxyId, Mode, PosteriorRow, SUMMARY_PARAMETERS, Selection, Store};
use serde_json::Value;
use synthetic::{Posterior, Synthetic, ingest, posterior};

const N: usize = 60;
const N_DRAWS: usize = 600;

fn sedflow(catalog: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sedflow"))
        .arg("-C")
        .arg(catalog)
        .args(arguments)
        .env_remove("SEDFLOW_CATALOG")
        .output()
        .unwrap()
}

#[track_caller]
fn ok(output: Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[track_caller]
fn fails(output: Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stderr).unwrap()
}

fn without_draws(row: PosteriorRow) -> PosteriorRow {
    PosteriorRow { codec: None, codec_ks: None, draws_hash: None, samples: None, ..row }
}

/// A catalog with a set of 60 posteriors, one of summaries alone, and one of draws that were moved for some.
fn catalog(folder: &Path) -> (PathBuf, Vec<Posterior>) {
    let path = folder.join("c.db");
    let posteriors: Vec<Posterior> = (0..N).map(|i| posterior(i as u64, N_DRAWS)).collect();
    let mut made = Synthetic::new(&path, N + 5).unwrap();
    let n_draws = N_DRAWS as u64;
    let row = |i: usize| posteriors[i].row.clone();
    made.add_set("summaries-v1", 0, n_draws, (1, N), &mut |i| without_draws(row(i))).unwrap();
    made.add_set("v2", 1, n_draws, (1, N + 1), &mut |i| match i {
        0..10 => posterior(1000 + i as u64, N_DRAWS).row,
        10 | N => PosteriorRow { reason: Some("Z_RANGE".to_owned()), ..PosteriorRow::default() },
        _ => row(i),
    })
    .unwrap();
    made.add_set("v1", 0, n_draws, (1, N), &mut |i| row(i)).unwrap();
    (path, posteriors)
}

fn answers(store: &Store, set: &str, question: &str) -> (Vec<usize>, Tally) {
    let set = store.find_posterior_set(set).unwrap();
    let question = Question::parse(question, store, &Vocabulary::new(store, Some(&set)).unwrap()).unwrap();
    let mut found = Vec::new();
    let selection = Selection { set: Some(set.id), ..Selection::default() };
    let tally = find(store, &question, &selection, None, &mut |GalaxyId(id)| {
        found.push(id as usize - 1);
        Ok(true)
    });
    (found, tally.unwrap())
}

/// The draws as they are stored.
fn stored(store: &Store, set: &str) -> Vec<Vec<Vec<f32>>> {
    let set = store.find_posterior_set(set).unwrap().id;
    (0..N)
        .map(|i| {
            let row = store.posterior(set, GalaxyId(i as i64 + 1)).unwrap().unwrap().row;
            let bytes = row.samples.unwrap();
            sedflow::codec::decode_columns(&bytes, &SUMMARY_PARAMETERS).unwrap()
        })
        .collect()
}

type Draw<'a> = dyn Fn(&str) -> f64 + 'a;

#[test]
fn find_answers_as_going_through_all_stored_draws_does() {
    let folder = tempfile::tempdir().unwrap();
    let (path, _) = catalog(folder.path());
    let store = Store::open(&path, Mode::Read).unwrap();
    let stored = stored(&store, "v1");
    let place = |name: &str| SUMMARY_PARAMETERS.iter().position(|known| *known == name).unwrap();
    let share = |columns: &Vec<Vec<f32>>, is: &dyn Fn(&Draw<'_>) -> bool| {
        let n = columns[0].len();
        let holds = |i: &usize| is(&|name| f64::from(columns[place(name)][*i]));
        (0..n).filter(holds).count() as f64 / n as f64
    };
    let column = |columns: &Vec<Vec<f32>>, name: &str| Column::of(&columns[place(name)], None);
    type Truth<'a> = Box<dyn Fn(&Vec<Vec<f32>>) -> bool + 'a>;
    let cases: Vec<(&str, Truth<'_>)> = vec![
        ("P(log_mstar > 10) > 0.9", Box::new(|c| share(c, &|v| v("log_mstar") > 10.0) > 0.9)),
        ("P(log_mstar > 10) >= 0.5", Box::new(|c| share(c, &|v| v("log_mstar") > 10.0) >= 0.5)),
        ("not P(tau_ism < 1) < 0.3", Box::new(|c| share(c, &|v| v("tau_ism") < 1.0) >= 0.3)),
        (
            "P(log_mstar > 10 and log_sfr_1gyr - log_mstar < -10) > 0.4",
            Box::new(|c| {
                share(c, &|v| v("log_mstar") > 10.0 && v("log_sfr_1gyr") - v("log_mstar") < -10.0) > 0.4
            }),
        ),
        (
            "P(beta1 > 0.3 or t_age_mw_gyr between 3 and 5) between 0.2 and 0.6",
            Box::new(|c| {
                let p = share(c, &|v| v("beta1") > 0.3 || (3.0..=5.0).contains(&v("t_age_mw_gyr")));
                (0.2..=0.6).contains(&p)
            }),
        ),
        ("quantile(n_dust, 0.16) > -1", Box::new(|c| column(c, "n_dust").quantile(0.16) > -1.0)),
        ("median(log_mstar) > 10.2", Box::new(|c| column(c, "log_mstar").quantile(0.5) > 10.2)),
        ("mean(tau_ism) < 1.5", Box::new(|c| column(c, "tau_ism").mean() < 1.5)),
        ("sd(tau_ism) > 0.8", Box::new(|c| column(c, "tau_ism").sd() > 0.8)),
        ("hdi_high(tau_ism, 0.68) < 2", Box::new(|c| column(c, "tau_ism").hdi(0.68).1 < 2.0)),
        (
            "corr(log_sfr_1gyr, log_mstar) > 0.5 and P(fburst > 0.5) > 0.5",
            Box::new(|c| {
                let f = |name: &str| c[place(name)].iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
                let corr = sedflow::draws::correlation(&f("log_sfr_1gyr"), &f("log_mstar"), None);
                corr > 0.5 && share(c, &|v| v("fburst") > 0.5) > 0.5
            }),
        ),
    ];
    let mut decided = 0;
    for (question, truth) in &cases {
        let expected: Vec<usize> = (0..N).filter(|&i| truth(&stored[i])).collect();
        let (found, tally) = answers(&store, "v1", question);
        assert_eq!(found, expected, "{question}");
        assert!(!expected.is_empty() && expected.len() < N, "{question} tells nothing");
        assert_eq!(tally.candidates, (N + 5) as u64, "{question}");
        assert_eq!(tally.without_draws, 0);
        decided += tally.summary_yes + tally.summary_no;
    }
    assert!(decided > 6 * N as u64, "summaries decided {decided} of {}", cases.len() * (N + 5));
}

#[test]
fn columns_narrow_in_sql_mix_with_draws_and_stand_inside_probabilities() {
    let folder = tempfile::tempdir().unwrap();
    let (path, _) = catalog(folder.path());
    let store = Store::open(&path, Mode::Read).unwrap();
    let redshift: Vec<f64> = (1..=N as i64)
        .map(|id| store.observed_galaxies(&[GalaxyId(id)]).unwrap()[0].redshift.unwrap())
        .collect();
    let (all, _) = answers(&store, "v1", "P(log_mstar > 10) > 0.5");
    let (near, tally) =
        answers(&store, "v1", "redshift < 0.1 and P(log_mstar > 10) > 0.5 and survey in ('synthetic')");
    assert_eq!(near, all.iter().copied().filter(|&i| redshift[i] < 0.1).collect::<Vec<_>>());
    assert!(tally.candidates < N as u64);
    let (either, _) = answers(&store, "v1", "P(log_mstar > 10) > 0.5 or redshift > 0.19");
    let far = (0..N).filter(|&i| redshift[i] > 0.19 || all.contains(&i)).count();
    assert!(either.len() >= far, "galaxies without a posterior are found by the other side");
    // the median is at its own place: about half of the draws are above it
    let (none, tally) = answers(&store, "v1", "P(log_mstar > log_mstar_q50) > 0.6");
    assert_eq!((none.len(), tally.unpacked), (0, 0));
    let (everyone, _) = answers(&store, "v1", "P(log_mstar + 0 * redshift > log_mstar_q50 - 2) = 1");
    assert_eq!(everyone.len(), N);
    let (plain, tally) = answers(&store, "v1", "log_mstar_q50 > 10 and object_id <> '1000000000'");
    assert_eq!(tally.candidates as usize, plain.len());
}

#[test]
fn without_stored_draws_summaries_decide_what_they_can_and_the_rest_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let (path, _) = catalog(folder.path());
    let store = Store::open(&path, Mode::Read).unwrap();
    let (with, _) = answers(&store, "v1", "P(log_mstar > 10) > 0.9");
    let (without, tally) = answers(&store, "summaries-v1", "P(log_mstar > 10) > 0.9");
    assert!(without.iter().all(|i| with.contains(i)));
    assert!(tally.without_draws > 0 && with.len() - without.len() <= tally.without_draws as usize);
    let output = sedflow(&path, &["find", "P(log_mstar > 10) > 0.9", "--set", "summaries-v1", "--count"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("does not store their draws"), "{said}");
    assert!(ok(output).contains(&without.len().to_string()));
}

#[test]
fn the_command_prints_every_format_and_points_at_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let (path, _) = catalog(folder.path());
    let question = "P(log_mstar > 10.5) > 0.5 and redshift < 0.15";
    let columns = "object_id, redshift, n_draws, P(log_mstar > 10.5), quantile(log_mstar, 0.5)";
    let csv = ok(sedflow(&path, &["find", question, "--columns", columns, "--format", "csv"]));
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!(lines[0], "object_id,redshift,n_draws,P(log_mstar > 10.5),\"quantile(log_mstar, 0.5)\"");
    assert!(lines.len() > 4, "{csv}");
    for line in &lines[1..] {
        let cells: Vec<&str> = line.split(',').collect();
        assert_eq!(cells[2], "600");
        let number = |i: usize| cells[i].parse::<f64>().unwrap();
        assert!(number(1) < 0.15 && number(3) > 0.5 && number(4) > 10.4, "{line}");
    }
    let json: Value =
        serde_json::from_str(&ok(sedflow(&path, &["find", question, "--format", "json"]))).unwrap();
    assert_eq!(json.as_array().unwrap().len(), lines.len() - 1);
    let jsonl = ok(sedflow(&path, &["find", question, "--format", "jsonl", "--limit", "3"]));
    assert_eq!(jsonl.lines().count(), 3);
    for format in ["table", "tsv"] {
        assert!(ok(sedflow(&path, &["find", question, "--format", format])).lines().count() >= lines.len());
    }
    let count = ok(sedflow(&path, &["find", question, "--count", "--format", "csv"]));
    assert_eq!(count, format!("n\n{}\n", lines.len() - 1));
    let explained = ok(sedflow(&path, &["find", question, "--explain"]));
    for word in
        ["\"redshift\" < ?", "0.15", "P(log_mstar > 10.5)", "galaxy_redshift", "by summary", "by draws"]
    {
        assert!(explained.contains(word), "{word}: {explained}");
    }
    // other commands understand it too
    let galaxies =
        ok(sedflow(&path, &["galaxies", "--where", question, "--format", "csv", "--columns", "object_id"]));
    assert_eq!(galaxies.lines().count(), lines.len());
    let n = ok(sedflow(
        &path,
        &[
            "query",
            "--format",
            "csv",
            "SELECT count(*) FROM posterior p JOIN galaxy g USING (galaxy_id) JOIN posterior_set s \
          USING (posterior_set_id) WHERE s.name = 'v1' AND post_prob(p.samples, 'log_mstar > 10.5') > 0.5 AND redshift < 0.15",
        ],
    ));
    assert_eq!(n, format!("count(*)\n{}\n", lines.len() - 1));

    for (question, word, place) in [
        ("P(log_mstar > ) > 0.5", "found `)`", 14),
        ("P(log_mass > 10) > 0.5", "no parameter or column `log_mass`", 2),
        ("redshft < 0.1", "no column `redshft`", 0),
        ("log_mstar > 10", "ask P(...)", 0),
        ("redshift < 0.1 and P(log_mstar > 10)", "needs a condition", 19),
        ("mean(log_mstar)", "a condition is needed", 0),
        ("P(survey = 'x') > 0.5", "a text", 11),
    ] {
        let error = fails(sedflow(&path, &["find", question]));
        let caret = error.lines().find(|line| line.trim() == "^").unwrap_or_else(|| panic!("{error}"));
        assert!(error.contains(word) && caret.len() == 4 + place + 1, "{question}: {error}");
    }
    let error = fails(sedflow(&path, &["find", question, "--columns", "object_id,,x"]));
    assert!(error.contains("empty column"), "{error}");
    let error = fails(sedflow(&path, &["find", question, "--set", "v9"]));
    assert!(error.contains("v9") && error.contains("summaries-v1"), "{error}");
}

#[test]
fn a_damaged_posterior_is_named_with_its_galaxy() {
    let folder = tempfile::tempdir().unwrap();
    let (path, _) = catalog(folder.path());
    // Our connections refuse to change a posterior, so a bit of the file itself is flipped.
    let store = Store::open(&path, Mode::Read).unwrap();
    let set = store.find_posterior_set("v1").unwrap().id;
    let blob = store.posterior(set, GalaxyId(8)).unwrap().unwrap().row.samples.unwrap();
    drop(store);
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = &blob[blob.len() / 2..blob.len() / 2 + 64];
    let places: Vec<usize> = (0..bytes.len() - 64).filter(|&i| bytes[i..i + 64] == *middle).collect();
    assert!(!places.is_empty());
    places.iter().for_each(|&place| bytes[place] ^= 1);
    std::fs::write(&path, bytes).unwrap();
    let all = format!("mean({}) > -1e9", SUMMARY_PARAMETERS.join(" + "));
    let error = fails(sedflow(&path, &["find", &all]));
    assert!(error.contains("galaxy synthetic/1000000007") && error.contains("checksum"), "{error}");
}

#[test]
fn sets_are_listed_and_one_of_them_is_current() {
    let folder = tempfile::tempdir().unwrap();
    let (path, _) = catalog(folder.path());
    let csv = ok(sedflow(&path, &["sets", "--format", "csv"]));
    let names: Vec<&str> = csv.lines().skip(1).map(|line| line.split(',').next().unwrap()).collect();
    assert_eq!(names, ["v1", "v2", "summaries-v1"]);
    assert!(csv.lines().nth(1).unwrap().starts_with("v1,current,"), "{csv}");
    assert!(csv.contains(",50,") || csv.contains(",59,"), "{csv}");
    assert_eq!(ok(sedflow(&path, &["sets", "current"])), "v1\n");
    ok(sedflow(&path, &["sets", "current", "v2"]));
    assert_eq!(ok(sedflow(&path, &["sets", "current"])), "v2\n");
    let error = fails(sedflow(&path, &["sets", "current", "v3"]));
    assert!(error.contains("v3") && error.contains("v2"), "{error}");
}

#[test]
fn a_diff_says_what_changed_by_how_much_and_why() {
    let folder = tempfile::tempdir().unwrap();
    let (path, posteriors) = catalog(folder.path());
    let diff = |more: &[&str]| -> Value {
        let arguments: Vec<&str> =
            ["diff", "v1", "v2", "--format", "json"].iter().chain(more).copied().collect();
        serde_json::from_str(&ok(sedflow(&path, &arguments))).unwrap()
    };
    for (more, by_draws) in [(&[][..], 0), (&["--draws"][..], 10)] {
        let report = diff(more);
        assert_eq!(report["galaxies"]["changed"], 10, "{report:#}");
        assert_eq!(report["galaxies"]["the same"], 49);
        assert_eq!(report["galaxies"]["lost its posterior"], 1);
        assert_eq!(report["galaxies"]["added"], 1);
        assert_eq!(report["compared_by_draws"], by_draws);
        assert_eq!(report["differs"][0]["what"], "seed");
        let top = &report["most_changed"][0];
        assert_eq!(top["differs_in"], "seed");
        // the distance of that galaxy's draws, computed here
        let object: usize = top["object_id"].as_str().unwrap().parse().unwrap();
        let galaxy = object - 1_000_000_000;
        let parameter = SUMMARY_PARAMETERS.iter().position(|name| *name == top["parameter"]).unwrap();
        let (a, b) = (&posteriors[galaxy].columns, &posterior(1000 + galaxy as u64, N_DRAWS).columns);
        let (mut a, mut b) = (Column::of(&a[parameter], None), Column::of(&b[parameter], None));
        let distance = a.wasserstein(&mut b);
        let found = top["wasserstein"].as_f64().unwrap();
        assert!((found / distance - 1.0).abs() < if by_draws > 0 { 0.02 } else { 0.1 }, "{found} {distance}");
    }
    let csv = ok(sedflow(&path, &["diff", "v1", "v2", "--format", "csv"]));
    assert_eq!(csv.lines().count(), 1 + 10 + 1 + 1, "{csv}");
    assert!(csv.contains("lost its posterior,Z_RANGE"), "{csv}");
    let text = ok(sedflow(&path, &["diff", "v1", "v2"]));
    for word in ["seed", "changed", "log_mstar_surviving", "Most changed", "width ratio"] {
        assert!(text.contains(word), "{word}: {text}");
    }
    let same: Value =
        serde_json::from_str(&ok(sedflow(&path, &["diff", "v1", "v1", "--draws", "--format", "json"])))
            .unwrap();
    assert_eq!((&same["galaxies"]["the same"], &same["most_changed"]), (&N.into(), &Value::Array(vec![])));
    for name in ["d.png", "d.svg"] {
        let figure = folder.path().join(name);
        ok(sedflow(&path, &["diff", "v1", "v2", "--plot", figure.to_str().unwrap()]));
        assert!(std::fs::metadata(figure).unwrap().len() > 5000);
    }
    let error = fails(sedflow(&path, &["diff", "v1", "v7"]));
    assert!(error.contains("`v7`") && error.contains("v2"), "{error}");
    let error = fails(sedflow(&path, &["diff", "v1", "v2", "--threshold=-1"]));
    assert!(error.contains("--threshold"), "{error}");
}

#[test]
fn other_photometry_of_the_same_objects_is_a_cause() {
    let folder = tempfile::tempdir().unwrap();
    let (path, _) = catalog(folder.path());
    // the same objects measured again, in another catalog and as another survey
    let other = folder.path().join("other.db");
    let mut made = Synthetic::new(&other, N).unwrap();
    let n_draws = N_DRAWS as u64;
    let row = |seed: usize| posterior(seed as u64, N_DRAWS).row;
    made.add_set("v1", 0, n_draws, (1, 20), &mut |i| row(i)).unwrap();
    ingest(&mut made.store, made.run, "again", 20, 1.5).unwrap();
    made.add_set("again", 0, n_draws, (N + 1, 20), &mut |i| row(if i < 3 { 100 + i } else { i })).unwrap();
    drop(made);
    let diff = |set: &str, more: &[&str]| -> Value {
        let arguments = ["diff", "v1", set, "--other", other.to_str().unwrap(), "--format", "json"];
        let arguments: Vec<&str> = arguments.iter().chain(more).copied().collect();
        serde_json::from_str(&ok(sedflow(&path, &arguments))).unwrap()
    };
    let report = diff("v1", &[]);
    assert_eq!((&report["galaxies"]["the same"], &report["other_photometry"]), (&20.into(), &0.into()));
    assert_eq!(report["galaxies"]["removed"], N - 20);
    let report = diff("again", &[]);
    assert_eq!((&report["galaxies"]["removed"], &report["galaxies"]["added"]), (&N.into(), &20.into()));
    let report = diff("again", &["--by-object"]);
    assert_eq!((&report["galaxies"]["changed"], &report["other_photometry"]), (&3.into(), &20.into()));
    assert_eq!(report["most_changed"][0]["differs_in"], "photometry");
}

/// Real galaxies, the shipped model: 40 galaxies of the sample.
#[test]
fn draws_made_again_from_recipes_answer_as_the_stored_ones_and_questions_select_galaxies() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.db");
    ok(sedflow(&path, &["-q", "init"]));
    ok(sedflow(&path, &["-q", "ingest", "--sample"]));
    let some = "galaxy_id % 25 = 0";
    for (name, keep) in [("kept", "draws"), ("recipes", "recipe")] {
        ok(sedflow(
            &path,
            &[
                "-q", "infer", "--method", "npe", "--draws", "300", "--where", some, "--name", name,
                "--store", keep,
            ],
        ));
    }
    let ids = |set: &str, question: &str| {
        ok(sedflow(&path, &["find", question, "--set", set, "--columns", "object_id", "--format", "csv"]))
    };
    for question in ["P(log_mstar > 11) > 0.5", "corr(log_sfr_1gyr, tau_ism) > 0 and P(n_dust < 0) > 0.4"] {
        let kept = ids("kept", question);
        assert!(kept.lines().count() > 3, "{kept}");
        assert_eq!(kept, ids("recipes", question), "{question}");
    }
    let explained =
        ok(sedflow(&path, &["find", "corr(log_sfr_1gyr, tau_ism) > 0", "--set", "recipes", "--explain"]));
    assert!(explained.contains("made again"), "{explained}");
    // weighted draws and chains are put to the summaries as the network's are
    ok(sedflow(
        &path,
        &[
            "-q",
            "infer",
            "--method",
            "is",
            "--draws",
            "300",
            "--where",
            "P(log_mstar > 11) > 0.5",
            "--name",
            "heavy",
        ],
    ));
    let csv = ok(sedflow(&path, &["sets", "--format", "csv"]));
    assert!(csv.lines().nth(1).unwrap().starts_with("heavy,current"), "{csv}");
    let asked = ids("recipes", "P(log_mstar > 11) > 0.5").lines().count() - 1;
    let query =
        "SELECT count(*) FROM posterior JOIN posterior_set USING (posterior_set_id) WHERE name = 'heavy'";
    assert_eq!(ok(sedflow(&path, &["query", "--format", "csv", query])), format!("count(*)\n{asked}\n"));
    for question in ["P(log_mstar > 11.2) > 0.6", "quantile(tau_ism, 0.84) < 1"] {
        let store = Store::open(&path, Mode::Read).unwrap();
        let set = store.find_posterior_set("heavy").unwrap();
        let (found, _) = answers(&store, "heavy", question);
        let mut expected: Vec<usize> = store
            .set_members(set.id)
            .unwrap()
            .iter()
            .filter_map(|member| {
                let mut samples = store.samples(member.posterior, None).unwrap()?;
                let expr = sedflow::expr::Expr::parse_with_aggregates(question).unwrap();
                let aggregate = &expr.aggregates()[0];
                let want = if question.starts_with('P') {
                    sedflow::expr::Want::Condition
                } else {
                    sedflow::expr::Want::Number
                };
                let argument = sedflow::samples::DrawExpr::new(aggregate.arguments[0].clone(), want).unwrap();
                let value =
                    sedflow::samples::aggregate(aggregate.kind, &[argument], &mut samples, &|_, _| None)
                        .unwrap();
                let holds = expr.holds(&|_| sedflow::expr::Value::Number(value)).unwrap();
                (holds == Some(true)).then_some(member.galaxy.0 as usize - 1)
            })
            .collect();
        expected.sort_unstable();
        assert_eq!(found, expected, "{question}");
    }
}
