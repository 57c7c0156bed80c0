//! Corner plot: marginal densities and 68 / 95 % contours of every pair of parameters.

use super::PlotError;
use super::axes::{Axes, Axis, Labels};
use super::canvas::{Anchor, Canvas, Color, Stroke, palette};
use super::contour::{Grid, smooth};
use super::text::{draw_label, fitting_size, width};

/// One parameter of the plot.
#[derive(Debug, Clone)]
pub struct Variable<'a> {
    /// A `_` begins a subscript, as in `τ_ISM`.
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
const CELLS: usize = 48;
/// Bins of a marginal density.
const BINS: usize = 72;
/// Font size of the numbers along the axes.
const TICK_SIZE: u32 = 10;
/// Room above the first panel, pixels: title, and the numbers over its marginal.
const TOP: f64 = 66.0;

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
    let mut canvas = Canvas::new(side, TOP + n as f64 * (cell + gap) + 46.0);
    for row in 0..n {
        for column in 0..=row {
            let axes = Axes {
                left: margin + column as f64 * (cell + gap),
                top: TOP + row as f64 * (cell + gap),
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
            let x_ticks = clear_ticks(&axes.x, cell, |label| width(label, TICK_SIZE));
            let y_ticks =
                if row == column { vec![] } else { clear_ticks(&axes.y, cell, |_| f64::from(TICK_SIZE)) };
            let ticks = Some([&x_ticks[..], &y_ticks[..]]);
            axes.frame(
                &mut canvas,
                &Labels { no_x_ticks: true, no_y_ticks: true, ticks, ..Labels::default() },
            );
            outer_labels(&mut canvas, &axes, (row, column, n), variables, [&x_ticks, &y_ticks]);
            if row == column {
                numbers(&mut canvas, &axes, samples[0].columns[row], &samples[0]);
            }
        }
    }
    let right = side - 20.0;
    canvas.text((right, 26.0), title, 17, Anchor::End, false);
    if n > 1 {
        legend(&mut canvas, right, samples, variables.iter().any(|variable| variable.prior.is_some()));
    }
    Ok(canvas)
}

/// What is what, below the title.
fn legend(canvas: &mut Canvas, right: f64, samples: &[Sample], prior: bool) {
    let mut y = 50.0;
    let mut line = |canvas: &mut Canvas, text: &str, stroke: Stroke| {
        canvas.line((right - 26.0, y - 4.0), (right, y - 4.0), stroke);
        canvas.text((right - 34.0, y), text, 12, Anchor::End, false);
        y += 18.0;
    };
    for (k, sample) in samples.iter().enumerate() {
        let text = if samples.len() > 1 { sample.label.to_owned() } else { "68 and 95 %".to_owned() };
        line(canvas, &text, Stroke::new(palette::SERIES[k % 7], 3.0));
    }
    if prior {
        line(canvas, "prior", Stroke::new(palette::GREY, 1.2).dashed());
    }
}

/// Median and 68 % interval over a marginal.
fn numbers(canvas: &mut Canvas, axes: &Axes, column: &[f32], sample: &Sample) {
    let mut sorted: Vec<(f32, f64)> = column
        .iter()
        .enumerate()
        .filter(|(_, v)| v.is_finite())
        .map(|(draw, &v)| (v, weight(sample, draw)))
        .collect();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let total: f64 = sorted.iter().map(|v| v.1).sum();
    let quantile = |p: f64| {
        let mut sum = 0.0;
        let reached = sorted.iter().find(|v| {
            sum += v.1;
            sum >= p * total
        });
        reached.or(sorted.last()).map_or(f64::NAN, |v| f64::from(v.0))
    };
    let [low, middle, high] = [0.16, 0.5, 0.84].map(quantile);
    if !(low.is_finite() && high.is_finite()) {
        return;
    }
    // Two digits of the smaller half of the interval.
    let least = (high - middle).min(middle - low).max(1e-4 * middle.abs().max(1e-3));
    let decimals = (1.0 - least.log10().floor()).clamp(0.0, 4.0) as usize;
    let minus = |text: String| text.replace('-', "\u{2212}");
    let median = minus(format!("{middle:.decimals$}"));
    let (up, down) =
        (format!("+{:.decimals$}", high - middle), format!("\u{2212}{:.decimals$}", middle - low));
    let (large, small) = (11, 8);
    let room = width(&median, large) + 2.0 + width(&up, small).max(width(&down, small));
    let (x, y) = (axes.left + 0.5 * (axes.width - room), axes.top - 7.0);
    canvas.text((x, y), &median, large, Anchor::Start, false);
    let x = x + width(&median, large) + 2.0;
    canvas.text((x, y - 5.0), &up, small, Anchor::Start, false);
    canvas.text((x, y + 3.5), &down, small, Anchor::Start, false);
}

/// Ticks whose labels stay within the panel and clear of each other: two to four where possible.
fn clear_ticks(axis: &Axis, length: f64, extent: impl Fn(&str) -> f64) -> Vec<(f64, String)> {
    let within = |target: usize| {
        let mut ticks = axis.ticks(target);
        ticks.retain(|(value, label)| {
            let (at, half) = (axis.fraction(*value) * length, 0.5 * extent(label));
            at - half >= -2.0 && at + half <= length + 2.0
        });
        let apart = |pair: &[(f64, String)]| {
            let distance = (axis.fraction(pair[1].0) - axis.fraction(pair[0].0)) * length;
            distance - 0.5 * (extent(&pair[0].1) + extent(&pair[1].1)) >= 6.0
        };
        if ticks.windows(2).all(apart) { ticks } else { vec![] }
    };
    let found = [2, 3, 4, 5, 6, 1].map(within);
    let best = found.iter().find(|ticks| (2..=4).contains(&ticks.len()));
    best.or_else(|| found.iter().find(|ticks| !ticks.is_empty())).cloned().unwrap_or_default()
}

