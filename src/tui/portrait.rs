//! One galaxy's posterior made ready to be drawn: histograms, densities of pairs, bands of spectra and histories.

use rayon::prelude::*;

use crate::commands::plot::{histories, symbol, to_nmgy};
use crate::commands::setup::Loaded;
use crate::features::short_band;
use crate::infer::column_names;
use crate::plot::curves::QuantileBand;
use crate::prior::{N_PARAM, Prior};
use crate::sed::{Galaxy, SedError, SedModel, Theta};

/// Bins of a marginal and cells of a pair, each way.
pub const BINS: usize = 64;
pub const CELLS: usize = 40;
/// Parts of the draws left outside of a picture at either end.
const TAIL: f64 = 0.002;
/// Points of a spectrum's band.
const POINTS: usize = 320;

/// Columns of draws, most telling first: the order of marginals and corners.
pub const TELLING: [usize; 17] = [16, 12, 15, 14, 10, 9, 11, 0, 13, 5, 6, 7, 8, 1, 2, 3, 4];

/// Draws of a posterior, parameters and derived properties.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DrawSet {
    /// `[17][n]`.
    pub columns: Vec<Vec<f32>>,
    /// `[n]`, or empty for draws of equal weight.
    pub weights: Vec<f32>,
}

impl DrawSet {
    pub fn n(&self) -> usize {
        self.columns.first().map_or(0, Vec::len)
    }

    fn weight(&self, i: usize) -> f64 {
        self.weights.get(i).map_or(1.0, |weight| f64::from(*weight))
    }

    /// About `count` parameter rows spread over the draws; of weighted ones, in proportion to their weights.
    pub fn some(&self, count: usize) -> Vec<Theta> {
        let n = self.n();
        let theta = |i: usize| std::array::from_fn(|param| f64::from(self.columns[param][i]));
        let total: f64 = (0..n).map(|i| self.weight(i)).sum();
        if n == 0 || !(total.is_finite() && total > 0.0) {
            return vec![];
        }
        let count = count.min(n).max(1);
        let (mut sum, mut thetas) = (0.0, Vec::with_capacity(count));
        for i in 0..n {
            sum += self.weight(i) / total * count as f64;
            while sum >= thetas.len() as f64 + 0.5 {
                thetas.push(theta(i));
            }
        }
        thetas
    }
}

/// One column of draws.
#[derive(Debug, Clone, PartialEq)]
pub struct MarginalPlot {
    pub name: &'static str,
    /// 2.5, 16, 50, 84, 97.5 %, and the best draw.
    pub quantiles: [f64; 5],
    pub best: f64,
    pub edge_frac: f64,
    /// The part shown.
    pub from: f64,
    pub to: f64,
    /// Heights of the bins, the highest 1; empty where no draws are kept.
    pub heights: Vec<f64>,
    /// The prior's density over the same bins on the same scale; empty where there is none.
    pub prior: Vec<f64>,
    pub support: Option<(f64, f64)>,
}

/// Where the draws of two columns are dense: 3 within 68 % of them, 2 within 95 %, 1 any, 0 none.
pub type Density = Vec<u8>;

/// Marginals of all columns, in the order of draws.
pub fn marginals(draws: &DrawSet, prior: &Prior, summaries: &[([f64; 5], f64, f64)]) -> Vec<MarginalPlot> {
    let names = column_names();
    (0..names.len().min(summaries.len()))
        .map(|i| {
            let (quantiles, best, edge_frac) = summaries[i];
            let support =
                (i < N_PARAM).then(|| prior.support(i)).filter(|s| s.0.is_finite() && s.1.is_finite());
            let column = draws.columns.get(i).map_or(&[][..], Vec::as_slice);
            let (from, to) = range(column, quantiles, support);
            let mut heights = vec![0.0; if column.is_empty() { 0 } else { BINS }];
            for (k, &value) in column.iter().enumerate() {
                let at = (f64::from(value) - from) / (to - from) * BINS as f64;
                if (0.0..=BINS as f64).contains(&at) {
                    heights[(at as usize).min(BINS - 1)] += draws.weight(k);
                }
            }
            let total: f64 = (0..column.len()).map(|k| draws.weight(k)).sum();
            let width = (to - from) / BINS as f64;
            let highest = heights.iter().copied().fold(0.0, f64::max);
            let mut outline = Vec::new();
            if i < N_PARAM && highest > 0.0 && !prior.is_fixed(i) {
                outline = (0..BINS)
                    .map(|bin| {
                        let x = from + (bin as f64 + 0.5) * width;
                        let inside = support.is_none_or(|s| (s.0..=s.1).contains(&x));
                        if inside { prior.marginal_density(i, x) * total * width / highest } else { 0.0 }
                    })
                    .collect();
            }
            if highest > 0.0 {
                heights.iter_mut().for_each(|height| *height /= highest);
            }
            MarginalPlot {
                name: names[i],
                quantiles,
                best,
                edge_frac,
                from,
                to,
                heights,
                prior: outline,
                support,
            }
        })
        .collect()
}

