//! The columns an export can have, each with where its values come from and what the dictionary says of it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::ExchangeError;
use super::fields::{Field, Kind, Notes};
use crate::constants::NJY_PER_NMGY;
use crate::store::{DictionaryEntry, PosteriorSet, SUMMARY_PARAMETERS, Store, dictionary};

/// What an export is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum What {
    /// Position, redshift, cuts and all columns of the input that were kept
    Galaxies,
    /// Flux, inverse variance and flags per band
    Photometry,
    /// Method, quality, and nine numbers for each parameter of the posterior
    Summaries,
    /// The draws of the posterior, one vector per parameter
    Draws,
}

/// The unit of fluxes in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum FluxUnit {
    /// Nanojansky, which every program knows (1 nmgy = 3631 nJy)
    #[default]
    Njy,
    /// Nanomaggies, as the catalog has them bit by bit; no standard has this unit
    Nmgy,
}

/// Where the values of a column come from.
#[derive(Debug, Clone, PartialEq)]
pub enum Origin {
    /// A column of [`Store::galaxy_columns`], in another unit.
    Catalog { name: String, scale: Scale },
    /// A column of the input that was kept; what its values are must be looked at.
    Extra { name: String },
    /// A column of the draws.
    Draws { name: String },
}

/// From the catalog's unit to the file's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Scale {
    One,
    Times(f64),
    Over(f64),
}

impl Scale {
    /// The value in the file's unit: of the neighbouring numbers that which [`Scale::back`] takes to `value`,
    /// where one does. Numbers of up to 40 bits, such as all of single precision, always come back.
    pub fn to(self, value: f64) -> f64 {
        let near = match self {
            Scale::One => return value,
            Scale::Times(factor) => value * factor,
            Scale::Over(factor) => value / factor,
        };
        let comes_back = |candidate: &f64| self.back(*candidate) == value;
        [near, near.next_up(), near.next_down()].into_iter().find(comes_back).unwrap_or(near)
    }

    pub fn back(self, value: f64) -> f64 {
        match self {
            Scale::One => value,
            Scale::Times(factor) => value / factor,
            Scale::Over(factor) => value * factor,
        }
    }
}

/// From nanomaggies to the file's unit.
pub const FLUX: Scale = Scale::Times(NJY_PER_NMGY);
/// The same of inverse variances.
pub const IVAR: Scale = Scale::Over(NJY_PER_NMGY * NJY_PER_NMGY);

#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    pub field: Field,
    pub origin: Origin,
}

/// All columns of one catalog and posterior set.
#[derive(Debug, Clone)]
pub struct Columns {
    pub all: Vec<Column>,
    groups: Vec<(What, Vec<usize>)>,
    always: Vec<usize>,
}

/// Said of a column that the survey's table did not describe.
pub const NOT_DESCRIBED: &str = "a column of the survey's table, kept as it was";

/// Columns that say which galaxy a row is of.
const IDENTITY: [&str; 5] = ["survey", "object_id", "ra_deg", "dec_deg", "redshift"];
const OF_GALAXIES: [&str; 3] = ["healpix29", "redshift_err", "cuts_failed"];
const OF_POSTERIOR: [&str; 14] = [
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
    "ppc_p_value",
];

impl Columns {
    pub fn new(store: &Store, set: Option<&PosteriorSet>, unit: FluxUnit) -> Result<Self, ExchangeError> {
        let words = Words::new()?;
        let surveys = Surveys::new(store)?;
        let extra: BTreeMap<String, _> =
            store.extra_columns()?.into_iter().map(|column| (column.name.clone(), column)).collect();
        let mut columns = Self { all: Vec::new(), groups: Vec::new(), always: Vec::new() };
        let (mut galaxies, mut photometry, mut summaries) = (Vec::new(), Vec::new(), Vec::new());
        for (name, _) in store.galaxy_columns()? {
            let place = columns.all.len();
            let (mut field, mut origin) =
                (words.field(&name), Origin::Catalog { name: name.clone(), scale: Scale::One });
            if let Some((what, band)) = surveys.band_column(&name) {
                let (described, scale) = surveys.band_field(&words, what, band, unit);
                (field, origin) = (described, Origin::Catalog { name: name.clone(), scale });
                if what != BandWhat::Mag {
                    photometry.push(place);
                }
            } else if IDENTITY.contains(&name.as_str()) {
                columns.always.push(place);
            } else if OF_GALAXIES.contains(&name.as_str()) {
                galaxies.push(place);
            } else if OF_POSTERIOR.contains(&name.as_str()) || words.is_summary(&name) {
                field.nullable = true;
                summaries.push(place);
            } else if let Some(extra) = extra.get(&name) {
                galaxies.push(place);
                let described = extra.description.clone();
                let description = described.unwrap_or_else(|| NOT_DESCRIBED.to_owned());
                field = Field::new(&name, Kind::TEXT, description)
                    .unit(extra.unit.as_deref())
                    .ucd(extra.ucd.as_deref());
                field.notes.extra = true;
                origin = Origin::Extra { name: name.clone() };
            }
            if name == "cuts_failed" {
                field.notes.cuts = surveys.cuts.clone();
            }
            columns.all.push(Column { field, origin });
        }
        let mut draws = Vec::new();
        for name in set.map(|set| set.parameters.as_slice()).unwrap_or_default() {
            draws.push(columns.all.len());
            let origin = Origin::Draws { name: name.clone() };
            let mut field = words.draws(name);
            // A column of the input of the same name would make two.
            if columns.all.iter().any(|column| column.field.name.eq_ignore_ascii_case(name)) {
                field.name = format!("draws_{name}");
            }
            columns.all.push(Column { field, origin });
        }
        if let Some(place) = columns.find("n_draws") {
            draws.insert(0, place);
        }
        columns.groups = vec![
            (What::Galaxies, galaxies),
            (What::Photometry, photometry),
            (What::Summaries, summaries),
            (What::Draws, draws),
        ];
        Ok(columns)
    }

