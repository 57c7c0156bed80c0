use proptest::prelude::*;
use rand::Rng;

use super::*;
use crate::rng::{Streams, fill_standard_normal};

/// Correlated normals, a simplex, a uniform and a skewed column, `[7][n]`.
fn example(n: usize, seed: u64) -> Vec<(&'static str, Vec<f32>)> {
    let normals = |index: u64| {
        let mut out = vec![0.0; n];
        fill_standard_normal(&mut Streams::new(seed, "codec tests").at(index), &mut out);
        out
    };
    let uniform = |index: u64| -> Vec<f32> {
        let mut rng = Streams::new(seed, "codec tests").at(100 + index);
        (0..n).map(|_| (rng.next_u32() >> 8) as f32 / 16_777_216.0).collect()
    };
    let mass: Vec<f32> = normals(0).iter().map(|z| 10.5 + 0.2 * z).collect();
    let cuts: Vec<[f32; 2]> =
        uniform(0).into_iter().zip(uniform(1)).map(|(a, b)| [1.0 - a.sqrt(), b]).collect();
    let beta = [
        cuts.iter().map(|c| c[0]).collect::<Vec<f32>>(),
        cuts.iter().map(|c| (1.0 - c[0]) * c[1]).collect(),
        cuts.iter().map(|c| (1.0 - c[0] - (1.0 - c[0]) * c[1]).max(0.0)).collect(),
    ];
    let [beta1, beta2, beta3] = beta;
    let dust = uniform(2).into_iter().map(|u| 3.0 * u).collect();
    let living = mass.iter().zip(normals(1)).map(|(m, z)| m - 0.2 + 0.02 * z).collect();
    let skewed = normals(2).iter().map(|z| (0.7 * z).exp()).collect();
    vec![
        ("log_mstar", mass),
        ("beta1", beta1),
        ("beta2", beta2),
        ("beta3", beta3),
        ("tau_ism", dust),
        ("log_mstar_surviving", living),
        ("age", skewed),
    ]
}

