//! Jumps of walkers to draws of a rough density: the independence sampler of Metropolis and Hastings.
//!
//! A walker of weight w (target over rough density) goes to a draw of weight w' with probability
//! `min(1, w' / w)`.

use rand_chacha::ChaCha8Rng;

use super::slice::ln_uniform;
use super::{Count, Ensemble, Proposals, Target};

#[derive(Default)]
pub(crate) struct Jumps {
    proposals: Proposals,
    /// Draws used up.
    used: usize,
    weights: Vec<f64>,
    /// The target has nothing to draw from.
    none: bool,
}

impl Jumps {
    /// Sees to it that there is a draw for each walker, if any are to be had, and weighs the walkers.
    pub fn weigh(&mut self, ensemble: &Ensemble, target: &mut dyn Target, count: &mut Count) {
        let (walkers, d) = (ensemble.walkers(), ensemble.n_dim);
        while !self.none && self.proposals.ln_weights.len() < self.used + walkers {
            self.proposals.points.drain(..self.used * d);
            self.proposals.ln_density.drain(..self.used);
            self.proposals.ln_weights.drain(..self.used);
            self.used = 0;
            let before = self.proposals.ln_weights.len();
            self.none = !target.propose(&mut self.proposals);
            count.evaluations += (self.proposals.ln_weights.len() - before) as u64;
        }
        if !self.none {
            self.weights.resize(walkers, 0.0);
            target.ln_weights(&ensemble.points, &mut self.weights);
        }
    }

    /// Lets every walker jump once, if it may, by the weights that [`Self::weigh`] found.
    pub fn step(&mut self, ensemble: &mut Ensemble, rng: &mut ChaCha8Rng, count: &mut Count) {
        if self.none {
            return;
        }
        let (walkers, d) = (ensemble.walkers(), ensemble.n_dim);
        for walker in 0..walkers {
            let i = self.used + walker;
            count.jumps += 1;
            if ln_uniform(rng) < self.proposals.ln_weights[i] - self.weights[walker] {
                let point = &self.proposals.points[i * d..(i + 1) * d];
                ensemble.set(walker, point, self.proposals.ln_density[i]);
                count.jumped += 1;
            }
        }
        self.used += walkers;
    }
}
