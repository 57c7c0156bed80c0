//! `sedflow train --likelihood`: the density of photometry given parameters, errors and redshift.

use std::io::Write as _;

use anyhow::{Context as _, bail};

use super::keep::{Catalog, Part};
use super::result::{Trained, free_name};
use super::{HELD_OUT, HELD_OUT_FROM, TrainArgs, flow_config, load_rows, stopped, train_config};
use crate::commands::setup;
use crate::commands::simulate::Sources;
use crate::features::FeatureSpec;
use crate::flow::FlowInfo;
use crate::flow::train::{Batch, BatchSource, Data, Stop, TrainConfig};
use crate::infer::Support;
use crate::infer::nle::{Nle, NleCard, NleKind, Scrambler, widths};
use crate::progress::{Event, Progress};
use crate::sed::PhotTable;
use crate::simulate::{Rows, Simulator};
use crate::store::{RunId, RunState, Store, TrainingSet};

/// Simulations as training data, with errors that say nothing of the fluxes.
struct Stream<'a> {
    simulator: &'a Simulator<'a, PhotTable>,
    scrambler: &'a Scrambler,
    features: &'a FeatureSpec,
}

impl BatchSource for Stream<'_> {
    fn batch(&self, index: u64, n: usize) -> Result<Batch, String> {
        let first = index * n as u64;
        let rows = self.simulator.rows_here(first, n).map_err(|error| error.to_string())?;
        let examples = self.scrambler.examples(&rows, first, self.features);
        let (theta, x) = examples.map_err(|error| error.to_string())?;
        Ok(Batch { theta, x })
    }
}

/// Trains a likelihood, registers its checkpoint and prints its name.
pub fn train(
    store: &mut Store,
    run: RunId,
    args: &TrainArgs,
    (set, sources): (&TrainingSet, &Sources),
    progress: &dyn Progress,
) -> anyhow::Result<RunState> {
    if args.members > 1 {
        bail!("--members is for posteriors; a likelihood is one flow");
    }
    if sources.recipe.missing > 0.0 {
        bail!(
            "a likelihood is learned of galaxies with all bands, but bands are missing in the training set"
        );
    }
    let features = FeatureSpec::for_noise(&sources.noise, false)?;
    let (n_param, n_feature) = widths(&sources.prior, &features);
    let flow = flow_config(args, n_param, n_feature)?;
    // Magnitudes are no standard normal coordinates.
    let train = TrainConfig { standardize_theta: true, ..train_config(args)? };
    let scrambler = Scrambler::new(args.seed);
    let simulator = sources.simulator(args.seed)?;
    // Of a stored set all rows, of which training holds out its own; of a stream those held out of it.
    let (first, rows) = if set.stored {
        (0, load_rows(store, set, progress)?)
    } else {
        (HELD_OUT_FROM, simulator.rows(HELD_OUT_FROM, HELD_OUT)?)
    };
    let (theta, x) = scrambler.examples(&rows, first, &features)?;
    let held_out = Batch { theta, x };
    let stream = Stream { simulator: &simulator, scrambler: &scrambler, features: &features };
    let data = if set.stored {
        Data::Memory { theta: held_out.theta.view(), x: held_out.x.view() }
    } else {
        Data::Stream { source: &stream, validation: &held_out, threads: 1 }
    };
    let support = Support::of(&features, rows.features(&features)?.view(), sources.prior.zred_support())?;

    let mut catalog = Catalog::new(store, run, set.id, &args.name, &features);
    let (id, mut trainer) = catalog.trainer(Part::Alone, &flow, &train, &data, (args.resume, progress))?;
    if catalog.run_one(id, &mut trainer, &data, progress)? == Stop::Cancelled {
        return Ok(stopped(progress));
    }
    let trained = Trained {
        trainers: vec![trainer],
        ids: vec![id],
        search: None,
        held_out: (!set.stored).then_some(&held_out),
        set,
        sources,
        features: &features,
        support,
    };
    let mut training = trained.of_one(&trained.trainers[0]);
    let flow = trained.trainers[0].flow(FlowInfo::default())?;
    let card =
        |training| NleCard { kind: NleKind::Nle, version: NleCard::VERSION, model: trained.card(training) };
    let nle = Nle::new(flow, card(training.clone()))?;
    let exact = exact_ln_prob(&nle, &scrambler.rows(&rows, first));
    training["exact_ln_prob"] = exact.into();
    let nle = Nle::new(trained.trainers[0].flow(FlowInfo::default())?, card(training))?;
    let bytes = nle.to_bytes()?;
    let name = free_name(store, &args.name, &bytes)?;
    let sed_model = setup::register_model(store, run, &sources.model)?;
    let prior = setup::register_prior(store, run, &args.prior, &sources.prior)?;
    let noise_model = store.put_noise_model(run, &sources.noise)?;
    let with = setup::Registered { name: Some(&name), sed_model, prior, noise_model, training: Some(id) };
    setup::register_likelihood(store, run, &nle, &bytes, with, &sources.filters)?;
    if let Some(path) = &args.out {
        std::fs::write(path, &bytes).with_context(|| format!("cannot write {}", path.display()))?;
    }
    progress.report(Event::Note(format!(
        "likelihood {name}: {} weights, {} steps, held-out ln p {:.3} (a perfect one: {exact:.3})",
        nle.flow().n_weights(),
        trained.trainers[0].steps(),
        trained.trainers[0].best_ln_prob().unwrap_or(f64::NAN),
    )));
    let mut out = std::io::stdout().lock();
    writeln!(out, "{name}")?;
    Ok(RunState::Done)
}

/// Mean exact ln density of the rows' photometry.
fn exact_ln_prob(nle: &Nle, rows: &Rows) -> f64 {
    let b = rows.n_bands;
    let of = |values: &[f32], i: usize| -> Vec<f64> {
        values[i * b..(i + 1) * b].iter().map(|&v| f64::from(v)).collect()
    };
    let of_row = |i: usize| {
        nle.exact_ln_prob(&of(&rows.flux_nmgy, i), &of(&rows.noisy_nmgy, i), &of(&rows.sigma_nmgy, i))
    };
    (0..rows.len()).map(of_row).sum::<f64>() / rows.len() as f64
}
