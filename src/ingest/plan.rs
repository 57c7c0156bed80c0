//! A column map met with a table: every name found, every unit known, every number ready to convert.

use thiserror::Error;

use super::columns::{Cell, Selection};
use super::cuts::{Bound, Cut, Names};
use super::extinction::coefficient;
use super::map::{BandMap, ColumnMap, ErrorKind, Extinction, KeepColumns, KeepWord, OneOf, Quantity};
use super::units::Unit;
use crate::exchange::columns::Scale;
use crate::expr::ExprError;
use crate::filters::{self, Filter, FilterError};
use crate::tables::ColumnInfo;

#[derive(Debug, Error)]
pub enum PlanError {
    #[error("there is no column `{wanted}` for {what}; there is {present}")]
    MissingColumn { what: String, wanted: String, present: String },
    #[error(
        "column `{column}` ({what}) has no unit, and none is guessed: write `unit = \"...\"` in a column map, one of {}",
        unit_names()
    )]
    NoUnit { what: String, column: String },
    #[error(
        "column `{column}` ({what}) is in `{unit}`, which is none of {}; write `unit` in a column map",
        unit_names()
    )]
    UnknownUnit { what: String, column: String, unit: String },
    #[error("column `{column}` ({what}) is in `{found}`, but the map says {expected}")]
    OtherUnit { what: String, column: String, found: String, expected: &'static str },
    #[error("band `{band}` is in Vega magnitudes and needs `vega_to_ab`, the AB magnitude of Vega in it")]
    NoVegaOffset { band: String },
    #[error("band `{band}` has no filter, so its extinction needs `a_per_ebv`")]
    NoCoefficient { band: String },
    #[error("band `{band}`: {source}")]
    Filter { band: String, source: FilterError },
    #[error("none of the bands is in this file; the first would be `{wanted}`, there is {present}")]
    NoBand { wanted: String, present: String },
    #[error("{what}: {error}")]
    Expr { what: String, error: ExprError },
    #[error("cut `{cut}`: {what}")]
    Cut { cut: String, what: String },
    #[error("{n} cuts are more than the 63 there can be")]
    TooManyCuts { n: usize },
}

fn unit_names() -> String {
    Unit::ALL.map(Unit::name).join(", ")
}

/// How the number of a band becomes nanomaggies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Conversion {
    /// Times this.
    Linear { nmgy: f64 },
    /// `10^(0.4 (22.5 - m - offset))`.
    Mag { offset: f64 },
    /// Asinh magnitudes with softening in maggies.
    Luptitude { offset: f64, softening: f64 },
}

/// How the error number of a band becomes a standard deviation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ErrorConversion {
    /// Nanomaggies per unit.
    Sigma {
        nmgy: f64,
    },
    /// Nanomaggies per unit whose inverse square it is.
    Ivar {
        nmgy: f64,
    },
    Mag,
}

#[derive(Debug, Clone, Copy)]
pub enum ExtinctionPlan {
    None,
    /// Magnitudes.
    ABand(Cell),
    Transmission(Cell),
    /// E(B-V) and `A_band / E(B-V)`.
    Ebv(Cell, f64),
}

#[derive(Debug, Clone)]
pub struct BandPlan {
    pub name: String,
    pub filter: Option<Filter>,
    pub ucd: Option<String>,
    /// As the file names them, for display.
    pub flux_column: String,
    pub error_column: Option<String>,
    pub flux_unit: &'static str,
    pub flux: Cell,
    pub error: Option<Cell>,
    pub conversion: Conversion,
    pub error_conversion: ErrorConversion,
    pub extinction: ExtinctionPlan,
    /// Flux is multiplied by this, `10^(-0.4 ab_offset)`.
    pub ab_factor: f64,
    pub ab_offset: f64,
    pub error_floor: f64,
    pub when: Option<Bound>,
    /// Flux, inverse variance and flags are taken as they are, which [`super::sedflow`] asks for.
    pub verbatim: Option<Verbatim>,
}

/// Photometry that this program wrote.
#[derive(Debug, Clone, Copy)]
pub struct Verbatim {
    pub flags: Cell,
    pub flux: Scale,
    pub ivar: Scale,
}

