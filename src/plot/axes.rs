//! One panel: the map from data to pixels, its frame, ticks and labels, and what is drawn in it.

use super::canvas::{Anchor, Canvas, Color, Stroke, palette};
use super::text::{draw_label, label_width, width};

/// One direction of a panel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Axis {
    pub from: f64,
    pub to: f64,
    pub log: bool,
}

impl Axis {
    pub fn linear(from: f64, to: f64) -> Self {
        Self { from, to: if to == from { from + 1.0 } else { to }, log: false }
    }

    /// Logarithmic; both ends positive.
    pub fn log(from: f64, to: f64) -> Self {
        let from = from.max(f64::MIN_POSITIVE);
        Self { from, to: if to > from { to } else { 10.0 * from }, log: true }
    }

    /// Where a value stands along the axis: 0 at the start, 1 at the end.
    pub fn fraction(&self, value: f64) -> f64 {
        if self.log {
            (value.max(1e-300) / self.from).ln() / (self.to / self.from).ln()
        } else {
            (value - self.from) / (self.to - self.from)
        }
    }

    /// Round values at which to draw ticks, at most about `target` of them, with their labels.
    pub fn ticks(&self, target: usize) -> Vec<(f64, String)> {
        if self.log { self.log_ticks(target) } else { self.linear_ticks(target) }
    }

    fn linear_ticks(&self, target: usize) -> Vec<(f64, String)> {
        let (low, high) = (self.from.min(self.to), self.from.max(self.to));
        let raw = (high - low) / (target.max(1) + 1) as f64;
        let power = 10_f64.powf(raw.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|m| m * power).find(|&s| s >= raw * 0.8);
        let step = step.unwrap_or(power);
        let decimals = (-step.log10().floor()).max(0.0) as usize;
        let first = (low / step - 1e-9).ceil() as i64;
        let last = (high / step + 1e-9).floor() as i64;
        (first..=last.min(first + 50))
            .map(|k| {
                let value = k as f64 * step;
                let label = if value.abs() >= 1e5 || decimals > 4 {
                    format!("{value:.0e}")
                } else {
                    format!("{value:.decimals$}").replace('-', "\u{2212}")
                };
                (value, label)
            })
            .collect()
    }

    fn log_ticks(&self, target: usize) -> Vec<(f64, String)> {
        let (first, last) = (self.from.log10().floor() as i32, self.to.log10().ceil() as i32);
        let every = ((last - first) as usize / target.max(1)).max(1) as i32;
        let mut ticks = Vec::new();
        // The coarsest set of factors that leaves enough ticks.
        for factors in [&[1.0][..], &[1.0, 2.0, 5.0], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0]] {
            ticks.clear();
            for power in (first..=last).filter(|p| (p - first) % every == 0) {
                for factor in factors {
                    let value = factor * 10_f64.powi(power);
                    if value >= self.from * 0.999 && value <= self.to * 1.001 {
                        ticks.push((value, log_label(value, power, *factor)));
                    }
                }
            }
            if ticks.len() >= target.min(3) {
                break;
            }
        }
        ticks
    }
}

fn log_label(value: f64, power: i32, factor: f64) -> String {
    if (-4..=4).contains(&power) {
        let decimals = (-power).max(0) as usize;
        return format!("{value:.decimals$}");
    }
    let digits: String = power.to_string().chars().map(superscript).collect();
    if factor == 1.0 { format!("10{digits}") } else { format!("{factor}×10{digits}") }
}

fn superscript(digit: char) -> char {
    match digit {
        '-' => '⁻',
        '1' => '¹',
        '2' => '²',
        '3' => '³',
        '0' | '4'..='9' => char::from_u32(digit as u32 - '0' as u32 + 0x2070).unwrap_or(digit),
        other => other,
    }
}

/// A rectangle of the canvas with data coordinates.
#[derive(Debug, Clone)]
pub struct Axes {
    /// Pixels: left, top, width, height.
    pub left: f64,
    pub top: f64,
    pub width: f64,
    pub height: f64,
    pub x: Axis,
    pub y: Axis,
}

/// What is written around a panel; in the labels of the axes a `_` begins a subscript.
#[derive(Debug, Clone, Default)]
pub struct Labels<'a> {
    pub x: Option<&'a str>,
    pub y: Option<&'a str>,
    /// Above the panel, from its left edge.
    pub title: Option<&'a str>,
    /// Ticks without their numbers.
    pub no_x_ticks: bool,
    pub no_y_ticks: bool,
    /// Ticks along x and along y other than the axes' own.
    pub ticks: Option<[&'a [(f64, String)]; 2]>,
    pub tick_size: u32,
}

const TICK: f64 = 4.0;

/// A sample of how something is drawn, for legends.
#[derive(Debug, Clone, Copy)]
pub enum Mark {
    Line(Stroke),
    Dot(Color),
    /// An area of this opacity.
    Area(Color, f64),
}