fn borrowed<'a>(columns: &'a [(&'static str, Vec<f32>)]) -> Vec<(&'a str, &'a [f32])> {
    columns.iter().map(|(name, values)| (*name, values.as_slice())).collect()
}

fn simplex() -> EncodeOptions {
    EncodeOptions { simplex: Some(1..4), ..EncodeOptions::default() }
}

fn sorted_rows(columns: &[&[f32]]) -> Vec<Vec<u32>> {
    let mut rows: Vec<Vec<u32>> =
        (0..columns[0].len()).map(|i| columns.iter().map(|c| c[i].to_bits()).collect()).collect();
    rows.sort();
    rows
}

#[test]
fn quantised_draws_keep_their_marginals_moments_and_correlations() {
    let columns = example(10_000, 1);
    let encoded = encode(&borrowed(&columns), &simplex()).unwrap();
    let back = decode(&encoded.bytes).unwrap();
    assert_eq!(back.names, columns.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    let mut ks: f64 = 0.0;
    for (i, (_, values)) in columns.iter().enumerate() {
        ks = ks.max(ks_distance(values, back.column(i)));
    }
    assert!(ks <= 0.005, "{ks}");
    assert_eq!(encoded.achieved.ks, ks);
    assert!(encoded.achieved.mean < 2e-3 && encoded.achieved.sd < 2e-3, "{:?}", encoded.achieved);
    assert!(encoded.achieved.correlation < 2e-3, "{:?}", encoded.achieved);
    // 7 columns of which 6 are free: about 7 bits each, less what sorting saves
    assert!(encoded.bytes.len() < 10_000 * (6 * 7 - 10) / 8, "{} bytes", encoded.bytes.len());
    let header = Header::parse(&encoded.bytes).unwrap();
    assert!((header.achieved.ks - ks).abs() < 1e-6);
    let step = header.columns[0].step().unwrap();
    assert!(step > 0.15 / 32.0 && step <= 0.21 / 32.0, "{step}");
}

#[test]
fn draws_stay_in_their_range_and_a_simplex_stays_one() {
    let columns = example(3_000, 2);
    let back = decode(&encode(&borrowed(&columns), &simplex()).unwrap().bytes).unwrap();
    for (i, (name, values)) in columns.iter().enumerate() {
        if (1..4).contains(&i) {
            continue;
        }
        let low = values.iter().copied().fold(f32::MAX, f32::min);
        let high = values.iter().copied().fold(f32::MIN, f32::max);
        assert!(back.column(i).iter().all(|v| (low..=high).contains(v)), "{name}");
    }
    for row in 0..back.n {
        let beta: Vec<f32> = (1..4).map(|i| back.column(i)[row]).collect();
        assert!(beta.iter().all(|b| (0.0..=1.0).contains(b)), "{beta:?}");
        assert!((beta.iter().sum::<f32>() - 1.0).abs() < 3e-7, "{beta:?}");
    }
}

#[test]
fn rows_stay_together() {
    let columns = example(5_000, 3);
    let back = decode(&encode(&borrowed(&columns), &simplex()).unwrap().bytes).unwrap();
    // living mass follows mass to 0.02 + two steps
    let (mass, living) = (back.find("log_mstar").unwrap(), back.find("log_mstar_surviving").unwrap());
    assert!(mass.iter().zip(living).all(|(m, l)| (m - 0.2 - l).abs() < 0.1 + 0.02));
}

#[test]
fn one_column_is_that_of_all() {
    let columns = example(2_000, 4);
    let bytes = encode(&borrowed(&columns), &simplex()).unwrap().bytes;
    let all = decode(&bytes).unwrap();
    for (i, name) in all.names.iter().enumerate() {
        assert_eq!(decode_column(&bytes, name).unwrap(), all.column(i), "{name}");
    }
    let pair = decode_columns(&bytes, &["age", "beta3"]).unwrap();
    assert_eq!((pair[0].as_slice(), pair[1].as_slice()), (all.column(6), all.column(3)));
    let header = Header::parse(&bytes).unwrap();
    assert!(header.needed(&[4]).len() <= 3 && header.needed(&[4]).contains(&4));
    assert_eq!(header.needed(&[3]), [1, 2], "the rest of a simplex is made of its sticks");
    let error = decode_column(&bytes, "flux").unwrap_err().to_string();
    assert!(error.contains("`flux`") && error.contains("log_mstar, beta1"), "{error}");
}

#[test]
fn lossless_draws_come_back_bit_by_bit() {
    let mut columns = example(1_000, 5);
    columns[6].1[17] = f32::NAN;
    columns[6].1[18] = f32::NEG_INFINITY;
    columns[6].1[19] = -0.0;
    let options = EncodeOptions { lossless: true, ..simplex() };
    let encoded = encode(&borrowed(&columns), &options).unwrap();
    let back = decode(&encoded.bytes).unwrap();
    let slices: Vec<&[f32]> = columns.iter().map(|(_, values)| values.as_slice()).collect();
    let found: Vec<&[f32]> = (0..7).map(|i| back.column(i)).collect();
    assert_eq!(sorted_rows(&found), sorted_rows(&slices));
    assert_eq!(encoded.achieved.ks, 0.0);
}

#[test]
fn chains_keep_their_order() {
    let columns = example(1_200, 6);
    let options = EncodeOptions { n_chains: 4, lossless: true, ..EncodeOptions::default() };
    let back = decode(&encode(&borrowed(&columns), &options).unwrap().bytes).unwrap();
    assert_eq!(back.n_chains, 4);
    for (i, (_, values)) in columns.iter().enumerate() {
        assert_eq!(back.column(i), values);
    }
    let options = EncodeOptions { n_chains: 4, ..simplex() };
    let back = decode(&encode(&borrowed(&columns), &options).unwrap().bytes).unwrap();
    assert!(back.column(0).iter().zip(&columns[0].1).all(|(a, b)| (a - b).abs() < 0.21 / 32.0));
}

#[test]
fn weighted_draws_keep_their_weighted_marginals() {
    let mut columns = example(8_000, 7);
    // weights that pull the mass by two of its standard deviations
    let weights = columns[0].1.iter().map(|m| ((m - 10.5) / 0.1).exp()).collect();
    columns.push(("weight", weights));
    let options = EncodeOptions { weight: Some(7), ..simplex() };
    let encoded = encode(&borrowed(&columns), &options).unwrap();
    assert!(encoded.achieved.ks <= encoded.achieved.ks_limit, "{:?}", encoded.achieved);
    let back = decode(&encoded.bytes).unwrap();
    assert_eq!(back.weight, Some(7));
    let mean = |mass: &[f32], weight: &[f32]| {
        let sum: f64 = weight.iter().map(|&w| f64::from(w)).sum();
        mass.iter().zip(weight).map(|(&m, &w)| f64::from(m) * f64::from(w)).sum::<f64>() / sum
    };
    let (old, new) = (mean(&columns[0].1, &columns[7].1), mean(back.column(0), back.column(7)));
    assert!(old > 10.8 && (old - new).abs() < 1e-3, "{old} {new}");
    let bad = EncodeOptions { weight: Some(0), ..EncodeOptions::default() };
    columns[0].1[5] = -1.0;
    assert!(encode(&borrowed(&columns), &bad).unwrap_err().to_string().contains("weights"));
}

#[test]
fn spikes_too_narrow_for_bins_are_kept_exactly() {
    let n = 10_000;
    let mut columns = example(n, 8);
    // a fifth of the draws share one value
    columns[4].1[..n / 5].fill(1.234_567);
    let encoded = encode(&borrowed(&columns), &simplex()).unwrap();
    assert!(encoded.achieved.ks <= 0.005, "{:?}", encoded.achieved);
    let back = decode(&encoded.bytes).unwrap();
    assert_eq!(back.column(4).iter().filter(|&&v| v == 1.234_567).count(), n / 5);
}

#[test]
fn resampled_draws_take_no_finer_bins_than_their_number_deserves() {
    let mut columns = example(10_000, 12);
    let plain = encode(&borrowed(&columns), &simplex()).unwrap().bytes.len();
    // 200 draws, each fifty times
    for (_, values) in &mut columns {
        (0..values.len()).for_each(|i| values[i] = values[i % 200]);
    }
    let encoded = encode(&borrowed(&columns), &simplex()).unwrap();
    assert!(encoded.achieved.ks < 0.03 && encoded.bytes.len() < plain, "{:?}", encoded.achieved);
}

#[test]
fn the_hash_is_of_the_quantised_draws_not_of_the_bytes() {
    let columns = example(500, 9);
    let encoded = encode(&borrowed(&columns), &simplex()).unwrap();
    assert_eq!(hash_of(&encoded.bytes).unwrap(), encoded.hash);
    assert_eq!(quantise(&borrowed(&columns), &simplex()).unwrap().0.hash(), encoded.hash);
    let mut other = columns.clone();
    other[0].1[3] += 0.3;
    assert_ne!(encode(&borrowed(&other), &simplex()).unwrap().hash, encoded.hash);
    // Recipes in published catalogs depend on this value.
    let ramp: Vec<f32> = (0..100).map(|i| ((i * 37) % 100) as f32).collect();
    let pinned = encode(&[("x", &ramp)], &EncodeOptions::default()).unwrap().hash;
    assert_eq!(pinned.short(), "1b09eccb3848");
}

#[test]
fn odd_shapes_work() {
    let constant = vec![2.5f32; 10];
    let ramp: Vec<f32> = (0..10).map(|i| i as f32).collect();
    let back = decode(&encode(&[("c", &constant), ("r", &ramp)], &EncodeOptions::default()).unwrap().bytes);
    let back = back.unwrap();
    assert_eq!(back.column(0), constant);
    assert!(back.column(1).windows(2).all(|w| w[0] <= w[1]));
    let empty: &[f32] = &[];
    let bytes = encode(&[("a", empty), ("b", empty)], &EncodeOptions::default()).unwrap().bytes;
    assert_eq!(decode(&bytes).unwrap().n, 0);
    assert_eq!(decode_columns(&bytes, &["b", "a"]).unwrap(), [vec![], vec![]] as [Vec<f32>; 2]);
    let one = decode(&encode(&[("a", &[3.25])], &EncodeOptions::default()).unwrap().bytes).unwrap();
    assert_eq!(one.values, [3.25]);
    let heavy: Vec<f32> = (0..2000).map(|i| if i % 10 == 0 { 1e30 } else { i as f32 }).collect();
    let back = decode(&encode(&[("h", &heavy)], &EncodeOptions::default()).unwrap().bytes).unwrap();
    assert_eq!(back.values.iter().filter(|&&v| v == 1e30).count(), 200);
}

#[test]
fn what_cannot_be_packed_is_said() {
    let (a, b) = ([1.0f32, 2.0], [1.0f32]);
    let error = |columns: &[(&str, &[f32])], options: &EncodeOptions| {
        encode(columns, options).unwrap_err().to_string()
    };
    let plain = EncodeOptions::default();
    assert!(error(&[("a", &a), ("b", &b)], &plain).contains("`b`"));
    assert!(error(&[("a", &a), ("a", &a)], &plain).contains("distinct names"));
    assert!(error(&[], &plain).contains("columns"));
    assert!(error(&[("a", &a)], &EncodeOptions { n_chains: 3, ..plain.clone() }).contains("chains"));
    assert!(error(&[("a", &a)], &EncodeOptions { steps_per_width: 0, ..plain.clone() }).contains("steps"));
}

#[test]
fn old_blobs_are_still_read() {
    let values: Vec<f32> = (0..17 * 3).map(|i| i as f32).collect();
    let old = encode_arrays(&[Array::f32("draws", &[17, 3], values.clone())]).unwrap();
    let back = decode(&old).unwrap();
    assert_eq!((back.n, back.values), (3, values));
    assert_eq!(decode_column(&old, "log_sfr_1gyr").unwrap(), [36.0, 37.0, 38.0]);
    assert_eq!(column_names(&old).unwrap()[16], "log_mstar_surviving");
    let wrong = encode_arrays(&[Array::f32("draws", &[2, 3], vec![0.0; 6])]).unwrap();
    assert!(decode(&wrong).is_err());
}

#[test]
fn every_flipped_bit_is_found() {
    let columns = example(60, 10);
    let bytes = encode(&borrowed(&columns), &simplex()).unwrap().bytes;
    for bit in 0..8 * bytes.len() {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(decode(&flipped).is_err(), "bit {bit}");
    }
    for length in 0..bytes.len() {
        assert!(decode(&bytes[..length]).is_err(), "length {length}");
    }
    let mut longer = bytes.clone();
    longer.push(0);
    assert!(decode(&longer).is_err());
}

/// The blob with its header's checksum made right again.
fn resealed(mut bytes: Vec<u8>) -> Vec<u8> {
    if let Ok(length) = header_len(&bytes)
        && length <= bytes.len()
    {
        let checksum = header::crc32(&bytes[..length - 4]);
        bytes[length - 4..length].copy_from_slice(&checksum.to_le_bytes());
    }
    bytes
}

#[test]
fn a_forged_header_claims_nothing_it_does_not_have() {
    let columns = example(60, 11);
    let bytes = encode(&borrowed(&columns), &simplex()).unwrap().bytes;
    let length = header_len(&bytes).unwrap();
    for at in 8..length - 4 {
        for value in [0, 1, 2, 0x7f, 0xff] {
            let mut forged = bytes.clone();
            forged[at] = value;
            // an error or draws, but never a panic or more memory than the limit
            let _ = decode(&resealed(forged));
        }
    }
    let mut forged = bytes;
    forged[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(matches!(decode(&resealed(forged)), Err(CodecError::Header { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_finite_columns_come_back_within_a_step(
        values in prop::collection::vec(-1e6f32..1e6, 1..200),
        scale in -3i32..4,
    ) {
        let values: Vec<f32> = values.iter().map(|v| v * 10f32.powi(scale)).collect();
        let encoded = encode(&[("x", &values)], &EncodeOptions::default()).unwrap();
        let header = Header::parse(&encoded.bytes).unwrap();
        let step = header.columns[0].step().unwrap_or(0.0);
        let (mut back, mut values) = (decode(&encoded.bytes).unwrap().values, values);
        back.sort_by(f32::total_cmp);
        values.sort_by(f32::total_cmp);
        for (a, b) in back.iter().zip(&values) {
            prop_assert!((f64::from(*a) - f64::from(*b)).abs() <= step * 1.001 + 1e-6 * f64::from(b.abs()));
        }
    }

    #[test]
    fn any_floats_survive_lossless(values in prop::collection::vec(any::<f32>(), 0..100)) {
        let options = EncodeOptions { lossless: true, n_chains: 1, ..EncodeOptions::default() };
        let back = decode(&encode(&[("x", &values)], &options).unwrap().bytes).unwrap();
        let bits = |v: &[f32]| v.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        prop_assert_eq!(bits(&back.values), bits(&values));
    }

    #[test]
    fn no_bytes_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..400), magic in any::<bool>()) {
        if magic {
            bytes.splice(0..0, *b"SDP1");
        }
        let _ = decode(&resealed(bytes));
    }
}
