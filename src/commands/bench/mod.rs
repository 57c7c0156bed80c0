//! `sedflow bench`: speed on this machine, measured.

mod curves;
mod efficiency;
mod export;
mod ingest;
pub mod report;
mod sample;
mod sed;
mod store;
mod train;

use clap::Subcommand;

use super::{Context, Outcome};

#[derive(Debug, Subcommand)]
pub enum BenchCommand {
    /// Held-out density against processor time: the default flow and the paper's on the same data
    Curves(curves::CurvesArgs),
    /// Sampling efficiency of a checkpoint's draws against the exact posterior, on fresh mocks
    Efficiency(efficiency::EfficiencyArgs),
    /// Seconds to write summaries and draws to FITS and Parquet, and the memory that takes
    Export(export::ExportArgs),
    /// Galaxies per second from a FITS table into a new catalog, and milliseconds per question
    Ingest(ingest::IngestArgs),
    /// Draws per second, of one galaxy and of many, and log densities
    Sample(sample::SampleArgs),
    /// Microseconds per galaxy of the SED model, and how far its fast path is from the exact one
    Sed(sed::SedArgs),
    /// What a posterior costs to keep: bytes, time to pack and unpack, error; against other formats
    Store(store::StoreArgs),
    /// Training examples per second
    Train(train::TrainArgs),
}

pub fn run(command: BenchCommand, context: &Context) -> anyhow::Result<Outcome> {
    match command {
        BenchCommand::Curves(args) => curves::run(args, context),
        BenchCommand::Efficiency(args) => efficiency::run(args, context),
        BenchCommand::Export(args) => export::run(args, context),
        BenchCommand::Ingest(args) => ingest::run(args, context),
        BenchCommand::Sample(args) => sample::run(args, context),
        BenchCommand::Sed(args) => sed::run(args, context),
        BenchCommand::Store(args) => store::run(args, context),
        BenchCommand::Train(args) => train::run(args, context),
    }
}
