//! The fast path for photometry: SSP fluxes integrated beforehand against a few dust nodes per band.
//!
//! `flux = sum_n W_n T(lambda_n)` with `W_n` linear in the populations, separately for those inside and
//! outside birth clouds, and T the dust at the band's [`Nodes`], fixed in the rest frame within a cell of
//! redshift. `W_n` is tabulated for every age and metallicity of the grid, and for the middles of the
//! lookback-time bins, at both ends of each cell; between them the logarithm of the flux is linear in
//! redshift. Everything a galaxy needs then fits in the second-level cache, and costs two thin
//! matrix-vector products, three exponentials per node and no allocation.

use std::ops::Range;
use std::sync::Arc;

use multiversion::multiversion;
use rayon::prelude::*;

use super::bins::Bins;
use super::dust::{DiffuseTerms, birth_cloud_depth};
use super::nodes::{DustRange, Nodes};
use super::photometry::BandWeights;
use super::sfh::{N_EDGES, edge_gyr};
use super::{SedError, SedModel};
use crate::constants::NMGY_PER_MAGGIE;
use crate::filters::Filter;

/// Lanes come in blocks of this many.
pub(super) const BLOCK: usize = 16;

/// A row's lanes, as many blocks as the nodes need.
pub(super) type Block = [f32; BLOCK];

/// Bins whose middle does not depend on redshift: all but a universe's last.
pub(super) const N_FIXED: usize = N_EDGES - 1;

/// Most nodes a band may have.
const MAX_NODES: usize = 16;

/// How finely a table is made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PhotOptions {
    /// Dust the table has to serve.
    pub dust: DustRange,
    /// Largest share of a band's flux that the nodes may miss over that dust.
    pub tolerance: f64,
    /// Widest cell in ln(1 + redshift).
    pub cell: f64,
}

impl Default for PhotOptions {
    /// 0.0001 mag rms from the exact path in the optical; see `docs/sed.md`.
    fn default() -> Self {
        Self { dust: DustRange::default(), tolerance: 5e-4, cell: 3e-3 }
    }
}

/// Photometry of any galaxy of a model in a set of bands, over a range of redshift or at one.
#[derive(Debug, Clone)]
pub struct PhotTable {
    pub(super) model: SedModel,
    pub(super) bins: Bins,
    pub(super) cells: Arc<Vec<Cell>>,
    n_bands: usize,
    /// Redshifts served.
    zred: (f64, f64),
}

/// The table between two redshifts (or at one).
#[derive(Debug, Clone)]
pub(super) struct Cell {
    pub zred: (f64, f64),
    /// Lanes of each band's nodes.
    pub bands: Vec<Range<usize>>,
    /// Blocks of lanes per row.
    pub n_blocks: usize,
    /// The dust at each lane; none in unused lanes.
    pub dust: Vec<BlockDust>,
    /// nmgy of 1 Msun at 10 pc before redshift dims it, `[fixed bin or age][met][block]`, at both ends.
    pub ends: Vec<Vec<Block>>,
}

/// [`DiffuseTerms`] and [`birth_cloud_depth`], a lane each.
#[derive(Debug, Clone, Default)]
pub(super) struct BlockDust {
    pub base: Block,
    pub slope: Block,
    pub ln_ratio: Block,
    pub clouds: Block,
}

impl PhotTable {
    /// A table for redshifts from `from` to `to`.
    ///
    /// Errors where a band is not covered at some redshift of the range.
    pub fn new(
        model: &SedModel,
        filters: &[Filter],
        (from, to): (f64, f64),
        options: &PhotOptions,
    ) -> Result<Self, SedError> {
        for zred in [from, to] {
            model.cosmology().check(if zred == 0.0 { f64::MIN_POSITIVE } else { zred })?;
        }
        let (first, last) = (from.ln_1p(), to.ln_1p());
        let n = ((last - first).max(0.0) / options.cell).ceil() as usize;
        let edge = |i: usize| match i {
            0 => from,
            _ if i == n => to,
            _ => (first + (last - first) * i as f64 / n as f64).exp_m1(),
        };
        let bins = Bins::new(model);
        let cells = if n == 0 {
            vec![Cell::new(model, filters, (from, from), options)?]
        } else {
            (0..n)
                .into_par_iter()
                .map(|i| Cell::new(model, filters, (edge(i), edge(i + 1)), options))
                .collect::<Result<_, _>>()?
        };
        Ok(Self {
            model: model.clone(),
            bins,
            cells: Arc::new(cells),
            n_bands: filters.len(),
            zred: (from, to.max(from)),
        })
    }

