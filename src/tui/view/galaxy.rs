//! One galaxy: an overview that fills what room there is, and a page each for marginals, pairs, history and source.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::draws::{Shown, corner, interval, marginals, top_of};
use super::panel::panel;
use super::{notice, put, put_right, wrapped};
use crate::infer::reason_meaning;
use crate::output::decimals_of;
use crate::plot::axes::Axis;
use crate::tui::portrait::{BINS, BandOf, MarginalPlot, TELLING, label};
use crate::tui::raster::{Plot, Tone};
use crate::tui::state::{GalaxyView, Page, State};
use crate::tui::text::{clean, number, pad, thousands, width};
use crate::tui::theme::Role;

pub fn draw(state: &State, view: &GalaxyView, buffer: &mut Buffer, area: Rect) {
    heading(state, view, buffer, area);
    let mut body = Rect { y: area.y + 1, height: area.height - 1, ..area };
    if let Some(problem) = &view.problem {
        return notice(state, buffer, body, Role::Bad, problem);
    }
    if let Some(whatif) = &view.whatif {
        let style = state.theme.style(Role::WhatIf);
        buffer.set_style(Rect { height: 1, ..body }, style);
        let speed = match &whatif.problem {
            Some(_) => String::new(),
            None if whatif.millis > 0.0 => format!("1 000 draws in {:.0} ms ", whatif.millis),
            None => "asking the network … ".to_owned(),
        };
        let mark = [
            "WHAT IF  not the catalog's data: changed by hand, nothing is kept",
            "WHAT IF  not the catalog's data",
        ];
        let fits = |mark: &&str| width(mark) + width(&speed) + 3 < usize::from(body.width);
        put(buffer, body, 1, 0, mark.into_iter().find(fits).unwrap_or(mark[1]), style);
        put_right(buffer, body, 0, &speed, style);
        body = Rect { y: body.y + 1, height: body.height - 1, ..body };
        if let Some(problem) = &whatif.problem {
            let lines = wrapped(&clean(problem), usize::from(body.width) - 2);
            for (i, line) in lines.iter().enumerate() {
                put(buffer, body, 1, i as u16, line, state.theme.style(Role::Bad));
            }
            let used = (lines.len() as u16).min(body.height);
            body = Rect { y: body.y + used, height: body.height - used, ..body };
        }
    }
    let shown = Shown::of(view);
    match view.page {
        Page::Overview => overview(state, &shown, buffer, body),
        Page::Marginals => marginals(state, &shown, buffer, body),
        Page::Corner => corner(state, &shown, buffer, body),
        Page::History => history(state, &shown, buffer, body),
        Page::Source => source(state, &shown, buffer, body),
    }
}

fn heading(state: &State, view: &GalaxyView, buffer: &mut Buffer, area: Rect) {
    let theme = &state.theme;
    let pages: usize = Page::ALL.iter().map(|page| width(page.title()) + 2).sum();
    let left = Rect { width: area.width.saturating_sub(pages as u16 + 1), ..area };
    let mut x = 1;
    if state.galaxies.marks.contains(&view.id) {
        x = put(buffer, left, 0, 0, "●", theme.style(Role::Mark));
    }
    if let Some(seen) = &view.seen {
        let name = format!("{}/{}", clean(&seen.survey), clean(&seen.object_id));
        x = put(buffer, left, x, 0, &name, theme.style(Role::Title)) + 2;
        let z = match (seen.redshift, seen.redshift_err) {
            (Some(z), Some(error)) => format!("z {z:.5} ± {error:.5}"),
            (Some(z), None) => format!("z {z:.5}"),
            _ => "no redshift".to_owned(),
        };
        x = put(buffer, left, x, 0, &z, theme.style(Role::Text)) + 2;
        if let Some((ra, dec)) = seen.position {
            put(buffer, left, x, 0, &format!("RA {ra:.5}° Dec {dec:+.5}°"), theme.style(Role::Dim));
        }
    }
    let mut x = area.width.saturating_sub(pages as u16);
    for page in Page::ALL {
        let style = if page == view.page { theme.style(Role::Chosen) } else { theme.style(Role::Dim) };
        x = put(buffer, area, x, 0, &format!(" {} ", page.title()), style);
    }
}

