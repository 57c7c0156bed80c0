//! Why a galaxy has no posterior, or what to know about the one it has: short codes.

use std::fmt;

/// A reason code; written as in the paper's tables, `SIGMA_HIGH_r`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The redshift is outside the range the model was trained for.
    ZRange,
    /// The redshift is not measured or not finite.
    ZMissing,
    /// A band the model needs was not observed.
    BandMissing(String),
    /// A flux or its error is not a finite, positive-error measurement.
    BadFlux(String),
    /// The magnitude error is more than 3 standard deviations, and more than a fifth, above what the
    /// training set has there.
    SigmaHigh(String),
    /// The magnitude error is less than half the smallest one of the training set.
    SigmaLow(String),
    /// The flux is fainter than any of the training set.
    MagFaint(String),
    /// The flux is brighter than any of the training set.
    MagBright(String),
    /// The colour is bluer than 99.95 % of the training set.
    ColorBlue(String),
    /// The colour is redder than 99.95 % of the training set.
    ColorRed(String),
    /// The flow gave draws that are not finite.
    BadDraws,
    /// The band's flux is an upper limit, which the network cannot take.
    UpperLimit(String),
    /// Weighted draws of the flow were too few, or the tail of their weights too heavy.
    LowEfficiency,
    /// No parameters make fluxes like the observed ones.
    ModelMisfit,
    /// The chains reached their limit before they had converged.
    NotConverged,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::ZRange => f.write_str("Z_RANGE"),
            Reason::ZMissing => f.write_str("Z_MISSING"),
            Reason::BandMissing(band) => write!(f, "BAND_MISSING_{band}"),
            Reason::BadFlux(band) => write!(f, "BAD_FLUX_{band}"),
            Reason::SigmaHigh(band) => write!(f, "SIGMA_HIGH_{band}"),
            Reason::SigmaLow(band) => write!(f, "SIGMA_LOW_{band}"),
            Reason::MagFaint(band) => write!(f, "MAG_FAINT_{band}"),
            Reason::MagBright(band) => write!(f, "MAG_BRIGHT_{band}"),
            Reason::ColorBlue(color) => write!(f, "COLOR_BLUE_{color}"),
            Reason::ColorRed(color) => write!(f, "COLOR_RED_{color}"),
            Reason::BadDraws => f.write_str("BAD_DRAWS"),
            Reason::UpperLimit(band) => write!(f, "UPPER_LIMIT_{band}"),
            Reason::LowEfficiency => f.write_str("LOW_EFFICIENCY"),
            Reason::ModelMisfit => f.write_str("MODEL_MISFIT"),
            Reason::NotConverged => f.write_str("NOT_CONVERGED"),
        }
    }
}

/// Codes joined by spaces, as stored; none where there is nothing to say.
pub fn join(reasons: &[Reason]) -> Option<String> {
    let codes: Vec<String> = reasons.iter().map(Reason::to_string).collect();
    (!codes.is_empty()).then(|| codes.join(" "))
}

/// What a stored code means, in a clause; none for a code of another program.
pub fn meaning(code: &str) -> Option<&'static str> {
    const MEANINGS: [(&str, &str); 15] = [
        ("Z_RANGE", "the redshift is outside the range the model was trained for"),
        ("Z_MISSING", "there is no finite redshift"),
        ("BAND_MISSING_", "the model needs this band, and it was not observed"),
        ("BAD_FLUX_", "the flux or its error is not a finite number, or the error not positive"),
        ("SIGMA_HIGH_", "the error is larger than those the model was trained with"),
        ("SIGMA_LOW_", "the error is smaller than those the model was trained with"),
        ("MAG_FAINT_", "the flux is fainter than any the model was trained with"),
        ("MAG_BRIGHT_", "the flux is brighter than any the model was trained with"),
        ("COLOR_BLUE_", "the colour is bluer than 99.95 % of the training set"),
        ("COLOR_RED_", "the colour is redder than 99.95 % of the training set"),
        ("BAD_DRAWS", "the model gave draws that are not finite"),
        ("UPPER_LIMIT_", "the band's flux is an upper limit, which the network cannot take"),
        ("LOW_EFFICIENCY", "the network's draws, weighted, were too few or their weights too uneven"),
        ("MODEL_MISFIT", "no parameters make fluxes like the observed ones"),
        ("NOT_CONVERGED", "the chains reached their limit before they had converged"),
    ];
    let fits = |prefix: &str| if prefix.ends_with('_') { code.starts_with(prefix) } else { code == prefix };
    MEANINGS.into_iter().find(|(prefix, _)| fits(prefix)).map(|(_, meaning)| meaning)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_meaning() {
        let band = || "r".to_owned();
        let all = [
            Reason::ZRange,
            Reason::ZMissing,
            Reason::BandMissing(band()),
            Reason::BadFlux(band()),
            Reason::SigmaHigh(band()),
            Reason::SigmaLow(band()),
            Reason::MagFaint(band()),
            Reason::MagBright(band()),
            Reason::ColorBlue("g-r".into()),
            Reason::ColorRed("g-r".into()),
            Reason::BadDraws,
            Reason::UpperLimit(band()),
            Reason::LowEfficiency,
            Reason::ModelMisfit,
            Reason::NotConverged,
        ];
        for reason in &all {
            assert!(meaning(&reason.to_string()).is_some(), "{reason}");
        }
        assert_eq!(meaning("Z_RANGE_r"), None);
        assert_eq!(meaning("SOMETHING_ELSE"), None);
    }
}
