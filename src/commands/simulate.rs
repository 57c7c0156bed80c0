//! `sedflow simulate`: training sets, stored in chunks or as a recipe, and sub-samples to another prior.

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::bail;
use serde_json::json;

use super::listen::Terminal;
use super::resolve::{self, Grid};
use super::training_out::TrainingOut;
use super::{Context, Outcome, setup};
use crate::filters::Filter;
use crate::prior::{N_PARAM, Prior};
use crate::progress::{Event, Progress};
use crate::sed::{PhotTable, SedModel};
use crate::simulate::{Recipe, Rows, Simulator, Subsampler, rejection_counts, table_options};
use crate::store::{
    Array, ProductKind, RunSpec, RunState, Store, TrainingSet, TrainingSetSpec, encode_arrays,
};

/// Rows of one stored chunk of a set of `n` rows: what a kill loses at most.
fn chunk_rows(n: u64) -> u64 {
    (n / 20).clamp(1_000, 50_000)
}

#[derive(Debug, clap::Args)]
pub struct SimulateArgs {
    /// Galaxies to simulate
    #[arg(short, long, default_value_t = 1_000_000)]
    pub n: u64,
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Name of the training set
    #[arg(long)]
    pub name: Option<String>,
    /// `default`, a prior of the catalog, or a JSON file
    #[arg(long, default_value = setup::DEFAULT)]
    pub prior: String,
    /// `nsa` (shipped), a noise model of the catalog, or a JSON file
    #[arg(long, default_value = "nsa")]
    pub noise: String,
    /// Filters: shipped ones, curves of the catalog or curve files [default: those of the noise model]
    #[arg(long, value_delimiter = ',', value_name = "FILTER,...")]
    pub bands: Vec<String>,
    /// SSP grid: `shipped`, a grid of the catalog, or a .ssp file, which the catalog then keeps
    #[arg(long, value_name = "NAME|FILE", conflicts_with = "from")]
    pub grid: Option<String>,
    /// Probability of each band to be missing
    #[arg(long, default_value_t = 0.0, value_name = "P")]
    pub missing: f64,
    /// Populations younger than this sit in birth clouds, Gyr
    #[arg(long, value_name = "GYR")]
    pub birth_cloud_age: Option<f64>,
    /// Keep only the recipe; `train` simulates as it goes
    #[arg(long)]
    pub stream: bool,
    /// Sub-sample this stored set to --prior instead of simulating
    #[arg(long, value_name = "SET")]
    pub from: Option<String>,
    /// Also write the rows to an .npz or .parquet file
    #[arg(long, value_name = "FILE")]
    pub export: Option<PathBuf>,
    /// Replace the file of --export
    #[arg(long, requires = "export")]
    pub overwrite: bool,
}

/// Everything that simulations come from.
pub struct Sources {
    pub grid: Grid,
    pub model: SedModel,
    pub filters: Vec<Filter>,
    pub table: PhotTable,
    pub prior: Prior,
    pub noise: crate::noise::NoiseModel,
    pub recipe: Recipe,
}

impl Sources {
    /// Loads and checks what the options name, and tabulates the photometry.
    pub fn load(store: Option<&Store>, args: &SimulateArgs) -> anyhow::Result<Self> {
        let prior = setup::prior(store, &args.prior)?;
        let noise = setup::noise(store, &args.noise)?;
        let bands = if args.bands.is_empty() { noise.band_names() } else { args.bands.clone() };
        let filters = resolve::filters(store, &bands)?;
        // A band may be asked for by a file's name or a hash; the noise model knows it by its own.
        let names: Vec<&str> = filters.iter().map(Filter::name).collect();
        let noise = noise.for_bands(&names)?;
        let grid = resolve::grid(store, args.grid.as_deref())?;
        let model = setup::sed_model(&grid, args.birth_cloud_age)?;
        let table = PhotTable::new(&model, &filters, prior.zred_support(), &table_options(&prior))?;
        let recipe = Recipe { missing: args.missing, ..Recipe::default() };
        Ok(Self { grid, model, filters, table, prior, noise, recipe })
    }

