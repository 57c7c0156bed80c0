//! `sedflow bench ingest`: galaxies per second from a FITS table into a new catalog, and what questions cost.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context as _;
use clap::Args;
use rand::RngExt;
use serde_json::json;

use super::report::{Report, median};
use crate::commands::{Context, Outcome};
use crate::fits::{Cells, ColumnDef, FitsWriter, Kind};
use crate::ingest::plan::Plan;
use crate::ingest::{self, Job, Source, layouts};
use crate::progress::Silent;
use crate::rng::Streams;
use crate::store::{Cone, Mode, RunSpec, RunState, Selection, Store};
use crate::tables::{self, ReadOptions};

#[derive(Debug, Args)]
pub struct IngestArgs {
    /// Galaxies of the table
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..))]
    galaxies: u64,
    /// Repetitions, each into a new catalog
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..))]
    repeat: u64,
    /// Only write the table, for `sedflow ingest` to be timed from outside
    #[arg(long, value_name = "FILE.fits")]
    write: Option<PathBuf>,
}

/// Rows written at a time.
const ROWS: u64 = 50_000;
/// Rows committed at a time, as `sedflow ingest` does.
const BATCH: usize = 20_000;
/// Times each question is asked.
const ASKED: usize = 21;

pub fn run(args: IngestArgs, context: &Context) -> anyhow::Result<Outcome> {
    if let Some(path) = &args.write {
        write_table(path, args.galaxies).with_context(|| format!("cannot write {}", path.display()))?;
        context.remark(&format!("wrote {} galaxies to {}", args.galaxies, path.display()));
        return Ok(Outcome::Done);
    }
    let folder = Folder::new()?;
    let table = folder.0.join("galaxies.fits");
    write_table(&table, args.galaxies)?;
    let catalog = folder.0.join("catalog.db");
    let mut report = Report::new(&["what", "rows", "median", "least", "galaxies/s"]);
    let mut seconds = Vec::new();
    for _ in 0..args.repeat {
        // What a catalog leaves beside itself is gone with its last connection.
        let _ = std::fs::remove_file(&catalog);
        let started = Instant::now();
        fill(&catalog, &table)?;
        seconds.push(started.elapsed().as_secs_f64());
    }
    let least = seconds.iter().copied().fold(f64::INFINITY, f64::min);
    let s = median(&mut seconds);
    let per_s = args.galaxies as f64 / s;
    let file_bytes = std::fs::metadata(&catalog)?.len();
    report.row(
        json!({
            "bench": "ingest", "what": "ingest, 5 bands", "galaxies": args.galaxies, "seconds": s,
            "seconds_least": least, "galaxies_per_s": per_s, "file_bytes": file_bytes, "peak_rss_bytes": peak_rss(),
        }),
        vec![
            "ingest, 5 bands".into(),
            args.galaxies.to_string(),
            format!("{s:.2} s"),
            format!("{least:.2} s"),
            format!("{per_s:.0}"),
        ],
    );
    ask(&mut report, &catalog)?;
    report.print(context.quiet)?;
    Ok(Outcome::Done)
}

/// A folder for temporary files, removed with all in it.
struct Folder(PathBuf);