fn outer_labels(
    canvas: &mut Canvas,
    axes: &Axes,
    (row, column, n): (usize, usize, usize),
    variables: &[Variable],
    [x_ticks, y_ticks]: [&[(f64, String)]; 2],
) {
    let bottom = axes.top + axes.height;
    if row == n - 1 {
        for (value, label) in x_ticks {
            let (x, _) = axes.at(*value, axes.y.from);
            canvas.text((x, bottom + 14.0), label, TICK_SIZE, Anchor::Middle, false);
        }
        let middle = axes.left + 0.5 * axes.width;
        let label = variables[column].label;
        let size = fitting_size(label, 13, axes.width);
        draw_label(canvas, (middle, bottom + 33.0), label, size, Anchor::Middle, false);
    }
    if column == 0 && row > 0 {
        for (value, label) in y_ticks {
            let (_, y) = axes.at(axes.x.from, *value);
            canvas.text((axes.left - 6.0, y + 3.5), label, TICK_SIZE, Anchor::End, false);
        }
        let middle = axes.top + 0.5 * axes.height;
        let label = variables[row].label;
        let size = fitting_size(label, 13, axes.height);
        draw_label(canvas, (axes.left - 50.0, middle), label, size, Anchor::Middle, true);
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

/// Smoothing length for a column, as a fraction of the range shown: its standard deviation there
/// times `n^-power` (Scott 1992), a little more so that flat densities are not torn to islands.
fn bandwidth(sample: &Sample, at: usize, (from, to): (f64, f64), power: f64) -> f64 {
    let (mut sum, mut square, mut weights, mut squares) = (0.0, 0.0, 0.0, 0.0);
    for (draw, &value) in sample.columns[at].iter().enumerate() {
        let place = (f64::from(value) - from) / (to - from);
        if (0.0..=1.0).contains(&place) {
            let w = weight(sample, draw);
            sum += w * place;
            square += w * place * place;
            weights += w;
            squares += w * w;
        }
    }
    if weights <= 0.0 {
        return 0.0;
    }
    let sd = (square / weights - (sum / weights).powi(2)).max(0.0).sqrt();
    sd * (1.3 * (weights * weights / squares).powf(-power)).min(0.5)
}

fn marginal(canvas: &mut Canvas, axes: &Axes, at: usize, variable: &Variable, samples: &[Sample]) {
    let (from, to) = window(&axes.x, variable.support);
    let bins = BINS;
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
        let sigma = bandwidth(sample, at, (from, to), 0.2) * bins as f64;
        let density: Vec<f64> =
            smooth(&counts, sigma.max(0.8)).into_iter().map(|c| c / (total * width)).collect();
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
        let cells = |at, range| (bandwidth(sample, at, range, 1.0 / 6.0) * CELLS as f64).max(0.8);
        let grid = Grid::count(points, CELLS, CELLS).smooth((cells(column, (x0, x1)), cells(row, (y0, y1))));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tick_labels_stay_in_their_panel_and_clear_of_each_other() {
        let length = 96.0;
        for (from, to) in
            [(0.0, 1.0), (10.91, 11.92), (-4.35, -1.82), (-2.0, 1.0), (0.03, 13.27), (1e-4, 3e-4)]
        {
            let axis = Axis::linear(from, to);
            let ticks = clear_ticks(&axis, length, |label| width(label, 10));
            assert!((1..=4).contains(&ticks.len()), "{from}..{to}: {ticks:?}");
            let spans: Vec<(f64, f64)> = ticks
                .iter()
                .map(|(value, label)| {
                    let (at, half) = (axis.fraction(*value) * length, 0.5 * width(label, 10));
                    (at - half, at + half)
                })
                .collect();
            assert!(
                spans[0].0 >= -2.0 && spans[spans.len() - 1].1 <= length + 2.0,
                "{from}..{to}: {spans:?}"
            );
            assert!(spans.windows(2).all(|pair| pair[1].0 >= pair[0].1 + 6.0), "{from}..{to}: {spans:?}");
        }
    }

    #[test]
    fn smoothing_shrinks_with_the_number_of_draws_and_grows_with_their_spread() {
        let column =
            |n: usize, width: f32| (0..n).map(|i| 0.5 + width * (i as f32 / n as f32 - 0.5)).collect();
        let length = |column: &Vec<f32>| {
            let sample = Sample { label: "", columns: vec![column], weights: &[] };
            bandwidth(&sample, 0, (0.0, 1.0), 0.2)
        };
        let (few, many, narrow): (Vec<f32>, Vec<f32>, Vec<f32>) =
            (column(100, 1.0), column(10_000, 1.0), column(10_000, 0.1));
        assert!(length(&few) > 2.0 * length(&many));
        assert!((length(&many) / length(&narrow) - 10.0).abs() < 0.1);
        // 1.3 n^-1/5 standard deviations
        assert!((length(&many) - 1.3 * 0.158_489 * 0.288_675).abs() < 1e-3);
    }
}
