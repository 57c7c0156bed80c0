//! Whether numbers between 0 and 1 are uniform: Kolmogorov-Smirnov, chi-squared, and Neyman's smooth
//! components, which say in which way they are not.

use crate::special::{chi2_survival, norm_cdf};

/// A statistic and the probability of one as large if all is well.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Test {
    pub statistic: f64,
    pub p_value: f64,
}

/// Kolmogorov-Smirnov distance of `values` from the uniform distribution on 0..1.
pub fn ks_uniform(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let n = sorted.len() as f64;
    let gap = |(i, &v): (usize, &f64)| ((i as f64 + 1.0) / n - v).max(v - i as f64 / n);
    sorted.iter().enumerate().map(gap).fold(0.0, f64::max)
}

/// [`ks_uniform`] with its p-value; of no values, distance 0 with probability 1.
pub fn ks_test(values: &[f64]) -> Test {
    let statistic = ks_uniform(values);
    Test { statistic, p_value: ks_p_value(statistic, values.len()) }
}

/// Up to this many values the p-value is computed exactly.
const EXACT_UP_TO: usize = 300;
/// Beyond this `n d^2` the p-value is below 1e-6 and the first term of its series is all there is.
const FAR_TAIL: f64 = 7.24;

/// Probability that `n` uniform numbers have a KS distance of `d` or more.
///
/// Exact up to 300 numbers (Marsaglia, Tsang & Wang 2003); beyond, Kolmogorov's limit with the
/// correction of Vrbik (2018), good to a few 1e-5.
pub fn ks_p_value(d: f64, n: usize) -> f64 {
    if n == 0 || d.is_nan() || d <= 0.0 {
        return 1.0;
    }
    if d >= 1.0 {
        return 0.0;
    }
    let size = n as f64;
    if size * d * d > FAR_TAIL {
        return (2.0 * (-2.0 * size * d * d).exp()).min(1.0);
    }
    let p = if n <= EXACT_UP_TO {
        1.0 - ks_cdf_exact(d, n)
    } else {
        let x = size.sqrt() * d;
        kolmogorov_tail(x + 1.0 / (6.0 * size.sqrt()) + (x - 1.0) / (4.0 * size))
    };
    p.clamp(0.0, 1.0)
}

/// Upper tail of Kolmogorov's distribution, in whichever of its two series converges at once.
fn kolmogorov_tail(x: f64) -> f64 {
    use std::f64::consts::PI;
    if x <= 0.0 {
        return 1.0;
    }
    if x < 1.0 {
        let term = |k: i32| (-(f64::from(2 * k - 1) * PI).powi(2) / (8.0 * x * x)).exp();
        return 1.0 - (2.0 * PI).sqrt() / x * (1..=20).map(term).sum::<f64>();
    }
    let term = |k: i32| {
        let k = f64::from(k);
        (-2.0 * k * k * x * x).exp() * if k % 2.0 == 1.0 { 1.0 } else { -1.0 }
    };
    2.0 * (1..=20).map(term).sum::<f64>()
}

/// `P(D_n < d)` as an element of the n-th power of a matrix of side `2 ceil(n d) - 1`.
fn ks_cdf_exact(d: f64, n: usize) -> f64 {
    let size = n as f64;
    let k = (size * d) as usize + 1;
    let m = 2 * k - 1;
    let h = k as f64 - size * d;
    let mut matrix = vec![0.0; m * m];
    for i in 0..m {
        for j in 0..m.min(i + 2) {
            matrix[i * m + j] = 1.0;
        }
    }
    for i in 0..m {
        matrix[i * m] -= h.powi(i as i32 + 1);
        matrix[(m - 1) * m + i] -= h.powi((m - i) as i32);
    }
    matrix[(m - 1) * m] += if 2.0 * h > 1.0 { (2.0 * h - 1.0).powi(m as i32) } else { 0.0 };
    for i in 0..m {
        for j in 0..m.min(i + 2) {
            for divisor in 1..=(i + 1 - j) {
                matrix[i * m + j] /= divisor as f64;
            }
        }
    }
    let (power, mut exponent) = matrix_power(&matrix, m, n);
    let mut p = power[(k - 1) * m + k - 1];
    // Times n! / n^n, kept in range by a separate power of ten.
    for i in 1..=n {
        p *= i as f64 / size;
        if p < 1e-140 {
            p *= 1e140;
            exponent -= 140;
        }
    }
    p * 10_f64.powi(exponent)
}

/// `matrix^n` and the power of ten it is still to be multiplied by.
fn matrix_power(matrix: &[f64], m: usize, n: usize) -> (Vec<f64>, i32) {
    if n == 1 {
        return (matrix.to_vec(), 0);
    }
    let (half, mut exponent) = matrix_power(matrix, m, n / 2);
    let mut power = matrix_product(&half, &half, m);
    exponent *= 2;
    if n % 2 == 1 {
        power = matrix_product(matrix, &power, m);
    }
    if power[(m / 2) * m + m / 2] > 1e140 {
        power.iter_mut().for_each(|v| *v *= 1e-140);
        exponent += 140;
    }
    (power, exponent)
}

fn matrix_product(a: &[f64], b: &[f64], m: usize) -> Vec<f64> {
    let mut out = vec![0.0; m * m];
    for (out, a) in out.chunks_exact_mut(m).zip(a.chunks_exact(m)) {
        for (&factor, b) in a.iter().zip(b.chunks_exact(m)) {
            out.iter_mut().zip(b).for_each(|(out, b)| *out += factor * b);
        }
    }
    out
}

