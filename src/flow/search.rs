//! Random search over architectures and training settings with successive halving
//! (Jamieson & Talwalkar 2016, arXiv:1502.07943).
//!
//! Every rung trains its candidates afresh, so that each is judged with its learning rate decayed,
//! and passes the best on to a rung that is longer. The winner's full training is the caller's.

use std::time::Duration;

use rand::RngExt;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::checkpoint::{CheckpointError, read, write};
use super::train::{Data, Limit, Named, TrainConfig, TrainError, Trainer, run_many};
use super::{Conditioner, FlowConfig, Transform};
use crate::progress::{Event, Progress};
use crate::rng::Streams;

/// One in this many candidates passes to the next rung, which is this many times longer.
pub const KEEP_ONE_IN: usize = 3;
const FORMAT: &str = "sedflow trial";

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
    pub flow: FlowConfig,
    /// Its limit is that of the winner's training, after the search.
    pub train: TrainConfig,
    pub space: Space,
}

/// How one training of one candidate ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RungRecord {
    pub limit: Limit,
    /// `None` where training failed; then `failure` says how.
    pub best_ln_prob: Option<f64>,
    pub failure: Option<String>,
    pub steps: u64,
}

/// A candidate and all that was tried with it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    pub index: usize,
    pub flow: FlowConfig,
    pub train: TrainConfig,
    /// One record per rung that it reached.
    pub rungs: Vec<RungRecord>,
}

/// All trials in order, and which is the best.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SearchResult {
    pub trials: Vec<Trial>,
    pub best: usize,
}

/// What is known of a training that a search wants to begin.
pub enum Kept {
    Nothing,
    Started(Box<Trainer>),
    Ended(RungRecord),
}

/// Keeps trainings while they run, so that a search stopped at any point goes on where it was.
pub trait Keeper {
    type Error: From<TrainError>;

    /// Called first for every training; `train` holds the rung's limit.
    fn begin(&mut self, trial: usize, flow: &FlowConfig, train: &TrainConfig) -> Result<Kept, Self::Error>;

    /// Called now and then for a training that goes on.
    fn save(&mut self, trial: usize, trainer: &Trainer) -> Result<(), Self::Error>;

    /// Called at the end of a training; there is no trainer where it could not be set up.
    fn end(
        &mut self,
        trial: usize,
        record: &RungRecord,
        trainer: Option<&Trainer>,
    ) -> Result<(), Self::Error>;
}

/// Keeps nothing.
pub struct Forget;

impl Keeper for Forget {
    type Error = TrainError;

    fn begin(&mut self, _: usize, _: &FlowConfig, _: &TrainConfig) -> Result<Kept, TrainError> {
        Ok(Kept::Nothing)
    }

    fn save(&mut self, _: usize, _: &Trainer) -> Result<(), TrainError> {
        Ok(())
    }

    fn end(&mut self, _: usize, _: &RungRecord, _: Option<&Trainer>) -> Result<(), TrainError> {
        Ok(())
    }
}

impl RungRecord {
    /// As one small file, the last state of a trial's training (`docs/checkpoint-format.md`).
    pub fn to_bytes(&self) -> Result<Vec<u8>, CheckpointError> {
        let header = serde_json::to_value(self)
            .map_err(|error| CheckpointError::Header { reason: error.to_string() })?;
        write(FORMAT, header, &[])
    }

    /// Errors with what is wrong where `bytes` are not the record of a trial, or damaged.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CheckpointError> {
        let (header, _) = read(FORMAT, bytes)?;
        serde_json::from_value(header).map_err(|error| CheckpointError::Header { reason: error.to_string() })
    }
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

    /// Rungs until one candidate is left.
    pub fn rungs(&self) -> u32 {
        std::iter::successors(Some(self.trials), |n| (*n > 1).then(|| n.div_ceil(KEEP_ONE_IN))).count() as u32
            - 1
    }

    /// The limit of a rung, from 0.
    pub fn limit_of(&self, rung: u32) -> Limit {
        let part = KEEP_ONE_IN.saturating_pow(self.rungs().saturating_sub(rung)) as u64;
        let Limit { epochs, steps, seconds } = self.train.limit;
        Limit {
            epochs: epochs.map(|n| n.div_ceil(part)),
            steps: steps.map(|n| n.div_ceil(part)),
            seconds: seconds.map(|s| s / part as f64),
        }
    }
}

