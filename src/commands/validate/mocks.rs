//! Mocks of a validation: made or read part by part, examined on all threads, kept as they come.

use anyhow::{Context as _, bail};
use rand::Rng;
use rayon::prelude::*;
use serde_json::Value;

use crate::commands::setup::{Loaded, LoadedLikelihood};
use crate::commands::simulate::read_chunk;
use crate::features::FeatureSpec;
use crate::infer::importance::{Weights, weigh};
use crate::infer::ladder::{Ladder, Rules};
use crate::infer::posterior::{Datum, ExactPosterior, Likelihood, ln_standard_normal};
use crate::infer::{DerivedProperties, Draws, Measured, ModelCard, N_COLUMNS};
use crate::prior::{N_PARAM, PARAMS, Prior};
use crate::progress::{Event, Progress};
use crate::rng::{Streams, fill_standard_normal};
use crate::sed::{DERIVED_NAMES, PhotTable};
use crate::simulate::{Recipe, Rows, Simulator};
use crate::store::{
    Array, Checkpoint, PriorId, SedModelId, Store, TrainingSet, decode_arrays, encode_arrays,
};
use crate::validate::evidence::Named;
use crate::validate::predictive::Predictive;
use crate::validate::{Evidence, Importance, MockRow, Posterior, Scalar, Truth, examine};

/// Mocks of one part: what a killed validation loses at most.
pub const PART: usize = 250;
/// Effective draws that weighted diagnostics are made of, if so many times the draws asked for suffice.
const EFFECTIVE: f64 = 300.0;
const MOST_TIMES: usize = 10;
/// Most bytes the evidence of a validation may unpack to.
const LIMIT: usize = 1 << 30;

/// What mocks of a checkpoint are made by.
pub struct Origin<'a> {
    pub name: &'a str,
    /// `npe` or `nle`.
    pub kind: &'static str,
    pub prior: &'a Prior,
    pub card: &'a ModelCard,
    pub prior_id: PriorId,
    pub sed_model: SedModelId,
}

impl<'a> Origin<'a> {
    pub fn of_posterior(loaded: &'a Loaded) -> Self {
        Self {
            name: &loaded.name,
            kind: "npe",
            prior: loaded.npe.prior(),
            card: loaded.npe.card(),
            prior_id: loaded.prior,
            sed_model: loaded.sed_model,
        }
    }

    pub fn of_likelihood(loaded: &'a LoadedLikelihood) -> Self {
        Self {
            name: &loaded.name,
            kind: "nle",
            prior: loaded.nle.prior(),
            card: &loaded.nle.card().model,
            prior_id: loaded.prior,
            sed_model: loaded.sed_model,
        }
    }
}

/// Something that mocks can say whether it is right.
pub trait Examine: Sync {
    /// Of the checkpoint.
    fn name(&self) -> &str;

    /// Of the quantities examined.
    fn names(&self) -> Vec<String>;

    /// Evidence of mocks whose first one is number `first`; `None` if cancelled.
    fn examine(
        &self,
        rows: &Rows,
        first: u64,
        progress: &dyn Progress,
    ) -> anyhow::Result<Option<Vec<MockRow>>>;
}

/// Where mocks come from.
pub enum Source<'a> {
    Fresh(Box<Simulator<'a, PhotTable>>),
    Stored { set: Box<TrainingSet>, held: Option<Box<(u64, Rows)>> },
}

impl<'a> Source<'a> {
    pub fn fresh(origin: &Origin<'a>, table: &'a PhotTable, missing: f64, seed: u64) -> anyhow::Result<Self> {
        let features = &origin.card.features;
        if missing > 0.0 && !features.allows_missing() {
            bail!("checkpoint {} needs all its bands: --missing cannot be above 0", origin.name);
        }
        let recipe = Recipe { missing, ..Recipe::default() };
        Ok(Self::Fresh(Box::new(Simulator::new(origin.prior, table, &origin.card.noise, recipe, seed)?)))
    }

