//! What every message does to the state: plain functions, without a terminal or a file.

mod galaxies;
mod galaxy;
mod products;
mod prompt;

use crossterm::event::{
    KeyCode, KeyEvent, KeyEventKind, KeyModifiers, MouseButton, MouseEvent, MouseEventKind,
};

use super::jobs::list::{ListAnswer, ListAsk};
use super::keys::Action;
use super::line::Line;
use super::message::{Effect, Msg};
use super::state::{Asked, Overlay, Prompt, State, View};
use super::theme::{Kind, Role};

pub use galaxies::{cone_words, is_narrowed};
pub use products::{Model, RunLine, job_line, models, progress_of, run_lines};
pub use prompt::{listed_columns, suggestions};

/// What to ask for at the start.
pub fn begin(state: &mut State) -> Vec<Effect> {
    galaxies::begin(state)
}

pub fn update(state: &mut State, msg: Msg) -> Vec<Effect> {
    match msg {
        Msg::Key(key) if key.kind != KeyEventKind::Release => on_key(state, key),
        Msg::Key(_) => vec![],
        Msg::Mouse(event) => on_mouse(state, event),
        Msg::Resize(columns, rows) => {
            state.size = (columns, rows);
            galaxies::keep_in_sight(state);
            galaxies::fetch(state)
        }
        Msg::Tick => {
            let mut effects = vec![Effect::List(ListAsk::Watch)];
            effects.extend(products::look(state));
            effects
        }
        Msg::Terminate => vec![Effect::Quit],
        Msg::List(ListAnswer::Changed) => {
            let mut effects = galaxies::follow(state);
            effects.extend(products::refresh(state));
            effects
        }
        Msg::List(answer) => galaxies::answered(state, answer),
        Msg::Galaxy(answer) => galaxy::answered(state, answer),
        Msg::Products(answer) => products::answered(state, answer),
        Msg::Child(event) => products::child(state, event),
        Msg::WorkerDied(name) => {
            state.said = Some((
                Role::Bad,
                format!("the {name} thread ended with a fault; views that need it will wait"),
            ));
            vec![]
        }
        Msg::Said(Ok(text)) => {
            state.said = Some((Role::Good, text));
            vec![]
        }
        Msg::Said(Err(text)) => {
            state.said = Some((Role::Bad, text));
            vec![]
        }
    }
}

fn on_key(state: &mut State, key: KeyEvent) -> Vec<Effect> {
    if key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL) {
        return vec![Effect::Quit];
    }
    if key.code == KeyCode::Char('l') && key.modifiers.contains(KeyModifiers::CONTROL) {
        return vec![Effect::Redraw];
    }
    state.said = None;
    if state.overlay.is_some() {
        return prompt::on_key(state, key);
    }
    if let KeyCode::Char(digit @ '0'..='9') = key.code
        && takes_count(state)
        && (digit != '0' || state.count.is_some())
    {
        let value = u64::from(digit as u32 - '0' as u32);
        state.count = Some(state.count.unwrap_or(0).saturating_mul(10).saturating_add(value).min(1 << 40));
        return vec![];
    }
    let count = state.count.take();
    match state.keymap.action(state.scope(), key) {
        // one Esc too many on the way back does not end the session
        Some(Action::Back) if key.code == KeyCode::Esc && is_home(state) => {
            state.said = Some((Role::Text, "q leaves the program".to_owned()));
            vec![]
        }
        Some(action) => act(state, action, count),
        None => vec![],
    }
}

/// Whether digits are a number for the next key.
fn takes_count(state: &State) -> bool {
    state.view == View::Galaxies && state.galaxy.is_none()
}

/// Does what a key, a palette entry or a click asks for.
pub fn act(state: &mut State, action: Action, count: Option<u64>) -> Vec<Effect> {
    match action {
        Action::Quit => vec![Effect::Quit],
        Action::Help => {
            state.overlay = Some(Overlay::Help { scroll: 0 });
            vec![]
        }
        Action::Palette => {
            open_prompt(state, Asked::Palette, String::new());
            vec![]
        }
        Action::Theme => {
            state.theme.kind = match state.theme.kind {
                Kind::Dark => Kind::Light,
                Kind::Light => Kind::Plain,
                Kind::Plain => Kind::Dark,
            };
            vec![]
        }
        Action::NextView | Action::PreviousView => {
            let here = View::ALL.iter().position(|view| *view == state.view).unwrap_or(0);
            let n = View::ALL.len();
            let step = if action == Action::NextView { 1 } else { n - 1 };
            go(state, View::ALL[(here + step) % n])
        }
        Action::CopyCommand => match command_line(state) {
            Some(text) => vec![Effect::Copy { what: "the command line", text }],
            None => vec![],
        },
        Action::Export => {
            open_prompt(state, Asked::Export, String::new());
            vec![]
        }
        Action::Back => back(state),
        _ => match state.view {
            View::Galaxies if state.galaxy.is_some() => galaxy::act(state, action),
            View::Galaxies => galaxies::act(state, action, count),
            View::Models | View::Validation | View::Runs => products::act(state, action),
        },
    }
}