/// What to show of a column: nearly all draws, up to an edge of the prior that is near.
fn range(column: &[f32], quantiles: [f64; 5], support: Option<(f64, f64)>) -> (f64, f64) {
    let mut sorted: Vec<f32> = column.iter().copied().filter(|value| value.is_finite()).collect();
    sorted.sort_unstable_by(f32::total_cmp);
    let at = |p: f64| sorted.get(((sorted.len().max(1) - 1) as f64 * p) as usize).map(|v| f64::from(*v));
    let (low, high) = match (at(TAIL), at(1.0 - TAIL)) {
        (Some(low), Some(high)) => (low, high),
        _ => (quantiles[0], quantiles[4]),
    };
    if !(low.is_finite() && high.is_finite()) {
        return (0.0, 1.0);
    }
    let pad = (0.04 * (high - low)).max(1e-4 * high.abs().max(1e-3));
    let (mut from, mut to) = (low - pad, high + pad);
    if let Some((least, most)) = support.filter(|(least, most)| most > least) {
        from = from.max(least);
        to = to.min(most);
    }
    if to > from { (from, to) } else { (low - pad, high + pad) }
}

/// Densities of all pairs of `chosen` columns, in the ranges of their marginals: `[i][j]` with `j < i`, `CELLS` by
/// `CELLS`, rows upwards from the smallest value of the first.
pub fn pairs(draws: &DrawSet, marginals: &[MarginalPlot], chosen: &[usize]) -> Vec<Vec<Density>> {
    let cells: Vec<Vec<Option<u8>>> = chosen
        .iter()
        .map(|&k| {
            let m = &marginals[k];
            let column = draws.columns.get(k).map_or(&[][..], Vec::as_slice);
            let cell = |value: &f32| {
                let at = (f64::from(*value) - m.from) / (m.to - m.from) * CELLS as f64;
                (0.0..=CELLS as f64).contains(&at).then(|| (at as u8).min(CELLS as u8 - 1))
            };
            column.iter().map(cell).collect()
        })
        .collect();
    let density = |(i, j): (usize, usize)| {
        let mut counts = vec![0.0_f64; CELLS * CELLS];
        for (k, (y, x)) in cells[i].iter().zip(&cells[j]).enumerate() {
            if let (Some(y), Some(x)) = (y, x) {
                counts[usize::from(*y) * CELLS + usize::from(*x)] += draws.weight(k);
            }
        }
        classes(smooth(&counts))
    };
    (0..chosen.len()).map(|i| (0..i).into_par_iter().map(|j| density((i, j))).collect()).collect()
}

/// A little smoothing, that a few thousand draws make clean contours: three cells, twice each way.
fn smooth(counts: &[f64]) -> Vec<f64> {
    let mut now = counts.to_vec();
    for _ in 0..2 {
        for (step, across) in [(1, true), (CELLS, false)] {
            let before = now.clone();
            for y in 0..CELLS {
                for x in 0..CELLS {
                    let at = y * CELLS + x;
                    let place = if across { x } else { y };
                    let low = if place > 0 { before[at - step] } else { before[at] };
                    let high = if place + 1 < CELLS { before[at + step] } else { before[at] };
                    now[at] = 0.25 * low + 0.5 * before[at] + 0.25 * high;
                }
            }
        }
    }
    now
}

fn classes(density: Vec<f64>) -> Density {
    let mut sorted: Vec<f64> = density.iter().copied().filter(|d| *d > 0.0).collect();
    sorted.sort_unstable_by(|a, b| b.total_cmp(a));
    let total: f64 = sorted.iter().sum();
    let level = |mass: f64| {
        let mut sum = 0.0;
        sorted
            .iter()
            .find(|d| {
                sum += **d;
                sum >= mass * total
            })
            .copied()
            .unwrap_or(f64::INFINITY)
    };
    let (inner, outer, any) = (level(0.68), level(0.95), level(0.997));
    let class = |d: f64| u8::from(d >= inner) + u8::from(d >= outer) + u8::from(d >= any && d > 0.0);
    density.into_iter().map(class).collect()
}

