//! The list of galaxies, and below it what is known of the one under the cursor.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::{notice, put, put_right, wrapped};
use crate::commands::plot::symbol;
use crate::infer::reason_meaning;
use crate::store::{ColumnValue, Order};
use crate::tui::state::{Galaxies, State, Total};
use crate::tui::text::{cell, clean, pad, thousands, width};
use crate::tui::theme::Role;
use crate::tui::update::cone_words;

/// Row of the terminal in which the list begins.
pub const FIRST_ROW: u16 = 3;
/// Columns for the cursor and the mark before the first column.
const GUTTER: usize = 2;
const GAP: usize = 2;

/// Rows for the galaxy under the cursor.
pub fn detail_rows((columns, rows): (u16, u16)) -> usize {
    match rows {
        0..28 => 0,
        28..48 => {
            if columns >= 100 {
                6
            } else {
                7
            }
        }
        _ => 9,
    }
}

/// What a column is called over the list: symbol and unit.
pub fn heading(name: &str) -> String {
    for (suffix, word) in [
        ("_q50", ""),
        ("_q16", " 16%"),
        ("_q84", " 84%"),
        ("_q025", " 2.5%"),
        ("_q975", " 97.5%"),
        ("_mean", " mean"),
        ("_std", " sd"),
        ("_map", " best"),
        ("_edge_frac", " at edge"),
    ] {
        let Some(parameter) = name.strip_suffix(suffix) else { continue };
        let (sign, unit) = symbol(parameter);
        if sign == parameter && unit.is_empty() && !crate::store::SUMMARY_PARAMETERS.contains(&parameter) {
            continue;
        }
        let unit = match (parameter, unit) {
            (_, "") => String::new(),
            (_, unit) => format!("/{}", unit.replace('_', "")),
        };
        return format!("{}{unit}{word}", sign.replace('_', ""));
    }
    match name {
        "ra_deg" => "RA °".to_owned(),
        "dec_deg" => "Dec °".to_owned(),
        "redshift" => "z".to_owned(),
        "redshift_err" => "σ z".to_owned(),
        "cuts_failed" => "cuts".to_owned(),
        name => match name.strip_prefix("flux_nmgy_") {
            Some(band) => format!("{} nmgy", clean(band)),
            None => clean(&name.replace("mag_", "mag ")),
        },
    }
}

fn is_text(name: &str, list: &Galaxies, column: usize) -> bool {
    matches!(name, "survey" | "object_id" | "method" | "reason")
        || list.rows.iter().take(20).any(|row| matches!(row.cells.get(column), Some(ColumnValue::Text(_))))
}

/// Columns of the terminal that a column of the list takes.
pub fn column_width(state: &State, column: usize) -> usize {
    let list = &state.galaxies;
    let Some(name) = list.spec.columns.get(column) else { return 0 };
    if let Some(width) = list.widths.get(name) {
        return *width;
    }
    let head = width(&heading(name)) + usize::from(sorted_by(list, name).is_some()) * 2;
    let widest = |most| {
        let rows = list.rows.iter().take(200);
        let cells = rows.filter_map(|row| row.cells.get(column)).map(|value| width(&cell(name, value)));
        cells.max().unwrap_or(0).min(most)
    };
    let body = match name.as_str() {
        "object_id" => widest(26).max(8),
        "reason" => widest(30).max(12),
        "method" => 6,
        _ => widest(18).max(6),
    };
    head.max(body)
}

fn sorted_by(list: &Galaxies, name: &str) -> Option<bool> {
    match &list.spec.order {
        Order::Column { name: sorted, descending } if sorted == name => Some(*descending),
        _ => None,
    }
}

/// The columns in sight with where they begin and how wide they are.
fn layout(state: &State) -> Vec<(usize, usize, usize)> {
    let list = &state.galaxies;
    let room = usize::from(state.size.0);
    let mut x = GUTTER;
    let mut placed = Vec::new();
    let columns = (0..list.frozen.min(list.spec.columns.len()))
        .chain(list.left.max(list.frozen)..list.spec.columns.len());
    for column in columns {
        let wide = column_width(state, column);
        let wide = wide.min(room.saturating_sub(x));
        if wide < 3 {
            break;
        }
        placed.push((column, x, wide));
        x += wide + GAP;
    }
    placed
}

/// Whether a column can be seen whole.
pub fn in_sight(state: &State, column: usize) -> bool {
    let whole = column_width(state, column);
    layout(state).iter().any(|(placed, _, wide)| *placed == column && *wide >= whole)
}

