//! The diagnostics on posteriors known to be right, and wrong in one way each.

use ndarray::Array2;
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;

use super::*;
use crate::flow::toys::Toy;
use crate::rng::Streams;

const D: usize = 4;
type Matrix = [[f64; D]; D];

/// Rows of the measurements' matrix: a sum and a difference of pairs, so that the posterior of the
/// members of a pair is strongly correlated.
const MEASURED: [[f64; D]; 2] = [[1.0, 1.0, 0.0, 0.0], [0.0, 0.3, 1.0, -1.0]];
const NOISE: f64 = 0.3;

fn cholesky(a: &Matrix) -> Matrix {
    let mut l = [[0.0; D]; D];
    for i in 0..D {
        for j in 0..=i {
            let rest = a[i][j] - (0..j).map(|k| l[i][k] * l[j][k]).sum::<f64>();
            l[i][j] = if i == j { rest.sqrt() } else { rest / l[j][j] };
        }
    }
    l
}

/// Inverse of a positive definite matrix.
fn inverse(a: &Matrix) -> Matrix {
    let l = cholesky(a);
    let solve = |column: usize| {
        let mut y = [0.0; D];
        for i in 0..D {
            let own = if i == column { 1.0 } else { 0.0 };
            y[i] = (own - (0..i).map(|k| l[i][k] * y[k]).sum::<f64>()) / l[i][i];
        }
        for i in (0..D).rev() {
            y[i] = (y[i] - (i + 1..D).map(|k| l[k][i] * y[k]).sum::<f64>()) / l[i][i];
        }
        y
    };
    let columns: [[f64; D]; D] = std::array::from_fn(solve);
    std::array::from_fn(|i| std::array::from_fn(|j| columns[j][i]))
}

/// Covariance of the exact posterior under a standard normal prior, the same for all data.
fn covariance() -> Matrix {
    let precision: Matrix = std::array::from_fn(|i| {
        std::array::from_fn(|j| {
            let data: f64 = MEASURED.iter().map(|row| row[i] * row[j]).sum();
            data / (NOISE * NOISE) + if i == j { 1.0 } else { 0.0 }
        })
    });
    inverse(&precision)
}

/// A Gaussian posterior as an estimator claims it: the exact mean plus `shift` standard deviations,
/// and a covariance.
struct Claim {
    shift: f64,
    covariance: Matrix,
}

impl Claim {
    fn exact() -> Self {
        Self { shift: 0.0, covariance: covariance() }
    }

    fn wider(factor: f64) -> Self {
        let exact = covariance();
        Self { shift: 0.0, covariance: exact.map(|row| row.map(|v| v * factor * factor)) }
    }

    /// Correlations times `factor`, all standard deviations as they should be.
    fn correlated(factor: f64) -> Self {
        let mut claim = Self::exact();
        for (i, row) in claim.covariance.iter_mut().enumerate() {
            row.iter_mut().enumerate().filter(|(j, _)| *j != i).for_each(|(_, v)| *v *= factor);
        }
        claim
    }

    /// `n` mocks with `n_draws` draws each; with importance weights to the exact posterior if asked.
    fn evidence(&self, n: u64, n_draws: usize, weighted: bool, seed: u64) -> Evidence {
        let exact = covariance();
        let (l, exact_l) = (cholesky(&self.covariance), cholesky(&exact));
        let streams = Streams::new(seed, "validate test");
        let of_mock = |mock: u64| {
            let mut rng = streams.at(mock);
            let mut normals =
                |n: usize| -> Vec<f64> { (0..n).map(|_| StandardNormal.sample(&mut rng)).collect() };
            let truth = normals(D);
            let data: Vec<f64> = MEASURED
                .iter()
                .zip(normals(2))
                .map(|(row, e)| row.iter().zip(&truth).map(|(a, t)| a * t).sum::<f64>() + NOISE * e)
                .collect();
            let exact_mean: [f64; D] = std::array::from_fn(|i| {
                let term = |j: usize| {
                    let back: f64 = MEASURED.iter().zip(&data).map(|(row, x)| row[j] * x).sum();
                    exact[i][j] * back / (NOISE * NOISE)
                };
                (0..D).map(term).sum()
            });
            let mean: [f64; D] = std::array::from_fn(|i| exact_mean[i] + self.shift * exact[i][i].sqrt());
            let mut rows = Vec::with_capacity(n_draws * D);
            let (mut ln_q, mut ln_density, mut weights) = (vec![], vec![], vec![]);
            for e in normals(n_draws * D).chunks_exact(D) {
                let draw: [f64; D] =
                    std::array::from_fn(|i| mean[i] + (0..=i).map(|k| l[i][k] * e[k]).sum::<f64>());
                let (q, p) = (ln_normal(&draw, &mean, &l), ln_normal(&draw, &exact_mean, &exact_l));
                rows.extend(draw.iter().map(|&v| v as f32));
                ln_q.push(q as f32);
                ln_density.push(p as f32);
                weights.push((p - q).exp());
            }
            let columns: Vec<f32> = (0..D).flat_map(|k| rows.iter().skip(k).step_by(D).copied()).collect();
            let truth_f32: Vec<f32> = truth.iter().map(|&t| t as f32).collect();
            let point: Vec<f32> = normals(D).into_iter().map(|v| v as f32).collect();
            let p_truth = ln_normal(&truth, &exact_mean, &exact_l) as f32;
            let importance = Importance {
                columns: &columns,
                rows: &rows,
                weights: &weights,
                ln_density: &ln_density,
                truth: p_truth,
            };
            let posterior = Posterior {
                columns: &columns,
                rows: &rows,
                ln_q: &ln_q,
                importance: weighted.then_some(importance),
            };
            let q_truth = ln_normal(&truth, &mean, &l) as f32;
            let truth = Truth { columns: &truth_f32, row: &truth_f32, ln_q: q_truth };
            let mut row = examine(&posterior, &truth, &point, &mut rng);
            // Covariates are functions of the data: among mocks chosen by their truth no posterior is right.
            row.set(Scalar::Redshift, data[0] + data[1]);
            row.set(Scalar::Magnitude, data[0]);
            row.set(Scalar::SignalToNoise, data[1]);
            row
        };
        Evidence {
            names: ["a", "b", "c", "d"].map(String::from).to_vec(),
            rows: (0..n).into_par_iter().map(of_mock).collect(),
        }
    }

