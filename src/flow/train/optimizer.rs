//! Adam (Kingma & Ba 2015) and AdamW (Loshchilov & Hutter 2019) in one pass over the weights.

use multiversion::multiversion;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Optimizer {
    /// Learning rate at the top of the schedule.
    pub lr: f64,
    pub beta1: f64,
    pub beta2: f64,
    pub epsilon: f64,
    /// Decoupled weight decay (AdamW); zero is Adam.
    pub weight_decay: f64,
}

impl Default for Optimizer {
    fn default() -> Self {
        Self { lr: 5e-4, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.0 }
    }
}

/// First and second moments of the gradient, and the number of steps they saw.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Moments {
    pub first: Vec<f32>,
    pub second: Vec<f32>,
    pub steps: u64,
}

/// The numbers of one update, the same for every weight.
#[derive(Clone, Copy)]
struct Step {
    beta1: f32,
    beta2: f32,
    rate: f32,
    second_scale: f32,
    epsilon: f32,
    keep: f32,
    clip: f32,
}

impl Moments {
    pub fn zero(len: usize) -> Self {
        Self { first: vec![0.0; len], second: vec![0.0; len], steps: 0 }
    }

    /// One update with learning rate `lr` and the gradient times `clip`.
    pub fn update(
        &mut self,
        optimizer: &Optimizer,
        lr: f64,
        clip: f64,
        gradient: &[f32],
        weights: &mut [f32],
    ) {
        self.steps += 1;
        let t = self.steps.min(i32::MAX as u64) as i32;
        let step = Step {
            beta1: optimizer.beta1 as f32,
            beta2: optimizer.beta2 as f32,
            rate: (lr / (1.0 - optimizer.beta1.powi(t))) as f32,
            second_scale: (1.0 / (1.0 - optimizer.beta2.powi(t))) as f32,
            epsilon: optimizer.epsilon as f32,
            keep: (1.0 - lr * optimizer.weight_decay) as f32,
            clip: clip as f32,
        };
        const PIECE: usize = 1 << 15;
        weights
            .par_chunks_mut(PIECE)
            .zip(gradient.par_chunks(PIECE))
            .zip(self.first.par_chunks_mut(PIECE).zip(self.second.par_chunks_mut(PIECE)))
            .for_each(|((w, g), (m, v))| update_piece(step, w, g, m, v));
    }
}

#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx512bw+avx2+fma", "x86_64+avx2+fma"))]
fn update_piece(step: Step, weights: &mut [f32], gradient: &[f32], first: &mut [f32], second: &mut [f32]) {
    for (((w, g), m), v) in weights.iter_mut().zip(gradient).zip(first).zip(second) {
        let g = g * step.clip;
        *m = step.beta1 * *m + (1.0 - step.beta1) * g;
        *v = step.beta2 * *v + (1.0 - step.beta2) * g * g;
        *w = step.keep * *w - step.rate * *m / ((*v * step.second_scale).sqrt() + step.epsilon);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn updates_agree_with_the_papers_formulas_in_f64() {
        let optimizer = Optimizer { weight_decay: 0.1, ..Optimizer::default() };
        let mut weights: Vec<f32> = (0..40).map(|i| (i as f32).sin()).collect();
        let mut truth: Vec<f64> = weights.iter().map(|w| f64::from(*w)).collect();
        let (mut m, mut v) = (vec![0.0; 40], vec![0.0; 40]);
        let mut moments = Moments::zero(40);
        for t in 1..=5 {
            let gradient: Vec<f32> = (0..40).map(|i| ((i * t) as f32 * 0.3).cos()).collect();
            moments.update(&optimizer, 1e-2, 0.5, &gradient, &mut weights);
            for i in 0..40 {
                let g = 0.5 * f64::from(gradient[i]);
                m[i] = 0.9 * m[i] + 0.1 * g;
                v[i] = 0.999 * v[i] + 0.001 * g * g;
                let m_hat = m[i] / (1.0 - 0.9_f64.powi(t));
                let v_hat: f64 = v[i] / (1.0 - 0.999_f64.powi(t));
                truth[i] -= 1e-2 * (m_hat / (v_hat.sqrt() + 1e-8) + 0.1 * truth[i]);
            }
        }
        for (w, truth) in weights.iter().zip(truth) {
            assert!((f64::from(*w) - truth).abs() < 2e-6);
        }
    }
}
