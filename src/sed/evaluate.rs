//! Evaluation of a [`PhotTable`]: parameters -> nanomaggies, in lanes, without allocation.

use multiversion::multiversion;
use rayon::prelude::*;

use super::bins::{Epoch, N_SLOTS, Shares};
use super::params::Theta;
use super::sfh::metallicity;
use super::table::{BLOCK, Block, Cell, N_FIXED, PhotTable};
use super::{Galaxy, SedError};
use crate::vmath;

/// Galaxies evaluated together by one thread, in order of redshift.
const CHUNK: usize = 8192;

/// Buffers of one thread.
#[derive(Debug, Clone, Default)]
pub struct Scratch {
    /// Light per lane, old and young, at both ends of the cell.
    light: [Vec<Block>; 4],
}

/// A [`PhotTable`] at one of its redshifts.
#[derive(Debug, Clone)]
pub struct OneRedshift<'a> {
    table: &'a PhotTable,
    cell: &'a Cell,
    epoch: Epoch,
    /// Place within the cell, 0 to 1.
    place: f32,
    /// Distance and redshift dimming of what is tabulated.
    dimming: f64,
    zred: f64,
}

/// Rows of a table and their coefficients: the row counts `lower`, the one after it `upper`.
struct Terms {
    n: usize,
    row: [u32; N_TERMS],
    lower: [f32; N_TERMS],
    upper: [f32; N_TERMS],
}

/// All bins, the last of which and the burst lie between two ages.
const N_TERMS: usize = N_SLOTS + 3;

impl Terms {
    #[inline(always)]
    fn new() -> Self {
        Self { n: 0, row: [0; N_TERMS], lower: [0.0; N_TERMS], upper: [0.0; N_TERMS] }
    }

    /// `age` counts fixed bins, then ages.
    #[inline(always)]
    fn push(&mut self, age: usize, met: f32, mass: f32, n_met: usize) {
        let lower = (met as usize).min(n_met - 2);
        let f = met - lower as f32;
        self.row[self.n] = (age * n_met + lower) as u32;
        self.lower[self.n] = mass * (1.0 - f);
        self.upper[self.n] = mass * f;
        self.n += 1;
    }
}

impl PhotTable {
    /// The table at one redshift of its range.
    pub fn at_redshift(&self, zred: f64) -> Result<OneRedshift<'_>, SedError> {
        let (from, to) = self.zred_range();
        if !(from..=to).contains(&zred) || zred <= 0.0 {
            return Err(SedError::OutsideTable { found: zred, from, to });
        }
        Ok(self.inside(zred))
    }

    fn inside(&self, zred: f64) -> OneRedshift<'_> {
        let cell = &self.cells[self.cell(zred)];
        let (from, to) = cell.zred;
        let place = if to > from { ((zred - from) / (to - from)).clamp(0.0, 1.0) } else { 0.0 };
        let cosmology = self.model.cosmology();
        let distance_10pc = 1e5 * cosmology.luminosity_distance_mpc(zred);
        OneRedshift {
            table: self,
            cell,
            epoch: self.bins.epoch(&self.model, cosmology.age_gyr(zred)),
            place: place as f32,
            dimming: 1.0 / (distance_10pc * distance_10pc * (1.0 + zred)),
            zred,
        }
    }

    /// Nanomaggies of one galaxy, one per band.
    ///
    /// Parameters are taken as checked, and the dust as within the range the table was made for.
    /// Errors where the redshift is outside the table.
    pub fn nanomaggies(
        &self,
        theta: &Theta,
        zred: f64,
        scratch: &mut Scratch,
        out: &mut [f64],
    ) -> Result<(), SedError> {
        self.at_redshift(zred)?.nanomaggies(theta, scratch, out);
        Ok(())
    }

    /// Nanomaggies of many galaxies on all threads; `out` is `[n][n_bands]`.
    ///
    /// Errors with the first redshift outside the table; nothing is computed then.
    pub fn nanomaggies_batch(&self, thetas: &[Theta], zred: &[f64], out: &mut [f64]) -> Result<(), SedError> {
        let (from, to) = self.zred_range();
        if let Some(&found) = zred.iter().find(|&&z| !(from..=to).contains(&z) || z <= 0.0) {
            return Err(SedError::OutsideTable { found, from, to });
        }
        let n_bands = self.n_bands();
        let chunks = thetas.par_chunks(CHUNK).zip(zred.par_chunks(CHUNK));
        chunks.zip(out.par_chunks_mut(CHUNK * n_bands.max(1))).for_each_init(
            Scratch::default,
            |scratch, ((thetas, zred), out)| {
                // In order of redshift, so that a cell stays in the cache.
                let mut order: Vec<(u32, u32)> =
                    zred.iter().zip(0..).map(|(&z, i)| (self.cell(z) as u32, i)).collect();
                order.sort_unstable();
                for (_, i) in order {
                    let i = i as usize;
                    let out = &mut out[i * n_bands..][..n_bands];
                    self.inside(zred[i]).nanomaggies(&thetas[i], scratch, out);
                }
            },
        );
        Ok(())
    }
}

