//! `sedflow validate`: calibration of a checkpoint on fresh mocks.

use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::bail;
use rand::RngExt;
use rayon::prelude::*;
use serde_json::json;

use super::listen::Terminal;
use super::{Context, Outcome, setup};
use crate::infer::SHIPPED_NAME;
use crate::plot::curves::pp;
use crate::prior::{N_PARAM, PARAMS};
use crate::progress::{Event, Progress};
use crate::rng::Streams;
use crate::sed::PhotTable;
use crate::simulate::{Recipe, Simulator};
use crate::store::{Metric, RunSpec, RunState, Store, ValidationSpec};
use crate::validate::{Coverage, rank_fraction};

#[derive(Debug, clap::Args)]
pub struct ValidateArgs {
    /// `sdss-ugriz` (shipped), a checkpoint of the catalog, or a file
    #[arg(default_value = SHIPPED_NAME)]
    checkpoint: String,
    /// Mocks to simulate
    #[arg(long, default_value_t = 1000)]
    mocks: usize,
    /// Draws per mock
    #[arg(long, default_value_t = 1000)]
    draws: usize,
    /// Of the mocks; another one than the training's
    #[arg(long, default_value_t = 1_000_003)]
    seed: u64,
    /// Write the p-p plot to this .png or .svg
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
}

pub fn run(args: ValidateArgs, context: &Context) -> anyhow::Result<Outcome> {
    if args.mocks == 0 || args.draws == 0 {
        bail!("--mocks and --draws are at least 1");
    }
    let terminal = Terminal::new(context.quiet);
    let mut store = Store::open_or_create(&context.catalog)?;
    let config = json!({
        "checkpoint": args.checkpoint, "mocks": args.mocks, "draws": args.draws, "seed": args.seed,
    });
    let spec = RunSpec { command: "validate", config: &config, seed: Some(args.seed), resumes: None };
    let ranks = store.recorded(&spec, |store, run| -> anyhow::Result<_> {
        let loaded = setup::load_checkpoint(store, run, &args.checkpoint)?;
        let ranks = ranks(&loaded, &args, &terminal)?;
        let Some(ranks) = ranks else { return Ok((None, RunState::Interrupted)) };
        let metrics: Vec<Metric> = PARAMS
            .iter()
            .zip(&ranks)
            .filter(|(_, ranks)| !ranks.is_empty())
            .flat_map(|(info, ranks)| {
                let c = Coverage::of(ranks);
                let metric = move |metric: &str, value| Metric {
                    metric: metric.to_owned(),
                    parameter: info.name.to_owned(),
                    subset: String::new(),
                    value,
                    low: None,
                    high: None,
                    p_value: None,
                };
                [metric("ks", c.ks), metric("coverage68", c.in_68), metric("coverage95", c.in_95)]
            })
            .collect();
        let checkpoint = store.find_checkpoint(&loaded.hash.to_string())?;
        store.put_validation(
            run,
            &ValidationSpec {
                name: None,
                checkpoint: &checkpoint,
                config: &config,
                report: None,
                metrics: &metrics,
                arrays: None,
            },
        )?;
        Ok((Some(ranks), RunState::Done))
    })?;
    let Some(ranks) = ranks else { return Ok(Outcome::Interrupted) };
    let mut out = std::io::stdout().lock();
    writeln!(out, "{:<12} {:>8} {:>8} {:>8} {:>8}", "parameter", "KS", "in 68 %", "in 95 %", "bias")?;
    let free: Vec<usize> = (0..N_PARAM).filter(|&param| !ranks[param].is_empty()).collect();
    for &param in &free {
        let c = Coverage::of(&ranks[param]);
        let name = PARAMS[param].name;
        writeln!(out, "{name:<12} {:>8.4} {:>8.3} {:>8.3} {:>8.4}", c.ks, c.in_68, c.in_95, c.bias)?;
    }
    if let Some(path) = &args.plot {
        let labels: Vec<&str> = free.iter().map(|&param| PARAMS[param].symbol).collect();
        let shown: Vec<Vec<f64>> = free.iter().map(|&param| ranks[param].clone()).collect();
        let title = format!("{}: {} mocks", args.checkpoint, args.mocks);
        pp(&labels, &shown, &title)?.save(path)?;
    }
    Ok(Outcome::Done)
}

/// Rank fractions of every parameter over the mocks; none where it is fixed, nothing if cancelled.
fn ranks(
    loaded: &setup::Loaded,
    args: &ValidateArgs,
    progress: &dyn Progress,
) -> anyhow::Result<Option<Vec<Vec<f64>>>> {
    let npe = &loaded.npe;
    let prior = npe.prior();
    let table = PhotTable::new(&loaded.model, &loaded.filters, prior.zred_support(), &Default::default())?;
    let simulator = Simulator::new(prior, &table, &npe.card().noise, Recipe::default(), args.seed)?;
    let rows = simulator.rows(0, args.mocks)?;
    let x = rows.features(&npe.card().features)?;
    let streams = Streams::new(args.seed, "validate rank");
    let done = AtomicU64::new(0);
    progress.report(Event::Started {
        what: "validating".into(),
        total: Some(args.mocks as u64),
        unit: "mocks",
    });
    let of_mock = |mock: usize| -> anyhow::Result<Option<Vec<f64>>> {
        if progress.cancelled() {
            return Ok(None);
        }
        let latent = npe.flow().sample(x.row(mock), args.draws, args.seed, mock as u64)?;
        let mut theta = vec![0.0; N_PARAM * args.draws];
        prior.theta_map().columns(&latent.iter().copied().collect::<Vec<_>>(), &mut theta);
        let mut rng = streams.at(mock as u64);
        let truth = &rows.theta[mock * N_PARAM..(mock + 1) * N_PARAM];
        let ranks = theta
            .chunks_exact(args.draws)
            .zip(truth)
            .map(|(draws, &truth)| rank_fraction(draws, truth, rng.random()))
            .collect();
        progress.report(Event::Advanced { done: done.fetch_add(1, Ordering::Relaxed) + 1 });
        Ok(Some(ranks))
    };
    let all: Vec<Option<Vec<f64>>> =
        (0..args.mocks).into_par_iter().map(of_mock).collect::<Result<_, _>>()?;
    progress.report(Event::Finished);
    let Some(all) = all.into_iter().collect::<Option<Vec<Vec<f64>>>>() else { return Ok(None) };
    let column = |param: usize| {
        if prior.is_fixed(param) { vec![] } else { all.iter().map(|ranks| ranks[param]).collect() }
    };
    Ok(Some((0..N_PARAM).map(column).collect()))
}
