//! `sedflow mcmc`: one galaxy's posterior by Markov chains, with what says whether they converged.

use std::io::Write;
use std::time::Instant;

use anyhow::bail;
use serde_json::json;

use super::infer::{ErrorsArg, Keep, Kept, MethodArg, RoadArgs, measured_for, row_of};
use super::{Context, Outcome, plot, setup};
use crate::codec;
use crate::infer::ladder::{Answer, Ladder, Question, Roads, Rules};
use crate::infer::mcmc::{ChainConfig, Moves};
use crate::infer::{SHIPPED_NAME, column_names, join_reasons};
use crate::prior::{PARAMS, Prior};
use crate::sed::DERIVED_NAMES;
use crate::shards::stream_of;
use crate::store::{PosteriorSetSpec, RunSpec, RunState, Store, StoreError, Summary};

#[derive(Debug, clap::Args)]
pub struct McmcArgs {
    /// The survey's identifier of the galaxy, or SURVEY/IDENTIFIER
    galaxy: String,
    /// `sdss-ugriz` (shipped), a checkpoint of the catalog, or a file: its prior, bands and noise model are used,
    /// and its draws to start from
    #[arg(long, default_value = SHIPPED_NAME)]
    checkpoint: String,
    #[arg(long, value_enum, default_value_t = MovesArg::Slice)]
    moves: MovesArg,
    #[arg(long, default_value_t = 30)]
    walkers: usize,
    /// Most iterations kept; fewer once the chain has converged
    #[arg(long, default_value_t = 10_000)]
    iterations: usize,
    /// Iterations thrown away first
    #[arg(long, default_value_t = 2000)]
    burn_in: usize,
    /// Run all iterations
    #[arg(long)]
    fixed: bool,
    /// Start from draws of the prior, not of the network
    #[arg(long)]
    from_prior: bool,
    /// The moves alone: no coordinates drawn anew from the prior, no jumps to draws of the network
    #[arg(long)]
    plain: bool,
    /// Draws kept of the chain
    #[arg(long, default_value_t = 10_000)]
    draws: u64,
    /// What the likelihood makes of flux errors [default: data as in training where the galaxy is like those,
    /// given elsewhere]
    #[arg(long, value_enum)]
    errors: Option<ErrorsArg>,
    /// Fractional error of the SED model's fluxes, added in quadrature
    #[arg(long, default_value_t = 0.0, value_name = "FRACTION")]
    model_error: f64,
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Name of the posterior set [default: mcmc-GALAXY]
    #[arg(long)]
    name: Option<String>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum MovesArg {
    /// Ensemble slice sampling (Karamanis & Beutler 2021)
    Slice,
    /// Affine-invariant stretch (Goodman & Weare 2010)
    Stretch,
}

pub fn run(args: McmcArgs, context: &Context) -> anyhow::Result<Outcome> {
    if args.draws == 0 || args.draws > 1_000_000 {
        bail!("--draws is {}, expected 1 to 1000000", args.draws);
    }
    let roads = RoadArgs { method: MethodArg::Mcmc, errors: args.errors, model_error: args.model_error };
    let rules = Rules {
        start_from_prior: args.from_prior,
        chain: ChainConfig {
            moves: match args.moves {
                MovesArg::Slice => Moves::Slice,
                MovesArg::Stretch => Moves::Stretch,
            },
            walkers: args.walkers,
            burn_in: args.burn_in,
            iterations: args.iterations,
            fixed: args.fixed,
            refreshes: if args.plain { 0 } else { ChainConfig::default().refreshes },
            jumps: !args.plain,
            ..ChainConfig::default()
        },
        ..roads.rules()?
    };
    let mut store = setup::open(&context.catalog)?;
    let (id, survey) = plot::find_galaxy(&store, &args.galaxy)?;
    let config = json!({
        "galaxy": args.galaxy, "checkpoint": args.checkpoint, "draws": args.draws, "seed": args.seed,
        "name": args.name, "rules": rules,
    });
    let spec = RunSpec { command: "mcmc", config: &config, seed: Some(args.seed), resumes: None };
    let report = store.recorded(&spec, |store, run| -> anyhow::Result<_> {
        let loaded = setup::load_checkpoint(store, run, &args.checkpoint)?;
        let (galaxy, measured) = measured_for(store, &loaded, id)?;
        let started = Instant::now();
        rules.chain.check(loaded.npe.prior().n_free())?;
        let ladder = Ladder::new(&loaded.npe, &loaded.model, &loaded.filters, &loaded.derived, rules)?;
        let question = Question {
            measured: &measured,
            zred: galaxy.redshift,
            n: args.draws as usize,
            seed: args.seed,
            stream: stream_of(&survey, &galaxy.object_id),
        };
        let prepared = started.elapsed().as_secs_f64();
        let answer = ladder.answer(&question, Roads::Mcmc);
        let seconds = started.elapsed().as_secs_f64() - prepared;
        let row = row_of(id, &question, &answer, &loaded, Kept::new(Keep::Draws, false))?;
        let names = column_names();
        let recipe = json!({
            "method": "mcmc", "galaxy": format!("{survey}/{}", galaxy.object_id), "codec": codec::CODEC,
            "steps_per_width": codec::STEPS_PER_WIDTH, "rules": rules,
        });
        let set = |name: &str, store: &mut Store| {
            store.begin_posterior_set(
                run,
                &PosteriorSetSpec {
                    name,
                    checkpoint: Some(loaded.id),
                    sed_model: loaded.sed_model,
                    prior: loaded.prior,
                    config: &recipe,
                    seed: args.seed,
                    n_draws: args.draws,
                    parameters: &names,
                },
            )
        };
        let name = args.name.clone().unwrap_or_else(|| format!("mcmc-{}", galaxy.object_id));
        let set = match set(&name, store) {
            Err(StoreError::NameTaken { .. }) if args.name.is_none() => {
                // The galaxy again, with other settings.
                let hash = crate::hash::ContentHash::of_bytes(config.to_string().as_bytes());
                set(&format!("{name}-{}", hash.short()), store)?
            }
            other => other?,
        };
        if !set.complete {
            if store.posterior(set.id, id)?.is_none() {
                store.commit_posteriors(set.id, std::slice::from_ref(&row))?;
            }
            store.finish_posterior_set(set.id)?;
        }
        let title = format!(
            "{survey} {}, z = {:.4}, {} bands",
            galaxy.object_id,
            galaxy.redshift.unwrap_or(f64::NAN),
            measured.observed.count_ones()
        );
        let prior = loaded.npe.prior().clone();
        Ok((Told { title, seconds, answer, summary: row.summary, prior, set: set.name }, RunState::Done))
    })?;
    tell(&report)
}

/// What there is to say of a chain.
struct Told {
    title: String,
    seconds: f64,
    answer: Answer,
    summary: Vec<Summary>,
    prior: Prior,
    set: String,
}

fn tell(told: &Told) -> anyhow::Result<Outcome> {
    let reasons = join_reasons(&told.answer.reasons).unwrap_or_default();
    let evidence = &told.answer.evidence;
    let Some(chain) = evidence.chain.as_ref().filter(|_| told.answer.draws.is_some()) else {
        bail!("no posterior of {}: {reasons} (kept in set {})", told.title, told.set);
    };
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", told.title)?;
    if !reasons.is_empty() {
        writeln!(out, "remarks: {reasons}")?;
    }
    writeln!(
        out,
        "{} moves, {} walkers, {} + {} iterations, {} evaluations in {:.2} s",
        chain.moves.as_str(),
        chain.walkers,
        chain.burn_in,
        chain.iterations,
        chain.evaluations,
        told.seconds,
    )?;
    write!(out, "taken: {:.0} % of moves tried", 100.0 * chain.acceptance)?;
    if let Some(share) = chain.refresh_acceptance {
        write!(out, ", {:.0} % of draws from the prior", 100.0 * share)?;
    }
    if let Some(share) = chain.jump_acceptance {
        write!(out, ", {:.0} % of jumps to draws of the network", 100.0 * share)?;
    }
    writeln!(out)?;
    writeln!(
        out,
        "{}: split R-hat {:.4}, longest autocorrelation time {:.1} iterations, {:.0} effective draws",
        if chain.converged { "converged" } else { "NOT converged" },
        chain.worst_r_hat(),
        chain.longest_time(),
        evidence.ess.unwrap_or(f64::NAN)
    )?;
    writeln!(
        out,
        "chi^2 of the best draw {:.2}, posterior predictive p {:.3}",
        evidence.chi2_best.unwrap_or(f64::NAN),
        evidence.ppc_p_value.unwrap_or(f64::NAN)
    )?;
    writeln!(out, "\n{:<12} {:>8} {:>8}", "coordinate", "time", "R-hat")?;
    for ((name, time), r_hat) in told.prior.free_names().iter().zip(&chain.times).zip(&chain.r_hat) {
        writeln!(out, "{name:<12} {time:>8.1} {r_hat:>8.4}")?;
    }
    writeln!(out, "\n{:<20} {:>9} {:>9} {:>9}", "parameter", "16 %", "median", "84 %")?;
    let names = PARAMS.iter().map(|info| info.name).chain(DERIVED_NAMES);
    for (name, s) in names.zip(&told.summary) {
        writeln!(out, "{name:<20} {:>9.4} {:>9.4} {:>9.4}", s.q16, s.q50, s.q84)?;
    }
    writeln!(out, "\nkept as set {}", told.set)?;
    Ok(Outcome::Done)
}
