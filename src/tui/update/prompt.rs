//! What lies over a view: prompts, the palette, help, the choice of columns.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::{act, galaxies, go};
use crate::commands::galaxies::parse_cone;
use crate::store::Order;
use crate::tui::keys::{Action, Scope};
use crate::tui::line::Line;
use crate::tui::message::Effect;
use crate::tui::state::{Asked, Overlay, State, View};
use crate::tui::theme::{Kind, Role};

/// Lines of text that an overlay moves by.
const LEAP: usize = 10;
/// Columns of an overlay that are not its text's.
const FRAME_COLUMNS: usize = 4;

pub fn on_key(state: &mut State, key: KeyEvent) -> Vec<Effect> {
    match state.overlay.take() {
        Some(Overlay::Help { scroll }) => {
            let room = usize::from(state.size.0).saturating_sub(FRAME_COLUMNS);
            let n = crate::tui::view::overlay::help_lines(state, room).len();
            state.overlay =
                scrolled_within(key, scroll, n, state.size).map(|scroll| Overlay::Help { scroll });
            vec![]
        }
        Some(Overlay::Text { title, lines, scroll, of }) => {
            state.overlay = scrolled_within(key, scroll, lines.len(), state.size)
                .map(|scroll| Overlay::Text { title, lines, scroll, of });
            vec![]
        }
        Some(Overlay::Form(form)) => super::products::form_key(state, form, key),
        Some(Overlay::Columns { line, cursor }) => columns(state, line, cursor, key),
        Some(Overlay::Prompt(mut prompt)) => {
            match key.code {
                KeyCode::Esc => return vec![],
                KeyCode::Enter => {
                    return entered(state, prompt.asked, prompt.line.text().to_owned(), prompt.chosen);
                }
                KeyCode::Down | KeyCode::Tab if prompt.asked == Asked::Palette => {
                    let n = suggestions(state, prompt.line.text()).len();
                    prompt.chosen = (prompt.chosen + 1).min(n.saturating_sub(1));
                }
                KeyCode::Up | KeyCode::BackTab if prompt.asked == Asked::Palette => {
                    prompt.chosen = prompt.chosen.saturating_sub(1);
                }
                KeyCode::Up | KeyCode::Down => {
                    let before: Vec<&str> = state
                        .typed
                        .iter()
                        .rev()
                        .filter(|(asked, _)| *asked == prompt.asked)
                        .map(|(_, text)| text.as_str())
                        .collect();
                    prompt.back = match key.code {
                        KeyCode::Up => (prompt.back + 1).min(before.len()),
                        _ => prompt.back.saturating_sub(1),
                    };
                    if let Some(text) = prompt.back.checked_sub(1).and_then(|back| before.get(back)) {
                        prompt.line = Line::new(*text);
                    }
                }
                _ => {
                    if prompt.line.key(key) {
                        prompt.chosen = 0;
                    }
                }
            }
            state.overlay = Some(Overlay::Prompt(prompt));
            vec![]
        }
        None => vec![],
    }
}

/// [`scrolled`] in a text of `n` lines; what is at its end stays there, where more lines may come.
fn scrolled_within(key: KeyEvent, scroll: usize, n: usize, size: (u16, u16)) -> Option<usize> {
    // of the screen, heading, message, keys and frame are not the text's
    let rows = usize::from(size.1).saturating_sub(5).max(1);
    let last = n.saturating_sub(rows);
    scrolled(key, scroll.min(last)).map(|scroll| if scroll >= last { usize::MAX } else { scroll })
}

