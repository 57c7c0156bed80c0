//! `sedflow tui`: the catalog in a terminal.
//!
//! The state is plain data ([`state`]); all that can happen is a [`message`]; [`update`] has the logic and returns
//! effects; [`view`] only draws. Files are read by worker threads ([`jobs`]), each with a connection of its own,
//! which answer by messages. Keys are one table ([`keys`]).

pub mod config;
#[cfg(test)]
mod fixture;
pub mod jobs;
pub mod keys;
pub mod line;
pub mod message;
pub mod picture;
pub mod portrait;
pub mod raster;
mod run;
pub mod state;
pub mod terminal;
pub mod text;
pub mod theme;
pub mod update;
pub mod view;

use std::path::PathBuf;

use crate::commands::{Context, Outcome};

#[derive(Debug, clap::Args)]
pub struct TuiArgs {
    /// The catalog or release to look at [default: that of --catalog]
    file: Option<PathBuf>,
    /// Print the table of keys as Markdown, and stop
    #[arg(long)]
    keys: bool,
}

pub fn run(args: TuiArgs, context: &Context) -> anyhow::Result<Outcome> {
    if args.keys {
        use std::io::Write as _;
        write!(std::io::stdout(), "{}", keys::markdown())?;
        return Ok(Outcome::Done);
    }
    let catalog = args.file.unwrap_or_else(|| context.catalog.clone());
    run::run(catalog, config::load(config::path().as_deref()))
}
