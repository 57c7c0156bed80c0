//! Draws of one galaxy's posteriors, laid over each other: a marginal of each parameter, a density of each pair.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::panel::panel;
use super::{notice, put, put_right};
use crate::output::decimals_of;
use crate::plot::axes::Axis;
use crate::tui::jobs::galaxy::{Curves, Portrait};
use crate::tui::portrait::{BINS, CELLS, TELLING, label};
use crate::tui::raster::{Plot, Tone};
use crate::tui::state::{GalaxyView, Page, State};
use crate::tui::text::{clean, number, pad, width};
use crate::tui::theme::Role;

/// Posterior, curves and data that are shown: those of the catalog, or of changed data.
pub(super) struct Shown<'a> {
    pub(super) view: &'a GalaxyView,
    pub(super) portrait: Option<&'a Portrait>,
    pub(super) curves: Option<&'a Curves>,
}

impl<'a> Shown<'a> {
    pub(super) fn of(view: &'a GalaxyView) -> Self {
        match &view.whatif {
            Some(whatif) => Self {
                view,
                portrait: whatif.portrait.as_deref().or(view.portrait.as_deref()),
                curves: whatif.curves.as_deref().or(view.curves.as_deref()),
            },
            None => Self { view, portrait: view.portrait.as_deref(), curves: view.curves.as_deref() },
        }
    }
}

/// Splits off the upper `rows` of an area.
pub(super) fn top_of(area: Rect, rows: u16) -> (Rect, Rect) {
    let rows = rows.min(area.height);
    (Rect { height: rows, ..area }, Rect { y: area.y + rows, height: area.height - rows, ..area })
}

/// Value with the distances to its 16 and 84 %, two digits of the smaller.
pub(super) fn interval(q: &[f64; 5]) -> (String, String) {
    let (down, up) = (q[2] - q[1], q[3] - q[2]);
    let decimals = decimals_of(down.min(up).max(1e-5)).min(4);
    if !q[2].is_finite() {
        return ("–".to_owned(), String::new());
    }
    (number(q[2], decimals), format!("+{up:.decimals$} −{down:.decimals$}"))
}

/// The posteriors drawn: the one shown, then those laid over it.
fn overlaid<'a>(shown: &Shown<'a>) -> Vec<&'a Portrait> {
    let mut all: Vec<&Portrait> = shown.portrait.into_iter().collect();
    if shown.view.whatif.is_some() {
        all.extend(shown.view.portrait.as_deref());
    } else if shown.view.overlay {
        all.extend(shown.view.others.iter().map(|other| &**other));
    }
    all
}

/// Whose colour is whose, where there are several; returns the rows used.
fn overlay_key(state: &State, shown: &Shown, all: &[&Portrait], buffer: &mut Buffer, area: Rect) -> u16 {
    if all.len() < 2 {
        return 0;
    }
    let mut x = 1;
    for (k, portrait) in all.iter().enumerate() {
        let name = match (&shown.view.whatif, k) {
            (Some(_), 0) => "what if".to_owned(),
            (Some(_), _) => "the catalog's".to_owned(),
            _ => format!("{} ({})", clean(&portrait.name), portrait.method.as_deref().unwrap_or("none")),
        };
        x = put(buffer, area, x, 0, "━━ ", state.theme.style(Role::Series(k as u8)));
        x = put(buffer, area, x, 0, &name, state.theme.style(Role::Text)) + 2;
    }
    1
}

