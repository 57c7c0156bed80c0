//! A galaxy on one screen: what was measured, and what its posterior says.

use std::io::{self, Write};

use anyhow::Context as _;
use unicode_width::UnicodeWidthStr;

use super::{Sheet, Value, facts_of, print_sheets, sheet_of};
use crate::codec::{self, NamedDraws};
use crate::commands::{draws, resolve};
use crate::galaxy::phot_flag;
use crate::infer::{Npe, reason_meaning};
use crate::output::{Format, decimals_of, for_eyes, short_real};
use crate::prior::{PARAMS, Prior, param_index};
use crate::sed::DerivedTable;
use crate::store::{
    Checkpoint, GalaxyId, PosteriorRow, PosteriorSet, SUMMARY_PARAMETERS, Store, StoredPosterior, Summary,
};

/// Cells of a histogram.
const BINS: usize = 20;
/// Draws outside these quantiles are not in the histogram's range.
const TAIL: f64 = 0.001;
/// Columns after which a list of facts goes on in the next line.
const LINE: usize = 100;

/// One column of the draws, or its summary where the draws are not kept.
struct Marginal {
    name: &'static str,
    unit: &'static str,
    /// Edges of the prior; none of a derived property.
    prior: Option<(f64, f64)>,
    summary: Summary,
    histogram: Option<Histogram>,
}

/// Fractions of the draws in equal bins from `from` to `to`.
#[derive(Debug, Clone, PartialEq)]
struct Histogram {
    from: f64,
    to: f64,
    /// Whether each end is an edge of the prior.
    at_edge: [bool; 2],
    fractions: Vec<f64>,
}

/// What the chosen set has to say of the galaxy.
struct Answer {
    set: PosteriorSet,
    checkpoint: Option<String>,
    prior_name: String,
    is_current: bool,
    row: PosteriorRow,
    marginals: Vec<Marginal>,
}

pub fn show(store: &Store, id: GalaxyId, set: Option<&str>, format: Format) -> anyhow::Result<()> {
    let measured = measured(store, id)?;
    let answer = answer(store, id, set)?;
    let others = others(store, id)?;
    let mut out = io::stdout().lock();
    if format == Format::Json {
        let mut sheets = measured;
        sheets.extend(answer.iter().flat_map(Answer::sheets));
        sheets.push(others);
        print_sheets(&mut out, format, &sheets)?;
        return Ok(());
    }
    print_measured(&mut out, &measured)?;
    match &answer {
        Some(answer) => print_answer(&mut out, answer)?,
        None => writeln!(out, "\nno posterior set has this galaxy; `sedflow infer` makes one")?,
    }
    if others.rows.len() > usize::from(answer.is_some()) {
        writeln!(out)?;
        print_sheets(&mut out, format, &[others])?;
    }
    Ok(())
}

/// Galaxy, photometry and failed cuts.
fn measured(store: &Store, id: GalaxyId) -> anyhow::Result<Vec<Sheet>> {
    let facts = "SELECT s.name AS survey, g.object_id, g.ra_deg, g.dec_deg, g.redshift, g.redshift_err, g.cuts_failed, \
                 i.file_name AS file, g.source_row, i.extinction, g.extra FROM galaxy g JOIN survey s USING (survey_id) \
                 JOIN ingest i USING (ingest_id) WHERE g.galaxy_id = :id";
    let photometry = "SELECT b.name AS band, f.name AS filter, p.flux_nmgy, \
                      CASE WHEN p.ivar_nmgy > 0 THEN 1 / sqrt(p.ivar_nmgy) END AS error_nmgy, \
                      CASE WHEN p.flux_nmgy > 0 THEN ab_mag(p.flux_nmgy) END AS mag, \
                      CASE WHEN p.flux_nmgy > 0 AND p.ivar_nmgy > 0 \
                        THEN 2.5 / ln(10) / (p.flux_nmgy * sqrt(p.ivar_nmgy)) END AS mag_error, p.flags \
                      FROM photometry p JOIN band b USING (band_id) LEFT JOIN filter_curve f USING (filter_id) \
                      WHERE p.galaxy_id = :id ORDER BY b.position";
    let cuts = "SELECT c.name, c.description FROM galaxy g JOIN cut_rule c USING (survey_id) \
                WHERE g.galaxy_id = :id AND (g.cuts_failed >> c.bit) & 1 ORDER BY c.bit";
    let mut photometry = sheet_of(store, "photometry", photometry, id.0)?;
    for row in &mut photometry.rows {
        if let Some(last) = row.last_mut()
            && let Value::Int(flags) = last
        {
            *last = Value::Text(phot_flag::words(u32::try_from(*flags).unwrap_or(u32::MAX)));
        }
    }
    Ok(vec![facts_of(store, "galaxy", facts, id.0)?, photometry, sheet_of(store, "cuts failed", cuts, id.0)?])
}