/// Splits off the left `columns` of an area.
fn left_of(area: Rect, columns: u16) -> (Rect, Rect) {
    let columns = columns.min(area.width);
    let rest = Rect { x: area.x + columns + 1, width: area.width.saturating_sub(columns + 1), ..area };
    (Rect { width: columns, ..area }, rest)
}

fn overview(state: &State, shown: &Shown, buffer: &mut Buffer, area: Rect) {
    let bands = shown.view.seen.as_ref().map_or(0, |seen| seen.bands.len()) as u16;
    let photometry_rows = (bands + 2).min(area.height / 2);
    if area.width < 100 {
        let (upper, lower) = top_of(area, photometry_rows.max(9).min(area.height / 2));
        let (left, right) = left_of(upper, 42);
        photometry(state, shown, buffer, left);
        parameters(state, shown, buffer, right, false);
        return sed(state, shown, buffer, lower);
    }
    let (left, rest) = left_of(area, if area.width < 150 { 57 } else { 62 });
    let (upper, lower) = top_of(left, photometry_rows);
    photometry(state, shown, buffer, upper);
    let (middle, lower) = top_of(lower, 20);
    parameters(state, shown, buffer, middle, true);
    quality(state, shown, buffer, lower);
    let (plots, more) = if area.width >= 180 {
        left_of(rest, rest.width * 11 / 20)
    } else {
        (rest, Rect { width: 0, ..rest })
    };
    let (upper, lower) = top_of(plots, plots.height * 11 / 20);
    sed(state, shown, buffer, upper);
    if lower.height >= 24 {
        let (sfh, metals) = top_of(lower, lower.height / 2);
        rates(state, shown, buffer, sfh);
        metallicity(state, shown, buffer, metals);
    } else {
        rates(state, shown, buffer, lower);
    }
    if more.width > 30 {
        let (upper, lower) = top_of(more, more.height * 3 / 5);
        corner(state, shown, buffer, upper);
        marginals(state, shown, buffer, lower);
    }
}

/// Fluxes of the bands; of changed data, with the cursor.
fn photometry(state: &State, shown: &Shown, buffer: &mut Buffer, area: Rect) {
    let theme = &state.theme;
    let (dim, plain) = (theme.style(Role::Dim), theme.style(Role::Text));
    let Some(seen) = &shown.view.seen else {
        put(buffer, area, 1, 0, "reading …", dim);
        return;
    };
    put(buffer, area, 1, 0, "band", theme.style(Role::Title));
    for (end, text) in [(14, "nmgy"), (24, "±"), (31, "AB mag"), (37, "±"), (42, "S/N")] {
        put_right(buffer, Rect { width: end.min(area.width), ..area }, 0, text, dim);
    }
    if area.width > 46 {
        put(buffer, area, 44, 0, "flags", dim);
    }
    if let Some(whatif) = &shown.view.whatif {
        let n = whatif.data.bands.len();
        for (i, name) in whatif.data.bands.iter().enumerate() {
            let y = 1 + i as u16;
            let (flux, sigma) = (whatif.data.flux_nmgy[i], whatif.data.sigma_nmgy[i]);
            let changed = [flux != whatif.original.flux_nmgy[i], sigma != whatif.original.sigma_nmgy[i]];
            row(
                state,
                buffer,
                area,
                y,
                name,
                (Some(flux), Some(sigma).filter(|s| s.is_finite())),
                changed,
                "",
            );
            for (field, from, to) in [(i, 5, 14), (n + i, 16, 24)] {
                if whatif.field == field && y < area.height {
                    let here = Rect { x: area.x + from, y: area.y + y, width: to - from, height: 1 };
                    buffer.set_style(here.intersection(area), theme.style(Role::Chosen));
                }
            }
        }
        let y = 1 + n as u16;
        put(buffer, area, 1, y, "zred", theme.style(Role::Title));
        let role = if whatif.data.zred != whatif.original.zred { Role::Mark } else { Role::Text };
        put_right(
            buffer,
            Rect { width: 14.min(area.width), ..area },
            y,
            &format!("{:.5}", whatif.data.zred),
            theme.style(role),
        );
        if whatif.field == 2 * n && y < area.height {
            buffer.set_style(
                Rect { x: area.x + 5, y: area.y + y, width: 9, height: 1 },
                theme.style(Role::Chosen),
            );
        }
        return;
    }
    for (i, band) in seen.bands.iter().enumerate() {
        let y = 1 + i as u16;
        row(state, buffer, area, y, &band.name, (band.flux_nmgy, band.sigma_nmgy), [false; 2], &band.flags);
    }
    for (i, (name, description)) in seen.cuts.iter().enumerate() {
        let text = format!("fails cut {}: {}", clean(name), clean(description));
        let y = (1 + seen.bands.len() + i) as u16;
        put(buffer, area, 1, y, &text, theme.style(Role::Warning));
    }
    if seen.bands.is_empty() {
        put(buffer, area, 1, 1, "no photometry", plain);
    }
}

