//! The header of ECSV (Enhanced CSV, APE 6): the few YAML keys that say name, type, unit of a column.

use serde_json::Value;

use super::column::{Column, ColumnInfo, ColumnType, Values, is_missing_word, shorten};
use super::delimited::Delimiter;
use super::{MAX_COLUMNS, TableError};

pub(super) struct Header {
    pub delimiter: Delimiter,
    pub columns: Vec<ColumnInfo>,
}

/// Parses the comment lines (without `#`) before the line of column names.
pub(super) fn parse_header(lines: &[String]) -> Result<Header, TableError> {
    let malformed = |what: String| TableError::Malformed { format: "ECSV", what };
    let mut delimiter = Delimiter::Blanks;
    let mut columns: Vec<Keys> = Vec::new();
    let mut in_datatype = false;
    for line in lines {
        let line = line.strip_prefix(' ').unwrap_or(line);
        let key_line = line.trim_end();
        if !key_line.starts_with([' ', '-']) {
            in_datatype = key_line == "datatype:";
            if let Some(value) = key_line.strip_prefix("delimiter:") {
                delimiter = match unquote(value) {
                    "," => Delimiter::Byte(b','),
                    " " | "" => Delimiter::Blanks,
                    other => return Err(malformed(format!("delimiter `{}`", shorten(other)))),
                };
            }
            continue;
        }
        if !in_datatype {
            continue;
        }
        let item = key_line.trim_start();
        if let Some(item) = item.strip_prefix("- ") {
            columns.push(Keys::default());
            if columns.len() > MAX_COLUMNS {
                return Err(malformed(format!("more than {MAX_COLUMNS} columns")));
            }
            if let Some(keys) = columns.last_mut() {
                keys.add_all(item.trim());
            }
        } else if let Some(keys) = columns.last_mut() {
            keys.add_all(item);
        }
    }
    if columns.is_empty() {
        return Err(malformed("no `datatype` in the header".to_owned()));
    }
    let columns =
        columns.into_iter().map(|keys| keys.into_info().map_err(malformed)).collect::<Result<_, _>>()?;
    Ok(Header { delimiter, columns })
}

#[derive(Default)]
struct Keys {
    name: Option<String>,
    unit: Option<String>,
    datatype: Option<String>,
    subtype: Option<String>,
    description: Option<String>,
    ucd: Option<String>,
}

/// The value of a scalar: in double quotes YAML knows the escapes of JSON, in single ones a doubled quote.
fn plain_text(text: &str) -> String {
    let text = text.trim();
    if text.starts_with('"')
        && let Ok(text) = serde_json::from_str(text)
    {
        return text;
    }
    let inner = unquote(text);
    if text.starts_with('\'') { inner.replace("''", "'") } else { inner.to_owned() }
}

/// The UCD in a column's `meta: {ucd: ...}`.
fn ucd_of(meta: &str) -> Option<String> {
    let (_, rest) = meta.split_once("ucd:")?;
    let value = rest.split_once(['}', ',']).map_or(rest, |(value, _)| value);
    Some(plain_text(value)).filter(|ucd| !ucd.is_empty())
}

impl Keys {
    /// Takes `{name: a, unit: m}` or one `key: value`; keys of no interest are passed over.
    fn add_all(&mut self, text: &str) {
        let text = text.strip_prefix('{').unwrap_or(text);
        for pair in split_outside_quotes(text.strip_suffix('}').unwrap_or(text)) {
            let Some((key, value)) = pair.split_once(':') else { continue };
            if key.trim() == "meta" {
                self.ucd = ucd_of(value);
                continue;
            }
            let value = Some(plain_text(value));
            match key.trim() {
                "name" => self.name = value,
                "unit" => self.unit = value,
                "datatype" => self.datatype = value,
                "subtype" => self.subtype = value,
                "description" => self.description = value,
                _ => {}
            }
        }
    }

