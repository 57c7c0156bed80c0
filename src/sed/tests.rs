use std::sync::{Arc, OnceLock};

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::params::tests::{MILKY, any_theta};
use super::*;
use crate::filters::shipped;

const UGRIZ: [&str; 5] = ["sdss2010-u", "sdss2010-g", "sdss2010-r", "sdss2010-i", "sdss2010-z"];

fn model() -> &'static SedModel {
    static MODEL: OnceLock<SedModel> = OnceLock::new();
    MODEL.get_or_init(|| SedModel::new(Arc::new(SspGrid::shipped().unwrap())))
}

fn filters(names: &[&str]) -> Vec<Filter> {
    names.iter().map(|name| shipped(name).unwrap()).collect()
}

/// ugriz over the first cells of the default simulation's redshifts.
fn table() -> &'static PhotTable {
    static TABLE: OnceLock<PhotTable> = OnceLock::new();
    TABLE.get_or_init(|| {
        PhotTable::new(model(), &filters(&UGRIZ), (0.0, 0.03), &PhotOptions::default()).unwrap()
    })
}

/// The same draws from the default prior every time.
fn prior_draws(n: usize) -> Vec<Theta> {
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    (0..n).map(|_| any_theta().new_tree(&mut runner).unwrap().current()).collect()
}

/// Root mean square and worst difference, magnitudes.
fn difference(pairs: impl Iterator<Item = (f64, f64)>) -> (f64, f64) {
    let errors: Vec<f64> = pairs.map(|(a, b)| 2.5 * (a / b).log10()).collect();
    let rms = (errors.iter().map(|e| e * e).sum::<f64>() / errors.len() as f64).sqrt();
    (rms, errors.iter().fold(0.0, |worst, e| e.abs().max(worst)))
}

fn fast_against_exact(names: &[&str], from: f64, to: f64, n: usize) -> (f64, f64) {
    let filters = filters(names);
    let table = PhotTable::new(model(), &filters, (from, to), &PhotOptions::default()).unwrap();
    let thetas = prior_draws(n);
    let zred: Vec<f64> = (0..n).map(|i| from + (to - from) * (i as f64 + 0.5) / n as f64).collect();
    let mut fast = vec![0.0; n * names.len()];
    table.nanomaggies_batch(&thetas, &zred, &mut fast).unwrap();
    let exact = thetas
        .iter()
        .zip(&zred)
        .flat_map(|(theta, &z)| model().nanomaggies(&Galaxy::from_theta(theta), z, &filters).unwrap());
    // Fainter than AB 37.5 nothing is seen, and relative errors say nothing.
    difference(fast.into_iter().zip(exact).filter(|(_, exact)| *exact > 1e-6))
}

#[test]
fn the_fast_path_is_the_exact_one_to_0_001_mag_rms_and_0_01_at_worst() {
    let near_infrared = ["twomass-J", "twomass-H", "twomass-Ks", "decam2014-g", "lsst2023-y"];
    for (names, from, to) in [(&UGRIZ, 0.09, 0.1), (&near_infrared, 0.18, 0.19), (&UGRIZ, 1.0, 1.01)] {
        let (rms, worst) = fast_against_exact(names, from, to, 200);
        assert!(rms < 1e-3 && worst < 1e-2, "z {from}: rms {rms}, worst {worst}");
    }
}

#[test]
fn a_table_at_one_redshift_is_the_exact_path_within_the_nodes_tolerance() {
    let filters = filters(&UGRIZ);
    let table = PhotTable::at_one(model(), &filters, 0.12).unwrap();
    let mut scratch = Scratch::default();
    let mut fast = [0.0; 5];
    let pairs = prior_draws(100).into_iter().flat_map(|theta| {
        table.nanomaggies(&theta, 0.12, &mut scratch, &mut fast).unwrap();
        let exact = model().nanomaggies(&Galaxy::from_theta(&theta), 0.12, &filters).unwrap();
        fast.into_iter().zip(exact).collect::<Vec<_>>()
    });
    let (rms, worst) = difference(pairs);
    assert!(rms < 2e-4 && worst < 1e-3, "rms {rms}, worst {worst}");
}