impl Mark {
    /// Draws it from `(x, y)`, which is its left middle, 18 pixels wide.
    fn draw(self, canvas: &mut Canvas, (x, y): (f64, f64)) {
        match self {
            Mark::Line(stroke) => canvas.line((x, y), (x + 18.0, y), stroke),
            Mark::Dot(color) => canvas.circle((x + 9.0, y), 4.0, Some(color), None),
            Mark::Area(color, opacity) => {
                let corners = vec![(x, y - 4.5), (x + 18.0, y - 4.5), (x + 18.0, y + 4.5), (x, y + 4.5)];
                canvas.fill(&[corners], color, opacity);
            }
        }
    }
}

impl Axes {
    /// Pixel of a data point.
    pub fn at(&self, x: f64, y: f64) -> (f64, f64) {
        (self.left + self.width * self.x.fraction(x), self.top + self.height * (1.0 - self.y.fraction(y)))
    }

    pub fn inside(&self, x: f64, y: f64) -> bool {
        (0.0..=1.0).contains(&self.x.fraction(x)) && (0.0..=1.0).contains(&self.y.fraction(y))
    }

    /// Frame, ticks and labels.
    pub fn frame(&self, canvas: &mut Canvas, labels: &Labels) {
        let stroke = Stroke::new(palette::BLACK, 1.0);
        let (right, bottom) = (self.left + self.width, self.top + self.height);
        let corners = [(self.left, self.top), (right, self.top), (right, bottom), (self.left, bottom)];
        for i in 0..4 {
            canvas.line(corners[i], corners[(i + 1) % 4], stroke);
        }
        let size = if labels.tick_size == 0 { 11 } else { labels.tick_size };
        let small = f64::from(size);
        let [x_ticks, y_ticks] = match labels.ticks {
            Some(ticks) => ticks.map(<[_]>::to_vec),
            None => [
                self.x.ticks((self.width / (small * 5.0)).clamp(2.0, 10.0) as usize),
                self.y.ticks((self.height / (small * 3.0)).clamp(2.0, 10.0) as usize),
            ],
        };
        for (value, label) in x_ticks {
            let x = self.left + self.width * self.x.fraction(value);
            if x < self.left - 0.5 || x > right + 0.5 {
                continue;
            }
            canvas.line((x, bottom), (x, bottom - TICK), stroke);
            canvas.line((x, self.top), (x, self.top + TICK), stroke);
            if !labels.no_x_ticks {
                canvas.text((x, bottom + small + 4.0), &label, size, Anchor::Middle, false);
            }
        }
        let mut widest = 0.0_f64;
        for (value, label) in y_ticks {
            let y = self.top + self.height * (1.0 - self.y.fraction(value));
            if y < self.top - 0.5 || y > bottom + 0.5 {
                continue;
            }
            canvas.line((self.left, y), (self.left + TICK, y), stroke);
            canvas.line((right, y), (right - TICK, y), stroke);
            if !labels.no_y_ticks {
                widest = widest.max(width(&label, size));
                canvas.text((self.left - 6.0, y + small * 0.36), &label, size, Anchor::End, false);
            }
        }
        if let Some(label) = labels.x {
            let y = bottom + if labels.no_x_ticks { 18.0 } else { 2.0 * small + 14.0 };
            draw_label(canvas, (self.left + 0.5 * self.width, y), label, size + 2, Anchor::Middle, false);
        }
        if let Some(label) = labels.y {
            let room = if labels.no_y_ticks { 12.0 } else { 16.0 + widest };
            let at = (self.left - room, self.top + 0.5 * self.height);
            draw_label(canvas, at, label, size + 2, Anchor::Middle, true);
        }
        if let Some(title) = labels.title {
            canvas.text((self.left, self.top - 8.0), title, size + 1, Anchor::Start, false);
        }
    }

    /// A curve, cut at the frame and at values that are not finite.
    pub fn curve(&self, canvas: &mut Canvas, points: impl IntoIterator<Item = (f64, f64)>, stroke: Stroke) {
        let mut run: Vec<(f64, f64)> = Vec::new();
        let mut previous: Option<(f64, f64)> = None;
        for (x, y) in points {
            let here = self.at(x, y);
            if !(here.0.is_finite() && here.1.is_finite()) {
                canvas.polyline(&std::mem::take(&mut run), stroke);
                previous = None;
                continue;
            }
            if let Some(before) = previous {
                match self.clip(before, here) {
                    Some((from, to)) => {
                        if run.last() != Some(&from) {
                            canvas.polyline(&std::mem::take(&mut run), stroke);
                            run.push(from);
                        }
                        run.push(to);
                    }
                    None => canvas.polyline(&std::mem::take(&mut run), stroke),
                }
            }
            previous = Some(here);
        }
        canvas.polyline(&run, stroke);
    }

