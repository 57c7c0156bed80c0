//! Columns of draws <-> bin numbers, in the order of rows that packs best.

use std::ops::Range;

use super::achieved::{Achieved, weighted_quantile};
use super::floats::{from_sortable, radix_sort, sortable};
use super::header::{MAX_COLUMNS, Role};
use super::{CodecError, STEPS_PER_WIDTH};
use crate::hash::ContentHash;

/// Half of the central 68.27 %: one standard deviation of a Gaussian.
const CENTRAL: (f64, f64) = (0.158_655, 0.841_345);
/// More bins than this and a column is kept as it is.
const MAX_TOP: f64 = ((1 << 24) - 1) as f64;
/// Row numbers have this many bits in sort keys.
const ROW_BITS: u32 = 24;
pub(super) const MAX_ROWS: usize = (1 << ROW_BITS) - 1;
/// Lowest bits dropped from importance weights: 10 bits of mantissa remain.
const WEIGHT_SHIFT: u8 = 13;
/// How much finer the bins of a column become that moves too far, and how often until it is kept exactly.
const FINER: f64 = 4.0;
const EXACT: u8 = 2;
/// The scale of what needs none.
const NOTHING: Scale = Scale::Bits { base: 0, shift: 0 };

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
    /// Equal bins around `low`, ..., `high`.
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
/// A column whose distribution would move by more than [`super::KS_LIMIT`] gets finer bins, or is kept
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
            (0..columns.len()).filter(|&i| achieved.column_ks[i] > achieved.ks_limit).collect();
        if options.lossless || missed.iter().all(|&i| finer[i] >= EXACT) {
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
                !options.lossless && finer[range.start] < EXACT && is_simplex(&columns[range.clone()])
            })
            .unwrap_or(0..0);
        let sticks = sticks(&columns[simplex.clone()]);
        let weights = options.weight.map(|i| columns[i].1);
        let mut scratch = Scratch::default();
        let values_of = |i: usize| -> &[f32] {
            if simplex.contains(&i) {
                sticks.get(i - simplex.start).map_or(&[], Vec::as_slice)
            } else {
                columns[i].1
            }
        };
        let mut quantised: Vec<QuantisedColumn> = columns
            .iter()
            .enumerate()
            .map(|(i, (name, _))| {
                let values = values_of(i);
                let steps = f64::from(options.steps_per_width) * FINER.powi(i32::from(finer[i]));
                let exact = || options.lossless || finer[i] >= EXACT || !values.iter().all(|v| v.is_finite());
                let (role, scale) = if simplex.contains(&i) {
                    let is_rest = i + 1 == simplex.end;
                    let role = if is_rest { Role::Rest } else { Role::Stick };
                    (role, if is_rest { (NOTHING, 0) } else { bins_of(values, weights, steps, &mut scratch) })
                } else if options.weight == Some(i) {
                    (Role::Weight, bits_of(values, if options.lossless { 0 } else { WEIGHT_SHIFT }))
                } else if exact() {
                    (Role::Plain, bits_of(values, 0))
                } else {
                    (Role::Plain, bins_of(values, weights, steps, &mut scratch))
                };
                let (scale, top) = scale;
                let name = (*name).to_owned();
                QuantisedColumn { name, role, scale, top, sorted: false, bins: vec![] }
            })
            .collect();
        let order = if options.n_chains == 0 {
            sort_rows(&mut quantised, n, &values_of)
        } else {
            (0..n as u32).collect()
        };
        // What is left of a simplex after the fractions as they will be read back, row by row: so that no
        // fraction inherits the errors of those before it.
        let mut left: Vec<f64> = vec![1.0; if simplex.is_empty() { 0 } else { n }];
        let mut moved: Vec<f32> = vec![0.0; n];
        for (i, column) in quantised.iter_mut().enumerate() {
            if column.role == Role::Rest || column.top == 0 && column.role != Role::Stick {
                column.bins = vec![0; n];
                continue;
            }
            moved.iter_mut().zip(&order).for_each(|(out, &row)| *out = columns[i].1[row as usize]);
            match column.scale {
                Scale::Bits { base, shift } => {
                    column.bins = moved.iter().map(|&v| rounded_bits(v, shift).wrapping_sub(base)).collect();
                }
                Scale::Bins { low, high } => {
                    let bins = Bins::new(low, high, column.top, i);
                    column.bins = vec![0; n];
                    if column.role == Role::Stick {
                        bins.nearest_sticks(&moved, &mut left, &mut column.bins);
                    } else if column.sorted {
                        bins.holding(&moved, &mut column.bins);
                    } else {
                        nearest(bins, &moved, &mut column.bins);
                    }
                }
            }
            if options.n_chains > 0 {
                column.sorted = moves_little(&column.bins);
            }
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

/// Bins between the smallest and the largest value, so that no draw leaves their range; and the last bin.
fn bins_of(values: &[f32], weights: Option<&[f32]>, steps: f64, scratch: &mut Scratch) -> (Scale, u32) {
    let n = values.len();
    let keys = &mut scratch.keys;
    keys.clear();
    keys.extend(values.iter().map(|&v| sortable(v)));
    radix_sort(keys, &mut scratch.spare);
    let (Some(&low), Some(&high)) = (keys.first(), keys.last()) else { return (NOTHING, 0) };
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
    let top = if range > 0.0 { (range / (width / steps)).ceil().max(1.0) } else { 0.0 };
    if top > MAX_TOP || !top.is_finite() {
        return bits_of(values, 0);
    }
    (Scale::Bins { low, high }, top as u32)
}

/// The numbers' own bits without the lowest `shift`, from the smallest on; and the largest.
fn bits_of(values: &[f32], shift: u8) -> (Scale, u32) {
    let keys = || values.iter().map(|&v| rounded_bits(v, shift));
    let base = keys().min().unwrap_or(0);
    (Scale::Bits { base, shift }, keys().max().unwrap_or(0) - base)
}

fn rounded_bits(v: f32, shift: u8) -> u32 {
    let key = sortable(v);
    if shift == 0 {
        return key;
    }
    let rounded = key.saturating_add(1 << (shift - 1)) >> shift;
    // Rounding up must not make an infinity of the largest numbers.
    if from_sortable(rounded << shift).is_finite() { rounded } else { key >> shift }
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

/// The order of rows by as many leading columns as it takes to tell most rows apart; marks those columns.
///
/// Columns of a simplex come last: bins that hold a value, as sorting needs them, are a little further from
/// it than the nearest ones, and the rest of a simplex inherits what its members are off.
fn sort_rows<'a>(
    columns: &mut [QuantisedColumn],
    n: usize,
    values_of: &dyn Fn(usize) -> &'a [f32],
) -> Vec<u32> {
    let mut keys: Vec<u64> = vec![0; n];
    let mut cells: u64 = 1;
    let mut bins = vec![0; n];
    for (i, column) in columns.iter_mut().enumerate() {
        let levels = u64::from(column.top) + 1;
        let product = cells.saturating_mul(levels);
        if cells >= 4 * n as u64 || product > 1 << (64 - ROW_BITS) {
            break;
        }
        if column.top == 0 || column.role != Role::Plain {
            continue;
        }
        match column.scale {
            Scale::Bins { low, high } => Bins::new(low, high, column.top, i).holding(values_of(i), &mut bins),
            Scale::Bits { base, shift } => bins
                .iter_mut()
                .zip(values_of(i))
                .for_each(|(bin, &v)| *bin = rounded_bits(v, shift).wrapping_sub(base)),
        }
        keys.iter_mut().zip(&bins).for_each(|(key, &bin)| *key = *key * levels + u64::from(bin));
        column.sorted = true;
        cells = product;
    }
    keys.iter_mut().enumerate().for_each(|(row, key)| *key = *key << ROW_BITS | row as u64);
    keys.sort_unstable();
    keys.iter().map(|key| (key & ((1 << ROW_BITS) - 1)) as u32).collect()
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
            let places = Bins::new(low, high, top, index);
            if role == Role::Stick {
                if stick.left.is_empty() {
                    stick.left.resize(bins.len(), 1.0);
                }
                break_sticks(places, bins, &mut stick.left, out);
            } else {
                put(places, bins, out);
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

/// The bins of one column: bin q is as wide as a step and lies around `low + q step`.
#[derive(Clone, Copy)]
struct Bins {
    low: f64,
    range: f64,
    step: f64,
    top: f64,
    multiplier: u32,
}

/// Place of a row relative to the middle of its bin, in steps, in (-1/2, 1/2).
#[inline(always)]
fn place(row: usize, multiplier: u32) -> f64 {
    (f64::from((row as u32 + 1).wrapping_mul(multiplier)) + 0.5) * (1.0 / 4_294_967_296.0) - 0.5
}

impl Bins {
    fn new(low: f32, high: f32, top: u32, index: usize) -> Self {
        let (low, top) = (f64::from(low), f64::from(top));
        let range = f64::from(high) - low;
        let multiplier = (2 * index as u32 + 1).wrapping_mul(GOLDEN);
        Self { low, range, step: range / top.max(1.0), top, multiplier }
    }

    fn per_unit(&self) -> f64 {
        if self.step > 0.0 { 1.0 / self.step } else { 0.0 }
    }

    /// The value of a row in a bin. Half of the first and of the last bin lie outside: they are folded back in.
    #[inline(always)]
    fn value(&self, bin: u32, row: usize) -> f64 {
        let x = ((f64::from(bin) + place(row, self.multiplier)) * self.step).abs();
        self.low + x.min(2.0 * self.range - x)
    }

    /// The bin in which the row's value is nearest to `v`.
    #[inline(always)]
    fn nearest_bin(&self, v: f64, per_unit: f64, row: usize) -> u32 {
        ((v - self.low) * per_unit - place(row, self.multiplier) + 0.5).clamp(0.0, self.top) as u32
    }

    /// The bins that hold the values.
    fn holding(&self, values: &[f32], bins: &mut [u32]) {
        let per_unit = self.per_unit();
        for (bin, &v) in bins.iter_mut().zip(values) {
            *bin = ((f64::from(v) - self.low) * per_unit + 0.5).clamp(0.0, self.top) as u32;
        }
    }

    /// For members of a simplex; `left` becomes what the members read back leave.
    fn nearest_sticks(&self, values: &[f32], left: &mut [f64], bins: &mut [u32]) {
        let per_unit = self.per_unit();
        for (row, ((bin, left), &v)) in bins.iter_mut().zip(left).zip(values).enumerate() {
            let fraction = if *left > 0.0 { (f64::from(v) / *left).min(1.0) } else { 0.0 };
            *bin = self.nearest_bin(fraction, per_unit, row);
            *left *= 1.0 - self.value(*bin, row);
        }
    }
}

#[multiversion::multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx2", "x86_64+avx2"))]
fn nearest(scale: Bins, values: &[f32], bins: &mut [u32]) {
    let per_unit = scale.per_unit();
    for (row, (bin, &v)) in bins.iter_mut().zip(values).enumerate() {
        *bin = scale.nearest_bin(f64::from(v), per_unit, row);
    }
}

#[multiversion::multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx2", "x86_64+avx2"))]
fn put(scale: Bins, bins: &[u32], out: &mut [f32]) {
    for (row, (out, &bin)) in out.iter_mut().zip(bins).enumerate() {
        *out = scale.value(bin, row) as f32;
    }
}

#[multiversion::multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx2", "x86_64+avx2"))]
fn break_sticks(scale: Bins, bins: &[u32], left: &mut [f64], out: &mut [f32]) {
    for (row, ((out, left), &bin)) in out.iter_mut().zip(left).zip(bins).enumerate() {
        let fraction = scale.value(bin, row);
        *out = (fraction * *left) as f32;
        *left *= 1.0 - fraction;
    }
}
