use super::*;
use crate::rng::Streams;
use rand_distr::{Distribution, StandardNormal};

/// A target from a function of one point, which counts its evaluations.
struct Plain<F> {
    n_dim: usize,
    ln: F,
    evaluations: u64,
}

impl<F: FnMut(&[f64]) -> f64> Target for Plain<F> {
    fn n_dim(&self) -> usize {
        self.n_dim
    }

    fn ln_density(&mut self, points: &[f64], out: &mut [f64]) {
        for (point, out) in points.chunks_exact(self.n_dim).zip(out) {
            *out = (self.ln)(point);
            self.evaluations += 1;
        }
    }
}

/// A target with a rough density: a wide normal about 0.
struct Rough<F> {
    target: Plain<F>,
    width: f64,
    seed: u64,
}

impl<F: FnMut(&[f64]) -> f64> Target for Rough<F> {
    fn n_dim(&self) -> usize {
        self.target.n_dim
    }

    fn ln_density(&mut self, points: &[f64], out: &mut [f64]) {
        self.target.ln_density(points, out);
    }

    fn propose(&mut self, proposals: &mut Proposals) -> bool {
        let d = self.target.n_dim;
        self.seed += 1;
        let points: Vec<f64> = normals(50 * d, self.seed).iter().map(|e| self.width * e).collect();
        let mut ln_density = vec![0.0; 50];
        self.ln_density(&points, &mut ln_density);
        for (point, ln_density) in points.chunks_exact(d).zip(&ln_density) {
            let q = -0.5 * point.iter().map(|x| (x / self.width).powi(2)).sum::<f64>();
            proposals.ln_weights.push(ln_density - q);
        }
        proposals.points.extend(points);
        proposals.ln_density.extend(ln_density);
        true
    }

    fn ln_weights(&mut self, points: &[f64], out: &mut [f64]) {
        self.ln_density(points, out);
        for (point, out) in points.chunks_exact(self.target.n_dim).zip(out) {
            *out += 0.5 * point.iter().map(|x| (x / self.width).powi(2)).sum::<f64>();
        }
    }
}

fn normals(n: usize, seed: u64) -> Vec<f64> {
    let mut rng = Streams::new(seed, "mcmc test").at(0);
    (0..n).map(|_| StandardNormal.sample(&mut rng)).collect()
}

fn sample<F: FnMut(&[f64]) -> f64>(n_dim: usize, config: &ChainConfig, seed: u64, ln: F) -> Chain {
    let mut target = Plain { n_dim, ln, evaluations: 0 };
    let start = normals(config.walkers * n_dim, seed);
    let mut rng = Streams::new(seed, "mcmc test").at(1);
    let chain = run(&mut target, &start, config, &mut rng).expect("a chain");
    assert_eq!(chain.report.evaluations, target.evaluations);
    chain
}

fn moments(chain: &Chain, i: usize, j: usize) -> (f64, f64, f64) {
    let rows = chain.positions.chunks_exact(chain.n_dim);
    let n = rows.len() as f64;
    let (mut a, mut b) = (0.0, 0.0);
    rows.clone().for_each(|r| (a, b) = (a + r[i] / n, b + r[j] / n));
    (a, b, rows.map(|r| (r[i] - a) * (r[j] - b)).sum::<f64>() / n)
}

fn both() -> [ChainConfig; 2] {
    [Moves::Slice, Moves::Stretch].map(|moves| ChainConfig {
        moves,
        walkers: 20,
        burn_in: 500,
        iterations: 30_000,
        min_ess: 3000.0,
        ..ChainConfig::default()
    })
}

/// Widths 10 and 0.1, correlation 0.99, shifted.
fn narrow(x: &[f64]) -> f64 {
    let (a, b) = ((x[0] - 5.0) / 10.0, (x[1] + 2.0) / 0.1);
    -(a * a - 2.0 * 0.99 * a * b + b * b) / (2.0 * (1.0 - 0.99 * 0.99)) - 0.5 * x[2] * x[2]
}

