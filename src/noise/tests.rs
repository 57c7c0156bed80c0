use ndarray::Array2;

use super::*;
use crate::rng::Streams;

fn one_band(mag: &[f64], median: &[f64], sd: &[f64]) -> NoiseModel {
    NoiseModel {
        name: "test".into(),
        source: String::new(),
        bands: vec![BandNoise {
            band: "r".into(),
            mag: mag.to_vec(),
            sigma_median: median.to_vec(),
            sigma_sd: sd.to_vec(),
            count: vec![100; mag.len()],
            mag_range: (mag[0] - 0.5, mag[mag.len() - 1] + 0.5),
        }],
    }
}

#[test]
fn errors_are_interpolated_between_bins_and_constant_beyond() {
    let model = one_band(&[16.5, 18.5], &[0.02, 0.04], &[0.001, 0.003]);
    let close = |mag, median: f64, sd: f64| {
        let found = model.bands[0].sigma_mag(mag);
        assert!((found.0 - median).abs() < 1e-12 && (found.1 - sd).abs() < 1e-12, "{mag}: {found:?}");
    };
    close(10.0, 0.02, 0.001);
    close(16.5, 0.02, 0.001);
    close(17.0, 0.025, 0.0015);
    close(25.0, 0.04, 0.003);
}

#[test]
fn noisy_fluxes_scatter_by_the_error_drawn_with_them() {
    let model = one_band(&[10.0, 25.0], &[0.05, 0.05], &[0.01, 0.01]);
    let sampler = model.sampler();
    let streams = Streams::new(1, "noise test");
    let (mut pulls, mut errors) = (vec![], vec![]);
    for i in 0..20_000 {
        let (mut noisy, mut sigma) = ([0.0], [0.0]);
        sampler.draw(&[100.0], &mut streams.at(i), &mut noisy, &mut sigma).unwrap();
        pulls.push((noisy[0] - 100.0) / sigma[0]);
        errors.push(sigma[0] / 100.0 * MAG_PER_RELATIVE);
    }
    let moments = |v: &[f64]| {
        let mean = v.iter().sum::<f64>() / v.len() as f64;
        (mean, (v.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / v.len() as f64).sqrt())
    };
    let (mean, sd) = moments(&pulls);
    assert!(mean.abs() < 0.02 && (sd - 1.0).abs() < 0.02, "pulls {mean} {sd}");
    let (mean, sd) = moments(&errors);
    assert!((mean - 0.05).abs() < 3e-4 && (sd - 0.01).abs() < 3e-4, "errors {mean} {sd}");
}

#[test]
fn draws_a_survey_could_not_have_are_rejected_with_the_reason() {
    let sampler = one_band(&[10.0, 25.0], &[0.05, 0.05], &[0.05, 0.05]).sampler();
    let streams = Streams::new(2, "noise test");
    let mut counts = Rejections::default();
    let n = 20_000;
    for i in 0..n {
        let (mut noisy, mut sigma) = ([0.0], [0.0]);
        if let Err(reason) = sampler.draw(&[100.0], &mut streams.at(i), &mut noisy, &mut sigma) {
            counts.count(reason);
        } else {
            assert!(sigma[0] > 0.0);
        }
    }
    // One normal in 6.3 is more than a standard deviation below its mean.
    let fraction = counts.negative_sigma as f64 / n as f64;
    assert!((fraction - 0.1587).abs() < 0.01, "{fraction}");
    let draw = |flux| {
        let (mut noisy, mut sigma) = ([0.0], [0.0]);
        one_band(&[10.0, 25.0], &[0.05; 2], &[0.0; 2]).sampler().draw(
            &[flux],
            &mut streams.at(0),
            &mut noisy,
            &mut sigma,
        )
    };
    assert_eq!(draw(mag_to_nmgy(8.0)), Err(Rejection::FluxRange));
    assert_eq!(draw(mag_to_nmgy(27.0)), Err(Rejection::FluxRange));
    assert_eq!(draw(f64::NAN), Err(Rejection::BadFlux));
    assert_eq!(draw(-1.0), Err(Rejection::BadFlux));
}

