//! The few wavelengths at which a band needs to know the dust: empirical interpolation.
//!
//! Over one band the attenuation `T(lambda)` of all dust parameters is a small family of smooth curves
//! (with one step, at 6300 A). The empirical interpolation method (Barrault et al. 2004, C. R. Math. 339,
//! 667) picks, greedily, wavelengths and curves such that `T(lambda) = sum_n h_n(lambda) T(lambda_n)`
//! holds for the whole family to a stated tolerance. 4 to 14 nodes replace some thousand wavelengths.

use super::dust::{DiffuseTerms, birth_cloud_depth};

/// Samples of a band among which nodes are sought.
const MAX_CANDIDATES: usize = 160;

/// A training curve whose mean over the band is below this (20 magnitudes) is left out.
const DIMMEST: f64 = 1e-8;

/// The dust for which a table is made: optical depths from 0 to these, slopes between these.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DustRange {
    pub tau_bc_max: f64,
    pub tau_ism_max: f64,
    pub n_dust: (f64, f64),
}

impl Default for DustRange {
    /// The default prior.
    fn default() -> Self {
        Self { tau_bc_max: 3.0, tau_ism_max: 3.0, n_dust: (-2.0, 1.0) }
    }
}

impl DustRange {
    pub fn contains(&self, tau_bc: f64, tau_ism: f64, n_dust: f64) -> bool {
        let (least, most) = self.n_dust;
        tau_bc <= self.tau_bc_max && tau_ism <= self.tau_ism_max && (least..=most).contains(&n_dust)
    }

    /// The least range that holds this one and the given dust.
    pub fn including(self, tau_bc: f64, tau_ism: f64, n_dust: f64) -> Self {
        Self {
            tau_bc_max: self.tau_bc_max.max(tau_bc),
            tau_ism_max: self.tau_ism_max.max(tau_ism),
            n_dust: (self.n_dust.0.min(n_dust), self.n_dust.1.max(n_dust)),
        }
    }

    /// A grid over the range.
    fn members(&self) -> Vec<Dust> {
        const ISM: [f64; 5] = [0.0, 0.1, 0.33, 0.67, 1.0];
        const CLOUDS: [f64; 3] = [0.0, 0.4, 1.0];
        const SLOPES: usize = 7;
        let (least, most) = self.n_dust;
        let slopes = (0..SLOPES).map(|i| least + (most - least) * i as f64 / (SLOPES - 1) as f64);
        slopes
            .flat_map(|n_dust| CLOUDS.map(|clouds| (n_dust, clouds * self.tau_bc_max)))
            .flat_map(|(n_dust, tau_bc)| {
                ISM.map(|ism| Dust { tau_bc, tau_ism: ism * self.tau_ism_max, n_dust })
            })
            .collect()
    }
}

/// One attenuation curve.
#[derive(Debug, Clone, Copy)]
struct Dust {
    tau_bc: f64,
    tau_ism: f64,
    n_dust: f64,
}

impl Dust {
    /// Optical depths.
    fn depths(&self, wave_aa: &[f64], terms: &[DiffuseTerms]) -> Vec<f64> {
        let depth = |(&w, t): (&f64, &DiffuseTerms)| {
            self.tau_ism * t.depth(self.n_dust) + self.tau_bc * birth_cloud_depth(w)
        };
        wave_aa.iter().zip(terms).map(depth).collect()
    }
}

/// Nodes of one band, and how each sample of the band depends on them.
#[derive(Debug, Clone)]
pub struct Nodes {
    /// The nodes, as indices of the band's samples.
    pub at: Vec<usize>,
    /// `h_n` at the band's samples, `[n_nodes][n_samples]`.
    pub cardinal: Vec<Vec<f64>>,
    /// Largest error left over the training family, as a share of the band's attenuated flux.
    pub error: f64,
}

/// A training curve, scaled to a mean of 1 over the band, less what the nodes chosen so far give.
struct Member {
    dust: Dust,
    /// The curve is `exp(ln_scale - depth)`.
    ln_scale: f64,
    residual: Vec<f64>,
    /// Its share of each direction chosen so far.
    heights: Vec<f64>,
}

/// A direction of the family: the residual of one member, scaled to 1 at the node it brought.
struct Direction {
    dust: Dust,
    ln_scale: f64,
    heights: Vec<f64>,
    pivot: f64,
}

