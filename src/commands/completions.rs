//! `sedflow completions`: the completion script of a shell, on standard output.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Context, Outcome};

#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell to write for
    shell: Shell,
}

pub fn run(args: CompletionsArgs, _: &Context) -> anyhow::Result<Outcome> {
    clap_complete::generate(args.shell, &mut crate::cli::Cli::command(), "sedflow", &mut std::io::stdout());
    Ok(Outcome::Done)
}
