//! `sedflow tui`: the catalog in a terminal.
//!
//! The state is plain data ([`state`]); all that can happen is a [`message`]; [`update`] has the logic and returns
//! effects; [`view`] only draws. Files are read by worker threads ([`jobs`]), each with a connection of its own,
//! which answer by messages. Keys are one table ([`keys`]).

pub mod bench;
pub mod config;
#[cfg(test)]
mod fixture;
pub mod form;
pub mod jobs;
pub mod keys;
pub mod line;
pub mod message;
pub mod picture;
pub mod portrait;
pub mod raster;
pub mod run;
pub mod screenshot;
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
    /// Draw a view without a terminal, and stop: galaxies, galaxy, marginals, corner, history, source, what-if, models,
    /// validation, runs, help
    #[arg(long, value_name = "VIEW", requires = "out")]
    screenshot: Option<String>,
    /// Keys to press first, as words: `j j Enter &`; a word of several letters that is no key is typed
    #[arg(long, value_name = "KEYS", requires = "screenshot")]
    press: Option<String>,
    /// Columns and rows of the screenshot
    #[arg(long, value_name = "COLUMNSxROWS", default_value = "120x40", value_parser = screenshot::parse_size)]
    size: (u16, u16),
    /// File of the screenshot: .svg, .png or .txt
    #[arg(short, long, value_name = "FILE", requires = "screenshot")]
    out: Option<PathBuf>,
}

pub fn run(args: TuiArgs, context: &Context) -> anyhow::Result<Outcome> {
    if args.keys {
        use std::io::Write as _;
        write!(std::io::stdout(), "{}", keys::markdown())?;
        return Ok(Outcome::Done);
    }
    let catalog = args.file.unwrap_or_else(|| context.catalog.clone());
    if let (Some(name), Some(out)) = (&args.screenshot, &args.out) {
        let shot = screenshot::Shot { view: name, press: args.press.as_deref(), size: args.size };
        screenshot::run(catalog, config::load(config::path().as_deref()), &shot, out)?;
        context.remark(&format!("wrote {}", out.display()));
        return Ok(Outcome::Done);
    }
    run::run(catalog, config::load(config::path().as_deref()))
}
