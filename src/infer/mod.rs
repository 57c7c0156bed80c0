//! Amortized inference: a galaxy's photometry -> draws of its parameters, derived properties, summaries.
//!
//! An [`Npe`] is a trained flow, or an ensemble of them, with all it takes to use it: prior, features,
//! noise, support. It answers for one galaxy at a time, from (seed, galaxy number) alone, so any galaxy
//! can be done again by itself and in any order.

pub mod importance;
pub mod ladder;
pub mod mcmc;
pub mod nle;
pub mod posterior;
mod reason;
mod recipe;
mod summary;
mod support;
pub mod walk;

use ndarray::{Array1, Array2, ArrayView1};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::features::{FeatureError, FeatureSpec, MAX_BANDS, short_band};
use crate::flow::ensemble::Ensemble;
use crate::flow::{CheckpointError, FlowError, FlowInfo};
use crate::hash::ContentHash;
use crate::noise::NoiseModel;
use crate::prior::{BetaPrior, Density, N_PARAM, Prior, PriorError, PriorSpec, ThetaMap};
use crate::sed::DerivedTable;
use crate::ssp::SspGrid;

use posterior::Datum;

pub use reason::{Reason, join as join_reasons, meaning as reason_meaning};
pub use recipe::{MAX_DRAWS, Recipe, RecipeError, column_names, packing};
pub use summary::{Marginal, QUANTILES, summarise};
pub use support::{Support, SupportError};

/// Derived properties in the order of `sed::DERIVED_NAMES`.
pub const N_DERIVED: usize = crate::sed::N_DERIVED;
/// Columns of draws: parameters, then derived properties.
pub const N_COLUMNS: usize = N_PARAM + N_DERIVED;

const CARD_VERSION: u32 = 1;

#[derive(Debug, Error)]
pub enum NpeError {
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error("the checkpoint does not say what it was trained for: {0}")]
    Card(#[from] serde_json::Error),
    #[error("this is a likelihood (density of photometry given parameters), not a posterior")]
    Likelihood,
    #[error("the checkpoint has format version {found}; this program knows {CARD_VERSION}")]
    Version { found: u32 },
    #[error("the checkpoint's prior: {0}")]
    Prior(#[from] PriorError),
    #[error("the checkpoint's features: {0}")]
    Features(#[from] FeatureError),
    #[error("the checkpoint has {found} {what}, but its {of} give {expected}")]
    Size { what: &'static str, found: usize, of: &'static str, expected: usize },
    #[error(transparent)]
    Flow(#[from] FlowError),
}

/// What a checkpoint was trained for; kept inside it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelCard {
    pub version: u32,
    pub prior: PriorSpec,
    pub features: FeatureSpec,
    pub noise: NoiseModel,
    pub support: Support,
    /// Hash of the SED model behind the simulations.
    pub sed_model: ContentHash,
    /// The stellar populations of that model; absent from checkpoints of before it was written down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssp_grid: Option<GridCard>,
    pub birth_cloud_age_gyr: f64,
    /// Hash of each bandpass, in the order of the features' bands.
    pub filters: Vec<ContentHash>,
    /// How it was trained: settings, examples, held-out density; for people.
    pub training: serde_json::Value,
}

/// Which grid of stellar populations: for people, and its hash to find it by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GridCard {
    pub hash: ContentHash,
    pub name: String,
    pub imf: String,
    pub isochrones: String,
    pub library: String,
}

impl GridCard {
    pub fn of(grid: &SspGrid) -> Self {
        let origin = &grid.origin;
        Self {
            hash: grid.hash,
            name: origin.name.clone(),
            imf: origin.imf.clone(),
            isochrones: origin.isochrones.clone(),
            library: origin.library.clone(),
        }
    }
}

impl ModelCard {
    pub const VERSION: u32 = CARD_VERSION;
}

/// A trained density of parameters given photometry, ready to use.
pub struct Npe {
    flow: Ensemble,
    prior: Prior,
    map: ThetaMap,
    card: ModelCard,
    /// True where the prior density is the same everywhere inside.
    flat: bool,
}

/// One galaxy's photometry in the bands of the model.
#[derive(Debug, Clone, Copy)]
pub struct Observation<'a> {
    /// Nanomaggies `[n_band]`; anything where the band was not observed.
    pub flux_nmgy: &'a [f64],
    /// One standard deviation, nanomaggies.
    pub sigma_nmgy: &'a [f64],
    /// Bit `i` says whether band `i` was observed.
    pub observed: u64,
    pub zred: f64,
}

