//! An answer for every galaxy: draws of the network, weighted draws, or a Markov chain, by stated rules.
//!
//! 1. A galaxy without a positive redshift that the SED model covers, or without any measured flux, gets a
//!    reason.
//! 2. Where the network can be asked (all its bands measured, redshift in its range), a pilot of its draws is
//!    weighted by exact posterior over density. If the weights look good enough, `n` draws that the pilot
//!    knows nothing of are weighted (more, where the pilot says that it takes more); what is reported is
//!    said by these alone, so a lucky pilot cannot flatter. Weights that hardly differ leave the draws as
//!    they are (`npe`); else draws are resampled in proportion to them (`npe+is`).
//! 3. Otherwise, and where the weights are too uneven, a chain of ensemble slice moves is run (`mcmc`), started
//!    from the best draws there are, or from draws of the prior with the mass that fits.
//! 4. Where no draw comes near the data (`MODEL_MISFIT`) there is no posterior; where the predicted fluxes are
//!    rarely as far from the model as the observed ones, the posterior is marked so.
//!
//! Inside the support of the training set the target is the posterior of the simulator, with the errors
//! as data; outside of it the noise model does not apply and errors are taken as given.

use ndarray::{Array1, Array2, ArrayView1};
use rand::Rng;
use serde::{Deserialize, Serialize};

use super::importance::{Weights, resample, weigh};
use super::mcmc::{self, Chain, ChainConfig, ChainReport, Target};
use super::posterior::{ExactPosterior, Likelihood, LikelihoodError};
use super::reason::Reason;
use super::walk::Walk;
use super::{DerivedProperties, Draws, Measured, Npe};
use crate::features::short_band;
use crate::filters::Filter;
use crate::rng::{Streams, fill_standard_normal};
use crate::sed::{OneRedshift, PhotOptions, PhotTable, SedError, SedModel};
use crate::simulate::table_options;
use crate::special::chi2_survival;

/// Which roads may be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Roads {
    /// The network's draws, or a reason.
    Npe,
    /// Weighted draws of the network whatever their weights, or a reason.
    Is,
    /// The ladder.
    Auto,
    /// A chain for every galaxy.
    Mcmc,
}

/// The road taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Road {
    Npe,
    Is,
    Mcmc,
}

/// What the likelihood makes of errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Errors {
    /// As data inside the training's support, as given outside of it.
    #[default]
    Auto,
    /// As given.
    Given,
    /// As data, drawn by the noise model.
    Modelled,
}

/// The rules of the ladder; part of every set's recipe.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// Draws of the pilot.
    pub pilot: usize,
    /// Effective draws that weighted draws must have (or as many as are asked for, if fewer).
    pub min_ess: f64,
    /// Most draws weighted to get there.
    pub max_weighted: usize,
    /// Largest shape of the weights' tail,
    pub max_pareto_k: f64,
    /// ... and of the pilot's, which tells it less well.
    pub max_pilot_k: f64,
    /// Efficiency from which draws stay as the network gave them.
    pub plain_efficiency: f64,
    /// Posterior predictive p-value below which a posterior is marked `MODEL_MISFIT`.
    pub misfit_p: f64,
    /// Chi-squared per measured band of the best draw above which there is no posterior.
    pub hopeless_chi2: f64,
    pub errors: Errors,
    /// Chains start from draws of the prior even where the network could be asked.
    pub start_from_prior: bool,
    /// Fractional error of the SED model's fluxes.
    pub model_error: f64,
    pub chain: ChainConfig,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            pilot: 1000,
            min_ess: 400.0,
            max_weighted: 40_000,
            max_pareto_k: 0.7,
            max_pilot_k: 1.0,
            plain_efficiency: 0.9,
            misfit_p: 1e-3,
            hopeless_chi2: 300.0,
            errors: Errors::Auto,
            start_from_prior: false,
            model_error: 0.0,
            chain: ChainConfig {
                burn_in: 200,
                iterations: 6000,
                min_ess: 400.0,
                min_times: 20.0,
                max_r_hat: 1.05,
                ..ChainConfig::default()
            },
        }
    }
}

