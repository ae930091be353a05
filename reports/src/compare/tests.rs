//! Comparisons of made-up runs: what is called, what is not, and what cannot be compared.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Normal};
use schemas::plan::ArrivalPlan;

use super::*;
use crate::made_up::{MS, MadeUp, expect};

const FIVE_PERCENT: f64 = 0.05;

/// Times of a run as a quiet host gives them: requests spread by 5 %, the host drifts by 1 % from trial to trial and by 1 % from run to run. A trial's time is the median of
/// nine requests.
fn noisy(seed: u64, trials: usize, lmcache_ms: f64, baseline_ms: f64) -> MadeUp {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let request = Normal::new(0.0, 0.05).unwrap();
    let level = Normal::new(0.0, 0.01).unwrap();
    let run = level.sample(&mut random);
    let mut time = |ms: f64, host: f64| -> u64 {
        let mut values: Vec<f64> = (0..9)
            .map(|_| ms * (host + request.sample(&mut random)).exp())
            .collect();
        (crate::stats::median(&mut values).unwrap() * MS as f64) as u64
    };
    let mut drift = ChaCha8Rng::seed_from_u64(seed ^ 0xD1F7);
    let times: Vec<(u64, u64)> = (0..trials)
        .map(|_| {
            let host = run + level.sample(&mut drift);
            (time(lmcache_ms, host), time(baseline_ms, host))
        })
        .collect();
    MadeUp::with_reused(&times)
}

fn compared(base: MadeUp, new: MadeUp) -> Comparison {
    compare(&base.data(), &new.data(), FIVE_PERCENT)
}

fn findings(comparison: &Comparison) -> Vec<(&str, Finding)> {
    let metrics = comparison.metrics.iter();
    metrics
        .map(|metric| (metric.engine.as_str(), metric.finding))
        .collect()
}

/// Pairs of runs of which the second's `lmcache` is so many times as slow.
fn pairs(number: u64, trials: usize, times: f64) -> impl Iterator<Item = Comparison> {
    (0..number).map(move |pair| {
        compared(
            noisy(2 * pair, trials, 100.0, 400.0).expect(expect(0.5)),
            noisy(2 * pair + 1, trials, 100.0 * times, 400.0).expect(expect(0.5)),
        )
    })
}

const SAME: [(&str, Finding); 2] = [
    ("lmcache", Finding::NoDifferenceSeen),
    ("baseline", Finding::NoDifferenceSeen),
];

#[test]
fn twenty_equal_pairs_give_no_difference() {
    for trials in [3, 5] {
        for (pair, found) in pairs(20, trials, 1.0).enumerate() {
            assert_eq!(findings(&found), SAME, "pair {pair} of {trials} trials");
            assert_eq!(found.exit(true), Exit::AllMet);
        }
    }
}

#[test]
fn an_engine_made_a_fifth_slower_is_worse() {
    // As many trials as a scenario has that states none.
    let called = pairs(20, 5, 1.2)
        .filter(|found| {
            assert_eq!(
                found.metrics[1].finding,
                Finding::NoDifferenceSeen,
                "the baseline is as it was"
            );
            found.metrics[0].finding == Finding::Worse && found.exit(false) == Exit::NotMet
        })
        .count();
    assert!(called >= 19, "{called} of 20");
}

/// What the README states: three trials see less than five.
#[test]
fn how_often_a_difference_is_called() {
    let called = [(3, 1.0), (5, 1.0), (3, 1.2), (5, 1.2)].map(|(trials, times)| {
        pairs(200, trials, times)
            .filter(|found| findings(found) != SAME)
            .count()
    });
    assert!(
        called[0] <= 2 && called[1] <= 2 && called[2] >= 160 && called[3] >= 190,
        "of 200 pairs each {called:?}"
    );
    assert_eq!(called, [0, 0, 184, 200], "the README says so");
}

#[test]
fn an_engine_made_a_fifth_faster_is_better() {
    let found = compared(noisy(1, 5, 100.0, 400.0), noisy(2, 5, 80.0, 400.0));
    assert_eq!(found.metrics[0].finding, Finding::Better);
    assert_eq!(found.exit(true), Exit::AllMet);
    let ratio = found.metrics[0].ratio.unwrap();
    assert!((0.75..0.85).contains(&ratio.value), "{ratio:?}");
}

#[test]
fn what_is_expected_says_what_is_compared() {
    let mut of_all = expect(0.5);
    of_all.metric = Metric::Throughput;
    of_all.requests = Requests::All;
    of_all.relative_to = None;
    let run = || {
        MadeUp::new(3)
            .expect(of_all.clone())
            .expect(expect(0.5))
            .expect(expect(0.4))
    };
    let found = compared(run(), run());
    let wanted: Vec<_> = found
        .metrics
        .iter()
        .map(|metric| (metric.engine.as_str(), metric.metric, metric.requests))
        .collect();
    assert_eq!(
        wanted,
        [
            ("lmcache", Metric::Throughput, Requests::All),
            ("lmcache", Metric::Ttft, Requests::Reused),
            ("baseline", Metric::Ttft, Requests::Reused),
        ],
        "each once, with the engine that it is held against"
    );
    assert_eq!(found.metrics[0].ratio.unwrap().value, 1.0);
}

