//! What mocks say of the posteriors made for them, one row each: all that the diagnostics need, and
//! little enough to keep.

use rand::{Rng, RngExt};
use thiserror::Error;

use super::coverage::{density_level, weighted_density_level};
use super::ranks::{rank_fraction, weighted_rank_fraction};
use super::tarp::{Cloud, level, local_level};
use crate::infer::summarise;

#[derive(Debug, Error, PartialEq)]
pub enum EvidenceError {
    #[error("evidence of mocks: `{name}` is missing")]
    Missing { name: String },
    #[error("evidence of mocks: `{name}` has {found} numbers, expected {expected}")]
    Shape { name: String, found: usize, expected: usize },
}

/// Draws of one mock's posterior.
#[derive(Debug, Clone, Copy)]
pub struct Posterior<'a> {
    /// Quantities `[k, n]`, one after the other.
    pub columns: &'a [f32],
    /// Coordinates `[n, d]`, row after row.
    pub rows: &'a [f32],
    /// ln q of each draw `[n]`.
    pub ln_q: &'a [f32],
    pub importance: Option<Importance<'a>>,
}

/// Draws of a flow that weights make draws of the exact posterior: others than those of [`Posterior`], as
/// many as it takes.
#[derive(Debug, Clone, Copy)]
pub struct Importance<'a> {
    /// Quantities `[k, m]` and coordinates `[m, d]`, as of [`Posterior`].
    pub columns: &'a [f32],
    pub rows: &'a [f32],
    /// Weights `[m]`, not negative, not all zero.
    pub weights: &'a [f64],
    /// The exact posterior's ln density of each draw `[m]`, and of the truth, up to one constant.
    pub ln_density: &'a [f32],
    pub truth: f32,
}

/// The mock's own parameters.
#[derive(Debug, Clone, Copy)]
pub struct Truth<'a> {
    /// Quantities `[k]`, coordinates `[d]`.
    pub columns: &'a [f32],
    pub row: &'a [f32],
    pub ln_q: f32,
}

/// One quantity of one mock.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quantity {
    pub rank: f32,
    /// Its rank among weighted draws; NaN without weights.
    pub rank_is: f32,
    pub truth: f32,
    pub q16: f32,
    pub q50: f32,
    pub q84: f32,
}

const QUANTITY_FIELDS: [&str; 6] = ["rank", "rank_is", "truth", "q16", "q50", "q84"];

impl Quantity {
    fn to_array(self) -> [f32; 6] {
        [self.rank, self.rank_is, self.truth, self.q16, self.q50, self.q84]
    }

    fn from_array([rank, rank_is, truth, q16, q50, q84]: [f32; 6]) -> Self {
        Self { rank, rank_is, truth, q16, q50, q84 }
    }
}

/// The numbers of a mock that are not of one quantity; NaN where not computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scalar {
    /// ln q of the truth, and its exact ln density.
    LnQ,
    LnExact,
    /// Levels among regions of highest density and among balls; then the same with weights.
    DensityLevel,
    Tarp,
    TarpLocal,
    DensityLevelIs,
    TarpIs,
    TarpLocalIs,
    /// Effective fraction of the draws, and Pareto k of the weights.
    Efficiency,
    ParetoK,
    Redshift,
    /// Of the reference band.
    Magnitude,
    /// Median over bands of flux over error.
    SignalToNoise,
    /// Posterior predictive: of the best draw, and the p-value.
    Chi2Best,
    PredictiveP,
}

impl Scalar {
    pub const ALL: [Scalar; 15] = [
        Scalar::LnQ,
        Scalar::LnExact,
        Scalar::DensityLevel,
        Scalar::Tarp,
        Scalar::TarpLocal,
        Scalar::DensityLevelIs,
        Scalar::TarpIs,
        Scalar::TarpLocalIs,
        Scalar::Efficiency,
        Scalar::ParetoK,
        Scalar::Redshift,
        Scalar::Magnitude,
        Scalar::SignalToNoise,
        Scalar::Chi2Best,
        Scalar::PredictiveP,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Scalar::LnQ => "ln_q",
            Scalar::LnExact => "ln_exact",
            Scalar::DensityLevel => "density_level",
            Scalar::Tarp => "tarp",
            Scalar::TarpLocal => "tarp_local",
            Scalar::DensityLevelIs => "density_level_is",
            Scalar::TarpIs => "tarp_is",
            Scalar::TarpLocalIs => "tarp_local_is",
            Scalar::Efficiency => "efficiency",
            Scalar::ParetoK => "pareto_k",
            Scalar::Redshift => "redshift",
            Scalar::Magnitude => "mag",
            Scalar::SignalToNoise => "snr",
            Scalar::Chi2Best => "chi2_best",
            Scalar::PredictiveP => "ppc_p_value",
        }
    }
}