/// One band: flux, error, magnitude, its error, signal to noise.
#[allow(clippy::too_many_arguments)]
fn row(
    state: &State,
    buffer: &mut Buffer,
    area: Rect,
    y: u16,
    name: &str,
    (flux, sigma): (Option<f64>, Option<f64>),
    changed: [bool; 2],
    flags: &str,
) {
    let theme = &state.theme;
    if y >= area.height {
        return;
    }
    put(buffer, Rect { width: 5.min(area.width), ..area }, 1, y, &clean(name), theme.style(Role::Title));
    let right = |buffer: &mut Buffer, end: u16, text: &str, role: Role| {
        put_right(buffer, Rect { width: end.min(area.width), ..area }, y, text, theme.style(role));
    };
    let role = |changed: bool| if changed { Role::Mark } else { Role::Text };
    let decimals = sigma.map_or(3, decimals_of);
    match flux {
        Some(flux) => right(buffer, 14, &number(flux, decimals), role(changed[0])),
        None => right(buffer, 14, "not observed", Role::Dim),
    }
    if let Some(sigma) = sigma {
        right(buffer, 24, &number(sigma, decimals), role(changed[1]));
    }
    if let (Some(flux), Some(sigma)) = (flux, sigma) {
        if flux > 0.0 {
            right(buffer, 31, &format!("{:.3}", 22.5 - 2.5 * flux.log10()), Role::Text);
            right(buffer, 37, &format!("{:.3}", 2.5 / std::f64::consts::LN_10 * sigma / flux), Role::Dim);
        }
        right(buffer, 42, &format!("{:.0}", flux / sigma), Role::Text);
    }
    if !flags.is_empty() {
        put(buffer, area, 44, y, &clean(flags), theme.style(Role::Warning));
    }
}

/// Median, interval and a histogram in a line for each parameter and derived property.
fn parameters(state: &State, shown: &Shown, buffer: &mut Buffer, area: Rect, all: bool) {
    let theme = &state.theme;
    let Some(portrait) = shown.portrait else {
        put(buffer, area, 1, 0, "posterior …", theme.style(Role::Dim));
        return;
    };
    let mut x = if all { put(buffer, area, 1, 0, "posterior", theme.style(Role::Title)) + 2 } else { 1 };
    let words = match (&portrait.method, portrait.n_draws) {
        (Some(method), n) if all => format!("{method} · {} draws · {}", thousands(n), clean(&portrait.name)),
        (Some(method), n) => format!("{method} · {} draws", thousands(n)),
        (None, _) => "no posterior".to_owned(),
    };
    x = put(buffer, area, x, 0, &words, theme.style(Role::Dim));
    let mut y = 1;
    // a narrow screen has no room for what the codes mean, but they are seen
    let codes = portrait.reason.as_deref().filter(|_| !all).unwrap_or_default();
    if portrait.method.is_some() {
        put(buffer, area, x + 2, 0, &clean(codes), theme.style(Role::Warning));
    } else {
        let room = usize::from(area.width.saturating_sub(2));
        for line in wrapped(&clean(codes), room).iter().filter(|line| !line.is_empty()) {
            put(buffer, area, 1, y, line, theme.style(Role::Warning));
            y += 1;
        }
    }
    if let Some(lacks) = &portrait.lacks {
        for line in wrapped(&clean(lacks), usize::from(area.width.saturating_sub(2))) {
            put(buffer, area, 1, y, &line, theme.style(Role::Warning));
            y += 1;
        }
    }
    let base = shown.view.whatif.as_ref().and(shown.view.portrait.as_deref());
    for &i in &TELLING {
        let Some(m) = portrait.marginals.get(i) else { continue };
        if y >= area.height {
            break;
        }
        let (sign, unit) = label(m.name);
        put(buffer, area, 1, y, &pad(&sign, 13, false), theme.style(Role::Text));
        let (middle, sides) = interval(&m.quantiles);
        let value = Rect { width: 21.min(area.width), ..area };
        put_right(buffer, value, y, &middle, theme.style(Role::Median));
        let mut x =
            put(buffer, Rect { width: 37.min(area.width), ..area }, 22, y, &sides, theme.style(Role::Dim));
        if let Some(before) = base.and_then(|base| base.marginals.get(i)) {
            let shift =
                (m.quantiles[2] - before.quantiles[2]) / (0.5 * (before.quantiles[3] - before.quantiles[1]));
            if shift.is_finite() && area.width > 46 {
                let role = if shift.abs() >= 1.0 { Role::Mark } else { Role::Dim };
                x = put(buffer, area, 37, y, &format!("{shift:+.1}σ").replace('-', "−"), theme.style(role));
            }
        } else if area.width > 50 {
            x = put(buffer, area, 37, y, &spark(m, 10), theme.style(Role::Inner));
        }
        if area.width > 50 && !unit.is_empty() {
            put(buffer, area, x.max(47) + 1, y, &unit, theme.style(Role::Dim));
        }
        y += 1;
    }
}

