//! `sedflow bench efficiency`: what draws of a checkpoint are worth against the exact posterior, on mocks.

use std::time::Instant;

use anyhow::{Context as _, bail};
use clap::Args;
use rayon::prelude::*;
use serde_json::json;

use super::report::Report;
use crate::commands::{Context, Outcome, setup};
use crate::infer::importance::weigh;
use crate::infer::posterior::{Datum, ExactPosterior, Likelihood};
use crate::infer::{Npe, SHIPPED_NAME};
use crate::sed::PhotTable;
use crate::simulate::{Recipe, Simulator, table_options};

#[derive(Debug, Args)]
pub struct EfficiencyArgs {
    /// `sdss-ugriz` (shipped), a checkpoint of the catalog, or a file
    #[arg(long, default_value = SHIPPED_NAME)]
    checkpoint: String,
    /// Mocks to simulate
    #[arg(long, default_value_t = 500)]
    mocks: usize,
    /// Draws per mock
    #[arg(long, default_value_t = 2000)]
    draws: usize,
    /// Of the mocks; another one than the training's
    #[arg(long, default_value_t = 1_000_003)]
    seed: u64,
    /// Leave out what the size of an error says about the flux: not the posterior that was trained for
    #[arg(long)]
    errors_given: bool,
}

pub fn run(args: EfficiencyArgs, context: &Context) -> anyhow::Result<Outcome> {
    if args.mocks == 0 || args.draws < 100 {
        bail!("--mocks is at least 1 and --draws at least 100");
    }
    let store = context.open_if_there()?;
    let (bytes, label) = setup::checkpoint_bytes(store.as_ref(), &args.checkpoint)?;
    let npe = Npe::from_bytes(&bytes).with_context(|| label.clone())?;
    let (model, filters) = setup::model_of(store.as_ref(), &npe, &label)?;
    let prior = npe.prior();
    let table = PhotTable::new(&model, &filters, prior.zred_support(), &table_options(prior))?;
    let noise = &npe.card().noise;
    let rows = Simulator::new(prior, &table, noise, Recipe::default(), args.seed)?.rows(0, args.mocks)?;
    let x = rows.features(&npe.card().features)?;
    let n_bands = filters.len();
    let one = |mock: usize| -> anyhow::Result<Judged> {
        let band = |b: usize| Datum::Flux {
            flux_nmgy: f64::from(rows.noisy_nmgy[mock * n_bands + b]),
            sigma_nmgy: f64::from(rows.sigma_nmgy[mock * n_bands + b]),
        };
        let mut likelihood = Likelihood::new((0..n_bands).map(band).collect())?;
        if !args.errors_given {
            likelihood = likelihood.with_noise(noise)?;
        }
        let started = Instant::now();
        let (u, ln_q) = npe.flow().sample_with_ln_prob(x.row(mock), args.draws, args.seed, mock as u64)?;
        let drawn = started.elapsed().as_secs_f64();
        let at = table.at_redshift(f64::from(rows.zred[mock]))?;
        let mut posterior = ExactPosterior::new(prior, npe.theta_map(), at, likelihood);
        let mut ln_target = vec![0.0; args.draws];
        posterior.ln_posterior_latent(u.as_slice().context("draws out of order")?, &mut ln_target);
        let weights = weigh(&ln_target, ln_q.as_slice().context("densities out of order")?);
        let (efficiency, pareto_k) = weights.map_or((0.0, f64::INFINITY), |w| (w.efficiency, w.pareto_k));
        Ok(Judged { efficiency, pareto_k, drawn, weighed: started.elapsed().as_secs_f64() - drawn })
    };
    let judged: Vec<Judged> = (0..args.mocks).into_par_iter().map(one).collect::<anyhow::Result<_>>()?;
    let column = |of: fn(&Judged) -> f64| {
        let mut values: Vec<f64> = judged.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values
    };
    let (efficiency, pareto_k) = (column(|j| j.efficiency), column(|j| j.pareto_k));
    let at = |values: &[f64], p: f64| values[((values.len() - 1) as f64 * p).round() as usize];
    let share = |test: &dyn Fn(&Judged) -> bool| {
        judged.iter().filter(|j| test(j)).count() as f64 / judged.len() as f64
    };
    let percentiles = [0.05, 0.25, 0.5, 0.75, 0.95].map(|p| at(&efficiency, p));
    let above_1 = share(&|j| j.efficiency > 0.01);
    let tail_right = share(&|j| j.pareto_k <= 0.7);
    let (draw_ms, weigh_ms) = (1e3 * at(&column(|j| j.drawn), 0.5), 1e3 * at(&column(|j| j.weighed), 0.5));
    let mut report = Report::new(&[
        "checkpoint",
        "mocks",
        "draws",
        "5 %",
        "25 %",
        "median",
        "75 %",
        "95 %",
        "above 1 %",
        "median k",
        "k <= 0.7",
        "draw ms",
        "weigh ms",
    ]);
    let mut cells = vec![label.clone(), args.mocks.to_string(), args.draws.to_string()];
    cells.extend(percentiles.map(|p| format!("{p:.4}")));
    cells.extend([format!("{above_1:.3}"), format!("{:.2}", at(&pareto_k, 0.5)), format!("{tail_right:.3}")]);
    cells.extend([format!("{draw_ms:.1}"), format!("{weigh_ms:.1}")]);
    report.row(
        json!({
            "bench": "efficiency", "checkpoint": label, "mocks": args.mocks, "draws": args.draws,
            "errors": if args.errors_given { "given" } else { "modelled" }, "seed": args.seed,
            "efficiency_percentiles_5_25_50_75_95": percentiles, "above_1_percent": above_1,
            "median_pareto_k": at(&pareto_k, 0.5), "pareto_k_at_most_0.7": tail_right,
            "draw_ms_median": draw_ms, "weigh_ms_median": weigh_ms,
        }),
        cells,
    );
    report.print(context.quiet)?;
    Ok(Outcome::Done)
}

struct Judged {
    efficiency: f64,
    pareto_k: f64,
    /// Seconds.
    drawn: f64,
    weighed: f64,
}
