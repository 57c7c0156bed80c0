//! One file per subcommand: read, compute, write.

use std::path::PathBuf;

use crate::output::for_eyes;
use crate::store::{Mode, Store, StoreError};

pub mod bench;
pub mod check;
pub mod completions;
pub mod demo;
pub mod diff;
pub mod draws;
pub mod export;
pub mod filter;
pub mod find;
pub mod galaxies;
pub mod gc;
pub mod import;
pub mod infer;
pub mod ingest;
pub mod init;
pub mod listen;
pub mod log;
pub mod man;
pub mod mcmc;
pub mod merge;
pub mod noise;
pub mod plot;
pub mod prior;
pub mod query;
pub mod refine;
pub mod release;
pub mod resolve;
pub mod sed;
pub mod sets;
pub mod setup;
pub mod shard;
pub mod show;
pub mod simulate;
pub mod slurm;
pub mod ssp;
pub mod train;
pub mod training_out;
pub mod validate;
pub mod why;

/// What every command is given besides its own options.
pub struct Context {
    pub catalog: PathBuf,
    pub quiet: bool,
}

impl Context {
    /// Opens the catalog and passes on what the user should know about it.
    pub fn open(&self, mode: Mode) -> Result<Store, StoreError> {
        let store = Store::open(&self.catalog, mode)?;
        self.remark_all(store.notes());
        Ok(store)
    }

    /// Opens the catalog for reading if there is one.
    pub fn open_if_there(&self) -> Result<Option<Store>, StoreError> {
        if self.catalog.exists() { self.open(Mode::Read).map(Some) } else { Ok(None) }
    }

    /// A remark on standard error, unless the user wants none.
    pub fn remark(&self, text: &str) {
        if !self.quiet {
            eprintln!("{}", for_eyes(text.as_bytes()));
        }
    }

    pub fn remark_all(&self, texts: &[String]) {
        texts.iter().for_each(|text| self.remark(text));
    }
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
