//! The map from coordinates to parameters for many rows at once, in f32 and vectorised.

use multiversion::multiversion;

use super::{BETA, Block, Density, N_PARAM, Prior, break_stick};
use crate::special::norm_cdf_f32;
use crate::vmath;

/// Rows mapped together: one column of this many coordinates stays in the first-level cache.
const BLOCK: usize = 512;

/// [`Prior::theta`] for many rows in f32; agrees with it to 1e-6 of each prior's width.
#[derive(Debug, Clone)]
pub struct ThetaMap {
    columns: Vec<Column>,
    template: [f32; N_PARAM],
    n_free: usize,
}

/// How one block of coordinates becomes columns of parameters.
#[derive(Debug, Clone, Copy)]
enum Column {
    /// `offset + width * cdf(u)`, kept inside `low..high`.
    Uniform {
        param: usize,
        offset: f32,
        width: f32,
        low: f32,
        high: f32,
    },
    /// The same in the logarithm.
    LogUniform {
        param: usize,
        offset: f32,
        width: f32,
        low: f32,
        high: f32,
    },
    Normal {
        param: usize,
        mean: f32,
        sd: f32,
    },
    /// Anything else in one dimension, through the exact map.
    Exact {
        param: usize,
        density: Density,
        low: f32,
        high: f32,
    },
    FlatDirichlet,
    Dirichlet {
        alpha: [f64; 4],
    },
}

impl ThetaMap {
    pub(super) fn new(prior: &Prior) -> Self {
        let columns = prior
            .blocks
            .iter()
            .map(|block| match *block {
                Block::Dirichlet { alpha } if alpha == [1.0; 4] => Column::FlatDirichlet,
                Block::Dirichlet { alpha } => Column::Dirichlet { alpha },
                Block::Scalar { param, density } => {
                    let (low, high) = inner_f32(density.support());
                    match density {
                        Density::Uniform { lower, upper } => {
                            let (offset, width) = (lower as f32, (upper - lower) as f32);
                            Column::Uniform { param, offset, width, low, high }
                        }
                        Density::LogUniform { lower, upper } => {
                            let (offset, width) = (lower.ln() as f32, (upper / lower).ln() as f32);
                            Column::LogUniform { param, offset, width, low, high }
                        }
                        Density::Normal { mean, sd } => {
                            Column::Normal { param, mean: mean as f32, sd: sd as f32 }
                        }
                        _ => Column::Exact { param, density, low, high },
                    }
                }
            })
            .collect();
        Self { columns, template: prior.template.map(|value| value as f32), n_free: prior.n_free }
    }

    pub fn n_free(&self) -> usize {
        self.n_free
    }

    /// Maps `u` `[n, n_free]`, row after row, to `theta` `[12, n]`, parameter after parameter.
    ///
    /// # Panics
    /// If the lengths do not belong to the same number of rows.
    pub fn columns(&self, u: &[f32], theta: &mut [f32]) {
        let n = u.len() / self.n_free;
        assert_eq!(u.len(), n * self.n_free, "u is not a whole number of rows");
        assert_eq!(theta.len(), n * N_PARAM, "theta does not have the rows of u");
        for (column, &value) in theta.chunks_exact_mut(n.max(1)).zip(&self.template) {
            column.fill(value);
        }
        let mut scratch = [[0.0_f32; BLOCK]; 3];
        for start in (0..n).step_by(BLOCK) {
            let rows = BLOCK.min(n - start);
            let mut at = 0;
            for column in &self.columns {
                let width = column.width();
                for (k, scratch) in scratch.iter_mut().take(width).enumerate() {
                    gather(u, start, rows, self.n_free, at + k, scratch);
                }
                column.apply(&scratch, rows, n, start, theta);
                at += width;
            }
        }
    }
}

fn gather(u: &[f32], start: usize, rows: usize, stride: usize, at: usize, out: &mut [f32; BLOCK]) {
    for (out, row) in out.iter_mut().zip(u[start * stride..(start + rows) * stride].chunks_exact(stride)) {
        *out = row[at];
    }
}

