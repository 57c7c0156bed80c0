//! Mocks of a validation: made or read part by part, examined on all threads, kept as they come.

use anyhow::{Context as _, bail};
use rayon::prelude::*;
use serde_json::Value;

use crate::commands::setup::Loaded;
use crate::commands::simulate::read_chunk;
use crate::features::FeatureSpec;
use crate::infer::{DerivedProperties, N_COLUMNS};
use crate::prior::{N_PARAM, PARAMS};
use crate::progress::{Event, Progress};
use crate::rng::{Streams, fill_standard_normal};
use crate::sed::{DERIVED_NAMES, PhotTable, Scratch};
use crate::simulate::{Recipe, Rows, Simulator};
use crate::store::{Array, Checkpoint, Store, TrainingSet, decode_arrays, encode_arrays};
use crate::validate::evidence::Named;
use crate::validate::predictive::{Predictive, chi2};
use crate::validate::{Evidence, MockRow, Posterior, Scalar, Truth, examine};

/// Mocks of one part: what a killed validation loses at most.
pub const PART: usize = 250;
/// Most bytes the evidence of a validation may unpack to.
const LIMIT: usize = 1 << 30;

/// Where mocks come from.
pub enum Source<'a> {
    Fresh(Box<Simulator<'a, PhotTable>>),
    Stored { set: Box<TrainingSet>, held: Option<Box<(u64, Rows)>> },
}

impl<'a> Source<'a> {
    pub fn fresh(loaded: &'a Loaded, table: &'a PhotTable, missing: f64, seed: u64) -> anyhow::Result<Self> {
        let card = loaded.npe.card();
        if missing > 0.0 && !card.features.allows_missing() {
            bail!("checkpoint {} needs all its bands: --missing cannot be above 0", loaded.name);
        }
        let recipe = Recipe { missing, ..Recipe::default() };
        Ok(Self::Fresh(Box::new(Simulator::new(loaded.npe.prior(), table, &card.noise, recipe, seed)?)))
    }

