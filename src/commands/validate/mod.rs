//! `sedflow validate`: is a checkpoint right? Calibration on mocks, predictive checks on real galaxies,
//! two checkpoints side by side.

mod compare;
mod document;
mod exact;
mod figures;
mod galaxies;
mod judge;
mod likelihood;
mod mocks;
mod report;
mod work;

use std::path::PathBuf;

use anyhow::bail;
use serde_json::{Value, json};

use super::listen::Terminal;
use super::{Context, Outcome};
use crate::hash::ContentHash;
use crate::infer::SHIPPED_NAME;
use crate::store::{RunSpec, RunState, Store};
use crate::validate::findings::Measure;
use crate::validate::{Evidence, Findings};
use exact::Exact;
use galaxies::Galaxies;
use judge::Judged;

#[derive(Debug, Clone, clap::Args)]
pub struct ValidateArgs {
    /// `sdss-ugriz` (shipped), a checkpoint of the catalog, or a file
    #[arg(default_value = SHIPPED_NAME)]
    checkpoint: String,
    /// The same as an option
    #[arg(long = "checkpoint", value_name = "CHECKPOINT", conflicts_with = "checkpoint")]
    named: Option<String>,
    /// Put two checkpoints side by side
    #[arg(long, num_args = 2, value_names = ["A", "B"], conflicts_with_all = ["checkpoint", "named"])]
    compare: Vec<String>,
    /// Mocks to look at [default: 1000, or all of a stored set]
    #[arg(long)]
    mocks: Option<u64>,
    /// Draws per mock and galaxy
    #[arg(long, default_value_t = 1000)]
    draws: u64,
    /// Of mocks and draws; another one than the training's
    #[arg(long, default_value_t = 1_000_003)]
    seed: u64,
    /// Mocks of a stored set (`simulate`) instead of fresh ones
    #[arg(long, value_name = "SET")]
    set: Option<String>,
    /// Probability of each band of fresh mocks to be missing
    #[arg(long, default_value_t = 0.0, value_name = "P")]
    missing: f64,
    /// Real galaxies of the catalog for predictive checks, 0 for none [default: 200]
    #[arg(long)]
    galaxies: Option<u64>,
    /// Condition on them, such as "survey = 'nsa' and redshift < 0.1"
    #[arg(long = "where", value_name = "EXPR")]
    condition: Option<String>,
    /// Mocks, and as many of the real galaxies, whose posterior is also found by MCMC and compared
    #[arg(long, default_value_t = 0, value_name = "N")]
    mcmc: u64,
    /// Judge mocks and real galaxies by a likelihood (`train --likelihood`)
    #[arg(long, value_name = "CHECKPOINT")]
    likelihood: Option<String>,
    /// Bins of redshift, magnitude and signal-to-noise
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=50))]
    bins: u16,
    /// Write the figures to this folder, as PNG and SVG
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
    /// Write one file with all tables and figures, .html or .md
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Write the p-p plot alone to this .png or .svg
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Name of the validation in the catalog
    #[arg(long, conflicts_with = "compare")]
    name: Option<String>,
}

