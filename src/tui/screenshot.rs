//! Views drawn without a terminal, for documents: the same state, updates and workers as in one.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use anyhow::bail;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::config::Config;
use super::jobs::Workers;
use super::message::{Effect, Msg};
use super::run::{carry_out, drawn, write_screen};
use super::state::State;
use super::update::{begin, update};

/// What to draw.
pub struct Shot<'a> {
    pub view: &'a str,
    pub press: Option<&'a str>,
    pub size: (u16, u16),
}

/// The keys that lead to each view.
const VIEWS: [(&str, &str); 11] = [
    ("galaxies", ""),
    ("galaxy", "Enter"),
    ("marginals", "Enter l"),
    ("corner", "Enter l l"),
    ("history", "Enter l l l"),
    ("source", "Enter l l l l"),
    ("what-if", "Enter w + + + + +"),
    ("models", "Tab"),
    ("validation", "Tab Tab"),
    ("runs", "Tab Tab Tab"),
    ("help", "?"),
];

/// How long a view may take to be complete, and how long nothing may come until it is taken to be.
const PATIENCE: Duration = Duration::from_secs(20);
const QUIET: Duration = Duration::from_millis(700);

pub fn parse_size(text: &str) -> Result<(u16, u16), String> {
    let numbers =
        text.split_once('x').and_then(|(columns, rows)| Some((columns.parse().ok()?, rows.parse().ok()?)));
    match numbers {
        Some((columns, rows)) if (40..=500).contains(&columns) && (10..=300).contains(&rows) => {
            Ok((columns, rows))
        }
        _ => Err("expected columns and rows, such as 120x40; 40x10 at least".to_owned()),
    }
}

/// A key from its name, as in the table of keys; none for a word to be typed.
fn named_key(word: &str) -> Option<KeyEvent> {
    let (modifiers, name) = match word.strip_prefix("Ctrl-") {
        Some(rest) => (KeyModifiers::CONTROL, rest),
        None => (KeyModifiers::NONE, word),
    };
    let code = match name {
        "Enter" => KeyCode::Enter,
        "Esc" => KeyCode::Esc,
        "Tab" => KeyCode::Tab,
        "Space" => KeyCode::Char(' '),
        "Up" => KeyCode::Up,
        "Down" => KeyCode::Down,
        "Left" => KeyCode::Left,
        "Right" => KeyCode::Right,
        "PageDown" => KeyCode::PageDown,
        "PageUp" => KeyCode::PageUp,
        "Backspace" => KeyCode::Backspace,
        _ => {
            let mut letters = name.chars();
            match (letters.next(), letters.next()) {
                (Some(letter), None) => KeyCode::Char(letter),
                _ => return None,
            }
        }
    };
    Some(KeyEvent::new(code, modifiers))
}

/// A session without a terminal.
pub struct Session {
    pub state: State,
    workers: Workers,
    messages: Receiver<Msg>,
    /// The longest time a message took on this thread.
    pub longest_update: Duration,
}

impl Session {
    pub fn start(catalog: PathBuf, config: Config, size: (u16, u16)) -> Self {
        let (send, messages) = channel();
        let workers = Workers::start(catalog.clone(), &send);
        let state = State::new(catalog, size, config);
        let mut session = Self { state, workers, messages, longest_update: Duration::ZERO };
        let effects = begin(&mut session.state);
        session.carry_out(effects);
        session
    }

    fn carry_out(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            let size_of = &self.state;
            carry_out(&self.workers, effect, &mut || drawn(size_of));
        }
    }

    /// Takes a message as the event loop does.
    pub fn take(&mut self, msg: Msg) {
        let begun = Instant::now();
        let effects = update(&mut self.state, msg);
        self.longest_update = self.longest_update.max(begun.elapsed());
        self.carry_out(effects);
    }

    /// Takes messages until `done`, or for so long; whether it was.
    pub fn until(&mut self, patience: Duration, mut done: impl FnMut(&State) -> bool) -> bool {
        let begun = Instant::now();
        while !done(&self.state) {
            let Some(left) = patience.checked_sub(begun.elapsed()) else { return false };
            match self.messages.recv_timeout(left.min(Duration::from_millis(200))) {
                Ok(msg) => self.take(msg),
                Err(_) if begun.elapsed() >= patience => return false,
                Err(_) => {}
            }
        }
        true
    }

    /// Takes messages until none has come for a while.
    pub fn settle(&mut self) {
        self.settle_for(QUIET);
    }

    /// Takes messages until none has come for so long.
    pub fn settle_for(&mut self, quiet: Duration) {
        let begun = Instant::now();
        let mut last = Instant::now();
        while begun.elapsed() < PATIENCE && last.elapsed() < quiet {
            if let Ok(msg) = self.messages.recv_timeout(Duration::from_millis(50)) {
                self.take(msg);
                last = Instant::now();
            }
        }
    }

    pub fn press(&mut self, keys: &str) {
        for word in keys.split_whitespace() {
            match named_key(word) {
                Some(key) => self.take(Msg::Key(key)),
                None => word.chars().for_each(|letter| self.take(Msg::Key(KeyCode::Char(letter).into()))),
            }
            self.settle();
        }
    }
}

/// Draws a view to a file.
pub fn run(catalog: PathBuf, config: Config, shot: &Shot<'_>, out: &Path) -> anyhow::Result<()> {
    let Some((_, keys)) = VIEWS.iter().find(|(name, _)| *name == shot.view) else {
        let known: Vec<&str> = VIEWS.iter().map(|(name, _)| *name).collect();
        bail!("no view `{}`: expected {}", shot.view, known.join(", "));
    };
    let mut session = Session::start(catalog, config, shot.size);
    session.settle();
    if let Some(keys) = shot.press {
        session.press(keys);
    }
    session.press(keys);
    let (buffer, kind) = drawn(&session.state);
    write_screen(&buffer, kind, out).map_err(|error| anyhow::anyhow!(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_keys_are_read_as_written() {
        assert_eq!(parse_size("120x40"), Ok((120, 40)));
        for bad in ["120", "ax40", "10x10", "120x9999", ""] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
        assert_eq!(named_key("Ctrl-d"), Some(KeyEvent::new(KeyCode::Char('d'), KeyModifiers::CONTROL)));
        assert_eq!(named_key("mag_r"), None);
    }
}
