//! Tables that `sedflow export` wrote, taken back as they were: a map made from what the columns say of themselves.
//!
//! Fluxes, inverse variances and flags are taken verbatim; names and texts that a format could not hold get back
//! their own; every survey in the file becomes a survey of the catalog.

use std::collections::BTreeSet;

use super::cuts::Cut;
use super::map::{
    BandMap, ColumnMap, Detect, ErrorKind, Extinction, IdColumn, Keep, KeepColumns, OneOf, Photometry,
    Quantity, Roles,
};
use super::plan::{Plan, Verbatim};
use super::units::Unit;
use crate::exchange::columns::{FLUX, IVAR, Scale};
use crate::exchange::fields::Notes;
use crate::exchange::names::percent_decode;
use crate::store::SUMMARY_PARAMETERS;
use crate::tables::{Block, ColumnInfo, Table, TableError, Texts, Values};

/// Name of the layout.
pub const NAME: &str = "sedflow";
pub const DESCRIPTION: &str = "Tables that `sedflow export` wrote, with photometry: taken back as they were";

/// A band of an export: its name, and the columns of flux, inverse variance and flags.
#[derive(Debug, Clone, PartialEq)]
struct BandColumns {
    name: String,
    flux: usize,
    ivar: usize,
    flags: usize,
    njy: bool,
}

/// The name a column had in the catalog.
fn name_of(info: &ColumnInfo) -> String {
    Notes::of(info).name.unwrap_or_else(|| info.name.clone())
}

/// Where the column is that the catalog calls so.
fn place(columns: &[ColumnInfo], name: &str) -> Option<usize> {
    columns.iter().position(|column| name_of(column) == name)
}

fn bands(columns: &[ColumnInfo]) -> Vec<BandColumns> {
    let names: Vec<String> = columns.iter().map(name_of).collect();
    let find = |name: String| names.iter().position(|known| *known == name);
    let band = |(flags, name): (usize, &String)| {
        let band = name.strip_prefix("phot_flags_")?;
        let of =
            |unit: &str| Some((find(format!("flux_{unit}_{band}"))?, find(format!("ivar_{unit}_{band}"))?));
        let (njy, (flux, ivar)) = match (of("njy"), of("nmgy")) {
            (Some(found), _) => (true, found),
            (None, Some(found)) => (false, found),
            (None, None) => return None,
        };
        Some(BandColumns { name: band.to_owned(), flux, ivar, flags, njy })
    };
    names.iter().enumerate().filter_map(band).collect()
}

/// Whether the columns are those of an export with photometry.
pub fn recognises(columns: &[ColumnInfo]) -> bool {
    place(columns, "survey").is_some() && place(columns, "object_id").is_some() && !bands(columns).is_empty()
}

/// The galaxies of one survey in an export.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    pub survey: String,
    /// Bands that the survey has.
    pub bands: Vec<String>,
}

/// The surveys in an export, in the order in which they come, by reading the columns that tell.
pub fn parts(table: &mut dyn Table) -> Result<Vec<Part>, TableError> {
    let columns = table.columns().to_vec();
    let bands = bands(&columns);
    let survey = place(&columns, "survey").unwrap_or(0);
    let encoded = Notes::of(&columns[survey]).encoded;
    let mut selected = vec![survey];
    selected.extend(bands.iter().map(|band| band.flags));
    table.select(&selected);
    let mut parts: Vec<Part> = Vec::new();
    while let Some(block) = table.next_block(65_536)? {
        for row in 0..block.n_rows() {
            let Some(name) = block.columns[0].text(row) else { continue };
            let name = if encoded { percent_decode(&name) } else { name };
            let place = parts.iter().position(|part| part.survey == name).unwrap_or_else(|| {
                parts.push(Part { survey: name, bands: Vec::new() });
                parts.len() - 1
            });
            let part = &mut parts[place];
            for (band, flags) in bands.iter().zip(&block.columns[1..]) {
                if matches!(flags.number(row), Ok(Some(_))) && !part.bands.contains(&band.name) {
                    part.bands.push(band.name.clone());
                }
            }
        }
    }
    for part in &mut parts {
        part.bands.sort_by_key(|name| bands.iter().position(|band| band.name == *name));
    }
    Ok(parts)
}

/// Columns of an export that are no column of the input: what the program itself says of a galaxy.
fn is_ours(name: &str) -> bool {
    const OURS: [&str; 24] = [
        "galaxy_id",
        "survey",
        "object_id",
        "ra_deg",
        "dec_deg",
        "redshift",
        "redshift_err",
        "cuts_failed",
        "healpix29",
        "ingest_id",
        "source_row",
        "method",
        "reason",
        "n_draws",
        "n_bands",
        "ess",
        "efficiency",
        "pareto_k",
        "ln_evidence",
        "ln_evidence_err",
        "r_hat",
        "acceptance",
        "ood_score",
        "chi2_best",
    ];
    const SUFFIXES: [&str; 9] =
        ["_mean", "_std", "_q025", "_q16", "_q50", "_q84", "_q975", "_map", "_edge_frac"];
    let is_summary = || {
        SUFFIXES
            .iter()
            .any(|suffix| name.strip_suffix(suffix).is_some_and(|stem| SUMMARY_PARAMETERS.contains(&stem)))
    };
    OURS.contains(&name) || name == "ppc_p_value" || SUMMARY_PARAMETERS.contains(&name) || is_summary()
}

