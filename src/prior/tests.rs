use super::*;
use crate::rng::Streams;

fn every_kind() -> Prior {
    Prior::from_json(
        r#"{
        "log_mstar": {"kind": "normal", "mean": 10, "sd": 0.5},
        "beta": {"kind": "dirichlet", "alpha": [0.5, 2, 1, 3.5]},
        "fburst": {"kind": "truncated_normal", "mean": -0.1, "sd": 0.2, "lower": 0, "upper": 1},
        "tburst": {"kind": "log_uniform", "lower": 0.01, "upper": 13.27},
        "log_gamma1": {"kind": "uniform", "lower": -4, "upper": -2},
        "log_gamma2": {"kind": "fixed", "value": -3},
        "tau_bc": {"kind": "truncated_normal", "mean": 5, "sd": 1, "lower": 0, "upper": 3},
        "tau_ism": {"kind": "uniform", "lower": 0, "upper": 3},
        "n_dust": {"kind": "fixed", "value": -0.7},
        "zred": {"kind": "log_uniform", "lower": 0.01, "upper": 0.2}}"#,
    )
    .unwrap()
}

fn latents(prior: &Prior, n: u64) -> Vec<Vec<f64>> {
    let streams = Streams::new(7, "prior test");
    (0..n)
        .map(|i| {
            let mut u = vec![0.0; prior.n_free()];
            prior.draw_latent(&mut streams.at(i), &mut u);
            u
        })
        .collect()
}

#[test]
fn latent_inverts_theta_for_every_kind_of_prior() {
    for prior in [Prior::default(), every_kind()] {
        for u in latents(&prior, 500) {
            let back = prior.latent(&prior.theta(&u)).unwrap();
            for (u, back) in u.iter().zip(&back) {
                assert!((u - back).abs() < 1e-8, "{u} came back as {back}");
            }
        }
    }
}

#[test]
fn the_default_prior_has_eleven_coordinates_and_fixing_takes_them_away() {
    assert_eq!(Prior::default().n_free(), 11);
    assert_eq!(
        Prior::default().free_names(),
        [
            "log_mstar",
            "stick1",
            "stick2",
            "stick3",
            "fburst",
            "tburst",
            "log_gamma1",
            "log_gamma2",
            "tau_bc",
            "tau_ism",
            "n_dust"
        ]
    );
    let prior = every_kind();
    assert_eq!(prior.n_free(), 9);
    assert!(prior.is_fixed(8) && prior.is_fixed(11) && !prior.is_fixed(2));
    assert_eq!(prior.theta(&[0.3; 9])[11], -0.7);
}

#[test]
fn no_coordinate_however_extreme_leaves_the_prior() {
    for prior in [Prior::default(), every_kind()] {
        let map = prior.theta_map();
        for extreme in [-1e30, -40.0, -9.0, -8.0, -5.0, 5.0, 8.0, 9.0, 40.0, 1e30] {
            let u = vec![extreme; prior.n_free()];
            let exact = prior.theta(&u);
            let u: Vec<f32> = u.iter().map(|&u| u as f32).collect();
            let mut fast = vec![0.0; N_PARAM];
            map.columns(&u, &mut fast);
            for param in (0..N_PARAM).filter(|&param| !prior.is_fixed(param)) {
                let (lower, upper) = prior.support(param);
                for value in [exact[param], f64::from(fast[param])] {
                    let name = PARAMS[param].name;
                    assert!(lower < value && value < upper, "{name} = {value} at u = {extreme}");
                }
            }
            let sum: f64 = exact[1..5].iter().sum();
            assert!((sum - 1.0).abs() < 1e-12);
        }
    }
}

#[test]
fn the_fast_map_agrees_with_the_exact_one() {
    for prior in [Prior::default(), every_kind()] {
        let rows = latents(&prior, 1100);
        let u: Vec<f32> = rows.iter().flatten().map(|&u| u as f32).collect();
        let mut fast = vec![0.0; N_PARAM * rows.len()];
        prior.theta_map().columns(&u, &mut fast);
        for (i, row) in rows.iter().enumerate() {
            let row: Vec<f64> = row.iter().map(|&u| f64::from(u as f32)).collect();
            let exact = prior.theta(&row);
            for param in 0..N_PARAM {
                let found = f64::from(fast[param * rows.len() + i]);
                let width = (prior.quantile(param, 0.999) - prior.quantile(param, 0.001)).max(1e-3);
                let name = PARAMS[param].name;
                let error = (found - exact[param]).abs();
                assert!(
                    error < 2e-6 * width + 1e-7 * exact[param].abs(),
                    "{name}: {found}, exactly {}",
                    exact[param]
                );
            }
        }
    }
}

