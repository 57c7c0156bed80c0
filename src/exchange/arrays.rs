//! Columns as arrays of their own: HDF5 (also with the keys of the SEDflow catalog) and NumPy's `.npz`.

use super::columns::{Column, Columns, Origin};
use super::fields::{Field, Kind};
use super::hdf5::{Dataset, Dtype, Group, H5Writer};
use super::npz::{Member, NpzWriter};
use super::source::Source;
use super::{Batch, ExchangeError, Job, Values};
use crate::progress::Progress;

/// Names of the draws in the SEDflow NSA catalog, in its order: theirs, ours.
pub const SEDFLOW_DRAWS: [(&str, &str); 14] = [
    ("log_mstar", "log_mstar"),
    ("log_sfr_1gyr", "log_sfr_1gyr"),
    ("log_Z_MW", "log_z_mw"),
    ("beta1", "beta1"),
    ("beta2", "beta2"),
    ("beta3", "beta3"),
    ("beta4", "beta4"),
    ("fburst", "fburst"),
    ("tburst", "tburst"),
    ("log_gamma1", "log_gamma1"),
    ("log_gamma2", "log_gamma2"),
    ("tau_bc", "tau_bc"),
    ("tau_ism", "tau_ism"),
    ("n_dust", "n_dust"),
];

/// Little-endian values of a column, `width` of them a row; missing numbers are NaN, missing whole numbers that no
/// double could hold the smallest there is.
fn bytes(field: &Field, values: &Values, dtype: Dtype, width: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    match values {
        Values::Int(values) if dtype == Dtype::I64 => {
            values.iter().for_each(|value| bytes.extend(value.unwrap_or(i64::MIN).to_le_bytes()));
        }
        Values::Int(values) => {
            let number = |value: &Option<i64>| value.map_or(f64::NAN, |value| value as f64);
            values.iter().for_each(|value| bytes.extend(number(value).to_le_bytes()));
        }
        Values::Float(values) => values.iter().for_each(|value| bytes.extend(value.to_le_bytes())),
        Values::Text(values) => {
            for text in values {
                let text = text.as_deref().unwrap_or("").as_bytes();
                let end = bytes.len() + dtype.size();
                bytes.extend(&text[..text.len().min(dtype.size())]);
                bytes.resize(end, 0);
            }
        }
        Values::Lists { lengths, values } => {
            bytes.reserve(4 * width * lengths.len());
            let mut start = 0;
            for length in lengths {
                let end = start + length.unwrap_or(0).min(width);
                values[start..end].iter().for_each(|value| bytes.extend(value.to_le_bytes()));
                for _ in end - start..width {
                    bytes.extend(f32::NAN.to_le_bytes());
                }
                start += length.unwrap_or(0);
            }
        }
    }
    debug_assert!(width > 0 || field.kind == Kind::List { most: 0, same: true });
    bytes
}

/// Type and row length of a column; whole numbers of which some are missing become reals.
fn array_of(field: &Field) -> (Dtype, usize) {
    match field.kind {
        Kind::Int if field.gaps && !field.wide => (Dtype::F64, 1),
        Kind::Int => (Dtype::I64, 1),
        Kind::Float => (Dtype::F64, 1),
        Kind::Text { bytes, .. } => (Dtype::Text(bytes), 1),
        Kind::List { most, .. } => (Dtype::F32, most),
    }
}

fn dataset(field: &Field, n_rows: u64) -> Dataset {
    let (dtype, width) = array_of(field);
    let shape: &[u64] =
        if matches!(field.kind, Kind::List { .. }) { &[n_rows, width as u64] } else { &[n_rows] };
    Dataset::new(&field.name.replace('/', "_"), dtype, shape)
        .attribute("unit", field.unit.as_deref().unwrap_or(""))
        .attribute("ucd", field.ucd.as_deref().unwrap_or(""))
        .attribute("description", &field.full_description())
}

/// One array per column.
pub fn write_hdf5(job: Job<'_>, source: &Source<'_>, progress: &dyn Progress) -> Result<(), ExchangeError> {
    let datasets: Vec<Dataset> = job.fields.iter().map(|field| dataset(field, source.n_rows())).collect();
    let root = Group { datasets, groups: Vec::new() };
    let writer = H5Writer::create(job.path, job.overwrite, &root)?;
    let mut offsets = vec![0; job.fields.len()];
    source.stream(progress, &mut |batch| {
        for (i, (field, values)) in job.fields.iter().zip(&batch.columns).enumerate() {
            let (dtype, width) = array_of(field);
            let bytes = bytes(field, values, dtype, width);
            writer.write(i, offsets[i], &bytes)?;
            offsets[i] += bytes.len() as u64;
        }
        Ok(())
    })?;
    writer.finish()
}

