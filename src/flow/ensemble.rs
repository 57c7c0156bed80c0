//! One flow or several as one density: their weighted mixture.
//!
//! A mixture of one is that flow, bit for bit. Draw `i` of more is a draw of the member that the `i`-th
//! number of a stream of (seed, galaxy) chooses, so it depends neither on the number of draws nor on threads.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2};
use rand::RngExt;

use super::{ConditionalFlow, Conditioned, FlowConfig, FlowError, FlowInfo};
use crate::rng::Streams;

/// Flows over the same coordinates and features.
pub struct Ensemble {
    members: Vec<ConditionalFlow>,
    /// Positive, with sum one.
    weights: Vec<f64>,
    pub info: FlowInfo,
}

impl From<ConditionalFlow> for Ensemble {
    fn from(flow: ConditionalFlow) -> Self {
        Self { info: flow.info.clone(), members: vec![flow], weights: vec![1.0] }
    }
}

impl Ensemble {
    /// Members of equal weight. Errors where there is none or their shapes differ.
    pub fn new(members: Vec<ConditionalFlow>, info: FlowInfo) -> Result<Self, FlowError> {
        let weights = vec![1.0; members.len()];
        Self::weighted(members, &weights, info)
    }

    /// Errors where there is no member, their shapes differ, or a weight is not positive and finite;
    /// weights need not sum to one.
    pub fn weighted(
        members: Vec<ConditionalFlow>,
        weights: &[f64],
        info: FlowInfo,
    ) -> Result<Self, FlowError> {
        let bad = |setting, found: String, expected| Err(FlowError::Config { setting, found, expected });
        let Some(first) = members.first() else {
            return bad("members", "0".to_owned(), "at least 1");
        };
        let expected = vec![first.n_param(), first.n_feature()];
        for member in &members {
            let found = vec![member.n_param(), member.n_feature()];
            if found != expected {
                return Err(FlowError::Shape { what: "a member of the ensemble", found, expected });
            }
        }
        if weights.len() != members.len() {
            let (found, expected) = (vec![weights.len()], vec![members.len()]);
            return Err(FlowError::Shape { what: "the members' weights", found, expected });
        }
        if let Some(weight) = weights.iter().find(|weight| !(weight.is_finite() && **weight > 0.0)) {
            return bad("weight of a member", weight.to_string(), "a positive number");
        }
        let total: f64 = weights.iter().sum();
        Ok(Self { members, weights: weights.iter().map(|weight| weight / total).collect(), info })
    }

    pub fn members(&self) -> &[ConditionalFlow] {
        &self.members
    }

    /// In the order of the members; their sum is one.
    pub fn weights(&self) -> &[f64] {
        &self.weights
    }

    /// Architecture of the first member.
    pub fn config(&self) -> &FlowConfig {
        self.members[0].config()
    }

    pub fn n_param(&self) -> usize {
        self.members[0].n_param()
    }

    pub fn n_feature(&self) -> usize {
        self.members[0].n_feature()
    }

    /// Number of weights of all members, masked ones not counted.
    pub fn n_weights(&self) -> usize {
        self.members.iter().map(ConditionalFlow::n_weights).sum()
    }

    /// `ln q(theta_i | x_i)` `[n]`: `theta` `[n, n_param]`, `x` `[n, n_feature]`.
    pub fn ln_prob(&self, theta: ArrayView2<f32>, x: ArrayView2<f32>) -> Result<Array1<f32>, FlowError> {
        let all: Result<Vec<_>, _> = self.members.iter().map(|member| member.ln_prob(theta, x)).collect();
        Ok(ln_mixture(&self.weights, all?))
    }

