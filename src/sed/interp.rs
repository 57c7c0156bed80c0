//! Where a population lies on the SSP grid: linear in log age and log metallicity.

/// The grid's two axes, in logarithms.
#[derive(Debug, Clone)]
pub struct Axes {
    /// Index of the youngest tabulated age above 0.
    first_age: usize,
    /// ln of the ages from there on, yr.
    ln_age_yr: Vec<f64>,
    /// ln of the absolute metallicities.
    ln_z: Vec<f64>,
}

/// Two neighbours on an axis and the weight of the upper one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Between {
    pub lower: usize,
    pub upper: usize,
    /// 0 at `lower`, 1 at `upper`.
    pub fraction: f64,
}

impl Axes {
    /// Axes of a grid: ages in yr, ascending, at least one above 0; absolute metallicities, ascending.
    pub fn new(age_yr: &[f64], z_abs: &[f64]) -> Self {
        let first_age = age_yr.partition_point(|&age| age <= 0.0);
        Self {
            first_age,
            ln_age_yr: age_yr[first_age..].iter().map(|age| age.ln()).collect(),
            ln_z: z_abs.iter().map(|z| z.ln()).collect(),
        }
    }

    /// Neighbours in age; the youngest and oldest stand for all beyond them.
    pub fn age(&self, age_gyr: f64) -> Between {
        let between = neighbours(&self.ln_age_yr, (1e9 * age_gyr).ln());
        Between { lower: between.lower + self.first_age, upper: between.upper + self.first_age, ..between }
    }

    /// Neighbours in metallicity, clipped to the grid.
    pub fn metallicity(&self, z_abs: f64) -> Between {
        neighbours(&self.ln_z, z_abs.ln())
    }

    pub fn ln_z(&self) -> &[f64] {
        &self.ln_z
    }
}

fn neighbours(axis: &[f64], x: f64) -> Between {
    let last = axis.len() - 1;
    let upper = axis.partition_point(|&a| a <= x).clamp(1.min(last), last);
    let lower = upper.saturating_sub(1);
    let width = axis[upper] - axis[lower];
    let fraction = if width > 0.0 { ((x - axis[lower]) / width).clamp(0.0, 1.0) } else { 0.0 };
    Between { lower, upper, fraction }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn populations_lie_between_their_neighbours_and_are_clipped_at_the_ends() {
        let axes = Axes::new(&[0.0, 1e6, 1e7, 1e9], &[0.001, 0.02]);
        assert_eq!(axes.age(0.01), Between { lower: 2, upper: 3, fraction: 0.0 });
        let middle = axes.age(1e-3 * 10f64.sqrt());
        assert_eq!((middle.lower, middle.upper), (1, 2));
        assert!((middle.fraction - 0.5).abs() < 1e-12);
        assert_eq!(axes.age(1e-9), Between { lower: 1, upper: 2, fraction: 0.0 });
        assert_eq!(axes.age(0.0), Between { lower: 1, upper: 2, fraction: 0.0 });
        assert_eq!(axes.age(20.0), Between { lower: 2, upper: 3, fraction: 1.0 });
        assert_eq!(axes.metallicity(0.05).fraction, 1.0);
    }

    #[test]
    fn one_metallicity_is_a_grid_too() {
        let axes = Axes::new(&[1e6], &[0.02]);
        assert_eq!(axes.metallicity(0.01), Between { lower: 0, upper: 0, fraction: 0.0 });
        assert_eq!(axes.age(1.0), Between { lower: 0, upper: 0, fraction: 0.0 });
    }
}
