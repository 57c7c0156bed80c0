//! Facts about products: what goes in comes back, interrupted work goes on, complete sets are closed.

use serde_json::json;

use super::tests::{galaxy, ingesting, temp};
use super::*;
use crate::hash::ContentHash;
use crate::noise::NoiseModel;
use crate::prior::{Prior, PriorSpec};

struct Products {
    run: RunId,
    sed_model: SedModelId,
    prior: PriorId,
    noise_model: NoiseModelId,
    band_set: BandSetId,
}

/// A catalog with five galaxies and everything a training set stands on.
fn products(store: &mut Store) -> Products {
    let (run, state) = ingesting(store);
    let batch: Vec<_> = (0..5).map(|row| galaxy(row, &row.to_string())).collect();
    store.commit_ingest_batch(state.id, 5, &batch, &[], &[]).unwrap();
    store.finish_ingest(state.id).unwrap();
    let grid = SspGridSpec {
        hash: ContentHash::of_bytes(b"grid"),
        name: "bc03",
        imf: "Kroupa",
        isochrones: "Padova",
        library: "MILES",
        lsun_erg_s: 3.846e33,
        bytes: None,
    };
    let grid = store.put_ssp_grid(run, &grid).unwrap();
    let definition = json!({"birth_cloud_age_gyr": 0.1});
    let hash = ContentHash::of_bytes(b"model");
    let sed_model = store.put_sed_model(run, "default", hash, grid, &definition).unwrap();
    let prior = store.put_prior(run, "default", &Prior::new(PriorSpec::default()).unwrap()).unwrap();
    let noise_model = store.put_noise_model(run, &NoiseModel::shipped().unwrap()).unwrap();
    let band_set = store.survey("test").unwrap().band_set;
    Products { run, sed_model, prior, noise_model, band_set }
}

fn training_set(store: &mut Store, p: &Products) -> TrainingSet {
    let recipe = json!({"zred": "prior"});
    let spec = TrainingSetSpec {
        name: Some("sims"),
        sed_model: p.sed_model,
        prior: p.prior,
        noise_model: Some(p.noise_model),
        band_set: p.band_set,
        recipe: &recipe,
        seed: u64::MAX,
        stored: true,
        n_rows: 4,
    };
    store.begin_training_set(p.run, &spec).unwrap()
}

fn checkpoint(store: &mut Store, p: &Products, data: &[u8]) -> CheckpointId {
    let spec = CheckpointSpec {
        name: None,
        kind: CheckpointKind::Npe,
        architecture: "nsf",
        config: &json!({}),
        training: None,
        sed_model: p.sed_model,
        prior: p.prior,
        noise_model: Some(p.noise_model),
        band_set: p.band_set,
        n_weights: 10,
        valid_ln_prob: Some(-6.2),
        data,
    };
    store.put_checkpoint(p.run, &spec).unwrap()
}

fn posterior_set(store: &mut Store, p: &Products, name: &str, seed: u64) -> Result<PosteriorSet, StoreError> {
    let checkpoint = checkpoint(store, p, b"weights");
    let config = json!({"where": "cuts_failed = 0"});
    let spec = PosteriorSetSpec {
        name,
        checkpoint: Some(checkpoint),
        sed_model: p.sed_model,
        prior: p.prior,
        config: &config,
        seed,
        n_draws: 100,
        parameters: &["log_mstar"],
    };
    store.begin_posterior_set(p.run, &spec)
}

fn summary(value: f64) -> Summary {
    Summary {
        mean: value,
        std: 0.1,
        q025: value - 0.2,
        q16: value - 0.1,
        q50: value,
        q84: value + 0.1,
        q975: value + 0.2,
        map: f64::NAN,
        edge_frac: 0.0,
    }
}

fn answer(galaxy: i64, value: f64) -> PosteriorRow {
    PosteriorRow {
        galaxy: GalaxyId(galaxy),
        method: Some(Method::Npe),
        n_draws: 100,
        n_bands: 2,
        codec: Some("sda1".to_owned()),
        samples: Some(encode_arrays(&[Array::f32("log_mstar", &[2], vec![10.0, 11.0])]).unwrap()),
        summary: vec![summary(value); SUMMARY_PARAMETERS.len()],
        ..PosteriorRow::default()
    }
}

