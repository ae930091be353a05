//! Estimates with their intervals: the only place where several values become a number.
//!
//! Every interval is a two-sided 95 % interval. No function drops a value: outliers are marked, failures are left to the caller.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use statrs::distribution::{ContinuousCDF, StudentsT};

/// Fewest values for an interval by Student's t.
pub const LEAST_FOR_INTERVAL: usize = 3;
/// Fewest values for the studentised bootstrap.
pub const LEAST_FOR_BOOTSTRAP: usize = 10;
/// Most values of an ECDF that are kept one by one.
pub const ECDF_POINTS: usize = 2001;

const RESAMPLES: usize = 1999;
const BOOTSTRAP_SEED: u64 = 0x5EED;
const TAIL: f64 = 0.025;

mod welch;

pub use welch::{LogDifference, holm, unpaired_ratio};

/// A number that stands for several values: never without its n.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Estimate {
    /// The number.
    pub value: f64,
    /// Lower end of the 95 % interval; `None` where n is too small for one.
    pub low: Option<f64>,
    /// Upper end of the 95 % interval.
    pub high: Option<f64>,
    /// How many independent values (trials, or requests for a share) stand behind it.
    pub n: u32,
}

impl Estimate {
    /// Both ends of the interval, where there is one.
    pub fn interval(&self) -> Option<(f64, f64)> {
        Some((self.low?, self.high?))
    }

    /// The estimate through a rising function, for example `exp` after a mean of logarithms.
    pub fn map(self, rising: impl Fn(f64) -> f64) -> Self {
        Self {
            value: rising(self.value),
            low: self.low.map(&rising),
            high: self.high.map(&rising),
            n: self.n,
        }
    }
}

/// Number and quantiles of single values.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Summary {
    /// How many values.
    pub n: u64,
    /// The smallest.
    pub min: f64,
    /// 10 % quantile.
    pub p10: f64,
    /// 25 % quantile.
    pub p25: f64,
    /// The median.
    pub median: f64,
    /// 75 % quantile.
    pub p75: f64,
    /// 90 % quantile; `None` below 10 values.
    pub p90: Option<f64>,
    /// 95 % quantile; `None` below 20 values.
    pub p95: Option<f64>,
    /// 99 % quantile; `None` below 100 values.
    pub p99: Option<f64>,
    /// The largest.
    pub max: f64,
    /// The arithmetic mean.
    pub mean: f64,
}

/// The quantile of values in rising order by linear interpolation between order statistics at position (n − 1)·p
/// (type 7 of Hyndman & Fan, *Sample Quantiles in Statistical Packages*, The American Statistician 50, 1996).
/// `None` without values. Never outside the values' range.
pub fn quantile(sorted: &[f64], p: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let position = p.clamp(0.0, 1.0) * last as f64;
    let below = position.floor() as usize;
    let (low, high) = (sorted[below], sorted[(below + 1).min(last)]);
    // Written so that rounding cannot leave [low, high].
    Some((low + (position - below as f64) * (high - low)).clamp(low, high))
}

/// The quantile, or `None` where fewer than one value is expected beyond it: p90 asks for 10 values, p95 for 20, p99 for 100.
pub fn tail_quantile(sorted: &[f64], p: f64) -> Option<f64> {
    let beyond = p.max(1.0 - p);
    // The added share of a value absorbs that 1 − 0.9 is not exactly 0.1.
    (sorted.len() as f64 * (1.0 - beyond) >= 1.0 - 1e-9)
        .then(|| quantile(sorted, p))
        .flatten()
}

/// The median; `None` without values. Changes the order of the values.
pub fn median(values: &mut [f64]) -> Option<f64> {
    let middle = values.len() / 2;
    if values.is_empty() {
        return None;
    }
    // The two values around the middle are all that counts.
    let even = values.len().is_multiple_of(2);
    let (below, upper, _) = values.select_nth_unstable_by(middle, f64::total_cmp);
    let upper = *upper;
    let lower = below.iter().copied().max_by(f64::total_cmp);
    match lower.filter(|_| even) {
        Some(lower) => quantile(&[lower, upper], 0.5),
        None => Some(upper),
    }
}

