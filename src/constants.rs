//! Physical constants: value, unit and source in one place.

/// Speed of light, Angstrom/s (exact in the SI).
pub const C_AA_PER_S: f64 = 2.997_924_58e18;

/// Speed of light, km/s (exact in the SI).
pub const C_KM_PER_S: f64 = 299_792.458;

/// AB zero point: 1 maggie, erg/s/cm2/Hz (3631 Jy; Oke & Gunn 1983).
pub const AB_ZERO_CGS: f64 = 3631e-23;

/// Nanomaggies per maggie.
pub const NMGY_PER_MAGGIE: f64 = 1e9;

/// Nanojansky per nanomaggie (AB: 1 maggie is 3631 Jy).
pub const NJY_PER_NMGY: f64 = 3631.0;

/// Parsec, cm (IAU 2015 resolution B2: 648000/pi astronomical units).
pub const PC_CM: f64 = 3.085_677_581_491_367_3e18;

/// Megaparsec, cm.
pub const MPC_CM: f64 = 1e6 * PC_CM;

/// Gigayear, s (Julian years of 31,557,600 s).
pub const GYR_S: f64 = 3.155_76e16;

/// Megaparsec, km.
pub const MPC_KM: f64 = 1e-5 * MPC_CM;

/// Boltzmann's constant, eV/K (exact in the SI of 2019).
pub const BOLTZMANN_EV_PER_K: f64 = 8.617_333_262_145_179e-5;

/// Solar luminosity of the Bruzual & Charlot and FSPS grids, erg/s; a grid states its own.
pub const LSUN_BC03_ERG_PER_S: f64 = 3.846e33;