#[test]
fn a_batch_in_any_order_gives_what_each_galaxy_gives_alone() {
    let n = 300;
    let thetas = prior_draws(n);
    let zred: Vec<f64> = (0..n).map(|i| 1e-3 + 0.029 * ((i * 7919) % n) as f64 / n as f64).collect();
    let mut batch = vec![0.0; 5 * n];
    table().nanomaggies_batch(&thetas, &zred, &mut batch).unwrap();
    let mut scratch = Scratch::default();
    let mut alone = [0.0; 5];
    for i in 0..n {
        table().nanomaggies(&thetas[i], zred[i], &mut scratch, &mut alone).unwrap();
        assert_eq!(alone, batch[5 * i..5 * i + 5]);
    }
}

#[test]
fn redshifts_outside_a_table_are_refused() {
    let mut out = [0.0; 5];
    for found in [0.0, 0.031, f64::NAN] {
        let error = table().nanomaggies_batch(&[MILKY], &[found], &mut out).unwrap_err();
        assert!(matches!(error, SedError::OutsideTable { .. }), "{error}");
    }
}

#[test]
fn a_band_beyond_the_grid_is_named_before_anything_is_computed() {
    let mut far = filters(&["sdss2010-r"]);
    far.push(Filter::new("far", vec![1e6, 1.1e6, 1.2e6], vec![0.0, 1.0, 0.0]).unwrap());
    let galaxy = Galaxy::from_theta(&MILKY);
    for error in [
        model().nanomaggies(&galaxy, 0.1, &far).unwrap_err(),
        PhotTable::at_one(model(), &far, 0.1).unwrap_err(),
    ] {
        assert!(error.to_string().starts_with("band far covers 1000000.0..1200000.0 A"), "{error}");
    }
}

#[test]
fn without_dust_its_slope_changes_nothing_and_with_it_the_galaxy_is_dimmer() {
    let bands = filters(&UGRIZ);
    let seen = |tau_bc, tau_ism, n_dust| {
        let galaxy = Galaxy { tau_bc, tau_ism, n_dust, ..Galaxy::from_theta(&MILKY) };
        model().nanomaggies(&galaxy, 0.05, &bands).unwrap()
    };
    assert_eq!(seen(0.0, 0.0, -1.5), seen(0.0, 0.0, 0.9));
    let bare = seen(0.0, 0.0, 0.0);
    for dusty in [seen(1.0, 0.0, 0.0), seen(0.0, 0.3, -0.7)] {
        assert!(dusty.iter().zip(&bare).all(|(a, b)| a < b));
    }
}

#[test]
fn without_birth_clouds_their_depth_changes_nothing() {
    let model = model().with_birth_cloud_age(0.0).unwrap();
    let bands = filters(&UGRIZ);
    let galaxy = Galaxy::from_theta(&MILKY);
    let deep = Galaxy { tau_bc: 3.0, ..galaxy };
    assert_eq!(model.nanomaggies(&galaxy, 0.1, &bands), model.nanomaggies(&deep, 0.1, &bands));
    assert_eq!(model.with_birth_cloud_age(-0.1).unwrap_err(), SedError::BirthCloudAge { found: -0.1 });
}

#[test]
fn birth_clouds_can_be_changed_in_a_table_already_made() {
    let clouds = 0.01;
    let fast = table().with_birth_cloud_age(clouds).unwrap();
    let exact = model().with_birth_cloud_age(clouds).unwrap();
    let galaxy = Galaxy { tau_bc: 2.5, ..Galaxy::from_theta(&MILKY) };
    let mut found = [0.0; 5];
    fast.nanomaggies(&galaxy.theta(), 0.02, &mut Scratch::default(), &mut found).unwrap();
    let expected = exact.nanomaggies(&galaxy, 0.02, &filters(&UGRIZ)).unwrap();
    let (_, worst) = difference(found.into_iter().zip(expected));
    assert!(worst < 1e-3, "{worst}");
    assert_ne!(exact.hash(), model().hash());
}

#[test]
fn photometry_is_the_spectrum_seen_through_the_bands() {
    let galaxy = Galaxy::from_theta(&MILKY);
    let bands = filters(&["sdss2010-g", "decam2014-z"]);
    let spectrum = model().spectrum(&galaxy, 0.07).unwrap();
    let found = model().nanomaggies(&galaxy, 0.07, &bands).unwrap();
    for (filter, found) in bands.iter().zip(found) {
        let weights = BandWeights::new(filter, &spectrum.wave_obs_aa, 0.0).unwrap();
        let expected = 1e9 * weights.maggies(&spectrum.flam);
        assert!((found / expected - 1.0).abs() < 1e-9, "{}: {found} {expected}", filter.name());
    }
}

