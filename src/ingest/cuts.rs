//! Quality cuts as data: conditions on columns and on the converted photometry, one bit each.

use serde_json::{Value as Json, json};

use super::columns::{Cell, Selection};
use super::map::CutMap;
use super::plan::PlanError;
use crate::expr::{Expr, ExprError, Value};
use crate::galaxy::GalaxyRecord;
use crate::tables::{Block, ColumnType, Values};

/// An expression whose names are bound to where their values come from.
#[derive(Debug, Clone)]
pub struct Bound {
    expr: Expr,
    sources: Vec<Source>,
}

#[derive(Debug, Clone, Copy)]
enum Source {
    Cell(Cell, ColumnType),
    Constant(f64),
    Ra,
    Dec,
    Redshift,
    RedshiftErr,
    Flux(usize),
    Sigma(usize),
    Snr(usize),
    Mag(usize),
}

/// A cut of a survey.
#[derive(Debug, Clone)]
pub struct Cut {
    pub name: String,
    pub description: String,
    /// What the catalog keeps of it.
    pub definition: Json,
    require: Vec<Bound>,
    fail: Vec<Bound>,
}

/// What names in a cut can mean besides columns.
pub struct Names<'n> {
    pub constants: &'n toml::Table,
    pub bands: &'n [String],
}

impl Bound {
    /// Parses `text` and finds its names: constants, then `redshift`, `ra_deg`, `flux_r`, `sigma_r`, `snr_r`,
    /// `mag_r` of the converted galaxy, then columns.
    pub fn new(text: &str, names: &Names, selection: &mut Selection) -> Result<Self, ExprError> {
        let expr = Expr::parse(text)?;
        let mut sources = Vec::new();
        for name in expr.names() {
            let source = match name.element {
                Some(element) => selection.element(&name.name, element).map(|at| cell(at, selection)),
                None => source(&name.name, names, selection),
            };
            sources.push(source.ok_or_else(|| {
                let what = format!("there is no column `{name}`; there is {}", selection.like(&name.name));
                ExprError::new(text, name.at, what)
            })?);
        }
        Ok(Self { expr, sources })
    }

    /// Whether it holds for a row; `None` where a missing value leaves it open, or values do not go together.
    pub fn holds(&self, block: &Block, row: usize, galaxy: Option<&GalaxyRecord>) -> Option<bool> {
        let lookup = |index: usize| -> Value<'_> { value(&self.sources[index], block, row, galaxy) };
        self.expr.holds(&lookup).ok().flatten()
    }
}

fn cell((column, element): (usize, usize), selection: &mut Selection) -> Source {
    let kind = selection.columns()[column].kind;
    Source::Cell(selection.choose(column, element), kind)
}

fn source(name: &str, names: &Names, selection: &mut Selection) -> Option<Source> {
    match names.constants.get(name) {
        Some(toml::Value::Integer(value)) => return Some(Source::Constant(*value as f64)),
        Some(toml::Value::Float(value)) => return Some(Source::Constant(*value)),
        _ => {}
    }
    let band = |prefix: &str| {
        let band = name.strip_prefix(prefix)?;
        names.bands.iter().position(|known| known == band)
    };
    let ours = match name {
        "redshift" => Some(Source::Redshift),
        "redshift_err" => Some(Source::RedshiftErr),
        "ra_deg" => Some(Source::Ra),
        "dec_deg" => Some(Source::Dec),
        _ => (band("flux_").map(Source::Flux))
            .or_else(|| band("sigma_").map(Source::Sigma))
            .or_else(|| band("snr_").map(Source::Snr))
            .or_else(|| band("mag_").map(Source::Mag)),
    };
    ours.or_else(|| selection.find(name).map(|at| cell(at, selection)))
}

fn value<'b>(source: &Source, block: &'b Block, row: usize, galaxy: Option<&GalaxyRecord>) -> Value<'b> {
    let number = |value: Option<f64>| value.map_or(Value::Null, Value::Number);
    let band = |index: &usize| galaxy.and_then(|galaxy| galaxy.photometry.get(*index));
    let sigma = |index: &usize| band(index).and_then(|band| band.ivar_nmgy).map(|ivar| ivar.powf(-0.5));
    match source {
        Source::Constant(value) => Value::Number(*value),
        Source::Ra => number(galaxy.and_then(|galaxy| galaxy.position).map(|position| position.ra_deg)),
        Source::Dec => number(galaxy.and_then(|galaxy| galaxy.position).map(|position| position.dec_deg)),
        Source::Redshift => number(galaxy.and_then(|galaxy| galaxy.redshift)),
        Source::RedshiftErr => number(galaxy.and_then(|galaxy| galaxy.redshift_err)),
        Source::Flux(index) => number(band(index).and_then(|band| band.flux_nmgy)),
        Source::Sigma(index) => number(sigma(index)),
        Source::Snr(index) => number(
            band(index).and_then(|band| band.flux_nmgy).zip(sigma(index)).map(|(flux, sigma)| flux / sigma),
        ),
        Source::Mag(index) => number(
            band(index)
                .and_then(|band| band.flux_nmgy)
                .filter(|&flux| flux > 0.0)
                .map(|f| 22.5 - 2.5 * f.log10()),
        ),
        Source::Cell(cell, kind) => {
            let (column, index) = cell.of(block, row);
            match (&column.values, kind) {
                _ if !column.is_valid(index) => Value::Null,
                (Values::Bool(values), _) => Value::Bool(values[index]),
                (Values::Text(texts), ColumnType::Untyped) => match column.number(index) {
                    Ok(found) => number(found),
                    Err(_) => Value::Text(texts.get(index)),
                },
                (Values::Text(texts), _) => Value::Text(texts.get(index).trim_end()),
                _ => number(column.number(index).ok().flatten()),
            }
        }
    }
}