/// The arithmetic mean; `None` without values.
pub fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// Number and quantiles of values in rising order; `None` without values.
pub fn summary(sorted: &[f64]) -> Option<Summary> {
    let (min, max) = (*sorted.first()?, *sorted.last()?);
    Some(Summary {
        n: sorted.len() as u64,
        min,
        p10: quantile(sorted, 0.1)?,
        p25: quantile(sorted, 0.25)?,
        median: quantile(sorted, 0.5)?,
        p75: quantile(sorted, 0.75)?,
        p90: tail_quantile(sorted, 0.9),
        p95: tail_quantile(sorted, 0.95),
        p99: tail_quantile(sorted, 0.99),
        max,
        mean: mean(sorted)?.clamp(min, max),
    })
}

/// The values for an ECDF: all of them, or [`ECDF_POINTS`] quantiles at even steps where there are more.
pub fn ecdf(sorted: &[f64]) -> Vec<f64> {
    if sorted.len() <= ECDF_POINTS {
        return sorted.to_vec();
    }
    (0..ECDF_POINTS)
        .filter_map(|step| quantile(sorted, step as f64 / (ECDF_POINTS - 1) as f64))
        .collect()
}

/// The mean of independent values with its interval: none below 3 values, Student's t from 3, the studentised bootstrap from 10.
/// `None` without values.
pub fn mean_estimate(values: &[f64]) -> Option<Estimate> {
    let value = mean(values)?;
    let interval = match values.len() {
        n if n < LEAST_FOR_INTERVAL => None,
        n if n < LEAST_FOR_BOOTSTRAP => {
            let half = t_quantile(n - 1)? * standard_error(values, value);
            Some((value - half, value + half))
        }
        _ => Some(bootstrap(values, value)),
    };
    Some(Estimate {
        value,
        low: interval.map(|(low, _)| low),
        high: interval.map(|(_, high)| high),
        n: values.len() as u32,
    })
}

/// [`mean_estimate`] of values that are never below 0, as no metric is: neither is the interval.
pub fn level_estimate(values: &[f64]) -> Option<Estimate> {
    mean_estimate(values).map(|found| Estimate {
        low: found.low.map(|low| low.max(0.0)),
        high: found.high.map(|high| high.max(0.0)),
        ..found
    })
}

/// The ratio A/B of values that belong together, trial by trial: exp of the mean of ln(A/B), with the interval of [`mean_estimate`].
/// Pairs with a value that is not above 0 have no logarithm and give `None` for the whole: a ratio must not depend on leaving out what is awkward.
pub fn paired_ratio(pairs: &[(f64, f64)]) -> Option<Estimate> {
    let logs: Option<Vec<f64>> = pairs.iter().map(|&(a, b)| log_ratio(a, b)).collect();
    mean_estimate(&logs?).map(|found| found.map(f64::exp))
}

/// Stein's two-stage rule (*A Two-Sample Test for a Linear Hypothesis Whose Power Is Independent of the Variance*, Annals of Mathematical Statistics 16, 1945):
/// how many trials the pilot's spread asks for so that the 95 % interval's half-width is at most `half_width` of the value. At least the pilot's own number.
///
/// `pilot_logs` are natural logarithms, one a pilot trial: of the engines' ratio, or of an engine's own statistic. `None` below 2 pilot trials.
pub fn trials_needed(pilot_logs: &[f64], half_width: f64) -> Option<u32> {
    let n = pilot_logs.len();
    if n < 2 || half_width.is_nan() || half_width <= 0.0 {
        return None;
    }
    let spread = standard_error(pilot_logs, mean(pilot_logs)?) * (n as f64).sqrt();
    let needed = (t_quantile(n - 1)? * spread / half_width.ln_1p())
        .powi(2)
        .ceil();
    Some((needed.min(f64::from(u32::MAX)) as u32).max(n as u32))
}

/// The interval that belongs to [`trials_needed`]: the mean over all trials, with Student's t and the variance of the first `pilot` alone.
/// That the variance is not estimated again is what keeps the interval's promise although n depends on the data.
pub fn two_stage_estimate(values: &[f64], pilot: usize) -> Option<Estimate> {
    let value = mean(values)?;
    let mut estimate = Estimate {
        value,
        low: None,
        high: None,
        n: values.len() as u32,
    };
    let first = values.get(..pilot).unwrap_or(values);
    if first.len() >= LEAST_FOR_INTERVAL {
        let spread = standard_error(first, mean(first)?) * (first.len() as f64).sqrt();
        let half = t_quantile(first.len() - 1)? * spread / (values.len() as f64).sqrt();
        estimate.low = Some(value - half);
        estimate.high = Some(value + half);
    }
    Some(estimate)
}

