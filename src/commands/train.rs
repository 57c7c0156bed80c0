//! `sedflow train`: a flow on a stored training set or on simulations made as it goes.

use std::io::Write as _;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use ndarray::Array2;
use serde_json::{Value, json};

use super::listen::Terminal;
use super::simulate::{SimulateArgs, Sources, read_chunk};
use super::{Context, Outcome, resolve, setup};
use crate::features::FeatureSpec;
use crate::flow::train::{Batch, BatchSource, Data, EpochRecord, Limit, Stop, TrainConfig, Trainer};
use crate::flow::{Conditioner, FlowConfig};
use crate::infer::{GridCard, ModelCard, Npe, Support};
use crate::progress::{Event, Progress};
use crate::sed::PhotTable;
use crate::simulate::{Recipe, Rows, Simulator, table_options};
use crate::store::{Epoch, RunId, RunSpec, RunState, Store, TrainingId, TrainingSet, TrainingSpec};

/// Simulations held out of a stream to choose the best weights and fix the scaling.
const HELD_OUT: usize = 20_000;
/// Rows of the stream from here on are never trained on.
const HELD_OUT_FROM: u64 = 1 << 40;
/// A killed training loses at most this much.
const SAVE_EVERY: Duration = Duration::from_secs(60);

#[derive(Debug, clap::Args)]
pub struct TrainArgs {
    /// Name of the checkpoint
    #[arg(long, default_value = "model")]
    name: String,
    /// Stored training set; without one, galaxies are simulated while training and none is used twice
    #[arg(long, value_name = "SET")]
    set: Option<String>,
    /// Time to train, such as 90s, 30m or 2h; the learning rate falls to zero at its end
    #[arg(long, default_value = "30m")]
    budget: Budget,
    /// End after this many steps instead, which makes the result reproducible
    #[arg(long, value_name = "N", conflicts_with = "budget")]
    steps: Option<u64>,
    /// Go on with a training that had ended, to a longer budget
    #[arg(long)]
    resume: bool,
    /// Architecture: nsf (autoregressive affine and spline layers) or maf (the paper's)
    #[arg(long, default_value = "nsf")]
    flow: String,
    /// Autoregressive layers
    #[arg(long)]
    layers: Option<usize>,
    /// Units of each hidden layer of the per-draw networks
    #[arg(long)]
    hidden: Option<usize>,
    /// Width of the network that runs once per galaxy
    #[arg(long)]
    width: Option<usize>,
    /// Residual blocks of it
    #[arg(long)]
    blocks: Option<usize>,
    /// Examples per step
    #[arg(long)]
    batch: Option<usize>,
    /// Learning rate at the start
    #[arg(long)]
    lr: Option<f64>,
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Prior of the simulations
    #[arg(long, default_value = setup::DEFAULT)]
    prior: String,
    /// Noise model of the simulations
    #[arg(long, default_value = "nsa")]
    noise: String,
    /// Filters: shipped ones, curves of the catalog or curve files [default: those of the noise model]
    #[arg(long, value_delimiter = ',', value_name = "FILTER,...")]
    bands: Vec<String>,
    /// SSP grid: `shipped`, a grid of the catalog, or a .ssp file, which the catalog then keeps
    #[arg(long, value_name = "NAME|FILE", conflicts_with = "set")]
    grid: Option<String>,
    /// Probability of each band to be missing; above 0 the model accepts galaxies without all bands
    #[arg(long, default_value_t = 0.0, value_name = "P")]
    missing: f64,
    /// Populations younger than this sit in birth clouds, Gyr
    #[arg(long, value_name = "GYR")]
    birth_cloud_age: Option<f64>,
    /// Also write the checkpoint to a file
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// A length of time as people type it.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Budget(Duration);

impl FromStr for Budget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected =
            || format!("`{text}` is not a length of time: expected a number and s, m or h, such as 30m");
        let unit = text.chars().last().ok_or_else(expected)?;
        let seconds = match unit {
            's' => 1.0,
            'm' => 60.0,
            'h' => 3600.0,
            _ => return Err(expected()),
        };
        let number: f64 = text[..text.len() - 1].parse().map_err(|_| expected())?;
        let total = number * seconds;
        if !(1.0..=3e7).contains(&total) {
            return Err(expected());
        }
        Ok(Self(Duration::from_secs_f64(total)))
    }
}

