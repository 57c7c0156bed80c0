//! Several flows trained from different seeds, as one density: their equal-weight mixture.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis};
use rayon::prelude::*;

use super::train::{Data, TrainConfig, TrainError, Trainer};
use super::{ConditionalFlow, FlowConfig, FlowError};
use crate::progress::{Event, Progress};

/// Flows over the same coordinates and features.
pub struct Ensemble {
    members: Vec<ConditionalFlow>,
}

impl Ensemble {
    /// Errors where there is no member or their shapes differ.
    pub fn new(members: Vec<ConditionalFlow>) -> Result<Self, FlowError> {
        let Some(first) = members.first() else {
            return Err(FlowError::Config {
                setting: "members",
                found: "0".to_owned(),
                expected: "at least 1",
            });
        };
        let expected = vec![first.n_param(), first.n_feature()];
        for member in &members {
            let found = vec![member.n_param(), member.n_feature()];
            if found != expected {
                return Err(FlowError::Shape { what: "a member of the ensemble", found, expected });
            }
        }
        Ok(Self { members })
    }

    pub fn members(&self) -> &[ConditionalFlow] {
        &self.members
    }

    /// `ln` of the mean density `[n]`: `theta` `[n, n_param]`, `x` `[n, n_feature]`.
    pub fn ln_prob(&self, theta: ArrayView2<f32>, x: ArrayView2<f32>) -> Result<Array1<f32>, FlowError> {
        let all: Result<Vec<_>, _> = self.members.iter().map(|member| member.ln_prob(theta, x)).collect();
        Ok(ln_mean(&all?))
    }

    /// `n` draws `[n, n_param]` of the mixture and their `ln q` `[n]`; draw `i` is member `i % k`'s
    /// draw `i / k`, so it does not depend on `n`.
    pub fn sample_with_ln_prob(
        &self,
        x: ArrayView1<f32>,
        n: usize,
        seed: u64,
        stream: u64,
    ) -> Result<(Array2<f32>, Array1<f32>), FlowError> {
        let k = self.members.len();
        let conditioned: Result<Vec<_>, _> = self.members.iter().map(|member| member.condition(x)).collect();
        let conditioned = conditioned?;
        let mut draws = Array2::zeros((n, self.members[0].n_param()));
        for (m, member) in conditioned.iter().enumerate() {
            let count = (n + k - 1 - m) / k;
            let member_seed = seed.wrapping_add(m as u64);
            for (i, row) in member.sample(count, member_seed, stream).axis_iter(Axis(0)).enumerate() {
                draws.row_mut(i * k + m).assign(&row);
            }
        }
        let all: Result<Vec<_>, _> = conditioned.iter().map(|member| member.ln_prob(draws.view())).collect();
        Ok((draws, ln_mean(&all?)))
    }
}

/// `ln(mean(exp(values)))` over the first axis.
fn ln_mean(values: &[Array1<f32>]) -> Array1<f32> {
    let n = values.first().map_or(0, Array1::len);
    Array1::from_shape_fn(n, |i| {
        let top = values.iter().map(|v| v[i]).fold(f32::NEG_INFINITY, f32::max);
        if top == f32::NEG_INFINITY {
            return top;
        }
        top + (values.iter().map(|v| (v[i] - top).exp()).sum::<f32>() / values.len() as f32).ln()
    })
}

/// Trains `members` flows that differ in their seed, each on one thread, as many at once as there are
/// threads. Returned in the order of their seeds, whatever the thread count.
pub fn train_ensemble(
    flow: &FlowConfig,
    config: &TrainConfig,
    members: usize,
    data: &Data,
    progress: &dyn Progress,
) -> Result<Vec<Trainer>, TrainError> {
    (0..members)
        .into_par_iter()
        .map(|member| {
            let config = TrainConfig { seed: config.seed.wrapping_add(member as u64), ..config.clone() };
            let mut trainer = Trainer::new(flow.clone(), config, data)?;
            let quiet = Quiet { inner: progress, name: format!("member {}", member + 1) };
            on_one_thread(|| trainer.run(data, &quiet))?;
            Ok(trainer)
        })
        .collect()
}

/// Runs `work` in a pool of one thread, or here where none can be started.
pub(super) fn on_one_thread<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    match rayon::ThreadPoolBuilder::new().num_threads(1).build() {
        Ok(pool) => pool.install(work),
        Err(_) => work(),
    }
}

/// Passes on notes, under a name, and the wish to stop: several bars at once help nobody.
pub(super) struct Quiet<'a> {
    pub inner: &'a dyn Progress,
    pub name: String,
}

impl Progress for Quiet<'_> {
    fn report(&self, event: Event) {
        match event {
            Event::Note(text) => self.inner.report(Event::Note(format!("{}: {text}", self.name))),
            Event::Training { epoch, validation_ln_prob: Some(score), .. } => {
                self.inner.report(Event::Note(format!("{}: epoch {epoch}, held out {score:.3}", self.name)));
            }
            _ => {}
        }
    }

    fn cancelled(&self) -> bool {
        self.inner.cancelled()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::Conditioner;
    use crate::flow::FlowInfo;
    use crate::flow::toys::Toy;
    use crate::flow::train::Limit;
    use crate::progress::Silent;

    #[test]
    fn an_ensemble_is_the_mixture_of_its_members() {
        let toy = Toy::LinearGaussian;
        let validation = toy.simulate(3, 0, 200);
        let data = Data::Stream { source: &toy, validation: &validation, threads: 1 };
        let flow = FlowConfig {
            layers: 1,
            hidden: vec![8],
            conditioner: Conditioner::Residual { width: 8, blocks: 1 },
            ..FlowConfig::nsf(3, 2)
        };
        let config = TrainConfig {
            batch: 50,
            limit: Limit { steps: Some(30), ..Limit::default() },
            ..TrainConfig::default()
        };
        let train = || train_ensemble(&flow, &config, 3, &data, &Silent).expect("trains");
        let trainers = train();
        let again = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a thread").install(train);
        for (a, b) in trainers.iter().zip(&again) {
            assert_eq!(a.best_ln_prob(), b.best_ln_prob());
        }
        assert_ne!(trainers[0].best_ln_prob(), trainers[1].best_ln_prob());
        let flows: Vec<_> = trainers.iter().map(|t| t.flow(FlowInfo::default()).expect("finite")).collect();
        let ensemble = Ensemble::new(flows).expect("equal shapes");
        let x = validation.x.row(0);
        let (draws, ln_q) = ensemble.sample_with_ln_prob(x, 20, 1, 2).expect("good x");
        let (few, _) = ensemble.sample_with_ln_prob(x, 7, 1, 2).expect("good x");
        assert_eq!(draws.slice(ndarray::s![..7, ..]), few);
        let xs = x.broadcast((20, 2)).expect("a row").to_owned();
        let densities: Vec<_> =
            ensemble.members().iter().map(|m| m.ln_prob(draws.view(), xs.view()).expect("finite")).collect();
        for i in 0..20 {
            let mean = densities.iter().map(|d| f64::from(d[i]).exp()).sum::<f64>() / 3.0;
            assert!((mean.ln() - f64::from(ln_q[i])).abs() < 1e-4);
        }
        assert!(Ensemble::new(Vec::new()).is_err());
    }
}
