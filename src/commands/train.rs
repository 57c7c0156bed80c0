//! `sedflow train`: a flow, or an ensemble, on a stored training set or on simulations made as it goes.

mod keep;
mod likelihood;
mod result;

use std::io::Write as _;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, bail};
use ndarray::Array2;
use serde_json::json;

use super::listen::Terminal;
use super::simulate::{SimulateArgs, Sources, read_chunk};
use super::{Context, Outcome, resolve, setup};
use crate::features::FeatureSpec;
use crate::flow::search::{SearchConfig, SearchResult, Space, search};
use crate::flow::train::{Batch, BatchSource, Data, Limit, Named, Stop, TrainConfig};
use crate::flow::{Conditioner, FlowConfig, Transform};
use crate::infer::Support;
use crate::progress::{Event, Progress};
use crate::sed::PhotTable;
use crate::simulate::{Recipe, Rows, Simulator, table_options};
use crate::store::{RunId, RunSpec, RunState, Store, TrainingSet};
use keep::{Catalog, Part, SAVE_EVERY};
use result::{Trained, register};

/// Simulations held out of a stream to choose the best weights and fix the scaling.
const HELD_OUT: usize = 20_000;
/// Rows of the stream from here on are never trained on.
const HELD_OUT_FROM: u64 = 1 << 40;

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
    #[arg(long, conflicts_with = "search")]
    resume: bool,
    /// Try K settings first: of each rung of short trainings the best third goes on to trainings
    /// three times as long, until the winner trains for the whole budget. Options given hold for all
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u16).range(2..=1000))]
    search: Option<u16>,
    /// Train an ensemble of M flows that differ in their seed, one per thread
    #[arg(long, value_name = "M", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    members: u16,
    /// Learn the density of photometry given parameters, errors and redshift instead: a likelihood, by
    /// which `validate --likelihood` judges posteriors
    #[arg(long, conflicts_with_all = ["search", "missing"])]
    likelihood: bool,
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
pub struct Stream<'a> {
    pub simulator: Simulator<'a, PhotTable>,
    pub features: &'a FeatureSpec,
}

impl BatchSource for Stream<'_> {
    fn batch(&self, index: u64, n: usize) -> Result<Batch, String> {
        let rows = self.simulator.rows_here(index * n as u64, n).map_err(|error| error.to_string())?;
        let x = rows.features(self.features).map_err(|error| error.to_string())?;
        Ok(Batch { theta: rows.latent_table(), x })
    }
}

