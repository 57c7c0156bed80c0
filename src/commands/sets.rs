//! `sedflow sets`: the posterior sets of a catalog, and which of them is the current one.

use std::io;

use clap::{Args, Subcommand};

use super::{Context, Outcome};
use crate::output::{Cell, Format, print_rows};
use crate::store::Mode;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct SetsArgs {
    #[command(subcommand)]
    command: Option<SetsCommand>,
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: Format,
}

#[derive(Debug, Subcommand)]
enum SetsCommand {
    /// Print the current set, or make NAME the one that `galaxies`, `find` and `plot` read
    Current {
        /// Posterior set
        name: Option<String>,
    },
}

pub fn run(args: SetsArgs, context: &Context) -> anyhow::Result<Outcome> {
    match args.command {
        None => list(args.format, context),
        Some(SetsCommand::Current { name: Some(name) }) => {
            context.open(Mode::Write)?.set_current_posterior_set(&name)?;
            Ok(Outcome::Done)
        }
        Some(SetsCommand::Current { name: None }) => {
            let store = context.open(Mode::Read)?;
            println!("{}", super::plot::posterior_set(&store, None)?.name);
            Ok(Outcome::Done)
        }
    }
}

fn list(format: Format, context: &Context) -> anyhow::Result<Outcome> {
    let store = context.open(Mode::Read)?;
    let current = store.current_posterior_set()?.map(|set| set.id);
    let sets = store.set_facts()?;
    let versions: Vec<String> = sets.iter().map(|set| set.programs.join(", ")).collect();
    let hashes: Vec<String> =
        sets.iter().map(|set| set.content.map_or(String::new(), |hash| hash.short())).collect();
    let rows: Vec<Vec<Cell<'_>>> = sets
        .iter()
        .zip(versions.iter().zip(&hashes))
        .map(|(set, (version, hash))| {
            vec![
                Cell::text(&set.name),
                Cell::text(if Some(set.id) == current { "current" } else { "" }),
                Cell::text_or_null(set.checkpoint.as_ref().map(|checkpoint| checkpoint.name.as_str())),
                Cell::text(&set.prior.name),
                Cell::Int(set.n_answers as i64),
                Cell::Int(set.n_reasons as i64),
                Cell::Int(set.n_draws as i64),
                Cell::Int(set.seed as i64),
                Cell::text(&set.begun_utc),
                Cell::text(version),
                if set.complete { Cell::text(hash) } else { Cell::text("incomplete") },
            ]
        })
        .collect();
    let columns = [
        "set",
        "is",
        "checkpoint",
        "prior",
        "posteriors",
        "reasons",
        "draws",
        "seed",
        "begun",
        "program",
        "content",
    ];
    print_rows(io::stdout().lock(), format, &columns, &rows)?;
    Ok(Outcome::Done)
}