/// Trains the candidates rung by rung, each on one thread, as many at once as there are threads.
/// `None` where the listener asked to stop; the same call then goes on with what the keeper kept.
///
/// A candidate that fails is recorded and dropped. Errors where all of them fail. Reproducible where
/// the limit is in steps or epochs.
pub fn search<K: Keeper>(
    config: &SearchConfig,
    data: &Data,
    keeper: &mut K,
    save_every: Duration,
    progress: &dyn Progress,
) -> Result<Option<SearchResult>, K::Error> {
    let mut trials: Vec<Trial> = (0..config.trials.max(1))
        .map(|index| {
            let (flow, train) = config.candidate(index);
            Trial { index, flow, train, rungs: Vec::new() }
        })
        .collect();
    let mut alive: Vec<usize> = (0..trials.len()).collect();
    for rung in 0..config.rungs() {
        let limit = config.limit_of(rung);
        for wave in alive.chunks(rayon::current_num_threads().max(1)) {
            if !run_wave(&mut trials, wave, limit, data, keeper, save_every, progress)? {
                return Ok(None);
            }
        }
        let score = |index: &usize| trials[*index].rungs.last().and_then(|record| record.best_ln_prob);
        let kept = alive.len().div_ceil(KEEP_ONE_IN);
        alive.retain(|index| score(index).is_some());
        alive.sort_by(|a, b| score(b).unwrap_or(f64::NAN).total_cmp(&score(a).unwrap_or(f64::NAN)));
        alive.truncate(kept);
        if alive.is_empty() {
            let first = trials.iter().find_map(|trial| trial.rungs.last()?.failure.clone());
            return Err(TrainError::NoCandidate { failure: first.unwrap_or_default() }.into());
        }
        progress.report(Event::Note(format!(
            "rung {} of {}: trial {} is the best, held-out ln q {:.3}",
            rung + 1,
            config.rungs(),
            alive[0],
            score(&alive[0]).unwrap_or(f64::NAN),
        )));
    }
    let best = alive[0];
    Ok(Some(SearchResult { trials, best }))
}