impl Cut {
    pub fn new(map: &CutMap, names: &Names, selection: &mut Selection) -> Result<Self, PlanError> {
        let wrong = |error| PlanError::Expr { what: format!("cut `{}`", map.name), error };
        let expand = |text: &Option<String>| -> Result<Vec<String>, PlanError> {
            let Some(text) = text else { return Ok(Vec::new()) };
            if !text.contains("{band}") && !text.contains("{element}") {
                return Ok(vec![text.clone()]);
            }
            let chosen = chosen_elements(map)?;
            Ok(chosen
                .iter()
                .map(|(band, element)| {
                    text.replace("{band}", band).replace("{element}", &element.to_string())
                })
                .collect())
        };
        let mut bind = |texts: Vec<String>| -> Result<Vec<Bound>, PlanError> {
            texts.iter().map(|text| Bound::new(text, names, selection).map_err(wrong)).collect()
        };
        let (require, fail) = (bind(expand(&map.require)?)?, bind(expand(&map.fail)?)?);
        if require.is_empty() && fail.is_empty() {
            return Err(PlanError::Cut {
                cut: map.name.clone(),
                what: "it has neither `require` nor `fail`".to_owned(),
            });
        }
        let mut definition = json!({});
        for (key, text) in [("require", &map.require), ("fail", &map.fail)] {
            if let Some(text) = text {
                definition[key] = json!(text);
            }
        }
        if !map.elements.is_empty() {
            definition["elements"] = chosen_elements(map)?
                .into_iter()
                .map(|(band, element)| (band, json!(element)))
                .collect::<serde_json::Map<_, _>>()
                .into();
        }
        let used: serde_json::Map<String, Json> = names
            .constants
            .iter()
            .filter(|(name, _)| {
                [&map.require, &map.fail].iter().any(|t| t.as_ref().is_some_and(|t| t.contains(*name)))
            })
            .filter_map(|(name, value)| Some((name.clone(), serde_json::to_value(value).ok()?)))
            .collect();
        if !used.is_empty() {
            definition["constants"] = used.into();
        }
        Ok(Self { name: map.name.clone(), description: map.description.clone(), definition, require, fail })
    }

    /// A cut whose outcome the table says itself.
    pub fn told(name: String, description: String, definition: Json) -> Self {
        Self { name, description, definition, require: Vec::new(), fail: Vec::new() }
    }

    /// Whether a galaxy fails: a requirement that is not known to hold counts as failed, a failure that is not
    /// known to occur does not.
    pub fn fails(&self, block: &Block, row: usize, galaxy: &GalaxyRecord) -> bool {
        self.require.iter().any(|bound| bound.holds(block, row, Some(galaxy)) != Some(true))
            || self.fail.iter().any(|bound| bound.holds(block, row, Some(galaxy)) == Some(true))
    }
}

fn chosen_elements(map: &CutMap) -> Result<Vec<(String, i64)>, PlanError> {
    let wrong = |what: String| PlanError::Cut { cut: map.name.clone(), what };
    let all: Vec<(String, i64)> = map
        .elements
        .iter()
        .map(|(band, value)| match value {
            toml::Value::Integer(element) => Ok((band.clone(), *element)),
            other => Err(wrong(format!("element `{band}` is {other}, not a whole number"))),
        })
        .collect::<Result<_, _>>()?;
    let Some(bands) = &map.bands else { return Ok(all) };
    bands
        .iter()
        .map(|wanted| {
            let found = all.iter().find(|(band, _)| band == wanted).cloned();
            let known = || all.iter().map(|(band, _)| band.as_str()).collect::<Vec<_>>().join(", ");
            found.ok_or_else(|| wrong(format!("there is no band `{wanted}`; there is {}", known())))
        })
        .collect()
}
