use super::*;
use crate::noise::BandNoise;
use crate::prior::{Density, PriorSpec};

/// A galaxy's flux follows its mass and distance, its colour the dust.
struct Toy;

impl Photometry for Toy {
    type Scratch = ();

    fn n_bands(&self) -> usize {
        2
    }

    fn scratch(&self) {}

    fn nanomaggies(&self, theta: &[f64; N_PARAM], zred: f64, _: &mut (), out: &mut [f64]) {
        let bright = 10_f64.powf(theta[0] - 11.0) * 5.0 / (zred * zred);
        out[0] = bright * (-theta[10]).exp();
        out[1] = bright;
    }
}

fn noise() -> NoiseModel {
    let band = |name: &str| BandNoise {
        band: name.into(),
        mag: vec![14.0, 20.0],
        sigma_median: vec![0.02, 0.1],
        sigma_sd: vec![0.002, 0.05],
        count: vec![100; 2],
        mag_range: (10.0, 21.0),
    };
    NoiseModel { name: "toy".into(), source: String::new(), bands: vec![band("a"), band("b")] }
}

fn simulator(prior: &Prior, missing: f64) -> Simulator<'_, Toy> {
    Simulator::new(prior, &Toy, &noise(), Recipe { missing, ..Recipe::default() }, 11).unwrap()
}

#[test]
fn rows_depend_on_seed_and_index_alone() {
    let prior = Prior::default();
    let simulator = simulator(&prior, 0.2);
    let all = simulator.rows(0, 3000).unwrap();
    let mut pieces = Rows::default();
    for (start, n) in [(0, 700), (700, 1), (701, 2299)] {
        pieces.append(simulator.rows_here(start, n).unwrap());
    }
    assert_eq!(all, pieces);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
    assert_eq!(all, pool.install(|| simulator.rows(0, 3000)).unwrap());
}

#[test]
fn accepted_rows_are_in_the_observed_range_and_rejections_are_counted() {
    let prior = Prior::default();
    let rows = simulator(&prior, 0.0).rows(0, 2000).unwrap();
    assert_eq!(rows.len(), 2000);
    let (faintest, brightest) = noise().bands[0].flux_range_nmgy();
    assert!(rows.noisy_nmgy.iter().all(|&f| (faintest as f32..=brightest as f32).contains(&f)));
    assert!(rows.sigma_nmgy.iter().all(|&s| s > 0.0));
    assert!(rows.rejections.flux_range > 100 && rows.rejections.negative_sigma > 0);
    assert_eq!(rows.rejections.bad_flux, 0);
    assert!(rows.observed.iter().all(|&mask| mask == 0b11));
    for row in 0..rows.len() {
        let theta = rows.theta_row(row);
        assert!(prior.ln_density(&theta).is_finite(), "{theta:?}");
        let u: Vec<f64> = rows.latent[row * 11..(row + 1) * 11].iter().map(|&u| f64::from(u)).collect();
        for (a, b) in prior.theta(&u).iter().zip(theta) {
            assert!((a - b).abs() < 1e-6 * a.abs().max(1.0));
        }
    }
}

#[test]
fn bands_go_missing_as_often_as_asked_but_never_all() {
    let prior = Prior::default();
    let rows = simulator(&prior, 0.3).rows(0, 4000).unwrap();
    let missing = rows.observed.iter().filter(|&&mask| mask & 1 == 0).count() as f64 / 4000.0;
    // Of pairs other than (missing, missing).
    assert!((missing - 0.21 / 0.91).abs() < 0.03, "{missing}");
    assert!(rows.observed.iter().all(|&mask| mask != 0));
    let spec = FeatureSpec::for_noise(&noise(), true).unwrap();
    assert_eq!(rows.features(&spec).unwrap().dim(), (4000, 7));
    let strict = FeatureSpec::for_noise(&noise(), false).unwrap();
    assert!(matches!(rows.features(&strict), Err(SimulateError::Features { .. })));
}

#[test]
fn a_noise_model_that_accepts_nothing_is_an_error_not_a_hang() {
    let prior = Prior::default();
    let mut noise = noise();
    noise.bands[0].mag_range = (-30.0, -20.0);
    let simulator = Simulator::new(&prior, &Toy, &noise, Recipe::default(), 1).unwrap();
    assert!(matches!(simulator.rows(0, 10), Err(SimulateError::NothingAccepted { .. })));
    noise.bands.pop();
    assert!(matches!(
        Simulator::new(&prior, &Toy, &noise, Recipe::default(), 1).err(),
        Some(SimulateError::Bands { photometry: 2, noise: 1, .. })
    ));
}

#[test]
fn a_subsample_follows_the_new_prior() {
    let old = Prior::default();
    let mut spec = PriorSpec::default();
    *spec.scalar_mut("tau_ism").unwrap() =
        Density::TruncatedNormal { mean: 1.0, sd: 0.4, lower: 0.0, upper: 3.0 };
    *spec.scalar_mut("zred").unwrap() = Density::Uniform { lower: 0.05, upper: 0.15 };
    let new = Prior::new(spec.clone()).unwrap();
    // Without noise nothing is rejected, so the rows follow the prior itself.
    let streams = Streams::new(3, "subsample test");
    let rows: Vec<([f64; N_PARAM], f64)> = (0..40_000)
        .map(|i| {
            let mut rng = streams.at(i);
            (old.draw(&mut rng), old.draw_zred(&mut rng))
        })
        .collect();
    let subsampler = Subsampler::new(&old, &new, rows.iter().copied(), 5).unwrap();
    let kept: Vec<_> =
        rows.iter().enumerate().filter(|(i, row)| subsampler.keeps(*i as u64, &row.0, row.1)).collect();
    assert!(kept.len() > 4000, "{}", kept.len());
    let mut tau: Vec<f64> = kept.iter().map(|(_, row)| row.0[10]).collect();
    tau.sort_by(f64::total_cmp);
    let density = spec.tau_ism;
    let ks = tau
        .iter()
        .enumerate()
        .map(|(i, &t)| (density.cdf_pq(t).0 - (i as f64 + 0.5) / tau.len() as f64).abs())
        .fold(0.0, f64::max);
    assert!(ks < 1.6 / (tau.len() as f64).sqrt(), "KS distance {ks}");
    assert!(kept.iter().all(|(_, row)| (0.05..=0.15).contains(&row.1)));

    *spec.scalar_mut("tau_ism").unwrap() = Density::Uniform { lower: 0.0, upper: 4.0 };
    let wider = Prior::new(spec).unwrap();
    assert!(matches!(
        Subsampler::new(&old, &wider, rows.iter().copied(), 5).err(),
        Some(SubsampleError::Wider { param: "tau_ism", .. })
    ));
}

#[test]
fn a_table_is_made_for_the_dust_the_prior_can_draw() {
    let default = table_options(&Prior::default()).dust;
    assert_eq!((default.tau_bc_max, default.tau_ism_max, default.n_dust), (3.0, 3.0, (-2.0, 1.0)));
}
