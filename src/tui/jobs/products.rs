//! Models, validations and runs: lists, and what is behind one of them.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};

use super::children::found_log;
use super::{Desk, worker};
use crate::codec::decode_arrays;
use crate::infer::{Npe, column_names};
use crate::store::{
    Artifact, CheckpointId, Holder, Metric, Run, RunId, RunState, Store, TrainingId, TrainingRow,
    ValidationId, ValidationRow,
};
use crate::tui::message::Msg;
use crate::validate::evidence::Named;
use crate::validate::{Evidence, Scalar};

/// A validation's evidence is below this many values.
const LIMIT: usize = 1 << 26;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProductsAsk {
    Lists,
    Training(TrainingId),
    Checkpoint(CheckpointId),
    Validation(ValidationId),
    Run(RunId),
}

#[derive(Debug, Clone, PartialEq)]
pub struct CheckpointRow {
    pub id: CheckpointId,
    pub name: String,
    pub kind: &'static str,
    pub architecture: String,
    pub n_weights: u64,
    pub valid_ln_prob: Option<f64>,
    pub training: Option<TrainingId>,
}

#[derive(Debug, Clone, Default)]
pub struct Lists {
    pub checkpoints: Vec<CheckpointRow>,
    pub trainings: Vec<TrainingRow>,
    pub validations: Vec<ValidationRow>,
    pub runs: Vec<Run>,
    /// The process that writes to the catalog, and how far it is.
    pub writer: Option<Holder>,
    /// Name and number done of work that is not complete, where the writer does not say.
    pub under_way: Vec<(String, u64)>,
}

/// Log densities against what was spent; one series per member of an ensemble.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HistoryCurves {
    pub title: String,
    pub series: Vec<Series>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Series {
    pub epoch: Vec<f64>,
    pub minutes: Vec<f64>,
    pub train: Vec<f64>,
    pub valid: Vec<f64>,
}

/// What a validation found, ready to be drawn.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Findings {
    pub id: ValidationId,
    pub title: String,
    pub n_mocks: usize,
    /// Of each quantity: name and rank of the truth among the draws, sorted.
    pub ranks: Vec<(String, Vec<f64>)>,
    /// Joint levels: highest density, TARP, local TARP; sorted.
    pub levels: Vec<(&'static str, Vec<f64>)>,
    pub metrics: Vec<Metric>,
}