/// What every set says of the galaxy, in a line each.
fn others(store: &Store, id: GalaxyId) -> anyhow::Result<Sheet> {
    let sql = "SELECT t.name AS posterior_set, p.method, p.reason, p.n_draws, p.ess, p.efficiency, \
               q.log_mstar_surviving_q50, q.log_sfr_1gyr_q50, q.t_age_mw_gyr_q50 FROM posterior p \
               JOIN posterior_set t USING (posterior_set_id) LEFT JOIN posterior_summary q USING (posterior_id) \
               WHERE p.galaxy_id = :id ORDER BY p.posterior_set_id";
    sheet_of(store, "posteriors", sql, id.0)
}

/// The answer of the set of that name; else of the current set, or of the newest that has the galaxy.
fn answer(store: &Store, id: GalaxyId, name: Option<&str>) -> anyhow::Result<Option<Answer>> {
    let current = store.current_posterior_set()?;
    let candidates: Vec<PosteriorSet> = match name {
        Some(name) => vec![store.find_posterior_set(name)?],
        None => current.iter().cloned().chain(store.posterior_sets()?).collect(),
    };
    for set in candidates {
        let Some(posterior) = store.posterior(set.id, id)? else { continue };
        let (named, prior) = store.prior(set.prior)?;
        let checkpoint = store.checkpoints()?.into_iter().find(|c| Some(c.id) == set.checkpoint);
        let kept = draws_of(store, &posterior, checkpoint.as_ref())
            .with_context(|| format!("draws of the galaxy in set {}", set.name))?;
        let marginals = marginals(&prior, &posterior.row.summary, kept.as_ref());
        return Ok(Some(Answer {
            is_current: current.as_ref().is_some_and(|current| current.id == set.id),
            checkpoint: checkpoint.and_then(|c| c.name),
            prior_name: named.name,
            row: posterior.row,
            marginals,
            set,
        }));
    }
    match name {
        Some(name) => anyhow::bail!("set {name} has nothing on this galaxy"),
        None => Ok(None),
    }
}

/// The draws, unpacked or made again from their recipe; none where only summaries are kept.
fn draws_of(
    store: &Store,
    posterior: &StoredPosterior,
    checkpoint: Option<&Checkpoint>,
) -> anyhow::Result<Option<NamedDraws>> {
    if let Some(samples) = &posterior.row.samples {
        return Ok(Some(codec::decode(samples)?));
    }
    let (Some(checkpoint), Some(_)) = (checkpoint, &posterior.row.recipe) else { return Ok(None) };
    let npe = Npe::from_bytes(&store.checkpoint_data(checkpoint.id)?)?;
    let label = checkpoint.name.clone().unwrap_or_else(|| checkpoint.hash.short());
    let model = resolve::model_of_card(Some(store), &label, npe.card())?;
    let derived = DerivedTable::new(&model);
    let maker = draws::Maker { npe: &npe, checkpoint: checkpoint.hash, derived: &derived };
    draws::of_posterior(posterior, maker)
}

fn marginals(prior: &Prior, summaries: &[Summary], draws: Option<&NamedDraws>) -> Vec<Marginal> {
    let weights = draws.and_then(|draws| draws.weight.map(|at| draws.column(at)));
    SUMMARY_PARAMETERS
        .iter()
        .zip(summaries)
        .map(|(&name, &summary)| {
            let edges = param_index(name).map(|param| prior.support(param));
            let column = draws.and_then(|draws| draws.find(name).ok());
            Marginal {
                name,
                unit: unit_of(name),
                prior: edges,
                summary,
                histogram: column.and_then(|column| histogram(column, weights, edges)),
            }
        })
        .collect()
}

