//! Problems whose posterior is known exactly, to test flows against.

use ndarray::{Array1, Array2, ArrayView1};

use super::train::{Batch, BatchSource};
use crate::rng::{Streams, fill_standard_normal};

/// A joint distribution of `theta` and `x` with known `p(theta | x)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Toy {
    /// Three standard normal coordinates seen through a matrix, with Gaussian noise.
    LinearGaussian,
    /// Five coordinates given one feature: one bounded, one bimodal, two on a banana, one narrow.
    Banana,
    /// A Gaussian chain with the shapes of the real problem (11 coordinates, 11 features).
    Photometry,
}

/// Rows of the linear problem's matrix, and its noise.
const LINEAR: [[f64; 3]; 2] = [[1.0, 0.5, -0.3], [0.2, -1.0, 0.8]];
const LINEAR_NOISE: f64 = 0.5;
const PHOTOMETRY: usize = 11;

impl Toy {
    pub fn n_param(self) -> usize {
        match self {
            Self::LinearGaussian => 3,
            Self::Banana => 5,
            Self::Photometry => PHOTOMETRY,
        }
    }

    pub fn n_feature(self) -> usize {
        match self {
            Self::LinearGaussian => 2,
            Self::Banana => 1,
            Self::Photometry => PHOTOMETRY,
        }
    }

    /// `n` pairs from the joint distribution.
    pub fn simulate(self, seed: u64, stream: u64, n: usize) -> Batch {
        let (d, c) = (self.n_param(), self.n_feature());
        let mut noise = vec![0.0; n * (d + c)];
        fill_standard_normal(&mut Streams::new(seed, "toy").at(stream), &mut noise);
        let (mut theta, mut x) = (Array2::zeros((n, d)), Array2::zeros((n, c)));
        for (i, e) in noise.chunks_exact(d + c).enumerate() {
            let (e_theta, e_x) = e.split_at(d);
            match self {
                Self::LinearGaussian => {
                    for (j, row) in LINEAR.iter().enumerate() {
                        let mean: f64 = row.iter().zip(e_theta).map(|(a, t)| a * f64::from(*t)).sum();
                        x[[i, j]] = (mean + LINEAR_NOISE * f64::from(e_x[j])) as f32;
                    }
                    theta.row_mut(i).iter_mut().zip(e_theta).for_each(|(t, e)| *t = *e);
                }
                Self::Banana => {
                    x[[i, 0]] = e_x[0];
                    theta.row_mut(i).assign(&banana(e_theta, e_x[0]));
                }
                Self::Photometry => {
                    theta.row_mut(i).iter_mut().zip(e_theta).for_each(|(t, e)| *t = *e);
                    for (j, out) in photometry_means(e_theta).into_iter().enumerate() {
                        x[[i, j]] = out + [0.05, 0.3][j % 2] * e_x[j];
                    }
                }
            }
        }
        Batch { theta, x }
    }

    /// `n` exact draws of the posterior given `x`; `None` where there is no closed form.
    pub fn posterior(self, x: ArrayView1<f32>, seed: u64, n: usize) -> Option<Array2<f32>> {
        let d = self.n_param();
        let mut noise = vec![0.0; n * d];
        fill_standard_normal(&mut Streams::new(seed, "toy posterior").at(0), &mut noise);
        let mut draws = Array2::zeros((n, d));
        match self {
            Self::LinearGaussian => {
                let (mean, precision) = linear_posterior(x);
                let upper = cholesky(precision);
                for (mut row, e) in draws.rows_mut().into_iter().zip(noise.chunks_exact(d)) {
                    // Solve L^T t = e, where L L^T is the precision.
                    let mut t = [0.0; 3];
                    for j in (0..3).rev() {
                        let later: f64 = (j + 1..3).map(|k| upper[k][j] * t[k]).sum();
                        t[j] = (f64::from(e[j]) - later) / upper[j][j];
                    }
                    row.iter_mut().zip(t.iter().zip(mean)).for_each(|(out, (t, m))| *out = (t + m) as f32);
                }
            }
            Self::Banana => {
                for (mut row, e) in draws.rows_mut().into_iter().zip(noise.chunks_exact(d)) {
                    row.assign(&banana(e, x[0]));
                }
            }
            Self::Photometry => return None,
        }
        Some(draws)
    }

