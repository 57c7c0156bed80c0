//! Figures of calibration: rank histograms, coverage, calibration by subset, recovery, comparisons.

use super::PlotError;
use super::axes::{Axes, Axis, Labels};
use super::canvas::{Anchor, Canvas, Color, Stroke, palette};
use super::text::draw_label;

/// A stroke for series `k` of several.
fn series(k: usize, width: f64) -> Stroke {
    Stroke { color: palette::SERIES[k % 7], width, dashed: k >= 7 }
}

fn empty(what: &'static str) -> PlotError {
    PlotError::Data { what, reason: "there is nothing to show".into() }
}

/// Places of `n` equal panels, `columns` beside each other.
fn panel(i: usize, columns: usize, (cell_w, cell_h): (f64, f64), x: Axis, y: Axis) -> Axes {
    Axes {
        left: 60.0 + (i % columns) as f64 * cell_w,
        top: 52.0 + (i / columns) as f64 * cell_h,
        width: cell_w - 34.0,
        height: cell_h - 52.0,
        x,
        y,
    }
}

/// A bar from the bottom of the panel.
fn bar(canvas: &mut Canvas, axes: &Axes, (from, to): (f64, f64), height: f64, fill: (Color, f64)) {
    let top = height.min(axes.y.to);
    let corners = [(from, axes.y.from), (to, axes.y.from), (to, top), (from, top)];
    canvas.fill(&[corners.map(|(x, y)| axes.at(x, y)).to_vec()], fill.0, fill.1);
}

/// Counts of a histogram as the outline of its bars.
fn outline(canvas: &mut Canvas, axes: &Axes, edges: &[f64], heights: &[f64], stroke: Stroke) {
    let mut points = vec![];
    for (edge, height) in edges.windows(2).zip(heights) {
        points.extend([(edge[0], *height), (edge[1], *height)]);
    }
    if let (Some(first), Some(last)) = (points.first().copied(), points.last().copied()) {
        points.insert(0, (first.0, axes.y.from));
        points.push((last.0, axes.y.from));
    }
    let inside = |(x, y): (f64, f64)| (x, y.min(axes.y.to));
    axes.curve(canvas, points.into_iter().map(inside), stroke);
}

/// Ranks of one quantity.
#[derive(Debug, Clone, Copy)]
pub struct Ranks<'a> {
    pub label: &'a str,
    /// Fractions of draws below the truth.
    pub values: &'a [f64],
    /// What they say, in a word or two.
    pub note: &'a str,
}

/// Rank histograms, one panel per quantity, over the range in which the bars of 99 of 100 right ones lie.
pub fn rank_histograms(panels: &[Ranks], n_bins: usize, title: &str) -> Result<Canvas, PlotError> {
    if panels.is_empty() || panels.iter().any(|p| p.values.is_empty()) || n_bins == 0 {
        return Err(empty("rank histograms"));
    }
    let columns = panels.len().min(4);
    let cell = (196.0, 150.0);
    let rows = panels.len().div_ceil(columns);
    let mut canvas = Canvas::new(44.0 + columns as f64 * cell.0, 66.0 + rows as f64 * cell.1);
    canvas.text((60.0, 24.0), title, 14, Anchor::Start, false);
    for (i, ranks) in panels.iter().enumerate() {
        let mut counts = vec![0.0; n_bins];
        for value in ranks.values.iter().filter(|v| v.is_finite()) {
            counts[((value * n_bins as f64).max(0.0) as usize).min(n_bins - 1)] += 1.0;
        }
        let n = ranks.values.len() as f64;
        let share = 1.0 / n_bins as f64;
        // Heights over those of a flat histogram; 2.576 sd hold 99 % of a bar's.
        let half = 2.576 * (n * share * (1.0 - share)).sqrt() / (n * share);
        let heights: Vec<f64> = counts.iter().map(|count| count / (n * share)).collect();
        let most = heights.iter().copied().fold(1.0 + half, f64::max);
        let top = (1.12 * most).clamp(1.5, 6.0);
        let axes = panel(i, columns, cell, Axis::linear(0.0, 1.0), Axis::linear(0.0, top));
        let flat = ranks.note.is_empty() || ranks.note == "uniform";
        let color = if flat { palette::BLUE } else { palette::VERMILION };
        for (bin, height) in heights.iter().enumerate() {
            let ends = (bin as f64 * share, (bin + 1) as f64 * share);
            bar(&mut canvas, &axes, ends, *height, (color, 0.55));
        }
        axes.band(
            &mut canvas,
            &[0.0, 1.0],
            &[(1.0 - half).max(0.0); 2],
            &[1.0 + half; 2],
            (palette::BLACK, 0.22),
        );
        axes.curve(&mut canvas, [(0.0, 1.0), (1.0, 1.0)], Stroke::new(palette::BLACK, 0.8).dashed());
        let title = if flat { ranks.label.to_owned() } else { format!("{} : {}", ranks.label, ranks.note) };
        let bottom = i + columns >= panels.len();
        let labels =
            Labels { x: bottom.then_some("rank"), no_x_ticks: !bottom, tick_size: 9, ..Labels::default() };
        axes.frame(&mut canvas, &labels);
        draw_label(&mut canvas, (axes.left, axes.top - 7.0), &title, 11, Anchor::Start, false);
    }
    Ok(canvas)
}

