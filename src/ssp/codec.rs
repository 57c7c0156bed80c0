//! SSP grids as bytes: luminosities to a 1024th of an octave, predicted from the neighbours, zstd.
//!
//! ```text
//! magic "sedfssp\n" | version u32 | header length u32 | header, JSON | axes, zstd f64 | spectra, zstd,
//! one frame per metallicity | BLAKE3 of all before, 32 bytes                       (little-endian)
//! ```
//! A luminosity is stored as q: 0, or 2^(octave + (q - 1) / 1024), which is within 0.04 % of it. From q
//! the value one wavelength back, one age back, less the one both back, is taken (modulo 2^16); low and
//! high bytes are kept apart. Decoding uses only exact operations, so every machine gets the same bits.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{MAX_SHAPE, MAX_VALUES, SspError, SspGrid, SspOrigin};
use crate::hash::ContentHash;

const MAGIC: &[u8] = b"sedfssp\n";

/// The newest layout this program writes and reads.
pub const FORMAT_VERSION: u32 = 1;

const STEPS: usize = 1024;
const OCTAVES: i32 = 63;
const LEVEL: i32 = 19;
const PREFIX: usize = MAGIC.len() + 8;
const CHECKSUM: usize = 32;

#[derive(Serialize, Deserialize)]
struct Header {
    origin: SspOrigin,
    /// `[n_met, n_age, n_wave]`.
    shape: [usize; 3],
    /// Exponent of two of the least luminosity above zero.
    octave: i32,
    /// Compressed bytes of the axes, then of each metallicity's spectra.
    parts: Vec<usize>,
}

impl SspGrid {
    /// The grid as bytes. Luminosities are rounded: what [`SspGrid::from_bytes`] gives has another hash,
    /// unless this grid came from there.
    pub fn to_bytes(&self) -> Result<Vec<u8>, SspError> {
        let [_, n_age, n_wave] = self.shape();
        let axes = [&self.wave_aa, &self.age_yr, &self.z_abs, &self.living_mass];
        let axes: Vec<u8> = axes.into_iter().flatten().flat_map(|v| v.to_le_bytes()).collect();
        let peak = self.lum.iter().copied().fold(0.0, f32::max);
        let octave = f64::from(peak).log2().ceil() as i32 - OCTAVES;
        let scale = Scale::new(octave);
        let compress = |bytes: &[u8]| zstd::bulk::compress(bytes, LEVEL).map_err(SspError::Compress);
        let mut parts = vec![compress(&axes)?];
        let spectra: Result<Vec<_>, _> = self
            .lum
            .par_chunks(n_age * n_wave)
            .map(|lum| compress(&encode(&lum.iter().map(|&l| scale.code(l)).collect::<Vec<_>>(), n_wave)))
            .collect();
        parts.extend(spectra?);
        let header = Header {
            origin: self.origin.clone(),
            shape: self.shape(),
            octave,
            parts: parts.iter().map(Vec::len).collect(),
        };
        let header = serde_json::to_vec(&header)?;
        let mut out = MAGIC.to_vec();
        out.extend(FORMAT_VERSION.to_le_bytes());
        out.extend((header.len() as u32).to_le_bytes());
        out.extend(&header);
        parts.iter().for_each(|part| out.extend(part));
        let checksum = ContentHash::of_bytes(&out);
        out.extend(checksum.as_bytes());
        Ok(out)
    }

    /// Reads what [`SspGrid::to_bytes`] wrote; memory used is bounded by the shape limits.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SspError> {
        let truncated = |expected| SspError::Truncated { found: bytes.len(), expected };
        if !bytes.starts_with(MAGIC) {
            let found = bytes[..bytes.len().min(MAGIC.len())].to_vec();
            return Err(SspError::Magic { found, expected: MAGIC });
        }
        let word =
            |at: usize| -> Option<u32> { Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?)) };
        let version = word(MAGIC.len()).ok_or(truncated(PREFIX))?;
        if version > FORMAT_VERSION {
            return Err(SspError::Newer { found: version, known: FORMAT_VERSION });
        }
        let length = word(MAGIC.len() + 4).ok_or(truncated(PREFIX))? as usize;
        let header_end = PREFIX + length;
        let header: Header =
            serde_json::from_slice(bytes.get(PREFIX..header_end).ok_or(truncated(header_end))?)?;
        let end =
            header.parts.iter().try_fold(header_end, |at, part| at.checked_add(*part)).unwrap_or(usize::MAX);
        let expected = end.saturating_add(CHECKSUM);
        if bytes.len() < expected {
            return Err(truncated(expected));
        }
        let stated: [u8; CHECKSUM] = bytes[end..expected].try_into().map_err(|_| truncated(expected))?;
        let (found, expected) = (ContentHash::of_bytes(&bytes[..end]), ContentHash::from_bytes(stated));
        if found != expected {
            return Err(SspError::Checksum { found, expected });
        }
        decode_parts(header, &bytes[header_end..end])
    }
}