#[test]
fn a_stretched_and_correlated_gaussian_has_its_moments() {
    for config in both() {
        let chain = sample(3, &config, 1, narrow);
        let report = &chain.report;
        assert!(report.converged && report.worst_r_hat() < 1.02, "{report:?}");
        let error = 5.0 / chain.ess().sqrt();
        let (mean_a, mean_b, covariance) = moments(&chain, 0, 1);
        let ((.., var_a), (.., var_b)) = (moments(&chain, 0, 0), moments(&chain, 1, 1));
        let name = config.moves.as_str();
        assert!(
            (mean_a - 5.0).abs() < 10.0 * error && (mean_b + 2.0).abs() < 0.1 * error,
            "{name} {mean_a} {mean_b}"
        );
        assert!(
            (var_a / 100.0 - 1.0).abs() < 1.5 * error && (var_b / 0.01 - 1.0).abs() < 1.5 * error,
            "{name} {var_a}"
        );
        assert!((covariance / (var_a * var_b).sqrt() - 0.99).abs() < 0.004, "{name}");
    }
}

#[test]
fn a_banana_has_its_quantiles() {
    // x0 normal of width 1, x1 normal of width 0.5 about x0^2: shares of both are known.
    let banana = |x: &[f64]| -0.5 * x[0] * x[0] - 2.0 * (x[1] - x[0] * x[0]).powi(2);
    for config in both() {
        let chain = sample(2, &config, 2, banana);
        assert!(chain.report.converged, "{:?}", chain.report);
        let error = 5.0 / chain.ess().sqrt();
        let share = |test: &dyn Fn(&[f64]) -> bool| {
            chain.positions.chunks_exact(2).filter(|x| test(x)).count() as f64 / chain.ln_density.len() as f64
        };
        let name = config.moves.as_str();
        assert!((share(&|x| x[0] < -1.0) - 0.158_655).abs() < 0.4 * error, "{name}");
        assert!((share(&|x| x[0].abs() > 2.0) - 0.045_5).abs() < 0.3 * error, "{name}");
        assert!((share(&|x| x[1] > x[0] * x[0] + 0.5) - 0.158_655).abs() < 0.4 * error, "{name}");
    }
}

#[test]
fn the_slice_sampler_needs_fewer_iterations_than_the_stretch_for_eleven_coordinates() {
    let gaussian = |x: &[f64]| -0.5 * x.iter().map(|x| x * x).sum::<f64>();
    let [slice, stretch] = both().map(|config| {
        let config = ChainConfig { walkers: 30, iterations: 2000, fixed: true, ..config };
        sample(11, &config, 3, gaussian).report
    });
    assert!(slice.longest_time() < 0.5 * stretch.longest_time(), "{slice:?} {stretch:?}");
    // The length scale was tuned: some four points are tried or stepped out per move.
    let per_move = slice.evaluations as f64 / (30.0 * 2500.0);
    assert!((3.0..8.0).contains(&per_move), "{per_move}");
}

#[test]
fn two_far_modes_are_found_not_to_have_converged() {
    // 60 widths apart and started in both: shares depend on the start, and the walkers must say so.
    let modes = |x: &[f64]| {
        let d = |at: f64| -0.5 * x.iter().map(|x| (x - at).powi(2)).sum::<f64>();
        let (a, b) = (d(-30.0), d(30.0));
        a.max(b) + (-(a - b).abs()).exp().ln_1p()
    };
    let config = ChainConfig {
        moves: Moves::Stretch,
        walkers: 20,
        burn_in: 200,
        iterations: 1500,
        ..ChainConfig::default()
    };
    let mut target = Plain { n_dim: 5, ln: modes, evaluations: 0 };
    let start: Vec<f64> = normals(100, 4)
        .iter()
        .enumerate()
        .map(|(i, e)| e + if i / 5 % 2 == 0 { 30.0 } else { -30.0 })
        .collect();
    let mut rng = Streams::new(4, "mcmc test").at(1);
    let chain = run(&mut target, &start, &config, &mut rng).expect("a chain");
    assert!(!chain.report.converged && chain.report.worst_r_hat() > 1.5, "{:?}", chain.report);
}

