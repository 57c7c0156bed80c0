//! Amortized neural likelihood: the density of a galaxy's photometry given its parameters, errors and
//! redshift, learned from simulations alone (the check that Hahn & Melchior 2022, section 5, propose).
//!
//! It is a conditional density as an [`super::Npe`]'s, with the roles swapped. The photometry is the
//! colours between neighbouring bands and the magnitude of the reference band, asinh magnitudes, with
//! distance and mass taken out: `m + 2.5 log_mstar - mu(z)`. It is conditioned on the coordinates of the
//! parameters, the logarithm of each error in the same unit, and of the redshift.
//!
//! In simulations an error tells the flux behind it to a few per cent, and a density of photometry
//! given errors could look there instead of at the parameters. So errors are made uninformative while
//! training ([`Scrambler`]): `p(flux | theta, sigma, z)` does not depend on how the errors came about.

use ndarray::{Array2, ArrayView2};
use rand::Rng;
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};

use super::{ModelCard, NpeError};
use crate::features::{FeatureError, FeatureSpec, MAX_BANDS, distance_modulus_proxy};
use crate::flow::{ConditionalFlow, FlowInfo};
use crate::prior::{N_PARAM, Prior};
use crate::rng::Streams;
use crate::simulate::Rows;
use crate::special::norm_ln_pdf;

const VERSION: u32 = 1;
/// Spread of the factor on all errors of a galaxy, and on each band's, in the natural logarithm.
const COMMON_SPREAD: f64 = 0.5;
const BAND_SPREAD: f64 = 0.3;

/// What a likelihood's checkpoint was trained for; kept inside it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NleCard {
    /// Tells it from a posterior's.
    pub kind: NleKind,
    pub version: u32,
    /// Prior, bands, errors, SED model, as of a posterior's checkpoint.
    pub model: ModelCard,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NleKind {
    Nle,
}

impl NleCard {
    pub const VERSION: u32 = VERSION;
}

/// A trained density of photometry given parameters.
pub struct Nle {
    flow: ConditionalFlow,
    prior: Prior,
    card: NleCard,
}

/// The units photometry is expressed in: of one mass at one redshift.
#[derive(Debug, Clone, Copy)]
struct Unit {
    /// Added to a magnitude.
    mag: f64,
    /// Added to the logarithm of an error.
    ln_flux: f64,
}

impl Unit {
    fn new(log_mstar: f64, zred: f64) -> Self {
        let mag = 2.5 * log_mstar - distance_modulus_proxy(zred);
        Self { mag, ln_flux: -0.4 * std::f64::consts::LN_10 * mag }
    }
}

/// Number of the flow's coordinates and features for a prior and bands.
pub fn widths(prior: &Prior, features: &FeatureSpec) -> (usize, usize) {
    let n_bands = features.bands().len();
    (n_bands, prior.n_free() + n_bands + 1)
}

/// Photometry `[n_band]` of one galaxy as coordinates of the density, for a mass of `log_mstar`.
pub fn photometry(features: &FeatureSpec, flux_nmgy: &[f64], log_mstar: f64, zred: f64, out: &mut [f32]) {
    let unit = Unit::new(log_mstar, zred);
    let mags: Vec<f64> = flux_nmgy.iter().enumerate().map(|(b, &f)| features.asinh_mag(b, f)).collect();
    out[0] = (mags[features.reference()] + unit.mag) as f32;
    for (out, pair) in out[1..].iter_mut().zip(mags.windows(2)) {
        *out = (pair[0] - pair[1]) as f32;
    }
}

/// What the density is conditioned on: coordinates `u` of the parameters, errors `[n_band]`, redshift.
pub fn condition(u: &[f32], sigma_nmgy: &[f64], log_mstar: f64, zred: f64, out: &mut [f32]) {
    let unit = Unit::new(log_mstar, zred);
    let (of_u, rest) = out.split_at_mut(u.len());
    of_u.copy_from_slice(u);
    for (out, sigma) in rest.iter_mut().zip(sigma_nmgy) {
        *out = (sigma.ln() + unit.ln_flux) as f32;
    }
    if let Some(last) = rest.last_mut() {
        *last = zred.max(1e-4).ln() as f32;
    }
}