/// Numbers that are uniform if all is well, with their name.
#[derive(Debug, Clone, Copy)]
pub struct Levels<'a> {
    pub label: &'a str,
    pub values: &'a [f64],
}

/// Cumulative histograms against the uniform one: as they are, and their difference from it with
/// the range that 95 of 100 right ones stay in over their whole length (Dvoretzky-Kiefer-Wolfowitz).
pub fn uniform_curves(
    curves: &[Levels],
    (x_label, y_label): (&str, &str),
    title: &str,
) -> Result<Canvas, PlotError> {
    let n = curves.first().map_or(0, |c| c.values.len());
    if n == 0 || curves.iter().any(|c| c.values.is_empty()) {
        return Err(empty("a p-p plot"));
    }
    let grid: Vec<f64> = (0..=200).map(|k| f64::from(k) / 200.0).collect();
    let cumulative: Vec<Vec<f64>> = curves
        .iter()
        .map(|curve| {
            let mut sorted = curve.values.to_vec();
            sorted.sort_by(f64::total_cmp);
            let below = |p: &f64| sorted.partition_point(|v| v <= p) as f64 / sorted.len() as f64;
            grid.iter().map(below).collect()
        })
        .collect();
    let half = ((2.0_f64 / 0.05).ln() / (2.0 * n as f64)).sqrt();
    let off = |values: &[f64]| grid.iter().zip(values).map(|(p, v)| (v - p).abs()).fold(0.0, f64::max);
    let reach = cumulative.iter().map(|values| off(values)).fold(1.3 * half, f64::max) * 1.15;
    let mut canvas = Canvas::new(1040.0, 440.0);
    let left = Axes {
        left: 66.0,
        top: 40.0,
        width: 330.0,
        height: 330.0,
        x: Axis::linear(0.0, 1.0),
        y: Axis::linear(0.0, 1.0),
    };
    let right = Axes { left: 480.0, y: Axis::linear(-reach, reach), ..left.clone() };
    let (low, high): (Vec<f64>, Vec<f64>) = grid.iter().map(|p| (p - half, p + half)).unzip();
    left.band(&mut canvas, &grid, &low, &high, (palette::GREY, 0.3));
    left.curve(&mut canvas, [(0.0, 0.0), (1.0, 1.0)], Stroke::new(palette::BLACK, 1.0).dashed());
    right.band(&mut canvas, &[0.0, 1.0], &[-half; 2], &[half; 2], (palette::GREY, 0.3));
    right.curve(&mut canvas, [(0.0, 0.0), (1.0, 0.0)], Stroke::new(palette::BLACK, 1.0).dashed());
    for (k, (curve, values)) in curves.iter().zip(&cumulative).enumerate() {
        let stroke = series(k, 1.4);
        let points = grid.iter().copied().zip(values.iter().copied());
        left.curve(&mut canvas, points.clone(), stroke);
        right.curve(&mut canvas, points.map(|(p, v)| (p, v - p)), stroke);
        let y = right.top + 10.0 + 17.0 * k as f64;
        canvas.line((826.0, y - 4.0), (848.0, y - 4.0), stroke);
        draw_label(&mut canvas, (854.0, y), curve.label, 11, Anchor::Start, false);
    }
    let labels = Labels { x: Some(x_label), y: Some(y_label), title: Some(title), ..Labels::default() };
    left.frame(&mut canvas, &labels);
    let labels = Labels {
        x: Some(x_label),
        y: Some("difference"),
        title: Some("minus the diagonal, with the 95 % range"),
        ..Labels::default()
    };
    right.frame(&mut canvas, &labels);
    Ok(canvas)
}

