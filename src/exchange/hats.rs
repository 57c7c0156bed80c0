//! HATS: a catalog cut into HEALPix cells, one Parquet file each, as `lsdb` and the VO's HiPS-like services read it.
//!
//! Layout of the IVOA note "HATS: Hierarchical Adaptive Tiling Scheme". Cells are of nested numbering; each holds at
//! most so many rows unless its order is the deepest. `skymap.fits` has the number of galaxies in the cells of that order.

use std::fmt::Write as _;
use std::fs::File;
use std::io::BufWriter;

use parquet::file::metadata::{
    ColumnChunkMetaData, FileMetaData, ParquetMetaData, ParquetMetaDataWriter, RowGroupMetaData,
};

use super::fields::{Field, Kind};
use super::source::Source;
use super::target::{Folder, at};
use super::{Batch, ExchangeError, Job, Values, parquet::Writer};
use crate::fits::{Card, Cells, ColumnDef, FitsWriter, Kind as FitsKind, Value as FitsValue};
use crate::progress::{Event, Progress, Silent};
use crate::sky;

/// The file by which a folder is known, without a margin and with one.
const MARKER: (&str, &str) = ("hats.properties", "HATS catalog");
const COLLECTION: (&str, &str) = ("collection.properties", "HATS collection");
const PRIMARY: &str = "primary";
/// Order of the cells that galaxies are counted in, the deepest of a partition.
const DEEPEST: u32 = 8;
/// Name of the column of the cell of order 29.
pub const CELL: &str = "_healpix_29";
const ARCSEC_PER_DEG: f64 = 3600.0;

#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Most rows of a partition.
    pub rows: u64,
    /// Width of the margin around each partition, kept as a catalog of its own.
    pub margin_arcsec: Option<f64>,
}

/// A cell, with how many galaxies lie in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cell {
    pub order: u32,
    pub pixel: u64,
    pub rows: u64,
}

impl Cell {
    /// The cells of order 29 inside.
    fn range(&self) -> (u64, u64) {
        let shift = 2 * (29 - self.order);
        (self.pixel << shift, ((self.pixel + 1) << shift) - 1)
    }

    fn path(&self) -> String {
        let folder = self.pixel / 10_000 * 10_000;
        format!("dataset/Norder={}/Dir={folder}/Npix={}.parquet", self.order, self.pixel)
    }
}

/// Cells of at most `rows` galaxies, from counts of the cells of order [`DEEPEST`], by their place on the sky.
pub fn partition(counts: &[u64], rows: u64) -> Vec<Cell> {
    fn divide(cell: Cell, counts: &[u64], rows: u64, out: &mut Vec<Cell>) {
        if cell.rows == 0 {
            return;
        }
        if cell.rows <= rows || cell.order == DEEPEST {
            out.push(cell);
            return;
        }
        for child in 4 * cell.pixel..4 * cell.pixel + 4 {
            divide(counted(cell.order + 1, child, counts), counts, rows, out);
        }
    }
    fn counted(order: u32, pixel: u64, counts: &[u64]) -> Cell {
        let shift = 2 * (DEEPEST - order);
        let range = (pixel << shift) as usize..((pixel + 1) << shift) as usize;
        Cell { order, pixel, rows: counts[range].iter().sum() }
    }
    let mut cells = Vec::new();
    for pixel in 0..12 {
        divide(counted(0, pixel, counts), counts, rows, &mut cells);
    }
    cells
}

/// The fields of a catalog: the cell first, whole numbers by its name.
pub fn adapt(fields: &mut Vec<Field>) -> Vec<(String, String)> {
    let changed = super::parquet::adapt(fields);
    let mut cell = Field::new(CELL, Kind::Int, "HEALPix cell of order 29, nested").ucd(Some("pos.healpix"));
    cell.nullable = false;
    fields.insert(0, cell);
    changed
}

