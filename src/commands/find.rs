//! `sedflow find`: galaxies by questions about their posteriors, such as `P(log_mstar > 11) > 0.9`.

use std::io::{self, BufWriter};
use std::time::Instant;

use anyhow::bail;
use clap::Args;

use super::draws::Remaker;
use super::galaxies::{default_columns, parse_cone};
use super::plot::posterior_set;
use super::{Context, Outcome};
use crate::expr::{Expr, Literal};
use crate::find::{
    Cells, Evaluator, FindError, Question, Remake, Tally, Vocabulary, asks_of_draws, find, measure,
};
use crate::output::{Cell, Format, RowSink, Writer};
use crate::store::{Candidate, ColumnValue, Cone, GalaxyId, Mode, Selection, Store};

/// Rows printed together.
const CHUNK: usize = 500;

#[derive(Debug, Args)]
pub struct FindArgs {
    /// What to find: conditions on columns of galaxies (`redshift`, `mag_r`, `log_mstar_q50`) and on draws: `P(log_mstar >
    /// 11) > 0.9`, mean(x), sd(x), median(x), quantile(x, p), corr(x, y), hdi_low(x, mass), hdi_high(x, mass)
    question: String,
    /// Posterior set [default: the current one]
    #[arg(long)]
    set: Option<String>,
    /// Circle on the sky, degrees
    #[arg(long, value_name = "RA,DEC,RADIUS", value_parser = parse_cone, allow_hyphen_values = true)]
    cone: Option<Cone>,
    /// At most so many
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Columns to print, separated by commas; also expressions over draws, such as "P(log_mstar > 11)"
    #[arg(long, value_name = "EXPRESSIONS")]
    columns: Option<String>,
    /// Print how many there are, and no rows
    #[arg(long)]
    count: bool,
    /// Print how the question is answered: SQL, its plan, and how many galaxies took unpacking draws
    #[arg(long)]
    explain: bool,
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: Format,
}

pub fn run(args: FindArgs, context: &Context) -> anyhow::Result<Outcome> {
    let store = context.open(Mode::Read)?;
    let set = posterior_set(&store, args.set.as_deref())?;
    let vocabulary = Vocabulary::new(&store, Some(&set))?;
    let question = Question::parse(&args.question, &store, &vocabulary)?;
    let outputs = match &args.columns {
        Some(text) => Outputs::parse(text, &vocabulary)?,
        None => Outputs::plain(default_columns(&store)?),
    };
    let selection = Selection { cone: args.cone, set: Some(set.id), ..Selection::default() };
    let remaker = Remaker::of_set(&store, &set)?;
    let remake = |store: &Store, galaxy: &Candidate| match &remaker {
        Some(remaker) => remaker.samples(store, galaxy),
        None => Ok(None),
    };
    let started = Instant::now();
    if args.explain {
        let tally = find(&store, &question, &selection, Some(&remake), &mut |_| Ok(true))?;
        explain(&store, &question, &selection, &set.name, tally, started)?;
        return Ok(Outcome::Done);
    }
    let stdout = BufWriter::new(io::stdout().lock());
    let mut writer = Writer::new(stdout, args.format);
    if !args.count {
        writer.columns(&outputs.headings).map_err(FindError::Output)?;
    }
    let mut waiting = Vec::new();
    let mut n = 0;
    let tally = find(&store, &question, &selection, Some(&remake), &mut |galaxy| {
        if args.limit.is_some_and(|limit| n >= limit) {
            return Ok(false);
        }
        n += 1;
        if !args.count {
            waiting.push(galaxy);
        }
        if waiting.len() == CHUNK {
            outputs.print(&store, &selection, &remake, &std::mem::take(&mut waiting), &mut writer)?;
        }
        Ok(args.limit.is_none_or(|limit| n < limit))
    })?;
    outputs.print(&store, &selection, &remake, &waiting, &mut writer)?;
    if args.count {
        writer.columns(&["n".to_owned()])?;
        writer.row(&[Cell::Int(n as i64)])?;
    }
    writer.finish()?;
    if tally.without_draws > 0 {
        context.remark(&without_draws(tally.without_draws, &set.name));
    }
    if args.limit == Some(n) {
        context.remark(&format!("stopped at {n} galaxies, as --limit asked"));
    }
    Ok(Outcome::Done)
}

fn without_draws(n: u64, set: &str) -> String {
    format!(
        "{n} galaxies are left out: their summaries do not decide, and set {set} does not store their draws"
    )
}

/// What to print of each galaxy.
struct Outputs {
    headings: Vec<String>,
    evaluator: Evaluator,
}

impl Outputs {
    fn plain(columns: Vec<String>) -> Self {
        Self { evaluator: Evaluator::of_columns(columns.clone()), headings: columns }
    }

