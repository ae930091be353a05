//! Two samples that do not belong together, compared on the logarithm, and several such comparisons together.

use statrs::distribution::{ContinuousCDF, StudentsT};

use super::{Estimate, LEAST_FOR_INTERVAL, log_ratio, mean, standard_error, t_quantile_real};

/// The difference of the means of two samples' logarithms (Welch, *The Generalization of Student's Problem when Several Different Population Variances are Involved*,
/// Biometrika 34, 1947).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LogDifference {
    value: f64,
    /// Standard error and degrees of freedom; `None` below 3 values on either side.
    spread: Option<(f64, f64)>,
    n: u32,
}

impl LogDifference {
    /// ln(A/B) of two samples; `None` without values, or where one is not above 0.
    pub fn new(a: &[f64], b: &[f64]) -> Option<Self> {
        let logs = |values: &[f64]| -> Option<Vec<f64>> {
            values.iter().map(|&value| log_ratio(value, 1.0)).collect()
        };
        let (a, b) = (logs(a)?, logs(b)?);
        let (mean_a, mean_b) = (mean(&a)?, mean(&b)?);
        let n = a.len().min(b.len());
        let spread = (n >= LEAST_FOR_INTERVAL).then(|| {
            let (error_a, error_b) = (
                standard_error(&a, mean_a).powi(2),
                standard_error(&b, mean_b).powi(2),
            );
            let variance = error_a + error_b;
            let freedom = if variance > 0.0 {
                variance.powi(2)
                    / (error_a.powi(2) / (a.len() - 1) as f64
                        + error_b.powi(2) / (b.len() - 1) as f64)
            } else {
                (n - 1) as f64
            };
            (variance.sqrt(), freedom)
        });
        Some(Self {
            value: mean_a - mean_b,
            spread,
            n: n as u32,
        })
    }

    /// The ratio A/B with its 95 % interval (n ≥ 3 on either side). n is the smaller side's.
    pub fn ratio(&self) -> Estimate {
        let half = self
            .spread
            .and_then(|(error, freedom)| Some(error * t_quantile_real(freedom)?));
        Estimate {
            value: self.value,
            low: half.map(|half| self.value - half),
            high: half.map(|half| self.value + half),
            n: self.n,
        }
        .map(f64::exp)
    }

    /// How likely a difference at least this far beyond `low` to `high` (of the ratio) is where the truth lies on the nearer bound, two-sided: it is below 0.05 exactly when
    /// the 95 % interval lies wholly beyond one bound. `None` without an interval.
    pub fn p_beyond(&self, low: f64, high: f64) -> Option<f64> {
        let (error, freedom) = self.spread?;
        let beyond = (self.value - high.ln()).max(low.ln() - self.value);
        if error == 0.0 {
            return Some(if beyond > 0.0 { 0.0 } else { 1.0 });
        }
        let t = StudentsT::new(0.0, 1.0, freedom).ok()?;
        Some((2.0 * t.sf(beyond / error)).min(1.0))
    }
}

/// The ratio A/B of trials that do not belong together, with Welch's t interval. See [`LogDifference`].
pub fn unpaired_ratio(a: &[f64], b: &[f64]) -> Option<Estimate> {
    LogDifference::new(a, b).map(|found| found.ratio())
}

/// p values of comparisons that are judged together, made larger so that the chance of one wrong call among all stays below the limit that each is held against
/// (Holm, *A Simple Sequentially Rejective Multiple Test Procedure*, Scandinavian Journal of Statistics 6, 1979).
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&a, &b| p[a].total_cmp(&p[b]));
    let mut adjusted = vec![0.0; p.len()];
    let mut largest: f64 = 0.0;
    for (rank, &index) in order.iter().enumerate() {
        largest = largest.max(((p.len() - rank) as f64 * p[index]).min(1.0));
        adjusted[index] = largest;
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn holm_by_hand() {
        let found = holm(&[0.01, 0.04, 0.03, 0.005]);
        for (value, expected) in found.iter().zip([0.03, 0.06, 0.06, 0.02]) {
            assert!((value - expected).abs() < 1e-12, "{found:?}");
        }
        assert_eq!(holm(&[]), Vec::<f64>::new());
        assert_eq!(holm(&[0.7, 0.8]), [1.0, 1.0]);
    }

    #[test]
    fn values_without_spread_are_beyond_or_not() {
        let found = LogDifference::new(&[1.2; 3], &[1.0; 3]).unwrap();
        assert_eq!(found.p_beyond(0.95, 1.05), Some(0.0));
        assert_eq!(found.p_beyond(0.8, 1.25), Some(1.0));
        assert_eq!(
            LogDifference::new(&[1.2; 2], &[1.0; 3])
                .unwrap()
                .p_beyond(0.95, 1.05),
            None
        );
        assert_eq!(LogDifference::new(&[0.0, 1.0], &[1.0]), None);
    }

    proptest! {
        /// The two ways to say that the whole interval lies beyond a bound agree.
        #[test]
        fn p_and_interval_decide_alike(a in prop::collection::vec(0.5f64..2.0, 3..12), b in prop::collection::vec(0.5f64..2.0, 3..12)) {
            let found = LogDifference::new(&a, &b).unwrap();
            let (low, high) = found.ratio().interval().unwrap();
            let p = found.p_beyond(0.95, 1.05).unwrap();
            prop_assume!((p - 0.05).abs() > 1e-6);
            prop_assert_eq!(p < 0.05, low > 1.05 || high < 0.95);
        }
    }
}