/// One checkpoint examined.
pub struct Validated {
    pub name: String,
    pub hash: ContentHash,
    pub config: Value,
    /// What its mocks depend on: the same for two checkpoints that are shown the same.
    pub mocks_of: Value,
    pub evidence: Evidence,
    pub findings: Findings,
    pub galaxies: Option<Galaxies>,
    /// Comparisons with MCMC, by the galaxies compared.
    pub exact: Vec<(&'static str, Exact)>,
    pub judged: Option<Judged>,
}

impl Validated {
    /// Every number found, as rows.
    fn measures(&self) -> Vec<Measure> {
        let mut all = self.findings.measures();
        for (section, exact) in &self.exact {
            let subset = if *section == exact::MOCKS { "" } else { "real galaxies" };
            for (method, agreement) in exact.agreements() {
                all.extend(agreement.measures(&format!("{method}_mcmc"), &self.evidence.names, subset));
            }
        }
        all
    }
}

pub fn run(args: ValidateArgs, context: &Context) -> anyhow::Result<Outcome> {
    check(&args)?;
    let terminal = Terminal::new(context.quiet, &context.catalog);
    let mut store = Store::open_or_create(&context.catalog)?;
    let names = match &args.named {
        _ if !args.compare.is_empty() => args.compare.clone(),
        Some(name) => vec![name.clone()],
        None => vec![args.checkpoint.clone()],
    };
    let config = json!({
        "checkpoints": names, "mocks": args.mocks, "draws": args.draws, "seed": args.seed, "set": args.set,
        "missing": args.missing, "galaxies": args.galaxies, "where": args.condition, "mcmc": args.mcmc,
        "likelihood": args.likelihood, "bins": args.bins,
        "name": args.name,
    });
    let spec = RunSpec { command: "validate", config: &config, seed: Some(args.seed), resumes: None };
    let validated = store.recorded(&spec, |store, run| -> anyhow::Result<_> {
        let mut all = Vec::new();
        for name in &names {
            match work::validate(store, run, name, &args, &terminal)? {
                Some(validated) => all.push(validated),
                None => return Ok((None, RunState::Interrupted)),
            }
        }
        Ok((Some(all), RunState::Done))
    })?;
    let Some(validated) = validated else {
        eprintln!("stopped; the same command goes on where it was");
        return Ok(Outcome::Interrupted);
    };
    let mut out = std::io::stdout().lock();
    match &validated[..] {
        [one] => {
            report::print(&mut out, one)?;
            show(one, &args, context)?;
        }
        [a, b] => {
            let comparison = compare::comparison(a, b, a.mocks_of == b.mocks_of);
            comparison.print(&mut out)?;
            if args.folder.is_some() || args.report.is_some() {
                let figures = compare::figures(a, b)?;
                if let Some(folder) = &args.folder {
                    figures::save(&figures, folder)?;
                    for one in [a, b] {
                        figures::save(&figures::of_one(one)?, &folder.join(&one.name))?;
                    }
                }
                if let Some(path) = &args.report {
                    report::write(&comparison.document(a, b, &figures), path)?;
                }
                wrote(&args, context);
            }
        }
        _ => {}
    }
    Ok(Outcome::Done)
}

/// Refuses what cannot work before any work is done.
fn check(args: &ValidateArgs) -> anyhow::Result<()> {
    if args.mocks.is_some_and(|n| n < 2) {
        bail!("--mocks is {}, expected at least 2", args.mocks.unwrap_or(0));
    }
    if !(3..=1_000_000).contains(&args.draws) {
        bail!("--draws is {}, expected 3 to 1000000", args.draws);
    }
    if args.set.is_some() && args.missing > 0.0 {
        bail!("--missing is for fresh mocks; the bands of a stored set are missing or not already");
    }
    if args.condition.is_some() && args.galaxies == Some(0) {
        bail!("--where chooses galaxies, but --galaxies is 0");
    }
    if let Some(path) = &args.report {
        report::check_name(path)?;
    }
    if let Some(path) = &args.plot
        && !path.extension().is_some_and(|ending| ending == "png" || ending == "svg")
    {
        bail!("{}: the name of a figure ends in .png or .svg", path.display());
    }
    Ok(())
}

/// Figures and report of one validation, where asked for.
fn show(one: &Validated, args: &ValidateArgs, context: &Context) -> anyhow::Result<()> {
    if args.folder.is_none() && args.report.is_none() && args.plot.is_none() {
        return Ok(());
    }
    let figures = figures::of_one(one)?;
    if let Some(folder) = &args.folder {
        figures::save(&figures, folder)?;
    }
    if let Some(path) = &args.report {
        report::write(&report::document(one, &figures), path)?;
    }
    if let Some(path) = &args.plot
        && let Some(figure) = figures.iter().find(|figure| figure.name == "pp")
    {
        figure.canvas.save(path)?;
    }
    wrote(args, context);
    Ok(())
}

fn wrote(args: &ValidateArgs, context: &Context) {
    for path in [&args.folder, &args.report, &args.plot].into_iter().flatten() {
        context.remark(&format!("wrote {}", path.display()));
    }
}