/// Draws of the prior among which chains without a network find their start.
const PRIOR_DRAWS: usize = 3000;
/// Chi-squared per band of the start beyond which a chain would only lose digits.
const HOPELESS_CHI2: f64 = 1e6;
/// Draws whose predicted fluxes are compared with the observed ones.
const PREDICTED: usize = 1000;

/// What is known of an answer besides its draws; none where it was not computed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Evidence {
    pub ess: Option<f64>,
    pub efficiency: Option<f64>,
    pub pareto_k: Option<f64>,
    pub ln_evidence: Option<f64>,
    pub ln_evidence_err: Option<f64>,
    pub ood_score: Option<f64>,
    pub chi2_best: Option<f64>,
    pub ppc_p_value: Option<f64>,
    pub chain: Option<ChainReport>,
}

/// A galaxy's answer: draws and the road to them, or reasons alone.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    pub draws: Option<(Road, Draws)>,
    /// Why there are no draws, or what to know of them.
    pub reasons: Vec<Reason>,
    pub evidence: Evidence,
}

/// A checkpoint with the exact model behind it.
pub struct Ladder<'a> {
    npe: &'a Npe,
    model: &'a SedModel,
    filters: &'a [Filter],
    derived: &'a dyn DerivedProperties,
    options: PhotOptions,
    table: PhotTable,
    rules: Rules,
}

/// The galaxy asked about.
#[derive(Clone, Copy)]
pub struct Question<'a> {
    pub measured: &'a Measured,
    pub zred: Option<f64>,
    /// Draws wanted.
    pub n: usize,
    /// Seed and the galaxy's stream: an answer depends on these and the photometry alone.
    pub seed: u64,
    pub stream: u64,
}

/// Weighted draws of the network.
struct Weighted {
    latent: Array2<f32>,
    ln_q: Array1<f32>,
    ln_target: Vec<f64>,
    /// None where every weight is 0.
    weights: Option<Weights>,
}

impl<'a> Ladder<'a> {
    /// Errors where a band of the checkpoint is not covered at some redshift of its range.
    pub fn new(
        npe: &'a Npe,
        model: &'a SedModel,
        filters: &'a [Filter],
        derived: &'a dyn DerivedProperties,
        rules: Rules,
    ) -> Result<Self, SedError> {
        let options = table_options(npe.prior());
        let table = PhotTable::new(model, filters, npe.card().support.zred, &options)?;
        Ok(Self { npe, model, filters, derived, options, table, rules })
    }

    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// The galaxy's answer by the roads allowed.
    pub fn answer(&self, question: &Question, roads: Roads) -> Answer {
        let mut answer = Answer::default();
        let zred = match question.zred {
            Some(zred) if zred.is_finite() => zred,
            _ => return refused(answer, vec![Reason::ZMissing]),
        };
        if zred <= 0.0 {
            return refused(answer, vec![Reason::ZRange]);
        }
        let observation = question.measured.at(zred);
        let (x, mut reasons) = match self.npe.features(&observation) {
            Ok(x) => {
                answer.evidence.ood_score = Some(self.npe.card().support.score(&x));
                let outside = self.npe.outside(&observation, &x);
                (Some(x), outside)
            }
            Err(reasons) => (None, reasons),
        };
        self.say_limits(question.measured, &mut reasons);
        if roads == Roads::Npe && (x.is_none() || !reasons.is_empty()) {
            return refused(answer, reasons);
        }
        let errors_modelled = match self.rules.errors {
            Errors::Auto => reasons.is_empty(),
            Errors::Given => false,
            Errors::Modelled => true,
        };
        let Ok(likelihood) = self.likelihood(question.measured, errors_modelled) else {
            return refused(answer, reasons);
        };
        let single;
        let table = if self.table.at_redshift(zred).is_ok() {
            &self.table
        } else {
            match self.table_at(zred) {
                Some(table) => single = table,
                None => return refused(answer, reasons),
            }
            &single
        };
        let Ok(at) = table.at_redshift(zred) else { return refused(answer, reasons) };
        let mut posterior = self.posterior(at, likelihood);
        answer.reasons = reasons;
        let mut start = None;
        if let Some(x) = &x {
            let drawn = match roads {
                Roads::Npe => self.plain(question, x),
                Roads::Mcmc if self.rules.start_from_prior => Err(None),
                Roads::Mcmc => self.flow_points(question, x, &mut posterior),
                Roads::Is | Roads::Auto => self.weighted(question, x, &mut posterior, roads, &mut answer),
            };
            match drawn {
                Ok(Drawn::Answer(road, draws)) => {
                    answer.draws = Some((road, draws));
                    return self.examined(answer, &mut posterior);
                }
                Ok(Drawn::Start(points)) => start = Some(points),
                Err(reason) => answer.reasons.extend(reason),
            }
        }
        if matches!(roads, Roads::Npe | Roads::Is) {
            return answer_or_reason(answer);
        }
        // A chain looks at so many points that a table of the one redshift pays.
        let single = self.table_at(zred);
        let mut posterior = match single.as_ref().and_then(|table| table.at_redshift(zred).ok()) {
            Some(at) => self.posterior(at, posterior.likelihood().clone()),
            None => posterior,
        };
        self.chain(question, x.as_deref(), &mut posterior, start, &mut answer);
        self.examined(answer_or_reason(answer), &mut posterior)
    }