/// Writes the catalog; `source` has the columns of the fields after the cell, `healpix29` being number `cell` of
/// them, and no limit.
///
/// Returns the partitions, and how many galaxies were left out as they have no position.
pub fn write(
    job: Job<'_>,
    source: &Source<'_>,
    cell: usize,
    options: Options,
    progress: &dyn Progress,
) -> Result<(Vec<Cell>, u64), ExchangeError> {
    let marker = if options.margin_arcsec.is_some() { COLLECTION } else { MARKER };
    Folder::make(job.path, job.overwrite, marker, |folder| fill(folder, job, source, cell, options, progress))
}

fn fill(
    folder: &Folder,
    job: Job<'_>,
    source: &Source<'_>,
    cell: usize,
    options: Options,
    progress: &dyn Progress,
) -> Result<(Vec<Cell>, u64), ExchangeError> {
    let mut counts = vec![0_u64; 12 << (2 * DEEPEST)];
    let mut without = 0;
    source.column(cell).stream(&Silent, &mut |batch| {
        if let Some(Values::Int(cells)) = batch.columns.first() {
            for cell in cells {
                match cell {
                    Some(cell) => counts[(*cell as u64 >> (2 * (29 - DEEPEST))) as usize] += 1,
                    None => without += 1,
                }
            }
        }
        Ok(())
    })?;
    let cells = partition(&counts, options.rows.max(1));
    if cells.is_empty() {
        let what = "galaxies without a position".to_owned();
        return Err(ExchangeError::CannotHold { format: "HATS", what });
    }
    let prefix = if options.margin_arcsec.is_some() { "primary/" } else { "" };
    let catalog = Catalog { job, folder, prefix, cell, source };
    let total = cells.iter().map(|cell| cell.rows).sum();
    progress.report(Event::Started { what: "exporting".to_owned(), total: Some(total), unit: "galaxies" });
    let mut written = 0;
    let mut done = Vec::new();
    for partition in &cells {
        if progress.cancelled() {
            return Err(ExchangeError::Stopped);
        }
        done.push(catalog.partition(partition, &[partition.range()], &|_| true)?);
        written += partition.rows;
        progress.report(Event::Advanced { done: written });
    }
    progress.report(Event::Finished);
    catalog.finish(&cells, &done, &properties(job, &cells, &done, options, None))?;
    catalog.skymap(&counts)?;
    if let Some(margin) = options.margin_arcsec {
        write_margin(&catalog, &cells, margin, options, progress)?;
    }
    Ok((cells, without))
}

/// Galaxies within `margin` arc seconds outside of each partition, and somewhat more, as a catalog beside the primary
/// one, and what ties the two together.
fn write_margin(
    catalog: &Catalog<'_>,
    cells: &[Cell],
    margin: f64,
    options: Options,
    progress: &dyn Progress,
) -> Result<(), ExchangeError> {
    let name = format!("margin_{margin}arcs");
    let prefix = format!("{name}/");
    let margins = Catalog { prefix: &prefix, ..*catalog };
    let (mut kept, mut done) = (Vec::new(), Vec::new());
    for partition in cells {
        if progress.cancelled() {
            return Err(ExchangeError::Stopped);
        }
        let edge = Edge::new(partition, margin / ARCSEC_PER_DEG);
        let (first, last) = partition.range();
        let outside = |cell: u64| !(first..=last).contains(&cell) && edge.is_near(cell);
        let file = margins.partition(partition, &edge.ranges(), &outside)?;
        if file.rows > 0 {
            kept.push(Cell { rows: file.rows, ..*partition });
            done.push(file);
        } else {
            let path = catalog.folder.inside().join(format!("{prefix}{}", partition.path()));
            std::fs::remove_file(&path).map_err(at(&path))?;
        }
    }
    let text = properties(catalog.job, &kept, &done, options, Some(margin));
    margins.finish(&kept, &done, &text)?;
    let collection = format!(
        "#HATS collection\nobs_collection={}\nhats_primary_table_url={PRIMARY}\nall_margins={name}\ndefault_margin={name}\n",
        catalog.job.meta.name
    );
    catalog.folder.put(COLLECTION.0, collection.as_bytes())
}

/// The border of a cell as points, close enough together that every place within the margin is near one.
struct Edge {
    order: u32,
    points: Vec<(f64, f64)>,
    reach_deg: f64,
}

