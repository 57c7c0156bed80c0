//! One column of a block: typed values, vectors flattened, and which of them are there.

use thiserror::Error;

/// What the values of a column are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnType {
    Bool,
    Int,
    /// Unsigned 64-bit integers, which object identifiers of SDSS need.
    UInt,
    /// Values of single precision (held as f64): written back with the digits they had.
    Float32,
    Float64,
    Text,
    /// Text of a table without types (CSV), read as a number where one is asked for.
    Untyped,
}

impl ColumnType {
    pub fn name(self) -> &'static str {
        match self {
            ColumnType::Bool => "bool",
            ColumnType::Int => "integer",
            ColumnType::UInt => "unsigned integer",
            ColumnType::Float32 => "float32",
            ColumnType::Float64 => "float64",
            ColumnType::Text => "text",
            ColumnType::Untyped => "untyped text",
        }
    }
}

/// What a table says about a column.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnInfo {
    pub name: String,
    /// As the file writes it; `None` where it says nothing.
    pub unit: Option<String>,
    pub ucd: Option<String>,
    pub description: Option<String>,
    pub kind: ColumnType,
    /// Values per row; 1 for a scalar.
    pub len: usize,
}

impl ColumnInfo {
    pub fn new(name: impl Into<String>, kind: ColumnType) -> Self {
        Self { name: name.into(), unit: None, ucd: None, description: None, kind, len: 1 }
    }
}

/// Many short texts in one buffer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Texts {
    bytes: String,
    ends: Vec<usize>,
}

impl Texts {
    pub fn push(&mut self, text: &str) {
        self.bytes.push_str(text);
        self.ends.push(self.bytes.len());
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    pub fn get(&self, index: usize) -> &str {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.bytes[start..self.ends[index]]
    }
}

/// `[rows * len]` values, a row's vector contiguous.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    Bool(Vec<bool>),
    Int(Vec<i64>),
    UInt(Vec<u64>),
    Float(Vec<f64>),
    Text(Texts),
}

impl Values {
    pub fn of_kind(kind: ColumnType) -> Self {
        match kind {
            ColumnType::Bool => Values::Bool(Vec::new()),
            ColumnType::Int => Values::Int(Vec::new()),
            ColumnType::UInt => Values::UInt(Vec::new()),
            ColumnType::Float32 | ColumnType::Float64 => Values::Float(Vec::new()),
            ColumnType::Text | ColumnType::Untyped => Values::Text(Texts::default()),
        }
    }

    fn len(&self) -> usize {
        match self {
            Values::Bool(values) => values.len(),
            Values::Int(values) => values.len(),
            Values::UInt(values) => values.len(),
            Values::Float(values) => values.len(),
            Values::Text(values) => values.len(),
        }
    }

    fn push_filler(&mut self) {
        match self {
            Values::Bool(values) => values.push(false),
            Values::Int(values) => values.push(0),
            Values::UInt(values) => values.push(0),
            Values::Float(values) => values.push(f64::NAN),
            Values::Text(values) => values.push(""),
        }
    }

    fn truncate(&mut self, len: usize) {
        match self {
            Values::Bool(values) => values.truncate(len),
            Values::Int(values) => values.truncate(len),
            Values::UInt(values) => values.truncate(len),
            Values::Float(values) => values.truncate(len),
            Values::Text(values) => {
                values.ends.truncate(len);
                values.bytes.truncate(values.ends.last().copied().unwrap_or(0));
            }
        }
    }
}

/// A text that was asked for a number and is none.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{}` is not a number", shorten(.found))]
pub struct NotANumber {
    pub found: String,
}

/// The first characters of `text`, with control characters written out, for messages.
pub fn shorten(text: &str) -> String {
    let mut short: String = text.chars().take(40).flat_map(char::escape_debug).collect();
    if text.chars().nth(40).is_some() {
        short.push_str("...");
    }
    short
}

/// The values of one column in a block.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    pub values: Values,
    /// Values per row.
    pub len: usize,
    /// Per value, whether it is there; `None` where all are.
    pub valid: Option<Vec<bool>>,
}

impl Column {
    pub fn empty(info: &ColumnInfo) -> Self {
        Self { values: Values::of_kind(info.kind), len: info.len, valid: None }
    }

    pub fn new(values: Values, len: usize) -> Self {
        Self { values, len, valid: None }
    }

    pub fn n_rows(&self) -> usize {
        self.values.len() / self.len.max(1)
    }

    pub fn is_valid(&self, index: usize) -> bool {
        self.valid.as_ref().is_none_or(|valid| valid[index])
    }

    /// Adds a value that is not there.
    pub fn push_null(&mut self) {
        let len = self.values.len();
        let valid = self.valid.get_or_insert_with(|| vec![true; len]);
        valid.push(false);
        self.values.push_filler();
    }

    /// After pushing to `values` directly: one more value is there.
    pub(super) fn mark_valid(&mut self) {
        if let Some(valid) = &mut self.valid {
            valid.push(true);
        }
    }