/// How many of `values` fall in each of `n_bins` equal bins of 0..1.
pub fn histogram(values: &[f64], n_bins: usize) -> Vec<u64> {
    let mut counts = vec![0; n_bins];
    for value in values.iter().filter(|value| value.is_finite()) {
        let bin = (value * n_bins as f64) as usize;
        if let Some(count) = counts.get_mut(bin.min(n_bins.saturating_sub(1))) {
            *count += 1;
        }
    }
    counts
}

/// Pearson's chi-squared of counts against equal ones, with `len - 1` degrees of freedom.
pub fn chi2_uniform(counts: &[u64]) -> Test {
    let total: u64 = counts.iter().sum();
    if total == 0 || counts.len() < 2 {
        return Test { statistic: 0.0, p_value: 1.0 };
    }
    let expected = total as f64 / counts.len() as f64;
    let statistic = counts.iter().map(|&count| (count as f64 - expected).powi(2) / expected).sum();
    Test { statistic, p_value: chi2_survival(statistic, counts.len() - 1) }
}

/// Neyman's (1937) first two smooth components of uniformity: the mean of the first and second
/// Legendre polynomial over the values times the root of their number, each a standard normal number
/// if they are uniform.
///
/// The first is positive where values lean to 1, the second where they lean to both ends.
pub fn smooth_components(values: &[f64]) -> [f64; 2] {
    let n = values.len().max(1) as f64;
    let (mut slope, mut curvature) = (0.0, 0.0);
    for value in values {
        let t = 2.0 * value - 1.0;
        slope += t;
        curvature += 0.5 * (3.0 * t * t - 1.0);
    }
    [slope * (3.0 / n).sqrt(), curvature * (5.0 / n).sqrt()]
}

/// Two-sided p-value of a standard normal number.
pub fn normal_p_value(z: f64) -> f64 {
    2.0 * norm_cdf(-z.abs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Streams;
    use rand::RngExt;

    #[test]
    fn ks_of_a_lattice_is_half_its_step() {
        let lattice: Vec<f64> = (0..100).map(|i| (f64::from(i) + 0.5) / 100.0).collect();
        assert!((ks_uniform(&lattice) - 0.005).abs() < 1e-12);
        assert_eq!(ks_uniform(&[1.0]), 1.0);
        assert_eq!(ks_test(&[]), Test { statistic: 0.0, p_value: 1.0 });
    }

    #[test]
    fn small_samples_have_their_exact_p_values() {
        // One number: P(D >= d) = 2 (1 - d) for d above 1/2.
        assert!((ks_p_value(0.8, 1) - 0.4).abs() < 1e-14);
        // The example of Marsaglia, Tsang & Wang: P(D_10 < 0.274) = 0.628 479 615 456 504.
        assert!((1.0 - ks_p_value(0.274, 10) - 0.628_479_615_456_504).abs() < 1e-13);
        // Critical values of tables: 1 % at n = 20, 5 % at n = 100.
        assert!((ks_p_value(0.352_41, 20) - 0.01).abs() < 1e-4);
        assert!((ks_p_value(0.134_03, 100) - 0.05).abs() < 1e-4);
    }

    #[test]
    fn the_approximation_takes_over_without_a_step() {
        let n = EXACT_UP_TO + 1;
        for d in [0.02, 0.035, 0.05, 0.065, 0.08, 0.1, 0.13] {
            let (near, exact) = (ks_p_value(d, n), 1.0 - ks_cdf_exact(d, n));
            assert!((near - exact).abs() < 1e-4 + 0.01 * exact, "{d}: {near} for {exact}");
        }
        assert!((ks_p_value(1.358_1 / 1e3, 1_000_000) - 0.05).abs() < 1e-4);
        assert!(ks_p_value(0.5, 1000) < 1e-100 && ks_p_value(0.5, 1000) > 0.0);
    }

    #[test]
    fn p_values_of_uniform_numbers_are_uniform_for_every_test() {
        let streams = Streams::new(3, "uniformity test");
        let mut found = [vec![], vec![], vec![], vec![]];
        for i in 0..400 {
            let mut rng = streams.at(i);
            let values: Vec<f64> = (0..500).map(|_| rng.random()).collect();
            let [slope, curvature] = smooth_components(&values);
            found[0].push(ks_test(&values).p_value);
            found[1].push(chi2_uniform(&histogram(&values, 20)).p_value);
            found[2].push(normal_p_value(slope));
            found[3].push(normal_p_value(curvature));
        }
        for (which, p) in found.iter().enumerate() {
            assert!(ks_test(p).p_value > 1e-3, "test {which}: {:?}", ks_test(p));
        }
    }

    #[test]
    fn components_point_the_way_the_values_lean() {
        let lean =
            |power: f64| -> Vec<f64> { (0..200).map(|i| (f64::from(i) / 199.0).powf(power)).collect() };
        assert!(smooth_components(&lean(0.5))[0] > 5.0 && smooth_components(&lean(2.0))[0] < -5.0);
        let ends: Vec<f64> = (0..200).map(|i| if i % 2 == 0 { 0.05 } else { 0.95 }).collect();
        assert!(smooth_components(&ends)[1] > 5.0 && smooth_components(&[0.5; 200])[1] < -5.0);
    }

    #[test]
    fn bins_hold_every_finite_value() {
        assert_eq!(histogram(&[0.0, 0.24, 0.26, 0.99, 1.0, f64::NAN], 4), [2, 1, 0, 2]);
        assert_eq!(chi2_uniform(&[5, 5]), Test { statistic: 0.0, p_value: 1.0 });
        assert!(chi2_uniform(&[100, 0]).p_value < 1e-20);
        assert_eq!(chi2_uniform(&[0, 0]).p_value, 1.0);
    }
}