/// Unit of a parameter or derived property.
fn unit_of(name: &str) -> &'static str {
    match name {
        "log_sfr_1gyr" | "log_sfr_100myr" => "log(Msun/yr)",
        "log_mstar_surviving" => "log(Msun)",
        "log_z_mw" => "log(Z)",
        "t_age_mw_gyr" => "Gyr",
        _ => param_index(name).map_or("", |param| PARAMS[param].unit),
    }
}

/// Counts the draws, by their weights if they have any, in bins over nearly all of them; an end that is
/// next to an edge of the prior is moved onto it. None of no finite draw.
fn histogram(draws: &[f32], weights: Option<&[f32]>, prior: Option<(f64, f64)>) -> Option<Histogram> {
    let weight = |i: usize| weights.map_or(1.0, |weights| f64::from(weights[i]));
    let mut sorted: Vec<(f64, f64)> = draws
        .iter()
        .enumerate()
        .map(|(i, &value)| (f64::from(value), weight(i)))
        .filter(|(value, weight)| value.is_finite() && *weight > 0.0)
        .collect();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let total: f64 = sorted.iter().map(|draw| draw.1).sum();
    let at = |p: f64| {
        let mut sum = 0.0;
        let reached = sorted.iter().find(|draw| {
            sum += draw.1;
            sum >= p * total
        });
        reached.or(sorted.last()).map(|draw| draw.0)
    };
    let (mut from, mut to) = (at(TAIL)?, at(1.0 - TAIL)?);
    if to <= from {
        // all draws are one value
        let half = 1e-3 * from.abs().max(1e-3);
        (from, to) = (from - half, to + half);
    }
    let near = 1.5 * (to - from) / BINS as f64;
    let mut at_edge = [false; 2];
    if let Some((lower, upper)) = prior
        && upper > lower
    {
        at_edge = [from - lower < near, upper - to < near];
        from = if at_edge[0] { lower } else { from };
        to = if at_edge[1] { upper } else { to };
    }
    let mut counts = vec![0.0; BINS];
    for (value, weight) in &sorted {
        let place = (value - from) / (to - from) * BINS as f64;
        if (0.0..=BINS as f64).contains(&place) {
            counts[(place as usize).min(BINS - 1)] += weight;
        }
    }
    counts.iter_mut().for_each(|count| *count /= total);
    Some(Histogram { from, to, at_edge, fractions: counts })
}

/// One block of height 1 to 8 per bin, a space for an empty one.
fn bars(fractions: &[f64]) -> String {
    const BLOCKS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let tallest = fractions.iter().copied().fold(0.0, f64::max);
    fractions
        .iter()
        .map(|&f| if f > 0.0 { BLOCKS[((f / tallest * 8.0).ceil() as usize).clamp(1, 8)] } else { ' ' })
        .collect()
}

impl Answer {
    fn facts(&self) -> Vec<(&'static str, Value)> {
        let row = &self.row;
        let real = |value: Option<f64>| value.map_or(Value::Null, Value::Real);
        let text = |value: &Option<String>| value.as_deref().map_or(Value::Null, Value::text);
        vec![
            ("posterior_set", Value::text(self.set.name.as_str())),
            ("current", Value::Int(self.is_current.into())),
            ("checkpoint", text(&self.checkpoint)),
            ("prior", Value::text(self.prior_name.as_str())),
            ("method", row.method.map_or(Value::Null, |method| Value::text(method.as_str()))),
            ("reason", text(&row.reason)),
            ("n_draws", Value::Int(row.n_draws as i64)),
            ("n_bands", Value::Int(row.n_bands.into())),
            ("ess", real(row.ess)),
            ("efficiency", real(row.efficiency)),
            ("pareto_k", real(row.pareto_k)),
            ("ln_evidence", real(row.ln_evidence)),
            ("r_hat", real(row.r_hat)),
            ("acceptance", real(row.acceptance)),
            ("ood_score", real(row.ood_score)),
            ("chi2_best", real(row.chi2_best)),
            ("ppc_p_value", real(row.ppc_p_value)),
        ]
    }

