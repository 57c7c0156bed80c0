//! Bin numbers <-> compressed bytes: differences or remainders of a guess, byte by byte, in one zstd frame each.

use std::cell::RefCell;

use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::CParameter;

use super::CodecError;
use super::achieved::{Achieved, dot};
use super::header::{ColumnInfo, Guess, Header, NO_COLUMN, Role, Written, crc32, planes};
use super::quantise::{Quantised, QuantisedColumn, Scale};

/// What remains is noise, of which higher levels make no less.
const LEVEL: i32 = 1;
/// Weights of a guess are in units of 2^-10.
const WEIGHT_BITS: u32 = 10;
/// A column is guessed from others if that leaves less than this of its variance: 0.1 bits per draw.
const WORTH_GUESSING: f64 = 0.87;
/// A byte in the middle, where remainders of both signs need no second byte.
const MIDDLE: i64 = 128;

thread_local! {
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

impl Quantised {
    /// The packed bytes.
    pub fn pack(&self, achieved: &Achieved) -> Result<Vec<u8>, CodecError> {
        let guesses = guesses(&self.columns);
        let mut columns = Vec::with_capacity(self.columns.len());
        let mut plain = Vec::new();
        for (column, mut guess) in self.columns.iter().zip(guesses) {
            let n_planes = if self.n == 0 { 0 } else { planes(column.top) };
            plain.clear();
            if n_planes > 0 {
                let remainders = remainders(column, &mut guess, &|i| &self.columns[i].bins);
                plain.resize(n_planes * self.n, 0);
                for (plane, out) in plain.chunks_exact_mut(self.n).enumerate() {
                    out.iter_mut().zip(&remainders).for_each(|(out, r)| *out = (r >> (8 * plane)) as u8);
                }
            } else {
                guess = Guess::NONE;
            }
            let bytes = if plain.is_empty() { vec![] } else { compress(&plain, &column.name)? };
            columns.push(Written { column, guess, bytes });
        }
        let mut blob = Header::write(self.n, self.n_chains, achieved, &columns);
        columns.iter().for_each(|written| blob.extend_from_slice(&written.bytes));
        Ok(blob)
    }
}

fn compress(plain: &[u8], column: &str) -> Result<Vec<u8>, CodecError> {
    let failed =
        |error: std::io::Error| CodecError::Unpack { column: column.into(), reason: error.to_string() };
    COMPRESSOR.with_borrow_mut(|slot| {
        if slot.is_none() {
            let mut compressor = Compressor::new(LEVEL).map_err(failed)?;
            compressor.set_parameter(CParameter::ContentSizeFlag(false)).map_err(failed)?;
            *slot = Some(compressor);
        }
        match slot {
            Some(compressor) => compressor.compress(plain).map_err(failed),
            None => Ok(vec![]),
        }
    })
}

/// Bin numbers less what the decoder will guess, modulo 2^32; sets the guess's bias.
fn remainders<'a>(
    column: &QuantisedColumn,
    guess: &mut Guess,
    bins_of: &dyn Fn(usize) -> &'a [u32],
) -> Vec<u32> {
    let mut remainders = column.bins.clone();
    if column.sorted {
        let mut before = 0;
        for bin in &mut remainders {
            *bin = bin.wrapping_sub(std::mem::replace(&mut before, *bin));
        }
        return remainders;
    }
    subtract_guess(&mut remainders, guess, bins_of);
    let mut sorted: Vec<i32> = remainders.iter().map(|&r| r as i32).collect();
    let middle = sorted.len() / 2;
    let (_, &mut median, _) = sorted.select_nth_unstable(middle);
    // Bins that all fit their bytes wrap around instead; the bias then only turns the circle.
    guess.bias = (i64::from(median) - MIDDLE) as i32;
    remainders.iter_mut().for_each(|r| *r = r.wrapping_sub(guess.bias as u32));
    remainders
}

fn subtract_guess<'a>(bins: &mut [u32], guess: &Guess, bins_of: &dyn Fn(usize) -> &'a [u32]) {
    let sources: Vec<_> = guess.sources().map(|(i, weight)| (bins_of(i), weight)).collect();
    match sources[..] {
        [(a, w)] => {
            bins.iter_mut().zip(a).for_each(|(bin, &a)| *bin = bin.wrapping_sub(guessed(w * i64::from(a))));
        }
        [(a, v), (b, w)] => bins.iter_mut().zip(a).zip(b).for_each(|((bin, &a), &b)| {
            *bin = bin.wrapping_sub(guessed(v * i64::from(a) + w * i64::from(b)));
        }),
        _ => {}
    }
}

#[inline(always)]
fn guessed(sum: i64) -> u32 {
    (sum >> WEIGHT_BITS) as u32
}

