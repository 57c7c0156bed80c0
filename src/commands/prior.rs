//! `sedflow prior`: show the prior's table, or name another one.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use serde_json::json;

use super::{Context, Outcome, setup};
use crate::prior::{BetaPrior, Density, PARAMS, Prior, PriorSpec};
use crate::store::{RunSpec, RunState, Store};

#[derive(Debug, clap::Subcommand)]
pub enum PriorCommand {
    /// Print a prior
    Show(ShowArgs),
    /// Keep a prior in the catalog under a name
    ///
    /// Starts from the default (or --from, or --file) and changes what is given:
    /// `prior set dusty tau_ism=uniform:0,5 n_dust=fixed:-0.7 beta=dirichlet:1,1,1,1`.
    Set(SetArgs),
}

#[derive(Debug, clap::Args)]
pub struct ShowArgs {
    /// `default`, a name in the catalog, or a JSON file
    #[arg(default_value = setup::DEFAULT)]
    name: String,
    /// As JSON, which `prior set --file` reads
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub struct SetArgs {
    /// Name to keep it under
    name: String,
    /// PARAMETER=KIND:NUMBERS, KIND being uniform, log_uniform, normal, truncated_normal, dirichlet or fixed
    #[arg(value_name = "CHANGE")]
    changes: Vec<String>,
    /// JSON file with all parameters
    #[arg(long, conflicts_with = "from")]
    file: Option<PathBuf>,
    /// Prior to start from
    #[arg(long, default_value = setup::DEFAULT)]
    from: String,
}

pub fn run(command: PriorCommand, context: &Context) -> anyhow::Result<Outcome> {
    match command {
        PriorCommand::Show(args) => show(&args, context),
        PriorCommand::Set(args) => set(&args, context),
    }
}

fn show(args: &ShowArgs, context: &Context) -> anyhow::Result<Outcome> {
    let store = setup::open_if_there(&context.catalog)?;
    let prior = setup::prior(store.as_ref(), &args.name)?;
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(prior.spec())?)?;
        return Ok(Outcome::Done);
    }
    writeln!(out, "{:<12} {:<10} {:<34} description", "parameter", "unit", "prior")?;
    for (param, info) in PARAMS.iter().enumerate() {
        let text =
            if (1..5).contains(&param) { describe_beta(&prior) } else { describe(scalar(&prior, info.name)) };
        writeln!(out, "{:<12} {:<10} {:<34} {}", info.name, info.unit, text, info.description)?;
    }
    let zred = describe(Some(prior.spec().zred));
    writeln!(out, "{:<12} {:<10} {zred:<34} redshift of simulated galaxies", "zred", "")?;
    Ok(Outcome::Done)
}

fn scalar(prior: &Prior, name: &str) -> Option<Density> {
    prior.spec().clone().scalar_mut(name).copied()
}

fn describe(density: Option<Density>) -> String {
    match density {
        Some(Density::Uniform { lower, upper }) => format!("uniform {lower:.6} .. {upper:.6}"),
        Some(Density::LogUniform { lower, upper }) => format!("log-uniform {lower:.6} .. {upper:.6}"),
        Some(Density::Normal { mean, sd }) => format!("normal {mean:.6} +- {sd:.6}"),
        Some(Density::TruncatedNormal { mean, sd, lower, upper }) => {
            format!("normal {mean:.6} +- {sd:.6} in {lower:.6} .. {upper:.6}")
        }
        Some(Density::Fixed { value }) => format!("fixed {value:.6}"),
        None => String::new(),
    }
}

fn describe_beta(prior: &Prior) -> String {
    match prior.spec().beta {
        BetaPrior::Dirichlet { alpha } if alpha == [1.0; 4] => "flat Dirichlet".into(),
        BetaPrior::Dirichlet { alpha } => format!("Dirichlet {alpha:?}"),
        BetaPrior::Fixed { value } => format!("fixed {value:?}"),
    }
}