impl OneRedshift<'_> {
    pub fn zred(&self) -> f64 {
        self.zred
    }

    /// Nanomaggies of one galaxy at this redshift, one per band; parameters are taken as checked.
    pub fn nanomaggies(&self, theta: &Theta, scratch: &mut Scratch, out: &mut [f64]) {
        evaluate(self, theta, scratch, out);
    }

    /// Nanomaggies of many galaxies at this redshift, on this thread; `out` is `[n][n_bands]`.
    pub fn nanomaggies_batch(&self, thetas: &[Theta], scratch: &mut Scratch, out: &mut [f64]) {
        for (theta, out) in thetas.iter().zip(out.chunks_exact_mut(self.table.n_bands().max(1))) {
            evaluate(self, theta, scratch, out);
        }
    }
}

#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl", "x86_64+avx2"))]
fn evaluate(at: &OneRedshift<'_>, theta: &Theta, scratch: &mut Scratch, out: &mut [f64]) {
    let cell = at.cell;
    let (old, young) = terms(at, theta);
    for buffer in &mut scratch.light {
        buffer.resize(cell.n_blocks, [0.0; BLOCK]);
    }
    let [old0, young0, old1, young1] = &mut scratch.light;
    light(&cell.ends[0], &old, old0);
    light(&cell.ends[0], &young, young0);
    let two_ends = cell.ends.len() == 2;
    if two_ends {
        light(&cell.ends[1], &old, old1);
        light(&cell.ends[1], &young, young1);
    }
    let [.., tau_bc, tau_ism, n_dust] = *theta;
    attenuate(cell, [tau_bc as f32, tau_ism as f32, n_dust as f32], &mut scratch.light, two_ends);
    let scale = at.dimming * (theta[0] * std::f64::consts::LN_10).exp();
    let [flux0, _, flux1, _] = scratch.light.each_ref().map(|light| light.as_flattened());
    for (out, lanes) in out.iter_mut().zip(&cell.bands) {
        let from: f32 = flux0[lanes.clone()].iter().sum();
        let flux = if two_ends {
            let to: f32 = flux1[lanes.clone()].iter().sum();
            between(from, to, at.place)
        } else {
            from.max(0.0)
        };
        *out = scale * f64::from(flux);
    }
}