/// A quantity by bins of a covariate.
#[derive(Debug, Clone)]
pub struct ByBin<'a> {
    pub covariate: &'a str,
    /// Middles of the bins.
    pub x: Vec<f64>,
    /// One line per quantity, as long as `x`.
    pub lines: Vec<Vec<f64>>,
    /// The line of all quantities together, drawn thick.
    pub joint: Vec<f64>,
    /// The range in which 95 of 100 right ones lie, at each bin.
    pub expected: Vec<(f64, f64)>,
}

/// Coverage by bins of covariates, one panel each.
pub fn coverage_by_bin(panels: &[ByBin], labels: &[&str], title: &str) -> Result<Canvas, PlotError> {
    if panels.is_empty() || panels.iter().any(|p| p.x.is_empty()) {
        return Err(empty("coverage by subset"));
    }
    let values = || panels.iter().flat_map(|p| p.lines.iter().flatten().chain(&p.joint)).copied();
    let ends = panels.iter().flat_map(|p| p.expected.iter()).flat_map(|&(low, high)| [low, high]);
    let (low, high) = values()
        .chain(ends)
        .filter(|v| v.is_finite())
        .fold((1.0, 0.0), |(a, b): (f64, f64), v| (a.min(v), b.max(v)));
    if low > high {
        return Err(empty("coverage by subset"));
    }
    let pad = 0.06 * (high - low).max(0.01);
    let cell = (300.0, 300.0);
    let n = panels.len();
    let mut canvas = Canvas::new(60.0 + n as f64 * cell.0 + 140.0, 360.0);
    canvas.text((60.0, 24.0), title, 14, Anchor::Start, false);
    for (i, bins) in panels.iter().enumerate() {
        let (from, to) = bins.x.iter().fold((f64::MAX, f64::MIN), |(a, b), &v| (a.min(v), b.max(v)));
        let margin = 0.05 * (to - from).max(1e-6);
        let x = Axis::linear(from - margin, to + margin);
        let axes = panel(i, n, cell, x, Axis::linear(low - pad, high + pad));
        let (least, most): (Vec<f64>, Vec<f64>) = bins.expected.iter().copied().unzip();
        axes.band(&mut canvas, &bins.x, &least, &most, (palette::GREY, 0.3));
        for (k, line) in bins.lines.iter().enumerate() {
            axes.curve(&mut canvas, bins.x.iter().copied().zip(line.iter().copied()), series(k, 1.1));
        }
        let joint = bins.x.iter().copied().zip(bins.joint.iter().copied());
        axes.curve(&mut canvas, joint, Stroke::new(palette::BLACK, 2.6));
        let labels = Labels {
            x: Some(bins.covariate),
            y: (i == 0).then_some("fraction of truths inside"),
            no_y_ticks: i > 0,
            tick_size: 10,
            ..Labels::default()
        };
        axes.frame(&mut canvas, &labels);
    }
    let x = 40.0 + n as f64 * cell.0;
    let all = std::iter::once(("all jointly", Stroke::new(palette::BLACK, 2.6)));
    let others = labels.iter().enumerate().map(|(k, label)| (*label, series(k, 1.4)));
    for (k, (label, stroke)) in all.chain(others).enumerate() {
        let y = 62.0 + 15.0 * k as f64;
        canvas.line((x, y - 4.0), (x + 22.0, y - 4.0), stroke);
        draw_label(&mut canvas, (x + 28.0, y), label, 10, Anchor::Start, false);
    }
    Ok(canvas)
}

/// Truth and posterior median of one quantity, one entry per mock.
#[derive(Debug, Clone, Copy)]
pub struct Recovered<'a> {
    pub label: &'a str,
    pub truth: &'a [f64],
    pub median: &'a [f64],
    pub note: &'a str,
}

/// Mocks drawn as points in a recovery panel.
const POINTS: usize = 600;

