//! Bandpass curves: checked, photon-counting, named; the shipped ones and those users bring.
//!
//! A detector that counts photons sees `int f_lambda R lambda dlambda`; R is that response, in any
//! normalisation. A curve given per unit energy is converted on reading (R / lambda).

mod shipped;
mod text;

use std::path::Path;

use thiserror::Error;

pub use shipped::{shipped, shipped_groups, shipped_names, shipped_of_hash};
pub use text::{Counts, Stated, WaveUnit};

use crate::hash::ContentHash;

/// Pivot wavelengths accepted, Angstrom: outside them the unit is taken to be misstated.
///
/// Optical curves in nm or micron read as Angstrom fall below, in Angstrom read as micron above.
pub const PIVOT_RANGE_AA: (f64, f64) = (900.0, 1e7);

/// Longest curve accepted, rows.
pub const MAX_ROWS: usize = 1_000_000;

/// One band's response: piecewise linear between the rows, zero outside them.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter {
    name: String,
    description: String,
    source: String,
    wave_aa: Vec<f64>,
    response: Vec<f64>,
    pivot_aa: f64,
    effective_width_aa: f64,
}

/// What is wrong with a curve, and whose it is: a band's name or a file.
#[derive(Debug, Error)]
#[error("{origin}: {problem}")]
pub struct FilterError {
    pub origin: String,
    pub problem: FilterProblem,
}

/// Where in the input: rows count from 1, as do lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Row(usize),
    Line(usize),
}

#[derive(Debug, Error)]
pub enum FilterProblem {
    #[error("no such band among the {known} shipped ones, nor a file of that name{}", nearest.as_ref().map(|n| format!("; nearest: {n}")).unwrap_or_default())]
    Unknown { known: usize, nearest: Option<String> },
    #[error(
        "`{found}` cannot name a band: expected 1 to 64 of A-Z a-z 0-9 _ . + -, the first a letter or digit"
    )]
    Name { found: String },
    #[error("the file names no band: state one (`name: NAME` in the header, or --name)")]
    NoName,
    #[error("{wave} wavelengths but {response} responses")]
    Lengths { wave: usize, response: usize },
    #[error("{found} rows: a curve needs at least 2")]
    TooShort { found: usize },
    #[error("more than {limit} rows: too long for a bandpass curve")]
    TooLong { limit: usize },
    #[error("{place}: {column} is {found}, expected a finite number")]
    NotFinite { place: Place, column: &'static str, found: f64 },
    #[error("{place}: wavelength {found} is not above the {previous} before it: wavelengths must ascend")]
    NotAscending { place: Place, found: f64, previous: f64 },
    #[error("{place}: wavelength {found} is not positive")]
    NotPositive { place: Place, found: f64 },
    #[error("{place}: response {found} is negative")]
    Negative { place: Place, found: f64 },
    #[error("the response is zero everywhere")]
    AllZero,
    #[error(
        "pivot wavelength {pivot_aa:.1} Angstrom (from {unit}) is outside {:.0} .. {:.0e} Angstrom: is the unit right?",
        PIVOT_RANGE_AA.0,
        PIVOT_RANGE_AA.1
    )]
    UnitInsane { pivot_aa: f64, unit: WaveUnit },
    #[error(
        "the file states no wavelength unit: add `unit: angstrom` (or nm, micron) to its header, or say --unit"
    )]
    NoUnit,
    #[error("wavelength unit `{found}` is unknown: expected angstrom, nm or micron")]
    UnknownUnit { found: String },
    #[error(
        "the file does not say what the response counts: add `counts: photon` (or energy) to its header, or say --counts"
    )]
    NoCounts,
    #[error("counting `{found}` is unknown: expected photon or energy")]
    UnknownCounts { found: String },
    #[error("the file states {what} {file}, the command line {asked}")]
    Conflict { what: &'static str, file: String, asked: String },
    #[error("line {line}: `{found}` where a {column} was expected")]
    NotANumber { line: usize, column: &'static str, found: String },
    #[error("line {line}: {found} columns, expected wavelength and response")]
    Columns { line: usize, found: usize },
    #[error("no column called `{column}` among {}", found.join(", "))]
    NoColumn { column: &'static str, found: Vec<String> },
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Place::Row(n) => write!(f, "row {n}"),
            Place::Line(n) => write!(f, "line {n}"),
        }
    }
}

