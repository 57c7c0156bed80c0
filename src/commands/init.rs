//! `sedflow init`: make an empty catalog.

use std::path::PathBuf;

use clap::Args;

use super::{Context, Outcome};
use crate::store::Store;

#[derive(Debug, Args)]
pub struct InitArgs {
    /// The file to make [default: the catalog of -C]
    file: Option<PathBuf>,
}

pub fn run(args: InitArgs, context: &Context) -> anyhow::Result<Outcome> {
    let path = args.file.as_ref().unwrap_or(&context.catalog);
    let store = Store::create(path)?;
    context.remark_all(store.notes());
    context.remark(&format!("made the catalog {}", path.display()));
    Ok(Outcome::Done)
}
