//! Statistics of a posterior's draws, weighted or not: moments, quantiles, intervals, distances.
//!
//! Draws for which a value is missing (NaN) are passed over, as NULL is by SQL's aggregates. Without
//! weights all draws count the same. Where nothing is left, the answer is NaN.

/// Values of one expression over the draws, ready to be asked for statistics.
#[derive(Debug, Clone, Default)]
pub struct Column {
    values: Vec<f64>,
    /// As long as the values, or empty: all the same.
    weights: Vec<f64>,
    sorted: bool,
}

impl Column {
    /// `weights` `[n]` of the draws, not negative, need not sum to 1.
    pub fn new(values: Vec<f64>, weights: Option<&[f32]>) -> Self {
        let Some(weights) = weights else {
            let mut values = values;
            values.retain(|value| !value.is_nan());
            return Self { values, weights: vec![], sorted: false };
        };
        let pairs = values.iter().zip(weights).filter(|(value, weight)| !value.is_nan() && **weight > 0.0);
        let (values, weights) = pairs.map(|(&value, &weight)| (value, f64::from(weight))).unzip();
        Self { values, weights, sorted: false }
    }

    pub fn of(draws: &[f32], weights: Option<&[f32]>) -> Self {
        if weights.is_some() {
            return Self::new(draws.iter().map(|&draw| f64::from(draw)).collect(), weights);
        }
        // Sorted as whole numbers of the same order, which is several times faster than as f64.
        let key = |draw: f32| {
            let bits = draw.to_bits();
            bits ^ if bits >> 31 == 1 { u32::MAX } else { 1 << 31 }
        };
        let draw = |key: u32| f32::from_bits(key ^ if key >> 31 == 1 { 1 << 31 } else { u32::MAX });
        let mut keys: Vec<u32> = draws.iter().filter(|draw| !draw.is_nan()).map(|&draw| key(draw)).collect();
        keys.sort_unstable();
        let values = keys.into_iter().map(|key| f64::from(draw(key))).collect();
        Self { values, weights: vec![], sorted: true }
    }

    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    fn weight(&self, i: usize) -> f64 {
        self.weights.get(i).copied().unwrap_or(1.0)
    }

    fn total(&self) -> f64 {
        if self.weights.is_empty() { self.values.len() as f64 } else { self.weights.iter().sum() }
    }

    pub fn mean(&self) -> f64 {
        // Shifted by one draw, so that a narrow posterior far from zero keeps its digits.
        let Some(&origin) = self.values.first() else { return f64::NAN };
        let sum: f64 =
            self.values.iter().enumerate().map(|(i, value)| self.weight(i) * (value - origin)).sum();
        origin + sum / self.total()
    }

    /// Standard deviation: with n - 1 under the root, for weights with the Kish (1965) effective number of draws.
    pub fn sd(&self) -> f64 {
        if self.is_empty() {
            return f64::NAN;
        }
        let mean = self.mean();
        let terms = self.values.iter().enumerate();
        let square: f64 = terms.map(|(i, value)| self.weight(i) * (value - mean).powi(2)).sum();
        let total = self.total();
        let n = if self.weights.is_empty() {
            total
        } else {
            total * total / self.weights.iter().map(|weight| weight * weight).sum::<f64>()
        };
        (square / total * n / (n - 1.0).max(1.0)).sqrt()
    }

    fn sort(&mut self) {
        if self.sorted {
            return;
        }
        if self.weights.is_empty() {
            self.values.sort_unstable_by(f64::total_cmp);
        } else {
            let mut order: Vec<usize> = (0..self.values.len()).collect();
            order.sort_unstable_by(|&a, &b| self.values[a].total_cmp(&self.values[b]));
            self.values = order.iter().map(|&i| self.values[i]).collect();
            self.weights = order.iter().map(|&i| self.weights[i]).collect();
        }
        self.sorted = true;
    }