    /// A table for galaxies all at one redshift.
    pub fn at_one(model: &SedModel, filters: &[Filter], zred: f64) -> Result<Self, SedError> {
        Self::new(model, filters, (zred, zred), &PhotOptions::default())
    }

    /// The same table for other birth clouds.
    pub fn with_birth_cloud_age(&self, age_gyr: f64) -> Result<Self, SedError> {
        Ok(Self { model: self.model.with_birth_cloud_age(age_gyr)?, ..self.clone() })
    }

    pub fn model(&self) -> &SedModel {
        &self.model
    }

    pub fn n_bands(&self) -> usize {
        self.n_bands
    }

    /// Redshifts served, both ends included.
    pub fn zred_range(&self) -> (f64, f64) {
        self.zred
    }

    /// Memory of the tabulated weights, bytes.
    pub fn bytes(&self) -> usize {
        self.cells.iter().flat_map(|cell| &cell.ends).map(|end| size_of_val(&end[..])).sum()
    }

    /// Nodes in use at a redshift, over all bands.
    pub fn n_nodes(&self, zred: f64) -> usize {
        self.cells[self.cell(zred)].bands.iter().map(Range::len).sum()
    }

    /// Index of the cell that holds a redshift of the range.
    pub(super) fn cell(&self, zred: f64) -> usize {
        let (first, last) = (self.zred.0.ln_1p(), self.zred.1.ln_1p());
        let place = (zred.ln_1p() - first) / (last - first).max(f64::MIN_POSITIVE);
        let cell = (place * self.cells.len() as f64) as usize;
        cell.min(self.cells.len() - 1)
    }
}

impl Cell {
    fn new(
        model: &SedModel,
        filters: &[Filter],
        (from, to): (f64, f64),
        options: &PhotOptions,
    ) -> Result<Self, SedError> {
        let bands: Vec<Band> = filters
            .iter()
            .map(|filter| Band::new(model, filter, (from, to), options))
            .collect::<Result<_, _>>()?;
        let used: usize = bands.iter().map(|band| band.nodes.at.len()).sum();
        let n_blocks = used.div_ceil(BLOCK).max(1);
        let n_ends = if to > from { 2 } else { 1 };
        let [n_met, n_age, _] = model.grid().shape();
        let n_rows = (N_FIXED + n_age) * n_met;
        let mut ends = vec![vec![[0.0; BLOCK]; n_rows * n_blocks]; n_ends];
        let mut dust = vec![BlockDust::default(); n_blocks];
        let mut ranges = Vec::with_capacity(bands.len());
        let mut lane = 0;
        for band in &bands {
            let n = band.nodes.at.len();
            for (end, rows) in ends.iter_mut().enumerate() {
                let ages = rows[N_FIXED * n_met * n_blocks..].as_flattened_mut();
                band.fluxes(model, end, |met, age, node, flux| {
                    ages[(age * n_met + met) * n_blocks * BLOCK + lane + node] = flux;
                });
            }
            for (lane, &at) in (lane..).zip(&band.nodes.at) {
                dust[lane / BLOCK].set(lane % BLOCK, model.grid().wave_aa[band.first + at]);
            }
            ranges.push(lane..lane + n);
            lane += n;
        }
        ends.iter_mut().for_each(|rows| fill_fixed_bins(model, rows, n_blocks));
        Ok(Self { zred: (from, to), bands: ranges, n_blocks, dust, ends })
    }
}

/// Rows of the fixed bins, from those of the ages around their middles.
fn fill_fixed_bins(model: &SedModel, rows: &mut [Block], n_blocks: usize) {
    let width = model.grid().z_abs.len() * n_blocks;
    let (bins, ages) = rows.split_at_mut(N_FIXED * width);
    for (k, bin) in bins.chunks_exact_mut(width).enumerate() {
        let age = model.axes().age(0.5 * (edge_gyr(k) + edge_gyr(k + 1)));
        let (lower, upper) = (&ages[age.lower * width..], &ages[age.upper * width..]);
        let f = age.fraction as f32;
        for ((slot, a), b) in bin.iter_mut().zip(lower).zip(upper) {
            *slot = std::array::from_fn(|i| (1.0 - f) * a[i] + f * b[i]);
        }
    }
}

