//! Training sets as Parquet: one column per number, one row group per chunk.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use parquet::basic::{Compression, Repetition, Type as Physical, ZstdLevel};
use parquet::data_type::{FloatType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::Type;

use super::simulate::{read_chunk, theta_names};
use crate::prior::N_PARAM;
use crate::progress::{Event, Progress};
use crate::simulate::Rows;
use crate::store::{Store, TrainingSet};

/// Writes all rows of a stored set.
pub fn export(
    store: &Store,
    set: &TrainingSet,
    bands: &[String],
    path: &Path,
    progress: &dyn Progress,
) -> anyhow::Result<()> {
    let n_free = match set.chunks.first() {
        Some(&(chunk, _, _)) => read_chunk(store, set, chunk)?.n_free,
        None => 0,
    };
    let mut floats: Vec<String> = theta_names().map(str::to_owned).collect();
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
    let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
    let mut writer = SerializedFileWriter::new(file, schema, Arc::new(properties))?;
    progress.report(Event::Started { what: "exporting".into(), total: Some(set.n_rows), unit: "rows" });
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
    progress.report(Event::Finished);
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
