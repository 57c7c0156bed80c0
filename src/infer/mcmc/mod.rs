//! Markov chains of an ensemble of walkers: slice moves (Karamanis & Beutler 2021) or stretch moves
//! (Goodman & Weare 2010), in coordinates without edges, until they have converged or a limit is reached.
//!
//! The ensemble is cut in halves that take turns: a half moves along directions spanned by the other, so
//! that its walkers move independently and the target is evaluated for all of them at once. Two kinds of moves
//! may follow every step, where the target knows how: coordinates are drawn anew from a prior that is normal,
//! and walkers jump to draws of a rough density. Local moves reach what the rough density misses; the
//! others cross what is far for local moves.

pub mod diagnose;
mod jump;
mod refresh;
mod slice;
mod stretch;

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use diagnose::{autocorrelation_times, split_r_hat};
use jump::Jumps;
use refresh::Refreshes;
use slice::SliceMoves;
use stretch::StretchMoves;

#[derive(Debug, Error, PartialEq)]
pub enum McmcError {
    #[error("{found} walkers for {n_dim} coordinates: expected an even number of at least {}", 2 * n_dim)]
    Walkers { found: usize, n_dim: usize },
    #[error("{found} numbers start the walkers, expected {expected}")]
    Start { found: usize, expected: usize },
    #[error("{what} is {found}, expected {expected}")]
    Setting { what: &'static str, found: String, expected: &'static str },
    #[error("the density is 0 where all walkers start")]
    NowhereToStart,
}

/// A density known up to a factor, evaluated at many points at a time.
pub trait Target {
    /// Coordinates of a point.
    fn n_dim(&self) -> usize;

    /// Natural log of the density of `points` `[n, n_dim]` to `out` `[n]`; minus infinity where it is 0.
    fn ln_density(&mut self, points: &[f64], out: &mut [f64]);

    /// `points` `[n, n_dim]` in the coordinates in which they are kept and judged, appended to `out`.
    fn keep(&mut self, points: &[f64], out: &mut Vec<f64>) {
        out.extend_from_slice(points);
    }

    /// The first of the coordinates that are independent and standard normal a priori, up to the last; none
    /// by default.
    fn standard_normal_from(&self) -> usize {
        self.n_dim()
    }

    /// Appends independent draws of a rough density; false where there is none to draw from.
    fn propose(&mut self, _: &mut Proposals) -> bool {
        false
    }

    /// `ln` of the target's density over the rough one's at `points` `[n, n_dim]` to `out` `[n]`.
    fn ln_weights(&mut self, _points: &[f64], out: &mut [f64]) {
        out.fill(0.0);
    }
}

/// Draws of a rough density.
#[derive(Debug, Clone, Default)]
pub struct Proposals {
    /// `[n, n_dim]`
    pub points: Vec<f64>,
    /// The target's `ln` density `[n]`.
    pub ln_density: Vec<f64>,
    /// `ln` of the target's density over the rough one's `[n]`.
    pub ln_weights: Vec<f64>,
}

/// How walkers move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Moves {
    /// Ensemble slice sampling with differential directions.
    #[default]
    Slice,
    /// The affine-invariant stretch.
    Stretch,
}

impl Moves {
    pub const fn as_str(self) -> &'static str {
        match self {
            Moves::Slice => "slice",
            Moves::Stretch => "stretch",
        }
    }
}

/// What a chain is run with.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChainConfig {
    pub moves: Moves,
    /// Times per iteration that each walker is offered new values of coordinates that are standard normal a
    /// priori.
    pub refreshes: usize,
    /// Whether walkers jump to draws of a rough density, once per iteration.
    pub jumps: bool,
    pub walkers: usize,
    /// Iterations thrown away, during which the moves are tuned.
    pub burn_in: usize,
    /// Most iterations after them; none is spent once the chain has converged.
    pub iterations: usize,
    /// Goes on to the last iteration even where the chain has converged.
    pub fixed: bool,
    /// Converged: at least this many effective draws in every coordinate,
    pub min_ess: f64,
    /// ... at least this many autocorrelation times long,
    pub min_times: f64,
    /// ... and split R-hat of the walkers at most this in every coordinate.
    pub max_r_hat: f64,
}

impl Default for ChainConfig {
    /// 30 walkers and 10,000 iterations after 2,000 (Hahn & Melchior 2022), or fewer once converged.
    fn default() -> Self {
        Self {
            moves: Moves::Slice,
            refreshes: 3,
            jumps: true,
            walkers: 30,
            burn_in: 2000,
            iterations: 10_000,
            fixed: false,
            min_ess: 1000.0,
            min_times: 50.0,
            max_r_hat: 1.02,
        }
    }
}

impl ChainConfig {
    /// Errors where no chain of `n_dim` coordinates can be run so.
    pub fn check(&self, n_dim: usize) -> Result<(), McmcError> {
        if self.walkers < 2 * n_dim || self.walkers % 2 == 1 || n_dim == 0 {
            return Err(McmcError::Walkers { found: self.walkers, n_dim });
        }
        if self.iterations < MIN_ITERATIONS {
            let (what, expected) = ("the number of iterations", "at least 20");
            return Err(McmcError::Setting { what, found: self.iterations.to_string(), expected });
        }
        Ok(())
    }
}