    /// Errors where a stored set is not one that the checkpoint must be right for.
    pub fn stored(store: &Store, name: &str, origin: &Origin) -> anyhow::Result<Self> {
        let set = store.find_training_set(name)?;
        if !set.stored || !set.complete {
            bail!(
                "set {name} has no stored rows, or is not complete: run its `simulate` command again first"
            );
        }
        if origin.card.training["training_set"] == set.hash.to_string() {
            bail!("checkpoint {} was trained on set {name}: it says nothing of other galaxies", origin.name);
        }
        let differs = |what: &str| {
            anyhow::anyhow!(
                "set {name} was simulated with another {what} than checkpoint {} was trained for: it can be right \
                 for mocks of its own {what} alone",
                origin.name
            )
        };
        if set.prior != origin.prior_id {
            return Err(differs("prior"));
        }
        if set.sed_model != origin.sed_model {
            return Err(differs("SED model"));
        }
        let noise = match set.noise_model {
            Some(id) => store.noise_model(id)?.1,
            None => bail!("set {name} is noiseless: validation needs one with noise"),
        };
        if noise.band_names() != origin.card.noise.band_names() {
            return Err(differs("list of bands"));
        }
        if noise.hash()? != origin.card.noise.hash()? {
            return Err(differs("noise model"));
        }
        Ok(Self::Stored { set: Box::new(set), held: None })
    }

    /// How many mocks there are, where that is bounded.
    pub fn len(&self) -> Option<u64> {
        match self {
            Self::Fresh(_) => None,
            Self::Stored { set, .. } => Some(set.n_rows),
        }
    }

    /// Rows `first .. first + n`.
    pub fn rows(&mut self, store: &Store, first: u64, n: usize) -> anyhow::Result<Rows> {
        match self {
            Self::Fresh(simulator) => Ok(simulator.rows(first, n)?),
            Self::Stored { set, held } => {
                let mut rows = Rows::default();
                let chunks = set.chunks.clone();
                for (chunk, from, length) in chunks {
                    let (start, end) = (first.max(from), (first + n as u64).min(from + length));
                    if start >= end {
                        continue;
                    }
                    if held.as_ref().is_none_or(|held| held.0 != chunk) {
                        *held = Some(Box::new((chunk, read_chunk(store, set, chunk)?)));
                    }
                    if let Some(held) = held {
                        rows.append(slice(&held.1, (start - from) as usize..(end - from) as usize));
                    }
                }
                Ok(rows)
            }
        }
    }
}

/// Some rows of many.
fn slice(rows: &Rows, range: std::ops::Range<usize>) -> Rows {
    let part = |values: &[f32], width: usize| values[range.start * width..range.end * width].to_vec();
    Rows {
        n_bands: rows.n_bands,
        n_free: rows.n_free,
        latent: part(&rows.latent, rows.n_free),
        theta: part(&rows.theta, N_PARAM),
        zred: part(&rows.zred, 1),
        flux_nmgy: part(&rows.flux_nmgy, rows.n_bands),
        noisy_nmgy: part(&rows.noisy_nmgy, rows.n_bands),
        sigma_nmgy: part(&rows.sigma_nmgy, rows.n_bands),
        observed: rows.observed[range].to_vec(),
        rejections: Default::default(),
    }
}

/// What posteriors are made with.
pub struct Examiner<'a> {
    pub loaded: &'a Loaded,
    pub table: &'a PhotTable,
    pub draws: usize,
    pub seed: u64,
    /// Columns of draws that vary.
    columns: Vec<usize>,
}

impl<'a> Examiner<'a> {
    pub fn new(loaded: &'a Loaded, table: &'a PhotTable, draws: usize, seed: u64) -> Self {
        let prior = loaded.npe.prior();
        let columns = (0..N_COLUMNS).filter(|&c| c >= N_PARAM || !prior.is_fixed(c)).collect();
        Self { loaded, table, draws, seed, columns }
    }