    pub fn simulator(&self, seed: u64) -> anyhow::Result<Simulator<'_, PhotTable>> {
        Ok(Simulator::new(&self.prior, &self.table, &self.noise, self.recipe.clone(), seed)?)
    }

    /// Registers the set and all it depends on.
    pub fn begin_set(
        &self,
        store: &mut Store,
        run: crate::store::RunId,
        args: &SimulateArgs,
    ) -> anyhow::Result<TrainingSet> {
        let named = args.bands.iter().chain(&args.grid).map(String::as_str);
        for file in resolve::files(named)? {
            store.add_run_input(run, &file)?;
        }
        setup::register_grid(store, run, &self.grid)?;
        let sed_model = setup::register_model(store, run, &self.model)?;
        let prior = setup::register_prior(store, run, &args.prior, &self.prior)?;
        let noise_model = store.put_noise_model(run, &self.noise)?;
        let band_set = setup::register_bands(store, run, &self.filters)?;
        Ok(store.begin_training_set(
            run,
            &TrainingSetSpec {
                name: args.name.as_deref(),
                sed_model,
                prior,
                noise_model: Some(noise_model),
                band_set,
                recipe: &serde_json::to_value(&self.recipe)?,
                seed: args.seed,
                stored: !args.stream,
                n_rows: args.n,
            },
        )?)
    }
}

pub fn run(args: SimulateArgs, context: &Context) -> anyhow::Result<Outcome> {
    if args.n == 0 {
        bail!("--n is 0: there is nothing to simulate");
    }
    if args.stream && args.export.is_some() {
        bail!("--stream keeps no rows, so there is nothing to --export");
    }
    // before an hour of simulating, not after it
    let export = args.export.as_deref().map(|path| TrainingOut::new(path, args.overwrite)).transpose()?;
    let terminal = Terminal::new(context.quiet, &context.catalog);
    let mut store = Store::open_or_create(&context.catalog)?;
    let config = json!({
        "n": args.n, "seed": args.seed, "name": args.name, "prior": args.prior, "noise": args.noise,
        "bands": args.bands, "grid": args.grid, "missing": args.missing,
        "birth_cloud_age_gyr": args.birth_cloud_age, "stream": args.stream, "from": args.from,
    });
    let spec = RunSpec { command: "simulate", config: &config, seed: Some(args.seed), resumes: None };
    let (set, state) = store.recorded(&spec, |store, run| -> anyhow::Result<_> {
        let (set, state) = match &args.from {
            Some(from) => subsample(store, run, &args, from, &terminal)?,
            None => simulate(store, run, &args, &terminal)?,
        };
        Ok(((set, state), state))
    })?;
    if state == RunState::Interrupted {
        eprintln!(
            "stopped; the same command goes on from row {}",
            set.chunks.iter().map(|c| c.2).sum::<u64>()
        );
        return Ok(Outcome::Interrupted);
    }
    let label = set.name.clone().unwrap_or_else(|| set.hash.short());
    if !context.quiet {
        let rejected = store.training_rejects(set.id)?;
        let words: Vec<String> = rejected.iter().map(|(reason, n)| format!("{n} {reason}")).collect();
        let rejected = if words.is_empty() { "none".to_owned() } else { words.join(", ") };
        eprintln!("training set {label}: {} rows; draws rejected: {rejected}", set.n_rows);
    }
    writeln!(std::io::stdout(), "{label}")?;
    if let (Some(path), Some(export)) = (&args.export, export) {
        export.write(&store, &set, &terminal)?;
        if !context.quiet {
            eprintln!("wrote {}", path.display());
        }
    }
    Ok(Outcome::Done)
}

