//! Estimates with their intervals: the only place where values become a number.

use serde::Serialize;

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
