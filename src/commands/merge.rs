//! `sedflow merge`: shards of a posterior set, made elsewhere by the same checkpoint, into one set.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde_json::json;

use super::shard::plan::Plan;
use super::shard::status::{State, stands, summary};
use super::{Context, Outcome, setup};
use crate::shards::ranges;
use crate::store::{
    Artifact, Merged, Mode, PosteriorSet, PosteriorSetSpec, ProductKind, RunId, RunSpec, RunState, Store,
};

#[derive(Debug, clap::Args)]
pub struct MergeArgs {
    /// Catalogs, or releases, that hold a part of the set each
    #[arg(required_unless_present = "plan", value_name = "FILE")]
    shards: Vec<PathBuf>,
    /// Folder of a plan by `shard plan`: merge its shards, each held against the plan first
    #[arg(long, value_name = "DIR", conflicts_with_all = ["shards", "set"])]
    plan: Option<PathBuf>,
    /// The set to merge, as the shards call it [default: the current one of each]
    #[arg(long)]
    set: Option<String>,
    /// Name of the merged set in this catalog [default: as the first shard calls it]
    #[arg(long)]
    name: Option<String>,
    /// Leave the set open for shards to come, instead of declaring it complete
    #[arg(long)]
    more: bool,
}

/// A shard, open, and the set of it that is wanted.
pub struct Shard {
    pub path: PathBuf,
    pub store: Store,
    pub set: PosteriorSet,
}

pub fn run(args: MergeArgs, context: &Context) -> anyhow::Result<Outcome> {
    let (paths, set) = match &args.plan {
        Some(folder) => planned(folder, args.more, context)?,
        None => (args.shards, args.set),
    };
    let mut store = Store::open_or_create(&context.catalog)?;
    context.remark_all(store.notes());
    let shards = paths
        .iter()
        .map(|path| open(path, set.as_deref(), &store))
        .collect::<anyhow::Result<Vec<Shard>>>()?;
    let config = json!({
        "shards": paths, "set": set, "name": args.name, "more": args.more,
    });
    let spec = RunSpec { command: "merge", config: &config, seed: None, resumes: None };
    let (set, total) = store.recorded(&spec, |store, run| -> anyhow::Result<_> {
        Ok((merge(store, run, &shards, args.name.as_deref(), args.more, context)?, RunState::Done))
    })?;
    let (answers, reasons) = store.posterior_counts(set.id)?;
    context.remark(&format!(
        "set `{}`: {} galaxies added, {} were there already; it holds {answers} posteriors and {reasons} reasons",
        set.name, total.n_added, total.n_known
    ));
    println!("{}", set.name);
    Ok(Outcome::Done)
}

/// The files of a plan's shards, and the name of their set. Errors unless all are done, or what there is, is asked for.
fn planned(folder: &Path, more: bool, context: &Context) -> anyhow::Result<(Vec<PathBuf>, Option<String>)> {
    let plan = Plan::read(folder)?;
    let stands = stands(folder, &plan);
    let wrong = stands.iter().filter_map(|stand| match &stand.state {
        State::Wrong(why) => Some(format!("{}: {why}", stand.file.display())),
        _ => None,
    });
    let wrong: Vec<String> = wrong.collect();
    if !wrong.is_empty() {
        bail!(
            "what is no shard of the plan in {} is not merged:\n  {}",
            folder.display(),
            wrong.join("\n  ")
        );
    }
    let (done, open): (Vec<_>, Vec<_>) = stands
        .iter()
        .filter(|stand| stand.state != State::Empty)
        .partition(|stand| stand.state == State::Done);
    if !open.is_empty() && (!more || done.is_empty()) {
        let numbers: Vec<u32> = open.iter().map(|stand| stand.shard.index).collect();
        bail!(
            "{}; not done: {} (run them again; --more merges what there is)",
            summary(&stands),
            ranges(&numbers)
        );
    }
    if !open.is_empty() {
        context.remark(&summary(&stands));
    }
    Ok((done.into_iter().map(|stand| stand.file.clone()).collect(), Some(plan.set)))
}

fn open(path: &Path, set: Option<&str>, into: &Store) -> anyhow::Result<Shard> {
    let same =
        |a: &Path, b: &Path| a.canonicalize().ok().zip(b.canonicalize().ok()).is_some_and(|(a, b)| a == b);
    if same(path, into.path()) {
        bail!("{} is the catalog that shards are merged into; -C names another", path.display());
    }
    let store = Store::open(path, Mode::Read)?;
    let set = match set {
        Some(name) => store.find_posterior_set(name),
        None => store.current_posterior_set().and_then(|set| {
            set.ok_or_else(|| crate::store::StoreError::NoSuch {
                kind: "posterior set",
                name: "(current)".into(),
                known: vec![],
            })
        }),
    };
    let set = set.with_context(|| path.display().to_string())?;
    if !set.complete {
        bail!(
            "{}: the set `{}` is not complete; the `infer` that began it goes on with it",
            path.display(),
            set.name
        );
    }
    Ok(Shard { path: path.to_owned(), store, set })
}

/// Brings every shard into one set of the catalog, called `name` or as the first shard calls it.
pub fn merge(
    store: &mut Store,
    run: RunId,
    shards: &[Shard],
    name: Option<&str>,
    more: bool,
    context: &Context,
) -> anyhow::Result<(PosteriorSet, Merged)> {
    let Some(first) = shards.first() else { bail!("no shard is given") };
    let identity = first.store.set_identity(&first.set)?;
    for shard in &shards[1..] {
        let differences = identity.differences(&shard.store.set_identity(&shard.set)?);
        if !differences.is_empty() {
            bail!(
                "{} is no shard of the set of {}: {}",
                shard.path.display(),
                first.path.display(),
                differences.join("; ")
            );
        }
    }
    let checkpoint =
        first.set.checkpoint.context("the set was made without a checkpoint, and is not merged")?;
    let known = first.store.checkpoints()?.into_iter().find(|known| known.id == checkpoint);
    let known = known.with_context(|| format!("{} lacks the set's checkpoint", first.path.display()))?;
    let label = known.name.unwrap_or_else(|| known.hash.short());
    let loaded =
        setup::carry_checkpoint(store, run, &first.store, first.store.checkpoint_data(checkpoint)?, &label)?;
    let parameters: Vec<&str> = first.set.parameters.iter().map(String::as_str).collect();
    let set = store.begin_posterior_set(
        run,
        &PosteriorSetSpec {
            name: name.unwrap_or(&first.set.name),
            checkpoint: Some(loaded.id),
            sed_model: loaded.sed_model,
            prior: loaded.prior,
            config: &identity.config,
            seed: first.set.seed,
            n_draws: first.set.n_draws,
            parameters: &parameters,
        },
    )?;
    let mut total = Merged::default();
    for shard in shards {
        let name = format!("{}:{}", shard.path.display(), shard.set.name);
        store.add_run_input(run, &Artifact::product(ProductKind::PosteriorSet, name, shard.set.hash))?;
        let merged = store.merge_shard(run, &shard.store, shard.set.id, set.id)?;
        context.remark(&format!(
            "{}: {} added, {} known{}",
            shard.path.display(),
            merged.n_added,
            merged.n_known,
            if merged.n_galaxies > 0 {
                format!(", with {} galaxies new to this catalog", merged.n_galaxies)
            } else {
                String::new()
            }
        ));
        total.n_added += merged.n_added;
        total.n_known += merged.n_known;
    }
    if !more && !set.complete {
        store.finish_posterior_set(set.id)?;
    }
    store.set_current_posterior_set(&set.name)?;
    Ok((store.posterior_set(set.id)?, total))
}
