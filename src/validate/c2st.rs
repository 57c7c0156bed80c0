//! Classifier two-sample test (Lopez-Paz & Oquab 2017, arXiv:1610.06545): how often a classifier tells
//! draws of one set from draws of another that it has not seen; 1/2 where they are alike.
//!
//! The classifier adds a quadratic form of the standardised coordinates, which holds all there is
//! between two Gaussians, to a layer of rectified units for the rest. It is trained by Adam on four
//! fifths of the draws and asked about the last fifth, five times.

use rand::RngExt;
use rand::seq::SliceRandom;

use crate::rng::{Streams, fill_standard_normal};

const FOLDS: usize = 5;
const UNITS: usize = 48;
const EPOCHS: usize = 40;
const BATCH: usize = 50;
const RATE: f32 = 8e-3;
/// Pull of every weight to zero, per step and unit of rate.
const DECAY: f32 = 0.05;

/// How well two sets of draws are told apart.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct C2st {
    /// Fraction of held-out draws assigned to their own set.
    pub accuracy: f64,
    /// Its binomial standard error.
    pub error: f64,
}

/// C2ST of `a` `[n, d]` against `b` `[m, d]`, row after row; of the larger set, the first rows count.
///
/// Depends on the draws and `seed` alone. `None` where a number is not finite, or of fewer than 10
/// draws each.
pub fn c2st(a: &[f32], b: &[f32], d: usize, seed: u64) -> Option<C2st> {
    let d = d.max(1);
    let n = (a.len() / d).min(b.len() / d);
    if n < 2 * FOLDS || !a.iter().chain(b).all(|value| value.is_finite()) {
        return None;
    }
    let inputs = Inputs::standardised(&a[..n * d], &b[..n * d], d);
    let mut order: Vec<usize> = (0..2 * n).collect();
    let streams = Streams::new(seed, "c2st");
    order.shuffle(&mut streams.at(0));
    let right: usize = (0..FOLDS)
        .map(|fold| {
            let held_out = |place: usize| place % FOLDS == fold;
            let pick = |held: bool| -> Vec<usize> {
                (0..2 * n).filter(|&place| held_out(place) == held).map(|place| order[place]).collect()
            };
            let classifier = Classifier::trained(&inputs, pick(false), &streams.child(fold as u64));
            pick(true).into_iter().filter(|&row| classifier.says_b(inputs.row(row)) == (row >= n)).count()
        })
        .sum();
    let accuracy = right as f64 / (2 * n) as f64;
    Some(C2st { accuracy, error: (accuracy * (1.0 - accuracy) / (2 * n) as f64).sqrt() })
}

/// Rows of coordinates and their products, those of the first set before those of the second.
struct Inputs {
    d: usize,
    width: usize,
    rows: Vec<f32>,
    n_first: usize,
}

impl Inputs {
    fn standardised(a: &[f32], b: &[f32], d: usize) -> Self {
        let n = (a.len() + b.len()) / d;
        let mut rows = Vec::with_capacity(n * (d + d * (d + 1) / 2));
        let column = |k: usize| a.chunks_exact(d).chain(b.chunks_exact(d)).map(move |row| f64::from(row[k]));
        let scales: Vec<(f64, f64)> = (0..d)
            .map(|k| {
                let mean = column(k).sum::<f64>() / n as f64;
                let sd = (column(k).map(|v| (v - mean).powi(2)).sum::<f64>() / n as f64).sqrt();
                (mean, if sd > 0.0 { sd } else { 1.0 })
            })
            .collect();
        for row in a.chunks_exact(d).chain(b.chunks_exact(d)) {
            let start = rows.len();
            // A far outlier must not blow up the quadratic form.
            let standard = |(value, (mean, sd)): (&f32, &(f64, f64))| {
                ((f64::from(*value) - mean) / sd).clamp(-6.0, 6.0) as f32
            };
            rows.extend(row.iter().zip(&scales).map(standard));
            for i in 0..d {
                for j in 0..=i {
                    let product = rows[start + i] * rows[start + j];
                    rows.push(if i == j { 0.7 * (product - 1.0) } else { product });
                }
            }
        }
        Self { d, width: d + d * (d + 1) / 2, rows, n_first: a.len() / d }
    }