/// Fluxes, errors and mask from (flux, inverse variance) pairs, none where not observed.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    pub flux_nmgy: Vec<f64>,
    pub sigma_nmgy: Vec<f64>,
    pub observed: u64,
    /// Upper limits and their errors, of bands that are not observed otherwise.
    pub limits: Vec<(usize, Datum)>,
}

impl Measured {
    /// A band whose inverse variance is not positive counts as not observed.
    pub fn new(bands: impl IntoIterator<Item = (Option<f64>, Option<f64>)>) -> Self {
        let mut measured = Self { flux_nmgy: vec![], sigma_nmgy: vec![], observed: 0, limits: vec![] };
        for (band, (flux, ivar)) in bands.into_iter().enumerate() {
            match (flux, ivar) {
                (Some(flux), Some(ivar)) if ivar > 0.0 => {
                    measured.flux_nmgy.push(flux);
                    measured.sigma_nmgy.push(ivar.sqrt().recip());
                    measured.observed |= 1 << band.min(63);
                }
                _ => {
                    measured.flux_nmgy.push(0.0);
                    measured.sigma_nmgy.push(f64::INFINITY);
                }
            }
        }
        measured
    }

    /// The same with an upper limit in a band that was not observed. Without an error it counts as a
    /// 3-sigma limit; one that is no positive number is dropped.
    pub fn with_limit(mut self, band: usize, limit_nmgy: f64, ivar_nmgy: Option<f64>) -> Self {
        let sigma_nmgy = match ivar_nmgy {
            Some(ivar) if ivar > 0.0 => ivar.sqrt().recip(),
            _ => limit_nmgy / 3.0,
        };
        if limit_nmgy.is_finite() && sigma_nmgy.is_finite() && sigma_nmgy > 0.0 {
            self.limits.push((band, Datum::Limit { limit_nmgy, sigma_nmgy }));
        }
        self
    }

    /// What each band says to the exact likelihood; fluxes that are no measurements say nothing.
    pub fn data(&self) -> Vec<Datum> {
        let mut data: Vec<Datum> = self
            .flux_nmgy
            .iter()
            .zip(&self.sigma_nmgy)
            .enumerate()
            .map(|(band, (&flux_nmgy, &sigma_nmgy))| {
                let seen = self.observed >> band & 1 == 1;
                let good = flux_nmgy.is_finite() && sigma_nmgy.is_finite() && sigma_nmgy > 0.0;
                if seen && good { Datum::Flux { flux_nmgy, sigma_nmgy } } else { Datum::Nothing }
            })
            .collect();
        for &(band, limit) in &self.limits {
            if let Some(datum @ Datum::Nothing) = data.get_mut(band) {
                *datum = limit;
            }
        }
        data
    }

    pub fn at(&self, zred: f64) -> Observation<'_> {
        Observation {
            flux_nmgy: &self.flux_nmgy,
            sigma_nmgy: &self.sigma_nmgy,
            observed: self.observed,
            zred,
        }
    }
}

/// Derived properties of many parameter rows at one redshift.
pub trait DerivedProperties: Sync {
    /// `theta` `[12, n]` and `out` `[5, n]`, one parameter after the other.
    fn derive(&self, theta: &[f32], zred: f64, out: &mut [f32]);
}

impl DerivedProperties for DerivedTable {
    fn derive(&self, theta: &[f32], zred: f64, out: &mut [f32]) {
        let n = theta.len() / N_PARAM;
        let Ok(at) = self.at_redshift(zred) else {
            out.fill(f32::NAN);
            return;
        };
        for i in 0..n {
            let row = at.row(&std::array::from_fn(|param| f64::from(theta[param * n + i])));
            for (k, value) in row.into_iter().enumerate() {
                out[k * n + i] = value as f32;
            }
        }
    }
}

/// Draws from one galaxy's posterior.
#[derive(Debug, Clone)]
pub struct Draws {
    pub n: usize,
    /// Coordinates `[n, n_free]`.
    pub latent: Array2<f32>,
    /// ln q of each draw in the coordinates `[n]`.
    pub ln_q: Array1<f32>,
    /// Parameters and derived properties `[17, n]`, column after column.
    pub columns: Vec<f32>,
    /// The draw of highest density in parameter space.
    pub best: usize,
}

impl Draws {
    /// Column `i`: a parameter, or derived property `i - 12`.
    pub fn column(&self, i: usize) -> &[f32] {
        &self.columns[i * self.n..(i + 1) * self.n]
    }

    /// Draw `i` as a parameter row.
    pub fn theta(&self, i: usize) -> [f64; N_PARAM] {
        std::array::from_fn(|param| f64::from(self.columns[param * self.n + i]))
    }