/// Where a text is scrolled to; none where it is closed.
fn scrolled(key: KeyEvent, scroll: usize) -> Option<usize> {
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    match key.code {
        KeyCode::Down | KeyCode::Char('j') => Some(scroll + 1),
        KeyCode::Up | KeyCode::Char('k') => Some(scroll.saturating_sub(1)),
        KeyCode::PageDown | KeyCode::Char(' ') => Some(scroll + LEAP),
        KeyCode::Char('d' | 'f') if control => Some(scroll + LEAP),
        KeyCode::PageUp => Some(scroll.saturating_sub(LEAP)),
        KeyCode::Char('u' | 'b') if control => Some(scroll.saturating_sub(LEAP)),
        KeyCode::Char('g') | KeyCode::Home => Some(0),
        KeyCode::Char('G') | KeyCode::End => Some(usize::MAX / 2),
        KeyCode::Esc | KeyCode::Enter | KeyCode::Char('q' | '?') => None,
        _ => Some(scroll),
    }
}

fn entered(state: &mut State, asked: Asked, text: String, chosen: usize) -> Vec<Effect> {
    let text = text.trim().to_owned();
    if !text.is_empty() && asked != Asked::Palette {
        state.typed.retain(|(kind, before)| (*kind, before) != (asked, &text));
        state.typed.push((asked, text.clone()));
    }
    match asked {
        Asked::Names => {
            state.galaxies.spec.names = text;
            vec![galaxies::reopen(state)]
        }
        Asked::Filter => {
            state.galaxies.spec.filter = text;
            vec![galaxies::reopen(state)]
        }
        Asked::Cone => {
            let cone = if text.is_empty() { Ok(None) } else { parse_cone(&text).map(Some) };
            match cone {
                Ok(cone) => {
                    state.galaxies.spec.cone = cone;
                    vec![galaxies::reopen(state)]
                }
                Err(error) => {
                    super::open_prompt(state, Asked::Cone, text);
                    state.said = Some((Role::Bad, error));
                    vec![]
                }
            }
        }
        Asked::Export => {
            let known = ["csv", "png", "svg", "txt"];
            let path = std::path::PathBuf::from(&text);
            let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
            if text.is_empty() {
                return vec![];
            }
            if !known.contains(&ending) {
                super::open_prompt(state, Asked::Export, text);
                state.said =
                    Some((Role::Bad, "the name of the file ends in .csv, .png, .svg or .txt".to_owned()));
                return vec![];
            }
            super::export(state, path)
        }
        Asked::Palette => {
            let entries = suggestions(state, &text);
            match entries.get(chosen) {
                Some(entry) => run(state, entry.does.clone()),
                None => {
                    state.said = Some((Role::Bad, format!("nothing is called `{text}`")));
                    vec![]
                }
            }
        }
    }
}

/// What a palette entry does.
#[derive(Debug, Clone, PartialEq)]
pub enum Does {
    Act(Action),
    Go(View),
    Theme(Kind),
    Sort(String, bool),
    Row(u64),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    pub name: String,
    pub help: String,
    pub keys: String,
    pub does: Does,
}

