//! Whether posteriors are right: what the truths of fresh mocks say of the draws made for them.

pub mod coverage;

pub use coverage::{Coverage, ks_uniform, rank_fraction};
