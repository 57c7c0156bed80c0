//! VOTable 1.4 with BINARY2 rows, and the same without rows as the description inside Parquet.

use std::fmt::Write as _;
use std::io::{self, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::fields::{Field, Kind, Meta};
use super::names::{Alphabet, fit, mark_encoded, percent_encode};
use super::target::{Target, at};
use super::{Batch, ExchangeError, Job, Rows, Values};

/// Maps names to what XML can hold. Returns the names changed.
pub fn adapt(fields: &mut [Field]) -> Vec<(String, String)> {
    mark_encoded(fields, false);
    fit(fields, Alphabet::Xml)
}

/// Text as XML holds it; what it cannot hold becomes `?`.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\t' | '\n' | '\r' => escaped.push(' '),
            c if c.is_control() || ('\u{fffe}'..='\u{ffff}').contains(&c) => escaped.push('?'),
            c => escaped.push(c),
        }
    }
    escaped
}

/// Everything up to the rows.
fn header(fields: &[Field], meta: &Meta, of_parquet: bool) -> String {
    let mut xml = String::from(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <VOTABLE version=\"1.4\" xmlns=\"http://www.ivoa.net/xml/VOTable/v1.3\">\n<RESOURCE>\n",
    );
    for (key, value, comment) in &meta.pairs {
        let (value, comment) = (escape(value), escape(comment));
        let _ = writeln!(xml, "<INFO name=\"{key}\" value=\"{value}\">{comment}</INFO>");
    }
    let _ = writeln!(xml, "<TABLE name=\"{}\">", escape(&meta.name));
    let _ = writeln!(xml, "<DESCRIPTION>{}</DESCRIPTION>", escape(&meta.description));
    for field in fields {
        let (datatype, size) = match field.kind {
            Kind::Int => ("long", None),
            Kind::Float => ("double", None),
            Kind::Text { plain: false, .. } if !of_parquet => ("unicodeChar", Some("*".to_owned())),
            // astropy takes texts without a greatest length for objects, which it cannot put together with Parquet's.
            Kind::Text { bytes, .. } if of_parquet => ("char", Some(format!("{}*", bytes.max(1)))),
            Kind::Text { .. } => ("char", Some("*".to_owned())),
            Kind::List { most, same: true } if most > 0 && !of_parquet => ("float", Some(most.to_string())),
            Kind::List { .. } => ("float", Some("*".to_owned())),
        };
        let _ = write!(xml, "<FIELD name=\"{}\" datatype=\"{datatype}\"", escape(&field.name));
        for (key, value) in [("arraysize", &size), ("unit", &field.unit), ("ucd", &field.ucd)] {
            if let Some(value) = value {
                let _ = write!(xml, " {key}=\"{}\"", escape(value));
            }
        }
        let _ = writeln!(xml, "><DESCRIPTION>{}</DESCRIPTION></FIELD>", escape(&field.full_description()));
    }
    xml
}

/// The VOTable without rows that VOParquet 1.0 keeps in the footer.
pub fn description(fields: &[Field], meta: &Meta) -> String {
    header(fields, meta, true) + "</TABLE>\n</RESOURCE>\n</VOTABLE>\n"
}

/// Writes one table; the fields are [adapted](adapt).
pub fn write(job: Job<'_>, rows: Rows<'_>) -> Result<(), ExchangeError> {
    let (target, mut out) = Target::create(job.path, job.overwrite)?;
    let named = || at(job.path);
    out.write_all(header(job.fields, job.meta, false).as_bytes()).map_err(named())?;
    out.write_all(b"<DATA>\n<BINARY2>\n<STREAM encoding=\"base64\">\n").map_err(named())?;
    let mut lines = Base64Lines { out: &mut out, waiting: Vec::new() };
    let mut bytes = Vec::new();
    rows(&mut |batch| {
        // A few rows at a time, so that wide rows need not stand in memory twice.
        let step = (1 << 20) / (batch_bytes(batch) / batch.rows.max(1)).max(1) + 1;
        let mut starts = vec![0; batch.columns.len()];
        for first in (0..batch.rows).step_by(step) {
            bytes.clear();
            for row in first..(first + step).min(batch.rows) {
                push_row(job.fields, batch, row, &mut starts, &mut bytes);
            }
            lines.write(&bytes).map_err(named())?;
        }
        Ok(())
    })?;
    lines.finish().map_err(named())?;
    out.write_all(b"</STREAM>\n</BINARY2>\n</DATA>\n</TABLE>\n</RESOURCE>\n</VOTABLE>\n").map_err(named())?;
    target.commit(out)
}

