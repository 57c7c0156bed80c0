//! One file per subcommand: read, compute, write.

use std::path::PathBuf;

pub mod bench;
pub mod completions;
pub mod filter;
pub mod ingest;
pub mod listen;

/// What every command is given besides its own options.
pub struct Context {
    pub catalog: PathBuf,
    pub quiet: bool,
}

/// How a command that did not fail ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// Finished, but rows of the input were rejected and listed.
    SomeRejected,
    /// Stopped on request; what was committed is kept.
    Interrupted,
}