    /// The density of one galaxy, with what depends on its features `x` `[n_feature]` alone done.
    pub fn condition(&self, x: ArrayView1<f32>) -> Result<ConditionedEnsemble<'_>, FlowError> {
        let members: Result<Vec<_>, _> = self.members.iter().map(|member| member.condition(x)).collect();
        Ok(ConditionedEnsemble { members: members?, weights: &self.weights })
    }

    /// `n` draws `[n, n_param]` given `x` `[n_feature]`; see [`ConditionalFlow::sample`].
    pub fn sample(
        &self,
        x: ArrayView1<f32>,
        n: usize,
        seed: u64,
        stream: u64,
    ) -> Result<Array2<f32>, FlowError> {
        Ok(self.condition(x)?.sample(n, seed, stream))
    }

    /// [`Self::sample`] and the draws' `ln q` `[n]`.
    pub fn sample_with_ln_prob(
        &self,
        x: ArrayView1<f32>,
        n: usize,
        seed: u64,
        stream: u64,
    ) -> Result<(Array2<f32>, Array1<f32>), FlowError> {
        Ok(self.condition(x)?.sample_with_ln_prob(n, seed, stream))
    }
}

/// The density of one galaxy.
pub struct ConditionedEnsemble<'a> {
    members: Vec<Conditioned<'a>>,
    weights: &'a [f64],
}

impl ConditionedEnsemble<'_> {
    /// `n` draws `[n, n_param]`.
    pub fn sample(&self, n: usize, seed: u64, stream: u64) -> Array2<f32> {
        if let [only] = &self.members[..] {
            return only.sample(n, seed, stream);
        }
        let mut rng = Streams::new(seed, "ensemble members").child(stream).at(0);
        let mut of_member: Vec<Vec<usize>> = vec![Vec::new(); self.members.len()];
        for draw in 0..n {
            let mut left: f64 = rng.random();
            let chosen = self.weights.iter().position(|weight| {
                left -= weight;
                left < 0.0
            });
            of_member[chosen.unwrap_or(self.members.len() - 1)].push(draw);
        }
        let streams = Streams::new(seed, "posterior draws").child(stream);
        let mut draws = Array2::zeros((n, self.members[0].n_param()));
        for (m, (member, rows)) in self.members.iter().zip(of_member).enumerate() {
            let (own, _) = member.draw_from(streams.child(m as u64), rows.len());
            rows.iter().zip(own.rows()).for_each(|(&row, draw)| draws.row_mut(row).assign(&draw));
        }
        draws
    }

    /// `n` draws `[n, n_param]` and their `ln q` `[n]`, NaN where a draw is not finite.
    pub fn sample_with_ln_prob(&self, n: usize, seed: u64, stream: u64) -> (Array2<f32>, Array1<f32>) {
        if let [only] = &self.members[..] {
            return only.sample_with_ln_prob(n, seed, stream);
        }
        let draws = self.sample(n, seed, stream);
        let ln_prob = self.ln_prob(draws.view()).unwrap_or_else(|_| Array1::from_elem(n, f32::NAN));
        (draws, ln_prob)
    }

    /// `ln q(theta_i | x)` `[n]` of `theta` `[n, n_param]`.
    pub fn ln_prob(&self, theta: ArrayView2<f32>) -> Result<Array1<f32>, FlowError> {
        let all: Result<Vec<_>, _> = self.members.iter().map(|member| member.ln_prob(theta)).collect();
        Ok(ln_mixture(self.weights, all?))
    }
}

