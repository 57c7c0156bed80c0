//! Column maps: TOML that says which column is what, in which unit, and what was done to it.
//!
//! `sedflow ingest layouts NAME` prints a built-in one, which is the best start for a new one.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::units::Unit;

#[derive(Debug, Clone, PartialEq, Error)]
pub enum MapError {
    #[error("{0}")]
    Syntax(String),
    #[error("no [[band]] in the map")]
    NoBands,
    #[error("two bands are named `{name}`")]
    TwoBands { name: String },
    #[error("{where_}: {key} = {value}, which is not {expected}")]
    Value { where_: String, key: &'static str, value: f64, expected: &'static str },
    #[error("{where_} needs `{key}`: {why}")]
    Missing { where_: String, key: &'static str, why: &'static str },
}

/// A column map, as its file is written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColumnMap {
    pub name: String,
    #[serde(default)]
    pub description: String,
    /// Whom to cite for the photometry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// Name of the survey in the catalog, unless `--survey` says otherwise.
    pub survey: String,
    /// What a user should know; printed at every ingest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    #[serde(default)]
    pub detect: Detect,
    pub columns: Roles,
    pub photometry: Photometry,
    pub extinction: Extinction,
    #[serde(rename = "band")]
    pub bands: Vec<BandMap>,
    #[serde(default)]
    pub keep: Keep,
    /// Names that stand for numbers in the cuts.
    #[serde(default, skip_serializing_if = "toml::Table::is_empty")]
    pub constants: toml::Table,
    #[serde(default, rename = "cut", skip_serializing_if = "Vec::is_empty")]
    pub cuts: Vec<CutMap>,
}

/// How a built-in layout is recognised; the columns of its bands must be there too.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Detect {
    /// Columns that must be there, besides those of the bands.
    #[serde(default)]
    pub all: Vec<String>,
    /// Columns that must not be there.
    #[serde(default)]
    pub none: Vec<String>,
}

/// One column, or several of which the first that is there is taken. `FLUX[2]` is an element of a
/// vector, counted from 0.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum OneOf {
    One(String),
    FirstOf(Vec<String>),
}

impl OneOf {
    pub fn names(&self) -> &[String] {
        match self {
            OneOf::One(name) => std::slice::from_ref(name),
            OneOf::FirstOf(names) => names,
        }
    }
}

/// The identifier: a column, columns joined by `-`, or `@row`, the row in the file from 0.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum IdColumn {
    One(String),
    FirstOf(Vec<IdParts>),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum IdParts {
    One(String),
    Joined(Vec<String>),
}

impl IdColumn {
    /// The alternatives, each a list of columns to join.
    pub fn alternatives(&self) -> Vec<&[String]> {
        match self {
            IdColumn::One(name) => vec![std::slice::from_ref(name)],
            IdColumn::FirstOf(parts) => parts
                .iter()
                .map(|parts| match parts {
                    IdParts::One(name) => std::slice::from_ref(name),
                    IdParts::Joined(names) => names.as_slice(),
                })
                .collect(),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Roles {
    pub id: IdColumn,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ra: Option<OneOf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dec: Option<OneOf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redshift: Option<OneOf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redshift_err: Option<OneOf>,
}

/// What the numbers of a band are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Quantity {
    Flux,
    /// Pogson magnitudes.
    Mag,
    /// Asinh magnitudes (Lupton, Gunn & Szalay 1999) with the band's `softening`.
    Luptitude,
}

/// What the number beside a flux says about its error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ErrorKind {
    /// Standard deviation, in the unit of the quantity.
    Sigma,
    /// Inverse variance of a flux.
    Ivar,
    /// Error in magnitudes of a quantity given as flux.
    Mag,
    /// No error is given; `error_floor` is the whole error.
    None,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Photometry {
    pub quantity: Quantity,
    /// Absent: the unit that the file states.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<Unit>,
    pub error: ErrorKind,
    /// Values that mean "no value", in photometry, redshift and position.
    #[serde(default = "usual_sentinels")]
    pub sentinels: Vec<f64>,
    /// A negative error marks the flux as an upper limit (as CIGALE writes it); else it is no error.
    #[serde(default)]
    pub negative_error_is_limit: bool,
}

fn usual_sentinels() -> Vec<f64> {
    vec![-99.0, -999.0, -9999.0]
}

/// What is done about dust of the Milky Way. Fluxes are never corrected twice.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", tag = "kind")]
pub enum Extinction {
    /// The file's fluxes are corrected already.
    Corrected {
        #[serde(default)]
        by: String,
    },
    /// Not corrected, and left so.
    None,
    /// Each band has a column of extinction in magnitudes.
    ABand,
    /// Each band has a column of transmission, by which the flux is divided.
    Transmission,
    /// A column of E(B-V), times a coefficient per band.
    Ebv {
        column: OneOf,
        #[serde(default)]
        law: Law,
    },
}

impl Extinction {
    pub fn word(&self) -> &'static str {
        match self {
            Extinction::Corrected { .. } => "corrected",
            Extinction::None => "none",
            Extinction::ABand => "a-band",
            Extinction::Transmission => "transmission",
            Extinction::Ebv { .. } => "ebv",
        }
    }
}

/// Where `A_band / E(B-V)` comes from where a band does not state it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Law {
    /// Schlafly & Finkbeiner 2011: for E(B-V) of the SFD map, recalibrated (R_V = 3.1).
    #[default]
    #[serde(rename = "schlafly-finkbeiner-2011")]
    SchlaflyFinkbeiner2011,
    /// Fitzpatrick 1999, R_V = 3.1: for a true E(B-V), from the filter curve.
    #[serde(rename = "fitzpatrick-1999")]
    Fitzpatrick1999,
}

