//! Fits a flow to examples by maximum likelihood; can be stopped and resumed without a trace.

mod clock;
mod config;
mod data;
mod many;
mod objective;
mod optimizer;
mod state;

#[cfg(test)]
mod plain;
#[cfg(test)]
mod tests;

use std::time::Instant;

use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use clock::Clock;
pub use config::{Limit, Schedule, TrainConfig};
pub use data::{Batch, BatchSource, Data};
pub use many::{Named, run_many};
pub use optimizer::Optimizer;

use data::{Feed, Prepared, Rows};
use objective::Objective;
use optimizer::Moments;

use super::checkpoint::CheckpointError;
use super::elementwise::sum_of_squares;
use super::network::Network;
use super::{ConditionalFlow, FlowConfig, FlowError, FlowInfo, Scaling};
use crate::progress::{Event, Progress};

/// Training gives up after this many recoveries from a diverging loss.
const MAX_RECOVERIES: usize = 10;
/// Bad steps in a row that count as divergence, where single ones are left out.
const MAX_BAD_STEPS: u32 = 3;
/// A held-out density this much below the best (nats) counts as divergence.
const DIVERGED: f64 = 50.0;

#[derive(Debug, Error)]
pub enum TrainError {
    #[error("training configuration: {setting} is {found}, expected {expected}")]
    Config { setting: &'static str, found: String, expected: &'static str },
    #[error("{found} examples are too few: at least {needed} are needed for one batch and the held-out part")]
    TooFew { found: usize, needed: usize },
    #[error("cannot make training batch {batch}: {reason}")]
    Source { batch: u64, reason: String },
    #[error("the loss diverged {recoveries} times, the last time at step {step}: lower the learning rate")]
    Diverged { recoveries: usize, step: u64 },
    #[error("no candidate of the search could be trained; the first failed so: {failure}")]
    NoCandidate { failure: String },
    #[error("burn does not return its numbers: {0}")]
    Burn(#[from] burn::tensor::DataError),
    #[error(transparent)]
    Flow(#[from] FlowError),
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
}

/// One epoch of the history.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    pub epoch: u64,
    /// Steps done by its end.
    pub step: u64,
    /// Examples seen by its end.
    pub examples: u64,
    /// Seconds of training by its end, validation included.
    pub seconds: f64,
    /// Mean log density of the epoch's examples, each by the weights of its step.
    pub train_ln_prob: f64,
    pub validation_ln_prob: f64,
    pub lr: f64,
}

/// A return to the best weights after the loss diverged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recovery {
    pub step: u64,
    pub reason: String,
    /// The learning rate's factor from here on.
    pub lr_factor: f64,
}

/// Why training ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stop {
    /// The [`Limit`] was reached.
    Limit,
    /// No better held-out density for `patience` epochs.
    Converged,
    /// The listener asked for it; resuming goes on as if nothing had happened.
    Cancelled,
}

/// What changes from step to step and is not an array.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Position {
    step: u64,
    seconds: f64,
    /// Sum over this epoch's steps so far of the mean log density, and their number.
    epoch_sum: f64,
    epoch_steps: u64,
    bad_steps: u32,
    skipped_steps: u64,
    lr_factor: f64,
    plateau: u32,
    best_ln_prob: Option<f64>,
    best_epoch: Option<u64>,
    stale_epochs: u32,
}

/// A training run: settings, weights, and where it stands.
pub struct Trainer {
    network: Network,
    config: TrainConfig,
    theta_scaling: Scaling,
    x_scaling: Scaling,
    weights: Vec<f32>,
    best: Vec<f32>,
    moments: Moments,
    position: Position,
    history: Vec<EpochRecord>,
    recoveries: Vec<Recovery>,
    notes: Vec<String>,
    clock: Clock,
}