/// A histogram in one line.
fn spark(m: &MarginalPlot, columns: usize) -> String {
    const BLOCKS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    if m.heights.is_empty() {
        return String::new();
    }
    let bars: Vec<f64> = (0..columns)
        .map(|i| {
            let part = &m.heights[i * BINS / columns..((i + 1) * BINS / columns).min(m.heights.len())];
            part.iter().sum::<f64>() / part.len().max(1) as f64
        })
        .collect();
    let most = bars.iter().copied().fold(1e-12, f64::max);
    bars.iter().map(|bar| BLOCKS[((bar / most * 8.0).ceil() as usize).min(8)]).collect()
}

/// Method, reasons and what says whether to trust the answer.
fn quality(state: &State, shown: &Shown, buffer: &mut Buffer, area: Rect) {
    let theme = &state.theme;
    let Some(portrait) = shown.portrait else { return };
    let mut y = 0;
    for code in portrait.reason.iter().flat_map(|reason| reason.split_whitespace()) {
        put(buffer, area, 1, y, &clean(code), theme.style(Role::Warning));
        y += 1;
        for line in
            wrapped(reason_meaning(code).unwrap_or_default(), usize::from(area.width).saturating_sub(4))
        {
            put(buffer, area, 3, y, &line, theme.style(Role::Dim));
            y += 1;
        }
    }
    for (name, value) in &portrait.numbers {
        put(buffer, area, 1, y, name, theme.style(Role::Dim));
        let decimals = if value.abs() >= 100.0 { 0 } else { 3 };
        put_right(
            buffer,
            Rect { width: 37.min(area.width), ..area },
            y,
            &number(*value, decimals),
            theme.style(Role::Text),
        );
        y += 1;
    }
}

fn band(plot: &mut Plot, curve: &BandOf) {
    plot.band(Role::Outer, Tone::Sparse, &curve.x, &curve.q[0], &curve.q[4]);
    plot.band(Role::Inner, Tone::Half, &curve.x, &curve.q[1], &curve.q[3]);
    plot.curve(Role::Median, &curve.x, &curve.q[2]);
}

