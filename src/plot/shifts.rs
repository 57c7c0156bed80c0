//! How far many posteriors moved between two versions: one line per parameter.

use super::PlotError;
use super::axes::{Axes, Axis, Labels};
use super::canvas::{Anchor, Canvas, Stroke, palette};

/// Quantiles (2.5, 16, 50, 84 and 97.5 %) over galaxies, of one parameter.
#[derive(Debug, Clone, Copy)]
pub struct ParameterShift<'a> {
    pub label: &'a str,
    /// Shift of the median, in sigma.
    pub shift: [f64; 5],
    /// Wasserstein distance, in sigma.
    pub distance: [f64; 5],
}

const ROW: f64 = 24.0;
const TOP: f64 = 44.0;

/// Left the shifts and right the distances: thin lines hold 95 % of the galaxies, thick ones 68 %; `threshold`
/// (sigma) is dashed.
pub fn shifts(rows: &[ParameterShift<'_>], title: &str, threshold: f64) -> Result<Canvas, PlotError> {
    let finite = |values: [f64; 5]| values.iter().all(|value| value.is_finite());
    let known: Vec<&ParameterShift<'_>> =
        rows.iter().filter(|row| finite(row.shift) && finite(row.distance)).collect();
    if known.is_empty() {
        let reason = "no galaxy has a posterior in both sets".to_owned();
        return Err(PlotError::Data { what: "what changed", reason });
    }
    let height = ROW * known.len() as f64;
    let widest = |of: fn(&ParameterShift<'_>) -> [f64; 5]| {
        known.iter().flat_map(|row| of(row)).fold(threshold, |most, value| most.max(value.abs()))
    };
    let (shift, distance) = (1.1 * widest(|row| row.shift), 1.1 * widest(|row| row.distance));
    let mut canvas = Canvas::new(860.0, TOP + height + 64.0);
    let left = Axes {
        left: 180.0,
        top: TOP,
        width: 400.0,
        height,
        x: Axis::linear(-shift, shift),
        y: Axis::linear(0.0, known.len() as f64),
    };
    let right = Axes { left: 610.0, width: 220.0, x: Axis::linear(0.0, distance), ..left.clone() };
    let zero = Stroke::new(palette::PALE, 1.0);
    left.curve(&mut canvas, [(0.0, 0.0), (0.0, known.len() as f64)], zero);
    let limit = Stroke::new(palette::GREY, 1.0).dashed();
    for (axes, at) in [(&left, -threshold), (&left, threshold), (&right, threshold)] {
        axes.curve(&mut canvas, [(at, 0.0), (at, known.len() as f64)], limit);
    }
    for (place, row) in known.iter().enumerate() {
        let y = (known.len() - place) as f64 - 0.5;
        for (axes, [q025, q16, q50, q84, q975], color) in
            [(&left, row.shift, palette::BLUE), (&right, row.distance, palette::VERMILION)]
        {
            axes.curve(&mut canvas, [(q025, y), (q975, y)], Stroke::new(color, 1.4));
            axes.curve(&mut canvas, [(q16, y), (q84, y)], Stroke::new(color, 6.0));
            canvas.circle(axes.at(q50, y), 3.6, Some(palette::BLACK), None);
        }
        let (x, y) = left.at(-shift, y);
        canvas.text((x - 8.0, y + 4.0), row.label, 12, Anchor::End, false);
    }
    let labels = |x| Labels { x: Some(x), no_y_ticks: true, ..Labels::default() };
    left.frame(&mut canvas, &labels("shift of the median  [sigma]"));
    right.frame(&mut canvas, &labels("Wasserstein distance  [sigma]"));
    canvas.text((left.left, TOP - 16.0), title, 13, Anchor::Start, false);
    canvas.text((830.0, TOP - 16.0), "median, 68 and 95 % of the galaxies", 11, Anchor::End, false);
    Ok(canvas)
}