impl FilterProblem {
    fn of(self, origin: &str) -> FilterError {
        FilterError { origin: origin.to_owned(), problem: self }
    }
}

impl Filter {
    /// A photon-counting curve; `wave_aa` and `response` have one value per row, Angstrom and any scale.
    ///
    /// Errors where the name, an order, a value or the scale of the wavelengths cannot be right.
    pub fn new(name: &str, wave_aa: Vec<f64>, response: Vec<f64>) -> Result<Self, FilterError> {
        let place = |row| Place::Row(row + 1);
        Self::checked(name, wave_aa, response, WaveUnit::Angstrom, place).map_err(|problem| problem.of(name))
    }

    fn checked(
        name: &str,
        wave_aa: Vec<f64>,
        response: Vec<f64>,
        unit: WaveUnit,
        place: impl Fn(usize) -> Place,
    ) -> Result<Self, FilterProblem> {
        check_name(name)?;
        check_curve(&wave_aa, &response, place)?;
        let pivot_aa = pivot(&wave_aa, &response);
        if !(PIVOT_RANGE_AA.0..=PIVOT_RANGE_AA.1).contains(&pivot_aa) {
            return Err(FilterProblem::UnitInsane { pivot_aa, unit });
        }
        let peak = response.iter().copied().fold(0.0, f64::max);
        let area: f64 = segments(&wave_aa, &response)
            .map(|(x0, x1, y0, y1)| 0.5 * (x1 - x0) * (y0 / peak + y1 / peak))
            .sum();
        Ok(Self {
            name: name.to_owned(),
            description: String::new(),
            source: String::new(),
            wave_aa,
            response,
            pivot_aa,
            effective_width_aa: area,
        })
    }

    /// The same curve under another name, with other words about it.
    ///
    /// Errors if the name cannot name a band.
    pub fn renamed(self, name: &str, description: &str, source: &str) -> Result<Self, FilterError> {
        check_name(name).map_err(|problem| problem.of(name))?;
        let words = |text: &str| text.to_owned();
        Ok(Self { name: words(name), description: words(description), source: words(source), ..self })
    }

    /// The band's name, by system and version: `sdss2010-u`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the curve is, in a sentence; may be empty.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// Where the curve comes from: a paper, an address, a file; may be empty.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Wavelengths, Angstrom, vacuum, ascending.
    pub fn wave_aa(&self) -> &[f64] {
        &self.wave_aa
    }

    /// Response per photon, one per wavelength, in any normalisation.
    pub fn response(&self) -> &[f64] {
        &self.response
    }

    /// `sqrt(int R lambda dlambda / int R dlambda / lambda)`, Angstrom: f_nu = f_lambda pivot^2 / c holds for band averages.
    pub fn pivot_aa(&self) -> f64 {
        self.pivot_aa
    }

    /// `int R dlambda / max R`, Angstrom: the width of the box of the same height and area.
    pub fn effective_width_aa(&self) -> f64 {
        self.effective_width_aa
    }

    /// Shortest and longest wavelength between which the response is not zero, Angstrom.
    pub fn support_aa(&self) -> (f64, f64) {
        let first = self.response.iter().position(|&r| r > 0.0).unwrap_or(0);
        let last = self.response.iter().rposition(|&r| r > 0.0).unwrap_or(0);
        (self.wave_aa[first.saturating_sub(1)], self.wave_aa[(last + 1).min(self.wave_aa.len() - 1)])
    }