/// Posterior medians against truths, one panel per quantity, with the median and the 16 to 84 % range of
/// the truths in bins of the posterior median: a right posterior's lie on the diagonal.
pub fn recovery(panels: &[Recovered], title: &str) -> Result<Canvas, PlotError> {
    if panels.is_empty() || panels.iter().any(|p| p.truth.is_empty()) {
        return Err(empty("recovery"));
    }
    let columns = panels.len().min(4);
    let cell = (210.0, 214.0);
    let rows = panels.len().div_ceil(columns);
    let mut canvas = Canvas::new(44.0 + columns as f64 * cell.0, 76.0 + rows as f64 * cell.1);
    canvas.text((60.0, 24.0), title, 14, Anchor::Start, false);
    for (i, quantity) in panels.iter().enumerate() {
        let pairs: Vec<(f64, f64)> = quantity
            .median
            .iter()
            .copied()
            .zip(quantity.truth.iter().copied())
            .filter(|(m, t)| m.is_finite() && t.is_finite())
            .collect();
        let mut truths: Vec<f64> = pairs.iter().map(|p| p.1).collect();
        truths.sort_by(f64::total_cmp);
        let at = |p: f64| truths.get(((truths.len().max(1) - 1) as f64 * p) as usize).copied().unwrap_or(0.0);
        let (low, high) = (at(0.002), at(0.998));
        let pad = 0.04 * (high - low).max(1e-9);
        let range = Axis::linear(low - pad, high + pad);
        let axes = panel(i, columns, cell, range, range);
        let step = (pairs.len() / POINTS).max(1);
        for &(median, truth) in pairs.iter().step_by(step).filter(|(m, t)| axes.inside(*m, *t)) {
            canvas.circle(axes.at(median, truth), 0.8, Some(palette::SKY), None);
        }
        axes.curve(&mut canvas, [(low, low), (high, high)], Stroke::new(palette::BLACK, 1.0).dashed());
        let lines = running(&pairs, (pairs.len() / 60).clamp(8, 24));
        for (k, width) in [(0, 1.0), (1, 1.8), (2, 1.0)] {
            let points = lines.iter().map(|(x, q)| (*x, q[k]));
            axes.curve(&mut canvas, points, Stroke::new(palette::VERMILION, width));
        }
        let labels = Labels {
            x: (i + columns >= panels.len()).then_some("posterior median"),
            y: (i % columns == 0).then_some("truth"),
            tick_size: 9,
            ..Labels::default()
        };
        axes.frame(&mut canvas, &labels);
        draw_label(&mut canvas, (axes.left, axes.top - 7.0), quantity.label, 11, Anchor::Start, false);
        canvas.text((axes.left + axes.width, axes.top - 7.0), quantity.note, 8, Anchor::End, false);
    }
    Ok(canvas)
}

/// Middle of the first, and 16, 50 and 84 % of the second of pairs, in bins of equally many.
fn running(pairs: &[(f64, f64)], n_bins: usize) -> Vec<(f64, [f64; 3])> {
    let mut sorted = pairs.to_vec();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let size = sorted.len().div_ceil(n_bins).max(5);
    let of_bin = |bin: &[(f64, f64)]| {
        let mut values: Vec<f64> = bin.iter().map(|p| p.1).collect();
        values.sort_by(f64::total_cmp);
        let at = |p: f64| values[((values.len() - 1) as f64 * p).round() as usize];
        (bin[bin.len() / 2].0, [at(0.16), at(0.5), at(0.84)])
    };
    sorted.chunks(size).filter(|bin| bin.len() >= 5).map(of_bin).collect()
}

/// Values to be counted, with their name.
#[derive(Debug, Clone, Copy)]
pub struct Counted<'a> {
    pub label: &'a str,
    pub values: &'a [f64],
}

/// One panel of [`histograms`].
#[derive(Debug, Clone)]
pub struct Histogram<'a> {
    pub x_label: &'a str,
    pub range: (f64, f64),
    pub n_bins: usize,
    pub series: Vec<Counted<'a>>,
    /// Values marked by a vertical line.
    pub marks: Vec<f64>,
}

