//! Derived properties: star-formation rates, mass-weighted metallicity and age, surviving mass.

use super::params::Galaxy;
use super::sfh::History;
use super::{SedError, SedModel};

/// Number of derived properties.
pub const N_DERIVED: usize = 5;

/// Names of the derived properties, in the order of [`Derived::row`].
pub const DERIVED_NAMES: [&str; N_DERIVED] =
    ["log_sfr_1gyr", "log_sfr_100myr", "log_z_mw", "t_age_mw_gyr", "log_mstar_surviving"];

/// What follows from a galaxy's parameters besides its light.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Derived {
    /// log10 of the mass formed in the last 1 Gyr over 1e9 yr, Msun/yr.
    pub log_sfr_1gyr: f64,
    /// log10 of the mass formed in the last 100 Myr over 1e8 yr, Msun/yr.
    pub log_sfr_100myr: f64,
    /// log10 of the mass-weighted absolute metallicity (solar is about -1.85).
    pub log_z_mw: f64,
    /// Mass-weighted age, Gyr.
    pub t_age_mw_gyr: f64,
    /// log10 of the mass in living stars and remnants, Msun.
    pub log_mstar_surviving: f64,
}

impl Derived {
    /// In the order of [`DERIVED_NAMES`].
    pub fn row(&self) -> [f64; N_DERIVED] {
        [self.log_sfr_1gyr, self.log_sfr_100myr, self.log_z_mw, self.t_age_mw_gyr, self.log_mstar_surviving]
    }
}

impl History {
    /// Share of the formed mass that formed within `window_gyr` before the galaxy is seen: the bin
    /// that holds the window's end counts linearly, a burst inside it whole.
    pub fn formed_within(&self, window_gyr: f64) -> f64 {
        let smooth: f64 = self
            .edges_gyr
            .windows(2)
            .zip(&self.smooth)
            .map(|(t, p)| p.mass * ((window_gyr - t[0]) / (t[1] - t[0])).clamp(0.0, 1.0))
            .sum();
        smooth + self.burst.filter(|b| b.age_gyr <= window_gyr).map_or(0.0, |b| b.mass)
    }

    /// Mass-weighted absolute metallicity; a burst takes the metallicity of the bin that holds it.
    pub fn mean_metallicity(&self) -> f64 {
        let smooth: f64 = self.smooth.iter().map(|p| p.mass * p.z_abs).sum();
        smooth
            + self.burst.map_or(0.0, |burst| {
                let bin = self.edges_gyr.partition_point(|&t| t <= burst.age_gyr).saturating_sub(1);
                burst.mass * self.smooth[bin.min(self.smooth.len() - 1)].z_abs
            })
    }

    /// Mass-weighted age, Gyr.
    pub fn mean_age_gyr(&self) -> f64 {
        self.populations().map(|p| p.mass * p.age_gyr).sum()
    }
}

impl SedModel {
    /// Derived properties of one galaxy, exactly.
    pub fn derived(&self, galaxy: &Galaxy, zred: f64) -> Result<Derived, SedError> {
        self.check(galaxy, zred)?;
        let history = self.history(galaxy, zred);
        let surviving: f64 =
            history.populations().map(|p| p.mass * self.living_fraction(p.age_gyr, p.z_abs)).sum();
        Ok(Derived {
            log_sfr_1gyr: galaxy.log_mstar - 9.0 + history.formed_within(1.0).log10(),
            log_sfr_100myr: galaxy.log_mstar - 8.0 + history.formed_within(0.1).log10(),
            log_z_mw: history.mean_metallicity().log10(),
            t_age_mw_gyr: history.mean_age_gyr(),
            log_mstar_surviving: galaxy.log_mstar + surviving.log10(),
        })
    }

    /// Share of a population's formed mass that is still in living stars and remnants.
    pub fn living_fraction(&self, age_gyr: f64, z_abs: f64) -> f64 {
        let met = self.axes().metallicity(z_abs);
        let (lower, upper) =
            (self.living_fraction_of(met.lower, age_gyr), self.living_fraction_of(met.upper, age_gyr));
        lower + met.fraction * (upper - lower)
    }

    /// [`Self::living_fraction`] at one of the grid's metallicities.
    pub(super) fn living_fraction_of(&self, met: usize, age_gyr: f64) -> f64 {
        let age = self.axes().age(age_gyr);
        let n_age = self.grid().age_yr.len();
        let row = &self.grid().living_mass[met * n_age..][..n_age];
        row[age.lower] + age.fraction * (row[age.upper] - row[age.lower])
    }
}

#[cfg(test)]
mod tests {
    use super::super::params::tests::{MILKY, any_theta};
    use super::super::sfh::Bases;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_burst_counts_whole_inside_a_window_and_not_outside() {
        let bases = Bases::provabgs();
        let mut galaxy = Galaxy::from_theta(&MILKY);
        (galaxy.fburst, galaxy.tburst_gyr) = (1.0, 0.5);
        let history = History::new(&bases, &galaxy, 12.0);
        assert_eq!(history.formed_within(1.0), 1.0);
        assert_eq!(history.formed_within(0.1), 0.0);
        assert_eq!(history.mean_age_gyr(), 0.5);
    }

    proptest! {
        #[test]
        fn windows_hold_ever_more_and_the_last_holds_all(theta in any_theta(), tuniv in 1.0..13.7f64) {
            let history = History::new(&Bases::provabgs(), &Galaxy::from_theta(&theta), tuniv);
            let shares = [1e-3, 0.1, 1.0, 5.0, tuniv].map(|window| history.formed_within(window));
            prop_assert!(shares.windows(2).all(|s| s[0] <= s[1] + 1e-12));
            prop_assert!((shares[4] - 1.0).abs() < 1e-9);
            prop_assert!(history.mean_age_gyr() < tuniv);
        }
    }
}