    /// The checkpoint with the exact model behind it.
    pub fn ladder(&self, rules: Rules) -> anyhow::Result<Ladder<'_>> {
        let Loaded { npe, model, filters, derived, .. } = self.loaded;
        Ok(Ladder::new(npe, model, filters, derived, rules)?)
    }

    /// The columns examined of draws, or of one truth, `[17, n]`.
    pub fn pick(&self, all: &[f32], n: usize) -> Vec<f32> {
        self.columns.iter().flat_map(|&column| &all[column * n..(column + 1) * n]).copied().collect()
    }

    fn one(&self, mock: &Mock, x: &[f32]) -> anyhow::Result<MockRow> {
        let npe = &self.loaded.npe;
        let Mock { rows, i, number, own, ln_q } = *mock;
        let zred = f64::from(rows.zred[i]);
        let draws = npe
            .draw(x, zred, self.draws, (self.seed, number), &self.loaded.derived)
            .map_err(|reason| anyhow::anyhow!("{reason}"))?;
        let mut truth = rows.theta[i * N_PARAM..(i + 1) * N_PARAM].to_vec();
        let mut derived = vec![0.0; N_COLUMNS - N_PARAM];
        self.loaded.derived.derive(&truth, zred, &mut derived);
        truth.append(&mut derived);
        let mut point = vec![0.0; own.len()];
        fill_standard_normal(&mut Streams::new(self.seed, "validate point").at(number), &mut point);

        let measured = measured(rows, i);
        let likelihood = Likelihood::new(data(&measured))?.with_noise(&npe.card().noise)?;
        let at = self.table.at_redshift(zred)?;
        let mut exact = ExactPosterior::new(npe.prior(), npe.theta_map(), at, likelihood);
        let (pilot, chi2) = weighed(&draws, &mut exact)?;
        let efficiency = pilot.as_ref().map_or(0.0, |(weights, _)| weights.efficiency);
        let mut own_target = [0.0];
        exact.ln_posterior_latent(own, &mut own_target);

        // Weighted draws are others, as many as the pilot says that it takes (half as many again, for it
        // promises too much): ranks among a handful of effective draws say nothing.
        let wanted = (1.5 * EFFECTIVE / efficiency.max(1e-9)).ceil() as usize;
        let n = wanted.clamp(self.draws, MOST_TIMES * self.draws);
        let seed = Streams::new(self.seed, "validate weighted").at(number).next_u64();
        let others = npe
            .draw(x, zred, n, (seed, number), &self.loaded.derived)
            .map_err(|reason| anyhow::anyhow!("{reason}"))?;
        // Of a mock whose draws all miss, no weights: it counts against the weighted diagnostics.
        let (weighed, _) = weighed(&others, &mut exact)?;
        let columns = self.pick(&draws.columns, draws.n);
        let other_columns = self.pick(&others.columns, others.n);
        let other_rows = others.latent.as_slice().context("draws are not contiguous")?;
        let posterior = Posterior {
            columns: &columns,
            rows: draws.latent.as_slice().context("draws are not contiguous")?,
            ln_q: draws.ln_q.as_slice().context("densities are not contiguous")?,
            importance: weighed.as_ref().map(|(weights, ln_density)| Importance {
                columns: &other_columns,
                rows: other_rows,
                weights: &weights.weights,
                ln_density,
                truth: own_target[0] as f32,
            }),
        };
        let truth = Truth { columns: &self.pick(&truth, 1), row: own, ln_q };
        let mut rng = Streams::new(self.seed, "validate rank").at(number);
        let mut row = examine(&posterior, &truth, &point, &mut rng);
        let weights = weighed.as_ref().map(|(weights, _)| weights);
        let exact_ln = weights.map_or(f64::NAN, |w| own_target[0] - w.ln_evidence);
        row.set(Scalar::LnExact, exact_ln);
        row.set(Scalar::Efficiency, weights.map_or(0.0, |w| w.efficiency));
        row.set(Scalar::ParetoK, weights.map_or(f64::INFINITY, |w| w.pareto_k));
        row.set(Scalar::Redshift, zred);
        row.set(Scalar::Magnitude, magnitude(&measured, &npe.card().features));
        row.set(Scalar::SignalToNoise, signal_to_noise(&measured));
        let predictive = Predictive::of(&chi2, &[], measured.observed.count_ones());
        row.set(Scalar::Chi2Best, predictive.chi2_best);
        row.set(Scalar::PredictiveP, predictive.p_value);
        Ok(row)
    }
}

