//! `sedflow shard plan --estimate`: hours, files and gigabytes, from rates that a small run measures or the user gives.

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::bail;
use rand::seq::index;
use serde_json::json;

use super::super::infer::{Which, answer_with};
use super::super::listen::Terminal;
use super::super::merge::{Shard, merge};
use super::super::{Context, Outcome, setup};
use super::plan::PlanArgs;
use super::{each_selected, make_folder};
use crate::flow::train::Clock;
use crate::output::grouped;
use crate::rng::Streams;
use crate::shards::{Layout, Rates, ShardOf};
use crate::store::{GalaxyId, Mode, RunSpec, RunState, Store};

#[derive(Debug, Clone, clap::Args)]
pub struct EstimateArgs {
    /// Print what the shards take, in hours, files and gigabytes, and write no plan
    #[arg(long)]
    pub estimate: bool,
    /// Estimate for this many galaxies [default: those selected]
    #[arg(long, value_name = "N", requires = "estimate")]
    galaxies: Option<u64>,
    /// Galaxies that are answered to measure rates
    #[arg(long, value_name = "N", default_value_t = 200, requires = "estimate")]
    measure: usize,
    /// Galaxies per core and second, instead of measuring
    #[arg(long, value_name = "PER_S", requires_all = ["estimate", "bytes", "merge_rate"])]
    rate: Option<f64>,
    /// Bytes kept of a galaxy, with --rate
    #[arg(long, value_name = "BYTES", requires = "rate")]
    bytes: Option<f64>,
    /// Galaxies merged per second, with --rate
    #[arg(long, value_name = "PER_S", requires = "rate")]
    merge_rate: Option<f64>,
    /// Cores of one shard
    #[arg(long, value_name = "N", default_value_t = 4, requires = "estimate")]
    cores: u64,
    /// Shards at work at once [default: all]
    #[arg(long, value_name = "N", requires = "estimate")]
    at_once: Option<u64>,
    /// As JSON
    #[arg(long, requires = "estimate")]
    json: bool,
}

/// Rates, and the small run that they are from.
struct Measured {
    rates: Rates,
    galaxies: usize,
    threads: usize,
}

pub fn estimate(args: &PlanArgs, context: &Context) -> anyhow::Result<Outcome> {
    let how = &args.estimate;
    let given = given(how)?;
    let (selected, measured) = match (given, how.galaxies) {
        (Some(_), Some(_)) => (0, None),
        (given, _) => {
            let store = context.open(Mode::Read)?;
            let mut ids = Vec::new();
            each_selected(&store, args.infer.condition.as_deref(), &mut |id, _| ids.push(id))?;
            if ids.is_empty() {
                bail!("no galaxy is selected: ingest some first, or change --where");
            }
            let measured = match given {
                Some(_) => None,
                None => Some(measure(args, &store, &ids, context)?),
            };
            (ids.len() as u64, measured)
        }
    };
    let rates = match (given, &measured) {
        (Some(rates), _) => rates,
        (None, Some(measured)) => measured.rates,
        (None, None) => bail!("no rates"),
    };
    let shards = u64::from(args.shards);
    let layout = Layout {
        galaxies: how.galaxies.unwrap_or(selected),
        shards,
        cores: how.cores,
        at_once: how.at_once.unwrap_or(shards),
    };
    if layout.cores == 0 || layout.at_once == 0 || layout.galaxies == 0 {
        bail!("--cores, --at-once and --galaxies are at least 1");
    }
    let result = layout.estimate(&rates);
    let mut out = std::io::stdout().lock();
    if how.json {
        let from = measured.as_ref().map(|m| json!({ "galaxies": m.galaxies, "threads": m.threads }));
        let value = json!({ "layout": layout, "rates": rates, "measured_on": from, "estimate": result });
        writeln!(out, "{value}")?;
        return Ok(Outcome::Done);
    }
    let whole = |x: f64| grouped(x.round() as u64);
    let rows = [
        ("galaxies", grouped(layout.galaxies)),
        ("files", format!("{} of {} galaxies", grouped(result.files), whole(result.galaxies_per_shard))),
        ("core hours", figures(result.core_hours)),
        ("hours per shard", format!("{} on {} cores", figures(result.hours_per_shard), layout.cores)),
        (
            "hours in all",
            format!("{}, {} shards at once", figures(result.hours), grouped(layout.at_once.min(shards))),
        ),
        ("hours to merge", figures(result.merge_hours)),
        ("GB per shard", figures(result.gb_per_shard)),
        ("GB of all shards", figures(result.gb_shards)),
        ("GB merged", figures(result.gb_merged)),
    ];
    for (name, value) in rows {
        writeln!(out, "{name:<17} {value}")?;
    }
    let source = match measured {
        Some(m) => format!("measured on {} galaxies and {} threads", m.galaxies, m.threads),
        None => "as given".to_owned(),
    };
    writeln!(
        out,
        "rates, {source}: {} galaxies per core and second, {} s to begin, {} bytes per galaxy, {} MB per shard beside, {} \
         galaxies merged per second",
        figures(1.0 / rates.core_s_per_galaxy),
        figures(rates.start_s),
        whole(rates.answer_bytes),
        figures(rates.shard_bytes * 1e-6),
        whole(rates.merged_per_s)
    )?;
    Ok(Outcome::Done)
}