    /// For other programs: everything in numbers.
    fn sheets(&self) -> Vec<Sheet> {
        let mut parameters = Sheet::new(
            "parameters",
            &[
                "parameter",
                "unit",
                "prior_lower",
                "prior_upper",
                "mean",
                "sd",
                "q025",
                "q16",
                "q50",
                "q84",
                "q975",
                "best",
                "edge_frac",
            ],
        );
        let mut histograms = Sheet::new("histograms", &["parameter", "lower", "upper", "fraction"]);
        for m in &self.marginals {
            let s = &m.summary;
            let numbers = [s.mean, s.std, s.q025, s.q16, s.q50, s.q84, s.q975, s.map, s.edge_frac];
            let edges = m.prior.map_or([f64::NAN; 2], |(lower, upper)| [lower, upper]);
            let mut row = vec![Value::text(m.name), Value::text(m.unit)];
            row.extend(edges.into_iter().chain(numbers).map(Value::Real));
            parameters.rows.push(row);
            if let Some(h) = &m.histogram {
                let width = (h.to - h.from) / BINS as f64;
                histograms.rows.extend(h.fractions.iter().enumerate().map(|(i, &fraction)| {
                    let lower = h.from + i as f64 * width;
                    let numbers = [lower, lower + width, fraction].map(Value::Real);
                    std::iter::once(Value::text(m.name)).chain(numbers).collect()
                }));
            }
        }
        vec![Sheet::facts("posterior", self.facts()), parameters, histograms]
    }
}

fn print_measured(out: &mut impl Write, sheets: &[Sheet]) -> io::Result<()> {
    let [facts, photometry, cuts] = sheets else { return Ok(()) };
    let fact =
        |name: &str| facts.rows.iter().find(|row| row[0] == Value::text(name)).map(|row| row[1].clone());
    let text = |name: &str| match fact(name) {
        Some(Value::Text(text)) => for_eyes(text.as_bytes()),
        Some(Value::Int(n)) => n.to_string(),
        _ => String::new(),
    };
    let real = |name: &str| match fact(name) {
        Some(Value::Real(value)) => Some(value),
        Some(Value::Int(value)) => Some(value as f64),
        _ => None,
    };
    write!(out, "{}/{}", text("survey"), text("object_id"))?;
    match (real("redshift"), real("redshift_err")) {
        (Some(z), Some(error)) => write!(out, "   z = {z:.5} ± {error:.5}")?,
        (Some(z), None) => write!(out, "   z = {z:.5}")?,
        _ => write!(out, "   no redshift")?,
    }
    if let Some((ra, dec)) = real("ra_deg").zip(real("dec_deg")) {
        write!(out, "   RA {ra:.5}  Dec {dec:+.5}")?;
    }
    writeln!(
        out,
        "\nfrom {}, row {}; Galactic extinction: {}",
        text("file"),
        text("source_row"),
        text("extinction")
    )?;
    if let Some(Value::Text(extra)) = fact("extra")
        && let Ok(serde_json::Value::Object(extra)) = serde_json::from_str(&extra)
    {
        let words: Vec<String> =
            extra.iter().map(|(key, value)| for_eyes(format!("{key} {}", plain(value)).as_bytes())).collect();
        wrapped(out, &words)?;
    }
    for row in &cuts.rows {
        let [Value::Text(name), description, ..] = row.as_slice() else { continue };
        write!(out, "fails cut {}", for_eyes(name.as_bytes()))?;
        match description {
            Value::Text(text) => writeln!(out, ": {}", for_eyes(text.as_bytes()))?,
            _ => writeln!(out)?,
        }
    }
    let head = ["band", "filter", "nanomaggies", "±", "AB mag", "±", "S/N", "flags"];
    let rows: Vec<Vec<String>> = photometry.rows.iter().map(|row| photometry_row(row)).collect();
    writeln!(out)?;
    columns(out, &head, &[false, false, true, true, true, true, true, false], &rows)
}

fn plain(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Number(n) => n.as_f64().map_or_else(|| n.to_string(), short_real),
        other => other.to_string(),
    }
}

