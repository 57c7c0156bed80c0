//! Draws and densities for one galaxy: every hidden unit is computed once per draw.
//!
//! Hidden units are sorted by degree, so inverting a layer alternates between one coordinate and the
//! units that wait for it. What depends on the features alone is computed once per galaxy.

use ndarray::{Array1, Array2, ArrayView2};
use rayon::prelude::*;

use super::buffer::Buffer;
use super::config::FlowConfig;
use super::elementwise::activate;
use super::layout::{Block, Group, Mat, Residual};
use super::network::{Network, base_ln_prob};
use super::panel::{Panel, TILE, dot};
use super::scaling::Scaling;
use super::transform::{self, Scratch};
use super::{FlowError, check_table};
use crate::rng::{Streams, fill_standard_normal};

/// Tiles a thread takes at once.
const TILES_PER_TASK: usize = 8;

/// A flow's weights in the order in which draws need them.
pub(crate) struct Sampler {
    config: FlowConfig,
    groups: Vec<Vec<Group>>,
    layer_rows: usize,
    layers: Vec<LayerPanels>,
    conditioner: ConditionerWeights,
}

struct LayerPanels {
    /// Per hidden layer and group, then per position.
    hidden: Vec<Vec<Panel>>,
    outputs: Vec<Panel>,
    order: Vec<usize>,
}

/// A dense layer's weights `[rows, cols]` and bias.
struct Dense {
    weights: Vec<f32>,
    bias: Vec<f32>,
    cols: usize,
}

impl Dense {
    fn new(weights: &[f32], mats: &(Mat, Mat)) -> Self {
        let (weight, bias) = mats;
        Self {
            weights: weights[weight.range()].to_vec(),
            bias: weights[bias.range()].to_vec(),
            cols: weight.cols,
        }
    }

    fn apply(&self, x: &[f32]) -> Vec<f32> {
        (0..self.bias.len())
            .map(|row| self.bias[row] + dot(&self.weights[row * self.cols..(row + 1) * self.cols], x))
            .collect()
    }
}

enum ConditionerWeights {
    Residual {
        input: Dense,
        blocks: Vec<[Dense; 2]>,
        output: Dense,
    },
    /// Per layer, the context layer and the biases of all rows.
    Linear(Vec<(Dense, Vec<f32>)>),
}

impl Sampler {
    pub fn new(network: &Network, weights: &[f32]) -> Self {
        let layout = &network.layout;
        let panel = |block: &Block| {
            let mat = &block.mat;
            Panel::new(&weights[mat.range()], mat.rows, mat.cols)
        };
        let hidden_layers = network.config.hidden.len();
        let layers = layout.layers.iter().map(|layer| LayerPanels {
            hidden: layer.masked[..hidden_layers]
                .iter()
                .map(|blocks| blocks.iter().map(panel).collect())
                .collect(),
            outputs: layer.masked[hidden_layers].iter().map(panel).collect(),
            order: layer.order.clone(),
        });
        let conditioner = match &layout.residual {
            Some(Residual { input, blocks, output }) => ConditionerWeights::Residual {
                input: Dense::new(weights, input),
                blocks: blocks
                    .iter()
                    .map(|[a, b]| [Dense::new(weights, a), Dense::new(weights, b)])
                    .collect(),
                output: Dense::new(weights, output),
            },
            None => ConditionerWeights::Linear(
                layout
                    .layers
                    .iter()
                    .filter_map(|layer| {
                        let context = Dense::new(weights, layer.context.as_ref()?);
                        let biases = layer.biases.iter().flat_map(|bias| &weights[bias.range()]).copied();
                        Some((context, biases.collect()))
                    })
                    .collect(),
            ),
        };
        Self {
            config: network.config.clone(),
            groups: layout.groups.clone(),
            layer_rows: layout.layer_rows,
            layers: layers.collect(),
            conditioner,
        }
    }

    /// What the features (and biases) add to every hidden unit and output, `[layers * layer_rows]`.
    fn context(&self, x: &[f32]) -> Vec<f32> {
        let act = |mut values: Vec<f32>| {
            activate(self.config.activation, &mut values);
            values
        };
        match &self.conditioner {
            ConditionerWeights::Residual { input, blocks, output } => {
                let mut stream = input.apply(x);
                for [first, second] in blocks {
                    let middle = act(first.apply(&act(stream.clone())));
                    stream.iter_mut().zip(second.apply(&middle)).for_each(|(s, v)| *s += v);
                }
                output.apply(&act(stream))
            }
            ConditionerWeights::Linear(layers) => {
                let mut rows = Vec::with_capacity(layers.len() * self.layer_rows);
                for (context, biases) in layers {
                    let start = rows.len();
                    rows.extend_from_slice(biases);
                    rows[start..].iter_mut().zip(act(context.apply(x))).for_each(|(r, v)| *r += v);
                }
                rows
            }
        }
    }
}