impl Trainer {
    /// Errors where settings make no sense, or `data` do not fit them, are not finite, or have a
    /// constant coordinate. A constant feature is noted and read as zero.
    pub fn new(flow: FlowConfig, config: TrainConfig, data: &Data) -> Result<Self, TrainError> {
        config.check()?;
        let network = Network::new(flow)?;
        let (theta_scaling, x_scaling, constant) = data::scalings(&config, &network.config, data)?;
        let notes = constant.iter().map(|column| {
            format!(
                "feature {column} is constant in the training set: it carries no information and is read as 0"
            )
        });
        let weights = network.initial_weights(config.seed);
        Ok(Self {
            notes: notes.collect(),
            best: weights.clone(),
            moments: Moments::zero(weights.len()),
            weights,
            network,
            config,
            theta_scaling,
            x_scaling,
            position: Position {
                step: 0,
                seconds: 0.0,
                epoch_sum: 0.0,
                epoch_steps: 0,
                bad_steps: 0,
                skipped_steps: 0,
                lr_factor: 1.0,
                plateau: 0,
                best_ln_prob: None,
                best_epoch: None,
                stale_epochs: 0,
            },
            history: Vec::new(),
            recoveries: Vec::new(),
            clock: Clock::default(),
        })
    }

    pub fn config(&self) -> &TrainConfig {
        &self.config
    }

    pub fn flow_config(&self) -> &FlowConfig {
        &self.network.config
    }

    pub fn history(&self) -> &[EpochRecord] {
        &self.history
    }

    pub fn recoveries(&self) -> &[Recovery] {
        &self.recoveries
    }

