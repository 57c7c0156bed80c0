//! The normal and beta distributions: cumulative functions, tails and their inverses.

use std::f64::consts::{FRAC_1_SQRT_2, PI};

use libm::{erfc, lgamma};

use crate::vmath;

/// `P(X <= x)` of a standard normal, with full relative accuracy in the lower tail.
///
/// The upper tail is `norm_cdf(-x)`, which is how callers keep its accuracy.
pub fn norm_cdf(x: f64) -> f64 {
    0.5 * erfc(-x * FRAC_1_SQRT_2)
}

/// Natural logarithm of the standard normal density.
pub fn norm_ln_pdf(x: f64) -> f64 {
    -0.5 * (x * x + (2.0 * PI).ln())
}

/// Natural logarithm of [`norm_cdf`], finite for every finite `x`.
pub fn norm_ln_cdf(x: f64) -> f64 {
    if x > -30.0 {
        return norm_cdf(x).ln();
    }
    // Asymptotic series of the Mills ratio; its next term is below 1e-9 here.
    let square = 1.0 / (x * x);
    norm_ln_pdf(x) - (-x).ln() + (square * (-1.0 + square * (3.0 - 15.0 * square))).ln_1p()
}

/// `P(X > x)` of a chi-squared distribution of `dof` degrees of freedom (finite sums, DLMF 8.4).
pub fn chi2_survival(x: f64, dof: usize) -> f64 {
    if dof == 0 || x.is_nan() {
        return f64::NAN;
    }
    if x <= 0.0 {
        return 1.0;
    }
    let half = 0.5 * x;
    let odd = dof % 2 == 1;
    let mut sum = if odd { erfc(half.sqrt()) } else { (-half).exp() };
    // The term of each order follows from the one before: half^a e^-half / Gamma(a + 1).
    let mut order = if odd { 0.5 } else { 1.0 };
    let mut term = (-half).exp() * if odd { 2.0 * (half / PI).sqrt() } else { half };
    while 2.0 * order < dof as f64 - 0.5 {
        sum += term;
        order += 1.0;
        term *= half / order;
    }
    sum.min(1.0)
}

/// The `x` with `norm_cdf(x) = p`, relative error about 1e-16 (Wichura 1988, algorithm AS 241).
///
/// 0 and 1 give minus and plus infinity, values outside 0..=1 NaN.
pub fn norm_quantile(p: f64) -> f64 {
    if !(0.0..=1.0).contains(&p) {
        return f64::NAN;
    }
    let q = p - 0.5;
    if q.abs() <= 0.425 {
        let r = 0.180_625 - q * q;
        return q * ratio(r, &CENTRE_NUM, &CENTRE_DEN);
    }
    let tail = if q < 0.0 { p } else { 1.0 - p };
    if tail == 0.0 {
        return f64::INFINITY.copysign(q);
    }
    let r = (-tail.ln()).sqrt();
    let x = if r <= 5.0 {
        ratio(r - 1.6, &MIDDLE_NUM, &MIDDLE_DEN)
    } else {
        ratio(r - 5.0, &TAIL_NUM, &TAIL_DEN)
    };
    x.copysign(q)
}

/// The `x` of a probability given with its complement, so that neither tail loses digits.
pub fn norm_quantile_pq(p: f64, q: f64) -> f64 {
    if p <= q { norm_quantile(p) } else { -norm_quantile(q) }
}

fn ratio(r: f64, numerator: &[f64; 8], denominator: &[f64; 8]) -> f64 {
    let horner = |c: &[f64; 8]| c.iter().rev().fold(0.0, |sum, &c| sum * r + c);
    horner(numerator) / horner(denominator)
}

// Coefficients of AS 241 (PPND16), constant term first.
const CENTRE_NUM: [f64; 8] = [
    3.387_132_872_796_366_5,
    1.331_416_678_917_843_8e2,
    1.971_590_950_306_551_3e3,
    1.373_169_376_550_946e4,
    4.592_195_393_154_987e4,
    6.726_577_092_700_87e4,
    3.343_057_558_358_813e4,
    2.509_080_928_730_122_7e3,
];
const CENTRE_DEN: [f64; 8] = [
    1.0,
    4.231_333_070_160_091e1,
    6.871_870_074_920_579e2,
    5.394_196_021_424_751e3,
    2.121_379_430_158_659_7e4,
    3.930_789_580_009_271e4,
    2.872_908_573_572_194_3e4,
    5.226_495_278_852_854e3,
];
const MIDDLE_NUM: [f64; 8] = [
    1.423_437_110_749_683_5,
    4.630_337_846_156_546,
    5.769_497_221_460_691,
    3.647_848_324_763_204_5,
    1.270_458_252_452_368_4,
    2.417_807_251_774_506e-1,
    2.272_384_498_926_918_4e-2,
    7.745_450_142_783_414e-4,
];
const MIDDLE_DEN: [f64; 8] = [
    1.0,
    2.053_191_626_637_759,
    1.676_384_830_183_803_8,
    6.897_673_349_851e-1,
    1.481_039_764_274_800_8e-1,
    1.519_866_656_361_645_7e-2,
    5.475_938_084_995_345e-4,
    1.050_750_071_644_416_9e-9,
];
const TAIL_NUM: [f64; 8] = [
    6.657_904_643_501_103,
    5.463_784_911_164_114,
    1.784_826_539_917_291_3,
    2.965_605_718_285_048_7e-1,
    2.653_218_952_657_612_4e-2,
    1.242_660_947_388_078_4e-3,
    2.711_555_568_743_487_6e-5,
    2.010_334_399_292_288_1e-7,
];
const TAIL_DEN: [f64; 8] = [
    1.0,
    5.998_322_065_558_88e-1,
    1.369_298_809_227_358e-1,
    1.487_536_129_085_061_5e-2,
    7.868_691_311_456_133e-4,
    1.846_318_317_510_054_8e-5,
    1.421_511_758_316_446e-7,
    2.044_263_103_389_939_8e-15,
];