    fn row(&self, row: usize) -> &[f32] {
        &self.rows[row * self.width..(row + 1) * self.width]
    }
}

/// Weights in one vector: of the inputs, of the units, the units' biases, the units' inputs
/// `[d, UNITS]`, and the bias of all.
struct Classifier {
    d: usize,
    width: usize,
    weights: Vec<f32>,
}

impl Classifier {
    fn trained(inputs: &Inputs, mut rows: Vec<usize>, streams: &Streams) -> Self {
        let (d, width) = (inputs.d, inputs.width);
        let n_weights = width + 2 * UNITS + d * UNITS + 1;
        let mut weights = vec![0.0; n_weights];
        let mut rng = streams.at(0);
        let from = width + 2 * UNITS;
        fill_standard_normal(&mut rng, &mut weights[from..from + d * UNITS]);
        weights[from..from + d * UNITS].iter_mut().for_each(|w| *w *= (1.0 / d as f32).sqrt());
        weights[width + UNITS..from].iter_mut().for_each(|b| *b = rng.random_range(-1.0..1.0));
        let mut classifier = Self { d, width, weights };
        let (mut gradient, mut units) = (vec![0.0; n_weights], [0.0; UNITS]);
        let (mut mean, mut square) = (vec![0.0_f32; n_weights], vec![0.0_f32; n_weights]);
        let steps = EPOCHS * rows.len().div_ceil(BATCH);
        let (mut bias1, mut bias2, mut step) = (1.0_f32, 1.0_f32, 0);
        for _ in 0..EPOCHS {
            rows.shuffle(&mut rng);
            for batch in rows.chunks(BATCH) {
                gradient.fill(0.0);
                for &row in batch {
                    let label = if row >= inputs.n_first { 1.0 } else { 0.0 };
                    classifier.add_gradient(inputs.row(row), label, &mut units, &mut gradient);
                }
                (bias1, bias2) = (bias1 * 0.9, bias2 * 0.99);
                let course = std::f32::consts::PI * step as f32 / steps as f32;
                let rate = RATE * 0.5 * (1.0 + course.cos());
                step += 1;
                let per_row = 1.0 / batch.len() as f32;
                let moments = mean.iter_mut().zip(&mut square);
                for ((weight, g), (mean, square)) in classifier.weights.iter_mut().zip(&gradient).zip(moments)
                {
                    let g = g * per_row;
                    *mean = 0.9 * *mean + 0.1 * g;
                    *square = 0.99 * *square + 0.01 * g * g;
                    let towards = (*mean / (1.0 - bias1)) / ((*square / (1.0 - bias2)).sqrt() + 1e-6);
                    *weight -= rate * (towards + DECAY * *weight);
                }
            }
        }
        classifier
    }

    /// Log odds that `x` is of the second set; `units` are left at the units' values.
    fn logit(&self, x: &[f32], units: &mut [f32; UNITS]) -> f32 {
        let (inputs, rest) = self.weights.split_at(self.width);
        let (outputs, rest) = rest.split_at(UNITS);
        let (biases, matrix) = rest.split_at(UNITS);
        units.copy_from_slice(biases);
        for (value, row) in x.iter().take(self.d).zip(matrix.chunks_exact(UNITS)) {
            units.iter_mut().zip(row).for_each(|(unit, w)| *unit += value * w);
        }
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
        units.iter_mut().for_each(|unit| *unit = unit.max(0.0));
        self.weights[self.weights.len() - 1] + dot(inputs, x) + dot(outputs, units)
    }

    fn says_b(&self, x: &[f32]) -> bool {
        self.logit(x, &mut [0.0; UNITS]) > 0.0
    }

