//! The flow's arithmetic on a batch: log densities, and their gradient by the weights.
//!
//! A batch is cut into lanes (shared out among threads, each with its own gradient) and lanes into
//! chunks small enough that activations stay in cache between the forward and the backward pass.
//! Lanes and chunks depend on the batch size alone, so results do not depend on the thread count.
//! Chunks are padded to whole vectors with examples that count for nothing.

use std::ops::Range;

use rayon::prelude::*;

use super::FlowError;
use super::buffer::Buffer;
use super::config::FlowConfig;
use super::elementwise::{
    activate, activate_into, add, add_row_sums, chain, chain_add, chain_into, fill_rows, row_of_transpose,
    transpose,
};
use super::gemm::{View, product};
use super::kernel::VECTOR;
use super::layout::{Block, Layout, Mat};
use super::transform::{self, Scratch};
use crate::rng::Streams;

/// Most examples handled between a forward and a backward pass.
const CHUNK: usize = 128;
/// Most parts of a batch that can be worked on at once.
const MAX_LANES: usize = 4;

/// The shape of a flow; weights are passed in.
#[derive(Debug, Clone)]
pub(crate) struct Network {
    pub config: FlowConfig,
    pub layout: Layout,
}

/// Buffers of one lane.
#[derive(Default)]
pub(crate) struct Workspace {
    /// Features `[n_feature, n]`.
    x: Buffer,
    /// Residual stream, and the activations of each block's input and middle.
    stream: Buffer,
    inputs: Vec<Buffer>,
    middles: Vec<Buffer>,
    /// Activated context terms of all layers (linear conditioner) `[layers * hidden, n]`.
    context: Buffer,
    /// Hidden units and outputs of all layers `[layers * layer_rows, n]`; in the backward pass they
    /// turn into the gradients by their pre-activations.
    rows: Buffer,
    /// Each layer's input by position, and the last one's output by coordinate, `[d, n]` each.
    states: Vec<Buffer>,
    z: Buffer,
    ln_det: Buffer,
    gradient: Buffer,
    gradient_in: Buffer,
    hidden_gradient: Buffer,
    lower_gradient: Buffer,
    /// Inputs of the matrix whose gradient is being computed, `[n, inputs]`.
    transposed: Buffer,
    scratch: Scratch,
}

/// Where the gradient by the weights goes: on top of what is there, or in its place.
struct Gradient<'a> {
    values: &'a mut [f32],
    add: bool,
}

impl Gradient<'_> {
    /// From the gradient by `W x`, that by `W`.
    fn of_product(&mut self, mat: &Mat, by_output: View, xt: View) {
        product(&mut self.values[mat.range()], by_output, xt, self.add);
    }

    /// From the gradient by what a bias was added to, `[rows, n]`, that by the bias.
    fn of_bias(&mut self, bias: &Mat, by_output: &[f32], n: usize) {
        let sums = &mut self.values[bias.range()];
        if !self.add {
            sums.fill(0.0);
        }
        add_row_sums(by_output, n, sums);
    }
}

/// Buffers for a batch, reused from step to step.
#[derive(Default)]
pub(crate) struct Lanes {
    lanes: Vec<Lane>,
}

#[derive(Default)]
struct Lane {
    workspace: Workspace,
    gradient: Vec<f32>,
    ln_prob: Vec<f32>,
}

fn mat<'a>(weights: &'a [f32], mat: &Mat) -> View<'a> {
    View::new(&weights[mat.range()], mat.rows, mat.cols)
}

/// What [`transpose`] made of `[width, n]`.
fn transposed(numbers: &[f32], n: usize, width: usize) -> View<'_> {
    View::columns(numbers, n, row_of_transpose(width), width)
}

/// `out += W x` for a masked matrix: `x` `[cols, n]`, `out` `[rows, n]`.
fn masked_product(weights: &[f32], blocks: &[Block], x: &[f32], n: usize, out: &mut [f32]) {
    for Block { row, mat: m } in blocks {
        if m.cols > 0 {
            let rows = &mut out[row * n..(row + m.rows) * n];
            product(rows, mat(weights, m), View::new(&x[..m.cols * n], m.cols, n), true);
        }
    }
}

