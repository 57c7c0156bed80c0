//! Random search over architectures and training settings with successive halving
//! (Jamieson & Talwalkar 2016, arXiv:1502.07943).
//!
//! Every rung trains its candidates afresh, so that each is judged with its learning rate decayed,
//! and passes the best on to a longer rung.

use rand::RngExt;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::ensemble::{Quiet, on_one_thread};
use super::train::{Data, EpochRecord, Limit, TrainConfig, TrainError, Trainer};
use super::{Conditioner, FlowConfig, Transform};
use crate::progress::{Event, Progress};
use crate::rng::Streams;

/// What may vary; an empty list keeps the base's value.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Space {
    /// Bounds of the learning rate, log-uniform.
    pub lr: Option<(f64, f64)>,
    pub batch: Vec<usize>,
    pub layers: Vec<usize>,
    pub hidden: Vec<Vec<usize>>,
    /// Of a residual conditioner.
    pub width: Vec<usize>,
    pub blocks: Vec<usize>,
    /// Of splines.
    pub bins: Vec<usize>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SearchConfig {
    pub seed: u64,
    pub trials: usize,
    /// One in this many candidates passes to the next rung, whose limit is this many times longer.
    pub keep_one_in: usize,
    /// Limit of the first rung.
    pub limit: Limit,
    pub flow: FlowConfig,
    pub train: TrainConfig,
    pub space: Space,
}

/// One training of one candidate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RungRecord {
    pub limit: Limit,
    /// `None` where training failed; then `failure` says how.
    pub best_ln_prob: Option<f64>,
    pub failure: Option<String>,
    pub history: Vec<EpochRecord>,
}

/// A candidate and all that was tried with it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    pub index: usize,
    pub flow: FlowConfig,
    pub train: TrainConfig,
    pub n_weights: usize,
    /// One record per rung that it reached.
    pub rungs: Vec<RungRecord>,
}

/// All trials in order, and the winner, trained for the longest rung.
pub struct SearchResult {
    pub trials: Vec<Trial>,
    pub best: Trainer,
    pub best_trial: usize,
}

fn pick<T: Clone>(choices: &[T], base: &T, rng: &mut ChaCha8Rng) -> T {
    choices.choose(rng).unwrap_or(base).clone()
}

impl SearchConfig {
    /// Candidate `index`; the first is the base itself.
    pub fn candidate(&self, index: usize) -> (FlowConfig, TrainConfig) {
        let (mut flow, mut train) = (self.flow.clone(), self.train.clone());
        if index == 0 {
            return (flow, train);
        }
        let mut rng = Streams::new(self.seed, "search").at(index as u64);
        let space = &self.space;
        if let Some((low, high)) = space.lr {
            let u: f64 = rng.random();
            train.optimizer.lr = (low.ln() + u * (high / low).ln()).exp();
        }
        train.batch = pick(&space.batch, &train.batch, &mut rng);
        flow.layers = pick(&space.layers, &flow.layers, &mut rng);
        flow.hidden = pick(&space.hidden, &flow.hidden, &mut rng);
        if let Conditioner::Residual { width, blocks } = flow.conditioner {
            let width = pick(&space.width, &width, &mut rng);
            flow.conditioner =
                Conditioner::Residual { width, blocks: pick(&space.blocks, &blocks, &mut rng) };
        }
        if let Transform::AffineSpline { bins, tail_bound } = flow.transform {
            flow.transform = Transform::AffineSpline { bins: pick(&space.bins, &bins, &mut rng), tail_bound };
        }
        (flow, train)
    }

    fn limit_of(&self, rung: u32) -> Limit {
        let factor = self.keep_one_in.max(2).saturating_pow(rung);
        Limit {
            epochs: self.limit.epochs.map(|n| n.saturating_mul(factor as u64)),
            steps: self.limit.steps.map(|n| n.saturating_mul(factor as u64)),
            seconds: self.limit.seconds.map(|s| s * factor as f64),
        }
    }
}