    fn findings(&self) -> Findings {
        Findings::of(&self.evidence(1500, 200, false, 11), &Settings::default())
    }
}

fn ln_normal(at: &[f64], mean: &[f64], l: &Matrix) -> f64 {
    let mut y = [0.0; D];
    let mut sum = 0.0;
    for i in 0..D {
        y[i] = (at[i] - mean[i] - (0..i).map(|k| l[i][k] * y[k]).sum::<f64>()) / l[i][i];
        sum -= 0.5 * y[i] * y[i] + l[i][i].ln() + 0.5 * (2.0 * std::f64::consts::PI).ln();
    }
    sum
}

fn shapes(findings: &Findings) -> Vec<Shape> {
    findings.quantities.iter().map(|q| q.ranks.shape).collect()
}

fn diagnostics(findings: &Findings) -> Vec<&'static str> {
    let overall = findings.problems.iter().filter(|problem| problem.subset.is_empty());
    overall.map(|problem| problem.diagnostic).collect()
}

#[test]
fn a_right_posterior_is_caught_by_none() {
    let findings = Claim::exact().findings();
    assert_eq!(findings.problems, []);
    assert_eq!(findings.n_mocks, 1500);
    assert!(
        findings.checks(&Limits::default()).iter().all(|check| check.verdict != findings::Verdict::Missed)
    );
    assert_eq!(findings.subsets.len(), 15);
}

#[test]
fn a_shifted_posterior_is_caught_and_read_as_shifted() {
    let low = Claim { shift: -0.2, ..Claim::exact() }.findings();
    assert_eq!(shapes(&low), [Shape::DrawsLow; 4]);
    assert!(low.quantities.iter().all(|q| (q.ranks.bias - 0.2).abs() < 0.07));
    let high = Claim { shift: 0.2, ..Claim::exact() }.findings();
    assert_eq!(shapes(&high), [Shape::DrawsHigh; 4]);
}

#[test]
fn a_posterior_too_narrow_or_too_wide_is_caught_and_read_as_such() {
    let narrow = Claim::wider(0.8).findings();
    assert_eq!(shapes(&narrow), [Shape::TooNarrow; 4]);
    assert_eq!(narrow.joint.density.shape, Shape::TooNarrow);
    assert!(narrow.joint.density.in_68.high < 0.68 && narrow.quantities[0].ranks.in_95.high < 0.95);
    assert!(diagnostics(&narrow).contains(&"tarp_local"), "{:?}", diagnostics(&narrow));
    assert!(narrow.checks(&Limits::default()).iter().any(|check| check.verdict == findings::Verdict::Missed));
    let wide = Claim::wider(1.25).findings();
    assert_eq!(shapes(&wide), [Shape::TooWide; 4]);
    assert_eq!(wide.joint.density.shape, Shape::TooWide);
    assert!((wide.quantities[2].ranks.spread - 0.8).abs() < 0.05);
}

#[test]
fn a_wrong_correlation_is_seen_by_joint_diagnostics_alone() {
    for factor in [0.0, 0.6] {
        let findings = Claim::correlated(factor).findings();
        assert_eq!(shapes(&findings), [Shape::Uniform; 4], "{factor}");
        let seen = diagnostics(&findings);
        assert!(seen.contains(&"density coverage"), "{factor}: {seen:?}");
    }
    let independent = diagnostics(&Claim::correlated(0.0).findings());
    assert!(independent.contains(&"tarp_local"), "{independent:?}");
    // Of the opposite sign, the density of the claim is nearly that of a pancake at a right angle.
    assert!(diagnostics(&Claim::correlated(-0.7).findings()).contains(&"density coverage"));
}