/// The map of a part. `known` tells filters that can be found; of others only the name is lost, with a note.
pub fn map(columns: &[ColumnInfo], part: &Part, known: &dyn Fn(&str) -> bool) -> ColumnMap {
    let all = bands(columns);
    let mut notes = Vec::new();
    let of_survey = |pairs: &[(String, String)]| {
        let found = pairs.iter().find(|(survey, _)| *survey == part.survey).or(pairs.first());
        found.map(|(_, value)| value.clone())
    };
    let mut extinction = None;
    let maps = part.bands.iter().filter_map(|name| all.iter().find(|band| band.name == *name));
    let maps: Vec<BandMap> = maps
        .map(|band| {
            let info = &columns[band.flux];
            let of = Notes::of(info);
            extinction = extinction.take().or_else(|| of_survey(&of.extinction));
            let filter = of_survey(&of.filters);
            if let Some(unknown) = filter.as_deref().filter(|name| !known(name)) {
                notes.push(format!(
                    "band {}: its filter curve {unknown} is not known here; `sedflow filter add` adds curves",
                    band.name
                ));
            }
            BandMap {
                name: band.name.clone(),
                filter: filter.filter(|name| known(name)),
                ucd: info
                    .ucd
                    .as_deref()
                    .and_then(|ucd| ucd.strip_prefix("phot.flux.density;"))
                    .map(str::to_owned),
                flux: OneOf::One(info.name.clone()),
                error: Some(OneOf::One(columns[band.ivar].name.clone())),
                extinction: None,
                a_per_ebv: None,
                quantity: None,
                unit: Some(if band.njy { Unit::NanoJy } else { Unit::Nmgy }),
                error_kind: None,
                ab_offset: 0.0,
                vega_to_ab: None,
                softening: None,
                error_floor: 0.0,
                when: None,
                optional: false,
            }
        })
        .collect();
    let of_bands: BTreeSet<usize> = all.iter().flat_map(|band| [band.flux, band.ivar, band.flags]).collect();
    let told = columns.iter().any(|column| Notes::of(column).extra);
    let keep = (0..columns.len())
        .filter(|i| columns[*i].len == 1 && !of_bands.contains(i))
        .filter(|&i| {
            let name = name_of(&columns[i]);
            let band =
                name.strip_prefix("mag_").is_some_and(|band| all.iter().any(|known| known.name == band));
            Notes::of(&columns[i]).extra || !told && !is_ours(&name) && !band
        })
        .map(|i| columns[i].name.clone())
        .collect();
    let in_file = |name: &str| place(columns, name).map_or(name, |i| columns[i].name.as_str()).to_owned();
    let optional = |name: &str| Some(OneOf::FirstOf(vec![in_file(name)]));
    ColumnMap {
        name: NAME.to_owned(),
        description: DESCRIPTION.to_owned(),
        reference: None,
        survey: part.survey.clone(),
        notes,
        detect: Detect::default(),
        columns: Roles {
            id: IdColumn::One(in_file("object_id")),
            ra: optional("ra_deg"),
            dec: optional("dec_deg"),
            redshift: optional("redshift"),
            redshift_err: optional("redshift_err"),
        },
        photometry: Photometry {
            quantity: Quantity::Flux,
            unit: None,
            error: ErrorKind::Ivar,
            sentinels: Vec::new(),
            negative_error_is_limit: false,
        },
        extinction: Extinction::Corrected { by: extinction.unwrap_or_default() },
        bands: maps,
        keep: Keep { columns: KeepColumns::List(keep), omit: Vec::new() },
        constants: toml::Table::new(),
        cuts: Vec::new(),
    }
}