/// Marks values whose modified z-score, 0.6745 · |x − median| / MAD, exceeds 3.5 (Iglewicz & Hoaglin, *How to Detect and Handle Outliers*, ASQC 1993).
/// Where more than half of the values are equal (MAD 0) the mean absolute deviation takes its place, with 1.253314 · |x − median| / mean deviation.
/// Below 5 values nothing is marked.
pub fn outliers(values: &[f64]) -> Vec<bool> {
    if values.len() < 5 {
        return vec![false; values.len()];
    }
    let mut sorted = values.to_vec();
    let Some(centre) = median(&mut sorted) else {
        return Vec::new();
    };
    let mut deviations: Vec<f64> = values.iter().map(|value| (value - centre).abs()).collect();
    let mean_deviation = mean(&deviations).unwrap_or(0.0);
    let scale = match median(&mut deviations) {
        Some(mad) if mad > 0.0 => mad / 0.6745,
        _ => mean_deviation * 1.253_314,
    };
    values
        .iter()
        .map(|value| scale > 0.0 && (value - centre).abs() / scale > 3.5)
        .collect()
}

/// The 95 % Wilson score interval of a share (Wilson, *Probable Inference, the Law of Succession, and Statistical Inference*, JASA 22, 1927). `None` without cases.
pub fn share_interval(cases: u64, of: u64) -> Option<(f64, f64)> {
    const Z: f64 = 1.959_963_984_540_054;
    if of == 0 {
        return None;
    }
    let (n, share) = (of as f64, cases as f64 / of as f64);
    let scale = 1.0 + Z * Z / n;
    let centre = (share + Z * Z / (2.0 * n)) / scale;
    let half = Z * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt() / scale;
    // Rounding must not leave the share, or a share's range, outside.
    Some((
        (centre - half).clamp(0.0, share),
        (centre + half).clamp(share, 1.0),
    ))
}

fn log_ratio(a: f64, b: f64) -> Option<f64> {
    (a > 0.0 && b > 0.0).then(|| (a / b).ln())
}

/// Standard error of the mean, with n − 1.
fn standard_error(values: &[f64], mean: f64) -> f64 {
    let n = values.len() as f64;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (squares / (n - 1.0) / n).sqrt()
}

fn t_quantile(freedom: usize) -> Option<f64> {
    t_quantile_real(freedom as f64)
}

fn t_quantile_real(freedom: f64) -> Option<f64> {
    StudentsT::new(0.0, 1.0, freedom)
        .ok()
        .map(|distribution| distribution.inverse_cdf(1.0 - TAIL))
}

/// The studentised bootstrap (bootstrap-t; Efron & Tibshirani, *An Introduction to the Bootstrap*, 1993, chapter 12), seeded: equal values give equal intervals.
/// Resamples whose values are all equal have no t and are left out. The interval always contains the mean.
fn bootstrap(values: &[f64], mean_of_all: f64) -> (f64, f64) {
    let error = standard_error(values, mean_of_all);
    if error == 0.0 {
        return (mean_of_all, mean_of_all);
    }
    let mut random = ChaCha8Rng::seed_from_u64(BOOTSTRAP_SEED);
    let n = values.len();
    let mut resample = vec![0.0; n];
    let mut studentised = Vec::with_capacity(RESAMPLES);
    for _ in 0..RESAMPLES {
        for slot in &mut resample {
            *slot = values[random.random_range(0..n)];
        }
        let centre = resample.iter().sum::<f64>() / n as f64;
        let spread = standard_error(&resample, centre);
        if spread > 0.0 {
            studentised.push((centre - mean_of_all) / spread);
        }
    }
    studentised.sort_unstable_by(f64::total_cmp);
    let end = |p: f64| quantile(&studentised, p).map_or(mean_of_all, |t| mean_of_all - t * error);
    (end(1.0 - TAIL).min(mean_of_all), end(TAIL).max(mean_of_all))
}

#[cfg(test)]
mod tests;