/// One array per column, in a zip archive.
pub fn write_npz(job: Job<'_>, source: &Source<'_>, progress: &dyn Progress) -> Result<(), ExchangeError> {
    let members: Vec<Member> = job
        .fields
        .iter()
        .map(|field| {
            let (dtype, width) = array_of(field);
            let descr = match dtype {
                Dtype::F32 => "<f4",
                Dtype::F64 => "<f8",
                Dtype::I64 => "<i8",
                Dtype::Bool => "|b1",
                // NumPy's texts are of four bytes a character.
                Dtype::Text(n) => &format!("<U{}", n.max(1)),
            };
            let item = if let Dtype::Text(n) = dtype { 4 * n.max(1) } else { dtype.size() };
            let shape: &[u64] = match field.kind {
                Kind::List { .. } => &[source.n_rows(), width as u64],
                _ => &[source.n_rows()],
            };
            Member::new(&field.name.replace('/', "_"), descr, item as u64, shape)
        })
        .collect();
    let mut writer = NpzWriter::create(job.path, job.overwrite, &members)?;
    source.stream(progress, &mut |batch| {
        for (i, (field, values)) in job.fields.iter().zip(&batch.columns).enumerate() {
            let (dtype, width) = array_of(field);
            match (values, dtype) {
                (Values::Text(texts), Dtype::Text(n)) => writer.write(i, &utf32(texts, n.max(1)))?,
                _ => writer.write(i, &bytes(field, values, dtype, width))?,
            }
        }
        Ok(())
    })?;
    writer.finish()
}

/// Texts of `n` characters of four bytes, filled up with zeros.
fn utf32(texts: &[Option<String>], n: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(4 * n * texts.len());
    for text in texts {
        let end = bytes.len() + 4 * n;
        let characters = text.as_deref().unwrap_or("").chars().take(n);
        characters.for_each(|c| bytes.extend(u32::from(c).to_le_bytes()));
        bytes.resize(end, 0);
    }
    bytes
}

/// The columns that a file with the keys of the SEDflow NSA catalog is made from, and its bands.
pub fn sedflow_columns(columns: &Columns) -> Result<(Vec<Column>, Vec<String>), ExchangeError> {
    let bands: Vec<String> = columns
        .all
        .iter()
        .filter_map(|column| match &column.origin {
            Origin::Catalog { name, .. } => name.strip_prefix("flux_nmgy_").map(str::to_owned),
            _ => None,
        })
        .collect();
    let mut names: Vec<String> =
        ["object_id", "survey", "ra_deg", "dec_deg", "redshift", "method"].map(str::to_owned).to_vec();
    names.extend(bands.iter().map(|band| format!("flux_nmgy_{band}")));
    names.extend(bands.iter().map(|band| format!("ivar_nmgy_{band}")));
    let mut chosen = columns.named(&names)?;
    for column in &columns.all {
        if let Origin::Draws { .. } = column.origin {
            chosen.push(column.clone());
        }
    }
    Ok((chosen, bands))
}