    /// The part of a segment inside the panel (Liang & Barsky 1984), in pixels.
    fn clip(&self, a: (f64, f64), b: (f64, f64)) -> Option<((f64, f64), (f64, f64))> {
        let (dx, dy) = (b.0 - a.0, b.1 - a.1);
        let (mut start, mut end) = (0.0_f64, 1.0_f64);
        let (right, bottom) = (self.left + self.width, self.top + self.height);
        for (p, q) in [(-dx, a.0 - self.left), (dx, right - a.0), (-dy, a.1 - self.top), (dy, bottom - a.1)] {
            if p == 0.0 {
                if q < 0.0 {
                    return None;
                }
            } else if p < 0.0 {
                start = start.max(q / p);
            } else {
                end = end.min(q / p);
            }
        }
        let along = |t: f64| (a.0 + t * dx, a.1 + t * dy);
        (start <= end)
            .then(|| (if start == 0.0 { a } else { along(start) }, if end == 1.0 { b } else { along(end) }))
    }

    /// The area between two curves over `x`, cut at the frame.
    pub fn band(&self, canvas: &mut Canvas, x: &[f64], low: &[f64], high: &[f64], fill: (Color, f64)) {
        let point = |x: f64, y: f64| {
            let (px, py) = self.at(x, y);
            (px.clamp(self.left, self.left + self.width), py.clamp(self.top, self.top + self.height))
        };
        let visible = |&i: &usize| {
            (-1e-9..=1.0 + 1e-9).contains(&self.x.fraction(x[i])) && low[i].is_finite() && high[i].is_finite()
        };
        let columns: Vec<usize> = (0..x.len()).filter(visible).collect();
        let mut outline: Vec<(f64, f64)> = columns.iter().map(|&i| point(x[i], low[i])).collect();
        outline.extend(columns.iter().rev().map(|&i| point(x[i], high[i])));
        canvas.fill(&[outline], fill.0, fill.1);
    }

    /// A point with its error bar, left out where it is outside the panel.
    pub fn error_bar(&self, canvas: &mut Canvas, x: f64, (low, y, high): (f64, f64, f64), color: Color) {
        if !(0.0..=1.0).contains(&self.x.fraction(x)) {
            return;
        }
        self.curve(canvas, [(x, low), (x, high)], Stroke::new(color, 1.6));
        if self.inside(x, y) {
            canvas.circle(self.at(x, y), 4.5, Some(color), Some(Stroke::new(Color(255, 255, 255), 0.8)));
        }
    }

    /// What is what, in one line that ends at the right edge of the panel, above it.
    pub fn key(&self, canvas: &mut Canvas, entries: &[(&str, Mark)]) {
        let (size, gap, y) = (11, 14.0, self.top - 8.0);
        let mut x = self.left + self.width;
        for (label, mark) in entries.iter().rev() {
            x -= label_width(label, size);
            canvas.text((x, y), label, size, Anchor::Start, false);
            x -= 24.0;
            mark.draw(canvas, (x, y - 4.0));
            x -= gap;
        }
    }

    /// What is what, in the upper left corner, one entry per line, on a pale ground.
    pub fn marks(&self, canvas: &mut Canvas, entries: &[(&str, Mark)]) {
        let widest = entries.iter().map(|(label, _)| width(label, 11)).fold(0.0, f64::max);
        let (x, y) = (self.left + 10.0, self.top + 10.0);
        let (right, bottom) = (x + widest + 36.0, y + 16.0 * entries.len() as f64 + 4.0);
        let ground = vec![(x - 4.0, y - 2.0), (right, y - 2.0), (right, bottom), (x - 4.0, bottom)];
        canvas.fill(&[ground], Color(255, 255, 255), 0.75);
        for (i, (label, mark)) in entries.iter().enumerate() {
            let y = y + 11.0 + 16.0 * i as f64;
            mark.draw(canvas, (x, y - 4.0));
            canvas.text((x + 26.0, y), label, 11, Anchor::Start, false);
        }
    }

    /// A legend in the upper corner: one entry per line.
    pub fn legend(&self, canvas: &mut Canvas, entries: &[(&str, Color)], right: bool) {
        for (i, (label, color)) in entries.iter().enumerate() {
            let y = self.top + 18.0 + 16.0 * i as f64;
            if right {
                let x = self.left + self.width - 10.0;
                canvas.line((x - 18.0, y - 4.0), (x, y - 4.0), Stroke::new(*color, 2.4));
                canvas.text((x - 24.0, y), label, 11, Anchor::End, false);
            } else {
                let x = self.left + 10.0;
                canvas.line((x, y - 4.0), (x + 18.0, y - 4.0), Stroke::new(*color, 2.4));
                canvas.text((x + 24.0, y), label, 11, Anchor::Start, false);
            }
        }
    }
}