/// What the posterior predicts of the spectrum and of each band.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SedCurves {
    /// Observed wavelength in Angstrom against flux density in nanomaggies.
    pub spectrum: BandOf,
    pub bands: Vec<BandCurve>,
}

/// Quantiles 2.5, 16, 50, 84, 97.5 % over `x`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct BandOf {
    pub x: Vec<f64>,
    pub q: [Vec<f64>; 5],
}

impl From<QuantileBand> for BandOf {
    fn from(band: QuantileBand) -> Self {
        Self { x: band.x, q: band.q }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct BandCurve {
    pub name: String,
    pub pivot_aa: f64,
    /// Predicted flux, nanomaggies.
    pub predicted: [f64; 5],
    /// Wavelength and response relative to its peak, some tens of points.
    pub curve: (Vec<f64>, Vec<f64>),
}

/// Star-formation rate (Msun/yr) and metallicity against lookback time (Gyr).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct History {
    pub sfr: BandOf,
    pub z_abs: BandOf,
}

/// Spectra of some draws and their photometry.
pub fn sed_curves(loaded: &Loaded, zred: f64, thetas: &[Theta]) -> Result<SedCurves, SedError> {
    let (model, filters) = (&loaded.model, &loaded.filters);
    let weights = model.band_weights(filters, zred)?;
    let reach = |f: fn(f64, f64) -> f64, start: f64| {
        filters.iter().flat_map(|filter| [filter.support_aa().0, filter.support_aa().1]).fold(start, f)
    };
    let (blue, red) = (0.93 * reach(f64::min, f64::INFINITY), 1.07 * reach(f64::max, 0.0));
    let grid: Vec<f64> =
        (0..POINTS).map(|i| blue * (red / blue).powf(i as f64 / (POINTS - 1) as f64)).collect();
    let made: Vec<(Vec<f64>, Vec<f64>)> = thetas
        .par_iter()
        .map(|theta| {
            let galaxy = Galaxy::from_theta(theta);
            let spectrum = model.spectrum(&galaxy, zred)?;
            let flux = to_nmgy(&spectrum.wave_obs_aa, &spectrum.flam);
            let fluxes = model.nanomaggies_with(&galaxy, zred, &weights)?;
            Ok((means(&spectrum.wave_obs_aa, &flux, &grid), fluxes))
        })
        .collect::<Result<_, SedError>>()?;
    let (spectra, fluxes): (Vec<Vec<f64>>, Vec<Vec<f64>>) = made.into_iter().unzip();
    let predicted = QuantileBand::of((0..filters.len()).map(|i| i as f64).collect(), &fluxes);
    let bands = filters
        .iter()
        .enumerate()
        .map(|(i, filter)| {
            let (wave, response) = (filter.wave_aa(), filter.response());
            let peak = response.iter().copied().fold(0.0, f64::max);
            let step = (wave.len() / 60).max(1);
            BandCurve {
                name: short_band(filter.name()).to_owned(),
                pivot_aa: filter.pivot_aa(),
                predicted: std::array::from_fn(|k| predicted.q[k][i]),
                curve: (
                    wave.iter().copied().step_by(step).collect(),
                    response.iter().map(|r| r / peak.max(1e-30)).step_by(step).collect(),
                ),
            }
        })
        .collect();
    Ok(SedCurves { spectrum: QuantileBand::of(grid, &spectra).into(), bands })
}

/// Means of a curve around each point of a coarser grid.
fn means(x: &[f64], y: &[f64], grid: &[f64]) -> Vec<f64> {
    let mut from = 0;
    (0..grid.len())
        .map(|i| {
            let low = if i == 0 { grid[0] } else { (grid[i - 1] * grid[i]).sqrt() };
            let high = grid.get(i + 1).map_or(grid[i], |next| (next * grid[i]).sqrt());
            while from < x.len() && x[from] < low {
                from += 1;
            }
            let inside = x[from..].iter().take_while(|x| **x <= high).count();
            if inside > 0 {
                y[from..from + inside].iter().sum::<f64>() / inside as f64
            } else if from > 0 && from < x.len() {
                let t = (grid[i] - x[from - 1]) / (x[from] - x[from - 1]);
                y[from - 1] + t.clamp(0.0, 1.0) * (y[from] - y[from - 1])
            } else {
                f64::NAN
            }
        })
        .collect()
}

/// Histories of some draws.
pub fn history(model: &SedModel, zred: f64, thetas: &[Theta]) -> History {
    const STEPS: usize = 70;
    let tuniv_gyr = model.cosmology().age_gyr(zred);
    let edges: Vec<f64> = (0..=STEPS).map(|k| tuniv_gyr * k as f64 / STEPS as f64).collect();
    let middles: Vec<f64> = edges.windows(2).map(|t| 0.5 * (t[0] + t[1])).collect();
    let (rates, metals): (Vec<Vec<f64>>, Vec<Vec<f64>>) = thetas
        .par_iter()
        .map(|theta| histories(model, &Galaxy::from_theta(theta), tuniv_gyr, &edges))
        .unzip();
    History {
        sfr: QuantileBand::of(middles.clone(), &rates).into(),
        z_abs: QuantileBand::of(middles, &metals).into(),
    }
}

/// Symbol and unit of a column of draws, without markup.
pub fn label(name: &str) -> (String, String) {
    let (sign, unit) = symbol(name);
    (sign.replace('_', ""), unit.replace('_', ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normal(n: usize) -> DrawSet {
        let streams = crate::rng::Streams::new(1, "portrait test");
        let mut columns = vec![Vec::new(); 17];
        use rand::RngExt as _;
        for i in 0..n {
            let mut rng = streams.at(i as u64);
            for column in &mut columns {
                // a sum of uniforms is near enough a normal
                let sum: f64 = (0..12).map(|_| rng.random::<f64>()).sum();
                column.push((sum - 6.0) as f32);
            }
        }
        DrawSet { columns, weights: vec![] }
    }

    fn plots(draws: &DrawSet) -> Vec<MarginalPlot> {
        marginals(draws, &Prior::default(), &[([-2.0, -1.0, 0.0, 1.0, 2.0], 0.0, 0.0); 17])
    }

    #[test]
    fn the_classes_of_a_pair_hold_the_masses_they_say() {
        let draws = normal(20_000);
        let marginals = plots(&draws);
        let grid = &pairs(&draws, &marginals, &[12, 13])[1][0];
        let of = |m: &MarginalPlot, value: f32| {
            let at = (f64::from(value) - m.from) / (m.to - m.from) * CELLS as f64;
            (0.0..CELLS as f64).contains(&at).then_some(at as usize)
        };
        let mut within = [0.0; 4];
        for i in 0..draws.n() {
            let (x, y) = (of(&marginals[12], draws.columns[12][i]), of(&marginals[13], draws.columns[13][i]));
            if let (Some(x), Some(y)) = (x, y) {
                within[usize::from(grid[y * CELLS + x])] += 1.0 / draws.n() as f64;
            }
        }
        assert!((within[3] - 0.68_f64).abs() < 0.03, "{within:?}");
        assert!((within[3] + within[2] - 0.95).abs() < 0.02, "{within:?}");
    }

    #[test]
    fn a_marginal_counts_draws_by_their_weights_within_the_prior() {
        let mut draws = normal(4000);
        // the redshift-free parameter tau_ism is between 0 and 3
        draws.columns[10].iter_mut().for_each(|value| *value = value.abs() * 0.5);
        let plain = plots(&draws);
        assert!(plain[10].from >= 0.0 && plain[10].to <= 3.0 && !plain[10].prior.is_empty());
        assert_eq!(plain[12].prior.len(), 0);
        assert_eq!(plain[12].heights.iter().copied().fold(0.0, f64::max), 1.0);
        draws.weights = draws.columns[12].iter().map(|value| if *value > 0.0 { 1.0 } else { 0.0 }).collect();
        let weighted = plots(&draws);
        let left = weighted[12].heights[..BINS / 4].iter().sum::<f64>();
        assert_eq!(left, 0.0);
        assert!(draws.some(100).iter().all(|theta| theta.len() == 12));
        assert_eq!(draws.some(100).len(), 100);
    }

    #[test]
    fn no_draws_make_empty_pictures() {
        let nothing = DrawSet::default();
        let marginals = plots(&nothing);
        assert!(marginals.iter().all(|m| m.heights.is_empty() && m.to > m.from));
        assert!(nothing.some(10).is_empty());
        let pairs = pairs(&nothing, &marginals, &[0, 1]);
        assert!(pairs[1][0].iter().all(|class| *class == 0));
    }

    #[test]
    fn a_coarser_curve_keeps_the_level() {
        let x: Vec<f64> = (0..1000).map(|i| 3000.0 + 5.0 * f64::from(i)).collect();
        let y = vec![2.0; 1000];
        let grid: Vec<f64> = (0..50).map(|i| 3100.0 + 80.0 * f64::from(i)).collect();
        assert!(means(&x, &y, &grid).iter().all(|v| (v - 2.0).abs() < 1e-12));
        assert!(means(&x, &y, &[1.0])[0].is_nan());
    }
}