const MIN_ITERATIONS: usize = 20;
/// Iterations before convergence is first looked at; each look comes after half as many again.
const FIRST_LOOK: usize = 200;

/// Positions of all walkers after burn-in, and how well they did.
#[derive(Debug, Clone)]
pub struct Chain {
    pub walkers: usize,
    pub n_dim: usize,
    /// `[iteration, walker, n_dim]`.
    pub positions: Vec<f64>,
    /// `ln` of the target `[iteration, walker]`.
    pub ln_density: Vec<f64>,
    pub report: ChainReport,
}

/// How a chain went.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ChainReport {
    pub moves: Moves,
    pub walkers: usize,
    /// Iterations kept.
    pub iterations: usize,
    pub burn_in: usize,
    /// Integrated autocorrelation time of each coordinate, iterations.
    pub times: Vec<f64>,
    /// Split R-hat of each coordinate over the walkers.
    pub r_hat: Vec<f64>,
    /// Share of tried points that were taken, by slice or stretch moves.
    pub acceptance: f64,
    /// Share of coordinates drawn anew that were taken; none where there were none.
    pub refresh_acceptance: Option<f64>,
    /// Share of jumps that were taken; none where there were no jumps.
    pub jump_acceptance: Option<f64>,
    /// Evaluations of the target, burn-in included.
    pub evaluations: u64,
    /// Length scale of the slice moves; none for stretch moves.
    pub length_scale: Option<f64>,
    pub converged: bool,
}

impl ChainReport {
    /// The longest autocorrelation time.
    pub fn longest_time(&self) -> f64 {
        self.times.iter().copied().fold(0.0, f64::max)
    }

    /// The largest R-hat.
    pub fn worst_r_hat(&self) -> f64 {
        self.r_hat.iter().copied().fold(0.0, f64::max)
    }
}

impl Chain {
    /// Iterations kept.
    pub fn len(&self) -> usize {
        self.ln_density.len() / self.walkers.max(1)
    }

    pub fn is_empty(&self) -> bool {
        self.ln_density.is_empty()
    }

    /// Effective draws in the slowest coordinate.
    pub fn ess(&self) -> f64 {
        self.ln_density.len() as f64 / self.report.longest_time().max(1.0)
    }

    /// `n` rows of the chain, evenly spaced, all walkers alike; all rows where there are fewer. Positions
    /// `[rows, n_dim]` and the target's `ln` `[rows]`.
    pub fn thinned(&self, n: usize) -> (Vec<f32>, Vec<f64>) {
        let total = self.ln_density.len();
        let n = n.min(total);
        let mut positions = Vec::with_capacity(n * self.n_dim);
        let mut ln_density = Vec::with_capacity(n);
        for i in 0..n {
            // In the middle of the n equal parts of the chain.
            let row = (2 * i + 1) * total / (2 * n);
            let point = &self.positions[row * self.n_dim..(row + 1) * self.n_dim];
            positions.extend(point.iter().map(|&x| x as f32));
            ln_density.push(self.ln_density[row]);
        }
        (positions, ln_density)
    }
}

/// The walkers as they stand.
pub(crate) struct Ensemble {
    pub n_dim: usize,
    /// `[walker, n_dim]`.
    pub points: Vec<f64>,
    pub ln_density: Vec<f64>,
}

impl Ensemble {
    pub fn walkers(&self) -> usize {
        self.ln_density.len()
    }

    pub fn point(&self, walker: usize) -> &[f64] {
        &self.points[walker * self.n_dim..(walker + 1) * self.n_dim]
    }

    pub fn set(&mut self, walker: usize, point: &[f64], ln_density: f64) {
        self.points[walker * self.n_dim..(walker + 1) * self.n_dim].copy_from_slice(point);
        self.ln_density[walker] = ln_density;
    }
}

/// Points tried and taken.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Count {
    pub evaluations: u64,
    pub tried: u64,
    pub taken: u64,
    pub jumps: u64,
    pub jumped: u64,
    pub refreshes: u64,
    pub refreshed: u64,
}

enum Mover {
    Slice(SliceMoves),
    Stretch(StretchMoves),
}

impl Mover {
    fn step(
        &mut self,
        ensemble: &mut Ensemble,
        target: &mut dyn Target,
        rng: &mut ChaCha8Rng,
        count: &mut Count,
        tune: bool,
    ) {
        match self {
            Mover::Slice(moves) => moves.step(ensemble, target, rng, count, tune),
            Mover::Stretch(moves) => moves.step(ensemble, target, rng, count),
        }
    }
}