#[derive(Debug, Clone)]
pub struct ExtraPlan {
    pub name: String,
    pub info: ColumnInfo,
    pub cell: Cell,
}

#[derive(Debug, Clone)]
pub enum IdPlan {
    Row,
    Columns(Vec<Cell>),
}

/// Everything needed to turn blocks of a table into galaxies.
#[derive(Debug, Clone)]
pub struct Plan {
    pub map: ColumnMap,
    /// Columns of the table to read, for [`crate::tables::Table::select`].
    pub selected: Vec<usize>,
    pub id: IdPlan,
    pub ra: Option<Cell>,
    pub dec: Option<Cell>,
    pub redshift: Option<Cell>,
    pub redshift_err: Option<Cell>,
    pub bands: Vec<BandPlan>,
    pub extra: Vec<ExtraPlan>,
    pub cuts: Vec<Cut>,
    /// A column of cuts failed, and the bits of `cuts` in it.
    pub cuts_column: Option<(Cell, Vec<u32>)>,
    /// What was done about Galactic extinction, in words.
    pub extinction: String,
    /// Role and column, for display.
    pub matched: Vec<(String, String)>,
    /// Things a user should know.
    pub notes: Vec<String>,
}

/// How a filter is found by the name that a column map gives.
type FindFilter<'a> = dyn Fn(&str) -> Result<Filter, FilterError> + 'a;

impl Plan {
    /// Finds everything that `map` names among `columns`; nothing is guessed. Filters are shipped or in files.
    pub fn new(map: &ColumnMap, columns: &[ColumnInfo]) -> Result<Self, PlanError> {
        Self::with_filters(map, columns, &filters::resolve)
    }

    /// [`Plan::new`] with filters found by `filter`.
    pub fn with_filters(
        map: &ColumnMap,
        columns: &[ColumnInfo],
        filter: &FindFilter,
    ) -> Result<Self, PlanError> {
        let mut selection = Selection::new(columns);
        let mut matched = Vec::new();
        let mut notes = Vec::new();
        let name_of = |(column, element): (usize, usize)| match columns[column].len {
            1 => columns[column].name.clone(),
            _ => format!("{}[{element}]", columns[column].name),
        };

        let id = find_id(map, &mut selection, &mut matched)?;
        let mut role = |what: &str, wanted: &Option<OneOf>, selection: &mut Selection| {
            let Some(wanted) = wanted else { return Ok(None) };
            match selection.first(wanted.names()) {
                Some(at) => {
                    matched.push((what.to_owned(), name_of(at)));
                    Ok(Some(selection.choose(at.0, at.1)))
                }
                // Only a map that insists on one name means it; a list of alternatives says "where there is one".
                None => match wanted {
                    OneOf::One(name) => Err(missing(what, name, selection)),
                    OneOf::FirstOf(_) => Ok(None),
                },
            }
        };
        let ra = role("right ascension", &map.columns.ra, &mut selection)?;
        let dec = role("declination", &map.columns.dec, &mut selection)?;
        let redshift = role("redshift", &map.columns.redshift, &mut selection)?;
        let redshift_err = role("redshift error", &map.columns.redshift_err, &mut selection)?;
        if redshift.is_none() {
            notes.push("no redshift column: galaxies are kept without redshift".to_owned());
        }
        if ra.is_none() || dec.is_none() {
            notes.push("no position columns: galaxies are kept without position".to_owned());
        }

        let mut bands = Vec::new();
        let mut absent = Vec::new();
        for band in &map.bands {
            let there = selection.first(band.flux.names()).is_some()
                && band.error.as_ref().is_none_or(|error| selection.first(error.names()).is_some());
            if band.optional && !there {
                absent.push(band.name.as_str());
                continue;
            }
            bands.push(plan_band(map, band, filter, &mut selection, &mut notes)?);
        }
        if bands.is_empty() {
            let wanted =
                map.bands.first().and_then(|band| band.flux.names().first()).cloned().unwrap_or_default();
            let present = selection.like(&wanted);
            return Err(PlanError::NoBand { wanted, present });
        }
        if !absent.is_empty() && absent.len() <= 8 {
            notes.push(format!("bands not in this file: {}", absent.join(", ")));
        }

        let extinction = describe_extinction(map, &bands, columns, &selection);
        let band_names: Vec<String> = bands.iter().map(|band| band.name.clone()).collect();
        let extra = plan_extra(map, &mut selection)?;
        let names = Names { constants: &map.constants, bands: &band_names };
        let cuts: Vec<Cut> =
            map.cuts.iter().map(|cut| Cut::new(cut, &names, &mut selection)).collect::<Result<_, _>>()?;
        if cuts.len() > 63 {
            return Err(PlanError::TooManyCuts { n: cuts.len() });
        }
        notes.extend(map.notes.iter().cloned());
        let selected = selection.into_chosen();
        let map = map.clone();
        Ok(Self {
            map,
            selected,
            id,
            ra,
            dec,
            redshift,
            redshift_err,
            bands,
            extra,
            cuts,
            cuts_column: None,
            extinction,
            matched,
            notes,
        })
    }
}