/// Simulations as training data: batch `i` is rows `i n .. (i + 1) n`.
struct Stream<'a> {
    simulator: Simulator<'a, PhotTable>,
    features: &'a FeatureSpec,
}

impl BatchSource for Stream<'_> {
    fn batch(&self, index: u64, n: usize) -> Result<Batch, String> {
        let rows = self.simulator.rows_here(index * n as u64, n).map_err(|error| error.to_string())?;
        let x = rows.features(self.features).map_err(|error| error.to_string())?;
        Ok(Batch { theta: rows.latent_table(), x })
    }
}

/// Passes events on, and asks the work to stop when a slice of time is over or the user wants it.
struct Slice<'a> {
    inner: &'a dyn Progress,
    until: Instant,
    first: &'a AtomicBool,
}

impl Progress for Slice<'_> {
    fn report(&self, event: Event) {
        match event {
            Event::Started { .. } if !self.first.swap(false, Ordering::Relaxed) => {}
            Event::Finished => {}
            Event::Note(_) if !self.first.load(Ordering::Relaxed) && Instant::now() > self.until => {}
            event => self.inner.report(event),
        }
    }

    fn cancelled(&self) -> bool {
        self.inner.cancelled() || Instant::now() >= self.until
    }
}

pub fn run(args: TrainArgs, context: &Context) -> anyhow::Result<Outcome> {
    let terminal = Terminal::new(context.quiet);
    let mut store = Store::open_or_create(&context.catalog)?;
    let config = json!({
        "name": args.name, "set": args.set, "budget_s": args.budget.0.as_secs_f64(), "steps": args.steps,
        "flow": args.flow, "layers": args.layers, "hidden": args.hidden, "width": args.width,
        "blocks": args.blocks, "batch": args.batch, "lr": args.lr, "seed": args.seed, "prior": args.prior,
        "noise": args.noise, "bands": args.bands, "grid": args.grid, "missing": args.missing,
        "birth_cloud_age_gyr": args.birth_cloud_age,
    });
    let spec = RunSpec { command: "train", config: &config, seed: Some(args.seed), resumes: None };
    let state = store.recorded(&spec, |store, run| -> anyhow::Result<_> {
        let state = train(store, run, &args, &terminal)?;
        Ok((state, state))
    })?;
    Ok(if state == RunState::Interrupted { Outcome::Interrupted } else { Outcome::Done })
}

fn simulate_args(args: &TrainArgs) -> SimulateArgs {
    SimulateArgs {
        n: HELD_OUT_FROM,
        seed: args.seed,
        name: None,
        prior: args.prior.clone(),
        noise: args.noise.clone(),
        bands: args.bands.clone(),
        grid: args.grid.clone(),
        missing: args.missing,
        birth_cloud_age: args.birth_cloud_age,
        stream: true,
        from: None,
        export: None,
    }
}

/// The sources of a stored set, which decides them all.
fn stored_sources(store: &Store, set: &TrainingSet, args: &TrainArgs) -> anyhow::Result<Sources> {
    let (_, prior) = store.prior(set.prior)?;
    let noise = set.noise_model.context("the training set is noiseless: train needs one with noise")?;
    let (_, noise) = store.noise_model(noise)?;
    let (named, grid, definition) = store.sed_model(set.sed_model)?;
    let grid = resolve::grid_of_id(store, grid)?;
    let model = setup::sed_model(&grid, definition["birth_cloud_age_gyr"].as_f64())?;
    if model.hash() != named.hash {
        bail!(
            "the training set is of SED model {}, this program has {}",
            named.hash.short(),
            model.hash().short()
        );
    }
    let filters = resolve::filters_of_set(store, set.band_set, &noise.band_names())?;
    let table = PhotTable::new(&model, &filters, prior.zred_support(), &table_options(&prior))?;
    let recipe =
        Recipe { missing: set.recipe["missing"].as_f64().unwrap_or(args.missing), ..Recipe::default() };
    Ok(Sources { grid, model, filters, table, prior, noise, recipe })
}

