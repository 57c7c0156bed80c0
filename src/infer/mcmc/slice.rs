//! Ensemble slice moves: Karamanis & Beutler 2021 (MNRAS 508, 3589), algorithms 1 to 3.
//!
//! A walker at x moves along `eta = mu (x_l - x_m)`, two walkers of the other half, by slice sampling
//! (Neal 2003): an interval around it is stepped out until its ends are below the slice, and points in
//! it are tried, each that fails shortening it. `mu` is tuned until intervals are stepped out as often as
//! they are shortened.

use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;

use super::{Count, Ensemble, Target};

/// Most steps out of an interval.
const MAX_STEPS: u32 = 10_000;
/// Points tried before a walker stays where it is; reached only where the density is not one.
const MAX_TRIES: u32 = 100;

pub(crate) struct SliceMoves {
    mu: f64,
    /// `ln mu` after each tuning step.
    history: Vec<f64>,
    /// Of the half that moves.
    eta: Vec<f64>,
    level: Vec<f64>,
    ends: Vec<[f64; 2]>,
    /// Steps each end may still take.
    steps: Vec<[u32; 2]>,
    /// What is evaluated together: walker of the half, end of its interval or place in it.
    batch: Vec<(usize, usize)>,
    places: Vec<f64>,
    points: Vec<f64>,
    values: Vec<f64>,
    /// Orders of walkers.
    order: Vec<usize>,
}

impl SliceMoves {
    pub fn new(walkers: usize, n_dim: usize) -> Self {
        let half = walkers / 2;
        Self {
            mu: 1.0,
            history: Vec::new(),
            eta: vec![0.0; half * n_dim],
            level: vec![0.0; half],
            ends: vec![[0.0; 2]; half],
            steps: vec![[0; 2]; half],
            batch: Vec::with_capacity(walkers),
            places: vec![0.0; half],
            points: Vec::with_capacity(walkers * n_dim),
            values: Vec::with_capacity(walkers),
            order: (0..walkers).collect(),
        }
    }

    pub fn length_scale(&self) -> f64 {
        self.mu
    }

    /// Fixes the length scale at its mean over the second half of the tuning.
    pub fn settle(&mut self) {
        let later = &self.history[self.history.len() / 2..];
        if !later.is_empty() {
            self.mu = (later.iter().sum::<f64>() / later.len() as f64).exp();
        }
    }

    /// Moves every walker once.
    pub fn step(
        &mut self,
        ensemble: &mut Ensemble,
        target: &mut dyn Target,
        rng: &mut ChaCha8Rng,
        count: &mut Count,
        tune: bool,
    ) {
        shuffle(&mut self.order, rng);
        let half = ensemble.walkers() / 2;
        let (mut expansions, mut contractions) = (0, 0);
        for second in [false, true] {
            let mut order = std::mem::take(&mut self.order);
            if second {
                order.rotate_left(half);
            }
            let (moving, others) = order.split_at(half);
            let (out, tries) = self.step_half(ensemble, (moving, others), target, rng, count);
            expansions += out;
            contractions += tries;
            self.order = order;
        }
        if tune {
            // Robbins-Monro towards as many expansions as contractions.
            let expansions = f64::from(expansions.max(1));
            self.mu *= 2.0 * expansions / (expansions + f64::from(contractions));
            self.history.push(self.mu.ln());
        }
    }