#[test]
fn absolute_magnitudes_are_apparent_ones_less_the_distance_modulus_at_small_redshift() {
    let galaxy = Galaxy::from_theta(&MILKY);
    let bands = filters(&UGRIZ);
    let zred = 1e-5;
    let modulus = 5.0 * (1e5 * model().cosmology().luminosity_distance_mpc(zred)).log10();
    let apparent = model().nanomaggies(&galaxy, zred, &bands).unwrap();
    let absolute = model().absolute_magnitudes(&galaxy, zred, &bands).unwrap();
    for (nmgy, absolute) in apparent.into_iter().zip(absolute) {
        assert!((crate::units::ab_from_nmgy(nmgy) - modulus - absolute).abs() < 1e-3);
    }
}

#[test]
fn tabulated_derived_properties_are_the_exact_ones() {
    let table = DerivedTable::new(model());
    for (i, theta) in prior_draws(200).iter().enumerate() {
        // Redshifts with 1 Gyr in the last bin, and with the universe younger than the window, too.
        let zred = [0.01, 0.2, 1.5, 4.9, 9.0][i % 5];
        let exact = model().derived(&Galaxy::from_theta(theta), zred).unwrap().row();
        let fast = table.at_redshift(zred).unwrap().row(theta);
        for (name, (a, b)) in DERIVED_NAMES.iter().zip(exact.iter().zip(fast)) {
            assert!((a - b).abs() < 1e-5, "{name} at {zred}: {a} {b}");
        }
    }
    assert!(table.at_redshift(-1.0).is_err());
}

#[test]
fn an_old_galaxy_keeps_less_of_its_mass_than_a_young_one() {
    let old = model().living_fraction(10.0, 0.02);
    let young = model().living_fraction(0.01, 0.02);
    assert!(old > 0.4 && old < 0.7 && young > 0.85 && young <= 1.0, "{old} {young}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn light_is_finite_not_negative_and_proportional_to_mass(theta in any_theta(), zred in 1e-4..0.03f64) {
        let bands = filters(&UGRIZ);
        let mut heavier = theta;
        heavier[0] += 1.0;
        let (galaxy, tenfold) = (Galaxy::from_theta(&theta), Galaxy::from_theta(&heavier));
        let exact = model().nanomaggies(&galaxy, zred, &bands).unwrap();
        let exact_tenfold = model().nanomaggies(&tenfold, zred, &bands).unwrap();
        let mut scratch = Scratch::default();
        let (mut fast, mut fast_tenfold) = ([0.0; 5], [0.0; 5]);
        table().nanomaggies(&theta, zred, &mut scratch, &mut fast).unwrap();
        table().nanomaggies(&heavier, zred, &mut scratch, &mut fast_tenfold).unwrap();
        for (one, ten) in exact.iter().zip(&exact_tenfold).chain(fast.iter().zip(&fast_tenfold)) {
            prop_assert!(one.is_finite() && *one >= 0.0);
            prop_assert!((ten / one / 10.0 - 1.0).abs() < 1e-9);
        }
        let derived = model().derived(&galaxy, zred).unwrap();
        prop_assert!(derived.row().iter().all(|x| x.is_finite()));
        prop_assert!(derived.log_mstar_surviving <= theta[0] + 1e-9);
        prop_assert!(derived.t_age_mw_gyr < model().cosmology().age_gyr(zred));
    }
}

#[test]
fn a_cache_serves_any_redshift_dust_and_birth_clouds() {
    let bands = filters(&["sdss2010-g", "wise2010-W1"]);
    let mut cache = PhotCache::new(model(), &bands, PhotOptions::default());
    let requests: Vec<Request> = prior_draws(12)
        .into_iter()
        .enumerate()
        .map(|(i, mut theta)| {
            if i == 11 {
                // Beyond the range tables are made for, unless asked.
                (theta[9], theta[10], theta[11]) = (3.5, 3.2, 1.2);
            }
            let zred = [0.02, 0.0201, 0.7, 0.7][i % 4];
            Request { theta, zred, birth_cloud_age_gyr: [0.1, 0.01, 0.1][i % 3] }
        })
        .collect();
    let fast = cache.nanomaggies(&requests).unwrap();
    assert_eq!(fast, cache.nanomaggies(&requests).unwrap());
    let exact = requests.iter().flat_map(|request| {
        let model = model().with_birth_cloud_age(request.birth_cloud_age_gyr).unwrap();
        model.nanomaggies(&Galaxy::from_theta(&request.theta), request.zred, &bands).unwrap()
    });
    let (_, worst) = difference(fast.into_iter().zip(exact));
    assert!(worst < 2e-3, "{worst}");
}
