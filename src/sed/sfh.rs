//! Star-formation and metallicity histories: four and two NMF bases in lookback time, and a burst.
//!
//! Hahn et al. 2022 (arXiv:2202.01809). The mass formed in a lookback-time bin is proportional to
//! `sum_i beta_i int basis_i dt`, normalised to 1 over the age of the universe; the metallicity of
//! what forms at lookback time t is `sum_j gamma_j zh_j(t)`, clipped. If the burst lies after the Big
//! Bang the smooth part is scaled by `1 - fburst` and a population of age tburst gets `fburst`.

use super::params::Galaxy;
use crate::hash::ContentHash;

/// Absolute metallicities a history can take.
pub const Z_ABS_RANGE: (f64, f64) = (4.490_434_31e-5, 4.490_434_31e-2);

/// Lookback-time bin edges below the age of the universe: 0, then 10^(6.05 + 0.1 k) yr.
pub const N_EDGES: usize = 42;

const TABLE: &str = include_str!("../../models/provabgs_nmf_bases.csv");

/// The bases, tabulated on lookback time; linear between rows.
#[derive(Debug, Clone)]
pub struct Bases {
    lookback_gyr: Vec<f64>,
    /// Per row: integral of each SFH basis from 0 to here, then the value of each ZH basis.
    rows: Vec<[f64; 6]>,
}

/// Stars of one age and metallicity.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Population {
    pub age_gyr: f64,
    /// Absolute metallicity.
    pub z_abs: f64,
    /// Share of the galaxy's formed mass.
    pub mass: f64,
}

/// What a galaxy formed, seen at one redshift.
#[derive(Debug, Clone, PartialEq)]
pub struct History {
    /// Bin edges in lookback time, Gyr: one more than `smooth`, from 0 to the age of the universe.
    pub edges_gyr: Vec<f64>,
    /// One population per bin, at its middle.
    pub smooth: Vec<Population>,
    /// The burst, where it lies after the Big Bang.
    pub burst: Option<Population>,
}

impl Bases {
    /// The bases of PROVABGS, as shipped.
    pub fn provabgs() -> Self {
        let mut lookback_gyr = Vec::new();
        let mut rows = Vec::new();
        for line in TABLE.lines().skip(1) {
            let mut numbers = line.split(',').filter_map(|field| field.trim().parse::<f64>().ok());
            if let Some(t) = numbers.next() {
                lookback_gyr.push(t);
                rows.push(std::array::from_fn(|_| numbers.next().unwrap_or(0.0)));
            }
        }
        Self { lookback_gyr, rows }
    }

    /// Integrals of the four SFH bases from 0 to `lookback_gyr`.
    pub fn formed(&self, lookback_gyr: f64) -> [f64; 4] {
        let row = self.at(lookback_gyr);
        [row[0], row[1], row[2], row[3]]
    }

    /// Values of the two metallicity-history bases.
    pub fn zh(&self, lookback_gyr: f64) -> [f64; 2] {
        let row = self.at(lookback_gyr);
        [row[4], row[5]]
    }

    pub fn hash(&self) -> ContentHash {
        ContentHash::of_bytes(TABLE.as_bytes())
    }

    fn at(&self, lookback_gyr: f64) -> [f64; 6] {
        let last = self.lookback_gyr.len() - 1;
        let upper = self.lookback_gyr.partition_point(|&t| t <= lookback_gyr).clamp(1, last);
        let (t0, t1) = (self.lookback_gyr[upper - 1], self.lookback_gyr[upper]);
        let f = ((lookback_gyr - t0) / (t1 - t0)).clamp(0.0, 1.0);
        let (a, b) = (&self.rows[upper - 1], &self.rows[upper]);
        std::array::from_fn(|i| a[i] + f * (b[i] - a[i]))
    }
}

/// Edge `k` of the lookback-time bins, Gyr, before the age of the universe cuts them.
pub fn edge_gyr(k: usize) -> f64 {
    if k == 0 { 0.0 } else { 10f64.powf(6.05 + 0.1 * (k - 1) as f64 - 9.0) }
}

/// Bin edges at age of the universe `tuniv_gyr`: those below it, then it.
pub fn edges_gyr(tuniv_gyr: f64) -> Vec<f64> {
    let mut edges: Vec<f64> = (0..N_EDGES).map(edge_gyr).take_while(|&t| t < tuniv_gyr).collect();
    edges.push(tuniv_gyr);
    edges
}

