//! Galaxy properties from photometry by amortized Bayesian SED modelling.
//!
//! A galaxy's parameters go through the SED model ([`sed`]) to photometry; noise and features make
//! of it what a survey would have seen; a conditional density ([`flow`]) is trained on such pairs and
//! then sampled for every observed galaxy; one SQLite file ([`store`]) keeps galaxies, products and
//! how each was made. Data flows down the list of modules: a module uses only what stands above it.

// vocabulary
pub mod constants;
pub mod cosmology;
pub mod draws;
pub mod expr;
pub mod fits;
pub mod hash;
pub mod output;
pub mod progress;
pub mod rng;
pub mod sky;
pub mod special;
pub mod units;
pub mod vmath;

// forward model
pub mod filters;
pub mod ssp;

pub mod sed;

// simulation: pure given a seed
pub mod features;
pub mod noise;
pub mod prior;
pub mod simulate;

// density estimation: f32
pub mod flow;

// inference
pub mod codec;
pub mod diff;
pub mod infer;
pub mod shards;
pub mod validate;

// storage
pub mod galaxy;
pub mod samples;
pub mod store;

// questions
pub mod find;

// figures
pub mod plot;

// tables of surveys, in
pub mod tables;

// products, out and in
pub mod exchange;

pub mod ingest;

// edges
pub mod commands;

pub mod tui;

pub mod cli;
