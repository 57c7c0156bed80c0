//! `sedflow shard` and `infer --shard`: a posterior set in parts, each made by one process in a file of its own.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde_json::json;

use super::find::selected_by_draws;
use super::infer::{InferArgs, InferCommand, Which, answer_with, say};
use super::listen::Terminal;
use super::{Context, Outcome, setup};
use crate::hash::ContentHash;
use crate::shards::{Members, ShardOf, shard_of, stream_of};
use crate::store::{Artifact, GalaxyId, Mode, ProductKind, RunSpec, RunState, Selection, Store};

mod estimate;
pub mod plan;
pub mod status;

use plan::Plan;

#[derive(Debug, clap::Subcommand)]
pub enum ShardCommand {
    /// Split a selection into shards that machines answer independently, and write the plan; or estimate what they take
    Plan(Box<plan::PlanArgs>),
    /// Which shards of a plan are done, unfinished, missing or not of it
    Status(status::StatusArgs),
}

pub fn run(command: ShardCommand, context: &Context) -> anyhow::Result<Outcome> {
    match command {
        ShardCommand::Plan(args) => plan::run(*args, context),
        ShardCommand::Status(args) => status::run(&args, context),
    }
}

/// The part of the galaxies that one process answers, in a file of its own.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct PartArgs {
    /// Answer only shard I of N, in a file of its own that `merge` takes; the catalog is left as it is
    #[arg(long, value_name = "I/N")]
    pub shard: Option<ShardOf>,
    /// The shard's file [default: shard-I-of-N.db in the plan's folder, or here]
    #[arg(long, value_name = "FILE", requires = "shard")]
    pub out: Option<PathBuf>,
    /// Folder of a plan by `shard plan`, which says everything else
    #[arg(long, value_name = "DIR", requires = "shard", conflicts_with_all = [
        "condition", "draws", "checkpoint", "name", "seed", "store", "no_samples", "method", "errors", "model_error",
    ])]
    pub plan: Option<PathBuf>,
}

/// Calls `visit` with every galaxy of a condition and its random stream.
fn each_selected(
    store: &Store,
    condition: Option<&str>,
    visit: &mut dyn FnMut(GalaxyId, u64),
) -> anyhow::Result<()> {
    let by_condition = Selection { condition, ..Selection::default() };
    let ids = selected_by_draws(store, condition, &by_condition, None)?;
    let selection = match &ids {
        Some(ids) => Selection { ids: Some(ids), ..Selection::default() },
        None => by_condition,
    };
    Ok(store.visit_names(&selection, &mut |id, survey, object| visit(id, stream_of(survey, object)))?)
}

/// The members of each of `n` shards.
fn members_of_all(store: &Store, condition: Option<&str>, n: u32) -> anyhow::Result<Vec<Members>> {
    let mut all = vec![Members::default(); n as usize];
    each_selected(store, condition, &mut |_, stream| all[shard_of(stream, n) as usize - 1].add(stream))?;
    Ok(all)
}

/// The galaxies of one shard.
fn members_of(
    store: &Store,
    condition: Option<&str>,
    shard: ShardOf,
) -> anyhow::Result<(Vec<GalaxyId>, Members)> {
    let (mut ids, mut members) = (Vec::new(), Members::default());
    each_selected(store, condition, &mut |id, stream| {
        if shard.holds(stream) {
            ids.push(id);
            members.add(stream);
        }
    })?;
    Ok((ids, members))
}

/// `infer --shard`: answers the galaxies of one shard in a file of its own, or goes on with them.
pub fn answer_shard(command: &InferCommand, context: &Context) -> anyhow::Result<Outcome> {
    let part = &command.part;
    let Some(shard) = part.shard else { bail!("no shard is given") };
    let plan = part.plan.as_deref().map(Plan::read).transpose()?;
    let args: &InferArgs = plan.as_ref().map_or(&command.args, |plan| &plan.infer);
    let folder = part.plan.clone().unwrap_or_default();
    let out = part.out.clone().unwrap_or_else(|| folder.join(shard.file_name()));

    let main = context.open(Mode::Read)?;
    let same_file =
        |a: &Path, b: &Path| a.canonicalize().ok().is_some_and(|a| b.canonicalize().is_ok_and(|b| a == b));
    if same_file(&out, main.path()) {
        bail!("{} is the catalog; a shard is a file of its own", out.display());
    }
    let (bytes, label) = setup::checkpoint_bytes(Some(&main), &args.checkpoint)?;
    let (ids, members) = members_of(&main, args.condition.as_deref(), shard)?;
    if let Some(plan) = &plan {
        plan.admits(&main, shard, ContentHash::of_bytes(&bytes), members)?;
    }
    if ids.is_empty() {
        context.remark(&format!("no galaxy falls into shard {shard}: nothing to do"));
        return Ok(Outcome::Done);
    }
    let terminal = Terminal::new(context.quiet, &out);
    let job = args.job(Which::Shard(args.condition.as_deref(), shard))?;
    let mut config = args.config(&job);
    config["shard"] = json!(shard.to_string());
    let spec = RunSpec { command: "infer", config: &config, seed: Some(args.seed), resumes: None };
    let mut store = Store::open_or_create(&out)?;
    context.remark_all(store.notes());
    let (tally, set, state) = store.recorded(&spec, |store, run| -> anyhow::Result<_> {
        for ingest in main.ingest_facts()? {
            store.add_run_input(
                run,
                &Artifact::product(ProductKind::Ingest, ingest.file_name, ingest.hash),
            )?;
        }
        let (there, has) = members_of(store, None, ShardOf { index: 1, of: 1 })?;
        if there.is_empty() {
            store.take_galaxies(run, &main, &ids, false)?;
        } else if has != members {
            bail!(
                "{} holds other galaxies ({}) than shard {shard} of {} ({}): it is a shard of another catalog, \
                 selection or plan; --out names another file",
                out.display(),
                has.galaxies,
                main.path().display(),
                members.galaxies
            );
        }
        let loaded = setup::carry_checkpoint(store, run, &main, bytes, &label)?;
        // Nobody who writes to the catalog shall wait for this.
        drop(main);
        let answered = answer_with(store, run, &job, &loaded, &terminal)?;
        let state = answered.2;
        Ok((answered, state))
    })?;
    if !context.quiet {
        say(&store, &set, tally)?;
    }
    drop(store);
    writeln!(std::io::stdout(), "{}", out.display())?;
    Ok(match state {
        RunState::Interrupted => {
            eprintln!("stopped; the same command goes on where it was");
            Outcome::Interrupted
        }
        _ => Outcome::Done,
    })
}

/// A folder made where there is none.
fn make_folder(folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))
}