impl Examine for Examiner<'_> {
    fn name(&self) -> &str {
        &self.loaded.name
    }

    /// Names of the quantities examined: parameters that vary, then derived properties.
    fn names(&self) -> Vec<String> {
        let all: Vec<&str> = PARAMS.iter().map(|info| info.name).chain(DERIVED_NAMES).collect();
        self.columns.iter().map(|&column| all[column].to_owned()).collect()
    }

    fn examine(
        &self,
        rows: &Rows,
        first: u64,
        progress: &dyn Progress,
    ) -> anyhow::Result<Option<Vec<MockRow>>> {
        let npe = &self.loaded.npe;
        let x = rows.features(&npe.card().features)?;
        let latent = rows.latent_table();
        let ln_q = npe.flow().ln_prob(latent.view(), x.view())?;
        let of_mock = |i: usize| -> anyhow::Result<Option<MockRow>> {
            if progress.cancelled() {
                return Ok(None);
            }
            let own = latent.row(i).to_vec();
            let mock = Mock { rows, i, number: first + i as u64, own: &own, ln_q: ln_q[i] };
            self.one(&mock, &x.row(i).to_vec()).with_context(|| format!("mock {}", mock.number)).map(Some)
        };
        (0..rows.len()).into_par_iter().map(of_mock).collect()
    }
}

/// Weights of draws with their exact ln density, if any has a weight; and the chi-squared of each.
type Weighed = (Option<(Weights, Vec<f32>)>, Vec<f64>);

fn weighed(draws: &Draws, exact: &mut ExactPosterior) -> anyhow::Result<Weighed> {
    let u = draws.latent.as_slice().context("draws are not contiguous")?;
    let (mut ln_target, mut chi2) = (vec![0.0; draws.n], vec![0.0; draws.n]);
    exact.ln_likelihood_and_chi2(u, &mut ln_target, &mut chi2);
    for (ln_target, u) in ln_target.iter_mut().zip(u.chunks_exact(draws.latent.ncols().max(1))) {
        *ln_target += ln_standard_normal(u);
    }
    let ln_q = draws.ln_q.as_slice().context("densities are not contiguous")?;
    let ln_density = ln_target.iter().map(|&ln| ln as f32).collect();
    Ok((weigh(&ln_target, ln_q).ok().map(|weights| (weights, ln_density)), chi2))
}

/// One of several mocks.
struct Mock<'a> {
    rows: &'a Rows,
    i: usize,
    number: u64,
    /// Its coordinates, and ln q of them.
    own: &'a [f32],
    ln_q: f32,
}

/// Photometry of one mock as that of a real galaxy.
pub fn measured(rows: &Rows, i: usize) -> Measured {
    let band = |band: usize| {
        let at = i * rows.n_bands + band;
        let (flux, sigma) = (f64::from(rows.noisy_nmgy[at]), f64::from(rows.sigma_nmgy[at]));
        let seen = rows.observed[i] >> band & 1 == 1;
        if seen { (Some(flux), Some(1.0 / (sigma * sigma))) } else { (None, None) }
    };
    Measured::new((0..rows.n_bands).map(band))
}

