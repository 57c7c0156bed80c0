//! Columns of draws <-> bin numbers, in the order of rows that packs best.

use std::ops::Range;

use super::achieved::{Achieved, KS_LIMIT, weighted_quantile};
use super::floats::{from_sortable, radix_sort, sortable};
use super::header::{MAX_COLUMNS, Role};
use super::{CodecError, STEPS_PER_WIDTH};
use crate::hash::ContentHash;

/// Half of the central 68.27 %: one standard deviation of a Gaussian.
const CENTRAL: (f64, f64) = (0.158_655, 0.841_345);
/// More bins than this and a column is kept as it is.
const MAX_LEVELS: f64 = (1 << 24) as f64;
/// Row numbers have this many bits in sort keys.
const ROW_BITS: u32 = 24;
pub(super) const MAX_ROWS: usize = (1 << ROW_BITS) - 1;
/// Lowest bits dropped from importance weights: 10 bits of mantissa remain.
const WEIGHT_SHIFT: u8 = 13;
/// How much finer the bins of a column become that misses [`KS_LIMIT`] with those asked for.
const FINER: f64 = 8.0;

/// How draws are packed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodeOptions {
    /// Bins per width of a column's posterior (half of its central 68 %).
    pub steps_per_width: u32,
    /// Keep every bit of every number.
    pub lossless: bool,
    /// Chains of equal length that the rows are, one after the other; 0 if their order says nothing.
    pub n_chains: usize,
    /// Columns that are never negative and sum to 1; so they stay.
    pub simplex: Option<Range<usize>>,
    /// Column of importance weights.
    pub weight: Option<usize>,
}

impl Default for EncodeOptions {
    fn default() -> Self {
        Self { steps_per_width: STEPS_PER_WIDTH, lossless: false, n_chains: 0, simplex: None, weight: None }
    }
}

/// What a bin number stands for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Scale {
    /// `low..high` in equal bins.
    Bins { low: f32, high: f32 },
    /// The number's own (sortable) bits, less `base`, without the lowest `shift`.
    Bits { base: u32, shift: u8 },
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct QuantisedColumn {
    pub name: String,
    pub role: Role,
    pub scale: Scale,
    /// No bin number is larger.
    pub top: u32,
    /// Each at least the one before, save where an earlier such column steps.
    pub sorted: bool,
    pub bins: Vec<u32>,
}

/// Draws as bin numbers, rows in their packed order.
#[derive(Debug, Clone, PartialEq)]
pub struct Quantised {
    pub(super) n: usize,
    pub(super) n_chains: usize,
    pub(super) columns: Vec<QuantisedColumn>,
}

/// Quantises columns `(name, values)` and says what that does to them.
///
/// A column whose distribution would move by more than 0.005 (KS distance) gets finer bins, or is kept
/// bit by bit if those do not help.
pub fn quantise(
    columns: &[(&str, &[f32])],
    options: &EncodeOptions,
) -> Result<(Quantised, Achieved), CodecError> {
    check(columns, options)?;
    let mut finer = vec![0u8; columns.len()];
    loop {
        let quantised = Quantised::new(columns, options, &finer);
        let achieved = Achieved::of(columns, &quantised, options.weight);
        let missed: Vec<usize> =
            (0..columns.len()).filter(|&i| achieved.column_ks[i] > KS_LIMIT + achieved.grain).collect();
        if options.lossless || missed.iter().all(|&i| finer[i] > 1) {
            return Ok((quantised, achieved));
        }
        for i in missed {
            // The members of a simplex are made of each other.
            let together = options.simplex.clone().filter(|range| range.contains(&i)).unwrap_or(i..i + 1);
            let step = finer[i] + 1;
            finer[together].fill(step);
        }
    }
}

