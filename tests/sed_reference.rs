//! The SED model against figures of an independent implementation on the untrimmed SSP grid.

use std::sync::Arc;

use sedflow::filters::{self, Filter};
use sedflow::sed::{DERIVED_NAMES, Galaxy, SedModel};
use sedflow::ssp::SspGrid;

const REFERENCE: &str = include_str!("data/sed_reference.csv");

/// Fluxes below this (AB 37.5) are beyond any survey.
const FAINTEST_NMGY: f64 = 1e-6;

struct Row {
    galaxy: Galaxy,
    zred: f64,
    birth_cloud_age_gyr: f64,
    /// In the order of the file's band columns.
    nmgy: Vec<f64>,
    /// Name and value.
    derived: Vec<(String, f64)>,
}

fn reference() -> (Vec<Filter>, Vec<Row>) {
    let mut lines = REFERENCE.lines();
    let header: Vec<&str> = lines.next().unwrap().split(',').collect();
    let bands: Vec<&str> = header.iter().filter_map(|name| name.strip_prefix("nmgy_")).collect();
    let rows = lines
        .map(|line| {
            let values: Vec<f64> = line.split(',').map(|field| field.parse().unwrap()).collect();
            let get = |name: &str| values[header.iter().position(|&column| column == name).unwrap()];
            Row {
                galaxy: Galaxy {
                    log_mstar: get("log_mstar"),
                    beta: ["beta1", "beta2", "beta3", "beta4"].map(get),
                    fburst: get("fburst"),
                    tburst_gyr: get("tburst"),
                    gamma: ["gamma1", "gamma2"].map(get),
                    tau_bc: get("tau_bc"),
                    tau_ism: get("tau_ism"),
                    n_dust: get("n_dust"),
                },
                zred: get("redshift"),
                birth_cloud_age_gyr: get("birth_cloud_age_gyr"),
                nmgy: bands.iter().map(|band| get(&format!("nmgy_{band}"))).collect(),
                derived: DERIVED_NAMES
                    .iter()
                    .filter(|name| header.contains(*name))
                    .map(|name| (name.to_string(), get(name)))
                    .collect(),
            }
        })
        .collect();
    (bands.iter().map(|band| filters::shipped(band).unwrap()).collect(), rows)
}

fn model() -> SedModel {
    SedModel::new(Arc::new(SspGrid::shipped().unwrap()))
}

/// Absolute difference in magnitudes.
fn magnitudes(found: f64, expected: f64) -> f64 {
    (2.5 * (found / expected).log10()).abs()
}

#[test]
fn exact_photometry_is_the_references_to_0_003_mag() {
    // The shipped grid is trimmed: 0.002 mag; the tabulated bases of the test add 0.0008 mag at worst.
    let (filters, rows) = reference();
    let model = model();
    assert_eq!((filters.len(), rows.len()), (17, 300));
    for (number, row) in rows.iter().enumerate() {
        let model = model.with_birth_cloud_age(row.birth_cloud_age_gyr).unwrap();
        let found = model.nanomaggies(&row.galaxy, row.zred, &filters).unwrap();
        for ((filter, found), &expected) in filters.iter().zip(found).zip(&row.nmgy) {
            if expected > FAINTEST_NMGY {
                let error = magnitudes(found, expected);
                assert!(error < 0.003, "row {}, {}: {error} mag", number + 1, filter.name());
            }
        }
    }
}

#[test]
fn derived_properties_are_the_references_to_0_002_dex_and_0_01_gyr() {
    let (_, rows) = reference();
    let model = model();
    for (number, row) in rows.iter().enumerate() {
        let found = model.derived(&row.galaxy, row.zred).unwrap().row();
        for (name, expected) in &row.derived {
            let at = DERIVED_NAMES.iter().position(|n| n == name).unwrap();
            let tolerance = if name == "t_age_mw_gyr" { 0.01 } else { 0.002 };
            let error = (found[at] - expected).abs();
            assert!(error < tolerance, "row {}, {name}: off by {error}", number + 1);
        }
    }
}