/// Makes training examples of simulated rows: new errors that say nothing of the flux, new noise.
pub struct Scrambler {
    streams: Streams,
}

impl Scrambler {
    pub fn new(seed: u64) -> Self {
        Self { streams: Streams::new(seed, "likelihood noise") }
    }

    /// New noisy fluxes and errors `[n_band]` of row `i`, which is number `first + i` of all.
    fn scramble(&self, rows: &Rows, first: u64, i: usize, noisy: &mut [f64], sigma: &mut [f64]) {
        let mut rng = self.streams.at(first + i as u64);
        let mut normal = || -> f64 { StandardNormal.sample(&mut rng) };
        let common = COMMON_SPREAD * normal();
        for (band, (noisy, sigma)) in noisy.iter_mut().zip(sigma).enumerate() {
            let at = i * rows.n_bands + band;
            *sigma = f64::from(rows.sigma_nmgy[at]) * (common + BAND_SPREAD * normal()).exp();
            *noisy = f64::from(rows.flux_nmgy[at]) + *sigma * normal();
        }
    }

    /// Rows with new errors and noise, otherwise as they were.
    pub fn rows(&self, rows: &Rows, first: u64) -> Rows {
        let (n, b) = (rows.len(), rows.n_bands);
        let mut scrambled = rows.clone();
        let (mut noisy, mut sigma) = ([0.0; MAX_BANDS], [0.0; MAX_BANDS]);
        for i in 0..n {
            self.scramble(rows, first, i, &mut noisy[..b], &mut sigma[..b]);
            for band in 0..b {
                scrambled.noisy_nmgy[i * b + band] = noisy[band] as f32;
                scrambled.sigma_nmgy[i * b + band] = sigma[band] as f32;
            }
        }
        scrambled
    }

    /// Coordinates `[n, n_band]` and conditions `[n, n_free + n_band + 1]` of rows whose first is number
    /// `first`. Errors with the first row that has no photometry.
    pub fn examples(
        &self,
        rows: &Rows,
        first: u64,
        features: &FeatureSpec,
    ) -> Result<(Array2<f32>, Array2<f32>), FeatureError> {
        tables(&self.rows(rows, first), features)
    }
}

/// Coordinates `[n, n_band]` and conditions `[n, n_free + n_band + 1]` of rows as they are.
pub fn tables(rows: &Rows, features: &FeatureSpec) -> Result<(Array2<f32>, Array2<f32>), FeatureError> {
    let (n, b) = (rows.len(), rows.n_bands);
    let mut photometry_of = Array2::zeros((n, b));
    let mut condition_of = Array2::zeros((n, rows.n_free + b + 1));
    let (mut noisy, mut sigma) = ([0.0; MAX_BANDS], [0.0; MAX_BANDS]);
    for i in 0..n {
        for band in 0..b {
            let at = i * b + band;
            (noisy[band], sigma[band]) = (f64::from(rows.noisy_nmgy[at]), f64::from(rows.sigma_nmgy[at]));
            if !(noisy[band].is_finite() && sigma[band] > 0.0) {
                let (flux_nmgy, sigma_nmgy) = (noisy[band], sigma[band]);
                let band = features.bands()[band].clone();
                return Err(FeatureError::NotFinite { band, flux_nmgy, sigma_nmgy });
            }
        }
        let (log_mstar, zred) = (f64::from(rows.theta[i * N_PARAM]), f64::from(rows.zred[i]));
        let mut row = photometry_of.row_mut(i);
        photometry(features, &noisy[..b], log_mstar, zred, row.as_slice_mut().unwrap_or_default());
        let u = &rows.latent[i * rows.n_free..(i + 1) * rows.n_free];
        let mut row = condition_of.row_mut(i);
        condition(u, &sigma[..b], log_mstar, zred, row.as_slice_mut().unwrap_or_default());
    }
    Ok((photometry_of, condition_of))
}

