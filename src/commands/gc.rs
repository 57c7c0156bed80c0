//! `sedflow gc`: remove products, only when told.

use std::io;

use anyhow::bail;
use clap::Args;
use serde_json::json;

use super::{Context, Outcome};
use crate::output::{Cell, Format, print_rows};
use crate::store::{Mode, Product, RunSpec, RunState, Store, Thing};

#[derive(Debug, Args)]
pub struct GcArgs {
    /// Products to remove, such as training-set:3 or ingest:2; each must be referred to by nothing else
    /// [default: all that nothing refers to and nobody named]
    things: Vec<String>,
    /// Remove them; without this only say which
    #[arg(long)]
    yes: bool,
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: Format,
}

pub fn run(args: GcArgs, context: &Context) -> anyhow::Result<Outcome> {
    let mut store = context.open(if args.yes { Mode::Write } else { Mode::Read })?;
    let products = if args.things.is_empty() { store.garbage()? } else { named(&store, &args.things)? };
    let handles: Vec<(String, String)> = products.iter().map(|p| (p.handle(), p.hash.short())).collect();
    let rows: Vec<Vec<Cell<'_>>> = products
        .iter()
        .zip(&handles)
        .map(|(p, (handle, hash))| {
            vec![
                Cell::text(handle),
                Cell::text_or_null(p.name.as_deref()),
                Cell::text(hash),
                Cell::Int(p.run.0),
            ]
        })
        .collect();
    print_rows(io::stdout().lock(), args.format, &["product", "name", "hash", "run"], &rows)?;
    if !args.yes {
        if !products.is_empty() {
            context.remark("nothing was removed; --yes removes these");
        }
        return Ok(Outcome::Done);
    }
    let removed: Vec<&str> = handles.iter().map(|(handle, _)| handle.as_str()).collect();
    let spec = RunSpec { command: "gc", config: &json!({ "removed": removed }), seed: None, resumes: None };
    let removed = store.recorded(&spec, |store, _| -> anyhow::Result<_> {
        Ok((store.remove_products(&products)?, RunState::Done))
    })?;
    context.remark(&format!("removed {} products, {} bytes", removed.n_products, removed.n_bytes));
    Ok(Outcome::Done)
}

/// The products named, each once, referring ones before those they refer to.
fn named(store: &Store, names: &[String]) -> anyhow::Result<Vec<Product>> {
    let mut products: Vec<Product> = Vec::new();
    for name in names {
        match store.find_thing(name)? {
            Thing::Product(product) if !products.contains(&product) => products.push(product),
            Thing::Product(_) => {}
            other => bail!("{} is not a product, so gc cannot remove it", other.handle()),
        }
    }
    products.sort_by_key(|product| (std::cmp::Reverse(product.kind), product.id));
    Ok(products)
}