    /// The quantile at `p`, linear between neighbouring draws, the first being at 0 and the last at 1.
    ///
    /// With weights a draw stands in the middle of its own weight.
    pub fn quantile(&mut self, p: f64) -> f64 {
        let n = self.values.len();
        if n == 0 || !(0.0..=1.0).contains(&p) {
            return f64::NAN;
        }
        let between = |low: f64, high: f64, fraction: f64| {
            if fraction == 0.0 || low == high { low } else { low + fraction * (high - low) }
        };
        if self.weights.is_empty() {
            let place = p * (n - 1) as f64;
            let lower = place.floor() as usize;
            if self.sorted {
                return between(
                    self.values[lower],
                    self.values[(lower + 1).min(n - 1)],
                    place - lower as f64,
                );
            }
            let (_, &mut low, above) = self.values.select_nth_unstable_by(lower, f64::total_cmp);
            let high = above.iter().copied().min_by(f64::total_cmp).unwrap_or(low);
            return between(low, high, place - lower as f64);
        }
        self.sort();
        let edge = 0.5 * self.weights[0];
        let span = self.total() - edge - 0.5 * self.weights[n - 1];
        if n == 1 || span <= 0.0 {
            return self.values[0];
        }
        let mut before = 0.0;
        let mut last = (0.0, self.values[0]);
        for (&value, &weight) in self.values.iter().zip(&self.weights) {
            let place = (before + 0.5 * weight - edge) / span;
            if place >= p {
                let fraction = if place > last.0 { (p - last.0) / (place - last.0) } else { 1.0 };
                return between(last.1, value, fraction.clamp(0.0, 1.0));
            }
            last = (place, value);
            before += weight;
        }
        self.values[n - 1]
    }

    /// The shortest interval that holds at least `mass` of the weight; the lowest of several.
    pub fn hdi(&mut self, mass: f64) -> (f64, f64) {
        let n = self.values.len();
        if n == 0 || !(0.0..=1.0).contains(&mass) {
            return (f64::NAN, f64::NAN);
        }
        self.sort();
        // less than a draw's worth of rounding
        let needed = mass * self.total() * (1.0 - 1e-12);
        let mut best = (self.values[0], self.values[n - 1]);
        let (mut inside, mut end) = (0.0, 0);
        for start in 0..n {
            while end < n && (inside < needed || end == start) {
                inside += self.weight(end);
                end += 1;
            }
            if inside < needed {
                break;
            }
            let (low, high) = (self.values[start], self.values[end - 1]);
            if high - low < best.1 - best.0 {
                best = (low, high);
            }
            inside -= self.weight(start);
        }
        best
    }

    /// The first Wasserstein distance to another posterior: the mean shift of probability that turns one into the other,
    /// the area between the distribution functions.
    pub fn wasserstein(&mut self, other: &mut Column) -> f64 {
        if self.is_empty() || other.is_empty() {
            return f64::NAN;
        }
        self.sort();
        other.sort();
        if self.values.len() == other.values.len() && self.weights.is_empty() && other.weights.is_empty() {
            let pairs = self.values.iter().zip(&other.values);
            return pairs.map(|(a, b)| (a - b).abs()).sum::<f64>() / self.values.len() as f64;
        }
        let (totals, mut below) = ([self.total(), other.total()], [0.0, 0.0]);
        let (mut i, mut j) = (0, 0);
        let mut at = self.values[0].min(other.values[0]);
        let mut area = 0.0;
        while i < self.values.len() || j < other.values.len() {
            let a = self.values.get(i).copied().unwrap_or(f64::INFINITY);
            let b = other.values.get(j).copied().unwrap_or(f64::INFINITY);
            let next = a.min(b);
            area += (next - at) * f64::abs(below[0] / totals[0] - below[1] / totals[1]);
            at = next;
            if a <= b {
                below[0] += self.weight(i);
                i += 1;
            } else {
                below[1] += other.weight(j);
                j += 1;
            }
        }
        area
    }
}

