//! qp ensembles, one per parameter: the quantiles of every galaxy's draws, as `qp.read` takes them from HDF5.

use serde_json::json;

use super::fields::{Field, Kind};
use super::hdf5::{Dataset, Dtype, Group, H5Writer};
use super::source::Source;
use super::target::Folder;
use super::{Batch, ExchangeError, Job, Values};
use crate::draws;
use crate::progress::Progress;

const MARKER: (&str, &str) = ("ensembles.json", "folder of qp ensembles");
/// Between the least and the greatest draw, which are the quantiles at 0 and 1.
const BETWEEN: [f64; 23] = [
    0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.16, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.84, 0.9,
    0.95, 0.975, 0.99, 0.995, 0.999,
];

/// The levels of an ensemble's quantiles.
pub fn levels() -> Vec<f64> {
    let mut levels = vec![0.0];
    levels.extend(BETWEEN);
    levels.push(1.0);
    levels
}

/// Writes a folder of `PARAMETER.hdf5`, of the galaxies that have draws. The fields are `object_id`, then lists of draws, the weights last.
pub fn write(job: Job<'_>, source: &Source<'_>, progress: &dyn Progress) -> Result<(), ExchangeError> {
    Folder::make(job.path, job.overwrite, MARKER, |folder| fill(folder, job, source, progress))
}

fn fill(
    folder: &Folder,
    job: Job<'_>,
    source: &Source<'_>,
    progress: &dyn Progress,
) -> Result<(), ExchangeError> {
    let (n, levels) = (source.n_with_draws(), levels());
    let is_draws = |field: &&Field| matches!(field.kind, Kind::List { .. }) && !field.name.contains("weight");
    let parameters: Vec<&Field> = job.fields.iter().filter(is_draws).collect();
    let weight = job.fields.iter().position(|field| field.name.contains("weight"));
    let id = job.fields.iter().position(|field| field.name == "object_id");
    let width =
        id.map_or(1, |id| if let Kind::Text { bytes, .. } = job.fields[id].kind { bytes.max(1) } else { 1 });
    let mut files = Vec::new();
    for field in &parameters {
        let n_levels = levels.len() as u64;
        let meta = vec![
            Dataset::new("ensure_extent", Dtype::Bool, &[1]),
            Dataset::new("pdf_constructor_name", Dtype::Text(16), &[1]),
            Dataset::new("pdf_name", Dtype::Text(5), &[1]),
            Dataset::new("pdf_version", Dtype::I64, &[1]),
            Dataset::new("quants", Dtype::F64, &[1, n_levels]),
        ];
        let locs = Dataset::new("locs", Dtype::F64, &[n, n_levels])
            .attribute("unit", field.unit.as_deref().unwrap_or(""))
            .attribute("description", &field.full_description());
        let ancil = vec![Dataset::new("object_id", Dtype::Text(width), &[n])];
        let group = |datasets| Group { datasets, groups: Vec::new() };
        let root = Group {
            datasets: Vec::new(),
            groups: vec![
                ("meta".to_owned(), group(meta)),
                ("data".to_owned(), group(vec![locs])),
                ("ancil".to_owned(), group(ancil)),
            ],
        };
        let writer = H5Writer::create(&folder.inside().join(format!("{}.hdf5", field.name)), false, &root)?;
        writer.write(0, 0, &[1])?;
        writer.write(1, 0, b"piecewise_linear")?;
        writer.write(2, 0, b"quant")?;
        writer.write(3, 0, &0_i64.to_le_bytes())?;
        let quants: Vec<u8> = levels.iter().flat_map(|level| level.to_le_bytes()).collect();
        writer.write(4, 0, &quants)?;
        files.push(writer);
    }
    let (mut at_locs, mut at_id) = (0, 0);
    let first = job.fields.iter().position(|field| matches!(field.kind, Kind::List { .. }));
    source.stream(progress, &mut |batch| {
        let Some(Values::Lists { lengths, .. }) = first.map(|first| &batch.columns[first]) else {
            return Ok(());
        };
        let kept: Vec<usize> = (0..batch.rows).filter(|&row| lengths[row].is_some_and(|n| n > 0)).collect();
        let columns = batch.columns.iter().map(|values| values.rows(&kept)).collect();
        let batch = &Batch { rows: kept.len(), columns };
        let weights = weight.map(|place| &batch.columns[place]);
        let ids = id.map(|id| texts(&batch.columns[id], width)).unwrap_or_default();
        let mut written = 0;
        let lists = job.fields.iter().zip(&batch.columns).filter(|(field, _)| is_draws(field));
        for ((_, values), file) in lists.zip(&files) {
            let locs = quantiles(values, weights, &levels);
            file.write(5, at_locs, &locs)?;
            file.write(6, at_id, &ids)?;
            written = locs.len() as u64;
        }
        at_locs += written;
        at_id += ids.len() as u64;
        Ok(())
    })?;
    for file in files {
        file.finish()?;
    }
    let names: Vec<&str> = parameters.iter().map(|field| field.name.as_str()).collect();
    let text =
        json!({ "sedflow": job.meta.description, "ensembles": names, "galaxies": n, "levels": levels });
    folder.put(MARKER.0, format!("{text:#}\n").as_bytes())
}

fn texts(values: &Values, width: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Values::Text(texts) = values {
        for text in texts {
            let end = bytes.len() + width;
            bytes.extend(text.as_deref().unwrap_or("").as_bytes().iter().take(width));
            bytes.resize(end, 0);
        }
    }
    bytes
}

/// Quantiles at the levels, strictly ascending so that they make a density; NaN without draws.
fn quantiles(values: &Values, weights: Option<&Values>, levels: &[f64]) -> Vec<u8> {
    use rayon::prelude::*;
    let Values::Lists { lengths, values } = values else { return Vec::new() };
    let weights = match weights {
        Some(Values::Lists { values, .. }) => Some(values),
        _ => None,
    };
    let starts: Vec<usize> = lengths
        .iter()
        .scan(0, |at, length| {
            let start = *at;
            *at += length.unwrap_or(0);
            Some(start)
        })
        .collect();
    let of_galaxy = |(start, length): (&usize, &Option<usize>)| {
        let range = *start..start + length.unwrap_or(0);
        let weights = weights.and_then(|weights| weights.get(range.clone()));
        let mut column = draws::Column::of(&values[range], weights);
        let mut last = f64::NEG_INFINITY;
        let mut bytes = Vec::with_capacity(8 * levels.len());
        for &level in levels {
            let mut value = column.quantile(level);
            if value <= last {
                value = last.next_up();
            }
            last = value;
            bytes.extend(value.to_le_bytes());
        }
        bytes
    };
    starts.par_iter().zip(lengths.par_iter()).flat_map_iter(of_galaxy).collect()
}
