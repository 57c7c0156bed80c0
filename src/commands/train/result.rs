//! What training ends in: checkpoints in the catalog, of a flow or of an ensemble and its members.

use anyhow::Context as _;
use serde_json::{Value, json};

use super::TrainArgs;
use crate::commands::setup;
use crate::commands::simulate::Sources;
use crate::features::FeatureSpec;
use crate::flow::ensemble::Ensemble;
use crate::flow::search::SearchResult;
use crate::flow::train::{Batch, Trainer};
use crate::flow::{ConditionalFlow, FlowInfo};
use crate::hash::ContentHash;
use crate::infer::{GridCard, ModelCard, Npe, Support};
use crate::progress::{Event, Progress};
use crate::store::{CheckpointId, RunId, Store, TrainingId, TrainingSet};

/// Trainings that ended, and all that their checkpoints say of themselves.
pub struct Trained<'a> {
    pub trainers: Vec<Trainer>,
    pub ids: Vec<TrainingId>,
    pub search: Option<SearchResult>,
    /// Examples that no member saw; none where each holds out its own.
    pub held_out: Option<&'a Batch>,
    pub set: &'a TrainingSet,
    pub sources: &'a Sources,
    pub features: &'a FeatureSpec,
    pub support: Support,
}

impl Trained<'_> {
    pub fn card(&self, training: Value) -> ModelCard {
        let Sources { model, prior, noise, filters, .. } = self.sources;
        ModelCard {
            version: ModelCard::VERSION,
            prior: prior.spec().clone(),
            features: self.features.clone(),
            noise: noise.clone(),
            support: self.support.clone(),
            sed_model: model.hash(),
            ssp_grid: Some(GridCard::of(model.grid())),
            birth_cloud_age_gyr: model.birth_cloud_age_gyr(),
            filters: filters.iter().map(|filter| filter.hash()).collect(),
            training,
        }
    }

    /// How a flow was trained.
    pub fn of_one(&self, trainer: &Trainer) -> Value {
        let history = trainer.history();
        let mut training = json!({
            "program_version": crate::store::PROGRAM_VERSION,
            "training_set": self.set.hash,
            "streamed": !self.set.stored,
            "config": trainer.config(),
            "steps": trainer.steps(),
            "examples": history.last().map(|last| last.examples),
            "seconds": history.last().map(|last| last.seconds),
            "validation_ln_prob": trainer.best_ln_prob(),
            "history": history,
        });
        // Recorded where there is something to record.
        if !trainer.recoveries().is_empty() {
            training["recoveries"] = json!(trainer.recoveries());
        }
        if !trainer.notes().is_empty() {
            training["notes"] = json!(trainer.notes());
        }
        if let Some(search) = &self.search {
            training["search"] = json!(search);
        }
        training
    }

    /// How an ensemble was trained, and its held-out density: of the mixture where all members held out the
    /// same examples, else the mean of the members', which the mixture's is never below.
    fn of_all(&self, mixture: &Ensemble) -> anyhow::Result<Value> {
        let own: Vec<f64> = self.trainers.iter().filter_map(Trainer::best_ln_prob).collect();
        let score = match self.held_out {
            Some(Batch { theta, x }) => {
                let ln_q = mixture.ln_prob(theta.view(), x.view())?;
                ln_q.iter().map(|value| f64::from(*value)).sum::<f64>() / ln_q.len() as f64
            }
            None => own.iter().sum::<f64>() / own.len() as f64,
        };
        let sum = |of: fn(&Trainer) -> Option<f64>| self.trainers.iter().filter_map(of).sum::<f64>();
        Ok(json!({
            "program_version": crate::store::PROGRAM_VERSION,
            "training_set": self.set.hash,
            "streamed": !self.set.stored,
            "steps": self.trainers.iter().map(Trainer::steps).sum::<u64>(),
            "examples": sum(|trainer| trainer.history().last().map(|last| last.examples as f64)) as u64,
            "seconds": sum(|trainer| trainer.history().last().map(|last| last.seconds)),
            "validation_ln_prob": score,
            "members": self.trainers.iter().map(|trainer| self.of_one(trainer)).collect::<Vec<_>>(),
        }))
    }
}