/// The column of the list at a column of the terminal.
pub fn column_at(state: &State, x: u16) -> Option<usize> {
    let x = usize::from(x);
    layout(state)
        .into_iter()
        .find(|(_, from, wide)| (*from..from + wide + GAP).contains(&x))
        .map(|placed| placed.0)
}

pub fn draw(state: &State, buffer: &mut Buffer, area: Rect) {
    let list = &state.galaxies;
    info(state, buffer, area);
    let body = Rect { y: area.y + 1, height: area.height - 1, ..area };
    if let Some(text) = &state.no_catalog {
        return notice(state, buffer, body, Role::Bad, text);
    }
    if let Some(text) = &list.problem {
        return notice(state, buffer, body, Role::Bad, text);
    }
    let columns = layout(state);
    heads(state, buffer, body, &columns);
    let height = state.list_height();
    let theme = &state.theme;
    for (i, row) in list.rows.iter().skip(list.top).take(height).enumerate() {
        let y = 1 + i as u16;
        let here = list.top + i == list.cursor;
        let marked = list.marks.contains(&row.galaxy);
        if here {
            buffer.set_style(Rect { y: body.y + y, height: 1, ..body }, theme.style(Role::Chosen));
        }
        let sign = if marked { "●" } else { " " };
        put(buffer, body, 0, y, sign, theme.style(Role::Mark));
        for &(column, x, wide) in &columns {
            let Some(value) = row.cells.get(column) else { continue };
            let name = &list.spec.columns[column];
            let mut style = match value {
                ColumnValue::Null => theme.style(Role::Dim),
                _ => theme.style(Role::Text),
            };
            if name == "reason" && *value != ColumnValue::Null {
                style = theme.style(Role::Warning);
            }
            let right = !is_text(name, list, column);
            let shown = pad(&cell(name, value), wide, right);
            put(buffer, body, x as u16, y, &shown, style);
        }
    }
    if list.rows.is_empty() && list.busy.is_none() {
        let text = if super::super::update::is_narrowed(state) {
            "no galaxy is like this: x drops search, filter and cone"
        } else {
            "no galaxies yet: `sedflow ingest` takes them in"
        };
        notice(state, buffer, body, Role::Dim, text);
    }
    let rows = detail_rows(state.size) as u16;
    if rows > 0 && body.height > rows {
        detail(state, buffer, Rect { y: body.bottom() - rows, height: rows, ..body });
    }
}

/// How many there are, and by what they are narrowed and sorted; at the right, the column's own name.
fn info(state: &State, buffer: &mut Buffer, area: Rect) {
    let (list, theme) = (&state.galaxies, &state.theme);
    let count = match (list.total, list.first) {
        (Total::Exactly(n), _) => format!("{} galaxies", thousands(n)),
        (Total::About(n), _) => format!("~{} galaxies", thousands(n)),
        (Total::Unknown, Some(first)) => format!("{}+ galaxies", thousands(first + list.rows.len() as u64)),
        (Total::Unknown, None) => "galaxies".to_owned(),
    };
    let place =
        list.first.filter(|_| !list.rows.is_empty()).map(|first| thousands(first + list.cursor as u64 + 1));
    let mut x = 1;
    if let Some(place) = place {
        x = put(buffer, area, x, 0, &place, theme.style(Role::Text));
        x = put(buffer, area, x, 0, " of ", theme.style(Role::Dim));
    }
    x = put(buffer, area, x, 0, &count, theme.style(Role::Text));
    if !list.marks.is_empty() {
        x = put(
            buffer,
            area,
            x + 2,
            0,
            &format!("{} marked", thousands(list.marks.len() as u64)),
            theme.style(Role::Mark),
        );
    }
    let spec = &list.spec;
    let mut words = Vec::new();
    if let Order::Column { name, descending } = &spec.order {
        words.push(("by ", format!("{} {}", clean(name), if *descending { "↓" } else { "↑" })));
    }
    if !spec.names.is_empty() {
        words.push(("like ", clean(&spec.names)));
    }
    if !spec.filter.is_empty() {
        words.push(("where ", clean(&spec.filter)));
    }
    if let Some(cone) = spec.cone {
        words.push(("in ", cone_words(cone)));
    }
    if spec.only.is_some() {
        words.push(("only ", "marked".to_owned()));
    }
    for (word, what) in words {
        x = put(buffer, area, x + 2, 0, word, theme.style(Role::Dim));
        x = put(buffer, area, x, 0, &what, theme.style(Role::Key));
    }
    if let Some(name) = list.column_name() {
        let name = clean(name);
        let unit = unit_of(&name);
        let text = if unit.is_empty() { name } else { format!("{name} [{unit}]") };
        if usize::from(x) + 2 + width(&text) < usize::from(area.width) {
            put_right(buffer, Rect { width: area.width - 1, ..area }, 0, &text, theme.style(Role::Dim));
        }
    }
}

