//! Ranks of truths among draws (Talts et al. 2018): uniform where posteriors are right.

/// Fraction of `draws` below `truth`, ties counted half, moved off the lattice of 1 / n so that it is
/// uniform where truth and draws come from one distribution.
///
/// `u` is a uniform number of the caller's.
pub fn rank_fraction(draws: &[f32], truth: f32, u: f64) -> f64 {
    let below = draws.iter().filter(|&&draw| draw < truth).count() as f64;
    let ties = draws.iter().filter(|&&draw| draw == truth).count() as f64;
    (below + u * (ties + 1.0)) / (draws.len() as f64 + 1.0)
}

/// Kolmogorov-Smirnov distance of `values` from the uniform distribution on 0..1.
pub fn ks_uniform(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let n = sorted.len() as f64;
    let gap = |(i, &v): (usize, &f64)| ((i as f64 + 1.0) / n - v).max(v - i as f64 / n);
    sorted.iter().enumerate().map(gap).fold(0.0, f64::max)
}

/// What the ranks of one parameter say.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Coverage {
    /// KS distance of the ranks from uniform.
    pub ks: f64,
    /// Fraction of truths in the central 68 and 95 % intervals.
    pub in_68: f64,
    pub in_95: f64,
    /// Mean rank minus 1/2: above 0 where draws are too low.
    pub bias: f64,
}

impl Coverage {
    /// From the rank fractions of many mocks.
    pub fn of(ranks: &[f64]) -> Self {
        let n = ranks.len().max(1) as f64;
        let inside = |mass: f64| {
            let tail = 0.5 * (1.0 - mass);
            ranks.iter().filter(|&&rank| rank >= tail && rank <= 1.0 - tail).count() as f64 / n
        };
        Self {
            ks: ks_uniform(ranks),
            in_68: inside(0.68),
            in_95: inside(0.95),
            bias: ranks.iter().sum::<f64>() / n - 0.5,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Streams;
    use rand::RngExt;
    use rand_distr::{Distribution, StandardNormal};

    /// Ranks of 3,000 truths from N(0, 1) among 200 draws from N(shift, width).
    fn ranks(shift: f64, width: f64) -> Vec<f64> {
        let streams = Streams::new(4, "coverage test");
        (0..3000)
            .map(|i| {
                let mut rng = streams.at(i);
                let truth: f64 = StandardNormal.sample(&mut rng);
                let draws: Vec<f32> = (0..200)
                    .map(|_| {
                        let e: f64 = StandardNormal.sample(&mut rng);
                        (shift + width * e) as f32
                    })
                    .collect();
                rank_fraction(&draws, truth as f32, rng.random())
            })
            .collect()
    }

    #[test]
    fn a_right_posterior_is_uniform_and_wrong_ones_are_told_apart() {
        let right = Coverage::of(&ranks(0.0, 1.0));
        assert!(right.ks < 1.63 / 3000_f64.sqrt(), "{right:?}");
        assert!((right.in_68 - 0.68).abs() < 0.025 && (right.in_95 - 0.95).abs() < 0.012, "{right:?}");
        let shifted = Coverage::of(&ranks(0.3, 1.0));
        assert!(shifted.ks > 0.08 && shifted.bias < -0.05, "{shifted:?}");
        let narrow = Coverage::of(&ranks(0.0, 0.8));
        assert!(narrow.ks > 0.03 && narrow.in_68 < 0.6, "{narrow:?}");
        let wide = Coverage::of(&ranks(0.0, 1.25));
        assert!(wide.ks > 0.03 && wide.in_68 > 0.75, "{wide:?}");
    }

    #[test]
    fn ks_of_a_lattice_is_half_its_step() {
        let lattice: Vec<f64> = (0..100).map(|i| (f64::from(i) + 0.5) / 100.0).collect();
        assert!((ks_uniform(&lattice) - 0.005).abs() < 1e-12);
        assert_eq!(ks_uniform(&[1.0]), 1.0);
    }

    #[test]
    fn constant_draws_equal_to_the_truth_rank_uniformly() {
        let ranks: Vec<f64> =
            (0..100).map(|i| rank_fraction(&[2.0; 9], 2.0, (f64::from(i) + 0.5) / 100.0)).collect();
        assert!(ks_uniform(&ranks) < 0.006);
    }
}