pub fn run(args: TrainArgs, context: &Context) -> anyhow::Result<Outcome> {
    let terminal = Terminal::new(context.quiet, &context.catalog);
    let mut store = Store::open_or_create(&context.catalog)?;
    let config = json!({
        "name": args.name, "set": args.set, "budget_s": args.budget.0.as_secs_f64(), "steps": args.steps,
        "flow": args.flow, "layers": args.layers, "hidden": args.hidden, "width": args.width,
        "blocks": args.blocks, "batch": args.batch, "lr": args.lr, "seed": args.seed, "prior": args.prior,
        "search": args.search, "members": args.members, "likelihood": args.likelihood,
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
        overwrite: false,
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
    // What is typed wrong is said before anything is tabulated: the sizes are not known yet.
    flow_config(args, 2, 2)?;
    let train = train_config(args)?;
    let (set, sources) = begin(store, run, args)?;
    if args.likelihood {
        return likelihood::train(store, run, args, (&set, &sources), progress);
    }
    let features = FeatureSpec::for_noise(&sources.noise, sources.recipe.missing > 0.0)?;
    let flow = flow_config(args, sources.prior.n_free(), features.len())?;
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

    let mut catalog = Catalog::new(store, run, set.id, &args.name, &features);
    let found = match args.search {
        None => None,
        Some(trials) => {
            let config = SearchConfig {
                seed: args.seed,
                trials: usize::from(trials),
                space: space(args, &flow),
                flow: flow.clone(),
                train: train.clone(),
            };
            let Some(found) = search(&config, &data, &mut catalog, SAVE_EVERY, progress)? else {
                return Ok(stopped(progress));
            };
            progress.report(Event::Note(table(&found)));
            Some(found)
        }
    };
    let (flow, train) = match &found {
        None => (flow, train),
        Some(found) => {
            let best = &found.trials[found.best];
            (best.flow.clone(), best.train.clone())
        }
    };
    let mut ids = Vec::new();
    let mut trainings = Vec::new();
    for member in 0..args.members {
        let part = match (&found, args.members) {
            (None, 1) => Part::Alone,
            (Some(found), 1) => Part::Of(u32::try_from(found.best)?),
            _ => Part::Of(u32::from(member)),
        };
        let train = TrainConfig { seed: train.seed.wrapping_add(u64::from(member)), ..train.clone() };
        let (id, trainer) = catalog.trainer(part, &flow, &train, &data, (args.resume, progress))?;
        ids.push(id);
        trainings.push(Named { name: format!("member {}", member + 1), trainer });
    }
    let ended = match &mut trainings[..] {
        [only] => catalog.run_one(ids[0], &mut only.trainer, &data, progress)? != Stop::Cancelled,
        _ => catalog.run_several(&ids, &mut trainings, &data, progress)?,
    };
    if !ended {
        return Ok(stopped(progress));
    }
    let trained = Trained {
        trainers: trainings.into_iter().map(|training| training.trainer).collect(),
        ids,
        search: found,
        held_out: (!set.stored).then_some(&held_out),
        set: &set,
        sources: &sources,
        features: &features,
        support,
    };
    let name = register(store, run, args, trained, progress)?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{name}")?;
    Ok(RunState::Done)
}

/// The training set asked for, and what its rows come from.
fn begin(store: &mut Store, run: RunId, args: &TrainArgs) -> anyhow::Result<(TrainingSet, Sources)> {
    match &args.set {
        Some(name) => {
            let set = store.find_training_set(name)?;
            if set.stored && !set.complete {
                bail!("training set {name} is not complete: run its `simulate` command again first");
            }
            let sources = stored_sources(store, &set, args)?;
            Ok((set, sources))
        }
        None => {
            let options = simulate_args(args);
            let sources = Sources::load(Some(store), &options)?;
            let set = sources.begin_set(store, run, &options)?;
            Ok((set, sources))
        }
    }
}

fn stopped(progress: &dyn Progress) -> RunState {
    progress.report(Event::Note("stopped; the same command goes on from here".into()));
    RunState::Interrupted
}

/// What a search varies: all that no option fixes.
fn space(args: &TrainArgs, flow: &FlowConfig) -> Space {
    let free = |given: bool, choices: &[usize]| if given { vec![] } else { choices.to_vec() };
    let hidden = |widths: &[usize]| match args.hidden {
        Some(_) => vec![],
        None => widths.iter().map(|&width| vec![width; flow.hidden.len()]).collect(),
    };
    let batch = free(args.batch.is_some(), &[500, 1000, 2000]);
    let lr = |low, high| if args.lr.is_some() { None } else { Some((low, high)) };
    match flow.transform {
        Transform::Affine => Space {
            lr: lr(2e-4, 2e-3),
            batch,
            layers: free(args.layers.is_some(), &[5, 10, 15]),
            hidden: hidden(&[128, 256, 500]),
            ..Space::default()
        },
        Transform::AffineSpline { .. } => Space {
            lr: lr(7e-4, 5e-3),
            batch,
            layers: free(args.layers.is_some(), &[2, 3, 4]),
            hidden: hidden(&[48, 64, 96]),
            width: free(args.width.is_some(), &[256, 384, 512]),
            blocks: free(args.blocks.is_some(), &[2, 3, 4]),
            bins: vec![8, 12],
        },
    }
}

/// The trials of a search for people, best first.
fn table(found: &SearchResult) -> String {
    let mut trials: Vec<_> = found.trials.iter().collect();
    let score = |trial: &crate::flow::search::Trial| {
        let last = trial.rungs.last().and_then(|record| record.best_ln_prob);
        (trial.rungs.len(), last.unwrap_or(f64::NEG_INFINITY))
    };
    trials.sort_by(|a, b| score(b).0.cmp(&score(a).0).then(score(b).1.total_cmp(&score(a).1)));
    let mut text = String::from("trial  rungs  held-out ln q  settings");
    for trial in trials {
        let last = trial.rungs.last();
        let result = match last.map(|record| (record.best_ln_prob, &record.failure)) {
            Some((Some(ln_q), _)) => format!("{ln_q:>13.3}"),
            Some((None, Some(_))) => format!("{:>13}", "failed"),
            _ => format!("{:>13}", "-"),
        };
        let widths: Vec<String> = trial.flow.hidden.iter().map(usize::to_string).collect();
        text += &format!(
            "\n{:>5}  {:>5}  {result}  lr {:.1e}, batch {}, {} layers of {}",
            trial.index,
            trial.rungs.len(),
            trial.train.optimizer.lr,
            trial.train.batch,
            trial.flow.layers,
            widths.join("+")
        );
        if let Conditioner::Residual { width, blocks } = trial.flow.conditioner {
            text += &format!(", conditioner {width} x {blocks}");
        }
        if let Transform::AffineSpline { bins, .. } = trial.flow.transform {
            text += &format!(", {bins} bins");
        }
    }
    text
}

fn train_config(args: &TrainArgs) -> anyhow::Result<TrainConfig> {
    let mut train = TrainConfig { seed: args.seed, ..TrainConfig::default() };
    train.batch = args.batch.unwrap_or(train.batch);
    train.optimizer.lr = args.lr.unwrap_or(train.optimizer.lr);
    train.limit = match args.steps {
        Some(steps) => Limit { steps: Some(steps), ..Limit::default() },
        None => Limit { seconds: Some(args.budget.0.as_secs_f64()), ..Limit::default() },
    };
    train.check()?;
    Ok(train)
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
    flow.check()?;
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
    let rows = load_rows(store, set, progress)?;
    let x = rows.features(features)?;
    Ok((rows.latent_table(), x, rows.len()))
}

fn load_rows(store: &Store, set: &TrainingSet, progress: &dyn Progress) -> anyhow::Result<Rows> {
    let mut rows = Rows::default();
    progress.report(Event::Started { what: "reading".into(), total: Some(set.n_rows), unit: "rows" });
    for &(chunk, first, n) in &set.chunks {
        rows.append(read_chunk(store, set, chunk)?);
        progress.report(Event::Advanced { done: first + n });
    }
    progress.report(Event::Finished);
    Ok(rows)
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
