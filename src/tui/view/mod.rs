//! Drawing: from the state alone to a frame.
//!
//! ```text
//!  sedflow  catalog.db  set          Galaxies  Models  ...     who and where
//!  1 000 galaxies  by redshift  ...                            what is shown
//!  the view
//!  a message, or what is being typed
//!  j down  / name  & filter ...                                keys that count here
//! ```

mod draws;
pub mod galaxies;
mod galaxy;
pub mod overlay;
mod panel;
mod products;

use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::style::Style;

use super::keys::{Scope, shown};
use super::state::{Asked, Overlay, State, View};
use super::text;
use super::theme::Role;

/// Rows of a view that are not its own: heading, what is shown, message, keys.
pub const CHROME_ROWS: usize = 4;
/// What a terminal must have.
const LEAST: (u16, u16) = (40, 10);

pub fn view(state: &State, frame: &mut Frame) {
    let area = frame.area();
    if area.width < LEAST.0 || area.height < LEAST.1 {
        let text = format!("{}×{} is too small: {}×{} at least", area.width, area.height, LEAST.0, LEAST.1);
        put(frame.buffer_mut(), area, 0, 0, &text, Style::new());
        return;
    }
    let buffer = frame.buffer_mut();
    heading(state, buffer, area);
    let body = Rect { y: area.y + 1, height: area.height - 3, ..area };
    match state.view {
        View::Galaxies => match &state.galaxy {
            Some(view) => galaxy::draw(state, view, buffer, body),
            None => galaxies::draw(state, buffer, body),
        },
        View::Models => products::draw_models(state, buffer, body),
        View::Validation => products::draw_validation(state, buffer, body),
        View::Runs => products::draw_runs(state, buffer, body),
    }
    let message = Rect { y: area.bottom() - 2, height: 1, ..area };
    let mut cursor = None;
    match &state.overlay {
        Some(Overlay::Prompt(prompt)) => cursor = Some(overlay::prompt(state, prompt, buffer, message)),
        _ => say(state, buffer, message),
    }
    hints(state, buffer, Rect { y: area.bottom() - 1, height: 1, ..area });
    if let Some(overlay) = &state.overlay {
        overlay::draw(state, overlay, buffer, body);
    }
    if let Some((x, y)) = cursor {
        frame.set_cursor_position(Position { x, y });
    }
}

/// Writes text from a column of an area's row on, cut at its end; returns the column after it.
pub fn put(buffer: &mut Buffer, area: Rect, x: u16, y: u16, text: &str, style: Style) -> u16 {
    if y >= area.height || x >= area.width {
        return x;
    }
    let room = usize::from(area.width - x);
    let fitted = text::fit(text, room);
    let (end, _) = buffer.set_stringn(area.x + x, area.y + y, &fitted, room, style);
    end - area.x
}

/// Writes text that ends at the right edge of an area's row.
pub fn put_right(buffer: &mut Buffer, area: Rect, y: u16, text: &str, style: Style) {
    let width = text::width(text).min(usize::from(area.width)) as u16;
    put(buffer, area, area.width - width, y, text, style);
}

const TAB_GAP: u16 = 2;

/// Where each view's name stands in the first row: from, to.
fn tabs(width: u16) -> Vec<(View, u16, u16)> {
    let all: u16 = View::ALL.iter().map(|view| text::width(view.title()) as u16 + TAB_GAP).sum();
    let mut x = width.saturating_sub(all);
    View::ALL
        .into_iter()
        .map(|view| {
            let from = x;
            x += text::width(view.title()) as u16 + TAB_GAP;
            (view, from, x)
        })
        .collect()
}

pub fn tab_at(state: &State, column: u16) -> Option<View> {
    tabs(state.size.0).into_iter().find(|(_, from, to)| (*from..*to).contains(&column)).map(|(view, ..)| view)
}

fn heading(state: &State, buffer: &mut Buffer, area: Rect) {
    let theme = &state.theme;
    let tabs = tabs(area.width);
    let left = Rect { width: tabs.first().map_or(area.width, |tab| tab.1.saturating_sub(1)), ..area };
    let x = put(buffer, left, 1, 0, "sedflow", theme.style(Role::Title));
    let file =
        state.catalog.file_name().map_or_else(String::new, |name| text::clean(&name.to_string_lossy()));
    let x = put(buffer, left, x + 2, 0, &file, theme.style(Role::Text));
    if let Some(set) = state.set_name() {
        let x = put(buffer, left, x + 2, 0, "set ", theme.style(Role::Dim));
        put(buffer, left, x, 0, &text::clean(set), theme.style(Role::Text));
    }
    for (view, from, _) in tabs {
        let style = if view == state.view { theme.style(Role::Chosen) } else { theme.style(Role::Dim) };
        put(buffer, area, from, 0, &format!(" {} ", view.title()), style);
    }
}

