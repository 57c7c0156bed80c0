//! Curves as text: ECSV, or two plain columns whose unit and counting are stated.

use std::fmt::{self, Write as _};
use std::path::Path;
use std::str::FromStr;

use super::{Filter, FilterError, FilterProblem, MAX_ROWS, Place};

/// Largest curve file read, bytes.
const MAX_BYTES: u64 = 64 << 20;

/// Unit of a curve's wavelengths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaveUnit {
    Angstrom,
    Nm,
    Micron,
}

/// What a detector's reading is proportional to: the photons counted or the energy received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counts {
    Photon,
    Energy,
}

/// What the user states about a file beyond what the file states itself.
#[derive(Debug, Clone, Default)]
pub struct Stated {
    pub name: Option<String>,
    pub unit: Option<WaveUnit>,
    pub counts: Option<Counts>,
    pub description: Option<String>,
    pub source: Option<String>,
}

impl WaveUnit {
    /// Angstrom in one of the unit.
    pub fn angstrom(self) -> f64 {
        match self {
            WaveUnit::Angstrom => 1.0,
            WaveUnit::Nm => 10.0,
            WaveUnit::Micron => 1e4,
        }
    }
}

impl fmt::Display for WaveUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            WaveUnit::Angstrom => "Angstrom",
            WaveUnit::Nm => "nm",
            WaveUnit::Micron => "micron",
        })
    }
}

impl FromStr for WaveUnit {
    type Err = FilterProblem;

    fn from_str(text: &str) -> Result<Self, FilterProblem> {
        match text.to_ascii_lowercase().as_str() {
            "angstrom" | "angstroms" | "aa" | "a" => Ok(WaveUnit::Angstrom),
            "nm" | "nanometer" | "nanometers" => Ok(WaveUnit::Nm),
            "micron" | "microns" | "um" | "micrometer" => Ok(WaveUnit::Micron),
            _ => Err(FilterProblem::UnknownUnit { found: text.to_owned() }),
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Counts::Photon => "photon",
            Counts::Energy => "energy",
        })
    }
}

impl FromStr for Counts {
    type Err = FilterProblem;

    fn from_str(text: &str) -> Result<Self, FilterProblem> {
        match text.to_ascii_lowercase().as_str() {
            "photon" | "photons" => Ok(Counts::Photon),
            "energy" => Ok(Counts::Energy),
            _ => Err(FilterProblem::UnknownCounts { found: text.to_owned() }),
        }
    }
}

impl Filter {
    /// Reads a curve file; see [`Filter::from_text`].
    pub fn read(path: &Path, stated: &Stated) -> Result<Self, FilterError> {
        let origin = path.display().to_string();
        let read = || -> Result<String, FilterProblem> {
            let bytes = std::fs::metadata(path)?.len();
            if bytes > MAX_BYTES {
                return Err(FilterProblem::TooLong { limit: MAX_ROWS });
            }
            Ok(std::fs::read_to_string(path)?)
        };
        Self::from_text(&read().map_err(|problem| problem.of(&origin))?, &origin, stated)
    }

    /// Parses a curve; `origin` names it in errors.
    ///
    /// ECSV (unit in the column's `unit`) or columns of text (unit in a comment `# unit: nm`); counting
    /// in the header's `counts: photon|energy`. Columns called `wavelength` and `response` are taken, or
    /// the first two. Wavelengths are kept to 1e-6 Angstrom, responses to 9 digits, zeros at the ends
    /// but one are dropped, and a response per energy is divided by wavelength, its peak kept.
    pub fn from_text(text: &str, origin: &str, stated: &Stated) -> Result<Self, FilterError> {
        parse(text, stated).map_err(|problem| problem.of(origin))
    }