/// Buffers for one tile of draws.
struct Tile {
    normals: Buffer,
    /// Coordinates, and a layer's input by position, `[n_param, TILE]`.
    z: Buffer,
    y: Buffer,
    hidden: Vec<Buffer>,
    params: Buffer,
    ln_det: Buffer,
    ln_prob: Buffer,
    scratch: Scratch,
}

impl Tile {
    fn new(config: &FlowConfig) -> Self {
        let d = config.n_param;
        Self {
            normals: Buffer::zeros(d * TILE),
            z: Buffer::zeros(d * TILE),
            y: Buffer::zeros(d * TILE),
            hidden: config.hidden.iter().map(|width| Buffer::zeros(width * TILE)).collect(),
            params: Buffer::zeros(config.outputs_per_param() * TILE),
            ln_det: Buffer::zeros(TILE),
            ln_prob: Buffer::zeros(TILE),
            scratch: Scratch::default(),
        }
    }
}

/// Each row of `out` filled with its number.
fn broadcast(values: &[f32], out: &mut [f32]) {
    for (row, value) in out.chunks_exact_mut(TILE).zip(values) {
        row.fill(*value);
    }
}

/// The density of one galaxy.
pub struct Conditioned<'a> {
    sampler: &'a Sampler,
    scaling: &'a Scaling,
    context: Vec<f32>,
}

impl<'a> Conditioned<'a> {
    pub(crate) fn new(sampler: &'a Sampler, scaling: &'a Scaling, x: &[f32]) -> Self {
        Self { sampler, scaling, context: sampler.context(x) }
    }

    /// `n` draws `[n, n_param]`; see [`super::ConditionalFlow::sample`].
    pub fn sample(&self, n: usize, seed: u64, stream: u64) -> Array2<f32> {
        self.sample_with_ln_prob(n, seed, stream).0
    }

    /// `n` draws `[n, n_param]` and their `ln q` `[n]`.
    pub fn sample_with_ln_prob(&self, n: usize, seed: u64, stream: u64) -> (Array2<f32>, Array1<f32>) {
        self.draw_from(Streams::new(seed, "posterior draws").child(stream), n)
    }

    pub(crate) fn n_param(&self) -> usize {
        self.sampler.config.n_param
    }

    /// [`Self::sample_with_ln_prob`] with numbers of `streams`, one stream per tile of draws.
    pub(crate) fn draw_from(&self, streams: Streams, n: usize) -> (Array2<f32>, Array1<f32>) {
        let d = self.sampler.config.n_param;
        let mut draws = Array2::zeros((n, d));
        let mut ln_prob = Array1::zeros(n);
        let task = TILES_PER_TASK * TILE;
        if let (Some(draws), Some(ln_prob)) = (draws.as_slice_mut(), ln_prob.as_slice_mut()) {
            draws.par_chunks_mut(task * d).zip(ln_prob.par_chunks_mut(task)).enumerate().for_each_init(
                || Tile::new(&self.sampler.config),
                |tile, (index, (draws, ln_prob))| {
                    let tiles = draws.chunks_mut(TILE * d).zip(ln_prob.chunks_mut(TILE));
                    for (number, (draws, ln_prob)) in tiles.enumerate() {
                        let number = (index * TILES_PER_TASK + number) as u64;
                        fill_standard_normal(&mut streams.at(number), &mut tile.normals);
                        self.draw(tile);
                        self.store(tile, draws, ln_prob);
                    }
                },
            );
        }
        (draws, ln_prob)
    }

    /// `ln q(theta_i | x)` `[n]` of `theta` `[n, n_param]`.
    pub fn ln_prob(&self, theta: ArrayView2<f32>) -> Result<Array1<f32>, FlowError> {
        let d = self.sampler.config.n_param;
        check_table("theta", theta, theta.nrows(), d)?;
        let theta = self.scaling.standardize(theta);
        let mut out = vec![0.0; theta.len() / d];
        let volume = self.scaling.ln_volume();
        out.par_chunks_mut(TILE).zip(theta.par_chunks(TILE * d)).for_each_init(
            || Tile::new(&self.sampler.config),
            |tile, (out, theta)| {
                for (column, row) in theta.chunks_exact(d).enumerate() {
                    for (coordinate, value) in row.iter().enumerate() {
                        tile.z[coordinate * TILE + column] = *value;
                    }
                }
                self.score(tile);
                out.iter_mut().zip(tile.ln_prob.iter()).for_each(|(out, value)| *out = value - volume);
            },
        );
        Ok(Array1::from_vec(out))
    }

    /// Rows of layer `l`'s context: the hidden layers' one after the other, then the outputs'.
    fn layer_context(&self, l: usize) -> &[f32] {
        &self.context[l * self.sampler.layer_rows..(l + 1) * self.sampler.layer_rows]
    }

