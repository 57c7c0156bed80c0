//! A catalog of made-up galaxies with posteriors that look real, for tests and benchmarks.

#![allow(dead_code)] // each of its users takes its own part

use std::path::Path;

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use sedflow::codec::{EncodeOptions, encode};
use sedflow::galaxy::{BandPhot, GalaxyRecord, SkyPosition};
use sedflow::hash::ContentHash;
use sedflow::infer::summarise;
use sedflow::prior::{Prior, PriorSpec};
use sedflow::store::{
    BandSpec, FilterCurve, GalaxyId, IngestSpec, Method, PosteriorRow, PosteriorSet, PosteriorSetSpec,
    PriorId, RunId, RunSpec, SUMMARY_PARAMETERS, SedModelId, SspGridSpec, Store, StoreError, Summary,
    SurveySpec,
};
use serde_json::json;

/// A new catalog with galaxies and all that posterior sets stand on.
pub struct Synthetic {
    pub store: Store,
    pub run: RunId,
    pub sed_model: SedModelId,
    pub prior: PriorId,
}

/// Draws as they are stored, and their summary.
pub struct Posterior {
    pub columns: Vec<Vec<f32>>,
    pub row: PosteriorRow,
}

impl Synthetic {
    pub fn new(path: &Path, n_galaxies: usize) -> Result<Self, Box<dyn std::error::Error>> {
        let mut store = Store::create(path)?;
        let spec = RunSpec { command: "bench", config: &json!({}), seed: Some(1), resumes: None };
        let run = store.begin_run(&spec)?;
        ingest(&mut store, run, "synthetic", n_galaxies, 1.0)?;
        let grid = SspGridSpec {
            hash: ContentHash::of_bytes(b"grid"),
            name: "none",
            imf: "none",
            isochrones: "none",
            library: "none",
            lsun_erg_s: 3.846e33,
            bytes: None,
        };
        let grid = store.put_ssp_grid(run, &grid)?;
        let sed_model =
            store.put_sed_model(run, "none", ContentHash::of_bytes(b"model"), grid, &json!({}))?;
        let prior = store.put_prior(run, "default", &Prior::new(PriorSpec::default())?)?;
        Ok(Self { store, run, sed_model, prior })
    }

    /// A set with the posteriors that `row_of` gives to the `n` galaxies from number `first_galaxy`.
    pub fn add_set(
        &mut self,
        name: &str,
        seed: u64,
        n_draws: u64,
        (first_galaxy, n): (usize, usize),
        row_of: &mut dyn FnMut(usize) -> PosteriorRow,
    ) -> Result<PosteriorSet, StoreError> {
        let spec = PosteriorSetSpec {
            name,
            checkpoint: None,
            sed_model: self.sed_model,
            prior: self.prior,
            config: &json!({"method": "npe", "steps_per_width": 32}),
            seed,
            n_draws,
            parameters: &SUMMARY_PARAMETERS,
        };
        let set = self.store.begin_posterior_set(self.run, &spec)?;
        for first in (0..n).step_by(500) {
            let rows: Vec<PosteriorRow> = (first..(first + 500).min(n))
                .map(|i| PosteriorRow { galaxy: GalaxyId((first_galaxy + i) as i64), ..row_of(i) })
                .collect();
            self.store.commit_posteriors(set.id, &rows)?;
        }
        self.store.finish_posterior_set(set.id)?;
        self.store.posterior_set(set.id)
    }
}

/// Galaxies of a survey with five bands; fluxes are multiplied by `scale`.
pub fn ingest(
    store: &mut Store,
    run: RunId,
    survey_name: &str,
    n: usize,
    scale: f64,
) -> Result<(), StoreError> {
    let bands = ["u", "g", "r", "i", "z"];
    let mut specs = Vec::new();
    for band in bands {
        let hash = ContentHash::of_bytes(band.as_bytes());
        let curve = FilterCurve {
            name: band,
            hash,
            wave_pivot_aa: 5000.0,
            wave_aa: &[4000.0, 6000.0],
            response: &[1.0, 1.0],
        };
        specs.push(BandSpec {
            name: band.to_owned(),
            filter: Some((store.put_filter(run, &curve)?, hash)),
            ucd: None,
        });
    }
    let band_set = store.put_band_set(run, "ugriz", &specs)?;
    let spec = SurveySpec { name: survey_name, band_set, description: None, reference: None };
    let survey = store.put_survey(run, &spec)?;
    let spec = IngestSpec {
        survey,
        survey_name,
        file_name: "none",
        file_hash: ContentHash::of_bytes(survey_name.as_bytes()),
        n_bytes: 0,
        format: "fits",
        layout: "bench",
        config: &json!({}),
        extinction: "none",
        extra: &[],
    };
    let ingest = store.begin_ingest(run, &spec)?;
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    for first in (0..n).step_by(20_000) {
        let rows = first..(first + 20_000).min(n);
        let next = rows.end as u64;
        let galaxies: Vec<_> = rows.map(|row| galaxy(row, bands.len(), scale, &mut rng)).collect();
        store.commit_ingest_batch(ingest.id, next, &galaxies, &[], &[])?;
    }
    store.finish_ingest(ingest.id)?;
    Ok(())
}