    /// A table of one redshift; none where the model does not reach there.
    fn table_at(&self, zred: f64) -> Option<PhotTable> {
        PhotTable::new(self.model, self.filters, (zred, zred), &self.options).ok()
    }

    fn posterior<'b>(&'b self, at: OneRedshift<'b>, likelihood: Likelihood<'b>) -> ExactPosterior<'b> {
        ExactPosterior::new(self.npe.prior(), self.npe.theta_map(), at, likelihood)
    }

    /// The likelihood of a galaxy's photometry.
    pub fn likelihood(
        &self,
        measured: &Measured,
        errors_modelled: bool,
    ) -> Result<Likelihood<'_>, LikelihoodError> {
        let likelihood = Likelihood::new(measured.data())?.with_model_error(self.rules.model_error)?;
        if errors_modelled { likelihood.with_noise(&self.npe.card().noise) } else { Ok(likelihood) }
    }

    /// A band that only has a limit is not one that nobody looked at.
    fn say_limits(&self, measured: &Measured, reasons: &mut Vec<Reason>) {
        for &(band, _) in &measured.limits {
            let Some(name) = self.npe.bands().get(band) else { continue };
            let name = short_band(name);
            reasons.retain(|reason| *reason != Reason::BandMissing(name.to_owned()));
            reasons.push(Reason::UpperLimit(name.to_owned()));
        }
    }

    fn plain(&self, question: &Question, x: &[f32]) -> Result<Drawn, Option<Reason>> {
        let (latent, ln_q) = self.npe.propose(x, question.n, (question.seed, question.stream))?;
        let zred = question.zred.unwrap_or(f64::NAN);
        Ok(Drawn::Answer(Road::Npe, self.npe.decode(latent, ln_q, zred, self.derived)))
    }

    /// Weighted draws where their weights are good enough (or all roads but this are closed), else where a
    /// chain may start.
    fn weighted(
        &self,
        question: &Question,
        x: &[f32],
        posterior: &mut ExactPosterior,
        roads: Roads,
        answer: &mut Answer,
    ) -> Result<Drawn, Option<Reason>> {
        let rules = &self.rules;
        let needed = rules.min_ess.min(question.n as f64);
        let pilot = self.pilot(question, x, posterior)?;
        let (efficiency, pareto_k) = worth(&pilot.weights);
        // Half as many again as the pilot promises, for it promises too much.
        let wanted = (1.5 * needed / efficiency.max(1e-9)).ceil() as usize;
        let n = wanted.clamp(question.n, rules.max_weighted.max(question.n));
        let is_promising = pareto_k <= rules.max_pilot_k && efficiency * n as f64 >= needed;
        if roads == Roads::Auto && !is_promising {
            answer.reasons.push(Reason::LowEfficiency);
            record(answer, &pilot.weights, false);
            return Ok(Drawn::Start(self.best_points(&[pilot])));
        }
        let last = self.weigh(x, n, (question.seed, question.stream), posterior)?;
        let (efficiency, pareto_k) = worth(&last.weights);
        let passed = pareto_k <= rules.max_pareto_k && efficiency * n as f64 >= needed;
        record(answer, &last.weights, passed || roads == Roads::Is);
        if !passed {
            answer.reasons.push(Reason::LowEfficiency);
            if roads == Roads::Auto {
                return Ok(Drawn::Start(self.best_points(&[pilot, last])));
            }
        }
        let zred = posterior.zred();
        let Weighted { latent, ln_q, weights, .. } = last;
        let Some(weights) = weights else { return Err(Some(Reason::ModelMisfit)) };
        if efficiency >= rules.plain_efficiency && n == question.n {
            answer.evidence.ess = None;
            return Ok(Drawn::Answer(Road::Npe, self.npe.decode(latent, ln_q, zred, self.derived)));
        }
        let mut rng = Streams::new(question.seed, "importance resampling").at(question.stream);
        let chosen = resample(&weights.weights, question.n, &mut rng);
        let latent =
            Array2::from_shape_fn((question.n, latent.ncols()), |(i, j)| latent[[chosen[i] as usize, j]]);
        let ln_q = Array1::from_shape_fn(question.n, |i| ln_q[chosen[i] as usize]);
        Ok(Drawn::Answer(Road::Is, self.npe.decode(latent, ln_q, zred, self.derived)))
    }

    /// Where a chain may start, from the pilot alone.
    fn flow_points(
        &self,
        question: &Question,
        x: &[f32],
        posterior: &mut ExactPosterior,
    ) -> Result<Drawn, Option<Reason>> {
        Ok(Drawn::Start(self.best_points(&[self.pilot(question, x, posterior)?])))
    }

    /// A few weighted draws, none of them among those of the answer.
    fn pilot(
        &self,
        question: &Question,
        x: &[f32],
        posterior: &mut ExactPosterior,
    ) -> Result<Weighted, Reason> {
        let seed = Streams::new(question.seed, "importance pilot").at(question.stream).next_u64();
        self.weigh(x, self.rules.pilot.max(self.rules.chain.walkers), (seed, question.stream), posterior)
    }

    fn weigh(
        &self,
        x: &[f32],
        n: usize,
        stream: (u64, u64),
        posterior: &mut ExactPosterior,
    ) -> Result<Weighted, Reason> {
        let (latent, ln_q) = self.npe.propose(x, n, stream)?;
        let mut ln_target = vec![0.0; n];
        posterior.ln_posterior_latent(latent.as_slice().ok_or(Reason::BadDraws)?, &mut ln_target);
        let weights = weigh(&ln_target, ln_q.as_slice().ok_or(Reason::BadDraws)?).ok();
        Ok(Weighted { latent, ln_q, ln_target, weights })
    }

    /// Coordinates of as many draws as there are walkers: those of greatest weight.
    fn best_points(&self, samples: &[Weighted]) -> Vec<f32> {
        let mut scored: Vec<(f64, &Weighted, usize)> = Vec::new();
        for sample in samples {
            let ln_w = sample.ln_target.iter().zip(&sample.ln_q).map(|(t, q)| t - f64::from(*q));
            scored.extend(ln_w.enumerate().map(|(row, ln_w)| (ln_w, sample, row)));
        }
        scored.sort_by(|a, b| b.0.total_cmp(&a.0));
        let best = scored.iter().take(self.rules.chain.walkers);
        best.flat_map(|(_, sample, row)| sample.latent.row(*row).to_vec()).collect()
    }

    /// Coordinates of as many draws of the prior as there are walkers, each with the mass that fits best:
    /// the most probable of many.
    fn prior_points(&self, question: &Question, walk: &mut Walk) -> Vec<f64> {
        let d = walk.n_dim();
        let mut latent = vec![0.0; PRIOR_DRAWS * d];
        let streams = Streams::new(question.seed, "mcmc start").child(question.stream);
        fill_standard_normal(&mut streams.at(0), &mut latent);
        let mut points = walk.start(&latent);
        walk.with_best_mass(&mut points);
        let mut ln_density = vec![0.0; PRIOR_DRAWS];
        walk.ln_density(&points, &mut ln_density);
        let mut order: Vec<usize> = (0..PRIOR_DRAWS).collect();
        order.sort_by(|&a, &b| ln_density[b].total_cmp(&ln_density[a]));
        let best = order.iter().take(self.rules.chain.walkers);
        best.flat_map(|&i| points[i * d..(i + 1) * d].to_vec()).collect()
    }

    /// A chain, from coordinates `start` `[walkers, n_free]` if given, with jumps to draws of the network
    /// where it can be asked.
    fn chain(
        &self,
        question: &Question,
        x: Option<&[f32]>,
        posterior: &mut ExactPosterior,
        start: Option<Vec<f32>>,
        answer: &mut Answer,
    ) {
        let mut config = self.rules.chain;
        config.min_ess = config.min_ess.min(question.n as f64);
        let zred = posterior.zred();
        let worst = HOPELESS_CHI2 * posterior.likelihood().n_measured() as f64;
        let mut walk = Walk::new(posterior);
        if let Some(flow) = x.and_then(|x| self.npe.flow.condition(ArrayView1::from(x)).ok()) {
            let seed = Streams::new(question.seed, "mcmc jumps").at(question.stream).next_u64();
            walk = walk.with_jumps(flow, seed, question.stream);
        }
        let start = match start {
            Some(latent) => walk.start(&latent),
            None => {
                // From further away it takes longer to arrive.
                config.burn_in *= 3;
                self.prior_points(question, &mut walk)
            }
        };
        let mut ln_density = vec![0.0; start.len() / walk.n_dim()];
        walk.ln_density(&start, &mut ln_density);
        let nearest = ln_density.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let mut rng = Streams::new(question.seed, "mcmc chain").at(question.stream);
        let chain =
            if -2.0 * nearest < worst { mcmc::run(&mut walk, &start, &config, &mut rng).ok() } else { None };
        let Some(chain) = chain else {
            answer.reasons.push(Reason::ModelMisfit);
            return;
        };
        if !chain.report.converged {
            answer.reasons.push(Reason::NotConverged);
        }
        answer.draws = Some((Road::Mcmc, self.of_chain(&chain, question.n, zred)));
        answer.evidence.ess = Some(chain.ess());
        answer.evidence.chain = Some(chain.report);
    }

    /// Draws of a chain, with the best of all its points by density in the coordinates.
    pub fn of_chain(&self, chain: &Chain, n: usize, zred: f64) -> Draws {
        let (points, ln_density) = chain.thinned(n);
        let rows = ln_density.len();
        let ln_q = Array1::from_iter(ln_density.iter().map(|&ln| ln as f32));
        let latent = Array2::from_shape_vec((rows, chain.n_dim), points)
            .unwrap_or_else(|_| Array2::zeros((0, chain.n_dim)));
        self.npe.decode(latent, ln_q, zred, self.derived)
    }

    /// The answer with what the predicted fluxes of its draws say, which may be that it is none.
    fn examined(&self, mut answer: Answer, posterior: &mut ExactPosterior) -> Answer {
        let Some((road, draws)) = &mut answer.draws else { return answer };
        let d = draws.latent.ncols();
        let step = (draws.n / PREDICTED).max(1);
        let rows: Vec<usize> = (0..draws.n).step_by(step).collect();
        let u: Vec<f32> = rows.iter().flat_map(|&i| draws.latent.row(i).to_vec()).collect();
        let (mut ln_l, mut chi2) = (vec![0.0; u.len() / d], vec![0.0; u.len() / d]);
        posterior.ln_likelihood_and_chi2(&u, &mut ln_l, &mut chi2);
        let n_measured = posterior.likelihood().n_measured();
        let p = chi2.iter().map(|&chi2| chi2_survival(chi2, n_measured)).sum::<f64>() / chi2.len() as f64;
        if *road != Road::Npe {
            draws.best = self.best(draws, posterior);
        }
        let best = posterior.nanomaggies(&draws.theta(draws.best)).to_vec();
        let chi2_best = posterior.likelihood().chi2(&best);
        let least = chi2.iter().copied().fold(chi2_best, f64::min);
        answer.evidence.chi2_best = Some(chi2_best).filter(|chi2| chi2.is_finite());
        answer.evidence.ppc_p_value = Some(p).filter(|p| p.is_finite());
        if least.is_nan() || least > self.rules.hopeless_chi2 * n_measured as f64 {
            answer.draws = None;
            answer.reasons.retain(|reason| *reason != Reason::NotConverged);
            answer.reasons.push(Reason::ModelMisfit);
        } else if p.is_nan() || p < self.rules.misfit_p {
            answer.reasons.push(Reason::ModelMisfit);
        }
        answer
    }

    /// The draw of highest posterior density in parameter space.
    fn best(&self, draws: &Draws, posterior: &mut ExactPosterior) -> usize {
        let mut ln_l = vec![0.0; draws.n];
        match draws.latent.as_slice() {
            Some(u) => posterior.ln_likelihood(u, &mut ln_l),
            None => return draws.best,
        }
        let score = |i: usize| {
            let prior = if self.npe.flat { 0.0 } else { self.npe.prior.ln_density(&draws.theta(i)) };
            ln_l[i] + prior
        };
        (0..draws.n).max_by(|&a, &b| score(a).total_cmp(&score(b))).unwrap_or(0)
    }
}

