//! One-dimensional prior densities: cumulative functions with both tails, quantiles, log densities.

use serde::{Deserialize, Serialize};

use super::PriorError;
use crate::special::{norm_cdf, norm_ln_pdf, norm_quantile_pq};

/// The prior of one parameter.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Density {
    Uniform {
        lower: f64,
        upper: f64,
    },
    /// Uniform in the logarithm; both bounds positive.
    LogUniform {
        lower: f64,
        upper: f64,
    },
    Normal {
        mean: f64,
        sd: f64,
    },
    /// A normal cut to the interval and normalised there.
    TruncatedNormal {
        mean: f64,
        sd: f64,
        lower: f64,
        upper: f64,
    },
    Fixed {
        value: f64,
    },
}

impl Density {
    /// Errors unless the density is proper and its support lies in `bounds`.
    pub(super) fn check(&self, param: &str, bounds: (f64, f64)) -> Result<(), PriorError> {
        let value = |what, found, expected| PriorError::Value { param: param.into(), what, found, expected };
        let (lower, upper) = self.support();
        for (what, found) in self.numbers() {
            if !found.is_finite() {
                return Err(value(what, found, "a finite number"));
            }
        }
        if let Density::Normal { sd, .. } | Density::TruncatedNormal { sd, .. } = *self
            && sd <= 0.0
        {
            return Err(value("sd", sd, "a positive number"));
        }
        if !matches!(self, Density::Fixed { .. }) && lower >= upper {
            return Err(PriorError::CrossedBounds { param: param.into(), lower, upper });
        }
        if let Density::LogUniform { lower, .. } = *self
            && lower <= 0.0
        {
            return Err(value("lower", lower, "a positive number, for a log-uniform prior"));
        }
        if let Density::TruncatedNormal { mean, sd, .. } = *self
            && ((lower - mean) / sd > 30.0 || (upper - mean) / sd < -30.0)
        {
            return Err(value("mean", mean, "a mean within 30 sd of the interval"));
        }
        if lower < bounds.0 || upper > bounds.1 {
            // An untruncated normal reaches outside in its tails only where those weigh something.
            let inside = match *self {
                Density::Normal { mean, sd } => mean - 8.0 * sd >= bounds.0 && mean + 8.0 * sd <= bounds.1,
                _ => false,
            };
            if !inside {
                return Err(PriorError::Support { param: param.into(), lower, upper, bounds });
            }
        }
        Ok(())
    }

    fn numbers(&self) -> Vec<(&'static str, f64)> {
        match *self {
            Density::Uniform { lower, upper } | Density::LogUniform { lower, upper } => {
                vec![("lower", lower), ("upper", upper)]
            }
            Density::Normal { mean, sd } => vec![("mean", mean), ("sd", sd)],
            Density::TruncatedNormal { mean, sd, lower, upper } => {
                vec![("mean", mean), ("sd", sd), ("lower", lower), ("upper", upper)]
            }
            Density::Fixed { value } => vec![("value", value)],
        }
    }

    /// The interval that holds all of the density.
    pub fn support(&self) -> (f64, f64) {
        match *self {
            Density::Uniform { lower, upper }
            | Density::LogUniform { lower, upper }
            | Density::TruncatedNormal { lower, upper, .. } => (lower, upper),
            Density::Normal { .. } => (f64::NEG_INFINITY, f64::INFINITY),
            Density::Fixed { value } => (value, value),
        }
    }

    /// Lower and upper tail probability at `x`, each with its own digits.
    pub fn cdf_pq(&self, x: f64) -> (f64, f64) {
        let (lower, upper) = self.support();
        if x <= lower {
            return (0.0, 1.0);
        }
        if x >= upper {
            return (1.0, 0.0);
        }
        match *self {
            Density::Uniform { lower, upper } => {
                let width = upper - lower;
                ((x - lower) / width, (upper - x) / width)
            }
            Density::LogUniform { lower, upper } => {
                let width = (upper / lower).ln();
                ((x / lower).ln() / width, (upper / x).ln() / width)
            }
            Density::Normal { mean, sd } => {
                let z = (x - mean) / sd;
                (norm_cdf(z), norm_cdf(-z))
            }
            Density::TruncatedNormal { mean, sd, lower, upper } => {
                let (a, b, z) = ((lower - mean) / sd, (upper - mean) / sd, (x - mean) / sd);
                let mass = interval(a, b);
                (interval(a, z) / mass, interval(z, b) / mass)
            }
            Density::Fixed { .. } => (1.0, 0.0),
        }
    }

    /// The value at lower tail `p` and upper tail `q = 1 - p`.
    pub fn quantile_pq(&self, p: f64, q: f64) -> f64 {
        match *self {
            Density::Uniform { lower, upper } => {
                let width = upper - lower;
                if p <= q { lower + width * p } else { upper - width * q }
            }
            Density::LogUniform { lower, upper } => {
                let width = (upper / lower).ln();
                if p <= q { lower * (width * p).exp() } else { upper * (-width * q).exp() }
            }
            Density::Normal { mean, sd } => mean + sd * norm_quantile_pq(p, q),
            Density::TruncatedNormal { mean, sd, lower, upper } => {
                let (a, b) = ((lower - mean) / sd, (upper - mean) / sd);
                // Probabilities below and above the value, from whichever end is nearer.
                let below = norm_cdf(a) + p * interval(a, b);
                let above = norm_cdf(-b) + q * interval(a, b);
                (mean + sd * norm_quantile_pq(below, above)).clamp(lower, upper)
            }
            Density::Fixed { value } => value,
        }
    }

    /// The value at a standard normal coordinate, strictly inside the support.
    pub fn from_normal(&self, u: f64) -> f64 {
        match *self {
            Density::Normal { mean, sd } => mean + sd * u,
            Density::Fixed { value } => value,
            _ => {
                let (lower, upper) = self.support();
                self.quantile_pq(norm_cdf(u), norm_cdf(-u)).clamp(lower.next_up(), upper.next_down())
            }
        }
    }

    /// The standard normal coordinate of a value; that of the nearest inner value on the edges.
    pub fn to_normal(&self, x: f64) -> f64 {
        match *self {
            Density::Normal { mean, sd } => (x - mean) / sd,
            Density::Fixed { .. } => 0.0,
            _ => {
                let (lower, upper) = self.support();
                let (p, q) = self.cdf_pq(x.clamp(lower.next_up(), upper.next_down()));
                norm_quantile_pq(p, q)
            }
        }
    }

    /// Natural log of the density; minus infinity outside the support.
    pub fn ln_density(&self, x: f64) -> f64 {
        let (lower, upper) = self.support();
        if !(lower..=upper).contains(&x) {
            return f64::NEG_INFINITY;
        }
        match *self {
            Density::Uniform { lower, upper } => -(upper - lower).ln(),
            Density::LogUniform { lower, upper } => -(upper / lower).ln().ln() - x.ln(),
            Density::Normal { mean, sd } => norm_ln_pdf((x - mean) / sd) - sd.ln(),
            Density::TruncatedNormal { mean, sd, lower, upper } => {
                let mass = interval((lower - mean) / sd, (upper - mean) / sd);
                norm_ln_pdf((x - mean) / sd) - sd.ln() - mass.ln()
            }
            Density::Fixed { .. } => 0.0,
        }
    }
}

/// Probability of a standard normal between `a` and `b`, from the tail where it is small.
fn interval(a: f64, b: f64) -> f64 {
    if a > 0.0 { norm_cdf(-a) - norm_cdf(-b) } else { norm_cdf(b) - norm_cdf(a) }
}
