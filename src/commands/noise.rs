//! `sedflow noise`: fit the errors of a survey, show and plot them.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use ndarray::Array2;
use serde_json::json;

use super::{Context, Outcome, setup};
use crate::noise::{FitOptions, FitReport, MAG_PER_RELATIVE, NoiseModel, fit, nmgy_to_mag};
use crate::plot::curves;
use crate::store::{RunSpec, RunState, Selection, Store};

#[derive(Debug, clap::Subcommand)]
pub enum NoiseCommand {
    /// Fit magnitude errors against magnitude to ingested galaxies
    Fit(FitArgs),
    /// Draw a noise model
    Plot(PlotArgs),
    /// Print a noise model
    Show(ShowArgs),
}

#[derive(Debug, clap::Args)]
pub struct FitArgs {
    /// Survey whose galaxies to use
    survey: String,
    /// Name to keep it under [default: the survey's]
    #[arg(long)]
    name: Option<String>,
    /// Condition on the galaxies
    #[arg(long = "where", value_name = "EXPR")]
    condition: Option<String>,
    /// Width of a magnitude bin
    #[arg(long, default_value_t = 1.0)]
    bin_mag: f64,
    /// Galaxies a bin must have
    #[arg(long, default_value_t = 20)]
    min_count: usize,
}

#[derive(Debug, clap::Args)]
pub struct ShowArgs {
    /// `nsa` (shipped), a name in the catalog, or a JSON file
    #[arg(default_value = "nsa")]
    name: String,
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub struct PlotArgs {
    #[arg(default_value = "nsa")]
    name: String,
    /// Figure to write, .png or .svg
    #[arg(short, long)]
    out: PathBuf,
    /// Draw this survey's galaxies too
    #[arg(long)]
    survey: Option<String>,
}

pub fn run(command: NoiseCommand, context: &Context) -> anyhow::Result<Outcome> {
    match command {
        NoiseCommand::Fit(args) => fit_survey(&args, context),
        NoiseCommand::Plot(args) => plot(&args, context),
        NoiseCommand::Show(args) => show(&args, context),
    }
}

/// Photometry of a survey's galaxies: filter names, flux and ivar `[n, n_band]`, NaN where not observed.
fn photometry(
    store: &Store,
    survey: &str,
    condition: Option<&str>,
) -> anyhow::Result<(Vec<String>, Array2<f64>, Array2<f64>)> {
    let survey = store.survey(survey)?;
    let bands = store.bands(survey.band_set)?;
    let names = bands.into_iter().map(|band| band.filter_name.unwrap_or(band.name)).collect::<Vec<_>>();
    let of_survey = format!("survey = '{}'", survey.name.replace('\'', "''"));
    let condition = match condition {
        Some(condition) => format!("{of_survey} AND ({condition})"),
        None => of_survey,
    };
    let ids = store.select_galaxies(&Selection { condition: Some(&condition), ..Selection::default() })?;
    let mut flux = Array2::from_elem((ids.len(), names.len()), f64::NAN);
    let mut ivar = flux.clone();
    for (batch, ids) in ids.chunks(1000).enumerate() {
        for (i, galaxy) in store.observed_galaxies(ids)?.into_iter().enumerate() {
            for (band, phot) in galaxy.photometry.iter().enumerate().take(names.len()) {
                flux[[batch * 1000 + i, band]] = phot.flux_nmgy.unwrap_or(f64::NAN);
                ivar[[batch * 1000 + i, band]] = phot.ivar_nmgy.unwrap_or(f64::NAN);
            }
        }
    }
    Ok((names, flux, ivar))
}

fn fit_survey(args: &FitArgs, context: &Context) -> anyhow::Result<Outcome> {
    if !(args.bin_mag.is_finite() && args.bin_mag > 0.0) {
        bail!("--bin-mag is {}, expected a positive number", args.bin_mag);
    }
    let mut store = setup::open(&context.catalog)?;
    let name = args.name.clone().unwrap_or_else(|| args.survey.clone());
    let options = FitOptions { bin_mag: args.bin_mag, min_count: args.min_count, ..FitOptions::default() };
    let config = json!({ "survey": args.survey, "name": name, "where": args.condition, "options": options });
    let spec = RunSpec { command: "noise fit", config: &config, seed: None, resumes: None };
    let (model, report) = store.recorded(&spec, |store, run| -> anyhow::Result<_> {
        let (bands, flux, ivar) = photometry(store, &args.survey, args.condition.as_deref())?;
        let (mut model, report) = fit(&bands, flux.view(), ivar.view(), &options)?;
        model.name = name.clone();
        model.source = format!("fitted to {} galaxies of survey {}", flux.nrows(), args.survey);
        store.put_noise_model(run, &model)?;
        Ok(((model, report), RunState::Done))
    })?;
    if !context.quiet {
        talk(&report);
    }
    table(&model)?;
    Ok(Outcome::Done)
}

fn talk(report: &FitReport) {
    for band in &report.bands {
        let u = band.unusable;
        eprintln!(
            "{}: {} of {} rows used, {} of them clipped; not finite {}, inverse variance not positive {}, \
             flux not positive {}, in a sparse or far magnitude bin {}",
            band.band,
            band.used,
            band.rows,
            band.clipped,
            u.not_finite,
            u.ivar_not_positive,
            u.flux_not_positive,
            u.outlying_bin
        );
    }
}

fn table(model: &NoiseModel) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{:<14} {:>6} {:>10} {:>10} {:>8}", "band", "mag", "sigma_mag", "sd", "galaxies")?;
    for band in &model.bands {
        for i in 0..band.mag.len() {
            writeln!(
                out,
                "{:<14} {:>6.2} {:>10.4} {:>10.4} {:>8}",
                band.band, band.mag[i], band.sigma_median[i], band.sigma_sd[i], band.count[i]
            )?;
        }
    }
    Ok(())
}

