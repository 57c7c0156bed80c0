//! What a comparison of two posterior sets says: a text, JSON, rows, and a figure.

use std::io::{self, BufWriter, Write};

use serde_json::{Value, json};

use super::{DiffArgs, Row, Side, Status};
use crate::diff::{Change, ParameterChange, worst};
use crate::output::{Cell, Format, RowSink, Writer, for_eyes, print_rows};
use crate::plot::shifts::{ParameterShift, shifts};
use crate::store::SUMMARY_PARAMETERS;

/// Everything that was found out about two sets.
pub(super) struct Report<'a> {
    pub a: &'a Side,
    pub b: &'a Side,
    pub args: &'a DiffArgs,
    /// What both sets differ in as a whole: (what, a, b).
    pub causes: Vec<(String, String, String)>,
    pub rows: Vec<Row>,
    pub parameters: Vec<ParameterChange>,
}

impl Report<'_> {
    fn count(&self, of: impl Fn(&Row) -> bool) -> u64 {
        self.rows.iter().filter(|row| of(row)).count() as u64
    }

    fn name(&self, row: &Row) -> (&str, &str) {
        match row.places {
            (Some(i), _) => self.a.key(&self.a.members[i], false),
            (_, Some(j)) => self.b.key(&self.b.members[j], false),
            _ => ("", ""),
        }
    }

    /// Why a galaxy's posterior differs, as far as it can be told.
    fn why(&self, row: &Row) -> String {
        let mut causes: Vec<&str> = Vec::new();
        let own =
            [(row.own.photometry, "photometry"), (row.own.redshift, "redshift"), (row.own.method, "method")];
        causes.extend(own.iter().filter(|(differs, _)| *differs).map(|(_, cause)| *cause));
        match row.status {
            Status::Same => return String::new(),
            Status::Added | Status::Removed => return "selection".to_owned(),
            _ => {}
        }
        // what only names the selection or the packing moves no posterior
        let moving = |what: &str| {
            !matches!(what, "where" | "of_set" | "codec" | "samples" | "recipe" | "steps_per_width")
        };
        causes.extend(self.causes.iter().map(|(what, ..)| what.as_str()).filter(|what| moving(what)));
        if causes.is_empty() { "not known".to_owned() } else { causes.join(", ") }
    }

    fn reason(&self, row: &Row) -> String {
        let of = |side: &Side, place: Option<usize>| {
            place
                .and_then(|place| side.members[place].reason.as_deref().map(str::to_owned))
                .unwrap_or_default()
        };
        match row.status {
            Status::Gained => of(self.a, row.places.0),
            Status::Lost => of(self.b, row.places.1),
            Status::OtherReason => format!("{} -> {}", of(self.a, row.places.0), of(self.b, row.places.1)),
            _ => String::new(),
        }
    }

    /// The most changed, first the most.
    fn top(&self) -> Vec<(&Row, usize, Change)> {
        let mut changed: Vec<(&Row, usize, Change)> = self
            .rows
            .iter()
            .filter(|row| row.status == Status::Changed)
            .filter_map(|row| {
                worst(row.changes.as_ref()?.as_slice()).map(|(place, change)| (row, place, change))
            })
            .collect();
        changed.sort_by(|a, b| b.2.distance_sigma.total_cmp(&a.2.distance_sigma));
        changed.truncate(self.args.top);
        changed
    }

    pub fn plot(&self) -> anyhow::Result<crate::plot::Canvas> {
        let rows: Vec<ParameterShift<'_>> = self
            .parameters
            .iter()
            .map(|change| ParameterShift {
                label: &change.name,
                shift: spread(&change.shift_sigma),
                distance: spread(&change.distance_sigma),
            })
            .collect();
        let n = self.count(|row| row.changes.is_some());
        let title = format!("{} → {}: {n} galaxies", self.a.facts.name, self.b.facts.name);
        Ok(shifts(&rows, &title, self.args.threshold)?)
    }

    /// For people.
    pub fn text(&self, out: &mut impl Write) -> anyhow::Result<()> {
        for (what, side) in [("from", self.a), ("to", self.b)] {
            let facts = &side.facts;
            writeln!(
                out,
                "{what:<5} {}: {} posteriors, {} reasons, begun {}",
                for_eyes(facts.name.as_bytes()),
                facts.n_answers,
                facts.n_reasons,
                facts.begun_utc
            )?;
        }
        writeln!(out, "\nWhat the sets were made with differently")?;
        if self.causes.is_empty() {
            writeln!(out, "nothing")?;
        } else {
            let rows: Vec<Vec<Cell<'_>>> = self
                .causes
                .iter()
                .map(|(what, a, b)| vec![Cell::text(what), Cell::text(a), Cell::text(b)])
                .collect();
            print_rows(&mut *out, Format::Table, &["what", "from", "to"], &rows)?;
        }
        writeln!(out, "\nGalaxies")?;
        let counts = self.counts();
        let rows: Vec<Vec<Cell<'_>>> =
            counts.iter().map(|(status, n)| vec![Cell::text(status), Cell::Int(*n as i64)]).collect();
        print_rows(&mut *out, Format::Table, &["posterior", "galaxies"], &rows)?;
        let own = [
            ("photometry", self.count(|row| row.own.photometry)),
            ("redshift", self.count(|row| row.own.redshift)),
            ("method", self.count(|row| row.own.method)),
        ];
        for (what, n) in own.iter().filter(|(_, n)| *n > 0) {
            writeln!(out, "{n} of those in both have another {what}")?;
        }
        let n = self.count(|row| row.changes.is_some());
        let n_draws = self.count(|row| row.from_draws);
        writeln!(
            out,
            "\nParameters of {n} galaxies with both ({n_draws} by their draws, others by summaries)"
        )?;
        let rounded = |value: f32| Cell::Real((f64::from(value) * 1e4).round() / 1e4);
        let rows: Vec<Vec<Cell<'_>>> = self
            .parameters
            .iter()
            .map(|change| {
                vec![
                    Cell::text(&change.name),
                    rounded(change.shift_sigma.q50),
                    rounded(change.shift_sigma.q16),
                    rounded(change.shift_sigma.q84),
                    rounded(change.distance.q50),
                    rounded(change.distance_sigma.q50),
                    rounded(change.distance_sigma.q975),
                    rounded(change.width_ratio.q50),
                    Cell::Int(change.beyond_one_sigma as i64),
                ]
            })
            .collect();
        let columns =
            ["parameter", "shift/sigma", "16%", "84%", "W1", "W1/sigma", "97.5%", "width ratio", "> 1 sigma"];
        print_rows(&mut *out, Format::Table, &columns, &rows)?;
        let top = self.top();
        if top.is_empty() {
            return Ok(());
        }
        writeln!(out, "\nMost changed")?;
        let whys: Vec<String> = top.iter().map(|(row, ..)| self.why(row)).collect();
        let rows: Vec<Vec<Cell<'_>>> = top
            .iter()
            .zip(&whys)
            .map(|((row, parameter, change), why)| {
                let (survey, object_id) = self.name(row);
                vec![
                    Cell::text(survey),
                    Cell::text(object_id),
                    Cell::text(SUMMARY_PARAMETERS[*parameter]),
                    rounded(change.shift_sigma),
                    rounded(change.distance),
                    rounded(change.distance_sigma),
                    Cell::text(why),
                ]
            })
            .collect();
        let columns = ["survey", "object_id", "most in", "shift/sigma", "W1", "W1/sigma", "differs in"];
        print_rows(&mut *out, Format::Table, &columns, &rows)?;
        Ok(out.flush()?)
    }

    fn counts(&self) -> Vec<(&'static str, u64)> {
        let all = Status::ALL.iter().map(|status| (status.word(), self.count(|row| row.status == *status)));
        all.filter(|(_, n)| *n > 0).collect()
    }

    /// For programs.
    pub fn json(&self) -> Value {
        let side = |side: &Side| {
            let facts = &side.facts;
            json!({
                "name": facts.name, "hash": facts.hash.to_string(),
                "content_hash": facts.content.map(|hash| hash.to_string()),
                "posteriors": facts.n_answers, "reasons": facts.n_reasons, "begun_utc": facts.begun_utc,
            })
        };
        let causes: Vec<Value> =
            self.causes.iter().map(|(what, a, b)| json!({"what": what, "from": a, "to": b})).collect();
        let numbers = |s: &crate::diff::Spread| {
            json!({
                "q025": number(s.q025), "q16": number(s.q16), "q50": number(s.q50), "q84": number(s.q84),
                "q975": number(s.q975),
            })
        };
        let parameters: Vec<Value> = self
            .parameters
            .iter()
            .map(|change| {
                json!({
                    "parameter": change.name, "shift_sigma": numbers(&change.shift_sigma),
                    "wasserstein": numbers(&change.distance),
                    "wasserstein_sigma": numbers(&change.distance_sigma),
                    "width_ratio": numbers(&change.width_ratio), "beyond_one_sigma": change.beyond_one_sigma,
                })
            })
            .collect();
        let top: Vec<Value> = self
            .top()
            .iter()
            .map(|(row, parameter, change)| {
                let (survey, object_id) = self.name(row);
                json!({
                    "survey": survey, "object_id": object_id, "parameter": SUMMARY_PARAMETERS[*parameter],
                    "shift_sigma": number(change.shift_sigma), "wasserstein": number(change.distance),
                    "wasserstein_sigma": number(change.distance_sigma), "differs_in": self.why(row),
                })
            })
            .collect();
        let counts: serde_json::Map<String, Value> =
            self.counts().into_iter().map(|(status, n)| (status.to_owned(), n.into())).collect();
        json!({
            "from": side(self.a), "to": side(self.b), "differs": causes, "galaxies": counts,
            "other_photometry": self.count(|row| row.own.photometry),
            "other_redshift": self.count(|row| row.own.redshift),
            "other_method": self.count(|row| row.own.method),
            "threshold_sigma": self.args.threshold,
            "compared": self.count(|row| row.changes.is_some()),
            "compared_by_draws": self.count(|row| row.from_draws),
            "parameters": parameters, "most_changed": top,
        })
    }

    /// One row for every galaxy that is not the same in both.
    pub fn lines(&self, format: Format) -> anyhow::Result<()> {
        let mut writer = Writer::new(BufWriter::new(io::stdout().lock()), format);
        let fixed = ["survey", "object_id", "posterior", "reason", "differs_in", "most_in"];
        let mut columns: Vec<String> = fixed.map(str::to_owned).to_vec();
        for parameter in SUMMARY_PARAMETERS {
            columns.extend(["shift_sigma", "wasserstein"].map(|what| format!("{parameter}_{what}")));
        }
        writer.columns(&columns)?;
        let rows = self.rows.iter().filter(|row| !matches!(row.status, Status::Same | Status::Near));
        for row in rows {
            let ((survey, object_id), why, reason) = (self.name(row), self.why(row), self.reason(row));
            let most = row.changes.as_ref().and_then(|changes| worst(changes.as_slice()));
            let mut cells = vec![
                Cell::text(survey),
                Cell::text(object_id),
                Cell::text(row.status.word()),
                Cell::text_or_null(Some(reason.as_str()).filter(|reason| !reason.is_empty())),
                Cell::text(&why),
                Cell::text_or_null(most.map(|(parameter, _)| SUMMARY_PARAMETERS[parameter])),
            ];
            for parameter in 0..SUMMARY_PARAMETERS.len() {
                let change = row.changes.as_ref().map_or(Change::UNKNOWN, |changes| changes[parameter]);
                let cell = |value: f32| Cell::real_or_null(Some(f64::from(value)).filter(|v| !v.is_nan()));
                cells.extend([cell(change.shift_sigma), cell(change.distance)]);
            }
            writer.row(&cells)?;
        }
        writer.finish()?;
        Ok(())
    }
}

fn number(value: f32) -> Value {
    // JSON knows no infinity
    serde_json::Number::from_f64(f64::from(value)).map_or(Value::Null, Value::Number)
}

fn spread(spread: &crate::diff::Spread) -> [f64; 5] {
    [spread.q025, spread.q16, spread.q50, spread.q84, spread.q975].map(f64::from)
}
