//! `sedflow bench`: speed on this machine, measured.

use clap::Subcommand;

use super::{Context, Outcome};

#[derive(Debug, Subcommand)]
pub enum BenchCommand {}

pub fn run(command: BenchCommand, _: &Context) -> anyhow::Result<Outcome> {
    match command {}
}