    fn into_info(self) -> Result<ColumnInfo, String> {
        let name = self.name.ok_or("a column without name")?;
        let datatype = self.datatype.ok_or_else(|| format!("column `{}` has no datatype", shorten(&name)))?;
        // A vector column is a string of JSON whose subtype says what it holds.
        let (element, len) = match self.subtype.as_deref() {
            Some(subtype) => match subtype.split_once('[') {
                Some((element, len)) => match len.trim_end_matches(']').parse::<usize>() {
                    Ok(len) if len > 0 && len <= MAX_COLUMNS => (element.to_owned(), len),
                    _ => ("string".to_owned(), 1),
                },
                None => ("string".to_owned(), 1),
            },
            None => (datatype, 1),
        };
        let kind = match element.as_str() {
            "bool" => ColumnType::Bool,
            "int8" | "int16" | "int32" | "int64" | "uint8" | "uint16" | "uint32" => ColumnType::Int,
            "uint64" => ColumnType::UInt,
            "float16" | "float32" => ColumnType::Float32,
            "float64" | "float128" => ColumnType::Float64,
            "string" => ColumnType::Text,
            other => {
                return Err(format!("column `{}` is of unknown type `{}`", shorten(&name), shorten(other)));
            }
        };
        Ok(ColumnInfo {
            unit: self.unit,
            ucd: self.ucd,
            description: self.description,
            len,
            ..ColumnInfo::new(name, kind)
        })
    }
}

