//! Whether chains have converged: integrated autocorrelation times and split R-hat.

/// Windows are this many autocorrelation times wide (Sokal 1997).
const WINDOW: f64 = 5.0;
/// Longer chains are averaged over blocks of iterations first: their slow correlations are all that matters.
const MAX_LENGTH: usize = 2500;

/// Integrated autocorrelation time of each coordinate, in iterations, at least 1: from the autocorrelation
/// averaged over the walkers. `positions` is `[iteration, walker, n_dim]`.
///
/// A chain shorter than some 50 times this underestimates it.
pub fn autocorrelation_times(positions: &[f64], walkers: usize, n_dim: usize) -> Vec<f64> {
    let iterations = positions.len() / (walkers * n_dim).max(1);
    let block = iterations.div_ceil(MAX_LENGTH).max(1);
    let n = iterations / block;
    (0..n_dim)
        .map(|coordinate| {
            // Means over blocks, [walker][n].
            let series: Vec<Vec<f64>> = (0..walkers)
                .map(|walker| {
                    (0..n)
                        .map(|i| {
                            let at = |step: usize| {
                                positions[((i * block + step) * walkers + walker) * n_dim + coordinate]
                            };
                            (0..block).map(at).sum::<f64>() / block as f64
                        })
                        .collect()
                })
                .collect();
            let of_blocks = time_of(&series);
            if block == 1 {
                return of_blocks;
            }
            // Var(mean) = tau var(x) / n, whether the n are blocks or iterations.
            let single = variance_about_mean(&series);
            let all: Vec<Vec<f64>> = (0..walkers)
                .map(|walker| {
                    let at = |i: usize| positions[(i * walkers + walker) * n_dim + coordinate];
                    (0..n * block).map(at).collect()
                })
                .collect();
            let whole = variance_about_mean(&all);
            if whole > 0.0 { (of_blocks * block as f64 * single / whole).max(1.0) } else { 1.0 }
        })
        .collect()
}

/// Variance of all values about their common mean.
fn variance_about_mean(series: &[Vec<f64>]) -> f64 {
    let count = series.iter().map(Vec::len).sum::<usize>().max(1) as f64;
    let mean = series.iter().flatten().sum::<f64>() / count;
    series.iter().flatten().map(|x| (x - mean).powi(2)).sum::<f64>() / count
}

/// `1 + 2 sum rho(t)` up to the first window that is [`WINDOW`] times as wide as its own sum.
fn time_of(series: &[Vec<f64>]) -> f64 {
    let n = series.first().map_or(0, Vec::len);
    let count = (series.len() * n).max(1) as f64;
    // About the common mean: walkers that disagree are slow, not right each on its own.
    let mean = series.iter().flatten().sum::<f64>() / count;
    let variance = variance_about_mean(series);
    if variance <= 0.0 || !variance.is_finite() {
        return 1.0;
    }
    let mut time = 1.0;
    for lag in 1..n {
        let mut sum = 0.0;
        for walker in series {
            sum += walker[lag..].iter().zip(walker).map(|(a, b)| (a - mean) * (b - mean)).sum::<f64>();
        }
        let rho = sum / ((n - lag) * series.len()) as f64 / variance;
        time += 2.0 * rho;
        if lag as f64 >= WINDOW * time {
            break;
        }
    }
    time.max(1.0)
}

/// Split R-hat of each coordinate (Gelman et al. 2013, section 11.4): every walker's chain cut in
/// halves. 1 where the halves and walkers agree; infinite where none moves but they differ.
pub fn split_r_hat(positions: &[f64], walkers: usize, n_dim: usize) -> Vec<f64> {
    let iterations = positions.len() / (walkers * n_dim).max(1);
    let n = iterations / 2;
    (0..n_dim)
        .map(|coordinate| {
            if n < 2 {
                return f64::INFINITY;
            }
            let m = 2 * walkers;
            let (mut means, mut within) = (Vec::with_capacity(m), 0.0);
            for walker in 0..walkers {
                for start in [0, iterations - n] {
                    let at = |i: usize| positions[((start + i) * walkers + walker) * n_dim + coordinate];
                    let mean = (0..n).map(at).sum::<f64>() / n as f64;
                    within += (0..n).map(|i| (at(i) - mean).powi(2)).sum::<f64>() / (n - 1) as f64;
                    means.push(mean);
                }
            }
            within /= m as f64;
            let grand = means.iter().sum::<f64>() / m as f64;
            let between = means.iter().map(|mean| (mean - grand).powi(2)).sum::<f64>() / (m - 1) as f64;
            if within == 0.0 {
                return if between == 0.0 { 1.0 } else { f64::INFINITY };
            }
            ((n - 1) as f64 / n as f64 + between / within).sqrt()
        })
        .collect()
}