    /// Adds the gradient of the cross-entropy of one row.
    fn add_gradient(&self, x: &[f32], label: f32, units: &mut [f32; UNITS], gradient: &mut [f32]) {
        let logit = self.logit(x, units);
        let off = 1.0 / (1.0 + (-logit).exp()) - label;
        let outputs = &self.weights[self.width..self.width + UNITS];
        let mut back = [0.0; UNITS];
        for ((back, w), unit) in back.iter_mut().zip(outputs).zip(units.iter()) {
            *back = if *unit > 0.0 { off * w } else { 0.0 };
        }
        let last = gradient.len() - 1;
        gradient[last] += off;
        let (inputs, rest) = gradient.split_at_mut(self.width);
        let (outputs, rest) = rest.split_at_mut(UNITS);
        let (biases, matrix) = rest.split_at_mut(UNITS);
        inputs.iter_mut().zip(x).for_each(|(g, x)| *g += off * x);
        outputs.iter_mut().zip(units.iter()).for_each(|(g, unit)| *g += off * unit);
        biases.iter_mut().zip(&back).for_each(|(g, b)| *g += b);
        for (value, row) in x.iter().take(self.d).zip(matrix.chunks_exact_mut(UNITS)) {
            row.iter_mut().zip(&back).for_each(|(g, b)| *g += value * b);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::special::norm_cdf;

    fn normals(n: usize, d: usize, seed: u64) -> Vec<f32> {
        let mut values = vec![0.0; n * d];
        fill_standard_normal(&mut Streams::new(seed, "c2st test").at(0), &mut values);
        values
    }

    #[test]
    fn draws_of_one_distribution_are_not_told_apart() {
        let found: Vec<f64> = (0..6)
            .map(|seed| c2st(&normals(600, 6, seed), &normals(600, 6, 100 + seed), 6, seed).unwrap().accuracy)
            .collect();
        let mean = found.iter().sum::<f64>() / 6.0;
        assert!((mean - 0.5).abs() < 0.015, "{found:?}");
    }

    #[test]
    fn a_shift_is_seen_nearly_as_well_as_can_be() {
        // The best classifier is right with probability Phi(shift / 2).
        let a = normals(1000, 5, 1);
        let mut b = normals(1000, 5, 2);
        b.chunks_exact_mut(5).for_each(|row| row[2] += 0.8);
        let found = c2st(&a, &b, 5, 0).unwrap();
        let best = norm_cdf(0.4);
        assert!(found.accuracy > best - 0.04 && found.accuracy < best + 0.025, "{found:?}, best {best}");
        assert!((found.error - 0.0106).abs() < 5e-4);
    }

    #[test]
    fn a_wrong_width_and_a_wrong_correlation_are_seen() {
        let a = normals(1000, 4, 1);
        let mut wide = normals(1000, 4, 2);
        wide.chunks_exact_mut(4).for_each(|row| row[0] *= 1.8);
        assert!(c2st(&a, &wide, 4, 0).unwrap().accuracy > 0.58);
        let mut correlated = normals(1000, 4, 3);
        correlated.chunks_exact_mut(4).for_each(|row| row[1] = 0.8 * row[0] + 0.6 * row[1]);
        assert!(c2st(&a, &correlated, 4, 0).unwrap().accuracy > 0.62);
    }

    #[test]
    fn a_banana_is_told_from_the_gaussian_of_its_moments() {
        let mut banana = normals(1000, 3, 1);
        banana.chunks_exact_mut(3).for_each(|row| {
            row[1] = 0.3 * row[1] + (row[0] * row[0] - 1.0) / 2.0_f32.sqrt() * 0.954;
        });
        let found = c2st(&banana, &normals(1000, 3, 2), 3, 0).unwrap();
        assert!(found.accuracy > 0.75, "{found:?}");
    }

    #[test]
    fn the_answer_repeats_and_what_cannot_be_compared_has_none() {
        let (a, b) = (normals(60, 2, 1), normals(90, 2, 2));
        assert_eq!(c2st(&a, &b, 2, 5), c2st(&a, &b, 2, 5));
        assert!(c2st(&a[..6], &b, 2, 5).is_none());
        assert!(c2st(&[f32::NAN; 100], &b, 2, 5).is_none());
        // A constant column divides by nothing.
        assert!(c2st(&[1.0; 100], &[1.0; 100], 2, 5).unwrap().accuracy <= 0.7);
    }
}