impl Edge {
    /// Points along each of the four sides.
    const PER_SIDE: u32 = 64;

    fn new(cell: &Cell, margin_deg: f64) -> Self {
        let points = sky::healpix_border(cell.order, cell.pixel, Self::PER_SIDE);
        let next = points.iter().cycle().skip(1);
        let gap = points.iter().zip(next).map(|(a, b)| sky::separation_deg(a.0, a.1, b.0, b.1));
        let widest = gap.fold(0.0, f64::max);
        Self { order: cell.order, points, reach_deg: margin_deg + 0.5 * widest }
    }

    fn is_near(&self, cell: u64) -> bool {
        let (ra, dec) = sky::healpix_centre(sky::MAX_ORDER, cell);
        self.points.iter().any(|point| sky::separation_deg(ra, dec, point.0, point.1) <= self.reach_deg)
    }

    /// Ranges of cells of order 29 that hold all places near the border.
    fn ranges(&self) -> Vec<(u64, u64)> {
        let shift = 2 * (sky::MAX_ORDER - (self.order + 5).min(sky::MAX_ORDER));
        let mut ranges: Vec<(u64, u64)> = self
            .points
            .iter()
            .flat_map(|point| sky::cone_ranges(point.0, point.1, self.reach_deg))
            .map(|range| (range.start() >> shift << shift, (((range.end() >> shift) + 1) << shift) - 1))
            .collect();
        ranges.sort_unstable();
        let mut merged: Vec<(u64, u64)> = Vec::new();
        for (first, last) in ranges {
            match merged.last_mut() {
                Some(before) if first <= before.1 + 1 => before.1 = before.1.max(last),
                _ => merged.push((first, last)),
            }
        }
        merged
    }
}

#[derive(Clone, Copy)]
struct Catalog<'c> {
    job: Job<'c>,
    folder: &'c Folder,
    prefix: &'c str,
    cell: usize,
    source: &'c Source<'c>,
}

/// A partition that is written.
struct Done {
    path: String,
    rows: u64,
    bytes: u64,
    metadata: ParquetMetaData,
}