fn decode_parts(header: Header, mut rest: &[u8]) -> Result<SspGrid, SspError> {
    let [n_met, n_age, n_wave] = header.shape;
    for (axis, found, limit) in [
        ("metallicity", n_met, MAX_SHAPE[0]),
        ("age", n_age, MAX_SHAPE[1]),
        ("wavelength", n_wave, MAX_SHAPE[2]),
    ] {
        if !(2..=limit).contains(&found) {
            return Err(SspError::Size { axis, found, limit });
        }
    }
    if n_met * n_age * n_wave > MAX_VALUES {
        return Err(SspError::TooLarge { found: n_met * n_age * n_wave, limit: MAX_VALUES });
    }
    super::check_len("parts", header.parts.len(), 1 + n_met)?;
    let mut parts = Vec::with_capacity(header.parts.len());
    for &length in &header.parts {
        let (part, after) = rest.split_at(length);
        parts.push(part);
        rest = after;
    }
    let axes = decompress("axes", parts[0], 8 * (n_wave + n_age + n_met + n_met * n_age))?;
    let mut axes =
        axes.chunks_exact(8).map(|b| f64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]));
    let mut take = |n: usize| axes.by_ref().take(n).collect::<Vec<f64>>();
    let (wave_aa, age_yr, z_abs, living_mass) = (take(n_wave), take(n_age), take(n_met), take(n_met * n_age));
    let scale = Scale::new(header.octave);
    let mut lum = vec![0.0f32; n_met * n_age * n_wave];
    lum.par_chunks_mut(n_age * n_wave).zip(&parts[1..]).try_for_each_init(
        Vec::new,
        |planes, (lum, part)| {
            decompress_into("spectra", part, 2 * lum.len(), planes)?;
            decode(planes, n_wave, &scale, lum);
            Ok::<(), SspError>(())
        },
    )?;
    SspGrid::new(header.origin, wave_aa, age_yr, z_abs, lum, living_mass)
}

fn decompress(part: &'static str, bytes: &[u8], expected: usize) -> Result<Vec<u8>, SspError> {
    let mut out = Vec::new();
    decompress_into(part, bytes, expected, &mut out)?;
    Ok(out)
}

fn decompress_into(
    part: &'static str,
    bytes: &[u8],
    expected: usize,
    out: &mut Vec<u8>,
) -> Result<(), SspError> {
    out.clear();
    out.reserve_exact(expected);
    let done = zstd::bulk::Decompressor::new().and_then(|mut zstd| zstd.decompress_to_buffer(bytes, out));
    match done {
        Ok(found) if found == expected && out.len() == expected => Ok(()),
        _ => Err(SspError::Decompress { part, expected }),
    }
}

/// Codes of `[n_age, n_wave]` to low bytes, then high bytes, of the zigzag of what prediction leaves.
fn encode(codes: &[u16], n_wave: usize) -> Vec<u8> {
    let mut planes = vec![0; 2 * codes.len()];
    let (low, high) = planes.split_at_mut(codes.len());
    let zeros = vec![0; n_wave];
    let mut younger = zeros.as_slice();
    for (row, codes) in codes.chunks_exact(n_wave).enumerate() {
        let mut before = 0u16;
        for (i, (&code, &young)) in codes.iter().zip(younger).enumerate() {
            let change = code.wrapping_sub(young);
            let left = change.wrapping_sub(before) as i16;
            before = change;
            let zigzag = ((left << 1) ^ (left >> 15)) as u16;
            [low[row * n_wave + i], high[row * n_wave + i]] = zigzag.to_le_bytes();
        }
        younger = codes;
    }
    planes
}

