//! Summaries of draws: moments, quantiles, the best draw, how close to the prior's edges.

/// Quantiles reported of every parameter.
pub const QUANTILES: [f64; 5] = [0.025, 0.16, 0.5, 0.84, 0.975];
/// "Near an edge" is within this fraction of the prior's width.
const EDGE: f64 = 0.01;

/// A marginal posterior in numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Marginal {
    pub mean: f64,
    pub sd: f64,
    /// In the order of [`QUANTILES`].
    pub quantiles: [f64; 5],
    /// Value in the draw of highest posterior density.
    pub best: f64,
    /// Fraction of draws within 1 % of an edge of the prior; NaN without a prior.
    pub edge_frac: f64,
}

/// Summarises one column of draws; `support` is the prior's, `best` the index of the best draw.
///
/// `scratch` is overwritten. Quantiles interpolate linearly between neighbouring draws.
pub fn summarise(
    draws: &[f32],
    best: usize,
    support: Option<(f64, f64)>,
    scratch: &mut Vec<f32>,
) -> Marginal {
    let n = draws.len();
    if n == 0 {
        return Marginal {
            mean: f64::NAN,
            sd: f64::NAN,
            quantiles: [f64::NAN; 5],
            best: f64::NAN,
            edge_frac: f64::NAN,
        };
    }
    // Shifted by one draw, so that a narrow posterior far from zero keeps its digits.
    let origin = f64::from(draws[0]);
    let (mut sum, mut square) = (0.0, 0.0);
    for &draw in draws {
        let value = f64::from(draw) - origin;
        sum += value;
        square += value * value;
    }
    let mean = sum / n as f64;
    let sd = ((square / n as f64 - mean * mean).max(0.0) * n as f64 / (n.max(2) - 1) as f64).sqrt();
    let edge_frac = support.map_or(f64::NAN, |(lower, upper)| {
        let margin = EDGE * (upper - lower);
        if !margin.is_finite() {
            return 0.0;
        }
        let (low, high) = ((lower + margin) as f32, (upper - margin) as f32);
        draws.iter().filter(|&&draw| draw < low || draw > high).count() as f64 / n as f64
    });
    scratch.clear();
    scratch.extend_from_slice(draws);
    Marginal {
        mean: origin + mean,
        sd,
        quantiles: quantiles(scratch),
        best: draws.get(best).copied().map_or(f64::NAN, f64::from),
        edge_frac,
    }
}

/// The [`QUANTILES`] of values, which are left partly ordered.
fn quantiles(values: &mut [f32]) -> [f64; 5] {
    let n = values.len();
    let mut done = 0;
    QUANTILES.map(|p| {
        let place = p * (n - 1) as f64;
        let lower = place.floor() as usize;
        // Everything before `done` is already below everything after it.
        let (_, &mut low, above) = values[done..].select_nth_unstable_by(lower - done, f32::total_cmp);
        let high = above.iter().copied().min_by(f32::total_cmp).unwrap_or(low);
        done = lower;
        f64::from(low) + (place - lower as f64) * (f64::from(high) - f64::from(low))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ramp_has_its_closed_form_summary() {
        // 0, 1, ..., 1000 in a scrambled order.
        let draws: Vec<f32> = (0..1001).map(|i| ((i * 619) % 1001) as f32).collect();
        let best = draws.iter().position(|&d| d == 700.0).unwrap();
        let summary = summarise(&draws, best, Some((0.0, 1000.0)), &mut vec![]);
        assert!((summary.mean - 500.0).abs() < 1e-9);
        assert!((summary.sd - (1001.0_f64 * 1002.0 / 12.0).sqrt()).abs() < 1e-9);
        assert_eq!(summary.quantiles, [25.0, 160.0, 500.0, 840.0, 975.0]);
        assert_eq!(summary.best, 700.0);
        assert!((summary.edge_frac - 20.0 / 1001.0).abs() < 1e-12);
    }

    #[test]
    fn quantiles_interpolate_and_a_narrow_column_keeps_its_width() {
        let summary = summarise(&[10.0, 11.0], 0, None, &mut vec![]);
        assert!((summary.quantiles[1] - 10.16).abs() < 1e-6 && summary.edge_frac.is_nan());
        let draws: Vec<f32> = (0..1000).map(|i| 1000.0 + (i % 2) as f32 / 1024.0).collect();
        assert!((summarise(&draws, 0, None, &mut vec![]).sd - 0.5 / 1024.0).abs() < 1e-6);
        assert!(summarise(&[], 0, None, &mut vec![]).mean.is_nan());
        assert_eq!(summarise(&[3.0], 0, None, &mut vec![]).quantiles, [3.0; 5]);
    }
}
