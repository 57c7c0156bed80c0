//! Attenuation: a Calzetti-like curve of free slope with a 2175 A bump, and birth clouds.
//!
//! Every population is dimmed by `exp(-tau_ism k)`,
//! `k = [calzetti(lambda) + D(lambda) / 4.05] (lambda / 5500 A)^n` (Calzetti et al. 2000; Kriek & Conroy
//! 2013, where D is a Drude profile whose amplitude follows the slope); those younger than the birth
//! clouds also by `exp(-tau_bc (lambda / 5500 A)^-1)` (Charlot & Fall 2000).

/// Where optical depths are stated, Angstrom.
pub const WAVE_REF_AA: f64 = 5500.0;

const R_V: f64 = 4.05;
const BUMP_AA: f64 = 2175.0;
const BUMP_WIDTH_AA: f64 = 350.0;

/// The diffuse curve at one wavelength with the slope left open:
/// `k = (base + n slope) exp(n ln_ratio)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DiffuseTerms {
    /// Calzetti's curve plus the bump of slope 0.
    pub base: f64,
    /// Change of the bump with the slope.
    pub slope: f64,
    /// ln(lambda / 5500 A).
    pub ln_ratio: f64,
}

impl DiffuseTerms {
    pub fn at(wave_aa: f64) -> Self {
        let bump = {
            let width = wave_aa * BUMP_WIDTH_AA;
            let offset = wave_aa * wave_aa - BUMP_AA * BUMP_AA;
            width * width / (offset * offset + width * width)
        };
        Self {
            base: calzetti(wave_aa) + 0.85 * bump / R_V,
            slope: -1.9 * bump / R_V,
            ln_ratio: (wave_aa / WAVE_REF_AA).ln(),
        }
    }

    /// Optical depth of the diffuse medium over tau_ism.
    pub fn depth(&self, n_dust: f64) -> f64 {
        (self.base + n_dust * self.slope) * (n_dust * self.ln_ratio).exp()
    }
}

/// Optical depth of the birth clouds over tau_bc.
pub fn birth_cloud_depth(wave_aa: f64) -> f64 {
    WAVE_REF_AA / wave_aa
}

/// Calzetti et al. 2000 over A_V, in the form of the public model: about 1 at 5500 A, a step of 0.6 %
/// at 6300 A where its two pieces meet, 0 redward of 3.1 micron.
pub fn calzetti(wave_aa: f64) -> f64 {
    let x = wave_aa * 1e-4;
    if x >= 0.63 {
        // Falls monotonically: zero from its first zero on.
        ((1.17 * (-1.857 + 1.04 / x) + 1.78) / (0.44 * R_V)).max(0.0)
    } else {
        let k = 1.17 * (-2.156 + 1.509 / x - 0.198 / (x * x) + 0.011 / (x * x * x)) + 1.78;
        k / (0.44 * R_V)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_curve_is_about_1_at_5500_angstrom_whatever_the_slope() {
        assert!((calzetti(5500.0) - 1.0).abs() < 5e-3);
        for n in [-2.0, 0.0, 1.0] {
            let k = DiffuseTerms::at(WAVE_REF_AA).depth(n);
            assert!((k - 1.0).abs() < 0.03, "n = {n}: {k}");
        }
        assert_eq!(birth_cloud_depth(WAVE_REF_AA), 1.0);
    }

    #[test]
    fn the_curve_is_zero_from_its_first_zero_on() {
        // 1.17 (-1.857 + 1.04 / x) + 1.78 = 0 at x = 3.099 micron.
        let zero = 1.04 / (1.857 - 1.78 / 1.17) * 1e4;
        assert!(calzetti(zero - 10.0) > 0.0);
        assert_eq!(calzetti(zero + 10.0), 0.0);
        assert_eq!(calzetti(1e6), 0.0);
    }

    #[test]
    fn the_bump_has_the_amplitude_of_kriek_and_conroy() {
        for n in [-1.0, 0.0, 0.4] {
            let with = DiffuseTerms::at(2175.0).depth(n);
            let without = calzetti(2175.0) * (2175.0 / 5500.0f64).powf(n);
            let amplitude = 0.85 - 1.9 * n;
            let expected = amplitude / 4.05 * (2175.0 / 5500.0f64).powf(n);
            assert!((with - without - expected).abs() < 1e-12);
        }
    }

    #[test]
    fn the_step_at_6300_angstrom_is_the_public_models() {
        let step = calzetti(6300.0) - calzetti(6299.999);
        assert!((step - 0.0061).abs() < 3e-4, "{step}");
    }
}
