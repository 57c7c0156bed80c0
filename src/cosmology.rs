//! Distances and ages in a flat LCDM universe with massive neutrinos.
//!
//! `H(z) / H0 = sqrt(Om (1+z)^3 + Or(z) (1+z)^4 + Ode)`; the neutrinos' share of `Or(z)` follows the
//! fitting formula of Komatsu et al. 2011 (ApJS 192, 18, eq. 26), as in astropy. Comoving distance
//! and age are integrated once, to 1e-10, on a grid in ln(1+z), and interpolated with their exact
//! derivatives (cubic Hermite, relative error below 1e-9).

use thiserror::Error;

use crate::constants::{BOLTZMANN_EV_PER_K, C_KM_PER_S, GYR_S, MPC_KM};
use crate::hash::ContentHash;

/// Largest redshift answered.
pub const ZRED_MAX: f64 = 20.0;

/// Step of the interpolation grid in ln(1+z).
const STEP: f64 = 0.004;

/// Nodes and weights of the 5-point Gauss-Legendre rule on -1..1 (Abramowitz & Stegun 25.4.30).
const GAUSS: [(f64, f64); 5] = [
    (-0.906_179_845_938_664, 0.236_926_885_056_189_1),
    (-0.538_469_310_105_683_1, 0.478_628_670_499_366_5),
    (0.0, 0.568_888_888_888_888_9),
    (0.538_469_310_105_683_1, 0.478_628_670_499_366_5),
    (0.906_179_845_938_664, 0.236_926_885_056_189_1),
];

/// What defines the universe.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FlatLcdm {
    /// Hubble constant, km/s/Mpc.
    pub h0: f64,
    /// Density of matter without neutrinos, in units of the critical one.
    pub om0: f64,
    /// Temperature of the microwave background, K.
    pub tcmb_k: f64,
    /// Effective number of neutrino species.
    pub neff: f64,
    /// Neutrino masses, eV.
    pub m_nu_ev: [f64; 3],
}

/// Planck 2013 results XVI (A&A 571, A16, table 5, last column), as astropy's `Planck13`.
pub const PLANCK13: FlatLcdm =
    FlatLcdm { h0: 67.77, om0: 0.307_12, tcmb_k: 2.7255, neff: 3.046, m_nu_ev: [0.0, 0.0, 0.06] };

#[derive(Debug, Error, PartialEq)]
#[error("redshift is {found}, expected 0 < redshift <= {ZRED_MAX}")]
pub struct RedshiftError {
    pub found: f64,
}

/// A universe with its distances and ages tabulated.
#[derive(Debug, Clone)]
pub struct Cosmology {
    params: FlatLcdm,
    knots: Vec<Knot>,
}

/// Values and derivatives with respect to s = ln(1+z) at one grid point.
#[derive(Debug, Clone, Copy)]
struct Knot {
    age_gyr: f64,
    age_slope: f64,
    comoving_mpc: f64,
    comoving_slope: f64,
}

impl FlatLcdm {
    /// Photons today in units of the critical density.
    fn photons(&self) -> f64 {
        // 4 sigma T^4 / c^3 over 3 H0^2 / (8 pi G), CODATA 2022 (sigma, G).
        const SIGMA: f64 = 5.670_374_419_184_431e-8;
        const G: f64 = 6.6743e-11;
        let c = 1e3 * C_KM_PER_S;
        let h0 = self.h0 / MPC_KM;
        let critical = 3.0 * h0 * h0 / (8.0 * std::f64::consts::PI * G);
        4.0 * SIGMA * self.tcmb_k.powi(4) / c.powi(3) / critical
    }

    /// Density of neutrinos over that of photons at scale factor `a`.
    fn neutrinos_per_photon(&self, a: f64) -> f64 {
        // (7/8) (4/11)^(4/3), and T_nu = (4/11)^(1/3) T_cmb.
        const FERMI_DIRAC: f64 = 0.227_107_317_660_239_03;
        const T_RATIO: f64 = 0.713_765_855_503_608_2;
        const K: f64 = 0.3173;
        const P: f64 = 1.83;
        const INV_P: f64 = 0.546_448_087_431_694;
        let kt = BOLTZMANN_EV_PER_K * T_RATIO * self.tcmb_k;
        let relative: f64 = self
            .m_nu_ev
            .iter()
            .map(|&m| if m > 0.0 { (1.0 + (K * m / kt * a).powf(P)).powf(INV_P) } else { 1.0 })
            .sum();
        FERMI_DIRAC * self.neff / self.m_nu_ev.len() as f64 * relative
    }

