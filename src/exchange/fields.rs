//! What a column of an export is: name, type, unit, UCD, description.

use serde_json::{Map, Value};

use crate::tables::ColumnInfo;

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    Int,
    Float,
    /// Longest text in bytes; whether all of it is printable ASCII; whether any has blanks at an end.
    Text {
        bytes: usize,
        plain: bool,
        blanks: bool,
    },
    /// Greatest length, and whether every row has it.
    List {
        most: usize,
        same: bool,
    },
}

impl Kind {
    /// A text column of which nothing is known yet.
    pub const TEXT: Kind = Kind::Text { bytes: 0, plain: true, blanks: false };
}

#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    pub name: String,
    pub kind: Kind,
    /// `None` for a pure number, a text or a code.
    pub unit: Option<String>,
    /// A unit that the description says, as readers of the format do not know it.
    pub unit_in_words: Option<String>,
    pub ucd: Option<String>,
    pub description: String,
    pub nullable: bool,
    /// Of whole numbers: whether any is missing here, and whether any is too large for a double.
    pub gaps: bool,
    pub wide: bool,
    /// What a description in words cannot carry; see [`Notes`].
    pub notes: Notes,
}

impl Field {
    pub fn new(name: impl Into<String>, kind: Kind, description: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            kind,
            unit: None,
            unit_in_words: None,
            ucd: None,
            description: description.into(),
            nullable: true,
            gaps: false,
            wide: false,
            notes: Notes::default(),
        }
    }

    pub fn unit(mut self, unit: Option<&str>) -> Self {
        self.unit = unit.map(str::to_owned);
        self
    }

    pub fn ucd(mut self, ucd: Option<&str>) -> Self {
        self.ucd = ucd.map(str::to_owned);
        self
    }

    /// The name in the catalog, whatever it is in the file.
    pub fn catalog_name(&self) -> &str {
        self.notes.name.as_deref().unwrap_or(&self.name)
    }

    /// The description with the notes behind it, as files hold it.
    pub fn full_description(&self) -> String {
        let counted = !matches!(self.kind, Kind::Float | Kind::List { .. });
        let text = match (&self.unit, &self.unit_in_words) {
            (None, Some(unit)) => format!("{}; unit: {unit}", self.description),
            (None, None) if !counted => format!("{} (no unit)", self.description),
            _ => self.description.clone(),
        };
        match self.notes.to_json() {
            Some(notes) => format!("{text} [sedflow {notes}]"),
            None => text,
        }
    }
}

/// What `sedflow ingest` needs to read a column back as it was, kept at the end of its description.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Notes {
    /// The column's name in the catalog, where the file has another.
    pub name: Option<String>,
    /// Texts are percent-encoded, as the format cannot hold them.
    pub encoded: bool,
    /// Per survey, the filter curve of a band.
    pub filters: Vec<(String, String)>,
    /// Per survey, what was done about Galactic extinction.
    pub extinction: Vec<(String, String)>,
    /// Description and unit, where the format cannot hold them.
    pub words: Option<String>,
    pub unit: Option<String>,
    /// Of an extra column: the unit, UCD and description that the survey gave it are those in the file.
    pub extra: bool,
    /// Of `cuts_failed`: per survey the cuts with their bits.
    pub cuts: Option<Value>,
}

impl Notes {
    fn to_json(&self) -> Option<String> {
        let mut object = Map::new();
        if let Some(name) = &self.name {
            object.insert("name".into(), Value::from(name.as_str()));
        }
        for (key, text) in [("words", &self.words), ("unit", &self.unit)] {
            if let Some(text) = text {
                object.insert(key.into(), Value::from(text.as_str()));
            }
        }
        if self.encoded {
            object.insert("encoded".into(), true.into());
        }
        if self.extra {
            object.insert("extra".into(), true.into());
        }
        let pairs = |list: &[(String, String)]| {
            Value::Object(
                list.iter().map(|(key, value)| (key.clone(), Value::from(value.as_str()))).collect(),
            )
        };
        if !self.filters.is_empty() {
            object.insert("filters".into(), pairs(&self.filters));
        }
        if !self.extinction.is_empty() {
            object.insert("extinction".into(), pairs(&self.extinction));
        }
        if let Some(cuts) = &self.cuts {
            object.insert("cuts".into(), cuts.clone());
        }
        (!object.is_empty()).then(|| ascii_json(&Value::Object(object)))
    }