#[test]
fn importance_weights_repair_what_is_wrong() {
    for claim in [Claim { shift: 0.3, ..Claim::wider(1.2) }, Claim::correlated(0.6)] {
        let evidence = claim.evidence(1500, 300, true, 12);
        let findings = Findings::of(&evidence, &Settings::default());
        let seen = diagnostics(&findings);
        assert!(!seen.is_empty() && seen.iter().all(|diagnostic| !diagnostic.ends_with("_is")), "{seen:?}");
        let (quantiles, above) = findings.efficiency.unwrap();
        assert!(quantiles[2] > 0.1 && quantiles[2] < 0.95 && above > 0.99, "{quantiles:?}");
    }
}

#[test]
fn an_error_at_one_end_of_a_covariate_only_is_seen_in_its_subset() {
    // Too narrow where the first datum is large, too wide where it is small: right on average.
    let (narrow, wide) = (Claim::wider(0.75), Claim::wider(1.3));
    let (narrow, wide) = (narrow.evidence(1500, 100, false, 5), wide.evidence(1500, 100, false, 5));
    let mut mixed = narrow.clone();
    for (row, other) in mixed.rows.iter_mut().zip(wide.rows) {
        if row.get(Scalar::Magnitude) < 0.0 {
            *row = other;
        }
    }
    let findings = Findings::of(&mixed, &Settings::default());
    let found = |from: f64, to: f64, shape: Shape| {
        let inside = |s: &&findings::Subset| s.covariate == "mag" && s.bin.low >= from && s.bin.high <= to;
        let subsets: Vec<_> = findings.subsets.iter().filter(inside).collect();
        assert!(subsets.len() >= 2);
        subsets.iter().all(|subset| subset.density.shape == shape)
    };
    assert!(found(0.0, f64::INFINITY, Shape::TooNarrow));
    assert!(found(f64::NEG_INFINITY, 0.0, Shape::TooWide));
}

#[test]
fn the_linear_gaussian_problem_of_the_flows_passes_with_its_exact_posterior() {
    let toy = Toy::LinearGaussian;
    let pairs = toy.simulate(21, 0, 1200);
    let streams = Streams::new(21, "validate test");
    let of_mock = |mock: usize| {
        let (truth, x) = (pairs.theta.row(mock), pairs.x.row(mock));
        let draws: Array2<f32> = toy.posterior(x, 1000 + mock as u64, 150).unwrap();
        let ln = |theta| toy.ln_posterior(theta, x).unwrap() as f32;
        let ln_q: Vec<f32> = draws.rows().into_iter().map(ln).collect();
        let columns: Vec<f32> = draws.t().iter().copied().collect();
        let rows: Vec<f32> = draws.iter().copied().collect();
        let posterior = Posterior { columns: &columns, rows: &rows, ln_q: &ln_q, importance: None };
        let own = truth.to_vec();
        let point = pairs.theta.row((mock + 1) % 1200).to_vec();
        let truth = Truth { columns: &own, row: &own, ln_q: ln(truth) };
        let mut row = examine(&posterior, &truth, &point, &mut streams.at(mock as u64));
        row.set(Scalar::Magnitude, f64::from(x[0]));
        row
    };
    let rows = (0..1200).into_par_iter().map(of_mock).collect();
    let names = ["a", "b", "c"].map(String::from).to_vec();
    let findings = Findings::of(&Evidence { names, rows }, &Settings::default());
    assert_eq!(findings.problems, []);
    // Mean ln p is minus the entropy of the posterior, whose covariance does not depend on x.
    let determinant = (findings.ln_q.high - findings.ln_q.low) / findings.ln_q.value.abs();
    assert!(determinant < 0.2 && findings.subsets.len() == 5);
}

#[test]
fn measures_name_every_number_once_and_none_is_missing_a_value() {
    let findings = Findings::of(&Claim::wider(1.1).evidence(300, 100, true, 3), &Settings::default());
    let measures = findings.measures();
    let mut keys: Vec<_> = measures.iter().map(|m| (&m.metric, &m.quantity, &m.subset)).collect();
    let n = keys.len();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), n);
    assert!(measures.iter().all(|m| m.value.is_finite()));
    for metric in ["ks", "ks_is", "sbc_chi2", "coverage68", "tarp", "tarp_is", "ln_q", "efficiency_q50"] {
        assert!(measures.iter().any(|m| m.metric == metric), "{metric}");
    }
    assert!(measures.iter().all(|m| m.p_value.is_none_or(|p| (0.0..=1.0).contains(&p))));
}
