//! `sedflow shard status`: every shard's file held against the plan.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::super::{Context, Outcome};
use super::members_of;
use super::plan::Plan;
use crate::output::for_eyes;
use crate::shards::{Members, ShardOf, ranges};
use crate::store::{Mode, Store};

#[derive(Debug, Clone, clap::Args)]
pub struct StatusArgs {
    /// Folder of the plan
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Only the numbers of shards that are to be run (again), as `sbatch --array` takes them
    #[arg(long)]
    todo: bool,
    /// With --todo: one number a line, as GNU parallel and xargs take them
    #[arg(long, requires = "todo")]
    lines: bool,
    /// As JSON, one line per shard
    #[arg(long, conflicts_with = "todo")]
    json: bool,
}

/// How a shard stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    Done,
    /// Begun; its process ended before it was done.
    Unfinished,
    Running,
    Missing,
    /// No galaxy falls into it.
    Empty,
    /// Not what the plan says, or damaged; why. It does not go on, and must be removed.
    Wrong(String),
}

impl State {
    fn word(&self) -> &'static str {
        match self {
            State::Done => "done",
            State::Unfinished => "unfinished",
            State::Running => "running",
            State::Missing => "missing",
            State::Empty => "empty",
            State::Wrong(_) => "wrong",
        }
    }

    /// True where running the shard again does what is lacking.
    pub fn is_to_do(&self) -> bool {
        matches!(self, State::Unfinished | State::Missing)
    }
}

#[derive(Debug, Clone)]
pub struct Stand {
    pub shard: ShardOf,
    pub file: PathBuf,
    pub planned: u64,
    pub answered: u64,
    pub state: State,
}

/// How every shard of a plan stands, from the files in its folder.
pub fn stands(folder: &Path, plan: &Plan) -> Vec<Stand> {
    plan.all()
        .map(|(shard, members)| {
            let file = folder.join(shard.file_name());
            let (answered, state) = match members.galaxies {
                0 => (0, State::Empty),
                _ => look(&file, plan, members),
            };
            Stand { shard, file, planned: members.galaxies, answered, state }
        })
        .collect()
}

fn look(file: &Path, plan: &Plan, planned: Members) -> (u64, State) {
    if !file.exists() {
        return (0, State::Missing);
    }
    let running = Store::is_being_written(file);
    match examine(file, plan, planned) {
        Ok((answered, true)) => (answered, State::Done),
        Ok((answered, false)) if running => (answered, State::Running),
        Ok((answered, false)) => (answered, State::Unfinished),
        Err(_) if running => (0, State::Running),
        Err(why) => (0, State::Wrong(why)),
    }
}

/// (galaxies answered, whether the set is complete), or why the file is no such shard.
fn examine(file: &Path, plan: &Plan, planned: Members) -> Result<(u64, bool), String> {
    // A process that was killed while it made the file leaves an empty one, or one that is taken over.
    if Store::is_half_made(file) {
        return Ok((0, false));
    }
    let said = |error: &dyn std::fmt::Display| error.to_string();
    let store = Store::open(file, Mode::Read).map_err(|error| said(&error))?;
    let (ids, members) =
        members_of(&store, None, ShardOf { index: 1, of: 1 }).map_err(|error| said(&error))?;
    if ids.is_empty() {
        return Ok((0, false));
    }
    if members != planned {
        return Err(format!("it holds other galaxies ({}) than planned", members.galaxies));
    }
    let ingests = store.ingest_facts().map_err(|error| said(&error))?;
    if let Some(other) = ingests.iter().find(|fact| plan.ingests.iter().all(|known| known.hash != fact.hash))
    {
        return Err(format!(
            "its galaxies are of another catalog: ingest {} ({})",
            other.hash.short(),
            other.file_name
        ));
    }
    let sets = store.set_facts().map_err(|error| said(&error))?;
    let Some(set) = sets.into_iter().find(|set| set.name == plan.set) else { return Ok((0, false)) };
    match &set.checkpoint {
        Some(checkpoint) if checkpoint.hash == plan.checkpoint.hash => {}
        other => {
            return Err(format!(
                "it is by another checkpoint, {}, not {} ({})",
                other.as_ref().map_or("none".to_owned(), |c| format!("{} ({})", c.name, c.hash.short())),
                plan.checkpoint.name,
                plan.checkpoint.hash.short()
            ));
        }
    }
    if (set.seed, set.n_draws) != (plan.infer.seed, plan.infer.draws) {
        return Err(format!(
            "it has seed {} and {} draws, planned are {} and {}",
            set.seed, set.n_draws, plan.infer.seed, plan.infer.draws
        ));
    }
    Ok((set.n_answers + set.n_reasons, set.complete))
}

pub fn run(args: &StatusArgs, context: &Context) -> anyhow::Result<Outcome> {
    let plan = Plan::read(&args.folder)?;
    let stands = stands(&args.folder, &plan);
    let mut out = std::io::stdout().lock();
    if args.todo {
        let numbers: Vec<u32> =
            stands.iter().filter(|stand| stand.state.is_to_do()).map(|stand| stand.shard.index).collect();
        if args.lines {
            for number in numbers {
                writeln!(out, "{number}")?;
            }
        } else if !numbers.is_empty() {
            writeln!(out, "{}", ranges(&numbers))?;
        }
    } else if args.json {
        for stand in &stands {
            let why = match &stand.state {
                State::Wrong(why) => Some(why),
                _ => None,
            };
            let line = json!({
                "shard": stand.shard.index, "of": stand.shard.of, "state": stand.state.word(), "file": stand.file,
                "galaxies": stand.planned, "answered": stand.answered, "why": why,
            });
            writeln!(out, "{line}")?;
        }
    } else {
        for stand in &stands {
            let why = match &stand.state {
                State::Wrong(why) => format!("  {}: {}", stand.file.display(), for_eyes(why.as_bytes())),
                _ => String::new(),
            };
            writeln!(
                out,
                "{:>6}  {:<10} {:>9} of {:>9} galaxies{why}",
                stand.shard.index,
                stand.state.word(),
                stand.answered,
                stand.planned
            )?;
        }
    }
    context.remark(&summary(&stands));
    Ok(Outcome::Done)
}

/// `8 shards: 6 done, 1 unfinished, 1 missing`.
pub fn summary(stands: &[Stand]) -> String {
    let words = ["done", "running", "unfinished", "missing", "empty", "wrong"];
    let parts: Vec<String> = words
        .iter()
        .filter_map(|word| {
            let n = stands.iter().filter(|stand| stand.state.word() == *word).count();
            (n > 0).then(|| format!("{n} {word}"))
        })
        .collect();
    format!("{} shards: {}", stands.len(), parts.join(", "))
}