/// A file with the keys and shapes of the SEDflow NSA catalog; what else the draws have comes under our names.
///
/// `source` has the columns of [`sedflow_columns`].
pub fn write_sedflow_hdf5(
    job: Job<'_>,
    bands: &[String],
    source: &Source<'_>,
    progress: &dyn Progress,
) -> Result<(), ExchangeError> {
    let n = source.n_rows();
    let fields = source.fields();
    let (head, draws) = fields.split_at((6 + 2 * bands.len()).min(fields.len()));
    let all_numbers = numbers(source)?;
    let mut datasets = Vec::new();
    let id = match all_numbers {
        true => Dataset::new("NSAID", Dtype::I64, &[n]),
        false => Dataset::new("NSAID", array_of(&head[0]).0, &[n]),
    };
    datasets.push(id.attribute("description", "The survey's own identifier of the galaxy"));
    for band in bands {
        let text = format!("AB magnitude in band {band}, 22.5 - 2.5 log10(nanomaggies)");
        let mag = Dataset::new(&format!("mag_{band}"), Dtype::F64, &[n]).attribute("unit", "mag");
        datasets.push(mag.attribute("description", &text));
        let text = format!("Error of the magnitude in band {band}");
        let sigma = Dataset::new(&format!("sigma_{band}"), Dtype::F64, &[n]).attribute("unit", "mag");
        datasets.push(sigma.attribute("description", &text));
    }
    let flag = Dataset::new("sedflow", Dtype::Bool, &[n]);
    datasets
        .push(flag.attribute("description", "Whether the flow made the draws; if not, Markov chains did"));
    let others = head[1..6].iter().map(|field| dataset(field, n));
    datasets.extend(others.filter(|other| other.name != "method"));
    let first_draws = datasets.len();
    for field in draws {
        let theirs = SEDFLOW_DRAWS.iter().find(|(_, ours)| *ours == field.name);
        let mut dataset = dataset(field, n);
        if let Some((theirs, _)) = theirs {
            dataset.name = (*theirs).to_owned();
        }
        datasets.push(dataset);
    }
    let root = Group { datasets, groups: Vec::new() };
    let writer = H5Writer::create(job.path, job.overwrite, &root)?;
    let mut offsets = vec![0; root.datasets.len()];
    source.stream(progress, &mut |batch| {
        let mut parts: Vec<Vec<u8>> = Vec::with_capacity(root.datasets.len());
        parts.push(match (&batch.columns[0], all_numbers) {
            (Values::Text(ids), true) => {
                let number =
                    |id: &Option<String>| id.as_deref().and_then(|id| id.parse::<i64>().ok()).unwrap_or(0);
                ids.iter().flat_map(|id| number(id).to_le_bytes()).collect()
            }
            (values, _) => bytes(&head[0], values, array_of(&head[0]).0, 1),
        });
        for band in 0..bands.len() {
            let [mag, sigma] = magnitudes(batch, 6 + band, 6 + bands.len() + band);
            parts.extend([mag, sigma]);
        }
        parts.push(match &batch.columns[5] {
            Values::Text(methods) => {
                let by_flow =
                    |method: &Option<String>| method.as_deref().is_some_and(|m| m.starts_with("npe"));
                methods.iter().map(|method| u8::from(by_flow(method))).collect()
            }
            _ => vec![0; batch.rows],
        });
        for (field, values) in head.iter().zip(&batch.columns).take(5).skip(1) {
            let (dtype, width) = array_of(field);
            parts.push(bytes(field, values, dtype, width));
        }
        for (field, values) in draws.iter().zip(&batch.columns[head.len()..]) {
            let (dtype, width) = array_of(field);
            parts.push(bytes(field, values, dtype, width));
        }
        debug_assert_eq!(parts.len(), first_draws + draws.len());
        for (i, part) in parts.iter().enumerate() {
            writer.write(i, offsets[i], part)?;
            offsets[i] += part.len() as u64;
        }
        Ok(())
    })?;
    writer.finish()
}

/// Whether all identifiers are whole numbers.
fn numbers(source: &Source<'_>) -> Result<bool, ExchangeError> {
    let mut all = true;
    source.column(0).stream(&crate::progress::Silent, &mut |batch| {
        if let Some(Values::Text(ids)) = batch.columns.first() {
            let number = |id: &Option<String>| {
                id.as_deref().is_some_and(|id| id.parse::<i64>().is_ok_and(|number| number.to_string() == id))
            };
            all &= ids.iter().all(number);
        }
        Ok(())
    })?;
    Ok(all)
}

/// Magnitudes and their errors, of fluxes and inverse variances in nanomaggies; NaN where there are none.
fn magnitudes(batch: &Batch, flux: usize, ivar: usize) -> [Vec<u8>; 2] {
    let (mut mags, mut sigmas) = (Vec::new(), Vec::new());
    if let (Values::Float(flux), Values::Float(ivar)) = (&batch.columns[flux], &batch.columns[ivar]) {
        for (&flux, &ivar) in flux.iter().zip(ivar) {
            let there = flux > 0.0;
            let mag = if there { crate::units::ab_from_nmgy(flux) } else { f64::NAN };
            let sigma = if there { 2.5 / std::f64::consts::LN_10 / (flux * ivar.sqrt()) } else { f64::NAN };
            mags.extend(mag.to_le_bytes());
            sigmas.extend(sigma.to_le_bytes());
        }
    }
    [mags, sigmas]
}
