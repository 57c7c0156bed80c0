//! What a flow is made of: sizes and choices, checked once, stored as JSON with every checkpoint.

use serde::{Deserialize, Serialize};

use super::FlowError;

/// The architecture of a conditional density of `n_param` coordinates given `n_feature` features.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlowConfig {
    pub n_param: usize,
    /// Zero makes an unconditional density.
    pub n_feature: usize,
    /// Number of autoregressive layers.
    pub layers: usize,
    /// Widths of the hidden layers of each layer's masked network.
    pub hidden: Vec<usize>,
    pub activation: Activation,
    pub transform: Transform,
    pub order: Order,
    pub conditioner: Conditioner,
}

/// The map of one coordinate, whose parameters the masked network gives.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Transform {
    /// `scale * y + shift` with `scale = softplus(a) + 1e-3` (Papamakarios et al. 2017, as nflows has it).
    Affine,
    /// An affine map, then a monotone rational-quadratic spline on `[-tail_bound, tail_bound]`
    /// and the identity outside (Durkan et al. 2019, arXiv:1906.04032).
    AffineSpline { bins: usize, tail_bound: f32 },
}

/// Where the features enter.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Conditioner {
    /// Per layer, `activation(W x + b)` is added to the first hidden layer (sbi's MAF).
    Linear,
    /// One residual network for all layers, whose outputs are added to every hidden layer and to
    /// the outputs; it runs once per galaxy.
    Residual { width: usize, blocks: usize },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    Relu,
    Tanh,
    Elu,
}

/// The order in which a layer takes the coordinates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Order {
    /// As given in even layers, reversed in odd ones.
    Alternating,
    /// A random permutation per layer.
    Shuffled { seed: u64 },
}

impl FlowConfig {
    /// The default: affine and spline layers of small networks under a large conditioner.
    pub fn nsf(n_param: usize, n_feature: usize) -> Self {
        Self {
            n_param,
            n_feature,
            layers: 3,
            hidden: vec![64, 64],
            activation: Activation::Relu,
            transform: Transform::AffineSpline { bins: 8, tail_bound: 5.0 },
            order: Order::Alternating,
            conditioner: Conditioner::Residual { width: 384, blocks: 3 },
        }
    }

    /// The masked autoregressive flow of Hahn & Melchior (2022) as sbi builds it: 15 MADE blocks of
    /// an input layer, a context layer and two hidden layers of 500 units.
    pub fn maf(n_param: usize, n_feature: usize) -> Self {
        Self {
            n_param,
            n_feature,
            layers: 15,
            hidden: vec![500; 3],
            activation: Activation::Tanh,
            transform: Transform::Affine,
            order: Order::Shuffled { seed: 0 },
            conditioner: Conditioner::Linear,
        }
    }

    /// The architecture called `name`, `nsf` or `maf`.
    pub fn named(name: &str, n_param: usize, n_feature: usize) -> Result<Self, FlowError> {
        match name {
            "nsf" => Ok(Self::nsf(n_param, n_feature)),
            "maf" => Ok(Self::maf(n_param, n_feature)),
            _ => Err(FlowError::Architecture { found: name.to_owned() }),
        }
    }

    /// `nsf` or `maf`, for tables.
    pub fn name(&self) -> &'static str {
        match self.transform {
            Transform::Affine => "maf",
            Transform::AffineSpline { .. } => "nsf",
        }
    }

    /// Network outputs per coordinate.
    pub fn outputs_per_param(&self) -> usize {
        match self.transform {
            Transform::Affine => 2,
            Transform::AffineSpline { bins, .. } => 3 * bins + 1,
        }
    }

    /// The coordinate at each position of layer `layer`.
    pub fn order_of(&self, layer: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.n_param).collect();
        match self.order {
            Order::Alternating if layer % 2 == 1 => order.reverse(),
            Order::Alternating => {}
            Order::Shuffled { seed } => {
                use rand::seq::SliceRandom;
                order.shuffle(&mut crate::rng::Streams::new(seed, "flow order").at(layer as u64));
            }
        }
        order
    }

    /// Errors with the first setting that cannot be built.
    pub fn check(&self) -> Result<(), FlowError> {
        let bad = |setting: &'static str, found: String, expected: &'static str| {
            Err(FlowError::Config { setting, found, expected })
        };
        if !(1..=1024).contains(&self.n_param) {
            return bad("n_param", self.n_param.to_string(), "1 to 1024");
        }
        if self.n_feature > 65_536 {
            return bad("n_feature", self.n_feature.to_string(), "at most 65536");
        }
        if !(1..=256).contains(&self.layers) {
            return bad("layers", self.layers.to_string(), "1 to 256");
        }
        if self.hidden.is_empty() || self.hidden.len() > 16 {
            return bad("hidden", format!("{} layers", self.hidden.len()), "1 to 16 hidden layers");
        }
        if let Some(width) = self.hidden.iter().find(|width| !(1..=16_384).contains(*width)) {
            return bad("hidden", width.to_string(), "widths of 1 to 16384");
        }
        if let Transform::AffineSpline { bins, tail_bound } = self.transform {
            if !(2..=128).contains(&bins) {
                return bad("bins", bins.to_string(), "2 to 128");
            }
            if !(tail_bound > 0.0 && tail_bound <= 100.0) {
                return bad("tail_bound", tail_bound.to_string(), "above 0, at most 100");
            }
        }
        if let Conditioner::Residual { width, blocks } = self.conditioner {
            if !(1..=16_384).contains(&width) {
                return bad("width", width.to_string(), "1 to 16384");
            }
            if blocks > 64 {
                return bad("blocks", blocks.to_string(), "at most 64");
            }
        }
        Ok(())
    }
}