/// Observed fluxes, the posterior's spectrum and photometry, the bandpasses.
fn sed(state: &State, shown: &Shown, buffer: &mut Buffer, area: Rect) {
    let theme = &state.theme;
    let Some(curves) = shown.curves.and_then(|curves| curves.sed.as_ref()) else {
        let text = match shown.portrait {
            Some(portrait) if portrait.lacks.is_some() || portrait.method.is_none() => {
                "no spectrum without draws"
            }
            _ => "spectrum …",
        };
        put(buffer, area, 1, 0, text, theme.style(Role::Dim));
        return;
    };
    let data = match &shown.view.whatif {
        Some(whatif) => Some(&whatif.data),
        None => shown.portrait.and_then(|portrait| portrait.data.as_ref()),
    };
    let observed: Vec<Option<(f64, f64)>> = (0..curves.bands.len())
        .map(|i| {
            let data = data?;
            let (flux, sigma) = (*data.flux_nmgy.get(i)?, *data.sigma_nmgy.get(i)?);
            sigma.is_finite().then_some((flux, sigma))
        })
        .collect();
    let xs = &curves.spectrum.x;
    let (Some(&blue), Some(&red)) = (xs.first(), xs.last()) else { return };
    let mut levels: Vec<f64> = curves.spectrum.q[1].iter().chain(&curves.spectrum.q[3]).copied().collect();
    levels.extend(curves.bands.iter().flat_map(|band| [band.predicted[0], band.predicted[4]]));
    levels.extend(observed.iter().flatten().flat_map(|(flux, sigma)| [flux - sigma, flux + sigma]));
    levels.retain(|level| level.is_finite() && *level > 0.0);
    let (low, high) = levels.iter().fold((f64::INFINITY, 0.0_f64), |(a, b), v| (a.min(*v), b.max(*v)));
    if high <= 0.0 {
        put(buffer, area, 1, 0, "no positive flux", theme.style(Role::Dim));
        return;
    }
    let y = Axis::log((low / 1.8).max(high / 1e5), 1.4 * high);
    let x = Axis::log(blue, red);
    let inner = panel(state, buffer, area, ("SED", "flux density/nmgy"), (&x, "observed wavelength/Å"), &y);
    if inner.width == 0 {
        return;
    }
    let key = "● observed  ○ predicted  bands 68, 95 %";
    if usize::from(inner.width) > width(key) + 56 {
        put_right(buffer, Rect { width: area.width - 1, ..area }, 0, key, theme.style(Role::Dim));
    }
    let mut plot = Plot::new(inner, x, y);
    plot.raster.layer(Role::Prior);
    for band in &curves.bands {
        // response as height above the lower edge, a fifth of the picture at most
        let heights: Vec<f64> = band.curve.1.iter().map(|r| y.from * (y.to / y.from).powf(0.2 * r)).collect();
        plot.more(&band.curve.0, &heights);
    }
    band(&mut plot, &curves.spectrum);
    plot.raster.layer(Role::Observed);
    for (band, observed) in curves.bands.iter().zip(&observed) {
        if let Some((flux, sigma)) = observed {
            plot.more(&[band.pivot_aa; 2], &[(flux - sigma).max(y.from), flux + sigma]);
        }
    }
    plot.raster.draw(buffer, inner, theme);
    for (band, observed) in curves.bands.iter().zip(&observed) {
        let mut sign = |flux: f64, sign: &str, role: Role| {
            let (column, row) = plot.at(band.pivot_aa, flux);
            let cell = (column / 2.0, row / 4.0);
            let inside = (0.0..f64::from(inner.width)).contains(&cell.0)
                && (0.0..f64::from(inner.height)).contains(&cell.1);
            if flux > 0.0 && inside {
                put(buffer, inner, cell.0 as u16, cell.1 as u16, sign, theme.style(role));
            }
        };
        sign(band.predicted[2], "○", Role::Median);
        if let Some((flux, _)) = observed {
            sign(*flux, "●", Role::Observed);
        }
        let (column, _) = plot.at(band.pivot_aa, y.from);
        let name = clean(&band.name);
        if (0.0..2.0 * f64::from(inner.width)).contains(&column) {
            put(buffer, inner, (column / 2.0) as u16, inner.height - 1, &name, theme.style(Role::Title));
        }
    }
}

fn rates(state: &State, shown: &Shown, buffer: &mut Buffer, area: Rect) {
    let Some(history) = shown.curves.and_then(|curves| curves.history.as_ref()) else {
        if shown.portrait.is_none_or(|portrait| portrait.lacks.is_none() && portrait.method.is_some()) {
            put(buffer, area, 1, 0, "history …", state.theme.style(Role::Dim));
        }
        return;
    };
    let sfr = &history.sfr;
    let finite = |values: &[f64]| values.iter().copied().filter(|v| v.is_finite()).fold(0.0, f64::max);
    let top = finite(&sfr.q[3]).max(finite(&sfr.q[2])).max(1e-12);
    let top = (1.15 * top).min(finite(&sfr.q[4]).max(top));
    let t_max = sfr.x.last().copied().unwrap_or(13.0);
    let (x, y) = (Axis::linear(0.0, t_max), Axis::linear(0.0, top));
    let title = ("star formation", "SFR/(M☉/yr)");
    let inner = panel(state, buffer, area, title, (&x, "lookback time/Gyr"), &y);
    if inner.width > 0 {
        let mut plot = Plot::new(inner, x, y);
        band(&mut plot, sfr);
        plot.raster.draw(buffer, inner, &state.theme);
    }
}