    /// Takes a description apart into its words and its notes.
    pub fn parse(description: &str) -> (&str, Self) {
        let none = || (description, Self::default());
        let Some((words, json)) = description.rsplit_once(" [sedflow ") else { return none() };
        let Some(Ok(Value::Object(object))) = json.strip_suffix(']').map(serde_json::from_str) else {
            return none();
        };
        let pairs = |key: &str| {
            let object = object.get(key).and_then(Value::as_object);
            let pair = |(key, value): (&String, &Value)| Some((key.clone(), value.as_str()?.to_owned()));
            object.map(|object| object.iter().filter_map(pair).collect()).unwrap_or_default()
        };
        let flag = |key: &str| object.get(key).and_then(Value::as_bool).unwrap_or(false);
        let text = |key: &str| object.get(key).and_then(Value::as_str).map(str::to_owned);
        let notes = Self {
            name: text("name"),
            words: text("words"),
            unit: text("unit"),
            encoded: flag("encoded"),
            extra: flag("extra"),
            filters: pairs("filters"),
            extinction: pairs("extinction"),
            cuts: object.get("cuts").cloned(),
        };
        (words, notes)
    }

    /// The notes of a column of a file.
    pub fn of(info: &ColumnInfo) -> Self {
        info.description.as_deref().map(|text| Self::parse(text).1).unwrap_or_default()
    }
}

/// JSON of printable ASCII alone.
pub fn ascii_json(value: &Value) -> String {
    let mut text = String::new();
    for c in value.to_string().chars() {
        if c.is_ascii_graphic() || c == ' ' {
            text.push(c);
        } else {
            let mut units = [0; 2];
            c.encode_utf16(&mut units).iter().for_each(|unit| text.push_str(&format!("\\u{unit:04x}")));
        }
    }
    text
}

/// What is said of the table as a whole: key, value, meaning.
#[derive(Debug, Clone, Default)]
pub struct Meta {
    /// Short name of the table.
    pub name: String,
    pub description: String,
    /// Keys of up to 8 capital letters and digits.
    pub pairs: Vec<(&'static str, String, &'static str)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_travel_in_a_description_of_plain_ascii() {
        let notes = Notes {
            name: Some("größe \u{1f30c}\u{1b}[1m".into()),
            words: Some("in é".into()),
            unit: Some("µJy".into()),
            encoded: true,
            filters: vec![("nsa".into(), "sdss2010-r".into()), ("a\"b".into(), "x]y".into())],
            extinction: vec![("nsa".into(), "corrected already".into())],
            extra: false,
            cuts: Some(serde_json::json!({"nsa": []})),
        };
        let field = Field { notes: notes.clone(), ..Field::new("a", Kind::Int, "words [of mine]") };
        let text = field.full_description();
        assert!(text.bytes().all(|b| (0x20..0x7f).contains(&b)), "{text}");
        assert_eq!(Notes::parse(&text), ("words [of mine]", notes));
        assert_eq!(Notes::parse("plain [sedflow nonsense]").1, Notes::default());
    }

    #[test]
    fn a_number_without_unit_says_so() {
        assert_eq!(Field::new("z", Kind::Float, "redshift").full_description(), "redshift (no unit)");
        let with = Field::new("a", Kind::Float, "age").unit(Some("Gyr"));
        assert_eq!(with.full_description(), "age");
        let mut mass = Field::new("m", Kind::Float, "log10 of mass");
        mass.unit_in_words = Some("log(solMass)".to_owned());
        assert_eq!(mass.full_description(), "log10 of mass; unit: log(solMass)");
    }
}