/// From the gradient by `W x`, that by `W` (in `gradient`) and by `x` (added to `dx`);
/// `xt` is `x` transposed, as [`transpose`] leaves it.
fn masked_backward(
    weights: &[f32],
    blocks: &[Block],
    xt: &[f32],
    n: usize,
    dout: &[f32],
    gradient: &mut Gradient,
    dx: &mut [f32],
) {
    let stride = xt.len() / n;
    for Block { row, mat: m } in blocks {
        if m.cols > 0 {
            let d = View::new(&dout[row * n..(row + m.rows) * n], m.rows, n);
            gradient.of_product(m, d, View::columns(xt, n, stride, m.cols));
            product(&mut dx[..m.cols * n], mat(weights, m).t(), d, true);
        }
    }
}

impl Network {
    pub fn new(config: FlowConfig) -> Result<Self, FlowError> {
        let layout = Layout::new(&config)?;
        Ok(Self { config, layout })
    }

    /// Starting weights: uniform, by fan-in; a conditioned flow starts as the standard normal.
    pub fn initial_weights(&self, seed: u64) -> Vec<f32> {
        use rand::RngExt;
        let streams = Streams::new(seed, "flow weights");
        let mut weights = vec![0.0; self.layout.len];
        for (index, tensor) in self.layout.tensors.iter().enumerate() {
            let mut rng = streams.at(index as u64);
            for weight in &mut weights[tensor.mat.range()] {
                *weight = tensor.bound * (2.0 * rng.random::<f32>() - 1.0);
            }
        }
        if let Some(residual) = &self.layout.residual {
            let hidden: usize = self.config.hidden.iter().sum();
            let (weight, _) = residual.output;
            for (row, values) in weights[weight.range()].chunks_exact_mut(weight.cols).enumerate() {
                if row % self.layout.layer_rows >= hidden {
                    values.fill(0.0);
                }
            }
        }
        weights
    }

    /// `ln q(theta | x)` without the constants of standardisation: `theta` `[n, n_param]`,
    /// `x` `[n, n_feature]`, both standardised and row-major.
    pub fn ln_prob(&self, weights: &[f32], theta: &[f32], x: &[f32], out: &mut [f32]) {
        let (d, c) = (self.config.n_param, self.config.n_feature);
        out.par_chunks_mut(CHUNK).enumerate().for_each_init(Workspace::default, |workspace, (index, out)| {
            let rows = index * CHUNK..index * CHUNK + out.len();
            let n = workspace.load(theta, x, d, c, rows);
            self.forward(weights, workspace, n, out);
        });
    }

    /// Where `theta` `[n, n_param]` is mapped to, `[n, n_param]`, and the map's ln |det J| `[n]`.
    #[cfg(test)]
    pub fn latent(&self, weights: &[f32], theta: &[f32], x: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let (d, c) = (self.config.n_param, self.config.n_feature);
        let n = theta.len() / d;
        let mut ws = Workspace::default();
        let padded = ws.load(theta, x, d, c, 0..n);
        self.forward(weights, &mut ws, padded, &mut vec![0.0; n]);
        let z = (0..n * d).map(|i| ws.z[i % d * padded + i / d]).collect();
        (z, ws.ln_det[..n].to_vec())
    }

    /// Mean of `-ln q` over the batch (f64 sum in a fixed order), and its gradient in `gradient`.
    pub fn loss_and_gradient(
        &self,
        weights: &[f32],
        theta: &[f32],
        x: &[f32],
        lanes: &mut Lanes,
        gradient: &mut [f32],
    ) -> f64 {
        let (d, c) = (self.config.n_param, self.config.n_feature);
        let n = theta.len() / d;
        let count = n.div_ceil(CHUNK).clamp(1, MAX_LANES);
        let per_lane = n.div_ceil(count);
        let per_chunk = per_lane.div_ceil(per_lane.div_ceil(CHUNK).max(1));
        lanes.lanes.resize_with(count, Lane::default);
        let scale = -1.0 / n as f32;
        lanes.lanes.par_iter_mut().enumerate().for_each(|(index, lane)| {
            let (from, to) = ((index * per_lane).min(n), ((index + 1) * per_lane).min(n));
            lane.gradient.resize(self.layout.len, 0.0);
            lane.ln_prob.clear();
            if from == to {
                lane.gradient.fill(0.0);
            }
            let Lane { workspace, gradient, ln_prob } = lane;
            let mut start = from;
            while start < to {
                let end = to.min(start + per_chunk);
                let padded = workspace.load(theta, x, d, c, start..end);
                ln_prob.resize(end - from, 0.0);
                self.forward(weights, workspace, padded, &mut ln_prob[start - from..]);
                let gradient = Gradient { values: gradient, add: start > from };
                self.backward(weights, workspace, padded, end - start, scale, gradient);
                start = end;
            }
        });
        gradient.par_chunks_mut(1 << 16).enumerate().for_each(|(piece, out)| {
            let from = piece << 16;
            let range = from..from + out.len();
            out.copy_from_slice(&lanes.lanes[0].gradient[range.clone()]);
            for lane in &lanes.lanes[1..] {
                add(out, &lane.gradient[range.clone()]);
            }
        });
        let total: f64 = lanes.lanes.iter().flat_map(|lane| &lane.ln_prob).map(|v| f64::from(*v)).sum();
        -total / n as f64
    }