#[test]
fn priors_and_noise_models_come_back_and_are_kept_once() {
    let temp = temp();
    let mut store = Store::create(&temp.path).unwrap();
    let p = products(&mut store);
    let (named, prior) = store.prior(p.prior).unwrap();
    assert_eq!((named.name.as_str(), prior.spec()), ("default", &PriorSpec::default()));
    assert_eq!(store.find_prior("default").unwrap(), Some(p.prior));
    let again = store.put_prior(p.run, "other", &prior).unwrap();
    assert_eq!(again, p.prior);
    let rows: i64 =
        store.conn.query_row("SELECT count(*) FROM prior_parameter", [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 13, "12 parameters and the redshift");
    assert_eq!(store.noise_model(p.noise_model).unwrap().1, NoiseModel::shipped().unwrap());
    let (model, _, definition) = store.sed_model(p.sed_model).unwrap();
    assert_eq!((model.name.as_str(), &definition["birth_cloud_age_gyr"]), ("default", &json!(0.1)));
}

#[test]
fn a_training_set_goes_on_at_its_missing_chunk_and_closes() {
    let temp = temp();
    let mut store = Store::create(&temp.path).unwrap();
    let p = products(&mut store);
    let set = training_set(&mut store, &p);
    assert_eq!((set.seed, set.chunks.len()), (u64::MAX, 0));
    let data = encode_arrays(&[Array::f32("theta", &[2, 1], vec![1.0, 2.0])]).unwrap();
    store.put_training_chunk(set.id, 0, 0, 2, &data, &[("flux_range", 3)]).unwrap();
    let set = training_set(&mut store, &p);
    assert_eq!(set.chunks, [(0, 0, 2)]);
    store.put_training_chunk(set.id, 1, 2, 2, &data, &[("flux_range", 1)]).unwrap();
    store.finish_training_set(set.id).unwrap();
    assert!(store.find_training_set("sims").unwrap().complete);
    assert_eq!(store.training_rejects(set.id).unwrap(), [("flux_range".to_owned(), 4)]);
    assert_eq!(Array::find(&store.training_chunk(set.id, 1).unwrap(), "theta").unwrap().to_f32(), [1.0, 2.0]);
    let closed = store.put_training_chunk(set.id, 2, 4, 2, &data, &[]).unwrap_err();
    assert!(closed.to_string().contains("complete and immutable"), "{closed}");
}

#[test]
fn a_training_resumes_from_its_saved_state_and_forgets_what_came_after() {
    let temp = temp();
    let mut store = Store::create(&temp.path).unwrap();
    let p = products(&mut store);
    let set = training_set(&mut store, &p);
    let config = json!({"lr": 5e-4});
    let spec = TrainingSpec { name: None, training_set: set.id, search: None, config: &config };
    let training = store.begin_training(p.run, &spec).unwrap();
    let epoch = |epoch| Epoch {
        epoch,
        n_examples: 100 * (epoch + 1),
        train_ln_prob: Some(-7.0),
        valid_ln_prob: None,
        learning_rate: 5e-4,
        elapsed_s: 1.0,
        examples_per_s: Some(9000.0),
        note: None,
    };
    store.put_epochs(training, &[epoch(0), epoch(1)], Some((1, b"state"))).unwrap();
    store.put_epochs(training, &[epoch(2)], None).unwrap();
    assert_eq!(store.training_history(training).unwrap().len(), 3);
    assert_eq!(store.begin_training(p.run, &spec).unwrap(), training);
    assert_eq!(store.training_history(training).unwrap(), [epoch(0), epoch(1)]);
    assert_eq!(store.training_state(training).unwrap(), Some((1, b"state".to_vec())));
    store.drop_training_state(training).unwrap();
    assert_eq!(store.training_state(training).unwrap(), None);
}

#[test]
fn a_training_stands_as_the_run_that_worked_on_it_last_unless_that_failed() {
    let temp = temp();
    let mut store = Store::create(&temp.path).unwrap();
    let p = products(&mut store);
    let set = training_set(&mut store, &p);
    let config = json!({"lr": 5e-4});
    let spec = TrainingSpec { name: None, training_set: set.id, search: None, config: &config };
    let stands = |store: &Store| store.trainings().unwrap()[0].state;
    let mut run = p.run;
    for (ended, then) in [
        (RunState::Interrupted, RunState::Interrupted),
        (RunState::Done, RunState::Done),
        (RunState::Failed, RunState::Done),
    ] {
        store.begin_training(run, &spec).unwrap();
        assert_eq!(stands(&store), RunState::Running);
        store.finish_run(run, ended, None).unwrap();
        assert_eq!(stands(&store), then);
        let more = RunSpec { command: "train", config: &config, seed: None, resumes: None };
        run = store.begin_run(&more).unwrap();
    }
}

#[test]
fn a_checkpoint_has_one_name_and_its_bytes_are_verified() {
    let temp = temp();
    let mut store = Store::create(&temp.path).unwrap();
    let p = products(&mut store);
    let first = checkpoint(&mut store, &p, b"weights");
    assert_eq!(checkpoint(&mut store, &p, b"weights"), first);
    let second = checkpoint(&mut store, &p, b"other weights");
    store.name_checkpoint(first, "default").unwrap();
    assert!(matches!(store.name_checkpoint(second, "default"), Err(StoreError::NameTaken { .. })));
    let found = store.find_checkpoint("default").unwrap();
    assert_eq!((found.id, store.checkpoint_data(found.id).unwrap()), (first, b"weights".to_vec()));
    let unknown = store.find_checkpoint("nope").unwrap_err().to_string();
    assert!(unknown.contains("default"), "{unknown}");
    let metric = Metric {
        metric: "ks".to_owned(),
        parameter: "log_mstar".to_owned(),
        subset: String::new(),
        value: 0.01,
        low: None,
        high: None,
        p_value: Some(0.4),
    };
    let spec = ValidationSpec {
        name: None,
        checkpoint: &found,
        config: &json!({"n": 1000}),
        report: None,
        metrics: &[metric],
        arrays: None,
    };
    let validation = store.put_validation(p.run, &spec).unwrap();
    assert_eq!(store.put_validation(p.run, &spec).unwrap(), validation);
    let kept = store.find_validation(&found, spec.config).unwrap().unwrap();
    assert_eq!((kept.id, kept.metrics.as_slice(), kept.arrays), (validation, spec.metrics, None));
    assert!(store.find_validation(&found, &json!({"n": 999})).unwrap().is_none());
}

#[test]
fn parts_of_a_validation_are_kept_until_it_is_complete() {
    let temp = temp();
    let mut store = Store::create(&temp.path).unwrap();
    let p = products(&mut store);
    let id = checkpoint(&mut store, &p, b"weights");
    let checkpoint = store.checkpoints().unwrap().into_iter().find(|c| c.id == id).unwrap();
    let (config, other) = (json!({"mocks": 10}), json!({"mocks": 20}));
    store.put_validation_part(&checkpoint, &config, ("mocks", 0), b"one").unwrap();
    store.put_validation_part(&checkpoint, &config, ("mocks", 0), b"again").unwrap();
    store.put_validation_part(&checkpoint, &other, ("mocks", 0), b"other").unwrap();
    let part = |store: &Store, config, number| {
        store.validation_part(&checkpoint, config, ("mocks", number)).unwrap()
    };
    assert_eq!(part(&store, &config, 0), Some(b"again".to_vec()));
    assert_eq!(part(&store, &config, 1), None);
    let spec = ValidationSpec {
        name: Some("first"),
        checkpoint: &checkpoint,
        config: &config,
        report: Some(&json!({"a": 1})),
        metrics: &[],
        arrays: Some(b"all"),
    };
    store.put_validation(p.run, &spec).unwrap();
    assert_eq!((part(&store, &config, 0), part(&store, &other, 0)), (None, Some(b"other".to_vec())));
    let kept = store.find_validation(&checkpoint, &config).unwrap().unwrap();
    assert_eq!((kept.report, kept.arrays), (Some(json!({"a": 1})), Some(b"all".to_vec())));
    let taken = store.put_validation(p.run, &ValidationSpec { config: &other, ..spec }).unwrap_err();
    assert!(matches!(taken, StoreError::NameTaken { .. }), "{taken}");
}

#[test]
fn a_posterior_set_takes_answers_and_reasons_and_closes() {
    let temp = temp();
    let mut store = Store::create(&temp.path).unwrap();
    let p = products(&mut store);
    let set = posterior_set(&mut store, &p, "v1", 7).unwrap();
    let none = |reason: Option<&str>| PosteriorRow {
        galaxy: GalaxyId(2),
        reason: reason.map(str::to_owned),
        ..PosteriorRow::default()
    };
    let error = store.commit_posteriors(set.id, &[answer(1, 11.2), none(None)]).unwrap_err().to_string();
    assert!(error.contains("CHECK"), "no row without an answer or a reason: {error}");
    assert_eq!(store.posterior_counts(set.id).unwrap(), (0, 0), "all or nothing");
    store.commit_posteriors(set.id, &[answer(1, 11.2), none(Some("Z_RANGE"))]).unwrap();
    assert_eq!(store.posterior_counts(set.id).unwrap(), (1, 1));
    let pending = Selection { not_in: Some(set.id), ..Selection::default() };
    assert_eq!(store.select_galaxies(&pending).unwrap(), [3, 4, 5].map(GalaxyId));

    let found = store.posterior(set.id, GalaxyId(1)).unwrap().unwrap();
    assert_eq!((found.row.method, found.row.samples), (Some(Method::Npe), answer(1, 11.2).samples));
    assert_eq!((found.row.summary[16].q50, found.row.summary[0].map.is_nan()), (11.2, true));
    assert_eq!(store.posterior(set.id, GalaxyId(2)).unwrap().unwrap().row.reason.as_deref(), Some("Z_RANGE"));
    assert!(store.posterior(set.id, GalaxyId(3)).unwrap().is_none());

    assert_eq!(posterior_set(&mut store, &p, "v1", 7).unwrap().id, set.id, "the same name and recipe");
    assert!(matches!(posterior_set(&mut store, &p, "v1", 8), Err(StoreError::NameTaken { .. })));
    store.finish_posterior_set(set.id).unwrap();
    let late = store.commit_posteriors(set.id, &[answer(3, 10.0)]).unwrap_err().to_string();
    assert!(late.contains("complete and immutable"), "{late}");
}

#[test]
fn galaxies_are_selected_by_photometry_extra_columns_and_the_current_posterior_set() {
    let temp = temp();
    let mut store = Store::create(&temp.path).unwrap();
    let p = products(&mut store);
    let select = |store: &Store, condition: &str| {
        let selection = Selection { condition: Some(condition), ..Selection::default() };
        store.select_galaxies(&selection).map(|ids| ids.into_iter().map(|id| id.0).collect::<Vec<_>>())
    };
    assert_eq!(select(&store, "log_mstar_q50 > 11").unwrap(), [] as [i64; 0]);
    let old = posterior_set(&mut store, &p, "v1", 7).unwrap();
    store.commit_posteriors(old.id, &[answer(1, 11.5), answer(2, 10.5)]).unwrap();
    let new = posterior_set(&mut store, &p, "v2", 7).unwrap();
    store.commit_posteriors(new.id, &[answer(1, 10.5), answer(2, 11.5)]).unwrap();
    assert_eq!(select(&store, "log_mstar_q50 > 11").unwrap(), [2], "the newest");
    store.set_current_posterior_set("v1").unwrap();
    assert_eq!(select(&store, "log_mstar_q50 > 11").unwrap(), [1], "the one chosen");
    assert_eq!(select(&store, "redshift > 0.0102 AND mag_u < 20.1").unwrap(), [4, 5]);
    assert_eq!(select(&store, "flux_nmgy_r IS NULL AND MASS = 0.5 AND object_id = '3'").unwrap(), [4]);
    assert_eq!(select(&store, "\"it's\" = 'a \"b\"'").unwrap().len(), 5);
    for bad in ["1) UNION SELECT (1", "redshift <", "mass_of_the_moon > 1", "1; DELETE FROM galaxy", "1) --"]
    {
        assert!(matches!(select(&store, bad), Err(StoreError::Expression { .. })), "{bad}");
    }
    let near = Cone { ra_deg: 137.5, dec_deg: 0.1, radius_deg: 0.01 };
    assert_eq!(
        store.select_galaxies(&Selection { cone: Some(near), ..Selection::default() }).unwrap(),
        [GalaxyId(2)]
    );
    let observed = store.observed_galaxies(&[GalaxyId(2)]).unwrap().remove(0);
    let expected = galaxy(1, "1");
    assert_eq!((observed.object_id, observed.photometry), (expected.object_id, expected.photometry));
    assert_eq!(observed.position, expected.position);
}

#[test]
fn a_grid_known_by_name_alone_is_given_its_bytes_once() {
    let temp = temp();
    let mut store = Store::create(&temp.path).unwrap();
    let p = products(&mut store);
    let known = |store: &Store| store.ssp_grids().unwrap()[0].clone();
    assert_eq!((known(&store).name.as_str(), known(&store).n_bytes), ("bc03", None));
    let mut spec = SspGridSpec {
        hash: known(&store).hash,
        name: "bc03",
        imf: "Kroupa",
        isochrones: "Padova",
        library: "MILES",
        lsun_erg_s: 3.846e33,
        bytes: Some(b"the grid"),
    };
    let id = store.put_ssp_grid(p.run, &spec).unwrap();
    assert_eq!(store.ssp_grid_bytes(id).unwrap().as_deref(), Some(&b"the grid"[..]));
    spec.bytes = Some(b"other bytes");
    assert_eq!(store.put_ssp_grid(p.run, &spec).unwrap(), id);
    assert_eq!(store.ssp_grid_bytes(id).unwrap().as_deref(), Some(&b"the grid"[..]));
    drop(store);
    let other = rusqlite::Connection::open(&temp.path).unwrap();
    for sql in ["UPDATE ssp_grid SET name = 'x'", "UPDATE ssp_grid SET grid = x'00'"] {
        let error = other.execute(sql, []).unwrap_err().to_string();
        assert!(error.contains("immutable"), "{sql}: {error}");
    }
}

#[test]
fn a_training_set_without_a_name_is_spoken_of_by_its_number() {
    let temp = temp();
    let mut store = Store::create(&temp.path).unwrap();
    let p = products(&mut store);
    for (stored, n_rows) in [(false, 1 << 40), (true, 4)] {
        let spec = TrainingSetSpec {
            name: None,
            sed_model: p.sed_model,
            prior: p.prior,
            noise_model: Some(p.noise_model),
            band_set: p.band_set,
            recipe: &json!({}),
            seed: 1,
            stored,
            n_rows,
        };
        store.begin_training_set(p.run, &spec).unwrap();
    }
    let model = store.products().unwrap().into_iter().find(|p| p.kind == ProductKind::SedModel).unwrap();
    assert_eq!(store.referrers(&model).unwrap(), ["training-set 1", "training-set 2"]);
    drop(store);
    let findings = check_file(&temp.path).unwrap();
    assert!(findings.iter().all(|finding| finding.severity != Severity::Error), "{findings:?}");
    let said: Vec<&str> =
        findings.iter().map(|f| f.text.as_str()).filter(|text| text.contains("training set")).collect();
    assert_eq!(said, ["the training set 2 is not complete"], "the streamed one needs no rows");
}

#[test]
fn a_condition_in_sql_means_what_the_expression_does() {
    use crate::expr::{Expr, Literal, Value};
    let conn = rusqlite::Connection::open_in_memory().unwrap();
    super::functions::register(&conn).unwrap();
    for text in [
        "a > 1 and (b < 2 or not c = 3)",
        "a + b * 2 - c / 4 ** 2 > -1.5",
        "b between 1 and 1.5 and a not in (1, 7)",
        "name in ('x', 'y') or name = 'it''s'",
        "nothing is null and a is not null",
        "nothing > 1",
        "not nothing > 1 or b < 2",
        "min(a, b) + max(a, c) + abs(-a) + floor(2.7) > 8.4",
        "log10(100) + sqrt(c) + exp(0) + ln(1) < 5",
        "bit(c, 0) and not bit(c, 2)",
        "7 / 2 = 3.5 and c / 2 = 1.5",
        "true and a",
    ] {
        let expr = Expr::parse(text).unwrap();
        let column = |name: &crate::expr::Name| match name.name.as_str() {
            "a" => Some("2.5".to_owned()),
            "b" => Some("1.25".to_owned()),
            "c" => Some("3".to_owned()),
            "name" => Some("'it''s'".to_owned()),
            _ => Some("NULL".to_owned()),
        };
        let bound = expr.to_sql(&column).unwrap();
        let values = bound.values.iter().map(|value| match value {
            Literal::Number(number) => rusqlite::types::Value::Real(*number),
            Literal::Text(text) => rusqlite::types::Value::Text(text.clone()),
        });
        let sql = format!("SELECT iif({}, 1, 0)", bound.sql);
        let found: i64 = conn.query_row(&sql, rusqlite::params_from_iter(values), |row| row.get(0)).unwrap();
        let expected = expr.eval(&|i| match expr.names()[i].name.as_str() {
            "a" => Value::Number(2.5),
            "b" => Value::Number(1.25),
            "c" => Value::Number(3.0),
            "name" => Value::Text("it's"),
            _ => Value::Null,
        });
        // a number alone is a condition to SQL only
        let expected = expected.map_or(1, |value| i64::from(value == Value::Bool(true)));
        assert_eq!(found, expected, "{text}: {}", bound.sql);
    }
    let error = Expr::parse("a > 1 and nosuch < 2").unwrap();
    let error = error.to_sql(&|name| (name.name == "a").then(|| "1".into())).unwrap_err();
    assert_eq!((error.at, error.what.as_str()), (10, "there is no column `nosuch`"));
}
