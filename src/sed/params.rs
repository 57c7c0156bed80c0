//! The twelve parameters of a galaxy: their order, their meaning, their check.

use thiserror::Error;

/// Parameters of a galaxy, in the order of every row, table and file.
pub const N_PARAM: usize = 12;

/// Names of the parameters, in order.
pub const PARAM_NAMES: [&str; N_PARAM] = [
    "log_mstar",
    "beta1",
    "beta2",
    "beta3",
    "beta4",
    "fburst",
    "tburst",
    "log_gamma1",
    "log_gamma2",
    "tau_bc",
    "tau_ism",
    "n_dust",
];

/// One galaxy's parameters in the order of [`PARAM_NAMES`].
pub type Theta = [f64; N_PARAM];

/// How far the four SFH weights may be from summing to 1: tables are often rounded to 3 digits.
const BETA_SUM_TOLERANCE: f64 = 2e-3;

/// A galaxy's parameters by name; see the table in the README.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Galaxy {
    /// log10 of the stellar mass formed, Msun.
    pub log_mstar: f64,
    /// Weights of the four SFH bases, sum 1.
    pub beta: [f64; 4],
    /// Fraction of the mass formed in the burst.
    pub fburst: f64,
    /// Lookback time of the burst, Gyr.
    pub tburst_gyr: f64,
    /// Weights of the two metallicity-history bases (linear, absolute Z).
    pub gamma: [f64; 2],
    /// Optical depth of the birth clouds at 5500 A.
    pub tau_bc: f64,
    /// Optical depth of the diffuse medium at 5500 A.
    pub tau_ism: f64,
    /// Slope offset of the diffuse attenuation curve.
    pub n_dust: f64,
}

/// A parameter outside its meaning.
#[derive(Debug, Error, Clone, PartialEq)]
#[error("{name} is {found}, expected {expected}")]
pub struct ParamError {
    pub name: &'static str,
    pub found: f64,
    pub expected: &'static str,
}

impl Galaxy {
    pub fn from_theta(theta: &Theta) -> Self {
        let &[log_mstar, b1, b2, b3, b4, fburst, tburst_gyr, log_gamma1, log_gamma2, tau_bc, tau_ism, n_dust] =
            theta;
        Self {
            log_mstar,
            beta: [b1, b2, b3, b4],
            fburst,
            tburst_gyr,
            gamma: [10f64.powf(log_gamma1), 10f64.powf(log_gamma2)],
            tau_bc,
            tau_ism,
            n_dust,
        }
    }

    pub fn theta(&self) -> Theta {
        let [b1, b2, b3, b4] = self.beta;
        let [g1, g2] = self.gamma.map(f64::log10);
        let &Self { log_mstar, fburst, tburst_gyr, tau_bc, tau_ism, n_dust, .. } = self;
        [log_mstar, b1, b2, b3, b4, fburst, tburst_gyr, g1, g2, tau_bc, tau_ism, n_dust]
    }

    /// Errors with the first parameter that has no meaning.
    pub fn check(&self) -> Result<(), ParamError> {
        let require = |ok: bool, name, found, expected| {
            if ok { Ok(()) } else { Err(ParamError { name, found, expected }) }
        };
        let not_negative = "a finite number, 0 or more";
        let is_depth = |x: f64| x >= 0.0 && x.is_finite();
        require(
            self.log_mstar.abs() <= 30.0,
            "log_mstar",
            self.log_mstar,
            "log10 of solar masses, -30 to 30",
        )?;
        for (&beta, name) in self.beta.iter().zip(&PARAM_NAMES[1..5]) {
            require((0.0..=1.0 + BETA_SUM_TOLERANCE).contains(&beta), name, beta, "a weight, 0 to 1")?;
        }
        let sum: f64 = self.beta.iter().sum();
        require((sum - 1.0).abs() <= BETA_SUM_TOLERANCE, "beta1 + beta2 + beta3 + beta4", sum, "1")?;
        require((0.0..=1.0).contains(&self.fburst), "fburst", self.fburst, "a fraction, 0 to 1")?;
        require(is_depth(self.tburst_gyr), "tburst", self.tburst_gyr, "a lookback time in Gyr, 0 or more")?;
        for (&gamma, name) in self.gamma.iter().zip(["gamma1", "gamma2"]) {
            require(is_depth(gamma), name, gamma, not_negative)?;
        }
        require(is_depth(self.tau_bc), "tau_bc", self.tau_bc, not_negative)?;
        require(is_depth(self.tau_ism), "tau_ism", self.tau_ism, not_negative)?;
        require(self.n_dust.abs() <= 20.0, "n_dust", self.n_dust, "a slope, -20 to 20")
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A plain galaxy within the prior.
    pub(crate) const MILKY: Theta = [10.5, 0.2, 0.3, 0.4, 0.1, 0.1, 5.0, -2.5, -2.2, 1.0, 0.5, -0.7];

    /// The default prior of the model.
    pub(crate) fn any_theta() -> impl Strategy<Value = Theta> {
        let gamma = 4.5e-5f64.log10()..1.5e-2f64.log10();
        (
            7.0..12.5f64,
            [1e-6..1.0f64, 1e-6..1.0, 1e-6..1.0, 1e-6..1.0],
            0.0..1.0f64,
            0.01..13.27f64,
            [gamma.clone(), gamma],
            [0.0..3.0f64, 0.0..3.0],
            -2.0..1.0f64,
        )
            .prop_map(|(mass, stick, fburst, tburst, gamma, tau, n)| {
                // Exponential spacings make a flat Dirichlet.
                let e = stick.map(|u| -u.ln() + 1e-12);
                let sum: f64 = e.iter().sum();
                let [b1, b2, b3, b4] = e.map(|x| x / sum);
                [mass, b1, b2, b3, b4, fburst, tburst, gamma[0], gamma[1], tau[0], tau[1], n]
            })
    }

    #[test]
    fn every_parameter_outside_its_meaning_is_named() {
        let bad = [
            (0, f64::NAN, "log_mstar"),
            (1, -0.1, "beta1"),
            (2, 0.5, "beta1 + beta2 + beta3 + beta4"),
            (5, 1.5, "fburst"),
            (6, -1.0, "tburst"),
            (7, f64::NAN, "gamma1"),
            (8, f64::INFINITY, "gamma2"),
            (9, -0.5, "tau_bc"),
            (10, f64::INFINITY, "tau_ism"),
            (11, f64::NAN, "n_dust"),
        ];
        assert!(Galaxy::from_theta(&MILKY).check().is_ok());
        for (index, value, name) in bad {
            let mut theta = MILKY;
            theta[index] = value;
            assert_eq!(Galaxy::from_theta(&theta).check().unwrap_err().name, name);
        }
    }

    proptest! {
        #[test]
        fn a_row_and_a_galaxy_are_the_same_thing(theta in any_theta()) {
            let galaxy = Galaxy::from_theta(&theta);
            prop_assert!(galaxy.check().is_ok());
            for (a, b) in galaxy.theta().iter().zip(theta) {
                prop_assert!((a - b).abs() < 1e-12);
            }
        }
    }
}