    /// Fills the rows of all layers with what the features (and biases) give.
    fn condition(&self, weights: &[f32], ws: &mut Workspace, n: usize) {
        let layout = &self.layout;
        let activation = self.config.activation;
        ws.rows.resize(self.config.layers * layout.layer_rows * n);
        let x = View::new(&ws.x, self.config.n_feature, n);
        match &layout.residual {
            Some(residual) => {
                let width = residual.input.0.rows;
                ws.stream.resize(width * n);
                ws.inputs.resize_with(residual.blocks.len() + 1, Buffer::default);
                ws.middles.resize_with(residual.blocks.len(), Buffer::default);
                let bias = |m: &Mat| &weights[m.range()];
                fill_rows(bias(&residual.input.1), n, &mut ws.stream);
                product(&mut ws.stream, mat(weights, &residual.input.0), x, true);
                for (k, [first, second]) in residual.blocks.iter().enumerate() {
                    ws.inputs[k].resize(width * n);
                    ws.middles[k].resize(width * n);
                    activate_into(activation, &ws.stream, &mut ws.inputs[k]);
                    let middle = &mut ws.middles[k];
                    fill_rows(bias(&first.1), n, middle);
                    product(middle, mat(weights, &first.0), View::new(&ws.inputs[k], width, n), true);
                    activate(activation, middle);
                    // The stream takes the block's output on top, bias first.
                    for (row, bias) in ws.stream.chunks_exact_mut(n).zip(bias(&second.1)) {
                        row.iter_mut().for_each(|v| *v += bias);
                    }
                    product(&mut ws.stream, mat(weights, &second.0), View::new(middle, width, n), true);
                }
                let last = residual.blocks.len();
                ws.inputs[last].resize(width * n);
                activate_into(activation, &ws.stream, &mut ws.inputs[last]);
                fill_rows(bias(&residual.output.1), n, &mut ws.rows);
                let input = View::new(&ws.inputs[last], width, n);
                product(&mut ws.rows, mat(weights, &residual.output.0), input, true);
            }
            None => {
                let hidden = self.config.hidden[0] * n;
                ws.context.resize(self.config.layers * hidden);
                for (l, layer) in layout.layers.iter().enumerate() {
                    let rows = &mut ws.rows[l * layout.layer_rows * n..(l + 1) * layout.layer_rows * n];
                    let mut at = 0;
                    for bias in &layer.biases {
                        fill_rows(&weights[bias.range()], n, &mut rows[at * n..(at + bias.rows) * n]);
                        at += bias.rows;
                    }
                    if let Some((weight, bias)) = &layer.context {
                        let context = &mut ws.context[l * hidden..(l + 1) * hidden];
                        fill_rows(&weights[bias.range()], n, context);
                        product(context, mat(weights, weight), x, true);
                        activate(activation, context);
                        add(&mut rows[..hidden], context);
                    }
                }
            }
        }
    }