/// [`norm_cdf`] in f32 for vectorised loops: absolute error below 2e-7, relative error of the lower
/// tail below 1e-5 down to x = -9.
///
/// The Chebyshev fit of `erfc` of Press et al. (Numerical Recipes, `erfcc`): branch-free, one `exp`.
#[inline(always)]
pub fn norm_cdf_f32(x: f32) -> f32 {
    let a = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let t = 1.0 / (1.0 + 0.5 * a);
    let mut p = 0.170_872_77;
    p = p * t - 0.822_152_2;
    p = p * t + 1.488_515_9;
    p = p * t - 1.135_204;
    p = p * t + 0.278_868_08;
    p = p * t - 0.186_288_06;
    p = p * t + 0.096_784_18;
    p = p * t + 0.374_091_97;
    p = p * t + 1.000_023_7;
    p = p * t - 1.265_512_2;
    let tail = 0.5 * t * vmath::exp(p - a * a);
    if x < 0.0 { tail } else { 1.0 - tail }
}

/// Natural logarithm of the beta function.
pub fn ln_beta(a: f64, b: f64) -> f64 {
    lgamma(a) + lgamma(b) - lgamma(a + b)
}

/// Natural logarithm of the gamma function, for positive `a`.
pub fn ln_gamma(a: f64) -> f64 {
    lgamma(a)
}

/// The regularised incomplete beta function `I_x(a, b)` and its complement, both to full relative
/// accuracy (continued fraction by the method of Lentz, DLMF 8.17.22).
pub fn beta_cdf_pq(x: f64, a: f64, b: f64) -> (f64, f64) {
    if x <= 0.0 {
        return (0.0, 1.0);
    }
    if x >= 1.0 {
        return (1.0, 0.0);
    }
    if a == 1.0 {
        let ln_q = b * (-x).ln_1p();
        return (-ln_q.exp_m1(), ln_q.exp());
    }
    let front = (a * x.ln() + b * (-x).ln_1p() - ln_beta(a, b)).exp();
    if x < (a + 1.0) / (a + b + 2.0) {
        let p = front * beta_fraction(x, a, b) / a;
        (p, 1.0 - p)
    } else {
        let q = front * beta_fraction(1.0 - x, b, a) / b;
        (1.0 - q, q)
    }
}

fn beta_fraction(x: f64, a: f64, b: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let guard = |v: f64| if v.abs() < TINY { TINY } else { v };
    let mut c = 1.0;
    let mut d = 1.0 / guard(1.0 - (a + b) * x / (a + 1.0));
    let mut h = d;
    for m in 1..=10_000 {
        let m = f64::from(m);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        d = 1.0 / guard(1.0 + even * d);
        c = guard(1.0 + even / c);
        h *= d * c;
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        d = 1.0 / guard(1.0 + odd * d);
        c = guard(1.0 + odd / c);
        h *= d * c;
        if (d * c - 1.0).abs() < 1e-15 {
            break;
        }
    }
    h
}

/// The `x` and `1 - x` at which the beta distribution has cumulative probability `p` and upper
/// tail `q = 1 - p`, by bisection on the logit of `x`.
pub fn beta_quantile_pq(p: f64, q: f64, a: f64, b: f64) -> (f64, f64) {
    if a == 1.0 {
        let ln_rest = if p < 0.5 { (-p).ln_1p() } else { q.ln() } / b;
        return (-ln_rest.exp_m1(), ln_rest.exp());
    }
    let (mut low, mut high) = (-745.0_f64, 745.0_f64);
    for _ in 0..80 {
        let middle = 0.5 * (low + high);
        let (x, _) = logistic(middle);
        let (cdf, tail) = beta_cdf_pq(x, a, b);
        let below = if p <= q { cdf < p } else { tail > q };
        if below { low = middle } else { high = middle }
    }
    logistic(0.5 * (low + high))
}

