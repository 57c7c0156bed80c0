//! Derived properties of many galaxies at one redshift: what the SFH bases form is summed beforehand.
//!
//! Star-formation rates and mean age are ratios of sums linear in the SFH weights; metallicity and
//! surviving mass need the bins, which go through in lanes.

use multiversion::multiversion;

use super::bins::{Bins, Epoch, N_SLOTS, Shares};
use super::derived::N_DERIVED;
use super::params::Theta;
use super::sfh::metallicity;
use super::table::N_FIXED;
use super::{Galaxy, SedError, SedModel};

/// Makes [`DerivedAt`] at any redshift.
#[derive(Debug, Clone)]
pub struct DerivedTable {
    model: SedModel,
    bins: Bins,
    /// Living fraction of the fixed bins, `[met][bin]`.
    living: Vec<[f32; N_SLOTS]>,
}

/// Derived properties at one redshift.
#[derive(Debug, Clone)]
pub struct DerivedAt<'a> {
    table: &'a DerivedTable,
    epoch: Epoch,
    /// Mass each SFH basis forms within 1 Gyr, within 100 Myr, and mass times age.
    within_1gyr: [f64; 4],
    within_100myr: [f64; 4],
    mass_age: [f64; 4],
    /// Living fraction at the lowest metallicity, and its change from each to the next, by bin.
    living: [f32; N_SLOTS],
    living_steps: Vec<[f32; N_SLOTS]>,
}

impl DerivedTable {
    pub fn new(model: &SedModel) -> Self {
        let bins = Bins::new(model);
        let living = (0..model.grid().z_abs.len())
            .map(|met| {
                let mut slots = [0.0; N_SLOTS];
                for (slot, &age_gyr) in slots.iter_mut().zip(bins.middles_gyr()) {
                    *slot = model.living_fraction_of(met, age_gyr) as f32;
                }
                slots
            })
            .collect();
        Self { model: model.clone(), bins, living }
    }

    pub fn model(&self) -> &SedModel {
        &self.model
    }

    /// Errors where there is no such redshift.
    pub fn at_redshift(&self, zred: f64) -> Result<DerivedAt<'_>, SedError> {
        self.model.cosmology().check(zred)?;
        let epoch = self.bins.epoch(&self.model, self.model.cosmology().age_gyr(zred));
        let last = epoch.n_bins - 1;
        let mut living = self.living.clone();
        for (met, slots) in living.iter_mut().enumerate() {
            slots[last] = self.model.living_fraction_of(met, epoch.last_age_gyr) as f32;
        }
        let steps = living.windows(2).map(|pair| std::array::from_fn(|k| pair[1][k] - pair[0][k])).collect();
        Ok(DerivedAt {
            table: self,
            within_1gyr: epoch.formed_within(&self.bins, &self.model, 1.0),
            within_100myr: epoch.formed_within(&self.bins, &self.model, 0.1),
            mass_age: epoch.mass_age(&self.bins),
            living: living[0],
            living_steps: steps,
            epoch,
        })
    }
}

impl DerivedAt<'_> {
    /// One galaxy's [`super::DERIVED_NAMES`]; parameters are taken as checked.
    pub fn row(&self, theta: &Theta) -> [f64; N_DERIVED] {
        row(self, theta)
    }

    /// Rows of many galaxies, on this thread.
    pub fn rows(&self, thetas: &[Theta], out: &mut [[f64; N_DERIVED]]) {
        for (theta, out) in thetas.iter().zip(out) {
            *out = row(self, theta);
        }
    }
}

#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl", "x86_64+avx2"))]
fn row(at: &DerivedAt<'_>, theta: &Theta) -> [f64; N_DERIVED] {
    let (bins, model) = (&at.table.bins, &at.table.model);
    let galaxy = Galaxy::from_theta(theta);
    let has_burst = galaxy.tburst_gyr < at.epoch.tuniv_gyr;
    let fburst = if has_burst { galaxy.fburst } else { 0.0 };
    let mut shares = Shares::new();
    bins.shares(&at.epoch, &galaxy.beta, galaxy.gamma.map(|g| g as f32), 1.0 - fburst, &mut shares);
    let total = weighted(at.epoch.total(), &galaxy.beta);
    let scale = if total > 0.0 { (1.0 - fburst) / total } else { 0.0 };
    let within = |formed: &[f64; 4], window_gyr: f64| {
        let burst = if galaxy.tburst_gyr <= window_gyr { fburst } else { 0.0 };
        scale * weighted(formed, &galaxy.beta) + burst
    };
    let (mut metals, mut surviving) = sums(at, &shares);
    if has_burst {
        metals += fburst * f64::from(shares.z_abs[bins.bin(&at.epoch, galaxy.tburst_gyr)]);
        let z_abs = metallicity(&galaxy.gamma, model.bases().zh(galaxy.tburst_gyr));
        surviving += fburst * model.living_fraction(galaxy.tburst_gyr, z_abs);
    }
    [
        galaxy.log_mstar - 9.0 + within(&at.within_1gyr, 1.0).log10(),
        galaxy.log_mstar - 8.0 + within(&at.within_100myr, 0.1).log10(),
        metals.log10(),
        scale * weighted(&at.mass_age, &galaxy.beta) + fburst * galaxy.tburst_gyr,
        galaxy.log_mstar + surviving.log10(),
    ]
}

/// Mass-weighted metallicity and living mass of the bins.
#[inline(always)]
fn sums(at: &DerivedAt<'_>, shares: &Shares) -> (f64, f64) {
    const LANES: usize = 16;
    let (mut metals, mut surviving) = ([0.0f32; LANES], [0.0f32; LANES]);
    for block in 0..N_SLOTS / LANES {
        let from = block * LANES;
        let mut living = [0.0f32; LANES];
        living.copy_from_slice(&at.living[from..from + LANES]);
        for (met, steps) in at.living_steps.iter().enumerate() {
            for i in 0..LANES {
                living[i] += (shares.met[from + i] - met as f32).clamp(0.0, 1.0) * steps[from + i];
            }
        }
        for i in 0..LANES {
            metals[i] += shares.mass[from + i] * shares.z_abs[from + i];
            surviving[i] += shares.mass[from + i] * living[i];
        }
    }
    (metals.iter().map(|&x| f64::from(x)).sum(), surviving.iter().map(|&x| f64::from(x)).sum())
}

fn weighted(formed: &[f64; 4], beta: &[f64; 4]) -> f64 {
    formed.iter().zip(beta).map(|(f, b)| f * b).sum()
}

const _: () = assert!(N_FIXED < N_SLOTS);
