//! Where examples come from: tables in memory, or batches made by other threads while this one trains.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use ndarray::{Array2, ArrayView2};
use rand::seq::SliceRandom;

use super::{TrainConfig, TrainError};
use crate::flow::{FlowConfig, FlowError, Scaling, check_table};
use crate::rng::Streams;

/// Examples: `theta` `[n, n_param]` and `x` `[n, n_feature]`.
#[derive(Debug, Clone)]
pub struct Batch {
    pub theta: Array2<f32>,
    pub x: Array2<f32>,
}

/// Makes fresh examples. Batch `index` must depend on `index` and `n` alone, so that training can
/// stop and resume anywhere, on any number of threads.
pub trait BatchSource: Sync {
    /// The error's text ends training.
    fn batch(&self, index: u64, n: usize) -> Result<Batch, String>;
}

/// What to train on.
pub enum Data<'a> {
    /// Part is held out ([`TrainConfig::validation_fraction`]), the rest visited in random order.
    Memory { theta: ArrayView2<'a, f32>, x: ArrayView2<'a, f32> },
    /// Every example is used once. `validation` is held out and also fixes the scaling.
    Stream { source: &'a dyn BatchSource, validation: &'a Batch, threads: usize },
}

/// Data, standardised and split.
pub(super) struct Prepared<'a> {
    pub training: Training<'a>,
    pub validation_theta: Vec<f32>,
    pub validation_x: Vec<f32>,
    pub steps_per_epoch: u64,
    pub d: usize,
    pub c: usize,
}

pub(super) enum Training<'a> {
    Memory { theta: Vec<f32>, x: Vec<f32>, n: usize },
    Stream { source: &'a dyn BatchSource, threads: usize },
}

/// The scalings that training would use, and the constant feature columns.
pub(super) fn scalings(
    config: &TrainConfig,
    flow: &FlowConfig,
    data: &Data,
) -> Result<(Scaling, Scaling, Vec<usize>), TrainError> {
    let (theta, x) = match data {
        Data::Memory { theta, x } => (*theta, *x),
        Data::Stream { validation, .. } => (validation.theta.view(), validation.x.view()),
    };
    check_table("theta", theta, theta.nrows(), flow.n_param)?;
    check_table("x", x, theta.nrows(), flow.n_feature)?;
    if theta.nrows() < 2 {
        return Err(TrainError::TooFew { found: theta.nrows(), needed: 2 });
    }
    let (theta_scaling, constant) = Scaling::of(theta);
    if let Some(&column) = constant.first() {
        return Err(FlowError::ConstantCoordinate { column, value: theta[[0, column]] }.into());
    }
    let theta_scaling =
        if config.standardize_theta { theta_scaling } else { Scaling::identity(flow.n_param) };
    let (x_scaling, constant) = Scaling::of(x);
    Ok((theta_scaling, x_scaling, constant))
}

impl<'a> Prepared<'a> {
    pub fn new(
        config: &TrainConfig,
        flow: &FlowConfig,
        data: &Data<'a>,
        theta_scaling: &Scaling,
        x_scaling: &Scaling,
    ) -> Result<Self, TrainError> {
        let (d, c) = (flow.n_param, flow.n_feature);
        match *data {
            Data::Memory { theta, x } => {
                check_table("theta", theta, theta.nrows(), d)?;
                check_table("x", x, theta.nrows(), c)?;
                let n = theta.nrows();
                let held_out = ((n as f64 * config.validation_fraction).round() as usize).max(1);
                let kept = n.saturating_sub(held_out);
                if kept < config.batch {
                    return Err(TrainError::TooFew { found: n, needed: config.batch + held_out });
                }
                let mut order: Vec<usize> = (0..n).collect();
                order.shuffle(&mut Streams::new(config.seed, "held-out split").at(0));
                let pick = |table: ArrayView2<f32>, scaling: &Scaling, rows: &[usize]| {
                    scaling.standardize(table.select(ndarray::Axis(0), rows).view())
                };
                let (training, validation) = order.split_at(kept);
                Ok(Self {
                    training: Training::Memory {
                        theta: pick(theta, theta_scaling, training),
                        x: pick(x, x_scaling, training),
                        n: kept,
                    },
                    validation_theta: pick(theta, theta_scaling, validation),
                    validation_x: pick(x, x_scaling, validation),
                    // The last, incomplete batch of a pass is left out; the next pass is in another order.
                    steps_per_epoch: (kept / config.batch) as u64,
                    d,
                    c,
                })
            }
            Data::Stream { source, validation, threads } => {
                check_table("theta", validation.theta.view(), validation.theta.nrows(), d)?;
                check_table("x", validation.x.view(), validation.theta.nrows(), c)?;
                Ok(Self {
                    training: Training::Stream { source, threads: threads.max(1) },
                    validation_theta: theta_scaling.standardize(validation.theta.view()),
                    validation_x: x_scaling.standardize(validation.x.view()),
                    steps_per_epoch: config.steps_per_epoch,
                    d,
                    c,
                })
            }
        }
    }
}

