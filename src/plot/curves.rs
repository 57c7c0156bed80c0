//! Figures made of curves: histories of a galaxy, training, noise models.

use super::PlotError;
use super::axes::{Axes, Axis, Labels, Mark};
use super::canvas::{Canvas, Stroke, palette};

/// Opacity of the 95 % interval, and of the 68 % one on top of it.
const OUTER: f64 = 0.16;
const INNER: f64 = 0.30;

/// Quantiles of a function of one variable over the posterior.
#[derive(Debug, Clone, Default)]
pub struct QuantileBand {
    pub x: Vec<f64>,
    /// 2.5, 16, 50, 84 and 97.5 %, each as long as `x`.
    pub q: [Vec<f64>; 5],
}

impl QuantileBand {
    /// From `draws`, each as long as `x`.
    pub fn of(x: Vec<f64>, draws: &[Vec<f64>]) -> Self {
        let mut q: [Vec<f64>; 5] = Default::default();
        let mut column = Vec::with_capacity(draws.len());
        for i in 0..x.len() {
            column.clear();
            column.extend(draws.iter().map(|draw| draw[i]).filter(|v| v.is_finite()));
            column.sort_by(f64::total_cmp);
            for (q, p) in q.iter_mut().zip([0.025, 0.16, 0.5, 0.84, 0.975]) {
                let value = column.get(((column.len().max(1) - 1) as f64 * p).round() as usize);
                q.push(value.copied().unwrap_or(f64::NAN));
            }
        }
        Self { x, q }
    }

    pub(super) fn draw(&self, canvas: &mut Canvas, axes: &Axes, color: super::canvas::Color) {
        axes.band(canvas, &self.x, &self.q[0], &self.q[4], (color, OUTER));
        axes.band(canvas, &self.x, &self.q[1], &self.q[3], (color, INNER));
        let median = self.x.iter().copied().zip(self.q[2].iter().copied());
        axes.curve(canvas, median, Stroke::new(color, 1.6));
    }

    /// How the median and the two intervals look.
    pub(super) fn marks(color: super::canvas::Color) -> [(&'static str, Mark); 3] {
        let over = 1.0 - (1.0 - OUTER) * (1.0 - INNER);
        [
            ("median", Mark::Line(Stroke::new(color, 1.6))),
            ("68 %", Mark::Area(color, over)),
            ("95 %", Mark::Area(color, OUTER)),
        ]
    }

    pub(super) fn range(&self) -> Option<(f64, f64)> {
        let all = self.q.iter().flatten().copied().filter(|v| v.is_finite());
        let (low, high) = all.fold((f64::MAX, f64::MIN), |(a, b), v| (a.min(v), b.max(v)));
        (low <= high).then_some((low, high))
    }
}

/// Star-formation rate (Msun/yr) and absolute metallicity against lookback time (Gyr).
pub fn history(sfr: &QuantileBand, z_abs: &QuantileBand, title: &str) -> Result<Canvas, PlotError> {
    let empty = |reason: &str| PlotError::Data { what: "a star-formation history", reason: reason.into() };
    let (_, sfr_high) = sfr.range().ok_or_else(|| empty("no finite rate"))?;
    let (z_low, z_high) = z_abs.range().ok_or_else(|| empty("no finite metallicity"))?;
    let t_max = sfr.x.iter().copied().fold(0.0, f64::max);
    let typical = sfr.q[2].iter().copied().filter(|v| v.is_finite()).fold(0.0, f64::max);
    let top = if sfr_high > 0.0 { sfr_high } else { 1.0 };
    let mut canvas = Canvas::new(640.0, 620.0);
    let upper = Axes {
        left: 84.0,
        top: 36.0,
        width: 530.0,
        height: 270.0,
        x: Axis::linear(0.0, t_max),
        y: Axis::linear(0.0, 1.05 * top.min(6.0 * typical.max(top / 6.0))),
    };
    sfr.draw(&mut canvas, &upper, palette::BLUE);
    upper.frame(
        &mut canvas,
        &Labels { y: Some("SFR  [M_☉/yr]"), title: Some(title), no_x_ticks: true, ..Labels::default() },
    );
    let lower = Axes { top: 318.0, height: 240.0, y: Axis::log(0.8 * z_low, 1.25 * z_high), ..upper.clone() };
    z_abs.draw(&mut canvas, &lower, palette::VERMILION);
    lower.frame(
        &mut canvas,
        &Labels { x: Some("lookback time  [Gyr]"), y: Some("metallicity  Z"), ..Labels::default() },
    );
    upper.key(&mut canvas, &QuantileBand::marks(palette::GREY));
    Ok(canvas)
}

/// Loss against what was spent on it.
#[derive(Debug, Clone)]
pub struct TrainingCurve<'a> {
    pub label: &'a str,
    /// What was spent by the end of each epoch: examples, seconds.
    pub spent: Vec<f64>,
    pub train_ln_prob: Vec<f64>,
    pub valid_ln_prob: Vec<f64>,
}