/// What the palette offers for what has been typed, the most alike first.
pub fn suggestions(state: &State, typed: &str) -> Vec<Entry> {
    let mut all: Vec<Entry> = Vec::new();
    let entry = |name: &str, help: &str, keys: String, does| Entry {
        name: name.into(),
        help: help.into(),
        keys,
        does,
    };
    if let Ok(row) = typed.trim().parse::<u64>() {
        return vec![entry(typed.trim(), "go to this row", String::new(), Does::Row(row))];
    }
    for view in View::ALL {
        all.push(entry(&view.title().to_lowercase(), "show this view", String::new(), Does::Go(view)));
    }
    for scope in [state.scope(), Scope::Everywhere] {
        for (binding, keys) in state.keymap.of(scope) {
            if !matches!(binding.action, Action::Palette | Action::Down | Action::Up) {
                let keys = keys.first().map(|key| crate::tui::keys::shown(key)).unwrap_or_default();
                all.push(entry(binding.name, binding.help, keys, Does::Act(binding.action)));
            }
        }
    }
    for kind in Kind::ALL {
        all.push(entry(&format!("theme {}", kind.name()), "colours", String::new(), Does::Theme(kind)));
    }
    if state.view == View::Galaxies
        && let Some(facts) = &state.facts
    {
        for name in &facts.columns {
            let sort = |descending| Does::Sort(name.clone(), descending);
            all.push(entry(&format!("sort {name}"), "smallest first", String::new(), sort(false)));
            all.push(entry(&format!("sort {name} desc"), "largest first", String::new(), sort(true)));
        }
    }
    let wanted = typed.trim();
    if wanted.is_empty() {
        return all;
    }
    use nucleo_matcher::pattern::{CaseMatching, Normalization, Pattern};
    let pattern = Pattern::parse(wanted, CaseMatching::Ignore, Normalization::Smart);
    let mut matcher = nucleo_matcher::Matcher::new(nucleo_matcher::Config::DEFAULT);
    let mut letters = Vec::new();
    let mut scored: Vec<(u32, Entry)> = all
        .into_iter()
        .filter_map(|entry| {
            let name = nucleo_matcher::Utf32Str::new(&entry.name, &mut letters);
            let score = pattern.score(name, &mut matcher)?;
            // the whole name typed is what was meant
            let exact = if entry.name == wanted { 10_000 } else { 0 };
            Some((score + exact, entry))
        })
        .collect();
    scored.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.name.len().cmp(&b.1.name.len())));
    scored.into_iter().map(|(_, entry)| entry).collect()
}

fn run(state: &mut State, does: Does) -> Vec<Effect> {
    match does {
        Does::Act(action) => act(state, action, None),
        Does::Go(view) => go(state, view),
        Does::Theme(kind) => {
            state.theme.kind = kind;
            vec![]
        }
        Does::Sort(name, descending) => {
            state.galaxies.spec.order = Order::Column { name, descending };
            vec![galaxies::reopen(state)]
        }
        Does::Row(row) => act(state, Action::Bottom, Some(row)),
    }
}

/// Columns whose name has the letters typed, shown ones first.
pub fn listed_columns(state: &State, typed: &str) -> Vec<(String, bool)> {
    let Some(facts) = &state.facts else { return vec![] };
    let shown = &state.galaxies.spec.columns;
    let typed = typed.trim().to_lowercase();
    let fits = |name: &&String| name.to_lowercase().contains(&typed);
    let mut listed: Vec<(String, bool)> =
        shown.iter().filter(fits).map(|name| (name.clone(), true)).collect();
    let rest = facts.columns.iter().filter(|name| !shown.contains(name));
    listed.extend(rest.filter(fits).map(|name| (name.clone(), false)));
    listed
}

fn columns(state: &mut State, mut line: Line, mut cursor: usize, key: KeyEvent) -> Vec<Effect> {
    let listed = listed_columns(state, line.text());
    match key.code {
        KeyCode::Esc => return vec![],
        KeyCode::Down => cursor = (cursor + 1).min(listed.len().saturating_sub(1)),
        KeyCode::Up => cursor = cursor.saturating_sub(1),
        KeyCode::PageDown => cursor = (cursor + LEAP).min(listed.len().saturating_sub(1)),
        KeyCode::PageUp => cursor = cursor.saturating_sub(LEAP),
        KeyCode::Enter | KeyCode::Tab => {
            let mut columns = state.galaxies.spec.columns.clone();
            if let Some((name, shown)) = listed.get(cursor) {
                if *shown && columns.len() > 1 {
                    columns.retain(|column| column != name);
                } else if !*shown {
                    let at = (state.galaxies.column + 1).min(columns.len());
                    columns.insert(at, name.clone());
                    state.galaxies.column = at;
                }
            }
            if key.code == KeyCode::Tab {
                state.overlay = Some(Overlay::Columns { line, cursor });
            }
            return galaxies::choose_columns(state, columns);
        }
        _ => {
            if line.key(key) {
                cursor = 0;
            }
        }
    }
    state.overlay = Some(Overlay::Columns { line, cursor });
    vec![]
}
