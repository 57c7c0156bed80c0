//! `sedflow demo`: the whole way on real galaxies, from nothing but the program.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::bail;

use super::infer::{InferArgs, Keep, MethodArg, RoadArgs, infer_recorded, say};
use super::listen::Terminal;
use super::{Context, Outcome, ingest};
use crate::cli::DEFAULT_CATALOG;
use crate::infer::SHIPPED_NAME;
use crate::store::{RunState, SUMMARY_PARAMETERS, Selection, Store, Summary};

/// The survey of the shipped sample, as its layout names it.
const SAMPLE_SURVEY: &str = "sdss";

#[derive(Debug, clap::Args)]
pub struct DemoArgs {
    /// Catalog to make [default: that of -C, or else sedflow-demo.db]
    #[arg(long)]
    out: Option<PathBuf>,
    /// Draws per galaxy
    #[arg(long, default_value_t = 10_000)]
    draws: u64,
    /// Galaxies to print
    #[arg(long, default_value_t = 10)]
    show: usize,
    /// How answers are found, as in `infer`
    #[arg(long, value_enum, default_value_t = MethodArg::default())]
    method: MethodArg,
}

pub fn run(args: DemoArgs, context: &Context) -> anyhow::Result<Outcome> {
    let out = args.out.clone().unwrap_or_else(|| match context.catalog.as_path() {
        catalog if catalog == Path::new(DEFAULT_CATALOG) => "sedflow-demo.db".into(),
        catalog => catalog.to_owned(),
    });
    let context = Context { catalog: out.clone(), quiet: context.quiet };
    let terminal = Terminal::new(context.quiet, &out);
    let mut store = Store::open_or_create(&out)?;
    if let Some(other) = store.surveys()?.iter().find(|survey| survey.name != SAMPLE_SURVEY) {
        bail!(
            "{} holds survey {}: the demo makes a catalog of its own, in a file that --out names",
            out.display(),
            other.name
        );
    }
    if store.surveys()?.is_empty() {
        drop(store);
        let ingested = ingest::run(ingest::IngestArgs::of_sample(), &context);
        if ingested? == Outcome::Interrupted {
            return Ok(Outcome::Interrupted);
        }
        store = Store::open_or_create(&out)?;
    }
    let infer = InferArgs {
        condition: None,
        draws: args.draws,
        checkpoint: SHIPPED_NAME.into(),
        name: None,
        seed: 0,
        store: Keep::Draws,
        no_samples: false,
        roads: RoadArgs { method: args.method, ..RoadArgs::default() },
    };
    let (tally, set, state) = infer_recorded(&mut store, &infer, &terminal)?;
    if state == RunState::Interrupted {
        eprintln!("stopped; `sedflow demo` goes on where it was");
        return Ok(Outcome::Interrupted);
    }
    table(&store, args.show)?;
    if context.quiet {
        return Ok(Outcome::Done);
    }
    if tally.seconds > 0.0 {
        say(&store, &set, tally)?;
    }
    let Some(first) = examples(&store, 1)?.into_iter().next() else {
        bail!("no galaxy of the sample got a posterior");
    };
    let db = context.catalog.display();
    eprintln!(
        "\nnext:\n  sedflow -C {db} show {id}\n  sedflow -C {db} plot corner {id}\n  sedflow -C {db} plot sed {id}\n  \
         sedflow -C {db} query \"SELECT object_id, log_mstar_surviving_q50 FROM galaxies ORDER BY 2 DESC LIMIT 10\"\n  \
         sedflow ingest YOUR_CATALOG.fits",
        id = first.object_id,
    );
    Ok(Outcome::Done)
}

struct Example {
    object_id: String,
    redshift: f64,
    summary: Vec<Summary>,
}

/// The first galaxies that have a posterior.
fn examples(store: &Store, n: usize) -> anyhow::Result<Vec<Example>> {
    let condition = Some("method IS NOT NULL");
    let ids =
        store.select_galaxies(&Selection { condition, limit: Some(n as u64), ..Selection::default() })?;
    let Some(set) = store.current_posterior_set()? else { return Ok(vec![]) };
    let mut examples = Vec::new();
    for galaxy in store.observed_galaxies(&ids)? {
        if let Some(posterior) = store.posterior(set.id, galaxy.id)? {
            examples.push(Example {
                object_id: galaxy.object_id,
                redshift: galaxy.redshift.unwrap_or(f64::NAN),
                summary: posterior.row.summary,
            });
        }
    }
    Ok(examples)
}

fn table(store: &Store, n: usize) -> anyhow::Result<()> {
    let shown = [
        ("log_mstar_surviving", "log M*/Msun"),
        ("log_sfr_1gyr", "log SFR (1 Gyr)"),
        ("t_age_mw_gyr", "age / Gyr"),
    ];
    let mut out = std::io::stdout().lock();
    write!(out, "{:>10}  {:>8}", "galaxy", "redshift")?;
    for (_, title) in shown {
        write!(out, "  {title:>20}")?;
    }
    writeln!(out)?;
    for example in examples(store, n)? {
        write!(out, "{:>10}  {:>8.4}", example.object_id, example.redshift)?;
        for (name, _) in shown {
            let place = SUMMARY_PARAMETERS.iter().position(|known| *known == name);
            match place.and_then(|i| example.summary.get(i)) {
                Some(s) => {
                    let text = format!("{:.2} +{:.2} -{:.2}", s.q50, s.q84 - s.q50, s.q50 - s.q16);
                    write!(out, "  {text:>20}")?;
                }
                None => write!(out, "  {:>20}", "-")?,
            }
        }
        writeln!(out)?;
    }
    Ok(())
}
