//! SSP grid files, as given and with the checksum that a forger would put at their end.

use sedflow::hash::ContentHash;
use sedflow::ssp::{SspGrid, SspOrigin};

const CHECKSUM: usize = 32;

pub fn run(bytes: &[u8]) {
    check(bytes);
    if let Some(end) = bytes.len().checked_sub(CHECKSUM) {
        let body = &bytes[..end];
        check(&[body, ContentHash::of_bytes(body).as_bytes()].concat());
    }
}

fn check(bytes: &[u8]) {
    if let Ok(grid) = SspGrid::from_bytes(bytes) {
        let [n_met, n_age, n_wave] = grid.shape();
        assert_eq!(grid.lum.len(), n_met * n_age * n_wave);
        assert_eq!(grid.living_mass.len(), n_met * n_age);
        assert!(grid.lum.iter().all(|lum| lum.is_finite() && *lum >= 0.0));
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let word = |text: &str| text.to_owned();
    let origin = SspOrigin {
        name: word("toy"),
        imf: word("none"),
        isochrones: word("none"),
        library: word("none"),
        source: String::new(),
        licence: String::new(),
        processing: String::new(),
        lsun_erg_s: 3.846e33,
    };
    let lum = (0..2 * 3 * 5).map(|i| 1e-4 / (1.0 + i as f32)).collect();
    let axis = |n: i32| (0..n).map(|i| 1000.0 * 1.5f64.powi(i)).collect::<Vec<f64>>();
    let grid = SspGrid::new(origin, axis(5), axis(3), vec![0.004, 0.02], lum, vec![0.9; 6]).unwrap();
    vec![grid.to_bytes().unwrap()]
}