/// Cells of one band; a dash where nothing was measured.
fn photometry_row(row: &[Value]) -> Vec<String> {
    let text = |i: usize| match row.get(i) {
        Some(Value::Text(text)) => for_eyes(text.as_bytes()),
        _ => String::new(),
    };
    let real = |i: usize| match row.get(i) {
        Some(Value::Real(value)) => Some(*value),
        Some(Value::Int(value)) => Some(*value as f64),
        _ => None,
    };
    let pair = |value: Option<f64>, error: Option<f64>| match (value, error) {
        (Some(value), Some(error)) => {
            let decimals = decimals_of(error);
            [format!("{value:.decimals$}"), format!("{error:.decimals$}")]
        }
        (Some(value), None) => [short_real(value), "-".into()],
        _ => ["-".to_owned(), "-".to_owned()],
    };
    let [flux, flux_error] = pair(real(2), real(3));
    let [mag, mag_error] = pair(real(4), real(5));
    let snr = real(2).zip(real(3)).map_or("-".to_owned(), |(flux, error)| format!("{:.1}", flux / error));
    vec![text(0), text(1), flux, flux_error, mag, mag_error, snr, text(6)]
}

fn print_answer(out: &mut impl Write, answer: &Answer) -> io::Result<()> {
    let (row, set) = (&answer.row, &answer.set);
    write!(out, "\nposterior set {}", for_eyes(set.name.as_bytes()))?;
    write!(out, "{}", if answer.is_current { " (current)" } else { "" })?;
    if let Some(checkpoint) = &answer.checkpoint {
        write!(out, ", checkpoint {}", for_eyes(checkpoint.as_bytes()))?;
    }
    writeln!(out, ", prior {}", for_eyes(answer.prior_name.as_bytes()))?;
    match row.method {
        Some(method) => {
            write!(out, "method {}: {} draws from {} bands", method.as_str(), row.n_draws, row.n_bands)?
        }
        None => write!(out, "no posterior")?,
    }
    for (what, value) in row.quality() {
        write!(out, "; {what} {}", short_real((value * 1000.0).round() / 1000.0))?;
    }
    writeln!(out)?;
    for code in row.reason.iter().flat_map(|reason| reason.split_whitespace()) {
        match reason_meaning(code) {
            Some(meaning) => writeln!(out, "  {}: {meaning}", for_eyes(code.as_bytes()))?,
            None => writeln!(out, "  {}", for_eyes(code.as_bytes()))?,
        }
    }
    if answer.marginals.is_empty() {
        return Ok(());
    }
    let rows: Vec<Vec<String>> = answer.marginals.iter().map(marginal_row).collect();
    let head = ["parameter", "unit", "16 %", "50 %", "84 %", "best", "", "draws", "", "prior", "at edge"];
    let right = [false, false, true, true, true, true, true, false, false, true, true];
    writeln!(out)?;
    columns(out, &head, &right, &rows)?;
    if answer.marginals.iter().any(|m| m.histogram.is_some()) {
        writeln!(
            out,
            "draws: their histogram from the 0.1 to the 99.9 % quantile; | is an edge of the prior; at edge: draws within 1 % of one"
        )
    } else {
        writeln!(out, "the set keeps no draws, only these summaries")
    }
}

fn marginal_row(m: &Marginal) -> Vec<String> {
    let s = &m.summary;
    let decimals = decimals_of((s.q84 - s.q50).min(s.q50 - s.q16)).min(4);
    let number = |value: f64| if value.is_finite() { format!("{value:.decimals$}") } else { "-".to_owned() };
    let mut row = vec![m.name.to_owned(), m.unit.to_owned()];
    row.extend([s.q16, s.q50, s.q84, s.map].map(number));
    match &m.histogram {
        Some(h) => {
            let [left, right] = h.at_edge.map(|edge| if edge { '|' } else { ' ' });
            row.push(format!("{:.2}", h.from));
            row.push(format!("{left}{}{right}", bars(&h.fractions)));
            row.push(format!("{:.2}", h.to));
        }
        None => row.extend([String::new(), "-".to_owned(), String::new()]),
    }
    match m.prior {
        Some((lower, upper)) if lower == upper => {
            row.extend([format!("fixed {}", edge(lower)), String::new()])
        }
        Some((lower, upper)) => {
            row.push(format!("{} .. {}", edge(lower), edge(upper)));
            row.push(format!("{:.0} %", 100.0 * s.edge_frac));
        }
        None => row.extend([String::new(), String::new()]),
    }
    row
}

/// An edge of a prior, rounded for eyes.
fn edge(value: f64) -> String {
    if value.is_finite() { short_real((value * 1000.0).round() / 1000.0) } else { format!("{value}") }
}