    /// Log densities of the first of the `n` examples in `ws`; keeps there what [`Self::backward`] needs.
    fn forward(&self, weights: &[f32], ws: &mut Workspace, n: usize, ln_prob: &mut [f32]) {
        self.condition(weights, ws, n);
        let Self { config, layout } = self;
        let d = config.n_param;
        let per_param = config.outputs_per_param();
        ws.ln_det.resize(n);
        ws.ln_det.fill(0.0);
        ws.states.resize_with(config.layers, Buffer::default);
        for (l, layer) in layout.layers.iter().enumerate() {
            // ws.z is by coordinate, the layer's input by position.
            let state = &mut ws.states[l];
            state.resize(d * n);
            for (position, &coordinate) in layer.order.iter().enumerate() {
                state[position * n..(position + 1) * n]
                    .copy_from_slice(&ws.z[coordinate * n..(coordinate + 1) * n]);
            }
            let mut rest = &mut ws.rows[l * layout.layer_rows * n..(l + 1) * layout.layer_rows * n];
            let mut below: &[f32] = state;
            for (m, &width) in config.hidden.iter().enumerate() {
                let (hidden, tail) = std::mem::take(&mut rest).split_at_mut(width * n);
                masked_product(weights, &layer.masked[m], below, n, hidden);
                activate(config.activation, hidden);
                below = hidden;
                rest = tail;
            }
            masked_product(weights, &layer.masked[config.hidden.len()], below, n, rest);
            for (position, &coordinate) in layer.order.iter().enumerate() {
                transform::forward(
                    config.transform,
                    &mut rest[position * per_param * n..(position + 1) * per_param * n],
                    &state[position * n..(position + 1) * n],
                    &mut ws.z[coordinate * n..(coordinate + 1) * n],
                    &mut ws.ln_det,
                    &mut ws.scratch,
                );
            }
        }
        base_ln_prob(&ws.z, &ws.ln_det, n, ln_prob);
    }

    /// The gradient of `scale * sum(ln_prob)` over the first `count` of the `n` examples of the last forward.
    fn backward(
        &self,
        weights: &[f32],
        ws: &mut Workspace,
        n: usize,
        count: usize,
        scale: f32,
        mut gradient: Gradient,
    ) {
        let Self { config, layout } = self;
        let d = config.n_param;
        let per_param = config.outputs_per_param();
        // d(ln_prob)/dz = -z; ln_det enters with slope one everywhere.
        ws.gradient.resize(d * n);
        ws.gradient_in.resize(d * n);
        for (g, z) in ws.gradient.chunks_exact_mut(n).zip(ws.z.chunks_exact(n)) {
            g[..count].iter_mut().zip(z).for_each(|(g, z)| *g = -scale * z);
            g[count..].fill(0.0);
        }
        ws.ln_det[..count].fill(scale);
        ws.ln_det[count..].fill(0.0);
        let hidden_rows: usize = config.hidden.iter().sum();
        for (l, layer) in layout.layers.iter().enumerate().rev() {
            let rows = &mut ws.rows[l * layout.layer_rows * n..(l + 1) * layout.layer_rows * n];
            let (mut hidden, outputs) = rows.split_at_mut(hidden_rows * n);
            let state = &ws.states[l];
            for (position, &coordinate) in layer.order.iter().enumerate() {
                transform::backward(
                    config.transform,
                    &mut outputs[position * per_param * n..(position + 1) * per_param * n],
                    &state[position * n..(position + 1) * n],
                    &ws.gradient[coordinate * n..(coordinate + 1) * n],
                    &ws.ln_det,
                    &mut ws.gradient_in[position * n..(position + 1) * n],
                    &mut ws.scratch,
                );
            }
            let mut above: &[f32] = outputs;
            for m in (0..config.hidden.len()).rev() {
                let width = config.hidden[m];
                let lower_len = hidden.len() - width * n;
                let (lower, top) = std::mem::take(&mut hidden).split_at_mut(lower_len);
                ws.hidden_gradient.resize(width * n);
                let dh = &mut ws.hidden_gradient[..width * n];
                dh.fill(0.0);
                transpose(top, width, n, &mut ws.transposed);
                masked_backward(weights, &layer.masked[m + 1], &ws.transposed, n, above, &mut gradient, dh);
                chain_into(config.activation, dh, top);
                above = top;
                hidden = lower;
            }
            transpose(state, d, n, &mut ws.transposed);
            let dy = &mut ws.gradient_in;
            masked_backward(weights, &layer.masked[0], &ws.transposed, n, above, &mut gradient, dy);
            for (position, &coordinate) in layer.order.iter().enumerate() {
                ws.gradient[coordinate * n..(coordinate + 1) * n]
                    .copy_from_slice(&ws.gradient_in[position * n..(position + 1) * n]);
            }
        }
        self.condition_backward(weights, ws, n, &mut gradient);
    }

