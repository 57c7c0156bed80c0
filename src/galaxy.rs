//! A galaxy as a survey measured it: the record that readers make and the catalog keeps.

/// One observed galaxy, with one [`BandPhot`] per band of its survey's band set, in that order.
#[derive(Debug, Clone, PartialEq)]
pub struct GalaxyRecord {
    /// The survey's own identifier, exactly as given; unique within the survey.
    pub object_id: String,
    /// Row of the input it came from, counted from 0.
    pub source_row: u64,
    /// Right ascension and declination, degrees, ICRS; 0 <= ra < 360, -90 <= dec <= 90.
    pub position: Option<SkyPosition>,
    pub redshift: Option<f64>,
    pub redshift_err: Option<f64>,
    pub photometry: Vec<BandPhot>,
    /// Values of the extra columns kept, in the order the ingest declared them.
    pub extra: Vec<ExtraValue>,
    /// Bit `b` is set where the survey's cut with that bit failed; 0 passed them all.
    pub cuts_failed: u64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SkyPosition {
    pub ra_deg: f64,
    pub dec_deg: f64,
}

/// Flux in one band, corrected for Galactic extinction as the ingest says.
///
/// `None` means not observed; then `flags` says why. An upper limit has [`phot_flag::UPPER_LIMIT`],
/// its value in `flux_nmgy`, and perhaps no `ivar_nmgy`.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct BandPhot {
    pub flux_nmgy: Option<f64>,
    pub ivar_nmgy: Option<f64>,
    pub flags: u32,
}

/// Bits of [`BandPhot::flags`] and of the column `photometry.flags`.
pub mod phot_flag {
    /// `flux_nmgy` is an upper limit.
    pub const UPPER_LIMIT: u32 = 1;
    /// The input held a sentinel (-99, -9999, ...) or NULL here.
    pub const SENTINEL: u32 = 2;
    /// The input's inverse variance was zero, or its error zero or negative.
    pub const NO_ERROR: u32 = 4;
    /// The input's flux or error was NaN or infinite.
    pub const NOT_FINITE: u32 = 8;
    /// The error was enlarged by an error floor.
    pub const ERROR_FLOOR: u32 = 16;
    /// The input marks this band as unusable (a mask or context bit).
    pub const MASKED: u32 = 32;
    /// The flux is below zero; a legal measurement.
    pub const NEGATIVE_FLUX: u32 = 64;

    /// Bit, word and meaning, for the dictionary and for display.
    pub const ALL: [(u32, &str, &str); 7] = [
        (UPPER_LIMIT, "UPPER_LIMIT", "flux_nmgy is an upper limit"),
        (SENTINEL, "SENTINEL", "the input held a sentinel or NULL"),
        (NO_ERROR, "NO_ERROR", "the input's ivar was zero or its error not positive"),
        (NOT_FINITE, "NOT_FINITE", "the input's flux or error was NaN or infinite"),
        (ERROR_FLOOR, "ERROR_FLOOR", "the error was enlarged by an error floor"),
        (MASKED, "MASKED", "the input marks this band as unusable"),
        (NEGATIVE_FLUX, "NEGATIVE_FLUX", "the flux is below zero"),
    ];

    /// The words of `flags`, joined by `|`; unknown bits as a number.
    pub fn words(flags: u32) -> String {
        let known = ALL.iter().filter(|(bit, ..)| flags & bit != 0).map(|(_, word, _)| (*word).to_owned());
        let unknown = flags & !ALL.iter().fold(0, |all, (bit, ..)| all | bit);
        known.chain((unknown != 0).then(|| unknown.to_string())).collect::<Vec<_>>().join("|")
    }
}

/// One value of a column that is kept but means nothing to the program.
#[derive(Debug, Clone, PartialEq)]
pub enum ExtraValue {
    Null,
    Int(i64),
    Float(f64),
    Text(String),
}

#[cfg(test)]
mod tests {
    use super::phot_flag;

    #[test]
    fn flags_are_single_bits_and_read_as_words() {
        for (i, (bit, ..)) in phot_flag::ALL.iter().enumerate() {
            assert_eq!(*bit, 1 << i);
        }
        assert_eq!(phot_flag::words(0), "");
        assert_eq!(
            phot_flag::words(phot_flag::UPPER_LIMIT | phot_flag::MASKED | 1 << 20),
            "UPPER_LIMIT|MASKED|1048576"
        );
    }
}