fn set(args: &SetArgs, context: &Context) -> anyhow::Result<Outcome> {
    let mut store = Store::open_or_create(&context.catalog)?;
    let mut spec = match &args.file {
        Some(path) => {
            let text =
                std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
            Prior::from_json(&text).with_context(|| path.display().to_string())?.spec().clone()
        }
        None => setup::prior(Some(&store), &args.from)?.spec().clone(),
    };
    for change in &args.changes {
        apply(&mut spec, change)?;
    }
    let prior = Prior::new(spec)?;
    let config = json!({ "name": args.name, "prior": prior.spec() });
    let spec = RunSpec { command: "prior set", config: &config, seed: None, resumes: None };
    store.recorded(&spec, |store, run| -> anyhow::Result<_> {
        store.put_prior(run, &args.name, &prior)?;
        Ok(((), RunState::Done))
    })?;
    if !context.quiet {
        eprintln!("prior `{}` kept in {} ({})", args.name, context.catalog.display(), prior.hash()?.short());
    }
    Ok(Outcome::Done)
}

/// Changes one entry: `tau_ism=uniform:0,5`.
fn apply(spec: &mut PriorSpec, change: &str) -> anyhow::Result<()> {
    let usage = || format!("`{change}`: expected PARAMETER=KIND:NUMBERS, such as tau_ism=uniform:0,5");
    let (name, text) = change.split_once('=').with_context(usage)?;
    let (kind, numbers) = text.split_once(':').with_context(usage)?;
    let numbers = numbers
        .split(',')
        .map(|number| {
            number.trim().parse::<f64>().with_context(|| format!("`{change}`: `{number}` is not a number"))
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    if name == "beta" {
        let four: [f64; 4] =
            numbers.try_into().map_err(|_| anyhow::anyhow!("`{change}`: beta takes four numbers"))?;
        spec.beta = match kind {
            "dirichlet" => BetaPrior::Dirichlet { alpha: four },
            "fixed" => BetaPrior::Fixed { value: four },
            _ => bail!("`{change}`: the prior of beta is dirichlet or fixed, not {kind}"),
        };
        return Ok(());
    }
    let density = match (kind, numbers.as_slice()) {
        ("uniform", &[lower, upper]) => Density::Uniform { lower, upper },
        ("log_uniform", &[lower, upper]) => Density::LogUniform { lower, upper },
        ("normal", &[mean, sd]) => Density::Normal { mean, sd },
        ("truncated_normal", &[mean, sd, lower, upper]) => {
            Density::TruncatedNormal { mean, sd, lower, upper }
        }
        ("fixed", &[value]) => Density::Fixed { value },
        (_, found) => bail!(
            "`{change}`: no prior of kind {kind} takes {} numbers; there are uniform:LOWER,UPPER, \
             log_uniform:LOWER,UPPER, normal:MEAN,SD, truncated_normal:MEAN,SD,LOWER,UPPER and fixed:VALUE",
            found.len()
        ),
    };
    let known: Vec<&str> =
        PARAMS.iter().map(|info| info.name).filter(|name| !name.starts_with("beta")).collect();
    *spec
        .scalar_mut(name)
        .with_context(|| format!("no parameter `{name}`: expected beta, zred, {}", known.join(", ")))? =
        density;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_read_as_typed() {
        let mut spec = PriorSpec::default();
        apply(&mut spec, "tau_ism=uniform:0,5").unwrap();
        apply(&mut spec, "n_dust=fixed:-0.7").unwrap();
        apply(&mut spec, "beta=dirichlet:1,2,3,4").unwrap();
        apply(&mut spec, "fburst=truncated_normal:0,0.1,0,1").unwrap();
        assert_eq!(spec.tau_ism, Density::Uniform { lower: 0.0, upper: 5.0 });
        assert_eq!(spec.n_dust, Density::Fixed { value: -0.7 });
        assert_eq!(spec.beta, BetaPrior::Dirichlet { alpha: [1.0, 2.0, 3.0, 4.0] });
        assert_eq!(spec.fburst, Density::TruncatedNormal { mean: 0.0, sd: 0.1, lower: 0.0, upper: 1.0 });
    }

    #[test]
    fn a_change_that_makes_no_sense_is_named() {
        let mut spec = PriorSpec::default();
        for (change, part) in [
            ("tau_ism", "expected PARAMETER=KIND:NUMBERS"),
            ("tau_ism=uniform:0", "takes 1 numbers"),
            ("tau_ism=uniform:0,x", "`x` is not a number"),
            ("tau=uniform:0,1", "no parameter `tau`"),
            ("beta=dirichlet:1,1", "four numbers"),
        ] {
            let error = format!("{:#}", apply(&mut spec, change).unwrap_err());
            assert!(error.contains(part), "{error}");
        }
    }
}