fn check(columns: &[(&str, &[f32])], options: &EncodeOptions) -> Result<(), CodecError> {
    let input = |what, found: String, expected: &str| {
        Err(CodecError::Input { what, found, expected: expected.to_owned() })
    };
    if columns.is_empty() || columns.len() > MAX_COLUMNS {
        return input("a number of columns of", columns.len().to_string(), "1 to 254");
    }
    let n = columns[0].1.len();
    if n > MAX_ROWS {
        return input("a number of rows of", n.to_string(), "at most 16777215");
    }
    for (i, (name, values)) in columns.iter().enumerate() {
        if values.len() != n {
            return Err(CodecError::Ragged { column: (*name).into(), expected: n, found: values.len() });
        }
        if name.is_empty() || name.len() > 255 || columns[..i].iter().any(|(other, _)| other == name) {
            return input("a column named", format!("`{name}`"), "distinct names of 1 to 255 bytes");
        }
    }
    if options.steps_per_width == 0 {
        return input("steps per width", "0".into(), "at least 1");
    }
    let chains = options.n_chains;
    if chains > usize::from(u16::MAX) || chains > 0 && !n.is_multiple_of(chains) {
        return input("a number of chains of", chains.to_string(), "a divisor of the rows below 65536");
    }
    if options.simplex.as_ref().is_some_and(|range| range.end > columns.len() || range.len() < 2) {
        return input("a simplex of columns", format!("{:?}", options.simplex), "two or more of the columns");
    }
    if let Some(weight) = options.weight {
        let good = |w: &f32| w.is_finite() && *w >= 0.0;
        if columns.get(weight).is_none_or(|(_, values)| !values.iter().all(good)) {
            return input("a weight column", weight.to_string(), "finite weights of at least 0");
        }
    }
    Ok(())
}

impl Quantised {
    fn new(columns: &[(&str, &[f32])], options: &EncodeOptions, finer: &[u8]) -> Self {
        let n = columns[0].1.len();
        let simplex = options
            .simplex
            .clone()
            .filter(|range| {
                !options.lossless && finer[range.start] < 2 && is_simplex(&columns[range.clone()])
            })
            .unwrap_or(0..0);
        let sticks = sticks(&columns[simplex.clone()]);
        let weights = options.weight.map(|i| columns[i].1);
        let mut scratch = Scratch::default();
        let mut quantised: Vec<QuantisedColumn> = columns
            .iter()
            .enumerate()
            .map(|(i, (name, values))| {
                let column = |role, (scale, top, bins)| QuantisedColumn {
                    name: (*name).to_owned(),
                    role,
                    scale,
                    top,
                    sorted: false,
                    bins,
                };
                let steps = f64::from(options.steps_per_width) * FINER.powi(i32::from(finer[i]));
                if simplex.contains(&i) {
                    return match sticks.get(i - simplex.start) {
                        Some(stick) => column(Role::Stick, in_bins(stick, weights, steps, &mut scratch)),
                        None => column(Role::Rest, (Scale::Bits { base: 0, shift: 0 }, 0, vec![0; n])),
                    };
                }
                if options.weight == Some(i) {
                    let shift = if options.lossless { 0 } else { WEIGHT_SHIFT };
                    return column(Role::Weight, bits_of(values, shift));
                }
                let exact = options.lossless || finer[i] > 1 || !values.iter().all(|v| v.is_finite());
                let parts =
                    if exact { bits_of(values, 0) } else { in_bins(values, weights, steps, &mut scratch) };
                column(Role::Plain, parts)
            })
            .collect();
        if options.n_chains == 0 {
            sort_rows(&mut quantised, n);
        } else {
            quantised.iter_mut().for_each(|column| column.sorted = moves_little(&column.bins));
        }
        Self { n, n_chains: options.n_chains, columns: quantised }
    }

    /// Hash of names, scales and bin numbers: the same draws quantised in the same way have the same.
    pub fn hash(&self) -> ContentHash {
        let mut hasher = blake3::Hasher::new_derive_key("sedflow quantised draws v1");
        hasher.update(&(self.n as u64).to_le_bytes());
        hasher.update(&(self.n_chains as u64).to_le_bytes());
        let mut bytes = Vec::with_capacity(4 * self.n);
        for column in &self.columns {
            hasher.update(&(column.name.len() as u64).to_le_bytes());
            hasher.update(column.name.as_bytes());
            let (kind, a, b) = column.scale.numbers();
            for number in [u32::from(column.role as u8), kind, a, b, column.top] {
                hasher.update(&number.to_le_bytes());
            }
            bytes.clear();
            column.bins.iter().for_each(|bin| bytes.extend_from_slice(&bin.to_le_bytes()));
            hasher.update(&bytes);
        }
        ContentHash::from_bytes(*hasher.finalize().as_bytes())
    }

    /// The draws that the bins stand for, `[columns][n]`.
    pub fn values(&self) -> Vec<f32> {
        let mut values = vec![0.0; self.columns.len() * self.n];
        let mut stick = Stick::default();
        for (i, (column, out)) in self.columns.iter().zip(values.chunks_exact_mut(self.n.max(1))).enumerate()
        {
            place_column(column.role, column.scale, column.top, &column.bins, i, &mut stick, out);
        }
        values
    }
}