    fn find(&self, name: &str) -> Option<usize> {
        let catalog = |column: &Column| match &column.origin {
            Origin::Catalog { name, .. } | Origin::Extra { name } | Origin::Draws { name } => name.clone(),
        };
        let by_field = self.all.iter().position(|column| column.field.name.eq_ignore_ascii_case(name));
        by_field.or_else(|| self.all.iter().position(|column| catalog(column).eq_ignore_ascii_case(name)))
    }

    /// The columns of these groups, those that tell the galaxy first.
    pub fn of(&self, what: &[What]) -> Vec<Column> {
        let mut places = self.always.clone();
        for (_, group) in self.groups.iter().filter(|(group, _)| what.contains(group)) {
            places.extend(group.iter().filter(|place| !places.contains(place)).copied().collect::<Vec<_>>());
        }
        places.into_iter().map(|place| self.all[place].clone()).collect()
    }

    /// Columns by their names, in the file or in the catalog.
    pub fn named(&self, names: &[String]) -> Result<Vec<Column>, ExchangeError> {
        names
            .iter()
            .map(|name| {
                let place = self.find(name).ok_or_else(|| ExchangeError::NoColumn { name: name.clone() })?;
                Ok(self.all[place].clone())
            })
            .collect()
    }
}

/// What the dictionary says, by column.
struct Words(Vec<DictionaryEntry>);

/// Tables whose columns an export may have, in the order in which a name is looked for.
const TABLES: [&str; 4] = ["galaxy", "posterior", "posterior_summary", "photometry"];

impl Words {
    fn new() -> Result<Self, ExchangeError> {
        let mut entries = dictionary()?;
        entries.retain(|entry| TABLES.contains(&entry.table.as_str()));
        entries.sort_by_key(|entry| TABLES.iter().position(|table| *table == entry.table));
        Ok(Self(entries))
    }

    fn entry(&self, name: &str) -> Option<&DictionaryEntry> {
        self.0.iter().find(|entry| entry.column == name)
    }

    fn is_summary(&self, name: &str) -> bool {
        self.entry(name).is_some_and(|entry| entry.table == "posterior_summary")
    }

    fn field(&self, name: &str) -> Field {
        if name == "survey" {
            let text = Kind::TEXT;
            let mut field = Field::new(name, text, "Survey that measured the galaxy").ucd(Some("meta.id"));
            field.nullable = false;
            return field;
        }
        let Some(entry) = self.entry(name) else {
            return Field::new(name, Kind::Float, "not described by the catalog");
        };
        let kind = match entry.kind.as_str() {
            "INTEGER" => Kind::Int,
            "TEXT" => Kind::TEXT,
            _ => Kind::Float,
        };
        let description = match &entry.null_meaning {
            Some(meaning) => format!("{}; missing: {meaning}", entry.description),
            None => entry.description.clone(),
        };
        let mut field =
            Field::new(name, kind, description).unit(entry.unit.as_deref()).ucd(entry.ucd.as_deref());
        if name == "object_id" {
            field.ucd = Some("meta.id;meta.main".to_owned());
        }
        field.nullable = entry.null_meaning.is_some();
        field
    }

