//! `sedflow shard plan`: what all shards of a set have in common, written down so that each can be held against it.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};

use super::super::infer::InferArgs;
use super::super::{Context, Outcome, setup};
use super::estimate::{EstimateArgs, estimate};
use super::{make_folder, members_of_all};
use crate::hash::ContentHash;
use crate::infer::SHIPPED_NAME;
use crate::output::grouped;
use crate::shards::{MOST_SHARDS, Members, ShardOf};
use crate::store::{Mode, PROGRAM_VERSION, Store};

const FORMAT: &str = "sedflow shard plan";
const VERSION: u32 = 1;

#[derive(Debug, Clone, clap::Args)]
pub struct PlanArgs {
    /// Folder for the plan and, unless told otherwise, the shards
    #[arg(value_name = "DIR", required_unless_present = "estimate")]
    pub folder: Option<PathBuf>,
    /// Number of shards
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST_SHARDS)))]
    pub shards: u32,
    #[command(flatten)]
    pub estimate: EstimateArgs,
    #[command(flatten)]
    pub infer: InferArgs,
}

/// What stands in `plan.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    format: String,
    version: u32,
    /// The program that made it.
    program: String,
    /// Where the catalog was, for scripts; what it holds is told by its ingests.
    pub catalog: PathBuf,
    /// Name of the set.
    pub set: String,
    pub checkpoint: Hashed,
    pub ingests: Vec<Hashed>,
    pub infer: InferArgs,
    pub shards: Vec<Members>,
}

/// A thing by name and hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hashed {
    pub name: String,
    pub hash: ContentHash,
}

impl Plan {
    /// The plan in a folder. Errors with a sentence where there is none or it is damaged.
    pub fn read(folder: &Path) -> anyhow::Result<Self> {
        let path = Self::path(folder);
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("cannot read {}: `sedflow shard plan` makes it", path.display()))?;
        let plan: Self = serde_json::from_str(&text)
            .with_context(|| format!("{} is no plan of shards", path.display()))?;
        if plan.format != FORMAT || plan.version != VERSION {
            bail!(
                "{} is a {} of version {}, expected a {FORMAT} of version {VERSION}",
                path.display(),
                plan.format,
                plan.version
            );
        }
        if plan.shards.is_empty() || plan.shards.len() > MOST_SHARDS as usize {
            bail!("{} has {} shards", path.display(), plan.shards.len());
        }
        Ok(plan)
    }

    pub fn path(folder: &Path) -> PathBuf {
        folder.join("plan.json")
    }

    pub fn n(&self) -> u32 {
        self.shards.len() as u32
    }

    /// Its shards in order.
    pub fn all(&self) -> impl Iterator<Item = (ShardOf, Members)> {
        let of = self.n();
        self.shards.iter().zip(1..).map(move |(members, index)| (ShardOf { index, of }, *members))
    }

    /// Errors unless catalog, checkpoint and galaxies of a shard are still those of the plan.
    pub fn admits(
        &self,
        catalog: &Store,
        shard: ShardOf,
        checkpoint: ContentHash,
        members: Members,
    ) -> anyhow::Result<()> {
        if shard.of != self.n() {
            bail!("the plan has {} shards, but shard {shard} was asked for", self.n());
        }
        if checkpoint != self.checkpoint.hash {
            bail!(
                "the plan is for checkpoint {} ({}), but what has that name now is {}",
                self.checkpoint.name,
                self.checkpoint.hash.short(),
                checkpoint.short()
            );
        }
        let found = ingests_of(catalog)?;
        if let Some(missing) = self.ingests.iter().find(|ingest| !found.contains(ingest)) {
            bail!(
                "{} is not the catalog of the plan: it lacks the ingest {} ({})",
                catalog.path().display(),
                missing.hash.short(),
                missing.name
            );
        }
        let planned = self.shards[shard.index as usize - 1];
        if members != planned {
            bail!(
                "shard {shard} of {} has {} galaxies now, other ones than the {} of the plan: the catalog or its \
                 current posterior set changed since; make a new plan",
                catalog.path().display(),
                members.galaxies,
                planned.galaxies
            );
        }
        Ok(())
    }
}

fn ingests_of(store: &Store) -> anyhow::Result<Vec<Hashed>> {
    let facts = store.ingest_facts()?;
    Ok(facts.into_iter().map(|fact| Hashed { name: fact.file_name, hash: fact.hash }).collect())
}

pub fn run(args: PlanArgs, context: &Context) -> anyhow::Result<Outcome> {
    if args.estimate.estimate {
        return estimate(&args, context);
    }
    let Some(folder) = &args.folder else { bail!("no folder is given") };
    let store = context.open(Mode::Read)?;
    let plan = make(&store, &args)?;
    make_folder(folder)?;
    let path = Plan::path(folder);
    let text = serde_json::to_string_pretty(&plan)? + "\n";
    match std::fs::read_to_string(&path) {
        Ok(there) if there == text => {}
        Ok(_) => bail!("{} is there already, and another plan: name another folder", path.display()),
        Err(_) => {
            // Under a passing name first, so that a full disk leaves no half plan.
            let partial = path.with_extension("partial");
            std::fs::write(&partial, &text)
                .and_then(|()| std::fs::rename(&partial, &path))
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
    }
    let total: u64 = plan.shards.iter().map(|shard| shard.galaxies).sum();
    let sizes = plan.shards.iter().map(|shard| shard.galaxies);
    context.remark(&format!(
        "{} galaxies in {} shards of {} to {}, set `{}` by checkpoint {} ({})",
        grouped(total),
        plan.n(),
        grouped(sizes.clone().min().unwrap_or(0)),
        grouped(sizes.max().unwrap_or(0)),
        plan.set,
        plan.checkpoint.name,
        plan.checkpoint.hash.short()
    ));
    let (catalog, folder) = (context.catalog.display(), folder.display());
    let n = plan.n();
    context.remark(&format!(
        "each:   sedflow -C {catalog} infer --plan {folder} --shard I/{n}\nhere:   seq {n} | parallel -j 2 sedflow -C \
         {catalog} infer --plan {folder} --shard {{}}/{n}\nslurm:  sedflow -C {catalog} slurm {folder} --submit\n\
         then:   sedflow shard status {folder}; sedflow -C {catalog} merge --plan {folder}"
    ));
    writeln!(std::io::stdout(), "{}", path.display())?;
    Ok(Outcome::Done)
}

fn make(store: &Store, args: &PlanArgs) -> anyhow::Result<Plan> {
    let mut infer = args.infer.clone();
    let (bytes, label) = setup::checkpoint_bytes(Some(store), &infer.checkpoint)?;
    // Jobs start in other folders.
    if infer.checkpoint != SHIPPED_NAME
        && let Ok(path) = Path::new(&infer.checkpoint).canonicalize()
    {
        infer.checkpoint = path.to_string_lossy().into_owned();
    }
    infer.job(super::Which::Where(None))?;
    let shards = members_of_all(store, infer.condition.as_deref(), args.shards)?;
    if shards.iter().all(|shard| shard.galaxies == 0) {
        bail!("no galaxy is selected: ingest some first, or change --where");
    }
    let catalog = store.path();
    Ok(Plan {
        format: FORMAT.to_owned(),
        version: VERSION,
        program: PROGRAM_VERSION.to_owned(),
        catalog: catalog.canonicalize().unwrap_or_else(|_| catalog.to_owned()),
        set: infer.name.clone().unwrap_or_else(|| label.clone()),
        checkpoint: Hashed { name: label, hash: ContentHash::of_bytes(&bytes) },
        ingests: ingests_of(store)?,
        infer,
        shards,
    })
}