fn missing(what: &str, wanted: &str, selection: &Selection) -> PlanError {
    PlanError::MissingColumn {
        what: what.to_owned(),
        wanted: wanted.to_owned(),
        present: selection.like(wanted),
    }
}

fn find_id(
    map: &ColumnMap,
    selection: &mut Selection,
    matched: &mut Vec<(String, String)>,
) -> Result<IdPlan, PlanError> {
    let alternatives = map.columns.id.alternatives();
    for parts in &alternatives {
        if let [only] = parts
            && only == "@row"
        {
            matched.push(("identifier".to_owned(), "row number, from 0".to_owned()));
            return Ok(IdPlan::Row);
        }
        let found: Option<Vec<_>> = parts.iter().map(|part| selection.find(part)).collect();
        if let Some(found) = found.filter(|found| !found.is_empty()) {
            matched.push(("identifier".to_owned(), parts.join("-")));
            return Ok(IdPlan::Columns(found.into_iter().map(|(c, e)| selection.choose(c, e)).collect()));
        }
    }
    let wanted = alternatives.first().map(|parts| parts.join("-")).unwrap_or_default();
    Err(missing("the identifier", &wanted, selection))
}

fn plan_band(
    map: &ColumnMap,
    band: &BandMap,
    filter: &FindFilter,
    selection: &mut Selection,
    notes: &mut Vec<String>,
) -> Result<BandPlan, PlanError> {
    let columns = selection.columns();
    let find = |what: &str, wanted: &OneOf, selection: &Selection| {
        let what = format!("{what} of band `{}`", band.name);
        let first = wanted.names().first().cloned().unwrap_or_default();
        selection.first(wanted.names()).ok_or_else(|| missing(&what, &first, selection))
    };
    let shown = |(column, element): (usize, usize)| match columns[column].len {
        1 => columns[column].name.clone(),
        _ => format!("{}[{element}]", columns[column].name),
    };
    let flux_at = find("flux", &band.flux, selection)?;
    let quantity = band.quantity.unwrap_or(map.photometry.quantity);
    let kind = band.error_kind.unwrap_or(map.photometry.error);
    let stated = band.unit.or(map.photometry.unit);
    let unit = resolve_unit(quantity, stated, &columns[flux_at.0], &band.name, notes)?;

    let mut offset = 0.0;
    if unit == Unit::VegaMag {
        offset = band.vega_to_ab.ok_or_else(|| PlanError::NoVegaOffset { band: band.name.clone() })?;
    }
    let (conversion, nmgy) = match quantity {
        Quantity::Flux => {
            let nmgy = unit.nmgy().unwrap_or(1.0);
            (Conversion::Linear { nmgy }, nmgy)
        }
        Quantity::Mag => (Conversion::Mag { offset }, 1.0),
        Quantity::Luptitude => {
            (Conversion::Luptitude { offset, softening: band.softening.unwrap_or(1e-10) }, 1.0)
        }
    };
    let error_at = match (&band.error, kind) {
        (_, ErrorKind::None) | (None, _) => None,
        (Some(error), _) => Some(find("error", error, selection)?),
    };
    let error_conversion = match (quantity, kind) {
        (Quantity::Mag | Quantity::Luptitude, _) | (_, ErrorKind::Mag | ErrorKind::None) => {
            ErrorConversion::Mag
        }
        (_, ErrorKind::Sigma) => {
            let own = error_at.and_then(|at| columns[at.0].unit.as_deref()).and_then(Unit::from_words);
            ErrorConversion::Sigma { nmgy: own.and_then(Unit::nmgy).unwrap_or(nmgy) }
        }
        (_, ErrorKind::Ivar) => {
            let own =
                error_at.and_then(|at| columns[at.0].unit.as_deref()).and_then(Unit::from_inverse_square);
            ErrorConversion::Ivar { nmgy: own.and_then(Unit::nmgy).unwrap_or(nmgy) }
        }
    };

    let filter = band.filter.as_deref().map(filter).transpose();
    let filter = filter.map_err(|source| PlanError::Filter { band: band.name.clone(), source })?;
    if filter.is_none() {
        notes.push(format!("band {} has no filter curve: it is kept, but no model can use it", band.name));
    }
    let extinction = plan_extinction(map, band, filter.as_ref(), selection)?;
    let flux = selection.choose(flux_at.0, flux_at.1);
    let error = error_at.map(|at| selection.choose(at.0, at.1));
    let when = band.when.as_ref().map(|conditions| plan_when(band, conditions, selection)).transpose()?;
    Ok(BandPlan {
        name: band.name.clone(),
        filter,
        ucd: band.ucd.clone(),
        flux_column: shown(flux_at),
        error_column: error_at.map(shown),
        flux_unit: unit.name(),
        flux,
        error,
        conversion,
        error_conversion,
        extinction,
        ab_factor: 10_f64.powf(-0.4 * band.ab_offset),
        ab_offset: band.ab_offset,
        error_floor: band.error_floor,
        when,
        verbatim: None,
    })
}

