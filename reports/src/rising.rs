//! Values in rising order, fast for millions of them.
//!
//! Comparing costs a step for each bit of the number of values; sorting by the digits of the numbers does not, and most digits of times that lie close together are equal.

use crate::stats::quantile;

/// Fewer values than this are sorted by comparing.
const FEW: usize = 2048;
/// Bits of a digit.
const DIGIT: u32 = 11;
const BUCKETS: usize = 1 << DIGIT;

/// Sorts by [`f64::total_cmp`].
pub(crate) fn sort(values: &mut [f64]) {
    if values.len() < FEW {
        values.sort_unstable_by(f64::total_cmp);
        return;
    }
    let keys = values.iter().map(|value| key(*value)).collect();
    let keys = by_digits(keys, u64::BITS, |key, shift| (key >> shift) as usize);
    for (value, key) in values.iter_mut().zip(keys) {
        *value = value_of(key);
    }
}

/// Times in ns as seconds in rising order. Whole numbers below 2³² have half the digits of real ones.
pub(crate) fn seconds(mut ns: Vec<u64>) -> Vec<f64> {
    let short = ns.iter().all(|time| u32::try_from(*time).is_ok());
    if ns.len() < FEW || !short {
        ns.sort_unstable();
        return ns.into_iter().map(|time| time as f64 / NS_PER_S).collect();
    }
    let keys = ns.into_iter().map(|time| time as u32).collect();
    by_digits(keys, u32::BITS, |key, shift| (key >> shift) as usize)
        .into_iter()
        .map(|time| f64::from(time) / NS_PER_S)
        .collect()
}

const NS_PER_S: f64 = 1e9;

/// Sorts whole numbers digit by digit, the lowest first (LSD radix sort). `shifted` moves a number's digits down by so many bits.
fn by_digits<K: Copy + Default>(
    mut keys: Vec<K>,
    bits: u32,
    shifted: impl Fn(K, u32) -> usize,
) -> Vec<K> {
    let mut other = vec![K::default(); keys.len()];
    for place in 0..bits.div_ceil(DIGIT) {
        let digit = |key: K| shifted(key, place * DIGIT) & (BUCKETS - 1);
        let mut counts = [0_usize; BUCKETS];
        keys.iter().for_each(|key| counts[digit(*key)] += 1);
        if counts.contains(&keys.len()) {
            // All have this digit.
            continue;
        }
        let mut from = 0;
        for count in &mut counts {
            from += std::mem::replace(count, from);
        }
        for key in &keys {
            let slot = &mut counts[digit(*key)];
            other[*slot] = *key;
            *slot += 1;
        }
        std::mem::swap(&mut keys, &mut other);
    }
    keys
}

/// Several lists in rising order as one.
pub(crate) fn merged(mut lists: Vec<Vec<f64>>) -> Vec<f64> {
    lists.retain(|list| !list.is_empty());
    while lists.len() > 1 {
        let mut next = Vec::with_capacity(lists.len().div_ceil(2));
        let mut pairs = lists.into_iter();
        while let Some(one) = pairs.next() {
            next.push(match pairs.next() {
                Some(other) => of_two(&one, &other),
                None => one,
            });
        }
        lists = next;
    }
    lists.pop().unwrap_or_default()
}

/// The median of several lists in rising order together; `None` without values.
pub(crate) fn middle(lists: &[Vec<f64>]) -> Option<f64> {
    let all: usize = lists.iter().map(Vec::len).sum();
    let last = all.checked_sub(1)?;
    let mut places = vec![0; lists.len()];
    let (mut lower, mut upper) = (None, None);
    // In order up to the values around the middle.
    for taken in 0..=all / 2 {
        let smallest = lists
            .iter()
            .zip(&places)
            .enumerate()
            .filter_map(|(list, (values, place))| Some((list, *values.get(*place)?)))
            .min_by(|one, other| one.1.total_cmp(&other.1));
        let (list, value) = smallest?;
        places[list] += 1;
        if taken == last / 2 {
            lower = Some(value);
        }
        if taken == all / 2 {
            upper = Some(value);
        }
    }
    quantile(&[lower?, upper?], 0.5)
}

fn of_two(one: &[f64], other: &[f64]) -> Vec<f64> {
    let mut all = Vec::with_capacity(one.len() + other.len());
    let (mut a, mut b) = (0, 0);
    while a < one.len() && b < other.len() {
        let first = one[a].total_cmp(&other[b]).is_le();
        all.push(if first { one[a] } else { other[b] });
        a += usize::from(first);
        b += usize::from(!first);
    }
    all.extend_from_slice(&one[a..]);
    all.extend_from_slice(&other[b..]);
    all
}

/// A number whose order is that of the values: negative ones have all bits turned, the others their sign.
fn key(value: f64) -> u64 {
    let bits = value.to_bits();
    bits ^ (((bits as i64 >> 63) as u64) | (1 << 63))
}

fn value_of(key: u64) -> f64 {
    let negative = key >> 63 == 0;
    f64::from_bits(key ^ if negative { u64::MAX } else { 1 << 63 })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn by_comparing(mut values: Vec<f64>) -> Vec<f64> {
        values.sort_by(f64::total_cmp);
        values
    }

    fn bits(values: &[f64]) -> Vec<u64> {
        values.iter().map(|value| value.to_bits()).collect()
    }

    proptest! {
        #[test]
        fn it_is_the_order_of_comparing(short in prop::collection::vec(prop::num::f64::ANY, 1..300)) {
            // Long enough to be sorted by digits.
            let values: Vec<f64> = short.iter().copied().cycle().take(FEW + short.len()).enumerate().map(|(index, value)| value * (1.0 + index as f64)).collect();
            let mut sorted = values.clone();
            sort(&mut sorted);
            prop_assert_eq!(bits(&sorted), bits(&by_comparing(values)));
        }

        #[test]
        fn times_are_in_the_order_of_their_ns(short in prop::collection::vec(0u64..5_000_000_000, 1..300), few in any::<bool>()) {
            let many = if few { short.len() } else { FEW + short.len() };
            let ns: Vec<u64> = short.iter().copied().cycle().take(many).enumerate().map(|(index, time)| time / (1 + index as u64)).collect();
            let expected = by_comparing(ns.iter().map(|time| *time as f64 / 1e9).collect());
            prop_assert_eq!(bits(&seconds(ns)), bits(&expected));
        }

        #[test]
        fn the_middle_is_the_median(lists in prop::collection::vec(prop::collection::vec(-5.0f64..5.0, 0..20), 0..6)) {
            let mut all = lists.concat();
            let lists: Vec<_> = lists.into_iter().map(by_comparing).collect();
            prop_assert_eq!(middle(&lists), quantile(&by_comparing(all.clone()), 0.5));
            prop_assert_eq!(middle(&lists), crate::stats::median(&mut all));
        }

        #[test]
        fn merging_is_sorting(lists in prop::collection::vec(prop::collection::vec(-5.0f64..5.0, 0..20), 0..6)) {
            let all = by_comparing(lists.concat());
            let lists = lists.into_iter().map(by_comparing).collect();
            prop_assert_eq!(merged(lists), all);
        }
    }
}