/// The rows that make a galaxy's old and young light.
#[inline(always)]
fn terms(at: &OneRedshift<'_>, theta: &Theta) -> (Terms, Terms) {
    let (bins, model) = (&at.table.bins, &at.table.model);
    let n_met = model.grid().z_abs.len();
    let galaxy = Galaxy::from_theta(theta);
    let has_burst = galaxy.tburst_gyr < at.epoch.tuniv_gyr;
    let smooth = if has_burst { 1.0 - galaxy.fburst } else { 1.0 };
    let mut shares = Shares::new();
    bins.shares(&at.epoch, &galaxy.beta, galaxy.gamma.map(|g| g as f32), smooth, &mut shares);
    let (mut old, mut young) = (Terms::new(), Terms::new());
    let last = at.epoch.n_bins - 1;
    let clouds = model.birth_cloud_age_gyr();
    let fixed = bins.n_young(last, clouds);
    for k in 0..fixed {
        young.push(k, shares.met[k], shares.mass[k], n_met);
    }
    for k in fixed..last {
        old.push(k, shares.met[k], shares.mass[k], n_met);
    }
    let mut between_ages = |age_gyr: f64, met: f32, mass: f32| {
        let terms = if age_gyr < clouds { &mut young } else { &mut old };
        let age = model.axes().age(age_gyr);
        let f = age.fraction as f32;
        terms.push(N_FIXED + age.lower, met, mass * (1.0 - f), n_met);
        terms.push(N_FIXED + age.upper, met, mass * f, n_met);
    };
    between_ages(at.epoch.last_age_gyr, shares.met[last], shares.mass[last]);
    if has_burst {
        let z_abs = metallicity(&galaxy.gamma, model.bases().zh(galaxy.tburst_gyr));
        between_ages(galaxy.tburst_gyr, bins.met(z_abs), galaxy.fburst as f32);
    }
    (old, young)
}

/// Sum of a table's rows, lane by lane.
#[inline(always)]
fn light(rows: &[Block], terms: &Terms, out: &mut [Block]) {
    let n_blocks = out.len();
    let mut first = 0;
    while first < n_blocks {
        first += match n_blocks - first {
            1 => light_of_blocks::<1>(rows, n_blocks, first, terms, out),
            2 => light_of_blocks::<2>(rows, n_blocks, first, terms, out),
            3 => light_of_blocks::<3>(rows, n_blocks, first, terms, out),
            _ => light_of_blocks::<4>(rows, n_blocks, first, terms, out),
        };
    }
}

/// [`light`] of N blocks from `first` on, kept in registers; returns N.
#[inline(always)]
fn light_of_blocks<const N: usize>(
    rows: &[Block],
    n_blocks: usize,
    first: usize,
    terms: &Terms,
    out: &mut [Block],
) -> usize {
    let mut sums = [[0.0f32; BLOCK]; N];
    for k in 0..terms.n {
        let at = terms.row[k] as usize * n_blocks + first;
        let (lower, upper) = (terms.lower[k], terms.upper[k]);
        let (row, next) = (&rows[at..at + N], &rows[at + n_blocks..at + n_blocks + N]);
        for i in 0..N {
            for lane in 0..BLOCK {
                sums[i][lane] += lower * row[i][lane] + upper * next[i][lane];
            }
        }
    }
    out[first..first + N].copy_from_slice(&sums);
    N
}

/// Dims old and young light by the dust and leaves their sum in place of the old.
#[inline(always)]
fn attenuate(
    cell: &Cell,
    [tau_bc, tau_ism, n_dust]: [f32; 3],
    [old0, young0, old1, young1]: &mut [Vec<Block>; 4],
    two_ends: bool,
) {
    for (block, dust) in cell.dust.iter().enumerate() {
        let (mut diffuse, mut birth) = ([0.0; BLOCK], [0.0; BLOCK]);
        for i in 0..BLOCK {
            let depth = (dust.base[i] + n_dust * dust.slope[i]) * vmath::exp(n_dust * dust.ln_ratio[i]);
            diffuse[i] = vmath::exp(-tau_ism * depth);
            birth[i] = vmath::exp(-tau_bc * dust.clouds[i]);
        }
        old0[block] = dimmed(&old0[block], &young0[block], &diffuse, &birth);
        if two_ends {
            old1[block] = dimmed(&old1[block], &young1[block], &diffuse, &birth);
        }
    }
}

#[inline(always)]
fn dimmed(old: &Block, young: &Block, diffuse: &Block, birth: &Block) -> Block {
    let mut light = [0.0; BLOCK];
    for i in 0..BLOCK {
        light[i] = diffuse[i] * (old[i] + birth[i] * young[i]);
    }
    light
}

/// Between two fluxes in their logarithms; interpolation of fluxes near zero may leave either negative.
#[inline(always)]
fn between(from: f32, to: f32, place: f32) -> f32 {
    if from > 0.0 && to > 0.0 {
        from * vmath::exp(place * vmath::ln(to / from))
    } else {
        (from + place * (to - from)).max(0.0)
    }
}
