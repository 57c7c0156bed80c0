//! Rows of a table to galaxies: units, errors, extinction, AB offsets, error floors; nothing lost in silence.
//!
//! A row is rejected where it cannot be a galaxy (no identifier, a position off the sky, a number that is
//! none). A band without a usable value stays a galaxy without that band. Both are counted by reason.

use std::collections::{BTreeMap, HashMap};

use thiserror::Error;

use super::columns::Cell;
use super::plan::{BandPlan, Conversion, ErrorConversion, ExtinctionPlan, IdPlan, Plan, Verbatim};
use super::units::FLUX_PER_MAG;
use crate::galaxy::{BandPhot, ExtraValue, GalaxyRecord, SkyPosition, phot_flag};
use crate::tables::{Block, Column, ColumnType, NotANumber, Values};

/// Redshifts of galaxies moving towards us reach -0.001; what is below this is no galaxy's.
pub const MIN_REDSHIFT: f64 = -0.01;
/// Above any galaxy known; what is beyond is a sentinel or a mistake.
pub const MAX_REDSHIFT: f64 = 30.0;
/// End of the redshift range of the default simulation; galaxies beyond are kept and counted.
pub const MODEL_REDSHIFT: f64 = 0.2;
const MAX_ID_BYTES: usize = 1024;
/// Magnitudes outside are codes for "no value" (99, 99.99, 100).
const MAG_RANGE: std::ops::Range<f64> = -30.0..60.0;

/// A row that became no galaxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// Row in the table, from 0.
    pub source_row: u64,
    /// A short code.
    pub reason: &'static str,
    /// Column, found, expected.
    pub detail: String,
    pub object_id: Option<String>,
}

/// Things noticed, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts(pub BTreeMap<String, u64>);

impl Counts {
    pub fn add(&mut self, what: &str, n: u64) {
        match self.0.get_mut(what) {
            Some(count) => *count += n,
            None => drop(self.0.insert(what.to_owned(), n)),
        }
    }

    pub fn add_all(&mut self, other: &Counts) {
        other.0.iter().for_each(|(what, n)| self.add(what, *n));
    }
}

/// What a block became. `cuts_failed` of the galaxies has bit `i` for cut `i` of the plan.
#[derive(Debug, Clone, Default)]
pub struct Converted {
    pub galaxies: Vec<GalaxyRecord>,
    pub rejected: Vec<Rejected>,
    pub counts: Counts,
}

/// Watches how many rows are of use: a file of hardly any is not what its map says, and need not be
/// read to its end.
#[derive(Debug, Clone, Default)]
pub struct Yield {
    rows: u64,
    usable: u64,
    first: Option<Rejected>,
}

/// Hardly any of the rows of a file could be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "given up: only {usable} of the first {rows} rows could be used; the first of the others: row {}, {}: {}",
    .first.source_row, .first.reason, .first.detail
)]
pub struct LowYield {
    pub rows: u64,
    pub usable: u64,
    pub first: Rejected,
}

/// Rows after which a yield below one in a thousand is too low.
pub const ROWS_BEFORE_GIVING_UP: u64 = 20_000;

impl Yield {
    /// Identifiers that the catalog has already do not count against the file.
    pub fn watch(&mut self, converted: &Converted) -> Result<(), LowYield> {
        self.rows += (converted.galaxies.len() + converted.rejected.len()) as u64;
        self.usable += converted.galaxies.len() as u64;
        if self.first.is_none() {
            self.first = converted.rejected.first().cloned();
        }
        match &self.first {
            Some(first) if self.rows >= ROWS_BEFORE_GIVING_UP && self.usable * 1000 < self.rows => {
                Err(LowYield { rows: self.rows, usable: self.usable, first: first.clone() })
            }
            _ => Ok(()),
        }
    }
}

/// Why a band has no value, or something else to count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Notice {
    NoValue,
    Sentinel,
    NotFinite,
    ZeroError,
    NegativeError,
    NoExtinction,
    ElsewhereObserved,
    UpperLimit,
    NegativeFlux,
}