impl Scale {
    /// As the header and the hash have it: kind, then two numbers.
    pub(super) fn numbers(self) -> (u32, u32, u32) {
        match self {
            Scale::Bins { low, high } => (0, low.to_bits(), high.to_bits()),
            Scale::Bits { base, shift } => (1, base, u32::from(shift)),
        }
    }
}

#[derive(Default)]
struct Scratch {
    keys: Vec<u32>,
    spare: Vec<u32>,
}

/// Bins between the smallest and the largest value, so that no draw leaves their range.
fn in_bins(
    values: &[f32],
    weights: Option<&[f32]>,
    steps: f64,
    scratch: &mut Scratch,
) -> (Scale, u32, Vec<u32>) {
    let n = values.len();
    let keys = &mut scratch.keys;
    keys.clear();
    keys.extend(values.iter().map(|&v| sortable(v)));
    radix_sort(keys, &mut scratch.spare);
    let (Some(&low), Some(&high)) = (keys.first(), keys.last()) else {
        return (Scale::Bits { base: 0, shift: 0 }, 0, vec![]);
    };
    let (low, high) = (from_sortable(low), from_sortable(high));
    let range = f64::from(high) - f64::from(low);
    let width = match weights {
        Some(weights) => {
            weighted_quantile(values, weights, CENTRAL.1) - weighted_quantile(values, weights, CENTRAL.0)
        }
        None => {
            let at = |p: f64| f64::from(from_sortable(keys[(p * (n - 1) as f64).round() as usize]));
            at(CENTRAL.1) - at(CENTRAL.0)
        }
    } / 2.0;
    // A posterior that is one value for the most part has its width in the rest.
    let width = if width > 0.0 { width } else { range / 4.0 };
    let levels = if range > 0.0 { (range / (width / steps)).ceil().max(1.0) } else { 1.0 };
    if levels > MAX_LEVELS || !levels.is_finite() {
        return bits_of(values, 0);
    }
    let top = levels as u32 - 1;
    let (origin, per_unit) = (f64::from(low), if range > 0.0 { levels / range } else { 0.0 });
    let bins = values.iter().map(|&v| (((f64::from(v) - origin) * per_unit) as u32).min(top)).collect();
    (Scale::Bins { low, high }, top, bins)
}

/// The numbers' own bits, rounded to a multiple of 2^shift.
fn bits_of(values: &[f32], shift: u8) -> (Scale, u32, Vec<u32>) {
    let half = if shift == 0 { 0 } else { 1u32 << (shift - 1) };
    let mut bins: Vec<u32> = values
        .iter()
        .map(|&v| {
            let key = sortable(v);
            let rounded = key.saturating_add(half) >> shift;
            // Rounding up must not make an infinity of the largest numbers.
            if from_sortable(rounded << shift).is_finite() || shift == 0 { rounded } else { key >> shift }
        })
        .collect();
    let base = bins.iter().copied().min().unwrap_or(0);
    bins.iter_mut().for_each(|bin| *bin -= base);
    let top = bins.iter().copied().max().unwrap_or(0);
    (Scale::Bits { base, shift }, top, bins)
}

fn is_simplex(columns: &[(&str, &[f32])]) -> bool {
    let n = columns.first().map_or(0, |(_, values)| values.len());
    (0..n).all(|row| {
        let sum: f64 = columns.iter().map(|(_, values)| f64::from(values[row])).sum();
        (sum - 1.0).abs() < 1e-5 && columns.iter().all(|(_, values)| values[row] >= 0.0)
    })
}

/// Each member of a simplex but the last as a fraction of what those before it leave.
fn sticks(columns: &[(&str, &[f32])]) -> Vec<Vec<f32>> {
    let n = columns.first().map_or(0, |(_, values)| values.len());
    let mut left = vec![1.0f64; n];
    let all_but_last = columns.get(..columns.len().saturating_sub(1)).unwrap_or_default();
    let stick = |(_, values): &(&str, &[f32])| {
        let part = |(value, left): (&f32, &mut f64)| {
            let value = f64::from(*value);
            let fraction = if *left > 0.0 { (value / *left).clamp(0.0, 1.0) } else { 0.0 };
            *left -= value;
            fraction as f32
        };
        values.iter().zip(&mut left).map(part).collect()
    };
    all_but_last.iter().map(stick).collect()
}

