//! Draws as a Zarr version 2 store in the layout of ArviZ's `InferenceData`: group `posterior` with the dimensions
//! chain, draw, galaxy; `sample_stats` with weights; `constant_data` with what is known of the galaxies.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write;

use serde_json::{Map, Value, json};

use super::fields::{Field, Kind};
use super::source::Source;
use super::target::{Folder, at};
use super::{ExchangeError, Job, Values};
use crate::progress::Progress;

/// Bytes of a chunk, about.
const CHUNK_BYTES: usize = 4 << 20;
const MARKER: (&str, &str) = (".zgroup", "Zarr store");
const LEVEL: i32 = 1;

fn group_of(field: &Field) -> &'static str {
    match field.kind {
        Kind::List { .. } if field.name.contains("weight") => "sample_stats",
        Kind::List { .. } => "posterior",
        _ => "constant_data",
    }
}

fn array_meta(dtype: &str, shape: &[u64], chunks: &[u64], fill: Value, compressed: bool) -> Value {
    json!({
        "zarr_format": 2,
        "shape": shape,
        "chunks": chunks,
        "dtype": dtype,
        "compressor": if compressed { json!({ "id": "zstd", "level": LEVEL }) } else { Value::Null },
        "fill_value": fill,
        "order": "C",
        "filters": null,
    })
}

/// Files of the store's metadata, which are also gathered in `.zmetadata`.
struct Metadata<'a> {
    folder: &'a Folder,
    /// By name, as readers want the arrays of a group together.
    all: BTreeMap<String, Value>,
}

impl Metadata<'_> {
    fn put(&mut self, name: String, value: Value) -> Result<(), ExchangeError> {
        self.folder.put(&name, format!("{value:#}\n").as_bytes())?;
        self.all.insert(name, value);
        Ok(())
    }

    fn group(&mut self, name: &str, attributes: Value) -> Result<(), ExchangeError> {
        let at = |file: &str| if name.is_empty() { file.to_owned() } else { format!("{name}/{file}") };
        self.put(at(".zgroup"), json!({ "zarr_format": 2 }))?;
        self.put(at(".zattrs"), attributes)
    }

    fn array(
        &mut self,
        path: &str,
        meta: Value,
        dimensions: &[&str],
        field: Option<&Field>,
    ) -> Result<(), ExchangeError> {
        let mut attributes = json!({ "_ARRAY_DIMENSIONS": dimensions });
        if let (Some(field), Some(object)) = (field, attributes.as_object_mut()) {
            object.insert("description".into(), Value::from(field.full_description()));
            if let Some(unit) = &field.unit {
                object.insert("units".into(), Value::from(unit.as_str()));
            }
        }
        self.put(format!("{path}/.zarray"), meta)?;
        self.put(format!("{path}/.zattrs"), attributes)
    }
}

/// NumPy's type of a column that is no list.
fn dtype(field: &Field) -> (String, Value) {
    match field.kind {
        Kind::Int if !field.gaps || field.wide => ("<i8".to_owned(), json!(0)),
        Kind::Text { bytes, .. } => (format!("<U{}", bytes.max(1)), json!("")),
        _ => ("<f8".to_owned(), json!("NaN")),
    }
}

fn numbers(field: &Field, values: &Values) -> Vec<u8> {
    match (values, field.kind) {
        (Values::Int(values), _) if !field.gaps || field.wide => {
            values.iter().flat_map(|value| value.unwrap_or(i64::MIN).to_le_bytes()).collect()
        }
        (Values::Int(values), _) => {
            let number = |value: &Option<i64>| value.map_or(f64::NAN, |value| value as f64);
            values.iter().flat_map(|value| number(value).to_le_bytes()).collect()
        }
        (Values::Float(values), _) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        (Values::Text(values), Kind::Text { bytes, .. }) => {
            let mut out = Vec::new();
            for text in values {
                let end = out.len() + 4 * bytes.max(1);
                text.as_deref().unwrap_or("").chars().for_each(|c| out.extend(u32::from(c).to_le_bytes()));
                out.resize(end, 0);
            }
            out
        }
        _ => Vec::new(),
    }
}

/// Writes the store. The fields are those of the galaxies and lists of draws; one of them is `object_id`.
pub fn write(job: Job<'_>, source: &Source<'_>, progress: &dyn Progress) -> Result<(), ExchangeError> {
    Folder::make(job.path, job.overwrite, MARKER, |folder| fill(folder, job, source, progress))
}