/// Completes a plan of [`map`]: flags and cuts as they are in the file, names and extinction as they were.
pub fn complete(plan: &mut Plan, columns: &[ColumnInfo], part: &Part) {
    let all = bands(columns);
    let mut choose = |column: usize| {
        let slot = plan.selected.iter().position(|chosen| *chosen == column).unwrap_or_else(|| {
            plan.selected.push(column);
            plan.selected.len() - 1
        });
        super::columns::Cell { slot, element: 0, len: 1 }
    };
    for band in &mut plan.bands {
        let Some(found) = all.iter().find(|known| known.name == band.name) else { continue };
        let (flux, ivar) = if found.njy { (FLUX, IVAR) } else { (Scale::One, Scale::One) };
        band.verbatim = Some(Verbatim { flags: choose(found.flags), flux, ivar });
    }
    for extra in &mut plan.extra {
        let notes = Notes::of(&extra.info);
        extra.name = notes.name.unwrap_or_else(|| extra.info.name.clone());
        extra.info.unit = notes.unit.or(extra.info.unit.take());
        let words = extra.info.description.as_deref().map(|text| Notes::parse(text).0);
        let words = words.map(|words| words.trim_end_matches(" (no unit)").to_owned());
        let words = notes.words.or(words);
        extra.info.description = words.filter(|words| *words != crate::exchange::columns::NOT_DESCRIBED);
    }
    if let Extinction::Corrected { by } = &plan.map.extinction
        && !by.is_empty()
    {
        plan.extinction.clone_from(by);
    }
    let Some(column) = place(columns, "cuts_failed") else { return };
    let known = Notes::of(&columns[column]).cuts;
    let known = known.as_ref().and_then(|cuts| cuts[&part.survey].as_array()).cloned().unwrap_or_default();
    let mut bits = Vec::new();
    for cut in &known {
        let text = |key: &str| cut[key].as_str().unwrap_or_default().to_owned();
        let Some(bit) = cut["bit"].as_u64().filter(|bit| *bit < 63) else { continue };
        if !cut["definition"].is_object() || text("name").is_empty() {
            continue;
        }
        bits.push(bit as u32);
        plan.cuts.push(Cut::told(text("name"), text("description"), cut["definition"].clone()));
    }
    plan.cuts_column = Some((choose(column), bits));
}

/// A table of which the rows of one survey are seen, with texts as they were.
pub struct OfSurvey {
    inner: Box<dyn Table>,
    survey: Option<(usize, String)>,
    encoded: Vec<bool>,
    selected: Vec<usize>,
    row: u64,
}

impl OfSurvey {
    /// All rows where `survey` is `None`.
    pub fn new(inner: Box<dyn Table>, survey: Option<&str>) -> Self {
        let columns = inner.columns();
        let encoded: Vec<bool> = columns.iter().map(|column| Notes::of(column).encoded).collect();
        let survey = place(columns, "survey").zip(survey.map(str::to_owned));
        let selected = (0..columns.len()).collect();
        Self { inner, survey, encoded, selected, row: 0 }
    }
}

impl Table for OfSurvey {
    fn format(&self) -> &'static str {
        self.inner.format()
    }

    fn columns(&self) -> &[ColumnInfo] {
        self.inner.columns()
    }

    fn n_rows(&self) -> Option<u64> {
        self.inner.n_rows().filter(|_| self.survey.is_none())
    }

    fn select(&mut self, columns: &[usize]) {
        self.selected = columns.to_vec();
        let mut wanted = columns.to_vec();
        wanted.extend(self.survey.iter().map(|(place, _)| *place));
        self.inner.select(&wanted);
    }

    fn next_block(&mut self, max_rows: usize) -> Result<Option<Block>, TableError> {
        loop {
            let Some(mut block) = self.inner.next_block(max_rows)? else { return Ok(None) };
            if let Some((place, survey)) = &self.survey {
                let Some(names) = block.columns.pop() else { return Ok(None) };
                let is_ours = |row: usize| {
                    let name = names.text(row);
                    let name =
                        if self.encoded[*place] { name.map(|name| percent_decode(&name)) } else { name };
                    name.as_deref() == Some(survey)
                };
                let keep: Vec<bool> = (0..block.n_rows()).map(is_ours).collect();
                block.columns.iter_mut().for_each(|column| column.keep_rows(&keep));
                let kept = keep.iter().filter(|keep| **keep).count();
                // Rows count from the first of the survey; of one that cannot be read none can tell whose it is.
                block.row_numbers = (self.row + 1..=self.row + kept as u64).collect();
                self.row += kept as u64;
                block.bad.clear();
                if kept == 0 {
                    continue;
                }
            }
            for (column, &place) in block.columns.iter_mut().zip(&self.selected) {
                if self.encoded[place]
                    && let Values::Text(texts) = &column.values
                {
                    let mut decoded = Texts::default();
                    (0..texts.len()).for_each(|i| decoded.push(&percent_decode(texts.get(i))));
                    column.values = Values::Text(decoded);
                }
            }
            return Ok(Some(block));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::ColumnType;

    fn info(name: &str) -> ColumnInfo {
        ColumnInfo::new(name, ColumnType::Float64)
    }

    #[test]
    fn an_export_is_told_from_other_tables() {
        let mut columns: Vec<ColumnInfo> =
            ["survey", "object_id", "flux_njy_r", "ivar_njy_r", "phot_flags_r", "mine"].map(info).to_vec();
        assert!(recognises(&columns));
        let part = Part { survey: "s".into(), bands: vec!["r".into()] };
        let map = map(&columns, &part, &|_| true);
        assert_eq!(map.keep.columns, KeepColumns::List(vec!["mine".into()]));
        assert_eq!(map.bands[0].unit, Some(Unit::NanoJy));
        columns.remove(4);
        assert!(!recognises(&columns));
    }
}