/// Sorts rows by as many leading columns as it takes to tell most rows apart.
fn sort_rows(columns: &mut [QuantisedColumn], n: usize) {
    let mut keys: Vec<u64> = vec![0; n];
    let mut cells: u64 = 1;
    for column in columns.iter_mut() {
        let levels = u64::from(column.top) + 1;
        let product = cells.saturating_mul(levels);
        if cells >= 4 * n as u64 || product > 1 << (64 - ROW_BITS) {
            break;
        }
        if column.top == 0 || column.role == Role::Weight {
            continue;
        }
        keys.iter_mut().zip(&column.bins).for_each(|(key, &bin)| *key = *key * levels + u64::from(bin));
        column.sorted = true;
        cells = product;
    }
    keys.iter_mut().enumerate().for_each(|(row, key)| *key = *key << ROW_BITS | row as u64);
    keys.sort_unstable();
    let mut moved = vec![0; n];
    for column in columns.iter_mut().filter(|column| column.top > 0) {
        let row = |key: &u64| (key & ((1 << ROW_BITS) - 1)) as usize;
        moved.iter_mut().zip(&keys).for_each(|(out, key)| *out = column.bins[row(key)]);
        std::mem::swap(&mut moved, &mut column.bins);
    }
}

/// Whether a row is a better guess of the next one than the first row is.
fn moves_little(bins: &[u32]) -> bool {
    let first = bins.first().copied().unwrap_or(0);
    let (steps, spread) = bins.windows(2).fold((0u64, 0u64), |(steps, spread), pair| {
        (steps + u64::from(pair[1].abs_diff(pair[0])), spread + u64::from(pair[1].abs_diff(first)))
    });
    steps < spread
}

/// What is left of the sticks of a simplex, row by row.
#[derive(Default)]
pub(super) struct Stick {
    left: Vec<f64>,
}

/// Values of column number `index` from its bin numbers. `stick` goes from column to column.
pub(super) fn place_column(
    role: Role,
    scale: Scale,
    top: u32,
    bins: &[u32],
    index: usize,
    stick: &mut Stick,
    out: &mut [f32],
) {
    if role == Role::Rest {
        out.iter_mut().zip(stick.left.drain(..)).for_each(|(out, left)| *out = left as f32);
        return;
    }
    match scale {
        Scale::Bits { base, shift } => {
            for (out, bin) in out.iter_mut().zip(bins) {
                *out = from_sortable(bin.wrapping_add(base) << shift);
            }
        }
        Scale::Bins { low, high } => {
            let step = (f64::from(high) - f64::from(low)) / (f64::from(top) + 1.0);
            let multiplier = (2 * index as u32 + 1).wrapping_mul(GOLDEN);
            if role == Role::Stick {
                if stick.left.is_empty() {
                    stick.left.resize(bins.len(), 1.0);
                }
                break_sticks(bins, f64::from(low), step, multiplier, &mut stick.left, out);
            } else {
                place(bins, f64::from(low), step, multiplier, out);
            }
        }
    }
    if role == Role::Stick && matches!(scale, Scale::Bits { .. }) {
        if stick.left.is_empty() {
            stick.left.resize(bins.len(), 1.0);
        }
        for (out, left) in out.iter_mut().zip(&mut stick.left) {
            let fraction = f64::from(*out);
            *out = (fraction * *left) as f32;
            *left *= 1.0 - fraction;
        }
    }
}

/// 2^32 over the golden ratio: its multiples modulo 2^32 fill a bin evenly however few there are.
const GOLDEN: u32 = 0x9E37_79B9;

/// Place within its bin of a row, in (0, 1).
#[inline(always)]
fn within(row: usize, multiplier: u32) -> f64 {
    (f64::from((row as u32 + 1).wrapping_mul(multiplier)) + 0.5) * (1.0 / 4_294_967_296.0)
}

#[multiversion::multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx2", "x86_64+avx2"))]
fn place(bins: &[u32], low: f64, step: f64, multiplier: u32, out: &mut [f32]) {
    for (row, (out, &bin)) in out.iter_mut().zip(bins).enumerate() {
        *out = (low + (f64::from(bin) + within(row, multiplier)) * step) as f32;
    }
}

#[multiversion::multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx2", "x86_64+avx2"))]
fn break_sticks(bins: &[u32], low: f64, step: f64, multiplier: u32, left: &mut [f64], out: &mut [f32]) {
    for (row, ((out, left), &bin)) in out.iter_mut().zip(left).zip(bins).enumerate() {
        let fraction = low + (f64::from(bin) + within(row, multiplier)) * step;
        *out = (fraction * *left) as f32;
        *left *= 1.0 - fraction;
    }
}
