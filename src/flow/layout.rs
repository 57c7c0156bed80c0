//! Where each weight lies in the flat vector of weights, masked matrices without their zeros.
//!
//! Hidden units are sorted by MADE degree (Germain et al. 2015, arXiv:1502.03509), so a unit sees a
//! prefix of the layer before it, and units of equal degree the same prefix: a masked matrix is one
//! dense block per degree, and what the mask forbids is neither stored nor computed.

use std::ops::Range;

use super::FlowError;
use super::config::{Conditioner, FlowConfig};

/// A dense row-major matrix inside the weights.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mat {
    pub offset: usize,
    pub rows: usize,
    pub cols: usize,
}

impl Mat {
    pub fn range(&self) -> Range<usize> {
        self.offset..self.offset + self.rows * self.cols
    }
}

/// Rows `row..row + mat.rows` of a masked matrix, which see the first `mat.cols` inputs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Block {
    pub row: usize,
    pub mat: Mat,
}

/// Consecutive hidden units of one degree: functions of the first `degree` positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Group {
    pub start: usize,
    pub end: usize,
    pub degree: usize,
}

#[derive(Debug, Clone)]
pub(crate) struct Layer {
    /// One masked matrix per hidden layer, then that of the outputs.
    pub masked: Vec<Vec<Block>>,
    /// Biases of the same (one column); empty where the conditioner gives them.
    pub biases: Vec<Mat>,
    /// `W x + b` for the first hidden layer ([`Conditioner::Linear`]).
    pub context: Option<(Mat, Mat)>,
    pub order: Vec<usize>,
}

#[derive(Debug, Clone)]
pub(crate) struct Residual {
    pub input: (Mat, Mat),
    pub blocks: Vec<[(Mat, Mat); 2]>,
    pub output: (Mat, Mat),
}

/// How a tensor starts, uniform in `[-bound, bound]`.
#[derive(Debug, Clone)]
pub(crate) struct TensorSpec {
    pub name: String,
    pub mat: Mat,
    pub bound: f32,
}

#[derive(Debug, Clone)]
pub(crate) struct Layout {
    pub groups: Vec<Vec<Group>>,
    pub layers: Vec<Layer>,
    pub residual: Option<Residual>,
    pub tensors: Vec<TensorSpec>,
    /// Number of weights.
    pub len: usize,
    /// Rows of one layer's hidden units and outputs together.
    pub layer_rows: usize,
}

/// More weights than this (1 GiB in f32) are taken for a mistake or a forged file.
const MAX_WEIGHTS: usize = 1 << 28;

struct Builder {
    tensors: Vec<TensorSpec>,
    len: usize,
}

impl Builder {
    fn add(&mut self, name: String, rows: usize, cols: usize, bound: f32) -> Mat {
        let mat = Mat { offset: self.len, rows, cols };
        self.len += rows * cols;
        if rows * cols > 0 {
            self.tensors.push(TensorSpec { name, mat, bound });
        }
        mat
    }

    /// Weight and bias of a dense layer.
    fn dense(&mut self, name: &str, rows: usize, cols: usize, bound: f32) -> (Mat, Mat) {
        let weight = self.add(format!("{name}.weight"), rows, cols, bound);
        (weight, self.add(format!("{name}.bias"), rows, 1, 0.0))
    }
}

impl Layout {
    pub fn new(config: &FlowConfig) -> Result<Self, FlowError> {
        config.check()?;
        let d = config.n_param;
        let groups: Vec<Vec<Group>> = config.hidden.iter().map(|&width| groups(width, d)).collect();
        let per_param = config.outputs_per_param();
        let layer_rows = config.hidden.iter().sum::<usize>() + d * per_param;
        let mut builder = Builder { tensors: Vec::new(), len: 0 };

        let residual = match config.conditioner {
            Conditioner::Linear => None,
            Conditioner::Residual { width, blocks } => {
                let he = (6.0 / width as f32).sqrt();
                let input_bound = (3.0 / config.n_feature.max(1) as f32).sqrt();
                let input = builder.dense("conditioner.input", width, config.n_feature, input_bound);
                let blocks = (0..blocks)
                    .map(|block| {
                        let name = format!("conditioner.block{block}");
                        [
                            builder.dense(&format!("{name}.first"), width, width, he),
                            builder.dense(&format!("{name}.second"), width, width, 0.1 * he),
                        ]
                    })
                    .collect();
                let bound = 1.0 / (width as f32).sqrt();
                let output = builder.dense("conditioner.output", config.layers * layer_rows, width, bound);
                Some(Residual { input, blocks, output })
            }
        };
        let mut layers = Vec::with_capacity(config.layers);
        for index in 0..config.layers {
            let masked = masked_matrices(config, &groups, index, residual.is_some(), &mut builder);
            let mut biases = Vec::new();
            let mut context = None;
            if residual.is_none() {
                for (m, &width) in config.hidden.iter().enumerate() {
                    let fan_in = if m == 0 { d } else { config.hidden[m - 1] } as f32;
                    biases.push(builder.add(
                        format!("layer{index}.hidden{m}.bias"),
                        width,
                        1,
                        fan_in.sqrt().recip(),
                    ));
                }
                biases.push(builder.add(format!("layer{index}.output.bias"), d * per_param, 1, 0.0));
                let bound = (config.n_feature.max(1) as f32).sqrt().recip();
                let weight = builder.add(
                    format!("layer{index}.context.weight"),
                    config.hidden[0],
                    config.n_feature,
                    bound,
                );
                context = Some((
                    weight,
                    builder.add(format!("layer{index}.context.bias"), config.hidden[0], 1, bound),
                ));
            }
            layers.push(Layer { masked, biases, context, order: config.order_of(index) });
        }
        if builder.len > MAX_WEIGHTS {
            return Err(FlowError::Config {
                setting: "weights",
                found: builder.len.to_string(),
                expected: "at most 268435456 in all",
            });
        }
        Ok(Self { groups, layers, residual, tensors: builder.tensors, len: builder.len, layer_rows })
    }
}

