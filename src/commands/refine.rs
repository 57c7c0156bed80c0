//! `sedflow refine`: weighted draws and chains for the galaxies of a posterior set, as a new set.

use anyhow::{Context as _, bail};
use serde_json::json;

use super::infer::{Job, Keep, Kept, MethodArg, RoadArgs, Which, answer_all, say};
use super::listen::Terminal;
use super::{Context, Outcome, plot, setup};
use crate::store::{RunSpec, RunState};

#[derive(Debug, clap::Args)]
pub struct RefineArgs {
    /// Posterior set whose galaxies are answered again [default: the current one]
    set: Option<String>,
    /// Name of the new set [default: the old one's with the method]
    #[arg(long)]
    name: Option<String>,
    /// Draws per galaxy [default: as many as the old set's]
    #[arg(long)]
    draws: Option<u64>,
    /// Keep summaries only, not the draws
    #[arg(long)]
    no_samples: bool,
    #[command(flatten)]
    roads: RoadArgs,
}

pub fn run(args: RefineArgs, context: &Context) -> anyhow::Result<Outcome> {
    let terminal = Terminal::new(context.quiet, &context.catalog);
    let mut store = setup::open(&context.catalog)?;
    let old = plot::posterior_set(&store, args.set.as_deref())?;
    if !old.complete {
        bail!("set {} is not complete: let `sedflow infer` finish it first", old.name);
    }
    if args.roads.method == MethodArg::Npe {
        bail!("--method npe is what `sedflow infer` does; expected is, auto or mcmc");
    }
    let draws = args.draws.unwrap_or(old.n_draws);
    if draws == 0 || draws > 1_000_000 {
        bail!("--draws is {draws}, expected 1 to 1000000");
    }
    let id = old.checkpoint.context("the set was made without a checkpoint")?;
    let checkpoint = store.checkpoints()?.into_iter().find(|c| c.id == id);
    let checkpoint = checkpoint.context("the set's checkpoint is not in the catalog")?.hash.to_string();
    let rules = args.roads.rules()?;
    let roads = args.roads.roads();
    let name = args.name.clone().unwrap_or_else(|| {
        let method = json!(roads);
        format!("{}-{}", old.name, method.as_str().unwrap_or("refined"))
    });
    let config = json!({
        "set": old.name, "name": name, "draws": draws, "samples": !args.no_samples, "method": roads, "rules": rules,
    });
    let spec = RunSpec { command: "refine", config: &config, seed: Some(old.seed), resumes: None };
    let job = Job {
        which: Which::OfSet(&old),
        draws,
        checkpoint: &checkpoint,
        name: Some(&name),
        seed: old.seed,
        kept: Kept::new(Keep::Draws, args.no_samples),
        roads,
        rules,
    };
    let (tally, set, state) = store.recorded(&spec, |store, run| -> anyhow::Result<_> {
        let (tally, set, state) = answer_all(store, run, &job, &terminal)?;
        Ok(((tally, set, state), state))
    })?;
    if !context.quiet {
        say(&store, &set, tally)?;
    }
    println!("{}", set.name);
    Ok(match state {
        RunState::Interrupted => {
            eprintln!("stopped; the same command goes on where it was");
            Outcome::Interrupted
        }
        _ => Outcome::Done,
    })
}
