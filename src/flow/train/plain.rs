//! The same loss in burn's plain tensor operations, for comparison with the fused one.

use burn::tensor::activation::{relu, softmax, softplus, tanh};
use burn::tensor::{Device, Tensor, TensorData};

use super::objective::Objective;
use crate::flow::layout::{Block, Mat};
use crate::flow::network::Network;
use crate::flow::{Activation, Conditioner, FlowConfig, Order, Transform};

fn activate(activation: Activation, x: Tensor<2>) -> Tensor<2> {
    match activation {
        Activation::Relu => relu(x),
        Activation::Tanh => tanh(x),
        Activation::Elu => relu(x.clone()) + x.clamp_max(0.0).exp() - 1.0,
    }
}

struct Plain<'a> {
    network: &'a Network,
    weights: Tensor<1>,
}

impl Plain<'_> {
    /// `[rows, cols]`.
    fn mat(&self, mat: &Mat) -> Tensor<2> {
        self.weights.clone().slice([mat.range()]).reshape([mat.rows, mat.cols])
    }

    /// `x W^T + b`: `x` `[n, cols]`.
    fn dense(&self, x: Tensor<2>, (weight, bias): &(Mat, Mat)) -> Tensor<2> {
        x.matmul(self.mat(weight).transpose()) + self.mat(bias).transpose()
    }

    fn masked(&self, blocks: &[Block], x: &Tensor<2>, n: usize) -> Tensor<2> {
        let mut blocks: Vec<&Block> = blocks.iter().collect();
        blocks.sort_by_key(|block| block.row);
        let parts = blocks.into_iter().map(|block| match block.mat.cols {
            0 => Tensor::zeros([n, block.mat.rows], &x.device()),
            cols => x.clone().slice([0..n, 0..cols]).matmul(self.mat(&block.mat).transpose()),
        });
        Tensor::cat(parts.collect(), 1)
    }

    /// What the features and biases add to the rows of each layer: `[n, layer_rows]`.
    fn conditions(&self, x: Tensor<2>) -> Vec<Tensor<2>> {
        let Network { config, layout } = self.network;
        let (n, act) = (x.dims()[0], |x| activate(config.activation, x));
        if let Some(residual) = &layout.residual {
            let mut stream = self.dense(x, &residual.input);
            for [first, second] in &residual.blocks {
                let middle = act(self.dense(act(stream.clone()), first));
                stream = stream + self.dense(middle, second);
            }
            let rows = self.dense(act(stream), &residual.output);
            return rows.chunk(config.layers, 1);
        }
        let layer = |layer: &crate::flow::layout::Layer| {
            let parts = layer.biases.iter().map(|bias| self.mat(bias).transpose().repeat_dim(0, n));
            let mut parts: Vec<Tensor<2>> = parts.collect();
            if let Some(context) = &layer.context {
                parts[0] = parts[0].clone() + act(self.dense(x.clone(), context));
            }
            Tensor::cat(parts, 1)
        };
        layout.layers.iter().map(layer).collect()
    }

    /// `[n, 1]` each: the value and the log of the slope.
    fn transform(&self, params: Tensor<2>, y: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        let n = y.dims()[0];
        let column = |k: usize| params.clone().slice([0..n, k..k + 1]);
        match self.network.config.transform {
            Transform::Affine => {
                let scale = softplus(column(0), 1.0) + 1e-3;
                (scale.clone() * y + column(1), scale.log())
            }
            Transform::AffineSpline { bins, tail_bound } => {
                let log_scale = column(0) / (column(0).abs() / 8.0 + 1.0);
                let v = log_scale.clone().exp() * y + column(1);
                let sizes = |from: usize| {
                    let share = f64::from(2.0 * tail_bound) * (1.0 - 1e-3 * bins as f64);
                    let logits = params.clone().slice([0..n, from..from + bins]);
                    softmax(logits, 1) * share + f64::from(2.0 * tail_bound) * 1e-3
                };
                let (widths, heights) = (sizes(2), sizes(2 + bins));
                let size = |sizes: &Tensor<2>, k: usize| sizes.clone().slice([0..n, k..k + 1]);
                let edge = |sizes: &Tensor<2>, k: usize| match k {
                    0 => size(sizes, 0).zeros_like() - tail_bound,
                    _ => sizes.clone().slice([0..n, 0..k]).sum_dim(1) - tail_bound,
                };
                let slope = |k: usize| match k {
                    0 => column(0).ones_like(),
                    k if k == bins => column(0).ones_like(),
                    k => softplus(column(1 + 2 * bins + k) + 0.539_742_4, 1.0) + 1e-3,
                };
                let at = v.clone().clamp(-tail_bound, tail_bound);
                let mut chosen: [Tensor<2>; 6] = std::array::from_fn(|_| v.zeros_like());
                for k in 0..bins {
                    let mut here = at.clone().greater_equal(edge(&widths, k));
                    if k + 1 < bins {
                        here = here.bool_and(at.clone().lower(edge(&widths, k + 1)));
                    }
                    let here = here.float();
                    let values = [
                        edge(&widths, k),
                        size(&widths, k),
                        edge(&heights, k),
                        size(&heights, k),
                        slope(k),
                        slope(k + 1),
                    ];
                    for (sum, value) in chosen.iter_mut().zip(values) {
                        *sum = sum.clone() + here.clone() * value;
                    }
                }
                let [xl, width, yl, height, d0, d1] = chosen;
                let xi = (at - xl) / width.clone();
                let s = height.clone() / width;
                let rest = -xi.clone() + 1.0;
                let t = xi.clone() * rest.clone();
                let den = s.clone() + (d0.clone() + d1.clone() - s.clone() * 2.0) * t.clone();
                let num = s.clone() * xi.clone() * xi.clone() + d0.clone() * t.clone();
                let m = d1 * xi.clone() * xi + s.clone() * t * 2.0 + d0 * rest.clone() * rest;
                let value = yl + height * num / den.clone();
                let log = (s.clone() * s * m / (den.clone() * den)).log();
                let inside = v.clone().abs().lower_elem(tail_bound).float();
                let outside = -inside.clone() + 1.0;
                (inside.clone() * value + outside * v, log_scale + inside * log)
            }
        }
    }

    fn loss(&self, theta: Tensor<2>, x: Tensor<2>) -> Tensor<1> {
        let Network { config, layout } = self.network;
        let [n, d] = theta.dims();
        let per_param = config.outputs_per_param();
        let mut z: Vec<Tensor<2>> = theta.chunk(d, 1);
        let mut ln_det = z[0].zeros_like();
        for (layer, condition) in layout.layers.iter().zip(self.conditions(x)) {
            let state: Vec<Tensor<2>> = layer.order.iter().map(|&coordinate| z[coordinate].clone()).collect();
            let mut below = Tensor::cat(state.clone(), 1);
            let mut at = 0;
            for (m, &width) in config.hidden.iter().enumerate() {
                let given = condition.clone().slice([0..n, at..at + width]);
                below = activate(config.activation, given + self.masked(&layer.masked[m], &below, n));
                at += width;
            }
            let given = condition.slice([0..n, at..at + d * per_param]);
            let outputs = given + self.masked(&layer.masked[config.hidden.len()], &below, n);
            for ((position, &coordinate), y) in layer.order.iter().enumerate().zip(state) {
                let params = outputs.clone().slice([0..n, position * per_param..(position + 1) * per_param]);
                let (value, log_slope) = self.transform(params, y);
                z[coordinate] = value;
                ln_det = ln_det + log_slope;
            }
        }
        let z = Tensor::cat(z, 1);
        let constant = 0.5 * d as f64 * (2.0 * std::f64::consts::PI).ln();
        ((z.clone() * z).sum_dim(1) * 0.5 + constant - ln_det).mean()
    }
}