fn metallicity(state: &State, shown: &Shown, buffer: &mut Buffer, area: Rect) {
    let Some(history) = shown.curves.and_then(|curves| curves.history.as_ref()) else { return };
    let z = &history.z_abs;
    let finite = z.q.iter().flatten().copied().filter(|v| v.is_finite() && *v > 0.0);
    let (low, high) = finite.fold((f64::INFINITY, 0.0_f64), |(a, b), v| (a.min(v), b.max(v)));
    if high <= 0.0 {
        return;
    }
    let t_max = z.x.last().copied().unwrap_or(13.0);
    let (x, y) = (Axis::linear(0.0, t_max), Axis::log(0.8 * low, 1.25 * high));
    let title = ("metallicity", "Z, absolute");
    let inner = panel(state, buffer, area, title, (&x, "lookback time/Gyr"), &y);
    if inner.width > 0 {
        let mut plot = Plot::new(inner, x, y);
        band(&mut plot, z);
        plot.raster.draw(buffer, inner, &state.theme);
    }
}

fn history(state: &State, shown: &Shown, buffer: &mut Buffer, area: Rect) {
    if shown.curves.is_none() {
        return rates(state, shown, buffer, area);
    }
    let (upper, lower) = if area.width >= 140 && area.height < 30 {
        left_of(area, area.width / 2)
    } else {
        top_of(area, area.height / 2)
    };
    rates(state, shown, buffer, upper);
    metallicity(state, shown, buffer, lower);
}

/// Where everything came from.
fn source(state: &State, shown: &Shown, buffer: &mut Buffer, area: Rect) {
    let theme = &state.theme;
    let mut lines: Vec<(String, String, Role)> = Vec::new();
    let mut line = |name: &str, value: String, role: Role| lines.push((clean(name), clean(&value), role));
    if let Some(portrait) = shown.portrait {
        line("Posterior", String::new(), Role::Title);
        line("set", portrait.name.clone(), Role::Text);
        line("checkpoint", portrait.checkpoint.clone().unwrap_or_else(|| "none".into()), Role::Text);
        line("method", portrait.method.clone().unwrap_or_else(|| "none".into()), Role::Text);
        line("draws", thousands(portrait.n_draws), Role::Text);
        for (name, value) in &portrait.numbers {
            line(name, number(*value, 3), Role::Text);
        }
        for code in portrait.reason.iter().flat_map(|reason| reason.split_whitespace()) {
            line(code, reason_meaning(code).unwrap_or_default().to_owned(), Role::Warning);
        }
    }
    if let Some(seen) = &shown.view.seen {
        line("", String::new(), Role::Text);
        line("Photometry", String::new(), Role::Title);
        for (name, value) in &seen.provenance {
            line(name, value.clone(), Role::Text);
        }
        for band in &seen.bands {
            line(
                &format!("filter of {}", band.name),
                band.filter.clone().unwrap_or_else(|| "not known".into()),
                Role::Text,
            );
        }
        for (name, value) in &seen.cuts {
            line(&format!("fails cut {name}"), value.clone(), Role::Warning);
        }
        line("", String::new(), Role::Text);
        line("Posterior sets that have it", String::new(), Role::Title);
        for (_, name) in &seen.sets {
            line("", name.clone(), Role::Text);
        }
    }
    let first = shown.view.scroll.min(lines.len().saturating_sub(usize::from(area.height)));
    for (i, (name, value, role)) in lines.iter().skip(first).take(usize::from(area.height)).enumerate() {
        let style = theme.style(if *role == Role::Text { Role::Dim } else { *role });
        put(buffer, Rect { width: 27.min(area.width), ..area }, 1, i as u16, name, style);
        put(buffer, area, 28, i as u16, value, theme.style(Role::Text));
    }
}
