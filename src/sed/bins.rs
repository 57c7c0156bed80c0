//! Star-formation histories in f32 and in lanes: the bins of all galaxies seen at one redshift.
//!
//! Between galaxies of one redshift only the SFH weights and the metallicity weights differ, so a bin's
//! mass is four products and its metallicity two. Slots are lanes: all loops over them vectorise.

use super::SedModel;
use super::sfh::{N_EDGES, Z_ABS_RANGE, edge_gyr};
use crate::vmath;

/// Lanes for the bins: [`N_EDGES`] at most are in use.
pub const N_SLOTS: usize = 48;

type Slots = [f32; N_SLOTS];

/// The bins before the age of the universe cuts them.
#[derive(Debug, Clone)]
pub struct Bins {
    edges_gyr: [f64; N_EDGES],
    /// Middles of the bins, Gyr.
    middles_gyr: [f64; N_EDGES - 1],
    whole: Epoch,
    /// Logarithms of the grid's metallicities and the inverse widths between them, `[n_met - 1]`.
    ln_z: Vec<f32>,
    per_width: Vec<f32>,
}

/// The bins at one age of the universe.
#[derive(Debug, Clone)]
pub struct Epoch {
    /// Age of the universe, Gyr.
    pub tuniv_gyr: f64,
    /// Bins in use; the last of them ends at the age of the universe.
    pub n_bins: usize,
    /// Mass each SFH basis forms in each bin, zero where unused.
    formed: [Slots; 4],
    /// Metallicity-history bases at the bins' middles.
    zh: [Slots; 2],
    /// Middle of the last bin, Gyr.
    pub last_age_gyr: f64,
    /// Mass each SFH basis forms in all bins.
    total: [f64; 4],
}

/// One galaxy's bins.
#[derive(Debug, Clone)]
pub struct Shares {
    /// Share of the formed mass.
    pub mass: Slots,
    /// Absolute metallicity.
    pub z_abs: Slots,
    /// Place on the grid's metallicity axis: 1.5 is half-way (in log) between its second and third.
    pub met: Slots,
}

impl Shares {
    pub fn new() -> Self {
        Self { mass: [0.0; N_SLOTS], z_abs: [0.0; N_SLOTS], met: [0.0; N_SLOTS] }
    }
}

impl Bins {
    pub fn new(model: &SedModel) -> Self {
        let bases = model.bases();
        let edges_gyr: [f64; N_EDGES] = std::array::from_fn(edge_gyr);
        let mut whole = Epoch {
            tuniv_gyr: edges_gyr[N_EDGES - 1],
            n_bins: N_EDGES - 1,
            formed: [[0.0; N_SLOTS]; 4],
            zh: [[0.0; N_SLOTS]; 2],
            last_age_gyr: 0.0,
            total: bases.formed(edges_gyr[N_EDGES - 1]),
        };
        for k in 0..N_EDGES - 1 {
            whole.set(k, model, edges_gyr[k], edges_gyr[k + 1]);
        }
        let ln_z = model.axes().ln_z();
        Self {
            edges_gyr,
            middles_gyr: std::array::from_fn(|k| 0.5 * (edges_gyr[k] + edges_gyr[k + 1])),
            whole,
            ln_z: ln_z.iter().map(|&z| z as f32).collect(),
            per_width: ln_z.windows(2).map(|z| (1.0 / (z[1] - z[0])) as f32).collect(),
        }
    }

    /// The bins of a universe of age `tuniv_gyr`.
    pub fn epoch(&self, model: &SedModel, tuniv_gyr: f64) -> Epoch {
        let mut epoch = self.whole.clone();
        let last = self.edges_gyr.partition_point(|&t| t < tuniv_gyr).max(1) - 1;
        epoch.tuniv_gyr = tuniv_gyr;
        epoch.n_bins = last + 1;
        epoch.total = model.bases().formed(tuniv_gyr);
        epoch.set(last, model, self.edges_gyr[last], tuniv_gyr);
        for slots in &mut epoch.formed {
            slots[last + 1..].fill(0.0);
        }
        epoch
    }

    /// The bin that holds a lookback time below the age of the universe.
    pub fn bin(&self, epoch: &Epoch, lookback_gyr: f64) -> usize {
        let below = self.edges_gyr.partition_point(|&t| t <= lookback_gyr);
        below.clamp(1, epoch.n_bins) - 1
    }