/// Normalised histograms laid over each other, one panel per distribution; what lies outside a range
/// counts in its outermost bins.
pub fn histograms(panels: &[Histogram], title: &str) -> Result<Canvas, PlotError> {
    if panels.is_empty() || panels.iter().all(|p| p.series.iter().all(|s| s.values.is_empty())) {
        return Err(empty("histograms"));
    }
    let cell = (330.0, 290.0);
    let columns = panels.len().min(3);
    let rows = panels.len().div_ceil(columns);
    let mut canvas = Canvas::new(44.0 + columns as f64 * cell.0, 66.0 + rows as f64 * cell.1);
    canvas.text((60.0, 24.0), title, 14, Anchor::Start, false);
    for (i, distribution) in panels.iter().enumerate() {
        let (from, to) = distribution.range;
        let n_bins = distribution.n_bins.max(1);
        let width = (to - from) / n_bins as f64;
        let heights: Vec<Vec<f64>> = distribution
            .series
            .iter()
            .map(|counted| {
                let mut counts = vec![0.0; n_bins];
                let finite: Vec<f64> = counted.values.iter().copied().filter(|v| !v.is_nan()).collect();
                for value in &finite {
                    counts[(((value - from) / width).max(0.0) as usize).min(n_bins - 1)] += 1.0;
                }
                counts.iter().map(|count| count / finite.len().max(1) as f64).collect()
            })
            .collect();
        let most = heights.iter().flatten().copied().fold(0.0, f64::max);
        let axes = panel(i, columns, cell, Axis::linear(from, to), Axis::linear(0.0, 1.15 * most.max(1e-9)));
        let edges: Vec<f64> = (0..=n_bins).map(|k| from + width * k as f64).collect();
        for (k, heights) in heights.iter().enumerate() {
            if k == 0 {
                for (edge, height) in edges.windows(2).zip(heights) {
                    bar(&mut canvas, &axes, (edge[0], edge[1]), *height, (palette::SERIES[0], 0.3));
                }
            }
            outline(&mut canvas, &axes, &edges, heights, series(k, 1.6));
        }
        for mark in &distribution.marks {
            let line = [(*mark, 0.0), (*mark, axes.y.to)];
            axes.curve(&mut canvas, line, Stroke::new(palette::BLACK, 1.0).dashed());
        }
        let entries: Vec<(&str, Color)> =
            distribution.series.iter().enumerate().map(|(k, s)| (s.label, palette::SERIES[k % 7])).collect();
        axes.legend(&mut canvas, &entries, true);
        let labels = Labels {
            x: Some(distribution.x_label),
            y: (i % columns == 0).then_some("fraction"),
            tick_size: 10,
            ..Labels::default()
        };
        axes.frame(&mut canvas, &labels);
    }
    Ok(canvas)
}

/// One number per quantity and series with its 95 % range, as points beside each other.
#[derive(Debug, Clone)]
pub struct Points<'a> {
    pub label: &'a str,
    /// (low, value, high) per quantity.
    pub values: Vec<(f64, f64, f64)>,
}

/// Numbers of several series side by side, one row per quantity, `range` shaded as what is allowed.
pub fn side_by_side(
    quantities: &[&str],
    all: &[Points],
    (x_label, range): (&str, (f64, f64)),
    title: &str,
) -> Result<Canvas, PlotError> {
    let n = quantities.len();
    if n == 0 || all.is_empty() || all.iter().any(|p| p.values.len() != n) {
        return Err(empty("a comparison"));
    }
    let ends = all.iter().flat_map(|p| &p.values).flat_map(|&(a, b, c)| [a, b, c]).chain([range.0, range.1]);
    let (low, high) =
        ends.filter(|v| v.is_finite()).fold((f64::MAX, f64::MIN), |(a, b), v| (a.min(v), b.max(v)));
    let pad = 0.05 * (high - low).max(1e-6);
    let row = 22.0_f64.max(9.0 * all.len() as f64 + 6.0);
    let height = row * n as f64;
    let mut canvas = Canvas::new(640.0, height + 110.0 + 18.0 * all.len() as f64);
    canvas.text((20.0, 24.0), title, 14, Anchor::Start, false);
    let axes = Axes {
        left: 170.0,
        top: 44.0,
        width: 440.0,
        height,
        x: Axis::linear(low - pad, high + pad),
        y: Axis::linear(0.0, n as f64),
    };
    axes.band(&mut canvas, &[range.0, range.1], &[0.0; 2], &[n as f64; 2], (palette::GREY, 0.22));
    for (i, name) in quantities.iter().enumerate() {
        let middle = (n - i) as f64 - 0.5;
        let (_, y) = axes.at(low, middle);
        draw_label(&mut canvas, (axes.left - 8.0, y + 4.0), name, 11, Anchor::End, false);
        for (k, points) in all.iter().enumerate() {
            let (from, value, to) = points.values[i];
            let y = middle + 0.6 * (0.5 - (k as f64 + 0.5) / all.len() as f64);
            let color = palette::SERIES[k % 7];
            axes.curve(&mut canvas, [(from, y), (to, y)], Stroke::new(color, 1.2));
            if axes.inside(value, y) {
                canvas.circle(axes.at(value, y), 3.4, Some(color), None);
            }
        }
    }
    for (k, points) in all.iter().enumerate() {
        let y = axes.top + height + 56.0 + 18.0 * k as f64;
        canvas.circle((axes.left + 8.0, y - 4.0), 4.0, Some(palette::SERIES[k % 7]), None);
        canvas.text((axes.left + 20.0, y), points.label, 11, Anchor::Start, false);
    }
    let labels = Labels { x: Some(x_label), no_y_ticks: true, ..Labels::default() };
    axes.frame(&mut canvas, &labels);
    Ok(canvas)
}
