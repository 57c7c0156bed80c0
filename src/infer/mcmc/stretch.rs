//! Stretch moves: Goodman & Weare 2010 (CAMCoS 5, 65), equations 7 to 9.
//!
//! A walker x and one y of the other half make the proposal `y + z (x - y)`, `z` with density `1 / sqrt(z)`
//! on `1 / a .. a`, taken with probability `min(1, z^(d-1) p(proposal) / p(x))`.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::slice::{below, ln_uniform, shuffle};
use super::{Count, Ensemble, Target};

/// The usual stretch.
const A: f64 = 2.0;

pub(crate) struct StretchMoves {
    z: Vec<f64>,
    points: Vec<f64>,
    values: Vec<f64>,
    order: Vec<usize>,
}

impl StretchMoves {
    pub fn new(walkers: usize, n_dim: usize) -> Self {
        let half = walkers / 2;
        Self {
            z: vec![0.0; half],
            points: vec![0.0; half * n_dim],
            values: vec![0.0; half],
            order: (0..walkers).collect(),
        }
    }

    /// Moves every walker once.
    pub fn step(
        &mut self,
        ensemble: &mut Ensemble,
        target: &mut dyn Target,
        rng: &mut ChaCha8Rng,
        count: &mut Count,
    ) {
        shuffle(&mut self.order, rng);
        let (d, half) = (ensemble.n_dim, ensemble.walkers() / 2);
        for _ in 0..2 {
            let (moving, others) = self.order.split_at(half);
            for (k, &walker) in moving.iter().enumerate() {
                let u: f64 = rng.random();
                let z = ((A - 1.0) * u + 1.0).powi(2) / A;
                self.z[k] = z;
                let other = ensemble.point(others[below(others.len(), rng)]);
                let point = &mut self.points[k * d..(k + 1) * d];
                for (out, (x, y)) in point.iter_mut().zip(ensemble.point(walker).iter().zip(other)) {
                    *out = y + z * (x - y);
                }
            }
            target.ln_density(&self.points, &mut self.values);
            count.evaluations += half as u64;
            count.tried += half as u64;
            for (k, &walker) in moving.iter().enumerate() {
                let ln_ratio =
                    (d as f64 - 1.0) * self.z[k].ln() + self.values[k] - ensemble.ln_density[walker];
                if ln_uniform(rng) < ln_ratio {
                    ensemble.set(walker, &self.points[k * d..(k + 1) * d], self.values[k]);
                    count.taken += 1;
                }
            }
            self.order.rotate_left(half);
        }
    }
}