impl Notice {
    fn words(self) -> &'static str {
        match self {
            Notice::NoValue => "no value",
            Notice::Sentinel => "sentinel value",
            Notice::NotFinite => "not finite",
            Notice::ZeroError => "zero error or ivar",
            Notice::NegativeError => "negative error or ivar",
            Notice::NoExtinction => "no extinction value",
            Notice::ElsewhereObserved => "not observed in this band",
            Notice::UpperLimit => "upper limit",
            Notice::NegativeFlux => "negative flux, kept",
        }
    }

    fn flag(self) -> u32 {
        match self {
            Notice::NoValue | Notice::Sentinel | Notice::NoExtinction => phot_flag::SENTINEL,
            Notice::NotFinite => phot_flag::NOT_FINITE,
            Notice::ZeroError | Notice::NegativeError => phot_flag::NO_ERROR,
            Notice::UpperLimit => phot_flag::UPPER_LIMIT,
            Notice::NegativeFlux => phot_flag::NEGATIVE_FLUX,
            Notice::ElsewhereObserved => 0,
        }
    }
}

type Rejection = (&'static str, String);

/// Converts a block whose columns are those of [`Plan::selected`].
pub fn convert(plan: &Plan, block: &Block) -> Converted {
    let mut out = Converted { galaxies: Vec::with_capacity(block.n_rows()), ..Converted::default() };
    let mut noticed = vec![[0_u64; 9]; plan.bands.len()];
    let mut cut_failures = vec![0_u64; plan.cuts.len()];
    let mut first_row: HashMap<String, u64> = HashMap::with_capacity(block.n_rows());
    for row in 0..block.n_rows() {
        let source_row = block.row_numbers[row] - 1;
        let object_id = identifier(plan, block, row, source_row);
        let result = match &object_id {
            Ok(id) => match first_row.get(id) {
                Some(first) => Err(("DUPLICATE_ID", format!("first seen in row {first} of this file"))),
                None => galaxy(plan, block, row, id.clone(), &mut noticed, &mut out.counts),
            },
            Err(rejection) => Err(rejection.clone()),
        };
        match result {
            Ok(mut galaxy) => {
                galaxy.source_row = source_row;
                first_row.insert(galaxy.object_id.clone(), source_row);
                if let Some((cell, bits)) = &plan.cuts_column {
                    let (column, index) = cell.of(block, row);
                    let failed = whole(column, index).unwrap_or(0);
                    for (bit, of) in bits.iter().enumerate() {
                        galaxy.cuts_failed |= (failed as u64 >> of & 1) << bit;
                    }
                }
                for (bit, cut) in plan.cuts.iter().enumerate() {
                    if cut.fails(block, row, &galaxy) {
                        galaxy.cuts_failed |= 1 << bit;
                        cut_failures[bit] += 1;
                    }
                }
                out.galaxies.push(galaxy);
            }
            Err((reason, detail)) => {
                out.rejected.push(Rejected { source_row, reason, detail, object_id: object_id.ok() });
            }
        }
    }
    for bad in &block.bad {
        let detail = bad.reason.clone();
        out.rejected.push(Rejected {
            source_row: bad.row - 1,
            reason: "UNREADABLE",
            detail,
            object_id: None,
        });
    }
    out.rejected.sort_by_key(|rejected| rejected.source_row);
    for (band, counts) in plan.bands.iter().zip(noticed) {
        for (notice, n) in NOTICES.iter().zip(counts).filter(|(_, n)| *n > 0) {
            out.counts.add(&format!("{}: {}", band.name, notice.words()), n);
        }
    }
    for (cut, n) in plan.cuts.iter().zip(cut_failures).filter(|(_, n)| *n > 0) {
        out.counts.add(&format!("cut {}: failed", cut.name), n);
    }
    out
}

const NOTICES: [Notice; 9] = [
    Notice::NoValue,
    Notice::Sentinel,
    Notice::NotFinite,
    Notice::ZeroError,
    Notice::NegativeError,
    Notice::NoExtinction,
    Notice::ElsewhereObserved,
    Notice::UpperLimit,
    Notice::NegativeFlux,
];

fn identifier(plan: &Plan, block: &Block, row: usize, source_row: u64) -> Result<String, Rejection> {
    let IdPlan::Columns(cells) = &plan.id else { return Ok(source_row.to_string()) };
    let parts: Option<Vec<String>> = cells
        .iter()
        .map(|cell| {
            let (column, index) = cell.of(block, row);
            column.text(index)
        })
        .collect();
    let id = parts.map(|parts| parts.join("-")).filter(|id| !id.is_empty());
    match id {
        None => Err(("NO_ID", "the identifier is empty".to_owned())),
        Some(id) if id.len() > MAX_ID_BYTES => {
            Err(("BAD_ID", format!("an identifier of {} bytes; {MAX_ID_BYTES} are allowed", id.len())))
        }
        Some(id) if id.contains('\0') => Err(("BAD_ID", "the identifier holds a zero byte".to_owned())),
        Some(id) => Ok(id),
    }
}

fn galaxy(
    plan: &Plan,
    block: &Block,
    row: usize,
    object_id: String,
    noticed: &mut [[u64; 9]],
    counts: &mut Counts,
) -> Result<GalaxyRecord, Rejection> {
    let position = position(plan, block, row)?;
    let redshift = number(plan, block, row, plan.redshift, "redshift")?;
    if let Some(z) = redshift
        && !(MIN_REDSHIFT..=MAX_REDSHIFT).contains(&z)
    {
        return Err((
            "REDSHIFT_RANGE",
            format!("redshift {z} is not between {MIN_REDSHIFT} and {MAX_REDSHIFT}"),
        ));
    }
    let redshift_err = number(plan, block, row, plan.redshift_err, "redshift error")?;
    let mut photometry = Vec::with_capacity(plan.bands.len());
    let mut notices = Vec::with_capacity(plan.bands.len());
    for band in &plan.bands {
        let (phot, notice) = measure(plan, band, block, row)
            .map_err(|error| ("NOT_A_NUMBER", format!("band {}: {error}", band.name)))?;
        photometry.push(phot);
        notices.push(notice);
    }
    // Counted only now: a row that is rejected counts as that alone.
    for (notice, counts) in notices.into_iter().zip(noticed) {
        if let Some(notice) = notice {
            counts[notice as usize] += 1;
        }
    }
    if plan.ra.is_some() && plan.dec.is_some() && position.is_none() {
        counts.add("position: missing", 1);
    }
    match redshift {
        None if plan.redshift.is_some() => counts.add("redshift: missing", 1),
        Some(z) if z < 0.0 => counts.add("redshift: negative, kept", 1),
        Some(z) if z > MODEL_REDSHIFT => {
            counts.add("redshift: above 0.2 (the default model's range), kept", 1)
        }
        _ => {}
    }
    let redshift_err = redshift_err.filter(|&error| {
        if error < 0.0 {
            counts.add("redshift error: negative, dropped", 1);
        }
        error >= 0.0
    });
    let extra =
        plan.extra.iter().map(|extra| extra_value(plan, extra.cell, extra.info.kind, block, row)).collect();
    Ok(GalaxyRecord {
        object_id,
        source_row: 0,
        position,
        redshift,
        redshift_err,
        photometry,
        extra,
        cuts_failed: 0,
    })
}

/// A number outside photometry: missing where the file has none, a sentinel, or nothing finite.
fn number(
    plan: &Plan,
    block: &Block,
    row: usize,
    cell: Option<Cell>,
    what: &str,
) -> Result<Option<f64>, Rejection> {
    let Some(cell) = cell else { return Ok(None) };
    let (column, index) = cell.of(block, row);
    let number = column.number(index).map_err(|error| ("NOT_A_NUMBER", format!("{what}: {error}")))?;
    Ok(number.filter(|&value| value.is_finite() && !is_sentinel(plan, value)))
}

fn position(plan: &Plan, block: &Block, row: usize) -> Result<Option<SkyPosition>, Rejection> {
    let ra = number(plan, block, row, plan.ra, "right ascension")?;
    let dec = number(plan, block, row, plan.dec, "declination")?;
    let Some((ra_deg, dec_deg)) = ra.zip(dec) else { return Ok(None) };
    // 360 is what 359.99999 rounds to.
    let ra_deg = if ra_deg == 360.0 { 0.0 } else { ra_deg };
    if !(0.0..360.0).contains(&ra_deg) {
        return Err(("RA_RANGE", format!("right ascension {ra_deg} is not between 0 and 360 degrees")));
    }
    if !(-90.0..=90.0).contains(&dec_deg) {
        return Err(("DEC_RANGE", format!("declination {dec_deg} is not between -90 and 90 degrees")));
    }
    Ok(Some(SkyPosition { ra_deg, dec_deg }))
}

fn is_sentinel(plan: &Plan, value: f64) -> bool {
    plan.map.photometry.sentinels.iter().any(|&sentinel| (value - sentinel).abs() <= 1e-6 * sentinel.abs())
}

/// The flux of a band in nanomaggies, as the plan says; or nothing, and why.
fn measure(
    plan: &Plan,
    band: &BandPlan,
    block: &Block,
    row: usize,
) -> Result<(BandPhot, Option<Notice>), NotANumber> {
    if let Some(verbatim) = &band.verbatim {
        return verbatim_phot(band, verbatim, block, row).map(|phot| (phot, None));
    }
    let none = |notice: Notice| (BandPhot { flags: notice.flag(), ..BandPhot::default() }, Some(notice));
    if let Some(when) = &band.when
        && when.holds(block, row, None) != Some(true)
    {
        return Ok(none(Notice::ElsewhereObserved));
    }
    let read = |cell: Cell| {
        let (column, index) = cell.of(block, row);
        column.number(index)
    };
    let usable = |value: Option<f64>| match value {
        None => Err(Notice::NoValue),
        Some(value) if is_sentinel(plan, value) => Err(Notice::Sentinel),
        Some(value) if !value.is_finite() => Err(Notice::NotFinite),
        Some(value) => Ok(value),
    };
    let raw = match usable(read(band.flux)?) {
        Ok(raw) => raw,
        Err(notice) => return Ok(none(notice)),
    };
    let is_mag = !matches!(band.conversion, Conversion::Linear { .. });
    if is_mag && !MAG_RANGE.contains(&raw) {
        return Ok(none(Notice::Sentinel));
    }
    let raw_error = match band.error {
        None => None,
        Some(cell) => match usable(read(cell)?) {
            Ok(error) => Some(error),
            Err(notice) => return Ok(none(notice)),
        },
    };
    let flux = match band.conversion {
        Conversion::Linear { nmgy } => raw * nmgy,
        Conversion::Mag { offset } => 10_f64.powf(0.4 * (22.5 - raw - offset)),
        Conversion::Luptitude { offset, softening } => {
            let unscaled = 2.0 * softening * (-FLUX_PER_MAG * raw - softening.ln()).sinh();
            unscaled * 1e9 * 10_f64.powf(-0.4 * offset)
        }
    };
    let mut is_limit = false;
    let sigma = match raw_error {
        None => 0.0,
        Some(0.0) => return Ok(none(Notice::ZeroError)),
        Some(error) if error < 0.0 => {
            let ivar = matches!(band.error_conversion, ErrorConversion::Ivar { .. });
            if ivar || !plan.map.photometry.negative_error_is_limit {
                return Ok(none(Notice::NegativeError));
            }
            is_limit = true;
            0.0
        }
        Some(error) => match (band.error_conversion, band.conversion) {
            (ErrorConversion::Sigma { nmgy }, _) => error * nmgy,
            (ErrorConversion::Ivar { nmgy }, _) => nmgy / error.sqrt(),
            (ErrorConversion::Mag, Conversion::Luptitude { offset, softening }) => {
                let two_b = 2e9 * softening * 10_f64.powf(-0.4 * offset);
                FLUX_PER_MAG * error * flux.hypot(two_b)
            }
            (ErrorConversion::Mag, _) => FLUX_PER_MAG * error * flux.abs(),
        },
    };
    let Some(factor) = extinction_factor(plan, band, block, row)? else {
        return Ok(none(Notice::NoExtinction));
    };
    let factor = factor * band.ab_factor;
    let (flux, sigma) = (flux * factor, sigma * factor);
    let floor = FLUX_PER_MAG * band.error_floor * flux.abs();
    let ivar = sigma.hypot(floor).powi(-2);
    if is_limit && flux.is_finite() {
        let phot = BandPhot { flux_nmgy: Some(flux), ivar_nmgy: None, flags: phot_flag::UPPER_LIMIT };
        return Ok((phot, Some(Notice::UpperLimit)));
    }
    if !flux.is_finite() || !ivar.is_finite() || ivar <= 0.0 {
        return Ok(none(Notice::NotFinite));
    }
    let mut flags = if floor > 0.0 { phot_flag::ERROR_FLOOR } else { 0 };
    let notice = (flux < 0.0).then_some(Notice::NegativeFlux);
    flags |= notice.map_or(0, Notice::flag);
    Ok((BandPhot { flux_nmgy: Some(flux), ivar_nmgy: Some(ivar), flags }, notice))
}

/// A whole number of a typed column, or of text.
fn whole(column: &Column, index: usize) -> Option<i64> {
    match &column.values {
        _ if !column.is_valid(index) => None,
        Values::Int(values) => Some(values[index]),
        Values::Text(values) => values.get(index).trim().parse().ok(),
        _ => column.number(index).ok().flatten().map(|value| value as i64),
    }
}

/// Photometry as this program wrote it: what it does not have was missing.
fn verbatim_phot(
    band: &BandPlan,
    verbatim: &Verbatim,
    block: &Block,
    row: usize,
) -> Result<BandPhot, NotANumber> {
    let number = |cell: Cell| {
        let (column, index) = cell.of(block, row);
        Ok(column.number(index)?.filter(|value| value.is_finite()))
    };
    let (column, index) = verbatim.flags.of(block, row);
    let flags = whole(column, index).and_then(|flags| u32::try_from(flags).ok()).unwrap_or(0);
    let flux_nmgy = number(band.flux)?.map(|flux| verbatim.flux.back(flux));
    let ivar = band.error.map(number).transpose()?.flatten();
    let ivar_nmgy =
        ivar.map(|ivar| verbatim.ivar.back(ivar)).filter(|&ivar| ivar > 0.0 && flux_nmgy.is_some());
    // A flux without an error is a limit or nothing.
    let flux_nmgy = flux_nmgy.filter(|_| ivar_nmgy.is_some() || flags & phot_flag::UPPER_LIMIT != 0);
    Ok(BandPhot { flux_nmgy, ivar_nmgy, flags })
}

/// What the flux is multiplied by to undo Galactic extinction; `None` where the file's value is no use.
fn extinction_factor(
    plan: &Plan,
    band: &BandPlan,
    block: &Block,
    row: usize,
) -> Result<Option<f64>, NotANumber> {
    let (cell, per_ebv) = match band.extinction {
        ExtinctionPlan::None => return Ok(Some(1.0)),
        ExtinctionPlan::ABand(cell) | ExtinctionPlan::Transmission(cell) => (cell, 1.0),
        ExtinctionPlan::Ebv(cell, per_ebv) => (cell, per_ebv),
    };
    let (column, index) = cell.of(block, row);
    let value = column.number(index)?.filter(|value| value.is_finite() && !is_sentinel(plan, *value));
    Ok(value.and_then(|value| match band.extinction {
        ExtinctionPlan::Transmission(_) => (value > 0.0 && value <= 1.001).then(|| 1.0 / value),
        // Maps of dust are noisy around zero; more than 50 mag is no galaxy seen.
        _ => (-0.5..50.0).contains(&(value * per_ebv)).then(|| 10_f64.powf(0.4 * value * per_ebv)),
    }))
}

/// A value of a column that is only kept: sentinels and NaN become NULL.
fn extra_value(plan: &Plan, cell: Cell, kind: ColumnType, block: &Block, row: usize) -> ExtraValue {
    let (column, index) = cell.of(block, row);
    if !column.is_valid(index) {
        return ExtraValue::Null;
    }
    let float = |value: f64| match value {
        value if value.is_nan() || is_sentinel(plan, value) => ExtraValue::Null,
        value => ExtraValue::Float(value),
    };
    match &column.values {
        Values::Bool(values) => ExtraValue::Int(i64::from(values[index])),
        Values::Int(values) => ExtraValue::Int(values[index]),
        Values::UInt(values) => match i64::try_from(values[index]) {
            Ok(value) => ExtraValue::Int(value),
            Err(_) => ExtraValue::Text(values[index].to_string()),
        },
        // The digits a single-precision number was written with, not those of its exact value.
        Values::Float(values) if kind == ColumnType::Float32 => {
            float((values[index] as f32).to_string().parse().unwrap_or(values[index]))
        }
        Values::Float(values) => float(values[index]),
        Values::Text(_) => text_value(plan, column, index, kind),
    }
}

fn text_value(plan: &Plan, column: &Column, index: usize, kind: ColumnType) -> ExtraValue {
    let Some(text) = column.text(index) else { return ExtraValue::Null };
    if kind != ColumnType::Untyped {
        return ExtraValue::Text(text);
    }
    // Only what comes out as it went in is a number: 007 and 1e999 stay text.
    if let Ok(value) = text.parse::<i64>()
        && value.to_string() == text
    {
        return if is_sentinel(plan, value as f64) { ExtraValue::Null } else { ExtraValue::Int(value) };
    }
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    let leading_zero = text
        .trim_start_matches('-')
        .strip_prefix('0')
        .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    match text.parse::<f64>() {
        Ok(value) if value.is_nan() || is_sentinel(plan, value) => ExtraValue::Null,
        Ok(value) if is_plain && !leading_zero && value.is_finite() && text.contains(['.', 'e', 'E']) => {
            ExtraValue::Float(value)
        }
        _ => ExtraValue::Text(text),
    }
}
