//! `sedflow bench train`: examples per second of forward, backward and update together.

use std::time::Instant;

use anyhow::Context as _;
use clap::Args;
use serde_json::json;

use super::report::{Report, clock_for, gemm_gflops, median, on_threads};
use crate::commands::{Context, Outcome};
use crate::flow::toys::Toy;
use crate::flow::train::{Data, Limit, Optimizer, Schedule, TrainConfig, Trainer};
use crate::flow::{Conditioner, FlowConfig};
use crate::progress::Silent;

#[derive(Debug, Args)]
pub struct TrainArgs {
    /// Architectures to measure: nsf, maf
    #[arg(long, value_delimiter = ',', default_value = "nsf,maf")]
    arch: Vec<String>,
    /// Examples per step
    #[arg(long, value_delimiter = ',', default_value = "50,1000")]
    batch: Vec<usize>,
    /// Seconds per measurement
    #[arg(long, default_value_t = 4.0)]
    seconds: f64,
    /// Width of the conditioner of nsf [default: the architecture's]
    #[arg(long)]
    width: Option<usize>,
    /// Width of the hidden layers [default: the architecture's]
    #[arg(long)]
    hidden: Option<usize>,
    /// Autoregressive layers [default: the architecture's]
    #[arg(long)]
    layers: Option<usize>,
}

pub fn run(args: TrainArgs, context: &Context) -> anyhow::Result<Outcome> {
    let mut report =
        Report::new(&["arch", "weights", "batch", "threads", "examples/s", "GFLOP/s", "product GFLOP/s"]);
    let cores = rayon::current_num_threads();
    for arch in &args.arch {
        let mut flow = FlowConfig::named(arch, Toy::Photometry.n_param(), Toy::Photometry.n_feature())?;
        if let (Some(width), Conditioner::Residual { blocks, .. }) = (args.width, flow.conditioner) {
            flow.conditioner = Conditioner::Residual { width, blocks };
        }
        if let Some(hidden) = args.hidden {
            flow.hidden.fill(hidden);
        }
        flow.layers = args.layers.unwrap_or(flow.layers);
        for &batch in &args.batch {
            for threads in [1, cores] {
                if threads == 1 || cores > 1 {
                    measure(arch, &flow, batch, threads, args.seconds, &mut report)?;
                }
            }
        }
    }
    report.print(context.quiet)?;
    Ok(Outcome::Done)
}

fn measure(
    arch: &str,
    flow: &FlowConfig,
    batch: usize,
    threads: usize,
    seconds: f64,
    report: &mut Report,
) -> anyhow::Result<()> {
    let table = Toy::Photometry.simulate(1, 0, 20 * batch.max(500));
    let data = Data::Memory { theta: table.theta.view(), x: table.x.view() };
    let config = TrainConfig {
        batch,
        optimizer: Optimizer { lr: 1e-4, ..Optimizer::default() },
        schedule: Schedule::Constant { warmup: 0 },
        limit: Limit { steps: Some(3), ..Limit::default() },
        ..TrainConfig::default()
    };
    let clock = clock_for(threads);
    on_threads(threads, || {
        let mut trainer = Trainer::new(flow.clone(), config, &data)?;
        // Five pieces, so that one disturbance does not decide; validation is part of none.
        trainer.run(&data, &Silent)?;
        let mut rates = Vec::new();
        let mut steps_per_piece = 2;
        let begun = Instant::now();
        while begun.elapsed().as_secs_f64() < seconds || rates.len() < 3 {
            let before = trainer.steps();
            trainer.set_limit(Limit { steps: Some(before + steps_per_piece), ..Limit::default() });
            let started = clock.now();
            trainer.run_steps(&data, &Silent)?;
            let elapsed = (clock.now() - started).max(1e-3);
            rates.push((trainer.steps() - before) as f64 * batch as f64 / elapsed);
            if elapsed < seconds / 10.0 {
                steps_per_piece *= 2;
                rates.clear();
            }
        }
        let rate = median(&mut rates);
        let flops = trainer.flops_per_example();
        let product = gemm_gflops();
        report.row(
            json!({
                "bench": "train", "arch": arch, "weights": trainer.n_weights(), "batch": batch, "threads": threads,
                "examples_per_s": rate, "gflops": rate * flops * 1e-9, "product_gflops_one_thread": product,
            }),
            vec![
                arch.to_owned(),
                trainer.n_weights().to_string(),
                batch.to_string(),
                threads.to_string(),
                format!("{rate:.0}"),
                format!("{:.0}", rate * flops * 1e-9),
                format!("{product:.0}"),
            ],
        );
        Ok(())
    })
    .context("cannot start threads")?
}
