//! A LaTeX table of chosen galaxies: medians with their 68 % intervals, ready to be put into a paper.

use std::io::Write;

use super::target::{Target, at};
use super::{ExchangeError, Job, Rows, Values};

/// More rows than any journal prints.
pub const MOST_ROWS: u64 = 10_000;

/// A column of the printed table.
#[derive(Debug, Clone, PartialEq)]
enum Printed {
    Plain {
        column: usize,
        digits: usize,
    },
    /// Median, and the quantiles at 16 and 84 %.
    Interval {
        median: usize,
        low: usize,
        high: usize,
    },
}

/// Characters that LaTeX takes for commands are written out; what it cannot print becomes `?`.
fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => escaped.extend(['\\', c]),
            '~' => escaped.push_str("\\textasciitilde{}"),
            '^' => escaped.push_str("\\textasciicircum{}"),
            '\\' => escaped.push_str("\\textbackslash{}"),
            c if c.is_control() => escaped.push('?'),
            c => escaped.push(c),
        }
    }
    escaped
}

/// How a parameter is written in a heading.
fn symbol(parameter: &str) -> String {
    let known = [
        ("log_mstar_surviving", r"$\log M_\ast$"),
        ("log_mstar", r"$\log M_{\rm form}$"),
        ("log_sfr_1gyr", r"$\log \overline{\rm SFR}_{\rm 1\,Gyr}$"),
        ("log_sfr_100myr", r"$\log \overline{\rm SFR}_{\rm 100\,Myr}$"),
        ("log_z_mw", r"$\log Z_{\rm MW}$"),
        ("t_age_mw_gyr", r"$t_{\rm age,MW}$"),
        ("tau_bc", r"$\tau_{\rm BC}$"),
        ("tau_ism", r"$\tau_{\rm ISM}$"),
        ("n_dust", r"$n_{\rm dust}$"),
        ("redshift", r"$z$"),
        ("ra_deg", "R.A."),
        ("dec_deg", "Decl."),
        ("object_id", "Galaxy"),
        ("survey", "Survey"),
    ];
    known
        .iter()
        .find(|(name, _)| *name == parameter)
        .map_or_else(|| escape(parameter), |(_, tex)| (*tex).to_owned())
}

/// Number of decimals that show the error to two digits.
fn decimals(error: f64) -> usize {
    if error > 0.0 && error.is_finite() { (1.0 - error.log10().floor()).clamp(0.0, 6.0) as usize } else { 2 }
}

/// `$10.31^{+0.05}_{-0.06}$`.
pub fn interval(median: f64, low: f64, high: f64) -> String {
    if median.is_nan() {
        return r"\nodata".to_owned();
    }
    let (minus, plus) = (median - low, high - median);
    let digits = decimals(minus.min(plus));
    format!("${median:.digits$}^{{+{plus:.digits$}}}_{{-{minus:.digits$}}}$")
}

/// Writes a `tabular`; columns `X_q16`, `X_q50`, `X_q84` become one.
pub fn write(job: Job<'_>, rows: Rows<'_>) -> Result<(), ExchangeError> {
    let find = |name: &str| job.fields.iter().position(|field| field.name == name);
    let mut printed = Vec::new();
    let (mut headings, mut units) = (Vec::new(), Vec::new());
    for (column, field) in job.fields.iter().enumerate() {
        let stem = ["_q16", "_q50", "_q84"].iter().find_map(|suffix| field.name.strip_suffix(suffix));
        let of = |suffix: &str| stem.and_then(|stem| find(&format!("{stem}{suffix}")));
        let mut heading = symbol(&field.name);
        match (stem, of("_q16"), of("_q50"), of("_q84")) {
            (Some(stem), Some(low), Some(median), Some(high)) => {
                if column != median {
                    continue;
                }
                heading = symbol(stem);
                printed.push(Printed::Interval { median, low, high });
            }
            _ => {
                let digits = if field.unit.as_deref() == Some("deg") { 5 } else { 4 };
                printed.push(Printed::Plain { column, digits });
            }
        }
        headings.push(heading);
        units.push(field.unit.as_deref().map_or(String::new(), |unit| format!("[{}]", tex_unit(unit))));
    }
    let (target, mut out) = Target::create(job.path, job.overwrite)?;
    let mut text = format!("% {}\n", job.meta.description.replace(['\n', '\r'], " "));
    for (key, value, _) in &job.meta.pairs {
        text.push_str(&format!("% {key}: {}\n", value.replace(['\n', '\r'], " ")));
    }
    text.push_str("\\providecommand{\\nodata}{\\ldots}\n");
    text.push_str(&format!(
        "\\begin{{tabular}}{{l{}}}\n\\hline\\hline\n",
        "c".repeat(printed.len().max(1) - 1)
    ));
    text.push_str(&format!("{} \\\\\n{} \\\\\n\\hline\n", headings.join(" & "), units.join(" & ")));
    out.write_all(text.as_bytes()).map_err(at(job.path))?;
    rows(&mut |batch| {
        for row in 0..batch.rows {
            let number = |column: usize| match &batch.columns[column] {
                Values::Float(values) => values[row],
                _ => f64::NAN,
            };
            let cells: Vec<String> = printed
                .iter()
                .map(|printed| match *printed {
                    Printed::Interval { median, low, high } => {
                        interval(number(median), number(low), number(high))
                    }
                    Printed::Plain { column, digits } => match &batch.columns[column] {
                        Values::Float(values) if values[row].is_nan() => r"\nodata".to_owned(),
                        Values::Float(values) => format!("${:.digits$}$", values[row]),
                        Values::Int(values) => {
                            values[row].map_or(r"\nodata".to_owned(), |value| value.to_string())
                        }
                        Values::Text(values) => values[row].as_deref().map_or(r"\nodata".to_owned(), escape),
                        Values::Lists { .. } => r"\nodata".to_owned(),
                    },
                })
                .collect();
            out.write_all(format!("{} \\\\\n", cells.join(" & ")).as_bytes()).map_err(at(job.path))?;
        }
        Ok(())
    })?;
    out.write_all(b"\\hline\n\\end{tabular}\n").map_err(at(job.path))?;
    target.commit(out)
}

fn tex_unit(unit: &str) -> String {
    match unit {
        "log(solMass)" => r"$\log M_\odot$".to_owned(),
        "log(solMass/yr)" => r"$\log M_\odot\,{\rm yr}^{-1}$".to_owned(),
        other => escape(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_shows_two_digits_of_its_smaller_side() {
        assert_eq!(interval(10.3123, 10.25, 10.45), "$10.312^{+0.138}_{-0.062}$");
        assert_eq!(interval(1.0, 0.4, 3.0), "$1.00^{+2.00}_{-0.60}$");
        assert_eq!(interval(f64::NAN, 1.0, 2.0), r"\nodata");
    }

    #[test]
    fn texts_cannot_give_commands() {
        assert_eq!(escape("a_b & \\input{x} \u{1b}"), r"a\_b \& \textbackslash{}input\{x\} ?");
    }
}
