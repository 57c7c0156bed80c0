//! `sedflow check`: say whether a catalog file is what it should be, and how to mend what is not.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::bail;
use clap::Args;

use super::{Context, Outcome};
use crate::output::{Cell, Format, for_eyes, print_rows};
use crate::store::{Severity, check_file};

#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The file to examine [default: the catalog of -C]
    file: Option<PathBuf>,
    /// Print the findings as rows: severity, subject, finding, mend
    #[arg(long, value_name = "FORMAT")]
    format: Option<Format>,
}

pub fn run(args: CheckArgs, context: &Context) -> anyhow::Result<Outcome> {
    let path = args.file.as_ref().unwrap_or(&context.catalog);
    let findings = check_file(path)?;
    let word = |severity| match severity {
        Severity::Ok => "ok",
        Severity::Note => "note",
        Severity::Error => "ERROR",
    };
    let mut out = io::stdout().lock();
    match args.format {
        Some(format) => {
            let rows: Vec<Vec<Cell<'_>>> = findings
                .iter()
                .map(|f| {
                    let mend = Cell::text_or_null(f.mend.as_deref());
                    vec![Cell::text(word(f.severity)), Cell::text(f.subject), Cell::text(&f.text), mend]
                })
                .collect();
            print_rows(&mut out, format, &["severity", "subject", "finding", "mend"], &rows)?;
        }
        None => {
            for f in &findings {
                writeln!(out, "{:<5}  {:<12}  {}", word(f.severity), f.subject, for_eyes(f.text.as_bytes()))?;
                if let Some(mend) = &f.mend {
                    writeln!(out, "{:21}mend: {}", "", for_eyes(mend.as_bytes()))?;
                }
            }
        }
    }
    match findings.iter().filter(|f| f.severity == Severity::Error).count() {
        0 => Ok(Outcome::Done),
        1 => bail!("{} has an error", path.display()),
        n => bail!("{} has {n} errors", path.display()),
    }
}