    /// Returns steps out and points that failed.
    fn step_half(
        &mut self,
        ensemble: &mut Ensemble,
        (moving, others): (&[usize], &[usize]),
        target: &mut dyn Target,
        rng: &mut ChaCha8Rng,
        count: &mut Count,
    ) -> (u32, u32) {
        let d = ensemble.n_dim;
        for (k, &walker) in moving.iter().enumerate() {
            let l = below(others.len(), rng);
            let m = (l + 1 + below(others.len() - 1, rng)) % others.len();
            let (l, m) = (ensemble.point(others[l]), ensemble.point(others[m]));
            for (eta, (l, m)) in self.eta[k * d..(k + 1) * d].iter_mut().zip(l.iter().zip(m)) {
                *eta = self.mu * (l - m);
            }
            self.level[k] = ensemble.ln_density[walker] + ln_uniform(rng);
            let left: f64 = rng.random();
            self.ends[k] = [-left, 1.0 - left];
            let share: f64 = rng.random();
            let left_steps = (share * f64::from(MAX_STEPS)) as u32;
            self.steps[k] = [left_steps, MAX_STEPS - 1 - left_steps.min(MAX_STEPS - 1)];
        }
        let mut expansions = 0;
        self.batch.clear();
        self.batch.extend((0..moving.len()).flat_map(|k| [(k, 0), (k, 1)]));
        while !self.batch.is_empty() {
            self.evaluate(ensemble, moving, target, count, |this, (k, end)| this.ends[k][end]);
            let mut at = 0;
            let (values, level) = (&self.values, &self.level);
            let (ends, steps) = (&mut self.ends, &mut self.steps);
            self.batch.retain(|&(k, end)| {
                let inside = values[at] > level[k] && steps[k][end] > 0;
                at += 1;
                if inside {
                    ends[k][end] += if end == 0 { -1.0 } else { 1.0 };
                    steps[k][end] -= 1;
                    expansions += 1;
                }
                inside
            });
        }
        let mut contractions = 0;
        self.batch.extend((0..moving.len()).map(|k| (k, 0)));
        for _ in 0..MAX_TRIES {
            if self.batch.is_empty() {
                break;
            }
            for &(k, _) in &self.batch {
                let [from, to] = self.ends[k];
                let share: f64 = rng.random();
                self.places[k] = from + share * (to - from);
            }
            self.evaluate(ensemble, moving, target, count, |this, (k, _)| this.places[k]);
            count.tried += self.batch.len() as u64;
            let mut at = 0;
            let (values, level, places, points) = (&self.values, &self.level, &self.places, &self.points);
            let ends = &mut self.ends;
            self.batch.retain(|&(k, _)| {
                let value = values[at];
                let point = &points[at * d..(at + 1) * d];
                at += 1;
                if value > level[k] {
                    ensemble.set(moving[k], point, value);
                    count.taken += 1;
                    return false;
                }
                ends[k][usize::from(places[k] >= 0.0)] = places[k];
                contractions += 1;
                true
            });
        }
        (expansions, contractions)
    }

    /// Values of the target at the batch's places along their walkers' directions.
    fn evaluate(
        &mut self,
        ensemble: &Ensemble,
        moving: &[usize],
        target: &mut dyn Target,
        count: &mut Count,
        place: impl Fn(&Self, (usize, usize)) -> f64,
    ) {
        let d = ensemble.n_dim;
        let mut points = std::mem::take(&mut self.points);
        points.clear();
        for &(k, end) in &self.batch {
            let along = place(self, (k, end));
            let eta = &self.eta[k * d..(k + 1) * d];
            points.extend(ensemble.point(moving[k]).iter().zip(eta).map(|(x, eta)| x + along * eta));
        }
        self.points = points;
        self.values.resize(self.batch.len(), 0.0);
        target.ln_density(&self.points, &mut self.values);
        count.evaluations += self.batch.len() as u64;
    }
}

/// A number below `n`.
pub(super) fn below(n: usize, rng: &mut ChaCha8Rng) -> usize {
    ((u64::from(rng.next_u32()) * n as u64) >> 32) as usize
}

/// `ln` of a uniform number above 0.
pub(super) fn ln_uniform(rng: &mut ChaCha8Rng) -> f64 {
    let u: f64 = rng.random();
    (1.0 - u).ln()
}

/// Fisher-Yates.
pub(super) fn shuffle(order: &mut [usize], rng: &mut ChaCha8Rng) {
    for i in (1..order.len()).rev() {
        order.swap(i, below(i + 1, rng));
    }
}