    /// What a reader of the results should know: constant features, steps left out.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = self.notes.clone();
        if self.position.skipped_steps > 0 {
            notes.push(format!(
                "{} steps with a loss that is not finite were left out",
                self.position.skipped_steps
            ));
        }
        notes
    }

    /// Number of weights, masked ones not counted.
    pub fn n_weights(&self) -> usize {
        self.weights.len()
    }

    /// Floating-point operations of matrix products per example and step: two per weight and example
    /// forward, four backward.
    pub fn flops_per_example(&self) -> f64 {
        6.0 * self.weights.len() as f64
    }

    pub fn steps(&self) -> u64 {
        self.position.step
    }

    /// The best held-out mean log density so far.
    pub fn best_ln_prob(&self) -> Option<f64> {
        self.position.best_ln_prob.map(|best| best - f64::from(self.theta_scaling.ln_volume()))
    }

    /// Changes where training ends, for a run to be continued.
    pub fn set_limit(&mut self, limit: Limit) {
        self.config.limit = limit;
    }

    /// Changes what seconds are counted; it is not part of the saved state.
    pub fn set_clock(&mut self, clock: Clock) {
        self.clock = clock;
    }

    /// The flow with the best weights by held-out density (the starting ones before any epoch ended).
    pub fn flow(&self, info: FlowInfo) -> Result<ConditionalFlow, FlowError> {
        let (theta, x) = (self.theta_scaling.clone(), self.x_scaling.clone());
        ConditionalFlow::new(self.network.config.clone(), self.best.clone(), theta, x, info)
    }

    /// Trains until the limit, the patience or the listener ends it. `data` must be the same at every
    /// call. The result does not depend on the number of threads.
    pub fn run(&mut self, data: &Data, progress: &dyn Progress) -> Result<Stop, TrainError> {
        self.run_until(data, progress, true)
    }

    /// [`Self::run`] without scoring the held-out examples where the limit falls within an epoch, so
    /// that a run can be timed or watched in pieces.
    pub fn run_steps(&mut self, data: &Data, progress: &dyn Progress) -> Result<Stop, TrainError> {
        self.run_until(data, progress, false)
    }

    fn run_until(&mut self, data: &Data, progress: &dyn Progress, score: bool) -> Result<Stop, TrainError> {
        let prepared =
            Prepared::new(&self.config, &self.network.config, data, &self.theta_scaling, &self.x_scaling)?;
        let (theta_scaling, x_scaling) = (self.theta_scaling.clone(), self.x_scaling.clone());
        let config = self.config.clone();
        progress.report(Event::Started {
            what: format!("training {}", self.network.config.name()),
            total: self.total_steps(prepared.steps_per_epoch),
            unit: "steps",
        });
        for note in &self.notes {
            progress.report(Event::Note(note.clone()));
        }
        let stop = std::thread::scope(|scope| {
            let feed =
                Feed::start(&prepared, &config, (&theta_scaling, &x_scaling), self.position.step, scope);
            self.steps_until_done(&prepared, feed, progress, score)
        });
        progress.report(Event::Finished);
        stop
    }

    fn steps_until_done(
        &mut self,
        prepared: &Prepared,
        mut feed: Feed,
        progress: &dyn Progress,
        score: bool,
    ) -> Result<Stop, TrainError> {
        let mut objective = Objective::new(&self.network);
        let mut rows = Rows::default();
        let clock = self.clock;
        let (started, seconds_before, steps_before) =
            (clock.now(), self.position.seconds, self.position.step);
        let mut last_report = Instant::now();
        loop {
            self.position.seconds = seconds_before + clock.now() - started;
            let done = self.fraction_done(prepared.steps_per_epoch);
            if done >= 1.0 {
                if score && self.position.epoch_steps > 0 {
                    self.end_epoch(prepared, progress)?;
                }
                return Ok(Stop::Limit);
            }
            if self.config.patience.is_some_and(|patience| self.position.stale_epochs >= patience) {
                return Ok(Stop::Converged);
            }
            if progress.cancelled() {
                return Ok(Stop::Cancelled);
            }
            feed.batch(self.position.step, prepared.steps_per_epoch, &mut rows)?;
            let loss = objective.evaluate(&mut self.weights, &rows.theta, &rows.x)?;
            let norm = sum_of_squares(objective.gradient()).sqrt();
            let lr = self.config.optimizer.lr
                * self.position.lr_factor
                * self.config.schedule.factor(self.position.step, done);
            if loss.is_finite() && norm.is_finite() {
                let clip = self.config.clip_norm.map_or(1.0, |limit| (limit / norm.max(1e-30)).min(1.0));
                self.moments.update(
                    &self.config.optimizer,
                    lr,
                    clip,
                    objective.gradient(),
                    &mut self.weights,
                );
                self.position.bad_steps = 0;
                self.position.epoch_sum -= loss;
                self.position.epoch_steps += 1;
            } else {
                self.position.bad_steps += 1;
                self.position.skipped_steps += 1;
                if self.position.bad_steps >= MAX_BAD_STEPS {
                    self.recover("the loss is not finite", progress)?;
                }
            }
            self.position.step += 1;
            if last_report.elapsed().as_secs_f64() > 0.1 {
                last_report = Instant::now();
                progress.report(Event::Advanced { done: self.position.step });
                let rate = (self.position.step - steps_before) as f64 / (clock.now() - started);
                self.report(None, lr, rate, prepared, progress);
            }
            if self.position.step.is_multiple_of(prepared.steps_per_epoch) {
                self.position.seconds = seconds_before + clock.now() - started;
                self.end_epoch(prepared, progress)?;
                let rate = (self.position.step - steps_before) as f64 / (clock.now() - started);
                let validation = self.history.last().map(|record| record.validation_ln_prob);
                self.report(validation, lr, rate, prepared, progress);
            }
        }
    }

    fn report(
        &self,
        validation: Option<f64>,
        lr: f64,
        steps_per_s: f64,
        prepared: &Prepared,
        progress: &dyn Progress,
    ) {
        let last = self.history.last();
        let train_ln_prob = if self.position.epoch_steps > 0 {
            self.position.epoch_sum / self.position.epoch_steps as f64
                - f64::from(self.theta_scaling.ln_volume())
        } else {
            last.map_or(f64::NAN, |record| record.train_ln_prob)
        };
        let by_steps = self
            .total_steps(prepared.steps_per_epoch)
            .map(|total| total.saturating_sub(self.position.step) as f64 / steps_per_s);
        let by_seconds = self.config.limit.seconds.map(|seconds| (seconds - self.position.seconds).max(0.0));
        progress.report(Event::Training {
            epoch: self.position.step / prepared.steps_per_epoch,
            step: self.position.step,
            train_ln_prob,
            validation_ln_prob: validation,
            best_ln_prob: self.best_ln_prob(),
            lr,
            examples_per_s: steps_per_s * self.config.batch as f64,
            eta_s: match (by_steps, by_seconds) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            },
        });
    }

    fn total_steps(&self, steps_per_epoch: u64) -> Option<u64> {
        let by_epochs = self.config.limit.epochs.map(|epochs| epochs.saturating_mul(steps_per_epoch));
        match (by_epochs, self.config.limit.steps) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// How far along the limit training is; 1 is the end.
    fn fraction_done(&self, steps_per_epoch: u64) -> f64 {
        let by_steps = self
            .total_steps(steps_per_epoch)
            .map_or(0.0, |total| self.position.step as f64 / total.max(1) as f64);
        let by_seconds = self.config.limit.seconds.map_or(0.0, |limit| self.position.seconds / limit);
        by_steps.max(by_seconds)
    }

    /// Scores the held-out examples, keeps the weights if they are the best, and records the epoch.
    fn end_epoch(&mut self, prepared: &Prepared, progress: &dyn Progress) -> Result<(), TrainError> {
        let begun = self.clock.now();
        let score = self.score(&prepared.validation_theta, &prepared.validation_x);
        self.position.seconds += self.clock.now() - begun;
        let volume = f64::from(self.theta_scaling.ln_volume());
        let position = &mut self.position;
        if score.is_finite() && position.epoch_steps > 0 {
            self.history.push(EpochRecord {
                epoch: self.history.last().map_or(1, |last| last.epoch + 1),
                step: position.step,
                examples: position.step * self.config.batch as u64,
                seconds: position.seconds,
                train_ln_prob: position.epoch_sum / position.epoch_steps as f64 - volume,
                validation_ln_prob: score - volume,
                lr: self.config.optimizer.lr * position.lr_factor,
            });
        }
        position.epoch_sum = 0.0;
        position.epoch_steps = 0;
        if !score.is_finite() || position.best_ln_prob.is_some_and(|best| score < best - DIVERGED) {
            return self.recover(&format!("the held-out log density fell to {score:.2}"), progress);
        }
        if position.best_ln_prob.is_none_or(|best| score > best) {
            position.best_ln_prob = Some(score);
            position.best_epoch = self.history.last().map(|record| record.epoch);
            position.stale_epochs = 0;
            position.plateau = 0;
            self.best.copy_from_slice(&self.weights);
            return Ok(());
        }
        position.stale_epochs += 1;
        position.plateau += 1;
        if let Schedule::Plateau { factor, patience, .. } = self.config.schedule
            && position.plateau >= patience.max(1)
        {
            position.lr_factor *= factor;
            position.plateau = 0;
            let note =
                format!("learning rate lowered to {:.1e}", self.config.optimizer.lr * position.lr_factor);
            progress.report(Event::Note(note));
        }
        Ok(())
    }

    /// Mean log density of standardised examples.
    fn score(&self, theta: &[f32], x: &[f32]) -> f64 {
        let mut out = vec![0.0; theta.len() / self.network.config.n_param];
        self.network.ln_prob(&self.weights, theta, x, &mut out);
        out.iter().map(|v| f64::from(*v)).sum::<f64>() / out.len().max(1) as f64
    }

    /// Returns to the best weights with fresh moments and half the learning rate.
    fn recover(&mut self, reason: &str, progress: &dyn Progress) -> Result<(), TrainError> {
        if self.recoveries.len() >= MAX_RECOVERIES {
            return Err(TrainError::Diverged { recoveries: self.recoveries.len(), step: self.position.step });
        }
        self.weights.copy_from_slice(&self.best);
        self.moments = Moments::zero(self.weights.len());
        self.position.lr_factor *= 0.5;
        self.position.bad_steps = 0;
        let recovery = Recovery {
            step: self.position.step,
            reason: reason.to_owned(),
            lr_factor: self.position.lr_factor,
        };
        progress.report(Event::Note(format!(
            "step {}: {reason}; back to the best weights at half the learning rate",
            recovery.step
        )));
        self.recoveries.push(recovery);
        Ok(())
    }
}