/// Splits `a: 1, b: '2, 3'` at the commas that are not inside quotes or braces.
fn split_outside_quotes(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut quote, mut depth) = (Vec::new(), 0, None, 0_i32);
    let mut escaped = false;
    for (i, c) in text.char_indices() {
        if escaped {
            escaped = false;
            continue;
        }
        escaped = quote == Some('"') && c == '\\';
        match (quote, c) {
            (Some(open), _) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, '{' | '[') => depth += 1,
            (None, '}' | ']') => depth -= 1,
            (None, ',') if depth <= 0 => {
                parts.push(&text[start..i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

fn unquote(text: &str) -> &str {
    let text = text.trim();
    for quote in ['\'', '"'] {
        if let Some(inner) = text.strip_prefix(quote).and_then(|t| t.strip_suffix(quote)) {
            return inner;
        }
    }
    text
}

/// Adds a field to a typed column: one value, or a JSON array of `info.len` values.
pub(super) fn push_typed(text: &str, info: &ColumnInfo, column: &mut Column) -> Result<(), String> {
    if info.len == 1 {
        return push_scalar(text, info.kind, column);
    }
    if text.is_empty() {
        (0..info.len).for_each(|_| column.push_null());
        return Ok(());
    }
    // JSON knows no NaN, yet astropy writes it.
    let json = text.replace("NaN", "null").replace("-Infinity", "null").replace("Infinity", "null");
    let values = match serde_json::from_str(&json) {
        Ok(Value::Array(values)) if values.len() == info.len => values,
        Ok(Value::Array(values)) => return Err(format!("{} values instead of {}", values.len(), info.len)),
        _ => return Err(format!("`{}` is not an array", shorten(text))),
    };
    values.iter().try_for_each(|value| match value {
        Value::Null => push_scalar("", info.kind, column),
        Value::String(text) => push_scalar(text, info.kind, column),
        other => push_scalar(&other.to_string(), info.kind, column),
    })
}

/// Adds one value written as text; an empty one is missing.
pub(super) fn push_scalar(text: &str, kind: ColumnType, column: &mut Column) -> Result<(), String> {
    let wrong = || format!("`{}` is not of type {}", shorten(text), kind.name());
    let trimmed = text.trim();
    if let Values::Text(texts) = &mut column.values {
        texts.push(text);
        column.mark_valid();
        return Ok(());
    }
    if is_missing_word(trimmed) {
        column.push_null();
        return Ok(());
    }
    match &mut column.values {
        Values::Bool(values) => values.push(match trimmed {
            "True" | "true" | "TRUE" | "T" | "t" | "1" => true,
            "False" | "false" | "FALSE" | "F" | "f" | "0" => false,
            "?" => {
                column.push_null();
                return Ok(());
            }
            _ => return Err(wrong()),
        }),
        Values::Int(values) => values.push(trimmed.parse().map_err(|_| wrong())?),
        Values::UInt(values) => values.push(trimmed.parse().map_err(|_| wrong())?),
        Values::Float(values) => match trimmed {
            // VOTable's spelling.
            "+Inf" => values.push(f64::INFINITY),
            _ => values.push(trimmed.parse().map_err(|_| wrong())?),
        },
        Values::Text(_) => {}
    }
    column.mark_valid();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::{DelimitedTable, Table};

    const ASTROPY: &str = "# %ECSV 1.0
# ---
# delimiter: ','
# datatype:
# - {name: id, datatype: int64}
# - {name: flux, unit: 'nJy', datatype: string, subtype: 'float64[2]', description: 'two, bands'}
# - name: name
#   datatype: string
# - {name: ok, datatype: bool}
# meta: !!omap
# - {history: [a, b]}
# schema: astropy-2.0
id,flux,name,ok
1,\"[1.5,NaN]\",\"a b\",True
,\"[2.0,3.0]\",,False
3,\"[2.0]\",c,True
x,\"[2.0,3.0]\",c,True
";

    #[test]
    fn types_units_vectors_and_masks_are_read() {
        let mut table = DelimitedTable::ecsv(ASTROPY.as_bytes()).unwrap();
        let columns = table.columns().to_vec();
        assert_eq!(
            columns.iter().map(|c| (c.name.as_str(), c.kind, c.len)).collect::<Vec<_>>(),
            [
                ("id", ColumnType::Int, 1),
                ("flux", ColumnType::Float64, 2),
                ("name", ColumnType::Text, 1),
                ("ok", ColumnType::Bool, 1)
            ]
        );
        assert_eq!(columns[1].unit.as_deref(), Some("nJy"));
        assert_eq!(columns[1].description.as_deref(), Some("two, bands"));
        let block = table.next_block(100).unwrap().unwrap();
        assert_eq!(block.n_rows(), 2);
        assert_eq!((block.columns[0].number(0), block.columns[0].number(1)), (Ok(Some(1.0)), Ok(None)));
        assert_eq!(block.columns[1].number(0), Ok(Some(1.5)));
        assert_eq!(block.columns[1].number(1), Ok(None));
        assert_eq!(block.columns[2].text(0).as_deref(), Some("a b"));
        let reasons: Vec<_> = block.bad.iter().map(|bad| (bad.row, bad.reason.as_str())).collect();
        assert_eq!(
            reasons,
            [(3, "column flux: 1 values instead of 2"), (4, "column id: `x` is not of type integer")]
        );
    }

    #[test]
    fn a_header_that_says_too_little_is_refused() {
        for (text, word) in [
            ("# %ECSV 1.0\n# ---\nid\n1\n", "no `datatype`"),
            ("# %ECSV 1.0\n# datatype:\n# - {name: id, datatype: int128}\nid\n1\n", "int128"),
            ("# %ECSV 1.0\n# datatype:\n# - {name: id, datatype: int64}\nno\n1\n", "differ"),
            ("# %ECSV 1.0\n# datatype:\n# - {datatype: int64}\nno\n1\n", "without name"),
            (
                "# %ECSV 1.0\n# delimiter: ';'\n# datatype:\n# - {name: id, datatype: int64}\nid\n1\n",
                "delimiter",
            ),
        ] {
            let error = DelimitedTable::ecsv(text.as_bytes()).err().unwrap().to_string();
            assert!(error.contains(word), "{error}");
        }
    }
}
