//! `sedflow bench export`: summaries and draws of made-up posteriors to files, and the memory that takes.

use std::time::Instant;

use anyhow::Context as _;
use clap::Args;
use serde_json::json;

use super::report::Report;
use super::store::Folder;
use crate::commands::{Context, Outcome, setup};
use crate::exchange::columns::{Columns, FluxUnit, What};
use crate::exchange::source::Source;
use crate::exchange::{self, Job, Meta};
use crate::galaxy::{BandPhot, GalaxyRecord, SkyPosition};
use crate::hash::ContentHash;
use crate::infer::{packing, summarise};
use crate::prior::Prior;
use crate::progress::Silent;
use crate::rng::Streams;
use crate::store::{
    BandSpec, GalaxyId, IngestSpec, Method, PosteriorRow, PosteriorSet, PosteriorSetSpec, RunSpec, RunState,
    SUMMARY_PARAMETERS, Selection, Store, Summary, SurveySpec,
};

#[derive(Debug, Args)]
pub struct ExportArgs {
    /// Galaxies whose summaries are exported
    #[arg(long, default_value_t = 100_000)]
    galaxies: usize,
    /// Galaxies whose draws are exported
    #[arg(long, default_value_t = 500)]
    with_draws: usize,
    /// Draws per galaxy
    #[arg(long, default_value_t = 10_000)]
    draws: usize,
}

pub fn run(args: ExportArgs, context: &Context) -> anyhow::Result<Outcome> {
    let folder = Folder::new()?;
    let path = folder.0.join("bench.db");
    let set = fill(&path, &args).context("making the catalog")?;
    let before = peak_mb();
    let store = Store::open(&path, crate::store::Mode::Read)?;
    let columns = Columns::new(&store, Some(&set), FluxUnit::Njy)?;
    let mut report =
        Report::new(&["what", "format", "galaxies", "s", "MB", "MB/s", "MB/s and core", "peak MB"]);
    let cores = rayon::current_num_threads() as f64;
    for (what, name) in [(What::Summaries, "summaries"), (What::Draws, "draws")] {
        for format in ["fits", "parquet"] {
            let limit = if what == What::Draws { args.with_draws } else { args.galaxies };
            let selection =
                Selection { set: Some(set.id), limit: Some(limit as u64), ..Selection::default() };
            let started = Instant::now();
            let source = Source::new(&store, selection, columns.of(&[what]), None)?;
            let mut fields = source.fields();
            let meta = Meta { name: "bench".to_owned(), ..Meta::default() };
            let file = folder.0.join(format!("{name}.{format}"));
            let rows: exchange::Rows<'_> = &mut |take| source.stream(&Silent, take);
            if format == "fits" {
                exchange::fits::adapt(&mut fields);
                exchange::fits::write(
                    Job { path: &file, overwrite: true, fields: &fields, meta: &meta },
                    rows,
                )?;
            } else {
                exchange::parquet::adapt(&mut fields);
                exchange::parquet::write(
                    Job { path: &file, overwrite: true, fields: &fields, meta: &meta },
                    rows,
                )?;
            }
            let seconds = started.elapsed().as_secs_f64();
            // What the values take as they are, whatever the format makes of them.
            let mb = match what {
                What::Draws => (limit * args.draws * SUMMARY_PARAMETERS.len() * 4) as f64 / 1e6,
                _ => (limit * fields.len() * 8) as f64 / 1e6,
            };
            let peak = peak_mb();
            report.row(
                json!({
                    "bench": "export", "what": name, "format": format, "galaxies": limit, "seconds": seconds,
                    "mb": mb, "mb_per_s": mb / seconds, "mb_per_s_core": mb / seconds / cores, "peak_mb": peak,
                    "peak_mb_before": before, "cores": cores,
                }),
                vec![
                    name.to_owned(),
                    format.to_owned(),
                    limit.to_string(),
                    format!("{seconds:.2}"),
                    format!("{mb:.0}"),
                    format!("{:.0}", mb / seconds),
                    format!("{:.0}", mb / seconds / cores),
                    peak.map_or("-".to_owned(), |peak| format!("{peak:.0}")),
                ],
            );
            std::fs::remove_file(&file)?;
        }
    }
    report.print(context.quiet)?;
    Ok(Outcome::Done)
}

/// Most memory that the process ever held, where the system tells.
fn peak_mb() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches("kB").trim().parse::<f64>().ok()? / 1024.0)
}

