//! Training finds known posteriors, stops and resumes exactly, and survives bad data.

use std::sync::atomic::{AtomicU64, Ordering};

use ndarray::Array2;

use super::*;
use crate::flow::toys::{Toy, best_classifier_accuracy};
use crate::flow::{Conditioner, Transform};
use crate::progress::Silent;

fn small(toy: Toy) -> FlowConfig {
    FlowConfig {
        layers: 2,
        hidden: vec![24, 24],
        transform: Transform::AffineSpline { bins: 6, tail_bound: 5.0 },
        conditioner: Conditioner::Residual { width: 32, blocks: 1 },
        ..FlowConfig::nsf(toy.n_param(), toy.n_feature())
    }
}

fn quick(steps: u64) -> TrainConfig {
    TrainConfig {
        batch: 200,
        optimizer: Optimizer { lr: 5e-3, ..Optimizer::default() },
        schedule: Schedule::Cosine { warmup: 20 },
        limit: Limit { steps: Some(steps), ..Limit::default() },
        steps_per_epoch: 100,
        ..TrainConfig::default()
    }
}

/// Asks to stop once `at` steps are done.
struct StopAt {
    at: u64,
    calls: AtomicU64,
}

impl Progress for StopAt {
    fn report(&self, _: Event) {}

    fn cancelled(&self) -> bool {
        self.calls.fetch_add(1, Ordering::Relaxed) >= self.at
    }
}

fn same(a: &Trainer, b: &Trainer) {
    assert_eq!(a.weights, b.weights);
    assert_eq!(a.best, b.best);
    assert_eq!(a.moments, b.moments);
    assert_eq!(a.position.best_ln_prob, b.position.best_ln_prob);
    let scores = |t: &Trainer| {
        t.history.iter().map(|r| (r.step, r.train_ln_prob, r.validation_ln_prob)).collect::<Vec<_>>()
    };
    assert_eq!(scores(a), scores(b));
}

#[test]
fn stopping_and_resuming_changes_nothing() {
    let toy = Toy::LinearGaussian;
    let table = toy.simulate(3, 0, 2500);
    let validation = toy.simulate(3, 1, 300);
    let memory = Data::Memory { theta: table.theta.view(), x: table.x.view() };
    let stream = Data::Stream { source: &toy, validation: &validation, threads: 2 };
    for data in [&memory, &stream] {
        for schedule in
            [Schedule::Cosine { warmup: 5 }, Schedule::Plateau { warmup: 5, factor: 0.5, patience: 1 }]
        {
            let config = TrainConfig { schedule, steps_per_epoch: 11, ..quick(53) };
            let mut whole = Trainer::new(small(toy), config.clone(), data).expect("a good setup");
            assert_eq!(whole.run(data, &Silent).expect("no failure"), Stop::Limit);
            for at in [1, 17, 22] {
                let mut part = Trainer::new(small(toy), config.clone(), data).expect("a good setup");
                let listener = StopAt { at, calls: AtomicU64::new(0) };
                assert_eq!(part.run(data, &listener).expect("no failure"), Stop::Cancelled);
                assert_eq!(part.steps(), at);
                let bytes = part.to_bytes().expect("bytes");
                let mut resumed = Trainer::from_bytes(&bytes).expect("the same");
                assert_eq!(resumed.to_bytes().expect("bytes"), bytes);
                assert_eq!(resumed.run(data, &Silent).expect("no failure"), Stop::Limit);
                same(&whole, &resumed);
            }
        }
    }
}

#[test]
fn training_does_not_depend_on_the_thread_count() {
    let toy = Toy::LinearGaussian;
    let validation = toy.simulate(3, 1, 300);
    let train = |threads| {
        let data = Data::Stream { source: &toy, validation: &validation, threads };
        let mut trainer =
            Trainer::new(small(toy), TrainConfig { batch: 300, ..quick(20) }, &data).expect("a good setup");
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
        pool.install(|| trainer.run(&data, &Silent)).expect("no failure");
        trainer
    };
    same(&train(1), &train(3));
}

#[test]
fn the_posterior_of_a_linear_gaussian_problem_is_found() {
    let toy = Toy::LinearGaussian;
    let validation = toy.simulate(3, 0, 2000);
    let data = Data::Stream { source: &toy, validation: &validation, threads: 1 };
    let mut trainer = Trainer::new(small(toy), quick(1500), &data).expect("a good setup");
    trainer.run(&data, &Silent).expect("no failure");
    let flow = trainer.flow(FlowInfo::default()).expect("finite weights");
    let accuracy = accuracy(toy, &flow, 4000);
    assert!(accuracy < 0.54, "the best classifier tells the flow from the truth with accuracy {accuracy}");
}