/// The unit of a band: the map's, else the file's; both must agree where both speak.
fn resolve_unit(
    quantity: Quantity,
    stated: Option<Unit>,
    column: &ColumnInfo,
    band: &str,
    notes: &mut Vec<String>,
) -> Result<Unit, PlanError> {
    let what = || format!("band `{band}`");
    let words = column.unit.as_deref().map(str::trim).filter(|words| !words.is_empty());
    let from_file = words.and_then(Unit::from_words);
    let fits = |unit: Unit| (quantity == Quantity::Flux) == unit.nmgy().is_some();
    match (stated, from_file) {
        (Some(stated), Some(found)) if stated != found => Err(PlanError::OtherUnit {
            what: what(),
            column: column.name.clone(),
            found: words.unwrap_or_default().to_owned(),
            expected: stated.name(),
        }),
        (Some(stated), _) => {
            let bare_mag =
                quantity != Quantity::Flux && words.is_some_and(|words| words.eq_ignore_ascii_case("mag"));
            if let (Some(words), None, false) = (words, from_file, bare_mag) {
                notes.push(format!(
                    "column {}: its unit `{words}` is read as {}",
                    column.name,
                    stated.name()
                ));
            }
            Ok(stated)
        }
        (None, Some(found)) if fits(found) => Ok(found),
        (None, _) => Err(match words {
            Some(unit) => {
                PlanError::UnknownUnit { what: what(), column: column.name.clone(), unit: unit.to_owned() }
            }
            None => PlanError::NoUnit { what: what(), column: column.name.clone() },
        }),
    }
}