/// Shows another view.
pub fn go(state: &mut State, view: View) -> Vec<Effect> {
    state.view = view;
    products::refresh(state)
}

/// Whether there is nothing to go back to.
fn is_home(state: &State) -> bool {
    state.view == View::Galaxies && state.galaxy.is_none() && !galaxies::is_narrowed(state)
}

fn back(state: &mut State) -> Vec<Effect> {
    match state.view {
        _ if is_home(state) => vec![Effect::Quit],
        View::Galaxies if state.galaxy.is_some() => galaxy::back(state),
        View::Galaxies => galaxies::act(state, Action::Clear, None),
        View::Models | View::Validation | View::Runs => go(state, View::Galaxies),
    }
}

/// Writes what is shown: its table for a .csv, else the screen.
pub fn export(state: &mut State, path: std::path::PathBuf) -> Vec<Effect> {
    let csv = path.extension().is_some_and(|ending| ending == "csv");
    match state.view {
        View::Galaxies if csv && state.galaxy.is_some() => match galaxy::csv(state) {
            Some(text) => vec![Effect::Write { path, text }],
            None => vec![],
        },
        View::Galaxies if state.galaxy.is_some() && path.extension().is_some_and(|e| e != "txt") => {
            let Some(mut arguments) = galaxy::figure(state) else { return vec![Effect::Export(path)] };
            let out = path.to_string_lossy().into_owned();
            arguments.splice(2..2, ["--out".to_owned(), out.clone()]);
            vec![Effect::Make { arguments, what: out }]
        }
        View::Galaxies if csv => {
            state.galaxies.busy = Some("writing".to_owned());
            vec![Effect::List(ListAsk::Export { generation: state.galaxies.generation, path })]
        }
        _ => vec![Effect::Export(path)],
    }
}

/// Begins to ask for something.
pub fn open_prompt(state: &mut State, asked: Asked, text: String) {
    state.overlay = Some(Overlay::Prompt(Prompt { asked, line: Line::new(text), chosen: 0, back: 0 }));
}

/// The command line that says the same as what is shown.
pub fn command_line(state: &State) -> Option<String> {
    match state.view {
        View::Galaxies if state.galaxy.is_some() => galaxy::command_line(state),
        View::Galaxies => Some(galaxies::command_line(state)),
        View::Models | View::Validation | View::Runs => products::command_line(state),
    }
}

/// A word for a shell: quoted where it must be.
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./,:=+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

/// How a command line on this catalog begins.
pub fn program(state: &State) -> String {
    format!("sedflow -C {}", quoted(&state.catalog.to_string_lossy()))
}

fn on_mouse(state: &mut State, event: MouseEvent) -> Vec<Effect> {
    let scrolled = |down| if down { Action::Down } else { Action::Up };
    match event.kind {
        MouseEventKind::ScrollDown | MouseEventKind::ScrollUp => {
            let down = event.kind == MouseEventKind::ScrollDown;
            match &state.overlay {
                Some(Overlay::Help { .. } | Overlay::Text { .. }) => {
                    let key = if down { KeyCode::Down } else { KeyCode::Up };
                    (0..3).flat_map(|_| prompt::on_key(state, key.into())).collect()
                }
                Some(_) => vec![],
                None => (0..3).flat_map(|_| act(state, scrolled(down), None)).collect(),
            }
        }
        MouseEventKind::Down(MouseButton::Left) if state.overlay.is_none() => {
            if event.row == 0 {
                return match super::view::tab_at(state, event.column) {
                    Some(view) => go(state, view),
                    None => vec![],
                };
            }
            match state.view {
                View::Galaxies if state.galaxy.is_some() => vec![],
                View::Galaxies => galaxies::click(state, event.column, event.row),
                View::Models | View::Validation | View::Runs => vec![],
            }
        }
        _ => vec![],
    }
}

#[cfg(test)]
mod tests;