impl Nodes {
    /// Nodes for samples at `wave_aa` that count by `weight` (none negative, not all zero) such that no
    /// band flux is off by more than a share `tolerance`, as far as `most` nodes reach.
    pub fn find(wave_aa: &[f64], weight: &[f64], dust: &DustRange, tolerance: f64, most: usize) -> Self {
        let candidates = candidates(weight);
        let (directions, at, error) = greedy(wave_aa, weight, &candidates, dust, tolerance, most);
        let directions = replay(&directions, wave_aa);
        Self { cardinal: cardinal(&directions, &at), at, error }
    }
}

/// Chooses members and nodes; returns directions, node samples and the error left.
fn greedy(
    wave_aa: &[f64],
    weight: &[f64],
    candidates: &[usize],
    dust: &DustRange,
    tolerance: f64,
    most: usize,
) -> (Vec<Direction>, Vec<usize>, f64) {
    let wave: Vec<f64> = candidates.iter().map(|&i| wave_aa[i]).collect();
    let share = shares(weight, candidates);
    let terms: Vec<DiffuseTerms> = wave.iter().map(|&w| DiffuseTerms::at(w)).collect();
    let mut members: Vec<Member> =
        dust.members().into_iter().filter_map(|dust| Member::new(dust, &wave, &terms, &share)).collect();
    let mut directions = Vec::new();
    let mut at = Vec::new();
    loop {
        let (worst, error) = first_largest(members.iter().map(|member| member.error(&share)));
        if (error <= tolerance && !at.is_empty()) || at.len() == most.min(candidates.len()) {
            return (directions, at, error);
        }
        let member = &members[worst];
        let importance = member.residual.iter().zip(&share).map(|(r, s)| r.abs() * s.sqrt());
        let (node, largest) = first_largest(importance);
        if largest == 0.0 {
            return (directions, at, error);
        }
        let pivot = member.residual[node];
        let direction: Vec<f64> = member.residual.iter().map(|r| r / pivot).collect();
        directions.push(Direction {
            dust: member.dust,
            ln_scale: member.ln_scale,
            heights: member.heights.clone(),
            pivot,
        });
        at.push(candidates[node]);
        members.iter_mut().for_each(|member| member.remove(&direction, node));
    }
}

impl Member {
    /// None where the curve is too dim to matter.
    fn new(dust: Dust, wave_aa: &[f64], terms: &[DiffuseTerms], share: &[f64]) -> Option<Self> {
        let depths = dust.depths(wave_aa, terms);
        let least = depths.iter().copied().fold(f64::INFINITY, f64::min);
        let curve: Vec<f64> = depths.iter().map(|d| (least - d).exp()).collect();
        let mean: f64 = curve.iter().zip(share).map(|(t, s)| t * s).sum();
        let ln_scale = least - mean.ln();
        let residual = curve.into_iter().map(|t| t / mean).collect();
        (-ln_scale > DIMMEST.ln()).then_some(Self { dust, ln_scale, residual, heights: Vec::new() })
    }

    fn error(&self, share: &[f64]) -> f64 {
        self.residual.iter().zip(share).map(|(r, s)| r.abs() * s).sum()
    }

    fn remove(&mut self, direction: &[f64], node: usize) {
        let height = self.residual[node];
        self.residual.iter_mut().zip(direction).for_each(|(r, d)| *r -= height * d);
        self.heights.push(height);
    }
}

/// The directions at all samples.
fn replay(directions: &[Direction], wave_aa: &[f64]) -> Vec<Vec<f64>> {
    let terms: Vec<DiffuseTerms> = wave_aa.iter().map(|&w| DiffuseTerms::at(w)).collect();
    let mut done: Vec<Vec<f64>> = Vec::with_capacity(directions.len());
    for direction in directions {
        let depths = direction.dust.depths(wave_aa, &terms);
        let mut curve: Vec<f64> = depths.iter().map(|d| (direction.ln_scale - d).exp()).collect();
        for (height, earlier) in direction.heights.iter().zip(&done) {
            curve.iter_mut().zip(earlier).for_each(|(c, e)| *c -= height * e);
        }
        curve.iter_mut().for_each(|c| *c /= direction.pivot);
        done.push(curve);
    }
    done
}

/// Functions that are 1 at one node and 0 at the others, as sums of the directions.
///
/// Direction k is 1 at node k and 0 at the nodes before it, so the system is unit triangular.
fn cardinal(directions: &[Vec<f64>], at: &[usize]) -> Vec<Vec<f64>> {
    let n = at.len();
    (0..n)
        .map(|node| {
            let mut share = vec![0.0; n];
            for k in node..n {
                let before: f64 = (node..k).map(|l| share[l] * directions[l][at[k]]).sum();
                share[k] = f64::from(u8::from(k == node)) - before;
            }
            let mut h = vec![0.0; directions[0].len()];
            for (share, direction) in share.iter().zip(directions) {
                h.iter_mut().zip(direction).for_each(|(h, d)| *h += share * d);
            }
            h
        })
        .collect()
}