#[test]
fn jacobian_agrees_with_the_numerical_determinant() {
    for prior in [Prior::default(), every_kind()] {
        for u in latents(&prior, 20) {
            let n = prior.n_free();
            let free: Vec<usize> = (0..N_PARAM).filter(|&p| !prior.is_fixed(p) && p != 4).collect();
            let mut jacobian = ndarray::Array2::<f64>::zeros((n, n));
            for k in 0..n {
                let step = 1e-5;
                let at = |sign: f64| {
                    let mut moved = u.clone();
                    moved[k] += sign * step;
                    prior.theta(&moved)
                };
                let (plus, minus) = (at(1.0), at(-1.0));
                for (i, &param) in free.iter().enumerate() {
                    jacobian[[i, k]] = (plus[param] - minus[param]) / (2.0 * step);
                }
            }
            let numerical = determinant(jacobian).abs().ln();
            let found = prior.ln_jacobian(&u);
            assert!((found - numerical).abs() < 1e-4, "ln |J| = {found}, numerically {numerical}");
        }
    }
}

fn determinant(mut m: ndarray::Array2<f64>) -> f64 {
    let n = m.nrows();
    let mut product = 1.0;
    for i in 0..n {
        let pivot = (i..n).max_by(|&a, &b| m[[a, i]].abs().total_cmp(&m[[b, i]].abs())).unwrap();
        for k in 0..n {
            m.swap([i, k], [pivot, k]);
        }
        product *= if pivot == i { m[[i, i]] } else { -m[[i, i]] };
        for j in i + 1..n {
            let factor = m[[j, i]] / m[[i, i]];
            for k in i..n {
                let above = m[[i, k]];
                m[[j, k]] -= factor * above;
            }
        }
    }
    product
}

#[test]
fn densities_have_their_closed_forms_and_integrate_to_one() {
    let cases = [
        (Density::Uniform { lower: -2.0, upper: 1.0 }, 0.0, (1.0_f64 / 3.0).ln()),
        (Density::LogUniform { lower: 1.0, upper: std::f64::consts::E }, 2.0, 0.5_f64.ln()),
        (Density::Normal { mean: 1.0, sd: 2.0 }, 1.0, norm_ln_pdf(0.0) - 2.0_f64.ln()),
        (
            Density::TruncatedNormal { mean: 0.0, sd: 1.0, lower: 0.0, upper: 20.0 },
            0.0,
            norm_ln_pdf(0.0) + 2.0_f64.ln(),
        ),
    ];
    for (density, x, expected) in cases {
        assert!((density.ln_density(x) - expected).abs() < 1e-12, "{density:?}");
        let (from, to) = (density.quantile_pq(1e-9, 1.0 - 1e-9), density.quantile_pq(1.0 - 1e-9, 1e-9));
        let n = 100_000;
        let step = (to - from) / f64::from(n);
        let sum: f64 = (0..n).map(|i| density.ln_density(from + (f64::from(i) + 0.5) * step).exp()).sum();
        assert!((sum * step - 1.0).abs() < 1e-6, "{density:?} integrates to {}", sum * step);
    }
    let flat = Prior::default().ln_density(&Prior::default().theta(&[0.0; 11]));
    let gamma = (1.5e-2_f64 / 4.5e-5).log10();
    let volume: f64 = 5.5 * (1.0 / 6.0) * 1.0 * 13.26 * gamma * gamma * 3.0 * 3.0 * 3.0;
    assert!((flat + volume.ln()).abs() < 1e-12);
}

