//! `sedflow bench sample`: draws of one galaxy, of many, and log densities.

use anyhow::Context as _;
use clap::Args;
use rayon::prelude::*;
use serde_json::json;

use super::report::{Report, clock_for, gemm_gflops, on_threads};
use crate::commands::{Context, Outcome};
use crate::flow::toys::Toy;
use crate::flow::{ConditionalFlow, FlowConfig};

#[derive(Debug, Args)]
pub struct SampleArgs {
    /// Architectures to measure: nsf, maf
    #[arg(long, value_delimiter = ',', default_value = "nsf,maf")]
    arch: Vec<String>,
    /// Draws per galaxy
    #[arg(long, default_value_t = 10_000)]
    draws: usize,
    /// Seconds per measurement, at least
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
}

pub fn run(args: SampleArgs, context: &Context) -> anyhow::Result<Outcome> {
    let mut report = Report::new(&[
        "arch",
        "threads",
        "ms/galaxy",
        "galaxies/s",
        "ln q/s, one x",
        "ln q/s, many x",
        "product GFLOP/s",
    ]);
    let cores = rayon::current_num_threads();
    for arch in &args.arch {
        let toy = Toy::Photometry;
        let flow = ConditionalFlow::untrained(FlowConfig::named(arch, toy.n_param(), toy.n_feature())?, 1)?;
        for threads in [1, cores] {
            if threads == 1 || cores > 1 {
                let measured =
                    on_threads(threads, || measure(&flow, &args)).context("cannot start threads")??;
                let Rates { one_s, bulk_per_s, given_one_x, given_many_x } = measured;
                let product = gemm_gflops();
                report.row(
                    json!({
                        "bench": "sample", "arch": arch, "threads": threads, "draws": args.draws,
                        "seconds_one_galaxy": one_s, "galaxies_per_s": bulk_per_s,
                        "ln_prob_per_s_one_x": given_one_x, "ln_prob_per_s_many_x": given_many_x,
                        "product_gflops_one_thread": product,
                    }),
                    vec![
                        arch.clone(),
                        threads.to_string(),
                        format!("{:.2}", 1e3 * one_s),
                        format!("{bulk_per_s:.1}"),
                        format!("{given_one_x:.0}"),
                        format!("{given_many_x:.0}"),
                        format!("{product:.0}"),
                    ],
                );
            }
        }
    }
    report.print(context.quiet)?;
    Ok(Outcome::Done)
}

struct Rates {
    one_s: f64,
    bulk_per_s: f64,
    given_one_x: f64,
    given_many_x: f64,
}

fn measure(flow: &ConditionalFlow, args: &SampleArgs) -> anyhow::Result<Rates> {
    let n = args.draws;
    let observed = Toy::Photometry.simulate(2, 0, n);
    let x = observed.x.row(0);
    let clock = clock_for(rayon::current_num_threads());
    let time = |work: &mut dyn FnMut() -> anyhow::Result<()>| -> anyhow::Result<f64> {
        work()?;
        let (started, mut times) = (clock.now(), 0);
        while times < 3 || clock.now() - started < args.seconds {
            work()?;
            times += 1;
        }
        Ok((clock.now() - started) / f64::from(times))
    };
    let one_s = time(&mut || Ok(flow.sample_with_ln_prob(x, n, 1, 0).map(drop)?))?;
    // As many galaxies as take about a second.
    let galaxies = ((1.0 / one_s) as usize).clamp(rayon::current_num_threads(), n);
    let bulk_s = time(&mut || {
        (0..galaxies)
            .into_par_iter()
            .try_for_each(|i| flow.sample_with_ln_prob(observed.x.row(i), n, 1, i as u64).map(drop))?;
        Ok(())
    })?;
    let draws = flow.sample(x, n, 1, 0)?;
    let one_x_s = time(&mut || Ok(flow.condition(x)?.ln_prob(draws.view()).map(drop)?))?;
    let many_x_s = time(&mut || Ok(flow.ln_prob(observed.theta.view(), observed.x.view()).map(drop)?))?;
    Ok(Rates {
        one_s,
        bulk_per_s: galaxies as f64 / bulk_s,
        given_one_x: n as f64 / one_x_s,
        given_many_x: n as f64 / many_x_s,
    })
}
