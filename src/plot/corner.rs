//! Corner plot: marginal densities and 68 / 95 % contours of every pair of parameters.

use super::PlotError;
use super::axes::{Axes, Axis, Labels};
use super::canvas::{Anchor, Canvas, Color, Stroke, palette};
use super::contour::{Grid, smooth};

/// One parameter of the plot.
#[derive(Debug, Clone)]
pub struct Variable<'a> {
    pub label: &'a str,
    /// Where the prior allows values; infinite where it does not care.
    pub support: (f64, f64),
    /// The prior's marginal density, at values inside the support.
    pub prior: Option<Vec<(f64, f64)>>,
    /// A value to mark: the truth of a mock.
    pub truth: Option<f64>,
}

/// One set of draws; several are laid over each other.
#[derive(Debug, Clone)]
pub struct Sample<'a> {
    pub label: &'a str,
    /// One column per variable.
    pub columns: Vec<&'a [f32]>,
    /// One weight per draw; equal weights where empty.
    pub weights: &'a [f32],
}

/// Masses enclosed by the contours.
const MASSES: [f64; 2] = [0.95, 0.68];
/// Cells of a panel, each way.
const CELLS: usize = 36;

/// Draws the posterior of `variables` from one or more samples.
///
/// Errors if a sample lacks a column or has no finite draw.
pub fn corner(variables: &[Variable], samples: &[Sample], title: &str) -> Result<Canvas, PlotError> {
    let bad = |reason: String| PlotError::Data { what: "a corner plot", reason };
    let n = variables.len();
    if n == 0 || samples.is_empty() {
        return Err(bad("nothing to plot".into()));
    }
    if let Some(sample) = samples.iter().find(|sample| sample.columns.len() != n) {
        return Err(bad(format!("{} has {} columns for {n} variables", sample.label, sample.columns.len())));
    }
    let ranges: Vec<Axis> = variables
        .iter()
        .enumerate()
        .map(|(i, variable)| {
            view(samples.iter().map(|s| s.columns[i]), variable)
                .ok_or_else(|| bad(format!("{} has no finite draw", variable.label)))
        })
        .collect::<Result<_, _>>()?;

    let cell = if n > 8 { 96.0 } else { 120.0 };
    let (margin, gap) = (86.0, 5.0);
    let side = margin + n as f64 * (cell + gap) + 20.0;
    let mut canvas = Canvas::new(side, side);
    for row in 0..n {
        for column in 0..=row {
            let axes = Axes {
                left: margin + column as f64 * (cell + gap),
                top: 40.0 + row as f64 * (cell + gap),
                width: cell,
                height: cell,
                x: ranges[column],
                y: if row == column { Axis::linear(0.0, 1.08) } else { ranges[row] },
            };
            if row == column {
                marginal(&mut canvas, &axes, column, &variables[column], samples);
            } else {
                pair(&mut canvas, &axes, (column, row), variables, samples);
            }
            axes.frame(&mut canvas, &Labels { no_x_ticks: true, no_y_ticks: true, ..Labels::default() });
            outer_labels(&mut canvas, &axes, (row, column, n), variables);
        }
    }
    let right = side - 20.0;
    canvas.text((right, 30.0), title, 17, Anchor::End, false);
    for (k, sample) in samples.iter().enumerate().filter(|_| samples.len() > 1) {
        let y = 56.0 + 20.0 * k as f64;
        canvas.line((right - 26.0, y - 4.0), (right, y - 4.0), Stroke::new(palette::SERIES[k % 7], 3.0));
        canvas.text((right - 34.0, y), sample.label, 14, Anchor::End, false);
    }
    Ok(canvas)
}

fn outer_labels(
    canvas: &mut Canvas,
    axes: &Axes,
    (row, column, n): (usize, usize, usize),
    variables: &[Variable],
) {
    let (bottom, size) = (axes.top + axes.height, 10);
    if row == n - 1 {
        for (value, label) in axes.x.ticks(2) {
            let (x, _) = axes.at(value, axes.y.from);
            if x >= axes.left && x <= axes.left + axes.width {
                canvas.text((x, bottom + 14.0), &label, size, Anchor::Middle, false);
            }
        }
        let middle = axes.left + 0.5 * axes.width;
        canvas.text((middle, bottom + 33.0), variables[column].label, 13, Anchor::Middle, false);
    }
    if column == 0 && row > 0 {
        for (value, label) in axes.y.ticks(2) {
            let (_, y) = axes.at(axes.x.from, value);
            if y >= axes.top && y <= bottom {
                canvas.text((axes.left - 6.0, y + 3.5), &label, size, Anchor::End, false);
            }
        }
        let middle = axes.top + 0.5 * axes.height;
        canvas.text((axes.left - 50.0, middle), variables[row].label, 13, Anchor::Middle, true);
    }
}

/// The range to show: nearly all draws, and a little beyond the prior where they fill it.
fn view<'a>(columns: impl Iterator<Item = &'a [f32]>, variable: &Variable) -> Option<Axis> {
    let mut range: Option<(f64, f64)> = None;
    for column in columns {
        let mut sorted: Vec<f32> = column.iter().copied().filter(|v| v.is_finite()).collect();
        if sorted.is_empty() {
            continue;
        }
        sorted.sort_by(f32::total_cmp);
        let at = |p: f64| f64::from(sorted[((sorted.len() - 1) as f64 * p) as usize]);
        let (low, high) = (at(0.002), at(0.998));
        range = Some(range.map_or((low, high), |(a, b)| (a.min(low), b.max(high))));
    }
    let (low, high) = range?;
    let pad = (0.06 * (high - low)).max(1e-4 * high.abs().max(1e-3));
    let prior_width = variable.support.1 - variable.support.0;
    let beyond = if prior_width.is_finite() { pad.min(0.03 * prior_width) } else { pad };
    let from = (low - pad).max(variable.support.0 - beyond);
    let to = (high + pad).min(variable.support.1 + beyond);
    Some(Axis::linear(from.min(low), to.max(high)))
}

