//! All that can happen, and all that can be asked for.

use crossterm::event::{KeyEvent, MouseEvent};

use super::jobs::children::ChildEvent;
use super::jobs::galaxy::{GalaxyAnswer, GalaxyAsk};
use super::jobs::list::{ListAnswer, ListAsk};
use super::jobs::products::{ProductsAnswer, ProductsAsk};

/// What happened.
#[derive(Debug)]
pub enum Msg {
    Key(KeyEvent),
    Mouse(MouseEvent),
    /// Columns and rows.
    Resize(u16, u16),
    /// Time has gone by: about a second.
    Tick,
    /// SIGTERM or SIGINT.
    Terminate,
    List(ListAnswer),
    Galaxy(GalaxyAnswer),
    Products(ProductsAnswer),
    /// Of a command that was started here.
    Child(ChildEvent),
    /// A worker thread has ended with a panic.
    WorkerDied(&'static str),
    /// How an effect went: what to say.
    Said(Result<String, String>),
}

/// What to do about it; carried out by the event loop.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    Quit,
    List(ListAsk),
    Galaxy(GalaxyAsk),
    Products(ProductsAsk),
    /// `sedflow` with these arguments after the catalog, as a job that can be stopped.
    Start {
        job: u64,
        arguments: Vec<String>,
    },
    /// Asks a process that was started here to stop.
    Stop(u32),
    /// To the clipboard, through the terminal (OSC 52).
    Copy {
        what: &'static str,
        text: String,
    },
    /// The screen as it is, or the view's table as CSV, by the ending of the file's name.
    Export(std::path::PathBuf),
    /// A text to a new file.
    Write {
        path: std::path::PathBuf,
        text: String,
    },
    /// `sedflow` with these arguments after the catalog, in the background; what it makes, in words.
    Make {
        arguments: Vec<String>,
        what: String,
    },
    Redraw,
}