impl Catalog<'_> {
    /// Writes the galaxies in these ranges of cells that are to be kept, by ascending cell.
    fn partition(
        &self,
        partition: &Cell,
        ranges: &[(u64, u64)],
        keep: &dyn Fn(u64) -> bool,
    ) -> Result<Done, ExchangeError> {
        let path = partition.path();
        let file = self.folder.inside().join(format!("{}{path}", self.prefix));
        if let Some(parent) = file.parent() {
            std::fs::create_dir_all(parent).map_err(at(&file))?;
        }
        let mut cells = Vec::new();
        for &range in ranges {
            self.source.column(self.cell).within(range).stream(&Silent, &mut |batch| {
                if let Some(Values::Int(found)) = batch.columns.first() {
                    cells.extend(found.iter().flatten().map(|cell| *cell as u64).filter(|cell| keep(*cell)));
                }
                Ok(())
            })?;
        }
        cells.sort_unstable();
        let mut out = BufWriter::new(File::create(&file).map_err(at(&file))?);
        let named = |error| super::parquet::with_path(&file, error);
        let mut writer = Writer::new(&mut out, self.job.fields, self.job.meta).map_err(named)?;
        let mut rows = 0;
        // As many as a batch holds at a time, sorted among themselves.
        let step = self.source.batch_rows();
        let mut start = 0;
        while start < cells.len() {
            let mut end = (start + step).min(cells.len());
            // those of one cell stay together
            while end < cells.len() && cells[end] == cells[end - 1] {
                end += 1;
            }
            self.source.within((cells[start], cells[end - 1])).stream_by(
                usize::MAX,
                &Silent,
                &mut |batch| {
                    let batch = self.by_cell(batch, keep);
                    rows += batch.rows as u64;
                    if batch.rows > 0 { writer.write(&batch).map_err(named) } else { Ok(()) }
                },
            )?;
            start = end;
        }
        let metadata = writer.finish().map_err(named)?;
        let out = out.into_inner().map_err(|error| at(&file)(error.into_error()))?;
        out.sync_all().map_err(at(&file))?;
        let bytes = out.metadata().map_err(at(&file))?.len();
        Ok(Done { path, rows, bytes, metadata })
    }

    /// The rows to keep by ascending cell, with the cell as first column.
    fn by_cell(&self, batch: &Batch, keep: &dyn Fn(u64) -> bool) -> Batch {
        let cells: Vec<Option<i64>> = match &batch.columns[self.cell] {
            Values::Int(cells) => cells.clone(),
            _ => vec![None; batch.rows],
        };
        let mut order: Vec<usize> =
            (0..batch.rows).filter(|&row| cells[row].is_some_and(|cell| keep(cell as u64))).collect();
        order.sort_by_key(|&row| cells[row]);
        let mut columns = vec![Values::Int(order.iter().map(|&row| cells[row]).collect())];
        columns.extend(batch.columns.iter().map(|values| values.rows(&order)));
        Batch { rows: order.len(), columns }
    }

    /// The number of galaxies in every cell of order [`DEEPEST`] that has any, as a HEALPix map.
    fn skymap(&self, counts: &[u64]) -> Result<(), ExchangeError> {
        let path = self.folder.inside().join(format!("{}skymap.fits", self.prefix));
        let named = |error| super::fits::with_path(&path, error);
        let filled: Vec<(i64, i64)> =
            (0..).zip(counts).filter(|(_, n)| **n > 0).map(|(pixel, n)| (pixel, *n as i64)).collect();
        let (pixels, values): (Vec<i64>, Vec<i64>) = filled.into_iter().unzip();
        let words =
            [("PIXTYPE", "HEALPIX"), ("INDXSCHM", "EXPLICIT"), ("ORDERING", "NESTED"), ("COORDSYS", "C")];
        let mut cards =
            words.map(|(key, word)| Card::new(key, FitsValue::Text(word.to_owned()), "")).to_vec();
        cards.push(Card::new("NSIDE", FitsValue::Integer(1 << DEEPEST), ""));
        cards.push(Card::new("OBS_NPIX", FitsValue::Integer(pixels.len() as i64), ""));
        let mut file = FitsWriter::create(&path, &[]).map_err(named)?;
        let columns = vec![
            ColumnDef::new("PIXEL", FitsKind::I64).comment("HEALPix cell, nested"),
            ColumnDef::new("VALUE", FitsKind::I64).comment("Galaxies in it"),
        ];
        let mut table = file.table("SKYMAP", columns, &cards).map_err(named)?;
        table.write(pixels.len(), &[Cells::I64(&pixels), Cells::I64(&values)]).map_err(named)?;
        table.finish().map_err(named)?;
        file.finish().map_err(named)
    }

    /// `partition_info.csv`, `_metadata`, `_common_metadata` and the properties.
    fn finish(&self, cells: &[Cell], done: &[Done], properties: &str) -> Result<(), ExchangeError> {
        let mut info = String::from("Norder,Npix\n");
        for cell in cells {
            // writing to a String does not fail
            let _ = writeln!(info, "{},{}", cell.order, cell.pixel);
        }
        let put = |name: &str, bytes: &[u8]| self.folder.put(&format!("{}{name}", self.prefix), bytes);
        put("partition_info.csv", info.as_bytes())?;
        let (all, common) = gathered(done, self.job)?;
        put("dataset/_metadata", &all)?;
        put("dataset/_common_metadata", &common)?;
        put("hats.properties", properties.as_bytes())
    }
}