    fn parse(text: &str, vocabulary: &Vocabulary) -> anyhow::Result<Self> {
        let parts = split_list(text);
        if parts.iter().any(|part| part.is_empty()) {
            bail!("--columns `{text}` has an empty column");
        }
        if parts == ["all"] {
            return Ok(Self::plain(vocabulary.columns.clone()));
        }
        let expressions: Vec<Expr> =
            parts.iter().map(|part| Expr::parse_with_aggregates(part)).collect::<Result<_, _>>()?;
        let headings = parts.iter().map(|part| (*part).to_owned()).collect();
        Ok(Self { headings, evaluator: Evaluator::new(expressions, vocabulary)? })
    }

    fn print(
        &self,
        store: &Store,
        selection: &Selection<'_>,
        remake: Remake<'_>,
        ids: &[GalaxyId],
        writer: &mut dyn RowSink,
    ) -> Result<(), FindError> {
        if ids.is_empty() {
            return Ok(());
        }
        let selection = Selection { ids: Some(ids), set: selection.set, ..Selection::default() };
        for (_, cells) in measure(store, &self.evaluator, &selection, Some(remake))? {
            writer.row(&as_cells(&cells)).map_err(FindError::Output)?;
        }
        Ok(())
    }
}

fn as_cells(cells: &Cells) -> Vec<Cell<'_>> {
    let cell = |value| match value {
        &ColumnValue::Integer(value) => Cell::Int(value),
        &ColumnValue::Number(value) if !value.is_nan() => Cell::Real(value),
        ColumnValue::Text(text) => Cell::text(text),
        _ => Cell::Null,
    };
    cells.iter().map(cell).collect()
}

/// Parts between commas that stand outside of parentheses and quotes.
fn split_list(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut depth, mut quote) = (Vec::new(), 0, 0_i32, None);
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, '(' | '[') => depth += 1,
            (None, ')' | ']') => depth -= 1,
            (None, ',') if depth <= 0 => {
                parts.push(text[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(text[start..].trim());
    parts
}

fn explain(
    store: &Store,
    question: &Question,
    selection: &Selection<'_>,
    set: &str,
    tally: Tally,
    started: Instant,
) -> anyhow::Result<()> {
    let line = |what: &str, text: &str| println!("{what:<14}{}", crate::output::for_eyes(text.as_bytes()));
    line("set", set);
    for bound in &question.in_sql {
        let values: Vec<String> = bound
            .values
            .iter()
            .map(|value| match value {
                Literal::Number(number) => number.to_string(),
                Literal::Text(text) => format!("'{text}'"),
            })
            .collect();
        line("in SQL", &format!("{} with {}", bound.sql, values.join(", ")));
    }
    for aggregate in question.of_draws.aggregates() {
        line("over draws", aggregate);
    }
    let (columns, parameters) = (&question.of_draws.columns, &question.of_draws.parameters);
    let narrowed = Selection { bound: &question.in_sql, ..*selection };
    for step in store.plan(&narrowed, columns, parameters)? {
        line("plan", &step);
    }
    line("candidates", &tally.candidates.to_string());
    let by_summary = tally.summary_yes + tally.summary_no;
    let split = format!("{by_summary} ({} yes, {} no)", tally.summary_yes, tally.summary_no);
    line("by summary", &split);
    line("by draws", &tally.unpacked.to_string());
    if tally.remade > 0 {
        line("by recipes", &format!("{}, whose draws were made again", tally.remade));
    }
    if tally.without_draws > 0 {
        line("left open", &format!("{}, as their draws are not stored", tally.without_draws));
    }
    line("found", &tally.found.to_string());
    line("time", &format!("{:.3} s", started.elapsed().as_secs_f64()));
    Ok(())
}

/// The galaxies that a condition asking of draws selects; `None` for one that SQL can answer by itself.
pub fn selected_by_draws(
    store: &Store,
    condition: Option<&str>,
    selection: &Selection<'_>,
    context: Option<&Context>,
) -> anyhow::Result<Option<Vec<GalaxyId>>> {
    let Some(condition) = condition.filter(|text| asks_of_draws(text)) else { return Ok(None) };
    let set = match selection.set {
        Some(id) => store.posterior_set(id)?,
        None => posterior_set(store, None)?,
    };
    let question = Question::parse(condition, store, &Vocabulary::new(store, Some(&set))?)?;
    let selection = Selection { condition: None, limit: None, set: Some(set.id), ..*selection };
    let mut ids = Vec::new();
    let remaker = Remaker::of_set(store, &set)?;
    let remake = |store: &Store, galaxy: &Candidate| match &remaker {
        Some(remaker) => remaker.samples(store, galaxy),
        None => Ok(None),
    };
    let tally = find(store, &question, &selection, Some(&remake), &mut |galaxy| {
        ids.push(galaxy);
        Ok(true)
    })?;
    if let Some(context) = context.filter(|_| tally.without_draws > 0) {
        context.remark(&without_draws(tally.without_draws, &set.name));
    }
    Ok(Some(ids))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_splits_at_its_own_commas_only() {
        assert_eq!(split_list("a, quantile(x, 0.5),b"), ["a", "quantile(x, 0.5)", "b"]);
        assert_eq!(split_list("\"a,b\", survey = 'x,y'"), ["\"a,b\"", "survey = 'x,y'"]);
        assert_eq!(split_list("a,"), ["a", ""]);
    }
}