impl Law {
    pub fn name(self) -> &'static str {
        match self {
            Law::SchlaflyFinkbeiner2011 => "Schlafly & Finkbeiner 2011",
            Law::Fitzpatrick1999 => "Fitzpatrick 1999",
        }
    }
}

/// One band. `quantity`, `unit` and `error_kind` override those of [`Photometry`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BandMap {
    /// Short name within the survey, `r`.
    pub name: String,
    /// Name of a shipped filter curve, or a file. Without it the band is kept but cannot be modelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ucd: Option<String>,
    pub flux: OneOf,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<OneOf>,
    /// Column of A_band (mag) or of the transmission, as `extinction` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extinction: Option<OneOf>,
    /// `A_band / E(B-V)`, instead of the law's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub a_per_ebv: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantity: Option<Quantity>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<Unit>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_kind: Option<ErrorKind>,
    /// Magnitudes to add so that the magnitude is on the AB system.
    #[serde(default)]
    pub ab_offset: f64,
    /// AB magnitude of Vega in the band: `m_AB = m_Vega + vega_to_ab`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vega_to_ab: Option<f64>,
    /// Softening `b` of luptitudes, in maggies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub softening: Option<f64>,
    /// Error added in quadrature, in magnitudes.
    #[serde(default)]
    pub error_floor: f64,
    /// Rows in which the band was observed; the first condition whose columns are there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<OneOf>,
    /// The band may be absent from the file.
    #[serde(default)]
    pub optional: bool,
}

/// Which of the other columns are kept beside the photometry.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keep {
    /// `"scalars"` (default), `"none"`, or a list; a vector in it is kept element by element.
    #[serde(default)]
    pub columns: KeepColumns,
    /// Columns that are not kept.
    #[serde(default)]
    pub omit: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum KeepColumns {
    Word(KeepWord),
    List(Vec<String>),
}

impl Default for KeepColumns {
    fn default() -> Self {
        KeepColumns::Word(KeepWord::Scalars)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeepWord {
    Scalars,
    None,
}

/// A quality cut. A galaxy fails it where `fail` is true, or where `require` is not true.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CutMap {
    pub name: String,
    #[serde(default)]
    pub description: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub require: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fail: Option<String>,
    /// Bands that `{band}` (name) and `{element}` (number) stand for; any of them failing fails the cut.
    #[serde(default, skip_serializing_if = "toml::Table::is_empty")]
    pub elements: toml::Table,
    /// The bands of `elements` that count; absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bands: Option<Vec<String>>,
}

/// A file of cuts alone, for `--cuts`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CutFile {
    pub name: String,
    #[serde(default)]
    pub description: String,
    #[serde(default)]
    pub constants: toml::Table,
    #[serde(default, rename = "cut")]
    pub cuts: Vec<CutMap>,
}

impl CutFile {
    /// Errors with the line that is wrong.
    pub fn parse(text: &str) -> Result<Self, MapError> {
        toml::from_str(text).map_err(|error| MapError::Syntax(error.to_string()))
    }
}

impl ColumnMap {
    /// Reads and checks a map. Errors name the line, or the band and key.
    pub fn parse(text: &str) -> Result<Self, MapError> {
        let map: ColumnMap = toml::from_str(text).map_err(|error| MapError::Syntax(error.to_string()))?;
        map.check()?;
        Ok(map)
    }

    fn check(&self) -> Result<(), MapError> {
        if self.bands.is_empty() {
            return Err(MapError::NoBands);
        }
        for (i, band) in self.bands.iter().enumerate() {
            if self.bands[..i].iter().any(|other| other.name == band.name) {
                return Err(MapError::TwoBands { name: band.name.clone() });
            }
            self.check_band(band)?;
        }
        Ok(())
    }