/// Samples evenly among those that count, both ends with them.
fn candidates(weight: &[f64]) -> Vec<usize> {
    let counting: Vec<usize> = (0..weight.len()).filter(|&i| weight[i] > 0.0).collect();
    let n = counting.len().min(MAX_CANDIDATES);
    (0..n).map(|i| counting[i * (counting.len() - 1) / (n - 1).max(1)]).collect()
}

/// Share of the weight nearest each candidate; sums to 1.
fn shares(weight: &[f64], candidates: &[usize]) -> Vec<f64> {
    let mut shares = vec![0.0; candidates.len()];
    let mut nearest = 0;
    for (i, w) in weight.iter().enumerate() {
        while candidates.get(nearest + 1).is_some_and(|&next| 2 * i > candidates[nearest] + next) {
            nearest += 1;
        }
        shares[nearest] += w;
    }
    let sum: f64 = shares.iter().sum();
    shares.iter_mut().for_each(|s| *s /= sum);
    shares
}

/// Index and value of the first largest of some numbers that are not negative.
fn first_largest(values: impl Iterator<Item = f64>) -> (usize, f64) {
    values.enumerate().fold((0, 0.0), |best, (i, value)| if value > best.1 { (i, value) } else { best })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn band(from: f64, to: f64) -> (Vec<f64>, Vec<f64>) {
        let wave: Vec<f64> = (0..800).map(|i| from + (to - from) * f64::from(i) / 799.0).collect();
        let weight = (0..800).map(|i| (f64::from(i) / 799.0 * std::f64::consts::PI).sin().max(0.0)).collect();
        (wave, weight)
    }

    #[test]
    fn a_handful_of_nodes_gives_the_flux_of_dust_they_were_not_trained_on() {
        for (from, to) in [(3000.0, 4000.0), (5400.0, 7000.0), (8000.0, 10_500.0)] {
            let (wave, weight) = band(from, to);
            let nodes = Nodes::find(&wave, &weight, &DustRange::default(), 3e-4, 16);
            assert!(nodes.at.len() <= 10 && nodes.error <= 3e-4, "{} nodes", nodes.at.len());
            let terms: Vec<DiffuseTerms> = wave.iter().map(|&w| DiffuseTerms::at(w)).collect();
            for dust in [
                Dust { tau_bc: 0.7, tau_ism: 2.9, n_dust: -1.93 },
                Dust { tau_bc: 2.2, tau_ism: 0.4, n_dust: 0.77 },
                Dust { tau_bc: 0.0, tau_ism: 0.0, n_dust: 0.1 },
            ] {
                let t: Vec<f64> = dust.depths(&wave, &terms).iter().map(|d| (-d).exp()).collect();
                let exact: f64 = t.iter().zip(&weight).map(|(t, w)| t * w).sum();
                let by_nodes: f64 = nodes
                    .at
                    .iter()
                    .zip(&nodes.cardinal)
                    .map(|(&at, h)| t[at] * h.iter().zip(&weight).map(|(h, w)| h * w).sum::<f64>())
                    .sum();
                assert!((by_nodes / exact - 1.0).abs() < 1e-3, "{from}: {by_nodes} for {exact}");
            }
        }
    }

    #[test]
    fn each_cardinal_function_is_1_at_its_node_and_0_at_the_others() {
        let (wave, weight) = band(3000.0, 5000.0);
        let nodes = Nodes::find(&wave, &weight, &DustRange::default(), 1e-3, 16);
        for (n, h) in nodes.cardinal.iter().enumerate() {
            for (m, &at) in nodes.at.iter().enumerate() {
                assert!((h[at] - f64::from(u8::from(n == m))).abs() < 1e-9);
            }
        }
    }

    #[test]
    fn a_band_of_one_sample_needs_one_node() {
        let nodes = Nodes::find(&[5000.0, 5001.0], &[0.0, 1.0], &DustRange::default(), 1e-4, 16);
        assert_eq!(nodes.at, [1]);
        assert!((nodes.cardinal[0][1] - 1.0).abs() < 1e-12);
    }

    #[test]
    fn a_range_grows_to_hold_what_it_is_given() {
        let range = DustRange::default();
        assert!(range.contains(3.0, 0.0, -2.0) && !range.contains(3.1, 0.0, 0.0));
        let wider = range.including(4.0, 1.0, 1.5);
        assert!(wider.contains(4.0, 3.0, 1.5) && wider.contains(0.0, 0.0, -2.0));
    }
}
