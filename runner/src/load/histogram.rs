//! A fixed-size histogram of durations: the request thread counts its own delays into it without allocating.

/// Buckets per power of two: a value is known to about 3 %.
const STEPS: u64 = 32;
const STEP_BITS: u32 = STEPS.trailing_zeros();
/// Covers every `u64`.
const BUCKETS: usize = ((64 - STEP_BITS as usize) + 1) * STEPS as usize;

/// How durations spread, in ns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spread {
    /// How many there were.
    pub count: u64,
    /// Median, to about 3 %.
    pub p50_ns: u64,
    /// 99th percentile, to about 3 %; equal to the largest below 100 values.
    pub p99_ns: u64,
    /// The largest, exactly.
    pub max_ns: u64,
}

/// Counts of durations in buckets whose width grows with the value.
#[derive(Debug)]
pub(crate) struct Histogram {
    counts: Vec<u32>,
    count: u64,
    max_ns: u64,
}

impl Histogram {
    pub(crate) fn new() -> Self {
        Self {
            counts: vec![0; BUCKETS],
            count: 0,
            max_ns: 0,
        }
    }

    pub(crate) fn add(&mut self, value_ns: u64) {
        if let Some(slot) = self.counts.get_mut(bucket(value_ns)) {
            *slot = slot.saturating_add(1);
        }
        self.count += 1;
        self.max_ns = self.max_ns.max(value_ns);
    }

    pub(crate) fn spread(&self) -> Option<Spread> {
        (self.count > 0).then(|| Spread {
            count: self.count,
            p50_ns: self.quantile(50),
            p99_ns: if self.count < 100 {
                self.max_ns
            } else {
                self.quantile(99)
            },
            max_ns: self.max_ns,
        })
    }

    /// The value below which `percent` of all values lie: the upper end of its bucket, and never more than the largest.
    fn quantile(&self, percent: u64) -> u64 {
        let rank = (self.count * percent).div_ceil(100).max(1);
        let mut seen = 0;
        for (index, &count) in self.counts.iter().enumerate() {
            seen += u64::from(count);
            if seen >= rank {
                return upper_end(index).min(self.max_ns);
            }
        }
        self.max_ns
    }
}

fn bucket(value: u64) -> usize {
    if value < STEPS {
        return value as usize;
    }
    let shift = 63 - value.leading_zeros() - STEP_BITS;
    let step = (value >> shift) - STEPS;
    ((u64::from(shift) + 1) * STEPS + step) as usize
}

fn upper_end(index: usize) -> u64 {
    let index = index as u64;
    if index < STEPS {
        return index;
    }
    let shift = index / STEPS - 1;
    let step = index % STEPS + STEPS;
    // In 128 bits: the end of the last bucket is `u64::MAX`.
    u64::try_from(((u128::from(step) + 1) << shift) - 1).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_bucket_holds_its_values(value in any::<u64>()) {
            let index = bucket(value);
            prop_assert!(index < BUCKETS);
            prop_assert!(upper_end(index) >= value);
            prop_assert!(index == 0 || upper_end(index - 1) < value);
        }

        #[test]
        fn quantiles_are_within_a_bucket_of_the_truth(mut values in proptest::collection::vec(0_u64..10_000_000, 100..400)) {
            let mut histogram = Histogram::new();
            values.iter().for_each(|&value| histogram.add(value));
            values.sort_unstable();
            let spread = histogram.spread().expect("values were added");
            let truth = values[(values.len() * 99).div_ceil(100) - 1];
            prop_assert!(spread.p99_ns >= truth && spread.p99_ns as f64 <= truth as f64 * 1.04 + 1.0);
            prop_assert_eq!(spread.max_ns, *values.last().expect("values"));
        }
    }

    #[test]
    fn without_values_there_is_no_spread() {
        assert_eq!(Histogram::new().spread(), None);
    }
}
