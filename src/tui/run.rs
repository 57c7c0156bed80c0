//! The event loop: messages in, effects out, a frame when anything has changed.

use std::io::stdout;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::buffer::Buffer;

use super::config::Config;
use super::jobs::Workers;
use super::message::{Effect, Msg};
use super::state::State;
use super::{picture, terminal, update, view};
use crate::commands::Outcome;

/// How often the catalog is looked at for changes.
const TICK: Duration = Duration::from_secs(1);

/// Runs until the user leaves or a signal comes.
pub fn run(catalog: PathBuf, config: Config) -> anyhow::Result<Outcome> {
    let (send, receive) = channel();
    terminal::hook_panics();
    terminal::hook_signals(send.clone());
    let mouse = config.mouse;
    let guard = terminal::Guard::take(mouse)?;
    let mut screen = Terminal::new(CrosstermBackend::new(stdout()))?;
    let size = screen.size()?;
    let mut state = State::new(catalog.clone(), (size.width, size.height), config);
    screen.draw(|frame| view::view(&state, frame))?;
    let workers = Workers::start(catalog, &send);
    read_keys(send.clone());
    let mut effects = update::begin(&mut state);
    let outcome = 'running: loop {
        for effect in effects.drain(..) {
            match effect {
                Effect::Quit => break 'running Outcome::Done,
                Effect::Redraw => screen.clear()?,
                other => {
                    let done = carry_out(&workers, other, &mut || drawn(&state));
                    if let Some(said) = done {
                        update::update(&mut state, Msg::Said(said));
                    }
                }
            }
        }
        screen.draw(|frame| view::view(&state, frame))?;
        match next(&receive, &mut state)? {
            Some(Next::Effects(more)) => effects = more,
            Some(Next::Terminated) => break Outcome::Interrupted,
            None => break Outcome::Done,
        }
    };
    drop(guard);
    Ok(outcome)
}

enum Next {
    Effects(Vec<Effect>),
    Terminated,
}

/// Waits for a message, then takes all that are there; none where nothing can come any more.
fn next(receive: &Receiver<Msg>, state: &mut State) -> anyhow::Result<Option<Next>> {
    let mut effects = Vec::new();
    let mut msg = match receive.recv_timeout(TICK) {
        Ok(msg) => msg,
        Err(RecvTimeoutError::Timeout) => Msg::Tick,
        Err(RecvTimeoutError::Disconnected) => return Ok(None),
    };
    // a burst of keys is one frame, unless it takes longer than a frame may
    let begun = Instant::now();
    loop {
        if matches!(msg, Msg::Terminate) {
            return Ok(Some(Next::Terminated));
        }
        effects.extend(update::update(state, msg));
        if begun.elapsed() > Duration::from_millis(8) {
            break;
        }
        match receive.try_recv() {
            Ok(more) => msg = more,
            Err(_) => break,
        }
    }
    Ok(Some(Next::Effects(effects)))
}

fn read_keys(send: Sender<Msg>) {
    use crossterm::event::{Event, read};
    std::thread::spawn(move || {
        loop {
            let msg = match read() {
                Ok(Event::Key(key)) => Msg::Key(key),
                Ok(Event::Mouse(event)) => Msg::Mouse(event),
                Ok(Event::Resize(columns, rows)) => Msg::Resize(columns, rows),
                Ok(_) => continue,
                // the terminal is gone
                Err(_) => Msg::Terminate,
            };
            let gone = matches!(msg, Msg::Terminate);
            if send.send(msg).is_err() || gone {
                return;
            }
        }
    });
}

/// Does what a message asked for; says how it went where that is known at once.
pub fn carry_out(
    workers: &Workers,
    effect: Effect,
    screen: &mut dyn FnMut() -> (Buffer, super::theme::Kind),
) -> Option<Result<String, String>> {
    match effect {
        Effect::Quit | Effect::Redraw => None,
        Effect::List(ask) => {
            workers.list(ask);
            None
        }
        Effect::Galaxy(ask) => {
            workers.galaxy(ask);
            None
        }
        Effect::Products(ask) => {
            workers.products(ask);
            None
        }
        Effect::Start { job, arguments } => {
            workers.start_job(job, &arguments);
            None
        }
        Effect::Stop(process) => match super::jobs::children::stop(process) {
            Ok(()) => None,
            Err(error) => Some(Err(format!("cannot stop it: {error}"))),
        },
        Effect::Write { path, text } => {
            workers.write(path, move |path| write_new(path, text.as_bytes()));
            None
        }
        Effect::Make { arguments, what } => {
            workers.make(arguments, what.clone());
            Some(Ok(format!("making {what} …")))
        }
        Effect::Copy { what, text } => {
            let shown = super::text::fit(&super::text::clean(&text), 160);
            Some(match terminal::copy(&text) {
                Ok(()) => Ok(format!("copied {what}: {shown}")),
                Err(error) => Err(format!("cannot reach the terminal: {error}")),
            })
        }
        Effect::Export(path) => {
            let (buffer, kind) = screen();
            workers.write(path, move |path| write_screen(&buffer, kind, path));
            None
        }
    }
}

/// The screen as it would be drawn now.
pub fn drawn(state: &State) -> (Buffer, super::theme::Kind) {
    let (columns, rows) = state.size;
    let backend = ratatui::backend::TestBackend::new(columns, rows);
    let buffer = Terminal::new(backend).map(|mut terminal| {
        // a test backend does not fail
        let _ = terminal.draw(|frame| view::view(state, frame));
        terminal.backend().buffer().clone()
    });
    (buffer.unwrap_or_default(), state.theme.kind)
}

/// Writes a screen as .svg, .png or .txt, never over a file that is there.
pub fn write_screen(buffer: &Buffer, kind: super::theme::Kind, path: &Path) -> Result<(), String> {
    let bytes = match path.extension().and_then(|ending| ending.to_str()) {
        Some("svg") => picture::svg(buffer, kind).into_bytes(),
        Some("png") => picture::png(buffer, kind).map_err(|error| error.to_string())?,
        _ => picture::text(buffer).into_bytes(),
    };
    write_new(path, &bytes)
}

/// Writes a file that is not there yet.
pub fn write_new(path: &Path, bytes: &[u8]) -> Result<(), String> {
    use std::io::Write as _;
    let file = std::fs::File::create_new(path);
    file.and_then(|mut file| file.write_all(bytes)).map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => format!("{} is there already: say another name", path.display()),
        _ => format!("cannot write {}: {error}", path.display()),
    })
}