/// Three figures of a number.
fn figures(x: f64) -> String {
    match x.abs() {
        0.0 => "0".to_owned(),
        a if a >= 100.0 => grouped(x.round() as u64),
        a if a >= 10.0 => format!("{x:.1}"),
        a if a >= 0.01 => format!("{x:.2}"),
        _ => format!("{x:.1e}"),
    }
}

/// Rates as the user gave them; beginning costs nothing then, and neither does what a shard holds beside.
fn given(how: &EstimateArgs) -> anyhow::Result<Option<Rates>> {
    let (Some(rate), Some(bytes), Some(merge_rate)) = (how.rate, how.bytes, how.merge_rate) else {
        return Ok(None);
    };
    for (name, value) in [("--rate", rate), ("--bytes", bytes), ("--merge-rate", merge_rate)] {
        if !(value > 0.0 && value.is_finite()) {
            bail!("{name} is {value}, expected a number above 0");
        }
    }
    Ok(Some(Rates {
        core_s_per_galaxy: 1.0 / rate,
        start_s: 0.0,
        answer_bytes: bytes,
        input_bytes: 0.0,
        shard_bytes: 0.0,
        merged_per_s: merge_rate,
    }))
}

/// A folder for the small run, gone with it.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> anyhow::Result<Self> {
        let folder = std::env::temp_dir().join(format!("sedflow-estimate-{}", std::process::id()));
        make_folder(&folder)?;
        Ok(Self(folder))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is left to whoever tidies the folder for temporary files.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Answers a random part of the galaxies as a shard, and merges it, in files that are thrown away.
fn measure(args: &PlanArgs, main: &Store, ids: &[GalaxyId], context: &Context) -> anyhow::Result<Measured> {
    let n = args.estimate.measure.clamp(1, ids.len());
    let mut chosen = index::sample(&mut Streams::new(0, "shard estimate").at(0), ids.len(), n).into_vec();
    chosen.sort_unstable();
    let few: Vec<GalaxyId> = chosen.into_iter().map(|place| ids[place]).collect();
    let scratch = Scratch::new()?;
    let terminal = Terminal::new(context.quiet, &context.catalog);
    let infer = &args.infer;
    let job = infer.job(Which::Shard(None, ShardOf { index: 1, of: 1 }))?;
    let config = infer.config(&job);
    let spec = RunSpec { command: "infer", config: &config, seed: Some(infer.seed), resumes: None };
    let (bytes, label) = setup::checkpoint_bytes(Some(main), &infer.checkpoint)?;

    let begun = Instant::now();
    let path = scratch.0.join("shard.db");
    let mut store = Store::create(&path)?;
    let (core_s, set, start_s, bare, with_galaxies) =
        store.recorded(&spec, |store, run| -> anyhow::Result<_> {
            let empty = store.size_bytes()?;
            store.take_galaxies(run, main, &few, false)?;
            let input = store.size_bytes()?.saturating_sub(empty);
            let loaded = setup::carry_checkpoint(store, run, main, bytes.clone(), &label)?;
            let with_galaxies = store.size_bytes()?;
            let start_s = begun.elapsed().as_secs_f64();
            // Processor time, so that a busy machine changes nothing.
            let begun = Clock::Processor.now();
            let (_, set, state) = answer_with(store, run, &job, &loaded, &terminal)?;
            if state == RunState::Interrupted {
                bail!("stopped");
            }
            let core_s = Clock::Processor.now() - begun;
            Ok(((core_s, set, start_s, with_galaxies - input, with_galaxies), RunState::Done))
        })?;
    let with_answers = store.size_bytes()?;
    drop(store);

    let mut whole = Store::create(&scratch.0.join("whole.db"))?;
    let shard = Shard { path: path.clone(), store: Store::open(&path, Mode::Read)?, set };
    let merging = RunSpec { command: "merge", config: &config, seed: None, resumes: None };
    let merge_s = whole.recorded(&merging, |whole, run| -> anyhow::Result<_> {
        whole.take_galaxies(run, main, &few, true)?;
        setup::carry_checkpoint(whole, run, main, bytes, &label)?;
        let begun = Instant::now();
        let silent = Context { catalog: PathBuf::new(), quiet: true };
        merge(whole, run, &[shard], None, false, &silent)?;
        Ok((begun.elapsed().as_secs_f64(), RunState::Done))
    })?;
    let n_few = few.len() as f64;
    Ok(Measured {
        rates: Rates {
            core_s_per_galaxy: core_s / n_few,
            start_s,
            answer_bytes: with_answers.saturating_sub(with_galaxies) as f64 / n_few,
            input_bytes: (with_galaxies - bare) as f64 / n_few,
            shard_bytes: bare as f64,
            merged_per_s: n_few / merge_s.max(1e-9),
        },
        galaxies: few.len(),
        threads: rayon::current_num_threads(),
    })
}
