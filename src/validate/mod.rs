//! Whether posteriors are right: what the truths of fresh mocks say of the draws made for them.
//!
//! Each file is one diagnostic, a pure function of plain arrays. [`examine`] makes one row of
//! [`Evidence`] of a mock, [`Findings`] reads the rows of many. What each diagnostic says, and how to
//! read it, is in `docs/validation.md`.

pub mod agreement;
pub mod c2st;
pub mod coverage;
pub mod evidence;
pub mod findings;
pub mod local;
pub mod predictive;
pub mod ranks;
pub mod recovery;
pub mod samples;
pub mod tarp;
pub mod uniformity;

#[cfg(test)]
mod tests;

pub use agreement::{Agreement, Pair, Sample};
pub use c2st::{C2st, c2st};
pub use evidence::{Evidence, EvidenceError, Importance, MockRow, Posterior, Scalar, Truth, examine};
pub use findings::{Findings, Limits, Settings};
pub use ranks::{RankFindings, Shape, rank_fraction, weighted_rank_fraction};
pub use samples::Difference;
pub use uniformity::ks_uniform;