/// One mock.
#[derive(Debug, Clone, PartialEq)]
pub struct MockRow {
    pub quantities: Vec<Quantity>,
    scalars: [f32; Scalar::ALL.len()],
}

impl MockRow {
    pub fn get(&self, scalar: Scalar) -> f64 {
        f64::from(self.scalars[scalar as usize])
    }

    pub fn set(&mut self, scalar: Scalar, value: f64) {
        self.scalars[scalar as usize] = value as f32;
    }
}

/// Compares draws with the truth. `point` `[d]` is where the balls of TARP lie: a draw of the prior.
///
/// Numbers that depend on chance alone come from `rng`.
pub fn examine(posterior: &Posterior, truth: &Truth, point: &[f32], rng: &mut impl Rng) -> MockRow {
    let n = posterior.ln_q.len();
    let mut scratch = Vec::with_capacity(n);
    let quantities = posterior
        .columns
        .chunks_exact(n.max(1))
        .zip(truth.columns)
        .enumerate()
        .map(|(k, (draws, &truth))| {
            let u = rng.random();
            let [_, q16, q50, q84, _] =
                summarise(draws, 0, None, &mut scratch).quantiles.map(|quantile| quantile as f32);
            let rank_is = posterior.importance.map_or(f32::NAN, |importance| {
                let m = importance.weights.len();
                let draws = &importance.columns[k * m..(k + 1) * m];
                weighted_rank_fraction(draws, importance.weights, truth, u) as f32
            });
            Quantity { rank: rank_fraction(draws, truth, u) as f32, rank_is, truth, q16, q50, q84 }
        })
        .collect();
    let mut row = MockRow { quantities, scalars: [f32::NAN; Scalar::ALL.len()] };
    row.set(Scalar::LnQ, f64::from(truth.ln_q));
    let d = truth.row.len();
    let ones = vec![1.0; d];
    let plain = Cloud { rows: posterior.rows, d, weights: &[] };
    let (u_density, u_ball, u_local): (f64, f64, f64) = (rng.random(), rng.random(), rng.random());
    row.set(Scalar::DensityLevel, density_level(posterior.ln_q, truth.ln_q, u_density));
    row.set(Scalar::Tarp, level(&plain, truth.row, point, &ones, u_ball, &mut scratch));
    row.set(Scalar::TarpLocal, local_level(&plain, truth.row, u_local, &mut scratch));
    if let Some(importance) = posterior.importance {
        let weights = importance.weights;
        let weighted = Cloud { rows: importance.rows, d, weights };
        let level_is = weighted_density_level(importance.ln_density, weights, importance.truth, u_density);
        row.set(Scalar::DensityLevelIs, level_is);
        row.set(Scalar::TarpIs, level(&weighted, truth.row, point, &ones, u_ball, &mut scratch));
        row.set(Scalar::TarpLocalIs, local_level(&weighted, truth.row, u_local, &mut scratch));
        let (sum, square) = weights.iter().fold((0.0, 0.0), |(s, q), w| (s + w, q + w * w));
        row.set(Scalar::Efficiency, sum * sum / (square * weights.len() as f64));
    }
    row
}

/// A named array of one row per mock: name, shape, values row after row.
pub type Named = (String, Vec<usize>, Vec<f32>);

/// Many mocks.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Evidence {
    /// Names of the quantities.
    pub names: Vec<String>,
    pub rows: Vec<MockRow>,
}

impl Evidence {
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// One scalar of every mock.
    pub fn scalar(&self, scalar: Scalar) -> Vec<f64> {
        self.rows.iter().map(|row| row.get(scalar)).collect()
    }

    /// One number of every mock's quantity `k`.
    pub fn quantity(&self, k: usize, field: impl Fn(&Quantity) -> f32) -> Vec<f64> {
        self.rows.iter().map(|row| f64::from(field(&row.quantities[k]))).collect()
    }

    /// Whether the mocks have importance weights.
    pub fn is_weighted(&self) -> bool {
        self.rows.iter().any(|row| row.get(Scalar::Efficiency).is_finite())
    }

