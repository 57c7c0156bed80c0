//! `sedflow bench curves`: what architectures have learnt after the same processor time on the same data.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::report::{Report, on_threads};
use crate::commands::listen::Terminal;
use crate::commands::simulate::{SimulateArgs, Sources};
use crate::commands::train::Stream;
use crate::commands::{Context, Outcome, setup};
use crate::features::FeatureSpec;
use crate::flow::FlowConfig;
use crate::flow::train::{Batch, Clock, Data, EpochRecord, Limit, Optimizer, Stop, TrainConfig, Trainer};
use crate::plot::curves::{TrainingCurve, training};

#[derive(Debug, Args)]
pub struct CurvesArgs {
    /// Architectures to train: nsf, maf
    #[arg(long, value_delimiter = ',', default_value = "nsf,maf")]
    arch: Vec<String>,
    /// Minutes of processor time for each, simulations included
    #[arg(long, default_value_t = 20.0)]
    minutes: f64,
    /// Held-out galaxies
    #[arg(long, default_value_t = 20_000)]
    held_out: usize,
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Draw the curves to this .png or .svg
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
}

/// Settings that suit each: the default, and for the paper's flow the better of its own (batches of 50)
/// and larger batches.
fn settings(arch: &str, seconds: f64, seed: u64) -> TrainConfig {
    let config = TrainConfig {
        seed,
        limit: Limit { seconds: Some(seconds), ..Limit::default() },
        // An epoch is when the held-out galaxies are scored: some tens of times in all.
        steps_per_epoch: 500,
        ..TrainConfig::default()
    };
    match arch {
        "maf" => TrainConfig {
            optimizer: Optimizer { lr: 1e-3, ..config.optimizer },
            steps_per_epoch: 250,
            ..config
        },
        _ => config,
    }
}

pub fn run(args: CurvesArgs, context: &Context) -> anyhow::Result<Outcome> {
    if !(args.minutes > 0.0 && args.minutes <= 1e5) || args.held_out < 2 {
        anyhow::bail!("--minutes is {}, expected above 0; --held-out at least 2", args.minutes);
    }
    let terminal = Terminal::new(context.quiet, &context.catalog);
    let options = SimulateArgs {
        n: 1 << 40,
        seed: args.seed,
        name: None,
        prior: setup::DEFAULT.to_owned(),
        noise: "nsa".to_owned(),
        bands: vec![],
        grid: None,
        missing: 0.0,
        birth_cloud_age: None,
        stream: true,
        from: None,
        export: None,
        overwrite: false,
    };
    let sources = Sources::load(None, &options)?;
    let features = FeatureSpec::for_noise(&sources.noise, false)?;
    let stream = Stream { simulator: sources.simulator(args.seed)?, features: &features };
    let rows = stream.simulator.rows(options.n, args.held_out)?;
    let held_out = Batch { theta: rows.latent_table(), x: rows.features(&features)? };
    let data = Data::Stream { source: &stream, validation: &held_out, threads: 1 };

    let mut report =
        Report::new(&["arch", "weights", "minutes", "examples/s", "examples (M)", "held-out ln q", "best"]);
    let mut histories: Vec<(&str, Vec<EpochRecord>)> = Vec::new();
    for arch in &args.arch {
        let flow = FlowConfig::named(arch, sources.prior.n_free(), features.len())?;
        let mut trainer = Trainer::new(flow, settings(arch, 60.0 * args.minutes, args.seed), &data)?;
        trainer.set_clock(Clock::Processor);
        let stop = on_threads(1, || trainer.run(&data, &terminal))??;
        if stop == Stop::Cancelled {
            return Ok(Outcome::Interrupted);
        }
        let history = trainer.history();
        for record in history {
            let line = json!({
                "bench": "curves", "arch": arch, "processor_s": record.seconds, "examples": record.examples,
                "train_ln_prob": record.train_ln_prob, "held_out_ln_prob": record.validation_ln_prob,
            });
            report.line(line);
        }
        if let Some(last) = history.last() {
            report.cells(vec![
                arch.clone(),
                trainer.n_weights().to_string(),
                format!("{:.1}", last.seconds / 60.0),
                format!("{:.0}", last.examples as f64 / last.seconds),
                format!("{:.2}", last.examples as f64 / 1e6),
                format!("{:.3}", last.validation_ln_prob),
                format!("{:.3}", trainer.best_ln_prob().unwrap_or(f64::NAN)),
            ]);
        }
        histories.push((arch, history.to_vec()));
    }
    report.print(context.quiet)?;
    if let Some(path) = &args.plot {
        let curves: Vec<TrainingCurve> = histories
            .iter()
            .map(|(label, history)| {
                let column = |of: fn(&EpochRecord) -> f64| history.iter().map(of).collect();
                TrainingCurve {
                    label,
                    spent: column(|record| record.seconds / 60.0),
                    train_ln_prob: column(|record| record.train_ln_prob),
                    valid_ln_prob: column(|record| record.validation_ln_prob),
                }
            })
            .collect();
        training(&curves, "processor time  [minutes]", "one core, the same simulations")?.save(path)?;
    }
    Ok(Outcome::Done)
}