impl BlockDust {
    fn set(&mut self, lane: usize, wave_aa: f64) {
        let terms = DiffuseTerms::at(wave_aa);
        self.base[lane] = terms.base as f32;
        self.slope[lane] = terms.slope as f32;
        self.ln_ratio[lane] = terms.ln_ratio as f32;
        self.clouds[lane] = birth_cloud_depth(wave_aa) as f32;
    }
}

/// One band of a cell: its samples of the grid, their weights at the cell's ends, its nodes.
struct Band {
    first: usize,
    /// Maggies per Lsun/A at 10 pc, over the samples from `first`, at one or two redshifts.
    weights: Vec<Vec<f64>>,
    nodes: Nodes,
}

impl Band {
    fn new(
        model: &SedModel,
        filter: &Filter,
        (from, to): (f64, f64),
        options: &PhotOptions,
    ) -> Result<Self, SedError> {
        let wave_aa = &model.grid().wave_aa;
        let at_from = BandWeights::new(filter, wave_aa, from)?;
        let ends =
            if to > from { vec![at_from, BandWeights::new(filter, wave_aa, to)?] } else { vec![at_from] };
        let first = ends.iter().map(|end| end.first).min().unwrap_or(0);
        let last = ends.iter().map(|end| end.range().end).max().unwrap_or(0);
        let weights: Vec<Vec<f64>> = ends
            .iter()
            .map(|end| {
                let mut weights = vec![0.0; last - first];
                weights[end.first - first..][..end.weights.len()].copy_from_slice(&end.weights);
                weights
            })
            .collect();
        let mean: Vec<f64> = (0..last - first).map(|i| weights.iter().map(|w| w[i]).sum()).collect();
        let nodes = Nodes::find(&wave_aa[first..last], &mean, &options.dust, options.tolerance, MAX_NODES);
        Ok(Self { first, weights, nodes })
    }

    /// Hands over nmgy at 10 pc of every SSP at every node, at one end of the cell.
    fn fluxes(&self, model: &SedModel, end: usize, mut take: impl FnMut(usize, usize, usize, f32)) {
        let [n_met, n_age, _] = model.grid().shape();
        let scale = NMGY_PER_MAGGIE * model.lsun_at_10pc();
        for (block, cardinal) in self.nodes.cardinal.chunks(BLOCK).enumerate() {
            // [sample][node of the block]
            let mut weights = vec![[0.0f32; BLOCK]; self.weights[end].len()];
            for (node, h) in cardinal.iter().enumerate() {
                for ((slot, w), h) in weights.iter_mut().zip(&self.weights[end]).zip(h) {
                    slot[node] = (scale * w * h) as f32;
                }
            }
            let n_ssp = n_met * n_age;
            for from in (0..n_ssp).step_by(ROWS) {
                // The last rows stand in for those beyond the grid.
                let ssp = |row: usize| (from + row).min(n_ssp - 1);
                let lums = std::array::from_fn(|row| {
                    &model.grid().spectrum(ssp(row) / n_age, ssp(row) % n_age)[self.first..][..weights.len()]
                });
                for (row, fluxes) in project(&lums, &weights).iter().enumerate() {
                    for (node, &flux) in fluxes[..cardinal.len()].iter().enumerate() {
                        take(ssp(row) / n_age, ssp(row) % n_age, block * BLOCK + node, flux);
                    }
                }
            }
        }
    }
}

/// Spectra summed at a time, so that weights are loaded once for all of them.
const ROWS: usize = 8;

/// Sums of spectra under a block of weights.
#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl", "x86_64+avx2"))]
fn project(lums: &[&[f32]; ROWS], weights: &[Block]) -> [Block; ROWS] {
    let lums = lums.map(|lum| &lum[..weights.len()]);
    let mut sums = [[0.0f32; BLOCK]; ROWS];
    for (i, weights) in weights.iter().enumerate() {
        for row in 0..ROWS {
            let lum = lums[row][i];
            for lane in 0..BLOCK {
                sums[row][lane] += lum * weights[lane];
            }
        }
    }
    sums
}
