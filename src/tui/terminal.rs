//! The terminal as it was found: taken over, and given back whatever happens.

use std::io::{self, IsTerminal as _, Write as _, stdout};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use crossterm::event::{DisableMouseCapture, EnableMouseCapture};
use crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use crossterm::{cursor, execute};

use super::message::Msg;

static TAKEN: AtomicBool = AtomicBool::new(false);

/// Holds the terminal; gives it back when dropped.
pub struct Guard;

impl Guard {
    /// Takes the terminal over. Errors where input or output is none.
    pub fn take(mouse: bool) -> io::Result<Self> {
        if !io::stdin().is_terminal() || !stdout().is_terminal() {
            return Err(io::Error::other(
                "the terminal interface needs a terminal; `sedflow tui --screenshot` draws without one",
            ));
        }
        enable_raw_mode()?;
        TAKEN.store(true, Ordering::SeqCst);
        let guard = Self;
        execute!(stdout(), EnterAlternateScreen, cursor::Hide)?;
        if mouse {
            execute!(stdout(), EnableMouseCapture)?;
        }
        Ok(guard)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        restore();
    }
}

/// Gives the terminal back, once; safe to call from anywhere.
pub fn restore() {
    if TAKEN.swap(false, Ordering::SeqCst) {
        // nothing can be done about a terminal that is gone
        let _ = execute!(stdout(), DisableMouseCapture, LeaveAlternateScreen, cursor::Show);
        let _ = disable_raw_mode();
    }
}

/// A panic of the thread that draws gives the terminal back before it is told; one of another thread is told by a
/// message and must not write over the screen.
pub fn hook_panics() {
    let drawing = std::thread::current().id();
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if std::thread::current().id() == drawing {
            restore();
            tell(info);
        }
    }));
}

/// SIGTERM, SIGINT and SIGHUP become a message; where that is not heeded within a second, the terminal is given
/// back and the process ends.
pub fn hook_signals(messages: Sender<Msg>) {
    let installed = ctrlc::set_handler(move || {
        let _ = messages.send(Msg::Terminate);
        std::thread::sleep(Duration::from_secs(1));
        restore();
        std::process::exit(i32::from(crate::cli::exit::INTERRUPTED));
    });
    // without the handler a signal ends the process at once, as it does any other
    let _ = installed;
}

/// Puts text on the clipboard of the terminal that the user sits at, wherever this runs (OSC 52).
pub fn copy(text: &str) -> io::Result<()> {
    let mut out = stdout().lock();
    write!(out, "\x1b]52;c;{}\x07", BASE64_STANDARD.encode(text))?;
    out.flush()
}
