//! Curves and areas of braille dots, two by four to a cell, in layers: of those with dots in a cell the uppermost is
//! seen, so that a line stays clear where it crosses an area.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::theme::{Role, Theme};
use crate::plot::axes::Axis;

/// How densely an area is dotted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    Sparse,
    Half,
    Full,
}

impl Tone {
    fn has(self, x: usize, y: usize) -> bool {
        match self {
            Tone::Sparse => x.is_multiple_of(2) && (y + x / 2).is_multiple_of(2),
            Tone::Half => (x + y).is_multiple_of(2),
            Tone::Full => true,
        }
    }
}

/// A picture of dots over an area of cells.
pub struct Raster {
    width: usize,
    height: usize,
    /// Bits of each cell, lowest layer first.
    layers: Vec<(Role, Vec<u8>)>,
}

impl Raster {
    pub fn new(area: Rect) -> Self {
        Self { width: usize::from(area.width), height: usize::from(area.height), layers: vec![] }
    }

    /// Dots across and down.
    pub fn size(&self) -> (usize, usize) {
        (2 * self.width, 4 * self.height)
    }

    /// Begins a layer above all others.
    pub fn layer(&mut self, role: Role) {
        self.layers.push((role, vec![0; self.width * self.height]));
    }

    /// Sets a dot of the uppermost layer; one outside is left out.
    pub fn dot(&mut self, x: usize, y: usize) {
        const BITS: [[u8; 4]; 2] = [[0, 1, 2, 6], [3, 4, 5, 7]];
        let (across, down) = self.size();
        if x < across
            && y < down
            && let Some((_, cells)) = self.layers.last_mut()
        {
            cells[(y / 4) * self.width + x / 2] |= 1 << BITS[x % 2][y % 4];
        }
    }

    /// A straight line between dots, which may lie outside.
    pub fn line(&mut self, (x0, y0): (f64, f64), (x1, y1): (f64, f64)) {
        let steps = (x1 - x0).abs().max((y1 - y0).abs()).ceil();
        if !steps.is_finite() || steps > 1e5 {
            return;
        }
        for i in 0..=steps as usize {
            let t = if steps == 0.0 { 0.0 } else { i as f64 / steps };
            let (x, y) = (x0 + t * (x1 - x0), y0 + t * (y1 - y0));
            if x >= 0.0 && y >= 0.0 {
                self.dot(x as usize, y as usize);
            }
        }
    }

    /// Puts the picture into a buffer.
    pub fn draw(&self, buffer: &mut Buffer, area: Rect, theme: &Theme) {
        for row in 0..self.height.min(usize::from(area.height)) {
            for column in 0..self.width.min(usize::from(area.width)) {
                let at = row * self.width + column;
                let Some((top, (role, cells))) =
                    self.layers.iter().enumerate().rev().find(|(_, (_, cells))| cells[at] != 0)
                else {
                    continue;
                };
                let mut bits = cells[at];
                // the two shades of one band belong together
                if *role == Role::Inner {
                    for (other, below) in &self.layers[..top] {
                        if *other == Role::Outer {
                            bits |= below[at];
                        }
                    }
                }
                let symbol = char::from_u32(0x2800 + u32::from(bits)).unwrap_or(' ');
                if let Some(cell) = buffer.cell_mut((area.x + column as u16, area.y + row as u16)) {
                    cell.set_char(symbol);
                    cell.set_style(theme.style(*role));
                }
            }
        }
    }
}

/// A raster with data coordinates.
pub struct Plot {
    pub raster: Raster,
    pub x: Axis,
    pub y: Axis,
}

impl Plot {
    pub fn new(area: Rect, x: Axis, y: Axis) -> Self {
        Self { raster: Raster::new(area), x, y }
    }

    /// Dot of a point; outside of the picture where the point is outside of the axes.
    pub fn at(&self, x: f64, y: f64) -> (f64, f64) {
        let (across, down) = self.raster.size();
        let fx = self.x.fraction(x) * (across as f64 - 1.0);
        let fy = (1.0 - self.y.fraction(y)) * (down as f64 - 1.0);
        (fx.round(), fy.round())
    }

    /// A curve through points, broken where they are not finite.
    pub fn curve(&mut self, role: Role, xs: &[f64], ys: &[f64]) {
        self.raster.layer(role);
        self.more(xs, ys);
    }

    /// A curve in the uppermost layer.
    pub fn more(&mut self, xs: &[f64], ys: &[f64]) {
        let (across, down) = self.raster.size();
        let mut last: Option<(f64, f64)> = None;
        for (&x, &y) in xs.iter().zip(ys) {
            let here = Some(self.at(x, y)).filter(|(a, b)| a.is_finite() && b.is_finite());
            if let (Some(from), Some(to)) = (last, here) {
                // far outside: clipped to the rim, which keeps the slope near enough
                let clip = |(a, b): (f64, f64)| {
                    (a.clamp(-1.0, across as f64), b.clamp(-(down as f64), 2.0 * down as f64))
                };
                self.raster.line(clip(from), clip(to));
            }
            last = here;
        }
    }

