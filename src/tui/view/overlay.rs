//! Help, prompts, palette, column choice and texts, over the view.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::{put, put_right, wrapped};
use crate::tui::keys::{Scope, shown};
use crate::tui::state::{Asked, Overlay, Prompt, State};
use crate::tui::text::{self, clean, pad, width};
use crate::tui::theme::Role;
use crate::tui::update::{listed_columns, program, quoted, suggestions};

/// The line being typed; returns where the cursor stands.
pub fn prompt(state: &State, prompt: &Prompt, buffer: &mut Buffer, area: Rect) -> (u16, u16) {
    let label = match prompt.asked {
        Asked::Names => "name like ",
        Asked::Filter => "where ",
        Asked::Cone => "RA,DEC,RADIUS in degrees ",
        Asked::Palette => ":",
        Asked::Export => "write to ",
    };
    let x = put(buffer, area, 1, 0, label, state.theme.style(Role::Key));
    let (before, after) = prompt.line.around();
    // the end of what stands before the cursor is always in sight
    let room = usize::from(area.width.saturating_sub(x + 2));
    let mut kept = before;
    while width(&clean(kept)) > room && !kept.is_empty() {
        kept = &kept[kept.chars().next().map_or(0, char::len_utf8)..];
    }
    let at = put(buffer, area, x, 0, &clean(kept), state.theme.style(Role::Text));
    put(buffer, area, at, 0, &clean(after), state.theme.style(Role::Text));
    if let Some((role, said)) = &state.said {
        put_right(buffer, area, 0, &format!(" {} ", clean(said)), state.theme.style(*role));
    }
    (area.x + at.min(area.width - 1), area.y)
}

pub fn draw(state: &State, overlay: &Overlay, buffer: &mut Buffer, area: Rect) {
    match overlay {
        Overlay::Help { scroll } => help(state, buffer, area, *scroll),
        Overlay::Prompt(prompt) if prompt.asked == Asked::Palette => palette(state, prompt, buffer, area),
        Overlay::Prompt(prompt) if prompt.asked == Asked::Filter => filter_help(state, buffer, area),
        Overlay::Prompt(_) => {}
        Overlay::Columns { line, cursor } => {
            let listed = listed_columns(state, line.text());
            let rows: Vec<(String, String, String)> = listed
                .iter()
                .map(|(name, shown)| {
                    let sign = if *shown { "✓ " } else { "  " };
                    (
                        format!("{sign}{}", clean(name)),
                        super::galaxies::unit_of(name).to_owned(),
                        String::new(),
                    )
                })
                .collect();
            let title = format!("columns  {}▏", clean(line.text()));
            choices(state, buffer, area, &title, &rows, *cursor);
        }
        Overlay::Form(form) => {
            let height = (form.fields.len() as u16 + 6).min(area.height);
            let area = Rect { y: area.bottom() - height, height, ..area };
            let inside = frame(state, buffer, area, form.kind.title());
            for (i, field) in form.fields.iter().enumerate() {
                let y = i as u16;
                if i == form.cursor {
                    buffer.set_style(
                        Rect { y: inside.y + y, height: 1, ..inside },
                        state.theme.style(Role::Chosen),
                    );
                }
                put(buffer, inside, 0, y, &pad(field.label, 13, false), state.theme.style(Role::Key));
                let (before, after) = field.line.around();
                let cursor = if i == form.cursor { "▏" } else { "" };
                let value = format!("{}{cursor}{}", clean(before), clean(after));
                let x = put(buffer, inside, 14, y, &value, state.theme.style(Role::Text));
                put(buffer, inside, (x + 2).max(40), y, field.help, state.theme.style(Role::Dim));
            }
            let words: Vec<String> = form.arguments().iter().map(|word| quoted(word)).collect();
            let line = format!("{} {}", program(state), words.join(" "));
            for (i, part) in wrapped(&clean(&line), usize::from(inside.width)).iter().take(3).enumerate() {
                put(
                    buffer,
                    inside,
                    0,
                    form.fields.len() as u16 + 1 + i as u16,
                    part,
                    state.theme.style(Role::Good),
                );
            }
            if let Some((role, said)) = &state.said {
                put_right(
                    buffer,
                    area,
                    area.height - 1,
                    &format!(" {} ", clean(said)),
                    state.theme.style(*role),
                );
            }
        }
        Overlay::Text { title, lines, scroll, .. } => {
            let inside = frame(state, buffer, area, title);
            let shown = usize::from(inside.height);
            let first = (*scroll).min(lines.len().saturating_sub(shown));
            for (i, line) in lines.iter().skip(first).take(shown).enumerate() {
                put(buffer, inside, 0, i as u16, &clean(line), state.theme.style(Role::Text));
            }
        }
    }
}

/// A framed, empty area with a title; returns its inside.
pub fn frame(state: &State, buffer: &mut Buffer, area: Rect, title: &str) -> Rect {
    let rule = state.theme.style(Role::Dim);
    for y in 0..area.height {
        for x in 0..area.width {
            if let Some(cell) = buffer.cell_mut((area.x + x, area.y + y)) {
                cell.reset();
            }
        }
    }
    let line = "─".repeat(usize::from(area.width.saturating_sub(2)));
    put(buffer, area, 0, 0, &format!("╭{line}╮"), rule);
    put(buffer, area, 0, area.height - 1, &format!("╰{line}╯"), rule);
    for y in 1..area.height.saturating_sub(1) {
        put(buffer, area, 0, y, "│", rule);
        put(buffer, area, area.width - 1, y, "│", rule);
    }
    put(buffer, area, 2, 0, &format!(" {} ", clean(title)), state.theme.style(Role::Title));
    Rect {
        x: area.x + 2,
        y: area.y + 1,
        width: area.width.saturating_sub(4),
        height: area.height.saturating_sub(2),
    }
}

