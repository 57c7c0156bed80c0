//! What can be typed, and the one place that turns results into messages and exit codes.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::commands::{self, Context, Outcome};
use crate::tui;

/// Exit codes are an interface: scripts may depend on them.
pub mod exit {
    pub const OK: u8 = 0;
    /// The command failed; the message says why.
    pub const FAILED: u8 = 1;
    /// The command line was wrong (clap's own code).
    pub const USAGE: u8 = 2;
    /// The command finished, but some rows of its input were rejected; they were listed.
    pub const SOME_REJECTED: u8 = 4;
    /// Stopped by Ctrl-C; everything committed is kept.
    pub const INTERRUPTED: u8 = 130;
}

/// The version and, of a release build, the commit.
const LONG_VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("SEDFLOW_GIT_COMMIT"), ")");

#[derive(Debug, Parser)]
#[command(name = "sedflow", version, long_version = LONG_VERSION, about, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// The catalog of commands that are told no other.
pub const DEFAULT_CATALOG: &str = "sedflow.db";

#[derive(Debug, clap::Args)]
pub struct Global {
    /// The catalog file
    #[arg(short = 'C', long, global = true, env = "SEDFLOW_CATALOG", default_value = DEFAULT_CATALOG)]
    pub catalog: PathBuf,
    /// Threads to use [default: all cores]
    #[arg(long, global = true, value_name = "N")]
    pub threads: Option<usize>,
    /// No progress and no remarks on standard error; errors are still printed
    #[arg(short, long, global = true)]
    pub quiet: bool,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Measure speed on this machine; JSON lines and a table
    #[command(subcommand)]
    Bench(Bench),
    /// Examine a catalog file: schema, integrity, references, checksums, runs
    Check(commands::check::CheckArgs),
    /// Print a shell's completion script
    Completions(commands::completions::CompletionsArgs),
    /// Make a catalog of 1,000 real galaxies with the shipped model: where to begin
    Demo(commands::demo::DemoArgs),
    /// What changed between two posterior sets, by how much, and why
    Diff(commands::diff::DiffArgs),
    /// Write galaxies, photometry, summaries or draws for other programs: FITS, VOTable, Parquet, HDF5, HATS, ...
    Export(commands::export::ExportArgs),
    /// Bandpass curves: list, show, check, convert
    #[command(subcommand)]
    Filter(commands::filter::FilterCommand),
    /// Find galaxies by questions about their posteriors: "P(log_mstar > 11) > 0.9 and redshift < 0.05"
    Find(commands::find::FindArgs),
    /// List galaxies by conditions on any column or by place on the sky
    Galaxies(commands::galaxies::GalaxiesArgs),
    /// Remove products that nothing refers to; says what it would remove unless told --yes
    Gc(commands::gc::GcArgs),
    /// Take in posteriors made elsewhere as a posterior set: SEDflow HDF5, provabgs MCMC files, chains of emcee or zeus
    Import(commands::import::ImportArgs),
    /// Draw the posterior of every selected galaxy
    Infer(commands::infer::InferCommand),
    /// Read galaxies of a survey from tables into the catalog
    Ingest(commands::ingest::IngestArgs),
    /// Make an empty catalog
    Init(commands::init::InitArgs),
    /// List the built-in layouts and cuts of `ingest`, or print one
    Layouts(commands::ingest::LayoutsArgs),
    /// List the runs, newest first
    Log(commands::log::LogArgs),
    /// Write manual pages, or the reference of all commands
    Man(commands::man::ManArgs),
    /// One galaxy's posterior by Markov chains, with what says whether they converged
    Mcmc(commands::mcmc::McmcArgs),
    /// Make one posterior set of shards that other catalogs hold
    Merge(commands::merge::MergeArgs),
    /// Errors of a survey: fit, plot, show
    #[command(subcommand)]
    Noise(commands::noise::NoiseCommand),
    /// Figures: corner, sed, sfh, training
    #[command(subcommand)]
    Plot(commands::plot::PlotCommand),
    /// The prior: show, set
    #[command(subcommand)]
    Prior(commands::prior::PriorCommand),
    /// Ask the catalog in SQL, for reading only
    Query(commands::query::QueryArgs),
    /// Answer the galaxies of a posterior set again, with importance weights and Markov chains, as a new set
    Refine(commands::refine::RefineArgs),
    /// One read-only file of a posterior set and all it was made from: build, info, verify
    #[command(subcommand)]
    Release(commands::release::ReleaseCommand),
    /// The SED model on its own: photometry and derived properties of given galaxies, spectra
    #[command(subcommand)]
    Sed(commands::sed::SedCommand),
    /// List the posterior sets; say which is the current one
    Sets(commands::sets::SetsArgs),
    /// Answer a selection on many machines: plan the shards, see how they stand
    #[command(subcommand)]
    Shard(commands::shard::ShardCommand),
    /// Show a run, survey, galaxy or product
    Show(commands::show::ShowArgs),
    /// Simulate galaxies for training
    Simulate(commands::simulate::SimulateArgs),
    /// Run the shards of a plan as a Slurm job array, and merge them in a job after it
    Slurm(commands::slurm::SlurmArgs),
    /// Train a flow on simulations
    Train(commands::train::TrainArgs),
    /// Browse galaxies and posteriors in the terminal
    Tui(tui::TuiArgs),
    /// Calibration of a checkpoint on fresh mocks
    Validate(commands::validate::ValidateArgs),
    /// Grids of stellar populations: import, add, list, info
    #[command(subcommand)]
    Ssp(commands::ssp::SspCommand),
    /// Walk from a thing back to the files and seeds it was made from
    Why(commands::why::WhyArgs),
}

