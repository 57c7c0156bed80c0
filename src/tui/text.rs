//! Text for cells of a terminal: made harmless, measured in columns, cut to fit.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::output::{for_eyes, short_real};
use crate::store::ColumnValue;

/// A text without anything that acts on a terminal.
pub fn clean(text: &str) -> String {
    for_eyes(text.as_bytes())
}

/// Columns that a text takes.
pub fn width(text: &str) -> usize {
    text.width()
}

/// The text within `columns`, its end replaced by `…` where it is longer.
pub fn fit(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let mut fitted = String::new();
    let mut used = 0;
    for c in text.chars() {
        let wide = c.width().unwrap_or(0);
        if used + wide + 1 > columns {
            break;
        }
        fitted.push(c);
        used += wide;
    }
    if columns > 0 {
        fitted.push('…');
    }
    fitted
}

/// The text fitted and padded to `columns`.
pub fn pad(text: &str, columns: usize, right: bool) -> String {
    let fitted = fit(text, columns);
    let space = " ".repeat(columns.saturating_sub(fitted.width()));
    if right { space + &fitted } else { fitted + &space }
}

/// A number of so many decimals with a true minus sign; a dash for none.
pub fn number(value: f64, decimals: usize) -> String {
    if value.is_finite() { format!("{value:.decimals$}").replace('-', "−") } else { "–".to_owned() }
}

/// A whole number with spaces between thousands.
pub fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut shown = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            shown.push('\u{202f}');
        }
        shown.push(digit);
    }
    shown.replace('\u{202f}', " ")
}

/// A cell of a list, as its column is usually read.
pub fn cell(column: &str, value: &ColumnValue) -> String {
    match value {
        ColumnValue::Null => "·".to_owned(),
        ColumnValue::Integer(value) => value.to_string(),
        ColumnValue::Text(text) => clean(text),
        ColumnValue::Number(value) => match decimals_for(column) {
            Some(decimals) => number(*value, decimals),
            None => short_real((value * 1e6).round() / 1e6),
        },
    }
}

fn decimals_for(column: &str) -> Option<usize> {
    Some(match column {
        "ra_deg" | "dec_deg" | "redshift" => 5,
        "redshift_err" => 6,
        "ess" => 0,
        "efficiency" | "pareto_k" | "ood_score" | "chi2_best" | "ln_evidence" => 3,
        _ if column.starts_with("mag_") => 2,
        _ if column.starts_with("flux_nmgy_") => 3,
        _ if column.ends_with("_edge_frac") => 2,
        _ if ["_q025", "_q16", "_q50", "_q84", "_q975", "_mean", "_std", "_map"]
            .iter()
            .any(|end| column.ends_with(end)) =>
        {
            3
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_and_padded_by_columns() {
        assert_eq!((fit("星系団", 5), width(&fit("星系団", 5))), ("星系…".to_owned(), 5));
        assert_eq!(
            (fit("abc", 3), fit("abcd", 3), fit("abc", 0)),
            ("abc".into(), "ab…".into(), String::new())
        );
        assert_eq!((pad("星", 4, true), pad("星", 4, false)), ("  星".into(), "星  ".into()));
    }

    #[test]
    fn cells_are_harmless_and_read_as_their_column() {
        let text = ColumnValue::Text("\x1b[2J\u{202e}evil".to_owned());
        assert_eq!(cell("object_id", &text), "\\u{1b}[2J\\u{202e}evil");
        assert_eq!(cell("redshift", &ColumnValue::Number(0.1)), "0.10000");
        assert_eq!(cell("log_mstar_q50", &ColumnValue::Number(-1.23456)), "−1.235");
        assert_eq!(cell("reason", &ColumnValue::Null), "·");
        assert_eq!((thousands(1_234_567), thousands(12)), ("1 234 567".into(), "12".into()));
    }
}