fn masked_matrices(
    config: &FlowConfig,
    groups: &[Vec<Group>],
    index: usize,
    conditioned: bool,
    builder: &mut Builder,
) -> Vec<Vec<Block>> {
    let per_param = config.outputs_per_param();
    let mut masked = Vec::with_capacity(groups.len() + 1);
    for (m, of_layer) in groups.iter().enumerate() {
        let fan_in = if m == 0 { config.n_param } else { config.hidden[m - 1] } as f32;
        let bound = if conditioned { (3.0 / fan_in).sqrt() } else { fan_in.sqrt().recip() };
        let blocks = of_layer.iter().map(|group| {
            let cols = if m == 0 { group.degree } else { prefix(&groups[m - 1], group.degree) };
            let name = format!("layer{index}.hidden{m}.degree{}", group.degree);
            Block { row: group.start, mat: builder.add(name, group.end - group.start, cols, bound) }
        });
        masked.push(blocks.collect());
    }
    let last = &groups[groups.len() - 1];
    let fan_in = config.hidden[config.hidden.len() - 1] as f32;
    // A conditioned flow starts as the identity: its outputs are zero whatever the hidden units say.
    let bound = if conditioned { 0.0 } else { fan_in.sqrt().recip() };
    let outputs = (0..config.n_param).map(|position| {
        let cols = prefix(last, position);
        let name = format!("layer{index}.output.position{position}");
        Block { row: position * per_param, mat: builder.add(name, per_param, cols, bound) }
    });
    masked.push(outputs.collect());
    masked
}

/// Degrees 1 to `d - 1` shared out evenly, in ascending order; all 0 where there is one coordinate.
fn groups(width: usize, d: usize) -> Vec<Group> {
    if d == 1 {
        return vec![Group { start: 0, end: width, degree: 0 }];
    }
    let mut start = 0;
    let mut groups = Vec::new();
    for degree in 1..d {
        let count = width / (d - 1) + usize::from(degree <= width % (d - 1));
        if count > 0 {
            groups.push(Group { start, end: start + count, degree });
        }
        start += count;
    }
    groups
}

/// Number of units of degree at most `degree`.
pub(crate) fn prefix(groups: &[Group], degree: usize) -> usize {
    groups.iter().take_while(|group| group.degree <= degree).last().map_or(0, |group| group.end)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Weights as PyTorch counts them, masked ones included.
    fn dense_count(config: &FlowConfig) -> usize {
        let (d, c, h) = (config.n_param, config.n_feature, config.hidden[0]);
        config.layers * ((d + 1) * h + (c + 1) * h + 2 * (h + 1) * h + (h + 1) * 2 * d)
    }

    #[test]
    fn the_papers_maf_has_as_many_weights_as_sbi_builds() {
        // 11 features give 7,860,330; the often quoted 7,890,330 belongs to 15 features.
        assert_eq!(dense_count(&FlowConfig::maf(11, 11)), 7_860_330);
        assert_eq!(dense_count(&FlowConfig::maf(11, 15)), 7_890_330);
    }

    #[test]
    fn no_masked_weight_is_stored() {
        let config = FlowConfig::maf(11, 11);
        let layout = Layout::new(&config).expect("a valid configuration");
        let mut kept = 0;
        for layer in &layout.layers {
            for (m, blocks) in layer.masked.iter().enumerate() {
                for block in blocks {
                    kept += block.mat.rows * block.mat.cols;
                    if m == 0 {
                        assert!(block.mat.cols < 11);
                    }
                }
            }
        }
        let unmasked = 15 * (500 * 12 + 3 * 500 + 22);
        assert_eq!(layout.len, kept + unmasked);
        // 10 degrees of 50 units: 10 * 11 / 2 of 100 blocks of 50 x 50 remain.
        let hidden: usize = layout.layers[0].masked[1].iter().map(|b| b.mat.rows * b.mat.cols).sum();
        assert_eq!(hidden, 55 * 2500);
    }

    #[test]
    fn tensors_tile_the_weights_without_gap_or_overlap() {
        for config in
            [FlowConfig::maf(4, 3), FlowConfig::nsf(11, 11), FlowConfig::nsf(1, 0), FlowConfig::nsf(40, 2)]
        {
            let layout = Layout::new(&config).expect("a valid configuration");
            let mut next = 0;
            for tensor in &layout.tensors {
                assert_eq!(tensor.mat.offset, next);
                next = tensor.mat.range().end;
            }
            assert_eq!(next, layout.len);
        }
    }

    #[test]
    fn degrees_rise_and_cover_every_unit() {
        for (width, d) in [(64, 11), (500, 11), (5, 11), (7, 2), (9, 1)] {
            let groups = groups(width, d);
            let mut next = 0;
            for group in &groups {
                assert_eq!(group.start, next);
                next = group.end;
            }
            assert_eq!(next, width);
            assert_eq!(prefix(&groups, d - 1), width);
            assert_eq!(prefix(&groups, 0), if d == 1 { width } else { 0 });
        }
    }
}