pub(super) fn marginals(state: &State, shown: &Shown, buffer: &mut Buffer, area: Rect) {
    let all = overlaid(shown);
    let Some(first) = all.first() else {
        put(buffer, area, 1, 0, "posterior …", state.theme.style(Role::Dim));
        return;
    };
    if first.marginals.iter().all(|m| m.heights.is_empty()) {
        let text = first.lacks.as_deref().unwrap_or("there are no draws to draw");
        return notice(state, buffer, area, Role::Warning, text);
    }
    let (_, area) = top_of(area, overlay_key(state, shown, &all, buffer, area));
    let columns = (area.width / 30).clamp(1, 6);
    let wide = area.width / columns;
    let shown_ones: Vec<usize> = TELLING.iter().copied().filter(|i| *i < first.marginals.len()).collect();
    let wanted = (shown_ones.len() as u16).div_ceil(columns).max(1);
    let tall = (area.height / wanted).clamp(5, 12);
    let rows = (area.height / tall).max(1);
    for (place, &i) in shown_ones.iter().enumerate().skip(shown.view.scroll * usize::from(columns)) {
        let place = (place - shown.view.scroll * usize::from(columns)) as u16;
        let (row, column) = (place / columns, place % columns);
        if row >= rows {
            break;
        }
        let cell = Rect { x: area.x + column * wide, y: area.y + row * tall, width: wide, height: tall };
        marginal(state, &all, i, buffer, cell);
    }
    if usize::from(rows * columns) < shown_ones.len() && shown.view.scroll == 0 {
        put_right(
            buffer,
            Rect { height: area.height, ..area },
            area.height - 1,
            "↓ more ",
            state.theme.style(Role::Dim),
        );
    }
}

fn marginal(state: &State, all: &[&Portrait], i: usize, buffer: &mut Buffer, area: Rect) {
    let theme = &state.theme;
    let Some(m) = all.first().and_then(|portrait| portrait.marginals.get(i)) else { return };
    let (sign, unit) = label(m.name);
    let (middle, sides) = interval(&m.quantiles);
    let body = Rect { width: area.width.saturating_sub(1), ..area };
    let x = put(buffer, body, 1, 0, &sign, theme.style(Role::Title)) + 1;
    let x = put(buffer, body, x, 0, &middle, theme.style(Role::Median)) + 1;
    put(buffer, body, x, 0, &sides, theme.style(Role::Dim));
    let inner = Rect {
        x: area.x + 1,
        y: area.y + 1,
        width: area.width.saturating_sub(3),
        height: area.height.saturating_sub(3),
    };
    if inner.height == 0 || inner.width < 4 {
        return;
    }
    // one range for all that are laid over each other
    let same = all.iter().filter_map(|portrait| portrait.marginals.get(i)).filter(|m| !m.heights.is_empty());
    let (from, to) = same.fold((m.from, m.to), |(a, b), m| (a.min(m.from), b.max(m.to)));
    let (x, y) = (Axis::linear(from, to), Axis::linear(0.0, 1.06));
    let mut plot = Plot::new(inner, x, y);
    if all.len() == 1 {
        plot.bars(Role::Inner, Tone::Half, m.from, m.to, &m.heights);
    }
    if !m.prior.is_empty() {
        let middles: Vec<f64> =
            (0..BINS).map(|k| m.from + (k as f64 + 0.5) * (m.to - m.from) / BINS as f64).collect();
        plot.curve(Role::Prior, &middles, &m.prior);
    }
    if all.len() > 1 {
        for (k, portrait) in all.iter().enumerate().rev() {
            let Some(m) = portrait.marginals.get(i).filter(|m| !m.heights.is_empty()) else { continue };
            let middles: Vec<f64> =
                (0..BINS).map(|k| m.from + (k as f64 + 0.5) * (m.to - m.from) / BINS as f64).collect();
            plot.curve(Role::Series(k as u8), &middles, &m.heights);
        }
    } else {
        for (p, every) in [(1, 2), (3, 2), (2, 1)] {
            plot.upright(Role::Median, m.quantiles[p], every);
        }
    }
    plot.raster.draw(buffer, inner, theme);
    let bottom = area.height - 2;
    let decimals = decimals_of(0.1 * (to - from)).min(3);
    let from_text = number(from, decimals);
    let edge = |value: f64, support: Option<(f64, f64)>| {
        support.is_some_and(|(low, high)| (value - low).abs() < 1e-9 || (value - high).abs() < 1e-9)
    };
    let at_edge = [edge(from, m.support), edge(to, m.support)];
    let role = |at: bool| theme.style(if at { Role::Warning } else { Role::Dim });
    put(buffer, body, 1, bottom, &from_text, role(at_edge[0] && m.edge_frac > 0.05));
    let middle = (usize::from(body.width).saturating_sub(width(&unit))) as u16 / 2;
    put(buffer, body, middle, bottom, &unit, theme.style(Role::Dim));
    put_right(buffer, body, bottom, &number(to, decimals), role(at_edge[1] && m.edge_frac > 0.05));
}