#[test]
fn fused_loss_and_gradient_agree_with_burns_plain_graph() {
    let base = FlowConfig { layers: 2, hidden: vec![12, 10], ..FlowConfig::nsf(4, 3) };
    let residual = Conditioner::Residual { width: 16, blocks: 2 };
    let configs = [
        FlowConfig { conditioner: residual, ..base.clone() },
        FlowConfig { conditioner: residual, activation: Activation::Tanh, ..base.clone() },
        FlowConfig { conditioner: Conditioner::Linear, activation: Activation::Elu, ..base.clone() },
        FlowConfig {
            transform: Transform::Affine,
            conditioner: Conditioner::Linear,
            activation: Activation::Tanh,
            order: Order::Shuffled { seed: 5 },
            hidden: vec![12, 10, 14],
            ..base
        },
    ];
    let device = Device::flex().autodiff();
    let n = 150;
    for config in configs {
        let network = Network::new(config.clone()).expect("a good configuration");
        // Zeros in the output layer would hide half of the gradient.
        let wave = |len: usize, step: f32| (0..len).map(|i| (i as f32 * step).sin()).collect::<Vec<f32>>();
        let mut weights = network.initial_weights(3);
        weights.iter_mut().zip(wave(network.layout.len, 0.7)).for_each(|(weight, add)| *weight += 0.2 * add);
        let theta: Vec<f32> = wave(4 * n, 1.3).iter().map(|v| 3.0 * v).collect();
        let x = wave(3 * n, 2.1);

        let column = |numbers: &[f32]| TensorData::new(numbers.to_vec(), [numbers.len()]);
        let w = Tensor::<1>::from_data(column(&weights), &device).require_grad();
        let plain = Plain { network: &network, weights: w.clone() };
        let table = |numbers: &[f32], width: usize| {
            Tensor::<1>::from_data(column(numbers), &device).reshape([n, width])
        };
        let loss = plain.loss(table(&theta, 4), table(&x, 3));
        let gradient = w.grad(&loss.backward()).expect("a gradient").into_data();
        let gradient: Vec<f32> = gradient.try_into_vec().expect("numbers");
        let loss: f32 = loss.into_scalar();

        let mut objective = Objective::new(&network);
        let before = weights.clone();
        for _ in 0..2 {
            let fused = objective.evaluate(&mut weights, &theta, &x).expect("a loss");
            assert!(
                (fused - f64::from(loss)).abs() < 1e-5 * f64::from(loss.abs()),
                "{fused} {loss}: {config:?}"
            );
            assert_eq!(weights, before);
            let largest = gradient.iter().fold(0.0_f32, |a, b| a.max(b.abs()));
            for (i, (fused, plain)) in objective.gradient().iter().zip(&gradient).enumerate() {
                assert!((fused - plain).abs() < 1e-5 * largest, "weight {i}: {fused} {plain}: {config:?}");
            }
        }
    }
}