/// Runs a chain of `target` from `start` `[walkers, n_dim]`.
///
/// The chain depends on its arguments alone. Errors where the settings make no chain, or no walker
/// starts where the target is above 0; walkers that start at 0 are put where others are.
pub fn run(
    target: &mut dyn Target,
    start: &[f64],
    config: &ChainConfig,
    rng: &mut ChaCha8Rng,
) -> Result<Chain, McmcError> {
    let (n_dim, walkers) = (target.n_dim(), config.walkers);
    config.check(n_dim)?;
    if start.len() != walkers * n_dim {
        return Err(McmcError::Start { found: start.len(), expected: walkers * n_dim });
    }
    let mut ensemble = Ensemble { n_dim, points: start.to_vec(), ln_density: vec![0.0; walkers] };
    target.ln_density(&ensemble.points, &mut ensemble.ln_density);
    let placed = place_lost_walkers(&mut ensemble, target, rng)?;
    let mut mover = match config.moves {
        Moves::Slice => Mover::Slice(SliceMoves::new(walkers, n_dim)),
        Moves::Stretch => Mover::Stretch(StretchMoves::new(walkers, n_dim)),
    };
    let (mut jumps, mut refreshes) = (Jumps::default(), Refreshes::default());
    let mut spent = Count { evaluations: walkers as u64 + placed, ..Count::default() };
    for _ in 0..config.burn_in {
        mover.step(&mut ensemble, target, rng, &mut spent, true);
        for _ in 0..config.refreshes {
            refreshes.step(&mut ensemble, target.standard_normal_from(), target, rng, &mut spent);
        }
        if config.jumps {
            jumps.weigh(&ensemble, target, &mut spent);
            jumps.step(&mut ensemble, rng, &mut spent);
        }
    }
    if let Mover::Slice(moves) = &mut mover {
        moves.settle();
    }
    let mut count = Count { evaluations: spent.evaluations, ..Count::default() };
    let (mut positions, mut ln_density) = (Vec::new(), Vec::new());
    let mut look = if config.fixed { config.iterations } else { FIRST_LOOK.min(config.iterations) };
    let mut done = 0;
    let (times, r_hat, converged) = loop {
        while done < look {
            mover.step(&mut ensemble, target, rng, &mut count, false);
            for _ in 0..config.refreshes {
                refreshes.step(&mut ensemble, target.standard_normal_from(), target, rng, &mut count);
            }
            if config.jumps {
                jumps.weigh(&ensemble, target, &mut count);
            }
            // Kept before the jump, for which the target has just looked at the same points.
            target.keep(&ensemble.points, &mut positions);
            ln_density.extend_from_slice(&ensemble.ln_density);
            if config.jumps {
                jumps.step(&mut ensemble, rng, &mut count);
            }
            done += 1;
        }
        let times = autocorrelation_times(&positions, walkers, n_dim);
        let r_hat = split_r_hat(&positions, walkers, n_dim);
        let longest = times.iter().copied().fold(0.0, f64::max);
        let converged = (walkers * done) as f64 >= config.min_ess * longest
            && done as f64 >= config.min_times * longest
            && r_hat.iter().all(|&r| r <= config.max_r_hat);
        if converged || done >= config.iterations {
            break (times, r_hat, converged);
        }
        look = (done + done / 2).min(config.iterations);
    };
    let report = ChainReport {
        moves: config.moves,
        walkers,
        iterations: done,
        burn_in: config.burn_in,
        times,
        r_hat,
        acceptance: count.taken as f64 / count.tried.max(1) as f64,
        refresh_acceptance: share(count.refreshed, count.refreshes),
        jump_acceptance: share(count.jumped, count.jumps),
        evaluations: count.evaluations,
        length_scale: match &mover {
            Mover::Slice(moves) => Some(moves.length_scale()),
            Mover::Stretch(_) => None,
        },
        converged,
    };
    Ok(Chain { walkers, n_dim, positions, ln_density, report })
}

fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// Walkers where the target is 0 would never move: each goes towards another, until it is not. Returns the
/// evaluations this took.
fn place_lost_walkers(
    ensemble: &mut Ensemble,
    target: &mut dyn Target,
    rng: &mut ChaCha8Rng,
) -> Result<u64, McmcError> {
    let alive: Vec<usize> = (0..ensemble.walkers()).filter(|&w| ensemble.ln_density[w].is_finite()).collect();
    if alive.is_empty() {
        return Err(McmcError::NowhereToStart);
    }
    let lost: Vec<usize> = (0..ensemble.walkers()).filter(|&w| !ensemble.ln_density[w].is_finite()).collect();
    let mut evaluations = 0;
    for walker in lost {
        let pick = |rng: &mut ChaCha8Rng| alive[(rng.next_u32() as usize) % alive.len()];
        let near = ensemble.point(pick(rng)).to_vec();
        let from = ensemble.point(walker).to_vec();
        let mut share = 0.5;
        let mut ln_density = [f64::NEG_INFINITY];
        let mut point = near.clone();
        for _ in 0..60 {
            for ((x, near), from) in point.iter_mut().zip(&near).zip(&from) {
                *x = if from.is_finite() { near + share * (from - near) } else { *near };
            }
            target.ln_density(&point, &mut ln_density);
            evaluations += 1;
            if ln_density[0].is_finite() {
                break;
            }
            share *= 0.5;
        }
        if !ln_density[0].is_finite() {
            return Err(McmcError::NowhereToStart);
        }
        ensemble.set(walker, &point, ln_density[0]);
    }
    Ok(evaluations)
}

#[cfg(test)]
mod tests;
