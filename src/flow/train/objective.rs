//! The loss of a batch and its gradient by the weights.

use crate::flow::network::{Lanes, Network};

/// Evaluates the loss; keeps its buffers from step to step.
pub(super) struct Objective {
    lanes: Lanes,
    gradient: Vec<f32>,
}

impl Objective {
    pub fn new(network: &Network) -> Self {
        Self { lanes: Lanes::default(), gradient: vec![0.0; network.layout.len] }
    }

    /// Mean negative log density of a batch; its gradient is in [`Self::gradient`] afterwards.
    pub fn evaluate(&mut self, network: &Network, weights: &[f32], theta: &[f32], x: &[f32]) -> f64 {
        network.loss_and_gradient(weights, theta, x, &mut self.lanes, &mut self.gradient)
    }

    pub fn gradient(&self) -> &[f32] {
        &self.gradient
    }
}
