//! The loss of a batch and its gradient by the weights, as one operation of burn's autodiff graph.
//!
//! The operation's forward pass is fused with its backward pass ([`Network::loss_and_gradient`]): the
//! gradient is in hand when the loss is known, and is scaled by what burn brings from above.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::{DataError, Device, Tensor, TensorData};
use burn_flex::FlexTensor;

use crate::flow::network::{Lanes, Network};

/// The flow whose loss is asked for, and buffers kept from step to step.
#[derive(Clone)]
pub struct Fused(Arc<Shared>);

struct Shared {
    network: Network,
    buffers: Mutex<Buffers>,
}

#[derive(Default)]
struct Buffers {
    lanes: Lanes,
    gradient: Vec<f32>,
}

impl Fused {
    fn buffers(&self) -> MutexGuard<'_, Buffers> {
        self.0.buffers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Fused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fused({})", self.0.network.config.name())
    }
}

/// Backends that have the fused loss.
#[backend_extension(Autodiff, Flex)]
pub trait FlowLoss: Backend {
    /// Mean negative log density `[1]` of a batch: `weights` `[n_weights]`, `theta` `[n * n_param]`,
    /// `x` `[n * n_feature]`, both standardised and row-major. Only `weights` gets a gradient.
    fn flow_loss(
        weights: FloatTensor<Self>,
        theta: FloatTensor<Self>,
        x: FloatTensor<Self>,
        fused: Fused,
    ) -> FloatTensor<Self>;
}

/// The numbers of a tensor this file made: contiguous, from its first element.
fn numbers(tensor: &FlexTensor) -> &[f32] {
    tensor.storage()
}

fn tensor(numbers: Vec<f32>) -> FlexTensor {
    let shape = [numbers.len()];
    FlexTensor::from_data(TensorData::new(numbers, shape))
}

/// The loss and, in a vector taken from `fused`, its gradient.
fn evaluate(weights: &FlexTensor, theta: &FlexTensor, x: &FlexTensor, fused: &Fused) -> (f32, Vec<f32>) {
    let mut buffers = fused.buffers();
    let mut gradient = std::mem::take(&mut buffers.gradient);
    gradient.resize(fused.0.network.layout.len, 0.0);
    let (weights, theta, x) = (numbers(weights), numbers(theta), numbers(x));
    let loss = fused.0.network.loss_and_gradient(weights, theta, x, &mut buffers.lanes, &mut gradient);
    (loss as f32, gradient)
}

impl FlowLoss for Flex {
    fn flow_loss(weights: FlexTensor, theta: FlexTensor, x: FlexTensor, fused: Fused) -> FlexTensor {
        let (loss, gradient) = evaluate(&weights, &theta, &x, &fused);
        fused.buffers().gradient = gradient;
        tensor(vec![loss])
    }
}

impl<C: CheckpointStrategy> FlowLoss for Autodiff<Flex, C> {
    fn flow_loss(
        weights: FloatTensor<Self>,
        theta: FloatTensor<Self>,
        x: FloatTensor<Self>,
        fused: Fused,
    ) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct LossBackward;

        impl Backward<Flex, 1> for LossBackward {
            type State = FlexTensor;

            fn backward(self, ops: Ops<FlexTensor, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
                let above = numbers(&grads.consume::<Flex>(&ops.node))[0];
                let mut gradient = ops.state;
                if above != 1.0 {
                    gradient.storage_mut::<f32>().iter_mut().for_each(|value| *value *= above);
                }
                if let [Some(weights)] = ops.parents {
                    grads.register::<Flex>(weights.id, gradient);
                }
            }
        }

        let prepared = LossBackward.prepare::<C>([weights.node()]).compute_bound().stateful();
        let (weights, theta, x) = (weights.into_primitive(), theta.into_primitive(), x.into_primitive());
        let (loss, gradient) = evaluate(&weights, &theta, &x, &fused);
        match prepared {
            OpsKind::Tracked(prepared) => prepared.finish(tensor(gradient), tensor(vec![loss])),
            OpsKind::UnTracked(prepared) => {
                fused.buffers().gradient = gradient;
                prepared.finish(tensor(vec![loss]))
            }
        }
    }
}

/// Evaluates the loss through burn; weights and gradient move in and out without a copy.
pub(super) struct Objective {
    fused: Fused,
    device: Device,
    gradient: Vec<f32>,
}

impl Objective {
    pub fn new(network: &Network) -> Self {
        let shared = Shared { network: network.clone(), buffers: Mutex::default() };
        Self { fused: Fused(Arc::new(shared)), device: Device::flex().autodiff(), gradient: Vec::new() }
    }

    /// Mean negative log density of a batch; its gradient is in [`Self::gradient`] afterwards.
    ///
    /// Errors where burn cannot hand its numbers back.
    pub fn evaluate(&mut self, weights: &mut Vec<f32>, theta: &[f32], x: &[f32]) -> Result<f64, DataError> {
        self.fused.buffers().gradient = std::mem::take(&mut self.gradient);
        let column = |numbers: Vec<f32>| {
            let shape = [numbers.len()];
            Tensor::<1>::from_data(TensorData::new(numbers, shape), &self.device)
        };
        let w = column(std::mem::take(weights)).require_grad();
        let loss = Tensor::<1>::from_dispatch(Dispatch::flow_loss(
            w.clone().into_dispatch(),
            column(theta.to_vec()).into_dispatch(),
            column(x.to_vec()).into_dispatch(),
            self.fused.clone(),
        ));
        let mut grads = loss.backward();
        let value = f64::from(loss.into_scalar::<f32>());
        if let Some(gradient) = w.grad_remove(&mut grads) {
            self.gradient = gradient.into_data().try_into_vec()?;
        }
        *weights = w.inner().into_data().try_into_vec()?;
        Ok(value)
    }

    pub fn gradient(&self) -> &[f32] {
        &self.gradient
    }
}