fn galaxy(row: usize, n_bands: usize, scale: f64, rng: &mut impl Rng) -> GalaxyRecord {
    let flux =
        || BandPhot { flux_nmgy: Some(scale * (123.456 + row as f64)), ivar_nmgy: Some(4.5), flags: 0 };
    GalaxyRecord {
        object_id: format!("{}", 1_000_000_000 + row),
        source_row: row as u64,
        position: Some(SkyPosition {
            ra_deg: rng.random::<f64>() * 360.0,
            dec_deg: (rng.random::<f64>() * 2.0 - 1.0).asin().to_degrees(),
        }),
        redshift: Some(rng.random::<f64>() * 0.2),
        redshift_err: Some(1e-5),
        photometry: (0..n_bands).map(|_| flux()).collect(),
        extra: vec![],
        cuts_failed: 0,
    }
}

/// The posterior of made-up galaxy `seed`: masses narrow, weights on a simplex, the rest wide and bounded.
pub fn posterior(seed: u64, n_draws: usize) -> Posterior {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let centre: Vec<f64> = SUMMARY_PARAMETERS.iter().map(|_| StandardNormal.sample(&mut rng)).collect();
    let mut columns = vec![Vec::with_capacity(n_draws); SUMMARY_PARAMETERS.len()];
    for _ in 0..n_draws {
        let e: Vec<f64> = (0..centre.len()).map(|_| StandardNormal.sample(&mut rng)).collect();
        let bounded = |i: usize| 1.0 / (1.0 + (-(centre[i] + 1.5 * e[i])).exp());
        let mass = 10.0 + 0.8 * centre[0] + 0.2 * e[0];
        let mut left = 1.0;
        let mut weights = [0.0; 4];
        for (i, weight) in weights.iter_mut().enumerate() {
            *weight = if i == 3 { left } else { left * bounded(1 + i) };
            left -= *weight;
        }
        let age = 1.0 + 11.0 * bounded(15);
        let values = [
            mass,
            weights[0],
            weights[1],
            weights[2],
            weights[3],
            bounded(5),
            0.01 + 13.26 * bounded(6),
            -4.3 + 2.5 * bounded(7),
            -4.3 + 2.5 * bounded(8),
            3.0 * bounded(9),
            3.0 * bounded(10),
            -2.0 + 3.0 * bounded(11),
            mass - 10.3 + 0.3 * centre[12] + 0.3 * e[12],
            mass - 10.3 + 0.3 * centre[12] + 0.5 * e[12] + 0.2 * e[13],
            -2.0 + 0.3 * e[7],
            age,
            mass - 0.2 - 0.01 * age,
        ];
        for (column, value) in columns.iter_mut().zip(values) {
            column.push(value as f32);
        }
    }
    let named: Vec<(&str, &[f32])> =
        SUMMARY_PARAMETERS.iter().zip(&columns).map(|(name, column)| (*name, column.as_slice())).collect();
    let options = EncodeOptions { simplex: Some(1..5), ..EncodeOptions::default() };
    let packed = encode(&named, &options).expect("draws can be packed");
    let summary = columns.iter().map(|column| {
        let marginal = summarise(column, 0, None, &mut vec![]);
        let [q025, q16, q50, q84, q975] = marginal.quantiles;
        let (mean, std) = (marginal.mean, marginal.sd);
        Summary { mean, std, q025, q16, q50, q84, q975, map: marginal.best, edge_frac: 0.0 }
    });
    let row = PosteriorRow {
        method: Some(Method::Npe),
        n_draws: n_draws as u64,
        n_bands: 5,
        codec: Some(sedflow::codec::CODEC.to_owned()),
        codec_ks: Some(packed.achieved.ks),
        draws_hash: Some(packed.hash),
        samples: Some(packed.bytes),
        summary: summary.collect(),
        ..PosteriorRow::default()
    };
    Posterior { columns, row }
}