/// Trains the candidates `wave`, at most one per thread; `false` where the listener stopped it.
fn run_wave<K: Keeper>(
    trials: &mut [Trial],
    wave: &[usize],
    limit: Limit,
    data: &Data,
    keeper: &mut K,
    save_every: Duration,
    progress: &dyn Progress,
) -> Result<bool, K::Error> {
    let failed = |error: &TrainError, steps| RungRecord {
        limit,
        best_ln_prob: None,
        failure: Some(error.to_string()),
        steps,
    };
    let mut trainings = Vec::new();
    let mut of_training = Vec::new();
    for &index in wave {
        let (flow, train) =
            (trials[index].flow.clone(), TrainConfig { limit, ..trials[index].train.clone() });
        let trainer = match keeper.begin(index, &flow, &train)? {
            Kept::Ended(record) => {
                trials[index].rungs.push(record);
                continue;
            }
            Kept::Started(trainer) => *trainer,
            Kept::Nothing => match Trainer::new(flow, train, data) {
                Ok(trainer) => trainer,
                Err(error) => {
                    let record = failed(&error, 0);
                    keeper.end(index, &record, None)?;
                    trials[index].rungs.push(record);
                    continue;
                }
            },
        };
        trainings.push(Named { name: format!("trial {index}"), trainer });
        of_training.push(index);
    }
    run_many(&mut trainings, data, progress, save_every, |at, trainer, ended| {
        let index = of_training[at];
        let record = match ended {
            None => return keeper.save(index, trainer),
            Some(Ok(_)) => RungRecord {
                limit,
                best_ln_prob: trainer.best_ln_prob(),
                failure: None,
                steps: trainer.steps(),
            },
            Some(Err(error)) => failed(error, trainer.steps()),
        };
        keeper.end(index, &record, Some(trainer))?;
        trials[index].rungs.push(record);
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::flow::toys::Toy;
    use crate::progress::Silent;

    const EVERY: Duration = Duration::from_secs(60);

    fn config(trials: usize) -> SearchConfig {
        SearchConfig {
            seed: 4,
            trials,
            flow: FlowConfig {
                layers: 1,
                hidden: vec![8],
                conditioner: Conditioner::Residual { width: 8, blocks: 1 },
                ..FlowConfig::nsf(3, 2)
            },
            train: TrainConfig {
                batch: 50,
                steps_per_epoch: 6,
                limit: Limit { steps: Some(108), ..Limit::default() },
                ..TrainConfig::default()
            },
            space: Space {
                lr: Some((1e-3, 3e-2)),
                layers: vec![1, 2],
                hidden: vec![vec![8], vec![12, 12]],
                width: vec![8, 16],
                // More than the configuration allows: those candidates fail and are recorded.
                bins: vec![4, 1000],
                ..Space::default()
            },
        }
    }

    #[test]
    fn rungs_grow_threefold_to_the_winners_limit() {
        for (trials, rungs) in [(1, 0), (2, 1), (3, 1), (4, 2), (9, 2), (10, 3), (27, 3)] {
            assert_eq!(config(trials).rungs(), rungs, "{trials} trials");
        }
        let steps = |rung| config(9).limit_of(rung).steps;
        assert_eq!([steps(0), steps(1), steps(2)], [Some(12), Some(36), Some(108)]);
        assert_eq!(config(9).candidate(0).0, config(9).flow);
        assert_eq!(config(9).candidate(5), config(20).candidate(5));
    }

    #[test]
    fn the_search_records_every_trial_and_passes_the_best_on() {
        let toy = Toy::LinearGaussian;
        let validation = toy.simulate(3, 0, 200);
        let data = Data::Stream { source: &toy, validation: &validation, threads: 1 };
        let run = || search(&config(6), &data, &mut Forget, EVERY, &Silent);
        let result = run().expect("some candidate trains").expect("not stopped");
        assert_eq!(result.trials.len(), 6);
        assert!(result.trials.iter().all(|trial| !trial.rungs.is_empty()));
        for trial in &result.trials {
            let wrong = matches!(trial.flow.transform, Transform::AffineSpline { bins: 1000, .. });
            assert_eq!(trial.rungs[0].failure.is_some(), wrong);
            assert_eq!(trial.rungs[0].best_ln_prob.is_none(), wrong);
        }
        assert!(result.trials.iter().any(|trial| trial.rungs[0].failure.is_some()));
        let best = &result.trials[result.best];
        assert_eq!(best.rungs.len(), 2);
        assert!(best.rungs[1].steps > best.rungs[0].steps);
        let first = |trial: &Trial| trial.rungs[0].best_ln_prob.unwrap_or(f64::NEG_INFINITY);
        for trial in result.trials.iter().filter(|trial| trial.rungs.len() == 1) {
            assert!(first(trial) <= first(best));
        }
        assert_eq!(run().expect("again").expect("not stopped"), result);
    }

    /// Keeps states and records in memory, and stops the search after some saves.
    #[derive(Default)]
    struct InMemory {
        kept: HashMap<(usize, Option<u64>), Vec<u8>>,
        current: HashMap<usize, Option<u64>>,
        begun: usize,
    }

    impl Keeper for InMemory {
        type Error = TrainError;

        fn begin(&mut self, trial: usize, _: &FlowConfig, train: &TrainConfig) -> Result<Kept, TrainError> {
            self.current.insert(trial, train.limit.steps);
            self.begun += 1;
            Ok(match self.kept.get(&(trial, train.limit.steps)) {
                None => Kept::Nothing,
                Some(bytes) => match RungRecord::from_bytes(bytes) {
                    Ok(record) => Kept::Ended(record),
                    Err(_) => Kept::Started(Box::new(Trainer::from_bytes(bytes)?)),
                },
            })
        }

        fn save(&mut self, trial: usize, trainer: &Trainer) -> Result<(), TrainError> {
            self.kept.insert((trial, self.current[&trial]), trainer.to_bytes()?);
            Ok(())
        }

        fn end(&mut self, trial: usize, record: &RungRecord, _: Option<&Trainer>) -> Result<(), TrainError> {
            self.kept.insert((trial, self.current[&trial]), record.to_bytes()?);
            Ok(())
        }
    }

    /// Asks to stop after so many questions.
    struct StopAfter(std::sync::atomic::AtomicI64);

    impl Progress for StopAfter {
        fn report(&self, _: Event) {}

        fn cancelled(&self) -> bool {
            self.0.fetch_sub(1, std::sync::atomic::Ordering::Relaxed) <= 0
        }
    }

    #[test]
    fn a_search_stopped_again_and_again_ends_as_one_that_was_not() {
        let toy = Toy::LinearGaussian;
        let validation = toy.simulate(3, 0, 200);
        let data = Data::Stream { source: &toy, validation: &validation, threads: 1 };
        let calm = search(&config(5), &data, &mut Forget, EVERY, &Silent).expect("trains").expect("ended");
        let mut keeper = InMemory::default();
        let mut stops = 0;
        let rough = loop {
            let listener = StopAfter(25.into());
            match search(&config(5), &data, &mut keeper, EVERY, &listener).expect("trains") {
                Some(result) => break result,
                None => stops += 1,
            }
            assert!(stops < 100, "it comes to an end");
        };
        assert!(stops > 2, "{stops} stops");
        assert_eq!(calm, rough);
    }

    #[test]
    fn a_search_without_a_candidate_that_trains_says_why() {
        let toy = Toy::LinearGaussian;
        let validation = toy.simulate(3, 0, 200);
        let data = Data::Stream { source: &toy, validation: &validation, threads: 1 };
        let mut config = config(3);
        config.train.batch = 0;
        let error = search(&config, &data, &mut Forget, EVERY, &Silent).expect_err("no batch");
        assert_eq!(
            error.to_string(),
            "no candidate of the search could be trained; the first failed so: training configuration: batch is \
             0, expected at least 1"
        );
    }
}
