//! Units of photometry as catalogs write them, and their size in nanomaggies.

use serde::{Deserialize, Serialize};

/// Nanomaggies in one jansky: a maggie is 3631 Jy (Oke & Gunn 1983 zero point).
pub const NMGY_PER_JY: f64 = 1e9 / 3631.0;
/// `0.4 ln 10`: relative change of flux per magnitude.
pub const FLUX_PER_MAG: f64 = 0.921_034_037_197_618_4;

/// A unit of flux density, or the system of a magnitude.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unit {
    #[serde(rename = "nmgy")]
    Nmgy,
    #[serde(rename = "maggies")]
    Maggies,
    Jy,
    #[serde(rename = "mJy")]
    MilliJy,
    #[serde(rename = "uJy")]
    MicroJy,
    #[serde(rename = "nJy")]
    NanoJy,
    #[serde(rename = "erg s-1 cm-2 Hz-1")]
    Cgs,
    #[serde(rename = "AB")]
    AbMag,
    /// Needs the band's AB magnitude of Vega.
    #[serde(rename = "Vega")]
    VegaMag,
}

impl Unit {
    pub const ALL: [Unit; 9] = [
        Unit::Nmgy,
        Unit::Maggies,
        Unit::Jy,
        Unit::MilliJy,
        Unit::MicroJy,
        Unit::NanoJy,
        Unit::Cgs,
        Unit::AbMag,
        Unit::VegaMag,
    ];

    /// As column maps write it.
    pub fn name(self) -> &'static str {
        match self {
            Unit::Nmgy => "nmgy",
            Unit::Maggies => "maggies",
            Unit::Jy => "Jy",
            Unit::MilliJy => "mJy",
            Unit::MicroJy => "uJy",
            Unit::NanoJy => "nJy",
            Unit::Cgs => "erg s-1 cm-2 Hz-1",
            Unit::AbMag => "AB",
            Unit::VegaMag => "Vega",
        }
    }

    /// Nanomaggies in one unit of flux; `None` for magnitudes.
    pub fn nmgy(self) -> Option<f64> {
        match self {
            Unit::Nmgy => Some(1.0),
            Unit::Maggies => Some(1e9),
            Unit::Jy => Some(NMGY_PER_JY),
            Unit::MilliJy => Some(1e-3 * NMGY_PER_JY),
            Unit::MicroJy => Some(1e-6 * NMGY_PER_JY),
            Unit::NanoJy => Some(1e-9 * NMGY_PER_JY),
            // 1 Jy is 1e-23 erg s-1 cm-2 Hz-1.
            Unit::Cgs => Some(1e23 * NMGY_PER_JY),
            Unit::AbMag | Unit::VegaMag => None,
        }
    }

    /// The unit that a file's own words name; `None` for words that name none, such as a bare `mag`.
    pub fn from_words(words: &str) -> Option<Unit> {
        let plain: String =
            words.chars().filter(|c| !c.is_whitespace() && !matches!(c, '*' | '^' | '.')).collect();
        Some(match plain.to_ascii_lowercase().as_str() {
            "nmgy" | "nanomaggy" | "nanomaggies" | "nmaggy" | "nmaggies" | "nanomgy" => Unit::Nmgy,
            "mgy" | "maggy" | "maggies" => Unit::Maggies,
            "jy" | "jansky" | "janskys" => Unit::Jy,
            // The case of the first letter tells milli from mega.
            "mjy" if plain.starts_with('m') => Unit::MilliJy,
            "millijy" | "millijansky" => Unit::MilliJy,
            "ujy" | "\u{b5}jy" | "\u{3bc}jy" | "microjy" | "microjansky" => Unit::MicroJy,
            "njy" | "nanojy" | "nanojansky" => Unit::NanoJy,
            "ergs-1cm-2hz-1" | "ergcm-2s-1hz-1" | "erg/s/cm2/hz" | "erg/cm2/s/hz" | "erg/(scm2hz)"
            | "erg/(cm2shz)" | "cgs" => Unit::Cgs,
            "ab" | "abmag" | "mag(ab)" | "mag_ab" | "ab_mag" | "magab" => Unit::AbMag,
            "vega" | "vegamag" | "mag(vega)" | "mag_vega" | "vega_mag" | "magvega" => Unit::VegaMag,
            _ => return None,
        })
    }

    /// The unit of which the words name the inverse square (`nmgy^-2`, `1/nanomaggy^2`).
    pub fn from_inverse_square(words: &str) -> Option<Unit> {
        let plain = words.trim().replace("**", "^");
        let base = match plain.strip_prefix("1/") {
            Some(square) => square.trim_matches(['(', ')']).trim_end_matches("^2").trim_end_matches('2'),
            None => {
                plain.strip_suffix("-2").or_else(|| plain.strip_suffix("(-2)"))?.trim_end_matches(['^', ' '])
            }
        };
        Unit::from_words(base.trim_matches(['(', ')']))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_maggie_is_3631_jy_in_every_unit() {
        for (unit, one_maggie) in [
            (Unit::Nmgy, 1e9),
            (Unit::Maggies, 1.0),
            (Unit::Jy, 3631.0),
            (Unit::MilliJy, 3.631e6),
            (Unit::MicroJy, 3.631e9),
            (Unit::NanoJy, 3.631e12),
            (Unit::Cgs, 3.631e-20),
        ] {
            let nmgy = one_maggie * unit.nmgy().unwrap();
            assert!((nmgy / 1e9 - 1.0).abs() < 1e-14, "{unit:?}: {nmgy}");
        }
    }

    #[test]
    fn the_words_of_files_are_understood() {
        for (words, unit) in [
            ("nanomaggies", Unit::Nmgy),
            ("nanomaggy", Unit::Nmgy),
            ("mJy", Unit::MilliJy),
            ("\u{b5}Jy", Unit::MicroJy),
            ("erg / (s cm2 Hz)", Unit::Cgs),
            ("erg s**-1 cm**-2 Hz**-1", Unit::Cgs),
            ("mag(AB)", Unit::AbMag),
        ] {
            assert_eq!(Unit::from_words(words), Some(unit), "{words}");
        }
        for words in ["", "mag", "MJy", "counts", "Lsun"] {
            assert_eq!(Unit::from_words(words), None, "{words}");
        }
        for words in ["nanomaggy^-2", "nanomaggies^(-2)", "1/nanomaggy^2", "nmgy**-2", "1/nmgy2"] {
            assert_eq!(Unit::from_inverse_square(words), Some(Unit::Nmgy), "{words}");
        }
        for unit in Unit::ALL {
            assert_eq!(Unit::from_words(unit.name()), Some(unit));
        }
    }
}
