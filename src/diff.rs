//! How much a galaxy's posterior differs from another of it, and what many such differences amount to.
//!
//! A shift is the difference of medians over sigma, the root mean square of the two standard deviations:
//! 1 means that the posterior moved by its own width. The distance is the first Wasserstein distance,
//! also over sigma where it says so; unlike the shift it sees changes of width and shape.

/// The difference of two posteriors in one parameter; NaN where one of them is not known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Change {
    /// (median of b - median of a) / sigma.
    pub shift_sigma: f32,
    /// First Wasserstein distance, in the parameter's unit.
    pub distance: f32,
    /// The same over sigma.
    pub distance_sigma: f32,
    /// Standard deviation of b over that of a.
    pub width_ratio: f32,
}

impl Change {
    /// From medians, standard deviations and the distance.
    pub fn new(median: [f64; 2], sd: [f64; 2], distance: f64) -> Self {
        let sigma = (0.5 * (sd[0] * sd[0] + sd[1] * sd[1])).sqrt();
        // a parameter that the prior fixes has no width and does not move
        let over = |value: f64| if value == 0.0 { 0.0 } else { value / sigma };
        Self {
            shift_sigma: over(median[1] - median[0]) as f32,
            distance: distance as f32,
            distance_sigma: over(distance) as f32,
            width_ratio: if sd[0] == sd[1] { 1.0 } else { (sd[1] / sd[0]) as f32 },
        }
    }

    pub const UNKNOWN: Change =
        Change { shift_sigma: f32::NAN, distance: f32::NAN, distance_sigma: f32::NAN, width_ratio: f32::NAN };
}

/// The place and change of the parameter that changed most, by distance; `None` where none is known.
pub fn worst(changes: &[Change]) -> Option<(usize, Change)> {
    let known = changes.iter().copied().enumerate().filter(|(_, change)| !change.distance_sigma.is_nan());
    known.max_by(|a, b| a.1.distance_sigma.total_cmp(&b.1.distance_sigma))
}

/// Quantiles of one number over many galaxies; NaN of none.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    pub q025: f32,
    pub q16: f32,
    pub q50: f32,
    pub q84: f32,
    pub q975: f32,
}

impl Spread {
    pub fn of(values: impl Iterator<Item = f32>) -> Self {
        let mut values: Vec<f32> = values.filter(|value| !value.is_nan()).collect();
        values.sort_unstable_by(f32::total_cmp);
        let at = |p: f64| match values.len() {
            0 => f32::NAN,
            n => {
                let place = p * (n - 1) as f64;
                let (low, high) = (values[place as usize], values[(place as usize + 1).min(n - 1)]);
                low + place.fract() as f32 * (high - low)
            }
        };
        Self { q025: at(0.025), q16: at(0.16), q50: at(0.5), q84: at(0.84), q975: at(0.975) }
    }
}

/// What changed in one parameter over all galaxies that both sets answer.
#[derive(Debug, Clone, PartialEq)]
pub struct ParameterChange {
    pub name: String,
    pub shift_sigma: Spread,
    pub distance: Spread,
    pub distance_sigma: Spread,
    pub width_ratio: Spread,
    /// Galaxies whose shift is more than one sigma.
    pub beyond_one_sigma: u64,
}

impl ParameterChange {
    /// `changes` of one parameter, one for each galaxy.
    pub fn of(name: &str, changes: impl Iterator<Item = Change> + Clone) -> Self {
        Self {
            name: name.to_owned(),
            shift_sigma: Spread::of(changes.clone().map(|change| change.shift_sigma)),
            distance: Spread::of(changes.clone().map(|change| change.distance)),
            distance_sigma: Spread::of(changes.clone().map(|change| change.distance_sigma)),
            width_ratio: Spread::of(changes.clone().map(|change| change.width_ratio)),
            beyond_one_sigma: changes.filter(|change| change.shift_sigma.abs() > 1.0).count() as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shift_is_in_units_of_the_mean_width_and_a_fixed_parameter_does_not_move() {
        let change = Change::new([10.0, 10.5], [0.3, 0.4], 0.6);
        let sigma = (0.5_f64 * (0.09 + 0.16)).sqrt();
        assert!((f64::from(change.shift_sigma) - 0.5 / sigma).abs() < 1e-6);
        assert!((f64::from(change.distance_sigma) - 0.6 / sigma).abs() < 1e-6);
        assert!((change.width_ratio - 4.0 / 3.0).abs() < 1e-6);
        let fixed = Change::new([2.0, 2.0], [0.0, 0.0], 0.0);
        assert_eq!((fixed.shift_sigma, fixed.distance_sigma, fixed.width_ratio), (0.0, 0.0, 1.0));
        assert!(Change::new([2.0, 3.0], [0.0, 0.0], 1.0).shift_sigma.is_infinite());
    }

    #[test]
    fn the_worst_is_the_largest_distance_that_is_known() {
        let change = |distance_sigma| Change { distance_sigma, ..Change::UNKNOWN };
        let changes = [change(0.1), Change::UNKNOWN, change(0.7), change(0.3)];
        assert_eq!(worst(&changes).map(|(place, _)| place), Some(2));
        assert!(worst(&[Change::UNKNOWN]).is_none());
    }

    #[test]
    fn spreads_pass_over_what_is_not_known() {
        let spread = Spread::of((0..=1000).map(|i| i as f32).chain([f32::NAN]));
        assert_eq!(spread, Spread { q025: 25.0, q16: 160.0, q50: 500.0, q84: 840.0, q975: 975.0 });
        assert!(Spread::of(std::iter::empty()).q50.is_nan());
        let changes = [0.5, -1.5, 2.0].map(|shift_sigma| Change { shift_sigma, ..Change::UNKNOWN });
        assert_eq!(ParameterChange::of("x", changes.into_iter()).beyond_one_sigma, 2);
    }
}