#[test]
fn two_trials_are_not_comparable() {
    let found = compared(MadeUp::new(2), MadeUp::new(3));
    assert_eq!(found.metrics[0].finding, Finding::NotComparable);
    assert_eq!(
        found.metrics[0].reason.as_deref(),
        Some("2 trials give no interval: at least 3 are needed in either run")
    );
    assert_eq!(found.exit(false), Exit::NothingRan);
}

#[test]
fn an_invalid_run_is_not_comparable() {
    let found = compared(
        MadeUp::new(3),
        MadeUp::new(3).each(0, |row| row.cached_tokens = Some(0)),
    );
    let metric = &found.metrics[0];
    assert_eq!(
        (metric.finding, metric.invalid),
        (Finding::NotComparable, true)
    );
    assert!(
        metric
            .reason
            .as_ref()
            .unwrap()
            .starts_with("B: context 4096 is INVALID: "),
        "{metric:?}"
    );
    assert!(metric.base.is_some() && metric.ratio.is_none());
    assert_eq!(found.exit(false), Exit::Invalid);
}

#[test]
fn what_was_not_asked_alike_is_not_comparable() {
    let reason = |change: fn(&mut MadeUp)| {
        let mut new = MadeUp::new(3);
        change(&mut new);
        let found = compared(MadeUp::new(3), new);
        let nothing = [Exit::NothingRan, Exit::AllMet];
        assert!(
            nothing.contains(&found.exit(false)),
            "the other engine may be comparable"
        );
        assert_ne!(found.exit(true), Exit::AllMet);
        let first = found
            .metrics
            .first()
            .and_then(|metric| metric.reason.clone());
        found.not_comparable.or(first).unwrap()
    };
    assert!(
        reason(|run| run.plan.scenario = "other".to_owned()).contains("scenario made-up, B other")
    );
    assert!(reason(|run| run.plan.model.used = "other".to_owned()).contains("model"));
    assert!(reason(|run| run.plan.profile = "cpu".to_owned()).contains("profile"));
    assert!(
        reason(|run| run.plan.experiments[0].requests[1].query_tokens = 17)
            .contains("other requests")
    );
    assert!(
        reason(|run| run.plan.experiments[0].arrival = ArrivalPlan::Closed { concurrency: 2 })
            .contains("other times")
    );
    assert!(
        reason(|run| run.plan.experiments[0].point[0] = 17.into())
            .contains("A has no context 4096")
    );
    assert!(
        reason(|run| run.plan.engines[0].backend = "local-disk".to_owned())
            .contains("keeps its KV elsewhere")
    );
    assert!(
        reason(|run| run.plan.engines[0].name = "other".to_owned())
            .contains("A has no engine other")
    );
}

#[test]
fn what_it_ran_on_and_with_is_named() {
    let mut new = MadeUp::new(3);
    new.manifest.host.cores = Some(4);
    new.manifest
        .versions
        .insert("vllm".to_owned(), "0.24.0".to_owned());
    new.plan.seed = 2;
    let found = compared(MadeUp::new(3), new);
    let what: Vec<&str> = found
        .differences
        .iter()
        .map(|found| found.what.as_str())
        .collect();
    assert_eq!(what, ["cores", "vllm", "seed"]);
    assert_eq!(found.differences[1].base, None);
    assert_eq!(found.metrics[0].finding, Finding::NoDifferenceSeen);
    let text = found.terminal(false);
    assert!(
        text.contains("not the same: vllm: — in A, 0.24.0 in B"),
        "{text}"
    );
}

#[test]
fn nothing_completed_any_more_is_worse_without_a_ratio() {
    let mut completed = expect(0.5);
    completed.metric = Metric::Completed;
    completed.relative_to = None;
    let run = || MadeUp::new(3).expect(completed.clone());
    let failed = run().each(0, |row| row.outcome = schemas::row::Outcome::Timeout);
    let found = compared(run(), failed);
    assert_eq!(found.metrics[0].finding, Finding::Worse, "{found:?}");
    assert_eq!(found.metrics[0].ratio, None);
    let found = compared(run(), run());
    assert_eq!(found.metrics[0].finding, Finding::NoDifferenceSeen);
}

#[test]
fn a_call_that_would_stand_alone_falls_among_many() {
    let metric = |p: f64| Compared {
        label: String::new(),
        engine: String::new(),
        metric: Metric::Ttft,
        requests: Requests::Reused,
        statistic: Statistic::Median,
        unit: Unit::Seconds,
        base: None,
        new: None,
        ratio: Some(Estimate {
            value: 1.2,
            low: Some(1.06),
            high: Some(1.4),
            n: 3,
        }),
        p: Some(p),
        finding: Finding::NotComparable,
        reason: None,
        invalid: false,
    };
    let mut alone = [metric(0.03)];
    judge(&mut alone, FIVE_PERCENT);
    assert_eq!(alone[0].finding, Finding::Worse);
    let mut among = [metric(0.03), metric(0.9)];
    judge(&mut among, FIVE_PERCENT);
    assert_eq!(among[0].finding, Finding::NoDifferenceSeen);
    assert!(among[0].reason.as_ref().unwrap().contains("one of 2"));
}