#[test]
fn jumps_to_a_rough_density_bring_far_modes_into_proportion() {
    // 16 widths apart, of shares 3 to 1, all walkers started in the smaller one.
    let modes = |x: &[f64]| {
        let d = |at: f64| -0.5 * x.iter().map(|x| (x - at).powi(2)).sum::<f64>();
        let (a, b) = (d(-8.0) - 3.0_f64.ln(), d(8.0));
        a.max(b) + (-(a - b).abs()).exp().ln_1p()
    };
    let config = ChainConfig { walkers: 20, burn_in: 300, iterations: 6000, ..ChainConfig::default() };
    let target = Plain { n_dim: 2, ln: modes, evaluations: 0 };
    let mut rough = Rough { target, width: 8.0, seed: 100 };
    let start: Vec<f64> = normals(40, 4).iter().map(|e| e - 8.0).collect();
    let chain = run(&mut rough, &start, &config, &mut Streams::new(4, "mcmc test").at(1)).expect("a chain");
    assert!(
        chain.report.converged && chain.report.jump_acceptance.is_some_and(|a| a > 0.001),
        "{:?}",
        chain.report
    );
    let share =
        chain.positions.chunks_exact(2).filter(|x| x[0] > 0.0).count() as f64 / chain.ln_density.len() as f64;
    assert!((share - 0.75).abs() < 2.5 / chain.ess().sqrt(), "{share}, {} effective", chain.ess());
}

/// Standard normal a priori from the second coordinate on; the first two are measured.
struct WithPrior(Plain<fn(&[f64]) -> f64>);

impl Target for WithPrior {
    fn n_dim(&self) -> usize {
        4
    }

    fn ln_density(&mut self, points: &[f64], out: &mut [f64]) {
        self.0.ln_density(points, out);
    }

    fn standard_normal_from(&self) -> usize {
        1
    }
}

#[test]
fn coordinates_drawn_anew_keep_the_posterior_and_hasten_it() {
    // x0 - x1 = 0 +- 0.1 and x1 = 1 +- 1, so x1 has mean and variance 1/2; x2 and x3 keep their prior.
    fn ln(x: &[f64]) -> f64 {
        -50.0 * (x[0] - x[1]).powi(2)
            - 0.5 * (x[1] - 1.0).powi(2)
            - 0.5 * x[1..].iter().map(|x| x * x).sum::<f64>()
    }
    let chains = [0, 3].map(|refreshes| {
        let config = ChainConfig {
            refreshes,
            walkers: 10,
            burn_in: 300,
            iterations: 20_000,
            min_ess: 4000.0,
            ..ChainConfig::default()
        };
        let mut target = WithPrior(Plain { n_dim: 4, ln, evaluations: 0 });
        let chain = run(&mut target, &normals(40, 11), &config, &mut Streams::new(11, "mcmc test").at(1));
        let chain = chain.expect("a chain");
        assert_eq!(chain.report.evaluations, target.0.evaluations);
        let error = 5.0 / chain.ess().sqrt();
        let ((mean, _, variance), (.., free)) = (moments(&chain, 1, 1), moments(&chain, 3, 3));
        assert!((mean - 0.5).abs() < error && (variance - 0.5).abs() < error, "{mean} {variance}");
        assert!((free - 1.0).abs() < 1.5 * error, "{free}");
        chain
    });
    assert!(chains[1].report.refresh_acceptance.is_some_and(|share| share > 0.2));
    assert!(chains[1].report.times[3] < 0.6 * chains[0].report.times[3]);
}

#[test]
fn a_chain_that_is_too_short_says_so() {
    let config = ChainConfig { walkers: 20, burn_in: 50, iterations: 50, ..ChainConfig::default() };
    let chain = sample(3, &config, 5, narrow);
    assert!(!chain.report.converged);
    assert_eq!((chain.len(), chain.report.iterations), (50, 50));
}