fn train(
    store: &mut Store,
    run: RunId,
    args: &TrainArgs,
    progress: &dyn Progress,
) -> anyhow::Result<RunState> {
    let (set, sources) = match &args.set {
        Some(name) => {
            let set = store.find_training_set(name)?;
            if set.stored && !set.complete {
                bail!("training set {name} is not complete: run its `simulate` command again first");
            }
            let sources = stored_sources(store, &set, args)?;
            (set, sources)
        }
        None => {
            let options = simulate_args(args);
            let sources = Sources::load(Some(store), &options)?;
            let set = sources.begin_set(store, run, &options)?;
            (set, sources)
        }
    };
    let features = FeatureSpec::for_noise(&sources.noise, sources.recipe.missing > 0.0)?;
    let flow = flow_config(args, sources.prior.n_free(), features.len())?;
    let mut train = TrainConfig { seed: args.seed, ..TrainConfig::default() };
    train.batch = args.batch.unwrap_or(train.batch);
    train.optimizer.lr = args.lr.unwrap_or(train.optimizer.lr);
    train.limit = match args.steps {
        Some(steps) => Limit { steps: Some(steps), ..Limit::default() },
        None => Limit { seconds: Some(args.budget.0.as_secs_f64()), ..Limit::default() },
    };
    // The limit may grow, so it is not part of what the training is.
    let mut identity = serde_json::to_value(&train)?;
    identity["limit"] = Value::Null;
    let identity = json!({ "flow": flow, "train": identity, "features": features });
    let training = store.begin_training(
        run,
        &TrainingSpec { name: Some(&args.name), training_set: set.id, search: None, config: &identity },
    )?;

    let stored = if set.stored { Some(load_set(store, &set, &features, progress)?) } else { None };
    let stream = Stream { simulator: sources.simulator(args.seed)?, features: &features };
    let held_out = match &stored {
        Some((_, x, _)) => Batch { theta: Array2::zeros((0, flow.n_param)), x: x.clone() },
        None => {
            let rows = stream.simulator.rows(HELD_OUT_FROM, HELD_OUT)?;
            Batch { theta: rows.latent_table(), x: rows.features(&features)? }
        }
    };
    let data = match &stored {
        Some((theta, x, _)) => Data::Memory { theta: theta.view(), x: x.view() },
        None => Data::Stream { source: &stream, validation: &held_out, threads: 1 },
    };
    let support_x = stored.as_ref().map_or(held_out.x.view(), |(_, x, _)| x.view());
    let support = Support::of(&features, support_x, sources.prior.zred_support())?;

    let mut trainer = match store.training_state(training)? {
        Some((_, state)) => {
            let mut trainer = Trainer::from_bytes(&state)?;
            let before = trainer.config().limit;
            if !args.resume && before != train.limit {
                bail!(
                    "a training `{}` with these settings has {} steps already: --resume goes on to the new \
                     budget, another --seed trains afresh",
                    args.name,
                    trainer.steps()
                );
            }
            trainer.set_limit(train.limit);
            progress.report(Event::Note(format!("going on after {} steps", trainer.steps())));
            trainer
        }
        None => Trainer::new(flow, train.clone(), &data)?,
    };
    let stop = run_saving(store, training, &mut trainer, &data, progress)?;
    if stop == Stop::Cancelled {
        progress.report(Event::Note("stopped; the same command goes on from here".into()));
        return Ok(RunState::Interrupted);
    }
    let history = trainer.history();
    let card = ModelCard {
        version: ModelCard::VERSION,
        prior: sources.prior.spec().clone(),
        features: features.clone(),
        noise: sources.noise.clone(),
        support,
        sed_model: sources.model.hash(),
        ssp_grid: Some(GridCard::of(sources.model.grid())),
        birth_cloud_age_gyr: sources.model.birth_cloud_age_gyr(),
        filters: sources.filters.iter().map(|filter| filter.hash()).collect(),
        training: json!({
            "program_version": crate::store::PROGRAM_VERSION,
            "training_set": set.hash,
            "streamed": !set.stored,
            "config": trainer.config(),
            "steps": trainer.steps(),
            "examples": history.last().map(|last| last.examples),
            "seconds": history.last().map(|last| last.seconds),
            "validation_ln_prob": trainer.best_ln_prob(),
            "history": history,
        }),
    };
    let npe = Npe::new(trainer.flow(Default::default())?, card)?;
    let bytes = npe.to_bytes()?;
    let sed_model = setup::register_model(store, run, &sources.model)?;
    let prior = setup::register_prior(store, run, &args.prior, &sources.prior)?;
    let noise_model = store.put_noise_model(run, &sources.noise)?;
    let name = free_name(store, &args.name, &bytes)?;
    let with =
        setup::Registered { name: Some(&name), sed_model, prior, noise_model, training: Some(training) };
    setup::register_checkpoint(store, run, &npe, &bytes, with, &sources.filters)?;
    if let Some(path) = &args.out {
        std::fs::write(path, &bytes).with_context(|| format!("cannot write {}", path.display()))?;
    }
    progress.report(Event::Note(format!(
        "checkpoint {name}: {} weights, {} steps, held-out ln q {:.3}",
        npe.flow().n_weights(),
        trainer.steps(),
        trainer.best_ln_prob().unwrap_or(f64::NAN)
    )));
    let mut out = std::io::stdout().lock();
    writeln!(out, "{name}")?;
    Ok(RunState::Done)
}