fn fill(
    folder: &Folder,
    job: Job<'_>,
    source: &Source<'_>,
    progress: &dyn Progress,
) -> Result<(), ExchangeError> {
    let n = source.n_rows();
    let most = |field: &Field| if let Kind::List { most, .. } = field.kind { most } else { 0 };
    let n_draws = job.fields.iter().map(most).max().unwrap_or(0).max(1);
    let chunk = (CHUNK_BYTES / (4 * n_draws)).clamp(1, 4096);
    let mut metadata = Metadata { folder, all: BTreeMap::new() };
    let pairs: Map<String, Value> = job
        .meta
        .pairs
        .iter()
        .map(|(key, value, _)| ((*key).to_owned(), Value::from(value.as_str())))
        .collect();
    metadata.group("", Value::Object(pairs.clone()))?;
    let mut groups: Vec<&str> = job.fields.iter().map(group_of).collect();
    groups.sort_unstable();
    groups.dedup();
    let id = job.fields.iter().position(|field| field.name == "object_id");
    for group in &groups {
        metadata.group(group, Value::Object(pairs.clone()))?;
        if let Some(id) = id {
            let (dtype, fill) = dtype(&job.fields[id]);
            let meta = array_meta(&dtype, &[n], &[chunk as u64], fill, true);
            metadata.array(&format!("{group}/galaxy"), meta, &["galaxy"], None)?;
        }
        if *group != "constant_data" {
            for (name, length) in [("chain", 1), ("draw", n_draws)] {
                let meta = array_meta("<i8", &[length as u64], &[length as u64], json!(0), false);
                metadata.array(&format!("{group}/{name}"), meta, &[name], None)?;
                let numbers: Vec<u8> = (0..length as i64).flat_map(i64::to_le_bytes).collect();
                folder.put(&format!("{group}/{name}/0"), &numbers)?;
            }
        }
    }
    for field in job.fields {
        let path = format!("{}/{}", group_of(field), field.name.replace('/', "_"));
        if let Kind::List { .. } = field.kind {
            let (shape, chunks) = ([1, n_draws as u64, n], [1, n_draws as u64, chunk as u64]);
            let meta = array_meta("<f4", &shape, &chunks, json!("NaN"), true);
            metadata.array(&path, meta, &["chain", "draw", "galaxy"], Some(field))?;
        } else {
            let (dtype, fill) = dtype(field);
            let meta = array_meta(&dtype, &[n], &[chunk as u64], fill, true);
            metadata.array(&path, meta, &["galaxy"], Some(field))?;
        }
    }
    let all = json!({ "zarr_consolidated_format": 1, "metadata": std::mem::take(&mut metadata.all) });
    folder.put(".zmetadata", format!("{all:#}\n").as_bytes())?;
    let mut number = 0;
    source.stream_by(chunk, progress, &mut |batch| {
        for (i, (field, values)) in job.fields.iter().zip(&batch.columns).enumerate() {
            let path = format!("{}/{}", group_of(field), field.name.replace('/', "_"));
            if let Values::Lists { lengths, values } = values {
                let bytes = transposed(lengths, values, n_draws, chunk);
                put_chunk(folder, &format!("{path}/0.0.{number}"), &bytes)?;
                continue;
            }
            let mut bytes = numbers(field, values);
            // A chunk at the end is as long as the others.
            bytes.resize(bytes.len() / batch.rows.max(1) * chunk, 0);
            put_chunk(folder, &format!("{path}/{number}"), &bytes)?;
            if Some(i) == id {
                for group in &groups {
                    put_chunk(folder, &format!("{group}/galaxy/{number}"), &bytes)?;
                }
            }
        }
        number += 1;
        Ok(())
    })
}

/// `[n_draws, chunk]` little-endian of lists one after the other, NaN where there is no draw.
fn transposed(lengths: &[Option<usize>], values: &[f32], n_draws: usize, chunk: usize) -> Vec<u8> {
    let mut grid = vec![f32::NAN; n_draws * chunk];
    let mut start = 0;
    for (galaxy, length) in lengths.iter().enumerate() {
        let length = length.unwrap_or(0);
        for (draw, value) in values[start..start + length].iter().take(n_draws).enumerate() {
            grid[draw * chunk + galaxy] = *value;
        }
        start += length;
    }
    grid.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn put_chunk(folder: &Folder, name: &str, bytes: &[u8]) -> Result<(), ExchangeError> {
    let place = folder.inside().join(name);
    let packed = zstd::bulk::compress(bytes, LEVEL).map_err(at(&place))?;
    let mut file = OpenOptions::new().write(true).create_new(true).open(&place).map_err(at(&place))?;
    file.write_all(&packed).map_err(at(&place))
}
