//! Spectral energy distribution: observed fluxes, what the posterior predicts, and the filters.

use super::PlotError;
use super::axes::{Axes, Axis, Labels, Mark};
use super::canvas::{Anchor, Canvas, Stroke, palette};
use super::curves::QuantileBand;

/// One observed band.
#[derive(Debug, Clone)]
pub struct Band<'a> {
    pub label: &'a str,
    pub pivot_aa: f64,
    /// Flux and its error, nanomaggies; none where the band was not observed.
    pub observed: Option<(f64, f64)>,
    /// Fluxes the posterior predicts: 2.5, 16, 50, 84, 97.5 %.
    pub predicted: [f64; 5],
    /// Response curve: wavelength (Angstrom, observed), any scale.
    pub curve: (&'a [f64], &'a [f64]),
}

/// Draws fluxes and model. `spectrum` is the posterior's spectrum: observed wavelength in Angstrom,
/// flux density in nanomaggies.
pub fn sed(bands: &[Band], spectrum: &QuantileBand, title: &str) -> Result<Canvas, PlotError> {
    let bad = |reason: &str| PlotError::Data { what: "an SED", reason: reason.into() };
    if bands.is_empty() {
        return Err(bad("no bands"));
    }
    let reach = |f: fn(f64, f64) -> f64, start: f64| {
        let edges = bands.iter().flat_map(|b| {
            let live: Vec<f64> =
                b.curve.0.iter().zip(b.curve.1).filter(|(_, r)| **r > 0.0).map(|(w, _)| *w).collect();
            [live.first().copied().unwrap_or(b.pivot_aa), live.last().copied().unwrap_or(b.pivot_aa)]
        });
        edges.fold(start, f)
    };
    let (blue, red) = (0.93 * reach(f64::min, f64::INFINITY), 1.07 * reach(f64::max, 0.0));
    let mut levels: Vec<f64> = bands
        .iter()
        .flat_map(|b| {
            let observed = b.observed.map(|(f, s)| [f - s, f + s]).into_iter().flatten();
            b.predicted.into_iter().chain(observed).collect::<Vec<_>>()
        })
        .collect();
    let shown = spectrum.x.iter().zip(spectrum.q[1].iter().zip(&spectrum.q[3]));
    levels.extend(shown.filter(|(x, _)| (blue..red).contains(*x)).flat_map(|(_, (a, b))| [*a, *b]));
    let positive = levels.iter().copied().filter(|v| v.is_finite() && *v > 0.0);
    let (low, high) = positive.fold((f64::INFINITY, 0.0_f64), |(a, b), v| (a.min(v), b.max(v)));
    if high == 0.0 {
        return Err(bad("no positive flux, observed or predicted"));
    }

    let mut canvas = Canvas::new(760.0, 560.0);
    let main = Axes {
        left: 84.0,
        top: 36.0,
        width: 640.0,
        height: 350.0,
        x: Axis::log(blue, red),
        // Room for the filters below the fluxes.
        y: Axis::log((low / 3.0).max(high / 1e5), 1.6 * high),
    };
    for band in bands {
        let peak = band.curve.1.iter().copied().fold(0.0, f64::max);
        let floor = main.y.from;
        let top: Vec<f64> = band
            .curve
            .1
            .iter()
            .map(|r| floor * (main.y.to / floor).powf(0.17 * r / if peak > 0.0 { peak } else { 1.0 }))
            .collect();
        main.band(&mut canvas, band.curve.0, &vec![floor; top.len()], &top, (palette::GREY, 0.25));
        let (x, y) = main.at(band.pivot_aa, floor);
        canvas.text((x, y - 8.0), band.label, 12, Anchor::Middle, false);
    }
    spectrum.draw(&mut canvas, &main, palette::SKY);
    for band in bands {
        let (x, _) = main.at(band.pivot_aa, main.y.from);
        let q = band.predicted;
        for (low, high, half) in [(q[0], q[4], 4.0), (q[1], q[3], 8.0)] {
            if high > 0.0 {
                let (_, bottom) = main.at(band.pivot_aa, low.max(main.y.from));
                let (_, top) = main.at(band.pivot_aa, high);
                let outline = vec![(x - half, bottom), (x + half, bottom), (x + half, top), (x - half, top)];
                canvas.fill(&[outline], palette::BLUE, 0.45);
            }
        }
        if let Some((flux, sigma)) = band.observed {
            main.error_bar(
                &mut canvas,
                band.pivot_aa,
                (flux - sigma, flux, flux + sigma),
                palette::VERMILION,
            );
        }
    }
    let labels = Labels {
        y: Some("flux density  [nanomaggies]"),
        title: Some(title),
        no_x_ticks: true,
        ..Labels::default()
    };
    main.frame(&mut canvas, &labels);
    let entries = [
        ("observed", Mark::Dot(palette::VERMILION)),
        ("posterior: fluxes, 68 and 95 %", Mark::Area(palette::BLUE, 0.55)),
        ("posterior: spectrum, median, 68 and 95 %", Mark::Line(Stroke::new(palette::SKY, 1.6))),
        ("bandpasses", Mark::Area(palette::GREY, 0.25)),
    ];
    main.marks(&mut canvas, &entries);

    // How far each observed flux is from what the posterior predicts, in units of its error.
    let pull = |observed: (f64, f64), model: f64| (observed.0 - model) / observed.1;
    let widest = bands
        .iter()
        .filter_map(|b| b.observed.map(|o| pull(o, b.predicted[0]).abs().max(pull(o, b.predicted[4]).abs())))
        .filter(|pull| pull.is_finite())
        .fold(2.5, f64::max);
    let reach = (1.15 * widest).min(8.0);
    let pulls = Axes { top: 398.0, height: 100.0, y: Axis::linear(-reach, reach), ..main.clone() };
    pulls.band(&mut canvas, &[blue, red], &[-1.0; 2], &[1.0; 2], (palette::GREY, 0.15));
    pulls.curve(&mut canvas, [(blue, 0.0), (red, 0.0)], Stroke::new(palette::GREY, 1.0).dashed());
    for band in bands {
        if let Some(observed) = band.observed {
            let q = band.predicted.map(|model| pull(observed, model));
            let (x, _) = pulls.at(band.pivot_aa, 0.0);
            for (a, b, half) in [(q[0], q[4], 2.5), (q[1], q[3], 6.0)] {
                let (_, top) = pulls.at(band.pivot_aa, a.max(b).clamp(-reach, reach));
                let (_, bottom) = pulls.at(band.pivot_aa, a.min(b).clamp(-reach, reach));
                let outline = vec![(x - half, top), (x + half, top), (x + half, bottom), (x - half, bottom)];
                canvas.fill(&[outline], palette::BLUE, 0.45);
            }
            if pulls.inside(band.pivot_aa, q[2]) {
                canvas.circle(pulls.at(band.pivot_aa, q[2]), 3.6, Some(palette::VERMILION), None);
            }
        }
    }
    let labels =
        Labels { x: Some("observed wavelength  [Å]"), y: Some("residual / σ"), ..Labels::default() };
    pulls.frame(&mut canvas, &labels);
    Ok(canvas)
}