/// Trains every candidate on one thread, as many at once as there are threads, until one is left.
///
/// A candidate that fails is recorded and dropped. Errors where all of them fail, with the first
/// candidate's reason. Reproducible where the limit is in steps or epochs.
pub fn search(
    config: &SearchConfig,
    data: &Data,
    progress: &dyn Progress,
) -> Result<SearchResult, TrainError> {
    let mut trials: Vec<Trial> = (0..config.trials.max(1))
        .map(|index| {
            let (flow, train) = config.candidate(index);
            Trial { index, flow, train, n_weights: 0, rungs: Vec::new() }
        })
        .collect();
    let mut alive: Vec<usize> = (0..trials.len()).collect();
    progress.report(Event::Started { what: "searching".to_owned(), total: None, unit: "trials" });
    let mut rung = 0;
    loop {
        let limit = config.limit_of(rung);
        rung += 1;
        let outcomes: Vec<(usize, Result<Trainer, TrainError>)> = alive
            .par_iter()
            .map(|&index| {
                let quiet = Quiet { inner: progress, name: format!("trial {index}") };
                (index, train_one(&trials[index], limit, data, &quiet))
            })
            .collect();
        let mut scored: Vec<(f64, Trainer, usize)> = Vec::new();
        let mut first_failure = None;
        for (index, outcome) in outcomes {
            let trial = &mut trials[index];
            match outcome {
                Ok(trainer) => {
                    let score = trainer.best_ln_prob();
                    trial.n_weights = trainer.n_weights();
                    let history = trainer.history().to_vec();
                    trial.rungs.push(RungRecord { limit, best_ln_prob: score, failure: None, history });
                    scored.push((score.unwrap_or(f64::NEG_INFINITY), trainer, index));
                }
                Err(error) => {
                    let failure = Some(error.to_string());
                    trial.rungs.push(RungRecord { limit, best_ln_prob: None, failure, history: Vec::new() });
                    first_failure.get_or_insert(error);
                }
            }
        }
        scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.2.cmp(&b.2)));
        let keep = scored.len().div_ceil(config.keep_one_in.max(2));
        let last = scored.len() <= 1 || progress.cancelled();
        alive = scored.iter().take(keep).map(|(_, _, index)| *index).collect();
        if last {
            progress.report(Event::Finished);
            return match (scored.into_iter().next(), first_failure) {
                (Some((_, best, best_trial)), _) => Ok(SearchResult { trials, best, best_trial }),
                (None, Some(error)) => Err(error),
                (None, None) => Err(TrainError::Config {
                    setting: "trials",
                    found: "0".to_owned(),
                    expected: "at least 1",
                }),
            };
        }
    }
}

fn train_one(
    trial: &Trial,
    limit: Limit,
    data: &Data,
    progress: &dyn Progress,
) -> Result<Trainer, TrainError> {
    let config = TrainConfig { limit, ..trial.train.clone() };
    let mut trainer = Trainer::new(trial.flow.clone(), config, data)?;
    on_one_thread(|| trainer.run(data, progress))?;
    Ok(trainer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::toys::Toy;
    use crate::progress::Silent;

    #[test]
    fn the_search_records_every_trial_and_trains_the_best_longest() {
        let toy = Toy::LinearGaussian;
        let validation = toy.simulate(3, 0, 200);
        let data = Data::Stream { source: &toy, validation: &validation, threads: 1 };
        let config = SearchConfig {
            seed: 4,
            trials: 5,
            keep_one_in: 2,
            limit: Limit { steps: Some(12), ..Limit::default() },
            flow: FlowConfig {
                layers: 1,
                hidden: vec![8],
                conditioner: Conditioner::Residual { width: 8, blocks: 1 },
                ..FlowConfig::nsf(3, 2)
            },
            train: TrainConfig { batch: 50, steps_per_epoch: 6, ..TrainConfig::default() },
            space: Space {
                lr: Some((1e-3, 3e-2)),
                layers: vec![1, 2],
                hidden: vec![vec![8], vec![12, 12]],
                width: vec![8, 16],
                // More than the configuration allows: those candidates fail and are recorded.
                bins: vec![4, 1000],
                ..Space::default()
            },
        };
        let result = search(&config, &data, &Silent).expect("some candidate trains");
        assert_eq!(result.trials.len(), 5);
        assert!(result.trials.iter().all(|trial| !trial.rungs.is_empty()));
        let failed = result.trials.iter().filter(|trial| trial.rungs[0].failure.is_some()).count();
        let wrong = result
            .trials
            .iter()
            .filter(|t| matches!(t.flow.transform, Transform::AffineSpline { bins: 1000, .. }));
        assert_eq!(failed, wrong.count());
        let rungs = |index: usize| result.trials[index].rungs.len();
        assert!((0..5).all(|index| rungs(index) <= rungs(result.best_trial)));
        let last = result.trials[result.best_trial].rungs.last().expect("a rung");
        assert_eq!(last.best_ln_prob, result.best.best_ln_prob());
        assert!(last.limit.steps > Some(12));
        let again = search(&config, &data, &Silent).expect("some candidate trains");
        let scores = |r: &SearchResult| {
            r.trials.iter().flat_map(|t| t.rungs.iter().map(|rung| rung.best_ln_prob)).collect::<Vec<_>>()
        };
        assert_eq!(scores(&result), scores(&again));
    }
}