    /// The area between two curves over the same points.
    pub fn band(&mut self, role: Role, tone: Tone, xs: &[f64], low: &[f64], high: &[f64]) {
        self.raster.layer(role);
        let (across, down) = self.raster.size();
        let fractions: Vec<f64> = xs.iter().map(|&x| self.x.fraction(x) * (across as f64 - 1.0)).collect();
        for column in 0..across {
            let at = column as f64;
            let Some(i) = fractions.windows(2).position(|pair| pair[0] <= at && at <= pair[1]) else {
                continue;
            };
            let span = fractions[i + 1] - fractions[i];
            let t = if span > 0.0 { (at - fractions[i]) / span } else { 0.0 };
            let between = |ys: &[f64]| ys[i] + t * (ys[i + 1] - ys[i]);
            let (bottom, top) = (self.at(0.0, between(low)).1, self.at(0.0, between(high)).1);
            if !(bottom.is_finite() && top.is_finite()) || top >= down as f64 || bottom < 0.0 {
                continue;
            }
            let rows = top.max(0.0) as usize..=(bottom.min(down as f64 - 1.0)) as usize;
            for row in rows.filter(|row| tone.has(column, *row)) {
                self.raster.dot(column, row);
            }
        }
    }

    /// Bars from the lower edge up to `heights`, over bins between the axis's ends.
    pub fn bars(&mut self, role: Role, tone: Tone, from: f64, to: f64, heights: &[f64]) {
        self.raster.layer(role);
        let (across, down) = self.raster.size();
        for column in 0..across {
            let x = self.x.from + (self.x.to - self.x.from) * column as f64 / (across as f64 - 1.0).max(1.0);
            let bin = (x - from) / (to - from) * heights.len() as f64;
            if !(bin >= 0.0 && bin < heights.len() as f64) {
                continue;
            }
            let height = heights[bin as usize];
            if height <= 0.0 {
                continue;
            }
            let top = self.at(0.0, height).1.clamp(0.0, down as f64 - 1.0) as usize;
            for row in (top..down).filter(|row| *row == top || tone.has(column, *row)) {
                self.raster.dot(column, row);
            }
        }
    }

    /// A vertical line, dotted or whole.
    pub fn upright(&mut self, role: Role, x: f64, every: usize) {
        self.raster.layer(role);
        let (across, down) = self.raster.size();
        let (column, _) = self.at(x, self.y.from);
        if column >= 0.0 && column < across as f64 {
            (0..down).step_by(every.max(1)).for_each(|row| self.raster.dot(column as usize, row));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::theme::Kind;

    fn drawn(plot: &Plot, area: Rect) -> String {
        let mut buffer = Buffer::empty(area);
        plot.raster.draw(&mut buffer, area, &Theme::new(Kind::Dark));
        crate::tui::picture::text(&buffer)
    }

    #[test]
    fn a_diagonal_runs_from_corner_to_corner() {
        let area = Rect::new(0, 0, 4, 2);
        let mut plot = Plot::new(area, Axis::linear(0.0, 1.0), Axis::linear(0.0, 1.0));
        plot.curve(Role::Median, &[0.0, 1.0], &[0.0, 1.0]);
        assert_eq!(
            drawn(&plot, area),
            "⠀⠀⡠⠊\n⡠⠊⠀⠀\n"
                .replace('⠀', " ")
                .lines()
                .map(str::trim_end)
                .map(|l| format!("{l}\n"))
                .collect::<String>()
        );
    }

    #[test]
    fn a_line_above_an_area_hides_it_in_its_cells_only() {
        let area = Rect::new(0, 0, 4, 2);
        let mut plot = Plot::new(area, Axis::linear(0.0, 1.0), Axis::linear(0.0, 1.0));
        plot.band(Role::Inner, Tone::Full, &[0.0, 1.0], &[0.0, 0.0], &[1.0, 1.0]);
        plot.curve(Role::Median, &[0.0, 1.0], &[0.0, 0.0]);
        assert_eq!(drawn(&plot, area), "⣿⣿⣿⣿\n⣀⣀⣀⣀\n");
    }

    #[test]
    fn what_is_not_finite_or_far_outside_draws_nothing_and_does_not_hang() {
        let area = Rect::new(0, 0, 4, 2);
        let mut plot = Plot::new(area, Axis::log(1.0, 10.0), Axis::linear(0.0, 1.0));
        plot.curve(Role::Median, &[0.0, 2.0, f64::NAN, 5.0], &[1e300, f64::INFINITY, 0.5, -1e300]);
        plot.band(Role::Inner, Tone::Half, &[1.0, 10.0], &[f64::NAN; 2], &[1.0; 2]);
        plot.bars(Role::Inner, Tone::Half, 0.0, 0.0, &[1.0]);
        drawn(&plot, area);
    }
}
