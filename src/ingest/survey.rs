//! What an ingest would do, without doing it: counts, ranges, rejected rows.

use std::collections::HashSet;

use super::convert::{Counts, LowYield, Rejected, Yield, convert};
use super::plan::Plan;
use crate::galaxy::GalaxyRecord;
use crate::hash::ContentHash;
use crate::progress::{Event, Progress};
use crate::tables::{Table, TableError};

/// Smallest and largest of the values seen, and how many there were.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Range {
    pub n: u64,
    pub min: f64,
    pub max: f64,
}

impl Range {
    fn add(&mut self, value: f64) {
        if self.n == 0 {
            (self.min, self.max) = (value, value);
        }
        self.n += 1;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
    }
}

#[derive(Debug, Clone, Default)]
pub struct BandRange {
    pub name: String,
    /// AB magnitudes of positive fluxes.
    pub mag: Range,
    /// Flux over its error.
    pub snr: Range,
}

/// What reading a table to its end found.
#[derive(Debug, Clone, Default)]
pub struct Report {
    pub n_read: u64,
    pub n_kept: u64,
    pub n_rejected: u64,
    pub counts: Counts,
    /// The first rejected rows.
    pub rejected: Vec<Rejected>,
    pub redshift: Range,
    pub ra_deg: Range,
    pub dec_deg: Range,
    pub bands: Vec<BandRange>,
    /// Rows that a file cut short lacks.
    pub missing_rows: Option<u64>,
    /// The first galaxies.
    pub first: Vec<GalaxyRecord>,
    /// The file was not read to its end, as hardly any of its rows is of use.
    pub given_up: Option<LowYield>,
    pub interrupted: bool,
}

const BATCH_ROWS: usize = 16_384;

/// Reads and converts the whole table and keeps `show` rejected rows and galaxies. Identifiers are
/// remembered to find duplicates, 16 bytes each.
pub fn survey(
    table: &mut dyn Table,
    plan: &Plan,
    show: usize,
    progress: &dyn Progress,
) -> Result<Report, TableError> {
    let mut report = Report {
        bands: plan
            .bands
            .iter()
            .map(|band| BandRange { name: band.name.clone(), ..BandRange::default() })
            .collect(),
        ..Report::default()
    };
    let mut seen: HashSet<u128> = HashSet::new();
    let mut rows_of_use = Yield::default();
    table.select(&plan.selected);
    progress.report(Event::Started { what: "reading".to_owned(), total: table.n_rows(), unit: "rows" });
    loop {
        if progress.cancelled() {
            report.interrupted = true;
            break;
        }
        let block = match table.next_block(BATCH_ROWS) {
            Ok(Some(block)) => block,
            Ok(None) => break,
            Err(TableError::Truncated { expected, found }) => {
                report.missing_rows = Some(expected.saturating_sub(found));
                break;
            }
            Err(error) => {
                progress.report(Event::Finished);
                return Err(error);
            }
        };
        let converted = convert(plan, &block);
        report.given_up = rows_of_use.watch(&converted).err();
        report.n_read += (block.n_rows() + block.bad.len()) as u64;
        report.counts.add_all(&converted.counts);
        let mut rejected = converted.rejected;
        for galaxy in converted.galaxies {
            let hash = ContentHash::of_bytes(galaxy.object_id.as_bytes());
            let (half, _) = hash.as_bytes().split_at(16);
            let key = half.iter().fold(0_u128, |key, &byte| key << 8 | u128::from(byte));
            if !seen.insert(key) {
                rejected.push(Rejected {
                    source_row: galaxy.source_row,
                    reason: "DUPLICATE_ID",
                    detail: "an earlier row has the same identifier".to_owned(),
                    object_id: Some(galaxy.object_id),
                });
                continue;
            }
            report.n_kept += 1;
            report.add_ranges(&galaxy);
            if report.first.len() < show {
                report.first.push(galaxy);
            }
        }
        rejected.sort_by_key(|rejected| rejected.source_row);
        report.n_rejected += rejected.len() as u64;
        for rejected in rejected {
            report.counts.add(&format!("rejected: {}", rejected.reason), 1);
            if report.rejected.len() < show {
                report.rejected.push(rejected);
            }
        }
        progress.report(Event::Advanced { done: report.n_read });
        if report.given_up.is_some() {
            break;
        }
    }
    progress.report(Event::Finished);
    Ok(report)
}

impl Report {
    fn add_ranges(&mut self, galaxy: &GalaxyRecord) {
        galaxy.redshift.into_iter().for_each(|z| self.redshift.add(z));
        if let Some(position) = galaxy.position {
            self.ra_deg.add(position.ra_deg);
            self.dec_deg.add(position.dec_deg);
        }
        for (range, phot) in self.bands.iter_mut().zip(&galaxy.photometry) {
            let Some(flux) = phot.flux_nmgy else { continue };
            if flux > 0.0 {
                range.mag.add(22.5 - 2.5 * flux.log10());
            }
            if let Some(ivar) = phot.ivar_nmgy {
                range.snr.add(flux * ivar.sqrt());
            }
        }
    }
}
