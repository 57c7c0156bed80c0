//! Refreshing moves: some coordinates of a walker that are standard normal a priori are drawn anew.
//!
//! Drawn from the prior, they are taken with the ratio of the likelihoods (Neal 1999, section 5). What the
//! data hardly constrain changes at once and by any distance; slice moves do the rest.

use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use super::slice::{below, ln_uniform};
use super::{Count, Ensemble, Target};

/// Most coordinates drawn anew together.
const MOST: usize = 3;

#[derive(Default)]
pub(crate) struct Refreshes {
    points: Vec<f64>,
    values: Vec<f64>,
    /// `ln` prior of the old coordinates over that of the new ones.
    prior: Vec<f64>,
}

impl Refreshes {
    /// Offers every walker new values of one to three coordinates from `first` on.
    pub fn step(
        &mut self,
        ensemble: &mut Ensemble,
        first: usize,
        target: &mut dyn Target,
        rng: &mut ChaCha8Rng,
        count: &mut Count,
    ) {
        let (walkers, d) = (ensemble.walkers(), ensemble.n_dim);
        if first >= d {
            return;
        }
        self.points.clear();
        self.points.extend_from_slice(&ensemble.points);
        self.values.resize(walkers, 0.0);
        self.prior.clear();
        for point in self.points.chunks_exact_mut(d) {
            let mut prior = 0.0;
            for _ in 0..=below(MOST, rng) {
                let x = &mut point[first + below(d - first, rng)];
                let new: f64 = StandardNormal.sample(rng);
                prior += 0.5 * (new * new - *x * *x);
                *x = new;
            }
            self.prior.push(prior);
        }
        target.ln_density(&self.points, &mut self.values);
        count.evaluations += walkers as u64;
        for walker in 0..walkers {
            count.refreshes += 1;
            if ln_uniform(rng) < self.values[walker] - ensemble.ln_density[walker] + self.prior[walker] {
                ensemble.set(walker, &self.points[walker * d..(walker + 1) * d], self.values[walker]);
                count.refreshed += 1;
            }
        }
    }
}