/// Densities of pairs: filled at 68 and 95 %, or outlined where several are laid over each other.
pub(super) fn corner(state: &State, shown: &Shown, buffer: &mut Buffer, area: Rect) {
    let all = overlaid(shown);
    let Some(first) = all.first() else {
        put(buffer, area, 1, 0, "posterior …", state.theme.style(Role::Dim));
        return;
    };
    if first.pairs.is_empty() {
        let text = first.lacks.as_deref().unwrap_or("there are no draws to draw");
        return notice(state, buffer, area, Role::Warning, text);
    }
    let (_, area) = top_of(area, overlay_key(state, shown, &all, buffer, area));
    let (i, j) = shown.view.pair;
    if shown.view.zoom {
        return zoomed(state, &all, (i, j), buffer, area);
    }
    let margin = 10;
    let n = (area.width.saturating_sub(margin) / 11)
        .min((area.height.saturating_sub(2)) / 4)
        .clamp(2, first.chosen.len() as u16);
    let (wide, tall) = ((area.width - margin) / n, (area.height.saturating_sub(2)) / n);
    for row in 0..n {
        let k = first.chosen[usize::from(row)];
        let (sign, _) = label(first.marginals[k].name);
        let name = pad(&sign, usize::from(margin) - 1, true);
        put(buffer, area, 0, row * tall + tall / 2, &name, state.theme.style(Role::Title));
        for column in 0..=row {
            let cell = Rect {
                x: area.x + margin + column * wide,
                y: area.y + row * tall,
                width: wide.saturating_sub(1),
                height: tall.saturating_sub(u16::from(tall > 4)),
            };
            if row == column {
                let m = &first.marginals[k];
                let mut plot = Plot::new(cell, Axis::linear(m.from, m.to), Axis::linear(0.0, 1.06));
                for (k2, portrait) in all.iter().enumerate().rev() {
                    let m = &portrait.marginals[k];
                    if all.len() == 1 {
                        plot.bars(Role::Inner, Tone::Half, m.from, m.to, &m.heights);
                    } else {
                        let xs: Vec<f64> = (0..m.heights.len())
                            .map(|k| m.from + (k as f64 + 0.5) * (m.to - m.from) / BINS as f64)
                            .collect();
                        plot.curve(Role::Series(k2 as u8), &xs, &m.heights);
                    }
                }
                plot.raster.draw(buffer, cell, &state.theme);
            } else {
                density(state, &all, (usize::from(row), usize::from(column)), buffer, cell);
            }
            if row == n - 1 {
                let m = &first.marginals[first.chosen[usize::from(column)]];
                let decimals = decimals_of(0.1 * (m.to - m.from)).min(2);
                let below = Rect { y: area.y + n * tall, height: 2, x: cell.x, width: cell.width };
                let (low, high) = (number(m.from, decimals), number(m.to, decimals));
                put(buffer, below, 0, 0, &low, state.theme.style(Role::Dim));
                if width(&low) + width(&high) < usize::from(cell.width) {
                    put_right(buffer, below, 0, &high, state.theme.style(Role::Dim));
                }
                let (sign, _) = label(m.name);
                put(buffer, below, 0, 1, &sign, state.theme.style(Role::Title));
            }
        }
    }
    // the pair that z opens
    if usize::from(n) > i && i > j && shown.view.page == Page::Corner {
        let at =
            Rect { x: area.x + margin + j as u16 * wide, y: area.y + i as u16 * tall, width: 1, height: 1 };
        put(buffer, at, 0, 0, "◆", state.theme.style(Role::Key));
    }
}

