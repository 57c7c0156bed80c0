//! Tables of surveys into the catalog: a column map says what is what, rows become galaxies in committed batches.
//!
//! [`map`] is the file format of column maps, [`layouts`] those built in, [`plan`] a map met with a table,
//! [`convert`] the work on rows. What a row becomes depends on the file and the map alone.

use std::path::Path;

use serde_json::{Value, json};
use thiserror::Error;

use crate::galaxy::GalaxyRecord;
use crate::hash::ContentHash;
use crate::progress::{Event, Progress};
use crate::store::{
    BandSpec, CutSpec, ExtraColumn, FilterCurve, IngestId, IngestSpec, IngestState, RejectedRow, RunId,
    Store, StoreError, SurveySpec,
};
use crate::tables::{Block, ReadOptions, Table, TableError};

pub mod columns;
pub mod convert;
pub mod cuts;
pub mod extinction;
pub mod layouts;
pub mod map;
pub mod plan;
pub mod sedflow;
pub mod survey;
pub mod units;

use convert::{Converted, LowYield, Rejected, Yield, convert};
use plan::Plan;

#[derive(Debug, Error)]
pub enum IngestError {
    #[error(transparent)]
    Table(#[from] TableError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    LowYield(#[from] LowYield),
}

/// The file that is read.
#[derive(Debug, Clone)]
pub struct Source {
    /// As typed.
    pub name: String,
    pub hash: ContentHash,
    pub n_bytes: u64,
}

impl Source {
    /// Hashes the file; `name` is what the catalog calls it.
    pub fn new(path: &Path, name: &str) -> std::io::Result<Self> {
        let file = std::fs::File::open(path)?;
        let n_bytes = file.metadata()?.len();
        Ok(Self { name: name.to_owned(), hash: ContentHash::of_reader(file)?, n_bytes })
    }
}

/// The shipped sample: 1,000 galaxies of the SDSS in the layout `kcorrect-sdss` (`samples/README.md`), a FITS file.
pub const SDSS_SAMPLE: &[u8] = include_bytes!("../../samples/sdss_1000.fits");

/// What is to be ingested, and how.
#[derive(Debug, Clone, Copy)]
pub struct Job<'a> {
    pub source: &'a Source,
    pub plan: &'a Plan,
    /// Of [`config`].
    pub config: &'a Value,
    /// Rows committed together.
    pub batch_rows: usize,
    /// Rejected rows to put in the summary.
    pub show: usize,
}

/// How an ingest ended.
#[derive(Debug, Clone)]
pub struct Summary {
    pub state: IngestState,
    /// Rows that an earlier, interrupted run had committed.
    pub resumed_at: u64,
    /// Everything the catalog counted, over all runs of this ingest.
    pub counts: Vec<(String, u64)>,
    /// The first rejected rows.
    pub rejected: Vec<RejectedRow>,
    /// The file was cut short: rows that should have come after the last one read.
    pub missing_rows: Option<u64>,
    /// Asked to stop; the same command goes on.
    pub interrupted: bool,
    /// The same file had been ingested in the same way before; nothing was done.
    pub already: bool,
}

/// What decides how rows are read, for the catalog.
pub fn config(plan: &Plan, table: &dyn Table, options: &ReadOptions) -> Value {
    let map = serde_json::to_value(&plan.map).unwrap_or(Value::Null);
    let bands: Vec<Value> = plan
        .bands
        .iter()
        .map(|band| {
            json!({
                "band": band.name,
                "filter": band.filter.as_ref().map(|filter| filter.name()),
                "filter_hash": band.filter.as_ref().map(|filter| filter.hash().to_string()),
                "flux": band.flux_column,
                "error": band.error_column,
                "unit": band.flux_unit,
            })
        })
        .collect();
    json!({
        "map": map,
        "format": table.format(),
        "table": options.table,
        "delimiter": options.delimiter,
        "bands": bands,
        "reader": READER_VERSION,
    })
}

/// Changes where the same file and map would give other galaxies.
const READER_VERSION: u32 = 1;

/// Reads `table` into the catalog under `run`, in batches that are committed whole.
///
/// An interrupted ingest of the same file goes on after its last batch; a complete one is left alone.
/// A file that is cut short gives its whole rows, and [`Summary::missing_rows`].
pub fn ingest(
    store: &mut Store,
    run: RunId,
    job: &Job<'_>,
    table: &mut dyn Table,
    progress: &dyn Progress,
) -> Result<Summary, IngestError> {
    let (state, bits) = register(store, run, job, table)?;
    let ingest = state.id;
    let mut summary = Summary {
        state,
        resumed_at: state.n_read,
        counts: Vec::new(),
        rejected: Vec::new(),
        missing_rows: None,
        interrupted: false,
        already: state.complete,
    };
    if !state.complete {
        let what = format!("ingesting {}", job.source.name);
        progress.report(Event::Started { what, total: table.n_rows(), unit: "rows" });
        let result = read_rows(store, job, table, &bits, &mut summary, progress);
        progress.report(Event::Finished);
        result?;
        if !summary.interrupted {
            store.finish_ingest(ingest)?;
        }
    }
    summary.state = store.ingest_state(ingest)?;
    summary.counts = store.ingest_counts(ingest)?;
    summary.rejected = store.rejected_rows(ingest, job.show)?;
    Ok(summary)
}