    fn draws(&self, name: &str) -> Field {
        let list = Kind::List { most: 0, same: true };
        let summary = self.entry(&format!("{name}_map"));
        let Some(summary) = summary.filter(|_| SUMMARY_PARAMETERS.contains(&name)) else {
            return match name {
                "weight" | "log_weight" => {
                    Field::new(name, list, "Importance weight of each draw").ucd(Some("stat.weight"))
                }
                _ => Field::new(name, list, "A parameter's posterior draws").ucd(Some("stat.value")),
            };
        };
        let meaning = summary.description.rsplit_once(": ").map_or(name, |(meaning, _)| meaning);
        Field::new(name, list, format!("{meaning}: posterior draws"))
            .unit(summary.unit.as_deref())
            .ucd(summary.ucd.as_deref())
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum BandWhat {
    Flux,
    Ivar,
    Mag,
    Flags,
}

/// Band; its UCD word; per survey the filter curve.
type KnownBand = (String, Option<String>, Vec<(String, String)>);

/// Bands, filters, extinction and cuts, by survey.
struct Surveys {
    bands: Vec<KnownBand>,
    extinction: Vec<(String, String)>,
    cuts: Option<Value>,
}

impl Surveys {
    fn new(store: &Store) -> Result<Self, ExchangeError> {
        let mut bands: Vec<KnownBand> = Vec::new();
        for survey in store.surveys()? {
            for band in store.bands(survey.band_set)? {
                let place = bands.iter().position(|(name, ..)| *name == band.name).unwrap_or_else(|| {
                    bands.push((band.name.clone(), band.ucd.clone(), Vec::new()));
                    bands.len() - 1
                });
                if let Some(filter) = band.filter_name {
                    bands[place].2.push((survey.name.clone(), filter));
                }
            }
        }
        let mut cuts: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for cut in store.cuts()? {
            let is = json!({ "bit": cut.bit, "name": cut.name, "definition": cut.definition,
                             "description": cut.description });
            cuts.entry(cut.survey).or_default().push(is);
        }
        let cuts = (!cuts.is_empty()).then(|| json!(cuts));
        Ok(Self { bands, extinction: store.extinctions()?, cuts })
    }

    fn band_column(&self, name: &str) -> Option<(BandWhat, usize)> {
        let prefixes = [
            ("flux_nmgy_", BandWhat::Flux),
            ("ivar_nmgy_", BandWhat::Ivar),
            ("mag_", BandWhat::Mag),
            ("phot_flags_", BandWhat::Flags),
        ];
        prefixes.into_iter().find_map(|(prefix, what)| {
            let band = name.strip_prefix(prefix)?;
            Some((what, self.bands.iter().position(|(known, ..)| known == band)?))
        })
    }

    fn band_field(&self, words: &Words, what: BandWhat, band: usize, unit: FluxUnit) -> (Field, Scale) {
        let (name, region, filters) = &self.bands[band];
        let ucd = |stem: &str| match region {
            Some(region) => format!("{stem};{region}"),
            None => stem.to_owned(),
        };
        let about =
            |column: &str| words.entry(column).map(|entry| entry.description.clone()).unwrap_or_default();
        let notes =
            Notes { filters: filters.clone(), extinction: self.extinction.clone(), ..Notes::default() };
        let njy = unit == FluxUnit::Njy;
        let note = if njy { "" } else { ", in nanomaggies, for which no standard has a word" };
        let field = |name: String, kind, text: String| Field::new(name, kind, text);
        match what {
            BandWhat::Flux => {
                let text = format!(
                    "Band {name}: AB flux, corrected for Galactic extinction as the ingest says{note}"
                );
                let stem = if njy { "flux_njy" } else { "flux_nmgy" };
                let mut field = field(format!("{stem}_{name}"), Kind::Float, text)
                    .unit(njy.then_some("nJy"))
                    .ucd(Some(&ucd("phot.flux.density")));
                field.notes = notes;
                (field, if njy { FLUX } else { Scale::One })
            }
            BandWhat::Ivar => {
                let text = format!("Band {name}: {}{note}", about("ivar_nmgy").to_lowercase_first());
                let stem = if njy { "ivar_njy" } else { "ivar_nmgy" };
                let field = field(format!("{stem}_{name}"), Kind::Float, text)
                    .unit(njy.then_some("nJy**-2"))
                    .ucd(Some(&ucd("stat.error;phot.flux.density")));
                (field, if njy { IVAR } else { Scale::One })
            }
            BandWhat::Mag => {
                let text = format!("Band {name}: AB magnitude; missing: not observed, or no positive flux");
                let field = field(format!("mag_{name}"), Kind::Float, text)
                    .unit(Some("mag"))
                    .ucd(Some(&ucd("phot.mag.reddFree")));
                (field, Scale::One)
            }
            BandWhat::Flags => {
                let text = format!(
                    "Band {name}: {}; missing: the survey has no such band",
                    about("flags").to_lowercase_first()
                );
                (field(format!("phot_flags_{name}"), Kind::Int, text).ucd(Some("meta.code.qual")), Scale::One)
            }
        }
    }
}

trait LowercaseFirst {
    fn to_lowercase_first(&self) -> String;
}

impl LowercaseFirst for String {
    fn to_lowercase_first(&self) -> String {
        let mut chars = self.chars();
        chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fluxes_come_back_from_nanojansky() {
        for i in 1..20_000 {
            let single = f64::from((f32::sqrt(i as f32) - 50.0) * 0.37);
            assert_eq!(FLUX.back(FLUX.to(single)), single);
            let double = (i as f64).sqrt() * 1.234;
            for scale in [FLUX, IVAR] {
                let back = scale.back(scale.to(double));
                assert!((back / double - 1.0).abs() <= f64::EPSILON, "{double} {back}");
            }
        }
    }
}
