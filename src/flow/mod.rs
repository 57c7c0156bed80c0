//! Conditional densities: `ln_prob(theta, x)` and `sample(x, n, seed)` on plain f32 arrays.
//!
//! A [`ConditionalFlow`] maps the coordinates `theta`, one layer after another, to a standard normal;
//! each layer is autoregressive, its networks conditioned on the features `x`. [`config`] says what
//! is built, [`train`] fits it, [`checkpoint`] keeps it, [`Conditioned`] draws from it.

mod buffer;
pub mod checkpoint;
pub mod config;
mod elementwise;
pub mod ensemble;
mod gemm;
mod kernel;
mod layout;
mod network;
mod panel;
mod sampler;
mod scaling;
pub mod search;
pub mod toys;
pub mod train;
mod transform;

#[cfg(test)]
mod tests;

use ndarray::{Array1, Array2, ArrayView1, ArrayView2};
use thiserror::Error;

pub use checkpoint::CheckpointError;
pub use config::{Activation, Conditioner, FlowConfig, Order, Transform};
pub use sampler::Conditioned;
pub use scaling::Scaling;

use network::Network;
use sampler::Sampler;

#[derive(Debug, Error, PartialEq)]
pub enum FlowError {
    #[error("unknown architecture `{found}`: expected `nsf` or `maf`")]
    Architecture { found: String },
    #[error("flow configuration: {setting} is {found}, expected {expected}")]
    Config { setting: &'static str, found: String, expected: &'static str },
    #[error("{what} has shape {found:?}, expected {expected:?}")]
    Shape { what: &'static str, found: Vec<usize>, expected: Vec<usize> },
    #[error("{what} is {value} at row {row}, column {column}: only finite numbers can be used")]
    NotFinite { what: &'static str, row: usize, column: usize, value: f32 },
    #[error("coordinate {column} is {value} in every training example: a density needs a spread")]
    ConstantCoordinate { column: usize, value: f32 },
    #[error("weight {index} of the flow is {value}")]
    NotFiniteWeight { index: usize, value: f32 },
}

/// What a checkpoint says of itself besides its architecture.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FlowInfo {
    /// Which coordinates `theta` is given in, so that nobody decodes draws with another map.
    pub coordinates: String,
    /// Anything the caller wants back: feature definition, provenance hashes, scores.
    pub extra: serde_json::Value,
}

/// A trained (or freshly initialised) density of `n_param` coordinates given `n_feature` features.
pub struct ConditionalFlow {
    network: Network,
    weights: Vec<f32>,
    theta_scaling: Scaling,
    x_scaling: Scaling,
    sampler: Sampler,
    pub info: FlowInfo,
}

impl ConditionalFlow {
    /// Errors where the weights do not fit the configuration or are not finite.
    pub fn new(
        config: FlowConfig,
        weights: Vec<f32>,
        theta_scaling: Scaling,
        x_scaling: Scaling,
        info: FlowInfo,
    ) -> Result<Self, FlowError> {
        let network = Network::new(config)?;
        let shape = |what, found: usize, expected: usize| {
            if found == expected {
                return Ok(());
            }
            Err(FlowError::Shape { what, found: vec![found], expected: vec![expected] })
        };
        shape("the weights", weights.len(), network.layout.len)?;
        shape("the scaling of the coordinates", theta_scaling.len(), network.config.n_param)?;
        shape("the scaling of the features", x_scaling.len(), network.config.n_feature)?;
        if let Some((index, &value)) = weights.iter().enumerate().find(|(_, weight)| !weight.is_finite()) {
            return Err(FlowError::NotFiniteWeight { index, value });
        }
        let sampler = Sampler::new(&network, &weights);
        Ok(Self { network, weights, theta_scaling, x_scaling, sampler, info })
    }

    /// An untrained flow: random weights, no scaling. Conditioned splines start as the standard normal.
    pub fn untrained(config: FlowConfig, seed: u64) -> Result<Self, FlowError> {
        let network = Network::new(config.clone())?;
        let weights = network.initial_weights(seed);
        let (theta, x) = (Scaling::identity(config.n_param), Scaling::identity(config.n_feature));
        Self::new(config, weights, theta, x, FlowInfo::default())
    }