/// Correlation of two values per draw over the draws that have both; NaN where one does not vary.
pub fn correlation(x: &[f64], y: &[f64], weights: Option<&[f32]>) -> f64 {
    let pairs = || {
        let weight = |i: usize| weights.map_or(1.0, |weights| f64::from(weights[i]));
        let all = x.iter().zip(y).enumerate().map(move |(i, (&x, &y))| (x, y, weight(i)));
        all.filter(|(x, y, _)| !x.is_nan() && !y.is_nan())
    };
    let total: f64 = pairs().map(|(.., w)| w).sum();
    let Some((x0, y0, _)) = pairs().next() else { return f64::NAN };
    let mean_x = x0 + pairs().map(|(x, _, w)| w * (x - x0)).sum::<f64>() / total;
    let mean_y = y0 + pairs().map(|(_, y, w)| w * (y - y0)).sum::<f64>() / total;
    let (mut xx, mut xy, mut yy) = (0.0, 0.0, 0.0);
    for (x, y, w) in pairs() {
        let (dx, dy) = (x - mean_x, y - mean_y);
        xx += w * dx * dx;
        xy += w * dx * dy;
        yy += w * dy * dy;
    }
    (xy / (xx * yy).sqrt()).clamp(-1.0, 1.0)
}

/// The first Wasserstein distance of two distributions of which five quantiles are known, at ascending `levels`.
///
/// The quantile functions are taken as straight between the known points and as flat beyond the outermost.
pub fn wasserstein_of_quantiles(levels: &[f64; 5], a: &[f64; 5], b: &[f64; 5]) -> f64 {
    let shift: [f64; 5] = std::array::from_fn(|i| a[i] - b[i]);
    let mut area = levels[0] * shift[0].abs() + (1.0 - levels[4]) * shift[4].abs();
    for i in 1..5 {
        let (from, to, width) = (shift[i - 1], shift[i], levels[i] - levels[i - 1]);
        area += width
            * if from * to >= 0.0 {
                0.5 * (from + to).abs()
            } else {
                // two triangles that meet where the shift changes its sign
                0.5 * (from * from + to * to) / (from - to).abs()
            };
    }
    area
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Streams;
    use rand_distr::{Distribution, StandardNormal};

    fn normal(seed: u64, n: u64, mean: f64, sd: f64) -> Vec<f64> {
        let streams = Streams::new(seed, "draws test");
        (0..n).map(|i| mean + sd * Distribution::<f64>::sample(&StandardNormal, &mut streams.at(i))).collect()
    }

    fn plain(values: &[f64]) -> Column {
        Column::new(values.to_vec(), None)
    }

    #[test]
    fn a_ramp_has_its_closed_form_statistics() {
        let mut ramp = plain(&(0..1001).map(|i| f64::from((i * 619) % 1001)).collect::<Vec<_>>());
        assert_eq!(ramp.mean(), 500.0);
        assert!((ramp.sd() - (1001.0_f64 * 1002.0 / 12.0).sqrt()).abs() < 1e-9);
        for p in [0.0, 0.025, 0.3333, 0.5, 1.0] {
            assert!((ramp.quantile(p) - 1000.0 * p).abs() < 1e-9, "{p}");
        }
        assert_eq!(ramp.hdi(0.5), (0.0, 500.0));
        assert_eq!(ramp.hdi(1.0), (0.0, 1000.0));
        assert!(ramp.quantile(1.5).is_nan() && plain(&[]).quantile(0.5).is_nan());
    }

    #[test]
    fn missing_values_are_passed_over_and_equal_weights_change_nothing() {
        let values = [3.0, f64::NAN, 1.0, 2.0, 5.0];
        let mut bare = plain(&values);
        let mut weighted = Column::new(values.to_vec(), Some(&[0.5; 5]));
        assert_eq!(bare.mean(), 2.75);
        assert_eq!(weighted.mean(), 2.75);
        assert!((bare.sd() - weighted.sd()).abs() < 1e-12);
        for p in [0.0, 0.1, 0.5, 0.77, 1.0] {
            assert!((bare.quantile(p) - weighted.quantile(p)).abs() < 1e-12, "{p}");
        }
        assert_eq!(bare.hdi(0.5), weighted.hdi(0.5));
    }

    #[test]
    fn single_precision_draws_are_put_in_order() {
        let draws = [3.0, -0.0, f32::NAN, -7.5, 0.0, f32::INFINITY, -1e-40, f32::NEG_INFINITY];
        let mut expected: Vec<f64> = draws.iter().filter(|d| !d.is_nan()).map(|&d| f64::from(d)).collect();
        expected.sort_by(f64::total_cmp);
        let column = Column::of(&draws, None);
        assert!(column.sorted);
        assert_eq!(format!("{:?}", column.values), format!("{expected:?}"));
    }

    #[test]
    fn a_weight_of_three_is_three_draws() {
        let mut weighted = Column::new(vec![1.0, 2.0, 9.0], Some(&[1.0, 3.0, 0.0]));
        let mut repeated = plain(&[2.0, 1.0, 2.0, 2.0]);
        assert_eq!(weighted.mean(), repeated.mean());
        assert_eq!(weighted.hdi(0.75), repeated.hdi(0.75));
        assert!((weighted.wasserstein(&mut repeated)).abs() < 1e-12);
        let (x, y) = ([1.0, 2.0, 4.0], [1.0, 3.0, 0.0]);
        let repeated = correlation(&[1.0, 2.0, 2.0, 4.0], &[1.0, 3.0, 3.0, 0.0], None);
        assert!((correlation(&x, &y, Some(&[1.0, 2.0, 1.0])) - repeated).abs() < 1e-12);
    }

    #[test]
    fn the_shortest_interval_of_a_skewed_sample_is_at_its_dense_end() {
        let squares: Vec<f64> = (0..1000).map(|i| (f64::from(i) / 999.0).powi(2)).collect();
        let (low, high) = plain(&squares).hdi(0.68);
        assert_eq!(low, 0.0);
        assert!((high - 0.68_f64.powi(2)).abs() < 0.003, "{high}");
    }

    #[test]
    fn wasserstein_of_a_shift_is_the_shift_and_of_two_widths_their_mean_difference() {
        let a = normal(1, 4000, 10.0, 1.0);
        let shifted: Vec<f64> = a.iter().map(|value| value + 0.3).collect();
        let uneven: Vec<f64> = shifted[..2999].to_vec();
        assert!((plain(&a).wasserstein(&mut plain(&shifted)) - 0.3).abs() < 1e-12);
        assert!((plain(&a).wasserstein(&mut plain(&uneven)) - 0.3).abs() < 0.05);
        // for widths s and 2 s about the same mean: s E|z| = s sqrt(2/pi)
        let wider: Vec<f64> = a.iter().map(|value| 10.0 + 2.0 * (value - 10.0)).collect();
        let expected = a.iter().map(|value| (value - 10.0).abs()).sum::<f64>() / 4000.0;
        assert!((plain(&a).wasserstein(&mut plain(&wider)) - expected).abs() < 1e-12);
        // the merged walk agrees with the pairing of sorted draws
        let doubled: Vec<f64> = a.iter().flat_map(|&value| [value, value]).collect();
        let merged = plain(&doubled).wasserstein(&mut plain(&wider));
        assert!((merged - expected).abs() < 1e-9, "{merged} {expected}");
    }

    #[test]
    fn five_quantiles_tell_the_distance_to_a_tenth() {
        let levels = [0.025, 0.16, 0.5, 0.84, 0.975];
        let of = |values: &[f64]| levels.map(|p| plain(values).quantile(p));
        let a = normal(1, 20_000, 0.0, 1.0);
        for (mean, sd) in [(0.2, 1.0), (0.0, 1.5), (1.0, 0.5), (-0.3, 1.2)] {
            let b = normal(2, 20_000, mean, sd);
            let exact = plain(&a).wasserstein(&mut plain(&b));
            let known = wasserstein_of_quantiles(&levels, &of(&a), &of(&b));
            assert!((known / exact - 1.0).abs() < 0.1, "{mean} {sd}: {known} {exact}");
        }
    }

    #[test]
    fn correlation_has_its_sign_and_size() {
        let (x, e) = (normal(1, 20_000, 5.0, 1.0), normal(2, 20_000, 0.0, 1.0));
        let y: Vec<f64> = x.iter().zip(&e).map(|(x, e)| -0.8 * x + 0.6 * e).collect();
        assert!((correlation(&x, &y, None) + 0.8).abs() < 0.01);
        assert_eq!(correlation(&x, &x, None), 1.0);
        assert!(correlation(&x[..3], &[1.0; 3], None).is_nan());
    }
}