/// Words with two spaces between, broken into lines.
fn wrapped(out: &mut impl Write, words: &[String]) -> io::Result<()> {
    let mut used = 0;
    for word in words {
        let gap = match used {
            0 => "",
            used if used + 2 + word.width() > LINE => {
                writeln!(out)?;
                ""
            }
            _ => "  ",
        };
        used = if gap.is_empty() { word.width() } else { used + 2 + word.width() };
        write!(out, "{gap}{word}")?;
    }
    if words.is_empty() { Ok(()) } else { writeln!(out) }
}

/// A table with aligned columns; `right` says which are aligned to the right.
fn columns(out: &mut impl Write, head: &[&str], right: &[bool], rows: &[Vec<String>]) -> io::Result<()> {
    let cells = |i: usize| rows.iter().filter_map(move |row| row.get(i)).map(|cell| cell.width());
    let widths: Vec<usize> = head
        .iter()
        .enumerate()
        .map(|(i, title)| cells(i).chain([title.width()]).max().unwrap_or(0))
        .collect();
    let head: Vec<String> = head.iter().map(|title| (*title).to_owned()).collect();
    for row in std::iter::once(&head).chain(rows) {
        let mut line = String::new();
        for (i, cell) in row.iter().enumerate() {
            let pad = " ".repeat(widths[i].saturating_sub(cell.width()));
            let gap = if i == 0 { "" } else { "  " };
            line += &if right[i] { format!("{gap}{pad}{cell}") } else { format!("{gap}{cell}{pad}") };
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_covers_the_draws_and_ends_on_an_edge_that_is_near() {
        let draws: Vec<f32> = (0..10_000).map(|i| 3.0 * (i as f32 + 0.5) / 10_000.0).collect();
        let h = histogram(&draws, None, Some((0.0, 10.0))).unwrap();
        assert_eq!((h.from, h.at_edge), (0.0, [true, false]));
        assert!((h.to - 2.997).abs() < 2e-3);
        assert!(h.fractions.iter().all(|f| (f - 0.05).abs() < 1e-3), "{:?}", h.fractions);
        assert_eq!(histogram(&draws, None, Some((0.0, 3.0))).unwrap().at_edge, [true, true]);
        assert_eq!(histogram(&draws, None, None).unwrap().at_edge, [false, false]);
        assert_eq!(histogram(&[f32::NAN], None, None), None);
        let one = histogram(&[7.0; 5], None, Some((7.0, 7.0))).unwrap();
        assert_eq!(one.fractions.iter().sum::<f64>(), 1.0);
        // a draw of weight 0 is none, one of weight 3 is three
        let weighted = histogram(&[0.0, 1.0, 9.0], Some(&[1.0, 3.0, 0.0]), None).unwrap();
        assert_eq!((weighted.from, weighted.to), (0.0, 1.0));
        assert_eq!((weighted.fractions[0], weighted.fractions[BINS - 1]), (0.25, 0.75));
    }

    #[test]
    fn bars_rise_with_the_fraction_and_only_an_empty_bin_is_blank() {
        assert_eq!(bars(&[0.0, 0.001, 0.5, 1.0]), " ▁▄█");
        assert_eq!(bars(&[0.0, 0.0]), "  ");
    }

    #[test]
    fn a_flux_is_shown_to_two_digits_of_its_error() {
        let real = Value::Real;
        let row = [
            Value::text("r"),
            Value::text("sdss2010-r"),
            real(174.054),
            real(3.4427),
            real(16.8983),
            real(0.021475),
            Value::text(""),
        ];
        assert_eq!(photometry_row(&row)[2..7], ["174.1", "3.4", "16.898", "0.021", "50.6"]);
        let nothing = [Value::text("u"), Value::Null, Value::Null, Value::Null, Value::Null, Value::Null];
        assert_eq!(photometry_row(&nothing)[2..7], ["-", "-", "-", "-", "-"]);
    }

    #[test]
    fn long_lists_are_broken_between_words() {
        let words: Vec<String> = (0..40).map(|i| format!("COLUMN{i} 1")).collect();
        let mut out = Vec::new();
        wrapped(&mut out, &words).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.lines().count() > 3 && text.lines().all(|line| line.len() <= LINE));
        assert_eq!(text.split_whitespace().count(), 80);
    }
}