fn say(state: &State, buffer: &mut Buffer, area: Rect) {
    if let Some((role, said)) = &state.said {
        put(buffer, area, 1, 0, &text::clean(said), state.theme.style(*role));
    } else if let Some(count) = state.count {
        put(buffer, area, 1, 0, &count.to_string(), state.theme.style(Role::Key));
    } else if let Some(busy) = &state.galaxies.busy
        && state.view == View::Galaxies
    {
        put(buffer, area, 1, 0, &format!("{} …", text::clean(busy)), state.theme.style(Role::Dim));
    }
}

/// The keys that count here, as far as there is room.
fn hints(state: &State, buffer: &mut Buffer, area: Rect) {
    let (key, dim) = (state.theme.style(Role::Key), state.theme.style(Role::Dim));
    let mut x = 1;
    let typing: &[(&str, &str)] = match &state.overlay {
        Some(Overlay::Help { .. } | Overlay::Text { .. }) => &[("↑↓", "scroll"), ("Esc", "close")],
        Some(Overlay::Columns { .. }) => &[
            ("type", "to find"),
            ("↑↓", "choose"),
            ("Enter", "show or hide"),
            ("Tab", "and stay"),
            ("Esc", "close"),
        ],
        Some(Overlay::Prompt(prompt)) if prompt.asked == Asked::Palette => {
            &[("type", "to find"), ("↑↓", "choose"), ("Enter", "do it"), ("Esc", "close")]
        }
        Some(Overlay::Form(_)) if state.view == View::Runs => &[
            ("↑↓", "fields"),
            ("Ctrl-u", "empty"),
            ("Enter", "run it"),
            ("PgUp PgDn", "other commands"),
            ("Esc", "leave"),
        ],
        Some(Overlay::Form(_)) => {
            &[("↑↓", "fields"), ("Ctrl-u", "empty"), ("Enter", "run it"), ("Esc", "leave")]
        }
        Some(Overlay::Prompt(_)) => {
            &[("Enter", "do it"), ("↑↓", "typed before"), ("Ctrl-u", "empty"), ("Esc", "leave")]
        }
        None => &[],
    };
    for (name, what) in typing {
        x = put(buffer, area, x, 0, name, key);
        x = put(buffer, area, x + 1, 0, what, dim) + 2;
    }
    if !typing.is_empty() {
        return;
    }
    let scope = state.scope();
    let rows = state.keymap.of(scope).chain(state.keymap.of(Scope::Everywhere));
    for (binding, keys) in rows.filter(|(binding, keys)| !binding.hint.is_empty() && !keys.is_empty()) {
        let name = shown(&keys[0]);
        let needed = text::width(&name) + 1 + text::width(binding.hint);
        if usize::from(x) + needed > usize::from(area.width) {
            break;
        }
        x = put(buffer, area, x, 0, &name, key);
        x = put(buffer, area, x + 1, 0, binding.hint, dim) + 2;
    }
}

/// Text broken between words into lines of at most `width` columns.
pub fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.len() - 1;
        let used = text::width(&lines[last]);
        if used > 0 && used + 1 + text::width(word) > width {
            lines.push(text::fit(word, width));
        } else {
            if used > 0 {
                lines[last].push(' ');
            }
            lines[last].push_str(&text::fit(word, width));
        }
    }
    lines
}

/// A message in the middle of an area, in place of what cannot be shown. What is indented stays as it is: a sign below
/// a character points at it.
pub fn notice(state: &State, buffer: &mut Buffer, area: Rect, role: Role, text: &str) {
    let room = usize::from(area.width).saturating_sub(6).max(10);
    let lines: Vec<String> = text
        .split('\n')
        .flat_map(|line| match line.starts_with(' ') {
            true => vec![text::clean(line)],
            false => wrapped(&text::clean(line), room),
        })
        .collect();
    let top = (usize::from(area.height).saturating_sub(lines.len()) / 3) as u16;
    for (i, line) in lines.iter().enumerate() {
        put(buffer, area, 3, top + i as u16, line, state.theme.style(role));
    }
}

#[cfg(test)]
pub mod tests;