/// The row groups of all files with their paths, and the schema alone.
fn gathered(done: &[Done], job: Job<'_>) -> Result<(Vec<u8>, Vec<u8>), ExchangeError> {
    let mut common = Vec::new();
    let metadata = Writer::new(&mut common, job.fields, job.meta)?.finish()?;
    let of_file = metadata.file_metadata();
    let mut groups = Vec::new();
    for file in done {
        // relative to the folder of the dataset
        let path = file.path.trim_start_matches("dataset/");
        for group in file.metadata.row_groups() {
            let columns = group
                .columns()
                .iter()
                .map(|column| {
                    let with_path = ColumnChunkMetaData::into_builder(column.clone());
                    with_path.set_file_path(path.to_owned()).build()
                })
                .collect::<Result<Vec<_>, _>>()?;
            let group = RowGroupMetaData::builder(of_file.schema_descr_ptr())
                .set_num_rows(group.num_rows())
                .set_total_byte_size(group.total_byte_size())
                .set_column_metadata(columns)
                .build()?;
            groups.push(group);
        }
    }
    let rows = done.iter().map(|file| file.rows as i64).sum();
    let file_metadata = FileMetaData::new(
        of_file.version(),
        rows,
        of_file.created_by().map(str::to_owned),
        of_file.key_value_metadata().cloned(),
        of_file.schema_descr_ptr(),
        of_file.column_orders().cloned(),
    );
    let metadata = ParquetMetaData::new(file_metadata, groups);
    let mut all = b"PAR1".to_vec();
    ParquetMetaDataWriter::new(&mut all, &metadata).finish()?;
    Ok((all, common))
}

fn properties(job: Job<'_>, cells: &[Cell], done: &[Done], options: Options, margin: Option<f64>) -> String {
    let meta = job.meta;
    let column = |name: &str| {
        let found = job.fields.iter().find(|field| field.catalog_name() == name);
        found.map_or(name, |field| field.name.as_str()).to_owned()
    };
    let bytes: u64 = done.iter().map(|file| file.bytes).sum();
    let rows: u64 = cells.iter().map(|cell| cell.rows).sum();
    let sky: f64 = cells.iter().map(|cell| 1.0 / (12.0 * 4_f64.powi(cell.order as i32))).sum();
    let orders = || cells.iter().map(|cell| cell.order);
    let name = if margin.is_some() { format!("{}_margin", meta.name) } else { meta.name.clone() };
    let mut lines = vec![
        ("obs_collection", name),
        ("dataproduct_type", if margin.is_some() { "margin" } else { "object" }.to_owned()),
        ("hats_nrows", rows.to_string()),
        ("hats_col_ra", column("ra_deg")),
        ("hats_col_dec", column("dec_deg")),
        ("hats_col_healpix", CELL.to_owned()),
        ("hats_col_healpix_order", "29".to_owned()),
        ("hats_npix_suffix", ".parquet".to_owned()),
        ("hats_max_rows", options.rows.to_string()),
        ("hats_order", orders().max().unwrap_or(0).to_string()),
        ("hats_estsize", bytes.div_ceil(1024).to_string()),
        ("moc_sky_fraction", format!("{sky:.5}")),
        ("hats_builder", format!("sedflow v{}", crate::store::PROGRAM_VERSION)),
        ("hats_version", "v1.0".to_owned()),
    ];
    if let Some(margin) = margin {
        lines.push(("hats_primary_table_url", PRIMARY.to_owned()));
        lines.push(("hats_margin_threshold", margin.to_string()));
    } else {
        lines.push(("hats_skymap_order", DEEPEST.to_string()));
    }
    let mut text = String::from("#HATS catalog\n");
    for (key, value) in lines {
        let _ = writeln!(text, "{key}={value}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_hold_every_row_once_and_no_more_than_allowed() {
        let mut counts = vec![0_u64; 12 << (2 * DEEPEST)];
        for i in 0..50_000_u64 {
            // half of them crowded together
            let pixel = if i % 2 == 0 { 1000 + i % 300 } else { (i * 7919) % counts.len() as u64 };
            counts[pixel as usize] += 1;
        }
        let cells = partition(&counts, 1000);
        assert_eq!(cells.iter().map(|cell| cell.rows).sum::<u64>(), 50_000);
        assert!(cells.iter().all(|cell| cell.rows <= 1000 || cell.order == DEEPEST));
        assert!(cells.windows(2).all(|pair| pair[0].range().1 < pair[1].range().0));
        assert!(partition(&vec![0; counts.len()], 10).is_empty());
        assert_eq!(partition(&counts, 100_000).len(), 12);
    }
}