    /// The curve as ECSV, which [`Filter::from_text`] reads back unchanged.
    pub fn to_ecsv(&self) -> String {
        let mut out = String::from(
            "# %ECSV 1.0\n# ---\n# datatype:\n\
             # - {name: wavelength, unit: Angstrom, datatype: float64}\n\
             # - {name: response, datatype: float64}\n# meta:\n",
        );
        let quoted = |text: &str| text.replace('\'', "''").replace(['\n', '\r'], " ");
        let _ = writeln!(out, "#   name: {}", self.name);
        let _ = writeln!(out, "#   counts: photon");
        for (key, value) in [("description", &self.description), ("source", &self.source)] {
            if !value.is_empty() {
                let _ = writeln!(out, "#   {key}: '{}'", quoted(value));
            }
        }
        out.push_str("# schema: astropy-2.0\nwavelength response\n");
        for (w, r) in self.wave_aa.iter().zip(&self.response) {
            // Exponents only where plain decimals would be long.
            let _ =
                if *r != 0.0 && *r < 1e-4 { writeln!(out, "{w} {r:e}") } else { writeln!(out, "{w} {r}") };
        }
        out
    }
}

#[derive(Default)]
struct Header {
    unit: Option<String>,
    counts: Option<String>,
    name: Option<String>,
    group: Option<String>,
    band: Option<String>,
    description: Option<String>,
    source: Option<String>,
    delimiter: Option<char>,
}

impl Header {
    fn take(&mut self, key: &str, value: &str) {
        let slot = match key {
            "unit" | "wavelength_unit" => &mut self.unit,
            "counts" => &mut self.counts,
            "name" => &mut self.name,
            "group_name" => &mut self.group,
            "band_name" => &mut self.band,
            "description" => &mut self.description,
            "source" | "url" => &mut self.source,
            "delimiter" => {
                self.delimiter = unquote(value).chars().next();
                return;
            }
            _ => return,
        };
        if slot.is_none() {
            *slot = Some(unquote(value));
        }
    }

    /// One comment line, without its `#`: a column's `- {name: .., unit: ..}`, or `key: value`.
    fn read_line(&mut self, line: &str) {
        let line = line.trim();
        let inner = line.strip_prefix("- {").and_then(|rest| rest.strip_suffix('}'));
        if let Some(inner) = inner {
            let pairs: Vec<(&str, &str)> = split_outside_quotes(inner).filter_map(key_value).collect();
            if pairs.iter().any(|(key, _)| *key == "datatype") {
                let column =
                    pairs.iter().find(|(key, _)| *key == "name").map(|(_, v)| unquote(v)).unwrap_or_default();
                if is_wavelength(&column)
                    && let Some((_, unit)) = pairs.iter().find(|(key, _)| *key == "unit")
                {
                    self.take("unit", unit);
                }
                return;
            }
            pairs.iter().for_each(|(key, value)| self.take(key, value));
        } else if let Some((key, value)) = key_value(line) {
            self.take(key, value);
        }
    }
}

fn key_value(text: &str) -> Option<(&str, &str)> {
    let (key, value) = text.split_once(':')?;
    let (key, value) = (key.trim(), value.trim());
    (!value.is_empty() && !key.contains(char::is_whitespace)).then_some((key, value))
}

fn unquote(value: &str) -> String {
    let value = value.trim();
    for quote in ['\'', '"'] {
        if let Some(inner) = value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote)) {
            return inner.replace("''", "'");
        }
    }
    value.to_owned()
}

fn split_outside_quotes(text: &str) -> impl Iterator<Item = &str> {
    let mut quote = None;
    text.split(move |c: char| {
        match quote {
            Some(open) if c == open => quote = None,
            None if c == '\'' || c == '"' => quote = Some(c),
            _ => {}
        }
        c == ',' && quote.is_none()
    })
}

fn is_wavelength(column: &str) -> bool {
    let column = column.to_ascii_lowercase();
    column.starts_with("wave") || column.starts_with("lam") || column == "wl"
}

fn is_response(column: &str) -> bool {
    let column = column.to_ascii_lowercase();
    ["response", "transmission", "throughput", "sensitivity"].iter().any(|word| column.starts_with(word))
}

/// A value stated in the file, by the user, or by both alike.
fn settle<T: PartialEq + fmt::Display + FromStr<Err = FilterProblem>>(
    what: &'static str,
    file: Option<&str>,
    asked: Option<T>,
) -> Result<Option<T>, FilterProblem> {
    let file = file.map(T::from_str).transpose()?;
    match (file, asked) {
        (Some(file), Some(asked)) if file != asked => {
            Err(FilterProblem::Conflict { what, file: file.to_string(), asked: asked.to_string() })
        }
        (file, asked) => Ok(file.or(asked)),
    }
}