    /// Summaries of all columns.
    pub fn summaries(&self, prior: &Prior) -> Vec<Marginal> {
        let mut scratch = Vec::with_capacity(self.n);
        (0..N_COLUMNS)
            .map(|i| {
                let support = (i < N_PARAM).then(|| prior.support(i));
                summarise(self.column(i), self.best, support, &mut scratch)
            })
            .collect()
    }
}

impl Npe {
    /// Puts a trained flow and what it was trained for together; the card goes into the checkpoint.
    pub fn new(flow: impl Into<Ensemble>, card: ModelCard) -> Result<Self, NpeError> {
        let mut flow = flow.into();
        let prior = Prior::new(card.prior.clone())?;
        flow.info = FlowInfo { coordinates: coordinates(&prior)?, extra: serde_json::to_value(&card)? };
        Self::checked(flow, card, prior)
    }

    /// From the bytes of a checkpoint. Errors where its parts do not belong together.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, NpeError> {
        let flow = Ensemble::from_bytes(bytes)?;
        if flow.info.extra["kind"] == "nle" {
            return Err(NpeError::Likelihood);
        }
        let card: ModelCard = serde_json::from_value(flow.info.extra.clone())?;
        if card.version != CARD_VERSION {
            return Err(NpeError::Version { found: card.version });
        }
        let prior = Prior::new(card.prior.clone())?;
        Self::checked(flow, card, prior)
    }

    fn checked(flow: Ensemble, card: ModelCard, prior: Prior) -> Result<Self, NpeError> {
        card.features.check()?;
        let n_bands = card.features.bands().len();
        let sizes = [
            ("coordinates", flow.n_param(), "prior", prior.n_free()),
            ("features", flow.n_feature(), "feature definition", card.features.len()),
            ("noise bands", card.noise.bands.len(), "features", n_bands),
            ("filters", card.filters.len(), "features", n_bands),
            ("support features", card.support.mean.len(), "features", card.features.len()),
        ];
        for (what, found, of, expected) in sizes {
            if found != expected {
                return Err(NpeError::Size { what, found, of, expected });
            }
        }
        let flat = matches!(card.prior.beta, BetaPrior::Dirichlet { alpha } if alpha == [1.0; 4])
            && [
                card.prior.log_mstar,
                card.prior.fburst,
                card.prior.tburst,
                card.prior.log_gamma1,
                card.prior.log_gamma2,
                card.prior.tau_bc,
                card.prior.tau_ism,
                card.prior.n_dust,
            ]
            .iter()
            .all(|density| matches!(density, Density::Uniform { .. } | Density::Fixed { .. }));
        Ok(Self { map: prior.theta_map(), flow, prior, card, flat })
    }

    /// The checkpoint shipped with the program: SDSS ugriz, redshift 0 to 0.2.
    pub fn shipped() -> Result<Self, NpeError> {
        Self::from_bytes(shipped_bytes())
    }

    pub fn to_bytes(&self) -> Result<Vec<u8>, NpeError> {
        Ok(self.flow.to_bytes()?)
    }

    pub fn flow(&self) -> &Ensemble {
        &self.flow
    }

    pub fn prior(&self) -> &Prior {
        &self.prior
    }

    /// The prior's map for many rows at once.
    pub fn theta_map(&self) -> &ThetaMap {
        &self.map
    }

    pub fn card(&self) -> &ModelCard {
        &self.card
    }

    /// Filter names in the order fluxes are expected.
    pub fn bands(&self) -> &[String] {
        self.card.features.bands()
    }

    /// Features of a galaxy, or every reason why the model cannot speak for it.
    pub fn features(&self, galaxy: &Observation) -> Result<Vec<f32>, Vec<Reason>> {
        let spec = &self.card.features;
        let mut reasons = Vec::new();
        if !galaxy.zred.is_finite() {
            reasons.push(Reason::ZMissing);
        } else if galaxy.zred <= 0.0
            || !(self.card.support.zred.0..=self.card.support.zred.1).contains(&galaxy.zred)
        {
            reasons.push(Reason::ZRange);
        }
        for (band, name) in spec.bands().iter().enumerate().take(MAX_BANDS) {
            let name = || short_band(name).to_owned();
            if galaxy.observed >> band & 1 == 0 {
                if !spec.allows_missing() {
                    reasons.push(Reason::BandMissing(name()));
                }
            } else if !(galaxy.flux_nmgy[band].is_finite()
                && galaxy.sigma_nmgy[band].is_finite()
                && galaxy.sigma_nmgy[band] > 0.0)
            {
                reasons.push(Reason::BadFlux(name()));
            }
        }
        if !reasons.is_empty() {
            return Err(reasons);
        }
        let mut x = vec![0.0; spec.len()];
        match spec.compute(galaxy.flux_nmgy, galaxy.sigma_nmgy, galaxy.observed, galaxy.zred, &mut x) {
            Ok(()) => Ok(x),
            Err(FeatureError::Redshift { .. }) => Err(vec![Reason::ZMissing]),
            Err(FeatureError::NotFinite { band, .. }) => Err(vec![Reason::BadFlux(short_band(&band).into())]),
            Err(_) => {
                let missing = |band: &String| Reason::BandMissing(short_band(band).into());
                Err(spec.bands().iter().map(missing).collect())
            }
        }
    }

    /// Rules of the training support that a galaxy with features `x` breaks.
    pub fn outside(&self, galaxy: &Observation, x: &[f32]) -> Vec<Reason> {
        let photometry = (galaxy.flux_nmgy, galaxy.sigma_nmgy, galaxy.observed);
        self.card.support.reasons(&self.card.features, &self.card.noise, photometry, galaxy.zred, x)
    }

    /// `n` draws for a galaxy of features `x`, from `seed` and the galaxy's number alone.
    ///
    /// Errors with [`Reason::BadDraws`] if the flow gave anything but finite numbers.
    pub fn draw(
        &self,
        x: &[f32],
        zred: f64,
        n: usize,
        (seed, galaxy): (u64, u64),
        derived: &dyn DerivedProperties,
    ) -> Result<Draws, Reason> {
        let (latent, ln_q) = self.propose(x, n, (seed, galaxy))?;
        Ok(self.decode(latent, ln_q, zred, derived))
    }

    /// The coordinates of `n` draws `[n, n_free]` and their ln q `[n]`: what [`Npe::draw`] starts from.
    ///
    /// Errors with [`Reason::BadDraws`] if the flow gave anything but finite numbers.
    pub fn propose(
        &self,
        x: &[f32],
        n: usize,
        (seed, galaxy): (u64, u64),
    ) -> Result<(Array2<f32>, Array1<f32>), Reason> {
        let sampled = self.flow.sample_with_ln_prob(ArrayView1::from(x), n, seed, galaxy);
        let (latent, ln_q) = sampled.map_err(|_| Reason::BadDraws)?;
        if latent.iter().chain(&ln_q).all(|value| value.is_finite()) {
            Ok((latent, ln_q))
        } else {
            Err(Reason::BadDraws)
        }
    }

    /// Parameters and derived properties of coordinates `latent` `[n, n_free]` with density `ln_q` `[n]`.
    pub fn decode(
        &self,
        latent: Array2<f32>,
        ln_q: Array1<f32>,
        zred: f64,
        derived: &dyn DerivedProperties,
    ) -> Draws {
        let n = latent.nrows();
        let mut columns = vec![0.0; N_COLUMNS * n];
        let (theta, rest) = columns.split_at_mut(N_PARAM * n);
        match latent.as_slice() {
            Some(u) => self.map.columns(u, theta),
            None => self.map.columns(&latent.iter().copied().collect::<Vec<_>>(), theta),
        }
        derived.derive(theta, zred, rest);
        let mut draws = Draws { n, latent, ln_q, columns, best: 0 };
        draws.best = self.best(&draws);
        draws
    }

    /// Density in parameter space is q(u) / N(u) times the prior density.
    fn best(&self, draws: &Draws) -> usize {
        let score = |i: usize| {
            let normal: f32 = draws.latent.row(i).iter().map(|u| 0.5 * u * u).sum();
            let prior = if self.flat { 0.0 } else { self.prior.ln_density(&draws.theta(i)) };
            f64::from(draws.ln_q[i] + normal) + prior
        };
        (0..draws.n).map(|i| (i, score(i))).max_by(|a, b| a.1.total_cmp(&b.1)).map_or(0, |(i, _)| i)
    }
}

/// Names the map between coordinates and parameters, so that draws are not decoded by another.
fn coordinates(prior: &Prior) -> Result<String, PriorError> {
    Ok(format!("standard normal coordinates of prior {}", prior.hash()?.short()))
}

/// Bytes of the shipped checkpoint.
pub fn shipped_bytes() -> &'static [u8] {
    include_bytes!("../../models/sdss-ugriz.ckpt")
}

/// Its name in catalogs.
pub const SHIPPED_NAME: &str = "sdss-ugriz";
