//! `sedflow log`: the runs, newest first.

use std::io;

use clap::Args;

use super::{Context, Outcome};
use crate::output::{Cell, Format, print_rows};
use crate::store::{Mode, Run};

#[derive(Debug, Args)]
pub struct LogArgs {
    /// Only the newest N
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: Format,
}

pub fn run(args: LogArgs, context: &Context) -> anyhow::Result<Outcome> {
    let store = context.open(Mode::Read)?;
    let runs = store.runs()?;
    let n_shown = args.limit.unwrap_or(runs.len()).min(runs.len());
    let lines: Vec<(&Run, String)> = runs[..n_shown].iter().map(|run| (run, typed(&run.arguments))).collect();
    let rows: Vec<Vec<Cell<'_>>> = lines
        .iter()
        .map(|(run, typed)| {
            vec![
                Cell::Int(run.id.0),
                Cell::text(&run.started_utc),
                Cell::real_or_null(run.elapsed_s.map(|s| (s * 1000.0).round() / 1000.0)),
                Cell::text(run.state.as_str()),
                Cell::text(typed),
                Cell::text_or_null(run.message.as_deref()),
            ]
        })
        .collect();
    print_rows(
        io::stdout().lock(),
        args.format,
        &["run", "started", "seconds", "state", "command", "message"],
        &rows,
    )?;
    if n_shown < runs.len() {
        context.remark(&format!("{n_shown} of {} runs; --limit asked for no more", runs.len()));
    }
    Ok(Outcome::Done)
}

/// A command line as a shell would take it.
pub fn typed(arguments: &[String]) -> String {
    let plain = |word: &str| {
        let safe = |c: char| c.is_alphanumeric() || "-_./,:=+@%".contains(c);
        !word.is_empty() && word.chars().all(safe)
    };
    let quoted = |word: &String| {
        if plain(word) { word.clone() } else { format!("'{}'", word.replace('\'', "'\\''")) }
    };
    arguments.iter().map(quoted).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_command_line_can_be_pasted_back() {
        let words = ["infer", "--where", "redshift < 0.05", "it's", ""].map(str::to_owned);
        assert_eq!(super::typed(&words), "infer --where 'redshift < 0.05' 'it'\\''s' ''");
    }
}