fn parse(text: &str, stated: &Stated) -> Result<Filter, FilterProblem> {
    let mut header = Header::default();
    let mut columns: Option<(usize, usize)> = None;
    let (mut wave, mut response, mut lines) = (Vec::new(), Vec::new(), Vec::new());
    for (index, raw) in text.lines().enumerate() {
        let line = index + 1;
        let content = raw.trim();
        if let Some(comment) = content.strip_prefix('#') {
            header.read_line(comment);
            continue;
        }
        if content.is_empty() {
            continue;
        }
        let fields: Vec<&str> = content
            .split(|c: char| c.is_whitespace() || c == ',' || header.delimiter == Some(c))
            .map(|field| field.trim_matches('"'))
            .filter(|field| !field.is_empty())
            .collect();
        if columns.is_none() && fields.iter().all(|field| field.parse::<f64>().is_err()) {
            columns = Some(named_columns(&fields)?);
            continue;
        }
        let (at_wave, at_response) = *columns.get_or_insert((0, 1));
        if fields.len() < 2 || fields.len() <= at_wave.max(at_response) {
            return Err(FilterProblem::Columns { line, found: fields.len() });
        }
        if wave.len() == MAX_ROWS {
            return Err(FilterProblem::TooLong { limit: MAX_ROWS });
        }
        wave.push(number(fields[at_wave], line, "wavelength")?);
        response.push(number(fields[at_response], line, "response")?);
        lines.push(line);
    }
    let unit = settle("unit", header.unit.as_deref(), stated.unit)?.ok_or(FilterProblem::NoUnit)?;
    let counts =
        settle("counting", header.counts.as_deref(), stated.counts)?.ok_or(FilterProblem::NoCounts)?;
    let name =
        stated.name.clone().or(header.name).or_else(|| Some(format!("{}-{}", header.group?, header.band?)));
    let name = name.ok_or(FilterProblem::NoName)?;
    super::check_curve(&wave, &response, |row| Place::Line(lines[row]))?;
    normalise(&mut wave, &mut response, unit, counts);
    let mut filter = Filter::checked(&name, wave, response, unit, Place::Row)?;
    filter.description = stated.description.clone().or(header.description).unwrap_or_default();
    filter.source = stated.source.clone().or(header.source).unwrap_or_default();
    Ok(filter)
}

fn named_columns(names: &[&str]) -> Result<(usize, usize), FilterProblem> {
    if names.len() < 2 {
        let found = names.iter().map(|name| (*name).to_owned()).collect();
        return Err(FilterProblem::NoColumn { column: "response", found });
    }
    let wave = names.iter().position(|name| is_wavelength(name)).unwrap_or(0);
    let response = names.iter().position(|name| is_response(name)).unwrap_or(usize::from(wave == 0));
    Ok((wave, response))
}

fn number(field: &str, line: usize, column: &'static str) -> Result<f64, FilterProblem> {
    field.parse().map_err(|_| FilterProblem::NotANumber { line, column, found: field.to_owned() })
}

/// Angstrom, photon counting, one zero at each end, decimals free of conversion noise.
fn normalise(wave: &mut Vec<f64>, response: &mut Vec<f64>, unit: WaveUnit, counts: Counts) {
    for w in wave.iter_mut() {
        *w = (*w * unit.angstrom() * 1e6).round() / 1e6;
    }
    if counts == Counts::Energy {
        let peak = |values: &[f64]| values.iter().copied().fold(0.0, f64::max);
        let before = peak(response);
        response.iter_mut().zip(wave.iter()).for_each(|(r, w)| *r /= w);
        let scale = before / peak(response);
        response.iter_mut().for_each(|r| *r *= scale);
    }
    for r in response.iter_mut() {
        // Adding zero turns -0 into 0.
        *r = format!("{r:.8e}").parse::<f64>().unwrap_or(*r) + 0.0;
    }
    let first = response.iter().position(|&r| r > 0.0).unwrap_or(0).saturating_sub(1);
    let last = response.iter().rposition(|&r| r > 0.0).unwrap_or(0) + 1;
    let last = last.min(response.len() - 1);
    *wave = wave[first..=last].to_vec();
    *response = response[first..=last].to_vec();
}
