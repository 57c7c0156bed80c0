//! `sedflow query`: one reading SQL statement, its rows streamed.

use std::io::{self, BufWriter, Read};

use anyhow::Context as _;
use clap::Args;

use super::{Context, Outcome};
use crate::output::{Format, Writer};
use crate::store::{Mode, QueryParam};

#[derive(Debug, Args)]
pub struct QueryArgs {
    /// One SELECT, or `-` to read it from standard input. `sedflow query "SELECT * FROM dictionary"` lists
    /// what there is
    sql: String,
    /// Value of a `:name` in the query; a number where it reads as one
    #[arg(long = "param", short = 'p', value_name = "NAME=VALUE", value_parser = parse_param)]
    params: Vec<QueryParam>,
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: Format,
}

pub fn run(args: QueryArgs, context: &Context) -> anyhow::Result<Outcome> {
    let mut sql = args.sql;
    if sql == "-" {
        sql.clear();
        io::stdin().read_to_string(&mut sql).context("cannot read the query from standard input")?;
    }
    let store = context.open(Mode::Read)?;
    let mut writer = Writer::new(BufWriter::new(io::stdout().lock()), args.format);
    store.query(&sql, &args.params, &mut writer)?;
    writer.finish()?;
    Ok(Outcome::Done)
}

fn parse_param(text: &str) -> Result<QueryParam, String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => {
            let name = name.trim_start_matches([':', '@', '$']).to_owned();
            Ok(QueryParam { name, value: value.to_owned() })
        }
        _ => Err("expected name=value".to_owned()),
    }
}