fn weight(sample: &Sample, draw: usize) -> f64 {
    sample.weights.get(draw).copied().map_or(1.0, f64::from)
}

/// The part of a panel a parameter can reach, and how its values sit in it.
fn window(axis: &Axis, support: (f64, f64)) -> (f64, f64) {
    (axis.from.max(support.0), axis.to.min(support.1))
}

fn marginal(canvas: &mut Canvas, axes: &Axes, at: usize, variable: &Variable, samples: &[Sample]) {
    let (from, to) = window(&axes.x, variable.support);
    let bins = 60;
    let width = (to - from) / bins as f64;
    let mut tallest = 0.0_f64;
    let mut curves = Vec::new();
    for sample in samples {
        let mut counts = vec![0.0; bins];
        let mut total = 0.0;
        for (draw, &value) in sample.columns[at].iter().enumerate() {
            let place = (f64::from(value) - from) / width;
            total += weight(sample, draw);
            if place >= 0.0 && place < bins as f64 {
                counts[place as usize] += weight(sample, draw);
            }
        }
        let density: Vec<f64> = smooth(&counts, 1.5).into_iter().map(|c| c / (total * width)).collect();
        tallest = tallest.max(density.iter().copied().fold(0.0, f64::max));
        curves.push(density);
    }
    let tallest = if tallest > 0.0 { tallest } else { 1.0 };
    let centres: Vec<f64> = (0..bins).map(|i| from + (i as f64 + 0.5) * width).collect();
    for (k, density) in curves.iter().enumerate() {
        let color = palette::SERIES[k % 7];
        let mut x = vec![from];
        x.extend(&centres);
        x.push(to);
        let mut y: Vec<f64> = density.iter().map(|d| d / tallest).collect();
        y.insert(0, y[0]);
        y.push(y[y.len() - 1]);
        if k == 0 {
            axes.band(canvas, &x, &vec![0.0; x.len()], &y, (color, 0.18));
        }
        axes.curve(canvas, x.iter().copied().zip(y.iter().copied()), Stroke::new(color, 1.6));
    }
    if let Some(prior) = &variable.prior {
        let mut outline: Vec<(f64, f64)> = prior.iter().map(|&(x, d)| (x, (d / tallest).min(2.0))).collect();
        if let (Some(&first), Some(&last)) = (outline.first(), outline.last()) {
            outline.insert(0, (first.0, 0.0));
            outline.push((last.0, 0.0));
        }
        axes.curve(canvas, outline, Stroke::new(palette::GREY, 1.1).dashed());
    }
    if let Some(truth) = variable.truth {
        axes.curve(canvas, [(truth, 0.0), (truth, 2.0)], Stroke::new(palette::BLACK, 1.2));
    }
}

fn pair(
    canvas: &mut Canvas,
    axes: &Axes,
    (column, row): (usize, usize),
    variables: &[Variable],
    samples: &[Sample],
) {
    let (x0, x1) = window(&axes.x, variables[column].support);
    let (y0, y1) = window(&axes.y, variables[row].support);
    for (k, sample) in samples.iter().enumerate() {
        let color = palette::SERIES[k % 7];
        let points =
            sample.columns[column].iter().zip(sample.columns[row]).enumerate().map(|(draw, (&x, &y))| {
                ((f64::from(x) - x0) / (x1 - x0), (f64::from(y) - y0) / (y1 - y0), weight(sample, draw))
            });
        let grid = Grid::count(points, CELLS, CELLS).smooth(2.0);
        for (i, mass) in MASSES.into_iter().enumerate() {
            let outlines: Vec<Vec<(f64, f64)>> = grid
                .outlines(grid.level(mass))
                .into_iter()
                .map(|outline| {
                    outline.iter().map(|&(x, y)| axes.at(x0 + x * (x1 - x0), y0 + y * (y1 - y0))).collect()
                })
                .collect();
            let opacity = if k == 0 { [0.22, 0.45][i] } else { 0.0 };
            if opacity > 0.0 {
                canvas.fill(&outlines, color, opacity);
            }
            for mut outline in outlines {
                outline.extend(outline.first().copied());
                canvas.polyline(&outline, Stroke::new(color, if i == 1 { 1.4 } else { 1.0 }));
            }
        }
    }
    prior_outline(canvas, axes, &variables[column], &variables[row]);
    for variable_truth in [(variables[column].truth, true), (variables[row].truth, false)] {
        if let (Some(truth), upright) = variable_truth {
            let points = if upright {
                [(truth, axes.y.from), (truth, axes.y.to)]
            } else {
                [(axes.x.from, truth), (axes.x.to, truth)]
            };
            axes.curve(canvas, points, Stroke::new(palette::BLACK, 0.9));
        }
    }
}

/// Where the prior ends, if that is in view.
fn prior_outline(canvas: &mut Canvas, axes: &Axes, x: &Variable, y: &Variable) {
    let stroke = Stroke::new(Color(120, 120, 120), 1.0).dashed();
    for edge in [x.support.0, x.support.1] {
        if edge.is_finite() {
            axes.curve(canvas, [(edge, axes.y.from), (edge, axes.y.to)], stroke);
        }
    }
    for edge in [y.support.0, y.support.1] {
        if edge.is_finite() {
            axes.curve(canvas, [(axes.x.from, edge), (axes.x.to, edge)], stroke);
        }
    }
}