/// The measurements there are: those of commands, and that of the terminal interface.
#[derive(Debug, Subcommand)]
pub enum Bench {
    #[command(flatten)]
    Of(commands::bench::BenchCommand),
    /// The terminal interface on a large catalog: first paint, keys, opening, what if, memory
    Tui(tui::bench::TuiArgs),
}

/// Parses the command line, runs it, and says how it went.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Some(threads) = cli.global.threads
        && let Err(error) = rayon::ThreadPoolBuilder::new().num_threads(threads).build_global()
    {
        eprintln!("error: cannot start {threads} threads: {error}");
        return ExitCode::from(exit::FAILED);
    }
    let context = Context { catalog: cli.global.catalog, quiet: cli.global.quiet };
    match dispatch(cli.command, &context) {
        Ok(Outcome::Done) => ExitCode::from(exit::OK),
        Ok(Outcome::SomeRejected) => ExitCode::from(exit::SOME_REJECTED),
        Ok(Outcome::Interrupted) => ExitCode::from(exit::INTERRUPTED),
        Err(error) if is_broken_pipe(&error) => ExitCode::from(exit::OK),
        Err(error) => {
            // an identifier in the message may hold anything
            let text = sentence(&error);
            text.split('\n').enumerate().for_each(|(i, line)| {
                eprintln!(
                    "{}{}",
                    if i == 0 { "error: " } else { "" },
                    crate::output::for_eyes(line.as_bytes())
                );
            });
            ExitCode::from(exit::FAILED)
        }
    }
}

fn dispatch(command: Command, context: &Context) -> anyhow::Result<Outcome> {
    match command {
        Command::Bench(Bench::Of(command)) => commands::bench::run(command, context),
        Command::Bench(Bench::Tui(args)) => tui::bench::run(args, context),
        Command::Check(args) => commands::check::run(args, context),
        Command::Completions(args) => commands::completions::run(args, context),
        Command::Demo(args) => commands::demo::run(args, context),
        Command::Diff(args) => commands::diff::run(args, context),
        Command::Export(args) => commands::export::run(args, context),
        Command::Filter(command) => commands::filter::run(command, context),
        Command::Find(args) => commands::find::run(args, context),
        Command::Galaxies(args) => commands::galaxies::run(args, context),
        Command::Gc(args) => commands::gc::run(args, context),
        Command::Import(args) => commands::import::run(args, context),
        Command::Infer(args) => commands::infer::run(args, context),
        Command::Ingest(args) => commands::ingest::run(args, context),
        Command::Init(args) => commands::init::run(args, context),
        Command::Layouts(args) => commands::ingest::layouts(args, context),
        Command::Log(args) => commands::log::run(args, context),
        Command::Man(args) => commands::man::run(args, context),
        Command::Mcmc(args) => commands::mcmc::run(args, context),
        Command::Merge(args) => commands::merge::run(args, context),
        Command::Noise(command) => commands::noise::run(command, context),
        Command::Plot(command) => commands::plot::run(command, context),
        Command::Prior(command) => commands::prior::run(command, context),
        Command::Query(args) => commands::query::run(args, context),
        Command::Refine(args) => commands::refine::run(args, context),
        Command::Release(command) => commands::release::run(command, context),
        Command::Sed(command) => commands::sed::run(command, context),
        Command::Sets(args) => commands::sets::run(args, context),
        Command::Shard(command) => commands::shard::run(command, context),
        Command::Show(args) => commands::show::run(args, context),
        Command::Simulate(args) => commands::simulate::run(args, context),
        Command::Slurm(args) => commands::slurm::run(args, context),
        Command::Train(args) => commands::train::run(args, context),
        Command::Tui(args) => tui::run(args, context),
        Command::Validate(args) => commands::validate::run(args, context),
        Command::Ssp(command) => commands::ssp::run(command, context),
        Command::Why(args) => commands::why::run(args, context),
    }
}

/// The chain of causes in one line; a cause that repeats what was said already is left out.
fn sentence(error: &anyhow::Error) -> String {
    let mut said = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        // SQLite's own errors repeat themselves behind a code
        let gist = cause.rsplit_once("Error code").map_or(cause.as_str(), |(_, rest)| {
            rest.split_once(": ").map_or(cause.as_str(), |(_, gist)| gist)
        });
        if said.is_empty() {
            said = cause;
        } else if !said.contains(gist) {
            said = format!("{said}: {cause}");
        }
    }
    said
}

/// True where the reader of our output went away (`sedflow ... | head`), which is no failure.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<std::io::Error>().is_some_and(|io| io.kind() == std::io::ErrorKind::BrokenPipe)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn a_cause_is_said_once() {
        let chain = |texts: &[&str]| {
            let mut texts = texts.iter().rev().map(|text| (*text).to_owned());
            let first = anyhow::Error::msg(texts.next().unwrap());
            sentence(&texts.fold(first, |error, text| error.context(text)))
        };
        assert_eq!(chain(&["reading a.fits", "no such file"]), "reading a.fits: no such file");
        let full = ["the disk is full (no space)", "no space", "Error code 13: no space"];
        assert_eq!(chain(&full), "the disk is full (no space)");
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