/// `ln(sum_m weight_m exp(values_m))`, element by element.
fn ln_mixture(weights: &[f64], mut values: Vec<Array1<f32>>) -> Array1<f32> {
    if values.len() == 1 {
        return values.swap_remove(0);
    }
    Array1::from_shape_fn(values.first().map_or(0, Array1::len), |i| {
        let top = values.iter().map(|v| v[i]).fold(f32::NEG_INFINITY, f32::max);
        if !top.is_finite() {
            return top;
        }
        let sum: f64 = weights.iter().zip(&values).map(|(w, v)| w * f64::from(v[i] - top).exp()).sum();
        top + sum.ln() as f32
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(n_param: usize, seed: u64) -> ConditionalFlow {
        let config = FlowConfig {
            layers: 1,
            hidden: vec![8],
            order: crate::flow::Order::Alternating,
            ..FlowConfig::maf(n_param, 2)
        };
        ConditionalFlow::untrained(config, seed).expect("a small flow")
    }

    fn mixture() -> Ensemble {
        let members = (0..3).map(|seed| member(3, seed)).collect();
        Ensemble::weighted(members, &[1.0, 2.0, 5.0], FlowInfo::default()).expect("equal shapes")
    }

    #[test]
    fn the_density_is_the_weighted_mean_of_the_members() {
        let ensemble = mixture();
        let x = ndarray::array![0.3_f32, -0.7];
        let (draws, ln_q) = ensemble.sample_with_ln_prob(x.view(), 50, 1, 2).expect("good x");
        let xs = x.broadcast((50, 2)).expect("a row").to_owned();
        let batch = ensemble.ln_prob(draws.view(), xs.view()).expect("finite");
        let members: Vec<_> =
            ensemble.members().iter().map(|m| m.ln_prob(draws.view(), xs.view()).expect("finite")).collect();
        for i in 0..50 {
            let weighted = members.iter().zip([0.125, 0.25, 0.625]).map(|(m, w)| w * f64::from(m[i]).exp());
            let truth = weighted.sum::<f64>().ln();
            assert!((truth - f64::from(ln_q[i])).abs() < 1e-4, "{truth} or {}", ln_q[i]);
            assert!((truth - f64::from(batch[i])).abs() < 1e-4);
        }
    }

    #[test]
    fn draws_follow_the_mixture_and_depend_on_seed_galaxy_and_number_alone() {
        let ensemble = mixture();
        let x = ndarray::array![0.3_f32, -0.7];
        let conditioned = ensemble.condition(x.view()).expect("good x");
        let draws = conditioned.sample(40_000, 4, 9);
        assert_eq!(conditioned.sample(77, 4, 9), draws.slice(ndarray::s![..77, ..]));
        assert_ne!(conditioned.sample(77, 4, 8), draws.slice(ndarray::s![..77, ..]));
        assert_ne!(conditioned.sample(77, 5, 9), draws.slice(ndarray::s![..77, ..]));
        // The mean of each coordinate is the weighted mean of the members' own.
        let mean = |table: &Array2<f32>| table.mean_axis(ndarray::Axis(0)).expect("draws");
        let mut truth = Array1::<f32>::zeros(3);
        for (member, weight) in ensemble.members().iter().zip(ensemble.weights()) {
            truth += &(mean(&member.sample(x.view(), 40_000, 77, 1).expect("good x")) * *weight as f32);
        }
        let spread = draws.std_axis(ndarray::Axis(0), 0.0);
        for ((found, truth), spread) in mean(&draws).iter().zip(&truth).zip(&spread) {
            assert!((found - truth).abs() < 0.03 * spread, "{found} is not {truth} +- {spread}");
        }
    }

    #[test]
    fn a_mixture_of_one_is_that_flow_bit_for_bit() {
        let x = ndarray::array![0.3_f32, -0.7];
        let alone = member(3, 5).sample_with_ln_prob(x.view(), 90, 1, 2).expect("good x");
        let mixture = Ensemble::from(member(3, 5));
        assert_eq!(mixture.sample_with_ln_prob(x.view(), 90, 1, 2).expect("good x"), alone);
        assert_eq!(mixture.sample(x.view(), 90, 1, 2).expect("good x"), alone.0);
    }

    #[test]
    fn what_is_no_mixture_is_refused_with_a_sentence() {
        let error = |members, weights: &[f64]| match Ensemble::weighted(members, weights, FlowInfo::default())
        {
            Ok(_) => panic!("accepted"),
            Err(error) => error.to_string(),
        };
        assert_eq!(error(vec![], &[]), "flow configuration: members is 0, expected at least 1");
        assert_eq!(
            error(vec![member(3, 0), member(2, 0)], &[1.0, 1.0]),
            "a member of the ensemble has shape [2, 2], expected [3, 2]"
        );
        assert_eq!(
            error(vec![member(3, 0)], &[0.0]),
            "flow configuration: weight of a member is 0, expected a positive number"
        );
        assert_eq!(
            error(vec![member(3, 0)], &[1.0, 1.0]),
            "the members' weights has shape [2], expected [1]"
        );
    }
}