/// A line of the help: keys, what they do, and how the keys look.
type HelpLine = (String, String, Style);

/// All lines of the help in so many columns.
pub fn help_lines(state: &State, room: usize) -> Vec<HelpLine> {
    let here = state.scope();
    let mut scopes = vec![here, Scope::Everywhere];
    scopes.extend(Scope::ALL.into_iter().filter(|scope| ![here, Scope::Everywhere].contains(scope)));
    let mut lines: Vec<HelpLine> = Vec::new();
    for scope in scopes {
        if !lines.is_empty() {
            lines.push((String::new(), String::new(), Style::new()));
        }
        lines.push((scope.title().to_owned(), String::new(), state.theme.style(Role::Title)));
        for (binding, keys) in state.keymap.of(scope) {
            let names: Vec<String> = keys.iter().map(|key| shown(key)).collect();
            let names = pad(&names.join(" "), 14, false);
            for (i, line) in wrapped(binding.help, room.saturating_sub(16)).into_iter().enumerate() {
                let key = if i == 0 { names.clone() } else { String::new() };
                lines.push((key, line, state.theme.style(Role::Key)));
            }
        }
    }
    lines.push((String::new(), String::new(), Style::new()));
    let notes = [
        "Ctrl-d is half a page, never a deletion; ? is help, not a search; [ and ] sort, and q or Esc goes back.",
        "A number before j, k or G counts: 20j, 5000G. Keys and colours are set in sedflow/tui.toml (XDG).",
        "The catalog is only read. What changes it runs as a command of its own, which is shown before.",
    ];
    for line in notes.iter().flat_map(|note| wrapped(note, room)) {
        lines.push((line, String::new(), state.theme.style(Role::Dim)));
    }
    lines
}

fn help(state: &State, buffer: &mut Buffer, area: Rect, scroll: usize) {
    let inside = frame(state, buffer, area, "keys");
    let lines = help_lines(state, usize::from(inside.width));
    let shown_rows = usize::from(inside.height);
    let first = scroll.min(lines.len().saturating_sub(shown_rows));
    for (i, (key, what, style)) in lines.iter().skip(first).take(shown_rows).enumerate() {
        put(buffer, inside, 0, i as u16, key, *style);
        if !what.is_empty() {
            put(buffer, inside, 16, i as u16, what, state.theme.style(Role::Text));
        }
    }
    if lines.len() > shown_rows {
        let text = format!(" {}–{} of {} ", first + 1, (first + shown_rows).min(lines.len()), lines.len());
        put_right(
            buffer,
            Rect { width: area.width - 2, ..area },
            area.height - 1,
            &text,
            state.theme.style(Role::Dim),
        );
    }
}

fn palette(state: &State, prompt: &Prompt, buffer: &mut Buffer, area: Rect) {
    let entries = suggestions(state, prompt.line.text());
    let rows: Vec<(String, String, String)> =
        entries.iter().map(|entry| (clean(&entry.name), entry.help.clone(), entry.keys.clone())).collect();
    choices(state, buffer, area, "commands", &rows, prompt.chosen);
}

/// A list to choose from, at the bottom of an area: name, what it is, key.
fn choices(
    state: &State,
    buffer: &mut Buffer,
    area: Rect,
    title: &str,
    rows: &[(String, String, String)],
    chosen: usize,
) {
    let height = (rows.len() + 2).clamp(3, usize::from(area.height)).min(usize::from(area.height)) as u16;
    let area = Rect { y: area.bottom() - height, height, ..area };
    let inside = frame(state, buffer, area, title);
    let shown_rows = usize::from(inside.height);
    let first = (chosen + 1).saturating_sub(shown_rows);
    let name_width = rows.iter().map(|row| width(&row.0)).max().unwrap_or(0).min(34);
    for (i, (name, what, key)) in rows.iter().skip(first).take(shown_rows).enumerate() {
        let y = i as u16;
        let is_chosen = first + i == chosen;
        if is_chosen {
            buffer.set_style(Rect { y: inside.y + y, height: 1, ..inside }, state.theme.style(Role::Chosen));
        }
        put(buffer, inside, 0, y, &text::fit(name, name_width), state.theme.style(Role::Text));
        let room = Rect { width: inside.width.saturating_sub(10), ..inside };
        put(buffer, room, name_width as u16 + 2, y, what, state.theme.style(Role::Dim));
        put_right(buffer, inside, y, key, state.theme.style(Role::Key));
    }
    if rows.is_empty() {
        put(buffer, inside, 0, 0, "nothing is called like this", state.theme.style(Role::Dim));
    }
}

/// How conditions are written, while one is.
fn filter_help(state: &State, buffer: &mut Buffer, area: Rect) {
    let lines = [
        ("mag_r < 17 and redshift < 0.05", "columns: SQL conditions"),
        ("method = 'mcmc'", "how the answer was found"),
        ("reason LIKE '%SIGMA%'", "reason codes"),
        ("P(log_mstar_surviving > 11) > 0.9", "the probability, from the draws"),
        ("P(log_sfr_1gyr - log_mstar < -11) > 0.5", "any expression of parameters"),
    ];
    let height = (lines.len() as u16 + 2).min(area.height);
    let area = Rect { y: area.bottom() - height, height, ..area };
    let inside = frame(state, buffer, area, "conditions, such as");
    for (i, (example, what)) in lines.iter().enumerate() {
        put(buffer, inside, 0, i as u16, example, state.theme.style(Role::Key));
        put(buffer, inside, 42, i as u16, what, state.theme.style(Role::Dim));
    }
}
