//! f32 numbers as unsigned integers that sort like them, and sorting by such integers.

/// Bits of `x`, rearranged so that they sort as the numbers do (NaN at the ends).
#[inline(always)]
pub(super) fn sortable(x: f32) -> u32 {
    let bits = x.to_bits();
    bits ^ (((bits as i32) >> 31) as u32 | 0x8000_0000)
}

/// The number whose [`sortable`] bits these are.
#[inline(always)]
pub(super) fn from_sortable(bits: u32) -> f32 {
    f32::from_bits(if bits >> 31 == 1 { bits ^ 0x8000_0000 } else { !bits })
}

const DIGIT: u32 = 11;
const BUCKETS: usize = 1 << DIGIT;

/// Sorts by three passes over digits of 11 bits; `scratch` is overwritten.
pub(super) fn radix_sort(keys: &mut Vec<u32>, scratch: &mut Vec<u32>) {
    let mut counts = [[0u32; BUCKETS]; 3];
    for &key in keys.iter() {
        for (pass, counts) in counts.iter_mut().enumerate() {
            counts[digit(key, pass)] += 1;
        }
    }
    scratch.clear();
    scratch.resize(keys.len(), 0);
    for (pass, counts) in counts.iter_mut().enumerate() {
        // A digit that all share moves nothing.
        if keys.first().is_none_or(|&key| counts[digit(key, pass)] as usize == keys.len()) {
            continue;
        }
        let mut start = 0;
        for count in counts.iter_mut() {
            start += std::mem::replace(count, start);
        }
        for &key in keys.iter() {
            let place = &mut counts[digit(key, pass)];
            scratch[*place as usize] = key;
            *place += 1;
        }
        std::mem::swap(keys, scratch);
    }
}

#[inline(always)]
fn digit(key: u32, pass: usize) -> usize {
    (key >> (DIGIT * pass as u32)) as usize & (BUCKETS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn sortable_bits_sort_as_the_numbers_and_come_back(mut values in prop::collection::vec(any::<f32>(), 0..300)) {
            let mut keys: Vec<u32> = values.iter().map(|&v| sortable(v)).collect();
            for (key, value) in keys.iter().zip(&values) {
                prop_assert_eq!(from_sortable(*key).to_bits(), value.to_bits());
            }
            radix_sort(&mut keys, &mut vec![]);
            values.sort_by(f32::total_cmp);
            let bits = |v: &f32| v.to_bits();
            prop_assert_eq!(
                keys.into_iter().map(|k| from_sortable(k).to_bits()).collect::<Vec<_>>(),
                values.iter().map(bits).collect::<Vec<_>>()
            );
        }
    }
}