/// Metallicity of stars that formed where the ZH bases are `zh`.
pub fn metallicity(gamma: &[f64; 2], zh: [f64; 2]) -> f64 {
    (gamma[0] * zh[0] + gamma[1] * zh[1]).clamp(Z_ABS_RANGE.0, Z_ABS_RANGE.1)
}

impl History {
    /// History of `galaxy` in a universe of age `tuniv_gyr`; masses sum to 1.
    pub fn new(bases: &Bases, galaxy: &Galaxy, tuniv_gyr: f64) -> Self {
        let edges_gyr = edges_gyr(tuniv_gyr);
        let formed: Vec<f64> = edges_gyr
            .iter()
            .map(|&t| bases.formed(t).iter().zip(galaxy.beta).map(|(b, beta)| b * beta).sum())
            .collect();
        let total = formed[formed.len() - 1];
        let burst = (galaxy.tburst_gyr < tuniv_gyr).then(|| Population {
            age_gyr: galaxy.tburst_gyr,
            z_abs: metallicity(&galaxy.gamma, bases.zh(galaxy.tburst_gyr)),
            mass: galaxy.fburst,
        });
        // Bases 2 to 4 are empty in the youngest universes: nothing formed, rather than 0 / 0.
        let scale = if total > 0.0 { (1.0 - burst.map_or(0.0, |b| b.mass)) / total } else { 0.0 };
        let smooth = edges_gyr
            .windows(2)
            .zip(formed.windows(2))
            .map(|(t, m)| {
                let age_gyr = 0.5 * (t[0] + t[1]);
                let z_abs = metallicity(&galaxy.gamma, bases.zh(age_gyr));
                Population { age_gyr, z_abs, mass: scale * (m[1] - m[0]) }
            })
            .collect();
        Self { edges_gyr, smooth, burst }
    }

    /// Smooth populations from young to old, then the burst.
    pub fn populations(&self) -> impl Iterator<Item = &Population> {
        self.smooth.iter().chain(&self.burst)
    }
}

#[cfg(test)]
mod tests {
    use super::super::params::tests::{MILKY, any_theta};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bases_are_tabulated_over_the_age_of_the_universe() {
        let bases = Bases::provabgs();
        assert_eq!(bases.rows.len(), 318);
        assert_eq!((bases.lookback_gyr[0], bases.lookback_gyr[317]), (0.0, 13.8));
        assert!(bases.lookback_gyr.windows(2).all(|t| t[0] < t[1]));
        assert!(bases.rows.windows(2).all(|r| (0..4).all(|i| r[0][i] <= r[1][i] + 2e-3)));
        assert_eq!(bases.formed(0.0), [0.0; 4]);
        assert_eq!(bases.zh(13.8), bases.zh(20.0));
    }

    #[test]
    fn bins_are_cut_at_the_age_of_the_universe() {
        assert_eq!(edges_gyr(13.8).len(), 43);
        assert_eq!(edges_gyr(13.8)[41], 10f64.powf(10.05 - 9.0));
        assert_eq!(edges_gyr(1.0).last(), Some(&1.0));
        // An age that is an edge makes no empty bin.
        let edge = edge_gyr(20);
        assert_eq!(edges_gyr(edge).len(), 21);
    }

    #[test]
    fn a_burst_before_the_big_bang_does_nothing() {
        let bases = Bases::provabgs();
        let mut galaxy = Galaxy::from_theta(&MILKY);
        galaxy.tburst_gyr = 12.0;
        let with = History::new(&bases, &galaxy, 11.0);
        galaxy.fburst = 0.0;
        galaxy.tburst_gyr = 11.5;
        assert_eq!(with, History::new(&bases, &galaxy, 11.0));
        assert_eq!(with.burst, None);
    }

    proptest! {
        #[test]
        fn masses_sum_to_1_and_nothing_is_older_than_the_universe(theta in any_theta(), tuniv in 0.2..13.79f64) {
            let history = History::new(&Bases::provabgs(), &Galaxy::from_theta(&theta), tuniv);
            let sum: f64 = history.populations().map(|p| p.mass).sum();
            prop_assert!((sum - 1.0).abs() < 1e-12, "sum {sum}");
            for p in history.populations() {
                prop_assert!(p.age_gyr > 0.0 && p.age_gyr < tuniv);
                prop_assert!(p.mass >= 0.0 && (Z_ABS_RANGE.0..=Z_ABS_RANGE.1).contains(&p.z_abs));
            }
        }
    }
}