    /// H(z) / H0 at scale factor `a`.
    fn expansion(&self, a: f64) -> f64 {
        let photons = self.photons();
        let radiation = |a: f64| photons * (1.0 + self.neutrinos_per_photon(a));
        let dark = 1.0 - self.om0 - radiation(1.0);
        ((self.om0 + radiation(a) / a) / (a * a * a) + dark).sqrt()
    }
}

impl Cosmology {
    pub fn new(params: FlatLcdm) -> Self {
        let hubble_gyr = MPC_KM / params.h0 / GYR_S;
        let hubble_mpc = C_KM_PER_S / params.h0;
        let n = (ZRED_MAX.ln_1p() / STEP).ceil() as usize + 1;
        let expansion = |s: f64| params.expansion((-s).exp());
        // Age at the far end of the grid: t = 1/H0 int ds / E; before s = 30 the universe is radiation
        // only and younger than a microsecond.
        let end = (n - 1) as f64 * STEP;
        let mut age = gauss(end, 30.0, 2000, |s| 1.0 / expansion(s));
        let mut knots =
            vec![Knot { age_gyr: 0.0, age_slope: 0.0, comoving_mpc: 0.0, comoving_slope: 0.0 }; n];
        for (i, knot) in knots.iter_mut().enumerate().rev() {
            let s = i as f64 * STEP;
            if i < n - 1 {
                age += gauss(s, s + STEP, 1, |s| 1.0 / expansion(s));
            }
            knot.age_gyr = hubble_gyr * age;
            knot.age_slope = -hubble_gyr / expansion(s);
        }
        let mut comoving = 0.0;
        for (i, knot) in knots.iter_mut().enumerate() {
            let s = i as f64 * STEP;
            if i > 0 {
                comoving += gauss(s - STEP, s, 1, |s| s.exp() / expansion(s));
            }
            knot.comoving_mpc = hubble_mpc * comoving;
            knot.comoving_slope = hubble_mpc * s.exp() / expansion(s);
        }
        Self { params, knots }
    }

    /// The universe of the model, Planck 2013.
    pub fn planck13() -> Self {
        Self::new(PLANCK13)
    }

    pub fn params(&self) -> &FlatLcdm {
        &self.params
    }

    /// Age of the universe, Gyr; `zred` in 0..=[`ZRED_MAX`] (clamped).
    pub fn age_gyr(&self, zred: f64) -> f64 {
        let (a, b, t) = self.cell(zred);
        hermite(a.age_gyr, a.age_slope, b.age_gyr, b.age_slope, t)
    }

    /// Luminosity distance, Mpc; `zred` in 0..=[`ZRED_MAX`] (clamped).
    pub fn luminosity_distance_mpc(&self, zred: f64) -> f64 {
        let (a, b, t) = self.cell(zred);
        (1.0 + zred) * hermite(a.comoving_mpc, a.comoving_slope, b.comoving_mpc, b.comoving_slope, t)
    }

    /// Lookback time, Gyr.
    pub fn lookback_gyr(&self, zred: f64) -> f64 {
        self.knots[0].age_gyr - self.age_gyr(zred)
    }

    /// Refuses redshifts for which there is no distance.
    pub fn check(&self, zred: f64) -> Result<(), RedshiftError> {
        if zred > 0.0 && zred <= ZRED_MAX { Ok(()) } else { Err(RedshiftError { found: zred }) }
    }

    pub fn hash(&self) -> ContentHash {
        let FlatLcdm { h0, om0, tcmb_k, neff, m_nu_ev: [m1, m2, m3] } = self.params;
        let bytes: Vec<u8> =
            [h0, om0, tcmb_k, neff, m1, m2, m3].iter().flat_map(|x: &f64| x.to_le_bytes()).collect();
        ContentHash::of_parts([b"flat-lcdm".as_slice(), &bytes])
    }

