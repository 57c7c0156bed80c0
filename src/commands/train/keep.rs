//! Trainings in the catalog while they run: states to resume from, histories, the trials of a search.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use crate::features::FeatureSpec;
use crate::flow::FlowConfig;
use crate::flow::search::{Keeper, Kept, RungRecord};
use crate::flow::train::{Data, EpochRecord, Named, Stop, TrainConfig, Trainer, run_many};
use crate::progress::{Event, Progress};
use crate::store::{Epoch, RunId, Store, TrainingId, TrainingSetId, TrainingSpec};

/// A killed training loses at most this much.
pub const SAVE_EVERY: Duration = Duration::from_secs(60);
/// How often its history is committed in between, at the end of an epoch.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// The catalog and what all trainings of one command share.
pub struct Catalog<'a> {
    pub store: &'a mut Store,
    pub run: RunId,
    pub set: TrainingSetId,
    /// The checkpoint's name, which search and ensemble are called by too.
    pub name: &'a str,
    pub features: &'a FeatureSpec,
    /// Epochs of each training that are in the catalog.
    saved: HashMap<TrainingId, usize>,
    trials: HashMap<usize, TrainingId>,
}

/// What a training is part of, and so which row of the catalog is its own.
#[derive(Clone, Copy)]
pub enum Part {
    Alone,
    /// Trial or member of that number.
    Of(u32),
}

impl<'a> Catalog<'a> {
    pub fn new(
        store: &'a mut Store,
        run: RunId,
        set: TrainingSetId,
        name: &'a str,
        features: &'a FeatureSpec,
    ) -> Self {
        Self { store, run, set, name, features, saved: HashMap::new(), trials: HashMap::new() }
    }

    fn begin_row(&mut self, part: Part, flow: &FlowConfig, train: &Value) -> anyhow::Result<TrainingId> {
        let config = json!({ "flow": flow, "train": train, "features": self.features });
        let search = match part {
            Part::Alone => None,
            Part::Of(number) => Some((self.name, number)),
        };
        let spec = TrainingSpec { name: Some(self.name), training_set: self.set, search, config: &config };
        Ok(self.store.begin_training(self.run, &spec)?)
    }

    fn loaded(&mut self, id: TrainingId, state: &[u8]) -> anyhow::Result<Trainer> {
        let trainer =
            Trainer::from_bytes(state).with_context(|| format!("the saved state of training {id}"))?;
        self.saved.insert(id, trainer.history().len());
        Ok(trainer)
    }

    /// A training from its saved state, or from its start.
    pub fn trainer(
        &mut self,
        part: Part,
        flow: &FlowConfig,
        train: &TrainConfig,
        data: &Data,
        (resume, progress): (bool, &dyn Progress),
    ) -> anyhow::Result<(TrainingId, Trainer)> {
        // The limit may grow, so it is not part of what the training is.
        let mut identity = serde_json::to_value(train)?;
        identity["limit"] = Value::Null;
        let id = self.begin_row(part, flow, &identity)?;
        let Some((_, state)) = self.store.training_state(id)? else {
            return Ok((id, Trainer::new(flow.clone(), train.clone(), data)?));
        };
        let mut trainer = self.loaded(id, &state)?;
        if !resume && trainer.config().limit != train.limit {
            bail!(
                "a training `{}` with these settings has {} steps already: --resume goes on to the new budget, \
                 another --seed trains afresh",
                self.name,
                trainer.steps()
            );
        }
        trainer.set_limit(train.limit);
        progress.report(Event::Note(format!("going on after {} steps", trainer.steps())));
        Ok((id, trainer))
    }

    /// Commits the history since the last time, and the state to resume from.
    fn save_row(&mut self, id: TrainingId, trainer: &Trainer, state: &[u8]) -> anyhow::Result<()> {
        let saved = self.saved.entry(id).or_insert(0);
        let epochs: Vec<Epoch> = trainer.history()[*saved..].iter().map(epoch).collect();
        *saved = trainer.history().len();
        let last = trainer.history().last().map_or(0, |record| record.epoch);
        Ok(self.store.put_epochs(id, &epochs, Some((last, state)))?)
    }

    /// Commits the history since the last time, for whoever looks on: what is resumed is the state saved last.
    fn tell_row(&mut self, id: TrainingId, trainer: &Trainer) -> anyhow::Result<()> {
        let saved = self.saved.entry(id).or_insert(0);
        let epochs: Vec<Epoch> = trainer.history()[*saved..].iter().map(epoch).collect();
        *saved = trainer.history().len();
        Ok(self.store.put_epochs(id, &epochs, None)?)
    }

