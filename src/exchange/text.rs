//! CSV with its description beside it (CSV on the Web), and ECSV, which carries it inside.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::fields::{Field, Kind, Meta};
use super::target::{Target, at};
use super::{Batch, ExchangeError, Job, Rows, Values};

/// Where the description of a CSV file lies, as the W3C's "Model for Tabular Data" has it.
pub fn metadata_path(csv: &Path) -> PathBuf {
    let mut name = csv.as_os_str().to_owned();
    name.push("-metadata.json");
    PathBuf::from(name)
}

/// Writes a CSV file (RFC 4180) and `FILE-metadata.json`.
pub fn write_csv(job: Job<'_>, rows: Rows<'_>) -> Result<(), ExchangeError> {
    let (target, mut out) = Target::create(job.path, job.overwrite)?;
    let beside = metadata_path(job.path);
    let (beside_target, mut beside_out) = Target::create(&beside, job.overwrite)?;
    let text = csv_metadata(job.path, job.fields, job.meta);
    beside_out.write_all(text.as_bytes()).map_err(at(&beside))?;
    rows_as_text(&mut out, job, rows)?;
    // both are whole before either is there
    let (target, beside_target) = (target.settle(out)?, beside_target.settle(beside_out)?);
    beside_target.place()?;
    target.place()
}

/// Writes an ECSV file (astropy's APE 6), version 1.0.
pub fn write_ecsv(job: Job<'_>, rows: Rows<'_>) -> Result<(), ExchangeError> {
    let (target, mut out) = Target::create(job.path, job.overwrite)?;
    out.write_all(ecsv_header(job.fields, job.meta).as_bytes()).map_err(at(job.path))?;
    rows_as_text(&mut out, job, rows)?;
    target.commit(out)
}

fn rows_as_text(
    out: &mut BufWriter<std::fs::File>,
    job: Job<'_>,
    rows: Rows<'_>,
) -> Result<(), ExchangeError> {
    let mut line = Vec::new();
    for (i, field) in job.fields.iter().enumerate() {
        separate(i, &mut line);
        push_text(&field.name, &mut line);
    }
    line.push(b'\n');
    out.write_all(&line).map_err(at(job.path))?;
    rows(&mut |batch| {
        let mut starts = vec![0; batch.columns.len()];
        for row in 0..batch.rows {
            line.clear();
            push_row(batch, row, &mut starts, &mut line);
            out.write_all(&line).map_err(at(job.path))?;
        }
        Ok(())
    })
}

fn separate(i: usize, line: &mut Vec<u8>) {
    if i > 0 {
        line.push(b',');
    }
}

/// Quoted where it must be. The empty text is quoted, so that it is not a missing one.
fn push_text(text: &str, line: &mut Vec<u8>) {
    let special = |b: u8| matches!(b, b',' | b'"' | b'\n' | b'\r');
    let first_or_last_blank = text.starts_with([' ', '\t', '#']) || text.ends_with([' ', '\t']);
    if text.is_empty() || first_or_last_blank || text.bytes().any(special) {
        line.push(b'"');
        line.extend(text.replace('"', "\"\"").bytes());
        line.push(b'"');
    } else {
        line.extend(text.bytes());
    }
}

fn push_row(batch: &Batch, row: usize, starts: &mut [usize], line: &mut Vec<u8>) {
    for (i, values) in batch.columns.iter().enumerate() {
        separate(i, line);
        // Writing to memory does not fail.
        let _ = match values {
            Values::Int(values) => values[row].map_or(Ok(()), |value| write!(line, "{value}")),
            Values::Float(values) if values[row].is_nan() => Ok(()),
            Values::Float(values) => write!(line, "{:?}", values[row]),
            Values::Text(values) => {
                if let Some(text) = &values[row] {
                    push_text(text, line);
                }
                Ok(())
            }
            Values::Lists { lengths, values } => {
                let length = lengths[row].unwrap_or(0);
                let list = &values[starts[i]..starts[i] + length];
                starts[i] += length;
                if lengths[row].is_some() {
                    push_list(list, line);
                }
                Ok(())
            }
        };
    }
    line.push(b'\n');
}

/// A JSON array in quotes.
fn push_list(list: &[f32], line: &mut Vec<u8>) {
    line.extend(b"\"[");
    for (i, value) in list.iter().enumerate() {
        separate(i, line);
        let _ = if value.is_finite() { write!(line, "{value:?}") } else { write!(line, "null") };
    }
    line.extend(b"]\"");
}

/// The metadata document of CSVW 1.0 for one table.
fn csv_metadata(csv: &Path, fields: &[Field], meta: &Meta) -> String {
    let columns: Vec<Value> = fields
        .iter()
        .map(|field| {
            let datatype = match field.kind {
                Kind::Int => "integer",
                Kind::Float => "double",
                Kind::Text { .. } => "string",
                Kind::List { .. } => "json",
            };
            json!({
                "titles": field.name,
                "datatype": datatype,
                "null": "",
                "dc:description": field.full_description(),
                "unit": field.unit,
                "ucd": field.ucd,
            })
        })
        .collect();
    let notes: Vec<Value> = meta
        .pairs
        .iter()
        .map(|(key, value, comment)| json!({ "key": key, "value": value, "meaning": comment }))
        .collect();
    let document = json!({
        "@context": "http://www.w3.org/ns/csvw",
        "url": csv.file_name().map(|name| name.to_string_lossy().into_owned()),
        "dc:title": meta.name,
        "dc:description": meta.description,
        "dialect": { "header": true, "delimiter": "," },
        "notes": notes,
        "tableSchema": { "columns": columns },
    });
    format!("{document:#}\n")
}

/// The header; its values are in double quotes, where YAML reads them as JSON does.
fn ecsv_header(fields: &[Field], meta: &Meta) -> String {
    let quoted = |text: &str| Value::from(text).to_string();
    let mut header = String::from("# %ECSV 1.0\n# ---\n# delimiter: ','\n# datatype:\n");
    for field in fields {
        let datatype = match field.kind {
            Kind::Int => "int64",
            Kind::Float => "float64",
            Kind::Text { .. } | Kind::List { .. } => "string",
        };
        header.push_str(&format!("# - {{name: {}", quoted(&field.name)));
        if let Some(unit) = &field.unit {
            header.push_str(&format!(", unit: {}", quoted(unit)));
        }
        header.push_str(&format!(", datatype: {datatype}"));
        match field.kind {
            Kind::List { most, same: true } if most > 0 => {
                header.push_str(&format!(", subtype: {}", quoted(&format!("float32[{most}]"))));
            }
            Kind::List { .. } => header.push_str(&format!(", subtype: {}", quoted("float32[null]"))),
            _ => {}
        }
        header.push_str(&format!(", description: {}", quoted(&field.full_description())));
        if let Some(ucd) = &field.ucd {
            header.push_str(&format!(", meta: {{ucd: {}}}", quoted(ucd)));
        }
        header.push_str("}\n");
    }
    header.push_str("# meta:\n");
    header.push_str(&format!(
        "#   name: {}\n#   description: {}\n",
        quoted(&meta.name),
        quoted(&meta.description)
    ));
    for (key, value, _) in &meta.pairs {
        header.push_str(&format!("#   {key}: {}\n", quoted(value)));
    }
    header.push_str("# schema: astropy-2.0\n");
    header
}