    /// Response at one wavelength, linear between the rows, zero outside them.
    pub fn response_at(&self, wave_aa: f64) -> f64 {
        let above = self.wave_aa.partition_point(|&w| w < wave_aa);
        if above == self.wave_aa.len() {
            return 0.0;
        }
        if self.wave_aa[above] == wave_aa {
            return self.response[above];
        }
        if above == 0 || wave_aa.is_nan() {
            return 0.0;
        }
        let (x0, x1) = (self.wave_aa[above - 1], self.wave_aa[above]);
        let t = (wave_aa - x0) / (x1 - x0);
        self.response[above - 1] * (1.0 - t) + self.response[above] * t
    }

    /// Hash of the curve alone: a renamed curve keeps it.
    pub fn hash(&self) -> ContentHash {
        let bytes = |values: &[f64]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
        ContentHash::of_parts([
            b"filter curve, Angstrom, photon".as_slice(),
            &bytes(&self.wave_aa),
            &bytes(&self.response),
        ])
    }
}

/// The shipped band of that name, or else the curve in the file of that name.
///
/// A file must state its unit, counting and name itself. Errors if there is neither, naming the nearest band.
pub fn resolve(name_or_path: &str) -> Result<Filter, FilterError> {
    let unknown = match shipped(name_or_path) {
        Ok(filter) => return Ok(filter),
        Err(error) => error,
    };
    let path = Path::new(name_or_path);
    if path.is_file() { Filter::read(path, &Stated::default()) } else { Err(unknown) }
}

fn check_name(name: &str) -> Result<(), FilterProblem> {
    let legal = |c: char| c.is_ascii_alphanumeric() || "_.+-".contains(c);
    let first_legal = name.chars().next().is_some_and(|c| c.is_ascii_alphanumeric());
    if first_legal && name.len() <= 64 && name.chars().all(legal) {
        Ok(())
    } else {
        Err(FilterProblem::Name { found: name.to_owned() })
    }
}

fn check_curve(wave: &[f64], response: &[f64], place: impl Fn(usize) -> Place) -> Result<(), FilterProblem> {
    if wave.len() != response.len() {
        return Err(FilterProblem::Lengths { wave: wave.len(), response: response.len() });
    }
    if wave.len() < 2 {
        return Err(FilterProblem::TooShort { found: wave.len() });
    }
    if wave.len() > MAX_ROWS {
        return Err(FilterProblem::TooLong { limit: MAX_ROWS });
    }
    for (row, (&w, &r)) in wave.iter().zip(response).enumerate() {
        let place = place(row);
        if !w.is_finite() {
            return Err(FilterProblem::NotFinite { place, column: "wavelength", found: w });
        }
        if !r.is_finite() {
            return Err(FilterProblem::NotFinite { place, column: "response", found: r });
        }
        if w <= 0.0 {
            return Err(FilterProblem::NotPositive { place, found: w });
        }
        if row > 0 && w <= wave[row - 1] {
            return Err(FilterProblem::NotAscending { place, found: w, previous: wave[row - 1] });
        }
        if r < 0.0 {
            return Err(FilterProblem::Negative { place, found: r });
        }
    }
    if response.iter().all(|&r| r == 0.0) {
        return Err(FilterProblem::AllZero);
    }
    Ok(())
}

fn segments<'a>(x: &'a [f64], y: &'a [f64]) -> impl Iterator<Item = (f64, f64, f64, f64)> + 'a {
    x.windows(2).zip(y.windows(2)).map(|(x, y)| (x[0], x[1], y[0], y[1]))
}

/// Pivot wavelength of the piecewise linear curve, its two integrals exact.
fn pivot(wave: &[f64], response: &[f64]) -> f64 {
    let (mut times, mut over) = (0.0, 0.0);
    for (x0, x1, y0, y1) in segments(wave, response) {
        let slope = (y1 - y0) / (x1 - x0);
        times += (x1 - x0) * (y0 * (2.0 * x0 + x1) + y1 * (x0 + 2.0 * x1)) / 6.0;
        over += (y0 - slope * x0) * ((x1 - x0) / x0).ln_1p() + (y1 - y0);
    }
    (times / over).sqrt()
}

#[cfg(test)]
mod tests;