    /// `ln p(theta | x)`; `None` where there is no closed form.
    pub fn ln_posterior(self, theta: ArrayView1<f32>, x: ArrayView1<f32>) -> Option<f64> {
        let half_ln_2pi = 0.5 * (2.0 * std::f64::consts::PI).ln();
        let normal =
            |v: f64, mean: f64, sigma: f64| -0.5 * ((v - mean) / sigma).powi(2) - sigma.ln() - half_ln_2pi;
        let t: Vec<f64> = theta.iter().map(|v| f64::from(*v)).collect();
        match self {
            Self::LinearGaussian => {
                let (mean, precision) = linear_posterior(x);
                let lower = cholesky(precision);
                let ln_det: f64 = (0..3).map(|i| lower[i][i].ln()).sum();
                let off: Vec<f64> = t.iter().zip(mean).map(|(t, m)| t - m).collect();
                let square: f64 =
                    (0..3).map(|j| (j..3).map(|i| lower[i][j] * off[i]).sum::<f64>().powi(2)).sum();
                Some(ln_det - 0.5 * square - 3.0 * half_ln_2pi)
            }
            Self::Banana => {
                let x = f64::from(x[0]);
                if t[0].abs() >= 1.0 {
                    return Some(f64::NEG_INFINITY);
                }
                let bounded = normal(t[0].atanh(), 0.3 * x, 0.5) - (1.0 - t[0] * t[0]).ln();
                let share = 1.0 / (1.0 + (-x).exp());
                let modes =
                    share * normal(t[1], 1.2, 0.4).exp() + (1.0 - share) * normal(t[1], -1.2, 0.4).exp();
                let banana = normal(t[2], 0.0, 1.0) + normal(t[3], 0.5 * (t[2] * t[2] - 1.0) + x, 0.5);
                Some(bounded + modes.ln() + banana + normal(t[4], x * t[0], 0.3))
            }
            Self::Photometry => None,
        }
    }
}

impl BatchSource for Toy {
    fn batch(&self, index: u64, n: usize) -> Result<Batch, String> {
        Ok(self.simulate(1, index, n))
    }
}

fn banana(e: &[f32], x: f32) -> Array1<f32> {
    let bounded = (0.3 * x + 0.5 * e[0]).tanh();
    // The sign of the mixture comes from the same normal as the value: its upper part, rescaled.
    let share = 1.0 / (1.0 + f64::from(-x).exp());
    let p = normal_cdf(f64::from(e[1]));
    let (centre, p) = if p < share { (1.2, p / share) } else { (-1.2, (p - share) / (1.0 - share)) };
    let mode = centre + 0.4 * normal_quantile(p) as f32;
    ndarray::array![bounded, mode, e[2], 0.5 * (e[2] * e[2] - 1.0) + x + 0.5 * e[3], x * bounded + 0.3 * e[4]]
}

fn photometry_means(theta: &[f32]) -> [f32; PHOTOMETRY] {
    std::array::from_fn(|j| {
        let (a, b) = (theta[j], theta[(j + 3) % PHOTOMETRY]);
        0.8 * a + 0.4 * b * a - 0.3 * (b + 0.1 * j as f32).sin()
    })
}

fn normal_cdf(x: f64) -> f64 {
    0.5 * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2)
}

/// By bisection: exact to f32, and speed does not matter here.
fn normal_quantile(p: f64) -> f64 {
    let (mut low, mut high) = (-9.0, 9.0);
    for _ in 0..40 {
        let middle = 0.5 * (low + high);
        if normal_cdf(middle) < p { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

/// Mean and precision of the linear problem's posterior.
fn linear_posterior(x: ArrayView1<f32>) -> ([f64; 3], [[f64; 3]; 3]) {
    let weight = 1.0 / (LINEAR_NOISE * LINEAR_NOISE);
    let mut precision = [[0.0; 3]; 3];
    let mut right = [0.0; 3];
    for i in 0..3 {
        for j in 0..3 {
            precision[i][j] =
                f64::from(u8::from(i == j)) + weight * LINEAR.iter().map(|row| row[i] * row[j]).sum::<f64>();
        }
        right[i] = weight * LINEAR.iter().zip(x).map(|(row, x)| row[i] * f64::from(*x)).sum::<f64>();
    }
    let lower = cholesky(precision);
    let mut mean = [0.0; 3];
    for i in 0..3 {
        mean[i] = (right[i] - (0..i).map(|k| lower[i][k] * mean[k]).sum::<f64>()) / lower[i][i];
    }
    for i in (0..3).rev() {
        mean[i] = (mean[i] - (i + 1..3).map(|k| lower[k][i] * mean[k]).sum::<f64>()) / lower[i][i];
    }
    (mean, precision)
}

/// Lower triangular factor.
fn cholesky(a: [[f64; 3]; 3]) -> [[f64; 3]; 3] {
    let mut l = [[0.0; 3]; 3];
    for i in 0..3 {
        for j in 0..=i {
            let rest: f64 = a[i][j] - (0..j).map(|k| l[i][k] * l[j][k]).sum::<f64>();
            l[i][j] = if i == j { rest.sqrt() } else { rest / l[j][j] };
        }
    }
    l
}

/// Accuracy of the best possible classifier between `p` and `q`, from draws of each and both log
/// densities: what no trained classifier (C2ST) can exceed. 0.5 where they are equal.
///
/// `at_p` and `at_q` hold `(ln p, ln q)` at draws of `p` and of `q`.
pub fn best_classifier_accuracy(at_p: &[(f64, f64)], at_q: &[(f64, f64)]) -> f64 {
    let right_p = at_p.iter().filter(|(p, q)| p > q).count() as f64 / at_p.len() as f64;
    let right_q = at_q.iter().filter(|(p, q)| q >= p).count() as f64 / at_q.len() as f64;
    0.5 * (right_p + right_q)
}