fn batch_bytes(batch: &Batch) -> usize {
    let bytes = |values: &Values| match values {
        Values::Lists { values, .. } => 4 * values.len(),
        _ => 16 * batch.rows,
    };
    batch.columns.iter().map(bytes).sum()
}

/// One row: bits of what is missing, then the values. `starts` says where each column's next list begins.
fn push_row(fields: &[Field], batch: &Batch, row: usize, starts: &mut [usize], bytes: &mut Vec<u8>) {
    let flags = bytes.len();
    bytes.resize(flags + fields.len().div_ceil(8), 0);
    for (i, (field, values)) in fields.iter().zip(&batch.columns).enumerate() {
        let missing = match values {
            Values::Int(values) => {
                bytes.extend(values[row].unwrap_or(0).to_be_bytes());
                values[row].is_none()
            }
            Values::Float(values) => {
                bytes.extend(values[row].to_be_bytes());
                values[row].is_nan()
            }
            Values::Text(values) => {
                let text = values[row].as_deref().unwrap_or("");
                let encoded = if field.notes.encoded { percent_encode(text) } else { String::new() };
                let text = if field.notes.encoded { encoded.as_str() } else { text };
                if matches!(field.kind, Kind::Text { plain: false, .. }) {
                    let units: Vec<u16> = text.encode_utf16().collect();
                    bytes.extend((units.len() as u32).to_be_bytes());
                    units.iter().for_each(|unit| bytes.extend(unit.to_be_bytes()));
                } else {
                    bytes.extend((text.len() as u32).to_be_bytes());
                    bytes.extend(text.as_bytes());
                }
                values[row].is_none()
            }
            Values::Lists { lengths, values } => {
                let length = lengths[row].unwrap_or(0);
                if !matches!(field.kind, Kind::List { same: true, most } if most > 0) {
                    bytes.extend((length as u32).to_be_bytes());
                }
                let list = &values[starts[i]..starts[i] + length];
                list.iter().for_each(|value| bytes.extend(value.to_be_bytes()));
                starts[i] += length;
                lengths[row].is_none()
            }
        };
        if missing {
            bytes[flags + i / 8] |= 0x80 >> (i % 8);
        }
    }
}

/// Base64 in lines of 76 characters.
struct Base64Lines<'a, W: Write> {
    out: &'a mut W,
    waiting: Vec<u8>,
}

const LINE_BYTES: usize = 57;

impl<W: Write> Base64Lines<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.waiting.extend_from_slice(bytes);
        let whole = self.waiting.len() / LINE_BYTES * LINE_BYTES;
        self.put(whole)?;
        self.waiting.drain(..whole);
        Ok(())
    }

    fn put(&mut self, n: usize) -> io::Result<()> {
        let mut line = [0; LINE_BYTES.div_ceil(3) * 4 + 1];
        for bytes in self.waiting[..n].chunks(LINE_BYTES) {
            let length = STANDARD.encode_slice(bytes, &mut line).map_err(io::Error::other)?;
            line[length] = b'\n';
            self.out.write_all(&line[..=length])?;
        }
        Ok(())
    }

    fn finish(mut self) -> io::Result<()> {
        self.put(self.waiting.len())
    }
}
