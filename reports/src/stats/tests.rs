//! Known values, properties, and the coverage of every interval.

use proptest::prelude::*;
use rand_distr::{Distribution, Normal, StudentT};

use super::*;

fn close(found: f64, expected: f64) {
    assert!(
        (found - expected).abs() <= 1e-9 * expected.abs().max(1.0),
        "{found} instead of {expected}"
    );
}

#[test]
fn quantiles_are_type_7() {
    let values = [1.0, 2.0, 3.0, 4.0];
    close(quantile(&values, 0.5).unwrap(), 2.5);
    close(quantile(&values, 0.25).unwrap(), 1.75);
    close(quantile(&values, 0.9).unwrap(), 3.7);
    assert_eq!(quantile(&[], 0.5), None);
    assert_eq!(quantile(&[7.0], 0.99), Some(7.0));
}

#[test]
fn small_samples_refuse_their_tails() {
    let values: Vec<f64> = (0..100).map(f64::from).collect();
    let whole = summary(&values).unwrap();
    close(whole.p99.unwrap(), 98.01);
    let short = summary(&values[..99]).unwrap();
    assert_eq!(short.p99, None);
    assert!(short.p95.is_some());
    assert_eq!(summary(&values[..19]).unwrap().p95, None);
    assert!(summary(&values[..10]).unwrap().p90.is_some());
    assert_eq!(summary(&values[..9]).unwrap().p90, None);
}

#[test]
fn student_interval_of_three_values() {
    // Mean 2, standard deviation 1, t(2; 0.975) = 4.302652729911275.
    let found = mean_estimate(&[1.0, 2.0, 3.0]).unwrap();
    close(found.value, 2.0);
    close(found.high.unwrap(), 2.0 + 4.302652729911275 / 3f64.sqrt());
    close(found.low.unwrap(), 2.0 - 4.302652729911275 / 3f64.sqrt());
    let two = mean_estimate(&[1.0, 2.0]).unwrap();
    assert_eq!((two.value, two.low, two.high, two.n), (1.5, None, None, 2));
    assert_eq!(mean_estimate(&[]), None);
}

#[test]
fn ratios_are_geometric() {
    let found = paired_ratio(&[(1.0, 2.0), (2.0, 2.0), (0.5, 2.0)]).unwrap();
    close(found.value, 0.5);
    assert!(found.low.unwrap() < 0.5 && found.high.unwrap() > 0.5);
    let unpaired = unpaired_ratio(&[1.0, 2.0, 0.5], &[2.0, 2.0, 2.0]).unwrap();
    close(unpaired.value, 0.5);
    close(unpaired.low.unwrap(), found.low.unwrap());
    assert_eq!(paired_ratio(&[(1.0, 2.0), (0.0, 2.0)]), None);
}

#[test]
fn two_stage_rule() {
    // Equal pilots need no more than themselves; t(4; 0.975) = 2.7764451051977987.
    assert_eq!(trials_needed(&[1.0; 5], 0.05), Some(5));
    let pilot = [0.0, 0.1, -0.1, 0.05, -0.05];
    let spread: f64 = (0.025f64 / 4.0).sqrt();
    let expected = (2.7764451051977987 * spread / 1.05f64.ln()).powi(2).ceil() as u32;
    assert_eq!(trials_needed(&pilot, 0.05), Some(expected));
    assert!(expected > 5);
    assert_eq!(trials_needed(&[1.0], 0.05), None);
}

#[test]
fn outliers_are_marked_not_dropped() {
    let marked = outliers(&[1.0, 1.1, 0.9, 1.05, 0.95, 9.0]);
    assert_eq!(marked, [false, false, false, false, false, true]);
    assert_eq!(outliers(&[1.0, 1.0, 1.0, 1.0, 1.0]), [false; 5]);
    assert_eq!(outliers(&[1.0, 1.0, 1.0, 9.0]), [false; 4]);
}

#[test]
fn equal_values_give_equal_bootstraps() {
    let values: Vec<f64> = (0..12).map(|i| f64::from(i * i % 7)).collect();
    assert_eq!(mean_estimate(&values), mean_estimate(&values));
}