    /// Middles of the bins before the age of the universe cuts them, Gyr.
    pub fn middles_gyr(&self) -> &[f64] {
        &self.middles_gyr
    }

    /// How many of the first `n` bins lie, by their middles, within their birth clouds.
    pub fn n_young(&self, n: usize, birth_cloud_age_gyr: f64) -> usize {
        self.middles_gyr[..n].partition_point(|&age| age < birth_cloud_age_gyr)
    }

    /// Place of a metallicity on the grid's axis.
    pub fn met(&self, z_abs: f64) -> f32 {
        let mut met = [0.0];
        self.place(&[vmath::ln(z_abs as f32)], &mut met);
        met[0]
    }

    #[inline(always)]
    fn place(&self, ln_z: &[f32], met: &mut [f32]) {
        met.fill(0.0);
        for (from, per_width) in self.ln_z.iter().zip(&self.per_width) {
            for (met, ln_z) in met.iter_mut().zip(ln_z) {
                *met += ((ln_z - from) * per_width).clamp(0.0, 1.0);
            }
        }
    }

    /// Masses and metallicities of the bins of one galaxy.
    ///
    /// `smooth` is the share of the mass formed outside the burst.
    #[inline(always)]
    pub fn shares(&self, epoch: &Epoch, beta: &[f64], gamma: [f32; 2], smooth: f64, shares: &mut Shares) {
        let total: f64 = epoch.total.iter().zip(beta).map(|(t, b)| t * b).sum();
        let scale = if total > 0.0 { smooth / total } else { 0.0 };
        let beta: [f32; 4] = std::array::from_fn(|i| (beta[i] * scale) as f32);
        let (z_lo, z_hi) = (Z_ABS_RANGE.0 as f32, Z_ABS_RANGE.1 as f32);
        let [f0, f1, f2, f3] = &epoch.formed;
        let [zh0, zh1] = &epoch.zh;
        let mut ln_z = [0.0; N_SLOTS];
        for k in 0..N_SLOTS {
            shares.mass[k] = (beta[0] * f0[k] + beta[1] * f1[k]) + (beta[2] * f2[k] + beta[3] * f3[k]);
            shares.z_abs[k] = (gamma[0] * zh0[k] + gamma[1] * zh1[k]).clamp(z_lo, z_hi);
            ln_z[k] = vmath::ln(shares.z_abs[k]);
        }
        self.place(&ln_z, &mut shares.met);
    }
}

impl Epoch {
    fn set(&mut self, k: usize, model: &SedModel, from_gyr: f64, to_gyr: f64) {
        let bases = model.bases();
        let (before, after) = (bases.formed(from_gyr), bases.formed(to_gyr));
        let age_gyr = 0.5 * (from_gyr + to_gyr);
        let zh = bases.zh(age_gyr);
        for (i, slots) in self.formed.iter_mut().enumerate() {
            slots[k] = (after[i] - before[i]) as f32;
        }
        for (slots, value) in self.zh.iter_mut().zip(zh) {
            slots[k] = value as f32;
        }
        self.last_age_gyr = age_gyr;
    }

    /// Mass formed by each SFH basis within `window_gyr`, and in all; the bin that holds the window's end
    /// counts linearly.
    pub fn formed_within(&self, bins: &Bins, model: &SedModel, window_gyr: f64) -> [f64; 4] {
        if window_gyr >= self.tuniv_gyr {
            return self.total;
        }
        let bin = bins.bin(self, window_gyr);
        let from = bins.edges_gyr[bin];
        let to = if bin + 1 == self.n_bins { self.tuniv_gyr } else { bins.edges_gyr[bin + 1] };
        let (before, after) = (model.bases().formed(from), model.bases().formed(to));
        let f = (window_gyr - from) / (to - from);
        std::array::from_fn(|i| before[i] + f * (after[i] - before[i]))
    }

    /// Mass formed by each SFH basis in all.
    pub fn total(&self) -> &[f64; 4] {
        &self.total
    }

    /// Mass of each SFH basis times age, summed over the bins, Gyr.
    pub fn mass_age(&self, bins: &Bins) -> [f64; 4] {
        let last = self.n_bins - 1;
        self.formed.map(|formed| {
            let fixed: f64 =
                formed[..last].iter().zip(&bins.middles_gyr).map(|(&mass, age)| f64::from(mass) * age).sum();
            fixed + f64::from(formed[last]) * self.last_age_gyr
        })
    }
}