/// One pair in a cell.
fn density(state: &State, all: &[&Portrait], (i, j): (usize, usize), buffer: &mut Buffer, cell: Rect) {
    let theme = &state.theme;
    let Some(grid) = all[0].pairs.get(i).and_then(|row| row.get(j)) else { return };
    if all.len() > 1 {
        let range = |portrait: &Portrait, k: usize| {
            let m = &portrait.marginals[portrait.chosen[k]];
            (m.from, m.to)
        };
        let ((x0, x1), (y0, y1)) = (range(all[0], j), range(all[0], i));
        let mut plot = Plot::new(cell, Axis::linear(x0, x1), Axis::linear(y0, y1));
        for (k, portrait) in all.iter().enumerate().rev() {
            if let Some(grid) = portrait.pairs.get(i).and_then(|row| row.get(j)) {
                outline(&mut plot, Role::Series(k as u8), grid, range(portrait, j), range(portrait, i));
            }
        }
        return plot.raster.draw(buffer, cell, theme);
    }
    let (across, down) = (usize::from(cell.width), 2 * usize::from(cell.height));
    let class = |x: usize, y: usize| {
        let (gx, gy) = (x * CELLS / across.max(1), CELLS - 1 - y * CELLS / down.max(1));
        grid[gy * CELLS + gx]
    };
    let roles = [Role::Text, Role::Dim, Role::Outer, Role::Inner];
    for row in 0..usize::from(cell.height) {
        for column in 0..across {
            let (upper, lower) = (class(column, 2 * row), class(column, 2 * row + 1));
            let Some(target) = buffer.cell_mut((cell.x + column as u16, cell.y + row as u16)) else {
                continue;
            };
            let colour = |class: u8| if class >= 2 { theme.color(roles[usize::from(class)]) } else { None };
            if theme.color(Role::Inner).is_none() {
                target.set_char([' ', '·', '░', '▓'][usize::from(upper.max(lower))]);
                continue;
            }
            match (colour(upper), colour(lower)) {
                (None, None) => {
                    if upper.max(lower) == 1 {
                        target.set_char('·').set_style(theme.style(Role::Outer));
                    }
                }
                (Some(upper), None) => {
                    target.set_char('▀').set_fg(upper);
                }
                (None, Some(lower)) => {
                    target.set_char('▄').set_fg(lower);
                }
                (Some(upper), Some(lower)) => {
                    target.set_char('▀').set_fg(upper).set_bg(lower);
                }
            }
        }
    }
}

/// The outlines of the 68 and 95 % areas of a grid, as dots.
fn outline(plot: &mut Plot, role: Role, grid: &[u8], (x0, x1): (f64, f64), (y0, y1): (f64, f64)) {
    plot.raster.layer(role);
    let (across, down) = plot.raster.size();
    let class = |column: usize, row: usize| {
        let x = plot.x.from + (plot.x.to - plot.x.from) * column as f64 / (across as f64 - 1.0).max(1.0);
        let y = plot.y.from + (plot.y.to - plot.y.from) * (1.0 - row as f64 / (down as f64 - 1.0).max(1.0));
        let (gx, gy) = ((x - x0) / (x1 - x0) * CELLS as f64, (y - y0) / (y1 - y0) * CELLS as f64);
        let inside = (0.0..CELLS as f64).contains(&gx) && (0.0..CELLS as f64).contains(&gy);
        if inside { grid[gy as usize * CELLS + gx as usize].max(1) } else { 1 }
    };
    let mut dots = Vec::new();
    for row in 0..down {
        for column in 0..across {
            let here = class(column, row);
            let right = if column + 1 < across { class(column + 1, row) } else { here };
            let below = if row + 1 < down { class(column, row + 1) } else { here };
            if here != right || here != below {
                dots.push((column, row));
            }
        }
    }
    dots.into_iter().for_each(|(column, row)| plot.raster.dot(column, row));
}

fn zoomed(state: &State, all: &[&Portrait], (i, j): (usize, usize), buffer: &mut Buffer, area: Rect) {
    let first = all[0];
    let (Some(&yi), Some(&xi)) = (first.chosen.get(i), first.chosen.get(j)) else { return };
    let (mx, my) = (&first.marginals[xi], &first.marginals[yi]);
    let ((x_sign, x_unit), (y_sign, y_unit)) = (label(mx.name), label(my.name));
    let of =
        |sign: &str, unit: &str| if unit.is_empty() { sign.to_owned() } else { format!("{sign}/{unit}") };
    let (x, y) = (Axis::linear(mx.from, mx.to), Axis::linear(my.from, my.to));
    let title = of(&y_sign, &y_unit);
    let x_label = of(&x_sign, &x_unit);
    let inner =
        panel(state, buffer, area, (&title, "68 and 95 %; ← → ↑ ↓ other pairs, z all"), (&x, &x_label), &y);
    if inner.width > 0 {
        density(state, all, (i, j), buffer, inner);
    }
}