enum Drawn {
    Answer(Road, Draws),
    /// Where a chain may start `[walkers, n_free]`.
    Start(Vec<f32>),
}

fn refused(mut answer: Answer, reasons: Vec<Reason>) -> Answer {
    answer.reasons = reasons;
    answer_or_reason(answer)
}

/// No answer without draws or a reason.
fn answer_or_reason(mut answer: Answer) -> Answer {
    if answer.draws.is_none() && answer.reasons.is_empty() {
        answer.reasons.push(Reason::ModelMisfit);
    }
    answer
}

/// Efficiency and tail; nothing at all where every weight is 0.
fn worth(weights: &Option<Weights>) -> (f64, f64) {
    weights.as_ref().map_or((0.0, f64::INFINITY), |w| (w.efficiency, w.pareto_k))
}

fn record(answer: &mut Answer, weights: &Option<Weights>, used: bool) {
    let (efficiency, pareto_k) = worth(weights);
    let evidence = &mut answer.evidence;
    evidence.efficiency = Some(efficiency);
    evidence.pareto_k = Some(pareto_k).filter(|k| k.is_finite());
    if let (Some(weights), true) = (weights, used) {
        evidence.ess = Some(weights.ess);
        evidence.ln_evidence = Some(weights.ln_evidence);
        evidence.ln_evidence_err = Some(weights.ln_evidence_err);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filters;
    use crate::infer::join_reasons;
    use crate::sed::DerivedTable;
    use crate::simulate::{Recipe, Rows, Simulator};
    use crate::ssp::SspGrid;
    use std::sync::{Arc, OnceLock};

    struct Shop {
        npe: Npe,
        model: SedModel,
        filters: Vec<Filter>,
        derived: DerivedTable,
        mocks: Rows,
    }

    /// The shipped checkpoint and 20 mocks; made once for all tests.
    fn shop() -> &'static Shop {
        static SHOP: OnceLock<Shop> = OnceLock::new();
        SHOP.get_or_init(|| {
            let npe = Npe::shipped().unwrap();
            let model = SedModel::new(Arc::new(SspGrid::shipped().unwrap()));
            let filters: Vec<Filter> =
                npe.bands().iter().map(|band| filters::shipped(band).unwrap()).collect();
            let derived = DerivedTable::new(&model);
            let table = PhotTable::new(&model, &filters, (0.0, 0.2), &table_options(npe.prior())).unwrap();
            let noise = &npe.card().noise;
            let simulator = Simulator::new(npe.prior(), &table, noise, Recipe::default(), 77).unwrap();
            let mocks = simulator.rows(0, 20).unwrap();
            Shop { npe, model, filters, derived, mocks }
        })
    }

    fn ladder() -> &'static Ladder<'static> {
        static LADDER: OnceLock<Ladder<'static>> = OnceLock::new();
        LADDER.get_or_init(|| {
            let shop = shop();
            // Short chains, so that the tests are.
            let chain = ChainConfig { burn_in: 100, iterations: 400, ..Rules::default().chain };
            let rules = Rules { chain, ..Rules::default() };
            Ladder::new(&shop.npe, &shop.model, &shop.filters, &shop.derived, rules).unwrap()
        })
    }

    /// Fluxes and errors of a mock.
    fn photometry(mock: usize) -> Vec<(f64, f64)> {
        let mocks = &shop().mocks;
        let at = |v: &[f32], b: usize| f64::from(v[mock * 5 + b]);
        (0..5).map(|b| (at(&mocks.noisy_nmgy, b), at(&mocks.sigma_nmgy, b))).collect()
    }

    fn measured(photometry: &[(f64, f64)]) -> Measured {
        Measured::new(photometry.iter().map(|&(f, s)| (Some(f), Some(1.0 / (s * s)))))
    }

    fn ask(measured: &Measured, zred: Option<f64>, roads: Roads) -> Answer {
        ladder().answer(&Question { measured, zred, n: 2000, seed: 1, stream: 5 }, roads)
    }

    fn codes(answer: &Answer) -> String {
        join_reasons(&answer.reasons).unwrap_or_default()
    }

    fn zred(mock: usize) -> Option<f64> {
        Some(f64::from(shop().mocks.zred[mock]))
    }

    #[test]
    fn every_mock_gets_an_answer_that_says_what_it_is_worth_and_comes_again() {
        for mock in 0..6 {
            let measured = measured(&photometry(mock));
            let answer = ask(&measured, zred(mock), Roads::Auto);
            let (road, draws) = answer.draws.as_ref().expect("draws");
            assert!(draws.columns.iter().all(|v| v.is_finite()));
            let evidence = &answer.evidence;
            let chi2 = evidence.chi2_best.expect("chi^2");
            let p = evidence.ppc_p_value.expect("p");
            assert!(chi2 < 40.0 && p > 1e-3, "chi^2 {chi2}, p {p}: {}", codes(&answer));
            assert!(evidence.ood_score.is_some() && evidence.efficiency.is_some());
            match road {
                Road::Mcmc => assert!(evidence.chain.is_some() && codes(&answer).contains("LOW_EFFICIENCY")),
                _ => assert!(evidence.ln_evidence.is_some() && evidence.pareto_k.expect("k") <= 0.7),
            }
            if mock == 0 {
                let again = ask(&measured, zred(mock), Roads::Auto);
                assert_eq!(again.draws.expect("draws").1.columns, draws.columns);
            }
        }
    }

    #[test]
    fn weighted_draws_and_a_chain_from_the_prior_have_the_same_marginals() {
        let shop = shop();
        let rules = Rules {
            max_weighted: 40_000,
            min_ess: 1000.0,
            start_from_prior: true,
            chain: ChainConfig { min_ess: 1000.0, max_r_hat: 1.03, ..Rules::default().chain },
            ..Rules::default()
        };
        let ladder = Ladder::new(&shop.npe, &shop.model, &shop.filters, &shop.derived, rules).unwrap();
        for mock in 0..20 {
            let measured = measured(&photometry(mock));
            let question = Question { measured: &measured, zred: zred(mock), n: 2000, seed: 3, stream: 9 };
            let weighted = ladder.answer(&question, Roads::Is);
            if weighted.evidence.ess.unwrap_or(0.0) < 1000.0 {
                continue;
            }
            let chain = ladder.answer(&question, Roads::Mcmc);
            assert!(chain.evidence.chain.as_ref().expect("a chain").converged);
            let of = |answer: &Answer| answer.draws.as_ref().expect("draws").1.summaries(shop.npe.prior());
            for (param, (a, b)) in of(&weighted).iter().zip(of(&chain)).enumerate() {
                // Medians of some 1000 effective draws each differ by 0.06 sd or so.
                let shift = (a.quantiles[2] - b.quantiles[2]).abs() / b.sd;
                let width = (a.sd / b.sd).ln().abs();
                assert!(
                    shift < 0.2 && width < 0.15,
                    "mock {mock}, column {param}: {shift} sd, width {width}"
                );
            }
            return;
        }
        panic!("no mock has a good enough network for this test");
    }

    #[test]
    fn what_the_network_cannot_take_goes_to_a_chain_with_the_reason_beside_it() {
        let galaxy = photometry(0);
        let with_error = |band: usize, factor: f64| {
            let mut changed = galaxy.clone();
            changed[band].1 *= factor;
            measured(&changed)
        };
        let all = measured(&galaxy);
        let no_u = Measured::new(
            galaxy
                .iter()
                .enumerate()
                .map(|(b, (f, s))| (Some(*f), Some(if b == 0 { 0.0 } else { 1.0 / (s * s) }))),
        );
        let limit = no_u.clone().with_limit(0, galaxy[0].0, None);
        let cases: [(&str, &Measured, f64); 5] = [
            ("BAND_MISSING_u", &no_u, 0.1),
            ("UPPER_LIMIT_u", &limit, 0.1),
            ("BAD_FLUX_g", &with_error(1, 0.0), 0.1),
            ("SIGMA_HIGH_r", &with_error(2, 4.0), zred(0).unwrap()),
            ("Z_RANGE", &all, 0.25),
        ];
        for (code, measured, zred) in cases {
            let answer = ask(measured, Some(zred), Roads::Auto);
            assert!(codes(&answer).contains(code), "{code}: {}", codes(&answer));
            let (road, draws) = answer.draws.as_ref().expect(code);
            assert!(*road == Road::Mcmc || code == "SIGMA_HIGH_r", "{code}");
            assert!(draws.columns.iter().all(|v| v.is_finite()), "{code}");
            // The network alone only says why not.
            let refused = ask(measured, Some(zred), Roads::Npe);
            assert!(refused.draws.is_none() && codes(&refused).contains(code));
        }
        assert!(!codes(&ask(&limit, Some(0.1), Roads::Auto)).contains("BAND_MISSING"));
    }

    #[test]
    fn where_there_is_nothing_to_say_there_is_a_reason() {
        let galaxy = photometry(0);
        let good = measured(&galaxy);
        let nothing = Measured::new((0..5).map(|_| (None, None)));
        let ivar_0 = Measured::new(galaxy.iter().map(|(f, _)| (Some(*f), Some(0.0))));
        let mut huge = galaxy.clone();
        huge[2].0 = 1e30;
        for roads in [Roads::Npe, Roads::Is, Roads::Auto, Roads::Mcmc] {
            let reason = |measured: &Measured, zred| {
                let answer = ask(measured, zred, roads);
                assert!(answer.draws.is_none());
                codes(&answer)
            };
            assert_eq!(reason(&good, None), "Z_MISSING");
            assert_eq!(reason(&good, Some(f64::NAN)), "Z_MISSING");
            assert_eq!(reason(&good, Some(0.0)), "Z_RANGE");
            assert_eq!(reason(&good, Some(-0.001)), "Z_RANGE");
            assert!(reason(&nothing, Some(0.1)).starts_with("BAND_MISSING_u BAND_MISSING_g"));
            assert!(reason(&ivar_0, Some(0.1)).starts_with("BAND_MISSING_u"));
            let misfit = reason(&measured(&huge), Some(0.1));
            assert!(misfit.contains("MAG_BRIGHT_r"), "{misfit}");
            assert!(misfit.contains("MODEL_MISFIT") || roads == Roads::Npe, "{misfit}");
        }
    }
}