    /// Turns the tile's normals into draws (in `tile.z`) and their `ln q`.
    fn draw(&self, tile: &mut Tile) {
        let Sampler { config, groups, .. } = self.sampler;
        let (d, per_param) = (config.n_param, config.outputs_per_param());
        let hidden_rows: usize = config.hidden.iter().sum();
        for (column, row) in tile.normals.chunks_exact(d).enumerate() {
            for (coordinate, value) in row.iter().enumerate() {
                tile.z[coordinate * TILE + column] = *value;
            }
        }
        tile.ln_det.fill(0.0);
        base_ln_prob(&tile.z, &tile.ln_det, TILE, &mut tile.ln_prob);
        for (l, layer) in self.sampler.layers.iter().enumerate().rev() {
            let context = self.layer_context(l);
            let mut next = vec![0; groups.len()];
            if d == 1 {
                self.units_up_to(0, layer, context, &mut next, tile);
            }
            for (position, &coordinate) in layer.order.iter().enumerate() {
                let params = &mut tile.params[..];
                let from = hidden_rows + position * per_param;
                broadcast(&context[from..from + per_param], params);
                layer.outputs[position].multiply(&tile.hidden[groups.len() - 1], params);
                transform::inverse(
                    config.transform,
                    &mut params[..per_param * TILE],
                    &tile.z[coordinate * TILE..(coordinate + 1) * TILE],
                    &mut tile.y[position * TILE..(position + 1) * TILE],
                    &mut tile.ln_det,
                    &mut tile.scratch,
                );
                self.units_up_to(position + 1, layer, context, &mut next, tile);
            }
            for (position, &coordinate) in layer.order.iter().enumerate() {
                tile.z[coordinate * TILE..(coordinate + 1) * TILE]
                    .copy_from_slice(&tile.y[position * TILE..(position + 1) * TILE]);
            }
        }
        tile.ln_prob.iter_mut().zip(tile.ln_det.iter()).for_each(|(p, l)| *p += l);
    }

    /// `ln q` of the coordinates in `tile.z`, which are overwritten.
    fn score(&self, tile: &mut Tile) {
        let Sampler { config, groups, .. } = self.sampler;
        let per_param = config.outputs_per_param();
        let hidden_rows: usize = config.hidden.iter().sum();
        tile.ln_det.fill(0.0);
        for (l, layer) in self.sampler.layers.iter().enumerate() {
            let context = self.layer_context(l);
            for (position, &coordinate) in layer.order.iter().enumerate() {
                tile.y[position * TILE..(position + 1) * TILE]
                    .copy_from_slice(&tile.z[coordinate * TILE..(coordinate + 1) * TILE]);
            }
            self.units_up_to(config.n_param, layer, context, &mut vec![0; groups.len()], tile);
            for (position, &coordinate) in layer.order.iter().enumerate() {
                let params = &mut tile.params[..];
                let from = hidden_rows + position * per_param;
                broadcast(&context[from..from + per_param], params);
                layer.outputs[position].multiply(&tile.hidden[groups.len() - 1], params);
                transform::forward(
                    config.transform,
                    &mut params[..per_param * TILE],
                    &tile.y[position * TILE..(position + 1) * TILE],
                    &mut tile.z[coordinate * TILE..(coordinate + 1) * TILE],
                    &mut tile.ln_det,
                    &mut tile.scratch,
                );
            }
        }
        base_ln_prob(&tile.z, &tile.ln_det, TILE, &mut tile.ln_prob);
    }

    /// Computes the hidden units of degree at most `degree` that are not yet done, lower layers first.
    fn units_up_to(
        &self,
        degree: usize,
        layer: &LayerPanels,
        context: &[f32],
        next: &mut [usize],
        tile: &mut Tile,
    ) {
        let Sampler { config, groups, .. } = self.sampler;
        let mut context = context;
        for m in 0..groups.len() {
            let (of_layer, later) = context.split_at(config.hidden[m]);
            context = later;
            let (below, from_here) = tile.hidden.split_at_mut(m);
            let input = below.last().unwrap_or(&tile.y);
            let units = &mut from_here[0];
            while let Some(group) = groups[m].get(next[m]).filter(|group| group.degree <= degree) {
                let out = &mut units[group.start * TILE..];
                broadcast(&of_layer[group.start..group.end], out);
                layer.hidden[m][next[m]].multiply(input, out);
                activate(config.activation, &mut out[..(group.end - group.start) * TILE]);
                next[m] += 1;
            }
        }
    }

    /// Writes the tile's draws in the caller's units.
    fn store(&self, tile: &Tile, draws: &mut [f32], ln_prob: &mut [f32]) {
        let d = self.sampler.config.n_param;
        let (shift, scale) = (self.scaling.shift(), self.scaling.scale());
        for (column, row) in draws.chunks_exact_mut(d).enumerate() {
            for (coordinate, value) in row.iter_mut().enumerate() {
                *value = tile.z[coordinate * TILE + column] * scale[coordinate] + shift[coordinate];
            }
        }
        let volume = self.scaling.ln_volume();
        ln_prob.iter_mut().zip(tile.ln_prob.iter()).for_each(|(out, value)| *out = value - volume);
    }
}
