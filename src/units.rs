//! Conversions between the units of brightness: maggies, nanomaggies, AB magnitudes.

use crate::constants::{C_AA_PER_S, NMGY_PER_MAGGIE};

/// AB magnitude of a flux in nanomaggies (22.5 mag is 1 nmgy); infinite at zero, NaN below.
pub fn ab_from_nmgy(flux_nmgy: f64) -> f64 {
    22.5 - 2.5 * flux_nmgy.log10()
}

/// Nanomaggies of an AB magnitude.
pub fn nmgy_from_ab(ab: f64) -> f64 {
    10f64.powf(0.4 * (22.5 - ab))
}

/// Nanomaggies of a flux density at one wavelength, erg/s/cm2/Angstrom.
pub fn nmgy_from_flam(flam: f64, wave_aa: f64) -> f64 {
    NMGY_PER_MAGGIE * flam * wave_aa * wave_aa / (C_AA_PER_S * crate::constants::AB_ZERO_CGS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_nanomaggie_is_22_5_and_conversions_are_inverse() {
        assert_eq!(ab_from_nmgy(1.0), 22.5);
        for ab in [-1.0, 0.0, 17.77, 30.0] {
            assert!((ab_from_nmgy(nmgy_from_ab(ab)) - ab).abs() < 1e-12);
        }
    }

    #[test]
    fn one_maggie_at_5500_aa_is_the_published_flux_density() {
        // 3631 Jy c / lambda^2: 3.5985e-9 erg/s/cm2/A, the AB counterpart of Vega's 3.6e-9.
        assert!((nmgy_from_flam(3.598_5e-9, 5500.0) / 1e9 - 1.0).abs() < 1e-5);
    }
}