impl Column {
    fn width(&self) -> usize {
        match self {
            Column::FlatDirichlet | Column::Dirichlet { .. } => 3,
            _ => 1,
        }
    }

    fn apply(&self, u: &[[f32; BLOCK]; 3], rows: usize, n: usize, start: usize, theta: &mut [f32]) {
        let of = |param: usize| param * n + start..param * n + start + rows;
        match *self {
            Column::Uniform { param, offset, width, low, high } => {
                uniform(&u[0][..rows], offset, width, (low, high), &mut theta[of(param)]);
            }
            Column::LogUniform { param, offset, width, low, high } => {
                log_uniform(&u[0][..rows], offset, width, (low, high), &mut theta[of(param)]);
            }
            Column::Normal { param, mean, sd } => {
                for (theta, u) in theta[of(param)].iter_mut().zip(&u[0]) {
                    *theta = mean + sd * u;
                }
            }
            Column::Exact { param, density, low, high } => {
                for (theta, &u) in theta[of(param)].iter_mut().zip(&u[0]) {
                    *theta = (density.from_normal(f64::from(u)) as f32).clamp(low, high);
                }
            }
            Column::FlatDirichlet => {
                let mut beta = [[0.0; BLOCK]; 4];
                flat_dirichlet(u, rows, &mut beta);
                for (i, beta) in beta.iter().enumerate() {
                    theta[of(BETA + i)].copy_from_slice(&beta[..rows]);
                }
            }
            Column::Dirichlet { alpha } => {
                for row in 0..rows {
                    let u = [0, 1, 2].map(|k| f64::from(u[k][row]));
                    for (i, beta) in break_stick(&alpha, &u).into_iter().enumerate() {
                        theta[of(BETA + i)][row] = (beta as f32).clamp(f32::MIN_POSITIVE, BELOW_ONE);
                    }
                }
            }
        }
    }
}

/// The least and the greatest f32 strictly inside an interval.
fn inner_f32((lower, upper): (f64, f64)) -> (f32, f32) {
    let mut low = lower as f32;
    while f64::from(low) <= lower && low.is_finite() {
        low = low.next_up();
    }
    let mut high = upper as f32;
    while f64::from(high) >= upper && high.is_finite() {
        high = high.next_down();
    }
    (low, high)
}

const BELOW_ONE: f32 = 1.0 - f32::EPSILON / 2.0;

#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl", "x86_64+avx2"))]
fn uniform(u: &[f32], offset: f32, width: f32, (low, high): (f32, f32), theta: &mut [f32]) {
    for (theta, &u) in theta.iter_mut().zip(u) {
        *theta = (offset + width * norm_cdf_f32(u)).max(low).min(high);
    }
}

#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl", "x86_64+avx2"))]
fn log_uniform(u: &[f32], offset: f32, width: f32, (low, high): (f32, f32), theta: &mut [f32]) {
    for (theta, &u) in theta.iter_mut().zip(u) {
        *theta = vmath::exp(offset + width * norm_cdf_f32(u)).max(low).min(high);
    }
}

/// For a flat Dirichlet the parts of the stick left are powers of uniform numbers.
#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl", "x86_64+avx2"))]
fn flat_dirichlet(u: &[[f32; BLOCK]; 3], rows: usize, beta: &mut [[f32; BLOCK]; 4]) {
    const LEAST: f32 = 1e-7;
    for row in 0..rows {
        let left = |k: usize| norm_cdf_f32(-u[k][row]);
        let first = vmath::exp(vmath::ln(left(0)) * (1.0 / 3.0)).clamp(LEAST, BELOW_ONE);
        let second = left(1).sqrt().clamp(LEAST, BELOW_ONE);
        let third = left(2).clamp(LEAST, BELOW_ONE);
        beta[0][row] = 1.0 - first;
        beta[1][row] = first * (1.0 - second);
        beta[2][row] = first * second * (1.0 - third);
        beta[3][row] = first * second * third;
    }
}