fn plan_extinction(
    map: &ColumnMap,
    band: &BandMap,
    filter: Option<&Filter>,
    selection: &mut Selection,
) -> Result<ExtinctionPlan, PlanError> {
    let mut cell = |what: &str, wanted: &OneOf| {
        let first = wanted.names().first().cloned().unwrap_or_default();
        match selection.first(wanted.names()) {
            Some((column, element)) => Ok(selection.choose(column, element)),
            None => Err(missing(&format!("{what} of band `{}`", band.name), &first, selection)),
        }
    };
    Ok(match (&map.extinction, &band.extinction) {
        (Extinction::ABand, Some(wanted)) => ExtinctionPlan::ABand(cell("extinction", wanted)?),
        (Extinction::Transmission, Some(wanted)) => {
            ExtinctionPlan::Transmission(cell("transmission", wanted)?)
        }
        (Extinction::Ebv { column, law }, _) => {
            let per_ebv = match (band.a_per_ebv, filter) {
                (Some(stated), _) => stated,
                (None, Some(filter)) => coefficient(*law, filter).0,
                (None, None) => return Err(PlanError::NoCoefficient { band: band.name.clone() }),
            };
            ExtinctionPlan::Ebv(cell("E(B-V)", column)?, per_ebv)
        }
        _ => ExtinctionPlan::None,
    })
}

/// The first condition all of whose columns are there.
fn plan_when(band: &BandMap, conditions: &OneOf, selection: &mut Selection) -> Result<Bound, PlanError> {
    let constants = toml::Table::new();
    let names = Names { constants: &constants, bands: &[] };
    let mut first_error = None;
    for condition in conditions.names() {
        match Bound::new(condition, &names, selection) {
            Ok(bound) => return Ok(bound),
            Err(error) => first_error = first_error.or(Some(error)),
        }
    }
    let error = first_error.unwrap_or_else(|| ExprError::new("", 0, "no condition"));
    Err(PlanError::Expr { what: format!("`when` of band `{}`", band.name), error })
}

fn describe_extinction(
    map: &ColumnMap,
    bands: &[BandPlan],
    columns: &[ColumnInfo],
    selection: &Selection,
) -> String {
    match &map.extinction {
        Extinction::Corrected { by } if by.is_empty() => {
            "corrected by whoever made the file; not applied again".to_owned()
        }
        Extinction::Corrected { by } => format!("corrected already: {by}; not applied again"),
        Extinction::None => "not corrected: the fluxes are left as they are".to_owned(),
        Extinction::ABand => "corrected here with the file's extinction in magnitudes per band".to_owned(),
        Extinction::Transmission => "corrected here: divided by the file's transmission per band".to_owned(),
        Extinction::Ebv { column, law } => {
            let name = selection.first(column.names()).map_or("?", |(i, _)| columns[i].name.as_str());
            let coefficients: Vec<String> = bands
                .iter()
                .filter_map(|band| match band.extinction {
                    ExtinctionPlan::Ebv(_, per_ebv) => Some(format!("{} {per_ebv:.3}", band.name)),
                    _ => None,
                })
                .collect();
            format!("corrected here with {name} times {} ({})", law.name(), coefficients.join(", "))
        }
    }
}

fn plan_extra(map: &ColumnMap, selection: &mut Selection) -> Result<Vec<ExtraPlan>, PlanError> {
    let columns = selection.columns();
    let omitted = |name: &str| map.keep.omit.iter().any(|omit| omit.eq_ignore_ascii_case(name));
    let wanted: Vec<usize> = match &map.keep.columns {
        KeepColumns::Word(KeepWord::None) => Vec::new(),
        KeepColumns::Word(KeepWord::Scalars) => (0..columns.len())
            .filter(|&i| columns[i].len == 1 && !selection.is_chosen(i) && !omitted(&columns[i].name))
            .collect(),
        KeepColumns::List(names) => {
            let find = |name: &String| {
                selection.column(name).ok_or_else(|| missing("a column to keep", name, selection))
            };
            names.iter().map(find).collect::<Result<_, _>>()?
        }
    };
    let mut extra: Vec<ExtraPlan> = Vec::new();
    for column in wanted {
        let info = &columns[column];
        for element in 0..info.len {
            let name = if info.len == 1 { info.name.clone() } else { format!("{}[{element}]", info.name) };
            // Two columns of one name could not be told apart.
            if extra.iter().all(|known| known.name != name) {
                let cell = selection.choose(column, element);
                extra.push(ExtraPlan { name, info: info.clone(), cell });
            }
        }
    }
    Ok(extra)
}