    /// Errors where a stored set is not one that the checkpoint's posteriors must be right for.
    pub fn stored(
        store: &Store,
        name: &str,
        loaded: &Loaded,
        checkpoint: &Checkpoint,
    ) -> anyhow::Result<Self> {
        let set = store.find_training_set(name)?;
        if !set.stored || !set.complete {
            bail!(
                "set {name} has no stored rows, or is not complete: run its `simulate` command again first"
            );
        }
        if loaded.npe.card().training["training_set"] == set.hash.to_string() {
            bail!("checkpoint {} was trained on set {name}: it says nothing of other galaxies", loaded.name);
        }
        let differs = |what: &str| {
            anyhow::anyhow!(
                "set {name} was simulated with another {what} than checkpoint {} was trained for: its posteriors \
                 are calibrated for mocks of its own {what} alone",
                loaded.name
            )
        };
        if set.prior != loaded.prior {
            return Err(differs("prior"));
        }
        if set.sed_model != loaded.sed_model {
            return Err(differs("SED model"));
        }
        if set.band_set != checkpoint.band_set {
            return Err(differs("list of bands"));
        }
        if set.noise_model != checkpoint.noise_model {
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

    /// Names of the quantities examined: parameters that vary, then derived properties.
    pub fn names(&self) -> Vec<String> {
        let all: Vec<&str> = PARAMS.iter().map(|info| info.name).chain(DERIVED_NAMES).collect();
        self.columns.iter().map(|&column| all[column].to_owned()).collect()
    }

    /// Evidence of mocks whose first one is number `first`; `None` if cancelled.
    pub fn examine(
        &self,
        rows: &Rows,
        first: u64,
        progress: &dyn Progress,
    ) -> anyhow::Result<Option<Vec<MockRow>>> {
        let npe = &self.loaded.npe;
        let x = rows.features(&npe.card().features)?;
        let latent = rows.latent_table();
        let ln_q = npe.flow().ln_prob(latent.view(), x.view())?;
        let streams = Streams::new(self.seed, "validate rank");
        let points = Streams::new(self.seed, "validate point");
        let of_mock = |scratch: &mut Scratch, i: usize| -> anyhow::Result<Option<MockRow>> {
            if progress.cancelled() {
                return Ok(None);
            }
            let mock = first + i as u64;
            let zred = f64::from(rows.zred[i]);
            let x = x.row(i).to_vec();
            let draws = npe
                .draw(&x, zred, self.draws, (self.seed, mock), &self.loaded.derived)
                .map_err(|reason| anyhow::anyhow!("mock {mock}: {reason}"))?;
            let columns: Vec<f32> =
                self.columns.iter().flat_map(|&column| draws.column(column).iter().copied()).collect();
            let mut truth = rows.theta[i * N_PARAM..(i + 1) * N_PARAM].to_vec();
            let mut derived = vec![0.0; N_COLUMNS - N_PARAM];
            self.loaded.derived.derive(&truth, zred, &mut derived);
            truth.append(&mut derived);
            let truth: Vec<f32> = self.columns.iter().map(|&column| truth[column]).collect();
            let own = latent.row(i).to_vec();
            let mut point = vec![0.0; own.len()];
            fill_standard_normal(&mut points.at(mock), &mut point);
            let posterior = Posterior {
                columns: &columns,
                rows: draws.latent.as_slice().context("draws are not contiguous")?,
                ln_q: draws.ln_q.as_slice().context("densities are not contiguous")?,
                importance: None,
            };
            let truth = Truth { columns: &truth, row: &own, ln_q: ln_q[i] };
            let mut row = examine(&posterior, &truth, &point, &mut streams.at(mock));
            let observed = Photometry::of(rows, i);
            row.set(Scalar::Redshift, zred);
            row.set(Scalar::Magnitude, observed.magnitude(&npe.card().features));
            row.set(Scalar::SignalToNoise, observed.signal_to_noise());
            let predictive = self.predictive(&draws, &observed, zred, scratch);
            row.set(Scalar::Chi2Best, predictive.chi2_best);
            row.set(Scalar::PredictiveP, predictive.p_value);
            Ok(Some(row))
        };
        (0..rows.len()).into_par_iter().map_init(Scratch::default, of_mock).collect()
    }

    /// What the draws predict for the photometry they were made from.
    pub fn predictive(
        &self,
        draws: &crate::infer::Draws,
        observed: &Photometry,
        zred: f64,
        scratch: &mut Scratch,
    ) -> Predictive {
        let n_bands = observed.observed.count_ones();
        let Ok(at) = self.table.at_redshift(zred) else { return Predictive::of(&[], &[], n_bands) };
        let mut model = vec![0.0; observed.flux_nmgy.len()];
        let chi2: Vec<f64> = (0..draws.n)
            .map(|i| {
                at.nanomaggies(&draws.theta(i), scratch, &mut model);
                chi2(&model, &observed.flux_nmgy, &observed.sigma_nmgy, observed.observed)
            })
            .collect();
        Predictive::of(&chi2, &[], n_bands)
    }
}

/// Observed fluxes of one galaxy.
pub struct Photometry {
    pub flux_nmgy: Vec<f64>,
    pub sigma_nmgy: Vec<f64>,
    pub observed: u64,
}

impl Photometry {
    fn of(rows: &Rows, i: usize) -> Self {
        let of = |values: &[f32]| {
            values[i * rows.n_bands..(i + 1) * rows.n_bands].iter().map(|&v| f64::from(v)).collect()
        };
        Self { flux_nmgy: of(&rows.noisy_nmgy), sigma_nmgy: of(&rows.sigma_nmgy), observed: rows.observed[i] }
    }

    /// Asinh magnitude of the reference band; NaN where it is missing.
    pub fn magnitude(&self, features: &FeatureSpec) -> f64 {
        let band = features.reference();
        if self.observed >> band & 1 == 1 { features.asinh_mag(band, self.flux_nmgy[band]) } else { f64::NAN }
    }

    /// Median of flux over error of the observed bands.
    pub fn signal_to_noise(&self) -> f64 {
        let mut ratios: Vec<f64> = (0..self.flux_nmgy.len())
            .filter(|&band| self.observed >> band & 1 == 1)
            .map(|band| self.flux_nmgy[band] / self.sigma_nmgy[band])
            .collect();
        ratios.sort_by(f64::total_cmp);
        crate::validate::samples::quantile(&ratios, 0.5)
    }
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
    examiner: &Examiner,
    source: &mut Source,
    n: u64,
    progress: &dyn Progress,
) -> anyhow::Result<Option<Evidence>> {
    let names = examiner.names();
    let mut evidence = Evidence { names: names.clone(), rows: vec![] };
    let what = format!("validating {}", examiner.loaded.name);
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