/// 4,000 rows of known errors, `garbage` of them spoilt.
fn catalog(garbage: usize) -> (Array2<f64>, Array2<f64>) {
    let streams = Streams::new(3, "noise test");
    let n = 4000;
    let (mut flux, mut ivar) = (Array2::zeros((n, 1)), Array2::zeros((n, 1)));
    for i in 0..n {
        let mag = 15.0 + 5.0 * (i as f64 / n as f64);
        let e: f64 = StandardNormal.sample(&mut streams.at(i as u64));
        let sigma_mag = 0.02 + 0.002 * e + 0.004 * (mag - 15.0);
        flux[[i, 0]] = mag_to_nmgy(mag);
        ivar[[i, 0]] = (MAG_PER_RELATIVE / (sigma_mag * flux[[i, 0]])).powi(2);
    }
    let bad = [
        (f64::NAN, 1.0),
        (1.0, f64::INFINITY),
        (1e30, 1e-50),
        (-5.0, 1.0),
        (1.0, 0.0),
        (1.0, -1.0),
        (60.0, 1e-9),
        (60.0, 1e20),
    ];
    for k in 0..garbage {
        let row = (k * 37) % n;
        (flux[[row, 0]], ivar[[row, 0]]) = bad[k % bad.len()];
    }
    (flux, ivar)
}

#[test]
fn fit_recovers_known_errors() {
    let (flux, ivar) = catalog(0);
    let (model, report) = fit(&["r".into()], flux.view(), ivar.view(), &FitOptions::default()).unwrap();
    let band = &model.bands[0];
    assert_eq!(band.mag, [15.5, 16.5, 17.5, 18.5, 19.5]);
    for (mag, (median, sd)) in band.mag.iter().zip(band.sigma_median.iter().zip(&band.sigma_sd)) {
        assert!((median - (0.02 + 0.004 * (mag - 15.0))).abs() < 3e-4, "{mag}: {median}");
        // The slope inside a bin adds 0.004 / sqrt(12) in quadrature.
        assert!((sd - 0.002_31).abs() < 2e-4, "{mag}: {sd}");
    }
    assert_eq!(report.bands[0].used, 4000);
    assert!((band.mag_range.0 - 15.0).abs() < 1e-9 && (band.mag_range.1 - 20.0).abs() < 0.01);
}

#[test]
fn garbage_rows_are_counted_and_hardly_move_the_fit() {
    let options = FitOptions::default();
    let (flux, ivar) = catalog(0);
    let (clean, _) = fit(&["r".into()], flux.view(), ivar.view(), &options).unwrap();
    let (flux, ivar) = catalog(400);
    let (spoilt, report) = fit(&["r".into()], flux.view(), ivar.view(), &options).unwrap();
    assert_eq!(clean.bands[0].mag, spoilt.bands[0].mag);
    for i in 0..5 {
        assert!((clean.bands[0].sigma_median[i] - spoilt.bands[0].sigma_median[i]).abs() < 1e-4);
        assert!((clean.bands[0].sigma_sd[i] - spoilt.bands[0].sigma_sd[i]).abs() < 1e-4);
    }
    let unusable = report.bands[0].unusable;
    assert_eq!(
        unusable,
        Unusable { not_finite: 100, ivar_not_positive: 100, flux_not_positive: 50, outlying_bin: 50 }
    );
}

#[test]
fn a_catalog_without_usable_rows_is_refused_with_the_numbers() {
    let flux = Array2::from_elem((30, 1), -1.0);
    let ivar = Array2::from_elem((30, 1), 1.0);
    let error = fit(&["r".into()], flux.view(), ivar.view(), &FitOptions::default()).unwrap_err();
    assert!(matches!(error, NoiseError::TooFew { usable: 0, rows: 30, .. }), "{error}");
}

#[test]
fn the_shipped_model_has_the_published_errors_of_the_nsa() {
    let model = NoiseModel::shipped().unwrap();
    assert_eq!(model.band_names(), ["sdss2010-u", "sdss2010-g", "sdss2010-r", "sdss2010-i", "sdss2010-z"]);
    assert_eq!(model.bands[0].sigma_mag(18.5), (0.0670, 0.0103));
    assert_eq!(model.bands[2].sigma_mag(17.5), (0.0217, 0.0009));
    assert_eq!(model.bands[4].sigma_mag(19.5), (0.1705, 0.17));
    let back = NoiseModel::from_json(&model.to_json().unwrap()).unwrap();
    assert_eq!(back.hash().unwrap(), model.hash().unwrap());
}

#[test]
fn a_model_of_other_bands_is_refused_by_name() {
    let error = NoiseModel::shipped().unwrap().for_bands(&["wise2010-W1"]).unwrap_err().to_string();
    assert!(error.starts_with("noise model has no band wise2010-W1; it has sdss2010-u"), "{error}");
    let mut bad = NoiseModel::shipped().unwrap();
    bad.bands[1].sigma_median[0] = -1.0;
    assert!(NoiseModel::from_json(&bad.to_json().unwrap()).is_err());
}