/// A standardised batch, row-major.
#[derive(Default)]
pub(super) struct Rows {
    pub theta: Vec<f32>,
    pub x: Vec<f32>,
}

/// The batches from step `from` on, in order.
pub(super) enum Feed<'s> {
    Memory {
        theta: &'s [f32],
        x: &'s [f32],
        order: Vec<usize>,
        epoch: Option<u64>,
        config: &'s TrainConfig,
        widths: (usize, usize),
    },
    Stream {
        receivers: Vec<Receiver<Result<Rows, TrainError>>>,
        from: u64,
    },
}

impl<'s> Feed<'s> {
    /// Starts the producers of a stream on `scope`; they end when the feed is dropped.
    pub fn start<'e>(
        prepared: &'s Prepared<'_>,
        config: &'s TrainConfig,
        scalings: (&'s Scaling, &'s Scaling),
        from: u64,
        scope: &'s std::thread::Scope<'s, 'e>,
    ) -> Self {
        match &prepared.training {
            Training::Memory { theta, x, n } => Self::Memory {
                theta,
                x,
                order: (0..*n).collect(),
                epoch: None,
                config,
                widths: (prepared.d, prepared.c),
            },
            Training::Stream { source, threads } => {
                let receivers = (0..*threads as u64)
                    .map(|thread| {
                        let (sender, receiver) = sync_channel(4);
                        let (source, threads) = (*source, *threads as u64);
                        let widths = (prepared.d, prepared.c);
                        scope.spawn(move || {
                            let first = from + (thread + threads - from % threads) % threads;
                            produce(source, config.batch, widths, scalings, first, threads, &sender);
                        });
                        receiver
                    })
                    .collect();
                Self::Stream { receivers, from }
            }
        }
    }

    /// The batch of step `step`; steps must be asked for in order.
    pub fn batch(&mut self, step: u64, steps_per_epoch: u64, rows: &mut Rows) -> Result<(), TrainError> {
        match self {
            Self::Memory { theta, x, order, epoch, config, widths: (d, c) } => {
                let now = step / steps_per_epoch;
                if *epoch != Some(now) {
                    order.sort_unstable();
                    order.shuffle(&mut Streams::new(config.seed, "training order").at(now));
                    *epoch = Some(now);
                }
                let at = (step % steps_per_epoch) as usize * config.batch;
                rows.theta.clear();
                rows.x.clear();
                for &i in &order[at..at + config.batch] {
                    rows.theta.extend_from_slice(&theta[i * *d..(i + 1) * *d]);
                    rows.x.extend_from_slice(&x[i * *c..(i + 1) * *c]);
                }
                Ok(())
            }
            Self::Stream { receivers, from } => {
                debug_assert!(step >= *from);
                let index = (step % receivers.len() as u64) as usize;
                *rows = receivers[index].recv().map_err(|_| TrainError::Source {
                    batch: step,
                    reason: "its thread ended early".to_owned(),
                })??;
                Ok(())
            }
        }
    }
}

/// Makes batches `first, first + stride, ...` until nobody listens.
fn produce(
    source: &dyn BatchSource,
    n: usize,
    (d, c): (usize, usize),
    (theta_scaling, x_scaling): (&Scaling, &Scaling),
    first: u64,
    stride: u64,
    sender: &SyncSender<Result<Rows, TrainError>>,
) {
    for index in (first..).step_by(stride as usize) {
        let rows = source
            .batch(index, n)
            .map_err(|reason| TrainError::Source { batch: index, reason })
            .and_then(|batch| {
                check_table("theta", batch.theta.view(), n, d)?;
                check_table("x", batch.x.view(), n, c)?;
                Ok(Rows {
                    theta: theta_scaling.standardize(batch.theta.view()),
                    x: x_scaling.standardize(batch.x.view()),
                })
            });
        let failed = rows.is_err();
        if sender.send(rows).is_err() || failed {
            return;
        }
    }
}
