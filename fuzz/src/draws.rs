//! Packed draws of a posterior, as given and with the checksums that a forger would put in.

use sedflow::codec::{self, Array, EncodeOptions, encode_arrays};

pub fn run(bytes: &[u8]) {
    for bytes in [Some(bytes.to_vec()), resealed(bytes)].into_iter().flatten() {
        // A header may claim up to 2^28 values, which a test need not wait for.
        let n = bytes.get(8..12).map_or(0, |n| u32::from_le_bytes([n[0], n[1], n[2], n[3]]));
        if bytes.starts_with(b"SDP1") && n > 100_000 {
            let _ = codec::Header::parse(&bytes);
            continue;
        }
        if let Ok(draws) = codec::decode(&bytes) {
            assert_eq!(draws.values.len(), draws.n * draws.names.len());
            for (i, name) in draws.names.iter().enumerate() {
                let alone = codec::decode_column(&bytes, name).unwrap();
                let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
                assert_eq!(bits(&alone), bits(draws.column(i)));
            }
            let _ = codec::hash_of(&bytes);
        }
    }
}

/// CRC-32 as zlib has it, bit by bit.
fn crc32(bytes: &[u8]) -> [u8; 4] {
    let step = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
    let crc = bytes.iter().fold(u32::MAX, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), step));
    (!crc).to_le_bytes()
}

/// Packed draws with their checksums made right, so that what lies behind them is reached.
fn resealed(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut sealed = bytes.to_vec();
    let number = |at: usize| {
        let field: [u8; 4] = bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(u32::from_le_bytes(field) as usize)
    };
    let header = number(4)?;
    let n_columns = usize::from(*bytes.get(12)?);
    let (mut at, mut start) = (32, header);
    for _ in 0..n_columns {
        at += 1 + usize::from(*bytes.get(at)?) + 34;
        let length = number(at.checked_sub(8)?)?;
        let Some(frame) = bytes.get(start..start.checked_add(length)?) else { break };
        sealed.get_mut(at - 4..at)?.copy_from_slice(&crc32(frame));
        start += length;
    }
    let checksum = crc32(sealed.get(..header.checked_sub(4)?)?);
    sealed.get_mut(header - 4..header)?.copy_from_slice(&checksum);
    Some(sealed)
}

pub fn seeds() -> Vec<Vec<u8>> {
    let column = |scale: f32| (0..40).map(|i| scale * ((i * 17) % 40) as f32).collect::<Vec<f32>>();
    let (a, b) = (column(1.0), column(0.025));
    let rest: Vec<f32> = b.iter().map(|b| 1.0 - b).collect();
    let columns: [(&str, &[f32]); 4] = [("a", &a), ("b", &b), ("c", &rest), ("w", &a)];
    let options = EncodeOptions { simplex: Some(1..3), weight: Some(3), ..EncodeOptions::default() };
    let lossless = EncodeOptions { lossless: true, n_chains: 4, ..EncodeOptions::default() };
    let old = encode_arrays(&[Array::f32("draws", &[17, 2], vec![0.5; 34])]).unwrap();
    let seeds = [
        codec::encode(&columns, &options).unwrap().bytes,
        codec::encode(&columns[..2], &lossless).unwrap().bytes,
        old,
    ];
    seeds.to_vec()
}