/// Posterior draws and the photometry they were made from.
#[derive(Debug, Clone, Copy)]
pub struct Checked<'a> {
    /// Coordinates `[n, n_free]`, row after row, and the mass of each.
    pub u: &'a [f32],
    pub log_mstar: &'a [f32],
    pub flux_nmgy: &'a [f64],
    pub sigma_nmgy: &'a [f64],
    pub zred: f64,
}

/// Whether a galaxy's photometry is probable under its posterior, by the learned likelihood.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Probable {
    /// Natural log of the posterior predictive density of the observed photometry, in magnitudes.
    pub ln_density: f64,
    /// Fraction of photometry repeated from the posterior whose density is as low.
    pub p_value: f64,
}

impl Nle {
    pub fn new(mut flow: ConditionalFlow, card: NleCard) -> Result<Self, NpeError> {
        let prior = Prior::new(card.model.prior.clone())?;
        let coordinates =
            format!("photometry per mass and distance of {}", card.model.features.bands().join(" "));
        flow.info = FlowInfo { coordinates, extra: serde_json::to_value(&card)? };
        Self::checked(flow, card, prior)
    }

    /// From the bytes of a checkpoint. Errors where its parts do not belong together.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, NpeError> {
        let flow = ConditionalFlow::from_bytes(bytes)?;
        let card: NleCard = serde_json::from_value(flow.info.extra.clone())?;
        if card.version != VERSION {
            return Err(NpeError::Version { found: card.version });
        }
        let prior = Prior::new(card.model.prior.clone())?;
        Self::checked(flow, card, prior)
    }

    /// Whether bytes are a likelihood's checkpoint and not a posterior's.
    pub fn is_one(bytes: &[u8]) -> bool {
        ConditionalFlow::from_bytes(bytes).is_ok_and(|flow| flow.info.extra["kind"] == "nle")
    }

    fn checked(flow: ConditionalFlow, card: NleCard, prior: Prior) -> Result<Self, NpeError> {
        let model = &card.model;
        model.features.check()?;
        let n_bands = model.features.bands().len();
        let (n_param, n_feature) = widths(&prior, &model.features);
        let sizes = [
            ("coordinates", flow.n_param(), "bands", n_param),
            ("features", flow.n_feature(), "prior and bands", n_feature),
            ("noise bands", model.noise.bands.len(), "features", n_bands),
            ("filters", model.filters.len(), "features", n_bands),
        ];
        for (what, found, of, expected) in sizes {
            if found != expected {
                return Err(NpeError::Size { what, found, of, expected });
            }
        }
        Ok(Self { flow, prior, card })
    }

    pub fn to_bytes(&self) -> Result<Vec<u8>, NpeError> {
        Ok(self.flow.to_bytes()?)
    }

    pub fn flow(&self) -> &ConditionalFlow {
        &self.flow
    }

    pub fn prior(&self) -> &Prior {
        &self.prior
    }

    pub fn card(&self) -> &NleCard {
        &self.card
    }

    /// `ln p(photometry | condition)` `[n]` of rows made by [`photometry`] and [`condition`].
    pub fn ln_prob(
        &self,
        photometry: ArrayView2<f32>,
        condition: ArrayView2<f32>,
    ) -> Result<Vec<f32>, NpeError> {
        Ok(self.flow.ln_prob(photometry, condition)?.to_vec())
    }

    /// The same density for Gaussian errors around known noiseless fluxes: what a perfect likelihood
    /// would have learned.
    pub fn exact_ln_prob(&self, model_nmgy: &[f64], flux_nmgy: &[f64], sigma_nmgy: &[f64]) -> f64 {
        let of_band = |band: usize| {
            let (model, flux, sigma) = (model_nmgy[band], flux_nmgy[band], sigma_nmgy[band]);
            // From density per flux to density per magnitude; colours are a rotation of unit determinant.
            let mag_per_flux = self.card.model.features.asinh_mag_error(band, flux, 1.0);
            norm_ln_pdf((flux - model) / sigma) - sigma.ln() - mag_per_flux.ln()
        };
        (0..flux_nmgy.len()).map(of_band).sum()
    }

    /// Is the photometry probable under the posterior? At most `n` draws and `n` repetitions are used;
    /// the answer depends on the draws, `seed` and `stream` alone.
    pub fn probable(
        &self,
        galaxy: &Checked,
        n: usize,
        (seed, stream): (u64, u64),
    ) -> Result<Probable, NpeError> {
        let n_free = self.prior.n_free();
        let (b, all) = (self.flow.n_param(), galaxy.log_mstar.len());
        let n = n.min(all).max(1);
        let picked: Vec<usize> = (0..n).map(|k| k * all / n).filter(|&k| k < all).collect();
        let mut conditions = Array2::<f32>::zeros((picked.len(), self.flow.n_feature()));
        // Magnitudes of the reference band in the unit of the first draw; shifted for the others.
        let shift = |k: usize| 2.5 * (galaxy.log_mstar[k] - galaxy.log_mstar[picked[0]]);
        let mut repeated = Array2::<f32>::zeros((picked.len() + 1, b));
        let mut own = repeated.row_mut(0);
        let first = f64::from(picked.first().map_or(0.0, |&k| galaxy.log_mstar[k]));
        let features = &self.card.model.features;
        // Not the numbers by which the draws themselves were made.
        let seed = Streams::new(seed, "likelihood repetition").at(stream).next_u64();
        photometry(features, galaxy.flux_nmgy, first, galaxy.zred, own.as_slice_mut().unwrap_or_default());
        for (i, &k) in picked.iter().enumerate() {
            let u = &galaxy.u[k * n_free..(k + 1) * n_free];
            let mut row = conditions.row_mut(i);
            let log_mstar = f64::from(galaxy.log_mstar[k]);
            condition(u, galaxy.sigma_nmgy, log_mstar, galaxy.zred, row.as_slice_mut().unwrap_or_default());
            let draw = self.flow.sample(conditions.row(i), 1, seed, i as u64)?;
            repeated.row_mut(i + 1).assign(&draw.row(0));
            repeated[[i + 1, 0]] -= shift(k);
        }
        // ln of the mean over draws of p(photometry | draw), for the observed one and all repeated; a
        // repetition's own draw would favour it and does not count.
        let mut sums = vec![(f64::NEG_INFINITY, 0.0); repeated.nrows()];
        for (i, &k) in picked.iter().enumerate() {
            let mut shifted = repeated.clone();
            shifted.column_mut(0).mapv_inplace(|v| v + shift(k));
            let ln_p = self.flow.condition(conditions.row(i))?.ln_prob(shifted.view())?;
            for (row, ((most, sum), &ln_p)) in sums.iter_mut().zip(&ln_p).enumerate() {
                if row == i + 1 {
                    continue;
                }
                let ln_p = f64::from(ln_p);
                if ln_p > *most {
                    (*most, *sum) = (ln_p, *sum * (*most - ln_p).exp() + 1.0);
                } else {
                    *sum += (ln_p - *most).exp();
                }
            }
        }
        let m = picked.len() as f64;
        let of_row = |(row, (most, sum)): (usize, &(f64, f64))| {
            most + sum.ln() - if row == 0 { m } else { m - 1.0 }.ln()
        };
        let densities: Vec<f64> = sums.iter().enumerate().map(of_row).collect();
        let (observed, repeated) = densities.split_at(1);
        let as_low = repeated.iter().filter(|&&density| density <= observed[0]).count() as f64;
        let p_value = (as_low + 0.5) / (repeated.len() as f64 + 1.0);
        Ok(Probable { ln_density: observed[0], p_value })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::{Conditioner, FlowConfig};

    fn ugriz() -> FeatureSpec {
        FeatureSpec::for_noise(&crate::noise::NoiseModel::shipped().unwrap(), false).unwrap()
    }

    const FLUX: [f64; 5] = [40.0, 120.0, 250.0, 340.0, 420.0];
    const SIGMA: [f64; 5] = [2.0, 2.4, 5.0, 7.0, 13.0];

    #[test]
    fn mass_and_distance_are_taken_out_of_bright_photometry() {
        let features = ugriz();
        let coordinates = |factor: f64, log_mstar: f64, zred: f64| {
            let (mut y, mut x) = ([0.0; 5], [0.0; 8]);
            photometry(&features, &FLUX.map(|f| 1e3 * factor * f), log_mstar, zred, &mut y);
            condition(&[0.3, -1.0], &SIGMA.map(|s| 1e3 * factor * s), log_mstar, zred, &mut x);
            (y, x)
        };
        let (y, x) = coordinates(1.0, 10.0, 0.05);
        let (heavier, with_errors) = coordinates(10.0, 11.0, 0.05);
        let off = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(off(&y, &heavier) < 1e-4 && off(&x, &with_errors) < 1e-4);
        // Twice as far by the proxy for distances is a quarter of the flux.
        let (near, far) = (0.05_f64 * 1.0385, 0.1_f64 * 1.077);
        let (further, _) = coordinates((near / far).powi(2), 10.0, 0.1);
        assert!(off(&y, &further) < 1e-4);
        assert_eq!(x[..2], [0.3, -1.0]);
        assert!((x[7] - 0.05_f32.ln()).abs() < 1e-6);
    }

    fn rows(n: usize) -> Rows {
        let all =
            |values: &[f64]| -> Vec<f32> { (0..n).flat_map(|_| values.iter().map(|&v| v as f32)).collect() };
        Rows {
            n_bands: 5,
            n_free: 11,
            latent: vec![0.2; 11 * n],
            theta: vec![10.5; N_PARAM * n],
            zred: vec![0.05; n],
            flux_nmgy: all(&FLUX),
            noisy_nmgy: all(&FLUX),
            sigma_nmgy: all(&SIGMA),
            observed: vec![u64::MAX; n],
            rejections: Default::default(),
        }
    }

    #[test]
    fn scrambled_errors_spread_and_the_noise_follows_them() {
        let features = ugriz();
        let n = 4000;
        let (y, x) = Scrambler::new(1).examples(&rows(n), 0, &features).unwrap();
        assert_eq!((y.dim(), x.dim()), ((n, 5), (n, 17)));
        let (mut plain, mut own) = ([0.0; 5], [0.0; 17]);
        photometry(&features, &FLUX, 10.5, 0.05, &mut plain);
        condition(&[0.2; 11], &SIGMA, 10.5, 0.05, &mut own);
        let mean = |values: Vec<f64>| values.iter().sum::<f64>() / values.len() as f64;
        let of_band = |band: usize| -> Vec<f64> {
            (0..n).map(|i| f64::from(x[[i, 11 + band]] - own[11 + band])).collect()
        };
        let (u, g) = (of_band(0), of_band(1));
        let spread = mean(u.iter().map(|v| v * v).collect()).sqrt();
        assert!((spread - COMMON_SPREAD.hypot(BAND_SPREAD)).abs() < 0.03, "{spread}");
        let shared = mean(u.iter().zip(&g).map(|(a, b)| a * b).collect());
        assert!((shared - COMMON_SPREAD.powi(2)).abs() < 0.03, "{shared}");
        // Pulls of the r magnitude are standard normal, errors of each row's own size.
        let pulls: Vec<f64> = (0..n)
            .map(|i| {
                let sigma = SIGMA[2] * f64::from(x[[i, 13]] - own[13]).exp();
                f64::from(y[[i, 0]] - plain[0]) / features.asinh_mag_error(2, FLUX[2], sigma)
            })
            .collect();
        let square = mean(pulls.iter().map(|p| p * p).collect());
        assert!((square - 1.0).abs() < 0.1, "{square}");
        // A row's example depends on its number alone.
        let (again, _) = Scrambler::new(1).examples(&rows(3), 7, &features).unwrap();
        assert_eq!(again.row(1), y.row(8));
        let mut broken = rows(1);
        broken.flux_nmgy[3] = f32::NAN;
        assert!(
            Scrambler::new(1).examples(&broken, 0, &features).unwrap_err().to_string().contains("sdss2010-i")
        );
    }

    /// A likelihood whose density is a standard normal whatever it is conditioned on.
    fn untrained() -> Nle {
        let prior = Prior::default();
        let features = ugriz();
        let (n_param, n_feature) = widths(&prior, &features);
        let mut config = FlowConfig::nsf(n_param, n_feature);
        (config.layers, config.conditioner) = (1, Conditioner::Residual { width: 8, blocks: 0 });
        let model = crate::infer::Npe::shipped().unwrap().card().clone();
        let card = NleCard { kind: NleKind::Nle, version: NleCard::VERSION, model };
        Nle::new(ConditionalFlow::untrained(config, 0).unwrap(), card).unwrap()
    }

    #[test]
    fn photometry_in_the_middle_of_its_prediction_is_probable_and_in_its_tail_is_not() {
        let nle = untrained();
        let check = |flux: [f64; 5]| {
            let galaxy = Checked {
                u: &[0.0; 11 * 60],
                log_mstar: &[10.0; 60],
                flux_nmgy: &flux,
                sigma_nmgy: &SIGMA,
                zred: 0.05,
            };
            nle.probable(&galaxy, 50, (1, 2)).unwrap()
        };
        // The flux of one unit, in all bands: a magnitude of 0 per mass and distance, colours of 0.
        let unit = Unit::new(10.0, 0.05);
        let flux = 10_f64.powf(0.4 * (22.5 + unit.mag));
        let middle = check([flux; 5]);
        let five_normals = -2.5 * (2.0 * std::f64::consts::PI).ln();
        assert!((middle.ln_density - five_normals).abs() < 1e-2, "{middle:?} {five_normals}");
        assert!(middle.p_value > 0.95, "{middle:?}");
        // 4 sigma in one colour.
        let tail = check([flux * 10_f64.powf(-1.6), flux, flux, flux, flux]);
        assert!((tail.ln_density - five_normals + 8.0).abs() < 2e-2 && tail.p_value < 0.05, "{tail:?}");
        assert_eq!(check([flux; 5]), middle);
    }

    #[test]
    fn the_exact_density_is_a_density_of_magnitudes() {
        let nle = untrained();
        // Integrate over the flux of one band in steps of its magnitude, the others at their model flux.
        let features = &nle.card().model.features;
        let mut sum = 0.0;
        let mut last: Option<f64> = None;
        for step in -600..=600 {
            let mut flux = FLUX;
            flux[2] += SIGMA[2] * f64::from(step) / 100.0;
            let mag = features.asinh_mag(2, flux[2]);
            if let Some(last) = last {
                sum += (last - mag) * nle.exact_ln_prob(&FLUX, &flux, &SIGMA).exp();
            }
            last = Some(mag);
        }
        let of_others = |band: usize| {
            (features.asinh_mag_error(band, FLUX[band], SIGMA[band]) * (2.0 * std::f64::consts::PI).sqrt())
                .ln()
        };
        let rest: f64 = [0, 1, 3, 4].map(of_others).iter().sum();
        assert!((sum.ln() + rest).abs() < 5e-3, "{sum} {rest}");
    }

    #[test]
    fn a_checkpoint_comes_back_and_is_told_from_a_posteriors() {
        let nle = untrained();
        let bytes = nle.to_bytes().unwrap();
        assert!(Nle::is_one(&bytes) && !Nle::is_one(super::super::shipped_bytes()));
        assert_eq!(Nle::from_bytes(&bytes).unwrap().card(), nle.card());
        assert!(Nle::from_bytes(super::super::shipped_bytes()).is_err());
        let refused = super::super::Npe::from_bytes(&bytes).err().unwrap().to_string();
        assert!(refused.contains("likelihood"), "{refused}");
    }
}