/// Mean over galaxies of the best classifier's accuracy between the flow and the exact posterior.
fn accuracy(toy: Toy, flow: &ConditionalFlow, n: usize) -> f64 {
    let observed = toy.simulate(77, 0, 8).x;
    let mut sum = 0.0;
    for (index, x) in observed.rows().into_iter().enumerate() {
        let conditioned = flow.condition(x).expect("good x");
        let exact = toy.posterior(x, index as u64, n).expect("a closed form");
        let (draws, ln_q) = conditioned.sample_with_ln_prob(n, 5, index as u64);
        let truth = |table: &Array2<f32>| {
            let row = |t| toy.ln_posterior(t, x).expect("a closed form");
            table.rows().into_iter().map(row).collect::<Vec<_>>()
        };
        let ln_q_exact = conditioned.ln_prob(exact.view()).expect("finite");
        let pairs = |p: Vec<f64>, q: &ndarray::Array1<f32>| {
            p.into_iter().zip(q.iter().map(|v| f64::from(*v))).collect::<Vec<_>>()
        };
        sum += best_classifier_accuracy(&pairs(truth(&exact), &ln_q_exact), &pairs(truth(&draws), &ln_q));
    }
    sum / observed.nrows() as f64
}

/// The known-answer run of `docs/flow.md`: `cargo test --release known_answers -- --ignored --nocapture`.
#[test]
#[ignore = "minutes of training"]
fn known_answers_within_a_classifier_accuracy_of_0_52() {
    for toy in [Toy::LinearGaussian, Toy::Banana] {
        let validation = toy.simulate(3, 0, 5000);
        let data = Data::Stream { source: &toy, validation: &validation, threads: 1 };
        let flow = FlowConfig {
            layers: 3,
            hidden: vec![64, 64],
            conditioner: Conditioner::Residual { width: 64, blocks: 2 },
            ..FlowConfig::nsf(toy.n_param(), toy.n_feature())
        };
        let train = TrainConfig {
            batch: 1000,
            optimizer: Optimizer { lr: 3e-3, ..Optimizer::default() },
            ..quick(6000)
        };
        let mut trainer = Trainer::new(flow, train, &data).expect("a good setup");
        trainer.run(&data, &Silent).expect("no failure");
        let flow = trainer.flow(FlowInfo::default()).expect("finite weights");
        let accuracy = accuracy(toy, &flow, 10_000);
        println!("{toy:?}: the best classifier's accuracy is {accuracy:.4}");
        assert!(accuracy < 0.52, "{toy:?}: {accuracy}");
    }
}

#[test]
fn toys_sample_the_densities_they_state() {
    // E_p[exp(ln N - ln p)] = 1 for a normal N inside p's support.
    for toy in [Toy::LinearGaussian, Toy::Banana] {
        let x = toy.simulate(2, 0, 1).x.row(0).to_owned();
        let draws = toy.posterior(x.view(), 3, 40_000).expect("a closed form");
        let (scaling, _) = Scaling::of(draws.view());
        let mean: f64 = draws
            .rows()
            .into_iter()
            .map(|row| {
                let ln_n: f64 = row
                    .iter()
                    .zip(scaling.shift().iter().zip(scaling.scale()))
                    .map(|(v, (m, s))| {
                        let s = 0.5 * f64::from(*s);
                        -0.5 * ((f64::from(*v) - f64::from(*m)) / s).powi(2) - s.ln() - 0.918_938_533
                    })
                    .sum();
                (ln_n - toy.ln_posterior(row, x.view()).expect("a closed form")).exp()
            })
            .sum::<f64>()
            / 40_000.0;
        assert!((mean - 1.0).abs() < 0.1, "{toy:?}: {mean}");
    }
}

