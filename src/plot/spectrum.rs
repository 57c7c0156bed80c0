//! A model spectrum with bands: their curves, and the flux each of them sees.

use super::PlotError;
use super::axes::{Axes, Axis, Labels};
use super::canvas::{Anchor, Canvas, Stroke, palette};
use crate::filters::Filter;
use crate::sed::Spectrum;
use crate::units::nmgy_from_flam;

/// Draws flux density in nanomaggies against observed wavelength, over the reach of the bands; `bands`
/// come with their flux in nanomaggies.
pub fn spectrum(spectrum: &Spectrum, bands: &[(&Filter, f64)], title: &str) -> Result<Canvas, PlotError> {
    let bad = |reason: &str| PlotError::Data { what: "a spectrum", reason: reason.into() };
    let supports = bands.iter().map(|(filter, _)| filter.support_aa());
    let (blue, red) = match supports.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1))) {
        Some((blue, red)) => (0.93 * blue, 1.07 * red),
        None => match (spectrum.wave_obs_aa.first(), spectrum.wave_obs_aa.last()) {
            (Some(&blue), Some(&red)) => (blue, red),
            _ => return Err(bad("no wavelengths")),
        },
    };
    let points: Vec<(f64, f64)> = spectrum
        .wave_obs_aa
        .iter()
        .zip(&spectrum.flam)
        .filter(|(wave, _)| (blue..red).contains(*wave))
        .map(|(&wave, &flam)| (wave, nmgy_from_flam(flam, wave)))
        .collect();
    let fluxes = points.iter().map(|p| p.1).chain(bands.iter().map(|band| band.1));
    let high = fluxes.clone().filter(|f| f.is_finite()).fold(0.0, f64::max);
    let low = fluxes.filter(|&f| f > 1e-4 * high).fold(high, f64::min);
    if high <= 0.0 {
        return Err(bad("no flux within the bands"));
    }
    let mut canvas = Canvas::new(760.0, 460.0);
    let axes = Axes {
        left: 84.0,
        top: 36.0,
        width: 640.0,
        height: 360.0,
        x: Axis::log(blue, red),
        // Room for the curves below the spectrum.
        y: Axis::log(low / 3.0, 1.6 * high),
    };
    for (filter, _) in bands {
        let peak = filter.response().iter().copied().fold(f64::MIN_POSITIVE, f64::max);
        let floor = axes.y.from;
        let top: Vec<f64> =
            filter.response().iter().map(|r| floor * (axes.y.to / floor).powf(0.2 * r / peak)).collect();
        axes.band(&mut canvas, filter.wave_aa(), &vec![floor; top.len()], &top, (palette::GREY, 0.25));
        let (x, y) = axes.at(filter.pivot_aa(), floor);
        let label = filter.name().rsplit('-').next().unwrap_or_default();
        canvas.text((x, y - 8.0), label, 12, Anchor::Middle, false);
    }
    axes.curve(&mut canvas, points, Stroke::new(palette::BLUE, 1.0));
    for (filter, flux) in bands.iter().filter(|(_, flux)| *flux > axes.y.from) {
        let at = axes.at(filter.pivot_aa(), *flux);
        canvas.circle(at, 5.0, Some(palette::VERMILION), None);
    }
    let labels = Labels {
        x: Some("observed wavelength  [Å]"),
        y: Some("flux density  [nanomaggies]"),
        title: Some(title),
        ..Labels::default()
    };
    axes.frame(&mut canvas, &labels);
    axes.legend(&mut canvas, &[("spectrum", palette::BLUE), ("bands", palette::VERMILION)], false);
    Ok(canvas)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filters::shipped;

    #[test]
    fn a_spectrum_is_drawn_with_its_bands_and_nothing_is_not() {
        let wave_obs_aa: Vec<f64> = (2000..12_000).map(f64::from).collect();
        let flam = wave_obs_aa.iter().map(|w| 1e-16 * (w / 5000.0)).collect();
        let lit = Spectrum { wave_obs_aa, flam };
        let (g, r) = (shipped("sdss2010-g").unwrap(), shipped("sdss2010-r").unwrap());
        let svg = spectrum(&lit, &[(&g, 20.0), (&r, 40.0)], "a galaxy").unwrap().svg();
        assert!(svg.contains("a galaxy") && svg.contains("observed wavelength"));
        let dark = Spectrum { flam: vec![0.0; lit.flam.len()], ..lit };
        assert!(spectrum(&dark, &[], "").is_err());
        assert!(spectrum(&Spectrum { wave_obs_aa: vec![], flam: vec![] }, &[], "").is_err());
    }
}