fn simulate(
    store: &mut Store,
    run: crate::store::RunId,
    args: &SimulateArgs,
    progress: &dyn Progress,
) -> anyhow::Result<(TrainingSet, RunState)> {
    let sources = Sources::load(Some(store), args)?;
    let set = sources.begin_set(store, run, args)?;
    if set.complete {
        return Ok((set, RunState::Done));
    }
    if !args.stream {
        let simulator = sources.simulator(args.seed)?;
        progress.report(Event::Started { what: "simulating".into(), total: Some(args.n), unit: "galaxies" });
        let started = Instant::now();
        let done: std::collections::BTreeSet<u64> = set.chunks.iter().map(|chunk| chunk.0).collect();
        let chunk_rows = chunk_rows(args.n);
        for chunk in (0..args.n.div_ceil(chunk_rows)).filter(|chunk| !done.contains(chunk)) {
            if progress.cancelled() {
                progress.report(Event::Finished);
                return Ok((store.training_set(set.id)?, RunState::Interrupted));
            }
            let first = chunk * chunk_rows;
            let rows = simulator.rows(first, chunk_rows.min(args.n - first) as usize)?;
            put_chunk(store, &set, chunk, first, &rows)?;
            progress.report(Event::Advanced { done: first + rows.len() as u64 });
        }
        progress.report(Event::Finished);
        let seconds = started.elapsed().as_secs_f64();
        progress.report(Event::Note(format!(
            "{} galaxies in {seconds:.1} s, {:.0} per second",
            args.n,
            args.n as f64 / seconds
        )));
    }
    store.finish_training_set(set.id)?;
    Ok((store.training_set(set.id)?, RunState::Done))
}

fn put_chunk(
    store: &mut Store,
    set: &TrainingSet,
    chunk: u64,
    first: u64,
    rows: &Rows,
) -> anyhow::Result<()> {
    let (n, b) = (rows.len(), rows.n_bands);
    let arrays = [
        Array::f32("latent", &[n, rows.n_free], rows.latent.clone()),
        Array::f32("theta", &[n, N_PARAM], rows.theta.clone()),
        Array::f32("zred", &[n], rows.zred.clone()),
        Array::f32("flux_nmgy", &[n, b], rows.flux_nmgy.clone()),
        Array::f32("noisy_nmgy", &[n, b], rows.noisy_nmgy.clone()),
        Array::f32("sigma_nmgy", &[n, b], rows.sigma_nmgy.clone()),
        // Masks of up to 52 bands are whole numbers in f64.
        Array::f64("observed", &[n], rows.observed.iter().map(|&mask| mask as f64).collect()),
    ];
    let rejected: Vec<(&str, u64)> =
        rejection_counts(&rows.rejections).into_iter().filter(|(_, n)| *n > 0).collect();
    let data = encode_arrays(&arrays)?;
    Ok(store.put_training_chunk(set.id, chunk, first, n as u64, &data, &rejected)?)
}

/// Rows of one stored chunk.
pub fn read_chunk(store: &Store, set: &TrainingSet, chunk: u64) -> anyhow::Result<Rows> {
    let arrays = store.training_chunk(set.id, chunk)?;
    let get = |name: &str| Ok::<_, anyhow::Error>(Array::find(&arrays, name)?.to_f32());
    let zred = get("zred")?;
    let (latent, flux_nmgy) = (get("latent")?, get("flux_nmgy")?);
    let n = zred.len().max(1);
    let observed = Array::find(&arrays, "observed")?.to_f64();
    let rows = Rows {
        n_bands: flux_nmgy.len() / n,
        n_free: latent.len() / n,
        latent,
        theta: get("theta")?,
        noisy_nmgy: get("noisy_nmgy")?,
        sigma_nmgy: get("sigma_nmgy")?,
        observed: observed.into_iter().map(|mask| mask as u64).collect(),
        flux_nmgy,
        zred,
        rejections: Default::default(),
    };
    let n = rows.len();
    let whole = rows.theta.len() == n * N_PARAM
        && [&rows.noisy_nmgy, &rows.sigma_nmgy].iter().all(|a| a.len() == n * rows.n_bands)
        && rows.observed.len() == n;
    if !whole {
        bail!("chunk {chunk} of the training set: its arrays have different numbers of rows");
    }
    Ok(rows)
}

