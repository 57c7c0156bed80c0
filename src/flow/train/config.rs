//! How a flow is trained: settings, checked once, stored with every checkpoint.

use serde::{Deserialize, Serialize};

use super::TrainError;
use super::optimizer::Optimizer;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainConfig {
    /// Of the starting weights, the held-out split and the order of examples.
    pub seed: u64,
    /// Examples per step.
    pub batch: usize,
    pub optimizer: Optimizer,
    pub schedule: Schedule,
    /// Gradients longer than this (Euclidean norm over all weights) are shortened to it.
    pub clip_norm: Option<f64>,
    /// Fraction of examples in memory held out to choose the best weights.
    pub validation_fraction: f64,
    /// Steps between validations where data are streamed; in memory it is one pass.
    pub steps_per_epoch: u64,
    /// Ends after this many epochs without a better held-out density.
    pub patience: Option<u32>,
    pub limit: Limit,
    /// Standardise the coordinates too; off where they are standard normal already.
    pub standardize_theta: bool,
}

/// What ends training, whichever comes first. At least one must be set.
///
/// The cosine schedule ends with them. A run limited by seconds is not reproducible bit for bit.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limit {
    pub epochs: Option<u64>,
    pub steps: Option<u64>,
    pub seconds: Option<f64>,
}

/// The learning rate's course, after a linear rise over `warmup` steps.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Schedule {
    Constant {
        warmup: u64,
    },
    /// Half a cosine from the full rate to zero at the [`Limit`].
    Cosine {
        warmup: u64,
    },
    /// Times `factor` after `patience` epochs without a better held-out density.
    Plateau {
        warmup: u64,
        factor: f64,
        patience: u32,
    },
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            seed: 0,
            batch: 1000,
            optimizer: Optimizer { lr: 2e-3, ..Optimizer::default() },
            schedule: Schedule::Cosine { warmup: 200 },
            clip_norm: Some(5.0),
            validation_fraction: 0.1,
            steps_per_epoch: 500,
            patience: None,
            limit: Limit { epochs: Some(20), ..Limit::default() },
            standardize_theta: false,
        }
    }
}

impl TrainConfig {
    /// As Hahn & Melchior (2022): Adam at 5e-4, batches of 50, a tenth held out, stop after 20
    /// epochs without improvement.
    pub fn paper() -> Self {
        Self {
            batch: 50,
            optimizer: Optimizer::default(),
            schedule: Schedule::Constant { warmup: 0 },
            patience: Some(20),
            limit: Limit { epochs: Some(10_000), ..Limit::default() },
            standardize_theta: true,
            ..Self::default()
        }
    }

    /// Errors with the first setting that makes no sense.
    pub fn check(&self) -> Result<(), TrainError> {
        let bad = |setting: &'static str, found: String, expected: &'static str| {
            Err(TrainError::Config { setting, found, expected })
        };
        if self.batch == 0 {
            return bad("batch", "0".to_owned(), "at least 1");
        }
        if self.steps_per_epoch == 0 {
            return bad("steps_per_epoch", "0".to_owned(), "at least 1");
        }
        let Optimizer { lr, beta1, beta2, epsilon, weight_decay } = self.optimizer;
        if !(lr > 0.0 && lr.is_finite()) {
            return bad("lr", lr.to_string(), "above 0");
        }
        for (name, beta) in [("beta1", beta1), ("beta2", beta2)] {
            if !(0.0..1.0).contains(&beta) {
                return bad(name, beta.to_string(), "from 0 to below 1");
            }
        }
        if epsilon.is_nan() || epsilon <= 0.0 {
            return bad("epsilon", epsilon.to_string(), "above 0");
        }
        if !(weight_decay >= 0.0 && weight_decay * lr < 1.0) {
            return bad("weight_decay", weight_decay.to_string(), "at least 0, below 1 / lr");
        }
        if let Some(norm) = self.clip_norm
            && (norm.is_nan() || norm <= 0.0)
        {
            return bad("clip_norm", norm.to_string(), "above 0");
        }
        if !(self.validation_fraction > 0.0 && self.validation_fraction < 1.0) {
            return bad("validation_fraction", self.validation_fraction.to_string(), "between 0 and 1");
        }
        if let Schedule::Plateau { factor, .. } = self.schedule
            && !(factor > 0.0 && factor < 1.0)
        {
            return bad("factor", factor.to_string(), "between 0 and 1");
        }
        let Limit { epochs, steps, seconds } = self.limit;
        if epochs.is_none() && steps.is_none() && seconds.is_none() {
            return bad("limit", "none".to_owned(), "epochs, steps or seconds");
        }
        if seconds.is_some_and(|seconds| seconds.is_nan() || seconds <= 0.0) {
            return bad("seconds", format!("{seconds:?}"), "above 0");
        }
        Ok(())
    }
}

impl Schedule {
    /// Learning rate over its maximum before step `step` (from 0), a fraction `done` of the way.
    pub fn factor(&self, step: u64, done: f64) -> f64 {
        let (Self::Constant { warmup } | Self::Cosine { warmup } | Self::Plateau { warmup, .. }) = *self;
        let rise = if step < warmup { (step + 1) as f64 / warmup as f64 } else { 1.0 };
        match self {
            Self::Cosine { .. } => rise * 0.5 * (1.0 + (std::f64::consts::PI * done.clamp(0.0, 1.0)).cos()),
            Self::Constant { .. } | Self::Plateau { .. } => rise,
        }
    }
}