/// Bin numbers from a column's bytes.
pub(super) fn unpack_column<'a>(
    info: &ColumnInfo,
    n: usize,
    bytes: &[u8],
    bins_of: &dyn Fn(usize) -> &'a [u32],
) -> Result<Vec<u32>, CodecError> {
    if crc32(bytes) != info.checksum {
        return Err(CodecError::Checksum { column: info.name.clone() });
    }
    let n_planes = info.planes();
    let plain = decompress(bytes, n_planes * n, &info.name)?;
    let mut bins: Vec<u32> = plain[..n].iter().map(|&byte| u32::from(byte)).collect();
    for (plane, bytes) in plain.chunks_exact(n).enumerate().skip(1) {
        bins.iter_mut().zip(bytes).for_each(|(bin, &byte)| *bin |= u32::from(byte) << (8 * plane));
    }
    let mask = u32::MAX >> (32 - 8 * n_planes);
    if info.sorted {
        let mut before = 0u32;
        for bin in &mut bins {
            before = before.wrapping_add(*bin) & mask;
            *bin = before;
        }
    } else {
        let sources: Vec<_> = info.guess.sources().map(|(i, weight)| (bins_of(i), weight)).collect();
        let bias = info.guess.bias as u32;
        match sources[..] {
            [(a, w)] => bins.iter_mut().zip(a).for_each(|(bin, &a)| {
                *bin = bin.wrapping_add(bias).wrapping_add(guessed(w * i64::from(a))) & mask;
            }),
            [(a, v), (b, w)] => bins.iter_mut().zip(a).zip(b).for_each(|((bin, &a), &b)| {
                let sum = v * i64::from(a) + w * i64::from(b);
                *bin = bin.wrapping_add(bias).wrapping_add(guessed(sum)) & mask;
            }),
            _ => bins.iter_mut().for_each(|bin| *bin = bin.wrapping_add(bias) & mask),
        }
    }
    // A bin past the last one would be a value past the prior's bound.
    match bins.iter().max() {
        Some(&most) if most > info.top => {
            let reason = format!("it has bin {most}, the last is {}", info.top);
            Err(CodecError::Unpack { column: info.name.clone(), reason })
        }
        _ => Ok(bins),
    }
}

fn decompress(bytes: &[u8], size: usize, column: &str) -> Result<Vec<u8>, CodecError> {
    let failed = |reason: String| CodecError::Unpack { column: column.into(), reason };
    let mut plain = vec![0; size];
    let written = DECOMPRESSOR.with_borrow_mut(|slot| {
        if slot.is_none() {
            *slot = Some(Decompressor::new()?);
        }
        match slot {
            Some(decompressor) => decompressor.decompress_to_buffer(bytes, &mut plain[..]),
            None => Ok(0),
        }
    });
    match written {
        Ok(written) if written == size => Ok(plain),
        Ok(written) => Err(failed(format!("{written} bytes instead of {size}"))),
        Err(error) => Err(failed(error.to_string())),
    }
}

/// What to guess each column from: at most two columns that are not guessed themselves.
fn guesses(columns: &[QuantisedColumn]) -> Vec<Guess> {
    let fit = |column: &QuantisedColumn| {
        column.top > 0
            && matches!(column.scale, Scale::Bins { .. })
            && matches!(column.role, Role::Plain | Role::Stick)
    };
    let n = columns.first().map_or(0, |column| column.bins.len());
    let mut centred: Vec<(usize, Vec<f32>)> = Vec::new();
    let mut guesses = vec![Guess::NONE; columns.len()];
    for (i, column) in columns.iter().enumerate() {
        if n < 2 || !fit(column) {
            continue;
        }
        let mean = column.bins.iter().map(|&bin| f64::from(bin)).sum::<f64>() / n as f64;
        let values: Vec<f32> = column.bins.iter().map(|&bin| (f64::from(bin) - mean) as f32).collect();
        let guess = if column.sorted { None } else { best_guess(&values, &centred) };
        match guess {
            Some(guess) => guesses[i] = guess,
            // Only columns that stand by themselves are guessed from, so that few are unpacked for one.
            None => centred.push((i, values)),
        }
    }
    guesses
}

fn best_guess(values: &[f32], known: &[(usize, Vec<f32>)]) -> Option<Guess> {
    let product = |a: &[f32], b: &[f32]| f64::from(dot(a, b));
    let variance = product(values, values);
    let with: Vec<(f64, f64)> =
        known.iter().map(|(_, other)| (product(other, values), product(other, other))).collect();
    let left_by = |&(cross, own): &(f64, f64)| variance - if own > 0.0 { cross * cross / own } else { 0.0 };
    let first = (0..known.len()).min_by(|&a, &b| left_by(&with[a]).total_cmp(&left_by(&with[b])))?;
    let (cross, own) = with[first];
    let mut best = (left_by(&with[first]), [cross / own, 0.0], NO_COLUMN);
    for (second, &(other_cross, other_own)) in with.iter().enumerate().filter(|(i, _)| *i != first) {
        let mixed = product(&known[first].1, &known[second].1);
        let determinant = own * other_own - mixed * mixed;
        if determinant <= 1e-9 * own * other_own {
            continue;
        }
        let w = [
            (cross * other_own - other_cross * mixed) / determinant,
            (other_cross * own - cross * mixed) / determinant,
        ];
        let left = variance - w[0] * cross - w[1] * other_cross;
        if left < WORTH_GUESSING * best.0.min(left_by(&with[first])) && left < best.0 {
            best = (left, w, known[second].0 as u8);
        }
    }
    let (left, weights, second) = best;
    let weights = weights.map(|w| (w * f64::from(1 << WEIGHT_BITS)).round());
    let fits = weights.iter().all(|w| w.abs() <= f64::from(i16::MAX));
    (left < WORTH_GUESSING * variance && fits).then(|| Guess {
        from: [known[first].0 as u8, second],
        weights: weights.map(|w| w as i16),
        bias: 0,
    })
}