    fn check_band(&self, band: &BandMap) -> Result<(), MapError> {
        let where_ = || format!("band `{}`", band.name);
        let missing = |key, why| Err(MapError::Missing { where_: where_(), key, why });
        let value = |key, value: f64, expected, good: bool| match good {
            true => Ok(()),
            false => Err(MapError::Value { where_: where_(), key, value, expected }),
        };
        value("ab_offset", band.ab_offset, "between -5 and 5 mag", band.ab_offset.abs() <= 5.0)?;
        value(
            "error_floor",
            band.error_floor,
            "between 0 and 5 mag",
            (0.0..=5.0).contains(&band.error_floor),
        )?;
        let a = band.a_per_ebv.unwrap_or(1.0);
        value("a_per_ebv", a, "between 0 and 20", (0.0..=20.0).contains(&a))?;
        let softening = band.softening.unwrap_or(1e-10);
        value("softening", softening, "above 0 and below 1 maggie", softening > 0.0 && softening < 1.0)?;
        let quantity = band.quantity.unwrap_or(self.photometry.quantity);
        let unit = band.unit.or(self.photometry.unit);
        match (quantity, unit) {
            (Quantity::Flux, Some(Unit::AbMag | Unit::VegaMag)) => {
                return missing("quantity", "`unit` is a magnitude, so `quantity` must be \"mag\"");
            }
            (Quantity::Mag | Quantity::Luptitude, Some(unit)) if unit.nmgy().is_some() => {
                return missing("unit", "magnitudes are in \"AB\" or \"Vega\"");
            }
            _ => {}
        }
        if quantity == Quantity::Luptitude && band.softening.is_none() {
            return missing("softening", "luptitudes are undefined without it");
        }
        let kind = band.error_kind.unwrap_or(self.photometry.error);
        match kind {
            ErrorKind::None if band.error_floor == 0.0 => {
                return missing("error_floor", "a flux without any error says nothing");
            }
            ErrorKind::Ivar if quantity != Quantity::Flux => {
                return missing(
                    "error_kind",
                    "an inverse variance goes with fluxes; magnitudes have \"sigma\"",
                );
            }
            ErrorKind::None => {}
            _ if band.error.is_none() => return missing("error", "it has no error column"),
            _ => {}
        }
        if matches!(self.extinction, Extinction::ABand | Extinction::Transmission)
            && band.extinction.is_none()
        {
            return missing("extinction", "the map says that each band has a column of it");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAP: &str = r#"
name = "mine"
survey = "mine"
[columns]
id = ["ID", ["A", "B"], "@row"]
[photometry]
quantity = "flux"
unit = "nmgy"
error = "ivar"
[extinction]
kind = "none"
[[band]]
name = "r"
filter = "sdss2010-r"
flux = "FLUX[2]"
error = ["IVAR[2]", "IV_R"]
"#;

    #[test]
    fn a_small_map_is_read_with_its_defaults() {
        let map = ColumnMap::parse(MAP).unwrap();
        assert_eq!(map.columns.id.alternatives().len(), 3);
        assert_eq!(map.columns.id.alternatives()[1], ["A", "B"]);
        assert_eq!(map.photometry.sentinels, [-99.0, -999.0, -9999.0]);
        assert_eq!(map.bands[0].error.as_ref().unwrap().names().len(), 2);
        assert_eq!(map.keep.columns, KeepColumns::Word(KeepWord::Scalars));
    }

    #[test]
    fn what_a_map_lacks_or_contradicts_is_named() {
        for (from, to, words) in [
            ("unit = \"nmgy\"", "unit = \"furlong\"", "furlong"),
            ("kind = \"none\"", "kind = \"maybe\"", "maybe"),
            ("name = \"r\"", "name = \"r\"\ncolour = 1", "colour"),
            ("error = [\"IVAR[2]\", \"IV_R\"]", "", "`error`"),
            ("unit = \"nmgy\"", "unit = \"AB\"", "`quantity`"),
            ("quantity = \"flux\"", "quantity = \"mag\"", "`unit`"),
            ("kind = \"none\"", "kind = \"a-band\"", "`extinction`"),
            ("name = \"r\"", "name = \"r\"\nerror_floor = -1", "error_floor"),
            ("name = \"r\"", "name = \"r\"\nab_offset = nan", "ab_offset"),
            ("error = \"ivar\"", "error = \"none\"", "`error_floor`"),
            ("[[band]]", "[[nobody]]", "nobody"),
            ("name = \"mine\"", "name = 3", "string"),
        ] {
            assert!(MAP.contains(from), "{from}");
            let message = ColumnMap::parse(&MAP.replacen(from, to, 1)).unwrap_err().to_string();
            assert!(message.contains(words), "{words}: {message}");
        }
        let twice = format!("{MAP}[[band]]\nname = \"r\"\nflux = \"G\"\nerror = \"H\"\n");
        assert_eq!(ColumnMap::parse(&twice), Err(MapError::TwoBands { name: "r".to_owned() }));
        let lupt =
            MAP.replace("\"flux\"", "\"luptitude\"").replace("nmgy", "AB").replace("\"ivar\"", "\"sigma\"");
        assert!(ColumnMap::parse(&lupt).unwrap_err().to_string().contains("softening"));
    }
}