impl Findings {
    /// The numbers of all mocks, or those of bins.
    pub fn numbers(&self, of_subsets: bool) -> impl Iterator<Item = &Metric> {
        self.metrics.iter().filter(move |metric| metric.subset.is_empty() != of_subsets)
    }
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct RunFiles {
    pub id: RunId,
    pub inputs: Vec<Artifact>,
    pub outputs: Vec<Artifact>,
    /// Where its log is and what it says, if it was started from a terminal interface on this machine.
    pub log: Option<(PathBuf, Vec<String>)>,
}

#[derive(Debug, Clone)]
pub enum ProductsAnswer {
    Lists(Arc<Lists>),
    Curves { of: ProductsAsk, curves: Arc<HistoryCurves> },
    Findings(Arc<Findings>),
    Files(Arc<RunFiles>),
    Problem(String),
}

impl PartialEq for Lists {
    fn eq(&self, _: &Self) -> bool {
        false
    }
}

pub fn start(catalog: PathBuf, answers: Sender<Msg>) -> Sender<ProductsAsk> {
    let mut desk = Desk::new(catalog, answers.clone());
    worker("products", answers, move |more: &Receiver<ProductsAsk>, first| {
        let mut waiting = vec![first];
        waiting.extend(more.try_iter());
        for i in 0..waiting.len() {
            // of the same question only the newest counts
            let kind = std::mem::discriminant(&waiting[i]);
            if waiting[i + 1..].iter().any(|later| std::mem::discriminant(later) == kind) {
                continue;
            }
            let answer =
                desk.store().map_err(anyhow::Error::from).and_then(|store| answer(store, waiting[i]));
            desk.answer(Msg::Products(
                answer.unwrap_or_else(|error| ProductsAnswer::Problem(format!("{error:#}"))),
            ));
        }
    })
}

fn answer(store: &Store, ask: ProductsAsk) -> anyhow::Result<ProductsAnswer> {
    Ok(match ask {
        ProductsAsk::Lists => {
            let checkpoints = store
                .checkpoints()?
                .into_iter()
                .map(|c| CheckpointRow {
                    name: c.name.clone().unwrap_or_else(|| c.hash.short()),
                    id: c.id,
                    kind: c.kind.as_str(),
                    architecture: c.architecture,
                    n_weights: c.n_weights,
                    valid_ln_prob: c.valid_ln_prob,
                    training: c.training,
                })
                .collect();
            let runs = store.runs()?;
            let busy = runs.iter().any(|run| run.state == RunState::Running);
            let writer = if busy { Store::writer(store.path()) } else { None };
            let silent = busy && writer.as_ref().is_none_or(|writer| writer.standing.is_none());
            ProductsAnswer::Lists(Arc::new(Lists {
                checkpoints,
                trainings: store.trainings()?,
                validations: store.validations()?,
                under_way: if silent { store.under_way()? } else { vec![] },
                writer,
                runs,
            }))
        }
        ProductsAsk::Training(id) => {
            let epochs = store.training_history(id)?;
            let column = |f: &dyn Fn(&crate::store::Epoch) -> f64| epochs.iter().map(f).collect::<Vec<f64>>();
            let series = Series {
                epoch: column(&|e| e.epoch as f64),
                minutes: column(&|e| e.elapsed_s / 60.0),
                train: column(&|e| e.train_ln_prob.unwrap_or(f64::NAN)),
                valid: column(&|e| e.valid_ln_prob.unwrap_or(f64::NAN)),
            };
            let curves = HistoryCurves { title: format!("training {id}"), series: vec![series] };
            ProductsAnswer::Curves { of: ask, curves: Arc::new(curves) }
        }
        ProductsAsk::Checkpoint(id) => {
            let npe = Npe::from_bytes(&store.checkpoint_data(id)?)?;
            let how = &npe.card().training;
            let all: Vec<&serde_json::Value> = match how["members"].as_array() {
                Some(members) => members.iter().collect(),
                None => vec![how],
            };
            let series = all.iter().map(|how| series_of(&how["history"])).collect();
            let curves = HistoryCurves { title: format!("checkpoint {id}"), series };
            ProductsAnswer::Curves { of: ask, curves: Arc::new(curves) }
        }
        ProductsAsk::Validation(id) => ProductsAnswer::Findings(Arc::new(findings(store, id)?)),
        ProductsAsk::Run(id) => {
            let run = store.run(id)?;
            ProductsAnswer::Files(Arc::new(RunFiles {
                id,
                inputs: store.run_inputs(id)?,
                outputs: store.run_outputs(id)?,
                log: found_log(run.process_id, &run.arguments),
            }))
        }
    })
}

fn series_of(history: &serde_json::Value) -> Series {
    let records = history.as_array().map_or(&[][..], Vec::as_slice);
    let column = |key: &str, scale: f64| -> Vec<f64> {
        records.iter().map(|record| record[key].as_f64().map_or(f64::NAN, |value| value / scale)).collect()
    };
    let mut epoch = column("epoch", 1.0);
    if epoch.iter().all(|value| value.is_nan()) {
        epoch = (1..=records.len()).map(|i| i as f64).collect();
    }
    Series {
        epoch,
        minutes: column("seconds", 60.0),
        train: column("train_ln_prob", 1.0),
        valid: column("validation_ln_prob", 1.0),
    }
}

fn findings(store: &Store, id: ValidationId) -> anyhow::Result<Findings> {
    let Some(validation) = store.validation(id)? else {
        anyhow::bail!("there is no validation {id} any more")
    };
    let mut found = Findings {
        id,
        title: format!("validation {id}"),
        metrics: validation.metrics,
        ..Findings::default()
    };
    let Some(bytes) = validation.arrays else { return Ok(found) };
    let arrays: Vec<Named> = decode_arrays(&bytes, LIMIT)?
        .into_iter()
        .map(|array| (array.name.clone(), array.shape.clone(), array.to_f32()))
        .collect();
    // a likelihood's evidence is about other quantities than a posterior's: those named by its metrics
    let posterior: Vec<String> = column_names().into_iter().map(str::to_owned).collect();
    let mut named: Vec<String> =
        found.metrics.iter().map(|m| m.parameter.clone()).filter(|name| !name.is_empty()).collect();
    named.sort();
    named.dedup();
    let evidence =
        Evidence::from_arrays(&posterior, &arrays).or_else(|_| Evidence::from_arrays(&named, &arrays))?;
    let sorted = |mut values: Vec<f64>| {
        values.iter_mut().filter(|value| !value.is_finite()).for_each(|value| *value = 0.0);
        values.sort_by(f64::total_cmp);
        values
    };
    found.n_mocks = evidence.len();
    found.ranks = (0..evidence.names.len())
        .map(|k| (evidence.names[k].clone(), sorted(evidence.quantity(k, |q| q.rank))))
        .collect();
    found.levels = vec![
        ("highest density", sorted(evidence.scalar(Scalar::DensityLevel))),
        ("TARP", sorted(evidence.scalar(Scalar::Tarp))),
        ("local TARP", sorted(evidence.scalar(Scalar::TarpLocal))),
    ];
    Ok(found)
}
