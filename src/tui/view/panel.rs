//! One picture with its axes: title above, ticks at the left and below.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::{put, put_right};
use crate::plot::axes::Axis;
use crate::tui::state::State;
use crate::tui::text::width;
use crate::tui::theme::Role;

/// Rows of a panel that are not the picture.
pub const FRAME_ROWS: u16 = 3;

/// Draws title, axes and ticks; returns the area of the picture. One too small has no area.
pub fn panel(
    state: &State,
    buffer: &mut Buffer,
    area: Rect,
    (title, unit): (&str, &str),
    (x, x_label): (&Axis, &str),
    y: &Axis,
) -> Rect {
    let theme = &state.theme;
    let dim = theme.style(Role::Dim);
    if area.height < FRAME_ROWS + 1 || area.width < 14 {
        return Rect { width: 0, height: 0, ..area };
    }
    let inner_height = area.height - FRAME_ROWS;
    let y_ticks: Vec<(u16, String)> = y
        .ticks((usize::from(inner_height) / 3).clamp(1, 8))
        .into_iter()
        .filter_map(|(value, label)| {
            let row = (1.0 - y.fraction(value)) * (f64::from(inner_height) * 4.0 - 1.0) / 4.0;
            (row >= -0.01 && row < f64::from(inner_height)).then_some((row.max(0.0) as u16, label))
        })
        .collect();
    let margin = y_ticks.iter().map(|(_, label)| width(label)).max().unwrap_or(0) as u16 + 1;
    let margin = margin.min(area.width / 3);
    let inner = Rect {
        x: area.x + margin + 1,
        y: area.y + 1,
        width: area.width.saturating_sub(margin + 2),
        height: inner_height,
    };
    let at = put(buffer, area, margin, 0, title, theme.style(Role::Title));
    let title_end = put(buffer, area, at + 1, 0, unit, dim);
    for row in 0..inner_height {
        put(buffer, area, margin, 1 + row, "│", dim);
    }
    let mut last = None;
    for (row, label) in y_ticks {
        if last == Some(row) {
            continue;
        }
        last = Some(row);
        let label_area = Rect { width: margin, ..area };
        put_right(buffer, label_area, 1 + row, &label, dim);
        put(buffer, area, margin, 1 + row, "┤", dim);
    }
    let bottom = 1 + inner_height;
    put(buffer, area, margin, bottom, "└", dim);
    put(buffer, area, margin + 1, bottom, &"─".repeat(usize::from(inner.width)), dim);
    let mut taken = 0;
    for (value, label) in x.ticks((usize::from(inner.width) / 10).clamp(2, 10)) {
        let column = x.fraction(value) * (f64::from(inner.width) * 2.0 - 1.0) / 2.0;
        if !(column >= -0.01 && column < f64::from(inner.width)) {
            continue;
        }
        let column = column.max(0.0) as u16;
        put(buffer, area, margin + 1 + column, bottom, "┴", dim);
        let half = (width(&label) / 2) as u16;
        let from = (margin + 1 + column).saturating_sub(half);
        if from >= taken && from + width(&label) as u16 <= area.width {
            taken = put(buffer, area, from, bottom + 1, &label, dim) + 1;
        }
    }
    let room = usize::from(area.width.saturating_sub(taken));
    if width(x_label) < room {
        put_right(buffer, area, bottom + 1, x_label, dim);
    } else if usize::from(title_end) + width(x_label) + 12 < usize::from(area.width) {
        put(buffer, area, title_end + 1, 0, &format!("against {x_label}"), dim);
    }
    inner
}