    pub fn config(&self) -> &FlowConfig {
        &self.network.config
    }

    pub fn n_param(&self) -> usize {
        self.network.config.n_param
    }

    pub fn n_feature(&self) -> usize {
        self.network.config.n_feature
    }

    /// Number of weights, masked ones not counted.
    pub fn n_weights(&self) -> usize {
        self.weights.len()
    }

    pub fn weights(&self) -> &[f32] {
        &self.weights
    }

    pub fn theta_scaling(&self) -> &Scaling {
        &self.theta_scaling
    }

    pub fn x_scaling(&self) -> &Scaling {
        &self.x_scaling
    }

    /// `ln q(theta_i | x_i)` `[n]` in natural log: `theta` `[n, n_param]`, `x` `[n, n_feature]`.
    ///
    /// For many `theta` of one `x`, [`Self::condition`] and [`Conditioned::ln_prob`] are faster.
    pub fn ln_prob(&self, theta: ArrayView2<f32>, x: ArrayView2<f32>) -> Result<Array1<f32>, FlowError> {
        let n = theta.nrows();
        check_table("theta", theta, n, self.n_param())?;
        check_table("x", x, n, self.n_feature())?;
        let theta = self.theta_scaling.standardize(theta);
        let x = self.x_scaling.standardize(x);
        let mut out = vec![0.0; n];
        self.network.ln_prob(&self.weights, &theta, &x, &mut out);
        let constant = self.theta_scaling.ln_volume();
        out.iter_mut().for_each(|value| *value -= constant);
        Ok(Array1::from_vec(out))
    }

    /// The density of one galaxy, with what depends on its features `x` `[n_feature]` alone done.
    pub fn condition(&self, x: ArrayView1<f32>) -> Result<Conditioned<'_>, FlowError> {
        check_table("x", x.insert_axis(ndarray::Axis(0)), 1, self.n_feature())?;
        let x = self.x_scaling.standardize(x.insert_axis(ndarray::Axis(0)));
        Ok(Conditioned::new(&self.sampler, &self.theta_scaling, &x))
    }

    /// `n` draws `[n, n_param]` given `x` `[n_feature]`. Draw `i` depends on the weights, `x`, `seed`,
    /// `stream` (a galaxy's number) and `i` alone: not on `n`, threads or machine.
    pub fn sample(
        &self,
        x: ArrayView1<f32>,
        n: usize,
        seed: u64,
        stream: u64,
    ) -> Result<Array2<f32>, FlowError> {
        Ok(self.condition(x)?.sample(n, seed, stream))
    }

    /// [`Self::sample`] and the draws' `ln q` `[n]`, at little more than the cost of the draws.
    pub fn sample_with_ln_prob(
        &self,
        x: ArrayView1<f32>,
        n: usize,
        seed: u64,
        stream: u64,
    ) -> Result<(Array2<f32>, Array1<f32>), FlowError> {
        Ok(self.condition(x)?.sample_with_ln_prob(n, seed, stream))
    }
}

/// Errors unless `table` is `[n, width]` and finite.
pub(crate) fn check_table(
    what: &'static str,
    table: ArrayView2<f32>,
    n: usize,
    width: usize,
) -> Result<(), FlowError> {
    if table.dim() != (n, width) {
        return Err(FlowError::Shape { what, found: table.shape().to_vec(), expected: vec![n, width] });
    }
    match table.indexed_iter().find(|(_, value)| !value.is_finite()) {
        Some(((row, column), &value)) => Err(FlowError::NotFinite { what, row, column, value }),
        None => Ok(()),
    }
}

/// `out = a b` for square row-major matrices of side `n`, a multiple of 16, by the product that training
/// uses: a yardstick for benchmarks.
pub fn matrix_product(out: &mut [f32], a: &[f32], b: &[f32], n: usize) {
    gemm::product(out, gemm::View::new(a, n, n), gemm::View::new(b, n, n), false);
}