    /// From the gradient by every layer's rows, that by the conditioner's weights and biases.
    fn condition_backward(&self, weights: &[f32], ws: &mut Workspace, n: usize, gradient: &mut Gradient) {
        let layout = &self.layout;
        let activation = self.config.activation;
        let c = self.config.n_feature;
        match &layout.residual {
            Some(residual) => {
                let width = residual.input.0.rows;
                let last = residual.blocks.len();
                let (weight, bias) = &residual.output;
                let d = View::new(&ws.rows, weight.rows, n);
                transpose(&ws.inputs[last], width, n, &mut ws.transposed);
                gradient.of_product(weight, d, transposed(&ws.transposed, n, width));
                gradient.of_bias(bias, &ws.rows, n);
                ws.lower_gradient.resize(width * n);
                ws.hidden_gradient.resize(width * n);
                // ws.stream becomes the gradient by the residual stream.
                product(&mut ws.stream, mat(weights, weight).t(), d, false);
                chain(activation, &ws.inputs[last], &mut ws.stream);
                let (dm, da) = (&mut ws.hidden_gradient[..width * n], &mut ws.lower_gradient[..width * n]);
                for (k, [first, second]) in residual.blocks.iter().enumerate().rev() {
                    let (input, middle) = (&ws.inputs[k], &ws.middles[k]);
                    let ds = View::new(&ws.stream, width, n);
                    transpose(middle, width, n, &mut ws.transposed);
                    gradient.of_product(&second.0, ds, transposed(&ws.transposed, n, width));
                    gradient.of_bias(&second.1, &ws.stream, n);
                    product(dm, mat(weights, &second.0).t(), ds, false);
                    chain(activation, middle, dm);
                    let d = View::new(dm, width, n);
                    transpose(input, width, n, &mut ws.transposed);
                    gradient.of_product(&first.0, d, transposed(&ws.transposed, n, width));
                    gradient.of_bias(&first.1, dm, n);
                    product(da, mat(weights, &first.0).t(), d, false);
                    chain_add(activation, input, da, &mut ws.stream);
                }
                let (weight, bias) = &residual.input;
                transpose(&ws.x, c, n, &mut ws.transposed);
                let ds = View::new(&ws.stream, width, n);
                gradient.of_product(weight, ds, transposed(&ws.transposed, n, c));
                gradient.of_bias(bias, &ws.stream, n);
            }
            None => {
                let hidden = self.config.hidden[0] * n;
                transpose(&ws.x, c, n, &mut ws.transposed);
                for (l, layer) in layout.layers.iter().enumerate() {
                    let rows = &ws.rows[l * layout.layer_rows * n..(l + 1) * layout.layer_rows * n];
                    let mut at = 0;
                    for bias in &layer.biases {
                        gradient.of_bias(bias, &rows[at * n..(at + bias.rows) * n], n);
                        at += bias.rows;
                    }
                    if let Some((weight, bias)) = &layer.context {
                        let context = &mut ws.context[l * hidden..(l + 1) * hidden];
                        chain_into(activation, &rows[..hidden], context);
                        let d = View::new(context, weight.rows, n);
                        gradient.of_product(weight, d, transposed(&ws.transposed, n, c));
                        gradient.of_bias(bias, context, n);
                    }
                }
            }
        }
    }
}

impl Workspace {
    /// Takes `rows` of row-major `theta` and `x`, transposed and padded with zeros to whole vectors.
    /// Returns the number of columns.
    fn load(&mut self, theta: &[f32], x: &[f32], d: usize, c: usize, rows: Range<usize>) -> usize {
        let n = rows.len().next_multiple_of(VECTOR);
        for (table, width, out) in [(theta, d, &mut self.z), (x, c, &mut self.x)] {
            out.resize(width * n);
            out.fill(0.0);
            for (i, row) in table[rows.start * width..rows.end * width].chunks_exact(width.max(1)).enumerate()
            {
                row.iter().enumerate().for_each(|(j, value)| out[j * n + i] = *value);
            }
        }
        n
    }
}

/// `ln_det - z^2/2 - d/2 ln 2 pi` per column.
pub(crate) fn base_ln_prob(z: &[f32], ln_det: &[f32], n: usize, ln_prob: &mut [f32]) {
    const LN_2PI: f32 = 1.837_877_1;
    let constant = 0.5 * LN_2PI * (z.len() / n) as f32;
    for (out, l) in ln_prob.iter_mut().zip(ln_det) {
        *out = l - constant;
    }
    for row in z.chunks_exact(n) {
        for (out, v) in ln_prob.iter_mut().zip(row) {
            *out -= 0.5 * v * v;
        }
    }
}
