//! Turns more points than a page can show into few: running medians with bands, thinned points, thinned distributions.

use crate::stats::{self, quantile};

/// A piece of a series of values by request number, with the middle of its values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bin {
    /// Mean request number of the piece.
    pub at: f64,
    pub median: f64,
    /// 10th percentile.
    pub low: f64,
    /// 90th percentile.
    pub high: f64,
}

/// The median of values in any order; null without values.
pub fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values
        .into_iter()
        .filter(|value| value.is_finite())
        .collect();
    stats::median(&mut values)
}

/// At most `bins` pieces of equal length over points `(request number, value)` sorted by number.
pub fn running_median(points: &[(u32, f64)], bins: usize) -> Vec<Bin> {
    if points.is_empty() || bins == 0 {
        return Vec::new();
    }
    let (first, last) = (
        f64::from(points[0].0),
        f64::from(points[points.len() - 1].0),
    );
    let width = ((last - first + 1.0) / bins as f64).max(1.0);
    points
        .chunk_by(|one, other| {
            ((f64::from(one.0) - first) / width).floor()
                == ((f64::from(other.0) - first) / width).floor()
        })
        .filter_map(|piece| {
            let mut values: Vec<f64> = piece.iter().map(|(_, value)| *value).collect();
            values.sort_by(f64::total_cmp);
            let at = piece
                .iter()
                .map(|(number, _)| f64::from(*number))
                .sum::<f64>()
                / piece.len() as f64;
            Some(Bin {
                at,
                median: quantile(&values, 0.5)?,
                low: quantile(&values, 0.1)?,
                high: quantile(&values, 0.9)?,
            })
        })
        .collect()
}

/// Every k-th item so that at most `most` remain; the first always does.
pub fn thin<T: Copy>(items: &[T], most: usize) -> Vec<T> {
    let step = items.len().div_ceil(most.max(1)).max(1);
    items.iter().step_by(step).copied().collect()
}

/// At most `most` points of a series over time, `(time, value)`, that keep each piece's smallest and largest value in their order.
pub fn envelope(points: &[(f64, f64)], most: usize) -> Vec<(f64, f64)> {
    if points.len() <= most.max(4) {
        return points.to_vec();
    }
    let piece = points.len().div_ceil((most / 2).max(1));
    let mut kept = Vec::with_capacity(most);
    for part in points.chunks(piece) {
        let low = part.iter().min_by(|one, other| one.1.total_cmp(&other.1));
        let high = part.iter().max_by(|one, other| one.1.total_cmp(&other.1));
        if let (Some(low), Some(high)) = (low, high) {
            let (early, late) = if low.0 <= high.0 {
                (low, high)
            } else {
                (high, low)
            };
            kept.push(*early);
            if early != late {
                kept.push(*late);
            }
        }
    }
    kept
}

/// The steps of an empirical distribution function, `(value, share of samples at or below it)`, at most `most` of them.
pub fn distribution(samples: &[f64], most: usize) -> Vec<(f64, f64)> {
    let mut sorted: Vec<f64> = samples
        .iter()
        .copied()
        .filter(|value| value.is_finite())
        .collect();
    sorted.sort_by(f64::total_cmp);
    let count = sorted.len();
    let steps = count.min(most.max(2));
    (0..steps)
        .map(|step| {
            // Ranks spread evenly; the smallest and the largest sample are always among them.
            let rank = if steps == 1 {
                0
            } else {
                step * (count - 1) / (steps - 1)
            };
            (sorted[rank], (rank + 1) as f64 / count as f64)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_running_median_pools_neighbours() {
        let points: Vec<(u32, f64)> = (0..1000)
            .map(|number| (number, f64::from(number % 10)))
            .collect();
        let bins = running_median(&points, 10);
        assert_eq!(bins.len(), 10);
        assert_eq!((bins[0].at, bins[0].median), (49.5, 4.5));
        assert!((bins[0].low - 0.9).abs() < 1e-9 && (bins[0].high - 8.1).abs() < 1e-9);
    }

    #[test]
    fn an_envelope_keeps_the_peak() {
        let points: Vec<(f64, f64)> = (0..10_000)
            .map(|index| (f64::from(index), if index == 777 { 9.0 } else { 1.0 }))
            .collect();
        let kept = envelope(&points, 200);
        assert!(kept.len() <= 202);
        assert!(kept.contains(&(777.0, 9.0)));
        assert!(kept.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }

    #[test]
    fn nothing_gives_nothing() {
        assert_eq!(running_median(&[], 10), []);
        assert_eq!(distribution(&[], 10), []);
        assert_eq!(median([]), None);
        assert_eq!(median([f64::NAN]), None);
    }

    proptest! {
        #[test]
        fn distributions_stay_in_the_samples_range(mut samples in proptest::collection::vec(-1e9f64..1e9, 1..400), most in 2usize..50) {
            let steps = distribution(&samples, most);
            samples.sort_by(f64::total_cmp);
            let (low, high) = (samples[0], samples[samples.len() - 1]);
            prop_assert!(steps.len() <= most.max(2));
            prop_assert_eq!(steps[steps.len() - 1], (high, 1.0));
            prop_assert_eq!(steps[0].0, low);
            prop_assert!(steps.windows(2).all(|pair| pair[0].0 <= pair[1].0 && pair[0].1 < pair[1].1));
        }

        #[test]
        fn thinning_keeps_at_most_what_was_asked(count in 0usize..2000, most in 1usize..300) {
            let items: Vec<usize> = (0..count).collect();
            let kept = thin(&items, most);
            prop_assert!(kept.len() <= most);
            prop_assert_eq!(kept.is_empty(), items.is_empty());
        }
    }
}