/// Mean log density of training and held-out examples against `spent`, what was spent on it.
pub fn training(curves: &[TrainingCurve], spent: &str, title: &str) -> Result<Canvas, PlotError> {
    let points = || curves.iter().flat_map(|c| c.train_ln_prob.iter().chain(&c.valid_ln_prob));
    let mut values: Vec<f64> = points().copied().filter(|v| v.is_finite()).collect();
    if values.is_empty() {
        return Err(PlotError::Data { what: "a training history", reason: "it has no finite loss".into() });
    }
    values.sort_by(f64::total_cmp);
    // The first steps are far below everything that follows.
    let (low, high) = (values[values.len() / 20], values[values.len() - 1]);
    let pad = 0.05 * (high - low).max(0.1);
    let x_max = curves.iter().flat_map(|c| c.spent.iter().copied()).fold(0.0, f64::max);
    let mut canvas = Canvas::new(680.0, 440.0);
    let axes = Axes {
        left: 80.0,
        top: 36.0,
        width: 570.0,
        height: 340.0,
        x: Axis::linear(0.0, x_max),
        y: Axis::linear(low - pad, high + pad),
    };
    let mut entries = Vec::new();
    for (k, curve) in curves.iter().enumerate() {
        let color = palette::SERIES[k % 7];
        let pale = Stroke { color, width: 0.9, dashed: true };
        axes.curve(&mut canvas, zip(&curve.spent, &curve.train_ln_prob), pale);
        axes.curve(&mut canvas, zip(&curve.spent, &curve.valid_ln_prob), Stroke::new(color, 2.0));
        entries.push((curve.label, color));
    }
    let held_out = Mark::Line(Stroke::new(palette::GREY, 2.0));
    let trained = Mark::Line(Stroke::new(palette::GREY, 0.9).dashed());
    axes.key(&mut canvas, &[("held out", held_out), ("training", trained)]);
    if curves.len() > 1 {
        axes.legend(&mut canvas, &entries, false);
    }
    let labels = Labels {
        x: Some(spent),
        y: Some("mean ln q(θ | x)  [nats]"),
        title: Some(title),
        ..Labels::default()
    };
    axes.frame(&mut canvas, &labels);
    Ok(canvas)
}

fn zip<'a>(x: &'a [f64], y: &'a [f64]) -> impl Iterator<Item = (f64, f64)> + 'a {
    x.iter().copied().zip(y.iter().copied())
}

/// Magnitude errors of a survey, with some of its galaxies where given (magnitude, sigma_mag).
pub fn noise(model: &crate::noise::NoiseModel, galaxies: &[Vec<(f64, f64)>]) -> Result<Canvas, PlotError> {
    let n = model.bands.len();
    if n == 0 {
        return Err(PlotError::Data { what: "a noise model", reason: "it has no band".into() });
    }
    let columns = n.min(3);
    let rows = n.div_ceil(columns);
    let (cell_w, cell_h) = (300.0, 230.0);
    let mut canvas = Canvas::new(30.0 + columns as f64 * cell_w, 40.0 + rows as f64 * cell_h);
    for (i, band) in model.bands.iter().enumerate() {
        let bright = band.mag_range.0.max(band.mag[0] - 1.5);
        let faint = band.mag_range.1;
        let x: Vec<f64> = (0..=120).map(|k| bright + (faint - bright) * f64::from(k) / 120.0).collect();
        let errors: Vec<(f64, f64)> = x.iter().map(|&m| band.sigma_mag(m)).collect();
        let low: Vec<f64> = errors.iter().map(|e| (e.0 - e.1).max(1e-5)).collect();
        let high: Vec<f64> = errors.iter().map(|e| e.0 + e.1).collect();
        let least = errors.iter().map(|e| e.0).fold(f64::INFINITY, f64::min);
        let most = high.iter().copied().fold(0.0, f64::max);
        let axes = Axes {
            left: 62.0 + (i % columns) as f64 * cell_w,
            top: 34.0 + (i / columns) as f64 * cell_h,
            width: cell_w - 72.0,
            height: cell_h - 66.0,
            x: Axis::linear(bright, faint),
            y: Axis::log(0.7 * least, 1.5 * most),
        };
        for &(mag, sigma) in galaxies.get(i).map_or(&[][..], Vec::as_slice) {
            if axes.inside(mag, sigma) {
                canvas.circle(axes.at(mag, sigma), 0.9, Some(palette::GREY), None);
            }
        }
        axes.band(&mut canvas, &x, &low, &high, (palette::BLUE, 0.25));
        let median = x.iter().copied().zip(errors.iter().map(|e| e.0));
        axes.curve(&mut canvas, median, Stroke::new(palette::BLUE, 1.8));
        for (&mag, &sigma) in band.mag.iter().zip(&band.sigma_median) {
            if axes.inside(mag, sigma) {
                canvas.circle(axes.at(mag, sigma), 2.4, Some(palette::BLUE), None);
            }
        }
        let labels = Labels {
            x: (i + columns >= n).then_some("AB magnitude"),
            y: (i % columns == 0).then_some("σ [mag]"),
            title: Some(&band.band),
            tick_size: 10,
            ..Labels::default()
        };
        axes.frame(&mut canvas, &labels);
        if i == 0 {
            let mut marks = vec![
                ("median", Mark::Line(Stroke::new(palette::BLUE, 1.8))),
                ("± standard deviation", Mark::Area(palette::BLUE, 0.25)),
            ];
            if !galaxies.is_empty() {
                marks.push(("galaxies", Mark::Dot(palette::GREY)));
            }
            axes.marks(&mut canvas, &marks);
        }
    }
    Ok(canvas)
}