/// The name that the same checkpoint has already; else the name asked for, with a number behind it where an
/// earlier checkpoint has it.
fn free_name(store: &Store, name: &str, bytes: &[u8]) -> anyhow::Result<String> {
    let hash = crate::hash::ContentHash::of_bytes(bytes);
    let known = store.checkpoints()?;
    if let Some(name) = known.iter().find(|c| c.hash == hash).and_then(|c| c.name.clone()) {
        return Ok(name);
    }
    let taken: Vec<String> = known.into_iter().filter_map(|c| c.name).collect();
    let candidates = std::iter::once(name.to_owned()).chain((2..).map(|i| format!("{name}-{i}")));
    Ok(candidates.into_iter().find(|name| !taken.contains(name)).unwrap_or_else(|| name.to_owned()))
}

fn flow_config(args: &TrainArgs, n_param: usize, n_feature: usize) -> anyhow::Result<FlowConfig> {
    let mut flow = FlowConfig::named(&args.flow, n_param, n_feature)?;
    flow.layers = args.layers.unwrap_or(flow.layers);
    if let Some(hidden) = args.hidden {
        flow.hidden.iter_mut().for_each(|width| *width = hidden);
    }
    match &mut flow.conditioner {
        Conditioner::Residual { width, blocks } => {
            *width = args.width.unwrap_or(*width);
            *blocks = args.blocks.unwrap_or(*blocks);
        }
        Conditioner::Linear if args.width.is_some() || args.blocks.is_some() => {
            bail!(
                "--width and --blocks are of the residual conditioner, which `{}` does not have",
                args.flow
            );
        }
        Conditioner::Linear => {}
    }
    Ok(flow)
}

/// Coordinates, features and redshifts of a stored set.
type Loaded = (Array2<f32>, Array2<f32>, usize);

fn load_set(
    store: &Store,
    set: &TrainingSet,
    features: &FeatureSpec,
    progress: &dyn Progress,
) -> anyhow::Result<Loaded> {
    let mut rows = Rows::default();
    progress.report(Event::Started { what: "reading".into(), total: Some(set.n_rows), unit: "rows" });
    for &(chunk, first, n) in &set.chunks {
        rows.append(read_chunk(store, set, chunk)?);
        progress.report(Event::Advanced { done: first + n });
    }
    progress.report(Event::Finished);
    let x = rows.features(features)?;
    Ok((rows.latent_table(), x, rows.len()))
}

/// Trains in slices, and saves state and history after each.
fn run_saving(
    store: &mut Store,
    training: TrainingId,
    trainer: &mut Trainer,
    data: &Data,
    progress: &dyn Progress,
) -> anyhow::Result<Stop> {
    let first = AtomicBool::new(true);
    let mut saved = trainer.history().len();
    loop {
        let slice = Slice { inner: progress, until: Instant::now() + SAVE_EVERY, first: &first };
        let stop = trainer.run(data, &slice)?;
        let epochs: Vec<Epoch> = trainer.history()[saved..].iter().map(epoch).collect();
        saved = trainer.history().len();
        let last = trainer.history().last().map_or(0, |record| record.epoch);
        store.put_epochs(training, &epochs, Some((last, &trainer.to_bytes()?)))?;
        if stop != Stop::Cancelled || progress.cancelled() {
            progress.report(Event::Finished);
            return Ok(stop);
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_are_read_as_typed() {
        for (text, seconds) in [("90s", 90.0), ("30m", 1800.0), ("1.5h", 5400.0)] {
            assert_eq!(text.parse(), Ok(Budget(Duration::from_secs_f64(seconds))));
        }
        for text in ["", "m", "30", "-3m", "0s", "1d", "nanm", "99999999h"] {
            assert!(text.parse::<Budget>().is_err(), "{text}");
        }
    }
}