/// What each band says to a likelihood.
fn data(measured: &Measured) -> Vec<Datum> {
    measured
        .flux_nmgy
        .iter()
        .zip(&measured.sigma_nmgy)
        .enumerate()
        .map(|(band, (&flux_nmgy, &sigma_nmgy))| {
            let seen = measured.observed >> band & 1 == 1;
            if seen { Datum::Flux { flux_nmgy, sigma_nmgy } } else { Datum::Nothing }
        })
        .collect()
}

/// Asinh magnitude of the reference band; NaN where it is missing.
fn magnitude(measured: &Measured, features: &FeatureSpec) -> f64 {
    let band = features.reference();
    let seen = measured.observed >> band & 1 == 1;
    if seen { features.asinh_mag(band, measured.flux_nmgy[band]) } else { f64::NAN }
}

/// Median of flux over error of the observed bands.
fn signal_to_noise(measured: &Measured) -> f64 {
    let mut ratios: Vec<f64> = (0..measured.flux_nmgy.len())
        .filter(|&band| measured.observed >> band & 1 == 1)
        .map(|band| measured.flux_nmgy[band] / measured.sigma_nmgy[band])
        .collect();
    ratios.sort_by(f64::total_cmp);
    crate::validate::samples::quantile(&ratios, 0.5)
}

/// Where parts of a validation are kept while it is at work.
pub struct Parts<'a> {
    pub checkpoint: &'a Checkpoint,
    pub config: &'a Value,
}

impl Parts<'_> {
    pub fn get(&self, store: &Store, key: (&str, u64)) -> anyhow::Result<Option<Vec<Named>>> {
        let Some(bytes) = store.validation_part(self.checkpoint, self.config, key)? else { return Ok(None) };
        Ok(Some(unpack(&bytes)?))
    }

    pub fn put(&self, store: &mut Store, key: (&str, u64), arrays: &[Named]) -> anyhow::Result<()> {
        Ok(store.put_validation_part(self.checkpoint, self.config, key, &pack(arrays)?)?)
    }
}

pub fn pack(arrays: &[Named]) -> anyhow::Result<Vec<u8>> {
    let arrays: Vec<Array> =
        arrays.iter().map(|(name, shape, values)| Array::f32(name, shape, values.clone())).collect();
    Ok(encode_arrays(&arrays)?)
}

pub fn unpack(bytes: &[u8]) -> anyhow::Result<Vec<Named>> {
    let arrays = decode_arrays(bytes, LIMIT)?;
    Ok(arrays.into_iter().map(|array| (array.name.clone(), array.shape.clone(), array.to_f32())).collect())
}

/// Evidence of `n` mocks, going on after the parts that are kept; `None` if stopped.
pub fn gather(
    store: &mut Store,
    parts: &Parts,
    examiner: &dyn Examine,
    source: &mut Source,
    n: u64,
    progress: &dyn Progress,
) -> anyhow::Result<Option<Evidence>> {
    let names = examiner.names();
    let mut evidence = Evidence { names: names.clone(), rows: vec![] };
    let what = format!("validating {}", examiner.name());
    progress.report(Event::Started { what, total: Some(n), unit: "mocks" });
    for part in 0..n.div_ceil(PART as u64) {
        let first = part * PART as u64;
        if let Some(arrays) = parts.get(store, ("mocks", part))? {
            evidence.rows.append(&mut Evidence::from_arrays(&names, &arrays)?.rows);
        } else {
            let rows = source.rows(store, first, PART.min((n - first) as usize))?;
            let Some(rows) = examiner.examine(&rows, first, progress)? else {
                progress.report(Event::Finished);
                return Ok(None);
            };
            let mut found = Evidence { names: names.clone(), rows };
            parts.put(store, ("mocks", part), &found.to_arrays())?;
            evidence.rows.append(&mut found.rows);
        }
        progress.report(Event::Advanced { done: evidence.len() as u64 });
    }
    progress.report(Event::Finished);
    Ok(Some(evidence))
}