/// A catalog of made-up galaxies with summaries, the first of them with draws.
fn fill(path: &std::path::Path, args: &ExportArgs) -> anyhow::Result<PosteriorSet> {
    let mut store = Store::create(path)?;
    let config = json!({ "galaxies": args.galaxies });
    let spec = RunSpec { command: "bench", config: &config, seed: Some(0), resumes: None };
    store.recorded(&spec, |store, run| -> anyhow::Result<_> {
        let band = BandSpec { name: "r".to_owned(), filter: None, ucd: None };
        let band_set = store.put_band_set(run, "r", &[band])?;
        let survey = SurveySpec { name: "made-up", band_set, description: None, reference: None };
        let survey = store.put_survey(run, &survey)?;
        let ingest = IngestSpec {
            survey,
            survey_name: "made-up",
            file_name: "none",
            file_hash: ContentHash::of_bytes(b"bench"),
            n_bytes: 0,
            format: "fits",
            layout: "bench",
            config: &json!({}),
            extinction: "none",
            extra: &[],
        };
        let ingest = store.begin_ingest(run, &ingest)?;
        for first in (0..args.galaxies).step_by(20_000) {
            let rows = first..(first + 20_000).min(args.galaxies);
            let next = rows.end as u64;
            let galaxies: Vec<GalaxyRecord> = rows.map(galaxy).collect();
            store.commit_ingest_batch(ingest.id, next, &galaxies, &[], &[])?;
        }
        store.finish_ingest(ingest.id)?;
        let model = crate::sed::SedModel::new(super::super::resolve::grid(None, None)?.grid);
        let sed_model = setup::register_model(store, run, &model)?;
        let prior = setup::register_prior(store, run, "default", &Prior::default())?;
        let spec = PosteriorSetSpec {
            name: "made-up",
            checkpoint: None,
            sed_model,
            prior,
            config: &json!({}),
            seed: 0,
            n_draws: args.draws as u64,
            parameters: &SUMMARY_PARAMETERS,
        };
        let set = store.begin_posterior_set(run, &spec)?;
        for first in (0..args.galaxies).step_by(100) {
            let rows: anyhow::Result<Vec<PosteriorRow>> =
                (first..(first + 100).min(args.galaxies)).map(|i| posterior(i, args)).collect();
            store.commit_posteriors(set.id, &rows?)?;
        }
        store.finish_posterior_set(set.id)?;
        Ok((store.posterior_set(set.id)?, RunState::Done))
    })
}

fn galaxy(row: usize) -> GalaxyRecord {
    let x = row as f64;
    GalaxyRecord {
        object_id: format!("{}", 1_000_000 + row),
        source_row: row as u64,
        position: Some(SkyPosition {
            ra_deg: (x * 0.618_034 * 360.0) % 360.0,
            dec_deg: (x * 0.37) % 120.0 - 60.0,
        }),
        redshift: Some(0.01 + 0.19 * (x * 0.754_877).fract()),
        redshift_err: Some(1e-5),
        photometry: vec![BandPhot { flux_nmgy: Some(10.0 + x), ivar_nmgy: Some(4.0), flags: 0 }],
        extra: vec![],
        cuts_failed: 0,
    }
}

/// Normal draws about a place of the galaxy's own; packed for the first galaxies.
fn posterior(i: usize, args: &ExportArgs) -> anyhow::Result<PosteriorRow> {
    use rand::RngExt;
    use rand_distr::{Distribution, StandardNormal};
    let streams = Streams::new(7, "bench export");
    let mut rng = streams.at(i as u64);
    let with_draws = i < args.with_draws;
    let n = if with_draws { args.draws } else { 20 };
    let columns: Vec<Vec<f32>> = SUMMARY_PARAMETERS
        .iter()
        .map(|_| {
            let (centre, width) = (rng.random::<f64>(), 0.05 + 0.2 * rng.random::<f64>());
            (0..n)
                .map(|_| (centre + width * Distribution::<f64>::sample(&StandardNormal, &mut rng)) as f32)
                .collect()
        })
        .collect();
    let mut scratch = Vec::new();
    let summary = columns
        .iter()
        .map(|column| {
            let m = summarise(column, 0, None, &mut scratch);
            let [q025, q16, q50, q84, q975] = m.quantiles;
            Summary { mean: m.mean, std: m.sd, q025, q16, q50, q84, q975, map: m.best, edge_frac: 0.0 }
        })
        .collect();
    let mut row = PosteriorRow {
        galaxy: GalaxyId(i as i64 + 1),
        method: Some(Method::Npe),
        n_draws: args.draws as u64,
        n_bands: 1,
        summary,
        ..PosteriorRow::default()
    };
    if with_draws {
        let named: Vec<(&str, &[f32])> = SUMMARY_PARAMETERS
            .iter()
            .zip(&columns)
            .map(|(name, column)| (*name, column.as_slice()))
            .collect();
        let packing = crate::codec::EncodeOptions { simplex: None, ..packing(crate::codec::STEPS_PER_WIDTH) };
        let packed = crate::codec::encode(&named, &packing)?;
        row.codec = Some(crate::codec::CODEC.to_owned());
        row.codec_ks = Some(packed.achieved.ks);
        row.draws_hash = Some(packed.hash);
        row.samples = Some(packed.bytes);
    }
    Ok(row)
}
