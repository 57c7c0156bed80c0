//! `sedflow bench sed`: microseconds per galaxy of the SED model's two paths, on one thread and on all.

use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use clap::Args;
use rand::RngExt;
use rayon::prelude::*;
use serde_json::json;

use super::report::{Report, median, on_threads};
use crate::commands::{Context, Outcome};
use crate::filters::{self, Filter};
use crate::prior::Prior;
use crate::rng::Streams;
use crate::sed::{DerivedTable, Galaxy, PhotOptions, PhotTable, Scratch, SedModel, Theta};
use crate::ssp::SspGrid;

#[derive(Debug, Args)]
pub struct SedArgs {
    #[arg(
        long,
        value_name = "BAND,...",
        value_delimiter = ',',
        default_value = "sdss2010-u,sdss2010-g,sdss2010-r,sdss2010-i,sdss2010-z"
    )]
    bands: Vec<String>,
    /// Galaxies per measurement of the fast path; the exact path and the comparison take fewer
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    galaxies: u64,
    /// Repetitions per measurement
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
    repeat: u64,
    /// Largest redshift
    #[arg(long, value_name = "Z", default_value_t = 0.2)]
    zmax: f64,
    /// Galaxies on which the paths are compared
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    compare: usize,
}

/// Galaxies for the exact path, whose cost is a thousandfold.
const EXACT: usize = 2_000;

/// Fluxes below this (AB 37.5) are not compared.
const FAINTEST_NMGY: f64 = 1e-6;

struct Sample {
    thetas: Vec<Theta>,
    zred: Vec<f64>,
}

impl Sample {
    /// Draws from the default prior.
    fn new(n: usize, zmax: f64) -> Self {
        let prior = Prior::default();
        let streams = Streams::new(1, "bench sed");
        let (thetas, zred) = (0..n as u64)
            .into_par_iter()
            .map(|i| {
                let mut rng = streams.at(i);
                let theta = prior.draw(&mut rng);
                (theta, zmax * (0.01 + 0.99 * rng.random::<f64>()))
            })
            .unzip();
        Self { thetas, zred }
    }
}

pub fn run(args: SedArgs, context: &Context) -> anyhow::Result<Outcome> {
    let started = Instant::now();
    let model = SedModel::new(Arc::new(SspGrid::shipped()?));
    let open_ms = 1e3 * started.elapsed().as_secs_f64();
    let filters: Vec<Filter> =
        args.bands.iter().map(|band| Ok(filters::resolve(band)?)).collect::<anyhow::Result<_>>()?;
    let sample = Sample::new(args.galaxies as usize, args.zmax);
    let middle = 0.5 * args.zmax;
    let started = Instant::now();
    let table = PhotTable::new(&model, &filters, (0.0, args.zmax), &PhotOptions::default())?;
    let table_ms = 1e3 * started.elapsed().as_secs_f64();
    let started = Instant::now();
    let one = PhotTable::at_one(&model, &filters, middle)?;
    let one_ms = 1e3 * started.elapsed().as_secs_f64();
    let derived = DerivedTable::new(&model);
    let mut report = Report::new(&["what", "threads", "us/galaxy", "least", "galaxies/s"]);
    let cores = rayon::current_num_threads();
    let mut counts = vec![1];
    if cores > 1 {
        counts.push(cores);
    }
    for threads in counts {
        let mut measure = |what: &str, n: usize, work: &(dyn Fn() -> anyhow::Result<()> + Sync)| {
            let mut us = Vec::new();
            for _ in 0..args.repeat {
                us.push(on_threads(threads, || timed(n, work)).context("cannot start threads")??);
            }
            let least = us.iter().copied().fold(f64::INFINITY, f64::min);
            let us = median(&mut us);
            report.row(
                json!({
                    "bench": "sed", "what": what, "threads": threads, "bands": filters.len(), "galaxies": n,
                    "us_per_galaxy": us, "us_per_galaxy_least": least, "galaxies_per_s": 1e6 / us,
                }),
                vec![
                    what.to_owned(),
                    threads.to_string(),
                    format!("{us:.3}"),
                    format!("{least:.3}"),
                    format!("{:.0}", 1e6 / us),
                ],
            );
            anyhow::Ok(())
        };
        let n = EXACT.min(sample.thetas.len());
        measure("exact path", n, &|| exact(&model, &filters, &sample, n).map(drop))?;
        let all = sample.thetas.len();
        measure("fast path, one redshift", all, &|| fixed(&one, &sample, middle))?;
        measure("fast path, random redshifts", all, &|| random(&table, &sample).map(drop))?;
        measure("derived properties, one redshift", all, &|| derive(&derived, &sample, middle))?;
    }
    print_setup(&mut report, open_ms, table_ms, one_ms, &table);
    compare(&mut report, &args, &model, &filters, &table)?;
    report.print(context.quiet)?;
    Ok(Outcome::Done)
}