fn logistic(y: f64) -> (f64, f64) {
    (1.0 / (1.0 + (-y).exp()), 1.0 / (1.0 + y.exp()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn norm_cdf_has_published_values_in_both_tails() {
        // Abramowitz & Stegun table 26.1; the far tails from mpmath.
        for (x, p) in [
            (0.0, 0.5),
            (1.0, 0.841_344_746_068_542_9),
            (-1.96, 0.024_997_895_148_220_435),
            (-5.0, 2.866_515_718_791_939e-7),
            (-10.0, 7.619_853_024_160_527e-24),
        ] {
            assert!((norm_cdf(x) / p - 1.0).abs() < 1e-13, "x = {x}: {}", norm_cdf(x));
        }
    }

    #[test]
    fn the_logarithm_of_the_cdf_goes_on_where_the_cdf_is_zero() {
        // mpmath: log(ncdf(x)).
        for (x, truth) in [
            (2.0, -0.023_012_909_328_963_488),
            (-5.0, -15.064_998_393_988_727),
            (-29.0, -424.787_419_909_730_16),
            (-31.0, -484.853_963_627_178_6),
            (-100.0, -5_005.524_208_694_205),
        ] {
            assert!((norm_ln_cdf(x) / truth - 1.0).abs() < 1e-9, "x = {x}: {}", norm_ln_cdf(x));
        }
        assert!(norm_ln_cdf(-1e10).is_finite());
    }

    #[test]
    fn chi2_survival_has_the_values_of_tables() {
        // Upper 5 % and 0.1 % points; two degrees of freedom are an exponential.
        for (dof, five, mille) in
            [(1, 3.841_458_8, 10.827_566), (5, 11.070_497_7, 20.515_006), (10, 18.307_038, 29.588_298)]
        {
            assert!((chi2_survival(five, dof) - 0.05).abs() < 1e-8, "{dof}");
            assert!((chi2_survival(mille, dof) - 0.001).abs() < 1e-8, "{dof}");
        }
        assert!((chi2_survival(3.0, 2) - (-1.5_f64).exp()).abs() < 1e-15);
        assert_eq!((chi2_survival(0.0, 3), chi2_survival(1e6, 5)), (1.0, 0.0));
        assert!(chi2_survival(1.0, 0).is_nan());
    }

    #[test]
    fn quantile_inverts_cdf_from_the_far_tail_to_the_far_tail() {
        for i in -370..=370 {
            let x = f64::from(i) / 10.0;
            let found = norm_quantile_pq(norm_cdf(x), norm_cdf(-x));
            assert!((found - x).abs() < 1e-13 * x.abs().max(1.0), "{x} came back as {found}");
        }
        assert_eq!(norm_quantile(0.0), f64::NEG_INFINITY);
        assert_eq!(norm_quantile(1.0), f64::INFINITY);
        assert!(norm_quantile(1.5).is_nan() && norm_quantile(f64::NAN).is_nan());
    }

    #[test]
    fn the_vector_cdf_agrees_with_the_exact_one() {
        for i in -90_000..=90_000 {
            let x = i as f32 / 10_000.0;
            let truth = norm_cdf(f64::from(x));
            let found = f64::from(norm_cdf_f32(x));
            assert!((found - truth).abs() < 2e-7, "x = {x}: {found} for {truth}");
            if x < 0.0 {
                assert!((found / truth - 1.0).abs() < 1e-5, "x = {x}: {found} for {truth}");
            }
        }
        assert_eq!(norm_cdf_f32(40.0), 1.0);
        assert!(norm_cdf_f32(-40.0) >= 0.0);
    }

    #[test]
    fn beta_cdf_agrees_with_closed_forms() {
        for i in 1..100 {
            let x = f64::from(i) / 100.0;
            // I_x(2, 2) = 3x^2 - 2x^3; I_x(1/2, 1/2) = 2/pi asin(sqrt x); I_x(1, 3) = 1 - (1-x)^3.
            let cases = [
                (2.0, 2.0, 3.0 * x * x - 2.0 * x * x * x),
                (0.5, 0.5, 2.0 / PI * x.sqrt().asin()),
                (1.0, 3.0, 1.0 - (1.0 - x).powi(3)),
                (3.0, 1.0, x.powi(3)),
            ];
            for (a, b, truth) in cases {
                let (p, q) = beta_cdf_pq(x, a, b);
                assert!((p - truth).abs() < 1e-13, "I_{x}({a}, {b}) = {p}, expected {truth}");
                assert!((p + q - 1.0).abs() < 1e-15);
            }
        }
    }

    #[test]
    fn beta_quantile_inverts_its_cdf() {
        for (a, b) in [(1.0, 3.0), (1.0, 1.0), (2.5, 0.7), (0.3, 4.0), (30.0, 50.0)] {
            for u in [-5.0, -2.0, -0.1, 0.0, 1.0, 3.0, 5.0] {
                let (p, q) = (norm_cdf(u), norm_cdf(-u));
                let (x, rest) = beta_quantile_pq(p, q, a, b);
                assert!((x + rest - 1.0).abs() < 1e-14);
                let (p_back, q_back) = beta_cdf_pq(x, a, b);
                let error = if p < q { p_back / p } else { q_back / q } - 1.0;
                assert!(error.abs() < 1e-6, "Beta({a}, {b}) at u = {u}: {error}");
            }
        }
    }
}