impl Folder {
    fn new() -> anyhow::Result<Self> {
        let path = std::env::temp_dir().join(format!("sedflow-bench-{}", std::process::id()));
        std::fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Left behind it would only take space.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Galaxies all over the sky in the layout `kcorrect-sdss`, redshifts of 0.003 to 0.2.
fn write_table(path: &Path, galaxies: u64) -> anyhow::Result<()> {
    let vector = |name: &str| ColumnDef::new(name, Kind::F32).vector(5, &[]);
    let columns = vec![
        ColumnDef::new("OBJID", Kind::I64),
        ColumnDef::new("RA", Kind::F64).unit("deg"),
        ColumnDef::new("DEC", Kind::F64).unit("deg"),
        ColumnDef::new("Z", Kind::F32),
        vector("MODELFLUX"),
        vector("MODELFLUX_IVAR"),
        vector("EXTINCTION"),
    ];
    let mut file = FitsWriter::create(path, &[])?;
    let mut table = file.table("GALAXIES", columns, &[])?;
    let streams = Streams::new(1, "bench ingest");
    for first in (0..galaxies).step_by(ROWS as usize) {
        let rows = ROWS.min(galaxies - first) as usize;
        let mut rng = streams.at(first);
        let mut uniform = |from: f64, to: f64| from + (to - from) * rng.random::<f64>();
        let ids: Vec<i64> = (0..rows as i64).map(|i| 1_237_648_720_000_000_000 + first as i64 + i).collect();
        let ra: Vec<f64> = (0..rows).map(|_| uniform(0.0, 360.0)).collect();
        let dec: Vec<f64> = (0..rows).map(|_| uniform(-1.0, 1.0).asin().to_degrees()).collect();
        let zred: Vec<f32> = (0..rows).map(|_| uniform(0.003, 0.1999) as f32).collect();
        let flux: Vec<f32> = (0..5 * rows).map(|_| 10f64.powf(uniform(0.5, 2.5)) as f32).collect();
        let ivar: Vec<f32> = (0..5 * rows).map(|_| uniform(0.5, 5.0) as f32).collect();
        let extinction = [0.20, 0.15, 0.10, 0.08, 0.06f32].repeat(rows);
        table.write(
            rows,
            &[
                Cells::I64(&ids),
                Cells::F64(&ra),
                Cells::F64(&dec),
                Cells::F32(&zred),
                Cells::F32(&flux),
                Cells::F32(&ivar),
                Cells::F32(&extinction),
            ],
        )?;
    }
    table.finish()?;
    Ok(file.finish()?)
}

/// What `sedflow init` and `sedflow ingest` do.
fn fill(catalog: &Path, path: &Path) -> anyhow::Result<()> {
    let mut table = tables::open(path, &ReadOptions::default())?;
    let map = layouts::detect(table.columns())?.context("no layout fits the table")?;
    let plan = Plan::new(&map, table.columns())?;
    let config = ingest::config(&plan, table.as_ref(), &ReadOptions::default());
    let source = Source::new(path, "galaxies.fits")?;
    let job = Job { source: &source, plan: &plan, config: &config, batch_rows: BATCH, show: 0 };
    let spec = RunSpec { command: "ingest", config: &config, seed: None, resumes: None };
    Store::create(catalog)?.recorded(&spec, |store, run| -> anyhow::Result<_> {
        ingest::ingest(store, run, &job, table.as_mut(), &Silent)?;
        Ok(((), RunState::Done))
    })
}

/// Times questions to the catalog.
fn ask(report: &mut Report, catalog: &Path) -> anyhow::Result<()> {
    let store = Store::open(catalog, Mode::Read)?;
    let cone = |radius_deg| Some(Cone { ra_deg: 187.7, dec_deg: 12.4, radius_deg });
    let condition = |condition| Selection { condition: Some(condition), ..Selection::default() };
    let questions = [
        ("cone of 0.5 deg", Selection { cone: cone(0.5), ..Selection::default() }),
        ("cone of 2 deg", Selection { cone: cone(2.0), ..Selection::default() }),
        ("redshift BETWEEN 0.1 AND 0.1001", condition("redshift BETWEEN 0.1 AND 0.1001")),
    ];
    for (what, selection) in questions {
        let (mut ms, mut rows) = (Vec::new(), 0);
        for _ in 0..ASKED {
            let started = Instant::now();
            rows = store.select_galaxies(&selection)?.len();
            ms.push(1e3 * started.elapsed().as_secs_f64());
        }
        let (first, least) = (ms[0], ms.iter().copied().fold(f64::INFINITY, f64::min));
        let median = median(&mut ms);
        report.row(
            json!({
                "bench": "ingest", "what": what, "rows": rows, "ms": median, "ms_least": least, "ms_first": first,
            }),
            vec![
                what.into(),
                rows.to_string(),
                format!("{median:.2} ms"),
                format!("{least:.2} ms"),
                String::new(),
            ],
        );
    }
    Ok(())
}

/// Largest resident size of this process so far; none where the system does not tell.
fn peak_rss() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}