fn show(args: &ShowArgs, context: &Context) -> anyhow::Result<Outcome> {
    let store = setup::open_if_there(&context.catalog)?;
    let model = setup::noise(store.as_ref(), &args.name)?;
    if args.json {
        let mut out = std::io::stdout().lock();
        writeln!(out, "{}", serde_json::to_string_pretty(&model)?)?;
        return Ok(Outcome::Done);
    }
    if !context.quiet {
        eprintln!("{}: {}", model.name, model.source);
    }
    table(&model)?;
    Ok(Outcome::Done)
}

fn plot(args: &PlotArgs, context: &Context) -> anyhow::Result<Outcome> {
    let store = setup::open_if_there(&context.catalog)?;
    let model = setup::noise(store.as_ref(), &args.name)?;
    let mut galaxies = Vec::new();
    if let Some(survey) = &args.survey {
        let store = store.as_ref().context("there is no catalog with that survey")?;
        let (names, flux, ivar) = photometry(store, survey, None)?;
        // A few thousand points show the scatter; more only make the file large.
        let step = (flux.nrows() / 3000).max(1);
        for band in &model.bands {
            let Some(column) = names.iter().position(|name| *name == band.band) else {
                galaxies.push(vec![]);
                continue;
            };
            let points = (0..flux.nrows()).step_by(step).filter_map(|row| {
                let (flux, ivar) = (flux[[row, column]], ivar[[row, column]]);
                (flux > 0.0 && ivar > 0.0)
                    .then(|| (nmgy_to_mag(flux), MAG_PER_RELATIVE / (ivar.sqrt() * flux)))
            });
            galaxies.push(points.collect());
        }
    }
    curves::noise(&model, &galaxies)?.save(&args.out)?;
    if !context.quiet {
        eprintln!("wrote {}", args.out.display());
    }
    Ok(Outcome::Done)
}