#[test]
fn chains_are_the_same_again_and_thinning_takes_rows_of_them() {
    let config = ChainConfig { walkers: 10, burn_in: 20, iterations: 40, ..ChainConfig::default() };
    let a = sample(3, &config, 6, narrow);
    let b = sample(3, &config, 6, narrow);
    assert_eq!(a.positions, b.positions);
    let (points, ln) = a.thinned(100);
    assert_eq!((points.len(), ln.len()), (300, 100));
    for (point, ln) in points.chunks_exact(3).zip(&ln) {
        let row = a.ln_density.iter().position(|l| l == ln).expect("of the chain");
        assert_eq!(point[0], a.positions[row * 3] as f32);
    }
    assert_eq!(a.thinned(10_000).1.len(), 400);
}

#[test]
fn walkers_that_start_where_the_density_is_zero_are_put_where_it_is_not() {
    // Inside the unit ball only; most of the starting points are outside.
    let ball = |x: &[f64]| if x.iter().map(|x| x * x).sum::<f64>() < 1.0 { 0.0 } else { f64::NEG_INFINITY };
    for config in both() {
        let chain = sample(3, &ChainConfig { iterations: 4000, ..config }, 7, ball);
        assert!(chain.positions.chunks_exact(3).all(|x| ball(x) == 0.0));
        let (.., variance) = moments(&chain, 0, 0);
        assert!((variance - 0.2).abs() < 0.02, "{variance}");
    }
    let mut nowhere = Plain { n_dim: 2, ln: |_: &[f64]| f64::NAN, evaluations: 0 };
    let config = ChainConfig { walkers: 4, ..ChainConfig::default() };
    let mut rng = Streams::new(7, "mcmc test").at(1);
    assert_eq!(run(&mut nowhere, &[0.0; 8], &config, &mut rng).unwrap_err(), McmcError::NowhereToStart);
}

#[test]
fn wrong_settings_are_refused() {
    let mut target = Plain { n_dim: 3, ln: |_: &[f64]| 0.0, evaluations: 0 };
    let mut rng = Streams::new(7, "mcmc test").at(1);
    let mut refused = |walkers, iterations, start: usize| {
        let config = ChainConfig { walkers, iterations, ..ChainConfig::default() };
        run(&mut target, &vec![0.0; start], &config, &mut rng).unwrap_err().to_string()
    };
    assert_eq!(refused(5, 100, 15), "5 walkers for 3 coordinates: expected an even number of at least 6");
    assert_eq!(refused(6, 100, 17), "17 numbers start the walkers, expected 18");
    assert!(refused(6, 3, 18).contains("iterations is 3"));
}

#[test]
fn the_autocorrelation_time_of_an_autoregressive_series_is_known() {
    // x' = a x + e has tau = (1 + a) / (1 - a).
    for (a, n) in [(0.0, 2000), (0.9, 2000), (0.98, 20_000)] {
        let (walkers, e) = (10, normals(10 * n, 8));
        let mut positions = vec![0.0; walkers * n];
        for w in 0..walkers {
            let mut x = e[w] / (1.0_f64 - a * a).sqrt();
            for i in 0..n {
                positions[i * walkers + w] = x;
                x = a * x + e[(i * walkers + w + 5) % e.len()];
            }
        }
        let truth = (1.0 + a) / (1.0 - a);
        let found = autocorrelation_times(&positions, walkers, 1)[0];
        assert!((found / truth - 1.0).abs() < 0.15, "{found} for {truth}");
        assert!(split_r_hat(&positions, walkers, 1)[0] < 1.03);
    }
}

#[test]
fn r_hat_sees_walkers_that_disagree_and_walkers_that_drift() {
    let e = normals(10 * 400, 9);
    let apart: Vec<f64> =
        e.iter().enumerate().map(|(i, e)| e + if i % 10 < 5 { 2.0 } else { -2.0 }).collect();
    assert!(split_r_hat(&apart, 10, 1)[0] > 2.0);
    let drift: Vec<f64> = e.iter().enumerate().map(|(i, e)| e + i as f64 / 1000.0).collect();
    assert!(split_r_hat(&drift, 10, 1)[0] > 1.2);
    assert!((split_r_hat(&e, 10, 1)[0] - 1.0).abs() < 0.01);
    assert_eq!(split_r_hat(&[1.0; 40], 10, 1)[0], 1.0);
}