fn subsample(
    store: &mut Store,
    run: crate::store::RunId,
    args: &SimulateArgs,
    from: &str,
    progress: &dyn Progress,
) -> anyhow::Result<(TrainingSet, RunState)> {
    let parent = store.find_training_set(from)?;
    if !parent.stored || !parent.complete {
        bail!("training set {from} has no stored rows, or is not complete: there is nothing to pick from");
    }
    let (_, old) = store.prior(parent.prior)?;
    let new = setup::prior(Some(store), &args.prior)?;
    let mut all = Vec::with_capacity(parent.n_rows as usize);
    for &(chunk, _, _) in &parent.chunks {
        let rows = read_chunk(store, &parent, chunk)?;
        all.extend((0..rows.len()).map(|row| (rows.theta_row(row), f64::from(rows.zred[row]))));
    }
    for (theta, _) in &mut all {
        inside(&old, theta);
    }
    let sampler = Subsampler::new(&old, &new, all.iter().copied(), args.seed)?;
    let keeps: Vec<bool> =
        all.iter().enumerate().map(|(i, (theta, zred))| sampler.keeps(i as u64, theta, *zred)).collect();
    let kept = keeps.iter().filter(|keep| **keep).count() as u64;
    if kept == 0 {
        bail!("none of the {} rows of {from} was picked: the new prior is too different", parent.n_rows);
    }
    let prior = setup::register_prior(store, run, &args.prior, &new)?;
    let mut recipe = parent.recipe.clone();
    recipe["subsample_of"] = json!(parent.hash);
    store
        .add_run_input(run, &crate::store::Artifact::product(ProductKind::TrainingSet, from, parent.hash))?;
    let set = store.begin_training_set(
        run,
        &TrainingSetSpec {
            name: args.name.as_deref(),
            sed_model: parent.sed_model,
            prior,
            noise_model: parent.noise_model,
            band_set: parent.band_set,
            recipe: &recipe,
            seed: args.seed,
            stored: true,
            n_rows: kept,
        },
    )?;
    if set.complete {
        return Ok((set, RunState::Done));
    }
    let done: std::collections::BTreeSet<u64> = set.chunks.iter().map(|chunk| chunk.0).collect();
    progress.report(Event::Started { what: "picking rows".into(), total: Some(parent.n_rows), unit: "rows" });
    let (mut at, mut first) = (0, 0);
    for &(chunk, _, n_rows) in &parent.chunks {
        let keep = &keeps[at..at + n_rows as usize];
        let n_kept = keep.iter().filter(|keep| **keep).count() as u64;
        if progress.cancelled() {
            return Ok((store.training_set(set.id)?, RunState::Interrupted));
        }
        if n_kept > 0 && !done.contains(&chunk) {
            let rows = pick(&read_chunk(store, &parent, chunk)?, keep, &new)?;
            put_chunk(store, &set, chunk, first, &rows)?;
        }
        first += n_kept;
        at += n_rows as usize;
        progress.report(Event::Advanced { done: at as u64 });
    }
    progress.report(Event::Finished);
    store.finish_training_set(set.id)?;
    Ok((store.training_set(set.id)?, RunState::Done))
}

/// Undoes what rounding to f32 may have moved over an edge of the prior.
fn inside(prior: &Prior, theta: &mut [f64; N_PARAM]) {
    for (param, value) in theta.iter_mut().enumerate() {
        let (lower, upper) = prior.support(param);
        *value = value.clamp(lower, upper);
    }
}

fn pick(rows: &Rows, keep: &[bool], new: &Prior) -> anyhow::Result<Rows> {
    let mut picked = Rows { n_bands: rows.n_bands, n_free: new.n_free(), ..Rows::default() };
    let b = rows.n_bands;
    for row in (0..rows.len()).filter(|&row| keep[row]) {
        let mut theta = rows.theta_row(row);
        inside(new, &mut theta);
        picked.latent.extend(new.latent(&theta)?.iter().map(|&u| u as f32));
        picked.theta.extend_from_slice(&rows.theta[row * N_PARAM..(row + 1) * N_PARAM]);
        picked.zred.push(rows.zred[row]);
        picked.flux_nmgy.extend_from_slice(&rows.flux_nmgy[row * b..(row + 1) * b]);
        picked.noisy_nmgy.extend_from_slice(&rows.noisy_nmgy[row * b..(row + 1) * b]);
        picked.sigma_nmgy.extend_from_slice(&rows.sigma_nmgy[row * b..(row + 1) * b]);
        picked.observed.push(rows.observed[row]);
    }
    Ok(picked)
}