    /// Trains one on all threads, in slices that end with an epoch where they can, and saves it now and then.
    pub fn run_one(
        &mut self,
        id: TrainingId,
        trainer: &mut Trainer,
        data: &Data,
        progress: &dyn Progress,
    ) -> anyhow::Result<Stop> {
        let first = AtomicBool::new(true);
        let mut save_at = Instant::now() + SAVE_EVERY;
        loop {
            let slice = Slice {
                inner: progress,
                until: save_at,
                tell_at: Instant::now() + TELL_EVERY,
                told: AtomicBool::new(false),
                first: &first,
            };
            let stop = trainer.run(data, &slice)?;
            let goes_on = stop == Stop::Cancelled && !progress.cancelled();
            if goes_on && Instant::now() < save_at {
                self.tell_row(id, trainer)?;
                continue;
            }
            self.save_row(id, trainer, &trainer.to_bytes()?)?;
            save_at = Instant::now() + SAVE_EVERY;
            if !goes_on {
                progress.report(Event::Finished);
                return Ok(stop);
            }
        }
    }

    /// Trains several, one per thread, saving all now and then; `false` where the listener stopped it.
    pub fn run_several(
        &mut self,
        ids: &[TrainingId],
        trainings: &mut [Named],
        data: &Data,
        progress: &dyn Progress,
    ) -> anyhow::Result<bool> {
        let mut failure = None;
        let names: Vec<String> = trainings.iter().map(|training| training.name.clone()).collect();
        let ended = run_many(trainings, data, progress, SAVE_EVERY, |at, trainer, ended| {
            self.save_row(ids[at], trainer, &trainer.to_bytes()?)?;
            if let Some(Err(error)) = ended {
                failure.get_or_insert(format!("{}: {error}", names[at]));
            }
            anyhow::Ok(())
        })?;
        match failure {
            Some(failure) => bail!(failure),
            None => Ok(ended),
        }
    }
}

impl Keeper for Catalog<'_> {
    type Error = anyhow::Error;

    fn begin(&mut self, trial: usize, flow: &FlowConfig, train: &TrainConfig) -> anyhow::Result<Kept> {
        let part = Part::Of(u32::try_from(trial)?);
        let id = self.begin_row(part, flow, &serde_json::to_value(train)?)?;
        self.trials.insert(trial, id);
        Ok(match self.store.training_state(id)? {
            None => Kept::Nothing,
            Some((_, state)) => match RungRecord::from_bytes(&state) {
                Ok(record) => Kept::Ended(record),
                Err(_) => Kept::Started(Box::new(self.loaded(id, &state)?)),
            },
        })
    }

    fn save(&mut self, trial: usize, trainer: &Trainer) -> anyhow::Result<()> {
        let id = self.trials[&trial];
        self.save_row(id, trainer, &trainer.to_bytes()?)
    }

    fn end(&mut self, trial: usize, record: &RungRecord, trainer: Option<&Trainer>) -> anyhow::Result<()> {
        let id = self.trials[&trial];
        // What is left of a trial is its record; the weights have done their service.
        let state = record.to_bytes()?;
        if let Some(trainer) = trainer {
            self.save_row(id, trainer, &state)?;
        }
        if let Some(failure) = &record.failure {
            let last = trainer.and_then(|trainer| trainer.history().last());
            let failed = Epoch {
                epoch: last.map_or(0, |last| last.epoch) + 1,
                n_examples: trainer.map_or(0, |t| t.steps() * t.config().batch as u64),
                train_ln_prob: None,
                valid_ln_prob: None,
                learning_rate: trainer.map_or(0.0, |t| t.config().optimizer.lr),
                elapsed_s: last.map_or(0.0, |last| last.seconds),
                examples_per_s: None,
                note: Some(failure.clone()),
            };
            self.store.put_epochs(id, std::slice::from_ref(&failed), Some((failed.epoch, &state)))?;
        }
        Ok(())
    }
}

fn epoch(record: &EpochRecord) -> Epoch {
    Epoch {
        epoch: record.epoch,
        n_examples: record.examples,
        train_ln_prob: Some(record.train_ln_prob),
        valid_ln_prob: Some(record.validation_ln_prob),
        learning_rate: record.lr,
        elapsed_s: record.seconds,
        examples_per_s: (record.seconds > 0.0).then(|| record.examples as f64 / record.seconds),
        note: None,
    }
}

/// Passes events on, and asks the work to stop when a slice of time is over or the user wants it.
struct Slice<'a> {
    inner: &'a dyn Progress,
    until: Instant,
    /// From here on the end of an epoch is the end of the slice.
    tell_at: Instant,
    told: AtomicBool,
    first: &'a AtomicBool,
}

impl Progress for Slice<'_> {
    fn report(&self, event: Event) {
        if matches!(event, Event::Training { validation_ln_prob: Some(_), .. }) {
            self.told.store(Instant::now() >= self.tell_at, Ordering::Relaxed);
        }
        match event {
            Event::Started { .. } if !self.first.swap(false, Ordering::Relaxed) => {}
            Event::Finished => {}
            Event::Note(_) if !self.first.load(Ordering::Relaxed) && Instant::now() > self.until => {}
            event => self.inner.report(event),
        }
    }

    fn cancelled(&self) -> bool {
        self.inner.cancelled() || self.told.load(Ordering::Relaxed) || Instant::now() >= self.until
    }
}