    fn cell(&self, zred: f64) -> (&Knot, &Knot, f64) {
        let x = zred.ln_1p() / STEP;
        let i = (x as usize).min(self.knots.len() - 2);
        (&self.knots[i], &self.knots[i + 1], x - i as f64)
    }
}

/// Cubic through two values and slopes a grid step apart, at fraction `t`.
fn hermite(y0: f64, d0: f64, y1: f64, d1: f64, t: f64) -> f64 {
    let (d0, d1) = (STEP * d0, STEP * d1);
    let rise = y1 - y0;
    y0 + t * (d0 + t * (3.0 * rise - 2.0 * d0 - d1 + t * (d0 + d1 - 2.0 * rise)))
}

/// Integral of `f` over `from..to` by the 5-point Gauss rule on equal panels.
fn gauss(from: f64, to: f64, panels: usize, f: impl Fn(f64) -> f64) -> f64 {
    let half = 0.5 * (to - from) / panels as f64;
    (0..panels)
        .map(|i| {
            let middle = from + (2 * i + 1) as f64 * half;
            GAUSS.iter().map(|(x, w)| w * f(middle + half * x)).sum::<f64>() * half
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// z, age (Gyr), luminosity distance (Mpc): astropy 8.0.2 `Planck13`.
    const ASTROPY: [(f64, f64, f64); 12] = [
        (0.001, 13.781873205618666, 4.427073514140088),
        (0.0134587, 13.604003625339095, 60.14972213671253),
        (0.05, 13.100499422622358, 229.52935103939535),
        (0.1, 12.453025465217658, 475.1400199368446),
        (0.2, 11.287386766671133, 1011.0286428857837),
        (0.5, 8.604260730764306, 2917.4321154817594),
        (1.0, 5.863165023612125, 6790.316991589479),
        (1.5, 4.27833753103393, 11195.810141452726),
        (3.0, 2.1489216986541604, 26037.19380403114),
        (6.0, 0.9315508751887678, 59044.76968130894),
        (10.0, 0.4725756274679716, 106140.42537281195),
        (20.0, 0.1785477211117702, 230427.07068105895),
    ];

    #[test]
    fn ages_and_distances_agree_with_astropys_planck13() {
        let cosmology = Cosmology::planck13();
        for (zred, age, distance) in ASTROPY {
            let found = cosmology.age_gyr(zred);
            assert!((found / age - 1.0).abs() < 1e-7, "age at {zred}: {found}, astropy {age}");
            let found = cosmology.luminosity_distance_mpc(zred);
            assert!((found / distance - 1.0).abs() < 1e-7, "distance at {zred}: {found}, astropy {distance}");
        }
    }

    #[test]
    fn the_universe_is_as_old_as_planck_published() {
        // Planck 2013 XVI, table 5: 13.7965 +- 0.037 Gyr.
        assert!((Cosmology::planck13().age_gyr(0.0) - 13.7965).abs() < 1e-3);
        assert_eq!(Cosmology::planck13().luminosity_distance_mpc(0.0), 0.0);
    }

    #[test]
    fn interpolation_agrees_with_direct_integration() {
        let cosmology = Cosmology::planck13();
        let p = PLANCK13;
        for zred in [1e-4, 0.0031, 0.077, 0.4321, 2.345, 19.9] {
            let s = f64::ln_1p(zred);
            let direct = C_KM_PER_S / p.h0 * gauss(0.0, s, 400, |s| s.exp() / p.expansion((-s).exp()));
            let found = cosmology.luminosity_distance_mpc(zred) / (1.0 + zred);
            assert!((found / direct - 1.0).abs() < 1e-9, "z = {zred}: {found} against {direct}");
        }
    }

    #[test]
    fn redshifts_without_a_distance_are_refused() {
        let cosmology = Cosmology::planck13();
        assert!(cosmology.check(0.1).is_ok() && cosmology.check(ZRED_MAX).is_ok());
        for bad in [0.0, -0.1, f64::NAN, 20.5] {
            assert!(cosmology.check(bad).is_err());
        }
    }
}