#[test]
fn data_that_cannot_be_learnt_from_are_refused_with_a_sentence() {
    let toy = Toy::LinearGaussian;
    let good = toy.simulate(1, 0, 1000);
    let start = |theta: &Array2<f32>, x: &Array2<f32>, config: TrainConfig| {
        let data = Data::Memory { theta: theta.view(), x: x.view() };
        let mut trainer = Trainer::new(small(toy), config, &data)?;
        trainer.run(&data, &Silent)
    };
    let few = start(
        &good.theta.slice(ndarray::s![..210, ..]).to_owned(),
        &good.x.slice(ndarray::s![..210, ..]).to_owned(),
        quick(5),
    );
    assert_eq!(
        few.expect_err("210 rows").to_string(),
        "210 examples are too few: at least 221 are needed for one batch and the held-out part"
    );
    let mut bad = good.x.clone();
    bad[[17, 1]] = f32::INFINITY;
    assert_eq!(
        start(&good.theta, &bad, quick(5)).expect_err("infinite").to_string(),
        "x is inf at row 17, column 1: only finite numbers can be used"
    );
    let mut flat = good.theta.clone();
    flat.column_mut(2).fill(0.25);
    assert_eq!(
        start(&flat, &good.x, quick(5)).expect_err("constant").to_string(),
        "coordinate 2 is 0.25 in every training example: a density needs a spread"
    );
    let mut none = quick(5);
    none.limit = Limit::default();
    assert_eq!(
        start(&good.theta, &good.x, none).expect_err("no limit").to_string(),
        "training configuration: limit is none, expected epochs, steps or seconds"
    );
}

#[test]
fn a_constant_feature_is_noted_and_ignored() {
    let toy = Toy::LinearGaussian;
    let mut batch = toy.simulate(1, 0, 1000);
    batch.x.column_mut(1).fill(3.5);
    let data = Data::Memory { theta: batch.theta.view(), x: batch.x.view() };
    let mut trainer = Trainer::new(small(toy), quick(10), &data).expect("a good setup");
    assert!(trainer.notes()[0].starts_with("feature 1 is constant"));
    trainer.run(&data, &Silent).expect("no failure");
    let flow = trainer.flow(FlowInfo::default()).expect("finite weights");
    assert!(flow.ln_prob(batch.theta.view(), batch.x.view()).expect("finite").iter().all(|l| l.is_finite()));
}

#[test]
fn a_diverging_loss_is_recovered_from_and_recorded() {
    let toy = Toy::LinearGaussian;
    let validation = toy.simulate(3, 0, 300);
    let data = Data::Stream { source: &toy, validation: &validation, threads: 1 };
    let config = TrainConfig {
        optimizer: Optimizer { lr: 1e6, ..Optimizer::default() },
        schedule: Schedule::Constant { warmup: 0 },
        steps_per_epoch: 10,
        clip_norm: None,
        ..quick(60)
    };
    let mut trainer = Trainer::new(small(toy), config, &data).expect("a good setup");
    match trainer.run(&data, &Silent) {
        Ok(_) => assert!(!trainer.recoveries().is_empty()),
        Err(error) => assert!(error.to_string().contains("lower the learning rate"), "{error}"),
    }
    assert!(trainer.flow(FlowInfo::default()).is_ok(), "the weights kept are finite");
    assert!(Trainer::from_bytes(&trainer.to_bytes().expect("bytes")).is_ok());
}

#[test]
fn a_source_that_fails_ends_training_with_its_reason() {
    struct Broken;
    impl BatchSource for Broken {
        fn batch(&self, index: u64, n: usize) -> Result<Batch, String> {
            if index == 3 {
                return Err("the grid has no such redshift".to_owned());
            }
            Toy::LinearGaussian.batch(index, n)
        }
    }
    let toy = Toy::LinearGaussian;
    let validation = toy.simulate(3, 0, 300);
    let data = Data::Stream { source: &Broken, validation: &validation, threads: 2 };
    let mut trainer = Trainer::new(small(toy), quick(60), &data).expect("a good setup");
    let error = trainer.run(&data, &Silent).expect_err("batch 3 fails");
    assert_eq!(error.to_string(), "cannot make training batch 3: the grid has no such redshift");
}

#[test]
fn patience_ends_training_and_plateaus_lower_the_rate() {
    let toy = Toy::LinearGaussian;
    let validation = toy.simulate(3, 0, 300);
    let data = Data::Stream { source: &toy, validation: &validation, threads: 1 };
    let config = TrainConfig {
        optimizer: Optimizer { lr: 0.05, ..Optimizer::default() },
        schedule: Schedule::Plateau { warmup: 0, factor: 0.5, patience: 1 },
        patience: Some(3),
        steps_per_epoch: 4,
        ..quick(4000)
    };
    let mut trainer = Trainer::new(small(toy), config, &data).expect("a good setup");
    assert_eq!(trainer.run(&data, &Silent).expect("no failure"), Stop::Converged);
    let history = trainer.history();
    assert!(history[history.len() - 1].lr < 0.05);
    let best = history.iter().map(|r| r.validation_ln_prob).fold(f64::MIN, f64::max);
    assert_eq!(trainer.best_ln_prob(), Some(best));
    assert!(history[history.len() - 4..history.len() - 1].iter().all(|r| r.validation_ln_prob <= best));
}