#[test]
fn quantile_inverts_the_cumulative_function() {
    for density in [
        Density::Uniform { lower: 7.0, upper: 12.5 },
        Density::LogUniform { lower: 0.01, upper: 13.27 },
        Density::Normal { mean: -0.3, sd: 0.2 },
        Density::TruncatedNormal { mean: 5.0, sd: 1.0, lower: 0.0, upper: 3.0 },
        Density::TruncatedNormal { mean: -4.0, sd: 1.0, lower: 0.0, upper: 3.0 },
    ] {
        for p in [1e-6, 0.025, 0.5, 0.84, 1.0 - 1e-6] {
            let (found, _) = density.cdf_pq(density.quantile_pq(p, 1.0 - p));
            assert!((found - p).abs() < 1e-12, "{density:?}: {p} came back as {found}");
        }
    }
}

#[test]
fn draws_of_a_flat_dirichlet_have_its_moments() {
    // Mean 1/4, variance 3/80 for each weight.
    let prior = Prior::default();
    let draws: Vec<_> = latents(&prior, 20_000).iter().map(|u| prior.theta(u)).collect();
    let n = draws.len() as f64;
    for param in 1..5 {
        let mean = draws.iter().map(|t| t[param]).sum::<f64>() / n;
        let variance = draws.iter().map(|t| (t[param] - 0.25).powi(2)).sum::<f64>() / n;
        assert!((mean - 0.25).abs() < 0.006 && (variance - 0.0375).abs() < 0.0015, "{mean} {variance}");
    }
}

#[test]
fn a_prior_survives_json_and_its_hash_names_its_content() {
    let prior = every_kind();
    let back = Prior::from_json(&prior.to_json().unwrap()).unwrap();
    assert_eq!(back.spec(), prior.spec());
    assert_eq!(back.hash().unwrap(), prior.hash().unwrap());
    assert_ne!(Prior::default().hash().unwrap(), prior.hash().unwrap());
}

#[test]
fn bad_priors_are_refused_with_the_fact() {
    let with = |name: &str, density| {
        let mut spec = PriorSpec::default();
        *spec.scalar_mut(name).unwrap() = density;
        Prior::new(spec).unwrap_err().to_string()
    };
    let cases = [
        (
            with("tau_bc", Density::Uniform { lower: 3.0, upper: 0.0 }),
            "prior of tau_bc: lower bound 3 is not below upper bound 0",
        ),
        (
            with("log_mstar", Density::Normal { mean: 10.0, sd: 0.0 }),
            "prior of log_mstar: sd is 0, expected a positive number",
        ),
        (
            with("fburst", Density::Uniform { lower: 0.0, upper: 1.5 }),
            "prior of fburst: its support 0..1.5 reaches outside 0..1, where the model is defined",
        ),
        (
            with("tburst", Density::Uniform { lower: f64::NAN, upper: 1.0 }),
            "prior of tburst: lower is NaN, expected a finite number",
        ),
        (
            with("tburst", Density::LogUniform { lower: 0.0, upper: 1.0 }),
            "prior of tburst: lower is 0, expected a positive number, for a log-uniform prior",
        ),
    ];
    for (found, expected) in cases {
        assert_eq!(found, expected);
    }
    let mut spec =
        PriorSpec { beta: BetaPrior::Fixed { value: [0.5, 0.5, 0.5, 0.0] }, ..PriorSpec::default() };
    assert!(matches!(Prior::new(spec.clone()), Err(PriorError::BetaSum { found }) if found == 1.5));
    spec.beta = BetaPrior::Dirichlet { alpha: [1.0, -1.0, 1.0, 1.0] };
    assert!(matches!(Prior::new(spec), Err(PriorError::Value { what: "alpha", .. })));
    assert!(Prior::from_json(r#"{"log_mstar": {"kind": "flat"}}"#).is_err());
}

#[test]
fn a_row_outside_the_prior_has_no_coordinates() {
    let prior = Prior::default();
    let mut theta = prior.theta(&[0.0; 11]);
    theta[0] = 13.0;
    assert!(matches!(prior.latent(&theta), Err(PriorError::Outside { param: "log_mstar", .. })));
    assert_eq!(prior.ln_density(&theta), f64::NEG_INFINITY);
    theta[0] = 12.5;
    assert!(prior.latent(&theta).unwrap().iter().all(|u| u.is_finite()));
}
