//! `sedflow completions`: the completion script of a shell, on standard output.

use std::io::Write;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Context, Outcome};

#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell to write for
    shell: Shell,
}

pub fn run(args: CompletionsArgs, _: &Context) -> anyhow::Result<Outcome> {
    // The generator panics where its writer fails, so it gets one that cannot.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut crate::cli::Cli::command(), "sedflow", &mut script);
    std::io::stdout().write_all(&script)?;
    Ok(Outcome::Done)
}