    /// Drops values beyond the first `len` (a row that turned out bad half-way).
    pub(super) fn truncate(&mut self, len: usize) {
        self.values.truncate(len);
        if let Some(valid) = &mut self.valid {
            valid.truncate(len);
        }
    }

    /// Keeps the rows that are marked.
    pub fn keep_rows(&mut self, keep: &[bool]) {
        let len = self.len;
        let kept = |index: usize| keep[index / len];
        fn retain<T>(values: &mut Vec<T>, kept: impl Fn(usize) -> bool) {
            let mut index = 0;
            values.retain(|_| {
                index += 1;
                kept(index - 1)
            });
        }
        match &mut self.values {
            Values::Bool(values) => retain(values, kept),
            Values::Int(values) => retain(values, kept),
            Values::UInt(values) => retain(values, kept),
            Values::Float(values) => retain(values, kept),
            Values::Text(values) => {
                let mut texts = Texts::default();
                (0..values.len()).filter(|&i| kept(i)).for_each(|i| texts.push(values.get(i)));
                *values = texts;
            }
        }
        if let Some(valid) = &mut self.valid {
            retain(valid, kept);
        }
    }

    /// Value `index` (of `rows * len`) as a number; `None` where it is missing.
    ///
    /// Text is read as a number; empty text and the usual words for nothing count as missing.
    pub fn number(&self, index: usize) -> Result<Option<f64>, NotANumber> {
        if !self.is_valid(index) {
            return Ok(None);
        }
        match &self.values {
            Values::Bool(values) => Ok(Some(f64::from(u8::from(values[index])))),
            Values::Int(values) => Ok(Some(values[index] as f64)),
            Values::UInt(values) => Ok(Some(values[index] as f64)),
            Values::Float(values) => Ok(Some(values[index])),
            Values::Text(values) => parse_number(values.get(index)),
        }
    }

    /// Value `index` as text, as an identifier would be written; `None` where it is missing or blank.
    pub fn text(&self, index: usize) -> Option<String> {
        if !self.is_valid(index) {
            return None;
        }
        match &self.values {
            Values::Bool(values) => Some(values[index].to_string()),
            Values::Int(values) => Some(values[index].to_string()),
            Values::UInt(values) => Some(values[index].to_string()),
            Values::Float(values) => Some(values[index].to_string()),
            Values::Text(values) => {
                Some(values.get(index)).filter(|t| !is_missing_word(t)).map(str::to_owned)
            }
        }
    }
}

/// Words that text tables write where there is no value.
pub fn is_missing_word(text: &str) -> bool {
    matches!(text.trim(), "" | "null" | "NULL" | "Null" | "None" | "N/A" | "NA" | "n/a" | "--" | "-" | "...")
}

/// A number as text tables write it (`1`, `1.5e3`, `1.5D3`, `nan`, `inf`); `None` for a missing one.
pub fn parse_number(text: &str) -> Result<Option<f64>, NotANumber> {
    let text = text.trim();
    if is_missing_word(text) {
        return Ok(None);
    }
    if let Ok(number) = text.parse() {
        return Ok(Some(number));
    }
    // Fortran's double precision exponent, which old catalogs have.
    if text.contains(['D', 'd'])
        && let Ok(number) = text.replace(['D', 'd'], "e").parse()
    {
        return Ok(Some(number));
    }
    Err(NotANumber { found: text.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_back_as_they_went_in() {
        let mut texts = Texts::default();
        for text in ["", "a", "", "émile", "\u{1b}[31m"] {
            texts.push(text);
        }
        assert_eq!(texts.len(), 5);
        assert_eq!((texts.get(0), texts.get(3), texts.get(4)), ("", "émile", "\u{1b}[31m"));
    }

    #[test]
    fn numbers_are_read_as_text_tables_write_them() {
        assert_eq!(parse_number(" 1.5e3 "), Ok(Some(1500.0)));
        assert_eq!(parse_number("1.5D3"), Ok(Some(1500.0)));
        assert_eq!(parse_number("-Inf"), Ok(Some(f64::NEG_INFINITY)));
        assert!(parse_number("NaN").unwrap().unwrap().is_nan());
        assert_eq!(parse_number(""), Ok(None));
        assert_eq!(parse_number("--"), Ok(None));
        assert_eq!(parse_number("12:30").unwrap_err().found, "12:30");
    }

    #[test]
    fn a_missing_value_is_neither_number_nor_text() {
        let mut column = Column::empty(&ColumnInfo::new("id", ColumnType::Int));
        column.push_null();
        if let Values::Int(values) = &mut column.values {
            values.push(7);
        }
        column.mark_valid();
        assert_eq!((column.number(0), column.text(0)), (Ok(None), None));
        assert_eq!((column.number(1), column.text(1)), (Ok(Some(7.0)), Some("7".to_owned())));
    }

    #[test]
    fn messages_show_control_characters_and_end() {
        assert_eq!(shorten("a\u{1b}[1m"), "a\\u{1b}[1m");
        assert_eq!(shorten(&"x".repeat(100)).len(), 43);
    }
}
