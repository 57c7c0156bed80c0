//! Training sets for other programs: `.npz`, one array per quantity, or Parquet, one column per number. A file appears
//! under its name only once it is whole.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use parquet::basic::{Compression, Repetition, Type as Physical, ZstdLevel};
use parquet::data_type::{FloatType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::Type;

use super::simulate::read_chunk;
use crate::exchange::npz::{Member, NpzWriter};
use crate::exchange::target::{self, Target};
use crate::prior::{N_PARAM, PARAMS};
use crate::progress::{Event, Progress};
use crate::simulate::Rows;
use crate::store::{Store, TrainingSet};

/// The file that `--export` names.
#[derive(Debug, Clone, Copy)]
pub struct TrainingOut<'a> {
    path: &'a Path,
    format: Format,
    overwrite: bool,
}

#[derive(Debug, Clone, Copy)]
enum Format {
    Npz,
    Parquet,
}

impl<'a> TrainingOut<'a> {
    /// Checks the name, and that nothing is there that may not be replaced.
    pub fn new(path: &'a Path, overwrite: bool) -> anyhow::Result<Self> {
        let format = match path.extension().and_then(|ending| ending.to_str()) {
            Some("npz") => Format::Npz,
            Some("parquet") => Format::Parquet,
            _ => bail!("{}: the name of an export ends in .npz or .parquet", path.display()),
        };
        target::check_free(path, overwrite)?;
        Ok(Self { path, format, overwrite })
    }

    /// Writes all rows of a stored set.
    pub fn write(self, store: &Store, set: &TrainingSet, progress: &dyn Progress) -> anyhow::Result<()> {
        progress.report(Event::Started { what: "exporting".into(), total: Some(set.n_rows), unit: "rows" });
        match self.format {
            Format::Npz => self.npz(store, set, progress)?,
            Format::Parquet => self.parquet(store, set, progress)?,
        }
        progress.report(Event::Finished);
        Ok(())
    }

    fn npz(self, store: &Store, set: &TrainingSet, progress: &dyn Progress) -> anyhow::Result<()> {
        let mut writer = None;
        for &(chunk, first, n) in &set.chunks {
            let rows = read_chunk(store, set, chunk)?;
            let writer = match &mut writer {
                Some(writer) => writer,
                None => writer.insert(NpzWriter::create(self.path, self.overwrite, &members(&rows, set))?),
            };
            let floats: [&[f32]; 6] =
                [&rows.latent, &rows.theta, &rows.zred, &rows.flux_nmgy, &rows.noisy_nmgy, &rows.sigma_nmgy];
            for (i, values) in floats.iter().enumerate() {
                let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
                writer.write(i, &bytes)?;
            }
            let observed: Vec<u8> = rows.observed.iter().flat_map(|mask| mask.to_le_bytes()).collect();
            writer.write(floats.len(), &observed)?;
            progress.report(Event::Advanced { done: first + n });
        }
        match writer {
            Some(writer) => Ok(writer.finish()?),
            None => bail!("the training set holds no rows"),
        }
    }

    fn parquet(self, store: &Store, set: &TrainingSet, progress: &dyn Progress) -> anyhow::Result<()> {
        let bands: Vec<String> = store.bands(set.band_set)?.into_iter().map(|band| band.name).collect();
        let (target, mut out) = Target::create(self.path, self.overwrite)?;
        write_parquet(store, set, &bands, &mut out, progress)
            .with_context(|| format!("cannot write {}", self.path.display()))?;
        Ok(target.commit(out)?)
    }
}

/// The arrays of a set whose chunks are like these rows.
fn members(rows: &Rows, set: &TrainingSet) -> [Member; 7] {
    let (n, bands) = (set.n_rows, rows.n_bands as u64);
    let floats = |name: &str, shape: &[u64]| Member::new(name, "<f4", 4, shape);
    [
        floats("latent", &[n, rows.n_free as u64]),
        floats("theta", &[n, N_PARAM as u64]),
        floats("zred", &[n]),
        floats("flux_nmgy", &[n, bands]),
        floats("noisy_nmgy", &[n, bands]),
        floats("sigma_nmgy", &[n, bands]),
        Member::new("observed", "<u8", 8, &[n]),
    ]
}

/// One row group per chunk.
fn write_parquet(
    store: &Store,
    set: &TrainingSet,
    bands: &[String],
    out: impl std::io::Write + Send,
    progress: &dyn Progress,
) -> anyhow::Result<()> {
    let n_free = match set.chunks.first() {
        Some(&(chunk, _, _)) => read_chunk(store, set, chunk)?.n_free,
        None => 0,
    };
    let mut floats: Vec<String> = PARAMS.iter().map(|info| info.name.to_owned()).collect();
    floats.push("zred".into());
    for what in ["flux_nmgy", "noisy_nmgy", "sigma_nmgy"] {
        floats.extend(bands.iter().map(|band| format!("{what}_{band}")));
    }
    floats.extend((0..n_free).map(|i| format!("latent{}", i + 1)));
    let mut fields = Vec::new();
    for name in &floats {
        let column = Type::primitive_type_builder(name, Physical::FLOAT);
        fields.push(Arc::new(column.with_repetition(Repetition::REQUIRED).build()?));
    }
    let observed = Type::primitive_type_builder("observed", Physical::INT64);
    fields.push(Arc::new(observed.with_repetition(Repetition::REQUIRED).build()?));
    let schema = Arc::new(Type::group_type_builder("sedflow_training_set").with_fields(fields).build()?);
    let properties =
        WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?)).build();
    let mut writer = SerializedFileWriter::new(out, schema, Arc::new(properties))?;
    for &(chunk, first, n) in &set.chunks {
        let rows = read_chunk(store, set, chunk)?;
        let mut group = writer.next_row_group()?;
        let mut column = 0;
        while let Some(mut out) = group.next_column()? {
            if column < floats.len() {
                let values = float_column(&rows, column);
                out.typed::<FloatType>().write_batch(&values, None, None)?;
            } else {
                let values: Vec<i64> = rows.observed.iter().map(|&mask| mask as i64).collect();
                out.typed::<Int64Type>().write_batch(&values, None, None)?;
            }
            out.close()?;
            column += 1;
        }
        group.close()?;
        progress.report(Event::Advanced { done: first + n });
    }
    writer.close()?;
    Ok(())
}

/// Column `column` in the order of the schema: parameters, redshift, three fluxes per band, coordinates.
fn float_column(rows: &Rows, column: usize) -> Vec<f32> {
    let b = rows.n_bands;
    let every = |values: &[f32], width: usize, at: usize| {
        values.iter().skip(at).step_by(width.max(1)).copied().collect()
    };
    let Some(column) = column.checked_sub(N_PARAM) else { return every(&rows.theta, N_PARAM, column) };
    let Some(column) = column.checked_sub(1) else { return rows.zred.clone() };
    match column.checked_div(b) {
        Some(0) => every(&rows.flux_nmgy, b, column),
        Some(1) => every(&rows.noisy_nmgy, b, column - b),
        Some(2) => every(&rows.sigma_nmgy, b, column - 2 * b),
        _ => every(&rows.latent, rows.n_free, column - 3 * b),
    }
}