/// Keeps the checkpoints, writes the file asked for, and returns the name to use.
pub fn register(
    store: &mut Store,
    run: RunId,
    args: &TrainArgs,
    trained: Trained,
    progress: &dyn Progress,
) -> anyhow::Result<String> {
    let flows: Result<Vec<ConditionalFlow>, _> =
        trained.trainers.iter().map(|trainer| trainer.flow(FlowInfo::default())).collect();
    let flows = flows?;
    let (npe, training) = if flows.len() == 1 {
        let card = trained.card(trained.of_one(&trained.trainers[0]));
        let only = flows.into_iter().next().context("a training gives one flow")?;
        (Npe::new(only, card)?, Some(trained.ids[0]))
    } else {
        let mixture = Ensemble::new(flows, FlowInfo::default())?;
        let card = trained.card(trained.of_all(&mixture)?);
        (Npe::new(mixture, card)?, None)
    };
    let bytes = npe.to_bytes()?;
    let name = free_name(store, &args.name, &bytes)?;
    let mut members = Vec::new();
    if training.is_none() {
        for (m, (trainer, id)) in trained.trainers.iter().zip(&trained.ids).enumerate() {
            let card = trained.card(trained.of_one(trainer));
            let member = Npe::new(trainer.flow(FlowInfo::default())?, card)?;
            let bytes = member.to_bytes()?;
            let name = free_name(store, &format!("{name}.{}", m + 1), &bytes)?;
            let id = keep(store, run, (&member, &bytes), &name, Some(*id), (args, &trained))?;
            members.push((id, npe.flow().weights()[m]));
        }
    }
    keep(store, run, (&npe, &bytes), &name, training, (args, &trained))?;
    if !members.is_empty() {
        store.put_ensemble(run, &name, &members)?;
    }
    if let Some(path) = &args.out {
        std::fs::write(path, &bytes).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let score = npe.card().training["validation_ln_prob"].as_f64().unwrap_or(f64::NAN);
    let steps = npe.card().training["steps"].as_u64().unwrap_or(0);
    let n_weights = npe.flow().n_weights();
    progress.report(Event::Note(if members.is_empty() {
        format!("checkpoint {name}: {n_weights} weights, {steps} steps, held-out ln q {score:.3}")
    } else {
        let own = trained.trainers.iter().filter_map(Trainer::best_ln_prob);
        let own: Vec<String> = own.map(|ln_q| format!("{ln_q:.3}")).collect();
        format!(
            "checkpoint {name}: {} members, {n_weights} weights, {steps} steps, held-out ln q {score:.3} (the members' \
             own: {})",
            members.len(),
            own.join(", ")
        )
    }));
    Ok(name)
}

/// Keeps a checkpoint's bytes in the catalog with all they depend on.
fn keep(
    store: &mut Store,
    run: RunId,
    (npe, bytes): (&Npe, &[u8]),
    name: &str,
    training: Option<TrainingId>,
    (args, trained): (&TrainArgs, &Trained),
) -> anyhow::Result<CheckpointId> {
    let sources = trained.sources;
    let sed_model = setup::register_model(store, run, &sources.model)?;
    let prior = setup::register_prior(store, run, &args.prior, &sources.prior)?;
    let noise_model = store.put_noise_model(run, &sources.noise)?;
    let with = setup::Registered { name: Some(name), sed_model, prior, noise_model, training };
    setup::register_checkpoint(store, run, npe, bytes, with, &sources.filters)
}

/// The name these bytes have in the catalog, else the one asked for, with a number behind it where
/// another checkpoint has it.
pub fn free_name(store: &Store, name: &str, bytes: &[u8]) -> anyhow::Result<String> {
    let all = store.checkpoints()?;
    let hash = ContentHash::of_bytes(bytes);
    if let Some(known) = all.iter().find(|checkpoint| checkpoint.hash == hash) {
        return Ok(known.name.clone().unwrap_or_else(|| hash.short()));
    }
    let taken = |name: &str| all.iter().any(|checkpoint| checkpoint.name.as_deref() == Some(name));
    let candidates = std::iter::once(name.to_owned()).chain((2..).map(|i| format!("{name}-{i}")));
    Ok(candidates.into_iter().find(|name| !taken(name)).unwrap_or_else(|| name.to_owned()))
}