fn read_rows(
    store: &mut Store,
    job: &Job<'_>,
    table: &mut dyn Table,
    bits: &[u32],
    summary: &mut Summary,
    progress: &dyn Progress,
) -> Result<(), IngestError> {
    let ingest = summary.state.id;
    let done = summary.state.n_read;
    let mut rows_of_use = Yield::default();
    table.select(&job.plan.selected);
    loop {
        if progress.cancelled() {
            summary.interrupted = true;
            return Ok(());
        }
        let mut block = match table.next_block(job.batch_rows) {
            Ok(Some(block)) => block,
            Ok(None) => return Ok(()),
            Err(TableError::Truncated { expected, found }) => {
                let missing = expected.saturating_sub(found);
                let next_row = store.ingest_state(ingest)?.n_read;
                let counts = [("file cut short: rows missing at its end".to_owned(), missing)];
                store.commit_ingest_batch(ingest, next_row, &[], &[], &counts)?;
                summary.missing_rows = Some(missing);
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        let next_row = last_row(&block);
        if next_row <= done {
            continue;
        }
        if next_row - done < (block.n_rows() + block.bad.len()) as u64 {
            // The last batch of the interrupted run ended inside this block.
            block = without_rows_before(block, done);
        }
        let mut converted = convert(job.plan, &block);
        converted.galaxies.iter_mut().for_each(|galaxy| remap_cuts(galaxy, bits));
        commit(store, ingest, next_row, &converted)?;
        rows_of_use.watch(&converted)?;
        progress.report(Event::Advanced { done: next_row });
    }
}

fn commit(
    store: &mut Store,
    ingest: IngestId,
    next_row: u64,
    converted: &Converted,
) -> Result<(), StoreError> {
    let reject = |rejected: &Rejected| RejectedRow {
        source_row: rejected.source_row,
        reason: rejected.reason.to_owned(),
        detail: Some(rejected.detail.clone()),
        object_id: rejected.object_id.clone(),
    };
    let rejected: Vec<RejectedRow> = converted.rejected.iter().map(reject).collect();
    let counts: Vec<(String, u64)> = converted.counts.0.iter().map(|(what, n)| (what.clone(), *n)).collect();
    store.commit_ingest_batch(ingest, next_row, &converted.galaxies, &rejected, &counts)?;
    Ok(())
}

/// One past the last row of a block, counted from 0.
fn last_row(block: &Block) -> u64 {
    let good = block.row_numbers.last().copied().unwrap_or(0);
    block.bad.last().map_or(good, |bad| bad.row.max(good))
}

fn without_rows_before(mut block: Block, done: u64) -> Block {
    let keep: Vec<bool> = block.row_numbers.iter().map(|&row| row > done).collect();
    block.row_numbers.retain(|&row| row > done);
    block.columns.iter_mut().for_each(|column| column.keep_rows(&keep));
    block.bad.retain(|bad| bad.row > done);
    block
}

/// From the bits of the plan to those of the survey.
fn remap_cuts(galaxy: &mut GalaxyRecord, bits: &[u32]) {
    let failed = galaxy.cuts_failed;
    galaxy.cuts_failed =
        bits.iter().enumerate().filter(|(i, _)| failed >> i & 1 == 1).fold(0, |all, (_, bit)| all | 1 << bit);
}

/// Registers filters, bands, survey, cuts and the ingest itself; returns where it stands and the cuts' bits.
fn register(
    store: &mut Store,
    run: RunId,
    job: &Job<'_>,
    table: &dyn Table,
) -> Result<(IngestState, Vec<u32>), StoreError> {
    let Job { source, plan, config, .. } = *job;
    let mut specs = Vec::with_capacity(plan.bands.len());
    for band in &plan.bands {
        let filter = match &band.filter {
            None => None,
            Some(filter) => {
                let curve = FilterCurve {
                    name: filter.name(),
                    hash: filter.hash(),
                    wave_pivot_aa: filter.pivot_aa(),
                    wave_aa: filter.wave_aa(),
                    response: filter.response(),
                };
                Some((store.put_filter(run, &curve)?, filter.hash()))
            }
        };
        specs.push(BandSpec { name: band.name.clone(), filter, ucd: band.ucd.clone() });
    }
    let map = &plan.map;
    let band_names: Vec<&str> = plan.bands.iter().map(|band| band.name.as_str()).collect();
    let band_set = store.put_band_set(run, &format!("{} ({})", map.survey, band_names.join(" ")), &specs)?;
    let survey = store.put_survey(
        run,
        &SurveySpec {
            name: &map.survey,
            band_set,
            description: Some(&map.description).filter(|text| !text.is_empty()).map(String::as_str),
            reference: map.reference.as_deref(),
        },
    )?;
    let mut bits = Vec::with_capacity(plan.cuts.len());
    for cut in &plan.cuts {
        let spec = CutSpec { name: &cut.name, definition: &cut.definition, description: &cut.description };
        bits.push(store.put_cut(run, survey, &spec)?);
    }
    let extra: Vec<ExtraColumn> = plan
        .extra
        .iter()
        .map(|extra| ExtraColumn {
            name: extra.name.clone(),
            unit: extra.info.unit.clone(),
            ucd: extra.info.ucd.clone(),
            description: extra.info.description.clone(),
        })
        .collect();
    let state = store.begin_ingest(
        run,
        &IngestSpec {
            survey,
            survey_name: &map.survey,
            file_name: &source.name,
            file_hash: source.hash,
            n_bytes: source.n_bytes,
            format: &table.format().to_lowercase(),
            layout: &map.name,
            config,
            extinction: &plan.extinction,
            extra: &extra,
        },
    )?;
    Ok((state, bits))
}

#[cfg(test)]
mod tests;
