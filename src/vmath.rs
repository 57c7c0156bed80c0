//! Elementary functions in f32 that the compiler can vectorise, with the same result on every machine.
//!
//! Branch-free, no libm, no fused multiply-add: a loop over them inside a `multiversion` function
//! becomes AVX2 or AVX-512 code, and the bits do not depend on which. Coefficients are those of
//! Cephes (Moshier, `expf`, `logf`).

use std::f32::consts::LOG2_E;

const LN2_HI: f32 = 0.693_359_4;
const LN2_LO: f32 = -2.121_944_4e-4;
/// Adding and subtracting 1.5 * 2^23 rounds to the nearest integer.
const ROUND: f32 = 12_582_912.0;

/// `e^x`, relative error below 2e-7 for -87 <= x <= 88; clamped outside (never infinite or NaN for
/// finite input; never below 1.2e-38).
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    let x = x.clamp(-87.0, 88.0);
    let shifted = x * LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (x - n * LN2_HI) - n * LN2_LO;
    let mut p = 1.987_569_1e-4;
    p = p * r + 1.398_2e-3;
    p = p * r + 8.333_452e-3;
    p = p * r + 4.166_579_6e-2;
    p = p * r + 1.666_666_5e-1;
    p = p * r + 0.5;
    let mantissa = p * r * r + r + 1.0;
    // n is in -126..=127 after the clamp, so 2^n is a normal number. It is taken from the last bits of
    // `shifted`: a conversion of n to an integer saturates, which the compiler does number by number.
    let scale = f32::from_bits(shifted.to_bits().wrapping_add(127) << 23);
    mantissa * scale
}

/// Natural logarithm, relative error below 2e-7 for normal positive `x`; `x` below the smallest
/// normal number counts as that number.
#[inline(always)]
pub fn ln(x: f32) -> f32 {
    let bits = x.max(f32::MIN_POSITIVE).to_bits();
    // Split into 2^e * m with m in [sqrt(1/2), sqrt(2)).
    let shifted = bits.wrapping_sub(0x3f35_04f3);
    let e = ((shifted as i32) >> 23) as f32;
    let m = f32::from_bits((shifted & 0x007f_ffff).wrapping_add(0x3f35_04f3)) - 1.0;
    let z = m * m;
    let mut p = 7.037_683_6e-2;
    p = p * m - 1.151_461e-1;
    p = p * m + 1.167_699_9e-1;
    p = p * m - 1.242_014_1e-1;
    p = p * m + 1.424_932_3e-1;
    p = p * m - 1.666_805_8e-1;
    p = p * m + 2.000_071_5e-1;
    p = p * m - 2.499_999_4e-1;
    p = p * m + 3.333_333e-1;
    let y = p * m * z + e * LN2_LO - 0.5 * z;
    m + y + e * LN2_HI
}

/// `ln(1 + e^x)` without overflow.
#[inline(always)]
pub fn softplus(x: f32) -> f32 {
    x.max(0.0) + ln(1.0 + exp(-x.abs()))
}

/// `1 / (1 + e^-x)`.
#[inline(always)]
pub fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid(from: f32, to: f32) -> impl Iterator<Item = f32> {
        (0..200_000).map(move |i| from + (to - from) * i as f32 / 199_999.0)
    }

    #[test]
    fn exp_agrees_with_f64_over_its_range() {
        for x in grid(-86.9, 87.9) {
            let truth = f64::from(x).exp();
            let error = (f64::from(exp(x)) / truth - 1.0).abs();
            assert!(error < 2e-7, "exp({x}): relative error {error}");
        }
        assert_eq!(exp(0.0), 1.0);
        // 2^n by conversion to an integer, as it is defined.
        for x in grid(-100.0, 100.0) {
            let x = x.clamp(-87.0, 88.0);
            let shifted = x * LOG2_E + ROUND;
            let scale = f32::from_bits((((shifted - ROUND) as i32 + 127) << 23) as u32);
            assert_eq!(f32::from_bits(shifted.to_bits().wrapping_add(127) << 23), scale);
        }
        assert!(exp(f32::INFINITY).is_finite() && exp(f32::NEG_INFINITY) > 0.0);
    }

    #[test]
    fn ln_agrees_with_f64_over_all_magnitudes() {
        for log2 in grid(-125.0, 127.0) {
            let x = log2.exp2();
            let truth = f64::from(x).ln();
            let error = (f64::from(ln(x)) - truth).abs() / truth.abs().max(1.0);
            assert!(error < 2e-7, "ln({x}): error {error}");
        }
        assert_eq!(ln(1.0), 0.0);
    }

    #[test]
    fn softplus_and_sigmoid_agree_with_f64() {
        for x in grid(-80.0, 80.0) {
            let truth = f64::from(x).exp().ln_1p();
            assert!((f64::from(softplus(x)) - truth).abs() < 3e-7 * truth.max(1.0));
            let truth = 1.0 / (1.0 + f64::from(-x).exp());
            assert!((f64::from(sigmoid(x)) - truth).abs() < 3e-7);
        }
    }
}