/// Unit of a column of the list.
pub fn unit_of(name: &str) -> &str {
    match name {
        "ra_deg" | "dec_deg" => "deg",
        _ if name.starts_with("mag_") => "AB mag",
        _ if name.starts_with("flux_nmgy_") => "nmgy",
        _ if name.starts_with("ivar_nmgy_") => "nmgy⁻²",
        _ => {
            let ends = ["_q50", "_q16", "_q84", "_q025", "_q975", "_mean", "_std", "_map"];
            let parameter = ends.iter().find_map(|end| name.strip_suffix(end));
            parameter.map_or("", |parameter| match parameter {
                "log_sfr_1gyr" | "log_sfr_100myr" => "log(Msun/yr)",
                "log_mstar_surviving" => "log(Msun)",
                "log_z_mw" => "log(Z)",
                "t_age_mw_gyr" => "Gyr",
                other => {
                    crate::prior::PARAMS.iter().find(|info| info.name == other).map_or("", |info| info.unit)
                }
            })
        }
    }
}

fn heads(state: &State, buffer: &mut Buffer, area: Rect, columns: &[(usize, usize, usize)]) {
    let (list, theme) = (&state.galaxies, &state.theme);
    for &(column, x, wide) in columns {
        let name = &list.spec.columns[column];
        let sign = match sorted_by(list, name) {
            Some(true) => " ↓",
            Some(false) => " ↑",
            None => "",
        };
        let text = pad(&(heading(name) + sign), wide, !is_text(name, list, column));
        let style = theme.style(Role::Title);
        let style = if column == list.column {
            style.add_modifier(ratatui::style::Modifier::UNDERLINED)
        } else {
            style
        };
        put(buffer, area, x as u16, 0, &text, style);
    }
    // where the frozen columns end
    if list.frozen > 0
        && let Some(next) = columns.iter().find(|(column, ..)| *column >= list.frozen)
        && list.left > list.frozen
    {
        let x = next.1.saturating_sub(GAP) as u16;
        for y in 0..=state.list_height() as u16 {
            put(buffer, area, x, y, "│", theme.style(Role::Dim));
        }
    }
}

/// All that the list shows of the galaxy under the cursor, and what its reasons mean.
fn detail(state: &State, buffer: &mut Buffer, area: Rect) {
    let (list, theme) = (&state.galaxies, &state.theme);
    put(buffer, area, 0, 0, &"─".repeat(usize::from(area.width)), theme.style(Role::Dim));
    let Some(row) = list.current() else { return };
    let (mut x, mut y) = (1, 1);
    for (name, value) in list.spec.columns.iter().zip(&row.cells) {
        if *value == ColumnValue::Null || name == "reason" {
            continue;
        }
        let unit = unit_of(name);
        let shown = cell(name, value);
        let label = heading(name);
        let unit = if unit.is_empty() || label.contains('/') || label.contains('°') {
            String::new()
        } else {
            format!(" {unit}")
        };
        let wide = width(&label) + 1 + width(&shown) + width(&unit);
        if usize::from(x) + wide > usize::from(area.width) - 1 {
            (x, y) = (1, y + 1);
        }
        if y >= area.height {
            return;
        }
        x = put(buffer, area, x, y, &label, theme.style(Role::Dim)) + 1;
        x = put(buffer, area, x, y, &shown, theme.style(Role::Text));
        x = put(buffer, area, x, y, &unit, theme.style(Role::Dim)) + 3;
    }
    let reason = list.spec.columns.iter().position(|name| name == "reason").and_then(|at| row.cells.get(at));
    let Some(ColumnValue::Text(reasons)) = reason else { return };
    for code in reasons.split_whitespace() {
        y += 1;
        let x = put(buffer, area, 1, y, &clean(code), theme.style(Role::Warning)) + 2;
        let meaning = reason_meaning(code).unwrap_or_default();
        for line in wrapped(meaning, usize::from(area.width.saturating_sub(x))) {
            put(buffer, area, x, y, &line, theme.style(Role::Dim));
        }
    }
}
