//! A training run to and from bytes, exactly: what resumes is what would have gone on.

use serde::{Deserialize, Serialize};

use super::optimizer::Moments;
use super::{Clock, EpochRecord, Position, Recovery, TrainConfig, Trainer};
use crate::flow::FlowConfig;
use crate::flow::checkpoint::{
    CheckpointError, Tensor, read, scaling_tensors, take, take_scaling, take_weights, weight_tensors, write,
};
use crate::flow::network::Network;

const FORMAT: &str = "sedflow training run";

#[derive(Serialize, Deserialize)]
struct Header {
    flow: FlowConfig,
    train: TrainConfig,
    position: Position,
    moment_steps: u64,
    history: Vec<EpochRecord>,
    recoveries: Vec<Recovery>,
    notes: Vec<String>,
}

impl Trainer {
    /// Everything needed to go on, as one file (`docs/checkpoint-format.md`).
    pub fn to_bytes(&self) -> Result<Vec<u8>, CheckpointError> {
        let header = Header {
            flow: self.network.config.clone(),
            train: self.config.clone(),
            position: self.position.clone(),
            moment_steps: self.moments.steps,
            history: self.history.clone(),
            recoveries: self.recoveries.clone(),
            notes: self.notes.clone(),
        };
        let header = serde_json::to_value(header)
            .map_err(|error| CheckpointError::Header { reason: error.to_string() })?;
        let mut tensors = weight_tensors(&self.network.layout, &self.weights, "now.");
        tensors.extend(weight_tensors(&self.network.layout, &self.best, "best."));
        let moment =
            |name: &str, values| Tensor { name: name.to_owned(), shape: vec![self.weights.len()], values };
        tensors.push(moment("adam.first", self.moments.first.as_slice()));
        tensors.push(moment("adam.second", self.moments.second.as_slice()));
        tensors.extend(scaling_tensors("theta", &self.theta_scaling));
        tensors.extend(scaling_tensors("x", &self.x_scaling));
        write(FORMAT, header, &tensors)
    }

    /// Errors with what is wrong where `bytes` are not a training run of this program, or damaged.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CheckpointError> {
        let (header, mut tensors) = read(FORMAT, bytes)?;
        let header: Header = serde_json::from_value(header)
            .map_err(|error| CheckpointError::Header { reason: error.to_string() })?;
        let network = Network::new(header.flow)?;
        let weights = take_weights(&network.layout, &mut tensors, "now.")?;
        let best = take_weights(&network.layout, &mut tensors, "best.")?;
        let moments = Moments {
            first: take(&mut tensors, "adam.first", &[network.layout.len])?,
            second: take(&mut tensors, "adam.second", &[network.layout.len])?,
            steps: header.moment_steps,
        };
        let theta_scaling = take_scaling("theta", network.config.n_param, &mut tensors)?;
        let x_scaling = take_scaling("x", network.config.n_feature, &mut tensors)?;
        Ok(Self {
            network,
            config: header.train,
            theta_scaling,
            x_scaling,
            weights,
            best,
            moments,
            position: header.position,
            history: header.history,
            recoveries: header.recoveries,
            notes: header.notes,
            clock: Clock::default(),
        })
    }
}