fn decode(planes: &[u8], n_wave: usize, scale: &Scale, lum: &mut [f32]) {
    let (low, high) = planes.split_at(lum.len());
    let mut codes = vec![0u16; n_wave];
    for ((low, high), lum) in
        low.chunks_exact(n_wave).zip(high.chunks_exact(n_wave)).zip(lum.chunks_exact_mut(n_wave))
    {
        let mut change = 0u16;
        for (code, (&low, &high)) in codes.iter_mut().zip(low.iter().zip(high)) {
            let zigzag = u16::from_le_bytes([low, high]);
            change = change.wrapping_add((zigzag >> 1) ^ (zigzag & 1).wrapping_neg());
            *code = code.wrapping_add(change);
        }
        lum.iter_mut().zip(&codes).for_each(|(lum, &code)| *lum = scale.value(code));
    }
}

/// Between code and luminosity: 1024 steps an octave, from 2^octave up; code 0 is zero.
struct Scale {
    octave: i32,
    /// The luminosity of every code.
    values: Box<[f32; 1 << 16]>,
}

impl Scale {
    fn new(octave: i32) -> Self {
        // Kept where every value is a normal f32: a stated exponent beyond that is a damaged or odd file.
        let octave = octave.clamp(-126, 127 - OCTAVES - 1);
        // Square roots and products are correctly rounded everywhere, unlike exp.
        let mut roots = [0.0f64; 10];
        let mut root = 2.0f64;
        for slot in roots.iter_mut().rev() {
            root = root.sqrt();
            *slot = root;
        }
        let fraction = |i: usize| -> f64 {
            roots.iter().enumerate().filter(|(bit, _)| i >> bit & 1 == 1).map(|(_, r)| r).product()
        };
        let fractions: Vec<f32> = (0..STEPS).map(|i| fraction(i) as f32).collect();
        let mut values = Box::new([0.0; 1 << 16]);
        for (step, value) in values[1..].iter_mut().enumerate() {
            // Multiplying by a power of two is exact.
            *value = fractions[step % STEPS]
                * f32::from_bits(((octave + (step / STEPS) as i32 + 127) << 23) as u32);
        }
        Self { octave, values }
    }

    #[inline]
    fn value(&self, code: u16) -> f32 {
        self.values[usize::from(code)]
    }

    /// The code whose value is nearest, decided by values so that rounding of `log2` cannot matter.
    fn code(&self, lum: f32) -> u16 {
        let guess = (f64::from(lum).log2() - f64::from(self.octave)) * STEPS as f64 + 1.0;
        if guess < 0.5 {
            return 0;
        }
        let guess = guess.round().clamp(1.0, 65535.0) as u16;
        let off = |code: u16| (self.value(code) - lum).abs();
        [guess.saturating_sub(1).max(1), guess, guess.saturating_add(1)]
            .into_iter()
            .min_by(|&a, &b| off(a).total_cmp(&off(b)))
            .unwrap_or(guess)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_within_half_a_step_and_code_of_value_is_the_code() {
        let scale = Scale::new(-62);
        let mut lum = 1.6f32;
        while lum > 1e-18 {
            let back = scale.value(scale.code(lum));
            assert!(
                (back / lum - 1.0).abs() < 0.5 * std::f32::consts::LN_2 / STEPS as f32 * 1.001,
                "{lum} -> {back}"
            );
            lum *= 0.9973;
        }
        for code in 0..=u16::MAX {
            assert_eq!(scale.code(scale.value(code)), code);
        }
        assert_eq!(scale.code(0.0), 0);
        assert_eq!(scale.code(1e-30), 0);
    }

    #[test]
    fn decoding_undoes_encoding_for_any_codes() {
        let scale = Scale::new(-62);
        let codes: Vec<u16> = (0..600u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u16).collect();
        let mut lum = vec![0.0; codes.len()];
        decode(&encode(&codes, 30), 30, &scale, &mut lum);
        let expected: Vec<f32> = codes.iter().map(|&code| scale.value(code)).collect();
        assert_eq!(lum, expected);
    }
}
