//! Sub-sampling simulated galaxies to another prior, as the paper does to flatten derived properties.
//!
//! A row of density `p_old` is kept with probability proportional to `p_new / p_old`; since fluxes and
//! noise depend on the parameters alone, the rows kept are a simulation with the new prior.

use rand::RngExt;
use thiserror::Error;

use crate::prior::{BetaPrior, N_PARAM, PARAMS, Prior};
use crate::rng::Streams;

#[derive(Debug, Error, PartialEq)]
pub enum SubsampleError {
    #[error(
        "the new prior allows {param} in {}..{}, but the set was simulated in {}..{}: a set can be \
         sub-sampled to a narrower prior only",
        new.0, new.1, old.0, old.1
    )]
    Wider { param: &'static str, new: (f64, f64), old: (f64, f64) },
    #[error("the new prior fixes {param}: rows at one value cannot be picked from a continuous set")]
    Fixed { param: &'static str },
    #[error("no row of the set has a density in the new prior")]
    NoOverlap,
}

/// Decides which rows of a simulated set belong to another prior.
pub struct Subsampler<'a> {
    old: &'a Prior,
    new: &'a Prior,
    /// Largest ln(p_new / p_old) among the rows.
    ln_largest: f64,
    streams: Streams,
}

impl<'a> Subsampler<'a> {
    /// `rows` are all rows of the set: parameters and redshift.
    pub fn new(
        old: &'a Prior,
        new: &'a Prior,
        rows: impl Iterator<Item = ([f64; N_PARAM], f64)>,
        seed: u64,
    ) -> Result<Self, SubsampleError> {
        let inside = |name, new: (f64, f64), old: (f64, f64)| {
            if new.0 < old.0 || new.1 > old.1 {
                return Err(SubsampleError::Wider { param: name, new, old });
            }
            Ok(())
        };
        for (param, info) in PARAMS.iter().enumerate() {
            if new.is_fixed(param) && !old.is_fixed(param) {
                return Err(SubsampleError::Fixed { param: info.name });
            }
            inside(info.name, new.support(param), old.support(param))?;
        }
        if let (BetaPrior::Dirichlet { .. }, BetaPrior::Fixed { .. }) = (old.spec().beta, new.spec().beta) {
            return Err(SubsampleError::Fixed { param: "beta1" });
        }
        inside("zred", new.zred_support(), old.zred_support())?;
        let ln_ratio = |(theta, zred): ([f64; N_PARAM], f64)| ln_ratio(old, new, &theta, zred);
        let ln_largest = rows.map(ln_ratio).fold(f64::NEG_INFINITY, f64::max);
        if ln_largest == f64::NEG_INFINITY {
            return Err(SubsampleError::NoOverlap);
        }
        Ok(Self { old, new, ln_largest, streams: Streams::new(seed, "subsample row") })
    }

    /// Whether row `row` of the set belongs to the sub-sample.
    pub fn keeps(&self, row: u64, theta: &[f64; N_PARAM], zred: f64) -> bool {
        let p = (ln_ratio(self.old, self.new, theta, zred) - self.ln_largest).exp();
        self.streams.at(row).random::<f64>() < p
    }
}

fn ln_ratio(old: &Prior, new: &Prior, theta: &[f64; N_PARAM], zred: f64) -> f64 {
    let ratio = new.ln_density(theta) - old.ln_density(theta) + new.spec().zred.ln_density(zred)
        - old.spec().zred.ln_density(zred);
    if ratio.is_nan() { f64::NEG_INFINITY } else { ratio }
}
