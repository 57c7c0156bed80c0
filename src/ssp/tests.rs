use proptest::prelude::*;

use super::*;

fn origin() -> SspOrigin {
    SspOrigin {
        name: "toy".into(),
        imf: "none".into(),
        isochrones: "none".into(),
        library: "none".into(),
        source: "made up".into(),
        licence: String::new(),
        processing: String::new(),
        lsun_erg_s: 3.846e33,
    }
}

fn toy(lum: impl Fn(usize) -> f32) -> Result<SspGrid, SspError> {
    let living_mass = vec![1.0, 0.9, 0.8, 1.0, 0.9, 0.8];
    SspGrid::new(
        origin(),
        vec![1000.0, 2000.0, 3000.0, 5000.0],
        vec![1e6, 1e8, 1e10],
        vec![0.001, 0.02],
        (0..24).map(lum).collect(),
        living_mass,
    )
}

#[test]
fn the_shipped_grid_opens_whole() {
    let grid = SspGrid::shipped().unwrap();
    let [n_met, n_age, n_wave] = grid.shape();
    assert_eq!((n_met, grid.lum.len()), (7, n_met * n_age * n_wave));
    assert_eq!(grid.z_abs[4], 0.02);
    assert!(grid.wave_aa[0] <= 91.0 && grid.wave_aa[n_wave - 1] > 3.0e5);
    assert!(grid.age_yr[0] <= 1e5 && grid.age_yr[n_age - 1] >= 1.4e10);
    assert!(SHIPPED.len() < 10_000_000);
    assert_eq!(grid.origin.lsun_erg_s, 3.846e33);
}

#[test]
fn the_sun_like_population_is_as_bright_as_published() {
    // BC03 (2003) table: a solar-metallicity SSP of 10 Gyr has M/L_V near 4 (Kroupa-like IMF: 2 to 3.5);
    // bolometrically 1 Msun formed gives 0.2 to 0.4 Lsun.
    let grid = SspGrid::shipped().unwrap();
    let age = grid.age_yr.iter().position(|&a| a >= 1e10).unwrap();
    let spectrum = grid.spectrum(4, age);
    let bolometric: f64 = grid
        .wave_aa
        .windows(2)
        .zip(spectrum.windows(2))
        .map(|(w, l)| 0.5 * (w[1] - w[0]) * f64::from(l[0] + l[1]))
        .sum();
    assert!((0.2..0.4).contains(&bolometric), "{bolometric}");
}

#[test]
fn a_grid_written_is_read_back_to_a_thousandth_and_then_for_good() {
    let grid = toy(|i| 1e-9 * 10f32.powf(i as f32 / 3.0)).unwrap();
    let once = SspGrid::from_bytes(&grid.to_bytes().unwrap()).unwrap();
    for (a, b) in grid.lum.iter().zip(&once.lum) {
        assert!((a / b - 1.0).abs() < 4e-4);
    }
    let bytes = once.to_bytes().unwrap();
    let twice = SspGrid::from_bytes(&bytes).unwrap();
    assert_eq!(once, twice);
    assert_eq!(once.hash, twice.hash);
    assert_eq!(twice.to_bytes().unwrap(), bytes);
}

#[test]
fn luminosities_of_zero_stay_zero() {
    let grid = toy(|i| if i % 4 == 0 { 0.0 } else { 1.0 }).unwrap();
    assert_eq!(SspGrid::from_bytes(&grid.to_bytes().unwrap()).unwrap().lum, grid.lum);
}

#[test]
fn damage_is_named() {
    let bytes = toy(|i| 1.0 + i as f32).unwrap().to_bytes().unwrap();
    let message = |bytes: &[u8]| SspGrid::from_bytes(bytes).unwrap_err().to_string();
    let cut = message(&bytes[..bytes.len() - 1]);
    assert_eq!(
        cut,
        format!(
            "the SSP grid ends after {} bytes, expected {}: the file is cut short",
            bytes.len() - 1,
            bytes.len()
        )
    );
    let mut flipped = bytes.clone();
    flipped[bytes.len() - 40] ^= 1;
    assert!(message(&flipped).starts_with("the SSP grid is damaged: its checksum is "));
    let mut newer = bytes.clone();
    newer[8] = 9;
    assert_eq!(message(&newer), "SSP grid format 9 is newer than the 1 this program knows");
    assert!(message(b"SIMPLE  =   T").starts_with("not an SSP grid: it opens with "));
    for length in 0..bytes.len() {
        message(&bytes[..length]);
    }
}

#[test]
fn values_that_cannot_be_are_named_with_their_place() {
    let message = |lum: fn(usize) -> f32| toy(lum).unwrap_err().to_string();
    assert_eq!(
        message(|i| if i == 18 { -1.0 } else { 1.0 }),
        "luminosity at metallicity 0.02, age 100000000 yr, 3000 Angstrom is -1, expected a finite number of at least 0"
    );
    assert!(message(|i| if i == 3 { f32::NAN } else { 1.0 }).contains("5000 Angstrom is NaN"));
    assert!(message(|i| if i == 3 { f32::INFINITY } else { 1.0 }).contains("5000 Angstrom is inf"));
    assert_eq!(
        message(|i| if i < 4 { 0.0 } else { 1.0 }),
        "the spectrum at metallicity 0.001, age 1000000 yr is zero everywhere"
    );
    let descending =
        SspGrid::new(origin(), vec![2.0, 1.0], vec![1.0, 2.0], vec![0.1, 0.2], vec![1.0; 8], vec![1.0; 4]);
    assert_eq!(
        descending.unwrap_err().to_string(),
        "wavelength point 1 is 1, expected a finite number above 2"
    );
    let short =
        SspGrid::new(origin(), vec![1.0, 2.0], vec![1.0, 2.0], vec![0.1, 0.2], vec![1.0; 7], vec![1.0; 4]);
    assert_eq!(short.unwrap_err().to_string(), "luminosity: 7 values, expected 8");
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..200), shape in any::<[u32; 3]>()) {
        let _ = SspGrid::from_bytes(&bytes);
        // A well-formed shell around nonsense: the checks behind the checksum run as well.
        let header = format!(
            "{{\"origin\":{},\"shape\":[{},{},{}],\"octave\":{},\"parts\":[{}]}}",
            serde_json::to_string(&origin()).unwrap(), shape[0], shape[1], shape[2], shape[0] as i32, bytes.len()
        );
        let mut file = b"sedfssp\n".to_vec();
        file.extend(1u32.to_le_bytes());
        file.extend((header.len() as u32).to_le_bytes());
        file.extend(header.bytes());
        file.append(&mut bytes);
        let checksum = ContentHash::of_bytes(&file);
        file.extend(checksum.as_bytes());
        prop_assert!(SspGrid::from_bytes(&file).is_err());
    }
}
