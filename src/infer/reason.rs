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