    /// As arrays: one `[n, k]` per number of a quantity, one `[n]` per scalar.
    pub fn to_arrays(&self) -> Vec<Named> {
        let (n, k) = (self.len(), self.names.len());
        let of_field = |(field, name): (usize, &&str)| {
            let values =
                self.rows.iter().flat_map(|row| row.quantities.iter().map(move |q| q.to_array()[field]));
            ((*name).to_owned(), vec![n, k], values.collect())
        };
        let of_scalar = |scalar: Scalar| {
            let values = self.rows.iter().map(|row| row.scalars[scalar as usize]).collect();
            (scalar.name().to_owned(), vec![n], values)
        };
        QUANTITY_FIELDS
            .iter()
            .enumerate()
            .map(of_field)
            .chain(Scalar::ALL.into_iter().map(of_scalar))
            .collect()
    }

    /// Back from [`Self::to_arrays`] for the quantities `names`. Errors where an array is missing or of
    /// another size than the others.
    pub fn from_arrays(names: &[String], arrays: &[Named]) -> Result<Self, EvidenceError> {
        let k = names.len();
        let find = |name: &str, expected: Option<usize>| {
            let array = arrays.iter().find(|(found, ..)| found == name);
            let (_, _, values) = array.ok_or_else(|| EvidenceError::Missing { name: name.to_owned() })?;
            match expected {
                Some(expected) if expected != values.len() => {
                    Err(EvidenceError::Shape { name: name.to_owned(), found: values.len(), expected })
                }
                _ => Ok(values),
            }
        };
        let n = find(Scalar::LnQ.name(), None)?.len();
        let mut fields = Vec::new();
        for name in QUANTITY_FIELDS {
            fields.push(find(name, Some(n * k))?);
        }
        let mut scalars = Vec::new();
        for scalar in Scalar::ALL {
            scalars.push(find(scalar.name(), Some(n))?);
        }
        let rows = (0..n).map(|row| MockRow {
            quantities: (0..k)
                .map(|q| Quantity::from_array(std::array::from_fn(|f| fields[f][row * k + q])))
                .collect(),
            scalars: std::array::from_fn(|s| scalars[s][row]),
        });
        Ok(Self { names: names.to_vec(), rows: rows.collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Streams;

    fn evidence() -> Evidence {
        let streams = Streams::new(1, "evidence test");
        let draws: Vec<f32> = (0..200).map(|i| ((i * 37) % 200) as f32).collect();
        let ln_q: Vec<f32> = (0..100).map(|i| -(i as f32)).collect();
        let rows = (0..5)
            .map(|i| {
                let weights = vec![1.0; 100];
                let importance = Importance {
                    columns: &draws,
                    rows: &draws,
                    weights: &weights,
                    ln_density: &ln_q,
                    truth: -3.0,
                };
                let posterior =
                    Posterior { columns: &draws, rows: &draws, ln_q: &ln_q, importance: Some(importance) };
                let truth = Truth { columns: &[50.0, 7.0], row: &[50.0, 7.0], ln_q: -3.0 };
                examine(&posterior, &truth, &[0.0, 0.0], &mut streams.at(i))
            })
            .collect();
        Evidence { names: vec!["a".into(), "b".into()], rows }
    }

    #[test]
    fn equal_weights_give_the_numbers_of_none() {
        for row in evidence().rows {
            assert!((row.get(Scalar::Efficiency) - 1.0).abs() < 1e-6);
            for (plain, weighted) in [
                (Scalar::DensityLevel, Scalar::DensityLevelIs),
                (Scalar::Tarp, Scalar::TarpIs),
                (Scalar::TarpLocal, Scalar::TarpLocalIs),
            ] {
                assert!((row.get(plain) - row.get(weighted)).abs() < 1e-6);
            }
            assert!(row.quantities.iter().all(|q| (q.rank - q.rank_is).abs() < 1e-6));
            assert!(row.get(Scalar::Chi2Best).is_nan());
            assert!((3.0..=5.0).contains(&(101.0 * row.get(Scalar::DensityLevel))));
        }
    }

    #[test]
    fn evidence_survives_as_arrays_and_broken_arrays_are_named() {
        let evidence = evidence();
        let mut arrays = evidence.to_arrays();
        let bits = |e: &Evidence| format!("{e:?}");
        assert_eq!(bits(&Evidence::from_arrays(&evidence.names, &arrays).unwrap()), bits(&evidence));
        arrays[0].2.pop();
        let error = Evidence::from_arrays(&evidence.names, &arrays).unwrap_err();
        assert_eq!(error, EvidenceError::Shape { name: "rank".into(), found: 9, expected: 10 });
        arrays.remove(0);
        let error = Evidence::from_arrays(&evidence.names, &arrays).unwrap_err();
        assert_eq!(error, EvidenceError::Missing { name: "rank".into() });
    }
}