/// Microseconds per galaxy.
fn timed(n: usize, work: &dyn Fn() -> anyhow::Result<()>) -> anyhow::Result<f64> {
    let started = Instant::now();
    work()?;
    Ok(1e6 * started.elapsed().as_secs_f64() / n as f64)
}

fn exact(model: &SedModel, filters: &[Filter], sample: &Sample, n: usize) -> anyhow::Result<Vec<f64>> {
    let fluxes: Vec<Vec<f64>> = sample.thetas[..n]
        .par_iter()
        .zip(&sample.zred)
        .map(|(theta, &zred)| model.nanomaggies(&Galaxy::from_theta(theta), zred, filters))
        .collect::<Result<_, _>>()?;
    Ok(fluxes.concat())
}

fn fixed(table: &PhotTable, sample: &Sample, zred: f64) -> anyhow::Result<()> {
    let at = table.at_redshift(zred)?;
    sample.thetas.par_chunks(4096).for_each_init(
        || (Scratch::default(), vec![0.0; 4096 * table.n_bands()]),
        |(scratch, out), thetas| {
            at.nanomaggies_batch(thetas, scratch, out);
            std::hint::black_box(&out);
        },
    );
    Ok(())
}

fn random(table: &PhotTable, sample: &Sample) -> anyhow::Result<Vec<f64>> {
    let mut out = vec![0.0; sample.thetas.len() * table.n_bands()];
    table.nanomaggies_batch(&sample.thetas, &sample.zred, &mut out)?;
    Ok(out)
}

fn derive(table: &DerivedTable, sample: &Sample, zred: f64) -> anyhow::Result<()> {
    let at = table.at_redshift(zred)?;
    sample.thetas.par_chunks(4096).for_each_init(
        || vec![[0.0; 5]; 4096],
        |out, thetas| {
            at.rows(thetas, out);
            std::hint::black_box(&out);
        },
    );
    Ok(())
}

fn print_setup(report: &mut Report, open_ms: f64, table_ms: f64, one_ms: f64, table: &PhotTable) {
    let mut row = |what: &str, ms: f64| {
        report.row(
            json!({"bench": "sed", "what": what, "ms": ms, "table_bytes": table.bytes()}),
            vec![what.to_owned(), "all".into(), format!("{ms:.1} ms"), String::new(), String::new()],
        );
    };
    row("opening the grid", open_ms);
    row("making the table", table_ms);
    row("making a table at one redshift", one_ms);
}

/// Fast against exact, band by band.
fn compare(
    report: &mut Report,
    args: &SedArgs,
    model: &SedModel,
    filters: &[Filter],
    table: &PhotTable,
) -> anyhow::Result<()> {
    if args.compare == 0 {
        return Ok(());
    }
    let sample = Sample::new(args.compare, args.zmax);
    let (fast, exact) = (random(table, &sample)?, exact(model, filters, &sample, args.compare)?);
    for (band, filter) in filters.iter().enumerate() {
        let errors: Vec<f64> = (band..fast.len())
            .step_by(filters.len())
            .filter(|&i| exact[i] > FAINTEST_NMGY)
            .map(|i| 2.5 * (fast[i] / exact[i]).log10())
            .collect();
        let rms = (errors.iter().map(|e| e * e).sum::<f64>() / errors.len().max(1) as f64).sqrt();
        let worst = errors.iter().fold(0.0, |worst, e| e.abs().max(worst));
        let what = format!("fast - exact, {}", filter.name());
        report.row(
            json!({
                "bench": "sed", "what": "fast - exact", "band": filter.name(), "galaxies": errors.len(),
                "rms_mag": rms, "worst_mag": worst,
            }),
            vec![what, "all".into(), format!("{rms:.6} rms"), format!("{worst:.5} worst"), String::new()],
        );
    }
    Ok(())
}