proptest! {
    #[test]
    fn no_quantile_leaves_its_samples_range(mut values in prop::collection::vec(-1e9f64..1e9, 1..300), p in 0.0f64..=1.0) {
        values.sort_unstable_by(f64::total_cmp);
        let (min, max) = (values[0], values[values.len() - 1]);
        let inside = |value: f64| value >= min && value <= max;
        prop_assert!(inside(quantile(&values, p).unwrap()));
        let found = summary(&values).unwrap();
        for value in [found.p10, found.p25, found.median, found.p75, found.mean].into_iter().chain(found.p90).chain(found.p95).chain(found.p99) {
            prop_assert!(inside(value));
        }
        let points = ecdf(&values);
        prop_assert!(points.windows(2).all(|pair| pair[0] <= pair[1]));
    }

    #[test]
    fn every_interval_contains_its_value(values in prop::collection::vec(1e-6f64..1e3, 3..40)) {
        let found = mean_estimate(&values).unwrap();
        prop_assert!(found.low.unwrap() <= found.value && found.value <= found.high.unwrap());
        let pairs: Vec<_> = values.iter().map(|&a| (a, 2.0)).collect();
        let ratio = paired_ratio(&pairs).unwrap();
        prop_assert!(ratio.low.unwrap() <= ratio.value && ratio.value <= ratio.high.unwrap());
        let staged = two_stage_estimate(&values, 5).unwrap();
        prop_assert!(staged.low.unwrap() <= staged.value && staged.value <= staged.high.unwrap());
    }
}

/// Where a cell's trials come from: the noise of one trial's ln(A/B) around the true ln ratio.
#[derive(Debug, Clone, Copy)]
enum Noise {
    Lognormal,
    /// Student's t with 3 degrees of freedom.
    HeavyTail,
    /// Lognormal, and the host slows down evenly while A B B A A B … run.
    Drift,
}

/// How many of 2,000 seeded runs have the true ratio inside their interval; `fixed` trials, or Stein's rule with 5 pilots.
fn coverage(noise: Noise, fixed: Option<usize>) -> f64 {
    const RUNS: u64 = 2000;
    const TRUE_LOG: f64 = -1.6;
    let normal = Normal::new(0.0, 0.05).unwrap();
    let heavy = StudentT::new(3.0).unwrap();
    let mut covered = 0;
    for run in 0..RUNS {
        let mut random = ChaCha8Rng::seed_from_u64(run);
        let mut trial = |number: usize| -> (f64, f64) {
            let mut slot = |place: usize, level: f64| {
                let error = match noise {
                    Noise::Lognormal | Noise::Drift => normal.sample(&mut random),
                    Noise::HeavyTail => 0.03 * heavy.sample(&mut random),
                };
                let drift = if matches!(noise, Noise::Drift) {
                    0.01 * (2 * number + place) as f64
                } else {
                    0.0
                };
                (level + error + drift).exp()
            };
            if number.is_multiple_of(2) {
                let a = slot(0, TRUE_LOG);
                (a, slot(1, 0.0))
            } else {
                let b = slot(0, 0.0);
                (slot(1, TRUE_LOG), b)
            }
        };
        let estimate = match fixed {
            Some(n) => paired_ratio(&(0..n).map(&mut trial).collect::<Vec<_>>()),
            None => {
                let mut logs: Vec<f64> = (0..5)
                    .map(|number| {
                        let (a, b) = trial(number);
                        (a / b).ln()
                    })
                    .collect();
                let needed = trials_needed(&logs, 0.05).unwrap() as usize;
                logs.extend((5..needed).map(|number| {
                    let (a, b) = trial(number);
                    (a / b).ln()
                }));
                two_stage_estimate(&logs, 5).map(|found| found.map(f64::exp))
            }
        }
        .unwrap();
        let (low, high) = estimate.interval().unwrap();
        covered += u32::from((low..=high).contains(&TRUE_LOG.exp()));
    }
    f64::from(covered) / RUNS as f64
}

#[test]
fn intervals_cover_the_truth() {
    for fixed in [Some(3), Some(5), Some(10), None] {
        for noise in [Noise::Lognormal, Noise::HeavyTail, Noise::Drift] {
            let found = coverage(noise, fixed);
            match noise {
                Noise::Lognormal => assert!(
                    (0.93..=0.97).contains(&found),
                    "{noise:?} {fixed:?}: {found}"
                ),
                Noise::HeavyTail | Noise::Drift => {
                    assert!(found >= 0.9, "{noise:?} {fixed:?}: {found}")
                }
            }
        }
    }
}

#[test]
fn a_share_has_wilsons_interval() {
    // 5 of 10: (0.5 + z²/20 ± z·√(0.025 + z²/400)) / (1 + z²/10) with z = 1.96.
    let (low, high) = share_interval(5, 10).unwrap();
    assert!((low - 0.236_59).abs() < 1e-4 && (high - 0.763_41).abs() < 1e-4);
    assert_eq!(share_interval(0, 10).map(|(low, _)| low), Some(0.0));
    assert_eq!(share_interval(10, 10).map(|(_, high)| high), Some(1.0));
    assert_eq!(share_interval(0, 0), None);
}
